//! Owns exact quantiles of a sorted sample.

/// The `q`-quantile of a sample sorted in ascending order, Hyndman and Fan's type 7 (R's and numpy's default): linear between
/// the order statistics around `(n - 1) q`. Source: Hyndman & Fan, "Sample Quantiles in Statistical Packages", The American
/// Statistician 50 (1996) 361-365; the interpolation is numpy's, so results agree to the last bit.
///
/// `None` for an empty sample, for `q` outside `[0, 1]`, for a sample with NaN at an end (where sorting by `total_cmp` puts it)
/// and halfway between -inf and inf. Between a finite and an infinite neighbour the result is the infinite one.
#[must_use]
pub fn quantile_sorted<T: Copy + Into<f64>>(sorted: &[T], q: f64) -> Option<f64> {
    if !(0.0..=1.0).contains(&q) || has_nan_end(sorted) {
        return None;
    }
    let last = sorted.len().checked_sub(1)?;
    interpolate(sorted, last as f64 * q)
}

/// How a quantile between two order statistics is taken. The numbers are Hyndman and Fan's types, the names numpy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Type 7, [`quantile_sorted`].
    Linear,
    /// The order statistic below the position of type 7.
    Lower,
    /// The order statistic above it.
    Higher,
    /// The nearer of the two, the one of even index (from 0) halfway.
    Nearest,
    /// Type 6: linear between `i / (n + 1)`. W. Weibull 1939.
    Weibull,
    /// Type 5: linear between `(i - 1/2) / n`. A. Hazen 1914.
    Hazen,
    /// Type 8: linear between `(i - 1/3) / (n + 1/3)`, about unbiased for the median of the order statistic whatever the
    /// distribution; the one that Hyndman and Fan recommend.
    MedianUnbiased,
    /// Type 1: the smallest value whose share of values at or below it is at least `q`.
    InvertedCdf,
}

/// The `q`-quantile of a sample sorted in ascending order by `method`. `None` as [`quantile_sorted`]. Source: as there; the
/// positions are numpy's to the last bit, so that ties of rounding fall the same way.
#[must_use]
pub fn quantile_by<T: Copy + Into<f64>>(sorted: &[T], q: f64, method: Method) -> Option<f64> {
    if !(0.0..=1.0).contains(&q) || has_nan_end(sorted) {
        return None;
    }
    let last = sorted.len().checked_sub(1)?;
    let n = sorted.len() as f64;
    let position = last as f64 * q;
    let between = |alpha: f64| n * q + (alpha + q * (1.0 - alpha - alpha)) - 1.0;
    let position = match method {
        Method::Linear => return quantile_sorted(sorted, q),
        Method::Lower => position.floor(),
        Method::Higher => position.ceil(),
        Method::Nearest => position.round_ties_even(),
        Method::Weibull => between(0.0),
        Method::Hazen => between(0.5),
        Method::MedianUnbiased => between(1.0 / 3.0),
        Method::InvertedCdf => (n * q - 1.0).ceil(),
    };
    let position = position.clamp(0.0, last as f64);
    interpolate(sorted, position)
}

/// The value at a position in `[0, n - 1]`, linear between neighbours. `None` halfway between -inf and inf.
fn interpolate<T: Copy + Into<f64>>(sorted: &[T], position: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let below = position.floor();
    let t = position - below;
    let index = (below as usize).min(last);
    let a: f64 = sorted[index].into();
    if t == 0.0 {
        return Some(a);
    }
    let b: f64 = sorted[(index + 1).min(last)].into();
    if a == b {
        return Some(a);
    }
    if a.is_infinite() || b.is_infinite() {
        let sum = a + b;
        return (!sum.is_nan()).then_some(sum);
    }
    let difference = b - a;
    Some(if t < 0.5 { a + difference * t } else { b - difference * (1.0 - t) })
}

/// Whether a sorted slice starts or ends with NaN.
pub(crate) fn has_nan_end<T: Copy + Into<f64>>(sorted: &[T]) -> bool {
    let nan = |value: Option<&T>| value.is_some_and(|&x| Into::<f64>::into(x).is_nan());
    nan(sorted.first()) || nan(sorted.last())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_methods_lie_between_neighbours_and_agree_at_the_ends() {
        use Method::{Hazen, Higher, InvertedCdf, Linear, Lower, MedianUnbiased, Nearest, Weibull};
        let sorted = [1.0, 2.0, 4.0, 8.0];
        for method in [Linear, Lower, Higher, Nearest, Weibull, Hazen, MedianUnbiased, InvertedCdf] {
            let at = |q| quantile_by(&sorted, q, method).unwrap();
            assert_eq!((at(0.0), at(1.0)), (1.0, 8.0), "{method:?}");
            assert!((2.0..=4.0).contains(&at(0.5)), "{method:?}");
            assert_eq!((quantile_by::<f64>(&[], 0.5, method), quantile_by(&[1.0], f64::NAN, method)), (None, None));
            assert_eq!(quantile_by(&[7.0], 0.3, method), Some(7.0));
        }
        // A third of the way: by hand from the definitions.
        let third = |method| quantile_by(&sorted, 0.375, method).unwrap();
        assert_eq!([third(Lower), third(Higher), third(Nearest), third(InvertedCdf)], [2.0, 4.0, 2.0, 2.0]);
        assert_eq!([third(Linear), third(Hazen), third(Weibull)], [2.25, 2.0, 1.875]);
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        assert_eq!(quantile_sorted::<f64>(&[], 0.5), None);
        assert_eq!(quantile_sorted(&[7.0_f32], 0.3), Some(7.0));
        assert_eq!(quantile_sorted(&[2.0, 2.0, 2.0], 0.99), Some(2.0));
        assert_eq!(quantile_sorted(&[1.0, 2.0], f64::NAN), None);
        assert_eq!(quantile_sorted(&[1.0, 2.0], 1.1), None);
        assert_eq!(quantile_sorted(&[1.0, f64::NAN], 0.5), None);
        assert_eq!(quantile_sorted(&[1.0, f64::INFINITY], 0.25), Some(f64::INFINITY));
        assert_eq!(quantile_sorted(&[f64::NEG_INFINITY, f64::INFINITY], 0.25), None);
        assert_eq!(quantile_sorted(&[f64::NEG_INFINITY, f64::INFINITY], 1.0), Some(f64::INFINITY));
    }
}
