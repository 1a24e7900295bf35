//! A plant built in code, for tests that need one without files.
#![allow(dead_code, reason = "each test crate uses its own part")]

use rollcage::artifact::{Artifact, Signature};
use rollcage::control::config::{
    Comparison, Condition, Field, OnMissing, Operand, PolicyConfig, Rights, RolloutConfig, Rule,
};
use rollcage::detect::config::{Level, SignalConfig, SignalKind};
use rollcage::digest::Digest;
use rollcage::event::{Decided, Event, Input, RequestEnd, Verdict, Weight};
use rollcage::id::{Names, SignalId, SourceId, VersionId};
use rollcage::plan::Plan;
use rollcage::report::fold::RunRecord;
use rollcage::report::objective::{Loss, Objective, Recovery};
use rollcage::rng::Seed;
use rollcage::sim::queue::Queue;
use rollcage::sim::{Results, Setup, Sim};
use rollcage::time::{SimTime, Span};
use rollcage::trace::Recorded;
use rollcage::world::config::{
    Arrivals, Bound, Effect, Fault, Fleet, LabelConfig, Payload, Source, Telemetry, Version, WorldConfig,
};
use rollcage::world::distribution::Distribution;
use rollcage::world::inference::{Engine, Inference, locate};
use rollcage::world::plant::World;
use rollcage::world::predictions::Predictions;
use rollcage::world::schedule::Effects;
use rollcage::world::traffic::SourceStream;
use std::path::Path;
use std::sync::Arc;

/// The models of this thread, on the real runtime.
pub fn models() -> Predictions {
    let located = locate().expect("ONNX Runtime is found or fetched");
    let engine = Arc::new(Engine::start(&located).expect("the runtime starts"));
    Predictions::new(Inference::new(engine, env!("CARGO_BIN_EXE_rollcage").into()))
}

/// A committed model of the synthetic task, as vetted.
pub fn mlp(name: &str) -> Arc<Artifact> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("synthetic/models").join(name);
    let bytes: Arc<[u8]> = std::fs::read(path).expect("the model is committed").into();
    let digest = Digest::of(&bytes);
    let signature = Signature { input: "x".to_owned(), features: 16, output: "score".to_owned(), column: 0 };
    Arc::new(Artifact { bytes, digest, promised: digest, signature, vetted: true, rowwise: true })
}

pub const OLD: VersionId = VersionId(0);
pub const NEW: VersionId = VersionId(1);

/// A plant for the synthetic task: two versions, `replicas` of the old one, Poisson arrivals, no faults.
pub fn world(rate: f64, horizon: Span, replicas: u32) -> WorldConfig {
    let version = |name: &str, file: &str| Version {
        name: name.to_owned(),
        artifact: mlp(file),
        columns: vec![None],
        service: None,
    };
    WorldConfig {
        horizon: SimTime::ZERO + horizon,
        versions: vec![version("v1", "mlp-linear-v1.onnx"), version("v2", "mlp-linear-v2.onnx")],
        initial: OLD,
        fleet: Fleet {
            replicas,
            concurrency: 2,
            queue: 64,
            timeout: Span::millis(250),
            start: [Span::secs(2), Span::millis(200), Span::secs(1), Span::secs(5)],
            service: Distribution::lognormal(Span::millis(4), Span::millis(12)),
            standby: Vec::new(),
            memory: None,
        },
        sources: vec![Source {
            name: "synthetic".to_owned(),
            payload: Payload::Normal { weights: vec![0.5; 16], bias: -0.5 },
            arrivals: Arrivals::Poisson { rate },
            labels: LabelConfig { delay: Some(Distribution::Constant(Span::secs(30))), lost: 0.05 },
            outcomes: Vec::new(),
            users: 10_000,
        }],
        telemetry: Telemetry { scrape: Span::secs(15), lag: Span::secs(2), loss: 0.0 },
        control_delay: WorldConfig::CONTROL_DELAY,
        faults: Vec::new(),
    }
}

