//! Who may change what: luck is common to all policies, spare parts change nothing, truth does not leak, a fork goes on as
//! the run it was taken from.

mod common;

use common::{NEW, OLD, at, facts, fault, latency_policy, mlp, models, policy, rule, run, setup, spike, times, world};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rollcage::artifact::corrupt::{Corruption, Damage};
use rollcage::control::config::{Comparison, PolicyConfig};
use rollcage::detect::config::{Columns, Level, Quality, Reference, SignalConfig, SignalKind};
use rollcage::detect::two_sample::{Ks, Psi, Test};
use rollcage::event::Event;
use rollcage::id::OutcomeId;
use rollcage::report::fold::RunRecord;
use rollcage::sim::{Setup, Sim};
use rollcage::time::{SimTime, Span};
use rollcage::trace::Digests;
use rollcage::world::config::{Bound, Effect, Fault, OutcomeConfig, Payload, Table, WorldConfig};
use rollcage::world::distribution::{Amount, Distribution};
use std::cell::RefCell;
use std::sync::Arc;

const RATE: f64 = 100.0;
const HORIZON: Span = Span::secs(600);

/// A plant in which something happens to every part of the exogenous world.
fn eventful() -> WorldConfig {
    let mut config = world(RATE, HORIZON, 3);
    let surge = Effect::Surge { source: rollcage::id::SourceId(0), factor: 1.5 };
    config.faults = vec![spike(270), fault("surge", 400, surge), drift()];
    config.faults[1].until = Some(at(460));
    config
}

fn drift() -> Fault {
    let effect = Effect::CovariateDrift {
        source: rollcage::id::SourceId(0),
        columns: vec![(0, 1.0, 2.0)],
        ramp: Span::secs(30),
        labels_follow: true,
    };
    fault("drift", 420, effect)
}

fn shifted() -> SignalKind {
    let reference = Reference::First(Span::secs(60));
    SignalKind::comparison(Columns::Features, Span::secs(60), reference, 50, Test::Ks(Ks::default()))
}

fn heads() -> SignalKind {
    SignalKind::Coin { share: 0.2 }
}

fn record(setup: &Setup) -> RunRecord {
    run(setup, &mut models()).0
}

fn digests(setup: &Setup) -> Digests {
    record(setup).trace.digests
}

/// The names of the streams in which two runs differ.
fn differing(a: &Digests, b: &Digests) -> Vec<String> {
    let only = |x: &Digests, y: &Digests| -> Vec<String> {
        x.streams.iter().filter(|s| !y.streams.contains(s)).map(|(name, _)| name.clone()).collect()
    };
    let mut names = [only(a, b), only(b, a)].concat();
    names.sort();
    names.dedup();
    names
}

#[test]
fn policies_on_one_seed_meet_the_same_world_and_another_seed_is_another_world() {
    let coin = policy(vec![("coin", heads())], vec![rule("heads", 0, Comparison::Greater, 0.5)]);
    let moved = policy(vec![("moved", shifted())], vec![rule("moved", 0, Comparison::Greater, 0.2)]);
    let all = [PolicyConfig::hold(), latency_policy(), coin, moved].map(|p| digests(&setup(eventful(), p, 11)));
    let [hold, others @ ..] = &all;
    let names: Vec<&str> = hold.streams.iter().map(|(name, _)| name.as_str()).collect();
    let purposes = ["arrivals", "labels", "payload", "service"];
    let declared = purposes.map(|p| format!("source/synthetic/{p}"));
    let added = purposes.map(|p| format!("source/synthetic/surge/{p}"));
    let faults = ["drift", "spike", "surge"].map(|f| format!("fault/{f}"));
    let mut expected = [&faults[..], &declared, &added].concat();
    expected.sort();
    assert_eq!(names, expected, "every exogenous stream has a digest of its own");
    for other in others {
        assert_eq!(hold.streams, other.streams);
        assert_eq!(hold.exogenous, other.exogenous);
        assert_ne!(hold.decisions, other.decisions, "a policy that does nothing else would prove nothing");
    }
    let elsewhere = digests(&setup(eventful(), PolicyConfig::hold(), 12));
    let sources: Vec<String> = expected.into_iter().filter(|name| name.starts_with("source/")).collect();
    assert_eq!(differing(hold, &elsewhere), sources, "all but the declared instants are another draw");
    assert_ne!(hold.exogenous, elsewhere.exogenous);
}

