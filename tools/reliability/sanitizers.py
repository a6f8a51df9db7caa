#!/usr/bin/env python3
"""The engine's tests under AddressSanitizer and ThreadSanitizer, and its pure code under Miri, where they are installed.

Needs a nightly toolchain; ThreadSanitizer also its component rust-src, because it needs an instrumented standard library,
and Miri its component miri. What cannot run is listed. Before each sanitizer, it must catch a program with a known fault.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.append(f"{sys.path[0]}/..")

import cargo_tests
from common import arguments, target, try_output

# A write into memory that was freed, and two threads that write without a lock.
FAULTS = {
    "address": "let b = Box::new(1u8); let p = Box::into_raw(b); unsafe { drop(Box::from_raw(p)); p.write_volatile(2) }",
    "thread": "static mut N: u32 = 0; let write = || unsafe { for _ in 0..1000 { (&raw mut N).write_volatile(1) } };"
    "let other = std::thread::spawn(write); write(); other.join().unwrap();",
}
# Without the longest, and those that search or measure the memory of the process, most of which is the sanitizer's.
TESTS = {
    "address": "boundaries detached dispatch files forks hostile io_faults model nonces oracle parts pipeline ranges "
    "remote rekey rewrap sse tamper testkit two_keys unlock vectors",
    "thread": "files io_faults model nonces parts pipeline ranges remote",
}
PURE = ["chunker", "context", "header", "hex", "layout", "wire"]


def main():
    cargo = ["cargo", f"+{arguments(__doc__, toolchain='nightly').toolchain}"]
    sysroot = try_output("rustc", cargo[1], "--print", "sysroot")
    if not sysroot:
        raise SystemExit("a nightly toolchain is needed: rustup toolchain install nightly")
    sanitized("address", cargo, [])
    if (pathlib.Path(sysroot) / "lib/rustlib/src/rust/library/std").exists():
        sanitized("thread", cargo, ["-Zbuild-std"])
    else:
        print("ThreadSanitizer: NOT RUN, the toolchain has no rust-src", flush=True)
    if try_output(*cargo, "miri", "--version"):
        miri(cargo)
    else:
        print("Miri: NOT RUN, the toolchain has no miri", flush=True)


def sanitized(kind, cargo, options):
    control(kind, cargo[1])
    host = re.search("host: (.*)", try_output("rustc", cargo[1], "-vV"))[1]
    command = [*cargo, "test", *options, "--locked", "--target", host, "-p", "sealstone", "--no-fail-fast"]
    # A separate target directory, so that nothing else is built again.
    env = {"RUSTFLAGS": f"-Zsanitizer={kind}", "CARGO_TARGET_DIR": str(target() / f"sanitizer-{kind}")}
    cargo_tests.run(f"{kind}_sanitizer", cargo_tests.commands(command, TESTS[kind].split()), **env)


def control(kind, toolchain):
    with tempfile.TemporaryDirectory() as directory:
        source, program = (pathlib.Path(directory) / name for name in ("control.rs", "control"))
        source.write_text(f"fn main() {{ {FAULTS[kind]} }}")
        # The standard library that it links has no sanitizer, which does not matter for this fault.
        flags = [f"-Zsanitizer={kind}", "-Cunsafe-allow-abi-mismatch=sanitizer"]
        subprocess.run(["rustc", toolchain, *flags, source, "-o", program], check=True)
        done = subprocess.run([program], capture_output=True, text=True)
        if done.returncode == 0 or f"{kind.title()}Sanitizer" not in done.stderr:
            raise SystemExit(f"the {kind} sanitizer misses a known fault: {done}")


def miri(cargo):
    command = [*cargo, "miri", "test", "--locked", "-p", "sealstone", "--no-default-features", "--lib", *PURE]
    # An interpreter is too slow for thousands of random cases.
    cargo_tests.run("miri", [command], MIRIFLAGS="-Zmiri-disable-isolation", PROPTEST_CASES="4")


main()
