#!/usr/bin/env python3
"""File systems without room: each size of a small one, each limit of a file's size, and /dev/full.

Every command succeeds or says why not; existing files stay, and nothing incomplete is left. The full form tries each page
of a tmpfs and each 512 bytes of a limit; the quick form a few. Mounting a tmpfs needs privileges.
"""

import subprocess
import sys

sys.path.append(f"{sys.path[0]}/..")

from common import arguments, output, report
from place import SCENARIOS, Campaign, at_place, require

PAGE = 4096
LENGTH = 150_000


def main():
    options = arguments(__doc__, "sealstone", full=False)
    with at_place(options.sealstone, LENGTH) as place:
        limits = range(0, 2 * LENGTH, 512 if options.full else 30_001)
        campaign("file_size_limits", place, limits, lambda scenario, limit: limited(place, scenario, limit))
        to_full_device(place)
    with at_place(options.sealstone, LENGTH, mount=mounted) as place:
        if not place.directory.is_mount():
            print("tmpfs: NOT RUN, mounting is not allowed here", flush=True)
            require(not options.full, "a tmpfs can be mounted")
            return
        try:
            pages = range(0, 2 * LENGTH // PAGE, 1 if options.full else 9)
            campaign("small_file_systems", place, pages, lambda scenario, room: within(place, scenario, room))
        finally:
            subprocess.run(["umount", place.directory], check=True)


def campaign(name, place, sizes, run):
    results = Campaign(name)
    for scenario in SCENARIOS:
        for size in sizes:
            place.reset()
            with results.case(f"{scenario.name}, size {size}"):
                code, _, error = run(scenario, size)
                results.counts["done" if code == 0 else "refused"] += 1
                require(code == 0 or code == 1 and error.strip() and "panicked" not in error, f"exit {code}: {error}")
                unlimited(place)
                scenario.check(place, code == 0)
                place.nothing_is_left_over(scenario.targets)
            unlimited(place)
    results.end(results.counts.total(), ("done", "refused"), needed=("done", "refused"))


def limited(place, scenario, limit):
    """The command may not make a file longer than this."""
    return place.run(["prlimit", f"--fsize={limit}", "--", *scenario.command(place)], scenario.source)


def within(place, scenario, pages):
    """This many pages are free."""
    resize(place, used(place) + pages * PAGE)
    return place.run(scenario.command(place), scenario.source)


def mounted(directory):
    subprocess.run(["mount", "-t", "tmpfs", "none", directory], stderr=subprocess.DEVNULL)


def resize(place, size):
    subprocess.run(["mount", "-o", f"remount,size={size}", place.directory], check=True)


def unlimited(place):
    if place.directory.is_mount():
        resize(place, 64 << 20)


def used(place):
    return int(output(["df", "--block-size=1", "--output=used", place.directory]).split()[-1])


def to_full_device(place):
    for command, source in (("encrypt", "plain"), ("decrypt", "object")):
        for target in ("/dev/full", "-"):
            words = place.command(command, "-q", "--key", place.key("one"), source, "-o", target)
            with open("/dev/full", "wb") as full:
                code, _, error = place.run(words, stdout=full)
            require(code == 1 and "No space left" in error, f"{command} -o {target}: exit {code}: {error}")
    place.kept_files_are_unchanged()
    report("full_device", 4, refused=4)


main()
