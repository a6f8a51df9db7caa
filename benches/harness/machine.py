"""The machine that figures are of, and what stands on it."""

import os
import pathlib
import platform
import subprocess

from .settings import ROOT

# Of the many flags of a processor, those that a cipher or a copy may use.
WANTED_FLAGS = (
    *("aes", "pclmulqdq", "sha_ni", "avx2", "vaes", "vpclmulqdq", "avx512f", "avx512vl"),
    *("pmull", "sha2", "sve", "sve2", "asimd"),
)


def describe():
    """The `machine` of a record. The load is of the last minute: to be asked for before anything is measured."""
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
    return output_of("git", "-C", ROOT, "describe", "--always", "--dirty") or "unknown"


def processor():
    return facts().get("model name") or platform.processor() or platform.machine()


def flags():
    known = facts()
    # x86 and ARM call them differently.
    present = (known.get("flags") or known.get("Features") or "").split()
    return [flag for flag in WANTED_FLAGS if flag in present]


def facts():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def file_system(directory):
    """The kind of file system that a directory is on, as the kernel lists it."""
    return output_of("findmnt", "-n", "-o", "FSTYPE", "-T", directory) or "unknown"


def output_of(*command):
    """The first line that a command prints; nothing if it fails."""
    try:
        done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    except OSError:
        return ""
    lines = done.stdout.strip().splitlines()
    return lines[0] if done.returncode == 0 and lines else ""
