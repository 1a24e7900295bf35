//! Owns the vocabulary: what reaches the controller ([`Input`]), what it may order ([`Action`]), and what is recorded
//! ([`Event`], [`RequestEnd`]). Plain data without behaviour; nothing else passes between world, control and report.

use crate::digest::Digest;
use crate::id::{
    ActionId, ControllerId, FaultId, OutcomeId, ReplicaId, RequestId, RuleId, SegmentId, SignalId, SourceId, VersionId,
};
use crate::stats::histogram::Histogram;
use crate::time::{SimTime, Span};
use serde::Serialize;

/// A share of traffic in parts per million, so that it hashes and compares exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct Weight(pub u32);

impl Weight {
    /// All of the traffic.
    pub const ALL: Self = Self(1_000_000);
    /// None of the traffic.
    pub const NONE: Self = Self(0);

    /// The nearest weight to a share; shares outside [0, 1] are clamped.
    #[must_use]
    pub fn from_share(share: f64) -> Self {
        Self((share.clamp(0.0, 1.0) * 1e6 + 0.5) as u32)
    }

    /// The share in [0, 1].
    #[must_use]
    pub fn share(self) -> f64 {
        f64::from(self.0) / 1e6
    }

    /// What is left of all traffic.
    #[must_use]
    pub const fn rest(self) -> Self {
        Self(Self::ALL.0.saturating_sub(self.0))
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Requests

/// How a request ended. Every request ends in exactly one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A score was returned.
    Answered,
    /// There was an answer and no score in it: the model's run returned an error, or (live) the server answered nonsense.
    Failed,
    /// No answer within the timeout.
    TimedOut,
    /// The queue was full.
    Shed,
    /// No replica of the chosen version was ready.
    Unavailable,
    /// The replica that had accepted it went away.
    Lost,
}

impl Outcome {
    /// All outcomes, in the order of their discriminants.
    pub const ALL: [Self; 6] =
        [Self::Answered, Self::Failed, Self::TimedOut, Self::Shed, Self::Unavailable, Self::Lost];

    /// Its name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::TimedOut => "timed-out",
            Self::Shed => "shed",
            Self::Unavailable => "unavailable",
            Self::Lost => "lost",
        }
    }

    /// Whether the user got an answer.
    #[must_use]
    pub const fn is_answered(self) -> bool {
        matches!(self, Self::Answered)
    }
}

/// One ended request, with the ground truth that the controller never sees.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RequestEnd {
    /// Which request.
    pub request: RequestId,
    /// The version the router chose.
    pub version: VersionId,
    /// The replica that held it last, if any.
    pub replica: Option<ReplicaId>,
    /// The user's segment.
    pub segment: SegmentId,
    /// When it reached the router.
    pub arrived: SimTime,
    /// When its user knew.
    pub ended: SimTime,
    /// How.
    pub outcome: Outcome,
    /// The model's score; NaN unless answered. An answer may be no number, too.
    pub score: f32,
    /// The true label (0 or 1, or a value for regression); NaN where the data have none.
    pub truth: f32,
    /// Whether the bytes that answered were harmed by a fault (corrupted, or a bad release).
    pub tainted: bool,
}

// ---------------------------------------------------------------------------------------------------------------------
// Inputs

/// All that can reach a controller.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A scrape of counters, histograms and gauges.
    Metrics(Metrics),
    /// Rows of the router's log.
    Observations(Observations),
    /// Labels that became known.
    Labels(Labels),
    /// Outcomes that became known.
    Outcomes(Outcomes),
    /// A scrape that brought nothing: what happened in between is unknown, which is not zero.
    Gap(Gap),
    /// A replica changed its state.
    Health(Health),
    /// The answer to an [`ActionKind::Query`].
    QueryResult(QueryResult),
    /// The end of an action.
    ActionResult(ActionResult),
}

