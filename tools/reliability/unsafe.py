#!/usr/bin/env python3
"""Counts `unsafe` by crate, in the product and in tests; each needs a comment `SAFETY:` right above it.

Clippy checks blocks of the workspace; this also sees `unsafe impl`, code for other platforms, and crates outside of it.
"""

import collections
import re
import sys

sys.path.append(f"{sys.path[0]}/..")

from common import ROOT, files, report

# `unsafe` as code: not within a comment, a string, or a lint's name.
CODE = re.compile(r"\bunsafe\b(?!_)")


def main():
    counts, bare = collections.Counter(), []
    for name in files("*.rs"):
        lines = (ROOT / name).read_text().split("\n")
        for number, line in enumerate(lines):
            if not CODE.search(re.sub(r'"[^"]*"|//.*', "", line)):
                continue
            counts[crate(name), "product" if "/src/" in name else "tests"] += 1
            # A method of an unsafe trait is the trait's to argue for: the impl has the comment.
            if not line.strip().startswith("unsafe fn") and not argued(lines, number):
                bare.append(f"{name}:{number + 1}: {line.strip()}")
    for (where, kind), count in sorted(counts.items()):
        print(f"{where}, {kind}: {count}")
    product = sum(count for (_, kind), count in counts.items() if kind == "product")
    report("unsafe", counts.total(), product=product, without_a_reason=len(bare))
    if bare:
        raise SystemExit("\n".join(bare))


def crate(name):
    parts = name.split("/")
    return "/".join(parts[:2]) if parts[0] == "integrations" else parts[0]


def argued(lines, number):
    """Whether the comment right above it says SAFETY."""
    while number and lines[number - 1].strip().startswith("//"):
        number -= 1
        if "SAFETY:" in lines[number]:
            return True
    return False


main()
