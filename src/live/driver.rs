//! Owns the pump of a live run: one mailbox, one clock, the timers, the router, and the controller between them.

use crate::control::strategy::native::Controller;
use crate::event::{Action, ActionEnd, ActionKind, Answer, Event, Input, Query, QueryResult, ReplicaState, Weight};
use crate::id::{ActionId, ControllerId, Names, ReplicaId, RequestId, VersionId};
use crate::live::client::{Call, Http, Trouble};
use crate::live::clock::{Clock, real};
use crate::live::dispatch::Port;
use crate::live::fleet::{Seat, Store};
use crate::live::gate::{Gate, Weights};
use crate::live::interrupt::Running;
use crate::live::message::{Arrival, Happened, Mailbox};
use crate::live::openmetrics::exposition;
use crate::live::pace::{Pace, Ready};
use crate::live::{LiveError, LiveRun, Observed, Options, Told};
use crate::plan::Plan;
use crate::report::fold::{Grid, RunFold};
use crate::time::{SimTime, Span};
use crate::trace::recorder::Recorder;
use crate::world::config::WorldConfig;
use crate::world::faults::{Faults, Transition};
use crate::world::fleet::Pool;
use crate::world::orders::{Admission, Orders};
use crate::world::router::Router;
use crate::world::telemetry::Telemetry;
use crate::world::traffic::streams;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// What is to come at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Due {
    /// Telemetry is read for the n-th time.
    Scrape(u64),
    /// A fault starts (`true`) or ends by itself.
    Fault(u16, bool),
    /// A crash fault strikes again, as planned for then.
    Again(u16, SimTime),
    /// A replica is told anew what faults act on it.
    Apply(ReplicaId),
    /// A replica must be ready by now.
    StartLimit(ReplicaId),
    /// A draining replica must be empty by now.
    DrainLimit(ReplicaId),
    /// A replica that was asked to end must have done so.
    EndLimit(ReplicaId),
}

/// An order to the router, or a question what a replica serves, is given up after this.
const CONTROL_LIMIT: Duration = Duration::from_secs(2);
/// After the last deadline of a request, its end must have been told by now: what is not counts as timed out.
const GRACE: Span = Span::secs(2);
/// Between the last replica's readiness and the first arrival.
const RUN_UP: Duration = Duration::from_millis(50);

/// One live run under way.
pub(crate) struct Driver<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) options: &'a Options,
    pub(crate) config: Arc<WorldConfig>,
    pub(crate) names: Arc<Names>,
    pub(crate) ports: Arc<Vec<Port>>,
    pub(crate) clock: Clock,
    pub(crate) http: Http,
    pub(crate) mailbox: Mailbox,
    pub(crate) store: Store,
    pub(crate) seats: Vec<Seat>,
    pub(crate) pools: Vec<Pool>,
    pub(crate) faults: Faults,
    /// By fault: the replicas it holds.
    pub(crate) hit: Vec<Vec<ReplicaId>>,
    /// Crash faults that go on: when each is due again.
    pub(crate) again: BTreeMap<u16, SimTime>,
    /// Foreign servers: whose turn it is to tell them something.
    pub(crate) turns: BTreeMap<SocketAddr, Arc<tokio::sync::Mutex<()>>>,
    /// Something of the machine broke, and the run with it.
    pub(crate) broken: Option<String>,
    pub(crate) observed: Observed,
    pub(crate) started: bool,
    pub(crate) router: Router,
    pub(crate) telemetry: Telemetry,
    controller: Controller,
    pub(crate) recorder: Recorder<RunFold>,
    orders: Orders,
    timers: BTreeMap<(SimTime, u64), Due>,
    next_timer: u64,
    pub(crate) gate: Gate,
    /// When the last order of weights was given that the router does not have yet.
    splitting: Option<SimTime>,
    /// Requests under way.
    pub(crate) open: BTreeMap<RequestId, (Arrival, VersionId, Option<ReplicaId>)>,
    /// The digests of the streams, once nobody comes any more.
    streams: Option<Vec<(String, String)>>,
    pub(crate) last_scrape: SimTime,
    told: &'a mut Told<'a>,
}

