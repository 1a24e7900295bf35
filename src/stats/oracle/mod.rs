//! Owns the limit of detection: how fast any rule could find a known shift at a given false-alarm rate.
//!
//! Of all rules whose mean time between false alarms (ARL0) is at least some number, the CUSUM of the log-likelihood ratio
//! (`W = max(0, W) + llr` from 0, alarm when `W` exceeds a threshold) has the smallest worst-case mean delay: G. V. Moustakides, Annals
//! of Statistics 14 (1986) 1379-1387, exactly; G. Lorden, Annals of Mathematical Statistics 42 (1971) 1897-1908, to first order.
//! Worst case means: over all change points and all pasts. For the CUSUM that is a start from `W = 0`. Delays count observations
//! up to and including the alarming one.
//!
//! The first-order formula `ln(ARL0) / KL` is not a bound at practical rates: for a shift of 0.1 standard deviations and an ARL0
//! of 1000 it says 1382 observations, the optimum is 243. [`Shift::optimum`] computes the optimum itself.
//!
//! What it does not bound: rules that know more than single observations drawn independently from the two distributions,
//! a fault that grows, and delays measured at a change point other than the worst. [`neyman_pearson`] has bounds on the chance
//! of detection by a given time, which need none of that.

mod bernoulli;
mod lattice;
pub mod neyman_pearson;

use super::arl::chain::Chain;
use super::arl::cusum::Cusum;
use super::arl::{siegmund, tail};
use super::{normal, root, special};
use bernoulli::Chart;
use lattice::{Pieces, Point, Under};

/// What a fault does to the distribution of one observation. Observations are independent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shift {
    /// A standard normal value whose mean becomes `delta`; not zero.
    Gaussian {
        /// The new mean, in standard deviations.
        delta: f64,
    },
    /// A lognormal latency that is multiplied; the observation is the latency in multiples of its healthy median.
    Lognormal {
        /// The standard deviation of the latency's logarithm; positive.
        sigma_log: f64,
        /// The factor; positive, not 1.
        multiplier: f64,
    },
    /// A rate of ones that changes from `p0` to `p1`; the observation is 0 or 1.
    Bernoulli {
        /// The rate without the fault, strictly between 0 and 1.
        p0: f64,
        /// The rate with it, likewise.
        p1: f64,
    },
    /// A score in `(0, 1)` with a beta distribution whose parameters change; all positive.
    Beta {
        /// Both parameters without the fault.
        pre: (f64, f64),
        /// Both with it.
        post: (f64, f64),
    },
    /// A normal value of mean zero whose standard deviation changes, by a factor of at most 100.
    GaussianVariance {
        /// The deviation without the fault.
        pre_sd: f64,
        /// The deviation with it.
        post_sd: f64,
    },
}

/// The optimal rule for a shift, and what it achieves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Optimum {
    /// What it is optimal for.
    pub shift: Shift,
    /// The alarm is raised when the CUSUM `W = max(0, W) + llr` exceeds this. Lies between two reachable values where values are
    /// discrete, so that rounding in the sums does not matter. Negative where the shift is so large, or the ARL0 asked for so
    /// small, that single observations decide.
    pub threshold: f64,
    /// The mean number of observations until a false alarm: what is achieved, which for ones and zeros is above the target
    /// and never below 1/p0, since no rule of this kind alarms without a one.
    pub arl0: f64,
    /// The mean delay in the worst case, in observations.
    pub delay: f64,
    /// The Kullback-Leibler divergence of the distribution with the fault from that without, in nats per observation.
    pub kl: f64,
    /// Lorden's first-order delay `ln(arl0) / kl`, for comparison.
    pub first_order: f64,
    /// How far `arl0` and `delay` may be off, relatively.
    pub uncertainty: f64,
}

/// What the methods that solve to rounding have reached at worst against references.
const ROUNDING: f64 = 1e-9;
/// The densities of continuous ratios are represented by so many points.
const POINTS: i32 = 8000;
/// Factors between deviations beyond this are refused: one observation tells.
const FACTOR_MAX: f64 = 100.0;

