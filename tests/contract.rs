//! One contract for both drivers: what holds of a run in virtual time holds of a run in real time, with real processes.
//!
//! Each check reads a trace and the ends of requests, and knows nothing of who made them. `planted_violations_are_caught` shows
//! that each can fail.

mod common;

use rollcage::campaign::lab::Lab;
use rollcage::digest::Digest;
use rollcage::event::{ActionEnd, Event, Health, Outcome, ReplicaState, RequestEnd};
use rollcage::id::{ActionId, ReplicaId, RequestId, VersionId};
use rollcage::live::{Options, run as run_live};
use rollcage::plan::{Plan, Vetting, load};
use rollcage::report::fold::RunRecord;
use rollcage::rng::Seed;
use rollcage::sim::{Results, Setup, Sim};
use rollcage::time::{SimTime, Span};
use rollcage::trace::Recorded;
use rollcage::world::config::Effect;
use rollcage::world::faults::Faults;
use rollcage::world::telemetry::{Scraped, Telemetry};
use rollcage::world::traffic::streams;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

const SEED: u64 = 3;

/// A run as either driver leaves it.
struct Run {
    plan: Plan,
    record: RunRecord,
    requests: Vec<RequestEnd>,
}

/// Twelve seconds, two replicas, 100 requests a second, a third of the scrapes lost; `fault` is the body of a `[[fault]]`.
fn plan(fault: &str) -> Plan {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let models = root.join("synthetic/models");
    let text = format!(
        r#"name = "contract"
policy  = "policy.toml"
horizon = "12s"
[objective]
latency  = {{ p99 = "50ms" }}
recovery = {{ window = "2s", requests = 50, margin = 0.05, latency_margin = 5.0, guard = "5s" }}
[models.v1]
artifact = "{models}/mlp-linear-v1.onnx"
[models.v2]
artifact = "{models}/mlp-linear-v2.onnx"
[fleet]
replicas     = 2
concurrency  = 4
timeout      = "400ms"
service_time = {{ kind = "constant", value = "1ms" }}
start        = {{ fetch = "50ms" }}
memory       = {{ base = "80MiB", per_request = "64KiB", limit = "4GiB" }}
[[traffic]]
source   = "synthetic"
normal   = {{ concept = "{models}/mlp-linear-v2.json" }}
arrivals = {{ kind = "poisson", rate = "100/s" }}
labels   = {{ delay = {{ kind = "constant", value = "500ms" }}, lost = 0.1 }}
[traffic.outcomes.click]
right = 0.5
wrong = 0.2
delay = {{ kind = "constant", value = "300ms" }}
[telemetry]
scrape = "500ms"
lag    = "10ms"
loss   = 0.3
[rollout]
from   = "v1"
to     = "v2"
stages = [ {{ at = "2s", weight = 0.5 }}, {{ at = "11s", weight = 1.0 }} ]
[[fault]]
at      = "5s"
harmful = true
curable_by_rollback = true
{fault}
"#,
        models = models.display()
    );
    let policy = r#"name = "contract"
[signals.errors]
kind   = "error-rate"
window = "2s"
[signals.latency]
kind     = "latency-quantile"
quantile = 0.5
window   = "2s"
[signals.accuracy]
kind   = "accuracy"
window = { labels = 100 }
min    = 60
[signals.clicks]
kind   = "outcome"
of     = "click"
window = "3s"
min    = 30
[signals.cpu]
kind   = "saturation"
of     = "cpu"
window = "2s"
[signals.memory]
kind   = "saturation"
of     = "memory"
window = "2s"
[signals.scores]
kind      = "psi"
of        = "score"
window    = "3s"
reference = { first = "1500ms" }
min       = 30
[signals.waits]
kind = "ewma"
of   = "latency"
mu0  = 0.01
sigma = 0.005
[[rule]]
when = "errors.lower > baseline.errors.upper"
then = "rollback"
[[rule]]
when = "latency.value > 2 * baseline.latency.value + 0.03"
then = "rollback"
[[rule]]
when = "accuracy.upper < baseline.accuracy.lower"
then = "rollback"
[revert]
how    = "at-once"
verify = { window = "2s", requests = 50 }
"#;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("s.toml"), text).expect("written");
    std::fs::write(folder.path().join("policy.toml"), policy).expect("written");
    let mut vet = |_: &[u8], _: &_| Ok(Vetting { vetted: true, rowwise: true });
    load(&folder.path().join("s.toml"), None, &mut vet).unwrap_or_else(|e| panic!("{e:#?}"))
}

