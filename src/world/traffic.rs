//! Owns exogenous traffic: arrivals, payloads, users, service draws and label delays, block by block.
//!
//! A source is a pure function of (seed, source, faults that move its population): nothing that a policy or a replica
//! does reaches it, so two policies on one seed meet the same requests. Rows come in blocks of [`BLOCK`] by arrival
//! ordinal (block = ordinal div B, slot = ordinal mod B), which is also the block that inference runs on.
//!
//! A surge does not speed up a source: it adds a source of its own beside it, so that the requests that would have come
//! anyway keep their names and times. (A Poisson process of rate λ and one of rate (f−1)·λ superpose to one of rate f·λ.)

use crate::digest::Rolling;
use crate::id::{SegmentId, SourceId};
use crate::rng::{Seed, Stream, unit};
use crate::stats::normal;
use crate::time::{SimTime, Span};
use crate::world::config::{Arrivals, Effect, Fault, LabelConfig, Payload, Source, WorldConfig};
use crate::world::faults::Faults;
use std::sync::Arc;

/// Rows per block; also the fixed batch that inference runs on.
pub const BLOCK: usize = crate::world::inference::BLOCK;

/// A label that never comes.
pub const NO_LABEL: Span = Span(u64::MAX);

/// `BLOCK` consecutive requests of one source.
#[derive(Debug, Clone)]
pub struct Block {
    /// Ordinal of the first row, a multiple of [`BLOCK`].
    pub first: u64,
    /// When each request arrives, never decreasing; [`SimTime::NEVER`] from the end of the stream on.
    pub arrived: Vec<SimTime>,
    /// Features as received, row after row.
    pub features: Vec<f32>,
    /// Features per row.
    pub width: usize,
    /// True labels (NaN: unknown).
    pub truth: Vec<f32>,
    /// Delay of each label after the answer; [`NO_LABEL`] if it never comes.
    pub label_delay: Vec<Span>,
    /// The uniform in (0, 1) that each request's service time is made of.
    pub service: Vec<f64>,
    /// Each user's place on the router's circle.
    pub route: Vec<u32>,
    /// Each user's segment.
    pub segment: Vec<SegmentId>,
    /// Identity of `features`.
    pub payload: [u8; 32],
}

/// By bits: a missing value (NaN) equals itself, so that a forked plant equals its origin.
impl PartialEq for Block {
    fn eq(&self, other: &Self) -> bool {
        let bits = |values: &[f32]| -> Vec<u32> { bytemuck::cast_slice(values).to_vec() };
        (self.first, self.width, self.payload) == (other.first, other.width, other.payload)
            && (&self.arrived, &self.label_delay) == (&other.arrived, &other.label_delay)
            && (&self.service, &self.route, &self.segment) == (&other.service, &other.route, &other.segment)
            && bits(&self.features) == bits(&other.features)
            && bits(&self.truth) == bits(&other.truth)
    }
}

/// Drift that a fault puts on a source.
#[derive(Debug, Clone, PartialEq)]
struct Drift {
    at: SimTime,
    until: SimTime,
    ramp: Span,
    columns: Vec<(usize, f64, f64)>,
    labels_follow: bool,
}

impl Drift {
    /// How much of the change holds at `t`, in [0, 1].
    fn strength(&self, t: SimTime) -> f64 {
        if t < self.at || t >= self.until {
            0.0
        } else if self.ramp == Span::ZERO {
            1.0
        } else {
            (t.since(self.at).as_secs_f64() / self.ramp.as_secs_f64()).min(1.0)
        }
    }

    fn apply(&self, strength: f64, row: &mut [f32]) {
        for &(column, scale, shift) in &self.columns {
            if let Some(x) = row.get_mut(column) {
                let value = f64::from(*x);
                *x = (value + strength * (value * (scale - 1.0) + shift)) as f32;
            }
        }
    }
}

/// One source under way: its configuration, its streams, and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceStream {
    config: Arc<Source>,
    from: SimTime,
    until: SimTime,
    rate: Option<f64>,
    drifts: Vec<Drift>,
    arrivals: Stream,
    payload: Stream,
    labels: Stream,
    service: Stream,
    users: Stream,
    clock_s: f64,
    next: u64,
    digest: [Rolling; 4],
}

/// Names of the digests a source keeps.
pub const SOURCE_STREAMS: [&str; 4] = ["arrivals", "payload", "service", "labels"];

