#!/usr/bin/env python3
"""The aws command against kms-mock, as users type it.

    aws_cli.py KMS_MOCK

`aws` is that of the environment of this interpreter. It is botocore with another way in, so this checks what differs from
boto3_client.py: blobs in files, output, messages and retries. walk_through.py has the commands for keys and aliases.
"""

import base64
import json
import os
import pathlib
import subprocess
import sys

sys.path.append(f"{sys.path[0]}/..")

from common import expect, expect_equal
from servers import Mock

AWS = pathlib.Path(sys.executable).parent / "aws"
CONTEXT = ["--encryption-context", "aws:s3:arn=arn:aws:s3:::bucket/key"]
# Exit codes of the command after a refusal.
REFUSED = (254, 255)


def run(arguments, environment):
    command = [AWS, "kms", *map(str, arguments)]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)


def aws(*arguments, **environment):
    """The parsed answer."""
    return json.loads(output(*arguments, "--output", "json", **environment))


def output(*arguments, **environment):
    done = run(arguments, environment)
    expect_equal(done.returncode, 0, f"the exit code of aws kms {arguments} ({done.stderr.strip()})")
    return done.stdout


def silent(*arguments):
    """For operations without an answer."""
    expect_equal(output(*arguments), "", f"the output of aws kms {arguments}")


def refused(code, *arguments, **environment):
    done = run(arguments, environment)
    expect(done.returncode in REFUSED, f"aws kms {arguments}: an exit code of {REFUSED}, got {done.returncode}")
    expect(f"({code})" in done.stderr, f"aws kms {arguments}: expected {code}, got {done.stderr.strip()!r}")
    return done.stderr


def main(binary):
    with Mock(binary) as mock:
        directory = pathlib.Path(mock.directory.name)
        blob, moved = directory / "blob", directory / "moved"
        arn = aws("create-key", "--description", "demo")["KeyMetadata"]["Arn"]
        silent("create-alias", "--alias-name", "alias/demo", "--target-key-id", arn)

        made = aws("generate-data-key", "--key-id", "alias/demo", "--key-spec", "AES_256", *CONTEXT)
        expect_equal(made["KeyId"], arn, "the key id in the answer to generate-data-key")
        expect_equal(len(base64.b64decode(made["Plaintext"])), 32, "the length of the data key")
        blob.write_bytes(base64.b64decode(made["CiphertextBlob"]))
        decrypt = ["decrypt", "--ciphertext-blob", f"fileb://{blob}"]
        read = aws(*decrypt, *CONTEXT)
        expect_equal((read["KeyId"], read["Plaintext"]), (arn, made["Plaintext"]), "the data key, decrypted")
        refused("InvalidCiphertextException", *decrypt, "--encryption-context", "aws:s3:arn=arn:aws:s3:::bucket/other")
        refused("InvalidCiphertextException", *decrypt)
        print("generate-data-key, decrypt; a wrong context is refused")

        other = aws("create-key")["KeyMetadata"]["Arn"]
        change = ["--source-encryption-context", "aws:s3:arn=arn:aws:s3:::bucket/key", "--destination-key-id", other]
        change += ["--destination-encryption-context", "aws:s3:arn=arn:aws:s3:::bucket/moved"]
        answer = aws("re-encrypt", "--ciphertext-blob", f"fileb://{blob}", *change)
        expect_equal((answer["SourceKeyId"], answer["KeyId"]), (arn, other), "the keys of re-encrypt")
        moved.write_bytes(base64.b64decode(answer["CiphertextBlob"]))
        to_moved = ["--encryption-context", "aws:s3:arn=arn:aws:s3:::bucket/moved"]
        read = aws("decrypt", "--ciphertext-blob", f"fileb://{moved}", "--key-id", other, *to_moved)
        expect_equal(read["Plaintext"], made["Plaintext"], "the data key after re-encrypt")
        refused("IncorrectKeyException", *decrypt, *CONTEXT, "--key-id", other)
        print("re-encrypt to another key and context; a wrong key is refused")

        mock.throttle(per_second=0, burst=1)
        aws(*decrypt, *CONTEXT)
        message = refused("ThrottlingException", *decrypt, *CONTEXT, AWS_MAX_ATTEMPTS="1")
        expect("You have exceeded the rate at which you may call KMS." in message, f"the message: {message.strip()!r}")
        mock.unthrottle()
        mock.add_fault(op="Decrypt", count=2, error={"type": "ThrottlingException"})
        aws(*decrypt, *CONTEXT, AWS_MAX_ATTEMPTS="3", AWS_RETRY_MODE="standard")
        print("throttling: refused with one attempt, through with three")

        agents = {event["userAgent"].split("/")[0] for event in mock.events()}
        expect_equal(agents, {"aws-cli"}, "the user agents in the audit log")
        throttled = [event for event in mock.events() if event.get("errorCode") == "ThrottlingException"]
        expect_equal(len(throttled), 3, "throttled calls in the audit log")


main(*sys.argv[1:])
