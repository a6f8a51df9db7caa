#!/usr/bin/env python3
"""Each system call of each command fails once, or is the last before SIGKILL; nothing is lost, and nothing half-made left.

    faults.py SEALSTONE [--full]

SEALSTONE is the binary. strace makes the N-th call of a kind fail, of each thread, for N = 1, 2, 3 and so on until no thread
of a run makes so many. The quick form has fewer kinds, and of reads and writes the first two.
"""

import argparse
import collections
import pathlib
import shutil
import subprocess
import tempfile

from place import SCENARIOS, Place, Violation, require

# Calls, and what each of them may fail with. The program's loader makes some of them as well, and may then not start it.
ERRORS = {
    "openat": ["EACCES", "EMFILE", "ENOMEM", "EINTR"],
    "read": ["EIO", "EINTR"],
    "pread64": ["EIO", "EINTR"],
    "write": ["ENOSPC", "EIO", "EINTR", "EDQUOT"],
    "pwrite64": ["ENOSPC", "EIO", "EINTR", "EDQUOT"],
    "fsync": ["EIO", "ENOSPC"],
    "fdatasync": ["EIO"],
    "linkat": ["EIO", "ENOSPC", "EPERM"],
    "renameat2": ["EIO", "ENOSPC"],
    "renameat": ["EIO", "ENOSPC"],
    "rename": ["EIO"],
    "unlink": ["EIO"],
    "ftruncate": ["EIO"],
    "fallocate": ["ENOSPC"],
    "flock": ["ENOLCK", "EINTR"],
    "statx": ["EIO", "ENOENT"],
    "newfstatat": ["EIO"],
    "lseek": ["EIO"],
    "getrandom": ["EIO"],
    "mkdir": ["EACCES"],
    "mmap": ["ENOMEM"],
    "clone3": ["EAGAIN"],
    "prctl": ["EPERM"],
    "copy_file_range": ["EIO"],
}
QUICK = {
    "write": ["ENOSPC"],
    "pwrite64": ["EIO"],
    "fsync": ["EIO"],
    "linkat": ["EIO"],
    "renameat": ["EIO"],
    "renameat2": ["EIO"],
    "read": ["EIO"],
    "flock": ["EINTR"],
}
KILLED_AT = [
    "openat",
    "write",
    "pwrite64",
    "fsync",
    "linkat",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "flock",
    "ftruncate",
    "mkdir",
]
QUICK_KILLED_AT = ["pwrite64", "fsync", "linkat", "renameat", "renameat2"]
MANY = {"read", "write", "pwrite64"}
# Without memory, threads or random numbers for its hash tables the standard library, or the loader, ends the program.
MAY_ABORT = {"mmap", "clone3", "getrandom"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sealstone", type=pathlib.Path)
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    if not shutil.which("strace"):
        raise SystemExit("strace is missing: apt-get install strace")
    with tempfile.TemporaryDirectory() as directory:
        # More than one batch of chunks, and more than one thread.
        place = Place(str(options.sealstone.resolve()), directory, 3_000_000 if options.full else 700_000, 1)
        errors = ERRORS if options.full else QUICK
        failures = [(call, f"error={error}") for call, kinds in errors.items() for error in kinds]
        campaign("failed_calls", place, failures, options.full)
        kills = [(call, "signal=KILL") for call in (KILLED_AT if options.full else QUICK_KILLED_AT)]
        campaign("killed_calls", place, kills, options.full)


def campaign(name, place, injections, full):
    counts, wrong = collections.Counter(), []
    for scenario in SCENARIOS:
        for call, what in injections:
            number = 1
            while full or call not in MANY or number <= 2:
                try:
                    if not injected(place, scenario, call, what, number, counts):
                        break
                except (Violation, subprocess.TimeoutExpired) as violation:
                    wrong.append(f"{scenario.name}: {call} {number} {what}: {violation}")
                    print(wrong[-1], flush=True)
                number += 1
    figures = " ".join(
        f"{key}={counts[key]}" for key in ("survived", "refused", "aborted", "done_and_refused", "leftovers")
    )
    print(f"campaign: {name} cases={counts['hits']} {figures} violations={len(wrong)}")
    if wrong:
        raise SystemExit(f"{len(wrong)} violations")
    require(counts["hits"], "something was hit")


def injected(place, scenario, call, what, number, counts):
    """Whether the command made so many of these calls; checks what is there then."""
    place.reset()
    log = place.path("strace.log")
    strace = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={call}", "-e", f"inject={call}:{what}:when={number}"]
    code, _, told = place.run(strace + scenario.command(place), scenario.source)
    text = log.read_text(errors="replace")
    log.unlink()
    killed = "signal=KILL" in what
    # strace ends by the signal that its program ended by.
    hit = code == -9 if killed else "(INJECTED)" in text
    if not hit:
        require(code == 0, f"nothing was injected, and it failed: {told}")
        return False
    counts["hits"] += 1
    aborted = call in MAY_ABORT and (code < 0 or "internal error" in told)
    counts["survived" if code == 0 else "aborted" if aborted else "refused"] += 1
    unstarted = code == 127 and "error while loading shared libraries" in told
    require(unstarted or "EINTR" not in what or code == 0, f"an interrupted call is made again: {told}")
    panicked = "internal error" in told or "panicked" in told or code == 101
    require(aborted or not panicked, f"it panicked: {told}")
    require(killed or aborted or 0 <= code < 128, f"exit {code}: {told}")
    require(killed or aborted or code == 0 or told.strip(), "an error says something")
    made = scenario.check(place, code == 0, killed)
    # The work was done, and then its directory could not be synced, or the result not be told.
    counts["done_and_refused"] += made and code != 0 and not killed
    left = place.left_over(scenario.targets)
    counts["leftovers"] += len(left)
    require(killed or aborted or not left or call in ("unlink", "unlinkat"), f"left over: {left}")
    return True


main()
