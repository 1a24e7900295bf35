//! Owns comparisons between groups of users: how far apart their rates of a decision are, and what of that is certain.
//!
//! The point measures are those of fairlearn (0.15): the difference and the ratio of the lowest to the highest rate, for the
//! share predicted yes (demographic parity: A. Agarwal et al., ICML 2018) or for the true and false positive rates (equalized
//! odds, equal opportunity: M. Hardt, E. Price & N. Srebro, NIPS 2016). Taken alone they decide nothing: the extremes of several
//! small groups lie far apart by chance. So groups with too few rows are left out, and the interval is one for the spread of
//! the *true* rates, whichever groups are the extreme ones.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Interval;
use super::classification::Confusion;
use super::proportion::Share;

/// Trials below which a group is left out, unless declared: at 30 a 95 % interval for a share is still up to 0.34 wide.
pub const TRIALS_MIN: u64 = 30;

/// Classification counts by group. Counts of scrapes add up by [`GroupCounts::merge`]. Memory: 40 bytes a group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupCounts {
    groups: BTreeMap<u32, Confusion>,
}

impl GroupCounts {
    /// Takes one row in.
    pub fn add(&mut self, group: u32, predicted: bool, actual: bool) {
        self.groups.entry(group).or_default().add(predicted, actual);
    }

    /// Takes in all that `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        for (&group, counts) in &other.groups {
            self.groups.entry(group).or_default().merge(counts);
        }
    }

    /// The counts of each group.
    #[must_use]
    pub fn groups(&self) -> &BTreeMap<u32, Confusion> {
        &self.groups
    }

    /// Demographic parity: how the shares predicted yes differ.
    #[must_use]
    pub fn selection(&self, trials_min: u64) -> Option<Spread> {
        Spread::of(self.shares(Confusion::selection_rate), trials_min)
    }

    /// Equal opportunity: how the true positive rates differ.
    #[must_use]
    pub fn true_positive(&self, trials_min: u64) -> Option<Spread> {
        Spread::of(self.shares(Confusion::recall), trials_min)
    }

    /// How the false positive rates differ.
    #[must_use]
    pub fn false_positive(&self, trials_min: u64) -> Option<Spread> {
        Spread::of(self.shares(Confusion::false_positive_rate), trials_min)
    }

    /// Equalized odds: the true and the false positive rates together.
    #[must_use]
    pub fn equalized_odds(&self, trials_min: u64) -> Option<EqualizedOdds> {
        Some(EqualizedOdds {
            true_positive: self.true_positive(trials_min)?,
            false_positive: self.false_positive(trials_min)?,
        })
    }

    fn shares(&self, share: impl Fn(&Confusion) -> Share) -> impl Iterator<Item = (u32, Share)> {
        self.groups.iter().map(move |(&group, counts)| (group, share(counts)))
    }
}

/// How one rate differs between groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// The groups compared, lowest rate first; two or more.
    pub compared: Vec<(u32, Share)>,
    /// Groups left out for too few trials.
    pub left_out: Vec<u32>,
}

impl Spread {
    /// Compares groups by a share of each; those with fewer than `trials_min` trials (or none) are left out. `None` if fewer
    /// than two remain.
    #[must_use]
    pub fn of(shares: impl IntoIterator<Item = (u32, Share)>, trials_min: u64) -> Option<Self> {
        let enough = |(_, share): &(u32, Share)| share.trials >= trials_min && share.value().is_some();
        let (mut compared, left_out): (Vec<_>, Vec<_>) = shares.into_iter().partition(enough);
        compared.sort_by(|a, b| rate(a).total_cmp(&rate(b)));
        let left_out = left_out.into_iter().map(|(group, _)| group).collect();
        (compared.len() >= 2).then_some(Self { compared, left_out })
    }

    fn extremes(&self) -> (f64, f64) {
        (self.compared.first().map_or(f64::NAN, rate), self.compared.last().map_or(f64::NAN, rate))
    }

    /// The highest rate minus the lowest.
    #[must_use]
    pub fn difference(&self) -> f64 {
        let (lowest, highest) = self.extremes();
        highest - lowest
    }

    /// The lowest rate over the highest; `None` if all are zero.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let (lowest, highest) = self.extremes();
        (highest > 0.0).then(|| lowest / highest)
    }

    /// The interval for the difference between the highest and the lowest true rate. Newcombe's intervals for all pairs, at a
    /// confidence that makes them hold together (Bonferroni), bound the largest of the differences from below by the largest
    /// lower limit and from above by the largest upper one. With two groups it is Newcombe's for the size of the difference.
    /// `None` unless `0 < confidence < 1`.
    #[must_use]
    pub fn interval(&self, confidence: f64) -> Option<Interval> {
        self.interval_by(confidence, Share::minus)
    }

    /// The same from another interval for the difference of two shares, such as [`Share::minus_exactly`].
    #[must_use]
    pub fn interval_by(
        &self,
        confidence: f64,
        minus: impl Fn(&Share, &Share, f64) -> Option<Interval>,
    ) -> Option<Interval> {
        if !(confidence > 0.0 && confidence < 1.0) {
            return None;
        }
        let groups = self.compared.len() as f64;
        let each = 1.0 - (1.0 - confidence) / (groups * (groups - 1.0) / 2.0);
        let mut spread = Interval { low: 0.0, high: 0.0 };
        for (i, (_, lower)) in self.compared.iter().enumerate() {
            for (_, upper) in &self.compared[i + 1..] {
                let Interval { low, high } = minus(upper, lower, each)?;
                // The true difference of the pair may have the other sign.
                spread.low = spread.low.max(low).max(-high);
                spread.high = spread.high.max(high).max(-low);
            }
        }
        Some(spread)
    }
}

