//! What the README and the changelog say is so: commands run and end as stated, tables list what there is, links lead
//! somewhere.
//!
//! In `sh` blocks every line is a command; in `console` blocks those behind `$ `. A command ends with exit code 0, or with
//! the one named behind it: `# exits 10`. Commands that take long are shortened here unless `ROLLCAGE_LONG_TESTS` is set.

use rollcage::cli::exit::TABLE;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const RUN: &str = "cargo run --release -- ";

/// Commands that are right and are not run here: they would run this test.
const KNOWN: &[&str] = &[
    "cargo test",
    "ROLLCAGE_LONG_TESTS=1 cargo test --release",
    "cargo bench --bench throughput",
    "python3 benches/peers/v2.py",
    "python3 benches/peers/detectors.py",
];

/// Where the committed report stands.
const EXAMPLE: &str = "reports/example";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    number: usize,
    command: String,
    exits: i32,
}

impl Line {
    /// The arguments, if it is a command that is run here.
    fn arguments(&self) -> Option<Vec<&str>> {
        Some(self.command.strip_prefix(RUN)?.split_whitespace().collect())
    }
}

/// The commands of a page.
fn commands(page: &str) -> Vec<Line> {
    let mut found = Vec::new();
    let mut block: Option<&str> = None;
    for (i, line) in page.lines().enumerate() {
        if let Some(tag) = line.strip_prefix("```") {
            block = if block.is_some() { None } else { Some(tag) };
            continue;
        }
        let typed = match block {
            Some("sh") => Some(line),
            Some("console") => line.strip_prefix("$ "),
            _ => None,
        };
        let Some(typed) = typed.map(str::trim).filter(|t| !t.is_empty() && !t.starts_with('#')) else { continue };
        let (command, comment) = typed.split_once(" # ").unwrap_or((typed, ""));
        let exits = comment.trim().strip_prefix("exits ").and_then(|code| code.parse().ok()).unwrap_or(0);
        found.push(Line { number: i + 1, command: command.trim().to_owned(), exits });
    }
    found
}

/// Commands that are neither run here nor known.
fn unknown(page: &str) -> Vec<Line> {
    commands(page).into_iter().filter(|l| l.arguments().is_none() && !KNOWN.contains(&l.command.as_str())).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
        }
    }
}

/// A folder as somebody has it who has just cloned the repository, as far as commands need it.
fn clone() -> tempfile::TempDir {
    let home = tempfile::tempdir().expect("a folder");
    for folder in ["scenarios", "synthetic/models", "synthetic/data"] {
        copy(&root().join(folder), &home.path().join(folder));
    }
    home
}

fn rollcage(home: &Path, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_rollcage")).args(arguments).current_dir(home).output().expect("runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap_or(-1), said)
}

#[test]
fn every_command_of_the_readme_runs_and_ends_as_stated() {
    let readme = text("README.md");
    let long = std::env::var_os("ROLLCAGE_LONG_TESTS").is_some();
    let home = clone();
    let mut ran = 0;
    for line in commands(&readme) {
        let Some(mut arguments) = line.arguments() else { continue };
        let mut allowed = vec![line.exits];
        if let Some(place) = arguments.iter().position(|a| *a == "--seeds").filter(|_| !long) {
            arguments[place + 1] = "2";
            // Two seeds may be too few to tell.
            allowed.push(5);
        }
        if let Some(place) =
            arguments.iter().position(|a| *a == "--trials").filter(|_| !long && arguments[0] == "power")
        {
            arguments[place + 1] = "6";
        }
        if !long && arguments[0] == "validate" {
            println!("NOT RUN: `{}` takes many minutes; set ROLLCAGE_LONG_TESTS=1 to run it", line.command);
            continue;
        }
        if !long && arguments[0] == "live" {
            // One run of real processes on a machine that others use: the scenario expects its outcome of most runs, not of all.
            allowed.push(10);
        }
        let (code, said) = rollcage(home.path(), &arguments);
        assert!(
            allowed.contains(&code),
            "README.md:{}: `{}` ended with {code}, not with {}. Mend the command, or write `# exits {code}` behind it.\n{said}",
            line.number,
            line.command,
            line.exits
        );
        ran += 1;
    }
    assert!(ran >= 8, "only {ran} commands were found");
    let made: BTreeSet<String> = names(&home.path().join(EXAMPLE));
    assert_eq!(made, names(&root().join(EXAMPLE)), "{EXAMPLE} holds the files that its command makes");
    // Exogenous facts are the same on any machine, so they tell whether the example is of the scenario as it is.
    let summary = |folder: &Path| -> Value {
        let path = folder.join(EXAMPLE).join("summary.json");
        serde_json::from_slice(&fs::read(path).expect("a file")).expect("an object")
    };
    let (made, kept) = (summary(home.path()), summary(root()));
    for key in ["/scenario", "/policy", "/seed", "/horizon_s", "/requests", "/digests/exogenous"] {
        assert_eq!(
            made.pointer(key),
            kept.pointer(key),
            "{key} of {EXAMPLE} is stale: make it again (README.md says how)"
        );
    }
}

