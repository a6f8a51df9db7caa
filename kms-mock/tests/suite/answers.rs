//! AWS's exact answers: code, status, text and members, each a line of `answers.table`.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding as _};
use sealstone_kms_mock::{MockKms, fuzzing};
use serde_json::{Value, json};

use crate::common::Client;

const TABLE: &str = include_str!("../answers.table");

/// One line of the table.
#[derive(Debug)]
struct Case<'t> {
    operation: &'t str,
    request: &'t str,
    answer: &'t str,
}

fn cases() -> impl Iterator<Item = Case<'static>> {
    let lines = TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| {
        let parts = || {
            let (case, answer) = line.split_once(" -> ")?;
            let (source, case) = case.split_once(' ')?;
            let (operation, request) = case.split_once(' ')?;
            ["A", "M", "O"].contains(&source).then_some(Case {
                operation,
                request,
                answer,
            })
        };
        parts().unwrap_or_else(|| panic!("not SOURCE OPERATION REQUEST -> ANSWER: {line}"))
    })
}

/// A mock with everything that a line can name.
struct World {
    _mock: MockKms,
    client: Client,
    names: BTreeMap<&'static str, String>,
}

impl World {
    fn new() -> Self {
        let mock = MockKms::start().unwrap();
        let client = Client::new(&mock.endpoint());
        let mut world = Self {
            _mock: mock,
            client,
            names: BTreeMap::new(),
        };
        world.fill();
        world
    }

    fn fill(&mut self) {
        let tags = json!([{ "TagKey": "t1", "TagValue": "v1" }]);
        let key = self.key(&json!({ "Description": "d", "Tags": tags }));
        self.call("CreateAlias", &json!({ "AliasName": "alias/a", "TargetKeyId": key }));
        let disabled = self.key(&json!({}));
        self.call("DisableKey", &json!({ "KeyId": disabled }));
        let pending = self.key(&json!({}));
        self.call("ScheduleKeyDeletion", &json!({ "KeyId": pending }));
        let mrk = self.key(&json!({ "MultiRegion": true }));
        self.call("ReplicateKey", &json!({ "KeyId": mrk, "ReplicaRegion": "eu-west-1" }));
        let wrap = json!({ "KeyId": key, "KeySpec": "AES_256", "EncryptionContext": { "a": "1" } });
        let blob = text(&self.call("GenerateDataKey", &wrap)["CiphertextBlob"]);
        let wrapped = self.call("GenerateDataKey", &json!({ "KeyId": mrk, "KeySpec": "AES_256" }));
        let aws = self.call("DescribeKey", &json!({ "KeyId": "alias/aws/s3" }));
        let grant = self.call(
            "CreateGrant",
            &json!({
                "KeyId": key, "Operations": ["Decrypt"], "Name": "n",
                "GranteePrincipal": "arn:aws:iam::000000000000:user/u",
                "RetiringPrincipal": "arn:aws:iam::000000000000:user/r",
                "Constraints": { "EncryptionContextSubset": { "a": "1" } },
            }),
        );
        let many: Vec<_> = (0..51)
            .map(|number| json!({ "TagKey": format!("k{number}"), "TagValue": "" }))
            .collect();
        let id = |arn: &str| arn.rsplit('/').next().unwrap().to_owned();
        self.names = BTreeMap::from([
            ("<id>", id(&key)),
            ("<key>", key),
            ("<alias>", "alias/a".to_owned()),
            ("<disabled>", disabled),
            ("<pending>", pending),
            ("<mrk-id>", id(&mrk)),
            ("<mrk>", mrk),
            ("<blob>", blob),
            ("<mrk-blob>", text(&wrapped["CiphertextBlob"])),
            ("<aws>", text(&aws["KeyMetadata"]["Arn"])),
            ("<grant>", text(&grant["GrantId"])),
            ("<token>", text(&grant["GrantToken"])),
            ("<51 tags>", json!(many).to_string()),
        ]);
    }

    fn call(&mut self, operation: &str, body: &Value) -> Value {
        let answer = self.client.call(operation, &body.to_string());
        assert_eq!(answer.status, 200, "{operation} {body}");
        serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
    }

    fn key(&mut self, body: &Value) -> String {
        text(&self.call("CreateKey", body)["KeyMetadata"]["Arn"])
    }

