//! Multi-window burn-rate alerts, minute by minute.

use crate::harness::{Case, Folder, Report, STATISTIC, number};
use rollcage::stats::burn_rate::{BurnRate, Tier};
use serde_json::{Value, json};

const MINUTES_OF_30_DAYS: u64 = 30 * 24 * 60;

pub fn run(folder: &Folder, file: &str, document: &Value, report: &mut Report) -> Result<(), String> {
    let tiers = document["tiers"].as_array().ok_or("no tiers")?;
    let tiers: Option<Vec<(&str, Tier)>> = tiers.iter().map(tier).collect();
    let tiers = tiers.ok_or_else(|| format!("{file}: a tier is not understood"))?;
    for json in document["cases"].as_array().ok_or("no cases")? {
        let id = json["id"].as_str().ok_or("a case without an id")?;
        let rows = folder.rows(&format!("burn_rate/{id}.csv"))?;
        let rows: Option<Vec<(u64, u64)>> =
            rows.iter().map(|row| Some((row.first()?.parse().ok()?, row.get(1)?.parse().ok()?))).collect();
        let rows = rows.ok_or_else(|| format!("burn_rate/{id}.csv: not counts"))?;
        let mut case = Case::new(file, id, json);
        alerts(&mut case, &tiers, &rows).ok_or_else(|| format!("{}: an input is missing", case.name))?;
        case.finish(report);
    }
    Ok(())
}

fn tier(json: &Value) -> Option<(&str, Tier)> {
    let minutes = |name: &str| json[name].as_u64().map(|minutes| minutes as usize);
    let (long, short) = (minutes("long_minutes")?, minutes("short_minutes")?);
    let tier = Tier { long, short, factor: number(&json["factor"])?, events_min: 0 };
    Some((json["name"].as_str()?, tier))
}

fn alerts(case: &mut Case, tiers: &[(&str, Tier)], rows: &[(u64, u64)]) -> Option<()> {
    case.input("/id");
    let objective = number(case.input("/slo")?)?;
    let mut burn = BurnRate::new(objective, &tiers.iter().map(|(_, tier)| *tier).collect::<Vec<_>>())?;
    let mut transitions = vec![Vec::new(); tiers.len()];
    for (minute, &(total, bad)) in rows.iter().enumerate() {
        for transition in burn.push(total, bad) {
            let word = if transition.fires { "fire" } else { "resolve" };
            transitions[transition.tier].push(json!([minute, word]));
        }
    }
    case.equal("input", "/minutes", rows.len());
    case.equal("input", "/total", rows.iter().map(|row| row.0).sum::<u64>());
    case.equal("input", "/total_bad", rows.iter().map(|row| row.1).sum::<u64>());
    for ((name, _), transitions) in tiers.iter().zip(transitions) {
        case.equal("burn rate", &format!("/transitions/{name}"), transitions);
    }
    let spent = burn.budget_spent(MINUTES_OF_30_DAYS);
    case.number("error budget", "/budget_consumed_of_30d_at_this_volume", spent, STATISTIC);
    case.number("burn rate", "/burn_rate_last_1h", Some(burn.rate(60)), STATISTIC);
    Some(())
}
