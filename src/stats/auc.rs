//! Owns measures of a binary score: area under the ROC curve, Brier score, expected calibration error.
//!
//! Scores and labels are parallel slices. All give `None` if those differ in length or are empty, or if a score is NaN.

/// The area under the ROC curve: the chance that a positive's score exceeds a negative's, ties counting one half. By ranks
/// (J. A. Hanley & B. J. McNeil, Radiology 143 (1982) 29-36); equals Mann-Whitney's U over the number of pairs. `None` too if
/// only one class is present.
#[must_use]
pub fn auc(scores: &[f32], labels: &[bool]) -> Option<f64> {
    check(scores, labels)?;
    let mut rows: Vec<(f32, bool)> = scores.iter().copied().zip(labels.iter().copied()).collect();
    rows.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    // Twice the number of pairs won, an integer.
    let (mut negatives_below, mut positives, mut won_twice) = (0_u64, 0_u64, 0_u128);
    for tie in rows.chunk_by(|a, b| a.0 == b.0) {
        let up = tie.iter().filter(|row| row.1).count() as u64;
        let down = tie.len() as u64 - up;
        won_twice += u128::from(up) * u128::from(2 * negatives_below + down);
        positives += up;
        negatives_below += down;
    }
    let pairs = positives as f64 * negatives_below as f64;
    (pairs > 0.0).then(|| won_twice as f64 / (2.0 * pairs))
}

/// The mean squared distance of a predicted probability from the outcome, in `[0, 1]`, less is better (G. W. Brier, Monthly
/// Weather Review 78 (1950) 1-3). `None` too for a score outside `[0, 1]`.
#[must_use]
pub fn brier(probabilities: &[f32], labels: &[bool]) -> Option<f64> {
    check_probabilities(probabilities, labels)?;
    let squares = probabilities.iter().zip(labels).map(|(&p, &label)| {
        let miss = f64::from(p) - f64::from(u8::from(label));
        miss * miss
    });
    Some(squares.sum::<f64>() / labels.len() as f64)
}

/// Expected calibration error over `bins` equal-width bins, closed on the right as in Guo et al. (ICML 2017): the mean
/// distance between predicted and seen share, weighted by rows. `None` too for a score outside `[0, 1]` or no bins.
#[must_use]
pub fn expected_calibration_error(probabilities: &[f32], labels: &[bool], bins: usize) -> Option<f64> {
    check_probabilities(probabilities, labels)?;
    if bins == 0 {
        return None;
    }
    let mut gaps = vec![0.0_f64; bins];
    for (&p, &label) in probabilities.iter().zip(labels) {
        let p = f64::from(p);
        let bin = ((p * bins as f64).ceil() as usize).clamp(1, bins) - 1;
        gaps[bin] += p - f64::from(u8::from(label));
    }
    Some(gaps.iter().map(|gap| gap.abs()).sum::<f64>() / labels.len() as f64)
}

fn check(scores: &[f32], labels: &[bool]) -> Option<()> {
    (!scores.is_empty() && scores.len() == labels.len() && !scores.iter().any(|score| score.is_nan())).then_some(())
}

fn check_probabilities(probabilities: &[f32], labels: &[bool]) -> Option<()> {
    check(probabilities, labels).filter(|()| probabilities.iter().all(|p| (0.0..=1.0).contains(p)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranks_agree_with_counting_pairs(rows in prop::collection::vec((0_u8..9, any::<bool>()), 1..60)) {
            let scores: Vec<f32> = rows.iter().map(|row| f32::from(row.0)).collect();
            let labels: Vec<bool> = rows.iter().map(|row| row.1).collect();
            let (mut won, mut pairs) = (0.0, 0.0);
            for up in rows.iter().filter(|row| row.1) {
                for down in rows.iter().filter(|row| !row.1) {
                    pairs += 1.0;
                    won += if up.0 > down.0 { 1.0 } else if up.0 == down.0 { 0.5 } else { 0.0 };
                }
            }
            match auc(&scores, &labels) {
                Some(area) => prop_assert!((area - won / pairs).abs() < 1e-12),
                None => prop_assert_eq!(pairs, 0.0),
            }
        }
    }

    #[test]
    fn signed_zeros_are_one_tie() {
        assert_eq!(auc(&[0.0, -0.0], &[true, false]), Some(0.5));
    }

    #[test]
    fn known_cases() {
        assert_eq!(auc(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true]), Some(0.75)); // scikit-learn's example
        assert_eq!(brier(&[0.0, 1.0, 0.5, 0.25], &[false, true, true, false]), Some(0.078_125));
        // Bins (0, .5] and (.5, 1]: |0.25 + 0.5 - 1| and |0.75 + 0.75 - 2|, over four rows.
        let ece = expected_calibration_error(&[0.25, 0.5, 0.75, 0.75], &[false, true, true, true], 2);
        assert_eq!(ece, Some(0.187_5));
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        assert_eq!(auc(&[], &[]), None);
        assert_eq!(auc(&[0.5], &[true]), None);
        assert_eq!(auc(&[0.5, f32::NAN], &[true, false]), None);
        assert_eq!(auc(&[f32::NEG_INFINITY, f32::INFINITY], &[false, true]), Some(1.0));
        assert_eq!(brier(&[0.5], &[]), None);
        assert_eq!(brier(&[1.5], &[true]), None);
        assert_eq!(expected_calibration_error(&[0.5], &[true], 0), None);
        assert_eq!(expected_calibration_error(&[0.0], &[false], 4), Some(0.0));
    }
}
