//! Holds `rollcage::stats` to reference values from scipy, lifelines and mpmath (`tests/fixtures/stats`); what
//! `tests/detectors_reference` holds to its folder is not repeated here.
//!
//! Every check runs through a [`Tally`], which fails on a case that no one ran and on a file without cases; the last test
//! changes each kind of expected value and demands that this is noticed.

use std::fs;
use std::path::{Path, PathBuf};

use rollcage::stats::competing::{CompetingObservation, cumulative_incidence};
use rollcage::stats::ks::{KsScratch, statistic_chunks, statistic_sorted};
use rollcage::stats::psi::{Edges, psi};
use rollcage::stats::quantile::quantile_sorted;
use rollcage::stats::summary::Summary;
use rollcage::stats::survival::{KaplanMeier, Observation};
use rollcage::stats::{Interval, auc, ks, ks_ranks, normal, proportion, queueing, special};
use serde_json::Value;

/// What was compared, and what was wrong.
#[derive(Default)]
struct Tally {
    compared: usize,
    wrong: Vec<String>,
}

impl Tally {
    /// Within `tolerance` of the expected value relatively, or of 1e-300 absolutely; non-finite values must be equal.
    fn close(&mut self, what: &str, got: Option<f64>, want: f64, tolerance: f64) {
        self.near(what, got, want, tolerance * want.abs() + 1e-300);
    }

    /// Within `distance` of the expected value.
    fn near(&mut self, what: &str, got: Option<f64>, want: f64, distance: f64) {
        self.compared += 1;
        let right = got.is_some_and(|got| got == want || (got - want).abs() <= distance);
        if !right {
            let off = got.map_or(f64::NAN, |got| got / want - 1.0);
            self.wrong.push(format!("{what}: got {got:?}, expected {want:?} (relatively {off:.1e})"));
        }
    }

    fn interval(&mut self, what: &str, got: Option<Interval>, want: &Value, distance: f64) {
        self.near(&format!("{what} low"), got.map(|i| i.low), number(&want[0]), distance);
        self.near(&format!("{what} high"), got.map(|i| i.high), number(&want[1]), distance);
    }

    fn holds(&mut self, what: &str, right: bool) {
        self.compared += 1;
        if !right {
            self.wrong.push(what.to_owned());
        }
    }

