//! What holds for every plant: requests end once and in time, the router splits as told, users stick.

mod common;

use common::{NEW, OLD, at, fault, latency_policy, models, requests, run, setup, spike, weights, with_stages, world};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rollcage::control::config::PolicyConfig;
use rollcage::event::{Outcome, RequestEnd, Weight};
use rollcage::id::SourceId;
use rollcage::sim::Setup;
use rollcage::time::{SimTime, Span};
use rollcage::world::config::{Bound, Effect, Source, WorldConfig};
use rollcage::world::distribution::Distribution;
use rollcage::world::plant::World;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Cases are the same on every run.
fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

const MINUTES: u64 = 4;

/// A plant that is mostly too small for its traffic.
fn plants() -> impl Strategy<Value = WorldConfig> {
    let fleet = (1..=4u32, 1..=4u32, 0..=8u32, 5..400u64, 1..60u64);
    (fleet, 20.0..200.0f64, 1..8u32, prop::bool::ANY, 60..200u64).prop_map(
        |((replicas, concurrency, queue, timeout, service), rate, shards, two, second)| {
            let mut config = world(rate, Span::secs(60 * MINUTES), replicas);
            config.fleet.concurrency = concurrency;
            config.fleet.queue = queue;
            config.fleet.timeout = Span::millis(timeout);
            config.fleet.service = Distribution::Exponential { mean: Span::millis(service) };
            config.sources[0].users = shards * 100;
            if two {
                config.sources.push(Source { name: "other".to_owned(), ..config.sources[0].clone() });
            }
            let noisy = Effect::LatencySpike { bound: Bound::Hosts(1), factor: 4.0, add: Span::ZERO };
            config.faults = vec![spike(second), fault("noisy", second / 2, noisy)];
            config
        },
    )
}

/// Stages within the first two minutes, and a policy that reverts in two steps when latency rises.
fn story(config: WorldConfig, seed: u64) -> Setup {
    let mut policy = latency_policy();
    policy.revert.steps = [0.3, 0.0].map(Weight::from_share).to_vec();
    policy.revert.every = Span::secs(10);
    with_stages(setup(config, policy, seed), &[(30, 0.2), (60, 0.6), (90, 1.0)])
}

/// Why these ends cannot be those of this traffic.
fn broken(config: &WorldConfig, seed: u64, ends: &[RequestEnd]) -> Option<String> {
    let mut seen = BTreeSet::new();
    let arrivals: Vec<_> = (0..config.sources.len()).map(|i| requests(config, i, seed)).collect();
    for end in ends {
        let id = (end.request.source, end.request.ordinal);
        if !seen.insert(id) {
            return Some(format!("{id:?} ends twice"));
        }
        let made = arrivals.get(id.0.index()).and_then(|of| of.get(id.1 as usize));
        if made.map(|(t, _)| *t) != Some(end.arrived) {
            return Some(format!("{id:?} arrived at {} and was made for {made:?}", end.arrived));
        }
        let (took, deadline) = (end.ended.since(end.arrived), end.arrived + config.fleet.timeout);
        let fits = match end.outcome {
            Outcome::TimedOut => end.ended == deadline && end.replica.is_some(),
            Outcome::Shed => took == Span::ZERO && end.replica.is_some(),
            Outcome::Unavailable => took == Span::ZERO && end.replica.is_none(),
            Outcome::Answered | Outcome::Failed | Outcome::Lost => end.ended <= deadline && end.replica.is_some(),
        };
        if !fits || end.score.is_nan() == end.outcome.is_answered() {
            return Some(format!("{end:?} does not fit its outcome"));
        }
    }
    let made: usize = arrivals.iter().map(Vec::len).sum();
    (made != ends.len()).then(|| format!("{made} requests came and {} ended", ends.len()))
}

#[test]
fn every_request_ends_once_and_as_its_outcome_says() {
    let models = RefCell::new(models());
    let met = RefCell::new(BTreeMap::<Outcome, usize>::new());
    let claim = |(config, seed): (WorldConfig, u64)| {
        let story = story(config, seed);
        let (record, ends) = run(&story, &mut models.borrow_mut());
        prop_assert_eq!(broken(&story.world, seed, &ends), None);
        prop_assert_eq!(record.counts.requests, ends.len() as u64);
        let failed = ends.iter().filter(|e| !e.outcome.is_answered()).count() as u64;
        prop_assert_eq!(record.counts.failed, failed);
        ends.iter().for_each(|e| *met.borrow_mut().entry(e.outcome).or_default() += 1);
        Ok(())
    };
    runner(40).run(&(plants(), 0..1000u64), claim).expect("holds");
    let met: Vec<Outcome> = met.into_inner().into_keys().collect();
    assert_eq!(met, [Outcome::Answered, Outcome::TimedOut, Outcome::Shed], "overload shows in all its forms");
}

#[test]
fn a_request_that_vanishes_or_comes_twice_or_late_is_noticed() {
    let mut config = world(100.0, Span::secs(60), 1);
    config.fleet.queue = 2;
    config.fleet.service = Distribution::Exponential { mean: Span::millis(30) };
    let story = story(config, 1);
    let (_, ends) = run(&story, &mut models());
    let broken = |change: &dyn Fn(&mut Vec<RequestEnd>)| {
        let mut ends = ends.clone();
        change(&mut ends);
        broken(&story.world, 1, &ends)
    };
    let place = |outcome: Outcome| ends.iter().position(|e| e.outcome == outcome).expect("met");
    assert_eq!(broken(&|_| ()), None);
    assert!(broken(&|e| _ = e.pop()).is_some());
    assert!(broken(&|e| e.push(e[0])).is_some());
    let late = Span::secs(1);
    for outcome in [Outcome::Answered, Outcome::Shed] {
        let i = place(outcome);
        assert!(broken(&|e| e[i].ended = e[i].ended + late).is_some(), "{outcome:?}");
    }
}

