//! Owns what users were promised, and by it what a bad request is.

use crate::event::RequestEnd;
use crate::time::Span;

/// What users were promised, and how recovery is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Objective {
    /// An answer later than this is bad.
    pub latency: Option<Span>,
    /// Promised share of requests without an answer (the error budget), per period.
    pub failure_rate: f64,
    /// The period the budget is for.
    pub period: Span,
    /// When an answer is wrong.
    pub loss: Loss,
    /// How recovery is verified.
    pub recovery: Recovery,
}

/// When an answer is wrong against the truth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// Its class at this threshold differs from the true one.
    ZeroOne {
        /// A score at or above this is class 1.
        threshold: f64,
    },
    /// It is further from the true value than this.
    Absolute {
        /// In the unit of the label.
        tolerance: f64,
    },
}

/// The verification window of the *recovered* milestone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Recovery {
    /// Its length.
    pub window: Span,
    /// At least so many requests in it.
    pub requests: u64,
    /// Failures, lateness and loss may each exceed the fault-free world's share by this.
    pub margin: f64,
    /// p99 latency may exceed the fault-free world's by this share.
    pub latency_margin: f64,
    /// The same cause again within this of a recovery is a relapse.
    pub guard: Span,
}

/// Why a request is bad; several reasons can hold at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bad {
    /// No answer.
    pub failed: bool,
    /// An answer later than promised.
    pub late: bool,
    /// An answer that is wrong. Unknown truth is not wrong.
    pub wrong: bool,
}

impl Bad {
    /// Whether any reason holds.
    #[must_use]
    pub const fn any(self) -> bool {
        self.failed || self.late || self.wrong
    }
}

impl Objective {
    /// Judges one ended request.
    #[must_use]
    pub fn judge(&self, end: &RequestEnd) -> Bad {
        if !end.outcome.is_answered() {
            return Bad { failed: true, ..Bad::default() };
        }
        let late = self.latency.is_some_and(|limit| end.ended.since(end.arrived) > limit);
        Bad { failed: false, late, wrong: self.loss.is_wrong(end.score, end.truth) }
    }
}

impl Loss {
    /// Whether `score` is wrong against `truth`; unknown truth (NaN) is not wrong, a NaN score against a known truth is.
    #[must_use]
    pub fn is_wrong(self, score: f32, truth: f32) -> bool {
        if truth.is_nan() {
            return false;
        }
        match self {
            Self::ZeroOne { threshold } => score.is_nan() || (f64::from(score) >= threshold) != (truth >= 0.5),
            // Written so that a NaN score is wrong.
            Self::Absolute { tolerance } => {
                let error = (f64::from(score) - f64::from(truth)).abs();
                error.is_nan() || error > tolerance
            }
        }
    }
}
