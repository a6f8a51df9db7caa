//! Settings from the environment and the files of AWS's tools, each case in its own process.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;

use sealstone::{EncryptionContext, KeyProvider};
use sealstone_aws_kms::AwsKms;

const KEY: &str = "SEALSTONE_TEST_KEY";
const PROFILE: &str = "SEALSTONE_TEST_PROFILE";

/// Requests a data key and prints the error.
#[test]
#[ignore = "started by the other tests, in an environment that they make"]
fn child() {
    let mut builder = AwsKms::builder(std::env::var(KEY).unwrap().parse().unwrap()).max_attempts(1);
    if let Ok(profile) = std::env::var(PROFILE) {
        builder = builder.profile(profile);
    }
    let provider = builder.build().unwrap();
    let error = pollster::block_on(provider.generate_key(&EncryptionContext::new())).unwrap_err();
    println!("class {:?}: {error}", error.class);
}

/// What `child` prints in this environment alone.
fn ask(environment: &[(&str, &str)]) -> String {
    let home = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "environment::child", "--ignored", "--nocapture"])
        .env_clear()
        .env("HOME", home.path())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{printed}{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    printed
}

/// The request that the client sends in this environment, to a server that refuses it.
fn request(environment: &[(&str, &str)]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            let mut part = [0; 4096];
            let read = stream.read(&mut part).unwrap();
            assert!(read > 0);
            request.extend_from_slice(&part[..read]);
        }
        let body = r#"{"__type":"AccessDeniedException","message":"not you"}"#;
        let head = format!(
            "HTTP/1.1 400 X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + body).as_bytes()).unwrap();
        String::from_utf8(request).unwrap()
    });
    let url = ("AWS_ENDPOINT_URL_KMS", &*url);
    let printed = ask(&[environment, &[url]].concat());
    assert!(
        printed.contains("class Denied") && printed.contains("not you"),
        "{printed}"
    );
    server.join().unwrap()
}

/// Wherever the endpoint is set.
#[test]
fn plain_http_to_another_machine_is_refused_wherever_it_is_configured() {
    let keys = [
        (KEY, "alias/x@eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
    ];
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config");
    fs::write(&file, "[default]\nendpoint_url = http://192.0.2.1:4599\n").unwrap();
    for named in [
        ("AWS_ENDPOINT_URL_KMS", "http://192.0.2.1:4599"),
        ("AWS_ENDPOINT_URL", "http://kms.example"),
        ("AWS_CONFIG_FILE", file.to_str().unwrap()),
    ] {
        let reported = ask(&[&keys[..], &[named]].concat());
        assert!(
            reported.contains("class Configuration") && reported.contains("plain http://"),
            "{named:?}: {reported}"
        );
    }
}

#[test]
fn what_is_missing_is_named_with_what_to_do() {
    let no_region = ask(&[
        (KEY, "alias/x"),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
    ]);
    assert!(no_region.contains("class Configuration"), "{no_region}");
    assert!(no_region.contains("@REGION, or set AWS_REGION"), "{no_region}");

    let no_credentials = ask(&[(KEY, "alias/x@eu-west-1")]);
    assert!(no_credentials.contains("class Denied"), "{no_credentials}");
    assert!(
        no_credentials.contains("there are no AWS credentials; set AWS_PROFILE"),
        "{no_credentials}"
    );

    let no_profile = ask(&[(KEY, "alias/x@eu-west-1"), (PROFILE, "there-is-none")]);
    assert!(no_profile.contains("class Denied"), "{no_profile}");
}

#[test]
fn endpoint_region_and_credentials_are_those_of_the_environment() {
    let credentials = [("AWS_ACCESS_KEY_ID", "AKIDENV"), ("AWS_SECRET_ACCESS_KEY", "b")];
    let region = [(KEY, "alias/x"), ("AWS_REGION", "eu-west-1")];
    let sent = request(&[credentials, region].concat());
    assert!(sent.contains("TrentService.GenerateDataKey"), "{sent}");
    assert!(
        sent.contains("Credential=AKIDENV/") && sent.contains("/eu-west-1/kms/"),
        "{sent}"
    );

    // The key's own region takes precedence.
    let region = [(KEY, "alias/x@us-east-2"), ("AWS_REGION", "eu-west-1")];
    assert!(request(&[credentials, region].concat()).contains("/us-east-2/kms/"));
}

#[test]
fn a_profile_brings_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config");
    let text = "[profile vault]\nregion = eu-north-1\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = b\n";
    fs::write(&file, text).unwrap();
    let file = ("AWS_CONFIG_FILE", file.to_str().unwrap());
    for profile in [(PROFILE, "vault"), ("AWS_PROFILE", "vault")] {
        let sent = request(&[(KEY, "alias/x"), file, profile]);
        assert!(
            sent.contains("Credential=AKIDPROFILE/") && sent.contains("/eu-north-1/kms/"),
            "{sent}"
        );
    }
}

