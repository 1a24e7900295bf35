//! Owns the tests of counts: stability index, Jensen-Shannon, Hellinger, total variation, chi-squared; and how rows are
//! counted.

use super::{NoVerdict, Pair, Side, Verdict, share};
use crate::stats::bins::{EqualWidth, categories, more_distinct_than};
use crate::stats::psi::{self, Edges};
use crate::stats::quantile::range;
use crate::stats::{contingency, divergence};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// evidently takes a column with at most so many distinct reference values for categories.
const EVIDENTLY_CATEGORIES: usize = 20;
/// Bins unless declared: deciles, as is customary.
const BINS: usize = psi::BINS;

/// How rows are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Binning {
    /// Between the `1/bins … (bins - 1)/bins` quantiles (type 7) of the reference, closed on the right; equal edges are merged, so
    /// that ties give fewer bins. Five rows or more below a least value that fills the first bin have a bin of their own.
    #[default]
    Quantile,
    /// The same without that bin, as credit risk and numpy's users count: of a reference whose least value fills the first bin,
    /// nothing is smaller. A sentinel of -1 among zeros is no change.
    QuantileMerged,
    /// As evidently 0.7: each distinct value if the reference has at most 20, else bins of equal width over the pooled range, as
    /// many as Sturges' rule says; its `n_bins` and so `bins` here are ignored. One far outlier puts all other rows in one bin.
    Evidently,
    /// Each distinct value of either sample, for categories and counts. `bins` is ignored.
    Categories,
}

/// The counts of reference and window.
type Counts = (Vec<u32>, Vec<u32>);

fn count(binning: Binning, bins: usize, pair: Pair<'_>) -> Result<Counts, NoVerdict> {
    match binning {
        Binning::Quantile | Binning::QuantileMerged if bins < 2 => Err(NoVerdict::Parameter { name: "bins" }),
        Binning::Quantile | Binning::QuantileMerged => {
            let infinite = NoVerdict::Infinite { side: Side::Reference };
            let (edges, mut reference) = Edges::of(&pair.reference, bins).ok_or(infinite)?;
            let mut window = edges.count(&pair.window);
            let below = |edge: f64| pair.reference.iter().any(|x| *x < edge);
            if let (Binning::Quantile, Some(lowest)) = (binning, edges.lowest(below)) {
                let below = pair.window.iter().filter(|x| **x < lowest).count() as u32;
                psi::apart(&mut reference, &mut window, below);
            }
            Ok((reference, window))
        }
        Binning::Evidently if more_distinct_than(&pair.reference, EVIDENTLY_CATEGORIES) => {
            let rows = pair.reference.len() + pair.window.len();
            equal_width(rows, &pair)
        }
        Binning::Evidently | Binning::Categories => {
            let pair = pair.sorted();
            Ok(categories(&pair.reference, &pair.window))
        }
    }
}

/// Sturges' bins for `rows` values over the pooled range.
fn equal_width(rows: usize, pair: &Pair<'_>) -> Result<Counts, NoVerdict> {
    let (a, b) = range(&pair.reference).zip(range(&pair.window)).ok_or(NoVerdict::NoSpread)?;
    for ((low, high), side) in [(a, Side::Reference), (b, Side::Window)] {
        if low.is_infinite() || high.is_infinite() {
            return Err(NoVerdict::Infinite { side });
        }
    }
    let (low, high) = (a.0.min(b.0), a.1.max(b.1));
    // Finite values may still be further apart than a number can say.
    let bins = EqualWidth::sturges(rows, low, high).ok_or(NoVerdict::Infinite { side: Side::Window })?;
    Ok((bins.count(&pair.reference), bins.count(&pair.window)))
}

/// The shares of reference and window.
fn shares(reference: &[u32], window: &[u32]) -> Result<(Vec<f64>, Vec<f64>), NoVerdict> {
    let of = |counts: &[u32], side| divergence::shares(counts).ok_or(NoVerdict::Empty { side });
    Ok((of(reference, Side::Reference)?, of(window, Side::Window)?))
}