impl Shift {
    /// The log-likelihood ratio of one observation, in nats: positive where it speaks for the fault. `None` for a value that
    /// cannot be observed, and for parameters outside their domain; infinite where one of two scores is at its end.
    #[must_use]
    pub fn llr(&self, x: f64) -> Option<f64> {
        self.valid().then_some(())?;
        let ratio = match *self {
            Self::Gaussian { delta } => delta * x - 0.5 * delta * delta,
            Self::Lognormal { sigma_log, .. } => {
                let delta = self.delta()?;
                delta * libm::log(x) / sigma_log - 0.5 * delta * delta
            }
            Self::Bernoulli { p0, p1 } if x == 1.0 => libm::log(p1 / p0),
            Self::Bernoulli { p0, p1 } if x == 0.0 => libm::log1p(-p1) - libm::log1p(-p0),
            Self::Bernoulli { .. } => f64::NAN,
            Self::Beta { .. } if !(0.0..=1.0).contains(&x) => f64::NAN,
            Self::Beta { pre, post } => beta_llr(pre, post, libm::log(x), libm::log1p(-x)),
            Self::GaussianVariance { pre_sd, post_sd } => {
                libm::log(pre_sd / post_sd) + 0.5 * x * x * (1.0 / (pre_sd * pre_sd) - 1.0 / (post_sd * post_sd))
            }
        };
        (!ratio.is_nan()).then_some(ratio)
    }

    /// The Kullback-Leibler divergence of the distribution with the fault from that without, in nats per observation; `None`
    /// for parameters outside their domain, and for a shift too small for a number.
    #[must_use]
    pub fn kl(&self) -> Option<f64> {
        self.valid().then_some(())?;
        let kl = match *self {
            Self::Gaussian { .. } | Self::Lognormal { .. } => {
                let delta = self.delta()?;
                0.5 * delta * delta
            }
            Self::Bernoulli { p0, p1 } => p1 * libm::log(p1 / p0) + (1.0 - p1) * (libm::log1p(-p1) - libm::log1p(-p0)),
            Self::GaussianVariance { pre_sd, post_sd } => {
                let square = (post_sd / pre_sd) * (post_sd / pre_sd);
                0.5 * (square - 1.0 - libm::log(square))
            }
            Self::Beta { pre, post } => beta_kl(pre, post),
        };
        (kl > 0.0 && kl.is_finite()).then_some(kl)
    }

    /// The optimal rule among those with a mean time between false alarms of at least `arl0` observations. `None` for
    /// parameters outside their domain, unless `1 < arl0 < infinity`, and where the computation would be excessive (rates
    /// near 1e-6 and below, charts thousands of standard deviations high).
    #[must_use]
    pub fn optimum(&self, arl0: f64) -> Option<Optimum> {
        if !(self.valid() && arl0 > 1.0 && arl0.is_finite()) {
            return None;
        }
        match *self {
            Self::Gaussian { .. } | Self::Lognormal { .. } => {
                let delta = self.delta()?.abs();
                self.rule(gaussian_threshold(delta, arl0)?)
            }
            Self::Bernoulli { .. } => {
                let (rates, one, unit) = self.counts()?;
                // A target of exactly 1/p0 is met by the alarm on the first one; rounding must not decide that.
                let chart = Chart::reaching(one, unit, rates.0, arl0 * (1.0 - 1e-12))?;
                self.rule(chart.height * unit)
            }
            Self::Beta { .. } | Self::GaussianVariance { .. } => self.rule(self.pieces()?.threshold(arl0)?),
        }
    }

    /// The optimal rule with the largest ARL0 that is not above `arl0`: no rule whose ARL0 is `arl0` has a smaller worst-case mean
    /// delay. For continuous observations that is [`optimum`](Self::optimum); ones and zeros have gaps between the ARL0s that
    /// can be reached, where other rules may lie. `None` as there, and where every optimal rule's ARL0 is above.
    #[must_use]
    pub fn bound(&self, arl0: f64) -> Option<Optimum> {
        let best = self.optimum(arl0)?;
        let fits = |best: &Optimum| best.arl0 <= arl0 * (1.0 + 1e-9);
        if fits(&best) || !matches!(self, Self::Bernoulli { .. }) {
            return Some(best);
        }
        // What is reached is a rising step function of the target.
        let mut found = self.optimum(1.0 + 1e-6).filter(fits)?;
        let (mut low, mut high) = (found.arl0, arl0);
        for _ in 0..10 {
            let middle = (low * high).sqrt();
            match self.optimum(middle).filter(fits) {
                Some(best) => (found, low) = (best, middle.max(best.arl0)),
                None => high = middle,
            }
        }
        Some(found)
    }

