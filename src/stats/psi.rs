//! Owns the population stability index: bins from a reference, counts that add up over scrapes, and an honest threshold.
//!
//! Bins are the unique type-7 quantiles `1/k … (k-1)/k` of the reference, closed on the right; so tied data give fewer bins
//! than asked for. Where the first of them is the least value of the reference, what is below it is counted apart ([`apart`]): among
//! a hundred zeros a sentinel of -1 is a change. Shares of empty bins are replaced by `eps` and not renormalised. Under no drift
//! PSI is about `(1/n + 1/m)` times a chi-squared variate with `bins - 1` degrees of freedom (B. Yurdakul, "Statistical Properties of
//! Population Stability Index", 2018), which [`threshold`] uses; the customary 0.1 and 0.2 ignore the sample size and fire
//! on nearly every healthy window of a few dozen rows.

use super::quantile::{has_nan_end, quantile_sorted, quantiles_unsorted};
use super::special;

/// The number of bins in customary use.
pub const BINS: usize = 10;
/// The share that stands in for an empty bin, unless declared.
pub const EPS: f64 = 1e-4;
/// Up to this many edges a pass for each edge is faster than a search for each value.
const FEW: usize = 16;
/// Values that stay in the first-level cache while the edges pass over them.
const BLOCK: usize = 1024;

/// So many values below all of a reference are no accident: without a change the chance that of five equal values all are among
/// the m of the window and none among the n of the reference is below (m / (n + m))^5. Fewer would upset a test of counts.
const BELOW: u32 = 5;

/// Gives those of the window that are `below` all of the reference a bin of their own in front of the first, which is closed on the
/// right only and would hide them among equal values of the reference. With fewer than five, counts stay as they are.
pub fn apart(reference: &mut Vec<u32>, window: &mut Vec<u32>, below: u32) {
    if let Some(first) = window.first_mut().filter(|_| below >= BELOW) {
        *first -= below;
        window.insert(0, below);
        reference.insert(0, 0);
    }
}

/// The inner bin edges of a reference, ascending and distinct; one bin more than edges.
#[derive(Clone, Debug, PartialEq)]
pub struct Edges {
    exact: Vec<f64>,
    /// The largest `f32` not above each edge: for any `f32`, `x > edge` exactly when `x > floor`.
    floors: Vec<f32>,
}

impl Edges {
    /// The edges of at most `bins` bins from a reference sorted in ascending order. `None` if it is empty, has NaN at an end,
    /// an infinite quantile, or `bins < 2`.
    #[must_use]
    pub fn from_sorted<T: Copy + Into<f64>>(reference: &[T], bins: usize) -> Option<Self> {
        if bins < 2 || reference.is_empty() || has_nan_end(reference) {
            return None;
        }
        let mut exact = Vec::with_capacity(bins - 1);
        for i in 1..bins {
            exact.push(quantile_sorted(reference, i as f64 / bins as f64).filter(|edge| edge.is_finite())?);
        }
        exact.dedup();
        let floors = exact.iter().map(|&edge| floor_to_f32(edge)).collect();
        Some(Self { exact, floors })
    }

    /// The same of a reference in any order, with its own counts: only the order statistics that the edges need are found.
    #[must_use]
    pub fn of(reference: &[f64], bins: usize) -> Option<(Self, Vec<u32>)> {
        if bins < 2 {
            return None;
        }
        let shares: Vec<f64> = (1..bins).map(|i| i as f64 / bins as f64).collect();
        let mut found = quantiles_unsorted(reference, &shares)?;
        found.dedup_by_key(|(edge, _)| *edge);
        let mut counts = Vec::with_capacity(bins);
        let mut below = 0;
        for &(_, through) in &found {
            counts.push((through - below) as u32);
            below = through;
        }
        counts.push((reference.len() - below) as u32);
        let exact: Vec<f64> = found.into_iter().map(|(edge, _)| edge).collect();
        let floors = exact.iter().map(|&edge| floor_to_f32(edge)).collect();
        Some((Self { exact, floors }, counts))
    }

