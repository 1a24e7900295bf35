//! Owns the story of a trial in words: its milestones, the version that was bad, and one sentence that says it all. Every
//! rendering tells it with these words, so that no two of them disagree.

use crate::event::{ActionKind, Event, Verdict, Weight};
use crate::id::{SignalId, VersionId};
use crate::report::trial::{Incident, Outcome, TrialReport};
use crate::time::{SimTime, Span};
use crate::trace::Recorded;

/// One step of an incident's story.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Milestone {
    /// Its name, as the measures have it.
    pub(super) name: &'static str,
    /// When; `None`: not within the run.
    pub(super) at: Option<SimTime>,
    /// What was seen, in words.
    pub(super) note: String,
    /// The delay that this milestone defines.
    pub(super) delay: Option<String>,
}

/// The steps of one incident, in the order they are defined. A step that did not happen is listed where it was due (with
/// "never, within …"), and left out where nothing called for it.
pub(super) fn milestones(report: &TrialReport, incident: &Incident) -> Vec<Milestone> {
    let mut steps = Vec::new();
    let mut push = |name, at, note: String, delay| steps.push(Milestone { name, at, note, delay });
    let never = || format!("never, within {}", incident.horizon);
    let Some(injected) = incident.injected else {
        push("injected", None, format!("{}: did not take hold", incident.what), None);
        return steps;
    };
    let benign = if incident.harmful { "" } else { " (benign)" };
    push("injected", Some(injected), format!("{}{benign}", incident.what), None);
    match incident.onset {
        Some(onset) if !incident.hurt => {
            push(
                "onset",
                Some(onset),
                "nobody was exposed; when nobody reverts, users are hurt from here".to_owned(),
                None,
            );
        }
        Some(onset) => push("onset", Some(onset), onset_note(report, incident, onset), None),
        None if incident.harmful && incident.twin_free => {
            push("onset", None, "bad share never above the level before it".to_owned(), None);
        }
        None if incident.harmful => push("onset", None, "nobody was hurt by it".to_owned(), None),
        None => {}
    }
    let counts = incident.has_delays();
    match &incident.detected {
        Some(detection) => push(
            "detected",
            Some(detection.at),
            evidence(report.names.rule(detection.rule), &detection.evidence),
            incident.mttd().map(|delay| format!("MTTD {delay}")),
        ),
        None if counts => push("detected", None, never(), Some("MTTD censored".to_owned())),
        None => {}
    }
    if let Some(decided) = incident.decided {
        push("decided", Some(decided), decided_note(report, incident, decided), None);
    }
    if let Some(started) = incident.revert_started {
        push("reverting", Some(started), revert_note(report, started), None);
        match incident.reverted {
            Some(reverted) => push("reverted", Some(reverted), reverted_note(report, incident, reverted), None),
            None => push("reverted", None, revert_failure(report, started).unwrap_or_else(never), None),
        }
    }
    match incident.recovered {
        Some(recovered) if incident.onset.is_some() => {
            let note = if incident.twin_free {
                "loss and latency as before it"
            } else {
                "loss and latency as in the fault-free world"
            };
            push("recovered", Some(recovered), note.to_owned(), incident.mttr().map(|delay| format!("MTTR {delay}")));
        }
        None if counts => push("recovered", None, never(), Some("MTTR censored".to_owned())),
        _ => {}
    }
    steps
}

fn onset_note(report: &TrialReport, incident: &Incident, onset: SimTime) -> String {
    let first = if incident.twin_free {
        "bad share above the level before it"
    } else {
        "first request that is bad because of it"
    };
    match bad_version(report, incident) {
        Some(bad) => {
            format!(
                "{first} ({} of traffic on {})",
                percent(weight_at(report, bad, onset).share()),
                report.names.version(bad)
            )
        }
        None => first.to_owned(),
    }
}

