"""The aws command, as users type it: cp, mv, sync, presign, ls, rm."""

import base64
import hashlib
import os
import pathlib
import ssl
import subprocess
import sys
import urllib.request

import boto3
from common import expect, expect_equal
from gateway import KMS_KEY, arn, contexts, made_file, tree

AWS = pathlib.Path(sys.executable).parent / "aws"
BUCKET = "commands"
MIB = 1024 * 1024
# Above the size at which the command begins to upload in parts.
SMALL, LARGE = 100_000, 20 * MIB + 123


def aws(*words, code=0):
    """Standard output."""
    command = [str(AWS), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    expect_equal(done.returncode, code, f"the exit code of aws {words} ({done.stderr.strip()})")
    return done.stdout if code == 0 else done.stderr


def url(key):
    return f"s3://{BUCKET}/{key}"


def run(gateway, place):
    aws("s3", "mb", f"s3://{BUCKET}")
    for name, size in (("small", SMALL), ("large", LARGE), ("empty", 0)):
        made_file(place / name, size)
    # Each start of the command takes a second: with TLS there is only what differs.
    if gateway.authority:
        copies(gateway, place, "kms", ["--sse", "aws:kms"])
        customer_keys(gateway, place)
        return
    copies(gateway, place, "kms", ["--sse", "aws:kms"])
    copies(gateway, place, "kms-key", ["--sse", "aws:kms", "--sse-kms-key-id", KMS_KEY])
    copies(gateway, place, "aes", ["--sse", "AES256"])
    on_the_server(place)
    pipes()
    synchronized(gateway, place)
    presigned(gateway, place)
    removed(gateway)


def copies(gateway, place, mode, options):
    encryption = options[1]
    gateway.take_events()
    s3 = boto3.client("s3")
    names = ["small", "large", "empty"]
    for name in names:
        key, file = f"{mode}/{name}", place / name
        aws("s3", "cp", "--only-show-errors", file, url(key), *options)
        head = s3.head_object(Bucket=BUCKET, Key=key)
        expect_equal(head["ServerSideEncryption"], encryption, f"{key}: the encryption")
        expect_equal("SSEKMSKeyId" in head, encryption == "aws:kms", f"{key}: whether a key is named")
        expect_equal(head["ContentLength"], file.stat().st_size, f"{key}: the length")
        expect("-" in head["ETag"], f"{key}: an ETag that is no MD5: {head['ETag']}")
        aws("s3", "cp", "--only-show-errors", url(key), place / "opened")
        expect((place / "opened").read_bytes() == file.read_bytes(), f"{key}: what was stored is read")
    gateway.expect_sealed(f"aws s3 cp {options}", least=SMALL + LARGE)
    wanted = [{"aws:s3:arn": arn(BUCKET, f"{mode}/{name}")} for name in names if encryption == "aws:kms"]
    events = gateway.take_events()
    expect_equal(contexts(events, "GenerateDataKey"), wanted, f"{mode}: the contexts in the audit log")
    for context in contexts(events, "Decrypt"):
        expect(context in wanted, f"{mode}: a Decrypt with a context of these objects, not {context}")
    print(f"aws s3 cp {' '.join(options)}")


def on_the_server(place):
    """Large ones by UploadPartCopy."""
    for name in ("small", "large"):
        aws("s3", "cp", "--only-show-errors", url(f"kms/{name}"), url(f"copy/{name}"), "--sse", "aws:kms")
        aws("s3", "mv", "--only-show-errors", url(f"copy/{name}"), url(f"moved/{name}"))
        aws("s3", "cp", "--only-show-errors", url(f"moved/{name}"), place / "opened")
        expect((place / "opened").read_bytes() == (place / name).read_bytes(), f"a copy of a copy of {name}")
    expect_equal(aws("s3", "ls", "--recursive", url("copy/"), code=1), "", "what is left where objects were moved from")
    print("aws s3 cp and mv on the server")


def pipes():
    data = b"through pipes " * 1000
    done = subprocess.run([AWS, "s3", "cp", "-", url("piped")], input=data, capture_output=True)
    expect_equal(done.returncode, 0, f"the exit code of aws s3 cp from a pipe ({done.stderr})")
    expect(aws("s3", "cp", url("piped"), "-").encode() == data, "what was piped in is piped out")


def customer_keys(gateway, place):
    keys = []
    for name in ("key", "other-key"):
        (place / name).write_bytes(os.urandom(32))
        keys.append(["AES256", "--sse-c-key", f"fileb://{place / name}"])
    [key, other] = keys
    for name in ("small", "large"):
        stored = f"customer/{name}"
        aws("s3", "cp", "--only-show-errors", place / name, url(stored), "--sse-c", *key)
        aws("s3", "cp", "--only-show-errors", url(stored), place / "opened", "--sse-c", *key)
        expect((place / "opened").read_bytes() == (place / name).read_bytes(), f"{stored}: what was stored is read")
        source = ["--sse-c-copy-source", key[0], "--sse-c-copy-source-key", key[2]]
        aws("s3", "cp", "--only-show-errors", url(stored), url(f"{stored}-copy"), "--sse-c", *other, *source)
        aws("s3", "cp", "--only-show-errors", url(f"{stored}-copy"), place / "opened", "--sse-c", *other)
        expect((place / "opened").read_bytes() == (place / name).read_bytes(), f"{stored}: a copy under another key")
    message = aws("s3", "cp", url("customer/small"), place / "opened", "--sse-c", *other, code=1)
    expect("403" in message, f"another key is refused with 403: {message.strip()}")
    message = aws("s3", "cp", url("customer/small"), place / "opened", code=1)
    expect("400" in message, f"a request without key is refused with 400: {message.strip()}")
    gateway.expect_sealed("aws s3 cp --sse-c", least=2 * (SMALL + LARGE))
    for name in ("key", "other-key"):
        raw = (place / name).read_bytes()
        # Its MD5 is no secret, but whoever wants no key in a log wants no MD5 there either.
        gateway.expect_no_secret(base64.b64encode(raw).decode(), raw.hex(), base64.b64encode(md5(raw)).decode())
    print("aws s3 cp --sse-c: wrong and missing keys are refused, copies change the key")


def md5(data):
    return hashlib.md5(data).digest()


def synchronized(gateway, place):
    local = place / "local"
    names = ["a", "b c+d%", "ü/nested/e", "many/x", "large", "empty"]
    for number, name in enumerate(names):
        made_file(local / name, {"large": 9 * MIB, "empty": 0}.get(name, 1000 * number + 1))
    expect_equal(len(moved(aws("s3", "sync", "--sse", "aws:kms", local, url("sync/")))), len(names), "files that go up")
    expect_equal(moved(aws("s3", "sync", "--sse", "aws:kms", local, url("sync/"))), [], "what a second sync copies")
    made_file(local / "a", 12_345)
    (local / "many/x").unlink()
    lines = moved(aws("s3", "sync", "--delete", local, url("sync/")))
    expect_equal(len(lines), 2, f"what a sync does after one file changed and one went: {lines}")
    back = place / "back"
    expect_equal(len(moved(aws("s3", "sync", url("sync/"), back))), len(names) - 1, "files that come down")
    expect_equal(tree(back), tree(local), "what was synchronized")
    expect_equal(moved(aws("s3", "sync", url("sync/"), back)), [], "what a second sync down copies")
    gateway.expect_sealed("aws s3 sync", least=9 * MIB)
    listed = aws("s3", "ls", "--recursive", "--summarize", url("sync/"))
    total = sum(path.stat().st_size for path in local.rglob("*") if path.is_file())
    expect(f"Total Size: {total}\n" in listed, f"aws s3 ls shows the sum of {total} bytes: {listed}")
    sizes = {int(line.split()[2]) for line in listed.splitlines() if " sync/" in line}
    expect(sizes == {p.stat().st_size for p in local.rglob("*") if p.is_file()}, f"aws s3 ls shows sizes: {sizes}")
    print(f"aws s3 sync of {len(names)} files: the second copies nothing, up and down")


def moved(printed):
    return [line for line in printed.replace("\r", "\n").splitlines() if ": " in line and "://" in line]


def presigned(gateway, place):
    # Of itself it signs URLs with Signature Version 2.
    aws("configure", "set", "default.s3.signature_version", "s3v4")
    link = aws("s3", "presign", url("kms/small"), "--expires-in", "60").strip()
    trust = ssl.create_default_context(cafile=gateway.authority) if gateway.authority else None
    handlers = [urllib.request.ProxyHandler({})]
    handlers += [urllib.request.HTTPSHandler(context=trust)] if trust else []
    with urllib.request.build_opener(*handlers).open(link, timeout=60) as answer:
        expect(answer.read() == (place / "small").read_bytes(), "what a presigned URL reads")
    print("aws s3 presign")


def removed(gateway):
    aws("s3", "rm", "--recursive", "--only-show-errors", f"s3://{BUCKET}")
    expect_equal(aws("s3", "ls", "--recursive", f"s3://{BUCKET}"), "", "what is left")
    aws("s3", "rb", f"s3://{BUCKET}")
    left = [str(path) for path in gateway.store.rglob("*.sealstone")]
    expect_equal(left, [], "sealed files that are left")
    print("aws s3 rm --recursive, ls, rb")
