//! The store against a model that keeps every line in a vector.

use std::cell::Cell;
use std::collections::BTreeMap;

use muster_proto::frame::Sealer as FrameSealer;
use muster_proto::ids::Seq;
use muster_proto::lane::Lane;
use muster_proto::log::{LogBlock, LogSource, Severity, SourceKind};
use regex::bytes::Regex;

use super::file::DayReader;
use super::*;
use crate::stores::day::{Day, day_path};
use crate::stores::retention::{Gone, Keep};

const NOON: i64 = 1_795_262_400_000_000; // 2026-11-21T12:00:00Z
const MINUTE: i64 = 60_000_000;
const SPOOL: StreamId = StreamId([9; 16]);
const NOW: Utc = Utc(NOON);

struct Frame {
    tag: HostTag,
    bytes: Vec<u8>,
    lines: Vec<LogHit>,
}

fn small() -> LogSettings {
    LogSettings { block_bytes: 3_000, head_bytes: 200_000, ..LogSettings::default() }
}

const WORDS: [&str; 12] = [
    "connection",
    "refused",
    "user=alice",
    "user_bob",
    "timeout",
    "after",
    "1234ms",
    "ERROR",
    "é\u{fe}",
    "a-b",
    "0x5f",
    "line\nbreak",
];

fn text(rng: &mut fastrand::Rng) -> Vec<u8> {
    let count = rng.usize(0..9);
    let words: Vec<_> = (0..count).map(|_| WORDS[rng.usize(..WORDS.len())]).collect();
    let mut text = words.join([" ", ", ", ""][rng.usize(..3)]).into_bytes();
    if rng.u8(..) < 8 {
        text.push(0xff);
    }
    text
}

/// Frame `seq` of host `n`: lines around noon, some of the day before, several sources and classes.
fn frame(rng: &mut fastrand::Rng, n: u8, seq: u64) -> Frame {
    let tag = HostTag { host: format!("db{n}.example.org"), datacenter: format!("dc{}", n % 2) };
    let mut block = LogBlock::new();
    let stream = StreamId([n; 16]);
    let mut lines = Vec::new();
    for index in 0..rng.u32(1..60) {
        let program = ["nginx", "sshd", ""][rng.usize(..3)].to_string();
        let source = LogSource {
            kind: if rng.bool() { SourceKind::File } else { SourceKind::Journald },
            name: format!("/var/log/{}.log", rng.u8(..3)),
            class: ["auth", "WEB", ""][rng.usize(..3)].to_string(),
            program,
        };
        let at = Utc(NOON - rng.i64(0..90) * MINUTE * 10 + rng.i64(0..2) * 17);
        let severity = Severity::from_byte(rng.u8(..8)).unwrap();
        let text = text(rng);
        let number = block.source(&source);
        block.push(number, at, (severity, 0), &text);
        let source = LineSource {
            host: Arc::from(&*tag.host),
            datacenter: Arc::from(&*tag.datacenter),
            class: Arc::from(class_name(&source.class)),
            kind: source.kind,
            name: Arc::from(source.name),
            program: Arc::from(source.program),
        };
        let (seq, source) = (Seq(seq), Arc::new(source));
        lines.push(LogHit { at, source, severity, flags: 0, stream, seq, index, text });
    }
    Frame { tag, bytes: finish(&mut block, stream, seq), lines }
}

fn finish(block: &mut LogBlock, stream: StreamId, seq: u64) -> Vec<u8> {
    let sealed = block.seal(&mut FrameSealer::new().unwrap()).unwrap().unwrap();
    let mut bytes = sealed.header(Lane::Logs, stream, Seq(seq)).encode().to_vec();
    bytes.extend_from_slice(&sealed.body);
    bytes
}

fn frames(seed: u64, count: u64) -> Vec<Frame> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (1..=count).map(|n| frame(&mut rng, (n % 5) as u8, n)).collect()
}

fn open(folder: &Path) -> LogStore {
    LogStore::open(folder, SPOOL, small()).unwrap()
}

/// Takes frames under the spool seqs from `first` on.
fn feed(store: &LogStore, first: u64, frames: &[Frame]) {
    for (n, frame) in frames.iter().enumerate() {
        store.take(first + n as u64, &frame.tag, &frame.bytes, NOW).unwrap();
    }
}

