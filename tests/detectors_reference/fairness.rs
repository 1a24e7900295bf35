//! Rates of a decision by group.

use crate::harness::{Case, Folder, Report, STATISTIC, numbers};
use rollcage::stats::classification::Confusion;
use rollcage::stats::fairness::{EqualizedOdds, GroupCounts, Spread};
use rollcage::stats::proportion::Share;
use serde_json::Value;

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
    Some(())
}

type Rate = fn(&Confusion) -> Share;
const RATES: [(&str, Rate); 3] =
    [("sr", Confusion::selection_rate), ("tpr", Confusion::recall), ("fpr", Confusion::false_positive_rate)];

/// Where a group has nobody to take a rate of, ours is not defined and the group is left out; fairlearn counts it as rate 0.
fn with_fairlearns_zero(share: Share) -> Share {
    if share.trials == 0 { Share::new(0, 1) } else { share }
}
