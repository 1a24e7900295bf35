//! Owns windows of log rows: sorted once per scrape, merged per look.
//!
//! Memory: the rows of the longest window of any signal for each version, 4 bytes for each wanted column, and each fixed
//! reference once.

use crate::detect::verdict::NoVerdict;
use crate::event::Observations;
use crate::id::VersionId;
use crate::stats::ks::{KsScratch, KsTest, statistic_chunks};
use crate::stats::psi::{self, Edges};
use crate::time::{SimTime, Span};
use std::collections::VecDeque;
use std::ops::Range;

/// One scrape's rows of one version: wanted columns, each sorted, missing values left out. The score is the last column. Of rows
/// of another schema only the score is kept.
#[derive(Debug, Clone, PartialEq)]
struct Chunk {
    at: SimTime,
    from: SimTime,
    rows: usize,
    /// Of another schema: features are not those that are known here.
    foreign: bool,
    columns: Vec<Vec<f32>>,
    /// The same columns with rows side by side, missing values kept, as bits (one that is missing equals itself); only where a
    /// signal looks at several columns at once.
    joint: Vec<Vec<u32>>,
}

impl Chunk {
    /// Bytes behind pointers.
    fn heap(&self) -> usize {
        let columns = self.columns.iter().map(|c| size_of_val(c) + c.capacity() * size_of::<f32>());
        let joint = self.joint.iter().map(|c| size_of_val(c) + c.capacity() * size_of::<u32>());
        columns.sum::<usize>() + joint.sum::<usize>()
    }
}

/// Rows of the first so much time: of all traffic, or of one version's.
#[derive(Debug, Clone, PartialEq)]
struct Fixed {
    of: Option<VersionId>,
    span: Span,
    /// When the earliest of the first rows was answered.
    start: Option<SimTime>,
    chunks: Vec<Chunk>,
    closed: bool,
    /// Edges and counts by (column, bins), filled when first asked for after closing.
    bins: Vec<((usize, usize), Edges, Vec<u32>)>,
}

impl Fixed {
    const fn new(of: Option<VersionId>, span: Span) -> Self {
        Self { of, span, start: None, chunks: Vec::new(), closed: false, bins: Vec::new() }
    }

    /// The first scrape with rows belongs to it, however short the span, and the earliest of all its rows begins it.
    fn take(&mut self, chunk: &Chunk) {
        if self.closed {
            return;
        }
        let first = self.chunks.iter().all(|c| c.at == chunk.at);
        let start = self.start.filter(|start| !first || *start <= chunk.from).unwrap_or(chunk.from);
        self.start = Some(start);
        if first || chunk.at <= start + self.span {
            self.chunks.push(chunk.clone());
        } else {
            self.closed = true;
        }
    }
}

/// Recent rows of all versions.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    wanted: Vec<bool>,
    /// Columns that are looked at row by row.
    joint: Vec<bool>,
    /// Whether log rows carry features.
    features: bool,
    keep: Span,
    by_version: Vec<VecDeque<Chunk>>,
    fixed: Vec<Fixed>,
    own: Vec<Span>,
}

/// One side of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A version's rows of the last `Span`.
    Recent(VersionId, Span),
    /// The rows of the first `Span` of traffic, of one version or of all.
    First(Option<VersionId>, Span),
}

impl Rows {
    /// Windows over `wanted` columns (features in order, then the score), some of them `joint` (rows side by side), kept for
    /// `keep`, with fixed references of the given lengths: of all traffic (`firsts`) and of each version's own (`own`).
    /// `features`: whether log rows carry features.
    #[must_use]
    pub fn new(
        wanted: Vec<bool>,
        joint: Vec<bool>,
        features: bool,
        keep: Span,
        firsts: &[Span],
        own: Vec<Span>,
    ) -> Self {
        let fixed = firsts.iter().map(|&span| Fixed::new(None, span)).collect();
        Self { wanted, joint, features, keep, by_version: Vec::new(), fixed, own }
    }

