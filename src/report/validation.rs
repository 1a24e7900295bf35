//! Owns the comparison of live runs with simulated ones: whether what was seen lies where the simulator says it lies.
//!
//! Both sides are measured twin-free ([`crate::report::incident`]), with different seeds, so a live run and a simulated
//! trial of a right simulator are two draws of one distribution. Everything here follows from that.
//!
//! # The simulated interval
//!
//! From the r-th smallest to the r-th greatest of n simulated values, with r = max(1, ⌊(n + 1) / 20⌋): quantiles 0.05 and
//! 0.95 as order statistics. A further draw of the same distribution lies between them with probability
//! (n + 1 − 2 r) / (n + 1), whatever the distribution (with ties: at least that): 90.05 % for 200 trials, at least 90 %
//! from 19 on, and below that (n − 1) / (n + 1). Source: Wilks, "Determination of Sample Sizes for Setting Tolerance
//! Limits", Annals of Mathematical Statistics 12 (1941) 91-96; Hahn and Meeker, "Statistical Intervals" (1991), chapter 5.
//! Type 7 quantiles ([`crate::stats::quantile`]) hold only about 0.9 (n − 1) / (n + 1), and lie between order statistics,
//! where there is nothing if one of them is *never*; they serve for medians.
//!
//! # Never
//!
//! What did not come within the run is later than everything: an infinite value in every order statistic. So a quantile
//! can be *never*; a live *never* is inside if, and only if, the upper end of the interval is *never*; a median halfway
//! between a value and *never* is *never*. A milestone that there was no reason for (no recovery, as nobody was hurt) did
//! not come either.
//!
//! # Turned back before the fault
//!
//! An alarm up to *injected*, or a rollback ordered before it (or instead of it), competes with the incident: a rule that has
//! fired cannot notice the fault any more, and a version that is gone cannot be turned back. Such a run has no span at all,
//! neither a negative one nor *never*; it is counted ([`Early`]). What decides this comes before the fault, on both sides alike,
//! so the other runs of a right simulator still are draws of one distribution. Its counts of requests stay: they are of the
//! whole run.
//!
//! # Inside
//!
//! A live span is inside if it lies in the interval or within [`RESOLUTION_S`] of it; a count if it lies in it. Where the
//! model has no chance (scrapes that come to the nanosecond), all simulated trials agree, the interval is a point, and a
//! live run would be outside for a millisecond that nobody cares for. A validation needs such an acceptable range of
//! accuracy, stated beforehand: Sargent, "Verification and validation of simulation models", Journal of Simulation 7
//! (2013) 12-24. The gap is told all the same.
//!
//! # Not predicted
//!
//! A simulated interval that is wider than its median predicts nothing worth the name, however many live values lie in
//! it. Its width is that of what is accepted as inside: for spans, the resolution is added at both ends, so that an interval of
//! 0.1 to 0.2 s, which takes in all from 0 to 0.3 s, predicts nothing. A point is a prediction whatever its median: the model has
//! no chance there, and says that value, to the resolution. Where the median is 0 all but a point is too wide; where the upper
//! end alone is *never*, the width is infinite; an interval that is *never* from end to end predicts just that. Values are
//! spans and counts, so no median is negative.

use crate::event::{Event, RuleFired};
use crate::report::milestones::rollbacks;
use crate::report::trial::{Incident, TrialReport};
use crate::stats::quantile::quantile_sorted;
use crate::time::{SimTime, Span};
use crate::trace::Recorded;
use std::collections::BTreeMap;

/// Spans are compared to this, seconds: no rollback policy is about less, and real clocks, sockets and schedulers are not
/// finer.
pub const RESOLUTION_S: f64 = 0.1;

/// One in so many values lies beyond each end of the interval.
const TAIL: usize = 20;

/// What is compared. Spans are seconds since the fault was injected, or since the start of a run without any fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Quantity {
    /// Onset − injected: users were hurt.
    Onset,
    /// Detected − injected: the time to detect.
    Mttd,
    /// Decided − injected: the rollback was ordered.
    Decided,
    /// Revert started − injected.
    RevertStarted,
    /// Reverted − injected: the version was out of the traffic, by the replicas' own answers.
    Reverted,
    /// Recovered − injected: the time to recover.
    Mttr,
    /// Recovered − detected: what policy and plant took, without the luck of the detection.
    MttrFromDetected,
    /// Bad requests of the whole run.
    BadRequests,
    /// Those without an answer.
    FailedRequests,
    /// Those answered later than promised.
    LateRequests,
    /// Those answered wrongly.
    WrongRequests,
}

