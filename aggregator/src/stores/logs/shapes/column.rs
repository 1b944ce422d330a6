//! One column: the values of one hole, written as words, numbers or bytes, and read back.
//!
//! Room: `stores/logs`.  May use: nobody.  Used by: `split`, `join`.

use super::join::Text;
use crate::stores::varint::{Reading, put};

/// What the digits of a value are. The order is that of what holds more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Radix {
    Decimal,
    /// Digits and the letters a-f.
    Hex,
    /// None: a word.
    None,
}

const WORDS: u8 = 1;
const DECIMAL: u8 = 2;
const HEX: u8 = 3;
const BYTES: u8 = 4;
const ABOVE: u8 = 0;
const DIFFERENCES: u8 = 1;

/// Digits that always fit into 64 bits.
const DECIMAL_DIGITS_MAX: usize = 19;
const HEX_DIGITS_MAX: usize = 16;

/// Appends the column of `values` to `out`. All are made of token bytes.
pub(super) fn put_column(values: &[&[u8]], radix: Radix, out: &mut Vec<u8>) {
    let len = values[0].len();
    let is_even = values.iter().all(|value| value.len() == len);
    let most = values.iter().map(|value| value.len()).max().unwrap_or(0);
    let digits_max = if radix == Radix::Decimal { DECIMAL_DIGITS_MAX } else { HEX_DIGITS_MAX };
    let has_leading_zero = || values.iter().any(|value| value[0] == b'0' && value.len() > 1);
    if radix != Radix::None && most <= digits_max && (is_even || !has_leading_zero()) {
        out.push(if radix == Radix::Decimal { DECIMAL } else { HEX });
        out.push(if is_even { len as u8 } else { 0 });
        put_numbers(values.iter().map(|value| parse(value, radix)).collect(), out);
    } else if radix != Radix::None
        && is_even
        && len.is_multiple_of(2)
        && len <= usize::from(u8::MAX)
    {
        out.extend([BYTES, len as u8]);
        for value in values {
            out.extend(value.chunks_exact(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])));
        }
    } else {
        out.push(WORDS);
        put(out, values.iter().map(|value| value.len() as u64 + 1).sum());
        for value in values {
            out.extend_from_slice(value);
            out.push(b'\n');
        }
    }
}

fn put_numbers(numbers: Vec<u64>, out: &mut Vec<u8>) {
    let base = numbers.iter().copied().min().unwrap_or(0);
    let mut before = numbers[0];
    let differences: Vec<u64> = numbers
        .iter()
        .map(|number| {
            let difference = number.wrapping_sub(before).cast_signed();
            before = *number;
            ((difference << 1) ^ (difference >> 63)).cast_unsigned()
        })
        .collect();
    let bits = |numbers: &mut dyn Iterator<Item = u64>| -> u64 {
        numbers.map(|number| u64::from(64 - number.leading_zeros())).sum()
    };
    let above: Vec<u64> = numbers.iter().map(|number| number - base).collect();
    // Differences of what is random are larger by a bit; those of what counts are much smaller.
    let (coding, base, words) =
        if bits(&mut differences.iter().copied()) * 8 < bits(&mut above.iter().copied()) * 7 {
            (DIFFERENCES, numbers[0], differences)
        } else {
            (ABOVE, base, above)
        };
    let largest = words.iter().copied().max().unwrap_or(0);
    let width = (64 - largest.leading_zeros()).div_ceil(8).max(1);
    out.push(coding);
    put(out, base);
    out.push(width as u8);
    for byte in 0..width {
        out.extend(words.iter().map(|word| (word >> (8 * byte)) as u8));
    }
}

fn parse(digits: &[u8], radix: Radix) -> u64 {
    let step = if radix == Radix::Decimal { 10 } else { 16 };
    digits
        .iter()
        .fold(0, |sum: u64, digit| sum.wrapping_mul(step).wrapping_add(u64::from(nibble(*digit))))
}

/// The worth of a digit that is known to be one of 0-9 and a-f.
fn nibble(digit: u8) -> u8 {
    if digit.is_ascii_digit() { digit - b'0' } else { digit.wrapping_sub(b'a' - 10) & 15 }
}

