"""From start to exit: `sealstone encrypt` of one byte, compared with a process that does nothing."""

from . import programs
from .measure import interleaved, measurement, timed
from .places import scratch


def measure(settings):
    settings.used("true", "", "system", "coreutils", "nothing", "1")
    with scratch(settings.dir, 0) as place:
        return measure_in(settings, place)


def measure_in(settings, place):
    sealstone = programs.Sealstone(settings, place)
    plain, sealed, opened = (place / name for name in ("one-byte", "one-byte.sealed", "one-byte.opened"))
    plain.write_bytes(b"x")

    sides = [
        ("true", lambda: timed(["true"])),
        ("encrypt", lambda: sealstone.time_encrypt(plain, sealed)),
        ("decrypt", lambda: sealstone.time_decrypt(sealed, opened, plain)),
    ]
    runs = interleaved(settings.starts, sides)
    entry, ours, beside = ("command line", "startup"), sealstone.parameters(1), ("true", "nothing", runs["true"])
    return [
        measurement(*entry, "nothing", "true", {"bytes": 0}, runs["true"]),
        measurement(*entry, "encrypt", "sealstone", ours, runs["encrypt"], beside),
        measurement(*entry, "decrypt", "sealstone", ours, runs["decrypt"], beside),
    ]
