//! Owns the open loop: requests are sent when their time has come, whatever became of those before. A thread of its own sleeps
//! from arrival to arrival, since timers of the async runtime are a millisecond wide.

use crate::id::SourceId;
use crate::live::clock::Clock;
use crate::live::message::{Arrival, Happened, Mailbox};
use crate::time::SimTime;
use crate::world::traffic::{BLOCK, Block, SourceStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// A source of requests: its name, the declared source whose schema it has, and its stream.
pub(crate) type Stream = (String, SourceId, SourceStream);

/// Blocks that are generated before the start: 131 072 requests of a source. Later ones are made as they are needed, which
/// delays the request that waits for it by a millisecond or two.
const AHEAD: usize = 64;

struct Source {
    name: String,
    id: SourceId,
    schema: SourceId,
    stream: SourceStream,
    ahead: std::collections::VecDeque<Arc<Block>>,
    slot: usize,
}

impl Source {
    fn new(id: SourceId, (name, schema, stream): Stream) -> Self {
        let mut source = Self { name, id, schema, stream, ahead: std::collections::VecDeque::new(), slot: 0 };
        while source.ahead.len() < AHEAD && source.generate() {}
        source
    }

    fn generate(&mut self) -> bool {
        let block = self.stream.next_block();
        let more = block.is_some();
        self.ahead.extend(block.map(Arc::new));
        more
    }

    /// When the next request comes.
    fn pending(&mut self) -> Option<SimTime> {
        if self.slot == BLOCK {
            self.slot = 0;
            self.ahead.pop_front();
        }
        if self.ahead.is_empty() {
            self.generate();
        }
        let at = self.ahead.front()?.arrived[self.slot];
        (at != SimTime::NEVER).then_some(at)
    }

    fn take(&mut self) -> Option<Arrival> {
        let block = Arc::clone(self.ahead.front()?);
        let slot = self.slot;
        self.slot += 1;
        Some(Arrival { source: self.id, schema: self.schema, block, slot })
    }
}

/// The thread that sends.
#[derive(Debug)]
pub(crate) struct Pace {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Sources that are ready to go.
pub(crate) struct Ready(Vec<Source>);

impl Ready {
    /// Generates what lies ahead.
    pub(crate) fn new(streams: Vec<Stream>) -> Self {
        Self(streams.into_iter().enumerate().map(|(i, s)| Source::new(SourceId(i as u16), s)).collect())
    }
}

impl Pace {
    /// Sends each request to `mailbox` at its time by `clock`; when no more come, tells the digests of the streams.
    pub(crate) fn start(ready: Ready, clock: Clock, mailbox: Mailbox) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let run = move || send(ready.0, clock, &mailbox, &stopped);
        let thread = std::thread::Builder::new().name("arrivals".to_owned()).spawn(run)?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn send(mut sources: Vec<Source>, clock: Clock, mailbox: &Mailbox, stop: &AtomicBool) {
    while let Some((at, i)) = sources.iter_mut().enumerate().filter_map(|(i, s)| Some((s.pending()?, i))).min() {
        loop {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let wait = clock.until(at);
            if wait.is_zero() {
                break;
            }
            std::thread::park_timeout(wait);
        }
        if let Some(arrival) = sources[i].take() {
            mailbox.tell(Happened::Arrived(arrival));
        }
    }
    let digests = sources.iter().flat_map(|s| s.stream.digests(&s.name)).collect();
    mailbox.tell(Happened::TrafficOver(digests));
}
