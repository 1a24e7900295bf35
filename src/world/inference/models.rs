//! Owns the models of one thread: where each runs, its worker if it has one, and what is remembered of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::engine::Engine;
use super::error::RuntimeError;
use super::limits::Limits;
use super::outcome::{BlockOutcome, LoadOutcome, RowOutcome};
use super::provision::{cache_folder, hex};
use super::session::{BLOCK, Session, Signature};
use super::verdict::{Question, Verdict, Verdicts};
use super::worker::{End, Worker};

/// Worker processes kept alive by one [`Inference`]; the one that was idle longest makes room.
const WORKERS_MAX: usize = 4;

/// How far a model's bytes are trusted, and how its rows may be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Standing {
    /// The bytes match their manifest and came through [`vet`](super::vet()): they run in process. All others run in a worker.
    pub vetted: bool,
    /// A row's score does not depend on its neighbours ([`VetReport::rowwise`](super::VetReport::rowwise)), so rows run in blocks; else at
    /// batch 1. A damaged copy takes this from what it is a copy of.
    pub rowwise: bool,
}

/// The models of one thread: loads them once, runs blocks, counts rows.
#[derive(Debug)]
pub struct Inference {
    engine: Arc<Engine>,
    worker_exe: PathBuf,
    limits: Limits,
    cache: Option<PathBuf>,
    models: BTreeMap<[u8; 32], Vec<Model>>,
    rows_inferred: u64,
    /// Grows with every use of a worker; the smallest stamp is the longest idle.
    uses: u64,
}

#[derive(Debug)]
struct Model {
    signature: Signature,
    standing: Standing,
    load: LoadOutcome,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// It did not load.
    Nowhere,
    InProcess(Box<Session>),
    Outside(Box<Outside>),
}

#[derive(Debug)]
struct Outside {
    bytes: Arc<[u8]>,
    verdicts: Verdicts,
    worker: Option<Worker>,
    used: u64,
}

impl Inference {
    /// No models yet. `worker_exe` is the executable that becomes a worker when started with [`WORKER_ARGUMENT`](super::WORKER_ARGUMENT).
    /// Verdicts go to the cache folder of this process; limits are the default ones.
    #[must_use]
    pub fn new(engine: Arc<Engine>, worker_exe: PathBuf) -> Self {
        Self {
            engine,
            worker_exe,
            limits: Limits::default(),
            cache: cache_folder(),
            models: BTreeMap::new(),
            rows_inferred: 0,
            uses: 0,
        }
    }

    /// With other limits for workers.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// With another cache folder for verdicts, or none.
    #[must_use]
    pub fn with_cache(mut self, cache: Option<PathBuf>) -> Self {
        self.cache = cache;
        self
    }

    /// Rows that models were given so far; the padding of blocks counts.
    #[must_use]
    pub fn rows_inferred(&self) -> u64 {
        self.rows_inferred
    }

    /// Process ids of the workers that are alive, for those who watch processes.
    #[must_use]
    pub fn worker_ids(&self) -> Vec<u32> {
        let worker = |model: &Model| match &model.place {
            Place::Outside(outside) => outside.worker.as_ref().map(Worker::id),
            Place::Nowhere | Place::InProcess(_) => None,
        };
        self.models.values().flatten().filter_map(worker).collect()
    }

    /// Loads a model, or tells what the load did when it was opened before. `digest` is the digest of `bytes`.
    /// A model that is open keeps the standing it was opened with.
    ///
    /// # Errors
    /// [`RuntimeError::Worker`] if unvetted bytes have no worker to load in. What the bytes do is the outcome.
    pub fn open(
        &mut self,
        bytes: &Arc<[u8]>,
        digest: [u8; 32],
        signature: &Signature,
        standing: Standing,
    ) -> Result<LoadOutcome, RuntimeError> {
        if let Some(at) = self.position(&digest, signature) {
            return Ok(self.models[&digest][at].load.clone());
        }
        let (load, place) = if standing.vetted {
            match self.engine.load(bytes, signature) {
                Ok(session) => (LoadOutcome::Loaded, Place::InProcess(Box::new(session))),
                Err(error) => (LoadOutcome::Refused(error.to_string()), Place::Nowhere),
            }
        } else {
            self.open_outside(bytes, &digest, signature, standing)?
        };
        let model = Model { signature: signature.clone(), standing, load: load.clone(), place };
        self.models.entry(digest).or_default().push(model);
        Ok(load)
    }

    fn position(&self, digest: &[u8; 32], signature: &Signature) -> Option<usize> {
        self.models.get(digest)?.iter().position(|model| model.signature == *signature)
    }

