#!/usr/bin/env python3
"""The S3 gateway without its key service, without room, with many clients, and with a slow one.

faults.py GATEWAY KMS_MOCK [--full] [--only NAME] [--seed N]

kms_outage    the key service is gone: what needs it is refused with 503, the rest goes on; then it is back
no_room       a limit of a file's length, and a small file system: 507, and older objects stay
crowd         64 clients for 20 seconds (10 minutes in the full form): each answer is correct, and memory is bounded
slow_reader   a client takes 64 MiB in 10 seconds (1 GiB in a minute) and gets all of it; the gateway reads no faster
"""

import hashlib
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path += [f"{sys.path[0]}/..", f"{sys.path[0]}/../reliability"]

from common import arguments, expect, expect_equal, report
from history import Key, Version
from place import require
from served import REGION, Gateway

BUCKET = "faults"
MIB = 1 << 20
KMS = {"x-amz-server-side-encryption": "aws:kms"}
# Within this many seconds a request is refused, or succeeds again, when the key service goes and comes.
NOTICED = 30
CLIENTS = 64
# What docs/gateway.md promises for each request, and as much as the program needs besides.
MEMORY_FOR_REQUEST, MEMORY_BESIDES = 8 * MIB, 64 * MIB


def main():
    options = arguments(__doc__, "gateway", "kms_mock", full=False, only="", seed=1)
    faults = {"kms_outage": kms_outage, "no_room": no_room, "crowd": crowd, "slow_reader": slow_reader}
    expect(options.only in ("", *faults), f"--only names one of {', '.join(faults)}")
    for name, fault in faults.items():
        if options.only in ("", name):
            with tempfile.TemporaryDirectory() as directory:
                fault(options, pathlib.Path(directory))


def served(options, directory, *words, **parameters):
    """A gateway with a bucket."""
    gateway = Gateway(options.gateway, directory, *words, **parameters)
    expect_equal(gateway.client().request("PUT", f"/{BUCKET}").status, 200, "the bucket is created")
    return gateway


class KeyService:
    """kms-mock on one port, with keys that outlive it."""

    def __init__(self, program, directory):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.words = [program, "--listen", self.address, "--state", directory / "keys.json"]
        self.words += ["--key", "alias/faults", "--region", REGION]
        self.start()

    def start(self):
        words = [str(word) for word in self.words]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        expect(self.process.stdout.readline(), "kms-mock starts")

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def kms_outage(options, directory):
    service = KeyService(options.kms_mock, directory)
    words = ["--kms-endpoint", f"http://{service.address}", "--kms-region", REGION, "--kms-default-key", "alias/faults"]
    with served(options, directory, *words) as gateway:
        client = gateway.client()
        body = random.Random(options.seed).randbytes(300_000)

        def put(name, **headers):
            return client.request("PUT", f"/{BUCKET}/{name}", headers, body)

        def get(name):
            return client.request("GET", f"/{BUCKET}/{name}")

        for name in ("read", "unread"):
            stored = put(name, **KMS)
            expect(stored.status == 200, f"{name} is stored with SSE-KMS: {stored}")
        expect(get("read").body == body, "an object with SSE-KMS is read")
        service.stop()
        refused = 0
        for what, call in {
            "a put with SSE-KMS": lambda: put("new", **KMS),
            "a replacement with SSE-KMS": lambda: put("read", **KMS),
            "a get of an object that was not read before": lambda: get("unread"),
            "an upload with SSE-KMS": lambda: client.request("POST", f"/{BUCKET}/new", KMS, uploads=""),
        }.items():
            began = time.monotonic()
            response = call()
            took = time.monotonic() - began
            expect(response.status == 503, f"{what} is refused with 503: {response}")
            expect(response.code in ("ServiceUnavailable", "SlowDown"), f"{what}: {response}")
            expect(took < NOTICED, f"{what} is refused within {NOTICED} s: {took:.1f}")
            refused += 1
        head = client.request("HEAD", f"/{BUCKET}/unread")
        expect(head.status in (200, 503), f"HEAD without the key service: {head}")
        expect(get("read").body == body, "an object whose key is cached is read")
        expect_equal(put("other", **{"x-amz-server-side-encryption": "AES256"}).status, 200, "SSE-S3 goes on")
        expect(get("other").body == body, "SSE-S3 goes on")
        service.start()
        until(lambda: put("back", **KMS).status == 200, "SSE-KMS is served again")
        for name in ("read", "unread", "back", "other"):
            expect(get(name).body == body, f"{name} is read again")
        expect_equal(get("new").status, 404, "what was refused was not stored")
    service.stop()
    report("gateway_kms_outage", refused, refused=refused)


def until(call, what):
    deadline = time.monotonic() + NOTICED
    while not call():
        expect(time.monotonic() < deadline, f"{what} within {NOTICED} s")
        time.sleep(0.1)


