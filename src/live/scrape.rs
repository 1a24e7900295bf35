//! Owns the scrape: the router's `/metrics` and those of all replicas, over HTTP, at the same time and within limits. What comes
//! of it is told when all have answered or have been given up.

use crate::event::{Event, Gap, GaugeRow, Input, Metrics, ReplicaState};
use crate::id::{Names, ReplicaId};
use crate::live::client::{Call, Http, Trouble};
use crate::live::clock::real;
use crate::live::driver::{Driver, Due};
use crate::live::fleet::Seat;
use crate::live::message::{Happened, Mailbox};
use crate::live::openmetrics;
use crate::live::replica::{CPU_SECONDS, RESIDENT_BYTES};
use crate::time::{SimTime, Span};
use crate::world::telemetry::Scraped;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// The router is given up after this at a scrape, or after half the time between two.
const SCRAPE_LIMIT: Duration = Duration::from_secs(1);
/// A replica's gauges are given up after this, or after a quarter of the time between two scrapes: nobody waits long for them.
const GAUGE_LIMIT: Duration = Duration::from_millis(250);

/// What one scrape brought.
#[derive(Debug)]
pub(crate) struct Reading {
    /// When it began.
    pub(crate) at: SimTime,
    /// Its number.
    pub(crate) n: u64,
    /// What the router and the replicas told; or why the router could not be read.
    pub(crate) metrics: Result<Metrics, String>,
    /// Replicas that did not answer.
    pub(crate) silent: Vec<ReplicaId>,
}

/// Who is read.
#[derive(Debug, Clone)]
pub(crate) struct Targets {
    /// The router.
    pub(crate) router: SocketAddr,
    /// Replicas that are there, with their state, and where they are read; `None`: nowhere yet.
    pub(crate) replicas: Vec<(GaugeRow, Option<Watched>)>,
    /// How long the router may take.
    pub(crate) router_limit: Duration,
    /// How long each replica may take; the reading waits for the slowest.
    pub(crate) replica_limit: Duration,
}

/// What is read of a replica.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Watched {
    /// The metrics of one of ours.
    Metrics(SocketAddr),
    /// Whether a foreign server is there at all.
    Health(SocketAddr),
}

/// Reads everything and tells it to `mailbox`.
async fn read(http: Http, targets: Targets, mut reading: Reading, names: Arc<Names>, mailbox: Mailbox) {
    let mut replicas = JoinSet::new();
    for (row, watched) in targets.replicas {
        let (http, limit) = (http.clone(), targets.replica_limit);
        replicas.spawn(async move {
            let read = match watched {
                Some(Watched::Metrics(address)) => gauges(&http, address, row, limit).await,
                Some(Watched::Health(address)) => {
                    http.call(Call::get(address, "/v2/health/live"), limit).await.map(|_| row)
                }
                None => Ok(row),
            };
            read.map_err(|_| row.replica)
        });
    }
    let router = http.call(Call::get(targets.router, "/metrics"), targets.router_limit).await;
    reading.metrics = router
        .map_err(|e| e.to_string())
        .and_then(|reply| openmetrics::metrics(&String::from_utf8_lossy(&reply.body), &names, reading.at));
    let mut rows = Vec::new();
    while let Some(read) = replicas.join_next().await {
        match read {
            Ok(Ok(row)) => rows.push(row),
            Ok(Err(replica)) => reading.silent.push(replica),
            Err(_) => {}
        }
    }
    rows.sort_by_key(|row| row.replica);
    reading.silent.sort_unstable();
    if let Ok(metrics) = &mut reading.metrics {
        metrics.gauges = rows;
    }
    mailbox.tell(Happened::Scraped(reading));
}

/// A replica's own gauges.
async fn gauges(http: &Http, address: SocketAddr, row: GaugeRow, limit: Duration) -> Result<GaugeRow, Trouble> {
    let call = Call::get(address, "/metrics").header("accept", openmetrics::CONTENT_TYPE.to_owned());
    let reply = http.call(call, limit).await?;
    gauge_row(&String::from_utf8_lossy(&reply.body), row).map_err(Trouble::Garbage)
}

/// What a replica's exposition says, summed over its models; what it does not tell is 0.
fn gauge_row(text: &str, row: GaugeRow) -> Result<GaugeRow, String> {
    let samples = openmetrics::samples(text)?;
    let sum = |name: &str| {
        let values = samples.iter().filter(|s| s.name == name).filter_map(|s| s.value.parse::<f64>().ok());
        values.fold(0.0, |sum, v| sum + v)
    };
    Ok(GaugeRow {
        queued: sum(QUEUED) as u32,
        in_flight: sum(IN_FLIGHT) as u32,
        cpu: Span::from_secs_f64(sum(CPU_SECONDS)),
        memory: sum(RESIDENT_BYTES) as u64,
        ..row
    })
}

/// Gauges of a rollcage replica.
const QUEUED: &str = "rollcage_infer_queued";
const IN_FLIGHT: &str = "rollcage_infer_in_flight";

