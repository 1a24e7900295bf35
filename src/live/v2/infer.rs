//! Owns inference requests and answers: the JSON around tensors, and which tensor travels in which form.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{RANK_MAX, TensorError, V2Error, json, raw};
use crate::world::inference::{DataType, Tensor, elements};

/// A body with what its headers must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The body: JSON, and binary tensors behind it if there are any.
    pub body: Bytes,
    /// Value of [`JSON_LENGTH_HEADER`](super::JSON_LENGTH_HEADER); `None`: the body is JSON and the header is left out.
    pub json_len: Option<usize>,
}

impl Encoded {
    /// The Content-Type of the body.
    #[must_use]
    pub const fn content_type(&self) -> &'static str {
        if self.json_len.is_some() { "application/octet-stream" } else { "application/json" }
    }
}

/// An output that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedOutput {
    /// Its name.
    pub name: String,
    /// In which form it should come; `None` leaves that to the request.
    pub binary: Option<bool>,
}

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct InferRequest {
    /// The client's name for the request, echoed in the answer.
    pub id: Option<String>,
    /// Parameters of the request as a whole, opaque; `binary_data_output` is not among them.
    pub parameters: Map<String, Value>,
    /// The inputs. Parameters of single tensors are not kept.
    pub inputs: Vec<Tensor>,
    /// The outputs that are wanted; none: all.
    pub outputs: Vec<WantedOutput>,
    /// `binary_data_output`: outputs come as binary tensors where they do not say otherwise.
    pub binary_output: bool,
}

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct InferResponse {
    /// The model that answered.
    pub model_name: String,
    /// Its version, if it has one.
    pub model_version: Option<String>,
    /// As the request gave it; some servers make one up.
    pub id: Option<String>,
    /// Opaque.
    pub parameters: Map<String, Value>,
    /// The outputs.
    pub outputs: Vec<Tensor>,
}

const BINARY_OUTPUT: &str = "binary_data_output";

#[derive(Deserialize)]
struct WireRequest<'a> {
    id: Option<String>,
    parameters: Option<Map<String, Value>>,
    #[serde(borrow)]
    inputs: Vec<WireTensor<'a>>,
    #[serde(borrow)]
    outputs: Option<Vec<WireOutput<'a>>>,
}

#[derive(Deserialize)]
struct WireResponse<'a> {
    #[serde(default)]
    model_name: String,
    model_version: Option<String>,
    id: Option<String>,
    parameters: Option<Map<String, Value>>,
    #[serde(borrow)]
    outputs: Vec<WireTensor<'a>>,
}

#[derive(Deserialize)]
struct WireTensor<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    // What is missing is told with the tensor's name, which the parser could not.
    shape: Option<Vec<i64>>,
    datatype: Option<String>,
    parameters: Option<WireTensorParameters>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireTensorParameters {
    binary_data_size: Option<usize>,
}

#[derive(Deserialize)]
struct WireOutput<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    parameters: Option<WireOutputParameters>,
}

#[derive(Deserialize)]
struct WireOutputParameters {
    binary_data: Option<bool>,
    classification: Option<u64>,
    shared_memory_region: Option<String>,
}

impl InferRequest {
    /// Writes the request, its inputs as binary tensors or as JSON.
    ///
    /// # Errors
    /// [`TensorError::Infinite`] if an input in JSON has an infinite value.
    pub fn encode(&self, binary: bool) -> Result<Encoded, V2Error> {
        let mut out = Vec::with_capacity(256 + self.inputs.iter().map(|tensor| raw::size(&tensor.data)).sum::<usize>());
        out.push(b'{');
        if let Some(id) = &self.id {
            member(&mut out, "id", id)?;
            out.push(b',');
        }
        if self.binary_output || !self.parameters.is_empty() {
            let mut parameters = self.parameters.clone();
            if self.binary_output {
                parameters.insert(BINARY_OUTPUT.to_owned(), Value::Bool(true));
            }
            member(&mut out, "parameters", &parameters)?;
            out.push(b',');
        }
        out.extend_from_slice(b"\"inputs\":");
        tensors(&mut out, &self.inputs, &|_| binary)?;
        if !self.outputs.is_empty() {
            out.extend_from_slice(b",\"outputs\":[");
            for (at, output) in self.outputs.iter().enumerate() {
                out.extend_from_slice(if at == 0 { b"{" } else { b",{" });
                member(&mut out, "name", &output.name)?;
                if let Some(binary) = output.binary {
                    let parameters: &[u8] = if binary {
                        b",\"parameters\":{\"binary_data\":true}"
                    } else {
                        b",\"parameters\":{\"binary_data\":false}"
                    };
                    out.extend_from_slice(parameters);
                }
                out.push(b'}');
            }
            out.push(b']');
        }
        out.push(b'}');
        Ok(finish(out, &self.inputs, &|_| binary))
    }

