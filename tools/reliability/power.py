#!/usr/bin/env python3
"""A power loss at any moment of each command: the disk then holds what was there before, or all of the new.

A model of a disk replays the calls that strace recorded. Until a file is synced, any of its writes may be lost, or arrive
in part; until its directory is synced, so may any of its names. All states of each moment are tried, or N random ones,
and once a command has succeeded, its work must be there.

    calls of one run -> model after 0, 1, 2, ... calls -> states of the disk -> a directory -> the scenario's check
"""

import itertools
import math
import os
import random
import re
import sys
from dataclasses import dataclass, field

sys.path.append(f"{sys.path[0]}/..")

from common import arguments
from place import SCENARIOS, Campaign, at_place, require

# Bytes at the front of a write, which are torn more often than others.
BEGINNING = 512
CHANGES = "write pwrite64 ftruncate fallocate linkat rename renameat renameat2 unlink unlinkat".split()
SYNCS = ["fsync", "fdatasync"]
DESCRIPTORS = ["open", "openat", "close", "fcntl", "dup"]
# Calls that the model lacks: if a command makes one of them on a file of the place, the model must learn it.
UNKNOWN = ["writev", "pwritev", "pwritev2", "truncate", "mkdir", "mkdirat", "link", "symlink", "symlinkat", "sendfile"]
UNKNOWN += ["splice", "copy_file_range", "creat", "dup2", "dup3", "sync_file_range", "msync"]


def main():
    options = arguments(__doc__, "sealstone", most=64, seed=1)
    chance, campaign = random.Random(options.seed), Campaign("power_loss")
    # Small objects, so that strace can print what is written.
    with at_place(options.sealstone, 150_000, options.seed) as place:
        for scenario in SCENARIOS:
            if scenario.targets:
                lose_power(place, scenario, options.most, chance, campaign)
    require(campaign.counts["states"] > len(SCENARIOS), "states were tried")
    campaign.end(campaign.counts["states"], ("moments",), needed=("moments",))


def lose_power(place, scenario, most, chance, campaign):
    """At each moment of one run of the command; the last one is after it, when its work must be there."""
    disk, tried = Disk(place.directory, place.kept), set()
    for call in [*traced(place, scenario), None]:
        if call and not disk.replay(call):
            continue
        campaign.counts["moments"] += 1
        for state in disk.states(most, chance):
            if (state, call is None) not in tried:
                tried.add((state, call is None))
                restore(place, state)
                with campaign.case(f"{scenario.name}: after {call.text if call else 'its end'}"):
                    scenario.check(place, done=call is None, killed=True)
    campaign.counts["states"] += len(tried)


def restore(place, state):
    """Makes the directory what the disk holds."""
    for path in place.directory.iterdir():
        path.unlink()
    for name, data in state:
        place.path(name).write_bytes(data)
        place.path(name).chmod(0o600)


@dataclass
class Call:
    name: str
    words: list
    result: int
    # How many calls had ended when this one began.
    began: int
    text: str = ""


def traced(place, scenario):
    """The calls of a whole run that succeeded, in the order in which they ended."""
    place.reset()
    log = place.path("strace.log")
    strace = ["strace", "-f", "-qq", "-xx", "-s", "1000000", "-o", str(log)]
    strace += ["-e", f"trace={','.join(CHANGES + SYNCS + DESCRIPTORS)},?{',?'.join(UNKNOWN)}"]
    code, _, error = place.run(strace + scenario.command(place), scenario.source)
    require(code == 0, f"{scenario.name}: exit {code}: {error}")
    lines = log.read_text().splitlines()
    log.unlink()
    return list(calls(lines))


def calls(lines):
    # Of each thread: the beginning of a call that another thread's came into, and how many had ended then.
    unfinished, ended = {}, 0
    for line in lines:
        thread, text = re.fullmatch(r"(\d+) +(.*)", line).groups()
        if text.endswith("<unfinished ...>"):
            unfinished[thread] = (text.removesuffix("<unfinished ...>"), ended)
            continue
        began = ended
        if resumed := re.match(r"<\.\.\. \w+ resumed>(.*)", text):
            start, began = unfinished.pop(thread)
            text = start + resumed[1]
        if match := re.fullmatch(r"(\w+)\((.*)\) += (\d+)", text):
            ended += 1
            words = [literal(word) for word in match[2].split(", ")]
            yield Call(match[1], words, int(match[3]), began, f"{match[1]}({text[len(match[1]) + 1 :][:40]}...")


def literal(word):
    """Bytes of a string, which strace prints as hexadecimal escapes throughout."""
    return bytes.fromhex(word[1:-1].replace("\\x", "")) if word.startswith('"') else word.strip()


@dataclass
class File:
    """A file's bytes on the disk, and the changes to them that are not synced, each with when it was made."""

    data: bytes = b""
    changes: list = field(default_factory=list)

    def sync(self, before):
        self.data = apply(self.data, [change for when, change in self.changes if when < before])
        self.changes = [(when, change) for when, change in self.changes if when >= before]


def apply(data, changes):
    """Changes are (offset, bytes), or (length, None)."""
    data = bytearray(data)
    for offset, written in changes:
        if written is None:
            data = data[:offset].ljust(offset, b"\0")
        else:
            data = data.ljust(offset, b"\0")
            data[offset : offset + len(written)] = written
    return bytes(data)


def renamed(names, changes):
    """Names and their files after changes, of which None takes a name away."""
    return {name: file for name, file in {**names, **changes}.items() if file}


