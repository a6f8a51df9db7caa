#!/usr/bin/env python3
"""The S3 gateway's backend in other S3 servers: what each must do, and what the probe says of it.

    backends.py [--only NAME]

The servers are moto, whose program is that of the environment of this interpreter, a cluster of Garage, and s3s-fs, on
which the gateway does not run.
"""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time

sys.path += [f"{sys.path[0]}/..", f"{sys.path[0]}/../kms", f"{sys.path[0]}/../stores"]

import boto3
from cluster import REGION, Cluster, free_port
from common import arguments, cargo_program, expect, lines_of, report, target
from servers import ACCOUNT_CREDENTIALS, Moto, Server
from servers import REGION as OWN_REGION

S3S_FS_VERSION = "0.14.1"
START_SECONDS = 30
PLAIN = b"known plaintext: " * 1000
TESTS = ["cargo", "test", "--locked", "-p", "sealstone-s3-gateway", "--test", "suite", "--", "--ignored"]


def main():
    options = arguments(__doc__, only="")
    stores = {"moto": moto, "garage": garage, "s3s_fs": s3s_fs}
    expect(options.only in ("", *stores), f"--only names one of {', '.join(stores)}")
    for name, store in stores.items():
        if options.only in ("", name):
            store(name)


def moto(name):
    # Found in the user's home.
    program = target() / "debug" / "sealstone-gateway"
    with Moto() as server:
        # The user's home, where cargo keeps its files.
        environment = {**os.environ, "HOME": server.outside["HOME"], "SEALSTONE_TEST_S3_ENDPOINT": server.url}
        lacks = ["complete-if-match", "copy-if-match"]
        # To requests for the tags of a missing object and for an aborted upload it responds with an internal error, it
        # knows no path with a line break, and what of two writers is first it looks at before it stores.
        fails = ["replace_one_version", "an_aborted_upload", "a_name_has_a_line_break", "one_of_many"]
        fails += [f"shared::{case}" for case in ("copies", "objects", "odd_keys", "uploads_that_end")]
        run(name, environment, lacks, fails)
        gateway(program, server.url, lacks)


def garage(name):
    with Cluster(nodes=3) as cluster:
        environment = {**cluster.environment(cluster.gateway), "AWS_REGION": REGION}
        # It has no conditional writes.
        lacks = ["put-if-absent", "put-if-match", "complete-if-absent", "complete-if-match", "delete-if-match", "tags"]
        fails = ["writes_have", "one_of_many", "make_objects", "replace_one_version", "deletions_are", "tags_are"]
        shared = ("conditions", "copies", "odd_keys", "self_copies", "tags", "uploads", "uploads_that_end")
        fails += [f"shared::{case}" for case in shared]
        run(name, environment, lacks, fails)


def s3s_fs(name):
    version = ["--version", S3S_FS_VERSION, "--features", "binary"]
    program = cargo_program(target() / f"s3s-fs-{S3S_FS_VERSION}", "s3s-fs", *version)
    port = free_port()
    keys = ["--access-key", ACCOUNT_CREDENTIALS["AWS_ACCESS_KEY_ID"]]
    keys += ["--secret-key", ACCOUNT_CREDENTIALS["AWS_SECRET_ACCESS_KEY"]]
    with tempfile.TemporaryDirectory() as directory:
        command = [program, "--host", "127.0.0.1", "--port", str(port), *keys, directory]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        server = subprocess.Popen(command, **streams)
        try:
            listens(port)
            own = {"SEALSTONE_TEST_S3_ENDPOINT": f"http://127.0.0.1:{port}", "AWS_REGION": REGION}
            environment = {**os.environ, **ACCOUNT_CREDENTIALS, **own}
            run(name, environment, ["part-etags", "get-if-match"], only="s3_store::the_probe")
        finally:
            server.kill()
            server.wait()


def gateway(program, store, lacks):
    """The program does not start on a store that lacks something, unless it is waived by name."""
    with tempfile.TemporaryDirectory() as directory:
        command = [program, "--store", store, "--listen", "127.0.0.1:0", "--keyring", f"{directory}/ring"]
        refused = subprocess.run(command, capture_output=True, text=True, timeout=60)
        expect(refused.returncode == 1, f"the gateway does not start on {store}: {refused}")
        for name in lacks:
            expect(f"({name})" in refused.stderr, f"the refusal names {name}: {refused.stderr}")
        waivers = [word for name in lacks for word in ("--store-lacks", name)]
        with Server([*command, *waivers], r"^listening on (http://\S+)") as server:
            client, behind = (boto3.client("s3", endpoint_url=url) for url in (server.url, store))
            client.create_bucket(Bucket="gateway", CreateBucketConfiguration={"LocationConstraint": OWN_REGION})
            client.put_object(Bucket="gateway", Key="key", Body=PLAIN)
            expect(client.get_object(Bucket="gateway", Key="key")["Body"].read() == PLAIN, "the object is returned")
            stored = behind.get_object(Bucket="gateway", Key="key")
            expect(PLAIN not in stored["Body"].read(), "the store has no plaintext")
            expect("sealstone-header" in stored["Metadata"], "the store has the header")
    report("gateway_program", len(lacks) + 4)


def listens(port):
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            expect(time.monotonic() < deadline, f"port {port} listens within {START_SECONDS} s")
            time.sleep(0.1)


def run(name, environment, lacks, fails=(), only="s3_store::"):
    """The tests that need a server, but those that the server fails."""
    skipped = [word for test in fails for word in ("--skip", test)]
    environment = {**environment, "SEALSTONE_TEST_S3_LACKS": ",".join(lacks)}
    lines = lines_of([*TESTS, *skipped, only], environment)
    passed = [int(found[1]) for line in lines if (found := re.search(r"test result: ok. (\d+) passed", line))]
    expect(passed and passed[0], f"tests ran over {name}")
    report(f"gateway_over_{name}", passed[0])


main()
