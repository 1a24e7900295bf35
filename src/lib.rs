//! A fault-injection and rollback lab for ML model serving.
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]

pub mod artifact;
pub mod campaign;
pub mod cli;
pub mod control;
pub mod detect;
pub mod digest;
pub mod event;
pub mod id;
pub mod plan;
pub mod report;
pub mod rng;
pub mod sim;
pub mod stats;
pub mod time;
pub mod trace;
pub mod world;
