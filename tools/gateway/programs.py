"""rclone, restic and s3fs, of the system."""

import base64
import contextlib
import filecmp
import json
import os
import pathlib
import shutil
import subprocess
import time

import boto3
from common import expect, expect_equal
from gateway import KMS_KEY, arn, contexts, known_data, made_file, tree
from servers import ACCOUNT_CREDENTIALS

MIB = 1024 * 1024
SIZES = {"a": 1, "b c+d%": 100_000, "ü/nested/e": 65_536, "many/x": 3, "large": 12 * MIB + 9, "empty": 0}
MOUNT_SECONDS = 30


def program(words, environment=None, code=0):
    """Standard output and standard error."""
    words = list(map(str, words))
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(words, env={**os.environ, **(environment or {})}, text=True, **streams)
    expect_equal(done.returncode, code, f"the exit code of {' '.join(words)}\n{done.stdout}")
    return done.stdout


def made_tree(directory):
    for name, size in SIZES.items():
        made_file(directory / name, size)
    return directory


def rclone(gateway, place):
    modes = {"kms": {"SERVER_SIDE_ENCRYPTION": "aws:kms", "SSE_KMS_KEY_ID": KMS_KEY}, "s3": {}}
    if gateway.authority:
        key = base64.b64encode(os.urandom(24)).decode()
        modes = {"customer": {"SSE_CUSTOMER_ALGORITHM": "AES256", "SSE_CUSTOMER_KEY": key}}
    for name, mode in modes.items():
        rclone_in_mode(gateway, place / name, name, mode)
    if gateway.authority:
        gateway.expect_no_secret(key, base64.b64encode(key.encode()).decode())


def rclone_in_mode(gateway, place, name, mode):
    settings = {"TYPE": "s3", "PROVIDER": "Other", "ENV_AUTH": "true", "ENDPOINT": gateway.url, **mode}
    environment = {f"RCLONE_CONFIG_GW_{key}": value for key, value in settings.items()}
    # AWS's library in it cannot use a bundle: it has an option for that.
    environment["AWS_CA_BUNDLE"] = ""
    # It completes an upload without the customer's key, which the gateway refuses: without parts in that mode.
    cutoff = "100M" if name == "customer" else "5M"
    options = ["--config", os.devnull, "--s3-upload-cutoff", cutoff, "--s3-chunk-size", "5M"]
    options += ["--s3-copy-cutoff", cutoff]
    options += ["--ca-cert", gateway.authority] if gateway.authority else []

    def run(*words):
        return program(["rclone", *words, *options], environment)

    def sync(*words):
        """The files that it copies or deletes."""
        printed = run("sync", *words, "--log-level", "INFO", "--use-json-log")
        entries = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
        return sorted(entry["object"] for entry in entries if "object" in entry)

    local, remote = made_tree(place / "local"), f"gw:rclone-{name}"
    run("mkdir", remote)
    gateway.take_events()
    expect_equal(sync(local, f"{remote}/tree"), sorted(SIZES), f"{name}: what the first sync copies")
    gateway.expect_sealed(f"rclone sync, {name}", least=SIZES["large"])
    if name == "kms":
        wanted = {arn("rclone-kms", f"tree/{file}") for file in SIZES}
        got = {context["aws:s3:arn"] for context in contexts(gateway.take_events(), "GenerateDataKey")}
        expect_equal(got, wanted, "the contexts in the audit log")
    expect_equal(sync(local, f"{remote}/tree"), [], f"{name}: what the second sync copies")
    expect_equal(sync(f"{remote}/tree", place / "back"), sorted(SIZES), f"{name}: what a sync down copies")
    expect_equal(sync(f"{remote}/tree", place / "back"), [], f"{name}: what a second sync down copies")
    expect_equal(tree(place / "back"), tree(local), f"{name}: what was synchronized")
    run("check", "--download", local, f"{remote}/tree")
    listed = {each["Path"]: each["Size"] for each in json.loads(run("lsjson", "-R", "--files-only", f"{remote}/tree"))}
    expect_equal(listed, SIZES, f"{name}: sizes in the listing")

    # Copies on the server: of the large file in parts.
    run("move", f"{remote}/tree", f"{remote}/moved")
    run("check", "--download", local, f"{remote}/moved")
    gateway.expect_sealed(f"rclone move, {name}", least=SIZES["large"])
    cut = program(["rclone", "cat", "--offset", "1", "--count", "3", f"{remote}/moved/many/x", *options], environment)
    expect_equal(cut.encode(), (local / "many/x").read_bytes()[1:4], f"{name}: a range")
    made_file(local / "a", 77)
    (local / "empty").unlink()
    expect_equal(
        sync(local, f"{remote}/moved"), ["a", "empty"], f"{name}: a sync of one that changed and one that went"
    )
    run("purge", remote)
    print(f"rclone: sync, check --download, move, cat; {name}")


def restic(gateway, place):
    environment = {"RESTIC_REPOSITORY": f"s3:{gateway.url}/backups/repository", "RESTIC_PASSWORD": "of restic"}
    environment |= {"RESTIC_CACHE_DIR": str(place / "cache")}
    trust = ["--cacert", gateway.authority] if gateway.authority else []

    def run(*words):
        return program(["restic", *words, *trust], environment)

    local = made_tree(place / "local")
    run("init")
    run("backup", local)
    (local / "large").write_bytes(known_data(MIB))
    (local / "a").unlink()
    run("backup", local)
    run("check", "--read-data")
    gateway.expect_sealed("restic backup", least=SIZES["large"])
    run("restore", "latest", "--target", place / "restored")
    expect_equal(tree(place / "restored" / local.relative_to("/")), tree(local), "what restic restores")
    run("forget", "--keep-last", "1", "--prune")
    run("check", "--read-data")
    expect_equal(len(json.loads(run("snapshots", "--json"))), 1, "the snapshots that are left")
    print("restic: init, backup, check --read-data, restore, forget --prune")


