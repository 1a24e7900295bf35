//! Runs the sequential detectors of `stream-v1` over their series: where they alarm and warn, what they decide, and what their
//! variables are on the way.

use super::harness::{Case, Folder, P_VALUE, Report, STATISTIC, numbers};
use crate::policy::signal;
use rollcage::detect::config::SignalKind;
use rollcage::detect::sequences::{Follower, SequenceConfig};
use rollcage::detect::sequential::{Sequential, Step};
use rollcage::rng::{Seed, Stream};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Runs all cases.
pub fn run(folder: &Folder, file: &str, document: &Value, report: &mut Report) -> Result<(), String> {
    let cases = document["cases"].as_array().ok_or_else(|| format!("{file}: no list of cases"))?;
    // A level that a case does not list is one that it never rejects at.
    let levels = |case: &Value| case["first_rejection"].as_object().map(|levels| levels.keys().cloned().collect());
    let levels: BTreeSet<String> = cases.iter().filter_map(levels).flat_map(|levels: Vec<String>| levels).collect();
    for (n, json) in cases.iter().enumerate() {
        let mut case = Case::new(file, json["id"].as_str().unwrap_or(&format!("case {n}")), json);
        let name = json["detector"].as_str().unwrap_or("(none)");
        if let Err(e) = one(folder, &mut case, name, &levels) {
            case.note(name, e);
        }
        case.finish(report);
    }
    Ok(())
}

/// Runs one case.
fn one(folder: &Folder, case: &mut Case, name: &str, levels: &BTreeSet<String>) -> Result<(), String> {
    for input in ["id", "detector", "params", "series", "library", "note", "input", "trace_columns"] {
        case.input(&format!("/{input}"));
    }
    let params = case.peek("/params").and_then(Value::as_object).ok_or("no parameters")?.clone();
    let series = case.peek("/series").and_then(Value::as_str).ok_or("no series")?;
    let mut values = folder.series(series)?;
    match case.peek("/input").and_then(Value::as_str) {
        None | Some("x") => {}
        Some("1-x") => values.iter_mut().for_each(|x| *x = 1.0 - *x),
        Some(other) => return Err(format!("unknown input `{other}`")),
    }
    match name {
        "msprt_normal" => rejections(case, &params, &values, levels)?,
        "e_detector_bounded_mean" => {
            for rule in ["e-sr", "e-cusum"] {
                let alarms = alarms(&mut build(name, &params, &[("rule", json!(rule))])?, &values);
                let pointer = format!("/first_alarm_{}", rule.replace('-', "_"));
                case.equal(name, &pointer, alarms.first().map_or(Value::Null, |i| json!(i)));
            }
        }
        _ => steps(case, name, &params, &values)?,
    }
    trace(case, name, &params, &values)
}

/// A detector of the reference's name and parameters, made as a policy file's table is.
fn build(name: &str, params: &Map<String, Value>, more: &[(&str, Value)]) -> Result<Sequential, String> {
    let (detector, fixed): (String, &[(&str, Value)]) = match name {
        "adwin" => (name.into(), &[("after_drift", json!("river"))]),
        "kswin" => (name.into(), &[("draws", json!("river"))]),
        "fhddm" => (name.into(), &[("errors", json!(false))]),
        "cusum_two_sided" => ("cusum".into(), &[]),
        "ewma_chart" => ("ewma".into(), &[]),
        "msprt_normal" => ("msprt".into(), &[]),
        "e_detector_bounded_mean" => ("e-detector".into(), &[("restart", json!(false))]),
        "frouros_ecdd" => ("ecdd".into(), &[]),
        "frouros_stepd" => ("stepd".into(), &[("rule", json!("frouros"))]),
        "frouros_rddm" => ("rddm".into(), &[("keep_recent", json!(false))]),
        _ => (name.replace('_', "-"), &[]),
    };
    let ours = |key: &str| match key {
        "L" => "limit".to_owned(),
        "lam" | "lambda_" | "lambda_val" => "lambda".to_owned(),
        "lams" => "lambdas".to_owned(),
        _ => key.to_owned(),
    };
    let given = params.iter().map(|(k, v)| (ours(k), v.clone()));
    let mut table: Map<String, Value> = fixed.iter().chain(more).map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
    table.extend(given);
    // Values of 0 and 1, which every detector takes: what it is fed here comes from the case.
    table.insert("of".to_owned(), json!("failure"));
    match signal(&detector, &table)? {
        SignalKind::Sequence(SequenceConfig { by: Follower::Detector(config), .. }) => {
            Ok(config.start(Stream::named(Seed(1), "detectors_reference", "draws")))
        }
        other => Err(format!("{detector} is no sequential detector: {other:?}")),
    }
}

/// The indices of alarms, by batch.
fn alarms(detector: &mut Sequential, values: &[f64]) -> Vec<usize> {
    let mut alarms = Vec::new();
    detector.feed(values, |i, step| {
        if step == Step::Alarm {
            alarms.push(i);
        }
    });
    alarms
}

