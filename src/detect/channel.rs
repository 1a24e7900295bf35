//! Owns channels: one number per observation, in the order in which observations became known.

use crate::event::{Observations, Outcomes};
use crate::id::OutcomeId;
use crate::time::SimTime;

/// What a sequential detector follows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Channel {
    /// The model's score. As the model gives it.
    Score,
    /// A feature as received, by index in the source. Its own unit.
    Feature(usize),
    /// How sure the model is: the larger of score and 1 − score. 0.5 to 1 for probabilities.
    Confidence,
    /// How long the answer took. Seconds.
    Latency,
    /// 1 for a request without an answer, 0 for one that was answered; in order of time.
    Failure,
    /// 1 for a wrong class against the label, and for an answer that is no number, else 0; when the label comes.
    Wrong {
        /// A score at or above this is class 1.
        threshold: f64,
    },
    /// |score − label|, when the label comes; infinite for an answer that is no number. The label's unit.
    AbsoluteError,
    /// (score − label)², when the label comes: the Brier loss where scores are probabilities. Infinite as above.
    SquaredError,
    /// A business outcome, when it is known. 0 or 1, or the declared amount.
    Outcome(OutcomeId),
}

/// Values of one scrape.
#[derive(Debug, Clone, PartialEq)]
pub struct Values {
    /// In order; missing ones are left out.
    pub values: Vec<f64>,
    /// How many are.
    pub missing: usize,
    /// When the request that each is about ended.
    pub ended: Vec<SimTime>,
    /// The scrape that told them.
    pub known: SimTime,
}

impl Values {
    /// Values with their times, without the missing ones.
    fn present(known: SimTime, values: impl Iterator<Item = (f64, SimTime)>) -> Self {
        let mut missing = 0;
        let there = values.filter(|(x, _)| {
            missing += usize::from(x.is_nan());
            !x.is_nan()
        });
        let (values, ended) = there.unzip();
        Self { values, missing, ended, known }
    }
}

impl Channel {
    /// Whether features are needed.
    #[must_use]
    pub const fn reads_features(&self) -> bool {
        matches!(self, Self::Feature(_))
    }

    /// Whether labels are needed.
    #[must_use]
    pub const fn reads_labels(&self) -> bool {
        matches!(self, Self::Wrong { .. } | Self::AbsoluteError | Self::SquaredError)
    }

    /// Whether its values are 0 or 1; those of an outcome that has an amount are not.
    #[must_use]
    pub const fn is_rate(&self) -> bool {
        matches!(self, Self::Failure | Self::Wrong { .. } | Self::Outcome(_))
    }

    /// What rows of the log say; `None` for channels that are about something else.
    #[must_use]
    pub fn of_rows(&self, batch: &Observations) -> Option<Values> {
        let rows = |values: &mut dyn Iterator<Item = f64>| {
            Values::present(batch.scraped_at, values.zip(batch.ended.iter().copied()))
        };
        Some(match self {
            Self::Score => rows(&mut batch.scores.iter().map(|&x| f64::from(x))),
            Self::Confidence => rows(&mut batch.scores.iter().map(|&p| f64::from(p.max(1.0 - p)))),
            Self::Feature(i) => rows(&mut batch.features.get(*i)?.iter().map(|&x| f64::from(x))),
            Self::Latency => rows(&mut batch.latency.iter().map(|l| l.as_secs_f64())),
            Self::Failure => Values::present(batch.scraped_at, failures(&batch.ended, &batch.unanswered).into_iter()),
            Self::Wrong { .. } | Self::AbsoluteError | Self::SquaredError | Self::Outcome(_) => return None,
        })
    }

    /// What labelled answers say, whose labels came with the scrape `known`: (when it ended, score, label).
    #[must_use]
    pub fn of_labelled(&self, known: SimTime, pairs: &[(SimTime, f32, f32)]) -> Option<Values> {
        let value = |&(ended, score, label): &(SimTime, f32, f32)| {
            let (score, label) = (f64::from(score), f64::from(label));
            let loss = match self {
                Self::Wrong { threshold } => {
                    f64::from(u8::from(score.is_nan() || (score >= *threshold) != (label >= 0.5)))
                }
                _ if score.is_nan() => f64::INFINITY,
                Self::AbsoluteError => (score - label).abs(),
                _ => (score - label) * (score - label),
            };
            (if label.is_nan() { f64::NAN } else { loss }, ended)
        };
        self.reads_labels().then(|| Values::present(known, pairs.iter().map(value)))
    }

    /// What a batch of outcomes says.
    #[must_use]
    pub fn of_outcomes(&self, batch: &Outcomes) -> Option<Values> {
        let mine = matches!(self, Self::Outcome(id) if *id == batch.outcome);
        let values = batch.values.iter().map(|&x| f64::from(x)).zip(batch.ended.iter().copied());
        mine.then(|| Values::present(batch.scraped_at, values))
    }
}

/// 0 for each answered request and 1 for each without an answer, both in order of time, and when each ended.
fn failures(answered: &[SimTime], unanswered: &[SimTime]) -> Vec<(f64, SimTime)> {
    let mut out = Vec::with_capacity(answered.len() + unanswered.len());
    let mut failed = unanswered.iter().peekable();
    for end in answered {
        while let Some(&failure) = failed.next_if(|f| *f < end) {
            out.push((1.0, failure));
        }
        out.push((0.0, *end));
    }
    out.extend(failed.map(|&failure| (1.0, failure)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_stand_where_they_happened() {
        let t = |n: u64| SimTime(n);
        let all = [(0.0, t(1)), (1.0, t(2)), (1.0, t(3)), (0.0, t(4)), (1.0, t(9))];
        assert_eq!(failures(&[t(1), t(4)], &[t(2), t(3), t(9)]), all);
        assert_eq!(failures(&[], &[t(2)]), [(1.0, t(2))]);
        assert_eq!(failures(&[t(2)], &[]), [(0.0, t(2))]);
    }
}
