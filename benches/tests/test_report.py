"""The report and the page's part. Needs matplotlib.

test_report.py [RECORD.json]       the report of this record, instead of the newest one that is kept
"""

import collections
import html.parser
import pathlib
import re
import sys
import unittest

sys.path.extend([f"{sys.path[0]}/..", f"{sys.path[0]}/../../tools"])

import made
from harness import plots, record, report, targets
from harness.settings import MIB, ROOT

HOSTILE = "<script>alert('1')</script>&\""


def scaling(case, size):
    return made.measurement("scaling", case, median=size / 1e9, bytes=size, threads=2, sweep="size")


def files():
    entries = [
        made.measurement("files", "encrypt", bytes=1e9, against=0.5),
        made.measurement("files", "copy", "cp", bytes=1e9),
    ]
    return [*entries, *(scaling(case, size) for case in ("encrypt", "decrypt") for size in (MIB, 4 * MIB, 16 * MIB))]


class Report(unittest.TestCase):
    def test_texts_are_texts(self):
        kept = made.record(made.measurement("files", HOSTILE, HOSTILE, bytes=1e9, note=HOSTILE))
        kept["machine"]["processor"] = kept["commit"] = HOSTILE
        kept["left_out"] = [{"what": HOSTILE, "why": HOSTILE}]
        page = report.page(kept)
        self.assertNotIn("<script", page)
        self.assertGreaterEqual(page.count("&lt;script&gt;"), 6)

    def test_the_same_record_makes_the_same_bytes(self):
        self.assertEqual(report.page(made.record(*files())), report.page(made.record(*files())))

    def test_plots_are_of_what_there_is(self):
        self.assertEqual(plots.all_plots(made.record()), [])
        self.assertEqual([name for name, *_ in plots.all_plots(made.record(*files()))], ["throughput", "scaling"])

    def test_the_page_gets_its_table_and_keeps_the_rest(self):
        page = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
        new = report.with_table(page, made.record(*files()))
        self.assertTrue(new.startswith("before\n") and new.endswith("\nafter\n"))
        self.assertNotIn("old", new)
        self.assertIn("| ≤ 0.6 | 0.50 |", new)
        self.assertEqual(report.with_table(new, made.record(*files())), new)

    def test_a_target_that_is_missed_says_so(self):
        kept = made.record(made.measurement("files", "encrypt", bytes=1, against=2.0))
        self.assertIn("| 2.00: not reached |", report.with_table(f"{report.BEGIN}{report.END}", kept))


class Seen(html.parser.HTMLParser):
    """What a page shows: rows and cells of tables by id, plots and their paths, and what it would fetch."""

    def __init__(self, page):
        super().__init__()
        self.table, self.rows, self.cells = "", collections.Counter(), collections.defaultdict(list)
        self.plots, self.paths, self.labels, self.fetched = [], collections.Counter(), [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.fetched += [value for name, value in attributes.items() if name in ("src", "href", "xlink:href")]
        if tag == "table":
            self.table = attributes["id"]
        elif tag == "td":
            self.cells[self.table].append("")
        elif tag == "figure":
            self.plots.append(attributes["id"])
        elif tag == "svg":
            self.labels.append(attributes.get("aria-label"))
        self.rows[self.table] += tag == "tr"
        if tag == "path" and self.plots:
            self.paths[self.plots[-1]] += 1

    def handle_data(self, data):
        if self.cells[self.table]:
            self.cells[self.table][-1] += data


class WholeReport(unittest.TestCase):
    path = max((ROOT / "benches" / "record").glob("*/*.json"), key=lambda path: path.stem)

    @classmethod
    def setUpClass(cls):
        cls.record = record.read(cls.path)
        cls.page = report.page(cls.record)
        cls.seen = Seen(cls.page)

    def test_tables_are_complete(self):
        rows = {name: len([m for m in self.record["measurements"] if m["table"] == name]) for name in report.TABLES}
        rows |= {"damage": len(self.record["damage"]), "tools": len(self.record["tools"])}
        rows |= {"left out": len(self.record["left_out"]), "targets table": len(targets.TARGETS)}
        for name, count in rows.items():
            # Without the row of the head; a table without rows may be missing.
            self.assertEqual(max(0, self.seen.rows[name.replace(" ", "-")] - 1), count, name)

    def test_targets_show_their_values(self):
        wanted = [targets.shown(target, value) for target, value, _ in targets.results(self.record)]
        self.assertEqual(self.seen.cells["targets-table"][2::4], wanted)

    def test_every_plot_is_drawn_and_has_a_name(self):
        self.assertEqual(len(self.seen.plots), 6)
        for plot in self.seen.plots:
            # Bars and curves, and not only a frame.
            self.assertGreater(self.seen.paths[plot], 20, plot)
        self.assertEqual([label for label in self.seen.labels if not label], [])

    def test_nothing_is_fetched(self):
        self.assertEqual([link for link in self.seen.fetched if not link.startswith(("#", "data:"))], [])
        self.assertEqual([link for link in re.findall(r"url\((.)|@import", self.page) if link != "#"], [])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        WholeReport.path = pathlib.Path(sys.argv.pop())
    unittest.main()