#[test]
fn one_seed_gives_one_run() {
    let made = || {
        let (record, ends) = run(&setup(eventful(), latency_policy(), 7), &mut models());
        (record, ends.iter().map(facts).collect::<Vec<_>>())
    };
    let (first, second) = (made(), made());
    assert_eq!(first.0.trace.events, second.0.trace.events);
    assert_eq!(first.0.trace.digests, second.0.trace.digests);
    assert!(first == second);
    assert!(first.0.trace.events.iter().any(|r| matches!(r.event, Event::RevertDone { .. })), "there was a revert");
}

#[test]
fn a_signal_that_no_rule_reads_changes_nothing() {
    let base = digests(&setup(eventful(), latency_policy(), 3));
    let spare = |name: &str, kind| SignalConfig::new(name, kind);
    let psi = Test::Psi(Psi::default());
    let psi = SignalKind::comparison(Columns::All, Span::secs(60), Reference::Baseline, 50, psi);
    let mut behind = latency_policy();
    behind.signals.extend([spare("moved", shifted()), spare("coin", heads()), spare("psi", psi)]);
    assert_eq!(digests(&setup(eventful(), behind, 3)), base);
    let mut before = latency_policy();
    before.signals.insert(0, spare("coin", heads()));
    let renumbered = before.rules[0].when.left.value.as_mut().expect("a field");
    renumbered.signal.0 += 1;
    assert_eq!(digests(&setup(eventful(), before, 3)), base, "nor does its place in the file");
    let mut read = latency_policy();
    read.signals.push(spare("coin", heads()));
    read.rules.push(rule("heads", 1, Comparison::Greater, 0.5));
    assert_ne!(digests(&setup(eventful(), read, 3)).decisions, base.decisions, "one that is read does");
}

#[test]
fn a_replica_without_traffic_changes_nothing() {
    let base = digests(&setup(eventful(), latency_policy(), 3));
    let mut spare = eventful();
    spare.versions.push(rollcage::world::config::Version { name: "v3".to_owned(), ..spare.versions[1].clone() });
    spare.fleet.standby = vec![(rollcage::id::VersionId(2), 2)];
    assert_eq!(digests(&setup(spare, latency_policy(), 3)), base);
    let mut more = eventful();
    more.fleet.replicas += 1;
    assert_ne!(digests(&setup(more, latency_policy(), 3)).decisions, base.decisions, "one with traffic does");
}

#[test]
fn a_fault_that_never_starts_changes_nothing() {
    let base = digests(&setup(eventful(), latency_policy(), 3));
    let corrupted = mlp("mlp-linear-v2.onnx");
    let change = Corruption { what: Damage::Zero, share: 0.1, seed: 1, bits: None };
    let clean = Box::new(eventful().versions[1].clone());
    let effects = [
        Effect::CorruptWeights { version: NEW, corrupted, change, checked: true, mapped: true },
        Effect::LatencySpike { bound: Bound::Hosts(2), factor: 3.0, add: Span::ZERO },
        drift().effect,
        Effect::Surge { source: rollcage::id::SourceId(0), factor: 2.0 },
        Effect::BadRelease { version: NEW, clean },
        Effect::Crash { version: NEW, replicas: 1, every: Some(Span::secs(9)) },
        Effect::Stall { version: NEW, replicas: 1 },
        Effect::Cut { version: NEW, replicas: 1 },
        Effect::Delay { version: NEW, replicas: 1, add: Span::millis(9) },
        Effect::Sham,
    ];
    for (i, effect) in effects.into_iter().enumerate() {
        let mut never = eventful();
        never.faults.insert(0, Fault { chance: 0.0, ..fault("never", 200, effect) });
        assert_eq!(digests(&setup(never.clone(), latency_policy(), 3)), base, "fault {i} by chance");
        never.faults[0].chance = 1.0;
        let mut left_out = setup(never, latency_policy(), 3);
        left_out.faults[0] = false;
        assert_eq!(digests(&left_out), base, "fault {i} left out of the run");
    }
}

