//! Owns distances between two lists of shares, as bins or categories give them: Jensen-Shannon, Kullback-Leibler, Hellinger,
//! total variation, and the stability index of shares.
//!
//! `p` is the reference, `q` the window; the lists have one length and their entries are not negative. All logarithms are
//! natural. All functions give `None` for lists of different length, empty ones, and shares that are negative or not finite.

/// The shares of counts; `None` if all are zero.
#[must_use]
pub fn shares(counts: &[u32]) -> Option<Vec<f64>> {
    let total: u64 = counts.iter().map(|&count| u64::from(count)).sum();
    (total > 0).then(|| counts.iter().map(|&count| f64::from(count) / total as f64).collect())
}

/// Replaces the shares that are 0: by `eps`, or by a millionth of the smallest other where that is at most `eps`, so that an
/// empty bin never counts more than one with a value in it. Not renormalised. Source: evidently 0.7's `get_binned_data`, with
/// `eps` = 1e-4.
pub fn fill_zeros(shares: &mut [f64], eps: f64) {
    let smallest = shares.iter().copied().filter(|&share| share > 0.0).fold(f64::INFINITY, f64::min);
    let fill = if smallest <= eps { smallest / 1e6 } else { eps };
    shares.iter_mut().filter(|share| **share == 0.0).for_each(|share| *share = fill);
}

/// The population stability index, `sum (q - p) ln(q / p)`: infinite where only one of the two shares is 0.
#[must_use]
pub fn stability_index(p: &[f64], q: &[f64]) -> Option<f64> {
    valid(p, q)?;
    Some(p.iter().zip(q).map(|(&p, &q)| if p == q { 0.0 } else { (q - p) * libm::log(q / p) }).sum())
}

/// The Kullback-Leibler divergence `sum p ln(p / q)` of shares scaled to the sum 1: infinite where only `q` is 0. S. Kullback
/// and R. A. Leibler, Annals of Mathematical Statistics 22 (1951) 79-86; scipy's `entropy(p, q)`.
#[must_use]
pub fn kullback_leibler(p: &[f64], q: &[f64]) -> Option<f64> {
    let (of_p, of_q) = valid(p, q)?;
    Some(p.iter().zip(q).map(|(&p, &q)| relative_entropy(p / of_p, q / of_q)).sum())
}

/// The Jensen-Shannon divergence in nats, of shares scaled to the sum 1: the mean divergence of both from their average, in
/// `[0, ln 2]`. Its root is a metric, the Jensen-Shannon distance, which is what scipy's `jensenshannon` and evidently give;
/// base 2 divides the divergence by ln 2. J. Lin, IEEE Transactions on Information Theory 37 (1991) 145-151.
#[must_use]
pub fn jensen_shannon(p: &[f64], q: &[f64]) -> Option<f64> {
    let (of_p, of_q) = valid(p, q)?;
    let term = |(&p, &q): (&f64, &f64)| {
        let (p, q) = (p / of_p, q / of_q);
        let mean = (p + q) / 2.0;
        relative_entropy(p, mean) + relative_entropy(q, mean)
    };
    Some((p.iter().zip(q).map(term).sum::<f64>() / 2.0).max(0.0))
}

/// The Hellinger distance `sqrt(1/2 sum (sqrt p - sqrt q)^2)`, in `[0, 1]`; the same as `sqrt(1 - sum sqrt(p q))` but exact
/// for equal shares. E. Hellinger 1909.
#[must_use]
pub fn hellinger(p: &[f64], q: &[f64]) -> Option<f64> {
    valid(p, q)?;
    let sum: f64 = p.iter().zip(q).map(|(&p, &q)| (p.sqrt() - q.sqrt()) * (p.sqrt() - q.sqrt())).sum();
    Some((sum / 2.0).sqrt().min(1.0))
}

