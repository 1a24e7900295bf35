//! Owns two ways of counting samples side by side other than by quantiles: bins of equal width, and distinct values.

use std::cmp::Ordering;

/// Bins of equal width over a range, closed on the left, the last one on both sides: numpy's `histogram`.
#[derive(Clone, Debug, PartialEq)]
pub struct EqualWidth {
    edges: Vec<f64>,
}

impl EqualWidth {
    /// As many bins as H. A. Sturges' rule asks for `size` values between `low` and `high`, `ceil(log2(size) + 1)`, up to the
    /// rounding of numpy's `histogram_bin_edges(bins = "sturges")`, which divides the range by the width and rounds up. One
    /// bin of width 1 if `low` = `high`. `None` for an empty or infinite range, or no values.
    #[must_use]
    pub fn sturges(size: usize, low: f64, high: f64) -> Option<Self> {
        let range = high - low;
        if size == 0 || !range.is_finite() || range < 0.0 {
            return None;
        }
        if range == 0.0 {
            return Some(Self { edges: vec![low - 0.5, low + 0.5] });
        }
        let width = range / (libm::log2(size as f64) + 1.0);
        let bins = if width > 0.0 { (range / width).ceil() } else { 1.0 };
        let step = range / bins;
        let mut edges: Vec<f64> = (0..=bins as usize).map(|i| i as f64 * step + low).collect();
        *edges.last_mut()? = high;
        Some(Self { edges })
    }

    /// How many bins there are.
    #[must_use]
    pub fn bins(&self) -> usize {
        self.edges.len() - 1
    }

    /// The counts of values by bin. Values outside of the range, and NaN, are in none.
    #[must_use]
    pub fn count(&self, values: &[f64]) -> Vec<u32> {
        let bins = self.bins();
        let (low, high) = (self.edges[0], self.edges[bins]);
        let scale = bins as f64 / (high - low);
        // How far rounding may move a value or an edge, in bins: only so near to one must the edges themselves decide.
        let slack = 8.0 * f64::EPSILON * (low.abs().max(high.abs()) * scale + bins as f64);
        // Neighbours are counted apart: one counter after another, if they were in one bin, would wait for the one before.
        let mut lanes = [const { [0_u32; LANE_BINS] }; 4];
        let mut counts = vec![0; bins];
        let mut exactly = |x: f64| {
            if (low..=high).contains(&x) {
                counts[self.edges[1..bins].partition_point(|&edge| edge <= x)] += 1;
            }
        };
        let (fours, rest) = values.as_chunks::<4>();
        for four in fours {
            for (&x, lane) in four.iter().zip(&mut lanes) {
                let middle = (x - low) * scale - 0.5;
                let rounded = middle + ROUNDS;
                let bin = rounded.to_bits().wrapping_sub(ROUNDS.to_bits()) as usize;
                match lane.get_mut(bin) {
                    Some(count) if bin < bins && (middle - (rounded - ROUNDS)).abs() < 0.5 - slack => *count += 1,
                    _ => exactly(x),
                }
            }
        }
        rest.iter().for_each(|&x| exactly(x));
        for lane in lanes {
            counts.iter_mut().zip(lane).for_each(|(count, more)| *count += more);
        }
        counts
    }
}

/// Counters of a lane; Sturges' rule asks for more bins only beyond 2^63 values, and those are counted by their edges.
const LANE_BINS: usize = 64;
/// 1.5 * 2^52: a double near it has no fraction, so that adding it rounds, and the integer is in its lowest bits.
const ROUNDS: f64 = 6_755_399_441_055_744.0;

/// Whether a sample has more than `most` distinct values. Stops as soon as it does; `most` should be small.
#[must_use]
pub fn more_distinct_than(values: &[f64], most: usize) -> bool {
    let mut seen: Vec<f64> = Vec::with_capacity(most + 1);
    for x in values {
        if let Err(place) = seen.binary_search_by(|y| y.partial_cmp(x).unwrap_or(Ordering::Equal)) {
            if seen.len() == most {
                return true;
            }
            seen.insert(place, *x);
        }
    }
    false
}

