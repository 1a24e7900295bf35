//! Runs without reference runs, the calibration of a plan, and validation: a simulator holds what it validates itself with.

mod common;

use clap::Parser;
use common::{NEW, OLD, fault, latency_policy, models, plan, run, setup, spike, with_stages, world};
use rollcage::campaign::lab::Lab;
use rollcage::campaign::validate::{
    Calibration, Live, LiveSeen, SAMPLES_MIN, Size, Step, calibrated, settings, validate,
};
use rollcage::campaign::{alone, simulate_alone, trial};
use rollcage::cli::exit::Exit;
use rollcage::cli::validate::Validate;
use rollcage::event::{Event, Health, ReplicaState, Verdict};
use rollcage::id::ReplicaId;
use rollcage::live::{Observed, Started};
use rollcage::plan::Plan;
use rollcage::report::expect::{Check, Expectation, Measure, Op, Stat};
use rollcage::report::judge::overall;
use rollcage::report::trial::ExpectationVerdict;
use rollcage::report::validation::{Early, Quantity, Row, RunFigures, Seen, Setting, Used, Validation};
use rollcage::sim::Setup;
use rollcage::time::{SimTime, Span};
use rollcage::trace::Recorded;
use rollcage::world::config::{Effect, Fault};
use rollcage::world::distribution::Distribution;
use rollcage::world::predictions::Predictions;
use std::sync::mpsc;

/// Five minutes: half of the traffic on the new version from 30 s on, slow from 2 min on.
fn slow(seed: u64) -> Setup {
    let mut config = world(40.0, Span::secs(300), 2);
    config.faults = vec![spike(120)];
    with_stages(setup(config, latency_policy(), seed), &[(30, 0.5)])
}

fn about(measure: Measure, op: Op, value: f64) -> Expectation {
    let check = Check::Measure { measure, stat: Stat::Value, op, value };
    Expectation { policy: None, check, text: format!("{} {} {value}", measure.name(), op.name()) }
}

// ---------------------------------------------------------------------------------------------------------------------
// Alone

#[test]
fn a_run_alone_is_the_same_run_measured_without_its_twins() {
    let mut plan = plan(&slow(1));
    plan.expectations = vec![about(Measure::HarmSuffered, Op::GreaterEqual, 0.0), about(Measure::Mttd, Op::Less, 60.0)];
    let mut models = models();
    let with = trial(&plan, 1, false, &mut models).expect("runs").report;
    let without = simulate_alone(&plan, 1, &mut models).expect("runs");
    assert_eq!(with.digests, without.digests, "it is the same run");
    assert_eq!((with.requests, &with.events), (without.requests, &without.events));
    assert!(with.has_twins() && !without.has_twins());
    let harm = [without.harm_suffered, without.harm_avoided, without.policy_harm, without.joint_harm];
    assert_eq!((harm, without.users_hurt, without.host.reference_runs), ([None; 4], None, 0));
    let (a, b) = (&with.incidents[0], &without.incidents[0]);
    assert!(!a.twin_free && b.twin_free && b.harm.is_none());
    // What is decided and done does not depend on how it is measured; the onset does, by up to a window.
    assert_eq!(
        (a.injected, a.decided, a.revert_started, a.reverted),
        (b.injected, b.decided, b.revert_started, b.reverted)
    );
    assert!(b.detected.is_some() && b.onset.is_some() && b.recovered.is_some(), "{b:?}");
    assert_eq!(with.expectations.iter().map(|e| e.verdict).collect::<Vec<_>>(), [ExpectationVerdict::Holds; 2]);
}

