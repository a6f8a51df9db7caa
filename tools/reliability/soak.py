#!/usr/bin/env python3
"""Bytes through encrypt and decrypt by pipes, for long: the hash is the same, and memory and descriptors stay flat.

    soak.py SEALSTONE [--gib N] [--seed S]

SEALSTONE is the binary. Memory is that of both processes, sampled four times a second; the second half of the run may not
reach over the first by more than 5 % and 1 MiB, nor hold more descriptors at any moment.
"""

import argparse
import hashlib
import os
import pathlib
import random
import subprocess
import tempfile
import threading
import time

BLOCK = 1 << 20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sealstone")
    parser.add_argument("--gib", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        soak(options.sealstone, pathlib.Path(directory), options.gib, options.seed)


def soak(sealstone, directory, gib, seed):
    key = directory / "key"
    key.write_bytes(random.Random(seed).randbytes(32))
    key.chmod(0o600)
    names = ["-q", "--key", f"raw:file:{key}", "-", "-o", "-"]
    env = {**os.environ, "HOME": str(directory)}
    encrypt = subprocess.Popen([sealstone, "encrypt", *names], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)
    decrypt = subprocess.Popen([sealstone, "decrypt", *names], stdin=encrypt.stdout, stdout=subprocess.PIPE, env=env)
    encrypt.stdout.close()
    told = []
    feeder = threading.Thread(target=lambda: told.append(feed(encrypt.stdin, gib, seed)))
    feeder.start()
    samples, ended = [], threading.Event()
    sampler = threading.Thread(target=watch, args=([encrypt.pid, decrypt.pid], samples, ended))
    sampler.start()
    began = time.monotonic()
    found = drain(decrypt.stdout)
    seconds = time.monotonic() - began
    ended.set()
    sampler.join()
    feeder.join()
    codes = [encrypt.wait(), decrypt.wait()]
    require(codes == [0, 0], f"both end well: {codes}")
    require(found == told[0], "what comes out is what went in")
    report(gib, seconds, samples)


def feed(sink, gib, seed):
    """Random bytes, with a counter so that no block is like another; gives their length and hash."""
    block = bytearray(random.Random(seed).randbytes(BLOCK))
    digest = hashlib.sha256()
    with sink:
        for count in range(gib << 10):
            block[:8] = count.to_bytes(8, "big")
            digest.update(block)
            sink.write(block)
    return gib << 30, digest.hexdigest()


def drain(source):
    digest, length = hashlib.sha256(), 0
    buffer = bytearray(BLOCK)
    while count := source.readinto(buffer):
        digest.update(memoryview(buffer)[:count])
        length += count
    return length, digest.hexdigest()


def watch(pids, samples, ended):
    while not ended.wait(0.25):
        try:
            samples.append([(resident(pid), len(os.listdir(f"/proc/{pid}/fd"))) for pid in pids])
        except (FileNotFoundError, ProcessLookupError, IndexError):
            return


def resident(pid):
    """KiB."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def report(gib, seconds, samples):
    # The first second is that of starting.
    steady = samples[4:]
    require(len(steady) >= 4, "the run is long enough to be looked at")
    half = len(steady) // 2
    peaks = []
    for at, name in enumerate(["encrypt", "decrypt"]):
        first, second = ([sample[at] for sample in part] for part in (steady[:half], steady[half:]))
        early, late = max(kib for kib, _ in first), max(kib for kib, _ in second)
        require(late <= early * 1.05 + 1024, f"the memory of {name} stays flat: {early} KiB, then {late}")
        before, after = (max(count for _, count in part) for part in (first, second))
        # Fewer at the end, of course: a sample may fall between the output's closing and the exit.
        require(after <= before, f"the descriptors of {name} do not grow in number: {before}, then {after}")
        peaks.append(max(early, late))
    print(
        f"campaign: soak cases={gib} gib={gib} seconds={seconds:.0f} "
        f"encrypt_kib={peaks[0]} decrypt_kib={peaks[1]} samples={len(steady)}"
    )


def require(holds, what):
    if not holds:
        raise SystemExit(f"does not hold: {what}")


main()
