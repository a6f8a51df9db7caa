//! No secret is in any log, at the level that logs everything.

use base64ct::{Base64, Encoding};

use super::client::{Call, SECRET, hex, send};
use super::program::{Program, command};

/// A customer key that is nowhere else in what the program logs.
const KEY: [u8; 32] = *b"0123456789abcdefGHIJKLMNOPQRSTUV";
const NAME: &str = "x-amz-server-side-encryption-customer";
const SOURCE: &str = "x-amz-copy-source-server-side-encryption-customer";

fn with_key(call: Call, prefix: &str) -> Call {
    use md5::{Digest, Md5};
    call.header(&format!("{prefix}-algorithm"), "AES256")
        .header(&format!("{prefix}-key"), &Base64::encode_string(&KEY))
        .header(&format!("{prefix}-key-md5"), &Base64::encode_string(&Md5::digest(KEY)))
}

fn form(field: &str, value: &str) -> Call {
    let mut body = String::new();
    for (name, value) in [
        ("key", "k"),
        ("policy", "e30="),
        (field, value),
        ("x-amz-signature", "00"),
    ] {
        body += &format!("--bound\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    }
    body += "--bound\r\ncontent-disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\ncontent\r\n--bound--\r\n";
    Call::new("POST", "/buck")
        .header("content-type", "multipart/form-data; boundary=bound")
        .body(body.as_bytes())
}

#[test]
fn no_secret_is_in_the_log_at_its_most_talkative() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = command(directory.path());
    command.args(["--log", "trace", "--allow-insecure-ssec"]);
    let program = Program::start(&mut command);
    let key = Base64::encode_string(&KEY);
    let put = with_key(Call::new("PUT", "/buck/k"), NAME).body(b"plaintext");
    let get = with_key(Call::new("GET", "/buck/k"), NAME);
    let unsigned = Call::new("GET", "/buck/k").unsigned(&format!("{NAME}-key"), &key);
    let copy = with_key(Call::new("PUT", "/buck/copy"), SOURCE).header("x-amz-copy-source", "/buck/k");
    let escaped = key.replace('+', "%2B").replace('=', "%3D");
    for (request, status) in [
        (Call::new("PUT", "/buck").signed(), 200),
        (put.signed(), 200),
        (get.signed(), 200),
        (get.presigned(), 200),
        (copy.signed(), 200),
        // Refused, in each place that can refuse it.
        (get.clone().secret("another").signed(), 403),
        (get.clone().secret("another").presigned(), 403),
        (get.anonymous(), 403),
        (unsigned.signed(), 403),
        (
            Call::new("GET", "/buck/k")
                .query(&format!("{NAME}-key={escaped}"))
                .signed(),
            400,
        ),
        (
            Call::new("GET", "/buck/k")
                .header(&format!("{NAME}-key"), &key)
                .signed(),
            400,
        ),
        (with_key(Call::new("GET", "/buck/absent"), NAME).signed(), 404),
        (with_key(Call::new("GET", "/buck/%ff"), NAME).signed(), 400),
        (
            get.clone()
                .header(&format!("{NAME}-key"), &format!("{key} twice"))
                .signed(),
            403,
        ),
        (
            Call::new("GET", "/buck/k")
                .header(&format!("{NAME}-key"), &format!("{key} malformed"))
                .signed(),
            400,
        ),
        (form(&format!("{NAME}-key"), &key).anonymous(), 400),
        (form("x-amz-credential", &key).anonymous(), 400),
    ] {
        let reply = send(program.address, &request);
        assert_eq!(
            reply.status,
            status,
            "{} {}",
            String::from_utf8_lossy(&request),
            reply.text()
        );
        assert!(!reply.text().contains(&key) && !reply.head.contains(&key));
    }
    // Requests are logged with their headers, but those.
    program.has_logged("TRACE");
    program.has_logged(&format!("\"{NAME}-key\": Sensitive"));
    program.signal(rustix::process::Signal::TERM);
    let (code, log) = program.end();
    assert_eq!(code, Some(0));
    assert!(log.contains("\"operation\":\"CopyObject\""), "{log}");
    let raw = String::from_utf8(KEY.to_vec()).unwrap();
    let bytes = format!("{KEY:?}");
    let signature = "Signature=";
    let hex = hex(&KEY);
    for secret in [
        &key,
        &escaped,
        &raw,
        &hex,
        bytes.trim_matches(['[', ']']),
        SECRET,
        signature,
    ] {
        let lines: Vec<_> = log.lines().filter(|line| line.contains(secret)).collect();
        assert!(lines.is_empty(), "{secret}: {lines:#?}");
    }
}
