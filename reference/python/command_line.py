"""The command line, run by other programs."""

import os
import subprocess


class CommandLine:
    def __init__(self, binary, directory):
        self.binary, self.directory = binary, directory
        # A home of its own: no key ring of the machine is read or made.
        self.env = {**os.environ, "HOME": str(directory)}
        self.env.pop("SEALSTONE_KEYRING", None)
        self.env.pop("XDG_CONFIG_HOME", None)

    def run(self, *arguments, expect=0):
        done = subprocess.run([self.binary, *map(str, arguments)], env=self.env, capture_output=True)
        if done.returncode != expect:
            command = " ".join(map(str, arguments))
            raise SystemExit(f"sealstone {command}: exit {done.returncode}, not {expect}: {done.stderr.decode()}")
        return done

    def encrypt(self, plaintext, *options):
        source, sealed = self.directory / "plain", self.directory / "sealed"
        source.write_bytes(plaintext)
        self.run("encrypt", "-q", "-f", *options, source, "-o", sealed)
        return sealed.read_bytes()

    def decrypt(self, data, *options, expect=0):
        sealed, opened = self.directory / "sealed", self.directory / "opened"
        sealed.write_bytes(data)
        opened.unlink(missing_ok=True)
        self.run("decrypt", "-q", *options, sealed, "-o", opened, expect=expect)
        if expect:
            require(not opened.exists(), "a refused object left no output")
            return None
        return opened.read_bytes()


def require(holds, what):
    if not holds:
        raise SystemExit(f"does not hold: {what}")


def context_options(stored, supplied):
    options = [("--context", f"{key}={value}") for key, value in stored.items()]
    options += [("--context-supplied", f"{key}={value}") for key, value in supplied.items()]
    return [word for option in options for word in option]
