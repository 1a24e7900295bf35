//! Owns the decisions of an Argo Rollouts analysis as pure functions: from a value to a phase, from counters to a metric's
//! phase, from metrics to the run's phase, and when to measure next.
//!
//! Source: the behaviour of `analysis/analysis.go`, `utils/evaluate` and `utils/analysis` of
//! <https://github.com/argoproj/argo-rollouts>; `tests/pull_strategy.rs` holds these functions to facts from its test suite.

pub use super::analysis_limits::{BadLimits, Counters, Limits};
use crate::control::config::Comparison;
use crate::time::{SimTime, Span};

/// After an error, and without an interval, the next measurement follows so long after the last.
pub const ERROR_RETRY: Span = Span::secs(10);

/// Where a measurement, a metric or a run is; ordered from best to worst, as the worst metric decides the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// All is well.
    Successful,
    /// Not at its end.
    Running,
    /// Not begun.
    Pending,
    /// Neither good nor bad.
    Inconclusive,
    /// It could not be measured.
    Error,
    /// It is bad.
    Failed,
}

impl Phase {
    /// Whether nothing follows.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Successful | Self::Inconclusive | Self::Error | Self::Failed)
    }

    /// Whether it ends a run before its time.
    #[must_use]
    pub const fn is_bad(self) -> bool {
        matches!(self, Self::Inconclusive | Self::Error | Self::Failed)
    }

    /// Whether `new` is strictly worse than `self`.
    #[must_use]
    pub fn is_worsened_by(self, new: Self) -> bool {
        new > self
    }
}

/// A condition on the first value of a result.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Condition {
    /// The same whatever the result.
    Constant(bool),
    /// `result[0] <op> value`, by IEEE 754: with NaN always false, as in Argo's expressions.
    Compare {
        /// How.
        op: Comparison,
        /// With what.
        value: f64,
    },
}

impl Condition {
    /// Whether it holds; an error if it reads a value that is not there.
    fn holds(self, result: Option<f64>) -> Result<bool, &'static str> {
        match self {
            Self::Constant(holds) => Ok(holds),
            Self::Compare { op, value } => {
                let result = result.ok_or("no data returned")?;
                Ok(match op {
                    Comparison::Less => result < value,
                    Comparison::LessEqual => result <= value,
                    Comparison::Greater => result > value,
                    Comparison::GreaterEqual => result >= value,
                })
            }
        }
    }
}

/// The phase of one measurement, and why it is an error if it is one. `result` is `None` when the provider has no data.
///
/// A missing condition is the opposite of the other one; with neither, every result is good. When both hold, failure wins.
#[must_use]
pub fn evaluate_measurement(
    result: Option<f64>,
    success: Option<Condition>,
    failure: Option<Condition>,
) -> (Phase, &'static str) {
    let evaluate = |condition: Option<Condition>| condition.map(|c| c.holds(result)).transpose();
    let (success, failure) = match (evaluate(success), evaluate(failure)) {
        (Err(reason), _) | (_, Err(reason)) => return (Phase::Error, reason),
        (Ok(success), Ok(failure)) => (success, failure),
    };
    let (success, failure) = match (success, failure) {
        (None, None) => (true, false),
        (Some(success), None) => (success, !success),
        (None, Some(failure)) => (!failure, failure),
        (Some(success), Some(failure)) => (success, failure),
    };
    let phase = match (success, failure) {
        (_, true) => Phase::Failed,
        (true, false) => Phase::Successful,
        (false, false) => Phase::Inconclusive,
    };
    (phase, "")
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measurement {
    /// How it ended, or `Running`.
    pub phase: Phase,
    /// When it was ordered.
    pub started: SimTime,
    /// When its answer came.
    pub finished: Option<SimTime>,
    /// What the provider said, or why it was ended.
    pub message: String,
}

/// What is known of one metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricResult {
    /// Where it is.
    pub phase: Phase,
    /// What was counted.
    pub counters: Counters,
    /// The last measurement; earlier ones decide nothing any more.
    pub last: Option<Measurement>,
    /// The message of the measurement that changed the phase last.
    pub message: String,
}

impl Default for MetricResult {
    fn default() -> Self {
        Self { phase: Phase::Pending, counters: Counters::default(), last: None, message: String::new() }
    }
}

