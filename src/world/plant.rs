//! Owns the plant's state and how one event changes it. Plain data: cloned, it continues the same way.

use crate::artifact::Artifact;
use crate::event::{Event, Outcome};
use crate::id::{ReplicaId, SourceId, VersionId};
use crate::rng::Seed;
use crate::time::{SimTime, Span};
use crate::world::config::WorldConfig;
use crate::world::faults::Faults;
use crate::world::fleet::Pool;
use crate::world::inference::{BlockOutcome, RowOutcome, RuntimeError};
use crate::world::orders::Orders;
use crate::world::predictions::Predictions;
use crate::world::replica::{Held, Replica};
use crate::world::router::Router;
use crate::world::schedule::{Class, Effects, Key, WorldEvent};
use crate::world::telemetry::Telemetry;
use crate::world::traffic::{BLOCK, Block, SourceStream, streams};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Which declared faults take part in a run; the others are as if they had not been declared.
pub type FaultSet = Vec<bool>;

/// A model as some replica has loaded it.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// The version it stands for.
    pub version: VersionId,
    /// Its actual bytes.
    pub artifact: Arc<Artifact>,
    /// By declared source: how the source's columns are fed.
    pub columns: Vec<Option<Vec<usize>>>,
    /// Harmed by a fault.
    pub tainted: bool,
}

/// A source with the blocks that are still needed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Source {
    pub(crate) name: String,
    /// The declared source whose schema it has.
    pub(crate) schema: SourceId,
    stream: SourceStream,
    /// Blocks with the number of their requests that have not been accounted for.
    blocks: VecDeque<(Arc<Block>, u32)>,
    /// Ordinal of the first row kept.
    base: u64,
    /// Ordinal of the next arrival.
    cursor: u64,
}

impl Source {
    /// The block an ordinal lies in. Blocks are kept until all of their requests are accounted for.
    pub(crate) fn block(&self, ordinal: u64) -> Option<&Arc<Block>> {
        let place = (ordinal.checked_sub(self.base)?) as usize / BLOCK;
        self.blocks.get(place).map(|(block, _)| block)
    }

    fn append_next(&mut self) {
        if let Some(block) = self.stream.next_block() {
            let live = block.arrived.iter().take_while(|&&t| t != SimTime::NEVER).count();
            self.blocks.push_back((Arc::new(block), live as u32));
        }
    }

    /// When the request at the cursor arrives.
    fn pending(&mut self) -> Option<SimTime> {
        if self.block(self.cursor).is_none() {
            self.append_next();
        }
        let at = self.block(self.cursor)?.arrived[self.cursor as usize % BLOCK];
        (at != SimTime::NEVER).then_some(at)
    }

    /// One request of the block at `ordinal` is accounted for.
    pub(crate) fn account(&mut self, ordinal: u64) {
        let place = ordinal.saturating_sub(self.base) as usize / BLOCK;
        if let Some((_, open)) = self.blocks.get_mut(place) {
            *open -= 1;
        }
        while self.blocks.len() > 1 && self.blocks.front().is_some_and(|(_, open)| *open == 0) {
            self.blocks.pop_front();
            self.base += BLOCK as u64;
        }
    }
}

/// A request that has ended and is not yet told, because its score may not be known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) source: SourceId,
    pub(crate) version: VersionId,
    pub(crate) outcome: Outcome,
    pub(crate) instance: u16,
    pub(crate) replica: Option<ReplicaId>,
    pub(crate) ordinal: u64,
    pub(crate) at: SimTime,
}

