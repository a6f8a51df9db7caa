"""Peers that are Python packages: in memory, one thread, each in a separate process.

They run in a separate environment, which --install makes in the tools directory.
"""

import functools
import json
import pathlib
import subprocess
from dataclasses import dataclass

from common import environment

from .measure import Failed, check_runs, spread
from .settings import MIB

WORKER = pathlib.Path(__file__).with_name("python_worker.py")
BYTES = 64 * MIB
QUICK_BYTES = 4 * MIB


@dataclass
class Package:
    # The name of the distribution, which the worker knows too.
    name: str
    requirements: tuple
    authenticates: str
    chunk_bytes: int

    @property
    def tool(self):
        return f"{self.name} (Python)"


PACKAGES = [
    Package("tink", ("tink",), "AEAD per 1 MiB segment", MIB),
    Package(
        "aws-encryption-sdk",
        ("aws-encryption-sdk>=4", "aws-cryptographic-material-providers>=1.11"),
        "AEAD per 4 KiB frame",
        4096,
    ),
    Package("pynacl", ("pynacl",), "AEAD per 64 KiB message", 64 * 1024),
    Package("cryptography", ("cryptography>=50",), "AEAD per 16 KiB chunk", 16 * 1024),
]


def measure(settings):
    found = []
    for package, result in results(settings):
        parameters = {"bytes": size(settings), "threads": 1, "chunk_bytes": package.chunk_bytes}
        for case in ("seal", "open"):
            found.append(spread("library", "python", case, package.tool, parameters, "s", result[case]))
    return found


def damage(settings):
    return [
        {
            "tool": package.tool,
            "refused": result["refused"],
            "exit": None,
            "unverified_bytes": result["unverified_bytes"],
            "output_left": False,
            "how": f"one bit flipped in the middle byte of an object of {size(settings) // MIB} MiB in memory, opened piece by "
            "piece; unverified: bytes returned at or after the first wrong one",
        }
        for package, result in results(settings)
    ]


def size(settings):
    return QUICK_BYTES if settings.quick else BYTES


def results(settings):
    """The result of the worker, for each package that is installed."""
    python = settings.tools_dir / "python" / "bin" / "python"
    found = []
    for package in PACKAGES:
        try:
            provide(package, python, settings.install)
            result = worker_result(python, package.name, size(settings), settings.peer_turns)
        except (Failed, OSError) as error:
            settings.leave_out(package.tool, str(error))
            continue
        version = result["version"]
        settings.used(package.tool, version, "python", f"PyPI {package.name}", package.authenticates, "1")
        found.append((package, result))
    return found


def provide(package, python, may_install):
    wanted = " ".join(package.requirements)
    if not may_install:
        if not python.exists():
            raise Failed(f"no environment with it; `--install` makes one with `pip install {wanted}`")
        return
    try:
        environment(python.parent.parent, *package.requirements)
    except subprocess.CalledProcessError as error:
        raise Failed(f"pip install {wanted}: exit {error.returncode}") from None


# The figures and the damage are of the same run.
@functools.cache
def worker_result(python, name, size, turns):
    version = check_runs(python, "-c", f"from importlib.metadata import version; print(version('{name}'))").strip()
    done = subprocess.run([python, WORKER, name, str(size), str(turns)], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{name}: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout) | {"version": version}
