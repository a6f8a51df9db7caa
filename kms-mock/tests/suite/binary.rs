//! The program `kms-mock`.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};

use crate::common::{Client, call, control};

struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: ChildStderr,
    url: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut child = command(arguments).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let stderr = child.stderr.take().unwrap();
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let url = line.strip_prefix("listening on ").unwrap().trim_end().to_owned();
        Self {
            child,
            stdout,
            stderr,
            url,
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn end(mut self, signal: &str) -> (ExitStatus, String, String) {
        let killed = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()
            .unwrap();
        assert!(killed.success());
        let (mut out, mut err) = (String::new(), String::new());
        self.stdout.read_to_string(&mut out).unwrap();
        self.stderr.read_to_string(&mut err).unwrap();
        (self.child.wait().unwrap(), out, err)
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kms-mock"));
    command.args(["--listen", "127.0.0.1:0"]).args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn it_announces_its_address_warns_and_ends_on_sigterm() {
    for signal in ["-INT", "-TERM"] {
        let mock = Running::start(&["--region", "eu-west-1"]);
        let mut client = Client::new(&mock.url);
        // The client signs for another region, which has its own keys.
        let made = client.call("CreateKey", "{}").json()["KeyMetadata"]["Arn"].to_string();
        assert!(made.starts_with("\"arn:aws:kms:us-east-1:"), "{made}");
        let url = mock.url.clone();
        let (status, out, err) = mock.end(signal);
        assert_eq!(status.code(), Some(0), "{signal}");
        let expected = [
            format!("export AWS_ENDPOINT_URL_KMS={url}"),
            "export AWS_ACCESS_KEY_ID=mock".to_owned(),
            "export AWS_SECRET_ACCESS_KEY=mock".to_owned(),
            "export AWS_DEFAULT_REGION=eu-west-1".to_owned(),
        ];
        assert_eq!(out.lines().collect::<Vec<_>>(), expected);
        assert!(err.contains("NOT a real KMS"), "{err}");
        assert!(!err.contains("WARNING"), "{err}");
    }
}

/// `tools/kms/mongodb.py` has real clients verify it.
#[test]
fn with_tls_it_prints_the_certificate_that_clients_have_to_trust() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("authority.pem");
    let arguments = ["--tls", "--tls-certificate", file.to_str().unwrap()];
    let mut mock = Running::start(&arguments);
    let address = mock.url.strip_prefix("https://").unwrap().to_owned();
    let lines: Vec<_> = (0..5).map(|_| mock.line()).collect();
    assert_eq!(lines[0], format!("export AWS_ENDPOINT_URL_KMS=https://{address}"));
    assert_eq!(lines[4], format!("export AWS_CA_BUNDLE={}", file.display()));
    let written = std::fs::read_to_string(&file).unwrap();
    assert!(written.starts_with("-----BEGIN CERTIFICATE-----"), "{written}");
    drop(mock);

    let mock = Running::start(&["--tls"]);
    let (_, out, _) = mock.end("-TERM");
    assert!(
        out.contains("-----BEGIN CERTIFICATE-----") && out.ends_with("-----END CERTIFICATE-----\n"),
        "{out}"
    );
    assert!(!out.contains(&written), "another one each time");
}

/// After a kill at any moment everything answered is kept, and no file with key material is left beside the state file.
#[test]
fn kills_lose_nothing_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let mut made = Vec::new();
    // At least 12 kills, and later ones until some came after an answer, which takes longer on a busy machine.
    let mut round = 0;
    while round < 12 || made.len() <= 12 {
        assert!(round < 100, "no call was answered before the kill");
        let mock = Running::start(&["--state", state.to_str().unwrap()]);
        let mut names: Vec<_> = std::fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["state", "state.lock"]);
        let mut client = Client::new(&mock.url);
        for key in &made {
            let body = format!("{{\"KeyId\":{key}}}");
            assert_eq!(client.call("DescribeKey", &body).status, 200, "{key}");
        }
        let pid = mock.child.id().to_string();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(3 + 5 * round));
            Command::new("kill").args(["-KILL", &pid]).status().unwrap();
        });
        while let Some(answer) = client.try_call("CreateKey", "{}") {
            made.push(answer.json()["KeyMetadata"]["KeyId"].to_string());
        }
        killer.join().unwrap();
        round += 1;
    }
}

