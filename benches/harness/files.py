"""File to file in memory, compared with `cp`: sealstone, its crypto-free twin, which moves the same bytes and seals nothing,
and the command-line peers.

The speed of a shared machine drifts, so only the ratio to the `cp` of the same turn is meaningful. Outputs are removed
before each run, untimed.
"""

from . import peers, programs
from .measure import check_runs, interleaved, measurement, timed
from .places import expect_same, random_file, remove, scratch

TABLE, BENCH = "command line", "files"


def measure(settings):
    with scratch(settings.dir, 3 * settings.bytes) as place:
        own = own_measurements(settings, place)
    # Four files at most: a tool may write a restored file next to the old one.
    with scratch(settings.dir, 4 * settings.peer_bytes) as place:
        return own + peer_measurements(settings, place)


def own_measurements(settings, place):
    runs = own_runs(settings, place)
    ours = programs.Sealstone(settings, place).parameters(settings.bytes)
    moved = {"bytes": settings.bytes}
    copies, copies_too = runs["cp before encrypt"], runs["cp before decrypt"]
    beside, beside_too = ("cp", "copy", copies), ("cp", "copy", copies_too)
    twin = moved | {"threads": settings.threads}
    beside_ours = ("sealstone", "encrypt", runs["encrypt"])
    return [
        measurement(TABLE, BENCH, "copy", "cp", moved, copies + copies_too),
        measurement(TABLE, BENCH, "encrypt", "sealstone", ours, runs["encrypt"], beside),
        measurement(TABLE, BENCH, "decrypt", "sealstone", ours, runs["decrypt"], beside_too),
        measurement(TABLE, BENCH, "copy", "crypto-free twin", twin, runs["twin"], beside_ours),
    ]


def own_runs(settings, place):
    """Runs of cp, encrypt, twin, cp and decrypt by these names, interleaved."""
    note_floors(settings)
    sealstone = programs.Sealstone(settings, place)
    twin = programs.build().twin
    plain = random_file(place / "plain", settings.bytes)
    copy, sealed, opened = (place / name for name in ("copy", "sealed", "opened"))

    def copied(*command):
        run = timed(command)
        copy.unlink()
        return run

    sides = [
        ("cp before encrypt", lambda: copied("cp", plain, copy)),
        ("encrypt", lambda: sealstone.time_encrypt(plain, sealed)),
        ("twin", lambda: copied(twin, plain, copy, settings.threads)),
        ("cp before decrypt", lambda: copied("cp", plain, copy)),
        ("decrypt", lambda: sealstone.time_decrypt(sealed, opened, plain)),
    ]
    return interleaved(settings.turns, sides)


def note_floors(settings):
    version = check_runs("cp", "--version").splitlines()[0].split()[-1]
    settings.used("cp", version, "system", "coreutils", "nothing: copies a flipped byte", "1")
    settings.used("crypto-free twin", "", "command line", "this repository", "nothing: writes no object", "as given")


def peer_measurements(settings, place):
    plain = random_file(place / "plain", settings.peer_bytes)
    found = []
    for peer in peers.find(settings, place):
        found += peer_runs(settings, place, peer, plain)
    return found


def peer_runs(settings, place, peer, plain):
    copy, sealed, opened = (place / name for name in ("copy", "sealed", "opened"))
    compared = False

    def cp():
        remove(copy)
        run = timed(["cp", plain, copy])
        copy.unlink()
        return run

    def encrypt():
        peer.before_encrypt(sealed)
        return timed(peer.encrypt(plain, sealed), environment=peer.environment)

    def decrypt():
        nonlocal compared
        remove(opened)
        run = timed(peer.decrypt(sealed, opened), environment=peer.environment)
        if not compared:
            expect_same(peer.name, plain, peer.opened_file(opened, plain))
            compared = True
        remove(opened)
        return run

    try:
        runs = interleaved(settings.peer_turns, [("cp", cp), ("encrypt", encrypt), ("decrypt", decrypt)])
    finally:
        peer.close()
        peer.before_encrypt(sealed)
        remove(sealed)
    beside = ("cp", "copy", runs["cp"])
    parameters = {"bytes": settings.peer_bytes}
    return [
        measurement(TABLE, BENCH, case, peer.name, parameters, runs[case], beside) for case in ("encrypt", "decrypt")
    ]
