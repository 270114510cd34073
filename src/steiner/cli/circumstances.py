"""Where and by what numbers are made, for reports."""

from __future__ import annotations

import platform
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steiner.evaluate.saved import Circumstances


def circumstances() -> Circumstances:
    """Return time, command line, commit and machine."""
    from steiner.evaluate.saved import Circumstances

    return Circumstances(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=command(),
        commit=commit(),
        machine=machine(),
    )


def command() -> str:
    """Return the command line. Keys come from the environment; what an address may hold is left out."""
    return re.sub(r"(://)[^/@\s']+@", r"\1…@", shlex.join(["steiner", *sys.argv[1:]]))


def machine() -> str:
    """Return processor, system, cores and memory in words."""
    import psutil

    memory = psutil.virtual_memory().total / 2**30
    process = psutil.Process()
    cores = len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else psutil.cpu_count()
    return f"{platform.machine()} {platform.system()}, {cores} cores, {memory:.0f} GiB"


def commit() -> str:
    """Return the commit of the checkout that runs, empty for an installed package."""
    here = Path(__file__).resolve().parent
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
            timeout=5,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
