//! Owns the upper tail of a sum of squared normals with weights, to which the quadratic statistics of distribution functions
//! tend.
//!
//! For `Q = sum Z_k^2 / l_k` with independent standard normals and `l_1 < l_2 < …`, N. V. Smirnov's formula (1937; D. A.
//! Darling, Annals of Mathematical Statistics 28 (1957) 823-838, sec. 7) is
//!
//! `P(Q > x) = 1/pi sum_k (-1)^(k+1) ∫ from l_(2k-1) to l_(2k) of exp(-x u / 2) / (u sqrt|D(u)|) du`,
//!
//! with `D(u) = prod (1 - u / l_k)`. The first interval alone is the far tail, so a p-value of 1e-100 has its digits, where one
//! minus a series for the distribution function has none below 1e-15.

use std::f64::consts::PI;

/// P(Q > x) with `l(k)`, k from 1, and `D(u)`. 1 for `x <= 0`; NaN for NaN. Relative precision about 1e-12 for `x l(1)` above
/// 0.03, below which the result is within 1e-12 of 1.
pub(crate) fn upper_tail(x: f64, l: impl Fn(u32) -> f64, determinant: impl Fn(f64) -> f64) -> f64 {
    if x.is_nan() {
        return f64::NAN;
    }
    if x * l(1) <= 0.03 {
        return 1.0;
    }
    if x * l(1) > 1500.0 {
        return 0.0; // below the smallest double
    }
    let mut tail = 0.0;
    for k in 1..200 {
        let (from, to) = (l(2 * k - 1), l(2 * k));
        if x * (from - l(1)) > 90.0 {
            break;
        }
        // The roots at both ends make it an integral for Chebyshev's nodes, which converge once there are more of them than
        // the exponential falls by.
        let (middle, half) = ((from + to) / 2.0, (to - from) / 2.0);
        let nodes = 30 + (x * half / 2.0).min(2000.0) as u32;
        let sum: f64 = (0..nodes)
            .map(|i| libm::cos(PI * (f64::from(i) + 0.5) / f64::from(nodes)))
            .map(|t| {
                let u = middle + half * t;
                let rest = determinant(u).abs() / (half * half * (1.0 - t) * (1.0 + t));
                libm::exp(-x * u / 2.0) / (u * rest.sqrt())
            })
            .sum();
        let term = sum / f64::from(nodes);
        tail += if k % 2 == 1 { term } else { -term };
    }
    tail.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weights of equal pairs have no formula with gaps, but two weights do: D(u) = (1 - u)(1 - u/2) and nothing after.
    #[test]
    fn two_weights_give_what_integration_gives() {
        let got = upper_tail(3.0, |k| f64::from(if k < 3 { k } else { k * 1000 }), |u| (1.0 - u) * (1.0 - u / 2.0));
        // P(Z1^2 + Z2^2/2 > 3) by the angle: mean over t of exp(-3 / (2 (cos^2 t + sin^2 t / 2))).
        let steps = 2000;
        let mean: f64 = (0..steps)
            .map(|i| PI * (f64::from(i) + 0.5) / f64::from(steps))
            .map(|t| libm::exp(-1.5 / (libm::cos(t) * libm::cos(t) + libm::sin(t) * libm::sin(t) / 2.0)))
            .sum::<f64>()
            / f64::from(steps);
        assert!((got / mean - 1.0).abs() < 1e-12, "{got} {mean}");
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        let tail = |x| upper_tail(x, |k| f64::from(k * k), libm::cos);
        assert!(tail(f64::NAN).is_nan());
        assert_eq!([-1.0, 0.0, f64::INFINITY].map(tail), [1.0, 1.0, 0.0]);
    }
}
