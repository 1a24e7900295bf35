//! Owns Welch's t test of two means with unequal variances.

use super::special;
use super::summary::Summary;

/// The test's result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Welch {
    /// First mean minus second, in standard errors. Infinite if neither sample varies and the means differ, NaN if they do not.
    pub t: f64,
    /// Degrees of freedom by the Welch-Satterthwaite formula; 1 where it gives 0/0 because neither sample varies (scipy's
    /// convention).
    pub df: f64,
    /// The two-sided p-value; NaN if `t` is.
    pub p: f64,
}

/// The test. `None` below two values in either sample, or where a value is not finite. Source: B. L. Welch, Biometrika 34
/// (1947) 28-35; scipy's `ttest_ind(equal_var = False)`.
#[must_use]
pub fn welch(a: &Summary, b: &Summary) -> Option<Welch> {
    let part = |s: &Summary| Some((s.mean()?, s.variance()? / s.count() as f64, (s.count() - 1) as f64));
    let ((mean_a, a, free_a), (mean_b, b, free_b)) = (part(a)?, part(b)?);
    if !(mean_a.is_finite() && mean_b.is_finite() && a.is_finite() && b.is_finite()) {
        return None;
    }
    let df = (a + b) * (a + b) / (a * a / free_a + b * b / free_b);
    let df = if df.is_nan() { 1.0 } else { df };
    let t = (mean_a - mean_b) / (a + b).sqrt();
    Some(Welch { t, df, p: special::student_t_two_sided(t, df).unwrap_or(f64::NAN) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_equal_size_and_variance_give_students_t() {
        // Means 2 and 4, both variances 1: t = -2 / sqrt(2/3) with 4 degrees of freedom; for those P(|T| > t) has a closed
        // form, 1 - s (1 + (1 - s^2)/2 …) with s = t / sqrt(4 + t^2): 1 - s (3 - s^2) / 2.
        let test = welch(&Summary::of(&[1.0, 2.0, 3.0]), &Summary::of(&[3.0, 4.0, 5.0])).unwrap();
        let s = 6.0_f64.sqrt() / (4.0_f64 + 6.0).sqrt();
        assert!((test.t + 6.0_f64.sqrt()).abs() < 1e-14 && (test.df - 4.0).abs() < 1e-12);
        assert!((test.p - (1.0 - s * (3.0 - s * s) / 2.0)).abs() < 1e-14);
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        let of = |a: &[f64], b: &[f64]| welch(&Summary::of(a), &Summary::of(b));
        assert_eq!(of(&[1.0], &[1.0, 2.0]), None);
        assert_eq!(of(&[1.0, f64::NAN], &[1.0, 2.0]), None);
        assert_eq!(of(&[1.0, f64::INFINITY], &[1.0, 2.0]), None);
        let apart = of(&[1.0; 3], &[2.0; 3]).unwrap();
        assert_eq!((apart.t, apart.df, apart.p), (f64::NEG_INFINITY, 1.0, 0.0));
        let equal = of(&[1.0; 3], &[1.0; 3]).unwrap();
        assert!(equal.t.is_nan() && equal.p.is_nan() && equal.df == 1.0);
    }
}
