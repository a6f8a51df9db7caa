#!/usr/bin/env python3
"""boto3 against kms-mock: every operation that storage systems use, and the errors they rely on.

boto3_client.py KMS_MOCK
"""

import os
import re
import sys
import uuid

sys.path.append(f"{sys.path[0]}/..")

import boto3
from audit import check_log
from botocore.config import Config
from botocore.exceptions import ClientError
from clients import Recorder, refused
from common import expect, expect_equal, failure
from servers import REGION, Mock

S3_CONTEXT = {"aws:s3:arn": "arn:aws:s3:::bucket/key"}


class Session:
    """Makes clients, and records what each one sends and gets, to compare with the audit log."""

    def __init__(self, mock):
        self.mock, self.recorder = mock, Recorder()

    def client(self, retries=None, access_key=None):
        # Values out of range must reach the service.
        retries = retries or {"mode": "standard", "total_max_attempts": 1}
        config = Config(retries=retries, parameter_validation=False)
        secret = None if access_key is None else "not-a-secret"
        client = boto3.client("kms", config=config, aws_access_key_id=access_key, aws_secret_access_key=secret)
        self.recorder.listen(client)
        return client


def new_key(kms, **parameters):
    return kms.create_key(**parameters)["KeyMetadata"]["Arn"]


def forms(arn, alias):
    """The ways to name a key."""
    prefix, bare = arn.rsplit(":key/", 1)
    return [bare, arn, alias, f"{prefix}:{alias}"]


def keys_and_aliases(session):
    kms = session.client()
    metadata = kms.create_key(Description="first")["KeyMetadata"]
    arn, key_id = metadata["Arn"], metadata["KeyId"]
    expect(re.fullmatch(rf"arn:aws:kms:{REGION}:\d{{12}}:key/{key_id}", arn), f"an ARN of {REGION} and {key_id}: {arn}")
    expect_equal(str(uuid.UUID(key_id)), key_id, "the key id is a UUID")
    wanted = {
        "AWSAccountId": arn.split(":")[4],
        "Enabled": True,
        "Description": "first",
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeyState": "Enabled",
        "Origin": "AWS_KMS",
        "KeyManager": "CUSTOMER",
        "CustomerMasterKeySpec": "SYMMETRIC_DEFAULT",
        "KeySpec": "SYMMETRIC_DEFAULT",
        "EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"],
        "MultiRegion": False,
    }
    expect_equal({name: metadata.get(name) for name in wanted}, wanted, "the metadata of a new key")
    expect(re.fullmatch("[0-9a-f]{64}", metadata["CurrentKeyMaterialId"]), "a key material id is 64 hexadecimal digits")

    kms.create_alias(AliasName="alias/demo", TargetKeyId=key_id)
    refused("AlreadyExistsException", kms.create_alias, AliasName="alias/demo", TargetKeyId=key_id)
    for form in forms(arn, "alias/demo"):
        expect_equal(kms.describe_key(KeyId=form)["KeyMetadata"], metadata, f"what {form} is")
        answer = kms.generate_data_key(KeyId=form, KeySpec="AES_256")
        expect_equal(answer["KeyId"], arn, f"the key id in the answer when asked for {form}")
    refused("NotFoundException", kms.describe_key, KeyId="alias/absent")
    refused("NotFoundException", kms.describe_key, KeyId=str(uuid.uuid4()))
    refused("NotFoundException", kms.create_alias, AliasName="alias/lost", TargetKeyId=str(uuid.uuid4()))

    other = new_key(kms)
    kms.update_alias(AliasName="alias/demo", TargetKeyId=other)
    expect_equal(kms.describe_key(KeyId="alias/demo")["KeyMetadata"]["Arn"], other, "the key of an updated alias")
    refused("NotFoundException", kms.update_alias, AliasName="alias/absent", TargetKeyId=other)
    listed = {alias["AliasName"]: alias for alias in kms.list_aliases(KeyId=other)["Aliases"]}
    expect_equal(list(listed), ["alias/demo"], "the aliases of one key")
    expect_equal(listed["alias/demo"]["TargetKeyId"], other.rsplit("/", 1)[1], "the target of the listed alias")
    expect_equal(listed["alias/demo"]["AliasArn"], forms(other, "alias/demo")[3], "the ARN of the listed alias")
    expect_equal(kms.list_aliases(KeyId=arn)["Aliases"], [], "the aliases of the key that it pointed to before")

    kms.delete_alias(AliasName="alias/demo")
    refused("NotFoundException", kms.describe_key, KeyId="alias/demo")
    refused("NotFoundException", kms.delete_alias, AliasName="alias/demo")
    return "create, describe by every form of KeyId, aliases"


