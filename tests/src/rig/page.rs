//! A page over plain HTTP on loopback.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

/// A server that says nothing for this long is broken.
const PATIENCE: Duration = Duration::from_secs(30);

/// The body behind `path`, which is percent-encoded already.
///
/// # Errors
/// Nobody listens, or the status is not 200.
pub fn page(port: u16, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or((&reply, ""));
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("200") {
        return Err(std::io::Error::other(format!("{path}: {status}: {body}")));
    }
    Ok(body.to_owned())
}
