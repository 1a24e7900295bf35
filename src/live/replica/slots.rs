//! Owns inference slots: threads that each hold one session, and the bounded queue before them.
//!
//! Native code cannot be cancelled and may never return, so it runs on threads of its own and nobody waits for them
//! without a limit. A slot that hangs is lost until the process ends; health and metrics go on. Lost slots are counted,
//! and so there is a limit to them: beyond it nothing is loaded any more.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{mpsc, oneshot};

use super::clock;
use super::room::Room;
use crate::world::inference::{Engine, Graph, Interface, RunError, Tensor};

/// Longest time for all slots to load a model.
const LOAD_MAX: Duration = Duration::from_secs(60);

/// Longest time for all slots to warm up; after it the model serves with those that have.
const WARM_MAX: Duration = Duration::from_secs(10);

/// A model whose smallest input has more values than this is not warmed up.
const WARM_VALUES_MAX: usize = 1 << 22;

/// Longest time that [`Slowness`] holds a slot.
const HOLD_MAX: Duration = Duration::from_secs(60);

/// Most slots of a process, those that are lost included.
const THREADS_MAX: usize = 4096;

/// One inference to be done.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) inputs: Vec<Tensor>,
    pub(super) wanted: Vec<String>,
    pub(super) queued: Instant,
    pub(super) reply: oneshot::Sender<Answer>,
    /// Held for the inputs, which stay here when whoever asked has gone away.
    pub(super) _room: Room,
}

/// What came of a [`Job`].
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) result: Result<Vec<Tensor>, RunError>,
    /// Time between queue and slot.
    pub(super) waited: Duration,
    /// Time that the slot was occupied, the injected part included.
    pub(super) ran: Duration,
}

/// The injected latency of all slots: a request occupies its slot for `factor` × its run time + `add`.
#[derive(Debug)]
pub(super) struct Slowness {
    add_ns: AtomicU64,
    factor_bits: AtomicU64,
}

impl Slowness {
    pub(super) const fn none() -> Self {
        Self { add_ns: AtomicU64::new(0), factor_bits: AtomicU64::new(1f64.to_bits()) }
    }

    pub(super) fn set(&self, add: Duration, factor: f64) {
        self.add_ns.store(u64::try_from(add.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.factor_bits.store(factor.to_bits(), Ordering::Relaxed);
    }

    /// How much longer than its run a request occupies its slot.
    fn beyond(&self, ran: Duration) -> Duration {
        let add = Duration::from_nanos(self.add_ns.load(Ordering::Relaxed));
        let more = f64::from_bits(self.factor_bits.load(Ordering::Relaxed)) - 1.0;
        let stretched = Duration::try_from_secs_f64(ran.as_secs_f64() * more).unwrap_or_default();
        stretched.saturating_add(add).min(HOLD_MAX)
    }
}

/// How many threads there are for slots in this process.
#[derive(Debug, Clone, Default)]
pub(super) struct Threads {
    /// All that have not ended.
    pub(super) live: Gauge,
    /// Those among them that nobody can ask any more.
    pub(super) lost: Gauge,
}

impl Threads {
    /// Whether so many more may start. Loads take turns, so that none comes between this and the start.
    fn allow(&self, more: usize) -> Result<(), String> {
        let (live, lost) = (self.live.get(), self.lost.get());
        if usize::try_from(live).unwrap_or(0).saturating_add(more) <= THREADS_MAX {
            return Ok(());
        }
        Err(format!(
            "this process has {live} slots, {lost} of them lost in native code that does not return, and {more} more \
             would be above {THREADS_MAX}; unload models, or start it again"
        ))
    }
}

/// How slots are set up, and where they count.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    /// Threads, each with a session of its own.
    pub(super) slots: usize,
    /// Requests that may wait while all slots are busy.
    pub(super) queue: usize,
    pub(super) slowness: Arc<Slowness>,
    pub(super) threads: Threads,
}

/// Where the requests of a model count.
#[derive(Debug, Clone, Default)]
pub(super) struct Gauges {
    /// Before the slots.
    pub(super) waiting: Gauge,
    /// In slots.
    pub(super) running: Gauge,
}

#[derive(Debug)]
struct Shared {
    setup: Setup,
    /// Given with the first job at the latest: a model that does not load has no metrics.
    gauges: OnceLock<Gauges>,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    busy: usize,
    /// Threads that have not ended.
    threads: i64,
    closed: bool,
}

/// The slots of one loaded model. What is queued when they are dropped is still answered.
#[derive(Debug)]
pub(super) struct Slots(Arc<Shared>);

impl Drop for Slots {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        self.0.setup.threads.lost.inc_by(state.threads);
        drop(state);
        self.0.work.notify_all();
    }
}

impl Slots {
    /// Tells where its requests count, once.
    pub(super) fn count_in(&self, gauges: Gauges) {
        let _ = self.0.gauges.set(gauges);
    }

