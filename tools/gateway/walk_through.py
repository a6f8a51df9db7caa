#!/usr/bin/env python3
"""Runs the commands of the gateway's page as they stand there: the gateway with a local key service, and the aws command.

    walk_through.py PAGE GATEWAY SEALSTONE

Three things differ: the gateway is one that has been built, its port is a free one, and its directory a temporary one. The
commands that open what it stored without it are run on objects of the tour.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path += [f"{sys.path[0]}/..", f"{sys.path[0]}/../kms"]

from common import expect, expect_equal
from pages import block, checked
from servers import Server

BUILT = "cargo run --release -p sealstone-s3-gateway --"
DIRECTORY, ADDRESS = "/tmp/sealstone-demo", "http://127.0.0.1:9000"


def replaced(text, *pairs):
    for old, new in pairs:
        expect(old in text, f"{old} is in {text!r}")
        text = text.replace(old, str(new))
    return text


def events(gateway):
    lines = [json.loads(line) for line in list(gateway.lines) if line.startswith("{")]
    return [line for line in lines if "eventName" in line], [line for line in lines if "operation" in line]


def main(page, program, sealstone):
    page = pathlib.Path(page).read_text()
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        store, home = place / "store", place / "home"
        home.mkdir()
        start = block(page, "gateway-server").strip()
        print(f"$ {start}")
        start = replaced(
            start, (BUILT, f"exec {pathlib.Path(program).resolve()} --listen 127.0.0.1:0"), (DIRECTORY, store)
        )
        # In a home directory without a key ring.
        environment = ["env", "-u", "SEALSTONE_KEYRING", "-u", "XDG_CONFIG_HOME", f"HOME={home}"]
        patterns = (r"^listening on (http://\S+)", r"^kms-mock on (http://\S+)")
        with Server([*environment, "bash", "-c", start], *patterns) as gateway:
            tour(gateway, page, store)
            opened_without(gateway, page, store, home, sealstone)


def run(commands):
    # First this interpreter's aws command; and nothing that the page exports itself.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment = {**kept, "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", checked(commands)], env=environment, stdout=subprocess.PIPE, text=True)
    print(done.stdout, end="")
    expect_equal(done.returncode, 0, "the exit code of the walk-through")
    return done.stdout


def tour(gateway, page, store):
    printed = run(replaced(block(page, "gateway"), (ADDRESS, gateway.url)))
    for member in ('"ServerSideEncryption": "aws:kms"', '"SSEKMSKeyId": "arn:aws:kms:'):
        expect(member in printed, f"head-object shows {member}")
    asked, requests = events(gateway)
    context = {"aws:s3:arn": "arn:aws:s3:::photos/note"}
    got = [(event["eventName"], event["requestParameters"]["encryptionContext"]) for event in asked]
    expect_equal(got, [("GenerateDataKey", context), ("Decrypt", context)], "the events that the gateway shows")
    operations = {line["operation"] for line in requests}
    expect({"CreateBucket", "PutObject", "GetObject", "HeadObject"} <= operations, f"lines of requests: {operations}")
    sealed = (store / "photos/note.sealstone").read_bytes()
    expect(b"secret" not in sealed and sealed, "nothing is readable in the object's file")


def opened_without(gateway, page, store, home, sealstone):
    """What is in the directory is opened by the commands of the page: first an object of SSE-S3, then the tour's."""
    exports = [line for line in block(page, "gateway").splitlines() if line.startswith("export ")]
    exports = replaced("\n".join(exports), (ADDRESS, gateway.url))
    [ring] = home.rglob("keyring.json")
    of_ring, of_kms = [line for line in block(page, "gateway-lock-in").splitlines() if line]
    program = ("sealstone decrypt", f"{pathlib.Path(sealstone).resolve()} decrypt")
    for options, command in [
        ("", replaced(of_ring, program, ("ring.json", ring), ("/srv/objects", store))),
        ("--sse aws:kms", of_kms),
    ]:
        if options:
            key = events(gateway)[0][0]["resources"][0]["ARN"]
            command = replaced(of_kms, program, ("KEY-ARN", key), ("s3://photos/note", store / "photos/note.sealstone"))
            command += f" --kms-endpoint {gateway.addresses[1]}"
        run(f"""{exports}
cd "$(mktemp -d)" && echo "another secret" > source
aws s3 cp --only-show-errors source s3://photos/note {options}
{command}
cmp note source
""")


main(*sys.argv[1:])
