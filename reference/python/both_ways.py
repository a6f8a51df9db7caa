#!/usr/bin/env python3
"""The command line against Python's `cryptography`: each opens what the other sealed, header and payload."""

import os
import sys
import tempfile

sys.path.append(f"{sys.path[0]}/../../tools")

import objects
import standard
from command_line import CommandLine, attached, context_options
from common import arguments, expect, failure, raw_key
from cryptography.exceptions import InvalidTag
from objects import CHUNK

LENGTHS = [
    *(0, 1, 15, 16, 17, 4096, CHUNK - 16, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 1),
    *(3 * CHUNK + 7, 16 * CHUNK - 1, 16 * CHUNK, 16 * CHUNK + 1, 33 * CHUNK, 64 * CHUNK, 40 * CHUNK + 123, 5_000_011),
]
CONTEXTS = [
    # Stored, then supplied.
    ({}, {}),
    ({"bucket": "photos", "key": "2024/Å.jpg"}, {}),
    ({"b": "", "a": "1"}, {"tenant": "secret"}),
]


def open_here(data, context, kek_of):
    """Opens an object made by the command line; `kek_of` returns the key of a slot's provider and key id."""
    header = objects.parse_attached(data)
    expect(header.core == objects.STANDARD_CORE, "the default is suite 1 and 16 KiB chunks")
    [(provider, key_id, wrapped)] = header.slots
    data_key = objects.unwrap(kek_of(provider, key_id), wrapped, provider, key_id, context)
    payload = data[objects.ATTACHED :]
    expect(payload[:56] == header.salt + header.commitment, "header and payload agree on salt and commitment")
    return standard.open_payload(payload, data_key, objects.payload_context(header.core)), header


def seal_here(plaintext, contexts, provider, key_id, kek):
    data_key, core = os.urandom(32), objects.STANDARD_CORE
    payload = standard.seal_payload(plaintext, data_key, objects.payload_context(core))
    return attached(payload, core, data_key, contexts, provider, key_id, kek)


def raw_keys(cli):
    kek = os.urandom(32)
    key = ["--key", raw_key(cli.directory / "key", kek)]

    def kek_of(provider, key_id):
        expect((provider, key_id) == ("raw", objects.raw_key_id(kek)), "the slot names the raw key")
        return kek

    for number, length in enumerate(LENGTHS):
        stored, supplied = CONTEXTS[number % len(CONTEXTS)]
        options = [*key, *context_options(stored, supplied)]
        plaintext = os.urandom(length)

        sealed = cli.encrypt(plaintext, *options)
        opened, header = open_here(sealed, {**stored, **supplied}, kek_of)
        expect(opened == plaintext, f"cryptography opens {length} bytes sealed by the command line")
        expect(dict(header.context) == {**stored, **dict.fromkeys(supplied)}, "the context is stored as given")
        expect(objects.encode_attached(header) == sealed[: objects.ATTACHED], "encoding returns the same header")

        ours = seal_here(plaintext, (stored, supplied), "raw", objects.raw_key_id(kek), kek)
        expect(len(ours) == len(sealed), f"both objects of {length} bytes are equally long")
        expect(cli.decrypt(ours, *options) == plaintext, f"the command line opens {length} bytes sealed here")
        cli.refuses(ours[:-1] + bytes([ours[-1] ^ 1]), *options)
    print(f"raw key: {len(LENGTHS)} lengths, both ways, with and without context")

    for option in (["--chunk-size", "64K"], ["--suite", "chacha20-poly1305"]):
        sealed = cli.encrypt(b"not Cobblestone-256", *key, *option)
        header = objects.parse_attached(sealed)
        [(provider, key_id, wrapped)] = header.slots
        data_key = objects.unwrap(kek, wrapped, provider, key_id, {})
        payload, context = sealed[objects.ATTACHED :], objects.payload_context(header.core)
        refusal = failure(InvalidTag, standard.open_payload, payload, data_key, context)
        expect(refusal, f"a standard reader refuses {' '.join(option)}")
    print("other suites and chunk sizes: their slots unwrap, their payloads are refused by a standard reader")


def passphrases(cli):
    passphrase = "correct horse ß".encode()
    options = ["--key", raw_key(cli.directory / "passphrase", passphrase).replace("raw:", "passphrase:")]
    plaintext = os.urandom(3 * CHUNK)

    sealed = cli.encrypt(plaintext, *options)
    opened, _ = open_here(sealed, {}, lambda _, key_id: objects.passphrase_key(passphrase, key_id))
    expect(opened == plaintext, "cryptography opens what the command line sealed with a passphrase")
    key_id = f"argon2id,m=19456,t=2,p=1,salt={os.urandom(16).hex()}"
    kek = objects.passphrase_key(passphrase, key_id)
    ours = seal_here(plaintext, ({}, {}), "passphrase", key_id, kek)
    expect(cli.decrypt(ours, *options) == plaintext, "the command line opens what was sealed here with a passphrase")
    print("passphrase: both ways")


def main():
    with tempfile.TemporaryDirectory() as directory:
        cli = CommandLine(arguments(__doc__, "sealstone").sealstone, directory)
        raw_keys(cli)
        passphrases(cli)


main()
