#!/usr/bin/env python3
"""Somebody changes what the output's name is, all the time: links to keys, to the input, to other files, or a directory.

    links.py SEALSTONE [--cases N] [--seed S]

SEALSTONE is the binary. No key and no input is ever written, by any name. A file that a symbolic link leads to is as it
was, or replaced as a whole where -f allows it.
"""

import argparse
import collections
import pathlib
import random
import shutil
import tempfile
import threading

from place import Place, Violation, require

LENGTH = 40_000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sealstone", type=pathlib.Path)
    parser.add_argument("--cases", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    counts, wrong = collections.Counter(), []
    with tempfile.TemporaryDirectory() as directory:
        place = Place(str(options.sealstone.resolve()), directory, LENGTH, options.seed)
        with Racer(place, options.seed) as racer:
            for case in range(options.cases):
                try:
                    raced(place, racer, case, counts)
                except Violation as violation:
                    wrong.append(f"case {case}: {violation}")
                    print(wrong[-1], flush=True)
        changes = racer.changes
    figures = " ".join(f"{key}={counts[key]}" for key in ("done", "refused", "replaced"))
    print(f"campaign: changing_links cases={options.cases} changes={changes} {figures} violations={len(wrong)}")
    if wrong or not (counts["done"] and counts["refused"] and counts["replaced"]):
        raise SystemExit(f"{len(wrong)} violations, {dict(counts)}")


def raced(place, racer, case, counts):
    """One command; then everybody stands still, and all is looked at."""
    command, force = ("encrypt", "decrypt")[case % 2], case // 2 % 2
    source = {"encrypt": "plain", "decrypt": "object"}[command]
    words = [command, "-q", "--key", place.key("one"), source, "-o", "new"]
    racer.go_on(source)
    code, _, told = place.run(place.command(*words, *(["-f"] if force else [])))
    racer.stand_still()
    counts["done" if code == 0 else "refused"] += 1
    require(
        code in (0, 1, 2, 4, 7, 8) and "panicked" not in told and (code == 0 or told.strip()), f"exit {code}: {told}"
    )
    place.kept_files_are_as_they_were(but=("old",))
    for name in ("old", "elsewhere"):
        found = place.data(name)
        if found == place.kept.get(name):
            continue
        counts["replaced"] += 1
        require(force or name == "elsewhere", f"{name} is replaced with -f only")
        whole = place.opens(name, place.key("one")) if command == "encrypt" else found == place.plain
        require(whole, f"{name} is whole")
    left = place.left_over(("new", "elsewhere", "other", Racer.NEXT))
    require(not left, f"left over: {left}")
    place.path("elsewhere").unlink(missing_ok=True)
    place.path("old").write_bytes(place.kept["old"])
    for path in place.path("other").iterdir():
        path.unlink()


class Racer:
    """Gives the name `new` to one thing after another."""

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

    def go_on(self, source):
        self.source = source
        self.running.set()

    def stand_still(self):
        self.running.clear()
        with self.still:
            pass

    def work(self):
        while not self.ended:
            self.running.wait()
            with self.still:
                # Asked again: all may have been told to stand still meanwhile.
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
            # The command was faster: another change follows.
            pass


# The input, where no target is said.
KINDS = [("nothing", "")] * 6 + [("directory", "")]
KINDS += [(kind, target) for kind in ("symlink", "link") for target in ("one", "ring", "", "old")]
KINDS += [("symlink", "elsewhere"), ("symlink", "other")]

main()
