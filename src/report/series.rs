//! Owns sums over stretches of a run's bins: counts by prefix sums, latencies by a window that slides.

use crate::report::fold::RunRecord;
use crate::report::trial::RequestCounts;
use crate::stats::histogram::Histogram;

/// One run, by version, with cheap sums over stretches of bins.
#[derive(Debug, Clone)]
pub(crate) struct Series<'a> {
    pub(crate) record: &'a RunRecord,
    /// Counts of all bins before bin b: b × versions + version.
    before: Vec<RequestCounts>,
    sliders: Vec<Slider>,
}

impl<'a> Series<'a> {
    pub(crate) fn new(record: &'a RunRecord) -> Self {
        let versions = record.versions.len();
        let mut sums = vec![RequestCounts::default(); versions];
        let mut before = Vec::with_capacity(record.cells.len() + versions);
        for bin in record.cells.chunks(versions.max(1)) {
            before.extend_from_slice(&sums);
            sums.iter_mut().zip(bin).for_each(|(sum, cell)| sum.add(&cell.counts));
        }
        before.extend_from_slice(&sums);
        Self { record, before, sliders: vec![Slider::default(); versions] }
    }

    /// How many versions.
    pub(crate) fn versions(&self) -> usize {
        self.sliders.len()
    }

    /// What a version did in the bins `from..to`.
    pub(crate) fn counts(&self, version: usize, from: usize, to: usize) -> RequestCounts {
        let bins = self.record.bins();
        let before =
            |bin: usize| self.before.get(bin.min(bins) * self.versions() + version).copied().unwrap_or_default();
        let mut counts = before(to);
        counts.take(&before(from));
        counts
    }

    /// What all versions did in them.
    pub(crate) fn all(&self, from: usize, to: usize) -> RequestCounts {
        let mut counts = RequestCounts::default();
        (0..self.versions()).for_each(|v| counts.add(&self.counts(v, from, to)));
        counts
    }

    /// The latencies of a version's answers in them.
    pub(crate) fn latency(&mut self, version: usize, from: usize, to: usize) -> Option<&Histogram> {
        Some(self.sliders.get_mut(version)?.at(self.record, version, from, to))
    }
}

/// The sum of one version's latencies over a stretch of bins, cheap to move forward.
#[derive(Debug, Clone, Default)]
struct Slider {
    from: usize,
    to: usize,
    sum: Histogram,
}

impl Slider {
    fn at(&mut self, run: &RunRecord, version: usize, from: usize, to: usize) -> &Histogram {
        if from < self.from || from >= self.to || to < self.to || !self.leave(run, version, from) {
            self.sum = Histogram::new();
            (self.from, self.to) = (from, from);
        }
        for bin in self.to..to {
            if let Some(cell) = run.cell(bin, version) {
                self.sum.merge(&cell.latency);
            }
        }
        self.to = self.to.max(to);
        &self.sum
    }

    /// Takes the bins before `from` out; `false` if that is not possible (a saturated bucket).
    fn leave(&mut self, run: &RunRecord, version: usize, from: usize) -> bool {
        let mut gone = Histogram::new();
        for cell in (self.from..from).filter_map(|bin| run.cell(bin, version)) {
            gone.merge(&cell.latency);
        }
        self.from = from;
        if gone.is_empty() {
            return true;
        }
        let rest = self.sum.diff(&gone);
        let possible = rest.is_some();
        self.sum = rest.unwrap_or_default();
        possible
    }
}
