//! Owns estimates over trials: a value with its interval, for shares, delays that can be censored, and plain figures.
//!
//! All intervals are two-sided with 95 % confidence. Several incidents of one trial are not independent; where a scenario
//! has several harmful faults, intervals of delays are a little too narrow.

use crate::stats::Interval;
use crate::stats::proportion::clopper_pearson;
use crate::stats::quantile::quantile_sorted;
use crate::stats::special::beta_inc;
use crate::stats::summary::Summary;
use crate::stats::survival::{KaplanMeier, Observation};
use serde::Serialize;

/// The confidence of all intervals.
pub const CONFIDENCE: f64 = 0.95;

/// A value and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Estimate {
    /// The estimate; `None` where it is not reached (a quantile beyond the horizon) or there is nothing to estimate from.
    pub value: Option<f64>,
    /// Its interval; an open end is infinite. `None` below two trials, where nothing is known.
    pub interval: Option<Interval>,
}

/// A share of cases.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    /// Cases it holds for …
    pub count: u64,
    /// … of so many.
    pub of: u64,
    /// Clopper and Pearson's exact interval for the share; `None` of no cases.
    pub interval: Option<Interval>,
}

impl Share {
    /// `count` of `of`.
    #[must_use]
    pub fn new(count: u64, of: u64) -> Self {
        let interval = if of == 0 { None } else { clopper_pearson(count.min(of), of, CONFIDENCE) };
        Self { count, of, interval }
    }
    /// The share in [0, 1]; `None` of no cases.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        (self.of > 0).then(|| self.count as f64 / self.of as f64)
    }
}

/// One delay: seconds until the event, or until watching stopped.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Watched {
    /// Seconds, not negative.
    pub seconds: f64,
    /// Whether the event happened then; otherwise the delay is censored there.
    pub happened: bool,
}

/// A delay over many incidents. Censored ones are in every figure: leaving them out would make a policy that misses
/// half of its incidents look fast.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Delay {
    /// Incidents.
    pub n: u64,
    /// Those for which the event did not happen while they were watched.
    pub censored: u64,
    /// The common horizon, seconds: the shortest time any of them was watched for.
    pub horizon_s: f64,
    /// Restricted mean: of min(delay, common horizon), seconds. All of these values are known, so Student's interval holds.
    pub mean: Estimate,
    /// Kaplan-Meier median, seconds.
    pub p50: Estimate,
    /// Kaplan-Meier 90 % quantile, seconds.
    pub p90: Estimate,
}

impl Delay {
    /// Estimates from delays, each with the time it would have been watched for had nothing happened (seconds).
    ///
    /// A competing event (the policy had rolled back for another reason) is not a reason to stop watching: the delay is
    /// then censored at the end of the run. With every incident watched to its end, 1 − the Kaplan-Meier curve
    /// *is* the cumulative incidence, the right figure where events compete.
    #[must_use]
    pub fn of(delays: &[(Watched, f64)]) -> Self {
        let horizon_s = delays.iter().map(|&(_, watched)| watched).fold(f64::INFINITY, f64::min);
        if delays.is_empty() {
            return Self::default();
        }
        let restricted: Vec<f64> = delays.iter().map(|(d, _)| d.seconds.min(horizon_s)).collect();
        let observations: Vec<Observation> =
            delays.iter().map(|(d, _)| Observation { time: d.seconds, event: d.happened }).collect();
        let curve = KaplanMeier::of(&observations);
        let mut times: Vec<f64> = delays
            .iter()
            .map(|(d, _)| if d.happened && d.seconds <= horizon_s { d.seconds } else { f64::INFINITY })
            .collect();
        times.sort_by(f64::total_cmp);
        let quantile = |q: f64| Estimate {
            value: curve.as_ref().and_then(|c| c.quantile(q)),
            interval: quantile_interval(&times, q, 0.0),
        };
        Self {
            n: delays.len() as u64,
            censored: delays.iter().filter(|(d, _)| !d.happened).count() as u64,
            horizon_s,
            mean: mean(&restricted),
            p50: quantile(0.5),
            p90: quantile(0.9),
        }
    }
}

/// A figure that every trial has.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Figure {
    /// Trials that have it.
    pub n: u64,
    /// Mean with Student's interval.
    pub mean: Estimate,
    /// Median (Hyndman and Fan's type 7) with the exact interval of order statistics.
    pub p50: Estimate,
    /// 90 % quantile, likewise.
    pub p90: Estimate,
    /// The least.
    pub min: Option<f64>,
    /// The greatest.
    pub max: Option<f64>,
}

impl Figure {
    /// Estimates from one value per trial; NaN is left out.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().filter(|v| !v.is_nan()).collect();
        sorted.sort_by(f64::total_cmp);
        let quantile = |q: f64| Estimate {
            value: quantile_sorted(&sorted, q),
            interval: quantile_interval(&sorted, q, f64::NEG_INFINITY),
        };
        Self {
            n: sorted.len() as u64,
            mean: mean(&sorted),
            p50: quantile(0.5),
            p90: quantile(0.9),
            min: sorted.first().copied(),
            max: sorted.last().copied(),
        }
    }
}

fn mean(values: &[f64]) -> Estimate {
    let summary = Summary::of(values);
    Estimate { value: summary.mean(), interval: summary.mean_interval(CONFIDENCE) }
}

/// The exact, distribution-free interval for a quantile: between two order statistics whose ranks follow from the binomial
/// distribution (ties make it wider than needed, never too narrow). An end the sample is too small for is `least` or
/// infinity. It is preferred to Brookmeyer and Crowley's because virtual time makes ties: when all trials detect at
/// the same scrape, the Kaplan-Meier curve is one step and its band says nothing. `None` below two values.
fn quantile_interval(sorted: &[f64], q: f64, least: f64) -> Option<Interval> {
    let n = sorted.len();
    if n < 2 {
        return None;
    }
    let tail = (1.0 - CONFIDENCE) / 2.0;
    // P(at most k of n values lie below the quantile).
    let at_most =
        |k: usize| if k >= n { 1.0 } else { 1.0 - beta_inc(k as f64 + 1.0, (n - k) as f64, q).unwrap_or(1.0) };
    // Both grow with k, so the boundary is found by halving.
    let below = partition(n, |k| at_most(k) <= tail);
    let above = partition(n + 1, |k| 1.0 - at_most(k) > tail);
    let low = below.checked_sub(1).and_then(|i| sorted.get(i)).copied().unwrap_or(least);
    let high = sorted.get(above).copied().unwrap_or(f64::INFINITY);
    Some(Interval { low, high: high.max(low) })
}

/// The first of `0..n` for which the predicate, true and then false, is false.
fn partition(n: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, n);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) { low = middle + 1 } else { high = middle }
    }
    low
}
