//! Owns tensors: named, shaped values of the data types that the runtime and the V2 protocol share.

use std::fmt;

use super::error::RunError;

/// A data type, by its name in the Open Inference Protocol. Half precision is not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DataType {
    /// `bool`.
    Bool,
    /// `u8`.
    Uint8,
    /// `u16`.
    Uint16,
    /// `u32`.
    Uint32,
    /// `u64`.
    Uint64,
    /// `i8`.
    Int8,
    /// `i16`.
    Int16,
    /// `i32`.
    Int32,
    /// `i64`.
    Int64,
    /// `f32`.
    Fp32,
    /// `f64`.
    Fp64,
    /// Text, UTF-8.
    Bytes,
}

impl DataType {
    /// All of them, in the order of the protocol.
    pub const ALL: [Self; 12] = [
        Self::Bool,
        Self::Uint8,
        Self::Uint16,
        Self::Uint32,
        Self::Uint64,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Fp32,
        Self::Fp64,
        Self::Bytes,
    ];

    /// The protocol's name: `FP32`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Fp32 => "FP32",
            Self::Fp64 => "FP64",
            Self::Bytes => "BYTES",
        }
    }

    /// The type of that name; `None` for names that are not served, `FP16` and `BF16` among them.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|datatype| datatype.name() == name)
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Values in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub enum TensorData {
    /// Truth values.
    Bool(Vec<bool>),
    /// Unsigned integers of 8 bits.
    Uint8(Vec<u8>),
    /// Unsigned integers of 16 bits.
    Uint16(Vec<u16>),
    /// Unsigned integers of 32 bits.
    Uint32(Vec<u32>),
    /// Unsigned integers of 64 bits.
    Uint64(Vec<u64>),
    /// Integers of 8 bits.
    Int8(Vec<i8>),
    /// Integers of 16 bits.
    Int16(Vec<i16>),
    /// Integers of 32 bits.
    Int32(Vec<i32>),
    /// Integers of 64 bits.
    Int64(Vec<i64>),
    /// Single precision.
    Fp32(Vec<f32>),
    /// Double precision.
    Fp64(Vec<f64>),
    /// Text.
    Bytes(Vec<String>),
}

/// Evaluates `$body` with `$values` bound to the vector of values, whatever its type.
macro_rules! with_values {
    ($data:expr, $values:ident => $body:expr) => {
        match $data {
            $crate::world::inference::TensorData::Bool($values) => $body,
            $crate::world::inference::TensorData::Uint8($values) => $body,
            $crate::world::inference::TensorData::Uint16($values) => $body,
            $crate::world::inference::TensorData::Uint32($values) => $body,
            $crate::world::inference::TensorData::Uint64($values) => $body,
            $crate::world::inference::TensorData::Int8($values) => $body,
            $crate::world::inference::TensorData::Int16($values) => $body,
            $crate::world::inference::TensorData::Int32($values) => $body,
            $crate::world::inference::TensorData::Int64($values) => $body,
            $crate::world::inference::TensorData::Fp32($values) => $body,
            $crate::world::inference::TensorData::Fp64($values) => $body,
            $crate::world::inference::TensorData::Bytes($values) => $body,
        }
    };
}
pub(crate) use with_values;

impl TensorData {
    /// The type of the values.
    #[must_use]
    pub const fn datatype(&self) -> DataType {
        match self {
            Self::Bool(_) => DataType::Bool,
            Self::Uint8(_) => DataType::Uint8,
            Self::Uint16(_) => DataType::Uint16,
            Self::Uint32(_) => DataType::Uint32,
            Self::Uint64(_) => DataType::Uint64,
            Self::Int8(_) => DataType::Int8,
            Self::Int16(_) => DataType::Int16,
            Self::Int32(_) => DataType::Int32,
            Self::Int64(_) => DataType::Int64,
            Self::Fp32(_) => DataType::Fp32,
            Self::Fp64(_) => DataType::Fp64,
            Self::Bytes(_) => DataType::Bytes,
        }
    }

