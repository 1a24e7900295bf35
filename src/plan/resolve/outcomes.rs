//! Owns the resolution of outcomes: names over all sources become one list.

use crate::id::OutcomeId;
use crate::plan::diagnostic::Diagnostic;
use crate::plan::document::Place;
use crate::plan::outcome::{Amount as WireAmount, BusinessOutcome};
use crate::plan::resolve::{distribution, small};
use crate::world::config::OutcomeConfig;
use crate::world::distribution::Amount;
use std::collections::BTreeMap;

/// The outcomes of one source. `names`: those of all sources so far; one that is there already is the same outcome.
pub(crate) fn outcomes(
    wire: &BTreeMap<String, BusinessOutcome>,
    place: &Place<'_>,
    names: &mut Vec<String>,
    found: &mut Vec<Diagnostic>,
) -> Vec<OutcomeConfig> {
    let mut all = Vec::new();
    for (name, outcome) in wire {
        let place = place.at(name);
        if name.is_empty() {
            found.push(place.wrong_key("an outcome without a name").help("signals find it by its name"));
        }
        let index = names.iter().position(|n| n == name).unwrap_or_else(|| {
            names.push(name.clone());
            names.len() - 1
        });
        all.push(OutcomeConfig {
            id: OutcomeId(small(index)),
            name: name.clone(),
            right: outcome.right.0,
            wrong: outcome.wrong.0,
            failed: outcome.failed.0,
            threshold: outcome.threshold.0,
            amount: outcome.amount.as_ref().map(|a| amount(a, &place.at("amount"), found)),
            delay: distribution(&outcome.delay, &place.at("delay"), found),
        });
    }
    all
}

fn amount(wire: &WireAmount, place: &Place<'_>, found: &mut Vec<Diagnostic>) -> Amount {
    match *wire {
        WireAmount::Lognormal { median, p99 } => {
            if p99 < median {
                let message = "the 99th percentile of a lognormal is below its median";
                found.push(place.at("p99").wrong(message).label(format!("below the median, {median}")));
            }
            Amount::lognormal(median, p99)
        }
        WireAmount::Normal { mean, sd } => Amount::Normal { mean, sd },
        WireAmount::Constant { value } => {
            if value == 0.0 {
                let help = "0 says that it did not happen; leave `amount` out to count how often it does";
                found.push(place.at("value").wrong("an amount of 0 is none").help(help));
            }
            Amount::Constant(value)
        }
    }
}
