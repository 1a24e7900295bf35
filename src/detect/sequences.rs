//! Owns sequential detectors under way: one for each signal and version, fed with every observation a scrape brings.
//!
//! Memory: the detector's own, which its configuration states, and the values of one scrape with their times, 16 bytes each, twice that while they grow.

#[cfg(test)]
mod tests;

use crate::detect::Measurement;
use crate::detect::channel::{Channel, Values};
use crate::detect::config::Reference;
use crate::detect::intervals::{Interval, IntervalConfig};
use crate::detect::sequential::{Config, Reading, Sequential, Step};
use crate::detect::verdict::NoVerdict;
use crate::event::Input;
use crate::id::VersionId;
use crate::rng::{Seed, Stream};
use crate::stats::summary::Summary;
use crate::time::{SimTime, Span};

/// Fewer reference values than this give no mean and spread to standardise with: below some 30 a mean of values with a tail is not
/// yet as good as Gaussian.
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
    ///
    /// `first`, `own`: the reference is what became known in that time from the first value on, and until there are
    /// `LEARN_MIN`; what is known later is never part of it, however old. `baseline`: the mean is the baseline's of the same
    /// scrape, the deviation that of all its values so far. Its mean of `m` values errs, and in the same direction for all `n`
    /// values that it is taken from: their sum varies by `sd^2 n (1 + n/m)`, so values are divided by `sd sqrt(1 + n/m)`. At the
    /// end of each scrape the sum then varies as that of `n` independent values; in between, less. Both sides are of the same
    /// time: what ended while the other version did not answer is left out. Fewer than `LEARN_MIN` values of the baseline are
    /// no reference.
    pub standardise: Option<Reference>,
}

/// Fields of a detector's measurement: see [`SequenceConfig::fields`].
const DETECTOR: &[&str] = &["alarm", "warning", "statistic", "threshold", "n"];
const INTERVAL: &[&str] = &["value", "lower", "upper", "n", "outside"];

impl SequenceConfig {
    /// The fields that a rule may read. Of a detector: `alarm` (how often it signalled since the look before), `warning`
    /// (likewise), `statistic`, `threshold` and `n` (observations since its last start) as they were at the last of these alarms,
    /// and without one as they stand. Of a confidence sequence: `value`, `lower`, `upper`, `n`, `outside` (how many of the `n`
    /// were beyond the range and taken as its end).
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
    /// The scrape at which learning ends.
    until: Option<SimTime>,
    /// It has ended.
    closed: bool,
}

impl Learned {
    /// Takes the values if they belong to the reference; whether they do.
    fn take(&mut self, values: &Values, span: Span) -> bool {
        let until = *self.until.get_or_insert(values.known + span);
        self.closed |= values.known >= until && self.summary.count() >= LEARN_MIN;
        if !self.closed {
            self.add(&values.values);
        }
        !self.closed
    }

    fn add(&mut self, values: &[f64]) {
        values.iter().filter(|x| x.is_finite()).for_each(|&x| self.summary.add(x));
    }

    /// How values are standardised, once learning has ended.
    fn learned(&self) -> Result<Scale, NoVerdict> {
        match self.closed {
            true => self.scale(),
            false => Err(NoVerdict::Learning),
        }
    }

    /// How they would be by what is known so far.
    fn scale(&self) -> Result<Scale, NoVerdict> {
        let n = self.summary.count();
        if n < LEARN_MIN {
            return Err(NoVerdict::NoReference { got: n, need: LEARN_MIN });
        }
        let (mean, sd) = (self.summary.mean(), self.summary.standard_deviation());
        let (mean, divisor) = mean.zip(sd).filter(|(_, sd)| *sd > 0.0).ok_or(NoVerdict::NoSpread)?;
        Ok(Scale { mean, divisor, ..Scale::NONE })
    }
}

/// How values are standardised: (value − mean) / divisor, of requests that ended within a time.
#[derive(Debug, Clone, Copy)]
struct Scale {
    mean: f64,
    divisor: f64,
    from: SimTime,
    to: SimTime,
}

impl Scale {
    /// All values as they are.
    const NONE: Self = Self { mean: 0.0, divisor: 1.0, from: SimTime::ZERO, to: SimTime(u64::MAX) };
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Detector(Box<Sequential>),
    Interval(Interval),
}

