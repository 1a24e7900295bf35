//! Owns what a person reads on the terminal after a run: at most 25 lines of at most 100 columns.

use super::story::{Milestone, grouped, headline, length, milestones, outcome_words, percent, signed};
use crate::report::trial::{ExpectationResult, ExpectationVerdict, Incident, Outcome, TrialReport};
use crate::time::Span;

/// Lines at most.
pub const LINES_MAX: usize = 25;
/// Columns at most; only a path or a command to paste may be wider, for neither survives being cut.
pub const COLUMNS_MAX: usize = 100;

/// How the console is written.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConsoleOptions<'a> {
    /// With ANSI colours.
    pub color: bool,
    /// Where the files of [`super::write_all`] are, if they were written.
    pub out_dir: Option<&'a str>,
    /// The command that reproduces the trial; shown when an expectation was missed.
    pub reproduce: Option<&'a str>,
}

/// The summary of one trial, ending with a line break.
#[must_use]
pub fn console(report: &TrialReport, options: &ConsoleOptions<'_>) -> String {
    let ink = Ink { on: options.color };
    let tail = tail(report, options, ink);
    let mut lines = vec![head(report, ink), String::new()];
    // What is left for incidents: all lines but the head, the tail, and one empty line before each.
    let budget = LINES_MAX.saturating_sub(lines.len() + tail.len() + 1);
    lines.extend(body(report, budget, ink));
    lines.push(String::new());
    lines.extend(tail);
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

fn head(report: &TrialReport, ink: Ink) -> String {
    let simulated = match report.host.wall_s {
        _ if report.is_live() => format!("{} live", length(report.horizon)),
        wall if wall > 0.0 => format!("{} simulated in {wall:.1} s", length(report.horizon)),
        _ => format!("{} simulated", length(report.horizon)),
    };
    let room = COLUMNS_MAX.saturating_sub(width(&simulated) + 2);
    let title = fit(&format!("{} · policy {} · seed {}", report.scenario, report.policy, report.seed), room);
    let gap = " ".repeat(room - width(&title) + 2);
    format!("{}{gap}{}", ink.bold(&title), ink.dim(&simulated))
}

/// The incidents: in full if that fits, else a line or two each, the harmful ones first.
fn body(report: &TrialReport, budget: usize, ink: Ink) -> Vec<String> {
    if report.incidents.is_empty() {
        return vec![format!("  {}", fit(&headline(report), COLUMNS_MAX - 2))];
    }
    let full: Vec<Vec<String>> = report
        .incidents
        .iter()
        .map(|incident| milestones(report, incident).iter().map(|step| step_line(step, ink)).collect())
        .collect();
    let several = full.len() > 1;
    let needed: usize = full.iter().map(Vec::len).sum::<usize>() + if several { full.len() * 2 - 1 } else { 0 };
    if needed <= budget {
        let mut lines = Vec::new();
        for (incident, steps) in report.incidents.iter().zip(full) {
            if several {
                if !lines.is_empty() {
                    lines.push(String::new());
                }
                let name = fit(report.names.fault(incident.fault), 60);
                lines.push(format!(
                    "  {} {}",
                    ink.bold(&name),
                    ink.dim(&format!("({})", outcome_words(incident.outcome)))
                ));
            }
            lines.extend(steps);
        }
        return lines;
    }
    let mut order: Vec<&Incident> = report.incidents.iter().collect();
    order.sort_by_key(|incident| (!incident.counts(), !incident.harmful, incident.fault));
    let per_incident = if order.len() * 2 <= budget { 2 } else { 1 };
    let room = if order.len() * per_incident <= budget { order.len() } else { budget.saturating_sub(1) };
    let mut lines: Vec<String> =
        order.iter().take(room).flat_map(|incident| brief(report, incident, per_incident, ink)).collect();
    if room < order.len() {
        lines.push(ink.dim(&format!("  … and {} more, see incident.md", order.len() - room)));
    }
    lines
}

fn step_line(step: &Milestone, ink: Ink) -> String {
    let time = step.at.map_or_else(|| "--:--".to_owned(), |at| at.to_string());
    let start = format!("  {time:<9}  {:<9}  ", step.name);
    let delay = step.delay.as_deref().unwrap_or_default();
    let room = COLUMNS_MAX - width(&start) - if delay.is_empty() { 0 } else { width(delay) + 2 };
    let note = fit(&step.note, room);
    if delay.is_empty() {
        return format!("{}{note}", ink.time(&start, step.at.is_some())).trim_end().to_owned();
    }
    let gap = " ".repeat(room - width(&note) + 2);
    format!("{}{note}{gap}{}", ink.time(&start, step.at.is_some()), ink.bold(delay))
}

/// One incident in one line or two.
fn brief(report: &TrialReport, incident: &Incident, lines: usize, ink: Ink) -> Vec<String> {
    let time = incident.injected.map_or_else(|| "--:--".to_owned(), |at| at.to_string());
    let start = format!("  {time:<9}  ");
    let delays = match (incident.has_delays(), incident.mttd(), incident.mttr()) {
        (false, ..) if !incident.harmful => "benign".to_owned(),
        (false, ..) if incident.counts() => "nobody was exposed".to_owned(),
        (false, ..) => "harmless here".to_owned(),
        (true, mttd, mttr) => {
            let show = |delay: Option<Span>| delay.map_or_else(|| "never".to_owned(), |delay| delay.to_string());
            format!("MTTD {} · MTTR {}", show(mttd), show(mttr))
        }
    };
    let end = format!("{delays} · {}", outcome_words(incident.outcome));
    if lines == 2 {
        let what =
            fit(&format!("{}: {}", report.names.fault(incident.fault), incident.what), COLUMNS_MAX - width(&start));
        return vec![format!("{start}{what}"), format!("{}{}", " ".repeat(width(&start)), ink.dim(&fit(&end, 80)))];
    }
    let name = fit(report.names.fault(incident.fault), 24);
    let room = COLUMNS_MAX - width(&start) - width(&name) - 2;
    vec![format!("{start}{name}  {}", ink.dim(&fit(&end, room)))]
}

fn tail(report: &TrialReport, options: &ConsoleOptions<'_>, ink: Ink) -> Vec<String> {
    let mut lines = Vec::new();
    let counts = &report.requests;
    let outcome = ink.outcome(report.outcome, &format!("{:<17}", outcome_words(report.outcome)));
    let bad =
        if counts.requests > 0 { percent_short(counts.bad as f64 / counts.requests as f64) } else { "–".to_owned() };
    lines.push(format!(
        "  outcome    {outcome}  requests {}   bad {} ({bad})   lost {}",
        grouped(counts.requests),
        grouped(counts.bad),
        grouped(counts.lost)
    ));
    if !report.has_twins() {
        lines.push("  harm       not defined: measured without reference runs".to_owned());
    } else if !report.incidents.is_empty() || report.policy_harm.is_some() {
        let mut parts = Vec::new();
        if report.incidents.iter().any(|incident| incident.harmful) {
            let of = if report.incidents.len() > 1 { "them" } else { "it" };
            // Below zero a sum is no count of requests hurt: say what it is the difference of.
            parts.push(match report.harm_suffered {
                Some(n) if n < 0 => format!("{} net bad because of {of}", signed(Some(n))),
                harm => format!("{} bad because of {of}", signed(harm)),
            });
            parts.extend(report.users_hurt.map(|n| format!("{} users hurt", grouped(n))));
            parts.push(format!("{} avoided", signed(report.harm_avoided)));
        }
        parts.push(format!("{} caused by the policy", signed(report.policy_harm)));
        lines.push(format!("  harm       {}", fit(&parts.join(" · "), COLUMNS_MAX - 13)));
    }
    lines.extend(expected(&report.expectations, ink));
    lines.extend(closing(options, "incident.md  timeline.svg  windows.csv  …", &report.expectations, ink));
    lines
}

/// Where the files are, and on failure the line to paste.
pub(super) fn closing(
    options: &ConsoleOptions<'_>,
    files: &str,
    expectations: &[ExpectationResult],
    ink: Ink,
) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(dir) = options.out_dir {
        let dir = format!("{}/", dir.trim_end_matches(['/', '\\']));
        let names = if width(&dir) + width(files) + 15 <= COLUMNS_MAX {
            format!("  {}", ink.dim(files))
        } else {
            String::new()
        };
        lines.push(format!("  written    {dir}{names}"));
    }
    let missed = expectations.iter().any(|result| result.verdict == ExpectationVerdict::Missed);
    if let (true, Some(command)) = (missed, options.reproduce) {
        lines.push(format!("  reproduce: {}", command.lines().next().unwrap_or_default()));
    }
    lines
}

