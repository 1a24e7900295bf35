//! Owns tests of paired results, such as two policies on the same seeds: signed ranks, sign flips, McNemar.
//!
//! Student's t for the mean difference is [`super::summary::Summary::t_test`], intervals are in [`super::bootstrap`]. All
//! p-values are two-sided.

use super::{normal, special};

/// What becomes of pairs without a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zeros {
    /// Left out before ranking, as F. Wilcoxon did (Biometrics Bulletin 1 (1945) 80-83).
    Dropped,
    /// Ranked with the others, lowest, then left out: J. W. Pratt, JASA 54 (1959) 655-667. The better choice where the same
    /// random numbers make many pairs equal: those weaken the evidence instead of vanishing.
    Ranked,
}

/// Above so many differences [`SignedRank::p_exact`] gives nothing; the normal p is right to four digits long before.
pub const EXACT_RANKS_MAX: usize = 500;
/// Above so many non-zero differences [`sign_flip`] gives nothing: half of them have 2^20 sums.
pub const FLIPS_MAX: usize = 40;

/// Wilcoxon's signed ranks of differences, equal sizes sharing their mean rank.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedRank {
    /// Twice the ranks, which makes shared ones integers.
    ranks: Vec<u64>,
    /// Twice the sum of the ranks of positive differences.
    plus: u64,
    /// Twice the sum of all.
    all: u64,
}

impl SignedRank {
    /// Ranks the differences by size. `None` if none is other than zero, or one is not finite.
    #[must_use]
    pub fn of(differences: &[f64], zeros: Zeros) -> Option<Self> {
        if differences.iter().any(|d| !d.is_finite()) {
            return None;
        }
        let mut sorted = differences.to_vec();
        sorted.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
        let zero = sorted.partition_point(|d| *d == 0.0);
        let nonzero = &sorted[zero..];
        let mut below = if zeros == Zeros::Ranked { zero as u64 } else { 0 };
        let (mut ranks, mut plus) = (Vec::with_capacity(nonzero.len()), 0);
        for ties in nonzero.chunk_by(|a, b| a.abs() == b.abs()) {
            let tied = ties.len() as u64;
            let rank = 2 * below + tied + 1;
            ranks.extend(ties.iter().map(|_| rank));
            plus += rank * ties.iter().filter(|d| **d > 0.0).count() as u64;
            below += tied;
        }
        let all = ranks.iter().sum();
        (!ranks.is_empty()).then_some(Self { ranks, plus, all })
    }

    /// The smaller of the two rank sums, of positive and of negative differences: the usual W.
    #[must_use]
    pub fn statistic(&self) -> f64 {
        self.smaller() as f64 / 2.0
    }

    /// The p-value by the normal approximation, without continuity correction. Mean and variance are those of the ranks there
    /// are, which is the correction for ties (and, for ranked zeros, E. E. Cureton's, JASA 62 (1967) 1068-1069).
    #[must_use]
    pub fn p_normal(&self) -> f64 {
        let squares: u128 = self.ranks.iter().map(|&r| u128::from(r) * u128::from(r)).sum();
        let excess = self.all - 2 * self.smaller();
        2.0 * normal::sf(excess as f64 / (squares as f64).sqrt())
    }

    /// The p-value over all ways to give the ranks signs, ties as they are; equals the tabled one without ties. `None` above
    /// [`EXACT_RANKS_MAX`] ranks.
    #[must_use]
    pub fn p_exact(&self) -> Option<f64> {
        if self.ranks.len() > EXACT_RANKS_MAX {
            return None;
        }
        // The chance of each sum of positive ranks up to the smaller one seen.
        let mut chance = vec![0.0; self.smaller() as usize + 1];
        chance[0] = 1.0;
        for &rank in &self.ranks {
            for sum in (0..chance.len()).rev() {
                let without = sum.checked_sub(rank as usize).map_or(0.0, |lower| chance[lower]);
                chance[sum] = 0.5 * (chance[sum] + without);
            }
        }
        Some((2.0 * chance.iter().sum::<f64>()).min(1.0))
    }

    fn smaller(&self) -> u64 {
        self.plus.min(self.all - self.plus)
    }
}

