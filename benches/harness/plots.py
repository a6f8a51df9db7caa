"""Plots of a record, as SVG: the same bytes for the same record."""

import io
import re

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

from . import fits  # noqa: E402
from .record import select  # noqa: E402
from .settings import GIB, KIB, MIB  # noqa: E402

OURS, OURS_TOO, FLOOR, PEER, PEER_TOO = "#0b6e4f", "#6fbf9b", "#7f8c8d", "#34568b", "#9bb1d4"
STYLE = {
    # Letters are shapes, which look the same everywhere.
    "svg.fonttype": "path",
    "svg.hashsalt": "sealstone",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "figure.facecolor": "white",
}
WIDTH = 7.6


def drawn(draw, height):
    """The SVG of an empty plot after `draw`."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(WIDTH, height), layout="constrained")
        draw(axes)
        out = io.StringIO()
        # Without the date, which would make each file different.
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)
    text = out.getvalue()
    # Without the XML prologue, which a page cannot embed.
    return text[text.index("<svg") :]


def all_plots(record):
    """(name, title, caption, SVG) of each plot that the record has figures for."""
    made = [throughput(record), library(record), scaling(record), threads(record), chunks(record), memory(record)]
    return [plot for plot in made if plot is not None]


def throughput(record):
    entries = select(record, bench="files", table="command line")
    speeds = {}
    for entry in (e for e in entries if e["case"] != "copy" or e["tool"] == "cp"):
        speeds.setdefault(entry["tool"], {})[entry["case"]] = entry["parameters"]["bytes"] / entry["median"] / 1e9
    authenticates = {tool["name"]: tool["authenticates"] for tool in record["tools"]}
    labels = {tool: f"{tool}\n{short(authenticates[tool])}" for tool in speeds}
    axis = "GB of plaintext a second, whole process, median"
    return bars("throughput", "File to file in memory, by tool", axis, speeds, labels)


def library(record):
    speeds = {}
    for entry in select(record, bench="throughput", bytes=64 * MIB):
        case = {"write": "encrypt", "read": "decrypt"}.get(entry["case"])
        name = f"{entry['tool']}, {entry['parameters']['chunk_bytes'] // KIB} KiB, {threads_name(entry)}"
        if case is not None:
            speeds.setdefault(name, {})[case] = entry["median"] / 1e9
    labels = {name: name for name in speeds}
    return bars("library", "Streams of 64 MiB in memory, by crate", "GB of plaintext a second, median", speeds, labels)


def threads_name(entry):
    count = entry["parameters"]["threads"]
    return f"{count} thread" if count == 1 else f"{count} threads"


def short(text):
    """The text up to the first comma, colon or semicolon, if it is long."""
    if len(text) <= 36:
        return text
    head = re.split("[,:;]", text)[0]
    return head + ")" * (head.count("(") - head.count(")"))


def bars(name, title, axis, speeds, labels):
    if not speeds:
        return None
    order = sorted(speeds, key=lambda tool: max(speeds[tool].values()))

    def draw(axes):
        for row, tool in enumerate(order):
            own = tool.startswith("sealstone")
            colours = (OURS, OURS_TOO) if own else (PEER, PEER_TOO)
            present = [case for case in ("encrypt", "decrypt", "copy") if case in speeds[tool]]
            for number, case in enumerate(present):
                height = 0.8 / len(present)
                place = row + 0.4 - height * (number + 0.5)
                value = speeds[tool][case]
                colour = FLOOR if case == "copy" else colours[number]
                axes.barh(place, value, height=height * 0.92, color=colour)
                at = {"xytext": (3, 0), "textcoords": "offset points", "va": "center"}
                axes.annotate(f"{value:.2f} {case}", (value, place), fontsize=8, **at)
        axes.set_yticks(range(len(order)), [labels[tool] for tool in order], fontsize=8.5)
        axes.grid(axis="y", visible=False)
        axes.set_xlim(0, max(max(by.values()) for by in speeds.values()) * 1.18)
        axes.set_xlabel(axis)
        axes.set_title(title, loc="left")

    seen = caption({tool: [f"{case} {speed:.2f} GB/s" for case, speed in speeds[tool].items()] for tool in order[::-1]})
    return name, title, seen, drawn(draw, 0.9 + 0.52 * len(order))


def caption(parts):
    return "; ".join(f"{name}: {', '.join(figures)}" for name, figures in parts.items())


def by_size(axes, sizes, x, y, title):
    """Labels a plot over sizes, from 0 unless it is logarithmic."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [size_name(size) for size in sizes])
    axes.minorticks_off()
    if axes.get_yscale() == "linear":
        axes.set_ylim(bottom=0)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(title, loc="left")


