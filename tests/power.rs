//! What `power` predicts is what happens: in five cases, late labels among them, its median and 90th percentile of the delay lie
//! within the order-statistic intervals of as many simulated trials of the real thing: plant, router, replicas, inference,
//! telemetry, controller. In each case a prediction for a neighbouring shift would be seen not to hold, and what really happened
//! never exceeds the ceiling of Neyman and Pearson. So do false alarms, a second stage, and the efficiency of what is optimal.
//!
//! The worlds are such that a fault of the plant is exactly a shift that `power` knows: a service time multiplied, a known share
//! of it beyond the timeout, a normal feature moved, models whose logit is known in closed form. Seeds of both sides differ.

mod common;

use common::{NEW, at, fault, models, plan, policy, rule, setup, with_stages, world};
use rollcage::campaign::power::{Ask, Shift, power};
use rollcage::control::config::{Comparison, Field, Operand, PolicyConfig, Rule};
use rollcage::detect::channel::Channel;
use rollcage::detect::config::{Columns, Level, Quality, Reference, SignalKind};
use rollcage::detect::sequences::{Follower, SequenceConfig};
use rollcage::detect::sequential::{Config, CusumConfig, Mode};
use rollcage::detect::two_sample::{Ks, Test};
use rollcage::event::Event;
use rollcage::id::{SignalId, SourceId};
use rollcage::report::power::{FalseAlarms, Power};
use rollcage::rng::Seed;
use rollcage::sim::{Setup, run};
use rollcage::stats::arl::cusum::Cusum;
use rollcage::stats::normal;
use rollcage::stats::proportion::{clopper_pearson, newcombe, poisson_rate};
use rollcage::stats::special::beta_inc;
use rollcage::time::{SimTime, Span};
use rollcage::world::config::{Bound, Effect, LabelConfig, Payload, WorldConfig};
use rollcage::world::distribution::Distribution;
use std::sync::Arc;
use std::sync::mpsc;

/// When the canary begins, in seconds, and its share; when the fault takes hold; how long that is watched.
const STAGE: (u64, f64) = (10, 0.25);
const FAULT: u64 = 100;
const WATCHED: u64 = 150;
/// Of the intervals.
const CONFIDENCE: f64 = 0.99;
/// Simulated rollouts of a prediction: more than trials, so that its own error is the smaller part.
const PREDICTED: u32 = 600;

fn trials() -> u64 {
    if std::env::var_os("ROLLCAGE_LONG_TESTS").is_some() { 1000 } else { 200 }
}

/// The weights of the model whose bytes `mlp-linear-v2.onnx` are, from its manifest: the concept itself.
fn concept() -> (Vec<f64>, f64) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/synthetic/models/mlp-linear-v2.json");
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(path).expect("it is committed")).expect("it is JSON");
    let of = &manifest["lineage"];
    assert_eq!(of["weights"], of["concept"]["weights"], "v2 knows the concept");
    let weights = of["weights"].as_array().expect("weights").iter().map(|w| w.as_f64().expect("a number"));
    (weights.collect(), of["bias"].as_f64().expect("a bias"))
}

/// Sixty requests a second, a scrape every two seconds.
fn plant(effect: Effect) -> WorldConfig {
    let mut world = world(60.0, Span::secs(FAULT + WATCHED), 4);
    world.telemetry.scrape = Span::secs(2);
    world.telemetry.lag = Span::secs(1);
    world.fleet.start = [Span::secs(1), Span::millis(200), Span::secs(1), Span::secs(1)];
    let (weights, bias) = concept();
    world.sources[0].payload = Payload::Normal { weights, bias };
    world.faults = vec![fault("shift", FAULT, effect)];
    world
}

/// One case: the world, the policy, and the shift that the world's fault is.
struct Case {
    setup: Setup,
    shift: Shift,
    ask: Ask,
}

impl Case {
    fn new(world: WorldConfig, kind: SignalKind, rule: Rule, shift: Shift) -> Self {
        let policy: PolicyConfig = policy(vec![("signal", kind)], vec![rule]);
        let ask = Ask {
            seed: 1_000_000,
            trials: PREDICTED,
            failure_rate: Some(0.0),
            changes: vec![Span::secs(FAULT - STAGE.0)],
            within: Some(Span::secs(WATCHED)),
            ..Ask::default()
        };
        Self { setup: with_stages(setup(world, policy, 0), &[STAGE]), shift, ask }
    }

