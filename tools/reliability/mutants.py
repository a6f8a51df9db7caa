#!/usr/bin/env python3
"""Mutates the code that decides what is accepted, and lists the mutants that no test notices.

.cargo/mutants.toml names the code and the tests. All mutants take hours, so a run takes part S of 16, or the shard that is
given. It fails if a mutant survives that survivors.md does not explain.
"""

import os
import pathlib
import re
import subprocess
import sys

sys.path.append(f"{sys.path[0]}/..")

from cargo_tests import copy_to
from common import arguments, read_json, report, target

SURVIVORS = pathlib.Path(__file__).resolve().parent / "survivors.md"
PARTS = 16
# A missed mutant and one that timed out are results, too.
RESULTS = (0, 2, 3)


def main():
    options = arguments(__doc__, shard="", seed=1)
    shard = options.shard or f"{(options.seed - 1) % PARTS}/{PARTS}"
    output = target() / "mutants"
    copy_to(output / "tree")
    # In the copy, one after another: this builds only what a mutant changes.
    command = ["cargo", "mutants", "--in-place", "-p", "sealstone", "--shard", shard, "--output", output]
    command += ["--timeout", "120", "--no-times", "--colors", "never"]
    env = dict(os.environ, CARGO_TARGET_DIR=str(target()), CARGO_PROFILE_DEV_DEBUG="0")
    done = subprocess.run(command, cwd=output / "tree", env=env)
    if done.returncode not in RESULTS:
        raise SystemExit(f"cargo mutants: exit {done.returncode}")
    found = read_json(output / "mutants.out" / "outcomes.json")
    unknown = unlisted((output / "mutants.out" / "missed.txt").read_text().splitlines())
    figures = {"caught": found["caught"], "missed": found["missed"], "timed_out": found["timeout"]}
    report("mutants", found["total_mutants"], **figures, unviable=found["unviable"], without_a_reason=len(unknown))
    if unknown:
        raise SystemExit("survivors that survivors.md does not list:\n" + "\n".join(unknown))


def unlisted(missed):
    """Those that survivors.md does not have, by file and replacement, because lines move."""
    known = SURVIVORS.read_text()
    return [line for line in missed if re.sub(r":\d+:\d+:", ":", line) not in known]


main()
