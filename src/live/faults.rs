//! Owns what faults do for real: bytes on disk, signals to processes, latency in replicas, networks that are cut or slow.

use crate::digest::Digest;
use crate::event::{Event, ReplicaState};
use crate::id::{ReplicaId, VersionId};
use crate::live::LiveError;
use crate::live::client::{Call, segment};
use crate::live::clock::real;
use crate::live::driver::{Driver, Due};
use crate::live::fleet::Seat;
use crate::live::message::Happened;
use crate::live::proxy::Line;
use crate::live::v2::LoadRequest;
use crate::plan::Plan;
use crate::time::{SimTime, Span};
use crate::world::config::{Bound, Effect};
use crate::world::faults::{Faults, Transition};
use std::sync::Arc;
use std::time::Duration;

/// Faults that cannot be made here: a replica takes latencies within limits, and a server that was not started here has no
/// process and no disk of ours.
pub(crate) fn check(plan: &Plan, faults: &Faults) -> Result<(), LiveError> {
    let happening = || plan.world.faults.iter().enumerate().filter(|(i, _)| faults.happens(*i)).map(|(_, fault)| fault);
    let mut refused: Vec<String> = Vec::new();
    for fault in happening() {
        if let Effect::LatencySpike { factor, add, .. } = fault.effect
            && (!(1.0..=FACTOR_MAX).contains(&factor) || add > ADD_MAX)
        {
            let name = &fault.name;
            refused.push(format!(
                "fault `{name}`: a replica can be made 1 to {FACTOR_MAX} times slower, and {ADD_MAX} at most"
            ));
        }
    }
    if plan.foreign.is_none() {
        return if refused.is_empty() { Ok(()) } else { Err(LiveError::Unsupported(refused)) };
    }
    for (i, fault) in plan.world.faults.iter().enumerate() {
        if matches!(fault.effect, Effect::BadRelease { .. }) && !faults.happens(i) {
            let name = &fault.name;
            refused.push(format!(
                "fault `{name}` cannot be left out: which model a foreign server serves is not chosen here"
            ));
        }
    }
    let process = |effect: &Effect| {
        matches!(
            effect,
            Effect::CorruptWeights { .. } | Effect::LatencySpike { .. } | Effect::Crash { .. } | Effect::Stall { .. }
        )
    };
    for fault in happening().filter(|fault| process(&fault.effect)) {
        let name = &fault.name;
        refused.push(format!("fault `{name}` acts on a replica's process or disk, and foreign servers have none here"));
    }
    if refused.is_empty() { Ok(()) } else { Err(LiveError::Unsupported(refused)) }
}

