//! Owns what a validation looks like: a table for the terminal, `validation.md`, `.csv`, `.json`; the picture is beside
//! it.

mod picture;
#[cfg(test)]
mod tests;

pub use picture::{validation_png, validation_svg};

use super::canvas::DrawError;
use super::console::{COLUMNS_MAX, ConsoleOptions, Ink, LINES_MAX, closing, fit, width};
use super::story::{grouped, length};
use crate::report::validation::{Cause, Quantity, RESOLUTION_S, Row, Sample, Setting, Validation};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// All files of a validation: names and contents, the one to open first in front. `command` makes another one.
///
/// # Errors
/// When the picture cannot be drawn.
pub fn validation_files(validation: &Validation, command: &str) -> Result<Vec<(&'static str, Vec<u8>)>, DrawError> {
    Ok(vec![
        ("validation.md", validation_md(validation, command).into_bytes()),
        ("validation.svg", validation_svg(validation)?.into_bytes()),
        ("validation.png", validation_png(validation)?),
        ("validation.json", format!("{:#}\n", validation_json(validation)).into_bytes()),
        ("validation.csv", validation_csv(validation).into_bytes()),
    ])
}

/// `never`, or the value as its quantity is told: seconds with three significant digits, counts as they are.
fn value(quantity: Quantity, v: f64) -> String {
    if v.is_infinite() {
        "never".to_owned()
    } else if quantity.is_span() {
        seconds(v)
    } else {
        // Counts are not negative; a median between two is rounded up.
        grouped(v.round() as u64)
    }
}

/// Seconds with about three significant digits: `0.153`, `4.70`, `47.0`, `287`.
fn seconds(v: f64) -> String {
    match v.abs() {
        a if a < 5e-7 => "0".to_owned(),
        a if a < 0.001 => format!("{v:.6}"),
        a if a < 1.0 => format!("{v:.3}"),
        a if a < 10.0 => format!("{v:.2}"),
        a if a < 100.0 => format!("{v:.1}"),
        _ => format!("{v:.0}"),
    }
}

/// A gap with its sign.
fn gap(row: &Row) -> String {
    let Some(gap) = row.gap else { return "–".to_owned() };
    let size = value(row.quantity, gap.abs());
    match size.as_str() {
        "0" => size,
        _ if gap < 0.0 => format!("−{size}"),
        _ => format!("+{size}"),
    }
}

/// `287 (210–330)`: simulated median and interval.
fn simulated(row: &Row) -> String {
    spread(row.quantity, row.band.low, row.band.median, row.band.high)
}

/// `290 (280–301)`: live median, least and greatest.
fn live(row: &Row) -> String {
    let order = |pick: fn(f64, f64) -> f64| row.live.iter().map(Sample::order).reduce(pick);
    match (row.live_median, order(f64::min), order(f64::max)) {
        (Some(median), Some(_), Some(_)) if row.live.len() == 1 => value(row.quantity, median),
        (Some(median), Some(low), Some(high)) => spread(row.quantity, low, median, high),
        _ => "–".to_owned(),
    }
}

fn spread(quantity: Quantity, low: f64, median: f64, high: f64) -> String {
    let show = |v| value(quantity, v);
    match low == high {
        true if low.is_infinite() => show(low),
        true => format!("always {}", show(low)),
        false => format!("{} ({}–{})", show(median), show(low), show(high)),
    }
}

fn inside(row: &Row) -> String {
    format!("{} of {}", row.inside, row.live.len())
}

/// The simulated intervals in words: `90 %`, or less where there are too few trials.
fn level(validation: &Validation) -> String {
    let level = validation.rows.first().map_or(0.9, |row| row.band.level);
    format!("{:.0} %", level * 100.0)
}

/// What spans are counted from.
fn since(validation: &Validation) -> &'static str {
    if validation.subject.fault.is_some() { "since the fault was injected" } else { "since the start" }
}