/// The exact p-value of the mean difference over all 2^n ways to flip signs (R. A. Fisher, The Design of Experiments, 1935,
/// section 21): the share of them whose sum is at least as far from zero, sums that differ by rounding being equal. 1 if all
/// differences are zero. `None` without differences, above [`FLIPS_MAX`] non-zero ones, or if one or their sum is not finite.
#[must_use]
pub fn sign_flip(differences: &[f64]) -> Option<f64> {
    let sizes: Vec<f64> = differences.iter().map(|d| d.abs()).filter(|d| *d != 0.0).collect();
    let widest: f64 = sizes.iter().sum();
    if differences.is_empty() || sizes.len() > FLIPS_MAX || !widest.is_finite() {
        return None;
    }
    let seen = differences.iter().sum::<f64>().abs() - 1e-12 * widest;
    if seen <= 0.0 {
        return Some(1.0);
    }
    // Sums of one half, ascending, against those of the other, descending: the partners that reach far enough only grow.
    let (one, other) = sizes.split_at(sizes.len() / 2);
    let (one, other) = (flipped_sums(one), flipped_sums(other));
    let (mut partners, mut far) = (0, 0_u64);
    for sum in one {
        while partners < other.len() && sum + other[other.len() - 1 - partners] >= seen {
            partners += 1;
        }
        far += partners as u64;
    }
    // As many lie below as above.
    Some(2.0 * far as f64 / (1_u64 << sizes.len()) as f64)
}

/// All sums of `sizes` with either sign, ascending.
fn flipped_sums(sizes: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0];
    for &size in sizes {
        sums = sums.iter().flat_map(|sum| [sum - size, sum + size]).collect();
    }
    sums.sort_by(f64::total_cmp);
    sums
}

/// The exact p-value that two yes-or-no results of the same cases have one chance: Q. McNemar (Psychometrika 12 (1947)
/// 153-157) asks only the cases in which they differ, `only_first` and `only_second` of them, and those by the binomial
/// distribution. 1 without such a case.
#[must_use]
pub fn mcnemar_exact(only_first: u64, only_second: u64) -> f64 {
    let fewer = only_first.min(only_second);
    let more = only_first.max(only_second);
    // P(X <= fewer) of Binomial(n, 1/2) is I_{1/2}(n - fewer, fewer + 1).
    special::beta_inc(more as f64, fewer as f64 + 1.0, 0.5).map_or(1.0, |below| (2.0 * below).min(1.0))
}

/// A chi-squared statistic with one degree of freedom, and its p-value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct McNemar {
    /// The statistic.
    pub chi_squared: f64,
    /// Its p-value.
    pub p: f64,
}