    fn filled(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.names {
            text = text.replace(name, value);
        }
        // <c*N>
        while let Some(start) = text.find('<') {
            let len = text[start..].find('>').unwrap_or_else(|| panic!("no end: {text}"));
            let (letter, count) = text[start + 1..start + len]
                .split_once('*')
                .unwrap_or_else(|| panic!("no such name: {text}"));
            let letters = letter.repeat(count.parse().unwrap());
            text.replace_range(start..=start + len, &letters);
        }
        text
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// Where an answer differs from the expected one.
fn difference(expected: &Value, got: &Value, place: &str) -> Option<String> {
    let differs = || Some(format!("{place}: expected {expected}, got {got}"));
    match (expected, got) {
        (Value::Object(wanted), Value::Object(members)) => {
            if wanted.keys().collect::<Vec<_>>() != members.keys().collect::<Vec<_>>() {
                let names = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<Vec<_>>();
                return Some(format!(
                    "{place}: expected {:?}, got {:?}",
                    names(wanted),
                    names(members)
                ));
            }
            let mut members = wanted.iter().zip(members.values());
            members.find_map(|((name, wanted), got)| difference(wanted, got, &format!("{place}.{name}")))
        }
        (Value::Array(wanted), Value::Array(items)) if wanted.len() == items.len() => {
            let mut items = wanted.iter().zip(items);
            items.find_map(|(wanted, got)| difference(wanted, got, place))
        }
        (Value::String(form), got) if form.starts_with('?') => (!fits(form, got)).then(differs).flatten(),
        _ => (expected != got).then(differs).flatten(),
    }
}

fn fits(form: &str, got: &Value) -> bool {
    let text = got.as_str().unwrap_or_default();
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match form.split_once(':').unwrap_or((form, "")) {
        ("?", _) => !text.is_empty(),
        ("?date", _) => got.as_f64().is_some_and(|seconds| seconds > 1.6e9),
        ("?bytes", "") => Base64::decode_vec(text).is_ok_and(|bytes| !bytes.is_empty()),
        ("?bytes", len) => Base64::decode_vec(text).is_ok_and(|bytes| bytes.len().to_string() == len),
        ("?material", _) => text.len() == 64 && is_hex(text),
        ("?hex", _) => text.len() >= 64 && is_hex(text),
        ("?id", _) => text.len() == 36 && is_hex(&text.replace("mrk-", "").replace('-', "")),
        ("?arn", _) => text.starts_with("arn:aws:kms:us-east-1:000000000000:key/"),
        _ => panic!("{form} is no form"),
    }
}

#[test]
fn every_line_of_the_table_holds() {
    let mut failed = Vec::new();
    for case in cases() {
        let mut world = World::new();
        let (request, expected) = (world.filled(case.request), world.filled(case.answer));
        let answer = world.client.call(case.operation, &request);
        let body = String::from_utf8(answer.body.clone()).unwrap();
        let wrong = if expected == "nothing" {
            (answer.status != 200 || !body.is_empty()).then(|| format!("got {} {body}", answer.status))
        } else if expected.starts_with('{') {
            let wanted = serde_json::from_str(&expected).unwrap_or_else(|error| panic!("{error}: {expected}"));
            match answer.status {
                200 => difference(&wanted, &answer.json(), ""),
                status => Some(format!("got {status} {body}")),
            }
        } else {
            let wanted = match expected.split_once(": ") {
                Some((kind, message)) => json!({ "__type": kind, "message": message }),
                None => json!({ "__type": expected }),
            };
            let got: Value = serde_json::from_str(&body).unwrap_or(Value::Null);
            let status = (answer.status != 400).then(|| format!("got {} {body}", answer.status));
            status.or_else(|| difference(&wanted, &got, ""))
        };
        failed.extend(wrong.map(|wrong| format!("{} {}\n    {wrong}", case.operation, case.request)));
    }
    assert!(
        failed.is_empty(),
        "{} lines do not hold:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

#[test]
fn every_operation_has_a_line_that_succeeds_and_one_that_fails() {
    for operation in fuzzing::operations() {
        let of_it = || cases().filter(|case| case.operation == operation);
        let succeeds = |case: &Case<'_>| case.answer == "nothing" || case.answer.starts_with('{');
        assert!(
            of_it().any(|case| succeeds(&case)),
            "{operation} has no line that succeeds"
        );
        assert!(
            of_it().any(|case| !succeeds(&case)),
            "{operation} has no line that fails"
        );
    }
}