fn runs(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// How many live values lie in the intervals that predict something, in a sentence.
fn summary(validation: &Validation) -> String {
    let (inside, of) = validation.inside();
    if of == 0 {
        return "No simulated interval is narrow enough to be a prediction.".to_owned();
    }
    let level = validation.rows.first().map_or(0.9, |row| row.band.level);
    let expected = format!("if the simulator is right, about {:.0} are", level * of as f64);
    if validation.rows.iter().all(|row| row.predicted) {
        format!("{inside} of {of} live values are in the simulated {} intervals; {expected}.", self::level(validation))
    } else {
        format!("Predicted rows: {inside} of {of} live values inside; {expected}.")
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Terminal

/// The table for the terminal: at most [`LINES_MAX`] lines of at most [`COLUMNS_MAX`] columns, ending with a line break.
#[must_use]
pub fn console_validation(validation: &Validation, options: &ConsoleOptions<'_>) -> String {
    let ink = Ink { on: options.color };
    let subject = &validation.subject;
    let made = format!("{} · {}", runs(validation.repeats, "live run"), runs(validation.trials, "simulated trial"));
    let room = COLUMNS_MAX.saturating_sub(width(&made) + 2);
    let title = fit(&format!("{} · policy {}", subject.scenario, subject.policy), room);
    let pad = " ".repeat(room - width(&title) + 2);
    let mut lines = vec![format!("{}{pad}{}", ink.bold(&title), ink.dim(&made)), String::new()];
    let interval = format!("simulated ({})", level(validation));
    let from = if validation.subject.fault.is_some() { "s from injection" } else { "s from the start" };
    lines.push(ink.dim(&columns(&[from, &interval, "live median (range)", "gap", "inside"])));
    let mut spans = true;
    for row in &validation.rows {
        if spans && !row.quantity.is_span() {
            spans = false;
            lines.push(String::new());
        }
        let verdict =
            if row.predicted { inside(row) } else { format!("not predicted, {}/{}", row.inside, row.live.len()) };
        lines.push(columns(&[row.quantity.words(), &simulated(row), &live(row), &gap(row), &verdict]));
    }
    let tail: Vec<String> = [format!("  {}", fit(&summary(validation), COLUMNS_MAX - 2))]
        .into_iter()
        .chain(kept(validation).map(|note| format!("  {}", fit(&note, COLUMNS_MAX - 2))))
        .chain(closing(options, "validation.md  validation.png  …", &[], ink))
        .collect();
    let causes: Vec<&Cause> = validation.causes.iter().filter(|cause| !cause.live.is_empty()).collect();
    let room = LINES_MAX.saturating_sub(lines.len() + tail.len() + 3);
    if !causes.is_empty() && room > 0 {
        lines.push(String::new());
        lines.push(ink.dim(&columns(&["causes, seconds", "modelled", "live median (range)", "", "events"])));
        lines.extend(causes.iter().take(room).filter_map(|cause| {
            let [low, median, high] = cause.seen()?;
            let seen = format!("{} ({}–{})", seconds(median), seconds(low), seconds(high));
            Some(columns(&[&cause.name, &seconds(cause.modelled_s), &seen, "", &grouped(cause.live.len() as u64)]))
        }));
    }
    lines.push(String::new());
    lines.extend(tail);
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

/// Five cells beside each other, cut to their columns.
fn columns(cells: &[&str; 5]) -> String {
    const WIDTHS: [usize; 5] = [22, 23, 23, 8, 22];
    let mut line = "  ".to_owned();
    for (cell, width_of) in cells.iter().zip(WIDTHS) {
        // One column stays empty, so that no cell runs into the next.
        let text = fit(cell, width_of - 1);
        let pad = " ".repeat(width_of.saturating_sub(width(&text)));
        line.push_str(&text);
        line.push_str(&pad);
    }
    line.truncate(line.trim_end().len());
    line
}

/// What the calibrating run did not change, if anything.
fn kept(validation: &Validation) -> Option<String> {
    // Median and p99 of one service time are kept together: one word for both.
    let words = |setting: &'_ Setting| setting.name.split(", ").next().unwrap_or_default().to_owned();
    let mut kept: Vec<String> = validation.settings.iter().filter(|s| !s.used).map(words).collect();
    kept.dedup();
    (!kept.is_empty()).then(|| format!("not calibrated, as declared: {}", kept.join(", ")))
}

// ---------------------------------------------------------------------------------------------------------------------
// Files

/// The page a person reads: table, picture, causes, how it was made, and the command that makes another one.
#[must_use]
pub fn validation_md(validation: &Validation, command: &str) -> String {
    let subject = &validation.subject;
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "# {}: {} against {}\n\n**{}**\n\n",
        cell(&subject.scenario),
        runs(validation.repeats, "live run"),
        runs(validation.trials, "simulated trial"),
        summary(validation),
    );
    let _ = write!(
        out,
        "Policy `{}`, {} each. {}\n\n![Simulated intervals and live values](validation.svg)\n\n",
        subject.policy,
        length(subject.horizon),
        match &subject.fault {
            Some(fault) => format!("Spans are seconds since the fault was injected ({}).", cell(fault)),
            None => "There is no fault; spans are seconds since the start.".to_owned(),
        },
    );
    let _ = write!(
        out,
        "## Table\n\n| quantity | simulated median | {} interval | live median | live range | gap | inside | |\n\
         |---|--:|--:|--:|--:|--:|--:|---|\n",
        level(validation),
    );
    for row in &validation.rows {
        let show = |v| value(row.quantity, v);
        let order = |pick: fn(f64, f64) -> f64| row.live.iter().map(Sample::order).reduce(pick).map(show);
        let range = order(f64::min).zip(order(f64::max)).map_or_else(|| "–".to_owned(), |(a, b)| format!("{a} to {b}"));
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {range} | {} | {} | {} |",
            row.quantity.words(),
            show(row.band.median),
            if row.band.low == row.band.high {
                "always".to_owned()
            } else {
                format!("{} to {}", show(row.band.low), show(row.band.high))
            },
            row.live_median.map_or_else(|| "–".to_owned(), show),
            gap(row),
            inside(row),
            if row.predicted { "" } else { "**not predicted**" },
        );
    }
    let _ = write!(
        out,
        "\nA live value is *inside* if it lies in the simulated interval, its ends included; a span also within \
         {RESOLUTION_S} s of it. The gap is the live median less the simulated one. *Never* is not within the run, and later \
         than everything. *Not predicted*: the interval is wider than its median, so that values inside show little. \
         *Always*: all simulated trials agree. Rows of one run depend on each other: one late detection moves all behind \
         it.\n\n"
    );
    named_causes(&mut out, validation);
    made(&mut out, validation);
    let _ = write!(
        out,
        "## Run again\n\n```\n{}\n```\n\nThe simulated side comes out the same with the same calibration; real time does not come \
         back, so the live side and the calibration will not.\n",
        command.trim_end()
    );
    out
}

fn named_causes(out: &mut String, validation: &Validation) {
    out.push_str("## Causes of gaps\n\n");
    let seen = || validation.causes.iter().filter_map(|cause| Some((cause, cause.seen()?)));
    if seen().next().is_none() {
        out.push_str("None was measured.\n\n");
        return;
    }
    out.push_str(
        "What live runs do and the model only assumes, in seconds. A cause whose live values are not the modelled one moves \
         the milestones behind it; what is left of a gap has no name.\n\n| cause | modelled | live median | live range | \
         events | what |\n|---|--:|--:|--:|--:|---|\n",
    );
    for (cause, [low, median, high]) in seen() {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} to {} | {} | {} |",
            cell(&cause.name),
            seconds(cause.modelled_s),
            seconds(median),
            seconds(low),
            seconds(high),
            grouped(cause.live.len() as u64),
            cell(&cause.what),
        );
    }
    out.push('\n');
}

