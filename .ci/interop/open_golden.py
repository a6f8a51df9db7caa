#!/usr/bin/env python3
"""Opens the payloads of the golden objects with Python's `cryptography`, given data key and payload context.

    open_golden.py MANIFEST

The manifest is a JSON list of objects, or an object whose "objects" is one. What is used of each: "file" (beside the
manifest), "attached", "data_key" and "payload_context" (hexadecimal), "plaintext_len", "plaintext_sha256".

Only suite 1 with 16 KiB chunks is Cobblestone-256. A standard reader has to refuse every other object: checked too.
"""

import hashlib
import json
import pathlib
import sys

from cryptography.exceptions import InvalidTag

import objects


def payload_of(entry, data, context):
    if not entry["attached"]:
        return data
    header = objects.parse_attached(data)
    payload = data[objects.ATTACHED :]
    if objects.payload_context(header.core) != context:
        raise SystemExit(f"{entry['file']}: the manifest's payload context is not that of the header's core")
    if payload[:56] != header.salt + header.commitment:
        raise SystemExit(f"{entry['file']}: header and payload differ in salt or commitment")
    return payload


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    manifest_path = pathlib.Path(sys.argv[1])
    manifest = json.loads(manifest_path.read_text())
    entries = manifest["objects"] if isinstance(manifest, dict) else manifest
    opened = others = 0
    for entry in entries:
        name = entry["file"]
        data_key, context = bytes.fromhex(entry["data_key"]), bytes.fromhex(entry["payload_context"])
        payload = payload_of(entry, (manifest_path.parent / name).read_bytes(), context)
        # The context ends with the core, so that this does not hang on how the manifest spells suites.
        if context[-3:] != objects.STANDARD_CORE:
            try:
                objects.open_payload(payload, data_key, context)
            except InvalidTag:
                others += 1
                print(f"SKIPPED {name}: only Cobblestone-256 objects are standard; cryptography refuses it, as it must")
                continue
            raise SystemExit(f"{name} is not Cobblestone-256, and a standard reader opened it")
        plaintext = objects.open_payload(payload, data_key, context)
        digest = hashlib.sha256(plaintext).hexdigest()
        if (len(plaintext), digest) != (entry["plaintext_len"], entry["plaintext_sha256"]):
            raise SystemExit(f"{name}: opened to {len(plaintext)} bytes, SHA-256 {digest}: not what the manifest says")
        opened += 1
        print(f"opened  {name}: {len(plaintext)} bytes")
    print(f"{opened} golden objects opened by cryptography, {others} of other suites and chunk sizes not standard")
    if opened == 0:
        raise SystemExit("no golden object was opened: this proves nothing")


main()
