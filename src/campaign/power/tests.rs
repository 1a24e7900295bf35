//! Likelihood ratios of shipped scenarios.

use super::*;
use crate::artifact::Signature;
use crate::campaign::power::evidence::{Deal, Question};
use crate::id::OutcomeId;
use crate::plan::{Vetting, load};
use crate::rng::Stream;
use crate::stats::summary::Summary;
use std::path::Path;

pub(super) fn plan_of(scenario: &str) -> Plan {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(scenario);
    let mut trusting = |_: &[u8], _: &Signature| Ok(Vetting { vetted: false, rowwise: false });
    load(&path, None, &mut trusting).expect("it is shipped")
}

/// Of any data the likelihood ratio has the mean 1 without the shift, and its inverse with it: a factor forgotten, a sign turned,
/// or a law that is dealt otherwise than it is judged shows there. Over two seconds, in which few requests come.
#[test]
fn likelihood_ratios_have_the_mean_one() {
    let normal = plan_of("crossed-features.toml");
    let replay = plan_of("replica-crash.toml");
    let (score, features) = (Info::SCORE, Info::FEATURES);
    let (labels, outcomes) = (Info::LABELS, Info::OUTCOMES);
    let none = Info::default();
    let outcome = Shift::Outcome { of: OutcomeId(0), factor: 0.6 };
    let feature = Shift::Feature { column: 3, by: 0.3 };
    let cases = [
        (&normal, Shift::Latency(1.15), none),
        (&normal, Shift::Failure(0.05), none),
        (&normal, feature, features),
        (&normal, feature, features.with(score)),
        (&normal, Shift::Score(0.3), score),
        (&normal, Shift::Score(0.3), score.with(labels)),
        (&normal, Shift::Wrong(0.3), labels),
        (&normal, Shift::Wrong(0.21), labels.with(score)),
        (&normal, Shift::Wrong(0.21), labels.with(score).with(features)),
        (&replay, outcome, outcomes),
        (&replay, outcome, outcomes.with(labels)),
        (&replay, outcome, outcomes.with(Info::FAILURES)),
    ];
    for (plan, shift, info) in cases {
        // Labels at once, or none would be there by then.
        let mut plan = plan.clone();
        for source in &mut plan.world.sources {
            source.labels.delay = Some(crate::world::distribution::Distribution::Constant(Span::ZERO));
            for outcome in &mut source.outcomes {
                outcome.delay = crate::world::distribution::Distribution::Constant(Span::ZERO);
            }
        }
        let ask = Ask { failure_rate: Some(0.02), wrong_rate: Some(0.2), ..Ask::default() };
        let frame = Frame::new(&plan, &ask).expect("a frame");
        let (within, at) = (Span::secs(2), frame.changes[1]);
        let grid = evidence::grid(within);
        let mean = |shifted: bool| -> Summary {
            let tape = Tape::new(&frame.bench, Seed(1));
            let came = evidence::came(&frame.bench, &tape, at, within);
            assert!(came.len() > 5, "{}", came.len());
            let ratio = |n: u64| {
                let of = Question { bench: &frame.bench, shift, info, shifted };
                let luck = Stream::named(Seed(n), "evidence-test", if shifted { "with" } else { "without" });
                let mut deal = Deal::new(of, &came, &grid, luck);
                let sum = (0..grid.len()).fold(0.0, |_, place| deal.by(&grid, place).0);
                libm::exp(if shifted { -sum } else { sum })
            };
            Summary::of(&(0..20_000).map(ratio).collect::<Vec<f64>>())
        };
        for shifted in [false, true] {
            let of = mean(shifted);
            let (mean, error) = (of.mean().expect("runs"), of.standard_deviation().expect("runs") / 20_000f64.sqrt());
            assert!(error < 0.1, "{shift:?} {info:?}: too noisy to tell, {error}");
            assert!((mean - 1.0).abs() < 4.5 * error, "{shift:?} {info:?} {shifted}: {mean} +- {error}");
            assert!(error > 0.0, "{shift:?} {info:?}: nothing is told");
        }
    }
}

