//! Owns virtual time: instants and spans in integer nanoseconds.
//!
//! Nothing here reads a host clock. Arithmetic saturates: an instant beyond the range is the last instant, so that a
//! far deadline never wraps into the past.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, Sub};

/// Nanoseconds in one second.
pub const NS_PER_S: u64 = 1_000_000_000;

/// An instant of virtual time: nanoseconds since the start of the trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SimTime(pub u64);

/// A length of virtual time in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(pub u64);

impl SimTime {
    /// The start of every trial.
    pub const ZERO: Self = Self(0);
    /// Later than anything that happens.
    pub const NEVER: Self = Self(u64::MAX);

    /// Seconds since the start, for reports only (never for decisions or digests).
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        Span(self.0).as_secs_f64()
    }

    /// The span since `earlier`, zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// The span back from here, or the start.
    #[must_use]
    pub const fn minus(self, span: Span) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// Whole seconds.
    #[must_use]
    pub const fn secs(s: u64) -> Self {
        Self(s.saturating_mul(NS_PER_S))
    }

    /// Whole milliseconds.
    #[must_use]
    pub const fn millis(ms: u64) -> Self {
        Self(ms.saturating_mul(1_000_000))
    }

    /// A span from seconds, rounded to the nearest nanosecond; negative and NaN give zero, too large the longest span.
    #[must_use]
    pub fn from_secs_f64(s: f64) -> Self {
        // `as` saturates and maps NaN to zero, which is what the doc promises.
        Self((s * NS_PER_S as f64 + 0.5) as u64)
    }

    /// Seconds, for reports and for statistics on spans.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / NS_PER_S as f64
    }
}

impl Add<Span> for SimTime {
    type Output = Self;
    fn add(self, rhs: Span) -> Self {
        Self(self.0.saturating_add(rhs.0))
    }
}

impl Add for Span {
    type Output = Self;
    fn add(self, rhs: Self) -> Self {
        Self(self.0.saturating_add(rhs.0))
    }
}

impl Sub for Span {
    type Output = Self;
    fn sub(self, rhs: Self) -> Self {
        Self(self.0.saturating_sub(rhs.0))
    }
}

/// `mm:ss.mmm`, with hours in front from one hour on.
impl fmt::Display for SimTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0 / 1_000_000;
        let (h, m, s, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
        if h > 0 { write!(f, "{h}:{m:02}:{s:02}.{ms:03}") } else { write!(f, "{m:02}:{s:02}.{ms:03}") }
    }
}

/// The two largest units that are not zero: `3 min 15 s`, `40 ms`.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0;
        let s = ns / NS_PER_S;
        if ns == 0 {
            write!(f, "0 s")
        } else if ns < 1_000_000 {
            write!(f, "{} µs", ns as f64 / 1e3)
        } else if s < 1 {
            write!(f, "{} ms", (ns + 500_000) / 1_000_000)
        } else if s < 60 {
            let ms = ns / 1_000_000;
            if ms.is_multiple_of(1000) { write!(f, "{s} s") } else { write!(f, "{:.1} s", ms as f64 / 1e3) }
        } else {
            let s = ns.saturating_add(NS_PER_S / 2) / NS_PER_S;
            let (h, m, s) = (s / 3600, s / 60 % 60, s % 60);
            match (h, m, s) {
                (0, m, 0) => write!(f, "{m} min"),
                (0, m, s) => write!(f, "{m} min {s} s"),
                (h, 0, _) => write!(f, "{h} h"),
                (h, m, _) => write!(f, "{h} h {m} min"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        assert_eq!(SimTime::NEVER + Span::secs(1), SimTime::NEVER);
        assert_eq!(SimTime(5).since(SimTime(9)), Span::ZERO);
        assert_eq!(Span::from_secs_f64(f64::NAN), Span::ZERO);
        assert_eq!(Span::from_secs_f64(-1.0), Span::ZERO);
    }

    #[test]
    fn instants_and_spans_read_like_a_clock() {
        let show = |t: u64| SimTime(t * 1_000_000).to_string();
        assert_eq!(show(360_412), "06:00.412");
        assert_eq!(show(3_600_000), "1:00:00.000");
        assert_eq!(Span::secs(195).to_string(), "3 min 15 s");
        assert_eq!(Span::millis(38).to_string(), "38 ms");
        assert_eq!(Span::millis(1500).to_string(), "1.5 s");
    }
}
