"""A made-up record with round figures, so that results can be computed by hand."""

import common
from harness.measure import spread


def measurement(bench, case, tool="sealstone", median=1.0, table="command line", unit="s", **parameters):
    against = parameters.pop("against", None)
    made = spread(table, bench, case, tool, parameters, unit, around(median))
    if against is not None:
        made["against"] = {"tool": "cp", "case": "copy", **common.spread(around(against))}
    return made


def around(median):
    return [median / 2, median, median * 2]


def record(*measurements):
    names = {entry["tool"] for entry in measurements} | {"sealstone"}
    return {
        "version": 1,
        "date": "2001-02-03",
        "commit": "none",
        "quick": True,
        "seconds": 1,
        "machine": {
            "arch": "none",
            "processor": "made up",
            "cores": 2,
            "flags": [],
            "memory_bytes": 2**30,
            "memory_kept": False,
            "kernel": "0",
            "load_before": 0,
        },
        "tools": [
            {"name": n, "version": "0", "kind": "system", "package": "p", "authenticates": "a", "threads": "1"}
            for n in sorted(names)
        ],
        "measurements": list(measurements),
        "damage": [],
        "left_out": [],
    }
