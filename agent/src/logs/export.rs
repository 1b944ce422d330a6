//! The journal export format, as a stream. Pure.
//!
//! An entry is a list of fields and ends with an empty line. A field is `NAME=text\n`, or, when its
//! bytes hold a newline or are not text, `NAME\n`, their length as u64 little-endian, the bytes,
//! `\n`. Fields may come in any order and several times; the first message counts.
//!
//! Source: systemd.io/JOURNAL_EXPORT_FORMATS. Fields that are not wanted are skipped as they pass;
//! wanted ones are kept up to their limit, so memory does not depend on what somebody logged.

use memchr::memchr;
use muster_proto::limits::LOG_LINE_BYTES_MAX;

use super::limits::JOURNAL_FIELD_BYTES_MAX;

/// One journal entry: what we keep of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Entry {
    /// `MESSAGE`, one byte more than a line may have when it was longer.
    pub(super) message: Vec<u8>,
    /// True when there was a message, if only an empty one.
    pub(super) has_message: bool,
    /// `PRIORITY`.
    pub(super) priority: Vec<u8>,
    /// `SYSLOG_IDENTIFIER`.
    pub(super) identifier: Vec<u8>,
    /// `_SYSTEMD_UNIT`.
    pub(super) unit: Vec<u8>,
    /// `__REALTIME_TIMESTAMP`, microseconds since 1970, decimal.
    pub(super) realtime: Vec<u8>,
    /// `__CURSOR`.
    pub(super) cursor: Vec<u8>,
}

/// The fields we ask for, as `journalctl --output-fields` wants them.
pub(super) const WANTED: &str = "MESSAGE,PRIORITY,SYSLOG_IDENTIFIER,_SYSTEMD_UNIT";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Field {
    Message,
    Priority,
    Identifier,
    Unit,
    Realtime,
    Cursor,
    #[default]
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// In a name, or at the beginning of a line.
    #[default]
    Name,
    /// In the text of a field.
    Text(Field),
    /// In the length of a binary field: bytes of it so far, and their value.
    Length(Field, u8, u64),
    /// In the bytes of a binary field: how many are left.
    Bytes(Field, u64),
    /// At the newline behind them.
    End,
}

/// Takes bytes, gives entries.
#[derive(Debug, Default)]
pub(super) struct Parser {
    state: State,
    name: Vec<u8>,
    entry: Entry,
    begun: bool,
}

impl Parser {
    /// Parses `bytes` and calls `take` for every entry that ends in them.
    pub(super) fn feed(&mut self, mut bytes: &[u8], take: &mut dyn FnMut(&Entry)) {
        while !bytes.is_empty() {
            let used = match self.state {
                State::Name => self.feed_name(bytes, take),
                State::Text(field) => self.feed_text(field, bytes),
                State::Length(field, have, value) => {
                    let value = value | u64::from(bytes[0]) << (8 * u32::from(have));
                    self.state = match (have, value) {
                        (7, 0) => State::End,
                        (7, len) => State::Bytes(field, len),
                        _ => State::Length(field, have + 1, value),
                    };
                    1
                }
                State::Bytes(field, left) => {
                    let used = bytes.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.entry.keep(field, &bytes[..used]);
                    let left = left - used as u64;
                    self.state = if left == 0 { State::End } else { State::Bytes(field, left) };
                    used
                }
                State::End => {
                    self.state = State::Name;
                    usize::from(bytes[0] == b'\n')
                }
            };
            bytes = &bytes[used..];
        }
    }

    fn feed_name(&mut self, bytes: &[u8], take: &mut dyn FnMut(&Entry)) -> usize {
        let end = bytes.iter().position(|byte| matches!(byte, b'=' | b'\n'));
        let part = &bytes[..end.unwrap_or(bytes.len())];
        let room = 65usize.saturating_sub(self.name.len());
        self.name.extend_from_slice(&part[..part.len().min(room)]);
        let Some(end) = end else { return bytes.len() };
        let empty = self.name.is_empty();
        let field = field_of(&self.name);
        self.name.clear();
        if bytes[end] == b'\n' && empty {
            if self.begun {
                take(&self.entry);
                self.entry.clear();
                self.begun = false;
            }
        } else {
            self.begun = true;
            let field = self.entry.begin(field);
            self.state = match bytes[end] {
                b'=' => State::Text(field),
                _ => State::Length(field, 0, 0),
            };
        }
        end + 1
    }

    fn feed_text(&mut self, field: Field, bytes: &[u8]) -> usize {
        let end = memchr(b'\n', bytes);
        self.entry.keep(field, &bytes[..end.unwrap_or(bytes.len())]);
        match end {
            None => bytes.len(),
            Some(end) => {
                self.state = State::Name;
                end + 1
            }
        }
    }
}

