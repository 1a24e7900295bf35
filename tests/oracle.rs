//! No detector that is told nothing but independent observations, one by one, finds a known shift sooner than the oracle does at
//! the same rate of false alarms; one that is told more does, and is caught by the same comparison.
//!
//! ARL0 is measured from fresh starts: alarms over all observations until then, the last, unfinished run included. The delay is
//! the worst mean over change points and over pasts, among runs without an alarm before: a chart that has just seen a stretch of
//! the healthiest values may be further from its alarm than a fresh one, and the optimum is that of the worst past. What takes
//! longer than [`WATCHED`] counts as that, so means are too small rather than too large. Sources: `rollcage::stats::oracle`.

use rayon::prelude::*;
use rollcage::detect::sequential::{
    AdwinConfig, Config, CusumConfig, DdmConfig, EDetectorConfig, ERule, EcddConfig, EddmConfig, EwmaConfig,
    FhddmConfig, FrourosCusumConfig, FrourosPageHinkleyConfig, HddmAConfig, HddmWConfig, KswinConfig, Mode,
    MsprtConfig, PageHinkleyConfig, RddmConfig, Sequential, ShiryaevRobertsConfig, SprtBernoulliConfig,
    SprtGaussianConfig, Step, StepdConfig,
};
use rollcage::plan::about::kinds;
use rollcage::rng::{Seed, Stream};
use rollcage::stats::normal;
use rollcage::stats::oracle::Shift;
use rollcage::stats::summary::Summary;
use std::collections::BTreeSet;

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
    /// A detector that may never alarm once it is old, begun anew after so many observations: that gives it a rate of false
    /// alarms.
    Renewed(Config, usize),
    /// The same one, so many observations ahead of time.
    Ahead(Config, usize),
    /// One that is told when the change comes, and lies with this chance at each observation.
    Told(f64),
}

/// One start of it.
enum Run {
    Detector(Box<Sequential>, fn(f64) -> f64),
    /// As it began, as it stands, how old it is, and how old it may become.
    Renewed(Box<[Sequential; 2]>, usize, usize),
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
            Self::Renewed(config, after) => {
                config.check().expect("sound parameters");
                Run::Renewed(Box::new([config.start(draws()), config.start(draws())]), 0, *after)
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
            Shift::Lognormal { sigma_log, multiplier } => {
                libm::exp(sigma_log * normal::quantile(u)) * if changed { multiplier } else { 1.0 }
            }
            // Of Beta(1, b): the inverse of 1 - (1 - x)^b.
            Shift::Beta { pre: (1.0, b0), post: (1.0, b1) } => {
                1.0 - libm::pow(1.0 - u, 1.0 / if changed { b1 } else { b0 })
            }
            _ => unreachable!("not tested here"),
        }
    }
}

impl World {
    /// A value that speaks against the change.
    fn healthiest(self) -> f64 {
        match self.0 {
            Shift::Gaussian { .. } => -0.5,
            Shift::Lognormal { .. } => 0.75,
            _ => 0.0,
        }
    }
}

