//! What holds for all tests: units, order, missing values, odd input, configuration; and what holds under no drift.

use super::*;
use crate::rng::{Seed, Stream};
use crate::stats::kolmogorov::two_sided_sf;
use crate::stats::normal;
use crate::stats::special::chi_squared_sf;
use proptest::prelude::*;
use serde_json::json;

/// One of each kind with its defaults, then some of their other forms.
fn all() -> Vec<Test> {
    let kinds = [
        "ks",
        "cramer-von-mises",
        "anderson-darling",
        "mann-whitney",
        "kayenta",
        "welch",
        "wasserstein",
        "energy",
        "psi",
        "jensen-shannon",
        "hellinger",
        "total-variation",
        "chi-squared",
        "mmd",
    ];
    let others = [
        json!({"test": "ks", "method": "exact-no-ties", "alternative": "less"}),
        json!({"test": "ks", "method": "asymptotic", "alternative": "greater"}),
        json!({"test": "ks", "method": "limit"}),
        json!({"test": "ks", "method": "stephens", "alternative": "less"}),
        json!({"test": "cramer-von-mises", "ties": "midranks"}),
        json!({"test": "mann-whitney", "method": "exact", "alternative": "less"}),
        json!({"test": "mann-whitney", "method": "asymptotic", "continuity": false, "tolerance": 1e-4}),
        json!({"test": "kayenta", "outliers": "remove", "effect_size": "cles", "direction": "increase"}),
        json!({"test": "wasserstein", "scale": "reference-sd"}),
        json!({"test": "wasserstein", "scale": "evidently"}),
        json!({"test": "psi", "binning": "evidently", "empty": 1e-4}),
        json!({"test": "hellinger", "binning": "evidently"}),
        json!({"test": "chi-squared", "binning": "quantile", "form": "g"}),
        json!({"test": "chi-squared", "form": "one-sample"}),
        json!({"test": "mmd", "bandwidth": 0.5, "standardise": false, "cap": 5}),
    ];
    kinds.iter().map(|kind| json!({"test": kind})).chain(others).map(of).collect()
}

fn of(config: serde_json::Value) -> Test {
    serde_json::from_value(config).expect("a configuration")
}

fn stream(purpose: &str) -> Stream {
    Stream::named(Seed(20_261_124), "two-sample", purpose)
}

fn normals(count: usize, from: &mut Stream) -> Vec<f64> {
    (0..count).map(|_| normal::quantile(from.uniform())).collect()
}

/// Values as a test takes them: categories are few.
fn suited(test: &Test, values: &[f64]) -> Vec<f64> {
    match test {
        Test::ChiSquared(c) if c.binning == Binning::Categories => values.iter().map(|x| x.round()).collect(),
        _ => values.to_vec(),
    }
}

fn look(test: &Test, reference: &[f64], window: &[f64]) -> Verdict {
    let mut coins = stream("permutations");
    test.evaluate(reference, window, &mut |n| coins.below(n))
}

fn field(test: &Test, name: &str, reference: &[f64], window: &[f64]) -> f64 {
    let place = test.fields().iter().position(|f| *f == name).expect("a field");
    look(test, reference, window).expect("a verdict")[place]
}

fn close(x: f64, y: f64) -> bool {
    x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= 1e-9 * x.abs().max(y.abs()).max(1e-3)
}

// ---- units, order, missing values -------------------------------------------------------------------------------------------

#[test]
fn a_change_of_unit_changes_only_what_has_the_unit() {
    let mut from = stream("units");
    for round in 0..20 {
        let (a, b) = (normals(40 + round, &mut from), normals(25, &mut from));
        let b: Vec<f64> = b.iter().map(|x| x * 1.5 + 0.3).collect();
        let scaled = |values: &[f64]| values.iter().map(|x| x * 1000.0).collect::<Vec<f64>>();
        for test in all() {
            // Their absolute tolerances are the point of these: see the next test.
            let absolute = matches!(&test, Test::Kayenta(_))
                || matches!(&test, Test::MannWhitney(m) if m.tolerance.is_some())
                || matches!(&test, Test::Mmd(m) if !m.standardise);
            if absolute {
                continue;
            }
            let (a, b) = (suited(&test, &a), suited(&test, &b));
            let (before, after) = (look(&test, &a, &b).unwrap(), look(&test, &scaled(&a), &scaled(&b)).unwrap());
            for ((name, x), y) in test.fields().iter().zip(before).zip(after) {
                let unit = match (&test, *name) {
                    (Test::Wasserstein(w), "distance") if w.scale == WassersteinScale::None => 1000.0,
                    (Test::Energy(_), "distance") => 1000.0_f64.sqrt(),
                    (_, "location" | "shift" | "lower" | "upper" | "difference") => 1000.0,
                    _ => 1.0,
                };
                assert!(close(x * unit, y), "{test:?} {name}: {x} {y}");
            }
        }
    }
}

