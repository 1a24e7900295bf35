//! Owns the counts of a yes-or-no classification and what follows from them: accuracy, precision, recall, F1 with intervals.

use serde::{Deserialize, Serialize};

use super::Interval;
use super::proportion::Share;

/// Predicted against actual classes. Counts of scrapes add up by [`Confusion::merge`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// Predicted yes, and so it was.
    pub true_positive: u64,
    /// Predicted yes, and it was not.
    pub false_positive: u64,
    /// Predicted no, and so it was.
    pub true_negative: u64,
    /// Predicted no, and it was yes.
    pub false_negative: u64,
}

impl Confusion {
    /// Takes one row in.
    pub fn add(&mut self, predicted: bool, actual: bool) {
        *match (predicted, actual) {
            (true, true) => &mut self.true_positive,
            (true, false) => &mut self.false_positive,
            (false, false) => &mut self.true_negative,
            (false, true) => &mut self.false_negative,
        } += 1;
    }

    /// Takes in all that `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        self.true_positive += other.true_positive;
        self.false_positive += other.false_positive;
        self.true_negative += other.true_negative;
        self.false_negative += other.false_negative;
    }

    /// How many rows were counted.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.true_positive + self.false_positive + self.true_negative + self.false_negative
    }

    /// Right predictions of all rows.
    #[must_use]
    pub fn accuracy(&self) -> Share {
        Share::new(self.true_positive + self.true_negative, self.rows())
    }

    /// Right ones of those predicted yes.
    #[must_use]
    pub fn precision(&self) -> Share {
        Share::new(self.true_positive, self.true_positive + self.false_positive)
    }

    /// Found ones of those that are yes: the true positive rate.
    #[must_use]
    pub fn recall(&self) -> Share {
        Share::new(self.true_positive, self.true_positive + self.false_negative)
    }

    /// Those predicted yes of those that are not.
    #[must_use]
    pub fn false_positive_rate(&self) -> Share {
        Share::new(self.false_positive, self.false_positive + self.true_negative)
    }

    /// Those predicted yes of all rows.
    #[must_use]
    pub fn selection_rate(&self) -> Share {
        Share::new(self.true_positive + self.false_positive, self.rows())
    }

    /// The harmonic mean of precision and recall, `2 TP / (2 TP + FP + FN)`; `None` if no row is yes in either sense.
    #[must_use]
    pub fn f1(&self) -> Option<f64> {
        self.agreement().value().map(f1_of_agreement)
    }

    /// The interval for [`Confusion::f1`]. Of the rows that are yes in either sense, those that are so in both are a binomial
    /// share J, and F1 = 2J / (1 + J) rises with it; so the limits are Wilson's for J, carried over. They need no variance by
    /// the delta method, stay in `[0, 1]` and do not shrink to a point at an F1 of 0 or 1. Source: K. F. Y. Lam, V. Gopal &
    /// J. Qian, "Confidence Intervals for the F1 Score" (arXiv 2309.14621, 2023), the indirect method of Wilson.
    #[must_use]
    pub fn f1_interval(&self, confidence: f64) -> Option<Interval> {
        let Interval { low, high } = self.agreement().interval(confidence)?;
        Some(Interval { low: f1_of_agreement(low), high: f1_of_agreement(high) })
    }

    /// Jaccard's index: yes in both senses of yes in either.
    fn agreement(&self) -> Share {
        Share::new(self.true_positive, self.true_positive + self.false_positive + self.false_negative)
    }
}

fn f1_of_agreement(agreement: f64) -> f64 {
    2.0 * agreement / (1.0 + agreement)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn count(rows: &[(bool, bool)]) -> Confusion {
        let mut counts = Confusion::default();
        rows.iter().for_each(|&(predicted, actual)| counts.add(predicted, actual));
        counts
    }

    proptest! {
        #[test]
        fn merging_equals_counting_all(rows in prop::collection::vec(any::<(bool, bool)>(), 0..60), at in 0_usize..60) {
            let (one, two) = rows.split_at(at.min(rows.len()));
            let mut merged = count(one);
            merged.merge(&count(two));
            prop_assert_eq!(merged, count(&rows));
            prop_assert_eq!(merged.rows(), rows.len() as u64);
        }

        #[test]
        fn the_interval_contains_f1(tp in 0_u64..50, fp in 0_u64..50, fn_ in 0_u64..50) {
            let counts = Confusion { true_positive: tp, false_positive: fp, true_negative: 7, false_negative: fn_ };
            match counts.f1() {
                Some(f1) => {
                    let interval = counts.f1_interval(0.95).unwrap();
                    prop_assert!(interval.contains(f1) && interval.low >= 0.0 && interval.high <= 1.0);
                    prop_assert!(interval.width() > 0.0);
                    if let (Some(p), Some(r)) = (counts.precision().value(), counts.recall().value()) && p + r > 0.0 {
                        prop_assert!((f1 - 2.0 * p * r / (p + r)).abs() < 1e-14);
                    }
                }
                None => prop_assert_eq!(tp + fp + fn_, 0),
            }
        }
    }

    /// scikit-learn 1.9.1: `precision_score`, `recall_score`, `f1_score`, `accuracy_score` of these counts; statsmodels 0.15.0:
    /// `2 * j / (1 + j)` of the limits j of `proportion_confint(9, 9 + 3 + 4, method="wilson")`.
    #[test]
    fn measures_agree_with_scikit_learn() {
        let counts = Confusion { true_positive: 9, false_positive: 3, true_negative: 24, false_negative: 4 };
        let interval = counts.f1_interval(0.95).unwrap();
        let got = [
            counts.precision().value().unwrap(),
            counts.recall().value().unwrap(),
            counts.f1().unwrap(),
            counts.accuracy().value().unwrap(),
            interval.low,
            interval.high,
        ];
        let want = [0.75, 0.692_307_692_307_692_3, 0.72, 0.825, 0.498_256_735_858_534_8, 0.869_426_362_661_527_3];
        assert!(got.iter().zip(want).all(|(got, want): (&f64, f64)| (got - want).abs() < 1e-15), "{got:?}");
        assert_eq!((counts.selection_rate(), counts.false_positive_rate()), (Share::new(12, 40), Share::new(3, 27)));
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        let none = Confusion::default();
        assert_eq!((none.f1(), none.f1_interval(0.95), none.accuracy().value()), (None, None, None));
        let all_no = Confusion { true_negative: 5, ..none };
        assert_eq!((all_no.f1(), all_no.accuracy().value()), (None, Some(1.0)));
        let never_found = Confusion { false_negative: 5, ..none };
        assert_eq!((never_found.f1(), never_found.precision().value()), (Some(0.0), None));
        let perfect = Confusion { true_positive: 5, ..none };
        assert_eq!((perfect.f1(), perfect.f1_interval(f64::NAN)), (Some(1.0), None));
    }
}
