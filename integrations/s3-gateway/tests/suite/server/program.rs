//! The program itself: arguments, files, signals.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use s3s::crypto::{Checksum as _, Sha1};
use sealstone::KeyRing;

use super::client::{Call, ID, Reply, SECRET, connect, send};

/// The program, which is killed at the end.
pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    /// What it printed when it started.
    pub(crate) announced: Vec<String>,
    errors: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

pub(crate) fn command(directory: &Path) -> Command {
    let mut command = without_store(directory);
    command.args(["--store", "memory:"]);
    command
}

fn without_store(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealstone-gateway"));
    command
        .env_clear()
        .env("HOME", directory)
        .env("AWS_ACCESS_KEY_ID", ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .args(["--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let errors = Arc::<Mutex<String>>::default();
        let (mut from, to) = (child.stderr.take().unwrap(), errors.clone());
        let reader = std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                to.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        });
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines
            .next()
            .unwrap_or_else(|| panic!("{}", errors.lock().unwrap()))
            .unwrap();
        let (_, address) = first.rsplit_once("://").unwrap();
        let address = address.parse().unwrap();
        let mut announced = vec![first];
        if command.get_args().any(|argument| argument == "--kms-mock") {
            announced.extend(lines.by_ref().take(2).map(Result::unwrap));
        }
        Self {
            child,
            address,
            announced,
            errors,
            reader: Some(reader),
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits until standard error contains this.
    pub(crate) fn has_logged(&self, text: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.errors.lock().unwrap().contains(text) {
            assert!(Instant::now() < deadline, "{text}: {}", self.errors.lock().unwrap());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its exit code, and all that it logged.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        self.reader.take().unwrap().join().unwrap();
        let errors = std::mem::take(&mut *self.errors.lock().unwrap());
        (code, errors)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

use rustix::process::Signal;

#[test]
fn the_key_ring_is_made_at_the_first_start_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    for made in [true, false] {
        let program = Program::start(&mut command(directory.path()));
        assert_eq!(send(program.address, &Call::new("GET", "/").signed()).status, 200);
        program.signal(Signal::TERM);
        let (code, errors) = program.end();
        assert_eq!(
            (code, errors.contains("keep a copy of that file")),
            (Some(0), made),
            "{errors}"
        );
    }
    let ring = directory.path().join(".config/sealstone/keyring.json");
    assert_eq!(KeyRing::open(&ring).unwrap().entries().count(), 1);
}

#[test]
fn a_request_in_progress_is_finished_after_the_first_signal_and_not_after_the_second() {
    let directory = tempfile::tempdir().unwrap();
    for (signals, code) in [
        (&[Signal::TERM][..], 0),
        (&[Signal::INT], 0),
        (&[Signal::TERM, Signal::INT], 130),
        (&[Signal::INT, Signal::TERM], 143),
    ] {
        let program = Program::start(&mut command(directory.path()));
        assert_eq!(send(program.address, &Call::new("PUT", "/buck").signed()).status, 200);
        let put = Call::new("PUT", "/buck/k")
            .unsigned("content-length", "10")
            .body(b"half ");
        let mut stream = connect(program.address);
        stream.write_all(&put.signed()).unwrap();
        // The server has the head of the request.
        std::thread::sleep(Duration::from_millis(300));
        for signal in signals {
            program.signal(*signal);
            program.has_logged("shutting down");
        }
        let finished = code == 0;
        if finished {
            stream.write_all(b"more.").unwrap();
            assert_eq!(Reply::read(stream).status, 200);
        }
        assert_eq!(program.end().0, Some(code));
    }
}

#[test]
fn a_hangup_reloads_the_key_ring() {
    let directory = tempfile::tempdir().unwrap();
    let ring = directory.path().join("ring");
    let arguments = ["--keyring", ring.to_str().unwrap(), "--key-cache-seconds", "0"];
    let program = Program::start(command(directory.path()).args(arguments));
    send(program.address, &Call::new("PUT", "/buck").signed());
    let put = Call::new("PUT", "/buck/k").body(b"plaintext");
    assert_eq!(send(program.address, &put.signed()).status, 200);
    let get = Call::new("GET", "/buck/k");
    let reload = |times: usize| {
        program.signal(Signal::HUP);
        let deadline = Instant::now() + Duration::from_secs(20);
        while program.errors.lock().unwrap().matches("reloaded").count() < times {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    // A version more: what was sealed under the old one opens.
    KeyRing::rotate(&ring, KeyRing::DEFAULT_NAME).unwrap();
    reload(1);
    assert_eq!(send(program.address, &get.signed()).text(), "plaintext");
    // A ring that lacks a key in use replaces nothing; one that is missing for a moment is not made anew.
    let kept = std::fs::read(&ring).unwrap();
    std::fs::remove_file(&ring).unwrap();
    reload(2);
    assert!(!ring.exists());
    assert_eq!(send(program.address, &get.signed()).status, 200);
    KeyRing::create_or_open(&ring, KeyRing::DEFAULT_NAME).unwrap();
    reload(3);
    program.has_logged("which is in use");
    assert_eq!(send(program.address, &get.signed()).status, 200);
    std::fs::write(&ring, &kept).unwrap();
    std::fs::write(&ring, "no ring").unwrap();
    reload(4);
    program.has_logged("kept what was loaded before");
    assert_eq!(send(program.address, &get.signed()).status, 200);
}

#[test]
fn objects_in_a_directory_are_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("store");
    for round in 0..2 {
        let mut command = without_store(directory.path());
        command.args(["--config", directory.path().join("gateway.toml").to_str().unwrap()]);
        std::fs::write(directory.path().join("gateway.toml"), format!("store = {store:?}")).unwrap();
        let program = Program::start(&mut command);
        if round == 0 {
            assert_eq!(send(program.address, &Call::new("PUT", "/buck").signed()).status, 200);
            let put = Call::new("PUT", "/buck/k").body(b"plaintext");
            assert_eq!(send(program.address, &put.signed()).status, 200);
        }
        assert_eq!(
            send(program.address, &Call::new("GET", "/buck/k").signed()).text(),
            "plaintext"
        );
        program.signal(Signal::TERM);
        assert_eq!(program.end().0, Some(0));
    }
}

#[test]
fn a_hangup_opens_the_access_log_again() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("access");
    let program = Program::start(command(directory.path()).args(["--access-log", log.to_str().unwrap()]));
    send(program.address, &Call::new("GET", "/").signed());
    let rotated = directory.path().join("access.1");
    std::fs::rename(&log, &rotated).unwrap();
    program.signal(Signal::HUP);
    program.has_logged("reloaded");
    send(program.address, &Call::new("GET", "/bucket").signed());
    program.signal(Signal::TERM);
    let (code, errors) = program.end();
    assert_eq!(code, Some(0), "{errors}");
    let lines = |path| std::fs::read_to_string(path).unwrap().lines().count();
    assert_eq!((lines(&rotated), lines(&log)), (1, 1));
    assert!(!errors.contains("ListBuckets"));
}

#[test]
fn access_keys_come_from_a_file_that_only_its_owner_reads() {
    let directory = tempfile::tempdir().unwrap();
    let keys = directory.path().join("keys");
    std::fs::write(&keys, format!("OTHER:secret\n{ID}:{SECRET}\n")).unwrap();
    let with_file = || {
        let mut command = command(directory.path());
        command
            .env_remove("AWS_ACCESS_KEY_ID")
            .args(["--access-keys", keys.to_str().unwrap()]);
        command
    };
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = with_file().output().unwrap();
    let errors = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(errors.contains("chmod 600") && !errors.contains(SECRET), "{errors}");
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o600)).unwrap();
    let program = Program::start(&mut with_file());
    let other = Call {
        id: "OTHER",
        ..Call::new("GET", "/").secret("secret")
    };
    for request in [Call::new("GET", "/").signed(), other.signed()] {
        assert_eq!(send(program.address, &request).status, 200);
    }
    // A key that is removed is refused after the signal, and one that is added is not.
    std::fs::write(&keys, "OTHER:changed\n").unwrap();
    program.signal(Signal::HUP);
    program.has_logged("reloaded");
    assert_eq!(
        send(program.address, &Call::new("GET", "/").signed()).code(),
        "InvalidAccessKeyId"
    );
    assert_eq!(send(program.address, &other.signed()).code(), "SignatureDoesNotMatch");
    assert_eq!(send(program.address, &other.secret("changed").signed()).status, 200);
    let without = command(directory.path())
        .env_remove("AWS_SECRET_ACCESS_KEY")
        .output()
        .unwrap();
    assert!(String::from_utf8(without.stderr).unwrap().contains("--access-keys"));
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_leaves_no_core_dump_and_may_open_many_files() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(&mut command(directory.path()));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", program.child.id())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    let files: Vec<_> = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(files[3], files[4]);
}

#[test]
fn the_tour_asks_a_local_key_service_and_shows_what_it_logged() {
    let directory = tempfile::tempdir().unwrap();
    let kms = directory.path().join("kms");
    let keys = directory.path().join("keys");
    std::fs::write(&keys, format!("{ID}:{SECRET}")).unwrap();
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut command = command(directory.path());
    command.args([
        "--kms-mock",
        kms.to_str().unwrap(),
        "--access-keys",
        keys.to_str().unwrap(),
    ]);
    // The key service needs no credentials.
    command.env_remove("AWS_ACCESS_KEY_ID");
    let program = Program::start(&mut command);
    assert!(program.announced[1].contains("alias/demo"), "{:?}", program.announced);
    assert!(program.announced[2].ends_with("audit.jsonl"), "{:?}", program.announced);
    send(program.address, &Call::new("PUT", "/buck").signed());
    for (key, named) in [("aws", None), ("own", Some("alias/demo"))] {
        let mut put = Call::new("PUT", if key == "aws" { "/buck/aws" } else { "/buck/own" })
            .header("x-amz-server-side-encryption", "aws:kms")
            .body(b"plaintext");
        if let Some(named) = named {
            put = put.header("x-amz-server-side-encryption-aws-kms-key-id", named);
        }
        let reply = send(program.address, &put.signed());
        assert_eq!(reply.status, 200, "{}", reply.text());
        let get = send(program.address, &Call::new("GET", put.path.as_str()).signed());
        assert_eq!(get.text(), "plaintext");
    }
    let audit = std::fs::read_to_string(kms.join("audit.jsonl")).unwrap();
    assert!(
        audit.contains("GenerateDataKey") && audit.contains("arn:aws:s3:::buck/own"),
        "{audit}"
    );
}

#[test]
fn a_wrong_setting_is_one_sentence() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, part) in [
        (&["--tls-cert", "chain.pem"][..], "--tls-key is missing"),
        (&["--tls-cert", "absent.pem", "--tls-key", "absent.pem"], "absent.pem"),
        (&["--domain", "a:9000"], "no port"),
        (&["--log", "=x="], "invalid"),
        (&["--keyring-key", "absent"], "keyring.json"),
    ] {
        let run = command(directory.path()).args(arguments).output().unwrap();
        let errors = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(1), "{errors}");
        assert_eq!(
            errors
                .lines()
                .filter(|line| line.starts_with("sealstone-gateway: "))
                .count(),
            1,
            "{errors}"
        );
        assert!(errors.contains(part), "{errors}");
    }
}

