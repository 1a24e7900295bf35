//! Owns `power`: what a policy can find in a scenario's traffic, predicted before any run.
//!
//! ```text
//! scenario ─► synthetic telemetry ─► Judge (the policy's own) ─┬─ no shift ───────► false alarms, ARL0 ─┐
//!               (no inference,                                 └─ fork at a change ─► delays ───────────┼─► rows
//!                no plant)   └─► evidence (likelihood ratios) ─► bound (optimum, ceiling) ──────────────┘
//! ```
//!
//! Each seed is one rollout without a shift, which follows the scenario up to the stage asked for and stays there. At its change
//! point it is forked for each size of shift, so that all sizes meet the same luck. A rule is judged by itself: what others of
//! the policy would have done does not keep it from firing. What is assumed of answers is in `synthetic`.
//!
//! Per rule and size: the delay from the change to the look at which the rule fires; among rollouts in which it had not fired
//! before. What false alarms are is in [`crate::report::power::FalseAlarms`]; the bounds are in `bound`.

mod bound;
mod evidence;
mod rows;
mod shift;
mod synthetic;
#[cfg(test)]
mod tests;

pub use shift::{Healthy, Shift};

use crate::campaign::lab::side_by_side;
use crate::control::config::PolicyConfig;
use crate::detect::config::SignalKind;
use crate::event::{Verdict, Weight};
use crate::id::RuleId;
use crate::plan::Plan;
use crate::report::power::{Power, Setting};
use crate::rng::Seed;
use crate::time::{SimTime, Span};
use crate::world::config::{Effect, Payload, Source, WorldConfig};
use crate::world::traffic::NO_LABEL;
use evidence::Came;
use shift::{GAUGES, Info, grid, meets, of_rule};
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
    /// Likewise wrong answers; `None`: [`WRONG_RATE`], or less where the smaller class is less than that.
    pub wrong_rate: Option<f64>,
    /// How long after a change is watched; `None`: as long as the stage lasts.
    pub within: Option<Span>,
    /// When the shift comes, after the stage began; none: at a quarter, a half and three quarters of the stage, at different
    /// places between two scrapes.
    pub changes: Vec<Span>,
    /// Which shifts, each for the rules that read its kind; none: a grid of each kind that a rule reads.
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
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
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
    /// Nobody is wrong so often who answers with the more frequent class.
    #[error(
        "the healthy wrong rate can be {most:.3} at most: who always answers with the more frequent class is not wrong more often"
    )]
    Wrong {
        /// The largest that there is.
        most: f64,
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
    /// The shifts of its kinds.
    shifts: Vec<Shift>,
    /// All that its signals read.
    info: Info,
    silent: Option<&'static str>,
}

impl Watched {
    /// Whether anything is known of it: of what reads gauges, nothing is.
    fn is_simulated(&self) -> bool {
        self.silent != Some(GAUGES)
    }
}

/// One synthetic rollout, by watched rule.
struct Seen {
    change: usize,
    null: Vec<Null>,
    /// Without a shift, from the change on.
    still: Vec<Fork>,
    /// Bad canary requests that came since the change, by look after it, without a shift.
    bad: Vec<u64>,
    /// By shift.
    forks: Vec<Vec<Fork>>,
    /// Canary requests that came since the change.
    came: Vec<Came>,
}

/// Without a shift: when it fired first, and what was watched until then.
#[derive(Debug, Clone, Copy)]
struct Null {
    fired: Option<SimTime>,
    until: SimTime,
    counts: Counts,
}

/// From the change on.
#[derive(Debug, Clone, Copy)]
enum Fork {
    /// It had fired before.
    Early,
    /// It fired, or not, so long after the change; looks and canary requests until then.
    Watched { delay: Option<Span>, looks: usize, counts: Counts },
}

impl Fork {
    const fn new(early: bool) -> Self {
        if early {
            Self::Early
        } else {
            Self::Watched { delay: None, looks: 0, counts: Counts { ended: 0, labelled: 0, bad: 0 } }
        }
    }
}

