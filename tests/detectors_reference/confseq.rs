//! Holds confidence sequences to documents of the format `confseq-v1`: the statistics, and the signal that a policy has of them.

use super::harness::{Case, Folder, Report, STATISTIC, number, numbers};
use super::policy::signal;
use rollcage::detect::config::SignalKind;
use rollcage::detect::intervals::Interval;
use rollcage::detect::sequences::{Follower, SequenceConfig};
use rollcage::stats::confidence_sequence::{
    BetaBinomial, EmpiricalBernstein, Hoeffding, Kind, Mixture, poly_stitching,
};
use serde_json::{Value, json};

/// What a document holds apart from its lists of cases: words.
const REMARKS: &[&str] = &["format", "libraries", "note", "definition"];
/// The reference package's default where a case does not say.
const ALPHA_OPT: f64 = 0.05;

/// Runs all cases of one document.
pub fn run(folder: &Folder, file: &str, document: &Value, report: &mut Report) -> Result<(), String> {
    for (key, value) in document.as_object().ok_or("not a table")? {
        let compare: fn(&mut Case, &Folder, &Value) -> Result<(), String> = match key.as_str() {
            "boundaries" => boundaries,
            "bernoulli_ci" => bernoulli,
            "predictable_mixture" => predictable,
            "log_mixtures" => log_mixtures,
            _ if REMARKS.contains(&key.as_str()) => continue,
            _ => return Err(format!("{file}: nobody looks at `{key}`")),
        };
        for (i, row) in value.as_array().ok_or_else(|| format!("{file}: `{key}` is no list"))?.iter().enumerate() {
            let mut case = Case::new(file, &format!("{key}[{i}]"), row);
            case.input("/note");
            compare(&mut case, folder, row).map_err(|e| format!("{}: {e}", case.name))?;
            case.finish(report);
        }
    }
    Ok(())
}

/// A parameter.
fn input(case: &mut Case, name: &str) -> Result<f64, String> {
    case.input(&format!("/{name}")).and_then(number).ok_or_else(|| format!("`{name}` is missing"))
}

fn input_or(case: &mut Case, name: &str, default: f64) -> f64 {
    case.input(&format!("/{name}")).and_then(number).unwrap_or(default)
}

/// What a field's name says, its parameters in it: `gamma_poisson_c1`, `poly_stitching_vmin10_c1`.
enum Field {
    Mixture(&'static str, Kind),
    Stitched { v_min: f64, c: f64 },
}

fn field(name: &str, (g, h): (f64, f64)) -> Option<Field> {
    let scale = |rest: &str| match rest {
        "" => Some(1.0),
        _ => rest.strip_prefix("_c")?.parse().ok(),
    };
    Some(match name {
        "normal_two_sided" => Field::Mixture("normal_mixture", Kind::NormalTwoSided),
        "normal_one_sided" => Field::Mixture("normal_mixture", Kind::NormalOneSided),
        "beta_binomial_two_sided" => Field::Mixture("beta_binomial", Kind::BetaBinomialTwoSided { g, h }),
        "beta_binomial_one_sided" => Field::Mixture("beta_binomial", Kind::BetaBinomialOneSided { g, h }),
        _ => {
            if let Some(rest) = name.strip_prefix("gamma_exponential") {
                Field::Mixture("gamma_exponential", Kind::GammaExponential { c: scale(rest)? })
            } else if let Some(rest) = name.strip_prefix("gamma_poisson") {
                Field::Mixture("gamma_poisson", Kind::GammaPoisson { c: scale(rest)? })
            } else {
                let (v_min, c) = name.strip_prefix("poly_stitching_vmin")?.split_once("_c")?;
                Field::Stitched { v_min: v_min.parse().ok()?, c: c.parse().ok()? }
            }
        }
    })
}

fn range(case: &mut Case) -> (f64, f64) {
    let both = case.input("/beta_binomial_g_h").map(numbers).unwrap_or_default();
    (both.first().copied().unwrap_or(f64::NAN), both.get(1).copied().unwrap_or(f64::NAN))
}

fn boundaries(case: &mut Case, _: &Folder, row: &Value) -> Result<(), String> {
    let (v, alpha, v_opt) = (input(case, "v")?, input(case, "alpha")?, input(case, "v_opt")?);
    let (alpha_opt, range) = (input_or(case, "alpha_opt", ALPHA_OPT), range(case));
    for name in names(row, &["v", "alpha", "v_opt", "alpha_opt", "beta_binomial_g_h", "note"]) {
        let pointer = format!("/{name}");
        match field(name, range).ok_or_else(|| format!("`{name}` is unknown"))? {
            Field::Mixture(detector, kind) => {
                let got = Mixture::new(kind, v_opt, alpha_opt).and_then(|m| m.boundary(v, alpha));
                case.number(detector, &pointer, got, STATISTIC);
            }
            Field::Stitched { v_min, c } => {
                let got = poly_stitching(v, alpha, v_min, c, 1.4, 2.0);
                case.number("poly_stitching", &pointer, got, STATISTIC);
            }
        }
    }
    Ok(())
}

fn log_mixtures(case: &mut Case, _: &Folder, row: &Value) -> Result<(), String> {
    let (s, v, v_opt) = (input(case, "s")?, input(case, "v")?, input(case, "v_opt")?);
    let (alpha_opt, range) = (input_or(case, "alpha_opt", ALPHA_OPT), range(case));
    for name in names(row, &["s", "v", "v_opt", "alpha_opt", "beta_binomial_g_h", "note"]) {
        let Some(Field::Mixture(detector, kind)) = field(name, range) else {
            return Err(format!("`{name}` is unknown"));
        };
        let got = Mixture::new(kind, v_opt, alpha_opt).and_then(|m| m.log_value(s, v));
        case.number(detector, &format!("/{name}"), got, STATISTIC);
    }
    Ok(())
}

/// The fields of a row but for these.
fn names<'a>(row: &'a Value, but: &[&str]) -> Vec<&'a str> {
    let all = row.as_object().map(|fields| fields.keys().map(String::as_str));
    all.into_iter().flatten().filter(|name| !but.contains(name)).collect()
}

