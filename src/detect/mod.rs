//! Owns signals: streaming detectors over telemetry, one file a family, and what a look at one of them gives.

pub mod config;
pub mod counters;
pub mod labelled;
pub mod rows;
pub mod sequential;
pub mod two_sample;

use crate::detect::config::{Columns, Reference, SignalConfig, SignalKind};
use crate::detect::counters::Scrapes;
use crate::detect::labelled::Labelled;
use crate::detect::rows::{Rows, Side};
use crate::event::Input;
use crate::id::VersionId;
use crate::rng::{Seed, Stream};
use crate::stats::ks::KsScratch;
use crate::stats::proportion::wilson;
use crate::time::{SimTime, Span};

/// One measurement of a signal: its fields in the order of [`SignalKind::fields`], NaN where there is no value, and the
/// time its evidence begins.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// Fields.
    pub values: Vec<f64>,
    /// The evidence covers from here to the scrape looked at.
    pub from: SimTime,
}

/// All signals of one policy over one stream of telemetry. Plain data: bounded by its windows, cloned it continues the same
/// way.
#[derive(Debug, Clone, PartialEq)]
pub struct Detectors {
    signals: Vec<SignalConfig>,
    width: usize,
    scrapes: Scrapes,
    rows: Rows,
    labelled: Labelled,
    coins: Vec<Stream>,
    looks: u64,
}

impl Detectors {
    /// Nothing seen yet. `width`: features of a log row. `seed` feeds the signals that draw.
    #[must_use]
    pub fn new(signals: &[SignalConfig], width: usize, seed: Seed) -> Self {
        let mut wanted = vec![false; width + 1];
        let (mut firsts, mut owns) = (Vec::new(), Vec::new());
        let (mut rows_keep, mut scrapes_keep, mut labels_keep) = (Span::ZERO, Span::ZERO, 0);
        for signal in signals {
            match &signal.kind {
                SignalKind::LatencyQuantile { window, .. } | SignalKind::ErrorRate { window, .. } => {
                    scrapes_keep = scrapes_keep.max(*window);
                }
                SignalKind::Accuracy { labels, .. } => labels_keep = labels_keep.max(*labels),
                SignalKind::Ks { of, window, reference, .. } | SignalKind::Psi { of, window, reference, .. } => {
                    columns(of, width).for_each(|c| wanted[c] = true);
                    rows_keep = rows_keep.max(*window);
                    let (fixed, span) = match reference {
                        Reference::First(span) => (&mut firsts, *span),
                        Reference::Own(span) => (&mut owns, *span),
                        Reference::Baseline => continue,
                    };
                    if !fixed.contains(&span) {
                        fixed.push(span);
                    }
                }
                SignalKind::Coin { .. } => {}
            }
        }
        let coin = |s: &SignalConfig| Stream::named(seed, &format!("signal/{}", s.name), "coin");
        Self {
            signals: signals.to_vec(),
            width,
            scrapes: Scrapes::new(scrapes_keep),
            rows: Rows::new(wanted, rows_keep, &firsts, owns),
            labelled: Labelled::new(labels_keep),
            coins: signals.iter().map(coin).collect(),
            looks: 0,
        }
    }

    /// Takes what telemetry brings.
    pub fn take(&mut self, input: &Input) {
        match input {
            Input::Metrics(metrics) => {
                self.scrapes.take(metrics);
                self.looks += 1;
            }
            Input::Observations(batch) => {
                self.rows.take(batch);
                self.labelled.scores(batch);
            }
            Input::Labels(batch) => self.labelled.labels(batch),
            _ => {}
        }
    }

