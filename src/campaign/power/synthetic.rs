//! Owns synthetic telemetry: what the telemetry pipeline would make of a scenario's traffic if its models answered as assumed,
//! fed to a policy's own judge. No inference, no plant.
//!
//! Arrivals and surges, features, users, truth, label delays and service draws are the scenario's own
//! ([`crate::world::traffic`]), and so are the router's split, scrapes, lag, losses, label and outcome delays ([`Telemetry`]). Of
//! a bad release the clean twin's service time is taken: a canary without a shift is well. Assumed are
//!
//! - **queues**: all slots of a version stand behind one queue, first come first served, without a limit; who waits longer than
//!   the timeout gets no answer, and a slot works on what its user has given up;
//! - **failures**: a healthy request fails with the given probability, by itself;
//! - **scores**: `s = sigmoid(2 d z + logit(pi))` with `z` normal around `+d` where the truth is 1 and around `-d` where it is 0
//!   (the equal-variance binormal model: D. M. Green and J. A. Swets, "Signal Detection Theory and Psychophysics", 1966), `pi`
//!   the share of ones. Such scores are calibrated, and `d` is such that the given share is wrong at 0.5. They know the truth and
//!   no feature.

use crate::campaign::power::shift::{Healthy, Shift};
use crate::control::config::PolicyConfig;
use crate::control::judge::{Judge, Pair};
use crate::event::{Event, Input, Outcome, RequestEnd, Weight};
use crate::id::{ReplicaId, RequestId, RuleId, SegmentId, SourceId};
use crate::plan::Plan;
use crate::rng::{Seed, Stream, unit};
use crate::stats::normal;
use crate::time::{SimTime, Span};
use crate::world::config::{Payload, Source, WorldConfig};
use crate::world::faults::Faults;
use crate::world::router::Router;
use crate::world::telemetry::{Scraped, Telemetry};
use crate::world::traffic::{BLOCK, Block, NO_LABEL, streams};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

/// What all synthetic rollouts of an analysis share.
#[derive(Debug)]
pub(super) struct Bench<'p> {
    pub(super) plan: &'p Plan,
    pub(super) policy: Arc<PolicyConfig>,
    /// The plant without faults but surges and with what should have shipped, its horizon where the analysis ends.
    pub(super) world: Arc<WorldConfig>,
    /// When the canary gets which weight, and with how many slots.
    pub(super) stages: Vec<(SimTime, Weight, usize)>,
    pub(super) healthy: Healthy,
    /// By source.
    pub(super) scores: Vec<Scores>,
    /// Standard deviation of each feature, by source.
    pub(super) spreads: Vec<Vec<f64>>,
}

impl Bench<'_> {
    /// The canary gets its weight and the baseline the rest.
    fn set(&self, router: &mut Router, weight: Weight) {
        let rollout = &self.plan.rollout;
        router.set(&[(rollout.from, weight.rest()), (rollout.to, weight)]);
    }

    /// When the stage that is looked at has its weight.
    pub(super) fn in_force(&self) -> SimTime {
        self.stages.last().map_or(SimTime::ZERO, |(at, ..)| *at)
    }
}

/// How a source's requests are scored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scores {
    /// Half the distance between the classes, in standard deviations within a class.
    pub(super) d: f64,
    /// ln(pi / (1 - pi)) of the share of ones.
    pub(super) logit: f64,
    /// Share of ones.
    pub(super) ones: f64,
    /// Standard deviation of `z` over both classes.
    pub(super) spread: f64,
    /// Share of wrong answers: what was asked for, or less where the smaller class is less.
    pub(super) wrong: f64,
}