/// The plant.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    pub(crate) config: Arc<WorldConfig>,
    pub(crate) sources: Vec<Source>,
    pub(crate) router: Router,
    pub(crate) pools: Vec<Pool>,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) instances: Vec<Instance>,
    pub(crate) faults: Faults,
    /// Replicas that a fault has hit: (fault, replica).
    pub(crate) hits: Vec<(u16, ReplicaId)>,
    /// When faults that act again and again do so next.
    pub(crate) again: BTreeMap<u16, SimTime>,
    pub(crate) telemetry: Telemetry,
    pub(crate) orders: Orders,
    pub(crate) ended: Vec<Ended>,
    /// Answers on their way to their users, by the time they arrive (or their user gives up).
    pub(crate) travelling: BTreeMap<(SimTime, SourceId, u64), Ended>,
    /// Requests that arrived and have not ended.
    pub(crate) open: u64,
}

/// Ended requests are told in pieces of this size, which stay in the processor's cache.
const PIECE: usize = 4096;

impl World {
    /// The plant at the start of a trial: the initial version's replicas are ready and have all traffic. `log_features`:
    /// whether log rows carry features (some signal reads them).
    ///
    /// # Errors
    /// When the runtime is not there.
    pub fn new(
        config: &Arc<WorldConfig>,
        active: &FaultSet,
        seed: Seed,
        log_features: bool,
        models: &mut Predictions,
        out: &mut Effects,
    ) -> Result<Self, RuntimeError> {
        let faults = Faults::new(config, active, seed);
        let sources: Vec<Source> = streams(&faults, seed).into_iter().map(Source::new).collect();
        let versions = config.versions.len();
        let mut world = Self {
            config: Arc::clone(config),
            telemetry: Telemetry::new(config, seed, log_features),
            sources,
            router: Router::new(versions, config.initial),
            pools: vec![Pool::default(); versions],
            replicas: Vec::new(),
            instances: Vec::new(),
            faults,
            hits: Vec::new(),
            again: BTreeMap::new(),
            orders: Orders::default(),
            ended: Vec::with_capacity(PIECE),
            travelling: BTreeMap::new(),
            open: 0,
        };
        world.found_fleet(models, out)?;
        for i in 0..world.sources.len() {
            world.schedule_arrival(SourceId(i as u16), out);
        }
        world.schedule_faults(out);
        if config.telemetry.scrape <= config.horizon.since(SimTime::ZERO) {
            out.schedule.push(Telemetry::next_scrape(config, 1));
        }
        out.events.push((SimTime::ZERO, Event::Weights { weights: world.router.weights() }));
        world.versions_in_traffic(SimTime::ZERO, models, out)?;
        Ok(world)
    }

    /// Names of all sources, those that surges add included.
    #[must_use]
    pub fn source_names(&self) -> Vec<String> {
        self.sources.iter().map(|s| s.name.clone()).collect()
    }

    /// The digests of the exogenous streams generated so far, by name: traffic, and the instants of the faults that happen
    /// (those that wait for a version to get traffic have no instant of their own).
    #[must_use]
    pub fn stream_digests(&self) -> Vec<(String, String)> {
        self.sources.iter().flat_map(|s| s.stream.digests(&s.name)).chain(self.faults.digests()).collect()
    }

    /// Distinct users among the given requests, found by drawing them again. A surge brings users of the source it adds to.
    #[must_use]
    pub fn distinct_users(
        config: &Arc<WorldConfig>,
        active: &FaultSet,
        seed: Seed,
        requests: impl Iterator<Item = (SourceId, u64)>,
    ) -> u64 {
        let mut streams = streams(&Faults::new(config, active, seed), seed);
        let users = requests.filter_map(|(id, ordinal)| {
            let (_, schema, stream) = streams.get_mut(id.index())?;
            Some((*schema, stream.user(ordinal)))
        });
        users.collect::<BTreeSet<_>>().len() as u64
    }

    /// When a request arrives, found by generating its source again; `None` for one that does not. Reports need it for a
    /// few requests, so it is not kept for all.
    #[must_use]
    pub fn arrival(
        config: &Arc<WorldConfig>,
        active: &FaultSet,
        seed: Seed,
        id: SourceId,
        ordinal: u64,
    ) -> Option<SimTime> {
        let mut streams = streams(&Faults::new(config, active, seed), seed);
        streams.get_mut(id.index())?.2.arrival(ordinal)
    }

