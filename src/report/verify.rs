//! Owns the verification window: whether users were well in a stretch of time, against what the versions that then served
//! do without a fault.
//!
//! # Definition
//!
//! A window starts with a bin in which requests ended. It is as long as declared, and longer where it takes longer to hold
//! the declared number of requests; what never gets there is *thin*: no traffic is not recovery. It is *within* the
//! margins if
//!
//! - over all versions, the shares of failed, late and wrong requests each exceed what is expected by at most the margin,
//!   where expected is each version's share without a fault, weighted by its requests in the window;
//! - the same holds of each version alone, in requests: its excess is at most margin × max(its requests, the required
//!   number): a canary's harm does not drown in the traffic beside it, and one bad request of five is not 20 %;
//! - p99 latency exceeds the expected one by at most the latency margin: over all versions (the mean of the versions' p99s,
//!   weighted by their answers, on both sides), and of each version alone that has the required number of answers.
//!
//! Otherwise it is *outside*, and *clearly* so if by more than chance would do: three standard errors of the share; for
//! latency, the share of answers above the limit exceeds 1 % by three standard errors.
//!
//! A version's share without a fault is that of the same bins of (P, ∅), else of (hold, ∅), if it has the required number of
//! requests there; else its pooled share over both whole runs; and if it never served there, that of all versions. Without
//! a twin it is its share before the injection if it had the required number of requests then, else that of all versions.

use crate::report::fold::{BinCell, RunRecord};
use crate::report::objective::Recovery;
use crate::report::trial::RequestCounts;
use crate::stats::histogram::Histogram;

/// What one window shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Too few requests until the end of the run, none in its first bin, or nothing to compare with.
    Thin,
    /// Users are well.
    Within,
    /// They are not.
    Outside {
        /// By more than chance would do.
        clearly: bool,
    },
}

/// What a version does without a fault.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Level {
    /// Shares of failed, late, wrong requests.
    shares: [f64; 3],
    /// Nanoseconds; `None` without answers.
    p99: Option<f64>,
}

/// Looks at windows of one run; ask for them in order of time, which is fast.
#[derive(Debug, Clone)]
pub struct Verifier<'a> {
    recovery: Recovery,
    run: Vec<Slider<'a>>,
    record: &'a RunRecord,
    /// Fault-free runs to compare the same bins with, the better one first.
    beside: Vec<Vec<Slider<'a>>>,
    pooled: Vec<Option<Level>>,
    overall: Option<Level>,
}

