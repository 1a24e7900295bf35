//! Owns the figures of a power analysis: which shifts of the canary each rule of a policy finds, how fast, at what
//! false-alarm rate, and how near that is to the fastest that is possible. Plain rows; who makes them is above.

use crate::event::Verdict;
use crate::stats::Interval;
use crate::time::Span;

/// What a policy can find in a scenario's traffic, predicted without a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Power {
    /// The scenario's name.
    pub scenario: String,
    /// The policy's name.
    pub policy: String,
    /// The version rolled out, and the one beside it.
    pub versions: (String, String),
    /// The surroundings.
    pub setting: Setting,
    /// By rule, in order of declaration; with several that decide, the last one is the policy as a whole.
    pub rules: Vec<RulePower>,
}

/// Traffic, telemetry and what is assumed.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Place of the stage in the rollout, from 1.
    pub stage: usize,
    /// The canary's share of traffic during it.
    pub share: f64,
    /// Requests a second of all traffic, as drawn.
    pub rate: f64,
    /// Between two scrapes.
    pub scrape: Span,
    /// From a scrape to the controller.
    pub lag: Span,
    /// Median and 90th percentile of the label delay; `None`: there are none, or only the table knows.
    pub labels: Option<(Span, Span)>,
    /// Share of requests without an answer when all is well.
    pub failure_rate: f64,
    /// Share of wrong answers when all is well.
    pub wrong_rate: f64,
    /// When the shift comes, after the stage began.
    pub changes: Vec<Span>,
    /// How long after a change is watched.
    pub within: Span,
    /// Simulated rollouts for each size of shift, spread evenly over the changes; as many without a shift.
    pub trials: u32,
    /// The first seed.
    pub seed: u64,
}

/// What one rule finds.
#[derive(Debug, Clone, PartialEq)]
pub struct RulePower {
    /// Its name.
    pub rule: String,
    /// Its condition.
    pub text: String,
    /// What it asks for.
    pub then: Verdict,
    /// Why nothing is predicted of what it finds, if so.
    pub silent: Option<String>,
    /// Without a shift.
    pub alarms: FalseAlarms,
    /// The same rollouts as those of the rows, in the same time, without a shift.
    pub still: Still,
    /// With each size of each kind of shift.
    pub rows: Vec<Row>,
}

/// Alarms of one rule in rollouts without a shift: first alarms over the time (and canary requests) until then, from when the
/// canary has the stage's share of traffic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FalseAlarms {
    /// Rollouts in which it had fired before the stage: not watched.
    pub before: u64,
    /// Rollouts with one.
    pub events: u64,
    /// Rollouts watched; none, and none before, of a rule that is not simulated.
    pub rollouts: u64,
    /// Time watched, in days.
    pub days: f64,
    /// A day, with the exact 95 % Poisson interval; `None`: nothing was watched.
    pub per_day: Option<(f64, Interval)>,
    /// A rollout of one stage, likewise.
    pub per_rollout: Option<(f64, Interval)>,
    /// Canary requests watched.
    pub requests: u64,
}

/// How often a rule fires where nothing shifts, in the time in which it is to find a shift.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Still {
    /// Rollouts in which the rule had not fired before the change.
    pub trials: u64,
    /// Of them, those in which it fired within the time watched.
    pub fired: u64,
    /// Wilson's 95 % interval for their share.
    pub share: Interval,
}

/// A kind of shift.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Service takes so many times as long.
    Latency,
    /// Share of requests without an answer.
    Failure,
    /// Share of wrong answers.
    Wrong,
    /// The score moves by so many standard deviations of its logit.
    Score,
    /// A feature moves by so many standard deviations.
    Feature,
    /// Share of a feature's values that are missing.
    Missing,
    /// An outcome happens so many times as often.
    Outcome,
}

impl Kind {
    /// Its name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Latency => "latency",
            Self::Failure => "failure-rate",
            Self::Wrong => "wrong-rate",
            Self::Score => "score",
            Self::Feature => "feature",
            Self::Missing => "missing",
            Self::Outcome => "outcome",
        }
    }

    /// What the size of a shift counts.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Latency => "times the service time",
            Self::Failure => "share of requests without an answer",
            Self::Wrong => "share of wrong answers",
            Self::Score => "standard deviations of the score's logit",
            Self::Feature => "standard deviations of the feature",
            Self::Missing => "share of the feature's values missing",
            Self::Outcome => "times as often",
        }
    }
}

/// One rule against one size of shift.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What shifts.
    pub kind: Kind,
    /// How far.
    pub size: f64,
    /// Both in words.
    pub words: String,
    /// Rollouts in which the rule had not fired before the change.
    pub trials: u64,
    /// Of them, those in which it fired within the time watched.
    pub found: u64,
    /// Wilson's 95 % interval for their share.
    pub share: Interval,
    /// Median delay in seconds, from the change to the look at which the rule fires, lag included; `None`: fewer than half
    /// were found.
    pub median_s: Option<f64>,
    /// 90th percentile, likewise.
    pub p90_s: Option<f64>,
    /// Every delay in seconds in ascending order; infinite where the rule did not fire.
    pub delays_s: Vec<f64>,
    /// Mean number of canary requests that are bad because of the shift, from the change to the look (or to the end of the time
    /// watched): bad ones less those of the same rollout without a shift.
    pub bad: f64,
    /// Mean delay in observations at the worst change: canary requests from the change to the scrape that told. Where the rule
    /// did not always fire, requests until the time watched was over: the mean is at least this.
    pub observations: f64,
    /// The rule did not always fire.
    pub censored: bool,
    /// The best of all rules with the same ARL0; `None` where it is not known, where the rule fires anyway (more often than in
    /// [`FIRES_ANYWAY`] of rollouts without a shift, or before one of the change points always).
    pub optimum: Option<Optimum>,
    /// What no rule with this rule's chance of a false alarm exceeds; `None`: likelihoods are not known.
    pub ceiling: Option<Ceiling>,
}

/// A rule that fires in more than this share of rollouts without a shift, in the time watched, has no efficiency: what it finds
/// it may have found by chance.
pub const FIRES_ANYWAY: f64 = 0.1;

/// The exact worst-case optimum at the ARL0 of the rule. ARL0 is at least what is said (the end of its 95 % interval), and so is
/// the delay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Optimum {
    /// ARL0 in observations.
    pub arl0: f64,
    /// Mean delay in observations.
    pub observations: f64,
    /// The same in seconds.
    pub seconds: f64,
    /// Optimum over the rule's mean delay, worst over change points: at least that, unless the row is censored.
    pub efficiency: f64,
}

/// By the lemma of Neyman and Pearson: how often any rule with this rule's chance of a false alarm can have found the shift by
/// each time. Holds for every stopping rule, at each time with 95 % confidence.
#[derive(Debug, Clone, PartialEq)]
pub struct Ceiling {
    /// By time, ascending.
    pub points: Vec<CeilingPoint>,
    /// No rule's median delay is below this; `None`: nothing can be said.
    pub median_s: Option<f64>,
}

/// The ceiling at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CeilingPoint {
    /// Seconds after the change.
    pub within_s: f64,
    /// The chance of a false alarm by then: the upper end of its exact 95 % interval.
    pub alarm: f64,
    /// The largest share of shifts that can have been found.
    pub found: f64,
}
