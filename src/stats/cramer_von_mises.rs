//! Owns the two-sample Cramér-von Mises and Anderson-Darling tests of sorted samples: integrals of the squared distance
//! between distribution functions, the second with more weight on the tails.

use std::f64::consts::PI;

use super::quadratic_form;

/// A statistic with its asymptotic p-value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quadratic {
    /// The statistic.
    pub statistic: f64,
    /// P of a larger one under the null.
    pub p: f64,
}

/// What the Cramér-von Mises statistic makes of tied values. Without ties both are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ties {
    /// `n m / (n + m)^2` times the sum of `(F - G)^2` over the pooled values.
    Functions,
    /// Anderson's sum over ranks with the mean rank for all of a tied group: scipy's. The gaps inside a group count as
    /// differences, so that for samples of unequal size it grows with them where nothing differs.
    Midranks,
}

/// T. W. Anderson's two-sample Cramér-von Mises statistic T (Annals of Mathematical Statistics 33 (1962) 1148-1159, eq. 9) and
/// the p-value of the limit at the statistic standardised by its exact mean and variance (eq. 14 and 15). `None` below two
/// values in either sample or with NaN at an end. With midranks it is scipy's `cramervonmises_2samp(method = "asymptotic")` up
/// to its p-values below 1e-5: its series for the distribution function stops at terms of 1e-7, which leaves up to 1e-9 of the
/// p-value out and makes 7e-10 of 7e-14.
#[must_use]
pub fn cramer_von_mises(a: &[f64], b: &[f64], ties: Ties) -> Option<Quadratic> {
    if a.len() < 2 || b.len() < 2 {
        return None;
    }
    let (n, m) = (a.len() as f64, b.len() as f64);
    let all = n + m;
    let pairs = n * m;
    let (mut of_a, mut of_b, mut squares) = (0.0, 0.0, 0.0);
    for group in groups(a, b)? {
        let rank = group.before() + (group.size() + 1.0) / 2.0;
        let gaps = |before: usize, count: usize| {
            (before..before + count).map(|i| rank - (i + 1) as f64).map(|gap| gap * gap).sum::<f64>()
        };
        match ties {
            Ties::Functions => {
                let gap = (group.before_a + group.of_a) as f64 / n - (group.before_b + group.of_b) as f64 / m;
                squares += group.size() * gap * gap;
            }
            Ties::Midranks => {
                of_a += gaps(group.before_a, group.of_a);
                of_b += gaps(group.before_b, group.of_b);
            }
        }
    }
    let statistic = match ties {
        Ties::Functions => pairs / (all * all) * squares,
        Ties::Midranks => (n * of_a + m * of_b) / (pairs * all) - (4.0 * pairs - 1.0) / (6.0 * all),
    };
    let mean = (1.0 + 1.0 / all) / 6.0;
    let variance =
        (all + 1.0) * (4.0 * pairs * all - 3.0 * (n * n + m * m) - 2.0 * pairs) / (180.0 * all * all * pairs);
    let standard = 1.0 / 6.0 + (statistic - mean) / (45.0 * variance).sqrt();
    Some(Quadratic { statistic, p: cramer_von_mises_sf(standard) })
}

/// P of a value above `x` of the Cramér-von Mises limit, `sum Z_k^2 / (k pi)^2`.
fn cramer_von_mises_sf(x: f64) -> f64 {
    let root = |k: u32| f64::from(k) * PI;
    quadratic_form::upper_tail(x, |k| root(k) * root(k), |u| libm::sin(u.sqrt()) / u.sqrt())
}

