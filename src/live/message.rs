//! Owns what happens around the driver, as messages: everything reaches it through one mailbox, one after another, so that
//! there is one order of facts and no lock.

use crate::digest::Digest;
use crate::event::{ActionEnd, Answer, Outcome, RequestEnd, Weight};
use crate::id::{ActionId, ControllerId, ReplicaId, RequestId, SourceId, VersionId};
use crate::live::process::{Gone, Phase};
use crate::live::scrape::Reading;
use crate::time::SimTime;
use crate::world::traffic::Block;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// One request of a source, on its way.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    /// Its source.
    pub(crate) source: SourceId,
    /// The declared source whose schema it has.
    pub(crate) schema: SourceId,
    /// The block it lies in.
    pub(crate) block: Arc<Block>,
    /// Its row there.
    pub(crate) slot: usize,
}

impl Arrival {
    /// Its name.
    pub(crate) fn request(&self) -> RequestId {
        RequestId { source: self.source, ordinal: self.block.first + self.slot as u64, attempt: 0 }
    }

    /// Its end without an answer.
    pub(crate) fn unanswered(
        &self,
        version: VersionId,
        replica: Option<ReplicaId>,
        outcome: Outcome,
        ended: SimTime,
    ) -> RequestEnd {
        let (block, slot) = (&self.block, self.slot);
        RequestEnd {
            request: self.request(),
            version,
            replica,
            segment: block.segment[slot],
            arrived: block.arrived[slot],
            ended,
            outcome,
            score: f32::NAN,
            truth: block.truth[slot],
            tainted: false,
        }
    }
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Happened {
    /// A request came.
    Arrived(Arrival),
    /// No request comes any more; the digests of the streams.
    TrafficOver(Vec<(String, String)>),
    /// A request ended.
    Ended {
        /// How.
        end: RequestEnd,
        /// Where it lies.
        arrival: Arrival,
        /// What its server did that no server should.
        strange: Option<Strange>,
    },
    /// A replica told of its start.
    Phase(ReplicaId, Phase),
    /// A replica was asked for the digest of what it serves, at the end of its start.
    Probed(ReplicaId, Result<Digest, String>),
    /// A replica's process ended.
    Gone(ReplicaId, Gone),
    /// A scrape is complete.
    Scraped(Reading),
    /// The router is told its weights.
    Weights {
        /// By whom.
        controller: ControllerId,
        /// By which of its plans.
        epoch: u32,
        /// Which.
        weights: Vec<(VersionId, Weight)>,
        /// Whether it took them, or why not.
        answer: oneshot::Sender<Result<(), &'static str>>,
    },
    /// The router is asked for its metrics.
    MetricsAsked(oneshot::Sender<String>),
    /// An order was carried out, or could not be.
    OrderEnded(ControllerId, ActionId, ActionEnd),
    /// A query has its answer.
    Answered(ActionId, Answer),
    /// A replica took bytes anew while it runs.
    Reloaded(ReplicaId, Result<Digest, String>),
    /// A foreign server was told to unload a version.
    Unloaded(ReplicaId, Result<(), String>),
    /// A replica could not be told how slow it is to be.
    Unslowed(ReplicaId, String),
    /// Somebody wants it to end.
    Interrupted,
}

/// A kind of misbehaviour, and what was seen of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Strange {
    /// Told once per replica and kind.
    pub(crate) kind: &'static str,
    /// What it was, the first time.
    pub(crate) what: String,
}

/// Where messages go. Whoever writes when nobody listens any more writes in vain, which is right at the end of a run.
#[derive(Debug, Clone)]
pub(crate) struct Mailbox(pub(crate) UnboundedSender<Happened>);

impl Mailbox {
    pub(crate) fn tell(&self, what: Happened) {
        let _ = self.0.send(what);
    }
}