fn simulated(plan: Plan) -> Run {
    let setup = Setup {
        world: Arc::new(plan.world.clone()),
        policy: Arc::new(plan.policy.clone()),
        rollout: Arc::new(plan.rollout.clone()),
        objective: Arc::new(plan.objective.clone()),
        names: Arc::new(plan.names.clone()),
        faults: vec![true; plan.world.faults.len()],
        seed: Seed(SEED),
        results: Results::default(),
        keep_requests: true,
    };
    let mut models = common::models();
    let (record, requests) = Sim::new(&setup, &mut models).expect("starts").finish(&mut models).expect("runs");
    Run { plan, record, requests }
}

fn live(plan: Plan) -> Run {
    let lab = Lab::open().expect("ONNX Runtime is found or fetched");
    let options = Options {
        seed: Seed(SEED),
        faults: vec![true; plan.world.faults.len()],
        keep_requests: true,
        exe: env!("CARGO_BIN_EXE_rollcage").into(),
        runtime: lab.located().path.clone(),
        start_limit: Span::secs(60),
        probes: None,
    };
    let done = run_live(&plan, &options, &mut |_, _| ()).expect("a live run");
    Run { plan, record: done.record, requests: done.requests }
}

// ---------------------------------------------------------------------------------------------------------------------
// The contract

type Findings = Vec<String>;

/// Each request that arrives ends, once, not before it came and not after its deadline.
fn each_request_ends_once(run: &Run) -> Findings {
    let mut found = Vec::new();
    let config = Arc::new(run.plan.world.clone());
    let faults = Faults::new(&config, &vec![true; config.faults.len()], Seed(SEED));
    let mut left: BTreeMap<RequestId, SimTime> = BTreeMap::new();
    for (source, (.., mut stream)) in streams(&faults, Seed(SEED)).into_iter().enumerate() {
        while let Some(block) = stream.next_block() {
            for (slot, &at) in block.arrived.iter().enumerate().filter(|(_, at)| **at != SimTime::NEVER) {
                let source = rollcage::id::SourceId(source as u16);
                left.insert(RequestId { source, ordinal: block.first + slot as u64, attempt: 0 }, at);
            }
        }
    }
    for end in &run.requests {
        match left.remove(&end.request) {
            Some(at) if at == end.arrived => {}
            Some(at) => found.push(format!("{:?} arrived at {at}, not at {}", end.request, end.arrived)),
            None => found.push(format!("{:?} ended twice, or never came", end.request)),
        }
        if end.ended < end.arrived || end.ended > end.arrived + config.fleet.timeout {
            found.push(format!("{:?} came at {} and ended at {}", end.request, end.arrived, end.ended));
        }
        if end.outcome.is_answered() == end.score.is_nan() {
            found.push(format!("{:?} is {:?} with score {}", end.request, end.outcome, end.score));
        }
    }
    found.extend(left.keys().map(|request| format!("{request:?} never ended")));
    found
}

/// Every order has exactly one end; nothing ends that was not ordered. Declared lost is only what was under way at the end.
fn orders_end_once(run: &Run) -> Findings {
    let mut ends: BTreeMap<ActionId, u32> = BTreeMap::new();
    let mut given: BTreeMap<ActionId, SimTime> = BTreeMap::new();
    let end = run.record.trace.end;
    let mut found = Vec::new();
    for fact in &run.record.trace.events {
        match &fact.event {
            Event::Ordered(order) => {
                ends.entry(order.id).or_default();
                given.insert(order.id, fact.at);
            }
            Event::OrderEnded(result)
                if result.end == ActionEnd::Lost
                    && given.get(&result.action).is_some_and(|at| *at + UNDER_WAY < end) =>
            {
                found.push(format!("order {} was lost, long before the end", result.action.0));
            }
            Event::OrderEnded(result) => match ends.get_mut(&result.action) {
                Some(n) => *n += 1,
                None => found.push(format!("order {} ended and was not given", result.action.0)),
            },
            _ => {}
        }
    }
    found.extend(ends.iter().filter(|(_, n)| **n != 1).map(|(id, n)| format!("order {} ended {n} times", id.0)));
    found
}

