//! Owns the wire form of signals over the newest labelled answers of a version.

use crate::detect::looks::Looks;
use crate::plan::scenario::half;
use crate::plan::units::Share;
use schemars::JsonSchema;
use serde::Deserialize;

/// A measure of classes over the newest labelled answers of a version.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Labelled {
    /// The newest so many labels.
    pub window: LabelWindow,
    /// Fewer labels than this are no measurement.
    #[serde(default = "super::min_labels")]
    #[schemars(range(min = 1))]
    pub min: u32,
    /// A score at or above this is class 1.
    #[serde(default = "half")]
    pub threshold: Share,
    /// Two-sided confidence of the interval.
    #[serde(default = "super::confidence")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub confidence: f64,
    /// What the confidence is about.
    #[serde(default)]
    pub looks: Looks,
}

/// A measure of scores over the newest labelled answers of a version.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ranked {
    /// The newest so many labels.
    pub window: LabelWindow,
    /// Fewer labels than this are no measurement.
    #[serde(default = "super::min_labels")]
    #[schemars(range(min = 1))]
    pub min: u32,
    /// Two-sided confidence of the interval.
    #[serde(default = "super::confidence")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub confidence: f64,
    /// What the confidence is about.
    #[serde(default)]
    pub looks: Looks,
}

/// How far scores are from the shares they promise: the Brier score with Student's interval, the expected calibration error over
/// bins of equal width, and the p-value of Spiegelhalter's test that outcomes happen as often as promised.
///
/// * Units: `brier`: squared, 0 to 1; `ece`: a share, 0 to 1.
/// * Blind to: everything younger than the label delay; a calibrated model that knows nothing. Chance alone lifts the expected
///   calibration error of calibrated scores to about a third of sqrt(bins / n): judge it beside `baseline.`, or take `p`.
/// * Memory: at most `64 labels versions + 48 requests` bytes.
/// * Source: Brier, Monthly Weather Review 78 (1950) 1-3; Guo et al., ICML 2017; Spiegelhalter, Statistics in Medicine 5 (1986)
///   421-433.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Bins of equal width, of the expected calibration error.
    #[serde(default = "super::calibration_bins")]
    #[schemars(range(min = 2, max = 100))]
    pub bins: u32,
    /// The newest so many labels.
    pub window: LabelWindow,
    /// Fewer labels than this are no measurement.
    #[serde(default = "super::min_labels")]
    #[schemars(range(min = 1))]
    pub min: u32,
    /// Two-sided confidence of the interval.
    #[serde(default = "super::confidence")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub confidence: f64,
    /// What the confidence is about.
    #[serde(default)]
    pub looks: Looks,
}

/// A window counted in labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelWindow {
    /// The newest so many labels.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub labels: u32,
}