/// The share of the circle that the router gives the new version, at each time.
fn share_at(table: &[(SimTime, Weight)], t: SimTime) -> Weight {
    table.iter().take_while(|(from, _)| *from < t).last().map_or(Weight::NONE, |&(_, w)| w)
}

#[test]
fn the_router_splits_users_as_weighted_and_never_sends_one_back_while_a_rollout_grows() {
    let models = RefCell::new(models());
    let stages = prop::collection::btree_set(1..100u32, 3);
    let claim = |(stages, seed): (BTreeSet<u32>, u64)| {
        let shares: Vec<f64> = stages.iter().map(|&s| f64::from(s) / 100.0).collect();
        let config = world(150.0, Span::secs(300), 4);
        let stages = [(60, shares[0]), (120, shares[1]), (180, shares[2])];
        let story = with_stages(setup(config, PolicyConfig::hold(), seed), &stages);
        let (record, ends) = run(&story, &mut models.borrow_mut());
        let users = requests(&story.world, 0, seed);
        let table = weights(&record.trace.events);
        prop_assert_eq!(table.len(), 4);
        let mut by_user: BTreeMap<u32, Vec<&RequestEnd>> = BTreeMap::new();
        let mut split: BTreeMap<Weight, (BTreeSet<u32>, BTreeSet<u32>, usize, usize)> = BTreeMap::new();
        for end in &ends {
            let user = users[end.request.ordinal as usize].1;
            by_user.entry(user).or_default().push(end);
            let of = split.entry(share_at(&table, end.arrived)).or_default();
            of.0.insert(user);
            of.2 += 1;
            if end.version == NEW {
                of.1.insert(user);
                of.3 += 1;
            }
        }
        for (weight, (all, moved, requests, served)) in split {
            let p = weight.share();
            for (n, hits) in [(all.len(), moved.len()), (requests, served)] {
                // Places are a hash of users, so requests split as their users do.
                let error = (p * (1.0 - p) / n.min(all.len()) as f64).sqrt();
                let share = hits as f64 / n as f64;
                prop_assert!((share - p).abs() <= 4.0 * error, "{share} of {n} for {p}");
            }
        }
        for (user, mut ends) in by_user {
            ends.sort_by_key(|e| e.request.ordinal);
            prop_assert!(ends.is_sorted_by_key(|e| e.version == NEW), "user {user} was sent back");
        }
        Ok(())
    };
    runner(8).run(&(stages, 0..1000u64), claim).expect("holds");
}

#[test]
fn a_revert_in_steps_sends_users_back_once() {
    let mut policy = latency_policy();
    policy.revert.steps = [0.5, 0.2, 0.0].map(Weight::from_share).to_vec();
    policy.revert.every = Span::secs(20);
    let mut config = world(100.0, Span::secs(480), 3);
    config.faults = vec![spike(200)];
    let story = with_stages(setup(config, policy, 4), &[(60, 0.3), (120, 1.0)]);
    let (record, ends) = run(&story, &mut models());
    let shares: Vec<u32> = weights(&record.trace.events).iter().map(|(_, w)| w.0 / 10_000).collect();
    assert_eq!(shares, [0, 30, 100, 50, 20, 0]);
    let users = requests(&story.world, 0, 4);
    let mut moves: BTreeMap<u32, Vec<rollcage::id::VersionId>> = BTreeMap::new();
    let mut sorted = ends;
    sorted.sort_by_key(|e| e.request.ordinal);
    for end in &sorted {
        assert_eq!(end.request.source, SourceId(0));
        let user = moves.entry(users[end.request.ordinal as usize].1).or_default();
        if user.last() != Some(&end.version) {
            user.push(end.version);
        }
    }
    let all: BTreeSet<_> = moves.into_values().collect();
    assert!(all.contains(&vec![OLD, NEW, OLD]));
    assert!(all.iter().all(|m| m.len() <= 3), "out once and back once: {all:?}");
    assert!(at(480) >= sorted.last().expect("some").arrived);
}

#[test]
fn an_arrival_can_be_found_again_without_running_the_plant() {
    let mut config = world(80.0, Span::secs(240), 2);
    config.sources.push(Source { name: "other".to_owned(), ..config.sources[0].clone() });
    config.faults = vec![fault("surge", 100, Effect::Surge { source: SourceId(1), factor: 3.0 })];
    let story = story(config, 6);
    let (_, ends) = run(&story, &mut models());
    let sources: BTreeSet<u16> = ends.iter().map(|e| e.request.source.0).collect();
    assert_eq!(sources, BTreeSet::from([0, 1, 2]), "two declared and what the surge adds");
    for end in ends.iter().step_by(371) {
        let (id, ordinal) = (end.request.source, end.request.ordinal);
        let found = World::arrival(&story.world, &story.faults, story.seed, id, ordinal);
        assert_eq!(found, Some(end.arrived), "{:?}", end.request);
    }
    assert_eq!(World::arrival(&story.world, &story.faults, story.seed, SourceId(0), 1 << 20), None);
}
