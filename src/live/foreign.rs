//! Owns servers that were not started here: a version is put on them by load and taken off by unload, and they are known by
//! their answers where they tell no digest.

use crate::digest::Digest;
use crate::event::ReplicaState;
use crate::id::{ReplicaId, VersionId};
use crate::live::client::{Call, Http, Trouble, segment};
use crate::live::clock::real;
use crate::live::dispatch::Port;
use crate::live::driver::Driver;
use crate::live::fleet::{Seat, is_starting};
use crate::live::message::Happened;
use crate::live::proxy::Proxy;
use crate::live::{Probes, unknown};
use hyper::StatusCode;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Between two looks whether a model is ready.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Scores of one model on two runtimes, in single and in double precision, differ by less; those of two models by more.
const SAME_SCORE: f32 = 1e-4;

/// Asks one replica what it serves.
#[derive(Debug, Clone)]
pub(crate) struct Identify {
    pub(crate) id: ReplicaId,
    pub(crate) version: VersionId,
    http: Http,
    server: Option<SocketAddr>,
    ports: Arc<Vec<Port>>,
    probes: Option<Probes>,
}

impl Identify {
    /// The digest of what it serves, by its own word, or else by its answers to the probes.
    pub(crate) async fn ask(self, limit: Duration) -> Result<Digest, String> {
        let server = self.server.ok_or("it is gone")?;
        let port = &self.ports[self.version.index()];
        let path = format!("/v2/models/{}", segment(&port.model));
        let reply = self.http.call(Call::get(server, &path), limit).await.map_err(|e| e.to_string())?;
        if !reply.status.is_success() {
            return Err(reply.complaint());
        }
        let metadata: serde_json::Value =
            serde_json::from_slice(&reply.body).map_err(|e| format!("its metadata are no JSON: {e}"))?;
        if let Some(told) = metadata.pointer("/parameters/digest").and_then(|d| d.as_str()) {
            return Digest::parse(told).ok_or_else(|| format!("its digest is none: {told:.80}"));
        }
        let probes = self.probes.as_ref().ok_or("it tells no digest")?;
        let mut scores = Vec::new();
        for row in &probes.rows {
            let call = port.call(server, 0, row).map_err(|e| e.to_string())?;
            let reply = self.http.call(call, limit).await.map_err(|e| e.to_string())?;
            scores.push(port.score(&reply)?);
        }
        let same = |known: &Vec<f32>| {
            known.len() == scores.len() && known.iter().zip(&scores).all(|(a, b)| (a - b).abs() <= SAME_SCORE)
        };
        // Its own version first: two versions may answer alike on every probe.
        let own = probes.scores.get(self.version.index()).is_some_and(same).then_some(self.version.index());
        let place = own.or_else(|| probes.scores.iter().position(same));
        Ok(place.and_then(|i| self.ports.get(i)).map_or_else(|| unknown(&scores), |port| port.clean))
    }
}

impl Driver<'_> {
    /// The question to one replica what it serves.
    pub(crate) fn identify(&self, seat: &Seat) -> Identify {
        Identify {
            id: seat.id,
            version: seat.version,
            http: self.http.clone(),
            server: seat.address(),
            ports: Arc::clone(&self.ports),
            probes: self.options.probes.clone(),
        }
    }

    /// A server is told one thing after another, in the order in which it was to be told.
    fn turn(&mut self, server: SocketAddr) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(self.turns.entry(server).or_default())
    }

    /// Has a server load a version, and tells when it is ready.
    pub(crate) fn load_foreign(&mut self, id: ReplicaId, host: u32) {
        let servers = self.plan.foreign.as_ref().map(|f| f.servers.as_slice()).unwrap_or_default();
        let Some(&server) = servers.get(host as usize) else {
            let why = format!("there is no server for it: the scenario names {}", servers.len());
            return self.fail_start(id, why);
        };
        let proxy = match Proxy::open(server) {
            Ok(proxy) => proxy,
            Err(e) => return self.fail_start(id, format!("no port for its proxy: {e}")),
        };
        let seat = &mut self.seats[id.index()];
        (seat.server, seat.proxy) = (Some(server), Some(proxy));
        let asked = self.identify(&self.seats[id.index()]);
        let (mailbox, turn) = (self.mailbox.clone(), self.turn(server));
        let limit = self.options.start_limit;
        tokio::spawn(async move {
            let _turn = turn.lock().await;
            let mut last = String::new();
            let loaded = tokio::time::timeout(real(limit), load(&asked, server, real(limit), &mut last)).await;
            let loaded = loaded.unwrap_or_else(|_| Err(format!("not ready within {limit}{}", after(&last))));
            let digest = match loaded {
                Ok(()) => asked.ask(Duration::from_secs(5)).await.map_err(|why| format!("{server}: {why}")),
                Err(why) => Err(format!("{server}: {why}")),
            };
            mailbox.tell(Happened::Probed(id, digest));
        });
    }

    /// Takes a version off a server, unless it was put there anew in the meantime.
    pub(crate) fn unload_foreign(&mut self, id: ReplicaId) {
        let seat = &mut self.seats[id.index()];
        if std::mem::replace(&mut seat.unloading, true) {
            return;
        }
        let (version, host) = (seat.version, seat.host);
        let wanted = |s: &Seat| {
            s.id != id
                && s.version == version
                && s.host == host
                && (is_starting(s.state) || s.state == ReplicaState::Ready)
        };
        let Some(server) = seat.server.filter(|_| !self.seats.iter().any(wanted)) else {
            return self.unloaded(id, Ok(()));
        };
        let seat = &self.seats[id.index()];
        let path = format!("/v2/repository/models/{}/unload", segment(&self.ports[seat.version.index()].model));
        let (http, limit) = (self.http.clone(), real(self.options.start_limit));
        let (mailbox, turn) = (self.mailbox.clone(), self.turn(server));
        tokio::spawn(async move {
            let _turn = turn.lock().await;
            let unloaded = match http.call(Call::post(server, &path, "{}"), limit).await {
                Ok(reply) if reply.status.is_success() => Ok(()),
                Ok(reply) => Err(reply.complaint()),
                Err(e) => Err(e.to_string()),
            };
            mailbox.tell(Happened::Unloaded(id, unloaded));
        });
    }
}

fn after(last: &str) -> String {
    if last.is_empty() { String::new() } else { format!(" ({last})") }
}

/// `last`: what was wrong last, while there is hope.
async fn load(asked: &Identify, server: SocketAddr, limit: Duration, last: &mut String) -> Result<(), String> {
    let model = segment(&asked.ports[asked.version.index()].model);
    loop {
        let call = Call::post(server, &format!("/v2/repository/models/{model}/load"), "{}");
        match asked.http.call(call, limit).await {
            Ok(reply) if reply.status.is_success() => break,
            // A server that is still starting itself says so with 503, or says nothing yet.
            Ok(reply) if reply.status == StatusCode::SERVICE_UNAVAILABLE => {}
            Err(Trouble::Unreachable(why)) => *last = format!("no connection: {why}"),
            Ok(reply) => return Err(format!("load of `{model}`: {}", reply.complaint())),
            Err(e) => return Err(e.to_string()),
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    loop {
        let ready = asked.http.call(Call::get(server, &format!("/v2/models/{model}/ready")), limit).await;
        if ready.is_ok_and(|reply| reply.status.is_success()) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
