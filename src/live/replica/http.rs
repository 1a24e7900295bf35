//! Owns the replica's endpoints: which path means what, and everything but inference itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::body;
use super::error::HttpError;
use super::infer::infer;
use super::models::{Deployment, Models, Source, Tally};
use super::room::{Budget, Room};
use crate::live::v2::{self, IndexRequest, LoadRequest, ModelMetadata, ServerMetadata, TensorMetadata};
use crate::world::inference::{DataType, TensorSpec};

/// What all requests share.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) models: Models,
    /// Largest body in bytes, after decompression.
    pub(super) max_body: usize,
    /// What all bodies together may take.
    pub(super) budget: Arc<Budget>,
    /// Slots of each model.
    pub(super) slots: usize,
    /// Set when the first load has ended well; then for good.
    pub(super) ready: AtomicBool,
}

type Shared = State<Arc<Replica>>;
type Answer = Result<Response, HttpError>;

/// Longest latency that can be added to a request.
const ADD_MAX: Duration = Duration::from_secs(60);

/// Largest factor that a request's time is multiplied by.
const FACTOR_MAX: f64 = 1e6;

/// All endpoints; with those that make it misbehave, if `faults`.
pub(super) fn router(replica: Arc<Replica>, faults: bool) -> Router {
    let mut router = Router::new()
        .route("/v2/health/live", get(live))
        .route("/v2/health/ready", get(ready))
        .route("/v2", get(server))
        .route("/v2/", get(server))
        .route("/v2/repository/index", post(index))
        .route("/v2/repository/models/{model}/load", post(load))
        .route("/v2/repository/models/{model}/unload", post(unload))
        // The word of Triton for all models, and so no name of one there.
        .route("/v2/models/stats", get(all_statistics))
        .route("/metrics", get(metrics));
    for of in ["/v2/models/{model}", "/v2/models/{model}/versions/{version}"] {
        router = router
            .route(of, get(metadata))
            .route(&format!("{of}/ready"), get(model_ready))
            .route(&format!("{of}/config"), get(config))
            .route(&format!("{of}/stats"), get(statistics))
            .route(&format!("{of}/infer"), post(infer));
    }
    if faults {
        router = router.route("/rollcage/latency", post(latency));
    }
    router.fallback(no_path).method_not_allowed_fallback(no_method).with_state(replica)
}

/// The model that a path names.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) model: String,
    pub(super) version: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        let bad = |error: &dyn std::error::Error| HttpError::new(StatusCode::BAD_REQUEST, error.to_string());
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|error| bad(&error))?;
        let mut asked = Self { model: String::new(), version: None };
        for (name, value) in &params {
            match name {
                "model" => value.clone_into(&mut asked.model),
                _ => asked.version = Some(value.to_owned()),
            }
        }
        Ok(asked)
    }
}

