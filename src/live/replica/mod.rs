//! Owns one replica: a process that serves an ONNX model over HTTP, in the Open Inference Protocol V2.
//!
//! ```text
//!                    one thread: connections, protocol, endpoints          one thread a slot: a session
//! client ──HTTP──►  connection ─► http ─► infer ─► models ─► queue ──────►  slots ─► Graph::run
//!                        ▲                   ▲                                │
//!                        └── answer ─────────┴───────── oneshot ◄─────────────┘
//! ```
//!
//! What holds: health and metrics answer whatever native code does, because it runs on threads of its own; a failed load
//! leaves what was loaded before in service; an answer names the digest of the very bytes that gave it; every wait has a
//! limit, and so has everything that a client can make grow. The model's bytes are **not** vetted: damaged ones may crash
//! or hang this process, which is what a replica is a process for.

mod body;
mod clock;
mod connection;
mod error;
mod http;
mod infer;
mod metrics;
mod models;
mod room;
mod slots;
mod usage;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

pub use error::SHED_HEADER;
pub use models::check_name;
pub(crate) use usage::{CPU_SECONDS, RESIDENT_BYTES};

use self::http::Replica;
use self::models::{ModelFile, Models, Phase, Source};
use self::room::Budget;
use crate::digest::Digest;
use crate::world::inference::{Engine, Located, Origin, RuntimeError, locate};

/// The response header of every inference that names the digest of the bytes that were asked: `sha256:…`.
pub const ARTIFACT_HEADER: &str = "rollcage-artifact";

/// Time that requests in flight get when the process is told to end.
const GRACE: Duration = Duration::from_secs(1);

/// Memory for the bodies of all requests together, in bytes, if those may not be so large that it must be more.
const BODIES_MIN: usize = 256 << 20;

/// How a replica is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The model's file.
    pub model: PathBuf,
    /// The name it is served under.
    pub name: String,
    /// The version it is served as.
    pub version: String,
    /// What the file must be; any other is refused, now and at every load from the file.
    pub digest: Option<Digest>,
    /// Name or address of the interface.
    pub host: String,
    /// Port; 0 for any that is free.
    pub port: u16,
    /// Slots of each model: inferences that run at once.
    pub concurrency: usize,
    /// Requests that may wait for a slot, for each model.
    pub queue: usize,
    /// Largest body in bytes, after decompression.
    pub max_body: usize,
    /// Most connections at once.
    pub max_connections: usize,
    /// Whether there are endpoints that make it misbehave.
    pub faults: bool,
    /// Whether the process ends with its standard input, and with its parent.
    pub lifeline: bool,
    /// The ONNX Runtime library to use; else it is searched.
    pub runtime: Option<PathBuf>,
}

/// Why a replica does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be had.
    #[error("cannot listen on {host}:{port}: {source}\n{way}")]
    Bind {
        /// As configured.
        host: String,
        /// As configured.
        port: u16,
        /// The system's reason.
        source: io::Error,
        /// What to do about it.
        way: &'static str,
    },
    /// The system refuses threads, timers or signals.
    #[error("cannot start serving: {0}")]
    System(#[from] io::Error),
    /// There is no ONNX Runtime.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The model does not load. The way back is another file.
    #[error("{0}")]
    Model(String),
}

