//! Reads a folder of reference results, compares with them, and keeps count: no value of a case may stay unlooked at.

use serde_json::Value;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// A folder of inputs and expected results, one value of which a test may have changed.
#[derive(Clone)]
pub struct Folder {
    /// Where it is.
    pub root: PathBuf,
    /// A document that stands in for the one in the file of this name.
    pub changed: Option<(String, Value)>,
    /// Files that were read.
    pub read: RefCell<BTreeSet<String>>,
}

impl Folder {
    /// A folder, nothing of it changed or read.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), changed: None, read: RefCell::default() }
    }

    /// A document by the name of its file.
    pub fn json(&self, name: &str) -> Result<Value, String> {
        if let Some((changed, value)) = &self.changed
            && changed == name
        {
            self.read.borrow_mut().insert(name.to_owned());
            return Ok(value.clone());
        }
        serde_json::from_str(&self.text(name)?).map_err(|e| format!("{name}: {e}"))
    }

    /// A file's text.
    pub fn text(&self, name: &str) -> Result<String, String> {
        self.read.borrow_mut().insert(name.to_owned());
        std::fs::read_to_string(self.root.join(name)).map_err(|e| format!("{name}: {e}"))
    }

    /// The rows of a CSV file below its header, cells as they stand.
    pub fn rows(&self, name: &str) -> Result<Vec<Vec<String>>, String> {
        let text = self.text(name)?;
        Ok(text.lines().skip(1).map(|l| l.split(',').map(|c| c.trim().to_owned()).collect()).collect())
    }

    /// A one-column input series.
    pub fn series(&self, name: &str) -> Result<Vec<f64>, String> {
        let rows = self.rows(&format!("series/{name}.csv"))?;
        rows.iter().map(|r| r[0].parse().map_err(|e| format!("series {name}: {e}"))).collect()
    }
}

/// How far a value may be from the expected one.
#[derive(Clone, Copy)]
pub enum Within {
    /// Not at all.
    Exactly,
    /// By this share of the expected value, or absolutely by 1e-12.
    Relative(f64),
    /// By this share of the expected value above 1e-12; below, absolutely by 1e-12.
    Probability(f64),
    /// By this share of the expected value, or absolutely by the other: for a reference with a known error of its own.
    Either(f64, f64),
    /// By this, absolutely.
    Absolute(f64),
}

/// The tolerance of statistics that the reference's README gives.
pub const STATISTIC: Within = Within::Relative(1e-9);
/// The tolerance of p-values that the reference's README gives.
pub const P_VALUE: Within = Within::Probability(1e-8);
/// The tolerance of average run lengths that the reference's README gives.
pub const ARL: Within = Within::Relative(1e-6);

impl Within {
    /// A number that is beyond this of all that `want` allows: three tolerances away.
    pub fn beyond(self, want: f64) -> f64 {
        let size = want.abs();
        want + 3.0
            * match self {
                Self::Exactly if want.fract() == 0.0 => 1.0,
                Self::Exactly => 1e-6 * size,
                Self::Relative(share) => (share * size).max(1e-12),
                Self::Probability(share) if size > 1e-12 => share * size,
                Self::Probability(_) => 1e-12,
                Self::Either(share, by) => (share * size).max(by),
                Self::Absolute(by) => by,
            }
    }

    fn holds(self, got: f64, want: f64) -> bool {
        if got == want || (got.is_nan() && want.is_nan()) {
            return true;
        }
        let off = (got - want).abs();
        match self {
            Self::Exactly => false,
            Self::Relative(share) => off <= (share * want.abs()).max(1e-12),
            Self::Probability(share) if want.abs() > 1e-12 => off <= share * want.abs(),
            Self::Probability(_) => off <= 1e-12,
            Self::Either(share, by) => off <= (share * want.abs()).max(by),
            Self::Absolute(by) => off <= by,
        }
    }
}

/// One case of one file.
pub struct Case<'a> {
    /// `file#id`.
    pub name: String,
    json: &'a Value,
    seen: BTreeSet<String>,
    compared: Vec<Compared>,
    detectors: BTreeMap<String, Outcome>,
}

/// A value that was compared.
#[derive(Clone)]
pub struct Compared {
    /// Its pointer, below its case.
    pub pointer: String,
    /// Where it is in the document: the address of the value itself.
    pub place: usize,
    /// How close it must be.
    pub within: Within,
}

impl Compared {
    fn new(pointer: &str, value: &Value, within: Within) -> Self {
        Self { pointer: pointer.to_owned(), place: std::ptr::from_ref(value).addr(), within }
    }
}

#[derive(Default)]
struct Outcome {
    compared: usize,
    wrong: Vec<String>,
    deviation: f64,
}

impl<'a> Case<'a> {
    /// Nothing looked at yet.
    pub fn new(file: &str, id: &str, json: &'a Value) -> Self {
        Self {
            name: format!("{file}#{id}"),
            json,
            seen: BTreeSet::new(),
            compared: Vec::new(),
            detectors: BTreeMap::new(),
        }
    }

