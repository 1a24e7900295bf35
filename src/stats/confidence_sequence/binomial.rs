//! Owns the confidence sequence for a share: all rates against which the beta-binomial mixture has no evidence yet.

use super::super::{Interval, root};
use super::mixture::Counts;
use super::{best_rho, is_level};

/// An interval for a rate that holds after every trial at once. Keeps no state: the counts so far are all it needs.
///
/// For every candidate rate the mixture's prior lies around that rate with the same weight, so that it is a test of it; the
/// interval is what the tests leave (Howard et al. 2021, section 4.3 and their `bernoulli_confidence_interval`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BetaBinomial {
    /// ln(1/alpha).
    threshold: f64,
    /// How many observations the prior is worth.
    weight: f64,
}

/// Lower rates are not told from zero.
const RATE_MIN: f64 = 1e-15;

impl BetaBinomial {
    /// For an error of `alpha` over all times, narrowest around `t_opt` trials. `None` unless `0 < alpha < 1` and `t_opt` is
    /// positive and finite.
    #[must_use]
    pub fn new(alpha: f64, t_opt: f64) -> Option<Self> {
        // The reference package's choice whatever the error is: its default.
        Self::tuned(alpha, t_opt, 0.05)
    }

    /// The same, narrowest for an error of `alpha_opt` there.
    #[must_use]
    pub fn tuned(alpha: f64, t_opt: f64, alpha_opt: f64) -> Option<Self> {
        // In units of the variance of one observation, which cancels.
        let weight = (best_rho(t_opt, alpha_opt)? - 1.0).max(1e-3);
        is_level(alpha).then(|| Self { threshold: -libm::log(alpha), weight })
    }

    /// The logarithm of the evidence against the rate `p` after `successes` in `trials`: at most ln(1/alpha) at all times with
    /// probability 1 - alpha if the rate is `p`. `successes` may be a sum of values in `[0, 1]` with mean `p`. `None` unless
    /// `0 < p < 1` and `0 <= successes <= trials`.
    #[must_use]
    pub fn log_evidence(&self, p: f64, successes: f64, trials: u64) -> Option<f64> {
        let trials = trials as f64;
        if !(p > 0.0 && p < 1.0 && successes >= 0.0 && successes <= trials) {
            return None;
        }
        Counts::new(self.weight, p, successes, trials).log_value()
    }

    /// The interval after `successes` in `trials`; `[0, 1]` before the first. `None` unless `0 <= successes <= trials`.
    #[must_use]
    pub fn interval(&self, successes: f64, trials: u64) -> Option<Interval> {
        if !(successes >= 0.0 && successes <= trials as f64) {
            return None;
        }
        if trials == 0 {
            return Some(Interval { low: 0.0, high: 1.0 });
        }
        let high = 1.0 - self.lowest(trials as f64 - successes, trials);
        Some(Interval { low: self.lowest(successes, trials), high })
    }

