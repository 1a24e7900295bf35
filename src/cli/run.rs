//! Owns `run`: one scenario, one policy, one seed or many.

use crate::campaign::lab::Lab;
use crate::cli::exit::Exit;
use crate::cli::{Format, Stop, Which, colour, lab, plan, print};
use crate::plan::Plan;
use crate::report::aggregate::{TrialFigures, aggregate};
use crate::report::judge::{judge_all, overall};
use crate::report::render::{
    ConsoleOptions, Many, WriteError, console, console_many, requests_csv, summary_json, summary_many, write_all,
    write_files,
};
use crate::report::trial::{ExpectationResult, ExpectationVerdict, Host, TrialReport};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    which: Which,
    /// The root seed of the trial, or the first of `--seeds`
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    seed: u64,
    /// So many trials, with consecutive seeds; nobody should quote a single one
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    seeds: Option<u32>,
    /// Where the files go [default: reports/SCENARIO-POLICY-SEED; with `--format json` nothing is written]
    #[arg(long)]
    out: Option<PathBuf>,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
    /// Threads for `--seeds` [default: all cores]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Also write every request of the trial (requests.csv; grows with the run)
    #[arg(long, conflicts_with = "seeds")]
    requests: bool,
}

impl Run {
    pub(super) fn execute(self) -> Result<Exit, Stop> {
        let lab = lab()?;
        let plan = plan(&lab, &self.which.scenario, self.which.policy.as_deref())?;
        match self.seeds {
            None => self.single(&lab, &plan),
            Some(seeds) => self.many(&lab, &plan, seeds),
        }
    }

    fn out_dir(&self, plan: &Plan, name: &str) -> Option<PathBuf> {
        match (&self.out, self.format) {
            (Some(dir), _) => Some(dir.clone()),
            (None, Format::Human) => {
                Some(Path::new("reports").join(format!("{}-{}-{name}", plan.name, plan.policy.name)))
            }
            (None, Format::Json) => None,
        }
    }

    fn command(&self, seed: u64) -> String {
        let scenario = quoted(&self.which.scenario);
        let policy = self.which.policy.as_ref().map_or(String::new(), |p| format!(" --policy {}", quoted(p)));
        format!("rollcage run {scenario}{policy} --seed {seed}")
    }

    fn single(&self, lab: &Lab, plan: &Plan) -> Result<Exit, Stop> {
        let mut models = lab.models();
        let done = lab.trial(plan, self.seed, self.requests, &mut models).map_err(environment)?;
        let report = done.report;
        let command = self.command(self.seed);
        let out = self.out_dir(plan, &self.seed.to_string());
        if let Some(dir) = &out {
            write_all(dir, &report, &command, self.requests.then(|| requests_csv(&report.names, &done.requests)))
                .map_err(unwritable)?;
        }
        match self.format {
            Format::Json => print(&format!("{}\n", summary_json(&report))),
            Format::Human => {
                let out_dir = out.as_ref().map(|d| d.display().to_string());
                let missed = code(&report.expectations) != Exit::Holds;
                print(&console(
                    &report,
                    &ConsoleOptions {
                        color: colour(false),
                        out_dir: out_dir.as_deref(),
                        reproduce: missed.then_some(command.as_str()),
                    },
                ));
            }
        }
        Ok(code(&report.expectations))
    }