#[test]
fn kayentas_verdict_depends_on_the_unit() {
    // An error ratio 35 % higher is High in percent and Pass in millionths, until the root is found more precisely.
    let mut from = stream("kayenta");
    let (a, b) = (normals(30, &mut from), normals(30, &mut from));
    let ratio =
        |values: &[f64], level: f64, unit: f64| values.iter().map(|z| unit * (level + 0.15 * z)).collect::<Vec<_>>();
    let high = |root: f64, unit: f64| {
        let test = of(json!({"test": "kayenta", "root_tolerance": root}));
        field(&test, "high", &ratio(&a, 1.0, unit), &ratio(&b, 1.35, unit)) == 1.0
    };
    assert!(high(1e-4, 1.0) && !high(1e-4, 1e-5));
    assert!(high(1e-13, 1.0) && high(1e-13, 1e-5));
}

#[test]
fn swapping_reference_and_window_keeps_what_is_symmetric() {
    let mut from = stream("symmetry");
    for round in 0..20 {
        let a = normals(30 + round, &mut from);
        let b: Vec<f64> = normals(21, &mut from).iter().map(|x| (x * 20.0).round() / 20.0 + 0.2).collect();
        for (config, same) in [
            (json!({"test": "ks"}), &["d", "p", "location"][..]),
            (json!({"test": "cramer-von-mises"}), &["t", "p"]),
            (json!({"test": "anderson-darling"}), &["a2", "p"]),
            (json!({"test": "mann-whitney"}), &["p"]),
            (json!({"test": "welch"}), &["p", "df"]),
            (json!({"test": "wasserstein"}), &["distance"]),
            (json!({"test": "energy"}), &["distance", "coefficient"]),
            (json!({"test": "psi", "binning": "categories"}), &["value"]),
            (json!({"test": "jensen-shannon", "binning": "categories"}), &["distance", "divergence"]),
            (json!({"test": "hellinger", "binning": "evidently"}), &["distance"]),
            (json!({"test": "total-variation", "binning": "categories"}), &["distance"]),
            (json!({"test": "chi-squared", "binning": "categories"}), &["statistic", "p", "df"]),
            (json!({"test": "mmd"}), &["mmd2", "biased", "bandwidth"]),
        ] {
            let test = of(config);
            let (a, b) = (suited(&test, &a), suited(&test, &b));
            for name in same {
                assert!(close(field(&test, name, &a, &b), field(&test, name, &b, &a)), "{test:?} {name}");
            }
        }
        let rank = of(json!({"test": "mann-whitney"}));
        for (there, back) in [("shift", "shift"), ("lower", "upper"), ("upper", "lower")] {
            assert!(close(field(&rank, there, &a, &b), -field(&rank, back, &b, &a)), "{there}");
        }
    }
}

#[test]
fn missing_values_and_the_order_of_rows_change_nothing() {
    let mut from = stream("missing");
    let (a, b) = (normals(50, &mut from), normals(40, &mut from));
    let mixed = |values: &[f64]| {
        let mut mixed: Vec<f64> = values.iter().rev().copied().collect();
        mixed.insert(7, f64::NAN);
        mixed.push(f64::NAN);
        mixed
    };
    // What is drawn depends on the order of rows.
    for test in all().into_iter().filter(|test| !matches!(test, Test::Mmd(_))) {
        let (a, b) = (suited(&test, &a), suited(&test, &b));
        let (plain, mixed) = (look(&test, &a, &b).unwrap(), look(&test, &mixed(&a), &mixed(&b)).unwrap());
        assert!(plain.iter().zip(&mixed).all(|(x, y)| close(*x, *y)), "{test:?} {plain:?} {mixed:?}");
    }
    let mmd = of(json!({"test": "mmd"}));
    assert!(close(field(&mmd, "mmd2", &a, &b), field(&mmd, "mmd2", &mixed(&a), &mixed(&b))));
}

// ---- odd input --------------------------------------------------------------------------------------------------------------

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-3_i8..3).prop_map(f64::from),
        4 => any::<f64>(),
        1 => prop::sample::select(vec![0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, -f64::MAX, 5e-324]),
    ]
}

