"""Microseconds per call of step control at batch 64 and Qwen2.5's vocabulary, against a naive processor.

Run: python benchmarks/step_control.py

Both run in the same process on the same histories. The naive one does what such processors usually do: it
scans each row's history in Python and adds a mask over the whole vocabulary.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch

from steiner.core import StepBudget
from steiner.decode import AllowedSet, Mode, Rest, StepControl
from steiner.decode.hf import StepControlLogitsProcessor
from steiner.protocol import ControlIds, ControlToken

VOCABULARY = 152_064
IDS = ControlIds(
    control=tuple(range(151_665, 151_679)),
    eos=151_645,
    pad=151_643,
    special=frozenset(range(151_643, 151_665)),
    size=151_679,
)
STEP_TEXT = 30
"""Tokens of text in each field of the made-up histories."""


class NaiveProcessor:
    """The baseline: per row a scan of its history and a mask of the whole vocabulary."""

    def __init__(self, control: StepControl, budgets: list[StepBudget], prompt_length: int) -> None:
        """Take the same arguments as `StepControlLogitsProcessor`."""
        self._control, self._budgets, self._prompt_length = control, budgets, prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the masked scores."""
        masks = [
            self._mask(self._control.allowed(row[self._prompt_length :], budget), scores.shape[1])
            for row, budget in zip(input_ids.tolist(), self._budgets, strict=True)
        ]
        return scores + torch.stack(masks)

    @staticmethod
    def _mask(allowed: AllowedSet, vocabulary: int) -> torch.Tensor:
        if allowed.rest is Rest.ALL:
            return torch.zeros(vocabulary)
        mask = torch.full((vocabulary,), -torch.inf)
        if allowed.rest is Rest.TEXT:
            mask[: IDS.size] = 0.0
            mask[torch.tensor([*IDS.control, *IDS.special])] = -torch.inf
        mask[torch.tensor(sorted(allowed.ids), dtype=torch.long)] = 0.0
        return mask


def history(tokens: int) -> list[int]:
    """Return a well-formed beginning of a completion of so many tokens."""
    number = IDS.__getitem__
    step = [number(ControlToken.STEP_START)]
    for begin in range(6, 14, 2):
        step += [IDS.control[begin], *([100] * STEP_TEXT), IDS.control[begin + 1]]
    step += [number(ControlToken.STEP_END), number(ControlToken.PROCEED)]
    return ([number(ControlToken.START)] + step * (1 + tokens // len(step)))[:tokens]


def microseconds(call: Callable[[], object], repeats: int) -> float:
    """Return the median time of a call."""
    call()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return 1e6 * statistics.median(times)


def main() -> None:
    """Print one line per mode and length."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(
        f"batch {options.batch}, vocabulary {VOCABULARY:,}, {options.threads} thread(s), {platform.machine()}"
    )
    print(f"torch {torch.__version__}; median of {options.repeats} calls, µs\n")
    print("mode    tokens      naive    copying   in place   naive / in place")
    scores = torch.randn(options.batch, VOCABULARY)
    budgets = [StepBudget(min_steps=1 + row % 3, max_reasoning_tokens=8192) for row in range(options.batch)]
    for mode in (Mode.REPORT, Mode.STRICT):
        control = StepControl(IDS, mode, max_answer_tokens=512)
        for tokens in (100, 1000, 4000):
            rows = torch.stack(
                [torch.tensor(history(tokens + row % 40)[-tokens:]) for row in range(options.batch)]
            )
            processors = (
                NaiveProcessor(control, budgets, 0),
                StepControlLogitsProcessor(control, budgets, 0),
                StepControlLogitsProcessor(control, budgets, 0, in_place=True),
            )
            naive, copying, _ = processors
            assert torch.equal(naive(rows, scores), copying(rows, scores))
            fresh = scores.clone()
            found = [
                microseconds(partial(processor, rows, fresh), options.repeats) for processor in processors
            ]
            times = "  ".join(f"{value:9,.0f}" for value in found)
            print(f"{mode:6}  {tokens:6}  {times}   {found[0] / found[2]:8.0f}×")


if __name__ == "__main__":
    main()
