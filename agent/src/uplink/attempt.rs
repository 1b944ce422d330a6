//! One attempt to reach one aggregator: resolve, dial, say hello, then listen until the end.

use std::sync::Arc;
use std::time::Duration;

use muster_link::{Connection, ControlRx, ControlTx, Dialer, LinkError};
use muster_proto::control::{FromAgent, FromAggregator, Hello, Welcome};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::config::AggregatorAddress;
use crate::names::Hosts;

/// Number of an attempt; never used twice.
pub type Attempt = u32;

/// What an attempt tells the pump.
pub enum Told {
    /// The handshake is done; the hello goes out.
    Dialled,
    /// The aggregator takes us (or would, for a probe).
    Welcomed {
        /// How to speak on; boxed because it is far larger than the rest.
        line: Box<Line>,
        /// What it said.
        welcome: Welcome,
    },
    /// It said something later.
    Said(FromAggregator),
    /// The attempt failed or the connection is over; nothing follows.
    Ended(AttemptError),
}

/// What it takes to get somewhere.
#[derive(Clone)]
pub(super) struct Road {
    /// Dials.
    pub(super) dialer: Arc<Dialer>,
    /// Knows where.
    pub(super) hosts: Arc<Hosts>,
}

/// The next address of a name is tried when the one before has not answered for this long. A handshake
/// in a region takes a few milliseconds; RFC 8305 says 250 ms for the whole Internet.
const ADDRESS_STAGGER: Duration = Duration::from_millis(100);

/// A greeted connection.
pub struct Line {
    /// The connection.
    pub connection: Connection,
    /// What we say goes here; it is never cut short in the middle of a message.
    pub say: mpsc::Sender<FromAgent>,
}

/// Messages that wait for the control stream. What does not fit is not said.
const SAY_QUEUE_MAX: usize = 4;

/// Why an attempt ended.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// The name has no address.
    #[error("cannot resolve {host}")]
    Resolve {
        /// What was asked for.
        host: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The name resolves to nothing.
    #[error("{0} has no address")]
    NoAddress(String),
    /// The link says so.
    #[error("{aggregator}")]
    Link {
        /// Whom we spoke to.
        aggregator: String,
        /// Why.
        source: LinkError,
    },
    /// The aggregator does not want us.
    #[error("{aggregator} refuses this agent: {why}")]
    Refused {
        /// Who.
        aggregator: String,
        /// In its words.
        why: String,
    },
    /// The aggregator ended the conversation.
    #[error("{0} closed the conversation")]
    Closed(String),
}

impl AttemptError {
    /// The aggregator lives, and takes no more at this moment.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self, AttemptError::Link { source: LinkError::Refused, .. })
    }
}

/// Runs one attempt to its end; tells everything under its number.
pub(super) async fn run(
    attempt: Attempt,
    road: Road,
    target: AggregatorAddress,
    hello: Hello,
    tell: mpsc::UnboundedSender<(Attempt, Told)>,
) {
    let dialled = || drop(tell.send((attempt, Told::Dialled)));
    let error = match greet(&road, &target, hello, dialled).await {
        Ok(Greeted { connection, control_tx, control_rx, welcome }) => {
            let (say, said) = mpsc::channel(SAY_QUEUE_MAX);
            let line = Box::new(Line { connection, say });
            let _ = tell.send((attempt, Told::Welcomed { line, welcome }));
            tokio::select! {
                error = listen(attempt, control_rx, &target, &tell) => error,
                error = speak(control_tx, said, &target) => error,
            }
        }
        Err(error) => error,
    };
    let _ = tell.send((attempt, Told::Ended(error)));
}

/// A connection whose Welcome came.
struct Greeted {
    connection: Connection,
    control_tx: ControlTx,
    control_rx: ControlRx,
    welcome: Welcome,
}

async fn greet(
    road: &Road,
    target: &AggregatorAddress,
    hello: Hello,
    dialled: impl FnOnce(),
) -> Result<Greeted, AttemptError> {
    let link = |source| AttemptError::Link { aggregator: target.name.clone(), source };
    let connection = dial(road, target).await?;
    dialled();
    let (mut control_tx, mut control_rx) = connection.open_control().map_err(link)?;
    control_tx.send(&FromAgent::Hello(hello)).await.map_err(link)?;
    match control_rx.recv().await.map_err(link)? {
        Some(FromAggregator::Welcome(welcome)) => {
            Ok(Greeted { connection, control_tx, control_rx, welcome })
        }
        Some(FromAggregator::Refused { why }) => {
            Err(AttemptError::Refused { aggregator: target.name.clone(), why })
        }
        _ => Err(AttemptError::Closed(target.name.clone())),
    }
}

/// Tries every address of the name: the next one when the last failed or has not answered for a while
/// (RFC 8305 §5). The first finished handshake counts, or else the last failure.
async fn dial(road: &Road, target: &AggregatorAddress) -> Result<Connection, AttemptError> {
    let resolve = |source| AttemptError::Resolve { host: target.host.clone(), source };
    let addresses = road.hosts.addresses(&target.host, target.port).await.map_err(resolve)?;
    let mut addresses = addresses.into_iter();
    let mut dials = JoinSet::new();
    let mut failure = AttemptError::NoAddress(target.host.clone());
    loop {
        match addresses.next() {
            Some(address) => {
                let (dialer, name) = (road.dialer.clone(), target.name.clone());
                dials.spawn(async move { dialer.dial(address, &name).await });
            }
            None if dials.is_empty() => return Err(failure),
            None => {}
        }
        let stagger = if addresses.len() > 0 { ADDRESS_STAGGER } else { Duration::MAX };
        tokio::select! {
            Some(ended) = dials.join_next() => match ended {
                // The others are cancelled with the set.
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(source)) => {
                    failure = AttemptError::Link { aggregator: target.name.clone(), source };
                }
                Err(_) => {}
            },
            () = tokio::time::sleep(stagger) => {}
        }
    }
}

async fn listen(
    attempt: Attempt,
    mut control: ControlRx,
    target: &AggregatorAddress,
    tell: &mpsc::UnboundedSender<(Attempt, Told)>,
) -> AttemptError {
    let aggregator = target.name.clone();
    loop {
        match control.recv().await {
            Ok(Some(FromAggregator::Refused { why })) => {
                return AttemptError::Refused { aggregator, why };
            }
            Ok(Some(message)) => {
                let _ = tell.send((attempt, Told::Said(message)));
            }
            Ok(None) => return AttemptError::Closed(aggregator),
            Err(source) => return AttemptError::Link { aggregator, source },
        }
    }
}

/// Writes what the pump wants said. The pump itself must not wait: acks come while this is blocked.
async fn speak(
    mut control: ControlTx,
    mut said: mpsc::Receiver<FromAgent>,
    target: &AggregatorAddress,
) -> AttemptError {
    while let Some(message) = said.recv().await {
        if let Err(source) = control.send(&message).await {
            return AttemptError::Link { aggregator: target.name.clone(), source };
        }
    }
    // The pump has let go of the line: its end is told by `listen`.
    std::future::pending().await
}

/// Asks an aggregator whether it would take us; closes whatever the answer.
///
/// # Errors
/// Why it would not, or could not be asked.
pub(super) async fn probe(
    road: &Road,
    target: &AggregatorAddress,
    hello: Hello,
) -> Result<(), AttemptError> {
    let greeted = greet(road, target, hello, || ()).await?;
    greeted.connection.close(muster_link::Close::Normal, "probe");
    Ok(())
}