impl Quantity {
    /// All quantities, in the order of an incident.
    pub const ALL: [Self; 11] = [
        Self::Onset,
        Self::Mttd,
        Self::Decided,
        Self::RevertStarted,
        Self::Reverted,
        Self::Mttr,
        Self::MttrFromDetected,
        Self::BadRequests,
        Self::FailedRequests,
        Self::LateRequests,
        Self::WrongRequests,
    ];

    /// Its name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Onset => "onset",
            Self::Mttd => "mttd",
            Self::Decided => "decided",
            Self::RevertStarted => "revert_started",
            Self::Reverted => "reverted",
            Self::Mttr => "mttr",
            Self::MttrFromDetected => "mttr_from_detected",
            Self::BadRequests => "bad_requests",
            Self::FailedRequests => "failed_requests",
            Self::LateRequests => "late_requests",
            Self::WrongRequests => "wrong_requests",
        }
    }

    /// Its name for a person.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Onset => "onset",
            Self::Mttd => "detected (MTTD)",
            Self::Decided => "decided",
            Self::RevertStarted => "revert started",
            Self::Reverted => "reverted",
            Self::Mttr => "recovered (MTTR)",
            Self::MttrFromDetected => "detected to recovered",
            Self::BadRequests => "bad requests",
            Self::FailedRequests => "without an answer",
            Self::LateRequests => "late",
            Self::WrongRequests => "wrong",
        }
    }

    /// Its unit: `s` for spans, nothing for counts.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        if self.is_span() { "s" } else { "" }
    }

    /// How near to an interval is inside it: [`RESOLUTION_S`] for spans, nothing for counts.
    #[must_use]
    pub const fn resolution(self) -> f64 {
        if self.is_span() { RESOLUTION_S } else { 0.0 }
    }

    /// Whether it is a span of time, which may never end.
    #[must_use]
    pub const fn is_span(self) -> bool {
        !matches!(self, Self::BadRequests | Self::FailedRequests | Self::LateRequests | Self::WrongRequests)
    }
}

/// What is compared, for one run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunFigures {
    /// The root seed.
    pub seed: u64,
    /// Seconds or counts; `None`: never within the run. What a run without faults cannot have is not in it, nor are spans of
    /// one that is `early`.
    pub values: BTreeMap<Quantity, Option<f64>>,
    /// It was turned back before the fault, by the rule at the top.
    pub early: bool,
}

/// The incident that spans are about: the first harmful one in order of declaration, else the first.
#[must_use]
pub fn subject(incidents: &[Incident]) -> Option<&Incident> {
    incidents.iter().find(|i| i.harmful).or_else(|| incidents.first())
}

/// Whether a run was turned back before an incident, by the rule at the top.
fn turned_back_before(report: &TrialReport, incident: &Incident) -> bool {
    let injected = incident.injected.unwrap_or(SimTime::NEVER);
    // Evidence up to the very instant of the injection has not seen the fault yet.
    let alarm = |fact: &Recorded| matches!(fact.event, Event::RuleFired(_)) && fact.at <= injected;
    report.events.iter().any(alarm) || rollbacks(&report.events).any(|rollback| rollback.at < injected)
}

impl From<&TrialReport> for RunFigures {
    fn from(report: &TrialReport) -> Self {
        use Quantity::{
            BadRequests, Decided, FailedRequests, LateRequests, Mttd, Mttr, MttrFromDetected, Onset, RevertStarted,
            Reverted, WrongRequests,
        };
        let seconds = |span: Option<Span>| span.map(Span::as_secs_f64);
        let incident = subject(&report.incidents);
        let early = incident.is_some_and(|incident| turned_back_before(report, incident));
        let mut values: BTreeMap<Quantity, Option<f64>> = match incident {
            Some(_) if early => BTreeMap::new(),
            Some(incident) => {
                let since = |at: Option<SimTime>| seconds(at.zip(incident.injected).map(|(at, from)| at.since(from)));
                BTreeMap::from([
                    (Onset, since(incident.onset)),
                    (Mttd, seconds(incident.mttd())),
                    (Decided, since(incident.decided)),
                    (RevertStarted, since(incident.revert_started)),
                    (Reverted, since(incident.reverted)),
                    (Mttr, seconds(incident.mttr())),
                    (MttrFromDetected, seconds(incident.mttr_from_detected())),
                ])
            }
            None => {
                let first = |of: fn(&Event) -> bool| {
                    let fact = report.events.iter().find(|fact| of(&fact.event));
                    fact.map(|fact| fact.at.as_secs_f64())
                };
                BTreeMap::from([
                    (Mttd, first(|e| matches!(e, Event::RuleFired(RuleFired { .. })))),
                    (Decided, rollbacks(&report.events).next().map(|r| r.at.as_secs_f64())),
                    (RevertStarted, first(|e| matches!(e, Event::RevertStarted { .. }))),
                    (Reverted, first(|e| matches!(e, Event::RevertDone { .. }))),
                ])
            }
        };
        let counts = &report.requests;
        values.extend([
            (BadRequests, Some(counts.bad as f64)),
            (FailedRequests, Some(counts.failed as f64)),
            (LateRequests, Some(counts.late as f64)),
            (WrongRequests, Some(counts.wrong as f64)),
        ]);
        Self { seed: report.seed, values, early }
    }
}

