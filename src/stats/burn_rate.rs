//! Owns multi-window multi-burn-rate alerts on an error budget, over slots of equal length.
//!
//! The burn rate of a window is its share of bad events over the share that the objective allows, `1 - objective`: at 1 the
//! budget lasts exactly the objective's period. A tier alerts while the rate is above its factor in a long window (enough is
//! burnt) and in a short one (it still burns). Source: The Site Reliability Workbook (Beyer et al., O'Reilly 2018), chapter 5,
//! the sixth way to alert; the factors spend 2 % of a 30-day budget in an hour, 5 % in six hours, 10 % in three days.
//!
//! A window without events burns nothing, so silence resolves an alert: whether traffic arrives at all is another signal's to
//! watch. At the start windows are as long as there is data, where one bad event can be above any factor;
//! [`Tier::events_min`] says how many events a firing must rest on.

use std::collections::VecDeque;

/// One alert: two windows and a factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tier {
    /// The long window, in slots.
    pub long: usize,
    /// The short window, in slots.
    pub short: usize,
    /// The burn rate that both must be strictly above.
    pub factor: f64,
    /// Events that the long window must hold to fire; 0: any number. With fewer than `1 / (factor (1 - objective))` a single
    /// bad event is enough to be above; ten times that is a guard.
    pub events_min: u64,
}

impl Tier {
    /// The workbook's three tiers (page, page, ticket), for slots of which `per_minute` make a minute.
    #[must_use]
    pub const fn workbook(per_minute: usize, events_min: u64) -> [Self; 3] {
        [
            Self { long: 60 * per_minute, short: 5 * per_minute, factor: 14.4, events_min },
            Self { long: 360 * per_minute, short: 30 * per_minute, factor: 6.0, events_min },
            Self { long: 4320 * per_minute, short: 360 * per_minute, factor: 1.0, events_min },
        ]
    }
}

/// An alert that began or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Which tier, from 0.
    pub tier: usize,
    /// Whether it began to alert.
    pub fires: bool,
}

/// Events of some slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Events {
    total: u64,
    bad: u64,
}

impl Events {
    fn add(&mut self, other: Self) {
        self.total += other.total;
        self.bad += other.bad;
    }

    fn take(&mut self, other: Self) {
        self.total -= other.total;
        self.bad -= other.bad;
    }

