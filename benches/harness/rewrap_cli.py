"""`sealstone rewrap` as a whole process, from one key of a local key ring to another, by the size of the object.

The payload is sparse and occupies no space: a rewrap never reads it.
"""

from . import machine, programs
from .measure import check_runs, interleaved, measurement, timed
from .places import scratch

SIZES = [10**6, 10**8, 10**10, 10**11]
HEADER = 8192
PAYLOAD_HEADER = 56
TAG = 16


def measure(settings):
    found = measure_in(settings, settings.dir)
    # On a disk, where a sync takes time.
    if machine.file_system(settings.disk_dir) != machine.file_system(settings.dir):
        found += measure_in(settings, settings.disk_dir)
    return found


def measure_in(settings, directory):
    with scratch(directory, 0) as place:
        sealstone = programs.Sealstone(settings, place)
        ring = ["-q", "--keyring", place / "ring.json"]
        for name in ("first", "second"):
            check_runs(sealstone.binary, *ring, "keys", "new", name)
        rewraps = [Rewraps(sealstone, ring, place, size) for size in SIZES]
        runs = interleaved(settings.starts, [(each.size, each.once) for each in rewraps])
    fixed = {"chunk_bytes": sealstone.CHUNK_BYTES, "file_system": machine.file_system(directory)}
    return [
        measurement("command line", "rewrap", "rewrap", "sealstone", {"bytes": size} | fixed, side)
        for size, side in runs.items()
    ]


class Rewraps:
    """Moves an object from one key to the other and back: a run fails if the previous one did nothing."""

    def __init__(self, sealstone, ring, place, size):
        self.size, self.names = size, ["first", "second"]
        self.start = [sealstone.binary, *ring, "rewrap"]
        self.sealed = place / f"sealed-{size}"
        plain = place / "plain"
        plain.write_bytes(b"x")
        check_runs(sealstone.binary, *ring, "encrypt", "--key", "local:first", plain, "-o", self.sealed)
        with self.sealed.open("r+b") as file:
            chunks = -(-size // sealstone.CHUNK_BYTES)
            file.truncate(HEADER + PAYLOAD_HEADER + size + chunks * TAG)

    def once(self):
        now, then = self.names
        self.names = [then, now]
        return timed([*self.start, "--key", f"local:{now}", "--to", f"local:{then}", self.sealed])
