//! Owns Ctrl-C and being told to end, for the whole life of the process: a run under way is ended in order by the first signal,
//! and whatever else is under way by the next one. The runtime cannot give a signal back once it listens, so that somebody has to
//! listen for good.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;

/// The exit code of what was ended so.
pub const EXIT: i32 = 130;

static RUNNING: AtomicBool = AtomicBool::new(false);
static INTERRUPTED: OnceLock<watch::Sender<bool>> = OnceLock::new();

/// A run under way: as long as this lives the first signal is told here.
#[derive(Debug)]
pub(crate) struct Running(watch::Receiver<bool>);

impl Running {
    /// Begins to listen.
    pub(crate) fn begin() -> Self {
        let sender = INTERRUPTED.get_or_init(|| {
            let (sender, _) = watch::channel(false);
            // Without a thread, or without signals, the system's own way of ending a process holds.
            let _ = std::thread::Builder::new().name("signals".to_owned()).spawn(listen);
            sender
        });
        sender.send_replace(false);
        RUNNING.store(true, Ordering::SeqCst);
        Self(sender.subscribe())
    }

    /// Somebody who waits for the signal.
    pub(crate) fn watcher(&self) -> watch::Receiver<bool> {
        self.0.clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.store(false, Ordering::SeqCst);
    }
}

fn listen() {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        while signalled().await {
            let told = INTERRUPTED.get().is_some_and(|sender| !sender.send_replace(true));
            // Replicas end with the process, whatever way it ends.
            if !told || !RUNNING.load(Ordering::SeqCst) {
                std::process::exit(EXIT);
            }
        }
    });
}

/// Waits for a signal; `false` if there is no way to.
async fn signalled() -> bool {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            return tokio::select! {
                biased;
                pressed = tokio::signal::ctrl_c() => pressed.is_ok(),
                told = terminate.recv() => told.is_some(),
            };
        }
    }
    tokio::signal::ctrl_c().await.is_ok()
}