    /// What the CUSUM of this shift's log-likelihood ratio with a given threshold achieves. `None` as for
    /// [`optimum`](Self::optimum), for a threshold that is not finite, where ARL0 exceeds any number, and for a negative threshold
    /// of ones and zeros, which would alarm on any.
    #[must_use]
    pub fn rule(&self, threshold: f64) -> Option<Optimum> {
        if !(self.valid() && threshold.is_finite()) {
            return None;
        }
        let (arl0, delay, uncertainty) = match *self {
            Self::Gaussian { .. } | Self::Lognormal { .. } => {
                let (chart, delta) = self.chart(threshold)?;
                let mean = |shift: f64| match single(threshold, delta, shift) {
                    Some(alarm) => Some(1.0 / alarm),
                    None => chart.arl(shift, 0.0),
                };
                (mean(0.0)?, mean(delta)?, ROUNDING)
            }
            Self::Bernoulli { .. } if threshold < 0.0 => return None,
            Self::Bernoulli { .. } => {
                let (rates, one, unit) = self.counts()?;
                let chart = Chart { one, height: threshold / unit };
                (chart.mean(rates.0)?, chart.mean(rates.1)?, ROUNDING)
            }
            Self::Beta { .. } | Self::GaussianVariance { .. } => {
                let pieces = self.pieces()?;
                let (pre, post) = (pieces.mean(threshold, Under::Pre)?, pieces.mean(threshold, Under::Post)?);
                (pre.value, post.value, pre.uncertainty.max(post.uncertainty))
            }
        };
        let kl = self.kl()?;
        let first_order = libm::log(arl0) / kl;
        let known = arl0.is_finite() && delay.is_finite();
        known.then_some(Optimum { shift: *self, threshold, arl0, delay, kl, first_order, uncertainty })
    }

    /// Whether parameters are inside their domain, and the shift is one.
    fn valid(&self) -> bool {
        let positive = |x: f64| x > 0.0 && x.is_finite();
        match *self {
            Self::Gaussian { delta } => delta != 0.0 && delta.is_finite(),
            Self::Lognormal { sigma_log, multiplier } => {
                positive(sigma_log) && positive(multiplier) && multiplier != 1.0
            }
            Self::Bernoulli { p0, p1 } => p0 > 0.0 && p0 < 1.0 && p1 > 0.0 && p1 < 1.0 && p0 != p1,
            Self::Beta { pre, post } => [pre.0, pre.1, post.0, post.1].into_iter().all(positive) && pre != post,
            Self::GaussianVariance { pre_sd, post_sd } => {
                let factor = post_sd / pre_sd;
                let known = (1.0 / FACTOR_MAX..=FACTOR_MAX).contains(&factor);
                positive(pre_sd) && positive(post_sd) && factor != 1.0 && known
            }
        }
    }

    /// The shift of the equivalent standard normal value, if there is one.
    fn delta(&self) -> Option<f64> {
        match *self {
            Self::Gaussian { delta } => Some(delta),
            Self::Lognormal { sigma_log, multiplier } => Some(libm::log(multiplier) / sigma_log),
            _ => None,
        }
    }

    /// The chart of standardised values that alarms when the ratio's does, and the shift in its direction: the chart for a shift
    /// downwards is the mirror image of the one upwards.
    fn chart(&self, threshold: f64) -> Option<(Cusum, f64)> {
        let delta = self.delta()?.abs();
        Some((Cusum { reference: 0.5 * delta, threshold: threshold / delta }, delta))
    }