/// Predicts; `told` hears of the end of each rollout.
///
/// # Errors
/// When what is asked is not there.
pub fn power(plan: &Plan, ask: &Ask, told: &Sender<()>) -> Result<Power, PowerError> {
    let mut frame = Frame::new(plan, ask)?;
    for shift in &ask.shifts {
        let (what, better) = match *shift {
            Shift::Wrong(rate) => {
                ("the share of wrong answers that is looked for", rate <= frame.bench.healthy.wrong_rate)
            }
            Shift::Failure(rate) => {
                ("the share of failures that is looked for", rate <= frame.bench.healthy.failure_rate)
            }
            _ => continue,
        };
        if better {
            return Err(PowerError::Share { what, must: "above the healthy one" });
        }
    }
    let watched = watched(plan, ask, frame.bench.healthy)?;
    frame.bench.policy = Arc::new(without_unread(&plan.policy, &watched));
    let mut shifts: Vec<Shift> = Vec::new();
    for shift in watched.iter().flat_map(|w| &w.shifts) {
        if !shifts.contains(shift) {
            shifts.push(*shift);
        }
    }
    let asked = Asked { watched, shifts };
    let last = ask.seed.checked_add(u64::from(ask.trials)).ok_or(PowerError::Seeds)?;
    let seen = side_by_side(ask.seed..last, ask.jobs, |seed| {
        let change = ((seed - ask.seed) % frame.changes.len() as u64) as usize;
        let seen = one(&frame, &asked, seed, change);
        // Nobody listens any more: then nobody needs to hear.
        let _ = told.send(());
        seen
    })
    .map_err(PowerError::Threads)?;
    if seen.iter().all(|s| s.null.iter().all(|n| n.counts.ended == 0 && n.fired.is_none())) {
        return Err(PowerError::NoTraffic);
    }
    let names = &plan.names;
    Ok(Power {
        scenario: plan.name.clone(),
        policy: plan.policy.name.clone(),
        versions: (names.version(plan.rollout.to).to_owned(), names.version(plan.rollout.from).to_owned()),
        setting: frame.setting(ask, &seen),
        rules: (0..asked.watched.len()).map(|i| rows::rule(&frame, &asked, i, &seen)).collect(),
    })
}

/// What is looked at, and what is tried.
struct Asked {
    watched: Vec<Watched>,
    shifts: Vec<Shift>,
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
        let most = scores.iter().map(|s| s.wrong).fold(wrong_rate, f64::min);
        if ask.wrong_rate.is_some() && most < wrong_rate - 1e-3 {
            return Err(PowerError::Wrong { most });
        }
        let wrong_rate = most;

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
        let world = healthy(&plan.world, ends);
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

    /// Canary requests a second, from when the stage has its weight.
    fn rate(&self, seen: &[Seen]) -> f64 {
        let from = self.bench.in_force();
        let all = || seen.iter().flat_map(|s| &s.null);
        let seconds: f64 = all().map(|n| n.until.since(from).as_secs_f64()).sum();
        all().map(|n| n.counts.ended as f64).sum::<f64>() / seconds.max(1e-9)
    }
}

/// The plant in which nothing goes wrong: what should have shipped, and no faults but surges, which are traffic.
fn healthy(world: &WorldConfig, horizon: SimTime) -> WorldConfig {
    let mut healthy = WorldConfig { horizon, ..world.clone() };
    for fault in &world.faults {
        if let Effect::BadRelease { version, clean } = &fault.effect {
            healthy.versions[version.index()] = (**clean).clone();
        }
    }
    healthy.faults.retain(|fault| matches!(fault.effect, Effect::Surge { .. }));
    healthy
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

/// Names of features in order, where a table or a signal tells them.
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
    let mut all: Vec<Watched> = Vec::new();
    for &rule in &chosen {
        let (kinds, info) = of_rule(policy, &policy.rules[rule]);
        let (shifts, silent) = match kinds {
            Err(why) => (Vec::new(), Some(why)),
            Ok(_) if !ask.shifts.is_empty() => {
                let mut asked: Vec<Shift> = Vec::new();
                for shift in &ask.shifts {
                    if meets(policy, &policy.rules[rule], *shift) && !asked.contains(shift) {
                        asked.push(*shift);
                    }
                }
                let silent = asked.is_empty().then_some(NOT_ASKED);
                (asked, silent)
            }
            Ok(kinds) => (kinds.into_iter().flat_map(|kind| grid(kind, healthy)).collect(), None),
        };
        let silent = silent.or_else(|| shifts.is_empty().then_some(NOTHING_WORSE));
        all.push(Watched { rules: vec![rule], shifts, info, silent });
    }
    if chosen.len() > 1 {
        let mut union: Vec<Shift> = Vec::new();
        let mut info = Info::default();
        let simulated: Vec<&Watched> = all.iter().filter(|watched| watched.is_simulated()).collect();
        let rules: Vec<usize> = simulated.iter().flat_map(|watched| watched.rules.clone()).collect();
        for watched in simulated {
            info = info.with(watched.info);
            for shift in &watched.shifts {
                if !union.contains(shift) {
                    union.push(*shift);
                }
            }
        }
        if rules.len() > 1 {
            all.push(Watched { rules, shifts: union, info, silent: None });
        }
    }
    Ok(all)
}

