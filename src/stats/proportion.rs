//! Owns shares and rates with their intervals: Wilson, Clopper-Pearson, Jeffreys, Agresti-Coull; differences by Newcombe and by
//! the score test; Poisson rates. Wald's are here to show what they get wrong.
//!
//! All are two-sided with the confidence given (0.95: 2.5 % on each side) and none but Wald's shrinks to a point at zero
//! events. `None` for no trials, more events than trials, or unless `0 < confidence < 1`.

use serde::{Deserialize, Serialize};

use super::special::{beta_inc_inverse, beta_inc_upper_inverse, chi_squared_upper};
use super::{Interval, two_sided_z};

/// How many of how many. Counts add up over scrapes and replicas by [`Share::merge`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// How many were so.
    pub events: u64,
    /// Of how many.
    pub trials: u64,
}

impl Share {
    /// `events` of `trials`.
    #[must_use]
    pub const fn new(events: u64, trials: u64) -> Self {
        Self { events, trials }
    }

    /// Takes one trial in.
    pub fn add(&mut self, event: bool) {
        self.events += u64::from(event);
        self.trials += 1;
    }

    /// Takes in all that `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        self.events += other.events;
        self.trials += other.trials;
    }

    /// The share, in `[0, 1]`; `None` for no trials or more events than trials.
    #[must_use]
    pub fn value(&self) -> Option<f64> {
        (self.trials > 0 && self.events <= self.trials).then(|| self.events as f64 / self.trials as f64)
    }

    /// [`wilson`]'s interval.
    #[must_use]
    pub fn interval(&self, confidence: f64) -> Option<Interval> {
        wilson(self.events, self.trials, confidence)
    }

    /// [`newcombe`]'s interval for this share minus another, independent one.
    #[must_use]
    pub fn minus(&self, other: &Self, confidence: f64) -> Option<Interval> {
        newcombe((self.events, self.trials), (other.events, other.trials), confidence)
    }

    /// The same from the limits of [`clopper_pearson`], each at half the doubt: wide, but it holds at least as often as it says
    /// for any number of trials.
    #[must_use]
    pub fn minus_exactly(&self, other: &Self, confidence: f64) -> Option<Interval> {
        let each = 1.0 - (1.0 - confidence) / 2.0;
        let one = clopper_pearson(self.events, self.trials, each)?;
        let two = clopper_pearson(other.events, other.trials, each)?;
        Some(Interval { low: one.low - two.high, high: one.high - two.low })
    }
}

/// Wilson's score interval for `events` of `trials` (E. B. Wilson, JASA 22 (1927) 209-212): the one to show, its coverage
/// is near the nominal on average.
#[must_use]
pub fn wilson(events: u64, trials: u64, confidence: f64) -> Option<Interval> {
    let z = two_sided_z(confidence)?;
    if trials == 0 || events > trials {
        return None;
    }
    let Interval { low, high } = score(events as f64 / trials as f64, trials as f64, z);
    Some(Interval { low: if events == 0 { 0.0 } else { low }, high: if events == trials { 1.0 } else { high } })
}

/// All shares that the observed share `p` of `n` trials is within `z` standard errors of.
pub(super) fn score(p: f64, n: f64, z: f64) -> Interval {
    let z2 = z * z;
    let centre = p + z2 / (2.0 * n);
    let spread = z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    Interval { low: (centre - spread) / scale, high: (centre + spread) / scale }
}

/// The exact interval of C. J. Clopper and E. S. Pearson (Biometrika 26 (1934) 404-413), by beta quantiles: covers at least
/// as often as it says, for claims that must hold.
#[must_use]
pub fn clopper_pearson(events: u64, trials: u64, confidence: f64) -> Option<Interval> {
    if trials == 0 || events > trials || !(confidence > 0.0 && confidence < 1.0) {
        return None;
    }
    let (k, n, tail) = (events as f64, trials as f64, (1.0 - confidence) / 2.0);
    let low = if events == 0 { 0.0 } else { beta_inc_inverse(k, n - k + 1.0, tail)? };
    let high = if events == trials { 1.0 } else { beta_inc_upper_inverse(k + 1.0, n - k, tail)? };
    Some(Interval { low, high })
}

