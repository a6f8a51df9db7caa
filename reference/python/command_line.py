"""The command line, and objects made here for it."""

import pathlib
import subprocess

import objects
from common import expect, isolated


class CommandLine:
    def __init__(self, binary, directory):
        self.binary, self.directory, self.env = binary, pathlib.Path(directory), isolated(directory)

    def run(self, *arguments, code=0):
        done = subprocess.run([self.binary, *map(str, arguments)], env=self.env, capture_output=True)
        if done.returncode != code:
            command = " ".join(map(str, arguments))
            raise SystemExit(f"sealstone {command}: exit {done.returncode}, not {code}: {done.stderr.decode()}")

    def encrypt(self, plaintext, *options):
        source, sealed = self.directory / "plain", self.directory / "sealed"
        source.write_bytes(plaintext)
        self.run("encrypt", "-q", "-f", *options, source, "-o", sealed)
        return sealed.read_bytes()

    def decrypt(self, data, *options):
        sealed, opened = self.directory / "sealed", self.directory / "opened"
        sealed.write_bytes(data)
        self.run("decrypt", "-q", "-f", *options, sealed, "-o", opened)
        return opened.read_bytes()

    def refuses(self, data, *options):
        """Expects that the object is tampered with, and that no output is left."""
        sealed, opened = self.directory / "sealed", self.directory / "refused"
        sealed.write_bytes(data)
        self.run("decrypt", "-q", *options, sealed, "-o", opened, code=6)
        expect(not opened.exists(), "a refused object left no output")


def context_options(stored, supplied):
    options = [("--context", f"{key}={value}") for key, value in stored.items()]
    options += [("--context-supplied", f"{key}={value}") for key, value in supplied.items()]
    return [word for option in options for word in option]


def attached(payload, core, data_key, contexts, provider, key_id, kek):
    """An object of this payload, with one slot; `contexts` are the stored and the supplied pairs."""
    stored, supplied = contexts
    slot = (provider, key_id, objects.wrap(kek, data_key, provider, key_id, {**stored, **supplied}))
    pairs = [*stored.items(), *((key, None) for key in supplied)]
    return objects.encode_attached(objects.Header(1, core, 0, payload[:24], payload[24:56], pairs, [slot])) + payload
