//! Owns confidence sequences for the mean of bounded values by predictable mixtures: the weight of each value is chosen from the
//! values before it.
//!
//! With weights `l_t` and error `alpha` split between the sides, the limits after `t` values are
//! `sum(l x) / sum(l) -+ (ln(2/alpha) + sum(cost)) / sum(l)` (Waudby-Smith & Ramdas 2024, theorems 1 and 2). They hold for the
//! mean at all times at once if every value has that mean given the past; if the mean drifts, for the weighted running mean.

use super::super::Interval;
use super::is_level;

/// What both sequences keep: sums, not values.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sums {
    /// ln(2/alpha).
    threshold: f64,
    truncation: f64,
    count: u64,
    weight: f64,
    weighted: f64,
    /// What the lower limit and the upper limit have paid.
    cost: (f64, f64),
    /// The narrowest limits so far, if they are to be kept.
    kept: Option<(f64, f64)>,
}

impl Sums {
    fn new(alpha: f64, truncation: f64) -> Option<Self> {
        let sums = Self {
            threshold: libm::log(2.0 / alpha),
            truncation,
            count: 0,
            weight: 0.0,
            weighted: 0.0,
            cost: (0.0, 0.0),
            kept: None,
        };
        is_level(alpha).then_some(sums)
    }

    /// `sqrt(factor ln(2/alpha) / (t ln(1 + t)))`, truncated: the weight's schedule for the next value.
    fn next_weight(&self, factor: f64) -> f64 {
        let t = (self.count + 1) as f64;
        (factor * self.threshold / (t * libm::log1p(t))).sqrt().min(self.truncation)
    }

    fn add(&mut self, x: f64, weight: f64, cost: (f64, f64)) {
        self.count += 1;
        self.weight += weight;
        self.weighted += weight * x;
        self.cost = (self.cost.0 + cost.0, self.cost.1 + cost.1);
        if let Some((low, high)) = self.kept {
            let now = self.now();
            self.kept = Some((low.max(now.0), high.min(now.1)));
        }
    }

    /// The limits from the sums.
    fn now(&self) -> (f64, f64) {
        if self.count == 0 {
            return (0.0, 1.0);
        }
        let centre = self.weighted / self.weight;
        let low = centre - (self.threshold + self.cost.0) / self.weight;
        let high = centre + (self.threshold + self.cost.1) / self.weight;
        (low.clamp(0.0, 1.0), high.clamp(0.0, 1.0))
    }

    fn limits(&self) -> (f64, f64) {
        self.kept.unwrap_or_else(|| self.now())
    }
}

/// The interval between two limits; `None` where they have crossed.
fn interval((low, high): (f64, f64)) -> Option<Interval> {
    (low <= high).then_some(Interval { low, high })
}

/// The empirical-Bernstein sequence: its width follows the values' own variance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EmpiricalBernstein {
    sums: Sums,
    sum: f64,
    /// Squared distances of the values from the mean up to each, which starts as if one value of 1/2 had been seen.
    squares: f64,
}

impl EmpiricalBernstein {
    /// For an error of `alpha` over all times; weights are at most `truncation` (1/2 is the paper's choice). `None` unless
    /// `0 < alpha < 1` and `0 < truncation < 1`.
    #[must_use]
    pub fn new(alpha: f64, truncation: f64) -> Option<Self> {
        let valid = truncation > 0.0 && truncation < 1.0;
        valid.then_some(Self { sums: Sums::new(alpha, truncation)?, sum: 0.0, squares: 0.0 })
    }

    /// Keeps the narrowest limits seen from now on: valid for a mean that does not change, and then never wider. If the mean does
    /// change, the limits cross in the end.
    #[must_use]
    pub fn intersecting(mut self) -> Self {
        self.sums.kept = Some(self.sums.now());
        self
    }

    /// Takes the next value; false, and nothing changes, unless it is in `[0, 1]`.
    pub fn push(&mut self, x: f64) -> bool {
        if !(0.0..=1.0).contains(&x) {
            return false;
        }
        let before = self.sums.count as f64;
        // The variance so far, as if one value at distance 1/2 from the mean had been seen.
        let variance = (0.25 + self.squares) / (before + 1.0);
        let weight = self.sums.next_weight(2.0 / variance);
        let price = -libm::log1p(-weight) - weight;
        // The prediction that the value is held against. Before the first it is the worse end for each side.
        let (low, high) = if before > 0.0 { (self.sum / before, self.sum / before) } else { (0.0, 1.0) };
        self.sums.add(x, weight, ((x - low) * (x - low) * price, (x - high) * (x - high) * price));
        self.sum += x;
        let mean = (0.5 + self.sum) / (before + 2.0);
        self.squares += (x - mean) * (x - mean);
        true
    }

