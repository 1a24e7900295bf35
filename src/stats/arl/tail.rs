//! Owns reading a distribution off its survival function P(T > 1), P(T > 2), …: a value, a quantile; far out geometrically.
//!
//! A chain forgets its start, after which every step ends the same share of the runs that are left (the hazard). Once that share
//! has stopped to change the rest is geometric, which makes false-alarm times of millions of steps as cheap as those of hundreds.

/// The hazard counts as settled when it is relatively this near to what it was [`APART`] steps before, give or take the rounding
/// of the survival function.
const SETTLED: f64 = 1e-9;
const ROUNDING: f64 = 5e-16;
const APART: usize = 64;
/// A hazard below this is hidden by rounding.
const HAZARD_MIN: f64 = 1e-11;

/// Where the walk along a survival function ended.
struct Walked {
    t: u64,
    alive: f64,
    /// The hazard from here on, if it has settled.
    hazard: Option<f64>,
}

/// Walks until `done(t, alive)`, or until the rest is geometric. `None` if the function ends before.
fn walk(mut survival: impl Iterator<Item = f64>, done: impl Fn(u64, f64) -> bool) -> Option<Walked> {
    let mut hazards = [f64::NAN; APART];
    let (mut alive, mut t) = (1.0, 0);
    loop {
        if done(t, alive) {
            return Some(Walked { t, alive, hazard: None });
        }
        let next = survival.next()?;
        let hazard = (alive - next) / alive;
        (alive, t) = (next, t + 1);
        let before = &mut hazards[t as usize % APART];
        if hazard > HAZARD_MIN && (hazard - *before).abs() <= SETTLED * hazard + ROUNDING {
            return Some(Walked { t, alive, hazard: Some(hazard) });
        }
        *before = hazard;
    }
}

/// P(T <= t).
pub(crate) fn cdf(survival: impl Iterator<Item = f64>, t: u64) -> Option<f64> {
    let walked = walk(survival, |at, _| at == t)?;
    let rest = walked.hazard.map_or(1.0, |hazard| libm::exp((t - walked.t) as f64 * libm::log1p(-hazard)));
    Some(1.0 - walked.alive * rest)
}

/// The smallest `t` with P(T <= t) >= `q`. `None` unless `0 < q < 1`.
pub(crate) fn quantile(survival: impl Iterator<Item = f64>, q: f64) -> Option<u64> {
    if !(q > 0.0 && q < 1.0) {
        return None;
    }
    let walked = walk(survival, |_, alive| alive <= 1.0 - q)?;
    let Some(hazard) = walked.hazard else { return Some(walked.t) };
    if walked.alive <= 1.0 - q {
        return Some(walked.t);
    }
    let steps = libm::ceil(libm::log((1.0 - q) / walked.alive) / libm::log1p(-hazard));
    Some(walked.t.saturating_add(steps as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometric(p: f64) -> impl Iterator<Item = f64> {
        (1..).map(move |t| libm::pow(1.0 - p, f64::from(t)))
    }

    #[test]
    fn a_geometric_time_has_its_closed_form_near_and_far() {
        for (p, t) in [(0.2, 3_u64), (1e-3, 60), (1e-3, 900), (1e-6, 2_000_000)] {
            let want = -libm::expm1(t as f64 * libm::log1p(-p));
            assert!((cdf(geometric(p), t).unwrap() / want - 1.0).abs() < 1e-8, "{p} {t}");
            let at = quantile(geometric(p), want * (1.0 - 1e-7)).unwrap();
            assert!(at <= t && at + 1 + t / 1_000_000 >= t, "{p} {t}: {at}");
        }
    }

    /// A wait before anything can happen, with a hazard that rounding hides, is not taken for the settled end.
    #[test]
    fn a_quiet_start_is_not_taken_for_the_end() {
        let late = |t: i32| if t < 5000 { 1.0 - f64::from(t) * 1e-15 } else { libm::pow(0.9, f64::from(t - 4999)) };
        assert_eq!(quantile((1..).map(late), 0.5), Some(5006));
        let rising = |t: i32| libm::exp(-1e-12 * libm::exp(0.01 * f64::from(t)));
        assert_eq!(quantile((1..).map(rising), 0.5), Some(2727), "ln(ln 2 / 1e-12) / 0.01 = 2726.5");
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        for q in [0.0, 1.0, -1.0, f64::NAN] {
            assert_eq!(quantile(geometric(0.5), q), None);
        }
        assert_eq!(cdf(geometric(0.5), 0), Some(0.0));
        assert_eq!(cdf([0.5].into_iter(), 2), None);
        assert_eq!(quantile([1.0, 1.0, 0.0].into_iter(), 0.9), Some(3));
    }
}
