#!/usr/bin/env python3
"""The second decoder against the test kit: it must accept or refuse every object as the object's lines say.

DIRECTORY is engine/tests/vectors, whose README explains the lines. Composite objects are in `composite/objects`.
"""

import hashlib
import pathlib
import sys

sys.path.append(f"{sys.path[0]}/../../tools")

from common import arguments, report
from composite import COMPOSITE, Composite
from objects import ATTACHED, NO_FLOOR, Reader, Refused, open_range, open_whole, parse_attached, parse_detached


def main():
    directory = pathlib.Path(arguments(__doc__, "directory").directory)
    places = [*directory.iterdir(), *(directory / "composite" / "objects").iterdir()]
    paths = sorted(path for path in places if path.is_file() and path.name != "README.md")
    wrong = [f"{path.name}: {what}" for path in paths if (what := judge(*read(path)))]
    print("\n".join(wrong))
    report("test_kit", len(paths), wrong=len(wrong))
    if wrong or len(paths) < 450:
        raise SystemExit("the second decoder and the test kit differ, or objects are missing")


def read(path):
    """The lines as a dict of lists, and the object."""
    text, _, body = path.read_bytes().partition(b"\n\n")
    first, *lines = text.decode().split("\n")
    if first != "sealstone test object":
        raise SystemExit(f"{path}: no test object")
    fields = {}
    for line in lines:
        key, _, value = line.partition(": ")
        fields.setdefault(key, []).append(value)
    return fields, body


def judge(fields, body):
    """What is wrong, if anything."""
    expected = fields["expect"][0].split(" ")
    length, digest = fields["plaintext"][0].split(" ")
    try:
        plaintext, kind, where = opened(fields, body), "success", None
    except Refused as refused:
        plaintext, kind, where = refused.released, refused.kind, place(refused)
    if kind not in expected:
        return f"{kind}, not {expected}"
    if "at" in fields and where != fields["at"][0]:
        return f"at {where}, not at {fields['at'][0]}"
    if (len(plaintext), hashlib.sha256(plaintext).hexdigest()) != (int(length), digest):
        return f"{len(plaintext)} bytes came out, not {length}, or others"
    return None


def place(refused):
    chunk = "" if refused.chunk is None else f" chunk {refused.chunk}"
    return f"component {refused.component}{chunk}"


def opened(fields, body):
    reader = Reader([key(line) for line in fields["key"]], fields["context-rule"][0], pairs(fields.get("context", [])))
    if "header" in fields:
        header, payload = parse_detached(bytes.fromhex(fields["header"][0])), body
    else:
        header, payload = parse_attached(body[:ATTACHED]), body[ATTACHED:]
    composite = header.core[2] & COMPOSITE
    if "range" not in fields:
        return Composite(header, payload, reader).whole() if composite else open_whole(header, payload, reader)
    start, end = fields["range"][0].split("..")
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
