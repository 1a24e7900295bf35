//! Owns live trials: a run in real time with what it needs of the lab, measured without reference runs.

use crate::campaign::alone;
use crate::campaign::lab::{Lab, now};
use crate::campaign::validate::{Calibration, Live, LiveSeen};
use crate::event::RequestEnd;
use crate::id::{SourceId, VersionId};
use crate::live::{LiveError, Observed, Options, Probes, START_LIMIT, Started, Told};
use crate::plan::Plan;
use crate::report::fold::RunRecord;
use crate::report::trial::{Host, TrialReport};
use crate::rng::Seed;
use crate::time::Span;
use crate::world::faults::Faults;
use crate::world::inference::BlockOutcome;
use crate::world::plant::FaultSet;
use crate::world::traffic::streams;
use std::sync::Arc;

/// A live trial.
#[derive(Debug)]
pub struct LiveTrial {
    /// What it amounts to; its milestones are twin-free.
    pub report: TrialReport,
    /// Every request's end.
    pub requests: Vec<RequestEnd>,
    /// What was seen of the machine.
    pub observed: Observed,
}

/// Rows that a foreign server is known by.
const PROBE_ROWS: usize = 8;

/// Runs a plan live. `faults`: those that take part; `keep_requests`: every request's end. `told` hears of facts as they are recorded.
///
/// # Errors
/// See [`LiveError`].
pub fn run(
    lab: &Lab,
    plan: &Plan,
    seed: u64,
    faults: FaultSet,
    keep_requests: bool,
    told: &mut Told<'_>,
) -> Result<LiveTrial, LiveError> {
    let start = now();
    let (record, requests, observed) = record(lab, plan, seed, faults, keep_requests, told)?;
    let mut report = alone(plan, seed, record);
    let wall_s = now().duration_since(start).as_secs_f64();
    let requests_per_s = report.requests.requests as f64 / wall_s.max(1e-9);
    report.host = Host { wall_s, trial_wall_s: wall_s, requests_per_s, jobs: 1, ..Host::default() };
    Ok(LiveTrial { report, requests, observed })
}

fn record(
    lab: &Lab,
    plan: &Plan,
    seed: u64,
    faults: FaultSet,
    keep_requests: bool,
    told: &mut Told<'_>,
) -> Result<(RunRecord, Vec<RequestEnd>, Observed), LiveError> {
    let probes = plan.foreign.as_ref().map(|_| probes(lab, plan, seed, &faults)).transpose()?;
    let options = Options {
        seed: Seed(seed),
        faults,
        keep_requests,
        exe: lab.executable().to_path_buf(),
        runtime: lab.located().path.clone(),
        start_limit: START_LIMIT,
        probes,
    };
    let done = crate::live::run(plan, &options, told)?;
    Ok((done.record, done.requests, done.observed))
}

/// Makes live runs for a validation.
#[derive(Debug)]
pub struct LiveRuns<'l> {
    lab: &'l Lab,
}

impl<'l> LiveRuns<'l> {
    /// On this machine.
    #[must_use]
    pub const fn new(lab: &'l Lab) -> Self {
        Self { lab }
    }
}

impl Live for LiveRuns<'_> {
    type Error = LiveError;

    fn calibrate(&mut self, plan: &Plan, seed: u64) -> Result<Calibration, LiveError> {
        let none = vec![false; plan.world.faults.len()];
        let (_, requests, observed) = record(self.lab, plan, seed, none, true, &mut |_, _| ())?;
        let latencies = |version: VersionId| {
            let answered = requests.iter().filter(|e| e.version == version && e.outcome.is_answered());
            (version, answered.map(|e| e.ended.since(e.arrived)).collect())
        };
        let versions = (0..plan.world.versions.len()).map(|i| VersionId(i as u16));
        Ok(Calibration {
            service: versions.map(latencies).collect(),
            start: starts(&observed.starts),
            telemetry_lag: observed.telemetry_lag,
            control_delay: observed.control_delay,
        })
    }

    fn run(&mut self, plan: &Plan, seed: u64) -> Result<LiveSeen, LiveError> {
        let all = vec![true; plan.world.faults.len()];
        let (record, _, observed) = record(self.lab, plan, seed, all, false, &mut |_, _| ())?;
        Ok(LiveSeen { record, observed })
    }
}

/// What starts are calibrated by: those made during the run, if there are any. The founding fleet starts all at once and takes
/// longer for it, which no start under way does.
fn starts(all: &[Started]) -> Vec<[Span; 4]> {
    let any = all.iter().any(|start| start.during);
    all.iter().filter(|start| start.during || !any).map(|start| start.spans).collect()
}

/// What each version answers to the first rows of the first source, by our own runtime.
fn probes(lab: &Lab, plan: &Plan, seed: u64, faults: &FaultSet) -> Result<Probes, LiveError> {
    let failed = |e: crate::world::inference::RuntimeError| LiveError::Environment(e.to_string());
    let config = Arc::new(plan.world.clone());
    let faults = Faults::new(&config, faults, Seed(seed));
    let block = streams(&faults, Seed(seed)).into_iter().next().and_then(|(.., mut stream)| stream.next_block());
    let block =
        block.ok_or_else(|| LiveError::Environment("the first source of traffic has no requests".to_owned()))?;
    let rows = block.features.chunks(block.width.max(1)).take(PROBE_ROWS).map(<[f32]>::to_vec).collect();
    let mut models = lab.models();
    let mut scores = Vec::new();
    for i in 0..config.versions.len() {
        let version = faults.shipped(VersionId(i as u16)).0;
        let columns = version.columns.get(SourceId(0).index()).and_then(Option::as_deref);
        let answered = models.block(&version.artifact, columns, &block).map_err(failed)?;
        scores.push(match &*answered {
            BlockOutcome::Scores(scores) => scores.iter().take(PROBE_ROWS).copied().collect(),
            _ => Vec::new(),
        });
    }
    Ok(Probes { rows, scores })
}

#[cfg(test)]
mod tests {
    //! Which starts calibrate.

    use super::*;

    #[test]
    fn starts_of_the_founding_fleet_calibrate_only_where_there_are_no_others() {
        let start = |s, during| Started { version: VersionId(0), spans: [Span::secs(s); 4], during };
        let all = [start(9, false), start(2, true), start(8, false), start(3, true)];
        assert_eq!(starts(&all), [[Span::secs(2); 4], [Span::secs(3); 4]]);
        assert_eq!(starts(&[all[0], all[2]]), [[Span::secs(9); 4], [Span::secs(8); 4]]);
        assert_eq!(starts(&[]), Vec::<[Span; 4]>::new());
    }
}
