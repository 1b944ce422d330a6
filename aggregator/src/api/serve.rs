//! The HTTP server: on a unix socket for admins of this machine, with TLS for everybody with a token.
//!
//! Room: `api/serve`.  May use: `api`.  Used by: the app, which binds, spawns and stops.
//!
//! Invariants
//! - A connection costs at most a buffer, and at most one answer in memory; a client that does not send its
//!   head, or does not take its answer, is closed after [`HEAD_WAIT`] or [`WRITE_WAIT`].
//! - One caller (user or address) has at most [`SEATS_PER_CALLER`] of the [`SEATS`] connections: a hostile one
//!   fills its own seats, not the room.
//! - Request bodies are never read: every page is GET.
//!
//! Absent on purpose: HTTP/2, compression, cookies. TLS comes as a function: this crate names no TLS library.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, Response, header};
use axum::response::IntoResponse as _;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::ask::{Ask, Granted, Reader};
use super::door::{Caller, TokenCheck, admit_caller, admit_token};
use super::problem::Problem;
use super::rooms::Rooms;
use super::{Answer, answer};

mod patient;

use patient::Patient;

/// Connections of one listener.
pub const SEATS: usize = 512;
/// Connections of one caller.
pub const SEATS_PER_CALLER: usize = 32;
/// Longest wait for a TLS handshake.
pub const HANDSHAKE_WAIT: Duration = Duration::from_secs(5);
/// Longest wait for the head of a request, also between two requests.
pub const HEAD_WAIT: Duration = Duration::from_secs(15);
/// Longest wait for a client to take bytes of its answer.
pub const WRITE_WAIT: Duration = Duration::from_secs(20);
/// Longest work on one answer.
pub const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// Longest wait for answers under way when the server stops.
pub const DRAIN_WAIT: Duration = Duration::from_secs(5);
/// Head of a request. Bytes.
pub const HEAD_BYTES_MAX: usize = 32 * 1024;
/// Fields in the head of a request.
pub const HEAD_FIELDS_MAX: usize = 64;

/// A connection after its TLS handshake.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A TLS handshake under way.
pub type Handshake = Pin<Box<dyn Future<Output = io::Result<Box<dyn Wire>>> + Send>>;

/// Does the server's side of a TLS handshake.
pub type TlsAccept = Arc<dyn Fn(TcpStream) -> Handshake + Send + Sync>;

/// Mode of the socket: anybody may connect. [`serve_socket`] looks at who it is, so that a stranger hears why
/// instead of "permission denied".
pub const SOCKET_MODE: u32 = 0o666;

/// Serves the socket until `stop` resolves: root, our own user, members of `group`.
pub async fn serve_socket(
    listener: UnixListener,
    rooms: Arc<Rooms>,
    group: String,
    stop: impl Future<Output = ()>,
) {
    let (seats, mut open) = (Seats::default(), JoinSet::new());
    tokio::pin!(stop);
    loop {
        let stream = tokio::select! {
            () = &mut stop => break,
            Some(_) = open.join_next(), if !open.is_empty() => continue,
            accepted = listener.accept(), if open.len() < SEATS => accepted.map(|(stream, _)| stream),
        };
        let Some((stream, caller)) = stream.ok().and_then(with_caller) else {
            pause_after_error().await;
            continue;
        };
        if let Some(seat) = seats.take(Key::User(caller.uid)) {
            let (rooms, group) = (Arc::clone(&rooms), group.clone());
            open.spawn(async move {
                let admitted =
                    tokio::task::spawn_blocking(move || admit_caller(caller, &group)).await;
                let admitted =
                    admitted.unwrap_or_else(|error| Err(Problem::ours(error.to_string())));
                serve_wire(stream, pages(rooms, Arc::new(move |_| admitted.clone()))).await;
                drop(seat);
            });
        }
    }
    drain(open).await;
}

/// Serves HTTPS until `stop` resolves: everybody with a token.
pub async fn serve_https(
    (listener, tls): (TcpListener, TlsAccept),
    rooms: Arc<Rooms>,
    tokens: TokenCheck,
    stop: impl Future<Output = ()>,
) {
    let door: Door = Arc::new(move |authorization| admit_token(authorization, &tokens));
    serve_tcp((listener, tls), pages(rooms, door), stop).await;
}

/// Serves `/metrics` and `/federate` without TLS or token until `stop` resolves: for a Prometheus on
/// this machine or on a network of its own. Every other page is refused.
pub async fn serve_metrics(
    listener: TcpListener,
    rooms: Arc<Rooms>,
    stop: impl Future<Output = ()>,
) {
    let plain: TlsAccept =
        Arc::new(|stream| Box::pin(async move { Ok(Box::new(stream) as Box<dyn Wire>) }));
    let router = Router::new().fallback(move |request: Request| {
        let rooms = Arc::clone(&rooms);
        let is_open = matches!(request.uri().path(), "/metrics" | "/federate");
        let door: Door = Arc::new(move |_| {
            if is_open {
                let granted = Granted::Named(Default::default());
                return Ok(Reader { name: "metrics".to_owned(), granted });
            }
            Err(Problem::forbidden("only /metrics and /federate are served here"))
        });
        let asked = to_ask(&request, &door);
        async move { reply(&rooms, asked).await }
    });
    serve_tcp((listener, plain), router, stop).await;
}

