//! Rates of a decision by group.

use crate::harness::{Case, Folder, Report, STATISTIC, numbers};
use crate::policy::signal;
use rollcage::detect::config::SignalKind;
use rollcage::detect::groups::Groups;
use rollcage::detect::labelled::Pair;
use rollcage::detect::looks::Surety;
use rollcage::event::Observations;
use rollcage::id::{SegmentId, SourceId, VersionId};
use rollcage::stats::classification::Confusion;
use rollcage::stats::fairness::{EqualizedOdds, GroupCounts, Spread};
use rollcage::stats::proportion::Share;
use rollcage::time::{SimTime, Span};
use serde_json::{Value, json};

pub fn run(_: &Folder, file: &str, document: &Value, report: &mut Report) -> Result<(), String> {
    for json in document["cases"].as_array().ok_or("no cases")? {
        let mut case = Case::new(file, json["id"].as_str().ok_or("a case without an id")?, json);
        groups(&mut case).ok_or_else(|| format!("{}: an input is missing", case.name))?;
        case.finish(report);
    }
    Ok(())
}

fn groups(case: &mut Case) -> Option<()> {
    case.input("/id");
    let group: Vec<u32> =
        case.input("/group")?.as_array()?.iter().filter_map(|g| g.as_u64()?.try_into().ok()).collect();
    let actual = numbers(case.input("/y_true")?);
    let predicted = numbers(case.input("/y_pred")?);
    let mut counts = GroupCounts::default();
    for ((group, actual), predicted) in group.iter().zip(&actual).zip(&predicted) {
        counts.add(*group, *predicted != 0.0, *actual != 0.0);
    }
    let rows: u64 = counts.groups().values().map(Confusion::rows).sum();
    case.holds("groups", "every row is counted", rows as usize == actual.len().max(predicted.len()));

    for (group, confusion) in counts.groups() {
        for (name, share) in RATES {
            let got = with_fairlearns_zero(share(confusion)).value();
            case.number("groups", &format!("/by_group/{group}/{name}"), got, STATISTIC);
        }
    }
    let [selection, true_positive, false_positive] = RATES.map(|(_, share)| {
        Spread::of(counts.groups().iter().map(|(&group, c)| (group, with_fairlearns_zero(share(c)))), 1)
    });
    let difference = |spread: &Option<Spread>| spread.as_ref().map(Spread::difference);
    let ratio = |spread: &Option<Spread>| spread.as_ref().and_then(Spread::ratio);
    case.number("demographic parity", "/demographic_parity_difference", difference(&selection), STATISTIC);
    case.number("demographic parity", "/demographic_parity_ratio", ratio(&selection), STATISTIC);
    case.number("equal opportunity", "/equal_opportunity_difference", difference(&true_positive), STATISTIC);
    case.number("equal opportunity", "/equal_opportunity_ratio", ratio(&true_positive), STATISTIC);
    let odds = true_positive
        .zip(false_positive)
        .map(|(true_positive, false_positive)| EqualizedOdds { true_positive, false_positive });
    let odds = odds.as_ref();
    case.number("equalized odds", "/equalized_odds_difference", odds.map(EqualizedOdds::difference), STATISTIC);
    case.number("equalized odds", "/equalized_odds_ratio", odds.and_then(EqualizedOdds::ratio), STATISTIC);
    if let Err(e) = through_a_policy(case, &counts, &group, &actual, &predicted) {
        case.note("fairness", e);
    }
    Some(())
}

/// What the signal of a policy says of these users, each an answer of one version. A group that has nobody to take a rate of is left
/// out by it, and has the rate 0 in the reference: then it is held to what is left.
fn through_a_policy(
    case: &mut Case,
    counts: &GroupCounts,
    group: &[u32],
    actual: &[f64],
    predicted: &[f64],
) -> Result<(), String> {
    let groups = group.iter().max().map_or(0, |last| last + 1) as u16;
    let (version, at) = (VersionId(0), SimTime(1));
    let n = group.len();
    let [selection, recall, _] = RATES.map(|(_, share)| share);
    for (disparity, extent, needed, share) in [
        ("demographic-parity", "window", json!("60s"), selection),
        ("equal-opportunity", "labels", json!(n.max(1)), recall),
    ] {
        let entries = json!({"disparity": disparity, "min": 1, extent: needed});
        let table = entries.as_object().ok_or("not a table")?;
        let SignalKind::Fairness(mut config) = signal("fairness", table)? else { return Err("no fairness".to_owned()) };
        // Groups are the scenario's segments.
        config.groups = (0..groups).map(Some).collect();
        config.names = (0..groups).map(|group| group.to_string()).collect();
        let batch = Observations {
            scraped_at: at,
            source: SourceId(0),
            version,
            ordinals: (0..n as u64).collect(),
            ended: vec![at; n],
            latency: vec![Span::ZERO; n],
            segments: group.iter().map(|&group| SegmentId(group as u16)).collect(),
            scores: predicted.iter().map(|&class| class as f32).collect(),
            features: Vec::new(),
            unanswered: Vec::new(),
        };
        let pairs: Vec<Pair> = (0..n)
            .map(|i| Pair {
                version,
                ended: at,
                known: at,
                segment: batch.segments[i],
                score: batch.scores[i],
                label: actual[i] as f32,
            })
            .collect();
        let mut signal = Groups::new(config.window);
        signal.take(&config, &batch);
        let said = signal.look(&config, version, &pairs, at, Surety { confidence: 0.95, exact: false });
        let rates: Vec<(u32, Share)> = counts.groups().iter().map(|(&group, c)| (group, share(c))).collect();
        if rates.iter().any(|(_, share)| share.trials == 0) {
            let left = Spread::of(rates, 1).filter(|spread| spread.compared.len() > 1);
            let [ours, left] = [said.ok().map(|m| m.values[0]), left.map(|spread| spread.difference())];
            case.holds("fairness", "a group without anybody is left out", ours == left);
            continue;
        }
        let values = said.map_err(|e| format!("{disparity}: {e}"))?.values;
        let name = disparity.replace('-', "_");
        case.number("fairness", &format!("/{name}_difference"), values.first().copied(), STATISTIC);
        case.number("fairness", &format!("/{name}_ratio"), values.get(3).copied(), STATISTIC);
    }
    Ok(())
}

type Rate = fn(&Confusion) -> Share;
const RATES: [(&str, Rate); 3] =
    [("sr", Confusion::selection_rate), ("tpr", Confusion::recall), ("fpr", Confusion::false_positive_rate)];

/// Where a group has nobody to take a rate of, ours is not defined and the group is left out; fairlearn counts it as rate 0.
fn with_fairlearns_zero(share: Share) -> Share {
    if share.trials == 0 { Share::new(0, 1) } else { share }
}