#[test]
fn spans_are_of_the_first_harmful_fault_or_since_the_start_of_a_run_without_any() {
    let mut models = models();
    let mut figures = |faults: Vec<Fault>| {
        let mut plan = plan(&slow(1));
        plan.fault_words = faults.iter().map(|f| f.name.clone()).collect();
        plan.names.faults.clone_from(&plan.fault_words);
        plan.world.faults = faults;
        let report = simulate_alone(&plan, 1, &mut models).expect("runs");
        (RunFigures::from(&report), report)
    };
    let benign = Fault { harmful: false, ..fault("benign", 60, Effect::Sham) };
    let (several, report) = figures(vec![benign.clone(), spike(120), fault("later", 200, Effect::Sham)]);
    let decided = report.incidents[1].decided.expect("the spike is noticed").as_secs_f64();
    assert_eq!(several.values[&Quantity::Decided], Some(decided - 120.0));
    assert_eq!(several.values[&Quantity::BadRequests], Some(report.requests.bad as f64));
    assert_eq!(several.values.len(), Quantity::ALL.len());
    let (quiet, _) = figures(vec![benign]);
    assert_eq!(quiet.values[&Quantity::Mttd], None, "never, of the benign one");
    let (none, _) = figures(Vec::new());
    let spans: Vec<Quantity> = none.values.keys().copied().filter(|q| q.is_span()).collect();
    use Quantity::{Decided, Mttd, RevertStarted, Reverted};
    assert_eq!(spans, [Mttd, Decided, RevertStarted, Reverted], "nobody is hurt by no fault, nor recovers from it");
}

#[test]
fn a_demand_on_what_is_not_defined_neither_holds_nor_is_missed() {
    use ExpectationVerdict::{Holds, NotDefined};
    let mut plan = plan(&slow(1));
    // One that any number would meet, and one that none would.
    plan.expectations = vec![
        about(Measure::Mttd, Op::Less, 60.0),
        about(Measure::HarmSuffered, Op::GreaterEqual, -1e9),
        about(Measure::HarmAvoided, Op::Less, -1e9),
        about(Measure::PolicyHarm, Op::Less, 1e9),
    ];
    let report = simulate_alone(&plan, 1, &mut models()).expect("runs");
    let verdicts: Vec<_> = report.expectations.iter().map(|e| e.verdict).collect();
    assert_eq!(verdicts, [Holds, NotDefined, NotDefined, NotDefined]);
    assert_eq!(overall(&report.expectations), NotDefined, "what holds beside it does not make it pass");
    assert!(report.expectations[1].measured.contains("not defined"), "{}", report.expectations[1].measured);
}

// ---------------------------------------------------------------------------------------------------------------------
// Calibration

/// `n` latencies, evenly over `low` to `high` milliseconds, both included.
fn even(n: u64, low: u64, high: u64) -> Vec<Span> {
    (0..n).map(|i| Span(Span::millis(low).0 + (Span::millis(high).0 - Span::millis(low).0) * i / (n - 1))).collect()
}

fn secs(list: &[u64]) -> Vec<Span> {
    list.iter().map(|&s| Span::secs(s)).collect()
}

fn measured() -> Calibration {
    Calibration {
        service: vec![(NEW, even(201, 10, 30)), (OLD, even(SAMPLES_MIN as u64 - 1, 10, 30))],
        start: vec![[1, 2, 3, 4].map(Span::secs), [3, 2, 9, 8].map(Span::secs), [2, 5, 6, 6].map(Span::secs)],
        telemetry_lag: secs(&[4, 1, 3]),
        control_delay: vec![Span::millis(5), Span::millis(7)],
    }
}

#[test]
fn a_calibrated_plan_has_what_was_measured_and_keeps_what_was_not() {
    let declared = plan(&slow(1));
    let model = calibrated(&declared, &measured());
    // 201 values in steps of 0.1 ms: each thousandth is 0.02 ms further.
    let expected = (0..=1_000).map(|k| Span(10_000_000 + 20_000 * k)).collect();
    assert_eq!(model.world.versions[NEW.index()].service, Some(Distribution::Empirical(expected)));
    // One latency short of enough: 400 of both versions, each from 10 to 30 ms, of which the 200th and the 201st are at the middle.
    let Some(Distribution::Empirical(both)) = &model.world.versions[OLD.index()].service else { panic!("measured") };
    assert_eq!((both.len(), both[0], both[1_000]), (1_001, Span::millis(10), Span::millis(30)));
    assert_eq!(both[500], Span::millis(20));
    assert_eq!(model.world.fleet.start, [2, 2, 6, 6].map(Span::secs));
    assert_eq!((model.world.telemetry.lag, model.world.control_delay), (Span::secs(3), Span::millis(6)));
    let mut same = model.clone();
    same.world.versions = declared.world.versions.clone();
    (same.world.fleet.start, same.world.telemetry.lag) = (declared.world.fleet.start, declared.world.telemetry.lag);
    same.world.control_delay = declared.world.control_delay;
    same.digest = declared.digest;
    assert_eq!(same, declared, "nothing else moves");
    assert_ne!(model.digest, declared.digest, "it is another plant");
    assert_eq!(calibrated(&declared, &measured()), model);
    let untouched = calibrated(&declared, &Calibration::default());
    assert_eq!(untouched.world, declared.world);
    // Too few of all versions together: nothing was measured.
    let few =
        Calibration { service: vec![(NEW, even(100, 10, 30)), (OLD, even(99, 10, 30))], ..Calibration::default() };
    assert_eq!(calibrated(&declared, &few).world, declared.world);
}