    #[track_caller]
    fn finish(self, at_least: usize) {
        assert!(self.wrong.is_empty(), "{} of {} wrong:\n{}", self.wrong.len(), self.compared, self.wrong.join("\n"));
        assert!(self.compared >= at_least, "only {} comparisons, {at_least} expected", self.compared);
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stats")
}

fn json(name: &str) -> Value {
    let path = folder().join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The cases of a document; it must have some.
fn cases(document: &Value) -> &[Value] {
    let cases = document["cases"].as_array().map_or(&[][..], Vec::as_slice);
    assert!(!cases.is_empty(), "the fixture has no cases");
    cases
}

/// A number, or one of the strings that stand for those that JSON has not.
#[track_caller]
fn number(value: &Value) -> f64 {
    match value.as_str() {
        Some(text) => text.parse().unwrap_or_else(|_| panic!("not a number: {text}")),
        None => value.as_f64().unwrap_or_else(|| panic!("not a number: {value}")),
    }
}

#[track_caller]
fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap_or_else(|| panic!("not a list: {value}")).iter().map(number).collect()
}

fn counts(value: &Value) -> Vec<u32> {
    numbers(value).into_iter().map(|count| count as u32).collect()
}

fn id(case: &Value) -> &str {
    case["id"].as_str().expect("every case has an id")
}

// ---- special functions ------------------------------------------------------------------------------------------------

fn special_value(function: &str, a: &[f64]) -> Option<f64> {
    let mmc = || queueing::Mmc::new(a[0], a[1], a[2] as u32);
    match function {
        "normal_cdf" => Some(normal::cdf(a[0])),
        "normal_sf" => Some(normal::sf(a[0])),
        "normal_density" => Some(normal::density(a[0])),
        "normal_quantile" => Some(normal::quantile(a[0])),
        "ln_gamma" => Some(special::ln_gamma(a[0])),
        "gamma_lower" => special::gamma_lower(a[0], a[1]),
        "gamma_upper" => special::gamma_upper(a[0], a[1]),
        "chi_squared_sf" => special::chi_squared_sf(a[0], a[1]),
        "chi_squared_upper" => special::chi_squared_upper(a[0], a[1]),
        "beta_inc" => special::beta_inc(a[0], a[1], a[2]),
        "beta_inc_inverse" => special::beta_inc_inverse(a[0], a[1], a[2]),
        "student_t_upper" => special::student_t_upper(a[0], a[1]),
        "kolmogorov_sf" => Some(ks::kolmogorov_sf(a[0])),
        "poisson_rate_low" => proportion::poisson_rate(a[0] as u64, a[1], 0.95).map(|i| i.low),
        "poisson_rate_high" => proportion::poisson_rate(a[0] as u64, a[1], 0.95).map(|i| i.high),
        "mmc_wait_probability" => mmc().map(|queue| queue.wait_probability()),
        "mmc_mean_wait" => mmc().map(|queue| queue.mean_wait()),
        "mmc_wait_quantile" => mmc().and_then(|queue| queue.wait_quantile(a[3])),
        "erlang_b" => queueing::erlang_b(a[0], a[1] as u32),
        "md1_mean_wait" => queueing::md1_mean_wait(a[0], a[1]),
        _ => None,
    }
}

fn check_special(document: &Value, tally: &mut Tally) {
    for case in cases(document) {
        let function = case["function"].as_str().expect("a function");
        let args = numbers(&case["args"]);
        tally.close(&format!("{function}{args:?}"), special_value(function, &args), number(&case["value"]), 1e-12);
    }
}

#[test]
fn special_functions_and_queues_agree_with_mpmath_and_scipy() {
    let mut tally = Tally::default();
    check_special(&json("special_reference.json"), &mut tally);
    tally.finish(400);
}

// ---- two samples ------------------------------------------------------------------------------------------------------

/// The samples of a case, each in file order.
fn samples(id: &str) -> (Vec<f64>, Vec<f64>) {
    let path = folder().join("two_sample").join(format!("{id}.csv"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for line in text.lines().skip(1) {
        let (side, x) = line.split_once(',').expect("two columns");
        let x = x.trim().parse().expect("a number");
        if side == "a" { a.push(x) } else { b.push(x) }
    }
    (a, b)
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

fn check_two_sample(document: &Value, tally: &mut Tally) {
    let probabilities = numbers(&document["quantile_probs"]);
    for case in cases(document) {
        let id = id(case);
        let (a, b) = samples(id);
        let (sorted_a, sorted_b) = (sorted(&a), sorted(&b));
        tally.holds(&format!("{id}: sizes"), case["n"] == a.len() && case["m"] == b.len());

        let test = statistic_sorted(&sorted_a, &sorted_b);
        let ks = &case["ks"];
        tally.near(&format!("{id}: D"), test.map(|t| t.d), number(&ks["d"]), 3e-16);
        tally.close(&format!("{id}: p limit"), test.map(|t| t.p_limit()), number(&ks["p_kolmogorov_limit"]), 1e-10);
        tally.close(&format!("{id}: p Stephens"), test.map(|t| t.p_stephens()), number(&ks["p_stephens"]), 1e-10);
        tally.holds(&format!("{id}: D in chunks"), test == chunked(&a, &b));
        tally.holds(&format!("{id}: D of ranks"), ranked(&a, &b));

        for (q, want) in probabilities.iter().zip(numbers(&case["quantiles_a_linear"])) {
            tally.close(&format!("{id}: quantile {q}"), quantile_sorted(&sorted_a, *q), want, 1e-15);
        }
        if let Some(variants) = case["psi"].as_object() {
            for (name, want) in variants {
                check_psi(&format!("{id}: {name}"), name, want, &sorted_a, &b, tally);
            }
        }
        if let Some(want) = case["cles_a_gt_b"].as_f64() {
            let scores: Vec<f32> = a.iter().chain(&b).map(|&x| x as f32).collect();
            let labels: Vec<bool> = (0..scores.len()).map(|i| i < a.len()).collect();
            tally.near(&format!("{id}: AUC"), auc::auc(&scores, &labels), want, 1e-15);
        }
        if case["moments"].is_object() {
            let moments = &case["moments"];
            for (side, values) in [("a", &a), ("b", &b)] {
                let summary = Summary::of(values);
                let scale = values.iter().fold(0.0_f64, |scale, x| scale.max(x.abs()));
                let (mean, variance) = (&moments[format!("mean_{side}")], &moments[format!("var1_{side}")]);
                tally.near(&format!("{id}: mean {side}"), summary.mean(), number(mean), scale * 1e-13);
                if let Some(want) = variance.as_f64() {
                    tally.near(&format!("{id}: variance {side}"), summary.variance(), want, scale * scale * 1e-13);
                } else {
                    tally.holds(&format!("{id}: no variance {side}"), summary.variance().is_none());
                }
            }
        }
    }
}

/// The test over scrape-like chunks of 7 and 11 rows.
fn chunked(a: &[f64], b: &[f64]) -> Option<ks::KsTest> {
    let cut = |values: &[f64], size| values.chunks(size).map(sorted).collect::<Vec<_>>();
    let (a, b) = (cut(a, 7), cut(b, 11));
    let (a, b): (Vec<&[f64]>, Vec<&[f64]>) =
        (a.iter().map(Vec::as_slice).collect(), b.iter().map(Vec::as_slice).collect());
    statistic_chunks(&a, &b, &mut KsScratch::default())
}

/// Whether counting ranks gives what merging does, on the values as a server has them, in single precision.
fn ranked(a: &[f64], b: &[f64]) -> bool {
    let single = |values: &[f64]| sorted(values).into_iter().map(|x| x as f32).collect::<Vec<_>>();
    let (reference, window) = (single(a), single(b));
    let ranks = ks_ranks::Reference::from_sorted(&reference).expect("a sorted sample");
    let mut counts = vec![0; ranks.slots()];
    ranks.count_into(&window, &mut counts);
    ranks.statistic(&counts) == statistic_sorted(&reference, &window)
}

fn check_psi(what: &str, name: &str, want: &Value, reference: &[f64], window: &[f64], tally: &mut Tally) {
    let bins: usize = name.split('_').nth(1).and_then(|bins| bins.parse().ok()).expect("quantile_<bins>_eps<eps>");
    let Some(edges) = Edges::from_sorted(reference, bins) else {
        return tally.holds(&format!("{what}: no edges"), false);
    };
    let wanted = numbers(&want["edges"]);
    tally.holds(&format!("{what}: number of edges"), edges.edges().len() == wanted.len());
    for (edge, want) in edges.edges().iter().zip(wanted) {
        tally.close(&format!("{what}: edge"), Some(*edge), want, 1e-15);
    }
    let count = |values: &[f64]| {
        let mut counts = vec![0; edges.bins()];
        values.iter().for_each(|&x| counts[edges.bin(x).expect("no NaN in the fixtures")] += 1);
        counts
    };
    let (in_reference, in_window) = (count(reference), count(window));
    tally.holds(&format!("{what}: reference counts"), in_reference == counts(&want["counts_ref"]));
    tally.holds(&format!("{what}: window counts"), in_window == counts(&want["counts_cur"]));
    tally.near(
        &format!("{what}: psi"),
        psi(&in_reference, &in_window, number(&want["eps"])),
        number(&want["psi"]),
        1e-12,
    );
}

#[test]
fn two_sample_statistics_agree_with_scipy() {
    let mut tally = Tally::default();
    let document = json("two_sample.json");
    assert_eq!(
        cases(&document).len(),
        fs::read_dir(folder().join("two_sample")).unwrap().count(),
        "a sample without a case"
    );
    check_two_sample(&document, &mut tally);
    tally.finish(500);
}

// ---- survival ---------------------------------------------------------------------------------------------------------

fn check_lifelines(document: &Value, tally: &mut Tally) {
    let cases = document["survival"].as_array().expect("survival cases");
    for (index, case) in cases.iter().enumerate() {
        let rows: Vec<(f64, f64)> = numbers(&case["time"]).into_iter().zip(numbers(&case["cause"])).collect();
        let watched: Vec<_> = rows.iter().map(|&(time, cause)| Observation { time, event: cause > 0.0 }).collect();
        let curve = KaplanMeier::of(&watched).expect("observations");
        for want in case["quantiles"].as_array().expect("quantiles") {
            let q = number(&want["q"]);
            let got = curve.quantile(q).unwrap_or(f64::INFINITY);
            tally.near(&format!("{index}: quantile {q}"), Some(got), number(&want["time"]), 0.0);
            let limits = serde_json::json!([want["low"], want["high"]]);
            tally.interval(
                &format!("{index}: interval of quantile {q}"),
                curve.quantile_interval(q, 0.95),
                &limits,
                0.0,
            );
        }
        let competing: Vec<_> = rows
            .iter()
            .map(|&(time, cause)| CompetingObservation { time, cause: (cause > 0.0).then_some(cause as u32) })
            .collect();
        for want in case["incidence"].as_array().expect("incidences") {
            let steps = cumulative_incidence(&competing, number(&want["cause"]) as u32).expect("observations");
            let wanted = want["steps"].as_array().expect("steps");
            tally.holds(&format!("{index}: steps"), steps.len() == wanted.len());
            for (step, want) in steps.iter().zip(wanted) {
                tally.close(&format!("{index}: incidence time"), Some(step.time), number(&want[0]), 0.0);
                tally.close(&format!("{index}: incidence"), Some(step.incidence), number(&want[1]), 1e-12);
            }
        }
    }
}

#[test]
fn quantile_intervals_and_incidences_agree_with_lifelines() {
    let mut tally = Tally::default();
    check_lifelines(&json("special_reference.json"), &mut tally);
    tally.finish(100);
}

// ---- the test of the test ---------------------------------------------------------------------------------------------

type Check = fn(&Value, &mut Tally);

#[test]
fn a_changed_expectation_is_noticed() {
    let kinds: [(&str, Check, &[&str]); 3] = [
        ("special_reference.json", check_special, &["/cases/0/value", "/cases/200/value"]),
        (
            "special_reference.json",
            check_lifelines,
            &["/survival/0/quantiles/0/time", "/survival/1/incidence/0/steps/3/1"],
        ),
        (
            "two_sample.json",
            check_two_sample,
            &[
                "/cases/0/ks/d",
                "/cases/1/ks/p_stephens",
                "/cases/2/ks/p_kolmogorov_limit",
                "/cases/3/psi/quantile_10_eps0.0001/psi",
                "/cases/3/psi/quantile_10_eps0.0001/edges/2",
                "/cases/3/psi/quantile_20_eps0.0001/counts_cur/5",
                "/cases/4/quantiles_a_linear/2",
                "/cases/5/cles_a_gt_b",
                "/cases/6/moments/var1_a",
            ],
        ),
    ];
    for (name, check, pointers) in kinds {
        for pointer in pointers {
            let mut document = json(name);
            let value = document.pointer_mut(pointer).unwrap_or_else(|| panic!("{name} has no {pointer}"));
            *value = (number(value) * 1.3 + 0.01).into();
            let mut tally = Tally::default();
            check(&document, &mut tally);
            assert!(!tally.wrong.is_empty(), "{name}: nobody noticed a changed {pointer}");
        }
    }
}

#[test]
#[should_panic(expected = "no cases")]
fn a_fixture_without_cases_is_noticed() {
    check_two_sample(&serde_json::json!({ "quantile_probs": [], "cases": [] }), &mut Tally::default());
}

#[test]
#[should_panic(expected = "comparisons")]
fn a_case_that_nobody_ran_is_noticed() {
    Tally::default().finish(1);
}