def managed_key(session):
    kms = session.client()
    reserved = "alias/aws/s3"
    answer = kms.generate_data_key(KeyId=reserved, KeySpec="AES_256", EncryptionContext=S3_CONTEXT)
    metadata = kms.describe_key(KeyId=reserved)["KeyMetadata"]
    expect_equal(metadata["Arn"], answer["KeyId"], "the key of alias/aws/s3")
    expect_equal(metadata["KeyManager"], "AWS", "who manages it")
    names = [alias["AliasName"] for alias in kms.list_aliases()["Aliases"]]
    expect(reserved in names, f"{reserved} is among the aliases: {names}")
    expect_equal(
        kms.decrypt(CiphertextBlob=answer["CiphertextBlob"], EncryptionContext=S3_CONTEXT)["Plaintext"],
        answer["Plaintext"],
        "a data key of the managed key",
    )
    refused("NotAuthorizedException", kms.create_alias, AliasName="alias/aws/mine", TargetKeyId=answer["KeyId"])
    return "alias/aws/s3 appears on first use"


def administration(session):
    kms = session.client()
    tags = [{"TagKey": "Name", "TagValue": "photos"}, {"TagKey": "team", "TagValue": ""}]
    policy = '{"Statement":[{"Effect":"Allow","Principal":"*","Action":"kms:*","Resource":"*"}]}'
    arn = new_key(kms, Tags=tags, Policy=policy, Description="first")
    expect_equal(kms.list_resource_tags(KeyId=arn)["Tags"], tags, "the tags of a new key")
    expect_equal(kms.get_key_policy(KeyId=arn)["Policy"], policy, "the policy of a new key")
    kms.tag_resource(KeyId=arn, Tags=[{"TagKey": "team", "TagValue": "two"}])
    kms.untag_resource(KeyId=arn, TagKeys=["Name"])
    expect_equal(kms.list_resource_tags(KeyId=arn)["Tags"], [{"TagKey": "team", "TagValue": "two"}], "changed tags")
    kms.put_key_policy(KeyId=arn, PolicyName="default", Policy=policy.replace("Allow", "Deny"))
    expect_equal(kms.get_key_policy(KeyId=arn)["Policy"], policy.replace("Allow", "Deny"), "a changed policy")
    # The policy is stored, not enforced.
    kms.update_key_description(KeyId=arn, Description="second")
    expect_equal(kms.describe_key(KeyId=arn)["KeyMetadata"]["Description"], "second", "a changed description")
    refused("TagException", kms.tag_resource, KeyId=arn, Tags=tags * 2)
    refused("MalformedPolicyDocumentException", kms.put_key_policy, KeyId=arn, Policy="[]")
    return "tags, policies and descriptions are kept and returned"


