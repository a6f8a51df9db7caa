#!/usr/bin/env python3
"""Objects in Azure by their URLs: the command line against Azurite, Microsoft's emulator, which npm installs.

    cli_azure.py

Azure's names of metadata have no hyphens, it knows no copy that replaces metadata, and its parts are blocks.
"""

import base64
import contextlib
import email.utils
import hashlib
import hmac
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

sys.path.append(f"{sys.path[0]}/..")

from common import arguments, build, expect, expect_equal, isolated, raw_key, report, target

AZURITE = "azurite@3"
# Those of every emulator.
ACCOUNT = "devstoreaccount1"
KEY = base64.b64decode("Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==")
PORT = 10000
CONTAINER = "backups"
PAIR = "x-ms-meta-sealstone_header"
VERSION = "2023-11-03"
MIB = 1024 * 1024


class Service:
    """The emulator's own view of what is stored."""

    def call(self, method, path, query="", data=None, **headers):
        sent = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": VERSION, **headers}
        named = "".join(f"{name}:{sent[name]}\n" for name in sorted(sent))
        length = str(len(data)) if data else ""
        resource = f"/{ACCOUNT}/{ACCOUNT}/{path}" + "".join(
            f"\n{pair.replace('=', ':')}" for pair in query.split("&") if pair
        )
        text = f"{method}\n\n\n{length}\n\n{'application/octet-stream' if data else ''}\n\n\n\n\n\n\n{named}{resource}"
        signature = base64.b64encode(hmac.new(KEY, text.encode(), hashlib.sha256).digest()).decode()
        sent["Authorization"] = f"SharedKey {ACCOUNT}:{signature}"
        if data:
            sent["Content-Type"] = "application/octet-stream"
        url = f"http://127.0.0.1:{PORT}/{ACCOUNT}/{path}" + (f"?{query}" if query else "")
        request = urllib.request.Request(url, method=method, data=data, headers=sent)
        with urllib.request.urlopen(request) as response:
            return response.read(), dict(response.headers)

    def stored(self, key):
        body, headers = self.call("GET", f"{CONTAINER}/{key}")
        return body, {name.lower(): value for name, value in headers.items()}

    def replace(self, key, body, **headers):
        blob = {"x-ms-blob-type": "BlockBlob", **headers}
        self.call("PUT", f"{CONTAINER}/{key}", data=body, **blob)


@contextlib.contextmanager
def emulator(place):
    """Azurite, with everything in memory."""
    programs = target() / "azurite"
    program = programs / "node_modules/.bin/azurite-blob"
    if not program.exists():
        programs.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "install", "--silent", "--prefix", programs, AZURITE], check=True)
    command = [program, "--inMemoryPersistence", "--silent", "--blobPort", str(PORT)]
    command += ["--skipApiVersionCheck", "--disableTelemetry"]
    with subprocess.Popen(command, cwd=place) as running:
        try:
            for _ in range(300):
                expect(running.poll() is None, "the emulator runs")
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", PORT)):
                    break
                time.sleep(0.1)
            yield Service()
        finally:
            running.terminate()


class Tests:
    def __init__(self, sealstone, place, service):
        self.sealstone, self.place, self.service = sealstone, place, service
        self.environment = {**isolated(place), "AZURE_STORAGE_USE_EMULATOR": "true", "TMPDIR": str(place)}

    def run(self, *words, code=0):
        command = [self.sealstone, *map(str, words)]
        done = subprocess.run(command, capture_output=True, env=self.environment, cwd=self.place)
        message = done.stderr.decode().strip()
        expect_equal(done.returncode, code, f"the exit code of sealstone {words} ({message})")
        return done.stdout


def url(key):
    return f"az://{CONTAINER}/{key}"


def round_trips(t):
    for size in (0, 1, 16 * 1024, 20 * MIB + 1):
        plain = os.urandom(size)
        (t.place / "plain").write_bytes(plain)
        t.run("encrypt", "plain", "-o", url(f"dir/{size}"))
        body, headers = t.service.stored(f"dir/{size}")
        expect(headers.get(PAIR), f"the header is in the metadata: {headers}")
        # Shorter ones are found in random bytes too.
        expect(size < 16 or plain[:1000] not in body, "what is stored is sealed")
        expect_equal(t.run("cat", url(f"dir/{size}")), plain, f"{size} bytes again")
        t.run("verify", url(f"dir/{size}"))
    print("round trips")


def rewrapping(t):
    data = os.urandom(12 * MIB)
    (t.place / "plain").write_bytes(data)
    old, new = (raw_key(t.place / name, os.urandom(32)) for name in ("old", "new"))
    t.run("encrypt", "plain", "-o", url("rewrapped"), "-k", old)
    before, found = t.service.stored("rewrapped")
    t.run("rewrap", url("rewrapped"), "--key", old, "--to", new)
    after, changed = t.service.stored("rewrapped")
    expect(before == after, "the payload is the same")
    expect(found[PAIR] != changed[PAIR], "the header is another one")
    t.run("cat", url("rewrapped"), "-k", old, code=7)
    expect(t.run("cat", url("rewrapped"), "-k", new) == data, "the new key opens it")
    print("rewrap")


def refusals(t):
    t.run("encrypt", "plain", "-o", url("refused"))
    t.run("encrypt", "plain", "-o", url("refused"), code=8)
    body, headers = t.service.stored("refused")
    damaged = bytearray(body)
    damaged[len(body) // 2] ^= 1
    t.service.replace("refused", bytes(damaged), **{PAIR: headers[PAIR]})
    t.run("decrypt", url("refused"), "-o", "out", code=6)
    expect(not (t.place / "out").exists(), "no part of a tampered object is left")
    t.run("encrypt", "-f", "plain", "-o", url("refused"))
    t.run("verify", url("refused"))
    t.service.replace("refused", body)
    t.run("verify", url("refused"), code=3)
    t.run("cat", url("absent"), code=4)
    print("refusals")


def prefixes(t):
    plain = {f"prefix/{name}": os.urandom(size) for name, size in (("a", 1), ("dir/b", MIB), ("c", 100_000))}
    for key, data in plain.items():
        t.service.replace(key, data)
    t.run("encrypt", "--recursive", "--in-place", url("prefix/"))
    t.run("verify", "--recursive", url("prefix/"))
    sealed = {key: t.service.stored(key) for key in plain}
    t.run("rekey", "--recursive", "--in-place", url("prefix/"), "--to", "local:default")
    for key, data in plain.items():
        expect(t.service.stored(key)[1][PAIR] != sealed[key][1][PAIR], f"{key} has a new key")
        expect_equal(t.run("cat", url(key)) == data, True, f"{key} again")
    print("prefixes")


def main():
    arguments(__doc__)
    sealstone = build("--package", "sealstone-cli", "--features", "cloud", "--bin", "sealstone")["sealstone"]
    with tempfile.TemporaryDirectory() as directory, emulator(directory) as service:
        place = pathlib.Path(directory)
        service.call("PUT", CONTAINER, "restype=container")
        t = Tests(sealstone, place, service)
        t.run("keys", "new", "default")
        tests = round_trips, rewrapping, refusals, prefixes
        for test in tests:
            test(t)
        report("azure", len(tests))


main()
