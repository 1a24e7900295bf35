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
use crate::report::series::Series;
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
    run: Series<'a>,
    /// Fault-free runs to compare the same bins with, the better one first.
    beside: Vec<Series<'a>>,
    pooled: Vec<Option<Level>>,
    overall: Option<Level>,
}

impl<'a> Verifier<'a> {
    /// Compares `run` with fault-free runs on the same streams.
    #[must_use]
    pub fn with_twins(run: &'a RunRecord, clean: &[&'a RunRecord], recovery: Recovery) -> Self {
        // A run on another grid cannot be compared bin by bin, only as a whole.
        let beside = clean.iter().filter(|c| c.grid == run.grid).map(|c| Series::new(c)).collect();
        let (pooled, overall) =
            levels(run.versions.len(), 1, |v| clean.iter().flat_map(move |c| cells(c, v, usize::MAX)));
        Self { recovery, run: Series::new(run), beside, pooled, overall }
    }

    /// Compares `run` with itself before a bin.
    #[must_use]
    pub fn with_past(run: &'a RunRecord, before_bin: usize, recovery: Recovery) -> Self {
        let (pooled, overall) = levels(run.versions.len(), recovery.requests.max(1), |v| cells(run, v, before_bin));
        Self { recovery, run: Series::new(run), beside: Vec::new(), pooled, overall }
    }

    /// The end of the window that starts with this bin, exclusive; `None` if it is thin.
    #[must_use]
    pub fn end_of(&self, from: usize) -> Option<usize> {
        let bins = self.run.record.bins();
        if self.run.all(from, from + 1).requests == 0 {
            return None;
        }
        let mut to = from.checked_add(self.run.record.grid.window).filter(|&to| to <= bins)?;
        while self.run.all(from, to).requests < self.recovery.requests.max(1) {
            if to >= bins {
                return None;
            }
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
        match self.shares(from, to) {
            // Latency is the dearer half, and can change nothing any more.
            seen @ (Seen::Thin | Seen::Outside { clearly: true }) => seen,
            Seen::Within => self.latency(from, to),
            Seen::Outside { clearly: false } => match self.latency(from, to) {
                Seen::Outside { clearly } => Seen::Outside { clearly },
                _ => Seen::Outside { clearly: false },
            },
        }
    }

    fn shares(&self, from: usize, to: usize) -> Seen {
        let (margin, required) = (self.recovery.margin, self.recovery.requests.max(1) as f64);
        let (mut total, mut excess, mut bad) = (0.0, [0.0; 3], [0.0; 3]);
        let (mut outside, mut clearly) = (false, false);
        let mut weigh = |over: f64, count: f64, n: f64, allowed: f64| {
            outside |= over > allowed;
            clearly |= over - 3.0 * binomial_sd(count, n) > allowed;
        };
        for v in 0..self.run.versions() {
            let seen = self.run.counts(v, from, to);
            if seen.requests == 0 {
                continue;
            }
            let n = seen.requests as f64;
            let Some(expected) = self.expected(v, from, to) else { return Seen::Thin };
            total += n;
            for (((count, share), excess), bad) in reasons(&seen).iter().zip(expected).zip(&mut excess).zip(&mut bad) {
                let over = count - n * share;
                *excess += over;
                *bad += count;
                weigh(over, *count, n, margin * n.max(required));
            }
        }
        for (over, count) in excess.into_iter().zip(bad) {
            weigh(over, count, total, margin * total);
        }
        if outside { Seen::Outside { clearly } } else { Seen::Within }
    }

    fn latency(&mut self, from: usize, to: usize) -> Seen {
        let required = self.recovery.requests.max(1);
        // Sums of p99 × answers, seen and allowed; answers, and those above what is allowed.
        let (mut seen, mut allowed, mut answers, mut beyond) = (0.0, 0.0, 0.0, 0.0);
        let (mut outside, mut clearly) = (false, false);
        for v in 0..self.run.versions() {
            if self.run.counts(v, from, to).requests == 0 {
                continue;
            }
            let Some(limit) = self.expected_p99(v, from, to).map(|p| p * (1.0 + self.recovery.latency_margin)) else {
                continue;
            };
            let Some(histogram) = self.run.latency(v, from, to) else { continue };
            let Some(p99) = histogram.quantile(0.99) else { continue };
            let (n, above) = (histogram.count() as f64, histogram.count_above(limit as u64) as f64);
            seen += p99 * n;
            allowed += limit * n;
            answers += n;
            beyond += above;
            if histogram.count() >= required && p99 > limit {
                outside = true;
                clearly |= clearly_above(above, n);
            }
        }
        if seen > allowed {
            outside = true;
            clearly |= clearly_above(beyond, answers);
        }
        if outside { Seen::Outside { clearly } } else { Seen::Within }
    }

    /// The fault-free run with enough requests of a version in these bins.
    fn beside(&self, version: usize, from: usize, to: usize) -> Option<usize> {
        let least = self.recovery.requests.max(1);
        self.beside.iter().position(|twin| twin.counts(version, from, to).requests >= least)
    }

    fn elsewhere(&self, version: usize) -> Option<Level> {
        self.pooled.get(version).copied().flatten().or(self.overall)
    }

    fn expected(&self, version: usize, from: usize, to: usize) -> Option<[f64; 3]> {
        match self.beside(version, from, to).and_then(|i| self.beside.get(i)) {
            Some(twin) => Some(shares(&twin.counts(version, from, to))),
            None => Some(self.elsewhere(version)?.shares),
        }
    }

    fn expected_p99(&mut self, version: usize, from: usize, to: usize) -> Option<f64> {
        let beside = self.beside(version, from, to);
        match beside.and_then(|i| self.beside.get_mut(i)) {
            Some(twin) => twin.latency(version, from, to)?.quantile(0.99),
            None => self.elsewhere(version)?.p99,
        }
    }

    /// Whether the share of bad requests, whatever the reason, exceeds the level before the given bin by the margin;
    /// `None` for a thin window or without a level. The twin-free onset is the first such window.
    #[must_use]
    pub fn exceeds_past(&self, from: usize, before_bin: usize) -> Option<bool> {
        let to = self.end_of(from)?;
        let (past, now) = (self.run.all(0, before_bin), self.run.all(from, to));
        if past.requests == 0 {
            return None;
        }
        let share = |c: &RequestCounts| c.bad as f64 / c.requests.max(1) as f64;
        Some(share(&now) > share(&past) + self.recovery.margin)
    }
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

fn shares(counts: &RequestCounts) -> [f64; 3] {
    let n = counts.requests.max(1) as f64;
    reasons(counts).map(|count| count / n)
}

fn level_of(counts: &RequestCounts, latency: &Histogram) -> Level {
    Level { shares: shares(counts), p99: latency.quantile(0.99) }
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
