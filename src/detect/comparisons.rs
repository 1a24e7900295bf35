//! Owns comparisons of windows: two sides, one or many columns, one verdict about the column that differs most.

use crate::detect::Measurement;
use crate::detect::config::Comparison;
use crate::detect::rows::{Rows, Side};
use crate::detect::two_sample::{Binning, Test};
use crate::detect::verdict::NoVerdict;
use crate::rng::Stream;
use crate::stats::ks::KsScratch;
use crate::time::SimTime;
use std::ops::Range;

/// Looks at the columns in `places`, for the `k`-th time. With several columns the measurement is that of the one that differs
/// most: the smallest p-value where the test has one, else the largest statistic. Its p-value is adjusted for the number of
/// columns and of looks as configured; thresholds that a test computes itself (PSI) are those of its level divided likewise.
///
/// # Errors
/// When no column can be compared: the reason of the last one.
pub fn look(
    config: &Comparison,
    rows: &mut Rows,
    (window, reference): (Side, Side),
    places: Range<usize>,
    at: SimTime,
    k: u64,
    draws: &mut Stream,
) -> Result<Measurement, NoVerdict> {
    let (_, from) = rows.extent(window, at);
    let fields = config.test.fields();
    let p_field = fields.iter().position(|f| *f == "p");
    let mut below = |n: usize| draws.below(n);
    if let Test::Mmd(mmd) = &config.test {
        let (a, b) = (rows.rows(places.clone(), reference, at), rows.rows(places, window, at));
        let mut values = mmd.evaluate(&a, &b, &mut below)?;
        if let Some(p) = p_field {
            values[p] = config.looks.p(values[p], k);
        }
        return Ok(Measurement { values, from, column: None });
    }
    let mut found: Vec<(usize, Vec<f64>)> = Vec::with_capacity(places.len());
    let mut reason = NoVerdict::Empty;
    let mut scratch = KsScratch::default();
    // Of several columns a first look finds the one that differs most.
    let several = places.len() > 1;
    let share = config.looks.share(k) / places.len().max(1) as f64;
    for column in places.clone() {
        let values = match &config.test {
            Test::Ks(ks) if several && ks.is_quick() => {
                let test = rows.ks(column, reference, window, at, &mut scratch);
                test.map(|test| ks.quick(&test)).ok_or(NoVerdict::AllMissing)
            }
            Test::Psi(psi) if psi.binning == Binning::Quantile => {
                let counts = rows.binned(column, (window, reference), at, psi.bins);
                counts.and_then(|(reference, window)| Ok(psi.of_counts(&reference, &window, psi.alpha * share)?))
            }
            test => {
                let (a, b) = (rows.values(column, reference, at), rows.values(column, window, at));
                test.evaluate(&a, &b, &mut below).map_err(NoVerdict::from)
            }
        };
        match values {
            Ok(values) => found.push((column - places.start, values)),
            Err(why) => reason = why,
        }
    }
    let worst = |found: &[(usize, Vec<f64>)]| match p_field {
        Some(p) => {
            let p_values: Vec<f64> = found.iter().map(|(_, values)| values[p]).collect();
            config.across.smallest(&p_values).map(|(worst, adjusted)| (worst, Some((p, config.looks.p(adjusted, k)))))
        }
        None => {
            let ratio = fields.iter().position(|f| *f == "ratio").unwrap_or(0);
            let statistic = |i: &usize| found[*i].1[ratio];
            (0..found.len()).max_by(|a, b| statistic(a).total_cmp(&statistic(b))).map(|worst| (worst, None))
        }
    };
    let (mut place, mut p) = worst(&found).ok_or(reason)?;
    if let Test::Ks(ks) = &config.test
        && several
        && ks.is_quick()
    {
        // The column that differs most is worth its exact p-value, and where the distance is.
        let column = places.start + found[place].0;
        let (a, b) = (rows.values(column, reference, at), rows.values(column, window, at));
        found[place].1 = ks.evaluate(&a, &b)?;
        (place, p) = worst(&found).ok_or(reason)?;
    }
    let (column, mut values) = found.swap_remove(place);
    if let Some((field, p)) = p {
        values[field] = p;
    }
    Ok(Measurement { values, from, column: Some(column) })
}