    /// A feature that moves, told by a CUSUM of its values.
    fn cusum(by: f64, k: f64, h: f64) -> Self {
        let cusum = CusumConfig { mu0: 0.0, sigma: 1.0, k, h, head_start: 0.0, mode: Mode::Up };
        let follower = Follower::Detector(Config::Cusum(cusum));
        let signal = SignalKind::Sequence(SequenceConfig { of: Channel::Feature(1), by: follower, standardise: None });
        let rule = rule("rule", 0, Comparison::Greater, 0.0);
        Self::new(plant(drift(1, by)), signal, rule, Shift::Feature { column: 1, by })
    }

    /// When the rule fires first in the real thing, by trial; never: where it does not.
    fn fired(&self) -> Vec<SimTime> {
        let mut models = models();
        let first = |seed: u64| {
            let setup = Setup { seed: Seed(seed), ..self.setup.clone() };
            models.forget();
            let record = run(&setup, &mut models).expect("runs");
            let fired = |e: &Event| matches!(e, Event::RuleFired(_));
            common::times(&record.trace.events, fired).first().copied().unwrap_or(SimTime::NEVER)
        };
        (1..=trials()).map(first).collect()
    }

    /// Delays of the real thing in ascending order, infinite where the rule did not fire; without trials in which it had fired
    /// before.
    fn simulated(&self) -> Vec<f64> {
        let fired = self.fired().into_iter().filter(|first| *first > at(FAULT));
        let delay = |first: SimTime| match first {
            SimTime::NEVER => f64::INFINITY,
            first => first.since(at(FAULT)).as_secs_f64(),
        };
        let mut delays: Vec<f64> = fired.map(delay).collect();
        delays.sort_by(f64::total_cmp);
        delays
    }

    fn predicted(&self, shift: Shift) -> Power {
        let ask = Ask { shifts: vec![shift], ..self.ask.clone() };
        power(&plan(&self.setup), &ask, &mpsc::channel().0).expect("a prediction")
    }
}

/// The order statistics between which the `q`-quantile lies with the confidence, whatever the distribution: the count of values
/// below it is binomial (W. J. Conover, "Practical Nonparametric Statistics", section 3.2).
fn between(sorted: &[f64], q: f64) -> (f64, f64) {
    let n = sorted.len();
    // P(Binomial(n, q) >= k)
    let at_least = |k: usize| if k == 0 { 1.0 } else { beta_inc(k as f64, (n - k + 1) as f64, q).expect("inside") };
    let error = (1.0 - CONFIDENCE) / 2.0;
    let low = (1..=n).rev().find(|k| 1.0 - at_least(*k) <= error).unwrap_or(1);
    let high = (1..=n).find(|k| at_least(*k) <= error).unwrap_or(n);
    (sorted[low - 1], sorted[high - 1])
}

/// (quantile, predicted, interval) of both quantiles.
fn compared(simulated: &[f64], predicted: &Power) -> Vec<(f64, f64, (f64, f64))> {
    let row = &predicted.rules[0].rows[0];
    let of = |q: f64, value: Option<f64>| (q, value.unwrap_or(f64::INFINITY), between(simulated, q));
    vec![of(0.5, row.median_s), of(0.9, row.p90_s)]
}

fn inside(&(_, value, (low, high)): &(f64, f64, (f64, f64))) -> bool {
    (low..=high).contains(&value)
}

/// The prediction for the case's shift holds, and none of those for `others` does.
#[track_caller]
fn holds(case: &Case, others: &[Shift]) -> Vec<f64> {
    let simulated = case.simulated();
    assert!(simulated.len() as u64 > trials() / 2, "the rule fires before the fault");
    let predicted = case.predicted(case.shift);
    let told = compared(&simulated, &predicted);
    println!("{} trials: {told:?}", simulated.len());
    assert!(told.iter().all(inside), "{told:?}");
    let ceiling = predicted.rules[0].rows[0].ceiling.as_ref();
    for point in ceiling.iter().flat_map(|ceiling| &ceiling.points) {
        let n = simulated.iter().filter(|delay| **delay <= point.within_s).count() as u64;
        let low = clopper_pearson(n, simulated.len() as u64, 0.9999).expect("a share").low;
        assert!(low <= point.found, "{n} of {} are surely more than {point:?}", simulated.len());
    }
    for other in others {
        let told = compared(&simulated, &case.predicted(*other));
        println!("{other:?}: {told:?}");
        assert!(!told.iter().all(inside), "{other:?} would pass: {told:?}");
    }
    simulated
}

