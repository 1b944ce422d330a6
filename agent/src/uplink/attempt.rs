//! One attempt to reach one aggregator: resolve, dial, say hello, then listen until the end.

use std::net::SocketAddr;
use std::sync::Arc;

use muster_link::{Connection, ControlRx, ControlTx, Dialer, LinkError};
use muster_proto::control::{FromAgent, FromAggregator, Hello, Welcome};
use tokio::sync::mpsc;

use crate::config::AggregatorAddress;

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

/// Runs one attempt to its end; tells everything under its number.
pub async fn run(
    attempt: Attempt,
    dialer: Arc<Dialer>,
    target: AggregatorAddress,
    hello: Hello,
    tell: mpsc::UnboundedSender<(Attempt, Told)>,
) {
    let dialled = || drop(tell.send((attempt, Told::Dialled)));
    let error = match greet(&dialer, &target, hello, dialled).await {
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
    dialer: &Dialer,
    target: &AggregatorAddress,
    hello: Hello,
    dialled: impl FnOnce(),
) -> Result<Greeted, AttemptError> {
    let link = |source| AttemptError::Link { aggregator: target.name.clone(), source };
    let connection = dial(dialer, target).await?;
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

/// Tries every address of the name, in the resolver's order; the last failure counts.
async fn dial(dialer: &Dialer, target: &AggregatorAddress) -> Result<Connection, AttemptError> {
    let mut failure = AttemptError::NoAddress(target.host.clone());
    for address in resolve(target).await? {
        match dialer.dial(address, &target.name).await {
            Ok(connection) => return Ok(connection),
            Err(source) => {
                failure = AttemptError::Link { aggregator: target.name.clone(), source };
            }
        }
    }
    Err(failure)
}

async fn resolve(target: &AggregatorAddress) -> Result<Vec<SocketAddr>, AttemptError> {
    let host = target.host.as_str();
    let found = tokio::net::lookup_host((host, target.port)).await;
    let found = found.map_err(|source| AttemptError::Resolve { host: host.to_owned(), source })?;
    Ok(found.collect())
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
pub async fn probe(
    dialer: &Dialer,
    target: &AggregatorAddress,
    hello: Hello,
) -> Result<(), AttemptError> {
    let greeted = greet(dialer, target, hello, || ()).await?;
    greeted.connection.close(muster_link::Close::Normal, "probe");
    Ok(())
}
