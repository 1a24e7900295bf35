//! Owns `power`: what a policy can find in a scenario's traffic, predicted before any run.
//!
//! ```text
//! scenario ─► synthetic telemetry ─► Judge (the policy's own) ─┬─ no shift ───────► false alarms, ARL0 ─┐
//!               (no inference,                                 └─ fork at a change ─► delays ───────────┴─► rows
//!                no plant)                                                        stats::oracle ─► bound ─┘
//! ```
//!
//! Each seed is one rollout without a shift, which follows the scenario up to the stage asked for and stays there. At its change
//! point it is forked for each size of shift, so that all sizes meet the same luck. A rule is judged by itself: what others of
//! the policy would have done does not keep it from firing. What is assumed of answers is in `synthetic`.
//!
//! Per rule and size: the delay from the change to the look at which the rule fires; among rollouts in which it had not fired
//! before. What false alarms are is in [`crate::report::power::FalseAlarms`]; the bounds are in `bound`.

mod bound;
mod shift;
mod synthetic;

pub use shift::{Healthy, Shift};

use crate::campaign::lab::side_by_side;
use crate::control::config::PolicyConfig;
use crate::detect::config::SignalKind;
use crate::event::{Verdict, Weight};
use crate::id::RuleId;
use crate::plan::Plan;
use crate::report::power::{Bound, FalseAlarms, Power, Row, RulePower, Setting};
use crate::rng::Seed;
use crate::stats::proportion::{poisson_rate, wilson};
use crate::stats::quantile::{Method, quantile_by};
use crate::time::{SimTime, Span};
use crate::world::config::{Payload, Source, WorldConfig};
use crate::world::traffic::NO_LABEL;
use shift::{grid, of_rule};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use synthetic::{Bench, Counts, Rollout, Scores, Tape, spreads};

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// The stage during which the shift comes: its place in the rollout, from 1.
    pub stage: usize,
    /// The canary's share in it; `None`: the scenario's.
    pub share: Option<f64>,
    /// One rule, by name; `None`: all that ask for a rollback or a halt.
    pub rule: Option<String>,
    /// The first seed.
    pub seed: u64,
    /// So many rollouts, spread evenly over the change points.
    pub trials: u32,
    /// How things are when all is well. Failures: `None`: as often as the objective allows.
    pub failure_rate: Option<f64>,
    /// Likewise wrong answers; `None`: [`WRONG_RATE`].
    pub wrong_rate: Option<f64>,
    /// How long after a change is watched; `None`: as long as the stage lasts.
    pub within: Option<Span>,
    /// When the shift comes, after the stage began; none: at a quarter, a half and three quarters of the stage, at different
    /// places between two scrapes.
    pub changes: Vec<Span>,
    /// Which shifts; none: a grid of each kind that a rule reads.
    pub shifts: Vec<Shift>,
    /// Threads.
    pub jobs: usize,
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            stage: 1,
            share: None,
            rule: None,
            seed: 1,
            trials: 120,
            failure_rate: None,
            wrong_rate: None,
            within: None,
            changes: Vec::new(),
            shifts: Vec::new(),
            jobs: 1,
        }
    }
}

/// Wrong answers when nobody says how many: one in five, about what the shipped models do.
pub const WRONG_RATE: f64 = 0.2;

/// Why nothing can be predicted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PowerError {
    /// The rollout has not so many stages.
    #[error("there is no stage {asked}: the rollout has {there}")]
    NoStage {
        /// Asked for.
        asked: usize,
        /// Declared.
        there: usize,
    },
    /// The policy has no such rule.
    #[error("the policy `{policy}` has no rule `{rule}`: it has {there}")]
    NoRule {
        /// The policy's name.
        policy: String,
        /// Asked for.
        rule: String,
        /// What there is.
        there: String,
    },
    /// No rule decides.
    #[error("no rule of the policy `{0}` asks for a rollback or a halt: name one with `--rule`")]
    Undecided(String),
    /// A share that is none.
    #[error("{what} must be {must}")]
    Share {
        /// Of what.
        what: &'static str,
        /// What it must be.
        must: &'static str,
    },
    /// Nobody comes.
    #[error("the canary gets no request within the time watched")]
    NoTraffic,
    /// Seeds beyond the largest number.
    #[error("the seeds go beyond the largest number")]
    Seeds,
    /// No threads.
    #[error("{0}")]
    Threads(String),
}

