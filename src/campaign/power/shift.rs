//! Owns shifts of the canary: which kinds a rule's signals read, in which sizes, and what else they read that tells of them.

use crate::control::config::{PolicyConfig, Rule};
use crate::detect::channel::Channel;
use crate::detect::config::{Columns, DataQuality, Defect, Quality, SignalKind};
use crate::id::OutcomeId;
use crate::plan::Plan;
use crate::plan::diagnostic::did_you_mean;
use crate::report::power::Kind;

/// What can be asked for.
const SHIFTS: &str =
    "latency=1.3, failure=0.02, wrong=0.3, score=0.5, feature:NAME=1, missing:NAME=0.2 or outcome:NAME=0.8";

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
    /// Reads `KIND=SIZE`, with a name where there are several of a kind: `latency=1.3`, `failure=0.02`, `wrong=0.3`, `score=0.5`,
    /// `feature:AGE=1`, `missing:AGE=0.2`, `outcome:booking=0.8`. Units are those of the variants.
    ///
    /// # Errors
    /// What is wrong, with what can be written instead.
    pub fn parse(text: &str, plan: &Plan) -> Result<Self, String> {
        let (what, size) = text.split_once('=').ok_or_else(|| format!("`{text}` has no size: write {SHIFTS}"))?;
        let (kind, name) = what.split_once(':').map_or((what, None), |(kind, name)| (kind, Some(name)));
        let size: f64 =
            size.parse().ok().filter(|x: &f64| x.is_finite()).ok_or_else(|| format!("`{size}` is no number"))?;
        if let (Some(name), false) = (name, ["feature", "missing", "outcome"].contains(&kind)) {
            return Err(format!("`{kind}` has no name: write `{kind}={size}`, not `{kind}:{name}={size}`"));
        }
        let named = |noun: &str, names: &[String]| -> Result<usize, String> {
            let name = name.ok_or_else(|| format!("`{kind}` needs a name, as in `{kind}:NAME={size}`"))?;
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let help = || did_you_mean(name, &names, noun).map_or_else(String::new, |help| format!("; {help}"));
            names.iter().position(|n| *n == name).ok_or_else(|| format!("there is no `{name}`{}", help()))
        };
        let must =
            |holds: bool, what: &str| holds.then_some(()).ok_or_else(|| format!("the size of `{kind}` must be {what}"));
        let column = || named("features", &super::features(plan));
        match kind {
            "latency" => must(size > 1.0, "above 1: times the service time").map(|()| Self::Latency(size)),
            "failure" => must(size > 0.0 && size <= 1.0, "a share").map(|()| Self::Failure(size)),
            "wrong" => must(size > 0.0 && size < 1.0, "a share below 1").map(|()| Self::Wrong(size)),
            "score" => must(size != 0.0, "more or less than 0").map(|()| Self::Score(size)),
            "feature" => {
                must(size != 0.0, "more or less than 0")?;
                Ok(Self::Feature { column: column()?, by: size })
            }
            "missing" => {
                must(size > 0.0 && size <= 1.0, "a share")?;
                Ok(Self::Missing { column: column()?, share: size })
            }
            "outcome" => {
                must((0.0..1.0).contains(&size), "below 1: times as often")?;
                Ok(Self::Outcome { of: OutcomeId(named("outcomes", &plan.names.outcomes)? as u16), factor: size })
            }
            _ => Err(format!("there is no shift `{kind}`: write {SHIFTS}")),
        }
    }

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
            Self::Score(d) => format!("score {} sd", signed(d)),
            Self::Feature { column, by } => format!("{} {} sd", feature(column), signed(by)),
            Self::Missing { column, share } => format!("{} missing in {}", feature(column), percent(share)),
            Self::Outcome { of, factor } => format!("{} × {}", plan.names.outcome(of), figure(factor)),
        }
    }
}

/// `+ 0.5`, `− 0.5`
fn signed(x: f64) -> String {
    format!("{} {}", if x < 0.0 { "−" } else { "+" }, figure(x.abs()))
}