impl Entry {
    /// A field begins. A second message is not kept.
    fn begin(&mut self, field: Field) -> Field {
        match field {
            Field::Message if self.has_message => return Field::Other,
            Field::Message => self.has_message = true,
            _ => {
                if let Some(buffer) = self.buffer(field) {
                    buffer.clear();
                }
            }
        }
        field
    }

    fn keep(&mut self, field: Field, bytes: &[u8]) {
        let bytes_max = match field {
            Field::Message => LOG_LINE_BYTES_MAX + 1,
            _ => JOURNAL_FIELD_BYTES_MAX,
        };
        if let Some(buffer) = self.buffer(field) {
            let room = bytes_max.saturating_sub(buffer.len());
            buffer.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    fn buffer(&mut self, field: Field) -> Option<&mut Vec<u8>> {
        Some(match field {
            Field::Message => &mut self.message,
            Field::Priority => &mut self.priority,
            Field::Identifier => &mut self.identifier,
            Field::Unit => &mut self.unit,
            Field::Realtime => &mut self.realtime,
            Field::Cursor => &mut self.cursor,
            Field::Other => return None,
        })
    }

    fn clear(&mut self) {
        self.has_message = false;
        if self.message.capacity() > 64 * 1024 {
            self.message = Vec::new();
        }
        for field in [
            Field::Message,
            Field::Priority,
            Field::Identifier,
            Field::Unit,
            Field::Realtime,
            Field::Cursor,
        ] {
            if let Some(buffer) = self.buffer(field) {
                buffer.clear();
            }
        }
    }
}

fn field_of(name: &[u8]) -> Field {
    match name {
        b"MESSAGE" => Field::Message,
        b"PRIORITY" => Field::Priority,
        b"SYSLOG_IDENTIFIER" => Field::Identifier,
        b"_SYSTEMD_UNIT" => Field::Unit,
        b"__REALTIME_TIMESTAMP" => Field::Realtime,
        b"__CURSOR" => Field::Cursor,
        _ => Field::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut bytes = b"__CURSOR=s=1;i=1\n__REALTIME_TIMESTAMP=17\nPRIORITY=3\nMESSAGE=hello = world\n_PID=1\n\n\n".to_vec();
        bytes.extend_from_slice(b"__CURSOR=s=1;i=2\nMESSAGE\n\x07\0\0\0\0\0\0\0a\n\n\xff=\nb\nMESSAGE=second\nNOISE\n\x02\0\0\0\0\0\0\0\n\n\n_SYSTEMD_UNIT=x.service\n\n");
        bytes.extend_from_slice(b"__CURSOR=s=1;i=3\nMESSAGE\n\0\0\0\0\0\0\0\0\n\n");
        bytes.extend_from_slice(b"__CURSOR=s=1;i=4\nOTHER=x\n\n__CURSOR=cut");
        bytes
    }

    fn parse(chunks: &[&[u8]]) -> String {
        let mut parser = Parser::default();
        let mut out = String::new();
        for chunk in chunks {
            parser.feed(chunk, &mut |entry| {
                let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
                out += &format!(
                    "{} {} {} {} {}\n",
                    text(&entry.cursor),
                    text(&entry.priority),
                    text(&entry.unit),
                    entry.has_message,
                    text(&entry.message),
                );
            });
        }
        out
    }

    #[test]
    fn entries_come_whole_however_the_bytes_arrive() {
        let bytes = sample();
        let whole = parse(&[&bytes]);
        expect_test::expect![[r#"
            s=1;i=1 3  true hello = world
            s=1;i=2  x.service true a\n\n\xff=\nb
            s=1;i=3   true 
            s=1;i=4   false 
        "#]]
        .assert_eq(&whole);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(parse(&single), whole);
        let mut rng = fastrand::Rng::with_seed(4);
        for _ in 0..200 {
            let at = rng.usize(0..bytes.len());
            assert_eq!(parse(&[&bytes[..at], &bytes[at..]]), whole);
        }
    }

    #[test]
    fn random_bytes_neither_panic_nor_fill_memory() {
        let mut rng = fastrand::Rng::with_seed(6);
        let sample = sample();
        for round in 0..3_000 {
            let mut parser = Parser::default();
            let mut bytes = sample.clone();
            for _ in 0..rng.usize(1..6) {
                let at = rng.usize(0..bytes.len());
                bytes[at] = rng.u8(..);
            }
            if round % 5 == 0 {
                bytes = (0..500).map(|_| rng.u8(..)).collect();
            }
            parser
                .feed(&bytes, &mut |entry| assert!(entry.cursor.len() <= JOURNAL_FIELD_BYTES_MAX));
            parser.feed(&vec![b'x'; 2 * LOG_LINE_BYTES_MAX], &mut |_| {});
            assert!(parser.entry.message.len() <= LOG_LINE_BYTES_MAX + 1);
            assert!(parser.name.len() <= 65);
        }
    }
}
