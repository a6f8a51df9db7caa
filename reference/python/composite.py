"""Composite objects in Python: sealed in components, joined by a manifest (engine/FORMAT.md, section 12).

Written from the format alone, as objects.py is, which has the headers and the chunks.
"""

import hmac
import itertools
import os
import struct
from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from objects import PREFIX, ChunkKeys, Fields, Refused, open_chunks, prefixed, require, seal_payload, unlock

COMPOSITE, PADDED = 1, 2
COMPONENT_LABEL = b"sealstone/component@v1"
MANIFEST_LABEL = b"sealstone/manifest@v1"
RECEIPT_LABEL = b"sealstone/receipt@v1"
TAG, CLAIM, MAC = 16, 4, 32
COUNT, ENTRY, MAX_NOTE = 4, 32, 256
MAX_COMPONENTS = 1 << 16
MAX_PLAINTEXT = (1 << 52) - 1
# Of padded objects: S3's least part, and its largest number of them.
LEAST_PART, MAX_PARTS = 5 << 20, 10_000


@dataclass(frozen=True)
class Entry:
    salt: bytes
    length: int  # of the plaintext


@dataclass
class Manifest:
    entries: list
    note: bytes = b""

    @property
    def plaintext_len(self):
        return sum(entry.length for entry in self.entries)


# Lengths.


