//! Intake: one task per connection between the link and the inbox. It inflates nothing.
//!
//! Room: `aggregator::intake`.  May use: `proto` (talk), `link`, `inbox`.  Used by: `app`.
//!
//! The thinking is [`muster_proto::talk::intake`]; these tasks carry bytes and obey. A connection has
//! one control task, which owns the machine, and one reader task per lane stream; the readers ask
//! the machine through a lock that is never held over an await.
//!
//! Invariants
//! - A reader waits for the inbox, not the other way round: a slow disk stops reading, QUIC's flow
//!   control stops the agent.
//! - Whatever ends one part of a connection ends all of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use muster_link::{Close, Connection, ControlTx, IdentityStore, LaneRx, LinkError};
use muster_proto::control::{FromAgent, FromAggregator, RootsHeld};
use muster_proto::digest::Rank;
use muster_proto::errors::chain;
use muster_proto::ids::StreamId;
use muster_proto::lane::Lane;
use muster_proto::talk::intake::{Greeting, Intake, Speaker, Verdict};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::inbox::{Arrival, Inbox, Stored};

mod renew;

pub use renew::{Renew, Renewer};

/// Unacked bytes a connection may have under way. Twice an agent's own limit, so that it never waits
/// for us unless we say so.
const CREDIT_BYTES: u64 = 8 * 1024 * 1024;
/// An agent that connects says hello within this, or is closed.
const HELLO_PATIENCE: Duration = Duration::from_secs(5);
/// What a drained agent is told: do not come back before.
const DRAIN_RETRY: Duration = Duration::from_secs(2);
/// What an agent is told when our disk is nearly full. One that has nobody else stays connected and keeps
/// its frames.
const DISK_FULL_RETRY: Duration = Duration::from_secs(15);
/// How long a drained agent may take to go.
const DRAIN_PATIENCE: Duration = Duration::from_secs(3);

/// Why an agent is asked to go while our disk is nearly full.
const DISK_FULL: &str = "disk-full";

/// What every connection needs.
#[derive(Clone)]
pub struct Desk {
    /// Who we are.
    pub speaker: Speaker,
    /// The lanes' inboxes.
    pub inboxes: Arc<[Inbox]>,
    /// Told who comes and goes.
    pub presence: mpsc::UnboundedSender<Presence>,
    /// Signs certificate requests, or asks the aggregator that can.
    pub renewer: Arc<dyn Renewer>,
    /// Becomes true when the aggregator is about to stop.
    pub draining: watch::Receiver<bool>,
    /// True while the disk is nearly full: nothing is acked, and agents are asked to go elsewhere.
    pub full: watch::Receiver<bool>,
    /// Has the list of certificate authorities that agents are told.
    pub identity: Arc<IdentityStore>,
    /// Number of that list; changes with it.
    pub roots: watch::Receiver<u64>,
}

/// An agent came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// Host name of the certificate.
    pub host: Arc<str>,
    /// Datacenter the host stands in.
    pub datacenter: Arc<str>,
    /// Which of the host's connections.
    pub rank: Rank,
    /// Number of the connection, so that a late "gone" of an old one is told from the new one.
    pub connection: u64,
    /// True when it came.
    pub here: bool,
    /// Version of the agent program.
    pub agent_version: String,
}

/// Why a connection ended, for the log and the counters.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The link says so.
    #[error("connection lost")]
    Link(#[from] LinkError),
    /// No hello within `HELLO_PATIENCE`.
    #[error("no hello within {HELLO_PATIENCE:?}")]
    NoHello,
    /// The agent broke a rule of the conversation.
    #[error("refused: {0}")]
    Refused(String),
    /// The inbox is gone: the aggregator stops.
    #[error("the inbox is closed")]
    InboxClosed,
}

impl SessionError {
    /// Whether the agent is to blame: it sent what no good agent sends.
    pub fn is_breach(&self) -> bool {
        let broken =
            |error: &LinkError| matches!(error, LinkError::Frame(_) | LinkError::Protocol(_));
        match self {
            SessionError::Refused(_) | SessionError::NoHello => true,
            SessionError::Link(error) => broken(error),
            SessionError::InboxClosed => false,
        }
    }
}

impl Desk {
    fn inbox(&self, lane: Lane) -> Option<&Inbox> {
        self.inboxes.iter().find(|inbox| inbox.board.lane == lane)
    }
}

