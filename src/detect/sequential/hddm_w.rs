//! Owns HDDM-W: McDiarmid's bound on moving weighted averages.

use super::config::{BadParameter, must, share, weight};
use super::{Detector, Reading, Step, Takes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// HDDM-W on a bounded stream, with exponentially weighted means. The cut is where the mean's upper bound,
/// `sqrt(b ln(1/drift_confidence)/2)` above it, was lowest; `b` is the sum of squared weights. Alarm when the mean since the cut
/// exceeds the mean up to it by more than `sqrt((b1 + b2) ln(1/drift_confidence)/2)`; warning with `warning_confidence`.
/// Two-sided, the same for decreases. Everything begins anew after an alarm. As river 0.23 has it; there a mean of exactly 0 is
/// taken for none, so that the first error after a clean start counts in full.
///
/// * Units: none; observations lie in [0, 1], as errors do (1 wrong, 0 right).
/// * False alarms: errors with probability 0.05 and independent, at the defaults, none in 60 million observations (measured). The
///   confidence is one decision's, not a stream's.
/// * Blind to: decreases, unless two-sided; rises by less than about `sqrt(lambda/(2 - lambda) ln(1/drift_confidence))`, 0.42 at the
///   defaults, which only chance takes beyond the bound.
/// * Memory: at most `300 versions + 32 observations` bytes.
/// * Source: Frias-Blanco et al., IEEE Transactions on Knowledge and Data Engineering 27 (2015) 810-823.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HddmWConfig {
    /// Confidence of an alarm: smaller is more careful.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub drift_confidence: f64,
    /// Confidence of a warning.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub warning_confidence: f64,
    /// Weight of the newest observation.
    #[schemars(extend("exclusiveMinimum" = 0), range(max = 1.0))]
    pub lambda: f64,
    /// Whether decreases count, too.
    pub two_sided_test: bool,
}

impl Default for HddmWConfig {
    fn default() -> Self {
        Self { drift_confidence: 0.001, warning_confidence: 0.005, lambda: 0.05, two_sided_test: false }
    }
}

impl HddmWConfig {
    pub(super) fn check(&self) -> Result<(), BadParameter> {
        share("drift_confidence", self.drift_confidence)?;
        share("warning_confidence", self.warning_confidence)?;
        must(self.drift_confidence <= self.warning_confidence, "drift_confidence", "at most warning_confidence")?;
        weight("lambda", self.lambda)
    }

    pub(super) fn start(&self) -> HddmW {
        HddmW {
            lambda: self.lambda,
            drift_log: libm::log(1.0 / self.drift_confidence),
            warning_log: libm::log(1.0 / self.warning_confidence),
            two_sided: self.two_sided_test,
            seen: 0,
            total: Sample::NONE,
            rise: Side::NONE,
            fall: Side::NONE,
            warned: false,
            alarmed: false,
        }
    }
}

/// A weighted mean.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Sample {
    mean: f64,
    /// Sum of squared weights, by which McDiarmid's bound goes.
    squares: f64,
    any: bool,
}

impl Sample {
    const NONE: Self = Self { mean: 0.0, squares: 1.0, any: false };

    fn add(&mut self, x: f64, lambda: f64) {
        let rest = 1.0 - lambda;
        self.mean = if self.mean == 0.0 { x } else { lambda * x + rest * self.mean };
        self.squares = lambda * lambda + rest * rest * self.squares;
        self.any = true;
    }
}

/// Means before and after a cut.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Side {
    cut: f64,
    before: Sample,
    after: Sample,
}

impl Side {
    const NONE: Self = Self { cut: f64::INFINITY, before: Sample::NONE, after: Sample::NONE };

    /// Takes an observation; `sign` is -1 where decreases count. Gives whether it is an alarm, whether it is a warning.
    fn step(&mut self, x: f64, total: &Sample, sign: f64, hddm: (f64, f64, f64)) -> (bool, bool) {
        let (lambda, drift_log, warning_log) = hddm;
        let bound = (total.squares * drift_log / 2.0).sqrt();
        let edge = sign * total.mean + bound;
        if edge < self.cut {
            *self = Self { cut: edge, before: *total, after: Sample::NONE };
        } else {
            self.after.add(x, lambda);
        }
        if !self.after.any {
            return (false, false);
        }
        let by = self.by(sign);
        (by > self.allowed(drift_log), by > self.allowed(warning_log))
    }

    fn by(&self, sign: f64) -> f64 {
        sign * (self.after.mean - self.before.mean)
    }

    fn allowed(&self, log: f64) -> f64 {
        ((self.before.squares + self.after.squares) * log / 2.0).sqrt()
    }
}

/// An HDDM-W at work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct HddmW {
    lambda: f64,
    drift_log: f64,
    warning_log: f64,
    two_sided: bool,
    seen: u64,
    total: Sample,
    rise: Side,
    fall: Side,
    warned: bool,
    alarmed: bool,
}

impl Detector for HddmW {
    const TAKES: Takes = Takes::Unit;

    fn step(&mut self, x: f64) -> Step {
        if self.alarmed {
            (self.seen, self.total, self.rise, self.fall) = (0, Sample::NONE, Side::NONE, Side::NONE);
        }
        self.seen += 1;
        self.total.add(x, self.lambda);
        let how = (self.lambda, self.drift_log, self.warning_log);
        let (alarm, warning) = self.rise.step(x, &self.total, 1.0, how);
        (self.alarmed, self.warned) = (alarm, warning && !alarm);
        if self.two_sided {
            let (alarm, warning) = self.fall.step(x, &self.total, -1.0, how);
            // An alarm by a decrease leaves the warning as it was.
            self.alarmed |= alarm;
            self.warned |= warning && !alarm;
        }
        Step::of(self.alarmed, self.warned)
    }

    fn reading(&self) -> Reading {
        // Nothing after the cut: there is no second mean.
        let margin = |side: &Side, sign: f64| match side.after.any {
            true => (side.by(sign), side.allowed(self.drift_log)),
            false => (f64::NAN, f64::NAN),
        };
        let (up, down) = (margin(&self.rise, 1.0), margin(&self.fall, -1.0));
        let falls = up.0.is_nan() || down.0 - down.1 > up.0 - up.1;
        let (statistic, threshold) = if self.two_sided && falls { down } else { up };
        Reading { statistic, threshold, seen: self.seen }
    }

    fn warned(&self) -> bool {
        self.warned
    }

    fn state(&self) -> Vec<(&'static str, f64)> {
        vec![("ewma", self.total.mean), ("ibc", self.total.squares)]
    }
}
