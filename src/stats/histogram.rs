//! Owns the latency histogram: log-linear buckets over nanoseconds, 32 to the octave, cheap to record, merge and subtract.
//!
//! The layout is HdrHistogram's idea (Gil Tene, <http://hdrhistogram.org>): values below 64 ns have a bucket each, and every
//! octave above is cut into 32 equal buckets. A bucket is at most 1/32 of its lower end wide, so any value read back is
//! **within 3.125 %** of the recorded one. Values from [`RANGE_NS`] (73 minutes) up share one overflow bucket.

use serde::{Deserialize, Serialize};

/// Buckets per octave.
const SUB_BUCKETS: u32 = 32;
/// log2 of [`RANGE_NS`].
const RANGE_BITS: u32 = 42;
/// The first value that is only known to be "above": 2^42 ns, 73 minutes.
pub const RANGE_NS: u64 = 1 << RANGE_BITS;
/// A value read back differs from the recorded one by at most this share.
pub const RELATIVE_ERROR_MAX: f64 = 1.0 / SUB_BUCKETS as f64;

/// A histogram of durations in nanoseconds.
///
/// Two histograms are equal exactly when every bucket and the sum are. Memory is 4 bytes for each bucket up to the highest
/// one in use, 5 kB at most. A bucket saturates at `u32::MAX`; what does not fit is not counted anywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// Up to the highest bucket in use, never with trailing zeros: so that equality is equality of content.
    buckets: Vec<u32>,
    overflow: u32,
    count: u64,
    /// Sum of the recorded values; saturates after 584 years.
    sum_ns: u64,
}

impl Histogram {
    /// Bytes behind pointers.
    #[must_use]
    pub fn heap(&self) -> usize {
        self.buckets.capacity() * size_of::<u32>()
    }

    /// An empty histogram.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The histogram with these counts: (any value of a bucket, how many fell into it) with values below [`RANGE_NS`], how many
    /// lay above the range, and the exact sum of all.
    #[must_use]
    pub fn of_buckets(buckets: impl IntoIterator<Item = (u64, u32)>, overflow: u32, sum_ns: u64) -> Self {
        let mut histogram = Self::new();
        for (value, n) in buckets {
            histogram.record_n(value.min(RANGE_NS - 1), n);
        }
        histogram.record_n(RANGE_NS, overflow);
        histogram.sum_ns = sum_ns;
        histogram
    }

    /// Counts one value.
    #[inline]
    pub fn record(&mut self, value_ns: u64) {
        self.record_n(value_ns, 1);
    }

    /// Counts one value `n` times.
    #[inline]
    pub fn record_n(&mut self, value_ns: u64, n: u32) {
        let index = index_of(value_ns);
        let fits = match self.buckets.get_mut(index) {
            Some(bucket) => add_capped(bucket, n),
            None => self.record_beyond(value_ns, n),
        };
        self.count += u64::from(fits);
        self.sum_ns = self.sum_ns.saturating_add(value_ns.saturating_mul(u64::from(fits)));
    }

    /// Takes in a value that no allocated bucket covers; returns how many were counted.
    #[cold]
    fn record_beyond(&mut self, value_ns: u64, n: u32) -> u32 {
        if value_ns >= RANGE_NS {
            return add_capped(&mut self.overflow, n);
        }
        if n > 0 {
            self.buckets.resize(index_of(value_ns) + 1, 0);
            if let Some(last) = self.buckets.last_mut() {
                *last = n;
            }
        }
        n
    }