    /// Requests that arrived and have not ended.
    #[must_use]
    pub const fn open_requests(&self) -> u64 {
        self.open
    }

    /// Handles one event whose time has come.
    ///
    /// # Errors
    /// When the runtime is not there.
    pub fn handle(
        &mut self,
        now: SimTime,
        event: WorldEvent,
        models: &mut Predictions,
        out: &mut Effects,
    ) -> Result<(), RuntimeError> {
        match event {
            WorldEvent::Arrival(source) => self.arrive(now, source, models, out)?,
            WorldEvent::Completion { replica, slot, token } => self.complete(now, replica, slot, token, models, out)?,
            WorldEvent::GiveUp { replica, slot, token } => {
                let version = self.replicas[replica.index()].version;
                if let Some((held, instance)) = self.replicas[replica.index()].abandon(slot as usize, token) {
                    self.end(held, version, Some(replica), instance, Outcome::TimedOut, now);
                }
            }
            WorldEvent::Lifecycle(replica) => self.step_life(now, replica, models, out)?,
            WorldEvent::FaultStart(i) => self.start_fault(now, i, models, out)?,
            WorldEvent::FaultEnd(i) => self.end_fault(now, i, models, out)?,
            WorldEvent::FaultAgain(i) => self.act_again(now, i, out),
            WorldEvent::Scrape(n) => {
                self.expire(now);
                self.scrape(now, n, models, out)?;
            }
        }
        if self.ended.len() >= PIECE {
            self.tell(models, out)?;
        }
        Ok(())
    }

    /// Ends what still waits and tells everything: to be called when no event is left.
    ///
    /// # Errors
    /// When the runtime is not there.
    pub fn finish(&mut self, models: &mut Predictions, out: &mut Effects) -> Result<(), RuntimeError> {
        self.expire(SimTime::NEVER);
        self.tell(models, out)
    }

    fn schedule_arrival(&mut self, id: SourceId, out: &mut Effects) {
        let source = &mut self.sources[id.index()];
        if let Some(at) = source.pending() {
            let key = Key { at, class: Class::Arrival, entity: u32::from(id.0), seq: source.cursor };
            out.schedule.push((key, WorldEvent::Arrival(id)));
        }
    }

    fn arrive(
        &mut self,
        now: SimTime,
        id: SourceId,
        models: &mut Predictions,
        out: &mut Effects,
    ) -> Result<(), RuntimeError> {
        let source = &mut self.sources[id.index()];
        let ordinal = source.cursor;
        source.cursor += 1;
        let place = source.block(ordinal).map_or(0, |block| block.route[ordinal as usize % BLOCK]);
        self.schedule_arrival(id, out);
        self.open += 1;
        let version = self.router.version(place);
        let held = Held { source: id, ordinal, deadline: now + self.config.fleet.timeout };
        self.give_up_on_hit_replicas(now);
        let Some(replica) = self.least_loaded(version, ordinal) else {
            self.end(held, version, None, 0, Outcome::Unavailable, now);
            return Ok(());
        };
        if !self.replicas[replica.index()].takes_in() {
            self.replicas[replica.index()].outside.push_back(held);
            return Ok(());
        }
        self.take_in(now, replica, held, models, out)
    }

    /// A request reaches its replica: it is served, waits, or is shed.
    pub(crate) fn take_in(
        &mut self,
        now: SimTime,
        replica: ReplicaId,
        held: Held,
        models: &mut Predictions,
        out: &mut Effects,
    ) -> Result<(), RuntimeError> {
        if self.replicas[replica.index()].free_slot().is_some() {
            return self.serve(now, replica, held, models, out);
        }
        self.give_up(now, replica);
        let r = &mut self.replicas[replica.index()];
        if r.queue.len() < self.config.fleet.queue as usize {
            r.queue.push_back(held);
        } else {
            self.answer(now, replica, held, 0, Outcome::Shed);
        }
        Ok(())
    }

