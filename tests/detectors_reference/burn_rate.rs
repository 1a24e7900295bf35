//! Multi-window burn-rate alerts, minute by minute: scrapes of counters go in as telemetry brings them.

use crate::harness::{Case, Folder, Report, STATISTIC, number};
use crate::policy::signal;
use rollcage::detect::Detectors;
use rollcage::detect::config::SignalConfig;
use rollcage::event::{Capacity, Input, Metrics, MetricsRow, Outcome};
use rollcage::id::{SegmentId, VersionId};
use rollcage::report::assess::budget_share;
use rollcage::rng::Seed;
use rollcage::stats::histogram::Histogram;
use rollcage::time::{SimTime, Span};
use serde_json::{Map, Value, json};

const MINUTES_OF_30_DAYS: f64 = 30.0 * 24.0 * 60.0;

pub fn run(folder: &Folder, file: &str, document: &Value, report: &mut Report) -> Result<(), String> {
    let tiers = document["tiers"].as_array().ok_or("no tiers")?;
    for json in document["cases"].as_array().ok_or("no cases")? {
        let id = json["id"].as_str().ok_or("a case without an id")?;
        let rows = folder.rows(&format!("burn_rate/{id}.csv"))?;
        let rows: Option<Vec<(u64, u64)>> =
            rows.iter().map(|row| Some((row.first()?.parse().ok()?, row.get(1)?.parse().ok()?))).collect();
        let rows = rows.ok_or_else(|| format!("burn_rate/{id}.csv: not counts"))?;
        let mut case = Case::new(file, id, json);
        if let Err(e) = alerts(&mut case, tiers, &rows) {
            case.note("burn rate", e);
        }
        case.finish(report);
    }
    Ok(())
}

/// The signal of a tier, by name.
fn tier(json: &Value, slo: f64) -> Result<(String, SignalConfig), String> {
    let minutes = |name: &str| Some(format!("{}m", json[name].as_u64()?));
    let name = json["name"].as_str().ok_or("a tier without a name")?;
    let table = json!({
        "slo": slo, "min": 1, "factor": json["factor"],
        "long": minutes("long_minutes"), "short": minutes("short_minutes"),
    });
    let kind = signal("burn-rate", table.as_object().unwrap_or(&Map::new()))?;
    Ok((name.to_owned(), SignalConfig::new(name, kind)))
}

fn scrape(minute: usize, total: u64, bad: u64) -> Input {
    let mut ended = [0; 6];
    ended[Outcome::Answered as usize] = total - bad;
    ended[Outcome::Failed as usize] = bad;
    let row = MetricsRow {
        version: VersionId(0),
        segment: SegmentId(0),
        replica: None,
        ended,
        latency: Histogram::default(),
    };
    Input::Metrics(Metrics {
        scraped_at: at(minute),
        rows: vec![row],
        gauges: Vec::new(),
        capacity: Capacity::default(),
    })
}

/// The end of a minute.
fn at(minute: usize) -> SimTime {
    SimTime(Span::secs(60 * (minute as u64 + 1)).0)
}

fn alerts(case: &mut Case, tiers: &[Value], rows: &[(u64, u64)]) -> Result<(), String> {
    case.input("/id");
    let slo = case.input("/slo").and_then(number).ok_or("no slo")?;
    let mut signals: Vec<(String, SignalConfig)> =
        tiers.iter().map(|json| tier(json, slo)).collect::<Result<_, _>>()?;
    let hour = json!({ "name": "hour", "long_minutes": 60, "short_minutes": 1, "factor": 1.0 });
    signals.push(tier(&hour, slo)?);
    let configs: Vec<SignalConfig> = signals.iter().map(|(_, config)| config.clone()).collect();
    let mut detectors = Detectors::new(&configs, 0, Seed(1));
    let mut transitions = vec![Vec::new(); tiers.len()];
    let mut firing = vec![false; tiers.len()];
    let (mut total, mut bad) = (0, 0);
    let look = |detectors: &mut Detectors, signal: usize, minute: usize| {
        detectors.look(signal, VersionId(0), VersionId(0), at(minute)).map_err(|why| why.to_string())
    };
    for (minute, row) in rows.iter().enumerate() {
        (total, bad) = (total + row.0, bad + row.1);
        detectors.take(&scrape(minute, total, bad));
        for tier in 0..tiers.len() {
            // Where nothing came there is no verdict, and nothing burns.
            let fires = look(&mut detectors, tier, minute).is_ok_and(|m| m.values[0] > 1.0);
            if std::mem::replace(&mut firing[tier], fires) != fires {
                transitions[tier].push(json!([minute, if fires { "fire" } else { "resolve" }]));
            }
        }
    }
    case.equal("input", "/minutes", rows.len());
    case.equal("input", "/total", total);
    case.equal("input", "/total_bad", bad);
    for ((name, _), transitions) in signals.iter().zip(transitions) {
        case.equal("burn rate", &format!("/transitions/{name}"), transitions);
    }
    let expected = total as f64 / rows.len() as f64 * MINUTES_OF_30_DAYS;
    let spent = budget_share(bad, 1.0 - slo, expected);
    case.number("error budget", "/budget_consumed_of_30d_at_this_volume", Some(spent), STATISTIC);
    let last = look(&mut detectors, tiers.len(), rows.len() - 1).map(|m| m.values[1]).ok();
    case.number("burn rate", "/burn_rate_last_1h", last, STATISTIC);
    Ok(())
}
