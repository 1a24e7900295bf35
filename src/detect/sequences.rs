//! Owns sequential detectors under way: one for each signal and version, fed with every observation a scrape brings.
//!
//! Memory: the detector's own, which its configuration states, and the values of one scrape.

use crate::detect::Measurement;
use crate::detect::channel::{Channel, Values};
use crate::detect::config::Reference;
use crate::detect::intervals::{Interval, IntervalConfig};
use crate::detect::sequential::{Config, Sequential, Step};
use crate::detect::verdict::NoVerdict;
use crate::event::Input;
use crate::id::VersionId;
use crate::rng::{Seed, Stream};
use crate::stats::summary::Summary;
use crate::time::SimTime;

/// Fewer reference values than this give no mean and spread to standardise with.
const LEARN_MIN: u64 = 30;

/// What follows a channel.
#[derive(Debug, Clone, PartialEq)]
pub enum Follower {
    /// A detector.
    Detector(Config),
    /// A confidence sequence.
    Interval(IntervalConfig),
}

/// One signal that follows a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct SequenceConfig {
    /// What is followed.
    pub of: Channel,
    /// By what.
    pub by: Follower,
    /// Values are turned into (value − mean) / standard deviation of this reference before the detector sees them.
    pub standardise: Option<Reference>,
}

/// Fields of a detector's measurement: see [`SequenceConfig::fields`].
const DETECTOR: &[&str] = &["alarm", "warning", "statistic", "threshold", "n"];
const INTERVAL: &[&str] = &["value", "lower", "upper", "n"];

impl SequenceConfig {
    /// The fields that a rule may read. Of a detector: `alarm` (how often it signalled since the look before), `warning`
    /// (likewise), `statistic` and `threshold` as they stand, `n` (observations since its last start). Of a confidence
    /// sequence: `value`, `lower`, `upper`, `n`.
    #[must_use]
    pub const fn fields(&self) -> &'static [&'static str] {
        match self.by {
            Follower::Detector(_) => DETECTOR,
            Follower::Interval(_) => INTERVAL,
        }
    }
}

/// Mean and spread of the values that came first, or beside.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Learned {
    summary: Summary,
    /// When learning began.
    since: Option<SimTime>,
}

impl Learned {
    /// Takes the values if they belong to the reference; whether they do.
    fn take(&mut self, values: &[f64], from: SimTime, span: crate::time::Span) -> bool {
        let since = *self.since.get_or_insert(from);
        let learns = from < since + span;
        if learns {
            self.add(values);
        }
        learns
    }

    fn add(&mut self, values: &[f64]) {
        values.iter().filter(|x| x.is_finite()).for_each(|&x| self.summary.add(x));
    }

    /// Mean and standard deviation.
    fn scale(&self) -> Result<(f64, f64), NoVerdict> {
        let n = self.summary.count();
        if n < LEARN_MIN {
            return Err(NoVerdict::NoReference { got: n, need: LEARN_MIN });
        }
        let (mean, sd) = (self.summary.mean(), self.summary.standard_deviation());
        mean.zip(sd).filter(|(_, sd)| *sd > 0.0).ok_or(NoVerdict::NoSpread)
    }
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Detector(Box<Sequential>),
    Interval(Interval),
}

/// One detector on one version's stream.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    state: State,
    /// What the latest scrape brought.
    values: Vec<f64>,
    /// When the earliest of it was.
    from: SimTime,
    /// The latest scrape has been looked at.
    seen: bool,
    /// When the detector's present run began.
    since: Option<SimTime>,
    /// The version's own first values.
    own: Learned,
}

/// All detectors of one policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequences {
    seed: Seed,
    /// By place among the policy's signals; `None` for signals of other families.
    configs: Vec<Option<(String, SequenceConfig)>>,
    lines: Vec<Vec<Option<Line>>>,
    /// The first values of all versions together, by signal.
    first: Vec<Learned>,
    /// The scrape is complete: what comes next belongs to another.
    complete: bool,
}

impl Sequences {
    /// Nothing observed yet.
    #[must_use]
    pub fn new(configs: Vec<Option<(String, SequenceConfig)>>, seed: Seed) -> Self {
        let n = configs.len();
        Self { seed, configs, lines: vec![Vec::new(); n], first: vec![Learned::default(); n], complete: false }
    }

    /// Whether any signal follows `wanted`.
    pub fn any(&self, wanted: impl Fn(&Channel) -> bool) -> bool {
        self.configs.iter().flatten().any(|(_, c)| wanted(&c.of))
    }

    /// Bytes behind pointers.
    #[must_use]
    pub fn heap(&self) -> usize {
        let line = |line: &Line| {
            let state = match &line.state {
                State::Detector(detector) => detector.bytes(),
                State::Interval(interval) => interval.heap(),
            };
            state + line.values.capacity() * size_of::<f64>()
        };
        let lines = self.lines.iter().map(|lines| {
            lines.capacity() * size_of::<Option<Line>>() + lines.iter().flatten().map(line).sum::<usize>()
        });
        lines.sum::<usize>() + self.first.capacity() * size_of::<Learned>()
    }

