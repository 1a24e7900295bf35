//! Owns exact quantiles of a sorted sample.

use super::buckets::{BUCKETS, Buckets};
use super::special::beta_inc;

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
    between(|rank| sorted[rank].into(), sorted.len().checked_sub(1)?, position)
}

/// The same of order statistics by rank from 0 to `last`.
fn between(statistic: impl Fn(usize) -> f64, last: usize, position: f64) -> Option<f64> {
    let below = position.floor();
    let t = position - below;
    let index = (below as usize).min(last);
    let a = statistic(index);
    if t == 0.0 {
        return Some(a);
    }
    let b = statistic((index + 1).min(last));
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

/// The quantiles of type 7 at ascending `shares` of a sample in any order, to the same bits as [`quantile_sorted`], each with
/// how many values are at most that. `None` for an empty sample, a share outside of `[0, 1]`, or a value that is not finite.
///
/// The values are dropped into buckets of equal width, and only those buckets are sorted that hold a neighbour of a quantile:
/// three passes instead of a sort. If an outlier puts nearly all into one bucket, it is a sort.
#[must_use]
pub fn quantiles_unsorted(values: &[f64], shares: &[f64]) -> Option<Vec<(f64, usize)>> {
    let (low, high) = range(values)?;
    let last = values.len().checked_sub(1)?;
    let buckets = Buckets::over(low, high).filter(|_| shares.iter().all(|share| (0.0..=1.0).contains(share)))?;
    let dropped = buckets.drop(values);
    let before = dropped.before();
    let mut wanted = [false; BUCKETS];
    for share in shares {
        let below = (last as f64 * share).floor() as usize;
        for rank in [below, (below + 1).min(last)] {
            wanted[dropped.of_rank(rank)] = true;
        }
    }
    let sorted = dropped.sorted(&wanted);
    let statistic = |rank: usize| {
        let at = dropped.of_rank(rank);
        sorted.bucket(at)[rank - before[at]]
    };
    // A quantile in another bucket than those lies between its neighbours, where no value is.
    let at_most = |x: f64| before[buckets.of(x)] + sorted.bucket(buckets.of(x)).partition_point(|&y| y <= x);
    shares
        .iter()
        .map(|share| between(statistic, last, last as f64 * share))
        .map(|quantile| quantile.map(|quantile| (quantile, at_most(quantile))))
        .collect()
}

/// The ranks, from 1, of the order statistics of `n` values between which the true `q`-quantile lies with at least this
/// confidence, whatever the distribution: the number of values below it is binomial (H. A. David & H. N. Nagaraja, Order
/// Statistics (2003), 7.1). Rank 0 and rank `n + 1`: no value is low or high enough. `None` unless `0 < q < 1` and
/// `0 < confidence < 1`.
#[must_use]
pub fn ranks_around(n: u64, q: f64, confidence: f64) -> Option<(u64, u64)> {
    let inside = |x: f64| x > 0.0 && x < 1.0;
    if !(inside(q) && inside(confidence)) {
        return None;
    }
    let tail = (1.0 - confidence) / 2.0;
    // P(X <= k) and P(X >= k) of the number of values below the quantile, for 0 < k < n.
    let at_most = |k: u64| if k >= n { Some(1.0) } else { beta_inc((n - k) as f64, k as f64 + 1.0, 1.0 - q) };
    let at_least = |k: u64| if k == 0 { Some(1.0) } else { beta_inc(k as f64, (n - k) as f64 + 1.0, q) };
    // The smallest rank with more than the tail at or below it; the one of that rank is low enough.
    let low = first(0, n, |k| at_most(k).is_none_or(|p| p > tail));
    let high = first(0, n + 1, |k| k > n || at_least(k).is_some_and(|p| p <= tail));
    Some((low, high))
}

/// The first integer from `low` to `high` that `holds`, false before and true from there on; `high` if none does.
fn first(mut low: u64, mut high: u64, holds: impl Fn(u64) -> bool) -> u64 {
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// The smallest and the largest value; `None` for an empty slice or one with NaN. Infinities count.
#[must_use]
pub fn range(values: &[f64]) -> Option<(f64, f64)> {
    const LANES: usize = 8;
    let first = *values.first()?;
    let (mut low, mut high, mut nan) = ([first; LANES], [first; LANES], [0_u64; LANES]);
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &x) in chunk.iter().enumerate() {
            low[lane] = if x < low[lane] { x } else { low[lane] };
            high[lane] = if x > high[lane] { x } else { high[lane] };
            nan[lane] |= u64::from(x.is_nan());
        }
    }
    let low = low.iter().chain(rest).fold(first, |low, &x| low.min(x));
    let high = high.iter().chain(rest).fold(first, |high, &x| high.max(x));
    let nan = nan.iter().any(|&nan| nan != 0) || rest.iter().any(|x| x.is_nan());
    (!nan).then_some((low, high))
}

