//! Owns what a power analysis looks like: a table for the terminal, `power.md`, `.csv`, `.json`; the picture is beside it.

mod picture;
#[cfg(test)]
mod tests;

pub use picture::{power_png, power_svg};

use super::canvas::DrawError;
use super::console::{COLUMNS_MAX, ConsoleOptions, Ink, closing, fit, width};
use super::markdown::cell;
use super::story::grouped;
use crate::report::power::{Bound, FalseAlarms, Power, Row, RulePower, Setting};
use crate::stats::Interval;
use crate::time::Span;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// All files of an analysis: names and contents, the one to open first in front. `command` makes it again.
///
/// # Errors
/// When the picture cannot be drawn.
pub fn power_files(power: &Power, command: &str) -> Result<Vec<(&'static str, Vec<u8>)>, DrawError> {
    Ok(vec![
        ("power.md", power_md(power, command).into_bytes()),
        ("power.svg", power_svg(power)?.into_bytes()),
        ("power.png", power_png(power)?),
        ("power.json", format!("{:#}\n", power_json(power)).into_bytes()),
        ("power.csv", power_csv(power).into_bytes()),
    ])
}

/// Three significant digits and no zeros behind; `<0.01` for what would be none.
fn figure(x: f64) -> String {
    let text = match x.abs() {
        0.0 => return "0".to_owned(),
        a if a < 0.01 => return if x > 0.0 { "<0.01".to_owned() } else { format!("{x:.0e}") },
        a if a < 1.0 => format!("{x:.2}"),
        a if a < 100.0 => format!("{x:.1}"),
        a if a < 1e15 => return grouped(x.round() as u64),
        _ => return format!("{x:.0e}"),
    };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn seconds(x: Option<f64>) -> String {
    x.map_or_else(|| "–".to_owned(), |x| format!("{} s", figure(x)))
}

fn percent(x: f64) -> String {
    format!("{:.0}", x * 100.0)
}

/// `97 % [92, 99]`
fn share(row: &Row) -> String {
    let value = row.found as f64 / (row.trials as f64).max(1.0);
    format!("{} % [{}, {}]", percent(value), percent(row.share.low), percent(row.share.high))
}

fn rate((value, Interval { low, high }): (f64, Interval)) -> String {
    format!("{} [{}, {}]", figure(value), figure(low), figure(high))
}

/// What limits every rule, in observations and seconds.
fn limit(row: &Row) -> String {
    match row.bound {
        Bound::Optimum { seconds, at_least, .. } => {
            format!("{}{} s", if at_least { "≥ " } else { "" }, figure(seconds))
        }
        Bound::NeymanPearson { seconds, .. } => format!("median > {} s", figure(seconds)),
        Bound::None => "no bound".to_owned(),
    }
}

/// The optimum over the mean delay at the worst change.
fn efficiency(row: &Row) -> String {
    let Bound::Optimum { efficiency, at_least, .. } = row.bound else { return String::new() };
    let sign = match (row.censored, at_least) {
        (false, false) => "",
        (true, false) => "≤ ",
        (false, true) => "≥ ",
        // Of a fraction of which neither part is known nothing can be said.
        (true, true) => return "–".to_owned(),
    };
    format!("{sign}{} %", figure(efficiency * 100.0))
}

/// Traffic in words.
fn traffic(power: &Power) -> String {
    let Setting { stage, share, rate, within, .. } = &power.setting;
    format!(
        "{} has {} % of {} requests/s (stage {stage} of the rollout); watched for {within} after the shift",
        power.versions.0,
        figure(share * 100.0),
        figure(*rate),
    )
}

/// Telemetry in words.
fn telemetry(power: &Power) -> String {
    let Setting { scrape, lag, labels, .. } = &power.setting;
    let labels = labels.map_or_else(String::new, |(median, p90)| {
        format!(", half of the labels within {median} and nine tenths within {p90}")
    });
    format!("a look every {scrape}, seen {lag} later{labels}")
}

/// The surroundings in a sentence.
fn setting(power: &Power) -> String {
    format!("{}; {}", traffic(power), telemetry(power))
}

fn false_alarms(alarms: &FalseAlarms) -> String {
    format!(
        "{} in {} rollouts: {} a day, {} a rollout",
        match alarms.events {
            0 => "no false alarm".to_owned(),
            1 => "1 false alarm".to_owned(),
            n => format!("{n} false alarms"),
        },
        alarms.rollouts,
        rate(alarms.per_day),
        rate(alarms.per_rollout),
    )
}

fn after(power: &Power) -> String {
    let at: Vec<String> = power.setting.changes.iter().map(Span::to_string).collect();
    at.join(", ")
}

// ---------------------------------------------------------------------------------------------------------------------
// Terminal

const WIDTHS: [usize; 7] = [29, 16, 9, 9, 8, 18, 11];

fn columns(cells: &[&str]) -> String {
    let pad = |(cell, room): (&&str, &usize)| {
        let cell = fit(cell, room - 1);
        format!("{cell}{}", " ".repeat(room - width(&cell)))
    };
    cells.iter().zip(&WIDTHS).map(pad).collect::<String>().trim_end().to_owned()
}

/// Whether a row of the policy as a whole says what the row of one of its rules says already.
fn repeats(power: &Power, row: &Row) -> bool {
    let Some((_, rules)) = power.rules.split_last() else { return false };
    let same = |other: &&Row| {
        (&other.words, other.found, other.trials) == (&row.words, row.found, row.trials)
            && (other.median_s, other.p90_s) == (row.median_s, row.p90_s)
    };
    rules.iter().flat_map(|r| &r.rows).any(|other| same(&other))
}

/// The table for the terminal, ending with a line break: lines of at most [`COLUMNS_MAX`] columns, one for each row.
#[must_use]
pub fn console_power(power: &Power, options: &ConsoleOptions<'_>) -> String {
    let ink = Ink { on: options.color };
    let made = format!("{} rollouts a size · seed {}", power.setting.trials, power.setting.seed);
    let room = COLUMNS_MAX.saturating_sub(width(&made) + 2);
    let title = fit(&format!("{} · policy {} · power", power.scenario, power.policy), room);
    let pad = " ".repeat(room - width(&title) + 2);
    let mut lines = vec![
        format!("{}{pad}{}", ink.bold(&title), ink.dim(&made)),
        fit(&traffic(power), COLUMNS_MAX),
        fit(&telemetry(power), COLUMNS_MAX),
        String::new(),
        ink.dim(&columns(&["shift of the canary", "found", "median", "p90", "bad", "fastest possible", "efficiency"])),
    ];
    let last = power.rules.len().saturating_sub(1);
    for (i, RulePower { rule, silent, alarms, rows, .. }) in power.rules.iter().enumerate() {
        let name = fit(rule, 24);
        lines.push(format!("{}  {}", ink.bold(&name), fit(&false_alarms(alarms), COLUMNS_MAX - width(&name) - 2)));
        if let Some(why) = silent {
            lines.push(fit(&format!("  nothing is predicted: {why}"), COLUMNS_MAX));
        }
        for row in rows.iter().filter(|row| i == 0 || i < last || !repeats(power, row)) {
            let (words, median, p90) = (format!("  {}", row.words), seconds(row.median_s), seconds(row.p90_s));
            let cells = [words, share(row), median, p90, figure(row.bad), limit(row), efficiency(row)];
            lines.push(columns(&cells.each_ref().map(String::as_str)));
        }
    }
    lines.push(String::new());
    lines.push(ink.dim("  bad: mean number of canary requests that are bad because of the shift until it is found"));
    lines.extend(closing(options, "power.md  power.png  …", &[], ink));
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

// ---------------------------------------------------------------------------------------------------------------------
// Files

/// The analysis as a document.
#[must_use]
pub fn power_md(power: &Power, command: &str) -> String {
    let mut out = format!("# {} · policy {}: power\n\n", cell(&power.scenario), cell(&power.policy));
    let _ = write!(
        out,
        "{}. When all is well {} % of requests get no answer and {} % of answers are wrong. The shift is of {} alone and comes \
         {} after its stage began: {} simulated rollouts for each size, spread evenly.\n\n![Delay against size of \
         shift](power.svg)\n\n",
        setting(power),
        figure(power.setting.failure_rate * 100.0),
        figure(power.setting.wrong_rate * 100.0),
        cell(&power.versions.0),
        after(power),
        power.setting.trials,
    );
    for RulePower { rule, text, silent, alarms, rows, .. } in &power.rules {
        let _ = write!(out, "## {}\n\n`{text}`\n\nWithout a shift: {}.\n\n", cell(rule), false_alarms(alarms));
        if let Some(why) = silent {
            let _ = write!(out, "Nothing is predicted: {why}.\n\n");
        }
        if rows.is_empty() {
            continue;
        }
        out.push_str(
            "| shift | found | median | p90 | bad requests | delay, observations | fastest possible | efficiency |\n\
             |---|--:|--:|--:|--:|--:|--:|--:|\n",
        );
        for row in rows {
            let observations = format!("{}{}", if row.censored { "≥ " } else { "" }, figure(row.observations));
            let best = match row.bound {
                Bound::Optimum { observations, .. } | Bound::NeymanPearson { observations, .. } => {
                    format!("{} ({} obs.)", limit(row), figure(observations))
                }
                Bound::None => limit(row),
            };
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | {observations} | {best} | {} |",
                cell(&row.words),
                share(row),
                seconds(row.median_s),
                seconds(row.p90_s),
                figure(row.bad),
                efficiency(row),
            );
        }
        out.push('\n');
    }
    let _ = write!(
        out,
        "## How to read it\n\n\
         - **found**: share of rollouts in which the rule fired within {} of the change, with a 95 % interval, of those in which \
         it had not fired before. **median**, **p90**: from the change to the look, lag included; – where fewer were found.\n\
         - **false alarms**: first alarms over the time until then, without a shift, with the exact 95 % Poisson interval; \
         a rollout is this one stage.\n\
         - **bad requests**: canary requests that fail, come late or are wrong by the objective, from change to look, beyond as \
         many as there are without a shift; the mean.\n\
         - **delay, observations**: mean number of canary requests (of labelled ones, for wrong answers) until the scrape that \
         told, at the worst change point.\n\
         - **fastest possible**: the exact worst-case optimum (CUSUM of the likelihood ratio) of any rule with the same mean time \
         between false alarms, which sees each request as it ends. ≥: without a single false alarm the rate is only known to \
         lie below its interval. *median >*: no rule with this rule's chance of a false alarm can have a smaller median \
         (Neyman and Pearson). *no bound*: likelihoods are not known, or the rule reads more than the channel that shifts.\n\
         - **efficiency**: optimum over the mean delay at the worst change. ≤: the rule did not always fire in the time \
         watched. ≥: there was no false alarm. –: both.\n\n\
         Assumed: answers as above, one queue before all slots of a version, and nothing else that goes wrong. No model ran and \
         no fault of the scenario took part.\n\n## Run again\n\n```\n{}\n```\n",
        power.setting.within,
        command.trim_end(),
    );
    out
}

/// The table in long form.
#[must_use]
pub fn power_csv(power: &Power) -> String {
    let mut out = "rule,kind,size,trials,found,found_low,found_high,median_s,p90_s,bad_requests,delay_observations,censored,bound,\
                   bound_observations,bound_s,efficiency,alarms,alarm_days,alarms_per_day,alarms_per_day_low,alarms_per_day_high\n"
        .to_owned();
    let number = |x: Option<f64>| x.map_or_else(String::new, |x| x.to_string());
    for rule in &power.rules {
        let FalseAlarms { events, days, per_day: (per_day, around), .. } = rule.alarms;
        let alarms = format!("{events},{days},{per_day},{},{}", around.low, around.high);
        let name = if rule.rule.contains([',', '"']) {
            format!("\"{}\"", rule.rule.replace('"', "\"\""))
        } else {
            rule.rule.clone()
        };
        for row in &rule.rows {
            let (kind, observations, seconds, efficiency) = bound(&row.bound);
            let _ = writeln!(
                out,
                "{name},{},{},{},{},{},{},{},{},{},{},{},{kind},{},{},{},{alarms}",
                row.kind.name(),
                row.size,
                row.trials,
                row.found,
                row.share.low,
                row.share.high,
                number(row.median_s),
                number(row.p90_s),
                row.bad,
                row.observations,
                row.censored,
                number(observations),
                number(seconds),
                number(efficiency),
            );
        }
    }
    out
}

/// (kind, observations, seconds, efficiency)
fn bound(bound: &Bound) -> (&'static str, Option<f64>, Option<f64>, Option<f64>) {
    match *bound {
        Bound::Optimum { observations, seconds, efficiency, .. } => {
            ("optimum", Some(observations), Some(seconds), Some(efficiency))
        }
        Bound::NeymanPearson { observations, seconds } => ("neyman-pearson", Some(observations), Some(seconds), None),
        Bound::None => ("no bound", None, None, None),
    }
}

/// Everything as one object. Spans are seconds; `null` is never, or not there.
#[must_use]
pub fn power_json(power: &Power) -> Value {
    let s = &power.setting;
    let span = |span: Span| span.as_secs_f64();
    json!({
        "scenario": power.scenario,
        "policy": power.policy,
        "canary": power.versions.0,
        "baseline": power.versions.1,
        "stage": s.stage,
        "share": s.share,
        "requests_per_s": s.rate,
        "scrape_s": span(s.scrape),
        "lag_s": span(s.lag),
        "label_delay_s": s.labels.map(|(median, p90)| json!({ "median": span(median), "p90": span(p90) })),
        "healthy": { "failure_rate": s.failure_rate, "wrong_rate": s.wrong_rate },
        "changes_s": s.changes.iter().map(|c| span(*c)).collect::<Vec<_>>(),
        "within_s": span(s.within),
        "trials": s.trials,
        "seed": s.seed,
        "rules": power.rules.iter().map(rule_json).collect::<Vec<_>>(),
    })
}

fn rule_json(rule: &RulePower) -> Value {
    let FalseAlarms { events, rollouts, days, per_day, per_rollout, requests } = rule.alarms;
    let rate = |(value, Interval { low, high }): (f64, Interval)| json!({ "value": value, "low": low, "high": high });
    json!({
        "rule": rule.rule,
        "when": rule.text,
        "then": rule.then,
        "not_predicted": rule.silent,
        "false_alarms": {
            "events": events,
            "rollouts": rollouts,
            "days": days,
            "canary_requests": requests,
            "per_day": rate(per_day),
            "per_rollout": rate(per_rollout),
        },
        "shifts": rule.rows.iter().map(row_json).collect::<Vec<_>>(),
    })
}

fn row_json(row: &Row) -> Value {
    let (kind, observations, seconds, efficiency) = bound(&row.bound);
    let (arl0, at_least) = match row.bound {
        Bound::Optimum { arl0, at_least, .. } => (Some(arl0), Some(at_least)),
        _ => (None, None),
    };
    json!({
        "kind": row.kind.name(),
        "unit": row.kind.unit(),
        "size": row.size,
        "what": row.words,
        "trials": row.trials,
        "found": row.found,
        "found_share": { "low": row.share.low, "high": row.share.high },
        "median_s": row.median_s,
        "p90_s": row.p90_s,
        "delays_s": row.delays_s.iter().map(|d| d.is_finite().then_some(*d)).collect::<Vec<_>>(),
        "bad_requests": row.bad,
        "delay_observations": row.observations,
        "censored": row.censored,
        "bound": {
            "kind": kind,
            "observations": observations,
            "seconds": seconds,
            "efficiency": efficiency,
            "arl0_observations": arl0,
            "at_least": at_least,
        },
    })
}
