//! What a request gets: signatures, refusals, ids, the access log, metrics.

use std::io::{Read, Write};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::client::{Call, Reply, connect, send};
use super::double::{LARGE, Running};

#[test]
fn only_signed_requests_are_served_and_each_response_has_its_own_id() {
    let server = Running::start(|_| {});
    let list = Call::new("GET", "/");
    let mut ids = Vec::new();
    for (request, status, code) in [
        (list.signed(), 200, ""),
        (list.presigned(), 200, ""),
        (list.anonymous(), 403, "AccessDenied"),
        (list.clone().secret("another").signed(), 403, "SignatureDoesNotMatch"),
        (
            Call {
                id: "AKIDUNKNOWN",
                ..list.clone()
            }
            .signed(),
            403,
            "InvalidAccessKeyId",
        ),
        (Call::new("GET", "/buck/missing").signed(), 404, "NoSuchKey"),
        (Call::new("HEAD", "/buck/missing").anonymous(), 403, ""),
    ] {
        let reply = send(server.address, &request);
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{reply:?}");
        let id = reply.header("x-amz-request-id").unwrap();
        assert_eq!(id.len(), 16);
        let in_text = status != 200 && !request.starts_with(b"HEAD");
        assert_eq!(reply.text().contains(&format!("<RequestId>{id}</RequestId>")), in_text);
        ids.push(id.to_owned());
    }
    let logged: Vec<_> = server.end().1;
    let logged: Vec<_> = logged.iter().map(|line| line["request"].as_str().unwrap()).collect();
    assert_eq!(logged, ids);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 7);
}

#[test]
fn what_must_not_reach_the_service_is_refused() {
    let server = Running::start(|_| {});
    let key = "x-amz-server-side-encryption-customer-key";
    let get = Call::new("GET", "/buck/bucket");
    let v2 = "AWSAccessKeyId=AKIDEXAMPLE&Expires=4102444800&Signature=c2ln";
    for (request, status, code) in [
        (
            get.clone().query(&format!("{key}=a2V5")).signed(),
            400,
            "InvalidArgument",
        ),
        (
            get.clone().query("X-AMZ-Server-Side-Encryption=AES256").anonymous(),
            400,
            "InvalidArgument",
        ),
        (get.clone().query(v2).anonymous(), 400, "InvalidRequest"),
        (
            get.clone()
                .unsigned("authorization", "AWS AKIDEXAMPLE:c2ln")
                .anonymous(),
            400,
            "InvalidRequest",
        ),
        (get.clone().unsigned(key, "a2V5").signed(), 403, "AccessDenied"),
        (get.clone().unsigned(key, "a2V5").presigned(), 403, "AccessDenied"),
        (
            get.clone().unsigned("x-amz-copy-source", "/buck/other").presigned(),
            403,
            "AccessDenied",
        ),
        (get.clone().header(key, "a2V5").signed(), 200, ""),
        (get.clone().header(key, "a2V5").presigned(), 200, ""),
        (get.unsigned("x-amz-user-agent", "browser").presigned(), 200, ""),
    ] {
        let reply = send(server.address, &request);
        let text = String::from_utf8_lossy(&request).into_owned();
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{text}{reply:?}");
    }
}

#[test]
fn the_access_log_has_a_line_for_each_request() {
    let server = Running::start(|_| {});
    let put = Call::new("PUT", "/photos/2026/a%20cat.png").body(&[1; 1000]);
    assert_eq!(send(server.address, &put.signed()).status, 200);
    let missing = Call::new("GET", "/photos/none");
    assert_eq!(send(server.address, &missing.presigned()).status, 404);
    assert_eq!(send(server.address, &missing.clone().secret("x").signed()).status, 403);
    send(server.address, &Call::new("GET", "/photos/fails").signed());
    let (_, lines) = server.end();

    let put = &lines[0];
    assert_eq!(put["access_key"], "AKIDEXAMPLE");
    assert_eq!(
        (&put["method"], &put["operation"]),
        (&"PUT".into(), &"PutObject".into())
    );
    assert_eq!(
        (&put["bucket"], &put["key"]),
        (&"photos".into(), &"2026/a cat.png".into())
    );
    assert_eq!((&put["status"], &put["received"]), (&200.into(), &1000.into()));
    assert_eq!((&put["sse"], &put["complete"]), (&"AES256".into(), &true.into()));
    assert!(put["ms"].as_f64().unwrap() > 0.0 && put["peer"].as_str().unwrap().starts_with("127.0.0.1:"));

    let missing = &lines[1];
    assert_eq!(
        (&missing["status"], &missing["error"]),
        (&404.into(), &"NoSuchKey".into())
    );
    // The presigned query can be used by everyone who reads it.
    assert!(!missing.to_string().contains("Signature="));
    // Who it claims to be from is not who it is from.
    let refused = &lines[2];
    assert_eq!(
        (&refused["path"], &refused["access_key"]),
        (&"/photos/none".into(), &().into())
    );

    let aborted = &lines[3];
    assert_eq!((&aborted["status"], &aborted["complete"]), (&200.into(), &false.into()));
    assert_eq!(aborted["error"], "Aborted");
}

