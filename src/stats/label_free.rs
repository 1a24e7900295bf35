//! Owns the performance that scores themselves promise, for the time until labels come.
//!
//! If a score is the probability of yes, a row is right with probability `p` where yes is predicted and `1 - p` where no is, so
//! the counts of right and wrong predictions can be expected without a label: confidence-based performance estimation as
//! NannyML's documentation describes it (CBPE, 0.13).
//!
//! It stands on two things that nothing here can see. Scores must be calibrated ([`super::calibration`] checks that on labelled
//! rows). And the relation of inputs to outcomes must be what it was: a drift of inputs among rows that the model knows shows
//! here, a drift of the concept, or a model that is sure and wrong, does not.

use super::summary::Summary;
use super::{Interval, two_sided_z};

/// Expected counts at one threshold. Those of scrapes add up by [`LabelFree::merge`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelFree {
    threshold: f64,
    true_positive: f64,
    false_positive: f64,
    false_negative: f64,
    /// Of the chance to be right.
    confidence: Summary,
    /// Sums of a², ab, b², where a row adds a to the numerator and b to the denominator of F1.
    f1_squares: [f64; 3],
}

impl LabelFree {
    /// Nothing counted yet; yes is predicted from `threshold` up. `None` for NaN.
    #[must_use]
    pub fn new(threshold: f64) -> Option<Self> {
        let confidence = Summary::default();
        let none = Self {
            threshold,
            true_positive: 0.0,
            false_positive: 0.0,
            false_negative: 0.0,
            confidence,
            f1_squares: [0.0; 3],
        };
        (!threshold.is_nan()).then_some(none)
    }

    /// Takes the score of one row in. One that is no probability (NaN, outside `[0, 1]`) is left out.
    pub fn add(&mut self, probability: f64) {
        if !(0.0..=1.0).contains(&probability) {
            return;
        }
        let yes = f64::from(u8::from(probability >= self.threshold));
        let (a, b) = (2.0 * probability * yes, probability + yes);
        for (sum, square) in self.f1_squares.iter_mut().zip([a * a, a * b, b * b]) {
            *sum += square;
        }
        if probability >= self.threshold {
            self.true_positive += probability;
            self.false_positive += 1.0 - probability;
            self.confidence.add(probability);
        } else {
            self.false_negative += probability;
            self.confidence.add(1.0 - probability);
        }
    }

    /// Takes in a row whose answer cannot be right: a yes that is not found.
    pub fn miss(&mut self) {
        self.false_negative += 1.0;
        self.f1_squares[2] += 1.0;
        self.confidence.add(0.0);
    }

    /// Takes in all that `other` has seen; false, and nothing is taken, if its threshold is another.
    #[must_use]
    pub fn merge(&mut self, other: &Self) -> bool {
        if self.threshold != other.threshold {
            return false;
        }
        self.true_positive += other.true_positive;
        self.false_positive += other.false_positive;
        self.false_negative += other.false_negative;
        self.confidence.merge(&other.confidence);
        self.f1_squares.iter_mut().zip(other.f1_squares).for_each(|(sum, more)| *sum += more);
        true
    }

    /// How many rows were taken in.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.confidence.count()
    }

    /// Expected accuracy: the mean chance to be right, at threshold 1/2 the mean of `max(p, 1 - p)`. `None` without rows.
    #[must_use]
    pub fn accuracy(&self) -> Option<f64> {
        self.confidence.mean()
    }

    /// Student's interval for [`LabelFree::accuracy`] over rows like these, cut to `[0, 1]`. It holds what the sample of inputs
    /// leaves open, not whether the scores are right. `None` below two rows, or unless `0 < confidence < 1`.
    #[must_use]
    pub fn accuracy_interval(&self, confidence: f64) -> Option<Interval> {
        let Interval { low, high } = self.confidence.mean_interval(confidence)?;
        Some(Interval { low: low.max(0.0), high: high.min(1.0) })
    }

    /// Expected right ones over all predicted yes; `None` if none is.
    #[must_use]
    pub fn precision(&self) -> Option<f64> {
        ratio(self.true_positive, self.false_positive)
    }

    /// Expected found ones over all expected yes; `None` if none is expected.
    #[must_use]
    pub fn recall(&self) -> Option<f64> {
        ratio(self.true_positive, self.false_negative)
    }

    /// F1 of the expected counts; `None` if no yes is predicted or expected.
    #[must_use]
    pub fn f1(&self) -> Option<f64> {
        ratio(2.0 * self.true_positive, self.false_positive + self.false_negative)
    }

    /// The interval for [`LabelFree::f1`] over rows like these, cut to `[0, 1]`: F1 is a ratio of two sums over rows, so its
    /// variance follows by linearisation (W. G. Cochran, Sampling Techniques, 1977, 6.4). `None` where F1 is, below two rows, or
    /// unless `0 < confidence < 1`.
    #[must_use]
    pub fn f1_interval(&self, confidence: f64) -> Option<Interval> {
        let (f1, z) = (self.f1()?, two_sided_z(confidence)?);
        let n = self.rows() as f64;
        if n < 2.0 {
            return None;
        }
        let denominator = 2.0 * self.true_positive + self.false_positive + self.false_negative;
        let [aa, ab, bb] = self.f1_squares;
        let residual = (aa - 2.0 * f1 * ab + f1 * f1 * bb).max(0.0) * n / (n - 1.0);
        let reach = z * residual.sqrt() / denominator;
        Some(Interval { low: (f1 - reach).max(0.0), high: (f1 + reach).min(1.0) })
    }
}

