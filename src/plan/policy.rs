//! Owns the wire form of a policy file: signals, rules, the plan for a revert, rights.
//!
//! Doc comments here are what editors and `rollcage schema` show.

use crate::plan::scenario::half;
use crate::plan::units::{Duration, PositiveDuration, Share};
use crate::time::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A rollcage rollback policy: what is measured, what follows from it, and how a revert is carried out.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its name in reports and expectations.
    #[schemars(length(min = 1))]
    pub name: String,
    /// What it is good for, in a sentence.
    #[serde(default)]
    pub summary: String,
    /// What is measured, by name.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 256))]
    pub signals: BTreeMap<String, Signal>,
    /// What follows from it.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub rule: Vec<Rule>,
    /// How a revert is carried out.
    #[serde(default)]
    pub revert: Revert,
    /// What the controller may do by itself.
    #[serde(default)]
    pub rights: Rights,
}

/// One signal; each kind offers its own fields to rules.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Signal {
    /// A latency quantile of answered requests. Fields: value (seconds), n.
    LatencyQuantile {
        /// Which quantile.
        #[serde(default = "p99")]
        #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
        quantile: f64,
        /// How far back.
        window: PositiveDuration,
    },
    /// Share of requests without an answer, with a Wilson interval. Fields: value, lower, upper, n.
    ErrorRate {
        /// How far back.
        window: PositiveDuration,
        /// Two-sided confidence of the interval.
        #[serde(default = "confidence")]
        #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
        confidence: f64,
    },
    /// Share of right classes among labelled answers, with a Wilson interval. Fields: value, lower, upper, n.
    Accuracy {
        /// The newest so many labels.
        window: LabelWindow,
        /// Fewer labels than this are no measurement.
        #[serde(default = "min_labels")]
        #[schemars(range(min = 1))]
        min: u32,
        /// A score at or above this is class 1.
        #[serde(default = "half")]
        threshold: Share,
        /// Two-sided confidence of the interval.
        #[serde(default = "confidence")]
        #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
        confidence: f64,
    },
    /// Two-sample Kolmogorov-Smirnov, Bonferroni-corrected over columns. Fields: d, p, n.
    Ks {
        /// `score`, `features`, `all`, or the name of a feature.
        of: String,
        /// How far back.
        window: PositiveDuration,
        /// Compared with what.
        #[serde(default)]
        reference: Reference,
        /// Fewer rows than this on either side are no measurement.
        #[serde(default = "min_rows")]
        #[schemars(range(min = 2))]
        min: u32,
    },
    /// Population stability index. Fields: value, ratio (value over the threshold calibrated for alpha), n.
    Psi {
        /// `score`, `features`, `all`, or the name of a feature.
        of: String,
        /// How far back.
        window: PositiveDuration,
        /// Compared with what.
        #[serde(default)]
        reference: Reference,
        /// Quantile bins of the reference.
        #[serde(default = "bins")]
        #[schemars(range(min = 2, max = 100))]
        bins: u32,
        /// False-alarm probability of one look.
        #[serde(default = "alpha")]
        #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
        alpha: f64,
        /// Fewer rows than this on either side are no measurement.
        #[serde(default = "min_rows")]
        #[schemars(range(min = 2))]
        min: u32,
    },
    /// A coin, thrown at every look: the null model that any policy must beat. Fields: heads (0 or 1).
    Coin {
        /// Probability of heads at one look.
        share: Share,
    },
}

fn p99() -> f64 {
    0.99
}
fn confidence() -> f64 {
    0.95
}
fn min_labels() -> u32 {
    30
}
fn min_rows() -> u32 {
    50
}
fn bins() -> u32 {
    10
}
fn alpha() -> f64 {
    0.001
}

/// A window counted in labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelWindow {
    /// The newest so many labels.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub labels: u32,
}

/// What a distribution is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reference {
    /// The version beside it, at the same time.
    #[default]
    Baseline,
    /// The first so much time of traffic, whatever version served it.
    First(PositiveDuration),
    /// The version's own first so much time of traffic: what changed since it went out.
    Own(PositiveDuration),
}

/// One rule.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name in reports; "rule N" unless declared.
    #[schemars(length(min = 1))]
    pub name: Option<String>,
    /// A comparison of signals' fields and numbers, like "latency.value > 1.3 * baseline.latency.value".
    pub when: String,
    /// Consecutive measurements on which it must hold.
    #[serde(rename = "for", default = "once")]
    #[schemars(range(min = 1, max = 1000))]
    pub looks: u32,
    /// What follows.
    pub then: Then,
    /// What a measurement without a value counts as.
    #[serde(default)]
    pub on_missing: OnMissing,
}

fn once() -> u32 {
    1
}

/// What follows from a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Then {
    /// Put the last known good version back.
    Rollback,
    /// Go no further with the rollout.
    Halt,
    /// Tell a person.
    Alert,
}

/// What a measurement without a value counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnMissing {
    /// Neither for nor against.
    #[default]
    Inconclusive,
    /// The rule does not hold.
    Pass,
    /// The rule holds: no data is bad news.
    Fail,
}

/// How a revert is carried out.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Revert {
    /// Where to.
    pub target: Target,
    /// At once or in steps.
    pub how: How,
    /// Start and await the target's replicas before traffic moves.
    pub wait_ready: bool,
    /// The controller's own check afterwards.
    pub verify: Verify,
    /// An order without an answer is repeated after this.
    pub patience: PositiveDuration,
}

impl Default for Revert {
    fn default() -> Self {
        Self {
            target: Target::LastKnownGood,
            how: How::Word(AtOnce::AtOnce),
            wait_ready: true,
            verify: Verify::default(),
            patience: PositiveDuration(Span::secs(10)),
        }
    }
}

/// Where a revert goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// The version that served before the rollout.
    LastKnownGood,
}

/// How traffic moves.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum How {
    /// All of it in one order.
    Word(AtOnce),
    /// In steps.
    Steps(Steps),
}

/// All traffic in one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AtOnce {
    /// All of it in one order.
    AtOnce,
}

/// A revert in steps.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Steps {
    /// What the bad version keeps after each step of the traffic it had, down to 0.
    #[schemars(length(min = 1, max = 100))]
    pub steps: Vec<Share>,
    /// Between two steps.
    pub every: PositiveDuration,
    /// A signal: the next step waits while a rule on it fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<String>,
    /// Steps go on without the gate after this.
    #[serde(default = "minute")]
    pub gate_patience: PositiveDuration,
}

fn minute() -> PositiveDuration {
    PositiveDuration(Span::secs(60))
}

/// The controller's own check after a revert.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Verify {
    /// Telemetry of this long …
    pub window: PositiveDuration,
    /// … with at least so many requests.
    pub requests: u32,
}

impl Default for Verify {
    fn default() -> Self {
        Self { window: minute(), requests: 200 }
    }
}

/// What the controller may do by itself.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rights {
    /// Rollbacks in one trial; without it, any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollbacks: Option<u32>,
    /// No second rollback within this of the last.
    pub cooldown: Duration,
}

impl Default for Rights {
    fn default() -> Self {
        Self { rollbacks: None, cooldown: Duration(Span::ZERO) }
    }
}
