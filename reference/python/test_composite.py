#!/usr/bin/env python3
"""Composite objects by the second decoder: receipts and completions of the test kit, and random objects.

DIRECTORY is engine/tests/vectors/composite; make_composite.py says what the files have. The objects there are
test_kit.py's.
"""

import json
import pathlib
import random
import sys

sys.path.append(f"{sys.path[0]}/../../tools")

import composite
import objects
import standard
from common import arguments, expect, report
from composite import COMPONENT_LABEL, MANIFEST_LABEL, Composite, Entry, Manifest
from make_composite import C, Object, header_of
from objects import Reader, Refused, parse_detached

KEK = bytes([7]) * 32
READER = Reader([("raw", KEK)])
BOUNDARIES = [0, 1, C - 1, C, C + 1]


def main():
    options = arguments(__doc__, "directory", cases=200, seed=1)
    judged = judge_files(pathlib.Path(options.directory))
    an_exchanged_header_seals_nothing()
    a_standard_reader_opens_components_and_manifest()
    a_padded_object_has_room_for_10_000_components()
    lengths = padded_lengths_are_those_of_a_search(random.Random(options.seed))
    bits = every_flipped_bit_is_refused()
    ranges = ranges_are_slices(random.Random(options.seed))
    for at in range(options.cases):
        case(random.Random(f"{options.seed} {at}"))
    report("test_composite", options.cases, files=judged, lengths=lengths, bits=bits, ranges=ranges)


def kind_of(call):
    """What it returns, or the kind of its refusal."""
    try:
        return call(), "success"
    except Refused as refused:
        return None, refused.kind


# The test kit.


def judge_files(directory):
    receipts, completions, padded = (
        json.loads((directory / f"{name}.json").read_text()) for name in ("receipts", "completions", "padded")
    )
    for vector in receipts:
        judge_receipt(vector)
    for vector in completions:
        judge_completion(vector)
    for vector in padded:
        found, kind = kind_of(lambda vector=vector: composite.unpadded_len(vector["payload_len"], vector["chunk_size"]))
        expect(found == vector["plaintext_len"] and (found is None) == (kind == "length"), vector)
        expect(found is None or composite.padded_len(found, vector["chunk_size"]) == vector["payload_len"], vector)
    expect(len(receipts) >= 30 and len(completions) >= 20 and len(padded) >= 100, "all cases are in the files")
    return len(receipts) + len(completions) + len(padded)


def unlocked(vector):
    kek = bytes.fromhex(vector["key"].removeprefix("raw "))
    header = parse_detached(bytes.fromhex(vector["header"]))
    data_key = composite.data_key_for_sealing(header, Reader([("raw", kek)]), header.commitment)
    expect(data_key.hex() == vector["data_key"], f"{vector['name']}: the data key")
    return data_key, header.core


def judge_receipt(vector):
    data_key, core = unlocked(vector)
    receipt, label = bytes.fromhex(vector["receipt"]), bytes.fromhex(vector["label"])
    entry, kind = kind_of(lambda: composite.open_receipt(receipt, label, data_key, core))
    expect(kind in vector["expect"], f"{vector['name']}: {kind}, not {vector['expect']}")
    if entry:
        facts = (entry.salt.hex(), entry.length) == (vector["salt"], vector["plaintext_len"])
        expect(facts, f"{vector['name']}: the entry")
        expect(composite.encode_receipt(entry, label, data_key, core) == receipt, f"{vector['name']}: encodes again")


def judge_completion(vector):
    data_key, core = unlocked(vector)
    parts = [(bytes.fromhex(part["label"]), bytes.fromhex(part["receipt"])) for part in vector["parts"]]
    tail, kind = kind_of(lambda: composite.complete(parts, data_key, core, bytes.fromhex(vector["note"])))
    expect(kind in vector["expect"], f"{vector['name']}: {kind}, not {vector['expect']}")
    if tail:
        expect(tail[: vector["padding_len"]] == bytes(vector["padding_len"]), f"{vector['name']}: the padding")
        expect(vector["components_len"] + len(tail) == vector["payload_len"], f"{vector['name']}: the payload's length")


# Properties.


