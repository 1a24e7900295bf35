//! Owns the incident: one fault's story, from the trial's trace and its reference runs.
//!
//! The milestones, in the order in which they are found, with P the policy, F the faults and F∖i the faults without this
//! one:
//!
//! - *injected*: the first `FaultStarted` in (P, F).
//! - *onset*: arrival of the first request that is bad in (hold, F) and not in (hold, F∖i), over all sources; not before
//!   *injected* (a request may be under way then). None: harmless here.
//! - *detected*: the first alarm of a rule in (P, F) whose evidence overlaps the fault's activity, while the rule does not
//!   fail in (P, F∖i) within ± one of its evidence windows. A rule fails from the instant it fires until it clears.
//! - *decided*: the first rollback ordered (decided and not refused) at or after *injected*; *coincident* if none of the
//!   alarms it cites is such a detection (a decision that cites no alarm: if (P, F∖i) orders a rollback within ± one
//!   verification window, too). After a coincident decision nothing counts as detected any more.
//! - *revert started*, *reverted*: the first `RevertStarted` at or after *decided*; and given a `RevertDone`, when the version
//!   the fault is bound to was out of the traffic ([`left_traffic`]), or for other faults the `RevertDone` itself.
//! - *recovered*: see [`recovery`](crate::report::recovery).
//!
//! Twin-free (natural drift, live, both sides of `validate`): *onset* is the start of the first verification window
//! from *injected* on whose share of bad requests exceeds the level before *injected* by the margin; *detected* is the
//! first alarm after *injected* of a rule that never fired before it; margins are against the level before.

use crate::id::{FaultId, SourceId, VersionId};
use crate::report::fold::RunRecord;
use crate::report::milestones::{
    Alarm, Rollback, Stretch, active, alarms, fails_near, fired_before, left_traffic, revert_done, revert_started,
    rollbacks,
};
use crate::report::objective::Objective;
use crate::report::recovery::recovery;
use crate::report::trial::{Detection, Incident, Outcome};
use crate::report::verify::Verifier;
use crate::time::{SimTime, Span};
use crate::trace::Trace;

/// What the report must know of a declared fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultFacts {
    /// Which.
    pub id: FaultId,
    /// Its name.
    pub name: String,
    /// What it does, in words a person reads.
    pub what: String,
    /// Whether it is meant to harm users.
    pub harmful: bool,
    /// Whether taking the version out cures it.
    pub curable: bool,
    /// What it is bound to.
    pub kind: FaultKind,
}

/// What a fault is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// It acts where this version serves.
    VersionBound {
        /// Which.
        version: VersionId,
        /// Whether it marks the answers it harms (`RequestEnd::tainted`): corrupted bytes and bad releases do.
        taints: bool,
    },
    /// It acts elsewhere: on hosts, on the population, on arrivals; or not at all.
    Elsewhere,
    /// Recorded data that change by themselves: there is no run without it, so it is measured twin-free.
    Natural,
}

/// The runs without one fault.
#[derive(Debug, Clone, Copy)]
pub struct Without<'a> {
    /// (P, F∖i)
    pub policy: &'a RunRecord,
    /// (hold, F∖i)
    pub hold: &'a RunRecord,
}

/// The reference runs of a trial: same random streams, same [`crate::report::fold::Grid`].
#[derive(Debug, Clone)]
pub struct References<'a> {
    /// (hold, F)
    pub hold: &'a RunRecord,
    /// (hold, ∅); natural drift stays in, it cannot be taken out.
    pub hold_clean: &'a RunRecord,
    /// (P, ∅)
    pub policy_clean: &'a RunRecord,
    /// By fault, in the order of the facts. `None` for natural drift, and where F∖i = ∅ the runs without any fault serve.
    pub without: Vec<Option<Without<'a>>>,
}

/// What the trial is compared with.
#[derive(Debug, Clone)]
pub enum Twin<'a> {
    /// Reference runs.
    Runs(References<'a>),
    /// Nothing: live, and both sides of `validate`.
    None,
}

/// The trial's own run (P, F) and what it is compared with.
#[derive(Debug, Clone)]
pub struct Runs<'a> {
    /// (P, F)
    pub trial: &'a RunRecord,
    /// What it is compared with.
    pub twin: Twin<'a>,
}

