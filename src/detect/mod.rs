//! Owns signals: streaming detectors over telemetry, one file a family, and what a look at one of them gives.
//!
//! | module | signals |
//! |---|---|
//! | [`service`], [`gauges`] | latency, errors, burn of an error budget, saturation |
//! | [`quality`] | missing, out-of-range and never-seen values, another schema |
//! | [`labelled`], [`measures`] | accuracy, F1, AUC, calibration; the estimate that needs no label; business outcomes |
//! | [`groups`] | fairness between groups of users |
//! | [`comparisons`], [`two_sample`] | a window against a reference |
//! | [`sequences`], [`sequential`], [`intervals`] | one observation after another |
//!
//! Every look ends in a [`Measurement`] or in a [`NoVerdict`] with its reason; nothing here panics on data. What repeated looks
//! and many columns cost is in [`looks`].

pub mod channel;
pub mod comparisons;
pub mod config;
pub mod counters;
pub mod gauges;
pub mod groups;
pub mod intervals;
pub mod labelled;
pub mod looks;
pub mod measures;
pub mod quality;
pub mod ring;
pub mod rows;
pub mod sequences;
pub mod sequential;
pub mod service;
pub mod two_sample;
pub mod verdict;

use crate::detect::config::{Columns, Defect, Disparity, Level, Reference, SignalConfig, SignalKind};
use crate::detect::counters::Scrapes;
use crate::detect::gauges::Gauges;
use crate::detect::groups::Groups;
use crate::detect::labelled::{Labelled, Pair};
use crate::detect::measures::{Estimates, OutcomeSums};
use crate::detect::rows::{Rows, Side};
use crate::detect::sequences::Sequences;
use crate::detect::two_sample::Test;
use crate::detect::verdict::NoVerdict;
use crate::event::{Input, Observations};
use crate::id::VersionId;
use crate::rng::{Seed, Stream};
use crate::time::{SimTime, Span};
use std::ops::Range;

/// One measurement of a signal: its fields in the order of [`SignalKind::fields`], NaN where there is no value, and the
/// time its evidence begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// Fields.
    pub values: Vec<f64>,
    /// The evidence covers from here to the scrape looked at.
    pub from: SimTime,
    /// Which of the columns (or pairs of groups) it is about, by place among those of the signal.
    pub column: Option<usize>,
}

/// What one signal keeps for itself.
#[derive(Debug, Clone, PartialEq)]
enum Own {
    Nothing,
    Coin(Stream),
    /// What a test draws.
    Draws(Stream),
    Groups(Groups),
    Estimates(Estimates),
    Outcomes(OutcomeSums),
}

/// All signals of one policy over one stream of telemetry. Plain data: cloned it continues the same way.
///
/// Memory: what [`mod@rows`], [`ring`], [`counters`], [`gauges`], [`labelled`] and each sequential detector state; all of it depends on
/// windows, rates and the number of versions, not on time. The page of each kind says how much ("Memory"), beside 3 kB for the
/// frame of a signal; `tests/detector_limits` holds [`Detectors::bytes`] to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Detectors {
    signals: Vec<SignalConfig>,
    width: usize,
    scrapes: Scrapes,
    gauges: Gauges,
    rows: Rows,
    labelled: Labelled,
    sequences: Sequences,
    own: Vec<Own>,
    /// Looks with a verdict, by signal and version.
    looks: Vec<Vec<u64>>,
    scraped: u64,
}

