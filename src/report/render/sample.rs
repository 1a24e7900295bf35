//! Owns fabricated reports for tests: the silent corruption of EXAMPLES, and shapes that renderings must survive.

use crate::digest::Digest;
use crate::event::{
    Action, ActionEnd, ActionKind, ActionResult, Decided, Event, Health, Measured, ReplicaState, RuleFired, Verdict,
    Weight,
};
use crate::id::{ActionId, ControllerId, FaultId, Names, ReplicaId, RuleId, SignalId, VersionId};
use crate::report::objective::{Loss, Objective, Recovery};
use crate::report::trial::{
    Cell, Detection, ExpectationResult, ExpectationVerdict, Host, Incident, Limit, Outcome, Reading, RequestCounts,
    TrialReport, Window,
};
use crate::stats::histogram::Histogram;
use crate::time::{SimTime, Span};
use crate::trace::{Digests, Recorded};

const V1: VersionId = VersionId(0);
const V2: VersionId = VersionId(1);

/// A small generator, so that the noise is the same everywhere.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
    fn count(&mut self, n: u64, p: f64) -> u64 {
        (0..n).filter(|_| self.next() < p).count() as u64
    }
}

pub(super) fn at(ms: u64) -> SimTime {
    SimTime(ms * 1_000_000)
}

/// The weight of v2 in the sample: a canary from 2 min, a second stage at 8 min, reverted in two steps.
fn weight(t: SimTime) -> f64 {
    match t.0 / 1_000_000 {
        0..120_000 => 0.0,
        120_000..480_000 => 0.05,
        480_000..555_100 => 0.25,
        555_100..586_000 => 0.125,
        _ => 0.0,
    }
}

/// A canary at 5 % from 2 min, corrupted at 6 min, detected at 9:15, reverted at 9:46, recovered at 10:30.
pub(super) fn sample() -> TrialReport {
    let mut noise = Noise(7);
    let mut windows = Vec::new();
    let mut total = RequestCounts::default();
    for w in 0..240_u64 {
        let (from, to) = (at(w * 10_000), at((w + 1) * 10_000));
        let corrupted = from >= at(360_000);
        let mut cells = Vec::new();
        for (id, share) in [(V1, 1.0 - weight(from)), (V2, weight(from))] {
            let n = (2000.0 * share + (noise.next() - 0.5) * 60.0 * share.sqrt()) as u64;
            let wrong_share = if id == V2 && corrupted { 0.46 } else { 0.17 };
            let failed = noise.count(n, 0.000_6);
            let mut latency = Histogram::new();
            let mut late = 0;
            for _ in 0..n - failed {
                let u = noise.next().max(1e-4);
                let ms = 3.2 + 2.6 * -libm::log(u) * if noise.next() < 0.02 { 3.0 } else { 1.0 };
                late += u64::from(ms > 60.0);
                latency.record((ms * 1e6) as u64);
            }
            let wrong = noise.count(n - failed, wrong_share);
            let counts = RequestCounts { requests: n, bad: failed + late + wrong, failed, late, wrong, lost: 0 };
            for (sum, part) in [
                (&mut total.requests, n),
                (&mut total.bad, counts.bad),
                (&mut total.failed, failed),
                (&mut total.late, late),
                (&mut total.wrong, wrong),
            ] {
                *sum += part;
            }
            cells.push(Cell { weight: Weight::from_share(weight(to.minus(Span(1)))), counts, latency });
            if id == V1 {
                cells[0].weight = cells[0].weight.rest();
            }
        }
        windows.push(Window { from, to, cells });
    }
    TrialReport {
        scenario: "silent-corruption".to_owned(),
        summary: "v2 is healthy when it is signed; then its weights rot on disk, behind the digest check.".to_owned(),
        policy: "balanced".to_owned(),
        seed: 7,
        names: names(),
        readings: readings(),
        objective: objective(),
        rollout: (V2, V1),
        outcome: Outcome::Recovered,
        incidents: vec![incident()],
        segments: segments(&total),
        requests: total,
        harm_suffered: Some(1_204),
        harm_avoided: Some(96_310),
        policy_harm: Some(0),
        joint_harm: Some(0),
        users_hurt: Some(1_100),
        rollbacks: 1,
        budget_spent: 0.000_31,
        horizon: at(2_400_000),
        end: at(2_400_180),
        digests: Digests {
            exogenous: "3f".repeat(32),
            inference: "a1".repeat(32),
            decisions: "77".repeat(32),
            streams: vec![("traffic/census-2016".to_owned(), "0c".repeat(32))],
        },
        trace_digest: "9e".repeat(32),
        trace_events: 480_612,
        events: events(),
        windows,
        expectations: expectations(),
        host: Host {
            wall_s: 1.3,
            trial_wall_s: 0.3,
            requests_per_s: 1.6e6,
            reference_runs: 3,
            rows_inferred: 480_000,
            jobs: 2,
        },
    }
}

