//! Owns the shift between two sorted samples: the Hodges-Lehmann estimate and its confidence intervals, exact and asymptotic.
//!
//! The model is "the second sample is the first, moved". Source: J. L. Hodges and E. L. Lehmann, Annals of Mathematical
//! Statistics 34 (1963) 598-611; the intervals as R's `wilcox.test(second, first, conf.int = TRUE)`. The `n m` differences
//! are never written down: how many of them lie at or below a value is counted in `n + m` steps, which narrows down the one
//! with a given rank until few are left.

use super::brent::{self, Point};
use super::mann_whitney::{self, RankSum};
use super::{Interval, two_sided_z};

/// Two samples, each sorted in ascending order, not empty and finite.
#[derive(Clone, Copy, Debug)]
pub struct Shift<'a> {
    first: &'a [f64],
    second: &'a [f64],
}

impl<'a> Shift<'a> {
    /// `None` if a sample is empty or has an end that is not finite, or if a difference is not. For an unsorted slice the
    /// results mean nothing.
    #[must_use]
    pub fn of_sorted(first: &'a [f64], second: &'a [f64]) -> Option<Self> {
        let shift = Self { first, second };
        let finite = |values: &[f64]| Some(values.first()?.is_finite() && values.last()?.is_finite());
        let differences = finite(first)? && finite(second)? && shift.least().is_finite() && shift.most().is_finite();
        differences.then_some(shift)
    }

    /// The Hodges-Lehmann estimate: the median of all differences, second minus first.
    #[must_use]
    pub fn estimate(&self) -> f64 {
        let pairs = self.pairs();
        let low = self.difference(pairs.div_ceil(2));
        if pairs % 2 == 1 || self.at_most(low) > pairs / 2 {
            return low;
        }
        (low + self.next_above(low)) / 2.0
    }

    /// The exact interval for continuous data: the differences of rank `q` and `n m + 1 - q`, with `q` the quantile of U at
    /// half of what the confidence leaves. `None` unless `0 < confidence < 1`, with ties, or where
    /// [`RankSum::p_exact`] would give up.
    #[must_use]
    pub fn interval_exact(&self, confidence: f64) -> Option<Interval> {
        two_sided_z(confidence)?;
        let (n, m) = (self.first.len() as u64, self.second.len() as u64);
        if RankSum::of_sorted(self.first, self.second)?.tied() {
            return None;
        }
        let rank = mann_whitney::quantile(n, m, (1.0 - confidence) / 2.0)?.max(1);
        Some(Interval { low: self.difference(rank), high: self.difference(self.pairs() + 1 - rank) })
    }

    /// The asymptotic interval: the differences of the ranks beyond which the normal approximation with continuity correction
    /// and the variance corrected for ties is significant (M. Hollander and D. A. Wolfe, "Nonparametric Statistical Methods",
    /// eq. 4.33). It moves and scales with the data. `None` unless `0 < confidence < 1`, or if all values are equal.
    #[must_use]
    pub fn interval_asymptotic(&self, confidence: f64) -> Option<Interval> {
        let z = two_sided_z(confidence)?;
        let deviation = RankSum::of_sorted(self.first, self.second)?.deviation();
        let pairs = self.pairs();
        let rank = (pairs as f64 / 2.0 - 0.5 - z * deviation).floor().max(0.0) as u64 + 1;
        let interval = Interval { low: self.difference(rank), high: self.difference(pairs + 1 - rank) };
        (deviation > 0.0).then_some(interval)
    }

    /// The asymptotic interval as R and Kayenta search for it: the shifts at which the normal approximation, with the ties that
    /// there are then, is just not significant, or the largest possible difference where none is. `tolerance` is the root
    /// finder's, absolute and in the unit of the samples; both take 1e-4, which for values of that size is no interval any
    /// more. `None` unless `0 < confidence < 1`, or if all values are tied at one of the extreme shifts, where R fails too.
    #[must_use]
    pub fn interval_by_root(&self, confidence: f64, tolerance: f64) -> Option<Interval> {
        let z = two_sided_z(confidence)?;
        let (low, high) = (self.at(self.least(), true)?, self.at(self.most(), true)?);
        let limit = |z: f64| match () {
            () if low.y - z <= 0.0 => low.x,
            () if high.y - z >= 0.0 => high.x,
            () => self.solve(low, high, z, true, tolerance),
        };
        Some(Interval { low: limit(z), high: limit(-z) })
    }

