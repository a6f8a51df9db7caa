"""What clients have written, and what a read may find: a value for each key that reads and writes in some order explain."""

import hashlib
import random
import threading
import time
from dataclasses import dataclass

from place import require
from served import customer_key

FOREVER = float("inf")
# Every read ends within this many seconds.
READ_SECONDS = 60


class Version:
    """The content of an object: bytes that no other one has."""

    def __init__(self, number, length):
        self.number, self.length = number, length
        self.digest = hashlib.sha256(self.data()).digest()

    def data(self):
        return random.Random(self.number).randbytes(self.length)

    def __repr__(self):
        return f"version {self.number} of {self.length} bytes"


@dataclass(eq=False)
class Write:
    """What a client asked for: a version, or None for none. Without a response it never ended."""

    what: str
    version: Version | None
    began: float
    ended: float = FOREVER
    etag: str | None = None


class Key:
    """A key, and what may be stored under it."""

    def __init__(self, bucket, name, chance, customer=False):
        self.path, self.name = f"/{bucket}/{name}", name
        secret = chance.randbytes(32)
        self.headers = customer_key(secret) if customer else {}
        self.source = customer_key(secret, source=True) if customer else {}
        self.writes = [Write("nothing", None, -FOREVER, -FOREVER, "")]
        self.lock = threading.Lock()

    def begin(self, what, version):
        write = Write(what, version, time.monotonic())
        with self.lock:
            self.writes.append(write)
        return write

    def withdraw(self, write):
        """It was refused."""
        with self.lock:
            self.writes.remove(write)

    def possible(self, began, ended):
        """The writes whose outcome a read between these moments may find: none that an acknowledged one followed."""
        with self.lock:
            known = [write for write in self.writes if write.began < ended]
        last = max((write.began for write in known if write.ended < began), default=-FOREVER)
        return [write for write in known if write.ended >= last]

    def read(self, client):
        """The write that a GET finds, and its ETag. Raises Violation."""
        began = time.monotonic()
        response = client.request("GET", self.path, self.headers)
        return self.check(response, began, time.monotonic()), response.etag

    def check(self, response, began, ended):
        """The write that a response to GET shows. Raises Violation."""
        possible = self.possible(began, ended)
        if response.status == 404:
            require(response.code == "NoSuchKey", f"{self.name}: {response.body}")
            matching = [write for write in possible if write.version is None]
        else:
            require(response.status == 200, f"GET of {self.name}: {response.status} {response.body[:500]}")
            digest = hashlib.sha256(response.body).digest()
            same = [write for write in possible if write.version and write.version.digest == digest]
            matching = [write for write in same if write.etag in (None, response.etag)]
            require(matching or not same, f"{self.name}: {same} has the ETag {response.etag}")
        require(matching, f"{self.name}: {response.status}, {len(response.body)} bytes; possible: {possible}")
        return matching[-1]

    def forget(self):
        """Forgets writes that no read can find any more, so that a long run needs no more memory."""
        with self.lock:
            before = time.monotonic() - READ_SECONDS
            last = max((write.began for write in self.writes if write.ended < before), default=-FOREVER)
            self.writes = [write for write in self.writes if write.ended >= last]

    def settle(self, write, etag):
        """From now on, this is what is stored."""
        self.writes = [Write(write.what, write.version, -FOREVER, -FOREVER, etag)]

    @property
    def last(self):
        with self.lock:
            return max(self.writes, key=lambda write: (write.ended < FOREVER, write.ended))
