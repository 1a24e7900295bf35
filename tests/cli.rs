//! The command line as a program sees it: exit codes, the JSON contract, and that mistakes leave nothing behind.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn rollcage(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rollcage"))
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("the binary runs")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ends by itself")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A copy of the synthetic scenario, small, with a change; its models are found by absolute path.
fn scenario(folder: &Path, change: impl FnOnce(String) -> String) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let models = root.join("synthetic/models");
    let plain = format!(
        r#"name = "small"
summary = "a small one"
look_at = "nothing"
policy  = "policy.toml"
horizon = "5m"
[objective]
latency      = {{ p99 = "60ms" }}
failure_rate = 0.001
loss         = {{ kind = "zero-one", threshold = 0.5 }}
[models.v1]
artifact = "{models}/mlp-linear-v1.onnx"
[models.v2]
artifact = "{models}/mlp-linear-v2.onnx"
[fleet]
replicas     = 2
concurrency  = 2
queue        = 16
timeout      = "250ms"
start        = {{ fetch = "1s", verify = "100ms", load = "1s", warm_up = "1s" }}
service_time = {{ kind = "lognormal", median = "4ms", p99 = "12ms" }}
[[traffic]]
source   = "synthetic"
normal   = {{ concept = "{models}/mlp-linear-v2.json" }}
arrivals = {{ kind = "poisson", rate = "50/s" }}
labels   = {{ delay = {{ kind = "constant", value = "20s" }}, lost = 0.0 }}
[telemetry]
scrape = "15s"
lag    = "2s"
[rollout]
from   = "v1"
to     = "v2"
stages = [ {{ at = "30s", weight = 0.5 }} ]
[[fault]]
kind     = "latency-spike"
at       = "2m"
version  = "v2"
add      = "100ms"
harmful  = true
curable_by_rollback = true
[[expect]]
outcome = "recovered"
"#,
        models = models.display()
    );
    let policy = r#"name = "plain"
[signals.latency]
kind     = "latency-quantile"
quantile = 0.99
window   = "30s"
[[rule]]
when = "latency.value > 3 * baseline.latency.value"
then = "rollback"
[revert]
how = "at-once"
"#;
    std::fs::write(folder.join("policy.toml"), policy).expect("written");
    let path = folder.join("small.toml");
    std::fs::write(&path, change(plain)).expect("written");
    path
}

#[test]
fn a_run_that_meets_its_expectations_ends_with_0_and_tells_the_whole_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = scenario(folder.path(), |s| s);
    let out = folder.path().join("out");
    let arguments = ["run", path.to_str().unwrap(), "--seed", "7", "--format", "json", "--out", out.to_str().unwrap()];
    let output = rollcage(&arguments);
    assert_eq!(code(&output), 0, "{}{}", text(&output.stdout), text(&output.stderr));
    let summary: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    for key in [
        "scenario",
        "policy",
        "seed",
        "outcome",
        "mttd_s",
        "mttr_s",
        "censored",
        "requests",
        "bad_requests",
        "harm_suffered",
        "harm_avoided",
        "lost_requests",
        "trace_digest",
        "digests",
        "trace_events",
        "sim_s",
        "incidents",
        "expectations",
        "host",
    ] {
        assert!(summary.get(key).is_some(), "no {key}");
    }
    for key in ["exogenous", "inference", "decisions"] {
        assert!(summary["digests"][key].is_string(), "no digest {key}");
    }
    for key in ["wall_s", "requests_per_s", "reference_runs", "rows_inferred", "jobs"] {
        assert!(summary["host"][key].is_number(), "no host figure {key}");
    }
    for key in ["injected", "onset", "detected", "decided", "revert_started", "reverted", "recovered"] {
        assert!(summary["incidents"][0][key]["at_s"].is_number(), "no milestone {key}");
    }
    assert_eq!((&summary["seed"], &summary["outcome"]), (&Value::from(7), &Value::from("recovered")));
    let (mttd, mttr) = (summary["mttd_s"].as_f64().unwrap(), summary["mttr_s"].as_f64().unwrap());
    assert!(0.0 < mttd && mttd < mttr, "{mttd} {mttr}");
    assert_eq!(summary["host"]["reference_runs"], 3);
    for file in ["summary.json", "windows.csv", "events.jsonl", "incident.md", "timeline.svg", "timeline.png"] {
        assert!(out.join(file).metadata().is_ok_and(|m| m.len() > 100), "no {file}");
    }
}

