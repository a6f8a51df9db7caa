#!/usr/bin/env python3
"""SIGKILL at random times: what is there afterwards is what was there before, or all of the new.

    kills.py SEALSTONE [--cases N] [--seed S]

SEALSTONE is the binary. Each case runs one command and kills it somewhere within the time that it takes.
"""

import argparse
import collections
import os
import pathlib
import random
import subprocess
import tempfile
import time

from place import DEADLINE, SCENARIOS, Place, Violation

LENGTH = 24_000_000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sealstone", type=pathlib.Path)
    parser.add_argument("--cases", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance, counts, wrong = random.Random(options.seed), collections.Counter(), []
    with tempfile.TemporaryDirectory() as directory:
        place = Place(str(options.sealstone.resolve()), directory, LENGTH, options.seed)
        durations = {scenario.name: duration(place, scenario) for scenario in SCENARIOS}
        for case in range(options.cases):
            scenario = SCENARIOS[case % len(SCENARIOS)]
            after = chance.uniform(0, durations[scenario.name] * 1.2)
            try:
                killed(place, scenario, after, counts)
            except Violation as violation:
                wrong.append(f"{scenario.name}, killed after {after * 1000:.1f} ms: {violation}")
                print(wrong[-1], flush=True)
    figures = " ".join(f"{key}={counts[key]}" for key in ("kills", "leftovers"))
    print(f"campaign: random_kills cases={options.cases} {figures} violations={len(wrong)}")
    if wrong or not counts["kills"]:
        raise SystemExit(f"{len(wrong)} violations, {counts['kills']} kills")


def duration(place, scenario):
    times = []
    for _ in range(3):
        place.reset()
        began = time.monotonic()
        start(place, scenario).communicate(timeout=DEADLINE)
        times.append(time.monotonic() - began)
    return sorted(times)[1]


def start(place, scenario):
    with open(place.path(scenario.source) if scenario.source else os.devnull, "rb") as stdin:
        return subprocess.Popen(
            scenario.command(place),
            cwd=place.directory,
            env=place.env,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )


def killed(place, scenario, after, counts):
    place.reset()
    process = start(place, scenario)
    try:
        place.printed, _ = process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        process.kill()
        place.printed, _ = process.communicate(timeout=DEADLINE)
    code = process.returncode
    counts["kills"] += code == -9
    scenario.check(place, code == 0, code == -9)
    counts["leftovers"] += len(place.left_over(scenario.targets))


main()
