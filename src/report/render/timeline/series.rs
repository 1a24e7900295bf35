//! Owns the numbers behind the panels: windows gathered into bins that can be read, and lines with gaps where nothing was
//! measured.

use crate::event::Event;
use crate::id::{SignalId, VersionId};
use crate::report::trial::{RequestCounts, TrialReport, Window};
use crate::stats::histogram::Histogram;
use crate::time::{SimTime, Span};

/// About so many points fit beside each other.
const POINTS: usize = 220;

/// One or more windows in a row.
#[derive(Debug, Clone)]
pub(super) struct Bin {
    pub(super) from: SimTime,
    pub(super) to: SimTime,
    /// By version.
    pub(super) cells: Vec<Gathered>,
}

/// What a version did in a while.
#[derive(Debug, Clone, Default)]
pub(super) struct Gathered {
    pub(super) counts: RequestCounts,
    pub(super) latency: Histogram,
}

impl Gathered {
    fn add(&mut self, counts: &RequestCounts, latency: &Histogram) {
        self.counts.requests += counts.requests;
        self.counts.bad += counts.bad;
        self.counts.failed += counts.failed;
        self.counts.late += counts.late;
        self.counts.wrong += counts.wrong;
        self.counts.lost += counts.lost;
        self.latency.merge(latency);
    }
}

/// A stretch of a line without a gap.
pub(super) type Run = Vec<(SimTime, f64)>;

/// The windows that begin before arrivals end: what ends after that is a handful, and no share or quantile.
fn within(report: &TrialReport) -> &[Window] {
    let n = report.windows.partition_point(|window| window.from < report.horizon);
    &report.windows[..n]
}

/// The windows of a report in at most about [`POINTS`] bins of equally many windows.
pub(super) fn bins(report: &TrialReport) -> Vec<Bin> {
    let versions = report.names.versions.len();
    let windows = within(report);
    let size = windows.len().div_ceil(POINTS + POINTS / 10).max(1);
    let gather = |windows: &[Window]| {
        let (first, last) = (windows.first()?, windows.last()?);
        let mut cells = vec![Gathered::default(); versions];
        for window in windows {
            for (sum, cell) in cells.iter_mut().zip(&window.cells) {
                sum.add(&cell.counts, &cell.latency);
            }
        }
        Some(Bin { from: first.from, to: last.to, cells })
    };
    windows.chunks(size).filter_map(gather).collect()
}

/// A line of one version: bins are joined until they hold `enough` requests, so that a canary with little traffic is a line
/// and not noise; a bin without any request ends a run. Bins on both sides of a cut are not joined, so that no line rises
/// before its cause. What is too little for a point of its own beside a gap or a cut is left out: nothing is better than noise.
pub(super) fn line(
    bins: &[Bin],
    cuts: &[SimTime],
    version: VersionId,
    enough: u64,
    value: impl Fn(&Gathered) -> Option<f64>,
) -> Vec<Run> {
    // However thin the traffic, a point stands for a fortieth of the time at most.
    let longest = bins.last().map_or(Span::ZERO, |last| Span(last.to.0 / 40));
    let mut runs: Vec<Run> = vec![Vec::new()];
    let mut open: Option<(SimTime, Gathered)> = None;
    let mut until = SimTime::ZERO;
    let close = |runs: &mut Vec<Run>, open: &mut Option<(SimTime, Gathered)>, until: SimTime| {
        if let Some((from, gathered)) = open.take()
            && let (Some(value), Some(run)) = (value(&gathered), runs.last_mut())
            && value.is_finite()
        {
            run.push((SimTime(from.0 / 2 + until.0 / 2), value));
        }
    };
    let worth = |(_, gathered): &(SimTime, Gathered)| gathered.counts.requests * 3 >= enough;
    for bin in bins {
        let cell = bin.cells.get(version.index()).filter(|cell| cell.counts.requests > 0);
        let Some(cell) = cell else {
            open = open.filter(worth);
            close(&mut runs, &mut open, until);
            if runs.last().is_some_and(|run| !run.is_empty()) {
                runs.push(Vec::new());
            }
            continue;
        };
        if let Some((from, _)) = open
            && cuts.iter().any(|&cut| from < cut && cut <= bin.from)
        {
            open = open.filter(worth);
            close(&mut runs, &mut open, until);
        }
        let (from, gathered) = open.get_or_insert_with(|| (bin.from, Gathered::default()));
        gathered.add(&cell.counts, &cell.latency);
        until = bin.to;
        if gathered.counts.requests >= enough || until.since(*from) >= longest {
            close(&mut runs, &mut open, until);
        }
    }
    close(&mut runs, &mut open, until);
    runs.retain(|run| !run.is_empty());
    runs
}

