//! Owns what a replica tells Prometheus.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::clock;
use super::slots::Threads;
use super::usage::Usage;
use crate::digest::Digest;

/// How a request for inference ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Answered.
    Ok,
    /// Refused: the request's own fault.
    Invalid,
    /// The model failed.
    Failed,
    /// Refused: the queue was full.
    Shed,
    /// No slot answered in time.
    Timeout,
    /// Whoever asked went away before the answer.
    Abandoned,
}

/// In the order of [`Outcome`].
const OUTCOMES: [&str; 6] = ["ok", "invalid", "failed", "shed", "timeout", "abandoned"];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Model {
    model: String,
    version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    model: String,
    version: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Artifact {
    model: String,
    version: String,
    digest: String,
}

/// All metrics of the process.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<Ended, Counter>,
    duration: Family<Model, Histogram, fn() -> Histogram>,
    waiting: Family<Model, Gauge>,
    running: Family<Model, Gauge>,
    artifacts: Family<Artifact, Gauge>,
    pub(super) threads: Threads,
}

/// The metrics of one model's version, looked up once.
#[derive(Debug, Clone)]
pub(super) struct ModelMetrics {
    ended: [Counter; OUTCOMES.len()],
    /// Seconds from the whole request to the whole answer, of those that were answered.
    pub(super) duration: Histogram,
    /// Requests before the slots.
    pub(super) waiting: Gauge,
    /// Requests in slots.
    pub(super) running: Gauge,
}

impl ModelMetrics {
    pub(super) fn ended(&self, outcome: Outcome) {
        self.ended[outcome as usize].inc();
    }
}

/// From 50 µs to 52 s, each twice the one before: one grid for small models and for held slots.
fn histogram() -> Histogram {
    Histogram::new(prometheus_client::metrics::histogram::exponential_buckets(50e-6, 2.0, 21))
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::default();
        let requests = Family::default();
        registry.register("rollcage_infer_requests", "Inference requests by how they ended", requests.clone());
        let duration = Family::new_with_constructor(histogram as fn() -> Histogram);
        registry.register_with_unit(
            "rollcage_infer_duration",
            "Time from the whole request to the whole answer, of answered requests",
            Unit::Seconds,
            duration.clone(),
        );
        let waiting = Family::default();
        registry.register("rollcage_infer_queued", "Requests that wait for a slot", waiting.clone());
        let running = Family::default();
        registry.register("rollcage_infer_in_flight", "Requests that occupy a slot", running.clone());
        let artifacts = Family::default();
        registry.register("rollcage_artifact_info", "1 for the model bytes that are loaded", artifacts.clone());
        let threads = Threads::default();
        registry.register("rollcage_slots", "Threads for inference, of all models", threads.live.clone());
        registry.register(
            "rollcage_slots_lost",
            "Those among them whose model is gone: in native code that has not returned",
            threads.lost.clone(),
        );
        registry.register_collector(Box::new(Usage));
        if let Some(seconds) = clock::unix_seconds() {
            let start: Gauge<f64, AtomicU64> = Gauge::default();
            start.set(seconds);
            registry.register_with_unit("process_start_time", "When the process started", Unit::Seconds, start);
        }
        Self { registry, requests, duration, waiting, running, artifacts, threads }
    }

    /// The metrics of a model's version. They are told until it is [forgotten](Self::forget).
    pub(super) fn of(&self, model: &str, version: &str) -> ModelMetrics {
        let labels = Model { model: model.to_owned(), version: version.to_owned() };
        let ended = OUTCOMES.map(|outcome| {
            let Model { model, version } = labels.clone();
            self.requests.get_or_create_owned(&Ended { model, version, outcome })
        });
        ModelMetrics {
            ended,
            duration: self.duration.get_or_create_owned(&labels),
            waiting: self.waiting.get_or_create_owned(&labels),
            running: self.running.get_or_create_owned(&labels),
        }
    }

    /// Tells no more of a model's version. Requests that it still answers count where nobody looks.
    pub(super) fn forget(&self, model: &str, version: &str) {
        let labels = Model { model: model.to_owned(), version: version.to_owned() };
        self.duration.remove(&labels);
        self.waiting.remove(&labels);
        self.running.remove(&labels);
        for outcome in OUTCOMES {
            let Model { model, version } = labels.clone();
            self.requests.remove(&Ended { model, version, outcome });
        }
    }

    /// Tells that these bytes are loaded, or are not any more.
    pub(super) fn artifact(&self, model: &str, version: &str, digest: Digest, loaded: bool) {
        let labels = Artifact { model: model.to_owned(), version: version.to_owned(), digest: digest.to_string() };
        if loaded {
            self.artifacts.get_or_create(&labels).set(1);
        } else {
            self.artifacts.remove(&labels);
        }
    }

    /// The exposition, as OpenMetrics 1.0.
    pub(super) fn openmetrics(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }

    /// The exposition, as Prometheus's older text format, for who asks for it.
    pub(super) fn classic(&self) -> String {
        classic(&self.openmetrics())
    }
}

/// The two formats differ in the comments: no unit, no end mark, and a counter's family has the name of its samples.
fn classic(openmetrics: &str) -> String {
    let counters: Vec<&str> =
        openmetrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut out = String::with_capacity(openmetrics.len());
    for line in openmetrics.lines().filter(|line| !line.starts_with("# UNIT ") && *line != "# EOF") {
        let comment = ["# HELP ", "# TYPE "].into_iter().find_map(|kind| Some((kind, line.strip_prefix(kind)?)));
        match comment.and_then(|(kind, rest)| Some((kind, rest.split_once(' ')?))) {
            Some((kind, (name, rest))) if counters.contains(&name) => {
                out.extend([kind, name, "_total ", rest]);
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_tell_the_same_samples() {
        let metrics = Metrics::new();
        let model = metrics.of("m", "1");
        model.ended(Outcome::Shed);
        model.duration.observe(0.001);
        metrics.artifact("m", "1", Digest::of(b""), true);
        let new = metrics.openmetrics();
        let old = classic(&new);
        let samples = |text: &str| -> Vec<String> {
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
        };
        assert_eq!(samples(&new), samples(&old));
        assert!(new.ends_with("# EOF\n") && !old.contains("# EOF") && !old.contains("# UNIT"));
        assert!(old.contains("# TYPE rollcage_infer_requests_total counter\n"), "{old}");
        assert!(old.contains("# TYPE process_cpu_seconds_total counter\n"), "{old}");
        assert!(old.contains("rollcage_infer_requests_total{model=\"m\",version=\"1\",outcome=\"shed\"} 1\n"), "{old}");
        metrics.artifact("m", "1", Digest::of(b""), false);
        metrics.forget("m", "1");
        assert!(!metrics.classic().contains("model="), "{}", metrics.classic());
    }
}
