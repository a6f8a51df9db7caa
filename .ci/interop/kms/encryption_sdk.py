#!/usr/bin/env python3
"""AWS's own encryption SDK seals and opens with keys of kms-mock.

    encryption_sdk.py KMS_MOCK

KMS_MOCK is the binary.
"""

import logging
import os
import sys

import boto3
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_cryptographic_material_providers.mpl.models import CreateAwsKmsKeyringInput
from aws_encryption_sdk import CommitmentPolicy, EncryptionSDKClient
from aws_encryption_sdk.exceptions import AWSEncryptionSDKClientError

from expect import expect, expect_equal
from servers import Mock

CONTEXT = {"bucket": "photos", "key": "2024/Å.jpg"}


def refused(what, client, **parameters):
    try:
        client.decrypt(**parameters)
    except AWSEncryptionSDKClientError:
        return
    raise SystemExit(f"does not hold: refused, {what}")


def main(binary):
    # It logs every refusal with a trace; here they are wanted.
    logging.disable(logging.ERROR)
    with Mock(binary) as mock:
        # The SDK has no setting for the endpoint: it takes the client, and that one reads the environment.
        kms = boto3.client("kms")
        arn, other = (kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2))
        providers = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())
        keyring, wrong = (
            providers.create_aws_kms_keyring(input=CreateAwsKmsKeyringInput(kms_key_id=each, kms_client=kms))
            for each in (arn, other)
        )
        client = EncryptionSDKClient(commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)

        for length in (0, 1, 4096, 100_000):
            plaintext = os.urandom(length)
            sealed, header = client.encrypt(source=plaintext, keyring=keyring, encryption_context=CONTEXT)
            expect(CONTEXT.items() <= header.encryption_context.items(), "the context is in the message")
            opened, _ = client.decrypt(source=sealed, keyring=keyring, encryption_context=CONTEXT)
            expect(opened == plaintext, f"{length} bytes, sealed and opened")
        print("messages of 4 lengths sealed and opened")

        # The same length, so that nothing but the context is wrong.
        tampered = sealed.replace(b"photos", b"phctos")
        expect(tampered != sealed, "the message carries its context in clear")
        swapped = {**CONTEXT, "bucket": "videos"}
        refused("a tampered context in the message", client, source=tampered, keyring=keyring)
        refused("another context from the caller", client, source=sealed, keyring=keyring, encryption_context=swapped)
        refused("a keyring of another key", client, source=sealed, keyring=wrong)
        kms.disable_key(KeyId=arn)
        refused("a disabled key", client, source=sealed, keyring=keyring)
        print("refused: a tampered context, another context, another key, a disabled key")

        events = [event for event in mock.events() if event["eventName"] in ("GenerateDataKey", "Decrypt", "Encrypt")]
        for event in events:
            context = event["requestParameters"]["encryptionContext"]
            bucket = {"photos", "phctos"} & {context["bucket"]}
            expect(bucket and context["key"] == CONTEXT["key"], f"the context of {event['eventName']}: {context}")
        errors = [event["errorCode"] for event in events if "errorCode" in event]
        # Another key and another context are refused by the SDK itself, before any call.
        expect_equal(errors, ["InvalidCiphertextException", "DisabledException"], "the refusals in the audit log")


if __name__ == "__main__":
    main(*sys.argv[1:])
