"""The benchmarks by name for inspect-ai's own command line: `inspect eval steiner/gsm8k -T data=test.jsonl`.

inspect-ai imports this module through the package's entry point; that registers the tasks.
"""

from __future__ import annotations

from collections.abc import Callable

from inspect_ai import Task, task

from steiner.evaluate.benchmarks import NAMES
from steiner.evaluate.inspect_task import PROMPT_MARK, benchmark_task, data_task


def _register(benchmark: str) -> Callable[..., Task]:
    """Register the task of a benchmark; one whose name ends in «:» takes the rest as `of`."""

    def build(
        of: str = "",
        data: str | list[str] = "",
        seed: int = 0,
        limit: int | None = None,
        rows: str = "",
        keep_choices: bool = False,
        system: str = "",
        template: str = PROMPT_MARK,
    ) -> Task:
        return data_task(
            benchmark + of,
            data,
            seed=seed,
            limit=limit,
            rows=rows,
            keep_choices=keep_choices,
            system=system,
            template=template,
        )

    return task(name=benchmark.rstrip(":"))(build)


_PREFIXES = [name.partition(":")[0] + ":" if ":" in name else name for name in NAMES]
TASKS = {"benchmark": benchmark_task} | {name.rstrip(":"): _register(name) for name in _PREFIXES}
"""By the name behind `steiner/`."""
