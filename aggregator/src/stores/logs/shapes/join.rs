//! Shapes and columns in, lines out.
//!
//! Room: `stores/logs`.  May use: nobody.  Used by: the block reader.
//!
//! Searches wait for this, so short pieces are copied as [`SHORT`] bytes whatever their length is:
//! the text has so many spare bytes at its end, and so has the copy of the pieces.

use std::ops::Range;

use super::column::Column;
use super::{SHAPES_MAX, VALUES_MAX};
use crate::stores::varint::Reading;

/// A piece of at most this length is copied at once. Bytes.
const SHORT: usize = 20;

/// A shape that is being read.
struct Shape<'a> {
    pieces: Vec<Range<usize>>,
    columns: Vec<Column<'a>>,
    lines: usize,
}

/// Reads `count` lines, which are the rest of `reading`; gives their text, each with its newline, and
/// where each ends. `None` when something is cut short, out of range, or the text is not as long as
/// it is said to be, or longer than `text_bytes_max`.
pub(in crate::stores::logs) fn join(
    mut reading: Reading<'_>,
    count: usize,
    text_bytes_max: usize,
) -> Option<(Vec<u8>, Vec<u32>)> {
    let mut text = Text::new(reading.next_len(text_bytes_max)?);
    let (mut shapes, pieces) = parse_shapes(&mut reading)?;
    let mut which = Reading::new(reading.bytes(reading.len())?);
    let mut counting = which;
    for _ in 0..count {
        let number = counting.next_len(shapes.len())?;
        if let Some(shape) = number.checked_sub(1) {
            shapes[shape].lines += 1;
        }
    }
    let mut lens = Reading::new(reading.bytes(reading.len())?);
    let mut rest = Reading::new(reading.bytes(reading.len())?);
    // A value is a byte at least, so there are not more values than bytes.
    let mut values_left = text.limit;
    for shape in &mut shapes {
        for _ in 1..shape.pieces.len() {
            values_left = values_left.checked_sub(shape.lines)?;
            shape.columns.push(Column::parse(&mut reading, shape.lines)?);
        }
    }
    let mut ends = Vec::with_capacity(count);
    for _ in 0..count {
        match which.next_len(shapes.len())?.checked_sub(1) {
            None => text.put(rest.take(lens.next_len(text.limit)?)?)?,
            Some(shape) => shapes[shape].put_line(&pieces, &mut text)?,
        }
        ends.push(text.len as u32);
        text.put(b"\n")?;
    }
    let is_whole = which.is_empty() && lens.is_empty() && rest.is_empty() && reading.is_empty();
    (is_whole && text.len == text.limit).then(|| (text.finish(), ends))
}

/// The shapes, and all their pieces with [`SHORT`] spare bytes.
fn parse_shapes<'a>(reading: &mut Reading<'_>) -> Option<(Vec<Shape<'a>>, Vec<u8>)> {
    let count = reading.next_len(SHAPES_MAX)?;
    let (mut shapes, mut text) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let mut pieces = Vec::new();
        for _ in 0..=reading.next_len(VALUES_MAX)? {
            let start = text.len();
            text.extend_from_slice(reading.bytes(reading.len())?);
            pieces.push(start..text.len());
        }
        shapes.push(Shape { pieces, columns: Vec::new(), lines: 0 });
    }
    text.resize(text.len() + SHORT, 0);
    Some((shapes, text))
}

impl Shape<'_> {
    #[inline]
    fn put_line(&mut self, pieces: &[u8], text: &mut Text) -> Option<()> {
        let (last, before) = self.pieces.split_last()?;
        for (piece, column) in before.iter().zip(&mut self.columns) {
            text.put_short(pieces, piece.start, piece.end)?;
            column.put_next(text)?;
        }
        text.put_short(pieces, last.start, last.end)
    }
}

/// The text that is put together.
pub(super) struct Text {
    bytes: Vec<u8>,
    len: usize,
    limit: usize,
}

impl Text {
    fn new(limit: usize) -> Text {
        Text { bytes: vec![0; limit + SHORT], len: 0, limit }
    }

    /// Appends `piece`; `None` when the text would be longer than was said.
    #[inline]
    pub(super) fn put(&mut self, piece: &[u8]) -> Option<()> {
        self.bytes.get_mut(self.len..self.limit)?.get_mut(..piece.len())?.copy_from_slice(piece);
        self.len += piece.len();
        Some(())
    }

    /// Appends `from[start..end]`, behind which `from` goes on for at least [`SHORT`] bytes.
    #[inline]
    pub(super) fn put_short(&mut self, from: &[u8], start: usize, end: usize) -> Option<()> {
        let len = end.checked_sub(start)?;
        if len > SHORT || len > self.limit - self.len {
            return self.put(from.get(start..end)?);
        }
        let source = from.get(start..start + SHORT)?;
        self.bytes.get_mut(self.len..self.len + SHORT)?.copy_from_slice(source);
        self.len += len;
        Some(())
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes.truncate(self.len);
        self.bytes
    }
}
