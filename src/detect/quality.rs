//! Owns data quality: how many values of a window no healthy input would have.

use crate::detect::Measurement;
use crate::detect::config::{DataQuality, Defect};
use crate::detect::rows::{Rows, Side};
use crate::detect::verdict::NoVerdict;
use crate::stats::data_quality::{CATEGORIES_MAX, Expected};
use crate::stats::proportion::wilson;
use crate::time::SimTime;

/// Looks at the columns in `places`; the worst of them is the measurement: the one with the largest lower limit. The interval's
/// error is divided by the number of columns (Bonferroni).
///
/// # Errors
/// When no column can be judged.
pub fn look(
    config: &DataQuality,
    rows: &Rows,
    (window, reference): (Side, Side),
    places: std::ops::Range<usize>,
    at: SimTime,
    confidence: f64,
) -> Result<Measurement, NoVerdict> {
    let (n, from) = rows.extent(window, at);
    if config.defect == Defect::Schema {
        let foreign = rows.foreign(window, at);
        return share(foreign as u64, (n + foreign) as u64, confidence, from, None).ok_or(NoVerdict::Empty);
    }
    let columns = places.len().max(1) as f64;
    let confidence = 1.0 - (1.0 - confidence) / columns;
    let judged = places.clone().filter_map(|column| {
        let place = column - places.start;
        let present = rows.runs(column, window, at);
        let there: usize = present.iter().map(|run| run.len()).sum();
        let (bad, all) = match config.defect {
            Defect::Missing => (n - there, n),
            Defect::OutOfRange => {
                let healthy = rows.runs(column, reference, at);
                let low = healthy.iter().filter_map(|run| run.first()).copied().min_by(f32::total_cmp)?;
                let high = healthy.iter().filter_map(|run| run.last()).copied().max_by(f32::total_cmp)?;
                let outside =
                    |run: &&[f32]| run.partition_point(|&x| x < low) + run.len() - run.partition_point(|&x| x <= high);
                (present.iter().map(outside).sum(), there)
            }
            Defect::Unseen => {
                let known = Expected::categories_of(&rows.runs(column, reference, at).concat(), CATEGORIES_MAX)?;
                (present.iter().flat_map(|run| run.iter()).filter(|x| !known.allows(**x)).count(), there)
            }
            Defect::Schema => return None,
        };
        share(bad as u64, all as u64, confidence, from, Some(place))
    });
    judged.max_by(|a, b| a.values[1].total_cmp(&b.values[1])).ok_or(NoVerdict::AllMissing)
}

/// `bad` of `all` with its interval.
fn share(bad: u64, all: u64, confidence: f64, from: SimTime, column: Option<usize>) -> Option<Measurement> {
    let interval = wilson(bad, all, confidence)?;
    let values = vec![bad as f64 / all as f64, interval.low, interval.high, all as f64];
    Some(Measurement { values, from, column })
}