#[test]
fn other_machines_are_warned_of() {
    let mock = Running::start(&["--control", "0.0.0.0:0"]);
    let (_, _, err) = mock.end("-TERM");
    assert!(err.contains("WARNING: --control 0.0.0.0:0"), "{err}");
}

#[test]
fn a_control_port_a_rate_and_a_latency() {
    let mut mock = Running::start(&[
        "--control",
        "127.0.0.1:0",
        "--rate",
        "7",
        "--latency",
        "2ms+-1ms",
        "--seed",
        "9",
    ]);
    let line = mock.line();
    let url = line.strip_prefix("control on ").unwrap();
    let settings = control(url, "GET", "/settings", "").json();
    assert_eq!(settings["rate"]["per_second"], 7.0);
    assert_eq!(settings["latency_ms"], serde_json::json!({"fixed": 2, "jitter": 1}));
    assert_eq!(settings["seed"], 9);
}

#[test]
fn keys_survive_a_restart_with_a_state_file() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state.json");
    let arguments = ["--key", "alias/demo", "--state", state.to_str().unwrap()];
    let mock = Running::start(&arguments);
    let made = call(
        &mock.url,
        "GenerateDataKey",
        r#"{"KeyId":"alias/demo","KeySpec":"AES_256"}"#,
    )
    .json();
    assert_eq!(mock.end("-TERM").0.code(), Some(0));

    let mock = Running::start(&arguments);
    let blob = made["CiphertextBlob"].as_str().unwrap();
    let opened = call(&mock.url, "Decrypt", &format!(r#"{{"CiphertextBlob":"{blob}"}}"#)).json();
    assert_eq!(
        (&opened["Plaintext"], &opened["KeyId"]),
        (&made["Plaintext"], &made["KeyId"])
    );
    assert!(opened["Plaintext"].is_string());
    assert_eq!(
        call(&mock.url, "ListKeys", "{}").json()["Keys"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn keys_of_a_seed_file_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let seeds = dir.path().join("keys.json");
    std::fs::write(
        &seeds,
        r#"{"keys":[{"alias":"alias/seeded","keyId":"1234abcd-12ab-34cd-56ef-1234567890ab"}]}"#,
    )
    .unwrap();
    let mock = Running::start(&["--seed-keys", seeds.to_str().unwrap()]);
    let key = call(&mock.url, "DescribeKey", r#"{"KeyId":"alias/seeded"}"#).json();
    assert_eq!(key["KeyMetadata"]["KeyId"], "1234abcd-12ab-34cd-56ef-1234567890ab");
}

#[test]
fn audit_events_go_to_a_file_or_to_standard_output() {
    let dir = tempfile::tempdir().unwrap();
    let audit = dir.path().join("audit.jsonl");
    let mock = Running::start(&["--audit", audit.to_str().unwrap()]);
    call(&mock.url, "ListKeys", "{}");
    assert!(!mock.end("-TERM").1.contains("eventName"));
    let lines = std::fs::read_to_string(&audit).unwrap();
    assert_eq!(lines.lines().count(), 1);

    let mock = Running::start(&["--audit", "-"]);
    call(&mock.url, "ListKeys", "{}");
    let out = mock.end("-TERM").1;
    let event: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(event["eventName"], "ListKeys");
}

#[test]
fn a_start_that_fails_reports_why() {
    let mock = Running::start(&[]);
    let taken = mock.url.strip_prefix("http://").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    let cases: [(&[&str], i32, &str); 8] = [
        (&["--state", empty.to_str().unwrap()], 1, "empty"),
        (&["--tls-certificate", "x"], 2, "--tls"),
        (&["--control", taken], 1, "cannot listen on"),
        (&["--key", "no alias"], 1, "alias"),
        (&["--seed-keys", "/no/such/file"], 1, "/no/such/file"),
        (&["--audit", "/no/such/file"], 1, "/no/such/file"),
        (&["--latency", "soon"], 2, "20ms"),
        (&["--rate", "fast"], 2, "--rate"),
    ];
    for (arguments, code, text) in cases {
        let mut child = command(arguments).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        // A mock that did start would not end by itself.
        let _ = line.is_empty() || child.kill().is_ok();
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), line.as_str()),
            (Some(code), ""),
            "{arguments:?}: {err}"
        );
        assert!(err.contains(text), "{arguments:?}: {err}");
    }
}
