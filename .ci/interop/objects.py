"""Objects of the sealstone format, written from engine/FORMAT.md with Python's `cryptography` and nothing of sealstone.

Only payloads of the default suite and chunk size: they are Cobblestone-256 of c2sp.org/chunked-encryption, which
`cryptography` has. Keys of the providers `raw` and `passphrase`.
"""

import hashlib
import hmac
import os
import struct
from dataclasses import dataclass

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

MAGIC = bytes.fromhex("89535354 0d0a1a0a")
COPY = 4096
ATTACHED = 2 * COPY
CHUNK = 16 * 1024
STANDARD_CORE = bytes([1, 14, 0])


@dataclass
class Header:
    version: int
    core: bytes
    generation: int
    salt: bytes
    commitment: bytes
    context: list  # of (key, value), value None if supplied
    slots: list  # of (provider, key id, wrapped key)


class Fields:
    """Takes fields off the front of bytes."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if len(self.data) - self.at < count:
            raise ValueError("the header ends early")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, size):
        return int.from_bytes(self.take(size), "big")

    def prefixed(self):
        return self.take(self.number(2))


def prefixed(data):
    return struct.pack(">H", len(data)) + data


def parse_copy(copy):
    """One header copy, section 4."""
    body, checksum = copy[:-32], copy[-32:]
    if hashlib.sha256(body).digest() != checksum:
        raise ValueError("the checksum does not match")
    fields = Fields(body)
    if fields.take(8) != MAGIC:
        raise ValueError("no sealstone header")
    header = Header(fields.number(1), fields.take(3), fields.number(8), fields.take(24), fields.take(32), [], [])
    for _ in range(fields.number(2)):
        supplied = fields.number(1)
        key = fields.prefixed().decode()
        header.context.append((key, None if supplied else fields.prefixed().decode()))
    for _ in range(fields.number(1)):
        header.slots.append((fields.prefixed().decode(), fields.prefixed().decode(), fields.prefixed()))
    if any(body[fields.at :]):
        raise ValueError("the padding is not zero")
    return header


def parse_attached(data):
    """The attached header of an object just made, whose two copies are equal."""
    if data[:COPY] != data[COPY:ATTACHED]:
        raise ValueError("the two copies differ")
    return parse_copy(data[:COPY])


def encode_attached(header):
    out = MAGIC + bytes([header.version]) + header.core + struct.pack(">Q", header.generation)
    out += header.salt + header.commitment + struct.pack(">H", len(header.context))
    for key, value in sorted(header.context, key=lambda pair: pair[0].encode()):
        out += bytes([value is None]) + prefixed(key.encode())
        out += b"" if value is None else prefixed(value.encode())
    out += bytes([len(header.slots)])
    for provider, key_id, wrapped in header.slots:
        out += prefixed(provider.encode()) + prefixed(key_id.encode()) + prefixed(wrapped)
    out += bytes(COPY - 32 - len(out))
    return 2 * (out + hashlib.sha256(out).digest())


def payload_context(core):
    return b"sealstone/object@v1" + core


def canonical(context):
    """What wraps are bound to, section 5. `context` is a dict."""
    pairs = sorted((key.encode(), value.encode()) for key, value in context.items())
    return struct.pack(">H", len(pairs)) + b"".join(prefixed(key) + prefixed(value) for key, value in pairs)


def xaes_256_gcm(key, nonce):
    """c2sp.org/XAES-256-GCM: the AES-256-GCM for this nonce, which then takes the nonce's second half."""
    block = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    zero = int.from_bytes(block.update(bytes(16)), "big")
    k1 = (zero << 1) & (2**128 - 1) ^ (0x87 if zero >> 127 else 0)
    halves = (b"\x00" + bytes([half]) + b"X\x00" + nonce[:12] for half in (1, 2))
    derived = b"".join(block.update((int.from_bytes(half, "big") ^ k1).to_bytes(16, "big")) for half in halves)
    return AESGCM(derived), nonce[12:]


def wrap_aad(provider, key_id, context):
    return b"sealstone/wrap@v1" + prefixed(provider.encode()) + prefixed(key_id.encode()) + canonical(context)


def wrap(kek, data_key, provider, key_id, context):
    nonce = os.urandom(24)
    aead, short_nonce = xaes_256_gcm(kek, nonce)
    return nonce + aead.encrypt(short_nonce, data_key, wrap_aad(provider, key_id, context))


def unwrap(kek, wrapped, provider, key_id, context):
    aead, short_nonce = xaes_256_gcm(kek, wrapped[:24])
    return aead.decrypt(short_nonce, wrapped[24:], wrap_aad(provider, key_id, context))


def raw_key_id(kek):
    return hmac.new(kek, b"sealstone/raw-key-id@v1", "sha512").hexdigest()[:32]


def passphrase_key(passphrase, key_id):
    """The KEK of a key id `argon2id,m=..,t=..,p=..,salt=..`."""
    name, *parameters = key_id.split(",")
    values = dict(parameter.split("=") for parameter in parameters)
    if name != "argon2id" or list(values) != ["m", "t", "p", "salt"]:
        raise ValueError(f"no key id of a passphrase: {key_id}")
    kdf = Argon2id(
        salt=bytes.fromhex(values["salt"]),
        length=32,
        iterations=int(values["t"]),
        lanes=int(values["p"]),
        memory_cost=int(values["m"]),
    )
    return kdf.derive(passphrase)


def open_payload(payload, data_key, context):
    decryptor = Cobblestone256Decryptor(data_key, context=context)
    return decryptor.update(payload) + decryptor.finalize()


def seal_payload(plaintext, data_key, context):
    encryptor = Cobblestone256Encryptor(data_key, context=context)
    return encryptor.update(plaintext) + encryptor.finalize()


# The first vector of c2sp.org/XAES-256-GCM: the code above is right before it judges anything.
def check():
    aead, nonce = xaes_256_gcm(b"\x01" * 32, b"ABCDEFGHIJKLMNOPQRSTUVWX")
    sealed = aead.encrypt(nonce, b"XAES-256-GCM", None)
    if sealed.hex() != "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271":
        raise SystemExit("XAES-256-GCM here does not give its published vector")


check()
