//! Owns buckets of equal width: they tell which few values decide a question of order, so that only those need be sorted.

use super::quantile::range;

/// Few enough for the first-level cache, and for a place to fit in 16 bits.
pub const BUCKETS: usize = 1024;
/// 2^52: a double at least as large has no fraction, so that adding it rounds, and its lowest bits are the integer.
const ROUNDS: f64 = 4_503_599_627_370_496.0;

/// Buckets over a range. A larger value is never in a lower bucket.
#[derive(Clone, Copy, Debug)]
pub struct Buckets {
    low: f64,
    scale: f64,
}

impl Buckets {
    /// Buckets from `low` to `high`. `None` unless the distance is finite.
    #[must_use]
    pub fn over(low: f64, high: f64) -> Option<Self> {
        let width = high - low;
        let scale = (BUCKETS - 1) as f64 / width;
        // All in one bucket if there is no width to speak of.
        width.is_finite().then_some(Self { low, scale: if scale.is_finite() { scale } else { 0.0 } })
    }

    /// The bucket of a value between `low` and `high`; for others, any.
    #[must_use]
    pub fn of(&self, x: f64) -> usize {
        ((x - self.low) * self.scale + ROUNDS).to_bits() as usize % BUCKETS
    }

    /// Drops the values into their buckets; all must lie between `low` and `high`.
    #[must_use]
    pub fn drop<'a>(&self, values: &'a [f64]) -> Dropped<'a> {
        let places: Vec<u16> = values.iter().map(|&x| self.of(x) as u16).collect();
        let mut sizes = [0_usize; BUCKETS];
        places.iter().for_each(|&place| sizes[usize::from(place) % BUCKETS] += 1);
        let mut before = Vec::with_capacity(BUCKETS + 1);
        let mut sum = 0;
        before.push(0);
        before.extend(sizes.iter().map(|size| {
            sum += size;
            sum
        }));
        Dropped { values, places, before }
    }
}

/// Values by bucket.
#[derive(Clone, Debug)]
pub struct Dropped<'a> {
    values: &'a [f64],
    places: Vec<u16>,
    before: Vec<usize>,
}

impl Dropped<'_> {
    /// How many values are in the buckets before each bucket; one entry more than buckets.
    #[must_use]
    pub fn before(&self) -> &[usize] {
        &self.before
    }

    /// The bucket of the value of a rank, from 0: the last one with no more values before it.
    #[must_use]
    pub fn of_rank(&self, rank: usize) -> usize {
        self.before[..BUCKETS].partition_point(|&count| count <= rank).saturating_sub(1)
    }

    /// The values of the wanted buckets (one entry a bucket), sorted.
    #[must_use]
    pub fn sorted(&self, wanted: &[bool; BUCKETS]) -> Sorted {
        let of = |place: u16| wanted[usize::from(place) % BUCKETS];
        let kept = self.values.iter().zip(&self.places).filter(|&(_, &place)| of(place));
        let mut values: Vec<f64> = kept.map(|(&x, _)| x).collect();
        values.sort_unstable_by(f64::total_cmp);
        let mut starts = Vec::with_capacity(BUCKETS + 1);
        let mut start = 0;
        for (sizes, &wanted) in self.before.windows(2).zip(wanted) {
            starts.push(start);
            start += if wanted { sizes[1] - sizes[0] } else { 0 };
        }
        starts.push(start);
        Sorted { values, starts }
    }
}

/// The values of some buckets in ascending order.
#[derive(Clone, Debug)]
pub struct Sorted {
    values: Vec<f64>,
    starts: Vec<usize>,
}

impl Sorted {
    /// The values of one bucket; none if it was not wanted.
    #[must_use]
    pub fn bucket(&self, bucket: usize) -> &[f64] {
        &self.values[self.starts[bucket]..self.starts[bucket + 1]]
    }
}

/// Buckets over the range of both samples. `None` if one is empty, has NaN, or their range is not finite.
#[must_use]
pub fn over_both(a: &[f64], b: &[f64]) -> Option<Buckets> {
    let ((a_low, a_high), (b_low, b_high)) = range(a).zip(range(b))?;
    Buckets::over(a_low.min(b_low), a_high.max(b_high))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn buckets_are_in_order_and_hold_every_value(
            values in prop::collection::vec(prop_oneof![-1.0_f64..1.0, any::<f32>().prop_map(f64::from), -1e-310..1e-310], 1..200)
        ) {
            let values: Vec<f64> = values.into_iter().filter(|x| x.is_finite()).collect();
            let Some(buckets) = over_both(&values, &values) else { return Ok(()) };
            let dropped = buckets.drop(&values);
            let sorted = dropped.sorted(&[true; BUCKETS]);
            let mut want = values.clone();
            want.sort_by(f64::total_cmp);
            let got: Vec<f64> = (0..BUCKETS).flat_map(|i| sorted.bucket(i).to_vec()).collect();
            prop_assert_eq!(&got, &want);
            for (rank, x) in want.iter().enumerate() {
                prop_assert_eq!(dropped.of_rank(rank), buckets.of(*x));
                prop_assert!(dropped.before()[buckets.of(*x)] <= rank && rank < dropped.before()[buckets.of(*x) + 1]);
            }
        }
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        assert!(Buckets::over(0.0, f64::INFINITY).is_none() && Buckets::over(-f64::MAX, f64::MAX).is_none());
        assert!(over_both(&[], &[1.0]).is_none() && over_both(&[f64::NAN], &[1.0]).is_none());
        let tiny = f64::MIN_POSITIVE / 4.0;
        for (low, high) in [(2.0, 2.0), (0.0, tiny), (0.0, f64::MAX)] {
            let buckets = Buckets::over(low, high).unwrap();
            assert!(buckets.of(low) == 0 && buckets.of(high) < BUCKETS);
        }
    }
}