/// Population stability index: `sum (q - p) ln(q / p)` over the shares `p` of the reference and `q` of the window.
///
/// Fields: `value`, in nats; `threshold`, what it exceeds with probability `alpha` if nothing changed, `(1/n + 1/m) (1 + k/2m)`
/// times the upper quantile of chi-squared with `k - 1` degrees of freedom for `k` bins in use; `ratio`, the one over the
/// other: alarm above 1, whatever the window's size; `n`, `m`, rows.
///
/// Memory: at most `8 columns rows versions + 48 versions scrapes (columns + 4)` bytes; with a reference of `first` or `own` also
/// those of its rows.
///
/// Source: credit-risk practice; the threshold from B. Yurdakul, "Statistical Properties of Population Stability Index"
/// (2018), with a factor for the mean of the logarithm in small windows (its series to the fourth moment of a share, the
/// reference much longer than the window). The customary thresholds 0.1 and 0.2 ignore the number of rows: without any change
/// 0.1 is exceeded in 97 % of windows of 50 rows against 60.
///
/// Blind to anything inside a bin: a hundredfold latency of rows that were in the last bin already, and all order between the
/// first and the last edge beyond which bin a row is in. `empty` decides the value wherever a bin is empty.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Psi {
    /// How rows are counted. Default: `quantile`.
    pub binning: Binning,
    /// Quantile bins. Default: 10.
    #[schemars(range(min = 2, max = 1000))]
    pub bins: usize,
    /// The share that stands in for an empty bin: `half-row` or a number. Default: `half-row`.
    pub empty: Empty,
    /// Probability that `ratio` is above 1 at one look if nothing changed, over all columns together (`across`). Default: 0.01.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub alpha: f64,
}

/// What stands in for the share of an empty bin of [`Psi`], not renormalised.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", untagged)]
pub enum Empty {
    /// Half a row of that sample. With this the threshold holds its level in windows of a few dozen rows.
    #[default]
    #[serde(with = "half_row")]
    #[schemars(with = "half_row::Word")]
    HalfRow,
    /// So much; 0.0001 is customary. With the binnings `evidently` and `categories` a millionth of the smallest share where that
    /// is no larger, as evidently does. One empty bin is then an alarm: without any change the threshold for 1 % is exceeded in
    /// 19 % of windows of 50 rows against 60.
    Share(#[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))] f64),
}

super::word!(half_row, HalfRow);

impl Default for Psi {
    fn default() -> Self {
        Self { binning: Binning::Quantile, bins: BINS, empty: Empty::HalfRow, alpha: 0.01 }
    }
}

impl Psi {
    pub(super) const FIELDS: &[&str] = &["value", "threshold", "ratio", "n", "m"];

    pub(super) fn evaluate(&self, reference: &[f64], window: &[f64]) -> Verdict {
        let pair = Pair::present(reference, window, 1)?;
        let (reference, window) = count(self.binning, self.bins, pair)?;
        self.of_counts(&reference, &window)
    }

    /// The fields from the counts of the reference and of the window.
    ///
    /// # Errors
    /// Why there is no verdict.
    pub fn of_counts(&self, reference: &[u32], window: &[u32]) -> Verdict {
        let alpha = share(self.alpha, "alpha")?;
        if let Empty::Share(eps) = self.empty {
            share(eps, "empty")?;
        }
        let total = |counts: &[u32]| counts.iter().map(|&c| u64::from(c)).sum::<u64>();
        let (n, m) = (total(reference), total(window));
        let (mut p, mut q) = shares(reference, window)?;
        for (shares, rows) in [(&mut p, n), (&mut q, m)] {
            match (self.empty, self.binning) {
                (Empty::Share(eps), Binning::Evidently | Binning::Categories) => divergence::fill_zeros(shares, eps),
                (Empty::Share(eps), Binning::Quantile | Binning::QuantileMerged) => fill(shares, eps),
                (Empty::HalfRow, _) => fill(shares, 0.5 / rows as f64),
            }
        }
        let value = divergence::stability_index(&p, &q).ok_or(NoVerdict::Shape)?;
        let used = reference.iter().zip(window).filter(|(r, w)| **r + **w > 0).count().max(2);
        let threshold = psi::threshold(n, m, used, alpha).ok_or(NoVerdict::Parameter { name: "alpha" })?;
        let threshold = threshold * (1.0 + used as f64 / (2.0 * m as f64));
        Ok(vec![value, threshold, value / threshold, n as f64, m as f64])
    }
}

fn fill(shares: &mut [f64], with: f64) {
    shares.iter_mut().filter(|share| **share == 0.0).for_each(|share| *share = with);
}

/// Jensen-Shannon distance: the root of the mean Kullback-Leibler divergence of both samples' shares from their average.
///
/// Fields: `distance`, its root, a metric; `divergence`, in units of `base` (nats, or bits for 2); both without the column's
/// unit, in [0, 1] for base 2; `n`, `m`, rows.
///
/// Memory: at most `8 columns rows versions + 48 versions scrapes (columns + 4)` bytes; with a reference of `first` or `own` also
/// those of its rows.
///
/// Source: J. Lin, IEEE Transactions on Information Theory 37 (1991) 145-151; scipy's and evidently's `jensenshannon`, which
/// give the distance (evidently with base e).
///
/// Blind inside a bin, as [`Psi`]. No p-value, and above 0 without a change: thresholds belong to a window size.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct JensenShannon {
    /// How rows are counted. Default: `quantile`.
    pub binning: Binning,
    /// Quantile bins. Default: 10.
    #[schemars(range(min = 2, max = 1000))]
    pub bins: usize,
    /// Base of the logarithm. Default: e.
    #[schemars(extend("exclusiveMinimum" = 1))]
    pub base: f64,
}

