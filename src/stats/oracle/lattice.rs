//! Owns the CUSUM of a log-likelihood ratio of any continuous distribution, on a grid.
//!
//! Page's equation with the mean run length taken as linear between `n + 1` equally spaced values from zero to just below the
//! threshold: a step's probability in each cell goes to the cell's two ends in proportion. Errors fall as `1/n^2` (slower where
//! the ratio's density is infinite at its end, as for variances), which Richardson's extrapolation over `n` and `2n` removes.
//! The uncertainty is how far the extrapolation over `n/2` and `n` is from that: the error of the worse of the two.

use super::super::arl::chain::{Chain, Row};
use super::super::root;

/// Cells per standard deviation of the ratio, on the middle one of three grids, and the limits of their number.
const CELLS_PER_DEVIATION: f64 = 12.0;
const CELLS: (f64, f64) = (60.0, 400.0);
/// Less than this at the ends of a step's distribution is left out.
const LEFT_OUT: f64 = 1e-17;

/// One value of the ratio, and its density without and with the fault, in whatever measure equal steps between points have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    pub llr: f64,
    pub pre: f64,
    pub post: f64,
}

/// Probability spread over an interval of the ratio, its density rising or falling linearly.
struct Piece {
    low: f64,
    high: f64,
    pre: Spread,
    post: Spread,
}

impl Piece {
    fn middle(&self) -> f64 {
        0.5 * (self.low + self.high)
    }

    fn under(&self, under: Under) -> Spread {
        match under {
            Under::Pre => self.pre,
            Under::Post => self.post,
        }
    }
}

#[derive(Clone, Copy)]
struct Spread {
    mass: f64,
    /// The density at the upper end minus that at the lower, divided by their sum.
    lean: f64,
}

impl Spread {
    /// From the densities at an interval's lower end, middle and upper end, and the relative position of the middle: mass and
    /// mean by Simpson's rule. The mean, because a chart adds up its errors.
    fn new([low, middle, high]: [f64; 3], position: f64) -> Self {
        let mass = low + 4.0 * middle + high;
        let mean = if mass > 0.0 { (4.0 * middle * position + high) / mass } else { 0.5 };
        Self { mass, lean: (6.0 * mean - 3.0).clamp(-1.0, 1.0) }
    }

    /// The probability between two relative positions in the interval, and its first moment there.
    fn between(self, from: f64, to: f64) -> (f64, f64) {
        let share = (to - from) * (1.0 + self.lean * (from + to - 1.0));
        let cubes = (to * to * to - from * from * from) * 2.0 / 3.0;
        let moment = 0.5 * (1.0 - self.lean) * (to * to - from * from) + self.lean * cubes;
        (self.mass * share, self.mass * moment)
    }
}

/// The distribution of the ratio in many small pieces.
pub(super) struct Pieces {
    pieces: Vec<Piece>,
    /// The ratio's standard deviation without the fault or with it, whichever is smaller.
    deviation: f64,
}

/// Without or with the fault.
#[derive(Clone, Copy)]
pub(super) enum Under {
    Pre,
    Post,
}

/// A mean run length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mean {
    pub value: f64,
    /// Relative.
    pub uncertainty: f64,
}

impl Pieces {
    /// Every second point is an end of two pieces, those between are middles. The probabilities are scaled to a sum of 1. `None`
    /// for fewer than three points or an even number, and if a sum or a ratio is not finite.
    pub(super) fn between(points: &[Point]) -> Option<Self> {
        if points.len() < 3 || points.len().is_multiple_of(2) || points.iter().any(|p| !p.llr.is_finite()) {
            return None;
        }
        let piece = |three: &[Point]| {
            let ends = if three[0].llr <= three[2].llr { [0, 1, 2] } else { [2, 1, 0] };
            let [low, middle, high] = ends.map(|i| three[i].llr);
            let position = if high > low { (middle - low) / (high - low) } else { 0.5 };
            let spread = |density: fn(&Point) -> f64| Spread::new(ends.map(|i| density(&three[i])), position);
            Piece { low, high, pre: spread(|p| p.pre), post: spread(|p| p.post) }
        };
        let mut pieces: Vec<Piece> = points.windows(3).step_by(2).map(piece).collect();
        let pre: f64 = pieces.iter().map(|p| p.pre.mass).sum();
        let post: f64 = pieces.iter().map(|p| p.post.mass).sum();
        for piece in &mut pieces {
            piece.pre.mass /= pre;
            piece.post.mass /= post;
        }
        let deviation = |mass: fn(&Piece) -> f64| {
            let mean: f64 = pieces.iter().map(|p| mass(p) * p.middle()).sum();
            pieces.iter().map(|p| mass(p) * (p.middle() - mean) * (p.middle() - mean)).sum::<f64>().sqrt()
        };
        let (pre, post) = (deviation(|p| p.pre.mass), deviation(|p| p.post.mass));
        let (deviation, sound) = (pre.min(post), pre.is_finite() && post.is_finite());
        sound.then_some(Self { pieces, deviation })
    }

