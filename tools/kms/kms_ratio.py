#!/usr/bin/env python3
"""How many pairs of GenerateDataKey and Decrypt a second kms-mock answers, and moto's server beside it.

    kms_ratio.py KMS_CALLS [--turns N] [--seconds N]

KMS_CALLS is the program of that name of the benches, built for release: it has our mock inside. Every turn measures
both, one after the other: a shared machine drifts, and only the ratio carries over to others.
"""

import argparse
import re
import statistics
import subprocess

import boto3
from expect import expect, expect_equal
from servers import Moto

PAIRS = "GenerateDataKey+Decrypt"
# Of one measurement of three kinds of calls: a server that hangs must not block us forever.
LIMIT_SECONDS = 300
AIM_A_SECOND, AIM_TIMES_MOTO = 10_000, 20


def pairs_a_second(command, *options):
    done = subprocess.run([command, *map(str, options)], capture_output=True, text=True, timeout=LIMIT_SECONDS)
    expect_equal(done.returncode, 0, f"the exit code of {command} {options} ({done.stderr.strip()})")
    found = re.search(rf"^{re.escape(PAIRS)} +(\d+) a second", done.stdout, re.MULTILINE)
    expect(found, f"{command} says how many pairs: {done.stdout!r}")
    rate = int(found[1])
    expect(rate > 0, f"{command} {options} made calls: {done.stdout!r}")
    return rate


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kms_calls", help="the program that calls")
    parser.add_argument("--turns", type=int, default=5, help="turns, each of both servers [default: 5]")
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement [default: 3]")
    arguments = parser.parse_args()

    with Moto() as moto:
        # Keys are of a region: this is the one that kms-calls signs for.
        boto3.client("kms", region_name="us-east-1").create_key()
        ours, theirs = [], []
        for _ in range(arguments.turns):
            ours.append(pairs_a_second(arguments.kms_calls, "--seconds", arguments.seconds))
            theirs.append(pairs_a_second(arguments.kms_calls, "--seconds", arguments.seconds, "--endpoint", moto.url))
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    print(f"kms-mock: {statistics.median(ours):.0f} pairs a second (aim: {AIM_A_SECOND}), turns {ours}")
    print(f"moto's server: {statistics.median(theirs):.0f} pairs a second, turns {theirs}")
    print(f"ratio: {statistics.median(ratios):.1f} (aim: {AIM_TIMES_MOTO}), {min(ratios):.1f} to {max(ratios):.1f}")


if __name__ == "__main__":
    main()
