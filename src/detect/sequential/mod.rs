//! Owns sequential detectors: one observation after another goes in, and after each the detector is quiet, warns or alarms.
//!
//! One file a detector; each says what it computes, in which units, from which source, how much memory it takes, what it is
//! blind to and how often it alarms for nothing at its defaults. **Compare detectors at the same average run length only**
//! (mean number of observations until a false alarm): defaults differ in it by a factor of thousands. False alarms that a text
//! calls measured are of independent observations, 60 million in one go (KSWIN: 5 million) or 3 000 fresh starts.
//!
//! # Conventions
//! * After an alarm a detector starts anew with the next observation, so that its state can still be read; what that means is
//!   the detector's (ADWIN may keep its newer part). Warnings change nothing.
//! * NaN is a missing observation: left out, counted, [`Step::Quiet`]. So is what has no meaning in an average (an infinity, or
//!   anything beyond ±1e100) for detectors that keep one. CUSUM, Shiryaev-Roberts and SPRT take an infinity as evidence beyond
//!   any limit, KSWIN as a rank; detectors of errors take what is outside [0, 1] as the nearer end (policies accept them on
//!   channels of 0 and 1 only), the e-detector what is outside its `range`.
//! * Each takes at most the bytes that its text says (a copy made before its window was full, up to twice as many): bounded,
//!   however long the stream.
//! * Plain data: cloned, a detector continues the same way. `tests/detectors_reference` holds them to river, frouros and scipy.

mod adwin;
mod config;
mod cusum;
mod ddm;
mod e_detector;
mod ecdd;
mod eddm;
mod ewma;
mod fhddm;
mod frouros;
mod hddm_a;
mod hddm_w;
mod kswin;
mod mersenne;
mod msprt;
mod page_hinkley;
mod rddm;
mod shiryaev_roberts;
mod sprt;
mod stepd;
#[cfg(test)]
mod tests;

pub use adwin::{AdwinConfig, AfterDrift};
pub use config::{BadParameter, Config, Mode};
pub use cusum::CusumConfig;
pub use ddm::DdmConfig;
pub use e_detector::{EDetectorConfig, ERule};
pub use ecdd::EcddConfig;
pub use eddm::EddmConfig;
pub use ewma::EwmaConfig;
pub use fhddm::FhddmConfig;
pub use frouros::{FrourosCusumConfig, FrourosPageHinkleyConfig};
pub use hddm_a::HddmAConfig;
pub use hddm_w::HddmWConfig;
pub use kswin::{Draws, KswinConfig};
pub use msprt::MsprtConfig;
pub use page_hinkley::PageHinkleyConfig;
pub use rddm::RddmConfig;
pub use shiryaev_roberts::{ShiryaevRobertsConfig, ShiryaevRobertsLlrConfig};
pub use sprt::{SprtBernoulliConfig, SprtGaussianConfig};
pub use stepd::{StepdConfig, StepdRule};

/// What one observation led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Quiet,
    /// The detector is in its warning zone.
    Warning,
    /// A change; the next observation begins anew.
    Alarm,
    /// The test decided that there is no change (SPRT only); the next observation begins anew.
    Cleared,
}

impl Step {
    const fn alarm(alarm: bool) -> Self {
        if alarm { Self::Alarm } else { Self::Quiet }
    }

    const fn of(alarm: bool, warning: bool) -> Self {
        match (alarm, warning) {
            (true, _) => Self::Alarm,
            (false, true) => Self::Warning,
            (false, false) => Self::Quiet,
        }
    }
}

/// What observations a detector takes as they are.
enum Takes {
    /// All numbers.
    Any,
    /// Numbers up to 1e100; others are missing.
    Finite,
    /// Numbers between 0 and 1; others are the nearer end. See [`Config::takes_errors`].
    Unit,
}