impl<'a> Verifier<'a> {
    /// Compares `run` with fault-free runs on the same streams.
    #[must_use]
    pub fn with_twins(run: &'a RunRecord, clean: &[&'a RunRecord], recovery: Recovery) -> Self {
        // A run on another grid cannot be compared bin by bin, only as a whole.
        let same_grid = clean.iter().filter(|c| c.grid == run.grid);
        let beside = same_grid.map(|c| sliders(c)).collect();
        let (pooled, overall) = levels(run.versions.len(), 1, |v| clean.iter().flat_map(move |c| cells(c, v, usize::MAX)));
        Self { recovery, run: sliders(run), record: run, beside, pooled, overall }
    }

    /// Compares `run` with itself before a bin.
    #[must_use]
    pub fn with_past(run: &'a RunRecord, before_bin: usize, recovery: Recovery) -> Self {
        let least = recovery.requests.max(1);
        let (pooled, overall) = levels(run.versions.len(), least, |v| cells(run, v, before_bin));
        Self { recovery, run: sliders(run), record: run, beside: Vec::new(), pooled, overall }
    }

    /// The end of the window that starts with this bin, exclusive; `None` if it is thin.
    #[must_use]
    pub fn end_of(&self, from: usize) -> Option<usize> {
        let (bins, versions) = (self.record.bins(), self.record.versions.len());
        let requests = |bin: usize| -> u64 {
            (0..versions).filter_map(|v| self.record.cell(bin, v)).map(|c| c.counts.requests).sum()
        };
        if requests(from) == 0 {
            return None;
        }
        let mut to = from.checked_add(self.record.grid.window).filter(|&to| to <= bins)?;
        let mut n: u64 = (from..to).map(requests).sum();
        while n < self.recovery.requests.max(1) {
            if to >= bins {
                return None;
            }
            n += requests(to);
            to += 1;
        }
        Some(to)
    }

    /// Judges the window that starts with this bin.
    pub fn look(&mut self, from: usize) -> Seen {
        match self.end_of(from) {
            Some(to) => self.judge(from, to),
            None => Seen::Thin,
        }
    }

    fn judge(&mut self, from: usize, to: usize) -> Seen {
        let (margin, required) = (self.recovery.margin, self.recovery.requests.max(1) as f64);
        let limit_factor = 1.0 + self.recovery.latency_margin;
        let mut total = 0.0;
        let mut excess = [0.0; 3];
        let mut bad = [0.0; 3];
        // Sums of p99 × answers: measured and expected; and answers beyond the limit.
        let mut latency = (0.0, 0.0);
        let (mut answers, mut beyond) = (0.0, 0.0);
        let (mut outside, mut clearly) = (false, false);
        for v in 0..self.run.len() {
            let Some(seen) = self.run.get_mut(v).map(|s| s.at(from, to)) else { continue };
            if seen.counts.requests == 0 {
                continue;
            }
            let (n, shares) = (seen.counts.requests as f64, reasons(&seen.counts));
            let measured = Measured { answered: seen.answered() as f64, p99: seen.latency.quantile(0.99) };
            let Some(level) = self.level(v, from, to) else { return Seen::Thin };
            total += n;
            for (i, count) in shares.into_iter().enumerate() {
                let over = count - n * level.shares[i];
                excess[i] += over;
                bad[i] += count;
                outside |= over > margin * n.max(required);
                clearly |= over - 3.0 * binomial_sd(count, n) > margin * n.max(required);
            }
            let (Some(p99), Some(expected)) = (measured.p99, level.p99) else { continue };
            let limit = expected * limit_factor;
            let above = self.run.get(v).map_or(0, |s| s.sum.latency.count_above(limit as u64)) as f64;
            latency.0 += p99 * measured.answered;
            latency.1 += limit * measured.answered;
            answers += measured.answered;
            beyond += above;
            if measured.answered >= required && p99 > limit {
                outside = true;
                clearly |= clearly_above(above, measured.answered);
            }
        }
        for i in 0..3 {
            outside |= excess[i] > margin * total;
            clearly |= excess[i] - 3.0 * binomial_sd(bad[i], total) > margin * total;
        }
        if latency.0 > latency.1 {
            outside = true;
            clearly |= clearly_above(beyond, answers);
        }
        if outside { Seen::Outside { clearly } } else { Seen::Within }
    }

    fn level(&mut self, version: usize, from: usize, to: usize) -> Option<Level> {
        let least = self.recovery.requests.max(1);
        for twin in &mut self.beside {
            if let Some(sum) = twin.get_mut(version).map(|s| s.at(from, to))
                && sum.counts.requests >= least
            {
                return Some(level_of(&sum.counts, &sum.latency));
            }
        }
        self.pooled.get(version).copied().flatten().or(self.overall)
    }

    /// Whether the share of bad requests, whatever the reason, exceeds the level before the given bin by the margin;
    /// `None` for a thin window or without a level. The twin-free onset is the first such window.
    #[must_use]
    pub fn exceeds_past(&self, from: usize, before_bin: usize) -> Option<bool> {
        let to = self.end_of(from)?;
        let sum = |from: usize, to: usize| {
            let mut counts = RequestCounts::default();
            let range = (from..to.min(self.record.bins())).flat_map(|b| (0..self.run.len()).map(move |v| (b, v)));
            range.filter_map(|(b, v)| self.record.cell(b, v)).for_each(|c| counts.add(&c.counts));
            counts
        };
        let (past, now) = (sum(0, before_bin), sum(from, to));
        if past.requests == 0 {
            return None;
        }
        let share = |c: &RequestCounts| c.bad as f64 / c.requests.max(1) as f64;
        Some(share(&now) > share(&past) + self.recovery.margin)
    }
}

