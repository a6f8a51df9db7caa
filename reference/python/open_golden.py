#!/usr/bin/env python3
"""Opens the golden objects with the second decoder, and the payloads of standard ones with Python's `cryptography` too.

DIRECTORY has one of `v1`, `v2`, ... for each version of the format, with a `manifest.json` that lists objects: "file",
"header_file" (null if the header is attached), "data_key", "payload_context" and "raw_key" (hexadecimal), "context",
"plaintext_len", "plaintext_sha256". Composite objects also have "components", a list of lengths, "padded", and "note"
(hexadecimal).

Only suite 1 with 16 KiB chunks is Cobblestone-256. Checks that a standard reader refuses every other object.
"""

import hashlib
import json
import pathlib
import sys

sys.path.append(f"{sys.path[0]}/../../tools")

import composite
import objects
import standard
from common import arguments, expect
from cryptography.exceptions import InvalidTag


def main():
    manifests = sorted(pathlib.Path(arguments(__doc__, "directory").directory).glob("v*/manifest.json"))
    opened = [check(path.parent, entry) for path in manifests for entry in json.loads(path.read_text())]
    print(f"{len(opened)} golden objects opened by the second decoder, {sum(opened)} of them by a standard reader")
    expect(any(opened), "a standard reader opened an object")


def check(directory, entry):
    """Whether a standard reader opened the object too; fails if it is not what the manifest says."""
    name = f"{directory.name}/{entry['file']}"
    data_key, context = bytes.fromhex(entry["data_key"]), bytes.fromhex(entry["payload_context"])
    header, payload = parts(directory, entry)
    expect(objects.payload_context(header.core) == context, f"{name}: the payload context is that of the header's core")
    expect(raw_slot(header, entry) == data_key, f"{name}: the raw key's slot holds the data key")
    reader = objects.Reader([("raw", bytes.fromhex(entry["raw_key"]))], "exact", entry["context"])
    if "components" in entry:
        plaintext, pieces = open_composite(header, payload, reader, entry, name)
    else:
        expect(payload[:56] == header.salt + header.commitment, f"{name}: the payload begins as its header says")
        plaintext, pieces = objects.open_whole(header, payload, reader), [(payload, context)]
    expect(len(plaintext) == entry["plaintext_len"], f"{name}: the plaintext is as long as the manifest says")
    digest = hashlib.sha256(plaintext).hexdigest()
    expect(digest == entry["plaintext_sha256"], f"{name}: the plaintext has the SHA-256 of the manifest")
    try:
        standards = b"".join(standard.open_payload(piece, data_key, context) for piece, context in pieces)
    except InvalidTag:
        standards = None
    expected = plaintext if header.core[:2] == objects.STANDARD_CORE[:2] else None
    expect(standards == expected, f"{name}: a standard reader opens it if it is Cobblestone-256, and only then")
    print(f"opened  {name}: {len(plaintext)} bytes")
    return standards is not None


def open_composite(header, payload, reader, entry, name):
    """The plaintext; and each component, with the context that a standard reader opens it under."""
    opened = composite.Composite(header, payload, reader)
    lengths = [component.length for component in opened.manifest.entries]
    expect(lengths == entry["components"], f"{name}: the components have these lengths")
    expect(opened.manifest.note == bytes.fromhex(entry["note"]), f"{name}: the note is the same")
    padded = bool(header.core[2] & composite.PADDED)
    expect(padded == entry["padded"], f"{name}: the flags say whether it is padded")
    if padded:
        length = composite.unpadded_len(len(payload), entry["chunk_size"])
        expect(length == entry["plaintext_len"], f"{name}: the stored length determines the plaintext's")
    context = objects.payload_context(header.core, composite.COMPONENT_LABEL)
    return opened.whole(), [(opened.component(index)[1], context) for index in range(len(lengths))]


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


main()
