//! Lines come back as they were, whatever they look like; damaged ones are refused.

use super::*;
use crate::stores::logs::line::Lines;
use crate::stores::varint::Reading;

const TEXT_BYTES_MAX: usize = 1 << 20;

fn lines_of(texts: &[Vec<u8>]) -> (Lines, Vec<u8>) {
    let (mut lines, mut text) = (Lines::default(), Vec::new());
    for line in texts {
        text.extend_from_slice(line);
        lines.at.push(0);
        lines.ends.push(text.len() as u32);
        text.push(b'\n');
    }
    (lines, text)
}

/// Splits and joins; returns the bytes in between.
#[track_caller]
fn check(splitter: &mut Splitter, texts: &[Vec<u8>]) -> Vec<u8> {
    let (lines, text) = lines_of(texts);
    let mut bytes = Vec::new();
    splitter.split(&lines, &text, |_| {}, &mut bytes);
    let joined = join(Reading::new(&bytes), texts.len(), TEXT_BYTES_MAX).expect("it opens");
    assert_eq!(joined.0, text);
    assert_eq!(joined.1, lines.ends);
    bytes
}

fn texts(lines: &[&str]) -> Vec<Vec<u8>> {
    lines.iter().map(|line| line.as_bytes().to_vec()).collect()
}

#[test]
fn lines_come_back() {
    let mut splitter = Splitter::new();
    for lines in [
        &["", "", "", "", ""][..],
        &["0", "00", "000", "0", "1"],
        &["a\nb 1", "a\nb 2", "a\nb 3", "a\nb 4", "\n"],
        &["x 18446744073709551615", "x 99999999999999999999", "x 0", "x 1", "x 7"],
        &["ffffffffffffffff", "0", "a1", "00", "1"],
        &["id 00ff00ff00ff00ff00ff 1", "id 10ff00ff00ff00ff00ff 1", "id 1 1", "id 2 1", "id 3 1"],
        &["A1B2", "A1B3", "A1B4", "A1B5", "a1b5"],
        &["5ms of mw1342", "6ms of mw1343", "7ms of mw0001", "8ms of mw99999", "9ms of 3_x_3"],
        &["é 1 ü", "é 2 ü", "é 3 ü", "é 4 ü", "é 05 ü"],
    ] {
        check(&mut splitter, &texts(lines));
    }
    check(&mut splitter, &[]);
    check(&mut splitter, &vec![(0..=255).collect::<Vec<u8>>(); 9]);
    check(&mut splitter, &vec![b"1 ".repeat(VALUES_MAX + 1); 9]);
    let letter = |n: usize| char::from(b'a' + (n % 26) as u8);
    let many = (0..SHAPES_MAX + 99).map(|n| [n, n / 26, n / 676].map(letter).iter().collect());
    let many: Vec<_> = many.map(String::into_bytes).collect();
    check(&mut splitter, &[many.clone(), many].concat());
}

#[test]
fn numbers_and_ids_take_what_they_hold() {
    let mut rng = fastrand::Rng::with_seed(3);
    let line = |n: u32| {
        let (id, port) = (rng.u64(..), rng.u16(1000..));
        format!("2026-03-12T14:00:00.{:03}Z session {id:016x} from port {port}", n % 1000)
            .into_bytes()
    };
    let texts: Vec<_> = (0..1_000).map(line).collect();
    let bytes = check(&mut Splitter::new(), &texts);
    // 8 for the id, 2 for the port, 2 for the milliseconds, 1 for the shape.
    assert!(bytes.len() < 13 * texts.len() + 200, "{}", bytes.len());
}

#[test]
fn any_lines_come_back_and_damage_is_no_panic() {
    const WORDS: [&str; 12] =
        ["GET ", "port=", "7", "42", "cafe", "0x1f", "é", "_9_", "A1", " ", "0000", "\n"];
    let mut rng = fastrand::Rng::with_seed(11);
    let mut splitter = Splitter::new();
    for _ in 0..300 {
        let templates: Vec<Vec<usize>> = (0..1 + rng.usize(..4))
            .map(|_| (0..rng.usize(..9)).map(|_| rng.usize(..WORDS.len())).collect())
            .collect();
        let texts: Vec<Vec<u8>> = (0..rng.usize(..40))
            .map(|_| {
                let mut line = String::new();
                for word in &templates[rng.usize(..templates.len())] {
                    line.push_str(WORDS[*word]);
                    match rng.u8(..6) {
                        0 => line.push_str(&rng.u64(..).to_string()),
                        1 => line.push_str(&format!("{:x}", rng.u64(..) >> rng.u8(..64))),
                        2 => line.push_str(&format!("{:032x}", rng.u128(..))),
                        _ => {}
                    }
                }
                line.into_bytes()
            })
            .collect();
        let bytes = check(&mut splitter, &texts);
        for _ in 0..20 {
            let mut damaged = bytes.clone();
            let at = rng.usize(..damaged.len());
            damaged[at] ^= 1 << rng.u8(..8);
            let _ = join(Reading::new(&damaged), texts.len(), TEXT_BYTES_MAX);
            damaged.truncate(at);
            assert_eq!(join(Reading::new(&damaged), texts.len(), TEXT_BYTES_MAX), None);
        }
    }
}

#[test]
fn a_text_does_not_grow_beyond_what_it_said() {
    let (lines, text) = lines_of(&vec![b"a long sentence that stands once".to_vec(); 99]);
    let mut bytes = Vec::new();
    Splitter::new().split(&lines, &text, |_| {}, &mut bytes);
    assert!(bytes.len() < 200);
    assert_eq!(join(Reading::new(&bytes), 99, text.len() - 1), None);
}
