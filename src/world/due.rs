//! Owns what becomes known later: each fact waits for the first scrape from then on.

use crate::time::{SimTime, Span};
use std::collections::BTreeMap;

/// Facts under way to a scrape. Memory: those that are not known yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Due<T> {
    /// Between two scrapes.
    scrape: Span,
    by_scrape: BTreeMap<u64, Vec<T>>,
}

impl<T> Due<T> {
    pub(crate) const fn new(scrape: Span) -> Self {
        Self { scrape, by_scrape: BTreeMap::new() }
    }

    /// A fact that is known at `known`.
    pub(crate) fn put(&mut self, known: SimTime, fact: T) {
        let n = known.0.div_ceil(self.scrape.0.max(1));
        self.by_scrape.entry(n).or_default().push(fact);
    }

    /// What the n-th scrape (from 1) brings, with what those before it should have brought and did not; in the order in which it
    /// was put there, by scrape.
    pub(crate) fn take(&mut self, n: u64) -> Vec<T> {
        let later = self.by_scrape.split_off(&(n + 1));
        std::mem::replace(&mut self.by_scrape, later).into_values().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_comes_with_the_first_scrape_from_then_on_that_is_taken() {
        let mut due = Due::new(Span(10));
        for known in [0, 10, 11, 20, 21, 5] {
            due.put(SimTime(known), known);
        }
        // The first scrape is lost, and what it should have brought comes with the second.
        assert_eq!(due.take(2), [0, 10, 5, 11, 20]);
        assert_eq!(due.take(2), [0u64; 0]);
        due.put(SimTime(3), 3);
        assert_eq!(due.take(3), [3, 21], "told late, brought late");
    }
}
