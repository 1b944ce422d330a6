//! The room against real directories, with told time and a spool that commits or forgets.

mod crashes;
mod journal;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use muster_proto::clock::{Mono, Utc};
use muster_proto::frame::{self, Sealed};
use muster_proto::ids::{Seq, StreamId};
use muster_proto::lane::Lane;
use muster_proto::limits::LOG_LINE_BYTES_MAX;
use muster_proto::log::{FLAG_CUT, FLAG_PARTIAL, LogLine, parse_log};

use super::*;

/// One line as a reader of the spool sees it: source name, flags, text.
type Line = (String, u8, Vec<u8>);

/// A spool that holds lines and notes, and the agent in front of it.
struct World {
    dir: tempfile::TempDir,
    settings: LogSettings,
    notes: BTreeMap<Vec<u8>, Vec<u8>>,
    lines: Vec<Line>,
    now: Mono,
    agent: Option<(LogReader, Receiver<Batch>)>,
}

impl World {
    fn new(globs: &[&str]) -> World {
        let dir = tempfile::tempdir().unwrap();
        let paths = globs.iter().map(|glob| format!("{}/{glob}", dir.path().display())).collect();
        let source = FileSource { paths, class: "test".to_owned(), ..FileSource::default() };
        // Without inotify every step may scan: nothing depends on when the kernel tells us.
        let settings = LogSettings { files: vec![source], watch: false, ..LogSettings::default() };
        World {
            dir,
            settings,
            notes: BTreeMap::new(),
            lines: Vec::new(),
            now: Mono(1),
            agent: None,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn append(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(bytes.as_ref()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Some of what is in the file now is in the spool.
    fn is_known(&self, name: &str) -> bool {
        let Ok((file, facts)) = file::open(&self.path(name)) else { return false };
        let saved = Checkpoints::load(&self.notes).files.remove(&facts.key);
        saved.is_some_and(|saved| file::continues(&file, &saved.position).unwrap())
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.path(name)).unwrap();
    }

    /// `cp x x.1; : > x`
    fn copytruncate(&self, from: &str, to: &str) {
        fs::copy(self.path(from), self.path(to)).unwrap();
        File::create(self.path(from)).unwrap();
    }

    /// Steps once, `later` after the last step; what was handed over is committed.
    fn step(&mut self, later: Duration) {
        self.step_without_commit(later);
        self.commit();
    }

    fn step_without_commit(&mut self, later: Duration) -> Wait {
        self.now = self.now.after(later);
        if self.agent.is_none() {
            let (tx, rx) = sync_channel(64);
            let checkpoints = Checkpoints::load(&self.notes);
            let reader = LogReader::new(&self.settings, checkpoints, Box::new(tx), || {}).unwrap();
            self.agent = Some((reader, rx));
        }
        let (reader, _) = self.agent.as_mut().unwrap();
        reader.step(self.now, Utc(1_000_000))
    }

    /// Frames and their notes, all or nothing, like the spool.
    fn commit(&mut self) {
        let Some((_, rx)) = &self.agent else { return };
        while let Ok(batch) = rx.try_recv() {
            self.lines.extend(batch.sealed.iter().flat_map(lines_of));
            for (key, value) in batch.notes {
                match value {
                    Some(value) => drop(self.notes.insert(key, value)),
                    None => drop(self.notes.remove(&key)),
                }
            }
        }
    }

    /// Steps until all there is to read has come: the scan, the turns, the linger.
    fn settle(&mut self) {
        for _ in 0..8 {
            self.step(Duration::from_millis(1100));
        }
    }

    /// Lets the time of every rotation, copy and quiet period pass.
    fn wait_out(&mut self) {
        for _ in 0..40 {
            self.step(Duration::from_millis(1100));
        }
    }

    /// The process dies: what was not committed is forgotten.
    fn kill(&mut self) {
        self.agent = None;
    }

    fn take(&mut self) -> String {
        let show = |(name, flags, text): &Line| {
            let text = text.escape_ascii().to_string();
            let flags = match *flags {
                0 => "",
                FLAG_PARTIAL => " partial",
                FLAG_CUT => " cut",
                _ => " ?",
            };
            format!("{name}{flags}: {text}\n")
        };
        let out = self.lines.iter().map(show).collect();
        self.lines.clear();
        out
    }

    fn texts(&mut self) -> Vec<String> {
        let text = |line: Line| String::from_utf8(line.2).unwrap();
        std::mem::take(&mut self.lines).into_iter().map(text).collect()
    }

    fn stats(&self) -> LogCounts {
        self.agent.as_ref().unwrap().0.stats().counts()
    }

    #[track_caller]
    fn check(&mut self, expected: &[&str]) {
        self.settle();
        let got = self.take();
        let expected: String = expected.iter().map(|line| format!("{line}\n")).collect();
        assert_eq!(got, expected);
    }
}

fn lines_of(sealed: &Sealed) -> Vec<Line> {
    let header = sealed.header(Lane::Logs, StreamId([0; 16]), Seq(1));
    let mut raw = Vec::new();
    frame::inflate(&header, &sealed.body, &mut raw).unwrap();
    let log = parse_log(header.first_at, &raw).unwrap();
    let show = |line: LogLine<'_>| {
        let name = &log.sources[line.source].name;
        (name.rsplit('/').next().unwrap().to_owned(), line.flags & !4, line.text.to_vec())
    };
    log.lines().map(show).collect()
}

fn numbered(from: usize, to: usize) -> String {
    (from..to).map(|number| format!("line {number} of the test\n")).collect()
}

#[test]
fn lines_come_once_and_in_order() {
    let mut world = World::new(&["*.log"]);
    world.append("a.log", "one\ntwo\n");
    world.append("b.txt", "not ours\n");
    world.append("c.log.gz", "\x1f\u{8b}\n");
    world.check(&["a.log: one", "a.log: two"]);
    world.append("a.log", "three\nfo");
    world.check(&["a.log: three"]);
    world.append("a.log", "ur\n");
    world.append("new.log", [b'\xff', b'\n']);
    world.check(&["a.log: four", "new.log: \\xff"]);
    world.kill();
    world.check(&[]);
    assert_eq!(world.stats().checkpoints_damaged, 0);
}

#[test]
fn a1_a_reused_inode_is_another_file() {
    for kill in [false, true] {
        let mut world = World::new(&["*.log"]);
        world.append("f.log", numbered(0, 1_000));
        world.settle();
        assert_eq!(world.texts().len(), 1_000);
        // The same inode, with other bytes: what an unlink and a create may give.
        let inode = fs::metadata(world.path("f.log")).unwrap().ino();
        if kill {
            world.kill();
        }
        world.rename("f.log", "g.log");
        fs::write(world.path("g.log"), numbered(5_000, 8_000)).unwrap();
        assert_eq!(fs::metadata(world.path("g.log")).unwrap().ino(), inode);
        world.settle();
        let expected: Vec<String> = numbered(5_000, 8_000).lines().map(String::from).collect();
        assert_eq!(world.texts(), expected);
    }
}

#[test]
fn a2_equal_headers_do_not_make_files_equal() {
    let mut world = World::new(&["*.log"]);
    let header = "the same header in every file\n".repeat(140);
    for round in 0..3 {
        for file in 0..30 {
            let name = format!("f{file}.log");
            if round == 0 {
                world.append(&name, &header);
            }
            world.append(&name, format!("body {file} {round}\n"));
            if round == 1 && file % 2 == 0 {
                world.rename(&name, &format!("{name}.1"));
            }
        }
        world.step(Duration::from_millis(1100));
    }
    world.settle();
    let mut bodies: Vec<(String, String)> = std::mem::take(&mut world.lines)
        .into_iter()
        .map(|(name, _, text)| (name, String::from_utf8(text).unwrap()))
        .filter(|(_, text)| text.starts_with("body"))
        .collect();
    bodies.sort();
    let mut expected: Vec<(String, String)> = (0..30)
        .flat_map(|file| {
            (0..3).map(move |round| (format!("f{file}.log"), format!("body {file} {round}")))
        })
        .collect();
    expected.sort();
    assert_eq!(bodies, expected);
}

#[test]
fn a3_tiny_files_and_lines_that_never_end() {
    let mut world = World::new(&["*.log"]);
    world.append("one.log", "x");
    world.append("two.log", "y\n");
    world.append("three.log", "\n");
    world.check(&["three.log: ", "two.log: y"]);
    world.remove("one.log");
    world.wait_out();
    assert_eq!(world.take(), "one.log partial: x\n");
    world.append("four.log", "abc");
    world.settle();
    world.rename("four.log", "four.log.1");
    world.wait_out();
    assert_eq!(world.take(), "four.log partial: abc\n");
    world.append("four.log.1", "def\n");
    world.check(&["four.log: def"]);
    assert_eq!(world.stats().partial_lines, 2);
}

#[test]
fn a4_rotated_files_are_read_to_their_end_whatever_happens_to_their_names() {
    let mut world = World::new(&["x.log"]);
    world.append("x.log", "1\n");
    world.check(&["x.log: 1"]);
    world.append("x.log", "2\n");
    world.rename("x.log", "x.log.1");
    world.append("x.log", "3\n");
    world.rename("x.log.1", "x.log.2");
    world.rename("x.log", "x.log.1");
    world.append("x.log", "4\n");
    world.settle();
    let mut texts = world.texts();
    texts.sort();
    // The file of "3" was never seen under a name of ours: no glob, no checkpoint, no inode.
    assert_eq!(texts, ["2", "4"]);
    world.append("x.log.2", "late\n");
    world.check(&["x.log: late"]);
    world.append("x.log", "5\n");
    world.remove("x.log");
    world.check(&["x.log: 5"]);
    assert_eq!(world.stats().lost_files, 0);
}

#[test]
fn what_is_unread_is_told_even_when_nobody_takes_lines() {
    let mut world = World::new(&["*.log"]);
    world.append("calm.log", "1\n");
    let second = Duration::from_secs(1);
    let is_full = |world: &mut World| {
        world.append("x.log", "1\n");
        world.step_without_commit(second)
    };
    assert!((0..1_000).any(|_| matches!(is_full(&mut world), Wait::Full(_))));
    world.append("x.log", vec![b'x'; 5_000]);
    world.step_without_commit(Duration::from_secs(60));
    let behind = world.agent.as_ref().unwrap().0.stats().behind();
    let [(path, bytes)] = &behind[..] else { panic!("{behind:?}") };
    assert_eq!(*path, world.path("x.log"));
    assert!((5_000..6_000).contains(bytes), "{bytes}");
    world.append("x.log", "\n");
    world.commit();
    world.settle();
    world.step(Duration::from_secs(60));
    assert_eq!(world.agent.as_ref().unwrap().0.stats().behind(), []);
}

#[test]
fn a5_rotation_while_we_were_down() {
    let mut world = World::new(&["x.log"]);
    world.append("x.log", numbered(0, 500));
    world.settle();
    assert_eq!(world.texts().len(), 500);
    world.kill();
    world.append("x.log", numbered(500, 1_000));
    world.rename("x.log", "x.log.1");
    world.rename("x.log.1", "x.log.2");
    world.append("x.log", numbered(1_000, 1_010));
    world.settle();
    let mut texts = world.texts();
    texts.sort();
    let mut expected: Vec<String> = numbered(500, 1_010).lines().map(String::from).collect();
    expected.sort();
    assert_eq!(texts, expected);
    world.kill();
    world.check(&[]);
}

#[test]
fn a6_copytruncate_while_we_look() {
    for (refill, globs) in
        [(10, "x.log"), (100, "x.log"), (300, "x.log"), (300, "*.log*"), (10, "*")]
    {
        let mut world = World::new(&[globs]);
        world.append("x.log", numbered(0, 100));
        world.settle();
        world.append("x.log", numbered(100, 120));
        world.copytruncate("x.log", "x.log.1");
        world.append("x.log", numbered(1_000, 1_000 + refill));
        world.wait_out();
        let mut texts = world.texts();
        texts.sort();
        let mut expected: Vec<String> = numbered(0, 120).lines().map(String::from).collect();
        expected.extend(numbered(1_000, 1_000 + refill).lines().map(String::from));
        expected.sort();
        assert_eq!(texts, expected, "refill {refill}, glob {globs}");
        world.kill();
        world.wait_out();
        assert!(world.texts().is_empty());
    }
}

#[test]
fn a7_copytruncate_while_we_were_down() {
    for globs in ["x.log", "*"] {
        let mut world = World::new(&[globs]);
        world.append("x.log", numbered(0, 100));
        world.settle();
        world.kill();
        world.append("x.log", numbered(100, 110));
        world.copytruncate("x.log", "x.log.1");
        world.append("x.log", numbered(1_000, 1_400));
        world.wait_out();
        let mut texts = world.texts();
        texts.sort();
        let mut expected: Vec<String> = numbered(0, 110).lines().map(String::from).collect();
        expected.extend(numbered(1_000, 1_400).lines().map(String::from));
        expected.sort();
        assert_eq!(texts, expected, "glob {globs}");
    }
}

#[test]
fn a9_the_hole_behind_a_truncation_is_skipped() {
    let mut world = World::new(&["x.log"]);
    world.append("x.log", "before\n");
    world.settle();
    let file = File::options().write(true).open(world.path("x.log")).unwrap();
    file.set_len(0).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"after\n", 50_000_000).unwrap();
    world.wait_out();
    assert_eq!(world.take(), "x.log: before\nx.log: after\n");
    assert_eq!(world.stats().nul_bytes, 50_000_000);
    assert_eq!(world.stats().cut_lines, 0);
}

#[test]
fn a11_one_file_under_two_globs_and_two_names_is_read_once() {
    let mut world = World::new(&["*.log", "a.*", "b/*.log"]);
    fs::create_dir(world.path("b")).unwrap();
    world.append("a.log", "one\n");
    fs::hard_link(world.path("a.log"), world.path("b/c.log")).unwrap();
    world.check(&["a.log: one"]);
    world.append("b/c.log", "two\n");
    world.check(&["a.log: two"]);
}

#[test]
fn a13_a_file_that_comes_back_is_read_on() {
    let mut world = World::new(&["x.log"]);
    let away = tempfile::tempdir_in(world.dir.path()).unwrap();
    world.append("x.log", "one\n");
    world.check(&["x.log: one"]);
    for kill in [false, true] {
        fs::rename(world.path("x.log"), away.path().join("kept")).unwrap();
        world.step(Duration::from_secs(100));
        world.step(Duration::from_secs(300));
        world.wait_out();
        if kill {
            world.kill();
            world.wait_out();
        }
        fs::rename(away.path().join("kept"), world.path("x.log")).unwrap();
        world.append("x.log", "more\n");
        world.check(&["x.log: more"]);
    }
}

#[test]
fn b3_a_damaged_checkpoint_means_the_beginning() {
    let mut world = World::new(&["x.log"]);
    world.append("x.log", "one\n");
    world.check(&["x.log: one"]);
    world.kill();
    world.notes.values_mut().for_each(|value| value[3] ^= 1);
    world.check(&["x.log: one"]);
    assert_eq!(world.stats().checkpoints_damaged, 1);
}

#[test]
fn b4_a_line_in_two_halves_around_a_restart_is_one_line() {
    let mut world = World::new(&["x.log"]);
    world.append("x.log", "abc");
    world.check(&[]);
    world.kill();
    world.append("x.log", "def\n");
    world.check(&["x.log: abcdef"]);
}

#[test]
fn c8_an_oversize_line_is_cut_and_its_neighbours_are_not() {
    let mut world = World::new(&["x.log"]);
    world.append("x.log", "before\n");
    world.append("x.log", vec![b'y'; 64 * 1024 * 1024]);
    for _ in 0..3 {
        world.settle();
        world.kill();
    }
    world.append("x.log", "end\nafter\n");
    world.settle();
    let lines: Vec<(u8, usize)> = world.lines.iter().map(|line| (line.1, line.2.len())).collect();
    assert_eq!(lines, [(0, 6), (FLAG_CUT, LOG_LINE_BYTES_MAX), (0, 5)]);
}

#[test]
fn f1_many_files_and_few_descriptors() {
    let mut world = World::new(&["*.log"]);
    for file in 0..2_000 {
        world.append(&format!("f{file}.log"), "begin\n");
    }
    world.wait_out();
    assert_eq!(world.texts().len(), 2_000);
    assert!(world.stats().files_open <= limits::FILES_OPEN_MAX as u64);
    for round in 0..10 {
        for file in 0..10 {
            world.append(&format!("f{file}.log"), format!("{round}\n"));
        }
        // A scan of 2 000 files is due more rarely than one of ten.
        world.settle();
        assert_eq!(world.texts().len(), 10);
    }
    for _ in 0..80 {
        world.step(Duration::from_secs(1));
    }
    assert_eq!(world.stats().files_open, 0);
    assert_eq!(world.stats().files_known, 2_000);
}

#[test]
fn a_full_channel_stops_reading_and_loses_nothing() {
    let mut world = World::new(&["*.log"]);
    for file in 0..4 {
        world.append(&format!("f{file}.log"), numbered(file * 200_000, (file + 1) * 200_000));
    }
    for _ in 0..400 {
        world.step_without_commit(Duration::from_millis(50));
    }
    let (reader, _) = world.agent.as_mut().unwrap();
    assert!(matches!(reader.step(world.now, Utc(0)), Wait::Full(_)));
    for _ in 0..20 {
        world.settle();
    }
    let mut texts = world.texts();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), 800_000);
}

