//! Owns looking into ONNX files without a runtime: is it a model at all, what are its ports, and where do its weights lie.
//!
//! Read-only and bounded: every length is checked against its message, nesting is limited, nothing panics on any bytes.
//! A file that passes may still be refused by a runtime: operators, shapes and types are not checked.

mod walk;

use super::wire::BadWire;
use std::collections::BTreeMap;

/// What a model file says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OnnxModel {
    /// The version of the file format.
    pub ir_version: u64,
    /// Who wrote the file, e.g. `skl2onnx`; empty if it does not say.
    pub producer: String,
    /// Operator sets with their version, the default one under the name `ai.onnx`.
    pub opsets: BTreeMap<String, u64>,
    /// What must be fed, in order (inputs that have an initializer need not be fed and are left out).
    pub inputs: Vec<String>,
    /// What comes out, in order.
    pub outputs: Vec<String>,
    /// How often each operator occurs, subgraphs and functions included; outside the default set with its domain.
    pub operators: BTreeMap<String, usize>,
    /// Every array of 32-bit float weights, in the order of the file.
    pub weights: Vec<WeightArray>,
    /// Tensors whose values lie in another file: a digest of this file says nothing about them.
    pub external: Vec<String>,
}

/// One array of 32-bit float weights: values of a tensor, or a list of floats that is an attribute of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightArray {
    /// The tensor's name, or `operator.attribute`.
    pub name: String,
    runs: Vec<Run>,
}

/// Little-endian floats at `first`, `first + stride`, …
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    first: usize,
    stride: usize,
    count: usize,
}

impl WeightArray {
    /// How many weights it holds.
    #[must_use]
    pub fn count(&self) -> usize {
        self.runs.iter().map(|run| run.count).sum()
    }

    /// Where in the file each weight's four little-endian bytes begin, in the order of the array.
    pub fn offsets(&self) -> impl Iterator<Item = usize> {
        self.runs.iter().flat_map(|run| (0..run.count).map(|i| run.first + i * run.stride))
    }
}

/// Why bytes are not an ONNX model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an ONNX model: at byte {offset}, {reason}")]
pub struct NotOnnx {
    /// Where it was noticed.
    pub offset: usize,
    /// What was wrong there.
    pub reason: Reason,
}

/// What is wrong at a place of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// There are no bytes.
    #[error("the file is empty")]
    Empty,
    /// A stand-in that `git lfs pull` replaces.
    #[error("this is a Git LFS pointer, not the model itself")]
    LfsPointer,
    /// The encoding is not protobuf, or not that of this message.
    #[error("{0}")]
    Wire(#[from] BadWire),
    /// A known field has a type that the schema does not allow.
    #[error("field {0} of {1} has another type than in onnx.proto")]
    FieldType(u64, &'static str),
    /// Graphs in attributes of nodes of graphs …
    #[error("graphs are nested more than {} deep", DEPTH_MAX)]
    TooDeep,
    /// Values of a float tensor are not four bytes each.
    #[error("the float values do not fill a whole number of 4 bytes")]
    PartialFloat,
    /// `ModelProto.ir_version` is absent or zero.
    #[error("no ir_version was found up to here")]
    NoVersion,
    /// `ModelProto.graph` is absent.
    #[error("no graph was found up to here")]
    NoGraph,
}

/// Graphs nested deeper than this are refused; real models have one or two levels.
pub const DEPTH_MAX: usize = 16;

impl OnnxModel {
    /// Reads the structure of a model file.
    ///
    /// # Errors
    /// [`NotOnnx`] with the place and the reason, if the bytes are not an encoded `ModelProto` with a version and a graph.
    pub fn read(bytes: &[u8]) -> Result<Self, NotOnnx> {
        if bytes.is_empty() {
            return Err(NotOnnx { offset: 0, reason: Reason::Empty });
        }
        if bytes.starts_with(b"version https://git-lfs") {
            return Err(NotOnnx { offset: 0, reason: Reason::LfsPointer });
        }
        let (model, graphs) = walk::read(bytes)?;
        let end = bytes.len();
        if model.ir_version == 0 {
            return Err(NotOnnx { offset: end, reason: Reason::NoVersion });
        }
        if graphs == 0 {
            return Err(NotOnnx { offset: end, reason: Reason::NoGraph });
        }
        Ok(model)
    }

    /// How many 32-bit float weights the file holds.
    #[must_use]
    pub fn weight_count(&self) -> usize {
        self.weights.iter().map(WeightArray::count).sum()
    }
}

#[cfg(test)]
mod tests;
