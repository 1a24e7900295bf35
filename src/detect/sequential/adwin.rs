//! Owns ADWIN, the adaptive window.

use super::config::{BadParameter, count, must, positive, share};
use super::{Detector, Reading, Step, Takes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// ADWIN: a window that grows until two parts of it, older and newer, differ in their means; then the oldest observations go
/// until none differ any more. A cut into `n0` and `n1` observations of `W` differs when the means do by more than
/// `sqrt(2/m v l) + 2/(3m) l`, with `1/m = 1/(n0 - c) + 1/(n1 - c)`, `c = min_window_length - 1`, `l = ln(2 ln(W)/delta)` and `v`
/// the window's variance. Cuts are tried between the buckets of an exponential histogram, every `clock` observations.
///
/// With `min_window_length = 1` the test is the paper's; the correction by `c` is MOA's and river's.
///
/// * Units: `range`: metric. The bound assumes data in an interval of length 1; observations are divided by `range`.
///   **A metric that varies by much less than `range` alarms late**: a shift by `d` needs some `6 range/d` observations. State
///   is in units of `range`; statistic (how far the means are apart at the cut that comes nearest to its bound, as of the last
///   look, or goes first beyond it) and threshold (the bound there) are in the metric's.
/// * False alarms: at the defaults one in 1.8 million observations of N(0, 1), one in 40 million of errors with probability 0.05
///   (measured). `delta` is about one look, not about a stream.
/// * Blind to: changes that leave the mean alone; gradual ones are found late. The delay is rounded up to the clock.
/// * Memory: at most `versions doublings (16 max_buckets + 64) + 300 versions + 32 observations` bytes: below 8 kB a version for
///   2^53 observations at the defaults.
/// * Source: Bifet and Gavalda, SIAM Data Mining 2007, 443-448; the variance of buckets: Babcock et al., PODS 2003, 234-243.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AdwinConfig {
    /// Confidence of the bound: smaller is more careful.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub delta: f64,
    /// Cuts are tried after every so many observations.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub clock: u32,
    /// Buckets of each size, beyond which two are merged.
    #[schemars(range(min = 2, max = 1000))]
    pub max_buckets: u32,
    /// The shortest part that is compared.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_window_length: u32,
    /// No cut is tried while the window is not longer than this.
    #[schemars(range(max = 1_000_000))]
    pub grace_period: u32,
    /// Length of the interval that the metric lies in, in its unit.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub range: f64,
    /// What of the window stays after an alarm.
    pub after_drift: AfterDrift,
}

/// What ADWIN keeps after an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AfterDrift {
    /// The newer part, as the paper has it. One change may alarm at several looks in a row, as more and more of the old goes.
    #[default]
    Newer,
    /// Nothing, and the clock begins anew, as river 0.23 has it.
    River,
}

impl Default for AdwinConfig {
    fn default() -> Self {
        Self {
            delta: 0.002,
            clock: 32,
            max_buckets: 5,
            min_window_length: 5,
            grace_period: 10,
            range: 1.0,
            after_drift: AfterDrift::Newer,
        }
    }
}

impl AdwinConfig {
    pub(super) fn check(&self) -> Result<(), BadParameter> {
        share("delta", self.delta)?;
        count("clock", self.clock, 1)?;
        must((2..=1000).contains(&self.max_buckets), "max_buckets", "between 2 and 1000")?;
        count("min_window_length", self.min_window_length, 1)?;
        count("grace_period", self.grace_period, 0)?;
        positive("range", self.range)
    }

    pub(super) fn start(&self) -> Adwin {
        let mut adwin = Adwin {
            delta: self.delta,
            clock: self.clock,
            max_buckets: self.max_buckets as usize,
            min_window_length: f64::from(self.min_window_length),
            grace_period: f64::from(self.grace_period),
            range: self.range,
            after_drift: self.after_drift,
            rows: Vec::new(),
            width: 0.0,
            total: 0.0,
            variance: 0.0,
            seen: 0,
            wait: 0,
            cut: None,
            alarmed: false,
        };
        adwin.begin();
        adwin
    }
}

/// Some consecutive observations in brief.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bucket {
    total: f64,
    /// Sum of squared deviations from the bucket's mean.
    variance: f64,
}

/// How far the means on both sides of a cut are apart, and how far they may be.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cut {
    apart: f64,
    bound: f64,
}

impl Cut {
    fn differs(&self) -> bool {
        self.apart > self.bound
    }
}

/// An ADWIN at work.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Adwin {
    delta: f64,
    clock: u32,
    max_buckets: usize,
    min_window_length: f64,
    grace_period: f64,
    range: f64,
    after_drift: AfterDrift,
    /// Buckets of `2^row` observations, oldest first. Only the last row may ever become empty, and then it goes.
    rows: Vec<Vec<Bucket>>,
    width: f64,
    total: f64,
    /// Sum of squared deviations from the window's mean.
    variance: f64,
    seen: u64,
    /// Observations until the next look.
    wait: u32,
    /// What the last look found.
    cut: Option<Cut>,
    alarmed: bool,
}

