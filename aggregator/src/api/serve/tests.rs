//! The API over real sockets: the metrics page alone, HTTPS with tokens, slow and hostile clients.

use std::collections::BTreeSet;

use expect_test::{Expect, expect};
use muster_proto::clock::Utc;
use muster_proto::frame::Sealer;
use muster_proto::ids::{Seq, StreamId};
use muster_proto::lane::Lane;
use muster_proto::log::{LogBlock, LogSource, Severity, SourceKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Semaphore, oneshot};

use std::path::Path;

use super::*;
use crate::api::rooms::QUESTIONS_MAX;
use crate::api::stored::Stored;
use crate::api::{Granted, PeerError, Peers, Reply};
use crate::roster::Roster;
use crate::roster::leases::Leases;
use crate::stores::HostTag;
use crate::stores::logs::{LogSettings, LogStore};
use crate::stores::metrics::{MetricSettings, MetricStore};

const NOW: Utc = Utc(1_795_000_000_000_000);

struct Alone;

impl Peers for Alone {
    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn ask(&self, _peer: &str, _question: Vec<u8>) -> Reply {
        Box::pin(async { Err(PeerError { source: None }) })
    }
}

/// Rooms over real stores, with two lines in them.
fn rooms(folder: &Path) -> Arc<Rooms> {
    let spool = StreamId([9; 16]);
    let logs = LogStore::open(&folder.join("logs"), spool, LogSettings::default()).unwrap();
    let metrics =
        MetricStore::open(&folder.join("metrics"), spool, MetricSettings::default()).unwrap();
    let mut block = LogBlock::new();
    for (class, text) in [("auth", "session opened for root"), ("web", "GET /")] {
        let source = LogSource {
            kind: SourceKind::File,
            name: format!("/var/log/{class}.log"),
            program: String::new(),
            class: class.to_owned(),
        };
        let source = block.source(&source);
        block.push(source, NOW, (Severity::Info, 0), text.as_bytes());
    }
    let sealed = block.seal(&mut Sealer::new().unwrap()).unwrap().unwrap();
    let mut frame = sealed.header(Lane::Logs, StreamId([1; 16]), Seq(1)).encode().to_vec();
    frame.extend_from_slice(&sealed.body);
    let tag = HostTag { host: "db1".to_owned(), datacenter: "eqiad".to_owned() };
    logs.take(1, &tag, &frame, NOW).unwrap();
    Arc::new(Rooms {
        name: "agg1".to_owned(),
        datacenter: "eqiad".to_owned(),
        version: "0.1.0".to_owned(),
        started_at: NOW,
        roster: Arc::new(Mutex::new(Roster::new(NOW))),
        leases: Arc::new(Mutex::new(Leases::new(("agg1", "eqiad"), &[], NOW))),
        incidents: Arc::default(),
        telemetry: Arc::new(Stored { logs, metrics }),
        peers: Arc::new(Alone),
        restricted: BTreeSet::from(["auth".to_owned()]),
        own: Arc::new(|| "muster_up 1\n".to_owned()),
        own_checks: Arc::new(Vec::new),
        clock: || NOW,
        turns: Arc::new(Semaphore::new(QUESTIONS_MAX)),
    })
}

/// `web` may read the open classes, `all` every class.
fn tokens() -> TokenCheck {
    Arc::new(|token| match token {
        "web" => Some(Reader { name: "web".to_owned(), granted: Granted::Named(BTreeSet::new()) }),
        "all" => Some(Reader { name: "all".to_owned(), granted: Granted::All }),
        _ => None,
    })
}