/// Three or four significant digits, without zeros behind.
fn figure(x: f64) -> String {
    let text = format!("{x:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What signals read beyond times. Of requests with a latency all are answered: who counts them knows failures. Latency, failures
/// and what is missing are drawn apart from all else, so that who reads more knows no more of them; scores, features, truth and
/// outcomes hang together, and an outcome hangs on the failure as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Info {
    pub(super) score: bool,
    /// Features, or the segments of users, which go with them.
    pub(super) features: bool,
    pub(super) labels: bool,
    pub(super) outcomes: bool,
    /// Which requests got no answer.
    pub(super) failures: bool,
}

impl Info {
    const NOTHING: Self = Self { score: false, features: false, labels: false, outcomes: false, failures: false };
    pub(super) const SCORE: Self = Self { score: true, ..Self::NOTHING };
    pub(super) const FEATURES: Self = Self { features: true, ..Self::NOTHING };
    pub(super) const LABELS: Self = Self { labels: true, ..Self::NOTHING };
    pub(super) const OUTCOMES: Self = Self { outcomes: true, ..Self::NOTHING };
    pub(super) const FAILURES: Self = Self { failures: true, ..Self::NOTHING };

    pub(super) const fn with(self, other: Self) -> Self {
        Self {
            score: self.score || other.score,
            features: self.features || other.features,
            labels: self.labels || other.labels,
            outcomes: self.outcomes || other.outcomes,
            failures: self.failures || other.failures,
        }
    }

    /// Only this and nothing else of what hangs together.
    pub(super) fn only_features(self) -> bool {
        Self { failures: false, ..self } == Self::FEATURES
    }

    pub(super) fn only_labels(self) -> bool {
        Self { failures: false, ..self } == Self::LABELS
    }

    pub(super) fn only_outcomes(self) -> bool {
        self == Self::OUTCOMES
    }
}

/// Why nothing is known of a rule that reads how full replicas are, not even its false alarms: nothing here has replicas.
pub(super) const GAUGES: &str = "it reads gauges of replicas, which only a plant has";

/// What is known to who counts answers on the wrong side of a threshold: at 0.5 which are wrong, as the shift has it; elsewhere
/// something else of score and label.
fn wrong_at(threshold: f64) -> Info {
    if threshold == 0.5 { Info::LABELS } else { Info::LABELS.with(Info::SCORE) }
}

/// The kinds of shift that a signal reads (without sizes), what it reads in all, and, where it reads no shift, why.
fn reads(kind: &SignalKind) -> (Vec<Shift>, Info, &'static str) {
    let nothing = |info: Info, why: &'static str| (Vec::new(), info, why);
    let moved = |shift: Shift, info: Info| (vec![shift], info, "");
    let times = Info::FAILURES;
    let columns = |of: &Columns| match of {
        Columns::Score => moved(Shift::Score(0.0), Info::SCORE),
        Columns::Feature(column) => moved(Shift::Feature { column: *column, by: 0.0 }, Info::FEATURES),
        Columns::Features => moved(Shift::Feature { column: 0, by: 0.0 }, Info::FEATURES),
        Columns::All => moved(Shift::Feature { column: 0, by: 0.0 }, Info::FEATURES.with(Info::SCORE)),
    };
    match kind {
        SignalKind::LatencyQuantile { .. } => moved(Shift::Latency(1.0), times),
        SignalKind::ErrorRate { .. } => moved(Shift::Failure(0.0), Info::FAILURES),
        SignalKind::BurnRate(burn) if burn.slower_than.is_some() => {
            (vec![Shift::Latency(1.0), Shift::Failure(0.0)], times, "")
        }
        SignalKind::BurnRate(_) => moved(Shift::Failure(0.0), Info::FAILURES),
        SignalKind::Saturation { .. } => nothing(times, GAUGES),
        SignalKind::DataQuality(quality) => match (quality.defect, &quality.of) {
            (Defect::Missing, Columns::Score) => nothing(Info::SCORE, "it reads a defect that no shift here brings"),
            (Defect::Missing, of) => {
                let column = if let Columns::Feature(column) = of { *column } else { 0 };
                moved(Shift::Missing { column, share: 0.0 }, columns(of).1)
            }
            (Defect::OutOfRange, of) => columns(of),
            (_, of) => nothing(columns(of).1, "it reads a defect that no shift here brings"),
        },
        SignalKind::Labelled { measure: Quality::Accuracy, threshold, .. } => {
            moved(Shift::Wrong(0.0), wrong_at(*threshold))
        }
        // Which score goes with which label tells more than how many are wrong.
        SignalKind::Labelled { .. } => moved(Shift::Wrong(0.0), Info::LABELS.with(Info::SCORE)),
        SignalKind::Estimate { .. } => moved(Shift::Score(0.0), Info::SCORE),
        SignalKind::Fairness(_) => {
            let all = Info::SCORE.with(Info::LABELS).with(Info::FEATURES);
            nothing(all, "it compares groups of users, and a shift here is the same for all")
        }
        SignalKind::Outcome { of, .. } => moved(Shift::Outcome { of: *of, factor: 1.0 }, Info::OUTCOMES),
        SignalKind::Comparison(c) => columns(&c.of),
        SignalKind::Sequence(s) => match s.of {
            Channel::Score | Channel::Confidence => moved(Shift::Score(0.0), Info::SCORE),
            Channel::Feature(i) => moved(Shift::Feature { column: i, by: 0.0 }, Info::FEATURES),
            Channel::Latency => moved(Shift::Latency(1.0), times),
            Channel::Failure => moved(Shift::Failure(0.0), Info::FAILURES),
            Channel::Wrong { threshold } => moved(Shift::Wrong(0.0), wrong_at(threshold)),
            Channel::AbsoluteError | Channel::SquaredError => moved(Shift::Wrong(0.0), Info::LABELS.with(Info::SCORE)),
            Channel::Outcome(of) => moved(Shift::Outcome { of, factor: 1.0 }, Info::OUTCOMES),
        },
        SignalKind::Coin { .. } => nothing(times, "a coin reads nothing"),
    }
}

/// Whether a rule reads a shift: its kind and, where its signals are about one feature or outcome, that one.
pub(super) fn meets(policy: &PolicyConfig, rule: &Rule, shift: Shift) -> bool {
    let fields = [&rule.when.left, &rule.when.right].into_iter().filter_map(|o| o.value);
    let mut kinds = fields.filter_map(|field| policy.signals.get(field.signal.index())).map(|signal| &signal.kind);
    kinds.any(|kind| {
        let one = match kind {
            SignalKind::DataQuality(DataQuality { of: Columns::Feature(column), .. }) => Some(*column),
            SignalKind::Comparison(c) => match c.of {
                Columns::Feature(column) => Some(column),
                _ => None,
            },
            SignalKind::Sequence(s) => match s.of {
                Channel::Feature(column) => Some(column),
                _ => None,
            },
            _ => None,
        };
        reads(kind).0.into_iter().any(|read| match (read, shift) {
            (Shift::Feature { .. }, Shift::Feature { column, .. })
            | (Shift::Missing { .. }, Shift::Missing { column, .. }) => one.is_none_or(|of| of == column),
            (Shift::Outcome { of: read, .. }, Shift::Outcome { of, .. }) => read == of,
            (read, shift) => read.kind() == shift.kind(),
        })
    })
}

/// The kinds of shift that a rule's signals read (without sizes), or why there are none, and all that they read.
pub(super) fn of_rule(policy: &PolicyConfig, rule: &Rule) -> (Result<Vec<Shift>, &'static str>, Info) {
    let fields = [&rule.when.left, &rule.when.right].into_iter().filter_map(|o| o.value);
    let signals = fields.filter_map(|field| policy.signals.get(field.signal.index()));
    let (mut shifts, mut info, mut why) = (Vec::new(), Info::default(), "it reads no signal");
    for signal in signals {
        let (moved, more, reason) = reads(&signal.kind);
        if reason == GAUGES {
            return (Err(GAUGES), info);
        }
        info = info.with(more);
        if moved.is_empty() {
            why = reason;
        }
        for shift in moved {
            if !shifts.contains(&shift) {
                shifts.push(shift);
            }
        }
    }
    (if shifts.is_empty() { Err(why) } else { Ok(shifts) }, info)
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