/// The confidence sequence that a policy with these entries follows an answer's error with.
fn follow(mut entries: Value) -> Result<Interval, String> {
    let table = entries.as_object_mut().ok_or("not a table")?;
    table.insert("of".to_owned(), json!("wrong"));
    if let Some(tuned) = table.get("tuned_for").and_then(Value::as_f64) {
        table.insert("tuned_for".to_owned(), json!(tuned as u64));
    }
    match signal("confidence-sequence", table)? {
        SignalKind::Sequence(SequenceConfig { by: Follower::Interval(interval), .. }) => Ok(interval.start()),
        other => Err(format!("not a confidence sequence: {other:?}")),
    }
}

/// Its limits: the second and the third of its fields.
fn told(interval: &Interval) -> [f64; 2] {
    interval.values().map_or([f64::NAN; 2], |values| [values[1], values[2]])
}

fn bernoulli(case: &mut Case, _: &Folder, row: &Value) -> Result<(), String> {
    let (successes, alpha, t_opt) = (input(case, "successes")?, input(case, "alpha")?, input(case, "t_opt")?);
    let alpha_opt = input_or(case, "alpha_opt", ALPHA_OPT);
    case.input("/trials");
    let trials = row["trials"].as_u64().ok_or("`trials` is no count")?;
    let got = BetaBinomial::tuned(alpha, t_opt, alpha_opt).and_then(|b| b.interval(successes, trials));
    let limits = got.map_or([f64::NAN; 2], |i| [i.low, i.high]);
    case.numbers("bernoulli_ci", "/interval", &limits, STATISTIC);
    // Through a policy, whose tuning is the package's default.
    if alpha_opt == ALPHA_OPT {
        let mut signal = follow(json!({"method": "beta-binomial", "tuned_for": t_opt, "confidence": 1.0 - alpha}))?;
        (0..trials).for_each(|i| signal.add(if (i as f64) < successes { 1.0 } else { 0.0 }));
        case.numbers("confidence-sequence", "/interval", &told(&signal), STATISTIC);
    }
    Ok(())
}

fn predictable(case: &mut Case, folder: &Folder, row: &Value) -> Result<(), String> {
    let series = case.input("/series").and_then(Value::as_str).ok_or("`series` is missing")?;
    let (first, alpha, truncation) = (input(case, "first_n")?, input(case, "alpha")?, input(case, "truncation")?);
    let kept = case.input("/running_intersection").and_then(Value::as_bool).unwrap_or(false);
    let index: Vec<usize> = case.input("/index").map(numbers).unwrap_or_default().iter().map(|i| *i as usize).collect();
    let values: Vec<f64> = folder.series(series)?.into_iter().take(first as usize).collect();
    // The case's truncation is the empirical-Bernstein sequence's; the other's is the package's default.
    let mut bernstein = EmpiricalBernstein::new(alpha, truncation).ok_or("a parameter is outside its domain")?;
    let mut hoeffding = Hoeffding::new(alpha, 1.0).ok_or("a parameter is outside its domain")?;
    if kept {
        (bernstein, hoeffding) = (bernstein.intersecting(), hoeffding.intersecting());
    }
    // Through a policy, where weights are cut at 1/2 and limits are those of now.
    let mut policy = (truncation == 0.5 && !kept).then(|| follow(json!({"confidence": 1.0 - alpha}))).transpose()?;
    let mut said: [Vec<f64>; 2] = Default::default();
    let mut limits: [Vec<f64>; 4] = Default::default();
    for (i, x) in values.iter().enumerate() {
        if !(bernstein.push(*x) && hoeffding.push(*x)) {
            return Err(format!("value {i} of {series} is outside [0, 1]"));
        }
        if let Some(policy) = &mut policy {
            policy.add(*x);
            if index.contains(&i) {
                said.iter_mut().zip(told(policy)).for_each(|(list, limit)| list.push(limit));
            }
        }
        if index.contains(&i) {
            let now = [bernstein.lower(), bernstein.upper(), hoeffding.lower(), hoeffding.upper()];
            limits.iter_mut().zip(now).for_each(|(list, limit)| list.push(limit));
        }
    }
    if policy.is_some() && row.get("empbern_lower").is_some() {
        case.numbers("confidence-sequence", "/empbern_lower", &said[0], STATISTIC);
        case.numbers("confidence-sequence", "/empbern_upper", &said[1], STATISTIC);
    }
    let names = ["empbern_lower", "empbern_upper", "hoeffding_lower", "hoeffding_upper"];
    for (name, list) in names.iter().zip(&limits) {
        let detector = if name.starts_with("emp") { "empirical_bernstein" } else { "hoeffding" };
        if row.get(name).is_some() {
            case.numbers(detector, &format!("/{name}"), list, STATISTIC);
        }
    }
    Ok(())
}
