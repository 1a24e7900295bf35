//! Owns how errors are told over HTTP: always `{"error": "…"}`, always with a status that says whose fault it is.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::live::v2::ErrorBody;

/// Set to `1` on answers to requests that found the queue, the connections or the memory full: nothing was done, and trying elsewhere is safe.
pub const SHED_HEADER: &str = "rollcage-shed";

/// An answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HttpError {
    pub(super) status: StatusCode,
    message: String,
    shed: bool,
}

impl HttpError {
    pub(super) const fn new(status: StatusCode, message: String) -> Self {
        Self { status, message, shed: false }
    }

    pub(super) fn invalid(error: &dyn std::error::Error) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.to_string())
    }

    /// Something is full, and nothing was done.
    pub(super) fn shed(what: String) -> Self {
        let message = what + "; try later or elsewhere";
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message, shed: true }
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        // A text always has a JSON form.
        let body = serde_json::to_vec(&ErrorBody { error: self.message }).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.shed {
            response.headers_mut().insert(HeaderName::from_static(SHED_HEADER), HeaderValue::from_static("1"));
        }
        response
    }
}