/// As with the `aws` command: `VARIABLE=` is how a shell or a container unsets a setting.
#[test]
fn a_variable_that_is_set_to_nothing_counts_as_unset() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config");
    let text = "[default]\nregion = eu-north-1\naws_access_key_id = AKIDDEFAULT\naws_secret_access_key = b\n";
    fs::write(&file, text).unwrap();
    let base = [(KEY, "alias/x"), ("AWS_CONFIG_FILE", file.to_str().unwrap())];
    let unset = request(&base);
    assert!(
        unset.contains("Credential=AKIDDEFAULT/") && unset.contains("/eu-north-1/kms/"),
        "{unset}"
    );
    for blank in [
        &["AWS_REGION"][..],
        &["AWS_DEFAULT_REGION"],
        &["AWS_PROFILE"],
        &["AWS_ENDPOINT_URL"],
        &["AWS_SHARED_CREDENTIALS_FILE"],
        &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"],
        &["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME"],
        &[
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ],
        &["AWS_EC2_METADATA_DISABLED", "AWS_EC2_METADATA_SERVICE_ENDPOINT"],
        &[
            "AWS_USE_FIPS_ENDPOINT",
            "AWS_USE_DUALSTACK_ENDPOINT",
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
        ],
        &[
            "AWS_MAX_ATTEMPTS",
            "AWS_RETRY_MODE",
            "AWS_CA_BUNDLE",
            "AWS_SDK_UA_APP_ID",
            "AWS_ACCOUNT_ID",
        ],
    ] {
        let blank: Vec<_> = blank.iter().map(|name| (*name, "")).collect();
        let sent = request(&[&base[..], &blank].concat());
        assert!(
            sent.contains("Credential=AKIDDEFAULT/") && sent.contains("/eu-north-1/kms/"),
            "{blank:?}: {sent}"
        );
    }
    // The next setting in line, not AWS's own endpoint.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let section = format!(
        "{text}services = here\nendpoint_url = http://0.0.0.1\n[services here]\nkms =\n  endpoint_url = {url}\n"
    );
    fs::write(&file, section).unwrap();
    for blank in [
        &["AWS_ENDPOINT_URL_KMS"][..],
        &["AWS_ENDPOINT_URL_KMS", "AWS_ENDPOINT_URL"],
    ] {
        let blank: Vec<_> = blank.iter().map(|name| (*name, "")).collect();
        let reported = ask(&[&base[..], &blank].concat());
        assert!(
            reported.contains("class Unavailable") && reported.contains("refused"),
            "{reported}"
        );
    }
    let next = ("AWS_ENDPOINT_URL", &*url);
    let reported = ask(&[&base[..], &[("AWS_ENDPOINT_URL_KMS", ""), next]].concat());
    assert!(reported.contains("refused"), "{reported}");
}

/// An outage passes, a configuration error does not, so the two are distinguished.
#[test]
fn what_is_configured_wrongly_is_never_an_outage() {
    let base = [
        (KEY, "alias/x"),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
    ];
    let region = ("AWS_REGION", "eu-west-1");
    for url in [
        "127.0.0.1:8600",
        "localhost:8600",
        "http://",
        "http:///x",
        "https://:1",
        "http://a b",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:x",
        "ftp://127.0.0.1",
        "http://[::1",
        "http://a@b@c:1",
        "http://%",
    ] {
        for variable in ["AWS_ENDPOINT_URL_KMS", "AWS_ENDPOINT_URL"] {
            // AWS's client ignores a generic endpoint that is not a URL, with a warning in its log.
            let reported = ask(&[&base[..], &[region, (variable, url)]].concat());
            assert!(reported.contains("class Configuration"), "{variable}={url}: {reported}");
        }
    }
    for region in ["eu west", "eu/west", "eu.west", "é", "nowhere", "eu-west"] {
        let reported = ask(&[&base[..], &[("AWS_REGION", region)]].concat());
        assert!(
            reported.contains("class Configuration") && reported.contains("region"),
            "{region}: {reported}"
        );
    }
}
