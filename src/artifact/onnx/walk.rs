//! Owns the walk through a `ModelProto`: which fields are looked into, and what of them is kept.
//!
//! Field numbers are those of `onnx/onnx.proto` in <https://github.com/onnx/onnx>.

use super::{DEPTH_MAX, NotOnnx, OnnxModel, Reason, Run, WeightArray};
use crate::artifact::wire::{Fields, Value};
use std::collections::BTreeSet;
use std::ops::Range;

/// `TensorProto.DataType.FLOAT`.
const FLOAT: u64 = 1;
/// `TensorProto.DataLocation.EXTERNAL`.
const EXTERNAL: u64 = 1;
/// A hint to runtimes which branch is taken more often; no runtime's answer depends on it, so it is not a weight.
const HINT: &str = "nodes_hitrates";

mod model {
    pub(super) const IR_VERSION: u64 = 1;
    pub(super) const PRODUCER_NAME: u64 = 2;
    pub(super) const GRAPH: u64 = 7;
    pub(super) const OPSET_IMPORT: u64 = 8;
    pub(super) const FUNCTIONS: u64 = 25;
}
mod opset {
    pub(super) const DOMAIN: u64 = 1;
    pub(super) const VERSION: u64 = 2;
}
mod graph {
    pub(super) const NODE: u64 = 1;
    pub(super) const INITIALIZER: u64 = 5;
    pub(super) const INPUT: u64 = 11;
    pub(super) const OUTPUT: u64 = 12;
    pub(super) const SPARSE_INITIALIZER: u64 = 15;
}
mod function {
    pub(super) const NODE: u64 = 7;
}
mod node {
    pub(super) const OP_TYPE: u64 = 4;
    pub(super) const ATTRIBUTE: u64 = 5;
    pub(super) const DOMAIN: u64 = 7;
}
mod attribute {
    pub(super) const NAME: u64 = 1;
    pub(super) const T: u64 = 5;
    pub(super) const G: u64 = 6;
    pub(super) const FLOATS: u64 = 7;
    pub(super) const TENSORS: u64 = 10;
    pub(super) const GRAPHS: u64 = 11;
    pub(super) const SPARSE_TENSOR: u64 = 22;
    pub(super) const SPARSE_TENSORS: u64 = 23;
}
mod tensor {
    pub(super) const DATA_TYPE: u64 = 2;
    pub(super) const FLOAT_DATA: u64 = 4;
    pub(super) const NAME: u64 = 8;
    pub(super) const RAW_DATA: u64 = 9;
    pub(super) const DATA_LOCATION: u64 = 14;
}
/// `SparseTensorProto.values`; `ValueInfoProto.name`.
const SPARSE_VALUES: u64 = 1;
const VALUE_INFO_NAME: u64 = 1;

type Walked<T = ()> = Result<T, NotOnnx>;

/// Reads the `ModelProto` that `bytes` are; also returns how many graphs it has.
pub(super) fn read(bytes: &[u8]) -> Walked<(OnnxModel, usize)> {
    let mut walk = Walk { bytes, model: OnnxModel::default(), initialized: BTreeSet::new() };
    let graphs = walk.model(0..bytes.len())?;
    let Walk { mut model, initialized, .. } = walk;
    model.inputs.retain(|name| !initialized.contains(name));
    Ok((model, graphs))
}

struct Walk<'a> {
    bytes: &'a [u8],
    model: OnnxModel,
    /// Names of the initializers of the outermost graph.
    initialized: BTreeSet<String>,
}