def no_room(options, directory):
    under = ["prlimit", f"--fsize={4 * MIB}", "--"]
    place = directory / "limited"
    place.mkdir()
    with served(options, place, under=under) as gateway:
        # Uploads need a part of 5 MiB, which is over the limit.
        refused = without_room(gateway, options.seed, "a limited length", lambda: None)
    report("gateway_file_size_limit", refused, refused=refused)
    place = directory / "mounted"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={4 * MIB}", "none", place]
    if subprocess.run(mount, stderr=subprocess.DEVNULL).returncode:
        print("tmpfs: NOT RUN, mounting is not allowed here", flush=True)
        return expect(not options.full, "a tmpfs can be mounted")
    try:
        with served(options, place) as gateway:
            grow = ["mount", "-o", f"remount,size={64 * MIB}", place]
            refused = without_room(gateway, options.seed, "a full disk", lambda: subprocess.run(grow, check=True))
            refused += filled(gateway, options.seed)
    finally:
        subprocess.run(["umount", place], check=True)
    report("gateway_full_disk", refused, refused=refused)


def without_room(gateway, seed, where, make_room):
    """Too much is refused, and changes nothing. Returns how many refusals there were."""
    client, chance = gateway.client(), random.Random(seed)
    old, large, part = chance.randbytes(MIB), chance.randbytes(8 * MIB), chance.randbytes(6 * MIB)
    path = f"/{BUCKET}/old"
    expect_equal(client.request("PUT", path, body=old).status, 200, "a small object is stored")
    upload = client.request("POST", f"/{BUCKET}/upload", uploads="").field("UploadId")
    refusals = {
        "a replacement": lambda: client.request("PUT", path, body=large),
        "a new object": lambda: client.request("PUT", f"/{BUCKET}/new", body=large),
        "a part": lambda: client.request("PUT", f"/{BUCKET}/upload", body=part, partNumber=1, uploadId=upload),
    }
    for what, call in refusals.items():
        response = call()
        expect_equal((response.status, response.code), (507, "InsufficientStorage"), f"{what} over {where}")
        expect(client.request("GET", path).body == old, f"the old object stays: {where}")
        expect_equal(client.request("GET", f"/{BUCKET}/new").status, 404, f"no part of a new object is there: {where}")
        nothing_is_left(gateway, where)
    make_room()
    for at in ("old", "new"):
        body = chance.randbytes(MIB)
        expect_equal(client.request("PUT", f"/{BUCKET}/{at}", body=body).status, 200, f"{at} is stored after {where}")
        expect(client.request("GET", f"/{BUCKET}/{at}").body == body, f"{at} is read after {where}")
    return len(refusals)


def filled(gateway, seed):
    """Fills the file system with small objects and an upload; after deletions it has room again."""
    client, chance = gateway.client(), random.Random(seed)
    upload = client.request("POST", f"/{BUCKET}/upload", uploads="").field("UploadId")
    part = chance.randbytes(20 * MIB)
    put = client.request("PUT", f"/{BUCKET}/upload", body=part, partNumber=1, uploadId=upload)
    expect_equal(put.status, 200, "a part fits")
    stored = {}
    for number in range(1000):
        body, path = chance.randbytes(MIB), f"/{BUCKET}/small/{number}"
        response = client.request("PUT", path, body=body)
        if response.status != 200:
            expect_equal((response.status, response.code), (507, "InsufficientStorage"), "the disk is full")
            break
        stored[path] = body
    expect(stored and response.status == 507, "the disk fills")
    parts = f"<Part><PartNumber>1</PartNumber><ETag>{put.etag}</ETag></Part>"
    completion = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()

    def complete():
        return client.request("POST", f"/{BUCKET}/upload", body=completion, uploadId=upload)

    refused = complete()
    expect_equal((refused.status, refused.code), (507, "InsufficientStorage"), "a completion on a full disk")
    nothing_is_left(gateway, "a full disk")
    for path, body in stored.items():
        expect(client.request("GET", path).body == body, f"{path} is read from a full disk")
    for path in stored:
        expect_equal(client.request("DELETE", path).status, 204, f"{path} is deleted on a full disk")
    expect_equal(complete().status, 200, "the completion succeeds when there is room")
    expect(client.request("GET", f"/{BUCKET}/upload").body == part, "the upload is read")
    return 2


def nothing_is_left(gateway, where):
    left = list((gateway.store / BUCKET / ".sealstone-gateway/tmp").iterdir())
    expect(not left, f"no temporary file is left: {where}: {left}")


