//! Owns the typed configuration of signals, and the fields that each kind offers to rules.

use crate::time::Span;

/// One signal of a policy. It is measured for the version under test and, where a rule asks, for the baseline.
#[derive(Debug, Clone, PartialEq)]
pub struct SignalConfig {
    /// Its name in the policy file.
    pub name: String,
    /// What it measures.
    pub kind: SignalKind,
}

/// What a signal measures.
#[derive(Debug, Clone, PartialEq)]
pub enum SignalKind {
    /// A latency quantile of answered requests. Fields: `value` (seconds), `n`.
    LatencyQuantile {
        /// In (0, 1).
        quantile: f64,
        /// How far back.
        window: Span,
    },
    /// Share of requests without an answer. Fields: `value`, `lower`, `upper` (Wilson), `n`.
    ErrorRate {
        /// How far back.
        window: Span,
        /// Two-sided confidence of the interval.
        confidence: f64,
    },
    /// Share of right classes among labelled answers. Fields: `value`, `lower`, `upper` (Wilson), `n`.
    Accuracy {
        /// The newest so many labels.
        labels: usize,
        /// Fewer labels than this are no measurement.
        min: usize,
        /// A score at or above this is class 1.
        threshold: f64,
        /// Two-sided confidence of the interval.
        confidence: f64,
    },
    /// Two-sample Kolmogorov-Smirnov. Fields: `d`, `p`, `n`. Over several columns: the largest D and the smallest p times
    /// the number of columns (Bonferroni), at most 1.
    Ks {
        /// Which columns.
        of: Columns,
        /// How far back.
        window: Span,
        /// Compared with what.
        reference: Reference,
        /// Fewer rows than this on either side are no measurement.
        min: usize,
    },
    /// Population stability index over quantile bins of the reference. Fields: `value`, `ratio` (value divided by the
    /// calibrated threshold for these sample sizes at `alpha`), `n`. Over several columns: the largest.
    Psi {
        /// Which columns.
        of: Columns,
        /// How far back.
        window: Span,
        /// Compared with what.
        reference: Reference,
        /// Quantile bins of the reference.
        bins: usize,
        /// False-alarm probability of one look, from which the calibrated threshold follows (divided by the number of
        /// columns).
        alpha: f64,
        /// Fewer rows than this on either side are no measurement.
        min: usize,
    },
    /// A coin, thrown at every look: the null model that any policy must beat, with delays and false-alarm shares in closed
    /// form (geometric). Fields: `heads` (0 or 1).
    Coin {
        /// Probability of heads at one look.
        share: f64,
    },
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

impl SignalKind {
    /// The fields a rule may read, in the order measurements carry them.
    #[must_use]
    pub const fn fields(&self) -> &'static [&'static str] {
        match self {
            Self::LatencyQuantile { .. } => &["value", "n"],
            Self::ErrorRate { .. } | Self::Accuracy { .. } => &["value", "lower", "upper", "n"],
            Self::Ks { .. } => &["d", "p", "n"],
            Self::Psi { .. } => &["value", "ratio", "n"],
            Self::Coin { .. } => &["heads"],
        }
    }

    /// Whether the signal itself compares with the baseline, so that it has no value of its own for the baseline.
    #[must_use]
    pub const fn compares(&self) -> bool {
        matches!(
            self,
            Self::Ks { reference: Reference::Baseline, .. } | Self::Psi { reference: Reference::Baseline, .. }
        )
    }

    /// The length of one evidence window; `None` where it is counted in labels or looks.
    #[must_use]
    pub const fn window(&self) -> Option<Span> {
        match self {
            Self::LatencyQuantile { window, .. }
            | Self::ErrorRate { window, .. }
            | Self::Ks { window, .. }
            | Self::Psi { window, .. } => Some(*window),
            Self::Accuracy { .. } | Self::Coin { .. } => None,
        }
    }
}