/// McNemar's chi-squared with A. L. Edwards' continuity correction (Psychometrika 13 (1948) 185-187), `(|b - c| - 1)^2 / (b + c)`;
/// for large counts, [`mcnemar_exact`] for small ones. As printed: for equal counts it is `1 / (b + c)`, not zero. `None`
/// without a case in which the results differ.
#[must_use]
pub fn mcnemar_chi_squared(only_first: u64, only_second: u64) -> Option<McNemar> {
    let differ = only_first as f64 + only_second as f64;
    if differ == 0.0 {
        return None;
    }
    let excess = only_first.abs_diff(only_second) as f64 - 1.0;
    let chi_squared = excess * excess / differ;
    Some(McNemar { chi_squared, p: special::chi_squared_sf(chi_squared, 1.0)? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// With all ways written out: every subset of the differences flipped.
        #[test]
        fn exact_p_values_are_shares_of_all_ways(
            small in prop::collection::vec(-4_i8..=4, 1..11), zeros in prop::bool::ANY,
        ) {
            let differences: Vec<f64> = small.iter().map(|&d| f64::from(d) / 10.0).collect();
            let zeros = if zeros { Zeros::Dropped } else { Zeros::Ranked };
            let ways = (0..1_u32 << differences.len()).map(|way| {
                let flip = |(i, d): (usize, &f64)| if way >> i & 1 == 1 { -d } else { *d };
                differences.iter().enumerate().map(flip).collect::<Vec<f64>>()
            });
            let share = |far: &dyn Fn(&[f64]) -> bool| {
                ways.clone().filter(|way| far(way)).count() as f64 / (1_u32 << differences.len()) as f64
            };
            let sum = |d: &[f64]| d.iter().sum::<f64>().abs();
            let flipped = share(&|way| sum(way) > sum(&differences) - 1e-9);
            prop_assert!((sign_flip(&differences).unwrap() - flipped).abs() < 1e-12);
            if let Some(ranks) = SignedRank::of(&differences, zeros) {
                let ranked = share(&|way| SignedRank::of(way, zeros).unwrap().statistic() <= ranks.statistic());
                prop_assert!((ranks.p_exact().unwrap() - ranked).abs() < 1e-12);
            } else {
                prop_assert!(small.iter().all(|d| *d == 0));
            }
        }

        #[test]
        fn turning_all_signs_changes_nothing(differences in prop::collection::vec(-100.0..100.0, 1..30)) {
            let turned: Vec<f64> = differences.iter().map(|d: &f64| -d).collect();
            let (one, other) = (SignedRank::of(&differences, Zeros::Ranked), SignedRank::of(&turned, Zeros::Ranked));
            prop_assert_eq!(one.as_ref().map(SignedRank::p_exact), other.as_ref().map(SignedRank::p_exact));
            prop_assert_eq!(one.map(|r| r.p_normal()), other.map(|r| r.p_normal()));
        }
    }

    /// `scipy.stats.wilcoxon(d, method="exact")` and, for the flips, all 2^24 sums by numpy; d = (i * i % 29 - 11) / 8 + i / 1000
    /// for i in 1..=24.
    #[test]
    fn larger_samples_agree_with_scipy_and_numpy() {
        let d: Vec<f64> = (1..=24).map(|i| f64::from(i * i % 29 - 11) / 8.0 + f64::from(i) / 1000.0).collect();
        let ranks = SignedRank::of(&d, Zeros::Dropped).unwrap();
        assert_eq!(ranks.statistic(), 67.0);
        assert!((ranks.p_exact().unwrap() / 0.016_406_655_311_584_473 - 1.0).abs() < 1e-12);
        assert!((sign_flip(&d).unwrap() / 0.016_941_189_765_930_176 - 1.0).abs() < 1e-12);
    }

    #[test]
    fn many_values_have_the_stated_results() {
        let large = vec![1.0; FLIPS_MAX];
        assert_eq!(sign_flip(&large), Some(2.0 / (1_u64 << FLIPS_MAX) as f64));
        assert_eq!(sign_flip(&vec![1.0; FLIPS_MAX + 1]), None);
        let ranks = SignedRank::of(&vec![1.0; EXACT_RANKS_MAX], Zeros::Dropped).unwrap();
        assert!(ranks.p_exact().unwrap() > 0.0 && ranks.p_normal() > 0.0);
        assert_eq!(SignedRank::of(&vec![1.0; EXACT_RANKS_MAX + 1], Zeros::Dropped).unwrap().p_exact(), None);
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        for zeros in [Zeros::Dropped, Zeros::Ranked] {
            assert_eq!(SignedRank::of(&[], zeros), None);
            assert_eq!(SignedRank::of(&[0.0, -0.0], zeros), None);
            assert_eq!(SignedRank::of(&[1.0, f64::NAN], zeros), None);
            let one = SignedRank::of(&[-3.0], zeros).unwrap();
            assert_eq!((one.statistic(), one.p_exact()), (0.0, Some(1.0)));
        }
        assert_eq!(sign_flip(&[]), None);
        assert_eq!(sign_flip(&[0.0; 50]), Some(1.0));
        assert_eq!(
            (sign_flip(&[f64::INFINITY]), sign_flip(&[f64::NAN]), sign_flip(&[f64::MAX; 2])),
            (None, None, None)
        );
        assert_eq!(sign_flip(&[7.0]), Some(1.0));
        assert_eq!((mcnemar_exact(0, 0), mcnemar_chi_squared(0, 0)), (1.0, None));
        assert!((mcnemar_exact(5, 5) - 1.0).abs() < 1e-14 && (mcnemar_exact(5, 0) - 0.0625).abs() < 1e-15);
        assert_eq!(mcnemar_chi_squared(5, 5).unwrap().chi_squared, 0.1);
        // statsmodels 0.15.0: `mcnemar([[30, 5], [14, 51]], exact=False, correction=True).pvalue`.
        assert!((mcnemar_chi_squared(5, 14).unwrap().p / 0.066_457_420_016_931_2 - 1.0).abs() < 1e-12);
    }
}
