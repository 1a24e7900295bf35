//! Owns the run lengths of the Shiryaev-Roberts procedure for a shift of a normal mean.
//!
//! The statistic is `R = (1 + R) exp(delta z - delta^2 / 2)` from zero, with an alarm when `R >= A` (A. N. Shiryaev, Theory of
//! Probability and its Applications 8 (1963) 22-46; S. W. Roberts, Technometrics 8 (1966) 411-430). `R_n - n` is a martingale
//! without a shift, hence ARL0 >= A. Solved in `r = ln R`, in which a step is normal: from `r` to `ln(1 + e^r)` plus a normal
//! value.

use super::chain::Chain;
use super::{REACH, Step, nodes, tail};

/// A Shiryaev-Roberts procedure for standardised normal values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShiryaevRoberts {
    /// The shift that its likelihood ratio is made for, in standard deviations; finite, not zero.
    pub delta: f64,
    /// The threshold A of R; positive.
    pub threshold: f64,
}

/// `ln(1 + e^r)` is smooth on the scale of 1: its nearest singularities are at `r = +- pi i`.
const SOFTPLUS_PANEL: f64 = 1.5;

impl ShiryaevRoberts {
    /// The average run length from R = 0 when the observations' mean is `shift` (0: ARL0). `None` outside the domain and where
    /// ln A is more than 4000 deltas high.
    #[must_use]
    pub fn arl(&self, shift: f64) -> Option<f64> {
        Some(self.chain(shift)?.cycles()?.mean())
    }

    /// P(T <= t); `None` as for [`arl`](Self::arl).
    #[must_use]
    pub fn cdf(&self, shift: f64, t: u64) -> Option<f64> {
        let chain = self.chain(shift)?;
        tail::cdf(chain.survival(&chain.zero), t)
    }

    /// The smallest `t` with P(T <= t) >= `q`; `None` as for [`arl`](Self::arl), and unless `0 < q < 1`.
    #[must_use]
    pub fn quantile(&self, shift: f64, q: f64) -> Option<u64> {
        let chain = self.chain(shift)?;
        tail::quantile(chain.survival(&chain.zero), q)
    }

    fn chain(&self, shift: f64) -> Option<Chain> {
        let (drift, deviation) = (self.delta * shift - 0.5 * self.delta * self.delta, self.delta.abs());
        if !(deviation > 0.0 && drift.is_finite() && self.threshold > 0.0 && self.threshold.is_finite()) {
            return None;
        }
        let high = libm::log(self.threshold);
        // No step ends below this with a chance that counts, since none starts below ln(1 + 0).
        let low = (drift - REACH * deviation).min(high - deviation);
        let nodes = nodes(low, high, deviation, SOFTPLUS_PANEL)?;
        let row = |from: f64| Step::normal(&nodes, low, high, from + drift, deviation).restarting();
        let softplus = |r: f64| r.max(0.0) + libm::log1p(libm::exp(-r.abs()));
        Some(Chain { states: nodes.iter().map(|n| row(softplus(n.at))).collect(), zero: row(0.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::normal;
    use super::*;

    #[test]
    fn the_martingale_bounds_the_false_alarms() {
        for (delta, threshold) in [(0.25, 30.0), (1.0, 1.0), (1.0, 1000.0), (-3.0, 1e6)] {
            let got = ShiryaevRoberts { delta, threshold }.arl(0.0).unwrap();
            assert!(got >= threshold, "{delta} {threshold}: {got}");
        }
        // For small shifts R hardly overshoots, and the bound is nearly attained: the overshoot is exp(0.583 delta).
        let small = ShiryaevRoberts { delta: 0.05, threshold: 500.0 }.arl(0.0).unwrap() / 500.0;
        assert!((small / libm::exp(0.583 * 0.05) - 1.0).abs() < 2e-3, "{small}");
    }

    #[test]
    fn a_tiny_threshold_alarms_at_once_and_a_small_one_is_a_single_test() {
        assert!((ShiryaevRoberts { delta: 1.0, threshold: 1e-12 }.arl(0.0).unwrap() - 1.0).abs() < 1e-12);
        // Alarm at the first step: delta z - delta^2/2 >= ln A.
        let chart = ShiryaevRoberts { delta: 0.8, threshold: 2.0 };
        let first = normal::sf((libm::log(2.0) + 0.32) / 0.8);
        assert!((chart.cdf(0.0, 1).unwrap() - first).abs() < 1e-13);
    }

    #[test]
    fn signs_mirror_and_the_mean_is_the_sum_of_the_survival_function() {
        let chart = ShiryaevRoberts { delta: 0.5, threshold: 100.0 };
        let mirrored = ShiryaevRoberts { delta: -0.5, threshold: 100.0 };
        assert!((chart.arl(0.5).unwrap() / mirrored.arl(-0.5).unwrap() - 1.0).abs() < 1e-12);
        let chain = chart.chain(0.5).unwrap();
        let sum: f64 = 1.0 + chain.survival(&chain.zero).take(4000).sum::<f64>();
        assert!((sum - chart.arl(0.5).unwrap()).abs() < 1e-9, "{sum}");
        let q = chart.quantile(0.0, 0.5).unwrap();
        assert!(chart.cdf(0.0, q).unwrap() >= 0.5 && chart.cdf(0.0, q - 1).unwrap() < 0.5);
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        for bad in [f64::NAN, f64::INFINITY, 0.0] {
            assert_eq!(ShiryaevRoberts { delta: bad, threshold: 9.0 }.arl(0.0), None);
            assert_eq!(ShiryaevRoberts { delta: 1.0, threshold: bad }.arl(0.0), None);
        }
        assert_eq!(ShiryaevRoberts { delta: 1.0, threshold: 9.0 }.arl(f64::NAN), None);
        assert_eq!(ShiryaevRoberts { delta: 1e-6, threshold: 9.0 }.arl(0.0), None);
    }
}
