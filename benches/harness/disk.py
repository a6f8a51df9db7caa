"""File to file on a disk, synced: sealstone, which syncs its output, compared with `cp` and `sync`.

The input was just written, and comes from memory.
"""

from . import files, machine, programs
from .measure import interleaved, measurement, timed
from .places import random_file, remove, scratch
from .settings import GIB

# A disk is slower than memory, and its turns are long.
AT_MOST = GIB
COPY_AND_SYNC = 'cp -- "$1" "$2" && exec sync -- "$2"'


def measure(settings):
    kind = machine.file_system(settings.disk_dir)
    if kind in ("tmpfs", "ramfs", "overlay", "unknown"):
        settings.leave_out("disk", f"{settings.disk_dir} is not on a disk, but on {kind}")
        return []
    size = min(settings.bytes, AT_MOST)
    with scratch(settings.disk_dir, 4 * size) as place:
        return measure_in(settings, place, size, kind)


def measure_in(settings, place, size, kind):
    files.note_floors(settings)
    sealstone = programs.Sealstone(settings, place)
    plain = random_file(place / "plain", size)
    copy, sealed, opened = (place / name for name in ("copy", "sealed", "opened"))

    def copied():
        run = timed(["sh", "-c", COPY_AND_SYNC, "sh", plain, copy])
        remove(copy)
        return run

    sides = [
        ("copy before encrypt", copied),
        ("encrypt", lambda: sealstone.time_encrypt(plain, sealed)),
        ("copy before decrypt", copied),
        ("decrypt", lambda: sealstone.time_decrypt(sealed, opened, plain)),
    ]
    runs = interleaved(settings.turns, sides)
    place_of = {"file_system": kind}
    ours = sealstone.parameters(size) | place_of
    entry, case = ("command line", "disk"), "copy and sync"
    copies = runs["copy before encrypt"] + runs["copy before decrypt"]
    return [
        measurement(*entry, case, "cp", {"bytes": size} | place_of, copies),
        measurement(*entry, "encrypt", "sealstone", ours, runs["encrypt"], ("cp", case, runs["copy before encrypt"])),
        measurement(*entry, "decrypt", "sealstone", ours, runs["decrypt"], ("cp", case, runs["copy before decrypt"])),
    ]
