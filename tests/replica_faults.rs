//! Replicas that are killed, stopped, cut off or far away: what users and the router see, against the same plant without the
//! fault, request by request.

mod common;

use common::{
    NEW, OLD, Told, at, facts, fault, latency_policy, models, plant, requests, run, setup, times, with_stages, world,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rollcage::control::config::PolicyConfig;
use rollcage::event::{Event, Health, Input, Outcome, ReplicaState, RequestEnd, Weight};
use rollcage::id::{FaultId, ReplicaId, RequestId, VersionId};
use rollcage::rng::Seed;
use rollcage::sim::{Setup, Sim};
use rollcage::time::{SimTime, Span};
use rollcage::world::config::{Effect, Fault, WorldConfig};
use rollcage::world::distribution::Distribution;
use rollcage::world::faults::{Faults, Transition};
use rollcage::world::router::Router;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const SEED: u64 = 4;

/// One version, `replicas` of it with one slot each, constant service, patient users.
fn station(rate: f64, replicas: u32, service: Span) -> WorldConfig {
    let mut config = world(rate, Span::secs(120), replicas);
    config.fleet.concurrency = 1;
    config.fleet.queue = 1000;
    config.fleet.timeout = Span::secs(60);
    config.fleet.service = Distribution::Constant(service);
    config
}

fn for_(mut fault: Fault, span: Span) -> Fault {
    fault.until = Some(fault.at + span);
    fault
}

fn crash(second: u64, version: VersionId, every: Option<Span>) -> Fault {
    fault("crash", second, Effect::Crash { version, replicas: 1, every })
}

fn stall(second: u64, version: VersionId) -> Fault {
    fault("stall", second, Effect::Stall { version, replicas: 1 })
}

fn cut(second: u64, version: VersionId) -> Fault {
    fault("cut", second, Effect::Cut { version, replicas: 1 })
}

fn delay(second: u64, version: VersionId, add: Span) -> Fault {
    fault("delay", second, Effect::Delay { version, replicas: 1, add })
}

fn with(mut config: WorldConfig, faults: &[Fault]) -> WorldConfig {
    config.faults = faults.to_vec();
    config
}

fn told(config: &WorldConfig) -> Told {
    plant(config.clone(), SEED, &mut models())
}

fn by_request(told: &Told) -> BTreeMap<RequestId, RequestEnd> {
    let all: BTreeMap<RequestId, RequestEnd> = told.ends.iter().map(|e| (e.request, *e)).collect();
    assert_eq!(all.len(), told.ends.len(), "every request ends once");
    all
}

fn crashes(told: &Told) -> Vec<(SimTime, ReplicaId)> {
    let crashed = |(t, event): &(SimTime, Event)| match event {
        Event::Replica(Health { replica, state: ReplicaState::Crashed, .. }) => Some((*t, *replica)),
        _ => None,
    };
    told.events.iter().filter_map(crashed).collect()
}

const FIRST: Option<ReplicaId> = Some(ReplicaId(0));

#[test]
fn a_crash_loses_what_the_replica_held_and_no_more() {
    // Two thirds busy: the first replica holds some in service and some in the queue.
    let base = station(40.0, 2, Span::millis(33));
    let (calm, hit) = (told(&base), told(&with(base.clone(), &[crash(60, OLD, None)])));
    assert_eq!(crashes(&hit), [(at(60), ReplicaId(0))]);
    let (calm, hit) = (by_request(&calm), by_request(&hit));
    let held: BTreeSet<_> =
        calm.values().filter(|e| e.replica == FIRST && e.arrived < at(60) && e.ended >= at(60)).collect_ids();
    let lost: BTreeSet<_> = hit.values().filter(|e| e.outcome == Outcome::Lost).collect_ids();
    assert!(!held.is_empty());
    assert_eq!(lost, held);
    assert!(hit.values().filter(|e| e.outcome == Outcome::Lost).all(|e| e.ended == at(60)));
    assert!(hit.values().all(|e| e.replica != FIRST || e.ended <= at(60)), "nobody starts it again");
    let early = |ends: &BTreeMap<RequestId, RequestEnd>| -> Vec<_> {
        ends.values().filter(|e| e.ended < at(60)).map(facts).collect()
    };
    assert!(early(&calm) == early(&hit), "what had ended had ended");
}

trait Ids {
    fn collect_ids(self) -> BTreeSet<RequestId>;
}
impl<'a, I: Iterator<Item = &'a RequestEnd>> Ids for I {
    fn collect_ids(self) -> BTreeSet<RequestId> {
        self.map(|e| e.request).collect()
    }
}

#[test]
fn capacity_is_less_by_the_crashed_replica() {
    // Twice what two replicas can serve: each serves ten a second.
    let mut base = station(40.0, 2, Span::millis(100));
    base.fleet.queue = 4;
    let hit = told(&with(base, &[crash(60, OLD, None)]));
    let answered = |from: u64, to: u64| {
        hit.ends.iter().filter(|e| e.outcome.is_answered() && e.ended > at(from) && e.ended <= at(to)).count()
    };
    assert_eq!((answered(10, 60), answered(70, 120)), (1000, 500));
}

#[test]
fn a_crash_loop_kills_again_until_it_ends() {
    let base = station(40.0, 4, Span::millis(10));
    let lasting = Some(Span::secs(20));
    let killed = |fault: Fault| crashes(&told(&with(base.clone(), &[fault])));
    let expect = |seconds: &[u64]| -> Vec<_> { seconds.iter().zip(0..).map(|(&s, i)| (at(s), ReplicaId(i))).collect() };
    assert_eq!(killed(crash(30, OLD, lasting)), expect(&[30, 50, 70, 90]));
    // The one that would come with the end does not.
    assert_eq!(killed(for_(crash(30, OLD, lasting), Span::secs(40))), expect(&[30, 50]));
    let two = Effect::Crash { version: OLD, replicas: 2, every: lasting };
    let pairs = [30, 30, 50, 50];
    assert_eq!(killed(fault("two", 30, two)), expect(&pairs));
    let many = Effect::Crash { version: OLD, replicas: 9, every: None };
    let all = told(&with(base.clone(), &[fault("many", 30, many)]));
    assert_eq!(crashes(&all).len(), 4, "all, if fewer are ready");
    let late = all.ends.iter().filter(|e| e.arrived > at(30));
    assert!(late.into_iter().all(|e| e.outcome == Outcome::Unavailable && e.replica.is_none()));
}

#[test]
fn work_under_way_in_a_stall_is_done_later_by_as_much_or_its_user_gives_up() {
    let base = station(8.0, 2, Span::millis(100));
    let calm = by_request(&told(&base));
    // A moment at which the first replica serves.
    let busy = calm.values().find(|e| e.replica == FIRST && e.arrived > at(60)).expect("some");
    let start = busy.arrived + Span::millis(40);
    let stalled = |timeout: Span, d: Span| {
        let mut config = with(base.clone(), &[Fault { at: start, ..for_(stall(0, OLD), Span::ZERO) }]);
        config.faults[0].until = Some(start + d);
        config.fleet.timeout = timeout;
        by_request(&told(&config))
    };
    let d = Span::millis(700);
    let end = start + d;
    let patient = stalled(Span::secs(60), d);
    assert_eq!(patient[&busy.request].ended, busy.ended + d);
    let first = |e: &&RequestEnd| e.replica == FIRST;
    assert!(patient.values().filter(first).all(|e| e.ended < start || e.ended > end), "nothing moves meanwhile");
    let came: Vec<_> = patient.values().filter(first).filter(|e| e.arrived > start && e.arrived < end).collect();
    assert!(!came.is_empty(), "the router knows nothing of it");
    assert!(patient.values().all(|e| e.outcome.is_answered()));
    // They are taken in as they came, after the work that stood still.
    let order: Vec<SimTime> = came.iter().map(|e| e.ended).collect();
    assert!(order.is_sorted() && order[0] == busy.ended + d + Span::millis(100), "{order:?}");
    // Users who wait no longer than that have given up; whoever still waits when it goes on is answered.
    let short = Span::millis(500);
    let hasty = stalled(short, d);
    let gone = &hasty[&busy.request];
    assert_eq!((gone.outcome, gone.ended), (Outcome::TimedOut, busy.arrived + short));
    let in_vain: Vec<_> = hasty.values().filter(|e| !e.outcome.is_answered()).collect();
    assert!(in_vain.iter().all(|e| e.replica == FIRST && e.outcome == Outcome::TimedOut));
    assert!(in_vain.iter().all(|e| e.ended == e.arrived + short && e.arrived < end));
}

#[test]
fn a_stall_that_never_ends_holds_its_requests_until_their_users_give_up() {
    let mut base = station(40.0, 2, Span::millis(20));
    base.fleet.timeout = Span::secs(1);
    let hit = by_request(&told(&with(base, &[stall(60, OLD)])));
    let in_vain: Vec<_> = hit.values().filter(|e| !e.outcome.is_answered()).collect();
    assert!(!in_vain.is_empty());
    assert!(in_vain.iter().all(|e| e.outcome == Outcome::TimedOut && e.ended == e.arrived + Span::secs(1)));
    assert!(hit.values().all(|e| e.replica != FIRST || e.ended <= at(60) || !e.outcome.is_answered()));
}

#[test]
fn a_cut_of_one_of_two_replicas_times_out_its_share_until_it_ends() {
    // So calm that each request mostly finds both idle, where the router takes turns.
    let mut base = station(2.0, 2, Span::millis(10));
    base.horizon = at(1500);
    base.fleet.timeout = Span::millis(100);
    let (from, to) = (at(300), at(1200));
    let hit = by_request(&told(&with(base, &[for_(cut(300, OLD), Span::secs(900))])));
    let timed_out: BTreeSet<_> = hit.values().filter(|e| e.outcome == Outcome::TimedOut).collect_ids();
    let lost = |e: &&RequestEnd| e.replica == FIRST && e.ended > from && e.arrived + Span::millis(100) <= to;
    assert_eq!(timed_out, hit.values().filter(lost).collect_ids(), "all that went there, and nobody else");
    assert!(hit.values().all(|e| e.outcome.is_answered() || timed_out.contains(&e.request)));
    let during = hit.values().filter(|e| e.arrived >= from && e.arrived < to).count();
    let share = timed_out.len() as f64 / during as f64;
    // Half, less those who come within the patience of one that waits there (2/s · 0.1 s: a fifth of a half).
    assert!((0.40..0.50).contains(&share), "{share} of {during}");
    let after = hit.values().filter(|e| e.arrived >= to && e.replica == FIRST);
    assert!(after.clone().count() > 100 && after.into_iter().all(|e| e.outcome.is_answered()));
}

#[test]
fn behind_a_cut_work_goes_on_and_its_answers_arrive_when_it_ends() {
    let base = station(8.0, 2, Span::millis(100));
    let calm = by_request(&told(&base));
    let busy = calm.values().find(|e| e.replica == FIRST && e.arrived > at(60)).expect("some");
    let start = busy.arrived + Span::millis(40);
    let behind = |d: Span| {
        let mut config = with(base.clone(), &[cut(0, OLD)]);
        (config.faults[0].at, config.faults[0].until) = (start, Some(start + d));
        by_request(&told(&config))[&busy.request]
    };
    // Done while it lasts: told when it ends. Done later: nothing has happened. A stall would cost either all of it.
    assert_eq!(behind(Span::millis(700)).ended, start + Span::millis(700));
    assert_eq!(behind(Span::millis(20)).ended, busy.ended);
}

#[test]
fn a_delay_adds_to_each_answer_and_keeps_nobody_busy() {
    // One that is busy at nine tenths: any queueing would grow.
    let mut base = station(90.0, 1, Span::millis(10));
    base.fleet.timeout = Span::millis(300);
    base.telemetry.scrape = Span::secs(5);
    let (from, to, add) = (at(40), at(80), Span::millis(150));
    let calm = by_request(&told(&base));
    let story = told(&with(base.clone(), &[for_(delay(40, OLD, add), Span::secs(40))]));
    let hit = by_request(&story);
    let mut late = 0;
    for (id, before) in &calm {
        let after = &hit[id];
        let travels = before.ended >= from && before.ended < to && before.outcome.is_answered();
        let arrives = before.ended + if travels { add } else { Span::ZERO };
        let deadline = before.arrived + base.fleet.timeout;
        let expected = if arrives > deadline { (Outcome::TimedOut, deadline) } else { (before.outcome, arrives) };
        assert_eq!((after.outcome, after.ended), expected, "{id:?}");
        assert_eq!(after.replica, before.replica);
        late += u32::from(arrives > deadline);
    }
    assert!(late > 0, "some give up on the way");
    // Nobody knows of an answer before it has arrived.
    let mut logged = 0;
    for (_, input) in &story.inputs {
        match input {
            Input::Observations(rows) => {
                assert!(rows.ended.iter().all(|&t| t <= rows.scraped_at));
                logged += rows.ended.len();
            }
            Input::Metrics(metrics) => {
                let counted: u64 = metrics.rows.iter().flat_map(|row| row.ended).sum();
                let ended = hit.values().filter(|e| e.ended <= metrics.scraped_at).count();
                assert_eq!(counted, ended as u64, "at {}", metrics.scraped_at);
            }
            _ => {}
        }
    }
    assert!(logged > 10_000);
}

#[test]
fn delays_of_one_replica_add_up_and_spare_the_others() {
    let base = station(20.0, 2, Span::millis(10));
    let (calm, add) = (by_request(&told(&base)), Span::millis(30));
    let second = Fault { name: "more".to_owned(), ..delay(60, OLD, Span::millis(5)) };
    let hit = by_request(&told(&with(base, &[delay(40, OLD, add), second])));
    for (id, before) in &calm {
        let added = match before.ended {
            t if before.replica != FIRST || t < at(40) => Span::ZERO,
            t if t < at(60) => add,
            _ => Span::millis(35),
        };
        assert_eq!(hit[id].ended, before.ended + added);
    }
}

/// Half of the traffic from 30 s on, all of it from 60 s, half again from 90 s.
fn there_and_back(faults: &[Fault]) -> Setup {
    let mut config = with(world(60.0, Span::secs(150), 2), faults);
    config.fleet.timeout = Span::millis(400);
    with_stages(setup(config, PolicyConfig::hold(), SEED), &[(30, 0.5), (60, 1.0), (90, 0.5)])
}

#[test]
fn all_four_leave_with_their_version_come_back_with_it_and_hit_nobody_else() {
    let mut models = models();
    let (calm, calm_ends) = run(&there_and_back(&[]), &mut models);
    let gone = common::weights(&calm.trace.events);
    let [(leaves, Weight::ALL), (returns, _)] = gone[gone.len() - 2..] else { panic!("{gone:?}") };
    let add = Span::millis(50);
    let again = Some(Span::secs(10));
    let all = [stall(45, OLD), cut(45, OLD), delay(45, OLD, add), crash(45, OLD, again), crash(45, OLD, None)];
    for (i, fault) in all.into_iter().enumerate() {
        let (record, ends) = run(&there_and_back(&[fault]), &mut models);
        let events = &record.trace.events;
        let started = times(events, |e| matches!(e, Event::FaultStarted { .. }));
        let ended = times(events, |e| matches!(e, Event::FaultEnded { .. }));
        // Who was killed once was killed.
        let expected = if i == 4 { vec![at(45)] } else { vec![at(45), returns] };
        assert_eq!((started, ended), (expected, vec![leaves]), "fault {i}");
        let of = |version: VersionId, ends: &[RequestEnd]| -> BTreeMap<RequestId, _> {
            ends.iter().filter(|e| e.version == version).map(|e| (e.request, facts(e))).collect()
        };
        assert!(of(NEW, &calm_ends) == of(NEW, &ends), "fault {i} hits the other version");
        assert!(of(OLD, &calm_ends) != of(OLD, &ends), "fault {i} hits its version");
        let before = |ends: &[RequestEnd]| -> BTreeMap<_, _> {
            ends.iter().filter(|e| e.ended < at(45)).map(|e| (e.request, facts(e))).collect()
        };
        assert!(before(&calm_ends) == before(&ends), "fault {i} begins in time");
    }
}

#[test]
fn what_waited_for_a_stalled_version_is_served_when_its_traffic_leaves() {
    // Both replicas stand still until the weights change; patient users are answered by the version they were sent to.
    let mut story = there_and_back(&[fault("stall", 50, Effect::Stall { version: OLD, replicas: 2 })]);
    let mut config = WorldConfig::clone(&story.world);
    config.fleet.timeout = Span::secs(30);
    story.world = Arc::new(config);
    let (record, ends) = run(&story, &mut models());
    let shares = common::weights(&record.trace.events);
    let (leaves, _) = shares.into_iter().find(|&(t, w)| w == Weight::ALL && t > at(50)).expect("all of it");
    let waited: Vec<_> = ends.iter().filter(|e| e.version == OLD && e.arrived > at(50) && e.arrived < leaves).collect();
    assert!(waited.len() > 100);
    assert!(waited.iter().all(|e| e.ended >= leaves));
    let (shed, answered): (Vec<&RequestEnd>, Vec<_>) = waited.into_iter().partition(|e| e.outcome == Outcome::Shed);
    // Two slots and a queue of 64 at each of two; the rest cannot wait inside.
    assert!(answered.iter().all(|e| e.outcome.is_answered() && e.ended < leaves + Span::secs(1)));
    assert!(answered.len() >= 2 * 64 && shed.iter().all(|e| e.ended == leaves));
}

#[test]
fn the_state_machine_of_a_fault_knows_versions_and_ends() {
    let faults = [
        for_(stall(10, NEW), Span::secs(50)),
        crash(10, NEW, None),
        crash(10, NEW, Some(Span::secs(5))),
        Fault { chance: 0.0, ..cut(10, NEW) },
    ];
    let config = Arc::new(with(world(1.0, Span::secs(100), 2), &faults));
    let mut state = Faults::new(&config, &vec![true; 4], Seed(1));
    assert_eq!(state.scheduled(), [(at(10), 0, true), (at(60), 0, false), (at(10), 1, true), (at(10), 2, true)]);
    assert!(state.happens(2) && !state.happens(3) && !state.has_started(0));
    let on = |i: u16| Transition { fault: FaultId(i), active: true };
    let off = |i: u16| Transition { fault: FaultId(i), active: false };
    let mut router = Router::new(2, OLD);
    let mut split = |share: f64| {
        let weight = Weight::from_share(share);
        assert!(router.set(&[(OLD, weight.rest()), (NEW, weight)]));
        router.clone()
    };
    // Its version has no traffic: it waits for that.
    let none = split(0.0);
    for i in 0..3 {
        assert_eq!(state.start(at(10), i, &none), [on(i), off(i)]);
        assert!(state.has_started(usize::from(i)) && !state.is_active(usize::from(i)));
    }
    assert_eq!(state.versions_in_traffic(at(11), &none), []);
    assert_eq!(state.versions_in_traffic(at(20), &split(0.1)), [on(0), on(1), on(2)]);
    assert_eq!(state.versions_in_traffic(at(21), &split(0.5)), []);
    assert_eq!(state.versions_in_traffic(at(30), &split(0.0)), [off(0), off(1), off(2)]);
    // Back with the version: but whoever was killed once was killed.
    assert_eq!(state.versions_in_traffic(at(40), &split(0.1)), [on(0), on(2)]);
    assert_eq!(state.end(0), [off(0)]);
    assert_eq!(state.end(0), []);
    assert_eq!(state.versions_in_traffic(at(60), &split(0.2)), [], "over is over");
    assert_eq!((state.start(at(61), 9, &none), state.end(9)), (vec![], vec![]), "there is no such fault");
}

/// All four, overlapping, on both versions.
fn all_at_once() -> Vec<Fault> {
    let named = |name: &str, fault: Fault| Fault { name: name.to_owned(), ..fault };
    let two = |effect: fn(VersionId) -> Effect, second, version| fault("two", second, effect(version));
    vec![
        named("stall-old", for_(stall(150, OLD), Span::secs(40))),
        named("cut-old", for_(cut(170, OLD), Span::secs(40))),
        named("delay-old", for_(delay(130, OLD, Span::millis(30)), Span::secs(100))),
        named("crash-old", crash(200, OLD, None)),
        named("stall-new", two(|version| Effect::Stall { version, replicas: 2 }, 260, NEW)),
        named("cut-new", for_(cut(250, NEW), Span::secs(20))),
        named("delay-new", delay(200, NEW, Span::millis(100))),
        named("crash-new", for_(crash(252, NEW, Some(Span::secs(5))), Span::secs(12))),
    ]
}

fn story(policy: PolicyConfig) -> Setup {
    let mut story = setup(with(world(80.0, Span::secs(420), 4), &all_at_once()), policy, 9);
    story.keep_requests = true;
    story
}

#[test]
fn two_policies_meet_the_same_luck() {
    let digests = |policy| run(&story(policy), &mut models()).0.trace.digests;
    let (hold, reverts) = (digests(PolicyConfig::hold()), digests(latency_policy()));
    assert_eq!(hold.streams, reverts.streams);
    assert_eq!(hold.exogenous, reverts.exogenous);
    assert_ne!(hold.decisions, reverts.decisions, "a policy that does nothing else would prove nothing");
}

#[test]
fn fork_then_continue_is_continue_while_each_acts() {
    let models = RefCell::new(models());
    for policy in [PolicyConfig::hold(), latency_policy()] {
        let story = story(policy);
        let straight = run(&story, &mut models.borrow_mut());
        let check = |until: SimTime| {
            let models = &mut *models.borrow_mut();
            let mut run = Sim::new(&story, models).expect("starts");
            run.run_until(until, models).expect("runs");
            let fork = run.clone();
            assert!(fork == run, "a fork stands where its origin does, at {until}");
            for (record, ends) in [run.finish(models).expect("runs"), fork.finish(models).expect("runs")] {
                assert!(record == straight.0, "at {until}");
                assert!(ends.iter().map(facts).eq(straight.1.iter().map(facts)), "at {until}");
            }
        };
        for second in [140, 155, 175, 195, 201, 245, 251, 253, 258, 261, 300, 419, 421] {
            check(at(second));
        }
    }
}

#[test]
fn every_request_ends_once_and_as_its_outcome_says_whatever_breaks() {
    let models = RefCell::new(models());
    let met = RefCell::new(BTreeSet::<Outcome>::new());
    let one = (0..4usize, any::<bool>(), 1..4u32, 20..110u64, prop::option::of(1..4000u64), 1..300u64);
    let one = one.prop_map(|(kind, new, replicas, second, lasts, add)| {
        let version = if new { NEW } else { OLD };
        let effect = match kind {
            0 => Effect::Crash { version, replicas, every: lasts.map(|_| Span::secs(3)) },
            1 => Effect::Stall { version, replicas },
            2 => Effect::Cut { version, replicas },
            _ => Effect::Delay { version, replicas, add: Span::millis(add) },
        };
        Fault { until: lasts.map(|ms| at(second) + Span::millis(10 * ms)), ..fault("", second, effect) }
    });
    let faults = prop::collection::vec(one, 1..7).prop_map(|mut faults: Vec<Fault>| {
        faults.iter_mut().enumerate().for_each(|(i, fault)| fault.name = format!("fault-{i}"));
        faults
    });
    let fleet = (1..=4u32, 1..=3u32, 0..=6u32, 50..2000u64, 5..60u64);
    let plants = (fleet, faults).prop_map(|((replicas, concurrency, queue, timeout, service), faults)| {
        let mut config = with(world(60.0, Span::secs(120), replicas), &faults);
        (config.fleet.concurrency, config.fleet.queue) = (concurrency, queue);
        config.fleet.timeout = Span::millis(timeout);
        config.fleet.service = Distribution::Exponential { mean: Span::millis(service) };
        config
    });
    let claim = |(config, seed): (WorldConfig, u64)| {
        let made = requests(&config, 0, seed);
        let timeout = config.fleet.timeout;
        let stages = [(25, 0.3), (50, 0.6), (75, 1.0), (95, 0.4)];
        let story = with_stages(setup(config, latency_policy(), seed), &stages);
        let (_, ends) = run(&story, &mut models.borrow_mut());
        prop_assert_eq!(ends.len(), made.len());
        let distinct: BTreeSet<_> = ends.iter().collect_ids();
        prop_assert_eq!(distinct.len(), made.len());
        for end in &ends {
            prop_assert_eq!(end.arrived, made[end.request.ordinal as usize].0);
            let deadline = end.arrived + timeout;
            let fits = match end.outcome {
                Outcome::TimedOut => end.ended == deadline,
                Outcome::Unavailable => end.ended == end.arrived && end.replica.is_none(),
                _ => end.ended >= end.arrived && end.ended <= deadline && end.replica.is_some(),
            };
            prop_assert!(fits && end.score.is_nan() != end.outcome.is_answered(), "{end:?}");
            met.borrow_mut().insert(end.outcome);
        }
        Ok(())
    };
    let config = Config { cases: 60, failure_persistence: None, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    TestRunner::new_with_rng(config, rng).run(&(plants, 0..1000u64), claim).expect("holds");
    let all = [Outcome::Answered, Outcome::TimedOut, Outcome::Shed, Outcome::Unavailable, Outcome::Lost];
    assert_eq!(met.into_inner(), BTreeSet::from(all), "trouble shows in all its forms");
}