    /// The first edge, if no value of the reference is below it: then the first bin is one value of the reference, and what is
    /// below that value is nothing that the reference has ([`apart`]).
    #[must_use]
    pub fn lowest(&self, mut reference_below: impl FnMut(f64) -> bool) -> Option<f64> {
        self.exact.first().copied().filter(|&edge| !reference_below(edge))
    }

    /// The edges.
    #[must_use]
    pub fn edges(&self) -> &[f64] {
        &self.exact
    }

    /// How many bins, hence counts, there are.
    #[must_use]
    pub fn bins(&self) -> usize {
        self.exact.len() + 1
    }

    /// The bin of one value: how many edges are strictly below it; `None` for NaN.
    #[must_use]
    pub fn bin(&self, value: f64) -> Option<usize> {
        (!value.is_nan()).then(|| self.exact.partition_point(|&edge| value > edge))
    }

    /// The counts of values by bin, NaN left out. Without a branch for up to 16 edges.
    #[must_use]
    pub fn count(&self, values: &[f64]) -> Vec<u32> {
        if self.exact.len() > FEW {
            let mut counts = vec![0; self.bins()];
            values.iter().filter_map(|&x| self.bin(x)).for_each(|bin| counts[bin] += 1);
            return counts;
        }
        // How many values are above each edge, and first how many there are: NaN is above no edge.
        let mut above = vec![0_u64; self.exact.len() + 1];
        for block in values.chunks(BLOCK) {
            above[0] += block.iter().map(|&x| u64::from(!x.is_nan())).sum::<u64>();
            // Three edges a pass: doubles are compared two at a time, and loading them would be a third of the work.
            for (edges, above) in self.exact.chunks(3).zip(above[1..].chunks_mut(3)) {
                let edge = |i: usize| edges.get(i).copied().unwrap_or(f64::INFINITY);
                let (first, second, third) = (edge(0), edge(1), edge(2));
                let mut sums = [0_u64; 3];
                for &x in block {
                    sums[0] += u64::from(x > first);
                    sums[1] += u64::from(x > second);
                    sums[2] += u64::from(x > third);
                }
                above.iter_mut().zip(sums).for_each(|(above, sum)| *above += sum);
            }
        }
        above.push(0);
        above.windows(2).map(|pair| (pair[0] - pair[1]) as u32).collect()
    }

    /// Adds the values to `counts`; returns how many were NaN and left out. Without a branch for up to 16 edges.
    ///
    /// # Panics
    ///
    /// If `counts` has another length than [`Edges::bins`].
    pub fn count_into(&self, values: &[f32], counts: &mut [u32]) -> u32 {
        assert_eq!(counts.len(), self.bins(), "counts belong to other edges");
        let mut left_out = 0;
        if self.floors.len() > FEW {
            for &value in values {
                match self.bin(f64::from(value)) {
                    Some(bin) => counts[bin] += 1,
                    None => left_out += 1,
                }
            }
            return left_out;
        }
        for block in values.chunks(BLOCK) {
            // NaN is above no edge and not equal to itself.
            let mut above = count(block, |x| !x.is_nan());
            left_out += block.len() as u32 - above;
            for (&edge, bin) in self.floors.iter().zip(counts.iter_mut()) {
                let next = count(block, |x| x > edge);
                *bin += above - next;
                above = next;
            }
            counts[self.floors.len()] += above;
        }
        left_out
    }
}

#[inline]
fn count(block: &[f32], test: impl Fn(f32) -> bool) -> u32 {
    block.iter().map(|&x| u32::from(test(x))).sum()
}

fn floor_to_f32(edge: f64) -> f32 {
    let near = edge as f32;
    if f64::from(near) > edge { near.next_down() } else { near }
}

