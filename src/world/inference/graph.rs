//! Owns a loaded model with any number of inputs and outputs: what it wants and offers, and what a run of it gives.

use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions, SessionInputValue};
use ort::value::{
    DynValue, Outlet, PrimitiveTensorElementType, Tensor as Value, TensorElementType, TensorRef, ValueType,
};
use std::borrow::Cow;

use super::engine::Engine;
use super::error::{LoadError, RunError, one_line};
use super::tensor::{DataType, Interface, Tensor, TensorData, TensorSpec};

/// A loaded model of any signature. Not shared between threads: each has its own.
///
/// The options are those of every session of this crate (one thread, deterministic), so equal bytes give equal answers.
pub struct Graph {
    inner: ort::session::Session,
    interface: Interface,
    /// The outputs selected last; a server is asked for the same ones again and again.
    selected: Vec<String>,
    options: RunOptions<HasSelectedOutputs>,
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph").field("interface", &self.interface).finish_non_exhaustive()
    }
}

impl Graph {
    /// Makes a session of a model's bytes. Native code reads them: whoever calls this for bytes that were not vetted
    /// may never get an answer.
    ///
    /// # Errors
    /// [`LoadError::Refused`] from the runtime; [`LoadError::Signature`] if an input is no tensor of a known type, or no
    /// output is.
    pub fn load(engine: &Engine, bytes: &[u8]) -> Result<Self, LoadError> {
        let inner = engine.session(bytes)?;
        let input = |outlet: &Outlet| {
            spec(outlet).ok_or_else(|| {
                let why = format!("input `{}` is {}, which cannot be served", outlet.name(), outlet.dtype());
                LoadError::Signature(one_line(&why))
            })
        };
        let inputs = inner.inputs().iter().map(input).collect::<Result<_, _>>()?;
        // Sequences and maps have no form in the protocol: what else the model answers can still be had.
        let outputs: Vec<TensorSpec> = inner.outputs().iter().filter_map(spec).collect();
        if outputs.is_empty() {
            return Err(LoadError::Signature("the model has no output that is a tensor of a known type".to_owned()));
        }
        let interface = Interface { inputs, outputs };
        let selected = all(&interface);
        let options = select(&selected).map_err(|error| LoadError::Refused(one_line(error.message())))?;
        Ok(Self { inner, interface, selected, options })
    }

    /// What the model wants and offers.
    #[must_use]
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// Runs the model for the outputs of these names, in this order; for all it offers if none is named.
    ///
    /// # Errors
    /// [`RunError::Input`] if the inputs or names do not fit [`Graph::interface`]; [`RunError::Output`] if an output is
    /// not what the model declares; [`RunError::Failed`] from the runtime.
    pub fn run(&mut self, inputs: &[Tensor], wanted: &[String]) -> Result<Vec<Tensor>, RunError> {
        self.interface.check(inputs, wanted)?;
        self.select(wanted)?;
        let mut values: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = Vec::with_capacity(inputs.len());
        for tensor in inputs {
            values.push((Cow::Borrowed(&tensor.name), view(tensor).map_err(failed)?));
        }
        let outputs = self.inner.run_with_options(values, &self.options).map_err(failed)?;
        outputs.iter().map(|(name, value)| taken(name, &value)).collect()
    }

    fn select(&mut self, wanted: &[String]) -> Result<(), RunError> {
        let same = if wanted.is_empty() {
            self.selected.iter().eq(self.interface.outputs.iter().map(|spec| &spec.name))
        } else {
            self.selected == wanted
        };
        if !same {
            self.selected = if wanted.is_empty() { all(&self.interface) } else { wanted.to_vec() };
            self.options = select(&self.selected).map_err(failed)?;
        }
        Ok(())
    }
}

fn all(interface: &Interface) -> Vec<String> {
    interface.outputs.iter().map(|spec| spec.name.clone()).collect()
}

fn select(names: &[String]) -> ort::Result<RunOptions<HasSelectedOutputs>> {
    let selector = names.iter().fold(OutputSelector::no_default(), |selector, name| selector.with(name.as_str()));
    Ok(RunOptions::new()?.with_outputs(selector))
}

