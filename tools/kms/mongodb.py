#!/usr/bin/env python3
"""MongoDB's client-side encryption with keys of kms-mock, over TLS.

    mongodb.py KMS_MOCK

libmongocrypt writes the requests and parses the answers, as in every driver of MongoDB, and is strict about their form.
The key vault, normally a collection, is a list here.
"""

import os
import pathlib
import socket
import ssl
import sys
import tempfile

sys.path.append(f"{sys.path[0]}/..")

import boto3
import bson
from bson.binary import UUID_SUBTYPE, Binary
from common import expect, expect_equal, failure
from pymongocrypt.errors import MongoCryptError
from pymongocrypt.mongocrypt import MongoCryptOptions
from pymongocrypt.synchronous.explicit_encrypter import ExplicitEncrypter
from pymongocrypt.synchronous.state_machine import MongoCryptCallback
from servers import ACCOUNT_CREDENTIALS, REGION, Mock

ALGORITHM = "AEAD_AES_256_CBC_HMAC_SHA_512-Random"
TIMEOUT = 30


class Vault(MongoCryptCallback):
    """The driver's part: exchanges bytes with the key service for libmongocrypt, and stores data keys."""

    def __init__(self, trust):
        self.trust, self.data_keys, self.answers = trust, [], []

    def kms_request(self, kms_context):
        host, port = kms_context.endpoint.rsplit(":", 1)
        with socket.create_connection((host, int(port)), TIMEOUT) as plain:
            with self.trust.wrap_socket(plain, server_hostname=host) as protected:
                protected.sendall(kms_context.message)
                answer = b""
                while kms_context.bytes_needed > 0:
                    data = protected.recv(kms_context.bytes_needed)
                    expect(data, f"the answer is whole for libmongocrypt: {answer!r}")
                    answer += data
                    kms_context.feed(data)
        self.answers.append(answer)

    def fetch_keys(self, filter):
        yield from self.data_keys

    def insert_data_key(self, data_key):
        self.data_keys.append(bytes(data_key))
        return bson.decode(data_key)["_id"]

    def bson_encode(self, doc):
        return bson.encode(doc)

    def collection_info(self, database, filter):
        raise AssertionError("explicit encryption asks for no collection")

    mark_command = collection_info

    def close(self):
        pass


def encrypter(vault):
    """Like a program that has just started: without a cache."""
    credentials = {
        "accessKeyId": ACCOUNT_CREDENTIALS["AWS_ACCESS_KEY_ID"],
        "secretAccessKey": ACCOUNT_CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    }
    return ExplicitEncrypter(vault, MongoCryptOptions({"aws": credentials}))


def value(thing):
    return bson.encode({"v": thing})


def sealed_and_opened(vault, master_key):
    key_id = encrypter(vault).create_data_key("aws", master_key, key_alt_names=["photos"])
    expect_equal(key_id.subtype, UUID_SUBTYPE, "the data key has a UUID")
    [stored] = [bson.decode(key) for key in vault.data_keys]
    expect_equal(stored["masterKey"]["key"], master_key["key"], "the key of KMS in the data key's document")
    for form in ({"key_id": bytes(key_id)}, {"key_alt_name": "photos"}):
        sealed = encrypter(vault).encrypt(value("a secret"), ALGORITHM, **form)
        expect(isinstance(bson.decode(sealed)["v"], Binary) and b"a secret" not in sealed, "the value is sealed")
        expect_equal(bson.decode(encrypter(vault).decrypt(sealed)), {"v": "a secret"}, "the value, opened")
    return sealed


def main(binary):
    with tempfile.TemporaryDirectory() as directory:
        authority = pathlib.Path(directory) / "authority.pem"
        with Mock(binary, "--tls", "--tls-certificate", authority) as mock:
            os.environ["AWS_CA_BUNDLE"] = str(authority)
            kms = boto3.client("kms")
            arn = kms.create_key()["KeyMetadata"]["Arn"]
            print("boto3 over TLS, with the certificate as AWS_CA_BUNDLE")

            trust = ssl.create_default_context(cafile=authority)
            # As the strictest clients do.
            trust.verify_flags |= ssl.VERIFY_X509_STRICT
            vault = Vault(trust)
            port = mock.url.rsplit(":", 1)[1]
            # It refuses names without a dot, such as localhost.
            master_key = {"region": REGION, "key": arn, "endpoint": f"127.0.0.1:{port}"}
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                vault.data_keys.clear()
                trust.minimum_version = trust.maximum_version = version
                sealed = sealed_and_opened(vault, master_key)
                print(f"libmongocrypt over {version.name}: data key made, a value sealed and opened")
            for answer in vault.answers:
                expect(b"\r\nContent-Length: " in answer, f"the header name that libmongocrypt looks for: {answer!r}")

            kms.disable_key(KeyId=arn)
            message = str(failure(MongoCryptError, encrypter(vault).decrypt, sealed))
            expect("DisabledException" in message or "status=400" in message, f"why it is refused: {message}")
            kms.enable_key(KeyId=arn)
            encrypter(vault).decrypt(sealed)
            print("a disabled key is refused")

            stranger = Vault(ssl.create_default_context())
            error = failure(ssl.SSLCertVerificationError, encrypter(stranger).create_data_key, "aws", master_key)
            expect(error, "a client that does not trust the certificate does not connect")
            print("a client that does not trust the certificate does not connect")

            events = mock.events()
            versions = {event["tlsDetails"].get("tlsVersion") for event in events}
            expect(versions == {"TLSv1.2", "TLSv1.3"}, f"the versions of TLS in the audit log: {versions}")
            names = [event["eventName"] for event in events]
            expect(names.count("Encrypt") == 2 and "Decrypt" in names, f"what libmongocrypt called: {names}")


main(*sys.argv[1:])
