//! Owns what a power analysis looks like: a table for the terminal, `power.md`, `.csv`, `.json`; the picture is beside it.

mod picture;
#[cfg(test)]
mod tests;

pub use picture::{power_png, power_svg};

use super::canvas::DrawError;
use super::console::{COLUMNS_MAX, ConsoleOptions, Ink, closing, fit, width};
use super::markdown::cell;
use super::story::grouped;
use crate::report::power::{CeilingPoint, FIRES_ANYWAY, FalseAlarms, Kind, Power, Row, RulePower, Setting, Still};
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
fn share(found: u64, trials: u64, around: Interval) -> String {
    if trials == 0 {
        return "–".to_owned();
    }
    let value = found as f64 / trials as f64;
    format!("{} % [{}, {}]", percent(value), percent(around.low), percent(around.high))
}

fn found(row: &Row) -> String {
    share(row.found, row.trials, row.share)
}

fn rate(rate: Option<(f64, Interval)>) -> String {
    rate.map_or_else(
        || "nothing known".to_owned(),
        |(value, Interval { low, high })| format!("{} [{}, {}]", figure(value), figure(low), figure(high)),
    )
}

/// The optimum in seconds; beside it, for wrong answers, how late half of the labels are, which it does not wait for.
fn optimum(power: &Power, row: &Row) -> Option<String> {
    let best = row.optimum?;
    let labels = match (row.kind, power.setting.labels) {
        (Kind::Wrong, Some((median, _))) if median > Span::ZERO => format!(" (+{median})"),
        _ => String::new(),
    };
    Some(format!("≥ {} s{labels}", figure(best.seconds)))
}

/// What no rule's median is below.
fn least_median(row: &Row) -> Option<String> {
    Some(format!("median > {} s", figure(least(row)?)))
}

/// The sharper of the two limits.
fn limit(power: &Power, row: &Row) -> String {
    let sharper = row.optimum.filter(|best| least(row).is_none_or(|least| best.seconds >= least));
    let words = if sharper.is_some() { optimum(power, row) } else { least_median(row) };
    words.unwrap_or_else(|| "no bound".to_owned())
}

fn least(row: &Row) -> Option<f64> {
    row.ceiling.as_ref()?.median_s
}

/// The optimum over the mean delay at the worst change.
fn efficiency(row: &Row) -> String {
    match row.optimum {
        None => String::new(),
        // Of a fraction of which neither part is known nothing can be said.
        Some(_) if row.censored => "–".to_owned(),
        Some(best) => format!("≥ {} %", figure(best.efficiency * 100.0)),
    }
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
    let labels = match labels {
        None => String::new(),
        Some((_, Span::ZERO)) => ", labels at once".to_owned(),
        Some((median, p90)) => format!(", half of the labels within {median} and nine tenths within {p90}"),
    };
    format!("a look every {scrape}, seen {lag} later{labels}")
}

/// The surroundings in a sentence.
fn setting(power: &Power) -> String {
    format!("{}; {}", traffic(power), telemetry(power))
}

fn false_alarms(alarms: &FalseAlarms) -> String {
    let FalseAlarms { before, events, rollouts, per_day, per_rollout, .. } = *alarms;
    if rollouts + before == 0 {
        return "not simulated".to_owned();
    }
    if rollouts == 0 {
        return format!("fired before the stage in {before} of {before} rollouts");
    }
    let events = match events {
        0 => "no false alarm".to_owned(),
        1 => "1 false alarm".to_owned(),
        n => format!("{n} false alarms"),
    };
    let before = if before > 0 { format!(" ({before} more fired before the stage)") } else { String::new() };
    format!("{events} in {rollouts} rollouts{before}: {} a day, {} a rollout", rate(per_day), rate(per_rollout))
}

fn after(power: &Power) -> String {
    let at: Vec<String> = power.setting.changes.iter().map(Span::to_string).collect();
    at.join(", ")
}

// ---------------------------------------------------------------------------------------------------------------------
// Terminal

const WIDTHS: [usize; 8] = [28, 6, 16, 8, 8, 7, 18, 9];

fn columns(cells: &[&str]) -> String {
    let pad = |(cell, room): (&&str, &usize)| {
        let cell = fit(cell, room - 1);
        format!("{cell}{}", " ".repeat(room - width(&cell)))
    };
    cells.iter().zip(&WIDTHS).map(pad).collect::<String>().trim_end().to_owned()
}

