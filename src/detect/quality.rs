//! Owns data quality: how many values of a window no healthy input would have.

use crate::detect::Measurement;
use crate::detect::config::{DataQuality, Defect};
use crate::detect::looks::Surety;
use crate::detect::rows::{Rows, Side};
use crate::detect::service;
use crate::detect::verdict::NoVerdict;
use crate::stats::data_quality::{CATEGORIES_MAX, Expected};
use crate::time::SimTime;
use std::ops::Range;

/// How many rows of a window are of another schema; at least `min` rows of any.
///
/// # Errors
/// When there are fewer.
pub fn schema(
    config: &DataQuality,
    rows: &Rows,
    window: Side,
    at: SimTime,
    surety: Surety,
) -> Result<Measurement, NoVerdict> {
    let (foreign, all, from) = rows.foreign(window, at);
    let (got, need) = (all as u64, config.min as u64);
    if got > 0 && got < need {
        return Err(NoVerdict::TooFew { got, need });
    }
    let values = service::share(foreign as u64, got, surety).ok_or(NoVerdict::Empty)?;
    Ok(Measurement { values, from, column: None })
}

/// Looks at the columns in `places`; the worst of them is the measurement: the one with the largest lower limit. The interval's
/// error is divided by the number of columns (Bonferroni). A column of which the reference says nothing is left out.
///
/// # Errors
/// When a column cannot be judged that the reference has, or when none is left.
pub fn look(
    config: &DataQuality,
    rows: &Rows,
    sides: (Side, Side),
    places: Range<usize>,
    at: SimTime,
    surety: Surety,
) -> Result<Measurement, NoVerdict> {
    let (_, from) = rows.extent(sides.0, &places, at);
    let surety = surety.among(places.len());
    let several = places.len() > 1;
    let mut worst: Option<Measurement> = None;
    let mut reason = NoVerdict::AllMissing;
    for column in places.clone() {
        let place = column - places.start;
        let (bad, all) = match count(config, rows, column, sides, at) {
            Ok((_, got)) if got < config.min => {
                let why = match got as u64 {
                    0 => NoVerdict::AllMissing,
                    got => NoVerdict::TooFew { got, need: config.min as u64 },
                };
                return Err(if several { NoVerdict::Column { place, why: why.kind() } } else { why });
            }
            Ok(counts) => counts,
            Err(why) => {
                reason = why;
                continue;
            }
        };
        let Some(values) = service::share(bad as u64, all as u64, surety) else { continue };
        if worst.as_ref().is_none_or(|w| values[1] > w.values[1]) {
            worst = Some(Measurement { values, from, column: Some(place) });
        }
    }
    worst.ok_or(reason)
}

/// How many values of a column are bad, of how many; or why the reference does not say what is good.
fn count(
    config: &DataQuality,
    rows: &Rows,
    column: usize,
    (window, reference): (Side, Side),
    at: SimTime,
) -> Result<(usize, usize), NoVerdict> {
    let present = rows.runs(column, window, at);
    let there: usize = present.iter().map(|run| run.len()).sum();
    if config.defect == Defect::Missing {
        // Rows of another schema have a score, and no features that fit.
        let (n, _) = rows.extent(window, &(column..column + 1), at);
        return Ok((n - there, n));
    }
    let (got, need) = (rows.present(column, reference, at) as u64, config.min as u64);
    if got < need {
        return Err(NoVerdict::NoReference { got, need });
    }
    let reference = rows.runs(column, reference, at);
    let healthy = match config.defect {
        Defect::Unseen => Expected::categories_of(&reference.concat(), CATEGORIES_MAX)
            .ok_or(NoVerdict::Undefined("the reference has more than 1000 distinct values: no categories"))?,
        _ => Expected::range_of(&reference).ok_or(NoVerdict::NotFinite)?,
    };
    Ok((present.iter().map(|run| healthy.unexpected(run)).sum(), there))
}