    fn open_outside(
        &mut self,
        bytes: &Arc<[u8]>,
        digest: &[u8; 32],
        signature: &Signature,
        standing: Standing,
    ) -> Result<(LoadOutcome, Place), RuntimeError> {
        let runtime = &self.engine.located().sha256;
        let verdicts = Verdicts::open(self.cache.as_deref(), runtime, digest, signature, standing.rowwise, self.limits);
        if let Some(verdict) = verdicts.get(&Question::Load) {
            return Ok((verdict.into(), Place::Nowhere));
        }
        let mut outside = Outside { bytes: Arc::clone(bytes), verdicts, worker: None, used: 0 };
        self.make_room();
        let (load, lasting) =
            self.twice(&mut outside, |worker, bytes| worker.load(bytes, signature, standing.rowwise))?;
        if let Some(verdict) = Verdict::of_load(&load).filter(|_| lasting) {
            outside.verdicts.record(Question::Load, verdict);
        }
        let place = if load == LoadOutcome::Loaded { Place::Outside(Box::new(outside)) } else { Place::Nowhere };
        Ok((load, place))
    }

    /// Scores one block: `rows` is row-major [`BLOCK`] × features. The same block always has the same outcome.
    ///
    /// # Errors
    /// [`RuntimeError::NotOpen`] if the model was not opened with this signature or did not load;
    /// [`RuntimeError::BlockLength`]; [`RuntimeError::Worker`] if a worker was needed and did not start.
    pub fn scores(
        &mut self,
        digest: &[u8; 32],
        signature: &Signature,
        rows: &[f32],
    ) -> Result<BlockOutcome, RuntimeError> {
        let not_open = || RuntimeError::NotOpen { digest: hex(&digest[..4]) };
        let expected = BLOCK * signature.features;
        if rows.len() != expected {
            return Err(RuntimeError::BlockLength { expected, got: rows.len() });
        }
        let at = self.position(digest, signature).ok_or_else(not_open)?;
        let model = self.models.get_mut(digest).and_then(|models| models.get_mut(at)).ok_or_else(not_open)?;
        let standing = model.standing;
        self.rows_inferred += BLOCK as u64;
        match &mut model.place {
            Place::Nowhere => {
                self.rows_inferred -= BLOCK as u64;
                Err(not_open())
            }
            Place::InProcess(session) => Ok(session
                .outcome(rows, standing.rowwise, &mut || ())
                .unwrap_or_else(|_| BlockOutcome::Rows(vec![RowOutcome::Failed; BLOCK]))),
            Place::Outside(_) => {
                // Taken out for the time of the run, so that other workers can be ended to make room.
                let Place::Outside(mut outside) = std::mem::replace(&mut model.place, Place::Nowhere) else {
                    return Err(not_open());
                };
                let outcome = self.run_outside(&mut outside, signature, standing, rows);
                if let Some(model) = self.models.get_mut(digest).and_then(|models| models.get_mut(at)) {
                    model.place = Place::Outside(outside);
                }
                outcome
            }
        }
    }

    fn run_outside(
        &mut self,
        outside: &mut Outside,
        signature: &Signature,
        standing: Standing,
        rows: &[f32],
    ) -> Result<BlockOutcome, RuntimeError> {
        if !outside.verdicts.is_empty()
            && let Some(verdict) = outside.verdicts.get(&Question::block(rows))
        {
            return Ok(verdict.into());
        }
        if outside.worker.is_none() {
            self.make_room();
        }
        let (outcome, lasting) = self.twice(outside, |worker, bytes| {
            if worker.holds() {
                return worker.run(rows);
            }
            match worker.load(bytes, signature, standing.rowwise) {
                LoadOutcome::Loaded => worker.run(rows),
                LoadOutcome::NoReturn => BlockOutcome::NoReturn,
                LoadOutcome::Refused(_) | LoadOutcome::Crashed => BlockOutcome::Crashed,
            }
        })?;
        if let Some(verdict) = Verdict::of_block(&outcome).filter(|_| lasting) {
            outside.verdicts.record(Question::block(rows), verdict);
        }
        Ok(outcome)
    }

    /// Asks a model's worker, starting one if there is none. A worker that was killed from outside says nothing about
    /// the model, so a second one is asked; if that is killed too, its answer stands, but is not to be remembered: the
    /// flag is false.
    fn twice<T>(
        &mut self,
        outside: &mut Outside,
        mut ask: impl FnMut(&mut Worker, &[u8]) -> T,
    ) -> Result<(T, bool), RuntimeError> {
        self.uses += 1;
        outside.used = self.uses;
        let mut first = true;
        loop {
            let mut worker = match outside.worker.take() {
                Some(worker) => worker,
                None => Worker::spawn(&self.worker_exe, self.engine.located(), self.limits)?,
            };
            let answer = ask(&mut worker, &outside.bytes);
            match worker.end() {
                None => {
                    outside.worker = Some(worker);
                    return Ok((answer, true));
                }
                Some(End::Killed) if first => first = false,
                Some(end) => return Ok((answer, end != End::Killed)),
            }
        }
    }

    /// Ends the longest idle workers until one more may start.
    fn make_room(&mut self) {
        loop {
            let mut alive: Vec<&mut Outside> = self
                .models
                .values_mut()
                .flatten()
                .filter_map(|model| match &mut model.place {
                    Place::Outside(outside) if outside.worker.is_some() => Some(&mut **outside),
                    _ => None,
                })
                .collect();
            if alive.len() < WORKERS_MAX {
                return;
            }
            if let Some(idle) = alive.iter_mut().min_by_key(|outside| outside.used) {
                idle.worker = None;
            }
        }
    }
}
