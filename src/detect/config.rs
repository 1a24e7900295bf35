//! Owns the typed configuration of signals, and the fields that each kind offers to rules.

use crate::detect::looks::{Across, Looks, Surety};
use crate::detect::sequences::SequenceConfig;
use crate::detect::two_sample::Test;
use crate::detect::verdict::NoVerdict;
use crate::id::{OutcomeId, SegmentId};
use crate::time::Span;
use schemars::JsonSchema;
use serde::Deserialize;

/// One signal of a policy. It is measured for the version under test and, where a rule asks, for the baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalConfig {
    /// Its name in the policy file.
    pub name: String,
    /// What it measures.
    pub kind: SignalKind,
    /// Names of the columns it looks at, in the order of its places; empty where it looks at none by name.
    pub columns: Vec<String>,
}

impl SignalConfig {
    /// A signal that names no columns.
    #[must_use]
    pub fn new(name: &str, kind: SignalKind) -> Self {
        Self { name: name.to_owned(), kind, columns: Vec::new() }
    }

    /// What a measurement is about: the column, or the two groups, by the place that it names.
    #[must_use]
    pub fn about(&self, place: usize) -> Option<String> {
        match &self.kind {
            SignalKind::Fairness(f) => {
                let name = |i: usize| f.names.get(i);
                let groups = f.names.len().max(1);
                Some(format!("{} over {}", name(place / groups)?, name(place % groups)?))
            }
            _ => self.columns.get(place).cloned(),
        }
    }

    /// Why there is no verdict, with the column by its name.
    #[must_use]
    pub fn reason(&self, why: NoVerdict) -> String {
        match why {
            NoVerdict::Column { place, why } => match self.about(place) {
                Some(column) => format!("{why} (`{column}`)"),
                None => NoVerdict::Column { place, why }.to_string(),
            },
            why => why.to_string(),
        }
    }
}

/// How sure an interval is, and of what.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
pub struct Level {
    /// Two-sided confidence of the interval.
    #[serde(default = "confidence")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub confidence: f64,
    /// What the confidence is about.
    #[serde(default)]
    pub looks: Looks,
}

pub(crate) const fn confidence() -> f64 {
    0.95
}

impl Level {
    /// How sure the interval of the `k`-th look must be.
    #[must_use]
    pub fn at(&self, k: u64) -> Surety {
        self.looks.surety(self.confidence, k)
    }

    /// Of one look.
    #[must_use]
    pub const fn each(confidence: f64) -> Self {
        Self { confidence, looks: Looks::Each }
    }
}

/// What a signal measures. Fields of shares and means: `value`, `lower`, `upper` (an interval at the signal's [`Level`]), `n`.
#[derive(Debug, Clone, PartialEq)]
pub enum SignalKind {
    /// A latency quantile of answered requests, in seconds. Fields: `value`, `lower`, `upper`, `n`.
    LatencyQuantile {
        /// In (0, 1).
        quantile: f64,
        /// How far back.
        window: Span,
        /// Of the interval.
        level: Level,
    },
    /// Share of requests without an answer. Fields: `value`, `lower`, `upper` (Wilson), `n`.
    ErrorRate {
        /// How far back.
        window: Span,
        /// Of the interval.
        level: Level,
    },
    /// How fast the error budget burns. Fields: `ratio`, `long`, `short`, `n`.
    BurnRate(BurnRate),
    /// How full replicas are. Fields: `value` (mean over replicas), `max` (the fullest), `n` (replicas).
    Saturation {
        /// Of what.
        of: Resource,
        /// How far back.
        window: Span,
    },
    /// Share of values that no healthy input has. Fields: `value`, `lower`, `upper`, `n`, of the worst column.
    DataQuality(DataQuality),
    /// How good labelled answers are. Fields: `value`, `lower`, `upper`, `n`; of calibration: `brier`, `lower`, `upper`, `ece`,
    /// `p`, `n`.
    Labelled {
        /// By which measure.
        measure: Quality,
        /// The newest so many labels.
        labels: usize,
        /// Fewer labels than this are no measurement.
        min: usize,
        /// A score at or above this is class 1.
        threshold: f64,
        /// Of the interval.
        level: Level,
    },
    /// How good answers would be if scores were calibrated, without any label. Fields: `value`, `lower`, `upper`, `n`.
    Estimate {
        /// The measure that is estimated.
        measure: Estimated,
        /// How far back.
        window: Span,
        /// Fewer answers than this are no measurement.
        min: usize,
        /// A score at or above this is class 1.
        threshold: f64,
        /// Of the interval.
        level: Level,
    },
    /// The largest difference between two groups of users. Fields: `value`, `lower`, `upper`, `ratio`, `n` (the smaller group).
    Fairness(Fairness),
    /// Rate or mean of a business outcome. Fields: `value`, `lower`, `upper`, `n`.
    Outcome {
        /// Which.
        of: OutcomeId,
        /// How far back, in the time at which outcomes became known.
        window: Span,
        /// Fewer than this are no measurement.
        min: usize,
        /// Of the interval.
        level: Level,
    },
    /// A window against a reference: see [`Test::fields`].
    Comparison(Comparison),
    /// A detector or a confidence sequence over single observations: see [`SequenceConfig::fields`].
    Sequence(SequenceConfig),
    /// A coin, thrown at every look: the null model that any policy must beat, with delays and false-alarm shares in closed
    /// form (geometric). Fields: `heads` (0 or 1).
    Coin {
        /// Probability of heads at one look.
        share: f64,
    },
}

