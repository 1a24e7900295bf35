//! Owns the native strategy: follow the rollout's stages, stop or turn back when rules say so.
//!
//! The controller is sans-IO: it has no clock, does no IO, starts no thread, and is told everything. A driver calls
//! [`Controller::handle_input`] and [`Controller::handle_timeout`], then empties [`Controller::poll_action`] and
//! [`Controller::poll_event`] and asks [`Controller::poll_timeout`] anew. Spurious calls are no-ops.
//!
//! A scrape ends with its `Metrics` input; looks are taken then, and only while a version is under test.

use crate::control::config::{PolicyConfig, RolloutConfig};
use crate::control::executor::{Executor, Progress, SERVED_RETRIES, Step};
use crate::control::governance::Governance;
use crate::control::judge::{Judge, Pair};
use crate::detect::counters::Scrapes;
use crate::event::{Action, ActionKind, Decided, Event, Input, Metrics, Verdict, Weight};
use crate::id::{ControllerId, RuleId};
use crate::rng::Seed;
use crate::time::{SimTime, Span};
use std::collections::VecDeque;
use std::sync::Arc;

/// What the plan under way is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// A stage of the rollout, by place.
    Stage(usize),
    /// The old version's replicas go.
    ScaleDown,
    /// Back to the old version.
    Revert,
}

/// How users were before the rollout, as far as telemetry knows: (share without an answer, p99 latency in nanoseconds).
type Level = (f64, f64);

/// The controller of one rollout under one policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Controller {
    policy: Arc<PolicyConfig>,
    rollout: Arc<RolloutConfig>,
    judge: Judge,
    governance: Governance,
    executor: Executor,
    purpose: Option<Purpose>,
    /// The next stage; past the last one when the rollout is over or was given up.
    next_stage: usize,
    halted: bool,
    scale_down_at: Option<SimTime>,
    /// The most traffic that the rolled-out version may have.
    weight: Weight,
    scrapes: Scrapes,
    level_before: Option<Level>,
    verify_at: Option<SimTime>,
    alerted: Vec<bool>,
    /// The refusal told last: for which rules, and why.
    refusal: Option<(Vec<RuleId>, String)>,
    events: VecDeque<Event>,
}

impl Controller {
    /// A controller that has seen nothing. `width`: features of a log row. `seed` feeds signals that draw.
    #[must_use]
    pub fn new(
        id: ControllerId,
        policy: Arc<PolicyConfig>,
        rollout: Arc<RolloutConfig>,
        width: usize,
        seed: Seed,
    ) -> Self {
        Self {
            judge: Judge::new(Arc::clone(&policy), width, seed),
            governance: Governance::new(policy.rights.clone()),
            executor: Executor::new(id, policy.revert.patience),
            purpose: None,
            next_stage: 0,
            halted: false,
            scale_down_at: None,
            weight: Weight::NONE,
            scrapes: Scrapes::new(policy.revert.verify_window),
            level_before: None,
            verify_at: None,
            alerted: vec![false; policy.rules.len()],
            refusal: None,
            events: VecDeque::new(),
            policy,
            rollout,
        }
    }

    /// Takes one input.
    pub fn handle_input(&mut self, now: SimTime, input: &Input) {
        match input {
            Input::ActionResult(result) => {
                let progress = self.executor.handle_result(now, result);
                self.settle(now, progress);
            }
            Input::QueryResult(result) => {
                let progress = self.executor.handle_answer(now, result);
                self.settle(now, progress);
            }
            Input::Metrics(metrics) => {
                self.judge.take(input);
                self.scrapes.take(metrics);
                self.verify(now, metrics);
                if self.weight > Weight::NONE {
                    let pair = Pair { candidate: self.rollout.to, baseline: self.rollout.from };
                    let changed = self.judge.look(metrics.scraped_at, pair);
                    self.conclude(now, changed);
                }
            }
            Input::Gap(gap) if self.weight > Weight::NONE => {
                let changed = self.judge.look_in_vain(gap.to);
                self.conclude(now, changed);
            }
            _ => self.judge.take(input),
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: SimTime) {
        let judge = &self.judge;
        let progress = self.executor.handle_timeout(now, |signal| !judge.fails_on(signal));
        self.settle(now, progress);
        if self.scale_down_at.is_some_and(|at| now >= at) && !self.executor.is_busy() {
            self.scale_down_at = None;
            let order = ActionKind::Scale { version: self.rollout.from, replicas: self.rollout.standby };
            self.begin(now, Purpose::ScaleDown, vec![Step::Order(order)]);
        }
        if self.stage_due().is_some_and(|at| now >= at) {
            self.start_stage(now);
        }
    }

    /// When [`Controller::handle_timeout`] wants to be called next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<SimTime> {
        let scale_down = self.scale_down_at.filter(|_| !self.executor.is_busy());
        [self.executor.poll_timeout(), scale_down, self.stage_due()].into_iter().flatten().min()
    }

