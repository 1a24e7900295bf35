//! Owns root finding in a bracket, for functions that increase.

/// More steps than a bracket of any width needs.
const STEPS_MAX: usize = 400;

/// Where an increasing function crosses zero in `[low, high]`: a point at which it is not negative, above the crossing by no
/// more than `tolerance` relatively (or to neighbouring numbers). Smooth functions take a handful of steps, steps and jumps as
/// many as bisection. Without a crossing, the end nearer to it; a NaN counts as positive, so that the search moves down.
///
/// Source: T. R. Chandrupatla, Advances in Engineering Software 28 (1997) 145-149: inverse quadratic interpolation where the
/// last three points allow it, bisection where they do not.
pub(crate) fn increasing(low: f64, high: f64, tolerance: f64, mut f: impl FnMut(f64) -> f64) -> f64 {
    let value = |x: f64, f: &mut dyn FnMut(f64) -> f64| {
        let y = f(x);
        if y.is_nan() { f64::INFINITY } else { y }
    };
    // The newest end of the bracket, the other one, and the one before the newest.
    let (mut new, mut f_new) = (high, value(high, &mut f));
    let (mut other, mut f_other) = (low, value(low, &mut f));
    if f_other >= 0.0 || f_new < 0.0 {
        return if f_other >= 0.0 { low } else { high };
    }
    let mut share = 0.5;
    for _ in 0..STEPS_MAX {
        let x = new + share * (other - new);
        let y = value(x, &mut f);
        let (mut old, mut f_old) = (new, f_new);
        if (y < 0.0) != (f_new < 0.0) {
            (old, f_old, other, f_other) = (other, f_other, new, f_new);
        }
        (new, f_new) = (x, y);
        let width = (other - new).abs();
        let within = tolerance.max(2.0 * f64::EPSILON) * new.abs().max(other.abs());
        if y == 0.0 || width <= within {
            break;
        }
        let (place, level) = ((new - other) / (old - other), (f_new - f_other) / (f_old - f_other));
        share = 0.5;
        if level * level < place && (1.0 - level) * (1.0 - level) < 1.0 - place {
            let straight = f_new / (f_other - f_new) * (f_old / (f_other - f_old));
            let bend = (old - new) / (other - new) * (f_new / (f_old - f_new)) * (f_other / (f_old - f_other));
            share = straight + bend;
        }
        // Never nearer to an end than what the last step needs to close the bracket.
        let least = (0.4 * within / width).min(0.5);
        share = if share.is_finite() { share.clamp(least, 1.0 - least) } else { 0.5 };
    }
    if f_new >= 0.0 { new } else { other }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crossings_are_found_in_few_steps_of_smooth_steep_and_stepped_functions() {
        let smooth = |x: f64| libm::exp(x) - 2.0;
        let cubic = |x: f64| x * x * x - 1e-9;
        let steep = |x: f64| libm::exp(9.0 * x) - 1e30;
        let step = |x: f64| if x < 1.75 { -1.0 } else { 5.0 };
        let endless = |x: f64| if x < 1.75 { f64::NEG_INFINITY } else { f64::INFINITY };
        type Case<'a> = (&'a str, &'a dyn Fn(f64) -> f64, f64, usize);
        let cases: [Case; 5] = [
            ("smooth", &smooth, std::f64::consts::LN_2, 14),
            ("cubic", &cubic, 1e-3, 60),
            ("steep", &steep, 30.0 * std::f64::consts::LN_10 / 9.0, 40),
            ("step", &step, 1.75, 60),
            ("endless", &endless, 1.75, 60),
        ];
        for (name, f, want, most) in cases {
            let mut calls = 0;
            let got = increasing(0.0, 10.0, 1e-13, |x| {
                calls += 1;
                f(x)
            });
            assert!((got - want).abs() <= 1e-13 * want.abs() && calls <= most, "{name}: {got} in {calls}");
            assert!(f(got) >= 0.0, "{name}");
        }
    }

    #[test]
    fn without_a_crossing_the_nearer_end_is_given() {
        assert_eq!(increasing(1.0, 2.0, 1e-12, |x| x), 1.0);
        assert_eq!(increasing(1.0, 2.0, 1e-12, |x| x - 5.0), 2.0);
        assert_eq!(increasing(1.0, 2.0, 1e-12, |_| f64::NAN), 1.0);
        let half = increasing(1.0, 2.0, 1e-12, |x| if x < 1.5 { -1.0 } else { f64::NAN });
        assert!((half - 1.5).abs() < 1e-11, "{half}");
    }
}
