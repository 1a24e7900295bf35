//! Owns pools of replicas, their lives, and the orders that change them.

use crate::artifact::Artifact;
use crate::event::{
    Action, ActionEnd, ActionKind, ActionResult, Answer, Event, Health, Input, Outcome, Query, QueryResult,
    ReplicaState,
};
use crate::id::{ActionId, ControllerId, ReplicaId, VersionId};
use crate::time::SimTime;
use crate::world::inference::{LoadOutcome, RuntimeError};
use crate::world::orders::Admission;
use crate::world::plant::{Instance, World};
use crate::world::predictions::Predictions;
use crate::world::replica::Replica;
use crate::world::schedule::{Class, Effects, Key, WorldEvent};
use std::sync::Arc;

/// The replicas of one version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pool {
    /// How many there should be.
    pub desired: u32,
    /// Those that take requests, in order of number.
    pub ready: Vec<ReplicaId>,
}

impl Pool {
    /// A replica has entered a state: who is ready takes requests, whoever else does not.
    pub fn enter(&mut self, id: ReplicaId, state: ReplicaState) {
        self.ready.retain(|&other| other != id);
        if state == ReplicaState::Ready {
            let at = self.ready.partition_point(|&other| other < id);
            self.ready.insert(at, id);
        }
    }

    /// Whether it is what it was ordered to be. `draining`: some of its replicas still end what they hold.
    #[must_use]
    pub const fn is_settled(&self, draining: bool) -> bool {
        self.ready.len() == self.desired as usize && !draining
    }
}

impl World {
    /// The replicas that are there when the trial begins.
    pub(crate) fn found_fleet(&mut self, models: &mut Predictions, out: &mut Effects) -> Result<(), RuntimeError> {
        let initial = self.config.initial;
        let mut wanted = vec![(initial, self.config.fleet.replicas)];
        wanted.extend(self.config.fleet.standby.iter().filter(|(v, _)| *v != initial));
        for (version, n) in wanted {
            self.pools[version.index()].desired = n;
            for _ in 0..n {
                let id = self.add_replica(version);
                let artifact = Arc::clone(&self.faults.shipped(version).0.artifact);
                self.load(SimTime::ZERO, id, &artifact, false, models, out)?;
                if self.replicas[id.index()].state != ReplicaState::Crashed {
                    self.enter(SimTime::ZERO, id, ReplicaState::Ready, out);
                }
            }
        }
        Ok(())
    }

    fn add_replica(&mut self, version: VersionId) -> ReplicaId {
        let id = ReplicaId(self.replicas.len() as u32);
        let taken: Vec<u32> = self.members(version).map(|r| r.host).collect();
        let host = (0..).find(|h| !taken.contains(h)).unwrap_or(0);
        self.replicas.push(Replica::starting(id, version, host, self.config.fleet.concurrency));
        id
    }

    fn members(&self, version: VersionId) -> impl DoubleEndedIterator<Item = &Replica> {
        use ReplicaState::{Crashed, Draining, Stopped};
        self.replicas.iter().filter(move |r| r.version == version && !matches!(r.state, Draining | Stopped | Crashed))
    }

    /// The place of a loaded model in the table.
    pub(crate) fn instance(&mut self, version: VersionId, artifact: &Arc<Artifact>, tainted: bool) -> u16 {
        let (shipped, bad) = self.faults.shipped(version);
        let (columns, tainted) = (shipped.columns.clone(), tainted || bad);
        let same = |i: &Instance| i.version == version && i.artifact.digest == artifact.digest && i.tainted == tainted;
        let place = self.instances.iter().position(same).unwrap_or_else(|| {
            self.instances.push(Instance { version, artifact: Arc::clone(artifact), columns, tainted });
            self.instances.len() - 1
        });
        place as u16
    }

    /// A replica enters a state.
    pub(crate) fn enter(&mut self, now: SimTime, id: ReplicaId, state: ReplicaState, out: &mut Effects) {
        let r = &mut self.replicas[id.index()];
        r.state = state;
        let version = r.version;
        self.pools[version.index()].enter(id, state);
        let health = Health { replica: id, version, state };
        out.events.push((now, Event::Replica(health)));
        out.inputs.push((now + self.config.control_delay, Input::Health(health)));
        self.settle_scaling(now, version, out);
    }