/// A field of a signal as measured of one version, the newest of each bin; a look without a value, or a look that is long
/// overdue, ends a run.
pub(super) fn signal(
    report: &TrialReport,
    signal: SignalId,
    field: usize,
    version: VersionId,
    end: SimTime,
) -> Vec<Run> {
    let looks: Vec<(SimTime, f64)> = report
        .events
        .iter()
        .filter_map(|fact| match &fact.event {
            Event::Measured(measured) if measured.signal == signal && measured.version == version && fact.at <= end => {
                Some((fact.at, measured.values.get(field).copied().unwrap_or(f64::NAN)))
            }
            _ => None,
        })
        .collect();
    let mut steps: Vec<Span> = looks.windows(2).map(|pair| pair[1].0.since(pair[0].0)).collect();
    steps.sort_unstable();
    let usual = steps.get(steps.len() / 2).copied().unwrap_or(Span::ZERO);
    let overdue = Span(usual.0.saturating_mul(3).max(end.0 / POINTS as u64 * 2));
    let width = (end.0 / POINTS as u64).max(1);
    let mut runs: Vec<Run> = vec![Vec::new()];
    for (at, value) in looks {
        let Some(run) = runs.last_mut() else { break };
        let gap = run.last().is_some_and(|&(last, _)| at.since(last) > overdue);
        if !value.is_finite() {
            if !run.is_empty() {
                runs.push(Vec::new());
            }
        } else if gap {
            runs.push(vec![(at, value)]);
        } else {
            if run.last().is_some_and(|&(last, _)| last.0 / width == at.0 / width) {
                run.pop();
            }
            run.push((at, value));
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// The least and the greatest value of several lines.
pub(super) fn extent<'a>(runs: impl IntoIterator<Item = &'a Run>) -> Option<(f64, f64)> {
    let values = runs.into_iter().flatten().map(|&(_, value)| value);
    values.fold(None, |extent, value| match extent {
        None => Some((value, value)),
        Some((low, high)) => Some((value.min(low), value.max(high))),
    })
}

/// Round numbers that cut `[low, high]` into at most `parts` parts.
pub(in crate::report::render) fn round_steps(low: f64, high: f64, parts: usize) -> Vec<f64> {
    let range = high - low;
    if !(range.is_finite() && range > 0.0) || parts == 0 {
        return Vec::new();
    }
    let mut unit = 1.0_f64;
    while unit > range / parts as f64 && unit > 1e-12 {
        unit /= 10.0;
    }
    while unit * 10.0 <= range / parts as f64 {
        unit *= 10.0;
    }
    let step =
        [1.0, 2.0, 5.0, 10.0, 20.0].iter().map(|m| m * unit).find(|step| range / step <= parts as f64).unwrap_or(range);
    let first = (low / step - 1e-9).ceil();
    (0..=parts).map(|i| (first + i as f64) * step).take_while(|value| *value <= high + step * 1e-9).collect()
}

/// Instants for the time axis: at most `parts` steps of a length that clocks have.
pub(super) fn clock_steps(end: SimTime, parts: u64) -> Vec<SimTime> {
    const STEPS_S: [u64; 24] = [
        1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800,
        604_800, 1_209_600, 2_419_200, 4_838_400, 9_676_800,
    ];
    let step = STEPS_S.iter().map(|&s| Span::secs(s)).find(|step| end.0 / step.0 <= parts);
    let step = step.unwrap_or(Span(end.0 / parts.max(1) + 1));
    (0..=end.0 / step.0).map(|i| SimTime(i * step.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_few() {
        assert_eq!(round_steps(0.0, 1.0, 5), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(round_steps(0.0, 17.0, 4), [0.0, 5.0, 10.0, 15.0]);
        for (low, high) in [(0.0, 1e-9), (0.3, 0.31), (-5.0, 1e6), (0.0, 3.0)] {
            let steps = round_steps(low, high, 4);
            assert!((2..=5).contains(&steps.len()), "{low}..{high}: {steps:?}");
        }
        assert!(round_steps(1.0, 1.0, 4).is_empty());
        assert_eq!(clock_steps(SimTime::ZERO + Span::secs(2_400), 12).len(), 9);
        assert!(clock_steps(SimTime::NEVER, 12).len() <= 14);
    }
}
