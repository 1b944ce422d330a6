//! Positions of log files as the spool keeps them. The input is one note: key, newline, value.

use muster_agent::logs::Checkpoints;
use muster_agent::logs::testing::checkpoint_sum;

use super::Target;

pub(super) const TARGET: Target = Target {
    mend: |bytes| mend(bytes),
    rounds: 60_000,
    ..Target::new("log-checkpoint", run, seeds)
};

fn run(bytes: &[u8]) {
    let (key, value) = split(bytes);
    Checkpoints::load([(key, value)]);
}

fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    (&bytes[..end], bytes.get(end + 1..).unwrap_or_default())
}

fn mend(bytes: &mut [u8]) {
    let (_, value) = split(bytes);
    if let Some((body, _)) = value.split_last_chunk::<8>() {
        let sum = checkpoint_sum(body);
        let at = bytes.len() - 8;
        bytes[at..].copy_from_slice(&sum);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let position = |offset: u64| {
        let mut out = offset.to_le_bytes().to_vec();
        for (len, hash) in [(1024u16, 7u64), (4096, 8)] {
            out.extend_from_slice(&len.to_le_bytes());
            out.extend_from_slice(&hash.to_le_bytes());
        }
        out
    };
    let mut value = vec![1, 7];
    value.extend_from_slice(&(-5i64).to_le_bytes());
    value.extend(position(9_000));
    value.extend(position(8_000));
    for text in [&b"/var/log/syslog"[..], b"/var/log/syslog.1"] {
        value.extend_from_slice(&(text.len() as u16).to_le_bytes());
        value.extend_from_slice(text);
    }
    let sum = checkpoint_sum(&value);
    let key = b"log/file/000000000000fd01000000000000002a\n";
    vec![[&key[..], &value, &sum].concat(), b"log/journald\ns=1f;i=2;b=3;m=4;t=5;x=6".to_vec()]
}