/// `signal.field op factor × baseline.signal.field`
fn against_baseline(factor: f64, looks: u32) -> Rule {
    let mut rule = rule("rule", 0, Comparison::Greater, 0.0);
    let field = Field { signal: SignalId(0), field: 0, baseline: true };
    rule.when.right = Operand { factor, value: Some(field), offset: 0.0 };
    rule.looks = looks;
    rule
}

fn drift(column: usize, by: f64) -> Effect {
    let columns = vec![(column, 1.0, by)];
    Effect::CovariateDrift { source: SourceId(0), columns, ramp: Span::ZERO, labels_follow: false }
}

/// The canary's service takes 1.6 times as long, told by its median against the baseline's over a minute.
#[test]
fn slower_answers() {
    let world = plant(Effect::LatencySpike { bound: Bound::Version(NEW), factor: 1.6, add: Span::ZERO });
    let signal = SignalKind::LatencyQuantile { quantile: 0.5, window: Span::secs(60), level: Level::each(0.95) };
    let case = Case::new(world, signal, against_baseline(1.3, 2), Shift::Latency(1.6));
    holds(&case, &[1.45, 1.8].map(Shift::Latency));
}

/// Of the service times one in twenty lies on a line from 4 to 80 ms; eight times as long, those above 31.25 ms are beyond the
/// timeout of 250 ms, and nothing else is.
#[test]
fn failing_requests() {
    let mut world = plant(Effect::LatencySpike { bound: Bound::Version(NEW), factor: 8.0, add: Span::ZERO });
    world.fleet.concurrency = 16;
    let quantiles = [vec![Span::millis(4); 20], vec![Span::millis(80)]].concat();
    world.fleet.service = Distribution::Empirical(Arc::from(quantiles));
    let rate = 0.05 * (80.0 - 31.25) / 76.0;
    let signal = SignalKind::ErrorRate { window: Span::secs(60), level: Level::each(0.95) };
    let mut rule = rule("rule", 0, Comparison::Greater, 0.02);
    rule.looks = 2;
    // Latencies are not lognormal, and failures are those of a known share.
    holds(&Case::new(world, signal, rule, Shift::Failure(rate)), &[0.8, 1.25].map(|by| Shift::Failure(by * rate)));
}

/// A feature moves by 0.4 standard deviations, told by Kolmogorov and Smirnov against the canary's own first minute.
#[test]
fn a_feature_that_moves_by_ks() {
    let world = plant(drift(3, 0.4));
    let reference = Reference::Own(Span::secs(60));
    let signal = SignalKind::comparison(Columns::Feature(3), Span::secs(30), reference, 100, Test::Ks(Ks::default()));
    let p = signal.fields().iter().position(|f| *f == "p").expect("it has a p-value");
    let mut rule = rule("rule", 0, Comparison::Less, 0.0005);
    rule.when.left.value = Some(Field { signal: SignalId(0), field: p, baseline: false });
    let shift = |by: f64| Shift::Feature { column: 3, by };
    holds(&Case::new(world, signal, rule, shift(0.4)), &[0.33, 0.48].map(shift));
}