#[test]
fn many_seeds_are_told_with_their_aggregate() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = scenario(folder.path(), |s| s.replace("\"5m\"", "\"4m\""));
    let output = rollcage(&["run", path.to_str().unwrap(), "--seed", "3", "--seeds", "4", "--format", "json"]);
    let summary: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(code(&output), 0, "{summary:#}");
    let trials = summary["trials"].as_array().expect("trials");
    let seeds: Vec<u64> = trials.iter().filter_map(|t| t["seed"].as_u64()).collect();
    assert_eq!(seeds, [3, 4, 5, 6], "in the order of the seeds");
    assert!(summary["aggregate"]["mttd_s"].is_object() && summary["host"].is_object());
    let digests: std::collections::BTreeSet<_> = trials.iter().map(|t| t["trace_digest"].to_string()).collect();
    assert_eq!(digests.len(), 4, "each seed has its own luck");
}

#[test]
fn a_missed_expectation_ends_with_10_and_a_line_to_paste() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = scenario(folder.path(), |s| s.replace("outcome = \"recovered\"", "outcome = \"correctly-held\""));
    let out = folder.path().join("out");
    let output = rollcage(&["run", path.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    let shown = text(&output.stdout);
    assert_eq!(code(&output), 10, "{shown}");
    assert!(shown.lines().count() <= 25, "{shown}");
    let last = shown.lines().last().expect("lines").trim();
    assert!(last.starts_with("reproduce: rollcage run ") && last.contains("--seed 1"), "{last}");
}

#[test]
fn mistakes_end_with_3_and_leave_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let path =
        scenario(folder.path(), |s| s.replace("replicas     = 2", "replicsa = 2").replace("\"50/s\"", "\"-50/s\""));
    let out = folder.path().join("out");
    let output = rollcage(&["run", path.to_str().unwrap(), "--out", out.to_str().unwrap()]);
    let shown = text(&output.stderr);
    assert_eq!(code(&output), 3, "{shown}");
    assert!(!out.exists(), "nothing is written");
    assert!(output.stdout.is_empty());
    for part in ["small.toml:15", "replicsa", "replicas", "-50/s"] {
        assert!(shown.contains(part), "no `{part}` in\n{shown}");
    }
    let output = rollcage(&["check", path.to_str().unwrap(), "--format", "json"]);
    let found: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(code(&output), 3);
    let mistakes = found["mistakes"].as_array().expect("a list");
    assert!(mistakes.len() >= 2, "{found:#}");
    assert!(mistakes.iter().all(|m| m["line"].as_u64().is_some_and(|l| l > 0) && m["message"].is_string()));
}

#[test]
fn wrong_usage_ends_with_2_and_a_missing_runtime_with_20() {
    assert_eq!(code(&rollcage(&["rnu"])), 2);
    assert_eq!(code(&rollcage(&["run"])), 2);
    assert_eq!(code(&rollcage(&["--help"])), 0);
    let folder = tempfile::tempdir().expect("a folder");
    let path = scenario(folder.path(), |s| s);
    let output = Command::new(env!("CARGO_BIN_EXE_rollcage"))
        .args(["run", path.to_str().unwrap()])
        .env("ORT_DYLIB_PATH", folder.path().join("nothing.so"))
        .output()
        .expect("runs");
    assert_eq!(code(&output), 20, "{}", text(&output.stderr));
}