    /// The next order for the plant.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.executor.poll_action()
    }

    /// The next fact to record.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When the next stage begins; none while a plan is under way or the rollout is stopped.
    fn stage_due(&self) -> Option<SimTime> {
        if self.halted || self.executor.is_busy() {
            return None;
        }
        self.rollout.stages.get(self.next_stage).map(|(at, _)| *at)
    }

    fn start_stage(&mut self, now: SimTime) {
        let Some(&(_, weight)) = self.rollout.stages.get(self.next_stage) else { return };
        if self.level_before.is_none() {
            self.level_before = self.level(Span(u64::MAX));
        }
        let stage = self.next_stage;
        self.next_stage += 1;
        self.weight = self.weight.max(weight);
        let RolloutConfig { from, to, replicas, .. } = *self.rollout;
        // Enough replicas for the share, rounded up, and one at least.
        let wanted = (u64::from(replicas) * u64::from(weight.0)).div_ceil(u64::from(Weight::ALL.0)).max(1);
        let scale = ActionKind::Scale { version: to, replicas: wanted as u32 };
        let split = ActionKind::SetWeights(vec![(from, weight.rest()), (to, weight)]);
        let told = Step::Tell(Event::Stage { stage: stage as u32, weight });
        self.begin(now, Purpose::Stage(stage), vec![Step::Order(scale), Step::Order(split), told]);
    }

    fn begin(&mut self, now: SimTime, purpose: Purpose, steps: Vec<Step>) {
        self.purpose = Some(purpose);
        let progress = self.executor.begin(now, steps);
        self.settle(now, progress);
    }

    /// Takes over what the executor told, and draws the conclusions of a plan's end.
    fn settle(&mut self, now: SimTime, progress: Progress) {
        while let Some(event) = self.executor.poll_event() {
            let done = matches!(event, Event::RevertDone { .. });
            self.events.push_back(event);
            if done {
                self.weight = Weight::NONE;
                self.verify_at = Some(now + self.policy.revert.verify_window);
                self.events.extend(self.judge.clear());
            }
        }
        match (progress, self.purpose) {
            (Progress::Open, _) | (_, None) => {}
            (Progress::Done, Some(purpose)) => {
                self.purpose = None;
                let last = self.rollout.stages.len().checked_sub(1);
                let all = self.rollout.stages.last().is_some_and(|(_, weight)| *weight == Weight::ALL);
                if let Purpose::Stage(stage) = purpose
                    && Some(stage) == last
                    && all
                {
                    self.scale_down_at = Some(now + self.rollout.scale_down_delay);
                }
            }
            (Progress::Failed(reason), Some(purpose)) => {
                self.purpose = None;
                match purpose {
                    // The new version cannot even start: go no further.
                    Purpose::Stage(_) => {
                        self.halted = true;
                        self.executor.aside(ActionKind::Notify(format!("the rollout stopped: {reason}")));
                    }
                    Purpose::Revert => {
                        self.executor.aside(ActionKind::Notify(format!("the revert failed: {reason}")));
                        self.events.push_back(Event::RevertFailed { reason });
                    }
                    Purpose::ScaleDown => {}
                }
            }
        }
    }

    /// Tells what a look changed, and does what the failing rules ask for.
    fn conclude(&mut self, now: SimTime, changed: Vec<Event>) {
        self.events.extend(changed);
        self.alert();
        let Some((verdict, rules)) = self.judge.verdict() else {
            self.refusal = None;
            return;
        };
        let reverting = self.purpose == Some(Purpose::Revert);
        match verdict {
            Verdict::Rollback if !reverting => {
                let refused = self.governance.rollback(now).err();
                let granted = refused.is_none();
                let refusal = refused.clone().map(|reason| (rules.clone(), reason));
                // A refusal is told once for as long as the same rules fail and the reason stays the same.
                if granted || refusal != self.refusal {
                    self.events.push_back(Event::Decided(Decided { verdict, rules, refused }));
                }
                self.refusal = refusal;
                if granted {
                    self.revert(now);
                }
            }
            Verdict::Halt if !self.halted && !reverting => {
                self.halted = true;
                self.events.push_back(Event::Decided(Decided { verdict, rules, refused: None }));
            }
            Verdict::Rollback | Verdict::Halt | Verdict::Alert => {}
        }
    }

    /// Tells a person what rules ask for one, whatever else is decided; each rule once.
    fn alert(&mut self) {
        let rules: Vec<_> = self.judge.alerts().into_iter().filter(|r| !self.alerted[r.index()]).collect();
        if rules.is_empty() {
            return;
        }
        rules.iter().for_each(|r| self.alerted[r.index()] = true);
        let names: Vec<_> = rules.iter().map(|r| self.policy.rules[r.index()].name.as_str()).collect();
        self.executor.aside(ActionKind::Notify(format!("alert: {}", names.join(", "))));
        self.events.push_back(Event::Decided(Decided { verdict: Verdict::Alert, rules, refused: None }));
    }

    fn revert(&mut self, now: SimTime) {
        self.next_stage = self.rollout.stages.len();
        self.halted = true;
        self.scale_down_at = None;
        let RolloutConfig { from, to, replicas, digest, .. } = *self.rollout;
        let how = &self.policy.revert;
        let mut steps = vec![Step::Tell(Event::RevertStarted { from: to, to: from })];
        let scale_up = Step::Order(ActionKind::Scale { version: from, replicas });
        if how.wait_ready {
            steps.push(scale_up.clone());
        }
        // A step that would give the bad version more than it has (its stage may only just have begun) is left out.
        let now_has = self.executor.weight(to);
        let of = |left: Weight| (u64::from(self.weight.0) * u64::from(left.0) / u64::from(Weight::ALL.0)) as u32;
        let down =
            how.steps.iter().map(|&left| Weight(of(left))).filter(|&left| left < now_has || left == Weight::NONE);
        for (i, left) in down.enumerate() {
            if i > 0 {
                steps.push(Step::Pause { span: how.every, gate: how.gate, patience: how.gate_patience });
            }
            let split = [(from, left.rest()), (to, left)].into_iter().filter(|(_, w)| *w > Weight::NONE).collect();
            steps.push(Step::Order(ActionKind::SetWeights(split)));
        }
        if !how.wait_ready {
            steps.push(scale_up);
        }
        steps.push(Step::Served { version: from, digest, retries: SERVED_RETRIES });
        steps.push(Step::Order(ActionKind::Scale { version: to, replicas: 0 }));
        self.begin(now, Purpose::Revert, steps);
    }

    /// The controller's own check, a window after a revert: are users as well as before the rollout?
    fn verify(&mut self, now: SimTime, metrics: &Metrics) {
        if self.verify_at.is_none_or(|at| metrics.scraped_at < at) {
            return;
        }
        let window = self.policy.revert.verify_window;
        let enough = self
            .scrapes
            .over(self.rollout.from, window)
            .is_ok_and(|(totals, _)| totals.requests() >= self.policy.revert.verify_requests);
        if !enough {
            return;
        }
        self.verify_at = None;
        let well = match (self.level(window), self.level_before) {
            (Some((failed, p99)), Some((failed_before, p99_before))) => {
                failed <= failed_before + MARGIN && p99 <= p99_before * (1.0 + LATENCY_MARGIN)
            }
            _ => false,
        };
        if !well {
            self.executor.aside(ActionKind::Notify("users are not well after the revert".to_owned()));
        }
        let _ = now;
        self.events.push_back(Event::Verified { well });
    }

    fn level(&self, window: Span) -> Option<Level> {
        let (totals, _) = self.scrapes.over(self.rollout.from, window).ok()?;
        let requests = totals.requests();
        (requests > 0).then(|| Some((totals.failed() as f64 / requests as f64, totals.latency.quantile(0.99)?)))?
    }
}

/// As for the report's *recovered*: one percentage point of failures, …
const MARGIN: f64 = 0.01;
/// … and a tenth of p99 latency. The histogram's own resolution (3 %) is inside.
const LATENCY_MARGIN: f64 = 0.10;
