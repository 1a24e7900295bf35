//! Owns the wire form of signals: one kind for each detector, with the parameters that the detector's own configuration has.
//!
//! Doc comments here and on the configurations are what editors, `rollcage schema` and `rollcage explain` show.

mod labelled;

use crate::detect::looks::{Across, Looks};
use crate::detect::sequential as seq;
use crate::detect::two_sample as two;
use crate::plan::scenario::half;
use crate::plan::units::{PositiveDuration, Share};
use crate::time::Span;
pub use labelled::{Calibration, LabelWindow, Labelled, Ranked};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One signal; each kind offers its own fields to rules. `rollcage explain KIND` says what it computes, from which source, and
/// what it is blind to.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Signal {
    /// A latency quantile of answered requests, in seconds. Fields: value, lower, upper, n.
    LatencyQuantile(LatencyQuantile),
    /// Share of requests without an answer, with a Wilson interval. Fields: value, lower, upper, n.
    ErrorRate(ErrorRate),
    /// Burn rate of an error budget over two windows. Fields: ratio (above 1 it alerts), long, short, n.
    BurnRate(BurnRate),
    /// How full replicas are. Fields: value (mean share), max (the fullest), n (replicas).
    Saturation(Saturation),
    /// Share of values that no healthy input has, of the worst column. Fields: value, lower, upper, n.
    DataQuality(DataQuality),
    /// Share of right classes among the newest labelled answers of a version. Fields: value, lower, upper, n.
    ///
    /// The class of an answer is 1 from `threshold` up; `lower` and `upper` are Wilson's interval.
    ///
    /// * Units: a share, 0 to 1.
    /// * Blind to: everything younger than the label delay; answers whose labels never come; a rare class that is always missed.
    /// * Memory: at most `64 labels versions + 48 requests` bytes.
    /// * Source: Wilson, JASA 22 (1927) 209-212.
    Accuracy(Labelled),
    /// F1 of class 1 among the newest labelled answers of a version. Fields: value, lower, upper, n.
    ///
    /// The harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN), where an answer is positive from `threshold` up; `lower`
    /// and `upper` are its interval by the delta method.
    ///
    /// * Units: a share, 0 to 1.
    /// * Blind to: right answers of class 0; everything younger than the label delay; answers whose labels never come.
    /// * Memory: at most `64 labels versions + 48 requests` bytes.
    /// * Source: van Rijsbergen, Information Retrieval, 2nd ed. (1979), chapter 7.
    F1(Labelled),
    /// Area under the ROC curve among the newest labelled answers of a version. Fields: value, lower, upper, n.
    ///
    /// The chance that an answer of class 1 has a higher score than one of class 0, ties half; 0.5 is guessing. `lower` and `upper`
    /// are DeLong's interval.
    ///
    /// * Units: a share, 0 to 1.
    /// * Blind to: any increasing change of all scores, so to calibration and to where classes are cut; everything younger than the
    ///   label delay; answers whose labels never come.
    /// * Memory: at most `64 labels versions + 48 requests` bytes.
    /// * Source: Mann and Whitney 1947; DeLong et al., Biometrics 44 (1988) 837-845.
    Auc(Ranked),
    /// How far scores are from the shares they promise, among labelled answers. Fields: brier, lower, upper, ece, p, n.
    Calibration(Calibration),
    /// Accuracy or F1 as confidence promises it, without labels. Fields: value, lower, upper, n.
    PerformanceEstimate(PerformanceEstimate),
    /// The largest difference between two groups of users. Fields: value, lower, upper, ratio, n (of the smaller group).
    Fairness(Fairness),
    /// Rate or mean of a business outcome that the scenario declares. Fields: value, lower, upper, n.
    Outcome(Outcome),

    /// Two-sample Kolmogorov-Smirnov test.
    Ks(Compared<two::Ks>),
    /// Population stability index.
    Psi(Compared<two::Psi>),
    /// Jensen-Shannon distance over quantile bins of the reference.
    JensenShannon(Compared<two::JensenShannon>),
    /// Hellinger distance over quantile bins of the reference.
    Hellinger(Compared<two::Hellinger>),
    /// Total variation distance over quantile bins of the reference.
    TotalVariation(Compared<two::TotalVariation>),
    /// Wasserstein-1 distance.
    Wasserstein(Compared<two::Wasserstein>),
    /// Energy distance.
    Energy(Compared<two::Energy>),
    /// Chi-squared test of categories, or of quantile bins of the reference.
    ChiSquared(Compared<two::ChiSquared>),
    /// Mann-Whitney test with the Hodges-Lehmann shift.
    MannWhitney(Compared<two::MannWhitney>),
    /// Welch's test of two means.
    Welch(Compared<two::Welch>),
    /// Cramér-von Mises test.
    CramerVonMises(Compared<two::CramerVonMises>),
    /// Anderson-Darling test.
    AndersonDarling(Compared<two::AndersonDarling>),
    /// The judge of Kayenta: Mann-Whitney's interval against a quarter of the shift.
    Kayenta(Compared<two::Kayenta>),
    /// Maximum mean discrepancy over all columns at once: it sees a changed correlation that no single column shows.
    Mmd(Compared<two::Mmd>),

    /// Cumulative sum chart for a shift of the mean.
    Cusum(Followed<seq::CusumConfig>),
    /// Exponentially weighted moving average chart.
    Ewma(Followed<seq::EwmaConfig>),
    /// Shiryaev-Roberts chart for a shift of a Gaussian mean.
    ShiryaevRoberts(Followed<seq::ShiryaevRobertsConfig>),
    /// Page-Hinkley test against the running mean.
    PageHinkley(Followed<seq::PageHinkleyConfig>),
    /// Adaptive window.
    Adwin(Followed<seq::AdwinConfig>),
    /// Drift detection method: the error rate against its best.
    Ddm(Followed<seq::DdmConfig>),
    /// Early drift detection method: the distance between errors against its best.
    Eddm(Followed<seq::EddmConfig>),
    /// Hoeffding's bound on means before and after a cut.
    HddmA(Followed<seq::HddmAConfig>),
    /// McDiarmid's bound on weighted means before and after a cut.
    HddmW(Followed<seq::HddmWConfig>),
    /// Hoeffding's bound on a sliding window's mean against its best.
    Fhddm(Followed<seq::FhddmConfig>),
    /// Two-sample Kolmogorov-Smirnov test within a sliding window.
    Kswin(Followed<seq::KswinConfig>),
    /// Sequential probability ratio test between two error rates.
    SprtBernoulli(Followed<seq::SprtBernoulliConfig>),
    /// Sequential probability ratio test between two Gaussian means.
    SprtGaussian(Followed<seq::SprtGaussianConfig>),
    /// Mixture sequential probability ratio test of a Gaussian mean, valid at any time.
    Msprt(Followed<seq::MsprtConfig>),
    /// E-detector for the mean of a bounded metric: its false-alarm guarantee needs no distribution.
    EDetector(Followed<seq::EDetectorConfig>),
    /// Exponentially weighted moving average chart of an unknown error rate.
    Ecdd(Followed<seq::EcddConfig>),
    /// Test of equal proportions between recent and earlier answers.
    Stepd(Followed<seq::StepdConfig>),
    /// Reactive drift detection method: DDM that forgets old observations.
    Rddm(Followed<seq::RddmConfig>),
    /// The cumulative sum of frouros, against the running mean.
    FrourosCusum(Followed<seq::FrourosCusumConfig>),
    /// The Page-Hinkley test of frouros, whose sum is not compared with its minimum.
    FrourosPageHinkley(Followed<seq::FrourosPageHinkleyConfig>),
    /// Confidence sequence of a mean: an interval that holds at every look together. Fields: value, lower, upper, n.
    ConfidenceSequence(ConfidenceSequence),

    /// A coin, thrown at every look: the null model that any policy must beat. Fields: heads (0 or 1).
    Coin(Coin),
}

