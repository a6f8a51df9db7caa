#!/usr/bin/env python3
"""Random objects, both ways: what the command line seals, the second decoder opens, and the other way round.

Each case has a suite, a chunk size, a length, a context of stored and supplied pairs, and a raw key. With one altered byte
both must refuse it.
"""

import random
import sys
import tempfile

sys.path.append(f"{sys.path[0]}/../../tools")

import objects
from command_line import CommandLine, attached, context_options
from common import arguments, expect, failure, raw_key, report

# As the command line calls them.
SIZES = {14: "16K", 16: "64K", 18: "256K", 20: "1M"}


def main():
    options = arguments(__doc__, "sealstone", cases=100, seed=1)
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as directory:
        cli = CommandLine(options.sealstone, directory)
        for _ in range(options.cases):
            case(cli, chance)
    report("random_objects", options.cases)


def case(cli, chance):
    log2 = chance.choice([14, 14, *SIZES])
    core = bytes([chance.choice([1, 2]), log2, 0])
    plaintext = chance.randbytes(length(chance, 1 << log2))
    stored, supplied = pairs(chance, "s"), pairs(chance, "x")
    kek = chance.randbytes(32)
    options = ["--key", raw_key(cli.directory / "key", kek), *context_options(stored, supplied)]
    whole = {**stored, **supplied}
    reader = objects.Reader([("raw", kek)], "exact", whole)
    what = f"core {core.hex()}, {len(plaintext)} bytes, context {whole}"

    suite = {1: "aes-256-gcm", 2: "chacha20-poly1305"}[core[0]]
    sealed = cli.encrypt(plaintext, *options, "--suite", suite, "--chunk-size", SIZES[log2])
    header = objects.parse_attached(sealed[: objects.ATTACHED])
    expect(header.core == core, f"the core is the one asked for: {what}")
    expect(objects.encode_attached(header) == sealed[: objects.ATTACHED], f"encoding returns the same header: {what}")
    payload = sealed[objects.ATTACHED :]
    expect(objects.open_whole(header, payload, reader) == plaintext, f"the second decoder opens: {what}")
    start = chance.randint(0, len(plaintext))
    end = chance.choice([None, chance.randint(start, len(plaintext))])
    found = objects.open_range(header, payload, reader, start, end)
    expect(found == plaintext[start:end], f"the second decoder opens {start}..{end}: {what}")

    data_key, salt = chance.randbytes(32), chance.randbytes(24)
    payload = objects.seal_payload(plaintext, data_key, core, salt)
    ours = attached(payload, core, data_key, (stored, supplied), "raw", objects.raw_key_id(kek), kek)
    expect(cli.decrypt(ours, *options) == plaintext, f"the command line opens: {what}")
    altered = bytearray(ours)
    altered[chance.randrange(objects.ATTACHED, len(ours))] ^= 1 << chance.randrange(8)
    cli.refuses(bytes(altered), *options)
    refusal = failure(objects.Refused, objects.open_whole, header, bytes(altered[objects.ATTACHED :]), reader)
    expect(refusal, f"the second decoder refuses an altered byte: {what}")


def length(chance, size):
    """Near a multiple of the chunk size, or anything up to three chunks."""
    if chance.random() < 0.5:
        return max(0, chance.randint(0, 3) * size + chance.randint(-17, 17))
    return chance.randint(0, 3 * size)


def pairs(chance, kind):
    alphabet = "aß/ =€\U0001f511"
    texts = ["".join(chance.choices(alphabet, k=chance.randint(0, 9))) for _ in range(chance.randint(0, 3))]
    return {f"{kind}{at}": text for at, text in enumerate(texts)}


main()
