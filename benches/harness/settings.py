"""What a run is asked to do, and what it reports besides figures."""

import argparse
import dataclasses
import os
import pathlib
from dataclasses import dataclass, field

from common import ROOT

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
UNITS = {"": 1, "K": KIB, "M": MIB, "G": GIB}


@dataclass
class Settings:
    # For files in memory: a tmpfs.
    dir: pathlib.Path = pathlib.Path("/dev/shm")
    # For files on a disk.
    disk_dir: pathlib.Path = pathlib.Path("/var/tmp")
    # Of the file for sealstone and cp, and of the one for the peers, which are slower.
    bytes: int = 2 * GIB
    peer_bytes: int = 512 * MIB
    # The largest object of the memory suite; nothing of this size is ever stored.
    memory_bytes: int = 64 * GIB
    # Counted turns, after one to warm up.
    turns: int = 7
    peer_turns: int = 3
    starts: int = 20
    threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    # Whether the figures only show that everything works.
    quick: bool = False
    # Where peers that the system does not package are installed.
    tools_dir: pathlib.Path = ROOT / "target" / "bench-tools"
    # Whether peers that are missing are installed.
    install: bool = False
    # What a run collects besides figures: tools in use, by name, and what it did not measure, and why.
    tools: dict = field(default_factory=dict)
    left_out: list = field(default_factory=list)

    @classmethod
    def for_quick(cls, **changes):
        """Settings of a run that takes a minute and shows that everything works."""
        small = cls(bytes=32 * MIB, peer_bytes=16 * MIB, memory_bytes=GIB, turns=2, peer_turns=1, starts=3, quick=True)
        return dataclasses.replace(small, **changes)

    def leave_out(self, what, why):
        entry = {"what": what, "why": why}
        if entry not in self.left_out:
            self.left_out.append(entry)

    def used(self, name, version, kind, package, authenticates, threads):
        """Notes a tool that was measured."""
        self.tools[name] = {
            "name": name,
            "version": version,
            "kind": kind,
            "package": package,
            "authenticates": authenticates,
            "threads": threads,
        }


def size(text):
    """Parses an argument such as 64M into bytes."""
    digits, unit = (text[:-1], text[-1:].upper()) if text[-1:].isalpha() else (text, "")
    if not digits.isdigit() or unit not in UNITS:
        raise argparse.ArgumentTypeError(f"{text!r} is no size: write a number, alone or with K, M or G")
    return int(digits) * UNITS[unit]


def count(text):
    """Parses a number of 1 or more."""
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of 1 or more")
    return int(text)
