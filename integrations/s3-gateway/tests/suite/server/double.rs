//! A service that does what the tests of the server need, and the server around it.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use s3s::dto::*;
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use sealstone_s3_gateway::config::AccessKeys;
use sealstone_s3_gateway::connection::Connection;
use sealstone_s3_gateway::server::{AccessLogTarget, Ended, Handle, Limits, Server, Settings};
use tokio::sync::Notify;

use super::client::{ID, SECRET};

/// Answers by the object's key.
#[derive(Debug, Default)]
pub(crate) struct Double {
    /// Lets `waits` go on.
    pub(crate) go: Notify,
    /// Set when a body that was being uploaded has failed.
    pub(crate) failed: AtomicBool,
}

/// The bytes of `large`.
pub(crate) const LARGE: usize = 64 << 20;

fn body(
    len: usize,
    chunks: impl Stream<Item = Result<Bytes, std::io::Error>> + Send + Sync + 'static,
) -> S3Result<S3Response<GetObjectOutput>> {
    Ok(S3Response::new(GetObjectOutput {
        body: Some(StreamingBlob::wrap(chunks)),
        content_length: Some(i64::try_from(len).unwrap()),
        ..Default::default()
    }))
}

#[derive(Clone)]
struct Service(Arc<Double>);

#[async_trait::async_trait]
impl S3 for Service {
    async fn list_buckets(&self, _: S3Request<ListBucketsInput>) -> S3Result<S3Response<ListBucketsOutput>> {
        Ok(S3Response::new(ListBucketsOutput::default()))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        const CHUNK: Bytes = Bytes::from_static(&[7; 1 << 16]);
        let double = self.0.clone();
        match &*request.input.key {
            "fails" => body(
                2 * CHUNK.len(),
                later([Ok(CHUNK), Err(std::io::Error::other("a chunk is corrupted"))]),
            ),
            "fails-at-once" => body(
                CHUNK.len(),
                stream::iter([Err(std::io::Error::other("a chunk is corrupted"))]),
            ),
            "ends-early" => body(2 * CHUNK.len(), later([Ok(CHUNK)])),
            "panics" => panic!("hunter2"),
            "panics-later" => {
                let chunks = later([Some(CHUNK), None]).map(|chunk| Ok(chunk.expect("hunter2")));
                body(2 * CHUNK.len(), chunks)
            }
            "large" => body(LARGE, stream::repeat_with(|| Ok(CHUNK)).take(LARGE / CHUNK.len())),
            "waits" => {
                let rest = stream::once(async move {
                    double.go.notified().await;
                    Ok(CHUNK)
                });
                body(2 * CHUNK.len(), stream::iter([Ok(CHUNK)]).chain(Exclusive::new(rest)))
            }
            "connection" => {
                let connection = request.extensions.get::<Connection>().unwrap();
                let text = Bytes::from(connection.encrypted.to_string());
                body(text.len(), stream::iter([Ok(text)]))
            }
            "bucket" => {
                let text = Bytes::from(request.input.bucket);
                body(text.len(), stream::iter([Ok(text)]))
            }
            _ => Err(s3_error!(NoSuchKey)),
        }
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let mut body = request.input.body.unwrap();
        while let Some(chunk) = body.next().await {
            if chunk.is_err() {
                self.0.failed.store(true, Ordering::SeqCst);
                return Err(s3_error!(RequestTimeout));
            }
        }
        let output = PutObjectOutput {
            server_side_encryption: Some(ServerSideEncryption::from_static(ServerSideEncryption::AES256)),
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }
}

/// Items with time between them, in which the server sends what it has.
fn later<T: Send + 'static>(items: impl IntoIterator<Item = T>) -> impl Stream<Item = T> + Send + Sync + 'static {
    let items: Vec<_> = items.into_iter().collect();
    Exclusive::new(stream::iter(items).then(|item| async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        item
    }))
}

/// A stream that is used by one task at a time.
struct Exclusive<S>(Mutex<Pin<Box<S>>>);

impl<S> Exclusive<S> {
    fn new(stream: S) -> Self {
        Self(Mutex::new(Box::pin(stream)))
    }
}

impl<S: Stream> Stream for Exclusive<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<S::Item>> {
        self.0.lock().unwrap().as_mut().poll_next(context)
    }
}

/// A server in this process.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) handle: Handle,
    pub(crate) double: Arc<Double>,
    pub(crate) thread: Option<JoinHandle<Ended>>,
    directory: tempfile::TempDir,
}

pub(crate) fn settings() -> Settings {
    Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        admin_listen: Some("127.0.0.1:0".parse().unwrap()),
        tls: None,
        trust_forwarded_proto: false,
        domains: Vec::new(),
        access_log: AccessLogTarget::Off,
        limits: Limits {
            idle_timeout: Duration::from_secs(20),
            stall_timeout: Duration::from_secs(20),
            shutdown_timeout: Duration::from_secs(20),
            ..Limits::default()
        },
    }
}

impl Running {
    pub(crate) fn start(change: impl FnOnce(&mut Settings)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = settings();
        settings.access_log = AccessLogTarget::File(directory.path().join("access"));
        change(&mut settings);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let server = runtime
            .block_on(Server::bind(settings, AccessKeys::one(ID, SECRET)))
            .unwrap();
        let double = Arc::<Double>::default();
        let service = S3ServiceBuilder::new(Service(double.clone()));
        Self {
            address: server.address().unwrap(),
            admin: server.admin_address().unwrap(),
            handle: server.handle(),
            double,
            thread: Some(std::thread::spawn(move || {
                let ended = runtime.block_on(server.serve(service)).unwrap();
                runtime.shutdown_background();
                ended
            })),
            directory,
        }
    }

    /// Ends the server, and returns how it ended, and the access log.
    pub(crate) fn end(mut self) -> (Ended, Vec<serde_json::Value>) {
        self.handle.shut_down();
        let ended = self.thread.take().unwrap().join().unwrap();
        (ended, self.log())
    }

    pub(crate) fn log(&self) -> Vec<serde_json::Value> {
        let log = std::fs::read_to_string(self.directory.path().join("access")).unwrap();
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