fn free() -> Budget<'static> {
    Budget { scan_bytes_max: u64::MAX, memory_bytes_max: u64::MAX, stop: &|| None }
}

fn ask(store: &LogStore, query: &LogQuery) -> (Vec<LogHit>, SearchEnd) {
    let mut hits = Vec::new();
    let mut out = |hit| {
        hits.push(hit);
        ControlFlow::Continue(())
    };
    let end = store.search(query, &free(), &mut out).unwrap();
    (hits, end)
}

fn wants(query: &LogQuery, line: &LogHit) -> bool {
    let any = |globs: &[String], text: &str| {
        globs.is_empty() || globs.iter().any(|g| query::glob_matches(g.as_bytes(), text.as_bytes()))
    };
    let has = |needle: &str| {
        let (mut line, mut needle) = (line.text.clone(), needle.as_bytes().to_vec());
        if query.any_case {
            line.make_ascii_lowercase();
            needle.make_ascii_lowercase();
        }
        let word = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
        (0..line.len().max(1)).any(|at| {
            let end = at + needle.len();
            let whole =
                |edge: usize| edge == 0 || !(word(line.get(edge - 1)) && word(line.get(edge)));
            line.get(at..end) == Some(&needle) && (!query.whole_words || whole(at) && whole(end))
        })
    };
    query.since.is_none_or(|since| line.at >= since)
        && query.until.is_none_or(|until| line.at < until)
        && any(&query.hosts, &line.source.host)
        && any(&query.datacenters, &line.source.datacenter)
        && any(&query.programs, &line.source.program)
        && any(&query.sources, &line.source.name)
        && query.classes.as_ref().is_none_or(|c| c.iter().any(|c| **c == *line.source.class))
        && query.severity_max.is_none_or(|worst| line.severity <= worst)
        && query.substring.as_deref().is_none_or(|needle| needle.is_empty() || has(needle))
        && query.regex.as_deref().is_none_or(|r| Regex::new(r).unwrap().is_match(&line.text))
        && query.after.as_ref().is_none_or(|after| match query.order {
            Order::Newest => line.key() < *after,
            Order::Oldest => line.key() > *after,
        })
}

fn expected(frames: &[Frame], query: &LogQuery) -> Vec<LogHit> {
    let all = frames.iter().flat_map(|frame| &frame.lines);
    let mut lines: Vec<_> = all.filter(|line| wants(query, line)).cloned().collect();
    lines.sort_by_key(LogHit::key);
    if query.order == Order::Newest {
        lines.reverse();
    }
    lines.truncate(if query.limit == 0 { usize::MAX } else { query.limit });
    lines
}

fn any_query(rng: &mut fastrand::Rng, frames: &[Frame]) -> LogQuery {
    let some = |rng: &mut fastrand::Rng, of: &[&str]| -> Vec<String> {
        if rng.u8(..4) == 0 { vec![of[rng.usize(..of.len())].to_string()] } else { Vec::new() }
    };
    let pick = |rng: &mut fastrand::Rng, of: &[&str]| {
        (rng.u8(..3) == 0).then(|| of[rng.usize(..of.len())].to_string())
    };
    let moment =
        |rng: &mut fastrand::Rng| (rng.u8(..3) == 0).then(|| Utc(NOON - rng.i64(0..900) * MINUTE));
    let regexes = [
        "user=(alice|bob).*timeout",
        "^connection",
        "refused$",
        "[0-9]{4}ms",
        "(?i)error",
        "\\Aa-b\\z",
        "a[^b]*c",
        "^$",
        "\\bafter\\b",
        "(?-u)\\xff",
        "nothing_like_this",
    ];
    let needles = [
        "refused",
        "connection refused",
        " refused ",
        "fuse",
        "ERROR",
        "error",
        "1234ms, after",
        "é",
        "break",
        "x connection x",
        "ne\nbr",
        "absent_word",
    ];
    LogQuery {
        since: moment(rng),
        until: moment(rng),
        hosts: some(rng, &["db1.example.org", "db*", "db?.*", "*2*", "nobody"]),
        datacenters: some(rng, &["dc0", "dc*"]),
        classes: pick(rng, &["auth", "web", "default", "none"]).map(|class| vec![class]),
        severity_max: (rng.u8(..4) == 0).then(|| Severity::from_byte(rng.u8(..8)).unwrap()),
        programs: some(rng, &["nginx", "s*", ""]),
        sources: some(rng, &["/var/log/1.log", "*2*"]),
        substring: pick(rng, &needles),
        any_case: rng.bool(),
        whole_words: rng.bool(),
        regex: pick(rng, &regexes),
        limit: [0, 1, 7, 100][rng.usize(..4)],
        order: if rng.bool() { Order::Newest } else { Order::Oldest },
        after: (rng.u8(..4) == 0).then(|| {
            let frame = &frames[rng.usize(..frames.len())];
            frame.lines[rng.usize(..frame.lines.len())].key()
        }),
    }
}

