//! Owns the step from what was written to what it means: each wire type into the typed configuration of its module.
//!
//! Every function notes all mistakes it finds and goes on with what is left; `None` where nothing usable is left.

pub(crate) mod expect;
pub(crate) mod faults;
pub(crate) mod foreign;
pub(crate) mod models;
pub(crate) mod outcomes;
pub(crate) mod policy;
pub(crate) mod signals;
pub(crate) mod traffic;
pub(crate) mod words;

use crate::event::Weight;
use crate::id::VersionId;
use crate::plan::diagnostic::Diagnostic;
use crate::plan::document::Place;
use crate::plan::scenario::{self, Distribution as WireDistribution, Loss as WireLoss};
use crate::plan::units;
use crate::report::objective::{Loss, Objective, Recovery};
use crate::time::{SimTime, Span};
use crate::world::config::{Fleet, Memory, Telemetry};
use crate::world::distribution::Distribution;

/// An index newtype's number; the schema bounds every list well below its range.
pub(crate) fn small(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}

pub(crate) fn distribution(wire: &WireDistribution, place: &Place<'_>, found: &mut Vec<Diagnostic>) -> Distribution {
    match wire {
        WireDistribution::Lognormal { median, p99 } => {
            if p99.0 < median.0 {
                let message = "the 99th percentile of a lognormal is below its median";
                found.push(place.at("p99").wrong(message).label(format!("below the median, {}", median.0)));
            }
            Distribution::lognormal(median.0, p99.0)
        }
        WireDistribution::Exponential { mean } => Distribution::Exponential { mean: mean.0 },
        WireDistribution::Constant { value } => Distribution::Constant(value.0),
    }
}

pub(crate) fn objective(wire: &scenario::Objective) -> Objective {
    Objective {
        latency: wire.latency.map(|l| l.p99.0),
        failure_rate: wire.failure_rate.0,
        period: wire.period.0,
        loss: match wire.loss {
            WireLoss::ZeroOne { threshold } => Loss::ZeroOne { threshold: threshold.0 },
            WireLoss::Absolute { tolerance } => Loss::Absolute { tolerance },
        },
        recovery: Recovery {
            window: wire.recovery.window.0,
            requests: u64::from(wire.recovery.requests),
            margin: wire.recovery.margin.0,
            latency_margin: wire.recovery.latency_margin,
            guard: wire.recovery.guard.0,
        },
    }
}

pub(crate) fn telemetry(wire: &scenario::Telemetry) -> Telemetry {
    Telemetry { scrape: wire.scrape.0, lag: wire.lag.0, loss: wire.loss.0 }
}

pub(crate) fn fleet(wire: &scenario::Fleet, place: &Place<'_>, models: &[&str], found: &mut Vec<Diagnostic>) -> Fleet {
    let mut standby = Vec::new();
    for (name, replicas) in &wire.standby {
        let at = place.at("standby").at(name);
        match models.iter().position(|m| m == name) {
            Some(version) => standby.push((VersionId(small(version)), *replicas)),
            None => {
                let help = crate::plan::diagnostic::did_you_mean(name, models, "models");
                found.push(at.wrong_key(format!("unknown model `{name}`")).label("no such model").maybe_help(help));
            }
        }
    }
    standby.sort();
    let memory = wire.memory.map(|memory| Memory {
        base: memory.base.0,
        per_request: memory.per_request.0,
        limit: memory.limit.map(|limit| limit.0),
    });
    if let Some(Memory { base, limit: Some(limit), .. }) = memory
        && limit <= base
    {
        let message = "a replica that holds nothing is at its memory limit";
        let label = format!("not above the base, {}", units::show_size(base));
        let help = "the loaded model and the requests that a replica holds come on top of `base`";
        found.push(place.at("memory").at("limit").wrong(message).label(label).help(help));
    }
    let start = &wire.start;
    Fleet {
        replicas: wire.replicas,
        concurrency: wire.concurrency,
        queue: wire.queue,
        timeout: wire.timeout.0,
        start: [start.fetch.0, start.verify.0, start.load.0, start.warm_up.0],
        service: distribution(&wire.service_time, &place.at("service_time"), found),
        standby,
        memory,
    }
}

pub(crate) fn stages(
    wire: &[scenario::Stage],
    horizon: Span,
    place: &Place<'_>,
    found: &mut Vec<Diagnostic>,
) -> Vec<(SimTime, Weight)> {
    let mut last: Option<Span> = None;
    for (i, stage) in wire.iter().enumerate() {
        let at = place.at(i).at("at");
        if last.is_some_and(|last| stage.at.0 <= last) {
            found.push(at.wrong("stages are not in order of time").label("not after the stage before"));
        } else if stage.at.0 >= horizon {
            found.push(at.wrong("the stage begins after the end").label(format!("the horizon is {horizon}")));
        }
        last = Some(stage.at.0);
    }
    wire.iter().map(|s| (SimTime(s.at.0.0), Weight::from_share(s.weight.0))).collect()
}
