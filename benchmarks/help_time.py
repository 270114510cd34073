"""How long `steiner --help` takes, beside an interpreter that does nothing.

    python benchmarks/help_time.py [--repeats 20]

The two are timed in turn, so that both see the same machine. The project's bound is 0.3 s on a quiet machine.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "steiner --help": [sys.executable, "-m", "steiner.cli.main", "--help"],
}


def seconds(command: list[str]) -> float:
    """Return the wall time of one run."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    """Print median, least and most of each command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    for command in COMMANDS.values():
        seconds(command)  # the first run compiles and fills the file cache
    times = {name: [] for name in COMMANDS}
    for _ in range(repeats):
        for name, command in COMMANDS.items():
            times[name].append(seconds(command))
    for name, values in times.items():
        median, low, high = (1000 * f(values) for f in (statistics.median, min, max))
        print(f"{name:16} median {median:4.0f} ms   least {low:4.0f} ms   most {high:4.0f} ms   of {repeats}")


if __name__ == "__main__":
    main()