def payload_len(length, chunk):
    """What a plaintext of `length` bytes takes as a component, or as the manifest."""
    return PREFIX + length + TAG * (length // chunk + 1)


def manifest_plaintext_len(components, note):
    return COUNT + ENTRY * components + note


def least_payload(chunk):
    """One empty component, the manifest, and its length."""
    return payload_len(0, chunk) + payload_len(manifest_plaintext_len(1, 0), chunk) + CLAIM


def longest_manifest(chunk):
    return payload_len(manifest_plaintext_len(MAX_COMPONENTS, MAX_NOTE), chunk)


def padded_len(plaintext_len, chunk):
    """The length of a padded object's payload [J-14]."""
    parts = min(plaintext_len // LEAST_PART, MAX_PARTS - 1)
    return plaintext_len + TAG * (plaintext_len // chunk) + 128 * parts + 512


def unpadded_len(payload, chunk):
    """The inverse."""
    part = LEAST_PART + TAG * (LEAST_PART // chunk) + 128
    require(payload >= 512, "no padded object is so short", "length")
    parts = min((payload - 512) // part, MAX_PARTS - 1)
    full, rest = divmod(payload - 512 - parts * part, chunk + TAG)
    length = full * chunk + rest
    within = rest < chunk and (parts == MAX_PARTS - 1 or length < LEAST_PART)
    require(within and parts * LEAST_PART + length <= MAX_PLAINTEXT, "no padded object has this length", "length")
    return parts * LEAST_PART + length


def total_len(manifest, core):
    """The payload's one right length [J-7]."""
    chunk, plaintext_len = 1 << core[1], manifest.plaintext_len
    if core[2] & PADDED:
        return padded_len(plaintext_len, chunk)
    return components_len(manifest, core) + tail_len(manifest, core)


def components_len(manifest, core):
    return sum(payload_len(entry.length, 1 << core[1]) for entry in manifest.entries)


def tail_len(manifest, core):
    """The manifest and its length."""
    return payload_len(manifest_plaintext_len(len(manifest.entries), len(manifest.note)), 1 << core[1]) + CLAIM


# Sealing.


def data_key_for_sealing(header, reader, commitment):
    """For sealing under a header made elsewhere, whose commitment is known [J-4]."""
    require(hmac.compare_digest(header.commitment, commitment), "the header is not the expected one", "exchanged")
    require(header.core[2] & COMPOSITE, "the object is not composite", "exchanged")
    return unlock(header, reader)


def seal_component(plaintext, data_key, core, label, salt=None):
    """Its sealed bytes and its receipt. Only what has to be the same bytes each time gives a salt [J-1]."""
    salt = salt or os.urandom(24)
    sealed = seal_payload(plaintext, data_key, core, salt, COMPONENT_LABEL)
    return sealed, encode_receipt(Entry(salt, len(plaintext)), label, data_key, core)


def receipt_mac(data_key, core, receipt):
    key = HKDFExpand(SHA512(), 32, RECEIPT_LABEL + core).derive(data_key)
    return hmac.digest(key, receipt, "sha512")[:MAC]


def encode_receipt(entry, label, data_key, core):
    receipt = entry.salt + struct.pack(">Q", entry.length) + prefixed(label)
    return receipt + receipt_mac(data_key, core, receipt)


def open_receipt(receipt, label, data_key, core):
    """The entry, if the receipt is this object's, and of the component that is expected [J-5]."""
    fields = Fields(receipt, "receipt")
    entry, found = Entry(fields.take(24), fields.number(8)), fields.prefixed()
    end = fields.at
    mac = fields.take(MAC)
    require(fields.at == len(receipt), "bytes follow", "receipt")
    require(hmac.compare_digest(mac, receipt_mac(data_key, core, receipt[:end])), "the MAC does not verify", "receipt")
    require(found == label, f"of {found}, not of {label}", "label")
    return entry


def complete(parts, data_key, core, note=b"", salt=None):
    """What follows the components: padding, manifest, length. `parts` has a label and a receipt for each, in order."""
    manifest = Manifest([open_receipt(receipt, label, data_key, core) for label, receipt in parts], note)
    check_manifest(manifest, core)
    sealed = seal_manifest(encode_manifest(manifest), data_key, core, salt or os.urandom(24))
    padding = total_len(manifest, core) - components_len(manifest, core) - tail_len(manifest, core)
    return bytes(padding) + sealed


def encode_manifest(manifest):
    entries = b"".join(entry.salt + struct.pack(">Q", entry.length) for entry in manifest.entries)
    return struct.pack(">I", len(manifest.entries)) + entries + manifest.note


def seal_manifest(plaintext, data_key, core, salt):
    sealed = seal_payload(plaintext, data_key, core, salt, MANIFEST_LABEL)
    return sealed + struct.pack(">I", len(sealed))


def check_manifest(manifest, core):
    """What no manifest may say, and no completion seals [J-6]."""
    count, salts = len(manifest.entries), {entry.salt for entry in manifest.entries}
    require(1 <= count <= MAX_COMPONENTS, f"{count} components", "manifest")
    require(len(salts) == count, "a salt twice", "manifest")
    require(len(manifest.note) <= MAX_NOTE, "the note is too long", "manifest")
    require(manifest.plaintext_len <= MAX_PLAINTEXT, "over 4 PiB - 1", "manifest")
    if core[2] & PADDED:
        long = all(entry.length >= LEAST_PART for entry in manifest.entries[:-1])
        require(long, "a short component before the last of a padded object", "manifest")
        need = components_len(manifest, core) + tail_len(manifest, core)
        require(need <= total_len(manifest, core), "more than a padded object has room for", "manifest")


# Reading.


def parse_manifest(plaintext, core):
    """[J-9]"""
    fields = Fields(plaintext, "manifest")
    count = fields.number(COUNT)
    require(count <= MAX_COMPONENTS, f"{count} components", "manifest")
    entries = [Entry(fields.take(24), fields.number(8)) for _ in range(count)]
    manifest = Manifest(entries, plaintext[fields.at :])
    check_manifest(manifest, core)
    return manifest


def open_manifest(payload, data_key, core):
    """The manifest, of a payload that is as long as it says [J-7], [J-8]."""
    chunk = 1 << core[1]
    require(len(payload) >= least_payload(chunk), "no composite object is so short", "truncated")
    claimed = int.from_bytes(payload[-CLAIM:], "big")
    longest = min(longest_manifest(chunk), len(payload) - CLAIM - payload_len(0, chunk))
    shortest = payload_len(manifest_plaintext_len(1, 0), chunk)
    require(shortest <= claimed <= longest, f"a manifest of {claimed} bytes", "manifest")
    sealed = payload[-CLAIM - claimed : -CLAIM]
    keys = ChunkKeys(data_key, core, sealed[:24], MANIFEST_LABEL)
    require(hmac.compare_digest(sealed[24:PREFIX], keys.commitment), "the manifest is another object's", "manifest")
    try:
        plaintext = open_chunks(keys, chunk, sealed[PREFIX:])
    except Refused as refused:
        raise Refused("manifest", str(refused)) from None
    manifest = parse_manifest(plaintext, core)
    require(len(payload) == total_len(manifest, core), "not as long as the manifest says", "length")
    return manifest


class Composite:
    """An object whose manifest was opened."""

    def __init__(self, header, payload, reader):
        self.data_key, self.core, self.payload = unlock(header, reader), header.core, payload
        require(self.core[2] & COMPOSITE, "objects.py reads plain objects", "plain")
        self.chunk = 1 << self.core[1]
        self.manifest = open_manifest(payload, self.data_key, self.core)
        lengths = [entry.length for entry in self.manifest.entries]
        self.starts = list(itertools.accumulate(lengths, initial=0))
        self.places = list(itertools.accumulate((payload_len(n, self.chunk) for n in lengths), initial=0))

    def component(self, index):
        """Its keys, and its sealed bytes."""
        keys = ChunkKeys(self.data_key, self.core, self.manifest.entries[index].salt, COMPONENT_LABEL)
        return keys, self.payload[self.places[index] : self.places[index + 1]]

    def check_prefix(self, index):
        """[J-11]"""
        keys, sealed = self.component(index)
        begins = self.manifest.entries[index].salt + keys.commitment
        require(hmac.compare_digest(sealed[:PREFIX], begins), f"component {index} is another one", "component")

    def check_padding(self):
        """[J-11]"""
        padding = self.payload[self.places[-1] : len(self.payload) - tail_len(self.manifest, self.core)]
        require(not any(padding), "the padding is not zero", "padding")

    def open_component(self, index):
        self.check_prefix(index)
        keys, sealed = self.component(index)
        return open_chunks(keys, self.chunk, sealed[PREFIX:])

    def open_within(self, index, start, end):
        """Bytes of one component; its final chunk too if they reach its end [J-10]."""
        keys, sealed = self.component(index)
        length = self.manifest.entries[index].length
        first, after = start // self.chunk, -(-end // self.chunk)
        if end == length:
            after = length // self.chunk + 1
        plaintext = b""
        for at in range(first, after):
            place = PREFIX + at * (self.chunk + TAG)
            plaintext += keys.open(at, sealed[place : place + self.chunk + TAG])
        return plaintext[start - first * self.chunk : end - first * self.chunk]

    def whole(self):
        # First, so that nothing is released of an object that is refused for its padding.
        self.check_padding()
        plaintext = b""
        for index in range(len(self.manifest.entries)):
            try:
                plaintext += self.open_component(index)
            except Refused as refused:
                raise of_component(refused, index, plaintext + refused.released) from None
        return plaintext

    def range(self, start, end):
        """[J-10], [J-12]; `end` may be None."""
        length = self.starts[-1]
        end = length if end is None else end
        require(start <= end <= length, "past the end", "range")
        plaintext = b""
        for index, entry in enumerate(self.manifest.entries):
            begin, stop = self.starts[index], self.starts[index + 1]
            # An empty component counts where the range goes on after it, or to the end of the object.
            if not start < min(stop, end) or not (begin < end or end == length):
                continue
            try:
                plaintext += self.open_within(index, max(start - begin, 0), min(end - begin, entry.length))
            except Refused as refused:
                raise of_component(refused, index, b"") from None
        return plaintext

    def verify(self):
        """All that is wrong, as (component, chunk): the chunk is None where the component is another one, both are where
        the padding is not zero.
        """
        found = []
        for index, entry in enumerate(self.manifest.entries):
            keys, sealed = self.component(index)
            try:
                self.check_prefix(index)
            except Refused:
                found.append((index, None))
                continue
            for at in range(entry.length // self.chunk + 1):
                place = PREFIX + at * (self.chunk + TAG)
                try:
                    keys.open(at, sealed[place : place + self.chunk + TAG])
                except Refused:
                    found.append((index, at))
        try:
            self.check_padding()
        except Refused:
            found.append((None, None))
        return found


def of_component(refused, index, released):
    refused.component, refused.released = index, released
    return refused
