"""A run of cargo's tests as a campaign: how many passed."""

import re
import subprocess

from tree import ROOT


def run(name, command, env):
    print("$ " + " ".join(command), flush=True)
    done = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
    passed, failed = (sum(map(int, re.findall(rf"(\d+) {word}", done.stdout))) for word in ("passed", "failed"))
    print(f"campaign: {name} cases={passed} failed={failed}", flush=True)
    if done.returncode or not passed:
        print(done.stdout)
        raise SystemExit(f"{name}: exit {done.returncode}")