impl Walk<'_> {
    /// Calls `visit` with the number, place and value of each field of the message in `range`.
    fn each(&mut self, range: Range<usize>, mut visit: impl FnMut(&mut Self, u64, usize, Value) -> Walked) -> Walked {
        for field in Fields::new(self.bytes, range) {
            let field = field.map_err(|(offset, bad)| NotOnnx { offset, reason: bad.into() })?;
            visit(self, field.number, field.at, field.value)?;
        }
        Ok(())
    }

    fn text(&self, range: Range<usize>) -> String {
        String::from_utf8_lossy(self.bytes.get(range).unwrap_or_default()).into_owned()
    }

    fn model(&mut self, range: Range<usize>) -> Walked<usize> {
        let mut graphs = 0;
        self.each(range, |walk, number, at, value| {
            match (number, value) {
                (model::IR_VERSION, Value::Varint(version)) => walk.model.ir_version = version,
                (model::PRODUCER_NAME, Value::Bytes(name)) => walk.model.producer = walk.text(name),
                (model::GRAPH, Value::Bytes(graph)) => {
                    graphs += 1;
                    walk.graph(graph, at, 1)?;
                }
                (model::OPSET_IMPORT, Value::Bytes(opset)) => walk.opset(opset)?,
                (model::FUNCTIONS, Value::Bytes(function)) => {
                    walk.each(function, |walk, number, at, value| match (number, value) {
                        (function::NODE, Value::Bytes(node)) => walk.node(node, 1),
                        (function::NODE, _) => Err(wrong_type(at, number, "FunctionProto")),
                        _ => Ok(()),
                    })?
                }
                (
                    model::IR_VERSION | model::PRODUCER_NAME | model::GRAPH | model::OPSET_IMPORT | model::FUNCTIONS,
                    _,
                ) => return Err(wrong_type(at, number, "ModelProto")),
                _ => {}
            }
            Ok(())
        })?;
        Ok(graphs)
    }

    fn opset(&mut self, range: Range<usize>) -> Walked {
        let (mut domain, mut version) = (String::new(), 0);
        self.each(range, |walk, number, at, value| {
            match (number, value) {
                (opset::DOMAIN, Value::Bytes(name)) => domain = walk.text(name),
                (opset::VERSION, Value::Varint(v)) => version = v,
                (opset::DOMAIN | opset::VERSION, _) => return Err(wrong_type(at, number, "OperatorSetIdProto")),
                _ => {}
            }
            Ok(())
        })?;
        let domain = if domain.is_empty() { "ai.onnx".to_owned() } else { domain };
        self.model.opsets.insert(domain, version);
        Ok(())
    }

    fn graph(&mut self, range: Range<usize>, at: usize, depth: usize) -> Walked {
        if depth > DEPTH_MAX {
            return Err(NotOnnx { offset: at, reason: Reason::TooDeep });
        }
        let outermost = depth == 1;
        self.each(range, |walk, number, at, value| {
            match (number, value) {
                (graph::NODE, Value::Bytes(node)) => walk.node(node, depth)?,
                (graph::INITIALIZER, Value::Bytes(tensor)) => {
                    let name = walk.tensor(tensor, "initializer")?;
                    if outermost {
                        walk.initialized.insert(name);
                    }
                }
                (graph::SPARSE_INITIALIZER, Value::Bytes(sparse)) => walk.sparse(sparse, "initializer")?,
                (graph::INPUT, Value::Bytes(port)) if outermost => {
                    let name = walk.port(port)?;
                    walk.model.inputs.push(name);
                }
                (graph::OUTPUT, Value::Bytes(port)) if outermost => {
                    let name = walk.port(port)?;
                    walk.model.outputs.push(name);
                }
                (graph::INPUT | graph::OUTPUT, Value::Bytes(_)) => {}
                (graph::NODE | graph::INITIALIZER | graph::SPARSE_INITIALIZER | graph::INPUT | graph::OUTPUT, _) => {
                    return Err(wrong_type(at, number, "GraphProto"));
                }
                _ => {}
            }
            Ok(())
        })
    }

    fn port(&mut self, range: Range<usize>) -> Walked<String> {
        let mut name = String::new();
        self.each(range, |walk, number, at, value| {
            match (number, value) {
                (VALUE_INFO_NAME, Value::Bytes(text)) => name = walk.text(text),
                (VALUE_INFO_NAME, _) => return Err(wrong_type(at, number, "ValueInfoProto")),
                _ => {}
            }
            Ok(())
        })?;
        Ok(name)
    }

    fn node(&mut self, range: Range<usize>, depth: usize) -> Walked {
        let (mut operator, mut domain) = (String::new(), String::new());
        // Attributes are named by their operator, whose name may follow them.
        let mut attributes = Vec::new();
        self.each(range, |walk, number, at, value| {
            match (number, value) {
                (node::OP_TYPE, Value::Bytes(name)) => operator = walk.text(name),
                (node::DOMAIN, Value::Bytes(name)) => domain = walk.text(name),
                (node::ATTRIBUTE, Value::Bytes(attribute)) => attributes.push(attribute),
                (node::OP_TYPE | node::DOMAIN | node::ATTRIBUTE, _) => return Err(wrong_type(at, number, "NodeProto")),
                _ => {}
            }
            Ok(())
        })?;
        for attribute in attributes {
            self.attribute(attribute, &operator, depth)?;
        }
        let full = if domain.is_empty() || domain == "ai.onnx" { operator } else { format!("{domain}.{operator}") };
        *self.model.operators.entry(full).or_default() += 1;
        Ok(())
    }

    fn attribute(&mut self, range: Range<usize>, operator: &str, depth: usize) -> Walked {
        let mut floats = Vec::new();
        let (mut name, mut tensors, mut sparse, mut graphs) = (String::new(), Vec::new(), Vec::new(), Vec::new());
        self.each(range, |walk, number, at, value| {
            match (number, value) {
                (attribute::NAME, Value::Bytes(text)) => name = walk.text(text),
                (attribute::FLOATS, value) => add_floats(&mut floats, at, number, value, "AttributeProto")?,
                (attribute::T | attribute::TENSORS, Value::Bytes(tensor)) => tensors.push(tensor),
                (attribute::SPARSE_TENSOR | attribute::SPARSE_TENSORS, Value::Bytes(tensor)) => sparse.push(tensor),
                (attribute::G | attribute::GRAPHS, Value::Bytes(graph)) => graphs.push((graph, at)),
                (
                    attribute::NAME
                    | attribute::T
                    | attribute::TENSORS
                    | attribute::SPARSE_TENSOR
                    | attribute::SPARSE_TENSORS
                    | attribute::G
                    | attribute::GRAPHS,
                    _,
                ) => return Err(wrong_type(at, number, "AttributeProto")),
                _ => {}
            }
            Ok(())
        })?;
        let full = format!("{operator}.{name}");
        if name != HINT {
            self.weights(full.clone(), floats);
        }
        for tensor in tensors {
            self.tensor(tensor, &full)?;
        }
        for tensor in sparse {
            self.sparse(tensor, &full)?;
        }
        for (graph, at) in graphs {
            self.graph(graph, at, depth + 1)?;
        }
        Ok(())
    }

    fn sparse(&mut self, range: Range<usize>, owner: &str) -> Walked {
        self.each(range, |walk, number, at, value| match (number, value) {
            (SPARSE_VALUES, Value::Bytes(tensor)) => walk.tensor(tensor, owner).map(|_| ()),
            (SPARSE_VALUES, _) => Err(wrong_type(at, number, "SparseTensorProto")),
            _ => Ok(()),
        })
    }

    /// Returns the tensor's name; one without a name is listed under its owner's.
    fn tensor(&mut self, range: Range<usize>, owner: &str) -> Walked<String> {
        let (mut name, mut data_type, mut location) = (String::new(), 0, 0);
        let (mut floats, mut raw) = (Vec::new(), None);
        self.each(range, |walk, number, at, value| {
            match (number, value) {
                (tensor::NAME, Value::Bytes(text)) => name = walk.text(text),
                (tensor::DATA_TYPE, Value::Varint(v)) => data_type = v,
                (tensor::DATA_LOCATION, Value::Varint(v)) => location = v,
                (tensor::FLOAT_DATA, value) => add_floats(&mut floats, at, number, value, "TensorProto")?,
                (tensor::RAW_DATA, Value::Bytes(data)) => raw = Some(data),
                (tensor::NAME | tensor::DATA_TYPE | tensor::DATA_LOCATION | tensor::RAW_DATA, _) => {
                    return Err(wrong_type(at, number, "TensorProto"));
                }
                _ => {}
            }
            Ok(())
        })?;
        let listed = if name.is_empty() { owner } else { &name };
        if location == EXTERNAL {
            self.model.external.push(listed.to_owned());
        } else if data_type == FLOAT {
            if let Some(data) = raw {
                add_packed(&mut floats, data)?;
            }
            self.weights(listed.to_owned(), floats);
        }
        Ok(name)
    }

    fn weights(&mut self, name: String, runs: Vec<Run>) {
        if !runs.is_empty() {
            self.model.weights.push(WeightArray { name, runs });
        }
    }
}

const fn wrong_type(offset: usize, number: u64, message: &'static str) -> NotOnnx {
    NotOnnx { offset, reason: Reason::FieldType(number, message) }
}

/// A `repeated float` comes packed into one field, or as one field for each value: `onnx.proto` has both, readers take both.
fn add_floats(runs: &mut Vec<Run>, at: usize, number: u64, value: Value, message: &'static str) -> Walked {
    match value {
        Value::Bytes(data) => add_packed(runs, data),
        Value::Fixed32(first) => {
            let stride = first + 4 - at;
            match runs.last_mut() {
                Some(run) if run.stride == stride && run.first + run.count * stride == first => run.count += 1,
                _ => runs.push(Run { first, stride, count: 1 }),
            }
            Ok(())
        }
        Value::Varint(_) | Value::Fixed64 => Err(wrong_type(at, number, message)),
    }
}

fn add_packed(runs: &mut Vec<Run>, data: Range<usize>) -> Walked {
    if !data.len().is_multiple_of(4) {
        return Err(NotOnnx { offset: data.start, reason: Reason::PartialFloat });
    }
    if !data.is_empty() {
        runs.push(Run { first: data.start, stride: 4, count: data.len() / 4 });
    }
    Ok(())
}
