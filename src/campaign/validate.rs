//! Owns validation: live runs, and the simulated trials they are held against, on a plan that one more live run
//! calibrated.
//!
//! ```text
//! plan ──► Live::calibrate ──► Calibration ──► calibrated plan ──► M simulated trials ──┐
//!   └────► Live::run × N ──► LiveSeen ────────► causes ───────────────────────────────┬─┴─► report::validation
//!                                  └──► campaign::alone ──► N reports ────────────────┘
//! ```
//!
//! The repeats calibrate nothing: a model fitted to what it is held against proves nothing. Seeds of the two sides and of
//! the calibrating run are disjoint. Live runs come one after another and before the simulated trials, which would take
//! the machine from under them.

use crate::campaign::lab::Lab;
use crate::campaign::{alone, fault_facts};
use crate::digest::keyed;
use crate::event::{ActionKind, Event};
use crate::id::{SignalId, VersionId};
use crate::live::Observed;
use crate::plan::Plan;
use crate::report::fold::RunRecord;
use crate::report::trial::TrialReport;
use crate::report::validation::{Cause, RunFigures, Setting, Subject, Used, Validation};
use crate::stats::quantile::quantile_sorted;
use crate::time::{SimTime, Span};
use crate::trace::Trace;
use crate::world::config::{Effect, Version, WorldConfig};
use crate::world::distribution::Distribution;
use crate::world::inference::RuntimeError;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::mpsc::Sender;

/// With fewer latencies a service time is not measured: two answers would be all that speaks of the slowest hundredth.
pub const SAMPLES_MIN: usize = 200;

/// What one fault-free live run shows of the machine, as the live driver measures it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Calibration {
    /// Latencies of answered requests, by version.
    pub service: Vec<(VersionId, Vec<Span>)>,
    /// Fetch, verify, load and warm-up of each start that stands for one during a run.
    pub start: Vec<[Span; 4]>,
    /// From a scrape to the controller.
    pub telemetry_lag: Vec<Span>,
    /// From an order to its effect.
    pub control_delay: Vec<Span>,
}

/// What one live run leaves for a validation.
#[derive(Debug)]
pub struct LiveSeen {
    /// As a simulated run's.
    pub record: RunRecord,
    /// What was seen of the machine.
    pub observed: Observed,
}

/// Who makes live runs.
pub trait Live {
    /// Why a run could not be made.
    type Error;

    /// Makes one run without faults and tells what it shows of the machine.
    ///
    /// # Errors
    /// When it could not be made.
    fn calibrate(&mut self, plan: &Plan, seed: u64) -> Result<Calibration, Self::Error>;

    /// Makes one run with the plan's faults.
    ///
    /// # Errors
    /// When it could not be made.
    fn run(&mut self, plan: &Plan, seed: u64) -> Result<LiveSeen, Self::Error>;
}

/// How much is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// The seed of the first live run; all others follow from it, see [`Size::seeds`].
    pub seed: u64,
    /// Live runs.
    pub repeats: u32,
    /// Simulated trials.
    pub trials: u32,
    /// Threads for the simulated trials.
    pub jobs: usize,
}

/// Disjoint seeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seeds {
    /// Of the live runs: from the first seed on.
    pub live: Range<u64>,
    /// Of the simulated trials: the next ones.
    pub simulated: Range<u64>,
    /// Of the calibrating run: the one after.
    pub calibration: u64,
}

impl Size {
    /// The seeds; `None` if they go beyond the largest number.
    #[must_use]
    pub fn seeds(&self) -> Option<Seeds> {
        let live = self.seed.checked_add(u64::from(self.repeats))?;
        let calibration = live.checked_add(u64::from(self.trials))?;
        Some(Seeds { live: self.seed..live, simulated: live..calibration, calibration })
    }
}

/// What was done, for whoever shows progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The calibrating run ended.
    Calibrated,
    /// A live run ended.
    Live,
    /// A simulated trial ended.
    Simulated,
}

