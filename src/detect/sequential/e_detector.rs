//! Owns the e-detector for the mean of a bounded metric.

use super::config::{BadParameter, Mode, level, must, positive, share};
use super::{Detector, Reading, Step, Takes};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// E-detector of the hypothesis "the mean is at most `m`, whatever came before" on a metric within `range`: **the recommended
/// detector of a bounded metric whose good mean is known**, the only one here whose false-alarm rate needs no distribution. With
/// `x` and `m` as shares of `range`, each observation is worth `e = 1 + lambda (x/m - 1)`, at most 1 on average as long as the
/// hypothesis holds. With `M` the plain average over `lambdas` of `M = (1 + M) e` from 0 (e-SR), or of `M = max(1, M) e` from 1
/// (e-CUSUM): alarm when `M >= 1/alpha`; then anew. `mode = "down"` is the hypothesis "at least `m`" (the same on `1 - x` and
/// `1 - m`), `"both"` the average of the two.
///
/// * Units: `range`, `m`: metric.
/// * False alarms: **a mean of at least `1/alpha` observations, whatever the distribution**, independent or not, as long as the
///   mean given the past obeys the hypothesis: one that is `m` in the long run but higher in bursts that one can see coming does
///   not. For both rules (e-CUSUM is never above e-SR).
/// * Blind to: means beyond `m` by little, against which no `lambda` is small enough; what leaves the mean on its side of `m`;
///   how far beyond `range` a value is, which counts as its nearer end.
/// * Memory: at most `versions (32 lambdas + 300) + 32 observations` bytes: of each of the `lambdas` 8 a side, twice.
/// * Source: Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for sequential change detection", New England
///   Journal of Statistics in Data Science, 2024.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EDetectorConfig {
    /// The mean that is still good, within `range`, in the metric's unit.
    pub m: f64,
    /// The least and the greatest value there can be, in the metric's unit; others are taken as the nearer end. A policy has to
    /// write it unless values are 0 and 1.
    #[serde(default = "unit")]
    pub range: [f64; 2],
    /// One over the least mean number of observations until a false alarm.
    #[serde(default = "alpha")]
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub alpha: f64,
    /// How much is staked on each observation; small ones find small shifts.
    #[serde(default = "lambdas")]
    #[schemars(length(min = 1, max = 64), inner(range(min = 0.0, max = 1.0)))]
    pub lambdas: Vec<f64>,
    /// How evidence adds up.
    #[serde(default)]
    pub rule: ERule,
    /// On which side of `m` the mean must stay; both at once is "the mean is m".
    #[serde(default = "up")]
    pub mode: Mode,
    /// Whether it begins anew after an alarm. Without, it alarms after each observation while M is that large.
    #[serde(default = "restart")]
    pub restart: bool,
}

/// How evidence of a change adds up over the times it may have begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ERule {
    /// Over all of them, as Shiryaev-Roberts does.
    #[default]
    ESr,
    /// The likeliest, as CUSUM does.
    ECusum,
}

fn unit() -> [f64; 2] {
    [0.0, 1.0]
}
fn alpha() -> f64 {
    0.001
}
fn lambdas() -> Vec<f64> {
    vec![0.05, 0.1, 0.2, 0.4, 0.6, 0.8]
}
fn up() -> Mode {
    Mode::Up
}
fn restart() -> bool {
    true
}

impl EDetectorConfig {
    /// A value as a share of the range.
    fn share_of_range(&self, x: f64) -> f64 {
        let [low, high] = self.range;
        (x - low) / (high - low)
    }

    pub(super) fn check(&self) -> Result<(), BadParameter> {
        let [low, high] = self.range;
        level("range", low)?;
        level("range", high)?;
        positive("range", high - low)?;
        must((1e-300..1.0).contains(&self.share_of_range(self.m)), "m", "within range, not at its ends")?;
        share("alpha", self.alpha)?;
        must((1..=64).contains(&self.lambdas.len()), "lambdas", "1 to 64 numbers")?;
        must(self.lambdas.iter().all(|lambda| (0.0..=1.0).contains(lambda)), "lambdas", "between 0 and 1")
    }

    pub(super) fn start(&self) -> EDetector {
        let bets = |on: bool| if on { self.lambdas.len() } else { 0 };
        let mut detector = EDetector {
            low: self.range[0],
            width: self.range[1] - self.range[0],
            m: self.share_of_range(self.m),
            threshold: 1.0 / self.alpha,
            rule: self.rule,
            restart: self.restart,
            lambdas: self.lambdas.clone(),
            up: vec![0.0; bets(self.mode.up())],
            down: vec![0.0; bets(self.mode.down())],
            value: 0.0,
            seen: 0,
        };
        detector.begin();
        detector
    }
}

/// An e-detector at work.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct EDetector {
    low: f64,
    width: f64,
    /// As a share of the range.
    m: f64,
    threshold: f64,
    rule: ERule,
    restart: bool,
    lambdas: Vec<f64>,
    /// M of each lambda for increases, if they count.
    up: Vec<f64>,
    /// The same for decreases.
    down: Vec<f64>,
    value: f64,
    seen: u64,
}

impl EDetector {
    fn begin(&mut self) {
        let first = match self.rule {
            ERule::ESr => 0.0,
            ERule::ECusum => 1.0,
        };
        self.up.fill(first);
        self.down.fill(first);
        (self.value, self.seen) = (first, 0);
    }
}

/// More evidence than any threshold asks for, of which a sum is still a number.
const MOST: f64 = 1e300;

/// Adds the evidence of an observation that is `excess` above the mean, relative to it; gives the sum of M.
fn add(lambdas: &[f64], evidence: &mut [f64], excess: f64, rule: ERule) -> f64 {
    let mut sum = 0.0;
    for (m, lambda) in evidence.iter_mut().zip(lambdas) {
        let before = match rule {
            ERule::ESr => 1.0 + *m,
            ERule::ECusum => m.max(1.0),
        };
        // Evidence beyond all others stays a number, so that it can fall again.
        *m = (before * (1.0 + lambda * excess)).min(MOST);
        sum += *m;
    }
    sum
}

impl Detector for EDetector {
    const TAKES: Takes = Takes::Any;

    fn step(&mut self, x: f64) -> Step {
        let x = ((x - self.low) / self.width).clamp(0.0, 1.0);
        if self.restart && self.value >= self.threshold {
            self.begin();
        }
        self.seen += 1;
        let up = add(&self.lambdas, &mut self.up, x / self.m - 1.0, self.rule);
        let down = add(&self.lambdas, &mut self.down, (1.0 - x) / (1.0 - self.m) - 1.0, self.rule);
        self.value = (up + down) / (self.up.len() + self.down.len()) as f64;
        Step::alarm(self.value >= self.threshold)
    }

    fn reading(&self) -> Reading {
        Reading { statistic: self.value, threshold: self.threshold, seen: self.seen }
    }

    fn state(&self) -> Vec<(&'static str, f64)> {
        let name = match self.rule {
            ERule::ESr => "e_sr",
            ERule::ECusum => "e_cusum",
        };
        vec![(name, self.value)]
    }

    fn heap(&self) -> usize {
        (self.lambdas.capacity() + self.up.capacity() + self.down.capacity()) * size_of::<f64>()
    }
}
