//! Owns signals over counters, histograms and gauges: latency, errors, the burn of an error budget, saturation.

use crate::detect::Measurement;
use crate::detect::config::{BurnRate, Resource};
use crate::detect::counters::{Scrapes, Totals};
use crate::detect::gauges::Gauges;
use crate::detect::looks::Surety;
use crate::detect::verdict::NoVerdict;
use crate::id::VersionId;
use crate::stats::proportion::{clopper_pearson, wilson};
use crate::stats::quantile::ranks_around;
use crate::time::Span;

/// A latency quantile in seconds, with the interval between two order statistics ([`ranks_around`]). A rank below the sample gives
/// 0, one beyond it infinity.
///
/// # Errors
/// When nothing was answered.
pub fn latency(
    scrapes: &Scrapes,
    version: VersionId,
    quantile: f64,
    window: Span,
    confidence: f64,
) -> Result<Measurement, NoVerdict> {
    let (totals, from) = scrapes.over(version, window)?;
    let n = totals.latency.count();
    let value = totals.latency.quantile(quantile).ok_or(NoVerdict::Empty)?;
    let (low, high) = ranks_around(n, quantile, confidence).unwrap_or((0, n + 1));
    let lower = totals.latency.at_rank(low).unwrap_or(0.0);
    let upper = totals.latency.at_rank(high).unwrap_or(f64::INFINITY);
    let values = vec![value / 1e9, lower / 1e9, upper / 1e9, n as f64];
    Ok(Measurement { values, from, column: None })
}

/// Share of requests without an answer.
///
/// # Errors
/// When no request ended.
pub fn errors(scrapes: &Scrapes, version: VersionId, window: Span, surety: Surety) -> Result<Measurement, NoVerdict> {
    let (totals, from) = scrapes.over(version, window)?;
    let values = share(totals.failed(), totals.requests(), surety).ok_or(NoVerdict::Empty)?;
    Ok(Measurement { values, from, column: None })
}

/// `events` of `all` with Wilson's interval, or where it must hold exactly that of Clopper and Pearson: value, lower, upper, n.
#[must_use]
pub fn share(events: u64, all: u64, surety: Surety) -> Option<Vec<f64>> {
    let interval = if surety.exact { clopper_pearson } else { wilson };
    let interval = interval(events, all, surety.confidence)?;
    Some(vec![events as f64 / all as f64, interval.low, interval.high, all as f64])
}

/// The burn of an error budget: ratio, long, short, n.
///
/// # Errors
/// When fewer requests ended in the long window than the guard asks for, or none in the short one: no traffic is not health.
pub fn burn(scrapes: &Scrapes, version: VersionId, burn: &BurnRate) -> Result<Measurement, NoVerdict> {
    let rate = |totals: &Totals| {
        let slow = burn.slower_than.map_or(0, |limit| totals.latency.count_above(limit.0));
        let (bad, all) = (totals.failed() + slow, totals.requests());
        // In this order: a share equal to factor × (1 − SLO) is not above it, to the last bit.
        bad as f64 / all as f64
    };
    let (long, from) = scrapes.over(version, burn.long)?;
    let n = long.requests();
    if n < burn.min {
        return Err(NoVerdict::TooFew { got: n, need: burn.min });
    }
    let (short, _) = scrapes.over(version, burn.short)?;
    if short.requests() == 0 {
        return Err(NoVerdict::TooFew { got: 0, need: 1 });
    }
    let budget = 1.0 - burn.slo;
    let (long, short) = (rate(&long), rate(&short));
    let limit = burn.factor * budget;
    let values = vec![long.min(short) / limit, long / budget, short / budget, n as f64];
    Ok(Measurement { values, from, column: None })
}

/// How full the replicas of a version are: the mean and the fullest, and how many there are.
///
/// # Errors
/// When none of them was read, or there is no limit to compare with.
pub fn saturation(gauges: &Gauges, version: VersionId, of: Resource, window: Span) -> Result<Measurement, NoVerdict> {
    let (shares, from) = gauges.shares(version, of, window);
    if shares.is_empty() {
        return Err(NoVerdict::Empty);
    }
    let n = shares.len() as f64;
    let max = shares.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Ok(Measurement { values: vec![shares.iter().sum::<f64>() / n, max, n], from, column: None })
}
