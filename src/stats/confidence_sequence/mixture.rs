//! Owns uniform boundaries for sums: mixtures of exponential supermartingales, and the stitched boundary.
//!
//! With `S` a sum and `V` its intrinsic time, `exp(lambda S - psi(lambda) V)` has mean at most 1 for every `lambda`, and so has any
//! average of it over `lambda`. By Ville's inequality that average exceeds `1/alpha` at some time with probability at most
//! `alpha`: the boundary is where it does. What `psi` is follows from what is known about the summands.

use super::super::{normal, root, special};
use super::{best_rho, is_level};

/// What is known about a sum, and hence over what it is mixed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Sub-Gaussian summands, both directions: `psi = lambda^2 / 2` over a normal distribution of `lambda`.
    NormalTwoSided,
    /// The same upwards only, over half a normal distribution.
    NormalOneSided,
    /// Sub-exponential summands with scale `c`, upwards, over a gamma distribution.
    GammaExponential {
        /// The scale; positive.
        c: f64,
    },
    /// Sub-Poisson summands with scale `c` (steps up of at most `c`), upwards, over a gamma distribution.
    GammaPoisson {
        /// The scale; positive.
        c: f64,
    },
    /// Summands of mean zero in `[-g, h]`, both directions, over a beta distribution.
    BetaBinomialTwoSided {
        /// How far down a summand can be; positive.
        g: f64,
        /// How far up; positive.
        h: f64,
    },
    /// The same upwards only, over part of a beta distribution.
    BetaBinomialOneSided {
        /// How far down a summand can be; positive.
        g: f64,
        /// How far up; positive.
        h: f64,
    },
}

/// A mixture supermartingale with its tuning.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixture {
    kind: Kind,
    /// The mixing distribution's scale, in units of intrinsic time.
    rho: f64,
}

/// Boundaries are found to this accuracy.
const TOLERANCE: f64 = 1e-13;

impl Mixture {
    /// The mixture of this kind whose boundary is narrowest around the intrinsic time `v_opt` for error `alpha_opt` (exactly so for
    /// the two-sided normal one; the others take its scale, the one-sided ones for twice the error). `None` unless `v_opt` is
    /// positive, `0 < alpha_opt < 1` (1/2 for one-sided kinds), and the kind's parameters are positive and finite.
    #[must_use]
    pub fn new(kind: Kind, v_opt: f64, alpha_opt: f64) -> Option<Self> {
        let positive = |x: f64| x > 0.0 && x.is_finite();
        let (sides, sound) = match kind {
            Kind::NormalTwoSided => (2.0, true),
            Kind::NormalOneSided => (1.0, true),
            Kind::GammaExponential { c } | Kind::GammaPoisson { c } => (1.0, positive(c)),
            Kind::BetaBinomialTwoSided { g, h } => (2.0, positive(g) && positive(h)),
            Kind::BetaBinomialOneSided { g, h } => (1.0, positive(g) && positive(h)),
        };
        let rho = best_rho(v_opt, alpha_opt * 2.0 / sides)?;
        let rho = match kind {
            // In counts, part of the scale is what one observation already brings.
            Kind::BetaBinomialTwoSided { g, h } | Kind::BetaBinomialOneSided { g, h } => {
                (rho - g * h).max(1e-3 * g * h)
            }
            _ => rho,
        };
        sound.then_some(Self { kind, rho })
    }

