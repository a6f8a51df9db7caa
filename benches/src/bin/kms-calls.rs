//! How many calls per second a local key service answers, with a minimal client on persistent connections.
//!
//! `kms-calls [--endpoint URL] [--connections N] [--seconds N]` prints calls per second for GenerateDataKey, for Decrypt
//! and for pairs of both, one after the other on each connection. Without a URL it starts kms-mock in this process;
//! with one, it can measure any server that speaks the protocol. Client and server share the machine. If a server
//! closes the connection after each response, the client reconnects, and that counts as the server's time.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sealstone_kms_mock::MockKms;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const CONTEXT: &str = r#"{"aws:s3:arn":"arn:aws:s3:::bucket/key"}"#;

fn main() -> Result<()> {
    let (mut endpoint, mut connections, mut seconds) = (None, 8, 3);
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or("an option without a value")?;
        match name.as_str() {
            "--endpoint" => endpoint = Some(value),
            "--connections" => connections = value.parse()?,
            "--seconds" => seconds = value.parse()?,
            _ => return Err(format!("unknown option {name}").into()),
        }
    }
    let mock = if endpoint.is_none() {
        Some(MockKms::start()?)
    } else {
        None
    };
    let endpoint = endpoint
        .or_else(|| mock.as_ref().map(MockKms::endpoint))
        .unwrap_or_default();
    let address = endpoint
        .strip_prefix("http://")
        .ok_or("--endpoint http://HOST:PORT")?
        .trim_end_matches('/');
    let key = text(&Client::new(address)?.call("CreateKey", "{}")?, "KeyId")?;
    let generate = format!(r#"{{"KeyId":"{key}","KeySpec":"AES_256","EncryptionContext":{CONTEXT}}}"#);

    let span = Duration::from_secs(seconds);
    let rate = |name: &str, work: &(dyn Fn(&mut Client) -> Result<()> + Sync)| -> Result<()> {
        let per_second = measure(address, connections, span, work)?;
        println!("{name:<24} {per_second:>9.0} a second on {connections} connections");
        Ok(())
    };
    let sample = decrypt(&Client::new(address)?.call("GenerateDataKey", &generate)?)?;
    rate("GenerateDataKey", &|client| {
        client.call("GenerateDataKey", &generate).map(drop)
    })?;
    rate("Decrypt", &|client| client.call("Decrypt", &sample).map(drop))?;
    rate("GenerateDataKey+Decrypt", &|client| {
        let answer = client.call("GenerateDataKey", &generate)?;
        client.call("Decrypt", &decrypt(&answer)?).map(drop)
    })
}

fn measure(
    address: &str,
    connections: usize,
    span: Duration,
    work: &(dyn Fn(&mut Client) -> Result<()> + Sync),
) -> Result<f64> {
    let done = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    let mut client = Client::new(address)?;
                    while start.elapsed() < span {
                        work(&mut client)?;
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(())
                })
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| "a client panicked")?)
    })?;
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let done = done.load(Ordering::Relaxed) as f64;
    Ok(done / start.elapsed().as_secs_f64())
}

/// The request that decrypts the response of a GenerateDataKey.
fn decrypt(answer: &str) -> Result<String> {
    let blob = text(answer, "CiphertextBlob")?;
    Ok(format!(
        r#"{{"CiphertextBlob":"{blob}","EncryptionContext":{CONTEXT}}}"#
    ))
}

/// A member of a JSON text whose value needs no unescaping, because a parser would cost as much as the server.
fn text(json: &str, name: &str) -> Result<String> {
    let after = json
        .split_once(&format!("\"{name}\":"))
        .ok_or_else(|| format!("no {name} in {json}"))?
        .1;
    Ok(after
        .trim_start()
        .trim_start_matches('"')
        .split('"')
        .next()
        .unwrap_or_default()
        .to_owned())
}

/// A persistent connection, if the server keeps it open.
struct Client {
    address: String,
    stream: BufReader<TcpStream>,
    /// Whether the server closes it.
    closes: bool,
    request: Vec<u8>,
    line: String,
    body: Vec<u8>,
}

impl Client {
    fn new(address: &str) -> Result<Self> {
        Ok(Self {
            address: address.to_owned(),
            stream: connect(address)?,
            closes: false,
            request: Vec::new(),
            line: String::new(),
            body: Vec::new(),
        })
    }

    fn call(&mut self, operation: &str, json: &str) -> Result<String> {
        if self.closes {
            self.stream = connect(&self.address)?;
            self.closes = false;
        }
        self.request.clear();
        write!(
            self.request,
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-amz-json-1.1\r\n\
             X-Amz-Target: TrentService.{operation}\r\nX-Amz-Date: 20260131T000000Z\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=BENCH/20260131/us-east-1/kms/aws4_request, \
             SignedHeaders=host;x-amz-date, \
             Signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n\
             Content-Length: {}\r\n\r\n{json}",
            json.len()
        )?;
        self.stream.get_mut().write_all(&self.request)?;
        self.answer(operation)
    }

    fn answer(&mut self, operation: &str) -> Result<String> {
        let (mut ok, mut len) = (false, 0);
        for number in 0.. {
            self.line.clear();
            if self.stream.read_line(&mut self.line)? == 0 {
                return Err("the connection ended".into());
            }
            match self.line.trim_end().split_once(':') {
                _ if number == 0 => ok = self.line.starts_with("HTTP/1.1 200 "),
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => len = value.trim().parse()?,
                Some((name, value)) if name.eq_ignore_ascii_case("connection") => {
                    self.closes = value.trim().eq_ignore_ascii_case("close");
                }
                Some(_) => {}
                None => break,
            }
        }
        self.body.resize(len, 0);
        self.stream.read_exact(&mut self.body)?;
        let text = std::str::from_utf8(&self.body)?;
        if ok {
            Ok(text.to_owned())
        } else {
            Err(format!("{operation}: {text}").into())
        }
    }
}

fn connect(address: &str) -> Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    Ok(BufReader::new(stream))
}
