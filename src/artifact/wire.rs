//! Owns the protobuf wire format, read-only: fields with the place of their bytes in the file.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>. No protobuf library tells where in the file a value lies,
//! and that is all that damage in place needs.

use std::ops::Range;

/// The value of one field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1: where its 8 bytes lie.
    Fixed64,
    /// Wire type 2: where its bytes lie.
    Bytes(Range<usize>),
    /// Wire type 5: where its 4 bytes begin.
    Fixed32(usize),
}

/// One field of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    /// The number the schema gives it.
    pub(crate) number: u64,
    /// Where its tag begins.
    pub(crate) at: usize,
    /// What it holds.
    pub(crate) value: Value,
}

/// What is wrong with the encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadWire {
    /// The message ends inside a field.
    #[error("a field runs past the end of its message")]
    Truncated,
    /// More than ten bytes, or more than 64 bits.
    #[error("a variable-length integer is longer than 64 bits")]
    LongVarint,
    /// Field 0, or beyond the largest number of the format.
    #[error("field number {0} does not exist in protobuf")]
    FieldNumber(u64),
    /// A group (3, 4), which ONNX never uses, or an undefined type (6, 7).
    #[error("wire type {0} is not used by ONNX")]
    WireType(u8),
}

/// The largest field number of the format.
const FIELD_NUMBER_MAX: u64 = (1 << 29) - 1;

/// The fields of the message in `bytes[at..end]`, in order; ends after the first error.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Fields<'a> {
    /// Reads the message that lies in `range` of the file; a range beyond the file is cut to it.
    pub(crate) fn new(bytes: &'a [u8], range: Range<usize>) -> Self {
        Self { bytes, at: range.start, end: range.end.min(bytes.len()) }
    }

    fn varint(&mut self) -> Result<u64, BadWire> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            if self.at >= self.end {
                return Err(BadWire::Truncated);
            }
            let byte = self.bytes.get(self.at).copied().ok_or(BadWire::Truncated)?;
            self.at += 1;
            if shift == 63 && byte > 1 {
                return Err(BadWire::LongVarint);
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(BadWire::LongVarint)
    }

    fn take(&mut self, length: u64) -> Result<Range<usize>, BadWire> {
        let left = self.end.saturating_sub(self.at);
        let length = usize::try_from(length).ok().filter(|&n| n <= left).ok_or(BadWire::Truncated)?;
        let range = self.at..self.at + length;
        self.at = range.end;
        Ok(range)
    }

    fn field(&mut self) -> Result<Field, BadWire> {
        let at = self.at;
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number > FIELD_NUMBER_MAX {
            return Err(BadWire::FieldNumber(number));
        }
        let value = match (tag & 7) as u8 {
            0 => Value::Varint(self.varint()?),
            1 => {
                self.take(8)?;
                Value::Fixed64
            }
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed32(self.take(4)?.start),
            other => return Err(BadWire::WireType(other)),
        };
        Ok(Field { number, at, value })
    }
}

impl Iterator for Fields<'_> {
    /// A field, or what is wrong with the one that begins at that byte.
    type Item = Result<Field, (usize, BadWire)>;

    fn next(&mut self) -> Option<Self::Item> {
        let at = self.at;
        if at >= self.end {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.at = self.end;
        }
        Some(field.map_err(|bad| (at, bad)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Vec<Result<Field, (usize, BadWire)>> {
        Fields::new(bytes, 0..bytes.len()).collect()
    }

    #[test]
    fn fields_come_with_the_place_of_their_bytes() {
        // The two examples of the encoding guide (150 in field 1, "testing" in field 2), then a float in field 7.
        let bytes = [&[0x08, 0x96, 0x01, 0x12, 0x07][..], b"testing", &[0x3d, 0, 0, 0x80, 0x3f]].concat();
        let fields: Vec<Field> = read(&bytes).into_iter().map(Result::unwrap).collect();
        assert_eq!(fields[0], Field { number: 1, at: 0, value: Value::Varint(150) });
        assert_eq!(fields[1], Field { number: 2, at: 3, value: Value::Bytes(5..12) });
        assert_eq!(fields[2], Field { number: 7, at: 12, value: Value::Fixed32(13) });
    }

    #[test]
    fn bad_encodings_are_named_with_their_place_and_end_the_message() {
        for (bytes, bad) in [
            (&[0x12, 0x08, 1, 2][..], BadWire::Truncated),
            (&[0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], BadWire::Truncated),
            (&[0x08], BadWire::Truncated),
            (&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], BadWire::LongVarint),
            (&[0x00, 0x00], BadWire::FieldNumber(0)),
            (&[0x0b, 0x08], BadWire::WireType(3)),
        ] {
            assert_eq!(read(bytes), [Err((0, bad))], "{bytes:x?}");
        }
    }
}