impl Default for JensenShannon {
    fn default() -> Self {
        Self { binning: Binning::Quantile, bins: BINS, base: std::f64::consts::E }
    }
}

impl JensenShannon {
    pub(super) const FIELDS: &[&str] = &["distance", "divergence", "n", "m"];

    pub(super) fn evaluate(&self, reference: &[f64], window: &[f64]) -> Verdict {
        if !(self.base > 1.0 && self.base.is_finite()) {
            return Err(NoVerdict::Parameter { name: "base" });
        }
        let pair = Pair::present(reference, window, 1)?;
        let (n, m) = (pair.reference.len() as f64, pair.window.len() as f64);
        let (p, q) = {
            let (reference, window) = count(self.binning, self.bins, pair)?;
            shares(&reference, &window)?
        };
        let nats = divergence::jensen_shannon(&p, &q).ok_or(NoVerdict::Shape)?;
        let divergence = nats / libm::log(self.base);
        Ok(vec![divergence.sqrt(), divergence, n, m])
    }
}

/// Hellinger distance: `sqrt(1 - sum sqrt(p q))` over the shares of reference and window.
///
/// Fields: `distance`, without unit, in [0, 1]; `n`, `m`, rows.
///
/// Memory: at most `8 columns rows versions + 48 versions scrapes (columns + 4)` bytes; with a reference of `first` or `own` also
/// those of its rows.
///
/// Source: E. Hellinger 1909; evidently's `hellinger`, whose bins differ from its other tests' (`evidently` here follows it):
/// always of equal width, their number from how many distinct values there are.
///
/// Blind inside a bin, as [`Psi`]; no p-value, as [`JensenShannon`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Hellinger {
    /// How rows are counted. Default: `quantile`.
    pub binning: Binning,
    /// Quantile bins. Default: 10.
    #[schemars(range(min = 2, max = 1000))]
    pub bins: usize,
}

impl Default for Hellinger {
    fn default() -> Self {
        Self { binning: Binning::Quantile, bins: BINS }
    }
}

impl Hellinger {
    pub(super) const FIELDS: &[&str] = &["distance", "n", "m"];

    pub(super) fn evaluate(&self, reference: &[f64], window: &[f64]) -> Verdict {
        let pair = Pair::present(reference, window, 1)?;
        let (n, m) = (pair.reference.len() as f64, pair.window.len() as f64);
        let counts = if self.binning == Binning::Evidently {
            let pair = pair.sorted();
            let distinct = categories(&pair.reference, &pair.window).0.len();
            equal_width(distinct, &pair)?
        } else {
            count(self.binning, self.bins, pair)?
        };
        let (p, q) = shares(&counts.0, &counts.1)?;
        Ok(vec![divergence::hellinger(&p, &q).ok_or(NoVerdict::Shape)?, n, m])
    }
}