/// A scrape: cumulative since the start of each replica, as `/metrics` of a real server is.
#[derive(Debug, Clone, PartialEq)]
pub struct Metrics {
    /// When the replicas were read; the controller sees it a telemetry lag later.
    pub scraped_at: SimTime,
    /// One row per (version, segment, replica) that has ever had a request, in that order.
    pub rows: Vec<MetricsRow>,
    /// One gauge row per replica.
    pub gauges: Vec<GaugeRow>,
    /// What each replica may use: gauges are shares of it.
    pub capacity: Capacity,
}

/// What a replica may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capacity {
    /// Requests it serves at once: in a time it can use that many times as much processor time.
    pub concurrency: u32,
    /// Requests that may wait.
    pub queue: u32,
    /// Bytes of memory; `None`: nobody set a limit.
    pub memory: Option<u64>,
}

/// Cumulative counters of one (version, segment, replica).
#[derive(Debug, Clone, PartialEq)]
pub struct MetricsRow {
    /// The version served.
    pub version: VersionId,
    /// The users' segment.
    pub segment: SegmentId,
    /// The replica; `None` for requests that reached none.
    pub replica: Option<ReplicaId>,
    /// Ended requests by [`Outcome`], in the order of [`Outcome::ALL`].
    pub ended: [u64; 6],
    /// Latency of answered requests, nanoseconds.
    pub latency: Histogram,
}

/// The state of one replica at a scrape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GaugeRow {
    /// The version it serves.
    pub version: VersionId,
    /// The replica.
    pub replica: ReplicaId,
    /// Its state.
    pub state: ReplicaState,
    /// Requests waiting.
    pub queued: u32,
    /// Requests in service.
    pub in_flight: u32,
    /// Processor time it has used since its start; of one that has ended, all that it used. Simulated, the time its slots have
    /// worked: a stopped process works on nothing, and one whose user gave up works on. Zero also where nobody tells (live: a
    /// foreign server, or a system that does not count).
    pub cpu: Span,
    /// Bytes of memory it uses; 0 of one that has ended, and where nobody tells (simulated: the scenario declares none).
    pub memory: u64,
}

/// The router's log of one source and version since the last scrape: a row for each answered request, column by column, in
/// order of (ended, ordinal), and beside them the times of those that got no answer. All columns of rows have the same length;
/// it is 0 where nobody got an answer.
#[derive(Debug, Clone)]
pub struct Observations {
    /// When the log was read.
    pub scraped_at: SimTime,
    /// The source of all rows.
    pub source: SourceId,
    /// The version of all rows.
    pub version: VersionId,
    /// Request ordinals in the source (the key labels come with).
    pub ordinals: Vec<u64>,
    /// When each request ended.
    pub ended: Vec<SimTime>,
    /// How long each user waited: from arrival to end.
    pub latency: Vec<Span>,
    /// The users' segments.
    pub segments: Vec<SegmentId>,
    /// The model's scores.
    pub scores: Vec<f32>,
    /// One column per feature of the source (as received, before the version's transform); NaN is a missing value.
    /// Empty when no signal of the policy reads features, or there are no rows.
    pub features: Vec<Vec<f32>>,
    /// When requests ended without an answer, in order of time. Not a column: they have no rows.
    pub unanswered: Vec<SimTime>,
}

/// By bits: a missing value (NaN) equals itself.
impl PartialEq for Observations {
    fn eq(&self, other: &Self) -> bool {
        let same =
            |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.to_bits() == y.to_bits());
        (self.scraped_at, self.source, self.version) == (other.scraped_at, other.source, other.version)
            && (&self.ordinals, &self.ended, &self.segments) == (&other.ordinals, &other.ended, &other.segments)
            && (&self.latency, &self.unanswered) == (&other.latency, &other.unanswered)
            && same(&self.scores, &other.scores)
            && self.features.len() == other.features.len()
            && self.features.iter().zip(&other.features).all(|(a, b)| same(a, b))
    }
}

/// Labels that became known since the last scrape, in order of (time known, ordinal).
#[derive(Debug, Clone, PartialEq)]
pub struct Labels {
    /// When they were read.
    pub scraped_at: SimTime,
    /// The source of all rows.
    pub source: SourceId,
    /// Request ordinals.
    pub ordinals: Vec<u64>,
    /// True values.
    pub labels: Vec<f32>,
}

