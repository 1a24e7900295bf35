//! The scenarios that ship do what their comments say, under every policy that their expectations name.
//!
//! Quick: one seed each. Long (`ROLLCAGE_LONG_TESTS=1 cargo test --release --test scenarios`): 30 fresh seeds each, and the
//! proof that neither of `balanced` and `eager` is better in everything.

use rayon::prelude::*;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const EXE: &str = env!("CARGO_BIN_EXE_rollcage");
/// Those that every scenario meets, whether it expects something of them or not.
const POLICIES: [&str; 3] = ["balanced", "eager", "never"];
/// Those that a scenario meets if it names them.
const SPECIAL: [&str; 9] =
    ["anytime", "business", "charts", "distances", "errors", "fairness", "quality", "significance", "slo"];
/// Those that live-sized variants are about.
const LIVE_POLICIES: [&str; 2] = ["brisk", "never"];
/// For 30 trials alike the exact 95 % interval of a share ends 12 points from its value.
const SEEDS: &str = "30";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

fn rollcage(args: &[&str]) -> Output {
    Command::new(EXE).args(args).current_dir(folder()).output().expect("the program starts")
}

fn run(scenario: &str, policy: &str, more: &[&str]) -> (Option<i32>, Value) {
    let done = rollcage(&[&["run", scenario, "--policy", policy, "--format", "json"], more].concat());
    let told = String::from_utf8_lossy(&done.stderr);
    let report = serde_json::from_slice(&done.stdout).unwrap_or_else(|e| panic!("{scenario}, {policy}: {e}\n{told}"));
    (done.status.code(), report)
}

/// The files of scenarios, with the policies that their expectations name (or all, where one names none).
fn shipped() -> Vec<(String, Vec<&'static str>)> {
    of_kind(|name| !name.ends_with("-live.toml"), &[&POLICIES[..], &SPECIAL].concat())
}

/// The live-sized variants; they run in virtual time as well.
fn live_sized() -> Vec<(String, Vec<&'static str>)> {
    of_kind(|name| name.ends_with("-live.toml"), &LIVE_POLICIES)
}

