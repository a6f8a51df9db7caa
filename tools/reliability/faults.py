#!/usr/bin/env python3
"""Each system call of each command fails once, or is the last before SIGKILL; nothing is lost or left incomplete.

strace makes the N-th call of a kind fail, in each thread, for N = 1, 2, 3 and so on until no thread of a run makes that
many. The quick form has fewer kinds, and tries the first two reads and writes only.
"""

import shutil
import sys

sys.path.append(f"{sys.path[0]}/..")

from common import arguments
from place import SCENARIOS, Campaign, at_place, require

# Calls, and the errors injected into each. The dynamic loader makes some of them too, and may then not start the program.
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
KILLED_AT = "openat write pwrite64 fsync linkat rename renameat renameat2 unlink flock ftruncate mkdir".split()
QUICK_KILLED_AT = ["pwrite64", "fsync", "linkat", "renameat", "renameat2"]
MANY = {"read", "write", "pwrite64"}
# Without memory, threads or random numbers for its hash tables the standard library, or the loader, ends the program.
MAY_ABORT = {"mmap", "clone3", "getrandom"}


def main():
    options = arguments(__doc__, "sealstone", full=False)
    if not shutil.which("strace"):
        raise SystemExit("strace is missing: apt-get install strace")
    # More than one batch of chunks, and more than one thread.
    with at_place(options.sealstone, 3_000_000 if options.full else 700_000) as place:
        errors = ERRORS if options.full else QUICK
        failures = [(call, f"error={error}") for call, kinds in errors.items() for error in kinds]
        campaign("failed_calls", place, failures, options.full)
        kills = [(call, "signal=KILL") for call in (KILLED_AT if options.full else QUICK_KILLED_AT)]
        campaign("killed_calls", place, kills, options.full)


def campaign(name, place, injections, full):
    results = Campaign(name)
    for scenario in SCENARIOS:
        for call, what in injections:
            number, hit = 1, True
            while hit and (full or call not in MANY or number <= 2):
                with results.case(f"{scenario.name}: {call} {number} {what}"):
                    hit = injected(place, scenario, call, what, number, results.counts)
                number += 1
    figures = ("survived", "refused", "aborted", "done_and_refused", "leftovers")
    results.end(results.counts["hits"], figures, needed=("hits",))


def injected(place, scenario, call, what, number, counts):
    """Whether the command made this many of these calls; checks the files afterwards."""
    place.reset()
    log = place.path("strace.log")
    strace = ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={call}", "-e", f"inject={call}:{what}:when={number}"]
    code, _, error = place.run(strace + scenario.command(place), scenario.source)
    text = log.read_text(errors="replace")
    log.unlink()
    killed = "signal=KILL" in what
    # strace ends by the signal that its program ended by.
    hit = code == -9 if killed else "(INJECTED)" in text
    if not hit:
        require(code == 0, f"nothing was injected, and it failed: {error}")
        return False
    counts["hits"] += 1
    aborted = call in MAY_ABORT and (code < 0 or "internal error" in error)
    counts["survived" if code == 0 else "aborted" if aborted else "refused"] += 1
    unstarted = code == 127 and "error while loading shared libraries" in error
    require(unstarted or "EINTR" not in what or code == 0, f"an interrupted call is retried: {error}")
    panicked = "internal error" in error or "panicked" in error or code == 101
    require(aborted or not panicked, f"it panicked: {error}")
    require(killed or aborted or 0 <= code < 128, f"exit {code}: {error}")
    require(killed or aborted or code == 0 or error.strip(), "an error says something")
    made = scenario.check(place, code == 0, killed)
    # The work was done, and then its directory could not be synced, or the result not be printed.
    counts["done_and_refused"] += made and code != 0 and not killed
    left = place.left_over(scenario.targets)
    counts["leftovers"] += len(left)
    require(killed or aborted or not left or call in ("unlink", "unlinkat"), f"left over: {left}")
    return True


main()
