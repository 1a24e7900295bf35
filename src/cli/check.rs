//! Owns `check`: all mistakes of all files at once, and how mistakes are shown.

use crate::cli::exit::Exit;
use crate::cli::{Format, Stop, colour, lab, plan, print};
use crate::plan::diagnostic::Diagnostic;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Scenario files, or folders of them
    #[arg(required = true)]
    scenarios: Vec<PathBuf>,
    /// A policy to check with each, instead of its own
    #[arg(long)]
    policy: Option<PathBuf>,
    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: Format,
}

impl Check {
    pub(super) fn execute(self) -> Result<Exit, Stop> {
        let lab = lab()?;
        let mut found = Vec::new();
        for scenario in &crate::cli::verify::expand(&self.scenarios)? {
            match plan(&lab, scenario, self.policy.as_deref()) {
                Ok(plan) if self.format == Format::Human => {
                    let (faults, expectations) = (plan.world.faults.len(), plan.expectations.len());
                    let policy = &plan.policy.name;
                    print(&format!(
                        "{}: good · policy {policy} · {faults} faults · {expectations} expectations\n",
                        scenario.display()
                    ));
                }
                Ok(_) => {}
                Err(Stop::Invalid(mistakes)) => found.extend(mistakes),
                Err(stop) => return Err(stop),
            }
        }
        if found.is_empty() {
            if self.format == Format::Json {
                print("{ \"mistakes\": [] }\n");
            }
            return Ok(Exit::Holds);
        }
        found.dedup();
        Err(Stop::Invalid(found))
    }
}

pub(super) fn as_text(found: &[Diagnostic]) -> String {
    let mut text: String = found.iter().map(|d| d.render(colour(true)) + "\n").collect();
    let n = found.len();
    text.push_str(&format!(
        "{n} {}; nothing ran and nothing was written\n",
        if n == 1 { "mistake" } else { "mistakes" }
    ));
    text
}

pub(super) fn as_json(found: &[Diagnostic]) -> serde_json::Value {
    serde_json::json!({ "mistakes": found })
}
