//! Owns the claims of sequential signals that need several scrapes: references, evidence, levels.

use super::*;
use crate::detect::sequential::{CusumConfig, Mode, MsprtConfig};
use crate::event::{Metrics, Observations};
use crate::id::SourceId;
use crate::stats::normal;

const OLD: VersionId = VersionId(0);
const NEW: VersionId = VersionId(1);

fn at(seconds: f64) -> SimTime {
    SimTime((seconds * 1e9) as u64)
}

fn following(of: Channel, by: Config, standardise: Option<Reference>) -> Sequences {
    let config = SequenceConfig { of, by: Follower::Detector(by), standardise };
    Sequences::new(vec![Some(("s".to_owned(), config))], 1, Seed(1))
}

fn cusum(h: f64) -> Config {
    Config::Cusum(CusumConfig { mu0: 0.0, sigma: 1.0, k: 0.5, h, head_start: 0.0, mode: Mode::Up })
}

fn msprt(alpha: f64) -> Config {
    Config::Msprt(MsprtConfig { theta0: 0.0, sigma: 1.0, tau: 0.2, alpha, restart: false })
}

/// A scrape's scores of one version, ended one after another from `from` to `to` (seconds).
fn scores(sequences: &mut Sequences, version: VersionId, (from, to): (f64, f64), values: &[f64]) {
    let n = values.len();
    let ended = (0..n).map(|i| at(from + (to - from) * (i + 1) as f64 / n as f64)).collect();
    sequences.take(&Input::Observations(Observations {
        scraped_at: at(to),
        source: SourceId(0),
        version,
        ordinals: (0..n as u64).collect(),
        ended,
        latency: vec![Span::millis(5); n],
        segments: vec![crate::id::SegmentId(0); n],
        scores: values.iter().map(|&x| x as f32).collect(),
        features: Vec::new(),
        unanswered: Vec::new(),
    }));
}

/// The scrape is complete.
fn complete(sequences: &mut Sequences, seconds: f64) {
    let capacity = crate::event::Capacity { concurrency: 1, queue: 1, memory: None };
    let scraped_at = at(seconds);
    sequences.take(&Input::Metrics(Metrics { scraped_at, rows: Vec::new(), gauges: Vec::new(), capacity }));
}

#[test]
fn evidence_is_what_was_read_at_the_alarm_and_begins_where_the_detector_began() {
    let mut sequences = following(Channel::Score, cusum(4.0), None);
    // Three values of 2 reach 4.5; what comes later in the scrape says nothing.
    let values = [vec![0.0; 5], vec![2.0; 3], vec![-1.0; 12]].concat();
    scores(&mut sequences, NEW, (0.0, 20.0), &values);
    let found = sequences.look(0, NEW, OLD).expect("a measurement");
    assert_eq!((found.values, found.from), (vec![1.0, 0.0, 4.5, 4.0, 8.0], at(1.0)));
    assert_eq!(sequences.look(0, NEW, OLD), Err(NoVerdict::Empty), "the scrape has been looked at");
    complete(&mut sequences, 20.0);
    scores(&mut sequences, NEW, (20.0, 40.0), &[0.0; 20]);
    let found = sequences.look(0, NEW, OLD).expect("a measurement");
    assert_eq!(
        (found.values, found.from),
        (vec![0.0, 0.0, 0.0, 4.0, 32.0], at(9.0)),
        "12 of the scrape before, and 20"
    );
}

/// Labels of requests that ended at these seconds, all right but for `wrong` of them.
fn labels(sequences: &mut Sequences, known: f64, ended: &[f64], wrong: usize) {
    let pair = |(i, &ended): (usize, &f64)| (at(ended), if i < wrong { 1.0 } else { 0.0 }, 0.0);
    sequences.labelled(at(known), NEW, &ended.iter().enumerate().map(pair).collect::<Vec<_>>());
    complete(sequences, known);
}

#[test]
fn a_reference_of_late_labels_closes_and_stays_closed() {
    for reference in [Reference::Own(Span::secs(60)), Reference::First(Span::secs(60))] {
        let mut sequences = following(Channel::SquaredError, cusum(1e9), Some(reference));
        for scrape in 1..=12_u32 {
            let known = 15.0 * f64::from(scrape);
            // Each scrape brings the label of one of the very first requests beside 39 of the newest.
            let ended: Vec<f64> = (0..40).map(|i| if i == 0 { 1.0 } else { known - 0.1 * f64::from(i) }).collect();
            labels(&mut sequences, known, &ended, 4);
            let found = sequences.look(0, NEW, OLD);
            // From the first labels on a minute long: the scrapes at 15, 30, 45 and 60 seconds.
            match scrape {
                1..=4 => assert_eq!(found, Err(NoVerdict::Learning), "{reference:?}, scrape {scrape}"),
                _ => {
                    let n = found.expect("a measurement").values[4];
                    assert_eq!(n, 40.0 * f64::from(scrape - 4), "{reference:?}: all that became known since");
                }
            }
        }
    }
}

