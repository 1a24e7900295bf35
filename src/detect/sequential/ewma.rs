//! Owns the chart of the exponentially weighted moving average.

use super::config::{BadParameter, Mode, level, positive, weight};
use super::{Detector, Reading, Step, Takes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// EWMA chart against a known level: `z = (1 - lambda) z + lambda x` from `mu0`; alarm when `z` is further from `mu0` than
/// `limit sigma sqrt(lambda/(2 - lambda) (1 - (1 - lambda)^(2t)))` after `t` observations, or without the last factor
/// (`exact_limits = false`); then anew from `mu0`.
///
/// * Units: `mu0`, `sigma`: metric. `limit`: standard deviations of `z`.
/// * False alarms: Gaussian and independent, a mean of 500 observations at the defaults. Published run lengths are those of
///   constant limits; exact limits alarm earlier after a start, rightly or not.
/// * Blind to: what leaves the mean alone. With a small `lambda`, slow to see a shift after a long opposite one (inertia).
/// * Memory: at most `300 versions + 32 observations` bytes.
/// * Source: Roberts, Technometrics 1 (1959) 239-250; design: Lucas and Saccucci, Technometrics 32 (1990) 1-12.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EwmaConfig {
    /// The level without a change, in the metric's unit.
    pub mu0: f64,
    /// Standard deviation of one observation, in the metric's unit.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub sigma: f64,
    /// Weight of the newest observation; 1 is a Shewhart chart.
    #[serde(default = "lambda")]
    #[schemars(extend("exclusiveMinimum" = 0), range(max = 1.0))]
    pub lambda: f64,
    /// Half width of the control band, in standard deviations of the average.
    #[serde(default = "limit")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub limit: f64,
    /// Whether the band is narrower for the first observations, as the average's variance is.
    #[serde(default)]
    pub exact_limits: bool,
    /// Which shifts count.
    #[serde(default)]
    pub mode: Mode,
}

fn lambda() -> f64 {
    0.1
}
fn limit() -> f64 {
    2.814
}

impl EwmaConfig {
    pub(super) fn check(&self) -> Result<(), BadParameter> {
        level("mu0", self.mu0)?;
        positive("sigma", self.sigma)?;
        weight("lambda", self.lambda)?;
        positive("limit", self.limit)
    }

    pub(super) fn start(&self) -> Ewma {
        let band = self.limit * self.sigma;
        let (mu0, lambda, exact) = (self.mu0, self.lambda, self.exact_limits);
        Ewma {
            mu0,
            lambda,
            band,
            exact,
            mode: self.mode,
            z: mu0,
            left: 1.0,
            limit: f64::INFINITY,
            seen: 0,
            alarmed: false,
        }
    }
}

/// An EWMA chart at work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ewma {
    mu0: f64,
    lambda: f64,
    /// `limit sigma`.
    band: f64,
    exact: bool,
    mode: Mode,
    z: f64,
    /// `(1 - lambda)^(2t)`.
    left: f64,
    limit: f64,
    seen: u64,
    alarmed: bool,
}

impl Detector for Ewma {
    const TAKES: Takes = Takes::Finite;

    fn step(&mut self, x: f64) -> Step {
        if self.alarmed {
            (self.z, self.left, self.seen) = (self.mu0, 1.0, 0);
        }
        self.seen += 1;
        let rest = 1.0 - self.lambda;
        self.z = rest * self.z + self.lambda * x;
        self.left *= rest * rest;
        let share = if self.exact { 1.0 - self.left } else { 1.0 };
        self.limit = self.band * (self.lambda / (2.0 - self.lambda) * share).sqrt();
        self.alarmed = self.reading().statistic > self.limit;
        Step::alarm(self.alarmed)
    }

    fn reading(&self) -> Reading {
        let statistic = match self.mode {
            Mode::Up => self.z - self.mu0,
            Mode::Down => self.mu0 - self.z,
            Mode::Both => (self.z - self.mu0).abs(),
        };
        Reading { statistic, threshold: self.limit, seen: self.seen }
    }

    fn state(&self) -> Vec<(&'static str, f64)> {
        vec![("z", self.z), ("limit", self.limit)]
    }
}