impl Scores {
    pub(super) fn new(source: &Source, wrong_rate: f64) -> Self {
        let ones = ones(source).clamp(0.001, 0.999);
        let logit = libm::log(ones / (1.0 - ones));
        // The share that is wrong at 0.5 falls with d, from that of the smaller class.
        let wrong = |d: f64| {
            let cut = -logit / (2.0 * d);
            ones * normal::cdf(cut - d) + (1.0 - ones) * normal::sf(cut + d)
        };
        let (mut low, mut high) = (1e-3, 20.0);
        for _ in 0..60 {
            let middle = 0.5 * (low + high);
            *(if wrong(middle) > wrong_rate { &mut low } else { &mut high }) = middle;
        }
        let d = 0.5 * (low + high);
        Self { d, logit, ones, spread: (1.0 + 4.0 * d * d * ones * (1.0 - ones)).sqrt(), wrong: wrong(d) }
    }

    pub(super) fn score(&self, z: f64) -> f32 {
        (1.0 / (1.0 + libm::exp(-2.0 * self.d * z - self.logit))) as f32
    }

    /// Whether a score from `z` stands for the class that is true.
    pub(super) fn is_right(&self, z: f64, truth: f32) -> bool {
        (self.score(z) >= 0.5) == (truth >= 0.5)
    }

    /// Where one minus the score comes from.
    pub(super) fn flipped(&self, z: f64) -> f64 {
        -z - self.logit / self.d
    }

    /// The share of right answers that are turned round so that `rate` are wrong in all.
    pub(super) fn turned(&self, rate: f64) -> f64 {
        (rate - self.wrong) / (1.0 - self.wrong)
    }

    /// Where an answer's score comes from: a standard normal `z` and a uniform by which right answers are turned round.
    pub(super) fn deviate(&self, z: f64, turned: f64, truth: f32, shift: Option<Shift>) -> f64 {
        let z = z + if truth >= 0.5 { self.d } else { -self.d };
        match shift {
            Some(Shift::Score(by)) => z + by * self.spread,
            Some(Shift::Wrong(rate)) if self.is_right(z, truth) && turned < self.turned(rate) => self.flipped(z),
            _ => z,
        }
    }
}

/// The share of ones among a source's labels.
fn ones(source: &Source) -> f64 {
    match &source.payload {
        Payload::Replay { table, .. } => {
            let known = || table.labels.iter().filter(|y| !y.is_nan());
            known().filter(|y| **y >= 0.5).count() as f64 / (known().count() as f64).max(1.0)
        }
        Payload::Normal { weights, bias } => {
            // The logit is normal: its mean over the middles of cells of equal probability.
            let deviation = weights.iter().map(|w| w * w).sum::<f64>().sqrt();
            let logit = |i: u32| bias + deviation * normal::quantile((f64::from(i) + 0.5) / 1000.0);
            (0..1000).map(|i| 1.0 / (1.0 + libm::exp(-logit(i)))).sum::<f64>() / 1000.0
        }
    }
}

/// The standard deviation of each feature; 1 where it cannot be told.
pub(super) fn spreads(source: &Source) -> Vec<f64> {
    match &source.payload {
        Payload::Normal { weights, .. } => vec![1.0; weights.len()],
        Payload::Replay { table, .. } => {
            let width = table.columns.len();
            let column = |i: usize| {
                let values: Vec<f64> = table.values.iter().skip(i).step_by(width).map(|x| f64::from(*x)).collect();
                let known: Vec<f64> = values.into_iter().filter(|x| x.is_finite()).collect();
                crate::stats::summary::Summary::of(&known).standard_deviation().filter(|sd| *sd > 0.0).unwrap_or(1.0)
            };
            (0..width).map(column).collect()
        }
    }
}

/// One request: where it stands in its source, and what it is dealt beyond that.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request {
    pub(super) arrived: SimTime,
    source: u16,
    /// The declared source whose schema it has: another one for what a surge adds.
    pub(super) schema: SourceId,
    ordinal: u64,
    /// Uniforms: whether it fails, whether a right answer is made wrong, whether a value is missing.
    pub(super) luck: [f64; 3],
    /// A standard normal.
    pub(super) z: f64,
}