/// Both are committed: what the page prints of the example must be what the example says.
#[test]
fn the_page_and_its_example_tell_the_same_figures() {
    let readme = text("README.md");
    let block = readme.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).expect("what a run prints");
    let incident = text("reports/example/incident.md");
    let after = |word: &str| -> String {
        let rest = block.split(word).nth(1).unwrap_or_else(|| panic!("no `{word}` in the README's run"));
        let rest = rest.trim_start();
        rest.split("  ").next().unwrap_or_default().split('\n').next().unwrap_or_default().trim().to_owned()
    };
    for measure in ["MTTD", "MTTR"] {
        let row = format!("| {measure} | {} |", after(measure));
        assert!(incident.contains(&row), "{row} is not in the example: one of the two is stale");
    }
    let bad = after("  bad ");
    let (count, share) = bad.split_once(" (").expect("a share");
    let requests = after("requests ");
    let sentence = format!("{count} of {requests} requests were bad");
    assert!(incident.contains(&sentence) && !share.is_empty(), "`{sentence}` is not in the example");
    let harm = after("harm ").split(" bad").next().unwrap_or_default().to_owned();
    assert!(incident.contains(&format!("| Harm suffered | {harm} |")), "harm {harm} is not in the example");
    for time in block.lines().filter_map(|l| l.trim().split_once(' ')).map(|(time, _)| time).filter(|t| t.contains(':'))
    {
        assert!(incident.contains(time), "{time} is not in the example");
    }
}

