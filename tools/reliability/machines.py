#!/usr/bin/env python3
"""The engine's tests on processors of other widths and byte orders: 32 bits, and big-endian, by emulation where needed.

    machines.py [--toolchain NAME]

The portable backend, without threads. Needs the cross compilers of Debian (gcc-i686-linux-gnu, gcc-s390x-linux-gnu, with
libc6-dev-i386-cross, libc6-dev-s390x-cross) and qemu-user; of the toolchain the standard library for these targets, or
nightly with rust-src, to build it. What cannot run is said.
"""

import argparse
import os
import pathlib
import shutil
import subprocess

import counted
from tree import target

# Target, linker, and what runs its programs where this machine does not.
MACHINES = [
    ("i686-unknown-linux-gnu", "i686-linux-gnu-gcc", None),
    ("s390x-unknown-linux-gnu", "s390x-linux-gnu-gcc", "qemu-s390x"),
]
# They start their own program again, which the kernel cannot.
NOT_EMULATED = [
    "a_kill_at_any_point_leaves_a_ring_that_lost_nothing",
    "kills_at_any_time_leave_an_object_that_opens",
    "processes_that_start_together_make_one_key",
]
TESTS = "boundaries golden oracle ranges rewrap testkit two_keys unlock vectors".split()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toolchain", default="nightly")
    toolchain = "+" + parser.parse_args().toolchain
    sysroot = subprocess.run(["rustc", toolchain, "--print", "sysroot"], check=True, capture_output=True, text=True)
    libraries = pathlib.Path(sysroot.stdout.strip()) / "lib/rustlib"
    for machine, linker, runner in MACHINES:
        programs = [program for program in (linker, runner) if program and not shutil.which(program)]
        there = (libraries / machine).exists()
        if programs or not (there or (libraries / "src/rust/library/std").exists()):
            missing = ", ".join(programs) or "the standard library for it, and rust-src"
            print(f"{machine}: NOT RUN, without {missing}", flush=True)
            continue
        tested(machine, linker, runner, ["cargo", toolchain, "test", *([] if there else ["-Zbuild-std"])])


def tested(machine, linker, runner, cargo):
    variables = f"CARGO_TARGET_{machine.upper().replace('-', '_')}"
    # Static: of the other machine's libraries nothing is installed here.
    env = dict(os.environ, RUSTFLAGS="-Ctarget-feature=+crt-static", CARGO_PROFILE_DEV_DEBUG="0")
    env |= {"CARGO_TARGET_DIR": str(target() / "machines"), f"{variables}_LINKER": linker}
    env |= {f"{variables}_RUNNER": runner} if runner else {}
    command = [*cargo, "--locked", "--target", machine, "-p", "sealstone", "--no-default-features", "--no-fail-fast"]
    skipped = [word for name in NOT_EMULATED for word in ("--skip", name)] if runner else []
    counted.run(machine.split("-")[0], [[*each, *skipped] for each in counted.commands(command, TESTS)], env)


main()
