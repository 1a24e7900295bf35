//! Owns damage to real model bytes: in place, of the same length, fixed by the scenario's own seed.
//!
//! A hit always changes the value it hits, as a runtime that flushes subnormal numbers to zero would see it: zeroing a zero, or
//! nudging a zero by 1e-40, is no damage, and another weight is taken instead. With one seed, the hits of a smaller share
//! are among those of a larger one.

use super::onnx::{NotOnnx, OnnxModel};
use crate::rng::{Seed, Stream};

/// How weights rot: seeded, so that the scenario fixes the damage and not the trial's seed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Corruption {
    /// What is changed in each hit.
    pub what: Damage,
    /// The share of 32-bit float weights hit (of bytes, for [`Damage::Bytes`]), above 0 and at most 1; at least one is hit.
    pub share: f64,
    /// Fixes which.
    pub seed: u64,
    /// For the kinds that flip one of eight bits: the lowest and the highest that may flip, 0 to 7; `None`: any of the eight.
    ///
    /// Flipping exponent bit k multiplies or divides by 2^(2^k): bit 0 by 2, bit 1 by 4, bit 2 by 16, bit 3 by 256, bit 7 by
    /// 2^128, which mostly overflows the answer. Flipping mantissa bit k moves a value v by 2^(k−8) of its power of two, 7
    /// being up to half of v. Subtle damage is `(0, 1)` of the exponent, or a few mantissa bits.
    pub bits: Option<(u8, u8)>,
}

/// What is changed in a hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Damage {
    /// One of the eight exponent bits of a weight flips: factors of 2 to 2^128.
    ExponentBits,
    /// One of the upper eight mantissa bits of a weight flips: up to half its value.
    MantissaBits,
    /// The sign bit of a weight flips.
    SignBit,
    /// The weight becomes zero.
    Zero,
    /// One bit of any byte of the file flips, structure included.
    Bytes,
}

impl Damage {
    /// The name of its random stream.
    const fn name(self) -> &'static str {
        match self {
            Self::ExponentBits => "exponent-bits",
            Self::MantissaBits => "mantissa-bits",
            Self::SignBit => "sign-bit",
            Self::Zero => "zero",
            Self::Bytes => "bytes",
        }
    }

    /// Whether one of eight bits flips, so that [`Corruption::bits`] means something.
    const fn has_bits(self) -> bool {
        matches!(self, Self::ExponentBits | Self::MantissaBits | Self::Bytes)
    }
}

/// What came of a corruption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Corrupted {
    /// The damaged bytes, as many as before.
    pub bytes: Vec<u8>,
    /// How many weights (or bytes) changed.
    pub hits: usize,
    /// Of how many there are, those included that this damage cannot change.
    pub of: usize,
}

/// Why nothing can be corrupted.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum CorruptError {
    /// The share is not above 0 and at most 1.
    #[error("the share of weights must be above 0 and at most 1, not {0}")]
    Share(f64),
    /// The bits are not an ascending pair within 0 to 7.
    #[error("bits must be two numbers from 0 to 7, the lower one first, not {0} and {1}")]
    Bits(u8, u8),
    /// The kind of damage flips no choice of bits.
    #[error("bits can only be chosen for exponent bits, mantissa bits and bytes")]
    NoBits,
    /// The bytes cannot be read as a model, so there is no telling where the weights are.
    #[error(transparent)]
    NotOnnx(#[from] NotOnnx),
    /// The model has no 32-bit float weights.
    #[error("the file holds no 32-bit float weights (weights of other types, or in another file, are not damaged)")]
    NoWeights,
    /// Nothing would change, e.g. all weights are zero already.
    #[error("this damage would change none of the {0} weights")]
    NoEffect(usize),
}

/// Damages a copy of `bytes`.
///
/// # Errors
/// [`CorruptError`], if the change is malformed or would change nothing.
pub fn corrupt(bytes: &[u8], change: &Corruption) -> Result<Vec<u8>, CorruptError> {
    corrupt_counted(bytes, change).map(|done| done.bytes)
}

