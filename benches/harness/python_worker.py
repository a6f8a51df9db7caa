"""Seals and opens in memory with a Python package, and prints what that took, as JSON.

    python_worker.py PACKAGE BYTES TURNS

The interpreter's environment has the packages. Times are seconds of one thread. The last step opens an object with one bit
flipped in its middle byte.
"""

import io
import json
import logging
import os
import sys
import time

CHUNK = 64 * 1024
STREAM = 1024 * 1024


class Tink:
    """Streaming AEAD, AES256-GCM-HKDF in segments of 1 MiB."""

    def __init__(self):
        import tink
        from tink import streaming_aead

        streaming_aead.register()
        template = streaming_aead.streaming_aead_key_templates.AES256_GCM_HKDF_1MB
        self.primitive = tink.new_keyset_handle(template).primitive(streaming_aead.StreamingAead)

    def seal(self, plain):
        # Closing the stream closes what it writes to.
        sealed = Kept()
        with self.primitive.new_encrypting_stream(sealed, b"benches") as stream:
            for at in range(0, len(plain), STREAM):
                stream.write(plain[at : at + STREAM])
        return sealed.bytes

    def open(self, sealed, pieces):
        with self.primitive.new_decrypting_stream(io.BytesIO(sealed), b"benches") as stream:
            while piece := stream.read(STREAM):
                pieces.append(piece)


class Kept(io.BytesIO):
    """Keeps its bytes when it is closed."""

    def close(self):
        self.bytes = self.getvalue()
        super().close()


class AwsEncryptionSdk:
    """A raw AES keyring; frames of 4 KiB, AES-256-GCM with key commitment, its default, without its signature."""

    def __init__(self):
        import aws_encryption_sdk as sdk
        from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders, config, models

        # It logs every refusal with a trace; here one is expected.
        logging.disable(logging.ERROR)
        providers = AwsCryptographicMaterialProviders(config=config.MaterialProvidersConfig())
        raw = models.CreateRawAesKeyringInput(
            key_namespace="benches",
            key_name="benches",
            wrapping_key=os.urandom(32),
            wrapping_alg=models.AesWrappingAlg.ALG_AES256_GCM_IV12_TAG16,
        )
        self.keyring = providers.create_raw_aes_keyring(input=raw)
        self.algorithm = sdk.Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
        self.client = sdk.EncryptionSDKClient()

    def seal(self, plain):
        options = {"keyring": self.keyring, "algorithm": self.algorithm}
        return self.client.encrypt(source=plain, **options)[0]

    def open(self, sealed, pieces):
        with self.client.stream(source=io.BytesIO(sealed), mode="d", keyring=self.keyring) as stream:
            while piece := stream.read(STREAM):
                pieces.append(piece)


class PyNacl:
    """libsodium's secretstream, XChaCha20-Poly1305, in messages of 64 KiB."""

    def __init__(self):
        from nacl import bindings

        self.nacl = bindings
        self.key = bindings.crypto_secretstream_xchacha20poly1305_keygen()

    def seal(self, plain):
        nacl = self.nacl
        final = nacl.crypto_secretstream_xchacha20poly1305_TAG_FINAL
        between = nacl.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
        state = nacl.crypto_secretstream_xchacha20poly1305_state()
        parts = [nacl.crypto_secretstream_xchacha20poly1305_init_push(state, self.key)]
        for at in range(0, len(plain), CHUNK):
            last = at + CHUNK >= len(plain)
            tag = final if last else between
            message = plain[at : at + CHUNK]
            parts.append(nacl.crypto_secretstream_xchacha20poly1305_push(state, message, None, tag))
        return b"".join(parts)

    def open(self, sealed, pieces):
        nacl = self.nacl
        state = nacl.crypto_secretstream_xchacha20poly1305_state()
        at = nacl.crypto_secretstream_xchacha20poly1305_HEADERBYTES
        step = CHUNK + nacl.crypto_secretstream_xchacha20poly1305_ABYTES
        nacl.crypto_secretstream_xchacha20poly1305_init_pull(state, sealed[:at], self.key)
        tag = None
        while at < len(sealed):
            message, tag = nacl.crypto_secretstream_xchacha20poly1305_pull(state, sealed[at : at + step])
            pieces.append(message)
            at += step
        if tag != nacl.crypto_secretstream_xchacha20poly1305_TAG_FINAL:
            raise ValueError("the stream was cut")


class Cobblestone:
    """Cobblestone-256 of cryptography: AES-256-GCM in chunks of 16 KiB."""

    def __init__(self):
        from cryptography import cobblestone

        self.module, self.key = cobblestone, cobblestone.Cobblestone256Encryptor.generate_key()

    def seal(self, plain):
        encryptor = self.module.Cobblestone256Encryptor(self.key, b"benches")
        parts = [encryptor.update(plain[at : at + STREAM]) for at in range(0, len(plain), STREAM)]
        return b"".join([*parts, encryptor.finalize()])

    def open(self, sealed, pieces):
        decryptor = self.module.Cobblestone256Decryptor(self.key, b"benches")
        for at in range(0, len(sealed), STREAM):
            pieces.append(decryptor.update(sealed[at : at + STREAM]))
        pieces.append(decryptor.finalize())


PACKAGES = {
    "tink": Tink,
    "aws-encryption-sdk": AwsEncryptionSdk,
    "pynacl": PyNacl,
    "cryptography": Cobblestone,
}


def main(package, size, turns):
    tool = PACKAGES[package]()
    plain = os.urandom(size)
    seal_seconds, open_seconds = [], []
    for turn in range(turns + 1):
        start = time.perf_counter()
        sealed = tool.seal(plain)
        middle = time.perf_counter()
        pieces = []
        tool.open(sealed, pieces)
        end = time.perf_counter()
        if b"".join(pieces) != plain:
            raise SystemExit(f"{package}: what was opened is not what was sealed")
        # The first turn warms up.
        if turn > 0:
            seal_seconds.append(middle - start)
            open_seconds.append(end - middle)
    refused, unverified = open_damaged(tool, plain, sealed)
    print(json.dumps({"seal": seal_seconds, "open": open_seconds, "refused": refused, "unverified_bytes": unverified}))


def open_damaged(tool, plain, sealed):
    """Whether it was refused, and how many bytes came out at or after the first wrong one."""
    damaged = bytearray(sealed)
    damaged[len(damaged) // 2] ^= 1
    pieces, refused = [], False
    try:
        tool.open(bytes(damaged), pieces)
    # Each package has its own exceptions.
    except Exception:
        refused = True
    out = b"".join(pieces)
    if plain.startswith(out):
        return refused, 0
    return refused, len(out) - next(at for at, byte in enumerate(out) if at >= len(plain) or byte != plain[at])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
