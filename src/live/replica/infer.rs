//! Owns the way of one inference request: body, protocol, queue, slot, answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::oneshot;

use super::body::{self, INLINE_MAX};
use super::error::HttpError;
use super::http::{Asked, Replica};
use super::metrics::Outcome;
use super::models::Deployment;
use super::room::Room;
use super::slots::{Answer, Job};
use super::{ARTIFACT_HEADER, clock};
use crate::live::v2::{Encoded, InferRequest, InferResponse, JSON_LENGTH_HEADER};
use crate::world::inference::{RunError, Tensor, TensorData};

/// Longest time from the queue to the answer. A slot that hangs keeps nobody waiting longer.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// `POST /v2/models/{name}[/versions/{version}]/infer`.
pub(super) async fn infer(State(replica): State<Arc<Replica>>, asked: Asked, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    // The body first: a client that is still writing would not read an early answer.
    let (body, room) = match body::read(&parts.headers, body, replica.max_body, &replica.budget).await {
        Ok(read) => read,
        Err(error) => return error.into_response(),
    };
    let model = match replica.models.get(&asked.model, asked.version.as_deref()) {
        Ok(model) => model,
        Err(error) => return error.into_response(),
    };
    let mut end = End { model: &model, begun: clock::now(), outcome: Outcome::Abandoned };
    let mut response = match answered(&model, &parts.headers, body, room).await {
        Ok(response) => {
            end.outcome = Outcome::Ok;
            response
        }
        Err((outcome, error)) => {
            end.outcome = outcome;
            error.into_response()
        }
    };
    drop(end);
    response.headers_mut().insert(HeaderName::from_static(ARTIFACT_HEADER), model.artifact.clone());
    response
}

/// Counts how a request ended, whichever way: where its client goes away, all that happens is that this is dropped.
struct End<'a> {
    model: &'a Deployment,
    begun: Instant,
    outcome: Outcome,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        let took = clock::since(self.begun);
        self.model.metrics.ended(self.outcome);
        match self.outcome {
            Outcome::Ok => {
                self.model.metrics.duration.observe(took.as_secs_f64());
                self.model.figures.success.add(took);
            }
            // Neither one nor the other: nobody knows what would have become of it.
            Outcome::Abandoned => {}
            _ => self.model.figures.fail.add(took),
        }
    }
}

type Ended = (Outcome, HttpError);

async fn answered(
    model: &Arc<Deployment>,
    headers: &HeaderMap,
    body: bytes::Bytes,
    room: Room,
) -> Result<Response, Ended> {
    let invalid = |error| (Outcome::Invalid, HttpError::invalid(&error));
    let mut request = decode(headers, body).await?;
    let wanted: Vec<String> = request.outputs.iter().map(|output| output.name.clone()).collect();
    let inputs = std::mem::take(&mut request.inputs);
    // Before the queue: what the model cannot take must not occupy a slot.
    model.interface.check(&inputs, &wanted).map_err(invalid)?;
    let (reply, answer) = oneshot::channel();
    let job = Job { inputs, wanted, queued: clock::now(), reply, _room: room };
    let full = |_| (Outcome::Shed, HttpError::shed(format!("the queue of model {} is full", model.name)));
    model.slots.push(job).map_err(full)?;
    let Answer { result, waited, ran } = match tokio::time::timeout(ANSWER_MAX, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => {
            let why = format!("model {} lost the slot that ran this request", model.name);
            return Err((Outcome::Failed, HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, why)));
        }
        Err(_) => {
            let why = format!("model {} did not answer within {} s", model.name, ANSWER_MAX.as_secs());
            return Err((Outcome::Timeout, HttpError::new(StatusCode::GATEWAY_TIMEOUT, why)));
        }
    };
    model.figures.queue.add(waited);
    model.figures.run.add(ran);
    let outputs = result.map_err(|error| match error {
        RunError::Input(_) => (Outcome::Invalid, HttpError::invalid(&error)),
        error => {
            let why = format!("model {} failed: {error}", model.name);
            (Outcome::Failed, HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, why))
        }
    })?;
    respond(model, request, outputs, headers).await
}

async fn decode(headers: &HeaderMap, body: bytes::Bytes) -> Result<InferRequest, Ended> {
    let bad = |why: String| (Outcome::Invalid, HttpError::new(StatusCode::BAD_REQUEST, why));
    let json_len = match headers.get(JSON_LENGTH_HEADER) {
        None => None,
        Some(text) => {
            let parsed = text.to_str().ok().and_then(|text| text.trim().parse::<usize>().ok());
            Some(parsed.ok_or_else(|| bad("Inference-Header-Content-Length is not a number".to_owned()))?)
        }
    };
    let decoded = if body.len() <= INLINE_MAX {
        InferRequest::decode(&body, json_len)
    } else {
        body::apart(move || InferRequest::decode(&body, json_len)).await.map_err(|error| (Outcome::Failed, error))?
    };
    decoded.map_err(|error| (Outcome::Invalid, HttpError::invalid(&error)))
}

async fn respond(
    model: &Arc<Deployment>,
    request: InferRequest,
    outputs: Vec<Tensor>,
    headers: &HeaderMap,
) -> Result<Response, Ended> {
    let size: usize = outputs.iter().map(about).sum();
    let answer = InferResponse {
        model_name: model.name.clone(),
        model_version: Some(model.version.clone()),
        id: request.id.clone(),
        parameters: serde_json::Map::new(),
        outputs,
    };
    let encode = move || answer.encode(|output| request.wants_binary(output));
    let failed = |error: HttpError| (Outcome::Failed, error);
    let encoded = if size <= INLINE_MAX { encode() } else { body::apart(encode).await.map_err(failed)? };
    // The model's own answer has no form: an infinity in JSON.
    let unsayable =
        |error: crate::live::v2::V2Error| failed(HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()));
    let Encoded { mut body, json_len } = encoded.map_err(unsayable)?;
    let binary = json_len.is_some();
    let coding = body::wanted(headers, body.len());
    if let Some(coding) = coding {
        body = if body.len() <= INLINE_MAX {
            body::compressed(coding, &body)
        } else {
            body::apart(move || body::compressed(coding, &body)).await.map_err(failed)?
        };
    }
    let mut response = Response::new(Body::from(body));
    let told = response.headers_mut();
    let content = if binary { "application/octet-stream" } else { "application/json" };
    told.insert(CONTENT_TYPE, HeaderValue::from_static(content));
    if let Some(coding) = coding {
        told.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
    if let Some(json_len) = json_len {
        told.insert(HeaderName::from_static(JSON_LENGTH_HEADER), HeaderValue::from(json_len));
    }
    Ok(response)
}

/// Roughly the length of a tensor's written form in bytes.
fn about(tensor: &Tensor) -> usize {
    match &tensor.data {
        TensorData::Bytes(texts) => texts.iter().map(|text| text.len() + 4).sum(),
        data => data.len() * 12,
    }
}