/// A sensor moves and the truth does not: of a model that knows the concept, wrong answers get more by what the logit moves. Told
/// by accuracy on labels that come half a minute late, some never.
#[test]
fn wrong_answers_by_late_labels() {
    let by = 3.0;
    let mut world = plant(drift(0, by));
    let delay = Distribution::lognormal(Span::secs(25), Span::secs(80));
    world.sources[0].labels = LabelConfig { delay: Some(delay), lost: 0.05 };
    let (weights, bias) = concept();
    let deviation = weights.iter().map(|w| w * w).sum::<f64>().sqrt();
    // The share of wrong answers where the logit is normal and the answer is the sign of the logit moved: by its mean over the
    // middles of cells of equal probability.
    let wrong = |moved: f64| {
        let cells = 20_000;
        let of = |i: i32| {
            let logit = bias + deviation * normal::quantile((f64::from(i) + 0.5) / f64::from(cells));
            let one = 1.0 / (1.0 + libm::exp(-logit));
            if logit + moved >= 0.0 { 1.0 - one } else { one }
        };
        (0..cells).map(of).sum::<f64>() / f64::from(cells)
    };
    let (healthy, shifted) = (wrong(0.0), wrong(by * weights[0]));
    let signal = SignalKind::Labelled {
        measure: Quality::Accuracy,
        labels: 400,
        min: 200,
        threshold: 0.5,
        level: Level::each(0.95),
    };
    let mut rule = rule("rule", 0, Comparison::Less, 1.0 - (2.0 * healthy + shifted) / 3.0);
    rule.looks = 2;
    let mut case = Case::new(world, signal, rule, Shift::Wrong(shifted));
    case.ask.wrong_rate = Some(healthy);
    holds(&case, &[0.8, 1.25].map(|by| Shift::Wrong(healthy + by * (shifted - healthy))));
}

/// A feature moves by 0.3 standard deviations, told by a CUSUM.
#[test]
fn a_feature_that_moves_by_cusum() {
    let shift = |by: f64| Shift::Feature { column: 1, by };
    holds(&Case::cusum(0.3, 0.2, 30.0), &[0.25, 0.35].map(shift));
}

/// The same in the second stage of a rollout. That it had the first stage's share there would be seen.
#[test]
fn a_shift_in_the_second_stage() {
    let mut case = Case::cusum(0.3, 0.2, 30.0);
    case.setup = with_stages(case.setup, &[(10, 0.1), (40, STAGE.1)]);
    (case.ask.stage, case.ask.changes) = (2, vec![Span::secs(FAULT - 40)]);
    let simulated = holds(&case, &[]);
    let setting = case.predicted(case.shift).setting;
    assert!((setting.rate - 60.0).abs() < 3.0 && (setting.share - STAGE.1).abs() < 0.01, "{setting:?}");
    case.ask.share = Some(0.1);
    let other = compared(&simulated, &case.predicted(case.shift));
    assert!(!other.iter().all(inside), "the first stage's share would pass: {other:?}");
}

/// Of a CUSUM that alarms now and then without a shift: the share of rollouts in which it does is that of the plant, and
/// observations per alarm are its ARL0. Those of a chart that is a little lower would be seen to be others.
#[test]
fn false_alarms_are_those_of_the_plant() {
    let (k, h) = (0.2, 13.0);
    let without_fault = |h: f64| {
        let mut case = Case::cusum(0.3, k, h);
        Arc::make_mut(&mut case.setup.world).faults.clear();
        case.setup.faults.clear();
        case
    };
    let fired = without_fault(h).fired();
    let happened = (fired.iter().filter(|at| **at != SimTime::NEVER).count() as u64, trials());
    let predicted = |h: f64| {
        let case = without_fault(h);
        case.predicted(case.shift).rules[0].alarms
    };
    let differs = |alarms: FalseAlarms| {
        let difference = newcombe(happened, (alarms.events, alarms.rollouts), CONFIDENCE).expect("shares");
        difference.low > 0.0 || difference.high < 0.0
    };
    let (alarms, lower) = (predicted(h), predicted(10.0));
    println!("{happened:?} {alarms:?} {lower:?}");
    assert!(happened.0 > 20 && !differs(alarms), "{happened:?} {alarms:?}");
    assert!(differs(lower), "{happened:?} {lower:?}");
    let rate = poisson_rate(alarms.events, alarms.requests as f64, CONFIDENCE).expect("a rate");
    let known = |h: f64| 1.0 / Cusum { reference: k, threshold: h }.arl(0.0, 0.0).expect("known");
    assert!((rate.low..rate.high).contains(&known(h)), "{rate:?} {}", known(h));
    assert!(!(rate.low..rate.high).contains(&known(h - 1.0)) && !(rate.low..rate.high).contains(&known(h + 1.0)));
}

