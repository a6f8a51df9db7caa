"""A cluster of Garage on free local ports, whose nodes can be killed and started again."""

import contextlib
import json
import os
import pathlib
import random
import secrets
import socket
import subprocess
import tempfile
import time

from common import cargo_program, expect, target

VERSION = "2.5.0"
REGION = "us-east-1"
# Of everything.
COPIES = 3
START_SECONDS = 60


class Node:
    def __init__(self, program, directory, secret):
        self.program, self.directory, self.process = program, directory, None
        directory.mkdir()
        rpc, s3 = free_port(), free_port()
        self.url = f"http://127.0.0.1:{s3}"
        self.config = directory / "garage.toml"
        self.config.write_text(
            f"""
metadata_dir = "{directory}/meta"
data_dir = "{directory}/data"
db_engine = "lmdb"
compression_level = "none"
replication_factor = {COPIES}
rpc_bind_addr = "127.0.0.1:{rpc}"
rpc_public_addr = "127.0.0.1:{rpc}"
rpc_secret = "{secret}"
[s3_api]
s3_region = "{REGION}"
api_bind_addr = "127.0.0.1:{s3}"
"""
        )

    def start(self):
        with (self.directory / "log").open("ab") as log:
            command = [self.program, "-c", self.config, "server"]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def kill(self):
        """With SIGKILL."""
        expect(self.process.poll() is None, f"{self.directory.name} runs until it is killed:\n{self.log()}")
        self.stop()

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()

    def run(self, *words):
        """Standard output of a command to this node."""
        done = self.tried(*words)
        expect(done.returncode == 0, f"garage {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def tried(self, *words):
        return subprocess.run([self.program, "-c", self.config, *words], capture_output=True, text=True)

    def name(self):
        """Its public key and address."""
        return self.run("node", "id", "--quiet").strip()

    def health(self):
        """What it knows of the cluster; None until it answers."""
        done = self.tried("json-api", "GetClusterHealth")
        return json.loads(done.stdout) if done.returncode == 0 else None

    def log(self):
        return "\n".join((self.directory / "log").read_text().splitlines()[-20:])


class Cluster:
    """Nodes with copies, a gateway without, and a key that may make buckets."""

    def __init__(self, nodes):
        self.count = nodes

    def __enter__(self):
        program = garage()
        self.directory = tempfile.TemporaryDirectory()
        place, secret = pathlib.Path(self.directory.name), secrets.token_hex(32)
        self.nodes = [Node(program, place / f"node{number}", secret) for number in range(self.count)]
        self.gateway = Node(program, place / "gateway", secret)
        try:
            self.form()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for node in self.all():
            node.stop()
        self.directory.cleanup()

    def all(self):
        return [*self.nodes, self.gateway]

    def form(self):
        for node in self.all():
            node.start()
        # Each makes its identity when it starts.
        for node in self.all():
            eventually(node.health, node)
        first, ids = self.nodes[0], [node.name().partition("@")[0] for node in self.all()]
        for node in self.all()[1:]:
            first.run("node", "connect", node.name())
        first.run("layout", "assign", "--zone", "here", "--capacity", "100GB", *ids[:-1])
        first.run("layout", "assign", "--zone", "here", "--gateway", ids[-1])
        first.run("layout", "apply", "--version", "1")
        self.wait()
        key = json.loads(first.run("json-api", "CreateKey", json.dumps({"allow": {"createBucket": True}})))
        self.credentials = {
            "AWS_ACCESS_KEY_ID": key["accessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["secretAccessKey"],
        }

    def restart(self, node):
        node.start()
        eventually(node.health, node)
        for other in self.all():
            if other is not node:
                # By itself it tries again after half a minute or more.
                other.run("node", "connect", node.name())
        self.wait()

    def wait(self):
        """Until each node is connected to all that have copies."""
        for node in self.all():
            eventually(lambda node=node: (node.health() or {}).get("storageNodesUp") == self.count, node)

    def environment(self, node):
        """For a program that talks to this node."""
        server = {"SEALSTONE_TEST_S3_ENDPOINT": node.url, "SEALSTONE_TEST_S3_IS_GARAGE": "yes"}
        return {**os.environ, **self.credentials, **server}


def garage():
    features = ["--no-default-features", "--features", "bundled-libs,lmdb"]
    # What is hot, which is slow without.
    optimized = [f"--config=profile.dev.package.{name}.opt-level=3" for name in ("blake2", "crc-fast", "md-5", "sha2")]
    return cargo_program(target() / f"garage-{VERSION}", "garage", "--version", VERSION, *features, *optimized)


def free_port():
    """A port that nothing listens on, and that no client gets while a node is down: below those that clients get."""
    while True:
        port = random.randrange(10_000, 30_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def eventually(found, node):
    """What `found` returns, once it is something."""
    deadline = time.monotonic() + START_SECONDS
    while not (value := found()):
        expect(time.monotonic() < deadline, f"{node.directory.name} gets ready in {START_SECONDS} s:\n{node.log()}")
        time.sleep(0.2)
    return value