/// Words of the analysis' own stream that belong to one request.
const WORDS: u64 = 4;

/// All requests of one seed, in order of arrival.
#[derive(Debug)]
pub(super) struct Tape {
    blocks: Vec<Vec<Block>>,
    requests: Vec<Request>,
}

impl Tape {
    /// Draws the requests of a seed.
    pub(super) fn new(bench: &Bench<'_>, seed: Seed) -> Self {
        let faults = Faults::new(&bench.world, &vec![true; bench.world.faults.len()], seed);
        let (mut blocks, mut requests) = (Vec::new(), Vec::new());
        for (source, (name, schema, mut stream)) in streams(&faults, seed).into_iter().enumerate() {
            let mut luck = Stream::named(seed, &format!("power/source/{name}"), "answers");
            let mut of_source = Vec::new();
            while let Some(block) = stream.next_block() {
                luck.seek(block.first * WORDS);
                let live = block.arrived.iter().take_while(|t| **t != SimTime::NEVER);
                for (ordinal, &arrived) in (block.first..).zip(live) {
                    let [a, b, c, z] = [(); WORDS as usize].map(|()| unit(luck.word()));
                    let z = normal::quantile(z);
                    let source = source as u16;
                    requests.push(Request { arrived, source, schema, ordinal, luck: [a, b, c], z });
                }
                of_source.push(block);
            }
            blocks.push(of_source);
        }
        requests.sort_by_key(|r| (r.arrived, r.source, r.ordinal));
        Self { blocks, requests }
    }

    /// The canary's requests from `at` on, in order.
    pub(super) fn canary(&self, bench: &Bench<'_>, at: SimTime) -> Vec<&Request> {
        let mut router = Router::new(bench.world.versions.len(), bench.world.initial);
        let mut stages = bench.stages.iter().peekable();
        let first = self.requests.partition_point(|r| r.arrived < at);
        let mut chosen = Vec::new();
        for request in &self.requests[first..] {
            while let Some((_, weight, _)) = stages.next_if(|(at, ..)| *at <= request.arrived) {
                bench.set(&mut router, *weight);
            }
            let (block, slot) = self.row(request);
            if router.version(block.route[slot]) == bench.plan.rollout.to {
                chosen.push(request);
            }
        }
        chosen
    }

    /// A request's block and its row there.
    pub(super) fn row(&self, request: &Request) -> (&Block, usize) {
        (&self.blocks[usize::from(request.source)][request.ordinal as usize / BLOCK], request.ordinal as usize % BLOCK)
    }
}

/// A request in service: its place on the tape, whether the canary has it, how it will end, whether it came since the stage
/// had its weight, and since the change.
#[derive(Debug, Clone, Copy)]
struct Open {
    place: usize,
    canary: bool,
    outcome: Outcome,
    in_stage: bool,
    since: bool,
}

/// Canary requests that have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    /// All.
    pub(super) ended: u64,
    /// Of them, answered ones whose label is known some day.
    pub(super) labelled: u64,
    /// Of all, bad ones.
    pub(super) bad: u64,
}

impl Counts {
    fn add(&mut self, labelled: bool, bad: bool) {
        self.ended += 1;
        self.labelled += u64::from(labelled);
        self.bad += u64::from(bad);
    }
}

/// One synthetic rollout under way. Plain data: cloned, it continues the same way.
#[derive(Debug, Clone)]
pub(super) struct Rollout<'a> {
    bench: &'a Bench<'a>,
    tape: &'a Tape,
    telemetry: Telemetry,
    judge: Judge,
    router: Router,
    /// The next stage, the next request, scrapes done.
    stage: usize,
    next: usize,
    scrapes: u64,
    /// When each slot is free, of the baseline and of the canary.
    slots: [BinaryHeap<Reverse<SimTime>>; 2],
    canary_slots: usize,
    open: BTreeMap<(SimTime, u16, u64), Open>,
    /// The shift, if one comes, and when the change is: also where nothing changes, for comparison.
    shift: Option<Shift>,
    change: SimTime,
    /// Draws whether an outcome is lost to the shift.
    lost: Stream,
    /// Canary requests that came before the change and ended after it, by when they ended, in order.
    spared: Vec<SimTime>,
    /// A row of features that the shift has changed.
    row: Block,
    /// Canary requests that came since the stage had its weight.
    pub(super) counts: Counts,
    /// Canary requests that came since the change.
    pub(super) since: Counts,
}