fn decided_note(report: &TrialReport, incident: &Incident, at: SimTime) -> String {
    let found = report.events.iter().find_map(|fact| match &fact.event {
        Event::Decided(decided) if fact.at == at => Some(decided),
        _ => None,
    });
    let mut note = found.map_or_else(
        || "to act".to_owned(),
        |decided| {
            let to = revert_pair(report, incident.revert_started.unwrap_or(at)).map(|(_, to)| report.names.version(to));
            let what = match (decided.verdict, to) {
                (Verdict::Rollback, Some(to)) => format!("rollback to {to}"),
                (verdict, _) => verdict_word(verdict).to_owned(),
            };
            let rules: Vec<&str> = decided.rules.iter().map(|&rule| report.names.rule(rule)).collect();
            let by = if rules.is_empty() { String::new() } else { format!(", by rule {}", rules.join(", ")) };
            let refused = decided.refused.as_ref().map_or_else(String::new, |reason| format!(", refused: {reason}"));
            format!("{what}{by}{refused}")
        },
    );
    if incident.coincident {
        note.push_str(if incident.twin_free {
            " (coincident: cites only rules that had fired before it)"
        } else {
            " (coincident: cites only alarms that also fire without the fault)"
        });
    }
    note
}

/// From which version to which the first revert from `at` on went.
pub(super) fn revert_pair(report: &TrialReport, at: SimTime) -> Option<(VersionId, VersionId)> {
    report.events.iter().find_map(|fact| match fact.event {
        Event::RevertStarted { from, to } if fact.at >= at => Some((from, to)),
        _ => None,
    })
}

fn revert_note(report: &TrialReport, started: SimTime) -> String {
    let over = |event: &Event| matches!(event, Event::RevertDone { .. } | Event::RevertFailed { .. });
    let end = report.events.iter().find(|fact| fact.at >= started && over(&fact.event));
    let until = end.map_or(report.end, |fact| fact.at);
    let orders = report.events.iter().filter(|fact| fact.at >= started && fact.at <= until);
    let steps = orders
        .filter(|fact| matches!(&fact.event, Event::Ordered(order) if matches!(order.kind, ActionKind::SetWeights(_))))
        .count();
    let pair = revert_pair(report, started).map_or_else(String::new, |(from, to)| {
        format!("{} → {}", report.names.version(from), report.names.version(to))
    });
    match steps {
        0 => pair,
        1 => format!("{pair}, at once"),
        n => format!("{pair}, {n} steps"),
    }
}

fn reverted_note(report: &TrialReport, incident: &Incident, reverted: SimTime) -> String {
    let left = incident.revert_started.and_then(|at| revert_pair(report, at));
    let left = report.names.version(left.map_or(report.rollout.0, |(from, _)| from));
    let done = report.events.iter().find_map(|fact| match &fact.event {
        Event::RevertDone { digest, replicas, .. } if fact.at >= reverted => Some((digest.short(), *replicas)),
        _ => None,
    });
    match done {
        // This is when the version that left gave its last answer; the replicas that stay were asked after it.
        Some((digest, 1)) => format!("last answer of {left}; the only replica answers with {digest}"),
        Some((digest, replicas)) => format!("last answer of {left}; all {replicas} replicas answer with {digest}"),
        None if incident.harmful => "the bad version is out of the traffic".to_owned(),
        None => "the new version is out of the traffic".to_owned(),
    }
}

fn revert_failure(report: &TrialReport, started: SimTime) -> Option<String> {
    report.events.iter().find_map(|fact| match &fact.event {
        Event::RevertFailed { reason } if fact.at >= started => Some(format!("failed: {reason}")),
        _ => None,
    })
}

/// A signal without a verdict about the version under test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Silence<'a> {
    pub(super) signal: SignalId,
    pub(super) from: SimTime,
    /// `None`: to the end of the run.
    pub(super) until: Option<SimTime>,
    /// The latest reason, without figures: those were of the first look.
    pub(super) why: &'a str,
}

