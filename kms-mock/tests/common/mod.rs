//! A bare HTTP client, for requests that no real client sends.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test uses a part")]
#![allow(clippy::mod_module_files, reason = "tests/common.rs would be a test of its own")]
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

const SIGNATURE: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// The tests' own timeout: nothing here takes so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// AWS's name for the error.
    pub fn kind(&self) -> String {
        self.json()["__type"].as_str().unwrap_or_default().to_owned()
    }

    pub fn closes(&self) -> bool {
        self.header("connection") == Some("close")
    }
}

/// A connection.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<TcpStream>,
}

impl Client {
    /// Connects to a URL of the mock.
    pub fn new(url: &str) -> Self {
        let stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            reader: BufReader::new(stream),
        }
    }

    pub fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.reader.get_mut().write_all(bytes).unwrap();
    }

    /// The next answer; `None` if the connection ends first.
    pub fn receive(&mut self) -> Option<Answer> {
        let mut line = String::new();
        if self.reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        let len = answer.header("content-length").map_or(0, |len| len.parse().unwrap());
        answer.body = vec![0; len];
        self.reader.read_exact(&mut answer.body).ok()?;
        Some(answer)
    }

    /// The head of the next answer, verbatim. Skips the body.
    pub fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.reader.read_line(&mut head).unwrap(), 0, "{head}");
        }
        let lower = head.to_ascii_lowercase();
        let len = lower.split_once("content-length: ").unwrap().1;
        let len = len.split_once("\r\n").unwrap().0.parse().unwrap();
        self.reader.read_exact(&mut vec![0; len]).unwrap();
        head
    }

    pub fn call(&mut self, operation: &str, json: &str) -> Answer {
        self.send(&request(operation, json.as_bytes()));
        self.receive().unwrap()
    }

    /// The answer; `None` if the connection ends first.
    pub fn try_call(&mut self, operation: &str, json: &str) -> Option<Answer> {
        self.reader
            .get_mut()
            .write_all(&request(operation, json.as_bytes()))
            .ok()?;
        self.receive()
    }

    /// The bytes until the connection ends, and whether it ends with a RST.
    pub fn until_the_end(&mut self) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        match self.reader.read_to_end(&mut bytes) {
            Ok(_) => (bytes, false),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => (bytes, true),
            Err(error) => panic!("the connection did not end: {error}"),
        }
    }
}

/// A call as AWS clients send it.
pub fn request(operation: &str, body: &[u8]) -> Vec<u8> {
    let mut request = head(operation, &format!("Content-Length: {}\r\n", body.len())).into_bytes();
    request.extend_from_slice(body);
    request
}

/// A call's head. `more` is whole lines.
pub fn head(operation: &str, more: &str) -> String {
    format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-amz-json-1.1\r\n\
         X-Amz-Target: TrentService.{operation}\r\nX-Amz-Date: 20260131T000000Z\r\n\
         Authorization: {}\r\nUser-Agent: bare\r\n{more}\r\n",
        authorization("kms")
    )
}

pub fn authorization(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260131/us-east-1/{service}/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature={SIGNATURE}"
    )
}

/// One call on its own connection.
pub fn call(url: &str, operation: &str, json: &str) -> Answer {
    Client::new(url).call(operation, json)
}

/// A request to the control port.
pub fn control(url: &str, method: &str, path: &str, json: &str) -> Answer {
    let mut client = Client::new(url);
    client.send(
        format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{json}",
            json.len()
        )
        .as_bytes(),
    );
    client.receive().unwrap()
}