/// So long an order may be under way.
const UNDER_WAY: Span = Span::secs(2);

/// After *reverted* the replicas themselves answer with the target's digest, and no answer that began after it is by other bytes.
fn reverted_is_what_replicas_serve(run: &Run) -> Findings {
    let mut found = Vec::new();
    let mut served: Option<&Vec<(ReplicaId, VersionId, Digest)>> = None;
    for fact in &run.record.trace.events {
        match &fact.event {
            Event::Served { served: answer } => served = Some(answer),
            Event::RevertDone { to, digest, replicas } => {
                let promised = run.plan.world.versions[to.index()].artifact.promised;
                match served {
                    Some(all) if !all.is_empty() && all.iter().all(|(_, v, d)| v == to && *d == promised) => {}
                    other => found.push(format!("reverted at {}, and the replicas said {other:?}", fact.at)),
                }
                if *digest != promised || *replicas as usize != served.map_or(0, Vec::len) {
                    found.push(format!("reverted to {digest} on {replicas} replicas"));
                }
                let wrong =
                    |e: &&RequestEnd| e.arrived > fact.at && e.outcome.is_answered() && (e.version != *to || e.tainted);
                found.extend(
                    run.requests
                        .iter()
                        .filter(wrong)
                        .map(|e| format!("{:?} was answered by {:?}", e.request, e.version)),
                );
            }
            _ => {}
        }
    }
    found
}

/// A scrape that was lost leaves a gap, which begins where the last one that arrived was.
fn lost_telemetry_leaves_gaps(run: &Run) -> Findings {
    let config = &run.plan.world;
    let mut telemetry = Telemetry::new(config, Seed(SEED), false);
    // Not the one at the very end: what it brings comes after it.
    let scrapes = config.horizon.0 / config.telemetry.scrape.0 - 1;
    let nth = |n: u64| SimTime(config.telemetry.scrape.0 * n);
    let lost: Vec<SimTime> =
        (1..=scrapes).filter(|&n| matches!(telemetry.scrape(nth(n), n), Scraped::Lost(_))).map(nth).collect();
    let gaps: Vec<_> = run
        .record
        .trace
        .events
        .iter()
        .filter_map(|fact| match fact.event {
            Event::Gap(gap) if gap.replica.is_none() => Some(gap),
            _ => None,
        })
        .collect();
    let mut found = Vec::new();
    // In real time a scrape may fail that was not meant to; in virtual time none does.
    if !run.record.trace.is_live() && gaps.iter().filter(|gap| gap.to < config.horizon).count() != lost.len() {
        found.push(format!("{} scrapes were lost, and there are {} gaps", lost.len(), gaps.len()));
    }
    let near = |a: SimTime, b: SimTime| a.since(b).0.max(b.since(a).0) < config.telemetry.scrape.0 / 2;
    found.extend(gaps.iter().filter(|g| g.from >= g.to).map(|g| format!("a gap from {} to {}", g.from, g.to)));
    let unseen = lost.iter().filter(|at| !gaps.iter().any(|gap| near(gap.to, **at)));
    found.extend(unseen.map(|at| format!("the scrape at {at} was lost, and there is no gap")));
    found
}

/// Replicas that crashed or stopped answer nothing any more, and none answers before it is ready.
fn only_replicas_in_service_answer(run: &Run) -> Findings {
    let mut ready: BTreeMap<ReplicaId, SimTime> = BTreeMap::new();
    let mut gone: BTreeMap<ReplicaId, SimTime> = BTreeMap::new();
    for fact in &run.record.trace.events {
        if let Event::Replica(Health { replica, state, .. }) = fact.event {
            match state {
                ReplicaState::Ready => drop(ready.insert(replica, fact.at)),
                ReplicaState::Crashed | ReplicaState::Stopped => drop(gone.insert(replica, fact.at)),
                _ => {}
            }
        }
    }
    let wrong = |end: &&RequestEnd| {
        let Some(replica) = end.replica.filter(|_| end.outcome == Outcome::Answered) else { return false };
        ready.get(&replica).is_none_or(|at| end.arrived < *at && end.ended < *at)
            || gone.get(&replica).is_some_and(|at| end.arrived > *at)
    };
    run.requests
        .iter()
        .filter(wrong)
        .map(|e| format!("{:?} was answered by a replica out of service", e.request))
        .collect()
}

