"""The sealstone format in Python: a second decoder, and an encoder, written from engine/FORMAT.md alone.

It shares no code with sealstone, and is plain and slow: whole objects in memory, one thread. AEADs, hashes, HKDF and
Argon2id are those of `cryptography`. Numbers in brackets are the format's requirements. Headers and plain objects are here,
composite ones in composite.py.
"""

import hashlib
import hmac
import os
import re
import struct
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

MAGIC = bytes.fromhex("89535354 0d0a1a0a")
COPY = 4096
ATTACHED = 2 * COPY
CHUNK = 16 * 1024
PREFIX = 56
STANDARD_CORE = bytes([1, 14, 0])
# Of the core's flags: plain, composite, composite and padded.
FLAGS = (0, 1, 3)
OBJECT_LABEL = b"sealstone/object@v1"
SUITES = {1: (AESGCM, b"AEAD_AES_256_GCM"), 2: (ChaCha20Poly1305, b"AEAD_CHACHA20_POLY1305")}
PASSPHRASE_ID = re.compile(r"argon2id,m=([1-9]\d*),t=([1-9]\d*),p=([1-9]\d*),salt=([0-9a-f]{32})", re.ASCII)
ARGON_CAPS = (256 * 1024, 10, 16)
ARGON_FLOOR = (19 * 1024, 2, 1)
NO_FLOOR = (0, 0, 0)


class Refused(Exception):
    """`kind` is one of the words of engine/tests/vectors/README.md; `released` is what was verified before. `chunk` is
    the chunk that was refused, and `component` the component of a composite object; either may be unknown.
    """

    def __init__(self, kind, why, released=b"", chunk=None):
        super().__init__(f"{kind}: {why}")
        self.kind, self.released, self.chunk, self.component = kind, released, chunk, None


@dataclass
class Header:
    version: int
    core: bytes
    generation: int
    salt: bytes
    commitment: bytes
    context: list  # of (key, value), value None if supplied
    slots: list  # of (provider, key id, wrapped key)


@dataclass
class Reader:
    """What is offered to open an object: keys as ("raw", KEK), ("local", HEX32, KEK), ("passphrase", bytes),
    ("intermediate", KEK of raw).

    After the bytes of a passphrase may come another floor, after the key of intermediate ones the required scope.
    """

    keys: list
    rule: str = "exact"
    pairs: dict = field(default_factory=dict)


class Fields:
    """Takes fields off the front of bytes."""

    def __init__(self, data, kind="header"):
        self.data, self.at, self.kind = data, 0, kind

    def take(self, count):
        if len(self.data) - self.at < count:
            raise Refused(self.kind, "it ends early")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, size):
        return int.from_bytes(self.take(size), "big")

    def prefixed(self):
        return self.take(self.number(2))

    def text(self):
        try:
            return self.prefixed().decode()
        except UnicodeDecodeError:
            raise Refused(self.kind, "no UTF-8") from None


def prefixed(data):
    return struct.pack(">H", len(data)) + data


# Headers, sections 4 and 5.


def require(holds, why, kind="header"):
    if not holds:
        raise Refused(kind, why)


def parse_copy(copy):
    """One header copy, and the padding after it [H-2] to [H-5], [H-8]."""
    require(copy[:8] == MAGIC, "no sealstone object", "magic")
    require(len(copy) >= 9, "it ends before the version")
    require(copy[8] == 1, f"version {copy[8]}", "version")
    body, checksum = copy[:-32], copy[-32:]
    require(hashlib.sha256(body).digest() == checksum, "the checksum does not match")
    fields = Fields(body)
    fields.take(8)
    header = Header(fields.number(1), fields.take(3), fields.number(8), fields.take(24), fields.take(32), [], [])
    suite, log2, flags = header.core
    require(suite in SUITES and log2 in (14, 16, 18, 20) and flags in FLAGS, f"unknown core {header.core.hex()}")
    for _ in range(fields.number(2)):
        kind, key = fields.number(1), fields.text()
        require(kind < 2 and key, "a pair's kind or key")
        require(key != "sealstone:key", "the reserved key")
        header.context.append((key, None if kind else fields.text()))
    keys = [key.encode() for key, _ in header.context]
    require(keys == sorted(set(keys)) and len(keys) <= 256, "the order or number of pairs")
    for _ in range(fields.number(1)):
        header.slots.append((fields.text(), fields.text(), fields.prefixed()))
    require(1 <= len(header.slots) <= 16, "the number of slots")
    require(sum(slot[0] == "passphrase" for slot in header.slots) <= 1, "more than one passphrase")
    for provider, key_id, _ in header.slots:
        require(re.fullmatch("[a-z0-9-]{1,32}", provider), "a provider id")
        require(not re.search("[\0-\x1f\x7f-\x9f]", key_id), "a key id")
    require(not any(body[fields.at :]), "the padding is not zero")
    return header, len(body) - fields.at


