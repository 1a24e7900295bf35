//! Likelihood ratios of shipped scenarios.

use super::*;
use crate::artifact::Signature;
use crate::campaign::power::evidence::{Deal, Question};
use crate::id::OutcomeId;
use crate::plan::{Vetting, load};
use crate::rng::Stream;
use crate::stats::summary::Summary;
use std::path::Path;

fn plan_of(scenario: &str) -> Plan {
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
        (&normal, Shift::Wrong(0.3), labels.with(score)),
        (&normal, Shift::Wrong(0.3), labels.with(score).with(features)),
        (&replay, outcome, outcomes),
        (&replay, outcome, outcomes.with(labels)),
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
    assert!(told.rules.iter().all(|rule| rule.alarms.events == 0 && rule.alarms.rollouts == 12), "{told:?}");
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