    fn bad_share(self) -> f64 {
        if self.total == 0 { 0.0 } else { self.bad as f64 / self.total as f64 }
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Watch {
    tier: Tier,
    long: Events,
    short: Events,
    firing: bool,
}

/// Burn rates of one objective. Memory: 16 bytes for each slot of the longest window.
#[derive(Clone, Debug, PartialEq)]
pub struct BurnRate {
    budget: f64,
    watches: Vec<Watch>,
    slots: VecDeque<Events>,
    longest: usize,
    seen: Events,
    seen_slots: u64,
}

impl BurnRate {
    /// Watches an objective (0.999: one bad event in a thousand is allowed). `None` unless `0 < objective < 1`, every window has
    /// a slot, and every factor is positive and finite.
    #[must_use]
    pub fn new(objective: f64, tiers: &[Tier]) -> Option<Self> {
        let possible = |tier: &Tier| tier.long > 0 && tier.short > 0 && tier.factor > 0.0 && tier.factor.is_finite();
        if !(objective > 0.0 && objective < 1.0 && tiers.iter().all(possible)) {
            return None;
        }
        let watch = |&tier: &Tier| Watch { tier, long: Events::default(), short: Events::default(), firing: false };
        Some(Self {
            budget: 1.0 - objective,
            watches: tiers.iter().map(watch).collect(),
            slots: VecDeque::new(),
            longest: tiers.iter().map(|tier| tier.long.max(tier.short)).max().unwrap_or(0),
            seen: Events::default(),
            seen_slots: 0,
        })
    }

    /// Takes the events of the next slot, `bad` of `total` (no more than those), and tells which alerts began or ended with it.
    pub fn push(&mut self, total: u64, bad: u64) -> Vec<Transition> {
        let slot = Events { total, bad: bad.min(total) };
        self.seen.add(slot);
        self.seen_slots += 1;
        self.slots.push_back(slot);
        let last = self.slots.len() - 1;
        let mut transitions = Vec::new();
        for (index, watch) in self.watches.iter_mut().enumerate() {
            for (window, events) in [(watch.tier.long, &mut watch.long), (watch.tier.short, &mut watch.short)] {
                events.add(slot);
                if let Some(left) = last.checked_sub(window) {
                    events.take(self.slots[left]);
                }
            }
            let limit = watch.tier.factor * self.budget;
            let fires = watch.long.bad_share() > limit
                && watch.short.bad_share() > limit
                && watch.long.total >= watch.tier.events_min;
            if fires != watch.firing {
                watch.firing = fires;
                transitions.push(Transition { tier: index, fires });
            }
        }
        if self.slots.len() > self.longest {
            self.slots.pop_front();
        }
        transitions
    }

    /// Whether a tier alerts now; false for one that there is not.
    #[must_use]
    pub fn firing(&self, tier: usize) -> bool {
        self.watches.get(tier).is_some_and(|watch| watch.firing)
    }

    /// The burn rate of the newest `window` slots (of as many as there are, and no more than the longest window of a tier).
    #[must_use]
    pub fn rate(&self, window: usize) -> f64 {
        let mut events = Events::default();
        self.slots.iter().rev().take(window).for_each(|slot| events.add(*slot));
        events.bad_share() / self.budget
    }

    /// The share of the budget of a period of `period` slots that all bad events so far have spent, the period's traffic taken
    /// to go on as seen. It is the period's share, not the run's: an hour's outage is a small part of a month's budget. `None`
    /// without events.
    #[must_use]
    pub fn budget_spent(&self, period: u64) -> Option<f64> {
        let expected = self.seen.total as f64 * (period as f64 / self.seen_slots as f64);
        (expected > 0.0).then(|| self.seen.bad as f64 / (self.budget * expected))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIERS: [Tier; 2] = [
        Tier { long: 12, short: 3, factor: 2.0, events_min: 0 },
        Tier { long: 5, short: 5, factor: 1.0, events_min: 40 },
    ];

    proptest! {
        /// The rule written out: every window summed anew.
        #[test]
        fn rolling_sums_do_what_the_rule_says(slots in prop::collection::vec((0_u64..20, 0_u64..6), 0..60)) {
            let mut alerts = BurnRate::new(0.9, &TIERS).unwrap();
            for end in 1..=slots.len() {
                let changed = alerts.push(slots[end - 1].0, slots[end - 1].1);
                let over = |window: usize| slots[end.saturating_sub(window)..end].iter().fold((0, 0), |sum, slot| {
                    (sum.0 + slot.0, sum.1 + slot.1.min(slot.0))
                });
                let above = |window: usize, factor: f64| {
                    let (total, bad) = over(window);
                    total > 0 && bad as f64 / total as f64 > factor * (1.0 - 0.9)
                };
                for (i, tier) in TIERS.iter().enumerate() {
                    let both = above(tier.long, tier.factor) && above(tier.short, tier.factor);
                    prop_assert_eq!(alerts.firing(i), both && over(tier.long).0 >= tier.events_min);
                }
                prop_assert!(changed.iter().all(|t| alerts.firing(t.tier) == t.fires));
            }
            prop_assert!(alerts.slots.len() <= 12);
        }
    }

    #[test]
    fn the_first_minute_does_not_page_with_a_guard() {
        let fired = |events_min| {
            let mut alerts = BurnRate::new(0.999, &Tier::workbook(1, events_min)).unwrap();
            alerts.push(600, 1)
        };
        assert_eq!(fired(0), [Transition { tier: 2, fires: true }]);
        assert_eq!(fired(10_000), []);
    }

    #[test]
    fn equal_to_the_limit_is_not_above() {
        let mut alerts = BurnRate::new(0.5, &[Tier { long: 1, short: 1, factor: 1.0, events_min: 0 }]).unwrap();
        assert_eq!(alerts.push(10, 5), []);
        assert_eq!(alerts.push(10, 6), [Transition { tier: 0, fires: true }]);
        assert_eq!(alerts.push(0, 0), [Transition { tier: 0, fires: false }]);
    }

    #[test]
    fn odd_inputs_have_the_stated_results() {
        let tier = TIERS[0];
        for objective in [0.0, 1.0, f64::NAN, -1.0] {
            assert_eq!(BurnRate::new(objective, &[tier]), None);
        }
        for bad in [Tier { long: 0, ..tier }, Tier { short: 0, ..tier }, Tier { factor: f64::NAN, ..tier }] {
            assert_eq!(BurnRate::new(0.9, &[bad]), None);
        }
        let mut alerts = BurnRate::new(0.9, &[tier]).unwrap();
        assert_eq!((alerts.rate(5), alerts.budget_spent(100), alerts.firing(7)), (0.0, None, false));
        assert_eq!(alerts.push(2, 9), [Transition { tier: 0, fires: true }]);
        assert!((alerts.rate(5) - 10.0).abs() < 1e-12, "all of two events were bad");
        let mut none = BurnRate::new(0.9, &[]).unwrap();
        assert_eq!(none.push(5, 5), []);
    }
}