/// A rule that is looked at, or the policy as a whole.
#[derive(Debug, Clone)]
struct Watched {
    /// By place; all that decide for the policy as a whole.
    rules: Vec<usize>,
    /// The shifts of its kinds, each with whether its signals read that channel alone.
    shifts: Vec<(Shift, bool)>,
    silent: Option<&'static str>,
}

/// One synthetic rollout, by watched rule.
struct Seen {
    change: usize,
    null: Vec<Null>,
    /// By shift.
    forks: Vec<Vec<Fork>>,
}

/// Without a shift: when it fired first, and what was watched until then.
#[derive(Debug, Clone, Copy)]
struct Null {
    fired: Option<SimTime>,
    until: SimTime,
    counts: Counts,
}

/// With a shift.
#[derive(Debug, Clone, Copy)]
enum Fork {
    /// It had fired before.
    Early,
    /// It fired, or not, so long after the change; canary requests until then.
    Watched { delay: Option<Span>, counts: Counts },
}

/// Predicts; `told` hears of the end of each rollout.
///
/// # Errors
/// When what is asked is not there.
pub fn power(plan: &Plan, ask: &Ask, told: &Sender<()>) -> Result<Power, PowerError> {
    let mut frame = Frame::new(plan, ask)?;
    let watched = watched(plan, ask, frame.bench.healthy)?;
    frame.bench.policy = Arc::new(without_unread(&plan.policy, &watched));
    let mut shifts: Vec<Shift> = Vec::new();
    for (shift, _) in watched.iter().flat_map(|w| &w.shifts) {
        if !shifts.contains(shift) {
            shifts.push(*shift);
        }
    }
    let last = ask.seed.checked_add(u64::from(ask.trials)).ok_or(PowerError::Seeds)?;
    let seen = side_by_side(ask.seed..last, ask.jobs, |seed| {
        let change = ((seed - ask.seed) % frame.changes.len() as u64) as usize;
        let seen = one(&frame, &watched, &shifts, seed, change);
        // Nobody listens any more: then nobody needs to hear.
        let _ = told.send(());
        seen
    })
    .map_err(PowerError::Threads)?;
    if seen.iter().all(|s| s.null.iter().all(|n| n.counts.ended == 0)) {
        return Err(PowerError::NoTraffic);
    }
    let rules = watched.iter().enumerate().map(|(i, w)| rule(&frame, w, i, &shifts, &seen)).collect();
    let names = &plan.names;
    Ok(Power {
        scenario: plan.name.clone(),
        policy: plan.policy.name.clone(),
        versions: (names.version(plan.rollout.to).to_owned(), names.version(plan.rollout.from).to_owned()),
        setting: frame.setting(ask, &seen),
        rules,
    })
}

/// The times of an analysis, and its bench.
struct Frame<'p> {
    bench: Bench<'p>,
    stage: usize,
    /// When the stage begins, and how long it lasts.
    begins: SimTime,
    lasts: Span,
    changes: Vec<SimTime>,
    within: Span,
    ends: SimTime,
    features: Vec<String>,
}

