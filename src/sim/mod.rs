//! Owns virtual time: the event queue, the clock, and the pump between plant and controller.
//!
//! ```text
//!            ┌──────────── Input (telemetry lag, control delay) ───────────┐
//! queue ──► World ──► Effects {schedule, events, ends, inputs}             ▼
//!   ▲          ▲                                                       Controller
//!   │          └──────────── Action (control delay) ───────────────────────┘
//!   └── everything that is to come, in the order (time, class, entity, sequence)
//! ```

pub mod queue;

use crate::control::config::{PolicyConfig, RolloutConfig};
use crate::control::strategy::native::Controller;
use crate::event::{Action, ActionEnd, Event, Input, RequestEnd};
use crate::id::{ControllerId, Names};
use crate::report::fold::{Grid, RunFold, RunRecord};
use crate::report::objective::Objective;
use crate::rng::{Seed, Stream};
use crate::sim::queue::Queue;
use crate::time::{SimTime, Span};
use crate::trace::recorder::Recorder;
use crate::world::config::WorldConfig;
use crate::world::inference::RuntimeError;
use crate::world::plant::{FaultSet, World};
use crate::world::predictions::Predictions;
use crate::world::schedule::{Class, Effects, Key, WorldEvent};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a run is made of.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The plant.
    pub world: Arc<WorldConfig>,
    /// The policy.
    pub policy: Arc<PolicyConfig>,
    /// The rollout.
    pub rollout: Arc<RolloutConfig>,
    /// What users were promised.
    pub objective: Arc<Objective>,
    /// Words.
    pub names: Arc<Names>,
    /// Declared faults that take part.
    pub faults: FaultSet,
    /// The root seed.
    pub seed: Seed,
    /// What happens to results on their way back to the controller.
    pub results: Results,
    /// Keep every request's end.
    pub keep_requests: bool,
}

/// What happens to results on their way back to the controller: for tests of the controller.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Results {
    /// Share that arrives twice.
    pub doubled: f64,
    /// Share that is lost: of the end of an order the controller hears that it is, of an answer nothing.
    pub lost: f64,
}

#[derive(Debug, Clone, Copy)]
enum Coming {
    World(WorldEvent),
    /// An order on its way to the plant, by place in `orders`.
    Order(u64),
    /// An input on its way to the controller, by place in `inputs`.
    Input(u64),
    /// The controller wants to be called.
    Wake,
}

/// One run under way. Plain data: cloned, it continues the same way.
#[derive(Debug, Clone)]
pub struct Sim {
    now: SimTime,
    queue: Queue<Coming>,
    world: World,
    controller: Controller,
    recorder: Recorder<RunFold>,
    names: Names,
    horizon: SimTime,
    control_delay: Span,
    orders: BTreeMap<u64, Action>,
    inputs: BTreeMap<u64, Input>,
    sent: u64,
    wake: Option<SimTime>,
    results: Results,
    luck: Stream,
    effects: Effects,
}

impl Sim {
    /// A run before its first event.
    ///
    /// # Errors
    /// When the runtime is not there.
    pub fn new(setup: &Setup, models: &mut Predictions) -> Result<Self, RuntimeError> {
        let Setup { world: config, objective, names, .. } = setup;
        let grid = Grid::new(config.horizon, &objective.recovery);
        let fold = RunFold::new(objective, config.horizon, config.versions.len(), names.segments.len(), grid);
        let mut effects = Effects::default();
        let features = setup.policy.reads_features();
        let world = World::new(config, &setup.faults, setup.seed, features, models, &mut effects)?;
        let width = config.sources.first().map_or(0, crate::world::config::Source::width);
        let (policy, rollout) = (Arc::clone(&setup.policy), Arc::clone(&setup.rollout));
        let mut names = Names::clone(names);
        names.sources = world.source_names();
        let mut sim = Self {
            now: SimTime::ZERO,
            queue: Queue::default(),
            controller: Controller::new(ControllerId(0), policy, rollout, width, setup.seed),
            recorder: Recorder::new(fold, &names.sources, setup.keep_requests),
            world,
            names,
            horizon: config.horizon,
            control_delay: config.control_delay,
            orders: BTreeMap::new(),
            inputs: BTreeMap::new(),
            sent: 0,
            wake: None,
            results: setup.results,
            luck: Stream::named(setup.seed, "control-plane", "results"),
            effects,
        };
        sim.take_effects();
        sim.serve_controller();
        Ok(sim)
    }

    /// Runs until no event is left before or at `until`.
    ///
    /// # Errors
    /// When the runtime is not there.
    pub fn run_until(&mut self, until: SimTime, models: &mut Predictions) -> Result<(), RuntimeError> {
        while let Some((key, event)) = self.queue.pop() {
            if key.at > until {
                self.queue.push(key, event);
                break;
            }
            self.step(key, event, models)?;
        }
        Ok(())
    }

