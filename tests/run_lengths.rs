//! Holds the computed run lengths, error rates and optima of `rollcage::stats` to simulation of the detectors that policies start:
//! each runs on drawn observations, without a change and with one, and must come out within four standard errors. A planted fault
//! proves that four standard errors are narrow enough to see one.

use rollcage::detect::sequential::{
    Config, CusumConfig, EwmaConfig, Mode, ShiryaevRobertsConfig, SprtBernoulliConfig, SprtGaussianConfig, Step,
};
use rollcage::rng::{Seed, Stream};
use rollcage::stats::arl::cusum::Cusum;
use rollcage::stats::arl::ewma::Ewma;
use rollcage::stats::arl::shiryaev_roberts::ShiryaevRoberts;
use rollcage::stats::arl::sprt;
use rollcage::stats::oracle::Shift;
use rollcage::stats::oracle::neyman_pearson::{np_power, np_power_gaussian};
use rollcage::stats::{normal, special};

/// Run lengths, or other independent values.
#[derive(Default)]
struct Sample(Vec<f64>);

impl Sample {
    /// The mean (of run lengths: exposure per event) and its standard error.
    fn mean(&self) -> (f64, f64) {
        let n = self.0.len() as f64;
        let mean = self.0.iter().sum::<f64>() / n;
        let variance = self.0.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0);
        (mean, (variance / n).sqrt())
    }

    /// How many standard errors the mean is from `want`.
    fn off(&self, want: f64) -> f64 {
        let (mean, error) = self.mean();
        (mean - want).abs() / error
    }

    #[track_caller]
    fn holds(&self, what: &str, want: Option<f64>) {
        let want = want.unwrap_or(f64::NAN);
        assert!(self.off(want) <= 4.0, "{what}: simulated {:?}, computed {want}", self.mean());
    }
}

/// Normal observations with some mean.
struct Normal(Stream);

impl Normal {
    fn new(what: &str) -> Self {
        Self(Stream::named(Seed(20), "run_lengths", what))
    }

    fn draw(&mut self, mean: f64) -> f64 {
        mean + normal::quantile(self.0.uniform())
    }
}

/// As many run lengths as fit into `exposure` observations (so that their number depends little on what they are), at least 400.
fn runs(exposure: u64, mut run: impl FnMut() -> u64) -> Sample {
    let (mut lengths, mut used) = (Vec::new(), 0);
    while used < exposure || lengths.len() < 400 {
        let length = run();
        used += length;
        lengths.push(length as f64);
    }
    Sample(lengths)
}

/// Run lengths of a detector that policies start, on normal observations with this mean.
fn charted(config: &Config, draws: &mut Normal, mean: f64, exposure: u64) -> Sample {
    config.check().expect("sound parameters");
    let fresh = config.start(Stream::named(Seed(20), "run_lengths", "draws"));
    runs(exposure, || {
        let mut detector = fresh.clone();
        (1..).find(|_| detector.update(draws.draw(mean)) == Step::Alarm).expect("an alarm in the end")
    })
}

fn cusum(chart: Cusum, head_start: f64, mode: Mode) -> Config {
    let Cusum { reference: k, threshold: h } = chart;
    Config::Cusum(CusumConfig { mu0: 0.0, sigma: 1.0, k, h, head_start, mode })
}

#[test]
fn cusum_charts_run_as_long_as_computed() {
    let mut draws = Normal::new("cusum");
    for (reference, threshold, shift, start) in [
        (0.5, 4.0, 0.0, 0.0),
        (0.5, 4.0, 1.0, 0.0),
        (0.5, 4.0, 1.0, 2.0),
        (0.25, 8.0, 0.25, 0.0),
        (1.0, 2.5, 0.0, 1.25),
    ] {
        let chart = Cusum { reference, threshold };
        let sample = charted(&cusum(chart, start, Mode::Up), &mut draws, shift, 2_000_000);
        sample.holds(&format!("{chart:?} {shift} {start}"), chart.arl(shift, start));
        // The distribution, at its computed quantiles.
        for q in [0.1, 0.5, 0.9] {
            let t = chart.quantile(shift, start, q).unwrap();
            let by_then = Sample(sample.0.iter().map(|&length| f64::from(u8::from(length <= t as f64))).collect());
            by_then.holds(&format!("{chart:?} {shift} {start} by {t}"), chart.cdf(shift, start, t));
        }
    }
}