impl MetricResult {
    /// Ends the measurement in flight and counts it.
    pub fn finish(&mut self, now: SimTime, phase: Phase, message: impl Into<String>) {
        if let Some(last) = self.last.as_mut().filter(|last| last.finished.is_none()) {
            *last = Measurement { phase, started: last.started, finished: Some(now), message: message.into() };
            self.counters.record(phase);
        }
    }

    /// Whether a measurement is under way.
    #[must_use]
    pub fn is_in_flight(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.finished.is_none())
    }
}

/// The limit that is exceeded, if one is, with its phase; the one checked last overrides.
#[must_use]
pub fn exceeded(limits: &Limits, counters: &Counters) -> Option<(Phase, String)> {
    let Limits { failure_limit, inconclusive_limit, consecutive_error_limit, .. } = *limits;
    let Counters { failed, inconclusive, consecutive_error, .. } = *counters;
    if i64::from(consecutive_error) > consecutive_error_limit {
        let text =
            format!("consecutiveErrors ({consecutive_error}) > consecutiveErrorLimit ({consecutive_error_limit})");
        Some((Phase::Error, text))
    } else if i64::from(inconclusive) > inconclusive_limit {
        let text = format!("inconclusive ({inconclusive}) > inconclusiveLimit ({inconclusive_limit})");
        Some((Phase::Inconclusive, text))
    } else if failure_limit >= 0 && i64::from(failed) > failure_limit {
        Some((Phase::Failed, format!("failed ({failed}) > failureLimit ({failure_limit})")))
    } else {
        None
    }
}

/// The phase of one metric.
#[must_use]
pub fn assess_metric(limits: &Limits, result: &MetricResult, terminating: bool) -> Phase {
    if result.phase.is_final() {
        return result.phase;
    }
    let Some(last) = &result.last else {
        return if terminating { Phase::Successful } else { Phase::Pending };
    };
    if !last.phase.is_final() {
        return Phase::Running;
    }
    if let Some((phase, _)) = exceeded(limits, &result.counters) {
        return phase;
    }
    let wants_successes = limits.consecutive_success_limit > 0;
    if wants_successes && i64::from(result.counters.consecutive_success) >= limits.consecutive_success_limit {
        return Phase::Successful;
    }
    if limits.is_reached(&result.counters) {
        return match (wants_successes, limits.failure_limit >= 0) {
            (true, true) => Phase::Inconclusive,
            (true, false) => Phase::Failed,
            (false, _) => Phase::Successful,
        };
    }
    if terminating { Phase::Successful } else { Phase::Running }
}

/// Whether a run takes no new measurements: it was told to end, or a metric that counts is bad.
/// Each metric is given as (phase, dry run).
#[must_use]
pub fn is_terminating(ordered: bool, mut metrics: impl Iterator<Item = (Phase, bool)>) -> bool {
    ordered || metrics.any(|(phase, dry_run)| !dry_run && phase.is_bad())
}

/// From when on a metric is to be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// At this instant or later.
    At(SimTime),
    /// Later than this instant.
    After(SimTime),
}

impl Due {
    /// The instant named.
    #[must_use]
    pub const fn instant(self) -> SimTime {
        let (Self::At(t) | Self::After(t)) = self;
        t
    }

    /// The first instant at which it is due; virtual time has nanoseconds.
    #[must_use]
    pub fn earliest(self) -> SimTime {
        match self {
            Self::At(t) => t,
            Self::After(t) => t + Span(1),
        }
    }

    /// Whether it is due.
    #[must_use]
    pub fn has_come(self, now: SimTime) -> bool {
        now >= self.earliest()
    }
}

/// When a metric is to be measured next; `None`: not any more, or not before something else happens.
///
/// `started` is when the run's first pass ended: a metric with an initial delay waits for that. An interval counts from
/// the end of the last measurement, so the rhythm drifts by the time that measurements take.
#[must_use]
pub fn next_measurement(limits: &Limits, result: &MetricResult, started: Option<SimTime>, now: SimTime) -> Option<Due> {
    if result.phase.is_final() {
        return None;
    }
    let Some(last) = &result.last else {
        return match limits.initial_delay {
            None => Some(Due::At(now)),
            Some(delay) => started.map(|started| Due::At(started + delay)),
        };
    };
    let finished = last.finished?;
    if limits.is_reached(&result.counters) {
        return None;
    }
    let interval = limits.interval.filter(|_| last.phase != Phase::Error).unwrap_or(ERROR_RETRY);
    Some(Due::After(finished + interval))
}

