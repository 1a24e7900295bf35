//! What signals over windows keep to, on detectors made from the text of a policy: versions are compared at the same time, nothing
//! that cannot be judged passes for healthy, and levels hold for all looks and columns that they are said to be about.

use rollcage::control::config::PolicyConfig;
use rollcage::detect::channel::Channel;
use rollcage::detect::config::{Disparity, Fairness, Level, SignalConfig, SignalKind};
use rollcage::detect::intervals::{IntervalConfig, Method};
use rollcage::detect::looks::Looks;
use rollcage::detect::sequences::{Follower, SequenceConfig};
use rollcage::detect::verdict::NoVerdict;
use rollcage::detect::{Detectors, Measurement};
use rollcage::event::{Capacity, GaugeRow, Input, Labels, Metrics, MetricsRow, Observations, ReplicaState};
use rollcage::id::{ReplicaId, SegmentId, SourceId, VersionId};
use rollcage::plan::{Vetting, load, policy_alone};
use rollcage::rng::{Seed, Stream};
use rollcage::stats::histogram::Histogram;
use rollcage::time::{SimTime, Span};
use std::path::Path;

const OLD: VersionId = VersionId(0);
const NEW: VersionId = VersionId(1);

fn policy(text: &str) -> PolicyConfig {
    policy_alone("policy.toml", &format!("name = \"windows\"\n{text}")).unwrap_or_else(|found| {
        panic!("{:?}\n{text}", found.iter().map(|d| &d.message).collect::<Vec<_>>());
    })
}

/// What `check` says of a policy.
fn mistakes(text: &str) -> Vec<String> {
    let found = policy_alone("policy.toml", &format!("name = \"windows\"\n{text}")).err().unwrap_or_default();
    found.into_iter().map(|d| d.message).collect()
}

/// Detectors with one signal `s`, and a clock.
struct Lab {
    detectors: Detectors,
    kind: SignalKind,
    now: SimTime,
    requests: u64,
}

/// Rows of one version in one scrape: scores, features by column.
type Rows<'a> = (VersionId, &'a [f32], &'a [Vec<f32>]);

impl Lab {
    fn new(signal: &str, width: usize) -> Self {
        let policy = policy(&format!("[signals.s]\n{signal}"));
        let detectors = Detectors::new(&policy.signals, width, Seed(1));
        Self { detectors, kind: policy.signals[0].kind.clone(), now: SimTime::ZERO, requests: 0 }
    }

    fn field(&self, name: &str, of: &Measurement) -> f64 {
        of.values[self.kind.fields().iter().position(|f| *f == name).expect("a field")]
    }

