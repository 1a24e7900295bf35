//! Owns the one ONNX Runtime of the process: how it starts, and the options every session has.

use std::path::PathBuf;
use std::sync::Mutex;

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::builder::{AutoDevicePolicy, GraphOptimizationLevel, SessionBuilder};

use super::error::{LoadError, RuntimeError, one_line};
use super::provision::Located;
use super::session::{Session, Signature};

/// The runtime of this process. There is one; starting it again gives the same one.
#[derive(Debug)]
pub struct Engine {
    environment: Environment,
    located: Located,
}

/// The runtime keeps process-wide state that can be made once and not anew, so it is held for the life of the process.
static STARTED: Mutex<Option<(Environment, PathBuf)>> = Mutex::new(None);

impl Engine {
    /// Loads the library and starts the runtime, telemetry off.
    ///
    /// # Errors
    /// [`RuntimeError::Unloadable`] if the file is no usable ONNX Runtime; [`RuntimeError::AlreadyStarted`] if this
    /// process already runs another one.
    pub fn start(located: &Located) -> Result<Self, RuntimeError> {
        let mut started = STARTED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let environment = match &*started {
            Some((environment, path)) if *path == located.path => environment.clone(),
            Some((_, path)) => {
                return Err(RuntimeError::AlreadyStarted { loaded: path.clone() });
            }
            None => {
                let environment = start(located)?;
                *started = Some((environment.clone(), located.path.clone()));
                environment
            }
        };
        Ok(Self { environment, located: located.clone() })
    }

    /// The library this runtime was loaded from.
    #[must_use]
    pub fn located(&self) -> &Located {
        &self.located
    }

    /// What the library says of its own build: version, commit, flags.
    #[must_use]
    pub fn build_info(&self) -> &'static str {
        ort::info()
    }

    /// Makes a session of a model's bytes. Whoever calls this for bytes that were not vetted may never get an answer.
    ///
    /// # Errors
    /// [`LoadError::Refused`] from the runtime; [`LoadError::Signature`] if the model lacks the declared input or output.
    pub fn load(&self, bytes: &[u8], signature: &Signature) -> Result<Session, LoadError> {
        Session::new(self.session(bytes)?, signature)
    }

    /// A session of the runtime, with the options that all have.
    pub(super) fn session(&self, bytes: &[u8]) -> Result<ort::session::Session, LoadError> {
        let mut builder = options(&self.environment).map_err(|error| LoadError::Refused(one_line(error.message())))?;
        builder.commit_from_memory(bytes).map_err(|error| LoadError::Refused(one_line(error.message())))
    }
}

fn start(located: &Located) -> Result<Environment, RuntimeError> {
    let unloadable = |why: String| RuntimeError::Unloadable { path: located.path.clone(), why: one_line(&why) };
    ort::init_from(&located.path)
        .map_err(|error| unloadable(error.to_string()))?
        .with_telemetry(false)
        .build()
        .map_err(|error| unloadable(error.message().to_owned()))
}

/// One thread, one order, one optimisation level, the CPU and nothing else: the same bits on one machine, always.
/// Level 2 is the last level that does not choose a memory layout by the CPU at hand. Denormals are kept (the default).
fn options(environment: &Environment) -> ort::Result<SessionBuilder> {
    Ok(SessionBuilder::new(environment)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_parallel_execution(false)?
        .with_deterministic_compute(true)?
        .with_optimization_level(GraphOptimizationLevel::Level2)?
        .with_auto_device(AutoDevicePolicy::PreferCPU)?
        .with_log_level(LogLevel::Fatal)?)
}
