//! Owns the mixture sequential probability ratio test of a Gaussian mean.

use super::config::{BadParameter, level, positive, share};
use super::{Detector, Reading, Step, Takes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Mixture SPRT of the hypothesis "the mean is `theta0`" against a Gaussian mixture of others, N(theta0, tau^2). With
/// `S = sum(x - theta0)` of `n` observations and `v = sigma^2 + n tau^2`:
/// `ln L = 0.5 ln(sigma^2/v) + tau^2 S^2/(2 sigma^2 v)`; `p = min(1, 1/max L so far)` may be looked at after every observation.
/// Alarm while `p <= alpha`: once rejected, the hypothesis stays so, unless `restart` begins anew.
///
/// * Units: `theta0`, `sigma`, `tau`: metric; the statistic is the largest `ln L` so far, the threshold `ln(1/alpha)`.
/// * False alarms: ever, without a restart, with a probability of at most `alpha`, if the mean is `theta0` from the first
///   observation on and `sigma` is not too small.
/// * Blind to: a change late in a long stream, which has to move the mean of all: it tests a mean, it does not wait for a change.
///   A `theta0` off by little is found for certain, in the end. Shifts far from `tau` in size are found later than they could be.
/// * Memory: at most `300 versions + 32 observations` bytes.
/// * Source: Robbins, Annals of Mathematical Statistics 41 (1970) 1397-1409; Johari et al., Operations Research 70 (2022)
///   1806-1821.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MsprtConfig {
    /// The mean without a change, in the metric's unit.
    pub theta0: f64,
    /// Standard deviation of one observation, in the metric's unit.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub sigma: f64,
    /// Standard deviation of the shifts to be found, in the metric's unit.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub tau: f64,
    /// Probability of ever rejecting wrongly.
    #[serde(default = "alpha")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub alpha: f64,
    /// Whether it begins anew after an alarm.
    #[serde(default)]
    pub restart: bool,
}

fn alpha() -> f64 {
    0.05
}

impl MsprtConfig {
    pub(super) fn check(&self) -> Result<(), BadParameter> {
        level("theta0", self.theta0)?;
        positive("sigma", self.sigma)?;
        positive("tau", self.tau)?;
        share("alpha", self.alpha)
    }

    pub(super) fn start(&self) -> Msprt {
        Msprt {
            theta0: self.theta0,
            sigma: self.sigma,
            ratio: self.tau / self.sigma,
            threshold: -libm::log(self.alpha),
            restart: self.restart,
            n: 0.0,
            sum: 0.0,
            log: 0.0,
            highest: 0.0,
        }
    }
}

/// A mixture SPRT at work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Msprt {
    theta0: f64,
    sigma: f64,
    /// `tau/sigma`.
    ratio: f64,
    threshold: f64,
    restart: bool,
    n: f64,
    /// `S/sigma`.
    sum: f64,
    /// `ln L`.
    log: f64,
    /// Its largest value so far, not below 0.
    highest: f64,
}

impl Msprt {
    fn rejects(&self) -> bool {
        self.highest >= self.threshold
    }
}

impl Detector for Msprt {
    const TAKES: Takes = Takes::Finite;

    fn step(&mut self, x: f64) -> Step {
        if self.restart && self.rejects() {
            (self.n, self.sum, self.highest) = (0.0, 0.0, 0.0);
        }
        self.n += 1.0;
        self.sum += (x - self.theta0) / self.sigma;
        // In units of sigma: v/sigma^2 = 1 + n (tau/sigma)^2.
        let v = 1.0 + self.n * self.ratio * self.ratio;
        let z = self.ratio * self.sum / v.sqrt();
        self.log = 0.5 * (z * z - libm::log(v));
        self.highest = self.highest.max(self.log);
        Step::alarm(self.rejects())
    }

    fn reading(&self) -> Reading {
        Reading { statistic: self.highest, threshold: self.threshold, seen: self.n as u64 }
    }

    fn state(&self) -> Vec<(&'static str, f64)> {
        vec![("log_lambda", self.log), ("always_valid_p", libm::exp(-self.highest))]
    }
}
