//! Limits, and the end of the server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use sealstone_s3_gateway::server::Ended;

use super::client::{Call, Reply, connect, send};
use super::double::Running;

const SHORT: Duration = Duration::from_millis(300);

/// Whether the server sends anything within a short time.
fn is_silent(stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(SHORT)).unwrap();
    let silent = stream.peek(&mut [0]).is_err();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    silent
}

#[test]
fn a_connection_too_many_waits() {
    let server = Running::start(|settings| settings.limits.connections = 1);
    let first = connect(server.address);
    let mut second = connect(server.address);
    second.write_all(&Call::new("GET", "/").signed()).unwrap();
    assert!(is_silent(&second));
    drop(first);
    assert_eq!(Reply::read(second).status, 200);
}

#[test]
fn a_request_too_many_waits() {
    let server = Running::start(|settings| settings.limits.requests = 1);
    let mut first = connect(server.address);
    first.write_all(&Call::new("GET", "/buck/waits").signed()).unwrap();
    // Its place is taken until the last byte of its response.
    first.read_exact(&mut [0; 1000]).unwrap();
    let mut second = connect(server.address);
    second.write_all(&Call::new("GET", "/").signed()).unwrap();
    assert!(is_silent(&second));
    server.double.go.notify_one();
    assert_eq!(Reply::read(second).status, 200);
}

#[test]
fn a_client_that_is_gone_leaves_its_place() {
    let server = Running::start(|settings| settings.limits.requests = 1);
    for _ in 0..3 {
        let mut gone = connect(server.address);
        gone.write_all(&Call::new("GET", "/buck/waits").signed()).unwrap();
        gone.read_exact(&mut [0; 1000]).unwrap();
    }
    assert_eq!(send(server.address, &Call::new("GET", "/").signed()).status, 200);
}

#[test]
fn a_connection_without_a_request_is_closed() {
    let server = Running::start(|settings| settings.limits.idle_timeout = SHORT);
    for begun in ["", "GET / HTTP/1.1\r\nhost: a\r\n"] {
        let mut stream = connect(server.address);
        stream.write_all(begun.as_bytes()).unwrap();
        let started = Instant::now();
        let _ = stream.read_to_end(&mut Vec::new());
        assert!(started.elapsed() < Duration::from_secs(10), "{begun:?}");
    }
    // Also after a response.
    let mut stream = connect(server.address);
    let list = Call::new("GET", "/").unsigned("connection", "keep-alive").signed();
    stream.write_all(&list).unwrap();
    assert_eq!(Reply::read(stream).status, 200);
}

#[test]
fn requests_in_progress_are_finished_before_the_end() {
    let mut server = Running::start(|_| {});
    let mut busy = connect(server.address);
    busy.write_all(&Call::new("GET", "/buck/waits").signed()).unwrap();
    busy.read_exact(&mut [0; 1000]).unwrap();
    let mut idle = connect(server.address);
    let list = Call::new("GET", "/").unsigned("connection", "keep-alive").signed();
    idle.write_all(&list).unwrap();
    assert_ne!(idle.read(&mut [0; 10_000]).unwrap(), 0);
    let unfinished = connect(server.address);
    (&unfinished).write_all(b"GET / HTTP/1.1\r\n").unwrap();

    server.handle.shut_down();
    // Those that wait for a request are closed, and no new ones accepted.
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    while TcpStream::connect(server.address).is_ok() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let health = send(server.admin, &Call::new("GET", "/-/healthy").anonymous());
    assert_eq!(health.status, 503);
    drop(unfinished);
    server.double.go.notify_one();
    let mut rest = Vec::new();
    busy.read_to_end(&mut rest).unwrap();
    assert!(rest.len() > 2 * 65536 - 1000, "{}", rest.len());
    assert_eq!(server.thread.take().unwrap().join().unwrap(), Ended::Finished);
}

#[test]
fn requests_that_take_too_long_are_cut_off_at_the_end() {
    let server = Running::start(|settings| settings.limits.shutdown_timeout = SHORT);
    let mut busy = connect(server.address);
    busy.write_all(&Call::new("GET", "/buck/waits").signed()).unwrap();
    busy.read_exact(&mut [0; 1000]).unwrap();
    assert_eq!(server.end().0, Ended::CutOff);
}
