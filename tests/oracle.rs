//! No detector that is told nothing but independent observations, one by one, finds a known shift sooner than the oracle does at
//! the same rate of false alarms; one that is told more does, and is caught by the same comparison.
//!
//! ARL0 is measured from fresh starts: alarms over all observations until then, the last, unfinished run included. The delay is
//! the worst mean over change points and over pasts, among runs without an alarm before: a chart that has just seen a stretch of
//! the healthiest values may be further from its alarm than a fresh one, and the optimum is that of the worst past. What takes
//! longer than [`WATCHED`] counts as that, so means are too small rather than too large. Sources: `rollcage::stats::oracle`.

use rollcage::detect::sequential::{
    AdwinConfig, Config, CusumConfig, DdmConfig, EDetectorConfig, ERule, EcddConfig, EwmaConfig, FhddmConfig,
    HddmAConfig, HddmWConfig, KswinConfig, Mode, PageHinkleyConfig, Sequential, ShiryaevRobertsConfig, Step,
    StepdConfig,
};
use rollcage::rng::{Seed, Stream};
use rollcage::stats::normal;
use rollcage::stats::oracle::Shift;
use rollcage::stats::proportion::poisson_rate;
use rollcage::stats::summary::Summary;

/// What comes before the change: so many observations, and then so many of the healthiest kind.
const PASTS: [(usize, usize); 6] = [(0, 0), (15, 0), (60, 0), (240, 0), (0, 30), (60, 100)];
/// Observations that are watched after it.
const WATCHED: usize = 1000;
/// The comparison fails beyond so many standard errors.
const ERRORS: f64 = 4.0;

/// Who looks at observations.
#[derive(Clone)]
enum Who {
    /// A detector, fed with a function of each observation.
    Detector(Config, fn(f64) -> f64),
    /// The same one, so many observations ahead of time.
    Ahead(Config, usize),
    /// One that is told when the change comes, and lies with this chance at each observation.
    Told(f64),
}

/// One start of it.
enum Run {
    Detector(Box<Sequential>, fn(f64) -> f64),
    Told(f64),
}

impl Who {
    fn start(&self, n: u64) -> Run {
        let draws = || Stream::named(Seed(n), "oracle-test", "detector");
        match self {
            Self::Detector(config, of) => {
                config.check().expect("sound parameters");
                Run::Detector(Box::new(config.start(draws())), *of)
            }
            Self::Ahead(config, _) => Run::Detector(Box::new(config.start(draws())), |x| x),
            Self::Told(lie) => Run::Told(*lie),
        }
    }

    /// Observations it sees before they are there.
    fn ahead(&self) -> usize {
        if let Self::Ahead(_, by) = self { *by } else { 0 }
    }
}

/// A shift and how its observations are drawn.
#[derive(Clone, Copy)]
struct World(Shift);

impl World {
    fn draw(self, changed: bool, luck: &mut Stream) -> f64 {
        let u = luck.uniform32();
        match self.0 {
            Shift::Gaussian { delta } => normal::quantile(u) + if changed { delta } else { 0.0 },
            Shift::Bernoulli { p0, p1 } => f64::from(u8::from(u < if changed { p1 } else { p0 })),
            _ => unreachable!("not tested here"),
        }
    }
}

impl World {
    /// A value that speaks against the change.
    fn healthiest(self) -> f64 {
        if matches!(self.0, Shift::Gaussian { .. }) { -0.5 } else { 0.0 }
    }
}

impl Run {
    fn alarms(&mut self, x: f64, changed: bool, luck: &mut Stream) -> bool {
        match self {
            Self::Detector(detector, of) => detector.update(of(x)) == Step::Alarm,
            Self::Told(lie) => changed || luck.uniform() < *lie,
        }
    }
}

/// Alarms without a change, and observations until them.
fn false_alarms(world: World, who: &Who, observations: u64) -> (u64, u64) {
    let mut luck = Stream::named(Seed(1), "oracle-test", "healthy");
    let mut lies = Stream::named(Seed(1), "oracle-test", "lies");
    let (mut alarms, mut run) = (0, who.start(0));
    for _ in 0..observations {
        if run.alarms(world.draw(false, &mut luck), false, &mut lies) {
            alarms += 1;
            run = who.start(alarms);
        }
    }
    (alarms, observations)
}

