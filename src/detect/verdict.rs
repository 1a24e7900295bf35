//! Owns the reasons why a look at a signal gives no verdict: no data is not zero, and not health either.

use crate::detect::two_sample::{self, Side};
use std::fmt;

/// Why there is no verdict.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NoVerdict {
    /// Nothing was observed.
    Empty,
    /// Fewer observations than the signal's minimum.
    TooFew {
        /// What there is.
        got: u64,
        /// What is needed.
        need: u64,
    },
    /// The reference is not complete yet, or has too few observations.
    NoReference {
        /// What there is.
        got: u64,
        /// What is needed.
        need: u64,
    },
    /// What is usual is still being learned.
    Learning,
    /// Every value is missing.
    AllMissing,
    /// All values are equal: nothing that this signal looks at can be said.
    NoSpread,
    /// An infinite value where the statistic is not defined.
    NotFinite,
    /// One class only: ranking and recall are not defined.
    OneClass,
    /// The version is compared with itself.
    Itself,
    /// Fewer than two groups have the minimum.
    OneGroup,
    /// One of several columns cannot be judged, and so none: a verdict about the others would hide it.
    Column {
        /// Which, by place among those of the signal.
        place: usize,
        /// The reason.
        why: &'static str,
    },
    /// Beside it there is nothing of the same time.
    Alone,
    /// The test is not defined for what was observed.
    Undefined(&'static str),
    /// The telemetry of this scrape did not arrive.
    Gap,
}

impl From<two_sample::NoVerdict> for NoVerdict {
    fn from(why: two_sample::NoVerdict) -> Self {
        use two_sample::NoVerdict as Why;
        match why {
            Why::Empty { side: Side::Window } => Self::Empty,
            Why::Empty { side: Side::Reference } => Self::NoReference { got: 0, need: 1 },
            Why::AllMissing { .. } => Self::AllMissing,
            Why::TooFew { side: Side::Window, rows, needed } => Self::TooFew { got: rows as u64, need: needed as u64 },
            Why::TooFew { side: Side::Reference, rows, needed } => {
                Self::NoReference { got: rows as u64, need: needed as u64 }
            }
            Why::Infinite { .. } => Self::NotFinite,
            Why::NoSpread => Self::NoSpread,
            Why::NoBandwidth => Self::Undefined("the median distance is 0: give a bandwidth"),
            Why::Sparse => Self::Undefined("nearly every value is a category of its own: take another binning"),
            Why::Noise => Self::Undefined("both sides are constant, where Kayenta adds random noise"),
            Why::Shape => Self::Undefined("the two sides do not have the same columns"),
            Why::Parameter { .. } => Self::Undefined("a parameter is out of its range"),
        }
    }
}

impl NoVerdict {
    /// The reason without its numbers: what is counted together.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Empty => "nothing observed",
            Self::TooFew { .. } => "too few observations",
            Self::NoReference { .. } => "no reference yet",
            Self::Learning => "still learning what is usual",
            Self::AllMissing => "all values missing",
            Self::NoSpread => "all values equal",
            Self::NotFinite => "infinite values",
            Self::OneClass => "one class only",
            Self::Itself => "compared with itself",
            Self::OneGroup => "no two groups large enough",
            Self::Column { why, .. } | Self::Undefined(why) => why,
            Self::Alone => "nothing of the same time beside it",
            Self::Gap => "telemetry missing",
        }
    }
}

impl fmt::Display for NoVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooFew { got, need } | Self::NoReference { got, need } => {
                write!(f, "{} ({got} of {need})", self.kind())
            }
            // By its name: `SignalConfig::reason`.
            Self::Column { place, why } => write!(f, "{why} (column {})", place + 1),
            _ => f.write_str(self.kind()),
        }
    }
}
