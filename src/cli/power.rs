//! Owns `power`: what a policy can find in a scenario's traffic, told before any run.

use crate::campaign::power::{Ask, PowerError, Shift, power};
use crate::cli::exit::Exit;
use crate::cli::run::{quoted, unwritable};
use crate::cli::{Format, Stop, Which, colour, print};
use crate::plan::diagnostic::did_you_mean;
use crate::plan::units::parse_positive_duration;
use crate::plan::{Plan, Vetting, load};
use crate::report::render::{ConsoleOptions, console_power, power_files, power_json, write_files};
use crate::time::Span;
use clap::Args;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

#[derive(Debug, Args)]
pub(super) struct Power {
    #[command(flatten)]
    which: Which,
    /// One rule, also one that only alerts [default: all rules that roll back or halt]
    #[arg(long)]
    rule: Option<String>,
    /// The stage of the rollout during which the shift comes, from 1
    #[arg(long, default_value_t = 1)]
    stage: usize,
    /// The canary's share of traffic in it [default: the scenario's]
    #[arg(long, value_parser = share, allow_negative_numbers = true)]
    share: Option<f64>,
    /// Share of requests without an answer when all is well [default: what the objective allows]
    #[arg(long, value_parser = share, allow_negative_numbers = true)]
    failure_rate: Option<f64>,
    /// Share of wrong answers when all is well [default: 0.2, or what the smaller class allows]
    #[arg(long, value_parser = share, allow_negative_numbers = true)]
    wrong_rate: Option<f64>,
    /// A shift to look for, as often as wanted: latency=1.3, failure=0.02, wrong=0.3, score=0.5, feature:NAME=1,
    /// missing:NAME=0.2, outcome:NAME=0.8 [default: four sizes of each kind that a rule reads]
    #[arg(long = "shift", value_name = "KIND=SIZE")]
    shifts: Vec<String>,
    /// How long after the shift is watched, like 10m [default: as long as the stage lasts]
    #[arg(long, value_parser = duration)]
    within: Option<Span>,
    /// So many simulated rollouts for each size of shift
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(3..))]
    trials: u32,
    /// The seed of the first
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    seed: u64,
    /// Where the files go [default: reports/power-SCENARIO-POLICY-SEED; with `--format json` nothing is written]
    #[arg(long)]
    out: Option<PathBuf>,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
    /// Threads [default: all cores]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
}

impl Power {
    pub(super) fn execute(self) -> Result<Exit, Stop> {
        // No model runs, so none is tried out and no runtime is needed.
        let mut trusting = |_: &[u8], _: &crate::artifact::Signature| Ok(Vetting { vetted: false, rowwise: false });
        let plan = load(&self.which.scenario, self.which.policy.as_deref(), &mut trusting).map_err(Stop::Invalid)?;
        let names: Vec<&str> = plan.policy.rules.iter().map(|rule| rule.name.as_str()).collect();
        if let Some(rule) = self.rule.as_ref().filter(|rule| !names.contains(&rule.as_str())) {
            let help = did_you_mean(rule, &names, "rules of this policy").unwrap_or_default();
            return Err(Stop::Usage(format!("there is no rule `{rule}`; {help}")));
        }
        let shifts = self.shifts.iter().map(|text| Shift::parse(text, &plan)).collect::<Result<Vec<Shift>, String>>();
        let ask = Ask {
            shifts: shifts.map_err(Stop::Usage)?,
            within: self.within,
            stage: self.stage,
            share: self.share,
            rule: self.rule.clone(),
            seed: self.seed,
            trials: self.trials,
            failure_rate: self.failure_rate,
            wrong_rate: self.wrong_rate,
            jobs: self.jobs.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from),
            ..Ask::default()
        };
        let (told, heard) = mpsc::channel();
        let trials = u64::from(self.trials);
        let progress = std::thread::spawn(move || crate::cli::run::show_progress(trials, &heard));
        let done = power(&plan, &ask, &told);
        drop(told);
        let _ = progress.join();
        let done = done.map_err(|e| stop(&e))?;
        let out = self.out_dir(&plan);
        if let Some(dir) = &out {
            let files = power_files(&done, &self.command()).map_err(|e| unwritable(e.into()))?;
            write_files(dir, &files).map_err(unwritable)?;
        }
        match self.format {
            Format::Json => print(&format!("{}\n", power_json(&done))),
            Format::Human => {
                let out_dir = out.as_ref().map(|d| d.display().to_string());
                let options =
                    ConsoleOptions { color: colour(false), out_dir: out_dir.as_deref(), ..ConsoleOptions::default() };
                print(&console_power(&done, &options));
            }
        }
        Ok(Exit::Holds)
    }

    fn out_dir(&self, plan: &Plan) -> Option<PathBuf> {
        match (&self.out, self.format) {
            (Some(dir), _) => Some(dir.clone()),
            (None, Format::Human) => {
                Some(Path::new("reports").join(format!("power-{}-{}-{}", plan.name, plan.policy.name, self.seed)))
            }
            (None, Format::Json) => None,
        }
    }

    /// The line that makes the same analysis again.
    fn command(&self) -> String {
        let mut line = format!("rollcage power {}", quoted(&self.which.scenario));
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                line.push_str(&format!(" --{name} {value}"));
            }
        };
        add("policy", self.which.policy.as_ref().map(|p| quoted(p)));
        add("rule", self.rule.as_ref().map(|r| quoted(Path::new(r))));
        add("stage", Some(self.stage.to_string()));
        add("share", self.share.map(|s| s.to_string()));
        add("failure-rate", self.failure_rate.map(|s| s.to_string()));
        add("wrong-rate", self.wrong_rate.map(|s| s.to_string()));
        self.shifts.iter().for_each(|shift| add("shift", Some(quoted(Path::new(shift)))));
        add("within", self.within.map(|w| format!("{}s", w.as_secs_f64())));
        add("trials", Some(self.trials.to_string()));
        add("seed", Some(self.seed.to_string()));
        line
    }
}

fn duration(text: &str) -> Result<Span, String> {
    parse_positive_duration(text).map_err(|e| e.to_string())
}

/// A number from 0 to 1.
fn share(text: &str) -> Result<f64, String> {
    let value: Option<f64> = text.parse().ok();
    value.filter(|x| (0.0..=1.0).contains(x)).ok_or_else(|| "a share is between 0 and 1, like 0.2".to_owned())
}

fn stop(e: &PowerError) -> Stop {
    match e {
        PowerError::Threads(_) => Stop::Environment(e.to_string()),
        PowerError::NoTraffic => Stop::Nothing(e.to_string()),
        _ => Stop::Usage(e.to_string()),
    }
}
