//! Owns the wire form of faults: one table of kinds, each with its ground truth beside the cause.

use crate::plan::units::{Duration, PositiveDuration, Share};
use crate::time::Span;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What every fault declares, whatever its kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Common<'a> {
    /// Its name; the kind unless declared.
    pub name: Option<&'a str>,
    /// Whether it is meant to harm users.
    pub harmful: bool,
    /// Whether taking the version out cures it.
    pub curable_by_rollback: Option<bool>,
    /// The chance that it happens at all.
    pub chance: Share,
}

// Without `serde(flatten)`, which would lose places and unknown keys, the common keys are written into each kind here.
macro_rules! faults {
    ($($(#[doc = $doc:literal])* $kind:ident, $word:literal { $($(#[$meta:meta])* $field:ident: $type:ty,)* })*) => {
        /// One injected cause with its ground truth.
        #[derive(Debug, Clone, Deserialize, JsonSchema)]
        #[serde(tag = "kind", deny_unknown_fields)]
        pub enum Fault {
            $(
                $(#[doc = $doc])*
                #[serde(rename = $word)]
                $kind {
                    $($(#[$meta])* $field: $type,)*
                    /// Its name in reports; the kind unless declared.
                    name: Option<String>,
                    /// Ground truth: whether it is meant to harm users.
                    harmful: bool,
                    /// Ground truth: whether taking the version out cures it; must be said of harmful faults.
                    curable_by_rollback: Option<bool>,
                    /// The chance that it happens at all, drawn per trial.
                    #[serde(default = "certain")]
                    chance: Share,
                },
            )*
        }

        impl Fault {
            /// The kind as it is written.
            #[must_use]
            pub const fn kind(&self) -> &'static str {
                match self { $(Self::$kind { .. } => $word,)* }
            }

            /// What every fault declares.
            #[must_use]
            pub fn common(&self) -> Common<'_> {
                match self {
                    $(Self::$kind { name, harmful, curable_by_rollback, chance, .. } => Common {
                        name: name.as_deref(),
                        harmful: *harmful,
                        curable_by_rollback: *curable_by_rollback,
                        chance: *chance,
                    },)*
                }
            }
        }
    };
}

faults! {
    /// The bytes of a model rot.
    WeightCorruption, "weight-corruption" {
        /// When.
        at: Duration,
        /// The model whose artifact rots.
        artifact: String,
        /// How it rots.
        change: Change,
        /// Whether replicas compare the digest before a load (and refuse).
        #[serde(default)]
        check: DigestCheck,
        /// Whether the rot reaches replicas that run already.
        #[serde(default)]
        reach: Reach,
    }
    /// Service takes longer, for a version or on some hosts.
    LatencySpike, "latency-spike" {
        /// When.
        at: Duration,
        /// How long; without it, to the end.
        duration: Option<PositiveDuration>,
        /// All replicas of this model; ends when the model leaves.
        version: Option<String>,
        /// The first so many hosts, whatever they serve: a noisy neighbour.
        #[schemars(range(min = 1))]
        hosts: Option<u32>,
        /// Service time is multiplied by this, …
        #[serde(default = "unchanged")]
        #[schemars(extend("exclusiveMinimum" = 0))]
        factor: f64,
        /// … and this is added.
        #[serde(default = "nothing")]
        add: Duration,
    }
    /// Replica processes are killed. Nobody starts them again but a later order of the rollout or the policy.
    ReplicaCrash, "replica-crash" {
        /// When.
        at: Duration,
        /// How long it is done again and again; without it, to the end.
        duration: Option<PositiveDuration>,
        /// The model whose replicas are killed; ends when the model leaves.
        version: String,
        /// The first so many that are ready, by number; all, if fewer are.
        #[serde(default = "one")]
        #[schemars(range(min = 1))]
        replicas: u32,
        /// The then first so many are killed again each time this has passed; without it, it is done once.
        every: Option<PositiveDuration>,
    }
    /// Replica processes are stopped, and go on afterwards.
    ReplicaStall, "replica-stall" {
        /// When.
        at: Duration,
        /// How long; without it, to the end.
        duration: Option<PositiveDuration>,
        /// The model whose replicas are stopped; ends when the model leaves.
        version: String,
        /// The first so many that are ready when it begins, by number; all, if fewer are.
        #[serde(default = "one")]
        #[schemars(range(min = 1))]
        replicas: u32,
    }
    /// No packet passes between the router and replicas that are well.
    NetworkCut, "network-cut" {
        /// When.
        at: Duration,
        /// How long; without it, to the end.
        duration: Option<PositiveDuration>,
        /// The model whose replicas are cut off; ends when the model leaves.
        version: String,
        /// The first so many that are ready when it begins, by number; all, if fewer are.
        #[serde(default = "one")]
        #[schemars(range(min = 1))]
        replicas: u32,
    }
    /// Answers of replicas travel longer, without keeping them busy.
    NetworkDelay, "network-delay" {
        /// When.
        at: Duration,
        /// How long; without it, to the end.
        duration: Option<PositiveDuration>,
        /// The model whose answers travel longer; ends when the model leaves.
        version: String,
        /// The first so many that are ready when it begins, by number; all, if fewer are.
        #[serde(default = "one")]
        #[schemars(range(min = 1))]
        replicas: u32,
        /// How much longer, there and back together.
        add: PositiveDuration,
    }
    /// The population of requests moves.
    CovariateDrift, "covariate-drift" {
        /// When.
        at: Duration,
        /// How long; without it, to the end.
        duration: Option<PositiveDuration>,
        /// Which source of traffic, where there are several.
        source: Option<String>,
        /// From nothing to the full change in this time.
        #[serde(default = "nothing")]
        ramp: Duration,
        /// Which features move, and how.
        #[schemars(length(min = 1, max = 1000))]
        features: Vec<Shift>,
        /// Whether labels follow the moved features (the population changed) or stay (a sensor is off).
        labels: LabelsUnderDrift,
    }
    /// More requests come.
    TrafficSurge, "traffic-surge" {
        /// When.
        at: Duration,
        /// How long; without it, to the end.
        duration: Option<PositiveDuration>,
        /// Which source of traffic, where there are several.
        source: Option<String>,
        /// The arrival rate is multiplied by this, more than 1: a surge adds requests and takes none away.
        #[schemars(extend("exclusiveMinimum" = 1), range(max = 1000))]
        factor: f64,
    }
    /// A model is bad from birth; its fault-free twin ships `clean` instead.
    BadRelease, "bad-release" {
        /// The bad model.
        model: String,
        /// The model that should have shipped.
        clean: String,
    }
    /// The recorded data change by themselves; there is no fault-free twin.
    NaturalDrift, "natural-drift" {
        /// From when on.
        at: Duration,
    }
    /// Declared, without any effect: what is "detected" of it is coincidence.
    Sham, "sham" {
        /// When.
        at: Duration,
    }
}

fn certain() -> Share {
    Share(1.0)
}
fn unchanged() -> f64 {
    1.0
}
fn one() -> u32 {
    1
}
fn nothing() -> Duration {
    Duration(Span::ZERO)
}

/// How bytes rot.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// What is changed in each hit.
    pub what: What,
    /// The share of weights hit (of bytes, for `bytes`).
    #[schemars(extend("exclusiveMinimum" = 0), range(max = 1))]
    pub share: f64,
    /// For kinds that flip one of eight bits: the lowest and the highest that may, 0 to 7; without it, any. Exponent bits 0
    /// and 1 change a weight 2- to 4-fold, bit 7 by 2^128.
    #[serde(default)]
    #[schemars(length(min = 2, max = 2), inner(range(max = 7)))]
    pub bits: Option<[u8; 2]>,
    /// Fixes which are hit: part of the scenario, not of the trial.
    #[serde(default)]
    pub seed: u32,
}

/// What is changed in a hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// One exponent bit of a weight flips: factors of 2 to 2^128.
    ExponentBits,
    /// One of the upper mantissa bits of a weight flips: up to half its value.
    MantissaBits,
    /// The sign of a weight flips.
    SignBit,
    /// The weight becomes zero.
    Zero,
    /// One bit of any byte of the file flips, structure included.
    Bytes,
}

/// Whether the digest is compared before a load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DigestCheck {
    /// It is, and the load refused.
    #[default]
    Enforced,
    /// It is not: the rot is behind the check.
    Bypassed,
}

/// Whom the rot reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// Replicas serve from pages mapped from the file: those that run, too.
    #[default]
    Mapped,
    /// Later loads only.
    Disk,
}

/// How one feature moves: x becomes scale · x + shift.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shift {
    /// The feature.
    pub name: String,
    /// Multiplies it.
    #[serde(default = "unchanged")]
    pub scale: f64,
    /// Is added to it.
    #[serde(default)]
    pub shift: f64,
}

/// What labels do when features move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LabelsUnderDrift {
    /// They follow: the population changed.
    Follow,
    /// They stay: what is measured is off, the world is not.
    Stay,
}
