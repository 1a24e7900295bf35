//! Every kind of signal is used by a policy that ships, and every family of signals decides an incident of a scenario that ships.
//!
//! What decides is read from the trace: a verdict to roll back or to halt, that cites a rule on a signal of the family, while a
//! harmful fault is active. That such trials end well is what the scenarios expect (`tests/scenarios.rs`).

mod common;

use common::models;
use rayon::prelude::*;
use rollcage::campaign::simulate_alone;
use rollcage::control::config::{Comparison, Operand};
use rollcage::detect::config::{Quality, SignalKind};
use rollcage::detect::sequences::Follower;
use rollcage::detect::sequential::Config;
use rollcage::detect::two_sample::Test;
use rollcage::event::{Event, RuleFired, Verdict};
use rollcage::id::{FaultId, RuleId};
use rollcage::plan::about::kinds;
use rollcage::plan::{Plan, Vetting, load, policy_alone};
use rollcage::report::expect::Check;
use rollcage::report::render::incident_md;
use rollcage::report::trial::{Outcome, TrialReport};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Where each family decides: family, scenario, policy. README has the same table.
const DECIDES: [(&str, &str, &str); 22] = [
    ("two-sample tests", "silent-corruption", "significance"),
    ("PSI", "silent-corruption", "distances"),
    ("distances", "silent-corruption", "distances"),
    ("joint distribution (MMD)", "crossed-features", "significance"),
    ("control charts", "latency-spike", "charts"),
    ("adaptive windows", "latency-spike", "charts"),
    ("error detectors", "silent-corruption", "errors"),
    ("sequential tests", "replica-crash", "anytime"),
    ("confidence sequences", "bad-release", "anytime"),
    ("e-detector", "replica-crash", "anytime"),
    ("latency", "latency-spike", "balanced"),
    ("error rate", "replica-crash", "balanced"),
    ("burn rate", "slow-burn", "slo"),
    ("saturation", "saturated-release", "slo"),
    ("data quality", "covariate-drift", "quality"),
    ("accuracy", "silent-corruption", "balanced"),
    ("F1", "crossed-features", "quality"),
    ("AUC", "crossed-features", "quality"),
    ("calibration", "crossed-features", "quality"),
    ("label-free estimate", "bad-release", "quality"),
    ("fairness", "unfair-release", "fairness"),
    ("business outcomes", "replica-crash", "business"),
];

/// The family of a signal; `None`: the coin.
fn family(kind: &SignalKind) -> Option<&'static str> {
    Some(match kind {
        SignalKind::LatencyQuantile { .. } => "latency",
        SignalKind::ErrorRate { .. } => "error rate",
        SignalKind::BurnRate(_) => "burn rate",
        SignalKind::Saturation { .. } => "saturation",
        SignalKind::DataQuality(_) => "data quality",
        SignalKind::Labelled { measure: Quality::Accuracy, .. } => "accuracy",
        SignalKind::Labelled { measure: Quality::F1, .. } => "F1",
        SignalKind::Labelled { measure: Quality::Auc, .. } => "AUC",
        SignalKind::Labelled { measure: Quality::Calibration { .. }, .. } => "calibration",
        SignalKind::Estimate { .. } => "label-free estimate",
        SignalKind::Fairness(_) => "fairness",
        SignalKind::Outcome { .. } => "business outcomes",
        SignalKind::Coin { .. } => return None,
        SignalKind::Comparison(c) => match c.test {
            Test::Psi(_) => "PSI",
            Test::Mmd(_) => "joint distribution (MMD)",
            Test::JensenShannon(_)
            | Test::Hellinger(_)
            | Test::TotalVariation(_)
            | Test::Wasserstein(_)
            | Test::Energy(_) => "distances",
            Test::Ks(_)
            | Test::CramerVonMises(_)
            | Test::AndersonDarling(_)
            | Test::MannWhitney(_)
            | Test::Kayenta(_)
            | Test::Welch(_)
            | Test::ChiSquared(_) => "two-sample tests",
        },
        SignalKind::Sequence(s) => match &s.by {
            Follower::Interval(_) => "confidence sequences",
            Follower::Detector(detector) => match detector {
                Config::Cusum(_)
                | Config::Ewma(_)
                | Config::ShiryaevRoberts(_)
                | Config::ShiryaevRobertsLlr(_)
                | Config::PageHinkley(_)
                | Config::FrourosCusum(_)
                | Config::FrourosPageHinkley(_) => "control charts",
                Config::Adwin(_) | Config::Kswin(_) => "adaptive windows",
                Config::Ddm(_)
                | Config::Eddm(_)
                | Config::HddmA(_)
                | Config::HddmW(_)
                | Config::Fhddm(_)
                | Config::Ecdd(_)
                | Config::Stepd(_)
                | Config::Rddm(_) => "error detectors",
                Config::SprtBernoulli(_) | Config::SprtGaussian(_) | Config::Msprt(_) => "sequential tests",
                Config::EDetector(_) => "e-detector",
            },
        },
    })
}

fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// The committed models are vetted by other tests.
fn plan(scenario: &str, policy: &str) -> Plan {
    let mut vet = |_: &[u8], _: &_| Ok(Vetting { vetted: true, rowwise: true });
    let file = scenarios().join(format!("{scenario}.toml"));
    load(&file, Some(Path::new(policy)), &mut vet).unwrap_or_else(|e| panic!("{scenario}, {policy}: {e:#?}"))
}

/// By scenario and policy.
type Runs = BTreeMap<(&'static str, &'static str), (Plan, TrialReport)>;

/// One run of each pair of the table, with seed 1.
fn runs() -> &'static Runs {
    static RUNS: OnceLock<Runs> = OnceLock::new();
    RUNS.get_or_init(|| {
        let pairs: BTreeSet<_> = DECIDES.iter().map(|&(_, scenario, policy)| (scenario, policy)).collect();
        let pairs: Vec<_> = pairs.into_iter().collect();
        pairs
            .into_par_iter()
            .map_init(models, |models, (scenario, policy)| {
                let plan = plan(scenario, policy);
                let report = simulate_alone(&plan, 1, models).expect("the runtime is there");
                ((scenario, policy), (plan, report))
            })
            .collect()
    })
}

/// Families whose signals are read by the rules.
fn families_of(plan: &Plan, rules: &[RuleId]) -> BTreeSet<&'static str> {
    let read = rules.iter().map(|rule| &plan.policy.rules[rule.index()].when);
    let fields = read.flat_map(|when| [when.left.value, when.right.value]).flatten();
    fields.filter_map(|field| family(&plan.policy.signals[field.signal.index()].kind)).collect()
}

/// Families that decided while a harmful fault was active: each was read by a rule that a verdict to act cites.
fn decided(plan: &Plan, report: &TrialReport) -> BTreeSet<&'static str> {
    let mut active: BTreeSet<FaultId> = BTreeSet::new();
    let mut found = BTreeSet::new();
    for recorded in &report.events {
        match &recorded.event {
            Event::FaultStarted { fault } if plan.world.faults[fault.index()].harmful => {
                active.insert(*fault);
            }
            Event::FaultEnded { fault } => {
                active.remove(fault);
            }
            Event::Decided(d) if d.verdict != Verdict::Alert && d.refused.is_none() && !active.is_empty() => {
                found.extend(families_of(plan, &d.rules));
            }
            _ => {}
        }
    }
    found
}

#[test]
fn every_kind_of_signal_is_used_by_a_rule_of_a_policy_that_ships() {
    let mut used = BTreeSet::new();
    for entry in std::fs::read_dir(scenarios().join("policies")).unwrap() {
        let path = entry.unwrap().path();
        let text: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
        let rules = text["rule"].as_array().unwrap();
        for (name, signal) in text["signals"].as_table().unwrap() {
            let read = format!("{name}.");
            let judged = rules.iter().any(|rule| rule["when"].as_str().unwrap().contains(&read));
            assert!(judged, "{}: no rule reads `{name}`", path.display());
            used.insert(signal["kind"].as_str().unwrap().to_owned());
        }
    }
    let unused: Vec<_> = kinds().into_iter().map(|k| k.kind).filter(|k| k != "coin" && !used.contains(k)).collect();
    assert!(unused.is_empty(), "no shipped policy uses {unused:?}");
}