macro_rules! defaults {
    ($($name:ident: $type:ty = $value:expr;)*) => {$(
        fn $name() -> $type {
            $value
        }
    )*};
}
defaults! {
    p99: f64 = 0.99;
    confidence: f64 = 0.95;
    min_labels: u32 = 30;
    min_rows: u32 = 50;
    min_group: u32 = 30;
    calibration_bins: u32 = 10;
    fast_burn: f64 = 14.4;
    hour: PositiveDuration = PositiveDuration(Span::secs(3600));
    five_minutes: PositiveDuration = PositiveDuration(Span::secs(300));
    cold_start: u32 = 1_000;
    features: String = "features".to_owned();
    unit: [f64; 2] = [0.0, 1.0];
    tuned: u32 = 1_000;
}

/// A latency quantile. The interval is that of order statistics (binomial ranks in the histogram, whose buckets are within
/// 1/32).
///
/// * Units: seconds.
/// * Blind to: requests without an answer, which have no latency; a slow minority smaller than 1 − quantile.
/// * Memory: at most `10000 versions scrapes` bytes.
/// * Source: David and Nagaraja, Order Statistics (2003), 7.1; percentiles of SLOs: Google, Site Reliability Engineering, ch. 4.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LatencyQuantile {
    /// Which quantile.
    #[serde(default = "p99")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub quantile: f64,
    /// How far back.
    pub window: PositiveDuration,
    /// Two-sided confidence of the interval.
    #[serde(default = "confidence")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub confidence: f64,
    /// What the confidence is about.
    #[serde(default)]
    pub looks: Looks,
}

