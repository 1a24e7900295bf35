//! Owns the closed list of sequential detectors as configuration, and what parameters must be.

use super::adwin::AdwinConfig;
use super::cusum::CusumConfig;
use super::ddm::DdmConfig;
use super::e_detector::EDetectorConfig;
use super::ecdd::EcddConfig;
use super::eddm::EddmConfig;
use super::ewma::EwmaConfig;
use super::fhddm::FhddmConfig;
use super::frouros::{FrourosCusumConfig, FrourosPageHinkleyConfig};
use super::hddm_a::HddmAConfig;
use super::hddm_w::HddmWConfig;
use super::kswin::KswinConfig;
use super::msprt::MsprtConfig;
use super::page_hinkley::PageHinkleyConfig;
use super::rddm::RddmConfig;
use super::shiryaev_roberts::{ShiryaevRobertsConfig, ShiryaevRobertsLlrConfig};
use super::sprt::{SprtBernoulliConfig, SprtGaussianConfig};
use super::stepd::StepdConfig;
use super::{Idle, Kind, Sequential};
use crate::rng::Stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A sequential detector with its parameters; written as a table with the key `detector`.
///
/// Units: "metric" below means the unit of what is observed. Detectors of errors take 0 (right) and 1 (wrong), or any loss
/// between.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "detector", rename_all = "kebab-case")]
pub enum Config {
    /// Cumulative sum chart for a shift of the mean from a known level.
    Cusum(CusumConfig),
    /// Exponentially weighted moving average chart for a shift of the mean from a known level.
    Ewma(EwmaConfig),
    /// Shiryaev-Roberts chart for a known shift of a Gaussian mean.
    ShiryaevRoberts(ShiryaevRobertsConfig),
    /// Shiryaev-Roberts chart over log likelihood ratios.
    ShiryaevRobertsLlr(ShiryaevRobertsLlrConfig),
    /// Page-Hinkley test against the running mean.
    PageHinkley(PageHinkleyConfig),
    /// Adaptive window.
    Adwin(AdwinConfig),
    /// Drift detection method: the error rate against its best.
    Ddm(DdmConfig),
    /// Early drift detection method: the distance between errors against its best.
    Eddm(EddmConfig),
    /// Hoeffding's bound on means before and after a cut.
    HddmA(HddmAConfig),
    /// McDiarmid's bound on weighted means before and after a cut.
    HddmW(HddmWConfig),
    /// Hoeffding's bound on a sliding window's mean against its best.
    Fhddm(FhddmConfig),
    /// Two-sample Kolmogorov-Smirnov test within a sliding window.
    Kswin(KswinConfig),
    /// Sequential probability ratio test between two error rates.
    SprtBernoulli(SprtBernoulliConfig),
    /// Sequential probability ratio test between two Gaussian means.
    SprtGaussian(SprtGaussianConfig),
    /// Mixture sequential probability ratio test of a Gaussian mean, valid at any time.
    Msprt(MsprtConfig),
    /// E-detector for the mean of a bounded metric: its false-alarm guarantee needs no distribution.
    EDetector(EDetectorConfig),
    /// Exponentially weighted moving average chart of an unknown error rate.
    Ecdd(EcddConfig),
    /// Test of equal proportions between recent and earlier answers.
    Stepd(StepdConfig),
    /// Reactive drift detection method: DDM that forgets old observations.
    Rddm(RddmConfig),
    /// The cumulative sum of frouros, against the running mean.
    FrourosCusum(FrourosCusumConfig),
    /// The Page-Hinkley test of frouros, whose sum is not compared with its minimum.
    FrourosPageHinkley(FrourosPageHinkleyConfig),
}

impl Config {
    /// Whether each parameter, and all together, are what the detector can work with.
    ///
    /// # Errors
    /// The first parameter that is not, and what it must be.
    pub fn check(&self) -> Result<(), BadParameter> {
        super::each!(config self, config => config.check())
    }

    /// Why it can never alarm, if so: no mistake to a detector, and one in a policy.
    #[must_use]
    pub fn never(&self) -> Option<BadParameter> {
        match self {
            Self::Kswin(kswin) => kswin.never(),
            _ => None,
        }
    }

    /// Whether it is made for observations of 0 and 1: errors, or losses between.
    #[must_use]
    pub const fn takes_errors(&self) -> bool {
        match self {
            Self::Ddm(_)
            | Self::Eddm(_)
            | Self::HddmA(_)
            | Self::HddmW(_)
            | Self::Fhddm(_)
            | Self::SprtBernoulli(_)
            | Self::Ecdd(_)
            | Self::Stepd(_)
            | Self::Rddm(_) => true,
            Self::Cusum(_)
            | Self::Ewma(_)
            | Self::ShiryaevRoberts(_)
            | Self::ShiryaevRobertsLlr(_)
            | Self::PageHinkley(_)
            | Self::Adwin(_)
            | Self::Kswin(_)
            | Self::SprtGaussian(_)
            | Self::Msprt(_)
            | Self::EDetector(_)
            | Self::FrourosCusum(_)
            | Self::FrourosPageHinkley(_) => false,
        }
    }

