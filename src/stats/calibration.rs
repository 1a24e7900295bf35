//! Owns how well predicted probabilities agree with outcomes: calibration error over bins, Brier score with its parts.

use super::summary::Summary;
use super::{Interval, normal};

/// The customary number of bins.
pub const BINS: usize = 10;

/// What fell into one bin.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Bin {
    rows: u64,
    positives: u64,
    /// Sum of the predicted probabilities.
    predicted: f64,
}

/// Probabilities and outcomes by bin of probability, closed on the right (the first holds 0 too). Counts of scrapes add up by
/// [`CalibrationBins::merge`]. Memory: 24 bytes a bin, whatever the number of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct CalibrationBins {
    /// The inner edges, ascending; one bin more than edges.
    edges: Vec<f64>,
    bins: Vec<Bin>,
    /// Of the squared distance between probability and outcome.
    squares: Summary,
    /// Sums of (y - p)(1 - 2p) and (1 - 2p)^2 p (1 - p).
    spiegelhalter: (f64, f64),
}

impl CalibrationBins {
    /// Bins of equal width, as in C. Guo, G. Pleiss, Y. Sun & K. Q. Weinberger (ICML 2017). `None` without bins.
    #[must_use]
    pub fn equal_width(bins: usize) -> Option<Self> {
        (bins > 0).then(|| Self {
            edges: (1..bins).map(|i| i as f64 / bins as f64).collect(),
            bins: vec![Bin::default(); bins],
            squares: Summary::default(),
            spiegelhalter: (0.0, 0.0),
        })
    }

    /// Takes one row in. A probability that is none (NaN, outside `[0, 1]`) is left out.
    pub fn add(&mut self, probability: f64, outcome: bool) {
        if !(0.0..=1.0).contains(&probability) {
            return;
        }
        let bin = &mut self.bins[self.edges.partition_point(|&edge| probability > edge)];
        bin.rows += 1;
        bin.positives += u64::from(outcome);
        bin.predicted += probability;
        let miss = f64::from(u8::from(outcome)) - probability;
        self.squares.add(miss * miss);
        let lean = 1.0 - 2.0 * probability;
        self.spiegelhalter.0 += miss * lean;
        self.spiegelhalter.1 += lean * lean * probability * (1.0 - probability);
    }

    /// Takes in all that `other` has seen; false, and nothing is taken, if its bins are others.
    #[must_use]
    pub fn merge(&mut self, other: &Self) -> bool {
        if self.edges != other.edges {
            return false;
        }
        for (bin, more) in self.bins.iter_mut().zip(&other.bins) {
            bin.rows += more.rows;
            bin.positives += more.positives;
            bin.predicted += more.predicted;
        }
        self.squares.merge(&other.squares);
        self.spiegelhalter.0 += other.spiegelhalter.0;
        self.spiegelhalter.1 += other.spiegelhalter.1;
        true
    }

    /// How many rows were taken in.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.squares.count()
    }

    /// Expected calibration error, in `[0, 1]`: the distance between mean probability and share of positives in each bin,
    /// weighted by its rows; an empty bin has no weight. `None` without rows. Chance alone lifts it above 0, for calibrated
    /// scores spread evenly by about a third of `sqrt(bins / rows)`; whether it is more than chance,
    /// [`CalibrationBins::spiegelhalter`] tells.
    #[must_use]
    pub fn expected_calibration_error(&self) -> Option<f64> {
        let gap: f64 = self.bins.iter().map(|bin| (bin.predicted - bin.positives as f64).abs()).sum();
        (self.rows() > 0).then(|| gap / self.rows() as f64)
    }

    /// The Brier score, in `[0, 1]`, and its parts. `None` without rows.
    #[must_use]
    pub fn brier(&self) -> Option<Brier> {
        let score = self.squares.mean()?;
        let rows = self.rows() as f64;
        let base = self.bins.iter().map(|bin| bin.positives).sum::<u64>() as f64 / rows;
        let (mut reliability, mut resolution) = (0.0, 0.0);
        for bin in self.bins.iter().filter(|bin| bin.rows > 0) {
            let n = bin.rows as f64;
            let (forecast, seen) = (bin.predicted / n, bin.positives as f64 / n);
            reliability += n / rows * (forecast - seen) * (forecast - seen);
            resolution += n / rows * (seen - base) * (seen - base);
        }
        let uncertainty = base * (1.0 - base);
        let within_bins = score - (reliability - resolution + uncertainty);
        Some(Brier { score, reliability, resolution, uncertainty, within_bins })
    }

    /// Student's interval for the Brier score as a mean of squared distances, cut to `[0, 1]`. A point if all rows miss by the
    /// same. `None` below two rows, or unless `0 < confidence < 1`.
    #[must_use]
    pub fn brier_interval(&self, confidence: f64) -> Option<Interval> {
        let Interval { low, high } = self.squares.mean_interval(confidence)?;
        Some(Interval { low: low.max(0.0), high: high.min(1.0) })
    }

    /// The test that outcomes happen with the probabilities predicted, without bins (D. J. Spiegelhalter, Statistics in
    /// Medicine 5 (1986) 421-433): the Brier score's excess over what calibrated probabilities would score, in standard errors.
    /// It is blind to a shift that is even around one half. Probabilities of 0 and 1 leave no room: with nothing but those (and
    /// 1/2, which says nothing) a single miss is impossible, z infinite and p 0. `None` without rows, or if nothing was missed
    /// then.
    #[must_use]
    pub fn spiegelhalter(&self) -> Option<Spiegelhalter> {
        let (excess, variance) = self.spiegelhalter;
        if variance == 0.0 && excess == 0.0 {
            return None;
        }
        let z = excess / variance.sqrt();
        Some(Spiegelhalter { z, p: 2.0 * normal::sf(z.abs()) })
    }
}