impl<'p> Frame<'p> {
    fn new(plan: &'p Plan, ask: &Ask) -> Result<Self, PowerError> {
        let stages = &plan.rollout.stages;
        let no_stage = PowerError::NoStage { asked: ask.stage, there: stages.len() };
        let place = ask.stage.checked_sub(1).filter(|i| *i < stages.len()).ok_or(no_stage)?;
        let open = |x: f64| x > 0.0 && x <= 1.0;
        if ask.share.is_some_and(|share| !open(share)) {
            return Err(PowerError::Share { what: "the canary's share", must: "above 0 and at most 1" });
        }
        let rate = |given: Option<f64>, usual: f64, what: &'static str| match given.unwrap_or(usual) {
            x if (0.0..1.0).contains(&x) => Ok(x),
            _ => Err(PowerError::Share { what, must: "0 or more, below 1" }),
        };
        let failure_rate = rate(ask.failure_rate, plan.objective.failure_rate, "the healthy failure rate")?;
        let wrong_rate = rate(ask.wrong_rate, WRONG_RATE, "the healthy wrong rate")?;
        let scores: Vec<Scores> = plan.world.sources.iter().map(|s| Scores::new(s, wrong_rate)).collect();
        // Where the smaller class is less than that, nobody is wrong so often.
        let wrong_rate = scores.iter().map(|s| s.wrong).fold(wrong_rate, f64::min);

        let begins = stages[place].0;
        let next = stages.get(place + 1).map_or(plan.world.horizon, |(at, _)| *at);
        let scrape = plan.world.telemetry.scrape;
        let lasts = next.since(begins).max(scrape);
        let changes = match &ask.changes[..] {
            [] => [1, 3, 5].map(|sixth| begins + Span(lasts.0 / 8 * (sixth + 1)) + Span(scrape.0 / 6 * sixth)).to_vec(),
            given => given.iter().map(|after| begins + *after).collect(),
        };
        let within = ask.within.unwrap_or(lasts).max(scrape);
        let latest = changes.iter().copied().max().unwrap_or(begins);
        let ends = (latest + within + scrape).max(begins + lasts);
        let world = WorldConfig { horizon: ends, faults: Vec::new(), ..plan.world.clone() };
        let bench = Bench {
            plan,
            policy: Arc::new(plan.policy.clone()),
            stages: slots(plan, place, ask.share),
            healthy: Healthy { failure_rate, wrong_rate },
            scores,
            spreads: world.sources.iter().map(spreads).collect(),
            world: Arc::new(world),
        };
        Ok(Self { bench, stage: place, begins, lasts, changes, within, ends, features: features(plan) })
    }

    fn setting(&self, ask: &Ask, seen: &[Seen]) -> Setting {
        let Self { bench, .. } = self;
        let share = bench.stages.last().map_or(0.0, |(_, weight, _)| weight.share());
        Setting {
            stage: self.stage + 1,
            share,
            rate: self.rate(seen) / share.max(1e-9),
            scrape: bench.world.telemetry.scrape,
            lag: bench.world.telemetry.lag,
            labels: labels(&bench.world.sources),
            failure_rate: bench.healthy.failure_rate,
            wrong_rate: bench.healthy.wrong_rate,
            changes: self.changes.iter().map(|at| at.since(self.begins)).collect(),
            within: self.within,
            trials: ask.trials,
            seed: ask.seed,
        }
    }

    /// Canary requests a second.
    fn rate(&self, seen: &[Seen]) -> f64 {
        let from = self.bench.stages.last().map_or(self.begins, |(at, ..)| *at);
        let all = || seen.iter().flat_map(|s| &s.null);
        let seconds: f64 = all().map(|n| n.until.since(from).as_secs_f64()).sum();
        all().map(|n| n.counts.ended as f64).sum::<f64>() / seconds.max(1e-9)
    }
}

/// When the canary gets which weight up to a stage, with its slots: its replicas start first, if it needs more of them, and
/// each order takes its time to the plant and back.
fn slots(plan: &Plan, place: usize, share: Option<f64>) -> Vec<(SimTime, Weight, usize)> {
    let (rollout, world) = (&plan.rollout, &plan.world);
    let start = world.fleet.start.iter().fold(Span::ZERO, |sum, phase| sum + *phase);
    let hop = world.control_delay;
    let mut before = 0;
    let stage = |(i, &(at, weight)): (usize, &(SimTime, Weight))| {
        let weight = share.filter(|_| i == place).map_or(weight, Weight::from_share);
        let wanted = (u64::from(rollout.replicas) * u64::from(weight.0)).div_ceil(u64::from(Weight::ALL.0)).max(1);
        let ready = if wanted > before { start } else { Span::ZERO };
        before = wanted;
        // Scale there, ready, back; weights there.
        (at + hop + ready + hop + hop, weight, (wanted * u64::from(world.fleet.concurrency)) as usize)
    };
    rollout.stages.iter().take(place + 1).enumerate().map(stage).collect()
}

