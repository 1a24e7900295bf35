//! Owns the verdict on a trial: what each rollback was, how each incident ended, and what it all cost.
//!
//! # Rollbacks
//!
//! A fault is *harmful here* if it is declared harmful and has an *onset*: a corruption that changes no answer is none.
//! Each rollback ordered is exactly one of: *right* (a curable fault that is harmful here is active), *wrong cure* (one that is
//! not curable is, and no curable one), *false* (none is: before the injection, under a benign disturbance, after
//! the fault ended). A rollback that happens to remove a fault which has not begun is false.
//!
//! # Outcome of an incident, the first that holds
//!
//! 1. *revert failed*: of a rollback ordered while it was active, or that is its *decided*, a `RevertFailed` follows before the
//!    next order, or no `RevertDone` does by the end of the run.
//! 2. *relapsed*: see [`recovery`](crate::report::recovery).
//! 3. Not harmful here: *false rollback* if a false one was ordered while it was active, or was decided because of it (its
//!    *decided*, not coincident: the alarm came after it had ended); else *correctly held*.
//! 4. *wrong cure*: one was ordered while it was active and it is not curable.
//! 5. *prevented*: no request is bad in (P, F) and not in (P, F∖i).
//! 6. *false rollback*: a false one was decided because of it: after it had ended.
//! 7. Not curable, detected, no rollback ordered while it was active: *correctly held* (a person was told, or the rollout halted;
//!    nothing more could be done).
//! 8. *recovered*: users well again, and a rollback ordered while it was active is its doing: not coincident, or (several
//!    faults that each would have sufficed) not ordered in (P, ∅) within ± one verification window.
//! 9. *self-resolved*: users well again and no rollback was ordered while it was active.
//! 10. *missed*: the rest. Users were not well by the end of the run, whatever was noticed; or only a coincidence made them so.
//!
//! A fault that never took hold is *correctly held*. A trial's outcome is the worst of its incidents' and of its rollbacks'
//! (false, wrong cure, revert failed).

use crate::event::{Event, Weight};
use crate::id::{SourceId, VersionId};
use crate::report::fold::RunRecord;
use crate::report::incident::{FaultFacts, FaultKind, Runs, Story, Twin, difference, tell};
use crate::report::milestones::{revert_failed, rollbacks};
use crate::report::objective::Objective;
use crate::report::trial::{Cell, Incident, Outcome, Window};
use crate::time::{SimTime, Span};
use crate::trace::Trace;

/// What a trial amounts to; the fields of the same name in `TrialReport` are filled from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessment {
    /// One per fault, in the order of the facts.
    pub incidents: Vec<Incident>,
    /// The worst of the outcomes.
    pub outcome: Outcome,
    /// bad(P, F) − bad(P, ∅); `None` without a twin or with natural drift.
    pub harm_suffered: Option<i64>,
    /// bad(hold, F) − bad(P, F); `None` without a twin. It needs no fault-free run, so natural drift has it too.
    pub harm_avoided: Option<i64>,
    /// bad(P, ∅) − bad(hold, ∅); `None` without a twin or with natural drift.
    pub policy_harm: Option<i64>,
    /// bad(P, F) − bad(P, ∅) − Σ harm of each; `None` without a twin or with natural drift.
    pub joint_harm: Option<i64>,
    /// Rollbacks ordered and not refused.
    pub rollbacks: u32,
    /// Share of the error budget of the whole period that this trial used, see [`budget_spent`].
    pub budget_spent: f64,
    /// The time axis.
    pub windows: Vec<Window>,
}

/// What a rollback was ordered against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RollbackKind {
    /// A curable fault that is harmful here.
    Right,
    /// A fault that is harmful here and that it cannot cure.
    WrongCure,
    /// Nothing harmful.
    False,
}

/// What a rollback ordered at an instant was, by the faults then active and harmful here: (curable).
#[must_use]
pub fn rollback_kind(active_and_harmful: impl IntoIterator<Item = bool>) -> RollbackKind {
    let mut kind = RollbackKind::False;
    for curable in active_and_harmful {
        if curable {
            return RollbackKind::Right;
        }
        kind = RollbackKind::WrongCure;
    }
    kind
}

/// Assesses a trial. `arrival` gives the arrival of a request from its source and ordinal: arrivals are exogenous, so it need
/// not have been kept.
#[must_use]
pub fn assess(
    facts: &[FaultFacts],
    runs: &Runs<'_>,
    objective: &Objective,
    horizon: SimTime,
    arrival: &dyn Fn(SourceId, u64) -> SimTime,
) -> Assessment {
    let trial = runs.trial;
    let mut stories: Vec<Story> =
        facts.iter().enumerate().map(|(i, f)| tell(f, i, runs, objective, horizon, arrival)).collect();
    let ordered: Vec<Ordered> = rollbacks(&trial.trace.events)
        .map(|r| {
            let against = stories.iter().filter(|s| s.harmful_here() && s.is_active(r.at));
            let kind = rollback_kind(against.map(|s| s.incident.curable));
            Ordered { at: r.at, kind, failed: revert_failed(&trial.trace, r.at) }
        })
        .collect();
    let clean = match &runs.twin {
        Twin::Runs(r) => Some(&r.policy_clean.trace),
        Twin::None => None,
    };
    for story in &mut stories {
        story.incident.outcome = outcome(story, &ordered, clean, objective.recovery.window);
    }
    let of_rollbacks = ordered.iter().flat_map(|o| {
        let wrong = match o.kind {
            RollbackKind::Right => None,
            RollbackKind::WrongCure => Some(Outcome::WrongCure),
            RollbackKind::False => Some(Outcome::FalseRollback),
        };
        [wrong, o.failed.then_some(Outcome::RevertFailed)].into_iter().flatten()
    });
    let worst = stories.iter().map(|s| s.incident.outcome).chain(of_rollbacks).min().unwrap_or(Outcome::CorrectlyHeld);
    let natural = facts.iter().any(|f| f.kind == FaultKind::Natural);
    let (mut suffered, mut avoided, mut by_policy, mut joint) = (None, None, None, None);
    if let Twin::Runs(r) = &runs.twin {
        avoided = Some(difference(r.hold, trial));
        if !natural {
            let all = difference(trial, r.policy_clean);
            suffered = Some(all);
            by_policy = Some(difference(r.policy_clean, r.hold_clean));
            joint = Some(all - stories.iter().filter_map(|s| s.incident.harm).sum::<i64>());
        }
    }
    Assessment {
        incidents: stories.into_iter().map(|s| s.incident).collect(),
        outcome: worst,
        harm_suffered: suffered,
        harm_avoided: avoided,
        policy_harm: by_policy,
        joint_harm: joint,
        rollbacks: u32::try_from(ordered.len()).unwrap_or(u32::MAX),
        budget_spent: budget_spent(trial, objective, horizon),
        windows: windows(trial),
    }
}

