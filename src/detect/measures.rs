//! Owns measures of how good answers are: against late labels, from confidence alone, and by what users do afterwards.

use crate::detect::Measurement;
use crate::detect::config::{Estimated, Quality};
use crate::detect::labelled::Pair;
use crate::detect::looks::Surety;
use crate::detect::ring::{Ring, Slice};
use crate::detect::service::share;
use crate::detect::verdict::NoVerdict;
use crate::event::{Observations, Outcomes};
use crate::id::VersionId;
use crate::stats::Interval;
use crate::stats::auc::Auc;
use crate::stats::calibration::CalibrationBins;
use crate::stats::classification::Confusion;
use crate::stats::label_free::LabelFree;
use crate::stats::summary::Summary;
use crate::time::{SimTime, Span};

/// A measure over labelled answers. Pairs without a label are left out. An answer that is no number is a wrong one, and of the
/// wrong rank; a promise it is not, and so none that could be kept or broken: calibration leaves it out.
///
/// # Errors
/// When there are fewer than `min`, or only one class.
pub fn labelled(
    measure: Quality,
    pairs: &[Pair],
    min: usize,
    threshold: f64,
    surety: Surety,
) -> Result<Measurement, NoVerdict> {
    let pairs: Vec<&Pair> = pairs.iter().filter(|p| !p.label.is_nan()).collect();
    let from = pairs.iter().map(|p| p.ended).min().ok_or(NoVerdict::Empty)?;
    if pairs.len() < min {
        return Err(NoVerdict::TooFew { got: pairs.len() as u64, need: min as u64 });
    }
    let (n, confidence) = (pairs.len() as f64, surety.confidence);
    let confusion = || {
        let mut counts = Confusion::default();
        for pair in &pairs {
            let (class, truth) = pair.classes(threshold);
            counts.add(class, truth);
        }
        counts
    };
    let values = match measure {
        Quality::Accuracy => {
            let right = confusion().accuracy();
            share(right.events, right.trials, surety).ok_or(NoVerdict::Empty)?
        }
        Quality::F1 => {
            let counts = confusion();
            let interval = counts.f1_interval(confidence).ok_or(NoVerdict::OneClass)?;
            vec![counts.f1().ok_or(NoVerdict::OneClass)?, interval.low, interval.high, n]
        }
        Quality::Auc => {
            let labels: Vec<bool> = pairs.iter().map(|p| p.label >= 0.5).collect();
            let rank = |(p, one): (&&Pair, &bool)| match (p.score.is_nan(), one) {
                (false, _) => p.score,
                (true, true) => f32::NEG_INFINITY,
                (true, false) => f32::INFINITY,
            };
            let scores: Vec<f32> = pairs.iter().zip(&labels).map(rank).collect();
            let auc = Auc::of(&scores, &labels).ok_or(NoVerdict::OneClass)?;
            let interval = auc.interval(confidence).ok_or(NoVerdict::OneClass)?;
            vec![auc.area, interval.low, interval.high, n]
        }
        Quality::Calibration { bins } => {
            let mut counts = CalibrationBins::equal_width(bins).ok_or(NoVerdict::Empty)?;
            pairs.iter().for_each(|p| counts.add(f64::from(p.score), p.label >= 0.5));
            // Scores that are no probabilities can promise nothing.
            let brier = counts.brier().ok_or(NoVerdict::Undefined("scores are no probabilities"))?;
            if counts.rows() < min as u64 {
                return Err(NoVerdict::TooFew { got: counts.rows(), need: min as u64 });
            }
            let ece = counts.expected_calibration_error().unwrap_or(f64::NAN);
            let around = counts.brier_interval(confidence);
            let Interval { low, high } = around.unwrap_or(Interval { low: 0.0, high: 1.0 });
            let p = counts.spiegelhalter().map_or(f64::NAN, |test| test.p);
            vec![brier.score, low, high, ece, p, counts.rows() as f64]
        }
    };
    Ok(Measurement { values, from, column: None })
}

/// What confidence promises, scrape by scrape.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimates {
    threshold: f64,
    ring: Ring<LabelFree>,
}

impl Estimates {
    /// Nothing seen yet.
    #[must_use]
    pub const fn new(keep: Span, threshold: f64) -> Self {
        Self { threshold, ring: Ring::new(keep) }
    }

