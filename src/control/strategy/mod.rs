//! Owns strategies: what to do next, given what was measured.

pub mod analysis;
mod analysis_limits;
pub mod analysis_rules;
