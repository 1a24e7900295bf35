//! Owns the properties that all sequential detectors share, and the claims of single ones that need a stream.

use super::*;
use crate::rng::{Seed, Stream};
use crate::stats::normal;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Every detector, with the parameters that have no default, and the bytes that its text allows; ways to set them that take
/// other paths.
const EVERY: &[(&str, usize)] = &[
    (r#"{"detector": "cusum", "mu0": 0.5, "sigma": 0.5}"#, 300),
    (r#"{"detector": "cusum", "mu0": 0, "sigma": 1, "h": 2, "head_start": 1, "mode": "up"}"#, 300),
    (r#"{"detector": "cusum", "mu0": 0, "sigma": 1, "mode": "down"}"#, 300),
    (r#"{"detector": "ewma", "mu0": 0.5, "sigma": 0.5, "exact_limits": true}"#, 300),
    (r#"{"detector": "ewma", "mu0": 0, "sigma": 1, "lambda": 1, "mode": "down"}"#, 300),
    (r#"{"detector": "shiryaev-roberts", "mu0": 0, "mu1": 1, "sigma": 1}"#, 300),
    (r#"{"detector": "shiryaev-roberts-llr", "head_start": 5}"#, 300),
    (r#"{"detector": "page-hinkley", "threshold": 2}"#, 300),
    (r#"{"detector": "page-hinkley", "threshold": 1, "alpha": 0.9, "min_instances": 1, "mode": "down"}"#, 300),
    (r#"{"detector": "adwin"}"#, 7_000),
    (r#"{"detector": "adwin", "clock": 1, "delta": 0.3, "after_drift": "river", "max_buckets": 2}"#, 7_000),
    (r#"{"detector": "ddm"}"#, 300),
    (r#"{"detector": "eddm", "warm_start": 5}"#, 300),
    (r#"{"detector": "hddm-a", "two_sided_test": true}"#, 300),
    (r#"{"detector": "hddm-w", "two_sided_test": true, "warning_confidence": 0.2, "drift_confidence": 0.1}"#, 300),
    (r#"{"detector": "fhddm", "sliding_window_size": 20, "confidence_level": 0.1}"#, 300 + 8 * 20),
    (
        r#"{"detector": "fhddm", "sliding_window_size": 20, "short_window_size": 5, "confidence_level": 0.1}"#,
        300 + 8 * 20,
    ),
    (r#"{"detector": "kswin"}"#, 16 * 130 + 700),
    (
        r#"{"detector": "kswin", "window_size": 40, "stat_size": 5, "draws": "river", "alpha": 0.2}"#,
        16 * 45 + 700 + 2500,
    ),
    (r#"{"detector": "sprt-bernoulli", "p0": 0.05, "p1": 0.15}"#, 300),
    (r#"{"detector": "sprt-gaussian", "mu0": 0, "mu1": 1, "sigma": 1}"#, 300),
    (r#"{"detector": "msprt", "theta0": 0, "sigma": 1, "tau": 0.5, "restart": true}"#, 300),
    (r#"{"detector": "e-detector", "m": 0.1}"#, 400),
    (r#"{"detector": "e-detector", "m": 0.4, "alpha": 0.1, "rule": "e-cusum", "mode": "both", "restart": false}"#, 450),
    (r#"{"detector": "ecdd"}"#, 300),
    (r#"{"detector": "stepd"}"#, 300 + 8 * 30),
    (r#"{"detector": "stepd", "rule": "frouros", "min_num_instances": 5}"#, 300 + 8 * 5),
    (r#"{"detector": "rddm"}"#, 300 + 8 * 7000),
    (r#"{"detector": "rddm", "min_num_instances": 5, "max_concept_size": 50, "min_concept_size": 20}"#, 300 + 8 * 20),
    (r#"{"detector": "frouros-cusum", "lambda": 2}"#, 300),
    (r#"{"detector": "frouros-page-hinkley", "lambda": 2}"#, 300),
];

fn config(json: &str) -> Config {
    let config: Config = serde_json::from_str(json).unwrap_or_else(|e| panic!("{json}: {e}"));
    config.check().unwrap_or_else(|e| panic!("{json}: {e}"));
    config
}

fn start(json: &str) -> Sequential {
    config(json).start(stream("draws"))
}

fn stream(name: &str) -> Stream {
    Stream::named(Seed(11), "detect/sequential/tests", name)
}

fn every() -> impl Iterator<Item = Sequential> {
    EVERY.iter().map(|(json, _)| start(json))
}

/// Steps of single observations.
fn steps(detector: &mut Sequential, values: &[f64]) -> Vec<Step> {
    values.iter().map(|x| detector.update(*x)).collect()
}

/// Indices of alarms.
fn alarms(detector: &mut Sequential, values: &[f64]) -> Vec<usize> {
    let mut alarms = Vec::new();
    detector.feed(values, |i, step| {
        if step == Step::Alarm {
            alarms.push(i);
        }
    });
    alarms
}

fn gaussian(name: &str, n: usize, shift_at: usize, by: f64) -> Vec<f64> {
    let mut stream = stream(name);
    (0..n).map(|i| normal::quantile(stream.uniform()) + if i < shift_at { 0.0 } else { by }).collect()
}

fn errors(name: &str, n: usize, p: f64) -> Vec<f64> {
    let mut stream = stream(name);
    (0..n).map(|_| if stream.uniform() < p { 1.0 } else { 0.0 }).collect()
}

/// Streams with changes, ties, errors only, gaps and infinities.
fn observations() -> impl Strategy<Value = Vec<f64>> {
    let level = |mean: f64| prop::collection::vec((-1.0..1.0).prop_map(move |x: f64| mean + x), 0..120);
    let error =
        |share: u32| prop::collection::vec((0_u32..100).prop_map(move |x| if x < share { 1.0 } else { 0.0 }), 0..120);
    let odd = prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e308, 5e-324, 0.5]);
    let part = prop_oneof![level(0.0), level(2.0), error(5), error(60), prop::collection::vec(odd, 0..9)];
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn a_batch_is_its_observations_and_a_copy_goes_on_the_same_way(values in observations(), cut in 0_usize..500) {
        let cut = cut.min(values.len());
        for detector in every() {
            let (mut single, mut batch) = (detector.clone(), detector);
            let wanted = steps(&mut single, &values);
            let mut got = vec![Step::Quiet; values.len()];
            batch.feed(&values[..cut], |i, step| got[i] = step);
            let mut copy = batch.clone();
            prop_assert_eq!(&copy, &batch);
            copy.feed(&values[cut..], |i, step| got[cut + i] = step);
            prop_assert_eq!(&got, &wanted);
            prop_assert_eq!(&copy, &single);
            let left_out = values.iter().filter(|x| x.is_nan()).count() as u64;
            prop_assert!(single.missing() >= left_out);
            prop_assert!(single.seen() + single.missing() <= values.len() as u64 + 8000, "RDDM keeps some");
        }
    }

    #[test]
    fn a_gap_changes_nothing(values in observations()) {
        for detector in every() {
            let mut without = detector.clone();
            let present: Vec<f64> = values.iter().copied().filter(|x| !x.is_nan()).collect();
            let mut with = detector;
            let got: Vec<Step> = values.iter().flat_map(|x| [with.update(*x), with.update(f64::NAN)]).collect();
            prop_assert!(got.iter().skip(1).step_by(2).all(|step| *step == Step::Quiet));
            let wanted = steps(&mut without, &present);
            let of_present: Vec<Step> =
                got.iter().step_by(2).zip(&values).filter(|(_, x)| !x.is_nan()).map(|(step, _)| *step).collect();
            prop_assert_eq!(of_present, wanted);
            prop_assert_eq!(with.state().len(), without.state().len());
            prop_assert_eq!(with.statistic().to_bits(), without.statistic().to_bits());
        }
    }

    #[test]
    fn detectors_of_errors_take_the_nearer_end(values in observations()) {
        let clamped: Vec<f64> = values.iter().map(|x| x.clamp(0.0, 1.0)).collect();
        for (json, _) in EVERY.iter().filter(|(json, _)| config(json).takes_errors() || json.contains("e-detector")) {
            let detector = start(json);
            prop_assert_eq!(steps(&mut detector.clone(), &values), steps(&mut detector.clone(), &clamped), "{}", json);
        }
    }
}

#[test]
fn the_reading_at_an_alarm_is_beyond_the_threshold_in_the_detectors_own_sense() {
    let quiet = |name: &str| errors(name, 3000, 0.05);
    let parts =
        [quiet("reading a"), errors("reading b", 3000, 0.6), vec![-3.0; 200], vec![3.0; 200], quiet("reading c")];
    for (json, _) in EVERY {
        let (mut single, mut batch, mut told) = (start(json), start(json), 0);
        // Batches that go on after the alarm, when most detectors have begun anew.
        for values in parts.concat().chunks(700) {
            let mut wanted = None;
            for x in values {
                if single.update(*x) == Step::Alarm {
                    wanted = Some(single.reading());
                }
            }
            let got = batch.feed(values, |_, _| {});
            assert_eq!(got, wanted, "{json}");
            let Some(Reading { statistic, threshold, seen }) = got else { continue };
            let beyond = if json.contains("eddm") { statistic < threshold } else { statistic >= threshold };
            assert!(beyond && seen > 0, "{json}: {got:?}");
            told += 1;
        }
        assert!(told > 0, "{json} never alarms");
    }
}

#[test]
fn an_e_detector_takes_values_as_shares_of_their_range() {
    let shares: Vec<f64> =
        gaussian("range", 4000, 2000, 0.5).iter().map(|x| (0.25 + 0.125 * x).clamp(0.0, 1.0)).collect();
    let values: Vec<f64> = shares.iter().map(|u| 1024.0 * u - 512.0).collect();
    let wanted = steps(&mut start(r#"{"detector": "e-detector", "m": 0.25}"#), &shares);
    assert!(wanted.contains(&Step::Alarm));
    let mut ranged = start(r#"{"detector": "e-detector", "m": -256, "range": [-512, 512]}"#);
    let got = steps(&mut ranged, &values);
    let differ = got.iter().zip(&wanted).filter(|(a, b)| a != b).count();
    assert!(differ <= 2, "{differ}: rounding of the shares may move an alarm by one observation");
    // Without its range nothing but the ends is left of such values.
    let clamped = steps(&mut start(r#"{"detector": "e-detector", "m": 0.25}"#), &values);
    assert_ne!(clamped, wanted);
}

#[test]
fn odd_streams_have_a_defined_result() {
    let far = [f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, f64::MIN_POSITIVE, -0.0];
    let streams: Vec<Vec<f64>> = vec![
        vec![],
        vec![0.3],
        vec![0.0; 3000],
        vec![1.0; 3000],
        vec![0.1; 3000],
        vec![f64::NAN; 300],
        vec![f64::INFINITY; 300],
        vec![f64::NEG_INFINITY; 300],
        far.iter().cycle().take(3000).copied().collect(),
    ];
    for (json, _) in EVERY {
        for values in &streams {
            let mut detector = start(json);
            let fresh = detector.clone();
            steps(&mut detector, values);
            // frouros' STEPD divides by 0 where there are no errors; M without a restart grows beyond all numbers.
            let grows = json.contains("frouros\"") || json.contains("\"restart\": false");
            assert!(grows || !detector.statistic().is_infinite() || !values.iter().all(|x| x.is_finite()), "{json}");
            if values.iter().all(|x| x.is_nan()) {
                assert_eq!(detector.missing(), values.len() as u64, "{json}");
                assert_eq!((detector.seen(), detector.state().len()), (0, fresh.state().len()), "{json}");
            }
        }
    }
}

#[test]
fn parameters_at_the_ends_of_their_ranges_leave_no_detector_lost() {
    let (large, small, least) = (1e50, 1e-50, 1e-300);
    let tables = [
        json!({"detector": "cusum", "mu0": -1e100, "sigma": small, "k": 1e100, "h": small}),
        json!({"detector": "cusum", "mu0": 1e100, "sigma": large, "h": large, "head_start": 1e100}),
        json!({"detector": "ewma", "mu0": 1e100, "sigma": small, "lambda": least, "limit": small, "exact_limits": true}),
        json!({"detector": "ewma", "mu0": 1e100, "sigma": large, "lambda": 1, "limit": large}),
        json!({"detector": "shiryaev-roberts", "mu0": -1e100, "mu1": 1e100, "sigma": small, "threshold": large}),
        json!({"detector": "shiryaev-roberts", "mu0": 0, "mu1": 1e-100, "sigma": large, "threshold": small}),
        json!({"detector": "page-hinkley", "delta": 1e100, "threshold": 0, "min_instances": 1}),
        json!({"detector": "page-hinkley", "delta": 0, "threshold": 1e100, "alpha": least}),
        json!({"detector": "adwin", "range": small, "delta": least, "clock": 1, "min_window_length": 1, "grace_period": 0}),
        json!({"detector": "adwin", "range": large, "max_buckets": 1000, "min_window_length": 1_000_000}),
        json!({"detector": "ddm", "warm_start": 0, "warning_threshold": small, "drift_threshold": large}),
        json!({"detector": "eddm", "warm_start": 0, "alpha": 0.999, "beta": least}),
        json!({"detector": "hddm-a", "drift_confidence": least, "warning_confidence": 0.999, "two_sided_test": true}),
        json!({"detector": "hddm-w", "drift_confidence": least, "lambda": least, "two_sided_test": true}),
        json!({"detector": "hddm-w", "warning_confidence": 0.999, "lambda": 1}),
        json!({"detector": "fhddm", "sliding_window_size": 1, "confidence_level": least, "short_window_size": 1}),
        json!({"detector": "kswin", "window_size": 2, "stat_size": 1, "alpha": 0.999, "min_distance": 0}),
        json!({"detector": "kswin", "window_size": 3, "stat_size": 1, "alpha": least, "min_distance": 1, "draws": "river"}),
        json!({"detector": "sprt-bernoulli", "p0": least, "p1": 0.999, "alpha": least, "beta": least}),
        json!({"detector": "sprt-gaussian", "mu0": -1e100, "mu1": 1e100, "sigma": small}),
        json!({"detector": "msprt", "theta0": 1e100, "sigma": small, "tau": large, "alpha": least}),
        json!({"detector": "msprt", "theta0": 1e100, "sigma": large, "tau": small, "restart": true}),
        json!({"detector": "e-detector", "m": least, "alpha": least, "lambdas": [0, 0.999], "mode": "both", "restart": false}),
        json!({"detector": "ecdd", "lambda": 1, "min_num_instances": 1, "average_run_length": 100}),
        json!({"detector": "stepd", "alpha_d": least, "alpha_w": 0.999, "min_num_instances": 1}),
        json!({"detector": "rddm", "max_concept_size": 1, "min_concept_size": 1, "min_num_instances": 1, "drift_level": large}),
        json!({"detector": "frouros-cusum", "delta": 1e100, "lambda": 0, "min_num_instances": 1}),
        json!({"detector": "frouros-page-hinkley", "delta": 0, "lambda": 0, "alpha": least}),
    ];
    let values = [0.0, 1.0, -1e100, 1e100, 0.5, 1e-300, 1.0, 1.0, 0.0].repeat(300);
    for table in tables {
        let mut detector = start(&table.to_string());
        detector.feed(&values, |_, _| {});
        // No variable is lost to arithmetic without a result: the detector still equals itself.
        assert_eq!(detector, detector.clone(), "{table}");
    }
}

#[test]
fn constant_streams_raise_no_alarm() {
    // Against a known level a constant may be a change; against its own past it is none. frouros' STEPD is the exception that
    // its text names.
    for (json, _) in EVERY
        .iter()
        .filter(|(json, _)| !["mu0", "theta0", "p0", "\"m\"", "llr", "frouros\""].iter().any(|k| json.contains(k)))
    {
        for level in [0.0, 0.1, 1.0] {
            assert_eq!(alarms(&mut start(json), &vec![level; 5000]), Vec::<usize>::new(), "{json} at {level}");
        }
    }
    let mut frouros = start(r#"{"detector": "stepd", "rule": "frouros"}"#);
    assert_eq!(alarms(&mut frouros, &[0.0; 100]), [59], "the least that it compares: twice 30");
}

#[test]
fn infinities_are_evidence_for_charts_against_a_known_level() {
    for json in [
        r#"{"detector": "cusum", "mu0": 0, "sigma": 1}"#,
        r#"{"detector": "shiryaev-roberts", "mu0": 0, "mu1": 1, "sigma": 1}"#,
        r#"{"detector": "shiryaev-roberts-llr"}"#,
        r#"{"detector": "sprt-gaussian", "mu0": 0, "mu1": 1, "sigma": 1}"#,
    ] {
        let mut detector = start(json);
        assert_eq!(steps(&mut detector, &[0.0, f64::INFINITY, 0.0]), [Step::Quiet, Step::Alarm, Step::Quiet], "{json}");
        assert!(detector.statistic().is_finite(), "{json}");
    }
    let mut cusum = start(r#"{"detector": "cusum", "mu0": 0, "sigma": 1}"#);
    assert_eq!(cusum.update(f64::NEG_INFINITY), Step::Alarm);
    let mut sprt = start(r#"{"detector": "sprt-gaussian", "mu0": 0, "mu1": 1, "sigma": 1}"#);
    assert_eq!(sprt.update(f64::NEG_INFINITY), Step::Cleared);
}

#[test]
fn memory_is_bounded_as_the_texts_say() {
    let values: Vec<f64> = gaussian("memory", 200_000, 100_000, 0.7).iter().map(|x| 0.4 + 0.3 * x).collect();
    for (json, most) in EVERY {
        let mut detector = start(json);
        detector.feed(&values, |_, _| {});
        assert!(detector.bytes() <= *most, "{json}: {} bytes", detector.bytes());
    }
}

#[test]
fn a_change_of_unit_changes_no_step() {
    // The parameters that carry the metric's unit, by detector.
    let cases: &[(Value, &[&str])] = &[
        (json!({"detector": "cusum", "mu0": 0.25, "sigma": 1.5}), &["mu0", "sigma"]),
        (json!({"detector": "ewma", "mu0": 0.25, "sigma": 1.5, "exact_limits": true}), &["mu0", "sigma"]),
        (json!({"detector": "shiryaev-roberts", "mu0": 0, "mu1": 0.75, "sigma": 1}), &["mu0", "mu1", "sigma"]),
        (json!({"detector": "sprt-gaussian", "mu0": 0, "mu1": 0.75, "sigma": 1}), &["mu0", "mu1", "sigma"]),
        (
            json!({"detector": "msprt", "theta0": 0.125, "sigma": 1, "tau": 0.5, "restart": true}),
            &["theta0", "sigma", "tau"],
        ),
        (json!({"detector": "page-hinkley", "delta": 0.125, "threshold": 8}), &["delta", "threshold"]),
        (json!({"detector": "adwin", "range": 2, "delta": 0.3}), &["range"]),
        (json!({"detector": "adwin", "range": 2, "delta": 0.3, "after_drift": "river"}), &["range"]),
        (json!({"detector": "kswin"}), &[]),
        (json!({"detector": "frouros-cusum", "delta": 0.125, "lambda": 8}), &["delta", "lambda"]),
        (json!({"detector": "frouros-page-hinkley", "delta": 0.125, "lambda": 8}), &["delta", "lambda"]),
    ];
    let values = gaussian("units", 6000, 3000, 1.0);
    for (table, carriers) in cases {
        let wanted = steps(&mut start(&table.to_string()), &values);
        assert!(wanted.contains(&Step::Alarm), "{table} shows nothing");
        // Seconds as milliseconds, milliseconds as seconds; powers of two, which round nothing.
        for unit in [1000.0, 0.001, 1024.0, 1.0 / 65536.0] {
            let mut scaled = table.clone();
            for key in *carriers {
                scaled[*key] = json!(table[*key].as_f64().expect("a number") * unit);
            }
            let values: Vec<f64> = values.iter().map(|x| x * unit).collect();
            assert_eq!(steps(&mut start(&scaled.to_string()), &values), wanted, "{scaled}");
        }
    }
}

#[test]
fn configurations_survive_a_file_and_bad_ones_are_refused() {
    for (json, _) in EVERY {
        let config = config(json);
        let text = serde_json::to_string(&config).expect("text");
        assert_eq!(serde_json::from_str::<Config>(&text).expect("a configuration"), config);
    }
    let bad = [
        (json!({"detector": "cusum", "mu0": 0, "sigma": 0}), "sigma"),
        (json!({"detector": "cusum", "mu0": 1e101, "sigma": 1}), "mu0"),
        (json!({"detector": "cusum", "mu0": 0, "sigma": 1, "h": -1}), "h"),
        (json!({"detector": "ewma", "mu0": 0, "sigma": 1, "lambda": 0}), "lambda"),
        (json!({"detector": "shiryaev-roberts", "mu0": 1, "mu1": 1, "sigma": 1}), "mu1"),
        (json!({"detector": "shiryaev-roberts-llr", "threshold": 0}), "threshold"),
        (json!({"detector": "page-hinkley", "alpha": 1.5}), "alpha"),
        (json!({"detector": "adwin", "clock": 0}), "clock"),
        (json!({"detector": "adwin", "max_buckets": 1}), "max_buckets"),
        (json!({"detector": "adwin", "delta": 0}), "delta"),
        (json!({"detector": "ddm", "warning_threshold": 4}), "warning_threshold"),
        (json!({"detector": "eddm", "alpha": 0.5}), "beta"),
        (json!({"detector": "hddm-a", "drift_confidence": 0.1}), "drift_confidence"),
        (json!({"detector": "hddm-w", "lambda": 2}), "lambda"),
        (json!({"detector": "fhddm", "short_window_size": 101}), "short_window_size"),
        (json!({"detector": "fhddm", "sliding_window_size": 4_000_000_000_u32}), "sliding_window_size"),
        (json!({"detector": "kswin", "stat_size": 51}), "stat_size"),
        (json!({"detector": "kswin", "window_size": 0}), "window_size"),
        (json!({"detector": "sprt-bernoulli", "p0": 0.1, "p1": 0.1}), "p1"),
        (json!({"detector": "sprt-bernoulli", "p0": 0.1, "p1": 0.2, "alpha": 0.5, "beta": 0.5}), "beta"),
        (json!({"detector": "sprt-gaussian", "mu0": 0, "mu1": 1e-300, "sigma": 1e50}), "mu1"),
        (json!({"detector": "msprt", "theta0": 0, "sigma": 1, "tau": 0}), "tau"),
        (json!({"detector": "e-detector", "m": 1}), "m"),
        (json!({"detector": "e-detector", "m": 5, "range": [5, 20]}), "m"),
        (json!({"detector": "e-detector", "m": 5, "range": [20, 5]}), "range"),
        (json!({"detector": "e-detector", "m": 0.5, "lambdas": []}), "lambdas"),
        (json!({"detector": "e-detector", "m": 0.5, "lambdas": [1.5]}), "lambdas"),
        (json!({"detector": "ecdd", "average_run_length": 500}), "average_run_length"),
        (json!({"detector": "stepd", "min_num_instances": 0}), "min_num_instances"),
        (json!({"detector": "rddm", "min_concept_size": 0}), "min_concept_size"),
        (json!({"detector": "frouros-cusum", "lambda": -1}), "lambda"),
        (json!({"detector": "frouros-page-hinkley", "min_num_instances": 0}), "min_num_instances"),
    ];
    for (table, parameter) in bad {
        let config: Config = serde_json::from_value(table.clone()).expect("a configuration");
        assert_eq!(config.check().map_err(|e| e.parameter), Err(parameter), "{table}");
        let mut idle = config.start(stream("idle"));
        assert_eq!(steps(&mut idle, &[0.0, 1e300, f64::NAN, 1.0]), [Step::Quiet; 4]);
        assert!(idle.statistic().is_nan() && idle.threshold().is_nan() && idle.state().is_empty());
    }
}

#[test]
fn the_schema_knows_every_detector_and_default() {
    let schema = serde_json::to_value(schemars::schema_for!(Config)).expect("JSON");
    let names: Vec<&str> = schema["oneOf"]
        .as_array()
        .expect("one schema a detector")
        .iter()
        .filter_map(|one| one["properties"]["detector"]["const"].as_str())
        .collect();
    for (json, _) in EVERY {
        let table: Value = serde_json::from_str(json).expect("a table");
        assert!(names.contains(&table["detector"].as_str().expect("a name")), "{json}: {names:?}");
    }
    assert_eq!(schema["$defs"]["KswinConfig"]["properties"]["stat_size"]["default"], json!(30));
    assert_eq!(schema["$defs"]["CusumConfig"]["properties"]["h"]["default"], json!(5.0));
    assert_eq!(schema["$defs"]["CusumConfig"]["required"], json!(["mu0", "sigma"]));
}

#[test]
fn charts_alarm_as_rarely_as_published() {
    // Mean run lengths by integral equations: Lucas and Crosier 1982 (h = 5, k = 0.5: 465), Lucas and Saccucci 1990 (500);
    // Shiryaev-Roberts at 1000 for a shift of 1 sigma: 1000 exp(0.583).
    let n = 4_000_000;
    let values = gaussian("run lengths", n, n, 0.0);
    for (json, wanted) in [
        (r#"{"detector": "cusum", "mu0": 0, "sigma": 1}"#, 465.4),
        (r#"{"detector": "cusum", "mu0": 0, "sigma": 1, "h": 4, "mode": "up"}"#, 335.4),
        (r#"{"detector": "ewma", "mu0": 0, "sigma": 1}"#, 499.6),
        (r#"{"detector": "shiryaev-roberts", "mu0": 0, "mu1": 1, "sigma": 1}"#, 1791.0),
    ] {
        let count = alarms(&mut start(json), &values).len() as f64;
        let (got, error) = (n as f64 / count, wanted / count.sqrt());
        assert!((got - wanted).abs() < 4.0 * error, "{json}: {got} +- {error}, published {wanted}");
    }
}

#[test]
fn the_e_detector_keeps_its_guarantee_without_a_distribution() {
    // The mean is m throughout; the distribution is the most hostile one, and one that depends on the past.
    let hostile = errors("hostile", 400_000, 0.08);
    let mut draws = stream("dependent");
    let mut burst = false;
    let dependent: Vec<f64> = (0..400_000)
        .map(|_| {
            burst = if burst { draws.uniform() < 0.9 } else { draws.uniform() < 0.1 };
            let share = if burst { 0.08 } else { 0.32 };
            if draws.uniform() < share { 0.08 / share } else { 0.0 }
        })
        .collect();
    for (values, what) in [(hostile, "errors"), (dependent, "bursts")] {
        let run_length = |rule: &str, mode: &str| {
            let table = json!({"detector": "e-detector", "m": 0.08, "alpha": 0.005, "rule": rule, "mode": mode});
            let count = alarms(&mut start(&table.to_string()), &values).len() as f64;
            values.len() as f64 / (count + 4.0 * count.sqrt())
        };
        for mode in ["up", "both"] {
            let (sr, cusum) = (run_length("e-sr", mode), run_length("e-cusum", mode));
            assert!(sr * 1.2 > 200.0 && cusum > sr, "{what}, {mode}: {sr} and {cusum}");
        }
    }
}

#[test]
fn an_e_detector_for_decreases_is_the_mirrored_one() {
    let values: Vec<f64> =
        gaussian("mirror", 4000, 2000, -0.5).iter().map(|x| (0.5 + 0.2 * x).clamp(0.0, 1.0)).collect();
    let mirrored: Vec<f64> = values.iter().map(|x| 1.0 - x).collect();
    let mut down = start(r#"{"detector": "e-detector", "m": 0.625, "mode": "down"}"#);
    let mut up = start(r#"{"detector": "e-detector", "m": 0.375, "mode": "up"}"#);
    let wanted = steps(&mut down, &values);
    assert!(wanted.contains(&Step::Alarm));
    assert_eq!(steps(&mut up, &mirrored), wanted);
}

#[test]
fn log_likelihood_ratios_are_as_good_as_the_model_they_come_from() {
    let values = gaussian("llr", 20_000, 10_000, 0.5);
    let ratios: Vec<f64> = values.iter().map(|x| 0.5 * (x - 0.25)).collect();
    let mut model = start(r#"{"detector": "shiryaev-roberts", "mu0": 0, "mu1": 0.5, "sigma": 1}"#);
    let mut general = start(r#"{"detector": "shiryaev-roberts-llr"}"#);
    let wanted = alarms(&mut model, &values);
    assert!(wanted.iter().any(|i| (10_000..10_200).contains(i)), "{wanted:?}");
    assert_eq!(alarms(&mut general, &ratios), wanted);
}

#[test]
fn adwin_keeps_the_newer_part_or_nothing() {
    let values: Vec<f64> = [vec![0.25; 500], vec![0.75; 500]].concat();
    for (after, left) in [("newer", 1.0), ("river", 0.0)] {
        let mut adwin = start(&json!({"detector": "adwin", "clock": 8, "after_drift": after}).to_string());
        let first = alarms(&mut adwin.clone(), &values)[0];
        assert!((500..540).contains(&first), "{first}");
        steps(&mut adwin, &values[..=first]);
        let kept = adwin.state()[0].1;
        assert!(kept < first as f64, "older observations went with the alarm");
        steps(&mut adwin, &values[first + 1..=first + 1]);
        assert_eq!(adwin.state()[0].1, left * kept + 1.0, "{after}: what is left, and the new one");
        steps(&mut adwin, &values[first + 2..]);
        let ("estimation", mean) = adwin.state()[3] else { panic!("{:?}", adwin.state()) };
        assert!((mean - 0.75).abs() < 0.05, "{after}: mostly the new level is kept, {:?}", adwin.state());
    }
}

#[test]
fn adwin_sees_small_metrics_late_without_their_range() {
    let seconds: Vec<f64> = gaussian("latency", 4000, 2000, 3.0).iter().map(|x| 0.05 + 0.005 * x).collect();
    // Against a range of 1 s, 15 ms more is less than 2/3 l/m, of some 9/m, until hundreds of observations show it.
    let late = alarms(&mut start(r#"{"detector": "adwin"}"#), &seconds);
    assert!(late.first().is_some_and(|i| *i > 2300), "{late:?}");
    let found = alarms(&mut start(r#"{"detector": "adwin", "range": 0.05}"#), &seconds);
    assert!(found.first().is_some_and(|i| (2000..2100).contains(i)), "{found:?}");
}

#[test]
fn an_average_mixture_rejects_once_and_for_all() {
    let values = gaussian("msprt", 3000, 0, 0.25);
    let mut msprt = start(r#"{"detector": "msprt", "theta0": 0, "sigma": 1, "tau": 0.25}"#);
    let steps = steps(&mut msprt, &values);
    let first = steps.iter().position(|step| *step == Step::Alarm).expect("a shift of a quarter sigma is found");
    assert!(steps[first..].iter().all(|step| *step == Step::Alarm));
    assert!(msprt.state()[1].1 <= 0.05, "p stays below alpha");
}

#[test]
fn fhddm_takes_errors_or_right_answers() {
    let wrong: Vec<f64> = [errors("fhddm a", 1000, 0.05), errors("fhddm b", 1000, 0.6)].concat();
    let right: Vec<f64> = wrong.iter().map(|x| 1.0 - x).collect();
    for short in [json!(null), json!(25), json!(100)] {
        let table =
            |errors: bool| json!({"detector": "fhddm", "short_window_size": short, "errors": errors}).to_string();
        let wanted = alarms(&mut start(&table(true)), &wrong);
        assert!(wanted.iter().any(|i| (1000..1100).contains(i)), "{wanted:?}");
        assert_eq!(alarms(&mut start(&table(false)), &right), wanted);
    }
}

#[test]
fn rddm_forgets_and_keeps_what_is_recent() {
    let quiet = errors("rddm quiet", 30_000, 0.2);
    let mut rddm = start(
        r#"{"detector": "rddm", "max_concept_size": 3000, "min_concept_size": 500, "drift_level": 9, "warning_level": 8}"#,
    );
    let longest = quiet.iter().map(|x| {
        rddm.update(*x);
        rddm.seen()
    });
    assert_eq!(longest.max(), Some(3000), "the past is shortened there");
    let worse = [errors("rddm a", 3000, 0.05), errors("rddm b", 500, 0.4)].concat();
    for (keep, least) in [(true, 2), (false, 1)] {
        let mut rddm = start(&json!({"detector": "rddm", "keep_recent": keep}).to_string());
        let at = worse.iter().enumerate().find(|(i, x)| rddm.update(**x) == Step::Alarm && *i > 3000);
        assert!(at.is_some_and(|(i, _)| i < 3200), "{at:?}");
        rddm.update(1.0);
        assert!(if keep { rddm.seen() >= least } else { rddm.seen() == least }, "{keep}: {}", rddm.seen());
    }
}

#[test]
fn kswin_draws_everywhere_alike_and_by_name() {
    let values = gaussian("kswin", 40_000, 40_000, 0.0);
    let mut kswin = start(r#"{"detector": "kswin", "window_size": 30, "stat_size": 10, "alpha": 1e-9}"#);
    let mut counts = [0_u32; 20];
    for x in &values {
        kswin.update(*x);
        let mut positions = kswin.positions().to_vec();
        positions.iter().for_each(|p| counts[*p] += 1);
        positions.sort_unstable();
        positions.dedup();
        assert!(positions.len() == 10 || kswin.seen() < 30, "without replacement");
    }
    // Each of 20 positions in half of the draws: four standard deviations are 400.
    assert!(counts.iter().all(|n| n.abs_diff(19_985) < 400), "{counts:?}");
    let config = config(r#"{"detector": "kswin"}"#);
    let run = |draws: &str| alarms(&mut config.start(stream(draws)), &values);
    assert_eq!(run("a"), run("a"));
    assert_ne!(run("a"), run("b"), "another stream draws otherwise");
    let (d, p) = kswin.compare(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]).expect("ten positions of twenty");
    assert!((0.0..=1.0).contains(&d) && (0.0..=1.0).contains(&p));
    assert_eq!(kswin.compare(&[0; 9]), None, "too few");
    assert_eq!(kswin.compare(&[20; 10]), None, "not among the earlier");
}

#[test]
fn ties_at_the_edge_of_thresholds_are_told_as_defined() {
    // CUSUM alarms above h, not at it: 0.5 + 0.5 = 1.
    let mut cusum = start(r#"{"detector": "cusum", "mu0": 0, "sigma": 1, "k": 0.5, "h": 1}"#);
    assert_eq!(steps(&mut cusum, &[1.0, 1.0, 1.0]), [Step::Quiet, Step::Quiet, Step::Alarm]);
    // Shiryaev-Roberts alarms at its threshold: R = n without evidence.
    let mut roberts = start(r#"{"detector": "shiryaev-roberts-llr", "threshold": 3}"#);
    assert_eq!(steps(&mut roberts, &[0.0; 4]), [Step::Quiet, Step::Quiet, Step::Alarm, Step::Quiet]);
    // A head start counts from the first start only.
    let mut fast = start(r#"{"detector": "cusum", "mu0": 0, "sigma": 1, "k": 0.5, "h": 4, "head_start": 2}"#);
    assert_eq!(alarms(&mut fast, &[3.0; 4]), [0, 2]);
}
