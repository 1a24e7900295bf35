//! Owns the reading of one trace: when faults were active, when rules failed, when a rollback was decided and carried out.

use crate::event::{Event, RuleFired, Verdict};
use crate::id::{FaultId, RuleId, VersionId};
use crate::report::fold::RunRecord;
use crate::time::{SimTime, Span};
use crate::trace::{Recorded, Trace};

/// A stretch of time, its end included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Its start.
    pub from: SimTime,
    /// Its end; [`SimTime::NEVER`] if it lasted to the end of the run.
    pub to: SimTime,
}

impl Stretch {
    /// Whether it shares an instant with `[from, to]`.
    #[must_use]
    pub fn overlaps(&self, from: SimTime, to: SimTime) -> bool {
        self.from <= to && from <= self.to
    }
    /// Whether an instant lies in it.
    #[must_use]
    pub fn contains(&self, at: SimTime) -> bool {
        self.overlaps(at, at)
    }
}

/// An alarm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alarm<'a> {
    /// When the rule began to fail.
    pub at: SimTime,
    /// Its rule and evidence.
    pub fired: &'a RuleFired,
}

/// A rollback that was ordered: a decision that governance did not refuse.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rollback<'a> {
    /// When it was decided.
    pub at: SimTime,
    /// The rules it cites.
    pub rules: &'a [RuleId],
}

/// When a fault was active in a run, in order of time. A start while it is active is not a second one.
#[must_use]
pub fn active(events: &[Recorded], fault: FaultId) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    for recorded in events {
        let open = stretches.last_mut().filter(|s| s.to == SimTime::NEVER);
        match (&recorded.event, open) {
            (Event::FaultStarted { fault: f }, None) if *f == fault => {
                stretches.push(Stretch { from: recorded.at, to: SimTime::NEVER });
            }
            (Event::FaultEnded { fault: f }, Some(open)) if *f == fault => open.to = recorded.at,
            _ => {}
        }
    }
    stretches
}

/// All alarms of a run, in order of time.
pub fn alarms(trace: &Trace) -> impl Iterator<Item = Alarm<'_>> {
    trace.events.iter().filter_map(|r| match &r.event {
        Event::RuleFired(fired) => Some(Alarm { at: r.at, fired }),
        _ => None,
    })
}

/// Whether a rule fails at any time within `around` of `at`: from the instant it fired to the one it cleared.
#[must_use]
pub fn fails_near(trace: &Trace, rule: RuleId, at: SimTime, around: Span) -> bool {
    let mut failing: Option<SimTime> = None;
    let near = |from: SimTime, to: SimTime| Stretch { from, to }.overlaps(at.minus(around), at + around);
    for recorded in &trace.events {
        match &recorded.event {
            Event::RuleFired(fired) if fired.rule == rule => failing = failing.or(Some(recorded.at)),
            Event::RuleCleared { rule: r } if *r == rule => {
                let failed_from = failing.take();
                if failed_from.is_some_and(|from| near(from, recorded.at)) {
                    return true;
                }
            }
            _ => {}
        }
    }
    failing.is_some_and(|from| near(from, SimTime::NEVER))
}

/// Whether a rule fired before an instant.
#[must_use]
pub fn fired_before(trace: &Trace, rule: RuleId, at: SimTime) -> bool {
    alarms(trace).any(|a| a.fired.rule == rule && a.at < at)
}

/// The rollbacks ordered in a run, in order of time.
pub fn rollbacks(events: &[Recorded]) -> impl Iterator<Item = Rollback<'_>> {
    events.iter().filter_map(|r| match &r.event {
        Event::Decided(d) if d.verdict == Verdict::Rollback && d.refused.is_none() => {
            Some(Rollback { at: r.at, rules: &d.rules })
        }
        _ => None,
    })
}

/// The first fact at or after an instant that `pick` takes.
fn first_at(trace: &Trace, from: SimTime, pick: impl Fn(&Event) -> bool) -> Option<SimTime> {
    trace.events.iter().find(|r| r.at >= from && pick(&r.event)).map(|r| r.at)
}

/// The first start of a revert at or after an instant.
#[must_use]
pub fn revert_started(trace: &Trace, from: SimTime) -> Option<SimTime> {
    first_at(trace, from, |e| matches!(e, Event::RevertStarted { .. }))
}

/// The first revert done at or after an instant.
#[must_use]
pub fn revert_done(trace: &Trace, from: SimTime) -> Option<SimTime> {
    first_at(trace, from, |e| matches!(e, Event::RevertDone { .. }))
}

/// Whether a rollback decided at `at` could not be carried out: a revert failed after it and before the next order of a
/// rollback, or none was done by the end of the run.
#[must_use]
pub fn revert_failed(trace: &Trace, at: SimTime) -> bool {
    let next = rollbacks(&trace.events).find(|r| r.at > at).map_or(SimTime::NEVER, |r| r.at);
    let failed = first_at(trace, at, |e| matches!(e, Event::RevertFailed { .. }));
    failed.is_some_and(|t| t < next) || revert_done(trace, at).is_none()
}

/// When a version was out of the traffic after a revert decided at `decided` and done at `done`, by the replicas' own
/// answers: the end of its last answer at or after the decision, by harmed bytes if `tainted`. Without such an answer,
/// the end of the last of its requests (a version that cannot answer hurts until nobody is sent to it); without any, the
/// decision. Once the version gets traffic again after `done`, what follows is another story.
#[must_use]
pub fn left_traffic(run: &RunRecord, version: VersionId, tainted: bool, decided: SimTime, done: SimTime) -> SimTime {
    let back = first_at(&run.trace, done, |e| match e {
        Event::Weights { weights } => weights.iter().any(|&(v, w)| v == version && w.0 > 0),
        _ => false,
    });
    // Weights that a revert sets at the very instant it is done belong to it.
    let back = back.filter(|&t| t > done).unwrap_or(SimTime::NEVER);
    let latest = |pick: fn(&crate::report::fold::BinCell) -> Option<SimTime>| {
        let bins = run.grid.bin_of(decided)..run.bins();
        let times = bins.filter_map(|bin| run.cell(bin, version.index())).filter_map(pick);
        times.filter(|&t| t >= decided && t < back).max()
    };
    let answer = if tainted {
        latest(|c| (c.tainted > 0).then_some(c.last_tainted))
    } else {
        latest(|c| (c.answered() > 0).then_some(c.last_answer))
    };
    answer.or_else(|| latest(|c| (c.counts.requests > 0).then_some(c.last_end))).unwrap_or(decided)
}
