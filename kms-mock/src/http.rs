//! Connections: HTTP/1.1 with limits on everything that a client can make large or slow.
//!
//! ```text
//! accept (limited) -> TLS, if enabled -> head (bytes, time) -> body (bytes, time) -> handler -> answer, next request
//! ```

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::EXPECT;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

mod body;
mod socket;

pub(crate) use body::Body;
use socket::Socket;

use crate::tls::Agreed;

/// Limits on the resources that one client, and all clients together, can use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// From when a request could begin to the end of its head. Idle connections are closed after it too.
    pub(crate) head_timeout: Duration,
    /// Time for the whole body.
    pub(crate) body_timeout: Duration,
    /// Bytes.
    pub(crate) body: usize,
    /// Open connections. More wait to be accepted.
    pub(crate) connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let timeout = Duration::from_secs(10);
        Self {
            head_timeout: timeout,
            body_timeout: timeout,
            body: 256 << 10,
            connections: 1024,
        }
    }
}

/// Bytes of a request's head: AWS's clients send less than 2 KiB.
const HEAD_LIMIT: usize = 64 << 10;
/// How much of a too large body is read and discarded, so that its sender goes on to read the answer.
const DISCARD_LIMIT: u64 = 4 << 20;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);
/// Between attempts to accept when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves the requests of a port.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Answers, or closes the connection without an answer.
    fn handle(
        &self,
        request: Request<Incoming>,
        peer: &Peer,
    ) -> impl Future<Output = Result<Response<Body>, Hangup>> + Send;
}

/// The other end of a connection.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) address: String,
    /// The negotiated TLS parameters; `None` without TLS.
    pub(crate) tls: Option<Agreed>,
    socket: Socket,
}

impl Peer {
    /// Has the connection end with a RST instead of a FIN.
    pub(crate) fn reset(&self) -> Hangup {
        self.socket.reset();
        Hangup
    }

    /// Waits until the client has closed its side, or has sent its next request.
    pub(crate) async fn left(&self) {
        self.socket.closed().await;
    }
}

/// The connection is to be closed without an answer.
#[derive(Debug)]
pub(crate) struct Hangup;

impl fmt::Display for Hangup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection was closed on purpose")
    }
}

impl std::error::Error for Hangup {}

/// Accepts connections for as long as it is polled.
pub(crate) async fn serve<H: Handler>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    handler: Arc<H>,
    limits: Limits,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    loop {
        // The semaphore is never closed.
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (handler, tls) = (handler.clone(), tls.clone());
                tokio::spawn(async move {
                    connection(stream, tls, peer, handler, limits).await;
                    drop(place);
                });
            }
            // One client's fault, or out of descriptors: the next attempt may succeed.
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn connection<H: Handler>(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    address: SocketAddr,
    handler: Arc<H>,
    limits: Limits,
) {
    let _ = stream.set_nodelay(true);
    let socket = Socket::new(stream);
    let mut peer = Peer {
        address: address.ip().to_string(),
        tls: None,
        socket: socket.clone(),
    };
    let Some(tls) = tls else {
        return requests(socket, peer, handler, limits).await;
    };
    // A handshake may take as long as a head. TLS itself says why one fails.
    if let Ok(Ok(stream)) = timeout(limits.head_timeout, tls.accept(socket)).await {
        peer.tls = Agreed::of(&stream);
        requests(stream, peer, handler, limits).await;
    }
}

async fn requests<S, H: Handler>(stream: S, peer: Peer, handler: Arc<H>, limits: Limits)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let peer = Arc::new(peer);
    let service = service_fn(move |request| {
        let (handler, peer) = (handler.clone(), peer.clone());
        async move { handler.handle(request, &peer).await }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(HEAD_LIMIT)
        .pipeline_flush(true)
        // Some clients compare header names with case: libmongocrypt does not find `content-length`.
        .title_case_headers(true)
        // A client that has sent everything may close its side and still gets an answer.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    // The connection is over either way: an error has no one to go to.
    let _ = connection.await;
}

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    TooLarge,
    Slow,
    Broken,
}

impl Refusal {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken => StatusCode::BAD_REQUEST,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "The request body is too large.",
            Self::Slow => "The request body did not arrive in time.",
            Self::Broken => "The request body could not be read.",
        })
    }
}

/// The whole body of a request.
///
/// # Errors
///
/// The body is larger or slower than the limit, or ends early. The connection must then be closed after the answer.
pub(crate) async fn read_body(request: &mut Request<Incoming>, limits: &Limits) -> Result<Bytes, Refusal> {
    let waits_for_leave = request.headers().contains_key(EXPECT);
    let body = request.body_mut();
    let declared_too_large = body.size_hint().lower() > limits.body as u64;
    let result = if declared_too_large {
        Err(Refusal::TooLarge)
    } else {
        timeout(limits.body_timeout, collect(body, limits.body))
            .await
            .unwrap_or(Err(Refusal::Slow))
    };
    // Closing a socket with unread bytes resets the connection, and the answer may be lost. A client that waits for
    // `100 Continue` has sent nothing.
    if result == Err(Refusal::TooLarge) && !(declared_too_large && waits_for_leave) {
        let _ = timeout(DISCARD_TIMEOUT, discard(body)).await;
    }
    result
}

async fn collect(body: &mut Incoming, limit: usize) -> Result<Bytes, Refusal> {
    let mut whole = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Refusal::Broken)?.into_data() else {
            continue;
        };
        if whole.len() + joined.len() + data.len() > limit {
            return Err(Refusal::TooLarge);
        }
        // Nearly all bodies arrive in one piece and are not copied.
        if whole.is_empty() && joined.is_empty() {
            whole = data;
        } else {
            joined.extend_from_slice(&std::mem::take(&mut whole));
            joined.extend_from_slice(&data);
        }
    }
    Ok(if joined.is_empty() { whole } else { joined.freeze() })
}

async fn discard(body: &mut Incoming) {
    let mut left = DISCARD_LIMIT;
    while let Some(Ok(frame)) = body.frame().await {
        let len = frame.data_ref().map_or(0, |data| data.len() as u64);
        match left.checked_sub(len) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
