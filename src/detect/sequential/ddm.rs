//! Owns DDM, the drift detection method.

use super::config::{BadParameter, count, must, positive};
use super::{Detector, Mean, Reading, Step, Takes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// DDM on a stream of errors. With `p` the error rate since the start and `s = sqrt(p (1 - p)/n)`, `p_min` and `s_min` those of
/// the smallest `p + s` so far: warning when `p + s > p_min + warning_threshold s_min`, alarm with `drift_threshold`; later than
/// `warm_start` observations. Everything begins anew after an alarm. As river 0.23 has it.
///
/// * Units: none; observations are errors (1 wrong, 0 right).
/// * False alarms: errors with probability 0.05 and independent, at the defaults, 54 percent of fresh starts alarm within
///   1 000 observations and 60 percent within 10 000 (measured), for `p_min` is a lucky low then; one that has not hardly ever
///   will: none in 60 million. A mean run length says nothing here.
/// * Blind to: improvement; more and more to everything: the rate since the start hardly moves any more after a long past, so
///   that the delay grows with the time before the change.
/// * Memory: at most `300 versions + 32 observations` bytes.
/// * Source: Gama et al., SBIA 2004, LNCS 3171, 286-295.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DdmConfig {
    /// Observations before the first decision.
    #[schemars(range(max = 1_000_000))]
    pub warm_start: u32,
    /// Warning above this many deviations, as of the best rate.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub warning_threshold: f64,
    /// Alarm above this many deviations, as of the best rate.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub drift_threshold: f64,
}

impl Default for DdmConfig {
    fn default() -> Self {
        Self { warm_start: 30, warning_threshold: 2.0, drift_threshold: 3.0 }
    }
}

impl DdmConfig {
    pub(super) fn check(&self) -> Result<(), BadParameter> {
        count("warm_start", self.warm_start, 0)?;
        positive("warning_threshold", self.warning_threshold)?;
        positive("drift_threshold", self.drift_threshold)?;
        must(self.warning_threshold <= self.drift_threshold, "warning_threshold", "at most drift_threshold")
    }

    pub(super) fn start(&self) -> Ddm {
        Ddm {
            warm_start: f64::from(self.warm_start),
            warning_threshold: self.warning_threshold,
            drift_threshold: self.drift_threshold,
            p: Mean::NONE,
            sum: 0.0,
            best: None,
            warned: false,
            alarmed: false,
        }
    }
}

/// A DDM at work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ddm {
    warm_start: f64,
    warning_threshold: f64,
    drift_threshold: f64,
    p: Mean,
    /// `p + s`.
    sum: f64,
    /// `p_min` and `s_min`.
    best: Option<(f64, f64)>,
    warned: bool,
    alarmed: bool,
}

impl Detector for Ddm {
    const TAKES: Takes = Takes::Unit;

    fn step(&mut self, x: f64) -> Step {
        if self.alarmed {
            (self.p, self.best, self.warned, self.alarmed) = (Mean::NONE, None, false, false);
        }
        self.p.add(x);
        let p = self.p.value;
        let s = (p * (1.0 - p) / self.p.n).sqrt();
        self.sum = p + s;
        if self.p.n > self.warm_start {
            let (p_min, s_min) = match self.best {
                Some((p_min, s_min)) if self.sum > p_min + s_min => (p_min, s_min),
                _ => (p, s),
            };
            self.best = Some((p_min, s_min));
            self.alarmed = self.sum > p_min + self.drift_threshold * s_min;
            self.warned = !self.alarmed && self.sum > p_min + self.warning_threshold * s_min;
        }
        Step::of(self.alarmed, self.warned)
    }

    fn reading(&self) -> Reading {
        let threshold = self.best.map_or(f64::INFINITY, |(p, s)| p + self.drift_threshold * s);
        Reading { statistic: self.sum, threshold, seen: self.p.n as u64 }
    }

    fn warned(&self) -> bool {
        self.warned
    }

    fn needs(&self) -> (u64, u64) {
        (self.p.n as u64, self.warm_start as u64 + 1)
    }

    fn state(&self) -> Vec<(&'static str, f64)> {
        let (p_min, s_min) = self.best.unwrap_or((f64::NAN, f64::NAN));
        vec![("p", self.p.value), ("n", self.p.n), ("p_min", p_min), ("s_min", s_min)]
    }
}
