//! Owns the Shiryaev-Roberts chart.

use super::config::{BadParameter, level, must, not_negative, positive};
use super::{Detector, Reading, Step, Takes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Shiryaev-Roberts chart for the shift of a Gaussian mean from `mu0` to `mu1`: `R = (1 + R) exp(llr)` with
/// `llr = (mu1 - mu0)/sigma^2 (x - (mu0 + mu1)/2)`, alarm when `R >= threshold`; begins at `head_start`, goes on from 0.
///
/// It averages over the time of the change, where CUSUM takes the likeliest.
///
/// * Units: `mu0`, `mu1`, `sigma`: metric. `threshold`, `head_start`: observations, for `R - n` is a martingale.
/// * False alarms: at least `threshold - head_start` observations on average, if the data are what is assumed.
/// * Blind to: shifts away from `mu1`. Wrong `mu0` or `sigma`, or correlation, break the guarantee.
/// * Memory: at most `300 versions + 32 observations` bytes.
/// * Source: Shiryaev, Theory of Probability 8 (1963) 22-46; Roberts, Technometrics 8 (1966) 411-430; the optimality:
///   Pollak and Tartakovsky, Statistica Sinica 19 (2009) 1729-1739.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShiryaevRobertsConfig {
    /// The level without a change, in the metric's unit.
    pub mu0: f64,
    /// The level to be found, in the metric's unit.
    pub mu1: f64,
    /// Standard deviation of one observation, in the metric's unit.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub sigma: f64,
    /// Alarm at this R: the least mean number of observations until a false alarm.
    #[serde(default = "threshold")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub threshold: f64,
    /// Where R begins.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub head_start: f64,
}

fn threshold() -> f64 {
    1000.0
}

impl ShiryaevRobertsConfig {
    /// Likelihood's slope: `(mu1 - mu0)/sigma^2`.
    fn slope(&self) -> f64 {
        (self.mu1 - self.mu0) / self.sigma / self.sigma
    }

    pub(super) fn check(&self) -> Result<(), BadParameter> {
        level("mu0", self.mu0)?;
        level("mu1", self.mu1)?;
        positive("sigma", self.sigma)?;
        must(self.slope() != 0.0 && self.slope().is_finite(), "mu1", "another level than mu0, comparable with sigma")?;
        positive("threshold", self.threshold)?;
        not_negative("head_start", self.head_start)
    }

    pub(super) fn start(&self) -> ShiryaevRoberts {
        ShiryaevRoberts::new(self.slope(), 0.5 * (self.mu0 + self.mu1), self.threshold, self.head_start)
    }
}

/// Shiryaev-Roberts chart over log likelihood ratios: each observation is `ln f1(x)/f0(x)` already, of whatever model.
/// Everything else is as for `shiryaev-roberts`.
///
/// * Units: observations in nats; `threshold`, `head_start`: observations.
/// * An observation of minus infinity (impossible after the change) puts R to 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShiryaevRobertsLlrConfig {
    /// Alarm at this R: the least mean number of observations until a false alarm.
    #[serde(default = "threshold")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub threshold: f64,
    /// Where R begins.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub head_start: f64,
}

impl ShiryaevRobertsLlrConfig {
    pub(super) fn check(&self) -> Result<(), BadParameter> {
        positive("threshold", self.threshold)?;
        not_negative("head_start", self.head_start)
    }

    pub(super) fn start(&self) -> ShiryaevRoberts {
        ShiryaevRoberts::new(1.0, 0.0, self.threshold, self.head_start)
    }
}

/// A Shiryaev-Roberts chart at work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ShiryaevRoberts {
    slope: f64,
    middle: f64,
    threshold: f64,
    r: f64,
    seen: u64,
    alarmed: bool,
}

impl ShiryaevRoberts {
    const fn new(slope: f64, middle: f64, threshold: f64, r: f64) -> Self {
        Self { slope, middle, threshold, r, seen: 0, alarmed: false }
    }
}

impl Detector for ShiryaevRoberts {
    const TAKES: Takes = Takes::Any;

    fn step(&mut self, x: f64) -> Step {
        if self.alarmed {
            (self.r, self.seen) = (0.0, 0);
        }
        self.seen += 1;
        self.r = (1.0 + self.r) * libm::exp(self.slope * (x - self.middle));
        self.alarmed = self.r >= self.threshold;
        Step::alarm(self.alarmed)
    }

    fn reading(&self) -> Reading {
        Reading { statistic: self.r, threshold: self.threshold, seen: self.seen }
    }

    fn state(&self) -> Vec<(&'static str, f64)> {
        vec![("r", self.r)]
    }
}
