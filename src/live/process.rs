//! Owns a replica's process: how it is started, what it tells of its start, how it is stopped, and that it does not stay behind.
//!
//! A replica that was started here ends with the driver, whatever happens to the driver: dropped handles kill it, its standard
//! input closes, and on Linux the kernel kills it even while it is stopped.

use crate::digest::Digest;
use crate::id::ReplicaId;
use crate::live::message::{Happened, Mailbox};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What to start.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    /// The rollcage executable.
    pub(crate) exe: PathBuf,
    /// The ONNX Runtime library.
    pub(crate) runtime: PathBuf,
    /// The file with the model.
    pub(crate) model: PathBuf,
    /// The name it is served under.
    pub(crate) name: String,
    /// Requests served at once.
    pub(crate) concurrency: u32,
    /// Requests that may wait.
    pub(crate) queue: u32,
    /// Bytes with another digest are refused.
    pub(crate) digest: Option<Digest>,
    /// The longest body it takes: bytes of a model that are pushed have to fit.
    pub(crate) max_body: usize,
}

/// A step of a replica's start, as it tells on its standard output: one JSON object a line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "phase", rename_all = "kebab-case")]
pub(crate) enum Phase {
    /// Its port is open.
    Listening {
        /// Where.
        address: SocketAddr,
    },
    /// It has read the file, and compared the digest if it had to.
    Verified,
    /// Sessions are built.
    Loaded,
    /// It serves.
    Ready,
    /// It cannot serve; its process ends.
    Failed {
        /// Why.
        reason: String,
    },
}

/// A process under way. Whoever waits for it also signals it, so that a number which another process has by now is never
/// signalled.
#[derive(Debug)]
pub(crate) struct Process {
    /// Open as long as the driver lives.
    _lifeline: Option<ChildStdin>,
    signals: UnboundedSender<Signal>,
}

/// Kept of what a replica says on its standard error.
const LAST_WORDS_BYTES: usize = 4096;

impl Process {
    /// Starts a replica. What becomes of it is told to `mailbox`: its phases, and its end.
    pub(crate) fn start(id: ReplicaId, start: &Start, mailbox: Mailbox) -> std::io::Result<Self> {
        let mut command = Command::new(&start.exe);
        command
            .arg("replica")
            .args(["--port", "0", "--faults", "--lifeline"])
            .arg("--name")
            .arg(&start.name)
            .arg("--model")
            .arg(&start.model)
            .arg("--runtime")
            .arg(&start.runtime)
            .args(["--concurrency", &start.concurrency.to_string(), "--queue", &start.queue.to_string()])
            .args(["--max-body", &start.max_body.to_string()]);
        if let Some(digest) = start.digest {
            command.args(["--digest", &digest.to_string()]);
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
        let lifeline = child.stdin.take();
        let (signals, asked) = unbounded_channel();
        tokio::spawn(watch(id, child, asked, mailbox));
        Ok(Self { _lifeline: lifeline, signals })
    }

    /// Ends it at once, as a crash does.
    pub(crate) fn kill(&self) {
        let _ = self.signals.send(Signal::Kill);
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        let _ = self.signals.send(Signal::Terminate);
    }

    /// Stops it where it stands.
    pub(crate) fn stop(&self) {
        let _ = self.signals.send(Signal::Stop);
    }

    /// Lets it go on.
    pub(crate) fn go_on(&self) {
        let _ = self.signals.send(Signal::Continue);
    }
}

#[derive(Debug, Clone, Copy)]
enum Signal {
    Kill,
    Terminate,
    Stop,
    Continue,
}

#[cfg(unix)]
fn send(child: &mut Child, signal: Signal) {
    use rustix::process::{Pid, Signal as Unix, kill_process};
    let signal = match signal {
        Signal::Kill => Unix::KILL,
        Signal::Terminate => Unix::TERM,
        Signal::Stop => Unix::STOP,
        Signal::Continue => Unix::CONT,
    };
    // None once it was waited for.
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let _ = pid.map(|pid| kill_process(pid, signal));
}

/// Elsewhere there is one way to end a process, and none to stop it.
#[cfg(not(unix))]
fn send(child: &mut Child, signal: Signal) {
    if matches!(signal, Signal::Kill | Signal::Terminate) {
        let _ = child.start_kill();
    }
}

async fn watch(id: ReplicaId, mut child: Child, mut asked: UnboundedReceiver<Signal>, mailbox: Mailbox) {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let phases = async {
        let Some(stdout) = stdout else { return };
        let mut lines = BufReader::new(stdout.take(1 << 20)).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            if let Ok(phase) = serde_json::from_str::<Phase>(&line) {
                mailbox.tell(Happened::Phase(id, phase));
            }
        }
    };
    let last_words = async {
        let mut kept = Vec::new();
        let mut buffer = [0; 1024];
        let Some(mut stderr) = stderr else { return kept };
        while let Ok(n @ 1..) = stderr.read(&mut buffer).await {
            kept.extend_from_slice(&buffer[..n]);
            let beyond = kept.len().saturating_sub(LAST_WORDS_BYTES);
            kept.drain(..beyond);
        }
        kept
    };
    let end = async {
        let status = loop {
            tokio::select! {
                biased;
                status = child.wait() => break status,
                signal = asked.recv() => match signal {
                    Some(signal) => send(&mut child, signal),
                    // The driver has let go of it: then it has to end as well.
                    None => {
                        let _ = child.start_kill();
                        break child.wait().await;
                    }
                },
            }
        };
        status.map_or_else(|e| e.to_string(), words)
    };
    let ((), said, how) = tokio::join!(phases, last_words, end);
    let said = String::from_utf8_lossy(&said);
    let last =
        said.lines().rev().find(|line| !line.trim().is_empty()).map(|line| line.trim().chars().take(300).collect());
    mailbox.tell(Happened::Gone(id, Gone { how, last_words: last }));
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gone {
    /// Its status in words.
    pub(crate) how: String,
    /// The last line it wrote on its standard error.
    pub(crate) last_words: Option<String>,
}

fn words(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("killed by signal {signal}");
    }
    match status.code() {
        Some(code) => format!("ended with code {code}"),
        None => "ended".to_owned(),
    }
}
