//! Owns counts of what is wrong with a column of inputs: missing values, and values that a reference does not allow.
//!
//! None of the shares is 0 for healthy data. Whatever the distribution, a new value lies outside the range of `m` reference
//! values with probability 2 / (m + 1), less with ties: each of the m + 1 is as likely as any other to be the lowest, or the
//! highest. And it is of an unseen category with about the share of reference values that occur once (I. J. Good, Biometrika
//! 40 (1953) 237-264). So compare the share with a declared limit above that, or with the share of a version that sees the same
//! traffic ([`Share::minus`]), never with 0.

use super::proportion::Share;

/// Categories of a reference above which it is taken to be no set of categories, unless declared.
pub const CATEGORIES_MAX: usize = 1000;

/// Which values of a column are expected.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// All from the first to the second, both included.
    Range(f32, f32),
    /// These, ascending and distinct.
    Categories(Vec<f32>),
}

impl Expected {
    /// The range of the finite values of a reference; `None` if it has none.
    #[must_use]
    pub fn range_of(reference: &[f32]) -> Option<Self> {
        let finite = || reference.iter().copied().filter(|value| value.is_finite());
        Some(Self::Range(finite().reduce(f32::min)?, finite().reduce(f32::max)?))
    }

    /// The distinct values of a reference, missing ones aside; `None` if there are none, or more than `max`.
    #[must_use]
    pub fn categories_of(reference: &[f32], max: usize) -> Option<Self> {
        let mut distinct: Vec<f32> = Vec::new();
        for &value in reference.iter().filter(|value| !value.is_nan()) {
            if let Err(place) = place(&distinct, value) {
                if distinct.len() == max {
                    return None;
                }
                distinct.insert(place, value);
            }
        }
        (!distinct.is_empty()).then_some(Self::Categories(distinct))
    }

    /// Whether a value is expected; false for NaN.
    #[must_use]
    pub fn allows(&self, value: f32) -> bool {
        match self {
            Self::Range(low, high) => (*low..=*high).contains(&value),
            Self::Categories(categories) => place(categories, value).is_ok(),
        }
    }
}

/// Where a value stands in ascending ones, or would. Zeros of both signs are one value.
fn place(ascending: &[f32], value: f32) -> Result<usize, usize> {
    let at = ascending.partition_point(|&other| other < value);
    if ascending.get(at) == Some(&value) { Ok(at) } else { Err(at) }
}

/// What is wrong with the values of one column. Counts of scrapes add up by [`Quality::merge`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quality {
    /// Missing values (NaN), of all rows.
    pub missing: Share,
    /// Values that are not expected (out of range, or of an unseen category), of those that are not missing.
    pub unexpected: Share,
}

impl Quality {
    /// Takes values in.
    pub fn count(&mut self, expected: &Expected, values: &[f32]) {
        for &value in values {
            self.missing.add(value.is_nan());
            if !value.is_nan() {
                self.unexpected.add(!expected.allows(value));
            }
        }
    }

    /// Takes in all that `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        self.missing.merge(&other.missing);
        self.unexpected.merge(&other.unexpected);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn count(expected: &Expected, values: &[f32]) -> Quality {
        let mut quality = Quality::default();
        quality.count(expected, values);
        quality
    }

    proptest! {
        #[test]
        fn merging_equals_counting_all(values in prop::collection::vec(any::<f32>(), 0..60), at in 0_usize..60) {
            let expected = Expected::Range(-1.0, 1e20);
            let (one, two) = values.split_at(at.min(values.len()));
            let mut merged = count(&expected, one);
            merged.merge(&count(&expected, two));
            prop_assert_eq!(merged, count(&expected, &values));
            prop_assert_eq!(merged.missing.events + merged.unexpected.trials, values.len() as u64);
        }

        #[test]
        fn a_reference_is_as_it_expects(values in prop::collection::vec(any::<f32>(), 0..60)) {
            if let Some(categories) = Expected::categories_of(&values, 60) {
                prop_assert_eq!(count(&categories, &values).unexpected.events, 0);
            }
            if let Some(range) = Expected::range_of(&values) {
                let infinite = values.iter().filter(|value| value.is_infinite()).count() as u64;
                prop_assert_eq!(count(&range, &values).unexpected.events, infinite);
            }
        }
    }

    /// The module's text: of ten values in any order, the last is outside the range of the nine before in two of ten orders.
    #[test]
    fn healthy_data_leave_the_range_of_a_reference() {
        let values: Vec<f32> = (0..10_u8).map(f32::from).collect();
        let outside = |last: usize| {
            let mut before = values.clone();
            let last = before.remove(last);
            !Expected::range_of(&before).unwrap().allows(last)
        };
        assert_eq!((0..10).filter(|&last| outside(last)).count(), 2);
    }

    #[test]
    fn two_versions_are_compared_on_what_they_saw() {
        let expected = Expected::categories_of(&[1.0, 2.0, 3.0, 2.0], CATEGORIES_MAX).unwrap();
        let baseline = count(&expected, &[1.0, 2.0, 3.0, 1.0].repeat(100));
        let canary = count(&expected, &[1.0, 9.0, 3.0, f32::NAN].repeat(25));
        assert_eq!((canary.missing, canary.unexpected), (Share::new(25, 100), Share::new(25, 75)));
        assert!(canary.unexpected.minus(&baseline.unexpected, 0.95).unwrap().low > 0.2);
        assert!(canary.missing.interval(0.95).unwrap().contains(0.25));
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        for nothing in [&[][..], &[f32::NAN]] {
            assert_eq!((Expected::range_of(nothing), Expected::categories_of(nothing, 5)), (None, None));
        }
        assert_eq!(Expected::range_of(&[f32::INFINITY]), None);
        assert_eq!(Expected::range_of(&[f32::NAN, 2.0]), Some(Expected::Range(2.0, 2.0)));
        assert_eq!(Expected::categories_of(&[1.0, 2.0, 3.0], 2), None);
        assert_eq!(Expected::categories_of(&[1.0], 0), None);
        let zero = Expected::categories_of(&[0.0, -0.0], 1).unwrap();
        assert!(zero.allows(-0.0) && !zero.allows(f32::NAN));
        let backwards = Expected::Range(2.0, 1.0);
        assert!(!backwards.allows(1.5));
        let all_missing = count(&zero, &[f32::NAN; 3]);
        assert_eq!((all_missing.missing.value(), all_missing.unexpected.value()), (Some(1.0), None));
        assert_eq!(count(&zero, &[]).missing.interval(0.95), None);
    }
}
