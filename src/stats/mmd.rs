//! Owns the maximum mean discrepancy between two sets of points with a Gaussian kernel, and its permutation test.
//!
//! Source: A. Gretton, K. Borgwardt, M. Rasch, B. Schölkopf and A. Smola, "A Kernel Two-Sample Test", Journal of Machine
//! Learning Research 13 (2012) 723-773. The kernel is `exp(-|x - y|^2 / (2 h^2))`. All pairs are written down: memory is
//! `8 (n + m)^2` bytes, time grows likewise, and each permutation costs the square of the smaller sample.

/// Kernel values of all pairs of the pooled points, the first sample first.
#[derive(Clone, Debug, PartialEq)]
pub struct Gram {
    /// Row by row.
    values: Vec<f64>,
    n: usize,
    m: usize,
}

/// The squared discrepancy, estimated in two ways.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Discrepancy {
    /// The U-statistic (lemma 6): right on average, so about 0 and as often negative without a difference. NaN below two
    /// points in either sample.
    pub unbiased: f64,
    /// The V-statistic (eq. 5): the squared distance between the mean embeddings of the two samples, never negative, above 0
    /// on average even without a difference.
    pub biased: f64,
}

/// What permuting the labels of the points gives.
#[derive(Clone, Debug, PartialEq)]
pub struct Permutation {
    /// The p-value: the share of labellings whose unbiased statistic is at least the observed one; all of them, or `(1 + c) /
    /// (1 + B)` of `B` drawn ones (B. Phipson and G. Smyth, Statistical Applications in Genetics and Molecular Biology 9
    /// (2010)), which is never 0.
    pub p: f64,
    /// Whether all labellings were taken.
    pub exhaustive: bool,
    /// The statistics of the labellings, ascending.
    pub statistics: Vec<f64>,
}

/// The squared Euclidean distances of all pairs of `points`, each of one length, row by row.
#[must_use]
pub fn squared_distances(points: &[Vec<f64>]) -> Vec<f64> {
    let all = points.len();
    let mut squared = vec![0.0; all * all];
    for i in 0..all {
        for j in 0..i {
            let sum: f64 = points[i].iter().zip(&points[j]).map(|(x, y)| (x - y) * (x - y)).sum();
            squared[i * all + j] = sum;
            squared[j * all + i] = sum;
        }
    }
    squared
}

/// The median distance between different points of the pooled sample: the usual bandwidth (Gretton et al., sec. 8), which has
/// no free parameter and moves with the unit. `None` for fewer than two points.
#[must_use]
pub fn median_distance(squared: &[f64]) -> Option<f64> {
    let all = squared.len().isqrt();
    let mut below: Vec<f64> = (1..all).flat_map(|i| squared[i * all..i * all + i].iter().copied()).collect();
    let middle = below.len() / 2;
    if below.is_empty() {
        return None;
    }
    let (smaller, upper, _) = below.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = upper.sqrt();
    if (all * (all - 1) / 2) % 2 == 1 {
        return Some(upper);
    }
    let lower = smaller.iter().copied().max_by(f64::total_cmp)?.sqrt();
    Some((lower + upper) / 2.0)
}

impl Gram {
    /// Kernel values for the first `n` points against the others, with the bandwidth `h` in the unit of distances. `None`
    /// unless both samples have points and `h > 0`.
    #[must_use]
    pub fn new(squared: &[f64], n: usize, bandwidth: f64) -> Option<Self> {
        let all = squared.len().isqrt();
        let m = all.checked_sub(n).filter(|&m| m > 0 && n > 0 && all * all == squared.len())?;
        let gamma = 1.0 / (2.0 * bandwidth * bandwidth);
        if !(bandwidth > 0.0 && gamma > 0.0) {
            return None;
        }
        // An infinite gamma makes 0 * infinity of equal points.
        let kernel = |&d: &f64| if d == 0.0 { 1.0 } else { libm::exp(-gamma * d) };
        Some(Self { values: squared.iter().map(kernel).collect(), n, m })
    }