    /// Both rates of the outcome that speaks for the fault, what it adds to the ratio in units of what the other takes away,
    /// and that unit in nats.
    fn counts(&self) -> Option<((f64, f64), f64, f64)> {
        let Self::Bernoulli { p0, p1 } = *self else { return None };
        let (one, zero) = (libm::log(p1 / p0), libm::log1p(-p1) - libm::log1p(-p0));
        let (rates, up, unit) = if one > 0.0 { ((p0, p1), one, -zero) } else { ((1.0 - p0, 1.0 - p1), zero, -one) };
        (up > 0.0 && unit > 0.0).then_some((rates, up / unit, unit))
    }

    /// The ratio's distribution in pieces, where it has no closed form.
    fn pieces(&self) -> Option<Pieces> {
        match *self {
            Self::Beta { pre, post } => Pieces::between(&beta_points(pre, post)),
            Self::GaussianVariance { pre_sd, post_sd } => Pieces::between(&variance_points(self, pre_sd, post_sd)?),
            _ => None,
        }
    }
}

impl Optimum {
    /// The smallest number of observations within which the rule has alarmed with probability at least `q`, with the fault there
    /// from the start and the rule's statistic at zero. On a grid (beta, variance) the probability is good to about 1e-3. `None`
    /// unless `0 < q < 1`, and beyond a million observations of ones and zeros.
    #[must_use]
    pub fn delay_quantile(&self, q: f64) -> Option<u64> {
        match self.shift {
            Shift::Gaussian { .. } | Shift::Lognormal { .. } => {
                let (chart, delta) = self.shift.chart(self.threshold)?;
                let Some(alarm) = single(self.threshold, delta, delta) else { return chart.quantile(delta, 0.0, q) };
                let chain = Chain::single(alarm);
                tail::quantile(chain.survival(&chain.zero), q)
            }
            Shift::Bernoulli { .. } => {
                let (rates, one, unit) = self.shift.counts()?;
                tail::quantile(Chart { one, height: self.threshold / unit }.survival(rates.1)?, q)
            }
            Shift::Beta { .. } | Shift::GaussianVariance { .. } => {
                let pieces = self.shift.pieces()?;
                let chain = pieces.chain(self.threshold, pieces.cells(self.threshold), Under::Post)?;
                tail::quantile(chain.survival(&chain.zero), q)
            }
        }
    }
}

/// Where single observations decide, the probability that one of a normal value's does whose mean is `shift`.
fn single(threshold: f64, delta: f64, shift: f64) -> Option<f64> {
    (threshold < 0.0).then(|| normal::sf(threshold / delta + 0.5 * delta - shift))
}

/// The threshold at which ARL0 is `target` for a positive shift `delta` of a standard normal mean.
fn gaussian_threshold(delta: f64, target: f64) -> Option<f64> {
    let reference = 0.5 * delta;
    // What a chart at zero has, and anything below it: P(z > quantile) = 1/target.
    if normal::sf(reference) * target <= 1.0 {
        return Some(-delta * (normal::quantile(1.0 / target) + reference));
    }
    let excess = |threshold| Cusum { reference, threshold }.arl(0.0, 0.0).map(|mean| libm::log(mean / target));
    // Siegmund's approximation is near and costs nothing: it narrows the bracket.
    let rough = |threshold: f64| siegmund(reference, threshold, 0.0).map_or(f64::NAN, |mean| libm::log(mean / target));
    let mut high = 1.0;
    while rough(high) < 0.0 {
        high *= 2.0;
    }
    let guess = root::increasing(0.0, high, 1e-6, rough);
    let (mut low, mut high) = (0.9 * guess, 1.05 * guess + 0.1);
    while excess(low)? > 0.0 {
        low *= 0.5;
    }
    while excess(high)? < 0.0 {
        high *= 1.5;
    }
    Some(delta * root::increasing(low, high, 1e-12, |threshold| excess(threshold).unwrap_or(f64::NAN)))
}

/// From the logarithms of a score and of its complement. A parameter that stays the same has no say, even at an end.
fn beta_llr(pre: (f64, f64), post: (f64, f64), ln_x: f64, ln_rest: f64) -> f64 {
    let part = |difference: f64, ln: f64| if difference == 0.0 { 0.0 } else { difference * ln };
    part(post.0 - pre.0, ln_x) + part(post.1 - pre.1, ln_rest) + ln_beta(pre) - ln_beta(post)
}