/// The delays, in observations, after a past without a change; of runs without an alarm in it.
fn delays(world: World, who: &Who, (before, quiet): (usize, usize), runs: u64) -> Summary {
    let mut delays = Summary::default();
    for n in 0..runs {
        let mut luck = Stream::named(Seed(n), "oracle-test", "observations");
        let mut lies = Stream::named(Seed(n), "oracle-test", "lies");
        let mut run = who.start(n);
        if (0..before).any(|_| run.alarms(world.draw(false, &mut luck), false, &mut lies)) {
            continue;
        }
        if (0..quiet).any(|_| run.alarms(world.healthiest(), false, &mut lies)) {
            continue;
        }
        let found = (1..=WATCHED).find(|_| run.alarms(world.draw(true, &mut luck), true, &mut lies));
        delays.add(found.unwrap_or(WATCHED) as f64 - who.ahead() as f64);
    }
    delays
}

/// By how many standard errors the worst mean delay lies below the oracle's at the same ARL0; both are measured.
fn ahead_of_the_oracle(world: World, who: &Who, observations: u64, runs: u64) -> (f64, String) {
    let (alarms, exposed) = false_alarms(world, who, observations);
    let rates = poisson_rate(alarms, exposed as f64, 0.95).expect("an exposure");
    let arl0 = if alarms == 0 { 1.0 / rates.high } else { exposed as f64 / alarms as f64 };
    let best = world.0.bound(arl0).expect("a bound");
    // One standard error of ARL0 in terms of the delay, which grows by at most 1/KL for each factor e.
    let nearby = 1.0 / (best.kl * (alarms.max(1) as f64).sqrt());
    let by_past = PASTS.map(|past| delays(world, who, past, runs));
    let told = |s: &&Summary| s.count() >= runs / 10;
    let worst =
        by_past.iter().filter(told).max_by(|a, b| a.mean().unwrap().total_cmp(&b.mean().unwrap())).expect("some");
    let (mean, error) = (worst.mean().unwrap(), worst.standard_error().unwrap());
    let off = (error * error + nearby * nearby).sqrt().max(1e-9);
    let ahead = (best.delay - mean) / off;
    (ahead, format!("ARL0 {arl0:.0} ({alarms} alarms): {mean:.2} ± {error:.2} against {:.2} ± {nearby:.2}", best.delay))
}

/// A Gaussian value as a share, for who wants one: a monotone function, so that no information is made.
fn as_share(x: f64) -> f64 {
    normal::cdf(x)
}

fn same(x: f64) -> f64 {
    x
}

fn cusum(mu0: f64, sigma: f64, k: f64, h: f64) -> Config {
    Config::Cusum(CusumConfig { mu0, sigma, k, h, head_start: 0.0, mode: Mode::Up })
}

fn page_hinkley(delta: f64, threshold: f64) -> Config {
    Config::PageHinkley(PageHinkleyConfig { delta, threshold, mode: Mode::Up, ..PageHinkleyConfig::default() })
}

fn e_detector(m: f64, rule: ERule) -> Config {
    let lambdas = vec![0.05, 0.1, 0.2, 0.4, 0.8];
    Config::EDetector(EDetectorConfig { m, alpha: 0.002, lambdas, rule, mode: Mode::Up, restart: true })
}

