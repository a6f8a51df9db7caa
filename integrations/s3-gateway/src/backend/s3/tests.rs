//! What no well-behaved store does, from a server that does as it is told.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_sdk_s3::config::Credentials;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::probe::Probe;
use super::*;

const IDLE: Duration = Duration::from_millis(500);
const LARGE: usize = 8 << 20;

/// What the server does with a request.
#[derive(Debug, Clone)]
enum Step {
    /// Reads it, responds, and closes the connection.
    Respond(String),
    /// Responds before it reads the body.
    RespondEarly(String),
    /// Reads the head, sends this, and then does nothing.
    Hang(String),
    /// Reads the head, sends this, and resets the connection.
    Reset(String),
}

/// Takes a step for each request; the last one is repeated.
struct Server {
    store: S3Backend,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let builder = Builder::new()
            .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .endpoint_url(format!("http://{}", listener.local_addr().unwrap()));
        let config = S3Config {
            idle_timeout: IDLE,
            move_timeout: IDLE,
            ..S3Config::default()
        };
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        tokio::spawn(async move {
            for number in 0.. {
                let (connection, _) = listener.accept().await.unwrap();
                let step = steps[number.min(steps.len() - 1)].clone();
                tokio::spawn(serve(connection, step, Arc::clone(&seen)));
            }
        });
        Self {
            store: S3Backend::with(builder, "us-east-1", true, &config),
            heads,
        }
    }

    async fn responding(response: &str) -> Self {
        Self::start(vec![Step::Respond(response.to_owned())]).await
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn serve(mut connection: TcpStream, step: Step, seen: Arc<Mutex<Vec<String>>>) {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end + 4;
        }
        if connection.read_buf(&mut read).await.unwrap() == 0 {
            return;
        }
    };
    let head = String::from_utf8(read[..end].to_vec()).unwrap().to_lowercase();
    let len = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let len: usize = len.map_or(0, |len| len.parse().unwrap());
    seen.lock().unwrap().push(head);
    match step {
        Step::Respond(response) => {
            let mut left = len - (read.len() - end);
            let mut bytes = vec![0; 1 << 16];
            while left > 0 {
                match connection.read(&mut bytes).await {
                    Ok(0) | Err(_) => return,
                    Ok(read) => left -= read,
                }
            }
            connection.write_all(response.as_bytes()).await.unwrap();
            connection.shutdown().await.unwrap();
        }
        Step::RespondEarly(response) => {
            connection.write_all(response.as_bytes()).await.unwrap();
            tokio::time::sleep(IDLE / 2).await;
        }
        Step::Hang(sent) => {
            connection.write_all(sent.as_bytes()).await.unwrap();
            tokio::time::sleep(20 * IDLE).await;
        }
        Step::Reset(sent) => {
            connection.write_all(sent.as_bytes()).await.unwrap();
            tokio::time::sleep(IDLE / 4).await;
            connection.set_zero_linger().unwrap();
        }
    }
}

fn response(status: &str, headers: &[&str], body: &str) -> String {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let len = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\nConnection: close\r\n{headers}\r\n{body}")
}

fn refusal(status: &str, code: &str) -> String {
    response(
        status,
        &[],
        &format!("<Error><Code>{code}</Code><Message>no</Message></Error>"),
    )
}

fn part(content_range: &str, body: &str) -> String {
    response(
        "206 Partial Content",
        &["ETag: \"a\"", &format!("Content-Range: {content_range}")],
        body,
    )
}

fn at() -> Location {
    Location::new("bucket", "key")
}

fn body(len: usize) -> Body {
    let piece = Bytes::from(vec![7; len.min(1 << 16)]);
    Body {
        len: len as u64,
        bytes: stream::iter((0..len.div_ceil(1 << 16)).map(move |_| Ok(piece.clone()))).boxed(),
    }
}

async fn put(store: &S3Backend, len: usize, condition: Condition) -> Result<String, BackendError> {
    store
        .put(&at(), body(len), Attributes::default(), Tags::new(), condition)
        .await
}

