//! Owns vetting: what must be known of a model before it may run inside the simulator's process.

use std::path::Path;

use super::error::RuntimeError;
use super::limits::Limits;
use super::outcome::{BlockOutcome, LoadOutcome};
use super::provision::{Located, sha256};
use super::session::{BLOCK, Signature};
use super::worker::Worker;

/// What vetting found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VetReport {
    /// What the load did.
    pub load: LoadOutcome,
    /// Whether every probe row got a score, at the block size and, for a model that is not row-wise, at batch 1.
    pub answers: bool,
    /// Whether every score of the probe is a finite number.
    pub finite: bool,
    /// Whether a row's score is the same to the bit whatever the other slots of its block hold.
    pub rowwise: bool,
    /// SHA-256 of the probe's scores (little-endian floats, one block), computed as they will be in a run: at the
    /// block size if row-wise, else at batch 1. `None` if some row has no score.
    pub scores_digest: Option<[u8; 32]>,
}

impl VetReport {
    /// Whether the model may run in process: it loads, and answers every probe row. Scores that are not finite do not
    /// forbid it; they are for people to judge.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.load == LoadOutcome::Loaded && self.answers
    }
}

/// Vets a model in a worker: loads it, runs it on `probe_rows` (row-major, any number of rows × features, repeated to
/// fill a block; a cut-off last row is ignored), and again with every other slot's content replaced.
///
/// # Errors
/// [`RuntimeError::Worker`] if there is no worker; [`RuntimeError::BlockLength`] if the probe has not one whole row.
/// What the model does is the report.
pub fn vet(
    exe: &Path,
    located: &Located,
    bytes: &[u8],
    signature: &Signature,
    probe_rows: &[f32],
    limits: Limits,
) -> Result<VetReport, RuntimeError> {
    let features = signature.features;
    if features == 0 || probe_rows.len() < features {
        return Err(RuntimeError::BlockLength { expected: BLOCK * features, got: probe_rows.len() });
    }
    let mut report =
        VetReport { load: LoadOutcome::Loaded, answers: false, finite: false, rowwise: false, scores_digest: None };
    let mut worker = Worker::spawn(exe, located, limits)?;
    report.load = worker.load(bytes, signature, true);
    if report.load != LoadOutcome::Loaded {
        return Ok(report);
    }

    let block: Vec<f32> = probe_rows.chunks_exact(features).cycle().take(BLOCK).flatten().copied().collect();
    let at_block = match worker.run(&block) {
        BlockOutcome::Scores(scores) => Some(scores),
        BlockOutcome::Rows(_) => None,
        BlockOutcome::NoReturn | BlockOutcome::Crashed => return Ok(report),
    };
    report.rowwise = at_block.as_ref().is_some_and(|scores| {
        replacements().all(|(kept, other)| {
            let mut altered = block.clone();
            for (slot, row) in altered.chunks_exact_mut(features).enumerate() {
                if slot % 2 != kept {
                    other.fill(slot, row, &block);
                }
            }
            match worker.run(&altered) {
                BlockOutcome::Scores(again) => {
                    (kept..BLOCK).step_by(2).all(|slot| again[slot].to_bits() == scores[slot].to_bits())
                }
                _ => false,
            }
        })
    });

    let scores = if report.rowwise {
        at_block
    } else {
        if worker.end().is_some() {
            worker = Worker::spawn(exe, located, limits)?;
        }
        match (worker.load(bytes, signature, false), worker.run(&block)) {
            (LoadOutcome::Loaded, BlockOutcome::Scores(scores)) => Some(scores),
            _ => None,
        }
    };
    if let Some(scores) = scores {
        report.answers = true;
        report.finite = scores.iter().all(|score| score.is_finite());
        let bytes: Vec<u8> = scores.iter().flat_map(|score| score.to_le_bytes()).collect();
        report.scores_digest = Some(sha256(&bytes));
    }
    Ok(report)
}

/// What the slots of the neighbours are given instead.
#[derive(Debug, Clone, Copy)]
enum Other {
    /// The probe's rows, in reverse order.
    Reversed,
    /// One value everywhere.
    Value(f32),
}

impl Other {
    fn fill(self, slot: usize, row: &mut [f32], block: &[f32]) {
        match self {
            Self::Reversed => {
                let from = (BLOCK - 1 - slot) * row.len();
                row.copy_from_slice(&block[from..from + row.len()]);
            }
            Self::Value(value) => row.fill(value),
        }
    }
}

/// Which slots keep their rows (even or odd), and what the others get.
fn replacements() -> impl Iterator<Item = (usize, Other)> {
    [Other::Reversed, Other::Value(0.0), Other::Value(1e9), Other::Value(f32::NAN)]
        .into_iter()
        .flat_map(|other| [(0, other), (1, other)])
}