/// One greeted connection.
struct Session {
    desk: Desk,
    connection: Connection,
    machine: Arc<Mutex<Intake>>,
    host: Arc<str>,
    datacenter: Arc<str>,
    rank: Rank,
    /// The list of authorities that the agent has; `None` when it knows of no lists.
    held: Option<RootsHeld>,
}

/// Serves one agent until its connection ends.
///
/// # Errors
/// Why it ended; a clean leave is `Ok`.
pub async fn serve(desk: Desk, connection: Connection) -> Result<(), SessionError> {
    let outcome = greet_and_run(desk, &connection).await;
    let (close, reason) = match &outcome {
        Ok(()) => (Close::Normal, String::new()),
        Err(SessionError::Refused(why)) => (Close::Refused, why.clone()),
        Err(error) => (Close::Protocol, chain(error)),
    };
    connection.close(close, &reason);
    outcome
}

async fn greet_and_run(desk: Desk, connection: &Connection) -> Result<(), SessionError> {
    let greeting = tokio::time::timeout(HELLO_PATIENCE, async {
        let (control_tx, mut control_rx) = connection.accept_control().await?;
        let first: Option<FromAgent> = control_rx.recv().await?;
        Ok::<_, LinkError>((control_tx, control_rx, first))
    });
    let (mut control_tx, mut control_rx, first) =
        greeting.await.map_err(|_| SessionError::NoHello)??;
    let Some(FromAgent::Hello(hello)) = first else {
        return Err(SessionError::Refused("the first message was not a hello".into()));
    };
    let mut machine = Intake::new(desk.speaker.clone(), CREDIT_BYTES);
    if *desk.draining.borrow() {
        machine.drain("stop", DRAIN_RETRY);
    } else if *desk.full.borrow() {
        machine.drain(DISK_FULL, DISK_FULL_RETRY);
    }
    let name = connection.peer().name.clone();
    let known = |lane: Lane, stream: StreamId| {
        desk.inbox(lane)
            .map_or(muster_proto::talk::marks::Known::New, |inbox| inbox.board.known(&name, stream))
    };
    match machine.on_hello(&hello, &name, known) {
        Greeting::Welcome(welcome) => control_tx.send(&FromAggregator::Welcome(welcome)).await?,
        Greeting::Refused(refusal) => {
            let why = refusal.to_string();
            control_tx.send(&FromAggregator::Refused { why: why.clone() }).await?;
            return Err(SessionError::Refused(why));
        }
    }
    if hello.probe {
        // The asker has its answer when it closes.
        let _ = tokio::time::timeout(HELLO_PATIENCE, connection.closed()).await;
        return Ok(());
    }
    let session = Session {
        host: name.into(),
        datacenter: hello.datacenter.as_str().into(),
        rank: hello.rank(),
        held: hello.roots,
        machine: Arc::new(Mutex::new(machine)),
        connection: connection.clone(),
        desk,
    };
    session.announce(true, &hello.agent_version);
    let outcome = session.run(control_tx, &mut control_rx).await;
    session.announce(false, &hello.agent_version);
    outcome
}

impl Session {
    fn announce(&self, here: bool, agent_version: &str) {
        let _ = self.desk.presence.send(Presence {
            host: self.host.clone(),
            datacenter: self.datacenter.clone(),
            rank: self.rank,
            connection: self.connection.number(),
            here,
            agent_version: agent_version.to_owned(),
        });
    }

