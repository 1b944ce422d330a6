//! The store against a model, and the codec against every kind of number.

use muster_proto::frame::{BodyFacts, Sealer};
use muster_proto::lane::Lane;
use muster_proto::metric::{Dict, MetricType, Scrape, Series, encode_dict, encode_scrapes};

use super::block::{Block, Column, GROUP_SERIES, encode, encode_series, parse_series};
use super::*;

const NOON: i64 = 1_795_262_400_000_000;
const NOW: Utc = Utc(NOON);
const SECOND: i64 = 1_000_000;
const SPOOL: StreamId = StreamId([9; 16]);

fn odd_value(rng: &mut fastrand::Rng) -> f64 {
    match rng.u8(..8) {
        0 => f64::from_bits(rng.u64(..)),
        1 => -0.0,
        2 => f64::NAN,
        3 => f64::INFINITY,
        4 => f64::from_bits(0x7ff0_0000_0000_0002),
        5 => f64::MAX,
        6 => 0.1 * f64::from(rng.u32(..1000)),
        _ => rng.i64(..) as f64,
    }
}

/// A column of one of the kinds that hosts have.
fn column(rng: &mut fastrand::Rng, scrapes: usize) -> Column {
    let kind = rng.u8(..8);
    let mut number = rng.i64(0..1_000_000_000);
    let absent = rng.u8(..4) == 0;
    (0..scrapes)
        .map(|_| {
            number += rng.i64(0..5_000);
            let value = match kind {
                0 => 7.25,
                1 => number as f64,
                2 => (number / 1000) as f64 / 100.0,
                3 => (number / 100) as f64 * 4096.0,
                4 => rng.f64(),
                5 => odd_value(rng),
                6 => -(number as f64) / 1000.0,
                _ => number as f64 / 1e9,
            };
            (!absent || rng.bool()).then_some(value)
        })
        .collect()
}

fn bits(columns: &[Column]) -> Vec<Vec<Option<u64>>> {
    columns.iter().map(|c| c.iter().map(|v| v.map(f64::to_bits)).collect()).collect()
}

#[test]
fn every_number_comes_back_with_its_bits() {
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..60 {
        let (scrapes, series) = (rng.usize(0..70), rng.usize(0..160));
        let times: Vec<i64> =
            (0..scrapes).map(|n| NOON + n as i64 * 15 * SECOND + rng.i64(0..900)).collect();
        let columns: Vec<Column> = (0..series).map(|_| column(&mut rng, scrapes)).collect();
        let bytes = encode(&times, series, |n| columns[n].clone()).unwrap();
        let block = Block::parse(&bytes).unwrap();
        assert_eq!((&block.times, block.series), (&times, series));
        let groups = 0..series.div_ceil(GROUP_SERIES);
        let back: Vec<Column> = groups.flat_map(|group| block.group(group).unwrap()).collect();
        assert_eq!(bits(&back), bits(&columns));
        assert!(block.group(series.div_ceil(GROUP_SERIES)).is_err());
    }
}

#[test]
fn damaged_blocks_are_errors_and_nothing_else() {
    let mut rng = fastrand::Rng::with_seed(2);
    let columns: Vec<Column> = (0..60).map(|_| column(&mut rng, 20)).collect();
    let times: Vec<i64> = (0..20).collect();
    let whole = encode(&times, 60, |n| columns[n].clone()).unwrap();
    for _ in 0..2_000 {
        let mut bytes = whole.clone();
        let at = rng.usize(..bytes.len());
        bytes[at] ^= 1 << rng.u8(..8);
        assert!(Block::parse(&bytes).is_err());
        // With the checksum made good again it may be anything, but it must not panic.
        let crc = crc32c::crc32c(&bytes[8..]).to_le_bytes();
        bytes[4..8].copy_from_slice(&crc);
        if let Ok(block) = Block::parse(&bytes) {
            let _ = (block.group(0), block.group(1));
        }
        bytes.truncate(rng.usize(..bytes.len()));
        assert!(Block::parse(&bytes).is_err());
    }
}

#[test]
fn a_block_of_version_1_opens_for_ever() {
    let fixture = include_bytes!("../../../fixtures/v1/metric.block");
    let block = Block::parse(fixture).unwrap();
    assert_eq!(block.times, [NOON, NOON + 15 * SECOND, NOON + 30 * SECOND]);
    let columns = block.group(0).unwrap();
    let wanted: Vec<Column> = fixture_columns();
    assert_eq!(bits(&columns), bits(&wanted));
}

