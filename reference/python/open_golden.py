#!/usr/bin/env python3
"""Opens the golden objects with the second decoder, and those of the standard with Python's `cryptography` as well: the
payload, given data key and payload context.

    open_golden.py DIRECTORY

DIRECTORY has one of `v1`, `v2`, ... for each version of the format, with a `manifest.json` that lists objects: "file",
"header_file" (null if the header is attached), "data_key", "payload_context" and "raw_key" (hexadecimal), "context",
"plaintext_len", "plaintext_sha256".

Only suite 1 with 16 KiB chunks is Cobblestone-256. A standard reader has to refuse every other object: checked too.
"""

import hashlib
import json
import pathlib
import sys

import objects
import standard
from cryptography.exceptions import InvalidTag


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    opened = others = 0
    for manifest in sorted(pathlib.Path(sys.argv[1]).glob("v*/manifest.json")):
        for entry in json.loads(manifest.read_text()):
            if check(manifest.parent, entry):
                opened += 1
            else:
                others += 1
    print(f"{opened + others} golden objects opened by the second decoder, {opened} of them by a standard reader")
    if opened == 0:
        raise SystemExit("no golden object was opened: this proves nothing")


def check(directory, entry):
    """Whether a standard reader opened the object too; fails if it is not what the manifest says."""
    name = f"{directory.name}/{entry['file']}"
    data_key, context = bytes.fromhex(entry["data_key"]), bytes.fromhex(entry["payload_context"])
    header, payload = parts(directory, entry)
    require(objects.payload_context(header.core) == context, name, "the payload context is that of the header's core")
    require(payload[:56] == header.salt + header.commitment, name, "header and payload agree on salt and commitment")
    require(raw_slot(header, entry) == data_key, name, "the raw key's slot holds the data key")
    reader = objects.Reader([("raw", bytes.fromhex(entry["raw_key"]))], "exact", entry["context"])
    plaintext = objects.open_whole(header, payload, reader)
    require(len(plaintext) == entry["plaintext_len"], name, "the plaintext is as long as the manifest says")
    digest = hashlib.sha256(plaintext).hexdigest()
    require(digest == entry["plaintext_sha256"], name, "the plaintext has the SHA-256 of the manifest")
    try:
        standards = standard.open_payload(payload, data_key, context)
    except InvalidTag:
        standards = None
    expected = plaintext if header.core == objects.STANDARD_CORE else None
    require(standards == expected, name, "a standard reader opens it if it is Cobblestone-256, and only then")
    print(f"opened  {name}: {len(plaintext)} bytes")
    return standards is not None


def parts(directory, entry):
    data = (directory / entry["file"]).read_bytes()
    if entry["header_file"] is None:
        return objects.parse_attached(data), data[objects.ATTACHED :]
    return objects.parse_detached((directory / entry["header_file"]).read_bytes()), data


def raw_slot(header, entry):
    kek = bytes.fromhex(entry["raw_key"])
    names = ("raw", objects.raw_key_id(kek))
    [wrapped] = [wrapped for *slot, wrapped in header.slots if tuple(slot) == names]
    return objects.unwrap(kek, wrapped, *names, entry["context"])


def require(holds, name, what):
    if not holds:
        raise SystemExit(f"{name}: does not hold: {what}")


main()