/// When signals gave no verdict about the version under test, as far as was known before an instant.
pub(super) fn silences(report: &TrialReport, before: SimTime) -> Vec<Silence<'_>> {
    let mut all: Vec<Silence<'_>> = Vec::new();
    for fact in report.events.iter().take_while(|fact| fact.at < before) {
        let (signal, version, why) = match &fact.event {
            Event::Unmeasured(look) => (look.signal, look.version, look.reason.split(" (").next()),
            Event::Measured(look) => (look.signal, look.version, None),
            _ => continue,
        };
        if version != report.rollout.0 {
            continue;
        }
        let open = all.iter_mut().rfind(|s| s.signal == signal && s.until.is_none());
        match (open, why) {
            (Some(open), Some(why)) => open.why = why,
            (Some(open), None) => open.until = Some(fact.at),
            (None, Some(why)) => all.push(Silence { signal, from: fact.at, until: None, why }),
            (None, None) => {}
        }
    }
    all
}

/// Those between the onset of an incident (its injection, if nobody was hurt) and its detection: what the policy could not see.
pub(super) fn without_verdict<'a>(report: &'a TrialReport, incident: &Incident) -> Vec<Silence<'a>> {
    let Some(begin) = incident.onset.or(incident.injected).filter(|_| incident.harmful) else { return Vec::new() };
    let end = incident.detected.as_ref().map_or(report.end, |detection| detection.at);
    let mut all = silences(report, end);
    all.retain(|s| s.until.is_none_or(|until| until > begin));
    all
}

/// "rule: evidence", without saying the rule's name twice.
pub(super) fn evidence(rule: &str, text: &str) -> String {
    if text.starts_with(rule) { text.to_owned() } else { format!("{rule}: {text}") }
}

/// The verdict in words.
pub(super) const fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Alert => "alert",
        Verdict::Halt => "halt",
        Verdict::Rollback => "rollback",
    }
}

/// The weight of a version at an instant: as the router last had it, else as the last window before says.
pub(super) fn weight_at(report: &TrialReport, version: VersionId, at: SimTime) -> Weight {
    let routed = |fact: &Recorded| match &fact.event {
        Event::Weights { weights } => {
            Some(weights.iter().find(|(id, _)| *id == version).map_or(Weight::NONE, |(_, weight)| *weight))
        }
        _ => None,
    };
    let last = report.events.iter().take_while(|fact| fact.at <= at).filter_map(routed).last();
    let window =
        || report.windows.iter().find(|window| window.to > at)?.cells.get(version.index()).map(|cell| cell.weight);
    last.or_else(window).unwrap_or_default()
}

/// The version a fault made bad: the one its words name, else the one that curing it left, else the one whose share of
/// bad requests was worst while users were hurt and above what it was before. `None`: no single version (all of them, or
/// nobody was hurt).
pub(super) fn bad_version(report: &TrialReport, incident: &Incident) -> Option<VersionId> {
    let (injected, onset) = (incident.injected?, incident.onset?);
    let ids = || (0..report.names.versions.len()).filter_map(|i| u16::try_from(i).ok().map(VersionId));
    let named = ids().find(|&id| names_version(&incident.what, report.names.version(id)));
    let left = || revert_pair(report, incident.revert_started?).map(|(from, _)| from);
    if let Some(known) = named.or_else(|| if incident.curable && !incident.coincident { left() } else { None }) {
        return Some(known);
    }
    let until = incident.recovered.unwrap_or(report.end);
    let share = |id: VersionId, from: SimTime, to: SimTime| {
        let cells =
            report.windows.iter().filter(|w| w.from >= from && w.to <= to).filter_map(|w| w.cells.get(id.index()));
        let (bad, all) = cells.fold((0, 0), |(bad, all), cell| (bad + cell.counts.bad, all + cell.counts.requests));
        (all > 0).then(|| bad as f64 / all as f64)
    };
    let mut during: Vec<(f64, VersionId)> = ids().filter_map(|id| Some((share(id, onset, until)?, id))).collect();
    during.sort_by(|a, b| b.0.total_cmp(&a.0));
    let worst = during.first()?;
    // Two versions that are hurt alike share a cause that is neither of them.
    let alone = during.get(1).is_none_or(|second| worst.0 > 1.5 * second.0);
    let margin = report.objective.recovery.margin;
    let worse = share(worst.1, SimTime::ZERO, injected).is_none_or(|before| worst.0 > before + margin);
    (alone && worse).then_some(worst.1)
}

