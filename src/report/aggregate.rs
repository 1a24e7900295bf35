//! Owns what many trials of one scenario and policy amount to: outcomes, delays, costs, precision and recall.

use crate::report::assess::{RollbackKind, rollback_kind};
use crate::report::estimate::{Delay, Figure, Share, Watched};
use crate::report::milestones::{active, rollbacks};
use crate::report::trial::{Incident, Outcome, RequestCounts, TrialReport};
use crate::time::Span;

/// What is needed of a trial to judge it beside others: small, so that thousands can be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialFigures {
    /// The root seed.
    pub seed: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Its incidents.
    pub incidents: Vec<Incident>,
    /// Its rollbacks: right, wrong cure, false.
    pub rollback_kinds: [u64; 3],
    /// Harmful faults before whose injection (or instead of it) a rollback had been ordered.
    pub preempted: u64,
    /// Requests.
    pub requests: RequestCounts,
    /// The same by segment.
    pub segments: Vec<RequestCounts>,
    /// As in `TrialReport`.
    pub harm_suffered: Option<i64>,
    /// As in `TrialReport`.
    pub harm_avoided: Option<i64>,
    /// As in `TrialReport`.
    pub policy_harm: Option<i64>,
    /// As in `TrialReport`.
    pub joint_harm: Option<i64>,
    /// As in `TrialReport`.
    pub rollbacks: u32,
    /// As in `TrialReport`.
    pub budget_spent: f64,
}

impl From<&TrialReport> for TrialFigures {
    fn from(report: &TrialReport) -> Self {
        let spans: Vec<_> = report.incidents.iter().map(|i| (i, active(&report.events, i.fault))).collect();
        let mut rollback_kinds = [0; 3];
        for rollback in rollbacks(&report.events) {
            let against = spans.iter().filter(|(i, on)| i.counts() && on.iter().any(|s| s.contains(rollback.at)));
            let slot = match rollback_kind(against.map(|(i, _)| i.curable)) {
                RollbackKind::Right => 0,
                RollbackKind::WrongCure => 1,
                RollbackKind::False => 2,
            };
            if let Some(count) = rollback_kinds.get_mut(slot) {
                *count += 1;
            }
        }
        let first = rollbacks(&report.events).next().map(|r| r.at);
        let before = |i: &&Incident| i.harmful && first.is_some_and(|at| i.injected.is_none_or(|t| at < t));
        Self {
            seed: report.seed,
            outcome: report.outcome,
            incidents: report.incidents.clone(),
            rollback_kinds,
            preempted: report.incidents.iter().filter(before).count() as u64,
            requests: report.requests,
            segments: report.segments.clone(),
            harm_suffered: report.harm_suffered,
            harm_avoided: report.harm_avoided,
            policy_harm: report.policy_harm,
            joint_harm: report.joint_harm,
            rollbacks: report.rollbacks,
            budget_spent: report.budget_spent,
        }
    }
}

/// Many trials of one scenario and policy. Delays are over all incidents that count (harmful here); none is left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// How many trials.
    pub trials: u64,
    /// The share of trials with each outcome, worst first, those that never came included.
    pub outcomes: Vec<(Outcome, Share)>,
    /// Detected − injected.
    pub mttd: Delay,
    /// Detected − onset (0 if detected before anybody was hurt).
    pub mttd_from_onset: Delay,
    /// Recovered − injected.
    pub mttr: Delay,
    /// Recovered − onset.
    pub mttr_from_onset: Delay,
    /// Recovered − detected, of the incidents that were detected.
    pub mttr_from_detected: Delay,
    /// Harmful faults before which a rollback had already been ordered: a competing event. Those that still took hold are in
    /// the delays, detected or censored as they are; never with a negative delay.
    pub preempted: u64,
    /// Bad requests that the faults caused, over the trials where that is defined.
    pub harm_suffered: Figure,
    /// Bad requests that the policy saved.
    pub harm_avoided: Figure,
    /// Bad requests that the policy caused without any fault.
    pub policy_harm: Figure,
    /// Bad requests of several faults beyond the sum of each.
    pub joint_harm: Figure,
    /// Bad requests, whatever the cause.
    pub bad_requests: Figure,
    /// Requests lost with the replica that held them.
    pub lost_requests: Figure,
    /// Rollbacks ordered.
    pub rollbacks: Figure,
    /// Share of the error budget of the period.
    pub budget_spent: Figure,
    /// Per rollback: the share that was ordered while a curable fault that is harmful here was active.
    pub precision: Share,
    /// Per curable fault that is harmful here: the share against which a rollback was decided because of it (not coincident).
    pub recall: Share,
    /// The share of trials with a fault that is harmful here: precision and recall hold at this share only.
    pub faulty: Share,
    /// Of the trials without such a fault, the share with a rollback.
    pub good_releases_blocked: Share,
    /// All requests of all trials.
    pub requests: RequestCounts,
    /// The same by segment.
    pub segments: Vec<RequestCounts>,
}

