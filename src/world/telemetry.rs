//! Owns the telemetry pipeline: ended requests become counters, histograms and log rows; scrapes carry them, late and
//! partial, to the controller.

use crate::event::{
    Answer, Capacity, Event, Gap, GaugeRow, Input, Labels, Metrics, MetricsRow, Observations, Outcome, ReplicaState,
    RequestEnd,
};
use crate::id::{ReplicaId, RequestId, SegmentId, SourceId, VersionId};
use crate::rng::{Seed, Stream};
use crate::stats::histogram::Histogram;
use crate::time::{SimTime, Span};
use crate::world::config::WorldConfig;
use crate::world::due::Due;
use crate::world::inference::{BlockOutcome, RowOutcome, RuntimeError};
use crate::world::outcomes::Aftermath;
use crate::world::plant::{Ended, Instance, World};
use crate::world::predictions::Predictions;
use crate::world::replica::Replica;
use crate::world::schedule::{Class, Effects, Key, WorldEvent};
use crate::world::traffic::{BLOCK, Block, NO_LABEL};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Cumulative counters of one (version, segment, replica).
#[derive(Debug, Clone, PartialEq, Default)]
struct Counters {
    ended: [u64; 6],
    latency: Histogram,
}

/// A label under way: (source, known at, ordinal, value).
type Label = (SourceId, SimTime, u64, f32);

/// The pipeline's state.
///
/// Ended requests are counted one by one ([`Self::count`], which also draws their outcomes and notes in the log when those
/// without an answer ended; those that were answered get a row there, [`Self::log`] and [`Self::await_label`]). At every scrape [`Self::scrape`] says what of it can be read; if it was not lost,
/// [`Self::keep_totals`] remembers it for queries, and [`Self::metrics`] is what the counters say.
#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    lag: Span,
    loss: Stream,
    loss_share: f64,
    /// By (replica + 1, or 0 for requests that reached none) and segment.
    counters: Vec<BTreeMap<(VersionId, SegmentId), Counters>>,
    /// The log since the last scrape, by source and version, in the order in which ends were told.
    rows: BTreeMap<(SourceId, VersionId), Observations>,
    labels: Due<Label>,
    outcomes: Aftermath,
    /// The scrape that arrived last.
    last: SimTime,
    /// Totals per version at past scrapes, for queries: (time, per version (ended, latency)).
    totals: VecDeque<(SimTime, Vec<Counters>)>,
    versions: usize,
    /// What each replica may use.
    capacity: Capacity,
    /// Whether log rows carry features: some signal reads them.
    reads_features: bool,
}

/// What a scrape brings, but for the metrics.
#[derive(Debug, Clone, PartialEq)]
pub enum Scraped {
    /// Nothing: what happened since the last one that arrived is unknown, and its log is gone. Counters go on, and labels and
    /// outcomes come with the next scrape.
    Lost(Gap),
    /// What has come since the last scrape, in the order in which it is told: the log by (source, version), labels by source,
    /// outcomes by (source, outcome, version); nothing of whom there is nothing to tell.
    Read(Vec<Input>),
}

/// How far back queries can look; a longer window is an error and not a shorter window. Memory: one histogram (5 kB at
/// most) for each version and scrape.
const QUERIES_KEPT: Span = Span::secs(3600);

impl Telemetry {
    /// Nothing measured yet. `reads_features`: whether log rows carry features (some signal reads them).
    #[must_use]
    pub fn new(config: &WorldConfig, seed: Seed, reads_features: bool) -> Self {
        Self {
            lag: config.telemetry.lag,
            loss: Stream::named(seed, "telemetry", "loss"),
            loss_share: config.telemetry.loss,
            counters: vec![BTreeMap::new()],
            rows: BTreeMap::new(),
            labels: Due::new(config.telemetry.scrape),
            outcomes: Aftermath::new(config, seed),
            last: SimTime::ZERO,
            totals: VecDeque::new(),
            versions: config.versions.len(),
            capacity: config.fleet.capacity(),
            reads_features,
        }
    }

    /// The n-th scrape.
    #[must_use]
    pub(crate) fn next_scrape(config: &WorldConfig, n: u64) -> (Key, WorldEvent) {
        let at = SimTime(config.telemetry.scrape.0.saturating_mul(n));
        (Key { at, class: Class::Sample, entity: 0, seq: n }, WorldEvent::Scrape(n))
    }

