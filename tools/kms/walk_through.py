#!/usr/bin/env python3
"""Runs the commands of the page about AWS KMS as written: the mock, the aws command, and sealstone.

    walk_through.py PAGE PROGRAMS

PROGRAMS is the directory of the programs sealstone and kms-mock. A line of the page that ends in `# exit code N` must
exit with that code, every other line with 0.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys

sys.path.append(f"{sys.path[0]}/..")

from common import expect, expect_equal, isolated
from pages import block, checked
from servers import Server

PORT = "8600"
CONTEXT = {"bucket": "photos"}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return str(listener.getsockname()[1])


def events(mock):
    return [json.loads(line) for line in list(mock.lines) if line.startswith("{")]


def main(page, programs):
    page = pathlib.Path(page).read_text()
    start, commands = block(page, "kms-mock").strip(), block(page, "kms")
    for text in (start, commands):
        expect(f"127.0.0.1:{PORT}" in text, f"port {PORT} is in {text!r}")
    # The port may be in use on a shared machine; nothing else is changed.
    port = free_port()
    start, commands = start.replace(f":{PORT}", f":{port}"), commands.replace(f":{PORT}", f":{port}")

    # First what was built here, then this interpreter's aws command.
    paths = [str(pathlib.Path(programs).resolve()), str(pathlib.Path(sys.executable).parent), os.environ["PATH"]]
    os.environ["PATH"] = ":".join(paths)
    print(f"$ {start}")
    # `exec`, so that the mock is killed in the end, and not a shell around it.
    with Server(["bash", "-c", f"exec {start}"], r"^listening on (http://\S+)") as mock:
        # Without what the page exports itself.
        variables = isolated(os.environ["HOME"]).items()
        environment = {name: value for name, value in variables if not name.startswith("AWS_")}

        def run(commands):
            done = subprocess.run(["bash", "-c", checked(commands)], env=environment, stdout=subprocess.PIPE, text=True)
            print(done.stdout, end="")
            expect_equal(done.returncode, 0, "the exit code of the walk-through")
            return done.stdout

        printed = run(commands)
        expect('"alias/demo"' in printed, "`aws kms list-aliases` shows alias/demo")
        check_events(mock)

        # A context that the header does not store: only KMS can refuse a wrong one.
        exports = "\n".join(line for line in commands.splitlines() if line.startswith("export "))
        run(f"""{exports}
cd "$(mktemp -d)" && echo secret > note
sealstone encrypt --key aws-kms:alias/demo --context-supplied tenant=blue note
sealstone decrypt --key aws-kms:alias/demo --context-supplied tenant=red note.seal -o - # exit code 6
""")
        expect_equal(events(mock)[-1].get("errorCode"), "InvalidCiphertextException", "the last event's error")


def check_events(mock):
    """The audit log has the walk-through's key operations in order, each with the context."""
    got = []
    for event in events(mock):
        parameters = event["requestParameters"] or {}
        if event["eventName"] in ("GenerateDataKey", "Decrypt"):
            expect_equal(parameters.get("encryptionContext"), CONTEXT, f"the context of {event['eventName']}")
            got.append((event["eventName"], event.get("errorCode")))
        elif event["eventName"] == "ReEncrypt":
            for name in ("sourceEncryptionContext", "destinationEncryptionContext"):
                expect_equal(parameters.get(name), CONTEXT, f"{name} of ReEncrypt")
            got.append(("ReEncrypt", event.get("errorCode")))
    wanted = [
        *(("GenerateDataKey", None), ("Decrypt", None)),
        # The wrong context cost no call: the header shows the right one.
        *(("Decrypt", "DisabledException"), ("Decrypt", None)),
        # Rewrap opens the object first, so that it never replaces a slot by one that does not open.
        *(("Decrypt", None), ("ReEncrypt", None), ("Decrypt", None)),
    ]
    expect_equal(got, wanted, "the data key operations in the audit log")
    names = {event["eventName"] for event in events(mock)}
    for name in ("ListAliases", "DisableKey", "EnableKey", "RotateKeyOnDemand", "CreateKey", "CreateAlias"):
        expect(name in names, f"{name} is in the audit log")


main(*sys.argv[1:])
