//! Owns the judging of expectations: the one verdict function behind console, files and exit code.
//!
//! - **One trial** is judged by its value. A censored delay fails `<` and `<=`; it meets `>` and `>=` if it was
//!   watched for that long. A mean with censored delays fails an upper bound that is not within the common horizon.
//! - **Many trials**: statistics of a population (`mean`, `p50`, `p90`, a share of outcomes) are judged by their 95 %
//!   interval: all of it on the demanded side *holds*, all of it on the other is *missed*, else *inconclusive* with an
//!   estimate of the seeds that would decide, if what was seen is near the truth.
//! - Statements about the trials that were run (`value`: every one; `max`, `min`; an outcome without a share, or with a share of
//!   `>= 1` or `<= 0`) are judged as they stand.
//! - A delay without any harmful incident is inconclusive. A figure that is not defined in every trial (harm under natural
//!   drift, or without reference runs) is neither held nor missed: the demand is *not defined*, and what is demanded has
//!   not been shown.

use crate::report::aggregate::{TrialFigures, delay, incidents, mttd, mttr};
use crate::report::estimate::{Delay, Estimate, Figure, Share, Watched};
use crate::report::expect::{Check, Expectation, Measure, Op, Stat};
use crate::report::trial::{ExpectationResult, ExpectationVerdict, Incident, Outcome};
use crate::stats::Interval;

/// More seeds than this are not asked for: the demand then lies too near to the truth.
pub const SEEDS_MAX: u32 = 100_000;

/// Judges the expectations that are about a policy, in their order.
#[must_use]
pub fn judge_all(expectations: &[Expectation], policy: &str, trials: &[TrialFigures]) -> Vec<ExpectationResult> {
    let about = |e: &&Expectation| e.policy.as_deref().is_none_or(|name| name == policy);
    expectations.iter().filter(about).map(|e| judge(e, trials)).collect()
}

/// The verdict on several: missed if one is, else inconclusive (with the most seeds any asks for) if one is, else not
/// defined if one is, else holds.
#[must_use]
pub fn overall<'a>(results: impl IntoIterator<Item = &'a ExpectationResult>) -> ExpectationVerdict {
    use ExpectationVerdict::{Holds, Inconclusive, Missed, NotDefined};
    results.into_iter().fold(Holds, |sum, r| match (sum, r.verdict) {
        (Missed, _) | (_, Missed) => Missed,
        (Inconclusive { seeds: a }, Inconclusive { seeds: b }) => Inconclusive { seeds: a.max(b) },
        (Inconclusive { seeds }, _) | (_, Inconclusive { seeds }) => Inconclusive { seeds },
        (NotDefined, _) | (_, NotDefined) => NotDefined,
        (Holds, Holds) => Holds,
    })
}

/// Judges one expectation on the trials of one scenario and policy.
#[must_use]
pub fn judge(expectation: &Expectation, trials: &[TrialFigures]) -> ExpectationResult {
    let (verdict, measured) = match expectation.check {
        _ if trials.is_empty() => (ExpectationVerdict::Inconclusive { seeds: 1 }, "nothing ran".to_owned()),
        Check::Outcome { outcome, share } => outcome_share(outcome, share, trials),
        Check::Measure { measure, stat, op, value } => {
            let (verdict, words) = match measure {
                Measure::Mttd => of_delays(trials, mttd, stat, op, value),
                Measure::Mttr => of_delays(trials, mttr, stat, op, value),
                _ => of_figures(trials, measure, stat, op, value),
            };
            (verdict, format!("{} {words}", measure.name()))
        }
    };
    ExpectationResult { text: expectation.text.clone(), measured, verdict }
}

const fn decided(holds: bool) -> ExpectationVerdict {
    if holds { ExpectationVerdict::Holds } else { ExpectationVerdict::Missed }
}

fn inconclusive(trials: usize, factor: f64) -> ExpectationVerdict {
    let least = (trials as f64 + 1.0).min(f64::from(SEEDS_MAX));
    // `as` saturates; NaN would ask for nothing, and `max` leaves it out.
    let seeds = (trials as f64 * factor).ceil().max(least).min(f64::from(SEEDS_MAX));
    ExpectationVerdict::Inconclusive { seeds: seeds as u32 }
}

/// Where an interval lies: `Some` if all of it is on one side of the demand.
fn side(op: Op, interval: Interval, demand: f64) -> Option<bool> {
    let ends = [interval.low, interval.high];
    if ends.iter().all(|&e| op.holds(e, demand)) {
        Some(true)
    } else if ends.iter().all(|&e| !op.holds(e, demand)) {
        Some(false)
    } else {
        None
    }
}