def parse_attached(data):
    """[H-10]"""
    if len(data) < ATTACHED:
        require(data[:8] == MAGIC[: len(data)] and data, "no sealstone object", "magic")
        require(len(data) < 9 or data[8] == 1, "another version", "version")
        raise Refused("header", "it ends early")
    headers, refusals = [], []
    for copy in (data[:COPY], data[COPY:ATTACHED]):
        try:
            headers.append(parse_copy(copy)[0])
        except Refused as refused:
            refusals.append(refused)
    if not headers:
        raise refusals[0]
    return max(headers, key=lambda header: header.generation)


def parse_detached(data):
    """[H-6]"""
    require(len(data) <= 64 * 1024, "over 64 KiB")
    header, padding = parse_copy(data)
    require(padding == 0, "bytes after the slots")
    return header


def encode_fields(header):
    out = MAGIC + bytes([header.version]) + header.core + struct.pack(">Q", header.generation)
    out += header.salt + header.commitment + struct.pack(">H", len(header.context))
    for key, value in sorted(header.context, key=lambda pair: pair[0].encode()):
        out += bytes([value is None]) + prefixed(key.encode())
        out += b"" if value is None else prefixed(value.encode())
    out += bytes([len(header.slots)])
    for provider, key_id, wrapped in header.slots:
        out += prefixed(provider.encode()) + prefixed(key_id.encode()) + prefixed(wrapped)
    return out


def encode_attached(header):
    fields = encode_fields(header)
    fields += bytes(COPY - 32 - len(fields))
    return 2 * (fields + hashlib.sha256(fields).digest())


def encode_detached(header):
    fields = encode_fields(header)
    return fields + hashlib.sha256(fields).digest()


def canonical(context):
    """What wraps are bound to. `context` is a dict."""
    pairs = sorted((key.encode(), value.encode()) for key, value in context.items())
    return struct.pack(">H", len(pairs)) + b"".join(prefixed(key) + prefixed(value) for key, value in pairs)


def accepted_context(header, reader):
    """The object's context, if the reader's rule accepts it [C-4] to [C-6]."""
    stored, given = dict(header.context), reader.pairs
    alike = all(key in stored and stored[key] in (None, value) for key, value in given.items())
    whole = {key: given.get(key, value) for key, value in stored.items()}
    if reader.rule == "exact":
        alike = alike and set(stored) == set(given)
    require(alike and None not in whole.values(), "the context is another one", "context")
    return whole


# Wraps, section 6.


def xaes_256_gcm(key, nonce):
    """c2sp.org/XAES-256-GCM: the AES-256-GCM for this nonce, which then takes the nonce's second half."""
    block = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    zero = int.from_bytes(block.update(bytes(16)), "big")
    k1 = (zero << 1) & (2**128 - 1) ^ (0x87 if zero >> 127 else 0)
    halves = (b"\x00" + bytes([half]) + b"X\x00" + nonce[:12] for half in (1, 2))
    derived = b"".join(block.update((int.from_bytes(half, "big") ^ k1).to_bytes(16, "big")) for half in halves)
    return AESGCM(derived), nonce[12:]


def wrap_aad(provider, key_id, context, label=b"sealstone/wrap@v1", head=b""):
    return label + prefixed(provider.encode()) + prefixed(key_id.encode()) + head + canonical(context)