#[test]
fn a_sham_fault_decides_nothing() {
    let base = digests(&setup(eventful(), latency_policy(), 3));
    let with = |effect: Effect| {
        let mut config = eventful();
        config.faults.push(fault("placebo", 300, effect));
        digests(&setup(config, latency_policy(), 3))
    };
    let sham = with(Effect::Sham);
    assert_eq!((&sham.decisions, &sham.inference), (&base.decisions, &base.inference));
    assert_eq!(differing(&base, &sham), ["fault/placebo"]);
    assert_ne!(sham.exogenous, base.exogenous, "that it was there is a fact");
    let real = with(Effect::LatencySpike { bound: Bound::Version(OLD), factor: 1.0, add: Span::millis(100) });
    assert_ne!(real.decisions, base.decisions, "a real one does");
}

#[test]
fn other_model_bytes_change_the_answers_and_not_the_world() {
    let base = digests(&setup(eventful(), PolicyConfig::hold(), 3));
    let mut config = eventful();
    config.versions[1].artifact = mlp("mlp-linear-v1.onnx");
    let swapped = digests(&setup(config, PolicyConfig::hold(), 3));
    assert_ne!(swapped.inference, base.inference);
    assert_eq!(swapped.exogenous, base.exogenous);
    assert_eq!(swapped.decisions, base.decisions, "hold reads no answer, and answers take no time of their own");
}

/// Labels come after four minutes: between the first stage and the last.
const FIRST_LABEL: u64 = 240;

/// Looks at latency, at distributions and at accuracy.
fn label_reader() -> PolicyConfig {
    let accuracy = SignalKind::Labelled {
        measure: Quality::Accuracy,
        labels: 500,
        min: 100,
        threshold: 0.5,
        level: Level::each(0.95),
    };
    let mut rules = vec![
        rule("accurate", 0, Comparison::Less, 0.55),
        rule("moved", 1, Comparison::Greater, 0.0),
        rule("slow", 2, Comparison::Greater, 0.05),
    ];
    rules[1].then = rollcage::event::Verdict::Alert;
    rules[2].then = rollcage::event::Verdict::Alert;
    let slow = SignalKind::LatencyQuantile { quantile: 0.9, window: Span::secs(15), level: Level::each(0.95) };
    policy(vec![("accuracy", accuracy), ("moved", shifted()), ("latency", slow)], rules)
}

type Change<'a> = &'a dyn Fn(&mut WorldConfig);

#[test]
fn hidden_labels_reach_no_decision_before_the_first_of_them_arrives() {
    let labelled = |change: Change<'_>| {
        let mut config = eventful();
        config.faults[0] = spike(180);
        config.sources[0].labels.delay = Some(Distribution::Constant(Span::secs(FIRST_LABEL)));
        change(&mut config);
        run(&setup(config, label_reader(), 5), &mut models())
    };
    let weights = |factor: f64| vec![0.5 * factor; 16];
    let truth = labelled(&|_| ());
    let variants: [(&str, Change<'_>); 3] = [
        ("negated", &|c| c.sources[0].payload = Payload::Normal { weights: weights(-1.0), bias: 0.5 }),
        ("another bias", &|c| c.sources[0].payload = Payload::Normal { weights: weights(1.0), bias: -9.0 }),
        ("all lost", &|c| c.sources[0].labels.lost = 1.0),
    ];
    // No request ends before time 0, and the scrape at its label's time arrives a lag later.
    let hidden = |t: SimTime| t < at(FIRST_LABEL + 2);
    let mut changed = Vec::new();
    for (name, change) in variants {
        let other = labelled(change);
        let until = |r: &RunRecord| r.trace.events.iter().filter(|e| hidden(e.at)).cloned().collect::<Vec<_>>();
        let known = until(&truth.0);
        assert!(known.iter().any(|r| matches!(r.event, Event::RuleFired(_))), "something is decided in the dark");
        assert_eq!(known, until(&other.0), "{name}");
        let served = |ends: &[rollcage::event::RequestEnd]| {
            let early = ends.iter().filter(|e| hidden(e.ended));
            early.map(|e| (e.request, e.version, e.replica, e.ended, e.outcome, e.score.to_bits())).collect::<Vec<_>>()
        };
        assert_eq!(served(&truth.1), served(&other.1), "{name}");
        if truth.0.trace.events != other.0.trace.events {
            changed.push(name);
        }
    }
    assert_eq!(changed, ["negated", "another bias", "all lost"], "labels matter once they are there");
}

