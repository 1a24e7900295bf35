//! Owns confidence sequences over a channel: an interval for a mean that covers at all looks together.

use crate::stats::confidence_sequence::{BetaBinomial, EmpiricalBernstein};

/// How a confidence sequence is made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IntervalConfig {
    /// By which construction.
    pub method: Method,
    /// The chance that the interval ever misses.
    pub alpha: f64,
}

/// A construction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// For values within bounds; others are taken as the nearer end, and counted.
    EmpiricalBernstein {
        /// The least value.
        low: f64,
        /// The greatest value.
        high: f64,
    },
    /// For rates: anything but 0 counts as an event.
    BetaBinomial {
        /// The number of observations at which the interval is narrowest.
        tuned_for: u64,
    },
}

/// The weights of single observations are cut here: the paper's choice.
const TRUNCATION: f64 = 0.5;

/// A confidence sequence under way.
#[derive(Debug, Clone, PartialEq)]
pub struct Interval {
    method: Method,
    state: State,
    /// Of what was taken, within [0, 1].
    sum: f64,
    count: u64,
    /// Values beyond the bounds.
    outside: u64,
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Bernstein(Box<EmpiricalBernstein>),
    Binomial(BetaBinomial),
    /// A configuration that cannot work.
    Idle,
}

impl IntervalConfig {
    /// A sequence that has seen nothing.
    #[must_use]
    pub fn start(&self) -> Interval {
        let state = match self.method {
            Method::EmpiricalBernstein { .. } => {
                EmpiricalBernstein::new(self.alpha, TRUNCATION).map(|s| State::Bernstein(Box::new(s)))
            }
            Method::BetaBinomial { tuned_for } => BetaBinomial::new(self.alpha, tuned_for as f64).map(State::Binomial),
        };
        Interval { method: self.method, state: state.unwrap_or(State::Idle), sum: 0.0, count: 0, outside: 0 }
    }
}

impl Interval {
    /// Takes an observation; NaN is left out.
    pub fn add(&mut self, x: f64) {
        if x.is_nan() {
            return;
        }
        let x = match self.method {
            Method::EmpiricalBernstein { low, high } => {
                self.outside += u64::from(!(low..=high).contains(&x));
                ((x - low) / (high - low)).clamp(0.0, 1.0)
            }
            Method::BetaBinomial { .. } => f64::from(u8::from(x != 0.0)),
        };
        if let State::Bernstein(sequence) = &mut self.state {
            sequence.push(x);
        }
        self.sum += x;
        self.count += 1;
    }

    /// Bytes behind pointers.
    #[must_use]
    pub fn heap(&self) -> usize {
        match &self.state {
            State::Bernstein(sequence) => size_of_val(&**sequence),
            State::Binomial(_) | State::Idle => 0,
        }
    }

    /// Value, lower, upper, n, and how many of them were outside the bounds; `None` before the first observation.
    #[must_use]
    pub fn values(&self) -> Option<Vec<f64>> {
        let mean = (self.count > 0).then(|| self.sum / self.count as f64)?;
        let around = match &self.state {
            State::Bernstein(sequence) => sequence.interval()?,
            State::Binomial(sequence) => sequence.interval(self.sum, self.count)?,
            State::Idle => return None,
        };
        let (low, high) = match self.method {
            Method::EmpiricalBernstein { low, high } => (low, high),
            Method::BetaBinomial { .. } => (0.0, 1.0),
        };
        let scaled = |x: f64| low + x * (high - low);
        Some(vec![scaled(mean), scaled(around.low), scaled(around.high), self.count as f64, self.outside as f64])
    }
}
