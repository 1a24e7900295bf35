//! Owns the JSON form of a tensor's values: read flat or nested, each with its own type; written flat.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};

use super::TensorError;
use crate::world::inference::{DataType, TensorData, with_values};

/// A value in an array. Not `Deserialize` itself, because `null` is a float that is not a number.
trait Leaf: Sized {
    fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error>;
}

macro_rules! leaves {
    ($($plain:ty),*; $($float:ty),*) => {
        $(impl Leaf for $plain {
            fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                Self::deserialize(from)
            }
        })*
        // Asked for as its own type, not as `f64`: rounding twice would lose the last bit now and then.
        $(impl Leaf for $float {
            fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                Ok(Option::<Self>::deserialize(from)?.unwrap_or(Self::NAN))
            }
        })*
    };
}
leaves!(bool, u8, u16, u32, u64, i8, i16, i32, i64, String; f32, f64);

/// Reads the values of a tensor of this type and shape; `count` is the number of values that the shape has.
pub(super) fn read(datatype: DataType, shape: &[usize], count: usize, json: &str) -> Result<TensorData, TensorError> {
    Ok(match datatype {
        DataType::Bool => TensorData::Bool(values(shape, count, json)?),
        DataType::Uint8 => TensorData::Uint8(values(shape, count, json)?),
        DataType::Uint16 => TensorData::Uint16(values(shape, count, json)?),
        DataType::Uint32 => TensorData::Uint32(values(shape, count, json)?),
        DataType::Uint64 => TensorData::Uint64(values(shape, count, json)?),
        DataType::Int8 => TensorData::Int8(values(shape, count, json)?),
        DataType::Int16 => TensorData::Int16(values(shape, count, json)?),
        DataType::Int32 => TensorData::Int32(values(shape, count, json)?),
        DataType::Int64 => TensorData::Int64(values(shape, count, json)?),
        DataType::Fp32 => TensorData::Fp32(values(shape, count, json)?),
        DataType::Fp64 => TensorData::Fp64(values(shape, count, json)?),
        DataType::Bytes => TensorData::Bytes(values(shape, count, json)?),
    })
}

fn values<T: Leaf>(shape: &[usize], count: usize, json: &str) -> Result<Vec<T>, TensorError> {
    let opening = json.bytes().take_while(|byte| *byte == b'[' || byte.is_ascii_whitespace());
    let depth = opening.filter(|byte| *byte == b'[').count();
    let flat = [count];
    let dims = match depth {
        1 => &flat[..],
        nested if nested == shape.len() => shape,
        0 => return Err(TensorError::Data("data is not an array")),
        nested => {
            let why = format!("arrays are nested {nested} deep, expected 1 or the {} dimensions", shape.len());
            return Err(TensorError::Json(why));
        }
    };
    // The shape is a claim: what it reserves is bounded by the bytes there are (a value and its comma take two).
    let mut out = Vec::with_capacity(count.min(json.len() / 2 + 1));
    Level { dims, out: &mut out }
        .deserialize(&mut serde_json::Deserializer::from_str(json))
        .map_err(|error| TensorError::Json(error.to_string()))?;
    Ok(out)
}

/// One array, of values or of arrays.
struct Level<'a, T> {
    /// Lengths from this level inward, never empty.
    dims: &'a [usize],
    out: &'a mut Vec<T>,
}

impl<'de, T: Leaf> DeserializeSeed<'de> for Level<'_, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de, T: Leaf> Visitor<'de> for Level<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of {}", self.dims.first().unwrap_or(&0))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let (expected, inner) = self.dims.split_first().map_or((0, &[][..]), |(first, inner)| (*first, inner));
        let mut got = 0;
        if inner.is_empty() {
            while let Some(value) = items.next_element_seed(Value::<T>(PhantomData))? {
                got += 1;
                if got > expected {
                    return Err(A::Error::custom(format_args!("more than {expected} values in an array")));
                }
                self.out.push(value);
            }
        } else {
            while items.next_element_seed(Level { dims: inner, out: &mut *self.out })?.is_some() {
                got += 1;
                if got > expected {
                    return Err(A::Error::custom(format_args!("more than {expected} arrays in an array")));
                }
            }
        }
        if got != expected {
            return Err(A::Error::custom(format_args!("{got} values in an array, its shape says {expected}")));
        }
        Ok(())
    }
}

struct Value<T>(PhantomData<T>);

impl<'de, T: Leaf> DeserializeSeed<'de> for Value<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<T, D::Error> {
        T::read(from)
    }
}

/// Appends the values as one flat array.
pub(super) fn write(data: &TensorData, out: &mut Vec<u8>) -> Result<(), TensorError> {
    let infinite = match data {
        TensorData::Fp32(values) => values.iter().position(|value| value.is_infinite()),
        TensorData::Fp64(values) => values.iter().position(|value| value.is_infinite()),
        _ => None,
    };
    if let Some(at) = infinite {
        return Err(TensorError::Infinite { at });
    }
    with_values!(data, values => serde_json::to_writer(out, values))
        .map_err(|error| TensorError::Json(error.to_string()))
}
