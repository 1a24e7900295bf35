//! What every detector keeps to, whatever it is fed: bounded memory, verdicts that do not depend on the unit of a metric, and
//! with bad input either a measurement or the reason why there is none. All of it on detectors made from the text of a policy,
//! in the way that a run feeds them; and for every kind that `rollcage explain` lists.

use rollcage::control::config::PolicyConfig;
use rollcage::control::judge::{Judge, Pair};
use rollcage::detect::Detectors;
use rollcage::detect::config::SignalKind;
use rollcage::detect::sequences::Follower;
use rollcage::detect::sequential::Sequential;
use rollcage::detect::verdict::NoVerdict;
use rollcage::event::{
    Capacity, Event, GaugeRow, Input, Labels, Metrics, MetricsRow, Observations, Outcomes, ReplicaState,
};
use rollcage::id::{OutcomeId, ReplicaId, SegmentId, SourceId, VersionId};
use rollcage::plan::about::{About, MEMORY_WORDS, kinds};
use rollcage::plan::{policy_alone, policy_schema};
use rollcage::rng::{Seed, Stream};
use rollcage::stats::histogram::Histogram;
use rollcage::stats::normal;
use rollcage::time::{SimTime, Span};
use serde_json::Value;
use std::sync::{Arc, LazyLock};

const OLD: VersionId = VersionId(0);
const NEW: VersionId = VersionId(1);
const PAIR: Pair = Pair { candidate: NEW, baseline: OLD };
/// Between two scrapes.
const EVERY: Span = Span::secs(10);

// ---------------------------------------------------------------------------------------------------------------------
// Policies and telemetry

fn policy(text: &str) -> PolicyConfig {
    let said = |found: Vec<rollcage::plan::diagnostic::Diagnostic>| {
        found.iter().map(|d| d.message.clone()).collect::<Vec<_>>().join("; ")
    };
    let mut policy = policy_alone("policy.toml", text).unwrap_or_else(|found| panic!("{}\n{text}", said(found)));
    for signal in &mut policy.signals {
        if let SignalKind::Fairness(fairness) = &mut signal.kind {
            // Groups are the scenario's: here its two segments.
            (fairness.groups, fairness.names) = (vec![Some(0), Some(1)], vec!["a".to_owned(), "b".to_owned()]);
        }
    }
    policy
}

/// One answered request.
#[derive(Debug, Clone, Copy)]
struct Row {
    score: f32,
    features: [f32; 2],
    label: f32,
    amount: f32,
}

impl Row {
    /// The same number everywhere.
    const fn all(x: f32) -> Self {
        Self { score: x, features: [x, x], label: x, amount: x }
    }
}

/// What scrapes bring, and the counters that go on from one to the next.
#[derive(Debug, Default)]
struct Telemetry {
    scrapes: u64,
    requests: u64,
    /// Whether NEW takes a hundred times as long.
    slow: bool,
    counters: [(u64, Histogram); 2],
}

impl Telemetry {
    fn now(&self) -> SimTime {
        SimTime::ZERO + Span(EVERY.0 * self.scrapes)
    }