/// The CUSUM of the likelihood ratio from its worst past, looked at nearly as often as requests come, is about as fast as is
/// possible; looked at every two seconds it is not.
#[test]
fn the_optimal_rule_is_efficient() {
    let by = 0.5;
    let efficiency = |scrape: Span| {
        let mut case = Case::cusum(by, by / 2.0, 12.0);
        let world = Arc::make_mut(&mut case.setup.world);
        world.faults.clear();
        (world.telemetry.scrape, world.telemetry.lag) = (scrape, Span::millis(10));
        case.setup.faults.clear();
        // Before the canary has its first request: its chart stands where it starts.
        (case.ask.changes, case.ask.within) = (vec![Span::secs(2)], Some(Span::secs(20)));
        let row = case.predicted(case.shift).rules[0].rows[0].clone();
        assert!(!row.censored, "{row:?}");
        row.optimum.expect("it is known").efficiency
    };
    let (often, seldom) = (efficiency(Span::millis(50)), efficiency(Span::secs(2)));
    println!("{often} {seldom}");
    assert!((0.88..1.03).contains(&often), "{often}");
    assert!(seldom < often - 0.1, "{often} {seldom}");
}

/// What a rule finds that fires without a shift as well is told beside how often it does, and has no efficiency; of one that had
/// fired before the stage nothing is told.
#[test]
fn what_fires_anyway_has_no_efficiency() {
    let mut case = Case::cusum(0.3, 0.2, 6.0);
    case.ask.trials = 60;
    case.setup = with_stages(case.setup, &[(10, 0.02), (40, STAGE.1)]);
    (case.ask.stage, case.ask.changes) = (2, vec![Span::secs(5)]);
    let rule = case.predicted(case.shift).rules[0].clone();
    let (alarms, still, row) = (rule.alarms, rule.still, &rule.rows[0]);
    assert_eq!(alarms.before + alarms.rollouts, 60);
    assert_eq!((still.trials, row.trials > 0), (row.trials, true));
    assert!(still.fired as f64 > 0.5 * still.trials as f64 && row.optimum.is_none(), "{still:?} {row:?}");

    let mut case = Case::cusum(0.3, 0.2, 1.0);
    case.ask.trials = 6;
    case.setup = with_stages(case.setup, &[(10, 0.1), (40, STAGE.1)]);
    (case.ask.stage, case.ask.changes) = (2, vec![Span::secs(FAULT - 40)]);
    let rule = case.predicted(case.shift).rules[0].clone();
    assert_eq!((rule.alarms.before, rule.alarms.rollouts, rule.alarms.per_day), (6, 0, None));
    assert!(rule.rows.is_empty() && rule.silent.is_some_and(|why| why.contains("before the stage")));
}

/// The same analysis on one thread and on three, and what cannot be asked.
#[test]
fn an_analysis_is_a_function_of_what_is_asked() {
    let world = plant(drift(1, 0.3));
    let signal = SignalKind::LatencyQuantile { quantile: 0.5, window: Span::secs(30), level: Level::each(0.95) };
    let case = Case::new(world, signal, against_baseline(1.3, 2), Shift::Latency(2.0));
    let plan = plan(&case.setup);
    let ask = |jobs: usize| Ask { trials: 6, jobs, ..Ask::default() };
    let one = power(&plan, &ask(1), &mpsc::channel().0).expect("a prediction");
    assert_eq!(Ok(&one), power(&plan, &ask(3), &mpsc::channel().0).as_ref());
    let refused = |ask: Ask| power(&plan, &ask, &mpsc::channel().0).expect_err("nothing to predict").to_string();
    assert_eq!(refused(Ask { stage: 2, ..ask(1) }), "there is no stage 2: the rollout has 1");
    assert!(refused(Ask { rule: Some("rul".to_owned()), ..ask(1) }).ends_with("has no rule `rul`: it has `rule`"));
    assert_eq!(refused(Ask { share: Some(0.0), ..ask(1) }), "the canary's share must be above 0 and at most 1");
    assert_eq!(refused(Ask { seed: u64::MAX, ..ask(1) }), "the seeds go beyond the largest number");
}