impl<'a> Runs<'a> {
    /// The runs without a fault; `None` where there are none.
    #[must_use]
    pub fn without(&self, place: usize, kind: FaultKind) -> Option<Without<'a>> {
        match (&self.twin, kind) {
            (Twin::None, _) | (_, FaultKind::Natural) => None,
            (Twin::Runs(r), _) => {
                let clean = Without { policy: r.policy_clean, hold: r.hold_clean };
                Some(r.without.get(place).copied().flatten().unwrap_or(clean))
            }
        }
    }
}

/// An incident with what its outcome is told from.
#[derive(Debug, Clone, PartialEq)]
pub struct Story {
    /// The incident; its outcome is still to be told.
    pub incident: Incident,
    /// When the fault was active in the trial.
    pub active: Vec<Stretch>,
    /// Users were well, and then the same cause hurt them again within the guard time.
    pub relapsed: bool,
    /// Somebody was hurt: a request is bad in (P, F) and not in (P, F∖i); twin-free: there is an onset.
    pub hurt: bool,
}

impl Story {
    /// Harmful here: declared so, and somebody is hurt by it under hold.
    #[must_use]
    pub const fn harmful_here(&self) -> bool {
        self.incident.counts()
    }
    /// Whether it was active at an instant.
    #[must_use]
    pub fn is_active(&self, at: SimTime) -> bool {
        self.active.iter().any(|s| s.contains(at))
    }
}

/// Tells one fault's story. `arrival` gives the arrival of a request from its source and ordinal.
#[must_use]
pub fn tell(
    facts: &FaultFacts,
    place: usize,
    runs: &Runs<'_>,
    objective: &Objective,
    horizon: SimTime,
    arrival: &dyn Fn(SourceId, u64) -> SimTime,
) -> Story {
    let trial = runs.trial;
    let without = runs.without(place, facts.kind);
    let active = active(&trial.trace.events, facts.id);
    let injected = active.first().map(|s| s.from);
    let mut incident = Incident {
        fault: facts.id,
        what: facts.what.clone(),
        harmful: facts.harmful,
        curable: facts.curable,
        outcome: Outcome::CorrectlyHeld,
        hurt: false,
        injected,
        onset: None,
        detected: None,
        decided: None,
        coincident: false,
        revert_started: None,
        reverted: None,
        recovered: None,
        twin_free: without.is_none(),
        harm: without.map(|w| difference(trial, w.policy)),
        horizon: injected.map_or(Span::ZERO, |t| horizon.since(t)),
    };
    let Some(injected) = injected else { return Story { incident, active, relapsed: false, hurt: false } };
    let before_bin = trial.grid.bin_of(injected);
    let mut verifier = match &runs.twin {
        Twin::Runs(r) if without.is_some() => {
            Verifier::with_twins(trial, &[r.policy_clean, r.hold_clean], objective.recovery)
        }
        _ => Verifier::with_past(trial, before_bin, objective.recovery),
    };
    incident.onset = match without {
        Some(w) => onset(runs, w, arrival).map(|t| t.max(injected)),
        None => {
            let exceeds = |b: &usize| verifier.exceeds_past(*b, before_bin) == Some(true);
            (trial.grid.bin_from(injected)..trial.bins()).find(exceeds).map(|b| trial.grid.start(b))
        }
    };
    let hurt = match without {
        Some(w) => {
            let other = &w.policy.bits;
            trial.bits.all_only_here(other).any(|(source, _)| trial.bits.shares(other, source))
        }
        None => incident.onset.is_some(),
    };
    incident.hurt = hurt;
    let cause = Cause { trial, without: without.map(|w| &w.policy.trace), injected, active: &active };
    response(&mut incident, &cause, facts.kind, objective);
    let mut relapsed = false;
    // Where nobody was hurt there is nothing to recover from.
    if let Some(onset) = incident.onset.filter(|_| hurt) {
        let reverts: Vec<SimTime> = std::iter::successors(revert_done(&trial.trace, onset), |&t| {
            revert_done(&trial.trace, SimTime(t.0.saturating_add(1)))
        })
        .collect();
        let acting = |from: usize, to: usize| acts(trial, facts.kind, &active, from, to);
        let found = recovery(trial, &mut verifier, onset, objective.recovery.guard, &reverts, acting);
        incident.recovered = found.at;
        relapsed = found.relapsed;
    }
    Story { incident, active, relapsed, hurt }
}