    /// Reads a request. `json_len` is the value of [`JSON_LENGTH_HEADER`](super::JSON_LENGTH_HEADER), if it was sent.
    ///
    /// # Errors
    /// [`V2Error`]; nothing is reserved that the body does not pay for.
    pub fn decode(body: &[u8], json_len: Option<usize>) -> Result<Self, V2Error> {
        let (json, mut rest) = split(body, json_len)?;
        let wire: WireRequest<'_> =
            serde_json::from_slice(json).map_err(|error| V2Error::json("an infer request", error))?;
        let inputs = read(wire.inputs, &mut rest)?;
        let mut parameters = wire.parameters.unwrap_or_default();
        let binary_output = match parameters.shift_remove(BINARY_OUTPUT) {
            None | Some(Value::Bool(false)) => false,
            Some(Value::Bool(true)) => true,
            Some(other) => {
                let why = format!("parameter `{BINARY_OUTPUT}` is {other}, expected true or false");
                return Err(V2Error::Json { what: "an infer request", why });
            }
        };
        let outputs = wire.outputs.unwrap_or_default().into_iter().map(wanted).collect::<Result<_, _>>()?;
        Ok(Self { id: wire.id, parameters, inputs, outputs, binary_output })
    }

    /// Whether the output of this name should come as a binary tensor.
    #[must_use]
    pub fn wants_binary(&self, output: &str) -> bool {
        self.outputs.iter().find(|wanted| wanted.name == output).and_then(|w| w.binary).unwrap_or(self.binary_output)
    }
}

fn wanted(output: WireOutput<'_>) -> Result<WantedOutput, V2Error> {
    let name = output.name.into_owned();
    let Some(parameters) = output.parameters else {
        return Ok(WantedOutput { name, binary: None });
    };
    // To leave either out in silence would answer another question than the one asked.
    if parameters.classification.is_some_and(|classes| classes > 0) {
        return Err(V2Error::Unserved { output: name, what: "classification" });
    }
    if parameters.shared_memory_region.is_some() {
        return Err(V2Error::Unserved { output: name, what: "shared memory" });
    }
    Ok(WantedOutput { name, binary: parameters.binary_data })
}

impl InferResponse {
    /// Writes the answer; `binary` tells of each output's name whether it goes as a binary tensor.
    ///
    /// # Errors
    /// [`TensorError::Infinite`] if an output in JSON has an infinite value.
    pub fn encode(&self, binary: impl Fn(&str) -> bool) -> Result<Encoded, V2Error> {
        let binary: &dyn Fn(&str) -> bool = &binary;
        let mut out = Vec::with_capacity(256 + self.outputs.iter().map(|t| raw::size(&t.data)).sum::<usize>());
        out.push(b'{');
        member(&mut out, "model_name", &self.model_name)?;
        if let Some(version) = &self.model_version {
            out.push(b',');
            member(&mut out, "model_version", version)?;
        }
        if let Some(id) = &self.id {
            out.push(b',');
            member(&mut out, "id", id)?;
        }
        if !self.parameters.is_empty() {
            out.push(b',');
            member(&mut out, "parameters", &self.parameters)?;
        }
        out.extend_from_slice(b",\"outputs\":");
        tensors(&mut out, &self.outputs, binary)?;
        out.push(b'}');
        Ok(finish(out, &self.outputs, binary))
    }

    /// Reads an answer. `json_len` is the value of [`JSON_LENGTH_HEADER`](super::JSON_LENGTH_HEADER), if it was sent.
    ///
    /// # Errors
    /// [`V2Error`]; nothing is reserved that the body does not pay for.
    pub fn decode(body: &[u8], json_len: Option<usize>) -> Result<Self, V2Error> {
        let (json, mut rest) = split(body, json_len)?;
        let wire: WireResponse<'_> =
            serde_json::from_slice(json).map_err(|error| V2Error::json("an infer response", error))?;
        Ok(Self {
            model_name: wire.model_name,
            model_version: wire.model_version,
            id: wire.id,
            parameters: wire.parameters.unwrap_or_default(),
            outputs: read(wire.outputs, &mut rest)?,
        })
    }

