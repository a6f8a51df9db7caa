"""sealstone on top of the gateway, and without it on what it stored: nobody is locked in."""

import io
import os
import pathlib
import signal
import subprocess
import time

import boto3
from boto3.s3.transfer import TransferConfig
from common import expect, expect_equal, isolated, raw_key
from gateway import KMS_KEY, KNOWN, arn, known_data

# The program: set by clients.py.
SEALSTONE = pathlib.Path()
BUCKET = "photos"
MIB = 1024 * 1024
SIZES = [0, 1, 65_536, 9 * MIB + 7]


def run(gateway, place):
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    environment = isolated(place)

    def sealstone(*words, code=0, data=None):
        command = [SEALSTONE, *map(str, words)]
        done = subprocess.run(command, input=data, capture_output=True, env=environment, cwd=place)
        expect_equal(done.returncode, code, f"the exit code of sealstone {words} ({done.stderr.decode().strip()})")
        return done.stdout

    on_top(gateway, place, s3, sealstone)
    without(gateway, place, s3, sealstone)
    rotated(gateway, s3, sealstone)


def on_top(gateway, place, s3, sealstone):
    """Its objects in a bucket of the gateway: encrypted twice."""
    for size in SIZES:
        path = place / f"on-top-{size}"
        path.write_bytes(known_data(size))
        url = f"s3://{BUCKET}/on top/{size}.seal"
        sealstone("encrypt", path, "-o", url)
        expect(sealstone("cat", url) == path.read_bytes(), f"{size} bytes: what cat writes")
        sealstone("verify", url)
        stored = s3.get_object(Bucket=BUCKET, Key=f"on top/{size}.seal")
        expect(KNOWN not in stored["Body"].read(), f"{size} bytes: the gateway got ciphertext")
        expect("sealstone-header" in stored["Metadata"], f"{size} bytes: the header is in the user's metadata")
    expect(
        sealstone("cat", "--range=5M..6M", url) == path.read_bytes()[5 * MIB : 6 * MIB], "what cat writes of a range"
    )
    sealstone("keys", "new", "other")
    sealstone("rewrap", url, "--add", "local:other")
    expect(sealstone("cat", "-k", "local:other", url) == path.read_bytes(), "what cat writes after a rewrap")
    sealstone("verify", "--recursive", f"s3://{BUCKET}/on top/")
    gateway.expect_sealed("sealstone encrypt", least=SIZES[-1])
    print("sealstone encrypt, cat, verify, rewrap through the gateway")


def without(gateway, place, s3, sealstone):
    """What the gateway stored in each mode and shape is opened from its directory."""
    customer = os.urandom(32)
    modes = {
        "s3": {},
        "kms": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KMS_KEY},
        "customer": {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": customer},
    }
    for mode, parameters in modes.items():
        made = {}
        for size in SIZES:
            key, data = f"{mode}/{size}", known_data(size)
            config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
            s3.upload_fileobj(io.BytesIO(data), BUCKET, key, ExtraArgs=parameters, Config=config)
            made[key] = data
        gateway.expect_sealed(f"objects of mode {mode}", least=SIZES[-1])
        for key, data in made.items():
            bound = ["--context", f"aws:s3:arn={arn(BUCKET, key)}"]
            keys = keys_of(mode, gateway, place, s3, key, customer)
            sealed = gateway.sealed(BUCKET, key)
            opened = sealstone("decrypt", *keys, *bound, sealed, "-o", "-")
            expect(opened == data, f"{key}: what is opened without the gateway")
        sealstone("decrypt", *keys, "--context", "aws:s3:arn=arn:aws:s3:::x/y", sealed, "-o", "-", code=6)
        sealstone("decrypt", *keys, sealed, "-o", "-", code=6)
        print(f"sealstone decrypt in the gateway's directory: {mode}")


def rotated(gateway, s3, sealstone):
    """The key ring gets a new version while the gateway runs, and older objects move to it in the directory."""
    data = known_data(6 * MIB)
    s3.put_object(Bucket=BUCKET, Key="older", Body=data)
    sealstone("keys", "rotate", "default", "--keyring", gateway.ring)
    gateway.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 10
    while not any("reloaded" in line for line in list(gateway.lines)):
        expect(time.monotonic() < deadline, "the gateway says within 10 s that it reloaded")
        time.sleep(0.1)
    s3.put_object(Bucket=BUCKET, Key="newer", Body=data)
    slots = {key: slots_of(sealstone, gateway.sealed(BUCKET, key)) for key in ("older", "newer")}
    expect(slots["older"] != slots["newer"], f"the versions of the key before and after: {slots}")
    older = gateway.sealed(BUCKET, "older")
    options = ["--keyring", gateway.ring, "--context", f"aws:s3:arn={arn(BUCKET, 'older')}"]
    sealstone("rewrap", *options, "--key", "local:default", "--to", "local:default", older)
    expect_equal(slots_of(sealstone, older), slots["newer"], "the version of the key of what was rewrapped")
    expect(sealstone("cat", "--range=5M..6M", *options, older) == data[5 * MIB :], "cat in the directory")
    sealstone("verify", *options, older)
    expect(s3.get_object(Bucket=BUCKET, Key="older")["Body"].read() == data, "what the gateway reads after a rewrap")
    print("sealstone keys rotate, SIGHUP, rewrap, cat and verify in the gateway's directory")


def slots_of(sealstone, sealed):
    """The line of `sealstone inspect` that names the keys that open an object, with their versions."""
    lines = sealstone("inspect", sealed).decode().splitlines()
    [line] = [line.split()[2:] for line in lines if line.strip().startswith("sealed for")]
    return line


def keys_of(mode, gateway, place, s3, key, customer):
    """Options with the keys of an object that was stored in this mode."""
    match mode:
        case "s3":
            return ["--keyring", gateway.ring]
        case "customer":
            return ["--key", raw_key(place / "customer-key", customer)]
    name = s3.head_object(Bucket=BUCKET, Key=key)["SSEKMSKeyId"]
    return ["--kms-endpoint", gateway.kms_url, "--key", f"aws-kms:{name}"]