#[test]
fn a_reference_waits_until_it_has_enough_values() {
    let mut sequences = following(Channel::SquaredError, cusum(1e9), Some(Reference::Own(Span::secs(10))));
    for scrape in 1..=5 {
        let known = 15.0 * f64::from(scrape);
        labels(&mut sequences, known, &[known; 10], 1);
        let learning = sequences.look(0, NEW, OLD) == Err(NoVerdict::Learning);
        assert_eq!(learning, scrape <= 3, "30 values, then they are judged: scrape {scrape}");
    }
}

/// Draws of a standard normal.
fn gaussian(luck: &mut Stream, n: usize) -> Vec<f64> {
    (0..n).map(|_| normal::quantile(luck.uniform())).collect()
}

#[test]
fn a_version_like_the_baseline_is_rejected_as_rarely_as_said_however_few_values_the_baseline_has() {
    let (alpha, runs) = (0.05, 400);
    for (n, m) in [(200, 40), (60, 60), (40, 400)] {
        let mut rejected = 0;
        for run in 0..runs {
            let mut luck = Stream::named(Seed(run), "detect/sequences/tests", "level");
            let mut sequences = following(Channel::Score, msprt(alpha), Some(Reference::Baseline));
            // The spread is known well, as after some time it is: what is tested is the mean.
            scores(&mut sequences, OLD, (0.0, 10.0), &gaussian(&mut luck, 2000));
            complete(&mut sequences, 10.0);
            rejected += u32::from((1..=30).any(|k| {
                let time = (10.0 * f64::from(k), 10.0 * f64::from(k + 1));
                scores(&mut sequences, OLD, time, &gaussian(&mut luck, m));
                scores(&mut sequences, NEW, time, &gaussian(&mut luck, n));
                complete(&mut sequences, time.1);
                sequences.look(0, NEW, OLD).expect("a measurement").values[0] > 0.0
            }));
        }
        let allowed = alpha * runs as f64 + 4.0 * (alpha * (1.0 - alpha) * runs as f64).sqrt();
        assert!(f64::from(rejected) <= allowed, "{n} against {m}: {rejected} of {runs}");
        assert!(rejected > 0, "{n} against {m}: a test that never rejects shows nothing");
    }
}

#[test]
fn a_version_is_held_against_what_the_baseline_answered_at_the_same_time_and_often_enough() {
    let mut luck = Stream::named(Seed(1), "detect/sequences/tests", "time");
    let mut sequences = following(Channel::Score, cusum(1e9), Some(Reference::Baseline));
    let missing = |got| Err(NoVerdict::NoReference { got, need: 30 });
    scores(&mut sequences, NEW, (0.0, 10.0), &gaussian(&mut luck, 100));
    assert_eq!(sequences.look(0, NEW, OLD), missing(0), "no baseline at all");
    complete(&mut sequences, 10.0);
    // The baseline has half of the time: half of the values are left out.
    scores(&mut sequences, OLD, (10.0, 15.0), &gaussian(&mut luck, 50));
    scores(&mut sequences, NEW, (10.0, 20.0), &gaussian(&mut luck, 100));
    let n = sequences.look(0, NEW, OLD).expect("a measurement").values[4];
    assert!((48.0..=50.0).contains(&n), "{n}");
    complete(&mut sequences, 20.0);
    scores(&mut sequences, OLD, (20.0, 30.0), &gaussian(&mut luck, 29));
    scores(&mut sequences, NEW, (20.0, 30.0), &gaussian(&mut luck, 100));
    assert!(matches!(sequences.look(0, NEW, OLD), Err(NoVerdict::NoReference { need: 30, .. })));
    complete(&mut sequences, 30.0);
    // Late values of another time are none.
    scores(&mut sequences, OLD, (2.0, 9.0), &gaussian(&mut luck, 100));
    scores(&mut sequences, NEW, (30.0, 40.0), &gaussian(&mut luck, 100));
    assert_eq!(sequences.look(0, NEW, OLD), missing(0));
}
