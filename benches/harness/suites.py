"""What measures whole processes and peers, in the order in which a run does it.

A suite is a name and a function of the settings that gives a list of measurements, or of damage rows, as the record has
them. Tools and what was left out gather in the settings: `settings.tools` (by name) and `settings.left_out`.
"""

from . import damage, disk, files, memory, pipes, python_peers, rewrap_cli, scaling, startup


def suites():
    """Measurements."""
    return [
        ("startup", startup.measure),
        ("rewrap_cli", rewrap_cli.measure),
        ("files", files.measure),
        ("pipes", pipes.measure),
        ("disk", disk.measure),
        ("scaling", scaling.measure),
        ("memory", memory.measure),
        ("python_peers", python_peers.measure),
    ]


def damage_suites():
    """Rows about objects with one byte flipped."""
    return [("damage", damage.damage), ("python_peers damage", python_peers.damage)]