def data_keys(session):
    kms = session.client()
    arn = new_key(kms)
    for length, size in [(32, {"KeySpec": "AES_256"}), (16, {"KeySpec": "AES_128"}), (64, {"NumberOfBytes": 64})]:
        made = kms.generate_data_key(KeyId=arn, EncryptionContext=S3_CONTEXT, **size)
        expect_equal(len(made["Plaintext"]), length, f"the length of a data key of {size}")
        read = kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext=S3_CONTEXT)
        expect_equal(read["Plaintext"], made["Plaintext"], f"a data key of {size}, decrypted")
        expect_equal(read["KeyId"], arn, "the key of the answer to Decrypt")
        expect_equal(read["EncryptionAlgorithm"], "SYMMETRIC_DEFAULT", "the algorithm of the answer to Decrypt")
        expect_equal(read["KeyMaterialId"], made["KeyMaterialId"], "the key material of a data key")
    made = kms.generate_data_key(KeyId=arn, KeySpec="AES_256")
    again = kms.generate_data_key(KeyId=arn, KeySpec="AES_256")
    expect(made["Plaintext"] != again["Plaintext"], "two data keys differ")

    without = kms.generate_data_key_without_plaintext(KeyId=arn, KeySpec="AES_256", EncryptionContext=S3_CONTEXT)
    expect("Plaintext" not in without, "GenerateDataKeyWithoutPlaintext answers no plaintext")
    read = kms.decrypt(CiphertextBlob=without["CiphertextBlob"], EncryptionContext=S3_CONTEXT, KeyId=arn)
    expect_equal(len(read["Plaintext"]), 32, "the length of a data key made without plaintext")

    both = {"KeyId": arn, "KeySpec": "AES_256", "NumberOfBytes": 32}
    refused("ValidationException", kms.generate_data_key, **both)
    refused("ValidationException", kms.generate_data_key, KeyId=arn)
    return "data keys of each size, with and without plaintext"


def direct(session):
    kms = session.client()
    arn = new_key(kms)
    for length in (1, 31, 4096):
        plaintext = os.urandom(length)
        made = kms.encrypt(KeyId=arn, Plaintext=plaintext, EncryptionContext=S3_CONTEXT)
        expect_equal((made["KeyId"], made["EncryptionAlgorithm"]), (arn, "SYMMETRIC_DEFAULT"), "the answer to Encrypt")
        expect(len(made["CiphertextBlob"]) <= 6144, f"the ciphertext of {length} bytes fits into Decrypt")
        read = kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext=S3_CONTEXT)
        expect_equal(read["Plaintext"], plaintext, f"{length} bytes, encrypted and decrypted")
    refused("ValidationException", kms.encrypt, KeyId=arn, Plaintext=bytes(4097))

    expect_equal(len(kms.generate_random(NumberOfBytes=1024)["Plaintext"]), 1024, "the length of random bytes")
    return "encrypt and decrypt, random bytes"


def contexts(session):
    kms = session.client()
    arn = new_key(kms)
    pairs = [
        (S3_CONTEXT, {}),
        (S3_CONTEXT, {"aws:s3:arn": "arn:aws:s3:::bucket/KEY"}),
        (S3_CONTEXT, {**S3_CONTEXT, "more": "1"}),
        ({}, S3_CONTEXT),
        # The same letters in the same order: a context without lengths in its encoding cannot tell them apart.
        ({"a": "bc"}, {"ab": "c"}),
        ({"a": "b", "c": "d"}, {"a": "bcd"}),
        ({"Åre": "ö"}, {"Åre": "o"}),
    ]
    for sealed, wrong in pairs:
        blob = kms.generate_data_key(KeyId=arn, KeySpec="AES_256", EncryptionContext=sealed)["CiphertextBlob"]
        kms.decrypt(CiphertextBlob=blob, EncryptionContext=dict(reversed(sealed.items())))
        code = "InvalidCiphertextException"
        message = refused(code, kms.decrypt, CiphertextBlob=blob, EncryptionContext=wrong)
        expect_equal(message, "", f"the message of {code}")
        change = {"DestinationKeyId": arn, "SourceEncryptionContext": wrong}
        refused(code, kms.re_encrypt, CiphertextBlob=blob, **change)
    return f"{len(pairs)} wrong contexts refused"


