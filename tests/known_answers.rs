//! Answers known in closed form, and planted defects: each check here holds for the lab and fails for a lab with the defect.

mod common;

use common::{
    NEW, at, fault, latency_policy, mlp, models, plan, policy, rule, run, setup, spike, times, with_stages, world,
};
use rollcage::campaign::{Trial, fault_facts, trial};
use rollcage::control::config::{Comparison, PolicyConfig};
use rollcage::detect::config::{Columns, Reference, SignalConfig, SignalKind};
use rollcage::detect::two_sample::{Ks, Psi, Test};
use rollcage::event::{Decided, Event, RuleFired, Verdict, Weight};
use rollcage::id::{RuleId, SourceId};
use rollcage::report::aggregate::{Aggregate, TrialFigures, aggregate};
use rollcage::report::assess::assess;
use rollcage::report::fold::RunRecord;
use rollcage::report::incident::{References, Runs, Twin};
use rollcage::report::trial::{Incident, Outcome};
use rollcage::sim::{Setup, Sim};
use rollcage::time::{SimTime, Span};
use rollcage::trace::Recorded;
use rollcage::world::config::{Effect, Telemetry, WorldConfig};
use rollcage::world::plant::World;
use rollcage::world::predictions::Predictions;
use std::sync::Arc;

const SCRAPE: u64 = 15;
const LAG: u64 = 2;
/// The one stage of all rollouts here; at the same second telemetry is read, and the first look follows a lag later.
const STAGE: u64 = 60;

/// Fails unless `measured` lies within 4 standard errors of `expected`.
fn within(what: &str, measured: f64, expected: f64, error: f64) -> Result<(), String> {
    println!("{what}: expected {expected:.4}, measured {measured:.4}, standard error {error:.4}");
    let near = (measured - expected).abs() <= 4.0 * error + 1e-9;
    if near { Ok(()) } else { Err(format!("{what}: {measured} is not {expected} ± 4·{error}")) }
}

/// Fails unless a share of `of` cases is that of a binomial with this probability.
fn share(what: &str, count: usize, of: usize, p: f64) -> Result<(), String> {
    within(what, count as f64 / of as f64, p, (p * (1.0 - p) / of as f64).sqrt())
}

/// Probability that none of `n` throws shows heads.
fn tails(p: f64, n: u64) -> f64 {
    (1.0 - p).powi(n as i32)
}

fn coin(p: f64) -> PolicyConfig {
    policy(vec![("coin", SignalKind::Coin { share: p })], vec![rule("heads", 0, Comparison::Greater, 0.5)])
}

/// A plant that costs nothing: five requests a second on one replica.
fn cheap(horizon: u64) -> WorldConfig {
    let mut config = world(5.0, Span::secs(horizon), 1);
    config.telemetry = Telemetry { scrape: Span::secs(SCRAPE), lag: Span::secs(LAG), loss: 0.0 };
    config
}

fn story(config: WorldConfig, policy: PolicyConfig, seed: u64) -> Setup {
    with_stages(setup(config, policy, seed), &[(STAGE, 1.0)])
}

fn trials(config: &WorldConfig, policy: &PolicyConfig, seeds: std::ops::Range<u64>) -> Vec<Trial> {
    let mut models = models();
    let plan = plan(&story(config.clone(), policy.clone(), 0));
    seeds.map(|seed| trial(&plan, seed, false, &mut models).expect("runs")).collect()
}

fn figures(trials: &[Trial]) -> Vec<TrialFigures> {
    trials.iter().map(|t| TrialFigures::from(&t.report)).collect()
}

// ---------------------------------------------------------------------------------------------------------------------
// A policy that reverts by coin

