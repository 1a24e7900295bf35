//! Owns intervals for shares and rates: Wilson, Clopper-Pearson, Newcombe's difference, Poisson.
//!
//! All are two-sided with the confidence given (0.95: 2.5 % on each side) and never shrink to a point at zero events, as
//! Wald's does. `None` for no trials, more events than trials, or unless `0 < confidence < 1`.

use super::special::{beta_inc_inverse, chi_squared_upper};
use super::{Interval, two_sided_z};

/// Wilson's score interval for `events` of `trials` (E. B. Wilson, JASA 22 (1927) 209-212): the one to show, its coverage
/// is near the nominal on average.
#[must_use]
pub fn wilson(events: u64, trials: u64, confidence: f64) -> Option<Interval> {
    let z = two_sided_z(confidence)?;
    if trials == 0 || events > trials {
        return None;
    }
    let (k, n) = (events as f64, trials as f64);
    let (p, z2) = (k / n, z * z);
    let centre = p + z2 / (2.0 * n);
    let spread = z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    let low = if events == 0 { 0.0 } else { (centre - spread) / scale };
    let high = if events == trials { 1.0 } else { (centre + spread) / scale };
    Some(Interval { low, high })
}

/// The exact interval of C. J. Clopper and E. S. Pearson (Biometrika 26 (1934) 404-413), by beta quantiles: covers at least
/// as often as it says, for claims that must hold.
#[must_use]
pub fn clopper_pearson(events: u64, trials: u64, confidence: f64) -> Option<Interval> {
    if trials == 0 || events > trials || !(confidence > 0.0 && confidence < 1.0) {
        return None;
    }
    let (k, n, tail) = (events as f64, trials as f64, (1.0 - confidence) / 2.0);
    let low = if events == 0 { 0.0 } else { beta_inc_inverse(k, n - k + 1.0, tail)? };
    let high = if events == trials { 1.0 } else { 1.0 - beta_inc_inverse(n - k, k + 1.0, tail)? };
    Some(Interval { low, high })
}

/// Newcombe's hybrid score interval for the difference of two independent shares, first minus second (R. G. Newcombe,
/// Statistics in Medicine 17 (1998) 873-890, method 10).
#[must_use]
pub fn newcombe(first: (u64, u64), second: (u64, u64), confidence: f64) -> Option<Interval> {
    let one = wilson(first.0, first.1, confidence)?;
    let two = wilson(second.0, second.1, confidence)?;
    let p1 = first.0 as f64 / first.1 as f64;
    let p2 = second.0 as f64 / second.1 as f64;
    let away = |x: f64, y: f64| (x * x + y * y).sqrt();
    Some(Interval {
        low: p1 - p2 - away(p1 - one.low, two.high - p2),
        high: p1 - p2 + away(one.high - p1, p2 - two.low),
    })
}

/// The exact interval for a rate: `events` seen over `exposure` (any unit, the result is per that unit). F. Garwood,
/// Biometrika 28 (1936) 437-442. `None` unless the exposure is positive and finite.
#[must_use]
pub fn poisson_rate(events: u64, exposure: f64, confidence: f64) -> Option<Interval> {
    if !(exposure > 0.0 && exposure.is_finite() && confidence > 0.0 && confidence < 1.0) {
        return None;
    }
    let tail = (1.0 - confidence) / 2.0;
    let k = events as f64;
    let low = if events == 0 { 0.0 } else { chi_squared_upper(1.0 - tail, 2.0 * k)? / 2.0 };
    let high = chi_squared_upper(tail, 2.0 * k + 2.0)? / 2.0;
    Some(Interval { low: low / exposure, high: high / exposure })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_inputs_have_the_stated_results() {
        for interval in [wilson, clopper_pearson] {
            assert_eq!(interval(0, 0, 0.95), None);
            assert_eq!(interval(3, 2, 0.95), None);
            assert_eq!(interval(1, 2, f64::NAN), None);
            assert_eq!(interval(1, 2, 1.0), None);
            assert_eq!(interval(0, 9, 0.95).unwrap().low, 0.0);
            assert_eq!(interval(9, 9, 0.95).unwrap().high, 1.0);
        }
        assert_eq!(newcombe((0, 0), (1, 2), 0.95), None);
        assert_eq!(poisson_rate(1, 0.0, 0.95), None);
        assert_eq!(poisson_rate(1, f64::INFINITY, 0.95), None);
    }

    #[test]
    fn exact_intervals_have_their_closed_forms_at_zero_events() {
        // (1 - high)^n = tail; exp(-high) = tail.
        let high = clopper_pearson(0, 200, 0.9).unwrap().high;
        assert!((high - 0.014_867_039_231_272_083).abs() < 1e-14, "{high}");
        let high = poisson_rate(0, 2.0, 0.95).unwrap().high;
        assert!((high - 3.688_879_454_113_936 / 2.0).abs() < 1e-13, "{high}");
    }
}
