//! Lines in, shapes and columns out.
//!
//! Room: `stores/logs`.  May use: nobody.  Used by: the block writer.

use std::ops::Range;

use super::column::{Radix, put_column};
use super::{SHAPES_MAX, VALUES_MAX};
use crate::stores::logs::bloom::{Token, for_tokens, hash_token};
use crate::stores::logs::line::Lines;
use crate::stores::varint::{put, put_bytes};

/// A shape of fewer lines costs more than it saves.
const SHAPE_LINES_MIN: u32 = 4;
/// Slots of the table of shapes; a power of two, twice what it holds.
const SLOTS: usize = SHAPES_MAX * 2;
/// Slots that are looked at before a line is left as it is.
const PROBES_MAX: usize = 8;
/// Stands for a value in a key: pieces have no digits.
const HOLE: u8 = b'0';
/// The shape of lines that stand as they are.
const PLAIN: u32 = u32::MAX;

/// A value: its place in the text. Small, for a block has tens of thousands.
#[derive(Debug, Clone, Copy)]
struct Value {
    start: u32,
    end: u32,
    radix: Radix,
}

/// What lines have in common. The key is the line with [`HOLE`] for each value.
#[derive(Debug)]
struct Shape {
    hash: u64,
    key: Range<usize>,
    lines: u32,
}

/// Whether a shape has had lines in this block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Never,
    Before,
}

/// Splits blocks; keeps its tables between them.
pub(in crate::stores::logs) struct Splitter {
    slots: Vec<u32>,
    shapes: Vec<Shape>,
    keys: Vec<u8>,
    values: Vec<Value>,
    /// Of each line: its shape, and where its values begin.
    lines: Vec<(u32, u32)>,
    columns: Vec<u8>,
}

impl Splitter {
    pub(in crate::stores::logs) fn new() -> Splitter {
        Splitter {
            slots: vec![0; SLOTS],
            shapes: Vec::new(),
            keys: Vec::new(),
            values: Vec::new(),
            lines: Vec::new(),
            columns: Vec::new(),
        }
    }

    /// Appends the lines to `out`; gives the tokens of the text to `each`, every one at least once.
    ///
    /// Those of the pieces come with the first line of their shape only: that is most of them.
    /// `text` is what `lines.ends` points into.
    pub(in crate::stores::logs) fn split(
        &mut self,
        lines: &Lines,
        text: &[u8],
        mut each: impl FnMut(&[u8]),
        out: &mut Vec<u8>,
    ) {
        self.slots.fill(0);
        self.shapes.clear();
        self.keys.clear();
        self.values.clear();
        self.lines.clear();
        for line in 0..lines.len() {
            self.read_line(text, lines.span(line), &mut each);
        }
        put(out, text.len() as u64);
        self.write(lines, text, out);
    }

    fn read_line(&mut self, text: &[u8], span: Range<usize>, each: &mut impl FnMut(&[u8])) {
        let key_start = self.keys.len();
        let first = self.values.len();
        let mut copied = span.start;
        for_tokens(&text[span.clone()], |token| {
            if !token.has_digit() {
                return;
            }
            let token = token.moved_by(span.start);
            let (start, end, radix) = find_value(text, token);
            self.keys.extend_from_slice(&text[copied..start]);
            self.keys.push(HOLE);
            copied = end;
            self.values.push(Value { start: start as u32, end: end as u32, radix });
            each(&text[token.start..token.end]);
        });
        self.keys.extend_from_slice(&text[copied..span.end]);
        let values = self.values.len() - first;
        let found = if values <= VALUES_MAX { self.find_shape(key_start) } else { None };
        if let Some((shape, Seen::Before)) = found {
            self.keys.truncate(key_start);
            self.lines.push((shape, first as u32));
            return;
        }
        for_tokens(&text[span.clone()], |token| {
            if !token.has_digit() {
                each(&text[span.clone()][token.start..token.end]);
            }
        });
        if found.is_none() {
            self.keys.truncate(key_start);
        }
        self.lines.push((found.map_or(PLAIN, |(shape, _)| shape), first as u32));
    }

