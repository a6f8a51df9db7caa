#!/usr/bin/env python3
"""The engine's tests on other word sizes and byte orders: 32 bits, and big-endian, emulated where needed.

They test the portable backend without threads. They need Debian's cross compilers (gcc-i686-linux-gnu, gcc-s390x-linux-gnu,
with libc6-dev-i386-cross, libc6-dev-s390x-cross) and qemu-user, and the toolchain's standard library for these targets, or
nightly with rust-src to build it. What cannot run is listed.
"""

import pathlib
import shutil
import sys

sys.path.append(f"{sys.path[0]}/..")

import cargo_tests
from common import arguments, output, target

# Target, linker, and the emulator where this machine cannot run its programs.
MACHINES = [
    ("i686-unknown-linux-gnu", "i686-linux-gnu-gcc", None),
    ("s390x-unknown-linux-gnu", "s390x-linux-gnu-gcc", "qemu-s390x"),
]
# They execute themselves again, which the kernel cannot do for an emulated program.
NOT_EMULATED = [
    "a_kill_at_any_point_leaves_a_ring_that_lost_nothing",
    "kills_at_any_time_leave_an_object_that_opens",
    "processes_that_start_together_make_one_key",
]
TESTS = "boundaries golden oracle ranges rewrap testkit two_keys unlock vectors".split()


def main():
    toolchain = "+" + arguments(__doc__, toolchain="nightly").toolchain
    libraries = pathlib.Path(output(["rustc", toolchain, "--print", "sysroot"]).strip()) / "lib/rustlib"
    for machine, linker, runner in MACHINES:
        programs = [program for program in (linker, runner) if program and not shutil.which(program)]
        has_std = (libraries / machine).exists()
        if programs or not (has_std or (libraries / "src/rust/library/std").exists()):
            missing = ", ".join(programs) or "its standard library, and rust-src"
            print(f"{machine}: NOT RUN, without {missing}", flush=True)
            continue
        test(machine, linker, runner, ["cargo", toolchain, "test", *([] if has_std else ["-Zbuild-std"])])


def test(machine, linker, runner, cargo):
    variables = f"CARGO_TARGET_{machine.upper().replace('-', '_')}"
    # Static: the other machine's libraries are not installed here.
    env = {"RUSTFLAGS": "-Ctarget-feature=+crt-static", "CARGO_PROFILE_DEV_DEBUG": "0"}
    env |= {"CARGO_TARGET_DIR": str(target() / "machines"), f"{variables}_LINKER": linker}
    env |= {f"{variables}_RUNNER": runner} if runner else {}
    command = [*cargo, "--locked", "--target", machine, "-p", "sealstone", "--no-default-features", "--no-fail-fast"]
    skipped = [word for name in NOT_EMULATED for word in ("--skip", name)] if runner else []
    commands = [[*each, *skipped] for each in cargo_tests.commands(command, TESTS)]
    cargo_tests.run(machine.split("-")[0], commands, **env)


main()
