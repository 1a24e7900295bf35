//! Owns what is kept of one run: a fold over the ends of its requests, flat in memory however long the run.

use crate::event::RequestEnd;
use crate::id::VersionId;
use crate::report::bits::BadBits;
use crate::report::objective::{Bad, Objective, Recovery};
use crate::report::trial::RequestCounts;
use crate::stats::histogram::Histogram;
use crate::time::{NS_PER_S, SimTime, Span};
use crate::trace::{RequestFold, Trace};

/// A run is cut into about so many bins at most …
const BINS_TARGET: u64 = 2400;
/// … and never into more than this: what ends later is counted in the last one.
pub const BINS_MAX: usize = 4096;

/// How the time of all runs of a trial is cut: bins of equal width from time zero on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// The width of a bin, whole seconds.
    pub bin: Span,
    /// How many bins make one verification window, at least 1.
    pub window: usize,
}

impl Grid {
    /// The grid for runs of this length: bins of max(1 s, horizon / 2400), rounded up to whole seconds, and further (to at
    /// most twice that) if the verification window then is a whole number of bins. Otherwise the verification window
    /// is rounded up to whole bins; in runs so long that a bin exceeds it, it is one bin.
    #[must_use]
    pub fn new(horizon: SimTime, recovery: &Recovery) -> Self {
        let least = horizon.0.div_ceil(BINS_TARGET).div_ceil(NS_PER_S).max(1);
        let window = recovery.window.0.div_ceil(NS_PER_S).max(1);
        let fits = (least..=least.saturating_mul(2).min(window)).find(|bin| window.is_multiple_of(*bin));
        let bin = fits.unwrap_or(least);
        let bins = usize::try_from(window.div_ceil(bin)).unwrap_or(BINS_MAX).min(BINS_MAX);
        Self { bin: Span::secs(bin), window: bins }
    }

    /// The bin an instant falls into.
    #[inline]
    #[must_use]
    pub fn bin_of(&self, at: SimTime) -> usize {
        usize::try_from(at.0 / self.bin.0.max(1)).unwrap_or(BINS_MAX).min(BINS_MAX - 1)
    }

    /// The first bin that starts at or after an instant.
    #[must_use]
    pub fn bin_from(&self, at: SimTime) -> usize {
        usize::try_from(at.0.div_ceil(self.bin.0.max(1))).unwrap_or(usize::MAX)
    }

    /// Where a bin starts.
    #[must_use]
    pub fn start(&self, bin: usize) -> SimTime {
        SimTime(self.bin.0.saturating_mul(bin as u64))
    }
}

/// What one version did in one bin; requests are counted where they ended.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BinCell {
    /// Its requests.
    pub counts: RequestCounts,
    /// Answers by harmed bytes.
    pub tainted: u64,
    /// When the last of its requests ended, however; meaningless without requests.
    pub last_end: SimTime,
    /// When its last answer ended; meaningless without answers.
    pub last_answer: SimTime,
    /// When its last answer by harmed bytes ended; meaningless without one.
    pub last_tainted: SimTime,
    /// Latency of answered requests (from arrival at the router to the end), nanoseconds.
    pub latency: Histogram,
}

impl BinCell {
    /// Requests that got an answer.
    #[must_use]
    pub const fn answered(&self) -> u64 {
        self.counts.requests.saturating_sub(self.counts.failed)
    }
}

/// When one version answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VersionTimes {
    /// End of its first answer.
    pub first_answer: Option<SimTime>,
    /// End of its last answer.
    pub last_answer: Option<SimTime>,
    /// End of its last answer by harmed bytes.
    pub last_tainted: Option<SimTime>,
}

/// All that is kept of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRecord {
    /// Which requests were bad.
    pub bits: BadBits,
    /// All requests.
    pub counts: RequestCounts,
    /// The same by segment.
    pub segments: Vec<RequestCounts>,
    /// By version.
    pub versions: Vec<VersionTimes>,
    /// How time is cut.
    pub grid: Grid,
    /// One cell per version for every bin from 0 to the last in which a request ended: bin × versions + version.
    pub cells: Vec<BinCell>,
    /// Requests of a version or segment beyond the declared ones: in `counts` only.
    pub unplaced: u64,
    /// The run's kept facts.
    pub trace: Trace,
}

impl RunRecord {
    /// How many bins there are.
    #[must_use]
    pub fn bins(&self) -> usize {
        self.cells.len() / self.versions.len().max(1)
    }

    /// One version's cell in one bin.
    #[must_use]
    pub fn cell(&self, bin: usize, version: usize) -> Option<&BinCell> {
        if version >= self.versions.len() {
            return None;
        }
        self.cells.get(bin.checked_mul(self.versions.len())?.checked_add(version)?)
    }

