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
    /// Our half of the control stream.
    pub control: ControlTx,
}

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
        Ok((line, welcome, control)) => {
            let _ = tell.send((attempt, Told::Welcomed { line: Box::new(line), welcome }));
            listen(attempt, control, &target, &tell).await
        }
        Err(error) => error,
    };
    let _ = tell.send((attempt, Told::Ended(error)));
}

async fn greet(
    dialer: &Dialer,
    target: &AggregatorAddress,
    hello: Hello,
    dialled: impl FnOnce(),
) -> Result<(Line, Welcome, ControlRx), AttemptError> {
    let link = |source| AttemptError::Link { aggregator: target.name.clone(), source };
    let connection = dial(dialer, target).await?;
    dialled();
    let (mut control, mut control_rx) = connection.open_control().map_err(link)?;
    control.send(&FromAgent::Hello(hello)).await.map_err(link)?;
    match control_rx.recv().await.map_err(link)? {
        Some(FromAggregator::Welcome(welcome)) => {
            Ok((Line { connection, control }, welcome, control_rx))
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

/// Asks an aggregator whether it would take us; closes whatever the answer.
///
/// # Errors
/// Why it would not, or could not be asked.
pub async fn probe(
    dialer: &Dialer,
    target: &AggregatorAddress,
    hello: Hello,
) -> Result<(), AttemptError> {
    let (line, _, _) = greet(dialer, target, hello, || ()).await?;
    line.connection.close(muster_link::Close::Normal, "probe");
    Ok(())
}
