//! Owns one replica: its life, its bounded queue, its slots of service, and what stops it or cuts it off.

use crate::event::{Outcome, ReplicaState};
use crate::id::{ReplicaId, SourceId, VersionId};
use crate::time::{SimTime, Span};
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
    /// When the work is done; [`SimTime::NEVER`] if it hangs.
    pub done: SimTime,
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
    /// Slot time used up to `used_by`.
    used: Span,
    /// Until when slot time is accounted for.
    used_by: SimTime,
    /// Counts its scheduled events: its own part of the total order.
    pub seq: u64,
    /// Faults that stop its process.
    pub stalls: u32,
    /// Since when it is stopped.
    pub stalled_at: SimTime,
    /// Faults that cut it off from the router.
    pub cuts: u32,
    /// How much later its answers reach their users.
    pub delay: Span,
    /// Requests sent to it that it has not taken in, being stopped or cut off; oldest first.
    pub outside: VecDeque<Held>,
    /// Answers that a cut holds back: (request, model it ran on, how it ended).
    pub unanswered: Vec<(Held, u16, Outcome)>,
}

/// A use of a slot with the time of an event that belongs to it: (slot, token, when).
pub type Use = (usize, u32, SimTime);

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
            used: Span::ZERO,
            used_by: SimTime::ZERO,
            seq: 0,
            stalls: 0,
            stalled_at: SimTime::ZERO,
            cuts: 0,
            delay: Span::ZERO,
            outside: VecDeque::new(),
            unanswered: Vec::new(),
        }
    }

    /// Requests it is responsible for, as far as the router knows.
    #[must_use]
    pub fn load(&self) -> usize {
        self.queue.len() + self.busy as usize + self.outside.len() + self.unanswered.len()
    }

    /// The time its slots have worked, summed over slots: a stopped process works on nothing, and what nobody waits for any more
    /// is worked on all the same.
    #[must_use]
    pub fn cpu(&self, now: SimTime) -> Span {
        let at_work = if self.stalls == 0 { u64::from(self.busy) } else { 0 };
        self.used + Span(now.since(self.used_by).0.saturating_mul(at_work))
    }

    /// Accounts for slot time up to now: to be called before what works changes.
    fn account(&mut self, now: SimTime) {
        (self.used, self.used_by) = (self.cpu(now), now);
    }

    /// Whether it takes in what is sent to it.
    #[must_use]
    pub const fn takes_in(&self) -> bool {
        self.stalls == 0 && self.cuts == 0
    }

    /// Its process is stopped. The users in its slots whose work would have been done in time may have to give up now: when.
    pub fn stall(&mut self, now: SimTime) -> Vec<Use> {
        self.account(now);
        self.stalls += 1;
        if self.stalls > 1 {
            return Vec::new();
        }
        self.stalled_at = now;
        let in_time = |s: &Slot| s.held.filter(|held| s.busy && s.done <= held.deadline);
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(i, s)| in_time(s).map(|held| (i, s.token, held.deadline))).collect()
    }

    /// Its process goes on: each work under way takes as much longer as it stood still. When it is done.
    pub fn resume(&mut self, now: SimTime) -> Vec<Use> {
        self.account(now);
        self.stalls = self.stalls.saturating_sub(1);
        if self.stalls > 0 {
            return Vec::new();
        }
        let stood = now.since(self.stalled_at);
        let slots = self.slots.iter_mut().enumerate().filter(|(_, s)| s.busy && s.done != SimTime::NEVER);
        slots
            .map(|(i, s)| {
                s.done = s.done + stood;
                (i, s.token, s.done)
            })
            .collect()
    }

    /// Takes the place of the next event of this replica in its own order.
    pub fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// Removes one request that waits and has given up by `now`: in the queue, before the door, or for an answer that is held
    /// back. Deadlines never decrease along a queue (one timeout for all, first come first served), so its front says all.
    pub fn expired(&mut self, now: SimTime) -> Option<Held> {
        let over = |held: &mut Held| held.deadline <= now;
        self.queue.pop_front_if(over).or_else(|| self.outside.pop_front_if(over)).or_else(|| {
            let place = self.unanswered.iter().position(|(held, ..)| held.deadline <= now)?;
            Some(self.unanswered.remove(place).0)
        })
    }

    /// A free slot.
    #[must_use]
    pub fn free_slot(&self) -> Option<usize> {
        if self.busy as usize == self.slots.len() { None } else { self.slots.iter().position(|s| !s.busy) }
    }

    /// Starts a use of a slot now, over at `done`; its token.
    pub fn occupy(&mut self, now: SimTime, slot: usize, held: Held, done: SimTime, instance: u16, fails: bool) -> u32 {
        self.account(now);
        let s = &mut self.slots[slot];
        let token = s.token.wrapping_add(1);
        *s = Slot { held: Some(held), busy: true, done, instance, fails, token };
        self.busy += 1;
        token
    }

    /// Ends a use of a slot if `token` is that use and its work is done `now`: the request in it, if its user still waits, how it
    /// ended, and the model it ran on.
    pub fn complete(&mut self, slot: usize, token: u32, now: SimTime) -> Option<(Option<Held>, Outcome, u16)> {
        if self.stalls > 0 {
            return None;
        }
        self.account(now);
        let s = self.slots.get_mut(slot).filter(|s| s.busy && s.token == token && s.done == now)?;
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

    /// Everything it is responsible for, as it goes away.
    pub fn drop_all(&mut self, now: SimTime) -> Vec<Held> {
        self.account(now);
        let mut held: Vec<Held> = self.queue.drain(..).chain(self.outside.drain(..)).collect();
        held.extend(self.unanswered.drain(..).map(|(held, ..)| held));
        for s in &mut self.slots {
            held.extend(s.held.take());
            s.busy = false;
            s.token = s.token.wrapping_add(1);
        }
        self.busy = 0;
        held
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted_while_it_is_done_and_by_nothing_else() {
        let held = Held { source: SourceId(0), ordinal: 0, deadline: SimTime(15) };
        let mut r = Replica::starting(ReplicaId(0), VersionId(0), 0, 2);
        assert_eq!(r.cpu(SimTime(7)), Span::ZERO);
        let token = r.occupy(SimTime(10), 0, held, SimTime(20), 0, false);
        // Native code that never returns.
        r.occupy(SimTime(12), 1, held, SimTime::NEVER, 0, true);
        assert_eq!(r.cpu(SimTime(14)), Span(4 + 2));
        assert!(r.abandon(0, token).is_some());
        assert_eq!(r.cpu(SimTime(16)), Span(6 + 4), "the user has given up, the work goes on");
        assert!(r.complete(0, token, SimTime(16)).is_none(), "not done yet");
        // Stopped twice, going on when nobody holds it any more: 17 to 30.
        r.stall(SimTime(17));
        r.stall(SimTime(18));
        r.resume(SimTime(25));
        assert_eq!(r.cpu(SimTime(29)), Span(7 + 5));
        assert_eq!(r.resume(SimTime(30)), [(0, token, SimTime(33))]);
        assert!(r.complete(0, token, SimTime(33)).is_some());
        assert_eq!(r.cpu(SimTime(33)), Span(10 + 8), "as long as it takes, whatever came between");
        assert_eq!(r.cpu(SimTime(43)), Span(10 + 18));
        r.stall(SimTime(44));
        r.drop_all(SimTime(50));
        assert_eq!(r.cpu(SimTime(60)), Span(10 + 19), "who is gone uses nothing");
    }
}
