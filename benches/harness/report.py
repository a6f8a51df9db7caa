"""The report of a record: one HTML file that needs nothing else, and the part of docs/performance.md that shows figures."""

import html

from common import replace_between

from . import plots, targets

TABLES = {
    "primitive": "Primitive: AEADs on bytes in memory",
    "library": "Library: within one process",
    "command line": "Command line: whole processes",
    "service": "Key service: with calls of one between",
}
STYLE = """
:root { color-scheme: light dark; --line: #c8ccd0; --soft: #f4f6f7; --text: #1c2329; --good: #0b6e4f; --bad: #a33; }
@media (prefers-color-scheme: dark) {
  :root { --line: #454c53; --soft: #22282e; --text: #e6e9ec; --good: #6fbf9b; --bad: #f08a80; }
  body { background: #171b1f; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); margin: 0 auto; max-width: 62rem; padding: 1rem; }
h1 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
.scroll { overflow-x: auto; } .scroll:focus-visible { outline: 2px solid var(--good); }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .75rem .3rem 0; text-align: left; vertical-align: top; }
thead th { background: var(--soft); } td.number { text-align: right; white-space: nowrap; } td.aim { white-space: nowrap; }
.met { color: var(--good); font-weight: 600; } .missed { color: var(--bad); font-weight: 600; }
figure { margin: 1rem 0 2rem; } figure svg { width: 100%; height: auto; background: white; }
figcaption { font-size: .875rem; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; } dd { margin: 0; overflow-wrap: anywhere; }
"""


def page(record):
    date = escaped(record["date"])
    parts = [
        f"<h1>What sealstone costs, {date}</h1>",
        summary(record),
        "<h2 id='targets'>Targets</h2>",
        "<p>Ratios are of runs that took turns, where there is something to compare with.</p>",
        targets_table(record),
        "<h2>Plots</h2>",
        *[figure(*plot) for plot in plots.all_plots(record)],
    ]
    for name, title in TABLES.items():
        entries = [entry for entry in record["measurements"] if entry["table"] == name]
        if entries:
            parts += [f"<h2>{title}</h2>", measurements_table(name, entries)]
    parts += ["<h2>What becomes of a flipped bit</h2>", damage_table(record), "<h2>Tools</h2>", tools_table(record)]
    parts += ["<h2>Left out</h2>", left_out_table(record)]
    body = "\n".join(parts)
    return (
        "<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        # Nothing is fetched, not even an icon.
        "<link rel='icon' href='data:,'>\n"
        f"<title>sealstone benches, {date}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def escaped(value):
    return html.escape(str(value), quote=True)


def summary(record):
    machine = record["machine"]
    facts = {
        "Commit": record["commit"]
        + (", a quick run: the figures only show that everything works" if record["quick"] else ""),
        "Processor": f"{machine['processor']}, {machine['cores']} logical; {' '.join(machine['flags']) or 'flags unknown'}",
        "Memory": f"{machine['memory_bytes'] / 2**30:.1f} GiB"
        + (", kept from going back to the host during the run" if machine["memory_kept"] else ""),
        "System": f"Linux {machine['kernel']}, {machine['arch']}",
        "Load before": machine["load_before"],
        "Took": f"{record['seconds']} s",
    }
    return "<dl>" + "".join(f"<dt>{escaped(n)}</dt><dd>{escaped(v)}</dd>" for n, v in facts.items()) + "</dl>"


def table(name, head, rows):
    """A scrollable table. Cells are text, or (class, text)."""

    def cell(value):
        kind, text = value if isinstance(value, tuple) else ("", value)
        return f"<td class='{kind}'>{escaped(text)}</td>" if kind else f"<td>{escaped(text)}</td>"

    lines = "".join("<tr>" + "".join(map(cell, row)) + "</tr>\n" for row in rows)
    heads = "".join(f"<th scope='col'>{escaped(text)}</th>" for text in head)
    return (
        f"<div class='scroll' tabindex='0' role='region' aria-label='{escaped(name)}'><table id='{name.replace(' ', '-')}'>"
        f"<thead><tr>{heads}</tr></thead>\n<tbody>{lines}</tbody></table></div>"
    )


def targets_table(record):
    rows = []
    for target, value, met in targets.results(record):
        state = ("met", "met") if met else ("missed", "not met" if value is not None else "not measured")
        rows.append([target.what, ("aim", target.aim), ("number", targets.shown(target, value)), state])
    return table("targets table", ["What", "Aim", "Measured", ""], rows)


def figure(name, title, seen, svg):
    labelled = svg.replace("<svg ", f"<svg role='img' aria-label='{escaped(title)}' ", 1)
    return f"<figure id='{name}'>{labelled}<figcaption>{escaped(seen)}</figcaption></figure>"


def measurements_table(name, entries):
    rows = []
    for entry in entries:
        ratio = entry.get("against")
        parameters = ", ".join(f"{key} {value}" for key, value in entry["parameters"].items())
        figures = [("number", figure_of(entry[name], entry["unit"])) for name in ("median", "min", "max")]
        parts = (
            f"{ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f}) of {ratio['tool']}'s" if ratio else ""
        )
        what = f"{entry['bench']}: {entry['case']}"
        rows.append([what, entry["tool"], parameters, *figures, ("number", entry["runs"]), parts])
    return table(name, ["What", "Tool", "Parameters", "Median", "Least", "Most", "Runs", "Time, in parts"], rows)


def figure_of(value, unit):
    if unit == "s":
        for scale, name in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
            if value >= scale:
                return f"{value / scale:.3g} {name}"
        return f"{value * 1e9:.3g} ns"
    if unit == "bytes/s":
        return f"{value / 1e9:.3g} GB/s"
    if unit == "bytes":
        return f"{value / 2**20:.1f} MiB"
    return f"{value:g}"


def damage_table(record):
    rows = [
        [
            row["tool"],
            ("met", "refused") if row["refused"] else ("missed", "not noticed"),
            ("number", f"{row['unverified_bytes']:,}"),
            "" if row["exit"] is None else row["exit"],
            "left" if row["output_left"] else "none",
            row["how"],
        ]
        for row in record["damage"]
    ]
    return table("damage", ["Tool", "The damage is", "Unverified bytes out", "Exit", "Output file", "How"], rows)


def tools_table(record):
    names = ("name", "version", "kind", "package", "authenticates", "threads")
    rows = [[tool[name] for name in names] for tool in record["tools"]]
    return table("tools", [name.capitalize() for name in names], rows)


def left_out_table(record):
    return table("left out", ["What", "Why"], [[row["what"], row["why"]] for row in record["left_out"]])


BEGIN, END = "<!-- benches:table -->", "<!-- /benches:table -->"
PAGE_PLOTS = ("throughput", "scaling")


def with_table(page, record):
    """The page with the table of a record between its marks."""
    lines = ["", "| What | Aim | Measured |", "|---|---|---|"]
    for target, value, met in targets.results(record):
        mark = "" if met or value is None else ": not reached"
        lines.append(f"| {target.what} | {target.aim} | {targets.shown(target, value)}{mark} |")
    return replace_between(page, (BEGIN, END), "\n".join([*lines, ""]))


def page_plots(record):
    """File name and SVG of the plots that docs/performance.md shows."""
    namespace = 'xmlns="http://www.w3.org/2000/svg"'
    made = {name: svg for name, _, _, svg in plots.all_plots(record) if name in PAGE_PLOTS}
    for svg in made.values():
        assert namespace in svg, "a separate file needs its namespace"
    return {f"{name}.svg": svg for name, svg in made.items()}