    /// A scrape with these rows of each version.
    fn scrape(&mut self, rows: [&[Row]; 2]) -> Vec<Input> {
        let begin = self.now();
        self.scrapes += 1;
        let (at, source) = (self.now(), SourceId(0));
        let mut inputs = Vec::new();
        let mut labels = Labels { scraped_at: at, source, ordinals: Vec::new(), labels: Vec::new() };
        let mut outcomes = Vec::new();
        for (version, rows) in [OLD, NEW].into_iter().zip(rows).filter(|(_, rows)| !rows.is_empty()) {
            let n = rows.len();
            let ordinals: Vec<u64> = (self.requests..).take(n).collect();
            self.requests += n as u64;
            labels.ordinals.extend(&ordinals);
            labels.labels.extend(rows.iter().map(|row| row.label));
            let ended: Vec<SimTime> = (0..n as u64).map(|i| begin + Span(EVERY.0 * (i + 1) / n as u64)).collect();
            let segments: Vec<SegmentId> = (0..n).map(|i| SegmentId((i % 2) as u16)).collect();
            let times = if self.slow && version == NEW { 100 } else { 1 };
            let latency: Vec<Span> = (0..n as u64).map(|i| Span::millis((10 + i % 7) * times)).collect();
            let (count, histogram) = &mut self.counters[version.index()];
            *count += n as u64;
            latency.iter().for_each(|l| histogram.record(l.0));
            outcomes.push(Input::Outcomes(Outcomes {
                scraped_at: at,
                source,
                outcome: OutcomeId(0),
                version,
                ended: ended.clone(),
                segments: segments.clone(),
                values: rows.iter().map(|row| row.amount).collect(),
            }));
            inputs.push(Input::Observations(Observations {
                scraped_at: at,
                source,
                version,
                ordinals,
                ended,
                latency,
                segments,
                scores: rows.iter().map(|row| row.score).collect(),
                features: (0..2).map(|i| rows.iter().map(|row| row.features[i]).collect()).collect(),
                unanswered: Vec::new(),
            }));
        }
        inputs.push(Input::Labels(labels));
        inputs.extend(outcomes);
        let versions = [OLD, NEW].into_iter().zip(&self.counters).filter(|(_, (count, _))| *count > 0);
        let (mut rows, mut gauges) = (Vec::new(), Vec::new());
        for (version, (count, latency)) in versions {
            let replica = ReplicaId(version.0.into());
            let (segment, ended) = (SegmentId(0), [*count, 0, 0, 0, 0, 0]);
            rows.push(MetricsRow { version, segment, replica: Some(replica), ended, latency: latency.clone() });
            let (cpu, memory) = (Span(at.0 / 4), 1 << 20);
            let state = ReplicaState::Ready;
            gauges.push(GaugeRow { version, replica, state, queued: 3, in_flight: 1, cpu, memory });
        }
        let capacity = Capacity { concurrency: 2, queue: 64, memory: Some(1 << 30) };
        inputs.push(Input::Metrics(Metrics { scraped_at: at, rows, gauges, capacity }));
        inputs
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The least policy of each kind

/// Something that a key of this schema can be; numbers in the middle of what is allowed.
fn least(key: &str, of: &Value, root: &Value) -> String {
    let of = match of.get("$ref").and_then(Value::as_str) {
        Some(path) => root.pointer(&path[1..]).expect("a definition"),
        None => of,
    };
    let number = |bound: &str| of.get(bound).and_then(Value::as_f64);
    match (key, of.get("type").and_then(Value::as_str)) {
        ("of", _) if of.get("enum").is_none() && of.get("oneOf").is_none() => "\"score\"".to_owned(),
        // What is to be found is not what is usual.
        ("p1", _) => "0.75".to_owned(),
        ("mu1", _) => "2.0".to_owned(),
        (_, Some("integer")) => number("minimum").unwrap_or(1.0).max(1.0).to_string(),
        (_, Some("number")) => "0.5".to_owned(),
        (_, Some("object")) => {
            let required = of["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let inner = required.map(|key| {
                format!(
                    "{key} = {}",
                    if key == "labels" { "100".to_owned() } else { least(key, &of["properties"][key], root) }
                )
            });
            format!("{{ {} }}", inner.collect::<Vec<_>>().join(", "))
        }
        _ => {
            let words = of.get("enum").and_then(|words| words.get(0)).or_else(|| of.get("oneOf")?.get(0)?.get("const"));
            words.map_or("\"60s\"".to_owned(), Value::to_string)
        }
    }
}

/// Kinds that need values of 0 and 1, or to be told between which bounds they lie.
const BOUNDED: [&str; 11] = [
    "ddm",
    "eddm",
    "hddm-a",
    "hddm-w",
    "fhddm",
    "sprt-bernoulli",
    "ecdd",
    "stepd",
    "rddm",
    "e-detector",
    "confidence-sequence",
];

/// The table of a signal of this kind with what must be written, and no more.
fn table(kind: &str) -> String {
    static SCHEMA: LazyLock<Value> = LazyLock::new(policy_schema);
    let root = &*SCHEMA;
    let variants = root.pointer("/$defs/Signal/oneOf").and_then(Value::as_array).expect("kinds");
    let variant = variants.iter().find(|v| v["properties"]["kind"]["const"] == kind).expect("a kind that there is");
    let required = variant["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut lines: Vec<String> = required
        .map(|key| match key {
            "kind" => format!("kind = \"{kind}\""),
            "of" if BOUNDED.contains(&kind) => "of = \"wrong\"".to_owned(),
            key => format!("{key} = {}", least(key, &variant["properties"][key], root)),
        })
        .collect();
    if kind == "fairness" {
        lines.push("window = \"60s\"".to_owned()); // or `labels`, which a schema cannot say
    }
    if kind == "chi-squared" {
        lines.push("binning = \"quantile\"".to_owned()); // scores are no categories
    }
    lines.join("\n")
}

/// All kinds, each with the policy that has it as its only signal `s`.
fn every() -> Vec<(About, String)> {
    let all: Vec<_> = kinds()
        .into_iter()
        .map(|about| {
            let text = format!("name = \"least\"\n[signals.s]\n{}\n", table(&about.kind));
            (about, text)
        })
        .collect();
    assert!(all.len() > 40, "{} kinds", all.len());
    all
}

// ---------------------------------------------------------------------------------------------------------------------
// Memory

/// The value of sums of products like `16 (window_size + stat_size) + 400`, factors side by side.
fn evaluate(formula: &str, of: &dyn Fn(&str) -> f64) -> f64 {
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for c in formula.chars() {
        depth += i32::from(c == '(') - i32::from(c == ')');
        match c {
            '+' if depth == 0 => parts.push(String::new()),
            c => parts.last_mut().expect("one part").push(c),
        }
    }
    let product = |part: &str| -> f64 {
        let (plain, group) = match part.split_once('(') {
            Some((plain, rest)) => (plain, rest.trim_end().strip_suffix(')')),
            None => (part, None),
        };
        let factors = plain.split_whitespace().map(|word| word.parse().unwrap_or_else(|_| of(word)));
        factors.product::<f64>() * group.map_or(1.0, |inner| evaluate(inner, of))
    };
    parts.iter().map(|part| product(part)).sum()
}

/// The bytes that the documentation of a kind allows, where `of` says what its words stand for.
fn allowed(about: &About, of: &dyn Fn(&str) -> f64) -> f64 {
    let line = about.text.split("Memory: at most `").nth(1).unwrap_or_else(|| panic!("{}: no memory", about.kind));
    let formula = line.split('`').next().unwrap_or_default();
    let default = |name: &str| -> f64 {
        if MEMORY_WORDS.iter().any(|(word, _)| *word == name) && name != "lambdas" {
            return of(name);
        }
        let parameter = about.parameters.iter().find(|p| p.name == name);
        let default = parameter.and_then(|p| p.default.as_deref()).unwrap_or_else(|| panic!("{}: {name}?", about.kind));
        // A list counts by its length.
        default.parse().unwrap_or_else(|_| default.matches(',').count() as f64 + 1.0)
    };
    evaluate(formula, &default)
}

fn sequential(policy: &PolicyConfig) -> Option<Sequential> {
    match &policy.signals[0].kind {
        SignalKind::Sequence(sequence) => match &sequence.by {
            Follower::Detector(config) => Some(config.start(Stream::named(Seed(3), "limits", "draws"))),
            Follower::Interval(_) => None,
        },
        _ => None,
    }
}

#[test]
fn detectors_of_single_observations_take_what_their_text_says() {
    let n = 100_000;
    let mut stream = Stream::named(Seed(1), "limits", "memory");
    let quiet: Vec<f64> = (0..n).map(|_| 0.5 + 0.1 * normal::quantile(stream.uniform())).collect();
    let errors: Vec<f64> = (0..n).map(|_| if stream.uniform() < 0.1 { 1.0 } else { 0.0 }).collect();
    let mut looked = 0;
    for (about, text) in every() {
        let Some(fresh) = sequential(&policy(&text)) else { continue };
        let of = |word: &str| match word {
            "versions" => 1.0,
            "observations" => 0.0,
            "doublings" => libm::log2(n as f64).ceil(),
            word => panic!("{}: {word}?", about.kind),
        };
        let allowed = allowed(&about, &of);
        for values in [&quiet, &errors] {
            let begun = sequential(&policy(&text)).expect("a detector, as before");
            // A copy grows to its size by doubling.
            for (mut detector, allowed) in [(begun, allowed), (fresh.clone(), 2.0 * allowed)] {
                for batch in values.chunks(1000) {
                    detector.feed(batch, |_, _| {});
                    let bytes = detector.bytes();
                    assert!(bytes as f64 <= allowed, "{}: {bytes} bytes, where its text allows {allowed}", about.kind);
                }
            }
        }
        looked += 1;
    }
    assert!(looked >= 20, "{looked} detectors");
}

#[test]
fn every_signal_takes_what_its_text_says() {
    let each = 160.0;
    let (scrapes, versions) = (30_u64, 2.0);
    let mut least = Vec::new();
    for (about, text) in every() {
        // An hour would not fill.
        let text = if about.kind == "burn-rate" { text + "long = \"60s\"\nshort = \"10s\"\n" } else { text };
        let signals = policy(&text).signals;
        let mut detectors = Detectors::new(&signals, 2, Seed(1));
        let (mut telemetry, mut stream) = (Telemetry::default(), Stream::named(Seed(1), "limits", "bytes"));
        // A window of a minute and one scrape more.
        let in_window = signals[0].kind.window().map_or(1.0, |window| (window.0 / EVERY.0) as f64 + 1.0);
        let of = |word: &str| match word {
            "versions" => versions,
            "scrapes" => in_window,
            "rows" => each * in_window,
            "columns" => 3.0,
            "observations" => versions * each,
            "requests" => f64::from(1 << 14) + versions * each,
            "labels" => 100.0, // as `least` has it
            "replicas" | "groups" => 2.0,
            "doublings" => libm::log2(each * scrapes as f64).ceil(),
            word => panic!("{}: {word}?", about.kind),
        };
        // Of which the frame of a signal, as the text of `Detectors` says.
        let waiting = if text.contains("of = \"wrong\"") { 48.0 * of("requests") } else { 0.0 };
        let allowed = allowed(&about, &of) + waiting + 3000.0;
        for k in 0..scrapes * 4 {
            let rows: Vec<Row> = (0..each as usize).map(|_| Row::all(stream.uniform() as f32)).collect();
            telemetry.scrape([&rows, &rows]).iter().for_each(|input| detectors.take(input));
            for version in [OLD, NEW] {
                // A verdict or none: here only what is kept counts.
                let _ = detectors.look(0, version, OLD, telemetry.now());
            }
            let bytes = detectors.bytes() as f64;
            assert!(
                bytes <= allowed,
                "{}: {bytes} bytes after {k} scrapes, where its text allows {allowed}",
                about.kind
            );
            if k + 1 == scrapes * 4 {
                least.push((allowed / bytes, about.kind.clone()));
            }
        }
    }
    // A bound that nothing comes near would bound nothing.
    for (slack, kind) in &least {
        assert!(*slack < 12.0, "{kind}: its text allows {slack} times what it takes");
    }
}

#[test]
fn formulas_of_bytes_are_read_as_they_are_meant() {
    let of = |name: &str| if name == "a" { 3.0 } else { 5.0 };
    assert_eq!(evaluate("8 a", &of), 24.0);
    assert_eq!(evaluate("16 (a + b) + 400", &of), 528.0);
    assert_eq!(evaluate("16 (a + 1)", &of), 64.0);
}

#[test]
fn windows_do_not_grow_with_time() {
    let mut text = "name = \"all\"\n".to_owned();
    for about in kinds() {
        let mut table = table(&about.kind);
        if about.kind == "burn-rate" {
            table += "\nlong = \"60s\"\nshort = \"10s\""; // an hour would fill up all the time
        }
        text += &format!("[signals.{}]\n{table}\n", about.kind);
        if about.parameters.iter().any(|p| p.name == "reference") {
            let table = table.replace("\"missing\"", "\"out-of-range\""); // what is missing is so without a reference
            for how in ["first", "own"] {
                text += &format!("[signals.{}-{how}]\n{table}\nreference = {{ {how} = \"60s\" }}\n", about.kind);
            }
        }
    }
    let policy = policy(&text);
    let mut detectors = Detectors::new(&policy.signals, 2, Seed(1));
    let (mut telemetry, mut stream) = (Telemetry::default(), Stream::named(Seed(1), "limits", "growth"));
    let mut sizes = Vec::new();
    // After 60 scrapes all windows are full: of time, RDDM's 7 000 observations, and the 16 384 requests under way.
    for k in 1..=600 {
        let rows: Vec<Row> = (0..160)
            .map(|_| {
                let label = if stream.uniform() < 0.3 { 1.0 } else { 0.0 };
                Row { label, ..Row::all(stream.uniform() as f32) }
            })
            .collect();
        telemetry.scrape([&rows, &rows]).iter().for_each(|input| detectors.take(input));
        for (signal, config) in policy.signals.iter().enumerate() {
            // Windows keep nothing of a look but what is made at the first.
            if k % 60 == 0 || matches!(config.kind, SignalKind::Sequence(_)) {
                for version in [OLD, NEW] {
                    // A verdict or none: here only what is kept counts.
                    let _ = detectors.look(signal, version, OLD, telemetry.now());
                }
            }
        }
        if k == 60 || k == 600 {
            // All that it holds, in words: more numbers are more words.
            sizes.push(format!("{detectors:?}").len() as f64);
        }
    }
    assert!(sizes[0] > 1e5, "{sizes:?}: nothing is kept");
    assert!(sizes[1] < 1.1 * sizes[0], "{sizes:?} characters after 60 and 600 scrapes");
}

// ---------------------------------------------------------------------------------------------------------------------
// Units

/// A kind, what it is told, and a rule. `<x>`: in the metric's unit, in seconds here; `<~x>`: a tolerance in that unit, which
/// decides no verdict.
const UNITS: &[(&str, &str, &str)] = &[
    ("data-quality", "defect = \"out-of-range\"\nwindow = \"20s\"", "s.lower > 0.001"),
    ("outcome", "of = \"score\"\nwindow = \"20s\"", "s.value > <0.054>"),
    ("ks", "", "s.p < 1e-4"),
    ("ks", "method = \"exact\"", "s.location > <0.05>"),
    ("psi", "alpha = 0.001", "s.ratio > 1"),
    ("psi", "binning = \"evidently\"", "s.value > 0.4"),
    ("jensen-shannon", "", "s.distance > 0.3"),
    ("hellinger", "", "s.distance > 0.3"),
    ("total-variation", "", "s.distance > 0.3"),
    ("wasserstein", "", "s.distance > <0.004>"),
    ("wasserstein", "of = \"features\"\nscale = \"reference-sd\"", "s.distance > 0.8"),
    ("energy", "", "s.coefficient > 0.1"),
    ("energy", "of = \"features\"", "s.coefficient > 0.1"),
    ("chi-squared", "binning = \"quantile\"", "s.p < 1e-4"),
    ("mann-whitney", "", "s.shift > <0.004>"),
    ("mann-whitney", "tolerance = <~1e-7>", "s.lower > <0.002>"),
    ("welch", "", "s.difference > <0.004>"),
    ("cramer-von-mises", "", "s.p < 1e-4"),
    ("anderson-darling", "", "s.p < 1e-4"),
    ("kayenta", "root_tolerance = <~1e-7>", "s.high > 0"),
    ("mmd", "of = \"features\"", "s.p < 0.02"),
    ("mmd", "of = \"features\"\nstandardise = false\nbandwidth = <0.005>", "s.mmd2 > 0.05"),
    ("cusum", "mu0 = <0.05>\nsigma = <0.005>", "s.alarm > 0"),
    ("cusum", "mu0 = 0.0\nsigma = 1.0\nstandardise = { own = \"60s\" }", "s.alarm > 0"),
    ("ewma", "mu0 = <0.05>\nsigma = <0.005>", "s.alarm > 0"),
    ("shiryaev-roberts", "mu0 = <0.05>\nmu1 = <0.055>\nsigma = <0.005>", "s.alarm > 0"),
    ("page-hinkley", "delta = <0.0005>\nthreshold = <0.2>", "s.alarm > 0"),
    ("adwin", "range = <0.05>", "s.alarm > 0"),
    ("kswin", "alpha = 1e-6", "s.alarm > 0"),
    ("sprt-gaussian", "mu0 = <0.05>\nmu1 = <0.055>\nsigma = <0.005>", "s.alarm > 0"),
    ("msprt", "theta0 = <0.05>\nsigma = <0.005>\ntau = <0.005>", "s.alarm > 0"),
    ("e-detector", "range = [0.0, <0.2>]\nm = <0.05>", "s.alarm > 0"),
    ("frouros-cusum", "delta = <0.0005>\nlambda = <0.2>", "s.alarm > 0"),
    ("frouros-page-hinkley", "delta = <0.0005>\nlambda = <0.2>", "s.alarm > 0"),
    ("confidence-sequence", "range = [0.0, <0.2>]", "s.lower > <0.051>"),
];

/// The text with numbers of the metric's unit times `unit`.
fn scaled(text: &str, unit: f64) -> String {
    let mut out = String::new();
    for (i, part) in text.split(['<', '>']).enumerate() {
        match part.trim_start_matches('~').parse::<f64>() {
            Ok(number) if i % 2 == 1 => out += &format!("{:?}", number * unit),
            _ if i % 2 == 1 => out += &format!("<{part}>"),
            _ => out += part,
        }
    }
    out
}

/// For each look whether the rule fails, and how often the detector signalled. NEW moves from look 12 to look 22.
fn verdicts(kind: &str, told: &str, rule: &str, unit: f64, metric: f64) -> Vec<(bool, Option<f64>)> {
    let (told, compare) = (scaled(told, unit), rule.split_once(' ').expect("a comparison"));
    // `>` and `<` of the rule itself are no marks.
    let (op, right) = compare.1.split_at(1);
    let rule = format!("{} {op} {}", compare.0, scaled(right.trim(), unit));
    let given = |key: &str| told.lines().any(|line| line.starts_with(key));
    let windowed = table(kind).contains("window =") && !given("window");
    let of = if given("of =") || kind == "data-quality" { "" } else { "of = \"score\"" };
    let window = if windowed { "window = \"20s\"" } else { "" };
    let text = format!(
        "name = \"units\"\n[signals.s]\nkind = \"{kind}\"\n{of}\n{window}\n{told}\n[[rule]]\nwhen = \"{rule}\"\nthen = \"alert\"\n"
    );
    let policy = Arc::new(policy(&text));
    let alarm = policy.signals[0].kind.fields().iter().position(|f| *f == "alarm");
    let mut judge = Judge::new(policy, 2, Seed(5));
    let mut stream = Stream::named(Seed(2), "limits", "units");
    let mut telemetry = Telemetry::default();
    let mut found = Vec::new();
    for look in 0..30 {
        let moved = if (12..22).contains(&look) { 8.0 } else { 0.0 };
        let mut rows = |by: f64| -> Vec<Row> {
            let mut number = || {
                let milliseconds = 50.0 + by + 5.0 * normal::quantile(stream.uniform());
                (milliseconds / 1000.0 * metric) as f32
            };
            (0..100)
                .map(|_| {
                    let x = number();
                    Row { features: [x, number()], ..Row::all(x) }
                })
                .collect()
        };
        let (old, new) = (rows(0.0), rows(moved));
        telemetry.scrape([&old, &new]).iter().for_each(|input| judge.take(input));
        let events = judge.look(telemetry.now(), PAIR);
        let signalled = events.iter().find_map(|e| match e {
            Event::Measured(m) if m.version == NEW => m.values.get(alarm?).copied(),
            _ => None,
        });
        found.push((judge.verdict().is_some(), signalled));
    }
    found
}

#[test]
fn verdicts_do_not_depend_on_the_unit() {
    for (kind, told, rule) in UNITS {
        let seconds = verdicts(kind, told, rule, 1.0, 1.0);
        let fails = seconds.iter().filter(|(fails, _)| *fails).count();
        assert!(0 < fails && fails < seconds.len(), "{kind} ({rule}): fails at {fails} looks: nothing to compare");
        assert_eq!(verdicts(kind, told, rule, 1000.0, 1000.0), seconds, "{kind} ({rule}): milliseconds, then seconds");
        let marked = |text: &str| {
            text.contains('<') && text.split('<').skip(1).any(|t| t.starts_with(|c: char| c.is_ascii_digit()))
        };
        if marked(told) || marked(rule.split_at(rule.find(['<', '>']).unwrap_or(0) + 1).1) {
            let wrong = verdicts(kind, told, rule, 1.0, 1000.0);
            assert_ne!(wrong, seconds, "{kind} ({rule}): the parameters have a unit, but it does not matter");
        }
    }
}

#[test]
fn kinds_that_were_not_converted_have_no_unit_of_a_metric() {
    for about in kinds().iter().filter(|about| UNITS.iter().all(|u| u.0 != about.kind)) {
        let units = about.text.split("Units:").nth(1).unwrap_or_else(|| panic!("{}: nothing about units", about.kind));
        let units = units.split("\n*").next().unwrap_or_default();
        let free = ["none", "a share", "shares", "seconds", "multiples", "squared, 0 to 1", "a difference of shares"];
        assert!(free.iter().any(|word| units.contains(word)), "{}: {units}", about.kind);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Bad input

/// Fields that are NaN where they are not defined, as their documentation says.
fn may_be_unknown(kind: &str, field: &str) -> bool {
    let sequential = ["statistic", "threshold"];
    match kind {
        "mann-whitney" => ["lower", "upper"].contains(&field),
        "kayenta" => field == "effect",
        "calibration" => field == "p",
        "fairness" => field == "ratio",
        _ => sequential.contains(&field),
    }
}

/// What it is called, and the rows of both versions at each scrape.
type Bad = (&'static str, Vec<[Vec<Row>; 2]>);

fn bad() -> Vec<Bad> {
    let mut stream = Stream::named(Seed(4), "limits", "bad");
    let mut good = |n: usize| -> Vec<Row> {
        (0..n)
            .map(|_| Row { label: f32::from(u8::from(stream.uniform() < 0.5)), ..Row::all(stream.uniform() as f32) })
            .collect()
    };
    let same = |row: Row, n: usize| vec![[vec![row; n], vec![row; n]]; 6];
    let categories =
        |n: usize| -> Vec<Row> { (0..n).map(|i| Row { label: 1.0, ..Row::all((i % 3) as f32) }).collect() };
    let mixed = |far: f32| -> Vec<[Vec<Row>; 2]> {
        let side =
            |n: usize| (0..n).map(|i| Row::all(if i % 5 == 0 { far } else { i as f32 / 200.0 })).collect::<Vec<_>>();
        vec![[side(200), side(150)]; 6]
    };
    vec![
        ("nothing at all", vec![[vec![], vec![]]; 6]),
        ("an empty window beside good rows", (0..6).map(|_| [good(200), vec![]]).collect()),
        ("good rows beside an empty reference", (0..6).map(|_| [vec![], good(200)]).collect()),
        ("one observation", same(Row::all(0.25), 1)),
        ("one observation, once", vec![[vec![], vec![Row::all(0.25)]]]),
        ("fewer than the minimum", (0..3).map(|_| [good(5), good(5)]).collect()),
        ("all equal", same(Row::all(0.5), 200)),
        ("all 0", same(Row::all(0.0), 200)),
        ("all 1", same(Row::all(1.0), 200)),
        ("all missing", same(Row::all(f32::NAN), 200)),
        ("all missing after good ones", vec![[good(200), good(200)], [good(200), vec![Row::all(f32::NAN); 200]]]),
        ("all infinite", same(Row::all(f32::INFINITY), 200)),
        ("infinities among others", mixed(f32::INFINITY)),
        ("infinities below others", mixed(f32::NEG_INFINITY)),
        ("the largest numbers", mixed(f32::MAX)),
        ("the smallest numbers", mixed(f32::from_bits(1))),
        (
            "a category never seen",
            (0..6).map(|k| [categories(200), if k < 3 { categories(150) } else { vec![Row::all(7.0); 150] }]).collect(),
        ),
        ("missing values among others", mixed(f32::NAN)),
    ]
}

#[test]
fn good_input_gives_a_measurement_of_every_kind() {
    let mut stream = Stream::named(Seed(4), "limits", "good");
    let mut rows = || -> Vec<Row> {
        let label = |x: f64| if x < 0.5 { 1.0 } else { 0.0 };
        (0..200).map(|_| Row { label: label(stream.uniform()), ..Row::all(stream.uniform() as f32) }).collect()
    };
    let scrapes: Vec<[Vec<Row>; 2]> = (0..6).map(|_| [rows(), rows()]).collect();
    for (about, text) in every() {
        let policy = policy(&text);
        let (mut telemetry, mut detectors) = (Telemetry::default(), Detectors::new(&policy.signals, 2, Seed(1)));
        let mut last = None;
        for [old, new] in &scrapes {
            telemetry.scrape([old, new]).iter().for_each(|input| detectors.take(input));
            let beside = detectors.look_beside(0, OLD, NEW, telemetry.now());
            last = Some((detectors.look(0, NEW, OLD, telemetry.now()), beside));
        }
        // Both at the same time; but what compares with the baseline has it inside.
        let compares = policy.signals[0].kind.compares();
        let both = |beside: &Result<_, _>| if compares { *beside == Err(NoVerdict::Itself) } else { beside.is_ok() };
        assert!(matches!(&last, Some((Ok(_), beside)) if both(beside)), "{}: {last:?}", about.kind);
    }
}

#[test]
fn what_a_detector_cannot_follow_is_refused() {
    let said = |signal: &str| match policy_alone("policy.toml", &format!("name = \"p\"\n[signals.s]\n{signal}\n")) {
        Ok(_) => String::new(),
        Err(found) => found.iter().map(|d| d.message.clone()).collect::<Vec<_>>().join("; "),
    };
    for kind in BOUNDED.iter().filter(|kind| !["e-detector", "confidence-sequence"].contains(kind)) {
        let given = if *kind == "sprt-bernoulli" { "p0 = 0.1\np1 = 0.2" } else { "" };
        let of = |of: &str| said(&format!("kind = \"{kind}\"\nof = \"{of}\"\n{given}"));
        assert_eq!(of("wrong"), "");
        assert_eq!(of("latency"), "`latency` is not 0 or 1", "{kind}");
        let standardised = said(&format!("kind = \"{kind}\"\nof = \"wrong\"\nstandardise = \"baseline\"\n{given}"));
        assert!(standardised.contains("within bounds"), "{kind}: {standardised}");
    }
    // Without its bounds nothing but the nearer end is left of what is beyond 0 and 1.
    for (kind, given) in [("e-detector", "m = 0.05"), ("confidence-sequence", "")] {
        let of = |more: &str| said(&format!("kind = \"{kind}\"\n{given}\n{more}"));
        assert!(of("of = \"latency\"").contains("missing key `range`"), "{kind}");
        assert_eq!(of("of = \"latency\"\nrange = [0.0, 0.5]"), "", "{kind}");
        assert_eq!(of("of = \"failure\""), "", "{kind}");
    }
    let range = said("kind = \"e-detector\"\nof = \"latency\"\nm = 0.9\nrange = [0.0, 0.5]");
    assert!(range.contains("`m` must be within range"), "{range}");
}

#[test]
fn bad_input_gives_a_measurement_or_a_reason_and_never_passes_in_silence() {
    let bad = bad();
    // Beside the least policy of each kind, those that count otherwise.
    let mut texts = every();
    for (kind, from, to) in [
        ("chi-squared", "binning = \"quantile\"", "binning = \"categories\""),
        ("psi", "[signals.s]\n", "[signals.s]\nbinning = \"categories\"\n"),
        ("psi", "[signals.s]\n", "[signals.s]\nbinning = \"evidently\"\n"),
        ("jensen-shannon", "[signals.s]\n", "[signals.s]\nbinning = \"categories\"\n"),
        ("data-quality", "\"missing\"", "\"unseen\""),
        ("data-quality", "\"missing\"", "\"out-of-range\""),
        ("data-quality", "\"missing\"", "\"schema\""),
    ] {
        let (about, text) = texts.iter().find(|(about, _)| about.kind == kind).expect("a kind").clone();
        let other = text.replacen(from, to, 1);
        assert_ne!(other, text, "{kind}");
        texts.push((about, other));
    }
    for (about, text) in texts {
        let kind = &about.kind;
        let signals = policy(&text).signals;
        let fields = signals[0].kind.fields();
        // One rule a field: none can ever hold, all are told to fail where nothing was measured.
        let rules = fields.iter().map(|field| {
            format!("[[rule]]\nname = \"{field}\"\nwhen = \"s.{field} < -1e300\"\nthen = \"rollback\"\non_missing = \"fail\"\n")
        });
        let strict = Arc::new(policy(&(text.clone() + &rules.collect::<String>())));
        let standardised = format!("{text}standardise = {{ own = \"20s\" }}\n");
        let standardises = about.parameters.iter().any(|p| p.name == "standardise") && kind != "mmd";
        let texts = if standardises && !BOUNDED.contains(&kind.as_str()) {
            vec![signals.clone(), policy(&standardised).signals]
        } else {
            vec![signals.clone()]
        };
        for (what, scrapes) in &bad {
            for signals in &texts {
                let (mut telemetry, mut detectors) = (Telemetry::default(), Detectors::new(signals, 2, Seed(1)));
                for [old, new] in scrapes {
                    telemetry.scrape([old, new]).iter().for_each(|input| detectors.take(input));
                    for version in [NEW, OLD] {
                        match detectors.look(0, version, OLD, telemetry.now()) {
                            Err(why) => assert!(!why.to_string().is_empty(), "{kind}, {what}: no reason"),
                            Ok(m) => {
                                assert_eq!(m.values.len(), fields.len(), "{kind}, {what}");
                                for (field, value) in fields.iter().zip(&m.values) {
                                    let fine = !value.is_nan() || may_be_unknown(kind, field);
                                    assert!(fine, "{kind}, {what}, {version:?}: {field} is {value} in {:?}", m.values);
                                }
                            }
                        }
                    }
                }
            }
            let (mut telemetry, mut judge) = (Telemetry::default(), Judge::new(Arc::clone(&strict), 2, Seed(1)));
            for (k, [old, new]) in scrapes.iter().enumerate() {
                telemetry.scrape([old, new]).iter().for_each(|input| judge.take(input));
                let events = judge.look(telemetry.now(), PAIR);
                let measured = events.iter().find_map(|e| match e {
                    Event::Measured(m) if m.version == NEW => Some(&m.values),
                    _ => None,
                });
                let failing = judge.verdict().map(|(_, rules)| rules).unwrap_or_default();
                for (i, field) in fields.iter().enumerate() {
                    let known = measured.is_some_and(|values| !values[i].is_nan());
                    let fails = failing.iter().any(|rule| rule.index() == i);
                    assert_eq!(fails, !known, "{kind}, {what}, scrape {k}: the rule on {field}");
                }
            }
            judge.look_in_vain(telemetry.now());
            let failing = judge.verdict().map_or(0, |(_, rules)| rules.len());
            assert_eq!(failing, fields.len(), "{kind}, {what}: a scrape that brought nothing");
        }
    }
}

/// What says nothing of a change is no quiet detector: nothing but missing or infinite values, and fewer than it needs.
#[test]
fn a_detector_that_cannot_tell_gives_no_verdict() {
    let look = |text: &str, batches: &[Vec<Row>]| {
        let (mut telemetry, policy) = (Telemetry::default(), policy(text));
        let mut detectors = Detectors::new(&policy.signals, 2, Seed(1));
        let mut last = Err(NoVerdict::Empty);
        for rows in batches {
            telemetry.scrape([rows, rows]).iter().for_each(|input| detectors.take(input));
            last = detectors.look(0, NEW, OLD, telemetry.now());
        }
        last
    };
    let mut stream = Stream::named(Seed(7), "limits", "no verdict");
    let mut good = |n: usize| -> Vec<Row> {
        let label = |x: f64| f32::from(u8::from(x < 0.3));
        (0..n).map(|_| Row { label: label(stream.uniform()), ..Row::all(stream.uniform() as f32) }).collect()
    };
    let good: Vec<Vec<Row>> = (0..40).map(|_| good(200)).collect();
    let of_scores = |text: &str| text.contains("of = \"score\"");
    let (mut averages, mut ranks) = (0, 0);
    for (_, text) in every().into_iter().filter(|(_, text)| sequential(&policy(text)).is_some() && of_scores(text)) {
        let after = |x: f32| {
            let rows = vec![Row::all(x); 200];
            look(&text, &[&good[..], &[rows.clone(), rows]].concat())
        };
        assert_eq!(after(f32::NAN), Err(NoVerdict::AllMissing), "{text}");
        match after(f32::INFINITY) {
            Err(why) => {
                assert_eq!(why, NoVerdict::NotFinite, "{text}");
                averages += 1;
            }
            // Evidence beyond any limit, or a rank above all others.
            Ok(_) => ranks += 1,
        }
        assert!(look(&text, &good).is_ok(), "{text}");
    }
    assert!(averages >= 5 && ranks >= 4, "{averages} leave infinities out, {ranks} take them");
    // Label by label: an answer that is no number is an error, not nothing.
    let wrong = "name = \"n\"\n[signals.s]\nkind = \"hddm-a\"\nof = \"wrong\"\n";
    let broken: Vec<Row> = vec![Row { label: 1.0, ..Row::all(f32::NAN) }; 200];
    let found = look(wrong, &[&good[..], &[broken]].concat()).expect("a measurement");
    assert!(found.values[0] > 0.0, "{found:?}");
    // Good labels of older answers come beside them for a while: what is left out is said all the same.
    let broken = Row { label: 1.0, ..Row::all(f32::NAN) };
    let mixed: Vec<Row> = good[0][..150].iter().copied().chain(vec![broken; 50]).collect();
    for told in [
        "kind = \"adwin\"",
        "kind = \"page-hinkley\"\nthreshold = 1e9",
        "kind = \"ewma\"\nmu0 = 0.3\nsigma = 100.0",
        "kind = \"msprt\"\ntheta0 = 0.3\nsigma = 100.0\ntau = 1.0",
        "kind = \"frouros-cusum\"\nlambda = 1e9",
    ] {
        let text = format!("name = \"n\"\n[signals.s]\nof = \"absolute-error\"\n{told}\n");
        let found = look(&text, &[&good[..], std::slice::from_ref(&mixed)].concat());
        assert_eq!(found, Err(NoVerdict::NotFinite), "{text}");
    }
    let needs = [
        ("kswin", "of = \"score\"\nwindow_size = 5000\nstat_size = 100", 5000),
        ("adwin", "of = \"score\"\nclock = 32\ngrace_period = 5000", 5024),
        ("adwin", "of = \"score\"\nclock = 32\nmin_window_length = 2500", 5024),
        ("page-hinkley", "of = \"score\"\nmin_instances = 5000", 5000),
        ("ddm", "of = \"wrong\"\nwarm_start = 5000", 5001),
        ("fhddm", "of = \"wrong\"\nsliding_window_size = 5000", 5001),
        ("ecdd", "of = \"wrong\"\nmin_num_instances = 5000", 5000),
        ("stepd", "of = \"wrong\"\nmin_num_instances = 2500", 5000),
        ("rddm", "of = \"wrong\"\nmin_num_instances = 5000", 5000),
        ("frouros-cusum", "of = \"score\"\nmin_num_instances = 5000", 5000),
        ("frouros-page-hinkley", "of = \"score\"\nmin_num_instances = 5000", 5000),
    ];
    for (kind, told, need) in needs {
        let text = format!("name = \"n\"\n[signals.s]\nkind = \"{kind}\"\n{told}\n");
        assert_eq!(look(&text, &good[..10]), Err(NoVerdict::TooFew { got: 2000, need }), "{kind}");
        assert!(look(&text, &good).is_ok(), "{kind}: 8000 are enough");
    }
    // EDDM counts errors.
    let eddm = "name = \"n\"\n[signals.s]\nkind = \"eddm\"\nof = \"wrong\"\nwarm_start = 2000\n";
    let few = look(eddm, &good[..10]);
    assert!(matches!(few, Err(NoVerdict::TooFew { got: 700..1300, need: 2001 })), "{few:?}");
    assert!(look(eddm, &good).is_ok());
}

/// The example that `explain` shows of a detector is a rule that fires when there is something to find, and not before.
#[test]
fn examples_of_detectors_find_a_change() {
    let (mut tried, mut wrong) = (0, Vec::new());
    for about in kinds() {
        let example = about.example.clone();
        // ECDD's run lengths are a thousand labels at most, whatever it is told: its example only alerts, all the time.
        if !example.contains(".alarm > 0") || about.kind == "ecdd" {
            continue;
        }
        tried += 1;
        let policy = Arc::new(policy(&format!("name = \"example\"\n{example}")));
        for seed in 1..=8 {
            let (mut telemetry, mut judge) = (Telemetry::default(), Judge::new(Arc::clone(&policy), 2, Seed(seed)));
            let mut stream = Stream::named(Seed(seed), "limits", "examples");
            let mut rows = |bad: bool| -> Vec<Row> {
                let (level, wrong) = if bad { (0.8, 0.6) } else { (0.5, 0.15) };
                (0..400)
                    .map(|_| {
                        let score = level + 0.3 * normal::quantile(stream.uniform());
                        let label = (score >= 0.5) != (stream.uniform() < wrong);
                        Row { label: f32::from(u8::from(label)), ..Row::all(score as f32) }
                    })
                    .collect()
            };
            let (mut fired, mut before) = (false, 0);
            for k in 0..60 {
                let (old, new) = (rows(false), rows(k >= 40));
                telemetry.slow = k >= 40;
                telemetry.scrape([&old, &new]).iter().for_each(|input| judge.take(input));
                let events = judge.look(telemetry.now(), PAIR);
                let fires = events.iter().any(|event| matches!(event, Event::RuleFired(_)));
                fired |= k >= 40 && fires;
                before += u32::from(k < 40 && fires);
            }
            if !fired || before > 0 {
                wrong.push(format!("seed {seed}: {before} alarms before the change, found {fired}:\n{example}"));
            }
        }
    }
    assert!(tried >= 18, "{tried}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
