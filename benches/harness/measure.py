"""Whole processes: what they cost, and how figures become a measurement of the record."""

import contextlib
import ctypes
import os
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass

from .settings import KIB

# Linux counts the memory of whoever forks into a child's peak, from before its exec on, so that a child of Python
# never shows less than Python. So a shell forks it, which holds little, and leaves it to this process, which Linux then
# makes the child's parent. The child waits to be let go, so that neither Python nor the shell is in its time.
# Ends of pipes go by their paths: a shell gives /dev/null to what it leaves behind, and not all know numbers above 9.
LAUNCH = '{ read -r _ <"$GATE"; exec "$@"; } <"$INPUT" & echo $! >"$ANSWER"'
PR_SET_CHILD_SUBREAPER = 36


class Failed(Exception):
    """A process that had to succeed did not."""


@dataclass
class Run:
    """Seconds of wall time, processor seconds of the process and of the system for it, bytes."""

    seconds: float
    user: float
    system: float
    peak_rss: int


class Process:
    """A command that stands ready and begins when it is let go. `stdin` is the number of an open file."""

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

    def let_go(self):
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
    """Runs a command to its end, which must be a good one; gives its run."""
    return pipeline([command], stdin, stdout, environment)[1][0]


def pipeline(commands, stdin=None, stdout=None, environment=None):
    """Runs commands, each reading what the one before it writes; gives wall seconds in all, and each one's run."""
    processes = []
    # A file, and no pipe: nobody reads what they complain about while they run.
    with tempfile.TemporaryFile() as complaints:
        source = stdin
        for number, command in enumerate(commands):
            last = number == len(commands) - 1
            read_end, write_end = (None, stdout or subprocess.DEVNULL) if last else os.pipe()
            processes.append(Process(command, source, write_end, complaints, environment))
            if not last:
                os.close(write_end)
            if number > 0:
                os.close(source)
            source = read_end
        for process in processes:
            process.let_go()
        ends = [process.wait() for process in processes]
        seconds = time.perf_counter() - processes[0].start
        for process, (status, _) in zip(processes, ends):
            if status != 0:
                complaints.seek(0)
                text = complaints.read().decode(errors="replace").strip()
                raise Failed(f"{' '.join(process.command)}: exit {status}: {text}")
    return seconds, [run for _, run in ends]


def check_runs(*command, environment=None):
    """Runs a command that is not measured."""
    variables = {**os.environ, **(environment or {})}
    streams = {"stdin": subprocess.DEVNULL, "capture_output": True}
    done = subprocess.run([*map(str, command)], env=variables, text=True, **streams)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def interleaved(turns, sides):
    """Runs every side in every turn; gives, for each side's name, its results in the order of the turns.

    `sides` are pairs of a name and a function. One turn more comes first, to warm up, and is not counted.
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
    middle = statistics.median(seconds)
    typical = min(runs, key=lambda run: abs(run.seconds - middle))
    entry = spread(table, bench, case, tool, parameters, "s", seconds)
    entry |= {"user_s": typical.user, "system_s": typical.system, "peak_rss_bytes": typical.peak_rss}
    if against is not None:
        their_tool, their_case, theirs = against
        entry["against"] = ratios(their_tool, their_case, seconds, [run.seconds for run in theirs])
    return entry


def spread(table, bench, case, tool, parameters, unit, values):
    """An entry of the record from figures."""
    return {
        "table": table,
        "bench": bench,
        "case": case,
        "tool": tool,
        "parameters": parameters,
        "unit": unit,
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "runs": len(values),
    }


def ratios(tool, case, ours, theirs):
    """Ours in parts of theirs, pair by pair."""
    pairs = [our / their for our, their in zip(ours, theirs, strict=True)]
    return {"tool": tool, "case": case, "median": statistics.median(pairs), "min": min(pairs), "max": max(pairs)}
