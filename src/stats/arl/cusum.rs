//! Owns the run lengths of CUSUM charts: mean, distribution, quantiles, from any start.
//!
//! The upper chart is `S = max(0, S + z - k)` with an alarm when `S > h`. Its mean run length from `s` satisfies Page's
//! `L(s) = 1 + L(0) P(z <= k - s) + int_0^h L(y) f(y + k - s) dy`.

use super::chain::{Chain, Row};
use super::{Step, nodes, tail};

/// An upper CUSUM chart for the mean of standardised normal values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cusum {
    /// The reference value k, subtracted from every observation: half the shift that is to be found fastest. Any finite number.
    pub reference: f64,
    /// The decision interval h: alarm above it. Between 0 (a one-sided Shewhart chart with limit k) and 4000.
    pub threshold: f64,
}

impl Cusum {
    /// The average run length from `start` (0: a plain chart; h/2: the head start of J. M. Lucas and R. B. Crosier,
    /// Technometrics 24 (1982) 199-205) when the observations' mean is `shift`. `None` outside the domain, for a start outside
    /// `[0, h]`, and where the result exceeds any number.
    #[must_use]
    pub fn arl(&self, shift: f64, start: f64) -> Option<f64> {
        let (chain, start) = self.chain(shift, start)?;
        let cycles = chain.cycles()?;
        Some(cycles.mean_from(&start))
    }

    /// The average run length of this chart together with its mirror image for downward shifts, both from zero:
    /// `1 / (1/upper + 1/lower)`, exact because while one of the two equal charts is at the alarm the other is at zero (K. W.
    /// Kemp, JRSS B 23 (1961) 149-153). `None` as for [`arl`](Self::arl), and for a negative reference value, where it is not so.
    #[must_use]
    pub fn arl_two_sided(&self, shift: f64) -> Option<f64> {
        if self.reference < 0.0 || self.reference.is_nan() {
            return None;
        }
        // A side whose run length exceeds any number never alarms.
        let rate = |shift| self.arl(shift, 0.0).map_or(0.0, |mean| 1.0 / mean);
        let both = rate(shift) + rate(-shift);
        (both > 0.0).then_some(1.0 / both)
    }

    /// P(T <= t) from `start`; `None` as for [`arl`](Self::arl).
    #[must_use]
    pub fn cdf(&self, shift: f64, start: f64, t: u64) -> Option<f64> {
        let (chain, start) = self.chain(shift, start)?;
        tail::cdf(chain.survival(&start), t)
    }

    /// The smallest `t` with P(T <= t) >= `q` from `start`; `None` as for [`arl`](Self::arl), and unless `0 < q < 1`.
    #[must_use]
    pub fn quantile(&self, shift: f64, start: f64, q: f64) -> Option<u64> {
        let (chain, start) = self.chain(shift, start)?;
        tail::quantile(chain.survival(&start), q)
    }

