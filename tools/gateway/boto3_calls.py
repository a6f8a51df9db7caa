"""boto3: transfers in parts, presigned URLs, checksums, ranges, bucket encryption, UpdateObjectEncryption."""

import base64
import hashlib
import json
import os
import ssl
import urllib.error
import urllib.request

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError, FlexibleChecksumError
from common import expect, expect_equal, failure
from gateway import KMS_KEY, arn, contexts, known_data

BUCKET = "calls"
MIB = 1024 * 1024
LARGE = 17 * MIB + 5
CHECKSUMS = {
    "CRC32": "ChecksumCRC32",
    "CRC32C": "ChecksumCRC32C",
    "CRC64NVME": "ChecksumCRC64NVME",
    "SHA1": "ChecksumSHA1",
    "SHA256": "ChecksumSHA256",
}


def run(gateway, place):
    # Of itself boto3 signs URLs with Signature Version 2.
    s3 = boto3.client("s3", config=Config(signature_version="s3v4", retries={"max_attempts": 1}))
    s3.create_bucket(Bucket=BUCKET)
    modes = {
        "s3": {"ServerSideEncryption": "AES256"},
        "kms": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KMS_KEY},
    }
    customer = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": os.urandom(32)}
    if gateway.authority:
        modes["customer"] = customer
    transfers(gateway, place, s3, modes)
    with_context(gateway, s3)
    parts(gateway, s3, modes)
    ranges(s3)
    checksums(gateway, s3)
    presigned(gateway, s3)
    bucket_encryption(gateway, s3)
    update_encryption(gateway, s3)
    if gateway.authority:
        key = customer["SSECustomerKey"]
        gateway.expect_no_secret(base64.b64encode(key).decode(), key.hex())
    else:
        refused("InvalidRequest", s3.put_object, Bucket=BUCKET, Key="k", Body=b"", **customer)
        print("SSE-C without TLS is refused")


def refused(code, call, **parameters):
    error = failure(ClientError, call, **parameters)
    expect(error, f"{code} of {sorted(parameters)}, not an answer")
    expect_equal(error.response["Error"]["Code"], code, f"the error of {sorted(parameters)}: {error}")


def read_parameters(mode):
    return {name: value for name, value in mode.items() if name.startswith("SSECustomer")}


def transfers(gateway, place, s3, modes):
    config = TransferConfig(multipart_threshold=8 * MIB, multipart_chunksize=8 * MIB)
    data = known_data(LARGE)
    (place / "up").write_bytes(data)
    for name, mode in modes.items():
        s3.upload_file(str(place / "up"), BUCKET, name, ExtraArgs=mode, Config=config)
        gateway.expect_sealed(f"upload_file, {name}", least=LARGE)
        reading = read_parameters(mode)
        s3.download_file(BUCKET, name, str(place / "down"), ExtraArgs=reading, Config=config)
        expect((place / "down").read_bytes() == data, f"{name}: what was transferred")
        head = s3.head_object(Bucket=BUCKET, Key=name, **reading)
        expect_equal(head["ContentLength"], LARGE, f"{name}: the length")
        if reading:
            refused("400", s3.head_object, Bucket=BUCKET, Key=name)
            refused("403", s3.head_object, Bucket=BUCKET, Key=name, **{**reading, "SSECustomerKey": os.urandom(32)})
        source = {f"CopySource{key}": value for key, value in reading.items()}
        s3.copy({"Bucket": BUCKET, "Key": name}, BUCKET, "copy", ExtraArgs={**mode, **source}, Config=config)
        read = s3.get_object(Bucket=BUCKET, Key="copy", **reading)["Body"].read()
        expect(read == data, f"{name}: a copy in parts")
        gateway.expect_sealed(f"copy, {name}")
    listed = {each["Key"]: each["Size"] for each in s3.list_objects_v2(Bucket=BUCKET)["Contents"]}
    expect_equal(listed, dict.fromkeys([*modes, "copy"], LARGE), "sizes in the listing")
    print(f"s3transfer: {', '.join(modes)}; copies in parts")


