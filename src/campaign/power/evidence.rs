//! Owns what canary requests tell of a shift: the log-likelihood ratio of everything that a rule could know, summed over time.
//!
//! All that telemetry holds is a function of what requests are dealt: arrivals, versions, service draws, failures, features, truth,
//! scores, label delays, outcomes. A shift changes the law of one of them for the canary from the change on; the rest has
//! the same law on both sides, the baseline and everything before the change included, and adds nothing to the ratio. So
//! the ratio of what is dealt bounds every rule, whatever it makes of queues, windows, scrapes and other versions:
//!
//! | shift | what is told of a request | when |
//! |---|---|---|
//! | latency | its service draw (lognormal laws only) | as it comes |
//! | failures | whether it fails | as it comes |
//! | missing | whether the shift takes its value away | as it comes |
//! | a feature | the feature (normal payloads only); with it the truth, for who reads more than features | as it comes |
//! | score, wrong | the score, for who reads it; truth with its label, or at once for who sees features or outcomes as well | as it comes; the label's delay later |
//! | an outcome | whether it happens; for who reads more, whether it failed and was right | the outcome's delay later |
//!
//! Telling more than a rule sees (a service time before it is over, all of a request that then waits too long) makes the bound
//! higher and so still one. Scores are told by the `z` that they come from. Only requests with an answer in time have outcomes as
//! assumed here: in an overload this is not exact.
//!
//! When requests come, to which version and how late their labels are is no part of a shift. So a rollout's requests can be dealt
//! again and again ([`Deal`]), and what is found about those deals holds given these arrivals: for the very rollouts in which
//! the rule was watched.

use crate::campaign::power::shift::{Info, Shift};
use crate::campaign::power::synthetic::{Bench, Request, Scores, Tape};
use crate::id::{OutcomeId, SourceId};
use crate::rng::Stream;
use crate::stats::normal;
use crate::time::{SimTime, Span};
use crate::world::config::{Payload, Source};
use crate::world::distribution::Distribution;
use crate::world::traffic::NO_LABEL;

/// More canary requests than this are not followed: what is not found in so many is not worth a bound.
const REQUESTS_MAX: usize = 4096;
/// Times at which sums are read: so many for each tenfold, over four tenfolds up to the time watched.
const A_DECADE: i32 = 12;
const DECADES: i32 = 4;

/// The times after a change at which sums are read, in ascending order.
pub(super) fn grid(within: Span) -> Vec<Span> {
    let at = |i: i32| within.as_secs_f64() * libm::pow(10.0, f64::from(i) / f64::from(A_DECADE));
    (-A_DECADE * DECADES..=0).map(|i| Span::from_secs_f64(at(i))).collect()
}

/// Service times' standard deviation of the logarithm, where they are lognormal.
pub(super) fn sigma(bench: &Bench<'_>) -> Option<f64> {
    let version = &bench.world.versions[bench.plan.rollout.to.index()];
    match version.service.as_ref().unwrap_or(&bench.world.fleet.service) {
        Distribution::Lognormal { sigma, .. } if *sigma > 0.0 => Some(*sigma),
        _ => None,
    }
}

/// A canary request after a change: what of it no shift touches.
#[derive(Debug, Clone, Copy)]
pub(super) struct Came {
    after: Span,
    source: SourceId,
    truth: f32,
    label: Span,
}

/// One rollout's canary requests from a change on, in order: all of the time watched, or the first [`REQUESTS_MAX`] and one more.
pub(super) fn came(bench: &Bench<'_>, tape: &Tape, at: SimTime, within: Span) -> Vec<Came> {
    let canary = tape.canary(bench, at).into_iter().take(REQUESTS_MAX + 1);
    let of = |request: &Request| {
        let (block, slot) = tape.row(request);
        let after = request.arrived.since(at);
        Came { after, source: request.schema, truth: block.truth[slot], label: block.label_delay[slot] }
    };
    canary.map(of).take_while(|came| came.after <= within).collect()
}

/// How long all of these are followed.
pub(super) fn followed(came: &[Came], within: Span) -> Span {
    came.get(REQUESTS_MAX).map_or(within, |first| Span(first.after.0.saturating_sub(1)))
}

/// Whether likelihoods are known.
pub(super) fn known(bench: &Bench<'_>, shift: Shift) -> bool {
    let normal = |s: &Source| matches!(s.payload, Payload::Normal { .. });
    match shift {
        Shift::Latency(_) => sigma(bench).is_some(),
        Shift::Feature { .. } => bench.world.sources.iter().all(normal),
        _ => true,
    }
}

