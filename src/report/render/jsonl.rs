//! Owns `events.jsonl`: the kept facts of the trial, one JSON object a line, with names where the trace has indices.

use crate::digest::Digest;
use crate::event::{Action, ActionEnd, ActionKind, Event, Gap, Health, Query, ReplicaState, Weight};
use crate::id::{Names, ReplicaId, RuleId, VersionId};
use crate::report::render::story::verdict_word;
use crate::report::trial::TrialReport;
use crate::time::{NS_PER_S, SimTime};
use serde_json::{Map, Value, json};

/// The lines. Every one has `seq`, `at_s` (seconds with nine decimals), `at` (as a clock shows it) and `event`, then what
/// belongs to its kind; other times are in seconds, weights are shares in [0, 1].
#[must_use]
pub fn events_jsonl(report: &TrialReport) -> String {
    let mut out = String::new();
    for fact in &report.events {
        let body = describe(&report.names, &fact.event).to_string();
        let (s, ns) = (fact.at.0 / NS_PER_S, fact.at.0 % NS_PER_S);
        out.push_str(&format!("{{\"seq\":{},\"at_s\":{s}.{ns:09},\"at\":\"{}\",", fact.seq, fact.at));
        // The body is an object with at least one member.
        out.push_str(body.strip_prefix('{').unwrap_or(&body));
        out.push('\n');
    }
    out
}

fn describe(names: &Names, event: &Event) -> Value {
    let version = |id: VersionId| names.version(id);
    match event {
        Event::FaultStarted { fault } => json!({"event": "fault-started", "fault": names.fault(*fault)}),
        Event::FaultEnded { fault } => json!({"event": "fault-ended", "fault": names.fault(*fault)}),
        Event::Replica(Health { replica, version: id, state }) => {
            json!({"event": "replica", "replica": replica.0, "version": version(*id), "state": state_word(*state)})
        }
        Event::Loaded { replica, version: id, digest } => {
            json!({"event": "loaded", "replica": replica.0, "version": version(*id), "digest": digest.to_string()})
        }
        Event::LoadFailed { replica, version: id, reason } => {
            json!({"event": "load-failed", "replica": replica.0, "version": version(*id), "reason": reason})
        }
        Event::Weights { weights } => json!({"event": "weights", "weights": shares(names, weights)}),
        Event::Gap(Gap { from, to, replica }) => {
            json!({"event": "gap", "from_s": secs(*from), "to_s": secs(*to), "replica": replica.map(|r| r.0)})
        }
        Event::Live { cores } => json!({"event": "live", "cores": cores}),
        Event::Served { served } => {
            let replica = |(r, v, d): &(ReplicaId, VersionId, Digest)| json!({"replica": r.0, "version": version(*v), "digest": d});
            json!({"event": "served", "served": served.iter().map(replica).collect::<Vec<_>>()})
        }
        Event::Misbehaved { replica, what } => json!({"event": "misbehaved", "replica": replica.0, "what": what}),
        Event::Ordered(action) => ordered(names, action),
        Event::OrderEnded(result) => {
            let (end, reason) = match &result.end {
                ActionEnd::Ok => ("ok", None),
                ActionEnd::Err(reason) => ("error", Some(reason)),
                ActionEnd::Lost => ("lost", None),
            };
            let mut line = json!({"event": "order-ended", "action": result.action.0, "end": end});
            if let (Some(reason), Some(object)) = (reason, line.as_object_mut()) {
                object.insert("reason".to_owned(), json!(reason));
            }
            line
        }
        Event::Measured(measured) => {
            let values: Map<String, Value> = measured
                .values
                .iter()
                .enumerate()
                .map(|(i, value)| (names.field(measured.signal, i).to_owned(), json!(value)))
                .collect();
            json!({
                "event": "measured", "signal": names.signal(measured.signal), "version": version(measured.version),
                "values": values,
            })
        }
        Event::Unmeasured(look) => json!({
            "event": "unmeasured", "signal": names.signal(look.signal), "version": version(look.version),
            "reason": look.reason,
        }),
        Event::RuleFired(fired) => json!({
            "event": "rule-fired", "rule": names.rule(fired.rule), "evidence": fired.evidence,
            "evidence_from_s": secs(fired.evidence_from), "evidence_to_s": secs(fired.evidence_to),
            "window_s": fired.window.as_secs_f64(),
        }),
        Event::RuleCleared { rule } => json!({"event": "rule-cleared", "rule": names.rule(*rule)}),
        Event::Decided(decided) => json!({
            "event": "decided", "verdict": verdict_word(decided.verdict), "rules": rules(names, &decided.rules),
            "refused": decided.refused,
        }),
        Event::Stage { stage, weight } => json!({"event": "stage", "stage": stage, "weight": weight.share()}),
        Event::RevertStarted { from, to } => {
            json!({"event": "revert-started", "from": version(*from), "to": version(*to)})
        }
        Event::RevertDone { to, digest, replicas } => {
            json!({"event": "revert-done", "to": version(*to), "digest": digest.to_string(), "replicas": replicas})
        }
        Event::RevertFailed { reason } => json!({"event": "revert-failed", "reason": reason}),
        Event::Verified { well } => json!({"event": "verified", "well": well}),
    }
}

fn ordered(names: &Names, action: &Action) -> Value {
    let order = match &action.kind {
        ActionKind::Scale { version, replicas } => {
            json!({"order": "scale", "version": names.version(*version), "replicas": replicas})
        }
        ActionKind::SetWeights(weights) => json!({"order": "set-weights", "weights": shares(names, weights)}),
        ActionKind::Notify(text) => json!({"order": "notify", "text": text}),
        ActionKind::Query(query) => match query {
            Query::SuccessRate { version, window } => json!({
                "order": "query", "query": "success-rate", "version": names.version(*version),
                "window_s": window.as_secs_f64(),
            }),
            Query::Latency { version, quantile, window } => json!({
                "order": "query", "query": "latency", "version": names.version(*version),
                "quantile": quantile.share(), "window_s": window.as_secs_f64(),
            }),
            Query::Served => json!({"order": "query", "query": "served"}),
        },
    };
    let mut line = Map::new();
    line.insert("event".to_owned(), json!("ordered"));
    line.insert("action".to_owned(), json!(action.id.0));
    line.insert("epoch".to_owned(), json!(action.epoch));
    line.insert("controller".to_owned(), json!(action.controller.0));
    if let Value::Object(order) = order {
        line.extend(order);
    }
    Value::Object(line)
}

/// Shares by version name.
fn shares(names: &Names, weights: &[(VersionId, Weight)]) -> Value {
    Value::Object(weights.iter().map(|(id, weight)| (names.version(*id).to_owned(), json!(weight.share()))).collect())
}

fn rules(names: &Names, rules: &[RuleId]) -> Vec<String> {
    rules.iter().map(|&rule| names.rule(rule).to_owned()).collect()
}

fn secs(at: SimTime) -> f64 {
    at.as_secs_f64()
}

/// A replica's state in files.
pub(super) const fn state_word(state: ReplicaState) -> &'static str {
    match state {
        ReplicaState::Fetching => "fetching",
        ReplicaState::Verifying => "verifying",
        ReplicaState::Loading => "loading",
        ReplicaState::WarmingUp => "warming-up",
        ReplicaState::Ready => "ready",
        ReplicaState::Draining => "draining",
        ReplicaState::Stopped => "stopped",
        ReplicaState::Crashed => "crashed",
    }
}