fn fixture_columns() -> Vec<Column> {
    vec![
        vec![None, None, None],
        vec![Some(1.5), Some(1.5), Some(1.5)],
        vec![Some(4096.0), None, Some(12288.0)],
        vec![Some(0.25), Some(0.5), Some(0.75)],
        vec![Some(1e300), Some(-0.0), Some(f64::NAN)],
    ]
}

#[test]
fn fifteen_minutes_of_a_host_take_little() {
    let mut rng = fastrand::Rng::with_seed(3);
    let times: Vec<i64> =
        (0..60).map(|n| NOON + n * 15 * SECOND + rng.i64(-20_000..20_000)).collect();
    // The mix of storage_ui: constants, counters, gauges, bytes, seconds, floats.
    let kinds: Vec<Column> = (0..500)
        .map(|n| {
            let mut number = rng.i64(0..1_000_000_000);
            let rate = rng.i64(1..20_000);
            let mut step = || {
                let (small, share) = (rng.i64(0..100), rng.f64());
                number += match n % 20 {
                    0..6 => 0,
                    6..10 => rate + rate * small / 400,
                    10..12 => i64::from(small > 95),
                    12..16 => small - 50,
                    16..18 => (small - 50) * 4096,
                    18 => 14_000 + small * 20,
                    _ => 0,
                };
                Some(match n % 20 {
                    12..16 => number as f64 / 100.0,
                    16..18 => (number / 4096 * 4096) as f64,
                    18 => number as f64 / 1000.0,
                    19 => share,
                    _ => number as f64,
                })
            };
            (0..60).map(|_| step()).collect()
        })
        .collect();
    let bytes = encode(&times, 500, |n| kinds[n].clone()).unwrap();
    let each = bytes.len() as f64 / 30_000.0;
    println!("{each:.3} bytes a sample");
    assert!(each <= 1.5, "{each}");
}

struct Frame {
    tag: HostTag,
    bytes: Vec<u8>,
    dict: Dict,
    scrapes: Vec<Scrape>,
}

fn seal(kind: Kind, lane_seq: (u8, u64), dict: u64, body: &[u8]) -> Vec<u8> {
    let facts = BodyFacts { kind, dict, records: 1, first_at: NOW, last_at: NOW };
    let sealed = Sealer::new().unwrap().seal(facts, body).unwrap();
    let stream = StreamId([lane_seq.0; 16]);
    let mut bytes = sealed.header(Lane::Metrics, stream, Seq(lane_seq.1)).encode().to_vec();
    bytes.extend_from_slice(&sealed.body);
    bytes
}

fn dict(host: u8, number: u64) -> Dict {
    let series: Vec<_> = (0..60 + number)
        .map(|n| Series {
            name: format!("metric_{}", n % 7),
            kind: MetricType::Gauge,
            labels: vec![
                ("n".to_string(), n.to_string()),
                ("parity".to_string(), (n % 2).to_string()),
            ],
        })
        .collect();
    Dict { base: series.iter().map(|s| s.labels.len() as f64 + f64::from(host)).collect(), series }
}

fn tag(host: u8) -> HostTag {
    HostTag { host: format!("db{host}"), datacenter: format!("dc{}", host % 2) }
}

/// Frames of three hosts in turn; the first is of the day before, and dicts change on the way.
fn frames(seed: u64, count: u64) -> Vec<Frame> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (1..=count)
        .map(|seq| {
            let host = (seq % 3) as u8;
            let number = 1 + seq / 20;
            let dict = dict(host, number);
            let start = if seq <= 6 { NOON - 86_400 * SECOND } else { NOON };
            let scrapes: Vec<Scrape> = (0..rng.usize(1..4))
                .map(|n| Scrape {
                    at: Utc(start + (seq as i64 * 60 + n as i64 * 15) * SECOND),
                    values: dict
                        .series
                        .iter()
                        .map(|_| (rng.u8(..9) > 0).then(|| rng.f64()))
                        .collect(),
                })
                .collect();
            let bytes = seal(Kind::Metric, (host, seq), number, &encode_scrapes(&dict, &scrapes));
            Frame { tag: tag(host), bytes, dict, scrapes }
        })
        .collect()
}

fn open(folder: &Path) -> MetricStore {
    MetricStore::open(folder, SPOOL, MetricSettings::default()).unwrap()
}

fn open_with_dicts(folder: &Path) -> MetricStore {
    let store = open(folder);
    for (host, number) in (0..3).flat_map(|host| (1..5).map(move |number| (host, number))) {
        let body = encode_dict(&dict(host, number));
        let frame = seal(Kind::Dict, (host, number), 0, &body);
        assert_eq!(store.take_dict(&tag(host), &frame).unwrap(), Taken::Kept);
        assert_eq!(store.take_dict(&tag(host), &frame).unwrap(), Taken::Repeat);
    }
    store
}