/// ln B(a, b).
fn ln_beta((a, b): (f64, f64)) -> f64 {
    special::ln_gamma(a) + special::ln_gamma(b) - special::ln_gamma(a + b)
}

/// Equal steps of the score's logit, in which a beta density is smooth and falls exponentially at both ends: the trapezoidal
/// rule converges geometrically there.
fn beta_points(pre: (f64, f64), post: (f64, f64)) -> Vec<Point> {
    // From the mode, at ln(a/b) in logits, 42 e-folds or nine deviations, whichever the density falls by there.
    let reach = |(a, b): (f64, f64)| {
        let (mode, deviation) = (libm::log(a / b), ((a + b) / (a * b)).sqrt());
        (mode - 42.0 / a - 9.0 * deviation, mode + 42.0 / b + 9.0 * deviation)
    };
    let (low, high) = (f64::min(reach(pre).0, reach(post).0), f64::max(reach(pre).1, reach(post).1));
    let point = |i: i32| {
        let logit = low + (high - low) * f64::from(i) / f64::from(POINTS);
        let ln_x = -libm::log1p(libm::exp(-logit.abs())) + logit.min(0.0);
        let ln_rest = ln_x - logit;
        let density = |at: (f64, f64)| libm::exp(at.0 * ln_x + at.1 * ln_rest - ln_beta(at));
        Point { llr: beta_llr(pre, post, ln_x, ln_rest), pre: density(pre), post: density(post) }
    };
    (0..=POINTS).map(point).collect()
}

/// The mean of the ratio with the fault, by the same rule.
fn beta_kl(pre: (f64, f64), post: (f64, f64)) -> f64 {
    let points = beta_points(pre, post);
    let sum = |f: fn(&Point) -> f64| points.iter().map(f).sum::<f64>();
    sum(|p| p.post * p.llr) / sum(|p| p.post)
}