/// F. W. Scholz and M. A. Stephens' statistic for two samples with midranks (JASA 82 (1987) 918-924, eq. 7), standardised by
/// its exact mean and variance: scipy's `anderson_ksamp`. `None` below four values in all, for an empty sample, NaN at an end,
/// or if all values are equal.
///
/// The p-value is the limit's, `sum Z_k^2 / (k (k + 1))`, at the value that lies as many of its own standard deviations from
/// its mean: what the authors' table of percentage points interpolates (scipy's p-value is that interpolation, cut off at
/// 0.001 and 0.25).
#[must_use]
pub fn anderson_darling(a: &[f64], b: &[f64]) -> Option<Quadratic> {
    let (n, m) = (a.len() as f64, b.len() as f64);
    let all = n + m;
    if a.is_empty() || b.is_empty() || all < 4.0 {
        return None;
    }
    let mut raw = 0.0;
    for group in groups(a, b)? {
        let size = group.size();
        let through = group.before() + size / 2.0;
        let weight = size / all / (through * (all - through) - all * size / 4.0);
        for (before, count, rows) in [(group.before_a, group.of_a, n), (group.before_b, group.of_b, m)] {
            let gap = all * (before as f64 + count as f64 / 2.0) - through * rows;
            raw += weight * gap * gap / rows;
        }
    }
    raw *= (all - 1.0) / all;
    let statistic = (raw - 1.0) / anderson_darling_variance(n, m).sqrt();
    if statistic.is_nan() {
        return None;
    }
    let spread = (2.0 * (PI * PI - 9.0) / 3.0).sqrt();
    Some(Quadratic { statistic, p: anderson_darling_sf(1.0 + statistic * spread) })
}

/// P of a value above `x` of the Anderson-Darling limit.
fn anderson_darling_sf(x: f64) -> f64 {
    let determinant = |u: f64| libm::cos(PI * (0.25 + u).sqrt()) / (PI * u);
    quadratic_form::upper_tail(x, |k| f64::from(k) * f64::from(k + 1), determinant)
}

/// The exact variance of the unstandardised statistic without ties (Scholz and Stephens, eq. 4, for k = 2).
fn anderson_darling_variance(n: f64, m: f64) -> f64 {
    let all = n + m;
    let count = all as u64;
    let inverse = 1.0 / n + 1.0 / m;
    let (mut g, mut tail) = (0.0, 0.0);
    for i in 1..count - 1 {
        tail += 1.0 / (count - i) as f64;
        g += tail / (i + 1) as f64;
    }
    let h = tail + 1.0;
    let a = (4.0 * g - 6.0) + (10.0 - 6.0 * g) * inverse;
    let b = (2.0 * g - 4.0) * 4.0 + 16.0 * h + (2.0 * g - 14.0 * h - 4.0) * inverse - 8.0 * h + 4.0 * g - 6.0;
    let c = (6.0 * h + 2.0 * g - 2.0) * 4.0 + (4.0 * h - 4.0 * g + 6.0) * 2.0 + (2.0 * h - 6.0) * inverse + 4.0 * h;
    let d = (2.0 * h + 6.0) * 4.0 - 8.0 * h;
    (((a * all + b) * all + c) * all + d) / ((all - 1.0) * (all - 2.0) * (all - 3.0))
}

/// Equal values of the pooled sample.
struct Group {
    before_a: usize,
    before_b: usize,
    of_a: usize,
    of_b: usize,
}

impl Group {
    fn before(&self) -> f64 {
        (self.before_a + self.before_b) as f64
    }

    fn size(&self) -> f64 {
        (self.of_a + self.of_b) as f64
    }
}