/// Runs a plan in real time.
///
/// # Errors
/// See [`LiveError`]; whatever replicas and networks do is in the record.
pub fn run<'a>(plan: &'a Plan, options: &'a Options, told: &'a mut Told<'a>) -> Result<LiveRun, LiveError> {
    let environment = |e: std::io::Error| LiveError::Environment(format!("the run cannot be started: {e}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(environment)?;
    let running = Running::begin();
    let result = runtime.block_on(async {
        let (to, mut from) = unbounded_channel();
        let (mut watcher, mailbox) = (running.watcher(), Mailbox(to.clone()));
        tokio::spawn(async move {
            if watcher.wait_for(|interrupted| *interrupted).await.is_ok() {
                mailbox.tell(Happened::Interrupted);
            }
        });
        let mut driver = Driver::new(plan, options, Mailbox(to), told).await?;
        driver.found_fleet(&mut from).await?;
        driver.pump(&mut from).await?;
        driver.end_replicas(&mut from).await;
        Ok(driver.finish())
    });
    // Whatever still waits for somebody is not waited for.
    runtime.shutdown_background();
    result
}

impl<'a> Driver<'a> {
    async fn new(
        plan: &'a Plan,
        options: &'a Options,
        mailbox: Mailbox,
        told: &'a mut Told<'a>,
    ) -> Result<Self, LiveError> {
        let config = Arc::new(plan.world.clone());
        let faults = Faults::new(&config, &options.faults, options.seed);
        crate::live::faults::check(plan, &faults)?;
        let grid = Grid::new(config.horizon, &plan.objective.recovery);
        let fold =
            RunFold::new(&plan.objective, config.horizon, config.versions.len(), plan.names.segments.len(), grid);
        let mut names = plan.names.clone();
        names.sources = streams(&faults, options.seed).into_iter().map(|(name, ..)| name).collect();
        let width = config.sources.first().map_or(0, crate::world::config::Source::width);
        let (policy, rollout) = (Arc::new(plan.policy.clone()), Arc::new(plan.rollout.clone()));
        // The lag is what it is: nothing is added to it.
        let mut seen = plan.world.clone();
        seen.telemetry.lag = Span::ZERO;
        let telemetry = Telemetry::new(&seen, options.seed, policy.reads_features());
        let environment = |e: std::io::Error| LiveError::Environment(format!("no port for the router: {e}"));
        let gate = Gate::open(mailbox.clone()).await.map_err(environment)?;
        let mut driver = Self {
            plan,
            options,
            ports: Arc::new(crate::live::dispatch::ports(plan, &faults)),
            // Until the fleet is there it is zero o'clock.
            clock: Clock::starting_in(Duration::from_secs(86_400)),
            http: Http::new(),
            store: Store::new(&config, &faults).map_err(LiveError::Environment)?,
            seats: Vec::new(),
            pools: vec![Pool::default(); config.versions.len()],
            hit: vec![Vec::new(); config.faults.len()],
            again: BTreeMap::new(),
            turns: BTreeMap::new(),
            broken: None,
            observed: Observed::default(),
            started: false,
            router: Router::new(config.versions.len(), config.initial),
            telemetry,
            controller: Controller::new(ControllerId(0), policy, rollout, width, options.seed),
            recorder: Recorder::new(fold, &names.sources, options.keep_requests),
            orders: Orders::default(),
            timers: BTreeMap::new(),
            next_timer: 0,
            gate,
            splitting: None,
            open: BTreeMap::new(),
            streams: None,
            last_scrape: SimTime::ZERO,
            names: Arc::new(names),
            mailbox,
            faults,
            config,
            told,
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from) as u32;
        driver.record(Event::Live { cores });
        Ok(driver)
    }

    pub(crate) fn now(&self) -> SimTime {
        self.clock.now()
    }

    pub(crate) fn record(&mut self, event: Event) {
        let now = self.now();
        (self.told)(now, &event);
        self.recorder.event(now, event);
    }

    pub(crate) fn due(&mut self, at: SimTime, what: Due) {
        self.next_timer += 1;
        self.timers.insert((at, self.next_timer), what);
    }

    /// Has the run begun, and not ended: beyond the horizon nobody reads, decides or acts.
    pub(crate) fn acts(&self) -> bool {
        self.started && self.now() <= self.config.horizon
    }

    /// From the first arrival to the end of the last request.
    async fn pump(&mut self, from: &mut UnboundedReceiver<Happened>) -> Result<(), LiveError> {
        let ready = Ready::new(streams(&self.faults, self.options.seed));
        self.clock = Clock::starting_in(RUN_UP);
        self.started = true;
        let environment = |e: std::io::Error| LiveError::Environment(format!("no thread for the traffic: {e}"));
        let _pace = Pace::start(ready, self.clock, self.mailbox.clone()).map_err(environment)?;
        for (at, i, starts) in self.faults.scheduled() {
            self.due(at, Due::Fault(i, starts));
        }
        self.due(SimTime::ZERO + self.config.telemetry.scrape, Due::Scrape(1));
        self.record(Event::Weights { weights: self.router.weights() });
        self.versions_in_traffic();
        self.serve_controller();
        let last = self.config.horizon + self.config.fleet.timeout + GRACE;
        loop {
            if let Some(why) = self.broken.take() {
                return Err(LiveError::Environment(why));
            }
            if self.now() > self.config.horizon && self.streams.is_some() && self.open.is_empty() {
                return Ok(());
            }
            if self.now() >= last {
                // A driver that could not keep the rate still has arrivals before it: they are the ones that waited longest.
                while self.streams.is_none()
                    && let Ok(Some(message)) = tokio::time::timeout(real(GRACE), from.recv()).await
                {
                    self.handle(message);
                }
                self.give_up();
                return Ok(());
            }
            let next = self.next_wake().min(last);
            tokio::select! {
                biased;
                message = from.recv() => match message {
                    Some(Happened::Interrupted) | None => return Err(LiveError::Interrupted),
                    Some(message) => self.handle(message),
                },
                () = tokio::time::sleep_until(self.clock.instant(next).into()) => {}
            }
            self.run_timers();
            self.serve_controller();
        }
    }

    fn next_wake(&self) -> SimTime {
        let timer = self.timers.keys().next().map(|(at, _)| *at);
        let wake = self.controller.poll_timeout().filter(|at| self.acts() && *at <= self.config.horizon);
        // The end of the horizon is a time to look up, too.
        let end = Some(SimTime(self.config.horizon.0 + 1)).filter(|end| *end > self.now());
        [timer, wake, end].into_iter().flatten().min().unwrap_or(SimTime::NEVER)
    }

    fn run_timers(&mut self) {
        // What comes due while this runs waits for the next time, so that mail is read between.
        let now = self.now();
        while let Some(entry) = self.timers.first_entry().filter(|entry| entry.key().0 <= now) {
            let due = entry.remove();
            match due {
                Due::Scrape(n) if self.acts() => self.scrape(n),
                Due::Fault(i, starts) if self.acts() => self.fault_due(i, starts),
                Due::Again(i, planned) if self.acts() => self.crash_again(i, planned),
                Due::Apply(id) => self.apply_to(id),
                Due::Scrape(_) | Due::Fault(..) | Due::Again(..) => {}
                Due::StartLimit(id) => self.start_overdue(id),
                Due::DrainLimit(id) => self.stop_seat(id),
                Due::EndLimit(id) => self.kill(id),
            }
        }
        if self.acts() && self.controller.poll_timeout().is_some_and(|at| at <= self.now()) {
            self.controller.handle_timeout(self.now());
        }
    }

    /// One message.
    pub(crate) fn handle(&mut self, message: Happened) {
        match message {
            Happened::Arrived(arrival) => self.arrive(arrival),
            Happened::TrafficOver(digests) => self.streams = Some(digests),
            Happened::Ended { end, arrival, strange } => self.end(end, &arrival, strange),
            Happened::Phase(id, phase) => self.phase(id, phase),
            Happened::Probed(id, digest) => self.probed(id, digest),
            Happened::Gone(id, gone) => self.gone(id, &gone),
            Happened::Scraped(reading) => self.scraped(reading),
            Happened::Weights { controller, epoch, weights, answer } => {
                let _ = answer.send(self.split(controller, epoch, &weights));
            }
            Happened::MetricsAsked(answer) => {
                let metrics = self.telemetry.metrics(self.now(), Vec::new());
                let _ = answer.send(exposition(&metrics, &self.names));
            }
            Happened::OrderEnded(controller, action, end) => self.end_order(controller, action, end),
            Happened::Answered(action, answer) => self.answered(action, answer),
            Happened::Reloaded(id, result) => self.reloaded(id, result),
            Happened::Unloaded(id, unloaded) => self.unloaded(id, unloaded),
            Happened::Unslowed(replica, why) => self.unslowed(replica, why),
            Happened::Interrupted => {}
        }
    }

    // -----------------------------------------------------------------------------------------------------------------
    // The controller

    pub(crate) fn deliver(&mut self, input: &Input) {
        if self.acts() {
            self.controller.handle_input(self.now(), input);
            self.serve_controller();
        }
    }

    fn serve_controller(&mut self) {
        if !self.acts() {
            return;
        }
        while let Some(event) = self.controller.poll_event() {
            self.record(event);
        }
        while let Some(action) = self.controller.poll_action() {
            self.record(Event::Ordered(action.clone()));
            self.order(&action);
        }
    }

    /// An order. Every order gets exactly one result; a repeated one gets the same again.
    fn order(&mut self, order: &Action) {
        let (controller, id) = (order.controller, order.id);
        match self.orders.admit(order) {
            Admission::New => {}
            Admission::UnderWay => return,
            Admission::Superseded(end) => return self.end_order(controller, id, end),
            Admission::Over(end) => {
                if let ActionKind::Query(query) = &order.kind {
                    // The answer may have been lost; asking again changes nothing.
                    self.ask(id, query);
                }
                return self.deliver(&Input::ActionResult(crate::event::ActionResult { action: id, end }));
            }
        }
        match &order.kind {
            ActionKind::Scale { version, replicas } if version.index() < self.pools.len() => {
                self.orders.scale(*version, controller, id);
                self.scale(*version, *replicas);
            }
            ActionKind::Scale { version, .. } => {
                let end = ActionEnd::Err(format!("there is no version {}", version.0));
                self.end_order(controller, id, end);
            }
            ActionKind::SetWeights(weights) => self.set_weights(order, weights),
            ActionKind::Query(query) => {
                self.ask(id, query);
                self.end_order(controller, id, ActionEnd::Ok);
            }
            ActionKind::Notify(_) => self.end_order(controller, id, ActionEnd::Ok),
        }
    }

    pub(crate) fn end_order(&mut self, controller: ControllerId, id: ActionId, end: ActionEnd) {
        // One that was lost may yet be given again and end: if it is not, the recorder tells at the end of the run.
        let lost = end == ActionEnd::Lost;
        let result = self.orders.end(controller, id, end);
        if !lost {
            self.record(Event::OrderEnded(result.clone()));
        }
        self.deliver(&Input::ActionResult(result));
    }

    /// The scale orders of a version end, one way or the other.
    pub(crate) fn end_scaling(&mut self, version: VersionId, end: &ActionEnd) {
        for (controller, action) in self.orders.scaled(version) {
            self.end_order(controller, action, end.clone());
        }
    }

    /// The router is told over HTTP, as a mesh is.
    fn set_weights(&mut self, order: &Action, weights: &[(VersionId, Weight)]) {
        let (controller, id, epoch) = (order.controller, order.id, order.epoch);
        self.splitting = Some(self.now());
        let weights = weights.iter().map(|(v, w)| (v.0, w.0)).collect();
        let body = serde_json::to_vec(&Weights { controller: controller.0, epoch, weights }).unwrap_or_default();
        let call = Call::put(self.gate.address, "/weights", body);
        let (http, mailbox) = (self.http.clone(), self.mailbox.clone());
        tokio::spawn(async move {
            let end = match http.call(call, CONTROL_LIMIT).await {
                Ok(reply) if reply.status.is_success() => ActionEnd::Ok,
                Ok(reply) => ActionEnd::Err(reply.complaint()),
                Err(Trouble::Unreachable(why)) => ActionEnd::Err(why),
                // It may or may not have come through.
                Err(_) => ActionEnd::Lost,
            };
            mailbox.tell(Happened::OrderEnded(controller, id, end));
        });
    }

    /// The router takes new weights.
    fn split(
        &mut self,
        controller: ControllerId,
        epoch: u32,
        weights: &[(VersionId, Weight)],
    ) -> Result<(), &'static str> {
        if self.orders.is_superseded(controller, epoch) {
            return Err("a newer plan has replaced this one");
        }
        if !self.router.set(weights) {
            return Err("weights do not add up to all traffic over known versions");
        }
        if let Some(given) = self.splitting.take() {
            let now = self.now();
            self.observed.control_delay.push(now.since(given));
        }
        self.record(Event::Weights { weights: self.router.weights() });
        self.versions_in_traffic();
        Ok(())
    }

    fn versions_in_traffic(&mut self) {
        let transitions = self.faults.versions_in_traffic(self.now(), &self.router);
        self.transitions(&transitions);
    }

    fn fault_due(&mut self, i: u16, starts: bool) {
        let now = self.now();
        if starts {
            let transitions = self.faults.start(now, i, &self.router);
            self.transitions(&transitions);
            self.fault_started(i);
        } else {
            let transitions = self.faults.end(i);
            self.transitions(&transitions);
        }
    }

    fn transitions(&mut self, transitions: &[Transition]) {
        for transition in transitions {
            self.record(transition.event());
        }
        self.apply_faults(transitions);
    }

    /// A query: what can be answered here is, what replicas must be asked is asked of them.
    fn ask(&mut self, action: ActionId, query: &Query) {
        let now = self.now();
        match query {
            Query::SuccessRate { version, window } => {
                let answer = self.telemetry.success_rate(now, *version, *window);
                self.answered(action, answer);
            }
            Query::Latency { version, quantile, window } => {
                let answer = self.telemetry.latency_quantile(now, *version, quantile.share(), *window);
                self.answered(action, answer);
            }
            Query::Served => {
                let in_service =
                    |seat: &&Seat| seat.state == ReplicaState::Ready && self.router.weight(seat.version).0 > 0;
                let asked: Vec<_> = self.seats.iter().filter(in_service).map(|s| self.identify(s)).collect();
                let mailbox = self.mailbox.clone();
                tokio::spawn(async move {
                    let mut questions = tokio::task::JoinSet::new();
                    for asked in asked {
                        let (id, version) = (asked.id, asked.version);
                        questions.spawn(async move { (id, version, asked.ask(CONTROL_LIMIT).await) });
                    }
                    let (mut served, mut problem) = (Vec::new(), None);
                    for (id, version, answer) in questions.join_all().await {
                        match answer {
                            Ok(digest) => served.push((id, version, digest)),
                            Err(why) => problem = Some(format!("replica {}: {why}", id.0)),
                        }
                    }
                    served.sort_unstable_by_key(|(id, ..)| *id);
                    let answer = problem.map_or(Answer::Served(served), Answer::Error);
                    mailbox.tell(Happened::Answered(action, answer));
                });
            }
        }
    }

    fn answered(&mut self, action: ActionId, answer: Answer) {
        if let Answer::Served(served) = &answer {
            self.record(Event::Served { served: served.clone() });
        }
        self.deliver(&Input::QueryResult(QueryResult { action, answer }));
    }

    fn finish(self) -> LiveRun {
        let mut streams = self.streams.unwrap_or_default();
        streams.extend(self.faults.digests());
        let names = Names::clone(&self.names);
        let (fold, trace, requests) = self.recorder.finish(names, streams);
        LiveRun { record: fold.finish(trace), requests, observed: self.observed }
    }
}