    /// The shift at which the normal approximation, with or without continuity correction, is 0. R takes it without, Kayenta
    /// with. `tolerance` and `None` as above.
    #[must_use]
    pub fn estimate_by_root(&self, continuity: bool, tolerance: f64) -> Option<f64> {
        let (low, high) = (self.at(self.least(), continuity)?, self.at(self.most(), continuity)?);
        Some(self.solve(low, high, 0.0, continuity, tolerance))
    }

    /// Where the standardised statistic falls through `z`.
    fn solve(&self, low: Point, high: Point, z: f64, continuity: bool, tolerance: f64) -> f64 {
        let f = |x: f64| self.at(x, continuity).map_or(f64::NAN, |point| point.y) - z;
        brent::root(f, Point { x: low.x, y: low.y - z }, Point { x: high.x, y: high.y - z }, tolerance)
    }

    /// The standardised statistic of the second sample moved down by `shift`; `None` if all values are tied then.
    fn at(&self, shift: f64, continuity: bool) -> Option<Point> {
        let test = RankSum::shifted(self.first, self.second, shift)?;
        let pairs = test.n as f64 * test.m as f64;
        let excess = pairs - test.u - pairs / 2.0;
        let correction = if continuity && excess != 0.0 { 0.5_f64.copysign(excess) } else { 0.0 };
        let y = (excess - correction) / test.deviation();
        y.is_finite().then_some(Point { x: shift, y })
    }

    fn pairs(&self) -> u64 {
        self.first.len() as u64 * self.second.len() as u64
    }

    fn least(&self) -> f64 {
        self.second[0] - self.first[self.first.len() - 1]
    }

    fn most(&self) -> f64 {
        self.second[self.second.len() - 1] - self.first[0]
    }

    /// How many differences are at most `x`. Rounding keeps their order in both samples, so each pointer only moves on.
    fn at_most(&self, x: f64) -> u64 {
        let mut i = 0;
        let mut count = 0;
        for &y in self.second {
            while i < self.first.len() && y - self.first[i] > x {
                i += 1;
            }
            count += (self.first.len() - i) as u64;
        }
        count
    }

    /// The smallest difference above `x`, or the largest of all.
    fn next_above(&self, x: f64) -> f64 {
        let mut i = 0;
        let mut next = self.most();
        for &y in self.second {
            while i < self.first.len() && y - self.first[i] > x {
                i += 1;
            }
            if i > 0 {
                next = next.min(y - self.first[i - 1]);
            }
        }
        next
    }

    /// The difference of a rank from 1 to `n m`.
    fn difference(&self, rank: u64) -> f64 {
        let enough = (self.first.len() + self.second.len()) as u64;
        // At most `low` are fewer than `rank`, at most `high` are not.
        let (mut low, mut high) = (self.least().next_down(), self.most());
        let (mut below, mut through) = (0, self.pairs());
        let mut halve = false;
        while through - below > enough && low.next_up() < high {
            // In proportion, and every other time halfway among all doubles, so that it ends whatever the data.
            let middle = if halve {
                of_ordinal(ordinal(low).midpoint(ordinal(high)))
            } else {
                low + (high - low) * ((rank - below) as f64 / (through - below) as f64)
            };
            halve = !halve;
            let middle = middle.clamp(low.next_up(), high.next_down());
            let count = self.at_most(middle);
            if count >= rank {
                (high, through) = (middle, count);
            } else {
                (low, below) = (middle, count);
            }
        }
        if low.next_up() >= high {
            return high + 0.0; // not the negative zero
        }
        let mut left = Vec::with_capacity((through - below) as usize);
        let (mut from, mut to) = (0, 0);
        for &y in self.second {
            while from < self.first.len() && y - self.first[from] > high {
                from += 1;
            }
            while to < self.first.len() && y - self.first[to] > low {
                to += 1;
            }
            left.extend(self.first[from..to].iter().map(|x| y - x));
        }
        let (_, found, _) = left.select_nth_unstable_by((rank - below - 1) as usize, f64::total_cmp);
        *found + 0.0
    }
}

/// The doubles numbered in ascending order.
fn ordinal(x: f64) -> i64 {
    let magnitude = (x.to_bits() & (u64::MAX >> 1)) as i64;
    if x.is_sign_negative() { -1 - magnitude } else { magnitude }
}

