"""The record of a run: one JSON object, and a table of its measurements.

Targets, slopes and plots are computed from it, and not stored.
"""

import csv
import json

VERSION = 1
TABLES = ("primitive", "library", "command line", "service")
UNITS = ("s", "bytes/s", "bytes", "count")
KEYS = {
    "record": set("version date commit quick seconds machine tools measurements damage left_out".split()),
    "measurement": {"table", "bench", "case", "tool", "parameters", "unit", "median", "min", "max", "runs"},
    "measurement, optional": {"user_s", "system_s", "peak_rss_bytes", "against"},
    "against": {"tool", "case", "median", "min", "max"},
    "damage": {"tool", "refused", "exit", "unverified_bytes", "output_left", "how"},
    "left_out": {"what", "why"},
}


class Invalid(Exception):
    """This is not a valid record."""


def check(record):
    """Raises `Invalid` for the first fault."""
    expect_keys("record", record)
    if record["version"] != VERSION:
        raise Invalid(f"version {record['version']}, and this program knows {VERSION}")
    tools = {tool["name"] for tool in record["tools"]}
    for entry in record["measurements"]:
        check_measurement(entry, tools)
    for row in record["damage"]:
        expect_keys("damage", row)
        expect(row["tool"] in tools, f"damage of {row['tool']!r}, which is not among the tools")
    for row in record["left_out"]:
        expect_keys("left_out", row)


def check_measurement(entry, tools):
    expect_keys("measurement", entry, KEYS["measurement, optional"])
    name = f"{entry['bench']}/{entry['case']} of {entry['tool']}"
    expect(entry["table"] in TABLES, f"{name}: no table {entry['table']!r}")
    expect(entry["unit"] in UNITS, f"{name}: no unit {entry['unit']!r}")
    expect(entry["tool"] in tools, f"{name}: not among the tools")
    expect(0 <= entry["min"] <= entry["median"] <= entry["max"], f"{name}: its median is not between its ends")
    expect(entry["runs"] >= 1, f"{name}: no run")
    against = entry.get("against")
    if against is not None:
        expect_keys("against", against)
        expect(0 < against["min"] <= against["median"] <= against["max"], f"{name}: its ratios are in no order")


def expect_keys(kind, value, optional=frozenset()):
    missing, unknown = KEYS[kind] - value.keys(), value.keys() - KEYS[kind] - optional
    expect(not missing and not unknown, f"{kind}: missing {sorted(missing)}, unknown {sorted(unknown)}")


def expect(holds, message):
    if not holds:
        raise Invalid(message)


def write(record, directory):
    """Writes `<date>.json` and `<date>.csv`, and returns the path without suffix."""
    check(record)
    directory.mkdir(parents=True, exist_ok=True)
    base = directory / record["date"]
    text = json.dumps(record, indent=1, sort_keys=True, ensure_ascii=False)
    base.with_suffix(".json").write_text(text + "\n")
    with base.with_suffix(".csv").open("w", newline="") as file:
        write_rows(record, file)
    return base


def read(path):
    record = json.loads(path.read_text())
    check(record)
    return record


def write_rows(record, file):
    """A line for each measurement, with a column for each parameter."""
    parameters = sorted({name for entry in record["measurements"] for name in entry["parameters"]})
    fixed = ["table", "bench", "case", "tool", "unit", "median", "min", "max", "runs"]
    costs = ["user_s", "system_s", "peak_rss_bytes"]
    against = ["against_tool", "against_case", "ratio_median", "ratio_min", "ratio_max"]
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(fixed + parameters + costs + against)
    for entry in record["measurements"]:
        ratio = entry.get("against") or {}
        rows.writerow(
            [entry[name] for name in fixed]
            + [entry["parameters"].get(name, "") for name in parameters]
            + [entry.get(name, "") for name in costs]
            + [ratio.get(name, "") for name in ("tool", "case", "median", "min", "max")]
        )


def select(record, **wanted):
    """Measurements whose fields, or parameters, have these values."""

    def value(entry, name):
        return entry[name] if name in entry else entry["parameters"].get(name)

    return [e for e in record["measurements"] if all(value(e, name) == wish for name, wish in wanted.items())]