proptest! {
    #[test]
    fn no_input_panics_and_every_verdict_has_its_fields(
        a in prop::collection::vec(any_value(), 0..14), b in prop::collection::vec(any_value(), 0..14), coins: u64
    ) {
        let mut state = coins;
        for test in all() {
            let mut draw = |_: usize| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 7) as usize
            };
            match test.evaluate(&a, &b, &mut draw) {
                Ok(values) => {
                    prop_assert_eq!(values.len(), test.fields().len());
                    for (name, value) in test.fields().iter().zip(&values) {
                        // Shares and probabilities are such; nothing that a rule compares is silently no number, but for
                        // an interval that does not exist and a ratio to a mean of 0.
                        match *name {
                            "p" | "d" | "coefficient" | "cles" => {
                                prop_assert!((0.0..=1.0).contains(value), "{:?} {} {}", test, name, value);
                            }
                            "lower" | "upper" | "effect" => {}
                            _ => prop_assert!(!value.is_nan(), "{:?} {}", test, name),
                        }
                    }
                }
                Err(reason) => prop_assert!(!reason.to_string().is_empty()),
            }
        }
    }
}

#[test]
fn there_is_no_verdict_without_data_and_it_says_why() {
    let nan = f64::NAN;
    for test in all() {
        let of = |a: &[f64], b: &[f64]| look(&test, a, b);
        assert_eq!(of(&[], &[1.0]), Err(NoVerdict::Empty { side: Side::Reference }), "{test:?}");
        assert_eq!(of(&[1.0, 2.0], &[]), Err(NoVerdict::Empty { side: Side::Window }), "{test:?}");
        assert_eq!(
            of(&[1.0, 2.0], &[nan, nan]),
            Err(NoVerdict::AllMissing { side: Side::Window, rows: 2 }),
            "{test:?}"
        );
    }
    let reason = |config, a: &[f64], b: &[f64]| look(&of(config), a, b).unwrap_err().to_string();
    for (config, a, b, words) in [
        (json!({"test": "welch"}), &[1.0][..], &[1.0, 2.0][..], "the reference has 1 of the 2 values needed"),
        (json!({"test": "welch"}), &[1.0, 1.0], &[1.0, 1.0], "all values are equal"),
        (json!({"test": "ks", "method": "asymptotic"}), &[1.0], &[2.0], "the window has 1 of the 2 values needed"),
        (json!({"test": "anderson-darling"}), &[1.0], &[2.0, 3.0], "the window has 2 of the 3 values needed"),
        (json!({"test": "chi-squared"}), &[1.0; 9], &[1.0; 9], "all values are equal"),
        (
            json!({"test": "chi-squared"}),
            &[0.1, 0.2, 0.3],
            &[0.4, 0.5],
            "nearly every value is a category of its own: take another binning",
        ),
        (json!({"test": "energy"}), &[1.0], &[f64::INFINITY], "the window has infinite values, or too large ones"),
        (
            json!({"test": "kayenta"}),
            &[1.0; 4],
            &[2.0; 4],
            "both samples are constant, where the original adds random noise",
        ),
        (json!({"test": "mmd"}), &[0.0; 9], &[0.0, 0.0, 1.0], "the median distance is 0: give a bandwidth"),
        (json!({"test": "psi", "bins": 1}), &[1.0], &[1.0], "the parameter `bins` is out of its range"),
        (json!({"test": "psi", "alpha": 1.0}), &[1.0], &[1.0], "the parameter `alpha` is out of its range"),
        (json!({"test": "mmd", "cap": 1}), &[1.0], &[1.0], "the parameter `cap` is out of its range"),
        (
            json!({"test": "mann-whitney", "confidence": 1.0}),
            &[1.0],
            &[1.0],
            "the parameter `confidence` is out of its range",
        ),
    ] {
        assert_eq!(reason(config.clone(), a, b), words, "{config}");
    }
    let Test::Mmd(mmd) = of(json!({"test": "mmd"})) else { unreachable!() };
    let ragged = [vec![1.0, 2.0], vec![1.0]];
    assert_eq!(mmd.evaluate(&ragged, &ragged, &mut |_| 0), Err(NoVerdict::Shape));
    assert_eq!(mmd.evaluate(&ragged[..1], &ragged, &mut |_| 0), Err(NoVerdict::Shape));
}

// ---- configuration ----------------------------------------------------------------------------------------------------------

