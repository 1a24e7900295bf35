//! Owns `summary.json`: the contract with other programs. Keys are only ever added; their order is fixed.
//!
//! Delays and instants are seconds, counts are requests, `null` means censored or not defined. Everything but `host` is the
//! same on every run, unless the run was live.

use super::many::Many;
use super::story::weight_at;
use crate::report::aggregate::Aggregate;
use crate::report::estimate::{Delay, Estimate, Figure, Share};
use crate::report::trial::{ExpectationResult, ExpectationVerdict, Host, Incident, RequestCounts, TrialReport};
use crate::stats::Interval;
use crate::time::{SimTime, Span};
use serde_json::{Map, Value, json};

/// One trial as one object.
#[must_use]
pub fn summary_json(report: &TrialReport) -> Value {
    let counted: Vec<&Incident> = report.incidents.iter().filter(|incident| incident.has_delays()).collect();
    let (mttd, mttd_censored) = mean(counted.iter().map(|incident| incident.mttd()));
    let (mttr, mttr_censored) = mean(counted.iter().map(|incident| incident.mttr()));
    let streams: Map<String, Value> =
        report.digests.streams.iter().map(|(name, digest)| (name.clone(), json!(digest))).collect();
    let segments: Vec<Value> = report
        .segments
        .iter()
        .enumerate()
        .map(|(i, counts)| {
            let name = report.names.segments.get(i).map_or("?", String::as_str);
            counts_json(Some(name), counts)
        })
        .collect();
    json!({
        "scenario": report.scenario,
        "policy": report.policy,
        "seed": report.seed,
        "driver": if report.is_live() { "live" } else { "simulated" },
        "outcome": report.outcome.name(),
        "rollout": { "from": report.names.version(report.rollout.1), "to": report.names.version(report.rollout.0) },
        "mttd_s": mttd,
        "mttr_s": mttr,
        "censored": { "of": counted.len(), "mttd": mttd_censored, "mttr": mttr_censored },
        "requests": report.requests.requests,
        "bad_requests": report.requests.bad,
        "failed_requests": report.requests.failed,
        "late_requests": report.requests.late,
        "wrong_requests": report.requests.wrong,
        "lost_requests": report.requests.lost,
        "harm_suffered": report.harm_suffered,
        "harm_avoided": report.harm_avoided,
        "policy_harm": report.policy_harm,
        "joint_harm": report.joint_harm,
        "users_hurt": report.users_hurt,
        "rollbacks": report.rollbacks,
        "budget_spent": report.budget_spent,
        "sim_s": report.end.as_secs_f64(),
        "horizon_s": report.horizon.as_secs_f64(),
        "incidents": report.incidents.iter().map(|incident| incident_json(report, incident)).collect::<Vec<_>>(),
        "expectations": report.expectations.iter().map(expectation_json).collect::<Vec<_>>(),
        "segments": segments,
        "trace_digest": report.trace_digest,
        "digests": {
            "exogenous": report.digests.exogenous,
            "inference": report.digests.inference,
            "decisions": report.digests.decisions,
            "streams": streams,
        },
        "trace_events": report.trace_events,
        "host": host_json(&report.host),
    })
}

/// Several trials of one scenario under one policy: each as [`summary_json`] has it, and what they amount to together.
/// `trials` are values, so that whoever runs thousands of them keeps no more of each.
#[must_use]
pub fn summary_many(many: &Many<'_>, trials: Vec<Value>) -> Value {
    json!({
        "scenario": many.scenario,
        "policy": many.policy,
        "trials": trials,
        "aggregate": aggregate_json(many.aggregate, many.expectations),
        "host": host_json(&many.host),
    })
}

/// What many trials amount to. An interval is `[low, high]` with 95 % confidence, an open end `null`; a value is `null` where
/// it is not reached within the horizon, or there is nothing to tell it from.
fn aggregate_json(aggregate: &Aggregate, expectations: &[ExpectationResult]) -> Value {
    let outcomes: Map<String, Value> =
        aggregate.outcomes.iter().map(|(outcome, share)| (outcome.name().to_owned(), share_json(share))).collect();
    json!({
        "trials": aggregate.trials,
        "outcomes": outcomes,
        "mttd_s": delay_json(&aggregate.mttd),
        "mttd_from_onset_s": delay_json(&aggregate.mttd_from_onset),
        "mttr_s": delay_json(&aggregate.mttr),
        "mttr_from_onset_s": delay_json(&aggregate.mttr_from_onset),
        "mttr_from_detected_s": delay_json(&aggregate.mttr_from_detected),
        "preempted": aggregate.preempted,
        "harm_suffered": figure_json(&aggregate.harm_suffered),
        "harm_avoided": figure_json(&aggregate.harm_avoided),
        "policy_harm": figure_json(&aggregate.policy_harm),
        "joint_harm": figure_json(&aggregate.joint_harm),
        "bad_requests": figure_json(&aggregate.bad_requests),
        "lost_requests": figure_json(&aggregate.lost_requests),
        "rollbacks": figure_json(&aggregate.rollbacks),
        "budget_spent": figure_json(&aggregate.budget_spent),
        "precision": share_json(&aggregate.precision),
        "recall": share_json(&aggregate.recall),
        "faulty": share_json(&aggregate.faulty),
        "good_releases_blocked": share_json(&aggregate.good_releases_blocked),
        "requests": aggregate.requests.requests,
        "expectations": expectations.iter().map(expectation_json).collect::<Vec<_>>(),
    })
}

