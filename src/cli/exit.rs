//! Owns exit codes: documented, distinct, the same for every command.

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i32)]
pub enum Exit {
    /// Done, and every expectation holds.
    Holds = 0,
    /// Something that should not happen: a bug of rollcage.
    Unexpected = 1,
    /// Wrong arguments.
    Usage = 2,
    /// A scenario, policy, model or data file has mistakes.
    Invalid = 3,
    /// Nothing ran.
    NothingRan = 4,
    /// More seeds are needed, or an expectation is about something these trials do not define.
    Inconclusive = 5,
    /// An expectation was missed.
    Missed = 10,
    /// An invariant was violated.
    Invariant = 11,
    /// Two runs of one seed differ.
    Nondeterminism = 12,
    /// The surroundings lack something.
    Environment = 20,
    /// Ended by Ctrl-C or a termination signal.
    Interrupted = 130,
}

/// The table shown under `--help`.
pub const TABLE: &str = "Exit codes: 0 holds · 1 unexpected (a bug) · 2 usage · 3 invalid scenario or policy · 4 nothing ran · \
5 inconclusive, more seeds needed · 10 expectation missed · 11 invariant violated · 12 nondeterminism · 20 environment · 130 interrupted";
