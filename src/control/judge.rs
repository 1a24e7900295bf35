//! Owns judgement: signals and rules become alarms.

use crate::control::config::{Comparison, Condition, Field, OnMissing, Operand, PolicyConfig};
use crate::detect::verdict::NoVerdict;
use crate::detect::{Detectors, Measurement};
use crate::event::{Event, Input, Measured, RuleFired, Unmeasured, Verdict};
use crate::id::{RuleId, SignalId, VersionId};
use crate::rng::Seed;
use crate::time::{SimTime, Span};
use std::sync::Arc;

/// The state of one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct RuleState {
    /// Looks in a row on which the condition held.
    held: u32,
    /// Where the evidence of the first of them begins.
    from: SimTime,
    /// The rule fails now.
    fails: bool,
}

/// A measurement, or why there is none.
type Look = Result<Measurement, NoVerdict>;

/// Signals, rules, and how often each rule has held in a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Judge {
    policy: Arc<PolicyConfig>,
    detectors: Detectors,
    rules: Vec<RuleState>,
    /// Why the last look at each signal gave no verdict, for the version under test and for the baseline: told once.
    silent: Vec<[Option<&'static str>; 2]>,
}

/// What a look compares: the version under test, and the one beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// Under test.
    pub candidate: VersionId,
    /// Beside it.
    pub baseline: VersionId,
}

impl Judge {
    /// No look taken yet. `width`: features of a log row.
    #[must_use]
    pub fn new(policy: Arc<PolicyConfig>, width: usize, seed: Seed) -> Self {
        let detectors = Detectors::new(&policy.signals, width, seed);
        let rules = vec![RuleState::default(); policy.rules.len()];
        let silent = vec![[None; 2]; policy.signals.len()];
        Self { policy, detectors, rules, silent }
    }

    /// Takes what telemetry brings.
    pub fn take(&mut self, input: &Input) {
        self.detectors.take(input);
    }

    /// Measures all signals as of the scrape at `at`, applies all rules; what was measured and what changed.
    pub fn look(&mut self, at: SimTime, pair: Pair) -> Vec<Event> {
        let mut events = Vec::new();
        let policy = Arc::clone(&self.policy);
        let mut measured: Vec<[Look; 2]> = Vec::with_capacity(policy.signals.len());
        for (i, signal) in policy.signals.iter().enumerate() {
            let id = SignalId(i as u16);
            let candidate = self.detectors.look(i, pair.candidate, pair.baseline, at);
            let baseline = match signal.kind.compares() {
                true => Err(NoVerdict::Itself),
                false => self.detectors.look_beside(i, pair.baseline, pair.candidate, at),
            };
            for (side, (version, look)) in [(pair.candidate, &candidate), (pair.baseline, &baseline)].iter().enumerate()
            {
                let said = match look {
                    Ok(m) => {
                        events.push(Event::Measured(Measured {
                            signal: id,
                            version: *version,
                            values: m.values.clone(),
                        }));
                        None
                    }
                    Err(NoVerdict::Itself) => None,
                    Err(why) => Some(*why),
                };
                if let Some(why) = said.filter(|why| self.silent[i][side] != Some(why.kind())) {
                    let reason = signal.reason(why);
                    events.push(Event::Unmeasured(Unmeasured { signal: id, version: *version, reason }));
                }
                self.silent[i][side] = said.map(NoVerdict::kind);
            }
            measured.push([candidate, baseline]);
        }
        events.extend(self.apply(at, &measured));
        events
    }

    /// Applies all rules at a scrape that brought nothing: every signal is without a value, whatever was measured last.
    pub fn look_in_vain(&mut self, at: SimTime) -> Vec<Event> {
        let none = || [Err(NoVerdict::Gap), Err(NoVerdict::Gap)];
        let measured: Vec<[Look; 2]> = self.policy.signals.iter().map(|_| none()).collect();
        self.apply(at, &measured)
    }

    fn apply(&mut self, at: SimTime, measured: &[[Look; 2]]) -> Vec<Event> {
        let mut events = Vec::new();
        let policy = Arc::clone(&self.policy);
        for (i, rule) in policy.rules.iter().enumerate() {
            let holds = holds(&rule.when, measured);
            let from = evidence_from(&rule.when, measured).unwrap_or(at);
            let mut state = self.rules[i];
            match (holds, rule.on_missing) {
                (Some(true), _) | (None, OnMissing::Fail) => {
                    if state.held == 0 {
                        state.from = from;
                    }
                    state.held = state.held.saturating_add(1);
                }
                (None, OnMissing::Inconclusive) => {}
                (Some(false), _) | (None, OnMissing::Pass) => state.held = 0,
            }
            let fails = state.held >= rule.looks;
            let failed = std::mem::replace(&mut state.fails, fails);
            self.rules[i] = state;
            let rule_id = RuleId(i as u16);
            if fails && !failed {
                events.push(Event::RuleFired(RuleFired {
                    rule: rule_id,
                    evidence_from: state.from,
                    evidence_to: at,
                    window: self.window(&rule.when).max(at.since(state.from)),
                    evidence: self.evidence(i, measured),
                }));
            } else if !fails && failed {
                events.push(Event::RuleCleared { rule: rule_id });
            }
        }
        events
    }