    /// Looks at a signal for a version, as of the scrape at `at`. Signals that compare do so with `baseline`.
    pub fn look(&mut self, signal: usize, version: VersionId, baseline: VersionId, at: SimTime) -> Measurement {
        let Some(config) = self.signals.get(signal) else { return Measurement { values: Vec::new(), from: at } };
        let kind = config.kind.clone();
        let none = || Measurement { values: vec![f64::NAN; kind.fields().len()], from: at };
        let found = match &kind {
            SignalKind::LatencyQuantile { quantile, window } => {
                self.scrapes.over(version, *window).and_then(|(totals, from)| {
                    let seconds = totals.latency.quantile(*quantile)? / 1e9;
                    Some(Measurement { values: vec![seconds, totals.latency.count() as f64], from })
                })
            }
            SignalKind::ErrorRate { window, confidence } => {
                self.scrapes.over(version, *window).and_then(|(totals, from)| {
                    proportion(totals.failed(), totals.requests(), *confidence)
                        .map(|values| Measurement { values, from })
                })
            }
            SignalKind::Accuracy { labels, min, threshold, confidence } => {
                self.labelled.accuracy(version, *labels, *threshold).and_then(|(right, all, from)| {
                    let enough = all >= *min as u64;
                    let values = enough.then(|| proportion(right, all, *confidence)).flatten()?;
                    Some(Measurement { values, from })
                })
            }
            SignalKind::Ks { of, window, reference, min } => {
                self.compared(version, baseline, *window, *reference, *min, at).and_then(|(a, b, n, from)| {
                    let values = self.ks(of, (a, b), at)?;
                    Some(Measurement { values: vec![values.0, values.1, n as f64], from })
                })
            }
            SignalKind::Psi { of, window, reference, bins, alpha, min } => {
                self.compared(version, baseline, *window, *reference, *min, at).and_then(|(a, b, n, from)| {
                    let values = self.psi(of, (a, b), at, *bins, *alpha)?;
                    Some(Measurement { values: vec![values.0, values.1, n as f64], from })
                })
            }
            SignalKind::Coin { share } => {
                self.coins[signal].seek(self.looks * 2);
                let heads = self.coins[signal].uniform() < *share;
                Some(Measurement { values: vec![if heads { 1.0 } else { 0.0 }], from: at })
            }
        };
        found.unwrap_or_else(none)
    }

    /// The two sides of a comparison if both have `min` rows, the rows under test, and when they begin.
    fn compared(
        &self,
        version: VersionId,
        baseline: VersionId,
        window: Span,
        reference: Reference,
        min: usize,
        at: SimTime,
    ) -> Option<(Side, Side, usize, SimTime)> {
        let a = Side::Recent(version, window);
        let b = match reference {
            // Compared with itself a version never differs: that is no measurement.
            Reference::Baseline if version == baseline => return None,
            Reference::Baseline => Side::Recent(baseline, window),
            Reference::First(span) => Side::First(None, span),
            Reference::Own(span) => Side::First(Some(version), span),
        };
        let ((n, from), (m, _)) = (self.rows.extent(a, at), self.rows.extent(b, at));
        (n >= min && m >= min).then_some((a, b, n, from))
    }

    fn ks(&self, of: &Columns, (a, b): (Side, Side), at: SimTime) -> Option<(f64, f64)> {
        let mut scratch = KsScratch::default();
        let count = columns(of, self.width).count() as f64;
        let tests = columns(of, self.width).filter_map(|c| self.rows.ks(c, a, b, at, &mut scratch));
        tests
            .map(|t| (t.d, t.p_value()))
            .reduce(|x, y| (x.0.max(y.0), x.1.min(y.1)))
            .map(|(d, p)| (d, (p * count).min(1.0)))
    }

    fn psi(&mut self, of: &Columns, sides: (Side, Side), at: SimTime, bins: usize, alpha: f64) -> Option<(f64, f64)> {
        let count = columns(of, self.width).count() as f64;
        let mut worst: Option<(f64, f64)> = None;
        for column in columns(of, self.width) {
            if let Some((value, threshold)) = self.rows.psi(column, sides, at, bins, alpha / count) {
                let ratio = value / threshold;
                worst = Some(worst.map_or((value, ratio), |w| (w.0.max(value), w.1.max(ratio))));
            }
        }
        worst
    }
}

fn proportion(events: u64, all: u64, confidence: f64) -> Option<Vec<f64>> {
    let interval = wilson(events, all, confidence)?;
    Some(vec![events as f64 / all as f64, interval.low, interval.high, all as f64])
}

/// Column places: features in order, then the score.
fn columns(of: &Columns, width: usize) -> std::ops::Range<usize> {
    match of {
        Columns::Score => width..width + 1,
        Columns::Feature(i) => *i..(*i + 1).min(width),
        Columns::Features => 0..width,
        Columns::All => 0..width + 1,
    }
}
