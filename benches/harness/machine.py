"""The machine that is measured, and what runs on it."""

import os
import pathlib
import platform
import re

from common import processor, try_output

# The flags of a processor that a cipher or a copy may use.
WANTED_FLAGS = (
    *("aes", "pclmulqdq", "sha_ni", "avx2", "vaes", "vpclmulqdq", "avx512f", "avx512vl"),
    *("pmull", "sha2", "sve", "sve2", "asimd"),
)


def describe():
    """The `machine` of a record. The load is that of the last minute, so call this before measuring."""
    return {
        "arch": platform.machine(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "flags": flags(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def commit():
    return try_output("git", "describe", "--always", "--dirty") or "unknown"


def flags():
    # x86 and ARM use different names for the line.
    found = re.search(r"^(?:flags|Features)\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    present = found[1].split() if found else []
    return [flag for flag in WANTED_FLAGS if flag in present]


def file_system(directory):
    """The kind of file system that a directory is on, as the kernel names it."""
    # Of mounts on top of each other, each has a line.
    return (try_output("findmnt", "-n", "-o", "FSTYPE", "-T", directory).split() or ["unknown"])[0]