    /// Clears all rules: the version they were about has left, and with it the evidence.
    pub fn clear(&mut self) -> impl Iterator<Item = Event> {
        let states = std::mem::replace(&mut self.rules, vec![RuleState::default(); self.policy.rules.len()]);
        let failing = states.into_iter().enumerate().filter(|(_, state)| state.fails);
        failing.map(|(i, _)| Event::RuleCleared { rule: RuleId(i as u16) })
    }

    /// The gravest thing that failing rules ask for, and the rules that ask for it.
    #[must_use]
    pub fn verdict(&self) -> Option<(Verdict, Vec<RuleId>)> {
        let failing = || self.policy.rules.iter().zip(&self.rules).enumerate().filter(|(_, (_, state))| state.fails);
        let gravest = failing().map(|(_, (rule, _))| rule.then).max()?;
        let rules = failing().filter(|(_, (rule, _))| rule.then == gravest).map(|(i, _)| RuleId(i as u16)).collect();
        Some((gravest, rules))
    }

    /// The failing rules that ask for a person.
    #[must_use]
    pub fn alerts(&self) -> Vec<RuleId> {
        let failing = self.policy.rules.iter().zip(&self.rules).enumerate();
        failing.filter(|(_, (r, s))| s.fails && r.then == Verdict::Alert).map(|(i, _)| RuleId(i as u16)).collect()
    }

    /// Whether a rule that reads this signal fails now.
    #[must_use]
    pub fn fails_on(&self, signal: SignalId) -> bool {
        let reads = |o: &Operand| o.value.is_some_and(|f| f.signal == signal);
        self.policy
            .rules
            .iter()
            .zip(&self.rules)
            .any(|(rule, state)| state.fails && (reads(&rule.when.left) || reads(&rule.when.right)))
    }

    fn window(&self, condition: &Condition) -> Span {
        [&condition.left, &condition.right]
            .into_iter()
            .filter_map(|o| self.policy.signals.get(o.value?.signal.index())?.kind.window())
            .max()
            .unwrap_or(Span::ZERO)
    }

    /// The condition with the values it was judged on, in words.
    fn evidence(&self, i: usize, measured: &[[Look; 2]]) -> String {
        let rule = &self.policy.rules[i];
        let mut text = rule.text.clone();
        for operand in [&rule.when.left, &rule.when.right] {
            let Some(field) = operand.value else { continue };
            let Some(signal) = self.policy.signals.get(field.signal.index()) else { continue };
            let whose = if field.baseline { "baseline " } else { "" };
            let words = match measured.get(field.signal.index()).map(|m| &m[usize::from(field.baseline)]) {
                Some(Ok(m)) => {
                    let fields = signal.kind.fields().iter().zip(&m.values);
                    let fields: Vec<String> = fields.map(|(name, v)| format!("{name} {}", number(*v))).collect();
                    let about = m.column.and_then(|c| signal.about(c)).map_or(String::new(), |c| format!(" of {c}"));
                    format!("{about}: {}", fields.join(", "))
                }
                Some(Err(why)) => format!(": no verdict, {why}"),
                None => String::new(),
            };
            text.push_str(&format!("; {whose}{}{words}", signal.name));
            if let Some(extent) = signal.kind.extent() {
                text.push_str(&format!(", {extent}"));
            }
        }
        if rule.looks > 1 {
            text.push_str(&format!("; {} looks in a row", self.rules[i].held));
        }
        text
    }
}

/// A value in at most four significant digits.
fn number(x: f64) -> String {
    let size = x.abs();
    if x.is_nan() {
        "unknown".to_owned()
    } else if x == 0.0 || (1e3..1e9).contains(&size) {
        format!("{x:.0}")
    } else if (1e-3..1e3).contains(&size) {
        let text = format!("{x:.4}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        format!("{x:.1e}")
    }
}

fn read(field: Field, measured: &[[Look; 2]]) -> Option<&Measurement> {
    measured.get(field.signal.index())?[usize::from(field.baseline)].as_ref().ok()
}

/// The operand's value; NaN if it has none.
fn value(operand: &Operand, measured: &[[Look; 2]]) -> f64 {
    let Some(field) = operand.value else { return operand.offset };
    let found = read(field, measured).and_then(|m| m.values.get(field.field)).copied().unwrap_or(f64::NAN);
    operand.factor * found + operand.offset
}

/// Whether the condition holds; `None` if an operand has no value.
fn holds(condition: &Condition, measured: &[[Look; 2]]) -> Option<bool> {
    let (left, right) = (value(&condition.left, measured), value(&condition.right, measured));
    if left.is_nan() || right.is_nan() {
        return None;
    }
    Some(match condition.op {
        Comparison::Less => left < right,
        Comparison::LessEqual => left <= right,
        Comparison::Greater => left > right,
        Comparison::GreaterEqual => left >= right,
    })
}

fn evidence_from(condition: &Condition, measured: &[[Look; 2]]) -> Option<SimTime> {
    [&condition.left, &condition.right].into_iter().filter_map(|o| Some(read(o.value?, measured)?.from)).min()
}
