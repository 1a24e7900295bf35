//! Owns signals: streaming detectors over telemetry, one file a family, and the table of their kinds.

pub mod config;
