#!/usr/bin/env python3
"""Keys, aliases and grants as infrastructure tools manage them: declared, read until they match, read again without a
difference, changed member by member, and destroyed.

    resources.py KMS_MOCK

The calls are those of Terraform's aws_kms_key, aws_kms_replica_key, aws_kms_alias and aws_kms_grant, in the same order,
made with boto3; Terraform is not needed.
"""

import json
import sys
import uuid

sys.path.append(f"{sys.path[0]}/..")

import boto3
from botocore.config import Config
from clients import refused
from common import expect, expect_equal
from servers import REGION, Mock

THERE = "eu-west-3"


def client(region=REGION):
    return boto3.client("kms", region_name=region, config=Config(retries={"total_max_attempts": 1}))


def policy(account, *users):
    principals = [f"arn:aws:iam::{account}:root", *(f"arn:aws:iam::{account}:user/{user}" for user in users)]
    statement = {"Sid": "all", "Effect": "Allow", "Principal": {"AWS": principals}, "Action": "kms:*", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def read_key(kms, key_id):
    """What the tool compares with the declaration."""
    metadata = kms.describe_key(KeyId=key_id)["KeyMetadata"]
    names = kms.list_key_policies(KeyId=key_id)["PolicyNames"]
    expect_equal(names, ["default"], "the policies of a key")
    rotation = kms.get_key_rotation_status(KeyId=key_id)
    tags = kms.list_resource_tags(KeyId=key_id)
    expect_equal(tags["Truncated"], False, "fewer tags than a page has")
    return {
        "description": metadata["Description"],
        "enabled": metadata["Enabled"],
        "multi_region": metadata["MultiRegion"],
        "policy": json.loads(kms.get_key_policy(KeyId=key_id, PolicyName="default")["Policy"]),
        "rotation": (rotation["KeyRotationEnabled"], rotation.get("RotationPeriodInDays")),
        "tags": {tag["TagKey"]: tag["TagValue"] for tag in tags["Tags"]},
    }


def converges(read, declared, what):
    """The tool polls until it reads what it declared; here the first read must match, and so must the next plan."""
    for look in ("apply", "plan"):
        expect_equal(read(), declared, f"{what}, {look}")


def keys(account):
    kms = client()
    declared = {
        "description": "of photos",
        "enabled": True,
        "multi_region": False,
        "policy": json.loads(policy(account)),
        "rotation": (False, None),
        "tags": {"Name": "photos", "team": "", "aws": "not reserved"},
    }
    made = kms.create_key(
        Description=declared["description"],
        KeyUsage="ENCRYPT_DECRYPT",
        KeySpec="SYMMETRIC_DEFAULT",
        MultiRegion=False,
        BypassPolicyLockoutSafetyCheck=False,
        Policy=policy(account),
        Tags=[{"TagKey": key, "TagValue": text} for key, text in declared["tags"].items()],
    )
    key_id = made["KeyMetadata"]["KeyId"]

    def same():
        converges(lambda: read_key(kms, key_id), declared, "the key")

    same()
    kms.update_key_description(KeyId=key_id, Description="of all photos")
    declared["description"] = "of all photos"
    same()
    kms.put_key_policy(KeyId=key_id, PolicyName="default", Policy=policy(account, "alice"))
    declared["policy"] = json.loads(policy(account, "alice"))
    same()
    kms.untag_resource(KeyId=key_id, TagKeys=["team", "aws"])
    kms.tag_resource(KeyId=key_id, Tags=[{"TagKey": "Name", "TagValue": "all"}, {"TagKey": "cost", "TagValue": "7"}])
    declared["tags"] = {"Name": "all", "cost": "7"}
    same()
    kms.enable_key_rotation(KeyId=key_id, RotationPeriodInDays=180)
    declared["rotation"] = (True, 180)
    same()
    kms.disable_key_rotation(KeyId=key_id)
    kms.disable_key(KeyId=key_id)
    declared["rotation"], declared["enabled"] = (False, None), False
    same()
    kms.enable_key(KeyId=key_id)
    declared["enabled"] = True
    same()

    # A policy is stored and returned, not enforced.
    foreign = json.loads(policy(account))
    foreign["Statement"][0]["Principal"] = {"AWS": f"arn:aws:iam::{account}:user/somebody-else"}
    kms.put_key_policy(KeyId=key_id, Policy=json.dumps(foreign))
    kms.generate_data_key(KeyId=key_id, KeySpec="AES_256")
    refused("MalformedPolicyDocumentException", kms.put_key_policy, KeyId=key_id, Policy="{}")
    refused("NotFoundException", kms.get_key_policy, KeyId=key_id, PolicyName="other")

    kms.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    state = kms.describe_key(KeyId=key_id)["KeyMetadata"]["KeyState"]
    expect_equal(state, "PendingDeletion", "the state of a destroyed key")
    # The default policy, without one declared: the tool reads it back.
    plain = kms.create_key()["KeyMetadata"]["KeyId"]
    default = json.loads(kms.get_key_policy(KeyId=plain)["Policy"])
    expect_equal(default["Statement"][0]["Principal"], {"AWS": f"arn:aws:iam::{account}:root"}, "the default policy")
    return "aws_kms_key: made, six times changed, every plan clean, destroyed"


def tag_rules():
    kms = client()
    key_id = kms.create_key()["KeyMetadata"]["KeyId"]
    tags = [{"TagKey": f"k{number:02}", "TagValue": str(number)} for number in range(50)]
    kms.tag_resource(KeyId=key_id, Tags=tags)
    pages = kms.get_paginator("list_resource_tags").paginate(KeyId=key_id, PaginationConfig={"PageSize": 20})
    listed = [tag for page in pages for tag in page["Tags"]]
    expect_equal(listed, tags, "all tags, in pages")
    more = [{"TagKey": "one more", "TagValue": ""}]
    expect_equal(refused("TagException", kms.tag_resource, KeyId=key_id, Tags=more), "Too many tags", "the 51st tag")
    kms.tag_resource(KeyId=key_id, Tags=[{"TagKey": "k00", "TagValue": "again"}])
    refused("TagException", kms.create_key, Tags=[{"TagKey": "aws:x", "TagValue": ""}])
    refused("TagException", kms.create_key, Tags=tags[:1] * 2)
    message = refused("ValidationException", kms.create_key, Tags=[{"TagKey": "k" * 129, "TagValue": ""}])
    expect("'tags.1.member.tagKey'" in message, f"the member is named: {message}")
    expect_equal(len(kms.list_resource_tags(KeyId=key_id)["Tags"]), 50, "a refused change is none")
    return "tags: 50, no reserved ones, none twice"


def aliases():
    kms = client()
    one, two = (kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2))
    name = f"alias/{uuid.uuid4()}"

    def read():
        pages = kms.get_paginator("list_aliases").paginate()
        found = [alias for page in pages for alias in page["Aliases"] if alias["AliasName"] == name]
        return [(alias["AliasArn"].rsplit(":", 1)[1], alias["TargetKeyId"]) for alias in found]

    kms.create_alias(AliasName=name, TargetKeyId=one)
    converges(read, [(name, one)], "the alias")
    kms.update_alias(AliasName=name, TargetKeyId=two)
    converges(read, [(name, two)], "the updated alias")
    kms.delete_alias(AliasName=name)
    converges(read, [], "the alias that was destroyed")
    prefix = 'Alias must start with the prefix "alias/". Please see '
    expect(refused("ValidationException", kms.create_alias, AliasName="x", TargetKeyId=one).startswith(prefix), prefix)
    return "aws_kms_alias: made, updated, destroyed"


