#!/usr/bin/env python3
"""The engine's tests under AddressSanitizer and ThreadSanitizer, and its pure code under Miri, as far as there are the means.

    sanitizers.py [--toolchain NAME]

Needs a nightly toolchain; ThreadSanitizer also its component rust-src, as the standard library must be built with it, and
Miri its component miri. What cannot run is said. Before each sanitizer, a program with a fault of its kind must be caught.
"""

import argparse
import os
import pathlib
import re
import subprocess
import tempfile

import counted
from tree import ROOT, target

# A write into memory that was freed, and two threads that write without a lock.
FAULTS = {
    "address": "let b = Box::new(1u8); let p = Box::into_raw(b); unsafe { drop(Box::from_raw(p)); p.write_volatile(2) }",
    "thread": "static mut N: u32 = 0; let write = || unsafe { for _ in 0..1000 { (&raw mut N).write_volatile(1) } };"
    "let other = std::thread::spawn(write); write(); other.join().unwrap();",
}
# Not those that search or measure the memory of the process, of which most is the sanitizer's then; nor the longest.
TESTS = {
    "address": "boundaries detached dispatch files forks hostile io_faults model nonces oracle parts pipeline ranges "
    "remote rekey rewrap sse tamper testkit two_keys unlock vectors",
    "thread": "files io_faults model nonces parts pipeline ranges remote",
}
PURE = ["chunker", "context", "header", "hex", "layout", "wire"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toolchain", default="nightly")
    cargo = ["cargo", f"+{parser.parse_args().toolchain}"]
    sysroot = told(["rustc", cargo[1], "--print", "sysroot"])
    if not sysroot:
        raise SystemExit("a nightly toolchain is needed: rustup toolchain install nightly")
    sanitized("address", cargo, [])
    if (pathlib.Path(sysroot) / "lib/rustlib/src/rust/library/std").exists():
        sanitized("thread", cargo, ["-Zbuild-std"])
    else:
        print("ThreadSanitizer: NOT RUN, the toolchain has no rust-src", flush=True)
    if told([*cargo, "miri", "--version"]):
        miri(cargo)
    else:
        print("Miri: NOT RUN, the toolchain has no miri", flush=True)


def told(command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def sanitized(kind, cargo, options):
    control(kind, cargo[1])
    host = re.search("host: (.*)", told(["rustc", cargo[1], "-vV"]))[1]
    command = [*cargo, "test", *options, "--locked", "--target", host, "-p", "sealstone", "--no-fail-fast"]
    # Of its own, so that nothing else is built again.
    env = dict(os.environ, RUSTFLAGS=f"-Zsanitizer={kind}", CARGO_TARGET_DIR=str(target() / f"sanitizer-{kind}"))
    counted.run(f"{kind}_sanitizer", counted.commands(command, TESTS[kind].split()), env)


def control(kind, toolchain):
    with tempfile.TemporaryDirectory() as directory:
        source, program = (pathlib.Path(directory) / name for name in ("control.rs", "control"))
        source.write_text(f"fn main() {{ {FAULTS[kind]} }}")
        # Against a standard library without the sanitizer, which is none of the fault's business.
        flags = [f"-Zsanitizer={kind}", "-Cunsafe-allow-abi-mismatch=sanitizer"]
        subprocess.run(["rustc", toolchain, *flags, source, "-o", program], check=True)
        done = subprocess.run([program], capture_output=True, text=True)
        if done.returncode == 0 or f"{kind.title()}Sanitizer" not in done.stderr:
            raise SystemExit(f"the {kind} sanitizer does not see a fault that is there: {done}")


def miri(cargo):
    command = [*cargo, "miri", "test", "--locked", "-p", "sealstone", "--no-default-features", "--lib", *PURE]
    # Random cases by the thousand are for machines, not for interpreters.
    counted.run("miri", [command], dict(os.environ, MIRIFLAGS="-Zmiri-disable-isolation", PROPTEST_CASES="4"))


main()
