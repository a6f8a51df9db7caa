"""Cargo's tests: in which program each is, a run of them as a campaign, and a copy of the tree to break."""

import os
import re
import shutil
import subprocess

from common import ROOT, files, report

# The test files that are programs. All others are modules of the program `suite`.
PROGRAMS = {"aws_kms", "forks", "hostile", "key_memory", "memory", "namespaces", "testkit", "workers"}


def program(test):
    """The test program that has the test file of this name."""
    return test if test in PROGRAMS else "suite"


def commands(cargo, tests):
    """Cargo's commands for the unit tests and the test files of these names."""
    programs = [word for name in tests if name in PROGRAMS for word in ("--test", name)]
    modules = [f"{name}::" for name in tests if name not in PROGRAMS]
    return [[*cargo, "--lib", *programs, "--"], [*cargo, "--test", "suite", "--", *modules]]


def run(name, commands, **environment):
    """Runs the tests as a campaign, whose cases are the tests that passed."""
    total, faults = {"passed": 0, "failed": 0}, []
    for command in commands:
        print("$ " + " ".join(command), flush=True)
        done = subprocess.run(command, cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, text=True)
        found = {word: sum(map(int, re.findall(rf"(\d+) {word}", done.stdout))) for word in total}
        total = {word: total[word] + found[word] for word in total}
        if done.returncode or not found["passed"]:
            print(done.stdout)
            faults.append(f"{name}: exit {done.returncode}, {found['passed']} passed: {' '.join(command)}")
    report(name, total["passed"], failed=total["failed"])
    if faults:
        raise SystemExit("\n".join(faults))


def copy_to(copy):
    """Copies the tree, always to the same place and only what changed, so that little is built again."""
    for name in files():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        if not (copy / name).exists() or (copy / name).read_bytes() != (ROOT / name).read_bytes():
            shutil.copy(ROOT / name, copy / name)