    /// The discrepancy of the samples as they are.
    #[must_use]
    pub fn discrepancy(&self) -> Discrepancy {
        self.of(&self.smaller(), &self.sums())
    }

    /// The permutation test of the unbiased statistic. All labellings are taken if there are at most `draws`, else that many
    /// are drawn; `below(k)` must give an index below `k`, a larger one is taken modulo `k`. `None` below two points in either
    /// sample or without draws.
    #[must_use]
    pub fn permute(&self, draws: usize, mut below: impl FnMut(usize) -> usize) -> Option<Permutation> {
        let (all, size) = (self.n + self.m, self.n.min(self.m));
        if size < 2 || draws == 0 {
            return None;
        }
        let sums = self.sums();
        let observed = self.discrepancy().unbiased;
        let exhaustive = choose_at_most(all, size, draws);
        let mut statistics = Vec::with_capacity(draws);
        if exhaustive {
            let mut chosen: Vec<usize> = (0..size).collect();
            loop {
                statistics.push(self.of(&chosen, &sums).unbiased);
                if !next_combination(&mut chosen, all) {
                    break;
                }
            }
        } else {
            let mut order: Vec<usize> = (0..all).collect();
            for _ in 0..draws {
                for i in 0..size {
                    order.swap(i, i + below(all - i) % (all - i));
                }
                statistics.push(self.of(&order[..size], &sums).unbiased);
            }
        }
        statistics.sort_by(f64::total_cmp);
        // Sums of kernel values, at most 1 each, in another order: the last digits of equal ones differ.
        let far = statistics.len() - statistics.partition_point(|&s| s < observed - 1e-13);
        let (far, tried) = if exhaustive { (far, statistics.len()) } else { (far + 1, draws + 1) };
        Some(Permutation { p: far as f64 / tried as f64, exhaustive, statistics })
    }

    /// The points of the smaller sample: the other's sums follow from them.
    fn smaller(&self) -> Vec<usize> {
        if self.n <= self.m { (0..self.n).collect() } else { (self.n..self.n + self.m).collect() }
    }

    /// The sum of each row.
    fn sums(&self) -> Vec<f64> {
        self.values.chunks(self.n + self.m).map(|row| row.iter().sum()).collect()
    }

    /// The discrepancy with the points of `chosen`, as many as the smaller sample has, against the others.
    fn of(&self, chosen: &[usize], sums: &[f64]) -> Discrepancy {
        let all = self.n + self.m;
        let (mut within, mut rows) = (0.0, 0.0);
        for &i in chosen {
            let row = &self.values[i * all..(i + 1) * all];
            rows += sums[i];
            within += chosen.iter().map(|&j| row[j]).sum::<f64>();
        }
        let (n, m) = (self.n.min(self.m) as f64, self.n.max(self.m) as f64);
        let across = rows - within;
        let other = sums.iter().sum::<f64>() - rows - across;
        let mean = 2.0 * across / (n * m);
        Discrepancy {
            unbiased: (within - n) / (n * (n - 1.0)) + (other - m) / (m * (m - 1.0)) - mean,
            biased: within / (n * n) + other / (m * m) - mean,
        }
    }
}

/// Whether `C(n, k) <= limit`.
fn choose_at_most(n: usize, k: usize, limit: usize) -> bool {
    let mut ways = 1_u128;
    for i in 0..k.min(n - k) {
        // Exact: after each step it is a binomial coefficient.
        ways = ways * (n - i) as u128 / (i + 1) as u128;
        if ways > limit as u128 {
            return false;
        }
    }
    true
}

