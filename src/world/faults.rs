//! Owns which declared faults act at a time, and what the state of the plant is under them. They act on bytes, features,
//! queues and clocks, never on a signal.
//!
//! [`Faults`] is the state machine, without a plant: the simulated plant and real replicas are both driven by it, so that a
//! fault begins, leaves with its version and comes back in the same way in both.

use crate::artifact::Artifact;
use crate::digest::{hex, keyed};
use crate::event::Event;
use crate::id::{FaultId, VersionId};
use crate::rng::{Seed, Stream};
use crate::time::{SimTime, Span};
use crate::world::config::{Bound, Effect, Fault, Version, WorldConfig};
use crate::world::plant::FaultSet;
use crate::world::router::Router;
use std::sync::Arc;

/// A fault took hold or let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// Which.
    pub fault: FaultId,
    /// `true`: it acts from now on; `false`: no longer.
    pub active: bool,
}

impl Transition {
    /// The same as a recorded fact.
    #[must_use]
    pub const fn event(self) -> Event {
        let Self { fault, active } = self;
        if active { Event::FaultStarted { fault } } else { Event::FaultEnded { fault } }
    }
}

/// One declared fault in one run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FaultState {
    /// It takes part in this run and its chance came up.
    happens: bool,
    /// It has taken hold.
    started: bool,
    /// It acts now.
    active: bool,
    /// It has acted on a version with traffic.
    spent: bool,
}

impl FaultState {
    /// Draws whether the fault happens in this trial. The draw has a stream of its own.
    fn new(fault: &Fault, takes_part: bool, seed: Seed) -> Self {
        let luck = Stream::named(seed, &format!("fault/{}", fault.name), "chance").uniform();
        Self { happens: takes_part && luck < fault.chance, started: false, active: false, spent: false }
    }
}

/// The declared faults in one run. Indices are those of [`FaultId`].
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    config: Arc<WorldConfig>,
    states: Vec<FaultState>,
}

impl Faults {
    /// Nothing has begun. `takes_part`: the faults of this run; one that is not listed takes no part.
    #[must_use]
    pub fn new(config: &Arc<WorldConfig>, takes_part: &FaultSet, seed: Seed) -> Self {
        let on = |i: usize| takes_part.get(i).copied().unwrap_or(false);
        let states = config.faults.iter().enumerate().map(|(i, fault)| FaultState::new(fault, on(i), seed)).collect();
        Self { config: Arc::clone(config), states }
    }

    /// The plant they act on.
    #[must_use]
    pub const fn config(&self) -> &Arc<WorldConfig> {
        &self.config
    }

    /// The instants of the faults that happen and have one of their own: (when, which, `true`: it starts, `false`: it ends
    /// by itself). A bad release has none: it begins with its version's traffic.
    #[must_use]
    pub fn scheduled(&self) -> Vec<(SimTime, u16, bool)> {
        let mut instants = Vec::new();
        for (i, (fault, state)) in self.config.faults.iter().zip(&self.states).enumerate() {
            if !state.happens || matches!(fault.effect, Effect::BadRelease { .. }) {
                continue;
            }
            instants.push((fault.at, i as u16, true));
            instants.extend(fault.until.map(|until| (until, i as u16, false)));
        }
        instants
    }

    /// The instant of a fault has come. One that is bound to a version without traffic takes hold and lets go at once, to
    /// come back with the traffic: only the last transition of a fault counts.
    pub fn start(&mut self, now: SimTime, i: u16, router: &Router) -> Vec<Transition> {
        let Some(state) = self.states.get_mut(usize::from(i)) else { return Vec::new() };
        (state.started, state.active) = (true, true);
        let mut all = vec![Transition { fault: FaultId(i), active: true }];
        // What is bound to a version that nobody is sent to does not act.
        all.extend(self.versions_in_traffic(now, router));
        all
    }

    /// A fault ends by itself.
    pub fn end(&mut self, i: u16) -> Vec<Transition> {
        match self.states.get_mut(usize::from(i)) {
            Some(state) if state.active => {
                state.active = false;
                vec![Transition { fault: FaultId(i), active: false }]
            }
            _ => Vec::new(),
        }
    }

