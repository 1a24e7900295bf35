//! Owns the additive form of the KS test: a fixed reference, and counts per rank that scrapes add to and subtract from.
//!
//! For a window that slides over a fixed reference the statistic does not need sorted chunks: between two neighbouring
//! reference values the reference's distribution function is flat, so its largest distance from the window's is reached at
//! the ends of that stretch. How many window values lie *at* each reference value and *between* each two of them is
//! therefore all that the exact statistic needs, and such counts add and subtract like a histogram's.

use std::hint::select_unpredictable;

use super::ks::KsTest;

/// A sorted reference sample, ready to be compared with windows given as counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// Distinct values, ascending.
    values: Vec<f32>,
    /// How many reference rows are `<=` each of them.
    through: Vec<u32>,
}

impl Reference {
    /// From a sample sorted in ascending order. `None` if it is empty, not ascending, has NaN, or 2^32 rows or more.
    #[must_use]
    pub fn from_sorted(sorted: &[f32]) -> Option<Self> {
        let (mut values, mut through): (Vec<f32>, Vec<u32>) = (Vec::new(), Vec::new());
        for (index, &value) in sorted.iter().enumerate() {
            let rows = u32::try_from(index + 1).ok()?;
            match (values.last().map(|last| value.partial_cmp(last)), through.last_mut()) {
                (Some(Some(std::cmp::Ordering::Equal)), Some(count)) => *count = rows,
                (None | Some(Some(std::cmp::Ordering::Greater)), _) if !value.is_nan() => {
                    values.push(value);
                    through.push(rows);
                }
                _ => return None,
            }
        }
        (!values.is_empty()).then_some(Self { values, through })
    }

    /// How many counts a window has: one at and one below each distinct value, one above all.
    #[must_use]
    pub fn slots(&self) -> usize {
        2 * self.values.len() + 1
    }

    /// The slot of a value: `2 r` strictly below the r-th distinct value, `2 r + 1` at it; `None` for NaN.
    #[inline]
    #[must_use]
    pub fn slot(&self, value: f32) -> Option<usize> {
        if value.is_nan() {
            return None;
        }
        // A binary search whose only branch is the loop's: the number of halvings depends on the reference alone.
        let (mut base, mut size) = (0, self.values.len());
        while size > 1 {
            let half = size / 2;
            // Which half is a coin toss: a branch would be mispredicted every second time (1 000 reference values: 58 ns against 20).
            base = select_unpredictable(self.values[base + half - 1] < value, base + half, base);
            size -= half;
        }
        let rank = base + usize::from(self.values[base] < value);
        Some(2 * rank + usize::from(self.values.get(rank) == Some(&value)))
    }

    /// Adds the values, in any order, to `counts`; returns how many were NaN and left out.
    ///
    /// # Panics
    ///
    /// If `counts` has another length than [`Reference::slots`].
    pub fn count_into(&self, values: &[f32], counts: &mut [u32]) -> u32 {
        assert_eq!(counts.len(), self.slots(), "counts belong to another reference");
        let mut left_out = 0;
        for &value in values {
            match self.slot(value) {
                Some(slot) => counts[slot] += 1,
                None => left_out += 1,
            }
        }
        left_out
    }

    /// The test of the reference (`n`) against the counted window (`m`); `None` for an empty window or counts of another
    /// reference.
    #[must_use]
    pub fn statistic(&self, counts: &[u32]) -> Option<KsTest> {
        let m: i64 = counts.iter().map(|&count| i64::from(count)).sum();
        if counts.len() != self.slots() || m == 0 {
            return None;
        }
        let n = i64::from(*self.through.last()?);
        let (mut seen, mut before, mut widest) = (0_i64, 0_i64, 0_i64);
        for (pair, &through) in counts.chunks_exact(2).zip(&self.through) {
            seen += i64::from(pair[0]);
            widest = widest.max((seen * n - before * m).abs());
            seen += i64::from(pair[1]);
            before = i64::from(through);
            widest = widest.max((seen * n - before * m).abs());
        }
        Some(KsTest { d: widest as f64 / (n as f64 * m as f64), n: n as u64, m: m as u64 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::ks::statistic_sorted;
    use super::*;

    fn values() -> impl Strategy<Value = Vec<f32>> {
        prop::collection::vec(prop_oneof![(0_i8..6).prop_map(f32::from), -2.0_f32..8.0], 1..60)
    }

    fn sorted(mut values: Vec<f32>) -> Vec<f32> {
        values.sort_by(f32::total_cmp);
        values
    }

    proptest! {
        #[test]
        fn counting_agrees_with_merging(reference in values(), window in values()) {
            let reference = sorted(reference);
            let ranks = Reference::from_sorted(&reference).unwrap();
            let mut counts = vec![0; ranks.slots()];
            prop_assert_eq!(ranks.count_into(&window, &mut counts), 0);
            prop_assert_eq!(ranks.statistic(&counts), statistic_sorted(&reference, &sorted(window)));
        }
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        for bad in [&[][..], &[2.0, 1.0], &[f32::NAN], &[1.0, f32::NAN]] {
            assert_eq!(Reference::from_sorted(bad), None);
        }
        let ranks = Reference::from_sorted(&[-0.0, 0.0, f32::INFINITY]).unwrap();
        let mut counts = vec![0; ranks.slots()];
        assert_eq!(counts.len(), 5);
        assert_eq!(ranks.statistic(&counts), None);
        assert_eq!(ranks.statistic(&[1]), None);
        assert_eq!(ranks.count_into(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY], &mut counts), 1);
        assert_eq!(counts, [1, 0, 0, 1, 0]);
    }
}
