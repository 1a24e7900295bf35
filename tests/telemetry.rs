//! What telemetry carries, against the ends of requests: the router's log, outcomes, processor time and memory.

mod common;

use common::{NEW, OLD, Told, at, facts, fault, latency_policy, models, plant, run, setup, spike, with_stages, world};
use rollcage::control::config::PolicyConfig;
use rollcage::detect::rows::{Rows, Side};
use rollcage::event::{GaugeRow, Input, Metrics, Observations, Outcome, Outcomes, ReplicaState, RequestEnd};
use rollcage::id::{OutcomeId, ReplicaId, SourceId, VersionId};
use rollcage::rng::Seed;
use rollcage::sim::Setup;
use rollcage::time::{SimTime, Span};
use rollcage::world::config::{Effect, Fault, Memory, OutcomeConfig, WorldConfig};
use rollcage::world::distribution::{Amount, Distribution};
use rollcage::world::telemetry::{Scraped, Telemetry};
use rollcage::world::traffic::SourceStream;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const SEED: u64 = 5;
const SCRAPE: Span = Span::secs(5);

/// The fault until so many seconds into the trial.
fn until(second: u64, fault: Fault) -> Fault {
    Fault { until: Some(at(second)), ..fault }
}

/// Two minutes in which requests end in every way, answers travel, and at last nobody is left to answer.
fn eventful() -> WorldConfig {
    let mut config = world(250.0, Span::secs(120), 2);
    config.telemetry.scrape = SCRAPE;
    config.fleet.queue = 3;
    config.fleet.timeout = Span::millis(60);
    config.fleet.service = Distribution::lognormal(Span::millis(12), Span::millis(70));
    let (stall, cut) = (Effect::Stall { version: OLD, replicas: 1 }, Effect::Cut { version: OLD, replicas: 2 });
    let delay = Effect::Delay { version: OLD, replicas: 1, add: Span::millis(25) };
    let crash = |replicas| Effect::Crash { version: OLD, replicas, every: None };
    config.faults = vec![
        until(31, fault("stall", 28, stall)),
        until(52, fault("cut", 51, cut)),
        until(70, fault("delay", 55, delay)),
        until(80, fault("surge", 60, Effect::Surge { source: SourceId(0), factor: 1.3 })),
        fault("crash", 90, crash(1)),
        fault("end", 106, crash(2)),
    ];
    config
}

fn told(config: &WorldConfig) -> Told {
    plant(config.clone(), SEED, &mut models())
}

// ---------------------------------------------------------------------------------------------------------------------
// The log

/// What one scrape brought.
#[derive(Default)]
struct Scrape<'a> {
    log: Vec<&'a Observations>,
    outcomes: Vec<&'a Outcomes>,
    metrics: Option<&'a Metrics>,
}

fn scrapes(told: &Told) -> BTreeMap<SimTime, Scrape<'_>> {
    let mut all: BTreeMap<SimTime, Scrape<'_>> = BTreeMap::new();
    for (_, input) in &told.inputs {
        match input {
            Input::Observations(batch) => all.entry(batch.scraped_at).or_default().log.push(batch),
            Input::Outcomes(batch) => all.entry(batch.scraped_at).or_default().outcomes.push(batch),
            Input::Metrics(metrics) => all.entry(metrics.scraped_at).or_default().metrics = Some(metrics),
            _ => {}
        }
    }
    all
}