    /// The ready replica of a version that holds least; ties go round by the request's ordinal.
    fn least_loaded(&self, version: VersionId, ordinal: u64) -> Option<ReplicaId> {
        let ready = &self.pools[version.index()].ready;
        let n = ready.len();
        let start = if n == 0 { return None } else { (ordinal % n as u64) as usize };
        let mut best: Option<(usize, ReplicaId)> = None;
        for &id in ready[start..].iter().chain(&ready[..start]) {
            let load = self.replicas[id.index()].load();
            if best.is_none_or(|(least, _)| load < least) {
                best = Some((load, id));
                if load == 0 {
                    break;
                }
            }
        }
        best.map(|(_, id)| id)
    }

    /// Starts service of a request in a free slot.
    fn serve(
        &mut self,
        now: SimTime,
        id: ReplicaId,
        held: Held,
        models: &mut Predictions,
        out: &mut Effects,
    ) -> Result<(), RuntimeError> {
        let (version, host, instance) = {
            let r = &self.replicas[id.index()];
            (r.version, r.host, r.instance.unwrap_or_default())
        };
        let row = match self.instances.get(usize::from(instance)) {
            // A vetted model answers every row: what it answers is asked for later, in blocks.
            Some(i) if i.artifact.vetted => RowOutcome::Score(0.0),
            _ => match self.row_outcome(instance, held, models)? {
                Ok(row) => row,
                Err(hangs) => {
                    self.break_down(now, id, held, hangs, out);
                    return Ok(());
                }
            },
        };
        let source = &self.sources[held.source.index()];
        let u = source.block(held.ordinal).map_or(0.5, |b| b.service[held.ordinal as usize % BLOCK]);
        let shipped = self.faults.shipped(version).0;
        let base = shipped.service.as_ref().unwrap_or(&self.config.fleet.service).at(u);
        let done = now + self.faults.slowed(base, version, host);
        let r = &mut self.replicas[id.index()];
        let Some(slot) = r.free_slot() else { return Ok(()) };
        let token = r.occupy(now, slot, held, done, instance, matches!(row, RowOutcome::Failed));
        let (replica, slot) = (id, slot as u32);
        let key = Key { at: done, class: Class::Completion, entity: id.0, seq: r.next_seq() };
        out.schedule.push((key, WorldEvent::Completion { replica, slot, token }));
        if done > held.deadline {
            let key = Key { at: held.deadline, class: Class::Timeout, entity: id.0, seq: r.next_seq() };
            out.schedule.push((key, WorldEvent::GiveUp { replica, slot, token }));
        }
        Ok(())
    }

    /// What unvetted bytes make of one row: they are asked before the request is dispatched, because the answer decides
    /// what becomes of the replica. `Err(true)`: the run never returns; `Err(false)`: it kills the process.
    fn row_outcome(
        &self,
        instance: u16,
        held: Held,
        models: &mut Predictions,
    ) -> Result<Result<RowOutcome, bool>, RuntimeError> {
        let source = &self.sources[held.source.index()];
        let (Some(instance), Some(block)) = (self.instances.get(usize::from(instance)), source.block(held.ordinal))
        else {
            return Ok(Ok(RowOutcome::Failed));
        };
        let columns = instance.columns.get(source.schema.index()).and_then(Option::as_deref);
        let scores = models.block(&instance.artifact, columns, block)?;
        let slot = held.ordinal as usize % BLOCK;
        Ok(match &*scores {
            BlockOutcome::Scores(scores) => Ok(RowOutcome::Score(scores[slot])),
            BlockOutcome::Rows(rows) => Ok(rows[slot]),
            BlockOutcome::NoReturn => Err(true),
            BlockOutcome::Crashed => Err(false),
        })
    }

