//! Holds `stats::arl` to documents of the format `arl-v1`: run lengths of CUSUM, EWMA, Shewhart, Shiryaev-Roberts, SPRT.

use super::harness::{ARL, Case, Folder, Report, STATISTIC, Within, number};
use rollcage::stats::arl::cusum::Cusum;
use rollcage::stats::arl::ewma::Ewma;
use rollcage::stats::arl::shiryaev_roberts::ShiryaevRoberts;
use rollcage::stats::arl::{shewhart, siegmund, sprt};
use serde_json::{Value, json};

/// What a document holds apart from its lists of cases: words, and what [`disagreement`] looks at.
const REMARKS: &[&str] = &["format", "units", "libraries", "method", "note", "definition"];

/// Runs all cases of one document.
pub fn run(_: &Folder, file: &str, document: &Value, report: &mut Report) -> Result<(), String> {
    for (key, value) in document.as_object().ok_or("not a table")? {
        match key.as_str() {
            "cusum" => cases(file, key, value, report, cusum)?,
            "ewma" => cases(file, key, value, report, ewma)?,
            "shiryaev_roberts" => cases(file, key, value, report, shiryaev_roberts)?,
            "sprt_bernoulli_exact" => cases(file, key, value, report, sprt_bernoulli)?,
            "cusum_max_rel_disagreement_methods" => {
                disagreement(file, key, document, report, "cusum", |row| upper(row)?.arl(shift(row)?, 0.0));
            }
            "ewma_max_rel_disagreement_methods" => {
                disagreement(file, key, document, report, "ewma", |row| chart(row)?.arl(shift(row)?));
            }
            _ if REMARKS.contains(&key.as_str()) => {}
            _ => return Err(format!("{file}: nobody looks at `{key}`")),
        }
    }
    Ok(())
}

fn cases(
    file: &str,
    key: &str,
    list: &Value,
    report: &mut Report,
    compare: fn(&mut Case, &Value) -> Option<()>,
) -> Result<(), String> {
    for (i, row) in list.as_array().ok_or_else(|| format!("{file}: `{key}` is no list"))?.iter().enumerate() {
        let mut case = Case::new(file, &format!("{key}[{i}]"), row);
        for remark in ["/note", "/rule"] {
            case.input(remark);
        }
        compare(&mut case, row).ok_or_else(|| format!("{file}#{key}[{i}]: a parameter is missing"))?;
        case.finish(report);
    }
    Ok(())
}

/// A parameter.
fn input(case: &mut Case, name: &str) -> Option<f64> {
    number(case.input(&format!("/{name}"))?)
}

fn shift(row: &Value) -> Option<f64> {
    number(&row["mean_shift_sigma"])
}

fn upper(row: &Value) -> Option<Cusum> {
    Some(Cusum { reference: number(&row["k"])?, threshold: number(&row["h"])? })
}

fn chart(row: &Value) -> Option<Ewma> {
    Some(Ewma { weight: number(&row["lam"])?, limit: number(&row["L"])? })
}

fn cusum(case: &mut Case, row: &Value) -> Option<()> {
    let (chart, shift) = (upper(row)?, shift(row)?);
    let (k, h) = (input(case, "k")?, input(case, "h")?);
    input(case, "mean_shift_sigma")?;
    let upper = chart.arl(shift, 0.0);
    case.number("cusum", "/arl_one_sided_upper", upper, ARL);
    case.number("cusum", "/arl_two_sided", chart.arl_two_sided(shift), ARL);
    case.number("cusum", "/arl_one_sided_fir_half", chart.arl(shift, h / 2.0), ARL);
    case.number("cusum", "/siegmund_one_sided", siegmund(k, h, shift), STATISTIC);
    // The reference's second method has our tolerance itself; our own second method is in the unit tests.
    case.number("cusum", "/check_markov", upper, ARL);
    Some(())
}

fn ewma(case: &mut Case, row: &Value) -> Option<()> {
    let (weight, limit, shift) = (input(case, "lam")?, input(case, "L")?, input(case, "mean_shift_sigma")?);
    let mean = chart(row)?.arl(shift);
    let name = if weight == 1.0 { "shewhart" } else { "ewma" };
    case.number(name, "/arl_two_sided", mean, ARL);
    case.number(name, "/check_markov", mean, ARL);
    if weight == 1.0 {
        case.number(name, "/arl_two_sided", shewhart(limit, shift), STATISTIC);
    }
    Some(())
}

fn shiryaev_roberts(case: &mut Case, _: &Value) -> Option<()> {
    let chart = ShiryaevRoberts { delta: input(case, "delta")?, threshold: input(case, "threshold")? };
    let in_control = chart.arl(0.0);
    case.number("shiryaev_roberts", "/arl_in_control", in_control, ARL);
    case.number("shiryaev_roberts", "/arl_out_of_control_zero_state", chart.arl(chart.delta), ARL);
    case.number("shiryaev_roberts", "/martingale_lower_bound_on_arl0", Some(chart.threshold), Within::Exactly);
    case.holds("shiryaev_roberts", "ARL0 keeps its bound", in_control.is_some_and(|mean| mean >= chart.threshold));
    Some(())
}

fn sprt_bernoulli(case: &mut Case, row: &Value) -> Option<()> {
    let mut get = |name| input(case, name);
    let (p0, p1, alpha, beta, rate) = (get("p0")?, get("p1")?, get("alpha")?, get("beta")?, get("true_p")?);
    let got = sprt::bernoulli(p0, p1, alpha, beta, rate);
    case.number("sprt", "/prob_accept_h1", got.map(|g| g.accept_h1), ARL);
    case.number("sprt", "/prob_accept_h0", got.map(|g| g.accept_h0), ARL);
    case.number("sprt", "/expected_samples", got.map(|g| g.expected_samples), ARL);
    // What was left when either computation ended: a number of no meaning but its order of magnitude.
    let left = number(&row["unresolved_mass"])?;
    case.input("/unresolved_mass");
    let alike = got.is_some_and(|g| g.unresolved <= 10.0 * left.max(1e-13));
    case.holds("sprt", &format!("as little is unresolved as {left}: {:?}", got.map(|g| g.unresolved)), alike);
    Some(())
}

/// The largest relative difference of the reference's two methods over a list. Recomputed with our mean in the place of the
/// reference's first: the two differ by 1e-10 at most, and so do their distances from its second.
fn disagreement(
    file: &str,
    key: &str,
    document: &Value,
    report: &mut Report,
    list: &str,
    mean: impl Fn(&Value) -> Option<f64>,
) {
    let off = |row: &Value| Some((mean(row)? / number(&row["check_markov"])? - 1.0).abs());
    let rows = document[list].as_array().map_or(&[][..], Vec::as_slice);
    let largest = rows.iter().map(off).try_fold(0.0, |most: f64, off| Some(most.max(off?)));
    let wrapped = json!({ key: document[key] });
    let mut case = Case::new(file, key, &wrapped);
    case.number(list, &format!("/{key}"), largest, Within::Absolute(2e-10));
    case.finish(report);
}
