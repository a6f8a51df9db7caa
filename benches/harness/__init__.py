"""Benchmarks of whole processes and of peers, and the record and report of a run."""

import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
