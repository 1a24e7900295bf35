//! Owns HDDM-A: Hoeffding's bound on moving averages.

use super::config::{BadParameter, must, share};
use super::{Detector, Mean, Reading, Step, Takes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// HDDM-A on a bounded stream. `z` is the mean of all `n` observations since the start; the cut is where its upper bound
/// `z + sqrt(ln(1/drift_confidence)/(2n))` was lowest, with mean `x` of `k` observations. Alarm when
/// `z - x >= sqrt(m/2 ln(2/drift_confidence))`, `m = (n - k)/(k n)`; warning with `warning_confidence`. Two-sided, the same for
/// decreases with the highest lower bound. Everything begins anew after an alarm. As river 0.23 has it.
///
/// * Units: none; observations lie in [0, 1], as errors do (1 wrong, 0 right).
/// * False alarms: errors with probability 0.05 and independent, at the defaults, 0.2 percent of fresh starts alarm within
///   10 000 observations; none in 60 million of one (measured). The confidence is one decision's, not a stream's.
/// * Blind to: decreases, unless two-sided. The bound knows no variance, so it needs much where errors are rare: for a rise
///   from 0.1 to 0.5 percent, 240 000 observations on either side of the change.
/// * Memory: at most `300 versions + 32 observations` bytes.
/// * Source: Frias-Blanco et al., IEEE Transactions on Knowledge and Data Engineering 27 (2015) 810-823.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HddmAConfig {
    /// Confidence of an alarm: smaller is more careful.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub drift_confidence: f64,
    /// Confidence of a warning.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub warning_confidence: f64,
    /// Whether decreases count, too.
    pub two_sided_test: bool,
}

impl Default for HddmAConfig {
    fn default() -> Self {
        Self { drift_confidence: 0.001, warning_confidence: 0.005, two_sided_test: false }
    }
}

impl HddmAConfig {
    pub(super) fn check(&self) -> Result<(), BadParameter> {
        share("drift_confidence", self.drift_confidence)?;
        share("warning_confidence", self.warning_confidence)?;
        must(self.drift_confidence <= self.warning_confidence, "drift_confidence", "at most warning_confidence")
    }

    pub(super) fn start(&self) -> HddmA {
        HddmA {
            cut_log: libm::log(1.0 / self.drift_confidence),
            drift_log: libm::log(2.0 / self.drift_confidence),
            warning_log: libm::log(2.0 / self.warning_confidence),
            two_sided: self.two_sided_test,
            z: Mean::NONE,
            low: Cut::NONE,
            high: Cut::NONE,
            warned: false,
            alarmed: false,
        }
    }
}

/// The mean up to a cut, with the bound that made it one.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cut {
    mean: Mean,
    bound: f64,
}

impl Cut {
    const NONE: Self = Self { mean: Mean::NONE, bound: f64::INFINITY };

    /// By how much the means after and before it may differ, over the square root of a confidence's logarithm.
    fn allowed(&self, n: f64) -> f64 {
        (n - self.mean.n) / self.mean.n * (1.0 / n) / 2.0
    }
}

/// An HDDM-A at work.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct HddmA {
    cut_log: f64,
    drift_log: f64,
    warning_log: f64,
    two_sided: bool,
    z: Mean,
    /// Of increases.
    low: Cut,
    /// Of decreases.
    high: Cut,
    warned: bool,
    alarmed: bool,
}

impl HddmA {
    /// Whether a mean has moved by `by` from its cut: so that it is an alarm, so that it is a warning.
    fn moved(&self, by: f64, cut: &Cut) -> (bool, bool) {
        // Nothing after the cut: allowed would be 0.
        if by < 0.0 || cut.mean.n == self.z.n {
            return (false, false);
        }
        let allowed = cut.allowed(self.z.n);
        (by >= (allowed * self.drift_log).sqrt(), by >= (allowed * self.warning_log).sqrt())
    }
}

impl Detector for HddmA {
    const TAKES: Takes = Takes::Unit;

    fn step(&mut self, x: f64) -> Step {
        if self.alarmed {
            (self.z, self.low, self.high) = (Mean::NONE, Cut::NONE, Cut::NONE);
        }
        self.z.add(x);
        let z = self.z.value;
        let bound = (1.0 / (2.0 * self.z.n) * self.cut_log).sqrt();
        if self.low.mean.value + self.low.bound >= z + bound {
            self.low = Cut { mean: self.z, bound };
        }
        (self.alarmed, self.warned) = self.moved(z - self.low.mean.value, &self.low);
        self.warned &= !self.alarmed;
        if self.two_sided {
            if self.high.mean.value - self.high.bound <= z - bound {
                self.high = Cut { mean: self.z, bound };
            }
            let (alarm, warning) = self.moved(self.high.mean.value - z, &self.high);
            // An alarm by a decrease leaves the warning as it was.
            self.alarmed |= alarm;
            self.warned |= warning && !alarm;
        }
        Step::of(self.alarmed, self.warned)
    }

    fn reading(&self) -> Reading {
        let n = self.z.n;
        // Nothing after the cut: there is no second mean.
        let margin = |by: f64, cut: &Cut| match cut.mean.n == n {
            true => (f64::NAN, f64::NAN),
            false => (by, (cut.allowed(n) * self.drift_log).sqrt()),
        };
        let up = margin(self.z.value - self.low.mean.value, &self.low);
        let down = margin(self.high.mean.value - self.z.value, &self.high);
        let falls = up.0.is_nan() || down.0 - down.1 > up.0 - up.1;
        let (statistic, threshold) = if self.two_sided && falls { down } else { up };
        Reading { statistic, threshold, seen: n as u64 }
    }

    fn warned(&self) -> bool {
        self.warned
    }

    fn state(&self) -> Vec<(&'static str, f64)> {
        vec![("mean", self.z.value), ("n", self.z.n), ("cut_mean", self.low.mean.value), ("cut_n", self.low.mean.n)]
    }
}
