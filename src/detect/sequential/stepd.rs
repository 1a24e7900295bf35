//! Owns STEPD: the test of equal proportions.

use super::config::{BadParameter, count, must, share};
use super::{Detector, Reading, Step, Takes};
use crate::stats::normal;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// STEPD: the share of errors among the newest `w = min_num_instances` observations, `a`, against that of the `o` earlier ones,
/// `b`, with `p` over all: `T = (|a - b| - (1/o + 1/w)/2) / sqrt(p (1 - p) (1/o + 1/w))`; alarm when the normal tail beyond T is
/// below `alpha_d`, warning below `alpha_w`; from `2w` observations on. Everything begins anew after an alarm.
///
/// * Units: none; observations are errors (1 wrong, 0 right), or right answers: the test is the same.
/// * False alarms: errors with probability 0.05 and independent, at the defaults, a mean of 2 100 observations (measured).
///   With the rule of frouros, 1 900; and where one in a thousand is wrong, 450 instead of 7 200.
/// * Blind to: slow drift. It does not tell a rise from a fall.
/// * Memory: at most `versions (8 min_num_instances + 300) + 32 observations` bytes.
/// * Source: Nishida and Yamauchi, Discovery Science 2007, LNCS 4755, 264-269.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StepdConfig {
    /// Significance of an alarm.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub alpha_d: f64,
    /// Significance of a warning.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub alpha_w: f64,
    /// Length of the newest part.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_num_instances: u32,
    /// What T means where it is negative, or not defined.
    pub rule: StepdRule,
}

/// What STEPD makes of shares that differ by less than the continuity correction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StepdRule {
    /// No evidence: only a large T is.
    #[default]
    OneSided,
    /// Evidence by the absolute value of T, as frouros 0.9 has it: a stream without any error alarms at once, and streams with
    /// few errors soon.
    Frouros,
}

impl Default for StepdConfig {
    fn default() -> Self {
        Self { alpha_d: 0.003, alpha_w: 0.05, min_num_instances: 30, rule: StepdRule::OneSided }
    }
}

impl StepdConfig {
    pub(super) fn check(&self) -> Result<(), BadParameter> {
        share("alpha_d", self.alpha_d)?;
        share("alpha_w", self.alpha_w)?;
        must(self.alpha_d <= self.alpha_w, "alpha_d", "at most alpha_w")?;
        count("min_num_instances", self.min_num_instances, 1)
    }

    pub(super) fn start(&self) -> Stepd {
        let size = self.min_num_instances as usize;
        Stepd {
            alpha_d: self.alpha_d,
            alpha_w: self.alpha_w,
            threshold: -normal::quantile(self.alpha_d),
            rule: self.rule,
            size,
            window: VecDeque::with_capacity(size),
            newest: 0.0,
            total: 0.0,
            n: 0.0,
            t: None,
            warned: false,
            alarmed: false,
        }
    }
}

/// A STEPD at work.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stepd {
    alpha_d: f64,
    alpha_w: f64,
    /// The T of an alarm.
    threshold: f64,
    rule: StepdRule,
    size: usize,
    /// The newest part, oldest first.
    window: VecDeque<f64>,
    /// Its sum.
    newest: f64,
    /// The sum of all observations.
    total: f64,
    n: f64,
    /// T, once there is enough to compare.
    t: Option<f64>,
    warned: bool,
    alarmed: bool,
}

impl Stepd {
    fn compare(&self) -> f64 {
        let (w, o) = (self.size as f64, self.n - self.size as f64);
        let p = self.total / self.n;
        let inverse = 1.0 / o + 1.0 / w;
        let apart = ((self.total - self.newest) / o - self.newest / w).abs();
        let t = (apart - 0.5 * inverse) / (p * (1.0 - p) * inverse).sqrt();
        match self.rule {
            StepdRule::OneSided => t.max(0.0),
            StepdRule::Frouros => t.abs(),
        }
    }
}

impl Detector for Stepd {
    const TAKES: Takes = Takes::Unit;

    fn step(&mut self, x: f64) -> Step {
        if self.alarmed {
            self.window.clear();
            (self.newest, self.total, self.n, self.t) = (0.0, 0.0, 0.0, None);
        }
        if self.window.len() == self.size {
            self.newest -= self.window.pop_front().unwrap_or(0.0);
        }
        self.window.push_back(x);
        self.newest += x;
        self.total += x;
        self.n += 1.0;
        (self.alarmed, self.warned) = (false, false);
        if self.n >= 2.0 * self.size as f64 {
            let t = self.compare();
            self.t = Some(t);
            let p = normal::sf(t);
            self.alarmed = p < self.alpha_d;
            self.warned = !self.alarmed && p < self.alpha_w;
        }
        Step::of(self.alarmed, self.warned)
    }

    fn reading(&self) -> Reading {
        Reading { statistic: self.t.unwrap_or(f64::NAN), threshold: self.threshold, seen: self.n as u64 }
    }

    fn warned(&self) -> bool {
        self.warned
    }

    fn needs(&self) -> (u64, u64) {
        (self.n as u64, 2 * self.size as u64)
    }

    fn state(&self) -> Vec<(&'static str, f64)> {
        let earlier = self.n - self.window.len() as f64;
        let share = |sum: f64, n: f64| if n > 0.0 { sum / n } else { f64::NAN };
        vec![
            ("newest", share(self.newest, self.window.len() as f64)),
            ("earlier", share(self.total - self.newest, earlier)),
        ]
    }

    fn heap(&self) -> usize {
        self.window.capacity() * size_of::<f64>()
    }
}
