//! Owns running mean and variance, and Student's interval for a mean.

use serde::{Deserialize, Serialize};

use super::{Interval, special};

/// Count, mean and variance of a stream, by Welford's update: one pass, no cancellation. Source: B. P. Welford,
/// Technometrics 4 (1962) 419-420; merging by Chan, Golub & LeVeque (1979).
///
/// NaN and infinities are not hidden: once one was added, mean and variance are NaN or infinite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    count: u64,
    mean: f64,
    squares: f64,
}

impl Summary {
    /// The summary of a slice.
    #[must_use]
    pub fn of(values: &[f64]) -> Self {
        let mut summary = Self::default();
        values.iter().for_each(|&value| summary.add(value));
        summary
    }

    /// Takes one value in.
    #[inline]
    pub fn add(&mut self, value: f64) {
        self.count += 1;
        let delta = value - self.mean;
        self.mean += delta / self.count as f64;
        self.squares += delta * (value - self.mean);
    }

    /// Takes in all that `other` has seen.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        let (n, m) = (self.count as f64, other.count as f64);
        let delta = other.mean - self.mean;
        self.count += other.count;
        self.mean += delta * (m / (n + m));
        self.squares += other.squares + delta * delta * (n * m / (n + m));
    }

    /// How many values were added.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean; `None` without values.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then_some(self.mean)
    }

    /// The unbiased variance, divisor `n - 1`; `None` below two values.
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        (self.count > 1).then(|| self.squares / (self.count - 1) as f64)
    }

    /// The square root of [`Summary::variance`].
    #[must_use]
    pub fn standard_deviation(&self) -> Option<f64> {
        self.variance().map(f64::sqrt)
    }

    /// The standard error of the mean.
    #[must_use]
    pub fn standard_error(&self) -> Option<f64> {
        self.variance().map(|variance| (variance / self.count as f64).sqrt())
    }

    /// Student's t interval for the mean; `None` below two values, for values that are not finite, or unless
    /// `0 < confidence < 1`.
    #[must_use]
    pub fn mean_interval(&self, confidence: f64) -> Option<Interval> {
        let se = self.standard_error().filter(|se| se.is_finite())?;
        if !(confidence > 0.0 && confidence < 1.0) {
            return None;
        }
        let t = special::student_t_upper((1.0 - confidence) / 2.0, (self.count - 1) as f64)?;
        Some(Interval { low: self.mean - t * se, high: self.mean + t * se })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_equals_adding() {
        let values: Vec<f64> = (0..50).map(|i| f64::from(i * i % 17) + 1e6).collect();
        for split in [0, 1, 20, 50] {
            let mut merged = Summary::of(&values[..split]);
            merged.merge(&Summary::of(&values[split..]));
            let whole = Summary::of(&values);
            assert_eq!(merged.count(), whole.count());
            assert!((merged.mean().unwrap() - whole.mean().unwrap()).abs() < 1e-8);
            assert!((merged.variance().unwrap() / whole.variance().unwrap() - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        let empty = Summary::default();
        assert_eq!((empty.mean(), empty.variance(), empty.mean_interval(0.95)), (None, None, None));
        let one = Summary::of(&[3.0]);
        assert_eq!((one.mean(), one.variance()), (Some(3.0), None));
        assert_eq!(Summary::of(&[2.0; 9]).mean_interval(0.95), Some(Interval { low: 2.0, high: 2.0 }));
        assert!(Summary::of(&[1.0, f64::NAN]).mean().unwrap().is_nan());
        assert_eq!(Summary::of(&[1.0, f64::INFINITY]).mean_interval(0.95), None);
        assert_eq!(Summary::of(&[1.0, 2.0]).mean_interval(1.0), None);
    }
}