/// The equal-tailed interval of the posterior from Jeffreys' prior, Beta(1/2, 1/2), without the customary exception at the
/// borders (L. D. Brown, T. T. Cai & A. DasGupta, Statistical Science 16 (2001) 101-133, section 3.1.3): at zero events it lies
/// above 0, and at `trials` events below 1.
#[must_use]
pub fn jeffreys(events: u64, trials: u64, confidence: f64) -> Option<Interval> {
    if trials == 0 || events > trials || !(confidence > 0.0 && confidence < 1.0) {
        return None;
    }
    let (a, b, tail) = (events as f64 + 0.5, (trials - events) as f64 + 0.5, (1.0 - confidence) / 2.0);
    Some(Interval { low: beta_inc_inverse(a, b, tail)?, high: beta_inc_upper_inverse(a, b, tail)? })
}

/// Wald's interval around Wilson's centre, clipped to `[0, 1]` (A. Agresti & B. A. Coull, The American Statistician 52 (1998)
/// 119-126): never narrower than Wilson's.
#[must_use]
pub fn agresti_coull(events: u64, trials: u64, confidence: f64) -> Option<Interval> {
    let z = two_sided_z(confidence)?;
    if trials == 0 || events > trials {
        return None;
    }
    let n = trials as f64 + z * z;
    Some(around((events as f64 + z * z / 2.0) / n, n, z))
}

/// The textbook interval, estimate ± z standard errors, clipped to `[0, 1]`. For comparison only: it is a point at zero events
/// and covers too seldom whenever few events are expected.
#[must_use]
pub fn wald(events: u64, trials: u64, confidence: f64) -> Option<Interval> {
    let z = two_sided_z(confidence)?;
    let p = Share::new(events, trials).value()?;
    Some(around(p, trials as f64, z))
}

fn around(p: f64, n: f64, z: f64) -> Interval {
    let spread = z * (p * (1.0 - p) / n).sqrt();
    Interval { low: (p - spread).max(0.0), high: (p + spread).min(1.0) }
}

/// Newcombe's hybrid score interval for the difference of two independent shares, first minus second (R. G. Newcombe,
/// Statistics in Medicine 17 (1998) 873-890, method 10).
#[must_use]
pub fn newcombe(first: (u64, u64), second: (u64, u64), confidence: f64) -> Option<Interval> {
    let estimate =
        |(events, trials): (u64, u64)| Some((Share::new(events, trials).value()?, wilson(events, trials, confidence)?));
    Some(Interval::of_difference(estimate(first)?, estimate(second)?))
}

/// The textbook interval for a difference, first minus second. For comparison only, like [`wald`].
#[must_use]
pub fn wald_difference(first: (u64, u64), second: (u64, u64), confidence: f64) -> Option<Interval> {
    let z = two_sided_z(confidence)?;
    let (p1, p2) = (Share::new(first.0, first.1).value()?, Share::new(second.0, second.1).value()?);
    let spread = z * (p1 * (1.0 - p1) / first.1 as f64 + p2 * (1.0 - p2) / second.1 as f64).sqrt();
    Some(Interval { low: p1 - p2 - spread, high: p1 - p2 + spread })
}

/// All differences of two independent shares, first minus second, that the score test does not reject, its variance taken at
/// the likeliest shares with that difference, times N/(N-1) for N trials in all (O. Miettinen & M. Nurminen, Statistics in
/// Medicine 4 (1985) 213-226). Nearer to the nominal coverage than [`newcombe`] with few trials, at some 10 000 divisions.
///
/// The likeliest shares are found from the score equation itself, which is monotone, not from the root of its cubic: that
/// loses half the digits where roots meet (at zero events), and in statsmodels up to 0.15.0 one of its coefficients is wrong
/// (statsmodels issue 10269).
#[must_use]
pub fn score_difference(first: (u64, u64), second: (u64, u64), confidence: f64) -> Option<Interval> {
    let z = two_sided_z(confidence)?;
    let observed = Share::new(first.0, first.1).value()? - Share::new(second.0, second.1).value()?;
    // The score falls as the difference supposed grows.
    let low = bisect(-1.0, observed, |difference| difference_score(first, second, observed, difference) > z);
    let high = bisect(observed, 1.0, |difference| difference_score(first, second, observed, difference) > -z);
    Some(Interval { low, high })
}

