"""What measurements say about growth: a line through times by size, a share that does not go faster with threads."""

from .record import select


def line(points):
    """Least squares through (x, y): the value at 0, and the slope."""
    count = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    return mean_y - slope * mean_x, slope


def by_size(record, case):
    """(bytes, seconds) of the sweep of sizes."""
    entries = select(record, bench="scaling", case=case, sweep="size")
    return sorted((entry["parameters"]["bytes"], entry["median"]) for entry in entries)


def by_threads(record, case):
    """(threads, seconds) of the sweep of threads."""
    entries = select(record, bench="scaling", case=case, sweep="threads")
    return sorted((entry["parameters"]["threads"], entry["median"]) for entry in entries)


def serial_share(points):
    """Amdahl's serial part of (threads, seconds), from 1 thread and the fastest point."""
    times = dict(points)
    threads, best = min(points, key=lambda point: point[1])
    if threads == 1:
        return 1.0
    speed_up = times[1] / best
    return max(0.0, (1 / speed_up - 1 / threads) / (1 - 1 / threads))
