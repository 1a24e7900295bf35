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
