//! Owns the limits beside each row: how fast any rule could find that shift.
//!
//! **The optimum** ([`optimum`]): where canary observations are independent, with likelihoods that [`crate::stats::oracle`] knows, the
//! exact worst-case optimum at the rule's own ARL0: canary observations watched without a shift over first alarms. ARL0 is taken
//! at the low end of its exact 95 % interval, which makes the optimum lower and so still a bound, as `≥` says. It takes
//! the rate of first alarms to be the same after the time watched as within it. It sees every observation as it ends (a
//! label too), before any scrape; what efficiency is lost to scrapes, windows, lag and late labels is part of what is told.
//!
//! The optimum is of the worst change point *and* the worst past; the delay it stands beside is worst over change points only, a
//! mean over pasts. A rule that a healthy stretch carries further from its alarm (EWMA charts, windows), or one whose statistic
//! stands above its start at the change, may so come out some percent above what it is worth (`tests/oracle.rs` has one at 93 %
//! of the optimum's delay without its worst past).
//!
//! **The ceiling** ([`ceiling`]): valid for every stopping rule, whatever it reads and however its alarms spread in time. For each
//! time `t` after the change "it has fired by `t`" is a test, so it cannot fire more often with the shift than the most powerful
//! test of the same size (J. Neyman and E. S. Pearson, 1933; [`np_power`]). Its size is the rule's own chance to fire by `t` in
//! the same rollouts without a shift, at the upper end of the exact interval of Clopper and Pearson; the most powerful test is
//! that of the likelihood ratio of all that it could know ([`super::evidence`]), simulated for the arrivals of the same rollouts.
//! Each of the two errs with at most 2.5 %, so that at each time the ceiling holds with 95 %. Which rollout it is, and with it the
//! change point, is part of what is observed and has the same law on both sides: so the lemma holds for all together. Rollouts
//! that differ make counts less, not more variable than the binomial ones that the intervals assume (W. Hoeffding, Annals of
//! Mathematical Statistics 27 (1956) 713-721).

use crate::campaign::power::evidence::{Came, Deal, Question, followed, grid, known, sigma};
use crate::campaign::power::shift::{Info, Shift};
use crate::campaign::power::synthetic::Bench;
use crate::report::power::{Ceiling, CeilingPoint, Optimum};
use crate::rng::{Seed, Stream};
use crate::stats::oracle;
use crate::stats::oracle::neyman_pearson::np_power;
use crate::stats::proportion::{clopper_pearson, poisson_rate};
use crate::time::Span;
use crate::world::config::{Effect, Payload, Source};

/// What is known of the rule.
pub(super) struct Known {
    /// Canary observations watched without a shift.
    pub(super) exposed: u64,
    /// Alarms in them.
    pub(super) alarms: u64,
    /// Observations a second.
    pub(super) per_second: f64,
    /// Its mean delay at the worst change, in observations.
    pub(super) observations: f64,
}

/// The likelihoods of one canary observation without and with a shift, where observations are independent and come at an even
/// rate, and who reads so much knows no more than them.
fn likelihoods(bench: &Bench<'_>, shift: Shift, info: Info) -> Option<oracle::Shift> {
    let world = &bench.world;
    if world.faults.iter().any(|f| matches!(f.effect, Effect::Surge { .. })) {
        return None;
    }
    let healthy = bench.healthy;
    match shift {
        Shift::Latency(multiplier) => sigma(bench).map(|sigma_log| oracle::Shift::Lognormal { sigma_log, multiplier }),
        Shift::Failure(p1) => Some(oracle::Shift::Bernoulli { p0: healthy.failure_rate, p1 }),
        Shift::Wrong(p1) => {
            // Where sources differ, which one a request is of tells something.
            let alike = bench.scores.iter().all(|s| (s.wrong - healthy.wrong_rate).abs() < 1e-6);
            (info.only_labels() && alike).then_some(oracle::Shift::Bernoulli { p0: healthy.wrong_rate, p1 })
        }
        Shift::Feature { by, .. } => {
            let normal = |s: &Source| matches!(s.payload, Payload::Normal { .. });
            let known = info.only_features() && world.sources.iter().all(normal);
            known.then_some(oracle::Shift::Gaussian { delta: by })
        }
        Shift::Outcome { of, factor } => {
            let mut sources = world.sources.iter();
            let (Some(source), None) = (sources.next(), sources.next()) else { return None };
            let outcome = source.outcomes.iter().find(|o| o.id == of)?;
            let (answered, wrong) = (1.0 - healthy.failure_rate, healthy.wrong_rate);
            let p0 = answered * (outcome.right * (1.0 - wrong) + outcome.wrong * wrong)
                + healthy.failure_rate * outcome.failed;
            info.only_outcomes().then_some(oracle::Shift::Bernoulli { p0, p1: p0 * factor })
        }
        Shift::Score(_) | Shift::Missing { .. } => None,
    }
}