/// What a rule could know is told in full: its bound would be none otherwise. An answer is wrong at 0.5; who counts at another
/// threshold knows something else of the score; and an outcome hangs on whether there was an answer.
#[test]
fn a_bound_knows_what_its_rule_knows() {
    let text = "name = \"p\"\n\
        [signals.right]\nkind = \"accuracy\"\nwindow = { labels = 500 }\n\
        [signals.sharp]\nkind = \"accuracy\"\nwindow = { labels = 500 }\nthreshold = 0.3\n\
        [signals.wrong]\nkind = \"adwin\"\nof = \"wrong\"\n\
        [signals.strict]\nkind = \"adwin\"\nof = \"wrong\"\nclass_threshold = 0.7\n\
        [signals.errors]\nkind = \"error-rate\"\nwindow = \"60s\"\n\
        [signals.budget]\nkind = \"burn-rate\"\nslo = 0.99\n\
        [signals.failing]\nkind = \"adwin\"\nof = \"failure\"\n\
        [signals.slow]\nkind = \"latency-quantile\"\nwindow = \"60s\"\n";
    let rules = ["right.value < 0.5", "sharp.value < 0.5", "wrong.alarm > 0", "strict.alarm > 0"];
    let more = ["errors.value > 0.1", "budget.ratio > 1", "failing.alarm > 0", "slow.value > 1"];
    let all: Vec<&str> = rules.into_iter().chain(more).collect();
    let text = all
        .iter()
        .fold(text.to_owned(), |text, when| format!("{text}[[rule]]\nwhen = \"{when}\"\nthen = \"rollback\"\n"));
    let policy = crate::plan::policy_alone("p.toml", &text).expect("a policy");
    let known: Vec<Info> = policy.rules.iter().map(|rule| shift::of_rule(&policy, rule).1).collect();
    let (labels, failures) = (Info::LABELS, Info::FAILURES);
    let more = labels.with(Info::SCORE);
    assert_eq!(known, [labels, more, labels, more, failures, failures, failures, failures]);
    assert!(labels.with(failures).only_labels(), "failures are drawn apart from right and wrong");
    assert!(!Info::OUTCOMES.with(failures).only_outcomes() && Info::OUTCOMES.only_outcomes());
}

/// A canary is well before its shift: of a bad release the service time of what should have shipped is taken.
#[test]
fn a_bad_release_is_not_the_healthy_state() {
    let plan = plan_of("slow-burn.toml");
    let to = plan.rollout.to.index();
    assert!(plan.world.versions[to].service.is_some(), "v2 is slow by itself");
    let frame = Frame::new(&plan, &Ask::default()).expect("a frame");
    assert_eq!(frame.bench.world.versions[to].service, None);
    let ask = Ask { trials: 12, shifts: vec![Shift::Latency(4.0)], ..Ask::default() };
    let told = power(&plan, &ask, &std::sync::mpsc::channel().0).expect("a prediction");
    // Of what reads gauges, which nobody simulates, nothing is claimed.
    let (gauges, others): (Vec<_>, Vec<_>) = told.rules.iter().partition(|r| r.silent.as_deref() == Some(GAUGES));
    assert!(gauges.len() == 3 && gauges.iter().all(|r| r.alarms.rollouts + r.alarms.before == 0 && r.rows.is_empty()));
    assert!(others.iter().all(|rule| rule.alarms.events == 0 && rule.alarms.rollouts == 12), "{told:?}");
}

/// A surge is traffic: it comes in a stage in which it is declared.
#[test]
fn a_surge_is_part_of_the_traffic() {
    let plan = plan_of("good-upgrade-surge.toml");
    let frame = Frame::new(&plan, &Ask { stage: 2, ..Ask::default() }).expect("a frame");
    let tape = Tape::new(&frame.bench, Seed(1));
    let a_minute = |minute: u64| {
        let came = tape.canary(&frame.bench, SimTime::ZERO + Span::secs(60 * minute));
        came.iter().take_while(|r| r.arrived < SimTime::ZERO + Span::secs(60 * (minute + 1))).count() as f64
    };
    let factor = a_minute(12) / a_minute(9);
    assert!((factor - 2.3).abs() < 0.15, "{factor}");
}

/// What cannot be asked is refused, and what has no row says why.
#[test]
fn nothing_is_left_out_without_a_word() {
    let predicted = |scenario: &str, ask: Ask| power(&plan_of(scenario), &ask, &std::sync::mpsc::channel().0);
    let few = Ask { trials: 3, ..Ask::default() };
    let refused = predicted("latency-spike.toml", Ask { wrong_rate: Some(0.9), ..few.clone() });
    assert!(refused.expect_err("half of them at most").to_string().contains("at most"));
    let errors = Ask { rule: Some("errors".to_owned()), failure_rate: Some(0.5), ..few.clone() };
    let errors = predicted("latency-spike.toml", errors).expect("a prediction");
    assert_eq!((errors.rules[0].silent.as_deref(), errors.rules[0].rows.len()), (Some(NOTHING_WORSE), 0));
    let burn = predicted("slow-burn.toml", Ask { rule: Some("fast-burn".to_owned()), ..few }).expect("a prediction");
    let kinds: Vec<_> = burn.rules[0].rows.iter().map(|row| row.kind).collect();
    assert!(
        [crate::report::power::Kind::Latency, crate::report::power::Kind::Failure].iter().all(|k| kinds.contains(k))
    );
}
