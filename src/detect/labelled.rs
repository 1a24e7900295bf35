//! Owns the join of late labels with the scores they are about.

use crate::detect::verdict::NoVerdict;
use crate::event::{Labels, Observations};
use crate::id::{SegmentId, VersionId};
use crate::time::SimTime;
use std::collections::VecDeque;

/// Scores of one source that may still get a label. A label that comes after this many newer requests of its source is not
/// joined. Memory: 24 bytes each.
const WAITING_MAX: usize = 1 << 20;

/// Of each version so many times the labels of the longest window are kept: so that of a version with most of the traffic there are
/// those of the time in which one with a thirtieth of it got its window full.
const BESIDE: usize = 32;

/// But no more than so many, unless one window is longer.
const KEPT_MAX: usize = 1 << 20;

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
    /// The scrape that brought the label.
    pub known: SimTime,
    /// The user's segment.
    pub segment: SegmentId,
    /// What it said.
    pub score: f32,
    /// What was true.
    pub label: f32,
}

impl Pair {
    /// Whether the answer is class 1, and whether the truth is. An answer that is no number is of the wrong class, whichever
    /// that is: it helps nobody.
    #[must_use]
    pub fn classes(&self, threshold: f64) -> (bool, bool) {
        let truth = self.label >= 0.5;
        (if self.score.is_nan() { !truth } else { f64::from(self.score) >= threshold }, truth)
    }
}

/// By bits: what is NaN equals itself.
impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        (self.version, self.ended, self.known, self.segment) == (other.version, other.ended, other.known, other.segment)
            && (self.score.to_bits(), self.label.to_bits()) == (other.score.to_bits(), other.label.to_bits())
    }
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Waiting {
    /// Ordinal of the front.
    base: u64,
    scored: VecDeque<Option<Scored>>,
}

impl Waiting {
    /// Takes one score; those that are [`WAITING_MAX`] ordinals older go, however wide the gap.
    fn put(&mut self, ordinal: u64, scored: Scored) {
        let newest = ordinal.saturating_sub(WAITING_MAX as u64 - 1);
        if newest > self.base {
            let gone = (newest - self.base).min(self.scored.len() as u64) as usize;
            self.scored.drain(..gone);
            self.base = newest;
        }
        let Some(at) = ordinal.checked_sub(self.base) else { return };
        let at = at as usize;
        if self.scored.len() <= at {
            self.scored.resize(at + 1, None);
        }
        self.scored[at] = Some(scored);
    }
}

/// What was labelled of one version.
#[derive(Debug, Clone, PartialEq, Default)]
struct Answers {
    /// In the order labels came.
    pairs: VecDeque<Pair>,
    /// When the latest of them was given.
    latest: SimTime,
}

/// The newest labelled answers of each version. Memory: 32 bytes × 32 `keep` for each version (32 MB at most, unless `keep`
/// itself is more), and the waiting scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    /// `None`: nobody asks for labels.
    keep: Option<usize>,
    waiting: Vec<Waiting>,
    answers: Vec<Answers>,
}

impl Labelled {
    /// For windows of up to `keep` labelled answers; `None`: nothing is kept, and nothing is joined.
    #[must_use]
    pub const fn new(keep: Option<usize>) -> Self {
        Self { keep, waiting: Vec::new(), answers: Vec::new() }
    }