    /// The output of this name.
    #[must_use]
    pub fn output(&self, name: &str) -> Option<&Tensor> {
        self.outputs.iter().find(|tensor| tensor.name == name)
    }
}

fn split(body: &[u8], json_len: Option<usize>) -> Result<(&[u8], &[u8]), V2Error> {
    match json_len {
        None => Ok((body, &[])),
        Some(announced) => body.split_at_checked(announced).ok_or(V2Error::JsonLength { announced, body: body.len() }),
    }
}

/// Reads tensors, the binary ones from what follows the JSON, in order and to its end.
fn read(wire: Vec<WireTensor<'_>>, rest: &mut &[u8]) -> Result<Vec<Tensor>, V2Error> {
    let mut tensors = Vec::with_capacity(wire.len());
    for tensor in wire {
        let read = tensor.read(rest).map_err(|reason| V2Error::tensor(&tensor.name, reason))?;
        tensors.push(read);
    }
    if rest.is_empty() { Ok(tensors) } else { Err(V2Error::Trailing { count: rest.len() }) }
}

impl WireTensor<'_> {
    fn read(&self, rest: &mut &[u8]) -> Result<Tensor, TensorError> {
        let datatype = self.datatype.as_deref().ok_or(TensorError::Data("it has no `datatype`"))?;
        let datatype =
            DataType::parse(datatype).ok_or_else(|| TensorError::Datatype(datatype.chars().take(32).collect()))?;
        let told = self.shape.as_deref().ok_or(TensorError::Data("it has no `shape`"))?;
        let no_shape = || TensorError::Shape(told.iter().copied().take(RANK_MAX + 1).collect());
        let shape: Option<Vec<usize>> = told.iter().map(|&d| usize::try_from(d).ok()).collect();
        let shape = shape.filter(|shape| shape.len() <= RANK_MAX).ok_or_else(no_shape)?;
        let count = elements(&shape).ok_or_else(no_shape)?;
        let announced = self.parameters.as_ref().and_then(|parameters| parameters.binary_data_size);
        let data = match (self.data, announced) {
            (Some(data), None) => json::read(datatype, &shape, count, data.get())?,
            (None, Some(announced)) => {
                let left = rest.len();
                let (bytes, after) =
                    rest.split_at_checked(announced).ok_or(TensorError::Missing { announced, left })?;
                *rest = after;
                raw::read(datatype, &shape, count, bytes)?
            }
            (None, None) => return Err(TensorError::Data("it has neither `data` nor `binary_data_size`")),
            (Some(_), Some(_)) => return Err(TensorError::Data("it has both `data` and `binary_data_size`")),
        };
        Ok(Tensor { name: self.name.clone().into_owned(), shape, data })
    }
}

/// Writes `"name":value`.
fn member<T: Serialize + ?Sized>(out: &mut Vec<u8>, name: &str, value: &T) -> Result<(), V2Error> {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    serde_json::to_writer(out, value).map_err(|error| V2Error::json("a message", error))
}

fn tensors(out: &mut Vec<u8>, tensors: &[Tensor], binary: &dyn Fn(&str) -> bool) -> Result<(), V2Error> {
    out.push(b'[');
    for (at, tensor) in tensors.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"{" } else { b",{" });
        member(out, "name", &tensor.name)?;
        out.push(b',');
        member(out, "shape", &tensor.shape)?;
        out.push(b',');
        member(out, "datatype", tensor.data.datatype().name())?;
        if binary(&tensor.name) {
            out.extend_from_slice(b",\"parameters\":{");
            member(out, "binary_data_size", &raw::size(&tensor.data))?;
            out.push(b'}');
        } else {
            out.extend_from_slice(b",\"data\":");
            json::write(&tensor.data, out).map_err(|reason| V2Error::tensor(&tensor.name, reason))?;
        }
        out.push(b'}');
    }
    out.push(b']');
    Ok(())
}

fn finish(mut out: Vec<u8>, tensors: &[Tensor], binary: &dyn Fn(&str) -> bool) -> Encoded {
    let json = out.len();
    let mut any = false;
    for tensor in tensors.iter().filter(|tensor| binary(&tensor.name)) {
        raw::write(&tensor.data, &mut out);
        any = true;
    }
    Encoded { body: out.into(), json_len: any.then_some(json) }
}
