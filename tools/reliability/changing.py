#!/usr/bin/env python3
"""Files that shrink, grow or are overwritten while a command reads them.

Each case stops a command at a random moment, changes its input in place, and lets it continue. What it seals must be what
it read, at the right offset; what it opens must be what was sealed, or refused.
"""

import random
import signal
import subprocess
import sys

sys.path.append(f"{sys.path[0]}/..")

from common import arguments
from place import DEADLINE, Campaign, at_place, require

LENGTH = 12_000_000
# Where the payload of an object begins.
PAYLOAD = 8192


def main():
    options = arguments(__doc__, "sealstone", cases=60, seed=1)
    chance, campaign = random.Random(options.seed), Campaign("changing_files")
    with at_place(options.sealstone, LENGTH, options.seed) as place:
        times = {read: place.duration(command(place, read)) for read in READS}
        for case in range(options.cases):
            read, change = list(READS)[case % len(READS)], chance.choice(CHANGES)
            after = chance.uniform(0, times[read])
            with campaign.case(f"{read}, {change.__name__} after {after * 1000:.1f} ms"):
                changed(place, read, change, after, chance, campaign.counts)
    campaign.end(options.cases, ("amid", "done", "refused"), needed=("done", "refused"))


def command(place, read):
    words, _ = READS[read]
    return place.command(*(place.key("one") if word == "@" else word for word in words))


def changed(place, read, change, after, chance, counts):
    place.reset()
    words, check = READS[read]
    name = "plain" if "plain" in words else "object"
    process = place.start(command(place, read))
    try:
        process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGSTOP)
        counts["amid"] += 1
    before = place.data(name)
    change(place.path(name), before, 0 if name == "plain" else PAYLOAD, chance)
    after = place.data(name)
    process.send_signal(signal.SIGCONT)
    printed, error = process.communicate(timeout=DEADLINE)
    done = process.returncode == 0
    counts["done" if done else "refused"] += 1
    require(done or process.returncode in (1, 6) and error.strip() and b"panicked" not in error, f"{error}")
    check(place, done, printed, before, after)
    place.kept_files_are_unchanged(but=(name,))
    place.nothing_is_left_over(("new",))


def shrink(path, before, start, chance):
    with path.open("r+b") as file:
        file.truncate(chance.randrange(start, len(before)))


def grow(path, before, start, chance):
    with path.open("ab") as file:
        file.write(chance.randbytes(chance.choice((1, 16, 100_000, 5_000_000))))


def overwrite(path, before, start, chance):
    at = chance.randrange(start, len(before))
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes(byte ^ 0xFF for byte in before[at : at + chance.choice((1, 5000, 300_000))]))


CHANGES = [shrink, grow, overwrite]


def sealed(place, done, printed, before, after):
    require(done == (place.data("new") is not None), "there is an output if the command succeeded, and only then")
    if not done:
        return
    code, found, error = place.run(place.command("decrypt", "-q", "--key", place.key("one"), "new", "-o", "-"))
    require(code == 0, f"what was sealed opens: {error}")
    shorter, longer = sorted((before, after), key=len)
    require(len(shorter) <= len(found) <= len(longer), "its length is one that the file had, or between")
    # Compared in blocks first: most of them were not touched.
    for at in range(0, len(found), 4096):
        blocks = (data[at : at + 4096] for data in (found, longer, shorter))
        require(had(*blocks), f"at {at} is what the file had there")


def had(block, long, short):
    """Whether each byte is of one of the file's two states; where one of them has ended, of the other."""
    if block == long[: len(block)]:
        return True
    either = all(byte in both for byte, *both in zip(block, long, short))
    return either and block[len(short) :] == long[len(short) : len(block)]


def opened(place, done, printed, before, after):
    require(place.data("new") == (place.plain if done else None), "the output is what was sealed, or there is none")


def piped(place, done, printed, before, after):
    prefix(printed, place.plain, done)


def ranged(place, done, printed, before, after):
    prefix(printed, place.plain[1_000_000:-1_000_000], done)


def prefix(printed, whole, done):
    require(whole.startswith(printed), "the output is a prefix of what was sealed")
    require(printed == whole or not done, "a successful command printed everything")


def rewrapped(place, done, printed, before, after):
    require(place.data("object")[PAYLOAD:] == after[PAYLOAD:], "the payload is as the change left it")


# @ is the key.
READS = {
    "encrypt": (("encrypt", "-q", "--key", "@", "plain", "-o", "new"), sealed),
    "encrypt, one thread": (("encrypt", "-q", "--threads", "1", "--key", "@", "plain", "-o", "new"), sealed),
    "decrypt": (("decrypt", "-q", "--key", "@", "object", "-o", "new"), opened),
    "decrypt, one thread": (("decrypt", "-q", "--threads", "1", "--key", "@", "object", "-o", "new"), opened),
    "decrypt to a pipe": (("decrypt", "-q", "--key", "@", "object", "-o", "-"), piped),
    "cat a range": (("cat", "--key", "@", "--range", f"1000000..{LENGTH - 1_000_000}", "object"), ranged),
    "rewrap": (("rewrap", "-q", "--key", "@", "--to", "local:default", "object"), rewrapped),
}

main()