impl<'a> Rollout<'a> {
    pub(super) fn new(bench: &'a Bench<'a>, tape: &'a Tape, seed: Seed) -> Self {
        let world = &bench.world;
        let width = world.sources.first().map_or(0, Source::width);
        let free = |slots: usize| std::iter::repeat_n(Reverse(SimTime::ZERO), slots).collect();
        let row = Block {
            first: 0,
            arrived: Vec::new(),
            features: Vec::new(),
            width: 0,
            truth: Vec::new(),
            label_delay: Vec::new(),
            service: Vec::new(),
            route: Vec::new(),
            segment: Vec::new(),
            payload: [0; 32],
        };
        Self {
            bench,
            tape,
            telemetry: Telemetry::new(world, seed, bench.policy.reads_features()),
            judge: Judge::new(Arc::clone(&bench.policy), width, seed),
            router: Router::new(world.versions.len(), world.initial),
            stage: 0,
            next: 0,
            scrapes: 0,
            slots: [free((world.fleet.replicas * world.fleet.concurrency) as usize), BinaryHeap::new()],
            canary_slots: 0,
            open: BTreeMap::new(),
            shift: None,
            change: SimTime::NEVER,
            lost: Stream::named(seed, "power", "lost outcomes"),
            spared: Vec::new(),
            row,
            counts: Counts::default(),
            since: Counts::default(),
        }
    }

    /// The last scrape.
    pub(super) fn now(&self) -> SimTime {
        SimTime(self.bench.world.telemetry.scrape.0.saturating_mul(self.scrapes))
    }

    /// When the last scrape is looked at.
    pub(super) fn look(&self) -> SimTime {
        self.now() + self.bench.world.telemetry.lag
    }

    /// The canary changes, or nothing does, for requests that come at `at` or later; `at` is not before the last scrape.
    pub(super) fn change(&mut self, at: SimTime, shift: Option<Shift>) {
        (self.shift, self.change) = (shift, at);
    }

    /// Goes on to the next scrape and looks at it; the rules that fire.
    pub(super) fn step(&mut self) -> Vec<RuleId> {
        let read = self.read();
        self.judge(read)
    }

    /// Goes on to the next scrape; what it reads.
    fn read(&mut self) -> Scraped {
        self.scrapes += 1;
        let now = self.now();
        while let Some(request) = self.tape.requests.get(self.next).filter(|r| r.arrived <= now) {
            let request = *request;
            self.arrive(&request);
            self.next += 1;
        }
        while let Some(first) = self.open.first_entry().filter(|first| first.key().0 <= now) {
            let (ended, _, _) = *first.key();
            let open = first.remove();
            self.end(ended, open);
        }
        let mut read = self.telemetry.scrape(now, self.scrapes);
        if let Scraped::Read(told) = &mut read {
            told.iter_mut().for_each(|input| self.lose_outcomes(input));
        }
        read
    }