    /// Counts an ended request and draws its outcomes. One without an answer leaves its time in the log, and no row.
    pub fn count(&mut self, end: &RequestEnd) {
        let place = end.replica.map_or(0, |r| r.index() + 1);
        if self.counters.len() <= place {
            self.counters.resize_with(place + 1, BTreeMap::new);
        }
        let counters = self.counters[place].entry((end.version, end.segment)).or_default();
        counters.ended[end.outcome as usize] += 1;
        if end.outcome.is_answered() {
            counters.latency.record(end.ended.since(end.arrived).0);
        } else {
            self.logged(end).unanswered.push(end.ended);
        }
        self.outcomes.follow(end);
    }

    /// The log of an ended request's source and version.
    fn logged(&mut self, end: &RequestEnd) -> &mut Observations {
        let key = (end.request.source, end.version);
        self.rows.entry(key).or_insert_with(|| Observations {
            scraped_at: SimTime::ZERO,
            source: key.0,
            version: key.1,
            ordinals: Vec::new(),
            ended: Vec::new(),
            latency: Vec::new(),
            segments: Vec::new(),
            scores: Vec::new(),
            features: Vec::new(),
            unanswered: Vec::new(),
        })
    }

    /// Writes an answered request to the log; `slot` is its row in `block`.
    pub fn log(&mut self, end: &RequestEnd, block: &Block, slot: usize) {
        let width = if self.reads_features { block.width } else { 0 };
        let rows = self.logged(end);
        if rows.features.is_empty() {
            rows.features = vec![Vec::new(); width];
        }
        rows.ordinals.push(end.request.ordinal);
        rows.ended.push(end.ended);
        rows.latency.push(end.ended.since(end.arrived));
        rows.segments.push(end.segment);
        rows.scores.push(end.score);
        for (column, &x) in rows.features.iter_mut().zip(&block.features[slot * block.width..]) {
            column.push(x);
        }
    }

    /// The truth about an answered request becomes known `delay` after its end, and comes with the first scrape from then on.
    pub fn await_label(&mut self, end: &RequestEnd, delay: Span) {
        let known = end.ended + delay;
        self.labels.put(known, (end.request.source, known, end.request.ordinal, end.truth));
    }

    /// What the counters say at a scrape, with the state of the replicas.
    #[must_use]
    pub fn metrics(&self, now: SimTime, gauges: Vec<GaugeRow>) -> Metrics {
        let mut rows: Vec<MetricsRow> = Vec::new();
        for (place, by_segment) in self.counters.iter().enumerate() {
            let replica = (place > 0).then(|| crate::id::ReplicaId(place as u32 - 1));
            rows.extend(by_segment.iter().map(|(&(version, segment), c)| MetricsRow {
                version,
                segment,
                replica,
                ended: c.ended,
                latency: c.latency.clone(),
            }));
        }
        rows.sort_by_key(|r| (r.version, r.segment, r.replica));
        Metrics { scraped_at: now, rows, gauges, capacity: self.capacity }
    }

    /// Remembers what a scrape that arrived has read, for queries.
    pub fn keep_totals(&mut self, now: SimTime) {
        let mut totals = vec![Counters::default(); self.versions];
        for ((version, _), c) in self.counters.iter().flatten() {
            let total = &mut totals[version.index()];
            total.ended.iter_mut().zip(c.ended).for_each(|(sum, n)| *sum += n);
            total.latency.merge(&c.latency);
        }
        self.totals.push_back((now, totals));
        let oldest = now.minus(QUERIES_KEPT);
        while self.totals.len() > 1 && self.totals[1].0 <= oldest {
            self.totals.pop_front();
        }
    }

    /// The n-th scrape (from 1): whether it is lost, and what it brings. The draw belongs to n.
    pub fn scrape(&mut self, now: SimTime, n: u64) -> Scraped {
        let rows = std::mem::take(&mut self.rows);
        self.loss.seek(n * 2);
        if self.loss.uniform() < self.loss_share {
            return Scraped::Lost(Gap { from: self.last, to: now, replica: None });
        }
        self.last = now;
        let rows = rows.into_values().map(|rows| in_order(Observations { scraped_at: now, ..rows }));
        let mut told: Vec<Input> = rows.map(Input::Observations).collect();
        let mut labels = self.labels.take(n);
        labels.sort_unstable_by_key(|&(source, known, ordinal, _)| (source, known, ordinal));
        told.extend(labels.chunk_by(|a, b| a.0 == b.0).map(|of_source| {
            Input::Labels(Labels {
                scraped_at: now,
                source: of_source[0].0,
                ordinals: of_source.iter().map(|l| l.2).collect(),
                labels: of_source.iter().map(|l| l.3).collect(),
            })
        }));
        told.extend(self.outcomes.scrape(now, n).into_iter().map(Input::Outcomes));
        Scraped::Read(told)
    }

