//! Owns one replica: its life, its bounded queue, its slots of service.

use crate::event::{Outcome, ReplicaState};
use crate::id::{ReplicaId, SourceId, VersionId};
use crate::time::SimTime;
use std::collections::VecDeque;

/// A request that a replica holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Its source.
    pub source: SourceId,
    /// Its ordinal there.
    pub ordinal: u64,
    /// When its user gives up.
    pub deadline: SimTime,
}

/// One slot of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Slot {
    /// The request in it; `None` while free, or when its user gave up and the work goes on.
    pub held: Option<Held>,
    /// Taken, with or without a user waiting.
    pub busy: bool,
    /// The loaded model it runs on.
    pub instance: u16,
    /// The model's run ends in an error.
    pub fails: bool,
    /// Counts uses of the slot, so that an event of an earlier use is recognised.
    pub token: u32,
}

/// One replica of a model server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// Its number.
    pub id: ReplicaId,
    /// The version it serves.
    pub version: VersionId,
    /// Its place in its pool, which is also the host it runs on.
    pub host: u32,
    /// Where it is in its life.
    pub state: ReplicaState,
    /// The model it has loaded, by place in the world's table.
    pub instance: Option<u16>,
    /// Requests that wait, oldest first.
    pub queue: VecDeque<Held>,
    /// Slots of service.
    pub slots: Vec<Slot>,
    /// Busy slots.
    pub busy: u32,
    /// Counts its scheduled events: its own part of the total order.
    pub seq: u64,
}

impl Replica {
    /// A replica that begins to start.
    #[must_use]
    pub fn starting(id: ReplicaId, version: VersionId, host: u32, concurrency: u32) -> Self {
        Self {
            id,
            version,
            host,
            state: ReplicaState::Fetching,
            instance: None,
            queue: VecDeque::new(),
            slots: vec![Slot::default(); concurrency as usize],
            busy: 0,
            seq: 0,
        }
    }

    /// Requests it is responsible for.
    #[must_use]
    pub fn load(&self) -> usize {
        self.queue.len() + self.busy as usize
    }

    /// Takes the place of the next event of this replica in its own order.
    pub fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// Removes from the front of the queue what has given up by `now`. Deadlines never decrease along a queue (one timeout
    /// for all, first come first served), so this finds all of them.
    pub fn expired(&mut self, now: SimTime) -> Option<Held> {
        let front = *self.queue.front()?;
        (front.deadline <= now).then(|| {
            self.queue.pop_front();
            front
        })
    }

    /// A free slot.
    #[must_use]
    pub fn free_slot(&self) -> Option<usize> {
        if self.busy as usize == self.slots.len() { None } else { self.slots.iter().position(|s| !s.busy) }
    }

    /// Starts a use of a slot; its token.
    pub fn occupy(&mut self, slot: usize, held: Held, instance: u16, fails: bool) -> u32 {
        let s = &mut self.slots[slot];
        let token = s.token.wrapping_add(1);
        *s = Slot { held: Some(held), busy: true, instance, fails, token };
        self.busy += 1;
        token
    }

    /// Ends a use of a slot if `token` is that use: the request in it, if its user still waits, how it ended, and the
    /// model it ran on.
    pub fn complete(&mut self, slot: usize, token: u32) -> Option<(Option<Held>, Outcome, u16)> {
        let s = self.slots.get_mut(slot).filter(|s| s.busy && s.token == token)?;
        let outcome = if s.fails { Outcome::Failed } else { Outcome::Answered };
        let held = s.held.take();
        s.busy = false;
        self.busy -= 1;
        Some((held, outcome, s.instance))
    }

    /// The user of a slot gives up; the work goes on.
    pub fn abandon(&mut self, slot: usize, token: u32) -> Option<(Held, u16)> {
        let s = self.slots.get_mut(slot).filter(|s| s.busy && s.token == token)?;
        Some((s.held.take()?, s.instance))
    }

    /// Everything it holds, as it goes away.
    pub fn drop_all(&mut self) -> Vec<Held> {
        let mut held: Vec<Held> = self.queue.drain(..).collect();
        for s in &mut self.slots {
            held.extend(s.held.take());
            s.busy = false;
            s.token = s.token.wrapping_add(1);
        }
        self.busy = 0;
        held
    }
}
