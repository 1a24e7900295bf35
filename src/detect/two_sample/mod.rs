//! Owns two-sample tests as detectors: what a policy file configures, what a rule may read, and when there is no verdict.
//!
//! All compare a **reference** (baseline, training data, the first minutes) with a **window** under test, column by column; only
//! [`Mmd`] looks at rows. `n` is always the number of reference values, `m` that of the window, missing values (NaN) left out
//! of both. Orders of samples and of results are those of the reference implementations with the reference as first sample.
//!
//! No input panics and none passes in silence: where a test is not defined, the answer is a [`NoVerdict`] that says why.

/// A module that reads and writes a variant without data of an untagged enum as its word, so that a policy file may have the
/// word where another has a number.
macro_rules! word {
    ($module:ident, $word:ident) => {
        mod $module {
            use schemars::JsonSchema;
            use serde::{Deserialize, Deserializer, Serialize, Serializer};

            #[derive(Serialize, Deserialize, JsonSchema)]
            #[serde(rename_all = "kebab-case")]
            pub(super) enum Word {
                $word,
            }

            pub(super) fn serialize<S: Serializer>(to: S) -> Result<S::Ok, S::Error> {
                Word::$word.serialize(to)
            }

            pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<(), D::Error> {
                Word::deserialize(from).map(|Word::$word| ())
            }
        }
    };
}
use word;

mod binned;
mod distance;
mod distribution;
mod kayenta;
mod mmd;
mod rank;

pub use binned::{Binning, ChiSquared, ChiSquaredForm, Empty, Hellinger, JensenShannon, Psi, TotalVariation};
pub use distance::{Energy, Wasserstein, WassersteinScale, Welch};
pub use distribution::{AndersonDarling, CramerVonMises, CramerVonMisesTies, Ks, KsMethod};
pub use kayenta::{Direction, EffectSize, Kayenta, Outliers};
pub use mmd::{Bandwidth, Mmd};
pub use rank::{MannWhitney, RankMethod};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

/// What gives a test its random indices: an index below the argument.
pub type Draw<'a> = &'a mut dyn FnMut(usize) -> usize;

/// The values of a test's fields, or why there are none.
pub type Verdict = Result<Vec<f64>, NoVerdict>;

/// A two-sample test with its configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "test", rename_all = "kebab-case")]
pub enum Test {
    /// See [`Ks`].
    Ks(Ks),
    /// See [`CramerVonMises`].
    CramerVonMises(CramerVonMises),
    /// See [`AndersonDarling`].
    AndersonDarling(AndersonDarling),
    /// See [`MannWhitney`].
    MannWhitney(MannWhitney),
    /// See [`Kayenta`].
    Kayenta(Kayenta),
    /// See [`Welch`].
    Welch(Welch),
    /// See [`Wasserstein`].
    Wasserstein(Wasserstein),
    /// See [`Energy`].
    Energy(Energy),
    /// See [`Psi`].
    Psi(Psi),
    /// See [`JensenShannon`].
    JensenShannon(JensenShannon),
    /// See [`Hellinger`].
    Hellinger(Hellinger),
    /// See [`TotalVariation`].
    TotalVariation(TotalVariation),
    /// See [`ChiSquared`].
    ChiSquared(ChiSquared),
    /// See [`Mmd`].
    Mmd(Mmd),
}