#[test]
fn nothing_to_run_ends_with_4() {
    let folder = tempfile::tempdir().expect("a folder");
    assert_eq!(code(&rollcage(&["verify", folder.path().to_str().unwrap()])), 4);
}

#[test]
fn verify_finds_a_trial_the_same_in_two_processes() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = scenario(folder.path(), |s| s.replace("\"5m\"", "\"4m\""));
    let output = rollcage(&["verify", path.to_str().unwrap(), "--seeds", "2"]);
    let shown = text(&output.stdout);
    assert_eq!(code(&output), 0, "{shown}{}", text(&output.stderr));
    assert!(shown.contains("2 of 2 trials the same"), "{shown}");
}

#[test]
fn schemas_are_json_and_models_are_as_promised() {
    for of in ["scenario", "policy"] {
        let schema: Value = serde_json::from_slice(&rollcage(&["schema", of]).stdout).expect("JSON");
        assert!(schema["properties"]["name"].is_object());
    }
    let output = rollcage(&["models", "list"]);
    let shown = text(&output.stdout);
    assert_eq!(code(&output), 0, "{shown}");
    assert!(shown.lines().count() >= 7 && !shown.contains("NOT"), "{shown}");
    let output = rollcage(&["models", "vet", "synthetic/models/mlp-linear-v1.onnx"]);
    assert_eq!(code(&output), 0, "{}", text(&output.stdout));
    assert_eq!(code(&rollcage(&["models", "show", "synthetic/models/census-v2.json"])), 0);
    assert_eq!(code(&rollcage(&["doctor"])), 0);
}

#[test]
fn a_slip_is_answered_with_what_was_meant() {
    let says = |args: &[&str], wanted: &[&str], never: &[&str]| {
        let output = rollcage(args);
        let said = text(&output.stderr);
        assert_ne!(code(&output), 0, "{args:?}");
        for part in wanted {
            assert!(said.contains(part), "{args:?}: no `{part}` in\n{said}");
        }
        for part in never {
            assert!(!said.contains(part), "{args:?}: `{part}` in\n{said}");
        }
    };
    let slow_burn = "did you mean `scenarios/slow-burn.toml`?";
    says(&["power", "slow-burn"], &[slow_burn], &[]);
    says(&["power", "slowburn"], &[slow_burn], &[]);
    says(&["power", "scenarios/slow-burn"], &[slow_burn], &[]);
    says(&["power", "scenarios"], &["it is a folder", "`scenarios/slow-burn.toml`"], &[".git", "did you mean"]);
    let power = |args: &[&'static str]| [&["power", "scenarios/slow-burn.toml"], args].concat();
    says(&power(&["--rule", "fastburn"]), &["did you mean `fast-burn`?"], &[]);
    says(&power(&["--share", "-0.1"]), &["-0.1", "a share is between 0 and 1, like 0.2"], &["tip:"]);
    says(&power(&["--share", "20"]), &["like 0.2"], &[]);
    says(&power(&["--seed", "-1"]), &["-1", "--seed"], &["tip:"]);
    says(&["explain", "ks-test"], &["did you mean `ks`?", "`rollcage explain` lists all of them"], &[]);
    says(&["explain", "latency"], &["did you mean `latency-quantile`?"], &[]);
}

#[test]
fn an_explanation_has_definition_fields_choices_and_an_example() {
    let output = rollcage(&["explain", "fairness"]);
    let said = text(&output.stdout);
    for part in [
        "Rules may read: value, lower, upper, ratio, n.",
        "equal-opportunity: Among those of class 1",
        "Default: \"demographic-parity\".",
        "Memory: at most `",
        "groups: groups of users",
        "[signals.fairness]",
    ] {
        assert!(said.contains(part), "no `{part}` in\n{said}");
    }
    let said: Value = serde_json::from_slice(&rollcage(&["explain", "ks", "--format", "json"]).stdout).expect("JSON");
    assert_eq!(said["fields"][0], "d");
    assert!(said["example"].as_str().is_some_and(|text| text.contains("kind = \"ks\"")));
}
