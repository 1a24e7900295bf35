//! Owns the resolution of policies: signals by name, rules by text → the controller's configuration.

use crate::control::config::{Comparison, Condition, OnMissing, Operand, PolicyConfig, Revert, Rights, Rule};
use crate::detect::config::SignalConfig;
use crate::event::{Verdict, Weight};
use crate::id::SignalId;
use crate::plan::diagnostic::Diagnostic;
use crate::plan::document::{Document, Place};
use crate::plan::expression;
use crate::plan::policy::{self as wire, How, Policy, Then};
use crate::plan::resolve::signals::{Known, signal};
use crate::plan::resolve::small;
use crate::time::Span;
use serde_json::Value;

/// The policy against what the scenario has.
pub(crate) fn policy(wire: &Policy, place: &Place<'_>, known: &Known<'_>, found: &mut Vec<Diagnostic>) -> PolicyConfig {
    let signals: Vec<SignalConfig> = wire
        .signals
        .iter()
        .map(|(name, wire)| {
            let at = place.at("signals").at(name);
            check_name(name, &at, found);
            signal(name, wire, &at, known, found)
        })
        .collect();
    let rules = wire
        .rule
        .iter()
        .enumerate()
        .filter_map(|(i, r)| rule(r, i, &place.at("rule").at(i), &signals, found))
        .collect();
    duplicates(&wire.rule, &place.at("rule"), found);
    PolicyConfig {
        name: wire.name.clone(),
        revert: revert(&wire.revert, &place.at("revert"), &signals, found),
        signals,
        rules,
        rights: Rights { rollbacks: wire.rights.rollbacks, cooldown: wire.rights.cooldown.0 },
    }
}

/// What else is wrong with a policy that is not of its schema: its signals and rules that are, against what the scenario has.
/// Rules that read a signal that could not be read say nothing of it.
pub(crate) fn partly(document: &Document, known: &Known<'_>, found: &mut Vec<Diagnostic>) {
    let (json, place) = (document.to_json(), Place::root(document));
    let (mut signals, mut unread) = (Vec::new(), Vec::new());
    for (name, value) in json.get("signals").and_then(Value::as_object).into_iter().flatten() {
        let at = place.at("signals").at(name);
        check_name(name, &at, found);
        match serde_json::from_value(value.clone()) {
            Ok(wire) => signals.push(signal(name, &wire, &at, known, found)),
            Err(_) => unread.push(name.as_str()),
        }
    }
    for (i, value) in json.get("rule").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let Some(when) = value.get("when").and_then(Value::as_str) else { continue };
        for e in expression::parse(when, &signals).err().into_iter().flatten() {
            let about = when.get(e.at.clone()).and_then(|name| name.split('.').next()).unwrap_or_default();
            if !unread.contains(&about) {
                found.push(place.at("rule").at(i).at("when").wrong_part(e.at, e.message).maybe_help(e.help));
            }
        }
    }
}

fn check_name(name: &str, place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if name == "baseline" || !letters || !name.starts_with(|c: char| c.is_ascii_alphabetic()) || name.ends_with('-') {
        let help = "names of signals are letters, digits, `-` and `_`, begin with a letter and are not `baseline`";
        found.push(place.wrong_key(format!("a rule could not read a signal named `{name}`")).help(help));
    }
}