def with_context(gateway, s3):
    gateway.take_events()
    pairs = {"tenant": "blue"}
    context = base64.b64encode(json.dumps(pairs).encode()).decode()
    mode = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KMS_KEY}
    made = s3.put_object(Bucket=BUCKET, Key="context", Body=known_data(5000), SSEKMSEncryptionContext=context, **mode)
    expect(made["SSEKMSKeyId"].startswith("arn:aws:kms:"), f"the key's ARN in the answer: {made['SSEKMSKeyId']}")
    s3.get_object(Bucket=BUCKET, Key="context")["Body"].read()
    wanted = {**pairs, "aws:s3:arn": arn(BUCKET, "context")}
    events = gateway.take_events()
    expect_equal(contexts(events, "GenerateDataKey"), [wanted], "the context of GenerateDataKey")
    expect_equal(contexts(events, "Decrypt"), [wanted], "the context of Decrypt, which a GET never sends")
    [used] = {resource["ARN"] for event in events for resource in event["resources"]}
    expect_equal(used, made["SSEKMSKeyId"], "the key in the audit log")
    # With a bucket key, the bucket's.
    s3.put_object(Bucket=BUCKET, Key="bucket-key", Body=b"1", BucketKeyEnabled=True, **mode)
    expect_equal(bound(gateway.take_events()), [f"arn:aws:s3:::{BUCKET}"], "with a bucket key")
    other = base64.b64encode(json.dumps({"aws:s3:arn": "arn:aws:s3:::x/y"}).encode()).decode()
    parameters = {"Bucket": BUCKET, "Key": "k", "Body": b"", **mode}
    error = failure(ClientError, s3.put_object, SSEKMSEncryptionContext=other, **parameters)
    expect(
        error and error.response["ResponseMetadata"]["HTTPStatusCode"] == 400, f"another ARN in the context: {error}"
    )
    gateway.expect_sealed("put_object with a context")
    print("the context is stored and sent, to the key service and nowhere else")


def bound(events):
    """What the data keys of these events are bound to."""
    return [context["aws:s3:arn"] for context in contexts(events, "GenerateDataKey")]


def parts(gateway, s3, modes):
    """Out of order, one of them again with other bytes, the last one small."""
    for name, mode in modes.items():
        key, reading = f"parts-{name}", read_parameters(mode)
        upload = s3.create_multipart_upload(Bucket=BUCKET, Key=key, **mode)["UploadId"]
        place = {"Bucket": BUCKET, "Key": key, "UploadId": upload, **reading}
        bodies = {number: known_data(size) for number, size in {9: 1000, 2: 6 * MIB, 5: 5 * MIB + 1}.items()}
        s3.upload_part(PartNumber=2, Body=known_data(5 * MIB), **place)
        etags = {n: s3.upload_part(PartNumber=n, Body=body, **place)["ETag"] for n, body in bodies.items()}
        gateway.expect_sealed(f"upload_part, {name}", least=11 * MIB)
        listed = s3.list_parts(Bucket=BUCKET, Key=key, UploadId=upload)["Parts"]
        wanted = [(number, len(bodies[number]), etags[number]) for number in sorted(bodies)]
        got = [(part["PartNumber"], part["Size"], part["ETag"]) for part in listed]
        expect_equal(got, wanted, f"{name}: the parts in progress")
        done = [{"PartNumber": number, "ETag": etags[number]} for number in sorted(bodies)]
        s3.complete_multipart_upload(MultipartUpload={"Parts": done}, **place)
        gateway.expect_sealed(f"complete_multipart_upload, {name}", least=11 * MIB)
        whole = b"".join(bodies[number] for number in sorted(bodies))
        expect(s3.get_object(Bucket=BUCKET, Key=key, **reading)["Body"].read() == whole, f"{name}: the whole")
        second = s3.get_object(Bucket=BUCKET, Key=key, PartNumber=2, **reading)
        expect(second["Body"].read() == bodies[5], f"{name}: the second part, which was uploaded as number 5")
        expect_equal(second["PartsCount"], 3, f"{name}: the number of parts")
        aborted = s3.create_multipart_upload(Bucket=BUCKET, Key=key, **mode)["UploadId"]
        s3.upload_part(**{**place, "UploadId": aborted}, PartNumber=1, Body=known_data(1000))
        s3.abort_multipart_upload(Bucket=BUCKET, Key=key, UploadId=aborted)
        refused("NoSuchUpload", s3.list_parts, Bucket=BUCKET, Key=key, UploadId=aborted)
    expect_equal(s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []), [], "uploads in progress")
    print("multipart uploads: parts out of order and again, partNumber, abort")


