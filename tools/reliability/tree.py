"""Where things are: the project's own files, in a checkout of git or in a copy of one, and cargo's target directory."""

import json
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
OTHERS = {".git", "target", "artifacts", "__pycache__"}
# The test files that are programs of their own. All others are modules of the program `suite`.
PROGRAMS = {"aws_kms", "forks", "hostile", "key_memory", "memory", "namespaces", "testkit"}


def files():
    """Paths relative to the root, as text."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode == 0:
        return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return [str(path) for path in found if not OTHERS & set(path.parts)]


def target():
    metadata = ["cargo", "metadata", "--locked", "--no-deps", "--format-version", "1"]
    told = subprocess.run(metadata, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return pathlib.Path(json.loads(told)["target_directory"])


def program(test):
    """The test program that has the test file of this name."""
    return test if test in PROGRAMS else "suite"


def copy_to(copy):
    """At one place, so that the next time only what changed is built."""
    for name in files():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        if not (copy / name).exists() or (copy / name).read_bytes() != (ROOT / name).read_bytes():
            shutil.copy(ROOT / name, copy / name)
