//! Owns the wire form of a policy file: signals, rules, the plan for a revert, rights.
//!
//! Doc comments here are what editors and `rollcage schema` show.

use crate::plan::signals::Signal;
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