/// Why a rule has no rows where shifts were asked for.
const NOT_ASKED: &str = "it reads none of the shifts that were asked for";

/// Why a rule has no sizes of a kind that it reads.
const NOTHING_WORSE: &str = "no size that is tried is worse than what was said to be healthy";

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
fn one(frame: &Frame<'_>, asked: &Asked, seed: u64, change: usize) -> Seen {
    let bench = &frame.bench;
    let watched = &asked.watched;
    let seed = Seed(seed);
    let tape = Tape::new(bench, seed);
    let mut run = Rollout::new(bench, &tape, seed);
    let scrape = bench.world.telemetry.scrape;
    let at = frame.changes[change];
    let mut null = vec![Null { fired: None, until: frame.ends, counts: Counts::default() }; watched.len()];
    while run.now() + scrape <= at {
        let fired = run.step();
        note(&mut null, watched, &run, &fired);
    }
    let early: Vec<bool> = null.iter().map(|n| n.fired.is_some()).collect();
    let forks = asked.shifts.iter().map(|shift| fork(frame, watched, &run, *shift, at, &early)).collect();
    run.change(at, None);
    let mut still: Vec<Fork> = early.iter().map(|early| Fork::new(*early)).collect();
    let mut bad = Vec::new();
    while run.now() + scrape <= frame.ends {
        let fired = run.step();
        bad.push(run.since.bad);
        note(&mut null, watched, &run, &fired);
        watch(&mut still, watched, &run, &fired, at, bad.len());
    }
    // The last scrape before the end is where the watch ended.
    null.iter_mut().filter(|n| n.fired.is_none()).for_each(|n| n.until = run.now());
    Seen { change, null, still, bad, forks, came: evidence::came(bench, &tape, at, frame.within) }
}

/// Notes who has fired for the first time, and what was watched until then.
fn note(null: &mut [Null], watched: &[Watched], run: &Rollout<'_>, fired: &[RuleId]) {
    for (null, w) in null.iter_mut().zip(watched).filter(|(null, _)| null.fired.is_none()) {
        null.counts = run.counts;
        if fires(w, fired) {
            null.fired = Some(run.look());
            null.until = run.now();
        }
    }
}

/// The same from the change on, at the look of that number after it.
fn watch(found: &mut [Fork], watched: &[Watched], run: &Rollout<'_>, fired: &[RuleId], at: SimTime, look: usize) {
    let since = run.look().since(at);
    for (f, w) in found.iter_mut().zip(watched) {
        if let Fork::Watched { delay: delay @ None, looks, counts } = f {
            (*counts, *looks) = (run.since, look);
            *delay = fires(w, fired).then_some(since);
        }
    }
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
    run.change(at, Some(shift));
    let mut found: Vec<Fork> = early.iter().map(|early| Fork::new(*early)).collect();
    let waits = |found: &[Fork]| {
        let open =
            |(f, w): (&Fork, &Watched)| w.shifts.contains(&shift) && matches!(f, Fork::Watched { delay: None, .. });
        found.iter().zip(watched).any(open)
    };
    let mut look = 0;
    while waits(&found) && run.look() + frame.bench.world.telemetry.scrape <= at + frame.within {
        let fired = run.step();
        look += 1;
        watch(&mut found, watched, &run, &fired, at, look);
    }
    found
}