/// Expectations packed into at most four lines, the missed first when not all of them fit.
pub(super) fn expected(results: &[ExpectationResult], ink: Ink) -> Vec<String> {
    const ROWS: usize = 4;
    let room = COLUMNS_MAX - 13;
    let mut order: Vec<&ExpectationResult> = results.iter().collect();
    if pack(&order, room).len() > ROWS {
        order.sort_by_key(|result| match result.verdict {
            ExpectationVerdict::Missed => 0,
            ExpectationVerdict::Inconclusive { .. } => 1,
            ExpectationVerdict::NotDefined => 2,
            ExpectationVerdict::Holds => 3,
        });
    }
    let rows = pack(&order, room);
    let shown: usize = rows.iter().take(ROWS).map(Vec::len).sum();
    let all = rows.len() <= ROWS;
    let mut lines = Vec::new();
    for (i, row) in rows.iter().take(ROWS).enumerate() {
        let label = if i == 0 { "  expected   " } else { "             " };
        if !all && i + 1 == ROWS {
            lines.push(format!("{label}{}", ink.dim(&format!("… and {} more", order.len() - shown + row.len()))));
            break;
        }
        let items: Vec<String> = row.iter().map(|(result, text)| ink.verdict(result.verdict, text)).collect();
        lines.push(format!("{label}{}", items.join("   ")));
    }
    lines
}

