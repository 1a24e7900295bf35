//! Owns `verify`: proof of determinism. Each trial runs twice, in two processes with different time zone, language, working
//! folder and number of threads; everything but the host section must be equal to the byte.

use crate::cli::exit::Exit;
use crate::cli::{Stop, print};
use clap::Args;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Scenario files, or folders of them
    #[arg(required = true)]
    scenarios: Vec<PathBuf>,
    /// A policy for all of them [default: each scenario's own]
    #[arg(long)]
    policy: Option<PathBuf>,
    /// The first seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// So many seeds, one after another
    #[arg(long, default_value_t = 1)]
    seeds: u32,
}

/// The surroundings of the two processes: (TZ, LANG, threads).
const SURROUNDINGS: [(&str, &str, &str); 2] = [("UTC", "C", "1"), ("Pacific/Chatham", "de_DE.UTF-8", "2")];

/// Files of a report that must be equal to the byte.
const FILES: [&str; 5] = ["incident.md", "timeline.svg", "timeline.png", "windows.csv", "events.jsonl"];

impl Verify {
    pub(super) fn execute(self) -> Result<Exit, Stop> {
        let scenarios = expand(&self.scenarios)?;
        let (mut same, mut all) = (0, 0);
        for scenario in &scenarios {
            for seed in self.seed..self.seed.saturating_add(u64::from(self.seeds)) {
                all += 1;
                match self.pair(scenario, seed)? {
                    None => {
                        same += 1;
                        print(&format!("same       {} seed {seed}\n", scenario.display()));
                    }
                    Some(difference) => {
                        print(&format!("DIFFERENT  {} seed {seed}\n{difference}\n", scenario.display()));
                        let policy =
                            self.policy.as_ref().map_or(String::new(), |p| format!(" --policy {}", p.display()));
                        let scenario = scenario.display();
                        print(&format!("reproduce: rollcage verify {scenario}{policy} --seed {seed}\n"));
                    }
                }
            }
        }
        if all == 0 {
            return Err(Stop::Nothing("no seeds".to_owned()));
        }
        print(&format!("{same} of {all} trials the same in two processes\n"));
        Ok(if same == all { Exit::Holds } else { Exit::Nondeterminism })
    }

    /// What differs between two runs of one trial.
    fn pair(&self, scenario: &Path, seed: u64) -> Result<Option<String>, Stop> {
        let io = |e: std::io::Error| Stop::Environment(e.to_string());
        let absolute = |p: &Path| std::path::absolute(p).map_err(io);
        let scenario = absolute(scenario)?;
        // A policy may be a bare name, which belongs to no folder.
        let policy = match &self.policy {
            Some(p) if p.exists() => Some(absolute(p)?),
            other => other.clone(),
        };
        let scratch = tempfile::tempdir().map_err(io)?;
        let mut children = Vec::new();
        for (i, surroundings) in SURROUNDINGS.iter().enumerate() {
            let home = scratch.path().join(i.to_string());
            std::fs::create_dir(&home).map_err(io)?;
            children.push((start(&scenario, policy.as_deref(), seed, &home, *surroundings).map_err(io)?, home));
        }
        let mut results = Vec::new();
        for (child, home) in children {
            let output = child.wait_with_output().map_err(io)?;
            let code = output.status.code().unwrap_or(-1);
            if ![Exit::Holds as i32, Exit::Missed as i32, Exit::Inconclusive as i32].contains(&code) {
                let why = String::from_utf8_lossy(&output.stderr);
                return Err(Stop::Environment(format!("the run ended with code {code}\n{why}")));
            }
            let summary: Value = serde_json::from_slice(&output.stdout)
                .map_err(|e| Stop::Environment(format!("the run told no summary: {e}")))?;
            results.push((code, summary, home.join("report")));
        }
        let [(code_a, a, dir_a), (code_b, b, dir_b)] = &mut results[..] else { return Ok(None) };
        for summary in [&mut *a, &mut *b] {
            if let Some(map) = summary.as_object_mut() {
                map.remove("host");
            }
        }
        let mut found = Vec::new();
        if code_a != code_b {
            found.push(format!("  exit code: {code_a} and {code_b}"));
        }
        if let (Some(a), Some(b)) = (a.as_object(), b.as_object()) {
            for (key, value) in a {
                if b.get(key) != Some(value) {
                    found.push(format!("  {key}: {value} and {}", b.get(key).unwrap_or(&Value::Null)));
                }
            }
        }
        for file in FILES {
            let (x, y) = (std::fs::read(dir_a.join(file)).map_err(io)?, std::fs::read(dir_b.join(file)).map_err(io)?);
            if x != y {
                found.push(format!("  {file} differs"));
                if file == "events.jsonl" {
                    found.push(first_divergence(&String::from_utf8_lossy(&x), &String::from_utf8_lossy(&y)));
                }
            }
        }
        Ok((!found.is_empty()).then(|| found.join("\n")))
    }
}

fn start(
    scenario: &Path,
    policy: Option<&Path>,
    seed: u64,
    home: &Path,
    (zone, language, threads): (&str, &str, &str),
) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("run").arg(scenario).args(["--format", "json", "--seed", &seed.to_string()]);
    command.args(["--jobs", threads, "--out"]).arg(home.join("report"));
    if let Some(policy) = policy {
        command.arg("--policy").arg(policy);
    }
    command.env("TZ", zone).env("LANG", language).env("LC_ALL", language).env("RAYON_NUM_THREADS", threads);
    command.current_dir(home).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

/// The first line in which two lists of events differ, with the lines before it.
fn first_divergence(a: &str, b: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (a.lines().collect(), b.lines().collect());
    let at = a.iter().zip(&b).position(|(x, y)| x != y).unwrap_or(a.len().min(b.len()));
    let before = a[at.saturating_sub(2)..at].iter().map(|line| format!("    both   {line}\n")).collect::<String>();
    let line = |lines: &[&str]| lines.get(at).map_or("(no more events)".to_owned(), |l| (*l).to_owned());
    format!("  first divergent event, number {at}:\n{before}    one    {}\n    other  {}", line(&a), line(&b))
}

/// Files as they are; of folders, their scenario files in order of name.
pub(super) fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Stop> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).map_err(|e| Stop::Usage(format!("{}: {e}", path.display())))?;
        let mut own: Vec<PathBuf> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
        own.retain(|p| p.is_file() && p.extension().is_some_and(|e| e == "toml"));
        own.sort();
        files.extend(own);
    }
    if files.is_empty() {
        return Err(Stop::Nothing("there are no scenario files".to_owned()));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::first_divergence;

    #[test]
    fn the_first_divergent_event_is_found_with_what_came_before() {
        let text = first_divergence("a\nb\nc\nd", "a\nb\nX\nd");
        assert!(text.contains("number 2") && text.contains("both   b") && text.contains("one    c"), "{text}");
        assert!(first_divergence("a\nb", "a").contains("(no more events)"));
    }
}
