//! Owns an Argo Rollouts AnalysisRun as a sans-IO state machine: it asks for data by [`ActionKind::Query`] and decides on
//! what [`Input::QueryResult`] brings. The decisions themselves are in [`super::analysis_rules`].
//!
//! A pass over all metrics (Argo's "reconcile") happens at the start, when a timeout has come, and when an answer has come.
//!
//! # Divergence from Argo
//! * Argo's providers mostly answer within the pass; here every query is in flight for as long as telemetry takes. One that is in
//!   flight when the run ends counts as a success with the message "Metric Terminated", as Argo's job provider does.
//! * "Strictly later than the last end plus the interval" is one nanosecond later, the unit of virtual time; on a cluster
//!   it is the latency of the work queue.
//! * The history of measurements is not kept: nothing but the last one is ever decided on.

use super::analysis_rules::{
    Assessed, Assessment, BadLimits, Condition, Limits, Measurement, MetricResult, Phase, assess_run,
    evaluate_measurement, exceeded, is_terminating, next_measurement,
};
use crate::event::{Action, ActionEnd, ActionKind, Answer, Decided, Event, Input, Measured, Query, RuleFired, Verdict};
use crate::id::{ActionId, ControllerId, RuleId, SignalId, VersionId};
use crate::time::{SimTime, Span};
use std::collections::{BTreeSet, VecDeque};

/// One metric of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Its name, unique in the run.
    pub name: String,
    /// What is asked.
    pub query: Query,
    /// Which measurements are good; see [`evaluate_measurement`] for what a missing condition means.
    pub success: Option<Condition>,
    /// Which measurements are bad.
    pub failure: Option<Condition>,
    /// How often it is measured, and how much it bears.
    pub limits: Limits,
    /// It is measured and decides nothing.
    pub dry_run: bool,
    /// The signal that its measurements are recorded as, with the one field `value`.
    pub signal: SignalId,
    /// The rule that is recorded as fired when it turns bad.
    pub rule: RuleId,
}

/// Who runs an analysis: what its actions and events are signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The controller.
    pub controller: ControllerId,
    /// The controller's plan.
    pub epoch: u32,
    /// The first action's id; the run uses this and following ones.
    pub first_action: ActionId,
    /// The version under test.
    pub version: VersionId,
}

/// Why a run cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRun {
    /// There is nothing to measure.
    #[error("no metrics specified")]
    NoMetrics,
    /// Two metrics have one name.
    #[error("metrics[{0}]: duplicate name '{1}'")]
    Duplicate(usize, String),
    /// A metric's limits contradict each other.
    #[error("metrics[{0}]: {1}")]
    Limits(usize, BadLimits),
}

/// Everything wrong with a list of metrics, in the order of the list; empty if nothing is.
#[must_use]
pub fn mistakes(metrics: &[Metric]) -> Vec<BadRun> {
    let mut names = BTreeSet::new();
    let mut bad = if metrics.is_empty() { vec![BadRun::NoMetrics] } else { Vec::new() };
    for (i, metric) in metrics.iter().enumerate() {
        if !names.insert(&metric.name) {
            bad.push(BadRun::Duplicate(i, metric.name.clone()));
        }
        bad.extend(metric.limits.mistakes().into_iter().map(|mistake| BadRun::Limits(i, mistake)));
    }
    bad
}

/// A run of an analysis. Plain data: a clone goes on as the original would.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalysisRun {
    identity: Identity,
    start: SimTime,
    /// When the first pass ended.
    started: Option<SimTime>,
    /// The run was ordered to end.
    ended_by_order: bool,
    metrics: Vec<State>,
    assessment: Assessment,
    next_action: u64,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
}

#[derive(Debug, Clone, PartialEq)]
struct State {
    metric: Metric,
    result: MetricResult,
    /// The query in flight.
    asked: Option<ActionId>,
    evidence: Evidence,
}

/// When the measurements that speak against a metric began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Evidence {
    failed: Option<SimTime>,
    inconclusive: Option<SimTime>,
    errors: Option<SimTime>,
}