/// Share of requests that failed, were shed, timed out or reached no replica.
///
/// * Units: a share, 0 to 1.
/// * Blind to: wrong and slow answers.
/// * Memory: at most `10000 versions scrapes` bytes.
/// * Source: Wilson, JASA 22 (1927) 209-212.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorRate {
    /// How far back.
    pub window: PositiveDuration,
    /// Two-sided confidence of the interval.
    #[serde(default = "confidence")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub confidence: f64,
    /// What the confidence is about.
    #[serde(default)]
    pub looks: Looks,
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
    /// Fewer requests in the long window than this are no measurement.
    #[serde(default = "cold_start")]
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
/// (Bonferroni).
///
/// * Units: a share, 0 to 1.
/// * Blind to: wrong values inside the range; columns with more than 1000 distinct values have no categories. Healthy data are not
///   at 0: a new value is outside the range of m reference values with probability 2/(m + 1). Compare with `baseline.` or a limit
///   above that.
/// * Memory: at most `8 columns rows versions + 48 versions scrapes (columns + 4)` bytes; with a reference of `first` or `own` also
///   those of its rows.
/// * Source: Schelter et al., Automating Large-Scale Data Quality Verification, VLDB 11 (2018) 1781-1794.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataQuality {
    /// What is counted.
    pub defect: Defect,
    /// `score`, `features`, `all`, or the name of a feature.
    #[serde(default = "features")]
    pub of: String,
    /// How far back.
    pub window: PositiveDuration,
    /// What a healthy input is.
    #[serde(default)]
    pub reference: Reference,
    /// Fewer rows than this on either side are no measurement.
    #[serde(default = "min_rows")]
    #[schemars(range(min = 1))]
    pub min: u32,
    /// Two-sided confidence of the interval.
    #[serde(default = "confidence")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub confidence: f64,
    /// What the confidence is about.
    #[serde(default)]
    pub looks: Looks,
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

/// Accuracy or F1 as the model's own confidence promises it: no label is needed, so nothing is waited for.
///
/// * Units: a share, 0 to 1.
/// * Blind to: a model that is sure and wrong (concept drift, swapped features, corrupted weights): it assumes calibrated scores.
/// * Memory: at most `512 versions scrapes` bytes.
/// * Source: confidence-based performance estimation, NannyML documentation; Garg et al., ICLR 2022.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
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
    /// Two-sided confidence of the interval.
    #[serde(default = "confidence")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub confidence: f64,
    /// What the confidence is about.
    #[serde(default)]
    pub looks: Looks,
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

/// The largest difference between two groups of users, with the interval of that pair, its error divided by the number of pairs
/// (Bonferroni). `ratio` is the smaller share over the larger one.
///
/// * Units: a difference of shares, 0 to 1.
/// * Blind to: differences inside a group; groups smaller than `min`; with `equal-opportunity`, everything younger than the label
///   delay.
/// * Memory: at most `versions scrapes (16 groups + 128)` bytes with `demographic-parity`; with `equal-opportunity` 64 for each of
///   `labels` and version and 48 for each request that may still be labelled.
/// * Source: Hardt, Price and Srebro, NeurIPS 2016; definitions as fairlearn's; interval: Newcombe, Statistics in Medicine 17
///   (1998) 873-890.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fairness {
    /// What is compared.
    #[serde(default)]
    pub disparity: Disparity,
    /// The segment column whose values are the groups; without it each segment is a group.
    pub by: Option<String>,
    /// How far back (demographic-parity).
    pub window: Option<PositiveDuration>,
    /// The newest so many labels (equal-opportunity).
    pub labels: Option<u32>,
    /// A group with fewer users than this says nothing.
    #[serde(default = "min_group")]
    #[schemars(range(min = 1))]
    pub min: u32,
    /// A score at or above this is class 1.
    #[serde(default = "half")]
    pub threshold: Share,
    /// Two-sided confidence of the interval.
    #[serde(default = "confidence")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub confidence: f64,
    /// What the confidence is about.
    #[serde(default)]
    pub looks: Looks,
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
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// Its name in the scenario.
    pub of: String,
    /// How far back, in the time at which outcomes became known.
    pub window: PositiveDuration,
    /// Fewer than this are no measurement.
    #[serde(default = "min_rows")]
    #[schemars(range(min = 2))]
    pub min: u32,
    /// Two-sided confidence of the interval.
    #[serde(default = "confidence")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub confidence: f64,
    /// What the confidence is about.
    #[serde(default)]
    pub looks: Looks,
}