fn interval_json(interval: Option<Interval>) -> Value {
    interval.map_or(Value::Null, |interval| json!([finite(interval.low), finite(interval.high)]))
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

fn estimate_json(estimate: &Estimate) -> Value {
    json!({ "value": estimate.value.and_then(finite), "interval": interval_json(estimate.interval) })
}

fn share_json(share: &Share) -> Value {
    json!({ "count": share.count, "of": share.of, "share": share.value(), "interval": interval_json(share.interval) })
}

fn delay_json(delay: &Delay) -> Value {
    json!({
        "n": delay.n,
        "censored": delay.censored,
        "horizon_s": finite(delay.horizon_s),
        "restricted_mean": estimate_json(&delay.mean),
        "p50": estimate_json(&delay.p50),
        "p90": estimate_json(&delay.p90),
    })
}

fn figure_json(figure: &Figure) -> Value {
    json!({
        "n": figure.n,
        "mean": estimate_json(&figure.mean),
        "p50": estimate_json(&figure.p50),
        "p90": estimate_json(&figure.p90),
        "min": figure.min,
        "max": figure.max,
    })
}

/// The mean in seconds over those that are there, and how many are not.
fn mean(delays: impl Iterator<Item = Option<Span>>) -> (Option<f64>, usize) {
    let (mut sum, mut known, mut censored) = (0.0, 0_u32, 0);
    for delay in delays {
        match delay {
            Some(delay) => {
                sum += delay.as_secs_f64();
                known += 1;
            }
            None => censored += 1,
        }
    }
    ((known > 0).then(|| sum / f64::from(known)), censored)
}

fn incident_json(report: &TrialReport, incident: &Incident) -> Value {
    let instant = |at: Option<SimTime>| at.map(|at| json!({ "at_s": at.as_secs_f64() }));
    let secs = |span: Option<Span>| span.map(Span::as_secs_f64);
    let version = super::story::bad_version(report, incident);
    json!({
        "fault": report.names.fault(incident.fault),
        "what": incident.what,
        "harmful": incident.harmful,
        "curable": incident.curable,
        "outcome": incident.outcome.name(),
        "bad_version": version.map(|id| report.names.version(id)),
        "weight_at_onset": version.zip(incident.onset).map(|(id, at)| weight_at(report, id, at).share()),
        "harmful_here": incident.counts(),
        "hurt": incident.hurt,
        "injected": instant(incident.injected),
        "onset": instant(incident.onset),
        "detected": incident.detected.as_ref().map(|detection| json!({
            "at_s": detection.at.as_secs_f64(),
            "rule": report.names.rule(detection.rule),
            "evidence": detection.evidence,
        })),
        "decided": instant(incident.decided),
        "coincident": incident.coincident,
        "revert_started": instant(incident.revert_started),
        "reverted": instant(incident.reverted),
        "recovered": instant(incident.recovered),
        "mttd_s": secs(incident.mttd()),
        "mttd_from_onset_s": secs(incident.mttd_from_onset()),
        "mttr_s": secs(incident.mttr()),
        "mttr_from_onset_s": secs(incident.mttr_from_onset()),
        "mttr_from_detected_s": secs(incident.mttr_from_detected()),
        "censored_at_s": incident.horizon.as_secs_f64(),
        "harm": incident.harm,
        "twin_free": incident.twin_free,
    })
}

fn expectation_json(result: &ExpectationResult) -> Value {
    let (verdict, seeds) = match result.verdict {
        ExpectationVerdict::Holds => ("holds", None),
        ExpectationVerdict::Missed => ("missed", None),
        ExpectationVerdict::Inconclusive { seeds } => ("inconclusive", Some(seeds)),
        ExpectationVerdict::NotDefined => ("not-defined", None),
    };
    json!({ "text": result.text, "measured": result.measured, "verdict": verdict, "seeds_needed": seeds })
}

fn counts_json(segment: Option<&str>, counts: &RequestCounts) -> Value {
    let share = (counts.requests > 0).then(|| counts.bad as f64 / counts.requests as f64);
    json!({
        "segment": segment,
        "requests": counts.requests,
        "bad": counts.bad,
        "failed": counts.failed,
        "late": counts.late,
        "wrong": counts.wrong,
        "lost": counts.lost,
        "bad_share": share,
    })
}

fn host_json(host: &Host) -> Value {
    json!({
        "wall_s": host.wall_s,
        "trial_wall_s": host.trial_wall_s,
        "requests_per_s": host.requests_per_s,
        "reference_runs": host.reference_runs,
        "rows_inferred": host.rows_inferred,
        "jobs": host.jobs,
    })
}
