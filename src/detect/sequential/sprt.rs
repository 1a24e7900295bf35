//! Owns Wald's sequential probability ratio test, of two error rates and of two Gaussian means.

use super::config::{BadParameter, level, must, positive, share};
use super::{Detector, Reading, Step, Takes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// SPRT of the error rate `p0` against `p1`: the log likelihood ratio `s` grows by `ln(p1/p0)` with an error and by
/// `ln((1 - p1)/(1 - p0))` without; alarm when `s >= ln((1 - beta)/alpha)`, cleared when `s <= ln(beta/(1 - alpha))`; after
/// either it begins anew.
///
/// * Units: none; observations are errors (1 wrong, 0 right; a loss between counts in proportion).
/// * False alarms: a share of at most about `alpha` of the decisions (Wald's thresholds err on the safe side: 0.0069 for
///   p0 = 0.05, p1 = 0.15, alpha = 0.01), not of the observations: begun anew for ever, it alarms in the end.
/// * Blind to: rates between `p0` and their middle to `p1`, which it clears; a change late in a decision, which has to undo what
///   came before, though no more than `ln((1 - alpha)/beta)`.
/// * Memory: at most `300 versions + 32 observations` bytes.
/// * Source: Wald, Annals of Mathematical Statistics 16 (1945) 117-186.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SprtBernoulliConfig {
    /// The error rate without a change.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub p0: f64,
    /// The error rate to be found.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub p1: f64,
    /// Probability of an alarm at `p0`.
    #[serde(default = "alpha")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub alpha: f64,
    /// Probability of clearing at `p1`; with alpha below 1 together.
    #[serde(default = "beta")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub beta: f64,
}

/// SPRT of the Gaussian mean `mu0` against `mu1`: the log likelihood ratio `s` grows by
/// `(mu1 - mu0)/sigma^2 (x - (mu0 + mu1)/2)`; alarm when `s >= ln((1 - beta)/alpha)`, cleared when
/// `s <= ln(beta/(1 - alpha))`; after either it begins anew.
///
/// * Units: `mu0`, `mu1`, `sigma`: metric.
/// * False alarms: a share of at most about `alpha` of the decisions, if the data are what is assumed, not of the observations.
/// * Blind to: means nearer to `mu0` than to `mu1`, which it clears.
/// * Memory: at most `300 versions + 32 observations` bytes.
/// * Source: Wald, Annals of Mathematical Statistics 16 (1945) 117-186.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SprtGaussianConfig {
    /// The mean without a change, in the metric's unit.
    pub mu0: f64,
    /// The mean to be found, in the metric's unit.
    pub mu1: f64,
    /// Standard deviation of one observation, in the metric's unit.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub sigma: f64,
    /// Probability of an alarm at `mu0`.
    #[serde(default = "alpha")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub alpha: f64,
    /// Probability of clearing at `mu1`; with alpha below 1 together.
    #[serde(default = "beta")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub beta: f64,
}

fn alpha() -> f64 {
    0.01
}
fn beta() -> f64 {
    0.05
}

fn risks(alpha: f64, beta: f64) -> Result<(), BadParameter> {
    share("alpha", alpha)?;
    share("beta", beta)?;
    must(alpha + beta < 1.0, "beta", "below 1 together with alpha")
}

impl SprtBernoulliConfig {
    pub(super) fn check(&self) -> Result<(), BadParameter> {
        share("p0", self.p0)?;
        share("p1", self.p1)?;
        must(self.p0 != self.p1, "p1", "another rate than p0")?;
        risks(self.alpha, self.beta)
    }

    pub(super) fn start(&self) -> SprtBernoulli {
        SprtBernoulli {
            wrong: libm::log(self.p1 / self.p0),
            right: libm::log((1.0 - self.p1) / (1.0 - self.p0)),
            ratio: Ratio::new(self.alpha, self.beta),
        }
    }
}

impl SprtGaussianConfig {
    fn slope(&self) -> f64 {
        (self.mu1 - self.mu0) / self.sigma / self.sigma
    }

    pub(super) fn check(&self) -> Result<(), BadParameter> {
        level("mu0", self.mu0)?;
        level("mu1", self.mu1)?;
        positive("sigma", self.sigma)?;
        must(self.slope() != 0.0 && self.slope().is_finite(), "mu1", "another level than mu0, comparable with sigma")?;
        risks(self.alpha, self.beta)
    }

    pub(super) fn start(&self) -> SprtGaussian {
        let (slope, middle) = (self.slope(), 0.5 * (self.mu0 + self.mu1));
        SprtGaussian { slope, middle, ratio: Ratio::new(self.alpha, self.beta) }
    }
}

/// A log likelihood ratio between two thresholds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ratio {
    upper: f64,
    lower: f64,
    llr: f64,
    seen: u64,
    decided: bool,
}

impl Ratio {
    fn new(alpha: f64, beta: f64) -> Self {
        let (upper, lower) = (libm::log((1.0 - beta) / alpha), libm::log(beta / (1.0 - alpha)));
        Self { upper, lower, llr: 0.0, seen: 0, decided: false }
    }

    fn add(&mut self, llr: f64) -> Step {
        if self.decided {
            (self.llr, self.seen) = (0.0, 0);
        }
        self.seen += 1;
        self.llr += llr;
        let (up, down) = (self.llr >= self.upper, self.llr <= self.lower);
        self.decided = up || down;
        match (up, down) {
            (true, _) => Step::Alarm,
            (_, true) => Step::Cleared,
            _ => Step::Quiet,
        }
    }

    fn reading(&self) -> Reading {
        Reading { statistic: self.llr, threshold: self.upper, seen: self.seen }
    }

    fn state(&self) -> Vec<(&'static str, f64)> {
        vec![("llr", self.llr), ("lower", self.lower)]
    }
}

/// An SPRT of an error rate at work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct SprtBernoulli {
    wrong: f64,
    right: f64,
    ratio: Ratio,
}

impl Detector for SprtBernoulli {
    const TAKES: Takes = Takes::Unit;

    fn step(&mut self, x: f64) -> Step {
        self.ratio.add(x * self.wrong + (1.0 - x) * self.right)
    }

    fn reading(&self) -> Reading {
        self.ratio.reading()
    }

    fn state(&self) -> Vec<(&'static str, f64)> {
        self.ratio.state()
    }
}

/// An SPRT of a Gaussian mean at work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct SprtGaussian {
    slope: f64,
    middle: f64,
    ratio: Ratio,
}

impl Detector for SprtGaussian {
    const TAKES: Takes = Takes::Any;

    fn step(&mut self, x: f64) -> Step {
        self.ratio.add(self.slope * (x - self.middle))
    }

    fn reading(&self) -> Reading {
        self.ratio.reading()
    }

    fn state(&self) -> Vec<(&'static str, f64)> {
        self.ratio.state()
    }
}
