//! Owns the wire form of a scenario file: what a person writes, and by its JSON Schema what an editor knows.
//!
//! Doc comments here are what editors and `rollcage schema` show.

use crate::plan::fault::Fault;
use crate::plan::outcome::BusinessOutcome;
use crate::plan::units::{Bound, Duration, PositiveDuration, Rate, Share, Size};
use crate::report::expect::Measure;
use crate::report::trial::Outcome;
use crate::time::Span;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A rollcage scenario: a fleet that serves models, traffic, a rollout, and what goes wrong.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name in reports and file names.
    #[schemars(length(min = 1))]
    pub name: String,
    /// What happens, in one or two sentences.
    #[serde(default)]
    pub summary: String,
    /// Where it shows and where it does not.
    #[serde(default)]
    pub look_at: String,
    /// The policy under test unless `--policy` names another: a path relative to this file.
    pub policy: Option<String>,
    /// When arrivals end.
    pub horizon: PositiveDuration,
    /// What users were promised, and how recovery is told.
    #[serde(default)]
    pub objective: Objective,
    /// Model versions by name.
    #[schemars(extend("maxProperties" = 64))]
    pub models: BTreeMap<String, Model>,
    /// The replicas and how they serve.
    pub fleet: Fleet,
    /// Streams of requests.
    #[schemars(length(min = 1, max = 16))]
    pub traffic: Vec<Traffic>,
    /// What the controller gets to see, and when.
    #[serde(default)]
    pub telemetry: Telemetry,
    /// How the new version gets traffic while nobody objects.
    pub rollout: Rollout,
    /// What goes wrong, or only looks so.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub fault: Vec<Fault>,
    /// Servers that `rollcage live` steers instead of starting replicas of its own; a simulation knows nothing of them.
    pub foreign: Option<Foreign>,
    /// The live-sized variant of this scenario, relative to this file: what `rollcage live` and `rollcage validate` run
    /// instead.
    pub live: Option<String>,
    /// What must come out; decides the exit code.
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub expect: Vec<Expect>,
}

/// Servers that a live run did not start: versions are put on them by load and taken off by unload.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Foreign {
    /// Addresses with ports ("127.0.0.1:8080"); the n-th replica of a version is on the n-th of them.
    #[schemars(length(min = 1, max = 64))]
    pub servers: Vec<String>,
    /// How versions are known there, by model name of this scenario; one that is not named is known as it is here.
    #[serde(default)]
    pub models: BTreeMap<String, ForeignModel>,
}

/// How a version is known to a foreign server.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ForeignModel {
    /// Its name there.
    pub name: Option<String>,
    /// The name of its input.
    pub input: Option<String>,
    /// The type its input has there.
    pub datatype: FloatType,
    /// The name of the output with the score.
    pub output: Option<String>,
    /// The column of that output which is the score.
    pub column: Option<u32>,
}

/// A type of floating-point numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub enum FloatType {
    /// Single precision.
    #[default]
    #[serde(rename = "FP32")]
    Fp32,
    /// Double precision.
    #[serde(rename = "FP64")]
    Fp64,
}

/// What users were promised, and how recovery is told.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Objective {
    /// An answer later than this is bad; without it none is late.
    pub latency: Option<LatencyObjective>,
    /// Promised share of requests without an answer: the error budget.
    pub failure_rate: Share,
    /// The period the error budget is for.
    pub period: PositiveDuration,
    /// When an answer is wrong.
    pub loss: Loss,
    /// How recovery is verified.
    pub recovery: Recovery,
}

impl Default for Objective {
    fn default() -> Self {
        Self {
            latency: None,
            failure_rate: Share(0.001),
            period: PositiveDuration(Span::secs(30 * 86_400)),
            loss: Loss::ZeroOne { threshold: Share(0.5) },
            recovery: Recovery::default(),
        }
    }
}

/// The promised latency.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LatencyObjective {
    /// The promised 99th percentile; a request above it counts as late.
    pub p99: PositiveDuration,
}

/// When an answer is wrong against the truth.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Loss {
    /// Its class differs from the true one.
    ZeroOne {
        /// A score at or above this is class 1.
        #[serde(default = "half")]
        threshold: Share,
    },
    /// It is too far from the true value.
    Absolute {
        /// How far is too far, in the unit of the label.
        #[schemars(extend("exclusiveMinimum" = 0))]
        tolerance: f64,
    },
}

/// One half.
pub(crate) fn half() -> Share {
    Share(0.5)
}