/// `part / (part + rest)`.
fn ratio(part: f64, rest: f64) -> Option<f64> {
    (part + rest > 0.0).then(|| part / (part + rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::stats::classification::Confusion;

    fn of(threshold: f64, scores: &[f64]) -> LabelFree {
        let mut estimate = LabelFree::new(threshold).unwrap();
        scores.iter().for_each(|&p| estimate.add(p));
        estimate
    }

    proptest! {
        #[test]
        fn merging_equals_adding_all(scores in prop::collection::vec(-0.1..1.1, 0..60), at in 0_usize..60) {
            let (one, two) = scores.split_at(at.min(scores.len()));
            let (whole, mut merged) = (of(0.5, &scores), of(0.5, one));
            prop_assert!(merged.merge(&of(0.5, two)));
            prop_assert_eq!(merged.rows(), whole.rows());
            let near = |a: Option<f64>, b: Option<f64>| match (a, b) {
                (Some(a), Some(b)) => (a - b).abs() < 1e-12,
                (a, b) => a == b,
            };
            prop_assert!(near(merged.accuracy(), whole.accuracy()) && near(merged.f1(), whole.f1()));
        }

        #[test]
        fn the_interval_contains_the_accuracy(scores in prop::collection::vec(0.0..=1.0, 2..60), threshold in 0.0..1.0) {
            let estimate = of(threshold, &scores);
            prop_assert!(estimate.accuracy_interval(0.9).unwrap().contains(estimate.accuracy().unwrap()));
        }
    }

    /// p = .02 .1 .35 .4 .5 .58 .7 .88 .97, threshold .5: NannyML 0.13.1's `estimate_accuracy`, `estimate_precision`,
    /// `estimate_recall`, `estimate_f1` (`performance_estimation.confidence_based.metrics`), and `scipy.stats.t.interval(0.95, 8,
    /// mean, sem)` of `numpy.maximum(p, 1 - p)`, scipy 1.14.1.
    #[test]
    fn estimates_agree_with_nannyml() {
        let estimate = of(0.5, &[0.02, 0.1, 0.35, 0.4, 0.5, 0.58, 0.7, 0.88, 0.97]);
        let interval = estimate.accuracy_interval(0.95).unwrap();
        let got = [
            estimate.accuracy().unwrap(),
            estimate.precision().unwrap(),
            estimate.recall().unwrap(),
            estimate.f1().unwrap(),
            interval.low,
            interval.high,
        ];
        let want = [
            0.751_111_111_111_111_1,
            0.726,
            0.806_666_666_666_666_6,
            0.764_210_526_315_789_5,
            0.610_661_110_885_530_4,
            0.891_561_111_336_691_7,
        ];
        assert!(got.iter().zip(want).all(|(got, want): (&f64, f64)| (got - want).abs() < 1e-14), "{got:?}");
    }

    /// Of calibrated scores, and of the same ones after the concept turned: the estimate cannot tell them apart.
    #[test]
    fn it_is_right_for_calibrated_scores_and_blind_to_a_new_concept() {
        let (mut estimate, mut seen, mut turned) = (of(0.5, &[]), Confusion::default(), Confusion::default());
        for i in 0..10_000_u32 {
            let percent = i % 100;
            // Of a hundred rows with one score, as many are yes as it says.
            let yes = i / 100 < percent;
            estimate.add(f64::from(percent) / 100.0);
            seen.add(percent >= 50, yes);
            turned.add(percent >= 50, !yes);
        }
        let near = |a: f64, b: Option<f64>| (a - b.unwrap()).abs() < 1e-12;
        assert!(near(estimate.accuracy().unwrap(), seen.accuracy().value()));
        assert!(near(estimate.f1().unwrap(), seen.f1()));
        assert!(near(1.0 - estimate.accuracy().unwrap(), turned.accuracy().value()));
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        assert_eq!(LabelFree::new(f64::NAN), None);
        let none = of(0.5, &[f64::NAN, 1.5, f64::INFINITY]);
        assert_eq!((none.rows(), none.accuracy(), none.f1()), (0, None, None));
        assert_eq!((none.precision(), none.recall(), none.accuracy_interval(0.9)), (None, None, None));
        let surely_no = of(0.5, &[0.0, 0.0]);
        assert_eq!((surely_no.accuracy(), surely_no.f1(), surely_no.recall()), (Some(1.0), None, None));
        assert_eq!(surely_no.accuracy_interval(0.9), Some(Interval { low: 1.0, high: 1.0 }));
        let mut one = of(0.5, &[1.0]);
        assert_eq!((one.f1(), one.accuracy_interval(0.9)), (Some(1.0), None));
        assert!(!one.merge(&of(0.4, &[1.0])));
        assert_eq!(one.rows(), 1);
    }
}
