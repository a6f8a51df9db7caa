"""Sealing and opening in memory against the bare AEAD, in turns within one process."""

import json

from . import programs
from .criterion import note_tools
from .measure import check_runs, ratios, spread


def measure(settings):
    note_tools(settings, {"aws-lc-rs", "sealstone"})
    found = []
    for line in check_runs(programs.build().memory_ratio, "--json").splitlines():
        timing = json.loads(line)
        parameters = {name: timing[name] for name in ("bytes", "threads", "chunk_bytes")}
        case, entry = timing["case"], ("primitive", "memory ratio", timing["case"])
        found.append(spread(*entry, "aws-lc-rs", parameters, "s", timing["bare_s"]))
        ours = spread(*entry, "sealstone", parameters, "s", timing["ours_s"])
        found.append(ours | {"against": ratios("aws-lc-rs", case, timing["ours_s"], timing["bare_s"])})
    return found
