//! Owns artifacts: immutable bytes under their digest, and the manifest that says what they are, how they are fed, and
//! where they come from.

pub mod corrupt;
pub mod manifest;
pub mod onnx;
mod wire;

pub use wire::BadWire;

use crate::digest::Digest;
use std::sync::Arc;

/// One immutable artifact: bytes that can be loaded, under their own digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// The bytes a replica loads.
    pub bytes: Arc<[u8]>,
    /// The digest of `bytes`.
    pub digest: Digest,
    /// The digest its manifest promises; differs when the bytes rotted.
    pub promised: Digest,
    /// How it is fed and read.
    pub signature: Signature,
    /// Bytes match the manifest and came through vetting: they may run in this process.
    pub vetted: bool,
    /// A row's score is the same whatever else is in its block; otherwise rows run one by one.
    pub rowwise: bool,
}

/// Which input and output of a model are meant, and the column that is the score.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Signature {
    /// The input's name; its shape is f32[N, features].
    pub input: String,
    /// Columns of the input.
    pub features: usize,
    /// The output's name; its shape is f32[N, columns].
    pub output: String,
    /// The column of the output that is the score.
    pub column: usize,
}