fn of_ordinal(ordinal: i64) -> f64 {
    if ordinal < 0 { -f64::from_bits((-1 - ordinal) as u64) } else { f64::from_bits(ordinal as u64) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sorted(values: impl Strategy<Value = f64>) -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(values, 1..12).prop_map(|mut values| {
            values.sort_by(f64::total_cmp);
            values
        })
    }

    fn any() -> impl Strategy<Value = Vec<f64>> {
        prop_oneof![sorted((-4_i8..4).prop_map(f64::from)), sorted(-1e3..1e3)]
    }

    proptest! {
        #[test]
        fn ranks_are_those_of_the_written_differences(a in any(), b in any()) {
            let shift = Shift::of_sorted(&a, &b).unwrap();
            let mut all: Vec<f64> = b.iter().flat_map(|y| a.iter().map(move |x| y - x)).collect();
            all.sort_by(f64::total_cmp);
            for (k, want) in all.iter().enumerate() {
                prop_assert_eq!(shift.difference(k as u64 + 1), *want);
            }
            let half = all.len() / 2;
            let median = if all.len() % 2 == 1 { all[half] } else { (all[half - 1] + all[half]) / 2.0 };
            prop_assert_eq!(shift.estimate(), median);
        }

        #[test]
        fn intervals_move_with_the_data(a in sorted(-1e3..1e3), b in sorted(-1e3..1e3), by in -1e3_f64..1e3) {
            let moved: Vec<f64> = b.iter().map(|y| y + by).collect();
            let (here, there) = (Shift::of_sorted(&a, &b).unwrap(), Shift::of_sorted(&a, &moved).unwrap());
            if let (Some(here), Some(there)) = (here.interval_exact(0.9), there.interval_exact(0.9)) {
                prop_assert!((here.low + by - there.low).abs() < 1e-9 && (here.high + by - there.high).abs() < 1e-9);
            }
            if let (Some(here), Some(there)) = (here.interval_asymptotic(0.9), there.interval_asymptotic(0.9)) {
                prop_assert!((here.low + by - there.low).abs() < 1e-9 && (here.high + by - there.high).abs() < 1e-9);
            }
        }

        #[test]
        fn the_root_is_the_difference_of_that_rank(
            a in prop::collection::vec(-1e3_f64..1e3, 8..20), b in prop::collection::vec(-1e3_f64..1e3, 8..20)
        ) {
            let (mut a, mut b) = (a, b);
            a.sort_by(f64::total_cmp);
            b.sort_by(f64::total_cmp);
            let shift = Shift::of_sorted(&a, &b).unwrap();
            let (ranks, root) = (shift.interval_asymptotic(0.9).unwrap(), shift.interval_by_root(0.9, 1e-10).unwrap());
            prop_assert!((ranks.low - root.low).abs() < 1e-9 && (ranks.high - root.high).abs() < 1e-9);
        }
    }

    #[test]
    fn ordinals_count_the_doubles() {
        for x in [-1e300, -1.5, -f64::MIN_POSITIVE, 0.0, 5e-324, 2.0, f64::MAX] {
            assert_eq!(of_ordinal(ordinal(x)), x);
            assert_eq!(of_ordinal(ordinal(x) + 1), x.next_up());
        }
        assert_eq!(ordinal(-0.0) + 1, ordinal(0.0));
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        assert!(Shift::of_sorted(&[], &[1.0]).is_none());
        assert!(Shift::of_sorted(&[1.0], &[1.0, f64::INFINITY]).is_none());
        assert!(Shift::of_sorted(&[f64::NAN], &[1.0]).is_none());
        assert!(Shift::of_sorted(&[-f64::MAX], &[f64::MAX]).is_none());
        let equal = Shift::of_sorted(&[1.0; 4], &[1.0; 3]).unwrap();
        assert_eq!((equal.estimate(), equal.interval_exact(0.9)), (0.0, None));
        assert_eq!((equal.interval_asymptotic(0.9), equal.interval_by_root(0.9, 1e-4)), (None, None));
        assert_eq!(equal.estimate_by_root(true, 1e-4), None);
        let one = Shift::of_sorted(&[1.0], &[3.0]).unwrap();
        assert_eq!((one.estimate(), one.interval_exact(0.9)), (2.0, Some(Interval { low: 2.0, high: 2.0 })));
        assert_eq!((one.interval_exact(1.0), one.interval_by_root(f64::NAN, 1e-4)), (None, None));
    }
}
