#!/usr/bin/env python3
"""ceph/s3-tests against the gateway.

    s3_tests.py GATEWAY [--checkout DIR]

Runs the groups of tests in s3_tests.toml, which says of each test that fails why it does: another one that fails is an error,
and so is a listed one that passes. The suite is cloned into the target directory unless there is a checkout.
"""

import collections
import configparser
import functools
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import tomllib
import xml.etree.ElementTree

sys.path += [f"{sys.path[0]}/..", f"{sys.path[0]}/../kms"]

import boto3
from common import ROOT, environment, expect, parser, report, target
from gateway import REGION, Gateway
from servers import ACCOUNT_CREDENTIALS

LIST = ROOT / "tools/gateway/s3_tests.toml"
SOURCE = "https://github.com/ceph/s3-tests"
# Without tox, which only runs the rest.
PACKAGES = ["boto3>=1.44", "gevent", "httplib2", "isodate", "lxml", "munch", "pytest>=8", "pytz", "PyYAML", "requests"]
OTHER = ("otherkey", "other-secret-of-the-tests")


@functools.cache
def listed():
    return tomllib.loads(LIST.read_text())


def main():
    made = parser(__doc__)
    made.add_argument("gateway")
    made.add_argument("--checkout", type=pathlib.Path)
    options = made.parse_args()
    suite = options.checkout or checkout()
    wrong = []
    for group in listed()["group"]:
        results = run(options.gateway, suite, group)
        failed = {name for name, outcome in results.items() if outcome == "failed"}
        counts = collections.Counter(results.values())
        print(*(f"  fails: {name}" for name in sorted(failed)), sep="\n")
        report(f"s3_tests_{group['name']}", len(results), **counts)
        expect(counts["passed"], f"{group['name']}: tests ran")
        wrong += differences(group, results, failed)
    expect(not wrong, "what s3_tests.toml says:\n  " + "\n  ".join(wrong))


def differences(group, results, failed):
    expected = {name: each["reason"] for each in group.get("fails", []) for name in each["tests"]}
    for name in sorted(failed - set(expected)):
        yield f"{group['name']}: {name} fails, and is not listed"
    for name, reason in expected.items():
        outcome = results.get(name, "missing")
        if outcome != "failed":
            yield f"{group['name']}: {name} is listed ({reason}), but {outcome}"


def checkout():
    commit = listed()["commit"]
    place = target() / "s3-tests" / commit
    if not (place / ".complete").exists():
        place.mkdir(parents=True, exist_ok=True)
        for words in (
            ["init", "--quiet"],
            ["fetch", "--quiet", "--depth", "1", SOURCE, commit],
            ["checkout", "-q", commit],
        ):
            subprocess.run(["git", *words], cwd=place, check=True)
        (place / ".complete").touch()
    return place


def run(program, suite, group):
    """The outcomes of a group's tests by their names."""
    python = environment(target() / "s3-tests" / "venv", *PACKAGES)
    began = time.monotonic()
    with (
        Gateway(program, "--allow-insecure-ssec", other_keys=[OTHER]) as gateway,
        tempfile.TemporaryDirectory() as place,
    ):
        place = pathlib.Path(place)
        configuration(place / "s3tests.conf", gateway)
        command = [python, "-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider", "-m", group["marks"]]
        command += [f"--junit-xml={place}/results.xml", *(f"s3tests/functional/{name}" for name in group["files"])]
        env = {**os.environ, "S3TEST_CONF": str(place / "s3tests.conf"), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(list(map(str, command)), cwd=suite, env=env, stdout=subprocess.PIPE, text=True)
        # 1: some failed.
        expect(done.returncode in (0, 1), f"pytest: {done.returncode}\n{done.stdout}")
        print(done.stdout.splitlines()[-1], flush=True)
        cases = xml.etree.ElementTree.parse(place / "results.xml").iter("testcase")
        results = {case.get("name"): outcome(case) for case in cases}
    print(f"{group['name']}: {time.monotonic() - began:.0f} s", flush=True)
    return results


def outcome(case):
    kinds = {child.tag for child in case}
    if kinds & {"failure", "error"}:
        return "failed"
    return "skipped" if "skipped" in kinds else "passed"


def configuration(path, gateway):
    keys = [boto3.client("kms").create_key()["KeyMetadata"]["Arn"] for _ in range(2)]
    main = {
        "access_key": ACCOUNT_CREDENTIALS["AWS_ACCESS_KEY_ID"],
        "secret_key": ACCOUNT_CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    }
    other = dict(zip(("access_key", "secret_key"), OTHER))
    user = {"display_name": "sealstone", "user_id": "sealstone", "email": "sealstone@example.com"}
    made = configparser.ConfigParser(interpolation=None)
    made["DEFAULT"] = {"host": "localhost", "port": str(gateway.port), "is_secure": "False", "ssl_verify": "False"}
    made["fixtures"] = {
        "bucket prefix": "tests-{random}-",
        "iam name prefix": "s3-tests-",
        "iam path prefix": "/s3-tests/",
    }
    made["s3 main"] = {**user, **main, "api_name": REGION, "kms_keyid": keys[0], "kms_keyid2": keys[1]}
    # Users of their own, which the gateway does not distinguish.
    for name in ("s3 alt", "s3 tenant", "iam", "iam root", "iam alt root"):
        made[name] = {**user, **other, "user_id": name, "tenant": "tests"}
    with path.open("w") as to:
        made.write(to)


main()
