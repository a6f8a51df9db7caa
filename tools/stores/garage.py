#!/usr/bin/env python3
"""EncryptedStore over Garage: three nodes with a copy of everything each, and a gateway that has none.

    garage.py [--kills N] [--seed N]

object_store's own suite passes wherever it passes over the bare store. Then programs write objects in parts and read them
while nodes are killed at random times and started again: first the nodes with copies, one at a time, by a program that
talks to the gateway, whose requests all succeed; then the node that the program itself talks to, whose requests may fail.
Nothing wrong or short is returned, and in the end what was acknowledged is read whole.
"""

import contextlib
import random
import re
import subprocess
import sys
import time

sys.path.append(f"{sys.path[0]}/..")

from cluster import Cluster
from common import ROOT, arguments, expect, lines_of, report, target

# Seconds between the moments when all nodes are up and when one is killed, and until it is started again.
UP, DOWN = (1, 6), (1, 5)


def main():
    options = arguments(__doc__, kills=20, seed=1)
    with Cluster(nodes=3) as cluster:
        suite(cluster)
        chance = random.Random(options.seed)
        others = kills("other_node_kills", cluster, cluster.gateway, cluster.nodes, chance, options)
        failed = others["uploads_failed"] + others["reads_failed"]
        expect(failed == 0, f"no request to a node that is up fails: {others}")
        own = kills("own_node_kills", cluster, cluster.nodes[0], cluster.nodes[:1], chance, options)
        expect(own["uploads_failed"] and own["reads_failed"], f"requests to a node that is down fail: {own}")


def proof(*options):
    """Cargo's command for the proof's tests."""
    manifest = ["--manifest-path", "integrations/object-store/proof/Cargo.toml"]
    directory = ["--target-dir", str(target() / "proof")]
    return ["cargo", "test", "--locked", *manifest, *directory, "--test", "proof", "--", "--nocapture", *options]


def suite(cluster):
    lines = lines_of(proof("integration::with_"), cluster.environment(cluster.gateway))
    passed = [int(found[1]) for line in lines if (found := re.search(r"test result: ok. (\d+) passed", line))]
    expect(passed and passed[0], "tests of object_store's suite ran")
    report("garage_suite", passed[0])


def kills(campaign, cluster, endpoint, victims, chance, options):
    """Kills the victims in turn while a program reads and writes; what that counted."""
    env = {**cluster.environment(endpoint), "SEALSTONE_SEED": str(options.seed)}
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(proof("--ignored", "kills::"), cwd=ROOT, env=env, text=True, **streams) as tests:
        # A program that has ended tells why below.
        with contextlib.suppress(BrokenPipeError):
            for number in range(options.kills):
                time.sleep(chance.uniform(*UP))
                victim = victims[number % len(victims)]
                victim.kill()
                tests.stdin.write("killed\n")
                tests.stdin.flush()
                time.sleep(chance.uniform(*DOWN))
                cluster.restart(victim)
        printed, _ = tests.communicate()
    print(printed, end="", flush=True)
    expect(tests.returncode == 0, f"{campaign}: expected exit code 0, got {tests.returncode}")
    tally = re.search("tally: (.*)", printed)
    expect(tally, f"{campaign}: the program counted")
    counts = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", tally[1])}
    for name in ("uploads_amid_kills", "reads_amid_kills", "verified"):
        expect(counts[name], f"{campaign}: {name}: {counts}")
    report(campaign, counts["uploads"] + counts["reads"], kills=options.kills, **counts)
    return counts


main()
