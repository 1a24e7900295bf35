//! Owns windows of gauges: how full each replica was.

use crate::detect::config::Resource;
use crate::event::{Capacity, GaugeRow, Metrics, ReplicaState};
use crate::id::VersionId;
use crate::time::{SimTime, Span};
use std::collections::VecDeque;

/// Recent gauges. Memory: one row for each replica and scrape of the longest window.
#[derive(Debug, Clone, PartialEq)]
pub struct Gauges {
    /// `None`: nobody asks.
    keep: Option<Span>,
    capacity: Capacity,
    scrapes: VecDeque<(SimTime, Vec<GaugeRow>)>,
}

impl Gauges {
    /// Keeps what windows up to `keep` need; `None`: nothing.
    #[must_use]
    pub fn new(keep: Option<Span>) -> Self {
        Self { keep, capacity: Capacity::default(), scrapes: VecDeque::new() }
    }

    /// Bytes behind pointers.
    #[must_use]
    pub fn heap(&self) -> usize {
        let rows = self.scrapes.iter().map(|(_, rows)| rows.capacity() * size_of::<GaugeRow>());
        self.scrapes.capacity() * size_of::<(SimTime, Vec<GaugeRow>)>() + rows.sum::<usize>()
    }

    /// Takes one scrape.
    pub fn take(&mut self, metrics: &Metrics) {
        let Some(keep) = self.keep else { return };
        self.capacity = metrics.capacity;
        self.scrapes.push_back((metrics.scraped_at, metrics.gauges.clone()));
        let oldest = metrics.scraped_at.minus(keep);
        // One scrape at or before the window's start stays: processor time is a difference from it.
        while self.scrapes.len() > 1 && self.scrapes[1].0 <= oldest {
            self.scrapes.pop_front();
        }
    }

    /// The mean share of each replica of a version over the window up to the last scrape, and when the window really began.
    #[must_use]
    pub fn shares(&self, version: VersionId, of: Resource, window: Span) -> (Vec<f64>, SimTime) {
        let Some((now, latest)) = self.scrapes.back() else { return (Vec::new(), SimTime::ZERO) };
        let start = now.minus(window);
        let from = self.scrapes.iter().rev().find(|(at, _)| *at <= start).map_or(SimTime::ZERO, |(at, _)| *at);
        let mine = latest
            .iter()
            .filter(|g| g.version == version && !matches!(g.state, ReplicaState::Stopped | ReplicaState::Crashed));
        let share = |g: &GaugeRow| match of {
            Resource::Queue => self.mean(g, from, |g| ratio(f64::from(g.queued), f64::from(self.capacity.queue))),
            Resource::Memory => self.mean(g, from, |g| ratio(g.memory as f64, self.capacity.memory? as f64)),
            Resource::Cpu => {
                let same = |rows: &[GaugeRow]| rows.iter().find(|r| r.replica == g.replica).copied();
                // Other signals may keep older scrapes than this window has.
                let mut window = self.scrapes.iter().filter(|(at, _)| *at >= from);
                let (at, before) = window.find_map(|(at, rows)| Some((*at, same(rows)?)))?;
                // A counter that fell was begun anew: how much was used is not known.
                let used = Span(g.cpu.0.checked_sub(before.cpu.0)?).as_secs_f64();
                ratio(used, now.since(at).as_secs_f64() * f64::from(self.capacity.concurrency))
            }
        };
        (mine.filter_map(share).collect(), from)
    }

    /// The mean over the scrapes of the window in which the replica was read.
    fn mean(&self, of: &GaugeRow, from: SimTime, share: impl Fn(&GaugeRow) -> Option<f64>) -> Option<f64> {
        let rows = self.scrapes.iter().filter(|(at, _)| *at > from).flat_map(|(_, rows)| rows);
        let shares: Vec<f64> = rows.filter(|g| g.replica == of.replica).filter_map(share).collect();
        (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64)
    }
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}
