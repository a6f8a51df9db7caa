#!/usr/bin/env python3
"""Objects in S3 by their URLs: the command line against moto's server, through a proxy that counts and interferes.

    cli_s3.py SEALSTONE

moto_server is that of the environment of this interpreter. boto3 looks at what is stored, and changes it.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import urllib.parse

sys.path += [f"{sys.path[0]}/..", f"{sys.path[0]}/../kms"]

import boto3
from botocore.config import Config
from common import arguments, expect, expect_equal, isolated, raw_key
from proxy import Proxy
from servers import ACCOUNT_CREDENTIALS, REGION, Moto

BUCKET = "backups"
PAIR = "sealstone-header"
MIB = 1024 * 1024
# Its copies are found in whatever is stored in the clear.
KNOWN = b"known plaintext: "
# Of an object with chunks of 16 KiB.
PREFIX, CHUNK, TAG = 56, 16 * 1024, 16
ATTACHED = 8192


class Tests:
    def __init__(self, binary, place, proxy, s3):
        self.binary, self.place, self.proxy, self.s3 = binary, place, proxy, s3
        self.environment = {**isolated(place), "AWS_ENDPOINT_URL_S3": proxy.url, "TMPDIR": str(place)}

    def run(self, *words, code=0, data=None, **environment):
        """Runs the command; returns standard output. `None` removes a variable."""
        changed = {**self.environment, **environment}
        changed = {name: value for name, value in changed.items() if value is not None}
        self.proxy.take()
        command = [self.binary, *map(str, words)]
        done = subprocess.run(command, input=data, capture_output=True, env=changed, cwd=self.place)
        self.message = done.stderr.decode()
        expect_equal(done.returncode, code, f"the exit code of sealstone {words} ({self.message.strip()})")
        secret = ACCOUNT_CREDENTIALS["AWS_SECRET_ACCESS_KEY"].encode()
        expect(secret not in done.stderr + done.stdout, f"sealstone {words} does not show the secret key")
        self.calls = self.proxy.take()
        return done.stdout

    def file(self, name, size):
        """A file of this many bytes, no part of which compresses or repeats, with known text in it."""
        path = self.place / name
        data = b"".join(KNOWN + os.urandom(1007) for _ in range(size // 1024)) + (KNOWN * 64)[: size % 1024]
        path.write_bytes(data[:size])
        return path, data[:size]

    def stored(self, key):
        found = self.s3.get_object(Bucket=BUCKET, Key=key)
        return found["Body"].read(), found

    def replace(self, key, body, **metadata):
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=body, Metadata=metadata)

    def keys(self):
        return {found["Key"] for found in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])}

    def expect_no_uploads(self, what):
        uploads = self.s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
        expect_equal(uploads, [], f"{what}: uploads in progress")

    def methods(self):
        return [call.method for call in self.calls]


def url(key):
    return f"s3://{BUCKET}/{key}"


def payload_len(size):
    return PREFIX + size + TAG * (size // CHUNK + 1)


def round_trips(t):
    sizes = [0, 1, CHUNK - 1, CHUNK, MIB + 1, 8 * MIB, 40 * MIB]
    for size in sizes:
        path, data = t.file(f"plain-{size}", size)
        key = f"round trips/{size} ü+%20.seal"
        t.run("encrypt", path, "-o", url(key))
        parts = [call for call in t.calls if "partNumber" in call.query]
        expect_equal(len(parts), -(-payload_len(size) // (8 * MIB)) if size >= 8 * MIB else 0, f"{size}: parts")
        body, found = t.stored(key)
        expect_equal(len(body), payload_len(size), f"{size}: the length of what is stored, a payload alone")
        expect_equal(list(found["Metadata"]), [PAIR], f"{size}: the metadata")
        expect(KNOWN not in body, f"{size}: no plaintext is stored")
        expect(KNOWN in data or size < 1024, f"{size}: there is plaintext to look for")
        expect_equal(t.run("cat", url(key)) == data, True, f"{size}: what cat writes")
        gets = -(-payload_len(size) // (8 * MIB))
        expect_equal(t.methods(), ["HEAD"] + ["GET"] * gets, f"{size}: the requests of cat")
        t.run("decrypt", url(key), "-o", "opened", "-f")
        expect_equal((t.place / "opened").read_bytes() == data, True, f"{size}: what decrypt writes")
        t.run("verify", url(key))
        facts = json.loads(t.run("inspect", "--json", url(key)))
        expect_equal(facts["claimed_plaintext_len"], size, f"{size}: the length that inspect shows")
        expect_equal(t.methods()[0], "HEAD", f"{size}: the requests of inspect")
    t.expect_no_uploads("after round trips")
    print(f"round trips of {len(sizes)} sizes")


def pipes_and_names(t):
    _, data = t.file("piped", 20 * MIB + 5)
    t.run("encrypt", "-", "-o", url("piped.seal"), data=data)
    expect_equal(t.run("decrypt", url("piped.seal"), "-o", "-") == data, True, "what decrypt writes to a pipe")

    for name in "ab":
        (t.place / name).write_text(name)
    t.run("encrypt", "a", "b", "-o", url("many/"))
    expect({"many/a.seal", "many/b.seal"} <= t.keys(), "several inputs go to a prefix")
    t.run("encrypt", "a", "b", "-o", url("many"), code=2)
    t.run("decrypt", url("many/a.seal"), code=2)
    expect("name the output" in t.message, f"plaintext goes nowhere by itself: {t.message}")
    t.run("decrypt", url("many/a.seal"), url("many/b.seal"), "-o", url("opened/"))
    expect_equal(t.stored("opened/b")[0], b"b", "what decrypt stores")
    t.run("decrypt", url("many/a.seal"), "-o", url("sparse"), "--sparse=always", code=2)
    t.run("encrypt", url("opened/a"))
    expect_equal(t.run("cat", url("opened/a.seal")), b"a", "an object encrypted beside itself")
    t.run("encrypt", url("opened/a"), "-o", url("opened/a"), "-f", code=2)
    t.run("cat", f"s3://{BUCKET}", code=2)
    t.run("encrypt", f"file://{t.place}/a", "-o", f"file://{t.place}/a%20b.seal")
    expect_equal(t.run("cat", t.place / "a b.seal"), b"a", "a file by its URL")
    # Sealed for another store of headers.
    t.run("encrypt", "a", "--header", "a.header", "-o", url("bare"))
    expect_equal(t.stored("bare")[1]["Metadata"], {}, "the metadata of a payload whose header is a file")
    expect_equal(t.run("cat", url("bare"), "--header", "a.header"), b"a", "a payload whose header is a file")
    print("pipes, prefixes, names")


def ranges(t):
    _, data = t.file("ranged", 24 * MIB)
    t.run("encrypt", "ranged", "-o", url("ranged.seal"))
    sealed = CHUNK + TAG
    for words, start, end, gets, most in [
        ("5M..5M", 5 * MIB, 5 * MIB, 1, 2 * sealed),
        (f"{5 * MIB}..{5 * MIB + 4096}", 5 * MIB, 5 * MIB + 4096, 1, sealed),
        (f"{CHUNK - 1}..{CHUNK + 1}", CHUNK - 1, CHUNK + 1, 1, 2 * sealed),
        ("-512", 24 * MIB - 512, 24 * MIB, 2, 3 * sealed),
        ("1M..19M", MIB, 19 * MIB, 3, 18 * MIB // CHUNK * sealed + sealed),
    ]:
        read = t.run("cat", f"--range={words}", url("ranged.seal"))
        expect_equal(read == data[start:end], True, f"{words}: what cat writes")
        heads = [call for call in t.calls if call.method == "HEAD"]
        expect_equal(len(heads), 1, f"{words}: HEAD requests")
        expect(len(t.calls) - 1 <= gets, f"{words}: at most {gets} GET requests, got {t.calls}")
        sent = sum(call.sent for call in t.calls)
        expect(sent <= most, f"{words}: at most {most} bytes, got {sent}")
    t.run("cat", "--range=25M..26M", url("ranged.seal"), code=2)
    print("ranges fetch what they need")


def tampering(t):
    (t.place / "c").write_bytes(os.urandom(100_000))
    t.run("encrypt", "c", "-o", url("tampered.seal"))
    body, found = t.stored("tampered.seal")
    header = found["Metadata"]
    flipped = bytearray(body)
    flipped[70_000] ^= 1
    shortened, empty = body[:-1000], b""
    for what, changed in [("a flipped bit", bytes(flipped)), ("a lost end", shortened), ("a lost body", empty)]:
        t.replace("tampered.seal", changed, **header)
        for command in (["verify"], ["decrypt", "-o", "never"], ["decrypt", "-o", url("never")]):
            t.run(command[0], url("tampered.seal"), *command[1:], code=6)
        expect(not (t.place / "never").exists() and "never" not in t.keys(), f"{what}: no output")
    damaged = header[PAIR][:300] + "AAAA" + header[PAIR][304:]
    for pairs, code in [({}, 3), ({PAIR: "AAAA"}, 3), ({PAIR: damaged}, 6)]:
        t.replace("tampered.seal", body, **pairs)
        for command in ("verify", "cat", "inspect"):
            t.run(command, url("tampered.seal"), code=code)
    print("what was tampered with is refused")


def attached(t):
    _, data = t.file("d", 300_000)
    t.run("encrypt", "d")
    whole = (t.place / "d.seal").read_bytes()
    t.replace("attached.seal", whole)
    expect_equal(t.run("cat", url("attached.seal")) == data, True, "what cat writes of an attached object")
    expect_equal(t.run("cat", "--range=5..9", url("attached.seal")), data[5:9], "a range of an attached object")
    expect_equal(t.methods(), ["HEAD", "GET", "GET"], "the requests for a range of an attached object")
    t.run("verify", url("attached.seal"))
    t.run("decrypt", url("attached.seal"), "-o", "opened", "-f")
    t.run("rewrap", url("attached.seal"), "--add", "local:other", code=2)
    expect("download it" in t.message, f"the advice for an attached object: {t.message}")
    # A header beside it that is none: the one in front decides.
    t.replace("attached.seal", whole, **{PAIR: "AAAA"})
    expect_equal(t.run("cat", url("attached.seal")) == data, True, "what cat writes of both")
    # One beside it of another object: nothing is guessed.
    t.run("encrypt", "d", "-o", url("detached.seal"))
    other = t.stored("detached.seal")[1]["Metadata"]
    t.replace("attached.seal", whole, **other)
    expect_equal(t.run("cat", url("attached.seal"), code=6), b"", "what cat writes of contradicting headers")
    print("attached objects")


def rewrapping(t):
    _, data = t.file("e", 12 * MIB)
    old, new = (raw_key(t.place / name, os.urandom(32)) for name in ("old", "new"))
    t.run("encrypt", "e", "-o", url("rewrapped.seal"), "-k", old)
    body, found = t.stored("rewrapped.seal")
    kept = {"ContentType": "text/plain", "CacheControl": "no-cache", "ContentLanguage": "de"}
    # Under the name that it has in Azure, as if it were copied from there.
    pairs = {PAIR.replace("-", "_"): found["Metadata"][PAIR], "owner": "me"}
    t.s3.put_object(Bucket=BUCKET, Key="rewrapped.seal", Body=body, Metadata=pairs, StorageClass="STANDARD_IA", **kept)

    t.run("rewrap", url("rewrapped.seal"), "--key", old, "--to", new)
    expect_equal(t.methods(), ["HEAD", "HEAD", "PUT"], "the requests of rewrap")
    expect(sum(call.received + call.sent for call in t.calls) < 1024, f"rewrap moves no data: {t.calls}")
    expect("x-amz-copy-source-if-match" in t.calls[-1].headers, "rewrap copies the version that it read")
    after, found = t.stored("rewrapped.seal")
    expect_equal(after == body, True, "the payload after rewrap")
    expect_equal({name: found.get(name) for name in kept}, kept, "the content headers after rewrap")
    expect_equal(found["Metadata"]["owner"], "me", "the other metadata after rewrap")
    expect_equal(found.get("StorageClass"), "STANDARD_IA", "the storage class after rewrap")
    expect_equal(set(found["Metadata"]), {PAIR, "owner"}, "the metadata after rewrap")
    expect(found["Metadata"][PAIR] not in pairs.values(), "the header is another one")
    expect_equal(t.run("cat", url("rewrapped.seal"), "-k", new) == data, True, "what the new key opens")
    t.run("cat", url("rewrapped.seal"), "-k", old, code=7)
    outcome = json.loads(t.run("rewrap", "--json", url("rewrapped.seal"), "--key", new, "--add", new))
    expect_equal(outcome["result"], "unchanged", "the second time")
    expect_equal(t.methods(), ["HEAD"], "the requests when nothing changes")

    # The object is replaced after its header was read, and just before the copy.
    for method, count in (("HEAD", 2), ("PUT", 1)):
        replace_at(t, method, count, "rewrapped.seal", b"another object")
        if method == "PUT":
            refuse_stale_copies(t, t.proxy.on_call)
        t.run("rewrap", url("rewrapped.seal"), "--key", new, "--add", "local:default", code=1)
        t.proxy.on_call = None
        expect("changed" in t.message, f"{method}: {t.message}")
        expect_equal(t.stored("rewrapped.seal")[0], b"another object", f"{method}: what stands there")
        t.s3.put_object(Bucket=BUCKET, Key="rewrapped.seal", Body=body, Metadata=found["Metadata"])
    # Another rewrap changes the metadata alone, which has the same ETag.
    replace_at(t, "HEAD", 2, "rewrapped.seal", body, **{PAIR: "another header"})
    t.run("rewrap", url("rewrapped.seal"), "--key", new, "--add", "local:default", code=1)
    t.proxy.on_call = None
    expect("changed" in t.message, f"another rewrap: {t.message}")
    expect_equal(t.stored("rewrapped.seal")[1]["Metadata"], {PAIR: "another header"}, "the header of another rewrap")
    t.s3.put_object(Bucket=BUCKET, Key="rewrapped.seal", Body=body, Metadata=found["Metadata"])
    # A busy store is asked again.
    busy = iter([True])
    t.proxy.on_call = lambda call: (503, "<Error/>") if call.method == "PUT" and next(busy, False) else None
    t.run("rewrap", url("rewrapped.seal"), "--key", new, "--add", "local:default")
    t.proxy.on_call = None
    expect_equal(t.methods(), ["HEAD", "HEAD", "PUT", "HEAD", "PUT"], "the requests to a busy store")
    t.s3.put_object(Bucket=BUCKET, Key="rewrapped.seal", Body=body, Metadata=found["Metadata"])
    t.run("rekey", url("rewrapped.seal"), "-k", new, "-o", url("rekeyed.seal"), "--to", "local:default")
    expect_equal(t.run("cat", url("rekeyed.seal")) == data, True, "what rekey stores")
    expect_equal(list(t.stored("rekeyed.seal")[1]["Metadata"]), [PAIR], "the metadata of what rekey stores")
    print("rewrap replaces metadata, and nothing else")


def replace_at(t, method, count, key, body, **metadata):
    """Replaces an object just before the store gets the request with this number."""
    seen = []

    def replace(call):
        if call.method == method and call.key == key:
            seen.append(call)
            if len(seen) == count:
                t.replace(key, body, **metadata)

    t.proxy.on_call = replace


def refuse_stale_copies(t, first):
    """As S3 does; moto does not know the condition of a copy."""

    def check(call):
        first(call)
        wanted = call.headers.get("x-amz-copy-source-if-match")
        if wanted and t.s3.head_object(Bucket=BUCKET, Key=call.key)["ETag"] != wanted:
            return 412, "<Error><Code>PreconditionFailed</Code><Message>stale</Message></Error>"
        return None

    t.proxy.on_call = check


def prefixes(t):
    """All objects under a prefix: encrypted where they are, verified, rewrapped, rekeyed."""
    old, new = (raw_key(t.place / name, os.urandom(32)) for name in ("old prefix", "new prefix"))
    plain = {f"all/{number:02} ü~": (KNOWN * 5000)[: number * 7001] for number in range(11)}
    for key, data in plain.items():
        t.s3.put_object(Bucket=BUCKET, Key=key, Body=data, ContentType="text/plain", Metadata={"owner": "me"})
    (t.place / "sealed").write_bytes(b"sealed before")
    # Of another chunk size than the others.
    t.run("encrypt", "sealed", "-o", url("all/sealed"), "-k", old, "--chunk-size=64K")
    before = t.stored("all/sealed")
    t.replace("allies/plain", b"of another prefix")
    plain["all/sealed"] = b"sealed before"

    encrypt = ("encrypt", "--recursive", "--in-place", url("all/"), "-k", old)
    results = json_lines(t.run(*encrypt, "--json", "--jobs=3"))
    expect_equal([line["input"] for line in results], [url(key) for key in sorted(plain)], "the objects of encrypt")
    expect_equal([line["result"] for line in results], ["encrypted"] * 11 + ["unchanged"], "the results of encrypt")
    expect_equal(t.stored("all/sealed")[0], before[0], "what was encrypted already")
    expect_equal(t.stored("allies/plain")[0], b"of another prefix", "what is under another prefix")
    for key, data in plain.items():
        body, found = t.stored(key)
        expect(KNOWN not in body, f"{key}: no plaintext is stored")
        expect_equal(t.run("cat", url(key), "-k", old) == data, True, f"{key}: what cat writes")
        if key != "all/sealed":
            expect_equal(set(found["Metadata"]), {PAIR, "owner"}, f"{key}: the metadata")
            expect_equal(found["ContentType"], "text/plain", f"{key}: the content type")
    t.run(*encrypt)
    expect("12 of 12 objects" in t.message and "0 changed, 12 already" in t.message, f"the second time: {t.message}")
    puts = [call for call in t.calls if call.method == "PUT"]
    expect_equal(puts, [], "what is encrypted already is not written")

    verify = ("verify", "-r", url("all/"), "-k", old)
    t.run(*verify)
    expect("12 of 12 objects" in t.message, f"the sum of verify: {t.message}")
    broken, found = t.stored("all/05 ü~")
    flipped = bytearray(broken)
    flipped[20_000] ^= 1
    kept = {"ContentType": "text/plain", "Metadata": found["Metadata"]}
    t.s3.put_object(Bucket=BUCKET, Key="all/05 ü~", Body=bytes(flipped), **kept)
    t.run(*verify, code=6)
    expect("11 of 12 objects" in t.message and "1 are not" in t.message, f"the sum of a failure: {t.message}")
    results = json_lines(t.run(*verify, "--json", "--start-after", "all/04 ü~", code=6))
    expect_equal([line["ok"] for line in results], [False] + [True] * 6, "verify goes on, and resumes")
    expect_equal(results[0]["exit_code"], 6, "the failure as JSON")
    expect_equal([line["bytes"] for line in results[1:]], [len(plain[key]) for key in sorted(plain)[6:]], "lengths")
    t.s3.put_object(Bucket=BUCKET, Key="all/05 ü~", Body=broken, **kept)

    t.run(*verify, "--start-after", "04", code=2)
    t.run(*verify, "--start-after", "all/zz")
    expect("0 of 0 objects" in t.message, f"the sum of nothing: {t.message}")

    rewrap = ("rewrap", "--recursive", url("all/"), "--key", old, "--to", new)
    payloads = {key: t.stored(key)[0] for key in plain}
    t.run(*rewrap)
    expect("12 changed, 0 already" in t.message, f"the sum of rewrap: {t.message}")
    counts = {method: t.methods().count(method) for method in ("HEAD", "PUT")}
    # One more for the object with another chunk size.
    expect_equal(counts, {"HEAD": 25, "PUT": 12}, "the requests of rewrap")
    listings = [call for call in t.calls if call.method == "GET"]
    expect(all("list-type" in call.query for call in listings), f"rewrap reads no object: {listings}")
    moved = sum(call.received + call.sent for call in t.calls if call not in listings)
    expect(moved < 12 * 1024, f"rewrap moves no data: {moved} bytes")
    for key, data in plain.items():
        body, found = t.stored(key)
        expect_equal(body == payloads[key], True, f"{key}: the payload after rewrap")
        expect_equal(t.run("cat", url(key), "-k", new) == data, True, f"{key}: what the new key opens")
    expect_equal(t.stored("all/05 ü~")[1]["ContentType"], "text/plain", "the content type after rewrap")
    t.run(*verify, code=7)
    t.run("rekey", "-r", "--in-place", url("all/"), "-k", old, "--to", old, code=7)
    expect("0 of 12 objects" in t.message and "12 are not" in t.message, f"the sum of failures: {t.message}")
    t.run(*rewrap)
    expect("0 changed, 12 already" in t.message, f"rewrap the second time: {t.message}")

    # An object is replaced after it was listed.
    replace_at(t, "HEAD", 1, "all/03 ü~", b"another object")
    t.run("rewrap", "-r", url("all/"), "--key", new, "--to", old, code=1)
    t.proxy.on_call = None
    expect(
        "another program has changed" in t.message and "11 changed" in t.message,
        f"an object that changes meanwhile: {t.message}",
    )
    expect_equal(t.stored("all/03 ü~")[0], b"another object", "what another writer has stored")
    t.s3.delete_object(Bucket=BUCKET, Key="all/03 ü~")
    del plain["all/03 ü~"]

    t.run("rekey", "-r", "--in-place", url("all/"), "-k", old, "--to", new)
    expect("11 changed" in t.message, f"the sum of rekey: {t.message}")
    for key, data in plain.items():
        expect(t.stored(key)[0] != payloads[key], f"{key}: the payload after rekey")
        expect_equal(t.run("cat", url(key), "-k", new) == data, True, f"{key}: what rekey stores")
    facts = json.loads(t.run("inspect", "--json", url("all/sealed")))
    expect_equal(facts["chunk_size"], 64 * 1024, "the chunk size after rekey")

    # Keys of one ring: only the named one is replaced.
    t.run("encrypt", "sealed", "-o", url("ring/a"), "-k", "local:default", "-k", "local:other")
    t.run("keys", "new", "third")
    t.run("rewrap", "-r", url("ring/"), "--key", "local:other", "--to", "local:third")
    slots = json.loads(t.run("inspect", "--json", url("ring/a")))["slots"]
    names = sorted(slot["key_id"].partition("#")[0] for slot in slots)
    expect_equal(names, ["default", "third"], "the keys of one ring after rewrap")

    # An object bound to its place, under a key that was copied to another place.
    t.replace("bound/a", b"bound")
    bound = ("bound/", "-k", new, "--path-context", "path")
    t.run("encrypt", "-r", "--in-place", url(bound[0]), *bound[1:])
    t.run("verify", "-r", url(bound[0]), *bound[1:])
    t.run("cat", url("bound/a"), "-k", new, "--context-supplied", "path=bound/a")
    body, found = t.stored("bound/a")
    t.replace("bound/b", body, **found["Metadata"])
    t.run("verify", "-r", url(bound[0]), *bound[1:], code=6)
    expect("1 of 2 objects" in t.message, f"an object in the place of another: {t.message}")

    # A large one is written in parts, which have no condition.
    t.replace("large/a", bytes(65 * MIB))
    t.run("encrypt", "-r", "--in-place", url("large/"), "-k", new, code=2)
    expect("--unconditional" in t.message, f"the advice for a large object: {t.message}")
    t.run("encrypt", "-r", "--in-place", url("large/"), "-k", new, "--unconditional")
    t.run("verify", "-r", url("large/"), "-k", new)

    t.run("verify", "-r", url("nothing/"), code=4)
    expect("no objects" in t.message, f"an empty prefix: {t.message}")
    t.run("verify", "-r", "s3://no-such-bucket/", code=4)
    t.proxy.on_call = lambda call: (
        (403, "<Error><Code>AccessDenied</Code></Error>") if "list-type" in call.query else None
    )
    t.run("verify", "-r", url("all/"), "-k", new, code=7)
    t.proxy.on_call = None
    t.run("verify", url("all/"), code=2)
    expect("--recursive" in t.message, f"the advice for a prefix: {t.message}")
    print("all objects under a prefix")


def interrupted_prefix(t):
    """Ended by a signal, verify says where to resume."""
    t.proxy.take()
    key = t.place / "new prefix"
    t.proxy.on_call = lambda call: time.sleep(1.5) if call.method == "GET" and call.key == "all/07 ü~" else None
    command = [t.binary, "verify", "-r", "--jobs=1", url("all/"), "-k", f"raw:file:{key}"]
    process = subprocess.Popen(
        command,
        env=t.environment,
        cwd=t.place,
        stderr=subprocess.PIPE,
        # A shell's background job ignores SIGINT, and so would this program.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 30
    while not any(call.method == "GET" and call.key == "all/07 ü~" for call in t.proxy.calls):
        expect(time.monotonic() < deadline and process.poll() is None, "the object is read")
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1].decode()
    t.proxy.on_call = None
    expect_equal(process.returncode, 128 + signal.SIGINT, "the exit code after SIGINT")
    expect("--start-after='all/06 ü~'" in said, f"what an interrupted run says: {said}")
    print("an interrupted run says where to resume")


def json_lines(text):
    return [json.loads(line) for line in text.decode().splitlines()]


def changes_while_reading(t):
    t.file("f", 30 * MIB)
    for new in ("f", "g"):
        (t.place / "g").write_bytes(os.urandom(30 * MIB))
        t.run("encrypt", "f", "-o", url("changed.seal"), "-f")
        t.run("encrypt", new, "-o", url("new.seal"), "-f")
        body, found = t.stored("new.seal")
        seen = []

        def replace(call, body=body, found=found, seen=seen):
            if call.method == "GET":
                seen.append(call)
                if len(seen) == 3:
                    t.s3.put_object(Bucket=BUCKET, Key="changed.seal", Body=body, Metadata=found["Metadata"])

        t.proxy.on_call = replace
        t.run("decrypt", url("changed.seal"), "-o", "never", code=1)
        t.proxy.on_call = None
        expect("changed" in t.message, f"the failure of a changed object: {t.message}")
        expect(not (t.place / "never").exists(), "no output of a changed object")
    print("an object that changes while it is read is refused")


def no_overwriting(t):
    (t.place / "small").write_bytes(b"small")
    t.file("large", 20 * MIB)
    t.replace("theirs", b"theirs")
    for name in ("small", "large"):
        t.run("encrypt", name, "-o", url("theirs"), code=8)
        expect_equal(t.methods(), ["HEAD"], f"{name}: the requests before the refusal")
        # It appears while the upload is in progress.
        t.s3.delete_object(Bucket=BUCKET, Key="theirs")

        def appear(call):
            if call.method == "POST" and "uploadId" in call.query or call.method == "PUT" and not call.query:
                t.replace("theirs", b"theirs")

        t.proxy.on_call = appear
        t.run("encrypt", name, "-o", url("theirs"), code=8)
        t.proxy.on_call = None
        expect_equal(t.stored("theirs")[0], b"theirs", f"{name}: what stands there")
        t.expect_no_uploads(f"{name}: after a refusal")
    for name in ("small", "large"):
        t.run("encrypt", name, "-o", url("theirs"), "-f")
        expect_equal(t.run("cat", url("theirs")), (t.place / name).read_bytes(), f"{name}: what -f stores")
    # The answer to the end of an upload is lost, and the request is sent again.
    lost = []

    def lose(call):
        if call.method == "POST" and "uploadId" in call.query and not lost:
            lost.append(call)
            parts = t.s3.list_parts(Bucket=BUCKET, Key="lost", UploadId=call.query["uploadId"])["Parts"]
            parts = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in parts]
            t.s3.complete_multipart_upload(
                Bucket=BUCKET, Key="lost", UploadId=call.query["uploadId"], MultipartUpload={"Parts": parts}
            )
            return 503, "<Error><Code>SlowDown</Code></Error>"
        return None

    t.proxy.on_call = lose
    t.run("encrypt", "large", "-o", url("lost"))
    t.proxy.on_call = None
    expect(lost, "an answer was lost")
    print("nothing is overwritten without -f")


def failures_leave_nothing(t):
    def refuse(call):
        if call.query.get("partNumber") == "2":
            return 403, "<Error><Code>AccessDenied</Code><Message>not this part</Message></Error>"
        return None

    t.proxy.on_call = refuse
    t.run("encrypt", "large", "-o", url("never"), code=7)
    t.proxy.on_call = None
    expect("not this part" in t.message, f"the store's own words: {t.message}")
    t.expect_no_uploads("after a refused part")

    for number in (signal.SIGINT, signal.SIGTERM):
        t.proxy.take()
        t.proxy.on_call = lambda call: time.sleep(1.5) if call.query.get("partNumber") == "2" else None
        command = [t.binary, "encrypt", "large", "-o", url("never")]
        process = subprocess.Popen(
            command,
            env=t.environment,
            cwd=t.place,
            stderr=subprocess.PIPE,
            # A shell's background job ignores SIGINT, and so would this program.
            preexec_fn=lambda number=number: signal.signal(number, signal.SIG_DFL),
        )
        deadline = time.monotonic() + 30
        while not any(call.query.get("partNumber") == "2" for call in t.proxy.calls):
            expect(time.monotonic() < deadline and process.poll() is None, "the second part is sent")
            time.sleep(0.02)
        process.send_signal(number)
        process.communicate()
        t.proxy.on_call = None
        expect_equal(process.returncode, 128 + number, f"the exit code after {number.name}")
        t.expect_no_uploads(f"after {number.name}")
    expect("never" not in t.keys(), "no object is left of what failed")

    # The program that makes the input fails: what came of it is no object.
    t.run("encrypt", "missing", "-o", url("never"), code=4)
    t.run("encrypt", "large", "-k", "local:none", "-o", url("never"), code=4)
    expect("never" not in t.keys(), "no object is left of what failed")
    print("failures and signals leave nothing")


def exit_codes(t):
    t.run("cat", url("none"), code=4)
    t.run("encrypt", "small", "-o", "s3://no-such-bucket/x", code=4)
    t.run("encrypt", "large", "-o", "s3://no-such-bucket/x", code=4)
    gone = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    t.run("cat", url("theirs"), code=7, **gone)
    expect("no AWS credentials" in t.message, f"the failure without credentials: {t.message}")
    for status, code in ((403, 7), (503, 5), (429, 5)):
        t.proxy.on_call = lambda _, status=status: (status, "<Error><Code>Made</Code><Message>up</Message></Error>")
        t.run("cat", url("theirs"), code=code)
        t.proxy.on_call = None
    t.run("cat", url("theirs"), code=5, AWS_ENDPOINT_URL_S3="http://127.0.0.1:1")
    t.run("cat", url("theirs"), code=2, AWS_ENDPOINT_URL_S3=None, AWS_REGION=None, AWS_DEFAULT_REGION=None)
    t.run("cat", "s3://", code=2)
    print("exit codes")


def configuration(t):
    """Endpoint, region and credentials of a profile, as AWS's tools find them."""
    directory = t.place / ".aws"
    directory.mkdir()
    lines = ["[profile work]", "region = eu-west-1", "services = local", "[services local]", "s3 ="]
    (directory / "config").write_text("\n".join([*lines, f"  endpoint_url = {t.proxy.url}"]) + "\n")
    secrets = [f"{name.lower()} = {value}" for name, value in ACCOUNT_CREDENTIALS.items()]
    (directory / "credentials").write_text("\n".join(["[work]", *secrets]) + "\n")
    unset = dict.fromkeys(["AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION", *ACCOUNT_CREDENTIALS])
    expect_equal(t.run("cat", url("many/a.seal"), AWS_PROFILE="work", **unset), b"a", "what is read with a profile")
    scope = t.calls[0].headers["authorization"]
    expect("/eu-west-1/s3/" in scope, f"the region of the profile is used: {scope}")
    unset.pop("AWS_ENDPOINT_URL_S3")
    found = t.run("cat", url("many/a.seal"), AWS_PROFILE="work", AWS_ENDPOINT_URL_S3="", AWS_ENDPOINT_URL=t.proxy.url)
    expect_equal(found, b"a", "what is read at the endpoint of all services")
    print("profiles, regions, endpoints")


def main(sealstone):
    with Moto() as moto:
        port = urllib.parse.urlsplit(moto.url).port
        config = Config(s3={"addressing_style": "path"}, request_checksum_calculation="when_required")
        s3 = boto3.client("s3", endpoint_url=moto.url, config=config)
        s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        place = pathlib.Path(moto.directory.name)
        with Proxy(port, ACCOUNT_CREDENTIALS["AWS_SECRET_ACCESS_KEY"]) as proxy:
            t = Tests(pathlib.Path(sealstone).resolve(), place, proxy, s3)
            for name in ("default", "other"):
                t.run("keys", "new", name)
            for test in (
                round_trips,
                pipes_and_names,
                ranges,
                tampering,
                attached,
                rewrapping,
                prefixes,
                interrupted_prefix,
                changes_while_reading,
                no_overwriting,
                failures_leave_nothing,
                exit_codes,
                configuration,
            ):
                test(t)


main(**vars(arguments(__doc__, "sealstone")))
