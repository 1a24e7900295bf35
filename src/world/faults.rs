//! Owns what faults do to the plant while they last. They act on bytes, features, queues and clocks, never on a signal.

use crate::event::Event;
use crate::id::{FaultId, VersionId};
use crate::rng::{Seed, Stream};
use crate::time::{SimTime, Span};
use crate::world::config::{Bound, Effect, Fault, Version};
use crate::world::inference::RuntimeError;
use crate::world::plant::World;
use crate::world::predictions::Predictions;
use crate::world::schedule::{Class, Effects, Key, WorldEvent};

/// One declared fault in one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FaultState {
    /// It takes part in this run and its chance came up.
    happens: bool,
    /// It has taken hold.
    pub started: bool,
    /// It acts now.
    pub active: bool,
}

impl FaultState {
    /// Draws whether the fault happens in this trial. The draw has a stream of its own.
    #[must_use]
    pub(crate) fn new(fault: &Fault, takes_part: bool, seed: Seed) -> Self {
        let luck = Stream::named(seed, &format!("fault/{}", fault.name), "chance").uniform();
        Self { happens: takes_part && luck < fault.chance, started: false, active: false }
    }

    /// Whether it happens in this run at all.
    #[must_use]
    pub(crate) const fn happens(&self) -> bool {
        self.happens
    }
}

impl Effect {
    /// Service time under this effect.
    pub(crate) fn slow(&self, span: Span, version: VersionId, host: u32) -> Span {
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
    pub(crate) const fn bound_to(&self) -> Option<VersionId> {
        match *self {
            Self::CorruptWeights { version, .. }
            | Self::BadRelease { version, .. }
            | Self::LatencySpike { bound: Bound::Version(version), .. } => Some(version),
            _ => None,
        }
    }
}

impl World {
    pub(crate) fn schedule_faults(&self, out: &mut Effects) {
        for (i, (fault, state)) in self.config.faults.iter().zip(&self.faults).enumerate() {
            let waits_for_traffic = matches!(fault.effect, Effect::BadRelease { .. });
            if !state.happens || waits_for_traffic {
                continue;
            }
            let key = |at, seq| Key { at, class: Class::Fault, entity: i as u32, seq };
            out.schedule.push((key(fault.at, 0), WorldEvent::FaultStart(i as u16)));
            if let Some(until) = fault.until {
                out.schedule.push((key(until, 1), WorldEvent::FaultEnd(i as u16)));
            }
        }
    }

    pub(crate) fn start_fault(
        &mut self,
        now: SimTime,
        i: u16,
        models: &mut Predictions,
        out: &mut Effects,
    ) -> Result<(), RuntimeError> {
        let state = &mut self.faults[usize::from(i)];
        state.started = true;
        state.active = true;
        out.events.push((now, Event::FaultStarted { fault: FaultId(i) }));
        let config = std::sync::Arc::clone(&self.config);
        // What is bound to a version that nobody is sent to does not act.
        self.versions_in_traffic(now, out);
        if let Effect::CorruptWeights { version, corrupted, mapped: true, .. } = &config.faults[usize::from(i)].effect {
            // Replicas serve from pages mapped from the file: those that run see the rot at once.
            if !models_load(models, corrupted)? {
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

    pub(crate) fn end_fault(&mut self, now: SimTime, i: u16, out: &mut Effects) {
        let state = &mut self.faults[usize::from(i)];
        if state.active {
            state.active = false;
            out.events.push((now, Event::FaultEnded { fault: FaultId(i) }));
        }
    }

    /// Starts what waits for a version to get traffic, and ends what leaves with a version.
    pub(crate) fn versions_in_traffic(&mut self, now: SimTime, out: &mut Effects) {
        for i in 0..self.faults.len() {
            let effect = &self.config.faults[i].effect;
            let Some(version) = effect.bound_to() else { continue };
            let in_traffic = self.router.weight(version).0 > 0;
            let state = &mut self.faults[i];
            // A bad release acts from its first traffic on; rot stays on the disk, and whatever slows a version is there as
            // long as it lasts: both are back when the version is.
            let over = self.config.faults[i].until.is_some_and(|until| now >= until);
            let acts = match effect {
                Effect::BadRelease { .. } => state.happens,
                _ => state.started && !over,
            };
            let fault = FaultId(i as u16);
            if in_traffic && acts && !state.active {
                state.started = true;
                state.active = true;
                out.events.push((now, Event::FaultStarted { fault }));
            } else if !in_traffic && state.active {
                state.active = false;
                out.events.push((now, Event::FaultEnded { fault }));
            }
        }
    }

    /// What a version ships in this run: a bad release that does not happen ships its clean twin.
    pub(crate) fn shipped(&self, version: VersionId) -> (&Version, bool) {
        let mut tainted = false;
        for (fault, state) in self.config.faults.iter().zip(&self.faults) {
            if let Effect::BadRelease { version: v, clean } = &fault.effect
                && *v == version
            {
                if !state.happens {
                    return (clean, false);
                }
                tainted = true;
            }
        }
        (&self.config.versions[version.index()], tainted)
    }
}

fn models_load(models: &mut Predictions, artifact: &crate::artifact::Artifact) -> Result<bool, RuntimeError> {
    Ok(matches!(models.load(artifact)?, crate::world::inference::LoadOutcome::Loaded))
}