/// Names of features, where a table or a signal tells them.
fn features(plan: &Plan) -> Vec<String> {
    match plan.world.sources.first().map(|s| &s.payload) {
        Some(Payload::Replay { table, .. }) => table.columns.clone(),
        _ => plan.policy.signals.iter().map(|s| &s.columns).max_by_key(|c| c.len()).cloned().unwrap_or_default(),
    }
}

/// Median and 90th percentile of label delays over all sources, where they are declared.
fn labels(sources: &[Source]) -> Option<(Span, Span)> {
    let delays = sources.iter().filter_map(|s| s.labels.delay.as_ref());
    let quantile = |q: f64| delays.clone().map(|d| d.at(q)).filter(|d| *d != NO_LABEL).max();
    quantile(0.5).zip(quantile(0.9))
}

/// The rules asked for, with the shifts that each can find.
fn watched(plan: &Plan, ask: &Ask, healthy: Healthy) -> Result<Vec<Watched>, PowerError> {
    let policy = &plan.policy;
    let chosen: Vec<usize> = match &ask.rule {
        Some(name) => policy.rules.iter().position(|r| r.name == *name).into_iter().collect(),
        None => (0..policy.rules.len()).filter(|i| policy.rules[*i].then >= Verdict::Halt).collect(),
    };
    if chosen.is_empty() {
        return Err(match &ask.rule {
            None => PowerError::Undecided(policy.name.clone()),
            Some(rule) => PowerError::NoRule {
                policy: policy.name.clone(),
                rule: rule.clone(),
                there: policy.rules.iter().map(|r| format!("`{}`", r.name)).collect::<Vec<_>>().join(", "),
            },
        });
    }
    let shifts = |rule: usize| -> Result<Vec<(Shift, bool)>, &'static str> {
        let (kinds, alone) = of_rule(policy, &policy.rules[rule])?;
        if !ask.shifts.is_empty() {
            return Ok(ask.shifts.iter().map(|s| (*s, alone && kinds.iter().any(|k| k.kind() == s.kind()))).collect());
        }
        Ok(kinds.into_iter().flat_map(|kind| grid(kind, healthy)).map(|s| (s, alone)).collect())
    };
    let mut all: Vec<Watched> = Vec::new();
    for &rule in &chosen {
        let (shifts, silent) = match shifts(rule) {
            Ok(shifts) => (shifts, None),
            Err(why) => (Vec::new(), Some(why)),
        };
        all.push(Watched { rules: vec![rule], shifts, silent });
    }
    if chosen.len() > 1 {
        let mut union: Vec<(Shift, bool)> = Vec::new();
        for (shift, _) in all.iter().flat_map(|w| &w.shifts) {
            // Another rule may read more of a shift than its channel: no bound.
            if !union.iter().any(|(known, _)| known == shift) {
                union.push((*shift, false));
            }
        }
        all.push(Watched { rules: chosen, shifts: union, silent: None });
    }
    Ok(all)
}

/// The policy with signals that no watched rule reads replaced by a coin that never shows heads: they cost time and decide
/// nothing here.
fn without_unread(policy: &PolicyConfig, watched: &[Watched]) -> PolicyConfig {
    let mut policy = policy.clone();
    let rules = watched.iter().flat_map(|w| &w.rules).map(|i| &policy.rules[*i]);
    let fields = rules.flat_map(|rule| [&rule.when.left, &rule.when.right]).filter_map(|o| o.value);
    let read: Vec<usize> = fields.map(|field| field.signal.index()).collect();
    for (i, signal) in policy.signals.iter_mut().enumerate() {
        if !read.contains(&i) {
            signal.kind = SignalKind::Coin { share: 0.0 };
        }
    }
    policy
}