#[expect(clippy::needless_pass_by_value, reason = "maps an error away")]
fn failed(error: ort::Error) -> RunError {
    RunError::Failed(one_line(error.message()))
}

fn spec(outlet: &Outlet) -> Option<TensorSpec> {
    match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => {
            Some(TensorSpec { name: outlet.name().to_owned(), datatype: datatype(*ty)?, shape: shape.to_vec() })
        }
        _ => None,
    }
}

fn datatype(of: TensorElementType) -> Option<DataType> {
    Some(match of {
        TensorElementType::Bool => DataType::Bool,
        TensorElementType::Uint8 => DataType::Uint8,
        TensorElementType::Uint16 => DataType::Uint16,
        TensorElementType::Uint32 => DataType::Uint32,
        TensorElementType::Uint64 => DataType::Uint64,
        TensorElementType::Int8 => DataType::Int8,
        TensorElementType::Int16 => DataType::Int16,
        TensorElementType::Int32 => DataType::Int32,
        TensorElementType::Int64 => DataType::Int64,
        TensorElementType::Float32 => DataType::Fp32,
        TensorElementType::Float64 => DataType::Fp64,
        TensorElementType::String => DataType::Bytes,
        _ => return None,
    })
}

/// The runtime reads the values where they lie; only texts are copied.
fn view(tensor: &Tensor) -> ort::Result<SessionInputValue<'_>> {
    fn of<'a, T>(shape: &'a [usize], values: &'a [T]) -> ort::Result<SessionInputValue<'a>>
    where
        T: PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static,
    {
        Ok(TensorRef::from_array_view((shape, values))?.into())
    }
    let shape = tensor.shape.as_slice();
    match &tensor.data {
        TensorData::Bool(values) => of(shape, values),
        TensorData::Uint8(values) => of(shape, values),
        TensorData::Uint16(values) => of(shape, values),
        TensorData::Uint32(values) => of(shape, values),
        TensorData::Uint64(values) => of(shape, values),
        TensorData::Int8(values) => of(shape, values),
        TensorData::Int16(values) => of(shape, values),
        TensorData::Int32(values) => of(shape, values),
        TensorData::Int64(values) => of(shape, values),
        TensorData::Fp32(values) => of(shape, values),
        TensorData::Fp64(values) => of(shape, values),
        TensorData::Bytes(values) => Ok(Value::from_string_array((shape, values.as_slice()))?.into()),
    }
}

fn taken(name: &str, value: &DynValue) -> Result<Tensor, RunError> {
    let ValueType::Tensor { ty, shape, .. } = value.dtype() else {
        return Err(RunError::Output(format!("output `{name}` is not a tensor")));
    };
    let shape: Option<Vec<usize>> = shape.iter().map(|&d| usize::try_from(d).ok()).collect();
    let (Some(shape), Some(datatype)) = (shape, datatype(*ty)) else {
        return Err(RunError::Output(format!("output `{name}` is not a tensor of a known type")));
    };
    let data = match datatype {
        DataType::Bool => TensorData::Bool(copied(value)?),
        DataType::Uint8 => TensorData::Uint8(copied(value)?),
        DataType::Uint16 => TensorData::Uint16(copied(value)?),
        DataType::Uint32 => TensorData::Uint32(copied(value)?),
        DataType::Uint64 => TensorData::Uint64(copied(value)?),
        DataType::Int8 => TensorData::Int8(copied(value)?),
        DataType::Int16 => TensorData::Int16(copied(value)?),
        DataType::Int32 => TensorData::Int32(copied(value)?),
        DataType::Int64 => TensorData::Int64(copied(value)?),
        DataType::Fp32 => TensorData::Fp32(copied(value)?),
        DataType::Fp64 => TensorData::Fp64(copied(value)?),
        DataType::Bytes => TensorData::Bytes(value.try_extract_strings().map_err(failed)?.1),
    };
    Ok(Tensor { name: name.to_owned(), shape, data })
}

fn copied<T: PrimitiveTensorElementType + Clone>(value: &DynValue) -> Result<Vec<T>, RunError> {
    Ok(value.try_extract_tensor::<T>().map_err(failed)?.1.to_vec())
}
