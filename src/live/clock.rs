//! Owns the wall clock of a live run: real instants as [`SimTime`] since the start of the trial, and back.

use crate::time::{SimTime, Span};
use std::time::{Duration, Instant};

/// A clock that started with the trial.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock whose zero is so far in the future.
    #[expect(clippy::disallowed_methods, reason = "live runs in real time")]
    pub(crate) fn starting_in(span: Duration) -> Self {
        Self { start: Instant::now() + span }
    }

    /// The time since the start; zero before it.
    #[expect(clippy::disallowed_methods, reason = "live runs in real time")]
    pub(crate) fn now(&self) -> SimTime {
        let passed = Instant::now().saturating_duration_since(self.start);
        SimTime(u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX))
    }

    /// How long until an instant; nothing if it has passed.
    #[expect(clippy::disallowed_methods, reason = "live runs in real time")]
    pub(crate) fn until(&self, at: SimTime) -> Duration {
        let at = self.start + Duration::from_nanos(at.0.min(FAR.0));
        at.saturating_duration_since(Instant::now())
    }

    /// The instant itself, for timers.
    pub(crate) fn instant(&self, at: SimTime) -> Instant {
        self.start + Duration::from_nanos(at.0.min(FAR.0))
    }
}

/// A year: what is later than this is never waited for, and an `Instant` can still hold it.
const FAR: Span = Span::secs(365 * 86_400);

/// A span as the host counts it.
pub(crate) const fn real(span: Span) -> Duration {
    Duration::from_nanos(span.0)
}
