"""A gateway as a process, and a small S3 client: signatures without hashing bodies, and nothing retried.

A client of AWS repeats what fails, and would hide what a kill does.
"""

import base64
import datetime
import hashlib
import hmac
import http.client
import os
import pathlib
import re
import signal
import subprocess
import threading
import urllib.parse
from dataclasses import dataclass

ACCESS_KEY, SECRET_KEY, REGION = "AKIAIOSFODNN7EXAMPLE", "not-a-secret", "us-east-1"
START_SECONDS = 30
# Seconds without a byte, after which a request has failed.
TIMEOUT = 120


class Broken(Exception):
    """The connection ended before the response did."""


class Gateway:
    """A process that serves a store in a directory."""

    def __init__(self, program, directory, *options, environment=None, under=()):
        directory = pathlib.Path(directory)
        self.store = directory / "store"
        words = ["--listen", "127.0.0.1:0", "--store", self.store, "--keyring", directory / "ring.json"]
        words += ["--access-log", "off", "--log", "warn", "--allow-insecure-ssec", *options]
        self.log = open(directory / "gateway.log", "ab")
        self.process = subprocess.Popen(
            [str(word) for word in [*under, program, *words]],
            env={
                **os.environ,
                "AWS_ACCESS_KEY_ID": ACCESS_KEY,
                "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
                **(environment or {}),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        watchdog = threading.Timer(START_SECONDS, self.process.kill)
        watchdog.start()
        line = self.process.stdout.readline()
        watchdog.cancel()
        found = re.match(r"listening on http://(\S+):(\d+)", line)
        if not found:
            raise SystemExit(f"the gateway does not start: {line!r}, see {self.log.name}")
        self.address = (found[1], int(found[2]))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end(signal.SIGKILL)

    def end(self, number):
        """Ends it by a signal, if it runs, and returns its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(timeout=60)
        self.process.stdout.close()
        self.log.close()
        return code

    def client(self, timeout=TIMEOUT):
        return Client(self.address, timeout)


@dataclass
class Response:
    status: int
    headers: dict
    body: bytes

    @property
    def etag(self):
        return self.headers.get("etag", "").strip('"')

    @property
    def code(self):
        return self.field("Code")

    def field(self, name):
        """The text of an element of the body, which is XML; empty without one."""
        found = re.search(rf"<{name}>([^<]*)</{name}>", self.body.decode(errors="replace"))
        return found[1].replace("&quot;", '"').strip('"') if found else ""


class Client:
    """One connection, made again after it has failed."""

    def __init__(self, address, timeout=TIMEOUT):
        self.connection = http.client.HTTPConnection(*address, timeout=timeout)

    def close(self):
        self.connection.close()

    def request(self, method, path, headers=None, body=b"", **query):
        """The whole response. Raises Broken."""
        with self.begin(method, path, headers, body, **query) as response:
            return Response(response.status, headers_of(response), response.read())

    def begin(self, method, path, headers=None, body=b"", **query):
        """The response as a context, whose body is not read yet. Raises Broken, also inside of the context."""
        return Exchange(self.connection, method, path, headers or {}, body, query)


class Exchange:
    def __init__(self, connection, method, path, headers, body, query):
        self.connection = connection
        path, query = urllib.parse.quote(path), encoded(query)
        host = f"{connection.host}:{connection.port}"
        headers = signed(method, path, query, {"host": host, "content-length": str(len(body)), **headers})
        self.words = method, f"{path}?{query}" if query else path, body, headers

    def __enter__(self):
        try:
            try:
                self.connection.request(*self.words[:3], headers=self.words[3])
            except (BrokenPipeError, ConnectionResetError):
                # A refusal may come before the whole body was sent.
                if self.connection.sock is None:
                    raise
            return self.connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            raise Broken(str(error)) from error

    def __exit__(self, kind, error, _):
        if kind is not None:
            self.connection.close()
        if kind is not None and issubclass(kind, (OSError, http.client.HTTPException)):
            raise Broken(str(error)) from error


def headers_of(response):
    return {name.lower(): value for name, value in response.getheaders()}


def encoded(query):
    pairs = sorted((name.replace("_", "-"), str(value)) for name, value in query.items())
    # Names such as partNumber have no underscore, and uploadId neither.
    return "&".join(
        f"{urllib.parse.quote(name, safe='')}={urllib.parse.quote(value, safe='')}" for name, value in pairs
    )


def signed(method, path, query, headers):
    """The headers with those of signature version 4, whose body is not part of it."""
    now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {**headers, "x-amz-date": now, "x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
    names = sorted(headers)
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in names)
    request = "\n".join([method, path, query, lines, ";".join(names), "UNSIGNED-PAYLOAD"])
    scope = f"{now[:8]}/{REGION}/s3/aws4_request"
    key = f"AWS4{SECRET_KEY}".encode()
    for word in scope.split("/"):
        key = hmac.digest(key, word.encode(), "sha256")
    text = "\n".join(["AWS4-HMAC-SHA256", now, scope, hashlib.sha256(request.encode()).hexdigest()])
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"Credential={ACCESS_KEY}/{scope}"
    authorization = f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={';'.join(names)}, Signature={signature}"
    return {**headers, "authorization": authorization}


def customer_key(key, source=False):
    """The headers of SSE-C with a key; `source` for the source of a copy."""
    prefix = f"x-amz-{'copy-source-' if source else ''}server-side-encryption-customer-"
    return {
        f"{prefix}algorithm": "AES256",
        f"{prefix}key": base64.b64encode(key).decode(),
        f"{prefix}key-md5": base64.b64encode(hashlib.md5(key).digest()).decode(),
    }