/// One rollout of one seed: without a shift, and forked at its change point.
fn one(frame: &Frame<'_>, watched: &[Watched], shifts: &[Shift], seed: u64, change: usize) -> Seen {
    let seed = Seed(seed);
    let tape = Tape::new(&frame.bench, seed);
    let mut run = Rollout::new(&frame.bench, &tape, seed);
    let lag = frame.bench.world.telemetry.lag;
    let scrape = frame.bench.world.telemetry.scrape;
    let at = frame.changes[change];
    let mut null = vec![Null { fired: None, until: frame.ends, counts: Counts::default() }; watched.len()];
    let mut forks = Vec::new();
    while run.now() + scrape <= frame.ends {
        if forks.is_empty() && run.now() + scrape > at {
            let early: Vec<bool> = null.iter().map(|n| n.fired.is_some()).collect();
            forks = shifts.iter().map(|shift| fork(frame, watched, &run, *shift, at, &early)).collect();
        }
        let fired = run.step();
        for (null, w) in null.iter_mut().zip(watched).filter(|(null, _)| null.fired.is_none()) {
            null.counts = run.counts;
            if fires(w, &fired) {
                null.fired = Some(run.now() + lag);
                null.until = run.now();
            }
        }
    }
    // The last scrape before the end is where the watch ended.
    null.iter_mut().filter(|n| n.fired.is_none()).for_each(|n| n.until = run.now());
    Seen { change, null, forks }
}

fn fires(watched: &Watched, fired: &[RuleId]) -> bool {
    fired.iter().any(|rule| watched.rules.contains(&rule.index()))
}

/// Goes on from `run` with a shift that comes at `at`, until all rules that read it have fired, or the time is over.
fn fork(
    frame: &Frame<'_>,
    watched: &[Watched],
    run: &Rollout<'_>,
    shift: Shift,
    at: SimTime,
    early: &[bool],
) -> Vec<Fork> {
    let mut run = run.clone();
    run.shift(shift, at);
    let lag = frame.bench.world.telemetry.lag;
    let reads = |w: &Watched| w.shifts.iter().any(|(s, _)| *s == shift);
    let mut found: Vec<Fork> = early
        .iter()
        .map(|early| if *early { Fork::Early } else { Fork::Watched { delay: None, counts: Counts::default() } })
        .collect();
    let waits = |found: &[Fork]| {
        found.iter().zip(watched).any(|(f, w)| reads(w) && matches!(f, Fork::Watched { delay: None, .. }))
    };
    let scrape = frame.bench.world.telemetry.scrape;
    while waits(&found) && run.now() + scrape + lag <= at + frame.within {
        let fired = run.step();
        let since = (run.now() + lag).since(at);
        for (f, w) in found.iter_mut().zip(watched) {
            if let Fork::Watched { delay: delay @ None, counts } = f {
                *counts = run.counts;
                *delay = fires(w, &fired).then_some(since);
            }
        }
    }
    found
}

/// What one rule finds, of all rollouts.
fn rule(frame: &Frame<'_>, watched: &Watched, place: usize, shifts: &[Shift], seen: &[Seen]) -> RulePower {
    let plan = frame.bench.plan;
    let whole = watched.rules.len() > 1;
    let first = &plan.policy.rules[watched.rules[0]];
    let (alarms, exposed) = alarms(frame, place, seen);
    let row = |&(shift, alone): &(Shift, bool)| {
        let of = shifts.iter().position(|s| *s == shift)?;
        let forks = seen.iter().map(|s| (s.change, s.forks.get(of).map_or(Fork::Early, |by_rule| by_rule[place])));
        Some(self::row(frame, shift, alone, &forks.collect::<Vec<_>>(), (&alarms, exposed, frame.rate(seen))))
    };
    RulePower {
        rule: if whole { "any of them".to_owned() } else { first.name.clone() },
        text: if whole { "the policy as a whole: the first rule that fires".to_owned() } else { first.text.clone() },
        then: watched.rules.iter().map(|i| plan.policy.rules[*i].then).max().unwrap_or(Verdict::Alert),
        silent: watched.silent.map(str::to_owned),
        rows: watched.shifts.iter().filter_map(row).collect(),
        alarms,
    }
}

