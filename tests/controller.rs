//! The controller under bad luck: results that come twice or never, telemetry with holes, rights that run out, reverts
//! that take their time.

mod common;

use common::{
    NEW, OLD, at, fault, is_rollback, latency_policy, mlp, models, plant, policy, rule, run, setup, spike, times,
    weights, with_stages, without_rollout, world,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use rollcage::artifact::Artifact;
use rollcage::artifact::corrupt::{Corruption, Damage};
use rollcage::control::config::{Comparison, OnMissing, PolicyConfig, Rights, RolloutConfig};
use rollcage::control::strategy::native::Controller;
use rollcage::detect::config::{Level, Quality, SignalKind};
use rollcage::digest::Digest;
use rollcage::event::{
    Action, ActionEnd, ActionKind, Capacity, Decided, Event, Gap, Input, Metrics, MetricsRow, Outcome, ReplicaState,
    RequestEnd, Verdict, Weight,
};
use rollcage::id::{ControllerId, RuleId, SegmentId, SignalId, VersionId};
use rollcage::report::fold::RunRecord;
use rollcage::rng::Seed;
use rollcage::sim::{Results, Setup};
use rollcage::stats::histogram::Histogram;
use rollcage::time::{SimTime, Span};
use rollcage::trace::Recorded;
use rollcage::world::config::{Effect, WorldConfig};
use rollcage::world::distribution::Distribution;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A spike on the new version some minutes after it got a quarter of the traffic.
fn spiked(replicas: u32) -> WorldConfig {
    let mut config = world(60.0, Span::secs(600), replicas);
    config.faults = vec![spike(290)];
    config
}

fn stepped() -> PolicyConfig {
    let mut policy = latency_policy();
    policy.revert.steps = [0.5, 0.2, 0.0].map(Weight::from_share).to_vec();
    policy.revert.every = Span::secs(20);
    policy.revert.patience = Span::secs(3);
    policy
}

fn all_at_once(policy: PolicyConfig, seed: u64) -> Setup {
    with_stages(setup(spiked(3), policy, seed), &[(60, 0.25), (120, 1.0)])
}

fn record(setup: &Setup) -> RunRecord {
    run(setup, &mut models()).0
}

/// Orders by id; panics when one id stands for two orders.
fn orders(events: &[Recorded]) -> BTreeMap<u64, &Action> {
    let mut orders: BTreeMap<u64, &Action> = BTreeMap::new();
    for recorded in events {
        if let Event::Ordered(action) = &recorded.event {
            assert_eq!(*orders.entry(action.id.0).or_insert(action), action, "an id is one order");
        }
    }
    orders
}

fn done(events: &[Recorded]) -> usize {
    times(events, |e| matches!(e, Event::RevertDone { .. })).len()
}

#[test]
fn results_that_come_twice_change_nothing() {
    for seed in 0..4 {
        let quiet = record(&all_at_once(stepped(), seed));
        assert_eq!(done(&quiet.trace.events), 1);
        for doubled in [0.5, 1.0] {
            let mut story = all_at_once(stepped(), seed);
            story.results = Results { doubled, lost: 0.0 };
            let disturbed = record(&story);
            assert_eq!(disturbed.trace.events, quiet.trace.events, "seed {seed}, {doubled} doubled");
            assert_eq!(disturbed.trace.digests, quiet.trace.digests);
        }
    }
}

#[test]
fn results_that_get_lost_delay_a_revert_and_repeat_nothing() {
    let mut repeated = 0;
    for seed in 0..8 {
        let quiet = record(&all_at_once(stepped(), seed));
        let expected: Vec<&ActionKind> = orders(&quiet.trace.events).into_values().map(|a| &a.kind).collect();
        for results in [Results { doubled: 0.0, lost: 0.5 }, Results { doubled: 0.5, lost: 0.5 }] {
            let mut story = all_at_once(stepped(), seed);
            story.results = results;
            let disturbed = record(&story);
            let events = &disturbed.trace.events;
            let given: Vec<&ActionKind> = orders(events).into_values().map(|a| &a.kind).collect();
            assert_eq!(given, expected, "the same orders under the same ids, seed {seed}");
            assert_eq!(done(events), 1);
            assert!(times(events, |e| matches!(e, Event::RevertFailed { .. })).is_empty());
            let ended: Vec<u64> = events
                .iter()
                .filter_map(|r| match &r.event {
                    Event::OrderEnded(result) => Some(result.action.0),
                    _ => None,
                })
                .collect();
            let once: BTreeSet<u64> = ended.iter().copied().collect();
            assert_eq!(ended.len(), once.len(), "each order has its effect once");
            let shares = |r: &RunRecord| weights(&r.trace.events).into_iter().map(|(_, w)| w).collect::<Vec<_>>();
            assert_eq!(shares(&disturbed), shares(&quiet), "the router went through the same weights");
            assert_eq!(shares(&disturbed).last(), Some(&Weight::NONE));
            let sent = times(events, |e| matches!(e, Event::Ordered(_))).len();
            repeated += sent - given.len();
        }
    }
    assert!(repeated > 50, "{repeated} orders were given again: results did get lost");
}

#[test]
fn a_limit_of_no_rollbacks_refuses_and_says_why() {
    let mut watched = latency_policy();
    watched.rights = Rights { rollbacks: Some(0), cooldown: Span::ZERO };
    let record = record(&all_at_once(watched, 1));
    let events = &record.trace.events;
    assert_eq!(refusals(events), ["the policy may order 0 rollbacks by itself"]);
    assert!(times(events, |e| is_rollback(e) || matches!(e, Event::RevertStarted { .. })).is_empty());
    assert_eq!(weights(events).last().map(|(_, w)| *w), Some(Weight::ALL), "the bad version stays");
}

fn refusals(events: &[Recorded]) -> Vec<String> {
    let refused = |r: &Recorded| match &r.event {
        Event::Decided(Decided { verdict: Verdict::Rollback, refused, rules }) => {
            assert_eq!(rules, &[RuleId(0)]);
            refused.clone()
        }
        _ => None,
    };
    events.iter().filter_map(refused).collect()
}

/// The old version's bytes rot on the disk after its replicas left: no revert can succeed.
fn no_way_back(rights: Rights) -> Setup {
    let mut config = spiked(2);
    let rotten = Artifact { digest: Digest::of(b"rotten"), ..Artifact::clone(&mlp("mlp-linear-v1.onnx")) };
    let effect = Effect::CorruptWeights {
        version: OLD,
        corrupted: Arc::new(rotten),
        change: Corruption { what: Damage::Zero, share: 0.1, seed: 1, bits: None },
        checked: true,
        mapped: false,
    };
    config.faults.push(fault("rot", 200, effect));
    let policy = PolicyConfig { rights, ..latency_policy() };
    with_stages(setup(config, policy, 2), &[(60, 1.0)])
}

#[test]
fn a_second_rollback_waits_for_the_cooldown_and_the_refusal_says_so() {
    let free = record(&no_way_back(Rights { rollbacks: None, cooldown: Span::ZERO }));
    let failed = |r: &RunRecord| times(&r.trace.events, |e| matches!(e, Event::RevertFailed { .. })).len();
    assert!(failed(&free) > 10, "without rights to respect every look tries again");
    assert!(refusals(&free.trace.events).is_empty());
    let cooldown = Span::secs(100);
    let patient = record(&no_way_back(Rights { rollbacks: None, cooldown }));
    let ordered = times(&patient.trace.events, is_rollback);
    assert!(ordered.len() >= 2, "{ordered:?}");
    assert!(ordered.windows(2).all(|pair| pair[1].since(pair[0]) >= cooldown), "{ordered:?}");
    assert!(ordered.windows(2).all(|pair| pair[1].since(pair[0]) < cooldown + Span::secs(30)), "{ordered:?}");
    let told = refusals(&patient.trace.events);
    assert!(told.len() >= ordered.len() - 1, "each wait is told: {told:?}");
    assert!(told.iter().all(|why| why == "cooldown of 1 min 40 s since the last rollback"), "{told:?}");
    assert_eq!(failed(&patient), ordered.len());
}

#[test]
fn rollbacks_end_at_their_limit_and_the_refusal_says_so() {
    let limited = record(&no_way_back(Rights { rollbacks: Some(2), cooldown: Span::ZERO }));
    assert_eq!(times(&limited.trace.events, is_rollback).len(), 2);
    assert_eq!(refusals(&limited.trace.events), ["the policy may order 2 rollbacks by itself"]);
}

/// When the router got the weights of a revert, from its start on.
fn steps(record: &RunRecord) -> Vec<(SimTime, Weight)> {
    let from = times(&record.trace.events, |e| matches!(e, Event::RevertStarted { .. }))[0];
    weights(&record.trace.events).into_iter().filter(|(t, _)| *t >= from).collect()
}

#[test]
fn a_revert_in_steps_goes_through_its_steps_in_time() {
    let story = record(&all_at_once(stepped(), 1));
    let steps = steps(&story);
    let shares: Vec<f64> = steps.iter().map(|(_, w)| w.share()).collect();
    assert_eq!(shares, [0.5, 0.2, 0.0]);
    let gaps: Vec<Span> = steps.windows(2).map(|pair| pair[1].0.since(pair[0].0)).collect();
    // An order takes 20 ms there and its result 20 ms back.
    assert_eq!(gaps, [Span::millis(20_040); 2]);
    let done = times(&story.trace.events, |e| matches!(e, Event::RevertDone { to: OLD, replicas: 3, .. }));
    assert_eq!(done.len(), 1);
    assert!(done[0] > steps[2].0, "done is when the replicas say so");
}

#[test]
fn a_revert_never_gives_the_bad_version_more_than_it_has() {
    let story = |share: f64| {
        let mut config = spiked(3);
        config.faults = vec![spike(100)];
        let shares = weights(&record(&with_stages(setup(config, stepped(), 1), &[(60, share)])).trace.events);
        shares.iter().map(|(_, w)| w.0 / 10_000).collect::<Vec<_>>()
    };
    assert_eq!(story(0.6), [0, 60, 30, 12, 0], "steps are shares of what it has");
    assert_eq!(story(0.3), [0, 30, 15, 6, 0]);
    assert_eq!(story(0.1), [0, 10, 5, 2, 0]);
}

#[test]
fn a_gate_holds_a_step_until_it_opens_or_patience_ends() {
    let gated = |patience: u64, until: Option<u64>| {
        let mut policy = stepped();
        policy.revert.gate = Some(SignalId(0));
        policy.revert.gate_patience = Span::secs(patience);
        let mut story = all_at_once(policy, 1);
        let mut config = WorldConfig::clone(&story.world);
        config.faults[0].until = until.map(at);
        story.world = Arc::new(config);
        record(&story)
    };
    let gaps = |r: &RunRecord| -> Vec<f64> {
        steps(r).windows(2).map(|pair| (pair[1].0.since(pair[0].0).as_secs_f64() * 1e3).round() / 1e3).collect()
    };
    // The rule goes on failing: each step waits for all of the patience.
    assert_eq!(gaps(&gated(45, None)), [65.04, 65.04]);
    // The spike ends: the rule clears, the gate opens within a second, the last step follows in time.
    let opened = gated(600, Some(340));
    let cleared = times(&opened.trace.events, |e| matches!(e, Event::RuleCleared { .. }));
    let held = steps(&opened);
    let after = held[1].0.since(cleared[0]);
    assert!(cleared[0] > at(340) && after <= Span::millis(1_020), "opened {after} after the rule cleared");
    assert_eq!(gaps(&opened)[1], 20.04);
    assert!(gaps(&opened)[0] > 30.0, "{:?}", gaps(&opened));
}

#[test]
fn a_revert_that_does_not_wait_for_replicas_sends_users_to_nobody() {
    let story = |wait_ready: bool| {
        let mut policy = latency_policy();
        policy.revert.wait_ready = wait_ready;
        run(&all_at_once(policy, 1), &mut models())
    };
    let (record, ends) = story(false);
    let events = &record.trace.events;
    let moved = weights(events).last().expect("weights").0;
    let old_ready = |e: &Event| matches!(e, Event::Replica(h) if h.version == OLD && h.state == ReplicaState::Ready);
    let ready = times(events, old_ready).into_iter().find(|&t| t > moved).expect("replicas start");
    let start = Span::secs(8) + Span::millis(200);
    // The order to start them follows the new weights by a result and an order: 40 ms.
    assert_eq!(ready.since(moved), start + Span::millis(40), "fetch, verify, load, warm up");
    for end in &ends {
        let in_between = end.arrived > moved && end.arrived < ready;
        assert_eq!(end.outcome == Outcome::Unavailable, in_between, "{end:?}");
    }
    assert!(ends.iter().filter(|e| e.outcome == Outcome::Unavailable).count() > 300);
    let (_, patient) = story(true);
    assert!(patient.iter().all(|e| e.outcome != Outcome::Unavailable), "one that waits loses nobody");
}

#[test]
fn a_rollback_in_the_middle_of_a_stage_leaves_nothing_of_it() {
    let eager =
        || policy(vec![("coin", SignalKind::Coin { share: 1.0 })], vec![rule("heads", 0, Comparison::Greater, 0.5)]);
    // The look at 62 s falls into the start of the new version's replicas, which are ready at 68 s.
    let (record, ends) = run(&with_stages(setup(spiked(3), eager(), 1), &[(60, 0.25), (120, 1.0)]), &mut models());
    let events = &record.trace.events;
    assert_eq!(times(events, is_rollback), [at(62)]);
    assert_eq!(done(events), 1);
    assert!(times(events, |e| matches!(e, Event::Stage { .. })).is_empty());
    assert!(weights(events).iter().all(|(_, w)| *w == Weight::NONE));
    assert!(ends.iter().all(|e| e.version == OLD && e.outcome == Outcome::Answered));
    let last = events.iter().rev().find_map(|r| match &r.event {
        Event::Replica(health) if health.version == NEW => Some(health.state),
        _ => None,
    });
    assert_eq!(last, Some(ReplicaState::Stopped));
}

#[test]
fn halt_goes_no_further_and_not_back_and_alert_only_tells() {
    let story = |then: Verdict| {
        let mut policy = latency_policy();
        policy.rules[0].then = then;
        let mut config = spiked(3);
        config.faults = vec![spike(100)];
        record(&with_stages(setup(config, policy, 1), &[(60, 0.25), (300, 1.0)]))
    };
    for (then, expected) in [(Verdict::Halt, vec![0, 25]), (Verdict::Alert, vec![0, 25, 100])] {
        let record = story(then);
        let events = &record.trace.events;
        let shares: Vec<u32> = weights(events).iter().map(|(_, w)| w.0 / 10_000).collect();
        assert_eq!(shares, expected, "{then:?}");
        let decided = times(events, |e| matches!(e, Event::Decided(d) if d.verdict == then && d.refused.is_none()));
        assert_eq!(decided.len(), 1, "{then:?} is told once");
        assert_eq!(done(events), 0);
    }
}

/// Rollouts, reverts and rights of all kinds, with results lost and doubled.
fn stories() -> impl Strategy<Value = Setup> {
    let rollout = (30..90u64, 20..90u64, 0.05..0.9f64, 0..60u64, 0..2u32);
    let revert = (prop::collection::vec(0.05..0.95f64, 0..3), 1..30u64, 1..12u64, prop::bool::ANY);
    let luck = (0.0..0.3f64, 0.0..0.6f64, 0.0..1.0f64, 0.0..0.4f64);
    (rollout, revert, luck, 0..1000u64).prop_map(|(rollout, revert, (heads, lost, doubled, loss), seed)| {
        let (first, then, share, delay, standby) = rollout;
        let (steps, every, patience, gated) = revert;
        let mut policy =
            policy(vec![("coin", SignalKind::Coin { share: heads })], vec![rule("heads", 0, Comparison::Greater, 0.5)]);
        let mut steps: Vec<Weight> = steps.into_iter().chain([0.0]).map(Weight::from_share).collect();
        steps.sort_by(|a, b| b.cmp(a));
        policy.revert.steps = steps;
        policy.revert.every = Span::secs(every);
        policy.revert.patience = Span::secs(patience);
        policy.revert.gate = gated.then_some(SignalId(0));
        policy.revert.gate_patience = Span::secs(20);
        let mut config = world(20.0, Span::secs(420), 3);
        config.telemetry.loss = loss;
        let mut story = with_stages(setup(config, policy, seed), &[(first, share), (first + then, 1.0)]);
        let mut rollout = RolloutConfig::clone(&story.rollout);
        rollout.scale_down_delay = Span::secs(delay);
        rollout.standby = standby;
        story.rollout = Arc::new(rollout);
        story.results = Results { doubled, lost };
        story
    })
}

#[test]
fn whatever_the_luck_a_rollback_ends_on_the_old_version_and_loses_nobody() {
    let models = RefCell::new(models());
    let reverts = RefCell::new([0, 0]);
    let claim = |story: Setup| {
        let (record, ends) = run(&story, &mut models.borrow_mut());
        let events = &record.trace.events;
        let rollbacks = times(events, is_rollback);
        prop_assert!(rollbacks.len() <= 1 && done(events) <= rollbacks.len());
        let unserved = ends.iter().find(|e| e.outcome != Outcome::Answered);
        prop_assert!(unserved.is_none(), "replicas are there before traffic is: {unserved:?}");
        let sent = orders(events);
        let results: Vec<u64> = events
            .iter()
            .filter_map(|r| match &r.event {
                Event::OrderEnded(result) => Some((result.action.0, result.end.clone())),
                _ => None,
            })
            .inspect(|(id, end)| assert!(*end == ActionEnd::Ok && sent.contains_key(id), "order {id}: {end:?}"))
            .map(|(id, _)| id)
            .collect();
        prop_assert_eq!(results.len(), results.iter().collect::<BTreeSet<_>>().len(), "one end each");
        reverts.borrow_mut()[usize::from(!rollbacks.is_empty())] += 1;
        // A revert takes a minute and a half at most: three steps, their gates, a cold start.
        let Some(&decided) = rollbacks.first().filter(|t| **t < at(250)) else { return Ok(()) };
        prop_assert_eq!(done(events), 1, "decided at {}", decided);
        let (back, share) = *weights(events).last().expect("weights");
        prop_assert_eq!(share, Weight::NONE);
        prop_assert!(ends.iter().all(|e| e.version == OLD || e.arrived <= back));
        let since: Vec<Weight> = weights(events).into_iter().filter(|(t, _)| *t > decided).map(|(_, w)| w).collect();
        let before = weights(events).iter().rev().find(|(t, _)| *t <= decided).map(|(_, w)| *w);
        prop_assert!(
            since.is_sorted_by(|a, b| a >= b) && since.first() <= before.as_ref(),
            "{:?}, {:?}",
            before,
            since
        );
        let mut states: BTreeMap<u32, (VersionId, ReplicaState)> = BTreeMap::new();
        for recorded in events {
            if let Event::Replica(health) = &recorded.event {
                states.insert(health.replica.0, (health.version, health.state));
            }
        }
        let ready = |v: VersionId| states.values().filter(|s| **s == (v, ReplicaState::Ready)).count();
        prop_assert_eq!((ready(OLD), ready(NEW)), (3, 0), "all of the old, none of the new");
        Ok(())
    };
    let config = Config { cases: 60, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    // The stories are too long to print: what is shown of a failed one is how it is told, and its events.
    let failed = TestRunner::new_with_rng(config, rng).run(&stories(), claim);
    if let Err(TestError::Fail(why, story)) = failed {
        let Setup { rollout, policy, results, seed, .. } = &story;
        let events = record(&story).trace.events;
        let told: Vec<String> = events.iter().map(|r| format!("{} {:?}", r.at, r.event)).collect();
        panic!("{why}\n{rollout:?}\n{:?}\n{results:?} {seed:?}\n{}", policy.revert, told.join("\n"));
    }
    let [without, with] = reverts.into_inner();
    assert!(without > 0 && with > 20, "{with} of {} were rolled back", with + without);
}

// ---------------------------------------------------------------------------------------------------------------------
// Telemetry

fn lossy(loss: f64) -> WorldConfig {
    let mut config = world(50.0, Span::secs(900), 2);
    config.telemetry.loss = loss;
    config
}

#[test]
fn a_lost_scrape_is_a_gap_and_brings_nothing() {
    let told = plant(lossy(0.3), 8, &mut models());
    let lag = Span::secs(2);
    let (mut last, mut gaps, mut whole) = (SimTime::ZERO, 0, 0);
    for n in 1..=60u64 {
        let scrape = at(15 * n);
        let seen: Vec<&Input> = told
            .inputs
            .iter()
            .filter(|(t, input)| *t == scrape + lag && !matches!(input, Input::Health(_)))
            .map(|(_, input)| input)
            .collect();
        let gap = Gap { from: last, to: scrape, replica: None };
        if let [Input::Gap(found)] = seen[..] {
            assert_eq!(*found, gap, "from the last scrape that arrived");
            assert!(told.events.contains(&(scrape, Event::Gap(gap))));
            gaps += 1;
        } else {
            let Some((Input::Metrics(metrics), before)) = seen.split_last() else { panic!("{seen:?}") };
            assert_eq!(metrics.scraped_at, scrape, "metrics come last");
            assert!(before.iter().all(|i| matches!(i, Input::Observations(_) | Input::Labels(_))));
            last = scrape;
            whole += 1;
        }
    }
    assert_eq!(gaps + whole, 60);
    assert!((8..30).contains(&gaps), "{gaps} of 60 at 0.3");
    let scrapes = told.inputs.iter().filter(|(_, i)| matches!(i, Input::Metrics(_) | Input::Gap(_))).count();
    assert_eq!(scrapes, 60, "and nothing in between");
}

#[test]
fn labels_of_a_lost_scrape_come_with_the_next_and_its_log_rows_never() {
    let told = plant(lossy(0.3), 8, &mut models());
    let full = plant(lossy(0.0), 8, &mut models());
    let labels = |told: &common::Told| -> BTreeMap<u64, (SimTime, f32)> {
        let mut known = BTreeMap::new();
        for (_, input) in &told.inputs {
            let Input::Labels(batch) = input else { continue };
            for (&ordinal, &label) in batch.ordinals.iter().zip(&batch.labels) {
                assert_eq!(known.insert(ordinal, (batch.scraped_at, label)), None, "a label comes once");
            }
        }
        known
    };
    let gaps: BTreeSet<SimTime> = times_of_gaps(&told);
    let arrives = |scrape: SimTime| (0..).map(|i| scrape + Span::secs(15 * i)).find(|t| !gaps.contains(t));
    let (some, all) = (labels(&told), labels(&full));
    for (ordinal, (scrape, label)) in all {
        let late = arrives(scrape).expect("some scrape arrives");
        if late <= at(900) {
            assert_eq!(some.get(&ordinal), Some(&(late, label)), "label of request {ordinal}");
        } else {
            assert_eq!(some.get(&ordinal), None);
        }
    }
    let rows = |told: &common::Told| -> BTreeMap<u64, SimTime> {
        let batches = told.inputs.iter().filter_map(|(_, input)| match input {
            Input::Observations(batch) => Some(batch),
            _ => None,
        });
        batches.flat_map(|b| b.ordinals.iter().map(|&o| (o, b.scraped_at))).collect()
    };
    let (some, all) = (rows(&told), rows(&full));
    assert!(all.iter().all(|(o, t)| some.get(o) == (!gaps.contains(t)).then_some(t)), "rows come in time or never");
}

#[test]
fn telemetry_tells_what_has_happened_by_the_scrape_and_nothing_of_what_follows() {
    let mut config = lossy(0.0);
    config.fleet.queue = 1;
    config.fleet.service = Distribution::Exponential { mean: Span::millis(80) };
    let told = plant(config, 8, &mut models());
    let by_ordinal: BTreeMap<u64, &RequestEnd> = told.ends.iter().map(|e| (e.request.ordinal, e)).collect();
    let (mut scrapes, mut labelled) = (0, 0);
    for (seen, input) in &told.inputs {
        match input {
            Input::Metrics(metrics) => {
                scrapes += 1;
                let mut counted = [0u64; 6];
                let ended = told.ends.iter().filter(|e| e.ended <= metrics.scraped_at);
                ended.for_each(|e| counted[e.outcome as usize] += 1);
                let mut found = [0u64; 6];
                for row in &metrics.rows {
                    found.iter_mut().zip(row.ended).for_each(|(sum, n)| *sum += n);
                }
                assert_eq!(found, counted, "at {}", metrics.scraped_at);
                assert!(found.iter().filter(|n| **n > 0).count() >= 3, "answered, timed out, shed: {found:?}");
                assert_eq!(*seen, metrics.scraped_at + Span::secs(2));
            }
            Input::Observations(batch) => {
                for (i, ordinal) in batch.ordinals.iter().enumerate() {
                    let end = by_ordinal[ordinal];
                    assert_eq!((end.ended, end.score.to_bits()), (batch.ended[i], batch.scores[i].to_bits()));
                    assert!(end.ended <= batch.scraped_at && batch.scraped_at.since(end.ended) <= Span::secs(15));
                }
            }
            Input::Labels(batch) => {
                for (ordinal, label) in batch.ordinals.iter().zip(&batch.labels) {
                    let end = by_ordinal[ordinal];
                    // Labels of this plant take 30 s: two scrapes.
                    let known = end.ended + Span::secs(30);
                    assert_eq!(batch.scraped_at.0, known.0.next_multiple_of(Span::secs(15).0));
                    assert_eq!(end.truth.to_bits(), label.to_bits());
                    labelled += 1;
                }
            }
            _ => {}
        }
    }
    assert_eq!(scrapes, 60);
    let due = told.ends.iter().filter(|e| e.outcome.is_answered() && e.ended + Span::secs(30) <= at(900)).count();
    let share = f64::from(labelled) / due as f64;
    assert!((share - 0.95).abs() < 4.0 * (0.95 * 0.05 / due as f64).sqrt(), "5 % never come: {share}");
}

fn times_of_gaps(told: &common::Told) -> BTreeSet<SimTime> {
    told.events.iter().filter(|(_, e)| matches!(e, Event::Gap(_))).map(|(t, _)| *t).collect()
}

/// Cumulative metrics of the new version: so many requests, all of that latency.
fn metrics(second: u64, requests: u32, latency: Span) -> Input {
    let mut histogram = Histogram::new();
    histogram.record_n(latency.0, requests);
    let mut ended = [0; 6];
    ended[Outcome::Answered as usize] = u64::from(requests);
    let row = MetricsRow { version: NEW, segment: SegmentId(0), replica: None, ended, latency: histogram };
    Input::Metrics(Metrics {
        scraped_at: at(second),
        rows: vec![row],
        gauges: Vec::new(),
        capacity: Capacity::default(),
    })
}

fn gap(from: u64, to: u64) -> Input {
    Input::Gap(Gap { from: at(from), to: at(to), replica: None })
}

/// What a controller under this policy tells when it gets these inputs, each at its second, from the first stage on.
fn told(policy: PolicyConfig, inputs: &[(u64, Input)]) -> Vec<(u64, Event)> {
    let setup = setup(spiked(1), policy, 1);
    let mut controller = Controller::new(ControllerId(0), setup.policy, setup.rollout, 16, Seed(1));
    controller.handle_timeout(at(120));
    let mut events = Vec::new();
    for (second, input) in inputs {
        controller.handle_input(at(*second), input);
        events.extend(std::iter::from_fn(|| controller.poll_event()).map(|event| (*second, event)));
    }
    events
}

fn fired(events: &[(u64, Event)]) -> Vec<u64> {
    events.iter().filter(|(_, e)| matches!(e, Event::RuleFired(_))).map(|(t, _)| *t).collect()
}

#[test]
fn a_gap_is_not_another_look_at_what_was_seen_before() {
    let slow = Span::millis(100);
    let mut twice = latency_policy();
    twice.rules[0].looks = 2;
    let inputs =
        [(137, metrics(135, 100, slow)), (152, gap(135, 150)), (167, gap(135, 165)), (182, metrics(180, 200, slow))];
    assert_eq!(fired(&told(twice.clone(), &inputs)), [182], "two scrapes were bad, the gaps said nothing");
    twice.rules[0].on_missing = OnMissing::Pass;
    assert!(fired(&told(twice.clone(), &inputs)).is_empty(), "with missing = pass a gap breaks the row");
    twice.rules[0].on_missing = OnMissing::Fail;
    assert_eq!(fired(&told(twice, &inputs)), [152], "with missing = fail a gap is bad news");
    let mut once = latency_policy();
    once.rules[0].on_missing = OnMissing::Fail;
    let well = [(137, metrics(135, 100, Span::millis(1))), (152, gap(135, 150))];
    assert_eq!(fired(&told(once, &well)), [152], "even if all was well before");
}

#[test]
fn a_version_without_traffic_has_no_values_and_fires_no_rule() {
    let error = |confidence| SignalKind::ErrorRate { window: Span::secs(60), level: Level::each(confidence) };
    let slow = SignalKind::LatencyQuantile { quantile: 0.5, window: Span::secs(60), level: Level::each(0.95) };
    let accuracy = SignalKind::Labelled {
        measure: Quality::Accuracy,
        labels: 100,
        min: 1,
        threshold: 0.5,
        level: Level::each(0.95),
    };
    let signals = || vec![("errors", error(0.95)), ("latency", slow.clone()), ("accuracy", accuracy.clone())];
    // Each holds for a measured zero.
    let zero = |name, signal| rule(name, signal, Comparison::LessEqual, 0.0);
    let rules = || vec![zero("no errors", 0), zero("no latency", 1), zero("never right", 2)];
    let story = |rules| {
        let dark = setup(world(50.0, Span::secs(480), 2), policy(signals(), rules), 1);
        // A millionth of all users: nobody.
        record(&with_stages(dark, &[(60, 1e-6)]))
    };
    let quiet = story(rules());
    let is_alarm = |e: &Event| matches!(e, Event::RuleFired(_) | Event::Decided(_));
    assert!(times(&quiet.trace.events, is_alarm).is_empty(), "no data is not zero");
    let measured_new = |e: &Event| matches!(e, Event::Measured(m) if m.version == NEW);
    let measured_old = |e: &Event| matches!(e, Event::Measured(m) if m.version == OLD);
    assert!(times(&quiet.trace.events, measured_new).is_empty());
    assert!(times(&quiet.trace.events, measured_old).len() > 60, "there were looks");
    let mut missing = rules();
    missing[0].on_missing = OnMissing::Fail;
    assert!(!times(&story(missing).trace.events, is_alarm).is_empty(), "unless no data is bad news");
    let served = with_stages(setup(world(50.0, Span::secs(480), 2), policy(signals(), rules()), 1), &[(60, 0.5)]);
    assert!(!times(&record(&served).trace.events, is_alarm).is_empty(), "a measured zero fires");
}

#[test]
fn without_a_rollout_nobody_looks_and_nothing_is_ordered() {
    let mut eager = latency_policy();
    eager.rules[0].on_missing = OnMissing::Fail;
    let record = record(&without_rollout(setup(spiked(2), eager, 1)));
    let moves = |e: &Event| matches!(e, Event::RuleFired(_) | Event::Decided(_) | Event::Ordered(_));
    assert!(times(&record.trace.events, moves).is_empty());
}

#[test]
fn a_new_version_that_cannot_start_stops_the_rollout() {
    let mut config = spiked(2);
    let rotten = Artifact { digest: Digest::of(b"rotten"), ..Artifact::clone(&mlp("mlp-linear-v2.onnx")) };
    config.versions[1].artifact = Arc::new(rotten);
    let record = record(&with_stages(setup(config, latency_policy(), 2), &[(60, 0.25), (120, 1.0)]));
    let events = &record.trace.events;
    assert_eq!(weights(events).len(), 1, "the router never hears of it");
    assert!(times(events, |e| matches!(e, Event::Stage { .. })).is_empty());
    let refused = |e: &Event| matches!(e, Event::OrderEnded(r) if matches!(&r.end, ActionEnd::Err(why) if why.contains("digest")));
    assert_eq!(times(events, refused).len(), 1);
    let told = |e: &Event| matches!(e, Event::Ordered(Action { kind: ActionKind::Notify(text), .. }) if text.contains("digest mismatch"));
    assert_eq!(times(events, told).len(), 1, "a person is told why");
}