/// The next choice of ascending indices below `n` in dictionary order; false after the last.
fn next_combination(chosen: &mut [usize], n: usize) -> bool {
    let k = chosen.len();
    let Some(place) = (0..k).rev().find(|&i| chosen[i] < n - k + i) else { return false };
    chosen[place] += 1;
    for i in place + 1..k {
        chosen[i] = chosen[i - 1] + 1;
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn points() -> impl Strategy<Value = Vec<Vec<f64>>> {
        prop::collection::vec(prop::collection::vec(-2.0_f64..2.0, 2), 2..8)
    }

    fn by_definition(a: &[Vec<f64>], b: &[Vec<f64>], h: f64) -> (f64, f64) {
        let k = |x: &Vec<f64>, y: &Vec<f64>| {
            libm::exp(-x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum::<f64>() / (2.0 * h * h))
        };
        let mean = |x: &[Vec<f64>], y: &[Vec<f64>], skip: bool| {
            let pairs = x.iter().enumerate().flat_map(|(i, p)| y.iter().enumerate().map(move |(j, q)| (i, p, j, q)));
            let kept: Vec<f64> = pairs.filter(|(i, _, j, _)| !(skip && i == j)).map(|(_, p, _, q)| k(p, q)).collect();
            kept.iter().sum::<f64>() / kept.len() as f64
        };
        let across = 2.0 * mean(a, b, false);
        (mean(a, a, true) + mean(b, b, true) - across, mean(a, a, false) + mean(b, b, false) - across)
    }

    proptest! {
        #[test]
        fn both_estimates_are_what_the_definitions_say(a in points(), b in points(), h in 0.2_f64..3.0) {
            let squared = squared_distances(&[a.clone(), b.clone()].concat());
            let got = Gram::new(&squared, a.len(), h).unwrap().discrepancy();
            let (unbiased, biased) = by_definition(&a, &b, h);
            prop_assert!((got.unbiased - unbiased).abs() < 1e-12 && (got.biased - biased).abs() < 1e-12);
        }

        #[test]
        fn the_median_is_that_of_all_pairs(points in points()) {
            let mut all: Vec<f64> = squared_distances(&points).iter().map(|d| d.sqrt()).collect();
            let n = points.len();
            all = (0..n).flat_map(|i| (0..i).map(move |j| i * n + j)).map(|at| all[at]).collect();
            all.sort_by(f64::total_cmp);
            let half = all.len() / 2;
            let median = if all.len() % 2 == 1 { all[half] } else { (all[half - 1] + all[half]) / 2.0 };
            prop_assert_eq!(median_distance(&squared_distances(&points)), Some(median));
        }
    }

    #[test]
    fn few_labellings_are_all_taken_and_many_are_drawn() {
        let points: Vec<Vec<f64>> = [0.0, 0.1, 0.2, 5.0, 5.1, 5.2].iter().map(|&x| vec![x]).collect();
        let gram = Gram::new(&squared_distances(&points), 3, 1.0).unwrap();
        let all = gram.permute(20, |_| unreachable!("nothing is drawn")).unwrap();
        // The labelling as it is and its mirror image are the two that part the samples.
        assert!(all.exhaustive && all.statistics.len() == 20 && all.p == 0.1);
        let mut next = 0;
        let drawn = gram
            .permute(19, |k| {
                next = (next * 5 + 3) % 64;
                next % k
            })
            .unwrap();
        assert!(!drawn.exhaustive && drawn.statistics.len() == 19 && drawn.p >= 0.05);
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        let one = squared_distances(&[vec![1.0], vec![2.0]]);
        assert_eq!((Gram::new(&one, 0, 1.0), Gram::new(&one, 2, 1.0), Gram::new(&one, 1, 0.0)), (None, None, None));
        assert_eq!((Gram::new(&one, 1, f64::NAN), Gram::new(&[], 0, 1.0), median_distance(&[0.0])), (None, None, None));
        let gram = Gram::new(&one, 1, 1.0).unwrap();
        assert!(gram.discrepancy().unbiased.is_nan() && gram.discrepancy().biased > 0.0);
        assert_eq!(gram.permute(99, |_| 0), None);
        let equal = squared_distances(&vec![vec![3.0]; 6]);
        let gram = Gram::new(&equal, 3, 1e-200).unwrap();
        assert_eq!((gram.discrepancy().unbiased, gram.permute(99, |_| 0).unwrap().p), (0.0, 1.0));
    }
}