fn feed(store: &MetricStore, first: u64, frames: &[Frame]) {
    for (n, frame) in frames.iter().enumerate() {
        store.take(first + n as u64, &frame.tag, &frame.bytes, NOW).unwrap();
    }
}

const SELECTORS: [&str; 5] = [
    "metric_1",
    "{host=\"db1\",n=\"3\"}",
    "{datacenter=~\"dc0\",parity!=\"0\"}",
    "metric_6{n=~\"6.\"}",
    "{host=\"no\"}",
];

type SeriesKey = (String, String, Vec<(String, String)>);
type SeriesSamples = (HostTag, Series, BTreeMap<i64, f64>);

fn expected(frames: &[Frame], selector: &Selector, query: RangeQuery) -> Vec<SeriesRange> {
    let mut all: BTreeMap<SeriesKey, SeriesSamples> = BTreeMap::new();
    for frame in frames.iter().filter(|f| selector.wants_host(&f.tag.host, &f.tag.datacenter)) {
        for (n, series) in
            frame.dict.series.iter().enumerate().filter(|(_, s)| selector.wants_series(s))
        {
            let key = (frame.tag.host.clone(), series.name.clone(), series.labels.clone());
            let entry = all
                .entry(key)
                .or_insert_with(|| (frame.tag.clone(), series.clone(), BTreeMap::new()));
            for scrape in &frame.scrapes {
                if let Some(value) = scrape.values[n] {
                    entry.2.insert(scrape.at.0, value);
                }
            }
        }
    }
    let points = |samples: &BTreeMap<i64, f64>| -> Vec<(Utc, f64)> {
        if query.step.is_zero() {
            return samples
                .range(query.since.0..=query.until.0)
                .map(|(at, v)| (Utc(*at), *v))
                .collect();
        }
        let step = query.step.as_micros() as i64;
        (0..)
            .map(|n| query.since.0 + n * step)
            .take_while(|at| *at <= query.until.0)
            .filter_map(|at| {
                samples.range(at - 300 * SECOND + 1..=at).next_back().map(|(_, v)| (Utc(at), *v))
            })
            .collect()
    };
    let mut answer = Vec::new();
    for (tag, series, samples) in all.into_values() {
        let points = points(&samples);
        if !points.is_empty() {
            answer.push(SeriesRange { host: tag.host, datacenter: tag.datacenter, series, points });
        }
    }
    answer
}

#[track_caller]
fn check(store: &MetricStore, frames: &[Frame]) {
    let (day, hour) = (86_400 * SECOND, 3_600 * SECOND);
    for text in SELECTORS {
        let selector = Selector::parse(text).unwrap();
        for (since, until, step) in [
            (NOON - 2 * day, NOON + day, 0),
            (NOON, NOON + hour, 0),
            (NOON, NOON + 2 * hour, 60),
            (NOON + 7 * SECOND, NOON + hour, 77),
            (NOON - day, NOON - day + hour, 600),
        ] {
            let query = RangeQuery {
                since: Utc(since),
                until: Utc(until),
                step: Duration::from_secs(step),
            };
            assert_eq!(
                store.range(&selector, query).unwrap(),
                expected(frames, &selector, query),
                "{text} {query:?}"
            );
        }
    }
}

#[test]
fn answers_agree_with_the_model_in_every_state_of_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let frames = frames(4, 60);
    let store = open_with_dicts(folder.path());
    feed(&store, 1, &frames[..30]);
    check(&store, &frames[..30]);
    assert_eq!(store.seal(NOW).unwrap().unwrap().upto, 30);
    check(&store, &frames[..30]);
    feed(&store, 31, &frames[30..45]);
    check(&store, &frames[..45]);
    drop(store);
    let store = open(folder.path());
    feed(&store, 1, &frames);
    check(&store, &frames);
    store.seal(NOW).unwrap();
    assert_eq!(store.seal(NOW).unwrap(), None);
    check(&store, &frames);
    let usage = store.usage().unwrap();
    assert_eq!((usage.repeats, usage.files, usage.head_bytes), (30, 2, 0));
}

#[test]
fn a_crash_between_two_days_neither_loses_nor_doubles() {
    for files in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let frames = frames(5, 40);
        let store = open_with_dicts(folder.path());
        feed(&store, 1, &frames[..25]);
        lock(&store.inner.writer).files_left = Some(files);
        let died = matches!(store.seal(NOW), Err(StoreError::Stopped));
        assert_eq!(died, files < 2);
        drop(store);
        let store = open(folder.path());
        assert_eq!(store.seal(NOW).unwrap(), None, "nothing has come again yet");
        feed(&store, 1, &frames);
        assert_eq!(store.sealed_upto(), 25);
        check(&store, &frames);
        store.seal(NOW).unwrap();
        check(&store, &frames);
    }
}

