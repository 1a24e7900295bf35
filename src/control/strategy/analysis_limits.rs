//! Owns what a metric of an Argo Rollouts analysis bears, and what is counted of it.
//!
//! Source: the fields of `Metric` and `MetricResult` in `pkg/apis/rollouts/v1alpha1/analysis_types.go`, the defaults and the
//! validation in `utils/defaults` and `utils/analysis/factory.go` of <https://github.com/argoproj/argo-rollouts>.

use super::analysis_rules::Phase;
use crate::time::Span;

/// How often a metric is measured, and how much it bears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From the end of one measurement to the next.
    pub interval: Option<Span>,
    /// How many measurements; 0: one without an interval, no end with one.
    pub count: u32,
    /// From the start of the run to the first measurement.
    pub initial_delay: Option<Span>,
    /// The metric fails with more failed measurements; −1: never.
    pub failure_limit: i64,
    /// The metric is inconclusive with more inconclusive measurements.
    pub inconclusive_limit: i64,
    /// The metric is an error with more errors in a row.
    pub consecutive_error_limit: i64,
    /// The metric is successful with so many successes in a row; 0: not by that.
    pub consecutive_success_limit: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            interval: None,
            count: 0,
            initial_delay: None,
            failure_limit: 0,
            inconclusive_limit: 0,
            consecutive_error_limit: 4,
            consecutive_success_limit: 0,
        }
    }
}

impl Limits {
    /// How many measurements there are in all; `None`: no end.
    #[must_use]
    pub const fn effective_count(&self) -> Option<u32> {
        match (self.count, self.interval) {
            (0, None) => Some(1),
            (0, Some(_)) => None,
            (count, _) => Some(count),
        }
    }

    /// Whether no more measurements are wanted.
    pub(super) fn is_reached(&self, counters: &Counters) -> bool {
        self.effective_count().is_some_and(|count| counters.count >= count)
    }

    /// What is wrong with the limits; empty if nothing.
    #[must_use]
    pub fn mistakes(&self) -> Vec<BadLimits> {
        let (count, failures, successes) = (i64::from(self.count), self.failure_limit, self.consecutive_success_limit);
        let mut bad = Vec::new();
        if self.count > 0 && failures >= 0 && successes >= 0 && count < failures.saturating_add(successes) {
            bad.push(BadLimits::CountBelowFailures { count, failures, successes });
        }
        if self.count > 0 && count < self.inconclusive_limit {
            bad.push(BadLimits::CountBelowInconclusive);
        }
        if self.count > 1 && self.interval.is_none() {
            bad.push(BadLimits::NoInterval);
        }
        if failures < -1 {
            bad.push(BadLimits::NegativeFailures);
        }
        if failures == -1 && successes <= 0 {
            bad.push(BadLimits::NoLimit);
        }
        if self.inconclusive_limit < 0 {
            bad.push(BadLimits::Negative("inconclusiveLimit"));
        }
        if self.consecutive_error_limit < 0 {
            bad.push(BadLimits::Negative("consecutiveErrorLimit"));
        }
        if successes < 0 {
            bad.push(BadLimits::Negative("consecutiveSuccessLimit"));
        }
        bad
    }
}

/// Limits that contradict each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadLimits {
    /// So few measurements can never reach the limits.
    #[error(
        "count ({count}) must be >= failureLimit + consecutiveSuccessLimit ({failures} + {successes}) if both >= 0"
    )]
    CountBelowFailures {
        /// `count`
        count: i64,
        /// `failureLimit`
        failures: i64,
        /// `consecutiveSuccessLimit`
        successes: i64,
    },
    /// So few measurements can never exceed the limit.
    #[error("count must be >= inconclusiveLimit")]
    CountBelowInconclusive,
    /// Several measurements need a rhythm.
    #[error("interval must be specified when count > 1")]
    NoInterval,
    /// Below "never".
    #[error("failureLimit must be >= 0, or -1 to be disabled")]
    NegativeFailures,
    /// Nothing could ever decide.
    #[error("failureLimit and consecutiveSuccessLimit cannot both be disabled")]
    NoLimit,
    /// A limit below zero.
    #[error("{0} must be >= 0")]
    Negative(&'static str),
}

/// What was counted of one metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Good measurements.
    pub successful: u32,
    /// Bad measurements.
    pub failed: u32,
    /// Measurements that are neither.
    pub inconclusive: u32,
    /// Measurements that could not be made.
    pub error: u32,
    /// Measurements that could be made.
    pub count: u32,
    /// Errors in a row up to now.
    pub consecutive_error: u32,
    /// Successes in a row up to now.
    pub consecutive_success: u32,
}

impl Counters {
    /// Counts a measurement that ended in `phase`; one that has not ended is not counted.
    pub const fn record(&mut self, phase: Phase) {
        let (counter, made) = match phase {
            Phase::Successful => (&mut self.successful, true),
            Phase::Failed => (&mut self.failed, true),
            Phase::Inconclusive => (&mut self.inconclusive, true),
            Phase::Error => (&mut self.error, false),
            Phase::Running | Phase::Pending => return,
        };
        *counter = counter.saturating_add(1);
        if made {
            self.count = self.count.saturating_add(1);
            self.consecutive_error = 0;
        } else {
            self.consecutive_error = self.consecutive_error.saturating_add(1);
        }
        self.consecutive_success =
            if matches!(phase, Phase::Successful) { self.consecutive_success.saturating_add(1) } else { 0 };
    }
}
