//! Owns the event queue: a total order over what is to come.

use crate::world::schedule::Key;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

#[derive(Debug, Clone, Copy)]
struct Entry<E> {
    key: Key,
    event: E,
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}
impl<E> Eq for Entry<E> {}
impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

/// Events by [`Key`]. Kept small: one pending arrival per source, so that it stays in the processor's cache.
#[derive(Debug, Clone)]
pub struct Queue<E>(BinaryHeap<Reverse<Entry<E>>>);

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self(BinaryHeap::new())
    }
}

impl<E> Queue<E> {
    /// Adds an event. Keys are unique; of two equal ones either may come first.
    pub fn push(&mut self, key: Key, event: E) {
        self.0.push(Reverse(Entry { key, event }));
    }

    /// Takes the event that comes first.
    pub fn pop(&mut self) -> Option<(Key, E)> {
        self.0.pop().map(|Reverse(entry)| (entry.key, entry.event))
    }

    /// How many events are to come.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is to come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SimTime;
    use crate::world::schedule::Class;
    use proptest::prelude::*;

    fn key() -> impl Strategy<Value = Key> {
        let class = prop::sample::select(vec![
            Class::Fault,
            Class::Completion,
            Class::Arrival,
            Class::Sample,
            Class::Action,
            Class::Result,
            Class::Timeout,
        ]);
        (0..5u64, class, 0..4u32, 0..50u64).prop_map(|(at, class, entity, seq)| Key {
            at: SimTime(at),
            class,
            entity,
            seq,
        })
    }

    proptest! {
        #[test]
        fn events_leave_in_the_total_order_whatever_order_they_came_in(
            keys in prop::collection::btree_set(key(), 0..100), order in any::<u64>()
        ) {
            let sorted: Vec<Key> = keys.iter().copied().collect();
            let mut shuffled = sorted.clone();
            // A cheap deterministic shuffle.
            let mut state = order | 1;
            for i in (1..shuffled.len()).rev() {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                shuffled.swap(i, (state >> 33) as usize % (i + 1));
            }
            let mut queue = Queue::default();
            shuffled.iter().for_each(|&k| queue.push(k, ()));
            let out: Vec<Key> = std::iter::from_fn(|| queue.pop()).map(|(k, ())| k).collect();
            prop_assert_eq!(out, sorted);
        }

        #[test]
        fn another_entity_reorders_nobody_elses_ties(keys in prop::collection::btree_set(key(), 0..60)) {
            let run = |with_extra: bool| {
                let mut queue = Queue::default();
                for &k in &keys {
                    queue.push(k, false);
                    if with_extra {
                        queue.push(Key { entity: 9, ..k }, true);
                    }
                }
                std::iter::from_fn(|| queue.pop()).filter(|(_, extra)| !extra).map(|(k, _)| k).collect::<Vec<_>>()
            };
            prop_assert_eq!(run(false), run(true));
        }
    }
}
