//! Owns `validate`: live runs held against simulated trials of the same scenario.

use crate::campaign::lab::Lab;
use crate::campaign::live::LiveRuns;
use crate::campaign::validate::{Live, Size, Step, ValidateError, Validated, validate};
use crate::cli::exit::Exit;
use crate::cli::live::variant;
use crate::cli::run::{environment, quoted, unwritable};
use crate::cli::{Format, Stop, Which, colour, lab, print};
use crate::live::LiveError;
use crate::plan::Plan;
use crate::report::render::{
    ConsoleOptions, WriteError, console_validation, validation_files, validation_json, write_all, write_files,
};
use clap::Args;
use std::any::Any;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

/// Arguments of `validate`.
#[derive(Debug, Args)]
pub struct Validate {
    #[command(flatten)]
    which: Which,
    /// So many live runs, each as long as the scenario
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    repeats: u32,
    /// So many simulated trials; fewer than 19 cannot give a 90 % interval
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(19..))]
    trials: u32,
    /// The seed of the first live run; the others, the simulated trials and the calibrating run have the next ones
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the files go [default: reports/validate-SCENARIO-POLICY-SEEDxN; with `--format json` nothing is written]
    #[arg(long)]
    out: Option<PathBuf>,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

impl Validate {
    pub(super) fn execute(mut self) -> Result<Exit, Stop> {
        let lab = lab()?;
        let (plan, scenario) = variant(&lab, &self.which)?;
        self.which.scenario = scenario;
        self.carry_out(&lab, &plan, &mut LiveRuns::new(&lab))
    }

    /// The command once its plan is there. It measures and demands nothing: done is [`Exit::Holds`].
    ///
    /// # Errors
    /// When a live run could not be made, there is no runtime, or a file could not be written.
    pub fn carry_out<L: Live<Error: Display + 'static>>(
        &self,
        lab: &Lab,
        plan: &Plan,
        live: &mut L,
    ) -> Result<Exit, Stop> {
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let size = Size { seed: self.seed, repeats: self.repeats, trials: self.trials, jobs };
        let (told, heard) = mpsc::channel();
        let progress = std::thread::spawn(move || show_progress(&size, &heard));
        let done = validate(lab, plan, &size, live, &told);
        drop(told);
        let _ = progress.join();
        let done = done.map_err(stop)?;
        let command = self.command();
        let out = self.out_dir(plan);
        if let Some(dir) = &out {
            self.write(dir, &done, &command).map_err(unwritable)?;
        }
        match self.format {
            Format::Json => print(&format!("{}\n", validation_json(&done.validation))),
            Format::Human => {
                let out_dir = out.as_ref().map(|d| d.display().to_string());
                let options =
                    ConsoleOptions { color: colour(false), out_dir: out_dir.as_deref(), ..ConsoleOptions::default() };
                print(&console_validation(&done.validation, &options));
            }
        }
        match done.stopped {
            None => Ok(Exit::Holds),
            Some(e) => {
                eprintln!(
                    "{} of {} live runs were made; the comparison above is of those",
                    done.live.len(),
                    self.repeats
                );
                Err(stop(ValidateError::Live(e)))
            }
        }
    }

    /// The comparison, and a full report of each live run in a folder of its own.
    fn write<E>(&self, dir: &Path, done: &Validated<E>, command: &str) -> Result<(), WriteError> {
        for (run, seed) in done.live.iter().zip(self.seed..) {
            write_all(&dir.join(format!("live-{seed}")), run, command, None)?;
        }
        write_files(dir, &validation_files(&done.validation, command)?)
    }

    fn out_dir(&self, plan: &Plan) -> Option<PathBuf> {
        match (&self.out, self.format) {
            (Some(dir), _) => Some(dir.clone()),
            (None, Format::Human) => {
                let name = format!("validate-{}-{}-{}x{}", plan.name, plan.policy.name, self.seed, self.repeats);
                Some(Path::new("reports").join(name))
            }
            (None, Format::Json) => None,
        }
    }

    fn command(&self) -> String {
        let scenario = quoted(&self.which.scenario);
        let policy = self.which.policy.as_ref().map_or(String::new(), |p| format!(" --policy {}", quoted(p)));
        let Self { repeats, trials, seed, .. } = self;
        format!("rollcage validate {scenario}{policy} --repeats {repeats} --trials {trials} --seed {seed}")
    }
}

fn stop<E: Display + 'static>(e: ValidateError<E>) -> Stop {
    match e {
        ValidateError::Runtime(e) => environment(e),
        ValidateError::Live(ref why) => match (why as &dyn Any).downcast_ref::<LiveError>() {
            Some(LiveError::Interrupted) => Stop::Interrupted,
            Some(LiveError::Unsupported(_)) => Stop::Usage(e.to_string()),
            _ => Stop::Environment(e.to_string()),
        },
        ValidateError::Seeds => Stop::Usage(e.to_string()),
    }
}

/// A line for each live run, which takes minutes, and for each tenth of the simulated trials.
fn show_progress(size: &Size, heard: &mpsc::Receiver<Step>) {
    eprintln!("one live run without faults, to calibrate …");
    let (mut live, mut simulated) = (0, 0);
    let step = (size.trials / 10).max(1);
    while let Ok(done) = heard.recv() {
        match done {
            Step::Calibrated => eprintln!("calibrated; {} live runs …", size.repeats),
            Step::Live => {
                live += 1;
                eprintln!("{live} of {} live runs", size.repeats);
            }
            Step::Simulated => {
                simulated += 1;
                if simulated % step == 0 || simulated == size.trials {
                    eprintln!("{simulated} of {} simulated trials", size.trials);
                }
            }
        }
    }
}
