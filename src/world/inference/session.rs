//! Owns a loaded model: that it has the declared input and output, and what a run of it gives.

use ort::session::{HasSelectedOutputs, OutputSelector, RunOptions};
use ort::value::{Outlet, TensorElementType, TensorRef, ValueType};

use super::error::{LoadError, RunError, one_line};
use super::outcome::{BlockOutcome, RowOutcome};
pub use crate::artifact::Signature;

/// Rows in a block. Fixed, because a row's last bit can depend on how many rows run with it.
pub const BLOCK: usize = 2048;

fn check_signature(inputs: &[Outlet], outputs: &[Outlet], signature: &Signature) -> Result<(), String> {
    let [input] = inputs else {
        return Err(format!("the model has {} inputs, expected 1", inputs.len()));
    };
    if input.name() != signature.input {
        return Err(format!("the model's input is `{}`, expected `{}`", input.name(), signature.input));
    }
    match dimensions(input.dtype()) {
        Some([_, features]) if free_or(*features, signature.features) => {}
        _ => {
            return Err(format!("input `{}` is not float [rows, {}]", signature.input, signature.features));
        }
    }
    let Some(output) = outputs.iter().find(|output| output.name() == signature.output) else {
        return Err(format!("the model has no output `{}`", signature.output));
    };
    let fits = match dimensions(output.dtype()) {
        Some([] | [_]) => signature.column == 0,
        Some([_, columns]) => *columns < 0 || usize::try_from(*columns).is_ok_and(|columns| signature.column < columns),
        _ => false,
    };
    if !fits {
        return Err(format!("output `{}` is not float [rows, more than {}]", signature.output, signature.column));
    }
    Ok(())
}

/// A float tensor's dimensions, -1 where they are free.
fn dimensions(of: &ValueType) -> Option<&[i64]> {
    match of {
        ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } => Some(shape),
        _ => None,
    }
}

fn free_or(dimension: i64, wanted: usize) -> bool {
    dimension < 0 || usize::try_from(dimension) == Ok(wanted)
}