/// The groups in ascending order; `None` if a value is not comparable.
fn groups(a: &[f64], b: &[f64]) -> Option<Vec<Group>> {
    let mut groups = Vec::with_capacity(a.len() + b.len());
    let (mut i, mut j) = (0, 0);
    while i < a.len() || j < b.len() {
        let value = match (a.get(i), b.get(j)) {
            (Some(&x), Some(&y)) if y < x => y,
            (Some(&x), _) => x,
            (None, y) => *y?,
        };
        let run = |values: &[f64]| values.iter().take_while(|&&x| x == value).count();
        let group = Group { before_a: i, before_b: j, of_a: run(&a[i..]), of_b: run(&b[j..]) };
        i += group.of_a;
        j += group.of_b;
        if group.of_a + group.of_b == 0 {
            return None;
        }
        groups.push(group);
    }
    Some(groups)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_limits_have_their_tabulated_points() {
        // Cramér-von Mises: P(W > 0.46136) = 0.05 (Anderson and Darling, Annals of Mathematical Statistics 23 (1952) 193-212,
        // table 1); the others 1 minus Csörgő and Faraway's series in 40 digits (mpmath).
        for (x, p, within) in [
            (0.461_36, 0.05, 1e-4),
            (0.075_079_740_934_056_82, 0.720_787_986_857_356_3, 1e-12),
            (2.274_444_617_347_445, 3.102_611_397_756_149_6e-6, 1e-12),
            (5.758_068_642_291_987, 6.763_814_469_178_016e-14, 1e-12),
        ] {
            let got = cramer_von_mises_sf(x);
            assert!((got / p - 1.0).abs() < within, "{x}: {got}");
        }
        // Anderson-Darling: 1 minus the series of Anderson and Darling, JASA 49 (1954) 765-769, in 30 digits (mpmath).
        for (x, p) in [
            (0.2, 0.990_412_547_249_794_1),
            (1.0, 0.357_266_673_214_019_1),
            (2.492, 0.050_022_186_359_607_87),
            (10.0, 1.381_503_541_068_586_4e-5),
            (20.0, 4.465_071_538_312_322e-10),
        ] {
            assert!((anderson_darling_sf(x) / p - 1.0).abs() < 1e-12, "{x}");
        }
    }

    fn sorted(values: &[i8]) -> Vec<f64> {
        let mut values: Vec<f64> = values.iter().map(|&x| f64::from(x)).collect();
        values.sort_by(f64::total_cmp);
        values
    }

    type OfSorted = fn(&[f64], &[f64]) -> Option<Quadratic>;

    fn tests() -> [OfSorted; 3] {
        [
            |a, b| cramer_von_mises(a, b, Ties::Functions),
            |a, b| cramer_von_mises(a, b, Ties::Midranks),
            anderson_darling,
        ]
    }

    proptest! {
        #[test]
        fn order_does_not_matter(
            a in prop::collection::vec(-3_i8..3, 2..20), b in prop::collection::vec(-3_i8..3, 2..20)
        ) {
            let (a, b) = (sorted(&a), sorted(&b));
            for test in tests() {
                match (test(&a, &b), test(&b, &a)) {
                    (Some(x), Some(y)) => prop_assert!((x.statistic - y.statistic).abs() < 1e-9 && (x.p - y.p).abs() < 1e-9),
                    (x, y) => prop_assert_eq!(x, y),
                }
            }
        }

        #[test]
        fn without_ties_ranks_and_functions_agree(
            values in prop::collection::btree_set(any::<i8>(), 4..40), cut in 2_usize..38, step in 1_usize..7
        ) {
            let mut values: Vec<i8> = values.into_iter().collect();
            let cut = cut.min(values.len() - 2);
            values.rotate_left(step % 4);
            let (a, b) = (sorted(&values[..cut]), sorted(&values[cut..]));
            let (x, y) = (cramer_von_mises(&a, &b, Ties::Functions), cramer_von_mises(&a, &b, Ties::Midranks));
            prop_assert!((x.unwrap().statistic - y.unwrap().statistic).abs() < 1e-9);
        }
    }

    #[test]
    fn a_binary_column_that_did_not_change_fires_with_midranks_only() {
        let binary = |zeros, ones| [vec![0.0; zeros], vec![1.0; ones]].concat();
        let p = |ties| cramer_von_mises(&binary(900, 100), &binary(45, 5), ties).unwrap().p;
        assert!(p(Ties::Midranks) < 1e-9 && p(Ties::Functions) > 0.5);
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        assert_eq!(cramer_von_mises(&[1.0], &[1.0, 2.0], Ties::Functions), None);
        assert_eq!(anderson_darling(&[1.0], &[1.0, 2.0]), None);
        assert_eq!(anderson_darling(&[1.0; 4], &[1.0; 5]), None);
        for test in tests() {
            assert_eq!(test(&[], &[1.0, 2.0, 3.0, 4.0]), None);
            assert_eq!(test(&[1.0, 2.0, f64::NAN], &[1.0, 2.0]), None);
            assert!(test(&[f64::NEG_INFINITY, 0.0], &[1.0, f64::INFINITY]).is_some());
        }
        assert_eq!(cramer_von_mises(&[1.0; 4], &[1.0; 5], Ties::Functions).map(|t| t.statistic), Some(0.0));
    }
}
