//! Owns the join of late labels with the scores they are about.

use crate::event::{Labels, Observations};
use crate::id::{SegmentId, VersionId};
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
    segment: SegmentId,
    ended: SimTime,
}

/// An answer and its label.
#[derive(Debug, Clone, Copy)]
pub struct Pair {
    /// The version that answered.
    pub version: VersionId,
    /// When it did.
    pub ended: SimTime,
    /// The user's segment.
    pub segment: SegmentId,
    /// What it said.
    pub score: f32,
    /// What was true.
    pub label: f32,
}

impl Pair {
    /// Whether the answer is class 1, and whether the truth is.
    #[must_use]
    pub fn classes(&self, threshold: f64) -> (bool, bool) {
        (f64::from(self.score) >= threshold, self.label >= 0.5)
    }
}

/// By bits: what is NaN equals itself.
impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        (self.version, self.ended, self.segment) == (other.version, other.ended, other.segment)
            && (self.score.to_bits(), self.label.to_bits()) == (other.score.to_bits(), other.label.to_bits())
    }
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Waiting {
    /// Ordinal of the front.
    base: u64,
    scored: VecDeque<Option<Scored>>,
}

/// The newest labelled answers of each version. Memory: `keep` × 32 bytes for each version, and the waiting scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    /// `None`: nobody asks for labels.
    keep: Option<usize>,
    waiting: Vec<Waiting>,
    /// In the order labels came.
    pairs: Vec<VecDeque<Pair>>,
}

impl Labelled {
    /// Keeps the newest `keep` labelled answers of each version; `None`: nothing at all, and nothing is joined.
    #[must_use]
    pub const fn new(keep: Option<usize>) -> Self {
        Self { keep, waiting: Vec::new(), pairs: Vec::new() }
    }

    /// Bytes behind pointers.
    #[must_use]
    pub fn heap(&self) -> usize {
        let waiting = self.waiting.iter().map(|w| w.scored.capacity() * size_of::<Option<Scored>>());
        let pairs = self.pairs.iter().map(|pairs| pairs.capacity() * size_of::<Pair>());
        waiting.sum::<usize>() + pairs.sum::<usize>()
    }

    /// Takes scores that will wait for their labels.
    pub fn scores(&mut self, batch: &Observations) {
        if self.keep.is_none() {
            return;
        }
        let place = batch.source.index();
        if self.waiting.len() <= place {
            self.waiting.resize_with(place + 1, Waiting::default);
        }
        let waiting = &mut self.waiting[place];
        let rows = batch.ordinals.iter().zip(&batch.scores).zip(batch.ended.iter().zip(&batch.segments));
        for ((&ordinal, &score), (&ended, &segment)) in rows {
            let Some(at) = ordinal.checked_sub(waiting.base) else { continue };
            let at = at as usize;
            if waiting.scored.len() <= at {
                waiting.scored.resize(at + 1, None);
            }
            waiting.scored[at] = Some(Scored { version: batch.version, score: score.to_bits(), segment, ended });
        }
        while waiting.scored.len() > WAITING_MAX {
            waiting.scored.pop_front();
            waiting.base += 1;
        }
    }

    /// Takes labels, and gives what they were joined to, in their order; one that has no score here, or came before, is left out.
    pub fn labels(&mut self, batch: &Labels) -> Vec<Pair> {
        let mut joined = Vec::new();
        let Some((waiting, keep)) = self.waiting.get_mut(batch.source.index()).zip(self.keep) else { return joined };
        for (&ordinal, &label) in batch.ordinals.iter().zip(&batch.labels) {
            let place = ordinal.checked_sub(waiting.base).and_then(|at| waiting.scored.get_mut(at as usize));
            let Some(scored) = place.and_then(Option::take) else { continue };
            if self.pairs.len() <= scored.version.index() {
                self.pairs.resize_with(scored.version.index() + 1, VecDeque::new);
            }
            let Scored { version, score, segment, ended } = scored;
            let pair = Pair { version, ended, segment, score: f32::from_bits(score), label };
            joined.push(pair);
            let pairs = &mut self.pairs[version.index()];
            pairs.push_back(pair);
            if pairs.len() > keep {
                pairs.pop_front();
            }
        }
        // A hole near the end may be an answer that is still under way.
        while waiting.scored.len() > UNDER_WAY_MAX && waiting.scored.front().is_some_and(Option::is_none) {
            waiting.scored.pop_front();
            waiting.base += 1;
        }
        joined
    }

    /// The newest `labels` labelled answers of a version, newest first.
    pub fn newest(&self, version: VersionId, labels: usize) -> impl Iterator<Item = &Pair> + Clone {
        self.pairs.get(version.index()).into_iter().flat_map(move |pairs| pairs.iter().rev().take(labels))
    }
}