/// Multi-window burn rate of an error budget (Google, SRE Workbook, chapter 5): the burn rate of a window is its share of bad
/// requests divided by 1 − SLO; it alerts when both windows burn faster than `factor`. `ratio` is the slower of the two
/// divided by `factor`: above 1 it alerts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BurnRate {
    /// Promised share of good requests.
    pub slo: f64,
    /// An answer slower than this is bad, too.
    pub slower_than: Option<Span>,
    /// The long window.
    pub long: Span,
    /// The short window, which ends the alert soon after the trouble.
    pub short: Span,
    /// The burn rate that alerts.
    pub factor: f64,
    /// Fewer requests in the long window than this are no measurement: the guard against a cold start.
    pub min: u64,
}

/// What can be full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Waiting requests by the queue's length.
    Queue,
    /// Processor time by what there is of it.
    Cpu,
    /// Memory by its limit.
    Memory,
}

/// Data quality of columns.
#[derive(Debug, Clone, PartialEq)]
pub struct DataQuality {
    /// What is counted.
    pub defect: Defect,
    /// Which columns.
    pub of: Columns,
    /// How far back.
    pub window: Span,
    /// What a healthy input is, where that is relative.
    pub reference: Reference,
    /// Fewer rows than this on either side are no measurement.
    pub min: usize,
    /// Of the interval.
    pub level: Level,
}

/// What is wrong with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Defect {
    /// It is missing.
    Missing,
    /// It is below the least or above the greatest value of the reference.
    OutOfRange,
    /// It is a value that the reference does not have.
    Unseen,
    /// Its row has other columns than the rest.
    Schema,
}

impl Defect {
    /// Whether a reference says what is wrong.
    #[must_use]
    pub const fn is_relative(self) -> bool {
        matches!(self, Self::OutOfRange | Self::Unseen)
    }
}

/// A measure over labelled answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quality {
    /// Share of right classes (Wilson's interval; Clopper and Pearson's where it must be exact).
    Accuracy,
    /// Harmonic mean of precision and recall.
    F1,
    /// Area under the ROC curve.
    Auc,
    /// Calibration: Brier score, expected calibration error over so many bins of equal width, Spiegelhalter's test.
    Calibration {
        /// Bins.
        bins: usize,
    },
}

/// A measure that can be estimated from confidence alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Estimated {
    /// Accuracy.
    Accuracy,
    /// F1.
    F1,
}

/// Differences between groups of users.
#[derive(Debug, Clone, PartialEq)]
pub struct Fairness {
    /// Of what.
    pub disparity: Disparity,
    /// The group of each segment, by segment; segments beyond the list, and those of `None`, belong to no group.
    pub groups: Vec<Option<u16>>,
    /// Names of the groups.
    pub names: Vec<String>,
    /// The newest so many labels (equal opportunity), or
    pub labels: usize,
    /// how far back (demographic parity).
    pub window: Span,
    /// A group with fewer than this says nothing.
    pub min: u64,
    /// A score at or above this is class 1.
    pub threshold: f64,
    /// Of the interval.
    pub level: Level,
}

impl Fairness {
    /// The group of a segment.
    #[must_use]
    pub fn group(&self, segment: SegmentId) -> Option<u16> {
        self.groups.get(segment.index()).copied().flatten()
    }
}

/// What is compared between groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disparity {
    /// The share that gets class 1.
    DemographicParity,
    /// Among those of class 1, the share that gets it (true positive rate).
    EqualOpportunity,
}

/// A window against a reference.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Which columns.
    pub of: Columns,
    /// How far back.
    pub window: Span,
    /// Compared with what.
    pub reference: Reference,
    /// Fewer rows than this on either side are no measurement.
    pub min: usize,
    /// How several columns are judged together.
    pub across: Across,
    /// How repeated looks are judged together.
    pub looks: Looks,
    /// How the two are compared.
    pub test: Test,
}

/// Columns a distribution signal looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Columns {
    /// The model's score.
    Score,
    /// One feature, by index in the source.
    Feature(usize),
    /// All features.
    Features,
    /// All features and the score.
    All,
}

impl Columns {
    /// Their places: features in order, then the score.
    #[must_use]
    pub fn places(&self, width: usize) -> std::ops::Range<usize> {
        match self {
            Self::Score => width..width + 1,
            Self::Feature(i) => *i..(*i + 1).min(width),
            Self::Features => 0..width,
            Self::All => 0..width + 1,
        }
    }
}

