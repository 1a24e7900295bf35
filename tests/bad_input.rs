//! Every mistake in an input file is reported at its place, with what to do; all of them at once; and never by a panic.

use proptest::prelude::*;
use rollcage::digest::Digest;
use rollcage::plan::diagnostic::{Diagnostic, render};
use rollcage::plan::files::Files;
use rollcage::plan::{Plan, Vetting, load_from};
use std::path::Path;

const MODEL_1: &[u8] = include_bytes!("../synthetic/models/mlp-linear-v1.onnx");
const MODEL_2: &[u8] = include_bytes!("../synthetic/models/mlp-linear-v2.onnx");

const SCENARIO: &str = r#"name = "t"
policy = "policies/p.toml"
horizon = "10m"
[models.v1]
artifact = "one.onnx"
[models.v2]
artifact = "two.onnx"
[fleet]
replicas = 2
service_time = { kind = "lognormal", median = "4ms", p99 = "12ms" }
[[traffic]]
source = "shop"
replay = { file = "d.csv", label = "y", segment = ["g"], time = "ts" }
arrivals = { kind = "poisson", rate = "10/s" }
[rollout]
from = "v1"
to = "v2"
stages = [{ at = "1m", weight = 0.5 }, { at = "2m", weight = 1.0 }]
[[fault]]
kind = "latency-spike"
at = "3m"
version = "v2"
factor = 3.0
harmful = true
curable_by_rollback = true
[[fault]]
kind = "covariate-drift"
at = "4m"
features = [{ name = "age", shift = 2 }]
labels = "stay"
harmful = false
[[expect]]
outcome = "recovered"
[[expect]]
measure = "mttd"
p90 = "<= 4m"
[traffic.outcomes.revenue]
right = 0.12
wrong = 0.05
amount = { kind = "lognormal", median = 40.0, p99 = 400.0 }
delay = { kind = "lognormal", median = "30s", p99 = "5m" }
[fleet.memory]
base = "200MiB"
per_request = "1MiB"
limit = "1GiB"
"#;

/// The first fault of the scenario, without its ground truth.
const SPIKE: &str = "kind = \"latency-spike\"\nat = \"3m\"\nversion = \"v2\"\nfactor = 3.0\n";

const POLICY: &str = r#"name = "p"
[signals.slow]
kind = "latency-quantile"
window = "60s"
[signals.score-drift]
kind = "ks"
of = "score"
window = "60s"
[[rule]]
when = "score-drift.p < 0.001"
then = "rollback"
[[rule]]
when = "slow.value > 1.3 * baseline.slow.value"
then = "halt"
[revert]
how = { steps = [0.5, 0.0], every = "30s", gate = "slow" }
"#;

const TABLE: &str =
    "ts,age,income,g,y\n2013-01-01T00:00,30,NA,a,1\n2013-01-01T00:01,41,,b,0\n2013-01-01T00:02,52,3.5,a,\n";

fn manifest(name: &str, bytes: &[u8]) -> String {
    format!(
        r#"{{
  "format": 1, "name": "{name}", "task": "t", "model": "{name}.onnx",
  "digest": "{}",
  "bytes": {},
  "input": {{ "name": "x", "features": ["age", "income"] }},
  "output": {{ "name": "score", "column": 0 }},
  "schema": {{ "name": "t", "version": 1 }}, "lineage": {{}},
  "evaluation": {{ "rows": 0, "selection": "none", "segments": {{}} }}
}}"#,
        Digest::of(bytes),
        bytes.len()
    )
}

/// The valid inputs, by file name.
fn inputs() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("s.toml", SCENARIO.into()),
        ("policies/p.toml", POLICY.into()),
        ("d.csv", TABLE.into()),
        ("one.onnx", MODEL_1.into()),
        ("two.onnx", MODEL_2.into()),
        ("one.json", manifest("one", MODEL_1).into()),
        ("two.json", manifest("two", MODEL_2).into()),
    ]
}

fn load(inputs: Vec<(&'static str, Vec<u8>)>, policy: Option<&str>) -> Result<Plan, Vec<Diagnostic>> {
    let mut vet = |_: &[u8], _: &_| Ok(Vetting { vetted: true, rowwise: true });
    load_from(&mut Files::memory(inputs, false), Path::new("s.toml"), policy.map(Path::new), &mut vet)
}

/// What is written into which file: (file, what stands there, what is written instead).
type Edit<'a> = (&'a str, &'a str, &'a str);
/// What is expected: (file, line, column, part of the message, part of the help).
type Expected<'a> = (&'a str, usize, usize, &'a str, &'a str);

/// After the edits, exactly the expected mistakes are reported, in this order.
#[track_caller]
fn check(edits: &[Edit<'_>], expected: &[Expected<'_>]) {
    let mut files = inputs();
    for (name, from, to) in edits {
        let (_, bytes) = files.iter_mut().find(|(n, _)| n == name).expect("a known file");
        let text = String::from_utf8(bytes.clone()).expect("a text file");
        assert!(text.contains(from), "{from} does not stand in {name}");
        *bytes = text.replacen(from, to, 1).into();
    }
    check_files(files, expected);
}