/// How recovery is verified.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Recovery {
    /// Length of the verification window.
    pub window: PositiveDuration,
    /// Requests it must hold.
    #[schemars(range(min = 1))]
    pub requests: u32,
    /// Failures, lateness and loss may each exceed the fault-free world's share by this.
    pub margin: Share,
    /// p99 latency may exceed the fault-free world's by this share.
    #[schemars(range(min = 0.0))]
    pub latency_margin: f64,
    /// The same cause again within this is a relapse.
    pub guard: Duration,
}

impl Default for Recovery {
    fn default() -> Self {
        Self {
            window: PositiveDuration(Span::secs(60)),
            requests: 200,
            margin: Share(0.01),
            latency_margin: 0.1,
            guard: Duration(Span::secs(600)),
        }
    }
}

/// One model version.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// The ONNX file, relative to this file.
    pub artifact: String,
    /// Its manifest; without it, the .json file of the same name beside the artifact.
    pub manifest: Option<String>,
    /// The version's own service time; without it, the fleet's.
    pub service_time: Option<Distribution>,
}

/// A distribution of time spans.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Distribution {
    /// Lognormal: the usual shape of latencies.
    Lognormal {
        /// Half are below this.
        median: PositiveDuration,
        /// 99 % are below this.
        p99: PositiveDuration,
    },
    /// Exponential.
    Exponential {
        /// The mean.
        mean: PositiveDuration,
    },
    /// Always the same.
    Constant {
        /// The value.
        value: Duration,
    },
}

/// The replicas and how they serve.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// Replicas that carry the full traffic.
    #[schemars(range(min = 1, max = 1000))]
    pub replicas: u32,
    /// Requests a replica serves at once.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1000))]
    pub concurrency: u32,
    /// Requests that may wait at a replica; one more is shed.
    #[serde(default = "queue")]
    #[schemars(range(max = 1_000_000))]
    pub queue: u32,
    /// After this a request has failed, waiting or in service.
    #[serde(default = "second")]
    pub timeout: PositiveDuration,
    /// How long a replica takes to start.
    #[serde(default)]
    pub start: Start,
    /// Service time of one request.
    pub service_time: Distribution,
    /// Replicas kept for versions without traffic, by model name: warm targets of a revert.
    #[serde(default)]
    pub standby: BTreeMap<String, u32>,
    /// How long the old version's replicas stay after the new one got all traffic (Argo's default).
    #[serde(default = "half_minute")]
    pub scale_down_delay: Duration,
    /// What memory a replica uses; without it, nobody tells.
    pub memory: Option<Memory>,
    /// From a controller's order to the fleet, and from the fleet's answer back: an API call of the kind orchestrators take.
    #[serde(default = "control_delay")]
    pub control_delay: PositiveDuration,
}

fn one() -> u32 {
    1
}
fn queue() -> u32 {
    64
}
fn second() -> PositiveDuration {
    PositiveDuration(Span::secs(1))
}
fn control_delay() -> PositiveDuration {
    PositiveDuration(crate::world::config::WorldConfig::CONTROL_DELAY)
}
fn half_minute() -> Duration {
    Duration(Span::secs(30))
}

/// What memory a simulated replica uses: the base, the file of the model it has loaded, and so much for each request it holds.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Memory {
    /// Of a process that holds nothing.
    pub base: Size,
    /// For each request that waits or is in service.
    #[serde(default = "nothing")]
    pub per_request: Size,
    /// What it may use; nothing happens to one that uses more.
    pub limit: Option<Size>,
}

fn nothing() -> Size {
    Size(0)
}

/// How long a replica takes to start.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Start {
    /// Fetching the artifact.
    pub fetch: Duration,
    /// Comparing its digest.
    pub verify: Duration,
    /// Building the session.
    pub load: Duration,
    /// Running until it is fast.
    pub warm_up: Duration,
}

impl Default for Start {
    fn default() -> Self {
        let zero = Duration(Span::ZERO);
        Self { fetch: zero, verify: zero, load: zero, warm_up: zero }
    }
}

/// One stream of requests: `replay` or `normal` says what they carry.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Its name; part of the key of its random streams.
    #[schemars(length(min = 1))]
    pub source: String,
    /// Requests carry rows of a table.
    pub replay: Option<Replay>,
    /// Requests carry independent standard normal features, with labels from a known concept.
    pub normal: Option<Normal>,
    /// When requests come.
    pub arrivals: Arrivals,
    /// When truth becomes known; without it, never.
    pub labels: Option<Labels>,
    /// What users do afterwards that the business counts, by name; one that several sources have is one.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 64))]
    pub outcomes: BTreeMap<String, BusinessOutcome>,
    /// Distinct users; each sticks to a version.
    #[serde(default = "users")]
    #[schemars(range(min = 1, max = 10_000_000))]
    pub users: u32,
}

fn users() -> u32 {
    10_000
}