/// What each detector can do.
trait Detector {
    /// Which observations reach [`Detector::step`].
    const TAKES: Takes;
    /// Takes an observation.
    fn step(&mut self, x: f64) -> Step;
    /// What can be read of every detector; the threshold is infinite where there is none.
    fn reading(&self) -> Reading;
    /// See [`Sequential::warned`].
    fn warned(&self) -> bool {
        false
    }
    /// See [`Sequential::state`].
    fn state(&self) -> Vec<(&'static str, f64)>;
    /// Bytes behind pointers.
    fn heap(&self) -> usize {
        0
    }
    /// What it has of what it needs, counted since it began, before it can alarm.
    fn needs(&self) -> (u64, u64) {
        (self.reading().seen, 1)
    }
}

/// What can be read of every detector after an observation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// What the detector compares with its threshold; NaN where it is not defined yet.
    pub statistic: f64,
    /// The threshold of an alarm in the statistic's terms; NaN where there is none, or none yet. EDDM alarms below it, the others
    /// above (or at) it.
    pub threshold: f64,
    /// Observations that the state is about: since the detector began or began anew, without those left out. ADWIN that keeps the
    /// newer part counts on, its window's width is in the state; RDDM counts what it keeps.
    pub seen: u64,
}

impl Reading {
    /// As it is told: a threshold that nothing reaches is none.
    const fn told(self) -> Self {
        Self { threshold: if self.threshold.is_finite() { self.threshold } else { f64::NAN }, ..self }
    }
}

/// A detector at work.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequential {
    kind: Kind,
    missing: u64,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Cusum(cusum::Cusum),
    Ewma(ewma::Ewma),
    ShiryaevRoberts(shiryaev_roberts::ShiryaevRoberts),
    ShiryaevRobertsLlr(shiryaev_roberts::ShiryaevRoberts),
    PageHinkley(page_hinkley::PageHinkley),
    Adwin(adwin::Adwin),
    Ddm(ddm::Ddm),
    Eddm(eddm::Eddm),
    HddmA(hddm_a::HddmA),
    HddmW(hddm_w::HddmW),
    Fhddm(fhddm::Fhddm),
    Kswin(kswin::Kswin),
    SprtBernoulli(sprt::SprtBernoulli),
    SprtGaussian(sprt::SprtGaussian),
    Msprt(msprt::Msprt),
    EDetector(e_detector::EDetector),
    Ecdd(ecdd::Ecdd),
    Stepd(stepd::Stepd),
    Rddm(rddm::Rddm),
    FrourosCusum(frouros::FrourosCusum),
    FrourosPageHinkley(frouros::FrourosPageHinkley),
    Idle(Idle),
}

/// Does the same with whatever detector (`kind`), or configuration of one, it is.
macro_rules! each {
    (kind $value:expr, $one:ident => $do:expr) => {
        $crate::detect::sequential::each!(Kind; Idle; $value, $one => $do)
    };
    (config $value:expr, $one:ident => $do:expr) => {
        $crate::detect::sequential::each!(Config; ; $value, $one => $do)
    };
    ($of:ident; $($idle:ident)?; $value:expr, $one:ident => $do:expr) => {
        match $value {
            $of::Cusum($one) => $do,
            $of::Ewma($one) => $do,
            $of::ShiryaevRoberts($one) => $do,
            $of::ShiryaevRobertsLlr($one) => $do,
            $of::PageHinkley($one) => $do,
            $of::Adwin($one) => $do,
            $of::Ddm($one) => $do,
            $of::Eddm($one) => $do,
            $of::HddmA($one) => $do,
            $of::HddmW($one) => $do,
            $of::Fhddm($one) => $do,
            $of::Kswin($one) => $do,
            $of::SprtBernoulli($one) => $do,
            $of::SprtGaussian($one) => $do,
            $of::Msprt($one) => $do,
            $of::EDetector($one) => $do,
            $of::Ecdd($one) => $do,
            $of::Stepd($one) => $do,
            $of::Rddm($one) => $do,
            $of::FrourosCusum($one) => $do,
            $of::FrourosPageHinkley($one) => $do,
            $($of::$idle($one) => $do,)?
        }
    };
}
use each;

impl Sequential {
    const fn new(kind: Kind) -> Self {
        Self { kind, missing: 0 }
    }

    /// Takes an observation.
    pub fn update(&mut self, x: f64) -> Step {
        let missing = &mut self.missing;
        each!(kind &mut self.kind, detector => one(detector, x, missing))
    }

    /// Takes observations in order, the same as [`Sequential::update`] of each, and calls `each` with the index and the step of
    /// those after which the detector is not quiet. Gives what could be read at the last alarm among them: after it the detector
    /// may have begun anew.
    pub fn feed(&mut self, values: &[f64], mut each: impl FnMut(usize, Step)) -> Option<Reading> {
        let (missing, alarm) = each!(kind &mut self.kind, detector => all(detector, values, &mut each));
        self.missing += missing;
        alarm
    }

