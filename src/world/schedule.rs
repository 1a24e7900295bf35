//! Owns what the plant asks of its driver: events to come back at a time, facts to record, inputs to hand on.

use crate::event::{Event, Input, RequestEnd};
use crate::id::{ReplicaId, SourceId};
use crate::time::SimTime;

/// The order of events at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// A fault starts or ends.
    Fault,
    /// Work is done; a replica enters its next state.
    Completion,
    /// A request comes.
    Arrival,
    /// Telemetry is read.
    Sample,
    /// An order reaches the plant.
    Action,
    /// Something reaches a controller.
    Result,
    /// Somebody gives up waiting.
    Timeout,
}

/// A place in the total order `(time, class, entity, sequence)`, where the sequence is the entity's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// When.
    pub at: SimTime,
    /// What kind.
    pub class: Class,
    /// Whose, within the class.
    pub entity: u32,
    /// Its place among that entity's own events.
    pub seq: u64,
}

/// What the plant wants to be told when its time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorldEvent {
    /// The next request of a source.
    Arrival(SourceId),
    /// The end of a use of a slot.
    Completion {
        /// Of which replica.
        replica: ReplicaId,
        /// Which slot.
        slot: u32,
        /// Which use.
        token: u32,
    },
    /// The user of a slot gives up.
    GiveUp {
        /// Of which replica.
        replica: ReplicaId,
        /// Which slot.
        slot: u32,
        /// Which use.
        token: u32,
    },
    /// A replica enters its next state.
    Lifecycle(ReplicaId),
    /// A fault starts, by place in the configuration.
    FaultStart(u16),
    /// A fault ends.
    FaultEnd(u16),
    /// A fault that acts again and again does.
    FaultAgain(u16),
    /// Telemetry is read for the n-th time.
    Scrape(u64),
}

/// What came out of handling one event. The driver empties it.
#[derive(Debug, Clone, Default)]
pub struct Effects {
    /// Events to come back.
    pub schedule: Vec<(Key, WorldEvent)>,
    /// Facts, with the time they are about.
    pub events: Vec<(SimTime, Event)>,
    /// Ended requests, in the order they are told.
    pub ends: Vec<RequestEnd>,
    /// What reaches controllers, and when.
    pub inputs: Vec<(SimTime, Input)>,
}
