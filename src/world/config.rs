//! Owns the plant's typed configuration: everything resolved, nothing left that can fail.

use crate::artifact::Artifact;
use crate::artifact::corrupt::Corruption;
use crate::event::Capacity;
use crate::id::{OutcomeId, SegmentId, SourceId, VersionId};
use crate::time::{SimTime, Span};
use crate::world::distribution::{Amount, Distribution};
use std::sync::Arc;

/// The whole plant.
#[derive(Debug, Clone, PartialEq)]
pub struct WorldConfig {
    /// When arrivals end; what is under way then still ends.
    pub horizon: SimTime,
    /// Model versions, by [`VersionId`].
    pub versions: Vec<Version>,
    /// The version that has all traffic at the start.
    pub initial: VersionId,
    /// Replicas and how they serve.
    pub fleet: Fleet,
    /// Traffic, by [`SourceId`].
    pub sources: Vec<Source>,
    /// What the controller gets to see, and when.
    pub telemetry: Telemetry,
    /// From an order to the plant, and from the plant's answer back: an API call of the kind orchestrators take.
    pub control_delay: Span,
    /// Injected causes, by `FaultId`.
    pub faults: Vec<Fault>,
}

impl WorldConfig {
    /// [`WorldConfig::control_delay`] where nothing else is said.
    pub const CONTROL_DELAY: Span = Span::millis(20);
}

/// One model version.
#[derive(Debug, Clone, PartialEq)]
pub struct Version {
    /// Its name in the scenario.
    pub name: String,
    /// Bytes, manifest and how to feed them.
    pub artifact: Arc<Artifact>,
    /// Per source: for each input column of the model, the source's feature column that is served into it (the
    /// version's transform). `None`: the source's columns as they are.
    pub columns: Vec<Option<Vec<usize>>>,
    /// The version's service time; `None`: the fleet's.
    pub service: Option<Distribution>,
}

/// The replicas.
#[derive(Debug, Clone, PartialEq)]
pub struct Fleet {
    /// Replicas that carry the full traffic.
    pub replicas: u32,
    /// Requests a replica serves at once.
    pub concurrency: u32,
    /// Requests that may wait at a replica; one more is shed.
    pub queue: u32,
    /// After this a request has failed, waiting or in service.
    pub timeout: Span,
    /// How long a start takes: fetch, verify, load, warm up.
    pub start: [Span; 4],
    /// Service time of one request.
    pub service: Distribution,
    /// Replicas kept for versions without traffic.
    pub standby: Vec<(VersionId, u32)>,
    /// What memory a replica uses; `None`: its gauge stays at 0.
    pub memory: Option<Memory>,
}

impl Fleet {
    /// What each replica may use.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        let memory = self.memory.and_then(|memory| memory.limit);
        Capacity { concurrency: self.concurrency, queue: self.queue, memory }
    }
}

/// What memory a replica uses, in bytes: the base, the bytes of the model it has loaded, and so much for each request that it
/// holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Of a process that holds nothing.
    pub base: u64,
    /// For each request that waits or is in service.
    pub per_request: u64,
    /// What it may use. Nothing happens to one that uses more.
    pub limit: Option<u64>,
}

/// One exogenous stream of requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Its name: part of the key of its random streams.
    pub name: String,
    /// What requests carry.
    pub payload: Payload,
    /// When they come.
    pub arrivals: Arrivals,
    /// When truth becomes known.
    pub labels: LabelConfig,
    /// What users do afterwards that the business counts.
    pub outcomes: Vec<OutcomeConfig>,
    /// Distinct users; each sticks to a version by hash.
    pub users: u32,
}

impl Source {
    /// Features per request.
    #[must_use]
    pub fn width(&self) -> usize {
        match &self.payload {
            Payload::Replay { table, .. } => table.columns.len(),
            Payload::Normal { weights, .. } => weights.len(),
        }
    }
}

/// What requests carry.
#[derive(Debug, Clone, PartialEq)]
pub enum Payload {
    /// Rows of a table.
    Replay {
        /// The rows.
        table: Arc<Table>,
        /// `true`: each request draws a row; `false`: row n is request n, and the stream ends with the table.
        iid: bool,
    },
    /// Independent standard normal features; the label is 1 with probability `sigmoid(weights·x + bias)`.
    Normal {
        /// The true concept's weights, one per feature.
        weights: Vec<f64>,
        /// The true concept's bias.
        bias: f64,
    },
}

/// Recorded requests.
#[derive(Debug, Clone)]
pub struct Table {
    /// Feature names.
    pub columns: Vec<String>,
    /// Features, row after row; NaN is a missing value.
    pub values: Vec<f32>,
    /// One label a row; NaN is a missing label.
    pub labels: Vec<f32>,
    /// One segment a row.
    pub segments: Vec<SegmentId>,
    /// When each row came, from the first one; empty if the file has no time column.
    pub at: Vec<Span>,
    /// How long after its arrival each row's label was known; empty if the file does not say.
    pub label_delay: Vec<Span>,
}

impl Table {
    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.labels.len()
    }
}

/// By bits: a missing value (NaN) equals itself.
impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        let same =
            |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.to_bits() == y.to_bits());
        (&self.columns, &self.segments) == (&other.columns, &other.segments)
            && (&self.at, &self.label_delay) == (&other.at, &other.label_delay)
            && same(&self.values, &other.values)
            && same(&self.labels, &other.labels)
    }
}

