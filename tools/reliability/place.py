"""A directory with objects and keys, what is done there, and what must hold afterwards, whatever went wrong."""

import os
import pathlib
import random
import shutil
import subprocess

# Seconds in which any of the commands ends.
DEADLINE = 60


class Violation(Exception):
    """What does not hold."""


def require(holds, what):
    if not holds:
        raise Violation(what)


class Place:
    """A directory of its own, with a key ring, two raw keys, a file, its object, and an older file."""

    def __init__(self, sealstone, directory, length, seed):
        self.sealstone, self.directory = sealstone, pathlib.Path(directory)
        chance = random.Random(seed)
        self.plain = chance.randbytes(length)
        # What the last command wrote to standard output.
        self.printed = b""
        self.env = {"HOME": str(directory), "PATH": os.environ["PATH"], "SEALSTONE_KEYRING": str(self.path("ring"))}
        for name in ("one", "two"):
            self.path(name).write_bytes(chance.randbytes(32))
            self.path(name).chmod(0o600)
        self.path("plain").write_bytes(self.plain)
        self.path("old").write_bytes(b"what was there")
        self.ok("keys", "new", "default")
        self.ok("encrypt", "-q", "--key", self.key("one"), "--key", "local:default", "plain", "-o", "object")
        for name in ("object-2", "object-3"):
            shutil.copyfile(self.path("object"), self.path(name))
        self.kept = {path.name: path.read_bytes() for path in self.directory.iterdir()}

    def path(self, name):
        return self.directory / name

    def key(self, name):
        return f"raw:file:{self.path(name)}"

    def reset(self):
        """As it was at first."""
        for path in self.directory.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in self.kept:
                path.unlink()
        for name, data in self.kept.items():
            if not self.path(name).exists() or self.path(name).read_bytes() != data:
                self.path(name).unlink(missing_ok=True)
                self.path(name).write_bytes(data)
                self.path(name).chmod(0o600)

    def command(self, *words):
        return [self.sealstone, *words]

    def run(self, command, source=None):
        """Exit code, output and error; `source` is a file for standard input."""
        with open(self.path(source) if source else os.devnull, "rb") as stdin:
            done = subprocess.run(
                command, cwd=self.directory, env=self.env, stdin=stdin, capture_output=True, timeout=DEADLINE
            )
        self.printed = done.stdout
        return done.returncode, done.stdout, done.stderr.decode(errors="replace")

    def ok(self, *words):
        code, _, told = self.run(self.command(*words))
        require(code == 0, f"{' '.join(words)}: exit {code}: {told}")

    def opens(self, name, key, *options):
        """Whether the object opens to the plaintext."""
        words = ["decrypt", "-q", "--key", key, *options, name, "-o", "-"]
        printed = self.printed
        code, out, _ = self.run(self.command(*words))
        self.printed = printed
        return code == 0 and out == self.plain

    def data(self, name):
        path = self.path(name)
        return path.read_bytes() if path.exists() else None

    def left_over(self, expected):
        """Files that are neither kept nor expected."""
        usual = {*self.kept, *expected, "ring.lock"}
        return sorted(path.name for path in self.directory.iterdir() if path.name not in usual)

    def kept_files_are_as_they_were(self, but=()):
        for name, data in self.kept.items():
            require(name in but or self.data(name) == data, f"{name} is as it was")


class Scenario:
    """A command, and what may be there when it ended: by itself, with an error, or killed."""

    name = ""
    # Standard input, a file of the place.
    source = None
    # Names that it may make or change.
    targets = ()

    def command(self, place):
        raise NotImplementedError

    def check(self, place, done, killed=False):
        """Whether it did its work. Raises Violation; `done` says whether it ended well."""
        raise NotImplementedError


class Output(Scenario):
    """A command that makes one file, or replaces it: all of the new is there, or what was there before."""

    def __init__(self, name, words, key=None, target="new", source=None):
        self.name, self.words, self.key, self.targets, self.source = name, words, key, (target,), source

    def command(self, place):
        words = (place.key(word[1:]) if word.startswith("@") else word for word in self.words)
        return place.command(*words, "-o", self.targets[0])

    def check(self, place, done, killed=False):
        [target] = self.targets
        found, before = place.data(target), place.kept.get(target)
        require(found == before or self.is_whole(place, target), f"{target} is whole, or what was there before")
        require(found != before or not done, f"it ended well, and {target} is the new one")
        place.kept_files_are_as_they_were(but=self.targets)
        return found != before

    def is_whole(self, place, target):
        """An object for a key, or the plaintext."""
        return place.opens(target, place.key(self.key)) if self.key else place.data(target) == place.plain