/// Why a log is not that of these ends.
fn wrong_log(log: &Observations, ends: &BTreeMap<(SourceId, u64), &RequestEnd>) -> Option<String> {
    let rows = log.ordinals.len();
    let lengths = [log.ended.len(), log.latency.len(), log.segments.len(), log.scores.len()];
    if lengths.iter().chain(log.features.iter().map(Vec::len).collect::<Vec<_>>().iter()).any(|&n| n != rows) {
        return Some(format!("columns of other lengths than {rows}: {lengths:?}"));
    }
    if log.features.len() != if rows == 0 { 0 } else { 16 } {
        return Some(format!("{} features of {rows} rows", log.features.len()));
    }
    let keys: Vec<(SimTime, u64)> = log.ended.iter().copied().zip(log.ordinals.iter().copied()).collect();
    if !keys.is_sorted() || !log.unanswered.is_sorted() {
        return Some("not in order of time".to_owned());
    }
    for (row, ordinal) in log.ordinals.iter().enumerate() {
        let end = ends[&(log.source, *ordinal)];
        let of_end = (end.version, end.ended, end.ended.since(end.arrived), end.segment, end.score.to_bits());
        let of_row = (log.version, log.ended[row], log.latency[row], log.segments[row], log.scores[row].to_bits());
        if of_end != of_row || !end.outcome.is_answered() {
            return Some(format!("row {row} is not {end:?}"));
        }
    }
    None
}

/// Requests of a version that ended by now.
fn counted(metrics: &Metrics) -> BTreeMap<VersionId, (u64, u64)> {
    let mut all: BTreeMap<VersionId, (u64, u64)> = BTreeMap::new();
    for row in &metrics.rows {
        let of = all.entry(row.version).or_default();
        let answered = row.ended[Outcome::Answered as usize];
        (of.0, of.1) = (of.0 + answered, of.1 + row.ended.iter().sum::<u64>() - answered);
    }
    all
}

#[test]
fn each_log_is_what_ended_since_the_scrape_before_and_counters_agree() {
    let told = told(&eventful());
    let ends: BTreeMap<(SourceId, u64), &RequestEnd> =
        told.ends.iter().map(|e| ((e.request.source, e.request.ordinal), e)).collect();
    let (mut before, mut met, mut without_rows, mut seen) = (BTreeMap::new(), BTreeSet::new(), 0, 0);
    for (at, scrape) in scrapes(&told) {
        let mut logged: BTreeMap<VersionId, (u64, u64)> = BTreeMap::new();
        for log in &scrape.log {
            assert_eq!(wrong_log(log, &ends), None, "at {at}");
            assert!(!log.ordinals.is_empty() || !log.unanswered.is_empty(), "a log of nothing");
            let ended = |e: &&RequestEnd| e.ended <= at && (e.request.source, e.version) == (log.source, log.version);
            let here: Vec<&RequestEnd> = told.ends.iter().filter(ended).collect();
            let mut silent: Vec<SimTime> = here.iter().filter(|e| !e.outcome.is_answered()).map(|e| e.ended).collect();
            silent.sort();
            assert_eq!(&silent[silent.len() - log.unanswered.len()..], log.unanswered, "at {at}");
            here.iter().for_each(|e| _ = met.insert(e.outcome));
            let of = logged.entry(log.version).or_default();
            (of.0, of.1) = (of.0 + log.ordinals.len() as u64, of.1 + log.unanswered.len() as u64);
            without_rows += u32::from(log.ordinals.is_empty());
            seen += log.ordinals.len() + log.unanswered.len();
        }
        let now = counted(scrape.metrics.expect("metrics come with every scrape"));
        for (&version, &(answered, unanswered)) in &now {
            let (a, u) = before.insert(version, (answered, unanswered)).unwrap_or_default();
            let found = logged.get(&version).copied().unwrap_or_default();
            assert_eq!(found, (answered - a, unanswered - u), "{version:?} at {at}");
        }
    }
    assert!(met.len() >= 5, "requests end in many ways: {met:?}");
    assert!(without_rows >= 2, "nobody is left to answer at the end: {without_rows}");
    assert!(told.ends.iter().any(|e| e.request.source == SourceId(1)), "a surge is a source of its own");
    assert_eq!(seen, told.ends.iter().filter(|e| e.ended <= at(120)).count());
}

