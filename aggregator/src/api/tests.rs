//! Every page, over a canned store and peers that answer, are silent or lie.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use expect_test::{Expect, expect};
use fastrand::Rng;
use muster_proto::clock::Utc;
use muster_proto::ids::{Seq, StreamId};
use muster_proto::log::Severity;
use muster_proto::metric::MetricType;
use muster_proto::state::{CheckState, Heartbeat, HostFacts, StateBatch, StateRecord};
use muster_proto::verdict::{Urgency, Verdict};
use tokio::sync::Semaphore;

use super::fleet::{merge_logs, merge_series};
use super::rooms::{QUESTIONS_MAX, Searched};
use super::rows::{LogRow, LogsPart, Number, SeriesRow, Stamp};
use super::*;
use crate::incidents::{Incident, Incidents, Kind, Scope};
use crate::roster::leases::Leases;
use crate::roster::{Arrival, Roster};

const NOW: Utc = Utc(1_795_000_000_000_000);

/// Stores that hold what a test puts in.
#[derive(Default)]
struct Canned {
    lines: Vec<LogRow>,
    series: Vec<SeriesRow>,
}

impl Telemetry for Canned {
    fn search_logs(
        &self,
        ask: &LogAsk,
        _search: &Search,
        out: &mut dyn FnMut(LogRow) -> ControlFlow<()>,
    ) -> Result<Searched, TelemetryError> {
        let mut lines = self.lines.clone();
        lines.sort_by_key(|line| (line.at, line.seq, line.index));
        if !ask.oldest_first {
            lines.reverse();
        }
        for line in lines {
            if out(line).is_break() {
                break;
            }
        }
        Ok(Searched { scanned_bytes: 7, truncated: None })
    }

    fn series(&self, ask: &SeriesAsk, _search: &Search) -> Result<Vec<SeriesRow>, TelemetryError> {
        if ask.queries.iter().any(|query| query.contains('!')) {
            return Err(TelemetryError::Question("selector, at byte 1: no".to_owned()));
        }
        Ok(self.series.clone())
    }
}

/// Other aggregators in the same process. `None` never answers.
#[derive(Default)]
struct Near(BTreeMap<String, Option<Arc<Rooms>>>);

impl Peers for Near {
    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn ask(&self, peer: &str, question: Vec<u8>) -> Reply {
        let Some(Some(rooms)) = self.0.get(peer).cloned() else {
            return Box::pin(std::future::pending());
        };
        Box::pin(async move {
            let down = rooms.name == "down";
            if down {
                Err(PeerError { source: None })
            } else {
                Ok(answer_peer(&rooms, &question).await)
            }
        })
    }
}

fn rooms(name: &str, roster: Roster, telemetry: Canned, peers: Near) -> Arc<Rooms> {
    Arc::new(Rooms {
        name: name.to_owned(),
        datacenter: "eqiad".to_owned(),
        version: "0.1.0".to_owned(),
        started_at: NOW,
        roster: Arc::new(Mutex::new(roster)),
        leases: Arc::new(Mutex::new(Leases::new((name, "eqiad"), &[], NOW))),
        incidents: Arc::default(),
        telemetry: Arc::new(telemetry),
        peers: Arc::new(peers),
        restricted: BTreeSet::from(["auth".to_owned()]),
        own: Arc::new(|| "muster_up 1\n".to_owned()),
        own_checks: Arc::new(Vec::new),
        clock: || NOW,
        turns: Arc::new(Semaphore::new(QUESTIONS_MAX)),
    })
}

fn admin() -> Reader {
    Reader { name: "uid 0".to_owned(), granted: Granted::All }
}

fn ask(url: &str, reader: Reader) -> Ask {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let query = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Ask { path: path.to_owned(), query, reader }
}

/// The one door: a URL in, status and body out.
#[track_caller]
fn check(rooms: &Arc<Rooms>, url: &str, expected: Expect) {
    check_as(rooms, url, admin(), expected);
}

