"""A made-up record with round figures, so that results can be computed by hand."""


def measurement(bench, case, tool="sealstone", median=1.0, table="command line", unit="s", **parameters):
    against = parameters.pop("against", None)
    made = {
        "table": table,
        "bench": bench,
        "case": case,
        "tool": tool,
        "parameters": parameters,
        "unit": unit,
        "median": median,
        "min": median / 2,
        "max": median * 2,
        "runs": 3,
    }
    if against is not None:
        made["against"] = {"tool": "cp", "case": "copy", "median": against, "min": against / 2, "max": against * 2}
    return made


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
