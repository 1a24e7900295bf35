//! Owns distributions of spans and of amounts: one uniform gives one variate, by inversion, portable to the bit.

use crate::stats::normal;
use crate::time::Span;
use std::sync::Arc;

/// The distribution of a span of time.
#[derive(Debug, Clone, PartialEq)]
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
    /// As measured: quantiles at the equally spaced probabilities 0, 1/n, …, 1, never decreasing, and a straight line between
    /// two of them. Without any it is always nothing.
    Empirical(Arc<[Span]>),
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

    /// The law of a sample, in any order, by so many of its quantiles: that of probability p lies at place p·(m−1) of the m
    /// sorted values, between two by a straight line (R. J. Hyndman and Y. Fan, "Sample Quantiles in Statistical Packages",
    /// The American Statistician 50(4), 1996: type 7), rounded to the nanosecond. `None` without a sample, or with less than
    /// two points.
    #[must_use]
    pub fn empirical(samples: &[Span], points: usize) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_unstable();
        let (last, cells) = (sorted.len().checked_sub(1)? as u128, points.checked_sub(1).filter(|&n| n > 0)? as u128);
        let quantile = |k: u128| {
            let (place, rest) = ((k * last / cells) as usize, k * last % cells);
            let (low, high) = (sorted[place].0, sorted[(place + 1).min(sorted.len() - 1)].0);
            Span(low + ((u128::from(high - low) * rest + cells / 2) / cells) as u64)
        };
        Some(Self::Empirical((0..=cells).map(quantile).collect()))
    }

    /// The variate of a uniform in (0, 1).
    #[must_use]
    pub fn at(&self, u: f64) -> Span {
        match *self {
            Self::Constant(span) => span,
            Self::Empirical(ref quantiles) => interpolated(quantiles, u),
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
            Self::Empirical(ref quantiles) => trapezoid(quantiles),
            Self::Exponential { mean } => mean,
            Self::Lognormal { median, sigma } => {
                Span::from_secs_f64(median.as_secs_f64() * libm::exp(sigma * sigma / 2.0))
            }
        }
    }
}

/// The distribution of an amount: a plain number in whatever unit its scenario has in mind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Amount {
    /// Always the same.
    Constant(f64),
    /// Normal; amounts may be negative.
    Normal {
        /// Mean.
        mean: f64,
        /// Standard deviation.
        sd: f64,
    },
    /// Lognormal: `median · exp(sigma · z)`.
    Lognormal {
        /// Median.
        median: f64,
        /// Standard deviation of the logarithm.
        sigma: f64,
    },
}

impl Amount {
    /// The lognormal with this median and 99th percentile, both above 0: sigma = (ln p99 − ln median) / z₀.₉₉.
    #[must_use]
    pub fn lognormal(median: f64, p99: f64) -> Self {
        // Not of the ratio, which may be infinite.
        Self::Lognormal { median, sigma: (libm::log(p99) - libm::log(median)).max(0.0) / Z99 }
    }

    /// The variate of a uniform in (0, 1): finite, and of a lognormal above 0.
    #[must_use]
    pub fn at(&self, u: f64) -> f32 {
        let (value, least) = match *self {
            Self::Constant(value) => (value, -f32::MAX),
            Self::Normal { mean, sd } => (mean + sd * normal::quantile(u), -f32::MAX),
            Self::Lognormal { median, sigma } => (median * libm::exp(sigma * normal::quantile(u)), f32::MIN_POSITIVE),
        };
        (value as f32).clamp(least, f32::MAX)
    }
}

/// The value at probability `u` on straight lines between equally spaced quantiles.
fn interpolated(quantiles: &[Span], u: f64) -> Span {
    let Some(cells) = quantiles.len().checked_sub(1) else { return Span::ZERO };
    let x = u.clamp(0.0, 1.0) * cells as f64;
    // The part behind the point is exact, so that values never decrease with u.
    let (cell, within) = (x as usize, x - (x as usize) as f64);
    let (low, high) = (quantiles[cell.min(cells)], quantiles[(cell + 1).min(cells)]);
    let rise = high - low;
    // `as` saturates; beyond 2^52 ns (52 days) a rise is rounded to what f64 resolves.
    low + Span((rise.0 as f64 * within + 0.5) as u64).min(rise)
}

/// The mean of the law on straight lines between equally spaced quantiles, rounded to the nanosecond: the mean of its cells,
/// each of which is uniform.
fn trapezoid(quantiles: &[Span]) -> Span {
    match quantiles {
        [] => Span::ZERO,
        [only] => *only,
        [first, between @ .., last] => {
            let inner: u128 = between.iter().map(|q| u128::from(q.0)).sum();
            let (twice, cells) = (u128::from(first.0) + 2 * inner + u128::from(last.0), quantiles.len() as u128 - 1);
            Span(((twice + cells) / (2 * cells)) as u64)
        }
    }
}

#[cfg(test)]
mod tests {
    //! The inverted variates against those of `rand_distr`, which draws them by other methods, and the measured law against
    //! its sample.

    use super::*;
    use crate::rng::{Seed, Stream};
    use crate::stats::ks::statistic_sorted;
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    const DRAWS: usize = 20_000;