impl Adwin {
    fn begin(&mut self) {
        self.rows.truncate(1);
        match self.rows.first_mut() {
            Some(row) => row.clear(),
            None => self.rows.push(Vec::with_capacity(self.max_buckets + 1)),
        }
        (self.width, self.total, self.variance) = (0.0, 0.0, 0.0);
        (self.seen, self.wait, self.cut) = (0, self.clock, None);
    }

    fn insert(&mut self, x: f64) {
        let before = self.width;
        self.width += 1.0;
        if before > 0.0 {
            let off = x - self.total / before;
            self.variance += before * off * off / self.width;
        }
        self.total += x;
        self.rows[0].push(Bucket { total: x, variance: 0.0 });
        let (mut row, mut size) = (0, 1.0);
        while self.rows[row].len() > self.max_buckets {
            if row + 1 == self.rows.len() {
                self.rows.push(Vec::with_capacity(self.max_buckets + 1));
            }
            let (a, b) = (self.rows[row][0], self.rows[row][1]);
            let off = a.total / size - b.total / size;
            let variance = a.variance + b.variance + size * size * off * off / (size + size);
            self.rows[row].drain(..2);
            self.rows[row + 1].push(Bucket { total: a.total + b.total, variance });
            (row, size) = (row + 1, size + size);
        }
    }

    /// The first cut whose parts differ, or else the one that comes nearest to it.
    fn nearest(&self) -> Option<Cut> {
        let mut nearest: Option<Cut> = None;
        let log = libm::log(2.0 * libm::log(self.width) / self.delta);
        let variance = self.variance / self.width;
        let correction = self.min_window_length - 1.0;
        let (mut n0, mut n1, mut total0, mut total1) = (0.0, self.width, 0.0, self.total);
        let mut size = (1_u64 << (self.rows.len() - 1)) as f64;
        for row in self.rows.iter().rev() {
            for bucket in row {
                n0 += size;
                n1 -= size;
                total0 += bucket.total;
                total1 -= bucket.total;
                // The newest bucket is never a part of its own past: n1 is 0 there, and below the least length.
                if n0 < self.min_window_length || n1 < self.min_window_length {
                    continue;
                }
                let m = 1.0 / (n0 - correction) + 1.0 / (n1 - correction);
                let bound = (2.0 * m * variance * log).sqrt() + 2.0 / 3.0 * log * m;
                let cut = Cut { apart: (total0 / n0 - total1 / n1).abs(), bound };
                if cut.differs() {
                    return Some(cut);
                }
                if nearest.is_none_or(|other| cut.apart - cut.bound > other.apart - other.bound) {
                    nearest = Some(cut);
                }
            }
            size *= 0.5;
        }
        nearest
    }

    fn drop_oldest(&mut self) {
        let size = (1_u64 << (self.rows.len() - 1)) as f64;
        let Some(row) = self.rows.last_mut() else { return };
        let oldest = row.remove(0);
        if row.is_empty() {
            self.rows.pop();
        }
        self.width -= size;
        self.total -= oldest.total;
        let off = oldest.total / size - self.total / self.width;
        self.variance -= oldest.variance + size * self.width * off * off / (size + self.width);
    }

    fn mean(&self) -> f64 {
        if self.width > 0.0 { self.total / self.width } else { 0.0 }
    }

    /// Drops the oldest observations while two parts differ.
    fn look(&mut self) -> bool {
        self.cut = self.nearest();
        let differs = |cut: Option<Cut>| cut.is_some_and(|cut| cut.differs());
        if !differs(self.cut) {
            return false;
        }
        self.drop_oldest();
        while differs(self.nearest()) {
            self.drop_oldest();
        }
        true
    }
}

impl Detector for Adwin {
    const TAKES: Takes = Takes::Finite;

    fn step(&mut self, x: f64) -> Step {
        if self.alarmed && self.after_drift == AfterDrift::River {
            self.begin();
        }
        self.insert(x / self.range);
        self.seen += 1;
        self.wait -= 1;
        self.alarmed = false;
        if self.wait == 0 {
            self.wait = self.clock;
            self.alarmed = self.width > self.grace_period && self.look();
        }
        Step::alarm(self.alarmed)
    }

    fn reading(&self) -> Reading {
        let told = |of: fn(&Cut) -> f64| self.cut.as_ref().map_or(f64::NAN, of) * self.range;
        Reading { statistic: told(|cut| cut.apart), threshold: told(|cut| cut.bound), seen: self.seen }
    }

    fn needs(&self) -> (u64, u64) {
        // The first look at more than the grace period and at two windows of the least length.
        let least = (self.grace_period as u64 + 1).max(2 * self.min_window_length as u64);
        (self.seen, least.next_multiple_of(u64::from(self.clock)))
    }

    fn state(&self) -> Vec<(&'static str, f64)> {
        vec![
            ("width", self.width),
            ("total", self.total),
            ("variance_times_width", self.variance),
            ("estimation", self.mean()),
        ]
    }

    fn heap(&self) -> usize {
        let rows: usize = self.rows.iter().map(|row| row.capacity() * size_of::<Bucket>()).sum();
        rows + self.rows.capacity() * size_of::<Vec<Bucket>>()
    }
}
