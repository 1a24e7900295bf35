//! Owns the split of traffic: weights by version, and which version a user sticks to.

use crate::event::Weight;
use crate::id::VersionId;

/// The router's table.
///
/// The circle of users is cut into one arc per version. The version that has the rest (the one the trial started with)
/// lies at the end, so that a growing weight only ever takes users from it and a user moves at most once per rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Router {
    weights: Vec<Weight>,
    /// (end of the arc, version), in order; the last one catches everything.
    arcs: Vec<(u64, VersionId)>,
    last: VersionId,
}

impl Router {
    /// All traffic to `initial`.
    #[must_use]
    pub fn new(versions: usize, initial: VersionId) -> Self {
        let mut router = Self { weights: vec![Weight::NONE; versions], arcs: Vec::new(), last: initial };
        router.set(&[(initial, Weight::ALL)]);
        router
    }

    /// Replaces the weights; `false` (and nothing changes) if they do not add up to all traffic or name a version twice
    /// or one that does not exist.
    pub fn set(&mut self, weights: &[(VersionId, Weight)]) -> bool {
        let mut table = vec![Weight::NONE; self.weights.len()];
        let mut sum = 0u64;
        for &(version, weight) in weights {
            match table.get_mut(version.index()) {
                Some(slot) if *slot == Weight::NONE => *slot = weight,
                _ => return false,
            }
            sum += u64::from(weight.0);
        }
        if sum != u64::from(Weight::ALL.0) {
            return false;
        }
        let last = self.last;
        let mut end = 0u64;
        self.arcs.clear();
        let others = (0..table.len()).map(|v| VersionId(v as u16)).filter(|&v| v != last);
        for version in others.chain([last]) {
            let weight = table[version.index()];
            if weight > Weight::NONE {
                end += u64::from(weight.0);
                self.arcs.push(((end << 32) / u64::from(Weight::ALL.0), version));
            }
        }
        self.weights = table;
        true
    }

    /// The version for a user at this place of the circle.
    #[must_use]
    pub fn version(&self, place: u32) -> VersionId {
        let place = u64::from(place);
        self.arcs.iter().find(|&&(end, _)| place < end).map_or(self.last, |&(_, version)| version)
    }

    /// A version's weight.
    #[must_use]
    pub fn weight(&self, version: VersionId) -> Weight {
        self.weights.get(version.index()).copied().unwrap_or_default()
    }

    /// All weights that are not zero, by version.
    #[must_use]
    pub fn weights(&self) -> Vec<(VersionId, Weight)> {
        self.weights
            .iter()
            .enumerate()
            .filter(|(_, w)| **w > Weight::NONE)
            .map(|(v, &w)| (VersionId(v as u16), w))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OLD: VersionId = VersionId(0);
    const NEW: VersionId = VersionId(1);

    fn split(share: f64) -> Router {
        let mut router = Router::new(2, OLD);
        let weight = Weight::from_share(share);
        assert!(router.set(&[(OLD, weight.rest()), (NEW, weight)]));
        router
    }

    proptest! {
        #[test]
        fn shares_of_the_circle_are_the_weights(share in 0.0..=1.0f64) {
            let router = split(share);
            let hits = (0..10_000u32).filter(|i| router.version(i * 429_496) == NEW).count();
            prop_assert!((hits as f64 / 10_000.0 - share).abs() < 2e-3, "{hits} hits for {share}");
        }

        #[test]
        fn a_growing_weight_never_sends_a_user_back(place: u32, a in 0.0..=1.0f64, b in 0.0..=1.0f64) {
            let (small, large) = (a.min(b), a.max(b));
            prop_assert!(!(split(small).version(place) == NEW && split(large).version(place) == OLD));
        }
    }

    #[test]
    fn weights_that_do_not_add_up_are_refused_and_change_nothing() {
        let mut router = split(0.25);
        let before = router.clone();
        assert!(!router.set(&[(OLD, Weight(5))]));
        assert!(!router.set(&[(OLD, Weight(500_000)), (OLD, Weight(500_000))]));
        assert!(!router.set(&[(VersionId(7), Weight::ALL)]));
        assert_eq!(router, before);
    }
}
