//! Owns the exact distributions of the one-sample Kolmogorov-Smirnov statistics, two-sided and one-sided.
//!
//! The two-sample test takes its asymptotic p-value from here, with `n m / (n + m)` rounded in the place of the sample size:
//! scipy's `ks_2samp(method = "asymp")`. Which formula serves where follows R. Simard and P. L'Ecuyer, "Computing the
//! Two-Sided Kolmogorov-Smirnov Distribution", Journal of Statistical Software 39(11) (2011), as scipy's `kstwo` does. Where
//! both take an approximation they agree to 1e-12 and share its error: above `n` = 140 up to 2e-5 of the p-value just below
//! `n d^2` = 2.2 and 1e-6 just above, both falling from there (measured at `n` = 141 to 500 against the exact distribution in
//! 40 digits). Everywhere else the results are exact to 1e-11.

use std::f64::consts::PI;

use super::special;

/// Up to this size the exact recursion serves wherever the tail formula is not yet exact.
const SMALL: u64 = 140;
/// Up to this size the exact recursion serves near `d` = 0. Above, the series is off by less than 4e-9 there (scipy goes on to
/// 100 000, which costs milliseconds a call and changes no digit that matters).
const RECURSION_MAX: u64 = 2000;
/// Keeps the recursion from underflow up to a size of 3 000.
const HEAD_START: f64 = 1e290;
/// Terms of the one-sided sum are taken singly up to about so many, and evenly spaced above.
const TERMS: u64 = 256;

/// P(D > d) for the two-sided statistic of a sample of `n` from the distribution it is tested against. `None` for `n` = 0 or
/// NaN.
#[must_use]
pub fn two_sided_sf(n: u64, d: f64) -> Option<f64> {
    if n == 0 || d.is_nan() {
        return None;
    }
    let size = n as f64;
    let t = size * d;
    if d >= 1.0 || t <= 0.5 {
        return Some(if d >= 1.0 { 0.0 } else { 1.0 });
    }
    let square = t * d;
    let p = if t <= 1.0 {
        // Only a sample with one value in each n-th of the line comes so near: n! (2d - 1/n)^n.
        1.0 - libm::exp(special::ln_gamma(size + 1.0) + size * (libm::log(2.0 * t - 1.0) - libm::log(size)))
    } else if t >= size - 1.0 {
        2.0 * libm::pow(1.0 - d, size)
    } else if d >= 0.5 || square >= if n <= SMALL { 4.0 } else { 2.2 } {
        // Both sides cannot be that far off at once (d >= 1/2), or hardly ever.
        2.0 * one_sided_sf(n, d)?
    } else if n <= SMALL || (n <= RECURSION_MAX && t * d.sqrt() <= 1.4) {
        1.0 - recursion_cdf(n, d)
    } else {
        1.0 - pelz_good_cdf(size, d)
    };
    Some(p.clamp(0.0, 1.0))
}

/// P(D+ > d) for the one-sided statistic: Smirnov's sum, `d sum_j C(n, j) (d + j/n)^(j-1) (1 - d - j/n)^(n-j)` over
/// `j <= n (1 - d)` (N. Smirnov 1944; Z. W. Birnbaum and F. H. Tingey, Annals of Mathematical Statistics 22 (1951) 592-596).
/// All terms are positive, so the far tail keeps its relative precision. `None` for `n` = 0 or NaN.
///
/// For large `n` the terms are a smooth function of `j` that vanishes with all its derivatives at both ends, so a sum over
/// every s-th, times s, is the whole sum (the trapezoidal rule): checked to 1e-12 against all terms for `n d^2 >= 2`.
#[must_use]
pub fn one_sided_sf(n: u64, d: f64) -> Option<f64> {
    if n == 0 || d.is_nan() {
        return None;
    }
    if d <= 0.0 || d >= 1.0 {
        return Some(if d <= 0.0 { 1.0 } else { 0.0 });
    }
    let size = n as f64;
    let last = (size * (1.0 - d)).floor() as u64;
    // The ends vanish from a few standard deviations on; nearer to the centre every term counts.
    let stride = if size * d * d >= 2.0 { (n / TERMS).max(1) } else { 1 };
    let mut sum = 0.0;
    let mut j = last % stride / 2;
    while j <= last {
        let share = d + j as f64 / size;
        sum += special::binomial_density(j, n, share) / share;
        j += stride;
    }
    Some((sum * d * stride as f64).min(1.0))
}