fn rule(
    r: &wire::Rule,
    index: usize,
    place: &Place<'_>,
    signals: &[SignalConfig],
    found: &mut Vec<Diagnostic>,
) -> Option<Rule> {
    let when = match expression::parse(&r.when, signals) {
        Ok(condition) => condition,
        Err(errors) => {
            for e in errors {
                found.push(place.at("when").wrong_part(e.at, e.message).maybe_help(e.help));
            }
            return None;
        }
    };
    if let Some((field, (least, most))) = never(&when, signals).filter(|_| r.on_missing != wire::OnMissing::Fail) {
        let message = format!("this rule never fails: `{field}` is between {least} and {most}");
        let help = if field.ends_with(".p") && least > 0.0 && when.op != Comparison::Greater {
            "the least p-value is 1 / (permutations + 1), twice that with `looks = \"all\"`: take more permutations"
        } else {
            "shares are numbers from 0 to 1: 5 % is 0.05"
        };
        found.push(place.at("when").wrong(message).help(help));
    }
    Some(Rule {
        name: r.name.clone().unwrap_or_else(|| format!("rule {}", index + 1)),
        text: r.when.clone(),
        when,
        looks: r.looks,
        then: match r.then {
            Then::Rollback => Verdict::Rollback,
            Then::Halt => Verdict::Halt,
            Then::Alert => Verdict::Alert,
        },
        on_missing: match r.on_missing {
            wire::OnMissing::Inconclusive => OnMissing::Inconclusive,
            wire::OnMissing::Pass => OnMissing::Pass,
            wire::OnMissing::Fail => OnMissing::Fail,
        },
    })
}

/// The field of a condition that holds for none of the values that it can have, and its bounds.
fn never(when: &Condition, signals: &[SignalConfig]) -> Option<(String, (f64, f64))> {
    let (read, constant, op) = match (&when.left, &when.right) {
        (read, Operand { value: None, offset, .. }) => (read, *offset, when.op),
        (Operand { value: None, offset, .. }, read) => (read, *offset, when.op.turned()),
        _ => return None,
    };
    let field = read.value?;
    let signal = signals.get(field.signal.index())?;
    let name = *signal.kind.fields().get(field.field)?;
    let (least, most) = signal.kind.bounds(name)?;
    let ends = [least, most].map(|x| read.factor * x + read.offset);
    let (low, high) = (ends[0].min(ends[1]), ends[0].max(ends[1]));
    let never = match op {
        Comparison::Less => low >= constant,
        Comparison::LessEqual => low > constant,
        Comparison::Greater => high <= constant,
        Comparison::GreaterEqual => high < constant,
    };
    never.then(|| (format!("{}.{name}", signal.name), (least, most)))
}

fn duplicates(rules: &[wire::Rule], place: &Place<'_>, found: &mut Vec<Diagnostic>) {
    for (i, rule) in rules.iter().enumerate() {
        let Some(name) = &rule.name else { continue };
        if rules[..i].iter().any(|other| other.name.as_ref() == Some(name)) {
            found.push(place.at(i).at("name").wrong(format!("two rules are named `{name}`")));
        }
    }
}

fn revert(wire: &wire::Revert, place: &Place<'_>, signals: &[SignalConfig], found: &mut Vec<Diagnostic>) -> Revert {
    let at_once = (vec![Weight::NONE], Span::ZERO, None, Span::ZERO);
    let (steps, every, gate, gate_patience) = match &wire.how {
        How::Word(_) => at_once,
        How::Steps(how) => {
            let place = place.at("how");
            let steps: Vec<Weight> = how.steps.iter().map(|s| Weight::from_share(s.0)).collect();
            if steps.windows(2).any(|w| w[1] >= w[0]) || steps.last() != Some(&Weight::NONE) {
                let help =
                    "steps are shares of traffic left on the bad version, each smaller, down to 0, like [0.5, 0.0]";
                found.push(place.at("steps").wrong("the steps do not go down to 0").help(help));
            }
            let names: Vec<&str> = signals.iter().map(|s| s.name.as_str()).collect();
            let noun = ("signal", "signals of this policy");
            let gate = how.gate.as_ref().and_then(|g| place.at("gate").lookup(g, &names, noun, found));
            (steps, how.every.0, gate.map(|g| SignalId(small(g))), how.gate_patience.0)
        }
    };
    Revert {
        steps,
        every,
        gate,
        gate_patience,
        wait_ready: wire.wait_ready,
        verify_window: wire.verify.window.0,
        verify_requests: u64::from(wire.verify.requests),
        patience: wire.patience.0,
    }
}
