//! Memory stays flat as simulated time grows. Peak memory is read from the kernel's own account of a process.
#![cfg(target_os = "linux")]

mod common;

use rollcage::control::config::PolicyConfig;
use rollcage::sim::run;
use rollcage::time::Span;
use std::process::Command;

const REQUESTS: &str = "ROLLCAGE_TEST_REQUESTS";
const RATE: u64 = 1500;

/// Run by the test below in a process of its own: a run of so many requests, then the peak of resident memory.
#[test]
fn child() {
    let Some(requests) = std::env::var(REQUESTS).ok().and_then(|n| n.parse::<u64>().ok()) else { return };
    let mut models = common::models();
    let config = common::world(RATE as f64, Span::secs(requests / RATE), 6);
    let record = run(&common::setup(config, PolicyConfig::hold(), 1), &mut models).expect("runs");
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).expect("the peak is told");
    println!("PEAK {} {}", record.counts.requests, line.split_whitespace().nth(1).expect("a number"));
}

/// Peak resident memory in KiB of a run of about so many requests.
fn peak_kib(requests: u64) -> u64 {
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "child", "--nocapture"])
        .env(REQUESTS, requests.to_string())
        .output()
        .expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let words: Vec<&str> = text.lines().find_map(|l| l.split_once("PEAK ")).expect("told").1.split(' ').collect();
    let (ran, peak): (u64, u64) = (words[0].parse().expect("a number"), words[1].parse().expect("a number"));
    assert!(ran.abs_diff(requests) < requests / 50, "{ran} requests ran, not about {requests}");
    println!("{ran} requests: peak {:.1} MiB", peak as f64 / 1024.0);
    peak
}

fn check(few: u64, many: u64) {
    let (small, large) = (peak_kib(few), peak_kib(many));
    // One bit a request is kept (by design), and the time axis may come nearer to its bound: 4096 bins.
    let bits_kib = many / 8 / 1024;
    let axis_kib = 24 * 1024;
    assert!(large <= small + bits_kib + axis_kib, "{large} KiB for {many} requests, {small} KiB for {few}");
}

#[test]
fn ten_times_the_requests_take_no_more_memory() {
    check(100_000, 1_000_000);
}

/// The figures of the README; second tier.
#[test]
fn twenty_million_requests_take_no_more_memory_than_one_million() {
    if std::env::var_os("ROLLCAGE_LONG_TESTS").is_none() {
        println!("not run: second tier, set ROLLCAGE_LONG_TESTS=1");
        return;
    }
    check(1_000_000, 20_000_000);
}