def s3fs(gateway, place):
    if not fuse_works():
        # Not silently: whoever reads the log shall see that this did not run.
        print("!! s3fs is LEFT OUT: this machine lets no process mount /dev/fuse; restic ran in its stead", flush=True)
        return
    passwords = place / "passwords"
    passwords.write_text(":".join(ACCOUNT_CREDENTIALS.values()))
    passwords.chmod(0o600)
    modes = {"kms": f"use_sse=kmsid:{KMS_KEY}", "s3": "use_sse=1"}
    if gateway.authority:
        keys = place / "customer-keys"
        # s3fs takes a zero byte for the key's end.
        key = bytes(byte or 1 for byte in os.urandom(32))
        keys.write_text(base64.b64encode(key).decode() + "\n")
        keys.chmod(0o600)
        modes = {"customer": f"use_sse=custom:{keys}"}
    s3 = boto3.client("s3")
    for name, mode in modes.items():
        bucket = f"mounted-{name}"
        s3.create_bucket(Bucket=bucket)
        gateway.take_events()
        options = [f"url={gateway.url}", "use_path_request_style", f"passwd_file={passwords}", mode, "sigv4"]
        # What is larger is written and copied in parts.
        options += ["multipart_size=5", "singlepart_copy_limit=6", "endpoint=us-east-1"]
        # It begins uploads in parts without the encryption that it was told: under SSE-C the parts are then refused.
        options += ["nomultipart"] if name == "customer" else []
        with mounted(bucket, place / f"mount-{name}", options, gateway.authority) as root:
            files(root, place)
        gateway.expect_sealed(f"s3fs, {name}", least=SIZES["large"])
        if name == "kms":
            got = contexts(gateway.take_events(), "GenerateDataKey")
            expect({"aws:s3:arn": arn(bucket, "directory/b c+d%")} in got, f"the contexts in the audit log: {got}")
        listed = {each["Key"]: each["Size"] for each in s3.list_objects_v2(Bucket=bucket)["Contents"]}
        expect_equal(listed["directory/renamed"], SIZES["large"], f"{name}: the size in the listing")
        print(f"s3fs: write, append, rename, list, delete; {name}")


def fuse_works():
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError:
        return False
    return True


@contextlib.contextmanager
def mounted(bucket, root, options, authority):
    """Mounts a bucket, and unmounts it, which writes what is left."""
    root.mkdir()
    words = ["s3fs", bucket, str(root), "-f", *(word for option in options for word in ("-o", option))]
    trust = {"CURL_CA_BUNDLE": str(authority)} if authority else {}
    log = root.with_suffix(".log")
    with log.open("w") as to:
        server = subprocess.Popen(words, env={**os.environ, **trust}, stdout=to, stderr=to)
    try:
        deadline = time.monotonic() + MOUNT_SECONDS
        while not root.is_mount():
            gone = server.poll() is not None or time.monotonic() > deadline
            expect(not gone, f"s3fs mounts in {MOUNT_SECONDS} s:\n{log.read_text()}")
            time.sleep(0.1)
        yield root
        subprocess.run(["fusermount", "-u", root], check=True)
        expect_equal(server.wait(MOUNT_SECONDS), 0, f"the exit code of s3fs\n{log.read_text()}")
    except BaseException:
        print(*log.read_text().splitlines()[-30:], sep="\n")
        raise
    finally:
        server.kill()
        server.wait()
        # Whatever state it is in.
        subprocess.run(["fusermount", "-u", "-z", root], stderr=subprocess.DEVNULL, check=False)


def files(root: pathlib.Path, place):
    sources = made_tree(place / "tree") if not (place / "tree").exists() else place / "tree"
    (root / "directory").mkdir()
    for name in ("b c+d%", "large", "empty"):
        shutil.copyfile(sources / name, root / "directory" / name)
        expect(filecmp.cmp(sources / name, root / "directory" / name, shallow=False), f"s3fs reads {name}")
    expect_equal(sorted(os.listdir(root / "directory")), ["b c+d%", "empty", "large"], "what s3fs lists")
    with (root / "directory" / "b c+d%").open("ab") as file:
        file.write(b"more")
    expect_equal((root / "directory" / "b c+d%").stat().st_size, SIZES["b c+d%"] + 4, "the size after an append")
    with (root / "directory" / "large").open("rb") as file:
        file.seek(7 * MIB)
        wanted = (sources / "large").read_bytes()[7 * MIB :][:1000]
        expect(file.read(1000) == wanted, "s3fs reads a range")
    (root / "directory" / "large").rename(root / "directory" / "renamed")
    renamed = root / "directory" / "renamed"
    expect(filecmp.cmp(sources / "large", renamed, shallow=False), "s3fs reads what it renamed")
    (root / "directory" / "empty").unlink()
    expect_equal(sorted(os.listdir(root / "directory")), ["b c+d%", "renamed"], "what s3fs lists in the end")