#[track_caller]
fn check(store: &LogStore, frames: &[Frame], seed: u64, queries: usize) {
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..queries {
        let query = any_query(&mut rng, frames);
        let (hits, end) = ask(store, &query);
        let wanted = expected(frames, &query);
        assert_eq!(hits.len(), wanted.len(), "{query:?}");
        assert_eq!(hits, wanted, "{query:?}");
        assert_eq!((end.truncated, &end.damaged[..]), (None, &[][..]), "{query:?}");
        assert_eq!(end.hits, wanted.len() as u64);
    }
}

/// Lines in all day files, as their parts say.
fn sealed_lines(store: &LogStore) -> usize {
    let horizon = Horizon { stream: [0; 16], upto: 0 };
    let count = |path: PathBuf| DayReader::open(&path, &horizon).unwrap().lines() as usize;
    store.files(|_| true).unwrap().into_iter().map(|file| count(file.path)).sum()
}

fn total(frames: &[Frame]) -> usize {
    frames.iter().map(|frame| frame.lines.len()).sum()
}

#[test]
fn searches_agree_with_the_model_in_every_state_of_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let frames = frames(1, 60);
    let store = open(folder.path());
    feed(&store, 1, &frames[..20]);
    check(&store, &frames[..20], 11, 120);
    let report = store.seal(NOW).unwrap().unwrap();
    assert_eq!((report.upto, report.records), (20, total(&frames[..20]) as u64));
    check(&store, &frames[..20], 12, 120);
    feed(&store, 21, &frames[20..40]);
    check(&store, &frames[..40], 13, 120);
    store.seal(NOW).unwrap();
    feed(&store, 41, &frames[40..]);
    check(&store, &frames, 14, 200);
    drop(store);
    let store = open(folder.path());
    assert_eq!(store.sealed_upto(), 40);
    check(&store, &frames[..40], 15, 50);
    feed(&store, 1, &frames);
    assert_eq!(store.usage().unwrap().repeats, 40);
    check(&store, &frames, 16, 200);
    assert_eq!(store.seal(NOW).unwrap().unwrap().upto, 60);
    assert_eq!(store.seal(NOW).unwrap(), None);
    check(&store, &frames, 17, 200);
    assert_eq!(sealed_lines(&store), total(&frames));
    assert_eq!(store.damages(), []);
}

#[test]
fn a_crash_between_two_files_neither_loses_nor_doubles() {
    for files in 0..8 {
        let folder = tempfile::tempdir().unwrap();
        let frames = frames(2, 30);
        let store = open(folder.path());
        feed(&store, 1, &frames[..20]);
        lock(&store.inner.writer).files_left = Some(files);
        let died = matches!(store.seal(NOW), Err(StoreError::Stopped));
        check(&store, &frames[..20], 20 + files, 15);
        drop(store);
        let store = open(folder.path());
        assert_eq!(store.sealed_upto(), if died { 0 } else { 20 });
        // The cursor had not moved: everything comes again, and more.
        feed(&store, 1, &frames);
        assert_eq!(store.sealed_upto(), 20, "the old range is sealed before the next is begun");
        check(&store, &frames, 40 + files, 30);
        store.seal(NOW).unwrap();
        check(&store, &frames, 60 + files, 30);
        assert_eq!(sealed_lines(&store), total(&frames), "after {files} files");
    }
}

