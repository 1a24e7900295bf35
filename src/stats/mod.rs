//! Owns pure statistics: numbers in, numbers out. No domain types, no files, no clock, no randomness.
//!
//! # Invariants
//!
//! * **Equal on any machine.** Only `+ - * /`, `sqrt`, `floor` and comparisons of the hardware are used, and `libm` for
//!   everything transcendental: std's `ln`, `exp` … differ between processors. No fused multiply-add, no order that
//!   depends on addresses or hashing.
//! * **No input panics.** Empty samples, one value, all values equal, NaN and infinities have a result that the function's
//!   text defines, mostly `None`. The only panics are slices of the wrong length where the caller owns both.
//! * **No hidden state.** What needs random numbers ([`bootstrap`]) takes them from its caller.
//!
//! | module | answers |
//! |---|---|
//! | [`normal`], [`special`] | distributions: normal, gamma, beta, chi-squared, Student's t |
//! | [`histogram`] | latencies, compactly: quantiles within 1/32 |
//! | [`quantile`], [`summary`] | what a sample looks like |
//! | [`ks`], [`ks_exact`], [`ks_ranks`], [`kolmogorov`], [`cramer_von_mises`] | do two samples come from one distribution? by their distribution functions |
//! | [`mann_whitney`], [`shift`], [`welch`], [`distance`] | … by ranks, by means, by how far values moved |
//! | [`psi`], [`bins`], [`divergence`], [`contingency`] | … by counts in bins or categories |
//! | [`mmd`] | … as points of any dimension |
//! | [`auc`] | does a score rank and predict well? |
//! | [`proportion`], [`bootstrap`] | how sure is a share, a rate, a mean, a difference? |
//! | [`survival`], [`competing`] | time until an event that some runs never see |
//! | [`queueing`] | what a queue should do, to hold the simulator to |
//!
//! `tests/stats_reference.rs` and `tests/detectors_reference` hold each of them to scipy, statsmodels, lifelines, R or mpmath.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub mod auc;
pub mod bins;
pub mod bootstrap;
mod brent;
pub mod competing;
pub mod contingency;
pub mod cramer_von_mises;
pub mod distance;
pub mod divergence;
pub mod histogram;
pub mod kolmogorov;
pub mod ks;
pub mod ks_exact;
pub mod ks_ranks;
pub mod mann_whitney;
pub mod mmd;
pub mod normal;
pub mod proportion;
pub mod psi;
mod quadratic_form;
pub mod quantile;
pub mod queueing;
pub mod shift;
pub mod special;
pub mod summary;
pub mod survival;
pub mod welch;

/// Which difference between a first and a second sample a test looks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Alternative {
    /// Any.
    #[default]
    TwoSided,
    /// The second sample tends to larger values than the first.
    Greater,
    /// The second sample tends to smaller values than the first.
    Less,
}

/// A two-sided confidence interval, in the unit of the quantity it is about. `low <= high`; either may be infinite.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower limit.
    pub low: f64,
    /// The upper limit.
    pub high: f64,
}

impl Interval {
    /// Whether `value` lies in the closed interval; false for NaN.
    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// `high - low`.
    #[must_use]
    pub fn width(&self) -> f64 {
        self.high - self.low
    }
}

/// The standard normal quantile that a two-sided interval of this confidence needs (1.96 for 0.95);
/// `None` unless `0 < confidence < 1`.
pub(crate) fn two_sided_z(confidence: f64) -> Option<f64> {
    (confidence > 0.0 && confidence < 1.0).then(|| -normal::quantile((1.0 - confidence) / 2.0))
}