    /// Rows that were answered in the ten seconds to the next scrape, and their labels at once.
    fn scrape(&mut self, sides: &[Rows<'_>], label: impl Fn(f32) -> f32) {
        let begin = self.now;
        self.now = self.now + Span::secs(10);
        let (scraped_at, source) = (self.now, SourceId(0));
        for &(version, scores, features) in sides {
            let n = scores.len() as u64;
            let ordinals: Vec<u64> = (self.requests..self.requests + n).collect();
            self.requests += n;
            let ended = (0..n).map(|i| begin + Span(Span::secs(10).0 * (i + 1) / n)).collect();
            self.detectors.take(&Input::Observations(Observations {
                scraped_at,
                source,
                version,
                ordinals: ordinals.clone(),
                ended,
                latency: vec![Span::millis(10); n as usize],
                segments: vec![SegmentId(0); n as usize],
                scores: scores.to_vec(),
                features: features.to_vec(),
                unanswered: Vec::new(),
            }));
            let labels = scores.iter().map(|&score| label(score)).collect();
            self.detectors.take(&Input::Labels(Labels { scraped_at, source, ordinals, labels }));
        }
    }

    fn look(&mut self) -> Result<Measurement, NoVerdict> {
        self.detectors.look(0, NEW, OLD, self.now)
    }

    fn beside(&mut self) -> Result<Measurement, NoVerdict> {
        self.detectors.look_beside(0, OLD, NEW, self.now)
    }
}

fn uniform(n: usize, stream: &mut Stream) -> Vec<f32> {
    (0..n).map(|_| stream.uniform() as f32).collect()
}

fn stream(name: &str) -> Stream {
    Stream::named(Seed(20_261_124), "windows", name)
}

// ---------------------------------------------------------------------------------------------------------------------
// At the same time

/// The same model twice. While both serve, the world changes for both: nobody is to blame. When the old version serves no longer,
/// what happens then is no difference between the two.
#[test]
fn labels_of_the_baseline_are_those_of_the_same_time() {
    for kind in ["accuracy\"\nconfidence = 0.99", "f1\"\nconfidence = 0.99", "auc\"", "calibration\""] {
        let mut lab = Lab::new(&format!("kind = \"{kind}\nwindow = {{ labels = 400 }}\nmin = 50\n"), 0);
        let (value, mut compared, mut stream) = (lab.kind.fields()[0], 0, stream("same time"));
        for k in 0..60 {
            let (old, new) = if k < 40 { (180, 20) } else { (0, 200) };
            let scores = [uniform(old, &mut stream), uniform(new, &mut stream)];
            // The world changes for a while at look 20, and for good at look 45.
            let wrong = (20..25).contains(&k) || k >= 45;
            let sides: Vec<Rows<'_>> = [OLD, NEW]
                .into_iter()
                .zip(&scores)
                .filter(|(_, s)| !s.is_empty())
                .map(|(v, s)| (v, &s[..], &[][..]))
                .collect();
            lab.scrape(&sides, |score| f32::from(u8::from((score >= 0.5) != wrong)));
            let (new, old) = (lab.look(), lab.beside());
            if k >= 45 {
                assert!(new.is_ok(), "{kind} {k}: {new:?}");
                assert_eq!(old, Err(NoVerdict::Alone), "{kind}, look {k}");
            } else if let (Ok(new), Ok(old)) = (new, old) {
                let (low, high) = (|m| lab.field("lower", m), |m| lab.field("upper", m));
                let apart = high(&new) < low(&old) || low(&new) > high(&old);
                assert!(
                    !apart || lab.field(value, &new) == lab.field(value, &old),
                    "{kind}, look {k}: {new:?} {old:?}"
                );
                compared += 1;
            }
        }
        assert!(compared >= 30, "{kind}: compared at {compared} looks");
    }
}

/// What a long window of one signal keeps is no part of the short window of another.
#[test]
fn processor_time_is_that_of_the_own_window() {
    let text = |window: &str| format!("kind = \"saturation\"\nof = \"cpu\"\nwindow = \"{window}\"\n");
    let policy = policy(&format!("[signals.s]\n{}[signals.long]\n{}", text("10s"), text("600s")));
    let mut detectors = Detectors::new(&policy.signals, 0, Seed(1));
    let mut cpu = Span::ZERO;
    for k in 1..=30 {
        // Idle for 29 scrapes, then all of the time.
        cpu = Span(cpu.0 + if k == 30 { Span::secs(10).0 } else { 0 });
        let at = SimTime::ZERO + Span::secs(10 * k);
        let (version, replica, segment) = (NEW, ReplicaId(1), SegmentId(0));
        let (state, queued, in_flight, memory) = (ReplicaState::Ready, 0, 1, 1);
        let gauges = vec![GaugeRow { version, replica, state, queued, in_flight, cpu, memory }];
        let (ended, latency) = ([k, 0, 0, 0, 0, 0], Histogram::default());
        let rows = vec![MetricsRow { version, segment, replica: Some(replica), ended, latency }];
        let capacity = Capacity { concurrency: 1, queue: 1, memory: None };
        detectors.take(&Input::Metrics(Metrics { scraped_at: at, rows, gauges, capacity }));
    }
    let at = SimTime::ZERO + Span::secs(300);
    let mut share = |name: &str| {
        let signal = policy.signals.iter().position(|s| s.name == name).expect("a signal");
        detectors.look(signal, NEW, OLD, at).expect("a measurement").values[0]
    };
    assert_eq!(share("s"), 1.0);
    assert!((share("long") - 1.0 / 29.0).abs() < 1e-9, "{}", share("long"));
}

#[test]
fn a_reference_shorter_than_a_scrape_is_its_first_scrape() {
    for reference in ["own", "first"] {
        let signal =
            format!("kind = \"ks\"\nof = \"score\"\nwindow = \"10s\"\nreference = {{ {reference} = \"3s\" }}\n");
        let (mut lab, mut stream) = (Lab::new(&signal, 0), stream("short"));
        let scores: Vec<Vec<f32>> = (0..3).map(|k| uniform(60 + k, &mut stream)).collect();
        for scores in &scores {
            lab.scrape(&[(NEW, scores, &[])], |x| x);
        }
        let found = lab.look().expect("a measurement");
        assert_eq!((lab.field("n", &found), lab.field("m", &found)), (60.0, 62.0), "{reference}");
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Nothing passes in silence

#[test]
fn rows_of_another_schema_are_counted_whatever_is_looked_at() {
    for of in ["score", "features", "all"] {
        let signal =
            format!("kind = \"data-quality\"\ndefect = \"schema\"\nof = \"{of}\"\nwindow = \"10s\"\nmin = 100\n");
        for (fine, foreign) in [(200, 0), (20, 180), (0, 200)] {
            let (mut lab, scores) = (Lab::new(&signal, 2), vec![0.5; 200]);
            let columns = |n: usize, width: usize| vec![vec![0.5; n]; width];
            let mut sides: Vec<Rows<'_>> = Vec::new();
            let (good, bad) = (columns(fine, 2), columns(foreign, 3));
            sides.extend((fine > 0).then_some((NEW, &scores[..fine], &good[..])));
            sides.extend((foreign > 0).then_some((NEW, &scores[..foreign], &bad[..])));
            lab.scrape(&sides, |x| x);
            let found = lab.look().unwrap_or_else(|why| panic!("{of}, {foreign} foreign rows: {why}"));
            assert_eq!(lab.field("value", &found), foreign as f64 / 200.0, "{of}");
            assert_eq!(lab.field("n", &found), 200.0, "{of}");
        }
        let mut lab = Lab::new(&signal, 2);
        lab.scrape(&[(NEW, &[0.5; 99], &vec![vec![0.5; 99]; 2])], |x| x);
        assert_eq!(lab.look(), Err(NoVerdict::TooFew { got: 99, need: 100 }), "{of}");
        lab.scrape(
            &[(NEW, &[0.5; 100], &vec![vec![0.5; 100]; 2]), (OLD, &[0.5; 100], &vec![vec![0.5; 100]; 2])],
            |x| x,
        );
        assert!(lab.look().is_ok() && lab.beside().is_ok(), "{of}: it can be set beside the baseline's");
    }
    // The scores of such rows are scores all the same.
    let signals = "[signals.s]\nkind = \"ks\"\nof = \"score\"\nwindow = \"10s\"\n[signals.x]\nkind = \"ks\"\nof = \"features\"\nwindow = \"10s\"\n";
    let mut lab = Lab::new("kind = \"coin\"\nshare = 0.5\n", 2);
    lab.detectors = Detectors::new(&policy(signals).signals, 2, Seed(1));
    let (scores, mut random) = ([0.1, 0.2, 0.3, 0.4].repeat(50), stream("foreign"));
    let good: Vec<Vec<f32>> = (0..2).map(|_| uniform(200, &mut random)).collect();
    lab.scrape(&[(OLD, &scores, &good), (NEW, &scores, &good[..1])], |x| x);
    assert!(lab.detectors.look(0, NEW, OLD, lab.now).is_ok());
    assert_eq!(lab.detectors.look(1, NEW, OLD, lab.now), Err(NoVerdict::Empty));
}

/// Their scores are there, and their features are not missing but unknown: of none of them is said that a value is.
#[test]
fn rows_of_another_schema_have_no_missing_values() {
    let signal = |of: &str| {
        format!("kind = \"data-quality\"\ndefect = \"missing\"\nof = \"{of}\"\nwindow = \"10s\"\nmin = 100\n")
    };
    for of in ["features", "all"] {
        let (mut lab, mut good) = (Lab::new(&signal(of), 2), vec![vec![0.5; 200]; 2]);
        good[1][..30].fill(f32::NAN);
        lab.scrape(&[(NEW, &[0.5; 200], &good), (NEW, &[0.5; 300], &vec![vec![0.5; 300]; 3])], |x| x);
        let found = lab.look().unwrap_or_else(|why| panic!("{of}: {why}"));
        assert_eq!((lab.field("value", &found), found.column), (0.15, Some(1)), "{of}");
        assert_eq!(lab.field("n", &found), 200.0, "{of}");
        let mut lab = Lab::new(&signal(of), 2);
        let few = vec![vec![0.5; 20]; 2];
        lab.scrape(&[(NEW, &[0.5; 20], &few), (NEW, &[0.5; 300], &vec![vec![0.5; 300]; 3])], |x| x);
        let why = lab.look().expect_err("20 rows have such features");
        assert!(
            matches!(why, NoVerdict::Column { place: 0, .. } | NoVerdict::TooFew { got: 20, need: 100 }),
            "{of}: {why:?}"
        );
    }
}

/// Sequential signals leave them out as windows do.
#[test]
fn features_of_another_schema_are_not_followed() {
    let of = SequenceConfig {
        of: Channel::Feature(0),
        by: Follower::Interval(IntervalConfig {
            method: Method::EmpiricalBernstein { low: 0.0, high: 1.0 },
            alpha: 0.05,
        }),
        standardise: None,
    };
    let signal = SignalConfig { name: "s".to_owned(), kind: SignalKind::Sequence(of), columns: Vec::new() };
    let mut lab = Lab::new("kind = \"coin\"\nshare = 0.5\n", 2);
    lab.kind = signal.kind.clone();
    lab.detectors = Detectors::new(&[signal], 2, Seed(1));
    lab.scrape(&[(NEW, &[0.5; 100], &vec![vec![0.25; 100]; 2]), (NEW, &[0.5; 50], &vec![vec![1.0; 50]; 3])], |x| x);
    let found = lab.look().expect("a measurement");
    assert_eq!((lab.field("n", &found), lab.field("value", &found)), (100.0, 0.25));
}

/// Two columns of which both are surely different: the one that differs more is told, whichever comes first.
#[test]
fn of_columns_without_a_p_value_left_the_farthest_is_told() {
    let mut random = stream("ties");
    let old: Vec<Vec<f32>> = (0..3).map(|_| uniform(5000, &mut random)).collect();
    let moved = |by: f32| old[0].iter().map(|x| x + by).collect::<Vec<f32>>();
    for kind in
        ["ks\"", "psi\"", "welch\"", "cramer-von-mises\"", "mann-whitney\"", "chi-squared\"\nbinning = \"quantile\""]
    {
        let signal = format!("kind = \"{kind}\nof = \"features\"\nwindow = \"10s\"\n");
        for (new, worst) in [([moved(0.7), moved(0.9), moved(0.8)], 1), ([moved(0.9), moved(0.7), moved(0.8)], 0)] {
            let mut lab = Lab::new(&signal, 3);
            let scores = vec![0.5; 5000];
            lab.scrape(
                &[(OLD, &scores, &[old[0].clone(), old[0].clone(), old[0].clone()]), (NEW, &scores, &new)],
                |x| x,
            );
            let found = lab.look().unwrap_or_else(|why| panic!("{kind}: {why}"));
            assert_eq!(found.column, Some(worst), "{kind}: {found:?}");
        }
    }
}

/// Of a column that is one value nearly always, another value is a change, whichever side it is on.
#[test]
fn what_is_below_all_of_a_constant_is_a_change() {
    let mostly = |usual: f32, other: f32, n: usize| {
        let mut values = vec![usual; 200];
        values[..n].fill(other);
        values
    };
    let kinds = [
        ("psi\"", "ratio", 1.0),
        ("psi\"\nempty = 0.0001", "ratio", 1.0),
        ("jensen-shannon\"", "distance", 0.05),
        ("hellinger\"", "distance", 0.05),
        ("total-variation\"", "distance", 0.05),
        ("chi-squared\"\nbinning = \"quantile\"", "p", 0.0),
    ];
    for (kind, field, least) in kinds {
        let moved = |old: &[f32], new: &[f32]| {
            let mut lab = Lab::new(&format!("kind = \"{kind}\nof = \"score\"\nwindow = \"10s\"\n"), 0);
            lab.scrape(&[(OLD, old, &[]), (NEW, new, &[])], |x| x);
            let found = lab.look().unwrap_or_else(|why| panic!("{kind}: {why}"));
            let value = lab.field(field, &found);
            if field == "p" { value < 0.01 } else { value > least }
        };
        for far in [-995.0, 1005.0] {
            assert!(moved(&mostly(5.0, 5.0, 0), &mostly(5.0, far, 200)), "{kind}: all at {far}");
            assert!(moved(&mostly(5.0, 5.0, 0), &mostly(5.0, far, 40)), "{kind}: a fifth at {far}");
        }
        assert!(moved(&mostly(0.0, 1.0, 10), &mostly(0.0, -1.0, 40)), "{kind}: a sentinel below zeros");
        if field != "p" {
            assert!(!moved(&mostly(5.0, 5.0, 0), &mostly(5.0, 5.0, 0)), "{kind}: nothing changed");
        }
    }
    // The same from a fixed reference, whose bins are made once.
    let signal = "kind = \"psi\"\nof = \"score\"\nwindow = \"10s\"\nreference = { first = \"10s\" }\n";
    let mut lab = Lab::new(signal, 0);
    lab.scrape(&[(OLD, &[5.0; 200], &[])], |x| x);
    lab.scrape(&[(NEW, &[-995.0; 200], &[])], |x| x);
    let found = lab.look().expect("a measurement");
    assert!(lab.field("ratio", &found) > 1.0);
    // And what cannot be binned says so.
    let mut lab = Lab::new("kind = \"psi\"\nof = \"score\"\nwindow = \"10s\"\n", 0);
    lab.scrape(&[(OLD, &[f32::INFINITY; 200], &[]), (NEW, &[1.0; 200], &[])], |x| x);
    assert_eq!(lab.look(), Err(NoVerdict::NotFinite));
}

/// Who gets an answer that is no number gets nothing, whatever the others of the group get.
#[test]
fn an_answer_that_is_no_number_grants_nothing() {
    let groups = |segments: u16| (0..segments).map(Some).collect::<Vec<_>>();
    let fairness = Fairness {
        disparity: Disparity::DemographicParity,
        groups: groups(2),
        names: vec!["a".to_owned(), "b".to_owned()],
        labels: 0,
        window: Span::secs(10),
        min: 30,
        threshold: 0.5,
        level: Level { confidence: 0.95, looks: Looks::Each },
    };
    let signal = SignalConfig { name: "s".to_owned(), kind: SignalKind::Fairness(fairness), columns: Vec::new() };
    let batch = |missing: usize| {
        let mut scores = [vec![1.0; 60], vec![0.0; 40]].concat();
        scores[60 - missing..60].fill(f32::NAN);
        let segments = (0..100).map(|i| SegmentId(u16::from(i >= 60))).collect();
        Input::Observations(Observations {
            scraped_at: SimTime::ZERO + Span::secs(10),
            source: SourceId(0),
            version: NEW,
            ordinals: (0..100).collect(),
            ended: vec![SimTime::ZERO + Span::secs(5); 100],
            latency: vec![Span::millis(10); 100],
            segments,
            scores,
            features: Vec::new(),
            unanswered: Vec::new(),
        })
    };
    for (missing, told) in [(0, Ok((1.0, 40.0))), (30, Ok((0.5, 40.0))), (60, Ok((0.0, 40.0)))] {
        let mut detectors = Detectors::new(std::slice::from_ref(&signal), 0, Seed(1));
        detectors.take(&batch(missing));
        let found = detectors.look(0, NEW, OLD, SimTime::ZERO + Span::secs(10));
        assert_eq!(found.map(|m| (m.values[0], m.values[4])), told, "{missing} scores missing");
    }
}

/// A replica that was started anew counts from zero again: that is no traffic, and no negative one.
#[test]
fn counters_that_fall_give_no_verdict() {
    for (kind, window) in [("error-rate\"", 20), ("latency-quantile\"\nquantile = 0.99", 20)] {
        let policy = policy(&format!("[signals.s]\nkind = \"{kind}\nwindow = \"{window}s\"\n"));
        let mut detectors = Detectors::new(&policy.signals, 0, Seed(1));
        for (k, answered) in [500_u64, 900, 300, 700, 800].into_iter().enumerate() {
            let at = SimTime::ZERO + Span::secs(20 * (k as u64 + 1));
            let mut latency = Histogram::default();
            (0..answered).for_each(|i| latency.record(1_000_000 + i));
            let ended = [answered, 0, 0, 0, 0, 0];
            let rows =
                vec![MetricsRow { version: NEW, segment: SegmentId(0), replica: Some(ReplicaId(1)), ended, latency }];
            let capacity = Capacity { concurrency: 1, queue: 1, memory: None };
            detectors.take(&Input::Metrics(Metrics { scraped_at: at, rows, gauges: Vec::new(), capacity }));
            let found = detectors.look(0, NEW, OLD, at);
            match k {
                2 => assert_eq!(found, Err(NoVerdict::Undefined("a counter is less than it was")), "{kind}"),
                _ => assert!(found.is_ok(), "{kind}, scrape {k}: {found:?}"),
            }
        }
    }
}

/// A column that the reference has and the window has not hides behind no other; one that nobody has is left out.
#[test]
fn a_column_that_cannot_be_judged_does_not_disappear() {
    let missing = |n: usize| vec![f32::NAN; n];
    let kinds = [
        "ks\"",
        "psi\"",
        "psi\"\nbinning = \"evidently\"",
        "cramer-von-mises\"",
        "anderson-darling\"",
        "mann-whitney\"",
        "kayenta\"",
        "welch\"",
        "wasserstein\"",
        "energy\"",
        "jensen-shannon\"",
        "hellinger\"",
        "total-variation\"",
        "chi-squared\"\nbinning = \"quantile\"",
        "data-quality\"\ndefect = \"out-of-range\"",
    ];
    for kind in kinds {
        let signal = format!("kind = \"{kind}\nof = \"features\"\nwindow = \"10s\"\nmin = 50\n");
        let mut random = stream("columns");
        let look = |old: [Vec<f32>; 3], new: [Vec<f32>; 3]| {
            let mut lab = Lab::new(&signal, 3);
            lab.scrape(&[(OLD, &[0.5; 100], &old), (NEW, &[0.5; 100], &new)], |x| x);
            lab.look()
        };
        let mut good = || uniform(100, &mut random);
        let (a, b, c) = ([good(), good(), good()], [good(), good(), missing(100)], [good(), good(), missing(100)]);
        let why = NoVerdict::Column { place: 2, why: "all values missing" };
        assert_eq!(look(a.clone(), b.clone()), Err(why), "{kind}: a dead sensor");
        assert!(look(b.clone(), c).is_ok(), "{kind}: nobody has that column");
        let mut few = a.clone();
        few[1][40..].fill(f32::NAN);
        let why = NoVerdict::Column { place: 1, why: "too few observations" };
        assert_eq!(look(a, few), Err(why), "{kind}: 40 of 50 values");
    }
    let signal = "kind = \"mmd\"\nof = \"features\"\nwindow = \"10s\"\nmin = 50\n";
    let (mut lab, mut random) = (Lab::new(signal, 2), stream("joint"));
    let old: Vec<Vec<f32>> = (0..2).map(|_| uniform(100, &mut random)).collect();
    let mut new = old.clone();
    new[0][..30].fill(f32::NAN);
    new[1][70..].fill(f32::NAN);
    lab.scrape(&[(OLD, &[0.5; 100], &old), (NEW, &[0.5; 100], &new)], |x| x);
    assert_eq!(lab.look(), Err(NoVerdict::TooFew { got: 40, need: 50 }));
}

#[test]
fn infinite_and_too_many_values_of_a_reference_are_told() {
    let signal = |defect: &str| {
        format!("kind = \"data-quality\"\ndefect = \"{defect}\"\nof = \"score\"\nwindow = \"10s\"\nmin = 50\n")
    };
    let (mut lab, mut random) = (Lab::new(&signal("out-of-range"), 0), stream("infinite"));
    let mut old = uniform(100, &mut random);
    (old[0], old[1]) = (f32::INFINITY, f32::NEG_INFINITY);
    let new: Vec<f32> = uniform(100, &mut random).iter().map(|x| x + 10.0).collect();
    lab.scrape(&[(OLD, &old, &[]), (NEW, &new, &[])], |x| x);
    let found = lab.look().expect("a measurement");
    assert_eq!(lab.field("value", &found), 1.0);
    let mut lab = Lab::new(&signal("unseen"), 0);
    let many: Vec<f32> = (0..1001_u16).map(f32::from).collect();
    lab.scrape(&[(OLD, &many, &[]), (NEW, &many, &[])], |x| x);
    let why = lab.look().unwrap_err().to_string();
    assert!(why.contains("more than 1000 distinct values"), "{why}");
}

#[test]
fn a_model_that_is_always_sure_and_often_wrong_is_not_calibrated() {
    let signal = "kind = \"calibration\"\nwindow = { labels = 1000 }\nmin = 50\n";
    let sure: Vec<f32> = (0..100_u8).map(|i| f32::from(i % 2)).collect();
    for (wrong, p) in [(true, 0.0), (false, f64::NAN)] {
        let mut lab = Lab::new(signal, 0);
        let mut scores = sure.clone();
        scores.extend(if wrong { [1.0; 30] } else { [0.0; 30] });
        let half = scores.len() - 30;
        lab.scrape(&[(NEW, &scores[..half], &[])], |x| x);
        lab.scrape(&[(NEW, &scores[half..], &[])], |_| 0.0);
        let found = lab.look().expect("a measurement");
        let got = lab.field("p", &found);
        assert!(got == p || (got.is_nan() && p.is_nan()), "{got}");
    }
    // The minimum is one of scores that are probabilities.
    let mut lab = Lab::new(signal, 0);
    lab.scrape(&[(NEW, &[0.5; 40], &[]), (NEW, &[7.0; 40], &[])], |_| 1.0);
    assert_eq!(lab.look(), Err(NoVerdict::TooFew { got: 40, need: 50 }));
}

#[test]
fn an_error_budget_is_not_judged_without_traffic() {
    let policy = policy("[signals.s]\nkind = \"burn-rate\"\nslo = 0.99\nlong = \"60s\"\nshort = \"10s\"\nmin = 1\n");
    let mut detectors = Detectors::new(&policy.signals, 0, Seed(1));
    for (k, ended) in [[100, 0, 0, 0, 0, 0], [100, 0, 0, 100, 0, 0], [100, 0, 0, 100, 0, 0]].into_iter().enumerate() {
        let at = SimTime::ZERO + Span::secs(10 * (k as u64 + 1));
        let (segment, replica, latency) = (SegmentId(0), Some(ReplicaId(1)), Histogram::default());
        let rows = vec![MetricsRow { version: NEW, segment, replica, ended, latency }];
        let (gauges, capacity) = (Vec::new(), Capacity { concurrency: 1, queue: 1, memory: None });
        detectors.take(&Input::Metrics(Metrics { scraped_at: at, rows, gauges, capacity }));
        let found = detectors.look(0, NEW, OLD, at);
        match k {
            1 => assert!(found.expect("a measurement").values[0] > 1.0),
            2 => assert_eq!(found, Err(NoVerdict::TooFew { got: 0, need: 1 }), "nothing came in the short window"),
            _ => {}
        }
    }
}

/// Kayenta over several columns shows what fell, too, and the worst column that it shows.
#[test]
fn kayenta_shows_the_column_that_is_classified() {
    let signal = "kind = \"kayenta\"\nof = \"features\"\nwindow = \"10s\"\nroot_tolerance = 1e-9\n";
    for (by, field) in [(-0.5, "low"), (0.5, "high")] {
        let (mut lab, mut random) = (Lab::new(signal, 4), stream("kayenta"));
        let old: Vec<Vec<f32>> = (0..4).map(|_| uniform(200, &mut random).iter().map(|x| x + 2.0).collect()).collect();
        let mut new: Vec<Vec<f32>> =
            (0..4).map(|_| uniform(200, &mut random).iter().map(|x| x + 2.0).collect()).collect();
        new[2].iter_mut().for_each(|x| *x += by);
        lab.scrape(&[(OLD, &[0.5; 200], &old), (NEW, &[0.5; 200], &new)], |x| x);
        let found = lab.look().expect("a measurement");
        assert_eq!((found.column, lab.field(field, &found)), (Some(2), 1.0), "{found:?}");
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// What does nothing is told

#[test]
fn settings_without_effect_are_told() {
    let window = "of = \"score\"\nwindow = \"60s\"\n";
    for kind in ["wasserstein", "energy", "jensen-shannon", "hellinger", "total-variation"] {
        for key in ["looks = \"all\"", "across = \"none\""] {
            let said = mistakes(&format!("[signals.s]\nkind = \"{kind}\"\n{window}{key}\n"));
            assert!(said.len() == 1 && said[0].contains("does nothing here"), "{kind} {key}: {said:?}");
        }
    }
    for kind in ["ks", "psi", "kayenta", "mann-whitney"] {
        let said = mistakes(&format!("[signals.s]\nkind = \"{kind}\"\n{window}looks = \"all\"\nacross = \"none\"\n"));
        assert!(said.is_empty(), "{kind}: {said:?}");
    }
    for (text, word) in [
        ("kind = \"mmd\"\nof = \"all\"\nwindow = \"60s\"\nacross = \"holm\"", "all columns are one test"),
        (
            "kind = \"data-quality\"\ndefect = \"missing\"\nwindow = \"60s\"\nreference = { first = \"2m\" }",
            "does nothing here",
        ),
        (
            "kind = \"data-quality\"\ndefect = \"schema\"\nwindow = \"60s\"\nreference = \"baseline\"",
            "does nothing here",
        ),
        ("kind = \"fairness\"\ndisparity = \"equal-opportunity\"\nlabels = 50\nmin = 30", "never a measurement"),
        ("kind = \"fairness\"\ndisparity = \"equal-opportunity\"\nlabels = 0", "labels"),
        ("kind = \"burn-rate\"\nslo = 0.99\nmin = 0", "min"),
    ] {
        let said = mistakes(&format!("[signals.s]\n{text}\n"));
        assert!(said.len() == 1 && said[0].contains(word), "{text}: {said:?}");
    }
}

/// Telemetry comes by scrapes, every 15 seconds in this scenario.
#[test]
fn times_shorter_than_a_scrape_are_told() {
    let scenario = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/silent-corruption.toml");
    let policy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("short-windows.toml");
    let mut vet = |_: &[u8], _: &_| Ok(Vetting { vetted: true, rowwise: true });
    for (signal, mistakes) in [
        ("kind = \"ks\"\nof = \"score\"\nwindow = \"15s\"\nreference = { own = \"15s\" }", 0),
        ("kind = \"ks\"\nof = \"score\"\nwindow = \"14s\"\nreference = { own = \"10s\" }", 2),
        ("kind = \"error-rate\"\nwindow = \"1s\"", 1),
        ("kind = \"burn-rate\"\nslo = 0.99\nlong = \"5m\"\nshort = \"10s\"", 1),
        ("kind = \"cusum\"\nof = \"score\"\nmu0 = 0.0\nsigma = 1.0\nstandardise = { own = \"10s\" }", 1),
    ] {
        std::fs::write(&policy, format!("name = \"short\"\n[signals.s]\n{signal}\n")).expect("a folder of ours");
        let found = load(&scenario, Some(&policy), &mut vet).err().unwrap_or_default();
        assert_eq!(found.len(), mistakes, "{signal}: {found:?}");
        assert!(
            found.iter().all(|d| d.message.contains("shorter than the time between two scrapes, 15 s")),
            "{found:?}"
        );
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Levels

/// Whether a measurement is one.
type Alarm<'a> = &'a dyn Fn(&Lab, &Measurement) -> bool;

/// In how many of `runs` some look has `alarm`.
fn false_runs(runs: u64, mut run: impl FnMut(&mut Stream) -> bool) -> f64 {
    let count = (0..runs).filter(|k| run(&mut Stream::named(Seed(*k), "windows", "null"))).count();
    count as f64 / runs as f64
}

/// The most that a share of level `alpha` may be by chance: four standard errors.
fn most(alpha: f64, runs: u64) -> f64 {
    alpha + 4.0 * (alpha * (1.0 - alpha) / runs as f64).sqrt()
}

/// Thirty looks at a window that grows all the time, of two versions that are the same: the chance that any of them alarms.
#[test]
fn a_level_of_all_looks_holds_over_a_run() {
    const RUNS: u64 = 2000;
    const ALPHA: f64 = 0.1;
    let run = |kind: &str, looks: &str, alarm: Alarm<'_>| {
        let signal = format!("kind = \"{kind}\nof = \"score\"\nwindow = \"1h\"\nmin = 20\nlooks = \"{looks}\"\n");
        false_runs(RUNS, |random| {
            let mut lab = Lab::new(&signal, 0);
            (0..30).any(|_| {
                let (old, new) = (uniform(20, random), uniform(20, random));
                lab.scrape(&[(OLD, &old, &[]), (NEW, &new, &[])], |x| x);
                lab.look().is_ok_and(|found| alarm(&lab, &found))
            })
        })
    };
    let p = |lab: &Lab, found: &Measurement| lab.field("p", found) <= ALPHA;
    let ratio = |lab: &Lab, found: &Measurement| lab.field("ratio", found) > 1.0;
    let interval = |lab: &Lab, found: &Measurement| lab.field("lower", found) > 0.0 || lab.field("upper", found) < 0.0;
    let psi = format!("psi\"\nalpha = {ALPHA}");
    let shift = format!("mann-whitney\"\nconfidence = {}", 1.0 - ALPHA);
    let alarms: [Alarm<'_>; 3] = [&p, &ratio, &interval];
    for (kind, alarm) in ["welch\"", &psi, &shift].into_iter().zip(alarms) {
        let (all, each) = (run(kind, "all", alarm), run(kind, "each", alarm));
        println!("{kind}: {all} of all looks, {each} of each");
        assert!(all <= most(ALPHA, RUNS), "{kind}: {all}");
        assert!(each > 2.5 * ALPHA, "{kind}: {each}: looks that add up, or this test shows nothing");
    }
}

/// Sixteen columns that are the same on both sides: the chance that any of them alarms.
#[test]
fn a_level_across_columns_holds_for_all_of_them() {
    const RUNS: u64 = 2000;
    const ALPHA: f64 = 0.05;
    let run = |runs: u64, kind: &str, across: &str, field: &str| {
        let signal = format!("kind = \"{kind}\"\nof = \"features\"\nwindow = \"10s\"\nacross = \"{across}\"\n");
        false_runs(runs, |random| {
            let mut lab = Lab::new(&signal, 16);
            // Eight values: categories and quantiles alike.
            let eight = |x: &f32| (x * 8.0).floor();
            let mut columns =
                |n| (0..16).map(|_| uniform(n, random).iter().map(eight).collect()).collect::<Vec<Vec<f32>>>();
            let (old, new) = (columns(600), columns(500));
            lab.scrape(&[(OLD, &[0.5; 600], &old), (NEW, &[0.5; 500], &new)], |x| x);
            let found = lab.look().expect("a measurement");
            let value = lab.field(field, &found);
            if field == "p" { value <= ALPHA } else { value > 1.0 }
        })
    };
    let psi = |binning: &str| format!("psi\"\nalpha = {ALPHA}\nbinning = \"{binning}");
    let [quantile, evidently, categories] = ["quantile", "evidently", "categories"].map(psi);
    for (kind, across, field) in [
        ("chi-squared", "holm", "p"),
        ("chi-squared", "benjamini-hochberg", "p"),
        (&quantile, "holm", "ratio"),
        (&quantile, "benjamini-hochberg", "ratio"),
        (&evidently, "holm", "ratio"),
        (&categories, "holm", "ratio"),
    ] {
        let fired = run(RUNS, kind, across, field);
        println!("{kind} {across}: {fired}");
        assert!(fired <= most(ALPHA, RUNS), "{kind} {across}: {fired}");
        let none = run(200, kind, "none", field);
        assert!(none > 6.0 * ALPHA, "{kind}: {none}: columns that add up, or this test shows nothing");
    }
}