#[test]
fn a_coin_reverts_after_geometric_delays() {
    const P: f64 = 0.1;
    const RUNS: usize = 500;
    // Looks at 62, 77 … 587 s; the one at 602 s is beyond the horizon.
    const LOOKS: u64 = 36;
    let mut models = models();
    let delays: Vec<Option<u64>> = (0..RUNS as u64)
        .map(|seed| {
            let story = story(WorldConfig { horizon: at(600), ..cheap(600) }, coin(P), seed);
            let record = Sim::new(&story, &mut models).expect("starts").finish(&mut models).expect("runs").0;
            let decided = times(&record.trace.events, common::is_rollback);
            assert!(decided.len() <= 1, "once reverted there is nothing left to revert");
            decided.first().map(|t| {
                let since = t.since(at(STAGE + LAG)).0;
                assert_eq!(since % Span::secs(SCRAPE).0, 0, "decisions are taken at looks");
                since / Span::secs(SCRAPE).0
            })
        })
        .collect();
    // E[min(delay, LOOKS)] and its variance, by summing the distribution.
    let weight = |i: u64| if i < LOOKS { tails(P, i) * P } else { tails(P, LOOKS) };
    let moment = |k: i32| (0..=LOOKS).map(|i| weight(i) * (i as f64).powi(k)).sum::<f64>();
    let closed = (1.0 - P) * (1.0 - tails(P, LOOKS)) / P;
    assert!((moment(1) - closed).abs() < 1e-9, "the sum is the closed form");
    let error = ((moment(2) - closed * closed) / RUNS as f64).sqrt();
    let mean = delays.iter().map(|d| d.unwrap_or(LOOKS) as f64).sum::<f64>() / RUNS as f64;
    within("mean delay in looks", mean, closed, error).expect("geometric");
    for n in [1, 2, 5, 10, 20, LOOKS] {
        let reverted = delays.iter().filter(|d| d.is_some_and(|d| d < n)).count();
        share(&format!("reverted within {n} looks"), reverted, RUNS, 1.0 - tails(P, n)).expect("geometric");
    }
}

/// Between two looks: after the scrape at 180 s was looked at.
const FAULT: u64 = 185;
/// Looks at 62, 77 … 182 s.
const LOOKS_BEFORE: u64 = 9;

#[test]
fn a_coin_gets_no_credit_for_a_fault_it_does_not_see() {
    const P: f64 = 0.05;
    const TRIALS: u64 = 250;
    const LOOKS: u64 = 24;
    let mut config = cheap(420);
    config.faults = vec![spike(FAULT)];
    let done = trials(&config, &coin(P), 0..TRIALS);
    let count = |of: &dyn Fn(&Trial) -> bool| done.iter().filter(|t| of(t)).count();
    let outcome = |o: Outcome| count(&|t| t.report.outcome == o);
    let n = TRIALS as usize;
    let before = 1.0 - tails(P, LOOKS_BEFORE);
    share("false rollback", outcome(Outcome::FalseRollback), n, before).expect("closed form");
    share("missed", outcome(Outcome::Missed), n, 1.0 - before).expect("closed form");
    let after = tails(P, LOOKS_BEFORE) * (1.0 - tails(P, LOOKS - LOOKS_BEFORE));
    let incident = |t: &Trial| t.report.incidents[0].clone();
    share("coincident", count(&|t| incident(t).coincident), n, after).expect("closed form");
    assert_eq!(count(&|t| incident(t).detected.is_some()), 0, "a coin sees nothing");
    let sum = aggregate(&figures(&done));
    // A rollback at the last look before the fault is too late: the old version takes 8 s to start.
    share("hurt", sum.mttd.n as usize, n, tails(P, LOOKS_BEFORE - 1)).expect("closed form");
    assert_eq!(sum.mttd.censored, sum.mttd.n, "never detected is censored, not dropped");
    assert_eq!((sum.recall.count, sum.recall.of), (0, sum.mttd.n));
    assert_eq!(sum.preempted as usize, outcome(Outcome::FalseRollback));
    let rollbacks = before + after;
    share("rollbacks", sum.precision.of as usize, n, rollbacks).expect("closed form");
    share("precision", sum.precision.count as usize, sum.precision.of as usize, after / rollbacks)
        .expect("closed form");
}

