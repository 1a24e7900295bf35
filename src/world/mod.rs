//! Owns the plant: traffic, router, replicas, inference, artifact store, data layer, telemetry pipeline.

pub mod config;
pub mod distribution;
pub mod inference;
