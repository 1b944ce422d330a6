//! The command on the real server, over a unix socket, with rooms that hold what the tests put in.

#![allow(clippy::unwrap_used)] // all of it is test code

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::os::unix::net::UnixListener as BlockingListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use clap::Parser as _;
use expect_test::{Expect, expect};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use muster_aggregator::api::door::ADMIN_GROUP;
use muster_aggregator::api::rooms::{QUESTIONS_MAX, Searched};
use muster_aggregator::api::rows::{LogRow, Number, SeriesRow, Stamp};
use muster_aggregator::api::{
    LogAsk, PeerError, Peers, Reply, Rooms, Search, SeriesAsk, Telemetry, TelemetryError, serve,
};
use muster_aggregator::incidents::{Incident, Incidents, Kind, Scope};
use muster_aggregator::roster::leases::Leases;
use muster_aggregator::roster::{Arrival, Landing, Roster};
use muster_program::socket;
use muster_proto::clock::Utc;
use muster_proto::digest::Rank;
use muster_proto::ids::{Seq, StreamId};
use muster_proto::log::Severity;
use muster_proto::metric::MetricType;
use muster_proto::state::{CheckState, Heartbeat, HostFacts, StateBatch, StateRecord};
use muster_proto::verdict::{Urgency, Verdict};
use musterctl::ending::{Ending, chain};
use musterctl::settings::Surroundings;
use musterctl::words::Words;
use tokio::sync::Semaphore;

const NOW: Utc = Utc(1_795_000_000_000_000);

struct Canned;

impl Telemetry for Canned {
    fn search_logs(
        &self,
        ask: &LogAsk,
        _search: &Search,
        out: &mut dyn FnMut(LogRow) -> ControlFlow<()>,
    ) -> Result<Searched, TelemetryError> {
        let text = ask.text.clone().unwrap_or_default();
        let lines = [
            ("disk full", Severity::Err),
            ("\u{1b}[31mevil\r\u{202e}", Severity::Info),
            ("started", Severity::Info),
        ];
        for (seq, (line, severity)) in
            (1..).zip(lines).filter(|(_, (line, _))| line.contains(&text))
        {
            let row = LogRow {
                at: Utc(NOW.0 - seq * 1_000_000),
                host: "db1".to_owned(),
                datacenter: "eqiad".to_owned(),
                class: "system".to_owned(),
                source: "mariadb.service".to_owned(),
                program: "mariadbd".to_owned(),
                severity,
                text: line.as_bytes().to_vec(),
                stream: StreamId([2; 16]),
                seq: Seq(seq as u64),
                index: 7,
            };
            if out(row).is_break() {
                break;
            }
        }
        Ok(Searched { scanned_bytes: 1, truncated: None })
    }

    fn series(&self, ask: &SeriesAsk, _search: &Search) -> Result<Vec<SeriesRow>, TelemetryError> {
        let mut row = SeriesRow {
            name: "node_load1".to_owned(),
            kind: MetricType::Gauge,
            host: "db1".to_owned(),
            datacenter: "eqiad".to_owned(),
            labels: BTreeMap::from([("cpu".to_owned(), "0".to_owned())]),
            time: Some(Stamp(NOW)),
            value: Some(Number(0.25)),
            points: Vec::new(),
        };
        if let Some(range) = ask.range {
            (row.time, row.value) = (None, None);
            row.points =
                (0..4).map(|n| (Stamp(Utc(range.since.0 + n)), Number(n as f64))).collect();
        }
        Ok(vec![row])
    }
}

/// Peers that are down.
struct Down(Vec<String>);

impl Peers for Down {
    fn names(&self) -> Vec<String> {
        self.0.clone()
    }

    fn ask(&self, _peer: &str, _question: Vec<u8>) -> Reply {
        Box::pin(async { Err(PeerError { source: None }) })
    }
}