async fn get(store: &S3Backend, range: StoredRange) -> Result<Bytes, String> {
    let found = store
        .get(&at(), range, Some("a"))
        .await
        .map_err(|error| format!("{error:?}"))?;
    let read = found
        .bytes
        .try_collect::<Vec<_>>()
        .await
        .map_err(|error| format!("{error:?}"))?;
    Ok(read.concat().into())
}

#[tokio::test]
async fn another_range_length_or_version_is_an_error() {
    let range = || StoredRange::Bytes(5..10);
    let right = Server::responding(&part("bytes 5-9/20", "56789")).await;
    assert_eq!(get(&right.store, range()).await.unwrap(), "56789");
    for wrong in [
        part("bytes 6-10/20", "67890"),
        part("bytes 5-9/20", "5678"),
        part("bytes 5-10/20", "567890"),
        part("bytes 5-8/20", "5678"),
        part("bytes 5-9/*", "56789"),
        part("bytes 5-9/8", "56789"),
        part("5-9", "56789"),
        response("206 Partial Content", &["ETag: \"a\""], "56789"),
        response("200 OK", &["ETag: \"a\""], "01234567890123456789"),
        response(
            "206 Partial Content",
            &["ETag: \"b\"", "Content-Range: bytes 5-9/20"],
            "56789",
        ),
        response("206 Partial Content", &["Content-Range: bytes 5-9/20"], "56789"),
    ] {
        let server = Server::responding(&wrong).await;
        let refused = get(&server.store, range()).await.unwrap_err();
        assert!(refused.starts_with("Other"), "{wrong}: {refused}");
    }
    let suffix = Server::responding(&part("bytes 0-4/20", "01234")).await;
    assert!(
        get(&suffix.store, StoredRange::Suffix(5))
            .await
            .unwrap_err()
            .starts_with("Other")
    );
    // The object is long enough.
    let empty = Server::start(vec![
        Step::Respond(refusal("416 Requested Range Not Satisfiable", "InvalidRange")),
        Step::Respond("HTTP/1.1 200 OK\r\nContent-Length: 20\r\nETag: \"a\"\r\nConnection: close\r\n\r\n".to_owned()),
    ]);
    assert!(get(&empty.await.store, range()).await.unwrap_err().starts_with("Other"));
}

#[tokio::test]
async fn a_response_that_breaks_off_is_an_error() {
    let whole = part("bytes 5-9/20", "56789");
    let cut = || whole[..whole.len() - 2].to_owned();
    for step in [Step::Respond(cut()), Step::Reset(cut()), Step::Hang(cut())] {
        let server = Server::start(vec![step.clone()]).await;
        let began = Instant::now();
        let broken = get(&server.store, StoredRange::Bytes(5..10)).await.unwrap_err();
        assert!(broken.contains("Custom"), "{step:?}: {broken}");
        assert!(began.elapsed() < 4 * IDLE);
    }
}

