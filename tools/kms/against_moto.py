#!/usr/bin/env python3
"""Runs a command against moto's server, another mock of AWS.

    against_moto.py COMMAND...

The command finds the server's address in SEALSTONE_TEST_KMS_ENDPOINT.
"""

import os
import subprocess
import sys

sys.path.append(f"{sys.path[0]}/..")

from common import expect
from servers import Moto


def main(*command):
    with Moto() as moto:
        # The user's home, where cargo keeps its files.
        environment = {**os.environ, "HOME": moto.outside["HOME"], "SEALSTONE_TEST_KMS_ENDPOINT": moto.url}
        done = subprocess.run(command, env=environment)
        expect(done.returncode == 0, f"{' '.join(command)}: expected exit code 0, got {done.returncode}")
        calls = sum('"POST / ' in line for line in list(moto.lines))
        expect(calls, "the command called moto")
        print(f"moto answered {calls} calls")


main(*sys.argv[1:])
