//! Owns measures and renderings: Trace → Incident → Report. Sees recorded facts only, so that a controller cannot grade
//! itself and `sim` and `live` are measured by the same code.

pub mod expect;
pub mod objective;
pub mod trial;
