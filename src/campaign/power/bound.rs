//! Owns the limit beside each row: how fast any rule could find that shift at the same rate of false alarms.
//!
//! Where canary observations are independent with known likelihoods ([`Shift::likelihoods`]) it is the exact worst-case optimum
//! ([`crate::stats::oracle`]), at the rule's own ARL0: canary observations watched without a shift over first alarms. Without a
//! single alarm, ARL0 is taken at the end of its exact 95 % interval, which makes the bound lower and so still one. The optimum
//! sees every observation as soon as it ends (a label too), before any scrape; what efficiency is lost to scrapes, windows, lag
//! and late labels is part of what is told. Sources: [`crate::stats::oracle`].
//!
//! The optimum is of the worst change point *and* the worst past; the delay it stands beside is worst over change points only, a
//! mean over pasts. A rule that a healthy stretch carries further from its alarm (EWMA charts, windows) may so come out some
//! percent above what it is worth (`tests/oracle.rs` has one at 93 % of the optimum's delay without its worst past).
//!
//! Scores as assumed here are a mixture of two normals: the ratio is known and its optimum is not computed. There the lemma of
//! Neyman and Pearson bounds the chance of detection by each time ([`np_power`]), and with it the median delay of any rule.

use crate::campaign::power::shift::Shift;
use crate::campaign::power::synthetic::{Bench, Scores};
use crate::report::power::Bound;
use crate::rng::{Seed, Stream};
use crate::stats::normal;
use crate::stats::oracle::neyman_pearson::np_power;
use crate::stats::proportion::poisson_rate;

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

pub(super) fn of(bench: &Bench<'_>, shift: Shift, known: &Known) -> Bound {
    let exposed = known.exposed as f64;
    let Some(rates) = poisson_rate(known.alarms, exposed, 0.95) else { return Bound::None };
    if let (Shift::Score(by), [scores]) = (shift, &bench.scores[..]) {
        return neyman_pearson(scores, by * scores.spread, rates.high, known.per_second);
    }
    let at_least = known.alarms == 0;
    let arl0 = if at_least { 1.0 / rates.high } else { exposed / known.alarms as f64 };
    let optimum = shift.likelihoods(bench.plan, bench.healthy).and_then(|of| of.bound(arl0.max(1.0)));
    let Some(best) = optimum else { return Bound::None };
    Bound::Optimum {
        arl0: best.arl0,
        at_least,
        observations: best.delay,
        seconds: best.delay / known.per_second,
        efficiency: best.delay / known.observations.max(1.0),
    }
}

/// Simulated runs on each side, and how sure the bound is.
const RUNS: usize = 1000;
const CONFIDENCE: f64 = 0.95;
/// No bound beyond so many observations: a shift that any rule may need longer for is not worth the simulation.
const OBSERVATIONS_MAX: usize = 4096;

/// The largest n (of powers of 2 and halfway between) at which no rule with a chance of at most `rate n` of a false alarm by then
/// can have found the shift in half of all cases.
fn neyman_pearson(scores: &Scores, shift: f64, rate: f64, per_second: f64) -> Bound {
    let law =
        |z: f64| scores.ones * normal::density(z - scores.d) + (1.0 - scores.ones) * normal::density(z + scores.d);
    let ratio = |z: f64| libm::log(law(z - shift).max(f64::MIN_POSITIVE) / law(z).max(f64::MIN_POSITIVE));
    let mut luck = Stream::named(Seed(0), "power/bound", "scores");
    let mut draw = || {
        let side = if luck.uniform32() < scores.ones { scores.d } else { -scores.d };
        side + normal::quantile(luck.uniform32())
    };
    let (mut null, mut fault) = (vec![0.0; RUNS], vec![0.0; RUNS]);
    let (mut seen, mut bound) = (0, 0);
    let mut n = 1;
    while n <= OBSERVATIONS_MAX {
        for (a, b) in null.iter_mut().zip(&mut fault) {
            for _ in seen..n {
                *a += ratio(draw());
                *b += ratio(draw() + shift);
            }
        }
        seen = n;
        let alarm = (rate * n as f64).min(1.0);
        match np_power(&null, &fault, alarm, CONFIDENCE) {
            Some(power) if power < 0.5 => bound = n,
            _ => break,
        }
        n = (n + 1).max(n + n / 2);
    }
    // No rule has found half by then, so its median comes later.
    if bound == 0 {
        return Bound::None;
    }
    Bound::NeymanPearson { observations: bound as f64, seconds: bound as f64 / per_second }
}