    /// The logarithm of the mixture when the sum is `s` at intrinsic time `v`: the evidence so far, `exp` of it being an e-value.
    /// `None` for a sum that cannot be (beyond the range of its summands), a negative time, and what is not finite. Where a
    /// one-sided beta-binomial mixture is below 1e-300 of the two-sided one it is given as negative infinity.
    #[must_use]
    pub fn log_value(&self, s: f64, v: f64) -> Option<f64> {
        if !(s.is_finite() && v >= 0.0 && v.is_finite()) {
            return None;
        }
        let rho = self.rho;
        let value = match self.kind {
            Kind::NormalTwoSided => 0.5 * libm::log(rho / (v + rho)) + s * s / (2.0 * (v + rho)),
            Kind::NormalOneSided => 0.5 * libm::log(4.0 * rho / (v + rho)) + ln_cdf_over_density(s / (v + rho).sqrt()),
            Kind::GammaExponential { c } => {
                let square = c * c;
                let (now, _) = special::ln_gamma_tails((v + rho) / square, (c * s + v + rho) / square)?;
                let (start, _) = special::ln_gamma_tails(rho / square, rho / square)?;
                now - start
            }
            Kind::GammaPoisson { c } => {
                let square = c * c;
                let (_, now) = special::ln_gamma_tails((c * s + v + rho) / square, (v + rho) / square)?;
                let (_, start) = special::ln_gamma_tails(rho / square, rho / square)?;
                now - start
            }
            Kind::BetaBinomialTwoSided { g, h } => Counts::of(s, v, rho, g, h).log_value()?,
            Kind::BetaBinomialOneSided { g, h } => {
                let (start, now) = (Counts::of(0.0, 0.0, rho, g, h), Counts::of(s, v, rho, g, h));
                let part = |at: Counts| special::beta_inc(at.down, at.up, at.shares.0).map(libm::log);
                now.log_value()? + part(now)? - part(start)?
            }
        };
        (!value.is_nan()).then_some(value)
    }

    /// The boundary: with probability at least `1 - alpha` the sum is at or below it at all times (for a two-sided kind: its
    /// absolute value). `None` unless `v >= 0` and `0 < alpha < 1`. Where no sum that can be is that unlikely, the largest one.
    #[must_use]
    pub fn boundary(&self, v: f64, alpha: f64) -> Option<f64> {
        if !(v >= 0.0 && v.is_finite() && is_level(alpha)) {
            return None;
        }
        let threshold = -libm::log(alpha);
        let excess = |s: f64| self.log_value(s, v).map_or(f64::INFINITY, |value| value - threshold);
        let high = match self.kind {
            Kind::NormalTwoSided => {
                return Some(((v + self.rho) * (libm::log1p(v / self.rho) + 2.0 * threshold)).sqrt());
            }
            Kind::BetaBinomialTwoSided { g, .. } | Kind::BetaBinomialOneSided { g, .. } => v / g,
            _ => {
                let mut high = v + self.rho;
                while excess(high) < 0.0 {
                    high *= 2.0;
                }
                high
            }
        };
        Some(root::increasing(0.0, high, TOLERANCE, excess))
    }
}

/// ln(Phi(z)) + z^2/2, also where Phi(z) is too small for a number (there by its asymptotic series, Abramowitz & Stegun 26.2.12).
fn ln_cdf_over_density(z: f64) -> f64 {
    if z > -30.0 {
        return libm::log(normal::cdf(z)) + 0.5 * z * z;
    }
    let w = 1.0 / (z * z);
    let series = 1.0 - w * (1.0 - w * (3.0 - w * (15.0 - w * 105.0)));
    libm::log(series) - libm::log(-z) - 0.5 * libm::log(2.0 * std::f64::consts::PI)
}

/// Summands in `[-g, h]` seen as outcomes that are all the way down or all the way up: a beta prior around the null's share,
/// and the counts so far added to it.
#[derive(Clone, Copy)]
pub(super) struct Counts {
    /// Prior and observed outcomes down, and up.
    down: f64,
    up: f64,
    /// The prior's alone.
    prior: (f64, f64),
    /// The shares of outcomes down and up if the mean is zero.
    shares: (f64, f64),
}

impl Counts {
    fn of(s: f64, v: f64, rho: f64, g: f64, h: f64) -> Self {
        let width = g + h;
        let prior = (rho / (g * width), rho / (h * width));
        let observed = ((v - g * s) / (g * width), (v + h * s) / (h * width));
        Self { down: prior.0 + observed.0, up: prior.1 + observed.1, prior, shares: (h / width, g / width) }
    }