/// Like [`corrupt`], with the number of hits.
///
/// # Errors
/// [`CorruptError`], if the change is malformed or would change nothing.
pub fn corrupt_counted(bytes: &[u8], change: &Corruption) -> Result<Corrupted, CorruptError> {
    let bits = check(change)?;
    let mut places: Vec<usize> = match change.what {
        Damage::Bytes => (0..bytes.len()).collect(),
        _ => OnnxModel::read(bytes)?.weights.iter().flat_map(super::onnx::WeightArray::offsets).collect(),
    };
    let of = places.len();
    if of == 0 {
        return Err(CorruptError::NoWeights);
    }
    places.retain(|&at| !changes(bytes, at, change.what, bits).is_empty());
    if places.is_empty() {
        return Err(CorruptError::NoEffect(of));
    }
    // `as` saturates; the share of a count is rounded half up.
    let hits = ((change.share * of as f64 + 0.5) as usize).clamp(1, places.len());
    let mut out = bytes.to_vec();
    let mut stream = Stream::named(Seed(change.seed), "corruption", change.what.name());
    // The first `hits` steps of a Fisher-Yates shuffle: a choice without replacement whose prefix does not depend on `hits`.
    for i in 0..hits {
        let rest = places.len() - i;
        places.swap(i, i + stream.below(rest));
        let at = places[i];
        let options = changes(bytes, at, change.what, bits);
        let Some(new) = options.get(stream.below(options.len())) else { continue };
        if let Some(place) = out.get_mut(at..at + new.len()) {
            place.copy_from_slice(new);
        }
    }
    Ok(Corrupted { bytes: out, hits, of })
}

fn check(change: &Corruption) -> Result<(u8, u8), CorruptError> {
    if !(change.share > 0.0 && change.share <= 1.0) {
        return Err(CorruptError::Share(change.share));
    }
    match change.bits {
        None => Ok((0, 7)),
        Some(_) if !change.what.has_bits() => Err(CorruptError::NoBits),
        Some((low, high)) if low > high || high > 7 => Err(CorruptError::Bits(low, high)),
        Some(bits) => Ok(bits),
    }
}

/// The bytes that can come to stand at `at`, each of them a real change; empty if there is none.
fn changes(bytes: &[u8], at: usize, what: Damage, (low, high): (u8, u8)) -> Vec<Vec<u8>> {
    if what == Damage::Bytes {
        return bytes.get(at).map_or_else(Vec::new, |byte| (low..=high).map(|bit| vec![byte ^ (1 << bit)]).collect());
    }
    let Some(&old) = bytes.get(at..).and_then(<[u8]>::first_chunk::<4>) else { return Vec::new() };
    let old = u32::from_le_bytes(old);
    // IEEE 754 binary32: sign 31, exponent 30-23, mantissa 22-0 of which the upper eight are 22-15.
    let flips = |lowest: u8| (low..=high).map(|bit| old ^ (1 << (lowest + bit))).collect();
    let new: Vec<u32> = match what {
        Damage::ExponentBits => flips(23),
        Damage::MantissaBits => flips(15),
        Damage::SignBit => vec![old ^ (1 << 31)],
        Damage::Zero | Damage::Bytes => vec![0],
    };
    new.into_iter().filter(|&new| differ(old, new)).map(|new| new.to_le_bytes().to_vec()).collect()
}

/// Whether two floats differ in value, subnormal numbers taken as zero.
fn differ(a: u32, b: u32) -> bool {
    let value = |bits| Some(f32::from_bits(bits)).filter(|v| !v.is_subnormal()).unwrap_or(0.0);
    let (a, b) = (value(a), value(b));
    a != b && !(a.is_nan() && b.is_nan())
}

#[cfg(test)]
mod tests;
