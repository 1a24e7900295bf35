//! Owns trials: the run under test, with its reference runs on the same random streams or alone, and many of them side by
//! side.

pub mod lab;
pub mod live;
pub mod power;
pub mod validate;

use crate::control::config::{Operand, PolicyConfig, Rule};
use crate::digest::{hex, keyed};
use crate::event::RequestEnd;
use crate::id::{FaultId, RuleId, SourceId};
use crate::plan::Plan;
use crate::report::aggregate::TrialFigures;
use crate::report::assess::assess;
use crate::report::fold::RunRecord;
use crate::report::incident::{FaultFacts, FaultKind, References, Runs, Twin, Without};
use crate::report::judge::judge_all;
use crate::report::trial::{Host, Limit, Reading, TrialReport};
use crate::rng::Seed;
use crate::sim::{Results, Setup, Sim};
use crate::time::SimTime;
use crate::world::config::{Bound, Effect};
use crate::world::inference::RuntimeError;
use crate::world::plant::{FaultSet, World};
use crate::world::predictions::Predictions;
use std::sync::Arc;

/// Scores kept for the reference runs of one trial: enough for 64 million rows.
const SCORES_KEPT_BYTES: usize = 256 << 20;

/// A trial's report, and the ends of its requests if they were asked for.
#[derive(Debug)]
pub struct Trial {
    /// What it amounts to.
    pub report: TrialReport,
    /// Every request of the trial's own run.
    pub requests: Vec<RequestEnd>,
    /// Host seconds of the trial's own run, without its reference runs.
    pub own_run_s: f64,
}

/// What is fixed for all runs of a plan.
#[derive(Debug, Clone)]
struct Bench<'p> {
    plan: &'p Plan,
    policy: Arc<PolicyConfig>,
    hold: Arc<PolicyConfig>,
    setup: Setup,
}

impl<'p> Bench<'p> {
    fn new(plan: &'p Plan, seed: u64) -> Self {
        let policy = Arc::new(plan.policy.clone());
        let setup = Setup {
            world: Arc::new(plan.world.clone()),
            policy: Arc::clone(&policy),
            rollout: Arc::new(plan.rollout.clone()),
            objective: Arc::new(plan.objective.clone()),
            names: Arc::new(plan.names.clone()),
            faults: vec![true; plan.world.faults.len()],
            seed: Seed(seed),
            results: Results::default(),
            keep_requests: false,
        };
        Self { plan, policy, hold: Arc::new(PolicyConfig::hold()), setup }
    }

    /// Natural drift is in the data and in every run.
    fn faults(&self, keep: impl Fn(usize) -> bool) -> FaultSet {
        let natural = |i: usize| matches!(self.plan.world.faults[i].effect, Effect::NaturalDrift);
        (0..self.plan.world.faults.len()).map(|i| keep(i) || natural(i)).collect()
    }

    fn run(&self, hold: bool, faults: FaultSet, models: &mut Predictions) -> Result<RunRecord, RuntimeError> {
        let policy = Arc::clone(if hold { &self.hold } else { &self.policy });
        crate::sim::run(&Setup { policy, faults, ..self.setup.clone() }, models)
    }