    /// Queues a job; gives it back if the queue is full.
    pub(super) fn push(&self, job: Job) -> Result<(), Job> {
        let shared = &*self.0;
        let mut state = shared.lock();
        let gauges = shared.gauges();
        let most = shared.setup.slots + shared.setup.queue;
        if state.jobs.len() + state.busy >= most {
            // Whoever has gone away needs no place.
            let before = state.jobs.len();
            state.jobs.retain(|job| !job.reply.is_closed());
            gauges.waiting.dec_by((before - state.jobs.len()) as i64);
            if state.jobs.len() + state.busy >= most {
                return Err(job);
            }
        }
        state.jobs.push_back(job);
        // Before the lock is given up: whoever takes the job must not count it out before it was counted in.
        gauges.waiting.inc();
        drop(state);
        shared.work.notify_one();
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gauges(&self) -> &Gauges {
        self.gauges.get_or_init(Gauges::default)
    }

    /// The next job; `None` when there are no more and there will be none.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.busy += 1;
                self.gauges().waiting.dec();
                self.gauges().running.inc();
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self) {
        self.lock().busy -= 1;
        self.gauges().running.dec();
    }

    fn serve(&self, graph: &mut Graph) {
        while let Some(job) = self.next() {
            // Whoever asked has gone away: nobody reads the answer.
            if job.reply.is_closed() {
                self.done();
                continue;
            }
            let begun = clock::now();
            let run = catch_unwind(AssertUnwindSafe(|| graph.run(&job.inputs, &job.wanted)));
            let result = run.unwrap_or_else(|_| Err(RunError::Failed("the run panicked".to_owned())));
            let mut ran = clock::since(begun);
            let beyond = self.setup.slowness.beyond(ran);
            if !beyond.is_zero() {
                clock::pause(beyond);
                ran = clock::since(begun);
            }
            let waited = begun.saturating_duration_since(job.queued);
            self.done();
            let _ = job.reply.send(Answer { result, waited, ran });
        }
    }
}

/// A slot's thread, counted as long as it has not ended.
struct Thread(Arc<Shared>);

impl Thread {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.lock().threads += 1;
        shared.setup.threads.live.inc();
        Self(Arc::clone(shared))
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        let threads = &self.0.setup.threads;
        let mut state = self.0.lock();
        state.threads -= 1;
        if state.closed {
            threads.lost.dec();
        }
        threads.live.dec();
    }
}

enum Report {
    Loaded(Box<Interface>),
    Refused(String),
    Warm,
}

/// Slots that have loaded their model and are warming up.
#[derive(Debug)]
pub(super) struct Loaded {
    slots: Slots,
    interface: Interface,
    /// How many are warm already.
    warm: usize,
    reports: mpsc::UnboundedReceiver<Report>,
}

/// Starts slots and has each load the model.
///
/// # Errors
/// Why the model is not loaded, in words; the slots are gone then, but for one that never returns.
pub(super) async fn load(engine: &Arc<Engine>, bytes: &Arc<[u8]>, setup: Setup) -> Result<Loaded, String> {
    let count = setup.slots;
    setup.threads.allow(count)?;
    let shared = Arc::new(Shared { setup, gauges: OnceLock::new(), state: Mutex::default(), work: Condvar::new() });
    let slots = Slots(Arc::clone(&shared));
    let (report, mut reports) = mpsc::unbounded_channel();
    for _ in 0..count {
        let (engine, bytes, report) = (Arc::clone(engine), Arc::clone(bytes), report.clone());
        let thread = Thread::new(&shared);
        std::thread::Builder::new()
            .name("slot".to_owned())
            .spawn(move || slot(&engine, bytes, &thread.0, report))
            .map_err(|error| format!("a thread for a slot does not start: {error}"))?;
    }
    drop(report);
    let mut warm = 0;
    let loaded = async {
        let (mut interface, mut loaded) = (None, 0);
        while loaded < count {
            match reports.recv().await {
                Some(Report::Loaded(found)) => {
                    interface = Some(*found);
                    loaded += 1;
                }
                Some(Report::Warm) => warm += 1,
                Some(Report::Refused(why)) => return Err(why),
                None => return Err("a slot ended while it loaded the model".to_owned()),
            }
        }
        interface.ok_or_else(|| "there are no slots".to_owned())
    };
    let interface = tokio::time::timeout(LOAD_MAX, loaded)
        .await
        .map_err(|_| format!("its load did not return within {} s", LOAD_MAX.as_secs()))??;
    Ok(Loaded { slots, interface, warm, reports })
}

