//! Owns `windows.csv`: the time axis as a table, one row per window and version.
//!
//! Times are seconds since the start; an empty cell means that nothing was measured, which is not zero.

use crate::event::{Event, RequestEnd};
use crate::id::{Names, SignalId, VersionId};
use crate::report::trial::{Cell, TrialReport, Window};
use crate::time::{NS_PER_S, SimTime};
use std::collections::BTreeMap;
use std::fmt::Write as _;

const FIXED: [&str; 16] = [
    "from_s",
    "to_s",
    "version",
    "weight",
    "requests",
    "answered",
    "failed",
    "lost",
    "late",
    "wrong",
    "bad",
    "bad_share",
    "accuracy",
    "latency_p50_ms",
    "latency_p95_ms",
    "latency_p99_ms",
];

/// The table. `accuracy` is one minus the wrong share of the answered (ground truth; unknown truth is not wrong); a column
/// `signal.field` has the signal's last value in the window for the row's version.
#[must_use]
pub fn windows_csv(report: &TrialReport) -> String {
    let widths = signal_widths(report);
    let mut header: Vec<String> = FIXED.iter().map(|&name| name.to_owned()).collect();
    for (&signal, &width) in &widths {
        header.extend(
            (0..width).map(|i| quoted(&format!("{}.{}", report.names.signal(signal), report.names.field(signal, i)))),
        );
    }
    let mut out = header.join(",");
    out.push('\n');
    // Facts are in order of time and so are windows: one pass over both.
    let mut facts = report.events.iter().peekable();
    for (i, window) in report.windows.iter().enumerate() {
        let last = i + 1 == report.windows.len();
        let mut values: BTreeMap<(VersionId, SignalId), &[f64]> = BTreeMap::new();
        while let Some(fact) = facts.next_if(|fact| fact.at < window.to || (last && fact.at == window.to)) {
            if let Event::Measured(measured) = &fact.event
                && fact.at >= window.from
            {
                values.insert((measured.version, measured.signal), &measured.values);
            }
        }
        for (v, cell) in window.cells.iter().enumerate() {
            let version = VersionId(u16::try_from(v).unwrap_or(u16::MAX));
            row(&mut out, report, window, version, cell);
            for (&signal, &width) in &widths {
                let measured = values.get(&(version, signal)).copied().unwrap_or_default();
                for place in 0..width {
                    out.push(',');
                    out.push_str(&measured.get(place).map_or_else(String::new, |&value| number(value)));
                }
            }
            out.push('\n');
        }
    }
    out
}

fn row(out: &mut String, report: &TrialReport, window: &Window, version: VersionId, cell: &Cell) {
    let counts = &cell.counts;
    let answered = counts.requests.saturating_sub(counts.failed);
    let share = |part: u64, of: u64| if of > 0 { format!("{:.6}", part as f64 / of as f64) } else { String::new() };
    let ms = |q| {
        cell.latency
            .quantile(q)
            .map_or_else(String::new, |ns| if ns.is_finite() { format!("{:.3}", ns / 1e6) } else { "inf".to_owned() })
    };
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "{:.3},{:.3},{},{:.6},{},{},{},{},{},{},{},{},{},{},{},{}",
        window.from.as_secs_f64(),
        window.to.as_secs_f64(),
        quoted(report.names.version(version)),
        cell.weight.share(),
        counts.requests,
        answered,
        counts.failed,
        counts.lost,
        counts.late,
        counts.wrong,
        counts.bad,
        share(counts.bad, counts.requests),
        share(answered.saturating_sub(counts.wrong), answered),
        ms(0.5),
        ms(0.95),
        ms(0.99),
    );
}

/// How many fields each measured signal has.
pub(super) fn signal_widths(report: &TrialReport) -> BTreeMap<SignalId, usize> {
    let mut widths = BTreeMap::new();
    for fact in &report.events {
        if let Event::Measured(measured) = &fact.event {
            let width = widths.entry(measured.signal).or_insert(0);
            *width = measured.values.len().max(*width);
        }
    }
    widths
}

/// A number in full precision; nothing for NaN. Tiny values in powers of ten, so that they stay short.
fn number(value: f64) -> String {
    if value.is_nan() {
        String::new()
    } else if value != 0.0 && value.abs() < 1e-4 {
        format!("{value:e}")
    } else {
        format!("{value}")
    }
}

/// A cell as RFC 4180 has it.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// requests.csv: one row per request in the order they were told, times in seconds with nine decimals. Scores and labels are
/// empty where there are none.
#[must_use]
pub fn requests_csv(names: &Names, requests: &[RequestEnd]) -> String {
    let mut text = "source,ordinal,version,replica,segment,arrived_s,ended_s,outcome,score,truth,tainted\n".to_owned();
    let number = |x: f32| if x.is_nan() { String::new() } else { x.to_string() };
    let seconds = |t: SimTime| format!("{}.{:09}", t.0 / NS_PER_S, t.0 % NS_PER_S);
    for r in requests {
        let replica = r.replica.map_or(String::new(), |id| id.0.to_string());
        text.push_str(&format!(
            "{},{},{},{replica},{},{},{},{},{},{},{}\n",
            names.source(r.request.source),
            r.request.ordinal,
            names.version(r.version),
            names.segment(r.segment),
            seconds(r.arrived),
            seconds(r.ended),
            r.outcome.name(),
            number(r.score),
            number(r.truth),
            u8::from(r.tainted),
        ));
    }
    text
}