fn made(out: &mut String, validation: &Validation) {
    let _ = write!(
        out,
        "## How it was made\n\n{}: real processes answering real requests in real time, measured against the time before the fault, \
         without reference runs. {}, measured in the same way with other seeds. Neither side was fitted to the other: the \
         simulator was calibrated by one more live run, without faults, made beforehand.\n\n",
        runs(validation.repeats, "live run"),
        runs(validation.trials, "simulated trial"),
    );
    if validation.settings.is_empty() {
        out.push_str("Nothing was calibrated.\n\n");
        return;
    }
    out.push_str(
        "| figure of the model, seconds | declared | measured | measurements | used |\n|---|--:|--:|--:|---|\n",
    );
    for Setting { name, samples, declared_s, measured_s, used } in &validation.settings {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} |",
            cell(name),
            seconds(*declared_s),
            measured_s.map_or_else(|| "–".to_owned(), seconds),
            grouped(*samples as u64),
            if *used { "measured" } else { "**declared**" },
        );
    }
    out.push('\n');
}

/// Text inside a table.
fn cell(text: &str) -> String {
    super::markdown::cell(text)
}

/// The table in long form: `quantity,side,seed,value`; seconds or counts, `inf` for never.
#[must_use]
pub fn validation_csv(validation: &Validation) -> String {
    let mut out = "quantity,side,seed,value\n".to_owned();
    for row in &validation.rows {
        for (side, samples) in [("simulated", &row.simulated), ("live", &row.live)] {
            for sample in samples {
                let _ = writeln!(out, "{},{side},{},{}", row.quantity.name(), sample.seed, sample.order());
            }
        }
    }
    out
}