def wrong_ciphertexts(session):
    kms = session.client()
    arn, other = new_key(kms), new_key(kms)
    blob = kms.generate_data_key(KeyId=arn, KeySpec="AES_256")["CiphertextBlob"]
    for form in [other, other.rsplit("/", 1)[1]]:
        refused("IncorrectKeyException", kms.decrypt, CiphertextBlob=blob, KeyId=form)
    refused("IncorrectKeyException", kms.re_encrypt, CiphertextBlob=blob, SourceKeyId=other, DestinationKeyId=arn)
    refused("NotFoundException", kms.decrypt, CiphertextBlob=blob, KeyId="alias/absent")

    # Not all random: a blob that begins like the mock's would be one of an unknown key.
    noise = b"\xff" + os.urandom(len(blob) - 1)
    altered = [blob[:-1] + bytes([blob[-1] ^ 1]), blob[:-1], blob + b"\0", noise, b"x", bytes(6144)]
    for number, bad in enumerate(altered):
        message = refused("InvalidCiphertextException", kms.decrypt, CiphertextBlob=bad)
        expect_equal(message, "", f"the message for altered ciphertext {number}")
    refused("ValidationException", kms.decrypt, CiphertextBlob=bytes(6145))
    return "wrong keys and altered ciphertexts refused"


def cryptographic_calls(kms, arn, blob):
    return [
        (kms.generate_data_key, {"KeyId": arn, "KeySpec": "AES_256"}),
        (kms.generate_data_key_without_plaintext, {"KeyId": arn, "KeySpec": "AES_256"}),
        (kms.encrypt, {"KeyId": arn, "Plaintext": b"sixteen bytes ok"}),
        (kms.decrypt, {"CiphertextBlob": blob}),
        (kms.decrypt, {"CiphertextBlob": blob, "KeyId": arn}),
    ]


def states(session):
    kms = session.client()
    arn, other = new_key(kms), new_key(kms)
    blob = kms.generate_data_key(KeyId=arn, KeySpec="AES_256")["CiphertextBlob"]
    other_blob = kms.generate_data_key(KeyId=other, KeySpec="AES_256")["CiphertextBlob"]
    calls = cryptographic_calls(kms, arn, blob)
    calls.append((kms.re_encrypt, {"CiphertextBlob": blob, "DestinationKeyId": other}))
    calls.append((kms.re_encrypt, {"CiphertextBlob": other_blob, "DestinationKeyId": arn}))

    def state():
        metadata = kms.describe_key(KeyId=arn)["KeyMetadata"]
        return metadata["KeyState"], metadata["Enabled"]

    kms.disable_key(KeyId=arn)
    expect_equal(state(), ("Disabled", False), "the state of a disabled key")
    for call, parameters in calls:
        expect_equal(refused("DisabledException", call, **parameters), f"{arn} is disabled.", "the message")
    kms.enable_key(KeyId=arn)
    expect_equal(state(), ("Enabled", True), "the state of an enabled key")
    for call, parameters in calls:
        call(**parameters)

    message = refused("KMSInvalidStateException", kms.cancel_key_deletion, KeyId=arn)
    expect_equal(message, f"{arn} is not pending deletion.", "the message")
    for days in (6, 31):
        refused("ValidationException", kms.schedule_key_deletion, KeyId=arn, PendingWindowInDays=days)
    planned = kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=7)
    got = {name: planned[name] for name in ("KeyId", "KeyState", "PendingWindowInDays")}
    expect_equal(got, {"KeyId": arn, "KeyState": "PendingDeletion", "PendingWindowInDays": 7}, "the planned deletion")
    metadata = kms.describe_key(KeyId=arn)["KeyMetadata"]
    expect_equal(metadata["DeletionDate"], planned["DeletionDate"], "the date of deletion in the metadata")
    for call, parameters in calls:
        message = refused("KMSInvalidStateException", call, **parameters)
        expect_equal(message, f"{arn} is pending deletion.", "the message")
    refused("KMSInvalidStateException", kms.enable_key, KeyId=arn)
    refused("KMSInvalidStateException", kms.schedule_key_deletion, KeyId=arn)

    expect_equal(kms.cancel_key_deletion(KeyId=arn)["KeyId"], arn, "the key whose deletion was cancelled")
    expect_equal(state(), ("Disabled", False), "the state after the deletion was cancelled")
    kms.enable_key(KeyId=arn)
    kms.decrypt(CiphertextBlob=blob)

    kms.create_alias(AliasName="alias/doomed", TargetKeyId=arn)
    kms.schedule_key_deletion(KeyId=arn, PendingWindowInDays=7)
    session.mock.advance_clock(days=6)
    expect_equal(state(), ("PendingDeletion", False), "the state a day before the deletion")
    session.mock.advance_clock(days=2)
    refused("NotFoundException", kms.describe_key, KeyId=arn)
    refused("NotFoundException", kms.describe_key, KeyId="alias/doomed")
    refused("NotFoundException", kms.generate_data_key, KeyId=arn, KeySpec="AES_256")
    # The blob is well formed, but its key is unknown.
    refused("AccessDeniedException", kms.decrypt, CiphertextBlob=blob)
    kms.decrypt(CiphertextBlob=other_blob)
    return "disabled, enabled, pending deletion, cancelled, deleted by the clock"


