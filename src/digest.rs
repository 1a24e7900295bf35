//! Owns digests: SHA-256 content addresses of artifacts, and the rolling BLAKE3 hash of recorded facts.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;
use std::fmt;

/// The SHA-256 of some bytes; written `sha256:<64 hex digits>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The content address of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Reads `sha256:<hex>`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        unhex(text.strip_prefix("sha256:")?).map(Self)
    }

    /// The first four hex digits, for lines a person reads.
    #[must_use]
    pub fn short(&self) -> String {
        format!("sha256:{}…", &hex(&self.0)[..4])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex(&self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("expected sha256:<64 hex digits>"))
    }
}

/// A rolling hash over facts, fed as fixed-width little-endian integers in the order they were recorded.
///
/// Facts are gathered in a buffer and hashed in large pieces: the digest depends on the bytes alone, never on how they
/// were cut.
#[derive(Clone)]
pub struct Rolling {
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
    facts: u64,
}

const PIECE_BYTES: usize = 1 << 16;

impl Rolling {
    /// An empty hash for the stream of that name (the name is part of the digest).
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        Self { hasher, buffer: Vec::with_capacity(PIECE_BYTES + 64), facts: 0 }
    }

    /// Appends the bytes of one fact.
    pub fn fact(&mut self, bytes: &[u8]) {
        self.facts += 1;
        self.bytes(bytes);
    }

    /// Appends bytes that belong to the fact begun last.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE_BYTES {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
        }
    }

    /// How many facts were recorded.
    #[must_use]
    pub const fn facts(&self) -> u64 {
        self.facts
    }

    /// The digest so far, as 64 hex digits; facts may still follow.
    #[must_use]
    pub fn hex(&self) -> String {
        let mut h = self.hasher.clone();
        h.update(&self.buffer);
        h.update(&self.facts.to_le_bytes());
        hex(h.finalize().as_bytes())
    }
}

impl PartialEq for Rolling {
    fn eq(&self, other: &Self) -> bool {
        self.facts == other.facts && self.hex() == other.hex()
    }
}

impl fmt::Debug for Rolling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} facts, {}", self.facts, self.hex())
    }
}

/// The BLAKE3 digest of `parts`, each preceded by its length, so that no two lists of parts collide by concatenation.
#[must_use]
pub fn keyed(parts: &[&[u8]]) -> [u8; 32] {
    let mut h = blake3::Hasher::new();
    for part in parts {
        h.update(&(part.len() as u64).to_le_bytes());
        h.update(part);
    }
    *h.finalize().as_bytes()
}

/// Lower-case hex digits of `bytes`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]]).map(char::from).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |c: u8| (c as char).to_digit(16);
        *byte = (digit(pair[0])? * 16 + digit(pair[1])?) as u8;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standards() {
        // FIPS 180-4 example: SHA-256 of "abc".
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of(b"abc").to_string(), abc);
        assert_eq!(Digest::parse(abc), Some(Digest::of(b"abc")));
        assert_eq!(Digest::parse("sha256:zz"), None);
    }

    #[test]
    fn a_rolling_hash_depends_on_bytes_and_count_not_on_how_they_were_cut() {
        let mut a = Rolling::new("t");
        let mut b = Rolling::new("t");
        for i in 0..40_000u32 {
            a.fact(&i.to_le_bytes());
            b.fact(&i.to_le_bytes()[..2]);
            b.bytes(&i.to_le_bytes()[2..]);
        }
        assert_eq!(a, b);
        a.fact(&[]);
        assert_ne!(a.hex(), b.hex(), "one more fact, even an empty one, is a difference");
    }
}
