"""What a tool does with a sealed object in which one bit was flipped: does it refuse, and what came out before?

Counted as unverified are bytes that came out at or after the first that differs from the plaintext: nothing had checked
them. Only that is visible from outside. A tool that checks at the end has released more: everything before the flipped
bit, too.
"""

import os
import subprocess

from . import peers, programs
from .measure import Failed, check_runs
from .places import expect_same, flip_middle, random_file, remove, scratch
from .settings import MIB

BYTES = 64 * MIB
QUICK_BYTES = 8 * MIB
NOT_AUTHENTIC = 6
READ = 64 * 1024
HOW = (
    "one bit flipped in the middle byte of an object of {mib} MiB, decrypted to a pipe and to a file; "
    "unverified: bytes on the pipe at or after the first wrong one"
)


class OurTool(programs.Sealstone, peers.Peer):
    """sealstone, as a peer."""

    name = "sealstone"

    def to_pipe(self, sealed, plain):
        return self.decrypt(sealed, "-")


def damage(settings):
    size = QUICK_BYTES if settings.quick else BYTES
    with scratch(settings.dir, 4 * size) as place:
        plain = random_file(place / "plain", size)
        tools = [OurTool(settings, place), *peers.find(settings, place)]
        return [damage_row(tool, plain, place, size) for tool in tools]


def damage_row(tool, plain, place, size):
    sealed, opened = place / "sealed", place / "opened"
    tool.before_encrypt(sealed)
    try:
        check_runs(*tool.encrypt(plain, sealed), environment=tool.environment)
        check_runs(*tool.decrypt(sealed, opened), environment=tool.environment)
        expect_same(tool.name, plain, tool.opened_file(opened, plain))
        remove(opened)
        flip_middle(tool.object_file(sealed))
        status, unverified = decrypt_to_pipe(tool, sealed, plain)
        variables = {**os.environ, **tool.environment}
        command = [*map(str, tool.decrypt(sealed, opened))]
        to_file = subprocess.run(command, env=variables, stdin=subprocess.DEVNULL, capture_output=True)
        left = tool.opened_file(opened, plain).exists()
    finally:
        tool.close()
        tool.before_encrypt(sealed)
        remove(sealed)
        remove(opened)
    return {
        "tool": tool.name,
        "refused": status != 0 and to_file.returncode != 0,
        "exit": status,
        "unverified_bytes": unverified,
        "output_left": left,
        "how": HOW.format(mib=size // MIB),
    }


def decrypt_to_pipe(tool, sealed, plain):
    """The exit status, and how many bytes came out at or after the first wrong one."""
    command = [*map(str, tool.to_pipe(sealed, plain))]
    variables = {**os.environ, **tool.environment}
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=variables, **streams) as child, plain.open("rb") as expected:
        unverified = unverified_bytes(child.stdout, expected)
    return child.returncode, unverified


def unverified_bytes(stream, expected):
    """Reads a stream to its end; returns how many of its bytes are at or after the first unexpected one."""
    count, wrong = 0, False
    while piece := stream.read(READ):
        wanted = expected.read(len(piece))
        if not wrong and piece != wanted:
            wrong = True
            same = next((at for at, pair in enumerate(zip(piece, wanted)) if pair[0] != pair[1]), len(wanted))
            count += len(piece) - same
        elif wrong:
            count += len(piece)
    return count


def expect_refusal(settings, sealed, place):
    """Flips one bit of our object, and fails unless decrypt refuses it and leaves no file."""
    flip_middle(sealed)
    opened = place / "opened"
    command = [*map(str, OurTool(settings, place).decrypt(sealed, opened))]
    done = subprocess.run(command, stderr=subprocess.PIPE)
    if done.returncode != NOT_AUTHENTIC or opened.exists():
        raise Failed(f"one flipped bit in the middle: exit {done.returncode}, output left: {opened.exists()}")
