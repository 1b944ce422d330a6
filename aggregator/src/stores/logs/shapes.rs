//! The text of a block as shapes and values: what programs print again and again stands once.
//!
//! Room: `stores/logs`.  May use: nobody.  Used by: the block.
//!
//! A log line is a sentence with holes: `port 4711 closed after 12 ms`. Lines of one shape stand
//! together, and what fills a hole is a column of its own, in binary if it is a number. That takes
//! half of what zstd needs for the plain lines, and zstd then has a quarter of the bytes to read.
//!
//! ```text
//! value := in a token (see `bloom`) with a digit: the whole token, if it is digits, or digits and
//!          a-f; else the digits at its end or at its start, if the rest has none; else the token
//!
//! all numbers varints (see `varint`), string = length, then bytes
//! text    length of all lines with their newlines
//!         shapes   count, then each: count of values, then the pieces around them (values + 1
//!                  strings)
//!         which    string: for each line 0, or 1 + its shape
//!         lens     string: for each line of 0 its length
//!         rest     string: the lines of 0, without newlines
//!         columns  for each shape, for each of its values, one column
//! column  kind, one byte, then, n being the lines of the shape:
//!         1 words     string: the values, each followed by "\n"
//!         2 decimal   numbers        3 hexadecimal   numbers, of the letters a-f
//!         4 bytes     digits one byte, an even number; then n times so many hex digits as bytes
//! numbers digits   one byte: 0 = no leading zeros, else each has so many digits
//!         coding   one byte: 0 = above `base`; 1 = folded difference to the one before, the first
//!                  to `base`
//!         base     varint
//!         width    one byte, 1..=8
//!         then n * width bytes: the lowest byte of each, then the next of each, and so on
//! ```
//!
//! Values that are the same in all lines of a block became part of the pieces. Shapes are guesses
//! of the writer: a reader puts together what it is told, whatever the lines look like.

mod column;
mod join;
mod split;
#[cfg(test)]
mod tests;

pub(super) use join::join;
pub(super) use split::Splitter;

/// Shapes in one block; the lines of further ones stand as they are.
const SHAPES_MAX: usize = 4_096;
/// Values in one shape; lines with more stand as they are.
const VALUES_MAX: usize = 256;
