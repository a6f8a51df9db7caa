#!/usr/bin/env python3
"""Clients that others wrote, against the gateway in front of a directory, with and without TLS.

    clients.py GATEWAY SEALSTONE [--only NAME]

`aws` and boto3 are those of the environment of this interpreter; rclone, s3fs and restic are the system's. After every way
to write, no file of the store has the plaintext in it, and the key service was asked with the context of the object.
"""

import pathlib
import sys
import tempfile
import time

sys.path += [f"{sys.path[0]}/..", f"{sys.path[0]}/../kms"]

import aws_command
import boto3_calls
import encryption_client
import programs
import sealstone_command
from common import expect, parser
from gateway import Gateway

# Name, what to run, and whether over TLS.
RUNS = [
    ("aws", aws_command.run, False),
    ("aws", aws_command.run, True),
    ("boto3", boto3_calls.run, False),
    ("boto3", boto3_calls.run, True),
    ("rclone", programs.rclone, False),
    ("rclone", programs.rclone, True),
    ("restic", programs.restic, True),
    ("s3fs", programs.s3fs, False),
    ("s3fs", programs.s3fs, True),
    ("encryption-client", encryption_client.run, False),
    ("sealstone", sealstone_command.run, False),
]


def main():
    made = parser(__doc__)
    made.add_argument("gateway")
    made.add_argument("sealstone")
    made.add_argument("--only", default="")
    options = made.parse_args()
    chosen = [run for run in RUNS if options.only in ("", run[0])]
    expect(chosen, f"--only names one of {', '.join(sorted({run[0] for run in RUNS}))}")
    sealstone_command.SEALSTONE = pathlib.Path(options.sealstone).resolve()
    for name, run, tls in chosen:
        began = time.monotonic()
        print(f"-- {name}{' over TLS' if tls else ''}", flush=True)
        # Without TLS it is for the command line, which has no option for a certificate.
        insecure = ["--allow-insecure-ssec"] if name == "sealstone" else []
        with Gateway(options.gateway, *insecure, tls=tls) as gateway, tempfile.TemporaryDirectory() as place:
            run(gateway, pathlib.Path(place))
            gateway.expect_no_secret()
        print(f"   {time.monotonic() - began:.0f} s", flush=True)


main()