def re_encryption(session):
    kms = session.client()
    old, new = new_key(kms), new_key(kms)
    made = kms.generate_data_key(KeyId=old, KeySpec="AES_256", EncryptionContext=S3_CONTEXT)
    moved_context = {"aws:s3:arn": "arn:aws:s3:::bucket/moved"}
    moved = kms.re_encrypt(
        CiphertextBlob=made["CiphertextBlob"],
        SourceKeyId=old,
        SourceEncryptionContext=S3_CONTEXT,
        DestinationKeyId=new,
        DestinationEncryptionContext=moved_context,
    )
    expect("Plaintext" not in moved, "ReEncrypt answers no plaintext")
    wanted = {
        "SourceKeyId": old,
        "KeyId": new,
        "SourceEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "DestinationEncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "SourceKeyMaterialId": made["KeyMaterialId"],
    }
    expect_equal({name: moved.get(name) for name in wanted}, wanted, "the answer to ReEncrypt")

    read = kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], KeyId=new, EncryptionContext=moved_context)
    expect_equal(read["Plaintext"], made["Plaintext"], "a data key after ReEncrypt")
    expect_equal(read["KeyMaterialId"], moved["DestinationKeyMaterialId"], "the key material after ReEncrypt")
    invalid = "InvalidCiphertextException"
    refused(invalid, kms.decrypt, CiphertextBlob=moved["CiphertextBlob"], EncryptionContext=S3_CONTEXT)
    old_blob = {"CiphertextBlob": made["CiphertextBlob"]}
    refused("NotFoundException", kms.re_encrypt, **old_blob, DestinationKeyId="alias/absent")
    refused(invalid, kms.re_encrypt, **old_blob, SourceEncryptionContext=moved_context, DestinationKeyId=new)
    return "re-encrypt to another key and another context"


