//! Owns the wire form of signals: one kind for each detector, with the parameters that the detector's own configuration has.
//!
//! Doc comments here and on the configurations are what editors, `rollcage schema` and `rollcage explain` show.

mod quality;
mod service;

pub use quality::{Calibration, Disparity, Estimated, Fairness, Labelled, Outcome, PerformanceEstimate, Ranked};
pub use service::{BurnRate, DataQuality, Defect, ErrorRate, LatencyQuantile, Resource, Saturation};

use crate::detect::config::confidence;
use crate::detect::looks::{Across, Looks};
use crate::detect::sequential as seq;
use crate::detect::two_sample as two;
use crate::plan::scenario::half;
use crate::plan::units::{PositiveDuration, Share};
use crate::time::Span;
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
    /// Share of values that no healthy input has, of the worst column; or of rows of another schema. Fields: value, lower, upper, n.
    DataQuality(DataQuality),
    /// Share of right classes among the newest labelled answers of a version. Fields: value, lower, upper, n.
    ///
    /// The class of an answer is 1 from `threshold` up; `lower` and `upper` are Wilson's interval.
    ///
    /// * Units: a share, 0 to 1.
    /// * Blind to: everything younger than the label delay; answers whose labels never come; a rare class that is always missed.
    /// * Memory: at most `2048 labels versions + 48 requests` bytes.
    /// * Source: Wilson, JASA 22 (1927) 209-212.
    Accuracy(Labelled),
    /// F1 of class 1 among the newest labelled answers of a version. Fields: value, lower, upper, n.
    ///
    /// The harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN), where an answer is positive from `threshold` up; `lower`
    /// and `upper` are its interval by the delta method.
    ///
    /// * Units: a share, 0 to 1.
    /// * Blind to: right answers of class 0; everything younger than the label delay; answers whose labels never come.
    /// * Memory: at most `2048 labels versions + 48 requests` bytes.
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
    /// * Memory: at most `2048 labels versions + 48 requests` bytes.
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

    /// Two-sample Kolmogorov-Smirnov. Fields: d, p, location, sign, n, m.
    Ks(Compared<two::Ks>),
    /// Population stability index. Fields: value, threshold, ratio (above 1 it has moved), n, m.
    Psi(Compared<two::Psi>),
    /// Jensen-Shannon distance over quantile bins of the reference. Fields: distance, divergence, n, m.
    JensenShannon(Compared<two::JensenShannon>),
    /// Hellinger distance over quantile bins of the reference. Fields: distance, n, m.
    Hellinger(Compared<two::Hellinger>),
    /// Total variation distance over quantile bins of the reference. Fields: distance, n, m.
    TotalVariation(Compared<two::TotalVariation>),
    /// Wasserstein-1 distance. Fields: distance, n, m.
    Wasserstein(Compared<two::Wasserstein>),
    /// Energy distance. Fields: distance, coefficient, n, m.
    Energy(Compared<two::Energy>),
    /// Chi-squared test of categories, or of quantile bins of the reference. Fields: statistic, p, df, n, m.
    ChiSquared(Compared<two::ChiSquared>),
    /// Mann-Whitney test with the Hodges-Lehmann shift. Fields: u, p, shift, lower, upper, cles, n, m.
    MannWhitney(Compared<two::MannWhitney>),
    /// Welch's test of two means. Fields: t, p, df, difference, n, m.
    Welch(Compared<two::Welch>),
    /// Cramér-von Mises test. Fields: t, p, n, m.
    CramerVonMises(Compared<two::CramerVonMises>),
    /// Anderson-Darling test. Fields: a2, p, n, m.
    AndersonDarling(Compared<two::AndersonDarling>),
    /// The judge of Kayenta: Mann-Whitney's interval against a quarter of the shift. Fields: high, low, shift, lower, upper,
    /// bound, effect, n, m.
    Kayenta(Compared<two::Kayenta>),
    /// Maximum mean discrepancy over all columns at once: it sees a changed correlation that no single column shows. Fields:
    /// mmd2, p, threshold, biased, bandwidth, n, m.
    Mmd(Compared<two::Mmd>),

    /// Cumulative sum chart for a shift of the mean. Fields of all sequential kinds: alarm (signals since the last look),
    /// warning, statistic, threshold, n; the last three as they were at the last of these alarms, or without one as they stand.
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
    /// Confidence sequence of a mean: an interval that holds at every look together. Fields: value, lower, upper, n, outside (values
    /// beyond `range`).
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
    /// How several columns are judged together: their p-values; or, where a test spends an error itself in a threshold or an
    /// interval (`psi`, `mann-whitney`, `kayenta`), the share of it that each column has.
    #[serde(default)]
    pub across: Across,
    /// What a p-value, a threshold or an interval is about.
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
    /// `squared-error` (when the label comes; until then its score waits, in at most `48 requests` bytes), `outcome.NAME`, or the
    /// name of a feature.
    pub of: String,
    /// A score at or above this is class 1 (`wrong`).
    #[serde(default = "half")]
    pub class_threshold: Share,
    /// Look at (value − mean) / standard deviation of this reference instead of the value. With `first` and `own`: of what became
    /// known in that time (and until there are 30 values); until then there is no measurement. With `"baseline"`: of what the
    /// baseline tells at the same scrape, at least 30 values, of requests from the time in which both versions answered; since
    /// that mean is not known exactly, the deviation is taken sqrt(1 + n/m) times as large for n values against its m.
    ///
    /// A level that is learned is not known: false-alarm figures in the detectors' texts are for a known one, and do not hold
    /// here. A chart that learned from m values takes the error of their mean, some 1/sqrt(m) standard deviations, for a shift;
    /// leave room for it in limits and allowances.
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
/// * Memory: at most `300 versions + 32 observations` bytes.
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
    /// The least and the greatest value there can be (empirical-bernstein), needed unless values are 0 and 1; others are taken as
    /// the nearer end and counted as `outside`.
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

/// A window counted in labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelWindow {
    /// The newest so many labels.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub labels: u32,
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
