"""A directory with objects and keys, what is done there, and what must hold afterwards, whatever went wrong."""

import collections
import contextlib
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import tempfile
import time

from common import raw_key, report

# Seconds in which any of the commands ends.
DEADLINE = 60


class Violation(Exception):
    """What does not hold."""


def require(holds, what):
    if not holds:
        raise Violation(what)


class Campaign:
    """Counts what happens in many cases, and collects violations instead of stopping at the first."""

    def __init__(self, name):
        self.name, self.counts, self.violations = name, collections.Counter(), 0

    @contextlib.contextmanager
    def case(self, what):
        try:
            yield
        except (Violation, subprocess.TimeoutExpired) as violation:
            self.violations += 1
            print(f"{what}: {violation}", flush=True)

    def end(self, cases, figures, needed):
        """Reports, and fails after a violation, or if one of the needed counts is zero."""
        report(self.name, cases, **{name: self.counts[name] for name in figures}, violations=self.violations)
        if self.violations or not all(self.counts[name] for name in needed):
            raise SystemExit(f"{self.name}: {self.violations} violations, {dict(self.counts)}")


@contextlib.contextmanager
def at_place(sealstone, length, seed=1, mount=lambda directory: None):
    with tempfile.TemporaryDirectory() as directory:
        mount(directory)
        yield Place(str(pathlib.Path(sealstone).resolve()), directory, length, seed)


