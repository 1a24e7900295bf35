//! Owns damage to real model bytes.

/// How weights rot: seeded, so that the scenario fixes the damage and not the trial's seed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Corruption {
    /// What is changed in each hit.
    pub what: Damage,
    /// The share of 32-bit float weights hit (of bytes, for [`Damage::Bytes`]).
    pub share: f64,
    /// Fixes which.
    pub seed: u64,
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
