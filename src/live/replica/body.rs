//! Owns the bodies of requests and answers: how much of them is read, how long, and their compression.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, EXPECT};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use flate2::Compression;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;

use super::error::HttpError;
use super::room::{Budget, Room};

/// Longest time for a whole request body.
const READ_MAX: Duration = Duration::from_secs(30);

/// Most bytes of a refused body that are read for nothing.
const DISCARD_MAX: u64 = 512 << 20;

/// Longest silence in a refused body: its client waits for the answer, then.
const DISCARD_PAUSE: Duration = Duration::from_secs(2);

/// Work on bodies beyond this size leaves the thread that does the network, so that health is told meanwhile.
pub(super) const INLINE_MAX: usize = 128 << 10;

/// Answers below this size are sent as they are: compressing them costs more than it saves.
const COMPRESS_MIN: usize = 512;

/// A compression of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    /// zlib by the standard; bare deflate is understood too.
    Deflate,
}

impl Coding {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        match name {
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            _ => None,
        }
    }
}

/// Reads a whole body, decompressed; and the room that it takes, for as long as anything made of it is kept.
///
/// # Errors
/// 413 for more than `limit` bytes, before or after decompression; 408 if it does not come in time; 400 if it breaks off
/// or does not decompress; 415 for another compression than gzip and deflate; 503 if bodies take too much memory already.
pub(super) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    limit: usize,
    budget: &Arc<Budget>,
) -> Result<(Bytes, Room), HttpError> {
    let coding = match coding(headers, limit) {
        Ok(coding) => coding,
        Err(refusal) => {
            pass_over(headers, body).await;
            return Err(refusal);
        }
    };
    let mut room = Room::none(budget);
    let bytes = match tokio::time::timeout(READ_MAX, gathered(&mut body, limit, &mut room)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(refusal)) => {
            drop(room);
            discard(body).await;
            return Err(refusal);
        }
        Err(_) => {
            let why = format!("the body did not come within {} s", READ_MAX.as_secs());
            return Err(HttpError::new(StatusCode::REQUEST_TIMEOUT, why));
        }
    };
    match coding {
        None => Ok((bytes, room)),
        Some(coding) => {
            let mut larger = Room::none(budget);
            let work = move || decompressed(coding, &bytes, limit, &mut larger).map(|bytes| (bytes, larger));
            // `room` is that of the compressed bytes, which are gone then.
            apart(work).await?
        }
    }
}

/// What the headers say of the body's compression, unless they say already that it is not read.
fn coding(headers: &HeaderMap, limit: usize) -> Result<Option<Coding>, HttpError> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|announced| announced > limit as u64) {
        return Err(too_large(limit));
    }
    let Some(named) = headers.get(CONTENT_ENCODING) else {
        return Ok(None);
    };
    let named = named.to_str().unwrap_or_default().trim().to_ascii_lowercase();
    match Coding::parse(&named) {
        None if named.is_empty() || named == "identity" => Ok(None),
        None => {
            let why = format!("Content-Encoding `{named}` is not served; gzip and deflate are");
            Err(HttpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why))
        }
        coding => Ok(coding),
    }
}

async fn gathered(body: &mut Body, limit: usize, room: &mut Room) -> Result<Bytes, HttpError> {
    let mut whole = Bytes::new();
    let mut joined = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| HttpError::new(StatusCode::BAD_REQUEST, format!("the body breaks off: {error}")))?;
        let Ok(piece) = frame.into_data() else { continue };
        if piece.len() > limit - whole.len() - joined.len() {
            return Err(too_large(limit));
        }
        room.grow(piece.len())?;
        // Most bodies come in one piece, which need not be copied. Of many, none is kept: each holds on to its buffer.
        if whole.is_empty() && joined.is_empty() {
            whole = piece;
        } else {
            joined.extend_from_slice(&std::mem::take(&mut whole));
            joined.extend_from_slice(&piece);
        }
    }
    Ok(if joined.is_empty() { whole } else { joined.into() })
}

/// Leaves a body that was not begun. Who asked before sending it (`Expect: 100-continue`) does not send it then.
pub(super) async fn pass_over(headers: &HeaderMap, body: Body) {
    if !headers.contains_key(EXPECT) {
        discard(body).await;
    }
}

