//! Owns the network between router and a replica: a TCP proxy on loopback that can be cut and slowed.
//!
//! Divergence: a cut holds bytes back instead of dropping packets, and a connection made during a cut is accepted here. To a
//! user both look as they do on a real network: no answer until the cut ends, then what TCP sends again. A delay is added to
//! each piece of bytes in each direction, half of it each way.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Connections of one proxy at a time.
const CONNECTIONS_MAX: usize = 512;

/// How the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Line {
    /// Nothing passes.
    pub(crate) cut: bool,
    /// What a round trip takes longer.
    pub(crate) delay: Duration,
}

/// One proxy; dropping it closes all of its connections.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    line: watch::Sender<Line>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port of the loopback interface and forwards to a server.
    pub(crate) fn open(server: SocketAddr) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let (line, watched) = watch::channel(Line::default());
        let accepting = tokio::spawn(async move {
            // Connections end with the set, so that none outlives the proxy.
            let mut connections = tokio::task::JoinSet::new();
            loop {
                tokio::select! {
                    biased;
                    Some(_) = connections.join_next() => {}
                    accepted = listener.accept() => match accepted {
                        // The router has one connection a request under way; whoever wants more is somebody else.
                        Ok((client, _)) if connections.len() < CONNECTIONS_MAX => {
                            connections.spawn(forward(client, server, watched.clone()));
                        }
                        Ok(_) => {}
                        // Out of file descriptors: those that close make room.
                        Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                    }
                }
            }
        });
        Ok(Self { address, line, accepting })
    }

    /// Changes the network.
    pub(crate) fn set(&self, line: Line) {
        self.line.send_replace(line);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn forward(client: TcpStream, server: SocketAddr, line: watch::Receiver<Line>) {
    let Ok(Ok(server)) = timeout(CONNECT, TcpStream::connect(server)).await else {
        return refuse(client).await;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    // An end on one side ends the other: HTTP has no use for half a connection.
    tokio::select! {
        biased;
        () = pump(from_client, to_server, line.clone()) => {}
        () = pump(from_server, to_client, line) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut line: watch::Receiver<Line>) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let n = match from.read(&mut buffer).await {
            Ok(n) if n > 0 => n,
            _ => return,
        };
        let delay = line.borrow().delay / 2;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        tokio::select! {
            biased;
            // A proxy that is gone lets nothing pass either.
            open = line.wait_for(|line| !line.cut) => if open.is_err() { return },
            // Who gives up during a cut closes his end: then there is nobody to hold anything back for.
            () = ended(&mut from) => return,
        }
        if to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

/// Waits until the other end has closed; while it has more to say it has not.
async fn ended(from: &mut OwnedReadHalf) {
    let mut more = [0];
    while let Ok(1..) = from.peek(&mut more).await {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// A server that takes no connection: told apart from one that took the request and went away.
async fn refuse(mut client: TcpStream) {
    let mut request = vec![0; 64 << 10];
    let _ = timeout(CONNECT, client.read(&mut request)).await;
    let head =
        format!("HTTP/1.1 502 Bad Gateway\r\n{UNREACHABLE}: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let _ = client.write_all(head.as_bytes()).await;
    let _ = client.shutdown().await;
}

/// The header of the answer in the place of a server that takes no connection.
pub(crate) const UNREACHABLE: &str = "rollcage-unreachable";
/// A server on this machine, or near it, that takes no connection within this takes none.
const CONNECT: Duration = Duration::from_secs(2);
/// Between two looks whether a user has gone who has said more than was passed on.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that echoes, and a connection to it through a proxy.
    async fn echo() -> (Proxy, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.into_split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        let proxy = Proxy::open(server).expect("a port");
        let stream = TcpStream::connect(proxy.address).await.expect("a connection");
        (proxy, stream)
    }

    async fn round_trip(stream: &mut TcpStream) {
        let mut answer = [0; 4];
        stream.write_all(b"ping").await.expect("sent");
        stream.read_exact(&mut answer).await.expect("echoed");
        assert_eq!(&answer, b"ping");
    }

    fn block_on(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test);
    }

    #[test]
    fn a_cut_holds_everything_back_until_it_ends() {
        block_on(async {
            let (proxy, mut stream) = echo().await;
            round_trip(&mut stream).await;
            proxy.set(Line { cut: true, ..Line::default() });
            let cut = timeout(Duration::from_millis(200), round_trip(&mut stream)).await;
            assert!(cut.is_err(), "nothing passes");
            proxy.set(Line::default());
            let mut late = [0; 4];
            timeout(Duration::from_secs(5), stream.read_exact(&mut late)).await.expect("in time").expect("sent again");
        });
    }

    #[test]
    fn a_delay_is_what_a_round_trip_takes_longer() {
        block_on(async {
            let (proxy, mut stream) = echo().await;
            proxy.set(Line { delay: Duration::from_millis(100), ..Line::default() });
            let early = timeout(Duration::from_millis(90), round_trip(&mut stream)).await;
            assert!(early.is_err(), "not before the delay");
            let mut late = [0; 4];
            timeout(Duration::from_secs(5), stream.read_exact(&mut late)).await.expect("after it").expect("echoed");
        });
    }

    #[test]
    fn connections_end_with_the_proxy() {
        block_on(async {
            let (proxy, mut stream) = echo().await;
            round_trip(&mut stream).await;
            drop(proxy);
            let mut buffer = [0; 1];
            let end = timeout(Duration::from_secs(5), stream.read(&mut buffer)).await.expect("in time");
            assert!(!matches!(end, Ok(n) if n > 0));
        });
    }
}
