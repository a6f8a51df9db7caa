#!/usr/bin/env python3
"""The output's name keeps changing while commands run: links to keys, to the input, to other files, or a directory.

No key and no input may be written to, by any name. The target of a symbolic link stays as it was, or is replaced as a
whole where -f allows it.
"""

import random
import shutil
import sys
import threading

sys.path.append(f"{sys.path[0]}/..")

from common import arguments
from place import Campaign, at_place, require

LENGTH = 40_000


def main():
    options, campaign = arguments(__doc__, "sealstone", cases=300, seed=1), Campaign("changing_links")
    with at_place(options.sealstone, LENGTH, options.seed) as place:
        with Racer(place, options.seed) as racer:
            for case in range(options.cases):
                with campaign.case(f"case {case}"):
                    raced(place, racer, case, campaign.counts)
    campaign.counts["changes"] = racer.changes
    kinds = ("done", "refused", "replaced")
    campaign.end(options.cases, ("changes", *kinds), needed=kinds)


def raced(place, racer, case, counts):
    """Runs one command; then pauses the racer, and looks at every file."""
    command, force = ("encrypt", "decrypt")[case % 2], case // 2 % 2
    source = {"encrypt": "plain", "decrypt": "object"}[command]
    words = [command, "-q", "--key", place.key("one"), source, "-o", "new"]
    racer.resume(source)
    code, _, error = place.run(place.command(*words, *(["-f"] if force else [])))
    racer.pause()
    counts["done" if code == 0 else "refused"] += 1
    clean = code in (0, 1, 2, 4, 7, 8) and "panicked" not in error and (code == 0 or error.strip())
    require(clean, f"exit {code}: {error}")
    place.kept_files_are_unchanged(but=("old",))
    for name in ("old", "elsewhere"):
        found = place.data(name)
        if found == place.kept.get(name):
            continue
        counts["replaced"] += 1
        require(force or name == "elsewhere", f"{name} is only replaced with -f")
        whole = place.opens(name, place.key("one")) if command == "encrypt" else found == place.plain
        require(whole, f"{name} is whole")
    place.nothing_is_left_over(("new", "elsewhere", "other", Racer.NEXT))
    place.path("elsewhere").unlink(missing_ok=True)
    place.path("old").write_bytes(place.kept["old"])
    for path in place.path("other").iterdir():
        path.unlink()


class Racer:
    """Points the name `new` at one thing after another."""

    NEXT = "next"

    def __init__(self, place, seed):
        self.place, self.chance, self.changes = place, random.Random(seed), 0
        # The running command's input.
        self.source = ""
        self.running, self.ended, self.still = threading.Event(), False, threading.Lock()
        self.thread = threading.Thread(target=self.work)
        place.path("other").mkdir()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended = True
        self.running.set()
        self.thread.join()

    def resume(self, source):
        self.source = source
        self.running.set()

    def pause(self):
        self.running.clear()
        with self.still:
            pass

    def work(self):
        while not self.ended:
            self.running.wait()
            with self.still:
                # Checked again: it may have been paused meanwhile.
                if self.running.is_set():
                    self.change()
                    self.changes += 1

    def change(self):
        new, next_one = self.place.path("new"), self.place.path(self.NEXT)
        kind, target = self.chance.choice(KINDS)
        target = target or self.source
        next_one.unlink(missing_ok=True)
        try:
            if new.is_dir() and not new.is_symlink():
                shutil.rmtree(new)
            if kind in ("nothing", "directory"):
                new.unlink(missing_ok=True)
            if kind == "directory":
                new.mkdir()
            elif kind == "symlink":
                next_one.symlink_to(target)
                next_one.replace(new)
            elif kind == "link":
                next_one.hardlink_to(self.place.path(target))
                next_one.replace(new)
        except OSError:
            # The command was faster; another change follows.
            pass


# An empty target is the command's input.
KINDS = [("nothing", "")] * 6 + [("directory", "")]
KINDS += [(kind, target) for kind in ("symlink", "link") for target in ("one", "ring", "", "old")]
KINDS += [("symlink", "elsewhere"), ("symlink", "other")]

main()