def wrap(kek, data_key, provider, key_id, context, nonce=None):
    """A nonce is passed only where the bytes must be reproducible [W-3]."""
    nonce = nonce or os.urandom(24)
    aead, short_nonce = xaes_256_gcm(kek, nonce)
    return nonce + aead.encrypt(short_nonce, data_key, wrap_aad(provider, key_id, context))


def open_wrap(kek, wrapped, aad):
    require(len(wrapped) == 72, "the length of a wrap", "unwrap")
    aead, short_nonce = xaes_256_gcm(kek, wrapped[:24])
    try:
        return aead.decrypt(short_nonce, wrapped[24:], aad)
    except InvalidTag:
        raise Refused("unwrap", "a wrap does not verify") from None


def unwrap(kek, wrapped, provider, key_id, context):
    return open_wrap(kek, wrapped, wrap_aad(provider, key_id, context))


def unwrap_intermediate(kek, wrapped, key_id, context, required=()):
    """[W-11] to [W-13], [W-18], with a raw key as the inner provider."""
    head, local = wrapped[:-72], wrapped[-72:]
    fields = Fields(head, "unwrap")
    scope = [fields.text() for _ in range(fields.number(1))]
    inner = fields.prefixed()
    sound = scope == sorted(set(scope), key=str.encode) and "" not in scope and "sealstone:key" not in scope
    require(sound and fields.at == len(head), "the head of an intermediate slot", "unwrap")
    require(all(key in context for key in scope), "the context lacks a pair of the scope", "unwrap")
    require(set(required) <= set(scope), "the scope lacks a key that is required", "unwrap")
    own = {**{key: context[key] for key in scope}, "sealstone:key": "intermediate@v1"}
    intermediate = unwrap(kek, inner, "raw", key_id.removeprefix("raw:"), own)
    return open_wrap(intermediate, local, wrap_aad("intermediate", key_id, context, b"sealstone/intermediate@v1", head))


def raw_key_id(kek):
    return hmac.new(kek, b"sealstone/raw-key-id@v1", "sha512").hexdigest()[:32]


def passphrase_key(passphrase, key_id, floor=ARGON_FLOOR):
    """[W-8] to [W-10], [W-16]"""
    match = PASSPHRASE_ID.fullmatch(key_id)
    require(match, f"no key id of a passphrase: {key_id}", "unwrap")
    cost = [int(number) for number in match.groups()[:3]]
    require(all(number <= cap for number, cap in zip(cost, ARGON_CAPS)), "over the caps", "unwrap")
    require(all(number >= least for number, least in zip(cost, floor)), "below the floor", "unwrap")
    memory, passes, lanes = cost
    salt = bytes.fromhex(match[4])
    kdf = Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory)
    return kdf.derive(passphrase)


def data_keys(header, context, reader):
    """For each slot that one of the reader's keys fits: the kind of refusal if its data key is another payload's (for a
    passphrase, that of a wrong one [W-17]), and a function that returns the data key or refuses.
    """
    for provider, key_id, wrapped in header.slots:
        for kind, *key in reader.keys:
            slot = (wrapped, provider, key_id, context)
            if (kind, provider) == ("raw", "raw") and key_id == raw_key_id(key[0]):
                yield "commitment", lambda kek=key[0], slot=slot: unwrap(kek, *slot)
            elif (kind, provider) == ("local", "local") and key_id.split("#")[-1] == key[0]:
                yield "commitment", lambda kek=key[1], slot=slot: unwrap(kek, *slot)
            elif (kind, provider) == ("passphrase", "passphrase"):
                yield "unwrap", lambda key=key, slot=slot: unwrap(passphrase_key(key[0], slot[2], *key[1:]), *slot)
            elif (kind, provider) == ("intermediate", "intermediate") and key_id == "raw:" + raw_key_id(key[0]):
                yield (
                    "commitment",
                    lambda key=key, slot=slot: unwrap_intermediate(key[0], slot[0], slot[2], slot[3], *key[1:]),
                )


# Payloads, sections 3 and 7.


def payload_context(core, label=OBJECT_LABEL):
    return label + core