impl AnalysisRun {
    /// A run that makes its first pass at `start`.
    ///
    /// # Errors
    /// Everything that [`mistakes`] finds.
    pub fn new(metrics: Vec<Metric>, identity: Identity, start: SimTime) -> Result<Self, Vec<BadRun>> {
        let bad = mistakes(&metrics);
        if !bad.is_empty() {
            return Err(bad);
        }
        let fresh =
            |metric| State { metric, result: MetricResult::default(), asked: None, evidence: Evidence::default() };
        let mut metrics: Vec<State> = metrics.into_iter().map(fresh).collect();
        let assessment = Assessment { phase: Phase::Pending, ..assess(&mut metrics, false) };
        Ok(Self {
            identity,
            start,
            started: None,
            ended_by_order: false,
            metrics,
            assessment,
            next_action: identity.first_action.0,
            actions: VecDeque::new(),
            events: VecDeque::new(),
        })
    }

    /// The run's phase, why, and how its metrics ended.
    #[must_use]
    pub const fn assessment(&self) -> &Assessment {
        &self.assessment
    }

    /// What is known of each metric, in the order they were given.
    pub fn results(&self) -> impl Iterator<Item = (&Metric, &MetricResult)> {
        self.metrics.iter().map(|state| (&state.metric, &state.result))
    }

    /// The id after the last one used.
    #[must_use]
    pub const fn next_action(&self) -> ActionId {
        ActionId(self.next_action)
    }

    /// Orders the run to end: nothing new is measured, and what is not bad by now is good.
    pub fn terminate(&mut self, now: SimTime) {
        self.ended_by_order = true;
        self.pass(now);
    }

    /// Takes an input. Inputs that answer none of its queries, or one that was given up, change nothing.
    pub fn handle_input(&mut self, now: SimTime, input: &Input) {
        let (action, answer) = match input {
            Input::QueryResult(result) => (result.action, Ok(&result.answer)),
            Input::ActionResult(result) => match &result.end {
                ActionEnd::Ok => return,
                ActionEnd::Err(reason) => (result.action, Err(reason.as_str())),
                ActionEnd::Lost => (result.action, Err("no answer came")),
            },
            _ => return,
        };
        let Some(state) = self.metrics.iter_mut().find(|state| state.asked == Some(action)) else { return };
        let value = match answer {
            Ok(Answer::Series(values)) => Ok(values.first().copied()),
            Ok(Answer::Empty) => Ok(None),
            Ok(Answer::Error(reason)) => Err(reason.as_str()),
            Ok(Answer::Served(_)) => Err("the answer is not a series"),
            Err(reason) => Err(reason),
        };
        let (phase, message) = match value {
            Ok(value) => evaluate_measurement(value, state.metric.success, state.metric.failure),
            Err(reason) => (Phase::Error, reason),
        };
        state.finish(now, phase, message);
        let values = vec![value.ok().flatten().unwrap_or(f64::NAN)];
        let (signal, version) = (state.metric.signal, self.identity.version);
        self.events.push_back(Event::Measured(Measured { signal, version, values }));
        self.pass(now);
    }

    /// Makes a pass, if the time of [`Self::poll_timeout`] has come; else nothing happens.
    pub fn handle_timeout(&mut self, now: SimTime) {
        if self.poll_timeout().is_some_and(|due| due <= now) {
            self.pass(now);
        }
    }

