//! Owns the Open Inference Protocol V2: requests, answers and errors as bytes. No IO.
//!
//! Both directions, for servers and clients. A tensor travels as JSON or as raw little-endian bytes behind the JSON
//! (the *binary tensor data* extension: the header [`JSON_LENGTH_HEADER`] then says where the JSON ends); one message may
//! mix both. Values survive both forms to the bit, with one exception: JSON has no word for what is not finite. A NaN is
//! written `null` and `null` is read as NaN (clients in Python read it so too, and one broken row does not take the answer
//! of all others with it); an infinity is an error that says to ask for binary tensors, because any stand-in would lie.

mod infer;
mod json;
mod model;
mod raw;
#[cfg(test)]
mod tests;

pub use infer::{Encoded, InferRequest, InferResponse, WantedOutput};
pub use model::{
    ErrorBody, IndexEntry, IndexRequest, LoadRequest, ModelMetadata, ServerMetadata, State, TensorMetadata,
};

/// The request and response header that tells the length of the JSON in bytes, where binary tensors follow it.
pub const JSON_LENGTH_HEADER: &str = "inference-header-content-length";

/// Most dimensions of a tensor.
pub const RANK_MAX: usize = 32;

/// Why bytes are no message of the protocol, or values have no bytes in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum V2Error {
    /// Not the JSON that was expected. The parser's reason, with line and column.
    #[error("the body is not the JSON of {what}: {why}")]
    Json {
        /// What was expected.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The header announces more JSON than there are bytes.
    #[error("Inference-Header-Content-Length is {announced}, but the body has {body} bytes")]
    JsonLength {
        /// What the header says.
        announced: usize,
        /// Length of the body in bytes.
        body: usize,
    },
    /// Bytes that belong to no tensor.
    #[error("{count} bytes follow the last binary tensor; every `binary_data_size` must be told")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// One tensor is malformed.
    #[error("tensor `{tensor}`: {reason}")]
    Tensor {
        /// Its name.
        tensor: String,
        /// What is wrong with it.
        reason: TensorError,
    },
    /// A feature of the protocol that is not served.
    #[error("output `{output}` asks for {what}, which is not served")]
    Unserved {
        /// The output.
        output: String,
        /// What is asked for.
        what: &'static str,
    },
    /// A file in a load request is not base64.
    #[error("parameter `{name}` is not base64: {why}")]
    Base64 {
        /// The parameter.
        name: String,
        /// The decoder's reason.
        why: String,
    },
}

/// Why a tensor cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TensorError {
    /// A type that is not served.
    #[error("datatype `{0}` is not served; served are {names}", names = datatypes())]
    Datatype(String),
    /// A dimension below zero, too many of them, or a product beyond memory.
    #[error("shape {0:?} is not that of a tensor")]
    Shape(Vec<i64>),
    /// Neither JSON data nor binary data, or both.
    #[error("{0}")]
    Data(&'static str),
    /// Values and shape disagree.
    #[error("shape {shape:?} has {expected} values, but there are {got}")]
    Count {
        /// The shape.
        shape: Vec<usize>,
        /// Values that the shape has.
        expected: usize,
        /// Values given.
        got: usize,
    },
    /// The announced bytes are not there.
    #[error("its `binary_data_size` is {announced}, but {left} bytes are left in the body")]
    Missing {
        /// What is announced.
        announced: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// The bytes are not those of so many values.
    #[error("{datatype} of shape {shape:?} takes {expected} bytes, but there are {got}")]
    Size {
        /// The type.
        datatype: &'static str,
        /// The shape.
        shape: Vec<usize>,
        /// Bytes that are needed; for texts at least.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// Bytes that are no value of the type.
    #[error("value {at} is {what}")]
    Value {
        /// Its index.
        at: usize,
        /// What it is.
        what: &'static str,
    },
    /// The JSON values are not those of the type or shape.
    #[error("data: {0}")]
    Json(String),
    /// JSON has no word for it.
    #[error("value {at} is infinite, which JSON cannot say: use binary tensors (`binary_data`)")]
    Infinite {
        /// Its index.
        at: usize,
    },
}

fn datatypes() -> String {
    crate::world::inference::DataType::ALL.map(crate::world::inference::DataType::name).join(", ")
}

impl V2Error {
    fn tensor(tensor: &str, reason: TensorError) -> Self {
        Self::Tensor { tensor: tensor.to_owned(), reason }
    }

    #[expect(clippy::needless_pass_by_value, reason = "maps an error away")]
    fn json(what: &'static str, error: serde_json::Error) -> Self {
        Self::Json { what, why: error.to_string() }
    }
}
