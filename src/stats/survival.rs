//! Owns time-to-event statistics with censoring: Kaplan-Meier, its quantiles, restricted means, the log-rank test.
//!
//! A run that never saw the event is not dropped: it was at risk until its `time`. An event and a censoring at one time count
//! the event first. Sources: E. L. Kaplan & P. Meier, JASA 53 (1958) 457-481; M. Greenwood (1926) for the variance;
//! R. Brookmeyer & J. Crowley, Biometrics 38 (1982) 29-41, for the quantile's interval.

use serde::{Deserialize, Serialize};

use super::{Interval, special, two_sided_z};

/// One run: how long it was watched, and whether the event ended that.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Time until the event, or until watching stopped; any unit, finite, not negative.
    pub time: f64,
    /// Whether the event happened at `time`.
    pub event: bool,
}

/// The curve just after one event time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The event time.
    pub time: f64,
    /// How many were still watched just before it.
    pub at_risk: u64,
    /// How many had the event.
    pub events: u64,
    /// The share that has not had the event by `time`.
    pub survival: f64,
    /// Greenwood's sum of `d / (n (n - d))`; infinite once nobody is left.
    greenwood: f64,
}

impl Step {
    /// Greenwood's standard error of `survival`; `None` where it is not defined, at survival 0.
    #[must_use]
    pub fn standard_error(&self) -> Option<f64> {
        self.greenwood.is_finite().then(|| self.survival * self.greenwood.sqrt())
    }
}

/// A mean restricted to a horizon, with its standard error.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RestrictedMean {
    /// Mean of min(time, tau), in the unit of time.
    pub mean: f64,
    /// Its standard error, from Greenwood's variance.
    pub standard_error: f64,
}

/// The Kaplan-Meier estimate of the share that has not had the event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KaplanMeier {
    steps: Vec<Step>,
    followed_until: f64,
}

/// Steps that follow from exact counts differ from a level like one half by rounding only; so much is not a difference.
const ROUNDING: f64 = 1e-12;

impl KaplanMeier {
    /// Estimates the curve. `None` without observations or if a time is negative or not finite.
    #[must_use]
    pub fn of(observations: &[Observation]) -> Option<Self> {
        let sorted = sorted_by_time(observations, |o| o.time)?;
        let (mut survival, mut greenwood, mut steps) = (1.0, 0.0, Vec::new());
        let mut at_risk = sorted.len();
        for group in sorted.chunk_by(|a, b| a.time == b.time) {
            let events = group.iter().filter(|o| o.event).count();
            if events > 0 {
                let (n, d) = (at_risk as f64, events as f64);
                survival *= (n - d) / n;
                greenwood += d / (n * (n - d));
                let (at_risk, events) = (at_risk as u64, events as u64);
                steps.push(Step { time: group[0].time, at_risk, events, survival, greenwood });
            }
            at_risk -= group.len();
        }
        Some(Self { steps, followed_until: sorted.last()?.time })
    }

    /// The curve, one step for each event time, ascending.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The share without the event just after `time`.
    #[must_use]
    pub fn survival_at(&self, time: f64) -> f64 {
        let passed = self.steps.partition_point(|step| step.time <= time);
        passed.checked_sub(1).map_or(1.0, |last| self.steps[last].survival)
    }

    /// The earliest time by which at least the share `p` has had the event, `inf {t : S(t) <= 1 - p}` (0.5: the median).
    /// `None` if that never happened while anyone watched, or unless `0 < p < 1`.
    #[must_use]
    pub fn quantile(&self, p: f64) -> Option<f64> {
        if !(p > 0.0 && p < 1.0) {
            return None;
        }
        self.steps.iter().find(|step| step.survival <= 1.0 - p + ROUNDING).map(|step| step.time)
    }

    /// Brookmeyer and Crowley's interval for [`KaplanMeier::quantile`], from the pointwise log-log band (R's
    /// `survfit(conf.type = "log-log")`): the times at which the band's lower and upper edge reach `1 - p`. An edge that never
    /// does gives infinity. `None` unless `0 < p < 1` and `0 < confidence < 1`.
    #[must_use]
    pub fn quantile_interval(&self, p: f64, confidence: f64) -> Option<Interval> {
        let z = two_sided_z(confidence).filter(|_| p > 0.0 && p < 1.0)?;
        let reached = |z: f64| {
            let crossing = self.steps.iter().find(|step| step.band_edge(z) <= 1.0 - p + ROUNDING);
            crossing.map_or(f64::INFINITY, |step| step.time)
        };
        Some(Interval { low: reached(-z), high: reached(z) })
    }

    /// The mean of min(time, tau): the area under the curve up to `tau`. `None` if `tau` is negative or NaN, or beyond the
    /// last observation while some have not had the event (nobody knows the curve there).
    #[must_use]
    pub fn restricted_mean(&self, tau: f64) -> Option<RestrictedMean> {
        let everyone_had_it = self.steps.last().is_some_and(|step| step.survival == 0.0);
        if !(tau >= 0.0 && (tau <= self.followed_until || everyone_had_it)) {
            return None;
        }
        let (mut area, mut from, mut survival) = (0.0, 0.0, 1.0);
        let mut passed = Vec::new();
        for step in self.steps.iter().take_while(|step| step.time <= tau) {
            area += survival * (step.time - from);
            (from, survival) = (step.time, step.survival);
            passed.push((area, step));
        }
        let mean = if survival == 0.0 { area } else { area + survival * (tau - from) };
        let mut variance = 0.0;
        for (area_before, step) in passed {
            let (n, d) = (step.at_risk as f64, step.events as f64);
            if n > d {
                variance += (mean - area_before) * (mean - area_before) * d / (n * (n - d));
            }
        }
        Some(RestrictedMean { mean, standard_error: variance.sqrt() })
    }
}

