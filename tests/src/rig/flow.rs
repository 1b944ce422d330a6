//! Numbered lines that never stop until they are told to.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Writer;

/// Time between two small writes.
const TICK: Duration = Duration::from_millis(20);

/// A writer in a thread of its own.
pub struct Flow {
    writer: Arc<Mutex<Writer>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Flow {
    /// Begins: two lines every 20 ms.
    pub fn begin(writer: Writer) -> Flow {
        let writer = Arc::new(Mutex::new(writer));
        let stop = Arc::new(AtomicBool::new(false));
        let (its_writer, its_stop) = (writer.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !its_stop.load(Ordering::Relaxed) {
                its_writer.lock().unwrap_or_else(PoisonError::into_inner).write(2);
                std::thread::park_timeout(TICK);
            }
        });
        Flow { writer, stop, thread: Some(thread) }
    }

    /// Lines so far.
    pub fn written(&self) -> u64 {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).written()
    }

    /// Ends it; gives the number of lines.
    ///
    /// # Panics
    /// When the disk refused.
    pub fn end(&mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the writer wrote");
        }
        self.written()
    }
}
