//! The stock: free files made whole before they are needed, so that a spool which must not stop goes on
//! for a while when the disk is full.
//!
//! Room: `spool`.  Used by: `writer` (an `impl Spool` of its own).
//! Writing into blocks that a file already has needs no room. A file is whole when it has
//! `segment_bytes`, all of them written; files are only ever written from their head, so a length says it.
//! File systems that never write in place (btrfs, ZFS) need room all the same: there the stock does not help.

use std::io;

use crate::disk::FileId;
use crate::writer::Spool;

/// Zeroes written at once. Bytes.
const ZEROES_BYTES: usize = 256 * 1024;
/// Commits between two tries to make what the disk refused, at most. Commits.
const WAIT_COMMITS_MAX: u32 = 64;

/// Tries that fail come ever more seldom: after 1, 2, 4 … commits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    waited_commits: u32,
    next_commits: u32,
}

impl Patience {
    pub(crate) fn new() -> Patience {
        Patience { waited_commits: 0, next_commits: 1 }
    }

    /// One more commit; whether to try now.
    pub(crate) fn is_over(&mut self) -> bool {
        self.waited_commits += 1;
        if self.waited_commits < self.next_commits {
            return false;
        }
        self.waited_commits = 0;
        self.next_commits = (self.next_commits * 2).min(WAIT_COMMITS_MAX);
        true
    }
}

impl Spool {
    /// Brings the pool to `stock_files` whole files. Failing is normal on a full disk: what is there serves.
    pub(crate) fn make_stock(&mut self) {
        if self.settings.stock_files == 0 {
            return;
        }
        if self.top_up().and_then(|()| self.add_files()).is_ok() {
            self.freeing.is_stock_proven = true;
            self.freeing.stock_patience = Patience::new();
        }
    }

    /// After a commit: files may have been taken from the stock, or come back short.
    pub(crate) fn remake_stock(&mut self) {
        let has_all = self.freeing.is_stock_proven && self.lacking_files() == 0;
        if !has_all && self.settings.stock_files > 0 && self.freeing.stock_patience.is_over() {
            self.make_stock();
        }
    }

    /// All files together stay within the budget, so that a backlog of many nearly empty files
    /// does not take more than was allowed.
    fn lacking_files(&self) -> usize {
        let pool = self.freeing.pool.len();
        let segments = self.shared.look().segments.len();
        let allowed = (self.settings.budget_bytes / self.settings.segment_bytes) as usize;
        let room = allowed.saturating_sub(pool + segments);
        self.settings.stock_files.saturating_sub(pool).min(room)
    }

    /// Makes the short files of the pool whole.
    fn top_up(&mut self) -> io::Result<()> {
        if self.freeing.is_stock_proven {
            return Ok(());
        }
        for (file, len) in self.disk.list()? {
            if matches!(file, FileId::Free(id) if self.freeing.pool.contains(&id)) {
                self.fill(file, len)?;
            }
        }
        Ok(())
    }

    fn add_files(&mut self) -> io::Result<()> {
        for _ in 0..self.lacking_files() {
            let id = self.take_id();
            let file = FileId::Free(id);
            if let Err(error) = self.disk.create(file).and_then(|()| self.fill(file, 0)) {
                let _ = self.disk.remove(file);
                return Err(error);
            }
            self.freeing.pool.push(id);
        }
        Ok(())
    }