#[track_caller]
fn check_as(rooms: &Arc<Rooms>, url: &str, reader: Reader, expected: Expect) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(answer(rooms, &ask(url, reader)));
    let body = String::from_utf8(answer.body).unwrap();
    // Rows on their own lines, so that the expectations can be read.
    let body = body.replace("},{", "},\n{").replace("[{", "[\n{");
    expected.assert_eq(&format!("{} {}\n{}", answer.status, answer.content_type, body.trim_end()));
}

fn said(id: &str, verdict: Verdict, at_s: i64) -> StateRecord {
    let at = Utc(NOW.0 + at_s * 1_000_000);
    StateRecord::Check(CheckState {
        id: id.to_owned(),
        instance: "/srv".to_owned(),
        verdict,
        since: at,
        at,
        valid_for_s: 900,
        urgency: Urgency::Page,
        message: "97 % full".to_owned(),
        runbook: "https://wiki/full".to_owned(),
        owner: "data".to_owned(),
        evidence: "du -x".to_owned(),
    })
}

fn beat(at_s: i64) -> StateRecord {
    let at = Utc(NOW.0 + at_s * 1_000_000);
    StateRecord::Heartbeat(Heartbeat { at, interval_s: 10, backlog: Vec::new() })
}

fn full(at_s: i64) -> StateRecord {
    StateRecord::FullReport { at: Utc(NOW.0 + at_s * 1_000_000) }
}

fn facts() -> StateRecord {
    StateRecord::Facts(HostFacts {
        role: "mariadb::core".to_owned(),
        tags: vec!["canary".to_owned()],
        agent_version: "0.1.0".to_owned(),
        ..HostFacts::default()
    })
}

/// Feeds a batch that arrived `at_s` seconds from now.
fn feed(
    roster: &mut Roster,
    (host, aggregator): (&str, &str),
    (seq, at_s): (u64, i64),
    records: &[StateRecord],
) {
    let arrival =
        Arrival { host, datacenter: "eqiad", aggregator, stream: StreamId([1; 16]), seq: Seq(seq) };
    let now = Utc(NOW.0 + at_s * 1_000_000);
    roster.on_batch(arrival, now, &StateBatch { records: records.to_vec() });
    roster.on_tick(NOW);
}

fn one_host() -> Roster {
    let mut roster = Roster::new(Utc(0));
    let records = [
        facts(),
        beat(-5),
        full(-5),
        said("fs.space", Verdict::Crit, -5),
        said("cpu.load", Verdict::Ok, -5),
    ];
    feed(&mut roster, ("db1", "agg1"), (1, -5), &records);
    roster
}

fn line(at_us: i64, seq: u64, text: &[u8], class: &str) -> LogRow {
    LogRow {
        at: Utc(NOW.0 + at_us),
        host: "db1".to_owned(),
        datacenter: "eqiad".to_owned(),
        class: class.to_owned(),
        source: "/var/log/x.log".to_owned(),
        program: "sshd".to_owned(),
        severity: Severity::Err,
        text: text.to_vec(),
        stream: StreamId([2; 16]),
        seq: Seq(seq),
        index: 0,
    }
}

fn load(host: &str, at_s: i64, value: f64) -> SeriesRow {
    SeriesRow {
        name: "node_load1".to_owned(),
        kind: MetricType::Gauge,
        host: host.to_owned(),
        datacenter: "eqiad".to_owned(),
        labels: BTreeMap::from([("host".to_owned(), "a\"b".to_owned())]),
        time: Some(Stamp(Utc(NOW.0 + at_s * 1_000_000))),
        value: Some(Number(value)),
        points: Vec::new(),
    }
}