struct Server {
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

/// The server over TCP, with a handshake that does nothing.
fn start() -> Server {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let plain: TlsAccept =
        Arc::new(|stream| Box::pin(async move { Ok(Box::new(stream) as Box<dyn Wire>) }));
    let (stop, stopped) = oneshot::channel();
    let rooms = rooms(folder.path());
    let task = runtime.spawn(serve_https((listener, plain), rooms, tokens(), async {
        let _ = stopped.await;
    }));
    Server { folder, runtime, address, stop, task }
}

/// Sends a head and reads until the server closes.
async fn talk(address: std::net::SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// The one door: a request line and token in; status, fields that matter and body out.
#[track_caller]
fn check(server: &Server, line: &str, token: &str, expected: Expect) {
    let bearer =
        if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
    let head = format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{bearer}\r\n");
    let answer = server.runtime.block_on(talk(server.address, &head));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let fields = head.lines().filter(|line| {
        ["HTTP", "content-type", "allow", "www-auth"].iter().any(|word| line.starts_with(word))
    });
    let fields: Vec<&str> = fields.collect();
    expected.assert_eq(&format!("{}\n{body}", fields.join("\n")));
}

#[test]
fn tokens_methods_and_paths_are_checked() {
    let server = start();
    check(
        &server,
        "GET /metrics",
        "",
        expect![[r#"
        HTTP/1.1 401 Unauthorized
        content-type: application/problem+json
        www-authenticate: Bearer
        {"type":"about:blank#unauthenticated","title":"Who asks is not known","status":401,"detail":"send `Authorization: Bearer TOKEN`"}"#]],
    );
    check(
        &server,
        "GET /metrics",
        "guess",
        expect![[r#"
        HTTP/1.1 401 Unauthorized
        content-type: application/problem+json
        www-authenticate: Bearer
        {"type":"about:blank#unauthenticated","title":"Who asks is not known","status":401,"detail":"the token is not known or has expired"}"#]],
    );
    check(
        &server,
        "POST /metrics",
        "web",
        expect![[r#"
        HTTP/1.1 405 Method Not Allowed
        content-type: application/problem+json
        allow: GET, HEAD
        {"type":"about:blank#method","title":"Only GET and HEAD are answered","status":405,"detail":"POST is not answered"}"#]],
    );
    check(
        &server,
        "HEAD /metrics",
        "web",
        expect![[r#"
        HTTP/1.1 200 OK
        content-type: text/plain; version=0.0.4; charset=utf-8
    "#]],
    );
    check(
        &server,
        "GET /metrics",
        "web",
        expect![[r#"
        HTTP/1.1 200 OK
        content-type: text/plain; version=0.0.4; charset=utf-8
        muster_up 1
    "#]],
    );
    check(
        &server,
        "GET /api/v1/hosts/d%C3%A9",
        "web",
        expect![[r#"
        HTTP/1.1 404 Not Found
        content-type: application/problem+json
        {"type":"about:blank#not-found","title":"Not found","status":404,"detail":"no aggregator knows the host dé"}"#]],
    );
    check(
        &server,
        "GET /api/v1/hosts/%ff",
        "web",
        expect![[r#"
        HTTP/1.1 400 Bad Request
        content-type: application/problem+json
        {"type":"about:blank#question","title":"The question has a mistake","status":400,"detail":"the path is not UTF-8 in percent encoding"}"#]],
    );
}

#[test]
fn the_stores_answer() {
    let server = start();
    check(
        &server,
        "GET /api/v1/logs?since=1h",
        "web",
        expect![[r#"
        HTTP/1.1 200 OK
        content-type: application/x-ndjson
        {"time":"2026-11-18T11:06:40.000000Z","host":"db1","datacenter":"eqiad","class":"web","source":"/var/log/web.log","program":"","severity":"info","message":"GET /","stream":"01010101010101010101010101010101","seq":1,"index":1}
        {"end":{"limited":false,"lines":1,"scanned_bytes":30,"truncated":null,"unanswered":[]}}
    "#]],
    );
    check(
        &server,
        "GET /api/v1/logs?q=root%24&regex=1&class=auth",
        "all",
        expect![[r#"
        HTTP/1.1 200 OK
        content-type: application/x-ndjson
        {"time":"2026-11-18T11:06:40.000000Z","host":"db1","datacenter":"eqiad","class":"auth","source":"/var/log/auth.log","program":"","severity":"info","message":"session opened for root","stream":"01010101010101010101010101010101","seq":1,"index":0}
        {"end":{"limited":false,"lines":1,"scanned_bytes":30,"truncated":null,"unanswered":[]}}
    "#]],
    );
    check(
        &server,
        "GET /api/v1/logs?q=%28&regex=1",
        "all",
        expect![[r#"
        HTTP/1.1 400 Bad Request
        content-type: application/problem+json
        {"type":"about:blank#question","title":"The question has a mistake","status":400,"detail":"cannot understand the regular expression: regex parse error:\n    (\n    ^\nerror: unclosed group"}"#]],
    );
    check(
        &server,
        "GET /api/v1/metrics?q=node_load1",
        "web",
        expect![[r#"
        HTTP/1.1 200 OK
        content-type: application/json
        {"series":[],"unanswered":[]}"#]],
    );
    check(
        &server,
        "GET /api/v1/metrics?q=%7B",
        "web",
        expect![[r#"
        HTTP/1.1 400 Bad Request
        content-type: application/problem+json
        {"type":"about:blank#question","title":"The question has a mistake","status":400,"detail":"selector, at byte 1: expected a label name"}"#]],
    );
}

#[test]
fn who_fills_its_seats_fills_only_its_own() {
    let server = start();
    server.runtime.block_on(async {
        let mut idle = Vec::new();
        for _ in 0..SEATS_PER_CALLER {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nx-slow: ").await.unwrap();
            idle.push(stream);
        }
        // This address has all its seats: one more is closed at once.
        let mut more = TcpStream::connect(server.address).await.unwrap();
        let mut nothing = Vec::new();
        assert!(matches!(more.read_to_end(&mut nothing).await, Ok(0) | Err(_)));
        // Another address is served.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut other = socket.connect(server.address).await.unwrap();
        let head = "GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer web\r\n\r\n";
        other.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        other.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("muster_up 1\n"), "{answer}");
        // Seats are free again when connections end.
        drop(idle);
        loop {
            if talk(server.address, head).await.ends_with("muster_up 1\n") {
                break;
            }
        }
    });
}

#[test]
fn heads_without_end_are_refused() {
    let server = start();
    let fields: String = (0..HEAD_FIELDS_MAX + 1).map(|n| format!("x-{n}: y\r\n")).collect();
    let answer =
        server.runtime.block_on(talk(server.address, &format!("GET / HTTP/1.1\r\n{fields}\r\n")));
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let answer = server.runtime.block_on(talk(server.address, "\u{16}\u{3}\u{1} no HTTP\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
}

#[test]
fn a_stop_ends_the_server_and_frees_its_port() {
    let server = start();
    let Server { runtime, address, stop, task, folder } = server;
    stop.send(()).unwrap();
    runtime.block_on(task).unwrap();
    runtime.block_on(async { assert!(TcpStream::connect(address).await.is_err()) });
    drop(folder);
}

#[test]
fn strangers_are_not_admitted() {
    let own = nix::unistd::Uid::effective().as_raw();
    assert!(admit_caller(Caller { uid: 0, gid: 0 }, "no-such-group").is_ok());
    assert!(admit_caller(Caller { uid: own, gid: 0 }, "no-such-group").is_ok());
    let stranger = Caller { uid: 4_000_000, gid: 4_000_000 };
    assert_eq!(admit_caller(stranger, "no-such-group").unwrap_err().status, 403);
    assert_eq!(admit_caller(stranger, "root").unwrap_err().status, 403);
    // The primary group counts, too.
    assert!(admit_caller(Caller { uid: 4_000_000, gid: 0 }, "root").is_ok());
}

#[test]
fn the_plain_listener_gives_metrics_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(serve_metrics(listener, rooms(folder.path()), std::future::pending()));
    for (path, status) in [
        ("/metrics", "200"),
        ("/federate", "200"),
        ("/api/v1/logs", "403"),
        ("/api/v1/../../metrics", "403"),
        ("/%6detrics", "403"),
        ("/", "403"),
    ] {
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = runtime.block_on(talk(address, &head));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
    }
}
