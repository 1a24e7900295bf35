//! Owns real time: replicas as real processes, real requests over HTTP, real faults, and the controller of the simulator,
//! unchanged.
//!
//! ```text
//!  pace (open loop) ──► router ──► proxy ──► replica process      faults: bytes on disk, SIGKILL, SIGSTOP, latency in the
//!       │                 │  ▲       ▲           │ /v2 /metrics           replica, network cut or slowed in the proxy
//!       │                 │  └ PUT /weights      │
//!       ▼                 ▼                      ▼
//!   one mailbox ◄── ends, phases, deaths, scrapes, answers
//!       │
//!       ▼
//!    Driver ──Input──► Controller ──Action──► Driver ──► recorder ──► the same Trace and RunRecord as the simulator's
//! ```
//!
//! Everything that happens reaches the driver through one mailbox, so that there is one order of facts and no lock. Traffic
//! comes from the simulator's streams: the same seed sends the same rows at the same instants. A request's latency counts from
//! the instant at which it was to be sent, so that a stall cannot hide requests that were sent late (coordinated omission; Gil
//! Tene, "How not to measure latency", 2015).
//!
//! # Where this differs from the simulated plant
//!
//! | here | there |
//! |---|---|
//! | driver, router, proxies, detectors and replicas share the machine and its clock: what keeps the driver busy makes answers late ([`Observed::lateness`] tells how late requests were sent) | nobody is in anybody's way |
//! | a reading waits for the slowest replica, a quarter of a second at most | one that does not answer delays nothing |
//! | service takes what it takes; `latency-spike` adds to it in the replica, `factor` multiplies the time of the run itself | a distribution of the scenario |
//! | a start takes what it takes | `[fleet] start` |
//! | telemetry lags by what the scrape takes; `[telemetry] lag` is not added | the declared lag |
//! | orders take what HTTP takes | `[fleet] control_delay` |
//! | bytes that rot in mapped pages are loaded anew by those that run, a moment later: ONNX Runtime keeps a copy of its own | at once |
//! | a replica that crashed is out of the router when its process has ended, a moment later | at once |

mod client;
mod clock;
mod dispatch;
pub(crate) mod driver;
mod faults;
mod fleet;
mod foreign;
mod gate;
pub mod interrupt;
mod message;
mod openmetrics;
mod pace;
mod process;
mod proxy;
pub mod replica;
mod requests;
mod scrape;
pub mod v2;

pub use driver::run;

use crate::digest::Digest;
use crate::event::{Event, RequestEnd};
use crate::id::VersionId;
use crate::report::fold::RunRecord;
use crate::rng::Seed;
use crate::time::{SimTime, Span};
use crate::world::plant::FaultSet;
use std::path::PathBuf;

/// What a live run needs beside its plan.
#[derive(Debug, Clone)]
pub struct Options {
    /// The root seed of its traffic.
    pub seed: Seed,
    /// Declared faults that take part.
    pub faults: FaultSet,
    /// Keep every request's end: memory grows with the run.
    pub keep_requests: bool,
    /// The rollcage executable, which replicas are started from.
    pub exe: PathBuf,
    /// The ONNX Runtime library that replicas load.
    pub runtime: PathBuf,
    /// A replica that is not ready after this never will be.
    pub start_limit: Span,
    /// How foreign servers are recognised; needed where the plan names some.
    pub probes: Option<Probes>,
}

/// What [`Options::start_limit`] is unless somebody knows better.
pub const START_LIMIT: Span = Span::secs(60);

/// Rows whose answers tell which artifact a server serves that tells no digest.
#[derive(Debug, Clone, PartialEq)]
pub struct Probes {
    /// Rows of the first source, as received.
    pub rows: Vec<Vec<f32>>,
    /// By version: the score of each row.
    pub scores: Vec<Vec<f32>>,
}

/// What a live run leaves behind.
#[derive(Debug)]
pub struct LiveRun {
    /// As a simulated run's.
    pub record: RunRecord,
    /// Every request's end, if they were kept.
    pub requests: Vec<RequestEnd>,
    /// What was seen of the machine.
    pub observed: Observed,
}

/// What a run shows of the machine it ran on: what the simulator has a model of.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Observed {
    /// Each replica that became ready.
    pub starts: Vec<Started>,
    /// From each scrape's beginning until it reached the controller.
    pub telemetry_lag: Vec<Span>,
    /// From each weight order until the router had it.
    pub control_delay: Vec<Span>,
    /// How much later than intended each request was handed to the router.
    pub lateness: Vec<Span>,
}

/// How a replica became ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// The version that it serves.
    pub version: VersionId,
    /// How long it took to fetch (start the process), verify, load, warm up.
    pub spans: [Span; 4],
    /// Whether it was started while the run went on; the founding fleet is started before, all at once.
    pub during: bool,
}

/// Why there was no live run.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// The plan asks for what cannot be done here.
    #[error("this scenario cannot run live:\n{}", lines(.0))]
    Unsupported(Vec<String>),
    /// The machine refuses something.
    #[error("{0}")]
    Environment(String),
    /// No replica of the first version became ready.
    #[error("no replica became ready:\n{}", lines(.0))]
    NotReady(Vec<String>),
    /// Somebody ended it.
    #[error("interrupted")]
    Interrupted,
}

fn lines(all: &[String]) -> String {
    all.iter().map(|line| format!("  - {line}")).collect::<Vec<_>>().join("\n")
}

/// Hears of facts as they are recorded.
pub type Told<'a> = dyn FnMut(SimTime, &Event) + 'a;

/// A digest that no bytes have: what a server serves that answers as no version does.
pub(crate) fn unknown(scores: &[f32]) -> Digest {
    let bytes: Vec<u8> = scores.iter().flat_map(|s| s.to_le_bytes()).collect();
    Digest::of(&[b"answers of an unknown model".as_slice(), &bytes].concat())
}