/// Whether a sorted slice starts or ends with NaN.
pub(crate) fn has_nan_end<T: Copy + Into<f64>>(sorted: &[T]) -> bool {
    let nan = |value: Option<&T>| value.is_some_and(|&x| Into::<f64>::into(x).is_nan());
    nan(sorted.first()) || nan(sorted.last())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn without_sorting_it_is_the_same(
            values in prop::collection::vec(prop_oneof![-1.0_f64..1.0, (0_i8..4).prop_map(f64::from), any::<f32>().prop_map(f64::from)], 1..200),
            mut shares in prop::collection::vec(0.0_f64..=1.0, 0..6)
        ) {
            shares.sort_by(f64::total_cmp);
            let values: Vec<f64> = values.into_iter().filter(|x| x.is_finite()).collect();
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            let want: Option<Vec<(f64, usize)>> = shares
                .iter()
                .map(|&q| quantile_sorted(&sorted, q).map(|x| (x, sorted.iter().filter(|y| **y <= x).count())))
                .collect();
            prop_assert_eq!(quantiles_unsorted(&values, &shares), want.filter(|_| !values.is_empty()));
            let ends = sorted.first().zip(sorted.last()).map(|(low, high)| (*low, *high));
            prop_assert_eq!(range(&values), ends);
        }
    }

    /// Against sums of the binomial distribution: no narrower pair of ranks would do, and none is wrong more often than it says.
    #[test]
    fn order_statistics_hold_the_quantile_as_often_as_they_say() {
        for (n, q) in [(1_u64, 0.5_f64), (20, 0.1), (50, 0.99), (200, 0.9)] {
            let mut chance = (1.0 - q).powi(n as i32);
            let mut density = vec![chance];
            for k in 1..=n {
                chance *= (n - k + 1) as f64 / k as f64 * q / (1.0 - q);
                density.push(chance);
            }
            for confidence in [0.5, 0.95, 0.999, 1.0 - 5e-6] {
                let (low, high) = ranks_around(n, q, confidence).unwrap();
                let tail = (1.0 - confidence) / 2.0;
                // The value of rank r is above the quantile if fewer than r values are below it.
                let above = |r: u64| density[..r as usize].iter().sum::<f64>();
                let below = |r: u64| density[(r as usize).min(density.len())..].iter().sum::<f64>();
                assert!(above(low) <= tail && below(high) <= tail, "{n} {q} {confidence}: {low} to {high}");
                assert!(above(low + 1) > tail && (high == 0 || below(high - 1) > tail), "{n} {q} {confidence}");
            }
        }
        assert_eq!(ranks_around(10, 1.0, 0.9), None);
        assert_eq!(ranks_around(0, 0.5, 0.9), Some((0, 1)));
    }

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
        for bad in [&[][..], &[1.0, f64::NAN], &[1.0, f64::INFINITY], &[-f64::MAX, f64::MAX]] {
            assert_eq!(quantiles_unsorted(bad, &[0.5]), None);
        }
        assert_eq!((quantiles_unsorted(&[1.0], &[1.5]), range(&[]), range(&[1.0, f64::NAN])), (None, None, None));
        assert_eq!(range(&[1.0, f64::INFINITY]), Some((1.0, f64::INFINITY)));
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