    /// Runs to the end and closes the record.
    ///
    /// # Errors
    /// When the runtime is not there.
    pub fn finish(mut self, models: &mut Predictions) -> Result<(RunRecord, Vec<RequestEnd>), RuntimeError> {
        self.run_until(SimTime::NEVER, models)?;
        self.world.finish(models, &mut self.effects)?;
        self.take_effects();
        assert_eq!(self.world.open_requests(), 0, "every request ends");
        let streams = self.world.stream_digests();
        let (fold, trace, requests) = self.recorder.finish(self.names, streams);
        Ok((fold.finish(trace), requests))
    }

    fn step(&mut self, key: Key, event: Coming, models: &mut Predictions) -> Result<(), RuntimeError> {
        debug_assert!(key.at >= self.now, "time never goes back");
        self.now = key.at;
        // Beyond the horizon only what is under way still ends: nobody arrives, reads, decides or acts.
        if key.at > self.horizon && !is_ending(&event) {
            return Ok(());
        }
        match event {
            Coming::World(event) => {
                self.world.handle(self.now, event, models, &mut self.effects)?;
                self.take_effects();
            }
            Coming::Order(place) => {
                if let Some(order) = self.orders.remove(&place) {
                    self.world.order(self.now, &order, models, &mut self.effects)?;
                    self.take_effects();
                }
            }
            Coming::Input(place) => {
                if let Some(input) = self.inputs.remove(&place) {
                    self.controller.handle_input(self.now, &input);
                    self.serve_controller();
                }
            }
            Coming::Wake => {
                // A call that came too early changes nothing, so stale wake-ups need not be taken back.
                if self.wake == Some(key.at) {
                    self.wake = None;
                }
                self.controller.handle_timeout(self.now);
                self.serve_controller();
            }
        }
        Ok(())
    }

    fn take_effects(&mut self) {
        for (key, event) in self.effects.schedule.drain(..) {
            self.queue.push(key, Coming::World(event));
        }
        for end in self.effects.ends.drain(..) {
            self.recorder.request(&end);
        }
        if self.effects.events.is_empty() && self.effects.inputs.is_empty() {
            return;
        }
        let mut effects = std::mem::take(&mut self.effects);
        for (at, event) in effects.events.drain(..) {
            self.recorder.event(at, event);
        }
        for (at, input) in effects.inputs.drain(..) {
            self.deliver(at, input);
        }
        self.effects = effects;
    }

    fn deliver(&mut self, at: SimTime, input: Input) {
        let mut copies = 1;
        let mut input = input;
        if matches!(input, Input::ActionResult(_) | Input::QueryResult(_)) {
            copies += u32::from(self.luck.uniform() < self.results.doubled);
            let lost = self.luck.uniform() < self.results.lost;
            match &mut input {
                Input::ActionResult(result) if lost => result.end = ActionEnd::Lost,
                Input::QueryResult(_) if lost => copies = 0,
                _ => {}
            }
        }
        for _ in 0..copies {
            let place = self.next_place();
            self.inputs.insert(place, input.clone());
            self.queue.push(Key { at, class: Class::Result, entity: 0, seq: place }, Coming::Input(place));
        }
    }

    fn next_place(&mut self) -> u64 {
        self.sent += 1;
        self.sent
    }

    /// Takes what the controller wants: orders, facts, a call.
    fn serve_controller(&mut self) {
        while let Some(event) = self.controller.poll_event() {
            self.recorder.event(self.now, event);
        }
        while let Some(action) = self.controller.poll_action() {
            self.recorder.event(self.now, Event::Ordered(action.clone()));
            let place = self.next_place();
            self.orders.insert(place, action);
            let key = Key { at: self.now + self.control_delay, class: Class::Action, entity: 0, seq: place };
            self.queue.push(key, Coming::Order(place));
        }
        if let Some(at) = self.controller.poll_timeout() {
            let at = at.max(self.now);
            if self.wake.is_none_or(|wake| at < wake) {
                self.wake = Some(at);
                let seq = self.next_place();
                self.queue.push(Key { at, class: Class::Timeout, entity: u32::MAX, seq }, Coming::Wake);
            }
        }
    }
}

/// The parts of two runs that decide how they go on.
impl PartialEq for Sim {
    fn eq(&self, other: &Self) -> bool {
        (self.now, &self.world, &self.controller, &self.orders, &self.inputs)
            == (other.now, &other.world, &other.controller, &other.orders, &other.inputs)
    }
}

const fn is_ending(event: &Coming) -> bool {
    matches!(event, Coming::World(WorldEvent::Completion { .. } | WorldEvent::GiveUp { .. }))
}

/// One whole run.
///
/// # Errors
/// When the runtime is not there.
pub fn run(setup: &Setup, models: &mut Predictions) -> Result<RunRecord, RuntimeError> {
    Sim::new(setup, models)?.finish(models).map(|(record, _)| record)
}