    /// What can be read as of the last observation.
    #[must_use]
    pub fn reading(&self) -> Reading {
        each!(kind &self.kind, detector => detector.reading()).told()
    }

    /// See [`Reading::statistic`]; as of the last observation.
    #[must_use]
    pub fn statistic(&self) -> f64 {
        self.reading().statistic
    }

    /// See [`Reading::threshold`]; as of the last observation.
    #[must_use]
    pub fn threshold(&self) -> f64 {
        self.reading().threshold
    }

    /// See [`Reading::seen`]; as of the last observation.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.reading().seen
    }

    /// Observations left out since the detector was made.
    #[must_use]
    pub const fn missing(&self) -> u64 {
        self.missing
    }

    /// Whether the warning stands. [`Step::Warning`] says so too, but an alarm hides it where a method warns beside it.
    #[must_use]
    pub fn warned(&self) -> bool {
        each!(kind &self.kind, detector => detector.warned())
    }

    /// The detector's variables by name, as of the last observation; NaN for what is not defined yet.
    #[must_use]
    pub fn state(&self) -> Vec<(&'static str, f64)> {
        each!(kind &self.kind, detector => detector.state())
    }

    /// Bytes of memory, with what is behind pointers.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + each!(kind &self.kind, detector => detector.heap())
    }

    /// How many observations (EDDM: errors) it has and how many it needs since it began or began anew, while they are too few for
    /// an alarm, whatever they are.
    #[must_use]
    pub fn needs(&self) -> Option<(u64, u64)> {
        let (got, need) = each!(kind &self.kind, detector => detector.needs());
        (got < need).then_some((got, need))
    }

    /// The positions of the window that KSWIN drew last, in the order drawn, 0 for the oldest observation; empty for others.
    #[must_use]
    pub fn positions(&self) -> &[usize] {
        match &self.kind {
            Kind::Kswin(kswin) => kswin.positions(),
            _ => &[],
        }
    }

    /// KSWIN's D and p were these its positions. `None` for other detectors, before the window is full, and for positions that
    /// are not `stat_size` many of the earlier part of the window.
    #[must_use]
    pub fn compare(&self, positions: &[usize]) -> Option<(f64, f64)> {
        match &self.kind {
            Kind::Kswin(kswin) => kswin.compare(positions),
            _ => None,
        }
    }
}

fn one<D: Detector>(detector: &mut D, x: f64, missing: &mut u64) -> Step {
    let taken = match D::TAKES {
        Takes::Any => (!x.is_nan()).then_some(x),
        Takes::Finite => (x.abs() <= config::LARGEST).then_some(x),
        Takes::Unit => (!x.is_nan()).then_some(x.clamp(0.0, 1.0)),
    };
    if let Some(x) = taken {
        return detector.step(x);
    }
    *missing += 1;
    Step::Quiet
}

/// Gives how many were left out, and the reading at the last alarm.
fn all<D: Detector>(detector: &mut D, values: &[f64], each: &mut impl FnMut(usize, Step)) -> (u64, Option<Reading>) {
    let (mut missing, mut alarm) = (0, None);
    for (i, x) in values.iter().enumerate() {
        let step = one(detector, *x, &mut missing);
        if step != Step::Quiet {
            each(i, step);
        }
        if step == Step::Alarm {
            alarm = Some(detector.reading().told());
        }
    }
    (missing, alarm)
}

/// What a configuration gives that cannot work.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Idle;

impl Detector for Idle {
    const TAKES: Takes = Takes::Any;

    fn step(&mut self, _: f64) -> Step {
        Step::Quiet
    }

    fn reading(&self) -> Reading {
        Reading { statistic: f64::NAN, threshold: f64::NAN, seen: 0 }
    }

    fn state(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }
}

/// A running mean: `mean += (1/n)(x - mean)` (West, Communications of the ACM 22 (1979) 532-535), in river's order of
/// operations.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Mean {
    n: f64,
    value: f64,
}

impl Mean {
    const NONE: Self = Self { n: 0.0, value: 0.0 };

    fn add(&mut self, x: f64) {
        self.n += 1.0;
        self.value += (1.0 / self.n) * (x - self.value);
    }
}