/// What is asked of likelihoods: a shift, with it or without, and who knows how much.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) bench: &'a Bench<'a>,
    pub(super) shift: Shift,
    pub(super) info: Info,
    pub(super) shifted: bool,
}

/// One rollout's requests dealt once, under way.
pub(super) struct Deal<'a> {
    of: Question<'a>,
    came: &'a [Came],
    next: usize,
    luck: Stream,
    /// By time of the grid: what becomes known by then and not before.
    added: Vec<f64>,
    sum: f64,
    /// Decides between deals with the same sum.
    lot: f64,
}

impl<'a> Deal<'a> {
    pub(super) fn new(of: Question<'a>, came: &'a [Came], grid: &[Span], mut luck: Stream) -> Self {
        let lot = luck.uniform();
        Self { of, came, next: 0, luck, added: vec![0.0; grid.len()], sum: 0.0, lot }
    }

    /// The log-likelihood ratio of all that is known by the time of the grid with this place (times in order), and a lot that
    /// decides between equal ones.
    pub(super) fn by(&mut self, grid: &[Span], place: usize) -> (f64, f64) {
        while let Some(request) = self.came.get(self.next).filter(|came| came.after <= grid[place]) {
            let added = &mut self.added;
            self.of.tell(request, &mut self.luck, |later, ratio| {
                let known = Span(request.after.0.saturating_add(later.0));
                if let Some(sum) = added.get_mut(grid.partition_point(|t| *t < known)) {
                    *sum += ratio;
                }
            });
            self.next += 1;
        }
        self.sum += self.added[place];
        (self.sum, self.lot)
    }
}

