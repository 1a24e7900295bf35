//! Owns what one trial amounts to: plain data that every rendering reads and nothing else.

use crate::event::Weight;
use crate::id::{FaultId, Names, RuleId, SignalId, VersionId};
use crate::report::objective::Objective;
use crate::stats::histogram::Histogram;
use crate::time::{SimTime, Span};
use crate::trace::{Digests, Recorded};
use serde::Serialize;

/// One trial: a scenario under a policy with a seed, measured against its reference runs or, without them, twin-free (see
/// [`crate::report::incident`]).
#[derive(Debug, Clone, PartialEq)]
pub struct TrialReport {
    /// The scenario's name.
    pub scenario: String,
    /// Its summary, for headings.
    pub summary: String,
    /// The policy's name.
    pub policy: String,
    /// The root seed.
    pub seed: u64,
    /// Words for the indices.
    pub names: Names,
    /// What each rule reads, in the order of `names.rules`; a rule that reads no signal of the version under test has none.
    pub readings: Vec<Reading>,
    /// What users were promised.
    pub objective: Objective,
    /// The version rolled out, and the one before it.
    pub rollout: (VersionId, VersionId),
    /// The worst of the outcomes.
    pub outcome: Outcome,
    /// One per declared fault, in order of declaration.
    pub incidents: Vec<Incident>,
    /// Requests and how they ended in this trial.
    pub requests: RequestCounts,
    /// The same by user segment, in the order of `names.segments`.
    pub segments: Vec<RequestCounts>,
    /// Bad requests that the faults caused: bad(P, F) − bad(P, ∅). `None` where harm is not defined (natural drift, no
    /// reference runs).
    pub harm_suffered: Option<i64>,
    /// Bad requests that the policy saved: bad(hold, F) − bad(P, F). `None` where not defined.
    pub harm_avoided: Option<i64>,
    /// Bad requests that the policy caused without any fault: bad(P, ∅) − bad(hold, ∅).
    pub policy_harm: Option<i64>,
    /// What several faults did together beyond the sum of each: bad(P, F) − bad(P, ∅) − Σ harm of each.
    pub joint_harm: Option<i64>,
    /// Distinct users with a request that is bad here and not without faults. `None` where not defined.
    pub users_hurt: Option<u64>,
    /// Rollbacks ordered (and not refused) in this trial.
    pub rollbacks: u32,
    /// Share of the error budget of the whole period that this trial used.
    pub budget_spent: f64,
    /// When arrivals ended.
    pub horizon: SimTime,
    /// When the last request had ended.
    pub end: SimTime,
    /// Identity of the trial's trace.
    pub digests: Digests,
    /// The digest of the three digests.
    pub trace_digest: String,
    /// Facts in the trace.
    pub trace_events: u64,
    /// Kept facts of the trial's trace, in order.
    pub events: Vec<Recorded>,
    /// The time axis, for tables and pictures.
    pub windows: Vec<Window>,
    /// The declared expectations with their verdicts.
    pub expectations: Vec<ExpectationResult>,
    /// Figures of the host, left out of every comparison.
    pub host: Host,
}

impl TrialReport {
    /// Whether the trial was live: real processes in real time. Otherwise it was simulated.
    #[must_use]
    pub fn is_live(&self) -> bool {
        crate::trace::is_live(&self.events)
    }

    /// Whether reference runs were made beside the trial. Without them it was measured twin-free, and no harm is defined.
    #[must_use]
    pub const fn has_twins(&self) -> bool {
        // Of all figures this one is defined wherever there are reference runs, natural drift or not.
        self.harm_avoided.is_some()
    }
}

/// What a rule reads of the version under test, and what it holds that against.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The rule.
    pub rule: RuleId,
    /// Its condition, as the policy file has it.
    pub text: String,
    /// Looks in a row at which it must hold.
    pub looks: u32,
    /// The signal that it reads.
    pub signal: SignalId,
    /// Which of its fields, by place.
    pub field: usize,
    /// The value at which the condition turns, in the field's own unit.
    pub limit: Limit,
}

/// `factor × value + offset`, where the value is another field measured at the same look; without one `offset` alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limit {
    /// The signal, the place of its field, and whether it is the baseline's.
    pub of: Option<(SignalId, usize, bool)>,
    /// Multiplies the value.
    pub factor: f64,
    /// Added.
    pub offset: f64,
}

/// How a trial ended, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A revert was ordered and could not be carried out.
    RevertFailed,
    /// The same cause again within the guard time after a recovery.
    Relapsed,
    /// A harmful fault was never detected, and users were not well again by themselves.
    Missed,
    /// A rollback was ordered against a harmful fault that it cannot cure.
    WrongCure,
    /// A rollback was ordered while no harmful fault was active.
    FalseRollback,
    /// Users were well again without a rollback.
    SelfResolved,
    /// Detected, reverted, users well.
    Recovered,
    /// A harmful fault that would have hurt under hold hurt nobody.
    Prevented,
    /// Nothing called for a rollback and none was ordered.
    CorrectlyHeld,
}

impl Outcome {
    /// All outcomes, worst first.
    pub const ALL: [Self; 9] = [
        Self::RevertFailed,
        Self::Relapsed,
        Self::Missed,
        Self::WrongCure,
        Self::FalseRollback,
        Self::SelfResolved,
        Self::Recovered,
        Self::Prevented,
        Self::CorrectlyHeld,
    ];

