//! Which tokens a block may contain: a Bloom filter, so that most blocks need not be read.
//!
//! Room: `stores/logs`.  May use: nobody.  Used by: the block writer and the search.
//!
//! ```text
//! token  := longest run of ASCII letters, digits and `_`; compared without regard to ASCII case
//! hash   := over 8-byte little-endian words of the token, zero padded, each byte | 0x20:
//!           h = len * K0;  for each word: h = (h ^ word) * K1; h ^= h >> 32;  then fmix64 of h
//! filter := words of 64 bits, little-endian; 12 bits a distinct token, at least one word
//! bit i  := ((a + i * b) mod 2^32) * bits / 2^32 for i in 0..6, a = low, b = high half of h, b | 1
//! ```
//!
//! `| 0x20` makes upper case lower, leaves digits and moves `_` where no other token byte is. An
//! empty filter means "not known" and lets everything pass. The hash is part of the format: it may
//! only change together with the block's version.

const BITS_A_TOKEN: usize = 12;
const HASHES: u32 = 6;
const K0: u64 = 0x9e37_79b9_7f4a_7c15;
const K1: u64 = 0xff51_afd7_ed55_8ccd;
const K2: u64 = 0xc4ce_b9fe_1a85_ec53;
const LOWER: u64 = 0x2020_2020_2020_2020;

/// True for bytes that tokens are made of.
pub(super) const fn is_token_byte(byte: u8) -> bool {
    BYTE_KIND[byte as usize] != 0
}

const DIGIT: u8 = 1;
/// The letters a-f.
const HEX_LETTER: u8 = 2;
const OTHER: u8 = 4;

/// What each byte is to a token; 0 = the end of it.
const BYTE_KIND: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'f' => HEX_LETTER,
            b'A'..=b'Z' | b'g'..=b'z' | b'_' => OTHER,
            _ => 0,
        };
        byte += 1;
    }
    table
};

/// A token: its place in a text, and what it is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub(super) start: usize,
    pub(super) end: usize,
    kinds: u8,
}

impl Token {
    /// The same token, as it stands in a text that begins so much earlier.
    pub(super) fn moved_by(self, bytes: usize) -> Token {
        Token { start: self.start + bytes, end: self.end + bytes, ..self }
    }

    pub(super) fn has_digit(self) -> bool {
        self.kinds & DIGIT != 0
    }

    /// True when it has more than digits.
    pub(super) fn has_letter(self) -> bool {
        self.kinds != DIGIT
    }

    /// Nothing but digits and the letters a-f.
    pub(super) fn is_hex(self) -> bool {
        self.kinds & OTHER == 0
    }
}

/// The hash of one token. See the head of the file.
#[inline]
pub(super) fn hash_token(token: &[u8]) -> u64 {
    let mut hash = (token.len() as u64).wrapping_mul(K0);
    let mut words = token.chunks_exact(8);
    for word in &mut words {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(word);
        hash = mix(hash, u64::from_le_bytes(bytes) | LOWER);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        let mut word = 0;
        for (place, byte) in rest.iter().enumerate() {
            word |= u64::from(byte | 0x20) << (8 * place);
        }
        hash = mix(hash, word);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(K2);
    hash ^ (hash >> 33)
}

#[inline]
fn mix(hash: u64, word: u64) -> u64 {
    let hash = (hash ^ word).wrapping_mul(K1);
    hash ^ (hash >> 32)
}

/// Calls `each` for every token of `text`.
#[inline]
pub(super) fn for_tokens(text: &[u8], mut each: impl FnMut(Token)) {
    let mut at = 0;
    while at < text.len() {
        let mut kinds = BYTE_KIND[usize::from(text[at])];
        if kinds == 0 {
            at += 1;
            continue;
        }
        let start = at;
        at += 1;
        while let Some(byte) = text.get(at)
            && BYTE_KIND[usize::from(*byte)] != 0
        {
            kinds |= BYTE_KIND[usize::from(*byte)];
            at += 1;
        }
        each(Token { start, end: at, kinds });
    }
}

/// Collects the distinct tokens of one block, then becomes its filter.
///
/// An open-addressed table of hashes, kept between blocks. Zero marks a free slot; a token whose
/// hash is zero counts as one.
pub(super) struct Tokens {
    slots: Vec<u64>,
    used: usize,
}

impl Tokens {
    pub(super) fn new() -> Tokens {
        Tokens { slots: vec![0; 1 << 14], used: 0 }
    }

    /// Adds a token.
    #[inline]
    pub(super) fn add_token(&mut self, token: &[u8]) {
        self.add(hash_token(token));
    }

    #[inline]
    fn add(&mut self, hash: u64) {
        let hash = hash.max(1);
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        while self.slots[slot] != 0 {
            if self.slots[slot] == hash {
                return;
            }
            slot = (slot + 1) & mask;
        }
        self.slots[slot] = hash;
        self.used += 1;
        if self.used * 2 > self.slots.len() {
            self.grow();
        }
    }

    fn grow(&mut self) {
        let larger = vec![0; self.slots.len() * 2];
        let old = std::mem::replace(&mut self.slots, larger);
        self.used = 0;
        old.into_iter().filter(|hash| *hash != 0).for_each(|hash| self.add(hash));
    }

    /// The filter of what was added; the table is empty afterwards.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let words = (self.used * BITS_A_TOKEN).div_ceil(64).max(1);
        let mut filter = vec![0; words * 8];
        for hash in self.slots.iter_mut().filter(|hash| **hash != 0) {
            bits(*hash, words as u64 * 64, |bit| {
                filter[bit / 8] |= 1 << (bit % 8);
                true
            });
            *hash = 0;
        }
        self.used = 0;
        filter
    }
}