/// Bad requests of one run beyond those of another, over the sources that both have; matched by request, so the last attempt of each counts.
#[must_use]
pub fn difference(run: &RunRecord, other: &RunRecord) -> i64 {
    let signed = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    signed(run.bits.count_shared(&other.bits)) - signed(other.bits.count_shared(&run.bits))
}

/// Ordinals of a source come in order of arrival, so the first of each source is its earliest.
fn onset(runs: &Runs<'_>, without: Without<'_>, arrival: &dyn Fn(SourceId, u64) -> SimTime) -> Option<SimTime> {
    let Twin::Runs(references) = &runs.twin else { return None };
    let (here, other) = (&references.hold.bits, &without.hold.bits);
    let shared = here.first_only_here(other).filter(|(source, _)| here.shares(other, *source));
    shared.map(|(source, ordinal)| arrival(source, ordinal)).min()
}

/// What an alarm or a decision must be traced to.
struct Cause<'a> {
    trial: &'a RunRecord,
    without: Option<&'a Trace>,
    injected: SimTime,
    active: &'a [Stretch],
}

impl Cause<'_> {
    fn detected_by(&self, alarm: &Alarm<'_>) -> bool {
        let fired = alarm.fired;
        match self.without {
            None => alarm.at > self.injected && !fired_before(&self.trial.trace, fired.rule, self.injected),
            Some(without) => {
                // Evidence up to the very instant of the injection has not seen the fault yet.
                let saw = |s: &Stretch| fired.evidence_to > s.from && fired.evidence_from < s.to;
                self.active.iter().any(saw) && !fails_near(without, fired.rule, alarm.at, fired.window)
            }
        }
    }

    fn coincident(&self, decision: &Rollback<'_>, window: Span) -> bool {
        let mut cited = decision.rules.iter().filter_map(|rule| {
            alarms(&self.trial.trace).filter(|a| a.fired.rule == *rule && a.at <= decision.at).last()
        });
        match (cited.next(), self.without) {
            (Some(first), _) => !(self.detected_by(&first) || cited.any(|a| self.detected_by(&a))),
            (None, Some(without)) => orders_near(without, decision.at, window),
            (None, None) => false,
        }
    }
}

/// Whether a run orders a rollback within `around` of `at`.
fn orders_near(trace: &Trace, at: SimTime, around: Span) -> bool {
    rollbacks(&trace.events).any(|r| r.at >= at.minus(around) && r.at <= at + around)
}

/// Fills in *detected* to *reverted*.
fn response(incident: &mut Incident, cause: &Cause<'_>, kind: FaultKind, objective: &Objective) {
    let trace = &cause.trial.trace;
    let decision = rollbacks(&trace.events).find(|r| r.at >= cause.injected);
    incident.decided = decision.map(|d| d.at);
    incident.coincident = decision.is_some_and(|d| cause.coincident(&d, objective.recovery.window));
    let last = decision.filter(|_| incident.coincident).map_or(SimTime::NEVER, |d| d.at);
    incident.detected = alarms(trace).find(|a| a.at <= last && cause.detected_by(a)).map(|a| Detection {
        at: a.at,
        rule: a.fired.rule,
        evidence: a.fired.evidence.clone(),
    });
    let Some(decided) = incident.decided else { return };
    incident.revert_started = revert_started(trace, decided);
    incident.reverted = revert_done(trace, decided).map(|done| match kind {
        FaultKind::VersionBound { version, taints } => {
            let tainted = taints && cause.trial.times(version).last_tainted.is_some();
            left_traffic(cause.trial, version, tainted, decided, done)
        }
        FaultKind::Elsewhere | FaultKind::Natural => done,
    });
}

/// Whether the fault acts in a stretch of bins: harmed bytes answer there, or it is active and (if bound to a version) requests
/// meet it.
fn acts(trial: &RunRecord, kind: FaultKind, active: &[Stretch], from: usize, to: usize) -> bool {
    let (start, end) = (trial.grid.start(from), trial.grid.start(to));
    let on = active.iter().any(|s| s.overlaps(start, end));
    match kind {
        FaultKind::Elsewhere | FaultKind::Natural => on,
        FaultKind::VersionBound { version, taints } => {
            let cells = || (from..to).filter_map(|bin| trial.cell(bin, version.index()));
            taints && cells().any(|c| c.tainted > 0) || on && cells().any(|c| c.counts.requests > 0)
        }
    }
}