fn names() -> Names {
    let words = |list: &[&str]| list.iter().map(|&word| word.to_owned()).collect();
    Names {
        versions: words(&["v1", "v2"]),
        sources: words(&["census-2016"]),
        segments: words(&["women", "men"]),
        outcomes: Vec::new(),
        faults: words(&["weight-corruption"]),
        rules: words(&["score-drift", "accuracy", "latency"]),
        signals: words(&["accuracy", "latency", "score-drift"]),
        fields: vec![words(&["value", "lower", "upper", "n"]), words(&["value", "n"]), words(&["d", "p", "n"])],
    }
}

/// `score-drift.p < 0.001`, and what the other rules read.
fn readings() -> Vec<Reading> {
    let reading = |rule, text: &str, signal, field, limit| {
        let (rule, signal) = (RuleId(rule), SignalId(signal));
        Reading { rule, text: text.to_owned(), looks: 1, signal, field, limit }
    };
    let baseline = |signal, field, factor| Limit { of: Some((SignalId(signal), field, true)), factor, offset: 0.0 };
    let constant = Limit { of: None, factor: 0.0, offset: 0.001 };
    vec![
        reading(0, "score-drift.p < 0.001", 2, 1, constant),
        reading(1, "accuracy.upper < baseline.accuracy.lower", 0, 2, baseline(0, 1, 1.0)),
        reading(2, "latency.value > 2 * baseline.latency.value", 1, 0, baseline(1, 0, 2.0)),
    ]
}

fn objective() -> Objective {
    Objective {
        latency: Some(Span::millis(60)),
        failure_rate: 0.001,
        period: Span::secs(30 * 86_400),
        loss: Loss::ZeroOne { threshold: 0.5 },
        recovery: Recovery {
            window: Span::secs(60),
            requests: 200,
            margin: 0.01,
            latency_margin: 0.1,
            guard: Span::secs(600),
        },
    }
}

fn segments(total: &RequestCounts) -> Vec<RequestCounts> {
    let part = |share: u64| RequestCounts {
        requests: total.requests * share / 100,
        bad: total.bad * share / 100,
        failed: total.failed * share / 100,
        late: total.late * share / 100,
        wrong: total.wrong * share / 100,
        lost: 0,
    };
    vec![part(48), part(52)]
}

/// The incident of the sample.
pub(super) fn incident() -> Incident {
    Incident {
        fault: FaultId(0),
        what: "v2: exponent bits of 0.2 % of the weights, behind the digest check".to_owned(),
        harmful: true,
        curable: true,
        hurt: true,
        outcome: Outcome::Recovered,
        injected: Some(at(360_000)),
        onset: Some(at(360_412)),
        detected: Some(Detection {
            at: at(555_002),
            rule: RuleId(0),
            evidence: "KS 0.31, p 2e-9 < 0.001, 3rd look in a row".to_owned(),
        }),
        decided: Some(at(555_002)),
        coincident: false,
        revert_started: Some(at(555_040)),
        reverted: Some(at(586_120)),
        recovered: Some(at(630_000)),
        twin_free: false,
        harm: Some(1_204),
        horizon: Span::secs(34 * 60),
    }
}

fn expectations() -> Vec<ExpectationResult> {
    let holds = |text: &str, measured: &str| ExpectationResult {
        text: text.to_owned(),
        measured: measured.to_owned(),
        verdict: ExpectationVerdict::Holds,
    };
    vec![
        holds("outcome recovered", "recovered"),
        holds("mttd p90 <= 4m", "3 min 15 s"),
        holds("lost_requests <= 0", "0"),
    ]
}

