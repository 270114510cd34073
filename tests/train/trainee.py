"""Trains a stage in a process of its own, which may die by SIGKILL at a given update.

As a script it is what a launcher starts on several processes:

    torchrun --nproc-per-node 2 tests/train/trainee.py sft:sft.json rl:rl.json
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any

STAGES = ("cpt", "sft", "rl")
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["steiner.train.supervised", "steiner.train.rl"])


def train(stage: str, settings: str, die_at: int | None = None) -> None:
    """Train by settings as JSON; `die_at` is the update after which the process kills itself."""
    import torch
    from odd_task import OddReader, odd_is_right

    from steiner.core import NoProgress
    from steiner.train.rl import train_rl
    from steiner.train.settings import CptSettings, RlSettings, SftSettings
    from steiner.train.supervised import train_cpt, train_sft

    class Dies(NoProgress):
        def update(self, done: float, note: str = "") -> None:
            if done == die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    torch.set_num_threads(1)
    progress = Dies()
    if stage == "cpt":
        train_cpt(CptSettings.model_validate_json(settings), progress=progress)
    elif stage == "sft":
        train_sft(SftSettings.model_validate_json(settings), progress=progress)
    else:
        train_rl(RlSettings.model_validate_json(settings), odd_is_right, OddReader(), progress=progress)


def in_a_process(stage: str, settings: Any, die_at: int | None = None) -> None:
    """Train in a fresh process, which must end as expected: well, or by its own SIGKILL."""
    child = CONTEXT.Process(target=train, args=(stage, settings.model_dump_json(), die_at))
    child.start()
    child.join()
    assert child.exitcode == (0 if die_at is None else -signal.SIGKILL)


def main(jobs: list[str]) -> None:
    """Train one stage after the other; each job is a stage, a colon and a file of settings.

    The first process dies after the update that `DIE_AT` in the environment names.
    """
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        from fsdp_on_cpu import allow

        allow()
    for job in jobs:
        stage, file = job.split(":", 1)
        die_at = os.environ.get("DIE_AT")
        train(stage, Path(file).read_text(), None if die_at is None else int(die_at))


if __name__ == "__main__":
    main(sys.argv[1:])
