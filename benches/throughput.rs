//! Simulated requests a second, end to end with real inference, beside the bare parts measured in the same run.
//!
//! `cargo bench --bench throughput`. Machines are shared and noisy: compare the figures of one run with each other.

#[path = "../tests/common/mod.rs"]
mod common;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rollcage::control::config::{
    Comparison, Condition, Field, OnMissing, Operand, PolicyConfig, Rights, RolloutConfig, Rule,
};
use rollcage::detect::config::{Columns, Reference, SignalConfig, SignalKind};
use rollcage::detect::two_sample::{Ks, Psi, Test};
use rollcage::event::{Verdict, Weight};
use rollcage::id::{SignalId, SourceId};
use rollcage::rng::{Seed, Stream};
use rollcage::sim::queue::Queue;
use rollcage::sim::{Setup, run};
use rollcage::stats::ks::statistic_sorted;
use rollcage::time::{SimTime, Span};
use rollcage::world::inference::BLOCK;
use rollcage::world::schedule::{Class, Key};
use rollcage::world::traffic::SourceStream;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

const RATE: f64 = 1500.0;
const SECONDS: u64 = 200;
const REQUESTS: u64 = RATE as u64 * SECONDS;

/// PSI and KS on all features and the score, version against version, every 15 s; neither ever orders anything.
fn policy() -> PolicyConfig {
    let (window, min, of) = (Span::secs(15), 50, Columns::All);
    let reference = Reference::Baseline;
    let kinds = [
        ("ks", SignalKind::comparison(of.clone(), window, reference, min, Test::Ks(Ks::default()))),
        ("psi", SignalKind::comparison(of, window, reference, min, Test::Psi(Psi { alpha: 0.001, ..Psi::default() }))),
    ];
    let rule = |i: u16| Rule {
        name: format!("rule-{i}"),
        text: "never".to_owned(),
        when: Condition {
            left: Operand {
                factor: 1.0,
                value: Some(Field { signal: SignalId(i), field: 0, baseline: false }),
                offset: 0.0,
            },
            op: Comparison::Greater,
            right: Operand { factor: 0.0, value: None, offset: 1e9 },
        },
        looks: 1,
        then: Verdict::Rollback,
        on_missing: OnMissing::Inconclusive,
    };
    PolicyConfig {
        name: "watch".to_owned(),
        signals: kinds.map(|(name, kind)| SignalConfig::new(name, kind)).to_vec(),
        rules: vec![rule(0), rule(1)],
        rights: Rights { rollbacks: None, cooldown: Span::ZERO },
        ..PolicyConfig::hold()
    }
}

fn trial(policy: PolicyConfig) -> Setup {
    let mut setup = common::setup(common::world(RATE, Span::secs(SECONDS), 6), policy, 1);
    let rollout = RolloutConfig::clone(&setup.rollout);
    let stages = vec![(SimTime::ZERO, Weight::from_share(0.5))];
    setup.rollout = Arc::new(RolloutConfig { stages, ..rollout });
    setup
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("requests");
    group.throughput(Throughput::Elements(REQUESTS)).sample_size(10).measurement_time(Duration::from_secs(10));
    let mut models = common::models();
    let watched = trial(policy());
    group.bench_function("end to end, PSI and KS on 17 columns", |b| {
        b.iter(|| {
            models.forget();
            black_box(run(&watched, &mut models).expect("runs").counts.requests)
        });
    });
    let held = trial(PolicyConfig::hold());
    group.bench_function("end to end, no detector", |b| {
        b.iter(|| {
            models.forget();
            black_box(run(&held, &mut models).expect("runs").counts.requests)
        });
    });
    group.bench_function("kernel: two events a request, 20 pending", |b| {
        b.iter(|| {
            let mut queue = Queue::default();
            let key = |at, entity, seq| Key { at: SimTime(at), class: Class::Completion, entity, seq };
            (0..20).for_each(|i| queue.push(key(i, i as u32, 0), i));
            for n in 0..2 * REQUESTS {
                if let Some((k, event)) = queue.pop() {
                    queue.push(key(k.at.0 + 1 + (n * 7919) % 4096, k.entity, n), event);
                }
            }
            black_box(queue.len())
        });
    });
    group.bench_function("traffic: arrivals, 16 features, users, draws, labels, digests", |b| {
        b.iter(|| {
            let config = Arc::new(watched.world.sources[0].clone());
            let mut source = SourceStream::declared(config, SourceId(0), watched.world.horizon, &[], Seed(1));
            while let Some(block) = source.next_block() {
                black_box(block.payload);
            }
        });
    });
    group.bench_function("ONNX Runtime at its best batch", |b| {
        let config = Arc::new(watched.world.sources[0].clone());
        let mut source = SourceStream::declared(config, SourceId(0), watched.world.horizon, &[], Seed(1));
        let block = source.next_block().expect("there are requests");
        let artifact = &watched.world.versions[0].artifact;
        b.iter(|| {
            for _ in 0..REQUESTS.div_ceil(BLOCK as u64) {
                models.forget();
                black_box(models.block(artifact, None, &block).expect("runs"));
            }
        });
    });
    group.bench_function("statistics: sort and KS of 17 columns, 11 250 rows a side", |b| {
        let mut stream = Stream::named(Seed(1), "bench", "values");
        let rows = RATE as usize * 15 / 2;
        let column: Vec<f32> = (0..rows).map(|_| stream.uniform() as f32).collect();
        let mut reference = column.clone();
        reference.sort_unstable_by(f32::total_cmp);
        b.iter(|| {
            for _ in 0..17 * REQUESTS as usize / (2 * rows) {
                for _ in 0..2 {
                    let mut own = column.clone();
                    own.sort_unstable_by(f32::total_cmp);
                    black_box(statistic_sorted(&own, &reference));
                }
            }
        });
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
