//! Owns what inference can answer: the outcomes of a load, of a block, of a row.

/// What happens when a replica loads given bytes. A fact about (bytes, runtime), the same on every run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadOutcome {
    /// The bytes are a session with the declared signature.
    Loaded,
    /// The runtime refuses them, or they lack the declared input or output. One line.
    Refused(String),
    /// Loading uses up the CPU budget.
    NoReturn,
    /// Loading kills the process, or asks for more memory than a worker may have.
    Crashed,
}

/// What becomes of one row.
#[derive(Debug, Clone, Copy)]
pub enum RowOutcome {
    /// A score; NaN and infinities are scores.
    Score(f32),
    /// The runtime answers with an error.
    Failed,
}

/// Equal to the bit, so that a NaN equals itself.
impl PartialEq for RowOutcome {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Score(a), Self::Score(b)) => a.to_bits() == b.to_bits(),
            (Self::Failed, Self::Failed) => true,
            _ => false,
        }
    }
}

impl Eq for RowOutcome {}

/// What becomes of a block of [`BLOCK`](super::BLOCK) rows.
#[derive(Debug, Clone)]
pub enum BlockOutcome {
    /// Every row has a score, in order.
    Scores(Vec<f32>),
    /// At least one row failed; each row's own outcome at batch 1, in order.
    Rows(Vec<RowOutcome>),
    /// Some row of the block never returns: the CPU budget was used up.
    NoReturn,
    /// Some row of the block kills the process, or asks for more memory than a worker may have.
    Crashed,
}

/// Equal to the bit.
impl PartialEq for BlockOutcome {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Scores(a), Self::Scores(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
            }
            (Self::Rows(a), Self::Rows(b)) => a == b,
            (Self::NoReturn, Self::NoReturn) | (Self::Crashed, Self::Crashed) => true,
            _ => false,
        }
    }
}

impl Eq for BlockOutcome {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_compare_by_bits() {
        let nan = f32::from_bits(0x7fc0_0001);
        assert_eq!(BlockOutcome::Scores(vec![nan]), BlockOutcome::Scores(vec![nan]));
        assert_ne!(BlockOutcome::Scores(vec![nan]), BlockOutcome::Scores(vec![f32::NAN]));
        assert_ne!(BlockOutcome::Scores(vec![0.0]), BlockOutcome::Scores(vec![-0.0]));
        assert_ne!(RowOutcome::Score(0.0), RowOutcome::Failed);
        assert_ne!(BlockOutcome::NoReturn, BlockOutcome::Crashed);
    }
}