/// Whether a text names a version as a word of its own ("v2:", "v2's").
fn names_version(text: &str, name: &str) -> bool {
    !name.is_empty()
        && text
            .split(|c: char| !c.is_alphanumeric() && !"-_.".contains(c))
            .any(|word| word.trim_end_matches('.') == name)
}

/// Who was bad and what happened, in one sentence.
pub(super) fn headline(report: &TrialReport) -> String {
    let harmful: Vec<&Incident> = report.incidents.iter().filter(|incident| incident.harmful).collect();
    let Some(main) = harmful.iter().max_by_key(|i| (i.counts(), i.harm, std::cmp::Reverse(i.fault))) else {
        return without_harm(report);
    };
    let cause = match bad_version(report, main) {
        Some(bad) => {
            let name = report.names.version(bad);
            format!("{name} was bad: {}", main.what.strip_prefix(&format!("{name}: ")).unwrap_or(&main.what))
        }
        None if main.has_delays() => format!("Users were hurt: {}", main.what),
        None if main.twin_free => format!("No harm showed: {}", main.what),
        None => format!("Nobody was hurt: {}", main.what),
    };
    let more = match harmful.len() {
        1 => String::new(),
        2 => " (and one more fault)".to_owned(),
        n => format!(" (and {} more faults)", n - 1),
    };
    format!("{cause}{more}; {}", ending(main))
}

fn ending(incident: &Incident) -> String {
    if incident.injected.is_none() {
        return "it did not take hold".to_owned();
    }
    let detected = match (incident.mttd(), incident.has_delays()) {
        (Some(delay), _) => format!("detected after {delay}"),
        (None, true) => "never detected".to_owned(),
        (None, false) => "not detected".to_owned(),
    };
    if incident.onset.is_none() {
        return detected;
    }
    if !incident.hurt {
        return "nobody was exposed to it".to_owned();
    }
    let well = incident.recovered.zip(incident.detected.as_ref()).is_some_and(|(well, found)| well < found.at);
    match incident.mttr() {
        Some(delay) if well => format!("users were well again after {delay}; it was {detected}"),
        Some(delay) => format!("{detected}, users well again after {delay}"),
        None => format!("{detected}, users not well again within {}", incident.horizon),
    }
}

fn without_harm(report: &TrialReport) -> String {
    let cause = match report.incidents.as_slice() {
        [] => "Nothing was wrong: no fault was injected".to_owned(),
        [one] => format!("No version was bad: {} (benign)", one.what),
        [one, rest @ ..] => format!("No version was bad: {} (benign, and {} more)", one.what, rest.len()),
    };
    let done = match (report.rollbacks, report.outcome) {
        (0, _) => "no rollback was ordered".to_owned(),
        (1, Outcome::FalseRollback) => "the policy rolled back for nothing".to_owned(),
        (1, _) => "the policy rolled back".to_owned(),
        (n, _) => format!("the policy rolled back {n} times for nothing"),
    };
    format!("{cause}; {done}")
}

/// An outcome as a person says it: `false rollback`.
pub(super) fn outcome_words(outcome: Outcome) -> String {
    outcome.name().replace('-', " ")
}

/// `480 000`.
pub(super) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// `−1 204`, or "not defined".
pub(super) fn signed(n: Option<i64>) -> String {
    n.map_or_else(
        || "not defined".to_owned(),
        |n| format!("{}{}", if n < 0 { "−" } else { "" }, grouped(n.unsigned_abs())),
    )
}

/// `5 %`, `0.25 %`, `99.997 %`: up to three digits after the point, none that say nothing.
pub(super) fn percent(share: f64) -> String {
    let text = format!("{:.3}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// `06:00`, `1:02:03`: an instant to the second.
pub(super) fn clock(at: SimTime) -> String {
    let text = at.to_string();
    text.rsplit_once('.').map_or(text.clone(), |(head, _)| head.to_owned())
}

/// Instants as spans, for "40 min simulated" and "40 min live".
pub(super) const fn length(at: SimTime) -> Span {
    Span(at.0)
}