    /// The lowest rate that is not excluded. Evidence falls from there to the observed share, against which there is none.
    fn lowest(&self, successes: f64, trials: u64) -> f64 {
        let share = successes / trials as f64;
        let possible = |p: f64| match self.log_evidence(p, successes, trials) {
            _ if p == share => f64::INFINITY,
            evidence => evidence.map_or(f64::NEG_INFINITY, |e| self.threshold - e),
        };
        if share <= RATE_MIN || possible(RATE_MIN) >= 0.0 {
            return 0.0;
        }
        root::increasing(RATE_MIN, share, 1e-13, possible)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::proportion::wilson;
    use super::*;

    /// The test's own generator: splitmix64.
    struct Draws(u64);

    impl Draws {
        fn uniform(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / 9_007_199_254_740_992.0
        }
    }

    /// The share of 10 000 paths of 400 trials on which `excludes` the true rate at some time: the best that optional stopping
    /// can do.
    fn miscoverage(p: f64, excludes: impl Fn(f64, u64) -> bool) -> f64 {
        let mut draws = Draws(11);
        let mut missed = 0;
        for _ in 0..10_000 {
            let mut successes = 0.0;
            missed += u32::from((1..=400).any(|t| {
                successes += f64::from(u8::from(draws.uniform() < p));
                excludes(successes, t)
            }));
        }
        f64::from(missed) / 10_000.0
    }

    #[test]
    fn the_rate_is_covered_at_all_times_at_once() {
        for (p, alpha) in [(0.5, 0.05), (0.05, 0.05), (0.01, 0.1)] {
            let sequence = BetaBinomial::new(alpha, 100.0).unwrap();
            let excluded = |s: f64, t: u64| sequence.log_evidence(p, s, t).unwrap() > -libm::log(alpha);
            let missed = miscoverage(p, excluded);
            // Four standard errors of 10 000 paths.
            assert!(missed <= alpha + 4.0 * (alpha * (1.0 - alpha) / 1e4).sqrt(), "{p}: {missed}");
            assert!(missed > 0.0, "the test can see a miss");
        }
    }

    /// The planted fault: Wilson's interval, good at any one time, looked at all the time.
    #[test]
    fn a_fixed_time_interval_would_fail_that_test() {
        let missed = miscoverage(0.5, |s, t| !wilson(s as u64, t, 0.95).unwrap().contains(0.5));
        assert!(missed > 0.2, "{missed}");
    }

    #[test]
    fn the_interval_is_where_the_evidence_is_below_the_threshold() {
        let sequence = BetaBinomial::new(0.05, 100.0).unwrap();
        for (s, t) in
            [(0.0, 1), (1.0, 1), (0.0, 50), (3.0, 100), (30.5, 100), (500.0, 1000), (1000.0, 1000), (12.0, 10_000_000)]
        {
            let interval = sequence.interval(s, t).unwrap();
            assert!(interval.contains(s / t as f64), "{s}/{t}");
            for edge in [interval.low, interval.high] {
                if edge > 0.0 && edge < 1.0 {
                    let evidence = sequence.log_evidence(edge, s, t).unwrap();
                    assert!((evidence + libm::log(0.05)).abs() < 1e-5, "{s}/{t} {edge}: {evidence}");
                }
            }
            let outside = [interval.low * 0.99, interval.high + 0.01 * (1.0 - interval.high)];
            for p in outside.into_iter().filter(|p| *p > 0.0 && *p < 1.0) {
                assert!(sequence.log_evidence(p, s, t).unwrap() > -libm::log(0.05), "{s}/{t} {p}");
            }
        }
    }

    #[test]
    fn swapping_successes_and_failures_mirrors_the_interval() {
        let sequence = BetaBinomial::new(0.01, 500.0).unwrap();
        for (s, t) in [(0.0, 9), (7.0, 300), (150.0, 300)] {
            let (one, other) = (sequence.interval(s, t).unwrap(), sequence.interval(t as f64 - s, t).unwrap());
            assert!(
                (one.low + other.high - 1.0).abs() < 1e-11 && (one.high + other.low - 1.0).abs() < 1e-11,
                "{s}/{t}"
            );
        }
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        for (alpha, t_opt) in
            [(0.0, 9.0), (1.0, 9.0), (f64::NAN, 9.0), (0.05, 0.0), (0.05, f64::INFINITY), (0.05, f64::NAN)]
        {
            assert_eq!(BetaBinomial::new(alpha, t_opt), None);
        }
        let sequence = BetaBinomial::new(0.05, 1.0).unwrap();
        assert_eq!(sequence.interval(0.0, 0), Some(Interval { low: 0.0, high: 1.0 }));
        for (s, t) in [(-1.0, 2), (3.0, 2), (f64::NAN, 2)] {
            assert_eq!(sequence.interval(s, t), None);
            assert_eq!(sequence.log_evidence(0.5, s, t), None);
        }
        for p in [0.0, 1.0, f64::NAN] {
            assert_eq!(sequence.log_evidence(p, 1.0, 2), None);
        }
    }
}
