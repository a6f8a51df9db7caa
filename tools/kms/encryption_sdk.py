#!/usr/bin/env python3
"""AWS's encryption SDK seals and opens with keys of kms-mock.

encryption_sdk.py KMS_MOCK
"""

import logging
import os
import sys

sys.path.append(f"{sys.path[0]}/..")

import boto3
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_cryptographic_material_providers.mpl.models import CreateAwsKmsKeyringInput, CreateAwsKmsMrkKeyringInput
from aws_encryption_sdk import CommitmentPolicy, EncryptionSDKClient
from aws_encryption_sdk.exceptions import AWSEncryptionSDKClientError
from common import expect, expect_equal, failure
from servers import REGION, Mock

THERE = "us-west-2"
CONTEXT = {"bucket": "photos", "key": "2024/Å.jpg"}


def refused(what, client, **parameters):
    expect(failure(AWSEncryptionSDKClientError, client.decrypt, **parameters), f"the SDK refuses {what}")


def across_regions(providers, client):
    """A message sealed in one region opens in another, with the replica of its key."""
    clients = {region: boto3.client("kms", region_name=region) for region in (REGION, THERE)}
    key_id = clients[REGION].create_key(MultiRegion=True)["KeyMetadata"]["KeyId"]
    clients[REGION].replicate_key(KeyId=key_id, ReplicaRegion=THERE)
    keyrings = {}
    for region, kms in clients.items():
        arn = kms.describe_key(KeyId=key_id)["KeyMetadata"]["Arn"]
        mrk = CreateAwsKmsMrkKeyringInput(kms_key_id=arn, kms_client=kms)
        keyrings[region] = providers.create_aws_kms_mrk_keyring(input=mrk)
    plaintext = os.urandom(1000)
    for one, other in ((REGION, THERE), (THERE, REGION)):
        sealed, _ = client.encrypt(source=plaintext, keyring=keyrings[one], encryption_context=CONTEXT)
        opened, _ = client.decrypt(source=sealed, keyring=keyrings[other], encryption_context=CONTEXT)
        expect(opened == plaintext, f"sealed in {one}, opened in {other}")
    clients[REGION].disable_key(KeyId=key_id)
    client.encrypt(source=plaintext, keyring=keyrings[THERE], encryption_context=CONTEXT)
    refused("a replica that is disabled", client, source=sealed, keyring=keyrings[REGION])


def main(binary):
    # It logs every refusal with a trace; these are expected.
    logging.disable(logging.ERROR)
    with Mock(binary) as mock:
        # The SDK has no setting for the endpoint: it uses this client, which reads the environment.
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

        # The same length, so that only the context is wrong.
        tampered = sealed.replace(b"photos", b"phctos")
        expect(tampered != sealed, "the message carries its context in clear")
        swapped = {**CONTEXT, "bucket": "videos"}
        refused("a tampered context in the message", client, source=tampered, keyring=keyring)
        refused("another context from the caller", client, source=sealed, keyring=keyring, encryption_context=swapped)
        refused("a keyring of another key", client, source=sealed, keyring=wrong)
        kms.disable_key(KeyId=arn)
        refused("a disabled key", client, source=sealed, keyring=keyring)
        print("refused: a tampered context, another context, another key, a disabled key")

        across_regions(providers, client)
        print("a multi-region key's keyring opens in each region what the other one sealed")

        events = [event for event in mock.events() if event["eventName"] in ("GenerateDataKey", "Decrypt", "Encrypt")]
        for event in events:
            context = event["requestParameters"]["encryptionContext"]
            bucket = {"photos", "phctos"} & {context["bucket"]}
            expect(bucket and context["key"] == CONTEXT["key"], f"the context of {event['eventName']}: {context}")
        errors = [event["errorCode"] for event in events if "errorCode" in event]
        # Another key and another context are refused by the SDK itself, before any call.
        refusals = ["InvalidCiphertextException", "DisabledException", "DisabledException"]
        expect_equal(errors, refusals, "the refusals in the audit log")


main(*sys.argv[1:])