/// The Brier score (G. W. Brier, Monthly Weather Review 78 (1950) 1-3) as `reliability - resolution + uncertainty +
/// within_bins`: A. H. Murphy, Journal of Applied Meteorology 12 (1973) 595-600, and what is left over when a bin holds
/// different probabilities, D. B. Stephenson, C. A. S. Coelho & I. T. Jolliffe, Weather and Forecasting 23 (2008) 752-757.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Brier {
    /// The mean squared distance of probability from outcome; less is better.
    pub score: f64,
    /// How far the share of positives in a bin is from the probability there, squared; less is better.
    pub reliability: f64,
    /// How far that share is from the overall one, squared; more is better.
    pub resolution: f64,
    /// The score of always predicting the overall share.
    pub uncertainty: f64,
    /// Variance of the probabilities within bins minus twice their covariance with the outcomes.
    pub within_bins: f64,
}

/// The result of Spiegelhalter's test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spiegelhalter {
    /// Standard normal if probabilities are calibrated; positive for ones that are too sure of themselves.
    pub z: f64,
    /// Its two-sided p-value.
    pub p: f64,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rng::{Seed, Stream};
    use crate::stats::kolmogorov::two_sided_sf;

    fn count(mut bins: CalibrationBins, rows: &[(f64, bool)]) -> CalibrationBins {
        rows.iter().for_each(|&(probability, outcome)| bins.add(probability, outcome));
        bins
    }

    fn near(a: Option<f64>, b: Option<f64>) -> bool {
        match (a, b) {
            (Some(a), Some(b)) => (a - b).abs() < 1e-12,
            (a, b) => a == b,
        }
    }

    proptest! {
        #[test]
        fn merging_equals_adding_all(
            rows in prop::collection::vec((-0.1..1.1, any::<bool>()), 0..60), at in 0_usize..60, width in 1_usize..12,
        ) {
            let bins = CalibrationBins::equal_width(width).unwrap();
            let (one, two) = rows.split_at(at.min(rows.len()));
            let (whole, mut merged) = (count(bins.clone(), &rows), count(bins.clone(), one));
            prop_assert!(merged.merge(&count(bins, two)));
            prop_assert_eq!(merged.rows(), whole.rows());
            prop_assert_eq!(merged.rows(), rows.iter().filter(|(p, _)| (0.0..=1.0).contains(p)).count() as u64);
            prop_assert!(near(merged.expected_calibration_error(), whole.expected_calibration_error()));
            prop_assert!(near(merged.brier().map(|b| b.score), whole.brier().map(|b| b.score)));
            prop_assert!(near(merged.brier().map(|b| b.reliability), whole.brier().map(|b| b.reliability)));
        }

        #[test]
        fn the_interval_contains_the_score_and_no_part_is_negative(
            rows in prop::collection::vec((0.0..=1.0, any::<bool>()), 2..60),
        ) {
            let bins = count(CalibrationBins::equal_width(BINS).unwrap(), &rows);
            let brier = bins.brier().unwrap();
            prop_assert!(bins.brier_interval(0.95).unwrap().contains(brier.score));
            prop_assert!(brier.reliability >= 0.0 && brier.resolution >= 0.0 && brier.uncertainty >= 0.0);
            // Resolution cannot exceed what there is to resolve.
            prop_assert!(brier.resolution <= brier.uncertainty + 1e-12);
        }

        #[test]
        fn probabilities_that_are_equal_within_bins_leave_nothing_over(
            rows in prop::collection::vec((0_u8..10, any::<bool>()), 1..60),
        ) {
            let rows: Vec<(f64, bool)> = rows.iter().map(|&(p, y)| ((f64::from(p) + 0.5) / 10.0, y)).collect();
            let brier = count(CalibrationBins::equal_width(10).unwrap(), &rows).brier().unwrap();
            prop_assert!(brier.within_bins.abs() < 1e-12);
        }
    }

    const P: [f64; 12] = [0.02, 0.10, 0.13, 0.20, 0.35, 0.40, 0.41, 0.58, 0.70, 0.71, 0.88, 0.97];
    const Y: [u8; 12] = [0, 0, 1, 0, 0, 1, 0, 1, 1, 0, 1, 1];

    /// p, y as above; `y1, p1 = sklearn.calibration.calibration_curve(y, p, n_bins=5)` (scikit-learn 1.9.1) with the bins' rows
    /// n by `numpy.histogram` of `ceil(5 p)`: `sum(n * abs(y1 - p1)) / 12`, `sum(n * (y1 - p1) ** 2) / 12`,
    /// `sum(n * (y1 - 0.5) ** 2) / 12`; `sklearn.metrics.brier_score_loss(y, p)`; the interval by
    /// `scipy.stats.t.interval(0.9, 11, mean, sem)` of `(y - p) ** 2`; z and p by numpy and `scipy.stats.norm`.
    #[test]
    fn measures_agree_with_scikit_learn_and_scipy() {
        let rows: Vec<(f64, bool)> = P.iter().zip(Y).map(|(&p, y)| (p, y == 1)).collect();
        let bins = count(CalibrationBins::equal_width(5).unwrap(), &rows);
        let (brier, interval) = (bins.brier().unwrap(), bins.brier_interval(0.9).unwrap());
        let test = bins.spiegelhalter().unwrap();
        let got = [
            bins.expected_calibration_error().unwrap(),
            brier.reliability,
            brier.resolution,
            brier.score,
            interval.low,
            interval.high,
            test.z,
            test.p,
        ];
        let want = [
            0.114_166_666_666_666_65,
            0.016_852_083_333_333_33,
            0.0625,
            0.186_975_000_000_000_03,
            0.063_747_452_721_836_61,
            0.310_202_547_278_163_4,
            0.567_964_728_742_338_2,
            0.570_058_918_099_168_9,
        ];
        for (got, want) in got.iter().zip(want) {
            assert!((got - want).abs() < 1e-12_f64, "{got} {want}");
        }
        assert_eq!(brier.uncertainty, 0.25);
    }

    #[test]
    fn the_p_value_of_calibrated_scores_is_uniform() {
        const ROUNDS: usize = 1500;
        let mut stream = Stream::named(Seed(20_261_124), "calibration", "null");
        let mut p: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let mut bins = CalibrationBins::equal_width(BINS).unwrap();
                for _ in 0..500 {
                    let score = stream.uniform();
                    bins.add(score, stream.uniform() < score);
                }
                bins.spiegelhalter().unwrap().p
            })
            .collect();
        p.sort_by(f64::total_cmp);
        let step = |i: usize| i as f64 / ROUNDS as f64;
        let d = p.iter().enumerate().map(|(i, p)| (p - step(i)).max(step(i + 1) - p)).fold(0.0, f64::max);
        // One in a thousand uniform samples is further from the uniform distribution.
        assert!(two_sided_sf(ROUNDS as u64, d).unwrap() > 1e-3, "{d}");
    }

    #[test]
    fn too_sure_probabilities_are_noticed() {
        let mut bins = CalibrationBins::equal_width(BINS).unwrap();
        for i in 0..1000 {
            // 80 % where 95 % was said.
            bins.add(0.95, i % 5 != 0);
        }
        assert!(near(bins.expected_calibration_error(), Some(0.15)));
        let test = bins.spiegelhalter().unwrap();
        assert!(test.z > 10.0 && test.p < 1e-20, "{test:?}");
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        assert_eq!(CalibrationBins::equal_width(0), None);
        let mut bins = CalibrationBins::equal_width(4).unwrap();
        for bad in [f64::NAN, -0.1, 1.1, f64::INFINITY] {
            bins.add(bad, true);
        }
        assert_eq!(bins.rows(), 0);
        assert_eq!((bins.expected_calibration_error(), bins.brier(), bins.brier_interval(0.9)), (None, None, None));
        assert_eq!(bins.spiegelhalter(), None);
        bins.add(0.0, false);
        assert_eq!((bins.expected_calibration_error(), bins.spiegelhalter()), (Some(0.0), None));
        bins.add(1.0, true);
        assert_eq!(bins.brier_interval(0.95), Some(Interval { low: 0.0, high: 0.0 }));
        assert_eq!(bins.brier().unwrap().resolution, 0.25);
        let mut sure = bins.clone();
        sure.add(0.5, true);
        assert_eq!(sure.spiegelhalter(), None);
        sure.add(1.0, false);
        assert_eq!(sure.spiegelhalter(), Some(Spiegelhalter { z: f64::INFINITY, p: 0.0 }));
        assert!(!bins.merge(&CalibrationBins::equal_width(5).unwrap()));
        assert_eq!(bins.rows(), 2);
    }
}
