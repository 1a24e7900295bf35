//! Owns the special functions behind the other modules: gamma and beta integrals, chi-squared, Student's t.
//!
//! The prefactors are computed in Loader's saddle-point form (C. Loader, "Fast and Accurate Computation of Binomial
//! Probabilities", 2000), which loses no digits for large parameters, where differences of log-gammas do. Relative error
//! below 1e-12 for parameters up to 1e5 (checked against scipy and mpmath). Outside their domain all functions give `None`.

use super::normal;

/// ln |Gamma(x)|, `libm`'s. Infinite at 0 and the negative integers.
#[must_use]
pub fn ln_gamma(x: f64) -> f64 {
    libm::lgamma(x)
}

/// Gauss's continued fraction and the gamma series need about `sqrt` of their parameter steps; a parameter of 1e8 fits.
const STEPS_MAX: usize = 100_000;
/// Newton's method inside a bracket: quadratic at the end, bisection at worst.
const ROOT_STEPS_MAX: usize = 300;
const TINY: f64 = 1e-300;

/// Regularised lower incomplete gamma P(a, x), for `a > 0`, `x >= 0`: the cdf of a gamma variate of shape `a`.
#[must_use]
pub fn gamma_lower(a: f64, x: f64) -> Option<f64> {
    gamma_both(a, x).map(|(lower, _)| lower)
}

/// Regularised upper incomplete gamma Q(a, x) = 1 - P(a, x), precise where it is small.
#[must_use]
pub fn gamma_upper(a: f64, x: f64) -> Option<f64> {
    gamma_both(a, x).map(|(_, upper)| upper)
}

/// (P, Q): by the series below `a + 1`, by Legendre's continued fraction (modified Lentz) above. Abramowitz & Stegun 6.5.29
/// and 6.5.31.
fn gamma_both(a: f64, x: f64) -> Option<(f64, f64)> {
    if !(a > 0.0 && a.is_finite() && x >= 0.0) {
        return None;
    }
    if x == 0.0 {
        return Some((0.0, 1.0));
    }
    if x.is_infinite() {
        return Some((1.0, 0.0));
    }
    // x^a e^-x / Gamma(a + 1)
    let factor = poisson_density(a, x);
    Some(match gamma_tail(a, x) {
        Tail::Lower(sum) => {
            let lower = (factor * sum).min(1.0);
            (lower, 1.0 - lower)
        }
        Tail::Upper(fraction) => {
            let upper = (factor * a * fraction).min(1.0);
            (1.0 - upper, upper)
        }
    })
}

/// The tail that is computed: P(a, x) Gamma(a + 1) e^x / x^a, or Q(a, x) Gamma(a) e^x / x^a. Neither underflows.
enum Tail {
    Lower(f64),
    Upper(f64),
}

fn gamma_tail(a: f64, x: f64) -> Tail {
    if x < a + 1.0 {
        let (mut term, mut sum, mut n) = (1.0, 1.0, a);
        for _ in 0..STEPS_MAX {
            n += 1.0;
            term *= x / n;
            sum += term;
            if term < sum * 1e-17 {
                break;
            }
        }
        return Tail::Lower(sum);
    }
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / TINY;
    let mut d = 1.0 / b;
    let mut h = d;
    for i in 1..STEPS_MAX {
        let i = i as f64;
        let an = -i * (i - a);
        b += 2.0;
        d = 1.0 / away_from_zero(an * d + b);
        c = away_from_zero(b + an / c);
        let step = d * c;
        h *= step;
        if (step - 1.0).abs() <= f64::EPSILON {
            break;
        }
    }
    Tail::Upper(h)
}

/// ln of P(a, x) Gamma(a) e^x / x^a and of Q(a, x) Gamma(a) e^x / x^a, for finite `a > 0`, `x > 0`: both keep their digits where
/// P, Q, and Gamma are too large or too small for a number.
pub(super) fn ln_gamma_tails(a: f64, x: f64) -> Option<(f64, f64)> {
    if !(x > 0.0 && x.is_finite()) {
        return None;
    }
    let (lower, upper) = gamma_both(a, x)?;
    let ln_factor = libm::log(a) - stirling_error(a) - deviance(a, x) - 0.5 * libm::log(2.0 * std::f64::consts::PI * a);
    Some(match gamma_tail(a, x) {
        Tail::Lower(sum) => (libm::log(sum / a), libm::log(upper) - ln_factor),
        Tail::Upper(fraction) => (libm::log(lower) - ln_factor, libm::log(fraction)),
    })
}

