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
    # As the README builds it, and as CI and `instructions` build the benches: each set of features is compiled once.
    paths = executables("--bin", "sealstone") | executables(
        "-p", "sealstone-benches", "--no-default-features", "--bins"
    )
    return Programs(paths["sealstone"], paths["crypto-free-twin"], paths["memory-ratio"])


def executables(*options):
    """Builds what the options say, and returns the programs by name."""
    command = ["cargo", "build", "--locked", "--release", "--message-format=json-render-diagnostics", *options]
    built = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    messages = (json.loads(line) for line in built.stdout.splitlines())
    return {m["target"]["name"]: pathlib.Path(m["executable"]) for m in messages if m.get("executable")}


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