def rotation(session):
    kms = session.client()
    arn = new_key(kms)
    first = kms.generate_data_key(KeyId=arn, KeySpec="AES_256")
    status = kms.get_key_rotation_status(KeyId=arn)
    expect_equal((status["KeyId"], status["KeyRotationEnabled"]), (arn, False), "the rotation status of a new key")

    expect_equal(kms.rotate_key_on_demand(KeyId=arn)["KeyId"], arn, "the rotated key")
    second = kms.generate_data_key(KeyId=arn, KeySpec="AES_256")
    expect(second["KeyMaterialId"] != first["KeyMaterialId"], "another key material after RotateKeyOnDemand")

    refused("ValidationException", kms.enable_key_rotation, KeyId=arn, RotationPeriodInDays=89)
    kms.enable_key_rotation(KeyId=arn, RotationPeriodInDays=90)
    status = kms.get_key_rotation_status(KeyId=arn)
    got = status["KeyRotationEnabled"], status["RotationPeriodInDays"]
    expect_equal(got, (True, 90), "the rotation status once enabled")
    session.mock.advance_clock(days=89)
    expect_equal(
        kms.generate_data_key(KeyId=arn, KeySpec="AES_256")["KeyMaterialId"],
        second["KeyMaterialId"],
        "the key material a day before the rotation",
    )
    session.mock.advance_clock(days=2)
    third = kms.generate_data_key(KeyId=arn, KeySpec="AES_256")
    earlier = {first["KeyMaterialId"], second["KeyMaterialId"]}
    expect(third["KeyMaterialId"] not in earlier, "another key material when the rotation period is over")

    for made in (first, second, third):
        read = kms.decrypt(CiphertextBlob=made["CiphertextBlob"])
        got = read["Plaintext"], read["KeyMaterialId"], read["KeyId"]
        expected = made["Plaintext"], made["KeyMaterialId"], arn
        expect(got == expected, f"a data key from before rotations decrypts with the material {made['KeyMaterialId']}")

    rotations = kms.list_key_rotations(KeyId=arn)["Rotations"]
    kinds = [rotation["RotationType"] for rotation in rotations]
    expect_equal(sorted(kinds), ["AUTOMATIC", "ON_DEMAND"], "the listed rotations")
    expect_equal({rotation["KeyId"] for rotation in rotations}, {arn}, "the key of the listed rotations")
    listed = kms.list_key_rotations(KeyId=arn, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]
    states_of = {rotation["KeyMaterialId"]: rotation["KeyMaterialState"] for rotation in listed}
    wanted = {made["KeyMaterialId"]: "NON_CURRENT" for made in (first, second)}
    expect_equal(states_of, {**wanted, third["KeyMaterialId"]: "CURRENT"}, "the listed key materials")

    kms.disable_key_rotation(KeyId=arn)
    expect_equal(kms.get_key_rotation_status(KeyId=arn)["KeyRotationEnabled"], False, "the status once disabled")
    session.mock.advance_clock(days=100)
    after = kms.generate_data_key(KeyId=arn, KeySpec="AES_256")
    expect_equal(after["KeyMaterialId"], third["KeyMaterialId"], "the key material without rotation")
    return "rotation on demand and by the clock; old ciphertexts decrypt"


