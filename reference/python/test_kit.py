#!/usr/bin/env python3
"""The second decoder against the test kit: every object is taken or refused as its lines tell.

    test_kit.py DIRECTORY

DIRECTORY is engine/tests/vectors, whose README says what the lines mean. Composite objects are in `composite/objects`.
"""

import hashlib
import pathlib
import sys

from composite import COMPOSITE, Composite
from objects import ATTACHED, NO_FLOOR, Reader, Refused, open_range, open_whole, parse_attached, parse_detached


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    directory = pathlib.Path(sys.argv[1])
    places = [*directory.iterdir(), *(directory / "composite" / "objects").iterdir()]
    paths = sorted(path for path in places if path.is_file() and path.name != "README.md")
    wrong = [f"{path.name}: {what}" for path in paths if (what := judge(*read(path)))]
    print("\n".join(wrong))
    print(f"campaign: test_kit cases={len(paths)} wrong={len(wrong)}")
    if wrong or len(paths) < 450:
        raise SystemExit("the second decoder and the test kit differ, or objects are missing")


def read(path):
    """The lines as a dict of lists, and the object."""
    text, _, body = path.read_bytes().partition(b"\n\n")
    first, *lines = text.decode().split("\n")
    if first != "sealstone test object":
        raise SystemExit(f"{path}: no test object")
    told = {}
    for line in lines:
        key, _, value = line.partition(": ")
        told.setdefault(key, []).append(value)
    return told, body


def judge(told, body):
    """What is wrong, if anything."""
    expected = told["expect"][0].split(" ")
    length, digest = told["plaintext"][0].split(" ")
    try:
        plaintext, kind, where = opened(told, body), "success", None
    except Refused as refused:
        plaintext, kind, where = refused.released, refused.kind, place(refused)
    if kind not in expected:
        return f"{kind}, not {expected}"
    if "at" in told and where != told["at"][0]:
        return f"at {where}, not at {told['at'][0]}"
    if (len(plaintext), hashlib.sha256(plaintext).hexdigest()) != (int(length), digest):
        return f"{len(plaintext)} bytes came out, not {length}, or others"
    return None


def place(refused):
    chunk = "" if refused.chunk is None else f" chunk {refused.chunk}"
    return f"component {refused.component}{chunk}"


def opened(told, body):
    reader = Reader([key(line) for line in told["key"]], told["context-rule"][0], pairs(told.get("context", [])))
    if "header" in told:
        header, payload = parse_detached(bytes.fromhex(told["header"][0])), body
    else:
        header, payload = parse_attached(body[:ATTACHED]), body[ATTACHED:]
    composite = header.core[2] & COMPOSITE
    if "range" not in told:
        return Composite(header, payload, reader).whole() if composite else open_whole(header, payload, reader)
    start, end = told["range"][0].split("..")
    start, end = int(start or 0), int(end) if end else None
    if composite:
        return Composite(header, payload, reader).range(start, end)
    return open_range(header, payload, reader, start, end)


def pairs(lines):
    return dict(line.split("=", 1) for line in lines)


def key(line):
    kind, *rest = line.split(" ")
    if kind == "raw":
        return "raw", bytes.fromhex(rest[0])
    if kind == "local":
        return "local", rest[1], bytes.fromhex(rest[2])
    if kind == "intermediate-raw":
        return "intermediate", bytes.fromhex(rest[0]), rest[1].split(",")
    if kind == "passphrase":
        return "passphrase", line.removeprefix("passphrase ").encode(), NO_FLOOR
    if kind == "passphrase-with-floor":
        return "passphrase", line.removeprefix("passphrase-with-floor ").encode()
    raise SystemExit(f"no key {line}")


if __name__ == "__main__":
    main()