    /// A prior worth `weight` observations around a share `p` of ups, and so many ups among so many trials.
    pub(super) fn new(weight: f64, p: f64, ups: f64, trials: f64) -> Self {
        let prior = (weight * (1.0 - p), weight * p);
        Self { down: prior.0 + trials - ups, up: prior.1 + ups, prior, shares: (1.0 - p, p) }
    }

    /// ln of the beta-binomial likelihood ratio `B(down, up) / B(prior) / (q^downs p^ups)`. The beta functions are taken apart by
    /// Stirling's formula, whose large terms cancel against the likelihood's but for two deviances: no digits are lost at any count.
    pub(super) fn log_value(&self) -> Option<f64> {
        let correction = |a: f64, b: f64| {
            0.5 * libm::log(2.0 * std::f64::consts::PI * (a + b) / (a * b))
                + special::stirling_error(a)
                + special::stirling_error(b)
                - special::stirling_error(a + b)
        };
        if !(self.down > 0.0 && self.up > 0.0) {
            return None;
        }
        let total = self.down + self.up;
        let deviance =
            special::deviance(self.down, total * self.shares.0) + special::deviance(self.up, total * self.shares.1);
        Some(deviance + correction(self.down, self.up) - correction(self.prior.0, self.prior.1))
    }
}

/// The polynomially stitched boundary for a sub-gamma sum with scale `c` (0: sub-Gaussian): grows as `sqrt(v ln ln v)`, the
/// slowest possible. Flat up to `v_min`; the error is spread over epochs whose ends grow by `eta` as `1/k^s` (1.4 and 2 are Howard
/// et al.'s choices). With `l = s ln ln(eta v / v_min) + ln(zeta(s) / (alpha ln^s eta))` it is
/// `sqrt(k1^2 v l + (k2 c l)^2) + k2 c l`, `k1 = (eta^(1/4) + eta^(-1/4)) / sqrt 2`, `k2 = (sqrt(eta) + 1) / 2`; their equation 10.
/// `None` unless `v >= 0`, `0 < alpha < 1`, `v_min > 0`, `c >= 0`, `s > 1`, `eta > 1`, all finite.
#[must_use]
pub fn poly_stitching(v: f64, alpha: f64, v_min: f64, c: f64, s: f64, eta: f64) -> Option<f64> {
    let finite = [v, v_min, c, s, eta].into_iter().all(f64::is_finite);
    if !(finite && v >= 0.0 && is_level(alpha) && v_min > 0.0 && c >= 0.0 && s > 1.0 && eta > 1.0) {
        return None;
    }
    let (v, log_eta) = (v.max(v_min), libm::log(eta));
    let fourth = eta.sqrt().sqrt();
    let (k1, k2) = ((fourth + 1.0 / fourth) / std::f64::consts::SQRT_2, (eta.sqrt() + 1.0) / 2.0);
    let l = s * libm::log(libm::log(eta * v / v_min) / log_eta) + libm::log(zeta(s) / alpha);
    let linear = k2 * c * l;
    Some((k1 * k1 * v * l + linear * linear).sqrt() + linear)
}

