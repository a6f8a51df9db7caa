"""The gateway on a free local port, in front of a directory, with the key service that it has built in."""

import datetime
import hashlib
import ipaddress
import json
import os
import pathlib
import tempfile

from common import expect
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from servers import ACCOUNT_CREDENTIALS, Server

REGION = "us-east-1"
KMS_KEY = "alias/demo"
# Its copies are found in whatever is stored in the clear.
KNOWN = b"known plaintext: "


class Gateway(Server):
    """`with` starts it, and clients in the block find it through the environment."""

    def __init__(self, binary, *options, tls=False, other_keys=()):
        self.outer = tempfile.TemporaryDirectory()
        self.place = pathlib.Path(self.outer.name)
        self.store, self.ring, self.kms = self.place / "store", self.place / "ring.json", self.place / "kms"
        self.access_log, self.authority = self.place / "access.jsonl", None
        keys = self.place / "access-keys"
        pairs = [tuple(ACCOUNT_CREDENTIALS.values()), *other_keys]
        keys.write_text("".join(f"{name}:{secret}\n" for name, secret in pairs))
        keys.chmod(0o600)
        command = [binary, "--listen", "127.0.0.1:0", "--region", REGION, "--store", self.store, "--access-keys", keys]
        command += ["--keyring", self.ring, "--kms-mock", self.kms, "--access-log", self.access_log, *options]
        if tls:
            self.authority = self.place / "chain.pem"
            command += ["--tls-cert", self.authority, "--tls-key", certificate(self.authority)]
        self.events_taken, self.scanned = 0, {}
        super().__init__(command, r"^listening on (https?://\S+)", r"^kms-mock on (http://\S+)")

    def __exit__(self, *failure):
        super().__exit__(*failure)
        self.outer.cleanup()

    @property
    def port(self):
        return int(self.url.rsplit(":", 1)[1])

    @property
    def kms_url(self):
        return self.addresses[1]

    def environment(self):
        own = {"AWS_ENDPOINT_URL_S3": self.url, "AWS_ENDPOINT_URL_KMS": self.kms_url}
        own |= {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
        if self.authority:
            own["AWS_CA_BUNDLE"] = str(self.authority)
        return {**super().environment(), **own}

    def sealed(self, bucket, key):
        """The file of an object, if no character of its key has to be escaped."""
        return self.store / bucket / f"{key}.sealstone"

    def take_events(self):
        """What the key service was asked since the last time: the events of its audit log."""
        path = self.kms / "audit.jsonl"
        events = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        taken, self.events_taken = events[self.events_taken :], len(events)
        return taken

    def requests(self):
        return [json.loads(line) for line in self.access_log.read_text().splitlines()]

    def expect_sealed(self, what, least=1):
        """That no file below the store has known plaintext, and that at least so many bytes were looked at."""
        looked_at = 0
        for path in self.store.rglob("*"):
            try:
                if not path.is_file():
                    continue
                facts = path.stat()
                state = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
                looked_at += facts.st_size
                if self.scanned.get(path) == state:
                    continue
                data = path.read_bytes()
            except FileNotFoundError:
                continue
            expect(KNOWN not in data, f"{what}: no plaintext in {path.relative_to(self.store)}")
            self.scanned[path] = state
        expect(looked_at >= least, f"{what}: {least} bytes in the store to look at, got {looked_at}")

    def expect_no_secret(self, *secrets):
        """That neither log has any of these."""
        logs = self.access_log.read_text() + "\n".join(self.lines)
        for secret in [ACCOUNT_CREDENTIALS["AWS_SECRET_ACCESS_KEY"], *secrets]:
            expect(secret not in logs, "no log has a secret")


def certificate(path):
    """Writes a certificate for this machine that clients trust by itself; returns the path of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sealstone-gateway")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    usage = dict.fromkeys(["content_commitment", "key_encipherment", "data_encipherment", "key_agreement"], False)
    usage |= {"encipher_only": False, "decipher_only": False, "crl_sign": True}
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=True, **usage), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = path.with_suffix(".key")
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    private.write_bytes(key.private_bytes(*form))
    private.chmod(0o600)
    return private


def known_data(size):
    """This many bytes, no part of which compresses or repeats, with known text at the beginning of each KiB."""
    data = b"".join(KNOWN + os.urandom(1024 - len(KNOWN)) for _ in range(-(-size // 1024)))
    return data[:size]


def made_file(path, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(known_data(size))
    return path


def tree(directory):
    """The files below a directory by their relative names, each with its digest."""
    found = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).digest() for path in found}


def contexts(events, *names):
    """The encryption contexts of the calls of these operations that succeeded."""
    parameters = [event["requestParameters"] for event in events if event["eventName"] in names]
    return [each.get("encryptionContext") for each in parameters]


def arn(bucket, key):
    return f"arn:aws:s3:::{bucket}/{key}"