impl SourceStream {
    /// The declared source `config`.
    #[must_use]
    pub fn declared(config: Arc<Source>, id: SourceId, horizon: SimTime, faults: &[&Fault], seed: Seed) -> Self {
        let rate = match config.arrivals {
            Arrivals::Poisson { rate } => Some(rate),
            Arrivals::Recorded { .. } => None,
        };
        let path = format!("source/{}", config.name);
        Self::new(config, id, &path, (SimTime::ZERO, horizon), rate, faults, seed)
    }

    /// The requests that a surge adds to the declared source `id`.
    #[must_use]
    pub fn surge(
        config: &Arc<Source>,
        id: SourceId,
        fault: &Fault,
        factor: f64,
        horizon: SimTime,
        faults: &[&Fault],
        seed: Seed,
    ) -> Self {
        let base = match &config.arrivals {
            Arrivals::Poisson { rate } => *rate,
            Arrivals::Recorded { scale } => recorded_rate(config, *scale),
        };
        let path = format!("source/{}/{}", config.name, fault.name);
        let until = fault.until.unwrap_or(horizon).min(horizon);
        let mut own = Source::clone(config);
        if let Payload::Replay { iid, .. } = &mut own.payload {
            *iid = true;
        }
        let rate = (base * (factor - 1.0)).max(0.0);
        Self::new(Arc::new(own), id, &path, (fault.at, until), Some(rate), faults, seed)
    }

    /// A stream in which nobody ever arrives.
    fn silence(mut self) -> Self {
        self.rate = Some(0.0);
        self
    }

    fn new(
        config: Arc<Source>,
        id: SourceId,
        path: &str,
        (from, until): (SimTime, SimTime),
        rate: Option<f64>,
        faults: &[&Fault],
        seed: Seed,
    ) -> Self {
        let drifts = faults.iter().filter_map(|fault| drift_of(fault, id)).collect();
        let stream = |purpose: &str| Stream::named(seed, path, purpose);
        Self {
            from,
            until,
            rate,
            drifts,
            arrivals: stream("arrivals"),
            payload: stream("payload"),
            labels: stream("labels"),
            service: stream("service"),
            users: stream("users"),
            clock_s: from.as_secs_f64(),
            next: 0,
            digest: SOURCE_STREAMS.map(|name| Rolling::new(&format!("{path}/{name}"))),
            config,
        }
    }

    /// The digests of what has been generated so far, by stream name; empty streams are left out.
    pub fn digests(&self, name: &str) -> impl Iterator<Item = (String, String)> {
        let name = name.to_owned();
        SOURCE_STREAMS
            .iter()
            .zip(&self.digest)
            .filter(|(_, d)| d.facts() > 0)
            .map(move |(stream, d)| (format!("source/{name}/{stream}"), d.hex()))
    }

    /// Generates the next block; `None` once no further request arrives.
    pub fn next_block(&mut self) -> Option<Block> {
        let first = self.next;
        let width = self.config.width();
        let mut block = Block {
            first,
            arrived: vec![SimTime::NEVER; BLOCK],
            features: vec![0.0; BLOCK * width],
            width,
            truth: vec![f32::NAN; BLOCK],
            label_delay: vec![NO_LABEL; BLOCK],
            service: vec![0.5; BLOCK],
            route: vec![0; BLOCK],
            segment: vec![SegmentId(0); BLOCK],
            payload: [0; 32],
        };
        let live = self.fill_arrivals(first, &mut block.arrived);
        if live == 0 {
            return None;
        }
        self.labels.seek(first * LABEL_WORDS);
        let luck: Vec<LabelLuck> = (0..live).map(|_| [(); LABEL_WORDS as usize].map(|()| self.labels.word())).collect();
        self.fill_payload(&mut block, &luck);
        self.fill_rest(&mut block, &luck);
        self.next += BLOCK as u64;
        self.record(&mut block, live);
        Some(block)
    }

    /// The user of a request.
    pub(crate) fn user(&mut self, ordinal: u64) -> u32 {
        self.users.seek(ordinal * 2);
        self.users.below(self.config.users.max(1) as usize) as u32
    }

    /// When a request arrives; only for a stream that has generated nothing yet.
    pub(crate) fn arrival(&mut self, ordinal: u64) -> Option<SimTime> {
        let mut arrived = vec![SimTime::NEVER; BLOCK];
        for first in (0..=ordinal).step_by(BLOCK) {
            arrived.fill(SimTime::NEVER);
            self.fill_arrivals(first, &mut arrived);
        }
        Some(arrived[ordinal as usize % BLOCK]).filter(|&at| at != SimTime::NEVER)
    }