/// Riemann's zeta function for `s > 1`: Euler and Maclaurin's sum from the twentieth term on, Abramowitz & Stegun 23.2.9.
fn zeta(s: f64) -> f64 {
    let from = 20.0;
    let power = |n: f64| libm::exp(-s * libm::log(n));
    let head: f64 = (1..20).map(|n| power(f64::from(n))).sum();
    // Bernoulli numbers B2, B4, … over the factorials of their indices.
    let terms = [1.0 / 12.0, -1.0 / 720.0, 1.0 / 30_240.0, -1.0 / 1_209_600.0, 1.0 / 47_900_160.0];
    let (mut tail, mut rising, mut scale) = (0.0, s, 1.0 / from);
    for (k, term) in terms.into_iter().enumerate() {
        tail += term * rising * scale;
        let next = s + 2.0 * k as f64 + 1.0;
        rising *= next * (next + 1.0);
        scale /= from * from;
    }
    head + power(from) * (from / (s - 1.0) + 0.5 + tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [Kind; 6] = [
        Kind::NormalTwoSided,
        Kind::NormalOneSided,
        Kind::GammaExponential { c: 0.7 },
        Kind::GammaPoisson { c: 0.7 },
        Kind::BetaBinomialTwoSided { g: 0.2, h: 0.6 },
        Kind::BetaBinomialOneSided { g: 0.2, h: 0.6 },
    ];

    #[test]
    fn zeta_has_its_known_values() {
        let pi2 = std::f64::consts::PI * std::f64::consts::PI;
        assert!((zeta(2.0) / (pi2 / 6.0) - 1.0).abs() < 1e-15);
        assert!((zeta(4.0) / (pi2 * pi2 / 90.0) - 1.0).abs() < 1e-15);
        assert!((zeta(1.5) / 2.612_375_348_685_488 - 1.0).abs() < 1e-14, "{}", zeta(1.5));
    }

    #[test]
    fn mixtures_start_at_one_and_reach_one_over_alpha_at_the_boundary() {
        for kind in KINDS {
            let mixture = Mixture::new(kind, 50.0, 0.05).unwrap();
            assert!(mixture.log_value(0.0, 0.0).unwrap().abs() < 1e-12, "{kind:?}");
            for v in [20.0, 500.0, 1e6] {
                let at = mixture.boundary(v, 0.01).unwrap();
                assert!((mixture.log_value(at, v).unwrap() + libm::log(0.01)).abs() < 1e-6, "{kind:?} {v}");
                assert!(mixture.boundary(v, 0.001).unwrap() > at, "{kind:?} {v}");
            }
        }
    }

    /// The mixture's mean under the null, summed over all paths of a fair or unfair coin: it is a martingale exactly.
    #[test]
    fn beta_binomial_mixtures_have_mean_one_over_all_paths() {
        for p in [0.5, 0.1] {
            let (g, h) = (p, 1.0 - p);
            for kind in [Kind::BetaBinomialTwoSided { g, h }, Kind::BetaBinomialOneSided { g, h }] {
                let mixture = Mixture::new(kind, 5.0, 0.05).unwrap();
                let n = 12_i32;
                let mut mean = 0.0;
                let mut ways = 1.0;
                for ups in 0..=n {
                    let (k, n) = (f64::from(ups), f64::from(n));
                    let chance = ways * libm::pow(p, k) * libm::pow(1.0 - p, n - k);
                    mean += chance * libm::exp(mixture.log_value(k - n * p, n * p * (1.0 - p)).unwrap());
                    ways *= (n - k) / (k + 1.0);
                }
                assert!((mean - 1.0).abs() < 1e-11, "{kind:?}: {mean}");
            }
        }
    }

    /// The other kinds' mixtures, integrated over their mixing densities numerically.
    #[test]
    fn closed_forms_agree_with_their_integrals() {
        let (s, v, c) = (9.0, 30.0, 0.7);
        let sum = |from: f64, to: f64, f: &dyn Fn(f64) -> f64| -> f64 {
            let n = 40_000;
            let step = (to - from) / f64::from(n);
            (0..n).map(|i| f(from + step * (f64::from(i) + 0.5)) * step).sum()
        };
        for kind in &KINDS[..4] {
            let mixture = Mixture::new(*kind, 50.0, 0.05).unwrap();
            let per = mixture.rho / (c * c);
            // Howard et al. (2021), propositions 5, 6, 9 and 10: where lambda lies, its density but for a factor, and psi.
            let normal = |x: f64| libm::exp(-0.5 * x * x * mixture.rho);
            let exponential = |x: f64| libm::exp(per * (libm::log1p(-c * x) + c * x)) / (1.0 - c * x);
            let poisson = |x: f64| libm::exp(-per * (libm::expm1(c * x) - c * x));
            let half_square = |x: f64| 0.5 * x * x;
            let sub_exponential = |x: f64| (-libm::log1p(-c * x) - c * x) / (c * c);
            let sub_poisson = |x: f64| (libm::expm1(c * x) - c * x) / (c * c);
            type Function<'a> = &'a dyn Fn(f64) -> f64;
            let (from, to, density, psi): (f64, f64, Function, Function) = match kind {
                Kind::NormalTwoSided => (-5.0, 5.0, &normal, &half_square),
                Kind::NormalOneSided => (0.0, 5.0, &normal, &half_square),
                Kind::GammaExponential { .. } => (0.0, 1.0 / c, &exponential, &sub_exponential),
                _ => (0.0, 5.0, &poisson, &sub_poisson),
            };
            let mixed = sum(from, to, &|x| density(x) * libm::exp(x * s - psi(x) * v));
            let want = libm::log(mixed / sum(from, to, density));
            let got = mixture.log_value(s, v).unwrap();
            assert!((got - want).abs() < 1e-6, "{kind:?}: {got} {want}");
        }
    }

    #[test]
    fn values_far_out_stay_finite() {
        for kind in &KINDS[..2] {
            let mixture = Mixture::new(*kind, 1e6, 0.05).unwrap();
            for s in [-1e6, 1e6] {
                assert!(mixture.log_value(s, 1e7).unwrap().is_finite(), "{kind:?} {s}");
            }
        }
        for s in [-20.0, -500.0] {
            assert!(Mixture::new(KINDS[2], 50.0, 0.05).unwrap().log_value(s, 900.0).unwrap().is_finite());
            assert!(Mixture::new(KINDS[3], 50.0, 0.05).unwrap().log_value(s, 900.0).unwrap().is_finite());
        }
        let seam = |z: f64| ln_cdf_over_density(z);
        assert!((seam(-30.0 + 1e-9) - seam(-30.0 - 1e-9)).abs() < 1e-9);
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        for kind in KINDS {
            for (v_opt, alpha_opt) in [(0.0, 0.05), (f64::NAN, 0.05), (1.0, 0.0), (1.0, 1.0), (1.0, f64::NAN)] {
                assert_eq!(Mixture::new(kind, v_opt, alpha_opt), None, "{kind:?}");
            }
            let mixture = Mixture::new(kind, 10.0, 0.05).unwrap();
            for (s, v) in [(f64::NAN, 1.0), (f64::INFINITY, 1.0), (0.0, -1.0), (0.0, f64::NAN)] {
                assert_eq!(mixture.log_value(s, v), None, "{kind:?}");
            }
            for (v, alpha) in [(-1.0, 0.05), (f64::NAN, 0.05), (1.0, 0.0), (1.0, 1.0), (1.0, f64::NAN)] {
                assert_eq!(mixture.boundary(v, alpha), None, "{kind:?}");
            }
            assert!(mixture.boundary(0.0, 0.05).unwrap() >= 0.0);
        }
        assert_eq!(Mixture::new(Kind::GammaPoisson { c: 0.0 }, 1.0, 0.05), None);
        assert_eq!(Mixture::new(Kind::BetaBinomialOneSided { g: 1.0, h: f64::NAN }, 1.0, 0.05), None);
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(poly_stitching(bad, 0.05, 1.0, 0.0, 1.4, 2.0), None);
            assert_eq!(poly_stitching(1.0, bad, 1.0, 0.0, 1.4, 2.0), None);
            assert_eq!(poly_stitching(1.0, 0.05, bad, 0.0, 1.4, 2.0), None);
            assert_eq!(poly_stitching(1.0, 0.05, 1.0, bad, 1.4, 2.0), None);
            assert_eq!(poly_stitching(1.0, 0.05, 1.0, 0.0, bad, 2.0), None);
            assert_eq!(poly_stitching(1.0, 0.05, 1.0, 0.0, 1.4, bad), None);
        }
    }
}
