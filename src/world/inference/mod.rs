//! Owns inference: real ONNX models, from the bytes a replica was given to the scores it answers. The only user of `ort`.
//!
//! ```text
//!                        ┌ vetted ──► Session in this process ─┐
//! bytes ──► Inference ───┤                                     ├──► scores of a block of 2048 rows
//!                        └ others ──► Worker process, limited ─┘     or each row's own outcome
//!                                       └► did not return, crashed: a verdict, remembered
//! ```
//!
//! What holds: an answer depends on the bytes, the runtime, the CPU type and the block's rows; not on time, on threads,
//! on load, or on what ran before. Native code may hang or crash on damaged bytes, so only vetted bytes run in process.
//! Inference takes no virtual time.

mod engine;
mod error;
mod fetch;
mod graph;
mod limits;
mod models;
mod outcome;
mod pins;
mod provision;
mod serve;
mod session;
mod survey;
mod tensor;
mod verdict;
mod vet;
mod wire;
mod worker;

pub use engine::Engine;
pub use error::{LoadError, RunError, RuntimeError};
pub use graph::Graph;
pub use limits::Limits;
pub use models::{Inference, Standing};
pub use outcome::{BlockOutcome, LoadOutcome, RowOutcome};
pub use pins::VERSION;
pub use provision::{Located, Origin, Places, cache_folder, find, locate, locate_in};
pub use serve::worker_main;
pub use session::{BLOCK, Session, Signature};
pub use survey::{Candidate, Finding, survey, survey_in};
pub(crate) use tensor::with_values;
pub use tensor::{DataType, Interface, Tensor, TensorData, TensorSpec, elements};
pub use vet::{VetReport, vet};
pub use worker::{End, WORKER_ARGUMENT, Worker};