fn told<T: Serialize>(value: &T) -> Answer {
    let body = serde_json::to_vec(value)
        .map_err(|error| HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

async fn no_path(uri: Uri, request: Request) -> HttpError {
    let (parts, body) = request.into_parts();
    body::pass_over(&parts.headers, body).await;
    let shown: String = uri.path().chars().take(200).collect();
    HttpError::new(StatusCode::NOT_FOUND, format!("there is nothing at {shown}"))
}

async fn no_method(method: Method, uri: Uri, request: Request) -> HttpError {
    let (parts, body) = request.into_parts();
    body::pass_over(&parts.headers, body).await;
    let shown: String = uri.path().chars().take(200).collect();
    HttpError::new(StatusCode::METHOD_NOT_ALLOWED, format!("{shown} does not take {method}"))
}

async fn live() -> StatusCode {
    StatusCode::OK
}

async fn ready(State(replica): Shared) -> Answer {
    if replica.ready.load(Ordering::Relaxed) {
        return Ok(StatusCode::OK.into_response());
    }
    Err(HttpError::new(StatusCode::SERVICE_UNAVAILABLE, "the model is still loading".to_owned()))
}

async fn server() -> Answer {
    let extensions = ["binary_tensor_data", "model_configuration", "model_repository", "statistics"];
    told(&ServerMetadata {
        name: "rollcage".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        extensions: extensions.map(str::to_owned).to_vec(),
    })
}

const PLATFORM: &str = "onnxruntime_onnx";
const BACKEND: &str = "onnxruntime";

async fn metadata(State(replica): Shared, asked: Asked) -> Answer {
    let model = replica.models.get(&asked.model, asked.version.as_deref())?;
    let of = |specs: &[TensorSpec]| specs.iter().map(TensorMetadata::from).collect();
    told(&ModelMetadata {
        name: model.name.clone(),
        versions: vec![model.version.clone()],
        platform: PLATFORM.to_owned(),
        inputs: of(&model.interface.inputs),
        outputs: of(&model.interface.outputs),
        parameters: Map::from_iter([("digest".to_owned(), Value::String(model.digest.to_string()))]),
    })
}

async fn model_ready(State(replica): Shared, asked: Asked) -> Answer {
    replica.models.get(&asked.model, asked.version.as_deref()).map(|_| StatusCode::OK.into_response())
}

/// The configuration in the words of Triton, as far as there is one.
async fn config(State(replica): Shared, asked: Asked) -> Answer {
    let model = replica.models.get(&asked.model, asked.version.as_deref())?;
    let of = |specs: &[TensorSpec]| -> Vec<Value> {
        let one = |spec: &TensorSpec| {
            let word = if spec.datatype == DataType::Bytes { "STRING" } else { spec.datatype.name() };
            json!({"name": spec.name, "data_type": format!("TYPE_{word}"), "dims": spec.shape})
        };
        specs.iter().map(one).collect()
    };
    told(&json!({
        "name": model.name,
        "platform": PLATFORM,
        "backend": BACKEND,
        "version_policy": {"specific": {"versions": [model.version]}},
        "max_batch_size": 0,
        "input": of(&model.interface.inputs),
        "output": of(&model.interface.outputs),
        "instance_group": [{"name": model.name, "kind": "KIND_CPU", "count": replica.slots}],
        "parameters": {"digest": {"string_value": model.digest.to_string()}},
    }))
}

/// The statistics in the words of Triton: since these bytes were loaded, and only what is measured.
async fn statistics(State(replica): Shared, asked: Asked) -> Answer {
    let model = replica.models.get(&asked.model, asked.version.as_deref())?;
    told(&json!({ "model_stats": [figures(&model)] }))
}

async fn all_statistics(State(replica): Shared) -> Answer {
    let all: Vec<Value> = replica.models.loaded().iter().map(|model| figures(model)).collect();
    told(&json!({ "model_stats": all }))
}

fn figures(model: &Deployment) -> Value {
    let of = |tally: &Tally| {
        let (count, ns) = tally.get();
        json!({"count": count, "ns": ns})
    };
    let figures = &model.figures;
    json!({
        "name": model.name,
        "version": model.version,
        "inference_count": figures.success.get().0,
        "execution_count": figures.run.get().0,
        "inference_stats": {
            "success": of(&figures.success),
            "fail": of(&figures.fail),
            "queue": of(&figures.queue),
            "compute_infer": of(&figures.run),
        },
        "batch_stats": [],
    })
}

async fn whole(replica: &Replica, request: Request) -> Result<(bytes::Bytes, Room), HttpError> {
    let (parts, body) = request.into_parts();
    body::read(&parts.headers, body, replica.max_body, &replica.budget).await
}

async fn index(State(replica): Shared, request: Request) -> Answer {
    let (body, _room) = whole(&replica, request).await?;
    let asked = IndexRequest::decode(&body).map_err(|error| HttpError::invalid(&error))?;
    let mut entries = replica.models.index();
    entries.retain(|entry| !asked.ready || entry.state == v2::State::Ready);
    told(&entries)
}

async fn load(State(replica): Shared, asked: Asked, request: Request) -> Answer {
    let (body, room) = whole(&replica, request).await?;
    let decoded = body::apart(move || LoadRequest::decode(&body)).await?;
    let decoded = decoded.map_err(|error| HttpError::invalid(&error))?;
    configured(&asked.model, decoded.config.as_deref())?;
    let source = source(decoded)?;
    // In a task of its own: a load goes on when whoever ordered it goes away.
    let load = async move {
        let _room = room;
        replica.models.load(&asked.model, source, &mut |_| ()).await
    };
    match tokio::spawn(load).await {
        Ok(ended) => ended.map(|()| StatusCode::OK.into_response()),
        Err(error) => Err(HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

/// Refuses a configuration that asks for anything: to pass over it in silence would be to serve something else.
/// What says no more than how things are here is let through, because users of Triton must write it there.
fn configured(model: &str, config: Option<&str>) -> Result<(), HttpError> {
    let bad = |why: String| HttpError::new(StatusCode::BAD_REQUEST, why);
    let Some(config) = config else { return Ok(()) };
    let settings: Map<String, Value> = serde_json::from_str(config)
        .map_err(|error| bad(format!("parameter \"config\" is no JSON object: {error}")))?;
    for (name, value) in &settings {
        let so = match name.as_str() {
            "name" => value == model,
            "backend" => value == BACKEND,
            "platform" => value == PLATFORM,
            _ => false,
        };
        if !so {
            let shown: String = name.chars().take(64).collect();
            return Err(bad(format!("parameter \"config\" sets `{shown}`, which cannot be set here; send \"{{}}\"")));
        }
    }
    Ok(())
}

/// The one model file of a request. Its folder is the version, as it is on disk.
fn source(load: LoadRequest) -> Result<Source, HttpError> {
    let bad = |why: &str| Err(HttpError::new(StatusCode::BAD_REQUEST, why.to_owned()));
    let mut files = load.files.into_iter();
    let Some((path, bytes)) = files.next() else {
        return Ok(Source::File);
    };
    if files.next().is_some() {
        return bad("a model is one file here: send one parameter \"file:VERSION/model.onnx\"");
    }
    if bytes.is_empty() {
        return bad("the model file is empty");
    }
    let version = path.split_once('/').map(|(version, _)| version.to_owned()).filter(|version| !version.is_empty());
    Ok(Source::Bytes { version, bytes })
}

async fn unload(State(replica): Shared, asked: Asked, request: Request) -> Answer {
    whole(&replica, request).await?;
    replica.models.unload(&asked.model).await.map(|()| StatusCode::OK.into_response())
}

async fn metrics(State(replica): Shared, request: Request) -> Response {
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    // The older format is for those who ask for it and for nothing newer.
    let older = accept.contains("text/plain") && !accept.contains("application/openmetrics-text");
    let (content, text) = if older {
        ("text/plain; version=0.0.4; charset=utf-8", replica.models.metrics.classic())
    } else {
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", replica.models.metrics.openmetrics())
    };
    ([(CONTENT_TYPE, content)], text).into_response()
}

/// Makes every slot slow from now on.
async fn latency(State(replica): Shared, request: Request) -> Answer {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Latency {
        #[serde(default)]
        add_ns: u64,
        #[serde(default = "unchanged")]
        factor: f64,
    }
    const fn unchanged() -> f64 {
        1.0
    }
    let (body, _room) = whole(&replica, request).await?;
    let bad = |why: String| HttpError::new(StatusCode::BAD_REQUEST, why);
    let latency: Latency = serde_json::from_slice(&body)
        .map_err(|error| bad(format!("expected {{\"add_ns\":u64,\"factor\":f64}}: {error}")))?;
    let add = Duration::from_nanos(latency.add_ns);
    if latency.factor < 1.0 {
        return Err(bad(format!("factor is {}, but a run cannot be made faster: it is at least 1", latency.factor)));
    }
    if add > ADD_MAX || latency.factor > FACTOR_MAX {
        return Err(bad(format!("add_ns is at most {}, factor at most {FACTOR_MAX}", ADD_MAX.as_nanos())));
    }
    replica.models.slowness.set(add, latency.factor);
    Ok(StatusCode::OK.into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_may_say_how_things_are_and_no_more() {
        for good in [None, Some("{}"), Some(" { } "), Some(r#"{"name":"m","backend":"onnxruntime"}"#)] {
            assert_eq!(configured("m", good), Ok(()), "{good:?}");
        }
        for (bad, says) in [
            ("", "no JSON object"),
            ("[]", "no JSON object"),
            (r#"{"max_batch_size":8}"#, "sets `max_batch_size`"),
            (r#"{"backend":"python"}"#, "sets `backend`"),
            (r#"{"name":"other"}"#, "sets `name`"),
        ] {
            let refusal = configured("m", Some(bad)).unwrap_err();
            assert!(refusal.message().contains(says), "{}", refusal.message());
        }
    }
}
