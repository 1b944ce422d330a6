//! Log lines as servers write them: about 200 bytes, four dialects, fresh numbers and random
//! ids in every line, so that they compress no better than real ones.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

/// A file of log lines.
#[derive(Debug, Clone)]
pub(super) struct Corpus {
    /// Where it lies.
    pub(super) path: PathBuf,
    /// Lines in it.
    pub(super) lines: u64,
    /// Bytes in it.
    pub(super) bytes: u64,
}

const PATHS: &[&str] = &[
    "/wiki/Main_Page",
    "/w/api.php?action=query&format=json&prop=revisions&titles=",
    "/w/load.php?lang=en&modules=startup&only=scripts&raw=1&skin=vector-2022&v=",
    "/static/images/project-logos/enwiki-2x.png?",
    "/wiki/Special:Search?search=",
    "/api/rest_v1/page/summary/",
];
const AGENTS: &[&str] = &[
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15",
    "python-requests/2.32.3",
    "Googlebot/2.1 (+http://www.google.com/bot.html)",
];
const UNITS: &[&str] = &["sshd", "systemd", "kernel", "puppet-agent", "CRON", "haproxy"];
const CLASSES: &[&str] = &[
    "org.apache.kafka.clients.consumer.internals.ConsumerCoordinator",
    "org.elasticsearch.cluster.service.MasterService",
    "org.apache.hadoop.hdfs.server.datanode.DataNode",
    "org.apache.cassandra.db.compaction.CompactionTask",
];
const LEVELS: &[&str] = &["INFO", "INFO", "INFO", "WARN", "DEBUG", "ERROR"];

/// Writes lines until the file has `bytes`; the same seed gives the same file.
pub(super) fn write(path: &Path, bytes: u64, seed: u64) -> std::io::Result<Corpus> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut out = BufWriter::with_capacity(1024 * 1024, File::create(path)?);
    let mut line = Vec::with_capacity(1024);
    let (mut lines, mut written) = (0, 0);
    while written < bytes {
        line.clear();
        put_line(&mut line, &mut rng, lines)?;
        out.write_all(&line)?;
        lines += 1;
        written += line.len() as u64;
    }
    out.flush()?;
    Ok(Corpus { path: path.to_owned(), lines, bytes: written })
}

fn put_line(out: &mut Vec<u8>, rng: &mut fastrand::Rng, number: u64) -> std::io::Result<()> {
    let (second, milli) = (number / 5_000 % 60, number % 1_000);
    let minute = number / 300_000 % 60;
    let id = rng.u64(..);
    let octets: [u8; 4] = id.to_le_bytes()[..4].try_into().unwrap_or_default();
    let [_, b, c, d] = octets;
    match rng.u8(..10) {
        0..=3 => writeln!(
            out,
            "10.{b}.{c}.{d} - - [12/Mar/2026:14:{minute:02}:{second:02} +0000] \"GET {}{:x} HTTP/1.1\" {} {} \"-\" \"{}\" {}.{milli:03} {:016x}",
            pick(rng, PATHS),
            id >> 40,
            if rng.u8(..20) == 0 { 404 } else { 200 },
            rng.u32(200..90_000),
            pick(rng, AGENTS),
            rng.u8(..2),
            rng.u64(..),
        ),
        4..=5 => writeln!(
            out,
            "Mar 12 14:{minute:02}:{second:02} mw{} {}[{}]: session {:016x} of user deploy{} from 10.{b}.{c}.{d} port {} changed state to closed after {} ms",
            rng.u16(1300..1500),
            pick(rng, UNITS),
            rng.u16(300..),
            rng.u64(..),
            d % 32,
            rng.u16(1024..),
            rng.u32(..60_000),
        ),
        6..=7 => writeln!(
            out,
            "{{\"@timestamp\":\"2026-03-12T14:{minute:02}:{second:02}.{milli:03}Z\",\"level\":\"{}\",\"service\":\"{}\",\"trace_id\":\"{id:016x}{:016x}\",\"client\":\"10.{b}.{c}.{d}\",\"message\":\"request finished\",\"status\":{},\"duration_ms\":{}}}",
            pick(rng, LEVELS),
            pick(rng, UNITS),
            rng.u64(..),
            if rng.u8(..20) == 0 { 503 } else { 200 },
            rng.u32(..5_000),
        ),
        _ => writeln!(
            out,
            "2026-03-12 14:{minute:02}:{second:02},{milli:03} {} [pool-{}-thread-{}] {}: [node-{}] committed offset {} of partition topic-{}-{} in {} ms, generation {:016x}",
            pick(rng, LEVELS),
            rng.u8(1..9),
            rng.u8(1..64),
            pick(rng, CLASSES),
            d,
            id >> 24,
            b % 40,
            c % 12,
            rng.u16(1..900),
            rng.u64(..),
        ),
    }
}

fn pick(rng: &mut fastrand::Rng, words: &[&'static str]) -> &'static str {
    words[rng.usize(..words.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_about_200_bytes_and_the_same_for_the_same_seed() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        let corpus = write(&one, 1_000_000, 7).unwrap();
        write(&two, 1_000_000, 7).unwrap();
        let text = std::fs::read(&one).unwrap();
        assert_eq!(text, std::fs::read(&two).unwrap());
        assert_eq!(text.iter().filter(|byte| **byte == b'\n').count() as u64, corpus.lines);
        let mean = corpus.bytes / corpus.lines;
        assert!((170..230).contains(&mean), "{mean} bytes a line");
    }
}
