//! Owns the models of a replica: which are loaded, from which bytes, and how one takes the place of another.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode};

use super::error::HttpError;
use super::metrics::{Metrics, ModelMetrics};
use super::slots::{self, Gauges, Setup, Slots, Slowness};
use crate::digest::Digest;
use crate::live::v2::{IndexEntry, State};
use crate::world::inference::{Engine, Interface};

/// Most names of models in one replica.
const MODELS_MAX: usize = 64;

/// Longest name of a model or version, in bytes.
const NAME_MAX: usize = 128;

/// Longest wait for the load or unload before this one.
const TURN_MAX: Duration = Duration::from_secs(60);

/// Largest model file.
const FILE_MAX: u64 = 2 << 30;

/// A loaded model. Requests hold on to the one they began with, so that bytes, digest and answer belong together.
#[derive(Debug)]
pub(super) struct Deployment {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) digest: Digest,
    /// The digest as a header's value.
    pub(super) artifact: HeaderValue,
    pub(super) interface: Interface,
    pub(super) slots: Slots,
    pub(super) metrics: ModelMetrics,
    pub(super) figures: Figures,
}

/// What the statistics endpoint tells of a model since it was loaded.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) success: Tally,
    pub(super) fail: Tally,
    pub(super) queue: Tally,
    pub(super) run: Tally,
}

/// How often, and how long altogether.
#[derive(Debug, Default)]
pub(super) struct Tally {
    count: AtomicU64,
    ns: AtomicU64,
}

impl Tally {
    pub(super) fn add(&self, time: Duration) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.ns.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Count and nanoseconds.
    pub(super) fn get(&self) -> (u64, u64) {
        (self.count.load(Ordering::Relaxed), self.ns.load(Ordering::Relaxed))
    }
}

/// Where a load takes its bytes from.
#[derive(Debug)]
pub(super) enum Source {
    /// The file that the model has on this machine, as it is now.
    File,
    /// The caller; with the version that he gives them.
    Bytes { version: Option<String>, bytes: Vec<u8> },
}

/// How far a load has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Verified(Digest),
    Loaded,
    Ready,
}

/// A model's file and what is promised of it.
#[derive(Debug, Clone)]
pub(super) struct ModelFile {
    pub(super) path: PathBuf,
    pub(super) version: String,
    pub(super) digest: Option<Digest>,
}

#[derive(Debug)]
struct Entry {
    file: Option<ModelFile>,
    version: String,
    state: State,
    reason: String,
    current: Option<Arc<Deployment>>,
}

/// The models by name.
#[derive(Debug)]
pub(super) struct Models {
    engine: OnceLock<Arc<Engine>>,
    entries: Mutex<BTreeMap<String, Entry>>,
    /// One load at a time: two that compete for one name would end in either's order.
    loading: tokio::sync::Mutex<()>,
    slots: usize,
    queue: usize,
    pub(super) slowness: Arc<Slowness>,
    pub(super) metrics: Metrics,
}

impl Models {
    /// One model that is yet to be loaded.
    pub(super) fn new(name: &str, file: ModelFile, slots: usize, queue: usize) -> Self {
        let version = file.version.clone();
        let entry = Entry { file: Some(file), version, state: State::Loading, reason: String::new(), current: None };
        Self {
            engine: OnceLock::new(),
            entries: Mutex::new(BTreeMap::from([(name.to_owned(), entry)])),
            loading: tokio::sync::Mutex::new(()),
            slots,
            queue,
            slowness: Arc::new(Slowness::none()),
            metrics: Metrics::new(),
        }
    }