/// The index, `sum (q - p) ln(q/p)` over the shares p of the reference and q of the window, natural logarithm.
///
/// `None` if the slices differ in length or are empty, if either has no rows, or unless `0 < eps < 1`.
#[must_use]
pub fn psi(reference: &[u32], window: &[u32], eps: f64) -> Option<f64> {
    let total = |counts: &[u32]| counts.iter().map(|&count| u64::from(count)).sum::<u64>();
    let (n, m) = (total(reference), total(window));
    if reference.len() != window.len() || n == 0 || m == 0 || !(eps > 0.0 && eps < 1.0) {
        return None;
    }
    let share = |count: u32, total: u64| if count == 0 { eps } else { f64::from(count) / total as f64 };
    let terms = reference.iter().zip(window).map(|(&r, &w)| {
        let (p, q) = (share(r, n), share(w, m));
        (q - p) * libm::log(q / p)
    });
    Some(terms.sum())
}

/// The value that PSI exceeds with probability about `alpha` when nothing has changed: `(1/n + 1/m)` times the upper `alpha`
/// quantile of chi-squared with `bins - 1` degrees of freedom, for `n` reference and `m` window rows. Good where no bin is
/// empty; one that is counts as `eps` says: with 1e-4 and five expected rows a bin an `alpha` of 1 % becomes 19 %. `None` for
/// no rows, `bins < 2`, or unless `0 < alpha < 1`.
#[must_use]
pub fn threshold(n: u64, m: u64, bins: usize, alpha: f64) -> Option<f64> {
    if n == 0 || m == 0 || bins < 2 || !(alpha > 0.0 && alpha < 1.0) {
        return None;
    }
    let quantile = special::chi_squared_upper(alpha, (bins - 1) as f64)?;
    Some((1.0 / n as f64 + 1.0 / m as f64) * quantile)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn both_ways_of_counting_agree(values in prop::collection::vec(any::<f32>(), 0..3000), bins in 2_usize..30) {
            let mut sorted: Vec<f32> = values.iter().copied().filter(|x| x.is_finite()).collect();
            sorted.sort_by(f32::total_cmp);
            if let Some(edges) = Edges::from_sorted(&sorted, bins) {
                let (mut fast, mut plain) = (vec![0; edges.bins()], vec![0; edges.bins()]);
                let left_out = edges.count_into(&values, &mut fast);
                values.iter().filter_map(|&x| edges.bin(f64::from(x))).for_each(|bin| plain[bin] += 1);
                prop_assert_eq!(&fast, &plain);
                prop_assert_eq!(left_out as usize, values.iter().filter(|x| x.is_nan()).count());
                let double: Vec<f64> = values.iter().map(|&x| f64::from(x)).collect();
                prop_assert_eq!(edges.count(&double), plain);
                let finite: Vec<f64> = double.into_iter().filter(|x| x.is_finite()).collect();
                let counts = edges.count(&finite);
                prop_assert_eq!(Edges::of(&finite, bins), Some((edges, counts)));
            }
        }
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        assert_eq!(Edges::from_sorted::<f32>(&[], 10), None);
        assert_eq!(Edges::from_sorted(&[1.0_f32], 1), None);
        assert_eq!(Edges::from_sorted(&[1.0, f32::NAN], 10), None);
        assert_eq!(Edges::from_sorted(&[1.0, f64::INFINITY], 10), None);
        assert_eq!(Edges::from_sorted(&[5.0_f32; 8], 10).unwrap().edges(), [5.0]);
        assert_eq!(psi(&[], &[], EPS), None);
        assert_eq!(psi(&[1, 2], &[1], EPS), None);
        assert_eq!(psi(&[1, 2], &[0, 0], EPS), None);
        assert_eq!(psi(&[1, 2], &[1, 2], 0.0), None);
        assert_eq!(psi(&[1, 2], &[1, 2], EPS), Some(0.0));
        assert_eq!(threshold(100, 100, 1, 0.05), None);
        assert_eq!(threshold(0, 100, 10, 0.05), None);
    }

    #[test]
    fn the_threshold_is_the_known_quantile() {
        // chi-squared, 9 degrees of freedom, upper 5 %: 16.918977604620448 (scipy.stats.chi2.ppf).
        let threshold = threshold(200, 200, 10, 0.05).unwrap();
        assert!((threshold / (0.01 * 16.918_977_604_620_448) - 1.0).abs() < 1e-12);
    }
}
