//! Owns signals over counters, histograms and gauges: latency, errors, the burn of an error budget, saturation.

use crate::detect::Measurement;
use crate::detect::config::{BurnRate, Resource};
use crate::detect::counters::{Scrapes, Totals};
use crate::detect::gauges::Gauges;
use crate::detect::verdict::NoVerdict;
use crate::id::VersionId;
use crate::stats::proportion::wilson;
use crate::stats::two_sided_z;
use crate::time::Span;

/// A latency quantile in seconds, with the interval between the order statistics whose ranks lie a normal deviate around it
/// (David and Nagaraja, Order Statistics, 2003, 7.1). An upper rank beyond the sample gives infinity.
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
    let (totals, from) = scrapes.over(version, window).ok_or(NoVerdict::Empty)?;
    let n = totals.latency.count() as f64;
    let seconds = |q: f64| totals.latency.quantile(q).map(|ns| ns / 1e9);
    let value = seconds(quantile).ok_or(NoVerdict::Empty)?;
    let reach = two_sided_z(confidence).unwrap_or(f64::INFINITY) * (quantile * (1.0 - quantile) / n).sqrt();
    let lower = if quantile - reach < 0.0 { Some(0.0) } else { seconds(quantile - reach) };
    let upper = if quantile + reach > 1.0 { Some(f64::INFINITY) } else { seconds(quantile + reach) };
    let values = vec![value, lower.unwrap_or(0.0), upper.unwrap_or(f64::INFINITY), n];
    Ok(Measurement { values, from, column: None })
}

/// Share of requests without an answer.
///
/// # Errors
/// When no request ended.
pub fn errors(scrapes: &Scrapes, version: VersionId, window: Span, confidence: f64) -> Result<Measurement, NoVerdict> {
    let (totals, from) = scrapes.over(version, window).ok_or(NoVerdict::Empty)?;
    let values = share(totals.failed(), totals.requests(), confidence).ok_or(NoVerdict::Empty)?;
    Ok(Measurement { values, from, column: None })
}

/// `events` of `all` with Wilson's interval: value, lower, upper, n.
#[must_use]
pub fn share(events: u64, all: u64, confidence: f64) -> Option<Vec<f64>> {
    let interval = wilson(events, all, confidence)?;
    Some(vec![events as f64 / all as f64, interval.low, interval.high, all as f64])
}

/// The burn of an error budget: ratio, long, short, n.
///
/// # Errors
/// When fewer requests ended in the long window than the guard asks for. A short window without any burns nothing.
pub fn burn(scrapes: &Scrapes, version: VersionId, burn: &BurnRate) -> Result<Measurement, NoVerdict> {
    let rate = |totals: &Totals| {
        let slow = burn.slower_than.map_or(0, |limit| totals.latency.count_above(limit.0));
        let (bad, all) = (totals.failed() + slow, totals.requests());
        // In this order: a share equal to factor × (1 − SLO) is not above it, to the last bit.
        if all == 0 { 0.0 } else { bad as f64 / all as f64 }
    };
    let (long, from) = scrapes.over(version, burn.long).ok_or(NoVerdict::Empty)?;
    let n = long.requests();
    if n < burn.min {
        return Err(NoVerdict::TooFew { got: n, need: burn.min });
    }
    let (short, _) = scrapes.over(version, burn.short).ok_or(NoVerdict::Empty)?;
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