    /// What a run of (P, F) amounts to beside its twin.
    fn report(&self, record: RunRecord, twin: Twin<'_>) -> TrialReport {
        let (plan, setup, seed) = (self.plan, &self.setup, self.setup.seed);
        let facts = fault_facts(plan);
        let runs = Runs { trial: &record, twin };
        let arrival = |source: SourceId, ordinal: u64| {
            World::arrival(&setup.world, &setup.faults, seed, source, ordinal).unwrap_or(SimTime::NEVER)
        };
        let assessed = assess(&facts, &runs, &plan.objective, plan.world.horizon, &arrival);
        let natural = facts.iter().any(|f| matches!(f.kind, FaultKind::Natural));
        let users_hurt = match &runs.twin {
            Twin::Runs(references) if !natural => {
                let clean = &references.policy_clean.bits;
                let hurt = record.bits.all_only_here(clean).filter(|(source, _)| record.bits.shares(clean, *source));
                Some(World::distinct_users(&setup.world, &setup.faults, seed, hurt))
            }
            _ => None,
        };
        let trace = record.trace;
        let parts = [&trace.digests.exogenous, &trace.digests.inference, &trace.digests.decisions];
        let mut report = TrialReport {
            scenario: plan.name.clone(),
            summary: plan.summary.clone(),
            policy: plan.policy.name.clone(),
            seed: seed.0,
            names: trace.names,
            readings: readings(&plan.policy),
            objective: plan.objective.clone(),
            rollout: (plan.rollout.to, plan.rollout.from),
            outcome: assessed.outcome,
            incidents: assessed.incidents,
            requests: record.counts,
            segments: record.segments,
            harm_suffered: assessed.harm_suffered,
            harm_avoided: assessed.harm_avoided,
            policy_harm: assessed.policy_harm,
            joint_harm: assessed.joint_harm,
            users_hurt,
            rollbacks: assessed.rollbacks,
            budget_spent: assessed.budget_spent,
            horizon: plan.world.horizon,
            end: trace.end,
            trace_digest: hex(&keyed(&parts.map(|p| p.as_bytes()))),
            digests: trace.digests,
            trace_events: trace.facts,
            events: trace.events,
            windows: assessed.windows,
            expectations: Vec::new(),
            host: Host::default(),
        };
        report.expectations = judge_all(&plan.expectations, &plan.policy.name, &[TrialFigures::from(&report)]);
        report
    }
}

/// What each rule of a policy reads of the version under test, and where its condition turns.
fn readings(policy: &PolicyConfig) -> Vec<Reading> {
    let reading = |(i, rule): (usize, &Rule)| {
        let (left, right) = (&rule.when.left, &rule.when.right);
        let tested = |operand: &Operand| operand.factor != 0.0 && operand.value.is_some_and(|field| !field.baseline);
        let (read, other) = if tested(left) { (left, right) } else { (right, left) };
        let field = read.value.filter(|_| tested(read))?;
        // read.factor × value + read.offset = other
        let limit = Limit {
            of: other.value.map(|field| (field.signal, field.field, field.baseline)),
            factor: other.factor / read.factor,
            offset: (other.offset - read.offset) / read.factor,
        };
        Some(Reading {
            rule: RuleId(i as u16),
            text: rule.text.clone(),
            looks: rule.looks,
            signal: field.signal,
            field: field.field,
            limit,
        })
    };
    policy.rules.iter().enumerate().filter_map(reading).collect()
}

/// What the report must know of the plan's faults.
#[must_use]
pub fn fault_facts(plan: &Plan) -> Vec<FaultFacts> {
    let kind = |effect: &Effect| match *effect {
        Effect::CorruptWeights { version, .. } | Effect::BadRelease { version, .. } => {
            FaultKind::VersionBound { version, taints: true }
        }
        Effect::LatencySpike { bound: Bound::Version(version), .. }
        | Effect::Crash { version, .. }
        | Effect::Stall { version, .. }
        | Effect::Cut { version, .. }
        | Effect::Delay { version, .. } => FaultKind::VersionBound { version, taints: false },
        Effect::NaturalDrift => FaultKind::Natural,
        Effect::LatencySpike { .. } | Effect::CovariateDrift { .. } | Effect::Surge { .. } | Effect::Sham => {
            FaultKind::Elsewhere
        }
    };
    let words = plan.fault_words.iter();
    plan.world
        .faults
        .iter()
        .zip(words)
        .enumerate()
        .map(|(i, (fault, what))| FaultFacts {
            id: FaultId(i as u16),
            name: fault.name.clone(),
            what: what.clone(),
            harmful: fault.harmful,
            curable: fault.curable,
            kind: kind(&fault.effect),
        })
        .collect()
}