#[test]
fn a_chart_that_is_a_little_off_is_seen() {
    let mut draws = Normal::new("planted");
    let chart = Cusum { reference: 0.5, threshold: 4.0 };
    let taller = Cusum { threshold: 4.1, ..chart };
    let sample = charted(&cusum(taller, 0.0, Mode::Up), &mut draws, 0.0, 2_000_000);
    assert!(sample.off(chart.arl(0.0, 0.0).unwrap()) > 4.0, "{:?}", sample.mean());
    // A count that leaves the alarming observation out.
    let mut sample = charted(&cusum(chart, 0.0, Mode::Up), &mut draws, 1.0, 200_000);
    sample.0.iter_mut().for_each(|length| *length -= 1.0);
    assert!(sample.off(chart.arl(1.0, 0.0).unwrap()) > 4.0, "{:?}", sample.mean());
}

#[test]
fn two_sided_cusum_charts_run_as_long_as_computed() {
    let mut draws = Normal::new("two-sided");
    let chart = Cusum { reference: 0.5, threshold: 4.0 };
    for shift in [0.0, 0.25, 1.0] {
        let sample = charted(&cusum(chart, 0.0, Mode::Both), &mut draws, shift, 2_000_000);
        sample.holds(&format!("two-sided {shift}"), chart.arl_two_sided(shift));
    }
}

#[test]
fn ewma_charts_run_as_long_as_computed() {
    let mut draws = Normal::new("ewma");
    for (weight, limit, shift) in [(0.1, 2.814, 0.0), (0.1, 2.814, 1.0), (0.4, 3.054, 0.5), (1.0, 2.5, 0.0)] {
        let (mu0, sigma, lambda, mode) = (0.0, 1.0, weight, Mode::Both);
        let chart = Config::Ewma(EwmaConfig { mu0, sigma, lambda, limit, exact_limits: false, mode });
        let sample = charted(&chart, &mut draws, shift, 2_000_000);
        sample.holds(&format!("ewma {weight} {limit} {shift}"), Ewma { weight, limit }.arl(shift));
    }
}

#[test]
fn shiryaev_roberts_procedures_run_as_long_as_computed() {
    let mut draws = Normal::new("shiryaev-roberts");
    for (delta, threshold, shift) in [(1.0, 100.0, 0.0), (1.0, 100.0, 1.0), (0.5, 100.0, 0.0), (0.5, 100.0, 0.5)] {
        let (mu0, mu1, sigma, head_start) = (0.0, delta, 1.0, 0.0);
        let chart = Config::ShiryaevRoberts(ShiryaevRobertsConfig { mu0, mu1, sigma, threshold, head_start });
        let sample = charted(&chart, &mut draws, shift, 1_000_000);
        let computed = ShiryaevRoberts { delta, threshold }.arl(shift);
        sample.holds(&format!("Shiryaev-Roberts {delta} {threshold} {shift}"), computed);
    }
}

#[test]
fn sequential_tests_err_and_end_as_computed() {
    let mut draws = Stream::named(Seed(20), "run_lengths", "sprt");
    let (p0, p1, alpha, beta) = (0.05, 0.15, 0.01, 0.05);
    let config = Config::SprtBernoulli(SprtBernoulliConfig { p0, p1, alpha, beta });
    for rate in [p0, 0.0866, p1] {
        let (h1, lengths) = decisions(&config, || if draws.uniform() < rate { 1.0 } else { 0.0 });
        let computed = sprt::bernoulli(p0, p1, alpha, beta, rate).unwrap();
        h1.holds(&format!("accepted H1 at {rate}"), Some(computed.accept_h1));
        lengths.holds(&format!("length at {rate}"), Some(computed.expected_samples));
    }
}

