"""Our own programs, as a release build makes them."""

import functools
import json
import os
import pathlib
import subprocess
from dataclasses import dataclass

from .measure import check_runs
from .settings import ROOT


@dataclass
class Programs:
    sealstone: pathlib.Path
    twin: pathlib.Path
    memory_ratio: pathlib.Path


@functools.cache
def build():
    packages = ["-p", "sealstone-cli", "-p", "sealstone-benches"]
    command = ["cargo", "build", "--release", "--bins", "--message-format=json-render-diagnostics", *packages]
    built = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    messages = (json.loads(line) for line in built.stdout.splitlines())
    paths = {m["target"]["name"]: pathlib.Path(m["executable"]) for m in messages if m.get("executable")}
    return Programs(paths["sealstone"], paths["crypto-free-twin"], paths["memory-ratio"])


class Sealstone:
    """Command lines of sealstone with its defaults and a raw key."""

    CHUNK_BYTES = 16 * 1024

    def __init__(self, settings, place, threads=None, *options):
        self.binary = build().sealstone
        self.threads = threads or settings.threads
        key = place / "sealstone.key"
        if not key.exists():
            key.write_bytes(os.urandom(32))
            key.chmod(0o600)
        self.read_options = ["-q", "--key", f"raw:file:{key}", "--threads", self.threads]
        self.options = [*self.read_options, *options]
        version = check_runs(self.binary, "--version").split()[-1]
        settings.used("sealstone", version, "command line", "this repository", "AEAD per 16 KiB chunk", "as given")

    def encrypt(self, plain, sealed):
        return [self.binary, "encrypt", *self.options, plain, "-o", sealed]

    def decrypt(self, sealed, opened):
        return [self.binary, "decrypt", *self.read_options, sealed, "-o", opened]

    def parameters(self, size):
        return {"bytes": size, "threads": self.threads, "chunk_bytes": self.CHUNK_BYTES}