    /// Takes one batch. Of one whose features do not fit, being of another schema, the scores are kept.
    pub fn take(&mut self, batch: &Observations) {
        let features = self.wanted.len().saturating_sub(1);
        if !self.wanted.contains(&true) || batch.ordinals.is_empty() {
            return;
        }
        let foreign = self.features && batch.features.len() != features;
        let values = |i: usize| match i == features {
            true => Some(&batch.scores),
            false => batch.features.get(i).filter(|_| !foreign),
        };
        let column = |i: usize| values(i).filter(|_| self.wanted[i]).map_or(Vec::new(), |v| sorted(v));
        let bits = |i: usize| match values(i).filter(|_| self.joint[i]) {
            Some(values) => values.iter().map(|x| x.to_bits()).collect(),
            None => Vec::new(),
        };
        let chunk = Chunk {
            at: batch.scraped_at,
            from: batch.ended.iter().copied().min().unwrap_or(batch.scraped_at),
            rows: batch.ordinals.len(),
            foreign,
            columns: (0..=features).map(column).collect(),
            joint: (0..=features).map(bits).collect(),
        };
        for &span in &self.own {
            if !self.fixed.iter().any(|f| f.of == Some(batch.version) && f.span == span) {
                self.fixed.push(Fixed::new(Some(batch.version), span));
            }
        }
        for fixed in self.fixed.iter_mut().filter(|f| f.of.is_none_or(|v| v == batch.version)) {
            fixed.take(&chunk);
        }
        let place = batch.version.index();
        if self.by_version.len() <= place {
            self.by_version.resize(place + 1, VecDeque::new());
        }
        self.by_version[place].push_back(chunk);
        let oldest = batch.scraped_at.minus(self.keep);
        for chunks in &mut self.by_version {
            while chunks.front().is_some_and(|c| c.at <= oldest) {
                chunks.pop_front();
            }
        }
    }

    /// Bytes behind pointers.
    #[must_use]
    pub fn heap(&self) -> usize {
        let recent = self.by_version.iter().map(|chunks| {
            size_of_val(chunks) + chunks.capacity() * size_of::<Chunk>() + chunks.iter().map(Chunk::heap).sum::<usize>()
        });
        let fixed = self.fixed.iter().map(|fixed| {
            let bins =
                fixed.bins.iter().map(|(_, edges, counts)| (edges.bins() * 3 + counts.capacity()) * size_of::<u32>());
            fixed.chunks.capacity() * size_of::<Chunk>()
                + fixed.chunks.iter().map(Chunk::heap).sum::<usize>()
                + bins.sum::<usize>()
        });
        recent.sum::<usize>() + fixed.sum::<usize>()
    }

    fn chunks(&self, side: Side, now: SimTime) -> Vec<&Chunk> {
        match side {
            Side::Recent(version, window) => {
                let oldest = now.minus(window);
                let of = self.by_version.get(version.index());
                of.into_iter().flatten().filter(|c| c.at > oldest && c.at <= now).collect()
            }
            Side::First(of, span) => {
                let fixed = self.fixed.iter().find(|f| f.of == of && f.span == span && f.closed);
                fixed.into_iter().flat_map(|f| &f.chunks).collect()
            }
        }
    }

    /// The scrapes of a side whose rows have all of these columns.
    fn fitting(&self, side: Side, columns: &Range<usize>, now: SimTime) -> impl Iterator<Item = &Chunk> {
        let reads_features = columns.start + 1 < self.wanted.len();
        self.chunks(side, now).into_iter().filter(move |c| !(c.foreign && reads_features))
    }

    /// Rows on a side that have these columns, and the time from which they come.
    #[must_use]
    pub fn extent(&self, side: Side, columns: &Range<usize>, now: SimTime) -> (usize, SimTime) {
        let each = self.fitting(side, columns, now).map(|c| (c.rows, c.from));
        each.fold((0, now), |(rows, from), (more, since)| (rows + more, from.min(since)))
    }

    /// Rows of another schema on a side, of how many in all, and the time from which they come.
    #[must_use]
    pub fn foreign(&self, side: Side, now: SimTime) -> (usize, usize, SimTime) {
        let each = self.chunks(side, now).into_iter();
        each.fold((0, 0, now), |(foreign, all, from), c| {
            (foreign + if c.foreign { c.rows } else { 0 }, all + c.rows, from.min(c.from))
        })
    }