/// s3s does not report these operations, nor who asks for them.
#[test]
fn settings_of_buckets_are_in_the_access_log() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(&mut command(directory.path()));
    send(program.address, &Call::new("PUT", "/buck").signed());
    let rule = b"<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>";
    let put = Call::new("PUT", "/buck").query("encryption=").body(rule);
    assert_eq!(send(program.address, &put.signed()).status, 200);
    program.has_logged(r#""operation":"PutBucketEncryption","bucket":"buck""#);
    assert_eq!(send(program.address, &put.anonymous()).status, 403);
}

/// A form with a valid signature of version 2, which is HMAC-SHA-1 of its policy.
#[test]
fn forms_are_signed_with_version_4_and_short() {
    let directory = tempfile::tempdir().unwrap();
    let program = Program::start(&mut command(directory.path()));
    send(program.address, &Call::new("PUT", "/buck").signed());
    let policy = r#"{"expiration":"2100-01-01T00:00:00Z","conditions":[{"bucket":"buck"},["starts-with","$key",""]]}"#;
    let policy = Base64::encode_string(policy.as_bytes());
    let signature = Base64::encode_string(&hmac_sha1(SECRET.as_bytes(), policy.as_bytes()));
    for (len, status) in [(5, 400), (2 << 20, 400)] {
        let mut form = Vec::new();
        for (name, value) in [
            ("key", "k"),
            ("AWSAccessKeyId", ID),
            ("policy", &policy),
            ("signature", &signature),
        ] {
            let field = format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
            form.extend_from_slice(field.as_bytes());
        }
        form.extend_from_slice(b"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n");
        form.extend(std::iter::repeat_n(b'x', len));
        form.extend_from_slice(b"\r\n--b--\r\n");
        let head = format!(
            "POST /buck HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            form.len()
        );
        let reply = send(program.address, &[head.into_bytes(), form].concat());
        assert_eq!(reply.status, status, "{reply:?}");
    }
    assert_eq!(
        send(program.address, &Call::new("HEAD", "/buck/k").signed()).status,
        404
    );
}

/// RFC 2104.
fn hmac_sha1(key: &[u8], message: &[u8]) -> Vec<u8> {
    let pad = |byte: u8| {
        let key = key.iter().chain(std::iter::repeat(&0)).take(64);
        key.map(|part| part ^ byte).collect::<Vec<u8>>()
    };
    let inner = Sha1::checksum(&[pad(0x36), message.to_vec()].concat());
    Sha1::checksum(&[pad(0x5c), inner.as_ref().to_vec()].concat())
        .as_ref()
        .to_vec()
}
