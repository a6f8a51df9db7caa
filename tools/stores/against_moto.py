#!/usr/bin/env python3
"""Runs a command against moto's S3 server.

    against_moto.py COMMAND...

The command finds the server's address in SEALSTONE_TEST_S3_ENDPOINT. Its seconds and the server's requests are printed.
"""

import os
import subprocess
import sys
import time

sys.path += [f"{sys.path[0]}/..", f"{sys.path[0]}/../kms"]

from common import expect
from servers import Moto


def main(*command):
    with Moto() as moto:
        # The user's home, where cargo keeps its files.
        environment = {**os.environ, "HOME": moto.outside["HOME"], "SEALSTONE_TEST_S3_ENDPOINT": moto.url}
        began = time.monotonic()
        done = subprocess.run(command, env=environment)
        seconds = time.monotonic() - began
        expect(done.returncode == 0, f"{' '.join(command)}: expected exit code 0, got {done.returncode}")
        requests = sum(" HTTP/1.1" in line for line in list(moto.lines))
        expect(requests, "the command asked moto for something")
        print(f"{seconds:.0f} s, moto answered {requests} requests")


main(*sys.argv[1:])