fn events() -> Vec<Recorded> {
    let mut facts: Vec<(SimTime, Event)> = Vec::new();
    let weights = |bad: f64| vec![(V1, Weight::from_share(1.0 - bad)), (V2, Weight::from_share(bad))];
    let digest = Digest::of(b"v1");
    for replica in 0..6 {
        facts.push((at(8_000), Event::Loaded { replica: ReplicaId(replica), version: V1, digest }));
        let health = Health { replica: ReplicaId(replica), version: V1, state: ReplicaState::Ready };
        facts.push((at(8_000), Event::Replica(health)));
    }
    facts.push((SimTime::ZERO, Event::Weights { weights: weights(0.0) }));
    facts.push((at(120_000), Event::Stage { stage: 0, weight: Weight::from_share(0.05) }));
    facts.push((at(120_001), Event::Weights { weights: weights(0.05) }));
    facts.push((at(480_000), Event::Stage { stage: 1, weight: Weight::from_share(0.25) }));
    facts.push((at(480_001), Event::Weights { weights: weights(0.25) }));
    facts.push((at(360_000), Event::FaultStarted { fault: FaultId(0) }));
    let mut noise = Noise(3);
    for look in 1..160_u64 {
        let t = at(look * 15_000 + 2);
        for (id, served) in [(V1, true), (V2, (135_000..600_000).contains(&(look * 15_000)))] {
            if !served {
                continue;
            }
            let bad = id == V2 && look >= 25;
            let p99 = 0.014 + 0.002 * noise.next();
            facts.push((t, measured(1, id, vec![p99, 1800.0])));
            let accuracy = if bad { 0.83 - 0.012 * (look - 24) as f64 } else { 0.83 + 0.01 * (noise.next() - 0.5) };
            facts.push((t, measured(0, id, vec![accuracy, accuracy - 0.03, accuracy + 0.03, 500.0])));
            if id == V2 {
                let d = if bad { (0.08 + 0.02 * (look - 24) as f64).min(0.31) } else { 0.05 + 0.03 * noise.next() };
                let p = if bad { 2e-9 } else { 0.1 + 0.8 * noise.next() };
                facts.push((t, measured(2, id, vec![d, p, 600.0])));
            }
        }
    }
    facts.push((at(525_002), measured(2, V2, vec![f64::NAN, f64::NAN, 12.0])));
    facts.push((
        at(555_002),
        Event::RuleFired(RuleFired {
            rule: RuleId(0),
            evidence_from: at(465_000),
            evidence_to: at(555_000),
            window: Span::secs(60),
            evidence: "KS 0.31, p 2e-9 < 0.001, 3rd look in a row".to_owned(),
        }),
    ));
    let decided = Decided { verdict: Verdict::Rollback, rules: vec![RuleId(0)], refused: None };
    facts.push((at(555_002), Event::Decided(decided)));
    facts.push((at(555_040), Event::RevertStarted { from: V2, to: V1 }));
    for (id, start, end, bad) in [(1, 555_040, 555_100, 0.125), (2, 585_900, 586_000, 0.0)] {
        let kind = ActionKind::SetWeights(weights(bad));
        let order = Action { id: ActionId(id), epoch: 1, controller: ControllerId(0), kind };
        facts.push((at(start), Event::Ordered(order)));
        facts.push((at(end), Event::Weights { weights: weights(bad) }));
        facts.push((at(end), Event::OrderEnded(ActionResult { action: ActionId(id), end: ActionEnd::Ok })));
    }
    facts.push((at(586_120), Event::RevertDone { to: V1, digest, replicas: 6 }));
    facts.push((at(586_200), Event::FaultEnded { fault: FaultId(0) }));
    facts.push((at(615_002), Event::RuleCleared { rule: RuleId(0) }));
    facts.push((at(646_002), Event::Verified { well: true }));
    facts.sort_by_key(|(at, _)| *at);
    (0..).zip(facts).map(|(seq, (at, event))| Recorded { at, seq, event }).collect()
}

fn measured(signal: u16, version: VersionId, values: Vec<f64>) -> Event {
    Event::Measured(Measured { signal: SignalId(signal), version, values })
}

