//! Owns `incident.md`: the postmortem that a person reads afterwards.

use super::console::expectation;
use super::story::{
    Silence, bad_version, grouped, headline, length, milestones, outcome_words, percent, revert_pair, signed,
    verdict_word, without_verdict,
};
use crate::event::{ActionEnd, ActionKind, Event, Gap, RuleFired, Weight};
use crate::id::VersionId;
use crate::report::trial::{Incident, TrialReport};
use crate::time::SimTime;
use std::fmt::Write as _;

/// The postmortem. `command` reproduces the trial.
#[must_use]
pub fn incident_md(report: &TrialReport, command: &str) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write!(out, "# {}: {}\n\n", report.scenario, outcome_words(report.outcome));
    let _ = write!(out, "**{}.**\n\n", prose(&headline(report)));
    if !report.summary.is_empty() {
        let _ = write!(out, "{}\n\n", prose(&report.summary));
    }
    let _ = write!(
        out,
        "Policy `{}`, seed {}, {} of {} time; `{}` was rolled out over `{}`.\n\n![Timeline](timeline.svg)\n\n",
        report.policy,
        report.seed,
        length(report.horizon),
        if report.is_live() { "real" } else { "virtual" },
        report.names.version(report.rollout.0),
        report.names.version(report.rollout.1),
    );
    timeline(&mut out, report);
    impact(&mut out, report);
    policy(&mut out, report);
    measures(&mut out, report);
    if !report.expectations.is_empty() {
        out.push_str("## Expectations\n\n");
        for result in &report.expectations {
            let _ = writeln!(out, "- {}", prose(&expectation(result)));
        }
        out.push('\n');
    }
    identity(&mut out, report, command);
    out
}

fn timeline(out: &mut String, report: &TrialReport) {
    out.push_str("## What happened\n\n");
    if report.incidents.is_empty() {
        out.push_str("No fault was injected.\n\n");
    }
    for incident in &report.incidents {
        let kind = match (incident.harmful, incident.curable) {
            (false, _) => "benign",
            (true, true) => "harmful, curable by rollback",
            (true, false) => "harmful, not curable by rollback",
        };
        let _ = write!(
            out,
            "### {} ({kind}): {}\n\n| time | milestone | what was seen | delay |\n|---:|---|---|---|\n",
            prose(report.names.fault(incident.fault)),
            outcome_words(incident.outcome),
        );
        for step in milestones(report, incident) {
            let time = step.at.map_or_else(|| "–".to_owned(), |at| at.to_string());
            let delay = step.delay.unwrap_or_default();
            let _ = writeln!(out, "| {time} | {} | {} | {delay} |", step.name, cell(&step.note));
        }
        out.push('\n');
        if let Some(fired) = evidence_of(report, incident) {
            let _ = write!(
                out,
                "Evidence of the detection: {}. It covers {} to {}; one look of rule `{}` spans {}.\n\n",
                prose(&fired.evidence),
                fired.evidence_from,
                fired.evidence_to,
                report.names.rule(fired.rule),
                fired.window,
            );
        }
        let silent = without_verdict(report, incident);
        if !silent.is_empty() {
            let _ = write!(
                out,
                "Meanwhile these signals gave no verdict about {}:\n\n| signal | from | until | why |\n|---|---:|---:|---|\n",
                report.names.version(report.rollout.0),
            );
            for Silence { signal, from, until, why } in silent {
                let until = until.map_or_else(|| "–".to_owned(), |at| at.to_string());
                let _ = writeln!(out, "| `{}` | {from} | {until} | {} |", report.names.signal(signal), cell(why));
            }
            out.push('\n');
        }
    }
}

/// The alarm that detected an incident.
fn evidence_of<'a>(report: &'a TrialReport, incident: &Incident) -> Option<&'a RuleFired> {
    let detection = incident.detected.as_ref()?;
    report.events.iter().find_map(|fact| match &fact.event {
        Event::RuleFired(fired) if fact.at == detection.at && fired.rule == detection.rule => Some(fired),
        _ => None,
    })
}

fn impact(out: &mut String, report: &TrialReport) {
    let counts = &report.requests;
    let _ = write!(
        out,
        "## Impact\n\n{} of {} requests were bad{}: {} failed ({} of them lost with a replica), {} late, {} wrong; one request \
         can be late and wrong.\n\n",
        grouped(counts.bad),
        grouped(counts.requests),
        share_of(counts.bad, counts.requests).map_or_else(String::new, |share| format!(" ({share})")),
        grouped(counts.failed),
        grouped(counts.lost),
        grouped(counts.late),
        grouped(counts.wrong),
    );
    if report.segments.len() > 1 {
        out.push_str(
            "| users | requests | bad | bad share | failed | late | wrong |\n|---|---:|---:|---:|---:|---:|---:|\n",
        );
        for (i, counts) in report.segments.iter().enumerate().filter(|(_, counts)| counts.requests > 0) {
            let name = report.names.segments.get(i).map_or("?", String::as_str);
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} |",
                cell(name),
                grouped(counts.requests),
                grouped(counts.bad),
                share_of(counts.bad, counts.requests).unwrap_or_else(|| "–".to_owned()),
                grouped(counts.failed),
                grouped(counts.late),
                grouped(counts.wrong),
            );
        }
        out.push('\n');
    }
}