impl Driver<'_> {
    /// Faults took hold or let go.
    pub(crate) fn apply_faults(&mut self, transitions: &[Transition]) {
        for transition in transitions {
            let i = transition.fault.index();
            // Only the last transition of a fault counts.
            if self.faults.is_active(i) != transition.active {
                continue;
            }
            match (self.config.faults[i].effect.clone(), transition.active) {
                (Effect::Crash { version, replicas, every }, true) => self.strike(i as u16, version, replicas, every),
                (
                    Effect::Stall { version, replicas }
                    | Effect::Cut { version, replicas }
                    | Effect::Delay { version, replicas, .. },
                    true,
                ) => {
                    let hit = self.first_ready(version, replicas);
                    self.hit[i].clone_from(&hit);
                    hit.into_iter().for_each(|id| self.apply_to(id));
                }
                (Effect::Stall { .. } | Effect::Cut { .. } | Effect::Delay { .. }, false) => {
                    let released = std::mem::take(&mut self.hit[i]);
                    released.into_iter().for_each(|id| self.apply_to(id));
                }
                (Effect::LatencySpike { .. }, _) => {
                    let all: Vec<ReplicaId> = self.seats.iter().map(|s| s.id).collect();
                    all.into_iter().for_each(|id| self.apply_to(id));
                }
                _ => {}
            }
        }
    }

    /// The instant of a fault has come, whether or not its version has traffic: bytes rot on the disk.
    pub(crate) fn fault_started(&mut self, i: u16) {
        let Effect::CorruptWeights { version, corrupted, mapped, .. } =
            self.config.faults[usize::from(i)].effect.clone()
        else {
            return;
        };
        if let Err(e) = self.store.write(version, &corrupted.bytes) {
            self.broken = Some(format!("the artifact store cannot be written: {e}"));
            return;
        }
        if !mapped {
            return;
        }
        let running: Vec<ReplicaId> = self
            .seats
            .iter()
            .filter(|s| s.version == version && s.state == ReplicaState::Ready)
            .map(|s| s.id)
            .collect();
        running.into_iter().for_each(|id| self.load_anew(id, &corrupted.bytes));
    }

    /// A replica that became ready with the bytes from before they rotted: mapped pages have rotted under it.
    pub(crate) fn catch_up(&mut self, id: ReplicaId, loaded: Digest) {
        let version = self.seats[id.index()].version;
        for (i, fault) in Arc::clone(&self.config).faults.iter().enumerate() {
            if let Effect::CorruptWeights { version: v, corrupted, mapped: true, .. } = &fault.effect
                && *v == version
                && self.faults.has_started(i)
                && loaded != corrupted.digest
            {
                self.load_anew(id, &corrupted.bytes);
            }
        }
    }

    /// Hands a replica that runs other bytes to serve.
    fn load_anew(&self, id: ReplicaId, bytes: &[u8]) {
        let seat = &self.seats[id.index()];
        let Some(server) = seat.server else { return };
        // Divergence: ONNX Runtime keeps a copy of its own of the weights, so rot in pages mapped from the file is brought in by
        // handing the replica the bytes that are now in the file, behind its digest check, to load in place. Until that is done
        // (some milliseconds) the old bytes answer; bytes that do not load leave the old ones in service, as in the simulated
        // plant.
        let body = LoadRequest::of_bytes("1", bytes).encode();
        let path = format!("/v2/repository/models/{}/load", segment(&self.ports[seat.version.index()].model));
        let (http, mailbox, asked) = (self.http.clone(), self.mailbox.clone(), self.identify(seat));
        tokio::spawn(async move {
            let loaded = match http.call(Call::post(server, &path, body), RELOAD_LIMIT).await {
                Ok(reply) if reply.status.is_success() => asked.ask(RELOAD_LIMIT).await,
                Ok(reply) => Err(reply.complaint()),
                Err(e) => Err(e.to_string()),
            };
            mailbox.tell(Happened::Reloaded(id, loaded));
        });
    }

    pub(crate) fn reloaded(&mut self, id: ReplicaId, loaded: Result<Digest, String>) {
        let version = self.seats[id.index()].version;
        match loaded {
            Ok(digest) => self.record(Event::Loaded { replica: id, version, digest }),
            Err(reason) => self.record(Event::LoadFailed { replica: id, version, reason }),
        }
    }

    fn first_ready(&self, version: VersionId, n: u32) -> Vec<ReplicaId> {
        self.pools[version.index()].ready.iter().take(n as usize).copied().collect()
    }

    /// Kills replicas, now and every so often while the fault acts.
    fn strike(&mut self, i: u16, version: VersionId, replicas: u32, every: Option<Span>) {
        for id in self.first_ready(version, replicas) {
            self.seats[id.index()].struck = true;
            self.kill(id);
        }
        self.again.remove(&i);
        if let Some(every) = every {
            let at = self.now() + every;
            self.again.insert(i, at);
            self.due(at, Due::Again(i, at));
        }
    }

    /// A crash is due again, unless it has let go, and taken hold anew, since that was planned.
    pub(crate) fn crash_again(&mut self, i: u16, planned: SimTime) {
        if let Effect::Crash { version, replicas, every } = self.config.faults[usize::from(i)].effect
            && self.faults.is_active(usize::from(i))
            && self.again.get(&i) == Some(&planned)
        {
            self.strike(i, version, replicas, every);
        }
    }

    /// Puts a replica under the faults that act on it now.
    pub(crate) fn apply_to(&mut self, id: ReplicaId) {
        let seat = &self.seats[id.index()];
        let (mut line, mut stopped) = (Line::default(), false);
        let (mut factor, mut add) = (1.0, Span::ZERO);
        for (i, fault) in self.config.faults.iter().enumerate() {
            if !self.faults.is_active(i) {
                continue;
            }
            let hit = self.hit[i].contains(&id);
            match fault.effect {
                Effect::Stall { .. } => stopped |= hit,
                Effect::Cut { .. } => line.cut |= hit,
                Effect::Delay { add, .. } if hit => line.delay += real(add),
                Effect::LatencySpike { bound, factor: f, add: a } if slows(bound, seat) => {
                    // One after another, as the simulated plant does: each multiplies and adds to what was before.
                    (factor, add) = (factor * f, Span::from_secs_f64(add.as_secs_f64() * f) + a);
                }
                _ => {}
            }
        }
        if let Some(proxy) = &seat.proxy {
            proxy.set(line);
        }
        if let Some(process) = &seat.process {
            if stopped { process.stop() } else { process.go_on() }
        }
        self.slow(id, factor, add);
    }

    /// Tells a replica how much longer its service takes, if that is news.
    fn slow(&mut self, id: ReplicaId, factor: f64, add: Span) {
        let seat = &mut self.seats[id.index()];
        let (Some(server), true) = (seat.server, seat.process.is_some()) else { return };
        if seat.slowed.replace((factor, add)) == Some((factor, add)) {
            return;
        }
        let body = serde_json::json!({ "add_ns": add.0, "factor": factor }).to_string();
        let (http, mailbox) = (self.http.clone(), self.mailbox.clone());
        tokio::spawn(async move {
            let told = http.call(Call::post(server, "/rollcage/latency", body), RELOAD_LIMIT).await;
            let problem = match told {
                Ok(reply) if reply.status.is_success() => return,
                Ok(reply) => reply.complaint(),
                Err(e) => e.to_string(),
            };
            mailbox.tell(Happened::Unslowed(id, problem));
        });
    }
}

impl Driver<'_> {
    /// A replica did not take a latency: it is told again a little later.
    pub(crate) fn unslowed(&mut self, replica: ReplicaId, why: String) {
        if self.seats[replica.index()].process.is_none() {
            return;
        }
        self.seats[replica.index()].slowed = None;
        self.record(Event::Misbehaved { replica, what: format!("it took no latency: {why}") });
        let at = self.now() + TELL_AGAIN;
        self.due(at, Due::Apply(replica));
    }
}

fn slows(bound: Bound, seat: &Seat) -> bool {
    match bound {
        Bound::Version(version) => version == seat.version,
        Bound::Hosts(n) => seat.host < n,
    }
}

/// The limits of a replica's latency.
const FACTOR_MAX: f64 = 1e6;
const ADD_MAX: Span = Span::secs(60);
/// A replica that could not be told something is told again after this.
const TELL_AGAIN: Span = Span::millis(500);
/// A replica that does not take new bytes, or a latency, within this is not going to.
const RELOAD_LIMIT: Duration = Duration::from_secs(5);