    /// A detector that has seen nothing. Only KSWIN draws, unless it is told to draw as river does.
    ///
    /// Never panics. A configuration that [`Config::check`] refuses gives a detector that stays quiet whatever comes.
    #[must_use]
    pub fn start(&self, draws: Stream) -> Sequential {
        if self.check().is_err() {
            return Sequential::new(Kind::Idle(Idle));
        }
        Sequential::new(match self {
            Self::Cusum(c) => Kind::Cusum(c.start()),
            Self::Ewma(c) => Kind::Ewma(c.start()),
            Self::ShiryaevRoberts(c) => Kind::ShiryaevRoberts(c.start()),
            Self::ShiryaevRobertsLlr(c) => Kind::ShiryaevRobertsLlr(c.start()),
            Self::PageHinkley(c) => Kind::PageHinkley(c.start()),
            Self::Adwin(c) => Kind::Adwin(c.start()),
            Self::Ddm(c) => Kind::Ddm(c.start()),
            Self::Eddm(c) => Kind::Eddm(c.start()),
            Self::HddmA(c) => Kind::HddmA(c.start()),
            Self::HddmW(c) => Kind::HddmW(c.start()),
            Self::Fhddm(c) => Kind::Fhddm(c.start()),
            Self::Kswin(c) => Kind::Kswin(c.start(draws)),
            Self::SprtBernoulli(c) => Kind::SprtBernoulli(c.start()),
            Self::SprtGaussian(c) => Kind::SprtGaussian(c.start()),
            Self::Msprt(c) => Kind::Msprt(c.start()),
            Self::EDetector(c) => Kind::EDetector(c.start()),
            Self::Ecdd(c) => Kind::Ecdd(c.start()),
            Self::Stepd(c) => Kind::Stepd(c.start()),
            Self::Rddm(c) => Kind::Rddm(c.start()),
            Self::FrourosCusum(c) => Kind::FrourosCusum(c.start()),
            Self::FrourosPageHinkley(c) => Kind::FrourosPageHinkley(c.start()),
        })
    }
}

/// Which changes of the level count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Increases.
    Up,
    /// Decreases.
    Down,
    /// Either.
    #[default]
    Both,
}

impl Mode {
    /// Increases count.
    pub(super) const fn up(self) -> bool {
        matches!(self, Self::Up | Self::Both)
    }

    /// Decreases count.
    pub(super) const fn down(self) -> bool {
        matches!(self, Self::Down | Self::Both)
    }
}

/// A parameter that is not what its detector needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{parameter}` must be {rule}")]
pub struct BadParameter {
    /// Its name.
    pub parameter: &'static str,
    /// What it must be.
    pub rule: &'static str,
}

/// The largest size of an observation or a level in the metric's unit. With scales between its root and the root's reciprocal,
/// squares of standardised observations and their sums stay finite.
pub(super) const LARGEST: f64 = 1e100;

/// `Err` unless `holds`.
pub(super) const fn must(holds: bool, parameter: &'static str, rule: &'static str) -> Result<(), BadParameter> {
    if holds { Ok(()) } else { Err(BadParameter { parameter, rule }) }
}

/// A level.
pub(super) fn level(parameter: &'static str, value: f64) -> Result<(), BadParameter> {
    must(value.abs() <= LARGEST, parameter, "a number between -1e100 and 1e100")
}

/// A scale or a threshold.
pub(super) fn positive(parameter: &'static str, value: f64) -> Result<(), BadParameter> {
    must((1e-50..=1e50).contains(&value), parameter, "positive, between 1e-50 and 1e50")
}

/// An allowance: not negative.
pub(super) fn not_negative(parameter: &'static str, value: f64) -> Result<(), BadParameter> {
    must((0.0..=LARGEST).contains(&value), parameter, "0 or more, up to 1e100")
}

/// A probability that is neither 0 nor 1, nor so small that its reciprocal is infinite.
pub(super) fn share(parameter: &'static str, value: f64) -> Result<(), BadParameter> {
    must((1e-300..1.0).contains(&value), parameter, "above 0 and below 1")
}

/// A weight of an average: above 0, up to 1.
pub(super) fn weight(parameter: &'static str, value: f64) -> Result<(), BadParameter> {
    must(value > 0.0 && value <= 1.0, parameter, "above 0, up to 1")
}

/// A number of observations that are kept, or waited for.
pub(super) fn count(parameter: &'static str, value: u32, least: u32) -> Result<(), BadParameter> {
    must(value >= least && value <= 1_000_000, parameter, "large enough to compute with, up to 1000000")
}
