//! Owns windows of cumulative counters: what ended, and how fast, between two scrapes of one version.

use crate::detect::verdict::NoVerdict;
use crate::event::{Metrics, Outcome};
use crate::id::VersionId;
use crate::stats::histogram::Histogram;
use crate::time::{SimTime, Span};
use std::collections::VecDeque;

/// Totals of one version.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Totals {
    /// Ended requests by outcome, in the order of [`Outcome::ALL`].
    pub ended: [u64; 6],
    /// Latency of the answered ones, nanoseconds.
    pub latency: Histogram,
}

impl Totals {
    /// All ended requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.ended.iter().sum()
    }
    /// Those without an answer.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.requests() - self.ended[Outcome::Answered as usize]
    }
}

/// Recent scrapes, summed over replicas and segments. Memory: one histogram (5 kB at most) for each version and scrape of
/// the longest window.
#[derive(Debug, Clone, PartialEq)]
pub struct Scrapes {
    keep: Span,
    scrapes: VecDeque<(SimTime, Vec<Totals>)>,
}

impl Scrapes {
    /// Keeps what windows up to `keep` need; of no length, nothing.
    #[must_use]
    pub const fn new(keep: Span) -> Self {
        Self { keep, scrapes: VecDeque::new() }
    }

    /// Bytes behind pointers.
    #[must_use]
    pub fn heap(&self) -> usize {
        let totals = |totals: &Vec<Totals>| {
            totals.capacity() * size_of::<Totals>() + totals.iter().map(|t| t.latency.heap()).sum::<usize>()
        };
        self.scrapes.capacity() * size_of::<(SimTime, Vec<Totals>)>()
            + self.scrapes.iter().map(|(_, of)| totals(of)).sum::<usize>()
    }

    /// Takes one scrape.
    pub fn take(&mut self, metrics: &Metrics) {
        if self.keep == Span::ZERO {
            return;
        }
        let versions = metrics.rows.iter().map(|r| r.version.index() + 1).max().unwrap_or(0);
        let mut totals = vec![Totals::default(); versions];
        for row in &metrics.rows {
            let total = &mut totals[row.version.index()];
            total.ended.iter_mut().zip(row.ended).for_each(|(sum, n)| *sum += n);
            total.latency.merge(&row.latency);
        }
        self.scrapes.push_back((metrics.scraped_at, totals));
        let oldest = metrics.scraped_at.minus(self.keep);
        // One scrape at or before the window's start stays: differences are taken from it.
        while self.scrapes.len() > 1 && self.scrapes[1].0 <= oldest {
            self.scrapes.pop_front();
        }
    }

    /// What ended in the window up to the last scrape, and when the window really began (the scrape before it).
    ///
    /// # Errors
    /// When the version was never read, or a counter is less than it was.
    pub fn over(&self, version: VersionId, window: Span) -> Result<(Totals, SimTime), NoVerdict> {
        let (now, latest) = self.scrapes.back().ok_or(NoVerdict::Empty)?;
        let latest = latest.get(version.index()).ok_or(NoVerdict::Empty)?;
        let start = now.minus(window);
        let before = self.scrapes.iter().rev().find(|(at, _)| *at <= start);
        let Some((at, before)) = before else { return Ok((latest.clone(), SimTime::ZERO)) };
        let Some(before) = before.get(version.index()) else { return Ok((latest.clone(), *at)) };
        let fell = NoVerdict::Undefined("a counter is less than it was");
        let mut ended = latest.ended;
        for (n, was) in ended.iter_mut().zip(before.ended) {
            *n = n.checked_sub(was).ok_or(fell)?;
        }
        let latency = latest.latency.diff(&before.latency).ok_or(fell)?;
        Ok((Totals { ended, latency }, *at))
    }
}