    /// Native code hangs (the slot is gone until the replica is replaced) or takes the process down.
    fn break_down(&mut self, now: SimTime, id: ReplicaId, held: Held, hangs: bool, out: &mut Effects) {
        let r = &mut self.replicas[id.index()];
        if hangs {
            if let Some(slot) = r.free_slot() {
                let token = r.occupy(now, slot, held, SimTime::NEVER, r.instance.unwrap_or_default(), true);
                let key = Key { at: held.deadline, class: Class::Timeout, entity: id.0, seq: r.next_seq() };
                out.schedule.push((key, WorldEvent::GiveUp { replica: id, slot: slot as u32, token }));
            }
            return;
        }
        let (version, instance) = (r.version, r.instance.unwrap_or_default());
        self.lose(now, id);
        self.end(held, version, Some(id), instance, Outcome::Lost, now);
        self.crash(now, id, "the model's run killed the process".to_owned(), out);
    }

    fn complete(
        &mut self,
        now: SimTime,
        id: ReplicaId,
        slot: u32,
        token: u32,
        models: &mut Predictions,
        out: &mut Effects,
    ) -> Result<(), RuntimeError> {
        let version = self.replicas[id.index()].version;
        let Some((held, outcome, instance)) = self.replicas[id.index()].complete(slot as usize, token, now) else {
            return Ok(());
        };
        if let Some(held) = held {
            self.answer(now, id, held, instance, outcome);
        }
        while let Some(gone) = self.replicas[id.index()].expired(now) {
            self.end(gone, version, Some(id), instance, Outcome::TimedOut, gone.deadline);
        }
        if let Some(next) = self.replicas[id.index()].queue.pop_front() {
            self.serve(now, id, next, models, out)?;
        }
        self.stop_if_drained(now, id, out);
        Ok(())
    }

    /// An answer leaves a replica.
    pub(crate) fn answer(&mut self, now: SimTime, id: ReplicaId, held: Held, instance: u16, outcome: Outcome) {
        let r = &mut self.replicas[id.index()];
        if r.cuts > 0 {
            r.unanswered.push((held, instance, outcome));
        } else if r.delay > Span::ZERO {
            let (version, at) = (r.version, now + r.delay);
            let (outcome, at) = if at > held.deadline { (Outcome::TimedOut, held.deadline) } else { (outcome, at) };
            let Held { source, ordinal, .. } = held;
            let ended = Ended { source, version, outcome, instance, replica: Some(id), ordinal, at };
            self.arrived_by(now);
            self.travelling.insert((at, source, ordinal), ended);
        } else {
            let version = r.version;
            self.end(held, version, Some(id), instance, outcome, now);
        }
    }

    /// Ends the requests whose answers have reached their users.
    fn arrived_by(&mut self, now: SimTime) {
        while let Some(first) = self.travelling.first_entry().filter(|first| first.key().0 <= now) {
            self.ended.push(first.remove());
            self.open -= 1;
        }
    }

    pub(crate) fn end(
        &mut self,
        held: Held,
        version: VersionId,
        replica: Option<ReplicaId>,
        instance: u16,
        outcome: Outcome,
        at: SimTime,
    ) {
        self.open -= 1;
        let Held { source, ordinal, .. } = held;
        self.ended.push(Ended { source, version, outcome, instance, replica, ordinal, at });
    }

    /// Ends what has waited past its deadline, and what has reached its user.
    fn expire(&mut self, now: SimTime) {
        for i in 0..self.replicas.len() {
            self.give_up(now, self.replicas[i].id);
        }
        self.arrived_by(now);
    }

    /// Ends what has waited past its deadline at one replica.
    pub(crate) fn give_up(&mut self, now: SimTime, id: ReplicaId) {
        let version = self.replicas[id.index()].version;
        while let Some(gone) = self.replicas[id.index()].expired(now) {
            self.end(gone, version, Some(id), 0, Outcome::TimedOut, gone.deadline);
        }
    }
}

impl Source {
    fn new((name, schema, stream): (String, SourceId, SourceStream)) -> Self {
        Self { name, schema, stream, blocks: VecDeque::new(), base: 0, cursor: 0 }
    }
}