#[test]
fn configurations_survive_a_trip_and_their_schema_knows_every_key() {
    for test in all() {
        let value = serde_json::to_value(&test).unwrap();
        assert_eq!(serde_json::from_value::<Test>(value.clone()).unwrap(), test);
        let schema = schemars::schema_for!(Test).to_value();
        let variants = schema["oneOf"].as_array().expect("variants");
        let kind = &value["test"];
        let variant = variants.iter().find(|v| v["properties"]["test"]["const"] == *kind).expect("the variant");
        let name = variant["$ref"].as_str().and_then(|r| r.rsplit('/').next());
        let properties = name.map_or(&variant["properties"], |name| &schema["$defs"][name]["properties"]);
        for key in value.as_object().unwrap().keys().filter(|key| *key != "test") {
            assert!(properties[key]["description"].is_string(), "{kind} {key}");
        }
        let mut fields = test.fields().to_vec();
        fields.sort_unstable();
        fields.dedup();
        assert_eq!(fields.len(), test.fields().len());
    }
    for wrong in [
        json!({"test": "mmd", "bandwidth": "mean"}),
        json!({"test": "psi", "empty": "none"}),
        json!({"test": "ks", "method": "exactly"}),
        json!({"test": "chi"}),
    ] {
        assert!(serde_json::from_value::<Test>(wrong.clone()).is_err(), "{wrong}");
    }
}

// ---- under no drift ---------------------------------------------------------------------------------------------------------

/// The field of many pairs of samples of `n` and `m` normals.
fn null(test: &Test, name: &str, (n, m): (usize, usize), rounds: usize) -> Vec<f64> {
    let mut from = stream(&format!("null {n} {m}"));
    (0..rounds)
        .map(|_| (normals(n, &mut from), normals(m, &mut from)))
        .map(|(a, b)| field(test, name, &a, &b))
        .collect()
}

fn share_of(values: &[f64], which: impl Fn(f64) -> bool) -> f64 {
    values.iter().filter(|x| which(**x)).count() as f64 / values.len() as f64
}

#[test]
fn p_values_are_uniform_where_nothing_drifts() {
    const ROUNDS: usize = 1500;
    for config in [
        json!({"test": "welch"}),
        json!({"test": "mann-whitney", "method": "asymptotic", "continuity": false}),
        json!({"test": "cramer-von-mises"}),
        json!({"test": "anderson-darling"}),
    ] {
        uniform(&config.to_string(), &null(&of(config.clone()), "p", (60, 50), ROUNDS));
    }
}

/// Fails unless `p` may be a sample of the uniform distribution: one in a thousand such samples is further from it.
fn uniform(what: &str, p: &[f64]) {
    let mut sorted = p.to_vec();
    sorted.sort_by(f64::total_cmp);
    let step = |i: usize| i as f64 / p.len() as f64;
    let d = sorted.iter().enumerate().map(|(i, p)| (p - step(i)).max(step(i + 1) - p)).fold(0.0, f64::max);
    assert!(two_sided_sf(p.len() as u64, d).unwrap() > 1e-3, "{what}: {d}");
}

#[test]
fn the_p_value_of_chi_squared_is_uniform_in_large_samples() {
    for form in ["contingency", "g"] {
        let test = of(json!({"test": "chi-squared", "binning": "quantile", "form": form}));
        uniform(form, &null(&test, "p", (1000, 1000), 1500));
    }
    // The reference's shares are not the truth.
    let test = of(json!({"test": "chi-squared", "binning": "quantile", "form": "one-sample"}));
    assert!(share_of(&null(&test, "p", (1000, 1000), 500), |p| p <= 0.05) > 0.2);
}

#[test]
fn ranks_among_permutations_are_uniform_on_their_grid() {
    const ROUNDS: usize = 2000;
    let mut counts = [0_u32; 20];
    let mut from = stream("grid");
    for _ in 0..ROUNDS {
        let Test::Mmd(test) = of(json!({"test": "mmd", "permutations": 19, "bandwidth": 1.0})) else { unreachable!() };
        let mut rows = || [normals(12, &mut from), normals(12, &mut from)];
        let (a, b) = (rows(), rows());
        let p = test.evaluate(&a, &b, &mut |n| from.below(n)).unwrap()[1];
        let rank = (p * 20.0).round();
        assert!((p * 20.0 - rank).abs() < 1e-9 && (1.0..=20.0).contains(&rank), "{p} is not on the grid");
        counts[rank as usize - 1] += 1;
    }
    let expected = ROUNDS as f64 / 20.0;
    let statistic: f64 = counts.iter().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum();
    assert!(chi_squared_sf(statistic, 19.0).unwrap() > 1e-3, "{counts:?}");
}

/// More cannot be known than the permutations tell: where they are too few for the level the threshold is out of reach.
#[test]
fn a_threshold_needs_as_many_permutations_as_its_level_says() {
    let mut from = stream("too few");
    let (a, b) = (normals(30, &mut from), normals(30, &mut from).iter().map(|x| x + 9.0).collect::<Vec<f64>>());
    for (alpha, reached) in [(0.05, true), (0.04, false)] {
        let test = of(json!({"test": "mmd", "permutations": 19, "alpha": alpha}));
        let (mmd2, threshold) = (field(&test, "mmd2", &a, &b), field(&test, "threshold", &a, &b));
        assert_eq!(mmd2 > threshold, reached, "{alpha}: {mmd2} {threshold}");
    }
}

