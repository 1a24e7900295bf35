//! Stub of the crate root, so that `stats` builds on its own branch; the lead owns the real one.
#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub)]

pub mod stats;
