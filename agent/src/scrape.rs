//! The metrics lane's source: one scrape an interval, sealed and handed to the lane and the listener.
//!
//! Room: `agent::scrape`.  May use: `metrics`, `lanes`.  Used by: `app`.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use muster_proto::clock::Utc;
use muster_proto::errors::chain;
use muster_proto::frame::{BodyFacts, Kind, SealError, Sealed, Sealer};
use muster_proto::metric::{Dict, Scrape, encode_dict, encode_scrapes};
use tokio::sync::watch;

use crate::facts::clock::Clock;
use crate::lanes::{Deposit, Dropped, LaneHandle};
use crate::metrics::Scraper;
use crate::metrics::listener::Latest;

/// What the thread needs.
pub struct ScrapeParts {
    /// Runs the collectors.
    pub scraper: Scraper,
    /// Time between two scrapes.
    pub interval: Duration,
    /// The metrics lane.
    pub lane: LaneHandle,
    /// Where the local listener looks.
    pub latest: watch::Sender<Latest>,
    /// Zero of monotonic time.
    pub began: Instant,
}

/// Scrapes until the other end of `stop` is gone.
pub fn run(mut parts: ScrapeParts, mut sealer: Sealer, stop: &Receiver<()>) {
    let mut dict = Arc::new(Dict::default());
    let mut next = Instant::now();
    loop {
        let clock = Clock::read(parts.began);
        let out = parts.scraper.scrape(clock.utc, clock.mono);
        let fresh = out.dict.map(Arc::new);
        if let Some(fresh) = &fresh {
            dict = fresh.clone();
        }
        match seal(&mut sealer, &dict, fresh.is_some(), &out.scrape) {
            Ok(deposit) => {
                if parts.lane.try_deposit(deposit).is_err() {
                    // The disk refuses for long: this scrape is lost, the next one brings its own dict.
                    let (from, to) = Default::default();
                    let records = out.scrape.values.len() as u64;
                    parts.lane.board.lost(Dropped { from, to, records, why: "lane-queue" });
                    parts.scraper.renew_dict();
                }
            }
            Err(error) => tracing::error!(error = chain(&error), "A scrape cannot be sealed."),
        }
        let scrape = Some(Arc::new(out.scrape));
        parts.latest.send_replace(Latest { dict: dict.clone(), scrape });
        next = (next + parts.interval).max(Instant::now());
        match stop.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn seal(
    sealer: &mut Sealer,
    dict: &Dict,
    is_fresh: bool,
    scrape: &Scrape,
) -> Result<Deposit, SealError> {
    let dict_body = is_fresh
        .then(|| body(sealer, (Kind::Dict, scrape.at, dict.series.len()), &encode_dict(dict)));
    let values = scrape.values.iter().flatten().count();
    let raw = encode_scrapes(dict, std::slice::from_ref(scrape));
    let sealed = body(sealer, (Kind::Metric, scrape.at, values), &raw)?;
    Ok(Deposit { sealed: Some(sealed), dict: dict_body.transpose()?, notes: Vec::new() })
}

fn body(
    sealer: &mut Sealer,
    (kind, at, records): (Kind, Utc, usize),
    raw: &[u8],
) -> Result<Sealed, SealError> {
    let records = u32::try_from(records).unwrap_or(u32::MAX);
    sealer.seal(BodyFacts { kind, dict: 0, records, first_at: at, last_at: at }, raw)
}