#[test]
fn the_psi_threshold_is_exceeded_as_often_as_it_says_in_large_windows() {
    const ROUNDS: usize = 4000;
    for sizes in [(2000, 2000), (5000, 1000)] {
        for alpha in [0.05, 0.01] {
            let test = of(json!({"test": "psi", "alpha": alpha}));
            let fired = share_of(&null(&test, "ratio", sizes, ROUNDS), |ratio| ratio > 1.0);
            let error = (alpha * (1.0 - alpha) / ROUNDS as f64).sqrt();
            assert!((fired - alpha).abs() <= 4.0 * error, "{sizes:?}: {fired} at {alpha}");
        }
    }
}

#[test]
fn no_test_fires_more_often_than_it_says() {
    // Four standard deviations of the share of so many looks.
    let most = |alpha: f64, rounds: usize| alpha + 4.0 * (alpha * (1.0 - alpha) / rounds as f64).sqrt();
    for (config, rounds) in [
        (json!({"test": "ks"}), 1500),
        (json!({"test": "ks", "method": "stephens"}), 1500),
        (json!({"test": "mann-whitney"}), 1500),
        (json!({"test": "chi-squared", "binning": "quantile"}), 1500),
        (json!({"test": "mmd", "permutations": 99}), 300),
    ] {
        let p = null(&of(config.clone()), "p", (60, 50), rounds);
        for alpha in [0.2, 0.05, 0.01] {
            let fired = share_of(&p, |p| p <= alpha);
            assert!(fired <= most(alpha, rounds), "{config}: {fired} at {alpha}");
        }
        // Not because it never does.
        assert!(share_of(&p, |p| p <= 0.2) > 0.08, "{config}");
    }
}

#[test]
fn the_psi_threshold_holds_its_level_where_the_customary_one_always_fires() {
    const ROUNDS: usize = 4000;
    let most = |alpha: f64| alpha + 4.0 * (alpha * (1.0 - alpha) / ROUNDS as f64).sqrt();
    for (sizes, customary) in [((60, 50), 0.95), ((1000, 50), 0.8), ((200, 200), 0.3)] {
        for alpha in [0.05, 0.01] {
            let test = of(json!({"test": "psi", "alpha": alpha}));
            let fired = share_of(&null(&test, "ratio", sizes, ROUNDS), |ratio| ratio > 1.0);
            assert!(fired <= most(alpha) && fired > alpha / 10.0, "{sizes:?}: {fired} at {alpha}");
        }
        let test = of(json!({"test": "psi"}));
        assert!(share_of(&null(&test, "value", sizes, ROUNDS), |value| value > 0.1) > customary, "{sizes:?}");
    }
    // With the customary share for empty bins one empty bin is an alarm.
    let test = of(json!({"test": "psi", "alpha": 0.01, "empty": 1e-4}));
    assert!(share_of(&null(&test, "ratio", (60, 50), ROUNDS), |ratio| ratio > 1.0) > 0.1);
}

#[test]
fn mmd_sees_a_correlation_that_no_column_shows() {
    let mut from = stream("correlation");
    let pairs = |rho: f64, from: &mut Stream| {
        let (x, z) = (normals(300, from), normals(300, from));
        let y = x.iter().zip(&z).map(|(x, z)| rho * x + (1.0 - rho * rho).sqrt() * z).collect::<Vec<f64>>();
        // In another unit, which must not matter.
        [x, y.iter().map(|y| y * 1000.0).collect()]
    };
    let (reference, window) = (pairs(0.0, &mut from), pairs(0.8, &mut from));
    let mut coins = stream("permutations");
    let test = Mmd { cap: 300, ..Mmd::default() };
    let mmd = test.evaluate(&reference, &window, &mut |n| coins.below(n)).unwrap();
    assert_eq!(mmd[1], 0.005, "the smallest p-value of 199 permutations");
    assert!(mmd[0] > mmd[2], "above the threshold");
    for (before, after) in reference.iter().zip(&window) {
        assert!(field(&of(json!({"test": "ks"})), "p", before, after) > 0.05);
    }
    let same = test.evaluate(&reference, &pairs(0.0, &mut from), &mut |n| coins.below(n)).unwrap();
    assert!(same[1] > 0.05 && same[0] < same[2]);
}
