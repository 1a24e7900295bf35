//! Owns the Page-Hinkley test.

use super::config::{BadParameter, Mode, must, not_negative, weight};
use super::{Detector, Mean, Reading, Step, Takes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Page-Hinkley test. With `m` the mean of all observations since the start, this one included, and `d = x - m`:
/// `U = alpha U + d - delta`, alarm when `U - min U > threshold` (up);
/// `T = alpha T + d + delta`, alarm when `max T - T > threshold` (down); from `min_instances` observations on. Everything
/// begins anew after an alarm. As river 0.23 has it.
///
/// * Units: `delta`, `threshold`: metric. **The defaults are for a metric that varies by about 1**: a latency in seconds never
///   reaches 50.
/// * False alarms: N(0, 1) and independent, at the defaults, a mean of 1 600 observations (measured).
/// * Blind to: slow drift, which the mean follows; a shift early after the start, which the mean takes for normal. The mean
///   never forgets: `alpha` forgets in the sums only.
/// * Memory: at most `300 versions + 32 observations` bytes.
/// * Source: Page, Biometrika 41 (1954) 100-115; Hinkley, Biometrika 58 (1971) 509-523; Mouss et al., Asian Control Conference
///   2004 for the use on streams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PageHinkleyConfig {
    /// Observations before the first decision.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_instances: u32,
    /// Deviation from the mean that is allowed, in the metric's unit.
    #[schemars(range(min = 0.0))]
    pub delta: f64,
    /// Alarm above this (the method's lambda), in the metric's unit.
    #[schemars(range(min = 0.0))]
    pub threshold: f64,
    /// Forgetting factor of the sums; 1 forgets nothing.
    #[schemars(extend("exclusiveMinimum" = 0), range(max = 1.0))]
    pub alpha: f64,
    /// Which changes count.
    pub mode: Mode,
}

impl Default for PageHinkleyConfig {
    fn default() -> Self {
        Self { min_instances: 30, delta: 0.005, threshold: 50.0, alpha: 0.9999, mode: Mode::Both }
    }
}

impl PageHinkleyConfig {
    pub(super) fn check(&self) -> Result<(), BadParameter> {
        must(self.min_instances >= 1, "min_instances", "1 or more")?;
        not_negative("delta", self.delta)?;
        not_negative("threshold", self.threshold)?;
        weight("alpha", self.alpha)
    }

    pub(super) fn start(&self) -> PageHinkley {
        let side = |on: bool| if on { self.threshold } else { f64::INFINITY };
        PageHinkley {
            min_instances: f64::from(self.min_instances),
            delta: self.delta,
            alpha: self.alpha,
            threshold: self.threshold,
            up: side(self.mode.up()),
            down: side(self.mode.down()),
            sums: Sums::NONE,
            alarmed: false,
        }
    }
}

/// A Page-Hinkley test at work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct PageHinkley {
    min_instances: f64,
    delta: f64,
    alpha: f64,
    threshold: f64,
    /// The threshold of increases; infinite if they do not count.
    up: f64,
    /// The threshold of decreases; infinite if they do not count.
    down: f64,
    sums: Sums,
    alarmed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Sums {
    mean: Mean,
    increase: f64,
    decrease: f64,
    min_increase: f64,
    max_decrease: f64,
}

impl Sums {
    const NONE: Self = Self {
        mean: Mean::NONE,
        increase: 0.0,
        decrease: 0.0,
        min_increase: f64::INFINITY,
        max_decrease: f64::NEG_INFINITY,
    };
}

impl Detector for PageHinkley {
    const TAKES: Takes = Takes::Finite;

    fn step(&mut self, x: f64) -> Step {
        if self.alarmed {
            self.sums = Sums::NONE;
        }
        let s = &mut self.sums;
        s.mean.add(x);
        let deviation = x - s.mean.value;
        s.increase = self.alpha * s.increase + deviation - self.delta;
        s.decrease = self.alpha * s.decrease + deviation + self.delta;
        s.min_increase = if s.increase < s.min_increase { s.increase } else { s.min_increase };
        s.max_decrease = if s.decrease > s.max_decrease { s.decrease } else { s.max_decrease };
        let beyond = s.increase - s.min_increase > self.up || s.max_decrease - s.decrease > self.down;
        self.alarmed = beyond && s.mean.n >= self.min_instances;
        Step::alarm(self.alarmed)
    }

    fn reading(&self) -> Reading {
        let s = &self.sums;
        let of = |on: f64, value: f64| if on.is_finite() && s.mean.n > 0.0 { value } else { 0.0 };
        let statistic = of(self.up, s.increase - s.min_increase).max(of(self.down, s.max_decrease - s.decrease));
        Reading { statistic, threshold: self.threshold, seen: self.sums.mean.n as u64 }
    }

    fn needs(&self) -> (u64, u64) {
        (self.sums.mean.n as u64, self.min_instances as u64)
    }

    fn state(&self) -> Vec<(&'static str, f64)> {
        let s = &self.sums;
        vec![
            ("mean", s.mean.value),
            ("sum_increase", s.increase),
            ("sum_decrease", s.decrease),
            ("min_increase", s.min_increase),
            ("max_decrease", s.max_decrease),
        ]
    }
}
