//! Owns predictions: scores of blocks, computed once for each (artifact, transform, payload) and shared between runs.
//!
//! Stays outside the plant's state, so that state is plain data: a forked run asks the same questions and gets the same
//! answers, from here or computed anew. A fault that moves the payload moves its digest, and with it the key.

use crate::artifact::Artifact;
use crate::digest::keyed;
use crate::world::inference::{BlockOutcome, Inference, LoadOutcome, RuntimeError, Standing};
use crate::world::traffic::Block;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Blocks of scores kept when nothing else is asked for: enough for what is under way.
const BLOCKS_UNDER_WAY: usize = 256;

/// The models of one thread with the scores they gave.
#[derive(Debug)]
pub struct Predictions {
    inference: Inference,
    scores: BTreeMap<[u8; 32], Arc<BlockOutcome>>,
    oldest_first: VecDeque<[u8; 32]>,
    blocks_kept: usize,
    gathered: Vec<f32>,
}

impl Predictions {
    /// No scores yet.
    #[must_use]
    pub fn new(inference: Inference) -> Self {
        Self {
            inference,
            scores: BTreeMap::new(),
            oldest_first: VecDeque::new(),
            blocks_kept: BLOCKS_UNDER_WAY,
            gathered: Vec::new(),
        }
    }

    /// Keeps up to `bytes` of scores, so that reference runs of the same trial need not compute them again.
    pub fn keep(&mut self, bytes: usize) {
        let block = crate::world::traffic::BLOCK * size_of::<f32>() + 256;
        self.blocks_kept = (bytes / block).max(BLOCKS_UNDER_WAY);
    }

    /// Forgets all scores (not the loaded models).
    pub fn forget(&mut self) {
        self.scores.clear();
        self.oldest_first.clear();
    }

    /// Rows that went through ONNX Runtime so far.
    #[must_use]
    pub fn rows_inferred(&self) -> u64 {
        self.inference.rows_inferred()
    }

    /// What a load of these bytes does.
    ///
    /// # Errors
    /// When the runtime itself is not there; what the bytes do is the outcome.
    pub fn load(&mut self, artifact: &Artifact) -> Result<LoadOutcome, RuntimeError> {
        let standing = Standing { vetted: artifact.vetted, rowwise: artifact.rowwise };
        self.inference.open(&artifact.bytes, artifact.digest.0, &artifact.signature, standing)
    }

    /// The scores of a block under an artifact fed through a transform.
    ///
    /// # Errors
    /// When the runtime itself is not there; what the bytes do is the outcome.
    pub fn block(
        &mut self,
        artifact: &Artifact,
        columns: Option<&[usize]>,
        block: &Block,
    ) -> Result<Arc<BlockOutcome>, RuntimeError> {
        let transform: Vec<u8> = columns.unwrap_or(&[]).iter().flat_map(|&c| (c as u32).to_le_bytes()).collect();
        let key = keyed(&[&artifact.digest.0, &transform, &block.payload]);
        if let Some(scores) = self.scores.get(&key) {
            return Ok(Arc::clone(scores));
        }
        self.load(artifact)?;
        let rows = match columns {
            None => &block.features,
            Some(columns) => {
                self.gathered.clear();
                for row in block.features.chunks_exact(block.width) {
                    self.gathered.extend(columns.iter().map(|&c| row.get(c).copied().unwrap_or(f32::NAN)));
                }
                &self.gathered
            }
        };
        let scores = Arc::new(self.inference.scores(&artifact.digest.0, &artifact.signature, rows)?);
        while self.oldest_first.len() >= self.blocks_kept {
            if let Some(oldest) = self.oldest_first.pop_front() {
                self.scores.remove(&oldest);
            }
        }
        self.scores.insert(key, Arc::clone(&scores));
        self.oldest_first.push_back(key);
        Ok(scores)
    }
}