impl Detectors {
    /// Nothing seen yet. `width`: features of a log row. `seed` feeds the signals that draw.
    #[must_use]
    pub fn new(signals: &[SignalConfig], width: usize, seed: Seed) -> Self {
        let keep = |of: &dyn Fn(&SignalKind) -> Option<Span>| signals.iter().filter_map(|s| of(&s.kind)).max();
        let scrapes = keep(&|kind| match kind {
            SignalKind::LatencyQuantile { window, .. } | SignalKind::ErrorRate { window, .. } => Some(*window),
            SignalKind::BurnRate(burn) => Some(burn.long),
            _ => None,
        });
        let gauges = keep(&|kind| match kind {
            SignalKind::Saturation { window, .. } => Some(*window),
            _ => None,
        });
        let sequence = |s: &SignalConfig| match &s.kind {
            SignalKind::Sequence(sequence) => Some((s.name.clone(), sequence.clone())),
            _ => None,
        };
        let sequences = Sequences::new(signals.iter().map(sequence).collect(), width, seed);
        let labels = signals.iter().filter_map(|s| match &s.kind {
            SignalKind::Labelled { labels, .. } => Some(*labels),
            SignalKind::Fairness(f) if f.disparity == Disparity::EqualOpportunity => Some(f.labels),
            _ => None,
        });
        let labels = labels.max().or_else(|| sequences.any(|channel| channel.reads_labels()).then_some(0));
        Self {
            signals: signals.to_vec(),
            width,
            scrapes: Scrapes::new(scrapes.unwrap_or(Span::ZERO)),
            gauges: Gauges::new(gauges),
            rows: rows(signals, width),
            labelled: Labelled::new(labels),
            sequences,
            own: signals.iter().map(|s| own(s, seed)).collect(),
            looks: vec![Vec::new(); signals.len()],
            scraped: 0,
        }
    }