    fn fill(&self, file: FileId, from: u64) -> io::Result<()> {
        let whole = self.settings.segment_bytes;
        if from >= whole {
            return Ok(());
        }
        let zeroes = vec![0; ZEROES_BYTES.min(whole as usize)];
        let mut at = from;
        while at < whole {
            let count = (whole - at).min(zeroes.len() as u64);
            self.disk.write(file, at, &zeroes[..count as usize])?;
            at += count;
        }
        self.disk.sync(file)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::testing::MemDisk;
    use crate::{Disk, Settings};

    const SETTINGS: Settings = Settings {
        segment_bytes: 16 * 1024,
        budget_bytes: 1 << 20,
        reserve_bytes: 0,
        recycle_max: 2,
        stock_files: 2,
    };

    fn open(disk: &Arc<MemDisk>) -> Spool {
        let disk: Arc<dyn Disk> = disk.clone();
        Spool::open(disk, SETTINGS, [7; 16]).unwrap().0
    }

    /// Appends and commits entries of 1000 bytes until the disk refuses; tells how many it took.
    fn fill_up(spool: &mut Spool) -> u64 {
        let before = spool.durable_seq();
        loop {
            if spool.append(&[&[spool.next_seq() as u8; 1000]]).is_err() || spool.commit().is_err()
            {
                return spool.durable_seq() - before;
            }
        }
    }

    fn lengths_of_free(disk: &MemDisk) -> Vec<u64> {
        let files = disk.list().unwrap();
        files.iter().filter(|(file, _)| matches!(file, FileId::Free(_))).map(|f| f.1).collect()
    }

    #[test]
    fn a_full_disk_is_not_noticed_until_the_stock_is_used_up() {
        let disk = Arc::new(MemDisk::new(1));
        let mut spool = open(&disk);
        spool.append(&[b"first"]).unwrap();
        spool.commit().unwrap();
        assert_eq!(lengths_of_free(&disk), [SETTINGS.segment_bytes; 2]);
        disk.faults(|faults| faults.room_bytes = Some(0));
        // Three files of 16 entries each with heads and marks: the one begun and the two in stock.
        let taken = fill_up(&mut spool);
        assert!((42..48).contains(&taken), "{taken}");
        let durable = spool.durable_seq();
        drop(spool);
        disk.crash();
        assert_eq!(open(&disk).durable_seq(), durable);
    }

    #[test]
    fn on_a_full_disk_acked_files_serve_again_and_again() {
        let disk = Arc::new(MemDisk::new(2));
        let mut spool = open(&disk);
        spool.add_cursor("up", 1).unwrap();
        spool.commit().unwrap();
        disk.faults(|faults| faults.room_bytes = Some(0));
        for _ in 0..500 {
            spool.append(&[&[1; 1000]]).unwrap();
            let durable = spool.commit().unwrap();
            spool.advance("up", durable).unwrap();
        }
    }

    #[test]
    fn the_stock_comes_back_with_the_room() {
        let disk = Arc::new(MemDisk::new(3));
        disk.faults(|faults| faults.room_bytes = Some(20_000));
        let mut spool = open(&disk);
        assert_eq!(lengths_of_free(&disk), [SETTINGS.segment_bytes]);
        fill_up(&mut spool);
        assert_eq!(spool.usage().free_segments, 0);
        disk.faults(|faults| faults.room_bytes = None);
        for _ in 0..WAIT_COMMITS_MAX {
            spool.commit().unwrap();
        }
        assert_eq!(lengths_of_free(&disk), [SETTINGS.segment_bytes; 2]);
    }

    #[test]
    fn short_files_of_an_earlier_program_are_made_whole() {
        let disk = Arc::new(MemDisk::new(4));
        disk.plant(FileId::Free(5), 0, 0, &[9; 700]);
        let spool = open(&disk);
        assert_eq!(lengths_of_free(&disk), [SETTINGS.segment_bytes; 2]);
        assert_eq!(spool.usage().free_segments, 2);
    }

    #[test]
    fn many_restarts_take_no_more_than_the_budget() {
        let disk = Arc::new(MemDisk::new(5));
        for _ in 0..100 {
            let mut spool = open(&disk);
            spool.add_cursor("up", 1).unwrap();
            spool.append(&[b"one"]).unwrap();
            spool.commit().unwrap();
        }
        let taken: u64 = disk.list().unwrap().iter().map(|(_, len)| len).sum();
        assert!(taken < 3 * SETTINGS.budget_bytes / 2, "{taken}");
    }
}