class EncryptApart(Scenario):
    name = "encrypt with the header apart"
    targets = ("new", "head")

    def command(self, place):
        return place.command("encrypt", "-q", "--key", place.key("one"), "--header", "head", "plain", "-o", "new")

    def check(self, place, done, killed=False):
        there = [place.path(name).exists() for name in self.targets]
        whole = all(there) and place.opens("new", place.key("one"), "--header", "head")
        require(whole or not done, "it ended well, and both are there")
        # A kill between the two leaves one of them.
        alone = killed and not all(there)
        require(whole or alone or not any(there), "both are there and belong together, or neither is")
        place.kept_files_are_as_they_were()
        return whole


class Rewrap(Scenario):
    name = "rewrap"
    targets = ("object",)

    def command(self, place):
        return place.command("rewrap", "-q", "--key", place.key("one"), "--to", place.key("two"), "object")

    def check(self, place, done, killed=False):
        first, second = (place.opens("object", place.key(name)) for name in ("one", "two"))
        require(place.opens("object", "local:default"), "the slot that nobody named opens")
        # Where a kill leaves one copy of the header old and one new, either key opens it.
        require(first or second, "the object opens by the old key or the new one")
        require(not (done and first), "it ended well, and the old key does not open the object any more")
        require(second or not done, "it ended well, and opens by the new key")
        require(place.data("object")[8192:] == place.kept["object"][8192:], "the payload is as it was")
        place.kept_files_are_as_they_were(but=("object",))
        return second


class Rotate(Scenario):
    name = "keys rotate"
    targets = ("ring",)

    def command(self, place):
        return place.command("keys", "rotate", "-q", "default")

    def check(self, place, done, killed=False):
        require(place.opens("object", "local:default"), "the key ring has its old keys")
        changed = place.data("ring") != place.kept["ring"]
        require(changed or not done, "it ended well, and the ring has changed")
        place.kept_files_are_as_they_were(but=("ring",))
        return changed


class RewrapMany(Scenario):
    name = "rewrap of several"
    targets = ("object", "object-2", "object-3")

    def command(self, place):
        return place.command("rewrap", "-q", "--key", place.key("one"), "--to", place.key("two"), *self.targets)

    def check(self, place, done, killed=False):
        news = []
        for name in self.targets:
            first, second = (place.opens(name, place.key(key)) for key in ("one", "two"))
            require(first or second, f"{name} opens by the old key or the new one")
            require(not (done and first), f"it ended well, and the old key does not open {name} any more")
            news.append(second)
        require(all(news) or not done, "it ended well, and all open by the new key")
        place.kept_files_are_as_they_were(but=self.targets)
        return all(news)


class ToPipe(Scenario):
    """To standard output: whatever came out is a verified beginning."""

    def __init__(self, name, words, start=0):
        self.name, self.words, self.start = name, words, start

    def command(self, place):
        return place.command(*(place.key(word[1:]) if word.startswith("@") else word for word in self.words))

    def check(self, place, done, killed=False):
        whole = place.plain[self.start :]
        require(whole.startswith(place.printed), "what came out is a beginning of what was sealed")
        require(place.printed == whole or not done, "it ended well, and all came out")
        place.kept_files_are_as_they_were()
        return place.printed == whole


class NewKey(Rotate):
    name = "keys new"

    def command(self, place):
        return place.command("keys", "new", "-q", "second")

    def check(self, place, done, killed=False):
        changed = super().check(place, done, killed)
        if changed:
            place.ok("encrypt", "-q", "--key", "local:second", "plain", "-o", "with-second")
            place.path("with-second").unlink()
        return changed


class NewRing(Scenario):
    name = "keys new, the first"
    targets = ("other-ring", "other-ring.lock")

    def command(self, place):
        return place.command("keys", "new", "-q", "first", "--keyring", "other-ring")

    def check(self, place, done, killed=False):
        made = place.path("other-ring").exists()
        if made:
            place.ok("keys", "list", "--keyring", "other-ring")
        require(made or not done, "it ended well, and the ring is there")
        place.kept_files_are_as_they_were()
        return made


# @ stands before the name of a raw key.
SCENARIOS = [
    Output("encrypt", ("encrypt", "-q", "--key", "@one", "plain"), key="one"),
    Output("encrypt standard input", ("encrypt", "-q", "--key", "@one", "-"), key="one", source="plain"),
    Output("encrypt over a file", ("encrypt", "-q", "-f", "--key", "@one", "plain"), key="one", target="old"),
    EncryptApart(),
    Output("decrypt", ("decrypt", "-q", "--key", "@one", "object")),
    Output("decrypt standard input", ("decrypt", "-q", "--key", "@one", "-"), source="object"),
    Output("decrypt over a file", ("decrypt", "-q", "-f", "--key", "@one", "object"), target="old"),
    ToPipe("decrypt to a pipe", ("decrypt", "-q", "--key", "@one", "object", "-o", "-")),
    ToPipe("cat a range", ("cat", "--key", "@one", "--range", "100000..", "object"), start=100_000),
    Output("rekey", ("rekey", "-q", "--key", "@one", "--to", "@two", "object"), key="two"),
    Rewrap(),
    RewrapMany(),
    Rotate(),
    NewKey(),
    NewRing(),
]
