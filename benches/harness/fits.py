"""Growth: a line through times by size, and the serial part by number of threads."""

from .record import select


def line(points):
    """Least squares of relative errors of (x, y), so that small ones count as much: the value at 0, and the slope."""
    weights = [1 / y**2 for _, y in points]
    total = sum(weights)
    mean_x = sum(w * x for w, (x, _) in zip(weights, points)) / total
    mean_y = sum(w * y for w, (_, y) in zip(weights, points)) / total
    spread = sum(w * (x - mean_x) ** 2 for w, (x, _) in zip(weights, points))
    slope = sum(w * (x - mean_x) * (y - mean_y) for w, (x, y) in zip(weights, points)) / spread
    return mean_y - slope * mean_x, slope


def by_size(record, case):
    """(bytes, seconds) of the sweep of sizes."""
    entries = select(record, bench="scaling", case=case, sweep="size")
    return sorted((entry["parameters"]["bytes"], entry["median"]) for entry in entries)


def by_threads(record, case):
    """(threads, seconds) of the sweep of threads."""
    entries = select(record, bench="scaling", case=case, sweep="threads")
    return sorted((entry["parameters"]["threads"], entry["median"]) for entry in entries)


def serial_share(points, cores):
    """Amdahl's serial part of (threads, seconds), from 1 thread and the fastest point that has a core for each thread."""
    threads, best = min((point for point in points if point[0] <= cores), key=lambda point: point[1])
    if threads == 1:
        return 1.0
    speed_up = dict(points)[1] / best
    return max(0.0, (1 / speed_up - 1 / threads) / (1 - 1 / threads))