fn outcome_share(outcome: Outcome, share: Option<(Op, f64)>, trials: &[TrialFigures]) -> (ExpectationVerdict, String) {
    let n = trials.len() as u64;
    let seen = Share::new(trials.iter().filter(|t| t.outcome == outcome).count() as u64, n);
    let (op, demand) = share.unwrap_or((Op::GreaterEqual, 1.0));
    let as_run = n == 1 || (op == Op::GreaterEqual && demand >= 1.0) || (op == Op::LessEqual && demand <= 0.0);
    let value = seen.value().unwrap_or(f64::NAN);
    let verdict = match seen.interval.and_then(|i| side(op, i, demand)) {
        _ if as_run => decided(op.holds(value, demand)),
        Some(holds) => decided(holds),
        None => seeds_for_share(value, trials.len(), demand),
    };
    let words = match (trials, seen.interval) {
        ([one], _) => one.outcome.name().to_owned(),
        (_, Some(i)) => format!(
            "{} in {} of {n} trials ({:.1} %, 95 % interval {:.1} to {:.1} %)",
            outcome.name(),
            seen.count,
            100.0 * value,
            100.0 * i.low,
            100.0 * i.high
        ),
        (_, None) => format!("{} in {} of {n} trials", outcome.name(), seen.count),
    };
    (verdict, words)
}

/// About so many trials, at the share that was seen, put the demand outside of the exact interval.
fn seeds_for_share(share: f64, trials: usize, demand: f64) -> ExpectationVerdict {
    let mut n = trials as f64;
    while n < f64::from(SEEDS_MAX) {
        n = (n * 1.1).ceil() + 1.0;
        let assumed = Share::new((share * n).round() as u64, n as u64);
        if assumed.interval.is_some_and(|i| !i.contains(demand)) {
            break;
        }
    }
    inconclusive(trials, n / trials.max(1) as f64)
}

type Of = fn(&Incident) -> Option<(Watched, f64)>;

fn of_delays(trials: &[TrialFigures], of: Of, stat: Stat, op: Op, demand: f64) -> (ExpectationVerdict, String) {
    let delays: Vec<Watched> = incidents(trials).filter_map(of).map(|(d, _)| d).collect();
    if delays.is_empty() {
        return (inconclusive(trials.len(), 2.0), "not measured: no fault was harmful".to_owned());
    }
    let meets = |d: &Watched| op.holds(d.seconds, demand) && (d.happened || !op.is_upper_bound());
    let show = |d: &Watched| if d.happened { format!("{:.1} s", d.seconds) } else { format!("> {:.1} s", d.seconds) };
    let by_length = |a: &&Watched, b: &&Watched| (!a.happened, a.seconds).partial_cmp(&(!b.happened, b.seconds));
    let order = |a: &&Watched, b: &&Watched| by_length(a, b).unwrap_or(std::cmp::Ordering::Equal);
    let all = delay(trials, of);
    let tail = format!("n = {}, {} censored", all.n, all.censored);
    match stat {
        Stat::Value if delays.len() == 1 => (decided(delays.iter().all(meets)), delays.iter().map(show).collect()),
        Stat::Value => {
            let met = delays.iter().filter(|d| meets(d)).count();
            (decided(met == delays.len()), format!("as demanded in {met} of {} ({tail})", delays.len()))
        }
        Stat::Max | Stat::Min => {
            let pick = if stat == Stat::Max { delays.iter().max_by(order) } else { delays.iter().min_by(order) };
            (
                decided(pick.is_some_and(meets)),
                format!("{} {} ({tail})", stat.name(), pick.map(show).unwrap_or_default()),
            )
        }
        Stat::Mean | Stat::P50 | Stat::P90 => {
            let Delay { mean, p50, p90, .. } = all;
            let (estimate, q) = match stat {
                Stat::P50 => (p50, Some(0.5)),
                Stat::P90 => (p90, Some(0.9)),
                _ => (mean, None),
            };
            // A restricted mean never exceeds the horizon, so with censored delays it shows nothing about a bound beyond that.
            let unknown = stat == Stat::Mean && all.censored > 0 && (trials.len() == 1 || demand >= all.horizon_s);
            if unknown && op.is_upper_bound() {
                return (ExpectationVerdict::Missed, format!("mean not reached ({tail})"));
            }
            let value = if unknown { None } else { estimate.value };
            let beyond = !op.is_upper_bound() && op.holds(all.horizon_s, demand);
            let met = delays.iter().filter(|d| op.holds(if d.happened { d.seconds } else { f64::INFINITY }, demand));
            let verdict = statistic(
                trials.len(),
                value.map_or(beyond, |v| op.holds(v, demand)),
                Estimate { value, interval: estimate.interval },
                (op, demand),
                q.map(|q| (met.count() as f64 / delays.len() as f64, q)),
            );
            let unit = |v: f64| if v.is_finite() { format!("{v:.1} s") } else { "beyond the run".to_owned() };
            (verdict, words(stat, value, estimate.interval, trials.len(), &tail, unit))
        }
    }
}