/// Every signal of the policy was measured of every version, with values that can be: telemetry carries what each needs.
fn every_signal_is_measured(run: &Run) -> Findings {
    let mut found = Vec::new();
    for (signal, config) in run.plan.policy.signals.iter().enumerate() {
        for version in [VersionId(0), VersionId(1)] {
            let values: Vec<f64> = (run.record.trace.events.iter())
                .filter_map(|fact| match &fact.event {
                    Event::Measured(m) if m.signal.index() == signal && m.version == version => {
                        m.values.first().copied()
                    }
                    _ => None,
                })
                .collect();
            // Shares and seconds are positive here, and none of the shares can be above 1.
            let wrong = |x: &&f64| !(**x >= 0.0 && **x <= 1.0) && config.name != "waits" && config.name != "scores";
            if values.is_empty()
                || values.iter().all(|x| *x == 0.0) && config.name != "errors" && config.name != "waits"
            {
                found.push(format!("`{}` of {version:?} is nowhere measured: {values:?}", config.name));
            }
            found.extend(values.iter().find(wrong).map(|x| format!("`{}` of {version:?} is {x}", config.name)));
        }
    }
    found
}

/// Facts come in order of time.
fn time_never_goes_back(run: &Run) -> Findings {
    let facts: &[Recorded] = &run.record.trace.events;
    let back = facts.windows(2).filter(|w| w[1].at < w[0].at || w[1].seq <= w[0].seq);
    back.map(|w| format!("{:?} comes after {:?}", w[1], w[0])).collect()
}

type Check = fn(&Run) -> Findings;

const CONTRACT: &[(&str, Check)] = &[
    ("each request ends once", each_request_ends_once),
    ("orders end once", orders_end_once),
    ("reverted is what replicas serve", reverted_is_what_replicas_serve),
    ("lost telemetry leaves gaps", lost_telemetry_leaves_gaps),
    ("only replicas in service answer", only_replicas_in_service_answer),
    ("every signal is measured", every_signal_is_measured),
    ("time never goes back", time_never_goes_back),
];

fn holds(run: &Run) {
    for (claim, check) in CONTRACT {
        let found = check(run);
        let shown: Vec<&String> = found.iter().take(5).collect();
        assert!(found.is_empty(), "{claim}: {} findings, {shown:#?}", found.len());
    }
}

/// Both drivers on one scenario. Both must come to a revert, or the contract would hold of nothing.
fn both(fault: &str) -> (Run, Run) {
    let (sim, live) = (simulated(plan(fault)), live(plan(fault)));
    assert!(live.record.trace.is_live() && !sim.record.trace.is_live());
    for run in [&sim, &live] {
        holds(run);
        let reverted = run.record.trace.events.iter().any(|f| matches!(f.event, Event::RevertDone { .. }));
        let who = if run.record.trace.is_live() { "live" } else { "simulated" };
        assert!(reverted, "the {who} run does not come to a revert");
    }
    // The same requests, rows, users, labels and instants of faults.
    assert_eq!(sim.record.trace.digests.exogenous, live.record.trace.digests.exogenous);
    (sim, live)
}

fn ends(run: &Run, outcome: Outcome) -> BTreeSet<RequestId> {
    run.requests.iter().filter(|e| e.outcome == outcome).map(|e| e.request).collect()
}

// ---------------------------------------------------------------------------------------------------------------------
// Both drivers, fault by fault

