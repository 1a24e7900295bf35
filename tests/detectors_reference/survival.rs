//! Times until detection, some never seen: Kaplan-Meier, restricted means, the log-rank test.

use crate::harness::{Case, Folder, P_VALUE, Report, STATISTIC, Within, number, numbers};
use rollcage::stats::proportion::Share;
use rollcage::stats::summary::Summary;
use rollcage::stats::survival::{KaplanMeier, Observation, log_rank};
use serde_json::Value;

pub fn run(_: &Folder, file: &str, document: &Value, report: &mut Report) -> Result<(), String> {
    for json in document["cases"].as_array().ok_or("no cases")? {
        let mut case = Case::new(file, json["id"].as_str().ok_or("a case without an id")?, json);
        curve(&mut case).ok_or_else(|| format!("{}: an input is missing", case.name))?;
        case.finish(report);
    }
    if document["logrank"].is_object() {
        let mut case = Case::new(file, "logrank", &document["logrank"]);
        two_groups(&mut case).ok_or_else(|| format!("{}: an input is missing", case.name))?;
        case.finish(report);
    }
    Ok(())
}

fn observations(case: &mut Case) -> Option<Vec<Observation>> {
    let times = numbers(case.input("/time")?);
    let events = numbers(case.input("/detected")?);
    Some(times.into_iter().zip(events).map(|(time, event)| Observation { time, event: event != 0.0 }).collect())
}

fn curve(case: &mut Case) -> Option<()> {
    case.input("/id");
    case.input("/horizon");
    let all = observations(case)?;
    let tau = number(case.input("/tau")?)?;

    let detected: Vec<f64> = all.iter().filter(|o| o.event).map(|o| o.time).collect();
    let times: Vec<f64> = all.iter().map(|o| o.time).collect();
    let missed = Share::new((all.len() - detected.len()) as u64, all.len() as u64);
    case.number("mean", "/naive_mean_of_detected", Summary::of(&detected).mean(), STATISTIC);
    case.number("mean", "/mean_with_censored_at_horizon", Summary::of(&times).mean(), STATISTIC);
    case.number("share", "/missed_fraction", missed.value(), STATISTIC);

    let curve = KaplanMeier::of(&all)?;
    let steps = curve.steps();
    let column = |of: &dyn Fn(usize) -> f64| (0..steps.len()).map(of).collect::<Vec<f64>>();
    case.numbers("kaplan-meier", "/km_times", &column(&|i| steps[i].time), Within::Exactly);
    case.numbers("kaplan-meier", "/km_surv", &column(&|i| steps[i].survival), STATISTIC);
    let errors = column(&|i| steps[i].standard_error().unwrap_or(f64::NAN));
    case.numbers("kaplan-meier", "/km_greenwood_se", &errors, STATISTIC);
    median(case, &curve);

    let mean = curve.restricted_mean(tau);
    case.number("restricted mean", "/rmst", mean.map(|m| m.mean), STATISTIC);
    case.number("restricted mean", "/rmst_se_greenwood", mean.map(|m| m.standard_error), STATISTIC);
    Some(())
}

/// The reference compares a rounded product with one half: where S is exactly 20/40 it may find 0.5000000000000001 and go on to
/// the next step. Ours is the earlier time then, and only then: where the reference's own S is 1/2 but for rounding, and its
/// median the step after.
fn median(case: &mut Case, curve: &KaplanMeier) {
    let got = curve.quantile(0.5).unwrap_or(f64::INFINITY);
    let steps = curve.steps();
    let at = steps.iter().position(|step| step.time == got);
    let next = at.map(|at| steps.get(at + 1).map_or(f64::INFINITY, |step| step.time));
    let theirs = at.and_then(|at| case.peek(&format!("/km_surv/{at}"))).and_then(number);
    let is_half = theirs.is_some_and(|survival| survival > 0.5 && survival - 0.5 < 1e-13);
    if is_half && next.is_some() && next == case.peek("/km_median").and_then(number) {
        case.input("/km_median");
        case.holds("kaplan-meier", "the reference's median is the step after one half", true);
    } else {
        case.number("kaplan-meier", "/km_median", Some(got), Within::Exactly);
    }
}

fn two_groups(case: &mut Case) -> Option<()> {
    let all = observations(case)?;
    let groups = numbers(case.input("/group")?);
    let group = |wanted: f64| -> Vec<Observation> {
        all.iter().zip(&groups).filter(|(_, group)| **group == wanted).map(|(o, _)| *o).collect()
    };
    let test = log_rank(&group(0.0), &group(1.0));
    case.number("log-rank", "/logrank_chi2", test.map(|t| t.chi_squared), STATISTIC);
    case.number("log-rank", "/logrank_p", test.map(|t| t.p), P_VALUE);
    Some(())
}