    /// Bytes that telemetry fills, beside what the configuration of the signals takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let own = self.own.iter().map(|own| match own {
            Own::Groups(groups) => groups.heap(),
            Own::Estimates(estimates) => estimates.heap(),
            Own::Outcomes(outcomes) => outcomes.heap(),
            Own::Nothing | Own::Coin(_) | Own::Draws(_) => 0,
        });
        let parts =
            [self.scrapes.heap(), self.gauges.heap(), self.rows.heap(), self.labelled.heap(), self.sequences.heap()];
        size_of::<Self>() + parts.iter().sum::<usize>() + own.sum::<usize>()
    }

    /// Takes what telemetry brings.
    pub fn take(&mut self, input: &Input) {
        self.sequences.take(input);
        match input {
            Input::Metrics(metrics) => {
                self.scrapes.take(metrics);
                self.gauges.take(metrics);
                self.scraped += 1;
            }
            Input::Observations(batch) => {
                self.rows.take(batch);
                self.labelled.scores(batch);
                for (own, signal) in self.own.iter_mut().zip(&self.signals) {
                    take_rows(own, &signal.kind, batch);
                }
            }
            Input::Labels(batch) => {
                let joined = self.labelled.labels(batch);
                by_version(&joined, |version, pairs| self.sequences.labelled(batch.scraped_at, version, pairs));
            }
            Input::Outcomes(batch) => {
                for (own, signal) in self.own.iter_mut().zip(&self.signals) {
                    if let (Own::Outcomes(sums), SignalKind::Outcome { of, .. }) = (own, &signal.kind)
                        && *of == batch.outcome
                    {
                        sums.take(batch);
                    }
                }
            }
            _ => {}
        }
    }

    /// Looks at a signal for a version, as of the scrape at `at`. Signals that compare do so with `baseline`.
    ///
    /// # Errors
    /// The reason why there is no measurement.
    pub fn look(
        &mut self,
        signal: usize,
        version: VersionId,
        baseline: VersionId,
        at: SimTime,
    ) -> Result<Measurement, NoVerdict> {
        self.count(signal, version, |this, k| this.measure(signal, version, baseline, None, at, k))
    }

    /// Looks at a signal for the baseline as of the scrape at `at`, to be set beside the measurement of `candidate`: a window that
    /// is counted in labels is of the same time.
    ///
    /// # Errors
    /// The reason why there is no measurement.
    pub fn look_beside(
        &mut self,
        signal: usize,
        baseline: VersionId,
        candidate: VersionId,
        at: SimTime,
    ) -> Result<Measurement, NoVerdict> {
        self.count(signal, baseline, |this, k| this.measure(signal, baseline, baseline, Some(candidate), at, k))
    }

    /// A look with its number: how many of this signal and version had a verdict, and this one.
    fn count(
        &mut self,
        signal: usize,
        version: VersionId,
        look: impl FnOnce(&mut Self, u64) -> Result<Measurement, NoVerdict>,
    ) -> Result<Measurement, NoVerdict> {
        let looks = self.looks.get_mut(signal).ok_or(NoVerdict::Empty)?;
        if looks.len() <= version.index() {
            looks.resize(version.index() + 1, 0);
        }
        let k = looks[version.index()] + 1;
        let found = look(self, k)?;
        self.looks[signal][version.index()] = k;
        Ok(found)
    }

    fn measure(
        &mut self,
        signal: usize,
        version: VersionId,
        baseline: VersionId,
        beside: Option<VersionId>,
        at: SimTime,
        k: u64,
    ) -> Result<Measurement, NoVerdict> {
        let surety = |level: &Level| level.at(k);
        match &self.signals[signal].kind {
            SignalKind::LatencyQuantile { quantile, window, level } => {
                service::latency(&self.scrapes, version, *quantile, *window, surety(level).confidence)
            }
            SignalKind::ErrorRate { window, level } => service::errors(&self.scrapes, version, *window, surety(level)),
            SignalKind::BurnRate(burn) => service::burn(&self.scrapes, version, burn),
            SignalKind::Saturation { of, window } => service::saturation(&self.gauges, version, *of, *window),
            SignalKind::DataQuality(config) => {
                if config.defect == Defect::Schema {
                    let window = Side::Recent(version, config.window);
                    return quality::schema(config, &self.rows, window, at, surety(&config.level));
                }
                let reference = Some(config.reference).filter(|_| config.defect.is_relative());
                let places = config.of.places(self.width);
                let sides = self.sides([version, baseline], config.window, reference, config.min, &places, at)?;
                quality::look(config, &self.rows, sides, places, at, surety(&config.level))
            }
            SignalKind::Labelled { measure, labels, min, threshold, level } => {
                let pairs = self.labelled.window(version, beside, *labels)?;
                measures::labelled(*measure, &pairs, *min, *threshold, surety(level))
            }
            SignalKind::Estimate { measure, window, min, level, .. } => match &self.own[signal] {
                Own::Estimates(e) => e.look(*measure, version, *window, *min, at, surety(level).confidence),
                _ => Err(NoVerdict::Empty),
            },
            SignalKind::Fairness(config) => match &self.own[signal] {
                Own::Groups(groups) => {
                    let pairs = match config.disparity {
                        Disparity::EqualOpportunity => self.labelled.window(version, beside, config.labels)?,
                        Disparity::DemographicParity => Vec::new(),
                    };
                    groups.look(config, version, &pairs, at, surety(&config.level))
                }
                _ => Err(NoVerdict::Empty),
            },
            SignalKind::Outcome { window, min, level, .. } => match &self.own[signal] {
                Own::Outcomes(sums) => sums.look(version, *window, *min, at, surety(level)),
                _ => Err(NoVerdict::Empty),
            },
            SignalKind::Comparison(config) => {
                let config = config.clone();
                let places = config.of.places(self.width);
                let reference = Some(config.reference);
                let sides = self.sides([version, baseline], config.window, reference, config.min, &places, at)?;
                let Own::Draws(draws) = &mut self.own[signal] else { return Err(NoVerdict::Empty) };
                // What is drawn at a look does not depend on how much earlier looks drew.
                draws.seek(k << 32 | (version.index() as u64) << 56);
                comparisons::look(&config, &mut self.rows, sides, places, at, k, draws)
            }
            SignalKind::Sequence(_) => self.sequences.look(signal, version, baseline),
            SignalKind::Coin { share } => {
                let Own::Coin(coin) = &mut self.own[signal] else { return Err(NoVerdict::Empty) };
                coin.seek(self.scraped * 2);
                let heads = coin.uniform() < *share;
                Ok(Measurement { values: vec![if heads { 1.0 } else { 0.0 }], from: at, column: None })
            }
        }
    }

    /// The two sides of a comparison, (window, reference), if both have `min` rows; without a reference the window twice.
    fn sides(
        &self,
        [version, baseline]: [VersionId; 2],
        window: Span,
        reference: Option<Reference>,
        min: usize,
        columns: &Range<usize>,
        at: SimTime,
    ) -> Result<(Side, Side), NoVerdict> {
        let a = Side::Recent(version, window);
        let b = match reference {
            // Compared with itself a version never differs: that is no measurement.
            Some(Reference::Baseline) if version == baseline => return Err(NoVerdict::Itself),
            Some(Reference::Baseline) => Side::Recent(baseline, window),
            Some(Reference::First(span)) => Side::First(None, span),
            Some(Reference::Own(span)) => Side::First(Some(version), span),
            None => a,
        };
        let rows = |side| self.rows.extent(side, columns, at).0 as u64;
        let need = min as u64;
        match (rows(a), rows(b)) {
            (0, _) => Err(NoVerdict::Empty),
            (got, _) if got < need => Err(NoVerdict::TooFew { got, need }),
            (_, got) if got < need => Err(NoVerdict::NoReference { got, need }),
            _ => Ok((a, b)),
        }
    }
}