/// Whether a level is of one look or of all is said in the file, not left to a default.
#[test]
fn policies_that_ship_say_what_their_levels_are_about() {
    let takes: Vec<String> =
        kinds().into_iter().filter(|k| k.parameters.iter().any(|p| p.name == "looks")).map(|k| k.kind).collect();
    let mut said = 0;
    for entry in std::fs::read_dir(scenarios().join("policies")).expect("policies") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a file");
        let table: toml::Table = text.parse().expect("toml");
        for (name, signal) in table["signals"].as_table().expect("signals") {
            let kind = signal["kind"].as_str().expect("a kind");
            if !takes.iter().any(|k| k == kind) {
                continue;
            }
            let mut alone = signal.as_table().expect("a table").clone();
            if alone.insert("looks".to_owned(), "all".into()).is_some() {
                said += 1;
                continue;
            }
            // A distance has no level: then the key is refused.
            let signals = toml::Table::from_iter([("s".to_owned(), toml::Value::Table(alone))]);
            let policy =
                toml::Table::from_iter([("name".to_owned(), "p".into()), ("signals".to_owned(), signals.into())]);
            let refused = policy_alone("p.toml", &policy.to_string()).err().unwrap_or_default();
            let idle = refused.iter().any(|d| d.message.contains("`looks` does nothing"));
            assert!(idle, "{}: `{name}` does not say whether its level is of each look or of all", path.display());
        }
    }
    assert!(said > 30, "{said}");
}

