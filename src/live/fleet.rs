//! Owns replicas in a live run: their store of artifacts, their lives from start to end, and the pools that orders change.

use crate::digest::Digest;
use crate::event::{ActionEnd, Event, Health, Input, ReplicaState};
use crate::id::{ReplicaId, VersionId};
use crate::live::clock::real;
use crate::live::driver::{Driver, Due};
use crate::live::foreign::Identify;
use crate::live::message::Happened;
use crate::live::process::{Gone, Phase, Process, Start};
use crate::live::proxy::Proxy;
use crate::live::{LiveError, Started};
use crate::time::Span;
use crate::world::config::WorldConfig;
use crate::world::faults::Faults;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedReceiver;

/// Whoever starts a replica has so long to say why it is not ready, before it is only said that it is not.
const REASON: Span = Span::secs(6);
/// A replica that was asked to end is killed after this.
const END_LIMIT: Span = Span::secs(2);

/// One replica.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) id: ReplicaId,
    pub(crate) version: VersionId,
    /// Its place in its pool, which is also the host it runs on.
    pub(crate) host: u32,
    pub(crate) state: ReplicaState,
    /// Requests under way to it.
    pub(crate) in_flight: u32,
    /// Processor time that it told last.
    pub(crate) cpu: Span,
    /// Kinds of misbehaviour that were told.
    pub(crate) strange: BTreeSet<&'static str>,
    /// Its process; `None`: it has ended, or is a server that was not started here.
    pub(crate) process: Option<Process>,
    /// The server itself.
    pub(crate) server: Option<SocketAddr>,
    pub(crate) proxy: Option<Proxy>,
    /// How much longer its service was told to take: (factor, add).
    pub(crate) slowed: Option<(f64, Span)>,
    /// A crash fault killed it: then it is no surprise that it is gone.
    pub(crate) struck: bool,
    /// It was told to unload, or a foreign server was.
    pub(crate) unloading: bool,
    /// Scrapes in a row that it did not answer.
    pub(crate) silences: u32,
    /// When each step of its start began: start, listening, verified, loaded.
    steps: Vec<Instant>,
    /// Why it failed to start, if it told.
    failed: Option<String>,
}

impl Seat {
    /// Where requests go.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.proxy.as_ref().map(|proxy| proxy.address)
    }
}

/// The artifact store: a folder with the files that replicas load. It goes with the run.
#[derive(Debug)]
pub(crate) struct Store {
    folder: tempfile::TempDir,
}

impl Store {
    /// Every version's bytes as they are before any fault.
    pub(crate) fn new(config: &WorldConfig, faults: &Faults) -> Result<Self, String> {
        let failed = |e: std::io::Error| format!("the artifact store cannot be made: {e}");
        let folder = tempfile::Builder::new().prefix("rollcage-live-").tempdir().map_err(failed)?;
        let store = Self { folder };
        for i in 0..config.versions.len() {
            let version = VersionId(i as u16);
            store.write(version, &faults.on_disk(version).0.bytes).map_err(failed)?;
        }
        Ok(store)
    }

    /// The file of a version.
    pub(crate) fn path(&self, version: VersionId) -> PathBuf {
        self.folder.path().join(format!("{}.onnx", version.0))
    }

    /// Puts other bytes there.
    pub(crate) fn write(&self, version: VersionId, bytes: &[u8]) -> std::io::Result<()> {
        // Under another name first: a replica that starts now reads the old bytes or the new.
        let mut file = tempfile::NamedTempFile::new_in(self.folder.path())?;
        std::io::Write::write_all(&mut file, bytes)?;
        file.persist(self.path(version))?;
        Ok(())
    }
}

