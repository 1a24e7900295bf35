//! Owns the router's own HTTP side: its weights are set and its metrics are read over loopback, as those of a mesh or an ingress
//! are. It keeps no state: it asks the driver, which is the router.

use crate::event::Weight;
use crate::id::{ControllerId, VersionId};
use crate::live::message::{Happened, Mailbox};
use crate::live::openmetrics::CONTENT_TYPE;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The body of `PUT /weights`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Weights {
    /// Who orders.
    pub(crate) controller: u16,
    /// Of which plan: what a newer one has replaced is refused, however late it comes.
    pub(crate) epoch: u32,
    /// (version by number, parts per million)
    pub(crate) weights: Vec<(u16, u32)>,
}

/// The listener; dropping it closes it.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Where.
    pub(crate) address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Gate {
    /// Listens on a free port of the loopback interface.
    pub(crate) async fn open(mailbox: Mailbox) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let app = Router::new()
            .route("/metrics", get(metrics))
            .route("/weights", put(weights))
            .layer(DefaultBodyLimit::max(1 << 20))
            .with_state(mailbox);
        let serving = tokio::spawn(async move {
            // It ends when it is aborted.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { address, serving })
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn metrics(State(mailbox): State<Mailbox>) -> Response {
    let (answer, answered) = oneshot::channel();
    mailbox.tell(Happened::MetricsAsked(answer));
    match answered.await {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn weights(State(mailbox): State<Mailbox>, body: Bytes) -> Response {
    let Ok(Weights { controller, epoch, weights }) = serde_json::from_slice(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let weights: Vec<_> = weights.into_iter().map(|(version, weight)| (VersionId(version), Weight(weight))).collect();
    let (answer, answered) = oneshot::channel();
    mailbox.tell(Happened::Weights { controller: ControllerId(controller), epoch, weights, answer });
    match answered.await {
        Ok(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(why)) => (StatusCode::CONFLICT, why).into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}