    /// Takes in all that `other` counted.
    pub fn merge(&mut self, other: &Self) {
        if other.buckets.len() > self.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        let mut fits = u64::from(add_capped(&mut self.overflow, other.overflow));
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            fits += u64::from(add_capped(mine, *theirs));
        }
        self.count += fits;
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
    }

    /// What was recorded since `earlier`, a previous state of the same histogram: how a scraped, ever-growing histogram
    /// becomes that of a window. `None` if `self` cannot be a later state of `earlier` (a bucket shrank: a restart, a
    /// counter reset).
    #[must_use]
    pub fn diff(&self, earlier: &Self) -> Option<Self> {
        if earlier.buckets.len() > self.buckets.len() {
            return None;
        }
        let mut difference = Self {
            buckets: self.buckets.clone(),
            overflow: self.overflow.checked_sub(earlier.overflow)?,
            count: self.count.checked_sub(earlier.count)?,
            sum_ns: self.sum_ns.checked_sub(earlier.sum_ns)?,
        };
        for (mine, theirs) in difference.buckets.iter_mut().zip(&earlier.buckets) {
            *mine = mine.checked_sub(*theirs)?;
        }
        let used = difference.buckets.iter().rposition(|&bucket| bucket > 0).map_or(0, |last| last + 1);
        difference.buckets.truncate(used);
        Some(difference)
    }

    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.buckets.clear();
        (self.overflow, self.count, self.sum_ns) = (0, 0, 0);
    }

    /// How many values were counted, those above the range included.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Whether nothing was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many values were at or above [`RANGE_NS`].
    #[must_use]
    pub fn overflow(&self) -> u64 {
        u64::from(self.overflow)
    }

    /// The exact sum of the recorded values in nanoseconds; saturates after 584 years.
    #[must_use]
    pub const fn sum_ns(&self) -> u64 {
        self.sum_ns
    }

    /// The mean in nanoseconds, from the exact sum and not from the buckets; `None` when empty.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum_ns as f64 / self.count as f64)
    }

    /// The `q`-quantile in nanoseconds, within [`RELATIVE_ERROR_MAX`] of the exact one.
    ///
    /// The convention is the inverse of the empirical cdf (Hyndman and Fan's type 1): the k-th smallest value with
    /// `k = ceil(q n)`, and the smallest for `q = 0`. Inside a bucket its values are taken to be spread evenly. Infinite if
    /// that value lies above the range; `None` when empty or for `q` outside `[0, 1]`.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        if self.count == 0 || !(0.0..=1.0).contains(&q) {
            return None;
        }
        let n = self.count as f64;
        // 0.07 * 100 is a little above 7: a product this near to an integer means the integer.
        let exact = q * n;
        let k = if (exact - exact.round()).abs() <= 1e-12 * n { exact.round() } else { exact.ceil() };
        self.at_rank((k as u64).clamp(1, self.count))
    }

    /// The `rank`-th smallest value (from 1) in nanoseconds, within [`RELATIVE_ERROR_MAX`] of the exact one; infinite if it lies
    /// above the range, `None` if there are not so many.
    #[must_use]
    pub fn at_rank(&self, rank: u64) -> Option<f64> {
        if rank == 0 || rank > self.count {
            return None;
        }
        let mut below = 0_u64;
        for (index, &bucket) in self.buckets.iter().enumerate() {
            let through = below + u64::from(bucket);
            if rank <= through {
                let (low, high) = bounds_of(index);
                let share = ((rank - below) as f64 - 0.5) / f64::from(bucket);
                return Some(low as f64 + (high - low) as f64 * share);
            }
            below = through;
        }
        Some(f64::INFINITY)
    }

    /// How many values exceed the limit, the limit being taken up to the end of its bucket, [`bucket_end`]: at most 3.125 %
    /// more than asked for, and none when the limit is such an end. Counted this way, parts add up: the count of a merged
    /// histogram is the sum of the counts. From [`RANGE_NS`] up, every overflowing value counts as exceeding.
    #[must_use]
    pub fn count_above(&self, limit_ns: u64) -> u64 {
        let first = index_of(limit_ns.min(RANGE_NS - 1)) + 1;
        let inside: u64 = self.buckets.iter().skip(first).map(|&bucket| u64::from(bucket)).sum();
        inside + u64::from(self.overflow)
    }

    /// The occupied buckets, lowest first: (smallest, largest value that falls into it, count). Overflow is not among them.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        self.buckets.iter().enumerate().filter(|(_, bucket)| **bucket > 0).map(|(index, &bucket)| {
            let (low, high) = bounds_of(index);
            (low, high, u64::from(bucket))
        })
    }
}

/// The largest value in nanoseconds that falls into the same bucket as `value_ns`; `u64::MAX` from [`RANGE_NS`] up.
#[must_use]
pub fn bucket_end(value_ns: u64) -> u64 {
    if value_ns >= RANGE_NS { u64::MAX } else { bounds_of(index_of(value_ns)).1 }
}

#[inline]
fn add_capped(bucket: &mut u32, n: u32) -> u32 {
    let fits = n.min(u32::MAX - *bucket);
    *bucket += fits;
    fits
}

