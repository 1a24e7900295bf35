//! Owns the carrying out of one plan, step by step. One order is under way at a time; a plan is a list of steps and thereby
//! its own journal: what is done is gone from the list, so that nothing is repeated.

use crate::digest::Digest;
use crate::event::{Action, ActionEnd, ActionKind, ActionResult, Answer, Event, Query, QueryResult, Weight};
use crate::id::{ActionId, ControllerId, SignalId, VersionId};
use crate::time::{SimTime, Span};
use std::collections::VecDeque;

/// One step of a plan.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Give an order and wait until it has ended.
    Order(ActionKind),
    /// Wait so long, then until no rule on `gate` fails, at most `patience` longer.
    Pause {
        /// How long.
        span: Span,
        /// The signal whose rules must not fail.
        gate: Option<SignalId>,
        /// How much longer than `span` to wait for the gate.
        patience: Span,
    },
    /// Ask the replicas what they serve; go on when all answer with this digest.
    Served {
        /// The version that should serve.
        version: VersionId,
        /// What it should answer.
        digest: Digest,
        /// Times to ask again before giving up.
        retries: u32,
    },
    /// Record a fact.
    Tell(Event),
}

/// What became of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// It goes on, or there is none.
    Open,
    /// Its last step is done.
    Done,
    /// A step could not be done; the rest is dropped.
    Failed(String),
}

/// An order that has no result yet.
#[derive(Debug, Clone, PartialEq)]
struct UnderWay {
    action: Action,
    /// Give it again then.
    again: SimTime,
    /// For [`Step::Served`]: what is expected, and how often it may still be asked.
    expected: Option<(VersionId, Digest, u32)>,
}

/// Carries out one plan at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Executor {
    controller: ControllerId,
    patience: Span,
    epoch: u32,
    next_id: u64,
    steps: VecDeque<Step>,
    under_way: Option<UnderWay>,
    /// A pause: (when it ends, gate, when it ends whatever the gate says).
    pause: Option<(SimTime, Option<SignalId>, SimTime)>,
    /// The weights that the router confirmed last.
    split: Vec<(VersionId, Weight)>,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
}

/// Times that replicas are asked what they serve before a revert counts as failed.
pub const SERVED_RETRIES: u32 = 5;

