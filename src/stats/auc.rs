//! Owns the area under the ROC curve with its error: whether a score ranks positives above negatives.

use super::proportion::score;
use super::{Interval, two_sided_z};

/// The area under the ROC curve: the chance that a positive's score exceeds a negative's, ties counting one half. By ranks
/// (J. A. Hanley & B. J. McNeil, Radiology 143 (1982) 29-36); equals Mann-Whitney's U over the number of pairs. Scores and
/// labels are parallel slices. `None` if those differ in length or are empty, if a score is NaN, or if only one class is
/// present.
#[must_use]
pub fn auc(scores: &[f32], labels: &[bool]) -> Option<f64> {
    Auc::of(scores, labels).map(|auc| auc.area)
}

/// An area under the ROC curve and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Auc {
    /// The area, in `[0, 1]`.
    pub area: f64,
    /// Rows that are positive.
    pub positives: u64,
    /// Rows that are negative.
    pub negatives: u64,
    /// The standard error, without a model of the scores: E. R. DeLong, D. M. DeLong & D. L. Clarke-Pearson, Biometrics 44
    /// (1988) 837-845. `None` with only one positive or negative. Zero where every positive is above every negative.
    pub standard_error: Option<f64>,
}

impl Auc {
    /// [`auc`] with its error; `None` in the same cases.
    #[must_use]
    pub fn of(scores: &[f32], labels: &[bool]) -> Option<Self> {
        if scores.len() != labels.len() || scores.iter().any(|score| score.is_nan()) {
            return None;
        }
        let mut rows: Vec<(f32, bool)> = scores.iter().copied().zip(labels.iter().copied()).collect();
        rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let positives = rows.iter().filter(|row| row.1).count() as u64;
        let negatives = rows.len() as u64 - positives;
        if positives == 0 || negatives == 0 {
            return None;
        }
        // Twice the pairs won, an integer.
        let won_twice: u128 = Ties::of(&rows).map(|t| u128::from(t.positives) * u128::from(t.twice_below)).sum();
        let (m, n) = (positives as f64, negatives as f64);
        let area = won_twice as f64 / (2.0 * m * n);
        // Each row's own share of won pairs, about its mean, which is the area for both classes.
        let (mut of_positives, mut of_negatives) = (0.0, 0.0);
        for ties in Ties::of(&rows) {
            let won = ties.twice_below as f64 / (2.0 * n) - area;
            of_positives += ties.positives as f64 * won * won;
            let twice_above = 2 * (positives - ties.positives_through) + ties.positives;
            let won = twice_above as f64 / (2.0 * m) - area;
            of_negatives += ties.negatives as f64 * won * won;
        }
        let variance = of_positives / (m - 1.0) / m + of_negatives / (n - 1.0) / n;
        let standard_error = (positives > 1 && negatives > 1).then(|| variance.sqrt());
        Some(Self { area, positives, negatives, standard_error })
    }

    /// The interval for the area: normal for its log-odds, with DeLong's error, so that it stays in `[0, 1]`. With ten rows in
    /// the smaller class one of 95 % covers 90 to 98 %, from fifty on 93 to 95 % (3000 samples each of normal scores, areas
    /// 0.58 to 0.98).
    ///
    /// Where that error is zero or missing it would be a point. The limits are then Wilson's for this share of as many trials
    /// as the smaller class has rows: the area is a mean over all ways to pair positives and negatives one to one, and each of
    /// those has that many independent pairs, so its variance is no larger. `None` unless `0 < confidence < 1`.
    #[must_use]
    pub fn interval(&self, confidence: f64) -> Option<Interval> {
        let z = two_sided_z(confidence)?;
        let inner = self.area > 0.0 && self.area < 1.0;
        let Some(error) = self.standard_error.filter(|error| inner && *error > 0.0) else {
            let pairs = self.positives.min(self.negatives) as f64;
            let Interval { low, high } = score(self.area, pairs, z);
            return Some(Interval { low: low.clamp(0.0, self.area), high: high.clamp(self.area, 1.0) });
        };
        let odds = libm::log(self.area / (1.0 - self.area));
        let spread = z * error / (self.area * (1.0 - self.area));
        let area = |odds: f64| 1.0 / (1.0 + libm::exp(-odds));
        Some(Interval { low: area(odds - spread), high: area(odds + spread) })
    }
}

/// Rows of one score.
struct Ties {
    positives: u64,
    negatives: u64,
    /// Twice the negatives below, and those tied once.
    twice_below: u64,
    /// Positives up to and with these.
    positives_through: u64,
}