    /// How many values there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        with_values!(self, values => values.len())
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// So many zeros (`false`, empty texts).
    #[must_use]
    pub fn zeros(datatype: DataType, count: usize) -> Self {
        match datatype {
            DataType::Bool => Self::Bool(vec![false; count]),
            DataType::Uint8 => Self::Uint8(vec![0; count]),
            DataType::Uint16 => Self::Uint16(vec![0; count]),
            DataType::Uint32 => Self::Uint32(vec![0; count]),
            DataType::Uint64 => Self::Uint64(vec![0; count]),
            DataType::Int8 => Self::Int8(vec![0; count]),
            DataType::Int16 => Self::Int16(vec![0; count]),
            DataType::Int32 => Self::Int32(vec![0; count]),
            DataType::Int64 => Self::Int64(vec![0; count]),
            DataType::Fp32 => Self::Fp32(vec![0.0; count]),
            DataType::Fp64 => Self::Fp64(vec![0.0; count]),
            DataType::Bytes => Self::Bytes(vec![String::new(); count]),
        }
    }
}

/// Values with a name and a shape. Whether shape and values agree is checked where a tensor is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// The name of the input or output.
    pub name: String,
    /// The dimensions, outermost first; none for a single value.
    pub shape: Vec<usize>,
    /// The values, row-major.
    pub data: TensorData,
}

/// How many values a shape has; `None` where the product of its dimensions is beyond what memory can hold.
#[must_use]
pub fn elements(shape: &[usize]) -> Option<usize> {
    // Nothing at all, whatever stands before it and would be too much alone.
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1usize, |product, &d| product.checked_mul(d)).filter(|n| isize::try_from(*n).is_ok())
}

/// What a model says of one of its inputs or outputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name.
    pub name: String,
    /// The type of its values.
    pub datatype: DataType,
    /// Its dimensions, -1 where they are free. Empty: one value, or the model says nothing of its shape.
    pub shape: Vec<i64>,
}

/// The inputs a model wants and the outputs it offers, in the model's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// All are needed.
    pub inputs: Vec<TensorSpec>,
    /// Any of them can be asked for.
    pub outputs: Vec<TensorSpec>,
}

impl Interface {
    /// Whether the model can be run with these inputs for these outputs.
    ///
    /// # Errors
    /// [`RunError::Input`], which names the tensor and what is wrong with it.
    pub fn check(&self, inputs: &[Tensor], wanted: &[String]) -> Result<(), RunError> {
        for (at, tensor) in inputs.iter().enumerate() {
            let name = &tensor.name;
            let Some(spec) = self.inputs.iter().find(|spec| spec.name == *name) else {
                return refuse(format!("the model has no input `{name}`; its inputs are {}", names(&self.inputs)));
            };
            if inputs[..at].iter().any(|other| other.name == *name) {
                return refuse(format!("input `{name}` is given twice"));
            }
            spec.check(tensor)?;
        }
        if let Some(missing) = self.inputs.iter().find(|spec| inputs.iter().all(|tensor| tensor.name != spec.name)) {
            return refuse(format!(
                "input `{}` is missing; the model's inputs are {}",
                missing.name,
                names(&self.inputs)
            ));
        }
        for (at, name) in wanted.iter().enumerate() {
            if self.outputs.iter().all(|spec| spec.name != *name) {
                return refuse(format!("the model has no output `{name}`; its outputs are {}", names(&self.outputs)));
            }
            if wanted[..at].contains(name) {
                return refuse(format!("output `{name}` is asked for twice"));
            }
        }
        Ok(())
    }

    /// Zeros for every input, 1 for free dimensions; `None` where that would be more than `limit` values.
    #[must_use]
    pub fn zeros(&self, limit: usize) -> Option<Vec<Tensor>> {
        let zeros = |spec: &TensorSpec| {
            let shape: Vec<usize> = spec.shape.iter().map(|&d| usize::try_from(d).unwrap_or(1)).collect();
            let count = elements(&shape).filter(|count| *count <= limit)?;
            Some(Tensor { name: spec.name.clone(), shape, data: TensorData::zeros(spec.datatype, count) })
        };
        self.inputs.iter().map(zeros).collect()
    }
}

