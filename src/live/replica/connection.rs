//! Owns connections: how many there are, how long each may keep anybody waiting, and how they end.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::header::HeaderName;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::Sleep;

/// Longest time for the head of a request; on a kept-alive connection also until the next request.
const HEAD_MAX: Duration = Duration::from_secs(60);

/// Longest time that a client may take none of an answer.
const STALL_MAX: Duration = Duration::from_secs(30);

/// After a failed accept (no file handles left, mostly) there is nothing to do but to try again a little later.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Propagated from request to answer, so that a caller finds its trace again.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Sent where there are too many connections: a refusal says more than a silence.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: 63\r\n\
rollcage-shed: 1\r\nconnection: close\r\n\r\n{\"error\":\"too many connections to this replica; try elsewhere\"}";

/// Most connections at once that are refused with patience; beyond it a refusal may be lost.
const REFUSED_MAX: usize = 64;

/// Longest time, and most bytes, that a refused client goes on sending before it reads the refusal.
const REFUSED_FOR: Duration = Duration::from_secs(2);
const REFUSED_BYTES: u64 = 1 << 20;

/// Accepts connections until `stop` says otherwise, then gives those in flight `grace` to end.
pub(super) async fn accept(
    listener: TcpListener,
    router: Router,
    most: usize,
    mut stop: watch::Receiver<bool>,
    grace: Duration,
) {
    let most = most.clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
    let room = Arc::new(Semaphore::new(most));
    let refused = Arc::new(Semaphore::new(REFUSED_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = told(&mut stop) => break,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            let _ = stream.try_write(FULL);
            if let Ok(permit) = Arc::clone(&refused).try_acquire_owned() {
                tokio::spawn(async move {
                    let _ = tokio::time::timeout(REFUSED_FOR, leave(stream)).await;
                    drop(permit);
                });
            }
            continue;
        };
        let (router, stop) = (router.clone(), stop.clone());
        tokio::spawn(async move {
            serve(stream, router, stop).await;
            drop(permit);
        });
    }
    drop(listener);
    // All permits are back when all connections have ended.
    let _ = tokio::time::timeout(grace, room.acquire_many(most as u32)).await;
}

/// Reads what a refused client sends until it has read the refusal: closed with bytes unread, the connection would be reset.
async fn leave(mut stream: TcpStream) {
    let _ = stream.shutdown().await;
    let _ = tokio::io::copy(&mut stream.take(REFUSED_BYTES), &mut tokio::io::sink()).await;
}

async fn told(stop: &mut watch::Receiver<bool>) {
    // Whoever could tell is gone: then it is the end, too.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn serve(stream: TcpStream, router: Router, mut stop: watch::Receiver<bool>) {
    // Answers are small and written whole: there is nothing to gather.
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        let trace = request.headers().get(TRACEPARENT).cloned();
        let answer = router.call(request);
        async move {
            let mut answer: Response<_> = answer.await?;
            if let Some(trace) = trace {
                answer.headers_mut().insert(TRACEPARENT, trace);
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let io = TokioIo::new(Impatient { stream, stalled: None });
    let mut connection = pin!(
        http1::Builder::new().timer(TokioTimer::new()).header_read_timeout(HEAD_MAX).serve_connection(io, service)
    );
    // How a connection ended is its client's affair.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = told(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// A stream that gives up on a reader who takes nothing for [`STALL_MAX`].
struct Impatient {
    stream: TcpStream,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Impatient {
    fn limit<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(STALL_MAX)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Impatient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.limit(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.limit(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_refusal_has_the_length_it_announces() {
        let text = std::str::from_utf8(super::FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("\r\n{}: 1\r\n", crate::live::replica::SHED_HEADER)));
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "{}", body.len());
    }
}