/// P(D < d) by J. Durbin's matrix form (1973) as G. Marsaglia, W. W. Tsang and J. Wang evaluate it, Journal of Statistical
/// Software 8(18) (2003): with `k = floor(n d) + 1`, `h = k - n d`, it is `n!/n^n` times the centre of the n-th power of a
/// matrix of `2k - 1` rows with entries `1/(i - j + 1)!`, of which the first column and the last row lose powers of `h`.
/// A vector is carried through the powers here, which all entries being positive keeps stable.
fn recursion_cdf(n: u64, d: f64) -> f64 {
    let size = n as f64;
    let k = (size * d).floor() as usize + 1;
    let h = k as f64 - size * d;
    let rows = 2 * k - 1;
    let mut inverse_factorial = vec![1.0; rows + 1];
    for i in 1..=rows {
        inverse_factorial[i] = inverse_factorial[i - 1] / i as f64;
    }
    // What the i-th of the first column, and the i-th from the right of the last row, keep.
    let edge: Vec<f64> = (1..=rows).map(|i| (1.0 - libm::pow(h, i as f64)) * inverse_factorial[i]).collect();
    let corner = {
        let both = if h > 0.5 { libm::pow(2.0 * h - 1.0, rows as f64) } else { 0.0 };
        (1.0 - 2.0 * libm::pow(h, rows as f64) + both) * inverse_factorial[rows]
    };
    let mut from = vec![0.0; rows];
    let mut to = vec![0.0; rows];
    // On the way values fall to e^(-n/e), hence the head start.
    from[k - 1] = HEAD_START;
    for step in 1..=n {
        let scale = step as f64 / size;
        for (i, out) in to.iter_mut().enumerate().take(rows - 1) {
            let inner: f64 = (1..=i + 1).map(|j| inverse_factorial[i + 1 - j] * from[j]).sum();
            *out = (edge[i] * from[0] + inner) * scale;
        }
        let inner: f64 = (1..rows).map(|j| edge[rows - 1 - j] * from[j]).sum();
        to[rows - 1] = (corner * from[0] + inner) * scale;
        std::mem::swap(&mut from, &mut to);
    }
    from[k - 1] / HEAD_START
}

