//! Owns FHDDM: Hoeffding's bound on a sliding window.

use super::config::{BadParameter, count, must, share};
use super::{Detector, Reading, Step, Takes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// FHDDM on a stream of errors. With `u` the share of right answers among the newest `sliding_window_size`: alarm when the
/// largest `u` so far exceeds it by more than `sqrt(ln(1/confidence_level)/(2 sliding_window_size))`. With a short window
/// (FHDDMS), also when the same holds for the newest `short_window_size`. Everything begins anew after an alarm. As river 0.23
/// has it, which is fed with right answers: `errors = false`.
///
/// * Units: none; observations are errors (1 wrong, 0 right), or right answers.
/// * False alarms: errors with probability 0.05 and independent, at the defaults, none in 60 million observations (measured). The
///   level is one window's, not a stream's, and is paid by a bound that knows no variance.
/// * Blind to: improvement; a rise by less than the bound (0.26 at the defaults), which only chance takes beyond it.
/// * Memory: at most `versions (8 sliding_window_size + 300) + 32 observations` bytes.
/// * Source: Pesaranghader and Viktor, ECML PKDD 2016; the short window: Pesaranghader et al., Machine Learning 107 (2018)
///   1711-1743.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FhddmConfig {
    /// The newest so many observations are looked at; nothing is decided before.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub sliding_window_size: u32,
    /// Confidence of the bound: smaller is more careful.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub confidence_level: f64,
    /// Also look at the newest so many; not longer than the other window.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub short_window_size: Option<u32>,
    /// Whether observations are errors (1 wrong); else they are right answers (1 right).
    pub errors: bool,
}

impl Default for FhddmConfig {
    fn default() -> Self {
        Self { sliding_window_size: 100, confidence_level: 1e-6, short_window_size: None, errors: true }
    }
}

impl FhddmConfig {
    pub(super) fn check(&self) -> Result<(), BadParameter> {
        count("sliding_window_size", self.sliding_window_size, 1)?;
        share("confidence_level", self.confidence_level)?;
        let short = self.short_window_size.unwrap_or(1);
        must((1..=self.sliding_window_size).contains(&short), "short_window_size", "1 to sliding_window_size")
    }

    pub(super) fn start(&self) -> Fhddm {
        let part = |size: u32| {
            let size = f64::from(size);
            Part { size, bound: (libm::log(1.0 / self.confidence_level) / (2.0 * size)).sqrt(), sum: 0.0, best: 0.0 }
        };
        let size = self.sliding_window_size as usize;
        Fhddm {
            errors: self.errors,
            size,
            window: VecDeque::with_capacity(size),
            long: part(self.sliding_window_size),
            short: self.short_window_size.map(part),
            gap: None,
            seen: 0,
            alarmed: false,
        }
    }
}

/// The newest so many right answers.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Part {
    size: f64,
    bound: f64,
    sum: f64,
    best: f64,
}

impl Part {
    /// How far the share is below the best.
    fn gap(&mut self) -> f64 {
        let share = self.sum / self.size;
        self.best = if self.best < share { share } else { self.best };
        self.best - share
    }
}

/// An FHDDM at work.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fhddm {
    errors: bool,
    size: usize,
    /// Oldest first; one short of its size between observations, once it has been full.
    window: VecDeque<f64>,
    long: Part,
    short: Option<Part>,
    /// How far the share is below the best and how far it may be, once the window is full: of the window that is nearer to its
    /// bound, or further beyond it.
    gap: Option<(f64, f64)>,
    seen: u64,
    alarmed: bool,
}

impl Detector for Fhddm {
    const TAKES: Takes = Takes::Unit;

    fn step(&mut self, x: f64) -> Step {
        if self.alarmed {
            self.window.clear();
            (self.long.sum, self.long.best) = (0.0, 0.0);
            self.short.iter_mut().for_each(|short| (short.sum, short.best) = (0.0, 0.0));
            (self.gap, self.seen, self.alarmed) = (None, 0, false);
        }
        self.seen += 1;
        let right = if self.errors { 1.0 - x } else { x };
        self.window.push_back(right);
        self.long.sum += right;
        if let Some(short) = &mut self.short {
            short.sum += right;
            if let Some(i) = self.window.len().checked_sub(short.size as usize + 1) {
                short.sum -= self.window[i];
            }
        }
        if self.window.len() == self.size {
            let long = (self.long.gap(), self.long.bound);
            let short = self.short.as_mut().map(|short| (short.gap(), short.bound));
            let beyond = |(gap, bound): &(f64, f64)| gap - bound;
            let (gap, bound) = short.filter(|short| beyond(short) > beyond(&long)).unwrap_or(long);
            self.gap = Some((gap, bound));
            self.alarmed = gap > bound;
            let leaves = self.window.pop_front().unwrap_or(0.0);
            self.long.sum -= leaves;
            if let Some(short) = self.short.as_mut().filter(|short| short.size == self.long.size) {
                short.sum -= leaves;
            }
        }
        Step::alarm(self.alarmed)
    }

    fn reading(&self) -> Reading {
        let (statistic, threshold) = self.gap.unwrap_or((f64::NAN, self.long.bound));
        Reading { statistic, threshold, seen: self.seen }
    }

    fn needs(&self) -> (u64, u64) {
        // The first full window is the best so far.
        (self.seen, self.size as u64 + 1)
    }

    fn state(&self) -> Vec<(&'static str, f64)> {
        vec![("u_max", self.long.best), ("n_one", self.long.sum)]
    }

    fn heap(&self) -> usize {
        self.window.capacity() * size_of::<f64>()
    }
}