/// P(X > x) of a chi-squared variate with `df > 0` degrees of freedom; 1 for negative `x`.
#[must_use]
pub fn chi_squared_sf(x: f64, df: f64) -> Option<f64> {
    if x < 0.0 && df > 0.0 {
        return Some(1.0);
    }
    gamma_upper(df / 2.0, x / 2.0)
}

/// The `x` with P(X > x) = `upper` for a chi-squared variate; `upper` in `(0, 1]`, `df > 0`.
#[must_use]
pub fn chi_squared_upper(upper: f64, df: f64) -> Option<f64> {
    if !(upper > 0.0 && upper <= 1.0 && df > 0.0 && df.is_finite()) {
        return None;
    }
    if upper == 1.0 {
        return Some(0.0);
    }
    let a = df / 2.0;
    // Starts at E. B. Wilson and M. M. Hilferty's approximation, PNAS 17 (1931) 684-688: within a few steps of the root.
    let spread = 2.0 / (9.0 * df);
    let cube = 1.0 - spread - normal::quantile(upper) * spread.sqrt();
    let start = 0.5 * df * cube * cube * cube;
    let mut high = (2.0 * a + 10.0).max(start);
    while gamma_upper(a, high)? > upper {
        high *= 2.0;
    }
    let excess = |x: f64| match gamma_both(a, x) {
        // The smaller of the two tails carries the digits.
        Some((lower, q)) if q > 0.5 => lower - (1.0 - upper),
        Some((_, q)) => upper - q,
        None => f64::NAN,
    };
    let slope = |x: f64| poisson_density(a, x) * a / x;
    Some(2.0 * increasing_root(0.0, high, start, excess, slope))
}

/// Regularised incomplete beta I_x(a, b), for `a, b > 0` and `0 <= x <= 1`: the cdf of a beta variate. Continued fraction
/// Abramowitz & Stegun 26.5.8 by modified Lentz, on the side where it converges fast.
#[must_use]
pub fn beta_inc(a: f64, b: f64, x: f64) -> Option<f64> {
    beta_both(a, b, x).map(|(lower, _)| lower)
}

fn beta_both(a: f64, b: f64, x: f64) -> Option<(f64, f64)> {
    if !(a > 0.0 && b > 0.0 && a.is_finite() && b.is_finite() && (0.0..=1.0).contains(&x)) {
        return None;
    }
    if x == 0.0 || x == 1.0 {
        return Some((x, 1.0 - x));
    }
    let factor = beta_factor(a, b, x);
    if x < (a + 1.0) / (a + b + 2.0) {
        let lower = (factor / a * beta_fraction(a, b, x)).min(1.0);
        Some((lower, 1.0 - lower))
    } else {
        let upper = (factor / b * beta_fraction(b, a, 1.0 - x)).min(1.0);
        Some((1.0 - upper, upper))
    }
}

/// The `x` with I_x(a, b) = `p`, for `p` in `[0, 1]`.
#[must_use]
pub fn beta_inc_inverse(a: f64, b: f64, p: f64) -> Option<f64> {
    beta_inc(a, b, 0.5)?;
    if !(0.0..=1.0).contains(&p) {
        return None;
    }
    if p == 0.0 || p == 1.0 {
        return Some(p);
    }
    Some(beta_root(a, b, p, 1.0 - p))
}

/// The `x` with 1 - I_x(a, b) = `q`, for `q` in `[0, 1]`: the upper quantile, which keeps the digits of a small `q` and of an
/// `x` near zero, where one minus the lower quantile of the mirrored variate has lost them.
#[must_use]
pub fn beta_inc_upper_inverse(a: f64, b: f64, q: f64) -> Option<f64> {
    beta_inc(a, b, 0.5)?;
    if !(0.0..=1.0).contains(&q) {
        return None;
    }
    if q == 0.0 || q == 1.0 {
        return Some(1.0 - q);
    }
    Some(beta_root(a, b, 1.0 - q, q))
}

/// The root of I_x(a, b) = `lower` = 1 - `upper`; the caller gives both tails, since the smaller one carries the digits.
fn beta_root(a: f64, b: f64, lower: f64, upper: f64) -> f64 {
    let excess = |x: f64| match beta_both(a, b, x) {
        Some((below, above)) if below > 0.5 => upper - above,
        Some((below, _)) => below - lower,
        None => f64::NAN,
    };
    increasing_root(0.0, 1.0, 0.5, excess, |x| beta_factor(a, b, x) / (x * (1.0 - x)))
}

