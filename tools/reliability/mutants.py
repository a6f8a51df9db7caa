#!/usr/bin/env python3
"""Mutates the code that decides what is accepted, and says which mutants no test notices: a part of them at a time.

    mutants.py [--shard K/N] [--seed S]

.cargo/mutants.toml says which code and which tests. The whole takes hours; the S-th of 16 parts is taken unless another is
asked for. Those that survive are printed, and listed with reasons in survivors.md.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess

from tree import copy_to, target

SURVIVORS = pathlib.Path(__file__).resolve().parent / "survivors.md"
PARTS = 16
# A mutant was missed, or ran out of time: both are results.
RESULTS = (0, 2, 3)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shard", help="K/N, from 0/N")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    shard = options.shard or f"{(options.seed - 1) % PARTS}/{PARTS}"
    output = target() / "mutants"
    copy_to(output / "tree")
    # In the copy, one after another: then only what a mutant changes is built again.
    command = ["cargo", "mutants", "--in-place", "-p", "sealstone", "--shard", shard, "--output", output]
    command += ["--timeout", "120", "--no-times", "--colors", "never"]
    env = dict(os.environ, CARGO_TARGET_DIR=str(target()), CARGO_PROFILE_DEV_DEBUG="0")
    done = subprocess.run(command, cwd=output / "tree", env=env)
    if done.returncode not in RESULTS:
        raise SystemExit(f"cargo mutants: exit {done.returncode}")
    found = json.loads((output / "mutants.out" / "outcomes.json").read_text())
    unknown = unlisted((output / "mutants.out" / "missed.txt").read_text().splitlines())
    names = {"caught": "caught", "missed": "missed", "timeout": "timed_out", "unviable": "unviable"}
    figures = " ".join(f"{told}={found[name]}" for name, told in names.items())
    print(f"campaign: mutants cases={found['total_mutants']} {figures} without_a_reason={len(unknown)}")
    if unknown:
        raise SystemExit("survivors that survivors.md does not list:\n" + "\n".join(unknown))


def unlisted(missed):
    """Lines move, so what counts is the file and what was replaced there."""
    known = SURVIVORS.read_text()
    return [line for line in missed if re.sub(r":\d+:\d+:", ":", line) not in known]


main()
