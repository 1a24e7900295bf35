//! A plant built in code, for tests that need one without files.
#![allow(dead_code, reason = "each test crate uses its own part")]

use rollcage::artifact::{Artifact, Signature};
use rollcage::control::config::{PolicyConfig, RolloutConfig};
use rollcage::digest::Digest;
use rollcage::event::Weight;
use rollcage::id::{Names, VersionId};
use rollcage::report::objective::{Loss, Objective, Recovery};
use rollcage::rng::Seed;
use rollcage::sim::{Results, Setup};
use rollcage::time::{SimTime, Span};
use rollcage::world::config::{Arrivals, Fleet, LabelConfig, Payload, Source, Telemetry, Version, WorldConfig};
use rollcage::world::distribution::Distribution;
use rollcage::world::inference::{Engine, Inference, locate};
use rollcage::world::predictions::Predictions;
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
        },
        sources: vec![Source {
            name: "synthetic".to_owned(),
            payload: Payload::Normal { weights: vec![0.5; 16], bias: -0.5 },
            arrivals: Arrivals::Poisson { rate },
            labels: LabelConfig { delay: Some(Distribution::Constant(Span::secs(30))), lost: 0.05 },
            users: 10_000,
        }],
        telemetry: Telemetry { scrape: Span::secs(15), lag: Span::secs(2), loss: 0.0 },
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
