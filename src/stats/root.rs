//! Owns root finding in a bracket, for functions that increase.

/// Steps until a bracket of any width has shrunk to two neighbouring numbers.
const STEPS_MAX: usize = 200;

/// The root of an increasing function in `[low, high]`, to `tolerance` relatively or to neighbouring numbers. Where `f` has no
/// root there, the end nearer to it; a NaN counts as positive, so that the search moves down.
///
/// Each step is the secant's between the ends of the bracket (with Illinois' halving of the end that stays: M. Dowell and
/// P. Jarratt, BIT 11 (1971) 168-174), and a bisection whenever three secant steps have not halved the bracket.
pub(crate) fn increasing(mut low: f64, mut high: f64, tolerance: f64, mut f: impl FnMut(f64) -> f64) -> f64 {
    let (mut below, mut above) = (f(low), f(high));
    if below >= 0.0 || below.is_nan() {
        return low;
    }
    if above <= 0.0 {
        return high;
    }
    let (mut width, mut stayed) = (high - low, 0_i32);
    for step in 0..STEPS_MAX {
        if high - low <= tolerance * low.abs().max(high.abs()) {
            break;
        }
        let secant = high - above * (high - low) / (above - below);
        let bisect = step % 3 == 2 && high - low > 0.5 * width;
        if step % 3 == 2 {
            width = high - low;
        }
        let x = if bisect || !(secant > low && secant < high) { 0.5 * (low + high) } else { secant };
        if x <= low || x >= high {
            break;
        }
        let value = f(x);
        if value == 0.0 {
            return x;
        }
        if value < 0.0 {
            (low, below) = (x, value);
            above *= if stayed > 0 { 0.5 } else { 1.0 };
            stayed = stayed.max(0) + 1;
        } else {
            (high, above) = (x, value);
            below *= if stayed < 0 { 0.5 } else { 1.0 };
            stayed = stayed.min(0) - 1;
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_found_in_few_steps_of_smooth_steep_and_stepped_functions() {
        let smooth = |x: f64| libm::exp(x) - 2.0;
        let cubic = |x: f64| x * x * x - 1e-9;
        let steep = |x: f64| libm::exp(9.0 * x) - 1e30;
        let step = |x: f64| if x < 1.75 { -1.0 } else { 5.0 };
        let cases: [(&str, &dyn Fn(f64) -> f64, f64, usize); 4] = [
            ("smooth", &smooth, std::f64::consts::LN_2, 20),
            ("cubic", &cubic, 1e-3, 80),
            ("steep", &steep, 30.0 * std::f64::consts::LN_10 / 9.0, 120),
            ("step", &step, 1.75, 120),
        ];
        for (name, f, want, most) in cases {
            let mut calls = 0;
            let got = increasing(0.0, 10.0, 1e-14, |x| {
                calls += 1;
                f(x)
            });
            assert!((got - want).abs() <= 1e-13 * want.abs().max(1e-3) && calls <= most, "{name}: {got} in {calls}");
        }
    }

    #[test]
    fn without_a_root_the_nearer_end_is_given() {
        assert_eq!(increasing(1.0, 2.0, 1e-12, |x| x), 1.0);
        assert_eq!(increasing(1.0, 2.0, 1e-12, |x| x - 5.0), 2.0);
        assert_eq!(increasing(1.0, 2.0, 1e-12, |_| f64::NAN), 1.0);
    }
}
