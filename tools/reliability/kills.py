#!/usr/bin/env python3
"""SIGKILL at random times: afterwards the old state is there, or all of the new.

Each case runs one command and kills it at a random moment of its usual duration.
"""

import random
import subprocess
import sys

sys.path.append(f"{sys.path[0]}/..")

from common import arguments
from place import DEADLINE, SCENARIOS, Campaign, at_place

LENGTH = 24_000_000


def main():
    options = arguments(__doc__, "sealstone", cases=50, seed=1)
    chance, campaign = random.Random(options.seed), Campaign("random_kills")
    with at_place(options.sealstone, LENGTH, options.seed) as place:
        times = {scenario: place.duration(scenario.command(place), scenario.source) for scenario in SCENARIOS}
        for case in range(options.cases):
            scenario = SCENARIOS[case % len(SCENARIOS)]
            after = chance.uniform(0, times[scenario] * 1.2)
            with campaign.case(f"{scenario.name}, killed after {after * 1000:.1f} ms"):
                killed(place, scenario, after, campaign.counts)
    campaign.end(options.cases, ("kills", "leftovers"), needed=("kills",))


def killed(place, scenario, after, counts):
    place.reset()
    process = place.start(scenario.command(place), scenario.source)
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
