//! Owns RDDM, the reactive drift detection method.

use super::config::{BadParameter, count, must, positive};
use super::{Detector, Reading, Step, Takes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// RDDM on a stream of errors: DDM (see `ddm`) with `warning_level` and `drift_level`, that forgets. An alarm also comes after
/// `max_num_instances_warning` observations of warning in a row. After an alarm the statistics are made anew from the
/// observations kept: up to `min_concept_size`, but only the newest if the alarm came without warning. After `max_concept_size`
/// observations without a warning they are made anew as well, without an alarm. As frouros 0.9 has it.
///
/// * Units: none; observations are errors (1 wrong, 0 right). At an alarm by warnings in a row, statistic and threshold are their
///   number and the number allowed; else the rate and its deviation, as those of `ddm`.
/// * False alarms: errors with probability 0.05 and independent, at the defaults, a mean of 4 800 observations (measured), but
///   62 percent of fresh starts alarm within 1 000.
/// * Blind to: improvement.
/// * Memory: at most `versions (8 min_concept_size + 300) + 32 observations` bytes (56 kB a version at the default).
/// * Source: Barros et al., Expert Systems with Applications 90 (2017) 344-355.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RddmConfig {
    /// Warning above this many deviations, as of the best rate.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub warning_level: f64,
    /// Alarm above this many deviations, as of the best rate.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub drift_level: f64,
    /// The past is shortened when it is this long.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_concept_size: u32,
    /// Observations that are kept.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_concept_size: u32,
    /// Alarm after so many observations of warning in a row.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_num_instances_warning: u32,
    /// Observations before the first decision.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_num_instances: u32,
    /// Whether the statistics are made anew from what is kept after an alarm; else they begin anew, as when a user of frouros
    /// calls `reset()`: the observations kept and the count of warnings survive that.
    pub keep_recent: bool,
}

impl Default for RddmConfig {
    fn default() -> Self {
        Self {
            warning_level: 1.773,
            drift_level: 2.258,
            max_concept_size: 40_000,
            min_concept_size: 7_000,
            max_num_instances_warning: 1_400,
            min_num_instances: 129,
            keep_recent: true,
        }
    }
}

impl RddmConfig {
    pub(super) fn check(&self) -> Result<(), BadParameter> {
        positive("warning_level", self.warning_level)?;
        positive("drift_level", self.drift_level)?;
        must(self.warning_level <= self.drift_level, "warning_level", "at most drift_level")?;
        count("max_concept_size", self.max_concept_size, 1)?;
        count("min_concept_size", self.min_concept_size, 1)?;
        count("max_num_instances_warning", self.max_num_instances_warning, 1)?;
        count("min_num_instances", self.min_num_instances, 1)
    }

    pub(super) fn start(&self) -> Rddm {
        Rddm {
            config: self.clone(),
            kept: VecDeque::with_capacity(self.min_concept_size as usize),
            rate: Rate::NONE,
            instances: 0,
            warnings: 0,
            rebuild: false,
            warned: false,
            alarmed: false,
        }
    }
}

/// The error rate and its best.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rate {
    n: f64,
    p: f64,
    /// `p + s`.
    sum: f64,
    p_min: f64,
    s_min: f64,
}

impl Rate {
    const NONE: Self = Self { n: 0.0, p: 0.0, sum: 0.0, p_min: f64::INFINITY, s_min: f64::INFINITY };

    /// Takes an observation, the rate being that of `instances`; the best is kept if `best` says so.
    fn add(&mut self, x: f64, instances: u32, best: bool) {
        self.n += 1.0;
        self.p += (x - self.p) / self.n;
        let s = (self.p * (1.0 - self.p) / f64::from(instances)).sqrt();
        self.sum = self.p + s;
        if best && self.sum < self.p_min + self.s_min {
            (self.p_min, self.s_min) = (self.p, s);
        }
    }

    fn beyond(&self, level: f64) -> bool {
        self.sum > self.p_min + level * self.s_min
    }
}

/// An RDDM at work.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rddm {
    config: RddmConfig,
    /// Observations, oldest first.
    kept: VecDeque<f64>,
    rate: Rate,
    /// One behind the rate's own count after the statistics were made anew.
    instances: u32,
    /// Observations of warning in a row.
    warnings: u32,
    /// Whether statistics are to be made anew.
    rebuild: bool,
    warned: bool,
    alarmed: bool,
}

impl Rddm {
    fn keep_newest(&mut self) {
        self.kept.drain(..self.kept.len().saturating_sub(1));
    }

    fn made_anew(&mut self) {
        (self.rate, self.instances, self.warnings, self.rebuild) = (Rate::NONE, 0, 0, false);
        for x in &self.kept {
            self.instances += 1;
            self.rate.add(*x, self.instances, self.alarmed && self.instances >= self.config.min_num_instances);
        }
    }
}

impl Detector for Rddm {
    const TAKES: Takes = Takes::Unit;

    fn step(&mut self, x: f64) -> Step {
        if self.alarmed && !self.config.keep_recent {
            (self.rate, self.instances, self.rebuild, self.warned) = (Rate::NONE, 0, false, false);
        }
        if self.rebuild {
            self.made_anew();
        } else {
            self.instances += 1;
        }
        if self.kept.len() == self.config.min_concept_size as usize {
            self.kept.pop_front();
        }
        self.kept.push_back(x);
        let decides = self.instances >= self.config.min_num_instances;
        self.rate.add(x, self.instances.max(1), decides);
        self.alarmed = false;
        if !decides {
            self.warned = false;
        } else if self.rate.beyond(self.config.drift_level) {
            (self.alarmed, self.warned) = (true, false);
            if self.warnings == 0 {
                self.keep_newest();
            }
        } else {
            let warning = self.rate.beyond(self.config.warning_level);
            if warning && self.warnings >= self.config.max_num_instances_warning {
                self.alarmed = true;
                self.keep_newest();
            } else {
                self.warned = warning;
                self.warnings = if warning { self.warnings + 1 } else { 0 };
            }
            self.rebuild = self.instances >= self.config.max_concept_size && !self.warned;
        }
        self.rebuild |= self.alarmed;
        Step::of(self.alarmed, self.warned)
    }

    fn reading(&self) -> Reading {
        let seen = u64::from(self.instances);
        if self.alarmed && !self.rate.beyond(self.config.drift_level) {
            let (statistic, threshold) = (f64::from(self.warnings), f64::from(self.config.max_num_instances_warning));
            return Reading { statistic, threshold, seen };
        }
        let threshold = self.rate.p_min + self.config.drift_level * self.rate.s_min;
        Reading { statistic: self.rate.sum, threshold, seen }
    }

    fn warned(&self) -> bool {
        self.warned
    }

    fn needs(&self) -> (u64, u64) {
        (u64::from(self.instances), u64::from(self.config.min_num_instances))
    }

    fn state(&self) -> Vec<(&'static str, f64)> {
        let defined = |x: f64| if x.is_finite() { x } else { f64::NAN };
        vec![
            ("p", self.rate.p),
            ("n", f64::from(self.instances)),
            ("p_min", defined(self.rate.p_min)),
            ("s_min", defined(self.rate.s_min)),
        ]
    }

    fn heap(&self) -> usize {
        self.kept.capacity() * size_of::<f64>()
    }
}