/// What a distribution signal compares with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reference {
    /// The baseline version's rows of the same window.
    Baseline,
    /// Rows of the first so much time of traffic, whatever version served them.
    First(Span),
    /// The version's own rows of the first so much time that it had traffic: what changed since it went out, whatever it
    /// was like then.
    Own(Span),
}

const INTERVAL: &[&str] = &["value", "lower", "upper", "n"];

impl SignalKind {
    /// A comparison at one look, of several columns by Holm's method.
    #[must_use]
    pub const fn comparison(of: Columns, window: Span, reference: Reference, min: usize, test: Test) -> Self {
        Self::Comparison(Comparison { of, window, reference, min, across: Across::Holm, looks: Looks::Each, test })
    }

    /// The fields a rule may read, in the order measurements carry them.
    #[must_use]
    pub fn fields(&self) -> &'static [&'static str] {
        match self {
            Self::Labelled { measure: Quality::Calibration { .. }, .. } => {
                &["brier", "lower", "upper", "ece", "p", "n"]
            }
            Self::LatencyQuantile { .. }
            | Self::ErrorRate { .. }
            | Self::DataQuality(_)
            | Self::Labelled { .. }
            | Self::Estimate { .. }
            | Self::Outcome { .. } => INTERVAL,
            Self::BurnRate(_) => &["ratio", "long", "short", "n"],
            Self::Saturation { .. } => &["value", "max", "n"],
            Self::Fairness(_) => &["value", "lower", "upper", "ratio", "n"],
            Self::Comparison(c) => c.test.fields(),
            Self::Sequence(s) => s.fields(),
            Self::Coin { .. } => &["heads"],
        }
    }

    /// The least and the greatest value that a field can have, where there are such: of shares, distances between distributions and
    /// p-values, of which a test by permutation has a least one.
    #[must_use]
    pub fn bounds(&self, field: &str) -> Option<(f64, f64)> {
        let interval = ["value", "lower", "upper"].contains(&field);
        let shares = match self {
            Self::ErrorRate { .. } | Self::DataQuality(_) | Self::Estimate { .. } | Self::Fairness(_) => interval,
            Self::Labelled { .. } => interval || ["brier", "ece", "p"].contains(&field),
            Self::Comparison(c) => match (&c.test, field) {
                (Test::Mmd(mmd), "p") => return Some((c.looks.p(1.0 / (mmd.permutations as f64 + 1.0), 1), 1.0)),
                (Test::Ks(_), "d") | (Test::Hellinger(_) | Test::TotalVariation(_), "distance") | (_, "p") => true,
                _ => false,
            },
            _ => false,
        };
        shares.then_some((0.0, 1.0))
    }

    /// What it is compared with inside, if it is.
    #[must_use]
    pub const fn reference(&self) -> Option<Reference> {
        match self {
            Self::Comparison(c) => Some(c.reference),
            Self::DataQuality(d) if d.defect.is_relative() => Some(d.reference),
            Self::Sequence(s) => s.standardise,
            _ => None,
        }
    }

    /// Whether the signal itself compares with the baseline, so that it has no value of its own for the baseline.
    #[must_use]
    pub const fn compares(&self) -> bool {
        matches!(self.reference(), Some(Reference::Baseline))
    }

    /// The length of one evidence window; `None` where it is counted in labels, observations or looks.
    #[must_use]
    pub const fn window(&self) -> Option<Span> {
        match self {
            Self::LatencyQuantile { window, .. }
            | Self::ErrorRate { window, .. }
            | Self::Saturation { window, .. }
            | Self::Estimate { window, .. }
            | Self::Outcome { window, .. } => Some(*window),
            Self::BurnRate(burn) => Some(burn.long),
            Self::DataQuality(quality) => Some(quality.window),
            Self::Comparison(c) => Some(c.window),
            Self::Fairness(f) if matches!(f.disparity, Disparity::DemographicParity) => Some(f.window),
            Self::Fairness(_) | Self::Labelled { .. } | Self::Sequence(_) | Self::Coin { .. } => None,
        }
    }

    /// How far back a measurement looks, in words; `None` for a coin.
    #[must_use]
    pub fn extent(&self) -> Option<String> {
        if let Some(window) = self.window() {
            return Some(format!("over {window}"));
        }
        match self {
            Self::Labelled { labels, .. } | Self::Fairness(Fairness { labels, .. }) => {
                Some(format!("over the newest {labels} labels"))
            }
            Self::Sequence(_) => Some("since its last start".to_owned()),
            _ => None,
        }
    }

    /// Whether it reads features of log rows.
    #[must_use]
    pub fn reads_features(&self) -> bool {
        match self {
            Self::Comparison(c) => c.of != Columns::Score,
            // A schema is that of whole rows, whatever is looked at.
            Self::DataQuality(d) => d.of != Columns::Score || d.defect == Defect::Schema,
            Self::Sequence(s) => s.of.reads_features(),
            _ => false,
        }
    }
}
