"""Files to measure on."""

import contextlib
import filecmp
import os
import pathlib
import shutil
import tempfile

from .measure import Failed
from .settings import MIB


@contextlib.contextmanager
def scratch(directory, need):
    """A temporary directory with room for `need` bytes."""
    try:
        made = tempfile.TemporaryDirectory(prefix="sealstone-benches-", dir=directory)
    except OSError as error:
        raise Failed(f"{directory}: {error.strerror}") from error
    with made as name:
        place = pathlib.Path(name)
        free = shutil.disk_usage(place).free
        # For the small files next to those that are measured.
        need += 64 * MIB
        if free < need:
            raise Failed(f"{directory} has {free // MIB} MiB free, and {need // MIB} are needed")
        yield place


def random_file(path, size):
    with path.open("wb") as file:
        left = size
        while left > 0:
            left -= file.write(os.urandom(min(left, MIB)))
    return path


def sparse_file(path, size):
    """Zeros that occupy no space."""
    with path.open("wb") as file:
        file.truncate(size)
    return path


def remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def expect_same(tool, plain, opened):
    if not filecmp.cmp(plain, opened, shallow=False):
        raise Failed(f"{tool}: the decrypted file differs from the plaintext")


def flip_middle(path):
    """Flips a bit of the byte in the middle."""
    with path.open("r+b") as file:
        middle = path.stat().st_size // 2
        file.seek(middle)
        byte = file.read(1)[0]
        file.seek(middle)
        file.write(bytes([byte ^ 1]))