/// Of a scrape of which more than a tenth is infinite a detector that leaves that out says nothing: the rest may look well.
const LEFT_OUT: u64 = 10;

/// One detector on one version's stream.
#[derive(Debug, Clone, PartialEq)]
struct Line {
    state: State,
    /// What the latest scrape brought.
    values: Vec<f64>,
    /// When the request that each is about ended.
    ended: Vec<SimTime>,
    /// Values of it that were missing.
    missing: usize,
    /// The detector has once had what it needs for an alarm. What it needs when it has begun anew is silence after an alarm.
    ready: bool,
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
    /// Features of a log row.
    width: usize,
    /// By place among the policy's signals; `None` for signals of other families.
    configs: Vec<Option<(String, SequenceConfig)>>,
    lines: Vec<Vec<Option<Line>>>,
    /// The first values of all versions together, by signal.
    first: Vec<Learned>,
    /// The scrape is complete: what comes next belongs to another.
    complete: bool,
}

impl Sequences {
    /// Nothing observed yet. `width`: features of a log row; of one that has more or fewer none is followed.
    #[must_use]
    pub fn new(configs: Vec<Option<(String, SequenceConfig)>>, width: usize, seed: Seed) -> Self {
        let n = configs.len();
        Self { seed, width, configs, lines: vec![Vec::new(); n], first: vec![Learned::default(); n], complete: false }
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
            state + line.values.capacity() * size_of::<f64>() + line.ended.capacity() * size_of::<SimTime>()
        };
        let lines = self.lines.iter().map(|lines| {
            lines.capacity() * size_of::<Option<Line>>() + lines.iter().flatten().map(line).sum::<usize>()
        });
        lines.sum::<usize>() + self.first.capacity() * size_of::<Learned>()
    }

    /// Takes what a scrape brings of every channel that is followed.
    pub fn take(&mut self, input: &Input) {
        match input {
            Input::Observations(batch) => {
                let foreign = batch.features.len() != self.width;
                let fits = |channel: &Channel| !(foreign && matches!(channel, Channel::Feature(_)));
                self.push(batch.version, |channel| fits(channel).then(|| channel.of_rows(batch))?);
            }
            Input::Outcomes(batch) => self.push(batch.version, |channel| channel.of_outcomes(batch)),
            Input::Metrics(_) => self.complete = true,
            _ => {}
        }
    }

    /// Takes labelled answers of one version, whose labels came with the scrape `known`: (when it ended, score, label), in the order
    /// the labels came.
    pub fn labelled(&mut self, known: SimTime, version: VersionId, pairs: &[(SimTime, f32, f32)]) {
        self.push(version, |channel| channel.of_labelled(known, pairs));
    }

    fn push(&mut self, version: VersionId, values: impl Fn(&Channel) -> Option<Values>) {
        if std::mem::take(&mut self.complete) {
            self.lines.iter_mut().flatten().flatten().for_each(|line| {
                line.values.clear();
                line.ended.clear();
                line.missing = 0;
                line.seen = false;
            });
        }
        for signal in 0..self.configs.len() {
            let Some((name, config)) = &self.configs[signal] else { continue };
            let Some(values) = values(&config.of).filter(|v| !v.values.is_empty() || v.missing > 0) else { continue };
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
                let (values, ended) = (Vec::new(), Vec::new());
                Line {
                    state,
                    values,
                    ended,
                    missing: 0,
                    ready: false,
                    seen: false,
                    since: None,
                    own: Learned::default(),
                }
            });
            line.missing += values.missing;
            if values.values.is_empty() {
                continue;
            }
            let learns = match config.standardise {
                Some(Reference::First(span)) => self.first[signal].take(&values, span),
                Some(Reference::Own(span)) => line.own.take(&values, span),
                // The baseline is learned from as long as it lives; its mean at the same time is taken at the look.
                Some(Reference::Baseline) => {
                    line.own.add(&values.values);
                    false
                }
                None => false,
            };
            if !learns {
                line.values.extend(values.values);
                line.ended.extend(values.ended);
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
        let line = |v: VersionId| lines.get(v.index()).and_then(Option::as_ref);
        let scale = match config.standardise {
            None => Scale::NONE,
            Some(Reference::Baseline) if version == baseline => return Err(NoVerdict::Itself),
            Some(Reference::Baseline) => line(version).ok_or(NoVerdict::Empty)?.against(line(baseline))?,
            Some(Reference::First(_)) => self.first[signal].learned()?,
            Some(Reference::Own(_)) => line(version).ok_or(NoVerdict::Empty)?.own.learned()?,
        };
        let line = lines.get_mut(version.index()).and_then(Option::as_mut).ok_or(NoVerdict::Empty)?;
        line.look(&scale)
    }
}

