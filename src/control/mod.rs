//! Owns the sans-IO controller: judge, strategy, governance, executor.

pub mod config;

pub mod executor;
pub mod governance;
pub mod judge;
pub mod strategy;
