//! Owns the wire form of signals about what answers are worth: labels, estimates, groups of users, business outcomes.

use crate::detect::config::Level;
use crate::plan::scenario::half;
use crate::plan::signals::{LabelWindow, calibration_bins, min_group, min_labels, min_rows};
use crate::plan::units::{PositiveDuration, Share};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A measure of classes over the newest labelled answers of the version under test. Beside it stand those of the baseline that
/// were answered and labelled in the same time, so that what happens to both is blamed on neither; there is no verdict about the
/// baseline when it no longer serves, nor about what is further back than 32 times the labels of the window.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Labelled {
    /// The newest so many labels.
    pub window: LabelWindow,
    /// Fewer labels than this are no measurement.
    #[serde(default = "min_labels")]
    #[schemars(range(min = 1))]
    pub min: u32,
    /// A score at or above this is class 1.
    #[serde(default = "half")]
    pub threshold: Share,
    /// Of the interval.
    #[serde(flatten)]
    pub level: Level,
}

/// A measure of scores over the newest labelled answers of a version.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Ranked {
    /// The newest so many labels.
    pub window: LabelWindow,
    /// Fewer labels than this are no measurement.
    #[serde(default = "min_labels")]
    #[schemars(range(min = 1))]
    pub min: u32,
    /// Of the interval.
    #[serde(flatten)]
    pub level: Level,
}

/// How far scores are from the shares they promise: the Brier score with Student's interval, the expected calibration error over
/// bins of equal width, and the p-value of Spiegelhalter's test that outcomes happen as often as promised (0 after a miss where
/// all scores are 0 or 1; not defined without one). Labels of the baseline are those of the same time, as with `accuracy`.
///
/// * Units: `brier`: squared, 0 to 1; `ece`: a share, 0 to 1.
/// * Blind to: everything younger than the label delay; a calibrated model that knows nothing. Chance alone lifts the expected
///   calibration error of calibrated scores to about a third of sqrt(bins / n): judge it beside `baseline.`, or take `p`.
/// * Memory: at most `2048 labels versions + 48 requests` bytes.
/// * Source: Brier, Monthly Weather Review 78 (1950) 1-3; Guo et al., ICML 2017; Spiegelhalter, Statistics in Medicine 5 (1986)
///   421-433.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Calibration {
    /// Bins of equal width, of the expected calibration error.
    #[serde(default = "calibration_bins")]
    #[schemars(range(min = 2, max = 100))]
    pub bins: u32,
    /// The newest so many labels.
    pub window: LabelWindow,
    /// Fewer labels than this are no measurement.
    #[serde(default = "min_labels")]
    #[schemars(range(min = 1))]
    pub min: u32,
    /// Of the interval.
    #[serde(flatten)]
    pub level: Level,
}

/// Accuracy or F1 as the model's own confidence promises it: no label is needed, so nothing is waited for.
///
/// * Units: a share, 0 to 1.
/// * Blind to: a model that is sure and wrong (concept drift, swapped features, corrupted weights): it assumes calibrated scores.
/// * Memory: at most `512 versions scrapes` bytes.
/// * Source: confidence-based performance estimation, NannyML documentation; Garg et al., ICLR 2022.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct PerformanceEstimate {
    /// What is estimated.
    #[serde(default)]
    pub measure: Estimated,
    /// How far back.
    pub window: PositiveDuration,
    /// Fewer answers than this are no measurement.
    #[serde(default = "min_rows")]
    #[schemars(range(min = 1))]
    pub min: u32,
    /// A score at or above this is class 1.
    #[serde(default = "half")]
    pub threshold: Share,
    /// Of the interval.
    #[serde(flatten)]
    pub level: Level,
}

/// A measure that confidence promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Estimated {
    /// Accuracy.
    #[default]
    Accuracy,
    /// F1 of class 1.
    F1,
}

/// The largest difference between two groups of users, with an interval for the largest true one, whichever groups it is between
/// (its error divided by the number of pairs: Bonferroni). `ratio` is the smaller share over the larger one, not defined if both are 0. With `equal-opportunity` labels of
/// the baseline are those of the same time, as with `accuracy`.
///
/// * Units: a difference of shares, 0 to 1.
/// * Blind to: differences inside a group; groups smaller than `min`; with `equal-opportunity`, everything younger than the label
///   delay.
/// * Memory: at most `versions scrapes (16 groups + 128)` bytes with `demographic-parity`; with `equal-opportunity` 2048 for each
///   of `labels` and version and 48 for each request that may still be labelled.
/// * Source: Hardt, Price and Srebro, NeurIPS 2016; definitions as fairlearn's; interval: Newcombe, Statistics in Medicine 17
///   (1998) 873-890.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Fairness {
    /// What is compared.
    #[serde(default)]
    pub disparity: Disparity,
    /// The segment column whose values are the groups; without it each segment is a group.
    pub by: Option<String>,
    /// How far back (demographic-parity).
    pub window: Option<PositiveDuration>,
    /// The newest so many labels (equal-opportunity).
    #[schemars(range(min = 1, max = 10_000_000))]
    pub labels: Option<u32>,
    /// A group with fewer users than this says nothing.
    #[serde(default = "min_group")]
    #[schemars(range(min = 1))]
    pub min: u32,
    /// A score at or above this is class 1.
    #[serde(default = "half")]
    pub threshold: Share,
    /// Of the interval.
    #[serde(flatten)]
    pub level: Level,
}

/// What is compared between groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Disparity {
    /// The share that gets class 1.
    #[default]
    DemographicParity,
    /// Among those of class 1, the share that gets it.
    EqualOpportunity,
}

/// Rate or mean of a business outcome: what users do after the answer.
///
/// * Units: a share, or the unit of the amount.
/// * Blind to: everything younger than the outcome's delay. Outcomes are noisy: look at `n` before believing a difference.
/// * Memory: at most `256 versions scrapes` bytes.
/// * Source: Wilson 1927 for rates, Student's interval for means.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Outcome {
    /// Its name in the scenario.
    pub of: String,
    /// How far back, in the time at which outcomes became known.
    pub window: PositiveDuration,
    /// Fewer than this are no measurement.
    #[serde(default = "min_rows")]
    #[schemars(range(min = 2))]
    pub min: u32,
    /// Of the interval.
    #[serde(flatten)]
    pub level: Level,
}
