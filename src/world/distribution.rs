//! Owns distributions of spans: one uniform gives one variate, by inversion, portable to the bit.

use crate::stats::normal;
use crate::time::Span;

/// The distribution of a span of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distribution {
    /// Always the same.
    Constant(Span),
    /// Exponential with this mean.
    Exponential {
        /// Mean.
        mean: Span,
    },
    /// Lognormal: `median · exp(sigma · z)`.
    Lognormal {
        /// Median.
        median: Span,
        /// Standard deviation of the logarithm.
        sigma: f64,
    },
}

/// The standard normal's 99th percentile, for lognormals given by median and p99.
const Z99: f64 = 2.326_347_874_040_841;

impl Distribution {
    /// The lognormal with this median and 99th percentile: sigma = ln(p99 / median) / z₀.₉₉.
    #[must_use]
    pub fn lognormal(median: Span, p99: Span) -> Self {
        let ratio = p99.as_secs_f64() / median.as_secs_f64();
        let sigma = if ratio > 1.0 { libm::log(ratio) / Z99 } else { 0.0 };
        Self::Lognormal { median, sigma }
    }

    /// The variate of a uniform in (0, 1).
    #[must_use]
    pub fn at(&self, u: f64) -> Span {
        match *self {
            Self::Constant(span) => span,
            Self::Exponential { mean } => Span::from_secs_f64(-libm::log1p(-u) * mean.as_secs_f64()),
            Self::Lognormal { median, sigma } => {
                Span::from_secs_f64(median.as_secs_f64() * libm::exp(sigma * normal::quantile(u)))
            }
        }
    }

    /// The mean.
    #[must_use]
    pub fn mean(&self) -> Span {
        match *self {
            Self::Constant(span) => span,
            Self::Exponential { mean } => mean,
            Self::Lognormal { median, sigma } => {
                Span::from_secs_f64(median.as_secs_f64() * libm::exp(sigma * sigma / 2.0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    //! The inverted variates against those of `rand_distr`, which draws them by other methods.

    use super::*;
    use crate::rng::{Seed, Stream};
    use crate::stats::ks::statistic_sorted;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    const DRAWS: usize = 20_000;

    fn p_value(ours: Distribution, theirs: impl rand_distr::Distribution<f64>) -> f64 {
        let mut stream = Stream::named(Seed(1), "test", "spans");
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut a: Vec<f64> = (0..DRAWS).map(|_| ours.at(stream.uniform()).as_secs_f64()).collect();
        let mut b: Vec<f64> = (0..DRAWS).map(|_| theirs.sample(&mut rng)).collect();
        a.sort_by(f64::total_cmp);
        b.sort_by(f64::total_cmp);
        statistic_sorted(&a, &b).expect("two samples").p_value()
    }

    #[test]
    fn spans_are_distributed_as_their_names_say() {
        let lognormal = Distribution::lognormal(Span::millis(4), Span::millis(12));
        let sigma = libm::log(3.0) / Z99;
        let reference = rand_distr::LogNormal::new(libm::log(0.004), sigma).expect("a scale");
        assert!(p_value(lognormal, reference) > 1e-3);
        let exponential = Distribution::Exponential { mean: Span::millis(10) };
        assert!(p_value(exponential, rand_distr::Exp::new(100.0).expect("a rate")) > 1e-3);
        // The test can fail: a lognormal is no exponential of the same median.
        assert!(p_value(lognormal, rand_distr::Exp::new(std::f64::consts::LN_2 / 0.004).expect("a rate")) < 1e-9);
    }
}