/// Whether each of 20 000 decisions of one detector was for H1, and how long it took.
fn decisions(config: &Config, mut draw: impl FnMut() -> f64) -> (Sample, Sample) {
    config.check().expect("sound parameters");
    let mut detector = config.start(Stream::named(Seed(20), "run_lengths", "draws"));
    let (mut h1, mut lengths, mut n) = (Sample::default(), Sample::default(), 0.0);
    while h1.0.len() < 20_000 {
        n += 1.0;
        let step = detector.update(draw());
        if matches!(step, Step::Alarm | Step::Cleared) {
            h1.0.push(f64::from(u8::from(step == Step::Alarm)));
            lengths.0.push(n);
            n = 0.0;
        }
    }
    (h1, lengths)
}

/// Of Gaussian data only Wald's bounds are computed: alpha/(1 - beta) and beta/(1 - alpha). They are attained but for the jump over
/// the threshold, which takes about exp(-0.583 delta) of them (Siegmund, "Sequential Analysis" (1985), section 8.2).
#[test]
fn sequential_tests_of_gaussian_means_err_as_often_as_they_say() {
    let (mu0, mu1, sigma, alpha, beta) = (2.0, 2.5, 1.0, 0.05, 0.05);
    let config = Config::SprtGaussian(SprtGaussianConfig { mu0, mu1, sigma, alpha, beta });
    let mut draws = Normal::new("sprt-gaussian");
    let jump = libm::exp(-0.583 * (mu1 - mu0) / sigma);
    for (mean, wrong) in [(mu0, 1.0), (mu1, 0.0)] {
        let (h1, _) = decisions(&config, || draws.draw(mean));
        let erred = h1.0.iter().filter(|&&of| of == wrong).count() as f64 / h1.0.len() as f64;
        let error = 4.0 * (erred / h1.0.len() as f64).sqrt();
        assert!(erred <= alpha / (1.0 - beta) + error, "at {mean}: {erred}");
        assert!((erred - alpha / (1.0 - beta) * jump).abs() < 0.1 * alpha + error, "at {mean}: {erred}");
    }
}

/// An observation of a shift's distribution without or with the fault.
fn observe(shift: Shift, fault: bool, draws: &mut Stream) -> f64 {
    let u = draws.uniform();
    match shift {
        Shift::Gaussian { delta } => normal::quantile(u) + if fault { delta } else { 0.0 },
        Shift::Lognormal { sigma_log, multiplier } => {
            libm::exp(sigma_log * normal::quantile(u)) * if fault { multiplier } else { 1.0 }
        }
        Shift::Bernoulli { p0, p1 } => f64::from(u8::from(u < if fault { p1 } else { p0 })),
        Shift::Beta { pre, post } => {
            let (a, b) = if fault { post } else { pre };
            special::beta_inc_inverse(a, b, u).unwrap()
        }
        Shift::GaussianVariance { pre_sd, post_sd } => normal::quantile(u) * if fault { post_sd } else { pre_sd },
    }
}