/// Everything as one object. Spans are seconds; `null` is never, or not there: `n` and `never` tell how many values there
/// are, and how many of them are never.
#[must_use]
pub fn validation_json(validation: &Validation) -> Value {
    let subject = &validation.subject;
    let (inside, of) = validation.inside();
    json!({
        "scenario": subject.scenario,
        "policy": subject.policy,
        "fault": subject.fault,
        "horizon_s": subject.horizon.as_secs_f64(),
        "live_runs": validation.repeats,
        "simulated_trials": validation.trials,
        "resolution_s": RESOLUTION_S,
        "interval_level": validation.rows.first().map(|row| row.band.level),
        "inside": inside,
        "of": of,
        "quantities": validation.rows.iter().map(row_json).collect::<Vec<_>>(),
        "causes": validation.causes.iter().map(cause_json).collect::<Vec<_>>(),
        "calibration": validation.settings.iter().map(setting_json).collect::<Vec<_>>(),
    })
}

fn row_json(row: &Row) -> Value {
    let finite = |v: f64| v.is_finite().then_some(v);
    let values = |samples: &[Sample]| -> Vec<Value> {
        samples.iter().map(|sample| json!({ "seed": sample.seed, "value": sample.value })).collect()
    };
    let never = row.live.iter().filter(|sample| sample.value.is_none()).count();
    json!({
        "quantity": row.quantity.name(),
        "unit": row.quantity.unit(),
        "simulated": {
            "n": row.band.n,
            "never": row.band.never,
            "low": finite(row.band.low),
            "median": finite(row.band.median),
            "high": finite(row.band.high),
            "values": values(&row.simulated),
        },
        "live": {
            "n": row.live.len(),
            "never": never,
            "median": row.live_median.and_then(finite),
            "values": values(&row.live),
        },
        "inside": row.inside,
        "gap": row.gap,
        "predicted": row.predicted,
    })
}

fn cause_json(cause: &Cause) -> Value {
    let [low, median, high] = cause.seen().map_or([None; 3], |seen| seen.map(Some));
    json!({
        "cause": cause.name,
        "what": cause.what,
        "modelled_s": cause.modelled_s,
        "live": { "n": cause.live.len(), "min": low, "median": median, "max": high, "values": cause.live },
    })
}

fn setting_json(setting: &Setting) -> Value {
    json!({
        "figure": setting.name,
        "measurements": setting.samples,
        "declared_s": setting.declared_s,
        "measured_s": setting.measured_s,
        "used": if setting.used { "measured" } else { "declared" },
    })
}