fn rate((_, share): &(u32, Share)) -> f64 {
    share.value().unwrap_or(f64::NAN)
}

/// How true and false positive rates differ between groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EqualizedOdds {
    /// Of the true positive rates.
    pub true_positive: Spread,
    /// Of the false positive rates.
    pub false_positive: Spread,
}

impl EqualizedOdds {
    /// The larger of the two differences.
    #[must_use]
    pub fn difference(&self) -> f64 {
        self.true_positive.difference().max(self.false_positive.difference())
    }

    /// The smaller of the two ratios. If no group has a false positive, they are equal in that, and the ratio of the true ones
    /// counts; `None` if no group has a true positive.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        Some(self.true_positive.ratio()?.min(self.false_positive.ratio().unwrap_or(1.0)))
    }

    /// The interval for the larger of the two true differences, each at half the doubt. `None` unless `0 < confidence < 1`.
    #[must_use]
    pub fn interval(&self, confidence: f64) -> Option<Interval> {
        if !(confidence > 0.0 && confidence < 1.0) {
            return None;
        }
        let each = 1.0 - (1.0 - confidence) / 2.0;
        let (one, two) = (self.true_positive.interval(each)?, self.false_positive.interval(each)?);
        Some(Interval { low: one.low.max(two.low), high: one.high.max(two.high) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn count(rows: &[(u32, bool, bool)]) -> GroupCounts {
        let mut counts = GroupCounts::default();
        rows.iter().for_each(|&(group, predicted, actual)| counts.add(group, predicted, actual));
        counts
    }

    proptest! {
        #[test]
        fn merging_equals_counting_all(
            rows in prop::collection::vec((0_u32..4, any::<bool>(), any::<bool>()), 0..80), at in 0_usize..80,
        ) {
            let (one, two) = rows.split_at(at.min(rows.len()));
            let mut merged = count(one);
            merged.merge(&count(two));
            prop_assert_eq!(merged, count(&rows));
        }

        #[test]
        fn intervals_contain_the_difference(
            rows in prop::collection::vec((0_u32..4, any::<bool>(), any::<bool>()), 0..80), trials_min in 0_u64..20,
        ) {
            let counts = count(&rows);
            if let Some(odds) = counts.equalized_odds(trials_min) {
                prop_assert!(odds.interval(0.95).unwrap().contains(odds.difference()));
            }
            if let Some(spread) = counts.selection(trials_min) {
                let interval = spread.interval(0.9).unwrap();
                prop_assert!(interval.contains(spread.difference()) && interval.low >= 0.0 && interval.high <= 1.0);
                prop_assert!(spread.compared.iter().all(|(_, share)| share.trials >= trials_min));
                prop_assert!(spread.ratio().is_none_or(|ratio| (0.0..=1.0).contains(&ratio)));
            }
        }
    }

    #[test]
    fn three_users_decide_nothing() {
        let large = [(1, Share::new(100, 200)), (2, Share::new(104, 200))];
        let with_few = [large[0], large[1], (3, Share::new(0, 3))];
        let all = Spread::of(with_few, 1).unwrap();
        assert_eq!((all.compared[0].0, all.difference()), (3, 0.52));
        assert_eq!(all.interval(0.95).unwrap().low, 0.0);
        let spread = Spread::of(with_few, TRIALS_MIN).unwrap();
        assert_eq!((spread.left_out.as_slice(), spread.difference()), ([3].as_slice(), 0.020_000_000_000_000_018));
        assert_eq!(Spread::of([large[0], with_few[2]], TRIALS_MIN), None);
    }

    /// The extreme group is small; what is certain is the difference of two large ones.
    #[test]
    fn a_certain_difference_need_not_be_the_widest() {
        let spread =
            Spread::of([(1, Share::new(0, 4)), (2, Share::new(300, 1000)), (3, Share::new(500, 1000))], 1).unwrap();
        assert_eq!(spread.difference(), 0.5);
        let low = spread.interval(0.95).unwrap().low;
        let pair = Share::new(500, 1000).minus(&Share::new(300, 1000), 1.0 - 0.05 / 3.0).unwrap();
        assert!(low == pair.low && low > 0.14, "{low}");
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        assert_eq!(GroupCounts::default().selection(0), None);
        assert_eq!(count(&[(1, true, true)]).selection(0), None);
        // Two groups, one of which has nobody who is yes.
        let counts = count(&[(1, true, true), (2, false, false), (1, false, false)]);
        assert_eq!((counts.true_positive(0), counts.equalized_odds(0)), (None, None));
        let none_chosen = Spread::of([(1, Share::new(0, 9)), (2, Share::new(0, 5))], 0).unwrap();
        assert_eq!((none_chosen.difference(), none_chosen.ratio()), (0.0, None));
        assert_eq!(none_chosen.interval(1.0), None);
        assert_eq!(none_chosen.interval(f64::NAN), None);
        let odds = EqualizedOdds { true_positive: none_chosen.clone(), false_positive: none_chosen };
        assert_eq!((odds.ratio(), odds.interval(0.0)), (None, None));
    }
}
