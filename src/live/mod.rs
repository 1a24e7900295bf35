//! Owns real time: replicas as real processes, real requests over HTTP, real faults, and the same controller.

pub mod replica;
pub mod v2;
