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
//! | [`quantile`], [`buckets`], [`summary`] | what a sample looks like |
//! | [`ks`], [`ks_exact`], [`ks_ranks`], [`kolmogorov`], [`cramer_von_mises`] | do two samples have one distribution? |
//! | [`mann_whitney`], [`shift`], [`distance`] | … by ranks, by how far values moved |
//! | [`psi`], [`bins`], [`divergence`], [`contingency`] | … by counts in bins or categories |
//! | [`mmd`] | … as points of any dimension |
//! | [`auc`], [`classification`], [`calibration`] | does a score rank, decide and predict well? |
//! | [`label_free`] | how well would it, if it is calibrated and labels have not come? |
//! | [`fairness`] | do groups of users fare alike? |
//! | [`data_quality`] | are the inputs what they were? |
//! | [`proportion`], [`bootstrap`] | how sure is a share, a rate, a mean, a difference? |
//! | [`paired`], [`multiple`] | did one of two do better on the same cases? what if many were compared? |
//! | [`survival`], [`competing`] | time until an event that some runs never see |
//! | [`queueing`] | what a queue should do, to hold the simulator to |
//! | [`arl`] | how long does a control chart run until it alarms? |
//! | [`oracle`] | how fast could any rule find a known fault? |
//! | [`confidence_sequence`] | how sure is a mean, when one looks all the time? |
//!
//! `tests/stats_reference.rs` and `tests/detectors_reference` hold each of them to scipy, statsmodels, fairlearn, lifelines or
//! mpmath, or their own tests do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub mod arl;
pub mod auc;
pub mod bins;
pub mod bootstrap;
mod brent;
pub mod buckets;
pub mod calibration;
pub mod classification;
pub mod competing;
pub mod confidence_sequence;
pub mod contingency;
pub mod cramer_von_mises;
pub mod data_quality;
pub mod distance;
pub mod divergence;
pub mod fairness;
pub mod histogram;
pub mod kolmogorov;
pub mod ks;
pub mod ks_exact;
pub mod ks_ranks;
pub mod label_free;
pub mod mann_whitney;
pub mod mmd;
pub mod multiple;
pub mod normal;
pub mod oracle;
pub mod paired;
pub mod proportion;
pub mod psi;
mod quadratic_form;
pub(crate) mod quadrature;
pub mod quantile;
pub mod queueing;
pub(crate) mod root;
pub mod shift;
pub mod special;
pub mod summary;
pub mod survival;

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

    /// The interval for the difference of two independent quantities, first minus second, from an estimate and an interval of
    /// the same confidence for each: the distances of the limits from the estimates, added as squares on each side. It keeps
    /// what the two intervals know of skewness and borders, and is Newcombe's interval if they are Wilson's. Source: G. Y. Zou
    /// & A. Donner, Statistics in Medicine 27 (2008) 1693-1702. Each estimate must lie in its interval.
    #[must_use]
    pub fn of_difference(first: (f64, Self), second: (f64, Self)) -> Self {
        let ((a, one), (b, two)) = (first, second);
        let away = |x: f64, y: f64| (x * x + y * y).sqrt();
        Self { low: a - b - away(a - one.low, two.high - b), high: a - b + away(one.high - a, b - two.low) }
    }
}

/// The standard normal quantile that a two-sided interval of this confidence needs (1.96 for 0.95);
/// `None` unless `0 < confidence < 1`.
pub(crate) fn two_sided_z(confidence: f64) -> Option<f64> {
    (confidence > 0.0 && confidence < 1.0).then(|| -normal::quantile((1.0 - confidence) / 2.0))
}