    /// How many values of one column are there on a side.
    #[must_use]
    pub fn present(&self, column: usize, side: Side, now: SimTime) -> usize {
        self.chunks(side, now).iter().filter_map(|c| c.columns.get(column)).map(Vec::len).sum()
    }

    /// The values of one column on a side that are there, in sorted runs.
    #[must_use]
    pub fn runs(&self, column: usize, side: Side, now: SimTime) -> Vec<&[f32]> {
        self.chunks(side, now).iter().filter_map(|c| c.columns.get(column)).map(Vec::as_slice).collect()
    }

    /// The values of one column on a side that are there, sorted run after sorted run.
    #[must_use]
    pub fn values(&self, column: usize, side: Side, now: SimTime) -> Vec<f64> {
        self.runs(column, side, now).into_iter().flatten().map(|&x| f64::from(x)).collect()
    }

    /// The rows of a side, column by column, NaN where a value is missing: only of joint columns.
    #[must_use]
    pub fn rows(&self, columns: Range<usize>, side: Side, now: SimTime) -> Vec<Vec<f64>> {
        let chunks: Vec<&Chunk> = self.fitting(side, &columns, now).collect();
        let column = |i: usize| {
            let bits = chunks.iter().filter_map(|c| c.joint.get(i)).flatten();
            bits.map(|&x| f64::from(f32::from_bits(x))).collect()
        };
        columns.map(column).collect()
    }

    /// The two-sample test on one column; `None` if either side has no value.
    #[must_use]
    pub fn ks(&self, column: usize, a: Side, b: Side, now: SimTime, scratch: &mut KsScratch<f32>) -> Option<KsTest> {
        let (a, b) = (self.chunks(a, now), self.chunks(b, now));
        let values =
            |chunks: &[&Chunk]| -> Option<usize> { chunks.iter().map(|c| c.columns.get(column).map(Vec::len)).sum() };
        if values(&a)? == 0 || values(&b)? == 0 {
            return None;
        }
        let a: Vec<&[f32]> = a.iter().map(|c| c.columns[column].as_slice()).collect();
        let b: Vec<&[f32]> = b.iter().map(|c| c.columns[column].as_slice()).collect();
        statistic_chunks(&a, &b, scratch)
    }

    /// Counts of one column's values on both sides between at most `bins` quantile bins of the reference, and one for what is below
    /// all of it ([`psi::apart`]); the reference's first.
    ///
    /// # Errors
    /// When a side has no value, or a quantile of the reference is infinite.
    pub fn binned(
        &mut self,
        column: usize,
        (window, reference): (Side, Side),
        now: SimTime,
        bins: usize,
    ) -> Result<(Vec<u32>, Vec<u32>), NoVerdict> {
        if self.present(column, reference, now) == 0 {
            return Err(NoVerdict::AllMissing);
        }
        if let Side::First(of, span) = reference {
            self.bin_fixed(of, span, column, bins).ok_or(NoVerdict::NotFinite)?;
        }
        let rows = self.chunks(window, now);
        let fresh;
        let (edges, counts) = match reference {
            Side::First(of, span) => {
                let fixed = self.fixed.iter().find(|f| f.of == of && f.span == span);
                let binned = fixed.and_then(|f| f.bins.iter().find(|(key, ..)| *key == (column, bins)));
                binned.map(|(_, edges, counts)| (edges, counts)).ok_or(NoVerdict::AllMissing)?
            }
            Side::Recent(..) => {
                fresh = bin(&self.chunks(reference, now), column, bins).ok_or(NoVerdict::NotFinite)?;
                (&fresh.0, &fresh.1)
            }
        };
        let there = count(&rows, column, edges).filter(|counts| counts.iter().any(|&c| c > 0));
        let (mut counts, mut there) = (counts.clone(), there.ok_or(NoVerdict::AllMissing)?);
        let runs = self.runs(column, reference, now);
        let least = |edge: f64| runs.iter().filter_map(|run| run.first()).any(|&x| f64::from(x) < edge);
        if let Some(lowest) = edges.lowest(least) {
            let values = rows.iter().filter_map(|chunk| chunk.columns.get(column));
            let below: usize = values.map(|run| run.partition_point(|&x| f64::from(x) < lowest)).sum();
            psi::apart(&mut counts, &mut there, below as u32);
        }
        Ok((counts, there))
    }