/// When requests come.
#[derive(Debug, Clone, PartialEq)]
pub enum Arrivals {
    /// A Poisson process.
    Poisson {
        /// Requests a second.
        rate: f64,
    },
    /// The table's own times, divided by `scale` (10: ten recorded seconds pass in one).
    Recorded {
        /// How much faster than recorded.
        scale: f64,
    },
}

/// When truth becomes known.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelConfig {
    /// The delay after the request ended; `None`: the table's own, time-scaled like its arrivals.
    pub delay: Option<Distribution>,
    /// Share of labels that never come.
    pub lost: f64,
}

/// What users do after a request that the business counts: it happens or does not.
#[derive(Debug, Clone, PartialEq)]
pub struct OutcomeConfig {
    /// Which, among those of all sources.
    pub id: OutcomeId,
    /// Its name: part of the key of its random stream.
    pub name: String,
    /// Chance that it happens after an answer that is right, or whose truth is unknown.
    pub right: f64,
    /// Chance after an answer that is wrong: its class differs from the true one.
    pub wrong: f64,
    /// Chance without an answer.
    pub failed: f64,
    /// A score at or above this is class 1.
    pub threshold: f64,
    /// How much it is where it happens; `None`: 1.
    pub amount: Option<Amount>,
    /// How long after the end of the request it is known whether it happened.
    pub delay: Distribution,
}

/// What the controller gets to see, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// Between two scrapes.
    pub scrape: Span,
    /// From a scrape to the controller.
    pub lag: Span,
    /// Share of scrapes that never arrive.
    pub loss: f64,
}

/// One injected cause with its ground truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// Its name: part of the exogenous digest.
    pub name: String,
    /// When it starts.
    pub at: SimTime,
    /// When it ends by itself, if it does.
    pub until: Option<SimTime>,
    /// The chance that it happens at all, drawn per trial.
    pub chance: f64,
    /// Whether it is meant to harm users.
    pub harmful: bool,
    /// Whether taking the version out cures it.
    pub curable: bool,
    /// What it does to the plant.
    pub effect: Effect,
}

/// What a fault does to the state of the plant; never to a signal.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// The artifact's bytes rot.
    CorruptWeights {
        /// Whose artifact.
        version: VersionId,
        /// The bytes after.
        corrupted: Arc<Artifact>,
        /// How (kept for the report).
        change: Corruption,
        /// `true`: replicas compare the digest before a load, and refuse.
        checked: bool,
        /// `true`: replicas serve from pages mapped from the file, so the rot reaches those that run; `false`: only later
        /// loads see it.
        mapped: bool,
    },
    /// Service takes longer.
    LatencySpike {
        /// Where.
        bound: Bound,
        /// Service time is multiplied by this, …
        factor: f64,
        /// … and this is added.
        add: Span,
    },
    /// The population of requests moves.
    CovariateDrift {
        /// Which source.
        source: SourceId,
        /// (column, multiply by, add) for each column that moves.
        columns: Vec<(usize, f64, f64)>,
        /// From nothing to the full change in this time.
        ramp: Span,
        /// `true`: labels follow the moved features (the population changed); `false`: they stay (a sensor is off).
        labels_follow: bool,
    },
    /// More requests come: a benign disturbance.
    Surge {
        /// Which source.
        source: SourceId,
        /// The arrival rate is multiplied by this.
        factor: f64,
    },
    /// A version is bad from birth; its twin ships `clean` instead.
    BadRelease {
        /// Which version.
        version: VersionId,
        /// What should have shipped.
        clean: Box<Version>,
    },
    /// Replica processes are killed (SIGKILL): what they hold is lost, and nobody starts them again but a later order.
    Crash {
        /// Whose replicas.
        version: VersionId,
        /// The first so many that are ready, by number, at the moment of the kill; all, if fewer are.
        replicas: u32,
        /// The then first so many are killed again each time this has passed; `None`: it acts once in a run.
        every: Option<Span>,
    },
    /// Replica processes are stopped and go on afterwards (SIGSTOP, SIGCONT): nothing that they hold moves meanwhile, and what
    /// is sent to them waits at their door. The router knows nothing of it.
    Stall {
        /// Whose replicas.
        version: VersionId,
        /// The first so many that are ready, by number, when it takes hold; all, if fewer are.
        replicas: u32,
    },
    /// No packet passes between the router and replicas, which are well: requests sent to them and answers they give arrive
    /// when the cut ends.
    Cut {
        /// Whose replicas.
        version: VersionId,
        /// The first so many that are ready, by number, when it takes hold; all, if fewer are.
        replicas: u32,
    },
    /// Answers travel longer. They occupy no slot meanwhile.
    Delay {
        /// Whose replicas.
        version: VersionId,
        /// The first so many that are ready, by number, when it takes hold; all, if fewer are.
        replicas: u32,
        /// How much longer, there and back together.
        add: Span,
    },
    /// The recorded data change by themselves from `at` on; there is no twin.
    NaturalDrift,
    /// Declared, without effect.
    Sham,
}

/// What a latency spike is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// All replicas of a version; ends when the version leaves.
    Version(VersionId),
    /// The first `n` hosts: replica slots of every pool share hosts by number; a noisy neighbour stays.
    Hosts(u32),
}
