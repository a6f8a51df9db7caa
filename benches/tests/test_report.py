"""The report and the page's part. Needs matplotlib."""

import pathlib
import sys
import unittest

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parent.parent)]

import made  # noqa: E402
from harness import plots, report  # noqa: E402
from harness.settings import MIB  # noqa: E402

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

    def test_the_same_record_gives_the_same_bytes(self):
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


if __name__ == "__main__":
    unittest.main()