def ranges(s3):
    data = known_data(9 * MIB + 77)
    s3.put_object(Bucket=BUCKET, Key="ranges", Body=data)
    size = len(data)
    for words, start, end in [
        ("0-0", 0, 1),
        ("65535-65536", 65535, 65537),
        ("5242879-5242880", 5 * MIB - 1, 5 * MIB + 1),
        ("1000000-", 1_000_000, size),
        ("-1", size - 1, size),
        (f"{size - 10}-{size + 10}", size - 10, size),
        (f"-{size + 5}", 0, size),
    ]:
        found = s3.get_object(Bucket=BUCKET, Key="ranges", Range=f"bytes={words}")
        expect(found["Body"].read() == data[start:end], f"the range {words}")
        expect_equal(found["ContentRange"], f"bytes {start}-{end - 1}/{size}", f"{words}: Content-Range")
    refused("InvalidRange", s3.get_object, Bucket=BUCKET, Key="ranges", Range=f"bytes={size}-")
    etag = found["ETag"]
    refused("PreconditionFailed", s3.get_object, Bucket=BUCKET, Key="ranges", IfMatch='"other-1"')
    refused("304", s3.get_object, Bucket=BUCKET, Key="ranges", IfNoneMatch=etag)
    refused("PreconditionFailed", s3.put_object, Bucket=BUCKET, Key="ranges", Body=b"", IfNoneMatch="*")
    print("ranges and conditions")


def checksums(gateway, s3):
    data = known_data(300_000)
    for algorithm, member in CHECKSUMS.items():
        key = f"checksum-{algorithm}"
        # boto3 sends it in a header without TLS, and in a trailer with it.
        made = s3.put_object(Bucket=BUCKET, Key=key, Body=data, ChecksumAlgorithm=algorithm)
        found = s3.get_object(Bucket=BUCKET, Key=key, ChecksumMode="ENABLED")
        expect(found["Body"].read() == data, f"{algorithm}: boto3 verifies the checksum and reads")
        expect_equal(found[member], made[member], f"{algorithm}: the checksum")
        if algorithm == "SHA256":
            expect_equal(made[member], base64.b64encode(hashlib.sha256(data).digest()).decode(), "SHA-256 of plaintext")
        facts = s3.get_object_attributes(Bucket=BUCKET, Key=key, ObjectAttributes=["Checksum", "ObjectSize"])
        expect_equal(facts["Checksum"].get(member), made[member], f"{algorithm}: GetObjectAttributes")
        expect_equal(facts["ObjectSize"], len(data), f"{algorithm}: the size of GetObjectAttributes")
        wrong = {member: made[member][::-1] if made[member][::-1] != made[member] else "AAAA"}
        error = failure(
            (ClientError, FlexibleChecksumError), s3.put_object, Bucket=BUCKET, Key=f"{key}-w", Body=data, **wrong
        )
        expect(error, f"{algorithm}: a wrong checksum is refused")
        refused("NoSuchKey", s3.get_object, Bucket=BUCKET, Key=f"{key}-w")
    gateway.expect_sealed("put_object with checksums")
    print(f"checksums in {'trailers' if gateway.authority else 'headers'}: {', '.join(CHECKSUMS)}")