#[tokio::test]
async fn a_store_that_hangs_is_unavailable() {
    let hanging = Server::start(vec![Step::Hang(String::new())]).await;
    let began = Instant::now();
    let heads = hanging.store.head(&at()).await;
    assert!(matches!(heads, Err(BackendError::Unavailable(_))), "{heads:?}");
    for len in [0, 100, LARGE] {
        let stored = put(&hanging.store, len, Condition::Absent).await;
        assert!(matches!(stored, Err(BackendError::Unavailable(_))), "{stored:?}");
    }
    let completed = hanging
        .store
        .complete_upload(&at(), "upload", &[], Condition::None)
        .await;
    assert!(matches!(completed, Err(BackendError::Unavailable(_))), "{completed:?}");
    assert!(began.elapsed() < 12 * IDLE, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_connection_that_breaks_is_unavailable() {
    let broken = Server::start(vec![Step::Reset(String::new())]).await;
    for len in [100, LARGE] {
        let stored = put(&broken.store, len, Condition::None).await;
        assert!(matches!(stored, Err(BackendError::Unavailable(_))), "{stored:?}");
    }
    assert!(matches!(
        broken.store.buckets().await,
        Err(BackendError::Unavailable(_))
    ));
}

#[tokio::test]
async fn a_slow_client_is_no_failure_of_the_store() {
    let pieces = |pieces: usize| {
        stream::iter(0..pieces).then(|_| async {
            tokio::time::sleep(IDLE + IDLE / 2).await;
            Ok(Bytes::from(vec![7; 50_000]))
        })
    };
    let server = Server::responding(&response("200 OK", &["ETag: \"a\""], "")).await;
    let slow = Body {
        len: 150_000,
        bytes: pieces(3).boxed(),
    };
    let stored = server
        .store
        .put(&at(), slow, Attributes::default(), Tags::new(), Condition::None)
        .await;
    assert_eq!(stored.unwrap(), "a");

    let server = Server::responding(&response("200 OK", &["ETag: \"a\""], &"x".repeat(LARGE))).await;
    let found = server
        .store
        .get(&at(), StoredRange::Bytes(0..u64::MAX), None)
        .await
        .unwrap();
    let read = found.bytes.enumerate().then(|(number, piece)| async move {
        if number < 3 {
            tokio::time::sleep(IDLE + IDLE / 2).await;
        }
        piece
    });
    let read = read
        .try_fold(0, |sum, piece| async move { Ok(sum + piece.len()) })
        .await;
    assert_eq!(read.unwrap(), LARGE);
}

#[tokio::test]
async fn a_response_before_the_last_byte_stores_nothing() {
    let server = Server::start(vec![Step::RespondEarly(response("200 OK", &["ETag: \"a\""], ""))]).await;
    let stored = put(&server.store, LARGE, Condition::None).await;
    assert!(
        matches!(stored, Err(BackendError::Other(_) | BackendError::Unavailable(_))),
        "{stored:?}"
    );
}

#[tokio::test]
async fn refusals_have_their_meaning() {
    type Check = fn(&BackendError) -> bool;
    let refusals: [(&str, &str, usize, Check); 15] = [
        ("400 Bad Request", "EntityTooLarge", 1, |error| {
            matches!(error, BackendError::TooLarge(_))
        }),
        ("400 Bad Request", "MetadataTooLarge", 1, |error| {
            matches!(error, BackendError::MetadataTooLarge(_))
        }),
        ("431 Request Header Fields Too Large", "Whatever", 1, |error| {
            matches!(error, BackendError::MetadataTooLarge(_))
        }),
        ("503 Slow Down", "SlowDown", 3, |error| {
            matches!(error, BackendError::Throttled(_))
        }),
        ("503 Service Unavailable", "ServiceUnavailable", 3, |error| {
            matches!(error, BackendError::Unavailable(_))
        }),
        ("500 Internal Server Error", "InternalError", 3, |error| {
            matches!(error, BackendError::Unavailable(_))
        }),
        ("429 Too Many Requests", "Whatever", 1, |error| {
            matches!(error, BackendError::Throttled(_))
        }),
        ("501 Not Implemented", "NotImplemented", 1, |error| {
            matches!(error, BackendError::Unsupported(_))
        }),
        ("403 Forbidden", "AccessDenied", 1, |error| {
            matches!(error, BackendError::Denied(_))
        }),
        ("403 Forbidden", "SignatureDoesNotMatch", 1, |error| {
            matches!(error, BackendError::Denied(_))
        }),
        ("507 Insufficient Storage", "XMinioStorageFull", 1, |error| {
            matches!(error, BackendError::Full)
        }),
        ("403 Forbidden", "QuotaExceeded", 1, |error| {
            matches!(error, BackendError::Full)
        }),
        ("400 Bad Request", "KeyTooLongError", 1, |error| {
            matches!(error, BackendError::InvalidName(_))
        }),
        ("404 Not Found", "NoSuchBucket", 1, |error| {
            matches!(error, BackendError::NoSuchBucket)
        }),
        ("400 Bad Request", "Whatever", 1, |error| {
            matches!(error, BackendError::Other(_))
        }),
    ];
    for (status, code, attempts, meaning) in refusals {
        let server = Server::responding(&refusal(status, code)).await;
        let found = server.store.get(&at(), StoredRange::Bytes(0..5), None).await;
        let error = found.unwrap_err();
        assert!(meaning(&error), "{code}: {error:?}");
        assert_eq!(server.heads().len(), attempts, "{code}");
    }
}

#[tokio::test]
async fn only_what_can_be_repeated_is_sent_again() {
    let busy = || Step::Respond(refusal("503 Slow Down", "SlowDown"));
    let stored = || Step::Respond(response("200 OK", &["ETag: \"a\""], ""));
    let server = Server::start(vec![busy(), busy(), stored()]).await;
    assert_eq!(put(&server.store, 100, Condition::None).await.unwrap(), "a");
    for (len, condition) in [
        (100, Condition::Absent),
        (100, Condition::Match("a".to_owned())),
        (LARGE, Condition::None),
    ] {
        let server = Server::start(vec![busy(), stored()]).await;
        let refused = put(&server.store, len, condition).await;
        assert!(matches!(refused, Err(BackendError::Throttled(_))), "{refused:?}");
        assert_eq!(server.heads().len(), 1);
    }
    let server = Server::start(vec![busy(), stored()]).await;
    let refused = server
        .store
        .complete_upload(&at(), "upload", &[], Condition::None)
        .await;
    assert!(matches!(refused, Err(BackendError::Throttled(_))), "{refused:?}");
    assert_eq!(server.heads().len(), 1);
}

#[tokio::test]
async fn an_error_with_status_200_is_an_error() {
    let server = Server::responding(&refusal("200 OK", "SlowDown")).await;
    let copied = server
        .store
        .copy(&at(), "a", &at(), Attributes::default(), None, Condition::None)
        .await;
    assert!(copied.is_err(), "{copied:?}");
    let completed = server
        .store
        .complete_upload(&at(), "upload", &[], Condition::None)
        .await;
    assert!(completed.is_err(), "{completed:?}");
    for wrong in ["", "<CopyObjectResult></CopyObjectResult>"] {
        let server = Server::responding(&response("200 OK", &[], wrong)).await;
        let copied = server
            .store
            .copy(&at(), "a", &at(), Attributes::default(), None, Condition::None)
            .await;
        assert!(copied.is_err(), "{copied:?}");
        assert!(put(&server.store, 100, Condition::None).await.is_err());
    }
}

#[tokio::test]
async fn bodies_have_their_length_and_nothing_that_stores_refuse() {
    let server = Server::responding(&response("200 OK", &["ETag: \"a\""], "")).await;
    for len in [0, 100, LARGE] {
        put(&server.store, len, Condition::Absent).await.unwrap();
        server.store.put_part(&at(), "upload", 1, body(len)).await.unwrap();
        for head in server.heads() {
            assert!(head.contains(&format!("\r\ncontent-length: {len}\r\n")), "{head}");
            assert!(
                head.contains("\r\nx-amz-content-sha256: unsigned-payload\r\n"),
                "{head}"
            );
            for refused in ["chunked", "checksum", "trailer"] {
                assert!(!head.contains(refused), "{head}");
            }
        }
        server.heads.lock().unwrap().clear();
    }
}

#[tokio::test]
async fn more_than_5_gib_are_copied_in_parts() {
    const LEN: u64 = (6 << 30) + 12_345;
    let found = format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\nETag: \"a\"\r\nConnection: close\r\n\r\n");
    let xml = |name: &str, inner: &str| Step::Respond(response("200 OK", &[], &format!("<{name}>{inner}</{name}>")));
    let mut steps = vec![
        Step::Respond(refusal("400 Bad Request", "InvalidRequest")),
        Step::Respond(found.clone()),
        Step::Respond(found),
        xml("Tagging", "<TagSet><Tag><Key>a</Key><Value>b c</Value></Tag></TagSet>"),
        xml("InitiateMultipartUploadResult", "<UploadId>upload</UploadId>"),
    ];
    steps.extend((0..7).map(|_| xml("CopyPartResult", "<ETag>\"part\"</ETag>")));
    steps.push(xml("CompleteMultipartUploadResult", "<ETag>\"whole-7\"</ETag>"));
    let server = Server::start(steps).await;
    let to = Location::new("other", "to");
    let copied = server
        .store
        .copy(&at(), "a", &to, Attributes::default(), None, Condition::None)
        .await;
    assert_eq!(copied.unwrap(), "whole-7");
    let heads = server.heads();
    assert_eq!(heads.len(), 13);
    assert!(heads[4].contains("x-amz-tagging: a=b%20c\r\n"), "{}", heads[4]);
    let mut copied = 0;
    for head in &heads[5..12] {
        assert!(head.contains("x-amz-copy-source-if-match: \"a\"\r\n"), "{head}");
        let range = head
            .lines()
            .find_map(|line| line.strip_prefix("x-amz-copy-source-range: bytes="));
        let (first, last) = range.unwrap().split_once('-').unwrap();
        copied += last.parse::<u64>().unwrap() + 1 - first.parse::<u64>().unwrap();
    }
    assert_eq!(copied, LEN);
}

#[tokio::test]
async fn a_copy_that_is_refused_is_not_tried_in_parts() {
    let found = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"a\"\r\nConnection: close\r\n\r\n".to_owned();
    let server = Server::start(vec![
        Step::Respond(refusal("400 Bad Request", "InvalidRequest")),
        Step::Respond(found),
    ]);
    let server = server.await;
    let to = Location::new("other", "to");
    let copied = server
        .store
        .copy(&at(), "a", &to, Attributes::default(), None, Condition::None)
        .await;
    assert!(matches!(copied, Err(BackendError::Other(_))), "{copied:?}");
    assert_eq!(server.heads().len(), 2);
}

#[tokio::test]
async fn a_listing_that_makes_no_sense_is_an_error() {
    let object = |key: &str| format!("<Contents><Key>{key}</Key><ETag>\"a\"</ETag><Size>1</Size></Contents>");
    let group = |name: &str| format!("<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>");
    let list = async |inner: &str| {
        let listing = format!("<ListBucketResult><EncodingType>url</EncodingType>{inner}</ListBucketResult>");
        let server = Server::responding(&response("200 OK", &[], &listing)).await;
        let request = ListRequest {
            prefix: "p/".to_owned(),
            token: Some("4:p/%0token".to_owned()),
            max: 2,
            ..ListRequest::default()
        };
        server.store.list("bucket", &request).await
    };
    assert_eq!(list(&object("p/%25a+b")).await.unwrap().objects[0].key, "p/%a b");
    for wrong in [
        object("other"),
        object("p/%ff"),
        "<Contents><Key>p/a</Key><Size>1</Size></Contents>".to_owned(),
        "<Contents><Key>p/a</Key><ETag>\"a\"</ETag></Contents>".to_owned(),
        "<Contents><Key>p/a</Key><ETag>\"a\"</ETag><Size>-1</Size></Contents>".to_owned(),
        group("q/"),
        object("p/b") + &object("p/a"),
        object("p/a") + &object("p/a"),
        group("p/b/") + &group("p/a/"),
        group("p/a/") + &group("p/a/"),
        object("p/a") + &object("p/b") + &object("p/c"),
        object("p/a") + &object("p/b") + &group("p/c/"),
        // Not after the last page.
        object("p/"),
        object("p/%250"),
        group("p/!/"),
        "<IsTruncated>true</IsTruncated>".to_owned(),
        object("p/a") + "<IsTruncated>true</IsTruncated>",
        object("p/a") + "<IsTruncated>true</IsTruncated><NextContinuationToken>token</NextContinuationToken>",
        "<IsTruncated>true</IsTruncated><NextContinuationToken>new</NextContinuationToken>".to_owned(),
        "<IsTruncated>true</IsTruncated><NextContinuationToken>token</NextContinuationToken>".to_owned(),
    ] {
        let listed = list(&wrong).await;
        assert!(matches!(listed, Err(BackendError::Other(_))), "{wrong}: {listed:?}");
    }
}

#[tokio::test]
async fn uploads_in_progress_are_listed_page_by_page() {
    let page = |inner: &str| {
        let listing =
            format!("<ListMultipartUploadsResult><EncodingType>url</EncodingType>{inner}</ListMultipartUploadsResult>");
        Step::Respond(response("200 OK", &[], &listing))
    };
    let upload =
        |key: &str, id: &str, began: &str| format!("<Upload><Key>{key}</Key><UploadId>{id}</UploadId>{began}</Upload>");
    let began = "<Initiated>2026-01-01T00:00:00.000Z</Initiated>";
    let next = "<IsTruncated>true</IsTruncated><NextKeyMarker>a%25</NextKeyMarker>\
                <NextUploadIdMarker>1</NextUploadIdMarker>";
    let first = page(&format!("{}{next}", upload("a%25", "1", began)));
    let server = Server::start(vec![first.clone(), page(&upload("b", "2", ""))]).await;
    let uploads = server.store.uploads("bucket").await.unwrap();
    let names: Vec<_> = uploads.iter().map(|upload| (&*upload.key, &*upload.id)).collect();
    assert_eq!(names, [("a%", "1"), ("b", "2")]);
    assert_eq!(
        uploads[0].began,
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600)
    );
    // It does not say when the other one began: never long ago.
    assert!(uploads[1].began.elapsed().unwrap() < Duration::from_secs(600));
    let asked = &server.heads()[1];
    assert!(
        asked.contains("key-marker=a%25") && asked.contains("upload-id-marker=1"),
        "{asked}"
    );

    let server = Server::start(vec![first]).await;
    let endless = server.store.uploads("bucket").await;
    assert!(matches!(endless, Err(BackendError::Other(_))), "{endless:?}");
}