fn of_kind(wanted: impl Fn(&str) -> bool, policies: &[&'static str]) -> Vec<(String, Vec<&'static str>)> {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .filter(|path| wanted(path.file_name().unwrap().to_str().unwrap()))
        .map(|path| {
            let text: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
            let expect = text["expect"].as_array().expect("a scenario that expects nothing shows nothing");
            // What is expected of any policy is not tried with those that are for something else.
            let about = |p: &&str| {
                let any = |e: &toml::Value| e.get("policy").is_none() && !SPECIAL.contains(p);
                expect.iter().any(|e| any(e) || e.get("policy").and_then(toml::Value::as_str) == Some(*p))
            };
            (path.file_name().unwrap().to_str().unwrap().to_owned(), policies.iter().copied().filter(about).collect())
        })
        .collect();
    found.sort();
    found
}

fn holds(scenario: &str, policy: &str, (code, report): &(Option<i32>, Value)) {
    let of_one = || report["expectations"].as_array();
    let expectations = report["aggregate"]["expectations"].as_array().or_else(of_one).expect("expectations are judged");
    assert!(!expectations.is_empty(), "{scenario} expects nothing of {policy}");
    for e in expectations {
        assert_eq!(e["verdict"], "holds", "{scenario}, {policy}: {} ({})", e["text"], e["measured"]);
    }
    assert_eq!(*code, Some(0), "{scenario}, {policy}");
}

#[test]
fn scenarios_hold_their_expectations_with_one_seed_and_set_policies_apart() {
    let shipped = shipped();
    assert_eq!(shipped.len(), 12, "{shipped:?}");
    let mut pairs = Vec::new();
    for (scenario, named) in &shipped {
        assert!(named.len() > 1, "{scenario} sets no two policies apart");
        let unnamed = POLICIES.iter().filter(|p| !named.contains(p));
        pairs.extend(named.iter().chain(unnamed).map(|&policy| (scenario.as_str(), policy)));
    }
    let runs: Vec<_> =
        pairs.into_par_iter().map(|(scenario, policy)| (scenario, policy, run(scenario, policy, &[]))).collect();
    for (scenario, named) in &shipped {
        let mine = || runs.iter().filter(|(of, ..)| of == scenario);
        for (_, policy, run) in mine().filter(|(_, policy, _)| named.contains(policy)) {
            holds(scenario, policy, run);
        }
        // What any policy would do need not be expected of one.
        let mut ends: Vec<_> = mine().map(|(.., (_, report))| (&report["outcome"], &report["rollbacks"])).collect();
        ends.dedup();
        assert!(ends.len() > 1, "{scenario} is the same to all policies");
    }
}

#[test]
fn live_sized_variants_hold_their_expectations_and_are_named_by_what_they_are_variants_of() {
    let live = live_sized();
    assert_eq!(live.len(), 3, "{live:?}");
    for (scenario, named) in live {
        assert_eq!(named, LIVE_POLICIES, "{scenario} sets no two policies apart");
        for policy in named {
            holds(&scenario, policy, &run(&scenario, policy, &[]));
        }
        let larger = folder().join(scenario.replace("-live.toml", ".toml"));
        let text: toml::Table = std::fs::read_to_string(&larger).unwrap().parse().unwrap();
        assert_eq!(text["live"].as_str(), Some(scenario.as_str()), "{}", larger.display());
    }
}

#[test]
fn the_schemas_beside_the_scenarios_are_those_that_the_program_prints() {
    for kind in ["scenario", "policy"] {
        let file = folder().join(format!("{kind}.schema.json"));
        let kept = std::fs::read_to_string(&file).unwrap();
        let printed = String::from_utf8(rollcage(&["schema", kind]).stdout).unwrap();
        assert!(
            kept == printed,
            "{} is stale; write it again:\n  rollcage schema {kind} > scenarios/{kind}.schema.json",
            file.display()
        );
    }
}

fn long() -> bool {
    let asked = std::env::var_os("ROLLCAGE_LONG_TESTS").is_some();
    if !asked {
        println!("NOT RUN: this test takes many minutes; set ROLLCAGE_LONG_TESTS=1 to run it");
    }
    asked
}

#[test]
fn expectations_hold_over_30_seeds() {
    if !long() {
        return;
    }
    for (scenario, policies) in shipped().into_iter().chain(live_sized()) {
        for policy in policies {
            holds(&scenario, policy, &run(&scenario, policy, &["--seeds", SEEDS]));
        }
    }
}

/// A figure's 95 % interval.
#[derive(Debug)]
struct Estimate {
    low: f64,
    high: f64,
}

impl Estimate {
    fn read(interval: &Value) -> Self {
        let number = |v: &Value| v.as_f64().unwrap_or_else(|| panic!("not a number: {v}"));
        Self { low: number(&interval[0]), high: number(&interval[1]) }
    }
    fn is_all_below(&self, other: &Self) -> bool {
        self.high < other.low
    }
}

/// Mean bad requests because of the faults, and the share of trials that ended in a false rollback.
fn figures(scenario: &str, policy: &str) -> (Estimate, Estimate) {
    let (_, report) = run(scenario, policy, &["--seeds", SEEDS]);
    let aggregate = &report["aggregate"];
    let harm = &aggregate["harm_suffered"]["mean"];
    let share = &aggregate["outcomes"]["false-rollback"];
    let figures = (Estimate::read(&harm["interval"]), Estimate::read(&share["interval"]));
    println!("{scenario}, {policy}: harm {:?}, false rollbacks {:?}", figures.0, figures.1);
    figures
}

#[test]
fn neither_balanced_nor_eager_dominates() {
    if !long() {
        return;
    }
    let (harm_eager, _) = figures("latency-spike.toml", "eager");
    let (harm_balanced, _) = figures("latency-spike.toml", "balanced");
    assert!(harm_eager.is_all_below(&harm_balanced), "eager {harm_eager:?}, balanced {harm_balanced:?}");
    let (_, false_eager) = figures("good-upgrade-surge.toml", "eager");
    let (_, false_balanced) = figures("good-upgrade-surge.toml", "balanced");
    assert!(false_balanced.is_all_below(&false_eager), "balanced {false_balanced:?}, eager {false_eager:?}");
}

/// Silent means silent: while the weights are rotten, no rule on latency or failures fires, and one on answers does.
#[test]
fn the_silent_corruption_moves_no_latency_or_failure_signal() {
    let out = tempfile::tempdir().unwrap();
    let (code, report) = run("silent-corruption.toml", "balanced", &["--out", out.path().to_str().unwrap()]);
    assert_eq!(code, Some(0));
    let events = std::fs::read_to_string(out.path().join("events.jsonl")).unwrap();
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let fired: Vec<String> = events
        .filter(|event| event["event"] == "rule-fired")
        .map(|event| event["rule"].as_str().unwrap().to_owned())
        .collect();
    assert!(fired.iter().all(|rule| !["errors", "slow", "slower"].contains(&rule.as_str())), "{fired:?}");
    assert!(!fired.is_empty() && report["mttd_s"].as_f64().unwrap() > 15.0, "more than one scrape");
}

#[test]
fn every_policy_that_ships_is_met_by_a_scenario_that_expects_something_of_it() {
    let files = std::fs::read_dir(folder().join("policies")).unwrap().map(|entry| entry.unwrap().path());
    let mut there: Vec<String> = files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    there.sort();
    let mut known: Vec<&str> = [&POLICIES[..], &SPECIAL, &LIVE_POLICIES[..1]].concat();
    known.sort_unstable();
    assert_eq!(there, known);
    for policy in SPECIAL {
        assert!(shipped().iter().any(|(_, named)| named.contains(&policy)), "no scenario names {policy}");
    }
}