#[test]
fn outcome_shares_are_those_of_the_coin_and_of_the_faults_chance() {
    const P: f64 = 0.04;
    const CHANCE: f64 = 0.6;
    const TRIALS: u64 = 250;
    const LOOKS: u64 = 24;
    let mut config = cheap(420);
    config.faults = vec![rollcage::world::config::Fault { chance: CHANCE, ..spike(FAULT) }];
    let mut sees = latency_policy();
    sees.signals.push(SignalConfig::new("coin", SignalKind::Coin { share: P }));
    sees.rules.push(rule("heads", 1, Comparison::Greater, 0.5));
    let done = trials(&config, &sees, 0..TRIALS);
    let n = TRIALS as usize;
    let count = |of: &dyn Fn(&Trial) -> bool| done.iter().filter(|t| of(t)).count();
    let outcome = |o: Outcome| count(&|t| t.report.outcome == o);
    share("faulty", count(&|t| t.report.incidents[0].injected.is_some()), n, CHANCE).expect("closed form");
    let recovered = CHANCE * tails(P, LOOKS_BEFORE);
    let held = (1.0 - CHANCE) * tails(P, LOOKS);
    share("recovered", outcome(Outcome::Recovered), n, recovered).expect("closed form");
    share("correctly held", outcome(Outcome::CorrectlyHeld), n, held).expect("closed form");
    share("false rollback", outcome(Outcome::FalseRollback), n, 1.0 - recovered - held).expect("closed form");
    // The first look after the fault sees it.
    let delay = Span::secs(SCRAPE + LAG) - Span::secs(FAULT % SCRAPE);
    for t in done.iter().filter(|t| t.report.outcome == Outcome::Recovered) {
        let incident = &t.report.incidents[0];
        assert_eq!((incident.mttd(), incident.coincident), (Some(delay), false));
        assert_eq!(incident.decided, Some(at(FAULT) + delay));
    }
    let sum = aggregate(&figures(&done));
    let faultless = n - sum.faulty.count as usize;
    assert_eq!(sum.good_releases_blocked.of as usize, faultless);
    let blocked = sum.good_releases_blocked.count as usize;
    share("good releases blocked", blocked, faultless, 1.0 - tails(P, LOOKS)).expect("closed form");
}

// ---------------------------------------------------------------------------------------------------------------------
// Detection through telemetry that loses scrapes; planted: a report that drops censored trials

/// Three scrapes after the fault reach the controller before the horizon: at 12, 27 and 42 s after it.
const DELAYS: [f64; 3] = [12.0, 27.0, 42.0];
const WATCHED: f64 = 55.0;
const LOSS: f64 = 0.5;

/// What must hold of a report over `faulty` trials, if each scrape is lost with probability [`LOSS`].
fn counts_everyone(sum: &Aggregate, faulty: u64) -> Result<(), String> {
    let mttd = &sum.mttd;
    if mttd.n != faulty {
        return Err(format!("{} delays of {faulty} faults", mttd.n));
    }
    let weights: Vec<f64> = (0..3).map(|i| (1.0 - LOSS) * LOSS.powi(i)).collect();
    let censored = LOSS.powi(3);
    share("censored", mttd.censored as usize, faulty as usize, censored)?;
    let moment =
        |k: i32| weights.iter().zip(DELAYS).map(|(w, d)| w * d.powi(k)).sum::<f64>() + censored * WATCHED.powi(k);
    let error = ((moment(2) - moment(1).powi(2)) / faulty as f64).sqrt();
    within("restricted mean", mttd.mean.value.unwrap_or(f64::NAN), moment(1), error)?;
    // 7 of 8 are detected within 42 s: nobody knows when 9 of 10 are.
    match mttd.p90.value {
        None => Ok(()),
        Some(p90) => Err(format!("a 90 % quantile of {p90} s that was never seen")),
    }
}

