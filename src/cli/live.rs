//! Owns `live`: one scenario in real time, against real replicas.

use crate::campaign::lab::Lab;
use crate::campaign::live::{LiveTrial, run};
use crate::cli::exit::Exit;
use crate::cli::run::{code, quoted, unwritable};
use crate::cli::{Format, Stop, Which, colour, lab, plan, print};
use crate::event::{Event, ReplicaState, Verdict};
use crate::id::Names;
use crate::live::{LiveError, Observed};
use crate::plan::Plan;
use crate::report::render::{ConsoleOptions, console, requests_csv, summary_json, write_all};
use crate::time::{SimTime, Span};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct Live {
    #[command(flatten)]
    which: Which,
    /// The root seed of the traffic
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    seed: u64,
    /// Where the files go [default: reports/SCENARIO-POLICY-live-SEED; with `--format json` nothing is written]
    #[arg(long)]
    out: Option<PathBuf>,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
    /// Also write every request (requests.csv)
    #[arg(long)]
    requests: bool,
    /// Leave all faults out: how the machine is when nothing is wrong
    #[arg(long)]
    no_faults: bool,
    /// Do not tell what happens while it runs
    #[arg(short, long)]
    quiet: bool,
}

impl Live {
    pub(super) fn execute(self) -> Result<Exit, Stop> {
        let lab = lab()?;
        let (mut plan, scenario) = variant(&lab, &self.which)?;
        if self.no_faults {
            // They are about a run with its faults.
            plan.expectations.clear();
        }
        let faults = vec![!self.no_faults; plan.world.faults.len()];
        let LiveTrial { report, requests, observed } =
            watched(&lab, &plan, self.seed, faults, self.requests, self.quiet)?;
        tell_lateness(&observed);
        let policy = self.which.policy.as_ref().map_or(String::new(), |p| format!(" --policy {}", quoted(p)));
        let without = if self.no_faults { " --no-faults" } else { "" };
        let command = format!("rollcage live {}{policy} --seed {}{without}", quoted(&scenario), self.seed);
        let out = match (&self.out, self.format) {
            (Some(dir), _) => Some(dir.clone()),
            (None, Format::Human) => {
                Some(PathBuf::from("reports").join(format!("{}-{}-live-{}", plan.name, plan.policy.name, self.seed)))
            }
            (None, Format::Json) => None,
        };
        if let Some(dir) = &out {
            let rows = self.requests.then(|| requests_csv(&report.names, &requests));
            write_all(dir, &report, &command, rows).map_err(unwritable)?;
        }
        let ended = code(&report.expectations);
        match self.format {
            Format::Json => print(&format!("{}\n", summary_json(&report))),
            Format::Human => {
                let out_dir = out.as_ref().map(|d| d.display().to_string());
                let reproduce = (ended != Exit::Holds).then_some(command.as_str());
                let options = ConsoleOptions { color: colour(false), out_dir: out_dir.as_deref(), reproduce };
                print(&console(&report, &options));
            }
        }
        Ok(ended)
    }
}

/// How late requests were sent is not the servers' doing: a machine that cannot keep the rate measures itself.
fn tell_lateness(observed: &Observed) {
    let mut late = observed.lateness.clone();
    late.sort_unstable();
    let at = |q: f64| late.get((late.len().saturating_sub(1) as f64 * q) as usize).copied().unwrap_or_default();
    let (p99, max) = (at(0.99), at(1.0));
    if p99 > LATE {
        eprintln!("warning: requests were sent {p99} late at p99 ({max} at most): latencies are also this machine's");
    }
}

/// Requests that are sent later than this after their time are not on time.
const LATE: Span = Span::millis(10);

/// The plan to run live: the scenario's live-sized variant if it names one. And the file it is in.
pub(super) fn variant(lab: &Lab, which: &Which) -> Result<(Plan, PathBuf), Stop> {
    let own = plan(lab, &which.scenario, which.policy.as_deref())?;
    match own.live.clone() {
        None => Ok((own, which.scenario.clone())),
        Some(path) => {
            eprintln!("{}: its live-sized variant is {}", which.scenario.display(), path.display());
            Ok((plan(lab, &path, which.policy.as_deref())?, path))
        }
    }
}

/// A live run that tells on standard error what happens.
pub(super) fn watched(
    lab: &Lab,
    plan: &Plan,
    seed: u64,
    faults: Vec<bool>,
    requests: bool,
    quiet: bool,
) -> Result<LiveTrial, Stop> {
    if !quiet {
        eprintln!("{} · policy {} · seed {seed} · starting replicas", plan.name, plan.policy.name);
    }
    let names = plan.names.clone();
    let mut told = |at: SimTime, event: &Event| {
        if let Some(line) = line(&names, event).filter(|_| !quiet) {
            eprintln!("  {at}  {line}");
        }
    };
    run(lab, plan, seed, faults, requests, &mut told).map_err(|e| match e {
        LiveError::Interrupted => Stop::Interrupted,
        LiveError::Unsupported(_) => Stop::Usage(e.to_string()),
        LiveError::Environment(_) | LiveError::NotReady(_) => Stop::Environment(e.to_string()),
    })
}

/// What a person wants to hear of while it happens.
fn line(names: &Names, event: &Event) -> Option<String> {
    Some(match event {
        Event::FaultStarted { fault } => format!("fault {}", names.fault(*fault)),
        Event::FaultEnded { fault } => format!("fault {} is over", names.fault(*fault)),
        Event::Stage { weight, .. } => {
            format!("stage: {:.0} % of the traffic to the new version", weight.share() * 100.0)
        }
        Event::RuleFired(fired) => format!("rule {} fails: {}", names.rule(fired.rule), fired.evidence),
        Event::Decided(d) if d.refused.is_some() => format!("refused: {}", d.refused.as_deref().unwrap_or_default()),
        Event::Decided(d) => match d.verdict {
            Verdict::Rollback => "decided: rollback".to_owned(),
            Verdict::Halt => "decided: halt".to_owned(),
            Verdict::Alert => "decided: alert".to_owned(),
        },
        Event::RevertStarted { from, to } => format!("reverting {} → {}", names.version(*from), names.version(*to)),
        Event::RevertDone { to, replicas, .. } => {
            format!("reverted: all {replicas} replicas answer as {}", names.version(*to))
        }
        Event::RevertFailed { reason } => format!("the revert failed: {reason}"),
        Event::LoadFailed { replica, reason, .. } => format!("replica {} did not start: {reason}", replica.0),
        Event::Misbehaved { replica, what } => format!("replica {}: {what}", replica.0),
        Event::Replica(health) if health.state == ReplicaState::Crashed => {
            format!("replica {} of {} crashed", health.replica.0, names.version(health.version))
        }
        Event::Verified { well } => {
            format!("the policy's own check: users are {}well", if *well { "" } else { "not " })
        }
        _ => return None,
    })
}