#[tokio::test]
async fn a_token_that_the_store_did_not_return_is_refused() {
    let server = Server::responding(&response("200 OK", &[], "<ListBucketResult></ListBucketResult>")).await;
    for wrong in ["", "token", ":a", "-1:a", "2:a", "1:\u{e9}", "18446744073709551616:a"] {
        let request = ListRequest {
            token: Some(wrong.to_owned()),
            max: 10,
            ..ListRequest::default()
        };
        let listed = server.store.list("bucket", &request).await;
        assert!(
            matches!(listed, Err(BackendError::InvalidName(_))),
            "{wrong:?}: {listed:?}"
        );
    }
    assert_eq!(server.heads(), Vec::<String>::new());
}

/// Some stores go on after the key "photos/", which is before all keys of the group.
#[tokio::test]
async fn a_listing_that_begins_after_a_group_does_not_repeat_it() {
    let page = |group: &str, rest: &str| {
        let group = format!("<CommonPrefixes><Prefix>{group}</Prefix></CommonPrefixes>");
        Step::Respond(response(
            "200 OK",
            &[],
            &format!("<ListBucketResult>{group}{rest}</ListBucketResult>"),
        ))
    };
    let goes_on = "<IsTruncated>true</IsTruncated><NextContinuationToken>next</NextContinuationToken>";
    let request = |start_after: &str| ListRequest {
        delimiter: Some("/".to_owned()),
        start_after: Some(start_after.to_owned()),
        max: 1,
        ..ListRequest::default()
    };
    let server = Server::start(vec![page("photos/", goes_on), page("texts/", "")]).await;
    let found = server.store.list("bucket", &request("photos/")).await.unwrap();
    assert_eq!((found.prefixes, found.next), (vec!["texts/".to_owned()], None));
    let heads = server.heads();
    assert!(heads[0].contains("start-after=photos%2f%f4%8f%bf%bf"), "{}", heads[0]);
    assert!(heads[1].contains("continuation-token=next"), "{}", heads[1]);

    // Without an end.
    let server = Server::start(vec![page("photos/", goes_on)]).await;
    let endless = server.store.list("bucket", &request("photos/")).await;
    assert!(matches!(endless, Err(BackendError::Other(_))), "{endless:?}");
    assert_eq!(server.heads().len(), 2);

    // In the middle of a group, the rest is the group.
    let server = Server::start(vec![page("photos/", "")]).await;
    let found = server.store.list("bucket", &request("photos/cat")).await.unwrap();
    assert_eq!(found.prefixes, ["photos/"]);
    let head = &server.heads()[0];
    assert!(
        head.contains("start-after=photos%2fcat") && !head.contains("%f4"),
        "{head}"
    );
}

