//! Owns the making of a trace: facts are hashed as they come, the few are kept, the many are folded.

use crate::digest::{Rolling, hex, keyed};
use crate::event::{ActionEnd, ActionResult, Event, RequestEnd, RuleFired};
use crate::id::{ActionId, Names};
use crate::time::SimTime;
use crate::trace::{Digests, Recorded, RequestFold, Trace};
use std::collections::BTreeMap;

/// Records one run; `F` folds the ends of its requests.
#[derive(Debug, Clone)]
pub struct Recorder<F> {
    fold: F,
    events: Vec<Recorded>,
    inference: Rolling,
    decisions: Rolling,
    /// What a source is called in digests: a hash of its name, so that declaring one more renames no other.
    sources: Vec<u64>,
    requests: u64,
    end: SimTime,
    rows: Option<Vec<RequestEnd>>,
    /// Orders, and whether they have ended: one that was given again after its end has had it.
    orders: BTreeMap<ActionId, bool>,
}

impl<F: RequestFold> Recorder<F> {
    /// Nothing recorded. `sources`: their names. `keep_requests`: also keep every request's end (memory grows with the run).
    #[must_use]
    pub fn new(fold: F, sources: &[String], keep_requests: bool) -> Self {
        let key = |name: &String| {
            let [a, b, c, d, e, f, g, h, ..] = keyed(&[name.as_bytes()]);
            u64::from_le_bytes([a, b, c, d, e, f, g, h])
        };
        Self {
            sources: sources.iter().map(key).collect(),
            fold,
            events: Vec::new(),
            inference: Rolling::new("inference"),
            decisions: Rolling::new("decisions"),
            requests: 0,
            end: SimTime::ZERO,
            rows: keep_requests.then(Vec::new),
            orders: BTreeMap::new(),
        }
    }

    /// Records the end of a request.
    pub fn request(&mut self, end: &RequestEnd) {
        self.requests += 1;
        self.end = self.end.max(end.ended);
        let source = self.sources.get(end.request.source.index()).copied().unwrap_or_default();
        let mut fact = [0u8; 28];
        fact[..8].copy_from_slice(&end.request.ordinal.to_le_bytes());
        fact[8..16].copy_from_slice(&source.to_le_bytes());
        fact[16..18].copy_from_slice(&end.version.0.to_le_bytes());
        fact[18] = end.outcome as u8;
        fact[19] = end.request.attempt;
        fact[20..].copy_from_slice(&end.ended.0.to_le_bytes());
        self.decisions.fact(&fact);
        if end.outcome.is_answered() {
            let mut fact = [0u8; 20];
            fact[..8].copy_from_slice(&end.request.ordinal.to_le_bytes());
            fact[8..16].copy_from_slice(&source.to_le_bytes());
            fact[16..].copy_from_slice(&end.score.to_bits().to_le_bytes());
            self.inference.fact(&fact);
        }
        self.fold.request(end);
        if let Some(rows) = &mut self.rows {
            rows.push(*end);
        }
    }

    /// Records another fact.
    pub fn event(&mut self, at: SimTime, event: Event) {
        self.end = self.end.max(at);
        match &event {
            Event::Ordered(order) => {
                self.orders.entry(order.id).or_default();
            }
            Event::OrderEnded(result) => {
                self.orders.insert(result.action, true);
            }
            _ => {}
        }
        if is_decision(&event) {
            self.decisions.fact(&at.0.to_le_bytes());
            self.decisions.bytes(&decision_bytes(&event));
        }
        self.events.push(Recorded { at, seq: self.events.len() as u64, event });
    }

    /// The last fact's time so far.
    #[must_use]
    pub const fn end(&self) -> SimTime {
        self.end
    }

    /// The fold and the trace of the run, and the requests if they were kept. An order that has not ended by now never will:
    /// it is recorded as lost, so that every order has one end.
    #[must_use]
    pub fn finish(mut self, names: Names, mut streams: Vec<(String, String)>) -> (F, Trace, Vec<RequestEnd>) {
        streams.sort();
        for (action, _) in std::mem::take(&mut self.orders).into_iter().filter(|(_, ended)| !ended) {
            self.event(self.end, Event::OrderEnded(ActionResult { action, end: ActionEnd::Lost }));
        }
        let parts: Vec<&[u8]> =
            streams.iter().flat_map(|(name, digest)| [name.as_bytes(), digest.as_bytes()]).collect();
        let digests = Digests {
            exogenous: hex(&keyed(&parts)),
            inference: self.inference.hex(),
            decisions: self.decisions.hex(),
            streams,
        };
        let facts = self.requests + self.events.len() as u64;
        let trace = Trace { names, events: self.events, digests, facts, end: self.end };
        (self.fold, trace, self.rows.unwrap_or_default())
    }
}

/// A decision as bytes: integers and words only, so that they are the same everywhere. The words of the evidence hold floats
/// and are left out; which rule failed on which time says enough.
fn decision_bytes(event: &Event) -> Vec<u8> {
    let bytes = |event: &Event| serde_json::to_vec(event).unwrap_or_default();
    match event {
        Event::RuleFired(fired) => bytes(&Event::RuleFired(RuleFired { evidence: String::new(), ..fired.clone() })),
        other => bytes(other),
    }
}

/// Whether a fact is what was decided or what that led to. Measurements are not (a signal that no rule reads decides
/// nothing), nor is the life of replicas (one without traffic decides nothing; what the others do shows in the ends of
/// requests), nor are faults (they are exogenous).
const fn is_decision(event: &Event) -> bool {
    match event {
        Event::FaultStarted { .. }
        | Event::FaultEnded { .. }
        | Event::Replica(_)
        | Event::Loaded { .. }
        | Event::LoadFailed { .. }
        | Event::Gap(_)
        | Event::Live { .. }
        | Event::Served { .. }
        | Event::Misbehaved { .. }
        | Event::Measured(_)
        | Event::Unmeasured(_) => false,
        Event::Weights { .. }
        | Event::Ordered(_)
        | Event::OrderEnded(_)
        | Event::RuleFired(_)
        | Event::RuleCleared { .. }
        | Event::Decided(_)
        | Event::Stage { .. }
        | Event::RevertStarted { .. }
        | Event::RevertDone { .. }
        | Event::RevertFailed { .. }
        | Event::Verified { .. } => true,
    }
}
