"""From letting it go to its end: `sealstone encrypt` of one byte, beside a process that does nothing."""

from . import programs
from .measure import interleaved, measurement, timed
from .places import remove, scratch


def measure(settings):
    with scratch(settings.dir, 0) as place:
        runs = start_runs(settings, place)
        ours = programs.Sealstone(settings, place).parameters(1)
    settings.used("true", "", "system", "coreutils", "nothing", "1")
    entry = ("command line", "startup")
    return [
        measurement(*entry, "nothing", "true", {"bytes": 0}, runs["true"]),
        measurement(*entry, "encrypt", "sealstone", ours, runs["encrypt"], ("true", "nothing", runs["true"])),
        measurement(*entry, "decrypt", "sealstone", ours, runs["decrypt"], ("true", "nothing", runs["true"])),
    ]


def start_runs(settings, place):
    """Runs of `true`, encrypt and decrypt by these names, interleaved."""
    sealstone = programs.Sealstone(settings, place)
    plain, sealed, opened = (place / name for name in ("one-byte", "one-byte.sealed", "one-byte.opened"))
    plain.write_bytes(b"x")

    def encrypt():
        remove(sealed)
        return timed(sealstone.encrypt(plain, sealed))

    def decrypt():
        remove(opened)
        return timed(sealstone.decrypt(sealed, opened))

    return interleaved(settings.starts, [("true", lambda: timed(["true"])), ("encrypt", encrypt), ("decrypt", decrypt)])
