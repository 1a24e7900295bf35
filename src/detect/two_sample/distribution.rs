//! Owns the tests of whole distribution functions: Kolmogorov-Smirnov, Cramér-von Mises, Anderson-Darling.

use super::{NoVerdict, Pair, Side, Verdict};
use crate::stats::Alternative;
use crate::stats::cramer_von_mises::{Ties, anderson_darling, cramer_von_mises};
use crate::stats::ks::{KsTest, farthest};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Up to so many lattice points `auto` takes the exact p-value: some 200 rows a side. It takes less than a millisecond, and a
/// policy looks hundreds of times.
const AUTO_MAX: u64 = 40_000;
/// Up to so many `exact` does: 10 000 a side, about a tenth of a second at most. Above, the asymptotic p-value has the digits
/// that matter without ties: at 10 000 a side it is off by 1 to 3 % of itself from 0.05 down to 1e-6 (at 200 against 180 rows
/// by 0.3 to 7 %). With ties it stays too large whatever the size: 0.069 for 0.015 in a case of four values.
const EXACT_MAX: u64 = 100_000_000;

/// Two-sample Kolmogorov-Smirnov test: the largest distance between the two empirical distribution functions.
///
/// Fields: `d`, the distance, a share in [0, 1] (one-sided with a one-sided alternative); `p`, the probability of one at least
/// as large if nothing changed; `location`, a value at which it is reached, in the column's unit; `sign`, 1 if the window lies
/// above the reference there and -1 if below; `n`, `m`, rows. Unchanged by any increasing transformation of the column.
///
/// Memory: at most `8 columns rows versions + 48 versions scrapes (columns + 4)` bytes; with a reference of `first` or `own` also
/// those of its rows.
///
/// Source: N. Smirnov 1939; J. L. Hodges, Arkiv för Matematik 3 (1958) 469-486; scipy's `ks_2samp`, R's `ks.test`.
///
/// Blind to differences in the far tails, where both functions are near 0 or 1: 1 % of rows at a hundred times the latency move
/// `d` by 0.01. With ties all methods but `exact` and `auto` err towards no alarm.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Ks {
    /// How the p-value is computed. Default: `auto`.
    #[serde(default)]
    pub method: KsMethod,
    /// Which difference counts, as one of the window from the reference. Default: `two-sided`.
    #[serde(default)]
    pub alternative: Alternative,
}

/// How the p-value of [`Ks`] is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KsMethod {
    /// `exact` up to a product of sizes of 40 000 (200 rows each), `asymptotic` above, where it is off by 7 % of itself at most
    /// and takes microseconds; but with few distinct values it errs towards no alarm at any size: take `exact` for those. Of
    /// several columns `asymptotic` picks the one that differs most.
    #[default]
    Auto,
    /// The permutation distribution given the ties of the pooled sample, R's `psmirnov`. Up to a product of sizes of
    /// 100 000 000 (10 000 rows each); above, `asymptotic`.
    Exact,
    /// The permutation distribution of continuous data, scipy's `exact`: for data with ties too large, at times by far. Same
    /// limit.
    ExactNoTies,
    /// The exact distribution of one sample of size `n m / (n + m)`, rounded, against a known function: scipy's `asymp`.
    Asymptotic,
    /// Kolmogorov's limit, R's `exact = FALSE`: rejects too rarely in windows of some tens of rows.
    Limit,
    /// The limit with M. A. Stephens' correction for small samples (JRSS B 32 (1970) 115-122).
    Stephens,
}

impl Ks {
    pub(super) const FIELDS: &[&str] = &["d", "p", "location", "sign", "n", "m"];

    /// Whether the distance alone gives a p-value, so that [`Ks::quick`] will do for a first look at many columns.
    #[must_use]
    pub fn is_quick(&self) -> bool {
        self.alternative == Alternative::TwoSided && !matches!(self.method, KsMethod::Exact | KsMethod::ExactNoTies)
    }

    /// The fields from the distance alone: `location` and `sign` stay unknown, and `auto` is `asymptotic`.
    #[must_use]
    pub fn quick(&self, test: &KsTest) -> Vec<f64> {
        let p = match self.method {
            KsMethod::Limit => Some(test.p_limit()),
            KsMethod::Stephens => Some(test.p_stephens()),
            _ => test.p_asymptotic(self.alternative),
        };
        vec![test.d, p.unwrap_or(1.0), f64::NAN, f64::NAN, test.n as f64, test.m as f64]
    }

    /// The test on two columns in any order.
    ///
    /// # Errors
    /// Why there is no verdict.
    pub fn evaluate(&self, reference: &[f64], window: &[f64]) -> Verdict {
        let pair = Pair::present(reference, window, 1)?;
        let far = farthest(&pair.reference, &pair.window, self.alternative);
        let far = far.ok_or(NoVerdict::Empty { side: Side::Window })?;
        let (n, m) = (pair.reference.len(), pair.window.len());
        let test = KsTest { d: far.d, n: n as u64, m: m as u64 };
        let p = self.p(&test, pair).ok_or(NoVerdict::TooFew { side: Side::Window, rows: m, needed: 2 })?;
        Ok(vec![far.d, p, far.location, f64::from(far.sign), n as f64, m as f64])
    }