/// A loaded model. Not shared between threads: each has its own.
pub struct Session {
    inner: ort::session::Session,
    run_options: RunOptions<HasSelectedOutputs>,
    features: usize,
    column: usize,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("features", &self.features)
            .field("column", &self.column)
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) fn new(inner: ort::session::Session, signature: &Signature) -> Result<Self, LoadError> {
        check_signature(inner.inputs(), inner.outputs(), signature).map_err(LoadError::Signature)?;
        let run_options = RunOptions::new()
            .map_err(|error| LoadError::Refused(one_line(error.message())))?
            .with_outputs(OutputSelector::no_default().with(signature.output.as_str()));
        Ok(Self { inner, run_options, features: signature.features, column: signature.column })
    }

    /// Features in a row.
    #[must_use]
    pub fn features(&self) -> usize {
        self.features
    }

    /// Scores one block: `rows` is row-major [`BLOCK`] × features, `scores` gets [`BLOCK`] values.
    ///
    /// # Errors
    /// [`RunError`]; `scores` is then left as it was.
    pub fn run_block(&mut self, rows: &[f32], scores: &mut [f32]) -> Result<(), RunError> {
        length(BLOCK, scores.len())?;
        self.run(BLOCK, rows, scores)
    }

    /// Scores rows one by one, at batch 1: for models with operators across rows, and after a block that failed.
    /// `rows` is row-major, `scores.len()` × features; the first row that fails ends it, with its index.
    ///
    /// # Errors
    /// The index of the row that failed, and why; the scores of the rows before it are set.
    pub fn run_rows(&mut self, rows: &[f32], scores: &mut [f32]) -> Result<(), (usize, RunError)> {
        length(scores.len() * self.features, rows.len()).map_err(|error| (0, error))?;
        for (at, score) in scores.iter_mut().enumerate() {
            *score = self.run_row(&rows[at * self.features..(at + 1) * self.features]).map_err(|error| (at, error))?;
        }
        Ok(())
    }

    fn run_row(&mut self, row: &[f32]) -> Result<f32, RunError> {
        let mut score = [0.0];
        self.run(1, row, &mut score)?;
        Ok(score[0])
    }

    /// The whole answer to a block: its scores, or each row's own outcome where some row fails.
    /// `rowwise` says that a row's score does not depend on its neighbours; without it the rows run at batch 1.
    /// `before` is called before native code is entered, at least once every 64 rows.
    ///
    /// # Errors
    /// A wrong length, or a single row that wants more memory than there is.
    pub(crate) fn outcome(
        &mut self,
        rows: &[f32],
        rowwise: bool,
        before: &mut dyn FnMut(),
    ) -> Result<BlockOutcome, RunError> {
        length(BLOCK * self.features, rows.len())?;
        if rowwise {
            before();
            let mut scores = vec![0.0; BLOCK];
            if self.run_block(rows, &mut scores).is_ok() {
                return Ok(BlockOutcome::Scores(scores));
            }
        }
        let mut outcomes = Vec::with_capacity(BLOCK);
        for at in 0..BLOCK {
            if at % 64 == 0 {
                before();
            }
            match self.run_row(&rows[at * self.features..(at + 1) * self.features]) {
                Ok(score) => outcomes.push(RowOutcome::Score(score)),
                Err(error) if exhausts_memory(&error) => return Err(error),
                Err(_) => outcomes.push(RowOutcome::Failed),
            }
        }
        let scores: Option<Vec<f32>> = outcomes
            .iter()
            .map(|outcome| match outcome {
                RowOutcome::Score(score) => Some(*score),
                RowOutcome::Failed => None,
            })
            .collect();
        Ok(match scores {
            Some(scores) => BlockOutcome::Scores(scores),
            None => BlockOutcome::Rows(outcomes),
        })
    }

    fn run(&mut self, count: usize, rows: &[f32], scores: &mut [f32]) -> Result<(), RunError> {
        length(count * self.features, rows.len())?;
        let failed = |error: ort::Error| RunError::Failed(one_line(error.message()));
        let input = TensorRef::from_array_view(([count, self.features], rows)).map_err(failed)?;
        let outputs = self.inner.run_with_options(ort::inputs![input], &self.run_options).map_err(failed)?;
        let output = outputs.values().next();
        let (shape, values) = output
            .as_ref()
            .and_then(|value| value.try_extract_tensor::<f32>().ok())
            .ok_or_else(|| RunError::Output("the output is not a float tensor".to_owned()))?;
        let rows_are = |dimension: i64| usize::try_from(dimension) == Ok(count);
        let columns = match **shape {
            [rows] if rows_are(rows) => 1,
            [rows, columns] if rows_are(rows) => usize::try_from(columns).unwrap_or(0),
            _ => {
                return Err(RunError::Output(format!("the output is {shape}, expected [{count}, columns]")));
            }
        };
        if self.column >= columns || values.len() != count * columns {
            return Err(RunError::Output(format!("the output is {shape}, expected more than {} columns", self.column)));
        }
        if columns == 1 {
            scores.copy_from_slice(values);
        } else {
            for (score, row) in scores.iter_mut().zip(values.chunks_exact(columns)) {
                *score = row[self.column];
            }
        }
        Ok(())
    }
}

fn length(expected: usize, got: usize) -> Result<(), RunError> {
    if expected == got { Ok(()) } else { Err(RunError::Length { expected, got }) }
}

/// Whether the runtime turned "no more memory" into an error. In a worker that means the memory limit.
pub(crate) fn exhausts_memory(error: &RunError) -> bool {
    matches!(error, RunError::Failed(message) if message_of_exhaustion(message))
}

/// As [`exhausts_memory`], of a message.
pub(crate) fn message_of_exhaustion(message: &str) -> bool {
    ["bad_alloc", "bad allocation", "Failed to allocate memory", "failed to allocate memory"]
        .iter()
        .any(|sign| message.contains(sign))
}