fn pack<'a>(results: &[&'a ExpectationResult], room: usize) -> Vec<Vec<(&'a ExpectationResult, String)>> {
    let mut rows: Vec<Vec<(&ExpectationResult, String)>> = Vec::new();
    let mut used = room;
    for &result in results {
        let text = fit(&expectation(result), room);
        if used + 3 + width(&text) > room {
            rows.push(Vec::new());
            used = 0;
        } else {
            used += 3;
        }
        used += width(&text);
        if let Some(row) = rows.last_mut() {
            row.push((result, text));
        }
    }
    rows
}

/// `✓ mttd p90 <= 4m (3 min 15 s)`.
pub(super) fn expectation(result: &ExpectationResult) -> String {
    let (sign, seeds) = match result.verdict {
        ExpectationVerdict::Holds => ('✓', String::new()),
        ExpectationVerdict::Missed => ('✗', String::new()),
        ExpectationVerdict::Inconclusive { seeds } => ('?', format!(", needs about {seeds} seeds")),
        ExpectationVerdict::NotDefined => ('–', String::new()),
    };
    let measured = if result.measured.is_empty() || result.text.ends_with(&result.measured) {
        seeds.strip_prefix(", ").map_or_else(String::new, |seeds| format!(" ({seeds})"))
    } else {
        format!(" ({}{seeds})", result.measured)
    };
    format!("{sign} {}{measured}", result.text)
}

pub(super) fn percent_short(share: f64) -> String {
    if share >= 0.001 { format!("{:.1} %", share * 100.0) } else { percent(share) }
}

/// The text in at most `room` columns, cut with "…".
pub(super) fn fit(text: &str, room: usize) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if width(&text) <= room {
        return text;
    }
    let mut cut: String = text.chars().take(room.saturating_sub(1)).collect();
    cut.truncate(cut.trim_end().len());
    cut.push('…');
    cut
}

/// Columns, one a character: names in scripts that take two are not reckoned with.
pub(super) fn width(text: &str) -> usize {
    text.chars().count()
}

/// ANSI colours, or none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ink {
    pub(super) on: bool,
}

impl Ink {
    fn paint(self, code: &str, text: &str) -> String {
        if self.on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
    pub(super) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }
    pub(super) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }
    /// The start of a milestone's line: strong when it happened.
    fn time(self, text: &str, happened: bool) -> String {
        self.paint(if happened { "36" } else { "33" }, text)
    }
    pub(super) fn outcome(self, outcome: Outcome, text: &str) -> String {
        let code = match outcome {
            Outcome::Recovered | Outcome::Prevented | Outcome::CorrectlyHeld => "1;32",
            Outcome::SelfResolved => "1;33",
            _ => "1;31",
        };
        self.paint(code, text)
    }
    fn verdict(self, verdict: ExpectationVerdict, text: &str) -> String {
        let code = match verdict {
            ExpectationVerdict::Holds => "32",
            ExpectationVerdict::Missed => "31",
            ExpectationVerdict::Inconclusive { .. } | ExpectationVerdict::NotDefined => "33",
        };
        self.paint(code, text)
    }
}
