"""The benches that criterion runs in one process, as measurements of the record.

criterion leaves JSON in the target directory; groups are named `<bench>/<case>`, functions by their tool, and parameters are
`name=value` pairs.
"""

import json
import os
import subprocess

from common import ROOT, metadata, spread, target

from .measure import Failed

BENCHES = ("primitive", "throughput", "range", "small_objects", "rewrap")
# They need the default feature `kms`: compiling AWS's client takes longer than a quick run.
KMS_BENCHES = ("key_service",)
# Tool: its crate, and what it authenticates. Versions are those of the lock file.
CRATES = {
    "aws-lc-rs": ("aws-lc-rs", "AEAD"),
    "ring": ("ring", "AEAD"),
    "aes-gcm": ("aes-gcm", "AEAD"),
    "chacha20poly1305": ("chacha20poly1305", "AEAD"),
    "fast-floe": ("fast-floe", "AEAD per segment"),
    "cobblestone": ("cobblestone", "AEAD per 16 KiB chunk"),
    "age crate": ("age", "AEAD per 64 KiB chunk"),
    "aead-stream": ("aead-stream", "AEAD per chunk"),
    "sealstone": ("sealstone", "AEAD per chunk"),
    "sealstone (RustCrypto)": ("sealstone", "AEAD per chunk"),
}


def measure(settings):
    """Runs all of them, and returns the measurements of this run."""
    kept = target() / "criterion"
    # Absolute: cargo and criterion resolve a relative one differently.
    variables = dict(os.environ, CARGO_TARGET_DIR=str(kept.parent))
    if settings.quick:
        variables["SEALSTONE_BENCH_QUICK"] = "1"
    command = ["cargo", "bench", "--locked", "-p", "sealstone-benches"]
    benches = BENCHES if settings.quick else BENCHES + KMS_BENCHES
    if settings.quick:
        command.append("--no-default-features")
        for bench in KMS_BENCHES:
            settings.leave_out(bench, "not in a quick run")
    for bench in benches:
        command += ["--bench", bench]
    before = {path: path.stat().st_mtime_ns for path in kept.glob("**/new/sample.json")}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"cargo bench: exit {done.returncode}: {done.stderr[-2000:]}")
    samples = [path for path in sorted(kept.glob("**/new/sample.json")) if before.get(path) != path.stat().st_mtime_ns]
    if not samples:
        raise Failed(f"cargo bench left nothing in {kept}")
    found = [entry(path.parent) for path in samples]
    note_tools(settings, {measured["tool"] for measured in found})
    return found


def entry(directory):
    """The measurement in a directory of criterion's."""
    about = json.loads((directory / "benchmark.json").read_text())
    sample = json.loads((directory / "sample.json").read_text())
    # Nanoseconds of all iterations of a sample.
    seconds = [time / count / 1e9 for time, count in zip(sample["times"], sample["iters"], strict=True)]
    bench, _, case = about["group_id"].partition("/")
    parameters = parsed(about["value_str"])
    throughput = about["throughput"] or {}
    made = {
        "table": table(bench, parameters),
        "bench": bench,
        "case": case,
        "tool": about["function_id"],
        "parameters": parameters,
        "runs": len(seconds),
    }
    if "Bytes" in throughput:
        speeds = [throughput["Bytes"] / each for each in seconds]
        return made | {"unit": "bytes/s", **spread(speeds)}
    return made | {"unit": "s", **spread([each / throughput.get("Elements", 1) for each in seconds])}


def parsed(text):
    pairs = (pair.partition("=") for pair in text.split(","))
    return {name: int(value) if value.isdigit() else value for name, _, value in pairs}


def table(bench, parameters):
    if bench == "primitive":
        return "primitive"
    return "service" if "key service" in str(parameters.get("key", "")) else "library"


def note_tools(settings, names):
    versions = locked_versions()
    for name in sorted(names):
        crate, authenticates = CRATES[name]
        # The command of the same name may be noted already; the versions are the same.
        if name not in settings.tools:
            settings.used(name, versions[crate], "crate", crate, authenticates, "as given")


def locked_versions():
    """The version of each crate that the benches depend on."""
    found = metadata()
    by_id = {package["id"]: package for package in found["packages"]}
    benches = next(node for node in found["resolve"]["nodes"] if by_id[node["id"]]["name"] == "sealstone-benches")
    used = (by_id[dependency] for dependency in benches["dependencies"])
    return {package["name"]: package["version"] for package in used}
