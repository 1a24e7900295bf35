//! Owns bounds on the chance of detection by a given time, valid for every stopping rule.
//!
//! A rule with alarm time `T` decides at time `t` whether `T <= t` from the first `t` observations: a test. If its chance of a
//! false alarm by `t` is `alpha`, no such test finds the fault more often than the likelihood-ratio test of that size (J. Neyman
//! and E. S. Pearson, Philosophical Transactions A 231 (1933) 289-337). So `P1(T <= t)` is at most that test's power, and the
//! fault's time to detection has at least the corresponding quantiles, whatever the rule is.

use super::super::normal;
use super::super::proportion::clopper_pearson;
use super::super::special::beta_inc;

/// The largest power of any test of size `alpha` after `t` independent observations of a normal mean that shifts by `delta`
/// standard deviations at the first: `Phi(|delta| sqrt(t) - z)` with `P(Z > z) = alpha`. `None` unless `0 <= alpha <= 1` and
/// `delta` is finite.
#[must_use]
pub fn np_power_gaussian(delta: f64, t: u64, alpha: f64) -> Option<f64> {
    if !((0.0..=1.0).contains(&alpha) && delta.is_finite()) {
        return None;
    }
    Some(normal::cdf(delta.abs() * (t as f64).sqrt() + normal::quantile(alpha)))
}

/// An upper confidence bound for the largest power of any test of size `alpha`, from simulated log-likelihood ratios of all
/// observations up to some time: `null` of runs without the fault, `fault` of independent runs with it. Monotone functions of the
/// ratio do as well; any other score bounds only the tests that use that score.
///
/// `alpha` is the rule's own chance of a false alarm by that time; where it was estimated, give its upper confidence limit. The
/// bound holds with probability at least `confidence` over both simulations: with half of the allowed error the critical value
/// is taken so low that the test surely has size `alpha` (the K-th largest null score, K being the smallest for which a binomial
/// count of n trials at alpha reaches K with a probability below that half), and with the other half the share of fault scores
/// at or above it is bounded by Clopper and Pearson.
/// Too few null runs for that give 1, which is always true.
///
/// `None` if a list is empty or has a NaN, or unless `0 <= alpha <= 1` and `0 < confidence < 1`.
#[must_use]
pub fn np_power(null: &[f64], fault: &[f64], alpha: f64, confidence: f64) -> Option<f64> {
    let sound = |scores: &[f64]| !scores.is_empty() && scores.iter().all(|s| !s.is_nan());
    if !(sound(null) && sound(fault) && (0.0..=1.0).contains(&alpha) && confidence > 0.0 && confidence < 1.0) {
        return None;
    }
    let error = 0.5 * (1.0 - confidence);
    let Some(rank) = rank(null.len(), alpha, error) else { return Some(1.0) };
    let mut sorted = null.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let critical = sorted[rank - 1];
    let found = fault.iter().filter(|s| **s >= critical).count();
    // The interval is two-sided: its upper end alone errs half as often as its name says.
    clopper_pearson(found as u64, fault.len() as u64, 1.0 - 2.0 * error).map(|interval| interval.high)
}

/// The smallest K with P(Binomial(n, alpha) >= K) <= `error`; `None` if there is none up to `n`.
fn rank(n: usize, alpha: f64, error: f64) -> Option<usize> {
    // P(Binomial(n, alpha) >= K) = I_alpha(K, n - K + 1).
    let enough = |k: usize| beta_inc(k as f64, (n - k + 1) as f64, alpha).is_some_and(|p| p <= error);
    if !enough(n) {
        return None;
    }
    let (mut low, mut high) = (0, n);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        *(if enough(middle) { &mut high } else { &mut low }) = middle;
    }
    Some(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Normal quantiles of a plain congruential generator: the test's own, so that nothing else decides its draws.
    struct Draws(u64);

    impl Draws {
        fn normal(&mut self) -> f64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            normal::quantile(((self.0 >> 11) as f64 + 0.5) / 9_007_199_254_740_992.0)
        }

        fn scores(&mut self, n: usize, mean: f64) -> Vec<f64> {
            (0..n).map(|_| mean + self.normal()).collect()
        }
    }

    #[test]
    fn the_gaussian_form_has_its_known_values() {
        // Size 0.05 and a shift of 1.644854 + 1.281552 deviations give power 0.9.
        assert!((np_power_gaussian(2.926_405, 1, 0.05).unwrap() - 0.9).abs() < 1e-6);
        assert!((np_power_gaussian(-0.292_640_5, 100, 0.05).unwrap() - 0.9).abs() < 1e-6);
        assert!((np_power_gaussian(0.5, 0, 0.3).unwrap() - 0.3).abs() < 1e-15, "no observation, no information");
        assert_eq!(np_power_gaussian(1.0, 9, 0.0), Some(0.0));
        assert_eq!(np_power_gaussian(1.0, 9, 1.0), Some(1.0));
    }

    /// 300 simulations of 2000 runs: the bound may fall below the true power in 5 % of them, and it stays near it.
    #[test]
    fn the_simulated_bound_holds_as_often_as_it_says() {
        let mut draws = Draws(7);
        let (delta, alpha) = (2.0, 0.05);
        let power = np_power_gaussian(delta, 1, alpha).unwrap();
        let bounds: Vec<f64> = (0..300)
            .map(|_| np_power(&draws.scores(2000, 0.0), &draws.scores(2000, delta), alpha, 0.95).unwrap())
            .collect();
        let broken = bounds.iter().filter(|b| **b < power).count();
        assert!(broken <= 300 / 20, "{broken}");
        let mean = bounds.iter().sum::<f64>() / 300.0;
        assert!(mean > power && mean < power + 0.1, "{mean} {power}");
    }

    /// The planted fault: the plain estimate, the share of fault scores above the empirical critical value, fails as often as
    /// not.
    #[test]
    fn the_uncorrected_estimate_would_not_hold() {
        let mut draws = Draws(7);
        let power = np_power_gaussian(2.0, 1, 0.05).unwrap();
        let broken = (0..300)
            .filter(|_| {
                let mut null = draws.scores(2000, 0.0);
                null.sort_by(|a, b| b.total_cmp(a));
                let found = draws.scores(2000, 2.0).iter().filter(|s| **s >= null[99]).count();
                (found as f64) < power * 2000.0
            })
            .count();
        assert!(broken > 90, "{broken}");
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        for bad in [-0.1, 1.1, f64::NAN] {
            assert_eq!(np_power_gaussian(1.0, 4, bad), None);
            assert_eq!(np_power(&[0.0], &[0.0], bad, 0.95), None);
            assert_eq!(np_power(&[0.0], &[0.0], 0.5, bad), None);
        }
        assert_eq!(np_power_gaussian(f64::NAN, 4, 0.1), None);
        assert_eq!(np_power(&[], &[0.0], 0.1, 0.95), None);
        assert_eq!(np_power(&[0.0], &[], 0.1, 0.95), None);
        assert_eq!(np_power(&[f64::NAN], &[0.0], 0.1, 0.95), None);
        assert_eq!(np_power(&[1.0; 10], &[2.0; 10], 0.5, 0.95), Some(1.0), "ties count as found");
        assert_eq!(np_power(&[1.0; 3], &[0.0; 3], 0.9, 0.95), Some(1.0), "too few runs");
        // A rule that never alarms without the fault: the critical value is the largest null score.
        let bound = np_power(&[0.0; 100], &[-1.0; 100], 0.0, 0.95).unwrap();
        assert!((bound - clopper_pearson(0, 100, 0.95).unwrap().high).abs() < 1e-12, "{bound}");
    }
}
