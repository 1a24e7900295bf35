//! Owns the join of late labels with the scores they are about.

use crate::event::{Labels, Observations};
use crate::id::VersionId;
use crate::time::SimTime;
use std::collections::VecDeque;

/// Scores of one source that may still get a label. A label that comes after this many newer requests of its source is not
/// joined. Memory: 24 bytes each.
const WAITING_MAX: usize = 1 << 20;

/// Newest requests of a source that may not have been answered yet.
const UNDER_WAY_MAX: usize = 1 << 14;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Scored {
    version: VersionId,
    /// The score's bits: one that is NaN equals itself, so that a forked controller equals its origin.
    score: u32,
    ended: SimTime,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Waiting {
    /// Ordinal of the front.
    base: u64,
    scored: VecDeque<Option<Scored>>,
}

/// The newest labelled answers of each version. Memory: `keep` × 24 bytes for each version, and the waiting scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    keep: usize,
    waiting: Vec<Waiting>,
    /// (when the request ended, score's bits, label), in the order labels came.
    pairs: Vec<VecDeque<(SimTime, u32, f32)>>,
}

impl Labelled {
    /// Keeps the newest `keep` labelled answers of each version; 0: nothing at all.
    #[must_use]
    pub const fn new(keep: usize) -> Self {
        Self { keep, waiting: Vec::new(), pairs: Vec::new() }
    }

    /// Takes scores that will wait for their labels.
    pub fn scores(&mut self, batch: &Observations) {
        if self.keep == 0 {
            return;
        }
        let place = batch.source.index();
        if self.waiting.len() <= place {
            self.waiting.resize_with(place + 1, Waiting::default);
        }
        let waiting = &mut self.waiting[place];
        for ((&ordinal, &score), &ended) in batch.ordinals.iter().zip(&batch.scores).zip(&batch.ended) {
            let Some(at) = ordinal.checked_sub(waiting.base) else { continue };
            let at = at as usize;
            if waiting.scored.len() <= at {
                waiting.scored.resize(at + 1, None);
            }
            waiting.scored[at] = Some(Scored { version: batch.version, score: score.to_bits(), ended });
        }
        while waiting.scored.len() > WAITING_MAX {
            waiting.scored.pop_front();
            waiting.base += 1;
        }
    }

    /// Takes labels; one that has no score here, or came before, is left out.
    pub fn labels(&mut self, batch: &Labels) {
        let Some(waiting) = self.waiting.get_mut(batch.source.index()) else { return };
        for (&ordinal, &label) in batch.ordinals.iter().zip(&batch.labels) {
            let place = ordinal.checked_sub(waiting.base).and_then(|at| waiting.scored.get_mut(at as usize));
            let Some(scored) = place.and_then(Option::take) else { continue };
            if self.pairs.len() <= scored.version.index() {
                self.pairs.resize_with(scored.version.index() + 1, VecDeque::new);
            }
            let pairs = &mut self.pairs[scored.version.index()];
            pairs.push_back((scored.ended, scored.score, label));
            if pairs.len() > self.keep {
                pairs.pop_front();
            }
        }
        // A hole near the end may be an answer that is still under way.
        while waiting.scored.len() > UNDER_WAY_MAX && waiting.scored.front().is_some_and(Option::is_none) {
            waiting.scored.pop_front();
            waiting.base += 1;
        }
    }

    /// Right classes among the newest `labels` labelled answers of a version: (right, all, when the oldest ended).
    #[must_use]
    pub fn accuracy(&self, version: VersionId, labels: usize, threshold: f64) -> Option<(u64, u64, SimTime)> {
        let pairs = self.pairs.get(version.index())?;
        let newest = pairs.iter().rev().take(labels);
        let right = |&&(_, score, label): &&(SimTime, u32, f32)| {
            (f64::from(f32::from_bits(score)) >= threshold) == (label >= 0.5)
        };
        let hits = newest.clone().filter(right).count() as u64;
        let from = newest.clone().map(|p| p.0).min()?;
        Some((hits, newest.count() as u64, from))
    }
}
