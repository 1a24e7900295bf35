//! Owns the sans-IO controller: judge, strategy, governance, executor.

pub mod config;
pub mod controller;
mod executor;
mod governance;
mod judge;