/// A window against a reference.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Compared<T> {
    /// `score`, `features`, `all`, or the name of a feature.
    pub of: String,
    /// How far back.
    pub window: PositiveDuration,
    /// Compared with what.
    #[serde(default)]
    pub reference: Reference,
    /// Fewer rows than this on either side are no measurement.
    #[serde(default = "min_rows")]
    #[schemars(range(min = 1))]
    pub min: u32,
    /// How p-values of several columns are judged together.
    #[serde(default)]
    pub across: Across,
    /// What a p-value is about.
    #[serde(default)]
    pub looks: Looks,
    /// The test's own parameters.
    #[serde(flatten)]
    pub test: T,
}

/// A detector over single observations.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Followed<D> {
    /// What is followed: `score`, `confidence`, `latency` (seconds), `failure` (0 or 1), `wrong`, `absolute-error` and
    /// `squared-error` (when the label comes), `outcome.NAME`, or the name of a feature.
    pub of: String,
    /// A score at or above this is class 1 (`wrong`).
    #[serde(default = "half")]
    pub class_threshold: Share,
    /// Look at (value − mean) / standard deviation of this reference instead of the value. Run lengths and levels that are told
    /// here are those of a known level and spread: with estimated ones false alarms come more often.
    pub standardise: Option<Reference>,
    /// The detector's own parameters.
    #[serde(flatten)]
    pub detector: D,
}

/// An interval for a mean that covers at all looks together, however long one looks and whenever one stops.
///
/// * Units: those of what is followed; `range` too.
/// * Blind to: a change late in a long run, which the average of all observations hides (use a detector for that).
/// * False alarms: the chance that the interval ever misses the true mean is at most 1 − confidence.
/// * Memory: at most `300 versions + 16 observations` bytes.
/// * Source: Waudby-Smith and Ramdas, JRSS B 86 (2024) 1-27 (empirical Bernstein); Howard et al., Annals of Statistics 49 (2021)
///   1055-1080 (beta-binomial mixture for rates).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfidenceSequence {
    /// What is followed: see the sequential kinds.
    pub of: String,
    /// A score at or above this is class 1 (`wrong`).
    #[serde(default = "half")]
    pub class_threshold: Share,
    /// How the interval is made.
    #[serde(default)]
    pub method: SequenceMethod,
    /// The least and the greatest value there can be (empirical-bernstein); others are taken as the nearer end.
    #[serde(default = "unit")]
    pub range: [f64; 2],
    /// The number of observations at which the interval is to be narrowest (beta-binomial).
    #[serde(default = "tuned")]
    #[schemars(range(min = 1))]
    pub tuned_for: u32,
    /// Two-sided confidence, of all looks together.
    #[serde(default = "confidence")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub confidence: f64,
}

/// How a confidence sequence is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SequenceMethod {
    /// For any metric within known bounds.
    #[default]
    EmpiricalBernstein,
    /// For rates: values of 0 and 1.
    BetaBinomial,
}

/// A coin: heads with probability `share` at each look, whatever was observed. A rule on it fires after 1 / `share` looks on
/// average (geometrically), fault or no fault: a policy that is no better than that has learned nothing.
///
/// * Units: `heads`: 0 or 1, none.
/// * Blind to: everything.
/// * Memory: at most `100` bytes.
/// * Source: own, from a random stream named in the plan.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Coin {
    /// Probability of heads at one look.
    pub share: Share,
}

/// What a distribution is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reference {
    /// The version beside it, at the same time.
    #[default]
    Baseline,
    /// The first so much time of traffic, whatever version served it.
    First(PositiveDuration),
    /// The version's own first so much time of traffic: what changed since it went out.
    Own(PositiveDuration),
}