#[test]
fn health_and_metrics_are_on_an_address_of_their_own() {
    let server = Running::start(|_| {});
    send(server.address, &Call::new("GET", "/").signed());
    // A bucket's name, on the server's own address.
    assert_eq!(
        send(server.address, &Call::new("GET", "/-/healthy").anonymous()).status,
        400
    );
    let healthy = send(server.admin, &Call::new("GET", "/-/healthy").anonymous());
    assert_eq!((healthy.status, healthy.text().as_str()), (200, "healthy\n"));
    assert_eq!(send(server.admin, &Call::new("GET", "/").anonymous()).status, 404);
    let metrics = send(server.admin, &Call::new("GET", "/-/metrics").anonymous()).text();
    let count = "sealstone_gateway_requests_total{operation=\"ListBuckets\",status=\"200\"} 1";
    assert!(metrics.lines().any(|line| line == count), "{metrics}");
    assert!(
        metrics.contains("sealstone_gateway_request_seconds_bucket{le=\"+Inf\"} 2"),
        "{metrics}"
    );
}

#[test]
fn a_body_that_fails_in_its_middle_ends_the_connection() {
    let server = Running::start(|_| {});
    for key in ["fails", "ends-early", "panics-later"] {
        let request = Call::new("GET", &format!("/buck/{key}")).unsigned("connection", "keep-alive");
        let reply = send(server.address, &request.signed());
        assert_eq!((reply.status, reply.header("content-length")), (200, Some("131072")));
        assert!(reply.body.len() <= 65536, "{key}: {}", reply.body.len());
    }
    // Before anything is sent, the connection ends without a response.
    let mut stream = connect(server.address);
    stream
        .write_all(&Call::new("GET", "/buck/fails-at-once").signed())
        .unwrap();
    let _ = stream.read_to_end(&mut Vec::new()).map(|read| assert_eq!(read, 0));
    assert_eq!(send(server.address, &Call::new("GET", "/").signed()).status, 200);
}

#[test]
fn a_client_library_reports_a_body_that_fails_in_its_middle() {
    use http_body_util::{BodyExt, Empty};
    let server = Running::start(|_| {});
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let result = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
        let io = hyper_util::rt::TokioIo::new(stream);
        let (mut client, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
        tokio::spawn(connection);
        let signed = String::from_utf8(Call::new("GET", "/buck/fails").signed()).unwrap();
        let mut request = hyper::Request::get("/buck/fails");
        for (name, value) in signed.lines().skip(1).filter_map(|line| line.split_once(": ")) {
            request = request.header(name, value);
        }
        let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
        let response = client.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        response.into_body().collect().await
    });
    let error = format!("{:?}", result.unwrap_err());
    assert!(error.contains("UnexpectedEof"), "{error}");
}

#[test]
fn a_panic_is_a_500_and_the_server_goes_on() {
    let server = Running::start(|_| {});
    let reply = send(server.address, &Call::new("GET", "/buck/panics").signed());
    assert_eq!((reply.status, reply.code().as_str()), (500, "InternalError"));
    assert!(!reply.text().contains("hunter2"));
    assert_eq!(send(server.address, &Call::new("GET", "/").signed()).status, 200);
}

#[test]
fn a_refusal_reaches_a_client_that_still_sends_its_body() {
    let server = Running::start(|_| {});
    let put = Call::new("PUT", "/buck/k").body(&vec![1; 4 << 20]).secret("another");
    for _ in 0..5 {
        let reply = send(server.address, &put.signed());
        assert_eq!((reply.status, reply.code().as_str()), (403, "SignatureDoesNotMatch"));
    }
}

