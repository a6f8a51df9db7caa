"""What the scripts of this repository share: arguments, child processes, cargo, results.

It is here because most of its users are. It needs the standard library only, so that each script runs under the
interpreter that has the script's own packages. Scripts elsewhere find it with `sys.path.append`.
"""

import argparse
import fnmatch
import functools
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
# Directories that are not the project's own, in a copy without git.
NOT_OURS = {".git", "target", "artifacts", "__pycache__"}


def parser(description):
    return argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)


def arguments(description, *positional, **options):
    """Parses the command line. The type of an option is that of its default; False makes a flag."""
    made = parser(description)
    for name in positional:
        made.add_argument(name)
    for name, default in options.items():
        kind = {"action": "store_true"} if default is False else {"type": type(default), "default": default}
        made.add_argument(f"--{name}", **kind)
    return made.parse_args()


def expect(holds, what):
    if not holds:
        raise SystemExit(f"does not hold: {what}")


def expect_equal(got, expected, what):
    expect(got == expected, f"{what}: expected {expected!r}, got {got!r}")


def failure(kinds, call, *arguments, **parameters):
    """The exception of these kinds that a call raises, or None."""
    try:
        call(*arguments, **parameters)
    except kinds as error:
        return error
    return None


def report(campaign, cases, **figures):
    """Prints the line that tools/reliability/run collects."""
    pairs = {"cases": cases, **figures}.items()
    print(f"campaign: {campaign} {' '.join(f'{name}={value}' for name, value in pairs)}", flush=True)


def spread(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def output(command, **options):
    """Standard output of a command that must succeed; its errors go where this script's go."""
    command = [str(word) for word in command]
    return subprocess.run(command, **{"cwd": ROOT, **options}, check=True, stdout=subprocess.PIPE, text=True).stdout


def lines_of(command, env):
    """Runs a command that must succeed, and returns its lines, which are printed as they come."""
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
    lines = []
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line)
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, command)
    return lines


def try_output(*command):
    """Standard output without surrounding space, empty if the command fails or is missing."""
    try:
        done = subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def files(pattern="*"):
    """The project's own files, relative to the root, in a checkout or in a copy without git."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", pattern]
    if listed := try_output(*command):
        return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    return [str(path) for path in found if not NOT_OURS & set(path.parts) and fnmatch.fnmatch(path.name, pattern)]


def metadata(*options):
    return json.loads(output(["cargo", "metadata", "--locked", "--format-version", "1", *options]))


@functools.cache
def target():
    return pathlib.Path(metadata("--no-deps")["target_directory"])


def build(*options, release=True):
    """Builds, and returns the paths of the programs by name."""
    profile = ["--release"] if release else []
    command = ["cargo", "build", "--locked", *profile, "--message-format=json-render-diagnostics", *options]
    messages = map(json.loads, output(command).splitlines())
    # With --benches, cargo also builds a program's own benchmarks, as an executable of the same name.
    programs = (m for m in messages if m.get("executable") and not m["profile"]["test"])
    return {m["target"]["name"]: pathlib.Path(m["executable"]) for m in programs}


def cargo_program(root, name, *options):
    """The path of a program of a registry, which cargo installs in a directory if it is missing."""
    program = root / "bin" / name
    if not program.exists():
        install = ["cargo", "install", "--quiet", "--debug", "--locked", "--root", str(root), name, *options]
        install += ["--config", "profile.dev.debug=false"]
        # In a separate target directory, away from what it will examine.
        subprocess.run(install, cwd=ROOT, env={**os.environ, "CARGO_TARGET_DIR": str(root / "build")}, check=True)
    return program


def environment(place, *packages):
    """The interpreter of a virtual environment with these packages, which is made if it is missing."""
    python = place / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    subprocess.run(install, check=True)
    return python


def isolated(home):
    """Environment variables under which sealstone finds no key ring of this machine."""
    kept = {name: value for name, value in os.environ.items() if name not in ("SEALSTONE_KEYRING", "XDG_CONFIG_HOME")}
    return {**kept, "HOME": str(home)}


def raw_key(path, key):
    """Writes a key file, and returns the option's value that names it."""
    path.write_bytes(key)
    path.chmod(0o600)
    return f"raw:file:{path}"


def processor():
    models = re.findall(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return models[0] if models else platform.processor() or platform.machine()


def replace_between(text, marks, new):
    """The text with something new between two marks, each of which it has exactly once."""
    before, rest = text.split(marks[0])
    _, after = rest.split(marks[1])
    return before + marks[0] + new + marks[1] + after


def read_json(path):
    return json.loads(path.read_text()) if path.exists() else {}


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")
