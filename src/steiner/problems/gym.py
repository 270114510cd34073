"""Problems of the reasoning-gym package (https://github.com/open-thought/reasoning-gym) by name.

Each problem is entry `index` of the dataset with one seed, so the same arguments give the same problems.
What the dataset's own scorer needs (its metadata, which may hold the answer) goes into `Problem.scoring`,
never into `facts`.

Many of these scorers give partial credit, for example for an answer in the wrong format or a puzzle that is
half right. Partial credit is not success here: only a score of at least `FULL_SCORE` counts as right,
because verdicts decide which node of a step graph is the answer, and a half-right answer must not become a
goal.
"""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from steiner.core import Grading, InputError, Problem, canonical_json

PREFIX = "reasoning_gym/"
"""`Problem.task` is this and the name of the dataset."""
FULL_SCORE = 0.99999


def names() -> list[str]:
    """Return the names of all datasets that can be made by name, sorted.

    Raises:
        InputError: if reasoning-gym is not installed.
    """
    return sorted(set(_datasets()) - {"composite"})


def generate(
    name: str, n: int, *, seed: int = 0, start: int = 0, config: Mapping[str, Any] | None = None
) -> Iterator[Problem]:
    """Yield entries `start` … `start + n - 1` of a dataset.

    Args:
        name: name of the dataset, with or without `reasoning_gym/`.
        n: how many.
        seed: seed of the dataset. Test problems take another one than training problems.
        start: index of the first entry.
        config: options of the dataset, such as `{"min_terms": 2}`.

    Raises:
        InputError: if the name or an option is unknown (with the nearest known), or reasoning-gym is missing.
    """
    name = check_name(name)
    options = dict(config or {})
    dataset = _make(name, seed, start + n, options)
    for index in range(start, start + n):
        entry = dataset[index]
        yield Problem(
            question=entry["question"],
            answer="" if entry["answer"] is None else str(entry["answer"]),
            grading=Grading.TASK,
            task=PREFIX + name,
            scoring={
                "name": name,
                "config": encode(options),
                "answer": encode(entry["answer"]),
                "metadata": encode(entry["metadata"]),
            },
            source=f"{PREFIX}{name}:{seed}",
        )


def check_name(name: str) -> str:
    """Return the name of a dataset without its prefix.

    Raises:
        InputError: if there is none of that name.
    """
    bare = name.removeprefix(PREFIX)
    known = names()
    if bare not in known:
        near = difflib.get_close_matches(bare, known, n=5, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(known)}."
        raise InputError(f"reasoning-gym has no dataset '{bare}'. {hint}")
    return bare


def best_score(scoring: Mapping[str, Any], answers: Sequence[str]) -> float:
    """Return the best score that the dataset's own scorer gives to any reading of an answer.

    Runs other people's code on untrusted text: call it through `steiner.problems.scoring_process`.
    """
    dataset = _scorer(scoring["name"], canonical_json(scoring["config"]))
    entry = {
        "question": scoring.get("question", ""),
        "answer": decode(scoring["answer"]),
        "metadata": decode(scoring["metadata"]),
    }
    return max(float(dataset.score_answer(answer=answer, entry=entry)) for answer in answers)


def encode(value: Any) -> Any:
    """Return plain JSON from which `decode` restores `value`, tuples, sets and non-text keys included."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, tuple):
        return {"$tuple": [encode(item) for item in value]}
    if isinstance(value, (set, frozenset)):
        return {"$set": [encode(item) for item in sorted(value, key=repr)]}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {str(key): encode(item) for key, item in value.items()}
        return {"$items": [[encode(key), encode(item)] for key, item in value.items()]}
    if hasattr(value, "tolist"):  # numpy
        return encode(value.tolist())
    return str(value)


def decode(value: Any) -> Any:
    """Undo `encode`."""
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$tuple" in value:
        return tuple(decode(item) for item in value["$tuple"])
    if "$set" in value:
        return {decode(item) for item in value["$set"]}
    if "$items" in value:
        return {decode(key): decode(item) for key, item in value["$items"]}
    return {key: decode(item) for key, item in value.items()}


@lru_cache(maxsize=64)
def _scorer(name: str, config: str) -> Any:
    import json

    return _make(name, 0, 1, decode(json.loads(config)))


def _make(name: str, seed: int, size: int, options: Mapping[str, Any]) -> Any:
    from reasoning_gym.factory import create_dataset

    try:
        return create_dataset(name, seed=seed, size=size, **options)
    except TypeError as error:
        raise InputError(f"reasoning-gym dataset '{name}' does not take these options: {error}.") from error
    except (AssertionError, ValueError) as error:
        raise InputError(f"reasoning-gym dataset '{name}' refuses its options: {error}.") from error


def _datasets() -> Mapping[str, Any]:
    if importlib.util.find_spec("reasoning_gym") is None:
        raise InputError(
            "These problems need the package reasoning-gym: install it with pip install 'steiner[problems]'."
        )
    from reasoning_gym.factory import DATASETS

    datasets: Mapping[str, Any] = DATASETS
    return datasets
