//! Mutations of bytes: small damage, other lengths, extreme numbers, pieces of two inputs. Seeded.

use fastrand::Rng;

/// The longest input. Bytes.
pub const INPUT_BYTES_MAX: usize = 256 * 1024;
/// Numbers at which lengths and counts break.
const EXTREMES: &[u64] = &[
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];
/// What text formats break at.
const WORDS: &[&str] = &[
    "",
    "\n",
    "\0",
    "=",
    "\"",
    "'",
    "\\",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    ",",
    ":",
    "@",
    "%",
    "*",
    "?",
    "-1",
    "0",
    "1e309",
    "NaN",
    "18446744073709551615",
    "18446744073709551616",
    "9223372036854775808",
    "\u{fffd}",
    "é",
    "\u{202e}",
    "\u{10ffff}",
    ".*",
    "(a+)+$",
    "[[",
    "\"\"\"",
    " ",
    "\t",
    "\r\n",
];

/// A mutated copy of one of `seeds`. The same `rng` gives the same bytes.
pub fn mutate(seeds: &[Vec<u8>], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = pick(seeds, rng).to_vec();
    for _ in 0..=rng.u32(0..4) {
        match rng.u32(0..10) {
            0 => flip_bit(&mut bytes, rng),
            1 => set_byte(&mut bytes, rng),
            2 => truncate(&mut bytes, rng),
            3 => insert(&mut bytes, rng),
            4 => splice(&mut bytes, pick(seeds, rng), rng),
            5 | 6 => overwrite_number(&mut bytes, rng),
            7 => overwrite_varint(&mut bytes, rng),
            8 => repeat(&mut bytes, rng),
            _ => insert_word(&mut bytes, rng),
        }
    }
    bytes.truncate(INPUT_BYTES_MAX);
    bytes
}

fn pick<'s>(seeds: &'s [Vec<u8>], rng: &mut Rng) -> &'s [u8] {
    if seeds.is_empty() { &[] } else { &seeds[rng.usize(..seeds.len())] }
}

/// A place, more often near the beginning, where heads and lengths are.
fn place(len: usize, rng: &mut Rng) -> usize {
    let end = if rng.bool() { len.min(96) } else { len };
    rng.usize(..=end.min(len))
}

fn flip_bit(bytes: &mut [u8], rng: &mut Rng) {
    let at = place(bytes.len(), rng);
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << rng.u32(0..8);
    }
}

fn set_byte(bytes: &mut [u8], rng: &mut Rng) {
    let at = place(bytes.len(), rng);
    if let Some(byte) = bytes.get_mut(at) {
        *byte = rng.u8(..);
    }
}

fn truncate(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let len = rng.usize(..=bytes.len());
    bytes.truncate(len);
}

fn insert(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let at = place(bytes.len(), rng);
    let fresh: Vec<u8> = (0..rng.usize(1..32)).map(|_| rng.u8(..)).collect();
    bytes.splice(at..at, fresh);
}

fn insert_word(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.usize(..=bytes.len());
    let end = if rng.bool() { at } else { (at + rng.usize(1..8)).min(bytes.len()) };
    let word = WORDS[rng.usize(..WORDS.len())];
    bytes.splice(at..end, word.bytes());
}

fn splice(bytes: &mut Vec<u8>, other: &[u8], rng: &mut Rng) {
    let from = rng.usize(..=other.len());
    let to = rng.usize(from..=other.len());
    let at = rng.usize(..=bytes.len());
    let end = rng.usize(at..=bytes.len());
    bytes.splice(at..end, other[from..to].iter().copied());
}

fn repeat(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let at = place(bytes.len(), rng);
    let end = (at + rng.usize(1..64)).min(bytes.len());
    let piece = bytes[at..end].repeat(rng.usize(1..64));
    bytes.splice(end..end, piece);
}

fn overwrite_number(bytes: &mut [u8], rng: &mut Rng) {
    let number = extreme(rng).to_le_bytes();
    let len = [1, 2, 4, 8][rng.usize(0..4)];
    let mut number = number[..len].to_vec();
    if rng.u32(0..4) == 0 {
        number.reverse();
    }
    let at = place(bytes.len(), rng);
    for (byte, new) in bytes.iter_mut().skip(at).zip(number) {
        *byte = new;
    }
}

fn overwrite_varint(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let mut value = extreme(rng);
    let mut varint = Vec::new();
    while value >= 0x80 {
        varint.push(value as u8 | 0x80);
        value >>= 7;
    }
    varint.push(value as u8);
    let at = place(bytes.len(), rng);
    let end = (at + rng.usize(0..3)).min(bytes.len());
    bytes.splice(at..end, varint);
}

fn extreme(rng: &mut Rng) -> u64 {
    let number = EXTREMES[rng.usize(..EXTREMES.len())];
    match rng.u32(0..4) {
        0 => number.wrapping_add(1),
        1 => number.wrapping_sub(1),
        2 => rng.u64(..) >> rng.u32(0..64),
        _ => number,
    }
}
