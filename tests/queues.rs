//! The plant as a queue, against Erlang's formulas.

mod common;

use common::{models, setup, without_rollout, world};
use rollcage::control::config::PolicyConfig;
use rollcage::event::{Outcome, RequestEnd};
use rollcage::sim::Sim;
use rollcage::stats::queueing;
use rollcage::time::Span;
use rollcage::world::config::WorldConfig;
use rollcage::world::distribution::Distribution;

/// A single station: `servers` slots, an endless queue, patient users.
fn station(rate: f64, servers: u32, service: Distribution, hours: u64) -> WorldConfig {
    let mut config = world(rate, Span::secs(hours * 3600), 1);
    config.fleet.concurrency = servers;
    config.fleet.queue = u32::MAX;
    config.fleet.timeout = Span::secs(1_000_000);
    config.fleet.service = service;
    config.telemetry.scrape = Span::secs(600);
    config
}

/// Mean time in the system of all answered requests, seconds, with the standard error from 30 batches.
fn mean_sojourn(config: WorldConfig, seed: u64) -> (f64, f64) {
    let mut models = models();
    let mut setup = without_rollout(setup(config, PolicyConfig::hold(), seed));
    setup.keep_requests = true;
    let (_, ends) = Sim::new(&setup, &mut models).expect("runs").finish(&mut models).expect("runs");
    assert!(ends.iter().all(|e| e.outcome == Outcome::Answered), "patient users of an endless queue are all served");
    let sojourn = |e: &RequestEnd| e.ended.since(e.arrived).as_secs_f64();
    let batches: Vec<f64> =
        ends.chunks(ends.len() / 30).take(30).map(|c| c.iter().map(sojourn).sum::<f64>() / c.len() as f64).collect();
    let mean = batches.iter().sum::<f64>() / 30.0;
    let variance = batches.iter().map(|b| (b - mean).powi(2)).sum::<f64>() / 29.0;
    (mean, (variance / 30.0).sqrt())
}

fn check(name: &str, expected_s: f64, (mean, error): (f64, f64)) {
    println!("{name}: expected {expected_s:.6} s, measured {mean:.6} ± {error:.6} s");
    assert!((mean - expected_s).abs() < 4.0 * error, "{name}: {mean} is not {expected_s} ± 4·{error}");
    assert!(error < 0.05 * expected_s, "{name}: {error} is too wide to say anything");
}

#[test]
fn one_exponential_server_waits_as_mm1() {
    let mean = Span::millis(10);
    let expected = queueing::Mmc::new(70.0, 100.0, 1).expect("stable").mean_response();
    check("M/M/1", expected, mean_sojourn(station(70.0, 1, Distribution::Exponential { mean }, 1), 1));
}

#[test]
fn one_constant_server_waits_as_md1() {
    let expected = queueing::md1_mean_wait(70.0, 100.0).expect("stable") + 0.010;
    check("M/D/1", expected, mean_sojourn(station(70.0, 1, Distribution::Constant(Span::millis(10)), 1), 2));
}

#[test]
fn several_exponential_servers_wait_as_mmc() {
    let mean = Span::millis(10);
    let expected = queueing::Mmc::new(340.0, 100.0, 4).expect("stable").mean_response();
    check("M/M/4", expected, mean_sojourn(station(340.0, 4, Distribution::Exponential { mean }, 1), 3));
}