class ChunkKeys:
    def __init__(self, data_key, core, salt, label=OBJECT_LABEL):
        aead, name = SUITES[core[0]]
        prefix = b"c2sp.org/chunked-encryption@v1+" if core[1] == 14 else b"sealstone/chunked@v1+"
        info = prefix + name + b"\0" + salt + payload_context(core, label)
        output = HKDFExpand(SHA512(), 76, info).derive(data_key)
        self.aead, self.base_nonce, self.commitment = aead(output[:32]), output[32:44], output[44:]

    def nonce(self, index):
        return (int.from_bytes(self.base_nonce, "big") ^ index).to_bytes(12, "big")

    def open(self, index, sealed):
        """[O-5] to [O-7]"""
        require(len(sealed) >= 16, "it ends without its final chunk", "truncated")
        try:
            return self.aead.decrypt(self.nonce(index), sealed, None)
        except InvalidTag:
            raise Refused("chunk", f"chunk {index} does not verify", chunk=index) from None


def seal_payload(plaintext, data_key, core, salt, label=OBJECT_LABEL):
    keys, size = ChunkKeys(data_key, core, salt, label), 1 << core[1]
    chunks = (plaintext[at * size : (at + 1) * size] for at in range(len(plaintext) // size + 1))
    return salt + keys.commitment + b"".join(keys.aead.encrypt(keys.nonce(i), c, None) for i, c in enumerate(chunks))


def unlock(header, reader):
    """The data key [O-1] to [O-3]."""
    context, refusal = accepted_context(header, reader), Refused("no-key", "no slot is of an offered key")
    for foreign, data_key in list(data_keys(header, context, reader))[:2]:
        try:
            key = data_key()
            commitment = ChunkKeys(key, header.core, header.salt).commitment
            require(hmac.compare_digest(commitment, header.commitment), "another data key", foreign)
            return key
        except Refused as refused:
            refusal = refused
        except ValueError as error:
            refusal = Refused("unwrap", str(error))
    raise refusal


def unlock_plain(header, reader):
    keys = ChunkKeys(unlock(header, reader), header.core, header.salt)
    require(header.core[2] == 0, "composite.py reads composite objects", "composite")
    return keys


def open_chunks(keys, size, chunks):
    """All chunks of a payload, after salt and commitment; `size` is the chunk size."""
    plaintext, size = b"", size + 16
    for index in range(len(chunks) // size + 1):
        try:
            plaintext += keys.open(index, chunks[index * size : (index + 1) * size])
        except Refused as refused:
            refused.released = plaintext
            raise
    return plaintext


def open_whole(header, payload, reader):
    keys = unlock_plain(header, reader)
    require(len(payload) >= PREFIX, "it ends in salt or commitment", "truncated")
    require(payload[:PREFIX] == header.salt + header.commitment, "of another payload", "payload")
    return open_chunks(keys, 1 << header.core[1], payload[PREFIX:])


def open_range(header, payload, reader, start, end):
    """[O-10], [O-11]; `end` may be None."""
    keys, size = unlock_plain(header, reader), 1 << header.core[1]
    last, rest = divmod(len(payload) - PREFIX, size + 16)
    require(len(payload) >= PREFIX and rest >= 16, "no plaintext has this sealed length", "truncated")

    def chunk(index):
        at = PREFIX + index * (size + 16)
        return keys.open(index, payload[at : at + size + 16])

    length = last * size + rest - 16
    if end is None or end >= length:
        chunk(last)
    end = length if end is None else end
    require(start <= end <= length, "past the end", "range")
    first, after = start // size, (end + size - 1) // size
    whole = b"".join(chunk(index) for index in range(first, after)) if start < end else b""
    return whole[start - first * size : end - first * size]


# The first vector of c2sp.org/XAES-256-GCM: the code above is right before it judges anything.
def check():
    aead, nonce = xaes_256_gcm(b"\x01" * 32, b"ABCDEFGHIJKLMNOPQRSTUVWX")
    sealed = aead.encrypt(nonce, b"XAES-256-GCM", None)
    if sealed.hex() != "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271":
        raise SystemExit("XAES-256-GCM here does not match its published vector")


check()
