//! Accepting connections, and ending them.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::metrics::Metrics;
use super::service::Service;
use super::socket::Socket;
use super::tls::Tls;
use super::{Ended, Limits};
use crate::connection::Connection;

/// Between attempts to accept when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Connections {
    service: Arc<Service>,
    tls: Option<Arc<Tls>>,
    metrics: Arc<Metrics>,
    limits: Limits,
    places: Arc<Semaphore>,
    count: u32,
}

impl Connections {
    pub(super) fn new(service: Arc<Service>, tls: Option<Arc<Tls>>, metrics: Arc<Metrics>, limits: Limits) -> Self {
        let count = u32::try_from(limits.connections).unwrap_or(u32::MAX).clamp(1, 1 << 28);
        Self {
            service,
            tls,
            metrics,
            limits,
            places: Arc::new(Semaphore::new(count as usize)),
            count,
        }
    }

    /// Accepts connections until `stop`, and waits for the requests in progress then.
    pub(super) async fn serve(self, listener: TcpListener, stop: watch::Receiver<bool>) -> Ended {
        tokio::select! {
            () = self.accept(listener, &stop) => {}
            () = stopped(stop.clone()) => {}
        }
        let all = self.places.acquire_many(self.count);
        match timeout(self.limits.shutdown_timeout, all).await {
            Ok(_) => Ended::Finished,
            Err(_) => Ended::CutOff,
        }
    }

    async fn accept(&self, listener: TcpListener, stop: &watch::Receiver<bool>) {
        loop {
            // The semaphore is never closed.
            let Ok(place) = self.places.clone().acquire_owned().await else {
                return;
            };
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                // One client's fault, or out of descriptors: the next attempt may succeed.
                Err(error) => {
                    tracing::debug!("cannot accept a connection: {error}");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (service, tls, limits) = (self.service.clone(), self.tls.clone(), self.limits);
            let (metrics, stop) = (self.metrics.clone(), stop.clone());
            tokio::spawn(async move {
                let _counted = metrics.connection();
                connection(stream, peer, service, tls, limits, stop).await;
                drop(place);
            });
        }
    }
}

/// Waits until the server is to stop.
pub(super) async fn stopped(mut stop: watch::Receiver<bool>) {
    // Without a handle, nobody can stop it.
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    service: Arc<Service>,
    tls: Option<Arc<Tls>>,
    limits: Limits,
    stop: watch::Receiver<bool>,
) {
    // Small responses follow each other: Nagle's algorithm would hold each back for an acknowledgement.
    let _ = stream.set_nodelay(true);
    let socket = Socket::new(stream, limits.stall_timeout);
    let connection = Connection {
        encrypted: tls.is_some(),
        peer: Some(peer),
    };
    let Some(tls) = tls else {
        return requests(socket, connection, service, limits, stop).await;
    };
    let handshake = timeout(limits.idle_timeout, tls.acceptor().accept(socket));
    tokio::select! {
        // TLS itself says why a handshake fails.
        shaken = handshake => if let Ok(Ok(stream)) = shaken {
            requests(stream, connection, service, limits, stop).await;
        },
        () = stopped(stop.clone()) => {}
    }
}

async fn requests<S>(
    stream: S,
    connection: Connection,
    service: Arc<Service>,
    limits: Limits,
    stop: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let serve = service_fn(move |request| {
        let service = service.clone();
        async move { service.respond(request, connection).await }
    });
    let mut requests = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.idle_timeout)
            .serve_connection(TokioIo::new(stream), serve)
    );
    let ended = tokio::select! {
        ended = requests.as_mut() => ended,
        () = stopped(stop) => {
            // After the response in progress.
            requests.as_mut().graceful_shutdown();
            requests.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(peer = ?connection.peer, "a connection has failed: {error}");
    }
}
