//! Statements that hold at every look hold where nothing is wrong: a rollout of the model that already serves is not turned back
//! by the policy that makes them, though labels come late and the version beside it hardly answers any more in the end.

mod common;

use common::models;
use rayon::prelude::*;
use rollcage::campaign::simulate_alone;
use rollcage::event::{Event, Verdict};
use rollcage::plan::{Vetting, load};
use rollcage::time::{SimTime, Span};
use std::path::Path;

#[test]
fn anytime_does_not_turn_back_the_model_that_already_serves() {
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    // The committed models are vetted by other tests.
    let mut vet = |_: &[u8], _: &_| Ok(Vetting { vetted: true, rowwise: true });
    let file = scenarios.join("silent-corruption.toml");
    let mut plan = load(&file, Some(Path::new("anytime")), &mut vet).unwrap_or_else(|e| panic!("{e:#?}"));
    // Nothing is wrong: no fault, and both versions have the same bytes. All traffic is on the new one from 18 minutes on, while
    // the labels of the old one's answers trickle in.
    plan.world.faults.clear();
    let old = plan.world.versions[0].clone();
    plan.world.versions[1].artifact = old.artifact;
    plan.world.versions[1].columns = old.columns;
    plan.world.horizon = SimTime::ZERO + Span::secs(40 * 60);
    (1..=3_u64).into_par_iter().for_each_init(models, |models, seed| {
        let report = simulate_alone(&plan, seed, models).expect("the runtime is there");
        let mut measured = 0;
        for recorded in &report.events {
            match &recorded.event {
                Event::Decided(d) if d.verdict != Verdict::Alert => {
                    let rules: Vec<&str> = d.rules.iter().map(|r| plan.policy.rules[r.index()].name.as_str()).collect();
                    panic!("seed {seed}: {:?} by {rules:?} at {}", d.verdict, recorded.at);
                }
                Event::Measured(m) if plan.policy.signals[m.signal.index()].name == "sprt-loss" => measured += 1,
                _ => {}
            }
        }
        // The comparison went on long enough for a false alarm to be possible.
        assert!(measured > 60, "seed {seed}: {measured} looks");
    });
}