impl Executor {
    /// No plan yet. An order without a result is given again after `patience`.
    #[must_use]
    pub const fn new(controller: ControllerId, patience: Span) -> Self {
        Self {
            controller,
            patience,
            epoch: 0,
            next_id: 0,
            steps: VecDeque::new(),
            under_way: None,
            pause: None,
            split: Vec::new(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Replaces the plan. Orders of the old one are superseded: a world refuses them from now on.
    pub fn begin(&mut self, now: SimTime, steps: Vec<Step>) -> Progress {
        self.epoch += 1;
        self.steps = steps.into();
        self.under_way = None;
        self.pause = None;
        self.advance(now)
    }

    /// Gives an order beside the plan, without waiting for its end.
    pub fn aside(&mut self, kind: ActionKind) {
        let action = self.action(kind);
        self.actions.push_back(action);
    }

    /// Whether a plan is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.under_way.is_some() || self.pause.is_some() || !self.steps.is_empty()
    }

    /// The weight of a version as the router confirmed it last; none before it confirmed any.
    #[must_use]
    pub fn weight(&self, version: VersionId) -> Weight {
        self.split.iter().find(|(v, _)| *v == version).map_or(Weight::NONE, |&(_, weight)| weight)
    }

    /// The next order to hand to the plant.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next fact to record.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Executor::handle_timeout`] wants to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<SimTime> {
        match (&self.under_way, self.pause) {
            (Some(order), _) => Some(order.again),
            (None, Some((until, ..))) => Some(until),
            (None, None) => None,
        }
    }

    /// Time has passed: a pause may be over, an order may have to be given again. `gate_open` answers for a gate.
    pub fn handle_timeout(&mut self, now: SimTime, gate_open: impl Fn(SignalId) -> bool) -> Progress {
        if let Some(order) = &mut self.under_way {
            if now >= order.again {
                order.again = now + self.patience;
                self.actions.push_back(order.action.clone());
            }
            return Progress::Open;
        }
        if let Some((until, gate, latest)) = self.pause {
            if now < until {
                return Progress::Open;
            }
            if now < latest && gate.is_some_and(|signal| !gate_open(signal)) {
                self.pause = Some(((now + GATE_LOOK).min(latest), gate, latest));
                return Progress::Open;
            }
            self.pause = None;
            return self.advance(now);
        }
        Progress::Open
    }

    /// An order ended. A result that belongs to no order under way changes nothing.
    pub fn handle_result(&mut self, now: SimTime, result: &ActionResult) -> Progress {
        let Some(order) = self.under_way.as_mut().filter(|o| o.action.id == result.action) else {
            return Progress::Open;
        };
        match &result.end {
            ActionEnd::Ok if order.expected.is_some() => Progress::Open,
            ActionEnd::Ok => {
                if let ActionKind::SetWeights(split) = &order.action.kind {
                    self.split.clone_from(split);
                }
                self.under_way = None;
                self.advance(now)
            }
            ActionEnd::Err(reason) => {
                let reason = reason.clone();
                self.fail(reason)
            }
            ActionEnd::Lost => {
                order.again = now + self.patience;
                self.actions.push_back(order.action.clone());
                Progress::Open
            }
        }
    }

    /// The answer to a query of the plan.
    pub fn handle_answer(&mut self, now: SimTime, result: &QueryResult) -> Progress {
        let Some((version, digest, retries)) =
            self.under_way.as_ref().filter(|o| o.action.id == result.action).and_then(|o| o.expected)
        else {
            return Progress::Open;
        };
        let problem = match &result.answer {
            Answer::Served(served) if served.is_empty() => "no replica answers".to_owned(),
            Answer::Served(served) => match served.iter().find(|(_, v, d)| *v != version || *d != digest) {
                None => {
                    let replicas = served.len() as u32;
                    self.events.push_back(Event::RevertDone { to: version, digest, replicas });
                    self.under_way = None;
                    return self.advance(now);
                }
                Some((replica, _, found)) => format!("replica {} serves {}", replica.0, found.short()),
            },
            Answer::Error(why) => why.clone(),
            Answer::Empty | Answer::Series(_) => "no answer to what is served".to_owned(),
        };
        if retries == 0 {
            return self.fail(problem);
        }
        self.under_way = None;
        self.steps.push_front(Step::Served { version, digest, retries: retries - 1 });
        self.pause = Some((now + ASK_AGAIN, None, now + ASK_AGAIN));
        Progress::Open
    }

    fn fail(&mut self, reason: String) -> Progress {
        self.steps.clear();
        self.under_way = None;
        self.pause = None;
        Progress::Failed(reason)
    }

    fn action(&mut self, kind: ActionKind) -> Action {
        let id = ActionId(self.next_id);
        self.next_id += 1;
        Action { id, epoch: self.epoch, controller: self.controller, kind }
    }

    fn advance(&mut self, now: SimTime) -> Progress {
        while let Some(step) = self.steps.pop_front() {
            let (kind, expected) = match step {
                Step::Tell(event) => {
                    self.events.push_back(event);
                    continue;
                }
                Step::Pause { span, gate, patience } => {
                    self.pause = Some((now + span, gate, now + span + patience));
                    return Progress::Open;
                }
                Step::Order(kind) => (kind, None),
                Step::Served { version, digest, retries } => {
                    (ActionKind::Query(Query::Served), Some((version, digest, retries)))
                }
            };
            let action = self.action(kind);
            self.actions.push_back(action.clone());
            self.under_way = Some(UnderWay { action, again: now + self.patience, expected });
            return Progress::Open;
        }
        Progress::Done
    }
}

/// How often a gate is looked at while it is shut.
const GATE_LOOK: Span = Span::secs(1);
/// Between two questions to replicas what they serve.
const ASK_AGAIN: Span = Span::secs(1);
