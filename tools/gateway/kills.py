#!/usr/bin/env python3
"""SIGKILL of the S3 gateway while clients write, copy and delete: nothing that was acknowledged is lost.

    kills.py GATEWAY [--rounds N] [--clients N] [--seed N]

In each round, clients use a few keys at once until the gateway is killed at a random moment. The next one, over the same
directory, must have in every key what a client could have left there: the last write that was acknowledged, or one that
was in progress, whole and with its ETag, and with as many bytes in the listing. Uploads go on, also after the kill. At the
end, a gateway whose clock is days ahead sweeps: no upload and no temporary file is left.
"""

import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field

sys.path += [f"{sys.path[0]}/..", f"{sys.path[0]}/../reliability"]

from common import arguments
from history import FOREVER, Key, Version, Write
from place import Campaign, require
from served import Broken, Gateway

BUCKET = "kills"
KEYS = 10
# The least length of a part that others follow.
PART = 5 << 20
# Seconds from the clients' start to the kill, at most.
LONGEST = 0.8
# How many uploads may be open at once, so that some are left and most are completed.
OPEN_UPLOADS = 12
DAYS = 2
SWEEP_SECONDS = 30


def main():
    options = arguments(__doc__, "gateway", rounds=20, clients=5, seed=1)
    campaign = Campaign("gateway_kills")
    with tempfile.TemporaryDirectory() as directory:
        run = Run(options, pathlib.Path(directory), campaign.counts)
        run.begin()
        for number in range(options.rounds):
            with campaign.case(f"round {number} of seed {options.seed}"):
                run.round(number)
        with campaign.case(f"the end of seed {options.seed}"):
            run.end()
    figures = ("acknowledged", "cut_off", "took_effect", "reads", "completed_again", "swept", "records_left")
    campaign.end(options.rounds, figures, needed=figures[:5])