impl Step {
    /// The edge of the log-log band `z` standard errors up (positive) or down. At survival 0 the band is 0 below and unknown
    /// above.
    fn band_edge(&self, z: f64) -> f64 {
        if self.survival == 0.0 {
            return if z < 0.0 { 0.0 } else { 1.0 };
        }
        let log = libm::log(self.survival);
        libm::exp(log * libm::exp(z * self.greenwood.sqrt() / log))
    }
}

/// The result of a log-rank test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogRank {
    /// Chi-squared with one degree of freedom if both groups have the same curve.
    pub chi_squared: f64,
    /// Its p-value.
    pub p: f64,
}

/// The log-rank test of two groups (N. Mantel, 1966; hypergeometric variance). `None` if either is empty, a time is negative
/// or not finite, or the groups never had both someone at risk at an event.
#[must_use]
pub fn log_rank(first: &[Observation], second: &[Observation]) -> Option<LogRank> {
    if first.is_empty() || second.is_empty() {
        return None;
    }
    let tagged: Vec<(Observation, bool)> =
        first.iter().map(|&o| (o, true)).chain(second.iter().map(|&o| (o, false))).collect();
    let sorted = sorted_by_time(&tagged, |(o, _)| o.time)?;
    let (mut n, mut n1) = (sorted.len() as f64, first.len() as f64);
    let (mut excess, mut variance) = (0.0, 0.0);
    for group in sorted.chunk_by(|a, b| a.0.time == b.0.time) {
        let d = group.iter().filter(|(o, _)| o.event).count() as f64;
        let d1 = group.iter().filter(|(o, is_first)| o.event && *is_first).count() as f64;
        excess += d1 - d * n1 / n;
        if n > 1.0 {
            variance += d * (n1 / n) * (1.0 - n1 / n) * (n - d) / (n - 1.0);
        }
        n -= group.len() as f64;
        n1 -= group.iter().filter(|(_, is_first)| *is_first).count() as f64;
    }
    if variance <= 0.0 {
        return None;
    }
    let chi_squared = excess * excess / variance;
    Some(LogRank { chi_squared, p: special::chi_squared_sf(chi_squared, 1.0)? })
}

/// A copy in ascending order of time; `None` if empty or if a time is negative or not finite.
pub(super) fn sorted_by_time<T: Clone>(items: &[T], time: impl Fn(&T) -> f64) -> Option<Vec<T>> {
    if items.is_empty() || items.iter().any(|item| !(time(item) >= 0.0 && time(item).is_finite())) {
        return None;
    }
    let mut sorted = items.to_vec();
    sorted.sort_by(|a, b| time(a).total_cmp(&time(b)));
    Some(sorted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cases: &[(f64, bool)]) -> Vec<Observation> {
        cases.iter().map(|&(time, event)| Observation { time, event }).collect()
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        assert_eq!(KaplanMeier::of(&[]), None);
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(KaplanMeier::of(&of(&[(1.0, true), (bad, true)])), None);
            assert_eq!(log_rank(&of(&[(bad, true)]), &of(&[(1.0, true)])), None);
        }
        let censored = KaplanMeier::of(&of(&[(5.0, false)])).unwrap();
        assert_eq!((censored.quantile(0.5), censored.survival_at(9.0)), (None, 1.0));
        assert_eq!(censored.restricted_mean(6.0), None);
        assert_eq!(censored.restricted_mean(4.0), Some(RestrictedMean { mean: 4.0, standard_error: 0.0 }));
        assert_eq!(censored.restricted_mean(f64::NAN), None);
        assert_eq!(log_rank(&[], &of(&[(1.0, true)])), None);
        assert_eq!(log_rank(&of(&[(1.0, false)]), &of(&[(1.0, false)])), None);
        let single = KaplanMeier::of(&of(&[(5.0, true)])).unwrap();
        assert_eq!(single.quantile(0.5), Some(5.0));
        assert_eq!(single.restricted_mean(100.0).unwrap().mean, 5.0);
        assert_eq!(single.steps()[0].standard_error(), None);
        assert_eq!(single.quantile_interval(0.5, 0.95), Some(Interval { low: 5.0, high: f64::INFINITY }));
    }

    #[test]
    fn a_level_hit_exactly_is_not_missed_by_rounding() {
        let forty: Vec<(f64, bool)> = (1..=40).map(|i| (f64::from(i), true)).collect();
        let curve = KaplanMeier::of(&of(&forty)).unwrap();
        for (p, time) in [(0.25, 10.0), (0.5, 20.0), (0.9, 36.0)] {
            assert_eq!(curve.quantile(p), Some(time));
        }
    }
}
