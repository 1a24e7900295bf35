//! Owns the binary form of tensors: values as little-endian bytes, texts each with its length before it.

use super::TensorError;
use crate::world::inference::{DataType, TensorData};

/// Reads `count` values.
pub(super) fn read(datatype: DataType, shape: &[usize], count: usize, bytes: &[u8]) -> Result<TensorData, TensorError> {
    macro_rules! numbers {
        ($variant:ident, $number:ty) => {{
            const WIDTH: usize = size_of::<$number>();
            fits(datatype, shape, count, WIDTH, bytes.len())?;
            let (values, _) = bytes.as_chunks::<WIDTH>();
            TensorData::$variant(values.iter().map(|value| <$number>::from_le_bytes(*value)).collect())
        }};
    }
    Ok(match datatype {
        DataType::Bool => {
            fits(datatype, shape, count, 1, bytes.len())?;
            if let Some(at) = bytes.iter().position(|byte| *byte > 1) {
                return Err(TensorError::Value { at, what: "no truth value: neither 0 nor 1" });
            }
            TensorData::Bool(bytes.iter().map(|byte| *byte == 1).collect())
        }
        DataType::Uint8 => numbers!(Uint8, u8),
        DataType::Uint16 => numbers!(Uint16, u16),
        DataType::Uint32 => numbers!(Uint32, u32),
        DataType::Uint64 => numbers!(Uint64, u64),
        DataType::Int8 => numbers!(Int8, i8),
        DataType::Int16 => numbers!(Int16, i16),
        DataType::Int32 => numbers!(Int32, i32),
        DataType::Int64 => numbers!(Int64, i64),
        DataType::Fp32 => numbers!(Fp32, f32),
        DataType::Fp64 => numbers!(Fp64, f64),
        DataType::Bytes => TensorData::Bytes(texts(shape, count, bytes)?),
    })
}

fn fits(datatype: DataType, shape: &[usize], count: usize, width: usize, got: usize) -> Result<(), TensorError> {
    let expected = count.saturating_mul(width);
    if expected == got {
        return Ok(());
    }
    Err(TensorError::Size { datatype: datatype.name(), shape: shape.to_vec(), expected, got })
}

fn texts(shape: &[usize], count: usize, mut bytes: &[u8]) -> Result<Vec<String>, TensorError> {
    let least = count.saturating_mul(4);
    if bytes.len() < least {
        let (shape, got) = (shape.to_vec(), bytes.len());
        return Err(TensorError::Size { datatype: DataType::Bytes.name(), shape, expected: least, got });
    }
    let mut texts = Vec::with_capacity(count);
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let at = texts.len();
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (text, rest) = rest
            .split_at_checked(length)
            .ok_or(TensorError::Value { at, what: "longer than the bytes that are left" })?;
        let text = std::str::from_utf8(text).map_err(|_| TensorError::Value { at, what: "not UTF-8 text" })?;
        texts.push(text.to_owned());
        bytes = rest;
    }
    if !bytes.is_empty() {
        return Err(TensorError::Value { at: texts.len(), what: "cut off" });
    }
    if texts.len() != count {
        return Err(TensorError::Count { shape: shape.to_vec(), expected: count, got: texts.len() });
    }
    Ok(texts)
}

/// Length of the binary form in bytes.
pub(super) fn size(data: &TensorData) -> usize {
    match data {
        TensorData::Bool(values) => values.len(),
        TensorData::Uint8(values) => values.len(),
        TensorData::Int8(values) => values.len(),
        TensorData::Uint16(values) => 2 * values.len(),
        TensorData::Int16(values) => 2 * values.len(),
        TensorData::Uint32(values) => 4 * values.len(),
        TensorData::Int32(values) => 4 * values.len(),
        TensorData::Fp32(values) => 4 * values.len(),
        TensorData::Uint64(values) => 8 * values.len(),
        TensorData::Int64(values) => 8 * values.len(),
        TensorData::Fp64(values) => 8 * values.len(),
        TensorData::Bytes(values) => values.iter().map(|text| 4 + text.len()).sum(),
    }
}

/// Appends the binary form.
pub(super) fn write(data: &TensorData, out: &mut Vec<u8>) {
    macro_rules! numbers {
        ($values:expr) => {{
            for value in $values {
                out.extend_from_slice(&value.to_le_bytes());
            }
        }};
    }
    match data {
        TensorData::Bool(values) => out.extend(values.iter().map(|value| u8::from(*value))),
        TensorData::Uint8(values) => out.extend_from_slice(values),
        TensorData::Int8(values) => numbers!(values),
        TensorData::Uint16(values) => numbers!(values),
        TensorData::Int16(values) => numbers!(values),
        TensorData::Uint32(values) => numbers!(values),
        TensorData::Int32(values) => numbers!(values),
        TensorData::Uint64(values) => numbers!(values),
        TensorData::Int64(values) => numbers!(values),
        TensorData::Fp32(values) => numbers!(values),
        TensorData::Fp64(values) => numbers!(values),
        TensorData::Bytes(values) => {
            for text in values {
                // A text of 4 GiB does not come out of a body within any limit; it would be cut, never misread.
                let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
                out.extend_from_slice(&length.to_le_bytes());
                out.extend_from_slice(&text.as_bytes()[..text.len().min(length as usize)]);
            }
        }
    }
}