/// The upper half of both densities (the ratio is even), at `x = s sinh(u)` with equal steps of `u`: fine steps near zero for
/// the smaller deviation `s`, wide ones for the larger.
fn variance_points(shift: &Shift, pre_sd: f64, post_sd: f64) -> Option<Vec<Point>> {
    let small = pre_sd.min(post_sd);
    let most = libm::asinh(9.5 * pre_sd.max(post_sd) / small);
    let point = |i: i32| {
        let u = most * f64::from(i) / f64::from(POINTS);
        let x = small * libm::sinh(u);
        let density = |deviation: f64| libm::cosh(u) * normal::density(x / deviation) / deviation;
        Some(Point { llr: shift.llr(x)?, pre: density(pre_sd), post: density(post_sd) })
    };
    (0..=POINTS).map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIFTS: [Shift; 7] = [
        Shift::Gaussian { delta: 1.0 },
        Shift::Gaussian { delta: -0.25 },
        Shift::Lognormal { sigma_log: 0.5, multiplier: 1.5 },
        Shift::Bernoulli { p0: 0.01, p1: 0.05 },
        Shift::Bernoulli { p0: 0.99, p1: 0.95 },
        Shift::Beta { pre: (2.0, 5.0), post: (3.0, 4.0) },
        Shift::GaussianVariance { pre_sd: 2.0, post_sd: 1.0 },
    ];

    /// Thresholds, ARL0 and delay of both approximate kinds, by Gauss-Legendre panels that end where the solution is singular
    /// (numpy; two orders agree to 1e-7 or better). Apart from this crate and from `tests/fixtures/reference`.
    #[test]
    fn grids_agree_with_spectral_solutions_within_their_uncertainty() {
        let beta = |post| Shift::Beta { pre: (2.0, 5.0), post };
        let variance = |post_sd| Shift::GaussianVariance { pre_sd: 1.0, post_sd };
        let cases = [
            (beta((2.5, 5.0)), 1.764_904_840_244_994_3, 100.251_505, 25.746_965_25),
            (beta((2.5, 5.0)), 3.699_787_357_881_969, 1_004.250_078, 63.502_292_5),
            (beta((2.5, 5.0)), 5.929_287_335_106_523, 10_072.047_7, 109.042_472),
            (beta((3.0, 4.0)), 2.752_866_989_579_332, 100.299_838_0, 7.743_892_841),
            (beta((3.0, 4.0)), 4.958_075_920_097_532, 1_004.679_701, 13.816_273_317),
            (beta((3.0, 4.0)), 7.247_215_098_323_489, 10_067.190_558, 20.172_024_577),
            (variance(1.5), 1.948_131_233_981_326_6, 100.221_242_8, 9.977_760_769),
            (variance(1.5), 4.040_843_629_843_528, 1_000.806_388, 19.301_471_041),
            (variance(1.5), 6.285_449_539_816_217, 9_806.710_067, 29.498_656_064),
            (variance(2.0), 2.147_901_410_095_678_4, 100.252_826_3, 4.706_011_484),
            (variance(2.0), 4.330_570_666_514_832_5, 1_002.670_407, 7.441_461_027),
            (variance(2.0), 6.546_740_159_474_692, 9_395.042_648, 10.201_493_203),
        ];
        for (shift, threshold, arl0, delay) in cases {
            let got = shift.rule(threshold).unwrap();
            let off = f64::max((got.arl0 / arl0 - 1.0).abs(), (got.delay / delay - 1.0).abs());
            assert!(off <= got.uncertainty && off < 2e-5, "{off} {got:?}");
        }
    }

    #[test]
    fn targets_are_reached_and_delays_lie_between_one_and_the_wait_for_a_false_alarm() {
        for shift in SHIFTS {
            let mut before = 0.0;
            for target in [50.0, 500.0, 5000.0] {
                let got = shift.optimum(target).unwrap();
                let discrete = matches!(shift, Shift::Bernoulli { .. });
                assert!(
                    got.arl0 >= target * (1.0 - 1e-4) && (discrete || got.arl0 <= target * (1.0 + 1e-4)),
                    "{got:?}"
                );
                assert!(got.delay >= 1.0 && got.delay < got.arl0 && got.delay >= before, "{got:?}");
                before = got.delay;
            }
        }
    }

    /// Nothing reaches Lorden's first order from below by much, and far out the delay grows as it does.
    #[test]
    fn the_delay_grows_by_one_over_the_divergence_per_factor_e() {
        for shift in SHIFTS {
            let kl = shift.kl().unwrap();
            let (short, long) = (shift.optimum(1e5).unwrap(), shift.optimum(1e7).unwrap());
            let slope = (long.delay - short.delay) * kl / libm::log(long.arl0 / short.arl0);
            assert!((slope - 1.0).abs() < 0.03, "{shift:?}: {slope}");
        }
    }

    #[test]
    fn alarms_on_the_first_error_are_the_floor() {
        let got = Shift::Bernoulli { p0: 0.001, p1: 0.01 }.optimum(100.0).unwrap();
        assert!((got.arl0 - 1000.0).abs() < 1e-9 && (got.delay - 100.0).abs() < 1e-9, "{got:?}");
        let ratio = got.shift.llr(1.0).unwrap();
        assert!(got.threshold > 0.0 && got.threshold < ratio);
        // A target of exactly 1/p0 is met by it.
        assert!((Shift::Bernoulli { p0: 0.01, p1: 0.02 }.optimum(100.0).unwrap().delay - 50.0).abs() < 1e-9);
    }

    /// Where a single observation tells enough, the optimum is its test, repeated: delay 1/power at size 1/ARL0.
    #[test]
    fn large_shifts_are_found_by_repeated_tests() {
        for (delta, target) in [(1.0, 2.0), (-6.0, 500.0), (90.0, 1e6)] {
            let got = Shift::Gaussian { delta }.optimum(target).unwrap();
            let power = neyman_pearson::np_power_gaussian(delta, 1, 1.0 / target).unwrap();
            assert!((got.arl0 / target - 1.0).abs() < 1e-9 && (got.delay * power - 1.0).abs() < 1e-9, "{got:?}");
            assert!(got.threshold < 0.0 && got.delay_quantile(0.5) == Some(1), "{got:?}");
        }
        // It joins the charts' regime without a step.
        let floor = 1.0 / normal::sf(0.5);
        let at = |target: f64| Shift::Gaussian { delta: 1.0 }.optimum(target).unwrap();
        assert!((at(floor * (1.0 - 1e-9)).delay - at(floor * (1.0 + 1e-9)).delay).abs() < 1e-6);
        let beta = Shift::Beta { pre: (2.0, 5.0), post: (5.0, 2.0) }.optimum(3.0).unwrap();
        assert!(beta.threshold < 0.0 && (beta.arl0 - 3.0).abs() < 1e-9 && beta.delay < 1.3, "{beta:?}");
    }

    #[test]
    fn a_bound_is_the_optimum_at_or_below_a_rate_of_false_alarms() {
        let shift = Shift::Bernoulli { p0: 0.05, p1: 0.15 };
        for arl0 in [30.0, 180.0, 555.5, 4000.0] {
            let (bound, above) = (shift.bound(arl0).unwrap(), shift.optimum(arl0).unwrap());
            assert!(bound.arl0 <= arl0 && above.arl0 >= arl0 && bound.delay <= above.delay, "{bound:?} {above:?}");
            // Nothing reachable lies between.
            assert!(
                shift.optimum(bound.arl0 * 1.01).unwrap().arl0 > arl0 * 0.99 || bound.arl0 > arl0 * 0.98,
                "{bound:?}"
            );
            assert_eq!(shift.bound(bound.arl0).unwrap().arl0, bound.arl0);
        }
        assert_eq!(shift.bound(19.0), None, "no rule of this kind alarms without a one");
        let normal = Shift::Gaussian { delta: 1.0 };
        assert_eq!(normal.bound(500.0), normal.optimum(500.0));
    }

    /// Swapping what counts as a one changes nothing.
    #[test]
    fn a_falling_success_rate_is_a_rising_error_rate() {
        let errors = Shift::Bernoulli { p0: 0.02, p1: 0.07 };
        let successes = Shift::Bernoulli { p0: 0.98, p1: 0.93 };
        let (one, other) = (errors.optimum(3000.0).unwrap(), successes.optimum(3000.0).unwrap());
        for (a, b) in
            [(one.arl0, other.arl0), (one.delay, other.delay), (one.kl, other.kl), (one.threshold, other.threshold)]
        {
            assert!((a / b - 1.0).abs() < 1e-9, "{one:?} {other:?}");
        }
        assert!((errors.llr(1.0).unwrap() - successes.llr(0.0).unwrap()).abs() < 1e-14);
    }

    /// exp(llr) has mean 1 without the fault, and llr has mean KL with it: sums over many equally likely values.
    #[test]
    fn ratios_are_those_of_the_two_densities() {
        let n = 200_000;
        let shares = || (0..n).map(|i| (f64::from(i) + 0.5) / f64::from(n));
        for shift in SHIFTS {
            let draw = |u: f64, fault: bool| match shift {
                Shift::Gaussian { delta } => normal::quantile(u) + if fault { delta } else { 0.0 },
                Shift::Lognormal { sigma_log, multiplier } => {
                    libm::exp(sigma_log * normal::quantile(u)) * if fault { multiplier } else { 1.0 }
                }
                Shift::Bernoulli { p0, p1 } => f64::from(u8::from(u < if fault { p1 } else { p0 })),
                Shift::Beta { pre, post } => {
                    let (a, b) = if fault { post } else { pre };
                    special::beta_inc_inverse(a, b, u).unwrap()
                }
                Shift::GaussianVariance { pre_sd, post_sd } => {
                    normal::quantile(u) * if fault { post_sd } else { pre_sd }
                }
            };
            let mean = |f: &dyn Fn(f64) -> f64| shares().map(f).sum::<f64>() / f64::from(n);
            let ratio = |u: f64, fault: bool| shift.llr(draw(u, fault)).unwrap();
            let odds = mean(&|u| libm::exp(ratio(u, false)));
            let kl = mean(&|u| ratio(u, true));
            assert!((odds - 1.0).abs() < 1e-3, "{shift:?}: {odds}");
            assert!((kl / shift.kl().unwrap() - 1.0).abs() < 1e-3, "{shift:?}: {kl}");
        }
    }

    #[test]
    fn quantiles_of_the_delay_lie_around_its_mean() {
        for shift in SHIFTS {
            let optimum = shift.optimum(1000.0).unwrap();
            let [low, median, high] = [0.05, 0.5, 0.95].map(|q| optimum.delay_quantile(q).unwrap() as f64);
            assert!(low <= median && median <= high, "{shift:?}");
            assert!(
                median < 1.2 * optimum.delay && high > optimum.delay && low < optimum.delay,
                "{optimum:?} {median}"
            );
            assert_eq!(optimum.delay_quantile(1.0), None);
        }
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        let bad = [
            Shift::Gaussian { delta: 0.0 },
            Shift::Gaussian { delta: f64::NAN },
            Shift::Lognormal { sigma_log: 0.0, multiplier: 2.0 },
            Shift::Lognormal { sigma_log: 0.5, multiplier: 1.0 },
            Shift::Bernoulli { p0: 0.0, p1: 0.5 },
            Shift::Bernoulli { p0: 0.5, p1: 0.5 },
            Shift::Bernoulli { p0: 0.5, p1: f64::NAN },
            Shift::Beta { pre: (2.0, 5.0), post: (2.0, 5.0) },
            Shift::Beta { pre: (2.0, 0.0), post: (2.0, 5.0) },
            Shift::Beta { pre: (2.0, f64::INFINITY), post: (2.0, 5.0) },
            Shift::GaussianVariance { pre_sd: 1.0, post_sd: 1.0 },
            Shift::GaussianVariance { pre_sd: 1.0, post_sd: 101.0 },
            Shift::GaussianVariance { pre_sd: f64::NAN, post_sd: 1.0 },
        ];
        for shift in bad {
            assert!(shift.optimum(100.0).is_none() && shift.rule(1.0).is_none() && shift.kl().is_none(), "{shift:?}");
            assert_eq!(shift.llr(0.5), None, "{shift:?}");
        }
        for shift in SHIFTS {
            for target in [0.5, 1.0, -1.0, f64::NAN, f64::INFINITY] {
                assert!(shift.optimum(target).is_none(), "{shift:?} {target}");
            }
            for threshold in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                assert!(shift.rule(threshold).is_none(), "{shift:?} {threshold}");
            }
            assert_eq!(shift.llr(f64::NAN), None);
        }
        // Parameters that no computer number can carry through.
        for shift in [
            Shift::Gaussian { delta: 1e-200 },
            Shift::Gaussian { delta: 1e200 },
            Shift::Bernoulli { p0: 1e-300, p1: 1e-200 },
            Shift::Bernoulli { p0: 0.3, p1: 0.3 + 1e-16 },
            Shift::Beta { pre: (1e-300, 1.0), post: (1.0, 1.0) },
            Shift::Beta { pre: (1e300, 1.0), post: (1.0, 1.0) },
        ] {
            assert!(shift.optimum(1e9).is_none_or(|o| o.delay >= 1.0), "{shift:?}");
            assert!(shift.rule(800.0).is_none_or(|o| o.delay >= 1.0), "{shift:?}");
        }
        assert!(Shift::Bernoulli { p0: 0.1, p1: 0.2 }.rule(-0.1).is_none());
        assert_eq!(Shift::Bernoulli { p0: 0.1, p1: 0.2 }.llr(0.5), None);
        assert_eq!(Shift::Lognormal { sigma_log: 0.5, multiplier: 2.0 }.llr(-1.0), None);
        let beta = Shift::Beta { pre: (2.0, 5.0), post: (2.5, 5.0) };
        assert_eq!((beta.llr(1.5), beta.llr(-0.1)), (None, None));
        assert_eq!(beta.llr(0.0), Some(f64::NEG_INFINITY));
        assert!(beta.llr(1.0).unwrap().is_finite(), "the second parameter has no say");
    }
}