def an_exchanged_header_seals_nothing():
    mine, other = (header_of(bytes([1, 14, 1]), bytes([key]) * 32, bytes([2]) * 24) for key in (1, 9))
    _, kind = kind_of(lambda: composite.data_key_for_sealing(other, READER, mine.commitment))
    expect(kind == "exchanged", f"a header with another commitment is refused before sealing, not {kind}")
    # The expected commitment, over a slot with another key.
    forged = header_of(bytes([1, 14, 1]), bytes([1]) * 32, bytes([2]) * 24, wrapped=bytes([9]) * 32)
    _, kind = kind_of(lambda: composite.data_key_for_sealing(forged, READER, mine.commitment))
    expect(kind == "commitment", f"another data key under the right commitment is refused, not {kind}")


def a_standard_reader_opens_components_and_manifest():
    """With suite 1 and 16 KiB chunks, given the data key and the payload context."""
    for core in (bytes([1, 14, 1]), bytes([1, 14, 3])):
        made = Object([C + 1], core, note=b"note")
        contexts = [objects.payload_context(core, label) for label in (COMPONENT_LABEL, MANIFEST_LABEL)]
        opened = standard.open_payload(made.component(0), made.data_key, contexts[0])
        expect(opened == made.plain, "a standard reader opens a component")
        opened = standard.open_payload(made.manifest(), made.data_key, contexts[1])
        expect(opened == made.manifest_plaintext(), "a standard reader opens a manifest")
    expect(contexts[0] == b"sealstone/component@v1\x01\x0e\x03", "the context is label and core")