    /// Gives the runtime that loads from now on.
    pub(super) fn start(&self, engine: Arc<Engine>) {
        let _ = self.engine.set(engine);
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loaded model of that name, and version if one is named.
    ///
    /// # Errors
    /// 404 for names and versions that are not loaded; 503 while the first load goes on.
    pub(super) fn get(&self, name: &str, version: Option<&str>) -> Result<Arc<Deployment>, HttpError> {
        let entries = self.entries();
        let entry = entries.get(name).ok_or_else(|| unknown(name))?;
        let Some(current) = &entry.current else {
            return Err(match entry.state {
                State::Loading => {
                    HttpError::new(StatusCode::SERVICE_UNAVAILABLE, format!("Model {name} is still loading"))
                }
                _ => HttpError::new(StatusCode::NOT_FOUND, format!("Model {name} is not ready: {}", entry.reason)),
            });
        };
        match version {
            Some(version) if version != current.version => {
                Err(HttpError::new(StatusCode::NOT_FOUND, format!("Model {name} with version {version} not found")))
            }
            _ => Ok(Arc::clone(current)),
        }
    }

    /// All loaded models.
    pub(super) fn loaded(&self) -> Vec<Arc<Deployment>> {
        self.entries().values().filter_map(|entry| entry.current.clone()).collect()
    }

    /// All names with their states.
    pub(super) fn index(&self) -> Vec<IndexEntry> {
        let line = |(name, entry): (&String, &Entry)| IndexEntry {
            name: name.clone(),
            version: entry.version.clone(),
            state: entry.state,
            reason: entry.reason.clone(),
        };
        self.entries().iter().map(line).collect()
    }

    /// Loads a model; the one loaded before, if there is one, answers until the new one is ready.
    ///
    /// # Errors
    /// 404 for an unknown name without bytes; 400 if the bytes cannot be had or do not load. What was loaded before
    /// then goes on serving, and the message says so.
    pub(super) async fn load(
        &self,
        name: &str,
        source: Source,
        told: &mut (dyn FnMut(Phase) + Send),
    ) -> Result<(), HttpError> {
        let _alone = self.turn().await?;
        let Some(engine) = self.engine.get() else {
            return Err(HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "ONNX Runtime is still starting".to_owned()));
        };
        let file = self.announce(name, &source)?;
        match self.prepare(name, engine, source, file, told).await {
            Ok(deployment) => {
                self.replace(name, Some(Arc::new(deployment)), String::new());
                told(Phase::Ready);
                Ok(())
            }
            Err(why) => {
                let mut entries = self.entries();
                let entry = entries.get_mut(name).ok_or_else(|| unknown(name))?;
                let nothing = entry.file.is_none() && entry.current.is_none();
                let message = match &entry.current {
                    Some(current) => {
                        let digest = current.digest;
                        format!("failed to load '{name}': {why}; what was loaded before ({digest}) goes on serving")
                    }
                    None => {
                        (entry.state, entry.reason) = (State::Unavailable, why.clone());
                        format!("failed to load '{name}': {why}")
                    }
                };
                // A name under which there is nothing, and nothing to load, is no model.
                if nothing {
                    entries.remove(name);
                }
                Err(HttpError::new(StatusCode::BAD_REQUEST, message))
            }
        }
    }

    async fn turn(&self) -> Result<tokio::sync::MutexGuard<'_, ()>, HttpError> {
        tokio::time::timeout(TURN_MAX, self.loading.lock()).await.map_err(|_| {
            HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "another load goes on and on; try later".to_owned())
        })
    }

    /// Marks a load as begun; the model's file.
    fn announce(&self, name: &str, source: &Source) -> Result<Option<ModelFile>, HttpError> {
        let refuse = |why: String| Err(HttpError::new(StatusCode::BAD_REQUEST, why));
        let mut entries = self.entries();
        if let Source::Bytes { version, .. } = source {
            let version = version.as_deref().map_or(Ok(()), |version| check_name("version", version));
            if let Err(why) = check_name("model's name", name).and(version) {
                return refuse(why);
            }
            // What was pushed and unloaded must not keep others out.
            if entries.len() >= MODELS_MAX && !entries.contains_key(name) {
                entries.retain(|_, entry| entry.file.is_some() || entry.current.is_some());
            }
        }
        let known = entries.len();
        match (entries.get_mut(name), source) {
            (None, Source::File) => Err(unknown(name)),
            (None, Source::Bytes { .. }) if known >= MODELS_MAX => {
                refuse(format!("this replica knows {MODELS_MAX} names of models already"))
            }
            (None, Source::Bytes { version, .. }) => {
                let version = version.clone().unwrap_or_else(|| "1".to_owned());
                let entry = Entry { file: None, version, state: State::Loading, reason: String::new(), current: None };
                entries.insert(name.to_owned(), entry);
                Ok(None)
            }
            (Some(entry), Source::File) if entry.file.is_none() => {
                refuse(format!("model '{name}' has no file here; send its bytes as parameter \"file:1/model.onnx\""))
            }
            (Some(entry), _) => {
                if entry.current.is_none() {
                    (entry.state, entry.reason) = (State::Loading, String::new());
                }
                Ok(entry.file.clone())
            }
        }
    }

    async fn prepare(
        &self,
        name: &str,
        engine: &Arc<Engine>,
        source: Source,
        file: Option<ModelFile>,
        told: &mut (dyn FnMut(Phase) + Send),
    ) -> Result<Deployment, String> {
        let known = self.entries().get(name).map(|entry| entry.version.clone());
        let (version, promised, bytes) = match source {
            Source::Bytes { version, bytes } => {
                (version.or(known).unwrap_or_else(|| "1".to_owned()), None, Arc::<[u8]>::from(bytes))
            }
            Source::File => {
                let file = file.ok_or("it has no file")?;
                let bytes =
                    tokio::task::spawn_blocking(move || read(&file.path)).await.map_err(|e| e.to_string())??;
                (file.version, file.digest, bytes)
            }
        };
        let whole = Arc::clone(&bytes);
        let digest = tokio::task::spawn_blocking(move || Digest::of(&whole)).await.map_err(|e| e.to_string())?;
        if let Some(promised) = promised.filter(|promised| *promised != digest) {
            return Err(format!("its file has digest {digest}, but {promised} is promised"));
        }
        told(Phase::Verified(digest));
        let setup = Setup {
            slots: self.slots,
            queue: self.queue,
            slowness: Arc::clone(&self.slowness),
            threads: self.metrics.threads.clone(),
        };
        let loaded = slots::load(engine, &bytes, setup).await?;
        told(Phase::Loaded);
        let (slots, interface) = loaded.warmed().await?;
        let artifact = HeaderValue::from_str(&digest.to_string()).map_err(|e| e.to_string())?;
        // Only now: versions that never were loaded would leave their series behind.
        let metrics = self.metrics.of(name, &version);
        slots.count_in(Gauges { waiting: metrics.waiting.clone(), running: metrics.running.clone() });
        let figures = Figures::default();
        Ok(Deployment { name: name.to_owned(), version, digest, artifact, interface, slots, metrics, figures })
    }

    /// Puts a model in its place, or takes it out. What it replaces answers what it has begun.
    fn replace(&self, name: &str, new: Option<Arc<Deployment>>, reason: String) -> Option<Arc<Deployment>> {
        let mut entries = self.entries();
        let entry = entries.get_mut(name)?;
        entry.state = if new.is_some() { State::Ready } else { State::Unavailable };
        entry.reason = reason;
        let old = std::mem::replace(&mut entry.current, new);
        if let Some(old) = &old {
            self.metrics.artifact(name, &old.version, old.digest, false);
            if entry.current.as_ref().is_none_or(|new| new.version != old.version) {
                self.metrics.forget(name, &old.version);
            }
        }
        if let Some(new) = &entry.current {
            entry.version.clone_from(&new.version);
            self.metrics.artifact(name, &new.version, new.digest, true);
        }
        old
    }

    /// Takes a model out of service. One that is not loaded stays so.
    ///
    /// # Errors
    /// 404 for an unknown name.
    pub(super) async fn unload(&self, name: &str) -> Result<(), HttpError> {
        let _alone = self.turn().await?;
        if !self.entries().contains_key(name) {
            return Err(unknown(name));
        }
        self.replace(name, None, "unloaded".to_owned());
        Ok(())
    }
}