#[test]
fn every_family_decides_an_incident_that_the_scenario_expects_to_end_well() {
    let listed: BTreeSet<_> = DECIDES.iter().map(|row| row.0).collect();
    for (plan, _) in runs().values() {
        let families = plan.policy.signals.iter().filter_map(|s| family(&s.kind));
        families.for_each(|family| assert!(listed.contains(family), "`{family}` is not in the table"));
    }
    let mut wrong = Vec::new();
    for (family, scenario, policy) in DECIDES {
        let (plan, report) = &runs()[&(scenario, policy)];
        let found = decided(plan, report);
        if !found.contains(family) {
            wrong.push(format!("{family}: {scenario}, {policy} was decided by {found:?}"));
        }
        let well = |check: &Check| match check {
            Check::Outcome { outcome, .. } => {
                matches!(outcome, Outcome::Recovered | Outcome::Prevented | Outcome::CorrectlyHeld)
            }
            Check::Measure { .. } => false,
        };
        let expected = plan.expectations.iter().any(|e| e.policy.as_deref() == Some(policy) && well(&e.check));
        assert!(expected, "{scenario} does not expect that it ends well under {policy}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A run in which nothing is decided has no family that decides: the test above can fail.
#[test]
fn nothing_decides_where_nothing_is_decided() {
    let (plan, report) = &runs()[&("latency-spike", "charts")];
    assert!(!decided(plan, report).is_empty());
    let mut calm = report.clone();
    calm.events.retain(|e| !matches!(e.event, Event::FaultStarted { .. }));
    assert!(decided(plan, &calm).is_empty(), "a verdict without an active fault");
    let mut silent = report.clone();
    silent.events.retain(|e| !matches!(e.event, Event::Decided(_)));
    assert!(decided(plan, &silent).is_empty());
}

#[test]
fn an_incident_names_signal_statistic_threshold_and_window() {
    for (scenario, policy, evidence) in [
        // The statistic and its own threshold, the limit of the rule, the window.
        ("slow-burn", "slo", &["slow-burn.ratio > 1", "slow-burn: ratio ", "long ", "over 15 min"][..]),
        ("crossed-features", "significance", &["joint.p < 0.006", "mmd2 ", "threshold ", "over 1 min"][..]),
        ("crossed-features", "quality", &["baseline ", ": value ", "upper ", "over the newest "][..]),
        (
            "latency-spike",
            "charts",
            &["page-hinkley.alarm > 0", "statistic ", "threshold ", "since its last start"][..],
        ),
    ] {
        let (_, report) = &runs()[&(scenario, policy)];
        // Without what keeps Markdown from reading a comparison as markup.
        let text = incident_md(report, "rollcage run").replace('\\', "");
        for part in evidence {
            assert!(text.contains(part), "{scenario}, {policy}: no `{part}` in\n{text}");
        }
    }
}

/// The numbers that a text of evidence gives of a signal, by field: "; name of column: field 1.5, field 2, over 1 min".
fn told(evidence: &str, name: &str) -> BTreeMap<String, f64> {
    let of =
        |part: &&str| part.strip_prefix(name).is_some_and(|rest| rest.starts_with(": ") || rest.starts_with(" of "));
    let part = evidence.split("; ").skip(1).find(of).unwrap_or_else(|| panic!("nothing of `{name}` in `{evidence}`"));
    let fields = part.split_once(": ").map(|(_, fields)| fields).unwrap_or_default();
    let numbers = fields.split(", ").filter_map(|field| field.rsplit_once(' '));
    numbers.filter_map(|(field, number)| Some((field.to_owned(), number.parse().ok()?))).collect()
}

/// Evidence has four digits.
const ROUNDED: f64 = 1e-3;

/// Whether the numbers in a rule's evidence are such that the rule fails, as far as their digits go.
fn fails(plan: &Plan, fired: &RuleFired) -> bool {
    let when = &plan.policy.rules[fired.rule.index()].when;
    let value = |operand: &Operand| {
        let Some(field) = operand.value else { return operand.offset };
        let signal = &plan.policy.signals[field.signal.index()];
        let name = format!("{}{}", if field.baseline { "baseline " } else { "" }, signal.name);
        let found = told(&fired.evidence, &name).get(signal.kind.fields()[field.field]).copied();
        operand.factor * found.unwrap_or(f64::NAN) + operand.offset
    };
    let (left, right) = (value(&when.left), value(&when.right));
    let slack = ROUNDED * left.abs().max(right.abs());
    match when.op {
        Comparison::Less => left < right + slack,
        Comparison::LessEqual => left <= right + slack,
        Comparison::Greater => left > right - slack,
        Comparison::GreaterEqual => left >= right - slack,
    }
}

/// Alarms are read from numbers, too: at an alarm the statistic is beyond its threshold, in the detector's own sense.
#[test]
fn evidence_holds_the_numbers_on_which_a_rule_failed() {
    let mut alarmed = BTreeSet::new();
    for ((scenario, policy), (plan, report)) in runs() {
        for recorded in &report.events {
            let Event::RuleFired(fired) = &recorded.event else { continue };
            let evidence = &fired.evidence;
            // A rule that fails where nothing was measured has no numbers to show.
            if !evidence.contains("no verdict") {
                assert!(fails(plan, fired), "{scenario}, {policy}: {evidence}");
            }
            let Some(field) = plan.policy.rules[fired.rule.index()].when.left.value else { continue };
            let signal = &plan.policy.signals[field.signal.index()];
            let SignalKind::Sequence(sequence) = &signal.kind else { continue };
            let Follower::Detector(detector) = &sequence.by else { continue };
            let numbers = told(evidence, &signal.name);
            let number =
                |field: &str| *numbers.get(field).unwrap_or_else(|| panic!("{scenario}: no {field} in {evidence}"));
            let (statistic, threshold) = (number("statistic"), number("threshold"));
            let slack = ROUNDED * threshold.abs();
            let beyond = match detector {
                Config::Eddm(_) => statistic <= threshold + slack,
                _ => statistic >= threshold - slack,
            };
            assert!(beyond && number("alarm") >= 1.0 && number("n") >= 1.0, "{scenario}, {policy}: {evidence}");
            alarmed.insert(family(&signal.kind).expect("a family"));
        }
    }
    for family in ["control charts", "adaptive windows", "error detectors", "sequential tests", "e-detector"] {
        assert!(alarmed.contains(family), "{family}: {alarmed:?}");
    }
}

#[test]
fn evidence_that_contradicts_its_rule_is_noticed() {
    let (plan, report) = &runs()[&("latency-spike", "charts")];
    let fired = report.events.iter().find_map(|recorded| match &recorded.event {
        Event::RuleFired(fired) => Some(fired),
        _ => None,
    });
    let mut fired = fired.expect("a rule fails").clone();
    assert!(fails(plan, &fired));
    let alarms = told(
        &fired.evidence,
        &plan.policy.signals[plan.policy.rules[fired.rule.index()].when.left.value.unwrap().signal.index()].name,
    )["alarm"];
    fired.evidence = fired.evidence.replace(&format!(": alarm {alarms}"), ": alarm 0");
    assert!(!fails(plan, &fired), "{}", fired.evidence);
}

#[test]
fn readme_says_where_each_family_decides() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for (family, scenario, policy) in DECIDES {
        let row = format!("| {family} | `{scenario}` | `{policy}` |");
        assert!(readme.contains(&row), "README does not say\n{row}");
    }
}
