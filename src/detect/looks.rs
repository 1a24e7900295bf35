//! Owns the price of looking often and in many places: levels for one look out of many, and p-values over many columns.
//!
//! A test at level α that is repeated at every scrape raises a false alarm sooner or later. With [`Looks::All`] the k-th look
//! spends α/(k(k+1)) of the level; these shares add up to α, so that by the union bound the chance of *any* false alarm in an
//! endless run is at most α, however the looks depend on each other. (Alpha spending after Lan and DeMets, Biometrika 70 (1983)
//! 659-663, with the summable weights 1/(k(k+1)) of Robbins.) It costs power late in a run; a sequential detector or a
//! confidence sequence does better where there is one.
//!
//! The tenth look may spend a hundredth of the level, and what it spends is a far tail. So shares, differences of shares and
//! latency quantiles have intervals then that are exact for any number of observations ([`Surety::exact`]); Wilson's lower
//! limit, nominally wrong in 5 of a million, is wrong in 600 for one event expected. Intervals of F1, AUC, the Brier score, means
//! and estimates without labels stay those of large samples: with `all` they err more often than they say, the more the later
//! the look, and a rule on them should ask for several looks in a row as well.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How sure the interval of one look is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Surety {
    /// Two-sided confidence.
    pub confidence: f64,
    /// Whether it must hold as it stands, in the far tail, too: there the approximations that are good at 0.95 fail.
    pub exact: bool,
}

impl Surety {
    /// The same for one of so many that must hold together (Bonferroni).
    #[must_use]
    pub fn among(self, many: usize) -> Self {
        Self { confidence: 1.0 - (1.0 - self.confidence) / many.max(1) as f64, ..self }
    }
}

/// What a level or a confidence is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Looks {
    /// One look: it holds each time, and false alarms add up over a run.
    #[default]
    Each,
    /// All looks of a run together: the k-th look spends 1/(k(k+1)) of the level, and intervals of shares, of their differences
    /// and of latency quantiles are exact for any number of observations. Those of F1, AUC, calibration, means and estimates
    /// without labels are not, and are wrong more often than they say.
    All,
}

/// How p-values of several columns are judged together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Across {
    /// The chance of any false alarm (Holm 1979; for the smallest p-value that is Bonferroni's bound).
    #[default]
    Holm,
    /// The share of false alarms among alarms (Benjamini and Hochberg 1995).
    BenjaminiHochberg,
    /// Not at all: the smallest p-value as it is.
    None,
}

impl Looks {
    /// The share of the level that the `k`-th look (from 1) may spend.
    #[must_use]
    pub fn share(self, k: u64) -> f64 {
        match self {
            Self::Each => 1.0,
            Self::All => 1.0 / (k.max(1) as f64 * (k.max(1) as f64 + 1.0)),
        }
    }

    /// A p-value as of the `k`-th look: compared with α it holds for what it is said to be about.
    #[must_use]
    pub fn p(self, p: f64, k: u64) -> f64 {
        (p / self.share(k)).min(1.0)
    }

    /// How sure an interval must be at the `k`-th look.
    #[must_use]
    pub fn surety(self, confidence: f64, k: u64) -> Surety {
        Surety { confidence: 1.0 - (1.0 - confidence) * self.share(k), exact: self == Self::All }
    }
}

impl Across {
    /// The smallest adjusted p-value of several; NaN are left out. `None` if nothing is left.
    #[must_use]
    pub fn smallest(self, p_values: &[f64]) -> Option<f64> {
        let mut sorted: Vec<f64> = p_values.iter().copied().filter(|p| !p.is_nan()).collect();
        sorted.sort_by(f64::total_cmp);
        let first = *sorted.first()?;
        let m = sorted.len() as f64;
        let adjusted = match self {
            Self::None => first,
            Self::Holm => first * m,
            Self::BenjaminiHochberg => {
                sorted.iter().enumerate().map(|(i, p)| p * m / (i as f64 + 1.0)).fold(f64::INFINITY, f64::min)
            }
        };
        Some(adjusted.min(1.0))
    }

    /// The share of a level that each of `columns` may spend where a test has a threshold or an interval and no p-value:
    /// Bonferroni's, for `benjamini-hochberg` too, which orders p-values and says nothing of thresholds.
    #[must_use]
    pub fn share(self, columns: usize) -> f64 {
        match self {
            Self::None => 1.0,
            Self::Holm | Self::BenjaminiHochberg => 1.0 / columns.max(1) as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_looks_together_never_spend_more_than_the_level() {
        let spent: f64 = (1..100_000).map(|k| 0.01 * Looks::All.share(k)).sum();
        assert!(spent < 0.01 && spent > 0.0099, "{spent}");
        assert_eq!(Looks::Each.p(0.2, 17), 0.2);
        assert_eq!(Looks::All.p(0.001, 9), 0.09);
        assert!((Looks::All.surety(0.9, 1).confidence - 0.95).abs() < 1e-15);
        assert!(Looks::All.surety(0.9, 1).exact && !Looks::Each.surety(0.9, 1).exact);
    }

    /// The smallest adjusted p-values of statsmodels' `multipletests([0.01, 0.011, 0.04, 0.5], method=...)`.
    #[test]
    fn the_smallest_adjusted_p_value_is_as_statsmodels_has_it() {
        let p = [0.5, 0.011, 0.04, 0.01, f64::NAN];
        assert_eq!(Across::Holm.smallest(&p), Some(0.04));
        let adjusted = Across::BenjaminiHochberg.smallest(&p).unwrap();
        assert!((adjusted - 0.022).abs() < 1e-15, "{adjusted}");
        assert_eq!(Across::None.smallest(&[f64::NAN]), None);
    }
}