#[tokio::test]
async fn a_list_of_buckets_without_an_end_is_an_error() {
    let page = "<ListAllMyBucketsResult><Buckets><Bucket><Name>abc</Name></Bucket></Buckets>\
                <ContinuationToken>next</ContinuationToken></ListAllMyBucketsResult>";
    let server = Server::responding(&response("200 OK", &[], page)).await;
    let listed = server.store.buckets().await;
    assert!(matches!(listed, Err(BackendError::Other(_))), "{listed:?}");
    assert_eq!(server.heads().len(), 2);
}

#[tokio::test]
async fn more_than_5_gib_are_refused_before_the_first_byte() {
    let server = Server::responding(&response("200 OK", &["ETag: \"a\""], "")).await;
    let large = || Body {
        len: (5 << 30) + 1,
        bytes: stream::pending().boxed(),
    };
    let attributes = Attributes::default();
    let stored = server
        .store
        .put(&at(), large(), attributes, Tags::new(), Condition::None)
        .await;
    assert!(matches!(stored, Err(BackendError::TooLarge(_))), "{stored:?}");
    let stored = server.store.put_part(&at(), "upload", 1, large()).await;
    assert!(matches!(stored, Err(BackendError::TooLarge(_))), "{stored:?}");
    assert_eq!(server.heads(), Vec::<String>::new());
}

