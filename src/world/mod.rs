//! Owns the plant: traffic, router, replicas, inference, data layer, telemetry pipeline.

mod breakage;
pub mod config;
pub mod distribution;
mod due;
pub mod faults;
pub mod fleet;
pub mod inference;
pub mod orders;
mod outcomes;
pub mod plant;
pub mod predictions;
pub mod replica;
pub mod router;
pub mod schedule;
pub mod telemetry;
pub mod traffic;