    /// When [`Self::handle_timeout`] is wanted; `None` while only an answer can move the run, and when it has ended.
    /// May change after every other call.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<SimTime> {
        if self.assessment.phase.is_final() {
            return None;
        }
        let Some(started) = self.started else { return Some(self.start) };
        let next = |state: &State| next_measurement(&state.metric.limits, &state.result, self.started, started);
        self.metrics.iter().filter_map(next).map(super::analysis_rules::Due::earliest).min()
    }

    /// The next order, in the order given.
    #[must_use]
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next fact, in the order it became one. Orders are facts for whoever takes them from [`Self::poll_action`].
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// One pass, and another for as long as metrics change their phase: a bad one ends its siblings.
    fn pass(&mut self, now: SimTime) {
        if self.assessment.phase.is_final() {
            return;
        }
        loop {
            let before: Vec<Phase> = self.metrics.iter().map(|state| state.result.phase).collect();
            self.measure(now);
            self.assessment = assess(&mut self.metrics, self.ended_by_order);
            self.started.get_or_insert(now);
            for (state, before) in self.metrics.iter().zip(&before) {
                if !before.is_bad() && state.result.phase.is_bad() && !state.metric.dry_run {
                    self.events.push_back(Event::RuleFired(state.fired(now)));
                }
            }
            let changed = self.metrics.iter().zip(before).any(|(state, before)| state.result.phase != before);
            if self.assessment.phase.is_final() || !changed {
                break;
            }
        }
        self.decide();
    }

    /// Starts what is due; when the run is ending, ends what is in flight instead.
    fn measure(&mut self, now: SimTime) {
        let phases = self.metrics.iter().map(|state| (state.result.phase, state.metric.dry_run));
        let terminating = is_terminating(self.ended_by_order, phases);
        for state in self.metrics.iter_mut().filter(|state| !state.result.phase.is_final()) {
            if terminating {
                state.finish(now, Phase::Successful, "Metric Terminated");
                continue;
            }
            let due = next_measurement(&state.metric.limits, &state.result, self.started, now);
            if due.is_some_and(|due| due.has_come(now)) {
                let id = ActionId(self.next_action);
                self.next_action = self.next_action.saturating_add(1);
                let Identity { controller, epoch, .. } = self.identity;
                let kind = ActionKind::Query(state.metric.query.clone());
                self.actions.push_back(Action { id, epoch, controller, kind });
                state.asked = Some(id);
                let message = String::new();
                state.result.last = Some(Measurement { phase: Phase::Running, started: now, finished: None, message });
            }
        }
    }

    /// Records what a run that ended badly asks for: an abort puts the rollout back, a pause halts it.
    fn decide(&mut self) {
        let verdict = match self.assessment.phase {
            Phase::Failed | Phase::Error => Verdict::Rollback,
            Phase::Inconclusive => Verdict::Halt,
            _ => return,
        };
        let cited = |state: &&State| !state.metric.dry_run && state.result.phase.is_bad();
        let rules = self.metrics.iter().filter(cited).map(|state| state.metric.rule).collect();
        self.events.push_back(Event::Decided(Decided { verdict, rules, refused: None }));
    }
}

impl State {
    fn finish(&mut self, now: SimTime, phase: Phase, message: &str) {
        let Some(began) = self.result.last.as_ref().filter(|last| last.finished.is_none()).map(|last| last.started)
        else {
            return;
        };
        let (kind, ends_row) = match phase {
            Phase::Failed => (Some(&mut self.evidence.failed), true),
            Phase::Inconclusive => (Some(&mut self.evidence.inconclusive), true),
            Phase::Error => (Some(&mut self.evidence.errors), false),
            _ => (None, true),
        };
        if let Some(since) = kind {
            since.get_or_insert(began);
        }
        if ends_row {
            self.evidence.errors = None;
        }
        self.asked = None;
        self.result.finish(now, phase, message);
    }

    fn fired(&self, now: SimTime) -> RuleFired {
        let Evidence { failed, inconclusive, errors } = self.evidence;
        let since = match self.result.phase {
            Phase::Error => errors,
            Phase::Inconclusive => inconclusive,
            _ => failed,
        };
        let window = match self.metric.query {
            Query::SuccessRate { window, .. } | Query::Latency { window, .. } => window,
            Query::Served => Span::ZERO,
        };
        let why = exceeded(&self.metric.limits, &self.result.counters);
        RuleFired {
            rule: self.metric.rule,
            evidence_from: since.unwrap_or(now).minus(window),
            evidence_to: now,
            window,
            evidence: why
                .map_or_else(|| "count reached without enough successes in a row".to_owned(), |(_, text)| text),
        }
    }
}

fn assess(metrics: &mut [State], ordered: bool) -> Assessment {
    let assessed = metrics.iter_mut().map(|State { metric, result, .. }| Assessed {
        name: &metric.name,
        limits: &metric.limits,
        dry_run: metric.dry_run,
        result,
    });
    assess_run(assessed, ordered)
}
