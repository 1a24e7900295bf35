//! How fast detectors are, each made from the text of a policy file as `rollcage run` makes it.
//!
//! `cargo bench --bench detectors -- FOLDER` runs what `FOLDER/cases.json` lists, over the numbers in the folder's files (f64,
//! little-endian), and prints one JSON object: for each case the seconds of one pass and what came out, so that another
//! program can be held to the same work. `benches/peers/detectors.py` writes such folders and runs the Python packages beside.
//!
//! One thread; a case is repeated until a tenth of a second has passed. Detectors of single observations are fed with batches
//! of a scrape's size, two-sample tests get both samples in the order in which they came.

use rollcage::detect::config::SignalKind;
use rollcage::detect::sequences::Follower;
use rollcage::detect::sequential::{Config, Step};
use rollcage::detect::two_sample::Test;
use rollcage::plan::policy_alone;
use rollcage::rng::{Seed, Stream};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Observations that one scrape brings.
const BATCH: usize = 1000;
/// A measurement takes at least so long.
const LEAST: Duration = Duration::from_millis(100);

type Failure = Box<dyn std::error::Error>;

/// One thing to measure.
#[derive(Debug, Deserialize)]
struct Case {
    name: String,
    /// A policy with one signal.
    policy: String,
    /// A stream, or a reference and a window.
    inputs: Vec<PathBuf>,
    /// Positions that another KSWIN drew after so many observations: what is D, what is p there?
    #[serde(default)]
    recorded: Vec<(usize, Vec<usize>)>,
}

fn main() -> Result<(), Failure> {
    let Some(folder) = std::env::args().skip(1).find(|argument| argument != "--bench") else {
        // Run among all benches: there is nothing to measure.
        println!("detectors: needs a folder of inputs; python3 benches/peers/detectors.py makes one");
        return Ok(());
    };
    let folder = Path::new(&folder);
    let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(folder.join("cases.json"))?)?;
    let mut found = Map::new();
    for case in cases {
        let measured = measure(folder, &case).map_err(|e| format!("{}: {e}", case.name))?;
        found.insert(case.name, measured);
    }
    println!("{}", Value::Object(found));
    Ok(())
}

fn numbers(file: &Path) -> Result<Vec<f64>, Failure> {
    let bytes = std::fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let (numbers, []) = bytes.as_chunks::<8>() else { return Err("not a whole number of f64".into()) };
    Ok(numbers.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect())
}

fn measure(folder: &Path, case: &Case) -> Result<Value, Failure> {
    let policy = policy_alone("policy.toml", &case.policy)
        .map_err(|found| found.iter().map(|d| d.message.as_str()).collect::<Vec<_>>().join("; "))?;
    let [signal] = &policy.signals[..] else { return Err("not one signal".into()) };
    let inputs = case.inputs.iter().map(|file| numbers(&folder.join(file))).collect::<Result<Vec<_>, _>>()?;
    match (&signal.kind, &inputs[..]) {
        (SignalKind::Sequence(sequence), [stream]) => match &sequence.by {
            Follower::Detector(config) => Ok(follow(config, stream, &case.recorded)),
            Follower::Interval(_) => Err("a confidence sequence is no detector".into()),
        },
        (SignalKind::Comparison(comparison), [reference, window]) => compare(&comparison.test, reference, window),
        _ => Err("the signal does not go with the inputs".into()),
    }
}

/// Passes over a stream: a new detector each.
fn follow(config: &Config, stream: &[f64], recorded: &[(usize, Vec<usize>)]) -> Value {
    let draws = || Stream::named(Seed(1), "bench", "draws");
    let pass = || {
        let mut detector = config.start(draws());
        let mut alarms = 0_u64;
        for batch in stream.chunks(BATCH) {
            detector.feed(batch, |_, step| alarms += u64::from(step == Step::Alarm));
        }
        black_box(alarms)
    };
    let alarms = pass();
    let seconds = timed(pass);
    let compared: Vec<Value> = recorded
        .iter()
        .map(|(upto, positions)| {
            let mut detector = config.start(draws());
            detector.feed(&stream[..*upto], |_, _| {});
            json!(detector.compare(positions))
        })
        .collect();
    json!({"seconds": seconds, "alarms": alarms, "compared": compared})
}

fn compare(test: &Test, reference: &[f64], window: &[f64]) -> Result<Value, Failure> {
    let mut draws = Stream::named(Seed(1), "bench", "draws");
    let mut look = || test.evaluate(black_box(reference), black_box(window), &mut |n| draws.below(n));
    let values = look()?;
    let seconds = timed(|| black_box(look()));
    let fields: Map<String, Value> =
        test.fields().iter().map(|f| (*f).to_owned()).zip(values.into_iter().map(Value::from)).collect();
    Ok(json!({"seconds": seconds, "fields": fields}))
}

/// Seconds of one call, as a mean over at least [`LEAST`].
fn timed<T>(mut call: impl FnMut() -> T) -> f64 {
    let begun = now();
    let mut calls = 0_u32;
    loop {
        black_box(call());
        calls += 1;
        let passed = now() - begun;
        if passed >= LEAST {
            return passed.as_secs_f64() / f64::from(calls);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "speed is measured in real time")]
fn now() -> Instant {
    Instant::now()
}