#[track_caller]
fn check_files(files: Vec<(&'static str, Vec<u8>)>, expected: &[Expected<'_>]) {
    let found = load(files, None).err().unwrap_or_default();
    let text = render(&found, false);
    assert_eq!(found.len(), expected.len(), "\n{text}");
    for (d, (file, line, column, message, help)) in found.iter().zip(expected) {
        assert_eq!((d.file.as_str(), d.line, d.column), (*file, *line, *column), "\n{text}");
        assert!(d.message.contains(message), "`{message}` is not in:\n{text}");
        assert!(d.help.as_deref().unwrap_or_default().contains(help), "`{help}` is not in the help of:\n{text}");
    }
}

#[test]
fn valid_files_have_no_mistakes() {
    let plan = load(inputs(), None).unwrap_or_else(|e| panic!("{}", render(&e, false)));
    assert_eq!(plan.names.versions, ["v1", "v2"]);
    assert_eq!(plan.names.segments, ["all", "g=a", "g=b"]);
    assert_eq!(plan.names.outcomes, ["revenue"]);
    assert_eq!(plan.world.fleet.capacity().memory, Some(1 << 30));
    assert_eq!(plan.fault_words, ["all replicas of v2: 3 times slower", "shop: age +2, labels stay"]);
    assert_eq!(plan.expectations[1].text, "mttd p90 <= 4m");
    assert_eq!(plan.digest, load(inputs(), Some("p")).unwrap().digest);
}

#[test]
fn shipped_scenarios_and_policies_are_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    for scenario in [
        "silent-corruption",
        "latency-spike",
        "replica-crash",
        "covariate-drift",
        "bad-release",
        "good-upgrade-surge",
        "flights-replay",
    ] {
        for policy in ["balanced", "eager", "never"] {
            let mut vet = |_: &[u8], _: &_| Ok(Vetting { vetted: true, rowwise: true });
            let path = folder.join(format!("{scenario}.toml"));
            let plan = rollcage::plan::load(&path, Some(Path::new(policy)), &mut vet);
            let plan = plan.unwrap_or_else(|e| panic!("{}", render(&e, false)));
            assert_eq!((plan.name.as_str(), plan.policy.name.as_str()), (scenario, policy));
        }
    }
}

#[test]
fn unknown_keys() {
    let s = "s.toml";
    check(
        &[(s, "replicas = 2", "replcias = 2")],
        &[
            (s, 8, 1, "missing key `replicas`", "Replicas"),
            (s, 9, 1, "unknown key `replcias`", "did you mean `replicas`"),
        ],
    );
    check(&[(s, "factor = 3.0", "faktor = 3.0")], &[(s, 23, 1, "unknown key `faktor`", "did you mean `factor`")]);
    check(
        &[(s, "weight = 0.5", "wieght = 0.5")],
        &[(s, 18, 11, "missing key `weight`", "share"), (s, 18, 24, "unknown key `wieght`", "`weight`")],
    );
    check(
        &[("policies/p.toml", "[[rule]]", "[[rules]]\nwhen = \"\"\n[[rule]]")],
        &[("policies/p.toml", 9, 3, "unknown key `rules`", "did you mean `rule`")],
    );
}

#[test]
fn wrong_types_units_and_ranges() {
    let s = "s.toml";
    check(&[(s, "\"10m\"", "\"10 minutes\"")], &[(s, 3, 11, "wrong unit `minutes`", "write \"10m\"")]);
    check(&[(s, "\"10m\"", "600")], &[(s, 3, 11, "expected a duration", "a number with a unit")]);
    check(&[(s, "\"10m\"", "\"600000000000h\"")], &[(s, 3, 11, "does not fit", "584 years")]);
    check(&[(s, "\"10m\"", "\"0s\"")], &[(s, 3, 11, "zero duration", "longer than zero")]);
    check(&[(s, "10/s", "-10/s")], &[(s, 14, 39, "negative rate", "like \"200/s\"")]);
    check(&[(s, "10/s", "0/s")], &[(s, 14, 39, "not above zero", "")]);
    check(&[(s, "10/s", "10 per second")], &[(s, 14, 39, "not a rate", "like \"200/s\"")]);
    check(&[(s, "replicas = 2", "replicas = 0")], &[(s, 9, 12, "must be at least 1", "")]);
    check(&[(s, "replicas = 2", "replicas = 2\nconcurrency = 0")], &[(s, 10, 15, "must be at least 1", "")]);
    check(&[(s, "replicas = 2", "replicas = 2.5")], &[(s, 9, 12, "expected a whole number, found a number", "")]);
    check(
        &[(s, "replicas = 2", "replicas = 99999999999999999999")],
        &[(s, 9, 12, "is not a finite number that fits", "")],
    );
    check(&[(s, "weight = 0.5", "weight = 1.5")], &[(s, 18, 33, "must be at most 1", "")]);
    check(
        &[(
            s,
            "kind = \"latency-spike\"\nat = \"3m\"\nversion = \"v2\"\nfactor = 3.0\nharmful = true\ncurable_by_rollback = true",
            "kind = \"traffic-surge\"\nat = \"3m\"\nfactor = 1.0\nharmful = false",
        )],
        &[(s, 22, 10, "must be above 1", "")],
    );
    check(&[(s, "factor = 3.0", "factor = nan")], &[(s, 23, 10, "not a finite number", "")]);
    check(&[(s, "p99 = \"12ms\"", "p99 = \"2ms\"")], &[(s, 10, 60, "below its median", "")]);
}

