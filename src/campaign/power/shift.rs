//! Owns shifts of the canary: which kinds a rule's signals read, in which sizes, and what is known of their likelihoods.

use crate::control::config::{PolicyConfig, Rule};
use crate::detect::channel::Channel;
use crate::detect::config::{Columns, Defect, Quality, SignalKind};
use crate::id::OutcomeId;
use crate::plan::Plan;
use crate::report::power::Kind;
use crate::stats::oracle;
use crate::world::config::Payload;
use crate::world::distribution::Distribution;

/// What happens to the canary from a change on, and to nobody else.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shift {
    /// Service takes so many times as long.
    Latency(f64),
    /// This share of requests gets no answer.
    Failure(f64),
    /// This share of answers is wrong, confidence and all else as before.
    Wrong(f64),
    /// The logit of the score moves by so many of its standard deviations; the class it stands for moves along.
    Score(f64),
    /// A feature moves by so many of its standard deviations; nothing else does.
    Feature {
        /// Which, in all sources.
        column: usize,
        /// How far.
        by: f64,
    },
    /// This share of a feature's values is missing.
    Missing {
        /// Which, in all sources.
        column: usize,
        /// How many.
        share: f64,
    },
    /// An outcome happens so many times as often: at most 1.
    Outcome {
        /// Which.
        of: OutcomeId,
        /// Times.
        factor: f64,
    },
}

/// How things are when all is well.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Healthy {
    /// Share of requests without an answer (beyond those that wait too long).
    pub failure_rate: f64,
    /// Share of wrong answers.
    pub wrong_rate: f64,
}

impl Shift {
    /// Its kind.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Latency(_) => Kind::Latency,
            Self::Failure(_) => Kind::Failure,
            Self::Wrong(_) => Kind::Wrong,
            Self::Score(_) => Kind::Score,
            Self::Feature { .. } => Kind::Feature,
            Self::Missing { .. } => Kind::Missing,
            Self::Outcome { .. } => Kind::Outcome,
        }
    }

    /// Its size, in the unit of its kind.
    #[must_use]
    pub const fn size(self) -> f64 {
        match self {
            Self::Latency(x) | Self::Failure(x) | Self::Wrong(x) | Self::Score(x) => x,
            Self::Feature { by, .. } => by,
            Self::Missing { share, .. } => share,
            Self::Outcome { factor, .. } => factor,
        }
    }

    /// What happens, in words.
    pub(super) fn words(self, plan: &Plan, healthy: Healthy, features: &[String]) -> String {
        let percent = |share: f64| format!("{} %", figure(share * 100.0));
        let feature = |column: usize| features.get(column).map_or_else(|| format!("feature {column}"), String::clone);
        match self {
            Self::Latency(m) => format!("latency × {}", figure(m)),
            Self::Failure(p) => format!("failures {} → {}", percent(healthy.failure_rate), percent(p)),
            Self::Wrong(p) => format!("wrong {} → {}", percent(healthy.wrong_rate), percent(p)),
            Self::Score(d) => format!("score + {} sd", figure(d)),
            Self::Feature { column, by } => format!("{} + {} sd", feature(column), figure(by)),
            Self::Missing { column, share } => format!("{} missing in {}", feature(column), percent(share)),
            Self::Outcome { of, factor } => format!("{} × {}", plan.names.outcome(of), figure(factor)),
        }
    }

    /// The likelihoods of one canary observation without and with it, where they are known and observations are independent:
    /// what every rule that reads this channel alone is bound by.
    pub(super) fn likelihoods(self, plan: &Plan, healthy: Healthy) -> Option<oracle::Shift> {
        let world = &plan.world;
        let version = &world.versions[plan.rollout.to.index()];
        match self {
            Self::Latency(multiplier) => match version.service.as_ref().unwrap_or(&world.fleet.service) {
                Distribution::Lognormal { sigma, .. } if *sigma > 0.0 => {
                    Some(oracle::Shift::Lognormal { sigma_log: *sigma, multiplier })
                }
                _ => None,
            },
            Self::Failure(p1) => Some(oracle::Shift::Bernoulli { p0: healthy.failure_rate, p1 }),
            Self::Wrong(p1) => Some(oracle::Shift::Bernoulli { p0: healthy.wrong_rate, p1 }),
            Self::Feature { by, .. } => {
                let normal = |s: &crate::world::config::Source| matches!(s.payload, Payload::Normal { .. });
                world.sources.iter().all(normal).then_some(oracle::Shift::Gaussian { delta: by })
            }
            Self::Outcome { of, factor } => {
                let mut sources = world.sources.iter();
                let (Some(source), None) = (sources.next(), sources.next()) else { return None };
                let outcome = source.outcomes.iter().find(|o| o.id == of && o.amount.is_none())?;
                let (answered, wrong) = (1.0 - healthy.failure_rate, healthy.wrong_rate);
                let p0 = answered * (outcome.right * (1.0 - wrong) + outcome.wrong * wrong)
                    + healthy.failure_rate * outcome.failed;
                Some(oracle::Shift::Bernoulli { p0, p1: p0 * factor })
            }
            Self::Score(_) | Self::Missing { .. } => None,
        }
    }
}

