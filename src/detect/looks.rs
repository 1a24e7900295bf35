//! Owns the price of looking often and in many places: levels for one look out of many, and p-values over many columns.
//!
//! A test at level α that is repeated at every scrape raises a false alarm sooner or later. With [`Looks::All`] the k-th look
//! spends α/(k(k+1)) of the level; these shares add up to α, so that by the union bound the chance of *any* false alarm in an
//! endless run is at most α, however the looks depend on each other. (Alpha spending after Lan and DeMets, Biometrika 70 (1983)
//! 659-663, with the summable weights 1/(k(k+1)) of Robbins.) It costs power late in a run; a sequential detector or a
//! confidence sequence does better where there is one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a level or a confidence is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Looks {
    /// One look: it holds each time, and false alarms add up over a run.
    #[default]
    Each,
    /// All looks of a run together: the k-th look spends 1/(k(k+1)) of the level.
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

    /// The two-sided confidence of an interval at the `k`-th look.
    #[must_use]
    pub fn confidence(self, confidence: f64, k: u64) -> f64 {
        1.0 - (1.0 - confidence) * self.share(k)
    }
}

impl Across {
    /// The smallest adjusted p-value of several, and whose it is; NaN are left out. `None` if nothing is left.
    #[must_use]
    pub fn smallest(self, p_values: &[f64]) -> Option<(usize, f64)> {
        let mut order: Vec<usize> = (0..p_values.len()).filter(|&i| !p_values[i].is_nan()).collect();
        order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
        let first = *order.first()?;
        let m = order.len() as f64;
        let adjusted = match self {
            Self::None => p_values[first],
            Self::Holm => p_values[first] * m,
            Self::BenjaminiHochberg => order
                .iter()
                .enumerate()
                .map(|(rank, &i)| p_values[i] * m / (rank as f64 + 1.0))
                .fold(f64::INFINITY, f64::min),
        };
        Some((first, adjusted.min(1.0)))
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
        assert!((Looks::All.confidence(0.9, 1) - 0.95).abs() < 1e-15);
    }

    /// The smallest adjusted p-values of statsmodels' `multipletests([0.01, 0.011, 0.04, 0.5], method=...)`.
    #[test]
    fn the_smallest_adjusted_p_value_is_as_statsmodels_has_it() {
        let p = [0.5, 0.011, 0.04, 0.01, f64::NAN];
        assert_eq!(Across::Holm.smallest(&p), Some((3, 0.04)));
        let (whose, adjusted) = Across::BenjaminiHochberg.smallest(&p).unwrap();
        assert_eq!(whose, 3);
        assert!((adjusted - 0.022).abs() < 1e-15, "{adjusted}");
        assert_eq!(Across::None.smallest(&[f64::NAN]), None);
    }
}