#[test]
fn unknown_kinds_and_values() {
    let s = "s.toml";
    check(
        &[(s, "latency-spike", "latency-spkie")],
        &[(s, 20, 8, "unknown kind `latency-spkie`", "did you mean `latency-spike`")],
    );
    check(&[(s, "kind = \"latency-spike\"\n", "")], &[(s, 19, 1, "missing key `kind`", "`weight-corruption`")]);
    check(&[(s, "\"stay\"", "\"stya\"")], &[(s, 30, 10, "unknown value `stya`", "did you mean `stay`")]);
    check(
        &[(s, "\"recovered\"", "\"recoverd\"")],
        &[(s, 33, 11, "unknown value `recoverd`", "did you mean `recovered`")],
    );
    check(&[(s, "measure = \"mttd\"", "measure = \"mttf\"")], &[(s, 35, 11, "unknown value `mttf`", "`mttd`")]);
    check(
        &[("policies/p.toml", "\"halt\"", "\"stop\"")],
        &[("policies/p.toml", 14, 8, "unknown value `stop`", "`rollback`")],
    );
}

#[test]
fn unknown_names() {
    let (s, p) = ("s.toml", "policies/p.toml");
    check(
        &[(s, "labels = \"stay\"", "labels = \"follow\"")],
        &[(s, 30, 10, "labels of recorded rows cannot follow", "labels = \"stay\"")],
    );
    check(
        &[(s, "outcome = \"recovered\"", "outcome = \"recovered\"\npolicy = \"pp\"")],
        &[(s, 34, 10, "there is no policy `pp`", "did you mean `p`")],
    );
    check(&[(s, "version = \"v2\"", "version = \"v3\"")], &[(s, 22, 11, "unknown model `v3`", "`v1`, `v2`")]);
    check(&[(s, "to = \"v2\"", "to = \"v22\"")], &[(s, 17, 6, "unknown model `v22`", "did you mean `v2`")]);
    check(&[(s, "name = \"age\"", "name = \"agee\"")], &[(s, 29, 22, "unknown feature `agee`", "did you mean `age`")]);
    check(
        &[(s, "labels = \"stay\"", "source = \"shpo\"\nlabels = \"stay\"")],
        &[(s, 30, 10, "unknown source `shpo`", "did you mean `shop`")],
    );
    check(&[(p, "\"slow.value", "\"slwo.value")], &[(p, 13, 9, "unknown signal `slwo`", "did you mean `slow`")]);
    check(&[(p, "score-drift.p", "score-drift.pp")], &[(p, 10, 21, "no field `pp`", "`d`, `p`, `location`")]);
    check(
        &[(p, "gate = \"slow\"", "gate = \"sloww\"")],
        &[(p, 16, 51, "unknown signal `sloww`", "did you mean `slow`")],
    );
    check(&[(p, "of = \"score\"", "of = \"scroe\"")], &[(p, 7, 6, "unknown feature `scroe`", "did you mean `score`")]);
    check(&[(s, "policies/p.toml", "policies/q.toml")], &[(s, 2, 10, "no policy at `policies/q.toml`", "`p.toml`")]);
    check(&[(s, "d.csv", "e.csv")], &[(s, 13, 19, "cannot read `e.csv`", "`d.csv`")]);
    check(&[(s, "one.onnx", "on.onnx")], &[(s, 5, 12, "cannot read `on.onnx`", "did you mean `one.onnx`")]);
    let found = load(inputs(), Some("pp")).unwrap_err();
    assert!(found[0].help.as_deref().unwrap_or_default().contains("did you mean `p`"), "{found:?}");
}