fn share_of(part: u64, of: u64) -> Option<String> {
    (of > 0).then(|| format!("{:.2} %", part as f64 / of as f64 * 100.0))
}

/// What the policy did: its decisions, orders and what became of them.
fn policy(out: &mut String, report: &TrialReport) {
    const ROWS_MAX: usize = 60;
    let names = &report.names;
    let mut rows: Vec<(SimTime, String)> = Vec::new();
    for fact in &report.events {
        let text = match &fact.event {
            Event::Stage { stage, weight } => {
                format!(
                    "Stage {} of the rollout: {} gets {}",
                    stage + 1,
                    names.version(report.rollout.0),
                    percent(weight.share())
                )
            }
            Event::RuleFired(fired) => {
                format!("Rule `{}` fails: {}", names.rule(fired.rule), cell(&fired.evidence))
            }
            Event::RuleCleared { rule } => format!("Rule `{}` no longer fails", names.rule(*rule)),
            Event::Decided(decided) => {
                let rules: Vec<String> = decided.rules.iter().map(|&rule| format!("`{}`", names.rule(rule))).collect();
                let refused = decided
                    .refused
                    .as_ref()
                    .map_or_else(String::new, |reason| format!("; **refused**: {}", cell(reason)));
                format!("**Decided: {}** on {}{refused}", verdict_word(decided.verdict), rules.join(", "))
            }
            Event::RevertStarted { from, to } => {
                format!("Revert from {} to {} begins", names.version(*from), names.version(*to))
            }
            Event::Ordered(action) => match &action.kind {
                ActionKind::Scale { version, replicas } => {
                    format!("Order {}: {} replicas for {}", action.id.0, replicas, names.version(*version))
                }
                ActionKind::SetWeights(weights) => format!("Order {}: weights {}", action.id.0, split(report, weights)),
                ActionKind::Notify(text) => format!("Order {}: tell a person \"{}\"", action.id.0, cell(text)),
                ActionKind::Query(_) => continue,
            },
            Event::OrderEnded(result) => match &result.end {
                ActionEnd::Ok => continue,
                ActionEnd::Err(reason) => format!("Order {} **failed**: {}", result.action.0, cell(reason)),
                ActionEnd::Lost => format!("Order {} got **no answer**", result.action.0),
            },
            Event::Weights { weights } => format!("The router has {}", split(report, weights)),
            Event::RevertDone { to, digest, replicas } => {
                format!("Revert to {} done: {replicas} replicas answer with {}", names.version(*to), digest.short())
            }
            Event::RevertFailed { reason } => format!("Revert **failed**: {}", cell(reason)),
            Event::Verified { well: true } => "The policy's own check: users are well".to_owned(),
            Event::Verified { well: false } => "The policy's own check: users are **not** well".to_owned(),
            Event::Gap(Gap { from, to, replica: None }) => format!("Telemetry lost from {from} to {to}"),
            Event::Gap(Gap { to, replica: Some(replica), .. }) => {
                format!("Replica {} did not answer the scrape at {to}", replica.0)
            }
            Event::Misbehaved { replica, what } => format!("Replica {}: {}", replica.0, cell(what)),
            Event::Live { cores } => format!("Live: real processes in real time, {cores} cores"),
            Event::LoadFailed { replica, version, reason } => {
                format!("Replica {} could not load {}: {}", replica.0, names.version(*version), cell(reason))
            }
            Event::FaultStarted { .. }
            | Event::FaultEnded { .. }
            | Event::Replica(_)
            | Event::Loaded { .. }
            | Event::Served { .. }
            | Event::Measured(_)
            | Event::Unmeasured(_) => continue,
        };
        rows.push((fact.at, text));
    }
    out.push_str("## What the policy did\n\n");
    if rows.is_empty() {
        out.push_str("Nothing.\n\n");
        return;
    }
    out.push_str("| time | step |\n|---:|---|\n");
    let hidden = rows.len().saturating_sub(ROWS_MAX);
    // When there are too many, the beginning and the end are what a reader needs.
    for (i, (at, text)) in rows.iter().enumerate() {
        if hidden == 0 || i < ROWS_MAX / 2 || i >= rows.len() - ROWS_MAX / 2 {
            let _ = writeln!(out, "| {at} | {text} |");
        } else if i == ROWS_MAX / 2 {
            let _ = writeln!(out, "| … | {hidden} more steps, all in events.jsonl |");
        }
    }
    out.push('\n');
}

fn split(report: &TrialReport, weights: &[(VersionId, Weight)]) -> String {
    let parts: Vec<String> = weights
        .iter()
        .map(|(id, weight)| format!("{} {}", report.names.version(*id), percent(weight.share())))
        .collect();
    parts.join(", ")
}