def grants(session):
    kms = session.client()
    arn, other = new_key(kms), new_key(kms)
    # The mock knows callers of this name: only grants permit them anything.
    grantee = session.client(access_key="GRANTEE1")
    principal = f"arn:aws:iam::{arn.split(':')[4]}:user/GRANTEE1"
    denied = "AccessDeniedException"

    def grant(constraints, **more):
        grant = {
            "GranteePrincipal": principal,
            "Operations": ["GenerateDataKey", "Decrypt"],
            "Constraints": constraints,
        }
        return kms.create_grant(KeyId=arn, **grant, **more)

    def data_key(context, key=arn):
        return {"KeyId": key, "KeySpec": "AES_256", "EncryptionContext": context}

    refused(denied, grantee.generate_data_key, **data_key(S3_CONTEXT))
    equals = grant({"EncryptionContextEquals": S3_CONTEXT}, Name="equals")
    made = grantee.generate_data_key(**data_key(S3_CONTEXT))
    read = grantee.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext=S3_CONTEXT)
    expect_equal(read["Plaintext"], made["Plaintext"], "a data key under a grant")
    for context in ({}, {**S3_CONTEXT, "more": "1"}, {"aws:s3:arn": "arn:aws:s3:::bucket/other"}):
        refused(denied, grantee.generate_data_key, **data_key(context))
        blob = kms.generate_data_key(**data_key(context))["CiphertextBlob"]
        refused(denied, grantee.decrypt, CiphertextBlob=blob, EncryptionContext=context)
    refused(denied, grantee.generate_data_key, **data_key(S3_CONTEXT, key=other))
    refused(denied, grantee.encrypt, KeyId=arn, Plaintext=b"sixteen bytes ok", EncryptionContext=S3_CONTEXT)
    refused(denied, grantee.disable_key, KeyId=arn)

    [listed] = kms.list_grants(KeyId=arn)["Grants"]
    wanted = {
        "KeyId": arn,
        "GrantId": equals["GrantId"],
        "Name": "equals",
        "GranteePrincipal": principal,
        "Operations": ["GenerateDataKey", "Decrypt"],
        "Constraints": {"EncryptionContextEquals": S3_CONTEXT},
    }
    listed["Operations"].sort(reverse=True)
    expect_equal({name: listed.get(name) for name in wanted}, wanted, "the listed grant")
    kms.revoke_grant(KeyId=arn, GrantId=equals["GrantId"])
    refused(denied, grantee.generate_data_key, **data_key(S3_CONTEXT))
    refused("NotFoundException", kms.revoke_grant, KeyId=arn, GrantId=equals["GrantId"])

    subset = grant({"EncryptionContextSubset": {"bucket": "photos"}})
    for context in ({"bucket": "photos"}, {"bucket": "photos", "key": "1"}):
        grantee.generate_data_key(**data_key(context), GrantTokens=[subset["GrantToken"]])
        grantee.generate_data_key(**data_key(context))
    for context in ({}, {"key": "photos"}, {"bucket": "videos"}):
        refused(denied, grantee.generate_data_key, **data_key(context), GrantTokens=[subset["GrantToken"]])
    kms.retire_grant(GrantToken=subset["GrantToken"])
    refused(denied, grantee.generate_data_key, **data_key({"bucket": "photos"}))
    expect_equal(kms.list_grants(KeyId=arn)["Grants"], [], "the grants when one was revoked and one retired")

    refused("DryRunOperationException", grant, constraints={"EncryptionContextEquals": S3_CONTEXT}, DryRun=True)
    return "grants permit their operations, under their contexts"


def dry_runs(session):
    kms = session.client()
    arn, disabled = new_key(kms), new_key(kms)
    blob = kms.generate_data_key(KeyId=arn, KeySpec="AES_256")["CiphertextBlob"]
    disabled_blob = kms.generate_data_key(KeyId=disabled, KeySpec="AES_256")["CiphertextBlob"]
    kms.disable_key(KeyId=disabled)
    for call, parameters in cryptographic_calls(kms, arn, blob):
        refused("DryRunOperationException", call, **parameters, DryRun=True)
    for call, parameters in cryptographic_calls(kms, disabled, disabled_blob):
        refused("DisabledException", call, **parameters, DryRun=True)
    wrong = {"CiphertextBlob": blob, "EncryptionContext": {"wrong": "1"}}
    refused("InvalidCiphertextException", kms.decrypt, **wrong, DryRun=True)
    refused("DryRunOperationException", kms.re_encrypt, CiphertextBlob=blob, DestinationKeyId=arn, DryRun=True)
    return "dry runs report what would happen"