    /// Bytes behind pointers.
    #[must_use]
    pub fn heap(&self) -> usize {
        let waiting = self.waiting.iter().map(|w| w.scored.capacity() * size_of::<Option<Scored>>());
        let pairs = self.answers.iter().map(|of| of.pairs.capacity() * size_of::<Pair>());
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
            waiting.put(ordinal, Scored { version: batch.version, score: score.to_bits(), segment, ended });
        }
    }

    /// Takes labels, and gives what they were joined to, in their order; one that has no score here, or came before, is left out.
    pub fn labels(&mut self, batch: &Labels) -> Vec<Pair> {
        let mut joined = Vec::new();
        let Some((waiting, keep)) = self.waiting.get_mut(batch.source.index()).zip(self.keep) else { return joined };
        for (&ordinal, &label) in batch.ordinals.iter().zip(&batch.labels) {
            let place = ordinal.checked_sub(waiting.base).and_then(|at| waiting.scored.get_mut(at as usize));
            let Some(scored) = place.and_then(Option::take) else { continue };
            if self.answers.len() <= scored.version.index() {
                self.answers.resize_with(scored.version.index() + 1, Answers::default);
            }
            let Scored { version, score, segment, ended } = scored;
            let known = batch.scraped_at;
            let pair = Pair { version, ended, known, segment, score: f32::from_bits(score), label };
            joined.push(pair);
            let Answers { pairs, latest } = &mut self.answers[version.index()];
            *latest = ended.max(*latest);
            if pairs.len() >= keep.max(keep.saturating_mul(BESIDE).min(KEPT_MAX)).max(1) {
                pairs.pop_front();
            }
            pairs.push_back(pair);
        }
        // A hole near the end may be an answer that is still under way.
        while waiting.scored.len() > UNDER_WAY_MAX && waiting.scored.front().is_some_and(Option::is_none) {
            waiting.scored.pop_front();
            waiting.base += 1;
        }
        joined
    }

    /// The newest `labels` labelled answers of a version, newest first.
    fn newest(&self, version: VersionId, labels: usize) -> impl Iterator<Item = &Pair> + Clone {
        self.answers.get(version.index()).into_iter().flat_map(move |a| a.pairs.iter().rev().take(labels))
    }

    /// The newest `labels` labelled answers of a version; or `beside` another version, those of the same time as that one's
    /// newest: labelled since the first of them was and answered between the first and the last of them. All that is beside a
    /// version without labels is its own newest.
    ///
    /// # Errors
    /// When more than a tenth of the other's are later than the last answer here: two versions that do not serve at the same time
    /// cannot be compared, since what happened in between is not known of one of them.
    pub fn window(&self, version: VersionId, beside: Option<VersionId>, labels: usize) -> Result<Vec<Pair>, NoVerdict> {
        let other: Vec<&Pair> = beside.into_iter().flat_map(|other| self.newest(other, labels)).collect();
        let ended = || other.iter().map(|p| p.ended);
        let (Some(known), Some(first), Some(last)) =
            (other.iter().map(|p| p.known).min(), ended().min(), ended().max())
        else {
            return Ok(self.newest(version, labels).copied().collect());
        };
        let labelled = self.answers.get(version.index()).filter(|answers| !answers.pairs.is_empty());
        let Some(answers) = labelled else { return Ok(Vec::new()) };
        if ended().filter(|t| *t > answers.latest).count() * 10 > other.len() {
            return Err(NoVerdict::Alone);
        }
        let since = answers.pairs.iter().rev().take_while(|p| p.known >= known);
        Ok(since.filter(|p| (first..=last).contains(&p.ended)).copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SourceId;
    use crate::time::Span;

    fn scores(ordinals: &[u64], version: u16) -> Observations {
        let n = ordinals.len();
        Observations {
            scraped_at: SimTime(1),
            source: SourceId(0),
            version: VersionId(version),
            ordinals: ordinals.to_vec(),
            ended: vec![SimTime(1); n],
            latency: vec![Span(1); n],
            segments: vec![SegmentId(0); n],
            scores: vec![0.75; n],
            features: Vec::new(),
            unanswered: Vec::new(),
        }
    }

    fn labels(ordinals: &[u64]) -> Labels {
        let labels = vec![1.0; ordinals.len()];
        Labels { scraped_at: SimTime(2), source: SourceId(0), ordinals: ordinals.to_vec(), labels }
    }

    /// However far apart ordinals are, no more is kept than was said; labels of the newest are joined, older ones are let go.
    #[test]
    fn a_gap_in_ordinals_takes_no_memory() {
        let far = 1 << 60;
        let max = WAITING_MAX as u64;
        let mut labelled = Labelled::new(Some(100));
        labelled.scores(&scores(&[0, 1, 5, max], 0));
        assert_eq!(labelled.labels(&labels(&[0, 1])).len(), 1, "the oldest of one more than there is room for");
        labelled.scores(&scores(&[far, far - 1, far - max, far + 3], 0));
        assert_eq!(labelled.waiting[0].scored.len(), max as usize);
        assert!(labelled.heap() <= 24 * WAITING_MAX + 2 * 100 * BESIDE * size_of::<Pair>(), "{}", labelled.heap());
        assert_eq!(labelled.labels(&labels(&[5, far - max, far - 1, far, far + 3, far + 4])).len(), 3);
    }

    /// What is kept of labels is what was said.
    #[test]
    fn labels_take_the_memory_that_is_said() {
        let mut labelled = Labelled::new(Some(1 << 16));
        for k in 0..=(KEPT_MAX as u64 / 4096) {
            let ordinals: Vec<u64> = (k * 4096..(k + 1) * 4096).collect();
            labelled.scores(&scores(&ordinals, 0));
            assert_eq!(labelled.labels(&labels(&ordinals)).len(), 4096);
        }
        let pairs = &labelled.answers[0].pairs;
        assert_eq!(pairs.len(), KEPT_MAX);
        assert_eq!(pairs.capacity() * size_of::<Pair>(), 32 << 20);
    }
}
