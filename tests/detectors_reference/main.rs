//! Holds every detector and every statistic to the results of reference implementations.
//!
//! The folder is `tests/fixtures/reference`, or the one that `ROLLCAGE_FIXTURES` names: another set of the same format must
//! pass as it is. Documents are told apart by their `format`. Every case runs, every value in it is compared or declared an
//! input; an empty folder, an unknown document, an unknown detector and a value that no one looked at are failures.

mod arl;
mod burn_rate;
mod changed;
mod confseq;
mod fairness;
mod harness;
mod oracle;
mod paired;
mod policy;
mod stream;
mod survival;
mod two_sample;

use harness::{Folder, Report};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Runs all cases of one document.
type Runner = fn(&Folder, &str, &serde_json::Value, &mut Report) -> Result<(), String>;

/// Which document is whose.
const RUNNERS: &[(&str, Runner)] = &[
    ("arl-v1", arl::run),
    ("burn-rate-v1", burn_rate::run),
    ("confseq-v1", confseq::run),
    ("fairness-v1", fairness::run),
    ("oracle-v1", oracle::run),
    ("paired-v1", paired::run),
    ("stream-v1", stream::run),
    ("survival-v1", survival::run),
    ("two-sample-v1", two_sample::run),
];

fn folder() -> Folder {
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reference");
    Folder { root: std::env::var_os("ROLLCAGE_FIXTURES").map_or_else(own, PathBuf::from), changed: None }
}

/// Runs every document of a folder.
fn run(folder: &Folder) -> Report {
    let mut report = Report::default();
    let documents = match documents(folder) {
        Ok(documents) => documents,
        Err(e) => {
            report.wrong.push(e);
            return report;
        }
    };
    for name in &documents {
        let done = folder.json(name).and_then(|document| {
            let format = document["format"].as_str().unwrap_or("(none)").to_owned();
            let (_, runner) = RUNNERS
                .iter()
                .find(|(known, _)| *known == format)
                .ok_or_else(|| format!("{name}: unknown format `{format}`"))?;
            runner(folder, name, &document, &mut report)
        });
        report.wrong.extend(done.err());
    }
    if report.scores.is_empty() {
        report.wrong.push(format!("{}: no case was run", folder.root.display()));
    }
    report
}

/// The documents of a folder, by name.
fn documents(folder: &Folder) -> Result<Vec<String>, String> {
    let entries = std::fs::read_dir(&folder.root).map_err(|e| format!("{}: {e}", folder.root.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|e| e.ok()?.file_name().into_string().ok())
        .filter(|n| Path::new(n).extension().is_some_and(|e| e == "json"))
        .collect();
    names.sort();
    Ok(names)
}

/// Said past the test runner's capture: the count is wanted when all is well, too.
fn say(report: &Report) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "\n{:<28} {:>6} {:>6} {:>8} {:>10}", "detector", "held", "failed", "values", "deviation");
    for (detector, s) in &report.scores {
        let _ = writeln!(out, "{detector:<28} {:>6} {:>6} {:>8} {:>10.1e}", s.held, s.failed, s.values, s.deviation);
    }
}

#[test]
fn every_case_holds() {
    let report = run(&folder());
    say(&report);
    let shown: Vec<&String> = report.wrong.iter().take(40).collect();
    assert!(report.wrong.is_empty(), "{} wrong, the first of them:\n{shown:#?}", report.wrong.len());
}

#[test]
fn an_empty_folder_fails() {
    let empty = tempfile::tempdir().expect("a folder");
    let report = run(&Folder { root: empty.path().to_owned(), changed: None });
    assert!(report.wrong.iter().any(|w| w.contains("no case was run")), "{:?}", report.wrong);
}