    fn p_value(ours: &Distribution, theirs: impl rand_distr::Distribution<f64>) -> f64 {
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
        assert!(p_value(&lognormal, reference) > 1e-3);
        let exponential = Distribution::Exponential { mean: Span::millis(10) };
        assert!(p_value(&exponential, rand_distr::Exp::new(100.0).expect("a rate")) > 1e-3);
        // The test can fail: a lognormal is no exponential of the same median.
        assert!(p_value(&lognormal, rand_distr::Exp::new(std::f64::consts::LN_2 / 0.004).expect("a rate")) < 1e-9);
    }

    fn empirical(samples: &[Span], points: usize) -> Distribution {
        Distribution::empirical(samples, points).expect("a sample")
    }

    fn sample() -> impl Strategy<Value = Vec<Span>> {
        prop::collection::vec((0..10_000_000_000u64).prop_map(Span), 1..200)
    }

    proptest! {
        #[test]
        fn quantiles_come_back(samples in sample(), points in 2..50usize) {
            let law = empirical(&samples, points);
            let Distribution::Empirical(quantiles) = &law else { panic!("an empirical law") };
            prop_assert_eq!(quantiles.len(), points);
            for (k, &quantile) in quantiles.iter().enumerate() {
                prop_assert_eq!(law.at(k as f64 / (points - 1) as f64), quantile);
            }
            // With a point for each value the quantiles are the values.
            let mut sorted = samples;
            sorted.sort();
            if sorted.len() > 1 {
                prop_assert_eq!(empirical(&sorted, sorted.len()), Distribution::Empirical(sorted.into()));
            }
        }

        #[test]
        fn values_never_decrease_and_stay_in_the_range_of_the_sample(
            samples in sample(), points in 2..50usize, mut us in prop::collection::vec(0.0..=1.0f64, 100)
        ) {
            let law = empirical(&samples, points);
            us.sort_by(f64::total_cmp);
            let values: Vec<Span> = us.iter().map(|&u| law.at(u)).collect();
            prop_assert!(values.is_sorted());
            let (low, high) = (samples.iter().min().expect("some"), samples.iter().max().expect("some"));
            prop_assert!(values.iter().all(|v| (low..=high).contains(&v)));
        }

        #[test]
        fn the_mean_is_that_of_many_draws(samples in sample(), points in 2..50usize) {
            let law = empirical(&samples, points);
            // The middles of 100 000 cells of equal probability: what that many stratified draws amount to.
            let cells = 100_000;
            let sum: f64 = (0..cells).map(|i| law.at((f64::from(i) + 0.5) / f64::from(cells)).as_secs_f64()).sum();
            let range = law.at(1.0) - law.at(0.0);
            let error = (sum / f64::from(cells) - law.mean().as_secs_f64()).abs();
            prop_assert!(error <= 1e-4 * range.as_secs_f64() + 2e-9, "{error} of {range}");
        }
    }

    #[test]
    fn draws_pass_for_their_sample_and_shifted_ones_do_not() {
        let true_law = Distribution::lognormal(Span::millis(4), Span::millis(12));
        let mut luck = Stream::named(Seed(1), "test", "measured");
        let samples: Vec<Span> = (0..DRAWS).map(|_| true_law.at(luck.uniform())).collect();
        let seconds = |values: &[Span]| {
            let mut values: Vec<f64> = values.iter().map(|v| v.as_secs_f64()).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let p_value = |law: &Distribution, shift: Span| {
            let mut stream = Stream::named(Seed(2), "test", "drawn");
            let draws: Vec<Span> = (0..DRAWS).map(|_| law.at(stream.uniform()) + shift).collect();
            statistic_sorted(&seconds(&samples), &seconds(&draws)).expect("two samples").p_value()
        };
        let law = empirical(&samples, 1001);
        assert!(p_value(&law, Span::ZERO) > 0.01);
        assert!(p_value(&law, Span(300_000)) < 1e-6, "0.3 ms of 4 ms show");
        // Too few points do not carry the shape.
        assert!(p_value(&empirical(&samples, 3), Span::ZERO) < 1e-6);
    }

    #[test]
    fn what_is_no_sample_has_no_law_and_what_has_no_quantiles_takes_no_time() {
        assert_eq!(Distribution::empirical(&[], 11), None);
        assert_eq!(Distribution::empirical(&[Span(7)], 1), None);
        let one = empirical(&[Span(7)], 2);
        assert_eq!((one.at(0.3), one.mean()), (Span(7), Span(7)));
        let none = Distribution::Empirical([].into());
        assert_eq!((none.at(0.3), none.mean()), (Span::ZERO, Span::ZERO));
        // 2, 4, 10 at 0, ½, 1: cells of means 3 and 7.
        let uneven = empirical(&[Span(10), Span(2), Span(4)], 3);
        assert_eq!((uneven.at(0.25), uneven.at(0.75), uneven.mean()), (Span(3), Span(7), Span(5)));
        // The longest span there is does not overflow.
        let vast = empirical(&[Span(0), Span(u64::MAX)], 3);
        assert_eq!((vast.at(1.0), vast.mean()), (Span(u64::MAX), Span(1 << 63)));
    }
}
