//! Exogenous facts are the same on any machine, for ever.
//!
//! The digest below covers arrivals, features, users, service draws and labels of a short trial, and the instants of its
//! faults. It depends on no CPU and on no build of ONNX Runtime; digests of inference do, and are pinned nowhere.
//!
//! **When it changes**, every digest that anybody has recorded changes with it. If that was not meant, the change that did
//! it is a bug: an order of drawing, a stream's name, a function of std where `libm` belongs. If it was meant, put the
//! new digest here, and write the change into `CHANGELOG.md` under **Value-breaking**, with the reason.

mod common;

use common::{NEW, models, setup, world};
use rollcage::control::config::PolicyConfig;
use rollcage::sim::run;
use rollcage::time::{SimTime, Span};
use rollcage::trace::Digests;
use rollcage::world::config::{Bound, Effect, Fault};

const EXOGENOUS: &str = "9875f778f5c8661f6ac4f3f824c217fd0a577c29094d3b95bb33ec5f7fda9475";

/// Four minutes with a slow canary; under a policy that never acts, or with another fleet.
fn digests(replicas: u32) -> Digests {
    let mut world = world(50.0, Span::secs(240), replicas);
    let minute = |m: u64| SimTime::ZERO + Span::secs(60 * m);
    world.faults.push(Fault {
        name: "spike".to_owned(),
        at: minute(3),
        until: Some(minute(4)),
        chance: 1.0,
        harmful: true,
        curable: true,
        effect: Effect::LatencySpike { bound: Bound::Version(NEW), factor: 8.0, add: Span::ZERO },
    });
    run(&setup(world, PolicyConfig::hold(), 1), &mut models()).expect("the runtime is there").trace.digests
}

#[test]
fn the_exogenous_digest_is_what_it_always_was() {
    let found = digests(3);
    assert_eq!(
        found.exogenous, EXOGENOUS,
        "exogenous facts have changed. Not meant: find out what drew differently (streams: {:#?}). Meant: pin the new \
         digest in tests/golden.rs and say so in CHANGELOG.md under Value-breaking",
        found.streams
    );
}

#[test]
fn another_fleet_meets_the_same_luck() {
    assert_eq!(digests(2).streams, digests(3).streams);
}