pub fn objective() -> Objective {
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

/// A run of `world` under `policy` with stages at 2, 4 and 6 minutes.
pub fn setup(world: WorldConfig, policy: PolicyConfig, seed: u64) -> Setup {
    let at = |minutes: u64| SimTime::ZERO + Span::secs(60 * minutes);
    let rollout = RolloutConfig {
        from: OLD,
        to: NEW,
        stages: vec![
            (at(2), Weight::from_share(0.05)),
            (at(4), Weight::from_share(0.25)),
            (at(6), Weight::from_share(1.0)),
        ],
        replicas: world.fleet.replicas,
        scale_down_delay: Span::secs(30),
        standby: 0,
        digest: world.versions[0].artifact.promised,
    };
    let names = Names {
        versions: world.versions.iter().map(|v| v.name.clone()).collect(),
        sources: Vec::new(),
        segments: vec!["all".to_owned()],
        outcomes: Vec::new(),
        faults: world.faults.iter().map(|f| f.name.clone()).collect(),
        rules: policy.rules.iter().map(|r| r.name.clone()).collect(),
        signals: policy.signals.iter().map(|s| s.name.clone()).collect(),
        fields: policy.signals.iter().map(|s| s.kind.fields().iter().map(|&f| f.to_owned()).collect()).collect(),
    };
    Setup {
        faults: vec![true; world.faults.len()],
        world: Arc::new(world),
        policy: Arc::new(policy),
        rollout: Arc::new(rollout),
        objective: Arc::new(objective()),
        names: Arc::new(names),
        seed: Seed(seed),
        results: Results::default(),
        keep_requests: false,
    }
}

/// The rollout that never begins.
pub fn without_rollout(mut setup: Setup) -> Setup {
    let mut rollout = RolloutConfig::clone(&setup.rollout);
    rollout.stages.clear();
    setup.rollout = Arc::new(rollout);
    setup
}

/// So many seconds into the trial.
pub fn at(seconds: u64) -> SimTime {
    SimTime::ZERO + Span::secs(seconds)
}

/// The rollout with other stages: (second, share).
pub fn with_stages(mut setup: Setup, stages: &[(u64, f64)]) -> Setup {
    let mut rollout = RolloutConfig::clone(&setup.rollout);
    rollout.stages = stages.iter().map(|&(s, share)| (at(s), Weight::from_share(share))).collect();
    setup.rollout = Arc::new(rollout);
    setup
}

/// A policy of these signals and rules, that may do all and otherwise reverts as *hold* would.
pub fn policy(signals: Vec<(&str, SignalKind)>, rules: Vec<Rule>) -> PolicyConfig {
    let signals = signals.into_iter().map(|(name, kind)| SignalConfig::new(name, kind)).collect();
    let rights = Rights { rollbacks: None, cooldown: Span::ZERO };
    PolicyConfig { name: "test".to_owned(), signals, rules, rights, ..PolicyConfig::hold() }
}

/// `signal.field op limit`, held on one look, then a rollback. The signal's first field.
pub fn rule(name: &str, signal: u16, op: Comparison, limit: f64) -> Rule {
    let field = Field { signal: SignalId(signal), field: 0, baseline: false };
    Rule {
        name: name.to_owned(),
        text: name.to_owned(),
        when: Condition {
            left: Operand { factor: 1.0, value: Some(field), offset: 0.0 },
            op,
            right: Operand { factor: 0.0, value: None, offset: limit },
        },
        looks: 1,
        then: Verdict::Rollback,
        on_missing: OnMissing::Inconclusive,
    }
}

/// Rolls back when the 90 % quantile of latency over one scrape exceeds 50 ms.
pub fn latency_policy() -> PolicyConfig {
    let slow = SignalKind::LatencyQuantile { quantile: 0.9, window: Span::secs(15), level: Level::each(0.95) };
    policy(vec![("latency", slow)], vec![rule("slow", 0, Comparison::Greater, 0.05)])
}

/// A harmful, curable fault from `second` on.
pub fn fault(name: &str, second: u64, effect: Effect) -> Fault {
    Fault { name: name.to_owned(), at: at(second), until: None, chance: 1.0, harmful: true, curable: true, effect }
}

/// Requests to the new version take 100 ms longer.
pub fn spike(second: u64) -> Fault {
    let effect = Effect::LatencySpike { bound: Bound::Version(NEW), factor: 1.0, add: Span::millis(100) };
    fault("spike", second, effect)
}

/// One whole run with its requests.
pub fn run(setup: &Setup, models: &mut Predictions) -> (RunRecord, Vec<RequestEnd>) {
    let setup = Setup { keep_requests: true, ..setup.clone() };
    Sim::new(&setup, models).expect("starts").finish(models).expect("runs")
}

/// All that one end says, in a form that compares (a score may be NaN).
pub fn facts(end: &RequestEnd) -> impl PartialEq + Clone + std::fmt::Debug + use<> {
    let RequestEnd { request, version, replica, segment, arrived, ended, outcome, score, truth, tainted } = *end;
    (request, version, replica, segment, arrived, ended, outcome, score.to_bits(), truth.to_bits(), tainted)
}

/// The plan of a setup, for whole trials.
pub fn plan(setup: &Setup) -> Plan {
    Plan {
        name: "test".to_owned(),
        summary: String::new(),
        look_at: String::new(),
        world: WorldConfig::clone(&setup.world),
        rollout: RolloutConfig::clone(&setup.rollout),
        policy: PolicyConfig::clone(&setup.policy),
        objective: Objective::clone(&setup.objective),
        names: Names::clone(&setup.names),
        expectations: Vec::new(),
        foreign: None,
        live: None,
        fault_words: setup.world.faults.iter().map(|f| f.name.clone()).collect(),
        digest: [0; 32],
    }
}

/// When events of a kind happened.
pub fn times(events: &[Recorded], pick: impl Fn(&Event) -> bool) -> Vec<SimTime> {
    events.iter().filter(|r| pick(&r.event)).map(|r| r.at).collect()
}

/// Rollbacks that were ordered.
pub fn is_rollback(event: &Event) -> bool {
    matches!(event, Event::Decided(Decided { verdict: Verdict::Rollback, refused: None, .. }))
}

/// Weights in the order in which the router got them: (when, share of the new version).
pub fn weights(events: &[Recorded]) -> Vec<(SimTime, Weight)> {
    let share = |w: &[(VersionId, Weight)]| w.iter().find(|(v, _)| *v == NEW).map_or(Weight::NONE, |&(_, w)| w);
    events
        .iter()
        .filter_map(|r| match &r.event {
            Event::Weights { weights } => Some((r.at, share(weights))),
            _ => None,
        })
        .collect()
}

/// Every request that a declared source makes: (arrival, the user's place on the router's circle).
pub fn requests(config: &WorldConfig, source: usize, seed: u64) -> Vec<(SimTime, u32)> {
    let declared = Arc::new(config.sources[source].clone());
    let id = SourceId(source as u16);
    let mut stream = SourceStream::declared(declared, id, config.horizon, &[], Seed(seed));
    let mut all = Vec::new();
    while let Some(block) = stream.next_block() {
        let live = block.arrived.iter().zip(&block.route).filter(|(t, _)| **t != SimTime::NEVER);
        all.extend(live.map(|(&t, &place)| (t, place)));
    }
    all
}

/// What a plant without a controller tells: facts, inputs with the time they are seen, ends of requests.
pub struct Told {
    pub events: Vec<(SimTime, Event)>,
    pub inputs: Vec<(SimTime, Input)>,
    pub ends: Vec<RequestEnd>,
}

/// Runs a plant without a controller.
pub fn plant(config: WorldConfig, seed: u64, models: &mut Predictions) -> Told {
    let config = Arc::new(config);
    let mut told = Told { events: Vec::new(), inputs: Vec::new(), ends: Vec::new() };
    let mut out = Effects::default();
    let faults = vec![true; config.faults.len()];
    let mut world = World::new(&config, &faults, Seed(seed), true, models, &mut out).expect("starts");
    let mut queue = Queue::default();
    loop {
        out.schedule.drain(..).for_each(|(key, event)| queue.push(key, event));
        told.events.append(&mut out.events);
        told.inputs.append(&mut out.inputs);
        told.ends.append(&mut out.ends);
        let Some((key, event)) = queue.pop() else { break };
        world.handle(key.at, event, models, &mut out).expect("runs");
    }
    world.finish(models, &mut out).expect("runs");
    told.ends.append(&mut out.ends);
    told
}