struct Measured {
    answered: f64,
    p99: Option<f64>,
}

const fn reasons(counts: &RequestCounts) -> [f64; 3] {
    [counts.failed as f64, counts.late as f64, counts.wrong as f64]
}

/// Standard deviation of a count by chance, at the share that was seen.
fn binomial_sd(count: f64, n: f64) -> f64 {
    (count * (1.0 - count / n.max(1.0))).max(0.0).sqrt()
}

/// Whether more answers lie above a p99 than the 1 % that may, by more than chance.
fn clearly_above(above: f64, answers: f64) -> bool {
    above - 0.01 * answers > 3.0 * (0.01 * 0.99 * answers).sqrt()
}

fn level_of(counts: &RequestCounts, latency: &Histogram) -> Level {
    let n = counts.requests.max(1) as f64;
    Level { shares: reasons(counts).map(|count| count / n), p99: latency.quantile(0.99) }
}

fn cells(run: &RunRecord, version: usize, before_bin: usize) -> impl Iterator<Item = &BinCell> {
    (0..run.bins().min(before_bin)).filter_map(move |bin| run.cell(bin, version))
}

/// The level of each version with at least so many requests, and of all versions together.
fn levels<'a, I>(versions: usize, least: u64, cells: impl Fn(usize) -> I) -> (Vec<Option<Level>>, Option<Level>)
where
    I: Iterator<Item = &'a BinCell>,
{
    let mut all = (RequestCounts::default(), Histogram::new());
    let pooled = (0..versions).map(|v| {
        let mut own = (RequestCounts::default(), Histogram::new());
        for cell in cells(v) {
            own.0.add(&cell.counts);
            own.1.merge(&cell.latency);
        }
        all.0.add(&own.0);
        all.1.merge(&own.1);
        (own.0.requests >= least).then(|| level_of(&own.0, &own.1))
    });
    let pooled = pooled.collect();
    (pooled, (all.0.requests > 0).then(|| level_of(&all.0, &all.1)))
}

fn sliders(run: &RunRecord) -> Vec<Slider<'_>> {
    (0..run.versions.len()).map(|version| Slider { run, version, from: 0, to: 0, sum: BinCell::default() }).collect()
}

/// The sum of one version's cells over a stretch of bins, cheap to move forward.
#[derive(Debug, Clone)]
struct Slider<'a> {
    run: &'a RunRecord,
    version: usize,
    from: usize,
    to: usize,
    sum: BinCell,
}

impl Slider<'_> {
    fn at(&mut self, from: usize, to: usize) -> &BinCell {
        if from < self.from || from >= self.to || to < self.to || !self.leave(from) {
            self.sum = BinCell::default();
            (self.from, self.to) = (from, from);
        }
        for bin in self.to..to {
            if let Some(cell) = self.run.cell(bin, self.version) {
                self.sum.counts.add(&cell.counts);
                self.sum.latency.merge(&cell.latency);
            }
        }
        self.to = self.to.max(to);
        &self.sum
    }

    /// Takes the bins before `from` out; `false` if that is not possible (a saturated bucket).
    fn leave(&mut self, from: usize) -> bool {
        let mut gone = BinCell::default();
        for bin in self.from..from {
            if let Some(cell) = self.run.cell(bin, self.version) {
                gone.counts.add(&cell.counts);
                gone.latency.merge(&cell.latency);
            }
        }
        if gone.counts.requests > 0 {
            let Some(rest) = self.sum.latency.diff(&gone.latency) else { return false };
            self.sum.latency = rest;
            self.sum.counts.take(&gone.counts);
        }
        self.from = from;
        true
    }
}