#[test]
fn hosts_and_checks_have_the_promised_fields() {
    let rooms = rooms("agg1", one_host(), Canned::default(), Near::default());
    check(
        &rooms,
        "/api/v1/hosts?selector=role=mariadb::* not state=lost",
        expect![[r#"
        200 application/json
        {"hosts":[
        {"host":"db1","datacenter":"eqiad","role":"mariadb::core","state":"live","aggregator":"agg1","last_seen":"2026-11-18T11:06:35.000000Z","worst_check":"crit","agent_version":"0.1.0","reason":"","worst_check_id":"fs.space","tags":["canary"],"checks":{"ok":1,"warn":0,"crit":1,"unknown":0,"stale":0},"os":"","kernel":"","machine":"","cpus":0,"memory_bytes":0,"first_seen":"2026-11-18T11:06:35.000000Z","lost_records":0,"backlog":[]}],"unanswered":[]}"#]],
    );
    check(
        &rooms,
        "/api/v1/hosts?selector=datacenter=codfw",
        expect![[r#"
        200 application/json
        {"hosts":[],"unanswered":[]}"#]],
    );
    check(
        &rooms,
        "/api/v1/checks?state=crit",
        expect![[r#"
        200 application/json
        {"checks":[
        {"host":"db1","id":"fs.space","instance":"/srv","verdict":"crit","stale":false,"urgency":"page","since":"2026-11-18T11:06:35.000000Z","message":"97 % full","runbook":"https://wiki/full","owner":"data","at":"2026-11-18T11:06:35.000000Z","datacenter":"eqiad"}],"unanswered":[],"truncated":false}"#]],
    );
    check(
        &rooms,
        "/api/v1/checks?state=ok&id=fs.*",
        expect![[r#"
        200 application/json
        {"checks":[],"unanswered":[],"truncated":false}"#]],
    );
    check(
        &rooms,
        "/api/v1/hosts/DB1?scope=local",
        expect![[r#"
        200 application/json
        {"host":{"host":"db1","datacenter":"eqiad","role":"mariadb::core","state":"live","aggregator":"agg1","last_seen":"2026-11-18T11:06:35.000000Z","worst_check":"crit","agent_version":"0.1.0","reason":"","worst_check_id":"fs.space","tags":["canary"],"checks":{"ok":1,"warn":0,"crit":1,"unknown":0,"stale":0},"os":"","kernel":"","machine":"","cpus":0,"memory_bytes":0,"first_seen":"2026-11-18T11:06:35.000000Z","lost_records":0,"backlog":[]},"checks":[
        {"host":"db1","id":"cpu.load","instance":"/srv","verdict":"ok","stale":false,"urgency":"page","since":"2026-11-18T11:06:35.000000Z","message":"97 % full","runbook":"https://wiki/full","owner":"data","at":"2026-11-18T11:06:35.000000Z","datacenter":"eqiad","evidence":"du -x"},
        {"host":"db1","id":"fs.space","instance":"/srv","verdict":"crit","stale":false,"urgency":"page","since":"2026-11-18T11:06:35.000000Z","message":"97 % full","runbook":"https://wiki/full","owner":"data","at":"2026-11-18T11:06:35.000000Z","datacenter":"eqiad","evidence":"du -x"}],"unanswered":[]}"#]],
    );
    check(
        &rooms,
        "/api/v1/status",
        expect![[r#"
        200 application/json
        {"aggregators":[
        {"aggregator":"agg1","datacenter":"eqiad","hosts":1,"problems":[],"started_at":"2026-11-18T11:06:40.000000Z","version":"0.1.0"}],"checks":{"crit":1,"ok":1,"stale":0,"unknown":0,"warn":0},"datacenters":[
        {"datacenter":"eqiad","departed":0,"late":0,"live":1,"lost":0}],"hosts":{"departed":0,"late":0,"live":1,"lost":0,"total":1},"incidents":0,"unanswered":[]}"#]],
    );
}

/// An aggregator on a host with an agent: both speak under one name, and neither hides the other, even when a
/// peer has a newer and complete word of that host.
#[test]
fn the_aggregator_s_own_checks_stand_beside_those_of_its_host() {
    let StateRecord::Check(disk) = said("aggregator.disk", Verdict::Crit, -100) else { return };
    let disk = CheckState {
        instance: String::new(),
        message: "4 % free".to_owned(),
        valid_for_s: 60,
        evidence: String::new(),
        ..disk
    };
    let (mut old, mut new) = (Roster::new(Utc(0)), Roster::new(Utc(0)));
    feed(&mut old, ("agg1", "agg1"), (1, -9), &[beat(-9), said("fs.space", Verdict::Crit, -9)]);
    let newer = [full(-5), beat(-5), said("fs.space", Verdict::Ok, -5)];
    feed(&mut new, ("agg1", "agg2"), (2, -5), &newer);
    let peer = rooms("agg2", new, Canned::default(), Near::default());
    let near = Near(BTreeMap::from([("agg2".to_owned(), Some(peer))]));
    let mut here = Arc::into_inner(rooms("agg1", old, Canned::default(), near)).unwrap();
    here.own_checks = Arc::new(move || vec![disk.clone()]);
    let here = Arc::new(here);
    for url in ["/api/v1/checks", "/api/v1/checks?selector=host=agg1", "/api/v1/hosts/agg1"] {
        check_rows(&here, url, &["agg1 aggregator.disk crit stale", "agg1 fs.space ok"]);
    }
    check_rows(&here, "/api/v1/checks?state=ok", &["agg1 fs.space ok"]);
    check_rows(&here, "/api/v1/checks?selector=host=agg2", &[]);
    check(
        &here,
        "/api/v1/status",
        expect![[r#"
        200 application/json
        {"aggregators":[
        {"aggregator":"agg1","datacenter":"eqiad","hosts":0,"problems":["aggregator.disk: 4 % free"],"started_at":"2026-11-18T11:06:40.000000Z","version":"0.1.0"},
        {"aggregator":"agg2","datacenter":"eqiad","hosts":1,"problems":[],"started_at":"2026-11-18T11:06:40.000000Z","version":"0.1.0"}],"checks":{"crit":1,"ok":1,"stale":1,"unknown":0,"warn":0},"datacenters":[
        {"datacenter":"eqiad","departed":0,"late":0,"live":1,"lost":0}],"hosts":{"departed":0,"late":0,"live":1,"lost":0,"total":1},"incidents":0,"unanswered":[]}"#]],
    );
}

/// Host, id and verdict of each row of a page.
#[track_caller]
fn check_rows(rooms: &Arc<Rooms>, url: &str, expected: &[&str]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(answer(rooms, &ask(url, admin())));
    let page: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let word = |row: &serde_json::Value, key: &str| row[key].as_str().unwrap().to_owned();
    let row = |row: &serde_json::Value| {
        let stale = if row["stale"] == true { " stale" } else { "" };
        format!("{} {} {}{stale}", word(row, "host"), word(row, "id"), word(row, "verdict"))
    };
    let rows: Vec<String> = page["checks"].as_array().unwrap().iter().map(row).collect();
    assert_eq!(rows, expected, "{url}");
}

#[test]
fn mistakes_are_problems() {
    let rooms = rooms("agg1", one_host(), Canned::default(), Near::default());
    check(
        &rooms,
        "/api/v1/hosts/nosuch",
        expect![[r#"
        404 application/problem+json
        {"type":"about:blank#not-found","title":"Not found","status":404,"detail":"no aggregator knows the host nosuch"}"#]],
    );
    check(
        &rooms,
        "/api/v1/hosts?selector=dc=eqiad",
        expect![[r#"
        400 application/problem+json
        {"type":"about:blank#question","title":"The question has a mistake","status":400,"detail":"in the selector, column 1: no such key `dc` (do you mean datacenter?); there are host, datacenter, role, tag, state, aggregator, os, kernel, agent_version"}"#]],
    );
    check(
        &rooms,
        "/api/v1/hosts?selektor=x",
        expect![[r#"
        400 application/problem+json
        {"type":"about:blank#question","title":"The question has a mistake","status":400,"detail":"/api/v1/hosts has no parameter `selektor`"}"#]],
    );
    check(
        &rooms,
        "/api/v1/checks?state=bad",
        expect![[r#"
        400 application/problem+json
        {"type":"about:blank#question","title":"The question has a mistake","status":400,"detail":"`state` is ok, warn, crit or unknown, not `bad`"}"#]],
    );
}

#[test]
fn mistakes_about_logs_and_series_are_problems() {
    let rooms = rooms("agg1", one_host(), Canned::default(), Near::default());
    check(
        &rooms,
        "/api/v1/logs?limit=0",
        expect![[r#"
        400 application/problem+json
        {"type":"about:blank#question","title":"The question has a mistake","status":400,"detail":"`limit` is 1 to 100000, not `0`"}"#]],
    );
    check(
        &rooms,
        "/api/v1/logs?since=soon",
        expect![[r#"
        400 application/problem+json
        {"type":"about:blank#question","title":"The question has a mistake","status":400,"detail":"`since` is not a time: `soon`; write 2026-11-20T10:00:00Z or 1h"}"#]],
    );
    check(
        &rooms,
        "/api/v1/metrics",
        expect![[r#"
        400 application/problem+json
        {"type":"about:blank#question","title":"The question has a mistake","status":400,"detail":"`q` is missing: which series? e.g. q=node_load1"}"#]],
    );
    check(
        &rooms,
        "/api/v1/metrics?q=a!",
        expect![[r#"
        400 application/problem+json
        {"type":"about:blank#question","title":"The question has a mistake","status":400,"detail":"selector, at byte 1: no"}"#]],
    );
    check(
        &rooms,
        "/api/v1/metrics?q=a&since=1h&step=1ms",
        expect![[r#"
        422 application/problem+json
        {"type":"about:blank#too-much","title":"The answer would be too large","status":422,"detail":"more than 11000 points a series; make `step` larger"}"#]],
    );
    check(
        &rooms,
        "/elsewhere",
        expect![[r#"
        404 application/problem+json
        {"type":"about:blank#not-found","title":"Not found","status":404,"detail":"there is no page /elsewhere"}"#]],
    );
}

#[test]
fn log_lines_are_ndjson_and_lossless() {
    let lines = vec![line(1, 1, b"plain", "web"), line(2, 2, b"bad \xff\xfe byte", "web")];
    let rooms =
        rooms("agg1", Roster::default(), Canned { lines, ..Canned::default() }, Near::default());
    check(
        &rooms,
        "/api/v1/logs",
        expect![[r#"
        200 application/x-ndjson
        {"time":"2026-11-18T11:06:40.000002Z","host":"db1","datacenter":"eqiad","class":"web","source":"/var/log/x.log","program":"sshd","severity":"err","message":"bad �� byte","message_base64":"YmFkIP/+IGJ5dGU=","stream":"02020202020202020202020202020202","seq":2,"index":0}
        {"time":"2026-11-18T11:06:40.000001Z","host":"db1","datacenter":"eqiad","class":"web","source":"/var/log/x.log","program":"sshd","severity":"err","message":"plain","stream":"02020202020202020202020202020202","seq":1,"index":0}
        {"end":{"limited":false,"lines":2,"scanned_bytes":7,"truncated":null,"unanswered":[]}}"#]],
    );
    check(
        &rooms,
        "/api/v1/logs?order=oldest&limit=1",
        expect![[r#"
        200 application/x-ndjson
        {"time":"2026-11-18T11:06:40.000001Z","host":"db1","datacenter":"eqiad","class":"web","source":"/var/log/x.log","program":"sshd","severity":"err","message":"plain","stream":"02020202020202020202020202020202","seq":1,"index":0}
        {"end":{"limited":true,"lines":1,"scanned_bytes":7,"truncated":null,"unanswered":[]}}"#]],
    );
}

#[test]
fn restricted_classes_need_a_grant() {
    let lines = vec![line(1, 1, b"secret", "auth"), line(2, 2, b"open", "web")];
    let peer_lines = vec![line(3, 3, b"other secret", "auth")];
    let peer = rooms(
        "agg2",
        Roster::default(),
        Canned { lines: peer_lines, ..Canned::default() },
        Near::default(),
    );
    let near = Near(BTreeMap::from([("agg2".to_owned(), Some(peer))]));
    let rooms = rooms("agg1", Roster::default(), Canned { lines, ..Canned::default() }, near);
    let reader = |names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Reader { name: "token x".to_owned(), granted: Granted::Named(names) }
    };
    check_as(
        &rooms,
        "/api/v1/logs",
        reader(&[]),
        expect![[r#"
        200 application/x-ndjson
        {"time":"2026-11-18T11:06:40.000002Z","host":"db1","datacenter":"eqiad","class":"web","source":"/var/log/x.log","program":"sshd","severity":"err","message":"open","stream":"02020202020202020202020202020202","seq":2,"index":0}
        {"end":{"limited":false,"lines":1,"scanned_bytes":14,"truncated":null,"unanswered":[]}}"#]],
    );
    check_as(
        &rooms,
        "/api/v1/logs?class=auth",
        reader(&["mail"]),
        expect![[r#"
        403 application/problem+json
        {"type":"about:blank#forbidden","title":"Not allowed","status":403,"detail":"log class `auth` is restricted"}"#]],
    );
    check_as(
        &rooms,
        "/api/v1/logs?class=auth&limit=1",
        reader(&["auth"]),
        expect![[r#"
        200 application/x-ndjson
        {"time":"2026-11-18T11:06:40.000003Z","host":"db1","datacenter":"eqiad","class":"auth","source":"/var/log/x.log","program":"sshd","severity":"err","message":"other secret","stream":"02020202020202020202020202020202","seq":3,"index":0}
        {"end":{"limited":true,"lines":1,"scanned_bytes":14,"truncated":null,"unanswered":[]}}"#]],
    );
}

#[test]
fn series_become_json_and_a_prometheus_page() {
    let series = vec![load("db1", -3, 0.1), load("db2", -3, f64::NAN)];
    let rooms = rooms("agg1", one_host(), Canned { series, ..Canned::default() }, Near::default());
    check(
        &rooms,
        "/api/v1/metrics?q=node_load1",
        expect![[r#"
        200 application/json
        {"series":[
        {"name":"node_load1","type":"gauge","host":"db1","datacenter":"eqiad","labels":{"host":"a\"b"},"time":"2026-11-18T11:06:37.000000Z","value":0.1},
        {"name":"node_load1","type":"gauge","host":"db2","datacenter":"eqiad","labels":{"host":"a\"b"},"time":"2026-11-18T11:06:37.000000Z","value":"NaN"}],"unanswered":[]}"#]],
    );
    check(
        &rooms,
        "/federate?match[]=node_load1",
        expect![[r#"
            200 text/plain; version=0.0.4; charset=utf-8
            # HELP muster_aggregator_answered Whether the aggregator's hosts are on this page.
            # TYPE muster_aggregator_answered gauge
            muster_aggregator_answered{aggregator="agg1"} 1
            # HELP muster_host_up Whether the host gave a sign of life in time.
            # TYPE muster_host_up gauge
            muster_host_up{host="db1",datacenter="eqiad"} 1
            # HELP muster_check_state 1 for the verdict that the check says.
            # TYPE muster_check_state gauge
            muster_check_state{host="db1",datacenter="eqiad",id="cpu.load",instance="/srv",verdict="ok"} 1
            muster_check_state{host="db1",datacenter="eqiad",id="fs.space",instance="/srv",verdict="crit"} 1
            # HELP muster_check_stale 1 for a check whose verdict no longer counts.
            # TYPE muster_check_stale gauge
            # TYPE node_load1 gauge
            node_load1{host="db1",datacenter="eqiad",exported_host="a\"b"} 0.1 1794999997000
            node_load1{host="db2",datacenter="eqiad",exported_host="a\"b"} NaN 1794999997000"#]],
    );
    check(
        &rooms,
        "/metrics",
        expect![[r#"
        200 text/plain; version=0.0.4; charset=utf-8
        muster_up 1"#]],
    );
}

#[test]
fn newer_knowledge_of_a_host_overrules_older() {
    // agg1 heard db1 long ago; then it went to agg2, where fs.space became well and a check retired.
    let mut old = Roster::new(Utc(0));
    let records = [
        facts(),
        beat(-500),
        full(-500),
        said("fs.space", Verdict::Crit, -500),
        said("raid", Verdict::Crit, -500),
        said("ntp", Verdict::Crit, -500),
    ];
    feed(&mut old, ("db1", "agg1"), (1, -500), &records);
    let mut new = Roster::new(Utc(0));
    let gone =
        StateRecord::CheckGone { id: "raid".to_owned(), instance: "/srv".to_owned(), at: NOW };
    feed(
        &mut new,
        ("db1", "agg2"),
        (2, -1),
        &[facts(), beat(-1), said("fs.space", Verdict::Ok, -1), gone],
    );
    let peer = rooms("agg2", new, Canned::default(), Near::default());
    let near = Near(BTreeMap::from([("agg2".to_owned(), Some(Arc::clone(&peer)))]));
    let rooms = rooms("agg1", old, Canned::default(), near);
    check(
        &rooms,
        "/api/v1/hosts?selector=state=lost",
        expect![[r#"
        200 application/json
        {"hosts":[],"unanswered":[]}"#]],
    );
    // What agg2 does not speak of still stands at agg1: ntp.
    check(
        &rooms,
        "/api/v1/checks?state=crit",
        expect![[r#"
        200 application/json
        {"checks":[
        {"host":"db1","id":"ntp","instance":"/srv","verdict":"crit","stale":true,"urgency":"page","since":"2026-11-18T10:58:20.000000Z","message":"97 % full","runbook":"https://wiki/full","owner":"data","at":"2026-11-18T10:58:20.000000Z","datacenter":"eqiad"}],"unanswered":[],"truncated":false}"#]],
    );
    // Once agg2 has a full report, nothing of agg1 counts.
    feed(
        &mut peer.roster.lock().unwrap(),
        ("db1", "agg2"),
        (3, 0),
        &[full(0), said("fs.space", Verdict::Ok, 0)],
    );
    check(
        &rooms,
        "/api/v1/checks?state=crit",
        expect![[r#"
        200 application/json
        {"checks":[],"unanswered":[],"truncated":false}"#]],
    );
}

#[test]
fn silent_peers_are_named_and_cost_two_seconds() {
    let down = rooms("down", Roster::default(), Canned::default(), Near::default());
    let near = Near(BTreeMap::from([("agg2".to_owned(), None), ("agg3".to_owned(), Some(down))]));
    let rooms = rooms("agg1", Roster::default(), Canned::default(), near);
    check(
        &rooms,
        "/api/v1/hosts",
        expect![[r#"
        200 application/json
        {"hosts":[],"unanswered":["agg2","agg3"]}"#]],
    );
    check(
        &rooms,
        "/api/v1/hosts?scope=local",
        expect![[r#"
        200 application/json
        {"hosts":[],"unanswered":[]}"#]],
    );
}

#[test]
fn a_question_that_peers_cannot_read_is_refused() {
    let rooms = rooms("agg1", Roster::default(), Canned::default(), Near::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut random = Rng::with_seed(3);
    for length in 0..200 {
        let bytes: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
        let reply = runtime.block_on(answer_peer(&rooms, &bytes));
        let part: Result<Part, Problem> = serde_cbor::from_slice(&reply).unwrap();
        assert_eq!(part.unwrap_err().status, 400);
    }
}

#[test]
fn logs_merge_as_if_they_were_in_one_store() {
    for seed in 0..300 {
        let mut random = Rng::with_seed(seed);
        let mut all: Vec<LogRow> =
            (0..random.u64(..40)).map(|seq| line(random.i64(..20), seq, b"x", "web")).collect();
        all.sort_by_key(|row| (row.at, row.seq));
        let oldest_first = random.bool();
        if !oldest_first {
            all.reverse();
        }
        let limit = random.usize(1..30);
        // Every line is at one aggregator at least; each gives its first ones.
        let mut parts = vec![LogsPart::default(); random.usize(1..4)];
        for row in &all {
            let sure = random.usize(..parts.len());
            for (place, part) in parts.iter_mut().enumerate() {
                if (place == sure || random.bool()) && part.lines.len() < limit {
                    part.lines.push(row.clone());
                }
            }
        }
        let url = format!(
            "/api/v1/logs?limit={limit}&order={}",
            if oldest_first { "oldest" } else { "newest" }
        );
        let Some(Question::Logs(question)) = parse_ask(&ask(&url, admin()), NOW).unwrap().question
        else {
            panic!()
        };
        let merged = merge_logs(parts, &question);
        all.truncate(limit);
        assert_eq!(merged.lines, all, "seed {seed}");
    }
}

#[test]
fn series_merge_to_the_newest() {
    let points = |host: &str, at: &[i64]| SeriesRow {
        time: None,
        value: None,
        points: at.iter().map(|at| (Stamp(Utc(*at)), Number(*at as f64))).collect(),
        ..load(host, 0, 0.0)
    };
    let merged = merge_series(vec![
        vec![load("a", 1, 1.0)],
        vec![load("a", 2, 2.0)],
        vec![load("a", 0, 3.0), load("b", 0, 4.0)],
    ]);
    let values: Vec<_> =
        merged.iter().map(|row| (row.host.as_str(), row.value.unwrap().0)).collect();
    assert_eq!(values, [("a", 2.0), ("b", 4.0)]);
    let merged = merge_series(vec![vec![points("a", &[1, 3, 5])], vec![points("a", &[2, 3, 6])]]);
    let times: Vec<_> = merged[0].points.iter().map(|(at, _)| at.0.0).collect();
    assert_eq!(times, [1, 2, 3, 5, 6]);
}

#[test]
fn base64_as_in_rfc_4648() {
    let vectors = [
        ("", ""),
        ("f", "Zg=="),
        ("fo", "Zm8="),
        ("foo", "Zm9v"),
        ("foob", "Zm9vYg=="),
        ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ];
    for (plain, coded) in vectors {
        assert_eq!(render::encode_base64(plain.as_bytes()), coded);
    }
}

#[test]
fn trouble_that_two_see_since_different_moments_is_counted_once() {
    let sees = |since_s: i64| {
        let incident = Incident {
            scope: Scope::Host("db1".to_owned()),
            kind: Kind::HostLost,
            since: Utc(NOW.0 - since_s * 1_000_000),
            seen: NOW,
            until: None,
            verdict: "db1 is not heard of".to_owned(),
            urgency: Urgency::Ticket,
            hosts: 1,
            listed: vec!["db1".to_owned()],
            exceptions: 0,
            exceptions_listed: Vec::new(),
            evidence: Vec::new(),
            returns: 0,
            part_of: None,
        };
        Arc::new(Mutex::new(Incidents::restore(vec![incident])))
    };
    let with = |name: &str, since_s: i64, near: Near| {
        let rooms = rooms(name, Roster::new(Utc(0)), Canned::default(), near);
        Arc::new(Rooms { incidents: sees(since_s), ..Arc::into_inner(rooms).unwrap() })
    };
    let peer = with("agg2", 30, Near::default());
    let here = with("agg1", 31, Near(BTreeMap::from([("agg2".to_owned(), Some(peer))])));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(answer(&here, &ask("/api/v1/status", admin())));
    let status: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(status["incidents"], 1);
}