def padded_lengths_are_those_of_a_search(chance):
    """[J-14]: the closed inverse against a binary search, and room for whatever a padded object may be made of."""
    tried = 0
    part, most = composite.LEAST_PART, composite.MAX_PARTS
    for log2 in (14, 16, 18, 20):
        chunk = 1 << log2
        lengths = [max(0, chance.randrange(0, 12) * part + chance.randrange(-40, 40)) for _ in range(400)]
        lengths += [chance.randrange(9990, 10_020) * part + chance.randrange(-40, 40) for _ in range(400)]
        lengths += [chance.randrange(0, 300) * chunk + chance.randrange(-20, 20) for _ in range(400)]
        lengths += [chance.randrange(1 << chance.randrange(1, 53)) for _ in range(400)]
        lengths += [composite.MAX_PLAINTEXT - at for at in range(40)]
        for length in lengths:
            length = min(max(length, 0), composite.MAX_PLAINTEXT)
            whole = composite.padded_len(length, chunk)
            for near in {whole + step for step in (-129, -128, -17, -16, -1, 0, 1, 15, 16, 127, 128)}:
                found, _ = kind_of(lambda near=near, chunk=chunk: composite.unpadded_len(near, chunk))
                expect(found == searched(near, chunk), f"{near} with chunks of {chunk}")
                tried += 1
            # As many as the plaintext can be cut into, with no short one but the last.
            count = min(length // part + 1, most)
            room = whole - length - 16 * (length // chunk + count) - 56 * count
            manifest = composite.manifest_plaintext_len(count, composite.MAX_NOTE)
            expect(room >= composite.payload_len(manifest, chunk) + 4, f"{count} components of {length} bytes fit")
    return tried


def a_padded_object_has_room_for_10_000_components():
    """Of the least length, and the longest note; many more are refused [J-6]."""
    core = bytes([1, 14, 3])

    def joined(count):
        entries = [Entry(at.to_bytes(24, "big"), composite.LEAST_PART) for at in range(count - 1)]
        return Manifest([*entries, Entry(bytes([255]) * 24, 0)], bytes(composite.MAX_NOTE))

    for count, expected in ((1, "success"), (9_999, "success"), (10_000, "success"), (20_000, "manifest")):
        _, kind = kind_of(lambda count=count: composite.check_manifest(joined(count), core))
        expect(kind == expected, f"{count} components of a padded object: {kind}")


def searched(whole, chunk):
    low, high = 0, composite.MAX_PLAINTEXT
    while low < high:
        middle = (low + high) // 2
        if composite.padded_len(middle, chunk) < whole:
            low = middle + 1
        else:
            high = middle
    return low if composite.padded_len(low, chunk) == whole else None


def every_flipped_bit_is_refused():
    """[J-11], of an object with an empty component, a note and padding."""
    tried = 0
    for made in (Object([3, 0, 2], note=b"note"), Object([5], bytes([1, 14, 3]))):
        payload = made.payload()
        expect(whole(made, payload) == made.plain, "the sound object opens")
        for at in range(8 * len(payload)):
            altered = bytearray(payload)
            altered[at // 8] ^= 1 << at % 8
            found, _ = kind_of(lambda made=made, altered=altered: whole(made, bytes(altered)))
            expect(found is None, f"bit {at} flipped is refused")
            tried += 1
    return tried


def whole(made, payload):
    return Composite(made.header(), payload, READER).whole()


def ranges_are_slices(chance):
    """Components of each length next to each, with ranges that begin and end at, before and after each boundary."""
    tried = 0
    for lengths in [[one, two, 1] for one in BOUNDARIES for two in BOUNDARIES] + [BOUNDARIES]:
        made = Object(lengths)
        opened, plain = Composite(made.header(), made.payload(), READER), made.plain
        marks = {0, len(plain)}
        for start, length in zip(opened.starts, lengths):
            marks |= {start + at + step for at in (0, C, length) if at <= length for step in (-1, 0, 1)}
        marks = sorted(at for at in marks if 0 <= at <= len(plain))
        for start, end in ((start, end) for start in marks for end in marks if start <= end):
            expect(opened.range(start, end) == plain[start:end], f"{start}..{end} of {lengths}")
            tried += 1
        expect(opened.range(start := chance.choice(marks), None) == plain[start:], "an open range")
    return tried


def case(chance):
    """Sealed in any order, some again with other bytes; completed; read; one part damaged."""
    is_padded = chance.random() < 0.3
    core = bytes([chance.choice([1, 2]), chance.choice([14, 14, 16, 18, 20]), 3 if is_padded else 1])
    chunk = 1 << core[1]
    data_key, salt = chance.randbytes(32), chance.randbytes(24)
    header = header_of(core, data_key, salt)
    lengths = [chance.choice([0, 1, 40, chunk - 1, chunk, chunk + 1]) for _ in range(chance.randint(1, 5))]
    if is_padded:
        lengths = [composite.LEAST_PART + chance.randrange(3) for _ in range(chance.randint(0, 1))] + lengths[:1]
    parts, receipts = {}, {}
    for at in chance.sample([*range(len(lengths)), *range(len(lengths))], 2 * len(lengths)):
        key = composite.data_key_for_sealing(header, READER, header.commitment)
        parts[at] = chance.randbytes(lengths[at])
        receipts[at] = composite.seal_component(parts[at], key, core, f"{at}".encode())
    order = range(len(lengths))
    note = chance.randbytes(chance.choice([0, 0, 32, 256]))
    labelled = [(f"{at}".encode(), receipts[at][1]) for at in order]
    tail = composite.complete(labelled, data_key, core, note)
    payload = b"".join(receipts[at][0] for at in order) + tail
    plain = b"".join(parts[at] for at in order)

    opened = Composite(header, payload, READER)
    what = f"core {core.hex()}, components of {lengths}"
    expect(opened.whole() == plain and opened.manifest.note == note and opened.verify() == [], what)
    expect(composite.total_len(opened.manifest, core) == len(payload), f"the length of {what}")
    if is_padded:
        expect(composite.unpadded_len(len(payload), chunk) == len(plain), f"the length tells the plaintext's of {what}")
    start = chance.randint(0, len(plain))
    end = chance.randint(start, len(plain))
    expect(opened.range(start, end) == plain[start:end], f"{start}..{end} of {what}")

    index = chance.choice(order)
    at = chance.randrange(opened.places[index], opened.places[index + 1])
    altered = bytearray(payload)
    altered[at] ^= 1 << chance.randrange(8)
    within = at - opened.places[index] - objects.PREFIX
    damage = [(index, None if within < 0 else within // (chunk + 16))]
    expect(Composite(header, bytes(altered), READER).verify() == damage, f"damage at {damage} of {what} is named")


if __name__ == "__main__":
    main()