/// The optimum at the rule's ARL0.
pub(super) fn optimum(bench: &Bench<'_>, shift: Shift, info: Info, known: &Known) -> Option<Optimum> {
    let rates = poisson_rate(known.alarms, known.exposed as f64, 0.95)?;
    let best = likelihoods(bench, shift, info)?.bound((1.0 / rates.high).max(1.0))?;
    Some(Optimum {
        arl0: best.arl0,
        observations: best.delay,
        seconds: best.delay / known.per_second,
        efficiency: best.delay / known.observations.max(1.0),
    })
}

/// The interval of the rule's chance of a false alarm; its upper end alone errs half as often as that says.
const ALARM: f64 = 0.95;
/// How sure the power of the best test is.
const POWER: f64 = 0.975;

/// Deals of all rollouts together, at least, with the shift and without.
const DEALS: usize = 1000;
/// From a time on by which a rule may have found that share, nothing is said.
const ENOUGH: f64 = 0.95;

/// What no rule exceeds that reads so much and, without a shift, fires as `watched` says: for each rollout how long after the change,
/// if at all, with the canary requests that came. `None` where likelihoods are not known, and without rollouts.
pub(super) fn ceiling(
    bench: &Bench<'_>,
    (shift, info): (Shift, Info),
    within: Span,
    watched: &[(Option<Span>, &[Came])],
) -> Option<Ceiling> {
    if watched.is_empty() || !known(bench, shift) {
        return None;
    }
    let followed = watched.iter().map(|(_, came)| followed(came, within)).min()?;
    let grid: Vec<Span> = grid(within).into_iter().take_while(|t| *t <= followed).collect();
    let again = DEALS.div_ceil(watched.len());
    let deals = |shifted: bool, purpose: &str| -> Vec<Deal<'_>> {
        let of = Question { bench, shift, info, shifted };
        let all = watched.iter().flat_map(|(_, came)| std::iter::repeat_n(came, again)).enumerate();
        all.map(|(i, came)| Deal::new(of, came, &grid, Stream::named(Seed(i as u64), "power/bound", purpose))).collect()
    };
    let (mut without, mut with) = (deals(false, "without"), deals(true, "with"));
    let alarms: Vec<Option<Span>> = watched.iter().map(|(delay, _)| *delay).collect();
    let mut points = Vec::new();
    for (place, by) in grid.iter().enumerate() {
        let sums = |deals: &mut [Deal<'_>]| deals.iter_mut().map(|deal| deal.by(&grid, place)).collect::<Vec<_>>();
        let point = point(*by, &alarms, &sums(&mut without), &sums(&mut with))?;
        if point.found > ENOUGH {
            break;
        }
        points.push(point);
    }
    // No rule has found half by then, so its median comes later.
    let median_s = points.iter().take_while(|p| p.found < 0.5).last().map(|p| p.within_s);
    Some(Ceiling { points, median_s })
}

/// The ceiling at one time: of rules that fire as `alarms` says without a shift, from sums of the log-likelihood ratio by then,
/// each with a lot.
fn point(by: Span, alarms: &[Option<Span>], without: &[(f64, f64)], with: &[(f64, f64)]) -> Option<CeilingPoint> {
    let fired = alarms.iter().flatten().filter(|delay| **delay <= by).count();
    let alarm = clopper_pearson(fired as u64, alarms.len() as u64, ALARM)?.high;
    let (without, with) = ranks(without, with);
    Some(CeilingPoint { within_s: by.as_secs_f64(), alarm, found: np_power(&without, &with, alarm, POWER)? })
}

