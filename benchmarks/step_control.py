"""Microseconds per call of step control at batch 64 and Qwen2.5's vocabulary, against a naive processor.

Run: python benchmarks/step_control.py

All run in the same process on the same histories. The naive one does what such processors usually do: it
scans each row's history in Python and adds a mask over the whole vocabulary. «reading» derives everything
from the tokens in each call; «following» folds the new column onto the histories of the call before, as
`generate` does. The second table times what each limit adds to following, and the third one a fold and a
decision of one history, as engines with a state per request use them.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch

from steiner.core import Ramp, SoftEnd, StepBudget
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


def followed(
    processor: StepControlLogitsProcessor, rows: torch.Tensor, scores: torch.Tensor, repeats: int
) -> float:
    """Return the median time of a call that brings one token more than the call before."""
    width = rows.shape[1] - repeats
    processor(rows[:, :width], scores)
    times = []
    for column in range(width + 1, width + repeats + 1):
        tokens = rows[:, :column]
        begin = time.perf_counter()
        processor(tokens, scores)
        times.append(time.perf_counter() - begin)
    return 1e6 * statistics.median(times)


def batch(rows: int, tokens: int) -> torch.Tensor:
    """Return histories of so many tokens, no two rows at the same place of a step."""
    return torch.tensor([history(tokens + row % 40)[-tokens:] for row in range(rows)])


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
    scores = torch.randn(options.batch, VOCABULARY)
    rivals(options.batch, options.repeats, scores)
    limits(options.batch, options.repeats, scores)
    single()


def rivals(size: int, repeats: int, scores: torch.Tensor) -> None:
    """Print one line per mode and length, each way of doing the same beside the others."""
    print("mode    tokens      naive    copying    reading  following   naive / following")
    budgets = [StepBudget(min_steps=1 + row % 3, max_reasoning_tokens=16384) for row in range(size)]
    for mode in (Mode.REPORT, Mode.STRICT):
        control = StepControl(IDS, mode, max_answer_tokens=512)
        for tokens in (100, 1000, 10_000):
            rows = batch(size, tokens)
            naive = NaiveProcessor(control, budgets, 0)
            copying = StepControlLogitsProcessor(control, budgets, 0)
            reading = StepControlLogitsProcessor(control, budgets, 0, in_place=True)
            following = StepControlLogitsProcessor(control, budgets, 0, in_place=True, rows_stay=True)
            assert torch.equal(naive(rows, scores), copying(rows, scores))
            fresh = scores.clone()
            found = [microseconds(partial(one, rows, fresh), repeats) for one in (naive, copying, reading)]
            found.append(followed(following, batch(size, tokens + 90), fresh, 90))
            times = "  ".join(f"{value:9,.0f}" for value in found)
            print(f"{mode:6}  {tokens:6}  {times}   {found[0] / found[-1]:8.0f}×")


def limits(size: int, repeats: int, scores: torch.Tensor) -> None:
    """Print what each limit costs on top of the others."""
    print("\nstrict, following      tokens 100     10,000")
    soft = SoftEnd(start=-4, stop=6, steps=200, ramp=Ramp.EXPONENTIAL)
    choices = {
        "steps and tokens": StepBudget(min_steps=2, max_steps=900, max_reasoning_tokens=16384),
        "max_step_tokens": StepBudget(max_step_tokens=400),
        "backtrack_bias": StepBudget(backtrack_bias=-1.5),
        "soft_end": StepBudget(soft_end=soft),
        "ban_repeats": StepBudget(ban_repeats=True),
        "all": StepBudget(
            min_steps=2,
            max_steps=900,
            max_reasoning_tokens=16384,
            max_step_tokens=400,
            backtrack_bias=-1.5,
            soft_end=soft,
            ban_repeats=True,
        ),
    }
    control = StepControl(IDS, Mode.STRICT, max_answer_tokens=512)
    for name, budget in choices.items():
        found = []
        for tokens in (100, 10_000):
            processor = StepControlLogitsProcessor(control, [budget] * size, 0, in_place=True, rows_stay=True)
            found.append(followed(processor, batch(size, tokens + 90), scores.clone(), 90))
        print(f"{name:18}  {found[0]:14,.0f} {found[1]:10,.0f}")


def single() -> None:
    """Print the time of `advance` and `decision` for one history."""
    control = StepControl(IDS, Mode.STRICT, max_answer_tokens=512)
    budget = StepBudget(max_steps=900, max_reasoning_tokens=16384, ban_repeats=True)
    print("\none history            tokens 100     10,000")
    states = [control.fold(history(tokens)) for tokens in (100, 10_000)]
    for name, call in (
        ("advance", lambda state: control.advance(state, 100)),
        ("decision", lambda state: control.decision(state, budget)),
    ):
        found = [microseconds(partial(call, state), 500) for state in states]
        print(f"{name:18}  {found[0]:14,.1f} {found[1]:10,.1f}")


if __name__ == "__main__":
    main()