/// P(D < d) by W. Pelz and I. J. Good's expansion, JRSS B 38 (1976) 152-156: Kolmogorov's limit and three corrections in
/// powers of `n^(-1/2)`, each turned by Jacobi's theta identity into a series that a few terms settle for small `z`.
fn pelz_good_cdf(n: f64, d: f64) -> f64 {
    let z = n.sqrt() * d;
    let z2 = z * z;
    let (z4, z6) = (z2 * z2, z2 * z2 * z2);
    let p2 = PI * PI;
    let (p4, p6) = (p2 * p2, p2 * p2 * p2);
    let (mut k0, mut k1, mut k2, mut k3) = (0.0, 0.0, 0.0, 0.0);
    for k in 1..=16 {
        let m = f64::from(2 * k - 1);
        let m2 = m * m / 4.0;
        let (m4, m6) = (m2 * m2, m2 * m2 * m2);
        let odd = libm::exp(-p2 * m2 / (2.0 * z2));
        k0 += odd;
        k1 += (p2 * m2 - z2) * odd;
        k2 += (6.0 * z6 + 2.0 * z4 + p2 * (2.0 * z4 - 5.0 * z2) * m2 + p4 * (1.0 - 2.0 * z2) * m4) * odd;
        k3 += (p6 * (5.0 - 30.0 * z2) * m6 + p4 * (212.0 * z4 - 60.0 * z2) * m4 + p2 * (135.0 * z4 - 96.0 * z6) * m2
            - 30.0 * z6
            - 90.0 * z6 * z2)
            * odd;
    }
    let (mut even2, mut even3) = (0.0, 0.0);
    for k in 1..=16 {
        let square = f64::from(k * k);
        let even = libm::exp(-p2 * square / (2.0 * z2));
        even2 += square * even;
        even3 += (3.0 * z2 - p2 * square) * square * even;
    }
    let terms = [
        k0 / z,
        k1 / (6.0 * z4),
        k2 / (72.0 * z6 * z) - p2 * even2 / (36.0 * z2 * z),
        k3 / (6480.0 * z6 * z4) + p2 * even3 / (216.0 * z6),
    ];
    let root = n.sqrt();
    (2.0 * PI).sqrt() * (terms[0] + (terms[1] + (terms[2] + terms[3] / root) / root) / root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_samples_agree_with_the_fractions_of_the_definition() {
        // n = 1: D = max(U, 1 - U). n = 2: D < 3/4 unless a value is below 1/4 or above 3/4 on the far side: 2 (1/4)^2.
        for (n, d, want) in [(1, 0.75, 0.5), (1, 0.4, 1.0), (2, 0.75, 0.125), (2, 0.25, 1.0), (2, 0.5, 0.5)] {
            assert!((two_sided_sf(n, d).unwrap() - want).abs() < 1e-15, "{n} {d}");
        }
        assert!((one_sided_sf(1, 0.3).unwrap() - 0.7).abs() < 1e-15);
    }

    #[test]
    fn the_formulas_meet_where_one_takes_over_from_the_next() {
        // Their errors are those that the module's text states.
        for (n, square, within) in [(140, 4.0, 1e-9), (200, 2.2, 1.2e-5), (100_000, 2.2, 3e-6), (30, 30.0 / 4.0, 1e-9)]
        {
            let d = (square / n as f64).sqrt();
            let (below, above) =
                (two_sided_sf(n, d * (1.0 - 1e-12)).unwrap(), two_sided_sf(n, d * (1.0 + 1e-12)).unwrap());
            assert!((below / above - 1.0).abs() < within, "{n} {square}: {below} {above}");
        }
        let recursion = recursion_cdf(500, 0.02);
        assert!((pelz_good_cdf(500.0, 0.02) / recursion - 1.0).abs() < 1e-4);
    }

    #[test]
    fn every_s_th_term_stands_for_all() {
        for n in [600_u64, 3000, 20_000] {
            for square in [2.0, 2.2, 10.0, 200.0] {
                let d = (square / n as f64).sqrt();
                let all: f64 = (0..=(n as f64 * (1.0 - d)) as u64)
                    .map(|j| (j, d + j as f64 / n as f64))
                    .map(|(j, share)| special::binomial_density(j, n, share) * d / share)
                    .sum();
                assert!((one_sided_sf(n, d).unwrap() / all - 1.0).abs() < 1e-12, "{n} {square}");
            }
        }
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        assert_eq!((two_sided_sf(0, 0.5), one_sided_sf(0, 0.5)), (None, None));
        assert_eq!((two_sided_sf(5, f64::NAN), one_sided_sf(5, f64::NAN)), (None, None));
        assert_eq!((two_sided_sf(5, -1.0), two_sided_sf(5, f64::INFINITY)), (Some(1.0), Some(0.0)));
        assert_eq!((one_sided_sf(5, 0.0), one_sided_sf(5, 1.0)), (Some(1.0), Some(0.0)));
        assert!((0.0..1e-300).contains(&two_sided_sf(1_000_000, 0.02).unwrap()));
    }
}