fn measures(out: &mut String, report: &TrialReport) {
    out.push_str("## Measures\n\n| measure | value | definition |\n|---|---:|---|\n");
    let several = report.incidents.iter().filter(|incident| incident.has_delays()).count() > 1;
    for incident in report.incidents.iter().filter(|incident| incident.has_delays()) {
        let of = if several { format!(" of {}", cell(report.names.fault(incident.fault))) } else { String::new() };
        let never = || format!("never, within {}", incident.horizon);
        let show = |delay: Option<_>| delay.map_or_else(never, |delay: crate::time::Span| delay.to_string());
        let (alarm, onset) = if incident.twin_free {
            (
                "first alarm of a rule that was quiet before the fault",
                "start of the first window whose bad share exceeds the level before it",
            )
        } else {
            ("first alarm because of the fault", "first request bad because of it")
        };
        let well = "users well again";
        let rows = [
            ("MTTD", incident.mttd(), format!("{alarm} − injected")),
            ("MTTD from onset", incident.mttd_from_onset(), format!("{alarm} − {onset}")),
            ("MTTR", incident.mttr(), format!("{well} − injected")),
            ("MTTR from onset", incident.mttr_from_onset(), format!("{well} − {onset}")),
        ];
        for (name, delay, definition) in rows {
            let _ = writeln!(out, "| {name}{of} | {} | {definition} |", show(delay));
        }
        let value = match (&incident.detected, incident.recovered) {
            (Some(detection), Some(recovered)) if recovered < detection.at => "already well when detected".to_owned(),
            _ => show(incident.mttr_from_detected()),
        };
        let _ = writeln!(out, "| MTTR from detection{of} | {value} | {well} − first alarm |");
    }
    let harm = [
        (
            "Harm suffered",
            signed(report.harm_suffered),
            "bad requests with the faults − without them, under this policy",
        ),
        (
            "Users hurt",
            report.users_hurt.map_or_else(|| "not defined".to_owned(), grouped),
            "distinct users with a request that is bad here and not without faults",
        ),
        ("Harm avoided", signed(report.harm_avoided), "bad requests when nobody reverts − under this policy"),
        (
            "Policy harm",
            signed(report.policy_harm),
            "bad requests under this policy − when nobody reverts, both without faults",
        ),
        ("Joint harm", signed(report.joint_harm), "harm of all faults together − the sum of each alone"),
    ];
    let harm = if report.has_twins() { &harm[..] } else { &[] };
    let rest = [
        ("Rollbacks", report.rollbacks.to_string(), "ordered and not refused"),
        (
            "Failure budget spent",
            percent(report.budget_spent),
            "requests without an answer in this trial, of those allowed in the objective's whole period; late ones do not count",
        ),
    ];
    for (name, value, definition) in harm.iter().chain(&rest) {
        let _ = writeln!(out, "| {name} | {value} | {definition} |");
    }
    if !report.has_twins() {
        out.push_str(
            "\nMeasured without reference runs, against the time before each fault. What the faults, the policy and chance each \
             added to the bad requests (harm) is not defined then.\n",
        );
    }
    if report.harm_suffered.is_some_and(|harm| harm < 0) {
        out.push_str(
            "\nHarm below zero: single requests are bad here and not without the faults, and users hurt are those who sent them; \
             but others are bad only without the faults, where another version answered them, and there are more of those.\n",
        );
    }
    out.push_str("\nA request is bad if it failed, was late against the objective, or was answered wrongly against the truth.\n\n");
}

fn identity(out: &mut String, report: &TrialReport, command: &str) {
    // Real time does not come back: a live run can be made again, not reproduced.
    let (heading, answers, decisions) = if report.is_live() {
        ("Run again", "what models answered (this run's)", "what was decided (this run's)")
    } else {
        ("Reproduce", "what models answered (equal on one CPU type)", "what was decided")
    };
    let _ = write!(out, "## {heading}\n\n```\n{}\n```\n\n", command.trim_end());
    let _ = write!(out, "| digest of | value |\n|---|---|\n");
    let digests = &report.digests;
    let rows = [
        ("the trace", &report.trace_digest),
        ("what came from outside (equal on any machine)", &digests.exogenous),
        (answers, &digests.inference),
        (decisions, &digests.decisions),
    ];
    for (name, digest) in rows {
        let _ = writeln!(out, "| {name} | `{digest}` |");
    }
    for (name, digest) in &digests.streams {
        let _ = writeln!(out, "| stream {} | `{digest}` |", cell(name));
    }
    let _ = write!(out, "\n{} facts in the trace.\n", grouped(report.trace_events));
    if let Some((from, _)) = report.incidents.iter().find_map(|i| revert_pair(report, i.revert_started?))
        && let Some(bad) = report.incidents.iter().find_map(|i| bad_version(report, i))
        && from != bad
    {
        let _ = write!(
            out,
            "\nNote: the revert left {}, while {} was the bad version.\n",
            report.names.version(from),
            report.names.version(bad)
        );
    }
}

/// Text inside a table: no bars, no line breaks.
pub(super) fn cell(text: &str) -> String {
    prose(text).replace('|', "\\|")
}

/// Text that must not turn into markup.
fn prose(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '*' | '_' | '`' | '<' | '[' => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