/// One trial: (P, F) and beside it (hold, ∅), (hold, F), (P, ∅), with several faults also (P, F∖i) and (hold, F∖i).
///
/// # Errors
/// When the runtime is not there.
pub fn trial(plan: &Plan, seed: u64, keep_requests: bool, models: &mut Predictions) -> Result<Trial, RuntimeError> {
    let bench = Bench::new(plan, seed);
    models.forget();
    models.keep(SCORES_KEPT_BYTES);
    let own = Setup { keep_requests, ..bench.setup.clone() };
    let start = lab::now();
    let (record, requests) = Sim::new(&own, models)?.finish(models)?;
    let own_run_s = lab::now().duration_since(start).as_secs_f64();
    let facts = fault_facts(plan);
    let hold = bench.run(true, bench.faults(|_| true), models)?;
    let hold_clean = bench.run(true, bench.faults(|_| false), models)?;
    let policy_clean = bench.run(false, bench.faults(|_| false), models)?;
    let removable: Vec<bool> = facts.iter().map(|f| !matches!(f.kind, FaultKind::Natural)).collect();
    let several = removable.iter().filter(|&&r| r).count() > 1;
    let mut without = Vec::new();
    for (i, &removable) in removable.iter().enumerate() {
        without.push(match several && removable {
            true => {
                let rest = || bench.faults(|j| j != i);
                Some((bench.run(false, rest(), models)?, bench.run(true, rest(), models)?))
            }
            false => None,
        });
    }
    let references = References {
        hold: &hold,
        hold_clean: &hold_clean,
        policy_clean: &policy_clean,
        without: without.iter().map(|w| w.as_ref().map(|(policy, hold)| Without { policy, hold })).collect(),
    };
    let mut report = bench.report(record, Twin::Runs(references));
    report.host.reference_runs = 3 + 2 * without.iter().flatten().count() as u32;
    Ok(Trial { report, requests, own_run_s })
}

/// A run without reference runs, measured by the twin-free forms of [`crate::report::incident`]: what a live run gets,
/// and both sides of a validation. Harm and users hurt are not defined, nor is an expectation about them.
#[must_use]
pub fn alone(plan: &Plan, seed: u64, record: RunRecord) -> TrialReport {
    Bench::new(plan, seed).report(record, Twin::None)
}

/// One simulated run of (P, F), measured as [`alone`] does.
///
/// # Errors
/// When the runtime is not there.
pub fn simulate_alone(plan: &Plan, seed: u64, models: &mut Predictions) -> Result<TrialReport, RuntimeError> {
    let bench = Bench::new(plan, seed);
    models.forget();
    let record = crate::sim::run(&bench.setup, models)?;
    Ok(bench.report(record, Twin::None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rule_reads_and_where_it_turns_is_told_in_the_unit_of_the_field() {
        let text = |rules: &[&str]| {
            let rules: String =
                rules.iter().map(|when| format!("[[rule]]\nwhen = \"{when}\"\nthen = \"alert\"\n")).collect();
            format!("name = \"p\"\n[signals.errors]\nkind = \"error-rate\"\nwindow = \"60s\"\n{rules}")
        };
        let rules = [
            "errors.lower > 0.01",
            "2 * errors.upper + 0.1 > 0.5",
            "baseline.errors.upper + 0.005 < errors.lower",
            "errors.lower > 2 * errors.value - 0.25",
            "baseline.errors.value > 0.1",
        ];
        let policy = crate::plan::policy_alone("p.toml", &text(&rules)).expect("a policy");
        let found: Vec<_> = readings(&policy).into_iter().map(|r| (r.rule.0, r.field, r.limit)).collect();
        let signal = policy.signals.iter().position(|s| s.name == "errors").map(|i| crate::id::SignalId(i as u16));
        let of = |field, baseline| signal.map(|signal| (signal, field, baseline));
        let limit = |of, factor, offset| Limit { of, factor, offset };
        assert_eq!(
            found,
            [
                (0, 1, limit(None, 1.0, 0.01)),
                (1, 2, limit(None, 0.5, 0.2)),
                (2, 1, limit(of(2, true), 1.0, 0.005)),
                (3, 1, limit(of(0, false), 2.0, -0.25)),
            ]
        );
    }
}
