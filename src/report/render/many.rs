//! Owns what a person reads on the terminal after many trials of one scenario and policy.

use super::console::{COLUMNS_MAX, ConsoleOptions, Ink, closing, expected, fit, percent_short, width};
use super::story::{grouped, length, outcome_words};
use crate::report::aggregate::Aggregate;
use crate::report::estimate::{Delay, Estimate, Figure, Share};
use crate::report::trial::{ExpectationResult, Host};
use crate::stats::Interval;
use crate::time::{SimTime, Span};

/// Many trials of one scenario and policy, summed up.
#[derive(Debug, Clone, Copy)]
pub struct Many<'a> {
    /// The scenario's name.
    pub scenario: &'a str,
    /// The policy's name.
    pub policy: &'a str,
    /// The first and the last seed.
    pub seeds: (u64, u64),
    /// When arrivals end in each trial.
    pub horizon: SimTime,
    /// What the trials amount to.
    pub aggregate: &'a Aggregate,
    /// Expectations, judged over all trials.
    pub expectations: &'a [ExpectationResult],
    /// Figures of the host for all trials together.
    pub host: Host,
}

/// The summary of many trials, ending with a line break: at most 25 lines, as [`super::console()`].
#[must_use]
pub fn console_many(many: &Many<'_>, options: &ConsoleOptions<'_>) -> String {
    let ink = Ink { on: options.color };
    let aggregate = many.aggregate;
    let mut lines = vec![head(many, ink), String::new()];
    for (i, (outcome, share)) in aggregate.outcomes.iter().filter(|(_, share)| share.count > 0).enumerate() {
        let label = if i == 0 { "outcomes" } else { "" };
        let name = ink.outcome(*outcome, &format!("{:<16}", outcome_words(*outcome)));
        lines.push(format!("  {label:<10} {name}{}", shares(share)));
    }
    lines.push(String::new());
    if aggregate.mttd.n > 0 {
        let horizon = brief(aggregate.mttd.horizon_s);
        let head = format!("  {:<11}{:<24}{:<24}{:<24}never", "", "median", "90 %", format!("mean up to {horizon}"));
        lines.push(ink.dim(&head));
        lines.push(delay("mttd", &aggregate.mttd, ink));
        lines.push(delay("mttr", &aggregate.mttr, ink));
        if aggregate.preempted > 0 {
            lines.push(format!(
                "             {} faults came after the policy had already rolled back",
                grouped(aggregate.preempted)
            ));
        }
        lines.push(String::new());
    }
    lines.push(format!("  harm       {}", fit(&harm(aggregate), COLUMNS_MAX - 13)));
    if aggregate.precision.of + aggregate.recall.of + aggregate.good_releases_blocked.of > 0 {
        lines.push(format!("  rollbacks  {}", fit(&rollbacks(aggregate), COLUMNS_MAX - 13)));
    }
    lines.extend(expected(many.expectations, ink));
    lines.extend(closing(options, "summary.json", many.expectations, ink));
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

fn head(many: &Many<'_>, ink: Ink) -> String {
    let n = many.aggregate.trials;
    let simulated = match many.host.wall_s {
        wall if wall > 0.0 => format!("{n} × {} simulated in {wall:.1} s", length(many.horizon)),
        _ => format!("{n} × {} simulated", length(many.horizon)),
    };
    let room = COLUMNS_MAX.saturating_sub(width(&simulated) + 2);
    let title = format!("{} · policy {} · seeds {} to {}", many.scenario, many.policy, many.seeds.0, many.seeds.1);
    let title = fit(&title, room);
    let gap = " ".repeat(room - width(&title) + 2);
    format!("{}{gap}{}", ink.bold(&title), ink.dim(&simulated))
}

/// `38 of 40   95.0 % (83.1 to 99.4 %)`.
fn shares(share: &Share) -> String {
    let counts = format!("{} of {}", grouped(share.count), grouped(share.of));
    let value = share.value().map_or_else(|| "–".to_owned(), |value| format!("{:.1} %", value * 100.0));
    let interval =
        share.interval.map_or_else(String::new, |i| format!("  ({:.1}–{:.1} %)", i.low * 100.0, i.high * 100.0));
    format!("{counts:>15}  {value:>7}{interval}")
}

fn delay(name: &str, delay: &Delay, ink: Ink) -> String {
    let cell = |estimate: &Estimate| {
        let value = estimate.value.map_or_else(|| format!("> {}", brief(delay.horizon_s)), brief);
        format!("{:<24}", format!("{value}{}", between(estimate.interval)))
    };
    let never = format!("{} of {}", grouped(delay.censored), grouped(delay.n));
    format!("  {:<11}{}{}{}{never}", name, ink.bold(&cell(&delay.p50)), cell(&delay.p90), cell(&delay.mean))
}

fn between(interval: Option<Interval>) -> String {
    // Nothing is known of a delay whose every bound lies beyond the horizon.
    let known = interval.filter(|interval| interval.low.is_finite());
    known.map_or_else(String::new, |interval| format!(" ({}–{})", brief(interval.low), brief(interval.high)))
}

/// Seconds in as few characters as a table needs: `3m15s`, `41s`, `0.7s`, `1h02m`.
fn brief(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "∞".to_owned();
    }
    let span = Span::from_secs_f64(seconds);
    let s = (span.0 + 500_000_000) / 1_000_000_000;
    match s {
        0..10 => format!("{:.1}s", span.as_secs_f64()),
        10..60 => format!("{s}s"),
        60..3_600 if s.is_multiple_of(60) => format!("{}m", s / 60),
        60..3_600 => format!("{}m{:02}s", s / 60, s % 60),
        _ => format!("{}h{:02}m", s / 3_600, s / 60 % 60),
    }
}

fn harm(aggregate: &Aggregate) -> String {
    if aggregate.harm_avoided.n == 0 {
        return "not defined: measured without reference runs".to_owned();
    }
    let mean = |figure: &Figure| figure.mean.value.map_or_else(|| "not defined".to_owned(), count);
    let interval = aggregate
        .harm_suffered
        .mean
        .interval
        .map_or_else(String::new, |i| format!(" ({}–{})", count(i.low), count(i.high)));
    format!(
        "per trial {}{interval} bad because of faults · {} avoided · {} by the policy",
        mean(&aggregate.harm_suffered),
        mean(&aggregate.harm_avoided),
        mean(&aggregate.policy_harm),
    )
}

fn count(value: f64) -> String {
    let sign = if value <= -0.5 { "−" } else { "" };
    // `as` saturates, and maps NaN to zero.
    format!("{sign}{}", grouped(value.abs().round() as u64))
}

fn rollbacks(aggregate: &Aggregate) -> String {
    let of = |share: &Share| format!("{} of {}", grouped(share.count), grouped(share.of));
    let mut parts = Vec::new();
    if aggregate.precision.of > 0 {
        parts.push(format!("{} right", of(&aggregate.precision)));
    }
    if aggregate.recall.of > 0 {
        parts.push(format!("{} curable faults found", of(&aggregate.recall)));
    }
    if aggregate.good_releases_blocked.of > 0 {
        parts.push(format!("{} good releases blocked", of(&aggregate.good_releases_blocked)));
    }
    if let Some(faulty) = aggregate.faulty.value() {
        parts.push(format!("{} of trials faulty", percent_short(faulty)));
    }
    parts.join(" · ")
}
