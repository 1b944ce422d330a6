//! How fast this disk takes and gives entries: `cargo run --release -p muster-spool --example throughput DIR`.
//!
//! Prints MB/s for 256 KiB and 1 KiB entries: append with a commit a MiB, then reading it all back.

// A measurement needs the clock that the room itself must not ask.
#![allow(clippy::disallowed_methods)]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use muster_spool::{RealDisk, Settings, Spool};

const TOTAL_BYTES: usize = 512 * 1024 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::args().nth(1).ok_or("say which directory to use")?;
    for entry_bytes in [256 * 1024, 16 * 1024, 1024] {
        measure(&Path::new(&dir).join(format!("spool-{entry_bytes}")), entry_bytes)?;
    }
    Ok(())
}

fn measure(dir: &Path, entry_bytes: usize) -> Result<(), Box<dyn Error>> {
    let disk = Arc::new(RealDisk::open(dir)?);
    let (mut spool, _) = Spool::open(disk, Settings::with_budget(4 << 30), [1; 16])?;
    let bytes: Vec<u8> = (0..entry_bytes).map(|at| (at * 31 % 251) as u8).collect();
    let first = spool.next_seq();
    let began = Instant::now();
    for count in 1..=TOTAL_BYTES / entry_bytes {
        spool.append(&[&bytes])?;
        if (count * entry_bytes).is_multiple_of(1024 * 1024) {
            spool.commit()?;
        }
    }
    let last = spool.commit()?;
    let written = began.elapsed();
    let reader = spool.reader();
    let mb_a_second = |took: std::time::Duration| TOTAL_BYTES as f64 / 1e6 / took.as_secs_f64();
    let mut read = [0.0; 2];
    for speed in &mut read {
        let (began, mut next) = (Instant::now(), first);
        while next <= last {
            next += reader.read(next, 4 * 1024 * 1024)?.len() as u64;
        }
        *speed = mb_a_second(began.elapsed());
    }
    let appended = mb_a_second(written);
    println!(
        "{entry_bytes} bytes an entry: append {appended:.0} MB/s, read {:.0} and {:.0} MB/s",
        read[0], read[1]
    );
    std::fs::remove_dir_all(dir)?;
    Ok(())
}
