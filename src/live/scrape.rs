//! Owns the scrape: the router's `/metrics` and those of all replicas, over HTTP, each with its own lag and its own limit.

use crate::event::{Gap, GaugeRow, Labels, Metrics, Observations};
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
    /// Rows of the router's log since the last one.
    pub(crate) observations: Vec<Observations>,
    /// Labels that became known since.
    pub(crate) labels: Vec<Labels>,
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
    /// Replicas that run, with their state, and where they are read; `None`: a server that has no `/metrics` we know.
    pub(crate) replicas: Vec<(GaugeRow, Option<SocketAddr>)>,
    /// How long each may take.
    pub(crate) limit: Duration,
}

/// Reads everything and tells it to `mailbox`.
pub(crate) async fn scrape(http: Http, targets: Targets, mut reading: Reading, names: Arc<Names>, mailbox: Mailbox) {
    let mut replicas = JoinSet::new();
    for (row, address) in targets.replicas {
        let (http, limit) = (http.clone(), targets.limit);
        replicas.spawn(async move {
            match address {
                Some(address) => gauges(&http, address, row, limit).await,
                None => Ok(row),
            }
            .map_err(|_| row.replica)
        });
    }
    let router = http.call(Call::get(targets.router, "/metrics"), targets.limit).await;
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

impl Reading {
    /// The gap that a scrape leaves which brought nothing.
    pub(crate) const fn gap(&self, from: SimTime, replica: Option<ReplicaId>) -> Gap {
        Gap { from, to: self.at, replica }
    }
}
