//! Owns the memory of who was hurt: one bit per request, addressed by source and ordinal.
//!
//! Open-loop traffic has the same ordinals in every run of a trial, so two runs are compared request by request without
//! keeping a single one: 20 M requests are 2.5 MB.

use crate::id::{RequestId, SourceId};

/// Ordinals from here on are counted and not addressed (512 MB of bits per source), so that one absurd id cannot take
/// all memory.
pub const ORDINALS_MAX: u64 = 1 << 32;

/// Which requests of one run were bad.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BadBits {
    /// One bit vector per source, without trailing zero words only by chance: compare through the methods.
    sources: Vec<Vec<u64>>,
    /// Bad requests whose ordinal is not addressed.
    beyond: u64,
    /// Requests noted, by source.
    noted: Vec<u64>,
}

impl BadBits {
    /// Nobody hurt.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes how a request ended. A later attempt at the same request overrules an earlier one: what its user got in the
    /// end is what counts.
    #[inline]
    pub fn note(&mut self, request: RequestId, bad: bool) {
        let source = request.source.index();
        match self.noted.get_mut(source) {
            Some(n) => *n += 1,
            None => {
                self.noted.resize(source + 1, 0);
                self.noted[source] = 1;
            }
        }
        let word = (request.ordinal / 64) as usize;
        let mask = 1_u64 << (request.ordinal % 64);
        if let Some(slot) = self.sources.get_mut(source).and_then(|words| words.get_mut(word)) {
            if bad {
                *slot |= mask;
            } else if request.attempt > 0 {
                *slot &= !mask;
            }
        } else if bad {
            self.grow_and_set(source, request.ordinal, word, mask);
        }
    }

    #[cold]
    fn grow_and_set(&mut self, source: usize, ordinal: u64, word: usize, mask: u64) {
        if ordinal >= ORDINALS_MAX {
            self.beyond += 1;
            return;
        }
        if self.sources.len() <= source {
            self.sources.resize_with(source + 1, Vec::new);
        }
        if let Some(words) = self.sources.get_mut(source) {
            if words.len() <= word {
                words.resize(word + 1, 0);
            }
            if let Some(slot) = words.get_mut(word) {
                *slot |= mask;
            }
        }
    }

    /// Whether the request was bad.
    #[must_use]
    pub fn is_bad(&self, source: SourceId, ordinal: u64) -> bool {
        let word = usize::try_from(ordinal / 64).unwrap_or(usize::MAX);
        self.words(source.index()).get(word).is_some_and(|w| w >> (ordinal % 64) & 1 == 1)
    }

    /// How many requests were bad.
    #[must_use]
    pub fn count(&self) -> u64 {
        let inside: u64 = self.sources.iter().flatten().map(|w| u64::from(w.count_ones())).sum();
        inside + self.beyond
    }

    /// Whether a source has requests here and in `other`. One that has them on one side only (a surge, and the run without it)
    /// has nobody to be compared with.
    #[must_use]
    pub fn shares(&self, other: &Self, source: SourceId) -> bool {
        let some = |bits: &Self| bits.noted.get(source.index()).is_some_and(|&n| n > 0);
        some(self) && some(other)
    }

    /// How many requests of the sources shared with `other` were bad.
    #[must_use]
    pub fn count_shared(&self, other: &Self) -> u64 {
        let shared = |s: &usize| self.shares(other, SourceId(*s as u16));
        let inside: u64 = (0..self.sources.len())
            .filter(shared)
            .flat_map(|s| &self.sources[s])
            .map(|w| u64::from(w.count_ones()))
            .sum();
        inside + self.beyond
    }

    /// How many requests are bad here and not in `other`.
    #[must_use]
    pub fn count_only_here(&self, other: &Self) -> u64 {
        let per_source = |(s, words): (usize, &Vec<u64>)| -> u64 {
            only_here(words, other.words(s)).map(|(_, w)| u64::from(w.count_ones())).sum()
        };
        self.sources.iter().enumerate().map(per_source).sum()
    }

    /// All requests that are bad here and not in `other`, by source and ordinal.
    pub fn all_only_here<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = (SourceId, u64)> + 'a {
        self.sources.iter().enumerate().flat_map(move |(s, words)| {
            only_here(words, other.words(s)).flat_map(move |(at, word)| {
                let bits = (0..64).filter(move |bit| word >> bit & 1 == 1);
                bits.map(move |bit| (SourceId(s as u16), at as u64 * 64 + bit))
            })
        })
    }

    /// Per source, the first request that is bad here and not in `other`; sources without one are left out.
    pub fn first_only_here<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = (SourceId, u64)> + 'a {
        self.sources.iter().enumerate().filter_map(|(s, words)| {
            let (at, word) = only_here(words, other.words(s)).find(|&(_, w)| w != 0)?;
            let ordinal = at as u64 * 64 + u64::from(word.trailing_zeros());
            Some((SourceId(u16::try_from(s).ok()?), ordinal))
        })
    }

    fn words(&self, source: usize) -> &[u64] {
        self.sources.get(source).map_or(&[], Vec::as_slice)
    }
}

/// The words of `here` without the bits of `there`, with their places.
fn only_here<'a>(here: &'a [u64], there: &'a [u64]) -> impl Iterator<Item = (usize, u64)> + 'a {
    here.iter().enumerate().map(move |(i, w)| (i, w & !there.get(i).copied().unwrap_or(0)))
}