    async fn run(
        &self,
        mut control_tx: ControlTx,
        control_rx: &mut muster_link::ControlRx,
    ) -> Result<(), SessionError> {
        let (stored_tx, mut stored_rx) = mpsc::unbounded_channel();
        let mut readers = JoinSet::new();
        let mut draining = self.desk.draining.clone();
        let mut full = self.desk.full.clone();
        full.mark_changed();
        let mut renewals = JoinSet::new();
        let mut asked_to_go = false;
        let mut roots = self.desk.roots.clone();
        roots.mark_changed();
        loop {
            let say = self.lock().next();
            if let Some(say) = say {
                control_tx.send(&say).await?;
                continue;
            }
            tokio::select! {
                stored = stored_rx.recv() => self.on_stored(stored, &mut stored_rx),
                lane = self.connection.accept_lane() => {
                    readers.spawn(self.reader(lane?, stored_tx.clone()));
                }
                Some(ended) = readers.join_next() => flatten(ended)?,
                message = control_rx.recv::<FromAgent>() => match message? {
                    None | Some(FromAgent::Bye { .. }) => return Ok(()),
                    // Its packet is all the agent wants: the transport's ack says that we live.
                    Some(FromAgent::Nudge) => {}
                    Some(FromAgent::Hello(_)) => return Err(SessionError::Refused("a connection has one hello".into())),
                    Some(FromAgent::Renew { csr }) => self.begin_renewal(csr, &mut renewals),
                },
                Some(answer) = renewals.join_next() => {
                    if let Ok(Some(answer)) = answer {
                        control_tx.send(&answer).await?;
                    }
                }
                _ = turn(&mut roots) => {
                    if let Some(list) = self.news_of_roots() {
                        control_tx.send(&FromAggregator::Roots { list }).await?;
                    }
                }
                is_full = turn(&mut full) => if is_full {
                    self.lock().drain(DISK_FULL, DISK_FULL_RETRY);
                },
                () = until(&mut draining), if !asked_to_go => {
                    asked_to_go = true;
                    self.lock().drain("stop", DRAIN_RETRY);
                    let connection = self.connection.clone();
                    readers.spawn(async move {
                        tokio::time::sleep(DRAIN_PATIENCE).await;
                        connection.close(Close::Drain, "stop");
                        Ok(())
                    });
                }
            }
        }
    }

    /// The list of authorities, when the agent has an older one.
    fn news_of_roots(&self) -> Option<Vec<u8>> {
        let identity = self.desk.identity.identity();
        let is_news = identity.roots_number() > self.held?.number;
        is_news.then(|| identity.signed_list().map(<[u8]>::to_vec))?
    }

    fn on_stored(&self, first: Option<Stored>, more: &mut mpsc::UnboundedReceiver<Stored>) {
        let mut machine = self.lock();
        let mut next = first;
        while let Some(stored) = next {
            machine.on_stored(stored.lane, stored.stream, stored.seq);
            next = more.try_recv().ok();
        }
    }

    /// Reads one lane stream until it ends.
    fn reader(
        &self,
        mut lane: LaneRx,
        stored: mpsc::UnboundedSender<Stored>,
    ) -> impl Future<Output = Result<(), SessionError>> + Send + use<> {
        let machine = self.machine.clone();
        let desk = self.desk.clone();
        let (host, datacenter) = (self.host.clone(), self.datacenter.clone());
        async move {
            while let Some(frame) = lane.next().await? {
                let verdict =
                    machine.lock().unwrap_or_else(PoisonError::into_inner).on_frame(&frame.header);
                match verdict {
                    Verdict::Store => {}
                    Verdict::Repeat => continue,
                    Verdict::Refused(objection) => {
                        return Err(SessionError::Refused(objection.to_string()));
                    }
                }
                let Some(inbox) = desk.inbox(frame.header.lane) else {
                    return Err(SessionError::Refused(format!(
                        "there is no lane {}",
                        frame.header.lane
                    )));
                };
                let arrival = Arrival {
                    host: host.clone(),
                    datacenter: datacenter.clone(),
                    header: frame.header,
                    frame: frame.bytes,
                    stored: stored.clone(),
                };
                inbox.put(arrival).await.map_err(|_| SessionError::InboxClosed)?;
            }
            Ok(())
        }
    }

    fn begin_renewal(&self, csr: Vec<u8>, renewals: &mut JoinSet<Option<FromAggregator>>) {
        if renewals.is_empty() {
            let renewer = self.desk.renewer.clone();
            let renew = Renew { csr, peer: self.connection.peer().clone() };
            renewals.spawn(async move { renew::answer(renewer, renew).await });
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Intake> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until the flag is true; for ever when nobody can set it any more.
async fn until(flag: &mut watch::Receiver<bool>) {
    if flag.wait_for(|set| *set).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Waits until the flag turns, and says which way; for ever when nobody can turn it any more.
async fn turn<T: Copy>(flag: &mut watch::Receiver<T>) -> T {
    if flag.changed().await.is_err() {
        return std::future::pending().await;
    }
    *flag.borrow_and_update()
}

fn flatten(
    ended: Result<Result<(), SessionError>, tokio::task::JoinError>,
) -> Result<(), SessionError> {
    ended.unwrap_or_else(|_| Err(SessionError::InboxClosed))
}