/// How often each distinct value of the pooled samples occurs in each, by ascending value; the samples are sorted in ascending
/// order and have no NaN.
#[must_use]
pub fn categories(a: &[f64], b: &[f64]) -> (Vec<u32>, Vec<u32>) {
    let (mut i, mut j) = (0, 0);
    let (mut of_a, mut of_b) = (Vec::new(), Vec::new());
    loop {
        let value = match (a.get(i), b.get(j)) {
            (Some(&x), Some(&y)) if y < x => y,
            (Some(&x), _) => x,
            (None, Some(&y)) => y,
            (None, None) => return (of_a, of_b),
        };
        let (n, m) = (run(&a[i..], value), run(&b[j..], value));
        of_a.push(n as u32);
        of_b.push(m as u32);
        // At least one step, so that NaN ends too.
        i += n;
        j += m;
        if n + m == 0 {
            return (of_a, of_b);
        }
    }
}

fn run(values: &[f64], value: f64) -> usize {
    values.iter().take_while(|&&x| x == value).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_value_is_in_the_bin_whose_edges_hold_it(values in prop::collection::vec(-5.0_f64..5.0, 2..300)) {
            let (low, high) = values.iter().fold((9.0_f64, -9.0_f64), |(l, h), &x| (l.min(x), h.max(x)));
            let bins = EqualWidth::sturges(values.len(), low, high).unwrap();
            for (bin, count) in bins.count(&values).into_iter().enumerate() {
                let (from, to) = (bins.edges[bin], bins.edges[bin + 1]);
                let inside = |x: &&f64| **x >= from && (**x < to || (bin + 1 == bins.bins() && **x <= to));
                prop_assert_eq!(count as usize, values.iter().filter(inside).count());
            }
        }

        #[test]
        fn categories_count_every_value(mut a in prop::collection::vec(0_u8..6, 0..20), mut b in prop::collection::vec(0_u8..6, 0..20)) {
            a.sort_unstable();
            b.sort_unstable();
            let float = |v: &[u8]| v.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
            let (of_a, of_b) = categories(&float(&a), &float(&b));
            let mut distinct = [a.clone(), b.clone()].concat();
            distinct.sort_unstable();
            distinct.dedup();
            let count = |v: &[u8]| distinct.iter().map(|x| v.iter().filter(|y| *y == x).count() as u32).collect::<Vec<_>>();
            prop_assert_eq!((of_a, of_b), (count(&a), count(&b)));
            for most in 0..8 {
                a.dedup();
                prop_assert_eq!(more_distinct_than(&float(&a), most), a.len() > most);
            }
        }
    }

    #[test]
    fn sturges_asks_for_numpys_number_of_bins() {
        // numpy 2.1: len(np.histogram_bin_edges(np.linspace(0, 1, n), "sturges")) - 1.
        for (n, bins) in [(1, 1), (2, 2), (7, 4), (8, 4), (9, 5), (110, 8), (7000, 14), (1 << 20, 21)] {
            assert_eq!(EqualWidth::sturges(n, 0.0, 1.0).unwrap().bins(), bins, "{n}");
        }
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        assert_eq!(EqualWidth::sturges(0, 0.0, 1.0), None);
        assert_eq!(EqualWidth::sturges(3, 1.0, 0.0), None);
        assert_eq!(EqualWidth::sturges(3, f64::NEG_INFINITY, 0.0), None);
        assert_eq!(EqualWidth::sturges(3, f64::NAN, 0.0), None);
        let one = EqualWidth::sturges(3, 2.0, 2.0).unwrap();
        assert_eq!(one.count(&[2.0, 2.0, f64::NAN, 9.0]), [2]);
        assert_eq!(categories(&[f64::NAN], &[]).0.len(), 1);
    }
}
