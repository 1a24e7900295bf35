//! Owns the Mann-Whitney test as a detector.

use super::{NoVerdict, Pair, Side, Verdict, share};
use crate::stats::Alternative;
use crate::stats::mann_whitney::RankSum;
use crate::stats::shift::Shift;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `auto` is exact up to so many rows in the smaller sample: scipy's rule.
const AUTO_MAX: usize = 8;

/// Mann-Whitney U test (Wilcoxon's rank sum test): does a row of the window tend to be larger than one of the reference?
///
/// Fields: `u`, pairs of rows in which the reference's is the larger, tied pairs half, in [0, n m]; `p`; `shift`, the
/// Hodges-Lehmann estimate of how much larger the window's values are, the median of all differences, in the column's unit;
/// `lower`, `upper`, its interval at `confidence`, two-sided whatever the alternative, NaN where it is not defined (all values equal);
/// `cles`, the share of pairs in which the window's is the larger, 0.5 if nothing changed; `n`, `m`, rows.
///
/// Memory: at most `8 columns rows versions + 48 versions scrapes (columns + 4)` bytes; with a reference of `first` or `own` also
/// those of its rows.
///
/// Source: H. B. Mann and D. R. Whitney, Annals of Mathematical Statistics 18 (1947) 50-60; J. L. Hodges and E. L. Lehmann,
/// Annals of Mathematical Statistics 34 (1963) 598-611; scipy's `mannwhitneyu`, R's `wilcox.test`.
///
/// Blind to a change of spread or shape with as many pairs one way as the other: half the rows faster and half slower is
/// `cles` = 0.5. A rare large spike moves few ranks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct MannWhitney {
    /// How `p` and the interval are computed. Default: `auto`.
    pub method: RankMethod,
    /// Whether the normal approximation moves U half a pair towards its mean (its p-value then errs on the safe side).
    /// Default: true.
    pub continuity: bool,
    /// Which difference of the window from the reference counts. Default: `two-sided`. evidently's test, which it documents as
    /// two-sided, is `greater`.
    pub alternative: Alternative,
    /// Confidence of the interval. Default: 0.95.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub confidence: f64,
    /// If given, the ends of the asymptotic interval are searched for, as R and Kayenta do, to this tolerance, absolute and in
    /// the column's unit; both take 0.0001 whatever the unit, so that for a column of seconds or shares their interval is
    /// wrong. Default: none, the ends are the differences of the ranks that the normal approximation says.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub tolerance: Option<f64>,
}

/// How p-value and interval of [`MannWhitney`] are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RankMethod {
    /// `exact` without ties if either sample has at most 8 rows, else `asymptotic`: scipy's rule.
    #[default]
    Auto,
    /// From the distribution of all orders. With ties, above 200 rows in the smaller sample, or where it would take more than
    /// 5e7 additions, `asymptotic`: R does so with ties too. At 200 rows each that is too large by 0.3 % of a p-value of
    /// 0.04, 3 % of 0.001, 22 % of 1e-6.
    Exact,
    /// By the normal approximation with the variance corrected for ties.
    Asymptotic,
}

impl Default for MannWhitney {
    fn default() -> Self {
        Self {
            method: RankMethod::Auto,
            continuity: true,
            alternative: Alternative::TwoSided,
            confidence: 0.95,
            tolerance: None,
        }
    }
}

impl MannWhitney {
    pub(super) const FIELDS: &[&str] = &["u", "p", "shift", "lower", "upper", "cles", "n", "m"];

    pub(super) fn evaluate(&self, reference: &[f64], window: &[f64]) -> Verdict {
        let confidence = share(self.confidence, "confidence")?;
        if self.tolerance.is_some_and(|t| !(t > 0.0 && t.is_finite())) {
            return Err(NoVerdict::Parameter { name: "tolerance" });
        }
        let pair = Pair::present(reference, window, 1)?.finite()?.sorted();
        let (a, b) = (&pair.reference, &pair.window);
        let test = RankSum::of_sorted(a, b).ok_or(NoVerdict::NoSpread)?;
        let shift = Shift::of_sorted(a, b).ok_or(NoVerdict::Infinite { side: Side::Window })?;
        let exact = match self.method {
            RankMethod::Auto => a.len().min(b.len()) <= AUTO_MAX,
            RankMethod::Exact => true,
            RankMethod::Asymptotic => false,
        };
        let exact_p = if exact { test.p_exact(self.alternative) } else { None };
        let (p, interval) = match exact_p {
            Some(p) => (p, shift.interval_exact(confidence)),
            None => (
                test.p_normal(self.alternative, self.continuity).ok_or(NoVerdict::NoSpread)?,
                match self.tolerance {
                    Some(tolerance) => shift.interval_by_root(confidence, tolerance),
                    None => shift.interval_asymptotic(confidence),
                },
            ),
        };
        let (lower, upper) = interval.map_or((f64::NAN, f64::NAN), |i| (i.low, i.high));
        Ok(pair.fields(vec![test.u, p, shift.estimate(), lower, upper, test.cles()]))
    }
}