class Disk:
    """Of one directory."""

    def __init__(self, directory, files):
        self.directory = str(directory)
        self.names = {name: File(data) for name, data in files.items()}
        # Changes of names that are not synced: (when, {name: file or None}), each of them whole or not at all.
        self.renamings = []
        # What a descriptor stands for: a file and its offset, or this directory.
        self.open = {}
        self.now = 0

    def replay(self, call):
        """Whether a state of the disk may have changed."""
        self.now += 1
        if call.name in UNKNOWN:
            require(not self.concerned(call), f"the model knows no {call.text}")
            return False
        return bool(getattr(self, f"on_{call.name}")(call))

    def concerned(self, call):
        descriptors = {int(word) for word in call.words if isinstance(word, str) and word.isdigit()}
        # A number that is no descriptor may be taken for one: better one call too many to teach than one too few.
        return bool(descriptors & set(self.open)) or any(self.inside(word) for word in call.words)

    def inside(self, path):
        """The name, if it is one in the place."""
        if not isinstance(path, bytes):
            return None
        folder, name = os.path.split(self.whole(path))
        return name if folder == self.directory else None

    def whole(self, path):
        return os.path.normpath(os.path.join(self.directory, path.decode()))

    def now_named(self):
        names = self.names
        for _, renaming in self.renamings:
            names = renamed(names, renaming)
        return names

    def on_open(self, call):
        self.opened(call.words[0], call.words[1], call.result)

    def on_openat(self, call):
        self.opened(call.words[1], call.words[2], call.result)

    def opened(self, path, flags, descriptor):
        self.open.pop(descriptor, None)
        if self.whole(path) == self.directory:
            self.open[descriptor] = [File(), 0] if "O_TMPFILE" in flags else self
        elif name := self.inside(path):
            file = self.now_named().get(name)
            if file is None:
                file = File()
                self.rename({name: file})
            require("O_TRUNC" not in flags and "O_APPEND" not in flags, "the model knows no such flags")
            self.open[descriptor] = [file, 0]

    def on_close(self, call):
        self.open.pop(int(call.words[0]), None)

    def on_fcntl(self, call):
        if call.words[1].startswith("F_DUPFD"):
            self.on_dup(call)

    def on_dup(self, call):
        if found := self.open.get(int(call.words[0])):
            self.open[call.result] = found

    def on_write(self, call):
        if found := self.open.get(int(call.words[0])):
            file, offset = found
            file.changes.append((self.now, (offset, call.words[1][: call.result])))
            found[1] += call.result
            return True

    def on_pwrite64(self, call):
        if found := self.open.get(int(call.words[0])):
            found[0].changes.append((self.now, (int(call.words[3]), call.words[1][: call.result])))
            return True

    def on_ftruncate(self, call):
        if found := self.open.get(int(call.words[0])):
            found[0].changes.append((self.now, (int(call.words[1]), None)))
            return True

    def on_fallocate(self, call):
        if int(call.words[0]) in self.open:
            require("FALLOC_FL_KEEP_SIZE" in call.words[1], "the model knows no other fallocate")

    def on_fsync(self, call):
        found = self.open.get(int(call.words[0]))
        # What was written while it ran may not be in it.
        if found is self:
            while self.renamings and self.renamings[0][0] <= call.began:
                self.names = renamed(self.names, self.renamings.pop(0)[1])
            return True
        if found:
            found[0].sync(call.began + 1)
            return True

    on_fdatasync = on_fsync

    def on_linkat(self, call):
        source, target = call.words[1].decode(), self.inside(call.words[3])
        descriptor = re.fullmatch(r"/proc/self/fd/(\d+)", source)
        file = self.open[int(descriptor[1])][0] if descriptor else self.now_named()[self.inside(call.words[1])]
        return self.rename({target: file})

    def on_renameat2(self, call):
        old, new = self.inside(call.words[1]), self.inside(call.words[3])
        return self.rename({new: self.now_named()[old], old: None})

    on_renameat = on_renameat2

    def on_rename(self, call):
        old, new = self.inside(call.words[0]), self.inside(call.words[1])
        return self.rename({new: self.now_named()[old], old: None})

    def on_unlink(self, call):
        return self.rename({self.inside(call.words[0]): None})

    def on_unlinkat(self, call):
        return self.rename({self.inside(call.words[1]): None})

    def rename(self, names):
        require(None not in names, "the model knows no names elsewhere")
        self.renamings.append((self.now, names))
        return True

    def states(self, most, chance):
        """What the disk may hold when the power returns: sets of (name, bytes)."""
        namings = [self.names, self.now_named(), *(renaming for _, renaming in self.renamings)]
        files = {id(file): file for names in namings for file in names.values() if file}
        choices = [(True, False)] * len(self.renamings)
        choices += [(1, 0, 2) for file in files.values() for _ in file.changes]
        # Each way if they are few, else all and nothing; the rest is random, as each write is torn somewhere else.
        if math.prod(map(len, choices)) <= most:
            drawn = list(itertools.product(*choices))
        else:
            drawn = [[choice[at] for choice in choices] for at in (0, 1)]
        drawn += [[chance.choice(choice) for choice in choices] for _ in range(most - len(drawn))]
        for choice in drawn:
            yield self.state(files, choice, chance)

    def state(self, files, choice, chance):
        choice = list(choice)
        names = self.names
        for _, renaming in self.renamings:
            if choice.pop(0):
                names = renamed(names, renaming)
        found = {}
        for key, file in files.items():
            made = []
            for _, (offset, written) in file.changes:
                how = choice.pop(0)
                if how == 2 and written:
                    # Often in what begins it, where headers are.
                    written = written[: chance.randrange(min(len(written), chance.choice((BEGINNING, len(written)))))]
                if how:
                    made.append((offset, written))
            found[key] = apply(file.data, made)
        return frozenset((name, found[id(file)]) for name, file in names.items())


main()
