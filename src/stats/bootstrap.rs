//! Owns bootstrap intervals for a mean: percentile and BCa, resampled by an index source that the caller seeds, or exhaustively.
//!
//! Source: B. Efron, "Better Bootstrap Confidence Intervals", JASA 82 (1987) 171-185; acceleration by the jackknife, ties of
//! the resampled means with the observed one counted half, quantiles of type 7: scipy's `bootstrap` in all three. BCa covers
//! too seldom below about 20 values, and so does the percentile interval.

use super::quantile::quantile_sorted;
use super::{Interval, normal};

/// Up to this many values [`BootstrapMeans::exhaustive`] works: 8^8 means are 134 MB.
pub const EXHAUSTIVE_MAX: usize = 8;

/// The means of resamples, sorted, with what BCa needs to know of the sample.
#[derive(Clone, Debug, PartialEq)]
pub struct BootstrapMeans {
    means: Vec<f64>,
    observed: f64,
    acceleration: f64,
}

impl BootstrapMeans {
    /// Draws `resamples` samples of the size of `values`. `index(n)` must return the next index below `n`; a larger one is
    /// taken modulo `n`. `None` without values or resamples, or if a value is not finite.
    #[must_use]
    pub fn draw(values: &[f64], resamples: usize, mut index: impl FnMut(usize) -> usize) -> Option<Self> {
        let n = values.len();
        if n == 0 || resamples == 0 || values.iter().any(|value| !value.is_finite()) {
            return None;
        }
        let mut means: Vec<f64> =
            (0..resamples).map(|_| (0..n).map(|_| values[index(n) % n]).sum::<f64>() / n as f64).collect();
        means.sort_by(f64::total_cmp);
        let observed = values.iter().sum::<f64>() / n as f64;
        Some(Self { means, observed, acceleration: jackknife_acceleration(values, observed) })
    }

    /// Takes every sample that can be drawn, `n^n` of them, instead of some: no resampling error is left. `None` without
    /// values, above [`EXHAUSTIVE_MAX`] values, or if a value is not finite.
    #[must_use]
    pub fn exhaustive(values: &[f64]) -> Option<Self> {
        let n = values.len();
        if n == 0 || n > EXHAUSTIVE_MAX {
            return None;
        }
        // The digits of a counter in base n, lowest first.
        let (mut counter, mut rest, mut left) = (0, 0, 0);
        Self::draw(values, (0..n).fold(1, |all, _| all * n), |n| {
            if left == 0 {
                (rest, left) = (counter, n);
                counter += 1;
            }
            let digit = rest % n;
            (rest, left) = (rest / n, left - 1);
            digit
        })
    }

    /// The mean of the values themselves.
    #[must_use]
    pub fn observed(&self) -> f64 {
        self.observed
    }

    /// The standard deviation of the resampled means, divisor as for a whole population.
    #[must_use]
    pub fn standard_error(&self) -> f64 {
        let count = self.means.len() as f64;
        let centre = self.means.iter().sum::<f64>() / count;
        (self.means.iter().map(|mean| (mean - centre) * (mean - centre)).sum::<f64>() / count).sqrt()
    }

    /// The share of resampled means below the observed one (ties half) as a normal quantile: BCa's bias correction. Infinite
    /// if all lie on one side. Means closer than rounding (1e-12 of their size) to the observed one are ties.
    #[must_use]
    pub fn bias_correction(&self) -> f64 {
        let slack = 1e-12 * self.observed.abs().max(self.means[self.means.len() - 1].abs());
        let below = self.means.partition_point(|&mean| mean < self.observed - slack);
        let through = self.means.partition_point(|&mean| mean <= self.observed + slack);
        normal::quantile((below + through) as f64 / (2 * self.means.len()) as f64)
    }

    /// BCa's acceleration; 0 if all values are equal.
    #[must_use]
    pub fn acceleration(&self) -> f64 {
        self.acceleration
    }

    /// The percentile interval; `None` unless `0 < confidence < 1`.
    #[must_use]
    pub fn percentile(&self, confidence: f64) -> Option<Interval> {
        if !(confidence > 0.0 && confidence < 1.0) {
            return None;
        }
        let tail = (1.0 - confidence) / 2.0;
        self.between(tail, 1.0 - tail)
    }

    /// The bias-corrected and accelerated interval. Of equal values it is that value. `None` unless `0 < confidence < 1`, or
    /// where the correction is not defined (all resampled means on one side of the observed one).
    #[must_use]
    pub fn bca(&self, confidence: f64) -> Option<Interval> {
        let z = super::two_sided_z(confidence)?;
        let z0 = self.bias_correction();
        if !z0.is_finite() {
            return None;
        }
        let level = |z: f64| normal::cdf(z0 + (z0 + z) / (1.0 - self.acceleration * (z0 + z)));
        self.between(level(-z), level(z))
    }

    fn between(&self, low: f64, high: f64) -> Option<Interval> {
        Some(Interval { low: quantile_sorted(&self.means, low)?, high: quantile_sorted(&self.means, high)? })
    }
}

/// `sum d^3 / (6 (sum d^2)^1.5)` over the jackknife's deviations, which for a mean are `(x - mean) / (n - 1)`: the factor
/// cancels.
fn jackknife_acceleration(values: &[f64], mean: f64) -> f64 {
    let (mut squares, mut cubes) = (0.0, 0.0);
    for value in values {
        let d = value - mean;
        squares += d * d;
        cubes += d * d * d;
    }
    // Deviations that are rounding have no skewness.
    let size = values.iter().fold(0.0_f64, |size, value| size.max(value.abs()));
    if squares <= size * size * 1e-28 { 0.0 } else { cubes / (6.0 * squares * squares.sqrt()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_inputs_have_the_stated_results() {
        assert_eq!(BootstrapMeans::draw(&[], 10, |_| 0), None);
        assert_eq!(BootstrapMeans::draw(&[1.0], 0, |_| 0), None);
        assert_eq!(BootstrapMeans::draw(&[1.0, f64::NAN], 10, |_| 0), None);
        let equal = BootstrapMeans::draw(&[0.1; 7], 10, |_| 12).unwrap();
        let interval = equal.bca(0.95).unwrap();
        assert!((interval.low - 0.1).abs() < 1e-15 && interval.width() < 1e-15);
        assert_eq!(equal.percentile(0.0), None);
        assert_eq!(equal.bca(f64::NAN), None);
        let one_sided = BootstrapMeans::draw(&[1.0, 2.0], 10, |_| 0).unwrap();
        assert_eq!(one_sided.bca(0.95), None);
        assert_eq!(BootstrapMeans::exhaustive(&[]), None);
        assert_eq!(BootstrapMeans::exhaustive(&[1.0; EXHAUSTIVE_MAX + 1]), None);
        assert_eq!(
            BootstrapMeans::exhaustive(&[5.0]).unwrap().percentile(0.95),
            Some(Interval { low: 5.0, high: 5.0 })
        );
    }

    /// Of 0, 0, 3 the sum of three draws is 3 times a Binomial(3, 1/3): 8, 12, 6, 1 of 27 samples.
    #[test]
    fn every_sample_is_taken_once() {
        let all = BootstrapMeans::exhaustive(&[0.0, 0.0, 3.0]).unwrap();
        let count = |mean: f64| all.means.iter().filter(|m| **m == mean).count();
        assert_eq!([0.0, 1.0, 2.0, 3.0].map(count), [8, 12, 6, 1]);
        assert!((all.standard_error() - (2.0_f64 / 3.0).sqrt()).abs() < 1e-15);
    }
}
