//! Owns the exact CUSUM of a Bernoulli log-likelihood ratio, for any two rates.
//!
//! In units of what a zero takes away the chart is `S + one` on a one, `max(0, S - 1)` on a zero. Away from zero its value is
//! `i one - j` after `i` ones and `j` zeros, so a cycle from zero back to zero or to the alarm is a walk over pairs `(i, j)`
//! that never returns to a pair: one forward sweep gives the exact distribution of how long a cycle takes and how it ends,
//! whatever the ratio `one` is. Where `one` is an integer, values coincide and the chart lives on integers.

use super::super::root;

/// Values nearer to each other than this are the same value, reached by other sums.
const TIE: f64 = 1e-7;
/// A cycle that is still open with less than this share of the alarms' probability is left out.
const LEFT_OUT: f64 = 1e-15;
/// Pairs visited at most in one sweep.
const PAIRS_MAX: usize = 50_000_000;
/// How closely heights are searched: in nats, which changes the mean run length by as much relatively; and at most in units of
/// a zero, so that integers are told apart.
const NATS: f64 = 1e-4;
const UNITS: f64 = 0.25;
/// The distribution of run lengths is not followed further.
const STEPS_MAX: usize = 1_000_000;

/// A chart: what a one adds and the height of the alarm, in units of what a zero takes away.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chart {
    pub one: f64,
    pub height: f64,
}

/// How a cycle ends.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Zero,
    Alarm,
}

/// What a sweep found.
#[derive(Clone, Copy, Debug)]
struct Cycle {
    /// Mean number of steps.
    length: f64,
    /// Probability of an alarm.
    alarm: f64,
    /// The highest value below the alarm, and the lowest in it.
    gap: (f64, f64),
}

impl Chart {
    /// The mean run length from zero when ones come at this rate.
    pub(super) fn mean(&self, rate: f64) -> Option<f64> {
        let cycle = self.cycle(rate, |_, _, _| {})?;
        Some(cycle.length / cycle.alarm)
    }

    /// The lowest chart whose mean run length at `rate` is at least `target` (to the search's step), its height midway between
    /// the two reachable values that it separates. If even an alarm on the first one takes longer, that. `unit` is what a zero
    /// takes away, in nats.
    pub(super) fn reaching(one: f64, unit: f64, rate: f64, target: f64) -> Option<Self> {
        let excess = |height: f64| Some(libm::log(Self { one, height }.mean(rate)? / target));
        let step = UNITS.min(NATS / unit);
        let mut height = one;
        // Any height up to that of a single one alarms on the first.
        if excess(one)? < 0.0 {
            let (mut low, mut high) = (one, 2.0 * one);
            while excess(high)? < 0.0 {
                (low, high) = (high, 2.0 * high);
            }
            height = root::increasing(low, high, step / high, |h| excess(h).unwrap_or(f64::NAN));
        }
        let (below, above) = Self { one, height }.cycle(rate, |_, _, _| {})?.gap;
        Some(Self { one, height: 0.5 * (below + above) })
    }

    /// P(T > 1), P(T > 2), … from zero: `S(t) = P(cycle > t) + sum_s P(cycle returns to zero at s) S(t - s)`.
    pub(super) fn survival(&self, rate: f64) -> Option<impl Iterator<Item = f64>> {
        // A cycle returns to zero at one time for each number of ones in it, and alarms at any time.
        let (mut returns, mut ends) = (Vec::new(), vec![0.0]);
        self.cycle(rate, |steps, mass, end| {
            if steps <= STEPS_MAX {
                ends.resize(ends.len().max(steps + 1), 0.0);
                ends[steps] += mass;
            }
            if end == End::Zero {
                returns.push((steps, mass));
            }
        })?;
        let (mut open, mut survival) = (1.0, vec![1.0]);
        Some(std::iter::from_fn(move || {
            let t = survival.len();
            if t > STEPS_MAX {
                return None;
            }
            open -= ends.get(t).copied().unwrap_or(0.0);
            let again: f64 = returns.iter().take_while(|(s, _)| *s <= t).map(|(s, mass)| mass * survival[t - s]).sum();
            survival.push(f64::max(open, 0.0) + again);
            survival.last().copied()
        }))
    }