impl Loaded {
    /// Waits until the slots are warm, or for a while.
    ///
    /// # Errors
    /// None of them is: the model never answers.
    pub(super) async fn warmed(mut self) -> Result<(Slots, Interface), String> {
        let warm = async {
            // A slot that is warm drops its end of the channel.
            while let Some(report) = self.reports.recv().await {
                self.warm += usize::from(matches!(report, Report::Warm));
            }
        };
        let _ = tokio::time::timeout(WARM_MAX, warm).await;
        if self.warm == 0 {
            // Slow, perhaps; the first to return shows it.
            match tokio::time::timeout(WARM_MAX, self.reports.recv()).await {
                Ok(Some(Report::Warm)) => {}
                _ => {
                    return Err(format!("its first run, on zeros, did not return within {} s", 2 * WARM_MAX.as_secs()));
                }
            }
        }
        Ok((self.slots, self.interface))
    }
}

fn slot(engine: &Engine, bytes: Arc<[u8]>, shared: &Shared, report: mpsc::UnboundedSender<Report>) {
    let loaded = catch_unwind(AssertUnwindSafe(|| Graph::load(engine, &bytes)));
    drop(bytes);
    let mut graph = match loaded {
        Ok(Ok(graph)) => graph,
        Ok(Err(error)) => {
            let _ = report.send(Report::Refused(error.to_string()));
            return;
        }
        Err(_) => {
            let _ = report.send(Report::Refused("its load panicked".to_owned()));
            return;
        }
    };
    let _ = report.send(Report::Loaded(Box::new(graph.interface().clone())));
    if let Some(zeros) = graph.interface().zeros(WARM_VALUES_MAX) {
        // A model need not like zeros: whether it answers real rows shows when they come.
        let _ = catch_unwind(AssertUnwindSafe(|| graph.run(&zeros, &[])));
    }
    let _ = report.send(Report::Warm);
    drop(report);
    shared.serve(&mut graph);
}

#[cfg(test)]
mod tests {
    use super::super::room::Budget;
    use super::*;

    fn slots(setup: Setup) -> Slots {
        Slots(Arc::new(Shared { setup, gauges: OnceLock::new(), state: Mutex::default(), work: Condvar::new() }))
    }

    fn setup(slots: usize, queue: usize) -> Setup {
        Setup { slots, queue, slowness: Arc::new(Slowness::none()), threads: Threads::default() }
    }

    #[test]
    fn whoever_has_gone_away_keeps_no_place_in_the_queue() {
        let (slots, gauges) = (slots(setup(1, 2)), Gauges::default());
        slots.count_in(gauges.clone());
        let budget = Arc::new(Budget::new(0));
        let push = || {
            let (reply, answer) = oneshot::channel();
            let room = Room::none(&budget);
            let job = Job { inputs: Vec::new(), wanted: Vec::new(), queued: clock::now(), reply, _room: room };
            slots.push(job).map(|()| answer)
        };
        let (first, second, third) = (push().unwrap(), push().unwrap(), push().unwrap());
        assert!(push().is_err());
        drop((first, third));
        assert_eq!(gauges.waiting.get(), 3, "they leave when their places are wanted");
        let fourth = push().unwrap();
        assert_eq!(gauges.waiting.get(), 2);
        slots.0.next().unwrap();
        assert_eq!((gauges.waiting.get(), gauges.running.get()), (1, 1));
        let fifth = push().unwrap();
        assert!(push().is_err(), "all three are waited for");
        drop((second, fourth, fifth));
    }

    #[test]
    fn threads_that_do_not_end_are_counted_and_limited() {
        let setup = setup(2, 0);
        let threads = setup.threads.clone();
        let slots = slots(setup);
        let (stuck, ends) = (Thread::new(&slots.0), Thread::new(&slots.0));
        assert_eq!((threads.live.get(), threads.lost.get()), (2, 0));
        drop(slots);
        assert_eq!((threads.live.get(), threads.lost.get()), (2, 2));
        drop(ends);
        assert_eq!((threads.live.get(), threads.lost.get()), (1, 1));
        assert!(threads.allow(THREADS_MAX - 1).is_ok());
        assert!(threads.allow(THREADS_MAX).unwrap_err().contains("1 of them lost"));
        drop(stuck);
        assert_eq!((threads.live.get(), threads.lost.get()), (0, 0));
    }

    #[test]
    fn slowness_is_what_a_slot_is_held_beyond_its_run() {
        let ran = Duration::from_millis(2);
        let check = |add_ms: u64, factor: f64, expect_ms: u64| {
            let slowness = Slowness::none();
            slowness.set(Duration::from_millis(add_ms), factor);
            assert_eq!(slowness.beyond(ran), Duration::from_millis(expect_ms));
        };
        assert_eq!(Slowness::none().beyond(ran), Duration::ZERO);
        check(100, 1.0, 100);
        check(0, 3.0, 4);
        check(5, 2.0, 7);
        check(5, 0.0, 5);
        check(3_600_000, 1.0, 60_000);
        check(1, f64::INFINITY, 1);
    }
}