/// Three or four significant digits, without zeros behind.
fn figure(x: f64) -> String {
    let text = format!("{x:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What a signal reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Reads {
    /// Something that a kind of shift moves, by its first size.
    Moved(Shift),
    /// Nothing that is predicted here.
    Nothing(&'static str),
}

/// What a signal reads, and whether it reads only the channel that moves, as its likelihoods have it.
fn reads(kind: &SignalKind) -> (Reads, bool) {
    let feature = |column: usize| Reads::Moved(Shift::Feature { column, by: 0.0 });
    let (latency, failure) = (Reads::Moved(Shift::Latency(1.0)), Reads::Moved(Shift::Failure(0.0)));
    let (wrong, score) = (Reads::Moved(Shift::Wrong(0.0)), Reads::Moved(Shift::Score(0.0)));
    match kind {
        SignalKind::LatencyQuantile { .. } => (latency, true),
        SignalKind::ErrorRate { .. } => (failure, true),
        SignalKind::BurnRate(burn) if burn.slower_than.is_some() => (latency, true),
        SignalKind::BurnRate(_) => (failure, true),
        SignalKind::Saturation { .. } => (Reads::Nothing("it reads gauges of replicas, which only a plant has"), false),
        SignalKind::DataQuality(quality) => match (quality.defect, &quality.of) {
            (Defect::Missing, Columns::Feature(column)) => {
                (Reads::Moved(Shift::Missing { column: *column, share: 0.0 }), false)
            }
            (Defect::Missing, Columns::Features | Columns::All) => {
                (Reads::Moved(Shift::Missing { column: 0, share: 0.0 }), false)
            }
            (Defect::OutOfRange, of) => (column(of, feature, score), true),
            _ => (Reads::Nothing("it reads a defect that no shift here brings"), false),
        },
        // Which score goes with which label tells more than how many are wrong.
        SignalKind::Labelled { measure, .. } => (wrong, *measure == Quality::Accuracy),
        SignalKind::Estimate { .. } => (score, true),
        SignalKind::Fairness(_) => {
            (Reads::Nothing("it compares groups of users, and a shift here is the same for all"), false)
        }
        SignalKind::Outcome { of, .. } => (Reads::Moved(Shift::Outcome { of: *of, factor: 1.0 }), true),
        SignalKind::Comparison(c) => (column(&c.of, feature, score), true),
        SignalKind::Sequence(s) => match s.of {
            Channel::Score | Channel::Confidence => (score, true),
            Channel::Feature(i) => (feature(i), true),
            Channel::Latency => (latency, true),
            Channel::Failure => (failure, true),
            Channel::Wrong { .. } => (wrong, true),
            Channel::AbsoluteError | Channel::SquaredError => (wrong, false),
            Channel::Outcome(of) => (Reads::Moved(Shift::Outcome { of, factor: 1.0 }), true),
        },
        SignalKind::Coin { .. } => (Reads::Nothing("a coin reads nothing"), false),
    }
}

fn column(of: &Columns, feature: impl Fn(usize) -> Reads, score: Reads) -> Reads {
    match of {
        Columns::Score => score,
        Columns::Feature(i) => feature(*i),
        Columns::Features | Columns::All => feature(0),
    }
}

/// The kinds of shift that a rule's signals read (without sizes), and whether all its signals read that one channel alone; or
/// why there are none.
pub(super) fn of_rule(policy: &PolicyConfig, rule: &Rule) -> Result<(Vec<Shift>, bool), &'static str> {
    let fields = [&rule.when.left, &rule.when.right].into_iter().filter_map(|o| o.value);
    let signals = fields.filter_map(|field| policy.signals.get(field.signal.index()));
    let (mut shifts, mut alone, mut why) = (Vec::new(), true, "it reads no signal");
    for signal in signals {
        match reads(&signal.kind) {
            (Reads::Moved(shift), only) => {
                alone &= only;
                if !shifts.contains(&shift) {
                    shifts.push(shift);
                }
            }
            (Reads::Nothing(reason), _) => {
                alone = false;
                why = reason;
            }
        }
    }
    alone &= shifts.len() == 1;
    if shifts.is_empty() { Err(why) } else { Ok((shifts, alone)) }
}

/// The sizes of a kind that are tried.
pub(super) fn grid(of: Shift, healthy: Healthy) -> Vec<Shift> {
    let above = |rate: f64, shares: [f64; 4]| -> Vec<f64> { shares.into_iter().filter(|p| *p > 1.5 * rate).collect() };
    match of {
        Shift::Latency(_) => [1.25, 1.5, 2.0, 4.0].map(Shift::Latency).to_vec(),
        Shift::Failure(_) => {
            above(healthy.failure_rate, [0.005, 0.02, 0.05, 0.2]).into_iter().map(Shift::Failure).collect()
        }
        Shift::Wrong(_) => {
            // Beyond a half the class is worth more turned round.
            let worse = [0.02, 0.05, 0.1, 0.2].map(|more| healthy.wrong_rate + more);
            worse.into_iter().filter(|p| *p < 1.0).map(Shift::Wrong).collect()
        }
        Shift::Score(_) => [0.1, 0.25, 0.5, 1.0].map(Shift::Score).to_vec(),
        Shift::Feature { column, .. } => [0.25, 0.5, 1.0, 2.0].map(|by| Shift::Feature { column, by }).to_vec(),
        Shift::Missing { column, .. } => [0.01, 0.05, 0.2, 0.5].map(|share| Shift::Missing { column, share }).to_vec(),
        Shift::Outcome { of, .. } => [0.9, 0.75, 0.5, 0.25].map(|factor| Shift::Outcome { of, factor }).to_vec(),
    }
}