/// How many standard errors the observed difference lies above a supposed one.
fn difference_score(first: (u64, u64), second: (u64, u64), observed: f64, supposed: f64) -> f64 {
    let counts = [first.0, first.1 - first.0, second.0, second.1 - second.0];
    let [hits1, misses1, hits2, misses2] = counts.map(|count| count as f64);
    let pull = |count: f64, p: f64| if count == 0.0 { 0.0 } else { count / p.max(0.0) };
    // The log-likelihood's slope over the second share: falling, so its zero is where it stops to be positive.
    let rises = |p2: f64| {
        let p1 = p2 + supposed;
        pull(hits1, p1) + pull(hits2, p2) > pull(misses1, 1.0 - p1) + pull(misses2, 1.0 - p2)
    };
    let p2 = bisect((-supposed).max(0.0), (1.0 - supposed).min(1.0), rises);
    let p1 = (p2 + supposed).clamp(0.0, 1.0);
    let (n1, n2) = (first.1 as f64, second.1 as f64);
    let variance = (p1 * (1.0 - p1) / n1 + p2 * (1.0 - p2) / n2) * (n1 + n2) / (n1 + n2 - 1.0);
    let away = observed - supposed;
    if away == 0.0 { 0.0 } else { away / variance.sqrt() }
}

