//! Owns the replica's host time: the only place here that reads a clock or makes a thread wait.

use std::time::{Duration, Instant};

#[expect(clippy::disallowed_methods, reason = "a replica lives in real time")]
pub(super) fn now() -> Instant {
    Instant::now()
}

pub(super) fn since(begun: Instant) -> Duration {
    now().saturating_duration_since(begun)
}

#[expect(clippy::disallowed_methods, reason = "a slot that is made slow is occupied in real time")]
pub(super) fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Seconds of processor time that all threads of this process have used, where the platform tells them.
pub(super) fn cpu_seconds() -> Option<f64> {
    #[cfg(unix)]
    {
        let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Some(used.tv_sec as f64 + used.tv_nsec as f64 / 1e9)
    }
    #[cfg(not(unix))]
    None
}

/// Seconds since 1970, where the platform tells them.
pub(super) fn unix_seconds() -> Option<f64> {
    #[cfg(unix)]
    {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        Some(now.tv_sec as f64 + now.tv_nsec as f64 / 1e9)
    }
    #[cfg(not(unix))]
    None
}
