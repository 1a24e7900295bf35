//! Owns the chi-squared and G tests of counts by category.

use super::special;

/// A statistic with its p-value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contingency {
    /// The statistic: Pearson's or G.
    pub statistic: f64,
    /// Degrees of freedom: categories that either sample has, minus 1.
    pub df: u64,
    /// P of a larger one by the chi-squared approximation, which is good from about five expected rows a cell.
    pub p: f64,
}

/// Whether two samples of counts come from one distribution: Pearson's test of the table of two rows, and the
/// likelihood-ratio test G. The expected counts are the pooled shares; no Yates correction; categories that neither sample
/// has are left out, those that only one has are not. `None` for lists of different length, fewer than two categories, or a
/// sample without rows. Sources: K. Pearson 1900; R. R. Sokal and F. J. Rohlf, "Biometry"; scipy's
/// `chi2_contingency(correction = False)`, with `lambda_ = "log-likelihood"` for G.
#[must_use]
pub fn two_samples(a: &[u32], b: &[u32]) -> Option<(Contingency, Contingency)> {
    let (n, m) = (total(a), total(b));
    if a.len() != b.len() || n == 0.0 || m == 0.0 {
        return None;
    }
    let (mut pearson, mut g, mut categories) = (0.0, 0.0, 0_u64);
    for (&a, &b) in a.iter().zip(b) {
        let (a, b) = (f64::from(a), f64::from(b));
        if a + b == 0.0 {
            continue;
        }
        categories += 1;
        for (count, rows) in [(a, n), (b, m)] {
            let expected = (a + b) * rows / (n + m);
            pearson += (count - expected) * (count - expected) / expected;
            if count > 0.0 {
                g += 2.0 * count * libm::log(count / expected);
            }
        }
    }
    Some((of(pearson, categories)?, of(g.max(0.0), categories)?))
}

/// Whether the second sample comes from the distribution that the first one is taken to be exactly: Pearson's one-sample test
/// with the first's counts, scaled, as expectations. Infinite, with p = 0, for a category that only the second has. `None` as
/// above. It ignores that the reference is a sample itself, so with a small one it fires too often: with as many reference
/// rows as window rows the statistic is twice what it should be. Here because evidently's `chisquare` is this.
#[must_use]
pub fn one_sample(reference: &[u32], window: &[u32]) -> Option<Contingency> {
    let (n, m) = (total(reference), total(window));
    if reference.len() != window.len() || n == 0.0 || m == 0.0 {
        return None;
    }
    let (mut statistic, mut categories) = (0.0, 0);
    for (&reference, &window) in reference.iter().zip(window).filter(|(r, w)| **r + **w > 0) {
        let (expected, count) = (f64::from(reference) * m / n, f64::from(window));
        statistic += (count - expected) * (count - expected) / expected;
        categories += 1;
    }
    of(statistic, categories)
}

fn of(statistic: f64, categories: u64) -> Option<Contingency> {
    let df = categories.checked_sub(1).filter(|&df| df > 0)?;
    Some(Contingency { statistic, df, p: special::chi_squared_sf(statistic, df as f64)? })
}

fn total(counts: &[u32]) -> f64 {
    counts.iter().map(|&count| u64::from(count)).sum::<u64>() as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn order_and_empty_categories_change_nothing(counts in prop::collection::vec((0_u32..30, 0_u32..30), 2..10)) {
            let (a, b): (Vec<u32>, Vec<u32>) = counts.iter().copied().unzip();
            if let Some((pearson, g)) = two_samples(&a, &b) {
                let (back, back_g) = two_samples(&b, &a).unwrap();
                prop_assert!((pearson.statistic - back.statistic).abs() < 1e-9);
                prop_assert!((g.statistic - back_g.statistic).abs() < 1e-9);
                let more = two_samples(&[a.as_slice(), &[0]].concat(), &[b.as_slice(), &[0]].concat());
                prop_assert_eq!(more, Some((pearson, g)));
            }
        }
    }

    #[test]
    fn two_by_two_has_its_closed_form() {
        // N (ad - bc)^2 over the product of the margins.
        let (pearson, _) = two_samples(&[30, 10], &[20, 25]).unwrap();
        let want = 85.0 * (30.0 * 25.0 - 10.0 * 20.0_f64).powi(2) / (40.0 * 45.0 * 50.0 * 35.0);
        assert!((pearson.statistic - want).abs() < 1e-12 && pearson.df == 1);
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        for (a, b) in [(&[][..], &[][..]), (&[1], &[1]), (&[1, 2], &[1]), (&[0, 0], &[1, 1]), (&[3, 0], &[5, 0])] {
            assert_eq!((two_samples(a, b), one_sample(a, b)), (None, None), "{a:?} {b:?}");
        }
        let new = one_sample(&[3, 0], &[5, 1]).unwrap();
        assert_eq!((new.statistic, new.p), (f64::INFINITY, 0.0));
        assert!(two_samples(&[3, 0], &[5, 1]).unwrap().0.p > 0.1);
    }
}