impl TensorSpec {
    fn check(&self, tensor: &Tensor) -> Result<(), RunError> {
        let Tensor { name, shape, data } = tensor;
        if data.datatype() != self.datatype {
            return refuse(format!("input `{name}` is {}, the model wants {}", data.datatype(), self.datatype));
        }
        let fits = |(want, got): (&i64, &usize)| *want < 0 || usize::try_from(*want) == Ok(*got);
        // An empty shape may also mean that the model leaves it open: then the runtime judges.
        let open = self.shape.is_empty();
        if !open && (shape.len() != self.shape.len() || !self.shape.iter().zip(shape).all(fits)) {
            return refuse(format!(
                "input `{name}` has shape {shape:?}, the model wants {:?} (-1 is free)",
                self.shape
            ));
        }
        if elements(shape) != Some(data.len()) {
            return refuse(format!("input `{name}` has {} values, its shape {shape:?} says otherwise", data.len()));
        }
        Ok(())
    }
}

fn refuse(why: String) -> Result<(), RunError> {
    Err(RunError::Input(why))
}

fn names(specs: &[TensorSpec]) -> String {
    specs.iter().map(|spec| format!("`{}`", spec.name)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface() -> Interface {
        let spec =
            |name: &str, datatype, shape: &[i64]| TensorSpec { name: name.into(), datatype, shape: shape.into() };
        Interface {
            inputs: vec![spec("x", DataType::Fp32, &[-1, 2]), spec("word", DataType::Bytes, &[1])],
            outputs: vec![spec("y", DataType::Fp32, &[-1])],
        }
    }

    fn x(shape: &[usize], data: TensorData) -> Tensor {
        Tensor { name: "x".into(), shape: shape.into(), data }
    }

    #[test]
    fn what_does_not_fit_is_named_with_its_reason() {
        let word = Tensor { name: "word".into(), shape: vec![1], data: TensorData::Bytes(vec!["a".into()]) };
        let good = x(&[1, 2], TensorData::Fp32(vec![0.0; 2]));
        let check = |inputs: &[Tensor], wanted: &[&str], expect: &str| {
            let wanted: Vec<String> = wanted.iter().map(|w| (*w).to_owned()).collect();
            let said = interface().check(inputs, &wanted).map_or_else(|e| e.to_string(), |()| "fits".to_owned());
            assert!(said.contains(expect), "{said}");
        };
        check(&[good.clone(), word.clone()], &["y"], "fits");
        check(&[word.clone(), good.clone()], &[], "fits");
        check(std::slice::from_ref(&word), &[], "input `x` is missing");
        check(&[good.clone(), good.clone(), word.clone()], &[], "`x` is given twice");
        check(&[x(&[1, 2], TensorData::Fp64(vec![0.0; 2])), word.clone()], &[], "`x` is FP64, the model wants FP32");
        check(&[x(&[2], TensorData::Fp32(vec![0.0; 2])), word.clone()], &[], "has shape [2], the model wants [-1, 2]");
        check(&[x(&[3, 2], TensorData::Fp32(vec![0.0; 2])), word.clone()], &[], "has 2 values");
        check(&[good.clone(), word.clone()], &["z"], "no output `z`; its outputs are `y`");
        check(&[good, word], &["y", "y"], "asked for twice");
    }

    #[test]
    fn shapes_that_overflow_have_no_size() {
        assert_eq!(elements(&[]), Some(1));
        assert_eq!(elements(&[3, 0, 7]), Some(0));
        assert_eq!(elements(&[usize::MAX, 2, 0]), Some(0));
        assert_eq!(elements(&[usize::MAX, 2]), None);
        assert_eq!(elements(&[usize::MAX]), None);
    }

    #[test]
    fn zeros_fit_their_interface() {
        let interface = interface();
        let zeros = interface.zeros(100).unwrap();
        assert_eq!(interface.check(&zeros, &[]), Ok(()));
        assert_eq!(zeros[0].shape, [1, 2]);
        assert!(interface.zeros(1).is_none());
    }
}
