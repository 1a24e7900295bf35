//! Owns ECDD: the EWMA chart of an unknown error rate.

use super::config::{BadParameter, count, must, share, weight};
use super::{Detector, Reading, Step, Takes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// ECDD-WT on a stream of errors. With `p` the error rate since the start, `z = (1 - lambda) z + lambda x` from 0 and
/// `s^2 = p (1 - p) lambda/(2 - lambda) (1 - (1 - lambda)^(2n))`: alarm when `z > p + L s`, warning when `z > p + w L s`, from
/// `min_num_instances` observations on. `L` is a published polynomial in `p` for each `average_run_length`. Everything begins
/// anew after an alarm. As frouros 0.9 has it.
///
/// * Units: none; observations are errors (1 wrong, 0 right).
/// * False alarms: errors with probability 0.05 and independent, at the defaults, a mean of 290 observations (measured) where 400
///   are asked for. The polynomials were fitted for `lambda` = 0.2 and error rates below one half.
/// * Blind to: improvement; slow drift, which the rate since the start follows.
/// * Memory: at most `300 versions + 32 observations` bytes.
/// * Source: Ross et al., Pattern Recognition Letters 33 (2012) 191-198.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EcddConfig {
    /// Weight of the newest observation.
    #[schemars(extend("exclusiveMinimum" = 0), range(max = 1.0))]
    pub lambda: f64,
    /// Mean number of observations until a false alarm: 100, 400 or 1000.
    #[schemars(extend("enum" = [100, 400, 1000]))]
    pub average_run_length: u32,
    /// Warning at this share of the alarm's distance.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub warning_level: f64,
    /// Observations before the first decision.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_num_instances: u32,
}

impl Default for EcddConfig {
    fn default() -> Self {
        Self { lambda: 0.2, average_run_length: 400, warning_level: 0.5, min_num_instances: 30 }
    }
}

/// Coefficients of `p^0`, `p`, `p^3`, `p^5` and `p^7` (Ross et al. 2012).
fn polynomial(average_run_length: u32) -> Option<[f64; 5]> {
    match average_run_length {
        100 => Some([2.76, -6.23, 18.12, -312.45, 1002.18]),
        400 => Some([3.97, -6.56, 48.73, -330.13, 848.18]),
        1000 => Some([1.17, 7.56, -21.24, 112.12, -987.23]),
        _ => None,
    }
}

impl EcddConfig {
    pub(super) fn check(&self) -> Result<(), BadParameter> {
        weight("lambda", self.lambda)?;
        must(polynomial(self.average_run_length).is_some(), "average_run_length", "100, 400 or 1000")?;
        share("warning_level", self.warning_level)?;
        count("min_num_instances", self.min_num_instances, 1)
    }

    pub(super) fn start(&self) -> Ecdd {
        Ecdd {
            lambda: self.lambda,
            polynomial: polynomial(self.average_run_length).unwrap_or_default(),
            warning_level: self.warning_level,
            min: f64::from(self.min_num_instances),
            n: 0.0,
            p: 0.0,
            z: 0.0,
            left: 1.0,
            margin: f64::INFINITY,
            warned: false,
            alarmed: false,
        }
    }
}

/// An ECDD at work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ecdd {
    lambda: f64,
    polynomial: [f64; 5],
    warning_level: f64,
    min: f64,
    n: f64,
    p: f64,
    z: f64,
    /// `(1 - lambda)^(2n)`.
    left: f64,
    /// `L s`; infinite before the first decision.
    margin: f64,
    warned: bool,
    alarmed: bool,
}

impl Detector for Ecdd {
    const TAKES: Takes = Takes::Unit;

    fn step(&mut self, x: f64) -> Step {
        if self.alarmed {
            (self.n, self.p, self.z, self.left, self.margin) = (0.0, 0.0, 0.0, 1.0, f64::INFINITY);
        }
        let rest = 1.0 - self.lambda;
        self.n += 1.0;
        self.p += (x - self.p) / self.n;
        self.z = self.lambda * x + rest * self.z;
        self.left *= rest * rest;
        (self.alarmed, self.warned) = (false, false);
        if self.n >= self.min {
            let p = self.p;
            let deviation = (self.lambda / (2.0 - self.lambda) * (1.0 - self.left) * (p * (1.0 - p))).sqrt();
            let (square, [a, b, c, d, e]) = (p * p, self.polynomial);
            self.margin = (a + p * (b + square * (c + square * (d + square * e)))) * deviation;
            self.alarmed = self.z > p + self.margin;
            self.warned = !self.alarmed && self.z > p + self.warning_level * self.margin;
        }
        Step::of(self.alarmed, self.warned)
    }

    fn reading(&self) -> Reading {
        Reading { statistic: self.z, threshold: self.p + self.margin, seen: self.n as u64 }
    }

    fn warned(&self) -> bool {
        self.warned
    }

    fn needs(&self) -> (u64, u64) {
        (self.n as u64, self.min as u64)
    }

    fn state(&self) -> Vec<(&'static str, f64)> {
        vec![("p", self.p), ("z", self.z)]
    }
}
