//! Owns what faults do to the simulated plant as they take hold and let go. Which act at a time is decided in
//! [`crate::world::faults`].

use crate::event::Outcome;
use crate::id::{ReplicaId, VersionId};
use crate::time::SimTime;
use crate::world::config::Effect;
use crate::world::faults::Transition;
use crate::world::inference::{LoadOutcome, RuntimeError};
use crate::world::plant::World;
use crate::world::predictions::Predictions;
use crate::world::replica::Use;
use crate::world::schedule::{Class, Effects, Key, WorldEvent};
use std::sync::Arc;

/// Places of a fault's events in its own order: at one instant its end comes before another turn.
const START: u64 = 0;
const END: u64 = 1;
const AGAIN: u64 = 2;

const fn key(at: SimTime, i: u16, seq: u64) -> Key {
    Key { at, class: Class::Fault, entity: i as u32, seq }
}

impl World {
    pub(crate) fn schedule_faults(&self, out: &mut Effects) {
        out.schedule.extend(self.faults.scheduled().into_iter().map(|(at, i, starts)| match starts {
            true => (key(at, i, START), WorldEvent::FaultStart(i)),
            false => (key(at, i, END), WorldEvent::FaultEnd(i)),
        }));
    }

    pub(crate) fn start_fault(
        &mut self,
        now: SimTime,
        i: u16,
        models: &mut Predictions,
        out: &mut Effects,
    ) -> Result<(), RuntimeError> {
        let transitions = self.faults.start(now, i, &self.router);
        self.change(now, &transitions, models, out)?;
        let config = Arc::clone(&self.config);
        if let Effect::CorruptWeights { version, corrupted, mapped: true, .. } = &config.faults[usize::from(i)].effect {
            // Replicas serve from pages mapped from the file: those that run see the rot at once.
            if !matches!(models.load(corrupted)?, LoadOutcome::Loaded) {
                return Ok(());
            }
            let instance = self.instance(*version, corrupted, true);
            for replica in &mut self.replicas {
                if replica.version == *version && replica.instance.is_some() {
                    replica.instance = Some(instance);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn end_fault(
        &mut self,
        now: SimTime,
        i: u16,
        models: &mut Predictions,
        out: &mut Effects,
    ) -> Result<(), RuntimeError> {
        let transitions = self.faults.end(i);
        self.change(now, &transitions, models, out)
    }

    /// The router has new weights.
    pub(crate) fn versions_in_traffic(
        &mut self,
        now: SimTime,
        models: &mut Predictions,
        out: &mut Effects,
    ) -> Result<(), RuntimeError> {
        let transitions = self.faults.versions_in_traffic(now, &self.router);
        self.change(now, &transitions, models, out)
    }

    /// Records the transitions of one instant and carries them out. Of one fault only the last counts.
    fn change(
        &mut self,
        now: SimTime,
        transitions: &[Transition],
        models: &mut Predictions,
        out: &mut Effects,
    ) -> Result<(), RuntimeError> {
        out.events.extend(transitions.iter().map(|transition| (now, transition.event())));
        for Transition { fault, active } in transitions {
            match (active, self.faults.is_active(fault.index())) {
                (true, true) => self.take_hold(now, fault.0, out),
                (false, false) => self.let_go(now, fault.0, models, out)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn take_hold(&mut self, now: SimTime, i: u16, out: &mut Effects) {
        let (version, replicas) = match self.config.faults[usize::from(i)].effect {
            Effect::Crash { .. } => return self.kill(now, i, out),
            Effect::Stall { version, replicas }
            | Effect::Cut { version, replicas }
            | Effect::Delay { version, replicas, .. } => (version, replicas),
            _ => return,
        };
        for id in self.first_ready(version, replicas) {
            self.hits.push((i, id));
            let replica = &mut self.replicas[id.index()];
            match self.config.faults[usize::from(i)].effect {
                Effect::Stall { .. } => {
                    let give_ups = replica.stall(now);
                    let event = |slot, token| WorldEvent::GiveUp { replica: id, slot, token };
                    self.schedule_uses(id, give_ups, Class::Timeout, event, out);
                }
                Effect::Cut { .. } => replica.cuts += 1,
                Effect::Delay { add, .. } => replica.delay = replica.delay + add,
                _ => {}
            }
        }
    }

    fn let_go(
        &mut self,
        now: SimTime,
        i: u16,
        models: &mut Predictions,
        out: &mut Effects,
    ) -> Result<(), RuntimeError> {
        self.again.remove(&i);
        let (released, rest) = std::mem::take(&mut self.hits).into_iter().partition(|&(fault, _)| fault == i);
        self.hits = rest;
        let released: Vec<(u16, ReplicaId)> = released;
        for (_, id) in released {
            // Whoever gave up before is gone, whatever comes now.
            self.give_up(now, id);
            let replica = &mut self.replicas[id.index()];
            match self.config.faults[usize::from(i)].effect {
                Effect::Stall { .. } => {
                    let done = replica.resume(now);
                    let event = |slot, token| WorldEvent::Completion { replica: id, slot, token };
                    self.schedule_uses(id, done, Class::Completion, event, out);
                }
                Effect::Cut { .. } => {
                    replica.cuts = replica.cuts.saturating_sub(1);
                    if replica.cuts == 0 {
                        for (held, instance, outcome) in std::mem::take(&mut replica.unanswered) {
                            self.answer(now, id, held, instance, outcome);
                        }
                    }
                }
                Effect::Delay { add, .. } => replica.delay = replica.delay - add,
                _ => {}
            }
            while self.replicas[id.index()].takes_in()
                && let Some(held) = self.replicas[id.index()].outside.pop_front()
            {
                self.take_in(now, id, held, models, out)?;
            }
            self.stop_if_drained(now, id, out);
        }
        Ok(())
    }

    fn schedule_uses(
        &mut self,
        id: ReplicaId,
        uses: Vec<Use>,
        class: Class,
        event: impl Fn(u32, u32) -> WorldEvent,
        out: &mut Effects,
    ) {
        for (slot, token, at) in uses {
            let seq = self.replicas[id.index()].next_seq();
            out.schedule.push((Key { at, class, entity: id.0, seq }, event(slot as u32, token)));
        }
    }

    /// A crash acts, and is due again later if it goes on.
    fn kill(&mut self, now: SimTime, i: u16, out: &mut Effects) {
        let Effect::Crash { version, replicas, every } = self.config.faults[usize::from(i)].effect else { return };
        for id in self.first_ready(version, replicas) {
            self.lose(now, id);
            self.crash(now, id, "the process was killed".to_owned(), out);
        }
        if let Some(every) = every {
            let next = now + every;
            if next <= self.config.horizon {
                self.again.insert(i, next);
                out.schedule.push((key(next, i, AGAIN), WorldEvent::FaultAgain(i)));
            }
        }
    }

    pub(crate) fn act_again(&mut self, now: SimTime, i: u16, out: &mut Effects) {
        // The fault may have let go, and taken hold again, since this was scheduled.
        if self.again.get(&i) == Some(&now) {
            self.kill(now, i, out);
        }
    }

    /// Everything a replica is responsible for is lost.
    pub(crate) fn lose(&mut self, now: SimTime, id: ReplicaId) {
        self.give_up(now, id);
        let replica = &mut self.replicas[id.index()];
        let (version, instance) = (replica.version, replica.instance.unwrap_or_default());
        for held in replica.drop_all(now) {
            self.end(held, version, Some(id), instance, Outcome::Lost, now);
        }
    }

    /// Users of replicas that a fault has hit give up as time passes: the router no longer counts them.
    pub(crate) fn give_up_on_hit_replicas(&mut self, now: SimTime) {
        for i in 0..self.hits.len() {
            self.give_up(now, self.hits[i].1);
        }
    }

    fn first_ready(&self, version: VersionId, n: u32) -> Vec<ReplicaId> {
        self.pools[version.index()].ready.iter().take(n as usize).copied().collect()
    }
}