#[test]
fn detection_waits_for_a_scrape_that_arrives_and_dropping_the_censored_is_noticed() {
    const TRIALS: u64 = 400;
    let mut config = cheap(240);
    config.telemetry.loss = LOSS;
    config.faults = vec![spike(FAULT)];
    let done = trials(&config, &latency_policy(), 0..TRIALS);
    let all = figures(&done);
    for delay in all.iter().filter_map(|t| t.incidents[0].mttd()) {
        assert!(DELAYS.contains(&delay.as_secs_f64()), "{delay}");
    }
    counts_everyone(&aggregate(&all), TRIALS).expect("holds");
    let dropped: Vec<TrialFigures> = all.iter().filter(|t| t.incidents[0].detected.is_some()).cloned().collect();
    let defective = aggregate(&dropped);
    assert!(counts_everyone(&defective, TRIALS).is_err(), "the number of trials gives it away");
    let (healthy, defective) = (aggregate(&all).mttd, defective.mttd);
    assert!(defective.mean.value < healthy.mean.value, "a report that drops what it missed looks faster");
    assert_eq!((healthy.p90.value, defective.p90.value), (None, Some(42.0)));
}

// ---------------------------------------------------------------------------------------------------------------------
// Planted: a controller that peeks at the fault, telemetry without its lag, an onset that is off by a window

/// The four runs of a trial with one fault.
struct FourRuns {
    setup: Setup,
    trial: RunRecord,
    hold: RunRecord,
    hold_clean: RunRecord,
    policy_clean: RunRecord,
}

fn four_runs(setup: Setup, models: &mut Predictions) -> FourRuns {
    let mut with = |hold: bool, fault: bool| {
        let mut setup = setup.clone();
        if hold {
            setup.policy = Arc::new(PolicyConfig::hold());
        }
        setup.faults = vec![fault];
        rollcage::sim::run(&setup, models).expect("runs")
    };
    let [trial, hold] = [with(false, true), with(true, true)];
    let [policy_clean, hold_clean] = [with(false, false), with(true, false)];
    FourRuns { setup, trial, hold, hold_clean, policy_clean }
}

impl FourRuns {
    fn incident(&self) -> Incident {
        let facts = fault_facts(&plan(&self.setup));
        let references = References {
            hold: &self.hold,
            hold_clean: &self.hold_clean,
            policy_clean: &self.policy_clean,
            without: vec![None],
        };
        let runs = Runs { trial: &self.trial, twin: Twin::Runs(references) };
        let Setup { world, faults, seed, objective, .. } = &self.setup;
        let arrival = |source: SourceId, ordinal: u64| {
            World::arrival(world, faults, *seed, source, ordinal).unwrap_or(SimTime::NEVER)
        };
        assess(&facts, &runs, objective, world.horizon, &arrival).incidents.remove(0)
    }
}

/// Nobody can know of a fault before a scrape that came after it, and the lag of that.
fn detected_through_telemetry(incident: &Incident, declared: &Telemetry) -> Result<(), String> {
    let (Some(injected), Some(detected)) = (incident.injected, &incident.detected) else {
        return Err("nothing was detected".to_owned());
    };
    let next = SimTime((injected.0 / declared.scrape.0 + 1) * declared.scrape.0) + declared.lag;
    if detected.at >= next { Ok(()) } else { Err(format!("detected at {}, before {next}", detected.at)) }
}

/// A trial whose controller knew of the fault the moment it came, on evidence up to `evidence_to`.
fn peeking(honest: &FourRuns, evidence_to: SimTime) -> Incident {
    let mut trial = honest.trial.clone();
    let events = &mut trial.trace.events;
    let place = events.iter().position(|r| matches!(r.event, Event::FaultStarted { .. })).expect("a fault");
    let at = events[place].at;
    let fired = RuleFired {
        rule: RuleId(0),
        evidence_from: at.minus(Span::secs(SCRAPE)),
        evidence_to,
        window: Span::secs(SCRAPE),
        evidence: "a feeling".to_owned(),
    };
    let decided = Decided { verdict: Verdict::Rollback, rules: vec![RuleId(0)], refused: None };
    let planted = [Event::RuleFired(fired), Event::Decided(decided)].map(|event| Recorded { at, seq: 0, event });
    events.splice(place + 1..=place, planted);
    let FourRuns { setup, hold, hold_clean, policy_clean, .. } = honest;
    let clone = |r: &RunRecord| r.clone();
    let runs = FourRuns {
        setup: setup.clone(),
        trial,
        hold: clone(hold),
        hold_clean: clone(hold_clean),
        policy_clean: clone(policy_clean),
    };
    runs.incident()
}