fn roster() -> Roster {
    let mut roster = Roster::new(Utc(0));
    let said = |id: &str, verdict, message: &str| {
        StateRecord::Check(CheckState {
            id: id.to_owned(),
            instance: "/srv".to_owned(),
            verdict,
            since: NOW,
            at: NOW,
            valid_for_s: 900,
            urgency: Urgency::Ticket,
            message: message.to_owned(),
            runbook: String::new(),
            owner: String::new(),
            evidence: if verdict == Verdict::Crit {
                "du: /srv/a\u{7} 9 GB".to_owned()
            } else {
                String::new()
            },
        })
    };
    let facts = HostFacts {
        role: "mariadb::core".to_owned(),
        os: "Debian 13".to_owned(),
        agent_version: "0.1.0".to_owned(),
        ..HostFacts::default()
    };
    let beat = Heartbeat { at: NOW, interval_s: 10, backlog: Vec::new() };
    let records = vec![
        StateRecord::Facts(facts),
        StateRecord::Heartbeat(beat),
        said("cpu.load", Verdict::Ok, "fine"),
        said("fs.space", Verdict::Crit, "97 % full"),
    ];
    let arrival = Arrival {
        host: "db1",
        datacenter: "eqiad",
        aggregator: "agg1",
        stream: StreamId([1; 16]),
        seq: Seq(1),
    };
    roster.on_batch(arrival, NOW, &StateBatch { records });
    let landing =
        Landing { host: "web1", datacenter: "", aggregator: "agg1", rank: Rank::default() };
    roster.on_connected(landing, Utc(NOW.0 - 1_000_000_000));
    roster.on_tick(NOW);
    roster
}

/// A lost datacenter with one host that is reachable, and a host that was lost an hour ago.
fn incidents() -> Incidents {
    let site = Incident {
        scope: Scope::Site("codfw".to_owned()),
        kind: Kind::SiteLost,
        since: Utc(NOW.0 - 90_000_000),
        seen: Utc(NOW.0 - 90_000_000),
        until: None,
        verdict: "datacenter codfw is lost: 12 hosts not heard, 1 host still reachable elsewhere"
            .to_owned(),
        urgency: Urgency::Page,
        hosts: 12,
        listed: (1..=12).map(|n| format!("db{n}.codfw")).collect(),
        exceptions: 1,
        exceptions_listed: vec!["web\u{7}1.codfw".to_owned()],
        evidence: vec!["agg1.eqiad heard agg1.codfw last at 2026-11-18T11:05:10Z".to_owned()],
        returns: 0,
        part_of: None,
    };
    let host = Incident {
        scope: Scope::Host("db3.eqiad".to_owned()),
        kind: Kind::HostLost,
        since: Utc(NOW.0 - 3_600_000_000),
        until: Some(Utc(NOW.0 - 3_000_000_000)),
        verdict: "db3.eqiad is not heard of".to_owned(),
        urgency: Urgency::Ticket,
        hosts: 1,
        listed: vec!["db3.eqiad".to_owned()],
        exceptions: 0,
        exceptions_listed: Vec::new(),
        evidence: Vec::new(),
        ..site.clone()
    };
    Incidents::restore(vec![host, site])
}