/// Windows for all signals that look at rows.
fn rows(signals: &[SignalConfig], width: usize) -> Rows {
    let (mut wanted, mut joint) = (vec![false; width + 1], vec![false; width + 1]);
    let (mut firsts, mut owns, mut keep) = (Vec::new(), Vec::new(), Span::ZERO);
    for signal in signals {
        let (of, window, together): (&Columns, Span, bool) = match &signal.kind {
            SignalKind::Comparison(c) => (&c.of, c.window, matches!(c.test, Test::Mmd(_))),
            SignalKind::DataQuality(d) => (&d.of, d.window, false),
            _ => continue,
        };
        of.places(width).for_each(|c| {
            wanted[c] = true;
            joint[c] |= together;
        });
        keep = keep.max(window);
        let (fixed, span) = match signal.kind.reference() {
            Some(Reference::First(span)) => (&mut firsts, span),
            Some(Reference::Own(span)) => (&mut owns, span),
            Some(Reference::Baseline) | None => continue,
        };
        if !fixed.contains(&span) {
            fixed.push(span);
        }
    }
    let features = signals.iter().any(|signal| signal.kind.reads_features());
    Rows::new(wanted, joint, features, keep, &firsts, owns)
}

fn own(signal: &SignalConfig, seed: Seed) -> Own {
    let path = format!("signal/{}", signal.name);
    match &signal.kind {
        SignalKind::Coin { .. } => Own::Coin(Stream::named(seed, &path, "coin")),
        SignalKind::Comparison(_) => Own::Draws(Stream::named(seed, &path, "draws")),
        SignalKind::Fairness(config) => Own::Groups(Groups::new(config.window)),
        SignalKind::Estimate { window, threshold, .. } => Own::Estimates(Estimates::new(*window, *threshold)),
        SignalKind::Outcome { window, .. } => Own::Outcomes(OutcomeSums::new(*window)),
        _ => Own::Nothing,
    }
}

fn take_rows(own: &mut Own, kind: &SignalKind, batch: &Observations) {
    match (own, kind) {
        (Own::Groups(groups), SignalKind::Fairness(config)) => groups.take(config, batch),
        (Own::Estimates(estimates), _) => estimates.take(batch),
        _ => {}
    }
}

/// Calls with the pairs of each version, in order.
fn by_version(pairs: &[Pair], mut each: impl FnMut(VersionId, &[(SimTime, f32, f32)])) {
    let mut versions: Vec<VersionId> = pairs.iter().map(|p| p.version).collect();
    versions.sort_unstable();
    versions.dedup();
    for version in versions {
        let mine = pairs.iter().filter(|p| p.version == version);
        each(version, &mine.map(|p| (p.ended, p.score, p.label)).collect::<Vec<_>>());
    }
}
