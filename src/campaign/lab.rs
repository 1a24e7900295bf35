//! Owns the bench that trials are run on: the runtime, vetted models, threads, and the host's clock for its own section.

use crate::artifact::Signature;
use crate::campaign::{Trial, simulate_alone, trial};
use crate::digest::{hex, keyed};
use crate::plan::{Plan, Vetting};
use crate::report::trial::TrialReport;
use crate::rng::{Seed, Stream};
use crate::world::inference::{
    BLOCK, Engine, Inference, Limits, LoadOutcome, Located, RuntimeError, VetReport, cache_folder, locate, vet,
};
use crate::world::predictions::Predictions;
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Sender;

/// The runtime with everything that is prepared once.
#[derive(Debug)]
pub struct Lab {
    engine: Arc<Engine>,
    located: Located,
    worker: PathBuf,
}

impl Lab {
    /// Finds or fetches the runtime and starts it.
    ///
    /// # Errors
    /// When there is no runtime to be had; the text says how to get one.
    pub fn open() -> Result<Self, RuntimeError> {
        let located = locate()?;
        let engine = Arc::new(Engine::start(&located)?);
        let worker = std::env::current_exe().map_err(|e| RuntimeError::Worker { why: e.to_string() })?;
        Ok(Self { engine, located, worker })
    }

    /// The runtime's library.
    #[must_use]
    pub const fn located(&self) -> &Located {
        &self.located
    }

    /// The rollcage executable, which workers and replicas are started from.
    #[must_use]
    pub fn executable(&self) -> &Path {
        &self.worker
    }