/// The total variation distance `1/2 sum |p - q|`, in `[0, 1]`: the largest difference in the probability of any event.
#[must_use]
pub fn total_variation(p: &[f64], q: &[f64]) -> Option<f64> {
    valid(p, q)?;
    Some(p.iter().zip(q).map(|(&p, &q)| (p - q).abs()).sum::<f64>() / 2.0)
}

/// `p ln(p / q)`, 0 for `p` = 0.
fn relative_entropy(p: f64, q: f64) -> f64 {
    if p == 0.0 { 0.0 } else { p * libm::log(p / q) }
}

/// Both sums.
fn valid(p: &[f64], q: &[f64]) -> Option<(f64, f64)> {
    let good = |shares: &[f64]| shares.iter().all(|share| (0.0..f64::INFINITY).contains(share));
    let sums = (p.iter().sum::<f64>(), q.iter().sum::<f64>());
    (p.len() == q.len() && good(p) && good(q) && sums.0 > 0.0 && sums.1 > 0.0).then_some(sums)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pair() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
        prop::collection::vec((0_u32..20, 0_u32..20), 1..12).prop_filter_map("no rows", |counts| {
            let (p, q): (Vec<u32>, Vec<u32>) = counts.into_iter().unzip();
            Some((shares(&p)?, shares(&q)?))
        })
    }

    proptest! {
        #[test]
        fn known_inequalities_hold((p, q) in pair()) {
            let (tv, h) = (total_variation(&p, &q).unwrap(), hellinger(&p, &q).unwrap());
            let js = jensen_shannon(&p, &q).unwrap();
            // L. Le Cam; Lin, theorem 3 (with the variational distance 2 tv); M. S. Pinsker.
            prop_assert!(h * h <= tv + 1e-12 && tv <= h * (2.0 - h * h).sqrt() + 1e-12);
            prop_assert!(js <= std::f64::consts::LN_2 * tv + 1e-12);
            prop_assert!(tv <= (kullback_leibler(&p, &q).unwrap() / 2.0).sqrt() + 1e-12);
        }

        #[test]
        fn distances_are_symmetric_and_0_for_equals((p, q) in pair()) {
            for distance in [total_variation, hellinger, jensen_shannon, stability_index] {
                let (there, back) = (distance(&p, &q).unwrap(), distance(&q, &p).unwrap());
                prop_assert!(there == back || (there - back).abs() < 1e-12);
                prop_assert_eq!(distance(&p, &p), Some(0.0));
            }
            // The index is the divergence both ways.
            let both = kullback_leibler(&p, &q).unwrap() + kullback_leibler(&q, &p).unwrap();
            let index = stability_index(&p, &q).unwrap();
            prop_assert!(both == index || (both - index).abs() < 1e-12);
        }
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        for function in [stability_index, kullback_leibler, jensen_shannon, hellinger, total_variation] {
            for (p, q) in
                [(&[][..], &[][..]), (&[1.0], &[0.5, 0.5]), (&[0.0], &[1.0]), (&[-1.0], &[1.0]), (&[f64::NAN], &[1.0])]
            {
                assert_eq!(function(p, q), None);
            }
        }
        assert_eq!(shares(&[0, 0]), None);
        assert_eq!(kullback_leibler(&[0.5, 0.5], &[1.0, 0.0]), Some(f64::INFINITY));
        assert_eq!(hellinger(&[1.0, 0.0], &[0.0, 1.0]), Some(1.0));
        assert!((jensen_shannon(&[1.0, 0.0], &[0.0, 1.0]).unwrap() - std::f64::consts::LN_2).abs() < 1e-15);
        let (mut wide, mut fine) = ([0.5, 0.0, 0.5], [0.99995, 0.0, 0.00005]);
        fill_zeros(&mut wide, 1e-4);
        fill_zeros(&mut fine, 1e-4);
        assert_eq!((wide[1], fine[1]), (1e-4, 0.00005 / 1e6));
    }
}
