//! Owns distances between two sorted samples that look at how far apart their distribution functions are and for how long:
//! Wasserstein-1 and energy.

/// What one pass over the pooled values gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distances {
    /// The integral of `|F - G|`: the Wasserstein distance of order 1, how far a value moves on average when one sample is
    /// turned into the other. In the unit of the values. L. N. Vaserstein 1969; scipy's `wasserstein_distance`.
    pub wasserstein: f64,
    /// `sqrt(2)` times the root of the integral of `(F - G)^2`, in the root of the unit: the energy distance of G. J. Székely
    /// and M. L. Rizzo, Journal of Statistical Planning and Inference 143 (2013) 1249-1272; scipy's `energy_distance`.
    pub energy: f64,
    /// The square of it over twice the mean distance between a value of the one and a value of the other: their coefficient of
    /// inhomogeneity, without unit, 0 for equal samples and 1 for two different constants. 0 if all values are equal.
    pub energy_coefficient: f64,
}

/// The distances of two samples sorted in ascending order. `None` if one is empty or has an end that is not finite, or if the
/// range of both overflows.
#[must_use]
pub fn distances(a: &[f64], b: &[f64]) -> Option<Distances> {
    let finite = |values: &[f64]| Some(values.first()?.is_finite() && values.last()?.is_finite());
    if !(finite(a)? && finite(b)?) {
        return None;
    }
    let (n, m) = (a.len() as f64, b.len() as f64);
    let (mut i, mut j) = (0, 0);
    let (mut first, mut square, mut between) = (0.0, 0.0, 0.0);
    let mut last = a[0].min(b[0]);
    if !(a[a.len() - 1].max(b[b.len() - 1]) - last).is_finite() {
        return None;
    }
    while i < a.len() || j < b.len() {
        let from_a = j == b.len() || (i < a.len() && a[i] <= b[j]);
        let value = if from_a { a[i] } else { b[j] };
        let (f, g) = (i as f64 / n, j as f64 / m);
        let width = value - last;
        first += (f - g).abs() * width;
        square += (f - g) * (f - g) * width;
        between += (f * (1.0 - g) + g * (1.0 - f)) * width;
        last = value;
        i += usize::from(from_a);
        j += usize::from(!from_a);
    }
    let energy_coefficient = if between > 0.0 { (square / between).min(1.0) } else { 0.0 };
    Some(Distances { wasserstein: first, energy: (2.0 * square).sqrt(), energy_coefficient })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sorted() -> impl Strategy<Value = Vec<f64>> {
        prop::collection::vec(prop_oneof![(0_i8..5).prop_map(f64::from), -10.0..10.0], 1..12).prop_map(|mut values| {
            values.sort_by(f64::total_cmp);
            values
        })
    }

    fn mean_distance(a: &[f64], b: &[f64]) -> f64 {
        a.iter().flat_map(|x| b.iter().map(move |y| (x - y).abs())).sum::<f64>() / (a.len() * b.len()) as f64
    }

    proptest! {
        #[test]
        fn they_are_what_the_definitions_say(a in sorted(), b in sorted()) {
            let got = distances(&a, &b).unwrap();
            // In one dimension moving in order is cheapest: repeat both samples to one length and pair them off.
            let length = a.len() * b.len();
            let paired: f64 = (0..length).map(|k| (a[k / b.len()] - b[k / a.len()]).abs()).sum::<f64>() / length as f64;
            prop_assert!((got.wasserstein - paired).abs() < 1e-9);
            let squared = 2.0 * mean_distance(&a, &b) - mean_distance(&a, &a) - mean_distance(&b, &b);
            prop_assert!((got.energy * got.energy - squared).abs() < 1e-9);
            prop_assert!((got.energy_coefficient * 2.0 * mean_distance(&a, &b) - squared).abs() < 1e-9);
            prop_assert!((distances(&b, &a).unwrap().wasserstein - got.wasserstein).abs() < 1e-12);
        }
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        assert_eq!(distances(&[], &[1.0]), None);
        assert_eq!(distances(&[1.0], &[1.0, f64::INFINITY]), None);
        assert_eq!(distances(&[f64::NAN], &[1.0]), None);
        assert_eq!(distances(&[-f64::MAX], &[f64::MAX]), None);
        let equal = Distances { wasserstein: 0.0, energy: 0.0, energy_coefficient: 0.0 };
        assert_eq!(distances(&[2.0; 3], &[2.0; 5]), Some(equal));
        assert_eq!(distances(&[2.0; 3], &[3.0; 5]).unwrap().energy_coefficient, 1.0);
    }
}