struct Server {
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Server {
    /// The real server, with these peers down.
    fn start(down: &[&str]) -> Server {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let rooms = Rooms {
            name: "agg1".to_owned(),
            datacenter: "eqiad".to_owned(),
            version: "0.1.0".to_owned(),
            started_at: NOW,
            roster: Arc::new(Mutex::new(roster())),
            leases: Arc::new(Mutex::new(Leases::new(("agg1", "eqiad"), &[], NOW))),
            incidents: Arc::new(Mutex::new(incidents())),
            telemetry: Arc::new(Canned),
            peers: Arc::new(Down(down.iter().map(|name| (*name).to_owned()).collect())),
            restricted: BTreeSet::new(),
            own: Arc::new(String::new),
            own_checks: Arc::new(Vec::new),
            clock: || NOW,
            turns: Arc::new(Semaphore::new(QUESTIONS_MAX)),
        };
        let listener = {
            let _inside = runtime.enter();
            socket::bind(&folder.path().join("sock"), serve::SOCKET_MODE).unwrap()
        };
        let group = ADMIN_GROUP.to_owned();
        runtime.spawn(serve::serve_socket(
            listener,
            Arc::new(rooms),
            group,
            std::future::pending(),
        ));
        Server { folder, runtime }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("sock")
    }

    /// The one door: words in; stdout, stderr and the exit code out.
    #[track_caller]
    fn check(&self, words: &str, expected: Expect) {
        let outcome = self.runtime.block_on(run(words, &around(&self.socket())));
        expected.assert_eq(&outcome);
    }
}

fn around(socket: &Path) -> Surroundings {
    Surroundings {
        socket: Some(socket.to_owned()),
        url: None,
        config: None,
        no_color: false,
        is_terminal: false,
        width: None,
        zone: TimeZone::fixed(jiff::tz::offset(2)),
        clock: || Timestamp::from_microsecond(NOW.0).unwrap(),
    }
}

async fn run(words: &str, around: &Surroundings) -> String {
    let words = match Words::try_parse_from(std::iter::once("musterctl").chain(words.split(' '))) {
        Ok(words) => words,
        Err(error) => return format!("{}exit {}", error.render(), error.exit_code()),
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = match musterctl::run(words, around, &mut out, &mut err).await {
        Ok(Ending::Fine) => 0,
        Ok(Ending::Partial) => 5,
        Err(fatal) => {
            err.extend_from_slice(format!("musterctl: {}\n", chain(&fatal)).as_bytes());
            fatal.code()
        }
    };
    format!("{}{}exit {code}", String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn listings_for_people() {
    let server = Server::start(&[]);
    server.check(
        "status",
        expect![[r#"
        hosts   2 known: 1 live, 0 late, 1 lost, 0 departed
        checks  1 ok, 0 warn, 1 crit, 0 unknown, 0 stale
        incidents  1 open: see musterctl incidents

        DATACENTER  LIVE  LATE  LOST  DEPARTED
                    0     0     1     0
        eqiad       1     0     0     0

        AGGREGATOR  DATACENTER  VERSION  HOSTS  STARTED
        agg1        eqiad       0.1.0    2      2026-11-18 13:06:40
        exit 0"#]],
    );
    server.check(
        "hosts",
        expect![[r#"
        HOST  STATE  WORST  DATACENTER  ROLE           AGGREGATOR  LAST SEEN            AGENT
        db1   live   crit   eqiad       mariadb::core  agg1        2026-11-18 13:06:40  0.1.0
        web1  lost   -                                 agg1        2026-11-18 12:50:00
        exit 0"#]],
    );
    server.check(
        "hosts state=live role=mariadb::*",
        expect![[r#"
        HOST  STATE  WORST  DATACENTER  ROLE           AGGREGATOR  LAST SEEN            AGENT
        db1   live   crit   eqiad       mariadb::core  agg1        2026-11-18 13:06:40  0.1.0
        exit 0"#]],
    );
    server.check(
        "hosts nosuch",
        expect![[r#"
        no host matches
        exit 0"#]],
    );
}

#[test]
fn one_host_for_people() {
    let server = Server::start(&[]);
    server.check(
        "host db1",
        expect![[r#"
            host          db1
            state         live
            datacenter    eqiad
            role          mariadb::core
            aggregator    agg1
            last seen     2026-11-18 13:06:40
            system        Debian 13
            agent         0.1.0
            lost records  0

            VERDICT  CHECK          URGENCY  SINCE                MESSAGE
            crit     fs.space /srv  ticket   2026-11-18 13:06:40  97 % full
            ok       cpu.load /srv  ticket   2026-11-18 13:06:40  fine

            fs.space /srv evidence:
                du: /srv/a\u{7} 9 GB
            exit 0"#]],
    );
}

#[test]
fn checks_and_series_for_people() {
    let server = Server::start(&[]);
    server.check(
        "checks",
        expect![[r#"
        VERDICT  HOST  CHECK          URGENCY  SINCE                MESSAGE
        crit     db1   fs.space /srv  ticket   2026-11-18 13:06:40  97 % full
        ok       db1   cpu.load /srv  ticket   2026-11-18 13:06:40  fine
        exit 0"#]],
    );
    server.check("checks --state crit --color always", expect![[r#"
        [1mVERDICT  [0m[1mHOST  [0m[1mCHECK          [0m[1mURGENCY  [0m[1mSINCE                [0m[1mMESSAGE    [0m
        [38;5;9m[1mcrit     [0mdb1   fs.space /srv  ticket   2026-11-18 13:06:40  97 % full
        exit 0"#]]);
    server.check(
        "metrics node_load1",
        expect![[r#"
        HOST  SERIES               VALUE  TIME
        db1   node_load1{cpu="0"}  0.25   2026-11-18 13:06:40
        exit 0"#]],
    );
    server.check(
        "metrics node_load1 --since 1h",
        expect![[r#"
        HOST  SERIES               POINTS  MIN  MAX  LAST  CURVE
        db1   node_load1{cpu="0"}  4       0    3    3     ▁▃▆█
        exit 0"#]],
    );
}

#[test]
fn listings_for_programs() {
    let server = Server::start(&[]);
    server.check("hosts state=live --json", expect![[r#"
        [
        {"agent_version":"0.1.0","aggregator":"agg1","backlog":[],"checks":{"crit":1,"ok":1,"stale":0,"unknown":0,"warn":0},"cpus":0,"datacenter":"eqiad","first_seen":"2026-11-18T11:06:40.000000Z","host":"db1","kernel":"","last_seen":"2026-11-18T11:06:40.000000Z","lost_records":0,"machine":"","memory_bytes":0,"os":"Debian 13","reason":"","role":"mariadb::core","state":"live","tags":[],"worst_check":"crit","worst_check_id":"fs.space"}
        ]
        exit 0"#]]);
    server.check(
        "hosts nosuch --json",
        expect![[r#"
        []
        exit 0"#]],
    );
    server.check("checks --state crit --json", expect![[r#"
        [
        {"at":"2026-11-18T11:06:40.000000Z","datacenter":"eqiad","host":"db1","id":"fs.space","instance":"/srv","message":"97 % full","owner":"","runbook":"","since":"2026-11-18T11:06:40.000000Z","stale":false,"urgency":"ticket","verdict":"crit"}
        ]
        exit 0"#]]);
    server.check("metrics node_load1 --json", expect![[r#"
        [
        {"datacenter":"eqiad","host":"db1","labels":{"cpu":"0"},"name":"node_load1","time":"2026-11-18T11:06:40.000000Z","type":"gauge","value":0.25}
        ]
        exit 0"#]]);
}

#[test]
fn logs_are_in_the_order_of_time_and_harmless() {
    let server = Server::start(&[]);
    server.check(
        "logs --since yesterday",
        expect![[r#"
        2026-11-18 13:06:37.000 db1 mariadbd info    started
        2026-11-18 13:06:38.000 db1 mariadbd info    \u{1b}[31mevil\u{d}\u{202e}
        2026-11-18 13:06:39.000 db1 mariadbd err     disk full
        exit 0"#]],
    );
    server.check("logs started --json", expect![[r#"
        {"time":"2026-11-18T11:06:37.000000Z","host":"db1","datacenter":"eqiad","class":"system","source":"mariadb.service","program":"mariadbd","severity":"info","message":"started","stream":"02020202020202020202020202020202","seq":3,"index":7}
        exit 0"#]]);
    server.check(
        "logs -n 1 --color always",
        expect![[r#"
        2026-11-18 13:06:39.000 db1 mariadbd [31merr    [0m disk full
        exit 0"#]],
    );
}

#[test]
fn silent_aggregators_make_it_partial() {
    let server = Server::start(&["agg2.codfw"]);
    server.check(
        "checks --state warn --json",
        expect![[r#"
        []
        musterctl: partial answer: agg2.codfw did not answer
        exit 5"#]],
    );
    server.check("logs started --json", expect![[r#"
        {"time":"2026-11-18T11:06:37.000000Z","host":"db1","datacenter":"eqiad","class":"system","source":"mariadb.service","program":"mariadbd","severity":"info","message":"started","stream":"02020202020202020202020202020202","seq":3,"index":7}
        musterctl: partial answer: agg2.codfw did not answer
        exit 5"#]]);
}

#[test]
fn exit_codes_say_what_happened() {
    let server = Server::start(&[]);
    server.check(
        "host nosuch",
        expect![[r#"
        musterctl: no aggregator knows the host nosuch
        exit 3"#]],
    );
    server.check("hosts dc=eqiad", expect![[r#"
        musterctl: in the selector, column 1: no such key `dc` (do you mean datacenter?); there are host, datacenter, role, tag, state, aggregator, os, kernel, agent_version
          dc=eqiad
          ^
        exit 2"#]]);
    server.check(
        "checks --state bad",
        expect![[r#"
        musterctl: `state` is ok, warn, crit or unknown, not `bad`
        exit 2"#]],
    );
    server.check("logs --since soon", expect![[r#"
        musterctl: `soon` is no time; write 1h, 30m, 2d, 2026-11-20T10:00:00Z, "2026-11-20 10:00", 10:00, today or yesterday
        exit 2"#]]);
    server.check(
        "nosuch",
        expect![[r#"
        error: unrecognized subcommand 'nosuch'

        Usage: musterctl [OPTIONS] <COMMAND>

        For more information, try '--help'.
        exit 2"#]],
    );
    server.check(
        "hosts --url http://agg1.example.org",
        expect![[r#"
        musterctl: --url must begin with https://, not `http://agg1.example.org`
        exit 2"#]],
    );
    server.check(
        "hosts --url http://127.0.0.1:7480",
        expect![[r#"
        musterctl: --url must begin with https://, not `http://127.0.0.1:7480`
        exit 2"#]],
    );
    server.check(
        "logs --since 2026-11-20T10:00:00Z --until 2026-11-20T09:00:00Z",
        expect![[r#"
            musterctl: --until 2026-11-20 11:00:00 is not after --since 2026-11-20 12:00:00
            exit 2"#]],
    );
    server.check(
        "logs no-line-has-this --since -5m",
        expect![[r#"
        musterctl: no line matches since 2026-11-18 13:01:40
        exit 0"#]],
    );
}

#[test]
fn a_token_that_others_may_read_is_not_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "msta_0\n").unwrap();
    let line = format!("status --url https://127.0.0.1:1 --token-file {}", path.display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = |mode| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let outcome = runtime.block_on(run(&line, &around(Path::new("/nowhere"))));
        outcome.replace(&folder.path().display().to_string(), "DIR")
    };
    for mode in [0o644, 0o640, 0o604, 0o620] {
        let expected = format!(
            "musterctl: DIR/token: mode {mode:04o}: others may use the token; chmod 0600 it\nexit 78"
        );
        assert_eq!(outcome(mode), expected);
    }
    assert!(outcome(0o600).ends_with("exit 69"), "it is used, and nobody is there");
}

#[test]
fn no_aggregator_is_said_plainly() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = runtime.block_on(run("status", &around(&folder.path().join("none"))));
    let outcome = outcome.replace(&folder.path().display().to_string(), "DIR");
    expect![[r#"
        musterctl: cannot reach the aggregator at DIR/none: No such file or directory (os error 2); is muster-aggregator running? use --url or --socket
        exit 69"#]].assert_eq(&outcome);
    // A socket whose process died.
    drop(BlockingListener::bind(folder.path().join("dead")).unwrap());
    let outcome = runtime.block_on(run("status", &around(&folder.path().join("dead"))));
    let outcome = outcome.replace(&folder.path().display().to_string(), "DIR");
    expect![[r#"
        musterctl: cannot reach the aggregator at DIR/dead: Connection refused (os error 111); is muster-aggregator running? use --url or --socket
        exit 69"#]].assert_eq(&outcome);
}

#[test]
fn the_config_file_points_at_its_mistakes() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("ctl.toml");
    std::fs::write(&config, "sokket = \"/run/x\"\n").unwrap();
    let around = Surroundings { config: Some(config), ..around(Path::new("/nowhere")) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = runtime.block_on(run("status", &around));
    let outcome = outcome.replace(&folder.path().display().to_string(), "DIR");
    expect![[r#"
        musterctl: DIR/ctl.toml: TOML parse error at line 1, column 1
          |
        1 | sokket = "/run/x"
          | ^^^^^^
        unknown field `sokket`, expected one of `url`, `socket`, `token-file`, `ca`, `color`
        exit 78"#]]
    .assert_eq(&outcome);
}

#[test]
fn completions_and_the_manual_come_from_the_words() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script =
            runtime.block_on(run(&format!("completions {shell}"), &around(Path::new("/nowhere"))));
        assert!(
            script.contains("musterctl")
                && script.contains("token-file")
                && script.ends_with("exit 0"),
            "{shell}"
        );
    }
    let man = runtime.block_on(run("man", &around(Path::new("/nowhere"))));
    for word in [".TH musterctl", "musterctl logs", "datacenter", "EXIT STATUS"] {
        assert!(man.contains(word), "{word} is missing in\n{man}");
    }
}

/// Follows until the wanted line is there; then the pipe is closed.
#[test]
fn follow_shows_each_line_once_and_ends_with_the_pipe() {
    struct Pipe(Vec<u8>);

    impl std::io::Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        /// Each question ends with a flush; after four of them the reader has enough.
        fn flush(&mut self) -> std::io::Result<()> {
            self.0.push(b'~');
            let flushes = self.0.iter().filter(|byte| **byte == b'~').count();
            if flushes > 4 { Err(std::io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
        }
    }

    let server = Server::start(&[]);
    let words = Words::try_parse_from(["musterctl", "logs", "-f", "-n", "1"]).unwrap();
    let (mut out, mut err) = (Pipe(Vec::new()), Vec::new());
    let around = around(&server.socket());
    let fatal =
        server.runtime.block_on(musterctl::run(words, &around, &mut out, &mut err)).unwrap_err();
    assert!(fatal.is_broken_pipe() && fatal.code() == 0);
    let text = String::from_utf8(out.0).unwrap();
    assert_eq!(text.matches("disk full").count(), 1, "{text}");
    assert_eq!(text.matches("started").count(), 1, "{text}");
}

#[test]
fn incidents_for_people_and_programs() {
    let server = Server::start(&[]);
    let say = |words: &str| server.runtime.block_on(run(words, &around(&server.socket())));
    let open = say("incidents");
    for part in
        ["site-lost", "site codfw", "datacenter codfw is lost", "and 2 more", r"web\u{7}1.codfw"]
    {
        assert!(open.contains(part), "{part} is missing in\n{open}");
    }
    assert!(open.contains("seen by") && open.contains("agg1.eqiad heard"), "{open}");
    assert!(open.ends_with("exit 0") && !open.contains("host-lost"), "{open}");
    let all = say("incidents --all --json");
    for part in ["\"scope\":\"site codfw\"", "\"kind\":\"host-lost\"", "\"until\":", "\"hosts\":12"]
    {
        assert!(all.contains(part), "{part} is missing in\n{all}");
    }
}
