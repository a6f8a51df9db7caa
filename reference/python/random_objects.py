#!/usr/bin/env python3
"""Random objects, both ways: what the command line seals the second decoder opens, and the other way round.

    random_objects.py SEALSTONE [--cases N] [--seed S]

SEALSTONE is the binary. Each case has a suite, a chunk size, a length, a context, stored and supplied pairs, and a raw
key; one byte of it altered is refused by both.
"""

import argparse
import pathlib
import random
import tempfile

import objects
from command_line import CommandLine, context_options, require

# As the command line calls them.
SIZES = {14: "16K", 16: "64K", 18: "256K", 20: "1M"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sealstone")
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as directory:
        cli = CommandLine(options.sealstone, pathlib.Path(directory))
        for _ in range(options.cases):
            case(cli, chance)
    print(f"campaign: random_objects cases={options.cases}")


def case(cli, chance):
    log2 = chance.choice([14, 14, *SIZES])
    core = bytes([chance.choice([1, 2]), log2, 0])
    plaintext = chance.randbytes(length(chance, 1 << log2))
    stored, supplied = pairs(chance, "s"), pairs(chance, "x")
    kek = chance.randbytes(32)
    key_file = cli.directory / "key"
    key_file.write_bytes(kek)
    options = ["--key", f"raw:file:{key_file}", *context_options(stored, supplied)]
    whole = {**stored, **supplied}
    reader = objects.Reader([("raw", kek)], "exact", whole)
    what = f"core {core.hex()}, {len(plaintext)} bytes, context {whole}"

    suite = {1: "aes-256-gcm", 2: "chacha20-poly1305"}[core[0]]
    sealed = cli.encrypt(plaintext, *options, "--suite", suite, "--chunk-size", SIZES[log2])
    header = objects.parse_attached(sealed[: objects.ATTACHED])
    require(header.core == core, f"the core is the one asked for: {what}")
    require(objects.encode_attached(header) == sealed[: objects.ATTACHED], f"encoding gives the header again: {what}")
    payload = sealed[objects.ATTACHED :]
    require(objects.open_whole(header, payload, reader) == plaintext, f"the second decoder opens: {what}")
    start = chance.randint(0, len(plaintext))
    end = chance.choice([None, chance.randint(start, len(plaintext))])
    found = objects.open_range(header, payload, reader, start, end)
    require(found == plaintext[start:end], f"the second decoder opens {start}..{end}: {what}")

    ours = seal(plaintext, core, stored, supplied, kek, chance)
    require(cli.decrypt(ours, *options) == plaintext, f"the command line opens: {what}")
    altered = bytearray(ours)
    altered[chance.randrange(objects.ATTACHED, len(ours))] ^= 1 << chance.randrange(8)
    cli.decrypt(bytes(altered), *options, expect=6)
    try:
        objects.open_whole(header, bytes(altered[objects.ATTACHED :]), reader)
    except objects.Refused:
        return
    raise SystemExit(f"does not hold: the second decoder refuses an altered byte: {what}")


def length(chance, size):
    """Near a multiple of the chunk size, or anything up to three chunks."""
    if chance.random() < 0.5:
        return max(0, chance.randint(0, 3) * size + chance.randint(-17, 17))
    return chance.randint(0, 3 * size)


def pairs(chance, kind):
    alphabet = "aß/ =€\U0001f511"
    texts = ["".join(chance.choices(alphabet, k=chance.randint(0, 9))) for _ in range(chance.randint(0, 3))]
    return {f"{kind}{at}": text for at, text in enumerate(texts)}


def seal(plaintext, core, stored, supplied, kek, chance):
    data_key, salt = chance.randbytes(32), chance.randbytes(24)
    payload = objects.seal_payload(plaintext, data_key, core, salt)
    key_id = objects.raw_key_id(kek)
    slots = [("raw", key_id, objects.wrap(kek, data_key, "raw", key_id, {**stored, **supplied}))]
    context = [*stored.items(), *((key, None) for key in supplied)]
    header = objects.Header(1, core, 0, salt, payload[24:56], context, slots)
    return objects.encode_attached(header) + payload


main()