    fn bin_fixed(&mut self, of: Option<VersionId>, span: Span, column: usize, bins: usize) -> Option<()> {
        let fixed = self.fixed.iter_mut().find(|f| f.of == of && f.span == span && f.closed)?;
        if !fixed.bins.iter().any(|(key, ..)| *key == (column, bins)) {
            let chunks: Vec<&Chunk> = fixed.chunks.iter().collect();
            let (edges, counts) = bin(&chunks, column, bins)?;
            fixed.bins.push(((column, bins), edges, counts));
        }
        Some(())
    }
}

fn bin(chunks: &[&Chunk], column: usize, bins: usize) -> Option<(Edges, Vec<u32>)> {
    let mut all: Vec<f32> = Vec::new();
    for chunk in chunks {
        all.extend(chunk.columns.get(column)?);
    }
    all.sort_unstable_by(f32::total_cmp);
    let edges = Edges::from_sorted(&all, bins)?;
    let counts = count(chunks, column, &edges)?;
    Some((edges, counts))
}

/// Counts of sorted values between edges (right-closed bins).
fn count(chunks: &[&Chunk], column: usize, edges: &Edges) -> Option<Vec<u32>> {
    let mut counts = vec![0; edges.bins()];
    for chunk in chunks {
        let values = chunk.columns.get(column)?;
        let mut below = 0;
        for (count, &edge) in counts.iter_mut().zip(edges.edges()) {
            let upto = values.partition_point(|&x| f64::from(x) <= edge);
            *count += (upto - below) as u32;
            below = upto;
        }
        *counts.last_mut()? += (values.len() - below) as u32;
    }
    Some(counts)
}

/// The values that are there, in ascending order: sorted by digits of their bits, in time linear in their number.
fn sorted(values: &[f32]) -> Vec<f32> {
    let mut present: Vec<f32> = values.iter().copied().filter(|x| !x.is_nan()).collect();
    radsort::sort(&mut present);
    present
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sorting_by_bits_is_sorting(values: Vec<f32>) {
            let mut expected: Vec<f32> = values.iter().copied().filter(|x| !x.is_nan()).collect();
            expected.sort_by(f32::total_cmp);
            let got = sorted(&values);
            prop_assert_eq!(got.len(), expected.len());
            prop_assert!(got.iter().zip(&expected).all(|(a, b)| a.to_bits() == b.to_bits()));
        }

        /// The first scrape has rows of two versions: the time begins with the earliest of all.
        #[test]
        fn a_first_reference_begins_with_the_earliest_row(first in 1u64..9, second in 1u64..9, span in 1u64..20) {
            let at = |seconds: u64| SimTime::ZERO + Span::secs(seconds);
            let chunk = |from: u64, scraped: u64| Chunk {
                at: at(scraped), from: at(from), rows: 1, columns: vec![vec![0.5]], foreign: false, joint: Vec::new(),
            };
            let mut fixed = Fixed::new(None, Span::secs(span));
            for (from, scraped) in [(first, 10), (second, 10), (11, 20), (21, 30), (31, 40)] {
                fixed.take(&chunk(from, scraped));
            }
            let end = first.min(second) + span;
            let expected = 2 + [20, 30, 40].iter().filter(|scraped| **scraped <= end).count();
            prop_assert_eq!(fixed.chunks.len(), expected);
        }

        #[test]
        fn counts_of_sorted_chunks_are_counts_of_values(
            values in prop::collection::vec(-5.0f32..5.0, 30..200), cut in 0usize..30
        ) {
            let mut all = values.clone();
            all.sort_by(f32::total_cmp);
            let edges = Edges::from_sorted(&all, 10).expect("a reference");
            let mut naive = vec![0; edges.bins()];
            edges.count_into(&values, &mut naive);
            let chunk = |v: &[f32]| Chunk { at: SimTime::ZERO, from: SimTime::ZERO, rows: v.len(), columns: vec![sorted(v)], foreign: false, joint: Vec::new() };
            let (a, b) = (chunk(&values[..cut]), chunk(&values[cut..]));
            prop_assert_eq!(count(&[&a, &b], 0, &edges), Some(naive));
        }
    }
}
