//! Owns fairness: shares by group of users, and the groups that differ most.

use crate::detect::Measurement;
use crate::detect::config::{Disparity, Fairness};
use crate::detect::labelled::Pair;
use crate::detect::looks::Surety;
use crate::detect::ring::{Ring, Slice};
use crate::detect::verdict::NoVerdict;
use crate::event::Observations;
use crate::id::VersionId;
use crate::stats::fairness::Spread;
use crate::stats::proportion::Share;
use crate::time::{SimTime, Span};

/// Those that get class 1, by group.
type Counts = Vec<Share>;

/// What each scrape brought of each group.
#[derive(Debug, Clone, PartialEq)]
pub struct Groups {
    ring: Ring<Counts>,
}

impl Groups {
    /// Nothing seen yet.
    #[must_use]
    pub const fn new(keep: Span) -> Self {
        Self { ring: Ring::new(keep) }
    }

    /// Bytes behind pointers.
    #[must_use]
    pub fn heap(&self) -> usize {
        self.ring.heap(|counts| counts.capacity() * size_of::<Share>())
    }

    /// Counts a batch. Who gets an answer that is no number does not get class 1.
    pub fn take(&mut self, config: &Fairness, batch: &Observations) {
        if config.disparity != Disparity::DemographicParity {
            return;
        }
        let Some(from) = batch.ended.iter().copied().min() else { return };
        let mut counts = vec![Share::default(); config.names.len()];
        for (&segment, &score) in batch.segments.iter().zip(&batch.scores) {
            if let Some(count) = config.group(segment).and_then(|g| counts.get_mut(usize::from(g))) {
                count.add(f64::from(score) >= config.threshold);
            }
        }
        self.ring.push(batch.version, Slice { at: batch.scraped_at, from, what: counts });
    }

    /// The groups that differ most, with an interval for the spread of the true rates. `pairs`: labelled answers of the version.
    ///
    /// # Errors
    /// When fewer than two groups have the minimum.
    pub fn look(
        &self,
        config: &Fairness,
        version: VersionId,
        pairs: &[Pair],
        at: SimTime,
        surety: Surety,
    ) -> Result<Measurement, NoVerdict> {
        let mut counts: Counts = vec![Share::default(); config.names.len()];
        let mut from = at;
        match config.disparity {
            Disparity::DemographicParity => {
                for slice in self.ring.over(version, config.window, at) {
                    from = from.min(slice.from);
                    counts.iter_mut().zip(&slice.what).for_each(|(sum, n)| sum.merge(n));
                }
            }
            Disparity::EqualOpportunity => {
                for pair in pairs {
                    let (class, truth) = pair.classes(config.threshold);
                    let group = config.group(pair.segment).and_then(|g| counts.get_mut(usize::from(g)));
                    if let (true, Some(count)) = (truth, group) {
                        from = from.min(pair.ended);
                        count.add(class);
                    }
                }
            }
        }
        let (values, pair) = spread(&counts, config.min, surety)?;
        Ok(Measurement { values, from, column: Some(pair.0 * config.names.len() + pair.1) })
    }
}

/// Value, lower, upper, ratio (NaN if nobody of either gets class 1), n of the smaller group; and which two, the better off first.
fn spread(counts: &[Share], min: u64, surety: Surety) -> Result<(Vec<f64>, (usize, usize)), NoVerdict> {
    let groups = counts.iter().enumerate().map(|(group, share)| (group as u32, *share));
    let spread = Spread::of(groups, min).ok_or(NoVerdict::OneGroup)?;
    let minus = if surety.exact { Share::minus_exactly } else { Share::minus };
    let interval = spread.interval_by(surety.confidence, minus).ok_or(NoVerdict::OneGroup)?;
    let ((low, worst), (high, best)) =
        spread.compared.first().zip(spread.compared.last()).ok_or(NoVerdict::OneGroup)?;
    let n = worst.trials.min(best.trials) as f64;
    let values = vec![spread.difference(), interval.low, interval.high, spread.ratio().unwrap_or(f64::NAN), n];
    Ok((values, (*high as usize, *low as usize)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_of_three_decides_nothing() {
        let sure = Surety { confidence: 0.95, exact: false };
        let counts = |counts: &[(u64, u64)]| counts.iter().map(|&(k, n)| Share::new(k, n)).collect::<Vec<_>>();
        assert_eq!(spread(&counts(&[(3, 3), (50, 100)]), 30, sure), Err(NoVerdict::OneGroup));
        let (values, pair) = spread(&counts(&[(3, 3), (50, 100), (20, 100)]), 30, sure).unwrap();
        assert_eq!(pair, (1, 2));
        assert!((values[0] - 0.3).abs() < 1e-15 && (values[3] - 0.4).abs() < 1e-15, "{values:?}");
        assert!(values[1] > 0.15 && values[2] < 0.45 && values[4] == 100.0, "{values:?}");
        let exact = spread(&counts(&[(50, 100), (20, 100)]), 30, Surety { exact: true, ..sure }).unwrap().0;
        assert!(exact[1] < values[1] && exact[2] > values[2], "{exact:?}");
        assert!(spread(&counts(&[(0, 100), (0, 100)]), 30, sure).unwrap().0[3].is_nan());
    }
}
