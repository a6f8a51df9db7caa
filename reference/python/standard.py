"""A standard reader and writer: Cobblestone-256 of c2sp.org/chunked-encryption as `cryptography` has it.

It knows payloads of the default suite and chunk size, and nothing of sealstone.
"""

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor


def open_payload(payload, data_key, context):
    decryptor = Cobblestone256Decryptor(data_key, context=context)
    return decryptor.update(payload) + decryptor.finalize()


def seal_payload(plaintext, data_key, context):
    encryptor = Cobblestone256Encryptor(data_key, context=context)
    return encryptor.update(plaintext) + encryptor.finalize()