    fn arrive(&mut self, request: &Request) {
        let bench = self.bench;
        while let Some(&(_, weight, slots)) = bench.stages.get(self.stage).filter(|(at, ..)| *at <= request.arrived) {
            bench.set(&mut self.router, weight);
            let more = slots.saturating_sub(self.canary_slots);
            self.slots[1].extend(std::iter::repeat_n(Reverse(SimTime::ZERO), more));
            self.canary_slots += more;
            self.stage += 1;
        }
        let (block, slot) = self.tape.row(request);
        let version = self.router.version(block.route[slot]);
        let canary = version == bench.plan.rollout.to;
        let since = canary && request.arrived >= self.change;
        let shift = self.shift.filter(|_| since);
        let fleet = &bench.world.fleet;
        let law = bench.world.versions[version.index()].service.as_ref().unwrap_or(&fleet.service);
        let mut service = law.at(block.service[slot]);
        if let Some(Shift::Latency(times)) = shift {
            service = Span::from_secs_f64(service.as_secs_f64() * times);
        }
        let fails = match shift {
            Some(Shift::Failure(rate)) => rate,
            _ => bench.healthy.failure_rate,
        };
        let deadline = request.arrived + fleet.timeout;
        let slots = &mut self.slots[usize::from(canary)];
        let start = slots.peek().map_or(SimTime::NEVER, |Reverse(free)| request.arrived.max(*free));
        let (ended, outcome) = if start >= deadline {
            (deadline, Outcome::TimedOut)
        } else {
            slots.pop();
            slots.push(Reverse(start + service));
            match start + service {
                done if done > deadline => (deadline, Outcome::TimedOut),
                done if request.luck[0] < fails => (done, Outcome::Failed),
                done => (done, Outcome::Answered),
            }
        };
        let in_stage = canary && request.arrived >= bench.in_force();
        let open = Open { place: self.next, canary, outcome, in_stage, since };
        self.open.insert((ended, request.source, request.ordinal), open);
    }

    fn end(&mut self, ended: SimTime, open: Open) {
        let (bench, tape) = (self.bench, self.tape);
        let request = tape.requests[open.place];
        let (block, slot) = tape.row(&request);
        let scores = &bench.scores[request.schema.index()];
        let truth = block.truth[slot];
        let shift = self.shift.filter(|_| open.since);
        let rollout = &bench.plan.rollout;
        let answered = open.outcome.is_answered();
        let score = || scores.score(scores.deviate(request.z, request.luck[1], truth, shift));
        let score = if answered { score() } else { f32::NAN };
        let end = RequestEnd {
            request: RequestId { source: SourceId(request.source), ordinal: request.ordinal, attempt: 0 },
            version: if open.canary { rollout.to } else { rollout.from },
            replica: Some(ReplicaId(u32::from(open.canary))),
            segment: block.segment.get(slot).copied().unwrap_or(SegmentId(0)),
            arrived: request.arrived,
            ended,
            outcome: open.outcome,
            score,
            truth,
            tainted: false,
        };
        self.telemetry.count(&end);
        let label = block.label_delay[slot];
        if answered {
            match shift {
                Some(Shift::Feature { column, by }) => {
                    let by = by * bench.spreads[request.schema.index()].get(column).copied().unwrap_or(1.0);
                    self.log(&end, block, slot, column, |x| (f64::from(x) + by) as f32);
                }
                Some(Shift::Missing { column, share }) if request.luck[2] < share => {
                    self.log(&end, block, slot, column, |_| f32::NAN);
                }
                _ => self.telemetry.log(&end, block, slot),
            }
            if label != NO_LABEL {
                self.telemetry.await_label(&end, label);
            }
        }
        let (labelled, bad) = (answered && label != NO_LABEL, bench.plan.objective.judge(&end).any());
        if open.in_stage {
            self.counts.add(labelled, bad);
        }
        if open.since {
            self.since.add(labelled, bad);
        } else if open.canary && ended >= self.change {
            self.spared.push(ended);
        }
    }

    /// Logs a row with one feature changed.
    fn log(&mut self, end: &RequestEnd, block: &Block, slot: usize, column: usize, change: impl Fn(f32) -> f32) {
        let row = &mut self.row;
        row.width = block.width;
        row.features.clear();
        row.features.extend_from_slice(&block.features[slot * block.width..(slot + 1) * block.width]);
        if let Some(x) = row.features.get_mut(column) {
            *x = change(*x);
        }
        self.telemetry.log(end, row, 0);
    }

