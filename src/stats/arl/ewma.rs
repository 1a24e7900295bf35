//! Owns the run lengths of EWMA charts with constant limits.
//!
//! The chart is `Z = (1 - lambda) Z + lambda x` from zero, with an alarm when `|Z| > L sqrt(lambda / (2 - lambda))`, the limit
//! of the exact, time-varying limits (S. W. Roberts, Technometrics 1 (1959) 239-250; J. M. Lucas and M. S. Saccucci,
//! Technometrics 32 (1990) 1-12). Published tables are for constant limits, too; exact limits are narrower at the start, where
//! such a chart alarms earlier than computed here.

use super::chain::Chain;
use super::{Step, nodes, tail};

/// A two-sided EWMA chart of standardised normal values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ewma {
    /// The weight lambda of the newest observation, in `(0, 1]`; 1 is a Shewhart chart.
    pub weight: f64,
    /// The limit L, in standard deviations of the settled statistic; positive.
    pub limit: f64,
}

impl Ewma {
    /// The average run length from zero when the observations' mean is `shift`. `None` outside the domain, for weights so small
    /// that the limits are 4000 deviations of a step apart, and where the result exceeds any number.
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
        let lambda = self.weight;
        if !(lambda > 0.0 && lambda <= 1.0 && shift.is_finite() && self.limit > 0.0 && self.limit.is_finite()) {
            return None;
        }
        let edge = self.limit * (lambda / (2.0 - lambda)).sqrt();
        let nodes = nodes(-edge, edge, lambda, edge)?;
        let row = |z: f64| Step::normal(&nodes, -edge, edge, (1.0 - lambda) * z + lambda * shift, lambda).alarming();
        Some(Chain { states: nodes.iter().map(|n| row(n.at)).collect(), zero: row(0.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::shewhart;
    use super::*;

    #[test]
    fn full_weight_is_a_shewhart_chart() {
        for (limit, shift) in [(3.0, 0.0), (3.0, 1.0), (2.0, -2.5)] {
            let got = Ewma { weight: 1.0, limit }.arl(shift).unwrap();
            assert!((got / shewhart(limit, shift).unwrap() - 1.0).abs() < 1e-12, "{limit} {shift}: {got}");
        }
    }

    /// Lucas and Saccucci's (1990) designs for an ARL0 of 500, printed to three digits.
    #[test]
    fn the_published_designs_come_out_at_five_hundred() {
        for (weight, limit) in [(0.4, 3.054), (0.25, 2.998), (0.2, 2.962), (0.1, 2.814), (0.05, 2.615)] {
            let got = Ewma { weight, limit }.arl(0.0).unwrap();
            assert!((got - 500.0).abs() < 0.5, "{weight}: {got}");
        }
    }

    #[test]
    fn shifts_of_either_sign_are_found_alike_and_the_mean_is_the_sum_of_the_survival_function() {
        let chart = Ewma { weight: 0.1, limit: 2.814 };
        assert!((chart.arl(1.0).unwrap() / chart.arl(-1.0).unwrap() - 1.0).abs() < 1e-12);
        let chain = chart.chain(1.0).unwrap();
        let sum: f64 = 1.0 + chain.survival(&chain.zero).take(2000).sum::<f64>();
        assert!((sum - chart.arl(1.0).unwrap()).abs() < 1e-9, "{sum}");
        let median = chart.quantile(1.0, 0.5).unwrap();
        assert!(chart.cdf(1.0, median).unwrap() >= 0.5 && chart.cdf(1.0, median - 1).unwrap() < 0.5);
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        for bad in [f64::NAN, f64::INFINITY, 0.0, -0.1, 1.1] {
            assert_eq!(Ewma { weight: bad, limit: 3.0 }.arl(0.0), None);
        }
        for bad in [f64::NAN, f64::INFINITY, 0.0, -3.0] {
            assert_eq!(Ewma { weight: 0.1, limit: bad }.arl(0.0), None);
        }
        assert_eq!(Ewma { weight: 0.1, limit: 3.0 }.arl(f64::NAN), None);
        assert_eq!(Ewma { weight: 1e-9, limit: 3.0 }.arl(0.0), None);
    }
}
