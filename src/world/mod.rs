//! Owns the plant.
pub mod inference;
