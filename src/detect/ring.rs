//! Owns windows of time: what each scrape brought for each version, kept as long as the longest window of any signal.
//!
//! Memory: one slice for each version and scrape of the longest window.

use crate::id::VersionId;
use crate::time::{SimTime, Span};
use std::collections::VecDeque;

/// What one scrape brought.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice<T> {
    /// The scrape.
    pub at: SimTime,
    /// When the earliest of it was.
    pub from: SimTime,
    /// It.
    pub what: T,
}

/// Slices by version, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Ring<T> {
    keep: Span,
    by_version: Vec<VecDeque<Slice<T>>>,
}

impl<T> Ring<T> {
    /// Keeps what windows up to `keep` need.
    #[must_use]
    pub const fn new(keep: Span) -> Self {
        Self { keep, by_version: Vec::new() }
    }

    /// Takes a slice, and forgets what is older than the longest window.
    pub fn push(&mut self, version: VersionId, slice: Slice<T>) {
        let (place, oldest) = (version.index(), slice.at.minus(self.keep));
        if self.by_version.len() <= place {
            self.by_version.resize_with(place + 1, VecDeque::new);
        }
        self.by_version[place].push_back(slice);
        for slices in &mut self.by_version {
            while slices.front().is_some_and(|s| s.at <= oldest) {
                slices.pop_front();
            }
        }
    }

    /// Bytes behind pointers, of which each slice has `of` behind its own.
    pub fn heap(&self, of: impl Fn(&T) -> usize) -> usize {
        let slices = |slices: &VecDeque<Slice<T>>| {
            size_of_val(slices)
                + slices.capacity() * size_of::<Slice<T>>()
                + slices.iter().map(|s| of(&s.what)).sum::<usize>()
        };
        self.by_version.iter().map(slices).sum()
    }

    /// The slices of a version in the `window` that ends at `now`.
    pub fn over(&self, version: VersionId, window: Span, now: SimTime) -> impl Iterator<Item = &Slice<T>> + Clone {
        let oldest = now.minus(window);
        let slices = self.by_version.get(version.index()).into_iter().flatten();
        slices.filter(move |s| s.at > oldest && s.at <= now)
    }
}