    /// `None` only for one row against one, asymptotically.
    fn p(&self, test: &KsTest, pair: Pair<'_>) -> Option<f64> {
        let side = self.alternative;
        let within = |most| test.n.saturating_mul(test.m) <= most;
        let exact = |pair: Pair<'_>| {
            let pair = pair.sorted();
            test.p_exact(&pair.reference, &pair.window, side)
        };
        match self.method {
            KsMethod::Auto if within(AUTO_MAX) => exact(pair),
            KsMethod::Exact if within(EXACT_MAX) => exact(pair),
            KsMethod::ExactNoTies if within(EXACT_MAX) => test.p_exact_no_ties(side),
            KsMethod::Limit if side == Alternative::TwoSided => Some(test.p_limit()),
            KsMethod::Stephens if side == Alternative::TwoSided => Some(test.p_stephens()),
            KsMethod::Limit => Some(test.p_one_sided_limit(false)),
            KsMethod::Stephens => Some(test.p_one_sided_limit(true)),
            _ => test.p_asymptotic(side),
        }
    }
}

/// Two-sample Cramér-von Mises test: the squared distance between the distribution functions, averaged over the pooled rows.
///
/// Fields: `t`, Anderson's statistic T, without unit, about 1/6 if nothing changed; `p`, from the limit distribution; `n`, `m`,
/// rows, at least 2 each.
///
/// Memory: at most `8 columns rows versions + 48 versions scrapes (columns + 4)` bytes; with a reference of `first` or `own` also
/// those of its rows.
///
/// Source: T. W. Anderson, Annals of Mathematical Statistics 33 (1962) 1148-1159; scipy's `cramervonmises_2samp`.
///
/// Sees a small shift everywhere sooner than [`Ks`]; blind to the far tails even more than that. The p-value is that of
/// continuous data; with few distinct values it is only roughly right.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct CramerVonMises {
    /// What is made of ties. Default: `functions`.
    #[serde(default)]
    pub ties: CramerVonMisesTies,
}

/// What [`CramerVonMises`] makes of tied values. Without ties both are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CramerVonMisesTies {
    /// The distance between the two distribution functions, as without ties.
    #[default]
    Functions,
    /// Mean ranks, as scipy. The gaps inside a tied group count as differences: for a column of zeros and ones it fires
    /// whenever reference and window differ in length, changed or not.
    Midranks,
}

impl CramerVonMises {
    pub(super) const FIELDS: &[&str] = &["t", "p", "n", "m"];

    pub(super) fn evaluate(&self, reference: &[f64], window: &[f64]) -> Verdict {
        let pair = Pair::present(reference, window, 2)?.sorted();
        let ties = match self.ties {
            CramerVonMisesTies::Functions => Ties::Functions,
            CramerVonMisesTies::Midranks => Ties::Midranks,
        };
        let test = cramer_von_mises(&pair.reference, &pair.window, ties).ok_or(NoVerdict::NoSpread)?;
        Ok(pair.fields(vec![test.statistic, test.p]))
    }
}

/// Two-sample Anderson-Darling test: as [`CramerVonMises`], but each squared distance is divided by its variance, so that the
/// tails count as much as the centre.
///
/// Fields: `a2`, the statistic less its mean, in standard deviations, about 0 if nothing changed; `p`, from the limit
/// distribution; `n`, `m`, rows, 4 in all at least.
///
/// Memory: at most `8 columns rows versions + 48 versions scrapes (columns + 4)` bytes; with a reference of `first` or `own` also
/// those of its rows.
///
/// Source: F. W. Scholz and M. A. Stephens, JASA 82 (1987) 918-924, with midranks; scipy's `anderson_ksamp`, whose p-value is an
/// interpolation cut off at 0.001 and 0.25, where this one goes on.
///
/// Blind to what happens beyond all reference values but for how many rows lie there; ties as with [`CramerVonMises`], less so.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct AndersonDarling {}

impl AndersonDarling {
    pub(super) const FIELDS: &[&str] = &["a2", "p", "n", "m"];

    pub(super) fn evaluate(&self, reference: &[f64], window: &[f64]) -> Verdict {
        let pair = Pair::present(reference, window, 1)?.sorted();
        let (a, b) = (&pair.reference, &pair.window);
        if a.len() + b.len() < 4 {
            return Err(NoVerdict::TooFew { side: Side::Window, rows: b.len(), needed: 4 - a.len() });
        }
        let test = anderson_darling(a, b).ok_or(NoVerdict::NoSpread)?;
        Ok(pair.fields(vec![test.statistic, test.p]))
    }
}
