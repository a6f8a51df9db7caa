//! Serves HTTP byte ranges from an encrypted object: only the chunks that cover a range are read and opened.
//!
//! To keep it short, it serves one connection at a time and one request on each: from a `Range` header to the response.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use sealstone::range::RangeReader;
use sealstone::{Decryptor, Encryptor, RawKey};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result<()> {
    let plaintext: Vec<u8> = (0..200_000u32).map(|n| n.to_be_bytes()[3]).collect();
    let key = Arc::new(RawKey::from_slice(&[7; 32]).ok_or("32 bytes")?);
    let object = Encryptor::new(key.clone()).seal(&plaintext)?;
    // A file, an object in a storage system, or anything else that implements `ReadAt`.
    let reader = Decryptor::new(key).range_reader(object)?;

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let requests = [
        (Some("bytes=0-99"), 206, &plaintext[..100]),
        (Some("bytes=99990-100009"), 206, &plaintext[99_990..100_010]),
        (Some("bytes=199990-"), 206, &plaintext[199_990..]),
        (Some("bytes=-10"), 206, &plaintext[199_990..]),
        (Some("bytes=199999-300000"), 206, &plaintext[199_999..]),
        (Some("bytes=200000-"), 416, &[]),
        (Some("bytes=-0"), 416, &[]),
        (Some("bytes=9-1"), 200, &plaintext),
        (Some("lines=1-2"), 200, &plaintext),
        (None, 200, &plaintext),
    ];
    let count = requests.len();
    let server = thread::spawn(move || (0..count).try_for_each(|_| serve(&reader, listener.accept()?.0)));
    for (range, status, body) in requests {
        let answer = request(address, range)?;
        assert_eq!(answer.status, status, "{range:?}");
        assert!(answer.body == body, "{range:?}");
        println!("{:<20} {status} {} bytes", range.unwrap_or("(whole)"), body.len());
    }
    server.join().map_err(|_| "the server panicked")?
}

/// The range that a `Range` header requests.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// No range, or one of a kind not served here: the whole object, as HTTP specifies.
    Whole,
    /// From the first byte to the last one, inclusive.
    FromTo(u64, Option<u64>),
    Last(u64),
}

fn parse(header: &str) -> Asked {
    let parts = header.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
    let number = |text: &str| text.parse::<u64>().ok();
    match parts {
        Some(("", last)) => number(last).map_or(Asked::Whole, Asked::Last),
        Some((first, "")) => number(first).map_or(Asked::Whole, |first| Asked::FromTo(first, None)),
        Some((first, last)) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => Asked::FromTo(first, Some(last)),
            _ => Asked::Whole,
        },
        None => Asked::Whole,
    }
}

/// The status, the value of `Content-Range`, and the body.
fn answer(reader: &RangeReader<Vec<u8>>, asked: &Asked) -> Result<(&'static str, Option<String>, Vec<u8>)> {
    // The length is part of every response. It is verified by opening the final chunk, once for all requests.
    let len = reader.verified_len()?;
    let range = match *asked {
        Asked::Whole => return Ok(("200 OK", None, reader.read_range(..)?.to_vec())),
        Asked::FromTo(first, last) => first..last.map_or(len, |last| len.min(last.saturating_add(1))),
        Asked::Last(count) => len.saturating_sub(count)..len,
    };
    if range.is_empty() {
        return Ok(("416 Range Not Satisfiable", Some(format!("bytes */{len}")), Vec::new()));
    }
    let content_range = format!("bytes {}-{}/{len}", range.start, range.end - 1);
    Ok((
        "206 Partial Content",
        Some(content_range),
        reader.read_range(range)?.to_vec(),
    ))
}

fn serve(reader: &RangeReader<Vec<u8>>, mut stream: TcpStream) -> Result<()> {
    let mut asked = Asked::Whole;
    for line in BufReader::new(&stream).lines() {
        let line = line?;
        match line.split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("range") => asked = parse(value),
            _ if line.is_empty() => break,
            _ => {}
        }
    }
    // If the object does not verify, no byte of its body is sent.
    let (status, content_range, body) = answer(reader, &asked)?;
    let content_range = content_range.map_or_else(String::new, |value| format!("Content-Range: {value}\r\n"));
    let len = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {len}\r\n{content_range}Connection: close\r\n\r\n"
    )?;
    Ok(stream.write_all(&body)?)
}

struct Answer {
    status: u16,
    body: Vec<u8>,
}

fn request(address: SocketAddr, range: Option<&str>) -> Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    let range = range.map_or_else(String::new, |range| format!("Range: {range}\r\n"));
    write!(stream, "GET /object HTTP/1.1\r\nHost: localhost\r\n{range}\r\n")?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line.split(' ').nth(1).ok_or("no status")?.parse()?;
    while line != "\r\n" {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err("the answer ends inside its headers".into());
        }
    }
    let mut body = Vec::new();
    reader.read_to_end(&mut body)?;
    Ok(Answer { status, body })
}