    /// When one version answered.
    #[must_use]
    pub fn times(&self, version: VersionId) -> VersionTimes {
        self.versions.get(version.index()).copied().unwrap_or_default()
    }
}

/// The fold that makes a [`RunRecord`]: feed it every [`RequestEnd`] as it is recorded, then [`RunFold::finish`] it.
#[derive(Debug, Clone)]
pub struct RunFold {
    objective: Objective,
    record: Folded,
}

#[derive(Debug, Clone)]
struct Folded {
    bits: BadBits,
    counts: RequestCounts,
    segments: Vec<RequestCounts>,
    versions: Vec<VersionTimes>,
    grid: Grid,
    cells: Vec<BinCell>,
    unplaced: u64,
}

impl RunFold {
    /// A fold for a run of a scenario with so many versions and segments. All runs of a trial need the same grid:
    /// [`Grid::new`] of the same horizon and objective.
    #[must_use]
    pub fn new(objective: &Objective, horizon: SimTime, versions: usize, segments: usize, grid: Grid) -> Self {
        let versions = versions.max(1);
        let bins = grid.bin_from(horizon).min(BINS_MAX);
        let record = Folded {
            bits: BadBits::new(),
            counts: RequestCounts::default(),
            segments: vec![RequestCounts::default(); segments.max(1)],
            versions: vec![VersionTimes::default(); versions],
            grid,
            cells: Vec::with_capacity(bins * versions),
            unplaced: 0,
        };
        Self { objective: objective.clone(), record }
    }

    /// The record of the run, with its kept facts.
    #[must_use]
    pub fn finish(self, trace: Trace) -> RunRecord {
        let Folded { bits, counts, segments, versions, grid, cells, unplaced } = self.record;
        RunRecord { bits, counts, segments, versions, grid, cells, unplaced, trace }
    }

    #[cold]
    fn reach(&mut self, cells: usize) {
        self.record.cells.resize_with(cells, BinCell::default);
    }
}

impl RequestFold for RunFold {
    #[inline]
    fn request(&mut self, end: &RequestEnd) {
        let bad = self.objective.judge(end);
        let lost = end.outcome == crate::event::Outcome::Lost;
        self.record.bits.note(end.request, bad.any());
        self.record.counts.count(bad, lost);
        let (version, versions) = (end.version.index(), self.record.versions.len());
        let Some(segment) = self.record.segments.get_mut(end.segment.index()).filter(|_| version < versions) else {
            self.record.unplaced += 1;
            return;
        };
        segment.count(bad, lost);
        let bin = self.record.grid.bin_of(end.ended);
        if self.record.cells.len() < (bin + 1) * versions {
            self.reach((bin + 1) * versions);
        }
        let Some(cell) = self.record.cells.get_mut(bin * versions + version) else { return };
        cell.counts.count(bad, lost);
        cell.last_end = cell.last_end.max(end.ended);
        if !end.outcome.is_answered() {
            return;
        }
        cell.latency.record(end.ended.since(end.arrived).0);
        cell.last_answer = cell.last_answer.max(end.ended);
        let Some(times) = self.record.versions.get_mut(version) else { return };
        times.first_answer = Some(times.first_answer.map_or(end.ended, |t| t.min(end.ended)));
        times.last_answer = times.last_answer.max(Some(end.ended));
        if end.tainted {
            cell.tainted += 1;
            cell.last_tainted = cell.last_tainted.max(end.ended);
            times.last_tainted = times.last_tainted.max(Some(end.ended));
        }
    }
}

impl RequestCounts {
    /// Counts one ended request.
    #[inline]
    pub const fn count(&mut self, bad: Bad, lost: bool) {
        self.requests += 1;
        self.bad += bad.any() as u64;
        self.failed += bad.failed as u64;
        self.late += bad.late as u64;
        self.wrong += bad.wrong as u64;
        self.lost += lost as u64;
    }

    /// Takes in what `other` counted.
    pub const fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.bad += other.bad;
        self.failed += other.failed;
        self.late += other.late;
        self.wrong += other.wrong;
        self.lost += other.lost;
    }

    /// Takes out what `other` counted; never below zero.
    pub const fn take(&mut self, other: &Self) {
        self.requests = self.requests.saturating_sub(other.requests);
        self.bad = self.bad.saturating_sub(other.bad);
        self.failed = self.failed.saturating_sub(other.failed);
        self.late = self.late.saturating_sub(other.late);
        self.wrong = self.wrong.saturating_sub(other.wrong);
        self.lost = self.lost.saturating_sub(other.lost);
    }
}