def scaling(record):
    points = {case: fits.by_size(record, case) for case in ("encrypt", "decrypt")}
    if not all(points.values()):
        return None
    lines = {case: fits.line(found) for case, found in points.items()}

    def draw(axes):
        for case, colour in (("encrypt", OURS), ("decrypt", PEER)):
            start, slope = lines[case]
            sizes, seconds = zip(*points[case])
            label = f"{case}: {slope * GIB:.2f} s a GiB"
            axes.plot(sizes, seconds, "o", color=colour, label=label)
            axes.plot(sizes, [start + slope * size for size in sizes], "-", color=colour, linewidth=1)
        axes.set_yscale("log")
        title = "Time by size of the object, file to file in memory, with the fitted line"
        by_size(axes, sizes, "plaintext", "seconds, whole process, median", title)
        axes.legend(frameon=False)

    seen = caption(
        {case: [f"{start * 1000:.0f} ms and {slope * GIB:.2f} s a GiB"] for case, (start, slope) in lines.items()}
    )
    return "scaling", "Time by size of the object", seen, drawn(draw, 3.6)


def threads(record):
    points = {case: fits.by_threads(record, case) for case in ("encrypt", "decrypt")}
    if not all(points.values()):
        return None

    def draw(axes):
        for case, colour in (("encrypt", OURS), ("decrypt", PEER)):
            numbers, seconds = zip(*points[case])
            speed_ups = [seconds[0] / each for each in seconds]
            label = f"{case}: serial part {fits.serial_share(points[case], record['machine']['cores']):.2f}"
            axes.plot(numbers, speed_ups, "o-", color=colour, label=label)
        cores = record["machine"]["cores"]
        axes.plot([1, cores], [1, cores], "--", color=FLOOR, label="ideal, to the number of cores")
        axes.set_xticks(numbers)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("threads")
        axes.set_ylabel("times the speed of 1 thread")
        axes.set_title("Speed by threads, file to file in memory", loc="left")
        axes.legend(frameon=False)

    seen = caption({case: [f"{n} threads {s:.3f} s" for n, s in found] for case, found in points.items()})
    return "threads", "Speed by threads", seen, drawn(draw, 3.4)


def chunks(record):
    curves = {}
    for entry in select(record, bench="primitive", case="seal", threads=1, suite="AES-256-GCM"):
        curves.setdefault(entry["tool"], []).append((entry["parameters"]["chunk_bytes"], entry["median"] / 1e9))
    if not curves:
        return None
    colours = {"sealstone": OURS, "sealstone (RustCrypto)": OURS_TOO, "aws-lc-rs": FLOOR}
    colours |= {"ring": PEER, "aes-gcm": PEER_TOO}

    def draw(axes):
        for tool, points in sorted(curves.items()):
            sizes, speeds = zip(*sorted(points))
            axes.plot(sizes, speeds, "o-", color=colours.get(tool, "black"), label=tool)
        sizes = sorted({size for points in curves.values() for size, _ in points})
        title = "AES-256-GCM by length of chunks, 4 MiB in memory, 1 thread"
        by_size(axes, sizes, "length of a chunk", "GB of plaintext a second, median", title)
        axes.legend(frameon=False, ncols=2)

    seen = caption({tool: [f"{size_name(s)} {v:.2f}" for s, v in sorted(points)] for tool, points in curves.items()})
    return "chunks", "AES-256-GCM by length of chunks", seen, drawn(draw, 3.6)


def memory(record):
    curves = {}
    for entry in select(record, bench="memory"):
        name = f"{entry['case']}, {entry['parameters']['form']}"
        curves.setdefault(name, []).append((entry["parameters"]["bytes"], entry["median"] / MIB))
    if not curves:
        return None

    def draw(axes):
        for case, marker, colour in zip(sorted(curves), "osD^v", (OURS, PEER, OURS_TOO, PEER_TOO, FLOOR)):
            sizes, peaks = zip(*sorted(curves[case]))
            axes.plot(sizes, peaks, marker + "-", color=colour, label=case)
        sizes = sorted({size for points in curves.values() for size, _ in points})
        by_size(axes, sizes, "plaintext", "MiB", "Peak memory of the process (RSS) by size of the object")
        axes.legend(frameon=False, loc="lower right")

    seen = caption({case: [f"{size_name(s)} {v:.1f} MiB" for s, v in sorted(p)] for case, p in curves.items()})
    return "memory", "Peak memory by size of the object", seen, drawn(draw, 3.4)


def size_name(size):
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size / unit:g} {name}"
    return f"{size} B"
