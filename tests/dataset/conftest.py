"""A small tokenizer and runs with sampled paths, made without the rooms upstream."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from steiner.core import Move, Problem, ReasoningPath, Settings, Step
from steiner.dataset.tokenizer import train_tokenizer
from steiner.store import RunDir, Stage, StoredRecord

TEXTS = ["From 3 5 7", "3 + 5 = 8", "left 7 8", "go on", "target 21 , got 15 , off by 6", "(3 * 5) + 7 = 22"]


class UpstreamSettings(Settings):
    seed: int = 0


def make_path(problem: Problem, rng: random.Random, steps: int) -> ReasoningPath:
    """Return a path with random detours."""
    parents = [-1]
    for index in range(1, steps):
        parents.append(index - 1 if rng.random() < 0.7 else rng.randint(-1, index - 1))
    return ReasoningPath(
        problem_id=problem.id,
        steps=tuple(
            Step(
                name=f"From {index} 5 7",
                thought=f"{rng.randint(0, 99)} + 5 = 8",
                summary="left 7 8",
                reflection="go on",
            )
            for index in range(steps)
        ),
        moves=tuple(Move.PROCEED if parents[i] == i - 1 else Move.BACKTRACK for i in range(1, steps)),
        answer="(3 * 5) + 7 = 22",
        parents=tuple(parents),
        nodes=tuple(f"node{index}" for index in range(steps)),
    )


def fill_run(
    path: Path, questions: int, paths: int = 3, seed: int = 0, long: frozenset[int] = frozenset()
) -> None:
    """Write finished stages `problems` and `paths`; the questions numbered in `long` get long paths."""
    with RunDir(path) as run:
        stage = Stage(run, "problems", UpstreamSettings(seed=seed))
        problems = [
            Problem(
                question=f"From 3 5 7 make {n}",
                answer=str(n),
                source="countdown",
                language="zh" if n % 10 == 9 else "en",
            )
            for n in range(questions)
        ]
        stage.put(StoredRecord(p.id, n, p.model_dump_json().encode()) for n, p in enumerate(problems))
        stage.finish({})
        sampled = Stage(run, "paths", UpstreamSettings(seed=seed), {"problems": stage.digest})
        for number, problem in enumerate(problems):
            rng = random.Random(f"{seed}:{problem.id}")
            drawn = [
                make_path(problem, rng, 300 if number in long else rng.randint(1, 6)) for _ in range(paths)
            ]
            body = orjson.dumps([path.model_dump(mode="json") for path in drawn])
            sampled.put([StoredRecord(problem.id, number, body)])
        sampled.finish({})


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small trained tokenizer."""
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(TEXTS, vocab_size=512, numbers_to=99).save_pretrained(folder)
    return folder


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes a run directory; see `fill_run`."""

    def make(name: str = "run", **values: object) -> Path:
        fill_run(tmp_path / name, **values)  # type: ignore[arg-type]
        return tmp_path / name

    return make
