//! Confidence sequences as policies make them cover the mean at the stated level at all times together, however often one looks and
//! whenever one stops: ten thousand observations, looked at along the way, far beyond what they are tuned for. An interval for one
//! look, looked at as often, does not, and is caught by the same count.
//!
//! `ROLLCAGE_LONG_TESTS=1`: 10 000 paths of each kind instead of 500.

use rayon::prelude::*;
use rollcage::detect::config::SignalKind;
use rollcage::detect::intervals::IntervalConfig;
use rollcage::detect::sequences::Follower;
use rollcage::plan::policy_alone;
use rollcage::rng::{Seed, Stream};
use rollcage::stats::proportion::wilson;

const OBSERVATIONS: u64 = 10_000;

fn paths() -> u64 {
    if std::env::var_os("ROLLCAGE_LONG_TESTS").is_some() { 10_000 } else { 500 }
}

/// A confidence sequence at its defaults, but for what is given.
fn sequence(given: &str) -> IntervalConfig {
    let text = format!("name = \"coverage\"\n[signals.s]\nkind = \"confidence-sequence\"\nof = \"wrong\"\n{given}\n");
    let policy = policy_alone("coverage.toml", &text).expect("a policy");
    match &policy.signals[0].kind {
        SignalKind::Sequence(sequence) => match &sequence.by {
            Follower::Interval(config) => *config,
            Follower::Detector(_) => panic!("a confidence sequence is no detector"),
        },
        _ => panic!("a confidence sequence follows observations"),
    }
}

/// After which observations one looks: at all of the first twenty, then each time a twentieth later.
fn looks() -> Vec<u64> {
    let mut looks = vec![1_u64];
    while let Some(&last) = looks.last().filter(|&&last| last < OBSERVATIONS) {
        looks.push((last + 1).max(last * 21 / 20).min(OBSERVATIONS));
    }
    looks
}

/// How observations are drawn, and their mean.
type Drawn = (&'static str, fn(&mut Stream) -> f64, f64);

fn rate<const PER_MILLE: u32>(luck: &mut Stream) -> f64 {
    f64::from(u8::from(luck.uniform() * 1000.0 < f64::from(PER_MILLE)))
}

/// What gives an interval at a look, after each observation it is told.
trait Interval {
    fn add(&mut self, x: f64);
    fn now(&self) -> Option<(f64, f64)>;
}

impl Interval for rollcage::detect::intervals::Interval {
    fn add(&mut self, x: f64) {
        Self::add(self, x);
    }

    fn now(&self) -> Option<(f64, f64)> {
        self.values().map(|values| (values[1], values[2]))
    }
}

/// Wilson's interval of all observations so far, as if this look were the only one.
#[derive(Default)]
struct OneLook {
    events: u64,
    trials: u64,
}

impl Interval for OneLook {
    fn add(&mut self, x: f64) {
        self.events += u64::from(x != 0.0);
        self.trials += 1;
    }

    fn now(&self) -> Option<(f64, f64)> {
        wilson(self.events, self.trials, 0.95).map(|interval| (interval.low, interval.high))
    }
}

/// In which share of the paths the interval misses the mean at any look, and its mean width at the end.
fn missed<I: Interval>((name, draw, mean): Drawn, begin: impl Fn() -> I + Sync) -> (f64, f64) {
    let looks = looks();
    let path = |n: u64| {
        let mut luck = Stream::named(Seed(n), "coverage", name);
        let (mut interval, mut seen, mut misses) = (begin(), 0, false);
        let (mut low, mut high) = (0.0, 1.0);
        for &look in &looks {
            (seen..look).for_each(|_| interval.add(draw(&mut luck)));
            seen = look;
            (low, high) = interval.now().expect("there are observations");
            misses |= mean < low || mean > high;
        }
        (f64::from(u8::from(misses)), high - low)
    };
    let both: Vec<(f64, f64)> = (0..paths()).into_par_iter().map(path).collect();
    let average = |of: fn(&(f64, f64)) -> f64| both.iter().map(of).sum::<f64>() / both.len() as f64;
    (average(|path| path.0), average(|path| path.1))
}

const RATES: [Drawn; 4] =
    [("rare", rate::<2>, 0.002), ("some", rate::<50>, 0.05), ("half", rate::<500>, 0.5), ("most", rate::<990>, 0.99)];

/// Values between 0 and 1: of any size, with a tail, of two sizes.
const BOUNDED: [Drawn; 3] = [
    ("uniform", Stream::uniform, 0.5),
    ("skewed", |luck| luck.uniform() * luck.uniform() * luck.uniform(), 0.125),
    ("ends", |luck| if luck.uniform() < 0.9 { 0.1 } else { 1.0 }, 0.19),
];

fn holds(name: &str, (misses, width): (f64, f64)) {
    let alpha = 0.05;
    let error = 4.0 * (alpha * (1.0 - alpha) / paths() as f64).sqrt();
    println!("{name}: misses {misses:.4}, width {width:.4}");
    assert!(misses <= alpha + error, "{name}: {misses} of the paths are missed");
    assert!(width < 0.08, "{name}: an interval of {width} says nothing");
}

#[test]
fn empirical_bernstein_sequences_cover_at_all_times() {
    let config = sequence("");
    for drawn in RATES.into_iter().chain(BOUNDED) {
        holds(drawn.0, missed(drawn, || config.start()));
    }
}

#[test]
fn beta_binomial_sequences_cover_at_all_times() {
    let config = sequence("method = \"beta-binomial\"");
    for drawn in RATES {
        holds(drawn.0, missed(drawn, || config.start()));
    }
}

#[test]
fn an_interval_for_one_look_does_not() {
    let (misses, _) = missed(RATES[1], OneLook::default);
    assert!(misses > 0.3, "{misses}: nothing is caught");
}
