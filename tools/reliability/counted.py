"""A run of cargo's tests as a campaign: how many passed."""

import re
import subprocess

from tree import ROOT, program


def run(name, commands, env):
    total, faults = [0, 0], []
    for command in commands:
        print("$ " + " ".join(command), flush=True)
        done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
        found = [sum(map(int, re.findall(rf"(\d+) {word}", done.stdout))) for word in ("passed", "failed")]
        total = [before + more for before, more in zip(total, found)]
        if done.returncode or not found[0]:
            print(done.stdout)
            faults.append(f"exit {done.returncode}, {found[0]} passed: {' '.join(command)}")
    print(f"campaign: {name} cases={total[0]} failed={total[1]}", flush=True)
    if faults:
        raise SystemExit("\n".join(f"{name}: {fault}" for fault in faults))


def commands(cargo, tests):
    """Cargo's commands for the unit tests and the test files of these names."""
    own = [name for name in tests if program(name) == name]
    modules = [f"{name}::" for name in tests if program(name) != name]
    programs = [word for name in own for word in ("--test", name)]
    return [[*cargo, "--lib", *programs, "--"], [*cargo, "--test", "suite", "--", *modules]]
