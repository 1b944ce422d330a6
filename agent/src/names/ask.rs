//! Asks the name servers for SRV records: by UDP, by TCP when the answer is long, one after the other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::servers::Servers;
use super::srv::{Answer, AnswerError, Reply, encode_query, parse_answer};

/// Largest datagram that is looked at. Bytes.
const DATAGRAM_BYTES_MAX: usize = 4_096;
/// Everything together takes no longer, however many servers do not answer.
const LOOKUP_TIME_MAX: Duration = Duration::from_secs(8);

/// Why there are no records.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The network said no.
    #[error("cannot ask the name server {server}")]
    Network {
        /// Whom.
        server: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// What it said is not what was asked for.
    #[error("the name server {server} has no answer for {name}")]
    Answer {
        /// Whom.
        server: SocketAddr,
        /// What was asked for.
        name: String,
        /// Why.
        source: AnswerError,
    },
    /// Nobody answered.
    #[error("no name server answers")]
    Silence,
}

/// The SRV records of `name`: the first server that answers counts, also when it says that there are
/// none.
///
/// # Errors
/// [`LookupError`] of the last server that was asked.
pub async fn lookup_srv(servers: &Servers, name: &str) -> Result<Answer, LookupError> {
    let all = async {
        let mut failure = LookupError::Silence;
        for _ in 0..servers.attempts {
            for server in &servers.addresses {
                match ask(*server, name, servers.timeout).await {
                    Err(error) if !is_final(&error) => failure = error,
                    outcome => return outcome,
                }
            }
        }
        Err(failure)
    };
    timeout(LOOKUP_TIME_MAX, all).await.unwrap_or(Err(LookupError::Silence))
}

/// A server that knows has spoken; one that is broken has not.
fn is_final(error: &LookupError) -> bool {
    let known =
        |why: &AnswerError| matches!(why, AnswerError::Nothing | AnswerError::Refused("NXDOMAIN"));
    matches!(error, LookupError::Answer { source, .. } if known(source))
}

async fn ask(server: SocketAddr, name: &str, patience: Duration) -> Result<Answer, LookupError> {
    let refused = |source| LookupError::Answer { server, name: name.to_owned(), source };
    let network = |source| LookupError::Network { server, source };
    let silence = |_| LookupError::Silence;
    let id = fastrand::u16(..);
    let query = encode_query(id, name).map_err(refused)?;
    let by_udp = timeout(patience, by_udp(server, &query, id, name)).await.map_err(silence)?;
    let reply = match by_udp.map_err(network)? {
        Ok(Reply::Truncated) => {
            let by_tcp = timeout(patience, by_tcp(server, &query)).await.map_err(silence)?;
            parse_answer(&by_tcp.map_err(network)?, id, name)
        }
        reply => reply,
    };
    match reply.map_err(refused)? {
        Reply::Answer(answer) => Ok(answer),
        // By TCP everything fits.
        Reply::Truncated => Err(refused(AnswerError::Unreadable)),
    }
}

/// Waits for the datagram that answers; strays are passed over. A fresh socket has a fresh port, which
/// a forger must guess besides the id.
async fn by_udp(
    server: SocketAddr,
    query: &[u8],
    id: u16,
    name: &str,
) -> std::io::Result<Result<Reply, AnswerError>> {
    let any = match server.ip() {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        let len = socket.recv(&mut datagram).await?;
        match parse_answer(&datagram[..len], id, name) {
            Err(AnswerError::Stray) => {}
            reply => return Ok(reply),
        }
    }
}

/// RFC 1035 §4.2.2: a message is preceded by its length, two bytes.
async fn by_tcp(server: SocketAddr, query: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let len = u16::try_from(query.len()).map_err(std::io::Error::other)?;
    let message = [&len.to_be_bytes(), query].concat();
    stream.write_all(&message).await?;
    let len = stream.read_u16().await?;
    let mut answer = vec![0; len.into()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}