/// The sample without reference runs.
fn alone() -> TrialReport {
    let mut report = sample();
    (report.harm_suffered, report.harm_avoided, report.policy_harm, report.joint_harm) = (None, None, None, None);
    (report.users_hurt, report.host.reference_runs) = (None, 0);
    (report.incidents[0].twin_free, report.incidents[0].harm) = (true, None);
    report.expectations.push(ExpectationResult {
        text: "harm_avoided >= 4000".to_owned(),
        measured: "not defined: there is no run without the fault".to_owned(),
        verdict: ExpectationVerdict::NotDefined,
    });
    report
}

/// The sample in many shapes, by name.
pub(super) fn shapes() -> Vec<(&'static str, TrialReport)> {
    let quiet = || {
        let mut report = sample();
        report.incidents.clear();
        report
            .events
            .retain(|fact| matches!(fact.event, Event::Measured(_) | Event::Weights { .. }) && fact.at < at(360_000));
        (report.outcome, report.rollbacks) = (Outcome::CorrectlyHeld, 0);
        (report.harm_suffered, report.harm_avoided) = (Some(0), Some(0));
        report
    };
    let mut benign = quiet();
    benign.outcome = Outcome::FalseRollback;
    benign.rollbacks = 1;
    benign.incidents = vec![Incident {
        what: "twice the traffic for 5 min".to_owned(),
        harmful: false,
        outcome: Outcome::FalseRollback,
        onset: None,
        detected: None,
        recovered: None,
        harm: None,
        ..incident()
    }];
    let mut missed = sample();
    missed.outcome = Outcome::Missed;
    missed.rollbacks = 0;
    missed.incidents = vec![Incident {
        outcome: Outcome::Missed,
        detected: None,
        decided: None,
        revert_started: None,
        reverted: None,
        recovered: None,
        ..incident()
    }];
    for result in &mut missed.expectations {
        result.verdict = ExpectationVerdict::Missed;
        result.measured = "missed".to_owned();
    }
    let mut several = sample();
    let mut crowd = sample();
    for i in 1..15_u16 {
        several.names.faults.push(format!("fault-number-{i}"));
        crowd.names.faults.push(format!("fault-with-a-name-that-is-long-{i}"));
        let later = |t: Option<SimTime>| t.map(|t| t + Span::secs(60 * u64::from(i)));
        let mut next = incident();
        next.fault = FaultId(i);
        next.what = "x".repeat(300);
        (next.injected, next.onset) = (later(next.injected), later(next.onset));
        (next.decided, next.reverted, next.recovered) =
            (None, None, if i % 2 == 0 { None } else { later(next.recovered) });
        next.revert_started = None;
        next.detected = None;
        if i < 3 {
            several.incidents.push(next.clone());
        }
        crowd.incidents.push(next);
        let text = format!("measure number {i} of something long <= {i}");
        let verdict =
            if i % 3 == 0 { ExpectationVerdict::Inconclusive { seeds: 40 } } else { ExpectationVerdict::Missed };
        crowd.expectations.push(ExpectationResult { text, measured: "quite a lot more".to_owned(), verdict });
    }
    let mut empty = quiet();
    empty.windows.clear();
    empty.events.clear();
    empty.requests = RequestCounts::default();
    (empty.horizon, empty.end) = (SimTime::ZERO, SimTime::ZERO);
    empty.expectations.clear();
    let alone = alone();
    let mut harmless = alone.clone();
    harmless.outcome = Outcome::FalseRollback;
    harmless.incidents = vec![Incident { onset: None, hurt: false, recovered: None, coincident: true, ..incident() }];
    harmless.incidents[0].twin_free = true;
    let mut live = alone.clone();
    live.events.insert(0, Recorded { at: SimTime::ZERO, seq: 0, event: Event::Live { cores: 2 } });
    (1..).zip(&mut live.events[1..]).for_each(|(seq, fact)| fact.seq = seq);
    let mut odd = sample();
    odd.scenario = "a <b>&\"quoted\"| name, with everything in it that a format could trip over".to_owned();
    odd.names.versions = vec!["v,1".to_owned(), "v\"2<".to_owned()];
    odd.windows.truncate(5);
    odd.horizon = SimTime(u64::MAX / 2);
    vec![
        ("sample", sample()),
        ("quiet", quiet()),
        ("benign", benign),
        ("missed", missed),
        ("several", several),
        ("crowd", crowd),
        ("empty", empty),
        ("alone", alone),
        ("harmless alone", harmless),
        ("live", live),
        ("odd", odd),
    ]
}
