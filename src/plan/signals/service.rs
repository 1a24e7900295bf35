//! Owns the wire form of signals about the service: latency, errors, budgets, saturation, the quality of inputs.

use crate::detect::config::Level;
use crate::plan::signals::{Reference, cold_start, fast_burn, features, five_minutes, hour, min_rows, p99};
use crate::plan::units::PositiveDuration;
use schemars::JsonSchema;
use serde::Deserialize;

/// A latency quantile. The interval is that of order statistics (exact binomial ranks in the histogram, whose buckets are within
/// 1/32): it covers at least as often as it says for any number of requests.
///
/// * Units: seconds.
/// * Blind to: requests without an answer, which have no latency; a slow minority smaller than 1 − quantile.
/// * Memory: at most `10000 versions scrapes` bytes.
/// * Source: David and Nagaraja, Order Statistics (2003), 7.1; percentiles of SLOs: Google, Site Reliability Engineering, ch. 4.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct LatencyQuantile {
    /// Which quantile.
    #[serde(default = "p99")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub quantile: f64,
    /// How far back.
    pub window: PositiveDuration,
    /// Of the interval.
    #[serde(flatten)]
    pub level: Level,
}

/// Share of requests that failed, were shed, timed out or reached no replica.
///
/// * Units: a share, 0 to 1.
/// * Blind to: wrong and slow answers.
/// * Memory: at most `10000 versions scrapes` bytes.
/// * Source: Wilson, JASA 22 (1927) 209-212; with `looks = "all"` Clopper and Pearson, Biometrika 26 (1934) 404-413.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ErrorRate {
    /// How far back.
    pub window: PositiveDuration,
    /// Of the interval.
    #[serde(flatten)]
    pub level: Level,
}

/// How fast an error budget burns: the share of bad requests over 1 − SLO, in a long window and a short one. `ratio` is the
/// slower of the two over `factor`; above 1 both windows burn faster than the factor. The workbook pages at 14.4 over 1 h and
/// 5 min and at 6 over 6 h and 30 min, and files a ticket at 1 over 3 d and 6 h: write one signal for each.
///
/// * Units: multiples of the rate that spends the budget exactly.
/// * Blind to: what burns slower than `factor`; wrong answers. At the start windows are shorter than declared, so that a few early
///   failures look like a fire: `min` guards against it.
/// * Memory: at most `10000 versions scrapes` bytes.
/// * Source: Google, The Site Reliability Workbook, chapter 5, sixth approach.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BurnRate {
    /// The promised share of good requests.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub slo: f64,
    /// An answer slower than this is bad, too.
    pub slower_than: Option<PositiveDuration>,
    /// The long window.
    #[serde(default = "hour")]
    pub long: PositiveDuration,
    /// The short window: it ends the alert soon after the trouble.
    #[serde(default = "five_minutes")]
    pub short: PositiveDuration,
    /// The burn rate that alerts.
    #[serde(default = "fast_burn")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub factor: f64,
    /// Fewer requests in the long window than this, or none in the short one, are no measurement.
    #[serde(default = "cold_start")]
    #[schemars(range(min = 1))]
    pub min: u32,
}

/// How full the replicas of a version are: waiting requests by the queue's length, processor time by what there is of it, or
/// memory by its limit.
///
/// * Units: a share, 0 to 1.
/// * Blind to: trouble that leaves replicas idle; bursts between two scrapes (queue and memory are read at scrapes only).
/// * Memory: at most `128 replicas scrapes` bytes.
/// * Source: Google, Site Reliability Engineering, chapter 6 (the four golden signals).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Saturation {
    /// Of what.
    pub of: Resource,
    /// How far back.
    pub window: PositiveDuration,
}

/// What can be full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Resource {
    /// The queue.
    Queue,
    /// The processor.
    Cpu,
    /// The memory.
    Memory,
}

/// Share of values that no healthy input has; the measurement is the worst column, its interval divided by the number of columns
/// (Bonferroni). For `schema` it is the share of rows that do not have the known columns.
///
/// * Units: a share, 0 to 1.
/// * Blind to: wrong values inside the range; columns with more than 1000 distinct values have no categories and are left out.
///   A column that the reference has and the window has not gives no verdict about the others either. Healthy data are not
///   at 0: a new value is outside the range of m reference values with probability 2/(m + 1). Compare with `baseline.` or a limit
///   above that.
/// * Memory: at most `8 columns rows versions + 48 versions scrapes (columns + 4)` bytes; with a reference of `first` or `own` also
///   those of its rows.
/// * Source: Schelter et al., Automating Large-Scale Data Quality Verification, VLDB 11 (2018) 1781-1794.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct DataQuality {
    /// What is counted.
    pub defect: Defect,
    /// `score`, `features`, `all`, or the name of a feature.
    #[serde(default = "features")]
    pub of: String,
    /// How far back.
    pub window: PositiveDuration,
    /// What a healthy input is (out-of-range and unseen).
    #[serde(default)]
    pub reference: Reference,
    /// Fewer rows than this on either side are no measurement.
    #[serde(default = "min_rows")]
    #[schemars(range(min = 1))]
    pub min: u32,
    /// Of the interval.
    #[serde(flatten)]
    pub level: Level,
}

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Defect {
    /// It is missing.
    Missing,
    /// It is outside the range of the reference.
    OutOfRange,
    /// The reference does not have it: a category never seen.
    Unseen,
    /// Its row has other columns than the rest.
    Schema,
}