#[test]
fn weights_that_rot() {
    let fault = r#"kind = "weight-corruption"
artifact = "v2"
change   = { what = "sign-bit", share = 0.5, seed = 1 }
check    = "bypassed""#;
    let (sim, live) = both(fault);
    // The very bytes answer: a request that both answer by the same bytes has the same score.
    let scores = |run: &Run| -> BTreeMap<RequestId, (VersionId, bool, u32)> {
        let answered = run.requests.iter().filter(|e| e.outcome.is_answered());
        answered.map(|e| (e.request, (e.version, e.tainted, e.score.to_bits()))).collect()
    };
    let (sim, live) = (scores(&sim), scores(&live));
    let same: Vec<_> = live
        .iter()
        .filter_map(|(id, l)| sim.get(id).map(|s| (s, l)))
        .filter(|(s, l)| (s.0, s.1) == (l.0, l.1))
        .collect();
    assert!(same.len() > 800 && same.iter().filter(|(s, _)| s.1).count() > 20, "{} in common", same.len());
    // But for some units in the last place, which a row may owe to its batch: blocks of 2048 there, single rows here.
    let close = |(s, l): &(&(VersionId, bool, u32), &(VersionId, bool, u32))| s.2.abs_diff(l.2) <= 4;
    assert!(same.iter().all(close), "scores differ between drivers");
}

#[test]
fn replicas_that_become_slow() {
    let (sim, live) = both("kind = \"latency-spike\"\nversion = \"v2\"\nadd = \"100ms\"");
    for run in [&sim, &live] {
        let slow =
            run.requests.iter().filter(|e| e.outcome.is_answered() && e.ended.since(e.arrived).0 > 100_000_000).count();
        assert!(slow > 20, "{slow} slow answers");
    }
}

#[test]
fn a_replica_that_is_killed() {
    let (sim, live) = both("kind = \"replica-crash\"\nversion = \"v2\"\nreplicas = 1");
    for run in [&sim, &live] {
        let crashed = |f: &&Recorded| matches!(f.event, Event::Replica(h) if h.state == ReplicaState::Crashed);
        assert_eq!(run.record.trace.events.iter().filter(crashed).count(), 1);
        assert!(ends(run, Outcome::Unavailable).len() > 3, "nobody is there for the users of v2");
    }
}

#[test]
fn a_process_that_is_stopped() {
    let (sim, live) = both("kind = \"replica-stall\"\nversion = \"v2\"\nreplicas = 1\nduration = \"4s\"");
    for run in [&sim, &live] {
        assert!(ends(run, Outcome::TimedOut).len() > 20, "users of v2 give up");
    }
    // Who does not answer a scrape is missing in it, and is not taken for idle.
    for run in [&sim, &live] {
        let silent = |f: &&Recorded| matches!(f.event, Event::Gap(gap) if gap.replica.is_some());
        assert!(run.record.trace.events.iter().filter(silent).count() > 0);
    }
}

#[test]
fn a_network_that_is_cut() {
    let (sim, live) = both("kind = \"network-cut\"\nversion = \"v2\"\nreplicas = 1\nduration = \"4s\"");
    for run in [&sim, &live] {
        assert!(ends(run, Outcome::TimedOut).len() > 20, "users of v2 give up");
    }
}

#[test]
fn a_network_that_is_slow() {
    let (sim, live) = both("kind = \"network-delay\"\nversion = \"v2\"\nreplicas = 1\nadd = \"120ms\"");
    for run in [&sim, &live] {
        let slow =
            run.requests.iter().filter(|e| e.outcome.is_answered() && e.ended.since(e.arrived).0 > 120_000_000).count();
        assert!(slow > 20, "{slow} slow answers");
    }
}