#[test]
fn a_search_during_a_seal_sees_every_line_once() {
    let folder = tempfile::tempdir().unwrap();
    let frames = frames(3, 80);
    let store = open(folder.path());
    feed(&store, 1, &frames);
    let wanted = expected(&frames, &LogQuery::default());
    std::thread::scope(|scope| {
        let (frames, wanted, searching) = (&frames, &wanted, store.clone());
        let seal = scope.spawn(move || {
            for (n, frame) in frames.iter().enumerate() {
                if n % 10 == 0 {
                    store.seal(NOW).unwrap();
                }
                // A repeat of old lines under new spool seqs: the answer must not change.
                store.take(100 + n as u64, &frame.tag, &frame.bytes, NOW).unwrap();
            }
            store.seal(NOW).unwrap();
        });
        while !seal.is_finished() {
            assert_eq!(ask(&searching, &LogQuery::default()).0, *wanted);
        }
        seal.join().unwrap();
        assert_eq!(ask(&searching, &LogQuery::default()).0, *wanted);
    });
}

#[test]
fn pages_follow_each_other_without_a_seam() {
    let folder = tempfile::tempdir().unwrap();
    let frames = frames(4, 30);
    let store = open(folder.path());
    feed(&store, 1, &frames[..20]);
    store.seal(NOW).unwrap();
    feed(&store, 21, &frames[20..]);
    for order in [Order::Newest, Order::Oldest] {
        let mut query = LogQuery { limit: 37, order, ..LogQuery::default() };
        let mut all = Vec::new();
        loop {
            let (hits, end) = ask(&store, &query);
            assert_eq!(end.limited, hits.len() == 37);
            let Some(last) = hits.last() else { break };
            query.after = Some(last.key());
            all.extend(hits);
        }
        assert_eq!(all, expected(&frames, &LogQuery { order, ..LogQuery::default() }));
    }
}

#[test]
fn a_budget_ends_a_search_and_says_up_to_where_it_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let frames = frames(5, 40);
    let store = open(folder.path());
    feed(&store, 1, &frames);
    store.seal(NOW).unwrap();
    let asked = Cell::new(0);
    let after_five = || {
        asked.set(asked.get() + 1);
        (asked.get() > 5).then_some(Truncated::Deadline)
    };
    let budgets = [
        (Budget { scan_bytes_max: 9_000, ..free() }, Truncated::Bytes),
        (Budget { memory_bytes_max: 9_000, ..free() }, Truncated::Memory),
        (Budget { stop: &after_five, ..free() }, Truncated::Deadline),
        (Budget { stop: &|| Some(Truncated::Cancelled), ..free() }, Truncated::Cancelled),
    ];
    for (budget, why) in budgets {
        let mut hits = Vec::new();
        let mut out = |hit| {
            hits.push(hit);
            ControlFlow::Continue(())
        };
        let end = store.search(&LogQuery::default(), &budget, &mut out).unwrap();
        assert_eq!(end.truncated, Some(why));
        assert!(end.scanned_bytes < 30_000 && hits.len() < total(&frames), "{why:?} {end:?}");
        let complete = end.complete_to.unwrap();
        let wanted: Vec<_> = expected(&frames, &LogQuery::default())
            .into_iter()
            .filter(|l| l.at > complete)
            .collect();
        if why != Truncated::Cancelled {
            hits.retain(|hit| hit.at > complete);
            assert_eq!(hits, wanted);
        }
    }
    let mut first = None;
    let mut out = |hit: LogHit| {
        first = Some(hit);
        ControlFlow::Break(())
    };
    assert_eq!(store.search(&LogQuery::default(), &free(), &mut out).unwrap().hits, 1);
    assert_eq!(first, expected(&frames, &LogQuery::default()).into_iter().next());
}

