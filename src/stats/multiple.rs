//! Owns corrections for looking at many p-values: what each becomes when all of them are taken into account.
//!
//! Every function returns adjusted p-values in the order given: reject those at or below the level. The first three hold the
//! chance of *any* false rejection (for claims that must hold); the last two hold the *share* of false ones among the rejected
//! (for screens of many). [`holm`] and [`benjamini_yekutieli`] hold under any dependence, [`holm_sidak`] and
//! [`benjamini_hochberg`] for independent tests and common kinds of positive dependence. No p-values give none; `None` if one
//! is NaN or outside `[0, 1]`.

/// `m p`: C. E. Bonferroni (1936). Never better than [`holm`]; what many tools call "the" correction.
#[must_use]
pub fn bonferroni(p: &[f64]) -> Option<Vec<f64>> {
    let m = p.len() as f64;
    step_down(p, |_, p| m * p)
}

/// S. Holm, Scandinavian Journal of Statistics 6 (1979) 65-70: `(m - i) p` for the i-th smallest from 0, made ascending.
#[must_use]
pub fn holm(p: &[f64]) -> Option<Vec<f64>> {
    step_down(p, |left, p| left * p)
}

/// Holm's steps with Sidak's levels, `1 - (1 - p)^(m - i)` (B. S. Holland & M. D. Copenhaver, Biometrics 43 (1987) 417-423).
#[must_use]
pub fn holm_sidak(p: &[f64]) -> Option<Vec<f64>> {
    step_down(p, |left, p| -libm::expm1(left * libm::log1p(-p)))
}

/// Y. Benjamini & Y. Hochberg, Journal of the Royal Statistical Society B 57 (1995) 289-300: `m p / (i + 1)`, made ascending
/// from the largest down.
#[must_use]
pub fn benjamini_hochberg(p: &[f64]) -> Option<Vec<f64>> {
    step_up(p, 1.0)
}

/// Y. Benjamini & D. Yekutieli, Annals of Statistics 29 (2001) 1165-1188: [`benjamini_hochberg`]'s values before the cap at 1,
/// times `1 + 1/2 + … + 1/m`.
#[must_use]
pub fn benjamini_yekutieli(p: &[f64]) -> Option<Vec<f64>> {
    step_up(p, (1..=p.len()).map(|i| 1.0 / i as f64).sum())
}

/// From the smallest p-value up, `adjust(how many are left, p)`, none below the one before.
fn step_down(p: &[f64], adjust: impl Fn(f64, f64) -> f64) -> Option<Vec<f64>> {
    let mut adjusted = vec![0.0; p.len()];
    let mut reached = 0.0_f64;
    for (i, place) in ascending(p)?.into_iter().enumerate() {
        reached = reached.max(adjust((p.len() - i) as f64, p[place])).min(1.0);
        adjusted[place] = reached;
    }
    Some(adjusted)
}

/// From the largest p-value down, none above the one before.
fn step_up(p: &[f64], factor: f64) -> Option<Vec<f64>> {
    let m = p.len() as f64;
    let mut adjusted = vec![0.0; p.len()];
    let mut reached = 1.0_f64;
    for (i, place) in ascending(p)?.into_iter().enumerate().rev() {
        reached = reached.min(p[place] / ((i + 1) as f64 / m / factor));
        adjusted[place] = reached;
    }
    Some(adjusted)
}

/// The places of the p-values, smallest first.
fn ascending(p: &[f64]) -> Option<Vec<usize>> {
    if !p.iter().all(|p| (0.0..=1.0).contains(p)) {
        return None;
    }
    let mut places: Vec<usize> = (0..p.len()).collect();
    places.sort_by(|&a, &b| p[a].total_cmp(&p[b]));
    Some(places)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Correction = fn(&[f64]) -> Option<Vec<f64>>;
    const ALL: [Correction; 5] = [bonferroni, holm, holm_sidak, benjamini_hochberg, benjamini_yekutieli];

    proptest! {
        #[test]
        fn corrections_stand_in_their_order(p in prop::collection::vec(0.0..=1.0, 1..40)) {
            let [bonferroni, holm, sidak, bh, by] = ALL.map(|correct| correct(&p).unwrap());
            let below = |a: f64, b: f64| a <= b * (1.0 + 1e-12);
            for i in 0..p.len() {
                prop_assert!(below(p[i], bh[i]) && below(bh[i], holm[i]) && below(holm[i], bonferroni[i]));
                prop_assert!(below(p[i], sidak[i]) && below(sidak[i], holm[i]) && below(bh[i], by[i]));
                prop_assert!(bonferroni[i] <= 1.0 && by[i] <= 1.0);
            }
        }

        #[test]
        fn adjusted_values_keep_the_order_and_follow_their_test(p in prop::collection::vec(0.0..=1.0, 1..40)) {
            for correct in ALL {
                let adjusted = correct(&p).unwrap();
                for i in 0..p.len() {
                    for j in 0..p.len() {
                        prop_assert!(p[i] > p[j] || adjusted[i] <= adjusted[j]);
                    }
                }
                let backwards: Vec<f64> = p.iter().rev().copied().collect();
                let mut again = correct(&backwards).unwrap();
                again.reverse();
                prop_assert_eq!(adjusted, again);
            }
        }
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        for correct in ALL {
            assert_eq!(correct(&[]), Some(vec![]));
            assert!((correct(&[0.3]).unwrap()[0] - 0.3).abs() < 1e-15);
            assert_eq!(correct(&[0.0, 1.0]), Some(vec![0.0, 1.0]));
            assert_eq!(correct(&[1.0; 3]), Some(vec![1.0; 3]));
            assert_eq!(correct(&[0.0; 3]), Some(vec![0.0; 3]));
            assert_eq!(correct(&[0.2, f64::NAN]), None);
            assert_eq!(correct(&[0.2, 1.1]), None);
            assert_eq!(correct(&[-0.1]), None);
        }
    }
}
