//! Owns the maximum mean discrepancy as a detector, the one test here that looks at rows.

use super::{Draw, NoVerdict, Side, Verdict, share};
use crate::stats::mmd::{Gram, median_distance, squared_distances};
use crate::stats::summary::Summary;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Maximum mean discrepancy with a Gaussian kernel: do rows of the window lie where rows of the reference lie?
///
/// Fields: `mmd2`, the unbiased estimate of the squared discrepancy, without unit, about 0 and as often negative if nothing
/// changed; `p`, by permuting rows between the samples; `threshold`, what `mmd2` exceeds in a share `alpha` of the
/// permutations, infinite where 1 / (permutations + 1) is more than that; `biased`, the biased estimate, never negative; `bandwidth`, that of the kernel `exp(-|x - y|^2 / (2 h^2))`, in
/// standard deviations or the columns' unit; `n`, `m`, rows compared.
///
/// Memory: at most `12 columns rows versions + 48 versions scrapes (columns + 4)` bytes; with a reference of `first` or `own` also
/// those of its rows; while it looks, 32 bytes for each pair of `cap` rows.
///
/// Source: A. Gretton et al., "A Kernel Two-Sample Test", Journal of Machine Learning Research 13 (2012) 723-773, with the
/// median heuristic; the p-value as B. Phipson and G. Smyth (2010) correct it, so that it is never 0.
///
/// Over several columns it sees what no single one shows, such as a changed correlation. Blind to structure much finer or
/// coarser than the bandwidth, more so the more columns there are; and to rows beyond `cap`. Rows with a missing value in any
/// column are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Mmd {
    /// The kernel's bandwidth: `median`, the median distance between pooled rows, or a number. Default: `median`.
    pub bandwidth: Bandwidth,
    /// Labellings drawn for the p-value, which is at least 1 / (permutations + 1). All are taken if there are no more than that.
    /// Default: 199.
    #[schemars(range(min = 1, max = 100_000))]
    pub permutations: usize,
    /// Share of permutations above `threshold`. Default: 0.01.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub alpha: f64,
    /// Rows of each sample compared; of more, so many are drawn, since time and memory grow with the square. Default: 200.
    #[schemars(range(min = 2, max = 5000))]
    pub cap: usize,
    /// Whether each column is divided by its standard deviation over both samples, so that no column's unit decides. Default:
    /// true.
    pub standardise: bool,
}

/// The bandwidth of [`Mmd`].
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", untagged)]
pub enum Bandwidth {
    /// The median distance between rows of the pooled sample.
    #[default]
    #[serde(with = "median")]
    #[schemars(with = "median::Word")]
    Median,
    /// So much, in standard deviations or in the columns' unit.
    Fixed(#[schemars(extend("exclusiveMinimum" = 0))] f64),
}

super::word!(median, Median);

impl Default for Mmd {
    fn default() -> Self {
        Self { bandwidth: Bandwidth::Median, permutations: 199, alpha: 0.01, cap: 200, standardise: true }
    }
}

impl Mmd {
    pub(super) const FIELDS: &[&str] = &["mmd2", "p", "threshold", "biased", "bandwidth", "n", "m"];

    /// Compares rows: `reference` and `window` are the same columns in the same order, each side's of one length, NaN for a
    /// missing value.
    ///
    /// # Errors
    ///
    /// Why the test says nothing about these samples.
    pub fn evaluate<C: AsRef<[f64]>>(&self, reference: &[C], window: &[C], draw: Draw<'_>) -> Verdict {
        let alpha = share(self.alpha, "alpha")?;
        for (wrong, name) in [(self.permutations == 0, "permutations"), (self.cap < 2, "cap")] {
            if wrong {
                return Err(NoVerdict::Parameter { name });
            }
        }
        if reference.len() != window.len() || reference.is_empty() {
            return Err(NoVerdict::Shape);
        }
        let mut points = self.rows(reference, Side::Reference, draw)?;
        let n = points.len();
        points.extend(self.rows(window, Side::Window, draw)?);
        if self.standardise {
            standardise(&mut points);
        }
        let squared = squared_distances(&points);
        let bandwidth = match self.bandwidth {
            Bandwidth::Fixed(h) => h,
            Bandwidth::Median => median_distance(&squared).filter(|&h| h > 0.0).ok_or(NoVerdict::NoBandwidth)?,
        };
        let gram = Gram::new(&squared, n, bandwidth).ok_or(NoVerdict::Parameter { name: "bandwidth" })?;
        let found = gram.discrepancy();
        let test = gram.permute(self.permutations, draw).ok_or(NoVerdict::Parameter { name: "permutations" })?;
        // The smallest statistic that at most a share alpha of all lies above; the greatest of too few is no evidence.
        let tried = test.statistics.len();
        let rank = ((1.0 - alpha) * tried as f64).ceil() as usize;
        let enough = alpha * (tried as f64 + 1.0) >= 1.0 - 1e-9;
        let threshold = if enough { test.statistics[rank.clamp(1, tried) - 1] } else { f64::INFINITY };
        let m = points.len() - n;
        Ok(vec![found.unbiased, test.p, threshold, found.biased, bandwidth, n as f64, m as f64])
    }

    /// The rows of a sample without missing values, at most `cap` of them.
    fn rows<C: AsRef<[f64]>>(&self, columns: &[C], side: Side, draw: Draw<'_>) -> Result<Vec<Vec<f64>>, NoVerdict> {
        let length = columns[0].as_ref().len();
        if columns.iter().any(|column| column.as_ref().len() != length) {
            return Err(NoVerdict::Shape);
        }
        if length == 0 {
            return Err(NoVerdict::Empty { side });
        }
        let row = |i: usize| columns.iter().map(|column| column.as_ref()[i]).collect::<Vec<f64>>();
        let mut rows: Vec<Vec<f64>> = (0..length).map(row).filter(|row| !row.iter().any(|x| x.is_nan())).collect();
        match rows.len() {
            0 => return Err(NoVerdict::AllMissing { side, rows: length }),
            rows @ 1 => return Err(NoVerdict::TooFew { side, rows, needed: 2 }),
            _ => {}
        }
        if rows.iter().flatten().any(|x| x.is_infinite()) {
            return Err(NoVerdict::Infinite { side });
        }
        let all = rows.len();
        if all > self.cap {
            for i in 0..self.cap {
                rows.swap(i, i + draw(all - i) % (all - i));
            }
            rows.truncate(self.cap);
        }
        Ok(rows)
    }
}

/// Divides each column by its standard deviation; a constant one makes no distance as it is.
fn standardise(points: &mut [Vec<f64>]) {
    for column in 0..points[0].len() {
        let values: Vec<f64> = points.iter().map(|row| row[column]).collect();
        let sd = Summary::of(&values).standard_deviation().filter(|&sd| sd > 0.0 && sd.is_finite());
        if let Some(sd) = sd {
            points.iter_mut().for_each(|row| row[column] /= sd);
        }
    }
}
