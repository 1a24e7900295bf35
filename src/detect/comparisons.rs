//! Owns comparisons of windows: two sides, one or many columns, one verdict about the column that differs most.

use crate::detect::Measurement;
use crate::detect::config::Comparison;
use crate::detect::rows::{Rows, Side};
use crate::detect::two_sample::{Binning, Mmd, Test};
use crate::detect::verdict::NoVerdict;
use crate::rng::Stream;
use crate::stats::ks::KsScratch;
use crate::time::SimTime;
use std::ops::Range;

/// What a test says of one column.
struct Found {
    column: usize,
    values: Vec<f64>,
    /// From a first look that leaves fields unknown.
    quick: bool,
}

/// Looks at the columns in `places`, for the `k`-th time. With several columns the measurement is that of the one that differs
/// most, by [`Test::rank`]. Its p-value is adjusted for the number of columns and of looks as configured; errors that a test
/// spends itself, in a threshold or an interval, are divided likewise ([`Test::spending`]).
///
/// A column without spread, or one of which the reference has fewer than the minimum, says nothing and is left out.
///
/// # Errors
/// When a column cannot be judged that the reference has, or when none is left: the reason of the last one.
pub fn look(
    config: &Comparison,
    rows: &mut Rows,
    sides: (Side, Side),
    places: Range<usize>,
    at: SimTime,
    k: u64,
    draws: &mut Stream,
) -> Result<Measurement, NoVerdict> {
    let looks = config.looks.share(k);
    let (_, from) = rows.extent(sides.0, &places, at);
    let fields = config.test.fields();
    let p_field = fields.iter().position(|f| *f == "p");
    let mut below = |n: usize| draws.below(n);
    if let Test::Mmd(mmd) = config.test.spending(looks) {
        let mut values = joint(&mmd, config.min, rows, sides, places, at, &mut below)?;
        if let Some(p) = p_field {
            values[p] = config.looks.p(values[p], k);
        }
        return Ok(Measurement { values, from, column: None });
    }
    let test = config.test.spending(looks * config.across.share(places.len()));
    let several = places.len() > 1;
    let of_column = |column: usize, why: NoVerdict| match several {
        true => NoVerdict::Column { place: column - places.start, why: why.kind() },
        false => why,
    };
    let mut found: Vec<Found> = Vec::with_capacity(places.len());
    let mut reason = NoVerdict::Empty;
    let mut scratch = KsScratch::default();
    for column in places.clone() {
        let there = present(rows, column, sides, at, config.min);
        let values = there.and_then(|()| match &test {
            // Of several columns a first look finds the one that differs most.
            Test::Ks(ks) if several && ks.is_quick() => {
                let test = rows.ks(column, sides.1, sides.0, at, &mut scratch);
                test.map(|test| (ks.quick(&test), true)).ok_or(NoVerdict::AllMissing)
            }
            Test::Psi(psi) if psi.binning == Binning::Quantile => {
                let (reference, window) = rows.binned(column, sides, at, psi.bins)?;
                Ok((psi.of_counts(&reference, &window)?, false))
            }
            test => Ok((evaluate(test, rows, column, sides, at, &mut below)?, false)),
        });
        match values {
            Ok((values, quick)) => found.push(Found { column, values, quick }),
            Err(why @ (NoVerdict::NoReference { .. } | NoVerdict::NoSpread)) => reason = why,
            Err(why) => return Err(of_column(column, why)),
        }
    }
    let mut worst = most(&test, &found).ok_or(reason)?;
    // The column that differs most is worth its exact p-value, and where the distance is.
    while found[worst].quick {
        let column = found[worst].column;
        let values = evaluate(&test, rows, column, sides, at, &mut below).map_err(|why| of_column(column, why))?;
        found[worst] = Found { values, quick: false, ..found[worst] };
        worst = most(&test, &found).ok_or(reason)?;
    }
    if let Some(p) = p_field {
        let p_values: Vec<f64> = found.iter().map(|f| f.values[p]).collect();
        let adjusted = config.across.smallest(&p_values).ok_or(reason)?;
        found[worst].values[p] = config.looks.p(adjusted, k);
    }
    let Found { column, values, .. } = found.swap_remove(worst);
    Ok(Measurement { values, from, column: Some(column - places.start) })
}

/// Of which column a test says the most; the first of equals.
fn most(test: &Test, found: &[Found]) -> Option<usize> {
    let rank = |i: &usize| test.rank(&found[*i].values).map(|x| if x.is_nan() { f64::NEG_INFINITY } else { x });
    let order = |a: &usize, b: &usize| {
        let ([a0, a1], [b0, b1]) = (rank(a), rank(b));
        a0.total_cmp(&b0).then(a1.total_cmp(&b1))
    };
    (0..found.len()).rev().max_by(order)
}

/// Whether both sides have `min` values of a column.
fn present(
    rows: &Rows,
    column: usize,
    (window, reference): (Side, Side),
    at: SimTime,
    min: usize,
) -> Result<(), NoVerdict> {
    enough(rows.present(column, reference, at), rows.present(column, window, at), min)
}

/// Whether so many values of the reference and of the window are `min` each, and one at least.
fn enough(reference: usize, window: usize, min: usize) -> Result<(), NoVerdict> {
    let need = min as u64;
    match (reference as u64, window as u64) {
        (got, _) if got < need.max(1) => Err(NoVerdict::NoReference { got, need }),
        (_, 0) => Err(NoVerdict::AllMissing),
        (_, got) if got < need => Err(NoVerdict::TooFew { got, need }),
        _ => Ok(()),
    }
}

fn evaluate(
    test: &Test,
    rows: &Rows,
    column: usize,
    (window, reference): (Side, Side),
    at: SimTime,
    below: &mut dyn FnMut(usize) -> usize,
) -> Result<Vec<f64>, NoVerdict> {
    Ok(test.evaluate(&rows.values(column, reference, at), &rows.values(column, window, at), below)?)
}

/// The one test of rows: both sides need `min` of them without a missing value.
fn joint(
    mmd: &Mmd,
    min: usize,
    rows: &Rows,
    (window, reference): (Side, Side),
    places: Range<usize>,
    at: SimTime,
    below: &mut dyn FnMut(usize) -> usize,
) -> Result<Vec<f64>, NoVerdict> {
    let (a, b) = (rows.rows(places.clone(), reference, at), rows.rows(places, window, at));
    let complete = |columns: &[Vec<f64>]| {
        let length = columns.first().map_or(0, Vec::len);
        (0..length).filter(|&row| columns.iter().all(|column| !column[row].is_nan())).count()
    };
    enough(complete(&a), complete(&b), min)?;
    Ok(mmd.evaluate(&a, &b, below)?)
}