    /// The lower limit for the mean; 0 before the first value.
    #[must_use]
    pub fn lower(&self) -> f64 {
        self.sums.limits().0
    }

    /// The upper limit for the mean; 1 before the first value.
    #[must_use]
    pub fn upper(&self) -> f64 {
        self.sums.limits().1
    }

    /// Both limits; `None` where limits that are kept have crossed.
    #[must_use]
    pub fn interval(&self) -> Option<Interval> {
        interval(self.sums.limits())
    }

    /// How many values were taken.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.sums.count
    }
}

/// The Hoeffding sequence: its width depends on the number of values alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hoeffding {
    sums: Sums,
}

impl Hoeffding {
    /// For an error of `alpha` over all times; weights are at most `truncation` (1 is the paper's choice). `None` unless
    /// `0 < alpha < 1` and `truncation` is positive.
    #[must_use]
    pub fn new(alpha: f64, truncation: f64) -> Option<Self> {
        let valid = truncation > 0.0;
        valid.then_some(Self { sums: Sums::new(alpha, truncation)? })
    }

    /// Keeps the narrowest limits seen from now on; see [`EmpiricalBernstein::intersecting`].
    #[must_use]
    pub fn intersecting(mut self) -> Self {
        self.sums.kept = Some(self.sums.now());
        self
    }

    /// Takes the next value; false, and nothing changes, unless it is in `[0, 1]`.
    pub fn push(&mut self, x: f64) -> bool {
        if !(0.0..=1.0).contains(&x) {
            return false;
        }
        let weight = self.sums.next_weight(8.0);
        let cost = weight * weight / 8.0;
        self.sums.add(x, weight, (cost, cost));
        true
    }

    /// The lower limit for the mean; 0 before the first value.
    #[must_use]
    pub fn lower(&self) -> f64 {
        self.sums.limits().0
    }

    /// The upper limit for the mean; 1 before the first value.
    #[must_use]
    pub fn upper(&self) -> f64 {
        self.sums.limits().1
    }

