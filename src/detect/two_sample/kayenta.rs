//! Owns the classification of one metric as the judge of Spinnaker's Kayenta makes it.

use super::{NoVerdict, Pair, Side, Verdict, share};
use crate::stats::mann_whitney::RankSum;
use crate::stats::quantile::quantile_sorted;
use crate::stats::shift::Shift;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Kayenta's metric classification (`NetflixACAJudge-v1.0`): the window is the experiment, the reference the control.
///
/// The interval of the location shift (as [`super::MannWhitney`]'s, asymptotic, with continuity correction) must lie beyond
/// `tolerance` times the estimated shift itself, and the effect size beyond what is allowed.
///
/// Fields: `high`, `low`, 1 if classified so, else 0; `shift`, the estimate, `lower`, `upper`, its interval, and `bound`, what the
/// interval must lie beyond, in the column's unit; `effect`, the ratio of means (NaN if either is 0) or the share of pairs;
/// `n`, `m`, rows. If all values are equal the shift and its interval are 0.
///
/// Memory: at most `8 columns rows versions + 48 versions scrapes (columns + 4)` bytes; with a reference of `first` or `own` also
/// those of its rows.
///
/// Source: spinnaker/kayenta a69573b (2025-04-08), `kayenta-judge` and `kayenta-mannwhitney`. Missing values are removed there,
/// too (its default); replacing them by 0, groups and scores are not this test's.
///
/// Blind to a change of spread with equal ranks and to a spike in less than about 40 % of the rows; the bound grows with the
/// shift, so it asks for signal against noise, not for a size: enough rows make 0.1 % High. The root finder's tolerance is
/// absolute: for columns in seconds or shares the interval is wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Kayenta {
    /// Which changes count. Default: `either`.
    pub direction: Direction,
    /// Share of the estimated shift that the interval must lie beyond. Kayenta has it hard-coded. Default: 0.25.
    #[schemars(range(min = 0.0))]
    pub tolerance: f64,
    /// Confidence of the interval. Kayenta has it hard-coded. Default: 0.98.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub confidence: f64,
    /// What `effect` is. Default: `mean-ratio`.
    pub effect_size: EffectSize,
    /// An effect below this is not High. Default: 1 for the ratio of means, 0.5 for the share of pairs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub allowed_increase: Option<f64>,
    /// An effect above this is not Low. Default: as above.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub allowed_decrease: Option<f64>,
    /// What is done with outliers. Default: `keep`.
    pub outliers: Outliers,
    /// How many interquartile ranges beyond the quartiles a value is an outlier. Default: 3.
    #[schemars(range(min = 0.0))]
    pub outlier_factor: f64,
    /// Tolerance of the root finder, absolute and in the column's unit. Default: 0.0001, Kayenta's.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub root_tolerance: f64,
}

/// Which changes count for [`Kayenta`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Both.
    #[default]
    Either,
    /// The window is larger.
    Increase,
    /// The window is smaller.
    Decrease,
}

/// The effect size of [`Kayenta`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EffectSize {
    /// The window's mean over the reference's.
    #[default]
    MeanRatio,
    /// The share of pairs in which the window's value is the larger, tied pairs half.
    Cles,
}

/// What [`Kayenta`] does with outliers, on each side by its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outliers {
    /// Nothing.
    #[default]
    Keep,
    /// Leaves out what lies further than `outlier_factor` interquartile ranges beyond the quartiles and also beyond the 1st or
    /// 99th percentile (all of type 7).
    Remove,
}

impl Default for Kayenta {
    fn default() -> Self {
        Self {
            direction: Direction::Either,
            tolerance: 0.25,
            confidence: 0.98,
            effect_size: EffectSize::MeanRatio,
            allowed_increase: None,
            allowed_decrease: None,
            outliers: Outliers::Keep,
            outlier_factor: 3.0,
            root_tolerance: 1e-4,
        }
    }
}

impl Kayenta {
    pub(super) const FIELDS: &[&str] = &["high", "low", "shift", "lower", "upper", "bound", "effect", "n", "m"];

    pub(super) fn evaluate(&self, reference: &[f64], window: &[f64]) -> Verdict {
        let confidence = share(self.confidence, "confidence")?;
        for (value, least, name) in [
            (self.tolerance, 0.0, "tolerance"),
            (self.outlier_factor, 0.0, "outlier_factor"),
            (self.root_tolerance, f64::MIN_POSITIVE, "root_tolerance"),
        ] {
            if !(value >= least && value.is_finite()) {
                return Err(NoVerdict::Parameter { name });
            }
        }
        let mut pair = Pair::present(reference, window, 1)?.finite()?.sorted();
        if self.outliers == Outliers::Remove {
            for values in [&mut pair.reference, &mut pair.window] {
                remove_outliers(values.to_mut(), self.outlier_factor);
            }
        }
        let (a, b) = (&pair.reference, &pair.window);
        let (first, last) = ((a[0], b[0]), (a[a.len() - 1], b[b.len() - 1]));
        let test = RankSum::of_sorted(a, b).ok_or(NoVerdict::NoSpread)?;
        let effect = match self.effect_size {
            EffectSize::MeanRatio => mean_ratio(a, b),
            EffectSize::Cles => test.cles(),
        };
        if first == last {
            if first.0 != first.1 {
                return Err(NoVerdict::Noise);
            }
            return Ok(pair.fields(vec![0.0, 0.0, 0.0, 0.0, 0.0, 0.0, effect]));
        }
        let shift = Shift::of_sorted(a, b).ok_or(NoVerdict::Infinite { side: Side::Window })?;
        let interval = shift.interval_by_root(confidence, self.root_tolerance).ok_or(NoVerdict::Noise)?;
        let estimate = shift.estimate_by_root(true, self.root_tolerance).ok_or(NoVerdict::Noise)?;
        let bound = self.tolerance * estimate.abs();
        let neutral = if self.effect_size == EffectSize::MeanRatio { 1.0 } else { 0.5 };
        let (up, down) = (self.allowed_increase.unwrap_or(neutral), self.allowed_decrease.unwrap_or(neutral));
        let high = self.direction != Direction::Decrease && interval.low > bound && (effect.is_nan() || effect >= up);
        let low =
            self.direction != Direction::Increase && interval.high < -bound && (effect.is_nan() || effect <= down);
        let flag = |yes: bool| if yes { 1.0 } else { 0.0 };
        let fields = vec![flag(high), flag(low && !high), estimate, interval.low, interval.high, bound, effect];
        Ok(pair.fields(fields))
    }
}

/// The second mean over the first; NaN if either is 0.
fn mean_ratio(a: &[f64], b: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (a, b) = (mean(a), mean(b));
    if a == 0.0 || b == 0.0 { f64::NAN } else { b / a }
}

/// Of sorted values; the median always stays.
fn remove_outliers(values: &mut Vec<f64>, factor: f64) {
    let at = |q| quantile_sorted(values, q);
    let (Some(first), Some(q1), Some(q3), Some(last)) = (at(0.01), at(0.25), at(0.75), at(0.99)) else { return };
    let reach = factor * (q3 - q1);
    let (low, high) = (first.min(q1 - reach), last.max(q3 + reach));
    // Where quartiles overflow nothing can be said of outliers.
    if (0.0..f64::INFINITY).contains(&reach) {
        values.retain(|x| (low..=high).contains(x));
    }
}