/// (name, detector, what it is fed, observations without a change, runs)
type Case = (&'static str, Config, fn(f64) -> f64, u64, u64);

fn gaussian() -> Vec<Case> {
    let ewma = |lambda: f64, limit: f64| {
        Config::Ewma(EwmaConfig { mu0: 0.0, sigma: 1.0, lambda, limit, exact_limits: false, mode: Mode::Both })
    };
    let sr = ShiryaevRobertsConfig { mu0: 0.0, mu1: 1.0, sigma: 1.0, threshold: 400.0, head_start: 0.0 };
    vec![
        ("cusum, the optimum itself", cusum(0.0, 1.0, 0.5, 4.0), same, 1_000_000, 4000),
        ("cusum for another shift", cusum(0.0, 1.0, 0.25, 7.0), same, 1_000_000, 4000),
        ("ewma", ewma(0.1, 2.814), same, 1_000_000, 4000),
        ("ewma, a Shewhart chart", ewma(1.0, 2.9), same, 500_000, 4000),
        ("shiryaev-roberts", Config::ShiryaevRoberts(sr), same, 1_000_000, 4000),
        ("page-hinkley", page_hinkley(0.5, 6.0), same, 1_000_000, 2000),
        (
            "adwin",
            Config::Adwin(AdwinConfig { clock: 1, range: 10.0, delta: 0.5, ..AdwinConfig::default() }),
            same,
            100_000,
            100,
        ),
        ("kswin", Config::Kswin(KswinConfig::default()), same, 40_000, 100),
        ("e-detector, sr", e_detector(0.5, ERule::ESr), as_share, 500_000, 1000),
        ("e-detector, cusum", e_detector(0.5, ERule::ECusum), as_share, 500_000, 1000),
    ]
}

fn bernoulli() -> Vec<Case> {
    let sigma = (0.05_f64 * 0.95).sqrt();
    let ewma = EwmaConfig { mu0: 0.05, sigma, lambda: 0.05, limit: 3.0, exact_limits: false, mode: Mode::Up };
    let (a, w) = (HddmAConfig::default(), HddmWConfig::default());
    vec![
        // With this allowance it adds up log-likelihood ratios of 0.05 against 0.15, but for a factor.
        ("cusum, near the optimum", cusum(0.05, sigma, (0.0917 - 0.05) / sigma, 8.0), same, 1_000_000, 4000),
        ("ewma", Config::Ewma(ewma), same, 1_000_000, 4000),
        ("page-hinkley", page_hinkley(0.05, 3.0), same, 1_000_000, 2000),
        ("adwin", Config::Adwin(AdwinConfig { clock: 1, delta: 0.2, ..AdwinConfig::default() }), same, 100_000, 100),
        ("ddm", Config::Ddm(DdmConfig::default()), same, 1_000_000, 2000),
        ("hddm-a", Config::HddmA(a), same, 1_000_000, 2000),
        ("hddm-w", Config::HddmW(w), same, 1_000_000, 2000),
        (
            "fhddm",
            Config::Fhddm(FhddmConfig { confidence_level: 0.05, ..FhddmConfig::default() }),
            same,
            1_000_000,
            1000,
        ),
        ("ecdd", Config::Ecdd(EcddConfig::default()), same, 1_000_000, 2000),
        ("stepd", Config::Stepd(StepdConfig::default()), same, 500_000, 1000),
        ("e-detector, sr", e_detector(0.05, ERule::ESr), same, 500_000, 1000),
    ]
}

#[test]
fn no_detector_beats_the_oracle() {
    for (world, cases) in [
        (World(Shift::Gaussian { delta: 1.0 }), gaussian()),
        (World(Shift::Bernoulli { p0: 0.05, p1: 0.15 }), bernoulli()),
    ] {
        for (name, config, of, observations, runs) in cases {
            let (ahead, words) = ahead_of_the_oracle(world, &Who::Detector(config, of), observations, runs);
            println!("{name}: {words}");
            assert!(ahead < ERRORS, "{name} is ahead by {ahead:.1} standard errors: {words}");
        }
    }
}

/// So near do the two sides of the comparison come: the optimum itself is neither ahead nor behind.
#[test]
fn the_optimum_is_level_with_the_oracle() {
    let who = Who::Detector(cusum(0.0, 1.0, 0.5, 4.0), same);
    let (ahead, words) = ahead_of_the_oracle(World(Shift::Gaussian { delta: 1.0 }), &who, 2_000_000, 10_000);
    assert!(ahead.abs() < ERRORS, "{ahead}: {words}");
}

#[test]
fn who_peeks_is_caught() {
    let (gaussian, bernoulli) = (World(Shift::Gaussian { delta: 1.0 }), World(Shift::Bernoulli { p0: 0.05, p1: 0.15 }));
    let sigma = (0.05_f64 * 0.95).sqrt();
    for (name, world, who) in [
        ("told, Gaussian", gaussian, Who::Told(0.003)),
        ("told, Bernoulli", bernoulli, Who::Told(0.003)),
        ("one ahead, Gaussian", gaussian, Who::Ahead(cusum(0.0, 1.0, 0.5, 4.0), 1)),
        ("four ahead, Bernoulli", bernoulli, Who::Ahead(cusum(0.05, sigma, (0.0917 - 0.05) / sigma, 8.0), 4)),
    ] {
        let (ahead, words) = ahead_of_the_oracle(world, &who, 2_000_000, 40_000);
        println!("{name}: {words}, ahead by {ahead:.1} standard errors");
        assert!(ahead > ERRORS, "{name} is ahead by {ahead:.1} standard errors only: {words}");
    }
}
