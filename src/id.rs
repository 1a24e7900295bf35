//! Owns identity: small index newtypes, and the name table that turns them into words.
//!
//! Indices order ties and address tables; they never seed a random stream and never enter a digest of exogenous facts
//! by number alone (names do), so that declaring one more thing renumbers nobody's luck.

use serde::{Deserialize, Serialize};

macro_rules! index {
    ($($(#[$doc:meta])* $name:ident($int:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $int);
        impl $name {
            /// The place in the table this index addresses.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

index! {
    /// A model version of the scenario: 0 is the one the rollout starts from, 1 the one it goes to, the rest by name.
    VersionId(u16);
    /// A replica, numbered in order of creation within the trial.
    ReplicaId(u32);
    /// A source of traffic, in order of declaration.
    SourceId(u16);
    /// A segment of users (0 is "all" for a source without segments).
    SegmentId(u16);
    /// An outcome that the business counts, by name over all sources, in order of declaration.
    OutcomeId(u16);
    /// A fault, in order of declaration.
    FaultId(u16);
    /// A rule of the policy, in order of declaration.
    RuleId(u16);
    /// A signal of the policy, in order of name.
    SignalId(u16);
    /// A controller; several may act on one fleet.
    ControllerId(u16);
    /// One order of a controller; unique per controller and never reused.
    ActionId(u64);
}

/// One attempt at one request: the source, its ordinal in that source's arrivals, and the attempt (0 = first).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId {
    /// The exogenous stream it belongs to.
    pub source: SourceId,
    /// Its place in that stream.
    pub ordinal: u64,
    /// 0 for the first attempt.
    pub attempt: u8,
}

/// The words for the indices of one plan.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Names {
    /// Model versions.
    pub versions: Vec<String>,
    /// Traffic sources.
    pub sources: Vec<String>,
    /// User segments.
    pub segments: Vec<String>,
    /// Outcomes that the business counts; one that several sources have is one.
    pub outcomes: Vec<String>,
    /// Faults.
    pub faults: Vec<String>,
    /// Rules of the policy.
    pub rules: Vec<String>,
    /// Signals of the policy.
    pub signals: Vec<String>,
    /// The fields of each signal's measurements, in their order.
    pub fields: Vec<Vec<String>>,
}

impl Names {
    fn word(table: &[String], i: usize) -> &str {
        table.get(i).map_or("?", String::as_str)
    }
    /// The version's name.
    #[must_use]
    pub fn version(&self, id: VersionId) -> &str {
        Self::word(&self.versions, id.index())
    }
    /// The source's name.
    #[must_use]
    pub fn source(&self, id: SourceId) -> &str {
        Self::word(&self.sources, id.index())
    }
    /// The segment's name.
    #[must_use]
    pub fn segment(&self, id: SegmentId) -> &str {
        Self::word(&self.segments, id.index())
    }
    /// The outcome's name.
    #[must_use]
    pub fn outcome(&self, id: OutcomeId) -> &str {
        Self::word(&self.outcomes, id.index())
    }
    /// The fault's name.
    #[must_use]
    pub fn fault(&self, id: FaultId) -> &str {
        Self::word(&self.faults, id.index())
    }
    /// The rule's name.
    #[must_use]
    pub fn rule(&self, id: RuleId) -> &str {
        Self::word(&self.rules, id.index())
    }
    /// The name of a field of a signal's measurements, by its place.
    #[must_use]
    pub fn field(&self, id: SignalId, place: usize) -> &str {
        self.fields.get(id.index()).map_or("?", |fields| Self::word(fields, place))
    }
    /// The signal's name.
    #[must_use]
    pub fn signal(&self, id: SignalId) -> &str {
        Self::word(&self.signals, id.index())
    }
}
