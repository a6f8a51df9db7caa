#!/usr/bin/env python3
"""Proves that each detector can fail: breaks the product in one place at a time, and a named test must fail.

    sabotage.py [--quick] [NAME...]
    sabotage.py --check                no run: whether each text to replace exists exactly once

The places are in sabotages.toml. A copy of the tree is edited, so the product never contains any of this. The campaign
fails if a sabotage does not compile, or if its test passes.

cargo-mutants (mutants.py) covers other ground: it makes few of these edits, as most delete a statement or change an
expression, and it reports that some test failed, not that this one did. What it makes as well, where no particular test
has to fail, is not repeated here: that nothing compares header and payload, or looks at the slots that a rewrap leaves,
and that the older copy of a header counts. It is not in CI, whose quick form edits here six places for one test program.
"""

import os
import pathlib
import re
import subprocess
import sys
import tomllib

sys.path.append(f"{sys.path[0]}/..")

from cargo_tests import copy_to, program
from common import ROOT, parser, report, target

HERE = pathlib.Path(__file__).resolve().parent
SABOTAGES = tomllib.loads((HERE / "sabotages.toml").read_text())["sabotage"]


def main():
    made = parser(__doc__)
    made.add_argument("names", nargs="*", metavar="NAME", help="all by default")
    made.add_argument("--quick", action="store_true", help="the most important ones that one test program detects")
    made.add_argument("--check", action="store_true", help="only whether the texts to replace exist")
    options = made.parse_args()
    if options.check:
        raise SystemExit("\n".join(filter(None, map(moved, SABOTAGES))) or 0)
    chosen = [each for each in SABOTAGES if not options.names or each["name"] in options.names]
    chosen = [each for each in chosen if each.get("quick") or not options.quick]
    copy = target() / "sabotage"
    copy_to(copy)
    expect_green(copy, chosen)
    faults = [fault for sabotage in chosen if (fault := undetected(copy, sabotage))]
    report("sabotage", len(chosen), caught=len(chosen) - len(faults), violations=len(faults))
    if faults or not chosen:
        raise SystemExit("\n".join(faults))


def expect_green(copy, chosen):
    """Builds the tests, and fails unless they pass without a sabotage."""
    reds = {"power": [], "cargo": []}
    for sabotage in chosen:
        reds["power" if sabotage["test"] == "power" else "cargo"].append(sabotage)
    for sabotages in filter(None, reds.values()):
        done, _ = run(copy, *sabotages)
        if done.returncode:
            raise SystemExit(f"the tests fail without any sabotage:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")


def run(copy, *sabotages):
    """Runs the tests that detect these sabotages; returns the process, and the names of the tests that failed."""
    tests = {sabotage["test"] for sabotage in sabotages}
    env = {**os.environ, "CARGO_TERM_COLOR": "never", "RUST_BACKTRACE": "0"}
    if tests == {"power"}:
        # A separate target directory, so that nothing else ever runs a sabotaged program.
        env["CARGO_TARGET_DIR"] = str(copy / "target")
        build = ["cargo", "build", "--locked", "-p", "sealstone-cli"]
        commands, failed = [build, [HERE / "power.py", copy / "target/debug/sealstone"]], r"^(.*): after "
    else:
        env["CARGO_TARGET_DIR"] = str(target())
        # Each edit changes one file. These builds also stay apart from those of the tests, which are not built again.
        env["CARGO_INCREMENTAL"] = "1"
        programs = {program(test) for test in tests - {"lib"}}
        words = ["--lib"] * ("lib" in tests) + [word for name in sorted(programs) for word in ("--test", name)]
        # Other crates have a `suite` too. Without `-p`, dependencies are those that the tests have built.
        package = ["-p", "sealstone"] if {"suite", "--lib"} & set(words) else []
        reds = sorted({sabotage["red"] for sabotage in sabotages})
        commands = [["cargo", "test", "--locked", *package, "--no-fail-fast", *words, "--", *reds]]
        failed = r"^test (\S+) \.\.\. FAILED$"
    for command in commands:
        done = subprocess.run(command, cwd=copy, env=env, capture_output=True, text=True)
        if done.returncode:
            break
    names = re.findall(failed, done.stdout, re.MULTILINE)
    if "SIGABRT" in done.stderr:
        # A panic during a panic: the harness had no chance to print the name.
        names += re.findall(r"^thread '(\S+)'", done.stderr, re.MULTILINE)
    return done, names


def edits_of(sabotage):
    return [(edit["file"], edit["old"], edit["new"]) for edit in (sabotage, *sabotage.get("also", ()))]


def moved(sabotage):
    """What is wrong, if a text to replace does not exist exactly once."""
    for file, old, _ in edits_of(sabotage):
        count = (ROOT / file).read_text().count(old) if (ROOT / file).exists() else 0
        if count != 1:
            return f"{sabotage['name']}: {file} has its text {count} times: the code has moved"
    return None


def undetected(copy, sabotage):
    """What is wrong, if its test did not fail."""
    if fault := moved(sabotage):
        return fault
    edits, name, red = edits_of(sabotage), sabotage["name"], sabotage["red"]
    originals = {copy / file: (copy / file).read_text() for file, _, _ in edits}
    try:
        for file, old, new in edits:
            (copy / file).write_text((copy / file).read_text().replace(old, new))
        done, failed = run(copy, sabotage)
    finally:
        for path, original in originals.items():
            path.write_text(original)
    if "could not compile" in done.stderr:
        return f"{name}: it does not compile:\n{done.stderr[-2000:]}"
    if not any(red in test for test in failed):
        return f"{name}: {red} passed; failed were {failed}"
    print(f"{name}: {len(failed)} tests failed, {failed[0]} among them", flush=True)
    return None


main()
