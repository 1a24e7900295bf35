//! Owns the parent's end of a worker process: bytes that nobody vetted load and run there, under limits, and may kill it.
//!
//! The worker is this same executable, started with the hidden argument `worker`. It holds one model at a time, speaks
//! over its standard streams (`wire`, `serve`), limits itself (`limits`), and ends when its input ends, so it never outlives
//! its parent by more than one call's budget.

use std::io::BufReader;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use super::error::{RuntimeError, one_line};
use super::limits::{EXIT_NO_RETURN, Limits};
use super::outcome::{BlockOutcome, LoadOutcome};
use super::provision::Located;
use super::session::Signature;
use super::wire::{self, Hello, LoadHead, kind};

/// The argument that makes the executable a worker.
pub const WORKER_ARGUMENT: &str = "worker";

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It used up a CPU budget: by that, the model never returns.
    NoReturn,
    /// It crashed, or asked for more memory than it may have.
    Crashed,
    /// It was ended from outside, by a signal that native code does not raise: this says nothing about the model.
    Killed,
}

/// The parent's end of one worker process. Dropping it ends the process.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    buffer: Vec<u8>,
    holds: bool,
    end: Option<End>,
}

impl Worker {
    /// Starts `exe` as a worker and waits until it has loaded the runtime and set its limits.
    ///
    /// # Errors
    /// [`RuntimeError::Worker`] if it does not start, or is not a worker.
    pub fn spawn(exe: &Path, located: &Located, limits: Limits) -> Result<Self, RuntimeError> {
        let failed = |why: String| RuntimeError::Worker { why: one_line(&why) };
        let mut command = Command::new(exe);
        command.arg(WORKER_ARGUMENT).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // Apart from the terminal's group: Ctrl-C is for the parent, which may finish what it is at.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let (Some(to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(failed("its streams are missing".to_owned()));
        };
        let mut worker = Self { child, to, from: BufReader::new(from), buffer: Vec::new(), holds: false, end: None };
        let hello = Hello { library: located.path.clone(), limits };
        let hello = serde_json::to_vec(&hello).map_err(|error| failed(error.to_string()))?;
        match worker.ask(kind::HELLO, &[&hello]) {
            Ok(kind::READY) => Ok(worker),
            Ok(kind::FATAL) => Err(failed(String::from_utf8_lossy(&worker.buffer).into_owned())),
            Ok(_) | Err(_) => Err(failed("it ended before it was ready".to_owned())),
        }
    }

    /// The process id, for those who watch processes.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// Whether it holds a model.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.holds && self.end.is_none()
    }

    /// Has the worker load a model in place of the one it holds. `rowwise` as in [`Standing`](super::Standing).
    pub fn load(&mut self, bytes: &[u8], signature: &Signature, rowwise: bool) -> LoadOutcome {
        let head = LoadHead { signature: signature.clone(), rowwise };
        let Ok(head) = serde_json::to_vec(&head) else {
            return LoadOutcome::Refused("the signature cannot be written down".to_owned());
        };
        self.holds = false;
        let length = (head.len() as u64).to_le_bytes();
        match self.ask(kind::LOAD, &[&length, &head, bytes]) {
            Ok(kind::LOADED) => {
                self.holds = true;
                LoadOutcome::Loaded
            }
            Ok(kind::REFUSED) => LoadOutcome::Refused(one_line(&String::from_utf8_lossy(&self.buffer))),
            Ok(_) => self.babbled().into(),
            Err(end) => end.into(),
        }
    }

    /// Has the worker run one block on the model it holds; `rows` is row-major [`BLOCK`](super::BLOCK) × features.
    /// Rows of another length count as a crash.
    pub fn run(&mut self, rows: &[f32]) -> BlockOutcome {
        let mut payload = Vec::with_capacity(4 * rows.len());
        wire::put_floats(rows, &mut payload);
        match self.ask(kind::RUN, &[&payload]) {
            Ok(kind) => match wire::outcome(kind, &self.buffer) {
                Some(outcome) => outcome,
                None => self.babbled().into(),
            },
            Err(end) => end.into(),
        }
    }

    /// Sends a request and waits for the answer's kind; its payload is in `buffer`. A worker that ended is not asked.
    fn ask(&mut self, kind: u8, parts: &[&[u8]]) -> Result<u8, End> {
        if let Some(end) = self.end {
            return Err(end);
        }
        let sent = wire::write_frame(&mut self.to, kind, parts);
        match sent.and_then(|()| wire::read_frame(&mut self.from, &mut self.buffer)) {
            Ok(kind) => Ok(kind),
            Err(error) => Err(self.bury(&error)),
        }
    }

    /// What came was no answer: memory of the worker is damaged, which is a crash that has not happened yet.
    fn babbled(&mut self) -> End {
        let _ = self.child.kill();
        let _ = self.child.wait();
        *self.end.insert(End::Crashed)
    }

    /// The stream broke off. Closed, it means that the process is ending; anything else on it was no answer.
    fn bury(&mut self, error: &std::io::Error) -> End {
        if error.kind() == std::io::ErrorKind::InvalidData {
            return self.babbled();
        }
        let end = self.child.wait().map_or(End::Crashed, end_of);
        *self.end.insert(end)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.end.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl From<End> for LoadOutcome {
    fn from(end: End) -> Self {
        match end {
            End::NoReturn => Self::NoReturn,
            End::Crashed | End::Killed => Self::Crashed,
        }
    }
}

impl From<End> for BlockOutcome {
    fn from(end: End) -> Self {
        match end {
            End::NoReturn => Self::NoReturn,
            End::Crashed | End::Killed => Self::Crashed,
        }
    }
}

#[cfg(unix)]
fn end_of(status: ExitStatus) -> End {
    use rustix::process::Signal;
    use std::os::unix::process::ExitStatusExt;
    let outside = [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT].map(Signal::as_raw);
    match status.signal() {
        Some(signal) if signal == Signal::XCPU.as_raw() => End::NoReturn,
        Some(signal) if outside.contains(&signal) => End::Killed,
        None if status.code() == Some(EXIT_NO_RETURN) => End::NoReturn,
        _ => End::Crashed,
    }
}

#[cfg(not(unix))]
fn end_of(status: ExitStatus) -> End {
    if status.code() == Some(EXIT_NO_RETURN) { End::NoReturn } else { End::Crashed }
}