def presigned(gateway, s3):
    data = known_data(4000)
    mode = {"ServerSideEncryption": "aws:kms"}
    link = s3.generate_presigned_url("put_object", Params={"Bucket": BUCKET, "Key": "presigned", **mode})
    status, _ = fetch(gateway, link, data, {"x-amz-server-side-encryption": "aws:kms"}, "PUT")
    expect_equal(status, 200, "the status of PUT with a presigned URL")
    expect_equal(s3.head_object(Bucket=BUCKET, Key="presigned")["ServerSideEncryption"], "aws:kms", "its encryption")
    status, _ = fetch(gateway, link, data, {}, "PUT")
    expect_equal(status, 403, "the status without the signed header")
    link = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "presigned"})
    status, read = fetch(gateway, link)
    expect(status == 200 and read == data, f"GET with a presigned URL: {status}")
    status, _ = fetch(gateway, link.replace("/presigned?", "/ranges?"))
    expect_equal(status, 403, "the status of a URL that was signed for another object")
    gateway.expect_sealed("a presigned PUT")
    print("presigned GET and PUT")


def fetch(gateway, link, data=None, headers=None, method="GET"):
    trust = ssl.create_default_context(cafile=gateway.authority) if gateway.authority else None
    handlers = [urllib.request.ProxyHandler({})]
    handlers += [urllib.request.HTTPSHandler(context=trust)] if trust else []
    request = urllib.request.Request(link, data=data, headers=headers or {}, method=method)
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def bucket_encryption(gateway, s3):
    bucket = "encrypted-by-default"
    s3.create_bucket(Bucket=bucket)
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KMS_KEY}
    rule = {"ApplyServerSideEncryptionByDefault": default, "BucketKeyEnabled": True}
    rule["BlockedEncryptionTypes"] = {"EncryptionType": ["SSE-C"]}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    [got] = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    expect_equal(got["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"], "aws:kms", "the default's algorithm")
    expect_equal(got["BucketKeyEnabled"], True, "the default's bucket key")
    expect_equal(got["BlockedEncryptionTypes"], {"EncryptionType": ["SSE-C"]}, "the blocked encryption types")
    gateway.take_events()
    s3.put_object(Bucket=bucket, Key="k", Body=known_data(2000))
    head = s3.head_object(Bucket=bucket, Key="k")
    expect_equal((head["ServerSideEncryption"], head["BucketKeyEnabled"]), ("aws:kms", True), "what was applied")
    expect_equal(bound(gateway.take_events()), [f"arn:aws:s3:::{bucket}"], "the bucket's context")
    if gateway.authority:
        customer = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": os.urandom(32)}
        refused("AccessDenied", s3.put_object, Bucket=bucket, Key="c", Body=b"", **customer)
    s3.delete_bucket_encryption(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="k", Body=known_data(2000))
    expect_equal(s3.head_object(Bucket=bucket, Key="k")["ServerSideEncryption"], "AES256", "without a default")
    gateway.expect_sealed("a bucket's default encryption")
    print("put_bucket_encryption: default, bucket key, blocked types")


def update_encryption(gateway, s3):
    kms = boto3.client("kms")
    new = kms.create_key()["KeyMetadata"]["Arn"]
    data = known_data(6 * MIB)
    s3.put_object(Bucket=BUCKET, Key="rewrapped", Body=data)
    before = s3.head_object(Bucket=BUCKET, Key="rewrapped")
    sealed = gateway.sealed(BUCKET, "rewrapped").read_bytes()
    s3.update_object_encryption(
        Bucket=BUCKET, Key="rewrapped", ObjectEncryption={"SSEKMS": {"KMSKeyArn": new, "BucketKeyEnabled": False}}
    )
    head = s3.head_object(Bucket=BUCKET, Key="rewrapped")
    expect_equal((head["ServerSideEncryption"], head["SSEKMSKeyId"]), ("aws:kms", new), "the encryption afterwards")
    expect_equal(head["ETag"], before["ETag"], "the ETag of what was rewrapped")
    expect(gateway.sealed(BUCKET, "rewrapped").read_bytes()[8192:] == sealed[8192:], "the payload did not change")
    expect(s3.get_object(Bucket=BUCKET, Key="rewrapped")["Body"].read() == data, "what was rewrapped is read")
    print("update_object_encryption")
