//! Owns measures and renderings: Trace → Incident → Report. Sees recorded facts only, so that a controller cannot grade
//! itself and `sim` and `live` are measured by the same code.

pub mod aggregate;
pub mod assess;
pub mod bits;
pub mod estimate;
pub mod expect;
pub mod fold;
pub mod incident;
pub mod judge;
pub mod milestones;
pub mod objective;
pub mod power;
pub mod recovery;
pub mod render;
pub(crate) mod series;
pub mod trial;
pub mod validation;
pub mod verify;