    /// What ended in a window that ends at the last scrape that is there to be seen at `now`: a query meets the same lag and
    /// the same losses as what is pushed.
    fn over(&self, now: SimTime, version: VersionId, window: Span) -> Option<Counters> {
        let seen = self.totals.iter().rev().skip_while(|(at, _)| *at + self.lag > now);
        let (at, latest) = seen.clone().next()?;
        let latest = latest.get(version.index())?;
        let from = at.minus(window);
        let earlier = seen.clone().find(|(at, _)| *at <= from).and_then(|(_, t)| t.get(version.index()));
        let Some(earlier) = earlier else { return Some(latest.clone()) };
        let mut ended = latest.ended;
        ended.iter_mut().zip(earlier.ended).for_each(|(n, before)| *n -= before);
        Some(Counters { ended, latency: latest.latency.diff(&earlier.latency)? })
    }

    /// The answer to a success-rate query: empty when nothing ended in the window.
    #[must_use]
    pub fn success_rate(&self, now: SimTime, version: VersionId, window: Span) -> Answer {
        if window > QUERIES_KEPT {
            return too_long();
        }
        let Some(counters) = self.over(now, version, window) else { return Answer::Empty };
        let all: u64 = counters.ended.iter().sum();
        match all {
            0 => Answer::Empty,
            _ => Answer::Series(vec![counters.ended[Outcome::Answered as usize] as f64 / all as f64]),
        }
    }

    /// The answer to a latency query in seconds: empty when nothing was answered in the window.
    #[must_use]
    pub fn latency_quantile(&self, now: SimTime, version: VersionId, q: f64, window: Span) -> Answer {
        if window > QUERIES_KEPT {
            return too_long();
        }
        self.over(now, version, window)
            .and_then(|c| c.latency.quantile(q))
            .map_or(Answer::Empty, |ns| Answer::Series(vec![ns / 1e9]))
    }
}

/// A log in order of (ended, ordinal). Most are: an end is told late where an answer travelled or its server was far away.
fn in_order(mut log: Observations) -> Observations {
    fn pick<T: Copy>(column: &mut Vec<T>, order: &[usize]) {
        *column = order.iter().map(|&row| column[row]).collect();
    }
    log.unanswered.sort_unstable();
    let key = |row: usize| (log.ended[row], log.ordinals[row]);
    if (1..log.ended.len()).all(|row| key(row - 1) <= key(row)) {
        return log;
    }
    let mut order: Vec<usize> = (0..log.ended.len()).collect();
    order.sort_unstable_by_key(|&row| key(row));
    pick(&mut log.ordinals, &order);
    pick(&mut log.ended, &order);
    pick(&mut log.latency, &order);
    pick(&mut log.segments, &order);
    pick(&mut log.scores, &order);
    log.features.iter_mut().for_each(|column| pick(column, &order));
    log
}

fn too_long() -> Answer {
    Answer::Error(format!("windows of queries are {QUERIES_KEPT} at most"))
}

/// The scores asked for last, so that a run of requests of one block asks once.
#[derive(Default)]
struct LastScores(Option<((u16, SourceId, u64), Arc<BlockOutcome>)>);

impl LastScores {
    fn get(
        &mut self,
        instances: &[Instance],
        schema: SourceId,
        ended: &Ended,
        block: &Block,
        models: &mut Predictions,
    ) -> Result<f32, RuntimeError> {
        let key = (ended.instance, ended.source, block.first);
        if self.0.as_ref().is_none_or(|(last, _)| *last != key) {
            let Some(instance) = instances.get(usize::from(ended.instance)) else { return Ok(f32::NAN) };
            let columns = instance.columns.get(schema.index()).and_then(Option::as_deref);
            self.0 = Some((key, models.block(&instance.artifact, columns, block)?));
        }
        let slot = ended.ordinal as usize % BLOCK;
        Ok(match self.0.as_ref().map(|(_, scores)| &**scores) {
            Some(BlockOutcome::Scores(scores)) => scores[slot],
            Some(BlockOutcome::Rows(rows)) => match rows[slot] {
                RowOutcome::Score(score) => score,
                RowOutcome::Failed => f32::NAN,
            },
            _ => f32::NAN,
        })
    }
}

