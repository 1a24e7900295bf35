//! Owns the trace: the ordered list of recorded facts of one run, hashed as they come. The only thing a report reads.
//!
//! The ends of requests are hashed and handed on to folds as they come, not kept; the other facts are few and are kept.

pub mod recorder;

use crate::event::{Event, RequestEnd};
use crate::id::Names;
use crate::time::SimTime;
use serde::Serialize;

/// One fact with its place in the run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recorded {
    /// When it happened.
    pub at: SimTime,
    /// Its place among all facts of the run that are kept.
    pub seq: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What a run is identified by: equal digests mean equal facts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Digests {
    /// Arrivals, payloads, service draws and fault instants: the same for every policy under open-loop traffic.
    pub exogenous: String,
    /// What models answered.
    pub inference: String,
    /// What was decided and what it led to: rules fired, orders, weights, ends of requests.
    pub decisions: String,
    /// The digest of each exogenous stream, by name.
    pub streams: Vec<(String, String)>,
}

/// The kept facts of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Words for the indices.
    pub names: Names,
    /// Kept facts in order.
    pub events: Vec<Recorded>,
    /// All facts hashed.
    pub digests: Digests,
    /// How many facts were hashed or kept, ends of requests included.
    pub facts: u64,
    /// When the last fact happened.
    pub end: SimTime,
}

impl Trace {
    /// Whether the run was live: real processes in real time. Otherwise it was simulated.
    #[must_use]
    pub fn is_live(&self) -> bool {
        is_live(&self.events)
    }
}

/// As [`Trace::is_live`], of a run's kept facts: a live run begins with saying so.
#[must_use]
pub fn is_live(events: &[Recorded]) -> bool {
    matches!(events.first(), Some(Recorded { event: Event::Live { .. }, .. }))
}

/// A fold over the ends of requests, fed in the order they were recorded.
pub trait RequestFold {
    /// Takes one ended request.
    fn request(&mut self, end: &RequestEnd);
}