/// One value of one run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The run's seed.
    pub seed: u64,
    /// Seconds or a count; `None`: never.
    pub value: Option<f64>,
}

impl Sample {
    /// The value as it is ordered: never is later than everything.
    #[must_use]
    pub fn order(&self) -> f64 {
        self.value.unwrap_or(f64::INFINITY)
    }
}

/// Where simulated values lie. Infinite: never.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    /// The lower end of the interval.
    pub low: f64,
    /// The median.
    pub median: f64,
    /// The upper end of the interval.
    pub high: f64,
    /// The chance that one more value of the same distribution lies in the interval, in (0, 1): about 0.9.
    pub level: f64,
    /// Values.
    pub n: usize,
    /// How many of them are never.
    pub never: usize,
}

impl Band {
    /// The interval by the rule at the top; `None` of no values.
    #[must_use]
    pub fn of(samples: &[Sample]) -> Option<Self> {
        let sorted = sorted(samples);
        let n = sorted.len();
        let rank = ((n + 1) / TAIL).max(1);
        let low = *sorted.get(rank - 1)?;
        let high = *sorted.get(n - rank)?;
        let level = (n + 1).saturating_sub(2 * rank) as f64 / (n + 1) as f64;
        let never = sorted.iter().filter(|v| v.is_infinite()).count();
        Some(Self { low, median: quantile_sorted(&sorted, 0.5)?, high, level, n, never })
    }

    /// Whether a value lies in the interval, its ends included, or within `resolution` of it.
    #[must_use]
    pub fn holds(&self, sample: &Sample, resolution: f64) -> bool {
        (self.low - resolution..=self.high + resolution).contains(&sample.order())
    }

    /// Whether it is narrow enough to be a prediction, by the rule at the top; `resolution`: as for [`Self::holds`].
    #[must_use]
    pub fn predicts(&self, resolution: f64) -> bool {
        // Both ends never is a point, too.
        self.low == self.high || self.high - self.low + 2.0 * resolution <= self.median && self.high.is_finite()
    }
}

impl Row {
    /// Whether a value is inside, by the rule at the top.
    #[must_use]
    pub fn holds(&self, sample: &Sample) -> bool {
        self.band.holds(sample, self.quantity.resolution())
    }
}

fn sorted(samples: &[Sample]) -> Vec<f64> {
    let mut values: Vec<f64> = samples.iter().map(Sample::order).filter(|v| !v.is_nan()).collect();
    values.sort_by(f64::total_cmp);
    values
}

/// One quantity, simulated and live.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Which.
    pub quantity: Quantity,
    /// Where the simulator says that values lie.
    pub band: Band,
    /// The simulated values, in order of seed.
    pub simulated: Vec<Sample>,
    /// The live values, in order of seed.
    pub live: Vec<Sample>,
    /// The median of the live values (infinite: never); `None` without any.
    pub live_median: Option<f64>,
    /// How many of the live values are inside, see [`Row::holds`].
    pub inside: usize,
    /// Live median − simulated median; `None` if one of them is never or not there.
    pub gap: Option<f64>,
    /// Whether the interval is narrow enough to be a prediction, see [`Band::predicts`].
    pub predicted: bool,
}

/// Something that live runs do and the model only assumes: a cause of a gap that can be named.
#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    /// Its name.
    pub name: String,
    /// What is measured.
    pub what: String,
    /// What the simulated side assumes, seconds.
    pub modelled_s: f64,
    /// What the live runs did, seconds, one value per event.
    pub live: Vec<f64>,
}

impl Cause {
    /// Where the live values lie; `None` where nothing was seen.
    #[must_use]
    pub fn seen(&self) -> Option<Seen> {
        let mut sorted: Vec<f64> = self.live.iter().copied().filter(|v| !v.is_nan()).collect();
        sorted.sort_by(f64::total_cmp);
        Some(Seen {
            min: *sorted.first()?,
            median: quantile_sorted(&sorted, 0.5)?,
            p99: quantile_sorted(&sorted, 0.99)?,
            max: *sorted.last()?,
        })
    }
}

