//! journald through a real `journalctl` and journal files made by systemd-journal-remote
//! (Debian packages `systemd` and `systemd-journal-remote`: needed to run these tests).

use std::process::{Command, Stdio};
use std::time::Instant;

use muster_proto::frame::Sealed;
use muster_proto::log::SourceKind;

use super::*;

const REMOTE: &str = "/lib/systemd/systemd-journal-remote";
const BOOT: &str = "0123456789abcdef0123456789abcdef";

/// One entry in the export format; `fields` are appended as they are.
fn entry(number: u64, fields: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "__REALTIME_TIMESTAMP={}\n__MONOTONIC_TIMESTAMP={number}\n_BOOT_ID={BOOT}\n",
        1_790_000_000_000_000 + number
    )
    .into_bytes();
    bytes.extend_from_slice(fields);
    bytes.extend_from_slice(b"\n");
    bytes
}

fn message(number: u64, unit: &str, program: &str, text: &str) -> Vec<u8> {
    let fields = format!(
        "MESSAGE={text}\nPRIORITY={}\nSYSLOG_IDENTIFIER={program}\n_SYSTEMD_UNIT={unit}\n",
        number % 8
    );
    entry(number, fields.as_bytes())
}

/// Writes entries into a journal file of its own.
fn write_journal(dir: &Path, name: &str, entries: &[Vec<u8>]) {
    let output = format!("--output={}/{name}.journal", dir.display());
    let mut child = Command::new(REMOTE)
        .args([&output, "--split-mode=none", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("systemd-journal-remote is installed");
    child.stdin.take().unwrap().write_all(&entries.concat()).unwrap();
    assert!(child.wait().unwrap().success());
}

struct Journal {
    dir: tempfile::TempDir,
    notes: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Journal {
    fn new() -> Journal {
        Journal { dir: tempfile::tempdir().unwrap(), notes: BTreeMap::new() }
    }

    fn settings(&self) -> LogSettings {
        let rule = ClassRule {
            identifier: "sshd".to_owned(),
            class: "auth".to_owned(),
            ..ClassRule::default()
        };
        let journald = JournaldSource {
            directory: Some(self.dir.path().to_owned()),
            rules: vec![rule],
            own_unit: "muster-agent.service".to_owned(),
            ..JournaldSource::default()
        };
        LogSettings { journald: Some(journald), ..LogSettings::default() }
    }

    /// Starts the thread, waits for `count` messages, stops it, commits.
    fn read(&mut self, count: usize) -> Vec<String> {
        let (tx, rx) = sync_channel(4);
        let checkpoints = Checkpoints::load(&self.notes);
        let handle =
            LogThread::start(&self.settings(), checkpoints, Box::new(tx), Default::default())
                .unwrap();
        let mut lines = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(30);
        while lines.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            let batch = rx.recv_timeout(left).expect("messages come");
            lines.extend(batch.sealed.iter().flat_map(show));
            self.notes.extend(batch.notes.into_iter().map(|(key, value)| (key, value.unwrap())));
        }
        assert_eq!(handle.stats().counts().journal_messages as usize, count);
        handle.stop();
        assert!(rx.try_recv().is_err());
        lines
    }
}

fn show(sealed: &Sealed) -> Vec<String> {
    let header = sealed.header(Lane::Logs, StreamId([0; 16]), Seq(1));
    let mut raw = Vec::new();
    frame::inflate(&header, &sealed.body, &mut raw).unwrap();
    let log = parse_log(header.first_at, &raw).unwrap();
    let line = |line: muster_proto::log::LogLine<'_>| {
        let source = &log.sources[line.source];
        assert_eq!(source.kind, SourceKind::Journald);
        format!(
            "{} {} {} {} {}: {}",
            line.at.0 - 1_790_000_000_000_000,
            source.name,
            source.program,
            source.class,
            line.severity,
            line.text.escape_ascii()
        )
    };
    log.lines().map(line).collect()
}

#[test]
fn messages_come_once_with_their_fields_across_restarts_and_rotations() {
    let mut journal = Journal::new();
    let mut binary = b"MESSAGE\n".to_vec();
    binary.extend_from_slice(&6u64.to_le_bytes());
    binary.extend_from_slice(b"a\nb\xff\0c\nPRIORITY=3\n");
    let entries = [
        message(1, "ssh.service", "sshd", "Accepted publickey"),
        entry(2, &binary),
        message(3, "muster-agent.service", "muster-agent", "ourselves"),
        entry(4, b"NO_MESSAGE=1\n"),
        message(5, "cron.service", "CRON", "job"),
    ];
    write_journal(journal.dir.path(), "system", &entries);
    assert_eq!(
        journal.read(3),
        [
            "1 ssh.service sshd auth alert: Accepted publickey",
            "2   system err: a\\nb\\xff\\x00c",
            "5 cron.service CRON system notice: job",
        ]
    );
    let later: Vec<Vec<u8>> = (6..2_000)
        .map(|number| message(number, "web.service", "web", &format!("request {number}")))
        .collect();
    write_journal(journal.dir.path(), "system-later", &later);
    let lines = journal.read(1_994);
    assert_eq!(lines[0], "6 web.service web system info: request 6");
    assert_eq!(lines[1_993], "1999 web.service web system debug: request 1999");
}

#[test]
fn a_child_that_cannot_run_is_tried_again_later_and_harms_nobody() {
    let journal = Journal::new();
    let mut world = World::new(&["x.log"]);
    world.settings.journald = journal.settings().journald;
    world.settings.journald.as_mut().unwrap().program = PathBuf::from("/nonexistent/journalctl");
    world.append("x.log", "one\n");
    world.check(&["x.log: one"]);
    assert_eq!(world.stats().journal_messages, 0);
}
