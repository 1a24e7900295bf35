//! Owns the way from files to a [`Plan`]: scenario, policy, manifests and tables, checked, resolved and put together from
//! each module's own typed configuration.
//!
//! ```text
//! text ─document─► nodes with places ─schema─► right structure ─serde─► wire types ─resolve─► Plan
//! ```
//! Each stage reports all mistakes it finds as [`diagnostic::Diagnostic`]s that point into the file they are made in. After
//! this, nothing can fail because of configuration.

pub mod about;
pub mod diagnostic;
pub mod document;
pub mod examples;
pub mod expression;
pub mod fault;
pub mod files;
mod load;
pub mod outcome;
pub mod policy;
mod resolve;
pub mod scenario;
pub mod schema;
pub mod signals;
pub mod table;
pub mod units;

pub use load::{load, load_from, policy_alone};

use crate::artifact::Signature;
use crate::control::config::{PolicyConfig, RolloutConfig};
use crate::id::Names;
use crate::report::expect::Expectation;
use crate::report::objective::Objective;
use crate::world::config::WorldConfig;

/// Everything a trial needs but its seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The scenario's name.
    pub name: String,
    /// What happens.
    pub summary: String,
    /// Where it shows.
    pub look_at: String,
    /// The plant.
    pub world: WorldConfig,
    /// What happens while nobody objects.
    pub rollout: RolloutConfig,
    /// The policy under test.
    pub policy: PolicyConfig,
    /// What users were promised.
    pub objective: Objective,
    /// Words for all indices.
    pub names: Names,
    /// What must come out, for this and for other policies.
    pub expectations: Vec<Expectation>,
    /// Each fault in words a person reads.
    pub fault_words: Vec<String>,
    /// The file of the scenario's live-sized variant.
    pub live: Option<std::path::PathBuf>,
    /// Servers that a live run steers instead of starting its own.
    pub foreign: Option<Foreign>,
    /// A digest of the contents of all inputs: equal digests plan the same trial.
    pub digest: [u8; 32],
}

/// Servers that a live run did not start and steers: versions are put on them by load and taken off by unload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// Where they listen; the n-th replica of a version is on the n-th.
    pub servers: Vec<std::net::SocketAddr>,
    /// How each version is known to them, by [`VersionId`](crate::id::VersionId).
    pub models: Vec<ForeignModel>,
}

/// How a version is known to a foreign server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignModel {
    /// Its name there.
    pub name: String,
    /// The name of its input; `None`: as in the artifact.
    pub input: Option<String>,
    /// Features go as FP64 instead of FP32.
    pub double: bool,
    /// The name of the output with the score; `None`: as in the artifact.
    pub output: Option<String>,
    /// The column that is the score; `None`: as in the artifact.
    pub column: Option<usize>,
}

/// What trying out a model has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vetting {
    /// It loads and runs: its bytes may run in this process.
    pub vetted: bool,
    /// A row's score is the same whatever else is in its block.
    pub rowwise: bool,
}

/// Tries out the bytes of a model; the error says why they cannot be served.
pub type Vet<'a> = dyn FnMut(&[u8], &Signature) -> Result<Vetting, String> + 'a;

/// The JSON Schema of scenario files.
#[must_use]
pub fn scenario_schema() -> serde_json::Value {
    schema::of::<scenario::Scenario>()
}

/// The JSON Schema of policy files.
#[must_use]
pub fn policy_schema() -> serde_json::Value {
    schema::of::<policy::Policy>()
}
