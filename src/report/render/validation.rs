//! Owns what a validation looks like: a table for the terminal, `validation.md`, `.csv`, `.json`; the picture is beside
//! it.

mod picture;
#[cfg(test)]
mod tests;

pub use picture::{validation_png, validation_svg};

use super::canvas::DrawError;
use super::console::{COLUMNS_MAX, ConsoleOptions, Ink, LINES_MAX, closing, fit, width};
use super::story::{grouped, length};
use crate::report::validation::{Cause, Quantity, RESOLUTION_S, Row, Sample, Seen, Setting, Used, Validation};
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

/// A gap with its sign, in the digits of the medians it is between, but not coarser than spans are compared: what they do not
/// show is no gap.
fn gap(row: &Row) -> String {
    let Some(gap) = row.gap else { return "–".to_owned() };
    let size = if row.quantity.is_span() {
        let greatest = row.band.median.max(row.live_median.unwrap_or(0.0));
        let digits = match greatest {
            m if m < 1.0 => 3,
            m if m < 10.0 => 2,
            _ => 1,
        };
        format!("{:.digits$}", gap.abs())
    } else {
        value(row.quantity, gap.abs())
    };
    match size.chars().all(|c| matches!(c, '0' | '.')) {
        true => "0".to_owned(),
        false if gap < 0.0 => format!("−{size}"),
        false => format!("+{size}"),
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
    // Rows without the runs that were turned back early have fewer trials.
    let level = validation.rows.iter().map(|row| row.band.level).reduce(f64::min).unwrap_or(0.9);
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
    let rows = if validation.rows.iter().all(|row| row.predicted) { "" } else { "Predicted rows: " };
    let expected = validation.expected_inside();
    format!("{rows}{inside} of {of} live values inside; at least about {expected:.0} if the simulator is right.")
}

/// How many runs were turned back before the fault; `None` where there is none.
fn early(validation: &Validation) -> Option<String> {
    validation.subject.fault.as_ref()?;
    let (early, trials, repeats) = (validation.early, validation.trials, validation.repeats);
    Some(format!(
        "turned back before the fault: simulated {} of {trials}, live {} of {repeats}",
        early.simulated, early.live
    ))
}

/// Whether any was.
fn any_early(validation: &Validation) -> bool {
    validation.early.simulated + validation.early.live > 0
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
    lines.push(ink.dim(&columns(&WIDTHS, &[from, &interval, "live median (range)", "gap", "inside"])));
    let mut spans = true;
    for row in &validation.rows {
        if spans && !row.quantity.is_span() {
            spans = false;
            lines.push(String::new());
        }
        let verdict =
            if row.predicted { inside(row) } else { format!("not predicted, {}/{}", row.inside, row.live.len()) };
        lines.push(columns(&WIDTHS, &[row.quantity.words(), &simulated(row), &live(row), &gap(row), &verdict]));
    }
    let tail: Vec<String> = [format!("  {}", fit(&summary(validation), COLUMNS_MAX - 2))]
        .into_iter()
        .chain(
            early(validation)
                .filter(|_| any_early(validation))
                .map(|note| format!("  {}", fit(&note, COLUMNS_MAX - 2))),
        )
        .chain(kept(validation).map(|note| format!("  {}", fit(&note, COLUMNS_MAX - 2))))
        .chain(closing(options, "validation.md  validation.png  …", &[], ink))
        .collect();
    let causes: Vec<&Cause> = validation.causes.iter().filter(|cause| !cause.live.is_empty()).collect();
    let room = LINES_MAX.saturating_sub(lines.len() + tail.len() + 3);
    if !causes.is_empty() && room > 0 {
        lines.push(String::new());
        let head = ["causes, seconds", "modelled", "live median / p99 / greatest", "events"];
        lines.push(ink.dim(&columns(&CAUSES, &head)));
        lines.extend(causes.iter().take(room).filter_map(|cause| {
            let Seen { median, p99, max, .. } = cause.seen()?;
            let seen = [median, p99, max].map(seconds).join(" / ");
            let events = grouped(cause.live.len() as u64);
            Some(columns(&CAUSES, &[&cause.name, &seconds(cause.modelled_s), &seen, &events]))
        }));
    }
    lines.push(String::new());
    lines.extend(tail);
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

/// Columns of the comparison.
const WIDTHS: [usize; 5] = [22, 23, 23, 8, 22];
/// Columns of the causes, as far as they go below those of the comparison.
const CAUSES: [usize; 4] = [22, 23, 31, 22];

/// Cells beside each other, cut to their columns.
fn columns<const N: usize>(widths: &[usize; N], cells: &[&str; N]) -> String {
    let mut line = "  ".to_owned();
    for (cell, &width_of) in cells.iter().zip(widths) {
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
    // Median and p99 of one service time are kept together, and so are the phases of a start: one word for all.
    let words = |setting: &'_ Setting| setting.name.split([',', ':']).next().unwrap_or_default().to_owned();
    let told = |note: &str, of: fn(&Used) -> bool| {
        let mut names: Vec<String> = validation.settings.iter().filter(|s| of(&s.used)).map(words).collect();
        names.dedup();
        (!names.is_empty()).then(|| format!("{note}: {}", names.join(", ")))
    };
    let declared = told("not calibrated", |used| matches!(used, Used::Declared));
    let pooled = told("by all versions together", |used| matches!(used, Used::Pooled { .. }));
    declared.into_iter().chain(pooled).reduce(|a, b| format!("{a}; {b}"))
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
         {RESOLUTION_S} s of it. So of a right simulator at least as many are inside as the level of the interval says, on \
         average: equal values and the {RESOLUTION_S} s only add to them. The gap is the live median less the simulated one, in \
         the digits shown. *Never* is not within the run, and later than everything. *Not predicted*: what is taken as inside is \
         wider than the median, so that values inside show little. *Always*: all simulated trials agree. Rows of one run \
         depend on each other: one late detection moves all behind it.\n\n"
    );
    if let Some(early) = early(validation) {
        let _ = write!(
            out,
            "Runs {early}. An alarm or a rollback that comes first competes with the incident: such runs are in the \
             counts of requests, and not in the rows of time.\n\n"
        );
    }
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
         the milestones behind it; what is left of a gap has no name.\n\n| cause | modelled | live median | live p99 | \
         live range | events | what |\n|---|--:|--:|--:|--:|--:|---|\n",
    );
    for (cause, Seen { min, median, p99, max }) in seen() {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} to {} | {} | {} |",
            cell(&cause.name),
            seconds(cause.modelled_s),
            seconds(median),
            seconds(p99),
            seconds(min),
            seconds(max),
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
            match used {
                Used::Measured => "measured".to_owned(),
                Used::Pooled { samples, value_s } => {
                    format!("**all versions together**: {}, of {}", seconds(*value_s), grouped(*samples as u64))
                }
                Used::Declared => "**declared**".to_owned(),
            },
        );
    }
    out.push_str(
        "\nA measured service time is a whole latency: the run of the model, and pacing, router, proxy and the way there and back. \
         Simulated, all of it occupies a slot of the replica, and the `factor` of a `latency-spike` multiplies all of it; live, \
         only what the replica does occupies it, and `factor` multiplies the run of the model alone.\n\n",
    );
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
/// are, and how many of them are never. Of a cause with more than 1000 events there are no values.
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
        "interval_level": validation.rows.iter().map(|row| row.band.level).reduce(f64::min),
        "turned_back_before_the_fault": subject.fault.as_ref().map(|_| json!({
            "simulated": validation.early.simulated,
            "simulated_of": validation.trials,
            "live": validation.early.live,
            "live_of": validation.repeats,
        })),
        "inside": inside,
        "of": of,
        "of_a_right_simulator_at_least": validation.expected_inside(),
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
            "level": row.band.level,
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

/// Each request is one event of its sending.
const VALUES_MAX: usize = 1_000;

fn cause_json(cause: &Cause) -> Value {
    let seen = cause.seen();
    let values = (cause.live.len() <= VALUES_MAX).then_some(&cause.live);
    json!({
        "cause": cause.name,
        "what": cause.what,
        "modelled_s": cause.modelled_s,
        "live": {
            "n": cause.live.len(),
            "min": seen.map(|s| s.min),
            "median": seen.map(|s| s.median),
            "p99": seen.map(|s| s.p99),
            "max": seen.map(|s| s.max),
            "values": values,
        },
    })
}

fn setting_json(setting: &Setting) -> Value {
    let (used, used_s) = match setting.used {
        Used::Measured => ("measured", setting.measured_s),
        Used::Pooled { value_s, .. } => ("all-versions", Some(value_s)),
        Used::Declared => ("declared", Some(setting.declared_s)),
    };
    json!({
        "figure": setting.name,
        "measurements": setting.samples,
        "declared_s": setting.declared_s,
        "measured_s": setting.measured_s,
        "used": used,
        "used_s": used_s,
    })
}