/// A run with faults, a revert in small steps, results that get lost, and outcomes on their way.
fn long_story(seed: u64) -> Setup {
    let mut policy = latency_policy();
    policy.revert.steps = [0.5, 0.1, 0.0].map(rollcage::event::Weight::from_share).to_vec();
    policy.revert.every = Span::secs(20);
    policy.signals.push(SignalConfig::new("moved", shifted()));
    let mut config = eventful();
    config.sources[0].outcomes = vec![OutcomeConfig {
        id: OutcomeId(0),
        name: "revenue".to_owned(),
        right: 0.2,
        wrong: 0.1,
        failed: 0.0,
        threshold: 0.5,
        amount: Some(Amount::lognormal(40.0, 400.0)),
        delay: Distribution::Exponential { mean: Span::secs(40) },
    }];
    let mut story = setup(config, policy, seed);
    story.results = rollcage::sim::Results { doubled: 0.3, lost: 0.3 };
    story.keep_requests = true;
    story
}

#[test]
fn fork_then_continue_is_continue() {
    let models = RefCell::new(models());
    let whole = |setup: &Setup| {
        let models = &mut *models.borrow_mut();
        let (record, ends) = Sim::new(setup, models).expect("starts").finish(models).expect("runs");
        (record, ends.iter().map(facts).collect::<Vec<_>>())
    };
    let story = long_story(9);
    let straight = whole(&story);
    let reverting = times(&straight.0.trace.events, |e| matches!(e, Event::RevertStarted { .. }));
    let done = times(&straight.0.trace.events, |e| matches!(e, Event::RevertDone { .. }));
    let (&[from], &[to]) = (&reverting[..], &done[..]) else { panic!("one revert: {reverting:?}, {done:?}") };
    let check = |until: SimTime| {
        let models = &mut *models.borrow_mut();
        let mut run = Sim::new(&story, models).expect("starts");
        run.run_until(until, models).expect("runs");
        let fork = run.clone();
        assert!(fork == run, "a fork stands where its origin does, at {until}");
        // The fork is finished first, so that the original finds predictions made; then one with none.
        let forked = fork.clone().finish(models).expect("runs");
        let went_on = run.finish(models).expect("runs");
        models.forget();
        let cold = fork.finish(models).expect("runs");
        for (record, ends) in [forked, went_on, cold] {
            assert_eq!(record.trace.events, straight.0.trace.events, "at {until}");
            assert!(record == straight.0, "at {until}");
            assert!(ends.iter().map(facts).eq(straight.1.iter().cloned()), "at {until}");
        }
    };
    let middle = SimTime(u64::midpoint(from.0, to.0));
    for until in [SimTime::ZERO, at(120), at(270), from, middle, to, at(402), at(600), at(700)] {
        check(until);
    }
    let config = Config { cases: 12, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config, rng)
        .run(&(0..610_000_000_000u64), |until| {
            check(SimTime(until));
            Ok(())
        })
        .expect("every instant will do");
}

#[test]
fn two_runs_compare_equal_only_where_they_stand_alike() {
    let mut models = models();
    let story = long_story(9);
    let mut early = Sim::new(&story, &mut models).expect("starts");
    early.run_until(at(100), &mut models).expect("runs");
    let mut late = early.clone();
    late.run_until(at(101), &mut models).expect("runs");
    assert!(early != late, "a second apart");
    early.run_until(at(101), &mut models).expect("runs");
    assert!(early == late, "at the same second");
}

#[test]
fn a_fork_equals_its_origin_where_values_are_missing() {
    // A feature that is missing in every third row, and labels that are missing in every fifth.
    let rows = 500;
    let value = |i: usize| if i.is_multiple_of(3 * 16) { f32::NAN } else { (i % 7) as f32 - 3.0 };
    let label = |i: usize| if i.is_multiple_of(5) { f32::NAN } else { (i % 2) as f32 };
    let table = Table {
        columns: (0..16).map(|i| format!("x{i}")).collect(),
        values: (0..rows * 16).map(value).collect(),
        labels: (0..rows).map(label).collect(),
        segments: vec![rollcage::id::SegmentId(0); rows],
        at: Vec::new(),
        label_delay: Vec::new(),
    };
    let mut config = eventful();
    config.sources[0].payload = Payload::Replay { table: Arc::new(table), iid: true };
    let story = setup(config, label_reader(), 5);
    let mut models = models();
    let mut run = Sim::new(&story, &mut models).expect("starts");
    for second in [7, 16, 40, 241, 300, 599, 601] {
        run.run_until(at(second), &mut models).expect("runs");
        let fork = run.clone();
        assert!(fork == run, "at {second} s");
    }
}