/// The file rots at five seconds; the stage at eleven brings up a second replica of v2, which reads it.
#[test]
fn bytes_that_rot_on_the_disk_are_refused_by_a_check_and_served_without_one() {
    let fault = |check: &str| {
        plan(&format!(
            r#"kind = "weight-corruption"
artifact = "v2"
change   = {{ what = "sign-bit", share = 0.5, seed = 1 }}
check    = "{check}"
reach    = "disk""#
        ))
    };
    let rotten = |run: &Run| match &run.plan.world.faults[0].effect {
        Effect::CorruptWeights { corrupted, .. } => corrupted.digest,
        other => panic!("{other:?}"),
    };
    for run in [simulated(fault("enforced")), live(fault("enforced"))] {
        holds(&run);
        let refused = run.record.trace.events.iter().find_map(|f| match &f.event {
            Event::LoadFailed { version: VersionId(1), reason, .. } => Some(reason.clone()),
            _ => None,
        });
        let found = rotten(&run).to_string();
        assert!(refused.as_deref().is_some_and(|why| why.contains(&found)), "{refused:?}, {found}");
        assert!(run.requests.iter().all(|e| !e.tainted), "nobody is served by it");
    }
    for run in [simulated(fault("bypassed")), live(fault("bypassed"))] {
        holds(&run);
        let loaded = |f: &&Recorded| matches!(f.event, Event::Loaded { digest, .. } if digest == rotten(&run));
        let at = run.record.trace.events.iter().find(loaded).expect("the second replica of v2 loads what is there").at;
        let harmed: Vec<_> = run.requests.iter().filter(|e| e.tainted).collect();
        assert!(!harmed.is_empty() && harmed.iter().all(|e| e.ended >= at), "{} answers", harmed.len());
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// That the contract can fail

#[test]
fn planted_violations_are_caught() {
    let good = || simulated(plan("kind = \"replica-crash\"\nversion = \"v2\"\nreplicas = 1"));
    holds(&good());
    let caught = |claim: &str, break_it: &dyn Fn(&mut Run)| {
        let mut run = good();
        break_it(&mut run);
        let broken: Vec<&str> =
            CONTRACT.iter().filter(|(_, check)| !check(&run).is_empty()).map(|(name, _)| *name).collect();
        assert!(broken.contains(&claim), "`{claim}` is not among {broken:?}");
    };
    caught("each request ends once", &|run| {
        run.requests.pop();
    });
    caught("each request ends once", &|run| run.requests.push(run.requests[0]));
    caught("each request ends once", &|run| run.requests[5].ended = SimTime(0));
    let position = |run: &Run, is: fn(&Event) -> bool| {
        run.record.trace.events.iter().position(|f| is(&f.event)).expect("such a fact")
    };
    caught("orders end once", &|run| {
        let at = position(run, |e| matches!(e, Event::OrderEnded(_)));
        run.record.trace.events.remove(at);
    });
    caught("orders end once", &|run| {
        let at = position(run, |e| matches!(e, Event::OrderEnded(_)));
        let again = run.record.trace.events[at].clone();
        run.record.trace.events.push(again);
    });
    caught("orders end once", &|run| {
        let at = position(run, |e| matches!(e, Event::OrderEnded(_)));
        if let Event::OrderEnded(result) = &mut run.record.trace.events[at].event {
            result.end = ActionEnd::Lost;
        }
    });
    caught("reverted is what replicas serve", &|run| {
        for fact in &mut run.record.trace.events {
            if let Event::Served { served } = &mut fact.event {
                served[0].2 = Digest([0; 32]);
            }
        }
    });
    caught("reverted is what replicas serve", &|run| {
        let last = run.requests.iter_mut().rev().find(|e| e.outcome.is_answered()).expect("an answer");
        last.version = VersionId(1);
    });
    caught("lost telemetry leaves gaps", &|run| {
        let at = position(run, |e| matches!(e, Event::Gap(_)));
        run.record.trace.events.remove(at);
    });
    caught("only replicas in service answer", &|run| {
        let at = position(run, |e| matches!(e, Event::Replica(h) if h.state == ReplicaState::Crashed));
        let Event::Replica(health) = run.record.trace.events[at].event else { return };
        let last = run.requests.iter_mut().rev().find(|e| e.outcome.is_answered()).expect("an answer");
        last.replica = Some(health.replica);
    });
    for name in ["clicks", "cpu", "memory", "waits"] {
        caught("every signal is measured", &|run| {
            let signal = run.plan.policy.signals.iter().position(|s| s.name == name).expect("such a signal");
            let of =
                |e: &Event| matches!(e, Event::Measured(m) if m.signal.index() == signal && m.version == VersionId(1));
            run.record.trace.events.retain(|f| !of(&f.event));
        });
    }
    caught("time never goes back", &|run| run.record.trace.events.swap(3, 40));
}