/// Serves until the process is told to end (SIGTERM, Ctrl-C; with `lifeline` also the end of standard input).
///
/// Tells its phases on standard output, one JSON object a line: `{"phase":"listening","address":"127.0.0.1:43210"}`,
/// `{"phase":"verified","digest":"sha256:…"}`, `{"phase":"loaded"}`, `{"phase":"ready"}`, or
/// `{"phase":"failed","reason":"…"}` where this returns an error after it has listened.
///
/// # Errors
/// [`ServeError`], before the first `ready` only.
pub fn serve(config: &Config) -> Result<(), ServeError> {
    if config.lifeline {
        hold_lifeline()?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(serving(config));
    // A slot that hangs is not waited for.
    runtime.shutdown_background();
    ended
}

async fn serving(config: &Config) -> Result<(), ServeError> {
    let (end, stop) = watch::channel(false);
    tokio::spawn(until_told(end)?);
    let bind = |source: io::Error| {
        let way = match source.kind() {
            io::ErrorKind::AddrInUse => "stop what listens there, or give --port another number (0: any that is free)",
            io::ErrorKind::PermissionDenied => "give --port a number above 1023",
            _ => "give --host an address of this machine",
        };
        ServeError::Bind { host: config.host.clone(), port: config.port, source, way }
    };
    let listener = TcpListener::bind((config.host.as_str(), config.port)).await.map_err(bind)?;
    let address: SocketAddr = listener.local_addr()?;
    let file = ModelFile { path: config.model.clone(), version: config.version.clone(), digest: config.digest };
    let replica = Arc::new(Replica {
        models: Models::new(&config.name, file, config.concurrency, config.queue),
        max_body: config.max_body,
        // A body and what it decompresses to, twice over, must fit whatever is configured.
        budget: Arc::new(Budget::new(config.max_body.saturating_mul(4).max(BODIES_MIN))),
        slots: config.concurrency,
        ready: AtomicBool::new(false),
    });
    tell(&serde_json::json!({"phase": "listening", "address": address}));
    let router = http::router(Arc::clone(&replica), config.faults);
    let accepting = connection::accept(listener, router, config.max_connections, stop, GRACE);
    let mut accepting = std::pin::pin!(accepting);
    let first = first_load(config, &replica);
    let loaded = tokio::select! {
        // Told to end before it was ready.
        () = accepting.as_mut() => return Ok(()),
        loaded = first => loaded,
    };
    if let Err(error) = loaded {
        tell(&serde_json::json!({"phase": "failed", "reason": error.to_string()}));
        return Err(error);
    }
    accepting.await;
    Ok(())
}

async fn first_load(config: &Config, replica: &Arc<Replica>) -> Result<(), ServeError> {
    let library = config.runtime.clone();
    // Finding the runtime may fetch it, and loading it reads a large file: neither holds up who asks for health.
    let engine = tokio::task::spawn_blocking(move || engine(library.as_deref()))
        .await
        .map_err(|error| ServeError::System(io::Error::other(error)))??;
    replica.models.start(Arc::new(engine));
    let told = &mut |phase| match phase {
        Phase::Verified(digest) => tell(&serde_json::json!({"phase": "verified", "digest": digest})),
        Phase::Loaded => tell(&serde_json::json!({"phase": "loaded"})),
        Phase::Ready => {
            replica.ready.store(true, Ordering::Relaxed);
            tell(&serde_json::json!({"phase": "ready"}));
        }
    };
    let loaded = replica.models.load(&config.name, Source::File, told).await;
    loaded.map_err(|error| ServeError::Model(error.message().to_owned()))
}

fn engine(library: Option<&Path>) -> Result<Engine, ServeError> {
    let located = match library {
        None => locate()?,
        // Named on purpose: any build will do, and nothing here compares it with the pinned one.
        Some(path) => Located {
            path: std::path::absolute(path)?,
            origin: Origin::Variable,
            sha256: [0; 32],
            foreign: true,
            version: None,
        },
    };
    Ok(Engine::start(&located)?)
}

/// One line on standard output, at once. A reader that has gone away does not end the service.
fn tell(phase: &serde_json::Value) {
    use io::Write as _;
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{phase}").and_then(|()| out.flush());
}

/// Ends the process with its standard input, and on Linux with its parent, even while it is stopped.
///
/// The kernel's signal comes at the end of the *thread* that started this process: it must be one that lives as long as
/// the replica should.
fn hold_lifeline() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    std::thread::Builder::new().name("lifeline".to_owned()).stack_size(64 << 10).spawn(|| {
        use io::Read as _;
        let mut input = io::stdin().lock();
        let mut buffer = [0; 256];
        loop {
            match input.read(&mut buffer) {
                Ok(0) => std::process::exit(0),
                Err(error) if error.kind() != io::ErrorKind::Interrupted => std::process::exit(0),
                _ => {}
            }
        }
    })?;
    Ok(())
}

/// A future that waits for the signal to end, and passes it on. The handlers are set when this returns.
#[cfg(unix)]
fn until_told(end: watch::Sender<bool>) -> io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _ = end.send(true);
    })
}

/// As on Unix; only Ctrl-C is known here.
#[cfg(not(unix))]
fn until_told(end: watch::Sender<bool>) -> io::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(async move {
        let _ = tokio::signal::ctrl_c().await;
        let _ = end.send(true);
    })
}