/// No model runs in `power`, so it prints the same on any machine: to the letter what the page shows, but for where it writes to.
#[test]
fn what_power_prints_is_what_the_page_shows() {
    let readme = text("README.md");
    let line = commands(&readme).into_iter().find(|l| l.command.contains(" power ")).expect("a command");
    let mut arguments = line.arguments().expect("is run here");
    let block = readme.split(&format!("$ {}\n", line.command)).nth(1).and_then(|b| b.split("```").next());
    let shown: Vec<&str> = block.expect("its output").lines().collect();
    let home = clone();
    let long = std::env::var_os("ROLLCAGE_LONG_TESTS").is_some();
    let mut rule: Vec<&str> = Vec::new();
    if !long {
        // One rule of them: which others are watched changes nothing for it.
        arguments.extend(["--rule", "errors"]);
    }
    let output = Command::new(env!("CARGO_BIN_EXE_rollcage")).args(&arguments).current_dir(home.path()).output();
    let said = String::from_utf8(output.expect("runs").stdout).expect("text");
    let said: Vec<&str> = said.lines().collect();
    if long {
        assert_eq!(said, shown, "README.md:{}: its output is stale", line.number);
    } else {
        let at = shown.iter().position(|l| l.starts_with("errors ")).expect("the rule");
        rule.extend(said.iter().skip_while(|l| !l.starts_with("errors ")).take_while(|l| !l.is_empty()));
        assert!(rule.len() >= 5, "{said:?}");
        assert_eq!(rule, shown[at..at + rule.len()], "README.md:{}: its output is stale", line.number);
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn every_other_command_is_known() {
    let found = unknown(&text("README.md"));
    assert!(found.is_empty(), "run them, or list them in KNOWN: {found:#?}");
    let typed: Vec<String> = commands(&text("README.md")).into_iter().map(|l| l.command).collect();
    for known in KNOWN {
        assert!(typed.iter().any(|t| t == known), "`{known}` is not in the README any more: take it out of KNOWN");
    }
}

#[test]
fn a_planted_command_is_found_and_fails() {
    let page =
        "```sh\ncargo tset\n# a remark\n```\n```console\n$ rollcage fly\nits output\n```\n```toml\nno = 1\n```\n";
    let found: Vec<String> = unknown(page).into_iter().map(|l| format!("{}: {}", l.number, l.command)).collect();
    assert_eq!(found, ["2: cargo tset", "6: rollcage fly"]);
    let planted = commands("```sh\ncargo run --release -- fly away # exits 2\n```\n");
    assert_eq!(planted[0].exits, 2);
    let (code, said) = rollcage(root(), &planted[0].arguments().expect("is run here"));
    assert_eq!(code, 2, "{said}");
}

#[test]
fn figures_say_where_they_come_from() {
    let readme = text("README.md");
    let typed = commands(&readme);
    let marked: Vec<&str> =
        readme.lines().filter_map(|l| l.strip_prefix("<!-- measured: ")?.strip_suffix(" -->")).collect();
    for command in &marked {
        assert!(typed.iter().any(|l| l.command == *command), "`{command}` was measured and is not shown");
    }
    let figures = readme.lines().filter(|l| *l == "```text" || l.starts_with("![")).count();
    assert_eq!(figures, marked.len(), "each console output and picture has its marker");
}

#[test]
fn the_tables_list_what_there_is() {
    let readme = text("README.md");
    for folder in ["scenarios", "scenarios/policies"] {
        for name in names(&root().join(folder)).iter().filter(|n| n.ends_with(".toml")) {
            assert!(readme.contains(&format!("({folder}/{name})")), "{folder}/{name} is not in the README");
        }
    }
    let codes = |line: &str| line.strip_prefix("| ")?.split(" |").next()?.parse::<u32>().ok();
    let shown: Vec<u32> = readme.lines().filter_map(codes).collect();
    let table = TABLE.strip_prefix("Exit codes: ").expect("the table of --help");
    let told: Vec<u32> = table.split(" · ").filter_map(|cell| cell.split(' ').next()?.parse().ok()).collect();
    assert_eq!(shown, told, "exit codes of the README and of --help");
}

#[test]
fn the_keys_of_the_json_object_are_those_of_the_table() {
    let readme = text("README.md");
    let section = readme.split("### `--format json`").nth(1).expect("the section");
    let section = section.split("\n## ").next().expect("its text");
    let cells = section.lines().filter(|l| l.starts_with("| `")).filter_map(|l| l.split(" |").next());
    let told: BTreeSet<&str> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    let summary: Value = serde_json::from_str(&text("reports/example/summary.json")).expect("an object");
    let there: BTreeSet<&str> = summary.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(told, there);
}

#[test]
fn links_lead_to_files_that_are_there() {
    for page in ["README.md", "CHANGELOG.md"] {
        let body = text(page);
        let targets = body.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|t| !t.starts_with("http")) {
            let file = PathBuf::from(target.split('#').next().unwrap_or_default());
            assert!(root().join(&file).exists(), "{page}: there is no {target}");
        }
    }
}

#[test]
fn the_changelog_is_typed() {
    let kinds = ["Value-breaking", "Added", "Changed", "Fixed"];
    let body = text("CHANGELOG.md");
    assert!(body.contains("\n## ["), "there is an entry");
    for (i, line) in body.lines().enumerate() {
        if let Some(kind) = line.strip_prefix("### ") {
            assert!(kinds.contains(&kind), "CHANGELOG.md:{}: `{kind}` is none of {kinds:?}", i + 1);
        }
    }
}