/// Whether a block with this filter may contain the token of this hash. Never wrongly "no".
pub(super) fn may_contain(filter: &[u8], hash: u64) -> bool {
    if filter.is_empty() || !filter.len().is_multiple_of(8) {
        return true;
    }
    bits(hash.max(1), filter.len() as u64 * 8, |bit| filter[bit / 8] & (1 << (bit % 8)) != 0)
}

/// Visits the bits of a hash while `each` says so; true when it said so for all.
#[inline]
fn bits(hash: u64, bits: u64, mut each: impl FnMut(usize) -> bool) -> bool {
    let step = (hash >> 32) as u32 | 1;
    let mut place = hash as u32;
    for _ in 0..HASHES {
        if !each(((u64::from(place) * bits) >> 32) as usize) {
            return false;
        }
        place = place.wrapping_add(step);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        for_tokens(text.as_bytes(), |t| found.push(text[t.start..t.end].to_string()));
        found
    }

    #[test]
    fn tokens_are_runs_of_letters_digits_and_underscores() {
        assert_eq!(words("a_b-C9 (x)=é7"), ["a_b", "C9", "x", "7"]);
        assert_eq!(words(""), [""; 0]);
        assert_eq!(words("--"), [""; 0]);
    }

    #[test]
    fn case_does_not_matter_and_nothing_else_is_equal() {
        assert_eq!(hash_token(b"ERROR_Code_12345"), hash_token(b"error_code_12345"));
        assert_ne!(hash_token(b"a"), hash_token(b"a\0"));
        assert_ne!(hash_token(b"_"), hash_token(b"?"));
    }

    #[test]
    fn the_hash_is_the_one_of_the_format() {
        assert_eq!(hash_token(b"refused"), 0x69ae4cca31cc12c7);
        assert_eq!(hash_token(b"user_name_1234567"), 0x99f389c44768ccc1);
    }

    #[test]
    fn no_token_is_ever_missed_and_few_are_seen_in_vain() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut tokens = Tokens::new();
        for round in 0..20 {
            let count = 1 + rng.usize(..30_000);
            let inside: Vec<_> = (0..count).map(|n| format!("r{round}x{n}")).collect();
            inside.iter().for_each(|token| tokens.add_token(token.as_bytes()));
            let filter = tokens.finish();
            assert!(filter.len() * 8 <= count * BITS_A_TOKEN + 64);
            assert!(inside.iter().all(|t| may_contain(&filter, hash_token(t.as_bytes()))));
            let wrong = (0..10_000)
                .filter(|n| may_contain(&filter, hash_token(format!("absent{n}").as_bytes())))
                .count();
            assert!(wrong < 150, "{wrong} of 10000 with {count} tokens");
        }
    }

    #[test]
    fn an_unknown_filter_lets_everything_pass() {
        assert!(may_contain(&[], hash_token(b"x")));
        assert!(may_contain(&[0; 7], hash_token(b"x")));
        assert!(!may_contain(&[0; 8], hash_token(b"x")));
    }
}