def grants(account):
    kms = client()
    arn = kms.create_key()["KeyMetadata"]["Arn"]
    grantee, retiring = (f"arn:aws:iam::{account}:role/{name}" for name in ("photos", "janitor"))
    declared = {
        "Name": "photos",
        "GranteePrincipal": grantee,
        "RetiringPrincipal": retiring,
        "Operations": ["Encrypt", "Decrypt", "GenerateDataKeyPair"],
        "Constraints": {"EncryptionContextSubset": {"bucket": "photos"}},
    }
    made = kms.create_grant(KeyId=arn, **declared)

    def read():
        pages = kms.get_paginator("list_grants").paginate(KeyId=arn)
        found = [grant for page in pages for grant in page["Grants"] if grant["GrantId"] == made["GrantId"]]
        return [{name: grant[name] for name in declared} for grant in found]

    converges(read, [declared], "the grant")
    retirable = kms.get_paginator("list_retirable_grants").paginate(RetiringPrincipal=retiring)
    ids = [grant["GrantId"] for page in retirable for grant in page["Grants"]]
    expect_equal(ids, [made["GrantId"]], "what the retiring principal may retire")
    expect_equal(kms.list_retirable_grants(RetiringPrincipal=grantee)["Grants"], [], "other principals may retire none")
    kms.revoke_grant(KeyId=arn, GrantId=made["GrantId"])
    converges(read, [], "the grant that was destroyed")
    refused("ValidationException", kms.create_grant, KeyId=arn, GranteePrincipal=grantee, Operations=["CreateGrant"])
    return "aws_kms_grant: made, destroyed"