impl Question<'_> {
    /// Deals one request; calls `told` with each part of the ratio and how long after the request came it is known.
    fn tell(&self, came: &Came, luck: &mut Stream, mut told: impl FnMut(Span, f64)) {
        let at_once = Span::ZERO;
        match self.shift {
            Shift::Latency(times) => {
                let delta = libm::log(times) / sigma(self.bench).unwrap_or(1.0);
                told(at_once, self.normal(delta, normal::quantile(luck.uniform32())));
            }
            Shift::Failure(rate) => told(at_once, self.event(self.bench.healthy.failure_rate, rate, luck)),
            Shift::Missing { share, .. } => told(at_once, self.event(0.0, share, luck)),
            Shift::Feature { column, by } => told(at_once, self.feature(came, column, by, luck)),
            Shift::Score(_) | Shift::Wrong(_) => self.answer(came, luck, told),
            Shift::Outcome { of, factor } => self.outcome(came, of, factor, luck, told),
        }
    }

    /// The ratio of a normal value that moves by `delta` of its deviations.
    fn normal(&self, delta: f64, z: f64) -> f64 {
        delta * (if self.shifted { z + delta } else { z }) - 0.5 * delta * delta
    }

    /// The ratio of something that happens with the chance `p0` or `p1`.
    fn event(&self, p0: f64, p1: f64, luck: &mut Stream) -> f64 {
        let happens = luck.uniform() < if self.shifted { p1 } else { p0 };
        if happens { libm::log(p1 / p0) } else { libm::log((1.0 - p1) / (1.0 - p0)) }
    }

    fn feature(&self, came: &Came, column: usize, by: f64, luck: &mut Stream) -> f64 {
        let x = normal::quantile(luck.uniform32());
        let alone = self.normal(by, x);
        let Payload::Normal { weights, bias } = &self.bench.world.sources[came.source.index()].payload else {
            return alone;
        };
        let Info { score, labels, outcomes, .. } = self.info;
        if !(score || labels || outcomes) {
            return alone;
        }
        // Truth follows the feature as it was before it moved.
        let weight = weights.get(column).copied().unwrap_or(0.0);
        let others = weights.iter().map(|w| w * w).sum::<f64>() - weight * weight;
        let logit = bias + weight * x + others.max(0.0).sqrt() * normal::quantile(luck.uniform32());
        let one = luck.uniform32() < 1.0 / (1.0 + libm::exp(-logit));
        let moved = weight * by;
        let (without, with) = if self.shifted { (logit + moved, logit) } else { (logit, logit - moved) };
        let chance = |logit: f64| -libm::log1p(libm::exp(if one { -logit } else { logit }));
        alone + chance(with) - chance(without)
    }

    /// A request's truth: drawn, unless it comes in the order of a table.
    fn truth(&self, came: &Came, luck: &mut Stream) -> f32 {
        let source = came.source.index();
        match self.bench.world.sources[source].payload {
            Payload::Replay { iid: false, .. } => came.truth,
            _ if luck.uniform32() < self.bench.scores[source].ones => 1.0,
            _ => 0.0,
        }
    }

    /// Score and truth, under a shift of either.
    fn answer(&self, came: &Came, luck: &mut Stream, mut told: impl FnMut(Span, f64)) {
        let source = came.source.index();
        let scores = &self.bench.scores[source];
        let truth = self.truth(came, luck);
        let (z, turned) = (normal::quantile(luck.uniform32()), luck.uniform32());
        let z = scores.deviate(z, turned, truth, self.shifted.then_some(self.shift));
        let Info { score, features, labels, outcomes, .. } = self.info;
        // Rows in the order of a table: their truth is no draw.
        let in_order = matches!(self.bench.world.sources[source].payload, Payload::Replay { iid: false, .. });
        let densities = Densities::of(scores, self.shift, z);
        if outcomes || (score && (features || in_order)) {
            told(Span::ZERO, densities.ratio(truth));
            return;
        }
        let before = if score { densities.mixed(scores.ones) } else { 0.0 };
        told(Span::ZERO, before);
        if labels && came.label != NO_LABEL {
            let after = match self.shift {
                Shift::Wrong(rate) if !score && !features => {
                    let (p0, p1) = (scores.wrong, rate);
                    if scores.is_right(z, truth) { libm::log((1.0 - p1) / (1.0 - p0)) } else { libm::log(p1 / p0) }
                }
                _ => densities.ratio(truth),
            };
            told(came.label, after - before);
        }
    }

    fn outcome(&self, came: &Came, of: OutcomeId, factor: f64, luck: &mut Stream, mut told: impl FnMut(Span, f64)) {
        let source = came.source.index();
        let Some(outcome) = self.bench.world.sources[source].outcomes.iter().find(|o| o.id == of) else { return };
        let (failed, wrong) = (self.bench.healthy.failure_rate, self.bench.scores[source].wrong);
        let p = if self.info.only_outcomes() {
            (1.0 - failed) * (outcome.right * (1.0 - wrong) + outcome.wrong * wrong) + failed * outcome.failed
        } else {
            match (luck.uniform() < failed, luck.uniform() < wrong) {
                (true, _) => outcome.failed,
                (false, true) => outcome.wrong,
                (false, false) => outcome.right,
            }
        };
        let ratio = self.event(p, (p * factor).min(1.0), luck);
        told(outcome.delay.at(luck.uniform32()), ratio);
    }
}

/// Densities of a score's `z` where the truth is 0 and where it is 1, without and with a shift.
struct Densities {
    without: [f64; 2],
    with: [f64; 2],
}

impl Densities {
    fn of(scores: &Scores, shift: Shift, z: f64) -> Self {
        let sides = [-scores.d, scores.d];
        let without = sides.map(|side| normal::density(z - side));
        let with = match shift {
            Shift::Score(by) => sides.map(|side| normal::density(z - side - by * scores.spread)),
            Shift::Wrong(rate) => {
                let turned = scores.turned(rate);
                let one = |truth: u8| {
                    let side = sides[usize::from(truth)];
                    let as_before = normal::density(z - side);
                    if scores.is_right(z, f32::from(truth)) {
                        (1.0 - turned) * as_before
                    } else {
                        as_before + turned * normal::density(scores.flipped(z) - side)
                    }
                };
                [one(0), one(1)]
            }
            _ => without,
        };
        Self { without, with }
    }

    fn ratio(&self, truth: f32) -> f64 {
        let i = usize::from(truth >= 0.5);
        ratio(self.with[i], self.without[i])
    }

    /// Where the truth is not known.
    fn mixed(&self, ones: f64) -> f64 {
        let mean = |of: [f64; 2]| (1.0 - ones) * of[0] + ones * of[1];
        ratio(mean(self.with), mean(self.without))
    }
}

/// Densities too small for a number count as the smallest.
fn ratio(with: f64, without: f64) -> f64 {
    libm::log(with.max(f64::MIN_POSITIVE)) - libm::log(without.max(f64::MIN_POSITIVE))
}