#[test]
fn the_latest_values_outlive_the_seal_and_age_out() {
    let folder = tempfile::tempdir().unwrap();
    let frames = frames(6, 12);
    let store = open_with_dicts(folder.path());
    feed(&store, 1, &frames);
    let selector = Selector::parse("metric_2{host=~\"db[01]\"}").unwrap();
    let before = store.last(&selector);
    let latest = |host: u8| {
        let of_host = frames.iter().filter(|f| f.tag == tag(host));
        let (frame, scrape) = of_host
            .flat_map(|f| f.scrapes.iter().map(move |s| (f, s)))
            .max_by_key(|(_, s)| s.at)
            .unwrap();
        let values = frame.dict.series.iter().zip(&scrape.values);
        let named = values.filter(|(s, v)| s.name == "metric_2" && v.is_some());
        named.map(|(s, v)| (s.clone(), scrape.at, v.unwrap())).collect::<Vec<_>>()
    };
    let wanted: Vec<_> = (0..2).flat_map(latest).collect();
    let seen: Vec<_> = before.iter().map(|l| (l.series.clone(), l.at, l.value)).collect();
    assert_eq!(seen, wanted);
    store.seal(NOW).unwrap();
    assert_eq!(store.last(&selector), before);
    feed(&store, 13, &self::frames(6, 13)[12..]);
    store.seal(NOW.after(Duration::from_secs(9_000))).unwrap();
    assert_eq!(store.last(&selector), []);
}

#[test]
fn frames_without_a_dict_repeats_and_wild_times_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let frames = frames(7, 1);
    let frame = &frames[0];
    let missing = store.take(1, &frame.tag, &frame.bytes, NOW);
    assert!(matches!(missing, Err(StoreError::NoDict { number: 1, .. })), "{missing:?}");
    drop(store);
    let store = open_with_dicts(folder.path());
    assert_eq!(store.take(1, &frame.tag, &frame.bytes, NOW).unwrap(), Taken::Kept);
    assert_eq!(store.take(2, &frame.tag, &frame.bytes, NOW).unwrap(), Taken::Repeat);
    let dict = dict(1, 1);
    let wild = Scrape { at: Utc(0), values: vec![Some(1.0); dict.series.len()] };
    let bytes = seal(Kind::Metric, (1, 9), 1, &encode_scrapes(&dict, &[wild]));
    store.take(3, &frame.tag, &bytes, NOW).unwrap();
    let usage = store.usage().unwrap();
    assert_eq!((usage.repeats, usage.beyond_belief), (1, 1));
    check(&store, &frames);
}

#[test]
fn days_go_damage_is_moved_aside_and_limits_hold() {
    let folder = tempfile::tempdir().unwrap();
    let frames = frames(8, 30);
    let store = open_with_dicts(folder.path());
    feed(&store, 1, &frames);
    store.seal(NOW).unwrap();
    let removed = store.retain(NOW, Keep { days: 0, bytes: None }).unwrap();
    assert_eq!(removed.len(), 1);
    let all = RangeQuery { since: Utc(0), until: Utc(2 * NOON), step: Duration::ZERO };
    let selector = Selector::parse("metric_1").unwrap();
    assert_eq!(store.range(&selector, all).unwrap(), expected(&frames[6..], &selector, all));
    let path = day_path(folder.path(), Day::of(NOW));
    let len = fs::metadata(&path).unwrap().len() as usize;
    fs::write(&path, vec![7; len]).unwrap();
    assert_eq!(store.range(&selector, all).unwrap(), []);
    store.seal(NOW).unwrap();
    assert_eq!(store.damages().len(), 1);
    let many = RangeQuery { step: Duration::from_secs(1), ..all };
    let refused = store.range(&selector, many);
    assert!(matches!(refused, Err(StoreError::TooMuch { what: "steps", .. })));
}

#[test]
fn series_tables_come_back() {
    let series = dict(1, 3).series;
    let bytes = encode_series(&series).unwrap();
    assert_eq!(parse_series(&bytes).unwrap(), series);
    let mut rng = fastrand::Rng::with_seed(9);
    for _ in 0..500 {
        let mut bytes = bytes.clone();
        let at = rng.usize(..bytes.len());
        bytes[at] ^= 1 << rng.u8(..8);
        let _ = parse_series(&bytes);
    }
}