impl Test {
    /// The fields a rule may read, in the order in which [`Test::evaluate`] gives them.
    #[must_use]
    pub const fn fields(&self) -> &'static [&'static str] {
        match self {
            Self::Ks(_) => Ks::FIELDS,
            Self::CramerVonMises(_) => CramerVonMises::FIELDS,
            Self::AndersonDarling(_) => AndersonDarling::FIELDS,
            Self::MannWhitney(_) => MannWhitney::FIELDS,
            Self::Kayenta(_) => Kayenta::FIELDS,
            Self::Welch(_) => Welch::FIELDS,
            Self::Wasserstein(_) => Wasserstein::FIELDS,
            Self::Energy(_) => Energy::FIELDS,
            Self::Psi(_) => Psi::FIELDS,
            Self::JensenShannon(_) => JensenShannon::FIELDS,
            Self::Hellinger(_) | Self::TotalVariation(_) => Hellinger::FIELDS,
            Self::ChiSquared(_) => ChiSquared::FIELDS,
            Self::Mmd(_) => Mmd::FIELDS,
        }
    }

    /// The same test with a share of the error that it spends itself: of `alpha`, or of what `confidence` leaves. A test that
    /// gives a p-value and no more is as it was.
    #[must_use]
    pub fn spending(&self, share: f64) -> Self {
        let confidence = |confidence: f64| 1.0 - (1.0 - confidence) * share;
        match self.clone() {
            Self::Psi(test) => Self::Psi(Psi { alpha: test.alpha * share, ..test }),
            Self::Mmd(test) => Self::Mmd(Mmd { alpha: test.alpha * share, ..test }),
            Self::MannWhitney(test) => {
                Self::MannWhitney(MannWhitney { confidence: confidence(test.confidence), ..test })
            }
            Self::Kayenta(test) => Self::Kayenta(Kayenta { confidence: confidence(test.confidence), ..test }),
            other => other,
        }
    }

    /// Whether the test spends an error of its own, or gives a p-value: only then levels mean something.
    #[must_use]
    pub fn has_level(&self) -> bool {
        self.fields().contains(&"p") || *self != self.spending(0.5)
    }

    /// By what columns are put in order of how much they differ: by the first number, among equals by the second. The p-value
    /// where there is one, what a threshold is set to, the form without a unit; of Kayenta's classes how far the interval lies
    /// beyond the bound, in units of the shift.
    #[must_use]
    pub fn rank(&self, values: &[f64]) -> [f64; 2] {
        let at = |field: &str| self.fields().iter().position(|f| *f == field).map_or(f64::NAN, |i| values[i]);
        match self {
            Self::Ks(_) => [-at("p"), at("d")],
            Self::CramerVonMises(_) => [-at("p"), at("t")],
            Self::AndersonDarling(_) => [-at("p"), at("a2")],
            Self::MannWhitney(_) => [-at("p"), (at("cles") - 0.5).abs()],
            Self::Welch(_) => [-at("p"), at("t").abs()],
            Self::ChiSquared(_) => [-at("p"), at("statistic") / at("df")],
            Self::Mmd(_) => [-at("p"), at("mmd2")],
            Self::Psi(_) => [at("ratio"), at("value")],
            Self::Energy(_) => [at("coefficient"), 0.0],
            Self::Wasserstein(_) | Self::JensenShannon(_) | Self::Hellinger(_) | Self::TotalVariation(_) => {
                [at("distance"), 0.0]
            }
            Self::Kayenta(_) => {
                let beyond = at("lower").max(-at("upper")) - at("bound");
                [at("high").max(at("low")), beyond / at("shift").abs()]
            }
        }
    }

    /// Compares one column of the window with the reference's; neither need be sorted, NaN is a missing value. Only
    /// [`Mmd`] draws.
    ///
    /// # Errors
    ///
    /// Why the test says nothing about these samples.
    pub fn evaluate(&self, reference: &[f64], window: &[f64], draw: Draw<'_>) -> Verdict {
        match self {
            Self::Ks(test) => test.evaluate(reference, window),
            Self::CramerVonMises(test) => test.evaluate(reference, window),
            Self::AndersonDarling(test) => test.evaluate(reference, window),
            Self::MannWhitney(test) => test.evaluate(reference, window),
            Self::Kayenta(test) => test.evaluate(reference, window),
            Self::Welch(test) => test.evaluate(reference, window),
            Self::Wasserstein(test) => test.evaluate(reference, window),
            Self::Energy(test) => test.evaluate(reference, window),
            Self::Psi(test) => test.evaluate(reference, window),
            Self::JensenShannon(test) => test.evaluate(reference, window),
            Self::Hellinger(test) => test.evaluate(reference, window),
            Self::TotalVariation(test) => test.evaluate(reference, window),
            Self::ChiSquared(test) => test.evaluate(reference, window),
            Self::Mmd(test) => test.evaluate(&[reference], &[window], draw),
        }
    }
}

/// One of the two samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// What is compared with.
    Reference,
    /// What is under test.
    Window,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reference => "the reference",
            Self::Window => "the window",
        })
    }
}