#[test]
fn outcomes_that_cannot_be() {
    let s = "s.toml";
    let check = |from: &str, to: &str, expected: &[Expected<'_>]| check(&[(s, from, to)], expected);
    check("right = 0.12", "right = 1.2", &[(s, 38, 9, "`right` is 1.2, but must be at most 1", "from 0 to 1")]);
    check("wrong = 0.05", "wrong = -0.05", &[(s, 39, 9, "`wrong` is -0.05, but must be at least 0", "from 0 to 1")]);
    check("wrong = 0.05", "wrong = 0.05\nfailed = 2", &[(s, 40, 10, "must be at most 1", "0.05 for 5 %")]);
    check("right = 0.12", "right = \"12%\"", &[(s, 38, 9, "expected a number, found a text", "")]);
    check(
        "right = 0.12",
        "rigth = 0.12",
        &[
            (s, 37, 1, "missing key `right`", "right class"),
            (s, 38, 1, "unknown key `rigth` in `revenue`", "did you mean `right`"),
        ],
    );
    check("wrong = 0.05", "right = 0.05", &[(s, 39, 1, "duplicate key", "each key stands once")]);
    check(
        "[fleet.memory]",
        "[traffic.outcomes.revenue]\nright = 1.0\nwrong = 1.0\n[fleet.memory]",
        &[42, 43, 44].map(|line| (s, line, if line == 42 { 19 } else { 1 }, "duplicate key", "each key stands once")),
    );
    check("outcomes.revenue", "outcome.revenue", &[(s, 37, 10, "unknown key `outcome`", "did you mean `outcomes`")]);
    check("outcomes.revenue", "outcomes.\"\"", &[(s, 37, 19, "an outcome without a name", "by its name")]);
    check(
        "kind = \"lognormal\", median = 40.0",
        "kind = \"lognormale\", median = 40.0",
        &[(s, 40, 19, "unknown kind", "`lognormal`")],
    );
    check("median = 40.0", "median = 0", &[(s, 40, 41, "must be above 0", "")]);
    check("median = 40.0", "median = 4e40", &[(s, 40, 53, "below its median", "")]);
    check(
        "median = 40.0, p99 = 400.0",
        "mean = 1",
        &[
            (s, 40, 10, "missing key `median`", ""),
            (s, 40, 10, "missing key `p99`", ""),
            (s, 40, 32, "unknown key `mean`", "did you mean `median`"),
        ],
    );
    let amount = "{ kind = \"lognormal\", median = 40.0, p99 = 400.0 }";
    check(amount, "{ kind = \"normal\", mean = 3.0, sd = -1 }", &[(s, 40, 46, "must be above 0", "")]);
    check(amount, "{ kind = \"constant\", value = 0 }", &[(s, 40, 39, "an amount of 0 is none", "leave `amount` out")]);
    check(amount, "40", &[(s, 40, 10, "expected a table, found a whole number", "")]);
    check(
        "delay = { kind = \"lognormal\", median = \"30s\", p99 = \"5m\" }\n",
        "",
        &[(s, 37, 1, "missing key `delay`", "known")],
    );
    check("p99 = \"5m\"", "p99 = \"5s\"", &[(s, 41, 53, "below its median", "")]);
}

#[test]
fn an_outcome_of_two_sources_is_one() {
    let mut files = inputs();
    let more = "[[traffic]]\nsource = \"more\"\nreplay = { file = \"d.csv\", label = \"y\" }\narrivals = { kind = \"poisson\", rate = \"1/s\" }\n\
                [traffic.outcomes.clicks]\nright = 1\nwrong = 0\ndelay = { kind = \"constant\", value = \"0s\" }\n\
                [traffic.outcomes.revenue]\nright = 0.1\nwrong = 0.1\namount = { kind = \"normal\", mean = 1, sd = 2 }\n\
                delay = { kind = \"constant\", value = \"0s\" }\n";
    files[0].1.extend(more.bytes());
    // A drift must say whose features move where there are two.
    files[0].1 = String::from_utf8(files[0].1.clone())
        .unwrap()
        .replace("labels = \"stay\"", "source = \"shop\"\nlabels = \"stay\"")
        .into();
    let plan = load(files, None).unwrap_or_else(|e| panic!("{}", render(&e, false)));
    assert_eq!(plan.names.outcomes, ["revenue", "clicks"]);
    let ids: Vec<Vec<(u16, &str)>> = plan
        .world
        .sources
        .iter()
        .map(|source| source.outcomes.iter().map(|o| (o.id.0, o.name.as_str())).collect())
        .collect();
    assert_eq!(ids, [vec![(0, "revenue")], vec![(1, "clicks"), (0, "revenue")]]);
}

#[test]
fn a_policy_is_no_scenario() {
    let mut files = inputs();
    files[0].1 = POLICY.into();
    check_files(files, &[("s.toml", 9, 3, "this is a policy, not a scenario", "`--policy`")]);
}

/// A rule that no measurement can fail protects nobody.
#[test]
fn rules_that_never_fail() {
    let said = |signal: &str, when: &str, more: &str| {
        let rule = format!("[[rule]]\nwhen = \"{when}\"\nthen = \"rollback\"\n{more}");
        let text = format!("name = \"p\"\n[signals.s]\n{signal}\n{rule}");
        let found = rollcage::plan::policy_alone("p.toml", &text).err().unwrap_or_default();
        found.iter().map(|d| format!("{} {}", d.message, d.help.clone().unwrap_or_default())).collect::<String>()
    };
    let errors = "kind = \"error-rate\"\nwindow = \"60s\"";
    for when in ["s.value > 5", "s.lower >= 1.5", "5 < s.value", "s.upper < 0", "0.2 * s.value > 0.3"] {
        assert!(said(errors, when, "").contains("5 % is 0.05"), "{when}: {}", said(errors, when, ""));
    }
    for when in ["s.value > 0.05", "s.upper < 1", "s.n > 5", "s.value > baseline.s.value + 2", "10 * s.value > 5"] {
        assert_eq!(said(errors, when, ""), "", "{when}");
    }
    // It fails where nothing is measured: a heartbeat.
    assert_eq!(said(errors, "s.value > 1", "on_missing = \"fail\""), "");
    let mmd = |more: &str| format!("kind = \"mmd\"\nof = \"features\"\nwindow = \"60s\"\n{more}");
    assert!(said(&mmd(""), "s.p < 0.005", "").contains("more permutations"));
    assert!(said(&mmd("looks = \"all\""), "s.p < 0.01", "").contains("more permutations"));
    assert_eq!(said(&mmd("looks = \"all\"\npermutations = 999"), "s.p < 0.01", ""), "");
    let kswin = |more: &str| format!("kind = \"kswin\"\nof = \"score\"\n{more}");
    assert!(said(&kswin("stat_size = 3\nalpha = 0.001"), "s.alarm > 0", "").contains("not even D = 1"));
    assert_eq!(said(&kswin("stat_size = 30\nalpha = 0.001"), "s.alarm > 0", ""), "");
}

/// Signals over features know columns by their places: no row of another source may be read wrongly, or left out in silence.
#[test]
fn sources_with_different_columns() {
    let concept = manifest("shop", MODEL_1)
        .replace(r#"["age", "income"]"#, r#"["age", "debt", "income"]"#)
        .replace(r#""lineage": {}"#, r#""lineage": { "concept": { "weights": [1, 1, 1], "bias": 0 } }"#);
    let policy = |of: &str| POLICY.replace("of = \"score\"", &format!("of = \"{of}\""));
    let files = |of: &str| {
        let more = "[[traffic]]\nsource = \"more\"\nnormal = { concept = \"shop.json\" }\n\
                    arrivals = { kind = \"poisson\", rate = \"1/s\" }\n";
        let mut files = inputs();
        let scenario = SCENARIO.replace("labels = \"stay\"", "source = \"shop\"\nlabels = \"stay\"") + more;
        (files[0].1, files[1].1) = (scenario.into(), policy(of).into());
        files.push(("shop.json", concept.clone().into()));
        files
    };
    let plan = load(files("score"), None).unwrap_or_else(|e| panic!("{}", render(&e, false)));
    assert_eq!(plan.world.sources.iter().map(rollcage::world::config::Source::width).collect::<Vec<_>>(), [2, 3]);
    let message = "different columns: source 2 differs from the first in column 2";
    for of in ["features", "all", "age"] {
        check_files(files(of), &[("policies/p.toml", 7, 6, message, "the same columns, in the same order")]);
    }
    let followed = |of: &str| {
        policy(of)
            .replace("kind = \"ks\"", "kind = \"adwin\"")
            .replacen("window = \"60s\"\n[[rule", "[[rule", 1)
            .replace("score-drift.p < 0.001", "score-drift.alarm > 0")
    };
    let mut following = files("age");
    following[1].1 = followed("age").into();
    check_files(following, &[("policies/p.toml", 7, 6, message, "the same columns")]);
    let mut following = files("score");
    following[1].1 = followed("score").into();
    check_files(following, &[]);
}

#[test]
fn memory_that_cannot_be() {
    let s = "s.toml";
    let check = |from: &str, to: &str, expected: &[Expected<'_>]| check(&[(s, from, to)], expected);
    check("\"200MiB\"", "\"200mib\"", &[(s, 43, 8, "wrong unit `mib`", "write \"200MiB\"")]);
    check("\"200MiB\"", "\"-200MiB\"", &[(s, 43, 8, "negative size", "like \"200MiB\"")]);
    check(
        "\"200MiB\"",
        "200",
        &[(s, 43, 8, "expected a size in quotes, found a whole number", "a number with a unit")],
    );
    check("\"1MiB\"", "\"1\"", &[(s, 44, 15, "the size `1` has no unit", "write \"1MiB\"")]);
    check("\"1GiB\"", "\"99999999999GiB\"", &[(s, 45, 9, "does not fit", "2^64")]);
    check("\"1GiB\"", "\"200MiB\"", &[(s, 45, 9, "at its memory limit", "on top of `base`")]);
    check("per_request", "per_requests", &[(s, 44, 1, "unknown key `per_requests`", "did you mean `per_request`")]);
    check("base = \"200MiB\"\n", "", &[(s, 42, 1, "missing key `base`", "holds nothing")]);
    check("limit = \"1GiB\"", "base = \"1GiB\"", &[(s, 45, 1, "duplicate key", "each key stands once")]);
}

#[test]
fn rules_that_cannot_be_read() {
    let p = "policies/p.toml";
    check(
        &[(p, "score-drift.p < 0.001", "score-drift.p = 0.001")],
        &[(p, 10, 23, "`=` is not a comparison", "<, <=, > or >=")],
    );
    check(&[(p, "score-drift.p < 0.001", "score-drift.p <")], &[(p, 10, 24, "expected a number", "a rule compares")]);
    check(&[(p, "score-drift.p < 0.001", "score-drift.p < 60ms")], &[(p, 10, 25, "`60ms` is not a number", "seconds")]);
    check(
        &[(p, "score-drift.p <", "baseline.score-drift.p <")],
        &[(p, 10, 9, "compares with the baseline itself", "without `baseline.`")],
    );
    check(&[(p, "[0.5, 0.0]", "[0.5, 0.6]")], &[(p, 16, 17, "do not go down to 0", "[0.5, 0.0]")]);
}

#[test]
fn contradictions() {
    let s = "s.toml";
    check(&[(s, "at = \"3m\"", "at = \"11m\"")], &[(s, 21, 6, "begins after the end", "the horizon is 10 min")]);
    check(&[(s, "at = \"2m\"", "at = \"1m\"")], &[(s, 18, 47, "not in order of time", "")]);
    check(&[(s, "to = \"v2\"", "to = \"v1\"")], &[(s, 17, 6, "to itself", "")]);
    check(&[(s, "version = \"v2\"", "version = \"v2\"\nhosts = 1")], &[(s, 23, 1, "not both", "a spike bound to")]);
    check(&[(s, "version = \"v2\"", "hosts = 3")], &[(s, 22, 9, "the fleet has 2", "")]);
    check(&[(s, "curable_by_rollback = true\n", "")], &[(s, 24, 1, "needs `curable_by_rollback`", "")]);
    check(
        &[(s, "arrivals", "normal = { concept = \"one.json\" }\narrivals")],
        &[(s, 14, 1, "either `replay` or `normal`", "")],
    );
    check(
        &[(s, "replay = { file = \"d.csv\", label = \"y\", segment = [\"g\"], time = \"ts\" }\n", "")],
        &[(s, 11, 1, "neither `replay` nor `normal`", "")],
    );
    let recorded = (s, "kind = \"poisson\", rate = \"10/s\"", "kind = \"recorded\"");
    check(&[recorded, (s, ", time = \"ts\"", "")], &[(s, 13, 10, "without a column of times", "")]);
    check(
        &[recorded, (s, "time = \"ts\"", "time = \"ts\", rows = \"iid\"")],
        &[(s, 13, 78, "as they came", "in-order")],
    );
    check(
        &[(s, "[rollout]", "labels = { delay = \"recorded\" }\n[rollout]")],
        &[(s, 15, 20, "without a column of delays", "label_delay")],
    );
    check(
        &[(s, SPIKE, "kind = \"replica-crash\"\nat = \"3m\"\nversion = \"v2\"\nduration = \"1m\"\n")],
        &[(s, 23, 1, "a crash that happens once does not last", "`every = \"30s\"`")],
    );
    check(
        &[(s, SPIKE, "kind = \"replica-crash\"\nat = \"3m\"\nversion = \"v2\"\nduration = \"1m\"\nevery = \"1m\"\n")],
        &[(s, 24, 9, "the second crash would come after the end", "")],
    );
    let release = "kind = \"bad-release\"\nmodel = \"v1\"\nclean = \"v1\"\nharmful = true\ncurable_by_rollback = true\n[[fault]]\nkind = \"latency-spike\"";
    check(&[(s, "kind = \"latency-spike\"", release)], &[(s, 22, 9, "the same artifact", "")]);
    check(
        &[(
            s,
            "[[expect]]",
            "[[fault]]\nname = \"x\"\nkind = \"sham\"\nat = \"1m\"\nharmful = false\n[[fault]]\nname = \"x\"\nkind = \"sham\"\nat = \"1m\"\nharmful = false\n[[expect]]",
        )],
        &[(s, 38, 8, "two faults are named `x`", "")],
    );
    check(&[(s, "\"<= 4m\"", "\"<= 4\"")], &[(s, 36, 7, "has no unit", "write \"4s\"")]);
    check(&[(s, "\"<= 4m\"", "\"about 4m\"")], &[(s, 36, 7, "not a duration", "")]);
    check(&[(s, "p90 = \"<= 4m\"\n", "")], &[(s, 34, 1, "without a limit", "p90")]);
    check(&[(s, "measure = \"mttd\"", "outcome = \"missed\"")], &[(s, 36, 1, "a limit for a measure", "share")]);
}

#[test]
fn faults_of_replicas() {
    let s = "s.toml";
    let fault = |kind: &str, keys: &str| format!("kind = \"{kind}\"\nat = \"3m\"\n{keys}");
    for (kind, more) in
        [("replica-crash", ""), ("replica-stall", ""), ("network-cut", ""), ("network-delay", "add = \"5ms\"\n")]
    {
        let words = |keys: &str, policy: Option<&str>| -> String {
            let mut files = inputs();
            files[0].1 = SCENARIO.replacen(SPIKE, &fault(kind, &format!("{keys}{more}")), 1).into();
            load(files, policy).unwrap_or_else(|e| panic!("{}", render(&e, false))).fault_words[0].clone()
        };
        assert!(words("version = \"v2\"\n", None).starts_with("one replica of v2: "), "{kind}");
        assert!(words("version = \"v2\"\nreplicas = 2\n", None).starts_with("2 replicas of v2: "), "{kind}");
        // Unknown names, more than there are, none, and nothing to do: all at once.
        check(
            &[(s, SPIKE, &fault(kind, &format!("version = \"v22\"\nreplicas = 3\n{more}")))],
            &[
                (s, 22, 11, "unknown model `v22`", "did you mean `v2`"),
                (s, 23, 12, "3 replicas, but the fleet has 2", ""),
            ],
        );
        check(
            &[(s, SPIKE, &fault(kind, &format!("version = \"v2\"\nreplicas = 0\nduration = \"0s\"\n{more}")))],
            &[(s, 23, 12, "must be at least 1", ""), (s, 24, 12, "zero duration", "longer than zero")],
        );
        check(
            &[(s, SPIKE, &fault(kind, &format!("version = \"v2\"\nreplica = 1\n{more}")))],
            &[(s, 23, 1, "unknown key `replica`", "did you mean `replicas`")],
        );
        check(&[(s, SPIKE, &fault(kind, more))], &[(s, 19, 1, "missing key `version`", "")]);
        let late = fault(kind, &format!("version = \"v2\"\n{more}")).replace("3m", "11m");
        check(&[(s, SPIKE, &late)], &[(s, 21, 6, "begins after the end", "the horizon is 10 min")]);
    }
    check(
        &[(s, SPIKE, &fault("network-delay", "version = \"v2\"\nadd = \"0ms\"\n"))],
        &[(s, 23, 7, "zero duration", "longer than zero")],
    );
    check(
        &[(s, SPIKE, &fault("replica-crash", "version = \"v2\"\nevery = \"0s\"\n"))],
        &[(s, 23, 9, "zero duration", "longer than zero")],
    );
    check(
        &[(s, SPIKE, &fault("replica-cash", "version = \"v2\"\n"))],
        &[(s, 20, 8, "unknown kind `replica-cash`", "did you mean `replica-crash`")],
    );
    check(
        &[(s, "replicas = 2", "replicas = 2\ncontrol_delay = \"0ms\"")],
        &[(s, 10, 17, "zero duration", "longer than zero")],
    );
    let mut files = inputs();
    let all = [
        "kind = \"replica-crash\"\nat = \"3m\"\nversion = \"v2\"\nevery = \"30s\"\nduration = \"2m\"\n",
        "kind = \"replica-stall\"\nat = \"3m\"\nversion = \"v2\"\nduration = \"20s\"\n",
        "kind = \"network-cut\"\nat = \"3m\"\nversion = \"v1\"\n",
        "kind = \"network-delay\"\nat = \"3m\"\nversion = \"v2\"\nreplicas = 2\nadd = \"40ms\"\n",
        SPIKE,
    ];
    let truth = "harmful = true\ncurable_by_rollback = true\n[[fault]]\n";
    let text = SCENARIO
        .replacen(SPIKE, &all.join(truth), 1)
        .replace("replicas = 2\nserv", "replicas = 2\ncontrol_delay = \"70ms\"\nserv");
    files[0].1 = text.into();
    let plan = load(files, None).unwrap_or_else(|e| panic!("{}", render(&e, false)));
    assert_eq!(
        plan.fault_words[..4],
        [
            "one replica of v2: killed, and again every 30 s, for 2 min",
            "one replica of v2: stopped for 20 s",
            "one replica of v1: cut off from the router",
            "2 replicas of v2: answers travel 40 ms longer",
        ]
    );
    assert_eq!(plan.world.control_delay, rollcage::time::Span::millis(70));
}

#[test]
fn models_that_are_not_what_they_should_be() {
    let with = |name: &str, bytes: &[u8]| {
        let mut files = inputs();
        let (_, old) = files.iter_mut().find(|(n, _)| *n == name).expect("a known file");
        *old = bytes.to_vec();
        files
    };
    let s = "s.toml";
    check_files(
        with("one.onnx", b"PK\x03\x04 a zip file"),
        &[(s, 5, 12, "`one.onnx` is not an ONNX file", "something else")],
    );
    check_files(with("one.onnx", b""), &[(s, 5, 12, "is not an ONNX file", "")]);
    check_files(with("one.onnx", MODEL_2), &[("one.json", 3, 14, "promises another file", "")]);
    check(&[("one.json", "\"bytes\":", "\"bytes\"")], &[("one.json", 4, 11, "not a manifest", "")]);
    check(&[("one.json", "\"format\": 1", "\"format\": 99")], &[("one.json", 2, 3, "format 99", "")]);
    check(&[("one.json", "sha256:", "md5:")], &[("one.json", 3, 14, "not a digest", "64 hex digits")]);
}

#[test]
fn broken_tables() {
    let d = "d.csv";
    check(&[(d, "income", "incom")], &[(d, 1, 1, "missing column `income`", "did you mean `incom`")]);
    check(&[(d, "41,,b,0", "41,b,0")], &[(d, 3, 1, "4 cells, but the header has 5", "")]);
    check(&[(d, "41,,b,0", "41,high,b,0")], &[(d, 3, 21, "`high` is not a number", "missing values")]);
    check(&[(d, "41,,b,0", "41,inf,b,0")], &[(d, 3, 21, "`inf` is not a number", "")]);
    check(&[(d, "00:01", "00:99")], &[(d, 3, 1, "is not a time", "2013-03-01T05:15")]);
    check(&[(d, "00:02", "00:00")], &[(d, 4, 1, "must be in order", "")]);
    check(&[(d, "30,NA", "thirty,NA"), (d, "52", "fifty")], &[(d, 2, 18, "`thirty`", ""), (d, 4, 18, "`fifty`", "")]);
    check(
        &[("s.toml", "label = \"y\"", "label = \"Y\"")],
        &[(d, 1, 1, "missing column `Y`, the label", "did you mean `y`")],
    );
    check(
        &[("s.toml", "time = \"ts\"", "label_delay = { column = \"dely\", unit = \"min\" }")],
        &[(d, 1, 1, "missing column `dely`", "")],
    );
}

#[test]
fn all_mistakes_of_all_files_come_at_once() {
    let (s, p) = ("s.toml", "policies/p.toml");
    check(
        &[
            (s, "10/s", "-1/s"),
            (s, "replicas = 2", "replicas = 0"),
            (s, "at = \"3m\"", "at = \"3 mins\""),
            (p, "\"slow.value", "\"slo.value"),
            (p, "score-drift.p", "score-drift.q"),
        ],
        &[
            (s, 9, 12, "at least 1", ""),
            (s, 14, 39, "negative", ""),
            (s, 21, 6, "wrong unit", ""),
            (p, 10, 21, "no field `q`", ""),
            (p, 13, 9, "unknown signal `slo`", ""),
        ],
    );
    check(
        &[(s, "at = \"3m\"", "at = \"10m\""), (s, "version = \"v2\"", "version = \"v9\""), (s, "d.csv", "x.csv")],
        &[(s, 13, 19, "cannot read", ""), (s, 21, 6, "after the end", ""), (s, 22, 11, "unknown model", "")],
    );
    check(&[(s, "name = \"t\"", "name ="), (s, "to = \"v2\"", "to = v2")], &[(s, 1, 7, "", ""), (s, 17, 6, "", "")]);
}

proptest! {
    /// Whatever is done to the files, the answer is a plan or mistakes that can be shown.
    #[test]
    fn no_mutation_panics(which in 0usize..7, edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..4, ".{0,6}"), 1..8)) {
        let mut files = inputs();
        for (index, kind, text) in edits {
            let bytes = &mut files[which].1;
            if bytes.is_empty() {
                break;
            }
            let at = index.index(bytes.len());
            match kind {
                0 => bytes[at] = text.bytes().next().unwrap_or(b'"'),
                1 => drop(bytes.drain(at..(at + text.len()).min(bytes.len()))),
                2 => drop(bytes.splice(at..at, text.bytes())),
                _ => bytes.truncate(at),
            }
        }
        if let Err(found) = load(files, None) {
            prop_assert!(!found.is_empty());
            prop_assert!(!render(&found, false).is_empty());
        }
    }

    /// Nor does any swap of one value for another.
    #[test]
    fn no_swap_of_values_panics(line in 0usize..45, value in prop::sample::select(vec!["0", "-1", "1e300", "nan", "\"\"", "\"v1\"", "[]", "{}", "[[]]", "true", "2020-01-01", "\"-5s\"", "\"1ns\"", "\"1e9/s\"", "\"9GiB\""])) {
        let lines: Vec<String> = SCENARIO.lines().enumerate().map(|(i, text)| match text.split_once(" = ") {
            Some((key, _)) if i == line => format!("{key} = {value}"),
            _ => text.to_owned(),
        }).collect();
        let mut files = inputs();
        files[0].1 = lines.join("\n").into();
        if let Err(found) = load(files, None) {
            prop_assert!(found.iter().all(|d| !d.message.contains("bug") && !d.message.contains("cannot be read")), "{}", render(&found, false));
        }
    }
}

#[test]
fn what_can_be_read_is_checked_beside_what_cannot() {
    let text = r#"name = "p"
[signals.latency]
kind   = "latency-quantile"
windw  = "60s"
[signals.scores]
kind   = "kss"
of     = "score"
window = "60s"
[signals.accuracy]
kind   = "accuracy"
window = { labels = 10 }
[[rule]]
when = "scores.p < 0.01"
then = "rollback"
[[rule]]
when = "accuracy.lowr < 0.5"
then = "rollback"
[[rule]]
when = "accuracyy.lower < 0.5"
then = "rollback"
[[rule]]
when = "latency.value > 1"
then = "rollback"
"#;
    let found = rollcage::plan::policy_alone("p.toml", text).expect_err("mistakes");
    let said: Vec<&str> = found.iter().map(|d| d.message.as_str()).collect();
    for part in ["windw", "kss", "never a measurement", "no field `lowr`", "unknown signal `accuracyy`"] {
        assert!(said.iter().any(|message| message.contains(part)), "nothing about `{part}`: {said:#?}");
    }
    // Nothing follows from what could not be read.
    for name in ["`scores`", "`latency`"] {
        assert!(!said.iter().any(|message| message.contains("unknown signal") && message.contains(name)), "{said:#?}");
    }
}
