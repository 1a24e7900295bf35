//! Owns `doctor`: what is found where, and how to mend what is not.

use crate::campaign::lab::Lab;
use crate::cli::exit::Exit;
use crate::cli::{Stop, print};
use crate::digest::hex;
use crate::world::inference::{Finding, VERSION, cache_folder, survey};
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Look only; do not fetch ONNX Runtime if it is missing
    #[arg(long)]
    offline: bool,
}

impl Doctor {
    pub(super) fn execute(self) -> Result<Exit, Stop> {
        let mut text = format!("rollcage {} · wants ONNX Runtime {VERSION}\n\n", env!("CARGO_PKG_VERSION"));
        let cache = cache_folder().map_or("none (no home folder)".to_owned(), |p| p.display().to_string());
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        text.push_str(&format!("  cache      {cache}\n  threads    {cores}\n"));
        text.push_str(&format!(
            "  build      {}\n\n",
            if cfg!(debug_assertions) { "debug (slow: use --release)" } else { "release" }
        ));
        text.push_str("ONNX Runtime, in the order it is looked for:\n");
        for candidate in survey() {
            let finding = match &candidate.finding {
                Finding::Unset => "not set".to_owned(),
                Finding::Absent => "nothing there".to_owned(),
                Finding::Possible => "can be fetched".to_owned(),
                Finding::Unusable(why) => format!("unusable: {why}"),
                Finding::Usable(located) => {
                    let foreign = if located.foreign { ", foreign (not the pinned build)" } else { "" };
                    format!("usable, sha256 {}…{foreign}", &hex(&located.sha256)[..12])
                }
            };
            let path = candidate.path.map_or(String::new(), |p| format!(" {}", p.display()));
            text.push_str(&format!("  {}{path}: {finding}\n", candidate.origin));
        }
        print(&text);
        if self.offline {
            return Ok(Exit::Holds);
        }
        let lab = Lab::open().map_err(|e| Stop::Environment(e.to_string()))?;
        print(&format!("\nstarts: {}\n", lab.build_info()));
        print(&format!("worker: {}\n", worker(&lab)?));
        print("all good\n");
        Ok(Exit::Holds)
    }
}

/// A worker that says no to bytes that are no model is a worker that works.
fn worker(lab: &Lab) -> Result<&'static str, Stop> {
    use crate::artifact::Signature;
    use crate::world::inference::LoadOutcome;
    let signature = Signature { input: "x".to_owned(), features: 1, output: "y".to_owned(), column: 0 };
    match lab.vet(b"not a model", &signature) {
        Ok(report) if matches!(report.load, LoadOutcome::Refused(_)) => Ok("runs, refuses what is no model"),
        Ok(report) => Err(Stop::Environment(format!("the worker took bytes that are no model: {report:?}"))),
        Err(e) => Err(Stop::Environment(e.to_string())),
    }
}