def regions(account):
    here, there = client(), client(THERE)
    alone = here.create_key()["KeyMetadata"]
    expect(alone["Arn"].startswith(f"arn:aws:kms:{REGION}:"), alone["Arn"])
    refused("NotFoundException", there.describe_key, KeyId=alone["KeyId"])
    message = refused("NotFoundException", there.describe_key, KeyId=alone["Arn"])
    expect_equal(message, f"Invalid arn {REGION}", "the message for an ARN of another region")

    primary = here.create_key(MultiRegion=True, Description="primary")["KeyMetadata"]
    key_id = primary["KeyId"]
    expect(key_id.startswith("mrk-"), key_id)
    tags = [{"TagKey": "t", "TagValue": "v"}]
    made = here.replicate_key(
        KeyId=key_id, ReplicaRegion=THERE, Description="replica", Tags=tags, Policy=policy(account)
    )
    expect_equal(made["ReplicaTags"], tags, "the tags of a new replica")
    read = read_key(there, key_id)
    expect_equal((read["description"], read["tags"], read["enabled"]), ("replica", {"t": "v"}, True), "the replica")
    expect_equal(read["policy"], json.loads(policy(account)), "the replica's policy")
    config = there.describe_key(KeyId=key_id)["KeyMetadata"]["MultiRegionConfiguration"]
    kinds = config["MultiRegionKeyType"], config["PrimaryKey"]["Arn"], [key["Region"] for key in config["ReplicaKeys"]]
    expect_equal(kinds, ("REPLICA", primary["Arn"], [THERE]), "where the related keys are")

    for one, other in ((here, there), (there, here)):
        data_key = one.generate_data_key(KeyId=key_id, KeySpec="AES_256", EncryptionContext={"a": "1"})
        opened = other.decrypt(CiphertextBlob=data_key["CiphertextBlob"], KeyId=key_id, EncryptionContext={"a": "1"})
        expect_equal(opened["Plaintext"], data_key["Plaintext"], "a data key, opened in the other region")
    elsewhere = client("ap-southeast-2")
    refused("AccessDeniedException", elsewhere.decrypt, CiphertextBlob=data_key["CiphertextBlob"])
    here.rotate_key_on_demand(KeyId=key_id)
    materials = {kms.describe_key(KeyId=key_id)["KeyMetadata"]["CurrentKeyMaterialId"] for kms in (here, there)}
    expect_equal(len(materials), 1, "one material after a rotation")

    here.update_primary_region(KeyId=key_id, PrimaryRegion=THERE)
    config = here.describe_key(KeyId=key_id)["KeyMetadata"]["MultiRegionConfiguration"]
    expect_equal(config["MultiRegionKeyType"], "REPLICA", "what was the primary key")
    waits = there.schedule_key_deletion(KeyId=key_id, PendingWindowInDays=7)
    expect_equal(waits["KeyState"], "PendingReplicaDeletion", "a primary key waits for its replicas")
    return "regions: each its own; aws_kms_replica_key opens what the primary wrapped, and the other way round"


def main(binary):
    with Mock(binary) as mock:
        account = client().create_key()["KeyMetadata"]["AWSAccountId"]
        print(keys(account))
        print(tag_rules())
        print(aliases())
        print(grants(account))
        print(regions(account))
        seen = {event["awsRegion"] for event in mock.events()}
        expect_equal(seen, {REGION, THERE, "ap-southeast-2"}, "the regions in the audit log")


main(*sys.argv[1:])