/// A column that is being read.
#[derive(Debug)]
pub(super) enum Column<'a> {
    Words(&'a [u8]),
    Numbers(Numbers),
    Bytes { digits: usize, rest: &'a [u8] },
}

/// Numbers that are being read.
#[derive(Debug)]
pub(super) struct Numbers {
    is_decimal: bool,
    digits: usize,
    numbers: std::vec::IntoIter<u64>,
}

impl<'a> Column<'a> {
    /// Reads a column of `count` values; numbers take 8 bytes of memory each.
    pub(super) fn parse(reading: &mut Reading<'a>, count: usize) -> Option<Column<'a>> {
        match reading.byte()? {
            WORDS => reading.bytes(reading.len()).map(Column::Words),
            BYTES => {
                let digits = usize::from(reading.byte()?);
                let rest = reading.take(count.checked_mul(digits / 2)?)?;
                digits.is_multiple_of(2).then_some(Column::Bytes { digits, rest })
            }
            kind @ (DECIMAL | HEX) => {
                let digits = usize::from(reading.byte()?);
                let is_decimal = kind == DECIMAL;
                let most = if is_decimal { DECIMAL_DIGITS_MAX } else { HEX_DIGITS_MAX };
                let numbers = parse_numbers(reading, count).filter(|_| digits <= most)?;
                let numbers = numbers.into_iter();
                Some(Column::Numbers(Numbers { is_decimal, digits, numbers }))
            }
            _ => None,
        }
    }

    /// Appends the next value to `text`.
    #[inline]
    pub(super) fn put_next(&mut self, text: &mut Text) -> Option<()> {
        match self {
            Column::Numbers(numbers) => {
                let number = numbers.numbers.next()?;
                let mut digits = [b'0'; DIGITS_MAX * 2];
                let used = if numbers.is_decimal {
                    write_decimal(number, &mut digits)
                } else {
                    write_hex(number, &mut digits)
                };
                text.put_short(&digits, DIGITS_MAX - used.max(numbers.digits), DIGITS_MAX)
            }
            Column::Words(words) => {
                let end = memchr::memchr(b'\n', words)?;
                text.put(&words[..end])?;
                *words = &words[end + 1..];
                Some(())
            }
            Column::Bytes { digits, rest } => {
                let (bytes, after) = rest.split_at_checked(*digits / 2)?;
                *rest = after;
                bytes.iter().try_for_each(|byte| text.put(&HEX_PAIRS[usize::from(*byte)]))
            }
        }
    }
}

fn parse_numbers(reading: &mut Reading<'_>, count: usize) -> Option<Vec<u64>> {
    let coding = reading.byte()?;
    let base = reading.next()?;
    let width = usize::from(reading.byte()?);
    if !(1..=8).contains(&width) {
        return None;
    }
    let mut numbers = vec![0u64; count];
    for byte in 0..width {
        let plane = reading.take(count)?;
        for (number, bits) in numbers.iter_mut().zip(plane) {
            *number |= u64::from(*bits) << (8 * byte);
        }
    }
    let mut before = base;
    for number in &mut numbers {
        *number = match coding {
            ABOVE => base.wrapping_add(*number),
            DIFFERENCES => before.wrapping_add((*number >> 1) ^ (*number & 1).wrapping_neg()),
            _ => return None,
        };
        before = *number;
    }
    Some(numbers)
}

/// Digits of the largest number.
const DIGITS_MAX: usize = 20;

/// Writes `number` so that it ends at [`DIGITS_MAX`]; how many digits it has.
#[inline]
fn write_decimal(mut number: u64, digits: &mut [u8; DIGITS_MAX * 2]) -> usize {
    let mut at = DIGITS_MAX;
    while number >= 10 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&DECIMAL_PAIRS[(number % 100) as usize]);
        number /= 100;
    }
    if number > 0 || at == DIGITS_MAX {
        at -= 1;
        digits[at] = b'0' + number as u8;
    }
    DIGITS_MAX - at
}

#[inline]
fn write_hex(mut number: u64, digits: &mut [u8; DIGITS_MAX * 2]) -> usize {
    let used = (64 - number.leading_zeros()).div_ceil(4).max(1) as usize;
    let mut at = DIGITS_MAX;
    while number > 0 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&HEX_PAIRS[(number & 0xff) as usize]);
        number >>= 8;
    }
    used
}

const HEX_PAIRS: [[u8; 2]; 256] = pairs(16);
const DECIMAL_PAIRS: [[u8; 2]; 100] = pairs(10);

const fn pairs<const N: usize>(radix: usize) -> [[u8; 2]; N] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; N];
    let mut number = 0;
    while number < N {
        pairs[number] = [DIGITS[number / radix], DIGITS[number % radix]];
        number += 1;
    }
    pairs
}