    fn fill_arrivals(&mut self, first: u64, arrived: &mut [SimTime]) -> usize {
        let config = Arc::clone(&self.config);
        // Rows in order: the stream ends with the table, whatever paces it.
        let rows = match &config.payload {
            Payload::Replay { table, iid: false } => table.rows() as u64,
            _ => u64::MAX,
        };
        let left = usize::try_from(rows.saturating_sub(first)).unwrap_or(BLOCK);
        let mut live = 0;
        for (slot, place) in arrived.iter_mut().enumerate().take(BLOCK.min(left)) {
            let at = match (&config.arrivals, &config.payload, self.rate) {
                (_, _, Some(rate)) if rate > 0.0 => {
                    self.clock_s += -libm::log(self.arrivals.uniform()) / rate;
                    // Beyond what f64 seconds resolve to a nanosecond (104 days) times still increase.
                    self.from.max(SimTime(Span::from_secs_f64(self.clock_s).0))
                }
                (Arrivals::Recorded { scale }, Payload::Replay { table, .. }, None) => {
                    let row = (first as usize).saturating_add(slot);
                    match table.at.get(row) {
                        Some(at) => SimTime(Span::from_secs_f64(at.as_secs_f64() / scale).0),
                        None => SimTime::NEVER,
                    }
                }
                _ => SimTime::NEVER,
            };
            if at >= self.until {
                break;
            }
            *place = at;
            live += 1;
        }
        live
    }

    fn fill_payload(&mut self, block: &mut Block, luck: &[LabelLuck]) {
        let config = Arc::clone(&self.config);
        let live = luck.len();
        let width = block.width;
        match &config.payload {
            Payload::Replay { table, iid } => {
                let rows = table.rows();
                self.payload.seek(block.first * 2);
                let scale = match config.arrivals {
                    Arrivals::Recorded { scale } => scale,
                    Arrivals::Poisson { .. } => 1.0,
                };
                for slot in 0..live {
                    let row = if *iid { self.payload.below(rows) } else { block.first as usize + slot };
                    block.features[slot * width..(slot + 1) * width]
                        .copy_from_slice(&table.values[row * width..(row + 1) * width]);
                    block.truth[slot] = table.labels[row];
                    block.segment[slot] = table.segments[row];
                    if let Some(delay) = table.label_delay.get(row) {
                        block.label_delay[slot] = Span::from_secs_f64(delay.as_secs_f64() / scale);
                    }
                }
                for slot in 0..live {
                    self.drift(block, slot);
                }
            }
            Payload::Normal { weights, bias } => {
                self.payload.seek(block.first * width as u64);
                let mut uniforms = [0.0; 256];
                for out in block.features[..live * width].chunks_mut(uniforms.len()) {
                    let uniforms = &mut uniforms[..out.len()];
                    uniforms.fill_with(|| self.payload.uniform32());
                    normal::quantiles(uniforms, out);
                }
                // The label follows the features as they were before a drift, or after it.
                for (slot, luck) in luck.iter().enumerate() {
                    let before = logit(&block.features[slot * width..(slot + 1) * width], weights, *bias);
                    let follows = self.drift(block, slot);
                    let logit = if follows {
                        logit(&block.features[slot * width..(slot + 1) * width], weights, *bias)
                    } else {
                        before
                    };
                    block.truth[slot] = if unit(luck[2]) < sigmoid(logit) { 1.0 } else { 0.0 };
                }
            }
        }
    }

    /// Moves one row; whether its label follows.
    fn drift(&self, block: &mut Block, slot: usize) -> bool {
        let at = block.arrived[slot];
        let mut follows = false;
        for drift in &self.drifts {
            let strength = drift.strength(at);
            if strength > 0.0 {
                drift.apply(strength, &mut block.features[slot * block.width..(slot + 1) * block.width]);
                follows |= drift.labels_follow;
            }
        }
        follows
    }

    fn fill_rest(&mut self, block: &mut Block, luck: &[LabelLuck]) {
        self.service.seek(block.first);
        self.users.seek(block.first * 2);
        let users = self.config.users.max(1) as usize;
        let LabelConfig { delay, lost } = &self.config.labels;
        for (slot, luck) in luck.iter().enumerate() {
            block.service[slot] = self.service.uniform32();
            block.route[slot] = place(self.users.below(users) as u64);
            if unit(luck[0]) < *lost || block.truth[slot].is_nan() {
                block.label_delay[slot] = NO_LABEL;
            } else if let Some(delay) = delay {
                block.label_delay[slot] = delay.at(unit(luck[1]));
            }
        }
    }