/// Why there is no validation.
#[derive(Debug, thiserror::Error)]
pub enum ValidateError<E> {
    /// A live run could not be made.
    #[error("a live run could not be made: {0}")]
    Live(E),
    /// The simulated side has no runtime.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// Seeds beyond the largest number.
    #[error("the seeds go beyond the largest number")]
    Seeds,
}

/// A validation, and the live runs it is of: they do not come back, so each is worth keeping.
#[derive(Debug, Clone, PartialEq)]
pub struct Validated<E> {
    /// The comparison.
    pub validation: Validation,
    /// The live runs, in order of their seeds.
    pub live: Vec<TrialReport>,
    /// Why there are fewer of them than asked for: what was made is not thrown away because of one that could not be.
    pub stopped: Option<E>,
}

/// Calibrates, repeats live, simulates, and compares. A live run that could not be made ends the repeats.
///
/// # Errors
/// When no live run could be made, or there is no runtime.
pub fn validate<L: Live>(
    lab: &Lab,
    plan: &Plan,
    size: &Size,
    live: &mut L,
    told: &Sender<Step>,
) -> Result<Validated<L::Error>, ValidateError<L::Error>> {
    // Nobody listens any more: then nobody needs to hear.
    let tell = |step| {
        let _ = told.send(step);
    };
    let seeds = size.seeds().ok_or(ValidateError::Seeds)?;
    let calibration = live.calibrate(plan, seeds.calibration).map_err(ValidateError::Live)?;
    tell(Step::Calibrated);
    let mut reports = Vec::new();
    let mut named = Causes::default();
    let mut stopped = None;
    for seed in seeds.live {
        let LiveSeen { record, observed } = match live.run(plan, seed) {
            Ok(seen) => seen,
            Err(e) if reports.is_empty() => return Err(ValidateError::Live(e)),
            Err(e) => {
                stopped = Some(e);
                break;
            }
        };
        named.see(&record.trace, &observed);
        reports.push(alone(plan, seed, record));
        tell(Step::Live);
    }
    let model = calibrated(plan, &calibration);
    let simulated = lab.alone(&model, seeds.simulated, size.jobs, |report| {
        tell(Step::Simulated);
        RunFigures::from(report)
    })?;
    let figures: Vec<RunFigures> = reports.iter().map(RunFigures::from).collect();
    let facts = fault_facts(plan);
    let fault = facts.iter().find(|f| f.harmful).or_else(|| facts.first());
    let subject = Subject {
        scenario: plan.name.clone(),
        policy: plan.policy.name.clone(),
        fault: fault.map(|f| f.what.clone()),
        horizon: plan.world.horizon,
    };
    let (causes, settings) = (named.causes(&model.world), settings(plan, &calibration));
    let validation = crate::report::validation::validate(subject, &simulated, &figures, causes, settings);
    Ok(Validated { validation, live: reports, stopped })
}

// ---------------------------------------------------------------------------------------------------------------------
// Calibration

/// The plan with its models of service time, start, telemetry lag and control delay replaced by what was measured:
/// latencies per version by their distribution, the others by their medians. A version with fewer than [`SAMPLES_MIN`]
/// latencies has those of all versions together: a declared service time beside a measured one would be a difference between
/// versions that nobody made. What is not measured at all stays as declared; [`settings`] tells.
///
/// A measured service time is a whole latency: what the run of the model takes, and pacing, router, proxy and the way there and
/// back. Simulated, all of it occupies a slot of the replica and is multiplied by the `factor` of a `latency-spike`; live, only
/// what the replica does occupies it, and `factor` multiplies only the run of the model. Latencies hold what requests waited,
/// too, and the simulated replicas queue again. So calibrate on a run that is not near its capacity.
#[must_use]
pub fn calibrated(plan: &Plan, calibration: &Calibration) -> Plan {
    let mut plan = plan.clone();
    let world = &mut plan.world;
    let services = Services::of(calibration);
    for (i, version) in world.versions.iter_mut().enumerate() {
        if let Some((law, _)) = services.get(i) {
            version.service = Some(law.clone());
        }
    }
    // The clean twin of a bad release is the same server.
    for fault in &mut world.faults {
        if let Effect::BadRelease { version, clean } = &mut fault.effect
            && let Some((law, _)) = services.get(version.index())
        {
            clean.service = Some(law.clone());
        }
    }
    for (phase, modelled) in world.fleet.start.iter_mut().enumerate() {
        *modelled = phase_median(calibration, phase).unwrap_or(*modelled);
    }
    world.telemetry.lag = median(&calibration.telemetry_lag).unwrap_or(world.telemetry.lag);
    world.control_delay = median(&calibration.control_delay).unwrap_or(world.control_delay);
    // Another plant: equal digests plan the same trial.
    let services: Vec<_> = world.versions.iter().map(|v| &v.service).collect();
    let measured = format!("{services:?} {:?} {:?} {:?}", world.fleet.start, world.telemetry.lag, world.control_delay);
    plan.digest = keyed(&[b"calibrated-1", &plan.digest, measured.as_bytes()]);
    plan
}

