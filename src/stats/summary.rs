//! Owns running mean and variance, Student's interval and test for a mean, and Welch's for the difference of two.
//!
//! These hold at one sample size that was fixed beforehand. A rule that looks again after every scrape and acts the first time
//! an interval leaves a value errs far more often than the confidence says; for that an interval must hold at all times at
//! once (a confidence sequence), or the number of looks must be paid for ([`super::multiple`]).

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

    /// The two-sided p-value of Student's t test that the mean is `null`. Equal values away from it give 0. `None` below two
    /// values, for values that are not finite, or for equal values at `null`.
    #[must_use]
    pub fn t_test(&self, null: f64) -> Option<f64> {
        let se = self.standard_error().filter(|se| se.is_finite())?;
        two_sided_t((self.mean - null) / se, (self.count - 1) as f64)
    }

    /// Compares the mean with that of an independent sample. `None` if either has below two values or one that is not finite.
    #[must_use]
    pub fn welch(&self, other: &Self) -> Option<Welch> {
        let squared = |summary: &Self| summary.standard_error().filter(|se| se.is_finite()).map(|se| se * se);
        let (a, b) = (squared(self)?, squared(other)?);
        let (n, m) = ((self.count - 1) as f64, (other.count - 1) as f64);
        // Where neither sample varies the formula gives 0/0: 1 is scipy's convention.
        let sum = a + b;
        let df = if sum > 0.0 { sum / (a / sum * a / n + b / sum * b / m) } else { 1.0 };
        Some(Welch { difference: self.mean - other.mean, standard_error: sum.sqrt(), degrees_of_freedom: df })
    }
}

/// The difference of two means whose samples may differ in variance, by B. L. Welch (Biometrika 34 (1947) 28-35), with the
/// degrees of freedom of F. E. Satterthwaite (Biometrics Bulletin 2 (1946) 110-114).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welch {
    /// First mean minus second.
    pub difference: f64,
    /// Of the difference.
    pub standard_error: f64,
    /// Of the t distribution that the difference over its error follows.
    pub degrees_of_freedom: f64,
}

impl Welch {
    /// The t interval for the difference; `None` unless `0 < confidence < 1`.
    #[must_use]
    pub fn interval(&self, confidence: f64) -> Option<Interval> {
        if !(confidence > 0.0 && confidence < 1.0) {
            return None;
        }
        let spread = self.standard_error * special::student_t_upper((1.0 - confidence) / 2.0, self.degrees_of_freedom)?;
        Some(Interval { low: self.difference - spread, high: self.difference + spread })
    }

    /// The difference in standard errors; infinite if neither sample varies and the means differ, NaN if they do not.
    #[must_use]
    pub fn t(&self) -> f64 {
        self.difference / self.standard_error
    }

    /// The two-sided p-value of equal means; `None` for two samples of the same equal values.
    #[must_use]
    pub fn p(&self) -> Option<f64> {
        two_sided_t(self.t(), self.degrees_of_freedom)
    }
}

/// `None` for a `t` that is NaN: zero over zero.
fn two_sided_t(t: f64, df: f64) -> Option<f64> {
    Some(2.0 * special::student_t_sf(t.abs(), df)?)
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
        assert_eq!((empty.t_test(0.0), one.t_test(0.0), empty.welch(&one)), (None, None, None));
        let (two, three) = (Summary::of(&[2.0; 9]), Summary::of(&[3.0; 4]));
        assert_eq!((two.t_test(0.0), two.t_test(2.0)), (Some(0.0), None));
        let apart = three.welch(&two).unwrap();
        assert_eq!((apart.interval(0.95), apart.p()), (Some(Interval { low: 1.0, high: 1.0 }), Some(0.0)));
        assert_eq!(two.welch(&two).unwrap().p(), None);
        assert_eq!(two.welch(&Summary::of(&[1.0, f64::NAN])), None);
        assert_eq!(apart.interval(1.0), None);
    }

    /// `scipy.stats.ttest_ind(a, b, equal_var=False)` with `.confidence_interval(0.9)`, and `ttest_1samp(a, 3)`, scipy 1.14.1.
    #[test]
    fn tests_of_means_agree_with_scipy() {
        let a = Summary::of(&[3.1, 4.7, 2.2, 5.9, 4.4, 3.8]);
        let b = Summary::of(&[2.9, 3.0, 3.3, 2.8]);
        let welch = a.welch(&b).unwrap();
        let interval = welch.interval(0.9).unwrap();
        let got = [welch.degrees_of_freedom, welch.p().unwrap(), interval.low, interval.high, a.t_test(3.0).unwrap()];
        let want = [
            5.412_179_013_789_809,
            0.113_221_819_621_555_52,
            -0.050_376_384_050_673_02,
            2.083_709_717_384_005_3,
            0.111_883_131_412_771_8,
        ];
        for (got, want) in got.iter().zip(want) {
            assert!((got / want - 1.0_f64).abs() < 1e-12, "{got} {want}");
        }
    }
}