    fn many(&self, lab: &Lab, plan: &Plan, seeds: u32) -> Result<Exit, Stop> {
        let jobs = self.jobs.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from);
        let last = self.seed.checked_add(u64::from(seeds));
        let range = self.seed..last.ok_or_else(|| Stop::Usage("the seeds go beyond the largest number".to_owned()))?;
        let started = crate::campaign::lab::now();
        let (told, heard) = mpsc::channel();
        let bar = std::thread::spawn(move || show_progress(u64::from(seeds), &heard));
        let kept = lab.trials(plan, range, jobs, &told, |done| Kept::of(done.report)).map_err(environment);
        let wall_s = crate::campaign::lab::now().duration_since(started).as_secs_f64();
        drop(told);
        let _ = bar.join();
        let kept = kept?;
        let Some(worst) = kept.iter().min_by_key(|k| (k.figures.outcome, std::cmp::Reverse(k.figures.harm_suffered)))
        else {
            return Err(Stop::Nothing("no seeds".to_owned()));
        };
        let worst_seed = worst.figures.seed;
        let figures: Vec<TrialFigures> = kept.iter().map(|k| k.figures.clone()).collect();
        let together = kept.iter().fold(Host::default(), |sum, k| Host {
            trial_wall_s: sum.trial_wall_s + k.host.trial_wall_s,
            reference_runs: sum.reference_runs + k.host.reference_runs,
            rows_inferred: sum.rows_inferred + k.host.rows_inferred,
            ..sum
        });
        let trials: Vec<serde_json::Value> = kept.into_iter().map(|k| k.summary).collect();
        let requests: u64 = figures.iter().map(|f| f.requests.requests).sum();
        let expectations = judge_all(&plan.expectations, &plan.policy.name, &figures);
        let many = Many {
            scenario: &plan.name,
            policy: &plan.policy.name,
            seeds: (self.seed, self.seed + u64::from(seeds) - 1),
            horizon: plan.world.horizon,
            aggregate: &aggregate(&figures),
            expectations: &expectations,
            host: Host {
                wall_s,
                jobs: jobs as u32,
                requests_per_s: requests as f64 / together.trial_wall_s.max(1e-9),
                ..together
            },
        };
        let summary = summary_many(&many, trials);
        let command = format!("{} --seeds {seeds}", self.command(self.seed));
        let out = self.out_dir(plan, &format!("{}x{seeds}", self.seed));
        if let Some(dir) = &out {
            // The worst trial is the one people ask to see: it is run again and written in full.
            let mut models = lab.models();
            let worst = lab.trial(plan, worst_seed, false, &mut models).map_err(environment)?;
            write_all(&dir.join("worst"), &worst.report, &self.command(worst_seed), None).map_err(unwritable)?;
            write_files(dir, &[("summary.json", format!("{summary:#}\n").into_bytes())]).map_err(unwritable)?;
        }
        match self.format {
            Format::Json => print(&format!("{summary}\n")),
            Format::Human => {
                let out_dir = out.as_ref().map(|d| d.display().to_string());
                let missed = code(&expectations) != Exit::Holds;
                let options = ConsoleOptions {
                    color: colour(false),
                    out_dir: out_dir.as_deref(),
                    reproduce: missed.then_some(command.as_str()),
                };
                print(&console_many(&many, &options));
            }
        }
        Ok(code(&expectations))
    }
}

/// What is kept of one of many trials.
struct Kept {
    figures: TrialFigures,
    host: Host,
    summary: serde_json::Value,
}

impl Kept {
    fn of(report: TrialReport) -> Self {
        Self { figures: TrialFigures::from(&report), host: report.host, summary: summary_json(&report) }
    }
}

/// A path as a shell takes it.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

pub(super) fn code(expectations: &[ExpectationResult]) -> Exit {
    match overall(expectations) {
        ExpectationVerdict::Holds => Exit::Holds,
        ExpectationVerdict::Missed => Exit::Missed,
        ExpectationVerdict::Inconclusive { .. } | ExpectationVerdict::NotDefined => Exit::Inconclusive,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "maps an error away")]
pub(super) fn environment(e: crate::world::inference::RuntimeError) -> Stop {
    Stop::Environment(e.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "maps an error away")]
pub(super) fn unwritable(e: WriteError) -> Stop {
    Stop::Environment(format!("the report cannot be written: {e}"))
}

/// A bar on a terminal, a line now and then elsewhere.
pub(super) fn show_progress(trials: u64, heard: &mpsc::Receiver<()>) {
    let terminal = std::io::stderr().is_terminal();
    let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} trials · {elapsed} · {eta} to go");
    let bar = ProgressBar::with_draw_target(Some(trials), target)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let step = (trials / 10).max(1);
    let mut done = 0;
    while heard.recv().is_ok() {
        done += 1;
        bar.inc(1);
        if !terminal && (done % step == 0 || done == trials) {
            eprintln!("{done} of {trials} trials");
        }
    }
    bar.finish_and_clear();
}
