//! Owns HTTP from the driver's side: kept-alive connections, and a limit on every wait and every byte.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::header::HeaderMap;
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::net::SocketAddr;
use std::time::Duration;

/// Longest answer that is read.
pub(crate) const ANSWER_MAX_BYTES: usize = 16 << 20;
/// An idle connection is closed by us before a server closes it (uvicorn does after 5 s), so that no request meets a
/// connection on its way out.
const IDLE: Duration = Duration::from_secs(4);
/// A connection that is not there after this is not coming: all servers are on this machine or near it.
const CONNECT: Duration = Duration::from_secs(2);

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    /// The request reached nobody.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// The request had gone out when the connection broke: it may or may not have been served.
    #[error("{0}")]
    Broken(String),
    /// What came is no HTTP, or more than anybody should send.
    #[error("{0}")]
    Garbage(String),
    /// No answer in time.
    #[error("no answer in time")]
    Late,
}

/// An answer of whatever status.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What is wrong with an answer that is not a success: status, and what the body says, in one short line.
    pub(crate) fn complaint(&self) -> String {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(300)]).into_owned();
        let told = serde_json::from_slice::<serde_json::Value>(&self.body).ok();
        let told = told.as_ref().and_then(|v| v.get("error")?.as_str()).unwrap_or(&text);
        let line: String = told.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect();
        if line.is_empty() {
            format!("status {}", self.status.as_u16())
        } else {
            format!("status {}: {line}", self.status.as_u16())
        }
    }
}

/// One request that can be sent again.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    method: Method,
    uri: Uri,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

impl Call {
    pub(crate) fn get(server: SocketAddr, path: &str) -> Self {
        Self { method: Method::GET, uri: uri(server, path), headers: Vec::new(), body: Bytes::new() }
    }

    pub(crate) fn post(server: SocketAddr, path: &str, body: impl Into<Bytes>) -> Self {
        Self { method: Method::POST, uri: uri(server, path), headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn put(server: SocketAddr, path: &str, body: impl Into<Bytes>) -> Self {
        Self { method: Method::PUT, ..Self::post(server, path, body) }
    }

    pub(crate) fn header(mut self, name: &'static str, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// Paths are made of names that a plan has checked; one that is no path after all leads nowhere, with a 404.
fn uri(server: SocketAddr, path: &str) -> Uri {
    let build = |path: &str| Uri::builder().scheme("http").authority(server.to_string()).path_and_query(path).build();
    build(path).or_else(|_| build("/")).unwrap_or_default()
}

/// A name as one segment of a path.
pub(crate) fn segment(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// A client with its pool of connections. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Http {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        Self { client }
    }

    /// Sends a request and reads the whole answer, within a limit of time.
    pub(crate) async fn call(&self, call: Call, limit: Duration) -> Result<Reply, Trouble> {
        tokio::time::timeout(limit, self.send(call)).await.unwrap_or(Err(Trouble::Late))
    }

    async fn send(&self, call: Call) -> Result<Reply, Trouble> {
        let mut request = Request::builder().method(call.method).uri(call.uri);
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(call.body)).map_err(|e| Trouble::Unreachable(e.to_string()))?;
        let response = self.client.request(request).await.map_err(|e| trouble(&e))?;
        let (head, body) = response.into_parts();
        let body = match Limited::new(body, ANSWER_MAX_BYTES).collect().await {
            Ok(body) => body.to_bytes(),
            Err(e) if e.is::<LengthLimitError>() => {
                return Err(Trouble::Garbage(format!("an answer of more than {} MiB", ANSWER_MAX_BYTES >> 20)));
            }
            Err(e) => return Err(Trouble::Broken(format!("the answer broke off: {}", innermost(&*e)))),
        };
        Ok(Reply { status: head.status, headers: head.headers, body })
    }
}

fn trouble(error: &hyper_util::client::legacy::Error) -> Trouble {
    if error.is_connect() {
        return Trouble::Unreachable(innermost(error));
    }
    let mut cause = std::error::Error::source(error);
    while let Some(e) = cause {
        if let Some(e) = e.downcast_ref::<hyper::Error>() {
            if e.is_parse() || e.is_parse_too_large() || e.is_parse_status() {
                return Trouble::Garbage(format!("no HTTP: {}", innermost(e)));
            }
            if e.is_incomplete_message() || e.is_closed() || e.is_canceled() {
                return Trouble::Broken("the connection closed without an answer".to_owned());
            }
        }
        cause = e.source();
    }
    Trouble::Broken(format!("the connection broke: {}", innermost(error)))
}

/// The first cause, in words.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    /// What a call makes of a server that answers every request with these bytes and closes.
    fn answer(bytes: Vec<u8>) -> Result<Reply, Trouble> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let server = listener.local_addr().expect("an address");
            tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    let mut request = [0; 1024];
                    let _ = stream.read(&mut request).await;
                    let _ = stream.write_all(&bytes).await;
                }
            });
            Http::new().call(Call::get(server, "/v2"), Duration::from_secs(5)).await
        })
    }

    #[test]
    fn bad_answers_are_told_apart() {
        let good = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()).expect("an answer");
        assert_eq!((good.status.as_u16(), &good.body[..]), (200, &b"ok"[..]));
        let plain =
            answer(b"HTTP/1.1 500 X\r\nContent-Length: 21\r\n\r\nInternal Server Error".to_vec()).expect("an answer");
        assert_eq!(plain.complaint(), "status 500: Internal Server Error");
        assert!(matches!(answer(b"\x16\x03\x01 not http at all\r\n\r\n".to_vec()), Err(Trouble::Garbage(_))));
        assert!(matches!(answer(b"HTTP/1.1 200 OK\r\nContent-Le".to_vec()), Err(Trouble::Broken(_))));
        let half = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf".to_vec());
        assert!(matches!(half, Err(Trouble::Broken(_))), "{half:?}");
        assert!(matches!(answer(Vec::new()), Err(Trouble::Broken(_))));
        let mut huge = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 100 << 20).into_bytes();
        huge.resize(huge.len() + ANSWER_MAX_BYTES + 10, b'x');
        assert!(matches!(answer(huge), Err(Trouble::Garbage(_))));
    }

    #[test]
    fn who_does_not_answer_is_given_up() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let server = listener.local_addr().expect("an address");
            let silent = Http::new().call(Call::get(server, "/"), Duration::from_millis(50)).await;
            assert_eq!(silent.expect_err("silence"), Trouble::Late);
            drop(listener);
            let nobody = Http::new().call(Call::get(server, "/"), Duration::from_secs(5)).await;
            assert!(matches!(nobody, Err(Trouble::Unreachable(_))));
        });
    }
}