    /// Bytes behind pointers.
    #[must_use]
    pub fn heap(&self) -> usize {
        self.ring.heap(|_| 0)
    }

    /// Takes the scores of a batch. An answer that is no number is surely wrong.
    pub fn take(&mut self, batch: &Observations) {
        let from = batch.ended.iter().copied().min();
        let Some((from, mut expected)) = from.zip(LabelFree::new(self.threshold)) else { return };
        for &p in &batch.scores {
            if p.is_nan() { expected.miss() } else { expected.add(f64::from(p)) }
        }
        self.ring.push(batch.version, Slice { at: batch.scraped_at, from, what: expected });
    }

    /// The estimate over a window.
    ///
    /// # Errors
    /// When there are fewer than `min` scores.
    pub fn look(
        &self,
        measure: Estimated,
        version: VersionId,
        window: Span,
        min: usize,
        at: SimTime,
        confidence: f64,
    ) -> Result<Measurement, NoVerdict> {
        let slices = self.ring.over(version, window, at);
        let from = slices.clone().map(|s| s.from).min().ok_or(NoVerdict::Empty)?;
        let mut all = LabelFree::new(self.threshold).ok_or(NoVerdict::Empty)?;
        for slice in slices {
            // Of one threshold all of them.
            let _merged = all.merge(&slice.what);
        }
        let n = all.rows();
        if n < min as u64 {
            return Err(NoVerdict::TooFew { got: n, need: min as u64 });
        }
        let (value, interval) = match measure {
            Estimated::Accuracy => (all.accuracy(), all.accuracy_interval(confidence)),
            Estimated::F1 => (all.f1(), all.f1_interval(confidence)),
        };
        let (value, Interval { low, high }) = value.zip(interval).ok_or(NoVerdict::OneClass)?;
        Ok(Measurement { values: vec![value, low, high, n as f64], from, column: None })
    }
}

/// Sums of one outcome.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct OutcomeSum {
    summary: Summary,
    ones: u64,
    /// Values other than 0 and 1.
    amounts: u64,
}

/// A business outcome, scrape by scrape.
#[derive(Debug, Clone, PartialEq)]
pub struct OutcomeSums {
    ring: Ring<OutcomeSum>,
}

impl OutcomeSums {
    /// Nothing seen yet.
    #[must_use]
    pub const fn new(keep: Span) -> Self {
        Self { ring: Ring::new(keep) }
    }

    /// Bytes behind pointers.
    #[must_use]
    pub fn heap(&self) -> usize {
        self.ring.heap(|_| 0)
    }

    /// Takes a batch.
    pub fn take(&mut self, batch: &Outcomes) {
        let Some(from) = batch.ended.iter().copied().min() else { return };
        let mut sum = OutcomeSum::default();
        for &value in batch.values.iter().filter(|value| !value.is_nan()) {
            sum.summary.add(f64::from(value));
            sum.ones += u64::from(value == 1.0);
            sum.amounts += u64::from(value != 0.0 && value != 1.0);
        }
        self.ring.push(batch.version, Slice { at: batch.scraped_at, from, what: sum });
    }

    /// The rate (Wilson's interval; Clopper and Pearson's where it must be exact) if all values are 0 or 1, else the mean (Student's).
    ///
    /// # Errors
    /// When there are fewer than `min` values.
    pub fn look(
        &self,
        version: VersionId,
        window: Span,
        min: usize,
        at: SimTime,
        surety: Surety,
    ) -> Result<Measurement, NoVerdict> {
        let slices = self.ring.over(version, window, at);
        let from = slices.clone().map(|s| s.from).min().ok_or(NoVerdict::Empty)?;
        let mut all = OutcomeSum::default();
        for slice in slices {
            all.summary.merge(&slice.what.summary);
            all.ones += slice.what.ones;
            all.amounts += slice.what.amounts;
        }
        let n = all.summary.count();
        if n < min as u64 {
            return Err(NoVerdict::TooFew { got: n, need: min as u64 });
        }
        let values = if all.amounts == 0 {
            share(all.ones, n, surety).ok_or(NoVerdict::Empty)?
        } else {
            let interval = all.summary.mean_interval(surety.confidence).ok_or(NoVerdict::TooFew { got: n, need: 2 })?;
            vec![all.summary.mean().unwrap_or(f64::NAN), interval.low, interval.high, n as f64]
        };
        Ok(Measurement { values, from, column: None })
    }
}