fn unknown(name: &str) -> HttpError {
    HttpError::new(StatusCode::NOT_FOUND, format!("Model {name} not found"))
}

/// Whether this can be the name of a model or version: something that fits a path, a label and a line of a log.
///
/// # Errors
/// What is wrong, in words.
pub fn check_name(what: &str, name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_MAX {
        return Err(format!("a {what} has 1 to {NAME_MAX} bytes, this one {}", name.len()));
    }
    if name.contains(|c: char| c.is_control() || c == '/' || c == '\\') || name == "." || name == ".." {
        return Err(format!("{name:?} is no {what}: it is a segment of a path, without control characters"));
    }
    Ok(())
}

fn read(path: &Path) -> Result<Arc<[u8]>, String> {
    read_at_most(path, FILE_MAX)
}

fn read_at_most(path: &Path, most: u64) -> Result<Arc<[u8]>, String> {
    let shown = path.display();
    let failed = |error: std::io::Error| format!("cannot read `{shown}`: {error}");
    // Before it is opened: to open a pipe is to wait for whoever writes it.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(format!("cannot read `{shown}`: it is no regular file"));
    }
    let mut bytes = Vec::new();
    // What is read counts, not what was told before: the file may grow meanwhile.
    std::fs::File::open(path).map_err(failed)?.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(format!("`{shown}` has more than {most} bytes"));
    }
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_a_path() {
        for good in ["m", "1", "fraud v2", "größe", "a:b_c-d.e"] {
            assert_eq!(check_name("version", good), Ok(()));
        }
        let long = "x".repeat(NAME_MAX + 1);
        for bad in ["", ".", "..", "a/b", "a\\b", "a\nb", "\u{7f}", long.as_str()] {
            assert!(check_name("version", bad).unwrap_err().contains("version"), "{bad:?}");
        }
    }

    #[test]
    fn only_regular_files_within_the_limit_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model");
        std::fs::write(&file, b"four").unwrap();
        assert_eq!(&*read_at_most(&file, 4).unwrap(), b"four");
        assert!(read_at_most(&file, 3).unwrap_err().contains("more than 3 bytes"));
        assert!(read(folder.path()).unwrap_err().contains("no regular file"));
        assert!(read(&folder.path().join("none")).unwrap_err().contains("cannot read"));
    }
}
