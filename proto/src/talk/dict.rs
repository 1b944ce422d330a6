//! Which dict the reader of a lane stream has: each goes once, before the first frame that needs it.
//!
//! Room: `proto/talk`.  Used by: whoever writes a lane stream; one memory a stream, gone with it.
//!
//! One number is memory enough: within a stream frames go up, and a dict's number is the seq of the
//! first frame that uses it, so a later dict ends an earlier one. A new connection begins without
//! memory, because its aggregator may never have had the dict or may have lost it.

/// The last dict that was written on one lane stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SentDict(u64);

impl SentDict {
    /// Whether the dict a frame names must be written before it. 0 names none.
    pub fn is_due(self, number: u64) -> bool {
        number != 0 && number != self.0
    }

    /// The dict was written.
    pub fn on_sent(&mut self, number: u64) {
        self.0 = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dict_goes_once_a_stream() {
        let mut sent = SentDict::default();
        let mut due = |number| {
            let is_due = sent.is_due(number);
            if is_due {
                sent.on_sent(number);
            }
            is_due
        };
        assert_eq!(
            [0, 7, 7, 0, 7, 12, 12].map(&mut due),
            [false, true, false, false, false, true, false]
        );
        assert!(SentDict::default().is_due(7), "a new connection begins without memory");
    }
}
