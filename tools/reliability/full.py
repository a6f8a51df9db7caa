#!/usr/bin/env python3
"""File systems without room: each size of a small one, each limit of a file's size, and /dev/full.

    full.py SEALSTONE [--full]

SEALSTONE is the binary. Every command ends well or says why not; what was there stays, and nothing half-made is left. The
full form takes each page of a tmpfs and each 512 bytes of a limit; the quick form a few. tmpfs needs the right to mount.
"""

import argparse
import collections
import pathlib
import subprocess
import tempfile

from place import SCENARIOS, Place, Violation, require

PAGE = 4096
LENGTH = 150_000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sealstone", type=pathlib.Path)
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    sealstone = str(options.sealstone.resolve())
    with tempfile.TemporaryDirectory() as directory:
        place = Place(sealstone, directory, LENGTH, 1)
        limits = range(0, 2 * LENGTH, 512 if options.full else 30_001)
        campaign("file_size_limits", place, limits, lambda scenario, limit: limited(place, scenario, limit))
        to_full_device(place)
    with tempfile.TemporaryDirectory() as directory:
        if not mounted(directory):
            print("tmpfs: NOT RUN, since nothing may be mounted here", flush=True)
            require(not options.full, "a tmpfs can be mounted")
            return
        try:
            place = Place(sealstone, directory, LENGTH, 1)
            pages = range(0, 2 * LENGTH // PAGE, 1 if options.full else 9)
            campaign("small_file_systems", place, pages, lambda scenario, room: within(place, scenario, room))
        finally:
            subprocess.run(["umount", directory], check=True)


def campaign(name, place, sizes, run):
    counts, wrong = collections.Counter(), []
    for scenario in SCENARIOS:
        for size in sizes:
            place.reset()
            try:
                code, _, told = run(scenario, size)
                counts["done" if code == 0 else "refused"] += 1
                require(code == 0 or code == 1 and told.strip() and "panicked" not in told, f"exit {code}: {told}")
                unlimited(place)
                scenario.check(place, code == 0)
                require(not (left := place.left_over(scenario.targets)), f"left over: {left}")
            except Violation as violation:
                wrong.append(f"{scenario.name}, size {size}: {violation}")
                print(wrong[-1], flush=True)
            unlimited(place)
    figures = " ".join(f"{key}={counts[key]}" for key in ("done", "refused"))
    print(f"campaign: {name} cases={sum(counts.values())} {figures} violations={len(wrong)}")
    if wrong:
        raise SystemExit(f"{len(wrong)} violations")
    require(counts["done"] and counts["refused"], "some had room, and some had not")


def limited(place, scenario, limit):
    """No file of its own may become longer than so many bytes."""
    return place.run(["prlimit", f"--fsize={limit}", "--", *scenario.command(place)], scenario.source)


def within(place, scenario, pages):
    """So many pages are free."""
    resize(place, used(place) + pages * PAGE)
    return place.run(scenario.command(place), scenario.source)


def mounted(directory):
    return subprocess.run(["mount", "-t", "tmpfs", "none", directory], stderr=subprocess.DEVNULL).returncode == 0


def resize(place, size):
    subprocess.run(["mount", "-o", f"remount,size={size}", place.directory], check=True)


def unlimited(place):
    if place.directory.is_mount():
        resize(place, 64 << 20)


def used(place):
    told = subprocess.run(["df", "--block-size=1", "--output=used", place.directory], capture_output=True, check=True)
    return int(told.stdout.split()[-1])


def to_full_device(place):
    for words in (
        ["encrypt", "-q", "--key", place.key("one"), "plain"],
        ["decrypt", "-q", "--key", place.key("one"), "object"],
    ):
        for output in (["-o", "/dev/full"], ["-o", "-"]):
            with open("/dev/full", "wb") as full:
                done = subprocess.run(
                    place.command(*words, *output),
                    cwd=place.directory,
                    env=place.env,
                    stdout=full,
                    stderr=subprocess.PIPE,
                )
            require(done.returncode == 1 and b"No space left" in done.stderr, f"{words[0]} {output}: {done}")
    place.kept_files_are_as_they_were()
    print("campaign: full_device cases=4 refused=4")


main()
