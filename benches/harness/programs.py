"""Our own programs, as a release build makes them."""

import functools
import os
import pathlib
from dataclasses import dataclass

import common

from .measure import check_runs, timed
from .places import expect_same, remove


@dataclass
class Programs:
    sealstone: pathlib.Path
    twin: pathlib.Path
    memory_ratio: pathlib.Path


@functools.cache
def build():
    # As the README builds it.
    paths = common.build("--bin", "sealstone") | bench_programs()
    return Programs(paths["sealstone"], paths["crypto-free-twin"], paths["memory-ratio"])


def bench_programs():
    """The programs of the package `sealstone-benches`, by name.

    With the benches, as a quick run builds them: their dependencies add features to shared ones, and each build alone
    would compile tokio, rustls and the engine again.
    """
    return common.build("-p", "sealstone-benches", "--no-default-features", "--bins", "--benches")


class Sealstone:
    """Command lines of sealstone with its defaults and a raw key."""

    CHUNK_BYTES = 16 * 1024

    def __init__(self, settings, place, threads=None, *options):
        self.binary = build().sealstone
        self.threads = threads or settings.threads
        self.compared = set()
        key = place / "sealstone.key"
        if not key.exists():
            common.raw_key(key, os.urandom(32))
        self.read_options = ["-q", "--key", f"raw:file:{key}", "--threads", self.threads]
        self.options = [*self.read_options, *options]
        version = check_runs(self.binary, "--version").split()[-1]
        settings.used("sealstone", version, "command line", "this repository", "AEAD per 16 KiB chunk", "as given")

    def encrypt(self, plain, sealed):
        return [self.binary, "encrypt", *self.options, plain, "-o", sealed]

    def decrypt(self, sealed, opened):
        return [self.binary, "decrypt", *self.read_options, sealed, "-o", opened]

    def time_encrypt(self, plain, sealed):
        """The run, without the time to remove an earlier output."""
        remove(sealed)
        return timed(self.encrypt(plain, sealed))

    def time_decrypt(self, sealed, opened, plain):
        """The run. Compares the first output with the plaintext, and removes each one, as memory is scarce."""
        remove(opened)
        run = timed(self.decrypt(sealed, opened))
        if plain not in self.compared:
            expect_same("sealstone", plain, opened)
            self.compared.add(plain)
        remove(opened)
        return run

    def parameters(self, size):
        return {"bytes": size, "threads": self.threads, "chunk_bytes": self.CHUNK_BYTES}
