//! Owns the resolution of expectations: texts like "<= 4m" → typed checks.

use crate::plan::diagnostic::Diagnostic;
use crate::plan::document::Place;
use crate::plan::scenario::Expect;
use crate::plan::units::{BOUND_HELP, Bound, UnitError, parse_duration};
use crate::report::expect::{Check, Expectation, Measure, Op, Stat};

pub(crate) fn expectations(wire: &[Expect], place: &Place<'_>, found: &mut Vec<Diagnostic>) -> Vec<Expectation> {
    wire.iter().enumerate().flat_map(|(i, e)| expectation(e, &place.at(i), found)).collect()
}

fn expectation(wire: &Expect, place: &Place<'_>, found: &mut Vec<Diagnostic>) -> Vec<Expectation> {
    let stats = [
        (Stat::Value, &wire.value),
        (Stat::P50, &wire.p50),
        (Stat::P90, &wire.p90),
        (Stat::Mean, &wire.mean),
        (Stat::Max, &wire.max),
        (Stat::Min, &wire.min),
    ];
    let given: Vec<(Stat, &Bound)> =
        stats.into_iter().filter_map(|(stat, bound)| Some((stat, bound.as_ref()?))).collect();
    let policy = wire.policy.clone();
    match (wire.outcome, wire.measure) {
        (Some(outcome), None) => {
            for (stat, _) in &given {
                let message = format!("`{}` is a limit for a measure, not for an outcome", stat.name());
                found.push(place.at(stat.name()).wrong_key(message).help("outcomes have a `share`"));
            }
            let outcome = outcome.0;
            let Some(bound) = &wire.share else {
                let text = format!("outcome {}", outcome.name());
                return vec![Expectation { policy, check: Check::Outcome { outcome, share: None }, text }];
            };
            let Some((op, share)) = limit(bound, false, Op::GreaterEqual, &place.at("share"), found) else {
                return Vec::new();
            };
            if !(0.0..=1.0).contains(&share) {
                found.push(place.at("share").wrong(format!("a share of trials is between 0 and 1, not {share}")));
            }
            let text = format!("outcome {} share {} {share}", outcome.name(), op.name());
            vec![Expectation { policy, check: Check::Outcome { outcome, share: Some((op, share)) }, text }]
        }
        (None, Some(measure)) => {
            if wire.share.is_some() {
                found.push(place.at("share").wrong_key("`share` goes with an outcome, not with a measure"));
            }
            if given.is_empty() {
                let help = "give one of value, p50, p90, mean, max, min, like p90 = \"<= 4m\"";
                found.push(place.wrong(format!("`{}` without a limit", measure.0.name())).help(help));
            }
            let one = |(stat, bound)| measured(measure.0, stat, bound, policy.clone(), place, found);
            given.into_iter().filter_map(one).collect()
        }
        (Some(_), Some(_)) => {
            found.push(
                place
                    .at("measure")
                    .wrong_key("an expectation is about an outcome or a measure")
                    .help("write two expectations"),
            );
            Vec::new()
        }
        (None, None) => {
            found.push(place.wrong("the expectation is about nothing").label("needs `outcome` or `measure`"));
            Vec::new()
        }
    }
}

fn measured(
    measure: Measure,
    stat: Stat,
    bound: &Bound,
    policy: Option<String>,
    place: &Place<'_>,
    found: &mut Vec<Diagnostic>,
) -> Option<Expectation> {
    let default = if stat == Stat::Min { Op::GreaterEqual } else { Op::LessEqual };
    let (op, value) = limit(bound, measure.is_delay(), default, &place.at(stat.name()), found)?;
    let written = bound.0.trim().trim_start_matches(['<', '>', '=', ' ']);
    let text = format!("{} {} {} {written}", measure.name(), stat.name(), op.name());
    Some(Expectation { policy, check: Check::Measure { measure, stat, op, value }, text })
}

/// The comparison and the limit of a bound.
fn limit(
    bound: &Bound,
    is_time: bool,
    default: Op,
    place: &Place<'_>,
    found: &mut Vec<Diagnostic>,
) -> Option<(Op, f64)> {
    let text = bound.0.trim();
    let ops = [Op::LessEqual, Op::GreaterEqual, Op::Less, Op::Greater];
    let written = ops.into_iter().find_map(|op| Some((op, text.strip_prefix(op.name())?)));
    let (op, value) = written.unwrap_or((default, text));
    let value = value.trim();
    if is_time {
        let span = parse_duration(value);
        let wrong = |e: UnitError| found.push(place.wrong(e.message).label("the limit of a time").help(e.help));
        return span.map_err(wrong).ok().map(|span| (op, span.as_secs_f64()));
    }
    let read = value.parse::<f64>().ok().filter(|v| v.is_finite());
    if read.is_none() {
        found.push(place.wrong(format!("`{}` is not a comparison with a number", bound.0)).help(BOUND_HELP));
    }
    Some((op, read?))
}
