"""The project's targets, computed from a record: ratios within one run wherever there is something to compare with."""

from collections.abc import Callable
from dataclasses import dataclass

from .record import select
from .settings import GIB, KIB, MIB

CHUNK = 16 * KIB


@dataclass
class Target:
    what: str
    # For people and for `met`: "≥ 0.95", or "≤ 10 ms".
    aim: str
    # The figure of a record: `None` if it has none.
    value: Callable

    @property
    def unit(self):
        return "".join(self.aim.split()[2:])

    def met(self, value):
        sign, limit = self.aim.split()[:2]
        return value <= float(limit) if sign == "≤" else value >= float(limit)


def one(entries, get):
    """The figure of the only entry, or `None`."""
    if len(entries) > 1:
        raise ValueError(f"{len(entries)} measurements where one is expected: {entries[0]}")
    return get(entries[0]) if entries else None


def ratio(**wanted):
    """Ours divided by theirs, in the same turns."""
    return lambda record: one(select(record, tool="sealstone", **wanted), lambda entry: entry["against"]["median"])


def speed_ratio(**wanted):
    """Our speed divided by theirs: the inverse."""

    def value(record):
        times = ratio(**wanted)(record)
        return None if times is None else 1 / times

    return value


def median(scale=1, **wanted):
    return lambda record: one(select(record, **wanted), lambda entry: entry["median"] * scale)


def faster_than(theirs, ours=None, **wanted):
    """Our speed divided by the best of theirs."""

    def value(record):
        best = max((entry["median"] for tool in theirs for entry in select(record, tool=tool, **wanted)), default=None)
        mine = one(select(record, tool="sealstone", **(wanted | (ours or {}))), lambda entry: entry["median"])
        return None if best is None or mine is None else mine / best

    return value


def with_threads(**wanted):
    """Speed on all cores divided by that on one thread."""

    def value(record):
        entries = select(record, tool="sealstone", **wanted)
        speeds = {entry["parameters"]["threads"]: entry["median"] for entry in entries}
        return max(speeds.values()) / speeds[1] if 1 in speeds and len(speeds) > 1 else None

    return value


def slower_than_peers(**wanted):
    """Our time divided by the fastest peer's."""

    def value(record):
        entries = select(record, **wanted)
        peers = [entry["median"] for entry in entries if entry["tool"] != "sealstone"]
        mine = one([entry for entry in entries if entry["tool"] == "sealstone"], lambda entry: entry["median"])
        return None if not peers or mine is None else mine / min(peers)

    return value


def peak(record):
    sizes = [entry["median"] / MIB for entry in select(record, bench="memory")]
    return max(sizes, default=None)


def growth(record):
    """The largest peak of objects of 1 GiB and more divided by the smallest, of the worst case."""
    cases = {}
    for entry in select(record, bench="memory"):
        if entry["parameters"]["bytes"] >= GIB:
            cases.setdefault((entry["case"], entry["parameters"]["form"]), []).append(entry["median"])
    return max((max(peaks) / min(peaks) for peaks in cases.values() if len(peaks) > 1), default=None)


def twin(record):
    entries = select(record, bench="files", tool="crypto-free twin")
    return one(entries, lambda entry: entry["against"]["median"])


def in_memory():
    for case in ("seal", "open"):
        for threads, text in ((1, "1 thread"), (2, "2 threads")):
            yield Target(
                f"in memory, 16 KiB chunks, {text}: {case}, part of the bare AEAD's speed",
                "≥ 0.95",
                speed_ratio(bench="memory ratio", case=case, threads=threads),
            )


def streams():
    for case in ("write", "read"):
        yield Target(
            f"streaming {case.rstrip('e')}er, 1 thread, 64 MiB, 16 KiB chunks: speed, times fast-floe's",
            "≥ 1.15",
            faster_than(["fast-floe"], bench="throughput", case=case, bytes=64 * MIB, threads=1, chunk_bytes=CHUNK),
        )
    ways = {"write": "writer, slices", "write bytes": "writer, shared buffers", "read": "reader, slices"}
    for case, way in ways.items():
        yield Target(
            f"streaming {way} of 1 MiB, all cores: speed, times our own on 1 thread",
            "≥ 1.8",
            with_threads(bench="throughput", case=case, bytes=64 * MIB, chunk_bytes=CHUNK),
        )


def whole_files():
    for case in ("encrypt", "decrypt"):
        yield Target(
            f"file to file on tmpfs: {case}, part of `cp`'s wall time", "≤ 0.6", ratio(bench="files", case=case)
        )
    yield Target("the same: speed of encrypt, part of its crypto-free twin's", "≥ 0.9", twin)
    for case in ("encrypt", "decrypt"):
        yield Target(
            f"file to file on disk, synced: {case}, part of `cp` and `sync`", "≤ 1.02", ratio(bench="disk", case=case)
        )
    for case in ("encrypt", "decrypt"):
        yield Target(
            f"pipe to pipe: speed of {case}, part of `cat`'s in its place",
            "≥ 0.9",
            speed_ratio(bench="pipes", case=case, form="two pipes"),
        )


def small_things():
    yield Target("peak memory of a process, whatever the object's size", "≤ 64 MiB", peak)
    yield Target("the same: the largest part from 1 GiB on, flat", "≤ 1.1", growth)
    ranges = {"bench": "range", "case": "random, cached file", "range_bytes": 4 * KIB}
    yield Target("4 KiB at a random place, cached file", "≤ 12 µs", median(1e6, tool="sealstone", **ranges))
    yield Target("the same: time, part of the faster of fast-floe and cobblestone", "≤ 1", slower_than_peers(**ranges))
    large = {"tool": "sealstone", "bytes": 100_000_000_000}
    yield Target(
        "rewrap of a sparse file of 100 GB on tmpfs, local key, whole process",
        "≤ 10 ms",
        median(1e3, bench="rewrap", case="rewrap", file_system="tmpfs", **large),
    )
    for case in ("seal", "open"):
        yield Target(
            f"objects of 4 KiB in memory, detached header, intermediate key: {case} one",
            "≤ 15 µs",
            median(1e6, bench="small_objects", case=case, bytes=4096, key="intermediate key of a local one"),
        )
    yield Target(
        "start to exit on a 1-byte file", "≤ 10 ms", median(1e3, bench="startup", case="encrypt", tool="sealstone")
    )


TARGETS = [*in_memory(), *streams(), *whole_files(), *small_things()]


def results(record):
    """Rows of (target, value or None, whether it is met). A target that was not measured is not met."""
    values = [(target, target.value(record)) for target in TARGETS]
    return [(target, value, value is not None and target.met(value)) for target, value in values]


def shown(target, value):
    if value is None:
        return "not measured"
    number = f"{value:.2f}" if value < 10 else f"{value:.1f}"
    return f"{number} {target.unit}".strip()
