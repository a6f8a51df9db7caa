"""Keeps a virtual machine's memory from going back to its host between runs.

Linux reports free memory to the host in pieces of 2 MiB and more, and the host reclaims it. The next access then waits for
the host, so a run of `cp` may take up to twice as long. If one page of each 256 KiB is in use, no piece is long enough.
This changes no setting of the system, and ends with this process.
"""

import contextlib
import mmap
import pathlib

from .settings import GIB, KIB

REPORTING = pathlib.Path("/sys/module/page_reporting")
PAGE = mmap.PAGESIZE
PIECE = 256 * KIB
# Left alone, for the system and for growth meanwhile.
SPARED = 2 * GIB


@contextlib.contextmanager
def kept():
    """Holds a page in each piece of the free memory; yields whether there was a reason to."""
    size = (free() - SPARED) // PIECE * PIECE
    if not REPORTING.exists() or size <= 0:
        yield False
        return
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        # One byte of each page, and then all pages of each piece but the first.
        for start in range(0, size, PAGE):
            memory[start] = 1
        for start in range(0, size, PIECE):
            memory.madvise(mmap.MADV_DONTNEED, start + PAGE, PIECE - PAGE)
        yield True


def free():
    lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * KIB for line in lines if line.startswith("MemFree:"))
