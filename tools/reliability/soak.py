#!/usr/bin/env python3
"""Bytes through encrypt and decrypt by pipes, for long: the hash is the same, and memory and descriptors stay flat.

The memory of both processes is sampled four times a second. The peak of the second half may not exceed that of the first
by more than 5 % and 1 MiB, nor may there be more descriptors at any moment.
"""

import hashlib
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import threading
import time

sys.path.append(f"{sys.path[0]}/..")

from common import arguments, expect, isolated, raw_key, report

BLOCK = 1 << 20


def main():
    options = arguments(__doc__, "sealstone", gib=2, seed=1)
    with tempfile.TemporaryDirectory() as directory:
        soak(options.sealstone, pathlib.Path(directory), options.gib, options.seed)


def soak(sealstone, directory, gib, seed):
    key = raw_key(directory / "key", random.Random(seed).randbytes(32))

    def start(command, stdin):
        words = [sealstone, command, "-q", "--key", key, "-", "-o", "-"]
        return subprocess.Popen(words, stdin=stdin, stdout=subprocess.PIPE, env=isolated(directory))

    encrypt = start("encrypt", subprocess.PIPE)
    decrypt = start("decrypt", encrypt.stdout)
    encrypt.stdout.close()
    fed = []
    feeder = threading.Thread(target=lambda: fed.append(feed(encrypt.stdin, gib, seed)))
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
    expect(codes == [0, 0], f"both succeed: {codes}")
    expect(found == fed[0], "what comes out is what went in")
    judge(gib, seconds, samples)


def feed(sink, gib, seed):
    """Writes random bytes, with a counter that makes each block unique, and returns their length and hash."""
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


def judge(gib, seconds, samples):
    # Without the first second, in which the processes start.
    steady = samples[4:]
    expect(len(steady) >= 4, "the run is long enough to judge")
    half = len(steady) // 2
    peaks = []
    for at, name in enumerate(["encrypt", "decrypt"]):
        first, second = ([sample[at] for sample in part] for part in (steady[:half], steady[half:]))
        early, late = max(kib for kib, _ in first), max(kib for kib, _ in second)
        expect(late <= early * 1.05 + 1024, f"the memory of {name} stays flat: {early} KiB, then {late}")
        before, after = (max(count for _, count in part) for part in (first, second))
        # Fewer at the end, of course: a sample may fall between the output's closing and the exit.
        expect(after <= before, f"the descriptors of {name} do not grow in number: {before}, then {after}")
        peaks.append(max(early, late))
    kib = {"encrypt_kib": peaks[0], "decrypt_kib": peaks[1]}
    report("soak", gib, gib=gib, seconds=round(seconds), **kib, samples=len(steady))


main()
