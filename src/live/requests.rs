//! Owns requests in a live run: where each is sent when it comes, and that it ends once.

use crate::event::{Event, Outcome, RequestEnd};
use crate::id::{ReplicaId, VersionId};
use crate::live::dispatch::dispatch;
use crate::live::driver::Driver;
use crate::live::message::{Arrival, Happened, Strange};
use crate::world::traffic::NO_LABEL;
use std::sync::Arc;

impl Driver<'_> {
    pub(crate) fn arrive(&mut self, arrival: Arrival) {
        let (block, slot) = (&arrival.block, arrival.slot);
        let arrived = block.arrived[slot];
        let now = self.now().max(arrived);
        self.observed.lateness.push(now.since(arrived));
        let version = self.router.version(block.route[slot]);
        let request = arrival.request();
        let chosen = self.least_loaded(version, request.ordinal);
        self.open.insert(request, (arrival.clone(), version, chosen));
        let deadline = arrived + self.config.fleet.timeout;
        let end = if now < deadline {
            arrival.unanswered(version, chosen, Outcome::Unavailable, now)
        } else {
            arrival.unanswered(version, chosen, Outcome::TimedOut, deadline)
        };
        let Some(seat) = chosen.and_then(|id| self.seats.get_mut(id.index())) else {
            return self.end(end, &arrival, None);
        };
        let Some(address) = seat.address() else { return self.end(end, &arrival, None) };
        seat.in_flight += 1;
        let (http, ports, mailbox, clock) =
            (self.http.clone(), Arc::clone(&self.ports), self.mailbox.clone(), self.clock);
        tokio::spawn(async move {
            let port = &ports[version.index()];
            let ended = dispatch(&http, port, address, end, &arrival, deadline, clock).await;
            mailbox.tell(Happened::Ended { end: ended.end, arrival, strange: ended.strange });
        });
    }

    /// The ready replica of a version that holds least; ties go round by the request's ordinal.
    fn least_loaded(&self, version: VersionId, ordinal: u64) -> Option<ReplicaId> {
        let ready = &self.pools[version.index()].ready;
        let start = (ordinal as usize).checked_rem(ready.len())?;
        let round = ready[start..].iter().chain(&ready[..start]);
        round.min_by_key(|id| self.seats[id.index()].in_flight).copied()
    }

    /// A request has ended, once: whatever is told of it after that says nothing.
    pub(crate) fn end(&mut self, mut end: RequestEnd, arrival: &Arrival, strange: Option<Strange>) {
        if self.open.remove(&end.request).is_none() {
            return;
        }
        if let Some(id) = end.replica {
            let seat = &mut self.seats[id.index()];
            seat.in_flight = seat.in_flight.saturating_sub(1);
            // What breaks off because a fault killed it needs no telling.
            let news = strange.filter(|s| !(seat.struck && s.kind == "broken") && seat.strange.insert(s.kind));
            end.tainted &= end.outcome.is_answered();
            if let Some(strange) = news {
                self.record(Event::Misbehaved { replica: id, what: strange.what });
            }
        }
        self.telemetry.count(&end);
        if end.outcome.is_answered() {
            self.telemetry.log(&end, &arrival.block, arrival.slot);
            let delay = arrival.block.label_delay[arrival.slot];
            if delay != NO_LABEL {
                self.telemetry.await_label(&end, delay);
            }
        }
        self.recorder.request(&end);
        if let Some(id) = end.replica {
            self.stop_if_drained(id);
        }
    }

    /// Nobody waits any longer: what has not ended timed out at its deadline.
    pub(crate) fn give_up(&mut self) {
        while let Some((arrival, version, replica)) = self.open.values().next().cloned() {
            let deadline = arrival.block.arrived[arrival.slot] + self.config.fleet.timeout;
            let end = arrival.unanswered(version, replica, Outcome::TimedOut, deadline);
            self.end(end, &arrival, None);
        }
    }
}