/// Places in one order, equal sums by lot: where nothing has come yet, or all that came is yes or no, the best test is a
/// randomised one, and one that takes all equal ones would find what nobody can.
fn ranks(without: &[(f64, f64)], with: &[(f64, f64)]) -> (Vec<f64>, Vec<f64>) {
    let all: Vec<(f64, f64)> = without.iter().chain(with).copied().collect();
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by(|a, b| {
        let (a, b) = (all[*a], all[*b]);
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    let mut ranks = vec![0.0; all.len()];
    order.iter().enumerate().for_each(|(rank, of)| ranks[*of] = rank as f64);
    let with = ranks.split_off(without.len());
    (ranks, with)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::normal;

    /// A shift of so many deviations, an observation each second, so many of them.
    const DELTA: f64 = 0.5;
    const SECONDS: usize = 60;

    /// Values of one rollout: from a stream of its own.
    fn values(n: usize, purpose: &str, shifted: bool) -> Vec<f64> {
        let mut luck = Stream::named(Seed(n as u64), "bound-test", purpose);
        (0..SECONDS).map(|_| normal::quantile(luck.uniform()) + if shifted { DELTA } else { 0.0 }).collect()
    }

    fn sums(values: &[f64]) -> Vec<f64> {
        let ratio = |sum: &mut f64, z: &f64| {
            *sum += DELTA * z - 0.5 * DELTA * DELTA;
            Some(*sum)
        };
        values.iter().scan(0.0, ratio).collect()
    }

    /// The second after which a rule has fired.
    type Rule<'a> = &'a dyn Fn(&[f64]) -> Option<usize>;

    fn cusum(z: &[f64], k: f64, h: f64) -> Option<usize> {
        let mut w = 0.0_f64;
        z.iter().position(|z| {
            w = (w + z - k).max(0.0);
            w > h
        })
    }

    /// By how much a rule's share of finds surely exceeds the ceiling, at its worst second, and how near it comes at its best.
    fn over(rule: Rule<'_>) -> (f64, f64) {
        let rollouts = 600;
        let fired = |purpose: &str, shifted: bool| -> Vec<Option<Span>> {
            let by = |n: usize| rule(&values(n, purpose, shifted)).map(|i| Span::secs(i as u64 + 1));
            (0..rollouts).map(by).collect()
        };
        let (alarms, found) = (fired("null", false), fired("shift", true));
        let deals = |purpose: &str, shifted: bool| -> Vec<Vec<f64>> {
            (0..DEALS).map(|n| sums(&values(n, purpose, shifted))).collect()
        };
        let (without, with) = (deals("null deals", false), deals("shift deals", true));
        let (mut surely, mut near) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
        for i in 0..SECONDS {
            let by = Span::secs(i as u64 + 1);
            let at = |deals: &[Vec<f64>]| deals.iter().map(|sums| (sums[i], 0.0)).collect::<Vec<_>>();
            let ceiling = point(by, &alarms, &at(&without), &at(&with)).expect("a ceiling").found;
            let n = found.iter().flatten().filter(|delay| **delay <= by).count() as u64;
            // Over all seconds together: so sure.
            let low = clopper_pearson(n, rollouts as u64, 0.9999).expect("a share").low;
            surely = surely.max(low - ceiling);
            near = near.max(n as f64 / rollouts as f64 - ceiling);
        }
        (surely, near)
    }

    /// CUSUMs that alarm often and hardly ever, a chart of single values, one test at one time, one that alarms by lot: the ceiling
    /// is above all of them, and it is near the one that is best at its time.
    #[test]
    fn no_rule_exceeds_the_ceiling() {
        let once = |z: &[f64]| (sums(&z[..30]).last() > Some(&1.0)).then_some(29);
        let rules: [Rule<'_>; 5] =
            [&|z| cusum(z, 0.25, 4.0), &|z| cusum(z, 0.25, 8.0), &|z| z.iter().position(|z| *z > 2.5), &once, &|z| {
                (z[0] > 1.0).then_some(4)
            }];
        for (i, rule) in rules.into_iter().enumerate() {
            let (surely, _) = over(rule);
            assert!(surely <= 0.0, "rule {i} exceeds the ceiling by {surely}");
        }
        let (_, near) = over(&once);
        assert!((-0.08..0.0).contains(&near), "the best test at its time is {near} from the ceiling");
    }

    /// The planted fault: the CUSUM that fires often, eight observations ahead of time; and one that knows of the shift.
    #[test]
    fn who_peeks_exceeds_the_ceiling() {
        let (surely, _) = over(&|z| cusum(z, 0.25, 4.0).map(|i| i.saturating_sub(8)));
        assert!(surely > 0.0, "{surely}");
        let told = |z: &[f64]| (z.iter().sum::<f64>() > 0.25 * SECONDS as f64).then_some(0);
        assert!(over(&told).0 > 0.3);
    }

    /// Before anything is known, no rule finds more than its chance of a false alarm.
    #[test]
    fn where_nothing_is_known_nothing_is_found() {
        let lots = |n: usize, purpose: &str| -> Vec<(f64, f64)> {
            let mut luck = Stream::named(Seed(1), "bound-test", purpose);
            (0..n).map(|_| (0.0, luck.uniform())).collect()
        };
        let alarms = vec![None; 200];
        let point = point(Span::secs(1), &alarms, &lots(1000, "a"), &lots(1000, "b")).expect("a ceiling");
        assert!(point.alarm < 0.02 && point.found < 0.06, "{point:?}");
    }
}
