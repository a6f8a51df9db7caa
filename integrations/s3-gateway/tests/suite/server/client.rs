//! A client that sends what it is told to, also what no library would, and signs it.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

pub(crate) const ID: &str = "AKIDEXAMPLE";
pub(crate) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// A request, before it is signed.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    /// In canonical order, encoded.
    pub(crate) query: String,
    pub(crate) host: String,
    /// Lower-case names. They are signed.
    pub(crate) headers: Vec<(String, String)>,
    /// As it is sent, after the signature was made.
    pub(crate) unsigned: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) secret: &'static str,
    pub(crate) id: &'static str,
}

impl Call {
    pub(crate) fn new(method: &'static str, path: &str) -> Self {
        Self {
            method,
            path: path.to_owned(),
            query: String::new(),
            host: "localhost".to_owned(),
            headers: Vec::new(),
            unsigned: Vec::new(),
            body: Vec::new(),
            secret: SECRET,
            id: ID,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn unsigned(mut self, name: &str, value: &str) -> Self {
        self.unsigned.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn query(mut self, query: &str) -> Self {
        query.clone_into(&mut self.query);
        self
    }

    pub(crate) fn body(mut self, body: &[u8]) -> Self {
        body.clone_into(&mut self.body);
        self
    }

    pub(crate) fn secret(mut self, secret: &'static str) -> Self {
        self.secret = secret;
        self
    }

    /// Signed in its headers.
    pub(crate) fn signed(&self) -> Vec<u8> {
        let (date, scope) = now();
        let mut headers = self.headers.clone();
        headers.push(("host".to_owned(), self.host.clone()));
        headers.push(("x-amz-content-sha256".to_owned(), "UNSIGNED-PAYLOAD".to_owned()));
        headers.push(("x-amz-date".to_owned(), date.clone()));
        headers.sort();
        let (names, signature) = self.signature(&headers, &self.query, &date, &scope);
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={names}, Signature={signature}",
            self.id
        );
        headers.push(("authorization".to_owned(), authorization));
        self.bytes(&headers, &self.query)
    }

    /// Signed in its query.
    pub(crate) fn presigned(&self) -> Vec<u8> {
        let (date, scope) = now();
        let mut headers = self.headers.clone();
        headers.push(("host".to_owned(), self.host.clone()));
        headers.sort();
        let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let query = format!(
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}%2F{}&X-Amz-Date={date}&X-Amz-Expires=60\
             &X-Amz-SignedHeaders={}",
            self.id,
            scope.replace('/', "%2F"),
            names.join("%3B")
        );
        let (_, signature) = self.signature(&headers, &query, &date, &scope);
        self.bytes(&headers, &format!("{query}&X-Amz-Signature={signature}"))
    }

    /// Without a signature.
    pub(crate) fn anonymous(&self) -> Vec<u8> {
        let mut headers = self.headers.clone();
        headers.push(("host".to_owned(), self.host.clone()));
        self.bytes(&headers, &self.query)
    }

    fn signature(&self, headers: &[(String, String)], query: &str, date: &str, scope: &str) -> (String, String) {
        let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let names = names.join(";");
        let lines: String = headers
            .iter()
            .map(|(name, value)| format!("{name}:{value}\n"))
            .collect();
        let request = format!(
            "{}\n{}\n{query}\n{lines}\n{names}\nUNSIGNED-PAYLOAD",
            self.method, self.path
        );
        let hash = hex(&Sha256::digest(request.as_bytes()));
        let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hash}");
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for part in scope.split('/') {
            key = mac(&key, part.as_bytes());
        }
        (names, hex(&mac(&key, text.as_bytes())))
    }

    fn bytes(&self, headers: &[(String, String)], query: &str) -> Vec<u8> {
        let mut head = format!("{} {}", self.method, self.path);
        if !query.is_empty() {
            head = format!("{head}?{query}");
        }
        head.push_str(" HTTP/1.1\r\n");
        for (name, value) in headers.iter().chain(&self.unsigned) {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let given = |name| headers.iter().chain(&self.unsigned).any(|(other, _)| other == name);
        if !given("content-length") && (!self.body.is_empty() || self.method == "PUT" || self.method == "POST") {
            let _ = write!(head, "content-length: {}\r\n", self.body.len());
        }
        if !given("connection") {
            head.push_str("connection: close\r\n");
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// The time of the signature, and its scope.
fn now() -> (String, String) {
    let now = OffsetDateTime::now_utc();
    let day = format!("{:04}{:02}{:02}", now.year(), u8::from(now.month()), now.day());
    let date = format!("{day}T{:02}{:02}{:02}Z", now.hour(), now.minute(), now.second());
    (date, format!("{day}/us-east-1/s3/aws4_request"))
}

fn mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A response, as far as it came.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// Everything up to the end of the connection.
    pub(crate) fn read(mut from: impl Read) -> Self {
        let mut bytes = Vec::new();
        // A connection that is reset is at its end, too.
        let _ = from.read_to_end(&mut bytes);
        Self::parse(&bytes)
    }

    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no response: {:?}", String::from_utf8_lossy(bytes)));
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        Self {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head,
            body: bytes[end + 4..].to_vec(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The code of an error, or nothing.
    pub(crate) fn code(&self) -> String {
        let text = self.text();
        let code = text
            .split_once("<Code>")
            .and_then(|(_, rest)| rest.split_once("</Code>"));
        code.map_or_else(String::new, |(code, _)| code.to_owned())
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// Sends a request, and reads the response to the end of the connection.
pub(crate) fn send(address: SocketAddr, request: &[u8]) -> Reply {
    let mut stream = connect(address);
    stream.write_all(request).unwrap();
    Reply::read(stream)
}
