//! Owns the tests that look at the values themselves: Welch's t, Wasserstein-1, energy.

use super::{NoVerdict, Pair, Side, Verdict};
use crate::stats::distance::distances;
use crate::stats::summary::Summary;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Welch's t test: do the two means differ?
///
/// Fields: `t`, reference mean minus window mean in standard errors (negative if the window is larger), infinite for two
/// different constants; `p`, two-sided; `df`, degrees of freedom; `difference`, window mean minus reference mean, in the
/// column's unit; `n`, `m`, rows, at least 2 each.
///
/// Memory: at most `8 columns rows versions + 48 versions scrapes (columns + 4)` bytes; with a reference of `first` or `own` also
/// those of its rows.
///
/// Source: B. L. Welch, Biometrika 34 (1947) 28-35; scipy's `ttest_ind(equal_var = False)`.
///
/// Blind to everything but means; and means of heavy-tailed columns, such as latencies, vary so much that a few large values
/// hide a shift of all the others.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Welch {}

impl Welch {
    pub(super) const FIELDS: &[&str] = &["t", "p", "df", "difference", "n", "m"];

    pub(super) fn evaluate(&self, reference: &[f64], window: &[f64]) -> Verdict {
        let pair = Pair::present(reference, window, 2)?.finite()?;
        let (a, b) = (Summary::of(&pair.reference), Summary::of(&pair.window));
        // Sums of finite values may still overflow.
        let test = a.welch(&b).ok_or(NoVerdict::Infinite { side: Side::Window })?;
        let p = test.p().ok_or(NoVerdict::NoSpread)?;
        Ok(pair.fields(vec![test.t(), p, test.degrees_of_freedom, -test.difference]))
    }
}

/// Wasserstein distance of order 1 (earth mover's distance): how far a value must move on average to turn one sample into the
/// other.
///
/// Fields: `distance`, in the column's unit, or in standard deviations of the reference with `scale`; `n`, `m`, rows.
///
/// Memory: at most `8 columns rows versions + 48 versions scrapes (columns + 4)` bytes; with a reference of `first` or `own` also
/// those of its rows.
///
/// Source: L. N. Vaserstein 1969; scipy's `wasserstein_distance`; evidently's normed form.
///
/// Blind to what leaves values where they are, and no p-value: even without a change the distance is above 0 and falls only with the root of the number of rows, so a
/// threshold for one window size is wrong for another. One far outlier moves it as much as a shift of everything.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Wasserstein {
    /// What the distance is divided by. Default: `none`.
    #[serde(default)]
    pub scale: WassersteinScale,
}

/// What a [`Wasserstein`] distance is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WassersteinScale {
    /// Nothing.
    #[default]
    None,
    /// The reference's standard deviation (with divisor n). If that is 0, any distance is infinite.
    ReferenceSd,
    /// The same, or 0.001 if that is smaller: evidently's form, which alarms at 0.1. Because of the 0.001 it depends on the unit:
    /// a share or a latency in seconds may be measured in thousandths.
    Evidently,
}

impl Wasserstein {
    pub(super) const FIELDS: &[&str] = &["distance", "n", "m"];

    pub(super) fn evaluate(&self, reference: &[f64], window: &[f64]) -> Verdict {
        let pair = Pair::present(reference, window, 1)?.finite()?.sorted();
        let found = distances(&pair.reference, &pair.window).ok_or(NoVerdict::Infinite { side: Side::Window })?;
        let divisor = match self.scale {
            WassersteinScale::None => 1.0,
            WassersteinScale::ReferenceSd if found.wasserstein == 0.0 => 1.0,
            WassersteinScale::ReferenceSd => spread(&pair.reference),
            WassersteinScale::Evidently => spread(&pair.reference).max(0.001),
        };
        Ok(pair.fields(vec![found.wasserstein / divisor]))
    }
}

/// The standard deviation with divisor n.
fn spread(values: &[f64]) -> f64 {
    let summary = Summary::of(values);
    let n = summary.count() as f64;
    summary.variance().map_or(0.0, |v| (v * (n - 1.0) / n).sqrt())
}

/// Energy distance: twice the mean distance between rows of different samples, less that between rows of the same sample.
///
/// Fields: `distance`, its root, in the root of the column's unit; `coefficient`, without unit, in [0, 1]: 0 for equal samples,
/// 1 for two different constants; `n`, `m`, rows.
///
/// Memory: at most `8 columns rows versions + 48 versions scrapes (columns + 4)` bytes; with a reference of `first` or `own` also
/// those of its rows.
///
/// Source: G. J. Székely and M. L. Rizzo, Journal of Statistical Planning and Inference 143 (2013) 1249-1272; scipy's
/// `energy_distance`.
///
/// Blind to a spike in few rows, which counts little. No p-value, and above 0 without a change: as with [`Wasserstein`],
/// thresholds belong to a window size.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Energy {}

impl Energy {
    pub(super) const FIELDS: &[&str] = &["distance", "coefficient", "n", "m"];

    pub(super) fn evaluate(&self, reference: &[f64], window: &[f64]) -> Verdict {
        let pair = Pair::present(reference, window, 1)?.finite()?.sorted();
        let found = distances(&pair.reference, &pair.window).ok_or(NoVerdict::Infinite { side: Side::Window })?;
        Ok(pair.fields(vec![found.energy, found.energy_coefficient]))
    }
}