def pages(session):
    kms = session.client()
    made = {new_key(kms) for _ in range(5)}
    for number, arn in enumerate(sorted(made)):
        kms.create_alias(AliasName=f"alias/page/{number}", TargetKeyId=arn)

    def paginated(operation, member, name):
        pages = list(kms.get_paginator(operation).paginate(PaginationConfig={"PageSize": 2}))
        sizes = [len(page[member]) for page in pages]
        expect(len(pages) > 2 and max(sizes) == 2, f"{operation} in pages of 2: {sizes}")
        expect_equal([page["Truncated"] for page in pages], [True] * (len(pages) - 1) + [False], "Truncated")
        found = [item[name] for page in pages for item in page[member]]
        expect_equal(len(found), len(set(found)), f"{operation} lists each one once")
        return set(found)

    expect(made <= paginated("list_keys", "Keys", "KeyArn"), "list_keys has all new keys")
    names = {f"alias/page/{number}" for number in range(5)}
    expect(names <= paginated("list_aliases", "Aliases", "AliasName"), "list_aliases has all new aliases")
    refused("InvalidMarkerException", kms.list_keys, Marker="made-up")
    return "lists in pages"


def unsupported(session):
    kms = session.client()
    arn = new_key(kms)
    code = "UnsupportedOperationException"
    refused(code, kms.create_custom_key_store, CustomKeyStoreName="store")
    refused(code, kms.create_key, KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")
    refused(code, kms.create_key, KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")
    refused(code, kms.create_key, Origin="EXTERNAL")
    refused(code, kms.generate_data_key_pair, KeyId=arn, KeyPairSpec="RSA_2048")
    refused(code, kms.replicate_key, KeyId=arn, ReplicaRegion="eu-west-1")
    return "unsupported operations say so"


def throttling(session):
    kms = session.client()
    arn = new_key(kms)
    blob = kms.generate_data_key(KeyId=arn, KeySpec="AES_256")["CiphertextBlob"]
    calls = cryptographic_calls(kms, arn, blob)
    calls.append((kms.re_encrypt, {"CiphertextBlob": blob, "DestinationKeyId": arn}))
    calls.append((kms.generate_random, {"NumberOfBytes": 32}))

    session.mock.throttle(per_second=0, burst=len(calls))
    for call, parameters in calls:
        call(**parameters)
    for call, parameters in calls:
        message = refused("ThrottlingException", call, **parameters)
        expect(message.startswith("You have exceeded the rate at which you may call KMS."), f"the message: {message}")
    # Only cryptographic operations share the bucket.
    kms.describe_key(KeyId=arn)

    patient = session.client(retries={"mode": "standard", "total_max_attempts": 4})
    error = failure(ClientError, patient.decrypt, CiphertextBlob=blob).response
    got = error["Error"]["Code"], error["ResponseMetadata"]["RetryAttempts"]
    expect_equal(got, ("ThrottlingException", 3), "the error and retries of a patient client, while throttled")
    session.mock.unthrottle()

    temporary = ["KMSInternalException", "KeyUnavailableException", "DependencyTimeoutException"]
    for code in ["ThrottlingException", *temporary]:
        session.mock.add_fault(op="Decrypt", count=2, error={"type": code})
        answer = patient.decrypt(CiphertextBlob=blob)
        expect_equal(answer["ResponseMetadata"]["RetryAttempts"], 2, f"retries after {code}, twice")
        session.mock.clear_faults()
    session.mock.add_fault(op="Decrypt", count=1, error={"type": "InvalidKeyUsageException"})
    refused("InvalidKeyUsageException", patient.decrypt, CiphertextBlob=blob)
    patient.decrypt(CiphertextBlob=blob)
    session.mock.clear_faults()
    return "one bucket for cryptographic operations; boto3 retries what it should, and nothing else"


SECTIONS = [
    *(keys_and_aliases, managed_key, administration, data_keys, direct, contexts, wrong_ciphertexts, states),
    *(re_encryption, rotation, grants, dry_runs, pages, unsupported, throttling),
]


def main(binary):
    with Mock(binary) as mock:
        session = Session(mock)
        for section in SECTIONS:
            print(f"{section.__name__}: {section(session)}")
        print(check_log(mock, session.recorder))


main(*sys.argv[1:])