/// Why a test says nothing. [`fmt::Display`] has the reason in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum NoVerdict {
    /// A sample has no rows.
    Empty {
        /// Which.
        side: Side,
    },
    /// All rows of a sample are missing values.
    AllMissing {
        /// Which.
        side: Side,
        /// How many rows.
        rows: usize,
    },
    /// A sample has fewer values than the test is defined for.
    TooFew {
        /// Which.
        side: Side,
        /// Values it has.
        rows: usize,
        /// Values it needs.
        needed: usize,
    },
    /// A sample has an infinite value, for which the test is not defined, or values so large that their differences are.
    Infinite {
        /// Which.
        side: Side,
    },
    /// All values of both samples are equal, and the test divides by their spread.
    NoSpread,
    /// Half of all pairs of points coincide, so that the median distance, 0, is no bandwidth.
    NoBandwidth,
    /// Nearly every value is a category of its own.
    Sparse,
    /// Both samples are constant: there the original adds random noise, so that it has no answer of its own.
    Noise,
    /// Reference and window differ in their number of columns, or columns of one in their number of rows.
    Shape,
    /// A parameter is outside of its range.
    Parameter {
        /// Its name.
        name: &'static str,
    },
}

impl fmt::Display for NoVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { side } => write!(f, "{side} is empty"),
            Self::AllMissing { side, rows } => write!(f, "all {rows} values of {side} are missing"),
            Self::TooFew { side, rows, needed } => write!(f, "{side} has {rows} of the {needed} values needed"),
            Self::Infinite { side } => write!(f, "{side} has infinite values, or too large ones"),
            Self::NoSpread => f.write_str("all values are equal"),
            Self::NoBandwidth => f.write_str("the median distance is 0: give a bandwidth"),
            Self::Sparse => f.write_str("nearly every value is a category of its own: take another binning"),
            Self::Noise => f.write_str("both samples are constant, where the original adds random noise"),
            Self::Shape => f.write_str("reference and window do not have the same columns"),
            Self::Parameter { name } => write!(f, "the parameter `{name}` is out of its range"),
        }
    }
}

impl std::error::Error for NoVerdict {}

/// The values that are there, of both samples.
struct Pair<'a> {
    reference: Cow<'a, [f64]>,
    window: Cow<'a, [f64]>,
}

impl<'a> Pair<'a> {
    /// At least `needed` values of each; in the order given.
    fn present(reference: &'a [f64], window: &'a [f64], needed: usize) -> Result<Self, NoVerdict> {
        let present = |values: &'a [f64], side| {
            let missing = values.iter().filter(|x| x.is_nan()).count();
            match values.len() - missing {
                0 if values.is_empty() => Err(NoVerdict::Empty { side }),
                0 => Err(NoVerdict::AllMissing { side, rows: missing }),
                rows if rows < needed => Err(NoVerdict::TooFew { side, rows, needed }),
                _ if missing == 0 => Ok(Cow::Borrowed(values)),
                _ => Ok(values.iter().copied().filter(|x| !x.is_nan()).collect()),
            }
        };
        Ok(Self { reference: present(reference, Side::Reference)?, window: present(window, Side::Window)? })
    }

    /// Both samples in ascending order: by digits of their bits, in time linear in their number.
    fn sorted(self) -> Self {
        let sorted = |values: Cow<'a, [f64]>| {
            let mut values = values.into_owned();
            radsort::sort(&mut values);
            Cow::Owned(values)
        };
        Self { reference: sorted(self.reference), window: sorted(self.window) }
    }

    /// Only finite values.
    fn finite(self) -> Result<Self, NoVerdict> {
        for (values, side) in [(&self.reference, Side::Reference), (&self.window, Side::Window)] {
            if values.iter().any(|x| x.is_infinite()) {
                return Err(NoVerdict::Infinite { side });
            }
        }
        Ok(self)
    }

    /// `fields`, then the two sizes.
    fn fields(&self, mut fields: Vec<f64>) -> Vec<f64> {
        fields.extend([self.reference.len() as f64, self.window.len() as f64]);
        fields
    }
}

/// `value` if it lies strictly between 0 and 1, or says which parameter does not.
fn share(value: f64, name: &'static str) -> Result<f64, NoVerdict> {
    if value > 0.0 && value < 1.0 { Ok(value) } else { Err(NoVerdict::Parameter { name }) }
}

#[cfg(test)]
mod tests;