#[test]
fn indexes_rule_blocks_out() {
    let folder = tempfile::tempdir().unwrap();
    let frames = frames(6, 60);
    let store = open(folder.path());
    feed(&store, 1, &frames);
    store.seal(NOW).unwrap();
    let word = |whole_words| LogQuery {
        substring: Some("absent_word".into()),
        whole_words,
        ..LogQuery::default()
    };
    let (full, pruned) = (ask(&store, &word(false)).1, ask(&store, &word(true)).1);
    assert_eq!(full.skipped_blocks, 0);
    assert!(pruned.scanned_blocks * 10 <= full.scanned_blocks, "{pruned:?} {full:?}");
    let host = LogQuery { hosts: vec!["nobody".into()], ..LogQuery::default() };
    assert_eq!(ask(&store, &host).1.scanned_bytes, 0);
    let newest = LogQuery { limit: 3, ..LogQuery::default() };
    assert!(ask(&store, &newest).1.scanned_blocks < full.scanned_blocks);
}

#[test]
fn counts_agree_with_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let frames = frames(7, 40);
    let store = open(folder.path());
    feed(&store, 1, &frames[..25]);
    store.seal(NOW).unwrap();
    feed(&store, 26, &frames[25..]);
    let (since, until) = (Utc(NOON - 600 * MINUTE), Utc(NOON));
    for classes in [None, Some(vec!["web".to_string()])] {
        let mut wanted: BTreeMap<(i64, u8), u64> = BTreeMap::new();
        let query = LogQuery {
            since: Some(since),
            until: Some(until),
            classes: classes.clone(),
            ..LogQuery::default()
        };
        for line in expected(&frames, &query) {
            let minute = line.at.0.div_euclid(MINUTE) * MINUTE;
            *wanted.entry((minute, line.severity as u8)).or_default() += 1;
        }
        let counts = store.counts(since, until, classes.as_deref()).unwrap();
        let seen: BTreeMap<_, _> = counts.iter().map(|c| ((c.at.0, c.severity), c.lines)).collect();
        assert_eq!(seen, wanted);
    }
}

#[test]
fn old_days_go_and_the_rest_stays() {
    let folder = tempfile::tempdir().unwrap();
    let frames = frames(8, 40);
    let store = open(folder.path());
    feed(&store, 1, &frames);
    store.seal(NOW).unwrap();
    let today = Day::of(NOW).start();
    let keep = |class: &str| Keep { days: u32::from(class != "web"), bytes: None };
    let removed = store.retain(NOW, &keep).unwrap();
    let seen: Vec<_> = removed.iter().map(|r| (r.class.as_str(), r.day, r.why)).collect();
    assert_eq!(seen, [("web", Day(Day::of(NOW).0 - 1), Gone::Age)]);
    let left: Vec<_> = expected(&frames, &LogQuery::default())
        .into_iter()
        .filter(|line| &*line.source.class != "web" || line.at >= today)
        .collect();
    assert_eq!(ask(&store, &LogQuery::default()).0, left);
    let yesterday = store.oldest_day(NOW).unwrap().unwrap();
    assert_eq!(store.drop_day(yesterday).unwrap().len(), 2);
    assert_eq!(store.oldest_day(NOW).unwrap(), None);
    assert!(ask(&store, &LogQuery::default()).0.iter().all(|line| line.at >= today));
}

#[test]
fn a_damaged_file_is_moved_aside_and_the_rest_serves() {
    let folder = tempfile::tempdir().unwrap();
    let frames = frames(9, 60);
    let store = open(folder.path());
    feed(&store, 1, &frames[..40]);
    store.seal(NOW).unwrap();
    let yesterday = Day(Day::of(NOW).0 - 1);
    for day in [Day::of(NOW), yesterday] {
        let path = day_path(&folder.path().join("auth"), day);
        let len = fs::metadata(&path).unwrap().len() as usize;
        fs::write(&path, vec![0x55; len]).unwrap();
    }
    let whole = |frames: &[Frame]| -> Vec<LogHit> {
        let all = expected(frames, &LogQuery::default()).into_iter();
        all.filter(|line| &*line.source.class != "auth").collect()
    };
    let (hits, end) = ask(&store, &LogQuery::default());
    assert_eq!((hits, end.damaged.len()), (whole(&frames[..40]), 2));
    // The next seal mends what searches complained about.
    feed(&store, 41, &frames[40..50]);
    store.seal(NOW).unwrap();
    assert_eq!(store.damages().len(), 2);
    let (hits, end) = ask(&store, &LogQuery::default());
    assert_eq!(end.damaged, []);
    assert!(hits.len() > whole(&frames[..50]).len(), "new lines of the class are kept");
    // A start finds damage in the newest file by itself.
    drop(store);
    fs::write(day_path(&folder.path().join("web"), Day::of(NOW)), b"not a database at all")
        .unwrap();
    let store = open(folder.path());
    assert_eq!(store.damages().len(), 1);
    assert!(folder.path().join("web").join(format!("{}.db.damaged", Day::of(NOW))).exists());
    feed(&store, 51, &frames[50..]);
    store.seal(NOW).unwrap();
    assert_eq!(ask(&store, &LogQuery::default()).1.damaged, []);
}