    fn chain(&self, shift: f64, start: f64) -> Option<(Chain, Row)> {
        let (h, drift) = (self.threshold, shift - self.reference);
        if !(drift.is_finite() && (0.0..=h).contains(&start)) {
            return None;
        }
        let nodes = nodes(0.0, h, 1.0, h)?;
        let row = |s: f64| Step::normal(&nodes, 0.0, h, s + drift, 1.0).restarting();
        let chain = Chain { states: nodes.iter().map(|n| row(n.at)).collect(), zero: row(0.0) };
        Some((chain, row(start)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::normal;
    use super::super::siegmund;
    use super::*;

    /// D. Brook and D. A. Evans, Biometrika 59 (1972) 539-549: the values of S cut into `n` cells of equal width, the lowest of
    /// half that around zero; Richardson's extrapolation over `n`, `2n`, `4n` removes the errors of order 2 and 4. Solved
    /// densely with partial pivoting: neither nodes nor elimination are the chart's own.
    fn brook_evans(k: f64, h: f64, shift: f64) -> f64 {
        let coarse = [50, 100, 200].map(|n| cells(k, h, shift, n));
        let first = [coarse[1] + (coarse[1] - coarse[0]) / 3.0, coarse[2] + (coarse[2] - coarse[1]) / 3.0];
        first[1] + (first[1] - first[0]) / 15.0
    }

    fn cells(k: f64, h: f64, shift: f64, n: usize) -> f64 {
        let width = 2.0 * h / (2 * n - 1) as f64;
        let mut a: Vec<Vec<f64>> = (0..n)
            .map(|i| {
                let mean = i as f64 * width + shift - k;
                let edge = |j: usize| normal::cdf((j as f64 - 0.5) * width - mean);
                let cell = |j: usize| if j == 0 { edge(1) } else { edge(j + 1) - edge(j) };
                (0..n).map(|j| f64::from(u8::from(i == j)) - cell(j)).chain([1.0]).collect()
            })
            .collect();
        for i in 0..n {
            let largest = (i..n).max_by(|&p, &q| a[p][i].abs().total_cmp(&a[q][i].abs())).unwrap();
            a.swap(i, largest);
            let (done, rest) = a.split_at_mut(i + 1);
            for row in rest {
                let factor = row[i] / done[i][i];
                row[i..].iter_mut().zip(&done[i][i..]).for_each(|(x, p)| *x -= factor * p);
            }
        }
        let mut x = vec![0.0; n];
        for i in (0..n).rev() {
            x[i] = (a[i][n] - (i + 1..n).map(|j| a[i][j] * x[j]).sum::<f64>()) / a[i][i];
        }
        x[0]
    }

    #[test]
    fn the_integral_equation_agrees_with_a_markov_chain() {
        for (reference, threshold, shift) in
            [(0.5, 4.0, 0.0), (0.5, 5.0, 1.0), (0.25, 8.0, 0.25), (1.0, 2.5, 2.0), (0.25, 0.7, 0.0), (0.0, 3.0, -0.5)]
        {
            let ours = Cusum { reference, threshold }.arl(shift, 0.0).unwrap();
            let chain = brook_evans(reference, threshold, shift);
            assert!((ours / chain - 1.0).abs() < 1e-6, "{reference} {threshold} {shift}: {ours} {chain}");
        }
    }

    /// Table 3 of Lucas and Crosier (1982), two-sided, k = 0.5, as printed there with two or three digits.
    #[test]
    fn printed_tables_come_out() {
        for (h, shift, want, within) in
            [(4.0, 0.0, 168.0, 0.5), (4.0, 1.0, 8.38, 0.005), (5.0, 0.0, 465.0, 0.5), (5.0, 1.0, 10.4, 0.05)]
        {
            let got = Cusum { reference: 0.5, threshold: h }.arl_two_sided(shift).unwrap();
            assert!((got - want).abs() <= within, "{h} {shift}: {got}");
        }
    }

    #[test]
    fn a_threshold_of_zero_and_one_near_it_leave_a_one_sided_shewhart_chart() {
        for threshold in [0.0, 1e-9] {
            let got = Cusum { reference: 1.5, threshold }.arl(0.0, 0.0).unwrap();
            assert!((got * normal::sf(1.5) - 1.0).abs() < 1e-8, "{threshold}: {got}");
        }
    }

    #[test]
    fn long_and_tall_charts_keep_their_digits() {
        // Far out Siegmund's form is good to a few percent, and the mean grows by exp(2 k) a unit of height.
        let tall = |h| Cusum { reference: 0.5, threshold: h }.arl(0.0, 0.0).unwrap();
        for h in [20.0, 40.0, 300.0] {
            assert!((tall(h) / siegmund(0.5, h, 0.0).unwrap() - 1.0).abs() < 0.03, "{h}");
            assert!((tall(h + 1.0) / tall(h) / std::f64::consts::E - 1.0).abs() < 1e-6, "{h}");
        }
    }

    #[test]
    fn a_head_start_shortens_runs_and_the_mean_is_the_sum_of_the_survival_function() {
        let chart = Cusum { reference: 0.5, threshold: 4.0 };
        for (shift, start) in [(0.0, 0.0), (0.0, 2.0), (1.0, 2.0)] {
            let (chain, row) = chart.chain(shift, start).unwrap();
            let sum: f64 = 1.0 + chain.survival(&row).take(12_000).sum::<f64>();
            let mean = chart.arl(shift, start).unwrap();
            assert!((sum / mean - 1.0).abs() < 1e-10, "{shift} {start}: {sum} {mean}");
            assert!(mean <= chart.arl(shift, 0.0).unwrap());
        }
        // From zero the first observation alone alarms with P(z > k + h).
        assert!((chart.cdf(0.0, 0.0, 1).unwrap() - normal::sf(4.5)).abs() < 1e-14);
    }

    #[test]
    fn quantiles_invert_the_distribution() {
        let chart = Cusum { reference: 0.5, threshold: 4.0 };
        for (shift, q) in [(1.0, 0.05), (1.0, 0.5), (1.0, 0.99), (0.0, 0.5), (0.0, 0.999)] {
            let t = chart.quantile(shift, 0.0, q).unwrap();
            let cdf = |t| chart.cdf(shift, 0.0, t).unwrap();
            assert!(cdf(t) >= q - 1e-9 && cdf(t - 1) < q + 1e-9, "{shift} {q}: {t}");
        }
        // In control it is nearly geometric: the median is ln 2 of the mean.
        let median = chart.quantile(0.0, 0.0, 0.5).unwrap() as f64;
        assert!((median / (335.37 * std::f64::consts::LN_2) - 1.0).abs() < 0.02, "{median}");
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        let chart = |reference, threshold| Cusum { reference, threshold };
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(chart(bad, 4.0).arl(0.0, 0.0), None);
            assert_eq!(chart(0.5, bad).arl(0.0, 0.0), None);
            assert_eq!(chart(0.5, 4.0).arl(bad, 0.0), None);
            assert_eq!(chart(0.5, 4.0).arl(0.0, bad), None);
            assert_eq!(chart(bad, 4.0).arl_two_sided(0.0), None);
        }
        assert_eq!(chart(0.5, -1e-9).arl(0.0, 0.0), None);
        assert_eq!(chart(0.5, 5000.0).arl(0.0, 0.0), None);
        assert_eq!(chart(0.5, 4.0).arl(0.0, 4.1), None);
        assert_eq!(chart(0.5, 4.0).arl(-60.0, 0.0), None, "never alarms");
        assert_eq!(chart(-0.5, 4.0).arl_two_sided(0.0), None);
        assert_eq!(chart(0.5, 4.0).quantile(0.0, 0.0, 1.0), None);
    }
}
