"""Key services on a free local port: our mock, and moto's server. Clients started inside the `with` block find the service
through the environment, and nothing of the user's AWS configuration."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import urllib.request

REGION = "eu-central-1"
ACCOUNT_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "not-a-secret"}
START_SECONDS = 60


class Server:
    """A process that prints its addresses when it listens."""

    def __init__(self, command, *address_patterns):
        self.command, self.address_patterns = [str(word) for word in command], address_patterns
        self.lines = []

    @property
    def url(self):
        return self.addresses[0]

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        # A server that never prints its address must not block forever.
        watchdog = threading.Timer(START_SECONDS, self.process.kill)
        watchdog.start()
        self.addresses = [self._await(pattern) for pattern in self.address_patterns]
        watchdog.cancel()
        # Keeps reading, so that the server never blocks on a full pipe.
        self.reader = threading.Thread(target=self._listen, daemon=True)
        self.reader.start()
        self.outside = dict(os.environ)
        os.environ.clear()
        os.environ.update(self.environment())
        return self

    def __exit__(self, kind, *_):
        os.environ.clear()
        os.environ.update(self.outside)
        died = self.process.poll()
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.directory.cleanup()
        if kind is not None:
            print(f"{self.command[0]} printed:", *self.lines[-20:], sep="\n  ", file=sys.stderr)
        elif died is not None:
            raise SystemExit(f"{self.command[0]} exited early, with {died}")

    def _listen(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def _await(self, pattern):
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if found := re.search(pattern, line):
                return found[1]
        raise SystemExit(f"{' '.join(self.command)}: no line like {pattern!r} in {self.lines}")

    def environment(self):
        """That of a clean machine: an empty home, no profile, made-up credentials."""
        kept = {name: value for name, value in self.outside.items() if not name.startswith("AWS_")}
        return {
            **kept,
            **ACCOUNT_CREDENTIALS,
            "AWS_ENDPOINT_URL_KMS": self.url,
            # Older tools read the second one only.
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "HOME": self.directory.name,
            "NO_PROXY": "127.0.0.1",
        }


class Mock(Server):
    def __init__(self, binary, *options):
        self.audit_directory = tempfile.TemporaryDirectory()
        self.audit = pathlib.Path(self.audit_directory.name) / "audit.jsonl"
        listen = ["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--region", REGION, "--audit", self.audit]
        super().__init__([binary, *listen, *options], r"^listening on (https?://\S+)", r"^control on (http://\S+)")

    def add_fault(self, **fault):
        self._control("POST", "/faults", fault)

    def clear_faults(self):
        self._control("DELETE", "/faults")

    def throttle(self, per_second, burst):
        """Limits the rate of cryptographic operations."""
        self._control("PATCH", "/settings", {"rate": {"per_second": per_second, "burst": burst}})

    def unthrottle(self):
        self._control("PATCH", "/settings", {"rate": None})

    def advance_clock(self, days):
        self._control("POST", "/clock", {"advance_seconds": days * 24 * 60 * 60})

    def _control(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.addresses[1] + path, data=data, method=method, headers=headers)
        # Without the proxies of the environment: the server is local.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30):
            pass

    def events(self):
        return [json.loads(line) for line in self.audit.read_text().splitlines()]


class Moto(Server):
    def __init__(self):
        # That of the environment of this interpreter.
        program = pathlib.Path(sys.executable).parent / "moto_server"
        super().__init__([program, "--host", "127.0.0.1", "--port", "0"], r"Running on (http://\S+)")
