//! What somebody writes into the aggregator's socket: HTTP, or anything.

use std::sync::Arc;
use std::time::Duration;

use muster_aggregator::api::door::ADMIN_GROUP;
use muster_aggregator::api::serve;
use muster_program::socket;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::question::expect_no_panic;
use super::stand_in::StandIn;
use super::{Target, texts};

pub(super) const TARGET: Target = Target {
    rounds: 1_500,
    memory_bytes_max: 128 * 1024 * 1024,
    ..Target::new("http", run, seeds)
};

/// Longest wait for an answer: longer than any search may take.
const ANSWER_WAIT: Duration = Duration::from_secs(60);

thread_local! {
    static SERVER: StandIn = start();
}

fn start() -> StandIn {
    let stand_in = StandIn::build();
    let listener = {
        let _inside = stand_in.runtime.enter();
        socket::bind(&stand_in.folder.path().join("sock"), serve::SOCKET_MODE)
            .expect("room for a socket")
    };
    let group = ADMIN_GROUP.to_owned();
    let rooms = Arc::clone(&stand_in.rooms);
    stand_in.runtime.spawn(serve::serve_socket(listener, rooms, group, std::future::pending()));
    stand_in
}

fn run(bytes: &[u8]) {
    SERVER.with(|server| {
        let talk = async {
            let path = server.folder.path().join("sock");
            let mut socket = UnixStream::connect(&path).await.expect("the server listens");
            let (mut answers, mut words) = socket.split();
            let mut answer = Vec::new();
            // The server may close before it has read everything.
            let write = async {
                let written = words.write_all(bytes).await;
                drop((written, words.shutdown().await));
            };
            let (read, ()) = tokio::join!(answers.read_to_end(&mut answer), write);
            drop(read);
            answer
        };
        let talk = async { tokio::time::timeout(ANSWER_WAIT, talk).await };
        let answer = server.runtime.block_on(talk).expect("the server answers or closes");
        expect_no_panic(bytes, &answer);
    });
}

fn seeds() -> Vec<Vec<u8>> {
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let pages = [
        "/api/v1/status",
        "/api/v1/hosts?selector=host%3Ddb*",
        "/api/v1/hosts/db1",
        "/api/v1/checks?state=crit,warn&id=fs.*",
        "/api/v1/logs?q=a.*b&regex=1&any_case=1&since=1h&limit=5&order=oldest&severity=err",
        "/api/v1/logs?since=2026-11-20T10:00:00Z&until=1795000000000000&class=auth",
        "/api/v1/metrics?q=%7Bhost%3D%22db1%22%7D&since=1h&step=1m",
        "/metrics",
        "/federate?match[]=node_0_total&scope=local",
    ];
    let mut seeds: Vec<_> = pages.iter().map(|page| get(page).into_bytes()).collect();
    seeds.extend(texts(&[
        "POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\nx",
        "GET / HTTP/1.0\r\n\r\n",
    ]));
    seeds
}