/// Below 64 the value itself; above, 32 buckets for each octave. The bit trick makes both one formula.
#[inline]
fn index_of(value_ns: u64) -> usize {
    let shift = 63 - 5 - (value_ns | u64::from(SUB_BUCKETS)).leading_zeros();
    (shift * SUB_BUCKETS) as usize + (value_ns >> shift) as usize
}

/// Smallest and largest value of a bucket.
fn bounds_of(index: usize) -> (u64, u64) {
    let sub = SUB_BUCKETS as usize;
    let shift = (index / sub).saturating_sub(1);
    let low = ((index - shift * sub) as u64) << shift;
    (low, low + ((1 << shift) - 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::new();
        values.iter().for_each(|&value| histogram.record(value));
        histogram
    }

    /// Values spread over all octaves, the overflow included.
    fn values() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec((any::<u64>(), 18_u32..64).prop_map(|(value, shift)| value >> shift), 0..200)
    }

    proptest! {
        #[test]
        fn every_value_lies_in_its_bucket(value in any::<u64>(), shift in 0_u32..64) {
            let value = value >> shift;
            let (low, high) = bounds_of(index_of(value));
            prop_assert!(low <= value && value <= high);
            prop_assert!((high - low) as f64 <= low as f64 * RELATIVE_ERROR_MAX);
            prop_assert_eq!(index_of(low), index_of(high));
        }

        #[test]
        fn quantiles_keep_the_stated_error(mut values in values(), q in 0.0..=1.0_f64) {
            values.retain(|&value| value < RANGE_NS);
            prop_assume!(!values.is_empty());
            let histogram = of(&values);
            values.sort_unstable();
            let k = (q * values.len() as f64).ceil().max(1.0) as usize;
            let exact = values[k - 1] as f64;
            let read = histogram.quantile(q).unwrap();
            prop_assert!((read - exact).abs() <= exact * RELATIVE_ERROR_MAX, "{read} {exact}");
        }

        #[test]
        fn merging_is_recording_both(a in values(), b in values()) {
            let mut merged = of(&a);
            merged.merge(&of(&b));
            prop_assert_eq!(merged, of(&[a, b].concat()));
        }

        #[test]
        fn diff_inverts_merge(a in values(), b in values()) {
            let mut later = of(&a);
            later.merge(&of(&b));
            prop_assert_eq!(later.diff(&of(&a)), Some(of(&b)));
            prop_assert!(b.is_empty() || of(&a).diff(&later).is_none());
        }

        #[test]
        fn counting_above_is_exact_up_to_the_bucket(values in values(), limit in any::<u64>(), shift in 20_u32..64) {
            let limit = limit >> shift;
            let exact = values.iter().filter(|&&value| value > bucket_end(limit.min(RANGE_NS - 1))).count() as u64;
            prop_assert_eq!(of(&values).count_above(limit), exact);
        }
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        let mut histogram = Histogram::new();
        assert_eq!((histogram.quantile(0.5), histogram.mean(), histogram.count_above(0)), (None, None, 0));
        histogram.record(u64::MAX);
        assert_eq!(histogram.quantile(0.5), Some(f64::INFINITY));
        assert_eq!((histogram.count_above(u64::MAX), histogram.overflow()), (1, 1));
        assert_eq!(histogram.quantile(f64::NAN), None);
        assert_eq!(of(&[42; 9]).quantile(0.3), Some(42.0));
        assert_eq!(bucket_end(63), 63);
        assert_eq!(bucket_end(64), 65);
    }

    #[test]
    fn a_full_bucket_neither_wraps_nor_miscounts() {
        let mut histogram = Histogram::new();
        histogram.record_n(5, u32::MAX - 1);
        histogram.record_n(5, 7);
        histogram.record_n(9, 0);
        assert_eq!(histogram.count(), u64::from(u32::MAX));
        assert_eq!(histogram.quantile(1.0), Some(5.0));
        let mut doubled = histogram.clone();
        doubled.merge(&histogram);
        assert_eq!(doubled.count(), u64::from(u32::MAX));
    }

    #[test]
    fn it_survives_a_trip_through_json() {
        let histogram = of(&[1, 1_000, 1_000_000, u64::MAX >> 1]);
        let text = serde_json::to_string(&histogram).unwrap();
        assert_eq!(serde_json::from_str::<Histogram>(&text).unwrap(), histogram);
    }
}