#[test]
fn a_controller_that_peeks_at_the_fault_is_caught() {
    let mut config = cheap(420);
    config.faults = vec![spike(FAULT)];
    let honest = four_runs(story(config, latency_policy(), 3), &mut models());
    let declared = &honest.setup.world.telemetry;
    let found = honest.incident();
    detected_through_telemetry(&found, declared).expect("the honest one takes its time");
    assert_eq!(found.outcome, Outcome::Recovered);
    let liar = peeking(&honest, at(FAULT) + Span::millis(1));
    assert_eq!(liar.mttd(), Some(Span::ZERO), "taken at its word it looks perfect");
    detected_through_telemetry(&liar, declared).expect_err("nobody can know so soon");
    let guesser = peeking(&honest, at(FAULT));
    assert!(guesser.coincident, "on evidence from before the fault it is a coincidence");
    assert_eq!(guesser.detected, None);
}

/// Alarms and decisions come exactly a lag after a scrape, on evidence up to that scrape.
fn respects_lag(events: &[Recorded], declared: &Telemetry) -> Result<(), String> {
    let mut judged = 0;
    for recorded in events {
        let scraped = match &recorded.event {
            Event::RuleFired(fired) => Some(fired.evidence_to),
            Event::Decided(_) | Event::Measured(_) => None,
            _ => continue,
        };
        judged += 1;
        let read = recorded.at.minus(declared.lag);
        if !read.0.is_multiple_of(declared.scrape.0) || scraped.is_some_and(|t| t != read) {
            return Err(format!("{:?} at {} is not {} after a scrape", recorded.event, recorded.at, declared.lag));
        }
    }
    if judged > 10 { Ok(()) } else { Err(format!("only {judged} events")) }
}

#[test]
fn telemetry_without_its_lag_is_caught() {
    let with_lag = |lag: u64| {
        let mut config = cheap(420);
        config.telemetry.lag = Span::secs(lag);
        config.faults = vec![spike(FAULT)];
        run(&story(config, latency_policy(), 3), &mut models()).0.trace.events
    };
    let declared = Telemetry { scrape: Span::secs(SCRAPE), lag: Span::secs(LAG), loss: 0.0 };
    let healthy = with_lag(LAG);
    assert!(!times(&healthy, common::is_rollback).is_empty());
    respects_lag(&healthy, &declared).expect("holds");
    for defect in [0, 1, 3] {
        respects_lag(&with_lag(defect), &declared).expect_err("inputs reach decisions at another time");
    }
}

/// The arrival of the first request that only the fault made bad, found by comparing all requests of the two hold runs.
fn onset_by_hand(setup: &Setup, models: &mut Predictions) -> Option<SimTime> {
    let mut with = |fault: bool| {
        let mut hold = setup.clone();
        hold.policy = Arc::new(PolicyConfig::hold());
        hold.faults = vec![fault];
        let mut ends = run(&hold, models).1;
        ends.sort_by_key(|e| e.request);
        ends
    };
    let (faulty, clean) = (with(true), with(false));
    assert_eq!(faulty.len(), clean.len());
    let bad = |e| setup.objective.judge(e).any();
    faulty.iter().zip(&clean).filter(|(f, c)| bad(*f) && !bad(*c)).map(|(f, _)| f.arrived).min()
}

/// The onset is what a comparison by hand finds.
fn onset_holds(claimed: Option<SimTime>, by_hand: Option<SimTime>) -> Result<(), String> {
    if claimed == by_hand { Ok(()) } else { Err(format!("onset {claimed:?}, by hand {by_hand:?}")) }
}