    /// Its name in files and expectations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::RevertFailed => "revert-failed",
            Self::Relapsed => "relapsed",
            Self::Missed => "missed",
            Self::WrongCure => "wrong-cure",
            Self::FalseRollback => "false-rollback",
            Self::SelfResolved => "self-resolved",
            Self::Recovered => "recovered",
            Self::Prevented => "prevented",
            Self::CorrectlyHeld => "correctly-held",
        }
    }
}

/// One fault's story.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// Which fault.
    pub fault: FaultId,
    /// What it is, in words a person reads ("exponent bits of 0.2 % of v2's weights, behind the digest check").
    pub what: String,
    /// As declared.
    pub harmful: bool,
    /// As declared.
    pub curable: bool,
    /// Its own outcome.
    pub outcome: Outcome,
    /// Somebody was hurt by it in this trial: a request is bad here and not without the fault (twin-free: there is an
    /// onset).
    pub hurt: bool,
    /// When it took hold in this trial; `None`: it never did.
    pub injected: Option<SimTime>,
    /// First request that is bad because of it.
    pub onset: Option<SimTime>,
    /// First alarm because of it.
    pub detected: Option<Detection>,
    /// The verdict to act.
    pub decided: Option<SimTime>,
    /// The decision cites only alarms that also fire without the fault.
    pub coincident: bool,
    /// The first order of the revert.
    pub revert_started: Option<SimTime>,
    /// Last harmful version out of the traffic, by the replicas' own answers.
    pub reverted: Option<SimTime>,
    /// Users well again.
    pub recovered: Option<SimTime>,
    /// Milestones measured without a twin (natural drift, live).
    pub twin_free: bool,
    /// Bad requests because of it: bad(P, F) − bad(P, F∖i); `None` where not defined.
    pub harm: Option<i64>,
    /// From injection to the end of observation: where a censored delay stands.
    pub horizon: Span,
}

/// A detection and its evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// When.
    pub at: SimTime,
    /// The rule.
    pub rule: RuleId,
    /// The evidence in words.
    pub evidence: String,
}

impl Incident {
    /// Harmful here: meant to harm, took hold, and somebody is hurt by it when nobody reverts.
    #[must_use]
    pub const fn counts(&self) -> bool {
        self.harmful && self.injected.is_some() && self.onset.is_some()
    }
    /// Harmful here, and somebody was hurt under this policy: the ones MTTD and MTTR are about. What a policy prevented
    /// has no delay.
    #[must_use]
    pub const fn has_delays(&self) -> bool {
        self.counts() && self.hurt
    }
    /// Detected − injected.
    #[must_use]
    pub fn mttd(&self) -> Option<Span> {
        Some(self.detected.as_ref()?.at.since(self.injected?))
    }
    /// Detected − onset.
    #[must_use]
    pub fn mttd_from_onset(&self) -> Option<Span> {
        Some(self.detected.as_ref()?.at.since(self.onset?))
    }
    /// Recovered − injected.
    #[must_use]
    pub fn mttr(&self) -> Option<Span> {
        Some(self.recovered?.since(self.injected?))
    }
    /// Recovered − onset.
    #[must_use]
    pub fn mttr_from_onset(&self) -> Option<Span> {
        Some(self.recovered?.since(self.onset?))
    }
    /// Recovered − detected.
    #[must_use]
    pub fn mttr_from_detected(&self) -> Option<Span> {
        Some(self.recovered?.since(self.detected.as_ref()?.at))
    }
}

/// Requests and how they ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct RequestCounts {
    /// All that arrived.
    pub requests: u64,
    /// Bad for any reason.
    pub bad: u64,
    /// Without an answer.
    pub failed: u64,
    /// Answered later than promised.
    pub late: u64,
    /// Answered wrongly.
    pub wrong: u64,
    /// Failed because the replica that had accepted them went away.
    pub lost: u64,
}

/// One step of the time axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Its start.
    pub from: SimTime,
    /// Its end.
    pub to: SimTime,
    /// One cell per version, by [`VersionId`].
    pub cells: Vec<Cell>,
}

/// What one version did in one window (requests counted where they ended).
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// Its weight at the end of the window.
    pub weight: Weight,
    /// Its requests.
    pub counts: RequestCounts,
    /// Latency of answered requests.
    pub latency: Histogram,
}

/// A declared expectation and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExpectationResult {
    /// As declared, in words.
    pub text: String,
    /// What was measured, in words.
    pub measured: String,
    /// Whether it holds.
    pub verdict: ExpectationVerdict,
}

/// Whether an expectation holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExpectationVerdict {
    /// It holds.
    Holds,
    /// It does not.
    Missed,
    /// More seeds are needed.
    Inconclusive {
        /// About so many.
        seeds: u32,
    },
    /// It is about a figure that these trials do not have, and no number of seeds would give it to them: harm without
    /// reference runs, or under natural drift. Neither a miss nor a pass.
    NotDefined,
}

/// Figures of the host: never compared, never hashed.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Host {
    /// Wall seconds for the trial with all of its reference runs.
    pub wall_s: f64,
    /// Wall seconds of the trial's own run.
    pub trial_wall_s: f64,
    /// The trial's own simulated requests per wall second.
    pub requests_per_s: f64,
    /// Reference runs made beside the trial.
    pub reference_runs: u32,
    /// Rows that went through ONNX Runtime.
    pub rows_inferred: u64,
    /// Threads used.
    pub jobs: u32,
}
