"""Pipe to pipe: a tool between two `cat`, compared with a third `cat` in its place.

`cat FILE | TOOL | cat >/dev/null` measures a tool between other processes; the file is in memory. The floor has the same
number of processes and pipes. The second form, `cat FILE | TOOL >/dev/null`, has one pipe less, and so has its floor.
"""

import hashlib

from . import files, peers, programs
from .measure import Failed, costs, interleaved, pipeline, ratios, spread
from .places import random_file, scratch

FORMS = {"two pipes": [["cat"]], "one pipe": []}


def measure(settings):
    with scratch(settings.dir, 2 * settings.bytes) as place:
        plain = random_file(place / "plain", settings.bytes)
        found = sealstone_measurements(settings, place, plain)
    with scratch(settings.dir, settings.peer_bytes) as place:
        plain = random_file(place / "plain", settings.peer_bytes)
        return found + peer_measurements(settings, place, plain)


def sealstone_measurements(settings, place, plain):
    files.note_floors(settings)
    settings.used("cat", settings.tools["cp"]["version"], "system", "coreutils", "nothing: copies a flipped byte", "1")
    sealstone = programs.Sealstone(settings, place)
    encrypt, decrypt = sealstone.encrypt("-", "-"), sealstone.decrypt("-", "-")
    sealed = place / "sealed"
    with sealed.open("wb") as file:
        pipeline([["cat", plain], encrypt], stdout=file.fileno())
    expect_back(plain, sealed, decrypt, place)
    found = []
    for form, drain in FORMS.items():
        sides = [
            ("cat before encrypt", lambda drain=drain: run_through(plain, ["cat"], drain)),
            ("encrypt", lambda drain=drain: run_through(plain, encrypt, drain)),
            ("cat before decrypt", lambda drain=drain: run_through(plain, ["cat"], drain)),
            ("decrypt", lambda drain=drain: run_through(sealed, decrypt, drain)),
        ]
        runs = interleaved(settings.turns, sides)
        floor = {"bytes": settings.bytes, "form": form}
        ours = sealstone.parameters(settings.bytes) | {"form": form}
        cats = runs["cat before encrypt"] + runs["cat before decrypt"]
        found += [
            entry("copy", "cat", floor, cats),
            entry("encrypt", "sealstone", ours, runs["encrypt"], runs["cat before encrypt"]),
            entry("decrypt", "sealstone", ours, runs["decrypt"], runs["cat before decrypt"]),
        ]
    return found


def peer_measurements(settings, place, plain):
    found = []
    for peer in peers.find(settings, place):
        if peer.filter is not None:
            sides = [
                ("cat", lambda: run_through(plain, ["cat"], FORMS["two pipes"])),
                ("encrypt", lambda peer=peer: run_through(plain, peer.filter, FORMS["two pipes"], peer.environment)),
            ]
            runs = interleaved(settings.peer_turns, sides)
            parameters = {"bytes": settings.peer_bytes, "form": "two pipes"}
            found.append(entry("encrypt", peer.name, parameters, runs["encrypt"], runs["cat"]))
        peer.close()
    return found


def run_through(source, command, drain, environment=None):
    """Wall seconds of the pipeline, and the run of the command in it."""
    seconds, runs = pipeline([["cat", source], command, *drain], environment=environment)
    return seconds, runs[1]


def entry(case, tool, parameters, results, beside=None):
    """An entry of the record from results of `run_through`: the pipeline's seconds, and the tool's costs."""
    seconds = [wall for wall, _ in results]
    made = spread("command line", "pipes", case, tool, parameters, "s", seconds)
    made |= costs(seconds, [run for _, run in results])
    if beside is not None:
        made["against"] = ratios("cat", "copy", seconds, [wall for wall, _ in beside])
    return made


def expect_back(plain, sealed, decrypt, place):
    """Decrypts once in a pipe and compares hashes: there is no room for another file."""
    checksum = place / "checksum"
    with checksum.open("wb") as file:
        pipeline([["cat", sealed], decrypt, ["sha256sum"]], stdout=file.fileno())
    with plain.open("rb") as file:
        expected = hashlib.file_digest(file, "sha256").hexdigest()
    if checksum.read_text().split()[0] != expected:
        raise Failed("what was decrypted from a pipe is not what was encrypted")
