//! Owns the sans-IO controller: judge, strategy, governance, executor.

pub mod config;