    /// The next step of a start: fetch → verify → load → warm up → ready.
    pub(crate) fn step_life(
        &mut self,
        now: SimTime,
        id: ReplicaId,
        models: &mut Predictions,
        out: &mut Effects,
    ) -> Result<(), RuntimeError> {
        let version = self.replicas[id.index()].version;
        match self.replicas[id.index()].state {
            ReplicaState::Fetching => self.begin(now, id, ReplicaState::Verifying, out),
            ReplicaState::Verifying => {
                let (artifact, checked, _) = self.faults.on_disk(version);
                if checked && artifact.digest != artifact.promised {
                    let reason = format!("digest mismatch: found {}, promised {}", artifact.digest, artifact.promised);
                    self.fail_load(now, id, reason, out);
                } else {
                    self.begin(now, id, ReplicaState::Loading, out);
                }
            }
            ReplicaState::Loading => {
                let (artifact, _, rotten) = self.faults.on_disk(version);
                self.load(now, id, &artifact, rotten, models, out)?;
                if self.replicas[id.index()].state != ReplicaState::Crashed {
                    self.begin(now, id, ReplicaState::WarmingUp, out);
                }
            }
            ReplicaState::WarmingUp => self.enter(now, id, ReplicaState::Ready, out),
            ReplicaState::Draining => {
                for held in self.replicas[id.index()].drop_all(now) {
                    let instance = self.replicas[id.index()].instance.unwrap_or_default();
                    self.end(held, version, Some(id), instance, Outcome::TimedOut, held.deadline);
                }
                self.enter(now, id, ReplicaState::Stopped, out);
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, now: SimTime, id: ReplicaId, state: ReplicaState, out: &mut Effects) {
        use ReplicaState::{Fetching, Loading, Verifying, WarmingUp};
        self.enter(now, id, state, out);
        let [fetch, verify, load, warm_up] = self.config.fleet.start;
        let span = match state {
            Fetching => fetch,
            Verifying => verify,
            Loading => load,
            WarmingUp => warm_up,
            _ => return,
        };
        let seq = self.replicas[id.index()].next_seq();
        let key = Key { at: now + span, class: Class::Completion, entity: id.0, seq };
        out.schedule.push((key, WorldEvent::Lifecycle(id)));
    }

    /// A replica loads the actual bytes it was given.
    fn load(
        &mut self,
        now: SimTime,
        id: ReplicaId,
        artifact: &Arc<Artifact>,
        rotten: bool,
        models: &mut Predictions,
        out: &mut Effects,
    ) -> Result<(), RuntimeError> {
        let version = self.replicas[id.index()].version;
        let reason = match models.load(artifact)? {
            LoadOutcome::Loaded => {
                self.replicas[id.index()].instance = Some(self.instance(version, artifact, rotten));
                let digest = artifact.digest;
                out.events.push((now, Event::Loaded { replica: id, version, digest }));
                return Ok(());
            }
            LoadOutcome::Refused(why) => why,
            LoadOutcome::NoReturn => "the load does not return".to_owned(),
            LoadOutcome::Crashed => "the load kills the process".to_owned(),
        };
        self.fail_load(now, id, reason, out);
        Ok(())
    }

    fn fail_load(&mut self, now: SimTime, id: ReplicaId, reason: String, out: &mut Effects) {
        let version = self.replicas[id.index()].version;
        out.events.push((now, Event::LoadFailed { replica: id, version, reason: reason.clone() }));
        self.crash(now, id, reason, out);
    }

    /// A replica is gone by itself: what its pool was ordered to become it will not become.
    pub(crate) fn crash(&mut self, now: SimTime, id: ReplicaId, reason: String, out: &mut Effects) {
        let version = self.replicas[id.index()].version;
        self.enter(now, id, ReplicaState::Crashed, out);
        for (controller, action) in self.orders.scaled(version) {
            self.end_order(now, controller, action, ActionEnd::Err(reason.clone()), out);
        }
    }

    /// A draining replica that holds nothing any more stops.
    pub(crate) fn stop_if_drained(&mut self, now: SimTime, id: ReplicaId, out: &mut Effects) {
        let r = &self.replicas[id.index()];
        if r.state == ReplicaState::Draining && r.load() == 0 {
            self.enter(now, id, ReplicaState::Stopped, out);
        }
    }

    /// An order reaches the plant. Every order gets exactly one result; a repeated one gets the same again.
    ///
    /// # Errors
    /// When the runtime is not there: new weights may let a fault go, and what it held back is served.
    pub fn order(
        &mut self,
        now: SimTime,
        order: &Action,
        models: &mut Predictions,
        out: &mut Effects,
    ) -> Result<(), RuntimeError> {
        let (controller, id) = (order.controller, order.id);
        match self.orders.admit(order) {
            Admission::New => {}
            Admission::UnderWay => return Ok(()),
            Admission::Superseded(end) => {
                self.end_order(now, controller, id, end, out);
                return Ok(());
            }
            Admission::Over(end) => {
                if let ActionKind::Query(query) = &order.kind {
                    // The answer may have been lost; asking again changes nothing.
                    self.reply(now, id, query, out);
                }
                self.confirm(now, ActionResult { action: id, end }, out);
                return Ok(());
            }
        }
        let end = match &order.kind {
            ActionKind::Scale { version, replicas } if version.index() < self.pools.len() => {
                self.orders.scale(*version, controller, id);
                self.scale(now, *version, *replicas, out);
                return Ok(());
            }
            ActionKind::Scale { version, .. } => ActionEnd::Err(format!("there is no version {}", version.0)),
            ActionKind::SetWeights(weights) => {
                if self.router.set(weights) {
                    out.events.push((now, Event::Weights { weights: self.router.weights() }));
                    self.versions_in_traffic(now, models, out)?;
                    ActionEnd::Ok
                } else {
                    ActionEnd::Err("weights do not add up to all traffic over known versions".to_owned())
                }
            }
            ActionKind::Query(query) => {
                self.reply(now, id, query, out);
                ActionEnd::Ok
            }
            ActionKind::Notify(_) => ActionEnd::Ok,
        };
        self.end_order(now, controller, id, end, out);
        Ok(())
    }

    fn end_order(&mut self, now: SimTime, controller: ControllerId, id: ActionId, end: ActionEnd, out: &mut Effects) {
        let result = self.orders.end(controller, id, end);
        out.events.push((now, Event::OrderEnded(result.clone())));
        self.confirm(now, result, out);
    }

    fn confirm(&mut self, now: SimTime, result: ActionResult, out: &mut Effects) {
        out.inputs.push((now + self.config.control_delay, Input::ActionResult(result)));
    }

    fn reply(&self, now: SimTime, action: ActionId, query: &Query, out: &mut Effects) {
        let answer = self.query(now, query);
        if let Answer::Served(served) = &answer {
            out.events.push((now, Event::Served { served: served.clone() }));
        }
        let result = QueryResult { action, answer };
        out.inputs.push((now + self.config.control_delay, Input::QueryResult(result)));
    }

    fn scale(&mut self, now: SimTime, version: VersionId, replicas: u32, out: &mut Effects) {
        self.pools[version.index()].desired = replicas;
        let members: Vec<ReplicaId> = self.members(version).map(|r| r.id).collect();
        for &id in members.iter().skip(replicas as usize) {
            self.enter(now, id, ReplicaState::Draining, out);
            self.stop_if_drained(now, id, out);
            // By then every user it holds has an answer or has given up; what still runs (a hung slot) goes with it.
            let seq = self.replicas[id.index()].next_seq();
            let at = now + self.config.fleet.timeout;
            let key = Key { at, class: Class::Timeout, entity: id.0, seq };
            out.schedule.push((key, WorldEvent::Lifecycle(id)));
        }
        for _ in members.len()..replicas as usize {
            let id = self.add_replica(version);
            self.begin(now, id, ReplicaState::Fetching, out);
        }
        self.settle_scaling(now, version, out);
    }

    /// Ends scale orders whose pool is what it should be.
    fn settle_scaling(&mut self, now: SimTime, version: VersionId, out: &mut Effects) {
        let draining = self.replicas.iter().any(|r| r.version == version && r.state == ReplicaState::Draining);
        if !self.pools[version.index()].is_settled(draining) {
            return;
        }
        for (controller, action) in self.orders.scaled(version) {
            self.end_order(now, controller, action, ActionEnd::Ok, out);
        }
    }

    fn query(&self, now: SimTime, query: &Query) -> Answer {
        match query {
            Query::Served => {
                let in_service = || {
                    let ready = self.pools.iter().flat_map(|pool| &pool.ready).map(|id| &self.replicas[id.index()]);
                    ready.filter(|r| self.router.weight(r.version).0 > 0)
                };
                // Divergence: whoever asks a replica that stands still, or is cut off, waits for seconds; here he knows at once.
                if let Some(silent) = in_service().find(|r| r.stalls > 0 || r.cuts > 0) {
                    return Answer::Error(format!("replica {}: no answer in time", silent.id.0));
                }
                let served = |r: &Replica| {
                    let instance = self.instances.get(usize::from(r.instance?))?;
                    Some((r.id, r.version, instance.artifact.digest))
                };
                Answer::Served(in_service().filter_map(served).collect())
            }
            Query::SuccessRate { version, window } => self.telemetry.success_rate(now, *version, *window),
            Query::Latency { version, quantile, window } => {
                self.telemetry.latency_quantile(now, *version, quantile.share(), *window)
            }
        }
    }
}