/// Whether the row of one of its rules says already what a row of the policy as a whole says: that rule fires first, always.
fn repeats(power: &Power, row: &Row) -> bool {
    let Some((_, rules)) = power.rules.split_last() else { return false };
    let same = |other: &Row| {
        (&other.words, other.found, other.trials) == (&row.words, row.found, row.trials)
            && other.delays_s == row.delays_s
    };
    rules.iter().flat_map(|rule| &rule.rows).any(same)
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
        ink.dim(&columns(&[
            "shift of the canary",
            "of",
            "found",
            "median",
            "p90",
            "bad",
            "fastest possible",
            "effic.",
        ])),
    ];
    let last = power.rules.len().saturating_sub(1);
    for (i, RulePower { rule, silent, alarms, still, rows, .. }) in power.rules.iter().enumerate() {
        let name = fit(rule, 24);
        lines.push(format!("{}  {}", ink.bold(&name), fit(&false_alarms(alarms), COLUMNS_MAX - width(&name) - 2)));
        if let Some(why) = silent {
            lines.push(fit(&format!("  nothing is predicted: {why}"), COLUMNS_MAX));
        }
        if !rows.is_empty() {
            let Still { trials, fired, share: around } = *still;
            lines.push(columns(&["  nothing shifts", &grouped(trials), &share(fired, trials, around)]));
        }
        let (same, own): (Vec<&Row>, Vec<&Row>) =
            rows.iter().partition(|row| i > 0 && i == last && repeats(power, row));
        for row in own {
            let cells = [
                format!("  {}", row.words),
                grouped(row.trials),
                found(row),
                seconds(row.median_s),
                seconds(row.p90_s),
                figure(row.bad),
                limit(power, row),
                efficiency(row),
            ];
            lines.push(columns(&cells.each_ref().map(String::as_str)));
        }
        match (same.len(), rows.len()) {
            (0, _) => {}
            (n, all) if n == all => lines.push("  as the fastest of its rules".to_owned()),
            (n, _) => lines.push(format!("  {n} other shifts as the fastest of its rules")),
        }
    }
    lines.push(String::new());
    lines.push(
        ink.dim("  of: rollouts in which it had not fired before · bad: requests that the shift made bad until found"),
    );
    if power.rules.iter().flat_map(|r| &r.rows).any(|row| limit(power, row).contains('(')) {
        lines.push(ink.dim("  (+…): by then half of the labels are there; the bound before it does not wait for any"));
    }
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
    for RulePower { rule, text, silent, alarms, still, rows, .. } in &power.rules {
        let _ = write!(out, "## {}\n\n`{text}`\n\nWithout a shift: {}.\n\n", cell(rule), false_alarms(alarms));
        if let Some(why) = silent {
            let _ = write!(out, "Nothing is predicted: {why}.\n\n");
        }
        if rows.is_empty() {
            continue;
        }
        let Still { trials, fired, share: around } = *still;
        let _ = write!(
            out,
            "| shift | of | found | median | p90 | bad requests | delay, observations | fastest possible | efficiency | any \
             rule's median |\n\
             |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n\
             | nothing shifts | {} | {} | | | | | | | |\n",
            grouped(trials),
            share(fired, trials, around),
        );
        for row in rows {
            let observations = format!("{}{}", if row.censored { "≥ " } else { "" }, figure(row.observations));
            let best = match (optimum(power, row), row.optimum) {
                (Some(words), Some(best)) => format!("{words} ({} obs.)", figure(best.observations)),
                _ => "–".to_owned(),
            };
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {observations} | {best} | {} | {} |",
                cell(&row.words),
                grouped(row.trials),
                found(row),
                seconds(row.median_s),
                seconds(row.p90_s),
                figure(row.bad),
                efficiency(row),
                least_median(row).map_or_else(|| "no bound".to_owned(), |words| words.replace("median ", "")),
            );
        }
        out.push('\n');
    }
    let _ = write!(
        out,
        "## How to read it\n\n\
         - **of**: rollouts in which the rule had not fired before the change; **found**: in how many of them it fired within {} \
         of it, with a 95 % interval. **nothing shifts**: the same in the same rollouts without a shift; what is not far above it \
         is found by chance. **median**, **p90**: from the change to the look, lag included; – where fewer were found.\n\
         - **false alarms**: first alarms over the time until then, without a shift, with the exact 95 % Poisson interval; \
         a rollout is this one stage.\n\
         - **bad requests**: canary requests that fail, come late or are wrong by the objective, from change to look, less those \
         of the same rollout without the shift; the mean.\n\
         - **delay, observations**: mean number of canary requests (of labelled ones, for wrong answers) until the scrape that \
         told, at the worst change point.\n\
         - **fastest possible**: the exact worst-case optimum (CUSUM of the likelihood ratio) of any rule with the same mean time \
         between false alarms, which sees each request as it ends. ≥: that time is taken at the low end of its interval. (+…): it \
         sees labels at once; this is how late half of them are. –: likelihoods are not known, the rule reads more of what \
         shifts, or it fires without a shift in more than {} % of rollouts (or before a change point always).\n\
         - **efficiency**: optimum over the mean delay at the worst change. The optimum is of the worst past, too, and the delay \
         a mean over pasts: a rule may come out some percent above what it is worth. –: the rule did not always fire in the time \
         watched.\n\
         - **any rule's median**: no rule with this rule's chance of a false alarm by each time can have a smaller median, \
         whatever it reads and does (Neyman and Pearson; labels as late as they are; holds with 95 %). *no bound*: likelihoods \
         are not known, or the chance of a false alarm is not known to be small.\n\n\
         Assumed: answers as above, one queue before all slots of a version, and nothing that goes wrong: of a bad release what \
         should have shipped, no fault of the scenario but surges. No model ran.\n\n## Run again\n\n```\n{}\n```\n",
        power.setting.within,
        percent(FIRES_ANYWAY),
        command.trim_end(),
    );
    out
}

