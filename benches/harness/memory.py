"""Peak memory of processes by the size of what they encrypt and decrypt: the resident set, in bytes.

Inputs are the zeros of a sparse file, which makes no difference to these tools. The largest objects pass through a pipe and
are never stored.
"""

from . import programs
from .measure import pipeline, spread, timed
from .places import remove, scratch, sparse_file
from .settings import GIB, MIB

SIZES = [MIB, 64 * MIB, GIB, 4 * GIB, 16 * GIB, 64 * GIB]
# The largest object that is written to a file.
STORED = 4 * GIB


def measure(settings):
    sizes = [size for size in SIZES if size <= settings.memory_bytes]
    stored = [size for size in sizes if size <= min(STORED, 2 * settings.bytes)]
    # For a sealed and an opened file.
    with scratch(settings.dir, 2 * max(stored)) as place:
        sealstone = programs.Sealstone(settings, place)
        found = []
        for size in sizes:
            plain = sparse_file(place / "plain", size)
            if size in stored:
                found += file_to_file(sealstone, place, plain, size)
            found += through_pipes(sealstone, plain, size)
        return found


def file_to_file(sealstone, place, plain, size):
    sealed, opened = place / "sealed", place / "opened"
    encrypted = timed(sealstone.encrypt(plain, sealed))
    decrypted = timed(sealstone.decrypt(sealed, opened))
    remove(sealed)
    remove(opened)
    form = "file to file"
    return [entry(sealstone, "encrypt", size, form, encrypted), entry(sealstone, "decrypt", size, form, decrypted)]


def through_pipes(sealstone, plain, size):
    """One process encrypts from a pipe, and another decrypts at the same time."""
    commands = [["cat", plain], sealstone.encrypt("-", "-"), sealstone.decrypt("-", "-"), ["cat"]]
    _, [_, encrypted, decrypted, _] = pipeline(commands)
    form = "pipe to pipe"
    return [entry(sealstone, "encrypt", size, form, encrypted), entry(sealstone, "decrypt", size, form, decrypted)]


def entry(sealstone, case, size, form, run):
    parameters = sealstone.parameters(size) | {"form": form}
    return spread("command line", "memory", case, "sealstone", parameters, "bytes", [run.peak_rss])
