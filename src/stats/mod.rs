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
//! | [`ks`], [`ks_ranks`], [`psi`] | do two samples come from one distribution? |
//! | [`auc`] | does a score rank and predict well? |
//! | [`proportion`], [`bootstrap`] | how sure is a share, a rate, a mean, a difference? |
//! | [`survival`], [`competing`] | time until an event that some runs never see |
//! | [`queueing`] | what a queue should do, to hold the simulator to |
//! | [`arl`] | how long does a control chart run until it alarms? |
//! | [`oracle`] | how fast could any rule find a known fault? |
//! | [`confidence_sequence`] | how sure is a mean, when one looks all the time? |
//!
//! `tests/stats_reference.rs` and `tests/detectors_reference` hold each of them to other implementations.

use serde::{Deserialize, Serialize};

pub mod arl;
pub mod auc;
pub mod bootstrap;
pub mod competing;
pub mod confidence_sequence;
pub mod histogram;
pub mod ks;
pub mod ks_ranks;
pub mod normal;
pub mod oracle;
pub mod proportion;
pub mod psi;
pub(crate) mod quadrature;
pub mod quantile;
pub mod queueing;
pub(crate) mod root;
pub mod special;
pub mod summary;
pub mod survival;

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
