//! Owns the bodies of requests and answers: how much of them is read, how long, and their compression.

use std::io::{Read, Write};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use flate2::Compression;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};
use http_body_util::{BodyExt as _, Limited};

use super::error::HttpError;

/// Longest time for a whole request body.
const READ_MAX: Duration = Duration::from_secs(30);

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

/// Reads a whole body, decompressed.
///
/// # Errors
/// 413 for more than `limit` bytes, before or after decompression; 408 if it does not come in time; 400 if it breaks off
/// or does not decompress; 415 for another compression than gzip and deflate.
pub(super) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, HttpError> {
    let coding = match headers.get(CONTENT_ENCODING) {
        None => None,
        Some(named) => {
            let named = named.to_str().unwrap_or_default().trim().to_ascii_lowercase();
            match Coding::parse(&named) {
                None if named.is_empty() || named == "identity" => None,
                None => {
                    let why = format!("Content-Encoding `{named}` is not served; gzip and deflate are");
                    return Err(HttpError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
                }
                coding => coding,
            }
        }
    };
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|announced| announced > limit as u64) {
        return Err(too_large(limit));
    }
    let whole = tokio::time::timeout(READ_MAX, Limited::new(body, limit).collect()).await;
    let bytes = match whole {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => return Err(too_large(limit)),
        Ok(Err(error)) => {
            return Err(HttpError::new(StatusCode::BAD_REQUEST, format!("the body breaks off: {error}")));
        }
        Err(_) => {
            let why = format!("the body did not come within {} s", READ_MAX.as_secs());
            return Err(HttpError::new(StatusCode::REQUEST_TIMEOUT, why));
        }
    };
    match coding {
        None => Ok(bytes),
        Some(coding) => apart(move || decompressed(coding, &bytes, limit)).await?,
    }
}

fn too_large(limit: usize) -> HttpError {
    HttpError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {limit} bytes (--max-body)"))
}

/// Does work on a thread for such, away from the network's.
pub(super) async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, HttpError> {
    let failed = |error: tokio::task::JoinError| HttpError::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    tokio::task::spawn_blocking(work).await.map_err(failed)
}

fn decompressed(coding: Coding, bytes: &[u8], limit: usize) -> Result<Bytes, HttpError> {
    fn whole(from: impl Read, limit: usize) -> std::io::Result<Vec<u8>> {
        let mut out = Vec::new();
        // One byte more tells what is too large from what just fits.
        from.take(limit as u64 + 1).read_to_end(&mut out)?;
        Ok(out)
    }
    let out = match coding {
        Coding::Gzip => whole(MultiGzDecoder::new(bytes), limit),
        Coding::Deflate => whole(ZlibDecoder::new(bytes), limit).or_else(|_| whole(DeflateDecoder::new(bytes), limit)),
    };
    match out {
        Ok(out) if out.len() > limit => Err(too_large(limit)),
        Ok(out) => Ok(out.into()),
        Err(error) => {
            let why = format!("the body is not {}: {error}", coding.name());
            Err(HttpError::new(StatusCode::BAD_REQUEST, why))
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