#[test]
fn a_log_that_says_something_else_is_noticed() {
    let told = told(&eventful());
    let ends: BTreeMap<(SourceId, u64), &RequestEnd> =
        told.ends.iter().map(|e| ((e.request.source, e.request.ordinal), e)).collect();
    let good = scrapes(&told)[&at(60)].log[0];
    let wrong = |change: &dyn Fn(&mut Observations)| {
        let mut log = good.clone();
        change(&mut log);
        wrong_log(&log, &ends)
    };
    assert_eq!(wrong(&|_| ()), None);
    assert!(wrong(&|log| log.latency[7] = log.latency[7] + Span(1)).is_some());
    assert!(wrong(&|log| log.ended.swap(0, 9)).is_some());
    assert!(wrong(&|log| log.unanswered.reverse()).is_some());
    assert!(wrong(&|log| _ = log.latency.pop()).is_some());
    assert!(wrong(&|log| log.features.clear()).is_some());
}

#[test]
fn a_log_without_rows_changes_no_window() {
    let told = told(&eventful());
    let all = scrapes(&told);
    let batch = all[&at(60)].log[0];
    let empty = Observations {
        scraped_at: at(65),
        ordinals: Vec::new(),
        ended: Vec::new(),
        latency: Vec::new(),
        segments: Vec::new(),
        scores: Vec::new(),
        features: Vec::new(),
        ..batch.clone()
    };
    for wanted in [vec![true; 17], [vec![false; 16], vec![true]].concat()] {
        let (joint, reference) = (vec![false; wanted.len()], Span::secs(2));
        let mut rows = Rows::new(wanted, joint, true, Span::secs(60), &[reference], vec![reference]);
        rows.take(batch);
        let before = rows.clone();
        rows.take(&empty);
        assert!(rows == before, "nobody got an answer, and that is no row");
        assert_eq!(rows.extent(Side::Recent(OLD, Span::secs(60)), &(0..17), at(65)).0, batch.ordinals.len());
        rows.take(&Observations { scraped_at: at(65), ..batch.clone() });
        assert!(rows != before, "another one with rows changes them");
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Outcomes

const RIGHT: f64 = 0.3;
const WRONG: f64 = 0.12;
const FAILED: f64 = 0.04;

fn outcome(name: &str, id: u16) -> OutcomeConfig {
    OutcomeConfig {
        id: OutcomeId(id),
        name: name.to_owned(),
        right: RIGHT,
        wrong: WRONG,
        failed: FAILED,
        threshold: 0.5,
        amount: None,
        delay: Distribution::Constant(Span::secs(7)),
    }
}

/// Requests that are answered rightly, wrongly and not at all, and what follows.
fn shop() -> WorldConfig {
    let mut config = world(100.0, Span::secs(400), 1);
    config.fleet.queue = 1;
    config.fleet.service = Distribution::Exponential { mean: Span::millis(15) };
    config.faults = vec![until(200, fault("surge", 100, Effect::Surge { source: SourceId(0), factor: 1.4 }))];
    config.sources[0].outcomes = vec![
        outcome("conversion", 0),
        OutcomeConfig { amount: Some(Amount::lognormal(40.0, 400.0)), ..outcome("revenue", 1) },
    ];
    config
}

/// How a request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Answer {
    Right,
    Wrong,
    Failed,
}

fn answer(end: &RequestEnd) -> Answer {
    match end.outcome {
        Outcome::Answered if (end.score >= 0.5) == (end.truth >= 0.5) => Answer::Right,
        Outcome::Answered => Answer::Wrong,
        _ => Answer::Failed,
    }
}

type Request = (SourceId, u64);

/// The value of every outcome of every request: what a pipeline tells that both drivers have, when these ends are counted. All
/// delays must be the same, so that rows come in the order of ends.
fn values(config: &WorldConfig, seed: u64, ends: &[RequestEnd]) -> BTreeMap<(Request, OutcomeId), f32> {
    let mut telemetry = Telemetry::new(config, Seed(seed), false);
    ends.iter().for_each(|end| telemetry.count(end));
    let Scraped::Read(inputs) = telemetry.scrape(at(100_000), 1_000_000) else { panic!("none is lost") };
    let mut all = BTreeMap::new();
    for input in &inputs {
        let Input::Outcomes(batch) = input else { continue };
        let mut here: Vec<&RequestEnd> =
            ends.iter().filter(|e| (e.request.source, e.version) == (batch.source, batch.version)).collect();
        here.sort_by_key(|e| (e.ended, e.request.ordinal));
        assert_eq!(here.iter().map(|e| e.ended).collect::<Vec<_>>(), batch.ended, "each request, once");
        assert_eq!(here.iter().map(|e| e.segment).collect::<Vec<_>>(), batch.segments);
        for (end, value) in here.iter().zip(&batch.values) {
            let request = (end.request.source, end.request.ordinal);
            assert_eq!(all.insert((request, batch.outcome), *value), None, "one batch for each outcome and version");
        }
    }
    all
}

/// The chances, exactly, that at most and at least `k` of `n` with chance `p` happen.
fn tails(n: u64, k: u64, p: f64) -> (f64, f64) {
    let (n_f, choose) =
        (n as f64, |i: f64| libm::lgamma(n as f64 + 1.0) - libm::lgamma(i + 1.0) - libm::lgamma(n as f64 - i + 1.0));
    let mass = |i: u64| {
        let i = i as f64;
        libm::exp(choose(i) + i * libm::log(p) + (n_f - i) * libm::log1p(-p))
    };
    ((0..=k).map(mass).sum(), (k..=n).map(mass).sum())
}

#[track_caller]
fn plausible(what: &str, n: u64, k: u64, p: f64) {
    let (below, above) = tails(n, k, p);
    assert!(n > 500 && below > 1e-4 && above > 1e-4, "{what}: {k} of {n} with chance {p}: {below:.1e}, {above:.1e}");
}

#[test]
fn outcomes_happen_with_the_chances_that_were_declared() {
    let config = shop();
    let told = told(&config);
    let values = values(&config, SEED, &told.ends);
    assert_eq!(values.len(), 2 * told.ends.len());
    for (id, answered, p) in [0, 1]
        .into_iter()
        .flat_map(|id| [(id, Answer::Right, RIGHT), (id, Answer::Wrong, WRONG), (id, Answer::Failed, FAILED)])
    {
        let of = told.ends.iter().filter(|end| answer(end) == answered);
        let happened: Vec<bool> =
            of.map(|e| values[&((e.request.source, e.request.ordinal), OutcomeId(id))] != 0.0).collect();
        let k = happened.iter().filter(|h| **h).count() as u64;
        plausible(&format!("outcome {id} of {answered:?}"), happened.len() as u64, k, p);
    }
    // Bounds that another chance does not meet.
    let (n, k) = (told.ends.len() as u64, values.values().filter(|v| **v != 0.0).count() as u64 / 2);
    assert!(tails(n, k, 0.5).0 < 1e-9);
    // Two outcomes of one request have nothing to do with each other.
    let value = |r: Request, id: u16| values[&(r, OutcomeId(id))] != 0.0;
    let right: Vec<Request> = told
        .ends
        .iter()
        .filter(|e| answer(e) == Answer::Right)
        .map(|e| (e.request.source, e.request.ordinal))
        .collect();
    let both = right.iter().filter(|&&r| value(r, 0) && value(r, 1)).count() as u64;
    plausible("both", right.len() as u64, both, RIGHT * RIGHT);
    // Nor have requests with one ordinal in two sources.
    let surge: Vec<u64> = right.iter().filter(|r| r.0 == SourceId(1)).map(|r| r.1).collect();
    let twins: Vec<u64> = surge.into_iter().filter(|&o| right.contains(&(SourceId(0), o))).collect();
    let both = twins.iter().filter(|&&o| value((SourceId(0), o), 0) && value((SourceId(1), o), 0)).count() as u64;
    plausible("twins", twins.len() as u64, both, RIGHT * RIGHT);
}

#[test]
fn an_outcome_is_one_or_its_amount() {
    let config = shop();
    let values = values(&config, SEED, &told(&config).ends);
    let of = |id: u16| values.iter().filter(move |((_, o), _)| *o == OutcomeId(id)).map(|(_, &v)| v);
    assert!(of(0).all(|v| v == 0.0 || v == 1.0));
    let amounts: Vec<f32> = of(1).filter(|v| *v != 0.0).collect();
    assert!(amounts.iter().all(|v| *v > 0.0 && v.is_finite()));
    let (n, above) = (amounts.len() as u64, |limit: f32| amounts.iter().filter(|v| **v > limit).count() as u64);
    plausible("above the median", n, above(40.0), 0.5);
    plausible("above the 99th percentile", n, above(400.0), 0.01);
    for law in [Amount::Constant(-3.5), Amount::Normal { mean: -3.5, sd: 1e-9 }, Amount::lognormal(1e-300, 1e300)] {
        for u in [1e-9, 0.5, 1.0 - 1e-9] {
            assert!(law.at(u).is_finite() && law.at(u) != 0.0, "{law:?} at {u}");
        }
    }
    assert_eq!(Amount::Constant(-3.5).at(0.1), -3.5);
    assert!((Amount::Normal { mean: 10.0, sd: 2.0 }.at(0.841_344_746) - 12.0).abs() < 1e-5, "one sd above the mean");
}

#[test]
fn a_request_that_is_answered_alike_does_alike_under_any_policy() {
    let mut config = shop();
    config.faults.push(spike(130));
    config.fleet.standby = vec![(NEW, 2)];
    let story = |policy: PolicyConfig, replicas: u32| {
        let mut config = config.clone();
        config.fleet.replicas = replicas;
        with_stages(setup(config, policy, SEED), &[(60, 0.5)])
    };
    let ends = |setup: &Setup| run(setup, &mut models()).1;
    let (hold, reverts) = (ends(&story(PolicyConfig::hold(), 1)), ends(&story(latency_policy(), 3)));
    assert!(!hold.iter().map(facts).eq(reverts.iter().map(facts)), "two stories");
    let (a, b) = (values(&config, SEED, &hold), values(&config, SEED, &reverts));
    let answers = |ends: &[RequestEnd]| -> BTreeMap<Request, (Answer, VersionId)> {
        ends.iter().map(|e| ((e.request.source, e.request.ordinal), (answer(e), e.version))).collect()
    };
    let (answers_a, answers_b) = (answers(&hold), answers(&reverts));
    let (mut alike, mut across, mut lost) = (0, 0, 0);
    for ((request, id), &value) in &a {
        let ((as_a, version_a), (as_b, version_b)) = (answers_a[request], answers_b[request]);
        let other = b[&(*request, *id)];
        if as_a == as_b {
            assert_eq!(value, other, "{request:?} is {as_a:?} in both");
            alike += 1;
            across += u32::from(version_a != version_b);
        } else {
            // One uniform, two thresholds: whoever does it after the worse answer does it after the better one, by as much.
            let (better, worse) = if as_a < as_b { (value, other) } else { (other, value) };
            assert!(worse == 0.0 || worse == better, "{request:?}: {worse} when worse, {better} when better");
            lost += u32::from(worse != better);
        }
    }
    assert!(alike > 10_000 && across > 1000 && lost > 100, "{alike}, {across}, {lost}");
    assert!(values(&config, SEED + 1, &hold) != a, "another seed is other luck");
}

#[test]
fn truth_that_nobody_knows_counts_as_right() {
    let config = shop();
    let mut ends = told(&config).ends;
    ends.retain(|e| e.outcome.is_answered());
    let known = values(&config, SEED, &ends);
    ends.iter_mut().for_each(|e| e.truth = f32::NAN);
    let unknown = values(&config, SEED, &ends);
    ends.iter_mut().for_each(|e| e.truth = if e.score >= 0.5 { 1.0 } else { 0.0 });
    assert!(unknown == values(&config, SEED, &ends) && unknown != known);
    // Of no class at all: wrong, whatever the truth.
    ends.iter_mut().for_each(|e| (e.score, e.truth) = (f32::NAN, 0.0));
    let nan = values(&config, SEED, &ends);
    ends.iter_mut().for_each(|e| (e.score, e.truth) = (0.9, 0.0));
    assert!(nan == values(&config, SEED, &ends) && nan != unknown);
}

/// The outcomes of each scrape, one after another, by (source, outcome, version).
type Known = BTreeMap<(SourceId, OutcomeId, VersionId), Vec<(SimTime, SimTime, u32)>>;

fn known(told: &Told) -> Known {
    let mut all = Known::new();
    for (seen, input) in &told.inputs {
        let Input::Outcomes(batch) = input else { continue };
        assert_eq!(*seen, batch.scraped_at + Span::secs(2), "a lag later");
        assert!(!batch.values.is_empty());
        let rows = batch.ended.iter().zip(&batch.values).map(|(&t, v)| (batch.scraped_at, t, v.to_bits()));
        all.entry((batch.source, batch.outcome, batch.version)).or_default().extend(rows);
    }
    all
}

#[test]
fn outcomes_come_when_they_are_known_and_after_a_lost_scrape_with_the_next() {
    let mut config = shop();
    config.sources[0].outcomes[1].delay = Distribution::lognormal(Span::secs(20), Span::secs(200));
    let full = told(&config);
    config.telemetry.loss = 0.4;
    let lossy = told(&config);
    let arrived: BTreeSet<SimTime> =
        scrapes(&lossy).into_iter().filter(|(_, s)| s.metrics.is_some()).map(|s| s.0).collect();
    assert!(arrived.len() < 22, "{} of 26", arrived.len());
    let (full, lossy) = (known(&full), known(&lossy));
    assert_eq!(full.len(), 4, "two sources, two outcomes");
    for (key, rows) in &full {
        let later =
            |&(scrape, ended, value): &(SimTime, SimTime, u32)| Some((*arrived.range(scrape..).next()?, ended, value));
        let expected: Vec<_> = rows.iter().filter_map(later).collect();
        assert_eq!(lossy[key], expected, "the same rows, in the same order, later");
        if key.1 == OutcomeId(0) {
            // Known after 7 s: with the first scrape from then on.
            assert!(
                rows.iter().all(|(s, ended, _)| s.0 == (*ended + Span::secs(7)).0.next_multiple_of(Span::secs(15).0))
            );
        } else {
            let waits: Vec<Span> = rows.iter().map(|(s, ended, _)| s.since(*ended)).collect();
            let short = waits.iter().filter(|w| **w <= Span::secs(20)).count();
            assert!(waits.iter().all(|w| *w > Span::ZERO) && short * 10 > waits.len(), "some are known soon");
            assert!(waits.iter().any(|w| *w > Span::secs(100)), "and some late");
        }
    }
}

#[test]
fn who_declares_outcomes_changes_nothing_else() {
    let with = shop();
    let mut without = with.clone();
    without.sources[0].outcomes.clear();
    let digests = |config: WorldConfig| run(&setup(config, latency_policy(), SEED), &mut models()).0.trace.digests;
    assert_eq!(digests(with.clone()), digests(without.clone()));
    let (with, without) = (told(&with), told(&without));
    let rest = |told: Told| -> Vec<(SimTime, Input)> {
        told.inputs.into_iter().filter(|(_, input)| !matches!(input, Input::Outcomes(_))).collect()
    };
    assert!(without.inputs.iter().all(|(_, input)| !matches!(input, Input::Outcomes(_))));
    assert!(rest(with) == rest(without));
}

// ---------------------------------------------------------------------------------------------------------------------
// Processor time and memory

/// When a replica worked on what: (from, until), found from what it was given, apart from the plant.
fn uses(
    config: &WorldConfig,
    ends: &[RequestEnd],
    id: ReplicaId,
    stall: (SimTime, SimTime),
    gone: SimTime,
) -> Vec<(SimTime, SimTime)> {
    let source = Arc::new(config.sources[0].clone());
    let mut stream = SourceStream::declared(source, SourceId(0), config.horizon, &[], Seed(SEED));
    let mut luck = Vec::new();
    while let Some(block) = stream.next_block() {
        luck.extend(block.service);
    }
    let mut given: Vec<&RequestEnd> =
        ends.iter().filter(|e| e.replica == Some(id) && e.outcome != Outcome::Shed).collect();
    given.sort_by_key(|e| e.request.ordinal);
    let mut free = vec![SimTime::ZERO; config.fleet.concurrency as usize];
    let mut uses = Vec::new();
    for end in given {
        let slot = free.iter_mut().min().expect("slots");
        let mut from = end.arrived.max(*slot);
        if from >= stall.0 && from < stall.1 {
            from = stall.1;
        }
        if from >= end.arrived + config.fleet.timeout || from >= gone {
            continue;
        }
        let mut until = from + config.fleet.service.at(luck[end.request.ordinal as usize]);
        if from < stall.0 && until > stall.0 {
            until = until + stall.1.since(stall.0);
        }
        *slot = until;
        uses.push((from, until.min(gone)));
    }
    uses
}

/// How long these uses lasted by now, without the time in which the process stood still.
fn worked(uses: &[(SimTime, SimTime)], stall: (SimTime, SimTime), now: SimTime) -> Span {
    let overlap = |(a, b): (SimTime, SimTime), (c, d): (SimTime, SimTime)| b.min(d).since(a.max(c));
    let so_far = (SimTime::ZERO, now);
    uses.iter().fold(Span::ZERO, |sum, &(from, until)| {
        let until = until.min(now);
        sum + (overlap((from, until), so_far) - overlap((from, until), stall))
    })
}

#[test]
fn processor_time_is_the_time_that_slots_worked() {
    let mut config = eventful();
    config.faults.retain(|f| ["stall", "crash"].contains(&f.name.as_str()));
    config.faults[0].until = Some(at(31) + Span::millis(300));
    let told = told(&config);
    let never = (SimTime::NEVER, SimTime::NEVER);
    let lives = [(ReplicaId(0), (at(28), at(31) + Span::millis(300)), at(90)), (ReplicaId(1), never, SimTime::NEVER)];
    let abandoned = told.ends.iter().filter(|e| e.outcome == Outcome::TimedOut).count();
    assert!(abandoned > 100, "work goes on when users give up");
    for (id, stall, gone) in lives {
        let uses = uses(&config, &told.ends, id, stall, gone);
        let mut seen = 0;
        for (now, scrape) in scrapes(&told) {
            let gauges = &scrape.metrics.expect("metrics").gauges;
            let Some(gauge) = gauges.iter().find(|g| g.replica == id) else {
                assert!(now >= stall.0 && now < stall.1, "only who stands still is not read: {now}");
                continue;
            };
            assert_eq!(gauge.cpu, worked(&uses, stall, now), "{id:?} at {now}");
            seen += 1;
        }
        assert!(seen >= 23);
        let busy = worked(&uses, stall, at(120)).as_secs_f64();
        assert!(busy > 100.0 && busy < 240.0, "{busy} s of two slots over two minutes");
    }
}

#[test]
fn memory_is_what_was_declared_of_what_a_replica_holds() {
    let mut config = eventful();
    let memory = Memory { base: 200 << 20, per_request: 1 << 20, limit: Some(1 << 30) };
    config.fleet.memory = Some(memory);
    let model = config.versions[0].artifact.bytes.len() as u64;
    let told = told(&config);
    let gauges = |told: &Told| -> Vec<GaugeRow> {
        scrapes(told).into_values().flat_map(|s| s.metrics.expect("metrics").gauges.clone()).collect()
    };
    let mut held = BTreeSet::new();
    for gauge in gauges(&told) {
        let requests = u64::from(gauge.queued + gauge.in_flight);
        let expected = match gauge.state {
            ReplicaState::Crashed => 0,
            _ => memory.base + model + memory.per_request * requests,
        };
        assert_eq!(gauge.memory, expected, "{gauge:?}");
        held.insert((gauge.state, requests));
    }
    assert!(held.len() >= 4, "{held:?}");
    let capacity = scrapes(&told)[&at(60)].metrics.expect("metrics").capacity;
    assert_eq!((capacity.concurrency, capacity.queue, capacity.memory), (2, 3, Some(1 << 30)));
    config.fleet.memory = None;
    let untold = common::plant(config, SEED, &mut models());
    assert!(gauges(&untold).iter().all(|gauge| gauge.memory == 0));
    assert_eq!(scrapes(&untold)[&at(60)].metrics.expect("metrics").capacity.memory, None);
}
