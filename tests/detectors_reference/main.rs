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
use std::path::Path;

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

/// The repository's own.
fn own_folder() -> Folder {
    Folder::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/reference"))
}

fn folder() -> Folder {
    std::env::var_os("ROLLCAGE_FIXTURES").map_or_else(own_folder, Folder::new)
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
        let before = cases(&report);
        let done = folder.json(name).and_then(|document| {
            let format = document["format"].as_str().unwrap_or("(none)").to_owned();
            let (_, runner) = RUNNERS
                .iter()
                .find(|(known, _)| *known == format)
                .ok_or_else(|| format!("{name}: unknown format `{format}`"))?;
            runner(folder, name, &document, &mut report)
        });
        report.wrong.extend(done.err());
        if cases(&report) == before {
            report.wrong.push(format!("{name}: no case was run"));
        }
    }
    report.wrong.extend(series_as_indexed(folder).err());
    for file in files(&folder.root, "") {
        if !folder.read.borrow().contains(&file) && !file.ends_with(".md") {
            report.wrong.push(format!("{file}: nobody reads it"));
        }
    }
    if report.scores.is_empty() {
        report.wrong.push(format!("{}: no case was run", folder.root.display()));
    }
    report
}

fn cases(report: &Report) -> usize {
    report.scores.values().map(|score| score.held + score.failed).sum()
}

/// All files below a folder, with forward slashes.
fn files(root: &Path, below: &str) -> Vec<String> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(root.join(below)).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        if entry.path().is_dir() { all.extend(files(root, &path)) } else { all.push(path) }
    }
    all
}

/// The list of series says how long each is.
fn series_as_indexed(folder: &Folder) -> Result<(), String> {
    const INDEX: &str = "series/index.json";
    if !folder.root.join(INDEX).exists() {
        return Ok(());
    }
    for (name, about) in folder.json(INDEX)?.as_object().ok_or(format!("{INDEX}: not a table"))? {
        let values = folder.series(name)?.len();
        if about["n"].as_u64() != Some(values as u64) {
            return Err(format!("{INDEX}: {name} has {values} values, not {}", about["n"]));
        }
    }
    Ok(())
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
    let _ = writeln!(out, "deviation: the largest, relative to the expected value or, where that is smaller, to 0.001");
}

#[test]
fn every_case_holds() {
    let report = run(&folder());
    say(&report);
    let shown: Vec<&String> = report.wrong.iter().take(40).collect();
    assert!(report.wrong.is_empty(), "{} wrong, the first of them:\n{shown:#?}", report.wrong.len());
}

#[test]
fn a_file_that_nobody_reads_and_a_document_without_cases_fail() {
    let own = own_folder();
    let copy = tempfile::tempdir().expect("a folder");
    let put = |name: &str, text: &str| {
        let path = copy.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("written");
    };
    put("fairness.json", &own.text("fairness.json").expect("a document"));
    let wrong = || run(&Folder::new(copy.path())).wrong;
    assert_eq!(wrong(), Vec::<String>::new());
    put("series/lost.csv", "x\n1\n");
    assert_eq!(wrong(), ["series/lost.csv: nobody reads it"]);
    put("series/index.json", "{\"lost\": {\"n\": 2}}");
    assert_eq!(wrong(), ["series/index.json: lost has 1 values, not 2"]);
    put("series/index.json", "{\"lost\": {\"n\": 1}}");
    put("survival.json", "{\"format\": \"fairness-v1\", \"cases\": []}");
    assert_eq!(wrong(), ["survival.json: no case was run"]);
}

#[test]
fn an_empty_folder_fails() {
    let empty = tempfile::tempdir().expect("a folder");
    let report = run(&Folder::new(empty.path()));
    assert!(report.wrong.iter().any(|w| w.contains("no case was run")), "{:?}", report.wrong);
}
