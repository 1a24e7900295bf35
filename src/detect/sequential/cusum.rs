//! Owns the cumulative sum chart.

use super::config::{BadParameter, Mode, level, not_negative, positive};
use super::{Detector, Reading, Step, Takes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Tabular CUSUM against a known level. With `z = (x - mu0)/sigma`:
/// `S+ = max(0, S+ + z - k)`, `S- = max(0, S- - z - k)`, alarm when `S+ > h` or `S- > h`; both begin at `head_start` and go on
/// from 0 after an alarm.
///
/// For Gaussian data and a shift of `2 k sigma` it attains the shortest worst-case mean delay that any method with its rate of
/// false alarms can have (Moustakides, Annals of Statistics 14 (1986) 1379-1387).
///
/// * Units: `mu0`, `sigma`: metric. `k`, `h`, `head_start`: sigmas.
/// * False alarms: two-sided, Gaussian and independent, a mean of 465 observations at the defaults (168 at h = 4).
/// * Blind to: what leaves the mean alone, unless large values alone reach `h`; shifts below `k` sigma are found slowly. A wrong
///   `mu0` is a shift; a `sigma` too small, or correlated observations, alarm far too often.
/// * Memory: at most `300 versions + 32 observations` bytes.
/// * Source: Page, Biometrika 41 (1954) 100-115; head start: Lucas and Crosier, Technometrics 24 (1982) 199-205.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CusumConfig {
    /// The level without a change, in the metric's unit.
    pub mu0: f64,
    /// Standard deviation of one observation, in the metric's unit.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub sigma: f64,
    /// Allowance, in sigmas: half the shift that is to be found fastest.
    #[serde(default = "k")]
    #[schemars(range(min = 0.0))]
    pub k: f64,
    /// Decision interval, in sigmas.
    #[serde(default = "h")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub h: f64,
    /// Where both sums begin, in sigmas; h/2 is the fast initial response.
    #[serde(default)]
    #[schemars(range(min = 0.0))]
    pub head_start: f64,
    /// Which shifts count.
    #[serde(default)]
    pub mode: Mode,
}

fn k() -> f64 {
    0.5
}
fn h() -> f64 {
    5.0
}

impl CusumConfig {
    pub(super) fn check(&self) -> Result<(), BadParameter> {
        level("mu0", self.mu0)?;
        positive("sigma", self.sigma)?;
        not_negative("k", self.k)?;
        positive("h", self.h)?;
        not_negative("head_start", self.head_start)
    }

    pub(super) fn start(&self) -> Cusum {
        let Self { mu0, sigma, k, h, head_start, mode } = *self;
        Cusum { mu0, sigma, k, h, mode, plus: head_start, minus: head_start, seen: 0, alarmed: false }
    }
}

/// A CUSUM at work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cusum {
    mu0: f64,
    sigma: f64,
    k: f64,
    h: f64,
    mode: Mode,
    plus: f64,
    minus: f64,
    seen: u64,
    alarmed: bool,
}

impl Detector for Cusum {
    const TAKES: Takes = Takes::Any;

    fn step(&mut self, x: f64) -> Step {
        if self.alarmed {
            (self.plus, self.minus, self.seen) = (0.0, 0.0, 0);
        }
        self.seen += 1;
        let z = (x - self.mu0) / self.sigma;
        self.plus = (self.plus + z - self.k).max(0.0);
        self.minus = (self.minus - z - self.k).max(0.0);
        self.alarmed = self.reading().statistic > self.h;
        Step::alarm(self.alarmed)
    }

    fn reading(&self) -> Reading {
        let statistic = match self.mode {
            Mode::Up => self.plus,
            Mode::Down => self.minus,
            Mode::Both => self.plus.max(self.minus),
        };
        Reading { statistic, threshold: self.h, seen: self.seen }
    }

    fn state(&self) -> Vec<(&'static str, f64)> {
        vec![("s_plus", self.plus), ("s_minus", self.minus)]
    }
}