/// What users did after requests of one source, answered by one version, that the business counts: what became known of one
/// outcome since the last scrape, in order of (time known, ordinal). Requests without an answer are among them. All columns have
/// the same length, at least 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcomes {
    /// When they were read.
    pub scraped_at: SimTime,
    /// The source of all rows.
    pub source: SourceId,
    /// Which outcome.
    pub outcome: OutcomeId,
    /// The version of all rows.
    pub version: VersionId,
    /// When each request ended.
    pub ended: Vec<SimTime>,
    /// The users' segments.
    pub segments: Vec<SegmentId>,
    /// 0 where it did not happen; where it did, 1 or the amount. Finite.
    pub values: Vec<f32>,
}

/// Telemetry that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// From the last scrape that arrived.
    pub from: SimTime,
    /// To the scrape that did not.
    pub to: SimTime,
    /// The one replica that could not be read; `None`: nothing could.
    pub replica: Option<ReplicaId>,
}

/// A replica's change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Which.
    pub replica: ReplicaId,
    /// The version it serves.
    pub version: VersionId,
    /// The state it entered.
    pub state: ReplicaState,
}

/// Where a replica is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplicaState {
    /// Bringing the artifact's bytes.
    Fetching,
    /// Comparing them with the manifest.
    Verifying,
    /// Building the session.
    Loading,
    /// Running until it is fast.
    WarmingUp,
    /// Serving.
    Ready,
    /// Finishing what it holds, taking nothing new.
    Draining,
    /// Ended as ordered.
    Stopped,
    /// Ended by itself, or refused to load.
    Crashed,
}

/// What a strategy that pulls gets back: a series, nothing, or an error are three different things.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryResult {
    /// The query's action.
    pub action: ActionId,
    /// The answer.
    pub answer: Answer,
}

/// The answer to a query.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Values, oldest first.
    Series(Vec<f64>),
    /// The provider works and has no data.
    Empty,
    /// The provider failed.
    Error(String),
    /// What each replica in service says it serves: (replica, version, digest of the bytes it loaded).
    Served(Vec<(ReplicaId, VersionId, Digest)>),
}

/// The one end of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActionResult {
    /// Which.
    pub action: ActionId,
    /// How it ended.
    pub end: ActionEnd,
}

/// How an action ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionEnd {
    /// Done.
    Ok,
    /// Refused or failed, with the reason.
    Err(String),
    /// No answer came: it may or may not have happened.
    Lost,
}

// ---------------------------------------------------------------------------------------------------------------------
// Actions

/// One order. Repeating an order with the same id has no further effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Action {
    /// Unique per controller.
    pub id: ActionId,
    /// The plan of the controller it belongs to; a world refuses an order of an older epoch than it has seen.
    pub epoch: u32,
    /// Who orders.
    pub controller: ControllerId,
    /// What.
    pub kind: ActionKind,
}

/// What a controller can order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionKind {
    /// Let the pool of `version` have so many replicas; ends when they are ready (or stopped).
    Scale {
        /// Whose pool.
        version: VersionId,
        /// How many replicas.
        replicas: u32,
    },
    /// Split the traffic. Versions not named get none; the weights add up to [`Weight::ALL`].
    SetWeights(Vec<(VersionId, Weight)>),
    /// Ask for data; the answer is an [`Input::QueryResult`].
    Query(Query),
    /// Tell a person.
    Notify(String),
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Query {
    /// The share of requests of a version that did not fail, over a window that ends at the last scrape.
    SuccessRate {
        /// Whose requests.
        version: VersionId,
        /// How far back.
        window: Span,
    },
    /// A latency quantile of a version in seconds, over a window that ends at the last scrape.
    Latency {
        /// Whose requests.
        version: VersionId,
        /// The quantile in parts per million.
        quantile: Weight,
        /// How far back.
        window: Span,
    },
    /// The digests that the replicas in service answer with.
    Served,
}

// ---------------------------------------------------------------------------------------------------------------------
// Events

