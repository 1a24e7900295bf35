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
    let position = last as f64 * q;
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