/// Sums up trials of one scenario and policy. The order of the trials does not matter.
#[must_use]
pub fn aggregate(trials: &[TrialFigures]) -> Aggregate {
    let n = trials.len() as u64;
    let share = |of: &dyn Fn(&TrialFigures) -> bool| Share::new(trials.iter().filter(|t| of(t)).count() as u64, n);
    let figure = |of: fn(&TrialFigures) -> Option<f64>| Figure::of(trials.iter().filter_map(of));
    let kinds = trials.iter().fold([0_u64; 3], |mut sum, t| {
        sum.iter_mut().zip(t.rollback_kinds).for_each(|(s, k)| *s += k);
        sum
    });
    let curable = || incidents(trials).filter(|i| i.curable);
    let found = curable().filter(|i| i.decided.is_some() && !i.coincident).count();
    let good = || trials.iter().filter(|t| !t.incidents.iter().any(Incident::counts));
    let mut requests = RequestCounts::default();
    let mut segments = Vec::new();
    for trial in trials {
        requests.add(&trial.requests);
        segments.resize(trial.segments.len().max(segments.len()), RequestCounts::default());
        segments.iter_mut().zip(&trial.segments).for_each(|(sum, s)| sum.add(s));
    }
    Aggregate {
        trials: n,
        outcomes: Outcome::ALL.iter().map(|&o| (o, share(&|t| t.outcome == o))).collect(),
        mttd: delay(trials, mttd),
        mttd_from_onset: delay(trials, |i| from(i, i.onset, i.mttd_from_onset())),
        mttr: delay(trials, mttr),
        mttr_from_onset: delay(trials, |i| from(i, i.onset, i.mttr_from_onset())),
        mttr_from_detected: delay(trials, |i| from(i, i.detected.as_ref().map(|d| d.at), i.mttr_from_detected())),
        preempted: trials.iter().map(|t| t.preempted).sum(),
        harm_suffered: figure(|t| t.harm_suffered.map(|h| h as f64)),
        harm_avoided: figure(|t| t.harm_avoided.map(|h| h as f64)),
        policy_harm: figure(|t| t.policy_harm.map(|h| h as f64)),
        joint_harm: figure(|t| t.joint_harm.map(|h| h as f64)),
        bad_requests: figure(|t| Some(t.requests.bad as f64)),
        lost_requests: figure(|t| Some(t.requests.lost as f64)),
        rollbacks: figure(|t| Some(f64::from(t.rollbacks))),
        budget_spent: figure(|t| Some(t.budget_spent)),
        precision: Share::new(kinds[0], kinds.iter().sum()),
        recall: Share::new(found as u64, curable().count() as u64),
        faulty: share(&|t| t.incidents.iter().any(Incident::counts)),
        good_releases_blocked: Share::new(good().filter(|t| t.rollbacks > 0).count() as u64, good().count() as u64),
        requests,
        segments,
    }
}

/// The incidents that delays are about.
pub(crate) fn incidents(trials: &[TrialFigures]) -> impl Iterator<Item = &Incident> {
    trials.iter().flat_map(|t| &t.incidents).filter(|i| i.has_delays())
}

/// A delay of every incident that counts; incidents for which it has no beginning are left out.
pub(crate) fn delay(trials: &[TrialFigures], of: impl Fn(&Incident) -> Option<(Watched, f64)>) -> Delay {
    let delays: Vec<_> = incidents(trials).filter_map(of).collect();
    Delay::of(&delays)
}

/// Detected − injected, or censored at the end of the run; and how long the incident was watched.
pub(crate) fn mttd(incident: &Incident) -> Option<(Watched, f64)> {
    from(incident, incident.injected, incident.mttd())
}

/// Recovered − injected, likewise.
pub(crate) fn mttr(incident: &Incident) -> Option<(Watched, f64)> {
    from(incident, incident.injected, incident.mttr())
}

fn from(incident: &Incident, start: Option<crate::time::SimTime>, delay: Option<Span>) -> Option<(Watched, f64)> {
    let passed = start?.since(incident.injected?);
    let watched = (incident.horizon - passed).as_secs_f64();
    let delay = match delay {
        // What happens while the last requests end is seen, too.
        Some(span) => Watched { seconds: span.as_secs_f64(), happened: true },
        None => Watched { seconds: watched, happened: false },
    };
    Some((delay, watched))
}