    /// The mean run length from zero.
    pub(super) fn mean(&self, threshold: f64, under: Under) -> Option<Mean> {
        let n = self.cells(threshold);
        let [coarse, middle, fine] = [n / 2, n, 2 * n].map(|n| Some(self.chain(threshold, n, under)?.cycles()?.mean()));
        let extrapolated = |n: f64, twice: f64| twice + (twice - n) / 3.0;
        let value = extrapolated(middle?, fine?);
        Some(Mean { value, uncertainty: (extrapolated(coarse?, middle?) / value - 1.0).abs() })
    }

    /// The middle grid's cells, an even number.
    pub(super) fn cells(&self, threshold: f64) -> usize {
        2 * (0.5 * (CELLS_PER_DEVIATION * threshold / self.deviation).clamp(CELLS.0, CELLS.1)) as usize
    }

    /// The probability of a ratio above some value.
    fn above(&self, value: f64, under: Under) -> f64 {
        let share = |p: &Piece| p.under(under).between(position(value, p.low, p.high), 1.0).0;
        self.pieces.iter().map(share).sum()
    }

    /// The threshold at which the mean run length without the fault is `target`, nearly. Negative where even a chart that alarms
    /// at any positive ratio takes longer.
    pub(super) fn threshold(&self, target: f64) -> Option<f64> {
        let excess = |threshold: f64| {
            let n = self.cells(threshold) / 2;
            Some(libm::log(self.chain(threshold, n, Under::Pre)?.cycles()?.mean() / target))
        };
        if excess(0.0)? >= 0.0 {
            let lowest = self.pieces.iter().map(|p| p.low).fold(0.0, f64::min);
            let single = |threshold| -libm::log(target * self.above(threshold, Under::Pre));
            return Some(root::increasing(lowest, 0.0, 1e-12, single));
        }
        let mut high = 1.0;
        while excess(high)? < 0.0 {
            high *= 2.0;
        }
        let rough = root::increasing(0.0, high, 1e-4, |t| excess(t).unwrap_or(f64::NAN));
        // From the rough grid's root to that of the extrapolated mean, whose logarithm has nearly the rough grid's slope.
        let near = 0.01 * rough;
        let slope = (excess(rough + near)? - excess(rough)?) / near;
        let mut threshold = rough;
        for _ in 0..2 {
            threshold -= libm::log(self.mean(threshold, Under::Pre)?.value / target) / slope;
        }
        (threshold >= 0.0).then_some(threshold)
    }

    /// The chain on a grid of `n` cells.
    pub(super) fn chain(&self, threshold: f64, n: usize, under: Under) -> Option<Chain> {
        if threshold <= 0.0 {
            return Some(Chain::single(self.above(threshold, under)));
        }
        if !threshold.is_finite() {
            return None;
        }
        let steps = Steps::new(&self.pieces, threshold / n as f64, n, under);
        let counts = |c: &usize| steps.low[*c] + steps.high[*c] > LEFT_OUT;
        let (first, last) = ((0..2 * n).find(counts).unwrap_or(0), (0..2 * n).rfind(counts).unwrap_or(0));
        let row = |from: usize| {
            // Cell c of a step from here starts at grid value from + c - n, so that grid value v is reached with the low end of
            // cell v - from + n and the high end of the one before.
            let start = (first + from).saturating_sub(n).clamp(1, n + 1);
            let weights = (start..=(last + from + 1).saturating_sub(n).min(n)).map(|v| {
                let c = v + n - from;
                steps.high[c - 1] + if v < n { steps.low[c] } else { 0.0 }
            });
            let (zero, alarm) = (steps.below[n - from] + steps.low[n - from], steps.above[2 * n - from]);
            // State 0 of the chain is grid value 1: value 0 is the restart point.
            Row { first: start - 1, weights: weights.collect(), zero, alarm }
        };
        Some(Chain { states: (1..=n).map(row).collect(), zero: row(0) })
    }
}

/// Where a value lies between two, relatively; in an interval of no width everything is at its lower end.
fn position(at: f64, from: f64, to: f64) -> f64 {
    if to > from { ((at - from) / (to - from)).clamp(0.0, 1.0) } else { f64::from(u8::from(at > from)) }
}

