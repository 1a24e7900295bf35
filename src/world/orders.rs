//! Owns the orders a plant has seen: each has one end, a repeated one has no further effect, an older plan's is refused.

use crate::event::{Action, ActionEnd, ActionResult};
use crate::id::{ActionId, ControllerId, VersionId};
use std::collections::BTreeMap;

/// What to do with an order that arrives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// Carry it out, and say how it ended.
    New,
    /// It was seen before and is still under way.
    UnderWay,
    /// It was seen before and ended so: say it again.
    Over(ActionEnd),
    /// It is of a plan that a newer one has replaced: it ends with this.
    Superseded(ActionEnd),
}

/// Orders and their ends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Orders {
    ends: BTreeMap<(ControllerId, ActionId), Option<ActionEnd>>,
    epochs: BTreeMap<ControllerId, u32>,
    /// Scale orders under way: (version, who, which).
    scaling: Vec<(VersionId, ControllerId, ActionId)>,
}

impl Orders {
    /// Takes note of an order.
    pub fn admit(&mut self, order: &Action) -> Admission {
        let key = (order.controller, order.id);
        match self.ends.get(&key) {
            None => {}
            Some(None) => return Admission::UnderWay,
            // Nobody knows whether it was carried out: it is carried out again.
            Some(Some(ActionEnd::Lost)) => {}
            Some(Some(end)) => return Admission::Over(end.clone()),
        }
        self.ends.insert(key, None);
        let newest = self.epochs.entry(order.controller).or_default();
        if order.epoch < *newest {
            return Admission::Superseded(ActionEnd::Err(format!("order of plan {} after plan {newest}", order.epoch)));
        }
        *newest = order.epoch;
        Admission::New
    }

    /// Takes note of an order's end; its result.
    pub fn end(&mut self, controller: ControllerId, action: ActionId, end: ActionEnd) -> ActionResult {
        self.ends.insert((controller, action), Some(end.clone()));
        ActionResult { action, end }
    }

    /// Whether a newer plan of the same controller has been seen: an order of this epoch has no say any more.
    #[must_use]
    pub fn is_superseded(&self, controller: ControllerId, epoch: u32) -> bool {
        self.epochs.get(&controller).is_some_and(|newest| epoch < *newest)
    }

    /// A scale order is under way until its pool is what it should be.
    pub fn scale(&mut self, version: VersionId, controller: ControllerId, action: ActionId) {
        self.scaling.push((version, controller, action));
    }

    /// The scale orders of a version that were under way, which end now.
    pub fn scaled(&mut self, version: VersionId) -> Vec<(ControllerId, ActionId)> {
        let (done, left) = std::mem::take(&mut self.scaling).into_iter().partition(|(v, ..)| *v == version);
        self.scaling = left;
        let done: Vec<(VersionId, ControllerId, ActionId)> = done;
        done.into_iter().map(|(_, controller, action)| (controller, action)).collect()
    }
}
