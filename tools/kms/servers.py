"""Key services on a free port of this machine: our mock, and moto's server. Clients started inside of the `with` find
the service through the environment, and nothing of the user's own AWS configuration."""

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
    """A process that says its addresses on its standard output, or error, when it listens."""

    def __init__(self, command, *address_patterns):
        self.command, self.address_patterns = [str(word) for word in command], address_patterns
        self.said = []

    @property
    def url(self):
        return self.addresses[0]

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        # A server that never says its address must not block us forever.
        watchdog = threading.Timer(START_SECONDS, self.process.kill)
        watchdog.start()
        self.addresses = [self._await(pattern) for pattern in self.address_patterns]
        watchdog.cancel()
        # Whatever else it says: nothing may wait for us to read it.
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
            print(f"{self.command[0]} said:", *self.said[-20:], sep="\n  ", file=sys.stderr)
        elif died is not None:
            raise SystemExit(f"{self.command[0]} ended by itself, exit {died}")

    def _listen(self):
        for line in self.process.stdout:
            self.said.append(line.rstrip())

    def _await(self, pattern):
        for line in self.process.stdout:
            self.said.append(line.rstrip())
            if found := re.search(pattern, line):
                return found[1]
        raise SystemExit(f"{' '.join(self.command)}: no line like {pattern!r} in {self.said}")

    def environment(self):
        """Of a clean machine: a home of its own, no profile, credentials that are nobody's."""
        kept = {name: value for name, value in self.outside.items() if not name.startswith("AWS_")}
        return {
            **kept,
            **ACCOUNT_CREDENTIALS,
            "AWS_ENDPOINT_URL_KMS": self.url,
            # Tools older than AWS_REGION read the other one.
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
        """At most so many cryptographic operations."""
        self._control("PATCH", "/settings", {"rate": {"per_second": per_second, "burst": burst}})

    def unthrottle(self):
        self._control("PATCH", "/settings", {"rate": None})

    def advance_clock(self, days):
        self._control("POST", "/clock", {"advance_seconds": days * 24 * 60 * 60})

    def _control(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.addresses[1] + path, data=data, method=method, headers=headers)
        # Without the proxies of the environment: this is this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=30):
            pass

    def events(self):
        return [json.loads(line) for line in self.audit.read_text().splitlines()]


class Moto(Server):
    def __init__(self):
        # The one of the environment that this runs in.
        program = pathlib.Path(sys.executable).parent / "moto_server"
        super().__init__([program, "--host", "127.0.0.1", "--port", "0"], r"Running on (http://\S+)")