    fn record(&mut self, block: &mut Block, live: usize) {
        let features: &[u8] = bytemuck::cast_slice(&block.features);
        block.payload = *blake3::hash(features).as_bytes();
        let [arrivals, payload, service, labels] = &mut self.digest;
        let times: Vec<u64> = block.arrived[..live].iter().map(|t| t.0).collect();
        arrivals.fact(bytemuck::cast_slice(&times));
        arrivals.bytes(bytemuck::cast_slice(&block.route[..live]));
        payload.fact(&block.payload);
        payload.bytes(bytemuck::cast_slice(&block.truth[..live]));
        service.fact(bytemuck::cast_slice(&block.service[..live]));
        let delays: Vec<u64> = block.label_delay[..live].iter().map(|d| d.0).collect();
        labels.fact(bytemuck::cast_slice(&delays));
    }
}

/// The sources of a plant, by [`SourceId`]: (name, the declared source whose schema it has); declared sources first, then those
/// that surges add, in order of declaration.
pub(crate) fn names(config: &WorldConfig) -> Vec<(String, SourceId)> {
    let declared = config.sources.iter().enumerate().map(|(i, source)| (source.name.clone(), SourceId(i as u16)));
    let added = config.faults.iter().filter_map(|fault| match &fault.effect {
        Effect::Surge { source, .. } => {
            Some((format!("{}/{}", config.sources[source.index()].name, fault.name), *source))
        }
        _ => None,
    });
    declared.chain(added).collect()
}

/// The streams of a run, by [`SourceId`]: (name, the declared source whose schema it has, stream); declared sources first,
/// then those that surges add, in order of declaration. Nothing is drawn yet.
#[must_use]
pub fn streams(faults: &Faults, seed: Seed) -> Vec<(String, SourceId, SourceStream)> {
    let config = faults.config();
    let live: Vec<&Fault> =
        config.faults.iter().enumerate().filter(|(i, _)| faults.happens(*i)).map(|(_, f)| f).collect();
    let mut all = Vec::new();
    for (i, source) in config.sources.iter().enumerate() {
        let id = SourceId(i as u16);
        let stream = SourceStream::declared(Arc::new(source.clone()), id, config.horizon, &live, seed);
        all.push(stream);
    }
    // A surge that takes no part in this run keeps its place, so that requests have the same names in all runs of a trial.
    for (i, fault) in config.faults.iter().enumerate() {
        if let Effect::Surge { source: id, factor } = &fault.effect {
            let source = Arc::new(config.sources[id.index()].clone());
            let stream = SourceStream::surge(&source, *id, fault, *factor, config.horizon, &live, seed);
            let stream = if faults.happens(i) { stream } else { stream.silence() };
            all.push(stream);
        }
    }
    names(config).into_iter().zip(all).map(|((name, schema), stream)| (name, schema, stream)).collect()
}

/// Words of the label stream that belong to one request: whether it is lost, its delay, its class.
const LABEL_WORDS: u64 = 3;
type LabelLuck = [u32; LABEL_WORDS as usize];

fn drift_of(fault: &Fault, id: SourceId) -> Option<Drift> {
    match &fault.effect {
        Effect::CovariateDrift { source, columns, ramp, labels_follow } if *source == id => Some(Drift {
            at: fault.at,
            until: fault.until.unwrap_or(SimTime::NEVER),
            ramp: *ramp,
            columns: columns.clone(),
            labels_follow: *labels_follow,
        }),
        _ => None,
    }
}

fn recorded_rate(config: &Source, scale: f64) -> f64 {
    match &config.payload {
        Payload::Replay { table, .. } => {
            let length = table.at.last().map_or(0.0, |at| at.as_secs_f64());
            if length > 0.0 { table.rows() as f64 / length * scale } else { 0.0 }
        }
        Payload::Normal { .. } => 0.0,
    }
}

fn logit(row: &[f32], weights: &[f64], bias: f64) -> f64 {
    row.iter().zip(weights).fold(bias, |sum, (&x, &w)| sum + f64::from(x) * w)
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-x))
}

/// A user's place on the router's circle: the top half of SplitMix64's finaliser (Steele, Lea and Flood 2014).
fn place(user: u64) -> u32 {
    let mut z = user.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 32) as u32
}