/// The optimal rule itself, on drawn observations: threshold, ratio, ARL0, delay and its quantiles fit each other.
#[test]
fn optimal_rules_do_what_was_computed_for_them() {
    let mut draws = Stream::named(Seed(20), "run_lengths", "oracle");
    let shifts = [
        Shift::Gaussian { delta: -0.5 },
        Shift::Lognormal { sigma_log: 0.5, multiplier: 1.5 },
        Shift::Bernoulli { p0: 0.01, p1: 0.05 },
        Shift::Bernoulli { p0: 0.98, p1: 0.9 },
        Shift::Beta { pre: (2.0, 5.0), post: (3.0, 4.0) },
        Shift::GaussianVariance { pre_sd: 1.0, post_sd: 1.5 },
        Shift::GaussianVariance { pre_sd: 1.0, post_sd: 0.6 },
    ];
    for shift in shifts {
        let optimum = shift.optimum(300.0).unwrap();
        // Beta values are drawn by inversion, which is slow.
        let exposure = if matches!(shift, Shift::Beta { .. }) { 120_000 } else { 600_000 };
        let mut run = |fault: bool| {
            let (mut w, mut t) = (0.0, 0);
            while w <= optimum.threshold {
                t += 1;
                w = f64::max(0.0, w) + shift.llr(observe(shift, fault, &mut draws)).unwrap();
            }
            t
        };
        runs(exposure, || run(false)).holds(&format!("ARL0 of {optimum:?}"), Some(optimum.arl0));
        let delays = runs(exposure / 6, || run(true));
        delays.holds(&format!("delay of {optimum:?}"), Some(optimum.delay));
        for q in [0.25, 0.9] {
            let t = optimum.delay_quantile(q).unwrap() as f64;
            let share = |by: f64| delays.0.iter().filter(|&&d| d <= by).count() as f64 / delays.0.len() as f64;
            let error = 4.0 * (q * (1.0 - q) / delays.0.len() as f64).sqrt();
            assert!(share(t) >= q - error && share(t - 1.0) <= q + error, "{q} of {optimum:?}: {t}");
        }
    }
}

/// Where even one error is too few for the false alarms that are allowed, the rule is to alarm on the first.
#[test]
fn at_its_floor_the_optimal_rule_alarms_on_the_first_error() {
    let shift = Shift::Bernoulli { p0: 0.01, p1: 0.05 };
    let optimum = shift.optimum(50.0).unwrap();
    assert!(shift.llr(1.0).unwrap() > optimum.threshold && optimum.threshold > 0.0);
    let mut draws = Stream::named(Seed(20), "run_lengths", "floor");
    for (rate, computed) in [(0.01, optimum.arl0), (0.05, optimum.delay)] {
        assert!((computed * rate - 1.0).abs() < 1e-12);
        let sample = runs(400_000, || {
            let mut t = 1;
            while draws.uniform() >= rate {
                t += 1;
            }
            t
        });
        sample.holds(&format!("first error at {rate}"), Some(computed));
    }
}

/// No chart detects by `t` more often than the bound for its own chance of a false alarm by `t`; a single observation's chart is
/// the best test and attains it. One whose statistic is half way up when the fault comes, because it knows when, is told by it.
#[test]
fn bounds_on_detection_hold_for_charts_and_break_for_one_that_knows_the_fault() {
    let delta = 0.5;
    for (reference, threshold) in [(0.25, 4.3), (0.5, 3.0), (0.1, 8.0), (0.25, 0.0)] {
        let chart = Cusum { reference, threshold };
        let power = |t| np_power_gaussian(delta, t, chart.cdf(0.0, 0.0, t).unwrap()).unwrap();
        let found = |t, start| chart.cdf(delta, start, t).unwrap();
        for t in [1, 2, 5, 10, 20, 50, 100] {
            assert!(found(t, 0.0) <= power(t) + 1e-9, "{chart:?} {t}: {} {}", found(t, 0.0), power(t));
        }
        assert!((found(1, 0.0) - power(1)).abs() < 1e-9, "{chart:?}");
        assert!(threshold == 0.0 || found(2, 0.5 * threshold) > 2.0 * power(2), "{chart:?}");
    }

    // The simulated form bounds the exact one.
    let mut draws = Normal::new("bounds");
    let mut ratios = |fault: f64| -> Vec<f64> {
        (0..3000).map(|_| (0..10).map(|_| delta * draws.draw(fault) - 0.5 * delta * delta).sum()).collect()
    };
    let (null, fault) = (ratios(0.0), ratios(delta));
    for alpha in [0.01, 0.1, 0.5] {
        let exact = np_power_gaussian(delta, 10, alpha).unwrap();
        let bound = np_power(&null, &fault, alpha, 0.99).unwrap();
        assert!(bound >= exact && bound <= exact + 0.12, "{alpha}: {bound} {exact}");
    }
}