fn of_figures(
    trials: &[TrialFigures],
    measure: Measure,
    stat: Stat,
    op: Op,
    demand: f64,
) -> (ExpectationVerdict, String) {
    let value = |t: &TrialFigures| match measure {
        Measure::HarmSuffered => t.harm_suffered.map(|h| h as f64),
        Measure::HarmAvoided => t.harm_avoided.map(|h| h as f64),
        Measure::PolicyHarm => t.policy_harm.map(|h| h as f64),
        Measure::LostRequests => Some(t.requests.lost as f64),
        Measure::BadRequests => Some(t.requests.bad as f64),
        Measure::Requests => Some(t.requests.requests as f64),
        Measure::Rollbacks => Some(f64::from(t.rollbacks)),
        Measure::BudgetSpent => Some(t.budget_spent),
        Measure::Mttd | Measure::Mttr => None,
    };
    // One trial that lacks it is enough: the others are not all that the demand is about.
    let Some(values) = trials.iter().map(value).collect::<Option<Vec<f64>>>() else {
        return (ExpectationVerdict::NotDefined, "not defined: there is no run without the fault".to_owned());
    };
    let figure = Figure::of(values.iter().copied());
    let tail = format!("n = {}", figure.n);
    let show = |v: f64| if measure == Measure::BudgetSpent { format!("{v:.4}") } else { words_of(v) };
    let meets = |v: &f64| op.holds(*v, demand);
    match stat {
        Stat::Value if values.len() == 1 => {
            (decided(values.iter().all(meets)), values.iter().map(|&v| show(v)).collect())
        }
        Stat::Value => {
            let met = values.iter().filter(|v| meets(v)).count();
            (decided(met == values.len()), format!("as demanded in {met} of {}", values.len()))
        }
        Stat::Max | Stat::Min => {
            let v = if stat == Stat::Max { figure.max } else { figure.min };
            (
                decided(v.is_some_and(|v| meets(&v))),
                format!("{} {} ({tail})", stat.name(), v.map(show).unwrap_or_default()),
            )
        }
        Stat::Mean | Stat::P50 | Stat::P90 => {
            let (estimate, q) = match stat {
                Stat::P50 => (figure.p50, Some(0.5)),
                Stat::P90 => (figure.p90, Some(0.9)),
                _ => (figure.mean, None),
            };
            let met = values.iter().filter(|v| meets(v)).count() as f64 / values.len() as f64;
            let holds = estimate.value.is_some_and(|v| meets(&v));
            let verdict = statistic(trials.len(), holds, estimate, (op, demand), q.map(|q| (met, q)));
            (verdict, words(stat, estimate.value, estimate.interval, trials.len(), &tail, show))
        }
    }
}

/// The verdict on a statistic: by its value in one trial, by its interval in many. `quantile` is the share of values that
/// meet the demand, and which quantile it is.
fn statistic(
    trials: usize,
    by_value: bool,
    estimate: Estimate,
    (op, demand): (Op, f64),
    quantile: Option<(f64, f64)>,
) -> ExpectationVerdict {
    if trials == 1 {
        return decided(by_value);
    }
    let Some(interval) = estimate.interval else { return inconclusive(trials, 2.0) };
    if let Some(holds) = side(op, interval, demand) {
        return decided(holds);
    }
    match (quantile, estimate.value) {
        // "The median is at most x" says that at least half are at most x: a share; "at least x": the other way round.
        (Some((met, q)), _) => seeds_for_share(met, trials, if op.is_upper_bound() { q } else { 1.0 - q }),
        // The width goes with the root of the number; a fifth more, as the estimate itself may move.
        (None, Some(value)) => {
            let reach = interval.width() / 2.0 / (value - demand).abs();
            inconclusive(trials, 1.2 * reach * reach)
        }
        (None, None) => inconclusive(trials, 2.0),
    }
}

/// Whole numbers without a point.
fn words_of(value: f64) -> String {
    if value == value.trunc() { format!("{value:.0}") } else { format!("{value:.1}") }
}

fn words(
    stat: Stat,
    value: Option<f64>,
    interval: Option<Interval>,
    trials: usize,
    tail: &str,
    show: impl Fn(f64) -> String,
) -> String {
    let value = value.map_or_else(|| "not reached".to_owned(), &show);
    match interval {
        Some(i) if trials > 1 => {
            format!("{} {value} (95 % interval {} to {}, {tail})", stat.name(), show(i.low), show(i.high))
        }
        _ => format!("{} {value} ({tail})", stat.name()),
    }
}