/// A step's distribution over the cells `-n .. n` of a grid, cell `c` of the lists being cell `c - n` of the grid.
struct Steps {
    /// What a cell's lower end gets of the probability in it.
    low: Vec<f64>,
    /// What its upper end gets.
    high: Vec<f64>,
    /// The probability below each cell.
    below: Vec<f64>,
    /// The probability from each cell on.
    above: Vec<f64>,
}

impl Steps {
    fn new(pieces: &[Piece], cell: f64, n: usize, under: Under) -> Self {
        let size = 2 * n;
        let (mut low, mut high) = (vec![0.0; size], vec![0.0; size]);
        let (mut below, mut above) = (vec![0.0; size + 1], vec![0.0; size + 1]);
        for piece in pieces {
            let spread = piece.under(under);
            let (from, to) = (piece.low / cell + n as f64, piece.high / cell + n as f64);
            let inside = |at: f64| position(at, from, to);
            below[0] += spread.between(0.0, inside(0.0)).0;
            above[size] += spread.between(inside(size as f64), 1.0).0;
            let mut c = libm::floor(from.max(0.0));
            while c < size as f64 && c <= to {
                let (mass, moment) = spread.between(inside(c), inside(c + 1.0));
                let upper = mass * (from - c) + moment * (to - from);
                low[c as usize] += mass - upper;
                high[c as usize] += upper;
                c += 1.0;
            }
        }
        for c in 0..size {
            below[c + 1] = below[c] + low[c] + high[c];
        }
        for c in (0..size).rev() {
            above[c] = above[c + 1] + low[c] + high[c];
        }
        Self { low, high, below, above }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::arl::cusum::Cusum;
    use super::*;

    /// A normal mean shift, for which the integral equation is solved to rounding elsewhere.
    fn normal(delta: f64) -> Pieces {
        let density = |x: f64| super::super::super::normal::density(x);
        let points: Vec<Point> = (-5000..=5000)
            .map(|i| {
                let x = f64::from(i) * 2.4e-3;
                Point { llr: delta * x - 0.5 * delta * delta, pre: density(x), post: density(x - delta) }
            })
            .collect();
        Pieces::between(&points).unwrap()
    }

    #[test]
    fn the_grid_agrees_with_the_integral_equation_within_its_uncertainty() {
        for (delta, threshold) in [(1.0, 5.07), (0.5, 4.3), (2.0, 7.6)] {
            let pieces = normal(delta);
            for (under, shift) in [(Under::Pre, 0.0), (Under::Post, delta)] {
                let got = pieces.mean(threshold, under).unwrap();
                let want = Cusum { reference: delta / 2.0, threshold: threshold / delta }.arl(shift, 0.0).unwrap();
                let off = (got.value / want - 1.0).abs();
                assert!(off < 1e-5 && off <= got.uncertainty, "{delta}: {off} {}", got.uncertainty);
            }
        }
    }

    #[test]
    fn the_threshold_of_a_target_reaches_it() {
        let pieces = normal(1.0);
        let threshold = pieces.threshold(1000.0).unwrap();
        assert!((pieces.mean(threshold, Under::Pre).unwrap().value / 1000.0 - 1.0).abs() < 1e-4);
        // Below what a chart at zero has, single observations decide: P(z > 0.5 + threshold) = 1/1.5.
        let single = pieces.threshold(1.5).unwrap();
        assert!((single - (super::super::super::normal::quantile(1.0 / 3.0) - 0.5)).abs() < 1e-6, "{single}");
        assert!((pieces.mean(single, Under::Pre).unwrap().value / 1.5 - 1.0).abs() < 1e-9);
    }

    #[test]
    fn rows_are_probabilities() {
        for (threshold, n) in [(3.0, 40), (0.0, 40), (0.01, 3)] {
            let chain = normal(1.0).chain(threshold, n, Under::Post).unwrap();
            for row in chain.states.iter().chain([&chain.zero]) {
                let sum: f64 = row.weights.iter().sum::<f64>() + row.zero + row.alarm;
                assert!((sum - 1.0).abs() < 1e-12, "{threshold}: {sum}");
            }
        }
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        let point = Point { llr: 1.0, pre: 1.0, post: 1.0 };
        assert!(Pieces::between(&[]).is_none());
        assert!(Pieces::between(&[point]).is_none());
        assert!(Pieces::between(&[point; 4]).is_none());
        assert!(Pieces::between(&[point, Point { llr: f64::NAN, ..point }, point]).is_none());
        assert!(Pieces::between(&[Point { pre: 0.0, ..point }; 3]).is_none());
        assert!(normal(1.0).mean(f64::NAN, Under::Pre).is_none());
        assert!(normal(1.0).mean(f64::INFINITY, Under::Pre).is_none());
        assert!(normal(1.0).mean(1e9, Under::Pre).is_none(), "no step is so long");
    }
}