    /// The shape whose key is the end of `keys`; `None` when there is no room for another.
    fn find_shape(&mut self, key_start: usize) -> Option<(u32, Seen)> {
        let hash = hash_token(&self.keys[key_start..]);
        for probe in 0..PROBES_MAX {
            let slot = (hash as usize).wrapping_add(probe) & (SLOTS - 1);
            let Some(number) = self.slots[slot].checked_sub(1) else {
                if self.shapes.len() >= SHAPES_MAX {
                    return None;
                }
                let key = key_start..self.keys.len();
                self.shapes.push(Shape { hash, key, lines: 1 });
                self.slots[slot] = self.shapes.len() as u32;
                return Some((self.shapes.len() as u32 - 1, Seen::Never));
            };
            let shape = &mut self.shapes[number as usize];
            if shape.hash == hash && self.keys[shape.key.clone()] == self.keys[key_start..] {
                shape.lines += 1;
                return Some((number, Seen::Before));
            }
        }
        None
    }

    /// Numbers the shapes that are worth it, then writes all parts in the order of the format.
    fn write(&mut self, lines: &Lines, text: &[u8], out: &mut Vec<u8>) {
        let mut kept = 0;
        let mut numbers = Vec::with_capacity(self.shapes.len());
        for shape in &self.shapes {
            let is_kept = shape.lines >= SHAPE_LINES_MIN;
            kept += u64::from(is_kept);
            numbers.push(if is_kept { kept } else { 0 });
        }
        let number = |shape: u32| numbers.get(shape as usize).copied().unwrap_or(0);
        let mut members: Vec<Vec<u32>> = self.shapes.iter().map(|_| Vec::new()).collect();
        let (mut which, mut lens, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for (line, (shape, first)) in self.lines.iter().enumerate() {
            put(&mut which, number(*shape));
            if number(*shape) > 0 {
                members[*shape as usize].push(*first);
            } else {
                put(&mut lens, lines.span(line).len() as u64);
                rest.extend_from_slice(&text[lines.span(line)]);
            }
        }
        put(out, kept);
        self.columns.clear();
        for (shape, members) in self.shapes.iter().zip(&members) {
            if !members.is_empty() {
                let key = &self.keys[shape.key.clone()];
                put_shape(key, text, (&self.values, members), (out, &mut self.columns));
            }
        }
        put_bytes(out, &which);
        put_bytes(out, &lens);
        put_bytes(out, &rest);
        out.extend_from_slice(&self.columns);
    }
}

/// Writes the pieces of a shape and the columns of its values; `members` are the lines of the
/// shape, each as the place of its first value.
fn put_shape(
    key: &[u8],
    text: &[u8],
    (values, members): (&[Value], &[u32]),
    (pieces, columns): (&mut Vec<u8>, &mut Vec<u8>),
) {
    let mut column: Vec<&[u8]> = Vec::with_capacity(members.len());
    let mut ends: Vec<Vec<u8>> = Vec::new();
    let mut piece = Vec::new();
    for (hole, part) in key.split(|byte| *byte == HOLE).enumerate() {
        if hole > 0 {
            let of_line = |first: &u32| &values[*first as usize + hole - 1];
            column.clear();
            column.extend(
                members.iter().map(of_line).map(|v| &text[v.start as usize..v.end as usize]),
            );
            if column.iter().all(|value| *value == column[0]) {
                piece.extend_from_slice(column[0]);
            } else {
                let radix = members.iter().map(of_line).map(|value| value.radix).max();
                put_column(&column, radix.unwrap_or(Radix::None), columns);
                ends.push(std::mem::take(&mut piece));
            }
        }
        piece.extend_from_slice(part);
    }
    put(pieces, ends.len() as u64);
    ends.iter().for_each(|piece| put_bytes(pieces, piece));
    put_bytes(pieces, &piece);
}

/// What of a token with a digit is the value. See the head of `shapes`.
fn find_value(text: &[u8], token: Token) -> (usize, usize, Radix) {
    if token.is_hex() {
        let radix = if token.has_letter() { Radix::Hex } else { Radix::Decimal };
        return (token.start, token.end, radix);
    }
    let bytes = &text[token.start..token.end];
    let digits = |byte: &&u8| byte.is_ascii_digit();
    let before = bytes.iter().take_while(digits).count();
    let after = bytes.iter().rev().take_while(digits).count();
    let inside = bytes.iter().filter(digits).count();
    if after == inside {
        (token.end - after, token.end, Radix::Decimal)
    } else if before == inside {
        (token.start, token.start + before, Radix::Decimal)
    } else {
        (token.start, token.end, Radix::None)
    }
}