/// Where the live values of a cause lie, seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// The least.
    pub min: f64,
    /// The median.
    pub median: f64,
    /// The 99 % quantile: what comes seldom is what moves a milestone.
    pub p99: f64,
    /// The greatest.
    pub max: f64,
}

/// What the simulated side used for a figure of the model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Used {
    /// What was measured.
    Measured,
    /// What was measured of all versions together: too little was of this one.
    Pooled {
        /// Measurements of all versions.
        samples: usize,
        /// What they amount to, seconds.
        value_s: f64,
    },
    /// What is declared: too little was measured, or the model has no place for it.
    Declared,
}

/// One figure of the model that a calibrating run is there for.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Which figure.
    pub name: String,
    /// Measurements of the calibrating run.
    pub samples: usize,
    /// What the scenario declares, seconds.
    pub declared_s: f64,
    /// What was measured, seconds; `None` without any measurement.
    pub measured_s: Option<f64>,
    /// What the simulated side used.
    pub used: Used,
}

/// How many runs were turned back before the fault, by the rule at the top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Early {
    /// Of the simulated trials.
    pub simulated: usize,
    /// Of the live runs.
    pub live: usize,
}

/// What is validated.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    /// The scenario's name.
    pub scenario: String,
    /// The policy's name.
    pub policy: String,
    /// The fault that spans are about, in words; `None`: no fault, they are since the start of the run.
    pub fault: Option<String>,
    /// When arrivals end in each run.
    pub horizon: SimTime,
}

/// Live runs held against simulated trials.
#[derive(Debug, Clone, PartialEq)]
pub struct Validation {
    /// What is validated.
    pub subject: Subject,
    /// Live runs.
    pub repeats: usize,
    /// Simulated trials.
    pub trials: usize,
    /// Runs without spans.
    pub early: Early,
    /// One per quantity that the runs have, in the order of [`Quantity::ALL`].
    pub rows: Vec<Row>,
    /// Causes of gaps.
    pub causes: Vec<Cause>,
    /// How the simulated side was calibrated.
    pub settings: Vec<Setting>,
}

/// Compares live runs with simulated trials. The order of the runs does not matter.
#[must_use]
pub fn validate(
    subject: Subject,
    simulated: &[RunFigures],
    live: &[RunFigures],
    causes: Vec<Cause>,
    settings: Vec<Setting>,
) -> Validation {
    let rows = Quantity::ALL.iter().filter_map(|&quantity| row(quantity, simulated, live)).collect();
    let early = |runs: &[RunFigures]| runs.iter().filter(|run| run.early).count();
    let early = Early { simulated: early(simulated), live: early(live) };
    Validation { subject, repeats: live.len(), trials: simulated.len(), early, rows, causes, settings }
}

fn row(quantity: Quantity, simulated: &[RunFigures], live: &[RunFigures]) -> Option<Row> {
    let (simulated, live) = (samples(quantity, simulated), samples(quantity, live));
    let band = Band::of(&simulated)?;
    let live_median = quantile_sorted(&sorted(&live), 0.5);
    let gap = live_median.map(|median| median - band.median).filter(|gap| gap.is_finite());
    let inside = live.iter().filter(|sample| band.holds(sample, quantity.resolution())).count();
    Some(Row {
        quantity,
        predicted: band.predicts(quantity.resolution()),
        band,
        simulated,
        live,
        live_median,
        inside,
        gap,
    })
}

fn samples(quantity: Quantity, runs: &[RunFigures]) -> Vec<Sample> {
    let of = |run: &RunFigures| run.values.get(&quantity).map(|&value| Sample { seed: run.seed, value });
    let mut samples: Vec<Sample> = runs.iter().filter_map(of).collect();
    samples.sort_by(|a, b| a.seed.cmp(&b.seed).then(a.order().total_cmp(&b.order())));
    samples
}

impl Validation {
    /// The row of a quantity; `None` if the runs do not have it.
    #[must_use]
    pub fn row(&self, quantity: Quantity) -> Option<&Row> {
        self.rows.iter().find(|row| row.quantity == quantity)
    }

    /// How many live values of a right simulator are at least inside, on average, over the rows that predict something. Ties and
    /// the resolution add to it.
    #[must_use]
    pub fn expected_inside(&self) -> f64 {
        self.rows.iter().filter(|row| row.predicted).map(|row| row.band.level * row.live.len() as f64).sum()
    }

    /// Live values inside their intervals, and all of them, over the rows that predict something.
    #[must_use]
    pub fn inside(&self) -> (usize, usize) {
        let predicted = self.rows.iter().filter(|row| row.predicted);
        predicted.fold((0, 0), |(inside, of), row| (inside + row.inside, of + row.live.len()))
    }
}

#[cfg(test)]
mod tests;
