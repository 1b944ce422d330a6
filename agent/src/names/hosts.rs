//! Addresses of host names, from libc; the last good ones when the name servers do not answer.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

/// Look-ups at a time. Each holds a thread of the blocking pool for as long as libc likes, and the pool
/// also reads the spool.
pub const LOOKUPS_MAX: usize = 2;
/// A name that had an answer before gets a new one within this, or the old one is used.
const PATIENCE: Duration = Duration::from_millis(150);
/// Addresses of one name that are used.
const ADDRESSES_MAX: usize = 8;
/// Names that are remembered. A zone that answers with new names each time stops here.
const NAMES_MAX: usize = 1_024;

/// The look-up of one name, as far as it is: `None` while it is under way.
type Told = watch::Receiver<Option<Arc<io::Result<Vec<IpAddr>>>>>;

/// Looks names up and remembers what they had.
pub struct Hosts {
    known: Mutex<BTreeMap<String, Vec<IpAddr>>>,
    under_way: Mutex<HashMap<String, Told>>,
    slots: Semaphore,
}

impl Hosts {
    /// With what an earlier start has learned.
    pub fn new(known: BTreeMap<String, Vec<IpAddr>>) -> Arc<Hosts> {
        let slots = Semaphore::new(LOOKUPS_MAX);
        Arc::new(Hosts { known: Mutex::new(known), under_way: Mutex::default(), slots })
    }

    /// The addresses of `host`, IPv6 and IPv4 in turn (RFC 8305 §4): looked up anew, or as they were
    /// when that takes too long or fails.
    ///
    /// # Errors
    /// libc's, when the name never had an answer.
    pub async fn addresses(
        self: &Arc<Hosts>,
        host: &str,
        port: u16,
    ) -> io::Result<Vec<SocketAddr>> {
        let found = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => self.find(host).await?,
        };
        Ok(found.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }

    /// What is known, for the disk.
    pub fn known(&self) -> BTreeMap<String, Vec<IpAddr>> {
        lock(&self.known).clone()
    }

    async fn find(self: &Arc<Hosts>, host: &str) -> io::Result<Vec<IpAddr>> {
        let mut told = self.begin(host);
        let before = lock(&self.known).get(host).cloned();
        let patience = if before.is_some() { PATIENCE } else { Duration::MAX };
        let answer = tokio::time::timeout(patience, told.wait_for(Option::is_some)).await;
        let answer = answer.ok().and_then(Result::ok).and_then(|answer| answer.clone());
        match (answer.as_deref(), before) {
            (Some(Ok(found)), _) if !found.is_empty() => Ok(found.clone()),
            (_, Some(before)) => Ok(before),
            (Some(Err(error)), None) => Err(io::Error::new(error.kind(), error.to_string())),
            _ => Err(io::Error::other("the name has no address")),
        }
    }

    /// Begins a look-up, or joins the one that is under way.
    fn begin(self: &Arc<Hosts>, host: &str) -> Told {
        let mut under_way = lock(&self.under_way);
        if let Some(told) = under_way.get(host) {
            return told.clone();
        }
        let (tell, told) = watch::channel(None);
        under_way.insert(host.to_owned(), told.clone());
        let (hosts, host) = (self.clone(), host.to_owned());
        tokio::spawn(async move {
            let answer = hosts.look_up(&host).await;
            hosts.learn(&host, &answer);
            lock(&hosts.under_way).remove(&host);
            let _ = tell.send(Some(Arc::new(answer)));
        });
        told
    }

    async fn look_up(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let _slot = self.slots.acquire().await.map_err(io::Error::other)?;
        let found = tokio::net::lookup_host((host, 0)).await?;
        Ok(in_turn(found.map(|address| address.ip()).collect()))
    }

    fn learn(&self, host: &str, answer: &io::Result<Vec<IpAddr>>) {
        let Some(found) = answer.as_ref().ok().filter(|found| !found.is_empty()) else { return };
        let mut known = lock(&self.known);
        if known.len() < NAMES_MAX || known.contains_key(host) {
            known.insert(host.to_owned(), found.clone());
        }
    }
}

/// Each family in the order it came, IPv6 first, then one of each in turn; none twice.
fn in_turn(found: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut unique: Vec<IpAddr> = Vec::new();
    found.into_iter().for_each(|ip| {
        if !unique.contains(&ip) {
            unique.push(ip)
        }
    });
    let (six, four): (Vec<IpAddr>, Vec<IpAddr>) = unique.into_iter().partition(IpAddr::is_ipv6);
    let mut order = Vec::new();
    for place in 0..six.len().max(four.len()) {
        order.extend(six.get(place));
        order.extend(four.get(place));
    }
    order.truncate(ADDRESSES_MAX);
    order
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn families_take_turns() {
        let found = ["10.0.0.1", "10.0.0.2", "fd00::1", "10.0.0.1", "10.0.0.3"].map(ip);
        let expected = ["fd00::1", "10.0.0.1", "10.0.0.2", "10.0.0.3"].map(ip);
        assert_eq!(in_turn(found.to_vec()), expected);
        assert!(in_turn(Vec::new()).is_empty());
    }

    #[tokio::test]
    async fn a_literal_needs_nobody_and_the_last_good_answer_outlives_the_name() {
        let known = BTreeMap::from([("gone.invalid".to_owned(), vec![ip("10.9.9.9")])]);
        let hosts = Hosts::new(known);
        assert_eq!(hosts.addresses("::1", 7).await.unwrap(), ["[::1]:7".parse().unwrap()]);
        // RFC 6761 §6.4: names below .invalid never exist.
        let address = "10.9.9.9:7".parse().unwrap();
        assert_eq!(hosts.addresses("gone.invalid", 7).await.unwrap(), [address]);
        assert!(hosts.addresses("never.invalid", 7).await.is_err());
        let local = hosts.addresses("localhost", 7).await.unwrap();
        assert!(local.iter().all(|address| address.ip().is_loopback()), "{local:?}");
        assert!(hosts.known().contains_key("localhost"));
    }
}