/// Rows of a table.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    /// A CSV file with a header, plain or .gz, relative to this file. Empty cells, `NA` and `nan` are missing values.
    pub file: String,
    /// The column with the truth.
    pub label: String,
    /// Columns whose values tell segments of users apart.
    #[serde(default)]
    pub segment: Vec<String>,
    /// How rows become requests; `in-order` where arrivals are recorded, else `iid` unless declared.
    pub rows: Option<Rows>,
    /// The column that says when each row came.
    pub time: Option<String>,
    /// The column that says how long each row's label took.
    pub label_delay: Option<DelayColumn>,
}

/// How rows become requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rows {
    /// Each request draws a row.
    Iid,
    /// Row n is request n; the stream ends with the table.
    InOrder,
}

/// A column of delays.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DelayColumn {
    /// Its name.
    pub column: String,
    /// What it counts.
    pub unit: TimeUnit,
}

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TimeUnit {
    /// Milliseconds.
    Ms,
    /// Seconds.
    S,
    /// Minutes.
    Min,
    /// Hours.
    H,
}

/// Independent standard normal features with a known concept.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Normal {
    /// A manifest with `lineage.concept.weights` and `.bias`: the label is 1 with probability sigmoid(weights · x + bias).
    pub concept: String,
}

/// When requests come.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Arrivals {
    /// A Poisson process.
    Poisson {
        /// Requests per unit of time.
        rate: Rate,
    },
    /// The table's own times.
    Recorded {
        /// How much faster than recorded: at 1000, a recorded second takes a millisecond.
        #[serde(default = "unscaled")]
        #[schemars(extend("exclusiveMinimum" = 0))]
        scale: f64,
    },
}

fn unscaled() -> f64 {
    1.0
}

/// When truth becomes known.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Labels {
    /// How long after the answer.
    pub delay: LabelDelay,
    /// Share of labels that never come.
    #[serde(default = "none")]
    pub lost: Share,
}

/// Zero.
pub(crate) fn none() -> Share {
    Share(0.0)
}

/// How long a label takes.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum LabelDelay {
    /// As the table says.
    Recorded(RecordedDelay),
    /// Drawn.
    Drawn(Distribution),
}

/// As the table's `label_delay` column says, scaled like its arrivals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RecordedDelay {
    /// As recorded.
    Recorded,
}

/// What the controller gets to see, and when.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// Between two scrapes.
    pub scrape: PositiveDuration,
    /// From a scrape to the controller.
    pub lag: Duration,
    /// Share of scrapes that never arrive.
    pub loss: Share,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { scrape: PositiveDuration(Span::secs(15)), lag: Duration(Span::secs(2)), loss: Share(0.0) }
    }
}

/// How the new version gets traffic while nobody objects.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollout {
    /// The model that serves before.
    pub from: String,
    /// The model that is rolled out.
    pub to: String,
    /// When the new model gets which share of traffic, in order of time.
    #[schemars(length(min = 1, max = 1000))]
    pub stages: Vec<Stage>,
}

/// One stage of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// When.
    pub at: Duration,
    /// The new model's share of traffic.
    pub weight: Share,
}

/// What must come out: an `outcome` in a `share` of trials, or a `measure` within limits.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The policy it is about; without it, whatever policy is under test.
    pub policy: Option<String>,
    /// The outcome of a trial.
    pub outcome: Option<OutcomeName>,
    /// The share of trials with that outcome, ">= 1" unless declared.
    pub share: Option<Bound>,
    /// What is measured.
    pub measure: Option<MeasureName>,
    /// A limit that every single trial must meet.
    pub value: Option<Bound>,
    /// A limit for the median over trials.
    pub p50: Option<Bound>,
    /// A limit for the 90th percentile over trials.
    pub p90: Option<Bound>,
    /// A limit for the mean over trials.
    pub mean: Option<Bound>,
    /// A limit for the largest of all trials.
    pub max: Option<Bound>,
    /// A limit for the smallest of all trials (a bare value is a lower limit).
    pub min: Option<Bound>,
}

macro_rules! by_name {
    ($(#[$doc:meta])* $name:ident($inner:ident)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name(pub $inner);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = String::deserialize(d)?;
                let found = $inner::ALL.into_iter().find(|x| x.name() == text);
                found.map(Self).ok_or_else(|| de::Error::custom(format!("unknown value `{text}`")))
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($inner).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let names: Vec<&str> = $inner::ALL.into_iter().map($inner::name).collect();
                json_schema!({ "type": "string", "enum": names })
            }
        }
    };
}

by_name! {
    /// An outcome by its name in reports.
    OutcomeName(Outcome)
}
by_name! {
    /// A measure by its name in reports.
    MeasureName(Measure)
}
