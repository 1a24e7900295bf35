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
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
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

    /// What differs between two runs of one trial: its summary, its files, and two trials side by side on one thread and on two.
    fn pair(&self, scenario: &Path, seed: u64) -> Result<Option<String>, Stop> {
        let seed = seed.to_string();
        let mut found = Vec::new();
        let [one, other] = self.both(scenario, &["--seed", &seed], true)?;
        different(&one.summary, &other.summary, &mut found);
        if one.code != other.code {
            found.push(format!("  exit code: {} and {}", one.code, other.code));
        }
        for file in FILES {
            let (x, y) = (one.read(file)?, other.read(file)?);
            if x != y {
                found.push(format!("  {file} differs"));
                if file == "events.jsonl" {
                    found.push(first_divergence(&x, &y));
                }
            }
        }
        let [few, same] = self.both(scenario, &["--seed", &seed, "--seeds", "2"], false)?;
        different(&few.summary, &same.summary, &mut found);
        if !found.is_empty() {
            // The ends of requests are too many to be told every time; now they are worth it.
            let [one, other] = self.both(scenario, &["--seed", &seed, "--requests"], true)?;
            let (x, y) = (one.read("requests.csv")?, other.read("requests.csv")?);
            if x != y {
                found.push(first_divergence(&x, &y));
            }
        }
        Ok((!found.is_empty()).then(|| found.join("\n")))
    }

    /// The same command in both surroundings at once.
    fn both(&self, scenario: &Path, arguments: &[&str], report: bool) -> Result<[Told; 2], Stop> {
        let absolute = |p: &Path| std::path::absolute(p).map_err(surroundings);
        let mut started = Vec::new();
        for (zone, language, threads) in SURROUNDINGS {
            let home = tempfile::tempdir().map_err(surroundings)?;
            let mut command = Command::new(std::env::current_exe().map_err(surroundings)?);
            command.arg("run").arg(absolute(scenario)?).args(["--format", "json", "--jobs", threads]).args(arguments);
            if report {
                command.arg("--out").arg(home.path().join(REPORT));
            }
            match &self.policy {
                // A policy may be a bare name, which belongs to no folder.
                Some(p) if p.exists() => command.arg("--policy").arg(absolute(p)?),
                Some(p) => command.arg("--policy").arg(p),
                None => &mut command,
            };
            command.env("TZ", zone).env("LANG", language).env("LC_ALL", language).env("RAYON_NUM_THREADS", threads);
            command.current_dir(home.path()).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            started.push((command.spawn().map_err(surroundings)?, home));
        }
        let mut told = Vec::new();
        for (child, home) in started {
            told.push(Told::by(child, home)?);
        }
        <[Told; 2]>::try_from(told).map_err(|_| Stop::Environment("two processes were started".to_owned()))
    }
}

const REPORT: &str = "report";

/// What one process told.
struct Told {
    code: i32,
    /// Its summary without host figures.
    summary: Value,
    home: tempfile::TempDir,
}

impl Told {
    fn by(child: Child, home: tempfile::TempDir) -> Result<Self, Stop> {
        let output = child.wait_with_output().map_err(surroundings)?;
        let code = output.status.code().unwrap_or(-1);
        if ![Exit::Holds as i32, Exit::Missed as i32, Exit::Inconclusive as i32].contains(&code) {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Stop::Child { code, why });
        }
        let mut summary: Value = serde_json::from_slice(&output.stdout)
            .map_err(|e| Stop::Environment(format!("the run told no summary: {e}")))?;
        without_host(&mut summary);
        Ok(Self { code, summary, home })
    }

    fn read(&self, file: &str) -> Result<String, Stop> {
        let bytes = std::fs::read(self.home.path().join(REPORT).join(file)).map_err(surroundings)?;
        // Pictures are compared as they are, byte for byte as a character each.
        Ok(String::from_utf8(bytes).unwrap_or_else(|e| e.into_bytes().iter().map(|&b| char::from(b)).collect()))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "maps an error away")]
fn surroundings(e: std::io::Error) -> Stop {
    Stop::Environment(e.to_string())
}

fn without_host(summary: &mut Value) {
    if let Some(map) = summary.as_object_mut() {
        map.remove("host");
        if let Some(trials) = map.get_mut("trials").and_then(Value::as_array_mut) {
            trials.iter_mut().for_each(without_host);
        }
    }
}

/// Keys of two summaries whose values differ.
fn different(a: &Value, b: &Value, found: &mut Vec<String>) {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else { return };
    let only_there = b.keys().filter(|key| !a.contains_key(*key));
    for key in a.keys().chain(only_there) {
        let value = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or(Value::Null);
        if a.get(key) != b.get(key) {
            found.push(format!("  {key}: {} and {}", value(a), value(b)));
        }
    }
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