    /// Looks at what the last scrape has read; the rules that fire.
    fn judge(&mut self, read: Scraped) -> Vec<RuleId> {
        let now = self.now();
        let rollout = &self.bench.plan.rollout;
        let begins = self.bench.plan.rollout.stages.first().map_or(SimTime::NEVER, |(at, _)| *at);
        let looks = now + self.bench.world.telemetry.lag >= begins;
        let events = match read {
            Scraped::Lost(gap) if looks => self.judge.look_in_vain(gap.to),
            Scraped::Lost(_) => Vec::new(),
            Scraped::Read(told) => {
                told.iter().for_each(|input| self.judge.take(input));
                self.judge.take(&Input::Metrics(self.telemetry.metrics(now, Vec::new())));
                let pair = Pair { candidate: rollout.to, baseline: rollout.from };
                if looks { self.judge.look(now, pair) } else { Vec::new() }
            }
        };
        let fired = events.into_iter().filter_map(|event| match event {
            Event::RuleFired(fired) => Some(fired.rule),
            _ => None,
        });
        fired.collect()
    }

    /// Takes outcomes of the canary away, by the shift: of requests that came since.
    fn lose_outcomes(&mut self, input: &mut Input) {
        let Some(Shift::Outcome { of, factor }) = self.shift else { return };
        let Input::Outcomes(batch) = input else { return };
        if batch.outcome != of || batch.version != self.bench.plan.rollout.to {
            return;
        }
        for (ended, value) in batch.ended.iter().zip(&mut batch.values) {
            let since = *ended >= self.change && self.spared.binary_search(ended).is_err();
            if since && *value != 0.0 && self.lost.uniform32() >= factor {
                *value = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::power::tests::plan_of;
    use crate::campaign::power::{Ask, Frame};
    use crate::id::OutcomeId;
    use crate::world::distribution::Distribution;

    /// Outcomes are lost to requests that came since the change, as all else is: what one under way brings is its own.
    #[test]
    fn outcomes_of_requests_under_way_are_not_lost() {
        let mut plan = plan_of("replica-crash.toml");
        for outcome in plan.world.sources.iter_mut().flat_map(|source| &mut source.outcomes) {
            (outcome.right, outcome.wrong, outcome.failed) = (1.0, 1.0, 1.0);
            outcome.delay = Distribution::Constant(Span::ZERO);
        }
        let frame = Frame::new(&plan, &Ask::default()).expect("a frame");
        let bench = &frame.bench;
        let tape = Tape::new(bench, Seed(1));
        let mut run = Rollout::new(bench, &tape, Seed(1));
        let scrape = bench.world.telemetry.scrape;
        while run.now() + scrape <= frame.changes[1] {
            run.step();
        }
        // While this one is served.
        let at = tape.canary(bench, run.now())[3].arrived + Span(1);
        run.change(at, Some(Shift::Outcome { of: OutcomeId(0), factor: 0.0 }));
        let Scraped::Read(told) = run.read() else { panic!("this scrape arrives") };
        let mine = told.iter().filter_map(|input| match input {
            Input::Outcomes(batch) if batch.version == plan.rollout.to => Some(batch),
            _ => None,
        });
        let values: Vec<(SimTime, f32)> =
            mine.flat_map(|batch| batch.ended.iter().copied().zip(batch.values.iter().copied())).collect();
        let lost = values.iter().filter(|(_, value)| *value == 0.0).count() as u64;
        assert!(lost > 0 && lost == run.since.ended, "{lost} of {}", run.since.ended);
        let kept = values.iter().filter(|(ended, value)| *ended > at && *value == 1.0).count();
        assert!(kept > 0 && kept == run.spared.len(), "{kept} of {}", run.spared.len());
    }
}