#[tokio::test]
async fn the_probe_tries_a_copy_onto_itself_with_another_etag() {
    let head = || Step::Respond(response("200 OK", &["ETag: \"a\""], ""));
    let done = "<CopyObjectResult><ETag>\"a\"</ETag></CopyObjectResult>";
    for (copied, holds) in [
        (refusal("412 Precondition Failed", "PreconditionFailed"), true),
        (refusal("501 Not Implemented", "NotImplemented"), false),
        (response("200 OK", &[], done), false),
    ] {
        let server = Server::start(vec![head(), Step::Respond(copied)]).await;
        let probe = Probe::new(&server.store, "bucket").unwrap();
        assert_eq!(probe.holds(Requirement::SelfCopyIfMatch).await.unwrap(), holds);
        let sent = &server.heads()[1];
        assert!(sent.contains("\r\nx-amz-copy-source-if-match: \"a\"\r\n"), "{sent}");
        assert!(
            sent.contains(&format!("\r\nif-match: \"{}\"\r\n", "0".repeat(32))),
            "{sent}"
        );
    }
}

/// On a store that copies without the condition, a version that is put meanwhile would be undone.
#[tokio::test]
async fn a_copy_onto_itself_is_conditional_on_every_store_that_can() {
    let xml = |name: &str, inner: &str| Step::Respond(response("200 OK", &[], &format!("<{name}>{inner}</{name}>")));
    let found = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"a\"\r\nConnection: close\r\n\r\n".to_owned();
    let copy = async |server: &Server| {
        let (at, tags) = (at(), Some(Tags::new()));
        let copied = server
            .store
            .copy(&at, "a", &at, Attributes::default(), tags, Condition::None);
        copied.await
    };
    let begun = [
        Step::Respond(found),
        xml("InitiateMultipartUploadResult", "<UploadId>upload</UploadId>"),
        xml("CopyPartResult", "<ETag>\"part\"</ETag>"),
    ];
    let mut steps = begun.to_vec();
    steps.push(xml("CompleteMultipartUploadResult", "<ETag>\"a-1\"</ETag>"));
    let server = Server::start(steps).await;
    server.store.lacks.set(vec![Requirement::SelfCopyIfMatch]).unwrap();
    assert_eq!(copy(&server).await.unwrap(), "a-1");
    let heads = server.heads();
    assert!(
        heads[2].contains("x-amz-copy-source-if-match: \"a\"\r\n"),
        "{}",
        heads[2]
    );
    assert!(
        heads[3].starts_with("post ") && heads[3].contains("\r\nif-match: \"a\"\r\n"),
        "{}",
        heads[3]
    );

    // Another version has been put meanwhile.
    let mut steps = begun.to_vec();
    steps.push(Step::Respond(refusal("412 Precondition Failed", "PreconditionFailed")));
    let server = Server::start(steps).await;
    server.store.lacks.set(vec![Requirement::SelfCopyIfMatch]).unwrap();
    assert!(matches!(copy(&server).await, Err(BackendError::Precondition)));

    let server = Server::start(vec![xml("CopyObjectResult", "<ETag>\"a\"</ETag>")]).await;
    server.store.lacks.set(vec![]).unwrap();
    assert_eq!(copy(&server).await.unwrap(), "a");
    let heads = server.heads();
    assert!(heads[0].contains("\r\nif-match: \"a\"\r\n"), "{}", heads[0]);
    assert_eq!(heads.len(), 1);
}
