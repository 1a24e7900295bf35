//! Owns what a worker may use: CPU time for each call, memory, no further files; and who ends it when it stands still.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a worker may use. Part of the key of a verdict: another budget is another question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Limits {
    /// CPU seconds for a load, for a run of a block, and for every 64 rows run singly. The kernel counts whole seconds,
    /// so a call that never returns ends after this many seconds and up to two more.
    pub cpu_s: u64,
    /// Address space of the worker in bytes, the runtime itself (about 100 MB) included. Only Linux enforces it.
    pub memory_bytes: u64,
}

impl Default for Limits {
    /// 10 s for what takes about a millisecond, and 4 GiB.
    fn default() -> Self {
        Self { cpu_s: 10, memory_bytes: 4 << 30 }
    }
}

/// Exit code of a worker that ended itself because a call did not return, where there is no signal for it.
pub(crate) const EXIT_NO_RETURN: i32 = 71;

/// Ticks of one second without progress after which a call counts as standing still. A backstop: code that waits for
/// ever uses no CPU time and would escape the budget. It takes two minutes in which this process's clock thread runs
/// and the calling thread gets no CPU at all, which load on the machine does not bring about.
const STILL_TICKS: u32 = 120;

/// Keeps the limits of the process it is made in. Made once, in the worker.
#[derive(Debug)]
pub(crate) struct Guard {
    limits: Limits,
    /// Odd while a call is under way; grows with each.
    calls: Arc<AtomicU64>,
    #[cfg(unix)]
    armed_until_s: u64,
}

impl Guard {
    /// Sets the limits that hold from now on. The runtime must be loaded: no file opens after this.
    pub(crate) fn set(limits: Limits) -> Self {
        #[cfg(unix)]
        unix::confine(limits);
        let calls = Arc::new(AtomicU64::new(0));
        watch(Arc::clone(&calls), limits);
        Self {
            limits,
            calls,
            #[cfg(unix)]
            armed_until_s: 0,
        }
    }

    /// Gives the next call its CPU budget.
    pub(crate) fn arm(&mut self) {
        #[cfg(unix)]
        {
            let until_s = unix::cpu_used().as_secs() + 1 + self.limits.cpu_s.max(1);
            if until_s != self.armed_until_s {
                self.armed_until_s = until_s;
                unix::limit_cpu(until_s);
            }
        }
        let _ = self.limits;
        self.calls.fetch_add(2, Ordering::Relaxed);
    }

    /// Marks a request as begun (native code may be entered) or ended.
    pub(crate) fn mark(&self, under_way: bool) {
        let now = self.calls.load(Ordering::Relaxed);
        self.calls.store((now + 2) & !1 | u64::from(under_way), Ordering::Relaxed);
    }
}

/// Ends the process when a call stands still, and where there are no CPU limits, when it takes ten times its budget.
fn watch(calls: Arc<AtomicU64>, limits: Limits) {
    let _ = std::thread::Builder::new().name("watch".to_owned()).stack_size(64 << 10).spawn(move || {
        // Nothing is ever sent: waiting for it is the tick.
        let (_hold, tick) = std::sync::mpsc::channel::<()>();
        let (mut seen, mut still) = (0, 0u32);
        #[cfg(unix)]
        let mut used = Duration::ZERO;
        let longest =
            if cfg!(unix) { STILL_TICKS } else { u32::try_from(limits.cpu_s.max(1) * 10).unwrap_or(u32::MAX) };
        loop {
            let _ = tick.recv_timeout(Duration::from_secs(1));
            let now = calls.load(Ordering::Relaxed);
            let mut progress = now != seen || now.is_multiple_of(2);
            seen = now;
            #[cfg(unix)]
            {
                let spent = unix::cpu_used();
                progress |= spent.saturating_sub(used) > Duration::from_millis(5);
                used = spent;
            }
            still = if progress { 0 } else { still + 1 };
            if still >= longest {
                #[cfg(unix)]
                unix::end_as_out_of_cpu();
                std::process::exit(EXIT_NO_RETURN);
            }
        }
    });
}

#[cfg(unix)]
mod unix {
    use std::time::Duration;

    use rustix::process::{Resource, Rlimit, Signal, getpid, getrlimit, kill_process, setrlimit};
    use rustix::time::{ClockId, clock_gettime};

    use super::Limits;

    /// CPU time of this process so far.
    pub(super) fn cpu_used() -> Duration {
        let spent = clock_gettime(ClockId::ProcessCPUTime);
        Duration::new(u64::try_from(spent.tv_sec).unwrap_or(0), u32::try_from(spent.tv_nsec).unwrap_or(0))
    }

    /// Lowers a soft limit, within the hard one. A platform that does not know the limit goes without.
    fn lower(resource: Resource, to: u64) {
        let maximum = getrlimit(resource).maximum;
        let current = Some(maximum.map_or(to, |maximum| maximum.min(to)));
        let _ = setrlimit(resource, Rlimit { current, maximum });
    }

    pub(super) fn limit_cpu(until_s: u64) {
        lower(Resource::Cpu, until_s);
    }

    /// Memory; no core dump; no further open files, so that a model cannot read its weights from this machine's files;
    /// no writing to files.
    pub(super) fn confine(limits: Limits) {
        lower(Resource::As, limits.memory_bytes);
        lower(Resource::Core, 0);
        lower(Resource::Nofile, 3);
        lower(Resource::Fsize, 0);
    }

    pub(super) fn end_as_out_of_cpu() {
        let _ = kill_process(getpid(), Signal::XCPU);
    }
}
