//! A page for Prometheus: `GET /metrics` over HTTP/1.1, so that a host can be scraped as before.
//!
//! It shows the latest scrape; asking does not make one, so a stranger who asks often costs little.
//! One request a connection. Absent on purpose: TLS and names; it is meant for loopback or a
//! management network, like the exporter it stands in for.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use muster_proto::metric::{Dict, Scrape};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::exposition::{CONTENT_TYPE, exposition};

/// Request line and headers. Bytes.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024;
/// Reading a request, and writing an answer, may take this long.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);
/// Connections at once; more wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 16;

const LANDING: &str =
    "<!doctype html><title>muster-agent</title><a href=\"/metrics\">Metrics</a>\n";

/// What the page shows.
#[derive(Debug, Clone, Default)]
pub struct Latest {
    /// The series.
    pub dict: Arc<Dict>,
    /// Their values.
    pub scrape: Option<Arc<Scrape>>,
}

/// Serves until `latest` closes.
///
/// A connection that fails is its own problem; when `accept` fails (no file descriptors left) it is
/// tried again after a second.
pub async fn run(listener: TcpListener, mut latest: watch::Receiver<Latest>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            changed = latest.changed() => if changed.is_err() { return },
            _ = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    let page = latest.borrow().clone();
                    connections.spawn(answer(stream, page));
                }
                Err(error) => {
                    tracing::warn!(%error, "Cannot accept a connection for /metrics.");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            },
        }
    }
}

async fn answer(mut stream: TcpStream, latest: Latest) {
    let reply = match timeout(REQUEST_TIME_MAX, read_request(&mut stream)).await {
        Ok(Ok(request)) => reply_to(&request, &latest),
        Ok(Err(_)) => return,
        Err(_) => reply("408 Request Timeout", "text/plain", "too slow\n", true),
    };
    // The peer may have gone away; then nobody misses the answer.
    let _gone = timeout(REQUEST_TIME_MAX, async {
        stream.write_all(reply.as_bytes()).await?;
        stream.shutdown().await
    })
    .await;
}

/// Reads up to the empty line that ends the headers.
async fn read_request(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut request = Vec::with_capacity(1024);
    while !request.windows(4).any(|four| four == b"\r\n\r\n") && request.len() < REQUEST_BYTES_MAX {
        let room = (REQUEST_BYTES_MAX - request.len()) as u64;
        if (&mut *stream).take(room).read_buf(&mut request).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(request)
}

/// The whole answer to a request.
fn reply_to(request: &[u8], latest: &Latest) -> String {
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let (Some(method), Some(target), Some("HTTP/1.0" | "HTTP/1.1"), None) =
        (method, target, version, words.next())
    else {
        return reply("400 Bad Request", "text/plain", "not understood\n", true);
    };
    if !request.windows(4).any(|four| four == b"\r\n\r\n") {
        let status = "431 Request Header Fields Too Large";
        return reply(status, "text/plain", "too long\n", true);
    }
    let with_body = match method {
        "GET" => true,
        "HEAD" => false,
        _ => return reply("405 Method Not Allowed", "text/plain", "only GET and HEAD\n", true),
    };
    match target.split('?').next().unwrap_or_default() {
        "/metrics" => match &latest.scrape {
            Some(scrape) => {
                let mut text = String::with_capacity(64 * 1024);
                exposition(&latest.dict, scrape, &mut text);
                reply("200 OK", CONTENT_TYPE, &text, with_body)
            }
            None => reply("503 Service Unavailable", "text/plain", "no scrape yet\n", with_body),
        },
        "/" => reply("200 OK", "text/html", LANDING, with_body),
        _ => reply("404 Not Found", "text/plain", "only /metrics is here\n", with_body),
    }
}

fn reply(status: &str, kind: &str, body: &str, with_body: bool) -> String {
    let length = body.len();
    let body = if with_body { body } else { "" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

#[cfg(test)]
mod tests {
    use muster_proto::clock::Utc;
    use muster_proto::metric::{MetricType, Series};

    use super::*;

    fn latest() -> Latest {
        let name = "node_load1".to_owned();
        let series = vec![Series { name, kind: MetricType::Gauge, labels: vec![] }];
        let scrape = Scrape { at: Utc(0), values: vec![Some(0.25)] };
        let dict = Arc::new(Dict { series, base: vec![0.0] });
        Latest { dict, scrape: Some(Arc::new(scrape)) }
    }

    #[track_caller]
    fn check(request: &str, status: &str, body_end: &str) {
        let reply = reply_to(request.as_bytes(), &latest());
        assert!(reply.starts_with(&format!("HTTP/1.1 {status}")), "{reply}");
        assert!(reply.ends_with(body_end), "{reply}");
    }

    #[test]
    fn requests_and_their_answers() {
        check("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", "200", "\nnode_load1 0.25\n");
        check("GET /metrics?x=y HTTP/1.0\r\n\r\n", "200", "\nnode_load1 0.25\n");
        check("HEAD /metrics HTTP/1.1\r\n\r\n", "200", "close\r\n\r\n");
        check("GET / HTTP/1.1\r\n\r\n", "200", "</a>\n");
        check("GET /etc/passwd HTTP/1.1\r\n\r\n", "404", "here\n");
        check("POST /metrics HTTP/1.1\r\n\r\n", "405", "HEAD\n");
        check("\u{16}\u{3}\u{1}\r\n\r\n", "400", "understood\n");
        check("GET /metrics HTTP/1.1\r\nX: ", "431", "long\n");
    }

    #[tokio::test]
    async fn serves_the_latest_scrape_until_it_is_told_to_stop() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (latest_tx, latest_rx) = watch::channel(Latest::default());
        let server = tokio::spawn(run(listener, latest_rx));
        for expected in ["503", "200"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").await.unwrap();
            let mut reply = String::new();
            stream.read_to_string(&mut reply).await.unwrap();
            assert!(reply.starts_with(&format!("HTTP/1.1 {expected}")), "{reply}");
            latest_tx.send_replace(latest());
        }
        drop(latest_tx);
        server.await.unwrap();
    }
}