/// One recorded fact other than the end of a request.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The run is live: real processes in real time. The first fact of a live trace; a simulated one has none.
    Live {
        /// Cores of the machine that driver and replicas share.
        cores: u32,
    },
    /// A fault took hold.
    FaultStarted {
        /// Which.
        fault: FaultId,
    },
    /// A fault let go: its dwell time ended, or what it was bound to left.
    FaultEnded {
        /// Which.
        fault: FaultId,
    },
    /// A replica entered a state.
    Replica(Health),
    /// A replica loaded bytes; `digest` is theirs, whatever the manifest says.
    Loaded {
        /// Which replica.
        replica: ReplicaId,
        /// The version it is meant to serve.
        version: VersionId,
        /// The digest of the loaded bytes.
        digest: Digest,
    },
    /// A replica could not load.
    LoadFailed {
        /// Which replica.
        replica: ReplicaId,
        /// The version it was meant to serve.
        version: VersionId,
        /// Why.
        reason: String,
    },
    /// The router has new weights.
    Weights {
        /// By version.
        weights: Vec<(VersionId, Weight)>,
    },
    /// What the replicas in service answered when they were asked what they serve.
    Served {
        /// (replica, version, digest of the bytes it loaded)
        served: Vec<(ReplicaId, VersionId, Digest)>,
    },
    /// A server did what no server should, for the first time in this way. Live only.
    Misbehaved {
        /// Which replica.
        replica: ReplicaId,
        /// What it did.
        what: String,
    },
    /// Telemetry was lost.
    Gap(Gap),
    /// A controller gave an order.
    Ordered(Action),
    /// An order ended.
    OrderEnded(ActionResult),
    /// A signal was measured.
    Measured(Measured),
    /// A look at a signal gave no verdict, for a reason other than the look before.
    Unmeasured(Unmeasured),
    /// A rule began to fail.
    RuleFired(RuleFired),
    /// A rule no longer fails.
    RuleCleared {
        /// Which.
        rule: RuleId,
    },
    /// The controller decided.
    Decided(Decided),
    /// The rollout moved on to a stage.
    Stage {
        /// Its place in the scenario's list.
        stage: u32,
        /// The weight of the version rolled out.
        weight: Weight,
    },
    /// A revert began to act.
    RevertStarted {
        /// The version traffic leaves.
        from: VersionId,
        /// The version it goes to.
        to: VersionId,
    },
    /// A revert put the traffic back, as the replicas themselves answer.
    RevertDone {
        /// The version it went to.
        to: VersionId,
        /// The digest that all of its replicas answered with.
        digest: Digest,
        /// How many replicas answered.
        replicas: u32,
    },
    /// A revert could not be carried out.
    RevertFailed {
        /// Why.
        reason: String,
    },
    /// The controller's own check after a revert.
    Verified {
        /// Whether users are well, as far as telemetry knows.
        well: bool,
    },
}

/// One measurement of a signal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    /// Which signal.
    pub signal: SignalId,
    /// Of which version.
    pub version: VersionId,
    /// Its fields in the order the signal's kind documents (e.g. `d`, `p`, `n`); NaN where not defined.
    pub values: Vec<f64>,
}

/// A look at a signal that gave no verdict.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Unmeasured {
    /// Which signal.
    pub signal: SignalId,
    /// Of which version.
    pub version: VersionId,
    /// Why, in words.
    pub reason: String,
}

/// A rule that fails, with the evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RuleFired {
    /// Which rule.
    pub rule: RuleId,
    /// The earliest time the evidence covers.
    pub evidence_from: SimTime,
    /// The latest time the evidence covers.
    pub evidence_to: SimTime,
    /// The length of one evidence window of this rule.
    pub window: Span,
    /// The evidence in words: values, thresholds, looks.
    pub evidence: String,
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// What to do.
    pub verdict: Verdict,
    /// The rules cited.
    pub rules: Vec<RuleId>,
    /// Set when governance refused to carry it out, with the reason.
    pub refused: Option<String>,
}

/// What a rule asks for, mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Tell a person.
    Alert,
    /// Go no further with the rollout.
    Halt,
    /// Put the last known good version back.
    Rollback,
}
