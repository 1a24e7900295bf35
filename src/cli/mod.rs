//! Owns the command line: arguments, exit codes, progress. Everything it shows is rendered elsewhere.

mod check;
mod doctor;
pub mod exit;
mod explain;
mod live;
mod models;
mod power;
mod replica;
mod run;
pub mod validate;
mod verify;

use crate::campaign::lab::Lab;
use crate::cli::exit::Exit;
use crate::plan::diagnostic::Diagnostic;
use crate::plan::{Plan, load};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

/// Crash-tests a rollback policy before production does: real ONNX inference in virtual time, from fault to recovery.
#[derive(Debug, Parser)]
#[command(name = "rollcage", version, about, after_help = exit::TABLE)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one scenario against a policy and tell MTTD, MTTR and harm
    Run(run::Run),
    /// Run one scenario in real time: real replicas over HTTP, real faults, the same controller
    Live(live::Live),
    /// Hold simulated trials against live runs of one scenario
    Validate(validate::Validate),
    /// Predict before any run what a policy finds: how large a shift, how fast, with how many false alarms
    Power(power::Power),
    /// Check scenario files (with their policies, models and data); all mistakes at once
    Check(check::Check),
    /// Prove determinism: every trial twice, in two processes with different surroundings
    Verify(verify::Verify),
    /// Explain a kind of signal: definition, parameters, units, source, and what it is blind to
    Explain(explain::Explain),
    /// Look at model artifacts: digest, lineage, vetting
    Models(models::Models),
    /// Serve one model over HTTP (Open Inference Protocol V2), on this machine
    Replica(replica::Replica),
    /// Tell what is found where, and how to mend what is not
    Doctor(doctor::Doctor),
    /// Print the JSON Schema of scenario or policy files, for editors
    Schema {
        /// Of which files
        #[arg(value_enum)]
        of: SchemaOf,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SchemaOf {
    Scenario,
    Policy,
}

/// What a result is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Human,
    /// One JSON object on standard output
    Json,
}

/// Which scenario and policy.
#[derive(Debug, Args)]
struct Which {
    /// The scenario file
    scenario: PathBuf,
    /// A policy file, or the name of one in `policies/` beside the scenario [default: the scenario's own]
    #[arg(long)]
    policy: Option<PathBuf>,
}

/// Why a command ended before its work was done.
#[derive(Debug)]
pub enum Stop {
    /// Files with mistakes.
    Invalid(Vec<Diagnostic>),
    /// What the surroundings lack.
    Environment(String),
    /// Wrong usage that the parser cannot see.
    Usage(String),
    /// Nothing to do.
    Nothing(String),
    /// Somebody ended it.
    Interrupted,
    /// A run in a process of its own could not be made.
    Child {
        /// Its exit code.
        code: i32,
        /// What it said.
        why: String,
    },
}

/// Runs the command line of this process; its exit code.
#[must_use]
pub fn main() -> i32 {
    caught(dispatch)
}

/// A panic is a bug of rollcage: its message is out already, the way back to it follows.
fn caught(command: fn() -> i32) -> i32 {
    std::panic::catch_unwind(command).unwrap_or_else(|_| {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        eprintln!("this is a bug of rollcage; reproduce: rollcage {}", arguments.join(" "));
        Exit::Unexpected as i32
    })
}

fn dispatch() -> i32 {
    if std::env::args().nth(1).as_deref() == Some(crate::world::inference::WORKER_ARGUMENT) {
        return crate::world::inference::worker_main();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version are not mistakes.
            let code = if e.use_stderr() { Exit::Usage } else { Exit::Holds };
            let _ = e.print();
            return code as i32;
        }
    };
    let json = cli.command.is_json();
    let ended = match cli.command {
        Command::Run(run) => run.execute(),
        Command::Live(live) => live.execute(),
        Command::Validate(validate) => validate.execute(),
        Command::Power(power) => power.execute(),
        Command::Check(check) => check.execute(),
        Command::Verify(verify) => verify.execute(),
        Command::Explain(explain) => explain.execute(),
        Command::Models(models) => models.execute(),
        Command::Replica(replica) => replica.execute(),
        Command::Doctor(doctor) => doctor.execute(),
        Command::Schema { of } => {
            let schema = match of {
                SchemaOf::Scenario => crate::plan::scenario_schema(),
                SchemaOf::Policy => crate::plan::policy_schema(),
            };
            print(&format!("{schema:#}\n"));
            Ok(Exit::Holds)
        }
    };
    match ended {
        Ok(code) => code as i32,
        Err(stop) => stop.tell(json) as i32,
    }
}

impl Command {
    fn is_json(&self) -> bool {
        match self {
            Self::Run(run) => run.format == Format::Json,
            Self::Live(live) => live.format == Format::Json,
            Self::Validate(validate) => validate.format == Format::Json,
            Self::Power(power) => power.format == Format::Json,
            Self::Check(check) => check.format == Format::Json,
            Self::Explain(explain) => explain.format == Format::Json,
            _ => false,
        }
    }
}

impl Stop {
    fn tell(self, json: bool) -> Exit {
        match self {
            Self::Invalid(found) => {
                if json {
                    print(&format!("{:#}\n", check::as_json(&found)));
                }
                eprint!("{}", check::as_text(&found));
                Exit::Invalid
            }
            Self::Environment(why) => {
                eprintln!("error: {why}");
                eprintln!("`rollcage doctor` tells what is found where");
                Exit::Environment
            }
            Self::Usage(why) => {
                eprintln!("error: {why}");
                Exit::Usage
            }
            Self::Nothing(why) => {
                eprintln!("nothing ran: {why}");
                Exit::NothingRan
            }
            Self::Interrupted => {
                eprintln!("interrupted; no replica is left");
                Exit::Interrupted
            }
            Self::Child { code, why } => {
                eprint!("{why}");
                [Exit::Usage, Exit::Invalid, Exit::NothingRan, Exit::Environment]
                    .into_iter()
                    .find(|exit| *exit as i32 == code)
                    .unwrap_or(Exit::Unexpected)
            }
        }
    }
}

/// Opens the lab, telling of the one download there may be.
fn lab() -> Result<Lab, Stop> {
    use crate::world::inference::{Places, VERSION, find};
    if matches!(find(&Places::of_process()), Ok(None)) {
        eprintln!("ONNX Runtime {VERSION} is not here yet: fetching it once into the cache …");
    }
    Lab::open().map_err(|e| Stop::Environment(e.to_string()))
}

/// Loads a plan, vetting its models in the lab.
fn plan(lab: &Lab, scenario: &Path, policy: Option<&Path>) -> Result<Plan, Stop> {
    load(scenario, policy, &mut |bytes, signature| lab.vetting(bytes, signature)).map_err(Stop::Invalid)
}

/// Whether to colour what goes to standard output, or to standard error.
fn colour(error: bool) -> bool {
    let off = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let terminal = if error { std::io::stderr().is_terminal() } else { std::io::stdout().is_terminal() };
    !off && terminal
}

/// Writes to standard output; a reader that has gone away is no mistake.
fn print(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::{Exit, caught};

    #[test]
    fn a_panic_ends_with_the_code_that_the_table_has_for_it() {
        assert_eq!(caught(|| panic!("planted")), Exit::Unexpected as i32);
        assert_eq!(caught(|| 5), 5);
    }
}