    /// A value that is an input, a parameter or a remark: looked at with all that is below it.
    pub fn input(&mut self, pointer: &str) -> Option<&'a Value> {
        let value = self.json.pointer(pointer)?;
        self.see(pointer, value);
        Some(value)
    }

    /// A value, without looking at it.
    pub fn peek(&self, pointer: &str) -> Option<&'a Value> {
        self.json.pointer(pointer)
    }

    /// Compares a number. `None` stands for a result that is not defined, which the reference writes as null or NaN.
    /// Where the reference has nothing at `pointer`, nothing is compared.
    pub fn number(&mut self, detector: &str, pointer: &str, got: Option<f64>, within: Within) {
        let Some(want) = self.json.pointer(pointer) else { return };
        self.compare(detector, pointer, got, want, within);
    }

    /// Compares a list of numbers, item by item and in length.
    pub fn numbers(&mut self, detector: &str, pointer: &str, got: &[f64], within: Within) {
        let Some(want) = self.json.pointer(pointer) else { return };
        let Some(items) = want.as_array() else {
            return self.note(detector, format!("{pointer}: the reference is not a list"));
        };
        self.see(pointer, want);
        if items.len() != got.len() {
            self.note(detector, format!("{pointer}: {} values, expected {}", got.len(), items.len()));
        }
        for (i, (got, want)) in got.iter().zip(items).enumerate() {
            self.compare(detector, &format!("{pointer}/{i}"), Some(*got), want, within);
        }
    }

    /// Compares anything that must be the same: indices, counts, words, lists of them.
    pub fn equal(&mut self, detector: &str, pointer: &str, got: impl Into<Value>) {
        let Some(want) = self.json.pointer(pointer) else { return };
        let got = got.into();
        self.see(pointer, want);
        let (json, compared) = (self.json, &mut self.compared);
        leaves(pointer, want, &mut |at| {
            compared.extend(json.pointer(at).map(|value| Compared::new(at, value, Within::Exactly)));
        });
        let outcome = self.detectors.entry(detector.to_owned()).or_default();
        outcome.compared += 1;
        if !same(&got, want) {
            outcome.wrong.push(format!("{pointer}: got {got}, expected {want}"));
        }
    }

    /// A mistake that is not about one value.
    pub fn note(&mut self, detector: &str, message: String) {
        let outcome = self.detectors.entry(detector.to_owned()).or_default();
        outcome.compared += 1;
        outcome.wrong.push(message);
    }

    /// A claim that is not about one value.
    pub fn holds(&mut self, detector: &str, claim: &str, right: bool) {
        match right {
            true => self.detectors.entry(detector.to_owned()).or_default().compared += 1,
            false => self.note(detector, format!("{claim}: not so")),
        }
    }

    fn compare(&mut self, detector: &str, pointer: &str, got: Option<f64>, want: &Value, within: Within) {
        self.see(pointer, want);
        self.compared.push(Compared::new(pointer, want, within));
        let outcome = self.detectors.entry(detector.to_owned()).or_default();
        outcome.compared += 1;
        let wanted = number(want);
        let right = match (got, wanted) {
            (got, Some(want)) => within.holds(got.unwrap_or(f64::NAN), want),
            (None, None) => true,
            (Some(got), None) => got.is_nan(),
        };
        if !right {
            outcome.wrong.push(format!("{pointer}: got {got:?}, expected {want}"));
        } else if let (Some(got), Some(want)) = (got, wanted)
            && got != want
            && want.is_finite()
        {
            let off = (got - want).abs() / want.abs().max(1e-3);
            outcome.deviation = outcome.deviation.max(off);
        }
    }

    fn see(&mut self, pointer: &str, value: &Value) {
        leaves(pointer, value, &mut |at| {
            self.seen.insert(at.to_owned());
        });
    }

    /// Counts the case; a value that no one looked at is a failure.
    pub fn finish(mut self, report: &mut Report) {
        let mut missed = Vec::new();
        leaves("", self.json, &mut |at| {
            if !self.seen.contains(at) {
                missed.push(at.to_owned());
            }
        });
        if !missed.is_empty() || self.detectors.is_empty() {
            let shown: Vec<&str> = missed.iter().take(5).map(String::as_str).collect();
            self.note("(unrun)", format!("{} values not looked at: {}", missed.len(), shown.join(", ")));
        }
        report.compared.append(&mut self.compared);
        for (detector, outcome) in self.detectors {
            let score = report.scores.entry(detector.clone()).or_default();
            score.values += outcome.compared;
            score.deviation = score.deviation.max(outcome.deviation);
            match outcome.wrong.is_empty() {
                true => score.held += 1,
                false => score.failed += 1,
            }
            let name = &self.name;
            report.wrong.extend(outcome.wrong.into_iter().map(|w| format!("{name} {detector} {w}")));
        }
    }
}

/// What was held and what failed, by detector.
#[derive(Default)]
pub struct Report {
    /// All values that were compared.
    pub compared: Vec<Compared>,
    /// By detector.
    pub scores: BTreeMap<String, Score>,
    /// All that was wrong.
    pub wrong: Vec<String>,
}

/// One detector's count.
#[derive(Default)]
pub struct Score {
    /// Cases in which every value was as expected.
    pub held: usize,
    /// The others.
    pub failed: usize,
    /// Values compared.
    pub values: usize,
    /// The largest deviation of a value that was as expected, relative to it (to 0.001 where it is smaller).
    pub deviation: f64,
}

/// Equality of values where 3 and 3.0 are the same.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

/// Calls with the pointer of every leaf below a value; empty lists and tables are leaves.
pub fn leaves(at: &str, value: &Value, each: &mut dyn FnMut(&str)) {
    match value {
        Value::Object(map) if !map.is_empty() => map.iter().for_each(|(k, v)| leaves(&format!("{at}/{k}"), v, each)),
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(i, v)| leaves(&format!("{at}/{i}"), v, each));
        }
        _ => each(at),
    }
}

/// A number, or one of the strings that stand for those that JSON has not; `None` for null and for text.
pub fn number(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some(text @ ("NaN" | "Infinity" | "-Infinity")) => text.parse().ok(),
        _ => value.as_f64(),
    }
}

/// All numbers of a list.
pub fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().map_or(&[][..], Vec::as_slice).iter().filter_map(number).collect()
}
