"""What is a record and what is none, and what is computed from one."""

import csv
import io
import json
import pathlib
import sys
import tempfile
import unittest

sys.path.extend([f"{sys.path[0]}/..", f"{sys.path[0]}/../../tools"])

import made
from harness import criterion, fits, record, targets
from harness.settings import GIB, MIB


class Records(unittest.TestCase):
    def refused(self, change):
        kept = made.record(made.measurement("files", "encrypt", bytes=1, against=2.0))
        record.check(kept)
        change(kept)
        with self.assertRaises(record.Invalid):
            record.check(kept)

    def test_what_no_reader_could_use_is_refused(self):
        entry = "measurements"
        self.refused(lambda kept: kept.pop("left_out"))
        self.refused(lambda kept: kept.update(version=2))
        self.refused(lambda kept: kept.update(more=1))
        self.refused(lambda kept: kept[entry][0].pop("unit"))
        self.refused(lambda kept: kept[entry][0].update(unit="seconds"))
        self.refused(lambda kept: kept[entry][0].update(table="all"))
        self.refused(lambda kept: kept[entry][0].update(tool="unheard of"))
        self.refused(lambda kept: kept[entry][0].update(median=9.0))
        self.refused(lambda kept: kept[entry][0].update(min=-1.0))
        self.refused(lambda kept: kept[entry][0].update(runs=0))
        self.refused(lambda kept: kept[entry][0]["against"].update(min=0))
        self.refused(lambda kept: kept["damage"].append({"tool": "sealstone"}))

    def test_what_is_written_is_read(self):
        kept = made.record(
            made.measurement("files", "encrypt", bytes=7), made.measurement("range", "random", range_bytes=1)
        )
        with tempfile.TemporaryDirectory() as place:
            base = record.write(kept, pathlib.Path(place) / "new")
            self.assertEqual(record.read(base.with_suffix(".json")), kept)
            rows = list(csv.DictReader(io.StringIO(base.with_suffix(".csv").read_text())))
        self.assertEqual([row["bytes"] for row in rows], ["7", ""])
        self.assertEqual([row["range_bytes"] for row in rows], ["", "1"])


class Targets(unittest.TestCase):
    def result(self, text, kept):
        rows = [row for row in targets.results(kept) if text in row[0].what]
        self.assertEqual(len(rows), 1, text)
        return rows[0][1:]

    def test_a_limit_is_met_on_its_own_side_only(self):
        text = "on tmpfs: encrypt, part of `cp`"
        for ratio, met in ((0.59, True), (0.6, True), (0.61, False)):
            kept = made.record(made.measurement("files", "encrypt", bytes=1, against=ratio))
            self.assertEqual(self.result(text, kept), (ratio, met))

    def test_speeds_are_the_other_way_round(self):
        text = "pipe to pipe: speed of encrypt"
        for times, met in ((1.25, False), (1.0, True)):
            kept = made.record(made.measurement("pipes", "encrypt", form="two pipes", against=times))
            self.assertEqual(self.result(text, kept), (1 / times, met))

    def test_what_was_not_measured_is_not_met(self):
        for target, value, met in targets.results(made.record()):
            self.assertEqual((value, met), (None, False), target.what)
            self.assertEqual(targets.shown(target, value), "not measured")

    def test_memory_grows_within_a_case_and_a_form(self):
        def peak(size, median, form):
            return made.measurement("memory", "encrypt", median=median, unit="bytes", bytes=size, form=form)

        flat = made.record(peak(GIB, 8 * MIB, "file"), peak(64 * GIB, 8 * MIB, "file"), peak(GIB, 20 * MIB, "pipe"))
        self.assertEqual(self.result("from 1 GiB on", flat), (1.0, True))
        grown = made.record(peak(GIB, 8 * MIB, "file"), peak(64 * GIB, 16 * MIB, "file"))
        self.assertEqual(self.result("from 1 GiB on", grown), (2.0, False))
        self.assertEqual(self.result("peak memory", grown), (16.0, True))

    def test_threads_are_compared_with_one(self):
        def stream(threads, speed):
            parameters = {"bytes": 64 * MIB, "chunk_bytes": 16384, "threads": threads}
            return made.measurement(
                "throughput", "write bytes", median=speed, table="library", unit="bytes/s", **parameters
            )

        text = "shared buffers"
        self.assertEqual(self.result(text, made.record(stream(1, 2e9), stream(2, 4e9))), (2.0, True))
        self.assertEqual(self.result(text, made.record(stream(1, 2e9))), (None, False))


class Fits(unittest.TestCase):
    def test_a_line_is_found_again(self):
        start, slope = fits.line([(x, 3 + 0.5 * x) for x in (1, 2, 40)])
        self.assertAlmostEqual(start, 3)
        self.assertAlmostEqual(slope, 0.5)

    def test_the_serial_part(self):
        self.assertAlmostEqual(fits.serial_share([(1, 8.0), (4, 2.0)], 4), 0.0)
        self.assertAlmostEqual(fits.serial_share([(1, 8.0), (2, 6.0)], 4), 0.5)
        self.assertAlmostEqual(fits.serial_share([(1, 8.0), (2, 9.0)], 4), 1.0)
        # Threads that share a core say nothing of it.
        self.assertAlmostEqual(fits.serial_share([(1, 8.0), (2, 4.0), (4, 3.9)], 2), 0.0)


class Criterion(unittest.TestCase):
    def entry(self, throughput, group="range/random, cached file", text="range_bytes=1,key=key service"):
        about = {"group_id": group, "function_id": "sealstone", "value_str": text, "throughput": throughput}
        sample = {"iters": [1.0, 2.0, 4.0], "times": [1e9, 4e9, 16e9]}
        with tempfile.TemporaryDirectory() as place:
            directory = pathlib.Path(place)
            (directory / "benchmark.json").write_text(json.dumps(about))
            (directory / "sample.json").write_text(json.dumps(sample))
            return criterion.entry(directory)

    def test_times_are_for_one_iteration(self):
        made_entry = self.entry({"Elements": 1})
        self.assertEqual((made_entry["min"], made_entry["median"], made_entry["max"]), (1.0, 2.0, 4.0))
        self.assertEqual((made_entry["bench"], made_entry["case"]), ("range", "random, cached file"))
        self.assertEqual(made_entry["parameters"], {"range_bytes": 1, "key": "key service"})
        self.assertEqual((made_entry["table"], made_entry["unit"], made_entry["runs"]), ("service", "s", 3))

    def test_speeds_are_bytes_by_seconds(self):
        made_entry = self.entry({"Bytes": 8}, "primitive/seal", "bytes=8")
        self.assertEqual((made_entry["min"], made_entry["median"], made_entry["max"]), (2.0, 4.0, 8.0))
        self.assertEqual((made_entry["table"], made_entry["unit"]), ("primitive", "bytes/s"))


if __name__ == "__main__":
    unittest.main()