struct Ordered {
    at: SimTime,
    kind: RollbackKind,
    failed: bool,
}

fn outcome(story: &Story, ordered: &[Ordered], clean: Option<&Trace>, window: Span) -> Outcome {
    let incident = &story.incident;
    if incident.injected.is_none() {
        return Outcome::CorrectlyHeld;
    }
    let during = || ordered.iter().filter(|o| story.is_active(o.at));
    let because = |o: &&Ordered| incident.decided == Some(o.at) && !incident.coincident;
    let decided_false = ordered.iter().filter(because).any(|o| o.kind == RollbackKind::False);
    if during().any(|o| o.failed) || ordered.iter().any(|o| o.failed && incident.decided == Some(o.at)) {
        return Outcome::RevertFailed;
    }
    if story.relapsed && story.harmful_here() {
        return Outcome::Relapsed;
    }
    if !story.harmful_here() {
        let blamed = decided_false || during().any(|o| o.kind == RollbackKind::False);
        return if blamed { Outcome::FalseRollback } else { Outcome::CorrectlyHeld };
    }
    if !incident.curable && during().any(|o| o.kind == RollbackKind::WrongCure) {
        return Outcome::WrongCure;
    }
    if !story.hurt {
        return Outcome::Prevented;
    }
    if decided_false {
        return Outcome::FalseRollback;
    }
    let answered = during().next().is_some();
    if !incident.curable && !answered && incident.detected.is_some() {
        return Outcome::CorrectlyHeld;
    }
    if incident.recovered.is_none() {
        return Outcome::Missed;
    }
    if !answered {
        return Outcome::SelfResolved;
    }
    let by_chance = |o: &Ordered| {
        incident.coincident
            && clean.is_none_or(|clean| {
                rollbacks(&clean.events).any(|r| r.at >= o.at.minus(window) && r.at <= o.at + window)
            })
    };
    if during().all(by_chance) { Outcome::Missed } else { Outcome::Recovered }
}

/// Share of the error budget of the whole period that a run used: requests without an answer / (promised failure rate × requests expected in
/// the period), where the period is expected to go on at the run's rate of arrivals. Infinite if something failed and
/// nothing may; 0 if nothing did. Source: SRE Workbook, ch. 5: of the period, not of the run.
#[must_use]
pub fn budget_spent(run: &RunRecord, objective: &Objective, horizon: SimTime) -> f64 {
    let rate = run.counts.requests as f64 / horizon.as_secs_f64();
    budget_share(run.counts.failed, objective.failure_rate, rate * objective.period.as_secs_f64())
}

/// `bad` events as a share of what may be bad of the `expected` events of a period.
#[must_use]
pub fn budget_share(bad: u64, failure_rate: f64, expected: f64) -> f64 {
    let budget = failure_rate * expected;
    match bad {
        0 => 0.0,
        _ if budget > 0.0 => bad as f64 / budget,
        _ => f64::INFINITY,
    }
}

/// The time axis of a run. Before the first `Weights` the version the rollout starts from (index 0) has all traffic.
#[must_use]
pub fn windows(run: &RunRecord) -> Vec<Window> {
    let versions = run.versions.len();
    let mut weights = vec![Weight::NONE; versions];
    if let Some(first) = weights.first_mut() {
        *first = Weight::ALL;
    }
    let mut facts = run.trace.events.iter().peekable();
    let bins = run.bins();
    (0..bins)
        .map(|bin| {
            let (from, mut to) = (run.grid.start(bin), run.grid.start(bin + 1));
            if bin + 1 == bins {
                // The last bin may hold what ended after it.
                to = (0..versions).filter_map(|v| run.cell(bin, v)).map(|c| c.last_end).fold(to, SimTime::max);
            }
            while let Some(fact) = facts.next_if(|f| f.at < to) {
                if let Event::Weights { weights: new } = &fact.event {
                    set(&mut weights, new);
                }
            }
            let cell = |(v, &weight): (usize, &Weight)| {
                let seen = run.cell(bin, v).cloned().unwrap_or_default();
                Cell { weight, counts: seen.counts, latency: seen.latency }
            };
            Window { from, to, cells: weights.iter().enumerate().map(cell).collect() }
        })
        .collect()
}

/// Versions not named get none.
fn set(weights: &mut [Weight], new: &[(VersionId, Weight)]) {
    weights.fill(Weight::NONE);
    for &(version, weight) in new {
        if let Some(slot) = weights.get_mut(version.index()) {
            *slot = weight;
        }
    }
}