#[test]
fn what_was_measured_and_not_used_is_told() {
    let plan = plan(&slow(1));
    let all = settings(&plan, &measured());
    let of = |name: &str| -> Setting { all.iter().find(|s| s.name == name).expect(name).clone() };
    let median = of("service time of v2, median");
    assert_eq!((median.samples, median.measured_s, median.used), (201, Some(0.02), Used::Measured));
    assert!((median.declared_s - 0.004).abs() < 1e-9);
    let kept = of("service time of v1, p99");
    // Place 0.99 · 198 = 196.02: two steps of 20/198 ms from the end, less a fiftieth of one.
    assert_eq!(kept.samples, SAMPLES_MIN - 1);
    assert!(kept.measured_s.is_some_and(|s| (0.029_79..0.029_81).contains(&s)), "{:?}", kept.measured_s);
    assert!((kept.declared_s - 0.012).abs() < 1e-9);
    // Place 0.99 · 399 = 395.01: the fifth from the end, which is the third from the end of the 201.
    let Used::Pooled { samples: 400, value_s } = kept.used else { panic!("{:?}", kept.used) };
    assert!((0.029_79..0.029_81).contains(&value_s), "{value_s}");
    assert_eq!((of("start: load").declared_s, of("start: load").measured_s), (1.0, Some(6.0)));
    assert_eq!((of("telemetry lag").measured_s, of("control delay").measured_s), (Some(3.0), Some(0.006)));
    assert!(
        settings(&plan, &Calibration::default()).iter().all(|s| s.measured_s.is_none() && s.used == Used::Declared)
    );
}

// ---------------------------------------------------------------------------------------------------------------------
// Validation

/// Simulated runs that pose as live ones; `plant` is the machine they run on.
struct Posing {
    models: Predictions,
    plant: fn(u64) -> Setup,
    calibration: Calibration,
    asked: Vec<u64>,
}

impl Posing {
    fn new(plant: fn(u64) -> Setup) -> Self {
        Self { models: models(), plant, calibration: Calibration::default(), asked: Vec::new() }
    }
}

impl Live for Posing {
    type Error = String;

    fn calibrate(&mut self, _plan: &Plan, seed: u64) -> Result<Calibration, String> {
        self.asked.push(seed);
        Ok(self.calibration.clone())
    }

    /// As a live run leaves it: the founding fleet is ready before the clock starts.
    fn run(&mut self, _plan: &Plan, seed: u64) -> Result<LiveSeen, String> {
        self.asked.push(seed);
        let setup = (self.plant)(seed);
        let mut record = run(&setup, &mut self.models).0;
        use ReplicaState::{Fetching, Loading, Ready, Verifying, WarmingUp};
        let founding = [Fetching, Verifying, Loading, WarmingUp, Ready].map(|state| Recorded {
            seq: 0,
            at: SimTime::ZERO,
            event: Event::Replica(Health { replica: ReplicaId(90), version: OLD, state }),
        });
        record.trace.events.splice(0..0, founding);
        let start = |spans, during| Started { version: NEW, spans, during };
        let observed = Observed {
            starts: vec![start([Span::secs(99); 4], false), start(setup.world.fleet.start, true)],
            lateness: vec![Span::ZERO; 3],
            ..Observed::default()
        };
        Ok(LiveSeen { record, observed })
    }
}

const SIZE: Size = Size { seed: 1, repeats: 40, trials: 200, jobs: 2 };