#[test]
fn reading_from_the_end_is_for_the_first_start_only() {
    let mut world = World::new(&["*.log"]);
    world.settings.files[0].start = Start::End;
    world.append("a.log", "old\n");
    world.check(&[]);
    world.append("a.log", "new\n");
    world.append("b.log", "born later\n");
    world.check(&["a.log: new", "b.log: born later"]);
    world.kill();
    world.append("c.log", "born while down\n");
    world.check(&["c.log: born while down"]);
}

#[test]
fn the_thread_sees_new_lines_and_files_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let glob = format!("{}/*.log", dir.path().display());
    let source = FileSource { paths: vec![glob], ..FileSource::default() };
    let settings = LogSettings { files: vec![source], ..LogSettings::default() };
    let (tx, rx) = sync_channel(4);
    let handle =
        LogThread::start(&settings, Checkpoints::default(), Box::new(tx), Default::default())
            .unwrap();
    let append = |name: &str, text: &str| {
        let path = dir.path().join(name);
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    let wait = || rx.recv_timeout(Duration::from_secs(20)).unwrap().sealed.unwrap().facts.records;
    append("a.log", "one\n");
    assert_eq!(wait(), 1);
    append("a.log", "two\n");
    assert_eq!(wait(), 1);
    append("b.log", "three\n");
    assert_eq!(wait(), 1);
    assert_eq!(handle.stats().counts().lines, 3);
    handle.stop();
    assert!(rx.try_recv().is_err());
}

#[test]
fn a_file_can_be_pushed_through_without_a_thread() {
    let world = World::new(&[]);
    world.append("a", numbered(0, 30_000));
    let mut records = 0;
    let lines = read_through(Path::new(&world.path("a")), Utc(0), &mut |sealed| {
        records += sealed.facts.records;
    });
    assert_eq!((lines.unwrap(), records), (30_000, 30_000));
}
