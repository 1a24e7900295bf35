//! Owns the exact properties of Wald's sequential probability ratio test for a Bernoulli rate.
//!
//! After `n` observations with `k` ones the log-likelihood ratio is `k ln(p1/p0) + (n - k) ln((1-p1)/(1-p0))`; the test accepts
//! H1 (`p1`) once it is at least `ln((1-beta)/alpha)`, H0 (`p0`) once it is at most `ln(beta/(1-alpha))` (A. Wald, Annals of
//! Mathematical Statistics 16 (1945) 117-186). These thresholds make the error rates at most about alpha and beta; what they
//! really are follows by carrying the distribution of `k` among unfinished tests from step to step.

/// What a test does when the rate of ones is some given rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Properties {
    /// The probability that it ends by accepting H1.
    pub accept_h1: f64,
    /// The probability that it ends by accepting H0.
    pub accept_h0: f64,
    /// The mean number of observations until it ends.
    pub expected_samples: f64,
    /// The probability that it had not ended when the computation did; below 1e-13.
    pub unresolved: f64,
}

/// The computation ends when this little is undecided.
const UNRESOLVED: f64 = 1e-13;
/// Tests that take longer are refused.
const SAMPLES_MAX: u32 = 50_000_000;

/// The exact properties at a rate of `rate`. `None` unless `0 < p0 < p1 < 1`, `0 <= rate <= 1`, `alpha` and `beta` are positive
/// with a sum below 1, and the test ends within fifty million observations.
#[must_use]
pub fn bernoulli(p0: f64, p1: f64, alpha: f64, beta: f64, rate: f64) -> Option<Properties> {
    let valid = p0 > 0.0 && p0 < p1 && p1 < 1.0 && (0.0..=1.0).contains(&rate);
    if !(valid && alpha > 0.0 && beta > 0.0 && alpha + beta < 1.0) {
        return None;
    }
    let (up, down) = (libm::log(p1 / p0), libm::log1p(-p1) - libm::log1p(-p0));
    let (accept_h1, accept_h0) = (libm::log((1.0 - beta) / alpha), libm::log(beta / (1.0 - alpha)));
    // Unfinished tests by their number of ones: from `least` on.
    let (mut unfinished, mut least) = (vec![1.0], 0_u32);
    let mut result = Properties { accept_h1: 0.0, accept_h0: 0.0, expected_samples: 0.0, unresolved: 1.0 };
    for n in 1..=SAMPLES_MAX {
        result.expected_samples += result.unresolved;
        let mut next = vec![0.0; unfinished.len() + 1];
        for (i, mass) in unfinished.iter().enumerate() {
            next[i] += mass * (1.0 - rate);
            next[i + 1] += mass * rate;
        }
        let ratio = |k: u32| f64::from(k) * up + f64::from(n - k) * down;
        // The ratio grows with k, so the finished are at the ends.
        while next.last().is_some() && ratio(least + next.len() as u32 - 1) >= accept_h1 {
            result.accept_h1 += next.pop().unwrap_or(0.0);
        }
        let done = next.iter().enumerate().take_while(|(i, _)| ratio(least + *i as u32) <= accept_h0).count();
        result.accept_h0 += next.drain(..done).sum::<f64>();
        least += done as u32;
        result.unresolved = next.iter().sum();
        unfinished = next;
        if result.unresolved < UNRESOLVED {
            return Some(result);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_rates_keep_walds_bounds() {
        for (p0, p1, alpha, beta) in [(0.05, 0.15, 0.01, 0.05), (0.3, 0.5, 0.05, 0.1), (0.001, 0.01, 0.001, 0.01)] {
            let null = bernoulli(p0, p1, alpha, beta, p0).unwrap();
            let fault = bernoulli(p0, p1, alpha, beta, p1).unwrap();
            // Wald (1945), 3.30: alpha' <= alpha / (1 - beta), beta' <= beta / (1 - alpha), and their sum is at most alpha + beta.
            assert!(null.accept_h1 <= alpha / (1.0 - beta) && fault.accept_h0 <= beta / (1.0 - alpha));
            assert!(null.accept_h1 + fault.accept_h0 <= alpha + beta);
            for p in [null, fault] {
                assert!((p.accept_h1 + p.accept_h0 + p.unresolved - 1.0).abs() < 1e-10);
            }
        }
    }

    /// Wald's identity: the mean of the ratio at the end is the mean of a step times the mean number of steps. The ratio at the
    /// end overshoots its threshold by less than one step.
    #[test]
    fn the_expected_sample_number_obeys_walds_identity() {
        let (p0, p1, alpha, beta) = (0.05, 0.15, 0.01, 0.05);
        let (up, down) = (libm::log(p1 / p0), libm::log((1.0 - p1) / (1.0 - p0)));
        for rate in [p0, 0.08, p1] {
            let got = bernoulli(p0, p1, alpha, beta, rate).unwrap();
            let mean = got.expected_samples * (rate * up + (1.0 - rate) * down);
            let least = got.accept_h1 * libm::log((1.0 - beta) / alpha)
                + got.accept_h0 * (libm::log(beta / (1.0 - alpha)) + down);
            let most = got.accept_h1 * (libm::log((1.0 - beta) / alpha) + up)
                + got.accept_h0 * libm::log(beta / (1.0 - alpha));
            assert!(mean >= least && mean <= most, "{rate}: {least} {mean} {most}");
        }
    }

    #[test]
    fn a_certain_outcome_takes_a_countable_number_of_steps() {
        // Only ones: ln(95) / ln(3) = 4.15, hence five. Only zeros: ln(0.0505) / ln(0.8947) = 26.8, hence 27.
        let ones = bernoulli(0.05, 0.15, 0.01, 0.05, 1.0).unwrap();
        assert_eq!((ones.expected_samples, ones.accept_h1, ones.unresolved), (5.0, 1.0, 0.0));
        let zeros = bernoulli(0.05, 0.15, 0.01, 0.05, 0.0).unwrap();
        assert_eq!((zeros.expected_samples, zeros.accept_h0), (27.0, 1.0));
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        for (p0, p1) in [(0.0, 0.1), (0.1, 0.1), (0.2, 0.1), (0.1, 1.0), (f64::NAN, 0.1), (0.1, f64::NAN)] {
            assert_eq!(bernoulli(p0, p1, 0.05, 0.1, 0.1), None);
        }
        for (alpha, beta) in [(0.0, 0.1), (0.1, 0.0), (0.5, 0.5), (f64::NAN, 0.1)] {
            assert_eq!(bernoulli(0.1, 0.2, alpha, beta, 0.1), None);
        }
        assert_eq!(bernoulli(0.1, 0.2, 0.05, 0.1, 1.5), None);
        assert_eq!(bernoulli(0.1, 0.2, 0.05, 0.1, f64::NAN), None);
    }
}
