//! Owns run lengths: how many observations a control chart takes until it alarms, computed, not simulated.
//!
//! A run length `T` counts observations up to and including the alarming one, of a chart that starts at its stated value and
//! sees in-control or shifted values from the first observation on (zero-state). Observations are independent normal values in
//! units of their in-control standard deviation, their in-control mean subtracted. `T`'s mean is the average run length: ARL0
//! without a shift (time between false alarms), ARL1 with one (delay).
//!
//! | chart | mean from | source |
//! |---|---|---|
//! | [`cusum::Cusum`] | Page's integral equation | E. S. Page, Biometrika 41 (1954) 100-115 |
//! | [`ewma::Ewma`] | Crowder's integral equation | S. V. Crowder, Technometrics 29 (1987) 401-407 |
//! | [`shiryaev_roberts::ShiryaevRoberts`] | the same kind of equation in log R | M. Pollak, Annals of Statistics 13 (1985) 206-227 |
//! | [`shewhart`], [`siegmund`] | closed forms | D. Siegmund, "Sequential Analysis" (1985) |
//! | [`sprt::bernoulli`] | forward recursion over counts | A. Wald, "Sequential Analysis" (1947) |
//!
//! The integral equations are solved at Gauss-Legendre nodes (Nystrom's method); errors are near 1e-11 relative, and a
//! Brook-Evans Markov chain in the tests confirms them by another way. Parameters outside a function's domain give `None`.

pub mod cusum;
pub mod ewma;
pub mod shiryaev_roberts;
pub mod sprt;

pub(crate) mod chain;
pub(crate) mod tail;

use super::normal;
use super::quadrature::{Node, panels};
use chain::Row;

/// Farther from the mean of a normal density than this many standard deviations nothing is counted: 1e-18 is left out there.
const REACH: f64 = 9.0;
/// Panels of three standard deviations; see [`panels`].
const PANEL: f64 = 3.0;
/// Higher charts than this, in standard deviations of a step, are refused.
const HEIGHT_MAX: f64 = 4000.0;

/// Average run length of a two-sided Shewhart chart: alarm when an observation is farther than `limit` from zero, `shift` being
/// the mean, both in standard deviations. 1 / (P(Z > limit - shift) + P(Z < -limit - shift)).
#[must_use]
pub fn shewhart(limit: f64, shift: f64) -> Option<f64> {
    let mean = 1.0 / (normal::sf(limit - shift) + normal::cdf(-limit - shift));
    (limit >= 0.0 && mean.is_finite()).then_some(mean)
}

/// Siegmund's approximation of a one-sided CUSUM's average run length from zero (`reference` k, `threshold` h, mean `shift`, all
/// in standard deviations): `(exp(-2 D b) + 2 D b - 1) / (2 D^2)` with `D = shift - k` and `b = h + 1.166`, `b^2` for `D = 0`.
/// D. Siegmund, "Sequential Analysis" (1985), section 2.6; 1.166 is twice the mean overshoot of a normal random walk.
#[must_use]
pub fn siegmund(reference: f64, threshold: f64, shift: f64) -> Option<f64> {
    let (drift, b) = (shift - reference, threshold + 1.166);
    let x = 2.0 * drift * b;
    if !(threshold >= 0.0 && x.is_finite()) {
        return None;
    }
    // Near D = 0 the difference loses its digits; there the series b^2 (1 - x/3 + x^2/12 - …) is exact to rounding.
    let mean = if x.abs() < 1e-3 {
        b * b * (1.0 - x / 3.0 * (1.0 - x / 4.0 * (1.0 - x / 5.0)))
    } else {
        (libm::expm1(-x) + x) / (2.0 * drift * drift)
    };
    mean.is_finite().then_some(mean)
}

/// Nodes on `[low, high]` for a kernel with this standard deviation, panels not wider than `width` either; none if the interval
/// is empty.
fn nodes(low: f64, high: f64, deviation: f64, width: f64) -> Option<Vec<Node>> {
    let width = width.min(PANEL * deviation);
    if high == low {
        return Some(Vec::new());
    }
    let fits = high > low && width > 0.0 && high - low <= HEIGHT_MAX * deviation;
    fits.then(|| panels(low, high, width))
}

/// One step to a normal value with this mean and deviation: its density at the nodes, and what lies below and above them.
struct Step {
    first: usize,
    weights: Vec<f64>,
    below: f64,
    above: f64,
}

impl Step {
    fn normal(nodes: &[Node], low: f64, high: f64, mean: f64, deviation: f64) -> Self {
        let first = nodes.partition_point(|n| n.at < mean - REACH * deviation);
        let last = nodes.partition_point(|n| n.at <= mean + REACH * deviation);
        let density = |n: &Node| n.weight * normal::density((n.at - mean) / deviation) / deviation;
        Self {
            first,
            weights: nodes[first..last].iter().map(density).collect(),
            below: normal::cdf((low - mean) / deviation),
            above: normal::sf((high - mean) / deviation),
        }
    }

    /// The row of a statistic that restarts below the nodes and alarms above them.
    fn restarting(self) -> Row {
        Row { first: self.first, weights: self.weights, zero: self.below, alarm: self.above }
    }

    /// The row of a statistic that alarms on both sides.
    fn alarming(self) -> Row {
        Row { first: self.first, weights: self.weights, zero: 0.0, alarm: self.below + self.above }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_forms_meet_their_limits() {
        // A chart without limits alarms at once; the familiar 3 sigma.
        assert_eq!(shewhart(0.0, 0.7), Some(1.0));
        assert!((shewhart(3.0, 0.0).unwrap() - 370.398).abs() < 1e-3);
        // Siegmund's form is continuous where its drift vanishes.
        let at = |shift| siegmund(0.5, 4.0, shift).unwrap();
        assert!((at(0.5) - 5.166 * 5.166).abs() < 1e-12);
        for seam in [0.5 + 1e-3 / (2.0 * 5.166), 0.5 - 1e-3 / (2.0 * 5.166)] {
            assert!((at(seam * (1.0 + 1e-9)) / at(seam * (1.0 - 1e-9)) - 1.0).abs() < 1e-8, "{seam}");
        }
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            assert_eq!(siegmund(0.5, bad, 0.0), None);
        }
        assert_eq!(shewhart(-1.0, 0.0), None);
        assert_eq!(shewhart(f64::NAN, 0.0), None);
        assert_eq!(shewhart(f64::INFINITY, 0.0), None);
        assert_eq!(siegmund(f64::NAN, 4.0, 0.0), None);
    }
}