/// How many metrics ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// All metrics.
    pub count: u32,
    /// Those that ended well.
    pub successful: u32,
    /// Those that failed.
    pub failed: u32,
    /// Those that ended neither well nor badly.
    pub inconclusive: u32,
    /// Those that could not be measured.
    pub error: u32,
}

impl Summary {
    const fn add(&mut self, phase: Phase) {
        self.count += 1;
        match phase {
            Phase::Successful => self.successful += 1,
            Phase::Failed => self.failed += 1,
            Phase::Inconclusive => self.inconclusive += 1,
            Phase::Error => self.error += 1,
            Phase::Running | Phase::Pending => {}
        }
    }
}

/// What a pass over all metrics found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// The run's phase.
    pub phase: Phase,
    /// Why, from the first metric with the worst phase; empty while it runs and when all is well.
    pub message: String,
    /// Metrics that count.
    pub summary: Summary,
    /// Metrics that are only watched.
    pub dry_run: Summary,
}

/// One metric as the assessment of a run sees it.
#[derive(Debug)]
pub struct Assessed<'a> {
    /// Its name, for the message.
    pub name: &'a str,
    /// Its limits.
    pub limits: &'a Limits,
    /// It is only watched and decides nothing.
    pub dry_run: bool,
    /// What is known of it; its phase is brought up to date.
    pub result: &'a mut MetricResult,
}

/// Brings the phase of every metric up to date and gives the run's. `ordered` is an order to end the run.
///
/// A metric that turns bad in this pass ends the run in the next: its siblings are ended by the caller in between.
#[must_use]
pub fn assess_run<'a>(metrics: impl IntoIterator<Item = Assessed<'a>>, ordered: bool) -> Assessment {
    let metrics: Vec<Assessed<'a>> = metrics.into_iter().collect();
    let terminating = is_terminating(ordered, metrics.iter().map(|m| (m.result.phase, m.dry_run)));
    let (mut summary, mut dry_run) = (Summary::default(), Summary::default());
    let mut worst: Option<Phase> = None;
    let mut message = if ordered { "Run Terminated".to_owned() } else { String::new() };
    let mut all_ended = true;
    for Assessed { name, limits, dry_run: is_dry, result } in metrics {
        let begun = result.last.is_some() || result.phase.is_final();
        let phase = if begun { assess_metric(limits, result, terminating) } else { Phase::Pending };
        if phase != result.phase {
            result.message = result.last.as_ref().map(|last| last.message.clone()).unwrap_or_default();
            result.phase = phase;
        }
        if is_dry {
            dry_run.add(phase)
        } else {
            summary.add(phase)
        }
        if !phase.is_final() {
            all_ended = false;
        } else if is_dry {
            worst = worst.or(Some(Phase::Successful));
        } else if worst.is_none_or(|worst| worst.is_worsened_by(phase)) {
            worst = Some(phase);
            if let Some((_, why)) = exceeded(limits, &result.counters) {
                message = format!("Metric \"{name}\" assessed {phase:?} due to {why}");
                if !result.message.is_empty() {
                    message.push_str(&format!(": \"Error Message: {}\"", result.message));
                }
            }
        }
    }
    let phase = match worst {
        worst if terminating => worst.unwrap_or(Phase::Successful),
        Some(worst) if all_ended => worst,
        _ => {
            message.clear();
            Phase::Running
        }
    };
    Assessment { phase, message, summary, dry_run }
}

/// What the end of an analysis does to a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The rollout goes on: past the step, if the analysis was a step.
    Proceed,
    /// The rollout waits for a person, who starts a new analysis.
    Pause,
    /// The rollout is put back.
    Abort,
}

/// What a run in `phase` does to its rollout, step and background alike; `None` while it has not ended.
#[must_use]
pub const fn effect(phase: Phase) -> Option<Effect> {
    match phase {
        Phase::Successful => Some(Effect::Proceed),
        Phase::Inconclusive => Some(Effect::Pause),
        Phase::Error | Phase::Failed => Some(Effect::Abort),
        Phase::Running | Phase::Pending => None,
    }
}
