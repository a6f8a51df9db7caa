"""AWS's S3 Encryption Client for Python: it encrypts what the gateway encrypts again."""

import boto3
from common import expect, expect_equal, failure
from gateway import KMS_KEY, known_data
from s3_encryption import S3EncryptionClient, S3EncryptionClientConfig
from s3_encryption.exceptions import S3EncryptionClientError
from s3_encryption.materials.kms_keyring import KmsKeyring

BUCKET = "encrypted-twice"


def run(gateway, place):
    s3, kms = boto3.client("s3"), boto3.client("kms")
    s3.create_bucket(Bucket=BUCKET)
    arn = kms.describe_key(KeyId=KMS_KEY)["KeyMetadata"]["Arn"]
    # It changes the client that it is given.
    client = S3EncryptionClient(boto3.client("s3"), S3EncryptionClientConfig(keyring=KmsKeyring(kms, arn)))
    for size in (0, 1, 100_000, 6 * 1024 * 1024):
        data, key = known_data(size), f"size-{size}"
        client.put_object(Bucket=BUCKET, Key=key, Body=data, ServerSideEncryption="aws:kms")
        expect(client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == data, f"{size} bytes: what the client reads")
        raw = s3.get_object(Bucket=BUCKET, Key=key)
        expect(raw["Body"].read() != data or size == 0, f"{size} bytes: the gateway got ciphertext")
        expect_equal(raw["ServerSideEncryption"], "aws:kms", f"{size} bytes: the gateway's own encryption")
        expect(raw["Metadata"], f"{size} bytes: the client's own header is in the user's metadata")
    # The client's own check, of ciphertext that was exchanged.
    other = s3.get_object(Bucket=BUCKET, Key="size-1")
    s3.put_object(Bucket=BUCKET, Key="size-100000", Body=b"x" * 50, Metadata=other["Metadata"])

    def read():
        return client.get_object(Bucket=BUCKET, Key="size-100000")["Body"].read()

    expect(failure(S3EncryptionClientError, read), "the client refuses another ciphertext")
    gateway.expect_sealed("the S3 Encryption Client", least=100_000)
    print("AWS's S3 Encryption Client: through the gateway, with the same key service")