#[test]
fn a_refused_upload_that_waits_for_100_continue_is_not_asked_for() {
    let server = Running::start(|_| {});
    let put = Call::new("PUT", "/buck/k")
        .unsigned("expect", "100-continue")
        .unsigned("content-length", "1000");
    let reply = send(server.address, &put.clone().secret("another").signed());
    assert_eq!(reply.status, 403);
    let mut stream = connect(server.address);
    stream.write_all(&put.signed()).unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(&[1; 1000]).unwrap();
    assert_eq!(Reply::read(stream).status, 200);
}

/// The aws command takes the next response on such a connection for a part of this one.
#[test]
fn a_connection_ends_after_an_empty_body_that_waited_for_100_continue() {
    let server = Running::start(|_| {});
    let put = Call::new("PUT", "/buck/k").unsigned("connection", "keep-alive");
    let reply = send(server.address, &put.unsigned("expect", "100-continue").signed());
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
}

#[test]
fn a_slow_reader_is_not_cut_off() {
    let patience = Duration::from_secs(1);
    let server = Running::start(|settings| settings.limits.stall_timeout = patience);
    let mut stream = connect(server.address);
    stream.write_all(&Call::new("GET", "/buck/large").signed()).unwrap();
    let (started, mut read) = (Instant::now(), 0);
    let mut buffer = vec![0; 8 << 20];
    loop {
        // Less than the patience, again and again.
        std::thread::sleep(Duration::from_millis(400));
        let mut piece = 0;
        while piece < buffer.len() {
            match stream.read(&mut buffer[piece..]).unwrap() {
                0 => break,
                bytes => piece += bytes,
            }
        }
        read += piece;
        if piece < buffer.len() {
            break;
        }
    }
    assert!(read > LARGE && read < LARGE + 1000, "{read}");
    assert!(started.elapsed() > 3 * patience);
}

#[test]
fn a_reader_that_takes_nothing_is_cut_off() {
    let server = Running::start(|settings| settings.limits.stall_timeout = Duration::from_millis(500));
    let mut stream = connect(server.address);
    stream.write_all(&Call::new("GET", "/buck/large").signed()).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    assert!(Reply::read(stream).body.len() < LARGE);
    let (_, lines) = server.end();
    assert_eq!(lines[0]["complete"], false);
}

#[test]
fn an_upload_that_stops_in_its_middle_fails() {
    let server = Running::start(|settings| settings.limits.stall_timeout = Duration::from_millis(500));
    let put = Call::new("PUT", "/buck/k")
        .unsigned("content-length", "1000")
        .body(b"a few bytes");
    let started = Instant::now();
    let reply = send(server.address, &put.signed());
    assert_eq!((reply.status, reply.code().as_str()), (400, "RequestTimeout"));
    assert!(started.elapsed() > Duration::from_millis(500));
    assert!(server.double.failed.load(Ordering::SeqCst));
}

#[test]
fn a_client_without_a_valid_signature_is_not_waited_for() {
    let server = Running::start(|settings| settings.limits.idle_timeout = Duration::from_millis(500));
    let form = Call::new("POST", "/buck")
        .header("content-type", "multipart/form-data; boundary=bound")
        .unsigned("content-length", "100000")
        .body(b"--bound\r\ncontent-disposition: form-data; name=\"key\"\r\n\r\n");
    let mut stream = connect(server.address);
    stream.write_all(&form.anonymous()).unwrap();
    let started = Instant::now();
    // Never silent for long.
    while stream.write_all(b"k").is_ok() {
        assert!(started.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(50));
    }
    // With a signature, it may take as long.
    let put = Call::new("PUT", "/buck/k").unsigned("content-length", "20").signed();
    let mut stream = connect(server.address);
    stream.write_all(&put).unwrap();
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(50));
        stream.write_all(b"k").unwrap();
    }
    assert_eq!(Reply::read(stream).status, 200);
}

#[test]
fn buckets_are_in_paths_and_in_host_names() {
    let server = Running::start(|settings| settings.domains = vec!["s3.example".to_owned()]);
    for (host, path) in [
        ("photos.s3.example", "/bucket"),
        ("photos.s3.example:9000", "/bucket"),
        ("s3.example", "/photos/bucket"),
        ("localhost:9000", "/photos/bucket"),
        ("127.0.0.1", "/photos/bucket"),
    ] {
        let mut get = Call::new("GET", path);
        host.clone_into(&mut get.host);
        let reply = send(server.address, &get.signed());
        assert_eq!((reply.status, reply.text().as_str()), (200, "photos"), "{host}");
    }
}