fn held_against(live: &mut Posing) -> Validation {
    let lab = Lab::open().expect("the runtime is found or fetched");
    let (told, heard) = mpsc::channel();
    let done = validate(&lab, &plan(&slow(1)), &SIZE, live, &told).expect("runs");
    drop(told);
    let steps: Vec<Step> = heard.iter().collect();
    assert_eq!(steps.len(), 1 + 40 + 200, "each end is told");
    assert_eq!((steps[0], steps[40], steps[41]), (Step::Calibrated, Step::Live, Step::Simulated));
    assert_eq!(done.live.iter().map(|r| r.seed).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
    done.validation
}

fn row(validation: &Validation, quantity: Quantity) -> &Row {
    validation.row(quantity).expect("both sides have it")
}

#[test]
fn a_simulator_holds_its_own_runs_and_not_those_of_a_slower_machine() {
    let mut itself = Posing::new(slow);
    let validation = held_against(&mut itself);
    assert_eq!(itself.asked, [[241].as_slice(), &(1..=40).collect::<Vec<_>>()].concat(), "seeds are disjoint");
    let live: Vec<u64> = validation.rows[0].live.iter().map(|s| s.seed).collect();
    let simulated: Vec<u64> = validation.rows[0].simulated.iter().map(|s| s.seed).collect();
    assert_eq!((live, simulated), ((1..=40).collect(), (41..=240).collect()));
    for row in &validation.rows {
        // Of 40 draws with 0.9 each, fewer than 31 come in one of 500 validations; ties only help.
        assert!(row.inside >= 31, "{:?}: {} of 40", row.quantity, row.inside);
    }
    let (inside, of) = validation.inside();
    let share = inside as f64 / of as f64;
    assert!((0.85..1.0).contains(&share), "{inside} of {of}");
    for cause in &validation.causes {
        let seen = cause.seen().unwrap_or_else(|| panic!("nobody saw {}", cause.name));
        let near = |v: f64| (v - cause.modelled_s).abs() < 1e-6;
        assert!([seen.min, seen.median, seen.p99, seen.max].into_iter().all(near), "{}: {seen:?}", cause.name);
    }
    let events: Vec<(&str, usize)> = validation.causes.iter().map(|c| (c.name.as_str(), c.live.len())).collect();
    // One start during each of the 40 runs, and not the founding ones.
    assert_eq!(events[2..], [("late sending", 120), ("process start", 40), ("artifact load", 40)]);
    assert_eq!(validation.early, Early { simulated: 0, live: 0 });

    // Telemetry comes 40 s later, and replicas take half a minute longer to load.
    let slower = |seed| {
        let mut setup = slow(seed);
        let mut config = (*setup.world).clone();
        config.telemetry.lag = Span::secs(42);
        config.fleet.start[2] = Span::secs(31);
        setup.world = config.into();
        setup
    };
    let off = held_against(&mut Posing::new(slower));
    let mttd = row(&off, Quantity::Mttd);
    assert!(mttd.predicted && mttd.inside == 0, "{} of 40 inside", mttd.inside);
    assert!(mttd.gap.is_some_and(|gap| (30.0..50.0).contains(&gap)), "{:?}", mttd.gap);
    let load = off.causes.iter().find(|c| c.name == "artifact load").expect("a cause");
    assert_eq!(
        (load.modelled_s, load.seen()),
        (1.0, Some(Seen { min: 31.0, median: 31.0, p99: 31.0, max: 31.0 })),
        "the cause has a name"
    );

    // The same machine once it has been calibrated: the gap is gone.
    let mut measured = Posing::new(slower);
    measured.calibration = Calibration {
        start: vec![[2.0, 0.2, 31.0, 5.0].map(Span::from_secs_f64)],
        telemetry_lag: secs(&[42]),
        ..Calibration::default()
    };
    let mended = held_against(&mut measured);
    let mttd = row(&mended, Quantity::Mttd);
    assert!(mttd.inside >= 31 && mttd.gap.is_some_and(|gap| gap.abs() < 5.0), "{} of 40, {:?}", mttd.inside, mttd.gap);
}

#[test]
fn a_run_that_was_turned_back_before_the_fault_has_no_spans() {
    let mut models = models();
    let report = simulate_alone(&plan(&slow(1)), 1, &mut models).expect("runs");
    let at = |of: fn(&Event) -> bool| report.events.iter().position(|fact| of(&fact.event)).expect("it happened");
    let injected = report.events[at(|e| matches!(e, Event::FaultStarted { .. }))].at;
    let (fired, decided) = (
        at(|e| matches!(e, Event::RuleFired(_))),
        report
            .events
            .iter()
            .position(|fact| matches!(&fact.event, Event::Decided(d) if d.verdict == Verdict::Rollback))
            .expect("decided"),
    );
    let figures = RunFigures::from(&report);
    assert!(!figures.early && figures.values.contains_key(&Quantity::Mttd));
    // The same run, had the alarm or the decision come sooner.
    let moved = |fact: usize, to: SimTime| {
        let mut report = report.clone();
        report.events[fact].at = to;
        RunFigures::from(&report)
    };
    let just_before = SimTime(injected.0 - 1);
    for early in [moved(fired, just_before), moved(fired, injected), moved(decided, just_before)] {
        assert!(early.early);
        assert_eq!(early.values.keys().filter(|q| q.is_span()).count(), 0, "neither negative nor never");
        assert_eq!(early.values[&Quantity::BadRequests], figures.values[&Quantity::BadRequests]);
    }
    assert!(!moved(decided, injected).early && !moved(fired, SimTime(injected.0 + 1)).early);
    // Instead of the fault: what it would have met was gone.
    let mut instead = report.clone();
    instead.incidents[0].injected = None;
    assert!(RunFigures::from(&instead).early);
    // Neither an alarm nor a fault: it never came, and nobody turned anything back.
    instead.events.retain(|fact| !matches!(fact.event, Event::RuleFired(_) | Event::Decided(_)));
    let quiet = RunFigures::from(&instead);
    assert_eq!((quiet.early, quiet.values[&Quantity::Mttd]), (false, None));
}

#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    validate: Validate,
}