/// The table in long form.
#[must_use]
pub fn power_csv(power: &Power) -> String {
    let mut out = "rule,kind,size,trials,found,found_low,found_high,fired_without,median_s,p90_s,bad_requests,delay_observations,\
                   censored,optimum_observations,optimum_s,efficiency,least_median_s,alarms,alarm_days,alarms_per_day,\
                   alarms_per_day_low,alarms_per_day_high\n"
        .to_owned();
    let number = |x: Option<f64>| x.map_or_else(String::new, |x| x.to_string());
    for rule in &power.rules {
        let FalseAlarms { events, days, per_day, .. } = rule.alarms;
        let per_day = [per_day.map(|r| r.0), per_day.map(|r| r.1.low), per_day.map(|r| r.1.high)].map(number);
        let alarms = format!("{events},{days},{}", per_day.join(","));
        let name = if rule.rule.contains([',', '"']) {
            format!("\"{}\"", rule.rule.replace('"', "\"\""))
        } else {
            rule.rule.clone()
        };
        for row in &rule.rows {
            let best = row.optimum;
            let _ = writeln!(
                out,
                "{name},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{alarms}",
                row.kind.name(),
                row.size,
                row.trials,
                row.found,
                row.share.low,
                row.share.high,
                rule.still.fired,
                number(row.median_s),
                number(row.p90_s),
                row.bad,
                row.observations,
                row.censored,
                number(best.map(|b| b.observations)),
                number(best.map(|b| b.seconds)),
                number(best.map(|b| b.efficiency)),
                number(row.ceiling.as_ref().and_then(|c| c.median_s)),
            );
        }
    }
    out
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
    let FalseAlarms { before, events, rollouts, days, per_day, per_rollout, requests } = rule.alarms;
    let Still { trials, fired, share } = rule.still;
    let rate = |rate: Option<(f64, Interval)>| {
        rate.map(|(value, Interval { low, high })| json!({ "value": value, "low": low, "high": high }))
    };
    json!({
        "rule": rule.rule,
        "when": rule.text,
        "then": rule.then,
        "not_predicted": rule.silent,
        "false_alarms": {
            "before_the_stage": before,
            "events": events,
            "rollouts": rollouts,
            "days": days,
            "canary_requests": requests,
            "per_day": rate(per_day),
            "per_rollout": rate(per_rollout),
        },
        "nothing_shifts": { "trials": trials, "fired": fired, "share": { "low": share.low, "high": share.high } },
        "shifts": rule.rows.iter().map(row_json).collect::<Vec<_>>(),
    })
}

fn row_json(row: &Row) -> Value {
    let optimum = row.optimum.map(|best| {
        json!({
            "observations": best.observations,
            "seconds": best.seconds,
            "efficiency": best.efficiency,
            "arl0_observations": best.arl0,
        })
    });
    let ceiling = row.ceiling.as_ref().map(|ceiling| {
        let point = |p: &CeilingPoint| json!({ "within_s": p.within_s, "alarm": p.alarm, "found": p.found });
        json!({ "least_median_s": ceiling.median_s, "by_time": ceiling.points.iter().map(point).collect::<Vec<_>>() })
    });
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
        "optimum": optimum,
        "ceiling": ceiling,
    })
}