/// What the calibration measured of each figure of the model, and whether [`calibrated`] used it.
#[must_use]
pub fn settings(plan: &Plan, calibration: &Calibration) -> Vec<Setting> {
    let world = &plan.world;
    let setting = |name: String, samples, declared: Span, measured: Option<Span>| Setting {
        name,
        samples,
        declared_s: declared.as_secs_f64(),
        measured_s: measured.map(Span::as_secs_f64),
        used: if measured.is_some() { Used::Measured } else { Used::Declared },
    };
    let services = Services::of(calibration);
    let mut settings = Vec::new();
    for (i, version) in world.versions.iter().enumerate() {
        let samples = latencies(calibration, i);
        let declared = declared(world, version);
        for (words, q) in [("median", 0.5), ("p99", 0.99)] {
            let used = match services.get(i) {
                Some((_, false)) => Used::Measured,
                Some((law, true)) => Used::Pooled { samples: services.samples, value_s: law.at(q).as_secs_f64() },
                None => Used::Declared,
            };
            let name = format!("service time of {}, {words}", version.name);
            settings.push(Setting { used, ..setting(name, samples.len(), declared.at(q), quantile(samples, q)) });
        }
    }
    for (phase, words) in ["fetch", "verify", "load", "warm-up"].into_iter().enumerate() {
        let (declared, measured) = (world.fleet.start[phase], phase_median(calibration, phase));
        let samples = calibration.start.len();
        settings.push(setting(format!("start: {words}"), samples, declared, measured));
    }
    let lag = median(&calibration.telemetry_lag);
    let samples = calibration.telemetry_lag.len();
    settings.push(setting("telemetry lag".to_owned(), samples, world.telemetry.lag, lag));
    let (delay, samples) = (median(&calibration.control_delay), calibration.control_delay.len());
    settings.push(setting("control delay".to_owned(), samples, world.control_delay, delay));
    settings
}

/// Measured service times.
struct Services {
    /// By version, where it has enough latencies of its own.
    own: Vec<Option<Distribution>>,
    /// Of all versions together; `None` with too few latencies even so.
    pooled: Option<Distribution>,
    /// Latencies of all versions.
    samples: usize,
}

impl Services {
    fn of(calibration: &Calibration) -> Self {
        let law = |samples: &[Span]| match samples.len() < SAMPLES_MIN {
            true => None,
            false => Distribution::empirical(samples, SERVICE_POINTS),
        };
        let versions = calibration.service.iter().map(|(id, _)| id.index() + 1).max().unwrap_or(0);
        let all: Vec<Span> = calibration.service.iter().flat_map(|(_, samples)| samples).copied().collect();
        let own = (0..versions).map(|i| law(latencies(calibration, i))).collect();
        Self { own, pooled: law(&all), samples: all.len() }
    }

    /// A version's, and whether it is that of all versions together.
    fn get(&self, version: usize) -> Option<(&Distribution, bool)> {
        let own = self.own.get(version).and_then(Option::as_ref);
        own.map(|law| (law, false)).or_else(|| self.pooled.as_ref().map(|law| (law, true)))
    }
}

fn latencies(calibration: &Calibration, version: usize) -> &[Span] {
    let of = |(id, _): &&(VersionId, Vec<Span>)| id.index() == version;
    calibration.service.iter().find(of).map_or(&[], |(_, samples)| samples)
}