/// Reads what is left of a body and throws it away, within limits: a client that is still writing does not read its
/// answer, and to close a connection with bytes unread is to reset it, the answer included.
async fn discard(mut body: Body) {
    if body.size_hint().lower() > DISCARD_MAX {
        return;
    }
    let all = async {
        let mut left = DISCARD_MAX;
        while let Ok(Some(Ok(frame))) = tokio::time::timeout(DISCARD_PAUSE, body.frame()).await {
            match left.checked_sub(frame.data_ref().map_or(0, Bytes::len) as u64) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    let _ = tokio::time::timeout(READ_MAX, all).await;
}

fn too_large(limit: usize) -> HttpError {
    HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {limit} bytes (--max-body)"))
}

/// Does work on a thread for such, away from the network's.
pub(super) async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, HttpError> {
    let failed = |error: tokio::task::JoinError| HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    tokio::task::spawn_blocking(work).await.map_err(failed)
}

fn decompressed(coding: Coding, bytes: &[u8], limit: usize, room: &mut Room) -> Result<Bytes, HttpError> {
    fn whole(mut from: impl Read, coding: Coding, limit: usize, room: &mut Room) -> Result<Bytes, HttpError> {
        let mut out = Vec::new();
        loop {
            // One byte more than the limit tells what is too large from what just fits.
            let step = INLINE_MAX.min(limit.saturating_add(1) - out.len());
            room.grow(step)?;
            let read = from.by_ref().take(step as u64).read_to_end(&mut out).map_err(|error| {
                HttpError::new(StatusCode::BAD_REQUEST, format!("the body is not {}: {error}", coding.name()))
            })?;
            if out.len() > limit {
                return Err(too_large(limit));
            }
            if read < step {
                return Ok(out.into());
            }
        }
    }
    match coding {
        Coding::Gzip => whole(MultiGzDecoder::new(bytes), coding, limit, room),
        Coding::Deflate => {
            let standard = whole(ZlibDecoder::new(bytes), coding, limit, room);
            standard.or_else(|refusal| match refusal.status {
                StatusCode::BAD_REQUEST => whole(DeflateDecoder::new(bytes), coding, limit, room),
                _ => Err(refusal),
            })
        }
    }
}

/// The compression that an answer of so many bytes should have.
pub(super) fn wanted(headers: &HeaderMap, size: usize) -> Option<Coding> {
    if size < COMPRESS_MIN {
        return None;
    }
    let accepted = headers.get(ACCEPT_ENCODING)?.to_str().ok()?;
    accepted.split(',').find_map(|choice| {
        let (name, weight) = choice.split_once(';').unwrap_or((choice, ""));
        let weight = weight.trim().strip_prefix("q=").map_or(Some(1.0), |weight| weight.trim().parse::<f64>().ok());
        Coding::parse(name.trim()).filter(|_| weight.is_some_and(|weight| weight > 0.0))
    })
}

/// Compresses an answer.
pub(super) fn compressed(coding: Coding, bytes: &[u8]) -> Bytes {
    // Writing to memory does not fail.
    let out = match coding {
        Coding::Gzip => {
            let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 2), Compression::fast());
            encoder.write_all(bytes).and_then(|()| encoder.finish())
        }
        Coding::Deflate => {
            let mut encoder = ZlibEncoder::new(Vec::with_capacity(bytes.len() / 2), Compression::fast());
            encoder.write_all(bytes).and_then(|()| encoder.finish())
        }
    };
    out.unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_is_read_within_the_limit() {
        let text = b"0123456789".repeat(100);
        let budget = Arc::new(Budget::new(1 << 20));
        let decompressed = |coding, bytes: &[u8], limit| decompressed(coding, bytes, limit, &mut Room::none(&budget));
        for coding in [Coding::Gzip, Coding::Deflate] {
            let small = compressed(coding, &text);
            assert!(small.len() < 100);
            assert_eq!(decompressed(coding, &small, 1000).unwrap(), text);
            assert_eq!(decompressed(coding, &small, 999).unwrap_err().status, StatusCode::PAYLOAD_TOO_LARGE);
            assert_eq!(decompressed(coding, &small[..20], 1000).unwrap_err().status, StatusCode::BAD_REQUEST);
            assert_eq!(decompressed(coding, b"no such thing", 1000).unwrap_err().status, StatusCode::BAD_REQUEST);
        }
        let mut bare = flate2::write::DeflateEncoder::new(Vec::new(), Compression::fast());
        bare.write_all(&text).unwrap();
        assert_eq!(decompressed(Coding::Deflate, &bare.finish().unwrap(), 1000).unwrap(), text);
    }

    #[test]
    fn answers_are_compressed_as_asked() {
        let check = |accept: &str, expect: Option<Coding>| {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, accept.parse().unwrap())]);
            assert_eq!(wanted(&headers, 10_000), expect, "{accept}");
            assert_eq!(wanted(&headers, 100), None);
        };
        check("gzip", Some(Coding::Gzip));
        check("br, deflate;q=0.5, gzip", Some(Coding::Deflate));
        check("gzip;q=0, identity", None);
        check("*", None);
        assert_eq!(wanted(&HeaderMap::new(), 10_000), None);
    }
}