class Place:
    """A directory with a key ring, two raw keys, a file, its object, and an older file."""

    def __init__(self, sealstone, directory, length, seed):
        self.sealstone, self.directory = sealstone, pathlib.Path(directory)
        chance = random.Random(seed)
        self.plain = chance.randbytes(length)
        # What the last command wrote to standard output.
        self.printed = b""
        self.env = {"HOME": str(directory), "PATH": os.environ["PATH"], "SEALSTONE_KEYRING": str(self.path("ring"))}
        for name in ("one", "two"):
            raw_key(self.path(name), chance.randbytes(32))
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
        """Restores the files that were there at first."""
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

    def start(self, command, source=None, stdout=subprocess.PIPE):
        """The running process; `source` is a file for standard input."""
        with open(self.path(source) if source else os.devnull, "rb") as stdin:
            return subprocess.Popen(
                command, cwd=self.directory, env=self.env, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE
            )

    def run(self, command, source=None, stdout=subprocess.PIPE):
        """Exit code, output and error."""
        with self.start(command, source, stdout) as process:
            try:
                self.printed, error = process.communicate(timeout=DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return process.returncode, self.printed, error.decode(errors="replace")

    def duration(self, command, source=None):
        """Seconds, the median of three runs."""
        times = []
        for _ in range(3):
            self.reset()
            began = time.monotonic()
            self.run(command, source)
            times.append(time.monotonic() - began)
        return statistics.median(times)

    def ok(self, *words):
        code, _, error = self.run(self.command(*words))
        require(code == 0, f"{' '.join(words)}: exit {code}: {error}")

    def opens(self, name, key, *options):
        """Whether the object opens to the plaintext."""
        printed = self.printed
        code, out, _ = self.run(self.command("decrypt", "-q", "--key", key, *options, name, "-o", "-"))
        self.printed = printed
        return code == 0 and out == self.plain

    def data(self, name):
        path = self.path(name)
        return path.read_bytes() if path.exists() else None

    def left_over(self, expected):
        """Files that are neither kept nor expected."""
        usual = {*self.kept, *expected, "ring.lock"}
        return sorted(path.name for path in self.directory.iterdir() if path.name not in usual)

    def nothing_is_left_over(self, expected):
        require(not (left := self.left_over(expected)), f"left over: {left}")

    def kept_files_are_unchanged(self, but=()):
        for name, data in self.kept.items():
            require(name in but or self.data(name) == data, f"{name} is unchanged")


class Scenario:
    """A command, and what may be there after it succeeded, failed or was killed."""

    name = ""
    # The file that is standard input.
    source = None
    # Files that it may create or change.
    targets = ()
    # The command line, where @ stands before the name of a raw key.
    words = ()

    def command(self, place):
        return place.command(*(place.key(word[1:]) if word.startswith("@") else word for word in self.words))

    def check(self, place, done, killed=False):
        """Whether the work was done. Raises Violation; `done` says whether the command succeeded."""
        raise NotImplementedError


class Output(Scenario):
    """A command that creates or replaces one file: all of the new is there, or what was there before."""

    def __init__(self, name, words, key=None, target="new", source=None):
        self.name, self.words, self.key, self.source = name, (*words.split(), "-o", target), key, source
        self.targets = (target,)

    def check(self, place, done, killed=False):
        [target] = self.targets
        found, before = place.data(target), place.kept.get(target)
        require(found == before or self.is_whole(place, target), f"{target} is complete, or what was there before")
        require(found != before or not done, f"a successful command leaves the new {target}")
        place.kept_files_are_unchanged(but=self.targets)
        return found != before

    def is_whole(self, place, target):
        """An object for a key, or the plaintext."""
        return place.opens(target, place.key(self.key)) if self.key else place.data(target) == place.plain


class EncryptApart(Scenario):
    name = "encrypt with the header apart"
    targets = ("new", "head")
    words = "encrypt -q --key @one --header head plain -o new".split()

    def check(self, place, done, killed=False):
        there = [place.path(name).exists() for name in self.targets]
        whole = all(there) and place.opens("new", place.key("one"), "--header", "head")
        require(whole or not done, "a successful command leaves both")
        # A kill between the two leaves one of them.
        alone = killed and not all(there)
        require(whole or alone or not any(there), "both are there and belong together, or neither is")
        place.kept_files_are_unchanged()
        return whole


class Rewrap(Scenario):
    def __init__(self, name, *targets):
        self.name, self.targets = name, targets
        self.words = ("rewrap", "-q", "--key", "@one", "--to", "@two", *targets)

    def check(self, place, done, killed=False):
        require(place.opens(self.targets[0], "local:default"), "the slot that the command did not name opens")
        rewrapped = [self.is_rewrapped(place, name, done) for name in self.targets]
        require(all(rewrapped) or not done, "a successful command leaves objects that open with the new key")
        place.kept_files_are_unchanged(but=self.targets)
        return all(rewrapped)

    def is_rewrapped(self, place, name, done):
        first, second = (place.opens(name, place.key(key)) for key in ("one", "two"))
        # Where a kill leaves one copy of the header old and one new, either key opens it.
        require(first or second, f"{name} opens with the old key or the new one")
        require(not (done and first), f"after success the old key does not open {name} any more")
        require(place.data(name)[8192:] == place.kept[name][8192:], f"the payload of {name} is unchanged")
        return second


class Rotate(Scenario):
    name = "keys rotate"
    targets = ("ring",)
    words = "keys rotate -q default".split()

    def check(self, place, done, killed=False):
        require(place.opens("object", "local:default"), "the key ring has its old keys")
        changed = place.data("ring") != place.kept["ring"]
        require(changed or not done, "a successful command changes the ring")
        place.kept_files_are_unchanged(but=("ring",))
        return changed


class ToPipe(Scenario):
    """To standard output: whatever came out is a verified prefix."""

    def __init__(self, name, words, start=0):
        self.name, self.words, self.start = name, words.split(), start

    def check(self, place, done, killed=False):
        whole = place.plain[self.start :]
        require(whole.startswith(place.printed), "the output is a prefix of what was sealed")
        require(place.printed == whole or not done, "a successful command printed everything")
        place.kept_files_are_unchanged()
        return place.printed == whole


class NewKey(Rotate):
    name = "keys new"
    words = "keys new -q second".split()

    def check(self, place, done, killed=False):
        changed = super().check(place, done, killed)
        if changed:
            place.ok("encrypt", "-q", "--key", "local:second", "plain", "-o", "with-second")
            place.path("with-second").unlink()
        return changed


class NewRing(Scenario):
    name = "keys new, the first"
    targets = ("other-ring", "other-ring.lock")
    words = "keys new -q first --keyring other-ring".split()

    def check(self, place, done, killed=False):
        made = place.path("other-ring").exists()
        if made:
            place.ok("keys", "list", "--keyring", "other-ring")
        require(made or not done, "a successful command leaves the ring")
        place.kept_files_are_unchanged()
        return made


SCENARIOS = [
    Output("encrypt", "encrypt -q --key @one plain", key="one"),
    Output("encrypt standard input", "encrypt -q --key @one -", key="one", source="plain"),
    Output("encrypt over a file", "encrypt -q -f --key @one plain", key="one", target="old"),
    EncryptApart(),
    Output("decrypt", "decrypt -q --key @one object"),
    Output("decrypt standard input", "decrypt -q --key @one -", source="object"),
    Output("decrypt over a file", "decrypt -q -f --key @one object", target="old"),
    ToPipe("decrypt to a pipe", "decrypt -q --key @one object -o -"),
    ToPipe("cat a range", "cat --key @one --range 100000.. object", start=100_000),
    Output("rekey", "rekey -q --key @one --to @two object", key="two"),
    Rewrap("rewrap", "object"),
    Rewrap("rewrap of several", "object", "object-2", "object-3"),
    Rotate(),
    NewKey(),
    NewRing(),
]
