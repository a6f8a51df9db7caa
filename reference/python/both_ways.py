#!/usr/bin/env python3
"""The command line against Python's `cryptography`: each opens what the other made, header and payload.

    both_ways.py SEALSTONE

SEALSTONE is the binary.
"""

import os
import pathlib
import sys
import tempfile

import objects
import standard
from command_line import CommandLine, context_options, require
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
    require(header.core == objects.STANDARD_CORE, "the default is suite 1 and 16 KiB chunks")
    [(provider, key_id, wrapped)] = header.slots
    data_key = objects.unwrap(kek_of(provider, key_id), wrapped, provider, key_id, context)
    payload = data[objects.ATTACHED :]
    require(payload[:56] == header.salt + header.commitment, "header and payload agree on salt and commitment")
    return standard.open_payload(payload, data_key, objects.payload_context(header.core)), header


def seal_here(plaintext, version, stored, supplied, kek, provider, key_id):
    data_key = os.urandom(32)
    payload = standard.seal_payload(plaintext, data_key, objects.payload_context(objects.STANDARD_CORE))
    wrapped = objects.wrap(kek, data_key, provider, key_id, {**stored, **supplied})
    pairs = [*stored.items(), *((key, None) for key in supplied)]
    slots = [(provider, key_id, wrapped)]
    header = objects.Header(version, objects.STANDARD_CORE, 0, payload[:24], payload[24:56], pairs, slots)
    return objects.encode_attached(header) + payload


def raw_keys(cli):
    kek = os.urandom(32)
    key_file = cli.directory / "key"
    key_file.write_bytes(kek)
    key = ["--key", f"raw:file:{key_file}"]

    def kek_of(provider, key_id):
        require((provider, key_id) == ("raw", objects.raw_key_id(kek)), "the slot names the raw key")
        return kek

    for number, length in enumerate(LENGTHS):
        stored, supplied = CONTEXTS[number % len(CONTEXTS)]
        options = [*key, *context_options(stored, supplied)]
        plaintext = os.urandom(length)

        sealed = cli.encrypt(plaintext, *options)
        opened, header = open_here(sealed, {**stored, **supplied}, kek_of)
        require(opened == plaintext, f"cryptography opens {length} bytes sealed by the command line")
        require(dict(header.context) == {**stored, **dict.fromkeys(supplied)}, "the context is stored as given")
        require(objects.encode_attached(header) == sealed[: objects.ATTACHED], "encoding gives the header again")

        ours = seal_here(plaintext, header.version, stored, supplied, kek, "raw", objects.raw_key_id(kek))
        require(len(ours) == len(sealed), f"both objects of {length} bytes are equally long")
        require(cli.decrypt(ours, *options) == plaintext, f"the command line opens {length} bytes sealed here")
        altered = ours[:-1] + bytes([ours[-1] ^ 1])
        cli.decrypt(altered, *options, expect=6)
    print(f"raw key: {len(LENGTHS)} lengths, both ways, with and without context")

    for option in (["--chunk-size", "64K"], ["--suite", "chacha20-poly1305"]):
        sealed = cli.encrypt(b"not Cobblestone-256", *key, *option)
        header = objects.parse_attached(sealed)
        [(provider, key_id, wrapped)] = header.slots
        data_key = objects.unwrap(kek, wrapped, provider, key_id, {})
        try:
            standard.open_payload(sealed[objects.ATTACHED :], data_key, objects.payload_context(header.core))
        except InvalidTag:
            continue
        raise SystemExit(f"{' '.join(option)}: a standard reader opened what is not standard")
    print("other suites and chunk sizes: their slots unwrap, their payloads are refused by a standard reader")
    return header.version


def passphrases(cli, version):
    passphrase = "correct horse ß".encode()
    file = cli.directory / "passphrase"
    file.write_bytes(passphrase)
    options = ["--key", f"passphrase:file:{file}"]
    plaintext = os.urandom(3 * CHUNK)

    opened, _ = open_here(
        cli.encrypt(plaintext, *options), {}, lambda _, key_id: objects.passphrase_key(passphrase, key_id)
    )
    require(opened == plaintext, "cryptography opens what the command line sealed with a passphrase")
    key_id = f"argon2id,m=19456,t=2,p=1,salt={os.urandom(16).hex()}"
    kek = objects.passphrase_key(passphrase, key_id)
    ours = seal_here(plaintext, version, {}, {}, kek, "passphrase", key_id)
    require(cli.decrypt(ours, *options) == plaintext, "the command line opens what was sealed here with a passphrase")
    print("passphrase: both ways")


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    with tempfile.TemporaryDirectory() as directory:
        cli = CommandLine(sys.argv[1], pathlib.Path(directory))
        version = raw_keys(cli)
        passphrases(cli, version)


main()