    /// Both limits; `None` where limits that are kept have crossed.
    #[must_use]
    pub fn interval(&self) -> Option<Interval> {
        interval(self.sums.limits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test's own generator: splitmix64.
    struct Draws(u64);

    impl Draws {
        fn uniform(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / 9_007_199_254_740_992.0
        }

        /// Beta(2, 5): the second smallest of six uniforms. Mean 2/7.
        fn beta(&mut self) -> f64 {
            let mut six = [0.0; 6].map(|_: f64| self.uniform());
            six.sort_by(f64::total_cmp);
            six[1]
        }
    }

    /// The share of 10 000 paths of `length` values on which limits exclude the mean at some time. `limits` takes a path's state,
    /// which starts as `new`, and the next value.
    fn miscoverage<S: Clone>(
        (length, mean): (usize, f64),
        draw: impl Fn(&mut Draws) -> f64,
        new: S,
        limits: impl Fn(&mut S, f64) -> (f64, f64),
    ) -> f64 {
        let mut draws = Draws(5);
        let mut missed = 0;
        for _ in 0..10_000 {
            let mut state = new.clone();
            missed += u32::from((0..length).any(|_| {
                let (low, high) = limits(&mut state, draw(&mut draws));
                !(low <= mean && mean <= high)
            }));
        }
        f64::from(missed) / 1e4
    }

    fn bernstein(sequence: &mut EmpiricalBernstein, x: f64) -> (f64, f64) {
        assert!(sequence.push(x));
        (sequence.lower(), sequence.upper())
    }

    fn hoeffding(sequence: &mut Hoeffding, x: f64) -> (f64, f64) {
        assert!(sequence.push(x));
        (sequence.lower(), sequence.upper())
    }

    /// The planted fault: mean -+ 1.96 standard errors, looked at after every value from the tenth on.
    fn fixed_time((n, sum, squares): &mut (f64, f64, f64), x: f64) -> (f64, f64) {
        (*n, *sum, *squares) = (*n + 1.0, *sum + x, *squares + x * x);
        let centre = *sum / *n;
        let error = ((*squares / *n - centre * centre) / *n).max(0.0).sqrt();
        if *n < 10.0 { (0.0, 1.0) } else { (centre - 1.96 * error, centre + 1.96 * error) }
    }

    /// Four standard errors of 10 000 paths above the error allowed.
    const LIMIT: f64 = 0.05 + 4.0 * 0.002_18;

    #[test]
    fn the_mean_is_covered_at_all_times_at_once_and_a_fixed_time_interval_would_fail_that_test() {
        let zeros_and_ones = |draws: &mut Draws| f64::from(u8::from(draws.uniform() < 0.1));
        let start = EmpiricalBernstein::new(0.05, 0.5).unwrap();
        let other = Hoeffding::new(0.05, 1.0).unwrap();
        let missed = [
            miscoverage((300, 2.0 / 7.0), Draws::beta, start, bernstein),
            miscoverage((500, 0.1), zeros_and_ones, start, bernstein),
        ];
        assert!(missed.iter().all(|m| *m > 0.0 && *m <= LIMIT), "{missed:?}");
        let missed = [
            miscoverage((300, 2.0 / 7.0), Draws::beta, other, hoeffding),
            miscoverage((500, 0.1), zeros_and_ones, other, hoeffding),
        ];
        assert!(missed.iter().all(|m| *m <= LIMIT), "{missed:?}");
        let planted = [
            miscoverage((300, 2.0 / 7.0), Draws::beta, (0.0, 0.0, 0.0), fixed_time),
            miscoverage((500, 0.1), zeros_and_ones, (0.0, 0.0, 0.0), fixed_time),
        ];
        assert!(planted.iter().all(|m| *m > 0.2), "{planted:?}");
    }

    #[test]
    fn mirrored_values_mirror_the_limits() {
        let mut draws = Draws(3);
        let (mut one, mut other) =
            (EmpiricalBernstein::new(0.05, 0.5).unwrap(), EmpiricalBernstein::new(0.05, 0.5).unwrap());
        for _ in 0..500 {
            let x = draws.beta();
            assert!(one.push(x) && other.push(1.0 - x));
            assert!(
                (one.lower() + other.upper() - 1.0).abs() < 1e-12 && (one.upper() + other.lower() - 1.0).abs() < 1e-12
            );
        }
        assert!(one.upper() - one.lower() < 0.1, "{one:?}");
        assert_eq!(one.count(), 500);
    }

    #[test]
    fn small_variances_narrow_the_bernstein_limits_only() {
        let (mut bernstein, mut hoeffding) =
            (EmpiricalBernstein::new(0.05, 0.5).unwrap(), Hoeffding::new(0.05, 1.0).unwrap());
        for i in 0..2000 {
            let x = 0.5 + 0.01 * f64::from(i % 2);
            assert!(bernstein.push(x) && hoeffding.push(x));
        }
        assert!(bernstein.upper() - bernstein.lower() < 0.02, "{bernstein:?}");
        assert!(hoeffding.upper() - hoeffding.lower() > 0.08, "{hoeffding:?}");
    }

    #[test]
    fn intersections_never_widen_and_cross_when_the_mean_moves() {
        let mut draws = Draws(9);
        let mut kept = EmpiricalBernstein::new(0.05, 0.5).unwrap().intersecting();
        let mut before = (0.0, 1.0);
        for _ in 0..1000 {
            assert!(kept.push(draws.beta()));
            assert!(kept.lower() >= before.0 && kept.upper() <= before.1);
            before = (kept.lower(), kept.upper());
        }
        assert!(kept.interval().is_some_and(|i| i.contains(2.0 / 7.0)));
        (0..5000).for_each(|_| assert!(kept.push(1.0 - draws.beta())));
        assert_eq!(kept.interval(), None);
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        for (alpha, truncation) in [(0.0, 0.5), (1.0, 0.5), (f64::NAN, 0.5), (0.05, 0.0), (0.05, 1.0), (0.05, f64::NAN)]
        {
            assert_eq!(EmpiricalBernstein::new(alpha, truncation), None);
        }
        assert_eq!(Hoeffding::new(0.05, 0.0), None);
        assert_eq!(Hoeffding::new(0.05, f64::NAN), None);
        let mut sequence = EmpiricalBernstein::new(0.05, 0.5).unwrap();
        assert_eq!(sequence.interval(), Some(Interval { low: 0.0, high: 1.0 }));
        let before = sequence;
        for bad in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            assert!(!sequence.push(bad) && !Hoeffding::new(0.05, 1.0).unwrap().push(bad));
        }
        assert_eq!(sequence, before);
        (0..100).for_each(|_| assert!(sequence.push(1.0)));
        assert!(sequence.upper() == 1.0 && sequence.lower() > 0.8, "{sequence:?}");
    }
}