impl Run {
    fn alarms(&mut self, x: f64, changed: bool, luck: &mut Stream) -> bool {
        match self {
            Self::Detector(detector, of) => detector.update(of(x)) == Step::Alarm,
            Self::Renewed(detectors, age, after) => {
                if *age == *after {
                    (detectors[1], *age) = (detectors[0].clone(), 0);
                }
                *age += 1;
                detectors[1].update(x) == Step::Alarm
            }
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
    // Without alarms there is no ARL0 to match.
    assert!(alarms >= 10, "{alarms} false alarms in {exposed} observations");
    let arl0 = exposed as f64 / alarms as f64;
    let best = world.0.bound(arl0).expect("a bound");
    // One standard error of ARL0 in terms of the delay, which grows by at most 1/KL for each factor e.
    let nearby = 1.0 / (best.kl * (alarms as f64).sqrt());
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
    let range = [0.0, 1.0];
    Config::EDetector(EDetectorConfig { m, range, alpha: 0.002, lambdas, rule, mode: Mode::Up, restart: true })
}

/// (name, who, observations without a change, runs)
type Case = (&'static str, Who, u64, u64);

fn fed(config: Config, of: fn(f64) -> f64) -> Who {
    Who::Detector(config, of)
}

fn plain(config: Config) -> Who {
    fed(config, same)
}

fn ewma(mu0: f64, sigma: f64, lambda: f64, limit: f64, mode: Mode) -> Who {
    plain(Config::Ewma(EwmaConfig { mu0, sigma, lambda, limit, exact_limits: false, mode }))
}

fn gaussian() -> Vec<Case> {
    let sr = ShiryaevRobertsConfig { mu0: 0.0, mu1: 1.0, sigma: 1.0, threshold: 400.0, head_start: 0.0 };
    let adwin = AdwinConfig { clock: 1, range: 4.0, delta: 0.9, ..AdwinConfig::default() };
    let sprt = SprtGaussianConfig { mu0: 0.0, mu1: 1.0, sigma: 1.0, alpha: 0.01, beta: 0.05 };
    let msprt = MsprtConfig { theta0: 0.0, sigma: 1.0, tau: 1.0, alpha: 0.05, restart: false };
    let frouros = FrourosCusumConfig { delta: 0.5, lambda: 6.0, min_num_instances: 30 };
    let forgetful = FrourosPageHinkleyConfig { delta: 0.5, lambda: 2.0, alpha: 0.9, min_num_instances: 1 };
    vec![
        ("cusum, the optimum itself", plain(cusum(0.0, 1.0, 0.5, 4.0)), 1_000_000, 4000),
        ("cusum for another shift", plain(cusum(0.0, 1.0, 0.25, 7.0)), 1_000_000, 4000),
        ("ewma", ewma(0.0, 1.0, 0.1, 2.814, Mode::Both), 1_000_000, 4000),
        ("ewma, a Shewhart chart", ewma(0.0, 1.0, 1.0, 2.9, Mode::Both), 500_000, 4000),
        ("shiryaev-roberts", plain(Config::ShiryaevRoberts(sr)), 1_000_000, 4000),
        ("page-hinkley", plain(page_hinkley(0.5, 6.0)), 1_000_000, 2000),
        ("frouros-cusum", plain(Config::FrourosCusum(frouros)), 1_000_000, 2000),
        ("frouros-page-hinkley", plain(Config::FrourosPageHinkley(forgetful)), 1_000_000, 2000),
        ("adwin", plain(Config::Adwin(adwin)), 100_000, 400),
        ("kswin", plain(Config::Kswin(KswinConfig::default())), 100_000, 400),
        ("sprt-gaussian", plain(Config::SprtGaussian(sprt)), 1_000_000, 4000),
        ("msprt, begun anew", Who::Renewed(Config::Msprt(msprt), 200), 1_000_000, 2000),
        ("e-detector, sr", fed(e_detector(0.5, ERule::ESr), as_share), 500_000, 1000),
        ("e-detector, cusum", fed(e_detector(0.5, ERule::ECusum), as_share), 500_000, 1000),
    ]
}

fn bernoulli() -> Vec<Case> {
    let sigma = (0.05_f64 * 0.95).sqrt();
    let adwin = AdwinConfig { clock: 1, delta: 0.9, ..AdwinConfig::default() };
    let fhddm = FhddmConfig { confidence_level: 0.05, ..FhddmConfig::default() };
    let sprt = SprtBernoulliConfig { p0: 0.05, p1: 0.15, alpha: 0.01, beta: 0.05 };
    // At their defaults they have no false alarm in a million errors.
    let a = HddmAConfig { drift_confidence: 0.05, warning_confidence: 0.1, ..HddmAConfig::default() };
    let w = HddmWConfig { drift_confidence: 0.2, warning_confidence: 0.3, ..HddmWConfig::default() };
    vec![
        // With this allowance it adds up log-likelihood ratios of 0.05 against 0.15, but for a factor.
        ("cusum, near the optimum", plain(cusum(0.05, sigma, (0.0917 - 0.05) / sigma, 8.0)), 1_000_000, 4000),
        ("ewma", ewma(0.05, sigma, 0.05, 3.0, Mode::Up), 1_000_000, 4000),
        ("page-hinkley", plain(page_hinkley(0.05, 3.0)), 1_000_000, 2000),
        ("adwin", plain(Config::Adwin(adwin)), 200_000, 400),
        ("ddm, begun anew", Who::Renewed(Config::Ddm(DdmConfig::default()), 500), 1_000_000, 2000),
        ("eddm, begun anew", Who::Renewed(Config::Eddm(EddmConfig::default()), 500), 1_000_000, 2000),
        ("rddm", plain(Config::Rddm(RddmConfig::default())), 1_000_000, 500),
        ("hddm-a", plain(Config::HddmA(a)), 1_000_000, 2000),
        ("hddm-w", plain(Config::HddmW(w)), 1_000_000, 2000),
        ("fhddm", plain(Config::Fhddm(fhddm)), 1_000_000, 1000),
        ("ecdd", plain(Config::Ecdd(EcddConfig::default())), 1_000_000, 2000),
        ("stepd", plain(Config::Stepd(StepdConfig::default())), 500_000, 1000),
        ("sprt-bernoulli", plain(Config::SprtBernoulli(sprt)), 1_000_000, 4000),
        ("e-detector, sr", plain(e_detector(0.05, ERule::ESr)), 500_000, 1000),
    ]
}

/// A lognormal value as one of the unit Gaussian that it comes from: its likelihood is that one's.
fn logarithm(x: f64) -> f64 {
    libm::log(x) / 0.5
}

/// Latencies with a tail, half as long again after the change: by 0.81 standard deviations of their logarithms.
fn lognormal() -> Vec<Case> {
    let (mean, sd) = (libm::exp(0.125), libm::exp(0.125) * (libm::exp(0.25) - 1.0).sqrt());
    let delta = libm::log(1.5) / 0.5;
    let bounded = Config::EDetector(EDetectorConfig {
        m: mean,
        range: [0.0, 6.0],
        alpha: 0.002,
        lambdas: vec![0.05, 0.1, 0.2, 0.4, 0.8],
        rule: ERule::ESr,
        mode: Mode::Up,
        restart: true,
    });
    vec![
        ("cusum of logarithms, the optimum itself", fed(cusum(0.0, 1.0, 0.5 * delta, 4.0), logarithm), 1_000_000, 4000),
        ("cusum", plain(cusum(mean, sd, 0.5, 5.0)), 1_000_000, 4000),
        ("ewma", ewma(mean, sd, 0.1, 3.2, Mode::Up), 1_000_000, 4000),
        ("page-hinkley", plain(page_hinkley(0.3, 4.0)), 1_000_000, 2000),
        ("kswin", plain(Config::Kswin(KswinConfig::default())), 100_000, 400),
        ("e-detector", plain(bounded), 500_000, 1000),
    ]
}

/// Minus the logarithm of the rest: the likelihood of Beta(1, b) is a function of it alone.
fn rest(x: f64) -> f64 {
    -libm::log1p(-x)
}

/// Scores, a fifth on average before the change and a third after.
fn beta() -> Vec<Case> {
    // The log-likelihood ratio of Beta(1, 2) against Beta(1, 4) is 2 rest(x) - ln 2; the mean and deviation of rest(x) are 1/4.
    let optimum = cusum(0.25, 0.25, (0.5 * std::f64::consts::LN_2 - 0.25) / 0.25, 8.0);
    vec![
        ("cusum of the likelihood, the optimum itself", fed(optimum, rest), 1_000_000, 4000),
        ("cusum", plain(cusum(0.2, 0.1633, 0.5, 5.0)), 1_000_000, 4000),
        ("ewma", ewma(0.2, 0.1633, 0.1, 2.814, Mode::Up), 1_000_000, 4000),
        ("page-hinkley", plain(page_hinkley(0.05, 1.0)), 1_000_000, 2000),
        ("kswin", plain(Config::Kswin(KswinConfig::default())), 100_000, 400),
        ("e-detector, sr", plain(e_detector(0.2, ERule::ESr)), 500_000, 1000),
        ("e-detector, cusum", plain(e_detector(0.2, ERule::ECusum)), 500_000, 1000),
    ]
}

fn all() -> Vec<(World, Vec<Case>)> {
    vec![
        (World(Shift::Gaussian { delta: 1.0 }), gaussian()),
        (World(Shift::Bernoulli { p0: 0.05, p1: 0.15 }), bernoulli()),
        (World(Shift::Lognormal { sigma_log: 0.5, multiplier: 1.5 }), lognormal()),
        (World(Shift::Beta { pre: (1.0, 4.0), post: (1.0, 2.0) }), beta()),
    ]
}

#[test]
fn no_detector_beats_the_oracle() {
    let cases: Vec<_> =
        all().into_iter().flat_map(|(world, cases)| cases.into_iter().map(move |c| (world, c))).collect();
    cases.into_par_iter().for_each(|(world, (name, who, observations, runs))| {
        let (ahead, words) = ahead_of_the_oracle(world, &who, observations, runs);
        println!("{:?}, {name}: {words}", world.0);
        assert!(ahead < ERRORS, "{:?}, {name} is ahead by {ahead:.1} standard errors: {words}", world.0);
    });
}

/// A new kind has to come here, too.
#[test]
fn every_kind_that_follows_observations_meets_the_oracle() {
    let of = |who: &Who| match who {
        Who::Detector(config, _) | Who::Renewed(config, _) | Who::Ahead(config, _) => {
            let table = serde_json::to_value(config).expect("a table");
            Some(table["detector"].as_str().expect("a name").to_owned())
        }
        Who::Told(_) => None,
    };
    let tested: BTreeSet<String> = all().iter().flat_map(|(_, cases)| cases.iter().filter_map(|c| of(&c.1))).collect();
    // A confidence sequence gives no alarms: a rule makes them.
    let follows =
        |parameters: &[rollcage::plan::about::Parameter]| parameters.iter().any(|p| p.name == "class_threshold");
    let listed = kinds().into_iter().filter(|k| follows(&k.parameters) && k.kind != "confidence-sequence");
    let listed: BTreeSet<String> = listed.map(|k| k.kind).collect();
    assert_eq!(tested, listed);
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
