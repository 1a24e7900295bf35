//! Owns counts of what is wrong with a column of inputs: missing values, and values that a reference does not allow.
//!
//! None of the shares is 0 for healthy data. Whatever the distribution, a new value lies outside the range of `m` reference
//! values with probability 2 / (m + 1), less with ties: each of the m + 1 is as likely as any other to be the lowest, or the
//! highest. And it is of an unseen category with about the share of reference values that occur once (I. J. Good, Biometrika
//! 40 (1953) 237-264). So compare the share with a declared limit above that, or with the share of a version that sees the same
//! traffic ([`super::proportion::Share::minus`]), never with 0.

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
    /// The range of the finite values of a reference in ascending runs without NaN; `None` if it has none. One infinite value
    /// would allow all.
    #[must_use]
    pub fn range_of(reference: &[&[f32]]) -> Option<Self> {
        let finite = |run: &&[f32]| {
            let from = run.partition_point(|&x| x == f32::NEG_INFINITY);
            let to = run.partition_point(|&x| x < f32::INFINITY);
            Some((*run.get(from)?, *run.get(from..to)?.last()?))
        };
        let mut ends = reference.iter().filter_map(finite);
        let first = ends.next()?;
        let (low, high) = ends.fold(first, |all, run| (all.0.min(run.0), all.1.max(run.1)));
        Some(Self::Range(low, high))
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

    /// How many of ascending values without NaN are not expected.
    #[must_use]
    pub fn unexpected(&self, ascending: &[f32]) -> usize {
        match self {
            Self::Range(low, high) => {
                let below = ascending.partition_point(|x| x < low);
                below + ascending.len() - ascending.partition_point(|x| x <= high).max(below)
            }
            Self::Categories(_) => ascending.iter().filter(|&&x| !self.allows(x)).count(),
        }
    }
}

/// Where a value stands in ascending ones, or would. Zeros of both signs are one value.
fn place(ascending: &[f32], value: f32) -> Result<usize, usize> {
    let at = ascending.partition_point(|&other| other < value);
    if ascending.get(at) == Some(&value) { Ok(at) } else { Err(at) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ascending(mut values: Vec<f32>) -> Vec<f32> {
        values.retain(|x| !x.is_nan());
        values.sort_by(f32::total_cmp);
        values
    }

    proptest! {
        #[test]
        fn unexpected_are_those_that_are_not_allowed(
            one in prop::collection::vec(any::<f32>(), 0..40), two in prop::collection::vec(any::<f32>(), 0..40),
            window in prop::collection::vec(any::<f32>(), 0..40),
        ) {
            let (one, two, window) = (ascending(one), ascending(two), ascending(window));
            let all = [one.clone(), two.clone()].concat();
            for expected in [Expected::range_of(&[&one, &two]), Expected::categories_of(&all, 80)].into_iter().flatten() {
                let naive = window.iter().filter(|&&x| !expected.allows(x)).count();
                prop_assert_eq!(expected.unexpected(&window), naive);
                // A reference is as it expects, but for infinities that are no end of a range.
                prop_assert!(all.iter().all(|&x| expected.allows(x) || x.is_infinite()));
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
            !Expected::range_of(&[&before]).unwrap().allows(last)
        };
        assert_eq!((0..10).filter(|&last| outside(last)).count(), 2);
    }

    #[test]
    fn one_infinite_value_of_the_reference_does_not_allow_all() {
        let reference: [&[f32]; 2] = [&[f32::NEG_INFINITY, 1.0, 3.0, f32::INFINITY], &[f32::INFINITY]];
        assert_eq!(Expected::range_of(&reference), Some(Expected::Range(1.0, 3.0)));
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        assert_eq!((Expected::range_of(&[]), Expected::range_of(&[&[]])), (None, None));
        for nothing in [&[][..], &[f32::NAN]] {
            assert_eq!(Expected::categories_of(nothing, 5), None);
        }
        assert_eq!(Expected::range_of(&[&[f32::INFINITY]]), None);
        assert_eq!(Expected::range_of(&[&[2.0]]), Some(Expected::Range(2.0, 2.0)));
        assert_eq!(Expected::categories_of(&[1.0, 2.0, 3.0], 2), None);
        assert_eq!(Expected::categories_of(&[1.0], 0), None);
        let zero = Expected::categories_of(&[0.0, -0.0], 1).unwrap();
        assert!(zero.allows(-0.0) && !zero.allows(f32::NAN));
        let backwards = Expected::Range(2.0, 1.0);
        assert!(!backwards.allows(1.5));
        assert_eq!(backwards.unexpected(&[0.0, 1.5, 3.0]), 3);
    }
}
