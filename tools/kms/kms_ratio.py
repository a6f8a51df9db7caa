#!/usr/bin/env python3
"""How many pairs of GenerateDataKey and Decrypt kms-mock answers per second, and moto's server next to it.

KMS_CALLS is the benches' program of that name, built for release, which contains our mock. Every turn measures both, one
after the other: the speed of a shared machine drifts, and only the ratio is meaningful elsewhere.
"""

import re
import subprocess
import sys

sys.path.append(f"{sys.path[0]}/..")

import boto3
from common import arguments, expect, expect_equal, spread
from servers import Moto

PAIRS = "GenerateDataKey+Decrypt"
# For one measurement of three kinds of calls: a server that hangs must not block forever.
LIMIT_SECONDS = 300
AIM_A_SECOND, AIM_TIMES_MOTO = 10_000, 20


def pairs_per_second(command, *options):
    done = subprocess.run([command, *map(str, options)], capture_output=True, text=True, timeout=LIMIT_SECONDS)
    expect_equal(done.returncode, 0, f"the exit code of {command} {options} ({done.stderr.strip()})")
    found = re.search(rf"^{re.escape(PAIRS)} +(\d+) a second", done.stdout, re.MULTILINE)
    expect(found, f"{command} says how many pairs: {done.stdout!r}")
    rate = int(found[1])
    expect(rate > 0, f"{command} {options} made calls: {done.stdout!r}")
    return rate


def main():
    options = arguments(__doc__, "kms_calls", turns=5, seconds=3)
    with Moto() as moto:
        # Keys belong to a region; kms-calls signs for this one.
        boto3.client("kms", region_name="us-east-1").create_key()
        ours, theirs = [], []
        for _ in range(options.turns):
            ours.append(pairs_per_second(options.kms_calls, "--seconds", options.seconds))
            theirs.append(pairs_per_second(options.kms_calls, "--seconds", options.seconds, "--endpoint", moto.url))
    ratio = spread([mine / other for mine, other in zip(ours, theirs, strict=True)])
    print(f"kms-mock: {spread(ours)['median']:.0f} pairs a second (aim: {AIM_A_SECOND}), turns {ours}")
    print(f"moto's server: {spread(theirs)['median']:.0f} pairs a second, turns {theirs}")
    print(f"ratio: {ratio['median']:.1f} (aim: {AIM_TIMES_MOTO}), {ratio['min']:.1f} to {ratio['max']:.1f}")


main()