    /// Sweeps one cycle, row by row of equal `i`; calls `end` with steps, probability and kind of every way to end. `None` if no
    /// alarm is ever reached, or only after too many pairs.
    fn cycle(&self, rate: f64, mut end: impl FnMut(usize, f64, End)) -> Option<Cycle> {
        let (one, top, zero) = (self.one, self.height - TIE, 1.0 - rate);
        end(1, zero, End::Zero);
        if one >= top {
            end(1, rate, End::Alarm);
            return (rate > 0.0).then_some(Cycle { length: 1.0, alarm: rate, gap: (0.0, one) });
        }
        let mut cycle = Cycle { length: 1.0, alarm: 0.0, gap: (0.0, f64::INFINITY) };
        // Probabilities to arrive at the pairs (i, first), (i, first + 1), …
        let (mut arrivals, mut first) = (vec![rate], 0_usize);
        let (mut i, mut pairs) = (1_usize, 0);
        while !arrivals.is_empty() {
            let value = i as f64 * one;
            // The last j whose value is above zero.
            let last = (libm::ceil(value - TIE) as usize).saturating_sub(1).max(first);
            pairs = last.saturating_sub(first).saturating_add(pairs + 1);
            if pairs > PAIRS_MAX {
                return None;
            }
            let (mut mass, mut next, mut open) = (0.0, Vec::with_capacity(last + 1 - first), 0.0);
            let mut next_first = first;
            for j in first..=last {
                mass = mass * zero + arrivals.get(j - first).copied().unwrap_or(0.0);
                cycle.length += mass;
                let (here, then) = (value - j as f64, value - j as f64 + one);
                cycle.gap.0 = cycle.gap.0.max(here);
                if then >= top {
                    cycle.alarm += mass * rate;
                    cycle.gap.1 = cycle.gap.1.min(then);
                    end(i + j + 1, mass * rate, End::Alarm);
                    next_first = j + 1;
                } else {
                    next.push(mass * rate);
                    open += mass * rate;
                }
            }
            end(i + last + 1, mass * zero, End::Zero);
            (arrivals, first, i) = (next, next_first, i + 1);
            if open <= LEFT_OUT * cycle.alarm {
                break;
            }
        }
        (cycle.alarm > 0.0).then_some(cycle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The integer chart solved by repeating its equation for the mean until it stands still.
    fn integer_chart(up: usize, height: usize, rate: f64) -> f64 {
        let mut mean = vec![0.0_f64; height];
        loop {
            let next: Vec<f64> = (0..height)
                .map(|s| {
                    let after_one = mean.get(s + up).copied().unwrap_or(0.0);
                    1.0 + rate * after_one + (1.0 - rate) * mean[s.saturating_sub(1)]
                })
                .collect();
            let still = (next[0] - mean[0]).abs() < 1e-13 * next[0];
            mean = next;
            if still {
                return mean[0];
            }
        }
    }

    #[test]
    fn integer_charts_agree_with_their_linear_equations() {
        for (up, height, rate) in [(3, 7, 0.2), (3, 3, 0.2), (4, 20, 0.25), (13, 30, 0.05), (1, 4, 0.5)] {
            let want = integer_chart(up, height, rate);
            let got = Chart { one: up as f64, height: height as f64 }.mean(rate).unwrap();
            assert!((got / want - 1.0).abs() < 1e-9, "{up} {height} {rate}: {got} {want}");
        }
    }

    /// A ratio of 7/2 is an integer chart in half units, where a zero takes two away; the floor makes odd values even.
    #[test]
    fn a_ratio_that_is_no_integer_is_exact_too() {
        let (up, down, height, rate) = (7_usize, 2, 23, 0.2);
        let mut mean = vec![0.0_f64; height];
        for _ in 0..20_000 {
            mean = (0..height)
                .map(|s| {
                    let after_one = mean.get(s + up).copied().unwrap_or(0.0);
                    1.0 + rate * after_one + (1.0 - rate) * mean[s.saturating_sub(down)]
                })
                .collect();
        }
        let got = Chart { one: 3.5, height: 11.5 }.mean(rate).unwrap();
        assert!((got / mean[0] - 1.0).abs() < 1e-9, "{got} {}", mean[0]);
    }

    #[test]
    fn an_alarm_on_the_first_one_is_geometric() {
        for rate in [0.001, 0.3] {
            let chart = Chart { one: 40.0, height: 20.0 };
            assert!((chart.mean(rate).unwrap() * rate - 1.0).abs() < 1e-14);
            let survival: Vec<f64> = chart.survival(rate).unwrap().take(50).collect();
            assert!(
                survival.iter().enumerate().all(|(t, s)| (s - libm::pow(1.0 - rate, (t + 1) as f64)).abs() < 1e-13)
            );
        }
    }

    #[test]
    fn the_mean_is_the_sum_of_the_survival_function() {
        let chart = Chart { one: 5.3, height: 13.0 };
        for rate in [0.1, 0.3] {
            let sum: f64 = 1.0 + chart.survival(rate).unwrap().take(20_000).sum::<f64>();
            assert!((sum / chart.mean(rate).unwrap() - 1.0).abs() < 1e-9, "{rate}: {sum}");
        }
    }

    #[test]
    fn the_lowest_chart_that_reaches_a_target_is_found() {
        let cases = [
            (13.0, 0.05, 0.05, 1000.0),
            (13.37, 0.05, 0.05, 1000.0),
            (0.4, 0.5, 0.7, 500.0),
            (402.0, 0.001, 0.001, 3000.0),
        ];
        for (one, unit, rate, target) in cases {
            let chart = Chart::reaching(one, unit, rate, target).unwrap();
            let (below, _) = chart.cycle(rate, |_, _, _| {}).unwrap().gap;
            assert!(chart.mean(rate).unwrap() >= target, "{one}");
            let lower = Chart { one, height: below - UNITS.min(NATS / unit) };
            assert!(lower.mean(rate).unwrap() < target, "{one}: {chart:?}");
        }
        // One over the rate is the floor.
        assert_eq!(Chart::reaching(40.0, 0.01, 0.01, 5.0).unwrap().height, 20.0);
    }

    #[test]
    fn without_ones_there_is_no_alarm() {
        assert!(Chart { one: 2.0, height: 1.0 }.mean(0.0).is_none());
        assert!(Chart { one: 2.0, height: 9.0 }.mean(0.0).is_none());
    }
}
