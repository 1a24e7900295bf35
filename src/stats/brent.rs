//! Owns root finding by Brent's method, in the form whose every step R's `uniroot` and Kayenta take.
//!
//! Source: R. P. Brent, "Algorithms for Minimization without Derivatives" (1973), ch. 4, as G. Forsythe, M. Malcolm and C.
//! Moler give it in "Computer Methods for Mathematical Computations" (1977), ch. 7. Where a function is a staircase, as a
//! rank statistic is, what comes out depends on each step, so the order of operations is theirs.

/// Steps after which the best point so far is the answer: R's and Kayenta's limit.
const STEPS: usize = 1000;

/// An end of the bracket and the function's value there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
}

/// A point within `tolerance / 2` (absolute) plus two roundings of where `f` changes sign between `low` and `high`, where its
/// values have opposite signs. An end at which the value is 0 is the answer.
pub(crate) fn root(mut f: impl FnMut(f64) -> f64, low: Point, high: Point, tolerance: f64) -> f64 {
    if low.y == 0.0 || high.y == 0.0 {
        return if low.y == 0.0 { low.x } else { high.x };
    }
    // The best point, the one before it, and one on the other side of the root.
    let (mut last, mut best, mut across) = (low, high, low);
    for _ in 0..=STEPS {
        let previous_step = best.x - last.x;
        if across.y.abs() < best.y.abs() {
            (last, best, across) = (best, across, best);
        }
        let least = 2.0 * f64::EPSILON * best.x.abs() + tolerance / 2.0;
        let width = across.x - best.x;
        let mut step = width / 2.0;
        if step.abs() <= least || best.y == 0.0 {
            return best.x;
        }
        if previous_step.abs() >= least && last.y.abs() > best.y.abs() {
            // The step is p/q: a secant through two points, or the parabola through three, turned on its side.
            let ratio = best.y / last.y;
            let (mut p, mut q);
            if last.x == across.x {
                p = width * ratio;
                q = 1.0 - ratio;
            } else {
                let (s, t) = (last.y / across.y, best.y / across.y);
                p = ratio * (width * s * (s - t) - (best.x - last.x) * (t - 1.0));
                q = (s - 1.0) * (t - 1.0) * (ratio - 1.0);
            }
            if p > 0.0 {
                q = -q;
            } else {
                p = -p;
            }
            if p < 0.75 * width * q - (least * q).abs() / 2.0 && p < (previous_step * q / 2.0).abs() {
                step = p / q;
            }
        }
        if step.abs() < least {
            step = if step > 0.0 { least } else { -least };
        }
        last = best;
        best.x += step;
        best.y = f(best.x);
        if (best.y > 0.0 && across.y > 0.0) || (best.y < 0.0 && across.y < 0.0) {
            across = last;
        }
    }
    best.x
}

#[cfg(test)]
mod tests {
    use super::*;

    fn solve(f: impl Fn(f64) -> f64, low: f64, high: f64, tolerance: f64) -> f64 {
        let at = |x| Point { x, y: f(x) };
        root(&f, at(low), at(high), tolerance)
    }

    #[test]
    fn roots_are_found_to_the_tolerance() {
        assert!((solve(|x| x * x - 2.0, 0.0, 2.0, 1e-13) - std::f64::consts::SQRT_2).abs() < 1e-13);
        assert!((solve(|x| 1.0 - x * x * x, -3.0, 5.0, 1e-6) - 1.0).abs() < 1e-6);
        // A step has no value 0; its edge is found.
        assert!((solve(|x| if x < 0.3 { 1.0 } else { -2.0 }, -1.0, 9.0, 1e-12) - 0.3).abs() < 1e-12);
    }

    #[test]
    fn an_end_that_is_a_root_is_the_answer() {
        assert_eq!(solve(|x| x, 0.0, 1.0, 1e-4), 0.0);
        assert_eq!(solve(|x| x - 1.0, 0.0, 1.0, 1e-4), 1.0);
    }
}