/// Where `holds`, true below, turns false: to 2^-64 of the bracket.
fn bisect(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..64 {
        let middle = 0.5 * (low + high);
        if holds(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// The exact interval for a rate: `events` seen over `exposure` (any unit, the result is per that unit). F. Garwood,
/// Biometrika 28 (1936) 437-442. `None` unless the exposure is positive and finite.
#[must_use]
pub fn poisson_rate(events: u64, exposure: f64, confidence: f64) -> Option<Interval> {
    if !(exposure > 0.0 && exposure.is_finite() && confidence > 0.0 && confidence < 1.0) {
        return None;
    }
    let tail = (1.0 - confidence) / 2.0;
    let k = events as f64;
    let low = if events == 0 { 0.0 } else { chi_squared_upper(1.0 - tail, 2.0 * k)? / 2.0 };
    let high = chi_squared_upper(tail, 2.0 * k + 2.0)? / 2.0;
    Some(Interval { low: low / exposure, high: high / exposure })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn odd_inputs_have_the_stated_results() {
        for interval in [wilson, clopper_pearson, agresti_coull, wald, jeffreys] {
            assert_eq!(interval(0, 0, 0.95), None);
            assert_eq!(interval(3, 2, 0.95), None);
            assert_eq!(interval(1, 2, f64::NAN), None);
            assert_eq!(interval(1, 2, 1.0), None);
        }
        for interval in [wilson, clopper_pearson, agresti_coull, wald] {
            assert_eq!(interval(0, 9, 0.95).unwrap().low, 0.0);
            assert_eq!(interval(9, 9, 0.95).unwrap().high, 1.0);
        }
        for difference in [newcombe, wald_difference, score_difference] {
            assert_eq!(difference((0, 0), (1, 2), 0.95), None);
            assert_eq!(difference((1, 2), (3, 2), 0.95), None);
            assert_eq!(difference((1, 2), (1, 2), 0.0), None);
        }
        assert_eq!(Share::default().value(), None);
        assert_eq!(Share::new(3, 2).value(), None);
        assert_eq!(poisson_rate(1, 0.0, 0.95), None);
        assert_eq!(poisson_rate(1, f64::INFINITY, 0.95), None);
    }

    #[test]
    fn exact_intervals_have_their_closed_forms_at_zero_events() {
        // (1 - high)^n = tail; exp(-high) = tail.
        let high = clopper_pearson(0, 200, 0.9).unwrap().high;
        assert!((high - 0.014_867_039_231_272_083).abs() < 1e-14, "{high}");
        let high = poisson_rate(0, 2.0, 0.95).unwrap().high;
        assert!((high - 3.688_879_454_113_936 / 2.0).abs() < 1e-13, "{high}");
    }

    /// A published value, and the score equation solved with 50 digits (mpmath 1.4.1: shares and limits by bisection). For
    /// 56/70 and 48/80 R. G. Newcombe (Statistics in Medicine 17 (1998) 873-890, table II, method 6) prints 0.0528 to 0.3382.
    #[test]
    fn the_score_limits_are_those_of_miettinen_and_nurminen() {
        let known = [
            ((56, 70), (48, 80), 0.052_829_713_245_844_6, 0.338_172_940_015_868_34),
            ((7, 34), (1, 34), 0.027_041_626_583_446_762, 0.345_291_216_966_223_8),
            ((1, 50), (0, 50), -0.052_756_252_917_521_805, 0.105_621_346_699_433_77),
            ((5, 100), (12, 100), -0.155_045_781_498_480_17, 0.008_171_749_054_832_355),
            ((0, 20), (0, 30), -0.115_562_281_469_508_35, 0.163_874_563_015_800_25),
            ((20, 20), (30, 30), -0.163_874_563_015_800_25, 0.115_562_281_469_508_35),
            ((0, 10), (12, 12), -1.0, -0.690_721_962_150_306),
            ((10, 10), (3, 10), 0.334_106_980_011_318_44, 0.894_964_921_005_107_6),
            ((2, 100000), (0, 5000), -0.000_747_709_982_633_439_8, 7.292_723_310_784_67e-5),
        ];
        for (first, second, low, high) in known {
            let got = score_difference(first, second, 0.95).unwrap();
            let off = (got.low - low).abs().max((got.high - high).abs());
            assert!(off < 1e-15, "{first:?} {second:?}: {got:?}, off by {off:e}");
        }
    }

    proptest! {
        #[test]
        fn intervals_contain_the_share(trials in 1_u64..400, part in 0.0..=1.0) {
            let events = (part * trials as f64) as u64;
            let share = Share::new(events, trials).value().unwrap();
            for interval in [wilson, clopper_pearson, agresti_coull, wald] {
                let got = interval(events, trials, 0.9).unwrap();
                prop_assert!(got.contains(share) && got.low >= 0.0 && got.high <= 1.0, "{got:?}");
            }
            let jeffreys = jeffreys(events, trials, 0.9).unwrap();
            prop_assert!(events == 0 || events == trials || jeffreys.contains(share), "{jeffreys:?}");
            let wider = agresti_coull(events, trials, 0.9).unwrap();
            let narrower = wilson(events, trials, 0.9).unwrap();
            prop_assert!(wider.low <= narrower.low + 1e-15 && narrower.high <= wider.high + 1e-15);
        }

        #[test]
        fn intervals_contain_the_difference_and_change_sides_with_it(
            n1 in 1_u64..60, n2 in 1_u64..60, part1 in 0.0..=1.0, part2 in 0.0..=1.0,
        ) {
            let first = ((part1 * n1 as f64) as u64, n1);
            let second = ((part2 * n2 as f64) as u64, n2);
            let difference = first.0 as f64 / n1 as f64 - second.0 as f64 / n2 as f64;
            for interval in [newcombe, score_difference, wald_difference] {
                let got = interval(first, second, 0.95).unwrap();
                prop_assert!(got.low <= difference + 1e-15 && difference <= got.high + 1e-15, "{got:?}");
                let other = interval(second, first, 0.95).unwrap();
                prop_assert!((got.low + other.high).abs() < 1e-13 && (got.high + other.low).abs() < 1e-13);
            }
        }

        #[test]
        fn merging_counts_equals_counting_all(a in prop::collection::vec(any::<bool>(), 0..50), at in 0_usize..50) {
            let count = |rows: &[bool]| rows.iter().fold(Share::default(), |mut share, &row| { share.add(row); share });
            let (one, two) = a.split_at(at.min(a.len()));
            let mut merged = count(one);
            merged.merge(&count(two));
            prop_assert_eq!(merged, count(&a));
        }
    }
}