impl Ties {
    /// The groups of equal scores of sorted rows.
    fn of(rows: &[(f32, bool)]) -> impl Iterator<Item = Self> {
        let (mut negatives_below, mut positives_through) = (0, 0);
        rows.chunk_by(|a, b| a.0 == b.0).map(move |tie| {
            let positives = tie.iter().filter(|row| row.1).count() as u64;
            let negatives = tie.len() as u64 - positives;
            let twice_below = 2 * negatives_below + negatives;
            negatives_below += negatives;
            positives_through += positives;
            Self { positives, negatives, twice_below, positives_through }
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Area and DeLong's error with every pair written out.
        #[test]
        fn ranks_agree_with_counting_pairs(rows in prop::collection::vec((0_u8..9, any::<bool>()), 1..60)) {
            let scores: Vec<f32> = rows.iter().map(|row| f32::from(row.0)).collect();
            let labels: Vec<bool> = rows.iter().map(|row| row.1).collect();
            let of = |label: bool| rows.iter().filter(move |row| row.1 == label).map(|row| row.0).collect::<Vec<u8>>();
            let (up, down) = (of(true), of(false));
            let won = |x: u8, y: u8| if x > y { 1.0 } else if x == y { 0.5 } else { 0.0 };
            let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
            let of_up: Vec<f64> = up.iter().map(|&x| mean(&down.iter().map(|&y| won(x, y)).collect::<Vec<_>>())).collect();
            let of_down: Vec<f64> = down.iter().map(|&y| mean(&up.iter().map(|&x| won(x, y)).collect::<Vec<_>>())).collect();
            let spread = |values: &[f64]| {
                values.iter().map(|v| (v - mean(values)) * (v - mean(values))).sum::<f64>() / (values.len() as f64 - 1.0)
            };
            let Some(got) = Auc::of(&scores, &labels) else {
                prop_assert!(up.is_empty() || down.is_empty());
                return Ok(());
            };
            prop_assert!((got.area - mean(&of_up)).abs() < 1e-12);
            match got.standard_error {
                Some(error) => {
                    let want = (spread(&of_up) / up.len() as f64 + spread(&of_down) / down.len() as f64).sqrt();
                    prop_assert!((error - want).abs() < 1e-12, "{} {}", error, want);
                }
                None => prop_assert!(up.len() == 1 || down.len() == 1),
            }
            let interval = got.interval(0.95).unwrap();
            prop_assert!(interval.low <= got.area + 1e-15 && got.area <= interval.high + 1e-15);
            prop_assert!(interval.low >= 0.0 && interval.high <= 1.0 && interval.width() > 0.0);
        }
    }

    #[test]
    fn signed_zeros_are_one_tie() {
        assert_eq!(auc(&[0.0, -0.0], &[true, false]), Some(0.5));
    }

    #[test]
    fn known_cases() {
        assert_eq!(auc(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true]), Some(0.75)); // scikit-learn's example
    }

    /// scores (i * 7 % 16) / 2 and labels (i % 3 == 0 or i in 4, 5) for i in 0..20: `sklearn.metrics.roc_auc_score` (1.9.1); the
    /// error by numpy from the matrix of all pairs, which `confidenceinterval.delong.delong_roc_variance` (1.0.5) gives to its
    /// single precision; limits by numpy from those.
    #[test]
    fn the_error_is_delongs() {
        let scores: Vec<f32> = (0..20_u8).map(|i| f32::from(i * 7 % 16) / 2.0).collect();
        let labels: Vec<bool> = (0..20).map(|i| i % 3 == 0 || i == 4 || i == 5).collect();
        let got = Auc::of(&scores, &labels).unwrap();
        let interval = got.interval(0.95).unwrap();
        let got = [got.area, got.standard_error.unwrap(), interval.low, interval.high];
        let want =
            [0.570_707_070_707_070_7, 0.139_840_632_542_719_72, 0.302_807_215_908_603_04, 0.802_728_997_100_812_4];
        assert!(got.iter().zip(want).all(|(got, want): (&f64, f64)| (got - want).abs() < 1e-14), "{got:?}");
    }

    #[test]
    fn a_perfect_ranking_of_few_is_not_certain() {
        let perfect = Auc::of(&[0.1, 0.2, 0.8, 0.9], &[false, false, true, true]).unwrap();
        assert_eq!((perfect.area, perfect.standard_error), (1.0, Some(0.0)));
        let interval = perfect.interval(0.95).unwrap();
        assert!(interval.high == 1.0 && interval.low < 0.4, "{interval:?}");
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        assert_eq!(auc(&[], &[]), None);
        assert_eq!(auc(&[0.5], &[true]), None);
        assert_eq!(auc(&[0.5], &[]), None);
        assert_eq!(auc(&[0.5, f32::NAN], &[true, false]), None);
        assert_eq!(auc(&[f32::NEG_INFINITY, f32::INFINITY], &[false, true]), Some(1.0));
        let equal = Auc::of(&[0.5; 6], &[true, false, true, false, false, false]).unwrap();
        assert_eq!((equal.area, equal.standard_error), (0.5, Some(0.0)));
        assert!(equal.interval(0.95).unwrap().width() > 0.5);
        assert_eq!(equal.interval(1.0), None);
        assert_eq!(Auc::of(&[0.5, 0.4, 0.3], &[true, false, false]).unwrap().standard_error, None);
    }
}