/// Alarms, warnings and decisions.
fn steps(case: &mut Case, name: &str, params: &Map<String, Value>, values: &[f64]) -> Result<(), String> {
    let mut detector = build(name, params, &[])?;
    let by_batch = alarms(&mut detector.clone(), values);
    let (mut drifts, mut warnings, mut decisions) = (Vec::new(), Vec::<[usize; 2]>::new(), Vec::new());
    for (i, x) in values.iter().enumerate() {
        let step = detector.update(*x);
        if step == Step::Alarm {
            drifts.push(i);
        }
        if detector.warned() {
            match warnings.last_mut() {
                Some([_, last]) if *last + 1 == i => *last = i,
                _ => warnings.push([i, i]),
            }
        }
        if matches!(step, Step::Alarm | Step::Cleared) {
            decisions.push((i, step, detector.statistic(), detector.seen()));
        }
    }
    case.holds(name, "a batch alarms where single observations do", by_batch == drifts);
    case.equal(name, "/drifts", drifts);
    case.equal(name, "/warnings_rle", json!(warnings));
    let Some(expected) = case.peek("/decisions") else { return Ok(()) };
    let expected = expected.as_array().map_or(0, Vec::len);
    if decisions.is_empty() || expected != decisions.len() {
        case.equal(name, "/decisions", json!(decisions.iter().map(|d| d.0).collect::<Vec<_>>()));
    }
    for (k, (i, step, llr, seen)) in decisions.into_iter().enumerate() {
        case.equal(name, &format!("/decisions/{k}/0"), i);
        case.equal(name, &format!("/decisions/{k}/1"), if step == Step::Alarm { "accept_h1" } else { "accept_h0" });
        case.number(name, &format!("/decisions/{k}/2"), Some(llr), STATISTIC);
        case.equal(name, &format!("/decisions/{k}/3"), seen);
    }
    Ok(())
}

/// Where the mixture SPRT rejects, by level.
fn rejections(
    case: &mut Case,
    params: &Map<String, Value>,
    values: &[f64],
    levels: &BTreeSet<String>,
) -> Result<(), String> {
    let name = "msprt_normal";
    let Some(expected) = case.peek("/first_rejection").and_then(Value::as_object) else { return Ok(()) };
    let mut got = Map::new();
    for level in levels.iter().chain(expected.keys()) {
        let alpha: f64 = level.parse().map_err(|e| format!("level {level}: {e}"))?;
        let first = alarms(&mut build(name, params, &[("alpha", json!(alpha))])?, values).first().copied();
        match (first, expected.get(level)) {
            (None, None) => {}
            (first, _) => _ = got.insert(level.clone(), json!(first)),
        }
    }
    case.equal(name, "/first_rejection", Value::Object(got));
    Ok(())
}

/// Variables by name at the observations that the reference lists.
fn trace(case: &mut Case, name: &str, params: &Map<String, Value>, values: &[f64]) -> Result<(), String> {
    let Some(rows) = case.peek("/trace").and_then(Value::as_array) else { return Ok(()) };
    if rows.is_empty() {
        // A series that is too short for any.
        case.input("/trace");
    }
    let columns = case.peek("/trace_columns").and_then(Value::as_array).ok_or("a trace without columns")?;
    let columns: Vec<&str> = columns.iter().filter_map(Value::as_str).collect();
    if columns.first() != Some(&"i") {
        return Err(format!("a trace by {columns:?}, not by index"));
    }
    let mut at = BTreeMap::<u64, Vec<usize>>::new();
    for (row, cells) in rows.iter().enumerate() {
        let i = cells[0].as_f64().ok_or_else(|| format!("trace row {row} has no index"))?;
        at.entry(i as u64).or_default().push(row);
    }
    if let Some(i) = at.keys().find(|i| **i >= values.len() as u64) {
        return Err(format!("a trace of observation {i}, of {}", values.len()));
    }
    let mut detectors = match name {
        "e_detector_bounded_mean" => {
            let by = |rule: &str| build(name, params, &[("rule", json!(rule))]);
            vec![by("e-sr")?, by("e-cusum")?]
        }
        _ => vec![build(name, params, &[])?],
    };
    for (i, x) in values.iter().enumerate() {
        detectors.iter_mut().for_each(|detector| _ = detector.update(*x));
        for row in at.remove(&(i as u64)).unwrap_or_default() {
            let state: BTreeMap<&str, f64> = detectors.iter().flat_map(Sequential::state).collect();
            case.input(&format!("/trace/{row}/0"));
            for (c, column) in columns.iter().enumerate().skip(1) {
                let pointer = format!("/trace/{row}/{c}");
                match *column {
                    "sampled_positions_in_window" => positions(case, name, &detectors[0], row, c, &state)?,
                    "llr_before_reset" => case.number(name, &pointer, state.get("llr").copied(), STATISTIC),
                    "always_valid_p" => case.number(name, &pointer, state.get(column).copied(), P_VALUE),
                    "p" if name == "kswin" => case.number(name, &pointer, state.get(column).copied(), P_VALUE),
                    _ if state.contains_key(column) => {
                        case.number(name, &pointer, state.get(column).copied(), STATISTIC);
                    }
                    _ => return Err(format!("no variable is called `{column}`")),
                }
            }
        }
    }
    Ok(())
}

/// The positions drawn, and what the test says of those that the reference drew.
fn positions(
    case: &mut Case,
    name: &str,
    detector: &Sequential,
    row: usize,
    column: usize,
    state: &BTreeMap<&str, f64>,
) -> Result<(), String> {
    let pointer = format!("/trace/{row}/{column}");
    let recorded = case.peek(&pointer).map(numbers).unwrap_or_default();
    let recorded: Vec<usize> = recorded.iter().map(|p| *p as usize).collect();
    case.equal(name, &pointer, json!(detector.positions()));
    let (d, p) = detector.compare(&recorded).ok_or_else(|| format!("{pointer}: positions outside of the window"))?;
    for (value, of) in [(d, "ks_d"), (p, "p")] {
        let same = state.get(of).is_some_and(|drawn| *drawn == value);
        case.holds(name, &format!("{pointer}: {of} at the positions recorded is that at those drawn"), same);
    }
    Ok(())
}