/// Total variation distance: half the sum of the absolute differences of shares; the largest difference in the probability of
/// any event.
///
/// Fields: `distance`, without unit, in [0, 1]: the share of rows that would have to change bins; `n`, `m`, rows.
///
/// Memory: at most `8 columns rows versions + 48 versions scrapes (columns + 4)` bytes; with a reference of `first` or `own` also
/// those of its rows.
///
/// Source: the textbook definition; evidently's `TVD` for categories.
///
/// Blind inside a bin, as [`Psi`], and to how far rows moved; no p-value, as [`JensenShannon`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TotalVariation {
    /// How rows are counted. Default: `quantile`.
    pub binning: Binning,
    /// Quantile bins. Default: 10.
    #[schemars(range(min = 2, max = 1000))]
    pub bins: usize,
}

impl Default for TotalVariation {
    fn default() -> Self {
        Self { binning: Binning::Quantile, bins: BINS }
    }
}

impl TotalVariation {
    pub(super) fn evaluate(&self, reference: &[f64], window: &[f64]) -> Verdict {
        let pair = Pair::present(reference, window, 1)?;
        let (n, m) = (pair.reference.len() as f64, pair.window.len() as f64);
        let (p, q) = {
            let (reference, window) = count(self.binning, self.bins, pair)?;
            shares(&reference, &window)?
        };
        Ok(vec![divergence::total_variation(&p, &q).ok_or(NoVerdict::Shape)?, n, m])
    }
}

/// Chi-squared test of counts by category: do both samples come from one distribution?
///
/// Fields: `statistic`, without unit, about `df` if nothing changed, infinite for a new category with `one-sample`; `p`; `df`,
/// degrees of freedom, categories in use less one; `n`, `m`, rows. Categories may appear and vanish.
///
/// Memory: at most `8 columns rows versions + 48 versions scrapes (columns + 4)` bytes; with a reference of `first` or `own` also
/// those of its rows.
///
/// Source: K. Pearson 1900; R. R. Sokal and F. J. Rohlf, "Biometry"; scipy's `chi2_contingency` without Yates' correction;
/// evidently's `chisquare`.
///
/// Blind to the order of categories and inside a bin. The p-value is an approximation that wants about five expected rows in
/// each cell: with many rare categories it is not one, and with less than two rows a category on average there is no verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ChiSquared {
    /// Which statistic. Default: `contingency`.
    pub form: ChiSquaredForm,
    /// How rows are counted. Default: `categories`.
    pub binning: Binning,
    /// Quantile bins, for that binning. Default: 10.
    #[schemars(range(min = 2, max = 1000))]
    pub bins: usize,
}

/// Which statistic [`ChiSquared`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ChiSquaredForm {
    /// Pearson's, of the table of both samples.
    #[default]
    Contingency,
    /// The likelihood ratio G of the same table.
    G,
    /// Pearson's with the reference's shares taken for the truth: evidently's. Fires too often unless the reference is much
    /// larger than the window: with equal sizes the statistic is twice too large.
    OneSample,
}

impl Default for ChiSquared {
    fn default() -> Self {
        Self { form: ChiSquaredForm::Contingency, binning: Binning::Categories, bins: BINS }
    }
}

impl ChiSquared {
    pub(super) const FIELDS: &[&str] = &["statistic", "p", "df", "n", "m"];

    pub(super) fn evaluate(&self, reference: &[f64], window: &[f64]) -> Verdict {
        let pair = Pair::present(reference, window, 1)?;
        let (n, m) = (pair.reference.len() as f64, pair.window.len() as f64);
        let (a, b) = count(self.binning, self.bins, pair)?;
        // Of values that are all different the statistic is the number of rows, whatever they are.
        if self.binning == Binning::Categories && a.len() as f64 > (n + m) / 2.0 {
            return Err(NoVerdict::Sparse);
        }
        let test = match self.form {
            ChiSquaredForm::Contingency => contingency::two_samples(&a, &b).map(|(pearson, _)| pearson),
            ChiSquaredForm::G => contingency::two_samples(&a, &b).map(|(_, g)| g),
            ChiSquaredForm::OneSample => contingency::one_sample(&a, &b),
        }
        .ok_or(NoVerdict::NoSpread)?;
        Ok(vec![test.statistic, test.p, test.df as f64, n, m])
    }
}
