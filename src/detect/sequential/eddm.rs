//! Owns EDDM, the early drift detection method.

use super::config::{BadParameter, count, must, share};
use super::{Detector, Mean, Reading, Step, Takes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// EDDM on a stream of errors. With `m` the mean and `s` the standard deviation of the numbers of observations between errors,
/// at each error: warning when `(m + 2s)/max(m + 2s) < alpha`, alarm when it is below `beta`; the maximum counts after
/// `warm_start` observations, decisions after `warm_start` errors. Everything begins anew after an alarm. As river 0.23 has it.
///
/// * Units: none; an observation is an error if it is 1 (or more), and right otherwise.
/// * False alarms: errors with probability 0.05 and independent, at the defaults, 87 percent of fresh starts alarm within
///   1 000 observations and 97 percent within 10 000; later ones are rarer and rarer (42 in 60 million, measured).
/// * Blind to: everything until 30 errors have come: with an error rate of 0.1 percent that is 30 000 observations after each
///   start; improvement.
/// * Memory: at most `300 versions + 32 observations` bytes.
/// * Source: Baena-Garcia et al., Fourth International Workshop on Knowledge Discovery from Data Streams, 2006.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EddmConfig {
    /// Errors before the first decision.
    #[schemars(range(max = 1_000_000))]
    pub warm_start: u32,
    /// Warning below this share of the best.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub alpha: f64,
    /// Alarm below this share of the best.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub beta: f64,
}

impl Default for EddmConfig {
    fn default() -> Self {
        Self { warm_start: 30, alpha: 0.95, beta: 0.9 }
    }
}

impl EddmConfig {
    pub(super) fn check(&self) -> Result<(), BadParameter> {
        count("warm_start", self.warm_start, 0)?;
        share("alpha", self.alpha)?;
        share("beta", self.beta)?;
        must(self.beta <= self.alpha, "beta", "at most alpha")
    }

    pub(super) fn start(&self) -> Eddm {
        Eddm {
            warm_start: f64::from(self.warm_start),
            alpha: self.alpha,
            beta: self.beta,
            distances: Distances::NONE,
            level: None,
            warned: false,
            alarmed: false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Distances {
    n: f64,
    last_error: f64,
    mean: Mean,
    /// Sum of squared deviations.
    squares: f64,
    best: f64,
}

impl Distances {
    const NONE: Self = Self { n: 0.0, last_error: 0.0, mean: Mean::NONE, squares: 0.0, best: -1.0 };

    fn variance(&self) -> f64 {
        if self.mean.n > 1.0 { self.squares / (self.mean.n - 1.0) } else { 0.0 }
    }
}

/// An EDDM at work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Eddm {
    warm_start: f64,
    alpha: f64,
    beta: f64,
    distances: Distances,
    /// Share of the best, as of the last error that was compared with it.
    level: Option<f64>,
    warned: bool,
    alarmed: bool,
}

impl Detector for Eddm {
    const TAKES: Takes = Takes::Unit;

    fn step(&mut self, x: f64) -> Step {
        if self.alarmed {
            (self.distances, self.level, self.warned, self.alarmed) = (Distances::NONE, None, false, false);
        }
        let d = &mut self.distances;
        d.n += 1.0;
        if x >= 1.0 {
            let distance = d.n - d.last_error;
            let before = d.mean.value;
            d.mean.add(distance);
            d.squares += (distance - before) * (distance - d.mean.value);
            d.last_error = d.n;
            if d.n > self.warm_start {
                let now = d.mean.value + 2.0 * d.variance().sqrt();
                if now > d.best {
                    d.best = now;
                } else if d.mean.n > self.warm_start {
                    let level = now / d.best;
                    self.level = Some(level);
                    self.alarmed = level < self.beta;
                    // An alarm leaves the warning as it was.
                    self.warned = if self.alarmed { self.warned } else { level < self.alpha };
                }
            }
        }
        Step::of(self.alarmed, self.warned)
    }

    fn reading(&self) -> Reading {
        Reading { statistic: self.level.unwrap_or(f64::NAN), threshold: self.beta, seen: self.distances.n as u64 }
    }

    fn warned(&self) -> bool {
        self.warned
    }

    fn needs(&self) -> (u64, u64) {
        (self.distances.mean.n as u64, self.warm_start as u64 + 1)
    }

    fn state(&self) -> Vec<(&'static str, f64)> {
        let d = &self.distances;
        vec![
            ("mean_distance", d.mean.value),
            ("var_distance", d.variance()),
            ("p2s_max", d.best),
            ("n_errors", d.mean.n),
        ]
    }
}