    /// Takes what a scrape brings of every channel that is followed.
    pub fn take(&mut self, input: &Input) {
        match input {
            Input::Observations(batch) => self.push(batch.version, |channel| channel.of_rows(batch)),
            Input::Outcomes(batch) => self.push(batch.version, |channel| channel.of_outcomes(batch)),
            Input::Metrics(_) => self.complete = true,
            _ => {}
        }
    }

    /// Takes labelled answers of one version: (when it ended, score, label), in the order the labels came.
    pub fn labelled(&mut self, version: VersionId, pairs: &[(SimTime, f32, f32)]) {
        self.push(version, |channel| channel.of_labelled(pairs));
    }

    fn push(&mut self, version: VersionId, values: impl Fn(&Channel) -> Option<Values>) {
        if std::mem::take(&mut self.complete) {
            self.lines.iter_mut().flatten().flatten().for_each(|line| {
                line.values.clear();
                line.seen = false;
            });
        }
        for signal in 0..self.configs.len() {
            let Some((name, config)) = &self.configs[signal] else { continue };
            let Some(Values { values, from }) = values(&config.of).filter(|v| !v.values.is_empty()) else { continue };
            let lines = &mut self.lines[signal];
            if lines.len() <= version.index() {
                lines.resize(version.index() + 1, None);
            }
            let line = lines[version.index()].get_or_insert_with(|| {
                let path = format!("signal/{name}/version/{}", version.index());
                let state = match &config.by {
                    Follower::Detector(detector) => {
                        State::Detector(Box::new(detector.start(Stream::named(self.seed, &path, "draws"))))
                    }
                    Follower::Interval(interval) => State::Interval(interval.start()),
                };
                Line { state, values: Vec::new(), from, seen: false, since: None, own: Learned::default() }
            });
            line.from = if line.values.is_empty() { from } else { line.from.min(from) };
            match config.standardise {
                Some(Reference::First(span)) if self.first[signal].take(&values, from, span) => {}
                Some(Reference::Own(span)) if line.own.take(&values, from, span) => {}
                // The baseline is learned from as long as it lives; its mean at the same time is taken at the look.
                Some(Reference::Baseline) => {
                    line.own.add(&values);
                    line.values.extend(values);
                }
                _ => line.values.extend(values),
            }
        }
    }

    /// Feeds what the latest scrape brought of a version, and tells where the detector stands.
    ///
    /// # Errors
    /// When there is nothing to tell.
    pub fn look(&mut self, signal: usize, version: VersionId, baseline: VersionId) -> Result<Measurement, NoVerdict> {
        let Some(Some((_, config))) = self.configs.get(signal) else { return Err(NoVerdict::Empty) };
        let lines = &mut self.lines[signal];
        let of = |lines: &[Option<Line>], v: VersionId| lines.get(v.index()).and_then(Option::as_ref).map(|l| l.own);
        let (mean, sd) = match config.standardise {
            None => (0.0, 1.0),
            Some(Reference::Baseline) if version == baseline => return Err(NoVerdict::Itself),
            Some(Reference::Baseline) => {
                let beside = lines.get(baseline.index()).and_then(Option::as_ref);
                let now = beside.map_or(Summary::default(), |l| Summary::of(&l.values));
                if now.count() == 0 {
                    return Err(NoVerdict::NoReference { got: 0, need: 1 });
                }
                let (_, sd) = of(lines, baseline).unwrap_or_default().scale()?;
                (now.mean().unwrap_or(f64::NAN), sd)
            }
            Some(Reference::First(_)) => self.first[signal].scale()?,
            Some(Reference::Own(_)) => of(lines, version).unwrap_or_default().scale()?,
        };
        let Some(line) = lines.get_mut(version.index()).and_then(Option::as_mut) else { return Err(NoVerdict::Empty) };
        if line.values.is_empty() || std::mem::replace(&mut line.seen, true) {
            return Err(NoVerdict::Empty);
        }
        if config.standardise.is_some() {
            line.values.iter_mut().for_each(|x| *x = (*x - mean) / sd);
        }
        let from = *line.since.get_or_insert(line.from);
        let values = match &mut line.state {
            State::Detector(detector) => {
                let (mut alarms, mut warnings) = (0_u32, 0_u32);
                detector.feed(&line.values, |_, step| match step {
                    Step::Alarm => alarms += 1,
                    Step::Warning => warnings += 1,
                    Step::Quiet | Step::Cleared => {}
                });
                if alarms > 0 {
                    // A detector that has signalled begins again.
                    line.since = None;
                }
                let n = detector.seen() as f64;
                vec![f64::from(alarms), f64::from(warnings), detector.statistic(), detector.threshold(), n]
            }
            State::Interval(interval) => {
                line.values.iter().for_each(|&x| interval.add(x));
                interval.values().ok_or(NoVerdict::AllMissing)?
            }
        };
        Ok(Measurement { values, from, column: None })
    }
}
