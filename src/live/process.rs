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

/// A process under way.
#[derive(Debug)]
pub(crate) struct Process {
    pid: u32,
    /// Open as long as the driver lives.
    _lifeline: Option<ChildStdin>,
    kill: Option<tokio::sync::oneshot::Sender<()>>,
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
            .args(["--concurrency", &start.concurrency.to_string(), "--queue", &start.queue.to_string()]);
        if let Some(digest) = start.digest {
            command.args(["--digest", &digest.to_string()]);
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
        let pid = child.id().unwrap_or_default();
        let lifeline = child.stdin.take();
        let (kill, killed) = tokio::sync::oneshot::channel();
        tokio::spawn(watch(id, child, killed, mailbox));
        Ok(Self { pid, _lifeline: lifeline, kill: Some(kill) })
    }

    /// Ends it at once, as a crash does.
    pub(crate) fn kill(&mut self) {
        if let Some(kill) = self.kill.take() {
            let _ = kill.send(());
        }
    }

    /// Asks it to end.
    pub(crate) fn terminate(&mut self) {
        if !self.signal(Signal::Terminate) {
            self.kill();
        }
    }

    /// Stops it where it stands.
    pub(crate) fn stop(&self) -> bool {
        self.signal(Signal::Stop)
    }

    /// Lets it go on.
    pub(crate) fn go_on(&self) -> bool {
        self.signal(Signal::Continue)
    }

    #[cfg(unix)]
    fn signal(&self, signal: Signal) -> bool {
        use rustix::process::{Pid, Signal as Unix, kill_process};
        let signal = match signal {
            Signal::Terminate => Unix::TERM,
            Signal::Stop => Unix::STOP,
            Signal::Continue => Unix::CONT,
        };
        // While `kill` is here the process was not waited for, so that the number is still its own.
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).filter(|_| self.kill.is_some());
        pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
    }

    #[cfg(not(unix))]
    fn signal(&self, _: Signal) -> bool {
        false
    }
}

#[derive(Debug, Clone, Copy)]
enum Signal {
    Terminate,
    Stop,
    Continue,
}

async fn watch(id: ReplicaId, mut child: Child, mut killed: tokio::sync::oneshot::Receiver<()>, mailbox: Mailbox) {
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
        let status = tokio::select! {
            biased;
            status = child.wait() => status,
            // The sender is gone when the driver lets go of the process: then it has to end as well.
            _ = &mut killed => {
                let _ = child.start_kill();
                child.wait().await
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