#[test]
fn an_onset_is_the_first_request_that_differs_and_one_shifted_by_a_window_is_caught() {
    let ramp = Effect::CovariateDrift {
        source: SourceId(0),
        columns: (0..8).map(|column| (column, 1.0, 1.5)).collect(),
        ramp: Span::secs(120),
        labels_follow: false,
    };
    let mut models = models();
    for (name, fault) in [("spike", spike(FAULT)), ("drift", fault("drift", FAULT, ramp))] {
        for seed in 0..3 {
            let mut config = world(40.0, Span::secs(420), 2);
            config.faults = vec![fault.clone()];
            let setup = story(config, latency_policy(), seed);
            let found = trial(&plan(&setup), seed, false, &mut models).expect("runs").report.incidents.remove(0);
            let by_hand = onset_by_hand(&setup, &mut models);
            println!("{name}, seed {seed}: injected {:?}, onset {by_hand:?}", found.injected);
            assert!(by_hand >= found.injected && by_hand.is_some());
            onset_holds(found.onset, by_hand).expect("holds");
            let shifted = found.onset.map(|t| t + setup.objective.recovery.window);
            onset_holds(shifted, by_hand).expect_err("a window late");
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// The null of the distribution tests

#[test]
fn two_versions_of_the_same_bytes_differ_at_the_nominal_rate() {
    let beside = |of, test| SignalKind::comparison(of, Span::secs(5), Reference::Baseline, 50, test);
    let recent = |of| beside(of, Test::Ks(Ks::default()));
    let psi = beside(Columns::Score, Test::Psi(Psi { alpha: 0.05, ..Psi::default() }));
    let signals = vec![("score", recent(Columns::Score)), ("feature", recent(Columns::Feature(3))), ("psi", psi)];
    let mut nominal = rule("differs", 0, Comparison::Less, 0.01);
    nominal.when.left.value.as_mut().expect("a field").field = 1;
    nominal.then = Verdict::Alert;
    let mut looks: [Vec<f64>; 3] = Default::default();
    let (mut alarms, mut runs) = (0, 0);
    let mut models = models();
    for seed in 0..4 {
        let mut config = world(120.0, Span::secs(3600), 4);
        config.versions[1].artifact = mlp("mlp-linear-v1.onnx");
        config.telemetry = Telemetry { scrape: Span::secs(5), lag: Span::secs(1), loss: 0.0 };
        config.faults = vec![fault("placebo", 1800, Effect::Sham)];
        let null = with_stages(setup(config, policy(signals.clone(), vec![nominal.clone()]), seed), &[(10, 0.5)]);
        let record = rollcage::sim::run(&null, &mut models).expect("runs");
        let mut below = false;
        for recorded in &record.trace.events {
            match &recorded.event {
                // All looks, and runs of looks below the threshold.
                Event::Measured(m) if m.version == NEW => {
                    // Of KS the p-value, of PSI the ratio.
                    looks[m.signal.index()].push(m.values[if m.signal.index() == 2 { 2 } else { 1 }]);
                    if m.signal.index() == 0 {
                        runs += usize::from(m.values[1] < 0.01 && !below);
                        below = m.values[1] < 0.01;
                    }
                }
                Event::RuleFired(_) => alarms += 1,
                _ => {}
            }
        }
        assert_eq!(record.trace.events.iter().filter(|r| matches!(r.event, Event::FaultStarted { .. })).count(), 1);
        let all: Weight = common::weights(&record.trace.events).last().expect("weights").1;
        assert_eq!(all, Weight::from_share(0.5));
    }
    let [score, feature, psi] = &looks;
    assert!(score.len() > 2800, "{} looks", score.len());
    for (name, p) in [("score", score), ("feature", feature)] {
        for alpha in [0.01, 0.05, 0.2, 0.5] {
            let below = p.iter().filter(|p| **p < alpha).count();
            share(&format!("KS of {name} below {alpha}"), below, p.len(), alpha).expect("nominal");
        }
    }
    let above = psi.iter().filter(|ratio| **ratio > 1.0).count();
    share("PSI above its threshold at 0.05", above, psi.len(), 0.05).expect("nominal");
    assert_eq!(alarms, runs, "the rule fires when a run of looks below the threshold begins");
}