@dataclass(eq=False)
class Upload:
    key: Key
    id: str
    version: Version
    parts: dict = field(default_factory=dict)
    # The completion that was not answered.
    completing: Write | None = None

    def slices(self):
        data = self.version.data()
        return {1 + at // PART: data[at : at + PART] for at in range(0, len(data), PART)}

    def xml(self):
        parts = [
            f"<Part><PartNumber>{n}</PartNumber><ETag>{etag}</ETag></Part>" for n, etag in sorted(self.parts.items())
        ]
        return f"<CompleteMultipartUpload>{''.join(parts)}</CompleteMultipartUpload>".encode()


class Run:
    def __init__(self, options, directory, counts):
        self.options, self.directory, self.counts = options, directory, counts
        self.gateway = None
        self.keys = [
            Key(BUCKET, f"some/{number}", random.Random(number), customer=number % 2) for number in range(KEYS)
        ]
        self.uploads = []
        self.versions = 0
        self.lock = threading.Lock()
        # Deletions that a kill cut off: each may leave the records of two versions.
        self.cut_deletions = 0

    def start(self, **environment):
        options = ["--upload-days", "1"]
        self.gateway = Gateway(self.options.gateway, self.directory, *options, environment=environment)

    def begin(self):
        self.start()
        created = self.gateway.client().request("PUT", f"/{BUCKET}")
        require(created.status == 200, f"the bucket is created: {created}")

    def round(self, number):
        clients = [
            Worker(self, random.Random(f"{self.options.seed} {number} {n}")) for n in range(self.options.clients)
        ]
        after = random.Random(f"{self.options.seed} {number}").uniform(0, LONGEST)
        for client in clients:
            client.start()
        time.sleep(after)
        self.kill()
        for client in clients:
            client.join()
        violations = [violation for client in clients for violation in client.violations]
        require(not violations, "; ".join(violations))
        self.start()
        self.settle()
        self.complete_again()

    def kill(self):
        require(self.gateway.end(signal.SIGKILL) == -signal.SIGKILL, "the gateway ran until it was killed")

    def settle(self):
        """Reads every key, and takes what is there for what was left there."""
        client = self.gateway.client()
        listed = self.listed(client)
        for key in self.keys:
            cut = [write for write in key.writes if write.ended == FOREVER]
            self.cut_deletions += sum(write.what == "delete" for write in cut)
            self.counts["cut_off"] += len(cut)
            found, etag = key.read(client)
            self.counts["took_effect"] += found in cut
            length = found.version.length if found.version else None
            require(
                listed.get(key.name) == length, f"{key.name} is listed with {listed.get(key.name)} bytes of {length}"
            )
            key.settle(found, etag)

    def listed(self, client):
        page = client.request("GET", f"/{BUCKET}", list_type=2)
        require(page.status == 200, f"the listing: {page}")
        entries = page.body.decode().split("<Contents>")[1:]

        def element(entry, name):
            return entry.split(f"<{name}>")[1].split("<")[0]

        return {element(entry, "Key"): int(element(entry, "Size")) for entry in entries}

    def complete_again(self):
        """A completion without a response is repeated: it succeeds, or it had succeeded and was overwritten."""
        client = self.gateway.client()
        for upload in [upload for upload in self.uploads if upload.completing]:
            key = upload.key
            response = client.request("POST", key.path, key.headers, upload.xml(), uploadId=upload.id)
            is_there = key.last.version is upload.version
            overwritten = response.status == 404 and response.code == "NoSuchUpload" and not is_there
            self.uploads.remove(upload)
            require(response.status == 200 or overwritten, f"a repeated completion of {key.name}: {response}")
            self.counts["completed_again"] += 1
            if response.status == 200:
                key.settle(upload.completing, response.field("ETag"))
                key.read(client)

    def version(self, length):
        with self.lock:
            self.versions += 1
            number = self.versions
        return Version(number, length)

    def count(self, name):
        with self.lock:
            self.counts[name] += 1

    def take_upload(self, chance):
        with self.lock:
            free = [upload for upload in self.uploads if not upload.completing]
            upload = chance.choice(free) if free else None
            if upload:
                self.uploads.remove(upload)
            return upload

    def keep_upload(self, upload):
        with self.lock:
            self.uploads.append(upload)

    def end(self):
        """Sweeps, and looks into the directory."""
        self.kill()
        self.start(LD_PRELOAD=clock_ahead(self.directory), SEALSTONE_CLOCK_AHEAD=str(DAYS * 24 * 60 * 60))
        self.counts["swept"] = len(self.uploads)
        bucket = self.gateway.store / BUCKET
        deadline = time.monotonic() + SWEEP_SECONDS
        while (left := self.upload_files()) and time.monotonic() < deadline:
            time.sleep(0.1)
        require(not left, f"after the sweep is left: {left[:10]}")
        self.kill()
        self.start()
        own = bucket / ".sealstone-gateway"
        require(not (left := names(own / "tmp")), f"temporary files are left: {left}")
        require(len(names(self.gateway.store / ".sealstone-gateway/instances")) == 1, "one instance is known")
        require(not names(self.gateway.store / ".sealstone-gateway/tmp"), "temporary files are left")
        self.settle()
        client = self.gateway.client()
        for key in self.keys:
            require(client.request("DELETE", key.path).status == 204, f"{key.name} is deleted")
        records = [path for path in (own / "records").rglob("*") if path.is_file()]
        self.counts["records_left"] = len(records)
        require(
            len(records) <= 2 * self.cut_deletions, f"{len(records)} records of {self.cut_deletions} deletions are left"
        )
        others = [path for path in bucket.rglob("*") if path.is_file() and own not in path.parents]
        require(not others, f"files are left: {others}")
        deleted = client.request("DELETE", f"/{BUCKET}")
        require(deleted.status == 204, f"the empty bucket is deleted: {deleted}")
        self.gateway.end(signal.SIGTERM)

    def upload_files(self):
        bucket = self.gateway.store / BUCKET
        # Unlike `rglob`, this does not mind directories that are removed meanwhile.
        own = [os.path.join(at, name) for at, _, names in os.walk(bucket / "%2Esealstone") for name in names]
        return own + list((bucket / ".sealstone-gateway/uploads").iterdir())


class Worker(threading.Thread):
    """A client that works until the gateway is gone."""

    def __init__(self, run, chance):
        super().__init__(daemon=True)
        self.run_, self.chance, self.violations = run, chance, []
        self.client = run.gateway.client()

    def run(self):
        work = {self.put: 5, self.upload: 4, self.copy: 4, self.delete: 2, self.get: 3, self.go_on: 3}
        try:
            while True:
                [what] = self.chance.choices(list(work), weights=work.values())
                what(self.chance.choice(self.run_.keys))
        except Broken:
            pass
        except Exception as error:
            # The round fails with it.
            self.violations.append(f"{type(error).__name__}: {error}")

    def acknowledged(self, key, write, response, expected=200, etag=None):
        require(response.status == expected, f"{write.what} of {key.name}: {response}")
        write.etag = response.etag if etag is None else etag
        write.ended = time.monotonic()
        self.run_.count("acknowledged")

    def put(self, key):
        version = self.run_.version(
            self.chance.choice([0, self.chance.randrange(20_000), self.chance.randrange(2_000_000)])
        )
        data = version.data()
        write = key.begin("put", version)
        self.acknowledged(key, write, self.client.request("PUT", key.path, key.headers, data))

    def delete(self, key):
        write = key.begin("delete", None)
        self.acknowledged(key, write, self.client.request("DELETE", key.path), expected=204)

    def get(self, key):
        key.read(self.client)
        self.run_.count("reads")

    def copy(self, key):
        """Of a version that a client knows, onto another key or itself."""
        source = self.chance.choice([key, self.chance.choice(self.run_.keys)])
        last = source.last
        if not (last.version and last.etag):
            return
        headers = {**key.headers, **source.source, "x-amz-copy-source": source.path}
        headers |= {"x-amz-copy-source-if-match": f'"{last.etag}"', "x-amz-metadata-directive": "REPLACE"}
        headers["x-amz-meta-round"] = str(self.chance.randrange(1000))
        write = key.begin("copy", last.version)
        response = self.client.request("PUT", key.path, headers)
        # 503 is the answer if the source was replaced after it was found to match.
        if response.status in (404, 412, 503):
            return key.withdraw(write)
        self.acknowledged(key, write, response, etag=response.field("ETag"))

    def upload(self, key):
        """Begins one, and leaves it, aborts it or goes on with it."""
        if len(self.run_.uploads) >= OPEN_UPLOADS:
            return self.go_on(key)
        begun = self.client.request("POST", key.path, key.headers, uploads="")
        require(begun.status == 200, f"an upload of {key.name} begins: {begun}")
        version = self.run_.version(
            self.chance.choice([self.chance.randrange(100_000), PART + self.chance.randrange(100_000)])
        )
        upload = Upload(key, begun.field("UploadId"), version)
        if self.chance.random() < 0.1:
            aborted = self.client.request("DELETE", key.path, uploadId=upload.id)
            return require(aborted.status == 204, f"an upload of {key.name} is aborted: {aborted}")
        self.continue_(upload)

    def go_on(self, _):
        """Continues an upload that may have begun before a kill."""
        if upload := self.run_.take_upload(self.chance):
            self.continue_(upload)

    def continue_(self, upload):
        key = upload.key
        try:
            for number, data in upload.slices().items():
                if number in upload.parts:
                    continue
                if self.chance.random() < 0.2:
                    # Replaced at once: a completion names the last one.
                    other = self.chance.randbytes(len(data))
                    self.part(upload, number, other)
                upload.parts[number] = self.part(upload, number, data)
                if self.chance.random() < 0.2:
                    return self.run_.keep_upload(upload)
            upload.completing = key.begin("completion", upload.version)
            response = self.client.request("POST", key.path, key.headers, upload.xml(), uploadId=upload.id)
        except Broken:
            self.run_.keep_upload(upload)
            raise
        self.acknowledged(key, upload.completing, response, etag=response.field("ETag"))

    def part(self, upload, number, data):
        key = upload.key
        response = self.client.request("PUT", key.path, key.headers, data, partNumber=number, uploadId=upload.id)
        require(response.status == 200, f"part {number} of {key.name}: {response}")
        return response.etag


def names(directory):
    return sorted(path.name for path in directory.iterdir())


CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*next)(clockid_t, struct timespec *);
    if (!next) next = dlsym(RTLD_NEXT, "clock_gettime");
    int result = next(clock, time);
    if (clock == CLOCK_REALTIME) time->tv_sec += atol(getenv("SEALSTONE_CLOCK_AHEAD"));
    return result;
}
"""


def clock_ahead(directory):
    """A library that sets a program's clock ahead."""
    source, library = directory / "clock.c", directory / "clock.so"
    source.write_text(CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return os.fspath(library)


main()