    /// The router has new weights: starts what waits for a version to get traffic, and ends what leaves with a version.
    pub fn versions_in_traffic(&mut self, now: SimTime, router: &Router) -> Vec<Transition> {
        let mut all = Vec::new();
        for (i, (fault, state)) in self.config.faults.iter().zip(&mut self.states).enumerate() {
            let Some(version) = fault.effect.bound_to() else { continue };
            let in_traffic = router.weight(version).0 > 0;
            // A bad release acts from its first traffic on; rot stays on the disk, and whatever slows, stops or cuts off a
            // version is there as long as it lasts: they are back when the version is. Who was killed once was killed.
            let over = fault.until.is_some_and(|until| now >= until);
            let acts = match fault.effect {
                Effect::BadRelease { .. } => state.happens,
                Effect::Crash { every: None, .. } => state.started && !state.spent,
                _ => state.started && !over,
            };
            let active = in_traffic && (acts || state.active);
            state.spent |= active;
            if active != state.active {
                state.started |= active;
                state.active = active;
                all.push(Transition { fault: FaultId(i as u16), active });
            }
        }
        all
    }

    /// Whether a fault happens in this run at all.
    #[must_use]
    pub fn happens(&self, i: usize) -> bool {
        self.states.get(i).is_some_and(|state| state.happens)
    }

    /// Whether a fault acts now.
    #[must_use]
    pub fn is_active(&self, i: usize) -> bool {
        self.states.get(i).is_some_and(|state| state.active)
    }

    /// Whether a fault has taken hold at any time so far.
    #[must_use]
    pub fn has_started(&self, i: usize) -> bool {
        self.states.get(i).is_some_and(|state| state.started)
    }

    /// What a version ships in this run, and whether that is a bad release: one that does not happen ships its clean twin.
    #[must_use]
    pub fn shipped(&self, version: VersionId) -> (&Version, bool) {
        let mut bad = false;
        for (fault, state) in self.config.faults.iter().zip(&self.states) {
            if let Effect::BadRelease { version: v, clean } = &fault.effect
                && *v == version
            {
                if !state.happens {
                    return (clean, false);
                }
                bad = true;
            }
        }
        (&self.config.versions[version.index()], bad)
    }

    /// The bytes a fetch of a version brings now, whether a load compares the digest, and whether they rotted.
    #[must_use]
    pub fn on_disk(&self, version: VersionId) -> (Arc<Artifact>, bool, bool) {
        let mut bytes = (Arc::clone(&self.shipped(version).0.artifact), true, false);
        for (fault, state) in self.config.faults.iter().zip(&self.states) {
            if let Effect::CorruptWeights { version: v, corrupted, checked, .. } = &fault.effect
                && *v == version
                && state.started
            {
                bytes = (Arc::clone(corrupted), *checked, true);
            }
        }
        bytes
    }

    /// A service time under the faults that act now. `host`: the replica's place in its pool.
    #[must_use]
    pub fn slowed(&self, base: Span, version: VersionId, host: u32) -> Span {
        let active = self.config.faults.iter().zip(&self.states).filter(|(_, state)| state.active);
        active.fold(base, |span, (fault, _)| fault.effect.slow(span, version, host))
    }

    /// The digests of the instants of the faults that happen, by stream name: their exogenous part. Those that wait for a
    /// version to get traffic have no instant of their own.
    pub fn digests(&self) -> impl Iterator<Item = (String, String)> {
        let happening = self.config.faults.iter().zip(&self.states).filter(|(_, state)| state.happens);
        happening.map(|(fault, _)| {
            let until = fault.until.unwrap_or(SimTime::NEVER);
            let digest = keyed(&[fault.name.as_bytes(), &fault.at.0.to_le_bytes(), &until.0.to_le_bytes()]);
            (format!("fault/{}", fault.name), hex(&digest))
        })
    }
}

impl Effect {
    /// Service time under this effect.
    fn slow(&self, span: Span, version: VersionId, host: u32) -> Span {
        match *self {
            Self::LatencySpike { bound, factor, add } => {
                let hit = match bound {
                    Bound::Version(v) => v == version,
                    Bound::Hosts(n) => host < n,
                };
                if hit { Span::from_secs_f64(span.as_secs_f64() * factor) + add } else { span }
            }
            _ => span,
        }
    }

    /// The version it lives and leaves with.
    #[must_use]
    pub const fn bound_to(&self) -> Option<VersionId> {
        match *self {
            Self::CorruptWeights { version, .. }
            | Self::BadRelease { version, .. }
            | Self::Crash { version, .. }
            | Self::Stall { version, .. }
            | Self::Cut { version, .. }
            | Self::Delay { version, .. }
            | Self::LatencySpike { bound: Bound::Version(version), .. } => Some(version),
            _ => None,
        }
    }
}
