"""Keeps a virtual machine's memory from going back to its host between runs.

Linux tells a host which memory is free, in pieces of 2 MiB and more, and the host takes it. Whoever touches it next
waits for the host, so that a run of `cp` takes once or twice its time, as chance has it. Where one page of each 256 KiB
is in use no piece is long enough. Nothing is set in the system, and with this process it is over.
"""

import contextlib
import mmap
import pathlib

from .settings import GIB, KIB

REPORTING = pathlib.Path("/sys/module/page_reporting")
PAGE = mmap.PAGESIZE
PIECE = 256 * KIB
# Not touched: the system's, and what grows meanwhile.
SPARED = 2 * GIB


@contextlib.contextmanager
def kept():
    """Holds a page in each piece of the memory that is free; gives whether there was a reason to."""
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