/// Quantiles that a measured service time is given by: each step is a thousandth, so that the slowest hundredth has ten.
const SERVICE_POINTS: usize = 1001;

fn declared<'a>(world: &'a WorldConfig, version: &'a Version) -> &'a Distribution {
    version.service.as_ref().unwrap_or(&world.fleet.service)
}

fn phase_median(calibration: &Calibration, phase: usize) -> Option<Span> {
    median(&calibration.start.iter().filter_map(|start| start.get(phase).copied()).collect::<Vec<_>>())
}

fn total(phases: &[Span; 4]) -> Span {
    phases.iter().fold(Span::ZERO, |sum, &phase| sum + phase)
}

fn median(spans: &[Span]) -> Option<Span> {
    quantile(spans, 0.5)
}

/// Type 7, to the nanosecond.
fn quantile(spans: &[Span], q: f64) -> Option<Span> {
    let mut seconds: Vec<f64> = spans.iter().map(|span| span.as_secs_f64()).collect();
    seconds.sort_by(f64::total_cmp);
    quantile_sorted(&seconds, q).map(Span::from_secs_f64)
}

// ---------------------------------------------------------------------------------------------------------------------
// Causes

/// What live runs show of the causes of gaps, seconds by event.
#[derive(Debug, Clone, PartialEq, Default)]
struct Causes {
    looks: Vec<f64>,
    effects: Vec<f64>,
    late: Vec<f64>,
    starts: Vec<f64>,
    loads: Vec<f64>,
}

impl Causes {
    /// Takes in one live run.
    fn see(&mut self, trace: &Trace, observed: &Observed) {
        self.late.extend(observed.lateness.iter().map(|span| span.as_secs_f64()));
        // In the trace the founding fleet stands at 0, where its states are only told: its starts took time before the clock did.
        for start in observed.starts.iter().filter(|start| start.during) {
            self.starts.push(total(&start.spans).as_secs_f64());
            self.loads.push(start.spans[2].as_secs_f64());
        }

        let seconds = |from: SimTime, to: SimTime| to.since(from).as_secs_f64();
        // Signals and versions are measured at nearly the same instants: the one looked at most often tells the rhythm.
        let mut looks: BTreeMap<(SignalId, VersionId), Vec<SimTime>> = BTreeMap::new();
        let mut ordered: Option<SimTime> = None;
        for fact in &trace.events {
            match &fact.event {
                Event::Measured(m) => looks.entry((m.signal, m.version)).or_default().push(fact.at),
                Event::Ordered(action) if matches!(action.kind, ActionKind::SetWeights(_)) => ordered = Some(fact.at),
                Event::Weights { .. } => self.effects.extend(ordered.take().map(|from| seconds(from, fact.at))),
                _ => {}
            }
        }
        // Of equally many the first: `max_by_key` would take the last.
        if let Some(rhythm) = looks.values().rev().max_by_key(|looks| looks.len()) {
            self.looks.extend(rhythm.windows(2).map(|pair| seconds(pair[0], pair[1])));
        }
    }

    /// Beside what the model assumes.
    fn causes(self, world: &WorldConfig) -> Vec<Cause> {
        let start = total(&world.fleet.start);
        let cause = |name: &str, what: &str, modelled: Span, live: Vec<f64>| Cause {
            name: name.to_owned(),
            what: what.to_owned(),
            modelled_s: modelled.as_secs_f64(),
            live,
        };
        vec![
            cause("scrape jitter", "between two looks of the policy", world.telemetry.scrape, self.looks),
            cause(
                "order to effect",
                "from an order of weights to the router that has them",
                world.control_delay,
                self.effects,
            ),
            cause(
                "late sending",
                "how much later than intended a request was handed to the router",
                Span::ZERO,
                self.late,
            ),
            cause("process start", "from fetch to ready, of each replica started during a run", start, self.starts),
            cause(
                "artifact load",
                "building the session, of each replica started during a run",
                world.fleet.start[2],
                self.loads,
            ),
        ]
    }
}
