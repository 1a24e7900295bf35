//! Owns the bytes between the simulator and its worker: one kind byte, a length, the payload. Little-endian.
//!
//! The worker may be damaged by what it runs, so whatever it says is checked for form and length before it is believed.

use std::io::{self, Read, Write};
use std::path::PathBuf;

use super::limits::Limits;
use super::outcome::{BlockOutcome, RowOutcome};
use super::session::{BLOCK, Signature};

/// Largest payload, in bytes.
const PAYLOAD_MAX: u64 = 1 << 30;

/// Kinds of frames, requests first.
pub(crate) mod kind {
    pub(crate) const HELLO: u8 = 1;
    pub(crate) const LOAD: u8 = 2;
    pub(crate) const RUN: u8 = 3;
    pub(crate) const READY: u8 = 16;
    pub(crate) const FATAL: u8 = 17;
    pub(crate) const LOADED: u8 = 18;
    pub(crate) const REFUSED: u8 = 19;
    pub(crate) const SCORES: u8 = 20;
    pub(crate) const ROWS: u8 = 21;
}

/// What a worker is told first.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(crate) struct Hello {
    pub(crate) library: PathBuf,
    pub(crate) limits: Limits,
}

/// What a worker is told to load.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct LoadHead {
    pub(crate) signature: Signature,
    pub(crate) rowwise: bool,
}

pub(crate) fn write_frame(to: &mut impl Write, kind: u8, parts: &[&[u8]]) -> io::Result<()> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut head = [0; 9];
    head[0] = kind;
    head[1..].copy_from_slice(&(length as u64).to_le_bytes());
    to.write_all(&head)?;
    for part in parts {
        to.write_all(part)?;
    }
    to.flush()
}

/// Reads one frame into `payload`, whose memory is used again.
pub(crate) fn read_frame(from: &mut impl Read, payload: &mut Vec<u8>) -> io::Result<u8> {
    let mut head = [0; 9];
    from.read_exact(&mut head)?;
    let mut length = [0; 8];
    length.copy_from_slice(&head[1..]);
    let length = u64::from_le_bytes(length);
    if length > PAYLOAD_MAX {
        return Err(io::Error::from(io::ErrorKind::InvalidData));
    }
    payload.clear();
    if from.take(length).read_to_end(payload)? as u64 != length {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    Ok(head[0])
}

pub(crate) fn put_floats(values: &[f32], to: &mut Vec<u8>) {
    to.resize(4 * values.len(), 0);
    let (chunks, _) = to.as_chunks_mut::<4>();
    for (bytes, value) in chunks.iter_mut().zip(values) {
        *bytes = value.to_le_bytes();
    }
}

pub(crate) fn floats(bytes: &[u8]) -> Option<Vec<f32>> {
    let (chunks, rest) = bytes.as_chunks::<4>();
    rest.is_empty().then(|| chunks.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// A block's outcome as a frame. What never answers has no frame.
pub(crate) fn put_outcome(outcome: &BlockOutcome, to: &mut Vec<u8>) -> Option<u8> {
    match outcome {
        BlockOutcome::Scores(scores) => {
            put_floats(scores, to);
            Some(kind::SCORES)
        }
        BlockOutcome::Rows(rows) => {
            to.clear();
            for row in rows {
                let (flag, score) = match row {
                    RowOutcome::Score(score) => (1, *score),
                    RowOutcome::Failed => (0, 0.0),
                };
                to.push(flag);
                to.extend(score.to_le_bytes());
            }
            Some(kind::ROWS)
        }
        BlockOutcome::NoReturn | BlockOutcome::Crashed => None,
    }
}

/// The outcome a frame tells, if it tells one of exactly [`BLOCK`] rows.
pub(crate) fn outcome(kind: u8, payload: &[u8]) -> Option<BlockOutcome> {
    match kind {
        kind::SCORES => floats(payload).filter(|scores| scores.len() == BLOCK).map(BlockOutcome::Scores),
        kind::ROWS => {
            let (chunks, rest) = payload.as_chunks::<5>();
            if !rest.is_empty() || chunks.len() != BLOCK {
                return None;
            }
            let row = |[flag, score @ ..]: &[u8; 5]| match flag {
                0 => Some(RowOutcome::Failed),
                1 => Some(RowOutcome::Score(f32::from_le_bytes(*score))),
                _ => None,
            };
            chunks.iter().map(row).collect::<Option<Vec<_>>>().map(BlockOutcome::Rows)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_survive_the_wire_to_the_bit() {
        let scores = (0..BLOCK).map(|at| f32::from_bits(at as u32 * 0x0010_0ffb)).collect();
        let rows = (0..BLOCK)
            .map(|at| {
                if at % 3 == 0 {
                    RowOutcome::Failed
                } else {
                    RowOutcome::Score(f32::from_bits(at as u32 * 0x0010_0ffb))
                }
            })
            .collect();
        for sent in [BlockOutcome::Scores(scores), BlockOutcome::Rows(rows)] {
            let (mut pipe, mut payload) = (Vec::new(), Vec::new());
            let kind = put_outcome(&sent, &mut payload).unwrap();
            write_frame(&mut pipe, kind, &[&payload]).unwrap();
            let kind = read_frame(&mut pipe.as_slice(), &mut payload).unwrap();
            assert_eq!(outcome(kind, &payload).unwrap(), sent);
        }
    }

    #[test]
    fn malformed_frames_are_not_believed() {
        let mut payload = Vec::new();
        assert!(outcome(kind::SCORES, &[0; 4 * BLOCK]).is_some());
        assert!(outcome(kind::SCORES, &[0; 4 * BLOCK - 4]).is_none());
        assert!(outcome(kind::SCORES, &[0; 4 * BLOCK + 1]).is_none());
        assert!(outcome(kind::ROWS, &[0; 5 * BLOCK]).is_some());
        assert!(outcome(kind::ROWS, &[2; 5 * BLOCK]).is_none());
        assert!(outcome(kind::LOADED, &[]).is_none());
        assert!(read_frame(&mut [1u8, 0, 0].as_slice(), &mut payload).is_err());
        let mut boast = vec![kind::SCORES];
        boast.extend(u64::MAX.to_le_bytes());
        assert!(read_frame(&mut boast.as_slice(), &mut payload).is_err());
        let mut short = vec![kind::SCORES];
        short.extend(8u64.to_le_bytes());
        short.extend([0; 7]);
        assert!(read_frame(&mut short.as_slice(), &mut payload).is_err());
    }
}