async fn serve_tcp(
    (listener, tls): (TcpListener, TlsAccept),
    router: Router,
    stop: impl Future<Output = ()>,
) {
    let (seats, mut open) = (Seats::default(), JoinSet::new());
    tokio::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            Some(_) = open.join_next(), if !open.is_empty() => continue,
            accepted = listener.accept(), if open.len() < SEATS => accepted,
        };
        let Ok((stream, address)) = accepted else {
            pause_after_error().await;
            continue;
        };
        if let Some(seat) = seats.take(Key::Address(address.ip())) {
            let (handshake, router) = (tls(stream), router.clone());
            open.spawn(async move {
                if let Ok(Ok(wire)) = timeout(HANDSHAKE_WAIT, handshake).await {
                    serve_wire(wire, router).await;
                }
                drop(seat);
            });
        }
    }
    drain(open).await;
}

/// Who asks, from the `Authorization` field.
type Door = Arc<dyn Fn(Option<&str>) -> Result<Reader, Problem> + Send + Sync>;

fn pages(rooms: Arc<Rooms>, door: Door) -> Router {
    Router::new().fallback(move |request: Request| {
        let rooms = Arc::clone(&rooms);
        let asked = to_ask(&request, &door);
        async move { reply(&rooms, asked).await }
    })
}

async fn reply(rooms: &Arc<Rooms>, asked: Result<Ask, Problem>) -> Response<axum::body::Body> {
    let answer = match asked {
        Ok(ask) => timeout(ANSWER_WAIT, answer(rooms, &ask)).await.unwrap_or_else(|_| {
            Problem::timeout(format!("more than {} s", ANSWER_WAIT.as_secs())).into()
        }),
        Err(problem) => problem.into(),
    };
    to_response(answer)
}

fn to_ask(request: &Request, door: &Door) -> Result<Ask, Problem> {
    let authorization = request.headers().get(header::AUTHORIZATION);
    let reader = door(authorization.and_then(|value| value.to_str().ok()))?;
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Err(Problem::method(format!("{} is not answered", request.method())));
    }
    let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(request.uri())
        .map_err(|error| Problem::question(error.to_string()))?;
    let path = decode_path(request.uri().path())
        .ok_or_else(|| Problem::question("the path is not UTF-8 in percent encoding"))?;
    Ok(Ask { path, query: query.0, reader })
}

fn to_response(answer: Answer) -> axum::response::Response {
    let status = answer.status;
    let mut response = Response::new(axum::body::Body::from(answer.body));
    *response.status_mut() = axum::http::StatusCode::from_u16(status)
        .unwrap_or(axum::http::StatusCode::INTERNAL_SERVER_ERROR);
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    match status {
        401 => {
            fields.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        405 => {
            fields.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        503 => {
            fields.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    response.into_response()
}

async fn serve_wire(wire: impl Wire + 'static, pages: Router) {
    let io = TokioIo::new(Patient::new(wire, WRITE_WAIT));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEAD_FIELDS_MAX)
        .serve_connection(io, TowerToHyperService::new(pages));
    if let Err(error) = connection.await {
        tracing::debug!(%error, "HTTP connection ended.");
    }
}

async fn drain(mut open: JoinSet<()>) {
    let all = async { while open.join_next().await.is_some() {} };
    // Who is still connected after that is idle or too slow; dropping the set closes it.
    let _ = timeout(DRAIN_WAIT, all).await;
}

/// Out of file descriptors or memory: the next try at once would only spin.
async fn pause_after_error() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

fn with_caller(stream: UnixStream) -> Option<(UnixStream, Caller)> {
    let credentials = stream.peer_cred().ok()?;
    Some((stream, Caller { uid: credentials.uid(), gid: credentials.gid() }))
}

/// `%41` becomes `A`; `None` when the result is not UTF-8 or an escape is broken.
fn decode_path(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

/// Who sits where.
#[derive(Debug, Clone, Default)]
struct Seats(Arc<Mutex<HashMap<Key, usize>>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    User(u32),
    Address(IpAddr),
}

/// A connection's place; free again when dropped.
struct Seat(Seats, Key);

impl Seats {
    /// `None` when the caller has all its seats.
    fn take(&self, key: Key) -> Option<Seat> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(key).or_default();
        (*count < SEATS_PER_CALLER).then(|| {
            *count += 1;
            Seat(self.clone(), key)
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.1);
            }
        }
    }
}

#[cfg(test)]
mod tests;