#[test]
fn the_command_writes_the_comparison_and_each_live_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("out");
    let arguments = |rest: &[&str]| Arguments::try_parse_from([&["validate", "small.toml"], rest].concat());
    let path = out.to_str().expect("a path");
    let command = arguments(&["--repeats", "2", "--trials", "19", "--seed", "5", "--out", path]).expect("parses");
    let lab = Lab::open().expect("the runtime is found or fetched");
    let mut live = Posing::new(slow);
    let exit = command.validate.carry_out(&lab, &plan(&slow(1)), &mut live).expect("is carried out");
    assert_eq!((exit, live.asked), (Exit::Holds, vec![26, 5, 6]));
    for file in ["validation.md", "validation.csv", "validation.json", "validation.svg", "validation.png"] {
        assert!(out.join(file).metadata().is_ok_and(|m| m.len() > 100), "no {file}");
    }
    for seed in [5, 6] {
        assert!(out.join(format!("live-{seed}/incident.md")).is_file(), "no report of live run {seed}");
    }
    let page = std::fs::read_to_string(out.join("validation.md")).expect("text");
    assert!(page.contains("rollcage validate small.toml --repeats 2 --trials 19 --seed 5"), "{page}");
    for wrong in [["--repeats", "0"], ["--trials", "18"], ["--seed", "x"]] {
        assert!(arguments(&wrong).is_err(), "{wrong:?}");
    }
    struct Broken;
    impl Live for Broken {
        type Error = String;
        fn calibrate(&mut self, _: &Plan, _: u64) -> Result<Calibration, String> {
            Err("no port is free".to_owned())
        }
        fn run(&mut self, _: &Plan, _: u64) -> Result<LiveSeen, String> {
            unreachable!("it was not calibrated")
        }
    }
    let stopped = command.validate.carry_out(&lab, &plan(&slow(1)), &mut Broken);
    assert!(format!("{stopped:?}").contains("no port is free"), "{stopped:?}");
}

#[test]
fn a_report_of_a_record_does_not_depend_on_who_made_the_record() {
    let setup = slow(3);
    let mut models = models();
    let record = run(&setup, &mut models).0;
    assert_eq!(alone(&plan(&setup), 3, record), simulate_alone(&plan(&setup), 3, &mut models).expect("runs"));
}