impl Driver<'_> {
    pub(crate) fn scrape(&mut self, n: u64) {
        let at = self.now();
        let next = SimTime(self.config.telemetry.scrape.0.saturating_mul(n + 1));
        if next <= self.config.horizon {
            self.due(next, Due::Scrape(n + 1));
        }
        let row = |seat: &Seat| {
            let row = GaugeRow {
                version: seat.version,
                replica: seat.id,
                state: seat.state,
                queued: 0,
                in_flight: seat.in_flight,
                cpu: Span::ZERO,
                memory: 0,
            };
            (row, self.watched(seat))
        };
        let there =
            self.seats.iter().filter(|seat| !matches!(seat.state, ReplicaState::Stopped | ReplicaState::Crashed));
        let between = real(self.config.telemetry.scrape);
        let targets = Targets {
            router: self.gate.address,
            replicas: there.map(row).collect(),
            router_limit: SCRAPE_LIMIT.min(between / 2),
            replica_limit: GAUGE_LIMIT.min(between / 4),
        };
        let reading = Reading { at, n, metrics: Err("not read".to_owned()), silent: Vec::new() };
        tokio::spawn(read(self.http.clone(), targets, reading, Arc::clone(&self.names), self.mailbox.clone()));
    }

    pub(crate) fn scraped(&mut self, mut reading: Reading) {
        if !self.acts() {
            return;
        }
        // A stalled driver may have two under way: the older one has nothing to say any more.
        if reading.at <= self.last_scrape {
            return;
        }
        let metrics = std::mem::replace(&mut reading.metrics, Err(String::new()));
        let Ok(mut metrics) = metrics else {
            // Log rows and labels stay where they are, for the next one.
            let gap = Gap { from: self.last_scrape, to: reading.at, replica: None };
            self.record(Event::Gap(gap));
            return self.deliver(&Input::Gap(gap));
        };
        let told = match self.telemetry.scrape(reading.at, reading.n) {
            Scraped::Lost(gap) => {
                self.record(Event::Gap(gap));
                return self.deliver(&Input::Gap(gap));
            }
            Scraped::Read(told) => told,
        };
        self.hear_silence(&reading);
        self.last_scrape = reading.at;
        self.telemetry.keep_totals(reading.at);
        self.observed.telemetry_lag.push(self.now().since(reading.at));
        for input in told {
            self.deliver(&input);
        }
        for gauge in &metrics.gauges {
            let seat = &mut self.seats[gauge.replica.index()];
            seat.cpu = seat.cpu.max(gauge.cpu);
        }
        // What has crashed or stopped says nothing, but that it has is known, and what it had used.
        for seat in &self.seats {
            if matches!(seat.state, ReplicaState::Stopped | ReplicaState::Crashed) {
                metrics.gauges.retain(|g| g.replica != seat.id);
                metrics.gauges.push(GaugeRow {
                    version: seat.version,
                    replica: seat.id,
                    state: seat.state,
                    queued: 0,
                    in_flight: 0,
                    cpu: seat.cpu,
                    memory: 0,
                });
            }
        }
        metrics.capacity = self.config.fleet.capacity();
        metrics.gauges.sort_by_key(|g| g.replica);
        // Metrics come last: with them a scrape is complete.
        self.deliver(&Input::Metrics(metrics));
    }

    /// Where a replica is read: its own metrics; of a foreign server only whether it is there.
    fn watched(&self, seat: &Seat) -> Option<Watched> {
        let server = seat.server?;
        Some(if seat.process.is_some() { Watched::Metrics(server) } else { Watched::Health(server) })
    }

    /// Who does not answer a scrape leaves a gap; a foreign server that does not twice in a row is gone.
    fn hear_silence(&mut self, reading: &Reading) {
        for i in 0..self.seats.len() {
            let id = self.seats[i].id;
            if !reading.silent.contains(&id) {
                self.seats[i].silences = 0;
                continue;
            }
            self.record(Event::Gap(Gap { from: self.last_scrape, to: reading.at, replica: Some(id) }));
            self.seats[i].silences += 1;
            if self.seats[i].silences >= 2 && self.plan.foreign.is_some() && self.seats[i].state == ReplicaState::Ready
            {
                let why = "it does not answer any more".to_owned();
                self.record(Event::Misbehaved { replica: id, what: why.clone() });
                self.crash(id, why);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::VersionId;

    #[test]
    fn a_replicas_row_is_what_it_tells() {
        let row = GaugeRow {
            version: VersionId(1),
            replica: ReplicaId(3),
            state: ReplicaState::Ready,
            queued: 9,
            in_flight: 9,
            cpu: Span::ZERO,
            memory: 0,
        };
        let text = "# TYPE process_cpu_seconds counter\nprocess_cpu_seconds_total 1.25\n\
                    process_resident_memory_bytes 12345678\n\
                    rollcage_infer_queued{model=\"a\"} 2\nrollcage_infer_queued{model=\"b\"} 1\n\
                    rollcage_infer_in_flight{model=\"a\"} 4\nprocess_start_time_seconds 99.5\n# EOF\n";
        let told = GaugeRow { queued: 3, in_flight: 4, cpu: Span::millis(1250), memory: 12_345_678, ..row };
        assert_eq!(gauge_row(text, row), Ok(told));
        let untold = GaugeRow { queued: 0, in_flight: 0, ..row };
        assert_eq!(gauge_row("# EOF\n", row), Ok(untold));
        assert!(gauge_row("process_cpu_seconds_total much", row).is_err());
    }
}
