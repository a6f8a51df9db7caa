"""Sealing and opening in memory against the bare AEAD, in turns within one process: what the target is about."""

import json

from . import programs
from .criterion import note_tools
from .measure import check_runs, ratios, spread


def measure(settings):
    note_tools(settings, {"aws-lc-rs", "sealstone"})
    found = []
    for line in check_runs(programs.build().memory_ratio, "--json").splitlines():
        told = json.loads(line)
        parameters = {name: told[name] for name in ("bytes", "threads", "chunk_bytes")}
        case, entry = told["case"], ("primitive", "memory ratio", told["case"])
        found.append(spread(*entry, "aws-lc-rs", parameters, "s", told["bare_s"]))
        ours = spread(*entry, "sealstone", parameters, "s", told["ours_s"])
        found.append(ours | {"against": ratios("aws-lc-rs", case, told["ours_s"], told["bare_s"])})
    return found