/// First alarms without a shift, and canary requests until then.
fn alarms(frame: &Frame<'_>, place: usize, seen: &[Seen]) -> (FalseAlarms, Counts) {
    let (mut events, mut in_stage, mut rollouts, mut days) = (0, 0, 0, 0.0);
    let mut counts = Counts::default();
    for null in seen.iter().map(|s| &s.null[place]) {
        // Before the stage it had its say in another one.
        if null.fired.is_some_and(|at| at <= frame.begins) {
            continue;
        }
        rollouts += 1;
        events += u64::from(null.fired.is_some());
        in_stage += u64::from(null.fired.is_some_and(|at| at.since(frame.begins) <= frame.lasts));
        days += null.until.since(frame.begins).as_secs_f64() / 86_400.0;
        counts.ended += null.counts.ended;
        counts.labelled += null.counts.labelled;
        counts.bad += null.counts.bad;
    }
    let rate = |events: u64, exposure: f64| {
        let interval = poisson_rate(events, exposure, 0.95);
        (events as f64 / exposure, interval.unwrap_or(crate::stats::Interval { low: 0.0, high: f64::INFINITY }))
    };
    let alarms = FalseAlarms {
        events,
        rollouts,
        days,
        per_day: rate(events, days),
        per_rollout: rate(in_stage, rollouts as f64),
        requests: counts.ended,
    };
    (alarms, counts)
}

/// One size of shift.
fn row(
    frame: &Frame<'_>,
    shift: Shift,
    alone: bool,
    forks: &[(usize, Fork)],
    (alarms, exposed, rate): (&FalseAlarms, Counts, f64),
) -> Row {
    let plan = frame.bench.plan;
    // A label's observations are counted apart: the others tell nothing of it.
    let observed = |counts: &Counts| if matches!(shift, Shift::Wrong(_)) { counts.labelled } else { counts.ended };
    let mut delays: Vec<f64> = Vec::new();
    let mut bad = 0.0;
    let mut by_change = vec![(0.0, 0_u64); frame.changes.len()];
    let lag = frame.bench.world.telemetry.lag.as_secs_f64();
    for (change, fork) in forks {
        let Fork::Watched { delay, counts } = fork else { continue };
        let delay = delay.map_or(f64::INFINITY, Span::as_secs_f64);
        delays.push(delay);
        // The scrape that told came a lag before the look.
        let told = delay.min(frame.within.as_secs_f64());
        let usual = counts.ended as f64 * exposed.bad as f64 / (exposed.ended as f64).max(1.0);
        bad += (counts.bad as f64 - usual) * told / (told - lag).max(1e-3);
        by_change[*change].0 += observed(counts) as f64;
        by_change[*change].1 += 1;
    }
    delays.sort_by(f64::total_cmp);
    let trials = delays.len() as u64;
    let found = delays.iter().filter(|d| d.is_finite()).count() as u64;
    let quantile = |q: f64| quantile_by(&delays, q, Method::InvertedCdf).filter(|d| d.is_finite());
    let means = by_change.iter().filter(|(_, n)| *n > 0).map(|(sum, n)| sum / *n as f64);
    let observations = means.fold(0.0, f64::max);
    let per_second = rate * observed(&exposed) as f64 / (exposed.ended as f64).max(1.0);
    let known = bound::Known { exposed: observed(&exposed), alarms: alarms.events, per_second, observations };
    let bound = if alone && trials > 0 { bound::of(&frame.bench, shift, &known) } else { Bound::None };
    Row {
        kind: shift.kind(),
        size: shift.size(),
        words: shift.words(plan, frame.bench.healthy, &frame.features),
        trials,
        found,
        share: wilson(found, trials, 0.95).unwrap_or(crate::stats::Interval { low: 0.0, high: 1.0 }),
        median_s: quantile(0.5),
        p90_s: quantile(0.9),
        bad: (bad / (trials as f64).max(1.0)).max(0.0),
        observations,
        censored: found < trials,
        delays_s: delays,
        bound,
    }
}