/// The `t` with P(T > t) = `upper` for Student's t with `df > 0` degrees of freedom (the normal one if infinite); `upper` in
/// `(0, 1)`. By
/// P(|T| > t) = I_{df/(df+t^2)}(df/2, 1/2), Abramowitz & Stegun 26.7.1.
#[must_use]
pub fn student_t_upper(upper: f64, df: f64) -> Option<f64> {
    if !(upper > 0.0 && upper < 1.0 && df > 0.0) {
        return None;
    }
    if upper > 0.5 {
        return student_t_upper(1.0 - upper, df).map(|t| -t);
    }
    if upper == 0.5 || df.is_infinite() {
        return Some(-super::normal::quantile(upper));
    }
    // The root in t^2/(df + t^2), which is small in the centre and so keeps its digits there; in the far tails its complement.
    let y = beta_root(0.5, df / 2.0, 1.0 - 2.0 * upper, 2.0 * upper);
    if y < 0.5 {
        return Some((df * y / (1.0 - y)).sqrt());
    }
    let x = beta_root(df / 2.0, 0.5, 2.0 * upper, 1.0 - 2.0 * upper);
    Some((df * (1.0 - x) / x).sqrt())
}

/// P(T > t) for Student's t with `df > 0` degrees of freedom (the normal one if infinite). `None` for NaN.
#[must_use]
pub fn student_t_sf(t: f64, df: f64) -> Option<f64> {
    if t.is_nan() || df.is_nan() || df <= 0.0 {
        return None;
    }
    if df.is_infinite() {
        return Some(super::normal::sf(t));
    }
    // Of x = df/(df + t^2) and its complement the smaller one is computed without cancellation.
    let square = t * t;
    let both_sides = if square < df {
        beta_both(0.5, df / 2.0, square / (df + square))?.1
    } else {
        beta_both(df / 2.0, 0.5, df / (df + square))?.0
    };
    Some(if t < 0.0 { 1.0 - both_sides / 2.0 } else { both_sides / 2.0 })
}

/// P(X = j) of a binomial variate of `n` draws with probability `p`, for `j <= n` and `0 <= p <= 1`, in Loader's form.
pub(crate) fn binomial_density(j: u64, n: u64, p: f64) -> f64 {
    let (size, count) = (n as f64, j as f64);
    if p <= 0.0 || p >= 1.0 || j == 0 || j == n {
        let base = if j == 0 {
            1.0 - p
        } else if j == n {
            p
        } else {
            0.0
        };
        return libm::pow(base, size);
    }
    beta_factor(count, size - count, p) * size / (count * (size - count))
}

/// x^a (1-x)^b / B(a, b).
fn beta_factor(a: f64, b: f64, x: f64) -> f64 {
    let n = a + b;
    let exponent =
        stirling_error(n) - stirling_error(a) - stirling_error(b) - deviance(a, n * x) - deviance(b, n * (1.0 - x));
    libm::exp(exponent) * (a * b / (n * 2.0 * std::f64::consts::PI)).sqrt()
}

/// x^a e^-x / Gamma(a + 1).
fn poisson_density(a: f64, x: f64) -> f64 {
    libm::exp(-stirling_error(a) - deviance(a, x)) / (2.0 * std::f64::consts::PI * a).sqrt()
}

/// ln Gamma(z + 1) minus Stirling's approximation of it.
pub(super) fn stirling_error(z: f64) -> f64 {
    const HALF_LN_2PI: f64 = 0.918_938_533_204_672_7;
    if z < 16.0 {
        return libm::lgamma(z + 1.0) - (z + 0.5) * libm::log(z) + z - HALF_LN_2PI;
    }
    let s = 1.0 / (z * z);
    (1.0 / 12.0
        - s * (1.0 / 360.0 - s * (1.0 / 1260.0 - s * (1.0 / 1680.0 - s * (1.0 / 1188.0 - s * 691.0 / 360_360.0)))))
        / z
}

/// a ln(a/m) + m - a, without cancellation when `a` is near `m`.
pub(super) fn deviance(a: f64, m: f64) -> f64 {
    let difference = a - m;
    if difference.abs() >= 0.1 * (a + m) {
        return a * libm::log(a / m) - difference;
    }
    let v = difference / (a + m);
    let (mut sum, mut term, square) = (difference * v, 2.0 * a * v, v * v);
    for j in 1..1000 {
        term *= square;
        let next = sum + term / f64::from(2 * j + 1);
        if next == sum {
            break;
        }
        sum = next;
    }
    sum
}

fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    for m in 1..STEPS_MAX {
        let m = m as f64;
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away_from_zero(1.0 + even * d);
        c = away_from_zero(1.0 + even / c);
        h *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away_from_zero(1.0 + odd * d);
        c = away_from_zero(1.0 + odd / c);
        let step = d * c;
        h *= step;
        if (step - 1.0).abs() <= f64::EPSILON {
            break;
        }
    }
    h
}

fn away_from_zero(x: f64) -> f64 {
    if x.abs() < TINY { TINY } else { x }
}