    /// What the library says of its own build.
    #[must_use]
    pub fn build_info(&self) -> &'static str {
        self.engine.build_info()
    }

    /// Models for one thread.
    #[must_use]
    pub fn models(&self) -> Predictions {
        Predictions::new(Inference::new(Arc::clone(&self.engine), self.worker.clone()))
    }

    /// Vets a model in a worker on a seeded probe set.
    ///
    /// # Errors
    /// When there is no worker; what the model does is the report.
    pub fn vet(&self, bytes: &[u8], signature: &Signature) -> Result<VetReport, RuntimeError> {
        vet(&self.worker, &self.located, bytes, signature, &probe(signature.features), Limits::default())
    }

    /// As [`Lab::vet`], remembering what passed in the cache folder: the verdict on these bytes with this runtime stays.
    ///
    /// # Errors
    /// Why the model cannot be served, in words.
    pub fn vetting(&self, bytes: &[u8], signature: &Signature) -> Result<Vetting, String> {
        let runtime = hex(&self.located.sha256);
        let key = keyed(&[b"vet-1", runtime.as_bytes(), format!("{signature:?}").as_bytes(), bytes]);
        let note = cache_folder().map(|folder| folder.join("vetted").join(hex(&key)));
        // Anything but the two words is no note.
        match note.as_ref().and_then(|note| std::fs::read_to_string(note).ok()).as_deref() {
            Some(ROWWISE) => return Ok(Vetting { vetted: true, rowwise: true }),
            Some(SINGLE) => return Ok(Vetting { vetted: true, rowwise: false }),
            _ => {}
        }
        let report = self.vet(bytes, signature).map_err(|e| e.to_string())?;
        match &report.load {
            LoadOutcome::Loaded if report.passes() => {}
            LoadOutcome::Loaded => return Err("it does not answer every row of the probe".to_owned()),
            LoadOutcome::Refused(why) => return Err(why.clone()),
            LoadOutcome::NoReturn => return Err("its load does not return".to_owned()),
            LoadOutcome::Crashed => return Err("its load kills the process".to_owned()),
        }
        // Losing the note costs a second vetting, nothing else.
        if let Some(note) = note {
            let _ = write_note(&note, if report.rowwise { ROWWISE } else { SINGLE });
        }
        Ok(Vetting { vetted: true, rowwise: report.rowwise })
    }

    /// One trial with its host section.
    ///
    /// # Errors
    /// When the runtime is not there.
    pub fn trial(
        &self,
        plan: &Plan,
        seed: u64,
        keep_requests: bool,
        models: &mut Predictions,
    ) -> Result<Trial, RuntimeError> {
        let (start, rows) = (now(), models.rows_inferred());
        let mut done = trial(plan, seed, keep_requests, models)?;
        let host = &mut done.report.host;
        host.wall_s = now().duration_since(start).as_secs_f64();
        host.trial_wall_s = done.own_run_s;
        host.rows_inferred = models.rows_inferred() - rows;
        host.jobs = 1;
        host.requests_per_s = done.report.requests.requests as f64 / host.trial_wall_s.max(1e-9);
        Ok(done)
    }

    /// Trials for the given seeds on `jobs` threads; `keep` takes of each what is to be kept, in the order of the seeds.
    /// `told` hears of each end.
    ///
    /// # Errors
    /// When the runtime is not there.
    pub fn trials<T: Send>(
        &self,
        plan: &Plan,
        seeds: std::ops::Range<u64>,
        jobs: usize,
        told: &Sender<()>,
        keep: impl Fn(Trial) -> T + Sync,
    ) -> Result<Vec<T>, RuntimeError> {
        self.spread(seeds, jobs, |seed, models| {
            let mut done = self.trial(plan, seed, false, models)?;
            done.report.host.jobs = jobs as u32;
            // Nobody listens any more: then nobody needs to hear.
            let _ = told.send(());
            Ok(keep(done))
        })
    }

    /// One simulated run for each of the given seeds, without reference runs, on `jobs` threads; `keep` takes of each
    /// what is to be kept, in the order of the seeds.
    ///
    /// # Errors
    /// When the runtime is not there.
    pub fn alone<T: Send>(
        &self,
        plan: &Plan,
        seeds: std::ops::Range<u64>,
        jobs: usize,
        keep: impl Fn(&TrialReport) -> T + Sync,
    ) -> Result<Vec<T>, RuntimeError> {
        self.spread(seeds, jobs, |seed, models| simulate_alone(plan, seed, models).map(|report| keep(&report)))
    }

    /// Does something for each seed, with models for each thread; the results are in the order of the seeds.
    fn spread<T: Send>(
        &self,
        seeds: std::ops::Range<u64>,
        jobs: usize,
        each: impl Fn(u64, &mut Predictions) -> Result<T, RuntimeError> + Sync,
    ) -> Result<Vec<T>, RuntimeError> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(jobs)
            .build()
            .map_err(|e| RuntimeError::Worker { why: e.to_string() })?;
        let seeds: Vec<u64> = seeds.collect();
        pool.install(|| seeds.par_iter().map_init(|| self.models(), |models, &seed| each(seed, models)).collect())
    }
}

/// Does something for each seed that needs no model; the results are in the order of the seeds.
///
/// # Errors
/// When there are no threads to be had, in words.
pub fn side_by_side<T: Send>(
    seeds: std::ops::Range<u64>,
    jobs: usize,
    each: impl Fn(u64) -> T + Sync,
) -> Result<Vec<T>, String> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs).build().map_err(|e| e.to_string())?;
    let seeds: Vec<u64> = seeds.collect();
    Ok(pool.install(|| seeds.par_iter().map(|&seed| each(seed)).collect()))
}

const ROWWISE: &str = "rowwise";
const SINGLE: &str = "single";

/// Written aside and renamed: two processes may write at once, and one may be ended while it does.
fn write_note(note: &Path, word: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let folder = note.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(word.as_bytes())?;
    file.persist(note)?;
    Ok(())
}

/// One block of rows to try a model on: normal values on scales from 1 to 1000, from a stream of their own.
fn probe(features: usize) -> Vec<f32> {
    let mut stream = Stream::named(Seed(0), "vet", "probe");
    (0..BLOCK * features)
        .map(|i| {
            let scale = [1.0, 10.0, 100.0, 1000.0][i / features.max(1) % 4];
            (crate::stats::normal::quantile(stream.uniform32()) * scale) as f32
        })
        .collect()
}

#[expect(clippy::disallowed_methods, reason = "the host section is the one place where host time is told")]
pub(crate) fn now() -> std::time::Instant {
    std::time::Instant::now()
}
