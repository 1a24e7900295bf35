//! Owns two tests as frouros 0.9 defines them, for comparison with users of it: the cumulative sum and Page-Hinkley.

use super::config::{BadParameter, must, not_negative, weight};
use super::{Detector, Reading, Step, Takes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The CUSUM of frouros: `S = max(0, S + x - m - delta)` with `m` the mean of all observations since the start, this one
/// included; alarm when `S > lambda`, from `min_num_instances` observations on; then anew. Increases only.
///
/// It is no CUSUM of Page's, whose level is known, but Page-Hinkley's without forgetting.
///
/// * Units: `delta`, `lambda`: metric.
/// * False alarms: N(0, 1) and independent, at the defaults, a mean of 3 100 observations (measured).
/// * Blind to: decreases; slow drift, which the mean follows.
/// * Memory: at most `300 versions + 32 observations` bytes.
/// * Source: frouros 0.9.0, `CUSUM`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FrourosCusumConfig {
    /// Deviation from the mean that is allowed, in the metric's unit.
    #[schemars(range(min = 0.0))]
    pub delta: f64,
    /// Alarm above this, in the metric's unit.
    #[schemars(range(min = 0.0))]
    pub lambda: f64,
    /// Observations before the first decision.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_num_instances: u32,
}

impl Default for FrourosCusumConfig {
    fn default() -> Self {
        Self { delta: 0.005, lambda: 50.0, min_num_instances: 30 }
    }
}

impl FrourosCusumConfig {
    pub(super) fn check(&self) -> Result<(), BadParameter> {
        not_negative("delta", self.delta)?;
        not_negative("lambda", self.lambda)?;
        must(self.min_num_instances >= 1, "min_num_instances", "1 or more")
    }

    pub(super) fn start(&self) -> FrourosCusum {
        FrourosCusum { delta: self.delta, against: Against::new(self.lambda, self.min_num_instances) }
    }
}

/// The Page-Hinkley test of frouros: `S = alpha S + x - m - delta` with `m` the mean of all observations since the start, this
/// one included; alarm when `S > lambda`, from `min_num_instances` observations on; then anew. Increases only.
///
/// The sum is not compared with its minimum, as Page-Hinkley's is: `delta` pulls it down without end where nothing happens, and
/// a later increase has to make up for that first.
///
/// * Units: `delta`, `lambda`: metric.
/// * False alarms: N(0, 1) and independent, at the defaults, 48 percent of fresh starts within 10 000 observations, later ones
///   rarer and rarer (measured).
/// * Blind to: decreases; more and more to increases, the longer nothing happens.
/// * Memory: at most `300 versions + 32 observations` bytes.
/// * Source: frouros 0.9.0, `PageHinkley`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct FrourosPageHinkleyConfig {
    /// Deviation from the mean that is allowed, in the metric's unit.
    #[schemars(range(min = 0.0))]
    pub delta: f64,
    /// Alarm above this, in the metric's unit.
    #[schemars(range(min = 0.0))]
    pub lambda: f64,
    /// Forgetting factor of the sum; 1 forgets nothing.
    #[schemars(extend("exclusiveMinimum" = 0), range(max = 1.0))]
    pub alpha: f64,
    /// Observations before the first decision.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_num_instances: u32,
}

impl Default for FrourosPageHinkleyConfig {
    fn default() -> Self {
        Self { delta: 0.005, lambda: 50.0, alpha: 0.9999, min_num_instances: 30 }
    }
}

impl FrourosPageHinkleyConfig {
    pub(super) fn check(&self) -> Result<(), BadParameter> {
        not_negative("delta", self.delta)?;
        not_negative("lambda", self.lambda)?;
        weight("alpha", self.alpha)?;
        must(self.min_num_instances >= 1, "min_num_instances", "1 or more")
    }

    pub(super) fn start(&self) -> FrourosPageHinkley {
        let against = Against::new(self.lambda, self.min_num_instances);
        FrourosPageHinkley { delta: self.delta, alpha: self.alpha, against }
    }
}

/// A sum against a threshold, and the running mean that feeds it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Against {
    threshold: f64,
    min: f64,
    n: f64,
    mean: f64,
    sum: f64,
    alarmed: bool,
}

impl Against {
    fn new(threshold: f64, min: u32) -> Self {
        Self { threshold, min: f64::from(min), n: 0.0, mean: 0.0, sum: 0.0, alarmed: false }
    }

    /// Takes an observation and gives its sum so far and the mean.
    fn begin(&mut self, x: f64) -> (f64, f64) {
        if self.alarmed {
            (self.n, self.mean, self.sum) = (0.0, 0.0, 0.0);
        }
        self.n += 1.0;
        self.mean += (x - self.mean) / self.n;
        (self.sum, self.mean)
    }

    fn end(&mut self, sum: f64) -> Step {
        self.sum = sum;
        self.alarmed = self.n >= self.min && sum > self.threshold;
        Step::alarm(self.alarmed)
    }

    fn reading(&self) -> Reading {
        Reading { statistic: self.sum, threshold: self.threshold, seen: self.n as u64 }
    }

    fn state(&self) -> Vec<(&'static str, f64)> {
        vec![("mean", self.mean), ("sum", self.sum)]
    }
}

/// A cumulative sum of frouros at work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct FrourosCusum {
    delta: f64,
    against: Against,
}

impl Detector for FrourosCusum {
    const TAKES: Takes = Takes::Finite;

    fn step(&mut self, x: f64) -> Step {
        let (sum, mean) = self.against.begin(x);
        self.against.end((sum + x - mean - self.delta).max(0.0))
    }

    fn reading(&self) -> Reading {
        self.against.reading()
    }

    fn needs(&self) -> (u64, u64) {
        (self.against.n as u64, self.against.min as u64)
    }

    fn state(&self) -> Vec<(&'static str, f64)> {
        self.against.state()
    }
}

/// A Page-Hinkley test of frouros at work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct FrourosPageHinkley {
    delta: f64,
    alpha: f64,
    against: Against,
}

impl Detector for FrourosPageHinkley {
    const TAKES: Takes = Takes::Finite;

    fn step(&mut self, x: f64) -> Step {
        let (sum, mean) = self.against.begin(x);
        self.against.end(self.alpha * sum + (x - mean - self.delta))
    }

    fn reading(&self) -> Reading {
        self.against.reading()
    }

    fn needs(&self) -> (u64, u64) {
        (self.against.n as u64, self.against.min as u64)
    }

    fn state(&self) -> Vec<(&'static str, f64)> {
        self.against.state()
    }
}
