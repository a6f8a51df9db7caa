"""Compares the audit log of kms-mock with what the clients did: CloudTrail's shape, and no secrets in it."""

import base64
import re
import uuid

from common import expect, expect_equal
from servers import REGION

# Refused after the service has read the request.
READ_AND_REFUSED = {
    *("InvalidCiphertextException", "IncorrectKeyException", "DisabledException", "KMSInvalidStateException"),
    *("NotFoundException", "AccessDeniedException", "DryRunOperationException"),
}
CRYPTOGRAPHIC = {"GenerateDataKey", "GenerateDataKeyWithoutPlaintext", "Encrypt", "Decrypt", "ReEncrypt"}
NOT_LOGGED = {"Plaintext", "CiphertextBlob", "GrantTokens", "GrantToken", "Marker"}
FIXED = {
    "eventVersion": "1.11",
    "eventSource": "kms.amazonaws.com",
    "awsRegion": REGION,
    "sourceIPAddress": "127.0.0.1",
    "eventType": "AwsApiCall",
    "eventCategory": "Management",
    "managementEvent": True,
}


def check_log(mock, recorder):
    """Every recorded call is one event, and every event has the shape of CloudTrail's."""
    events = {event["requestID"]: event for event in mock.events()}
    expect_equal(len(events), len(mock.events()), "the number of request ids, and of events")
    expect(recorder.calls, "there are calls to look for")
    for event in events.values():
        check_shape(event)
    for call in recorder.calls:
        if call.error == "UnsupportedOperationException":
            # Most of these have no operation that the log could name.
            continue
        expect(call.request_id in events, f"{call.operation} {call.request_id} is in the audit log")
        check_event(events[call.request_id], call)
    check_secrets(mock.audit.read_text(), recorder.secrets())
    return f"audit log: {len(events)} events, {len(recorder.secrets())} secrets not in it"


def check_shape(event):
    what = f"{event.get('eventName')} {event.get('requestID')}"
    expect_equal({name: event.get(name) for name in FIXED}, FIXED, f"{what}: the members that are always the same")
    for name in ("requestID", "eventID"):
        expect_equal(str(uuid.UUID(event[name])), event[name], f"{what}: {name} is a UUID")
    expect(event["requestID"] != event["eventID"], f"{what}: two ids")
    time = event["eventTime"]
    expect(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", time), f"{what}: eventTime in seconds, UTC: {time!r}")

    identity = event["userIdentity"]
    members = {"type", "principalId", "arn", "accountId", "accessKeyId", "userName"}
    expect(members <= set(identity), f"{what}: userIdentity with {sorted(members)}, got {sorted(identity)}")
    expect_equal(event["recipientAccountId"], identity["accountId"], f"{what}: recipientAccountId")
    expect(identity["accountId"] in identity["arn"], f"{what}: the account is in the caller's ARN {identity['arn']}")

    expect("clientProvidedHostHeader" in event["tlsDetails"], f"{what}: tlsDetails {event['tlsDetails']}")
    expect(event["userAgent"], f"{what}: a user agent")
    if event["eventName"] in CRYPTOGRAPHIC:
        expect_equal(event["readOnly"], True, f"{what}: readOnly")
        expect_equal(event["responseElements"], None, f"{what}: responseElements")


def check_event(event, call):
    what = f"{call.operation} {call.request_id}"
    expect_equal(event["eventName"], call.operation, f"{what}: eventName")
    # The one name that differs between CloudTrail and the wire.
    error = "AccessDenied" if call.error == "AccessDeniedException" else call.error
    expect_equal(event.get("errorCode"), error, f"{what}: errorCode")
    message = call.answer.get("Error", {}).get("Message") or None
    expect_equal(event.get("errorMessage"), message, f"{what}: errorMessage")
    expect(event["userAgent"].startswith("Boto3/"), f"{what}: the user agent is boto3's: {event['userAgent']}")
    parameters = event["requestParameters"] or {}
    if call.error is None or call.operation in CRYPTOGRAPHIC and call.error in READ_AND_REFUSED:
        # An empty context is the same as none.
        wanted = {name: value for name, value in logged(call.parameters).items() if value != {}}
        got = {name: parameters.get(name) for name in wanted}
        expect_equal(got, wanted, f"{what}: requestParameters")
        if call.operation == "Decrypt":
            expect_equal(parameters.get("encryptionAlgorithm"), "SYMMETRIC_DEFAULT", f"{what}: encryptionAlgorithm")
    if call.error is not None or call.operation not in CRYPTOGRAPHIC:
        return

    keys = {call.answer[name] for name in ("KeyId", "SourceKeyId") if name in call.answer}
    resources = {resource["ARN"]: resource["accountId"] for resource in event["resources"]}
    expect_equal(resources, {arn: arn.split(":")[4] for arn in keys}, f"{what}: resources")
    additional = event.get("additionalEventData") or {}
    for name in ("KeyMaterialId", "SourceKeyMaterialId", "DestinationKeyMaterialId"):
        if name in call.answer:
            expect_equal(additional.get(lower(name)), call.answer[name], f"{what}: additionalEventData.{lower(name)}")


def logged(parameters):
    """Parameters under the names that CloudTrail uses."""
    return {lower(name): logged_value(name, value) for name, value in parameters.items() if name not in NOT_LOGGED}


def logged_value(name, value):
    match name:
        case "Constraints":
            return logged(value)
        case "Tags":
            return [logged(tag) for tag in value]
        case _:
            return value


def lower(name):
    return name[0].lower() + name[1:]


def check_secrets(text, secrets):
    expect(secrets, "there are secrets to look for")
    for secret in secrets:
        # A whole number of base64's groups: these letters do not depend on the rest of the secret.
        start = secret[:12]
        for form in (base64.b64encode(start).decode(), base64.urlsafe_b64encode(start).decode(), start.hex()):
            expect(form.lower() not in text.lower(), f"a plaintext or ciphertext is in the audit log, as {form}")
