//! Owns the scrape: the router's `/metrics` and those of all replicas, over HTTP, at the same time and within limits. What comes of it is told when
//! all have answered or have been given up.

use crate::event::{GaugeRow, Metrics};
use crate::id::{Names, ReplicaId};
use crate::live::client::{Call, Http, Trouble};
use crate::live::message::{Happened, Mailbox};
use crate::live::openmetrics;
use crate::time::SimTime;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

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
pub(crate) async fn scrape(http: Http, targets: Targets, mut reading: Reading, names: Arc<Names>, mailbox: Mailbox) {
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
    let text = String::from_utf8_lossy(&reply.body);
    let samples = openmetrics::samples(&text).map_err(Trouble::Garbage)?;
    let sum = |name: &str| {
        let values = samples.iter().filter(|s| s.name == name).filter_map(|s| s.value.parse::<f64>().ok());
        values.fold(0.0, |sum, v| sum + v) as u32
    };
    Ok(GaugeRow { queued: sum(QUEUED), in_flight: sum(IN_FLIGHT), ..row })
}

/// Gauges of a rollcage replica.
const QUEUED: &str = "rollcage_infer_queued";
const IN_FLIGHT: &str = "rollcage_infer_in_flight";
