#!/usr/bin/env python3
"""Files that shrink, grow or are overwritten while a command reads them.

    changing.py SEALSTONE [--cases N] [--seed S]

SEALSTONE is the binary. Each case stops a command somewhere within the time that it takes, changes its input in place, and
lets it go on. What it seals then is what it read, at its place; what it opens is what was sealed, or refused.
"""

import argparse
import collections
import pathlib
import random
import signal
import subprocess
import tempfile
import time

from place import DEADLINE, Place, Violation, require

LENGTH = 12_000_000
# Where the payload of an object begins.
PAYLOAD = 8192


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sealstone", type=pathlib.Path)
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance, counts, wrong = random.Random(options.seed), collections.Counter(), []
    with tempfile.TemporaryDirectory() as directory:
        place = Place(str(options.sealstone.resolve()), directory, LENGTH, options.seed)
        times = {read: duration(place, read) for read in READS}
        for case in range(options.cases):
            read, change = list(READS)[case % len(READS)], chance.choice(CHANGES)
            after = chance.uniform(0, times[read])
            try:
                changed(place, read, change, after, chance, counts)
            except Violation as violation:
                wrong.append(f"{read}, {change.__name__} after {after * 1000:.1f} ms: {violation}")
                print(wrong[-1], flush=True)
    figures = " ".join(f"{key}={counts[key]}" for key in ("amid", "done", "refused"))
    print(f"campaign: changing_files cases={options.cases} {figures} violations={len(wrong)}")
    if wrong or not (counts["done"] and counts["refused"]):
        raise SystemExit(f"{len(wrong)} violations, {dict(counts)}")


def duration(place, read):
    place.reset()
    began = time.monotonic()
    start(place, read).communicate(timeout=DEADLINE)
    return time.monotonic() - began


def start(place, read):
    words, _ = READS[read]
    words = [place.key("one") if word == "@" else word for word in words]
    return subprocess.Popen(
        place.command(*words), cwd=place.directory, env=place.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def changed(place, read, change, after, chance, counts):
    place.reset()
    words, check = READS[read]
    name = "plain" if "plain" in words else "object"
    process = start(place, read)
    try:
        process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGSTOP)
        counts["amid"] += 1
    before = place.data(name)
    change(place.path(name), before, 0 if name == "plain" else PAYLOAD, chance)
    after = place.data(name)
    process.send_signal(signal.SIGCONT)
    printed, told = process.communicate(timeout=DEADLINE)
    done = process.returncode == 0
    counts["done" if done else "refused"] += 1
    require(done or process.returncode in (1, 6) and told.strip() and b"panicked" not in told, f"{told}")
    check(place, done, printed, before, after)
    place.kept_files_are_as_they_were(but=(name,))
    require(not (left := place.left_over(("new",))), f"left over: {left}")


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
    require(done == (place.data("new") is not None), "there is an output if it ended well")
    if not done:
        return
    code, found, told = place.run(place.command("decrypt", "-q", "--key", place.key("one"), "new", "-o", "-"))
    require(code == 0, f"what was sealed opens: {told}")
    shorter, longer = sorted((before, after), key=len)
    require(len(shorter) <= len(found) <= len(longer), "its length is one that the file had, or between")
    # Blocks first: most are not touched.
    for at in range(0, len(found), 4096):
        require(
            had(*(data[at : at + 4096] for data in (found, longer, shorter))), f"at {at} is what the file had there"
        )


def had(block, long, short):
    """Whether each byte is of one of the file's two states; where one of them has ended, of the other."""
    if block == long[: len(block)]:
        return True
    either = all(byte in both for byte, *both in zip(block, long, short))
    return either and block[len(short) :] == long[len(short) : len(block)]


def opened(place, done, printed, before, after):
    require(place.data("new") == (place.plain if done else None), "the output is what was sealed, or there is none")


def piped(place, done, printed, before, after):
    require(place.plain.startswith(printed), "what came out is a beginning of what was sealed")
    require(printed == place.plain or not done, "it ended well, and all came out")


def ranged(place, done, printed, before, after):
    whole = place.plain[1_000_000:-1_000_000]
    require(whole.startswith(printed), "what came out is a beginning of the range")
    require(printed == whole or not done, "it ended well, and all came out")


def rewrapped(place, done, printed, before, after):
    require(place.data("object")[PAYLOAD:] == after[PAYLOAD:], "the payload is as the other one left it")


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
