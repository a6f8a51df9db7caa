"""Runs whole processes, measures them, and turns figures into measurements of the record."""

import contextlib
import ctypes
import os
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass

import common

from .settings import KIB

# Linux counts the memory of the forking process into a child's peak until its exec, so a child of Python never shows less
# than Python. So a small shell forks it and exits, and this process adopts the child. The child waits at a gate, so that
# its time includes neither Python nor the shell. Pipes are passed by path: a shell connects background processes to
# /dev/null, and some shells lack descriptors above 9.
LAUNCH = '{ read -r _ <"$GATE"; exec "$@"; } <"$INPUT" & echo $! >"$ANSWER"'
PR_SET_CHILD_SUBREAPER = 36


class Failed(Exception):
    """A process failed that must succeed."""


@dataclass
class Run:
    """Seconds of wall time, processor seconds in user and system mode, bytes."""

    seconds: float
    user: float
    system: float
    peak_rss: int


class Process:
    """A command that waits until it is released. `stdin` is the number of an open file."""

    def __init__(self, command, stdin=None, stdout=None, stderr=None, environment=None):
        adopt_orphans()
        self.command = [*map(str, command)]
        waits, self.gate = os.pipe()
        answers, answer = os.pipe()
        source = os.open(os.devnull, os.O_RDONLY) if stdin is None else os.dup(stdin)
        numbers = {"GATE": waits, "ANSWER": answer, "INPUT": source}
        variables = {**os.environ, **(environment or {}), **{n: f"/dev/fd/{end}" for n, end in numbers.items()}}
        launcher = ["sh", "-c", LAUNCH, "sh", *self.command]
        streams = {"stdin": subprocess.DEVNULL, "stdout": stdout, "stderr": stderr}
        with contextlib.ExitStack() as ends:
            for end in numbers.values():
                ends.callback(os.close, end)
            subprocess.run(launcher, env=variables, pass_fds=tuple(numbers.values()), check=True, **streams)
        with open(answers) as file:
            # The child keeps its end of this pipe open, so that there is a line and no end.
            self.pid = int(file.readline())
        self.start = None

    def release(self):
        self.start = time.perf_counter()
        os.close(self.gate)

    def wait(self):
        """The exit status, negative for a signal, and the run."""
        _, status, usage = os.wait4(self.pid, 0)
        seconds = time.perf_counter() - self.start
        run = Run(seconds, usage.ru_utime, usage.ru_stime, usage.ru_maxrss * KIB)
        return os.waitstatus_to_exitcode(status), run


def adopt_orphans():
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def timed(command, stdin=None, stdout=None, environment=None):
    """Runs a command that must succeed, and returns its run."""
    return pipeline([command], stdin, stdout, environment)[1][0]


def pipeline(commands, stdin=None, stdout=None, environment=None):
    """Runs commands, each reading what the previous one writes; returns total wall seconds, and each one's run."""
    processes = []
    # A file, because a pipe that is not read would block them.
    with tempfile.TemporaryFile() as errors:
        source = stdin
        for number, command in enumerate(commands):
            last = number == len(commands) - 1
            read_end, write_end = (None, stdout or subprocess.DEVNULL) if last else os.pipe()
            processes.append(Process(command, source, write_end, errors, environment))
            if not last:
                os.close(write_end)
            if number > 0:
                os.close(source)
            source = read_end
        for process in processes:
            process.release()
        ends = [process.wait() for process in processes]
        seconds = time.perf_counter() - processes[0].start
        for process, (status, _) in zip(processes, ends):
            if status != 0:
                errors.seek(0)
                text = errors.read().decode(errors="replace").strip()
                raise Failed(f"{' '.join(process.command)}: exit {status}: {text}")
    return seconds, [run for _, run in ends]


def check_runs(*command, environment=None):
    """Runs a command without measuring it, and returns its output."""
    variables = {**os.environ, **(environment or {})}
    streams = {"stdin": subprocess.DEVNULL, "capture_output": True}
    done = subprocess.run([*map(str, command)], env=variables, text=True, **streams)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def interleaved(turns, sides):
    """Runs every side in every turn; returns each side's results in the order of the turns.

    `sides` are pairs of a name and a function. An additional first turn warms up, and is not counted.
    """
    results = {name: [] for name, _ in sides}
    for turn in range(turns + 1):
        for name, side in sides:
            result = side()
            if turn > 0:
                results[name].append(result)
    return results


def measurement(table, bench, case, tool, parameters, runs, against=None):
    """An entry of the record from runs of a process. `against` is (tool, case, its runs in the same turns)."""
    seconds = [run.seconds for run in runs]
    entry = spread(table, bench, case, tool, parameters, "s", seconds) | costs(seconds, runs)
    if against is not None:
        their_tool, their_case, theirs = against
        entry["against"] = ratios(their_tool, their_case, seconds, [run.seconds for run in theirs])
    return entry


def costs(seconds, runs):
    """What the run of the median of these seconds used."""
    middle = statistics.median(seconds)
    _, typical = min(zip(seconds, runs), key=lambda pair: abs(pair[0] - middle))
    return {"user_s": typical.user, "system_s": typical.system, "peak_rss_bytes": typical.peak_rss}


def spread(table, bench, case, tool, parameters, unit, values):
    """An entry of the record from figures."""
    return {
        "table": table,
        "bench": bench,
        "case": case,
        "tool": tool,
        "parameters": parameters,
        "unit": unit,
        "runs": len(values),
        **common.spread(values),
    }


def ratios(tool, case, ours, theirs):
    """Ours divided by theirs, pair by pair."""
    pairs = [our / their for our, their in zip(ours, theirs, strict=True)]
    return {"tool": tool, "case": case, **common.spread(pairs)}