impl World {
    /// Accounts for the requests that have ended: scores are asked for now, in blocks.
    pub(crate) fn tell(&mut self, models: &mut Predictions, out: &mut Effects) -> Result<(), RuntimeError> {
        let mut pending = std::mem::take(&mut self.ended);
        let mut last: Vec<LastScores> = Vec::new();
        last.resize_with(self.instances.len().max(1), LastScores::default);
        for ended in &pending {
            let source = &self.sources[ended.source.index()];
            let Some(block) = source.block(ended.ordinal) else { continue };
            let slot = ended.ordinal as usize % BLOCK;
            let answered = ended.outcome.is_answered();
            let score = match last.get_mut(usize::from(ended.instance)) {
                Some(last) if answered => last.get(&self.instances, source.schema, ended, block, models)?,
                _ => f32::NAN,
            };
            let end = RequestEnd {
                request: RequestId { source: ended.source, ordinal: ended.ordinal, attempt: 0 },
                version: ended.version,
                replica: ended.replica,
                segment: block.segment[slot],
                arrived: block.arrived[slot],
                ended: ended.at,
                outcome: ended.outcome,
                score,
                truth: block.truth[slot],
                tainted: answered && self.instances.get(usize::from(ended.instance)).is_some_and(|i| i.tainted),
            };
            self.telemetry.count(&end);
            if answered {
                self.telemetry.log(&end, block, slot);
                let delay = block.label_delay[slot];
                if delay != NO_LABEL {
                    self.telemetry.await_label(&end, delay);
                }
            }
            self.sources[ended.source.index()].account(ended.ordinal);
            out.ends.push(end);
        }
        pending.clear();
        self.ended = pending;
        Ok(())
    }

    /// The state of a replica.
    fn gauge(&self, r: &Replica, now: SimTime) -> GaugeRow {
        let (queued, in_flight) = (r.queue.len() as u32, r.busy);
        let memory = match self.config.fleet.memory {
            Some(memory) if !matches!(r.state, ReplicaState::Stopped | ReplicaState::Crashed) => {
                let model = r.instance.and_then(|i| self.instances.get(usize::from(i)));
                let held = memory.per_request.saturating_mul(u64::from(queued) + u64::from(in_flight));
                memory.base.saturating_add(model.map_or(0, |m| m.artifact.bytes.len() as u64)).saturating_add(held)
            }
            _ => 0,
        };
        let (version, replica, state, cpu) = (r.version, r.id, r.state, r.cpu(now));
        GaugeRow { version, replica, state, queued, in_flight, cpu, memory }
    }

    /// Reads telemetry: what it finds reaches the controller a lag later, or never.
    pub(crate) fn scrape(
        &mut self,
        now: SimTime,
        n: u64,
        models: &mut Predictions,
        out: &mut Effects,
    ) -> Result<(), RuntimeError> {
        self.tell(models, out)?;
        let next = Telemetry::next_scrape(&self.config, n + 1);
        if next.0.at <= self.config.horizon {
            out.schedule.push(next);
        }
        // A process that stands still does not answer the scrape, which is not the same as having nothing to do.
        let stands_still =
            |r: &&Replica| r.stalls > 0 && !matches!(r.state, ReplicaState::Stopped | ReplicaState::Crashed);
        let silent: Vec<ReplicaId> = self.replicas.iter().filter(stands_still).map(|r| r.id).collect();
        let last = self.telemetry.last;
        let gauges = self.replicas.iter().filter(|r| !silent.contains(&r.id)).map(|r| self.gauge(r, now)).collect();
        let visible = now + self.config.telemetry.lag;
        match self.telemetry.scrape(now, n) {
            Scraped::Lost(gap) => {
                out.events.push((now, Event::Gap(gap)));
                out.inputs.push((visible, Input::Gap(gap)));
            }
            Scraped::Read(told) => {
                self.telemetry.keep_totals(now);
                let gap = |id| Gap { from: last, to: now, replica: Some(id) };
                out.events.extend(silent.into_iter().map(|id| (now, Event::Gap(gap(id)))));
                out.inputs.extend(told.into_iter().map(|input| (visible, input)));
                // Metrics come last: with them a scrape is complete.
                out.inputs.push((visible, Input::Metrics(self.telemetry.metrics(now, gauges))));
            }
        }
        Ok(())
    }
}