impl Line {
    /// How this version's values are standardised by those that the baseline has of the same time.
    fn against(&self, baseline: Option<&Self>) -> Result<Scale, NoVerdict> {
        let missing = |got: u64| NoVerdict::NoReference { got, need: LEARN_MIN };
        let baseline = baseline.ok_or(missing(0))?;
        let extent = |line: &Self| line.ended.iter().copied().min().zip(line.ended.iter().copied().max());
        let (mine, beside) = (extent(self).ok_or_else(|| self.none())?, extent(baseline).ok_or(missing(0))?);
        let mut scale = Scale { from: mine.0.max(beside.0), to: mine.1.min(beside.1), ..Scale::NONE };
        let mut now = Summary::default();
        baseline.within(&scale).filter(|(x, _)| x.is_finite()).for_each(|(x, _)| now.add(x));
        let (n, m) = (self.within(&scale).count() as f64, now.count());
        let mean = now.mean().filter(|_| m >= LEARN_MIN).ok_or(missing(m))?;
        scale.mean = mean;
        scale.divisor = baseline.own.scale()?.divisor * (1.0 + n / m as f64).sqrt();
        Ok(scale)
    }

    /// What the latest scrape brought of that time, and when.
    fn within(&self, scale: &Scale) -> impl Iterator<Item = (f64, SimTime)> {
        let times = scale.from..=scale.to;
        self.values.iter().copied().zip(self.ended.iter().copied()).filter(move |(_, ended)| times.contains(ended))
    }

    /// Why there is nothing to look at.
    const fn none(&self) -> NoVerdict {
        if self.missing > 0 && self.values.is_empty() { NoVerdict::AllMissing } else { NoVerdict::Empty }
    }

    fn look(&mut self, scale: &Scale) -> Result<Measurement, NoVerdict> {
        if std::mem::replace(&mut self.seen, true) {
            return Err(NoVerdict::Empty);
        }
        let standardised = self.within(scale).map(|(x, ended)| ((x - scale.mean) / scale.divisor, ended));
        let (values, ended): (Vec<f64>, Vec<SimTime>) = standardised.unzip();
        let first = ended.iter().min().copied().ok_or_else(|| self.none())?;
        // Late labels are about answers that may be older than those of the scrape before.
        let from = self.since.map_or(first, |since| since.min(first));
        let values = match &mut self.state {
            State::Detector(detector) => {
                let (mut alarms, mut warnings, mut last) = (0_u32, 0_u32, 0);
                let left_out = detector.missing();
                let alarm = detector.feed(&values, |i, step| match step {
                    Step::Alarm => (alarms, last) = (alarms + 1, i),
                    Step::Warning => warnings += 1,
                    Step::Quiet | Step::Cleared => {}
                });
                let left_out = detector.missing() - left_out;
                if alarm.is_none() && left_out > values.len() as u64 / LEFT_OUT {
                    return Err(NoVerdict::NotFinite);
                }
                // A detector that has signalled begins again.
                self.since = if alarm.is_some() { ended[last + 1..].iter().min().copied() } else { Some(from) };
                if let (None, false, Some((got, need))) = (alarm, self.ready, detector.needs()) {
                    return Err(NoVerdict::TooFew { got, need });
                }
                self.ready = true;
                let Reading { statistic, threshold, seen } = alarm.unwrap_or_else(|| detector.reading());
                vec![f64::from(alarms), f64::from(warnings), statistic, threshold, seen as f64]
            }
            State::Interval(interval) => {
                self.since = Some(from);
                values.iter().for_each(|&x| interval.add(x));
                interval.values().ok_or(NoVerdict::AllMissing)?
            }
        };
        Ok(Measurement { values, from, column: None })
    }
}
