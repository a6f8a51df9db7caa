"""Time of sealstone by size, by number of threads, and by length of chunks: file to file in memory.

Every turn runs all sizes, or all numbers, or all lengths, so that a drift of the machine's speed affects all of them.
"""

import os

from . import programs
from .measure import interleaved, measurement
from .places import random_file, remove, scratch
from .settings import GIB, KIB, MIB

SIZES = [MIB, 4 * MIB, 16 * MIB, 64 * MIB, 256 * MIB, GIB, 4 * GIB]
CHUNKS = {"16K": 16 * KIB, "64K": 64 * KIB, "256K": 256 * KIB, "1M": MIB}


def measure(settings):
    sizes = [size for size in SIZES if size <= 2 * settings.bytes]
    swept = min(GIB, settings.bytes)
    turns = min(settings.turns, 3)
    # A file of each size, a sealed one and an opened one.
    with scratch(settings.dir, sum(sizes) + 2 * max(sizes)) as place:
        by_size = sizes_sweep(settings, place, sizes, turns)
        plain = random_file(place / "swept", swept)
        return by_size + threads_sweep(settings, place, plain, turns) + chunks_sweep(settings, place, plain, turns)


def sizes_sweep(settings, place, sizes, turns):
    sealstone = programs.Sealstone(settings, place)
    plains = {size: random_file(place / f"plain-{size}", size) for size in sizes}
    sides = [side for size in sizes for side in both(sealstone, place, plains[size], size)]
    runs = interleaved(turns, sides)
    for plain in plains.values():
        remove(plain)
    return entries(runs, lambda size: sealstone.parameters(size) | {"sweep": "size"})


def threads_sweep(settings, place, plain, turns):
    size = plain.stat().st_size
    tools = {number: programs.Sealstone(settings, place, number) for number in numbers_of_threads()}
    sides = [side for number, tool in tools.items() for side in both(tool, place, plain, number)]
    runs = interleaved(turns, sides)
    return entries(runs, lambda number: tools[number].parameters(size) | {"sweep": "threads"})


def chunks_sweep(settings, place, plain, turns):
    size = plain.stat().st_size
    tools = {text: programs.Sealstone(settings, place, None, "--chunk-size", text) for text in CHUNKS}
    sides = [side for text, tool in tools.items() for side in both(tool, place, plain, text)]
    runs = interleaved(turns, sides)

    def parameters(text):
        return tools[text].parameters(size) | {"chunk_bytes": CHUNKS[text], "sweep": "chunks"}

    return entries(runs, parameters)


def numbers_of_threads():
    """1, 2, 4 and so on below the number of cores, that number, and its double."""
    cores = os.cpu_count() or 1
    numbers = {1, cores, 2 * cores}
    number = 2
    while number < cores:
        numbers.add(number)
        number *= 2
    return sorted(numbers)


def both(sealstone, place, plain, point):
    """The sides of a point: encrypt, and decrypt the result."""
    sealed, opened = place / "sealed", place / "opened"
    return [
        ((point, "encrypt"), lambda: sealstone.time_encrypt(plain, sealed)),
        ((point, "decrypt"), lambda: sealstone.time_decrypt(sealed, opened, plain)),
    ]


def entries(runs, parameters):
    return [
        measurement("command line", "scaling", case, "sealstone", parameters(point), side)
        for (point, case), side in runs.items()
    ]
