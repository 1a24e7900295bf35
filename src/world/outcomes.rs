//! Owns outcomes: what users do after their requests that the business counts, drawn for each and known later.
//!
//! What one request is dealt belongs to its ordinal, in a stream named after its source and the outcome: a uniform against which
//! the chance is held, one for the amount, one for the delay. So a request that is answered alike has the same outcome under
//! every policy and every version, and one that is answered worse has it where its uniform lies below the smaller chance.

use crate::event::{Outcomes, RequestEnd};
use crate::id::{OutcomeId, SegmentId, SourceId, VersionId};
use crate::rng::{Seed, Stream, unit};
use crate::time::SimTime;
use crate::world::config::{OutcomeConfig, WorldConfig};
use crate::world::due::Due;
use crate::world::traffic;

/// Words of an outcome's stream that belong to one request: whether it happens, its amount, its delay.
const WORDS: u64 = 3;

/// What one request came to.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Known {
    source: SourceId,
    outcome: OutcomeId,
    version: VersionId,
    at: SimTime,
    ordinal: u64,
    ended: SimTime,
    segment: SegmentId,
    value: f32,
}

/// Outcomes of all sources, with what is not known yet. Memory: 48 bytes for each request and outcome until it is known.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Aftermath {
    /// By source, those that surges add included.
    sources: Vec<Vec<(OutcomeConfig, Stream)>>,
    due: Due<Known>,
}

impl Aftermath {
    /// Nothing drawn yet.
    pub(crate) fn new(config: &WorldConfig, seed: Seed) -> Self {
        let of = |(name, schema): (String, SourceId)| {
            let stream =
                |o: &OutcomeConfig| Stream::named(seed, &format!("source/{name}"), &format!("outcome/{}", o.name));
            config.sources[schema.index()].outcomes.iter().map(|o| (o.clone(), stream(o))).collect()
        };
        Self { sources: traffic::names(config).into_iter().map(of).collect(), due: Due::new(config.telemetry.scrape) }
    }

    /// Draws what a request that has ended comes to.
    pub(crate) fn follow(&mut self, end: &RequestEnd) {
        let Some(outcomes) = self.sources.get_mut(end.request.source.index()) else { return };
        for (config, luck) in outcomes {
            luck.seek(end.request.ordinal * WORDS);
            let [happens, amount, delay] = [(); WORDS as usize].map(|()| unit(luck.word()));
            let value = match &config.amount {
                _ if happens >= config.chance(end) => 0.0,
                None => 1.0,
                Some(law) => law.at(amount),
            };
            let at = end.ended + config.delay.at(delay);
            let known = Known {
                source: end.request.source,
                outcome: config.id,
                version: end.version,
                at,
                ordinal: end.request.ordinal,
                ended: end.ended,
                segment: end.segment,
                value,
            };
            self.due.put(at, known);
        }
    }

    /// What is known at the n-th scrape and was not at the one before that arrived, by (source, outcome, version).
    pub(crate) fn scrape(&mut self, now: SimTime, n: u64) -> Vec<Outcomes> {
        let mut known = self.due.take(n);
        known.sort_unstable_by_key(|k| (k.source, k.outcome, k.version, k.at, k.ordinal));
        let same = |a: &Known, b: &Known| (a.source, a.outcome, a.version) == (b.source, b.outcome, b.version);
        let batch = |rows: &[Known]| Outcomes {
            scraped_at: now,
            source: rows[0].source,
            outcome: rows[0].outcome,
            version: rows[0].version,
            ended: rows.iter().map(|k| k.ended).collect(),
            segments: rows.iter().map(|k| k.segment).collect(),
            values: rows.iter().map(|k| k.value).collect(),
        };
        known.chunk_by(same).map(batch).collect()
    }
}

impl OutcomeConfig {
    /// The chance of a request that ended so. Unknown truth counts as right: nobody can tell that the answer was not.
    fn chance(&self, end: &RequestEnd) -> f64 {
        if !end.outcome.is_answered() {
            return self.failed;
        }
        let same_class = !end.score.is_nan() && (f64::from(end.score) >= self.threshold) == (end.truth >= 0.5);
        if end.truth.is_nan() || same_class { self.right } else { self.wrong }
    }
}