def crowd(options, directory):
    seconds = 600 if options.full else 20
    with served(options, directory, "--max-requests", str(CLIENTS)) as gateway:
        shared = [Key(BUCKET, f"shared/{n}", random.Random(n), customer=n % 2) for n in range(8)]
        numbers = iter(range(1, 1 << 40))
        clients = [Member(gateway, n, shared, numbers, time.monotonic() + seconds) for n in range(CLIENTS)]
        peak, samples = 0, []
        for client in clients:
            client.start()
        while any(client.is_alive() for client in clients):
            samples.append(resident(gateway.process.pid))
            time.sleep(0.25)
        violations = [violation for client in clients for violation in client.violations]
        expect(not violations, "; ".join(violations[:5]))
        peak, bound = max(samples), CLIENTS * MEMORY_FOR_REQUEST + MEMORY_BESIDES
        expect(peak <= bound, f"the gateway stays within {bound >> 20} MiB: {peak >> 20}")
        # Memory does not grow with time.
        half = len(samples) // 2
        early, late = max(samples[:half]), max(samples[half:])
        expect(late <= 1.1 * early + 32 * MIB, f"memory stays flat: {early >> 20} MiB, then {late >> 20}")
        nothing_is_left(gateway, "many clients")
        expect_equal(gateway.end(signal.SIGTERM), 0, "the gateway ends")
    done = sum(client.done for client in clients)
    expect(done > CLIENTS, "each client gets answers")
    report("gateway_crowd", done, clients=CLIENTS, seconds=seconds, peak_mib=peak >> 20, bound_mib=bound >> 20)


class Member(threading.Thread):
    """One of many clients, with a key that only it writes and some that all write."""

    def __init__(self, gateway, number, shared, numbers, until):
        super().__init__(daemon=True)
        self.client, self.chance, self.until = gateway.client(), random.Random(number), until
        self.own = Key(BUCKET, f"own/{number}", random.Random(-number), customer=number % 2)
        self.shared, self.numbers, self.violations, self.done = shared, numbers, [], 0

    def run(self):
        try:
            while time.monotonic() < self.until:
                key = self.chance.choice([self.own, self.own, self.chance.choice(self.shared)])
                self.chance.choice([self.put, self.get, self.get, self.range, self.delete, self.head])(key)
                self.done += 1
        except Exception as error:
            self.violations.append(f"{type(error).__name__}: {error}")

    def put(self, key):
        length = self.chance.choice([0, self.chance.randrange(10_000), self.chance.randrange(3 * MIB)])
        version = Version(next(self.numbers), length)
        data = version.data()
        write = key.begin("put", version)
        self.end(key, write, self.client.request("PUT", key.path, key.headers, data), 200)

    def delete(self, key):
        write = key.begin("delete", None)
        self.end(key, write, self.client.request("DELETE", key.path), 204)

    def end(self, key, write, response, expected):
        require(response.status == expected, f"{write.what} of {key.name}: {response}")
        write.etag, write.ended = response.etag, time.monotonic()
        key.forget()

    def get(self, key):
        key.read(self.client)

    def head(self, key):
        response = self.client.request("HEAD", key.path, key.headers)
        require(response.status in (200, 404), f"HEAD of {key.name}: {response}")

    def range(self, key):
        """Of its own key, whose content it knows."""
        write = self.own.last
        if not write.version or write.version.length < 2:
            return
        first = self.chance.randrange(write.version.length - 1)
        last = self.chance.randrange(first, write.version.length)
        headers = {**self.own.headers, "range": f"bytes={first}-{last}"}
        response = self.client.request("GET", self.own.path, headers)
        wanted = write.version.data()[first : last + 1]
        require(response.status == 206 and response.body == wanted, f"bytes {first}-{last} of {self.own.name}")


def resident(pid):
    """Bytes."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    require(found, "the gateway runs")
    return int(found[1]) << 10


def slow_reader(options, directory):
    length, seconds = (1024 * MIB, 60) if options.full else (64 * MIB, 10)
    block = random.Random(options.seed).randbytes(MIB)
    body = b"".join(number.to_bytes(8, "big") + block[8:] for number in range(length // MIB))
    wanted = hashlib.sha256(body).digest()
    with served(options, directory) as gateway:
        client = gateway.client()
        expect_equal(client.request("PUT", f"/{BUCKET}/long", body=body).status, 200, "the object is stored")
        del body
        before, most = resident(gateway.process.pid), 0
        digest, taken, began = hashlib.sha256(), 0, time.monotonic()
        with client.begin("GET", f"/{BUCKET}/long") as response:
            while data := response.read(MIB):
                digest.update(data)
                taken += len(data)
                most = max(most, resident(gateway.process.pid))
                time.sleep(max(0, began + seconds * taken / length - time.monotonic()))
        took = time.monotonic() - began
        expect(took >= seconds, f"the reader was slow: {took:.1f} s")
        expect(digest.digest() == wanted, "a slow reader gets all bytes")
        # Sockets hold some MiB, and the gateway what is on its way.
        expect(most - before < 32 * MIB, f"the gateway does not read ahead: {most - before} bytes")
    report("gateway_slow_reader", 1, mib=length // MIB, seconds=round(took), grown_mib=max(0, most - before) >> 20)


main()