/// The root of an increasing function in `[low, high]`, looked for from `start`: Newton's step where it stays inside the
/// shrinking bracket, bisection where it does not.
fn increasing_root(mut low: f64, mut high: f64, start: f64, f: impl Fn(f64) -> f64, slope: impl Fn(f64) -> f64) -> f64 {
    let ends = (low, high);
    let mut x = if start > low && start < high { start } else { 0.5 * (low + high) };
    for _ in 0..ROOT_STEPS_MAX {
        let value = f(x);
        if value == 0.0 {
            return x;
        }
        if value < 0.0 {
            low = x;
        } else {
            high = x;
        }
        let newton = x - value / slope(x);
        let inside = newton > low && newton < high;
        let next = if inside { newton } else { 0.5 * (low + high) };
        // Newton's error is squared with every step, in units of the distance to the nearer end, where slopes may be infinite:
        // after one so small nothing is left but the function's own rounding, which would go on moving it.
        let near = (x - ends.0).min(ends.1 - x);
        if (next - x).abs() <= if inside { 1e-9 * near } else { 2e-16 * x } {
            return next;
        }
        x = next;
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_the_domain_there_is_no_value() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(gamma_lower(bad, 1.0), None);
            assert_eq!(beta_inc(bad, 1.0, 0.5), None);
            assert_eq!(beta_inc_inverse(1.0, bad, 0.5), None);
            assert_eq!(chi_squared_upper(0.1, bad), None);
        }
        for bad in [-0.1, 1.1, f64::NAN] {
            assert_eq!(beta_inc(1.0, 1.0, bad), None);
            assert_eq!(beta_inc_inverse(1.0, 1.0, bad), None);
            assert_eq!(chi_squared_upper(bad, 3.0), None);
            assert_eq!(student_t_upper(bad, 3.0), None);
            assert_eq!(beta_inc_upper_inverse(1.0, 1.0, bad), None);
        }
        assert_eq!(student_t_sf(f64::NAN, 3.0), None);
        assert_eq!(student_t_sf(1.0, 0.0), None);
        assert_eq!(gamma_upper(2.0, f64::NAN), None);
    }

    #[test]
    fn the_ends_are_exact() {
        assert_eq!(gamma_lower(2.0, 0.0), Some(0.0));
        assert_eq!(gamma_upper(2.0, f64::INFINITY), Some(0.0));
        assert_eq!(chi_squared_sf(-1.0, 2.0), Some(1.0));
        assert_eq!(beta_inc_inverse(3.0, 4.0, 1.0), Some(1.0));
        assert_eq!(beta_inc_upper_inverse(3.0, 4.0, 1.0), Some(0.0));
        assert_eq!(student_t_upper(0.5, 7.0), Some(0.0));
        assert_eq!(student_t_sf(0.0, 7.0), Some(0.5));
        assert_eq!(student_t_sf(f64::INFINITY, 7.0), Some(0.0));
        assert_eq!(student_t_sf(f64::NEG_INFINITY, 7.0), Some(1.0));
    }

    /// `scipy.stats.t.sf(t, df)` and `scipy.stats.beta.isf(q, a, b)`, scipy 1.14.1.
    #[test]
    fn tails_agree_with_scipy() {
        let t = [
            (1e-09, 3.0, 0.499_999_999_632_447_4),
            (0.3, 19.0, 0.383_717_330_169_631_7),
            (-0.3, 19.0, 0.616_282_669_830_368_3),
            (2.5, 1.0, 0.121_118_941_590_843_35),
            (12.0, 4.5, 6.891_598_826_636_52e-05),
            (40.0, 29.0, 3.173_438_664_864_658_7e-27),
            (1.7, 1_000_000.0, 0.044_565_618_245_174_36),
        ];
        for (t, df, want) in t {
            let got = student_t_sf(t, df).unwrap();
            assert!((got / want - 1.0).abs() < 1e-12, "t {t}, df {df}: {got} {want}");
        }
        let beta = [
            (0.025, 0.5, 20.5, 0.116_638_982_904_875_45),
            (0.025, 1.0, 1e5, 3.688_811_415_792_421e-05),
            (0.975, 3.0, 4.0, 0.118_117_248_757_025_23),
            (1e-09, 2.0, 50.0, 0.377_656_085_451_154_03),
            (0.025, 20.5, 0.5, 0.999_975_753_521_540_8),
        ];
        for (q, a, b, want) in beta {
            let got = beta_inc_upper_inverse(a, b, q).unwrap();
            assert!((got / want - 1.0).abs() < 1e-12, "q {q}, a {a}, b {b}: {got} {want}");
        }
    }
}