#[test]
fn a_seal_is_due_by_size_and_by_age_and_a_full_head_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let frames = frames(10, 20);
    let settings = LogSettings { head_bytes: 10_000, ..small() };
    let store = LogStore::open(folder.path(), SPOOL, settings).unwrap();
    feed(&store, 1, &frames[..1]);
    assert!(!store.is_due(NOW));
    assert!(store.is_due(NOW.after(Duration::from_secs(900))));
    let refused = frames[1..]
        .iter()
        .enumerate()
        .find_map(|(n, frame)| store.take(2 + n as u64, &frame.tag, &frame.bytes, NOW).err());
    assert!(matches!(refused, Some(StoreError::HeadFull { limit: 20_000, .. })), "{refused:?}");
    assert!(store.is_due(NOW));
    store.seal(NOW).unwrap();
    assert!(!store.is_due(NOW.after(Duration::from_secs(9_000))));
}

#[test]
fn times_beyond_belief_become_the_time_of_receipt() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let source = LogSource {
        kind: SourceKind::File,
        name: "/x".into(),
        program: String::new(),
        class: "../up".into(),
    };
    let mut block = LogBlock::new();
    for at in [0, NOON, NOON + 400 * 86_400_000_000] {
        let number = block.source(&source);
        block.push(number, Utc(at), (Severity::Info, 0), b"x");
    }
    let tag = HostTag { host: "h".into(), datacenter: "d".into() };
    let frame = finish(&mut block, StreamId([1; 16]), 1);
    store.take(1, &tag, &frame, NOW).unwrap();
    for _ in 0..2 {
        let (hits, _) = ask(&store, &LogQuery { order: Order::Oldest, ..LogQuery::default() });
        let seen: Vec<_> = hits.iter().map(|hit| (hit.at, hit.flags, hit.index)).collect();
        assert_eq!(seen, [(NOW, FLAG_CLAMPED, 0), (NOW, 0, 1), (NOW, FLAG_CLAMPED, 2)]);
        store.seal(NOW).unwrap();
    }
    assert_eq!(store.classes().unwrap(), ["___up"]);
}

#[test]
fn bytes_that_are_no_log_frame_are_refused_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let frame = &frames(12, 1)[0];
    let mut rng = fastrand::Rng::with_seed(12);
    for _ in 0..300 {
        let mut bytes = frame.bytes.clone();
        let at = rng.usize(..bytes.len());
        bytes[at] ^= 1 << rng.u8(..8);
        store.take(1, &frame.tag, &bytes, NOW).unwrap_err();
    }
    assert_eq!(ask(&store, &LogQuery::default()).0, []);
    assert_eq!(store.take(1, &frame.tag, &frame.bytes, NOW).unwrap(), Taken::Kept);
    assert_eq!(store.take(2, &frame.tag, &frame.bytes, NOW).unwrap(), Taken::Repeat);
    check(&store, std::slice::from_ref(frame), 1, 10);
}

#[test]
fn a_wrong_expression_is_a_mistake_of_the_question() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for regex in ["(", "(a{1000}){1000}"] {
        let query = LogQuery { regex: Some(regex.into()), ..LogQuery::default() };
        let answer = store.search(&query, &free(), &mut |_| ControlFlow::Continue(()));
        assert!(matches!(answer, Err(StoreError::Question { .. })));
    }
}
