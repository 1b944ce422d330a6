//! The journal's export format, as journalctl writes it. The first byte is the size of a piece.

use muster_agent::logs::testing::read_export;
use muster_proto::limits::LOG_LINE_BYTES_MAX;

use super::Target;

pub(super) const TARGET: Target =
    Target { rounds: 60_000, ..Target::new("journal-export", run, seeds) };

fn run(bytes: &[u8]) {
    let Some((piece, bytes)) = bytes.split_first() else { return };
    let (entries, bytes_max) = read_export(bytes, usize::from(*piece));
    assert_eq!(read_export(bytes, usize::MAX), (entries, bytes_max), "pieces make no difference");
    assert!(bytes_max <= LOG_LINE_BYTES_MAX + 64 * 1024);
}

fn seeds() -> Vec<Vec<u8>> {
    let mut binary =
        b"\x07__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1795000000000000\nMESSAGE\n".to_vec();
    binary.extend_from_slice(&5u64.to_le_bytes());
    binary.extend_from_slice(b"a\nb\xffc\nPRIORITY=3\n_SYSTEMD_UNIT=ssh.service\n\n");
    let text = b"\x40MESSAGE=one\nMESSAGE=two\nSYSLOG_IDENTIFIER=sshd\nPRIORITY=6\n\nMESSAGE=\n\n"
        .to_vec();
    vec![[&binary[..], &text[1..]].concat(), binary, text]
}