impl Driver<'_> {
    /// Starts the replicas that are there when the trial begins, and waits until each is ready or is not going to be.
    pub(crate) async fn found_fleet(&mut self, from: &mut UnboundedReceiver<Happened>) -> Result<(), LiveError> {
        let initial = self.config.initial;
        let mut wanted = vec![(initial, self.config.fleet.replicas)];
        wanted.extend(self.config.fleet.standby.iter().filter(|(v, _)| *v != initial).copied());
        for (version, n) in wanted {
            self.pools[version.index()].desired = n;
            for _ in 0..n {
                let id = self.add_replica(version);
                self.begin(id);
            }
        }
        let limit = tokio::time::sleep(real(self.options.start_limit + REASON));
        tokio::pin!(limit);
        while self.seats.iter().any(|seat| is_starting(seat.state)) {
            tokio::select! {
                biased;
                message = from.recv() => match message {
                    Some(Happened::Interrupted) | None => return Err(LiveError::Interrupted),
                    Some(message) => self.handle(message),
                },
                () = &mut limit => {
                    let late: Vec<ReplicaId> =
                        self.seats.iter().filter(|s| is_starting(s.state)).map(|s| s.id).collect();
                    late.into_iter().for_each(|id| self.start_overdue(id));
                }
            }
        }
        if self.pools[initial.index()].ready.is_empty() {
            let why = self.seats.iter().map(|seat| {
                let reason = seat.failed.as_deref().unwrap_or("it did not become ready");
                format!("replica {} of {}: {reason}", seat.id.0, self.names.version(seat.version))
            });
            return Err(LiveError::NotReady(why.collect()));
        }
        Ok(())
    }

    fn members(&self, version: VersionId) -> impl Iterator<Item = &Seat> {
        use ReplicaState::{Crashed, Draining, Stopped};
        self.seats.iter().filter(move |s| s.version == version && !matches!(s.state, Draining | Stopped | Crashed))
    }

    fn add_replica(&mut self, version: VersionId) -> ReplicaId {
        let id = ReplicaId(self.seats.len() as u32);
        let taken: Vec<u32> = self.members(version).map(|s| s.host).collect();
        let host = (0..).find(|h| !taken.contains(h)).unwrap_or(0);
        self.seats.push(Seat {
            id,
            version,
            host,
            state: ReplicaState::Fetching,
            in_flight: 0,
            cpu: Span::ZERO,
            strange: BTreeSet::new(),
            process: None,
            server: None,
            proxy: None,
            slowed: Some((1.0, Span::ZERO)),
            struck: false,
            unloading: false,
            silences: 0,
            steps: Vec::new(),
            failed: None,
        });
        id
    }

    /// A replica enters a state.
    pub(crate) fn enter(&mut self, id: ReplicaId, state: ReplicaState) {
        let seat = &mut self.seats[id.index()];
        seat.state = state;
        let version = seat.version;
        self.pools[version.index()].enter(id, state);
        let health = Health { replica: id, version, state };
        self.record(Event::Replica(health));
        self.deliver(&Input::Health(health));
        self.settle_scaling(version);
    }

    #[expect(clippy::disallowed_methods, reason = "how long a start takes is what is measured")]
    fn step(&mut self, id: ReplicaId) {
        self.seats[id.index()].steps.push(Instant::now());
    }

    /// A replica begins to start.
    fn begin(&mut self, id: ReplicaId) {
        self.step(id);
        self.enter(id, ReplicaState::Fetching);
        let limit = self.now() + self.options.start_limit + REASON;
        self.due(limit, Due::StartLimit(id));
        let seat = &self.seats[id.index()];
        let (version, host) = (seat.version, seat.host);
        if self.plan.foreign.is_some() {
            return self.load_foreign(id, host);
        }
        let (artifact, checked, _) = self.faults.on_disk(version);
        let start = Start {
            exe: self.options.exe.clone(),
            runtime: self.options.runtime.clone(),
            model: self.store.path(version),
            name: self.ports[version.index()].model.clone(),
            concurrency: self.config.fleet.concurrency,
            queue: self.config.fleet.queue,
            digest: checked.then_some(artifact.promised),
            // As base64 in JSON, and room to spare.
            max_body: artifact.bytes.len() * 2 + (1 << 20),
        };
        match Process::start(id, &start, self.mailbox.clone()) {
            Ok(process) => self.seats[id.index()].process = Some(process),
            Err(e) => self.fail_start(id, format!("its process does not start: {e}")),
        }
    }

    /// A replica told how far its start is.
    pub(crate) fn phase(&mut self, id: ReplicaId, phase: Phase) {
        if !is_starting(self.seats[id.index()].state) {
            return;
        }
        match phase {
            Phase::Listening { address } => {
                self.step(id);
                match Proxy::open(address) {
                    Ok(proxy) => {
                        let seat = &mut self.seats[id.index()];
                        (seat.server, seat.proxy) = (Some(address), Some(proxy));
                        self.enter(id, ReplicaState::Verifying);
                    }
                    Err(e) => self.fail_start(id, format!("no port for its proxy: {e}")),
                }
            }
            Phase::Verified => {
                self.step(id);
                self.enter(id, ReplicaState::Loading);
            }
            Phase::Loaded => {
                self.step(id);
                self.enter(id, ReplicaState::WarmingUp);
            }
            Phase::Ready => {
                self.step(id);
                self.probe(id);
            }
            Phase::Failed { reason } => self.seats[id.index()].failed = Some(reason),
        }
    }

    /// A replica says it is ready: it is asked what it serves, over the way that requests take.
    pub(crate) fn probe(&self, id: ReplicaId) {
        let asked: Identify = self.identify(&self.seats[id.index()]);
        let mailbox = self.mailbox.clone();
        tokio::spawn(async move {
            mailbox.tell(Happened::Probed(id, asked.ask(Duration::from_secs(5)).await));
        });
    }

    /// The last step of a start.
    pub(crate) fn probed(&mut self, id: ReplicaId, digest: Result<Digest, String>) {
        let seat = &self.seats[id.index()];
        if !is_starting(seat.state) {
            return;
        }
        match digest {
            Ok(digest) => {
                let version = seat.version;
                if let [start, listening, verified, loaded, ready] = seat.steps[..] {
                    let span = |from: Instant, to: Instant| {
                        Span(u64::try_from(to.saturating_duration_since(from).as_nanos()).unwrap_or(u64::MAX))
                    };
                    let spans = [
                        span(start, listening),
                        span(listening, verified),
                        span(verified, loaded),
                        span(loaded, ready),
                    ];
                    self.observed.starts.push(Started { version, spans, during: self.started });
                }
                self.record(Event::Loaded { replica: id, version, digest });
                self.apply_to(id);
                self.enter(id, ReplicaState::Ready);
                self.catch_up(id, digest);
            }
            Err(why) => self.fail_start(id, why),
        }
    }

    pub(crate) fn start_overdue(&mut self, id: ReplicaId) {
        if is_starting(self.seats[id.index()].state) {
            self.fail_start(id, format!("it was not ready within {}", self.options.start_limit));
        }
    }

    pub(crate) fn fail_start(&mut self, id: ReplicaId, reason: String) {
        let seat = &mut self.seats[id.index()];
        seat.failed = Some(reason.clone());
        let version = seat.version;
        self.record(Event::LoadFailed { replica: id, version, reason: reason.clone() });
        self.crash(id, reason);
    }

    /// A replica is gone by itself: what its pool was ordered to become it will not become.
    pub(crate) fn crash(&mut self, id: ReplicaId, reason: String) {
        let seat = &mut self.seats[id.index()];
        (seat.process, seat.proxy, seat.server) = (None, None, None);
        let version = seat.version;
        self.enter(id, ReplicaState::Crashed);
        self.end_scaling(version, &ActionEnd::Err(reason));
    }

    /// A replica's process has ended.
    pub(crate) fn gone(&mut self, id: ReplicaId, gone: &Gone) {
        let seat = &mut self.seats[id.index()];
        match seat.state {
            ReplicaState::Draining => self.stopped(id),
            ReplicaState::Stopped | ReplicaState::Crashed => {}
            state if is_starting(state) => {
                let told = seat.failed.clone().or_else(|| gone.last_words.clone());
                self.fail_start(id, told.unwrap_or_else(|| format!("its process {}", gone.how)));
            }
            _ => {
                let why = match &gone.last_words {
                    Some(words) => format!("its process {}: {words}", gone.how),
                    None => format!("its process {}", gone.how),
                };
                if !seat.struck {
                    self.record(Event::Misbehaved { replica: id, what: why.clone() });
                }
                self.crash(id, why);
            }
        }
    }

    /// A version was taken off a foreign server, or the server did not do it: out of the traffic it is in any case.
    pub(crate) fn unloaded(&mut self, replica: ReplicaId, unloaded: Result<(), String>) {
        if let Err(why) = unloaded {
            self.record(Event::Misbehaved { replica, what: format!("it did not unload: {why}") });
        }
        if self.seats[replica.index()].state == ReplicaState::Draining {
            self.stopped(replica);
        }
    }

    fn stopped(&mut self, id: ReplicaId) {
        let seat = &mut self.seats[id.index()];
        (seat.process, seat.proxy, seat.server) = (None, None, None);
        self.enter(id, ReplicaState::Stopped);
    }

    /// A draining replica that holds nothing any more ends.
    pub(crate) fn stop_if_drained(&mut self, id: ReplicaId) {
        let seat = &self.seats[id.index()];
        if seat.state == ReplicaState::Draining && seat.in_flight == 0 {
            self.stop_seat(id);
        }
    }

    /// A draining replica ends, whatever it holds.
    pub(crate) fn stop_seat(&mut self, id: ReplicaId) {
        if self.seats[id.index()].state != ReplicaState::Draining {
            return;
        }
        if self.plan.foreign.is_some() {
            return self.unload_foreign(id);
        }
        match &self.seats[id.index()].process {
            Some(process) => process.terminate(),
            None => return self.stopped(id),
        }
        let limit = self.now() + END_LIMIT;
        self.due(limit, Due::EndLimit(id));
    }

    pub(crate) fn kill(&mut self, id: ReplicaId) {
        if let Some(process) = &self.seats[id.index()].process {
            process.kill();
        }
    }

    /// The pool of a version is to have so many replicas.
    pub(crate) fn scale(&mut self, version: VersionId, replicas: u32) {
        self.pools[version.index()].desired = replicas;
        let members: Vec<ReplicaId> = self.members(version).map(|s| s.id).collect();
        for &id in members.iter().skip(replicas as usize) {
            self.enter(id, ReplicaState::Draining);
            // By then every user it holds has an answer or has given up.
            let limit = self.now() + self.config.fleet.timeout;
            self.due(limit, Due::DrainLimit(id));
            self.stop_if_drained(id);
        }
        for _ in members.len()..replicas as usize {
            let id = self.add_replica(version);
            self.begin(id);
        }
        self.settle_scaling(version);
    }

    /// Ends scale orders whose pool is what it should be.
    fn settle_scaling(&mut self, version: VersionId) {
        let draining = self.seats.iter().any(|s| s.version == version && s.state == ReplicaState::Draining);
        if self.pools[version.index()].is_settled(draining) {
            self.end_scaling(version, &ActionEnd::Ok);
        }
    }

    /// Ends all replicas: asked first, killed if they do not.
    pub(crate) async fn end_replicas(&mut self, from: &mut UnboundedReceiver<Happened>) {
        let mut left: BTreeSet<ReplicaId> = BTreeSet::new();
        for seat in &self.seats {
            if let Some(process) = &seat.process {
                process.go_on();
                process.terminate();
                left.insert(seat.id);
            }
        }
        let limit = tokio::time::sleep(real(END_LIMIT));
        tokio::pin!(limit);
        while !left.is_empty() {
            tokio::select! {
                biased;
                message = from.recv() => match message {
                    Some(Happened::Gone(id, _)) => {
                        left.remove(&id);
                    }
                    Some(_) => {}
                    None => break,
                },
                () = &mut limit => break,
            }
        }
        // Whoever is left is killed as its process is dropped.
        self.seats.clear();
    }
}

/// Whether a replica is on its way to ready.
pub(crate) const fn is_starting(state: ReplicaState) -> bool {
    use ReplicaState::{Fetching, Loading, Verifying, WarmingUp};
    matches!(state, Fetching | Verifying | Loading | WarmingUp)
}
