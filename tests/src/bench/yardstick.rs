//! A yardstick for the machine: zstd at level 1 over the same lines, and nothing else.
//!
//! Machines differ several times in speed, and one machine from hour to hour. Compressing is most of
//! what an agent must do for a line, so our figures divided by this one compare between machines.

use std::io::Read as _;

use nix::time::{ClockId, clock_gettime};

use super::corpus::Corpus;

/// Bytes that are compressed together: as in a log frame.
const BLOCK_BYTES: usize = 256 * 1024;
/// Bytes of the log file that are enough for a figure.
const BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Lines of `corpus` that one core compresses in a second of CPU.
///
/// # Panics
/// When the log file cannot be read.
pub(super) fn lines_a_second(corpus: &Corpus) -> f64 {
    let mut file = std::fs::File::open(&corpus.path).expect("the log file").take(BYTES_MAX);
    let mut zstd = zstd::bulk::Compressor::new(1).expect("room for a compressor");
    let mut packed = vec![0; zstd::zstd_safe::compress_bound(BLOCK_BYTES)];
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    let (mut bytes, mut spent) = (0, 0.0);
    loop {
        block.clear();
        let read = file.by_ref().take(BLOCK_BYTES as u64).read_to_end(&mut block);
        if read.expect("the log file") == 0 {
            break;
        }
        let before = cpu();
        zstd.compress_to_buffer(&block, &mut packed).expect("room for the worst case");
        spent += cpu() - before;
        bytes += block.len() as u64;
    }
    bytes as f64 / (corpus.bytes as f64 / corpus.lines as f64) / spent
}

/// CPU this thread has used. Seconds.
fn cpu() -> f64 {
    let used = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has this clock");
    std::time::Duration::from(used).as_secs_f64()
}
