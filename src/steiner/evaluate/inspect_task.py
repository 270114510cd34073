"""A benchmark as a task of inspect-ai: samples, the solver that asks, the scorer that grades.

The model is asked the question and nothing else: no request to think step by step, no examples. The scorer is
that of the problems themselves (`steiner.problems.grade`).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

from inspect_ai import Epochs, Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ContentReasoning, GenerateConfig, ModelOutput
from inspect_ai.scorer import CORRECT, INCORRECT, Score, Scorer, Target, accuracy, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, solver

from steiner.core import InputError, Problem, parse_settings
from steiner.evaluate.benchmarks import DataOptions, Loaded, find_benchmark, load_benchmark, read_reply
from steiner.evaluate.inspect_hidden import hidden_problem, hide, is_hidden, reveal
from steiner.evaluate.inspect_provider import SteinerAPI
from steiner.problems import grade

PROMPT_MARK = "{question}"


def make_task(
    loaded: Loaded, *, seed: int = 0, epochs: int = 1, system: str = "", template: str = PROMPT_MARK
) -> Task:
    """Return the task of a loaded benchmark.

    Args:
        loaded: its questions.
        seed: of the draws; each question and repetition gets its own from it.
        epochs: how often each question is asked.
        system: message before the question; none by default.
        template: text with `{question}` in it, to ask in other words.

    Raises:
        InputError: if the template has no place for the question.
    """
    if PROMPT_MARK not in template:
        raise InputError(f"The prompt template needs the place {PROMPT_MARK}.")
    name = loaded.benchmark.name
    if template != PROMPT_MARK and any(map(is_hidden, loaded.problems)):
        raise InputError(
            f"{name} takes no prompt template: its questions are kept out of the logs. Use --system."
        )
    return Task(
        dataset=MemoryDataset(list(_samples(loaded, template)), name=name),
        solver=ask(seed=seed, system=system),
        scorer=graded(),
        epochs=Epochs(epochs, "mean"),
        name=name.replace(":", "-"),
        version=loaded.version,
        metadata={"benchmark": name, "title": loaded.benchmark.title, "questions": loaded.total},
    )


@task(name="benchmark")
def benchmark_task(
    benchmark: str,
    data: str | list[str] = "",
    seed: int = 0,
    limit: int | None = None,
    keep_choices: bool = False,
    system: str = "",
    template: str = PROMPT_MARK,
) -> Task:
    """Any benchmark of the catalogue, for `inspect eval … -T benchmark=gsm8k -T data=test.jsonl`."""
    return data_task(
        benchmark,
        data,
        seed=seed,
        limit=limit,
        keep_choices=keep_choices,
        system=system,
        template=template,
    )


def data_task(
    benchmark: str,
    data: str | list[str],
    *,
    seed: int,
    limit: int | None,
    keep_choices: bool,
    system: str,
    template: str,
    rows: str = "",
) -> Task:
    """Load a benchmark and return its task.

    Args:
        benchmark: its name in the catalogue.
        data: files or a hub id; several as a list or with commas, which a command line makes a list of.
        seed: of draws and of the order of options.
        limit: ask only so many questions.
        keep_choices: leave options in the order of the file.
        system: message before the question.
        template: text with `{question}` in it.
        rows: FROM:TO, counted from 0.

    Raises:
        InputError: if there is no such benchmark, or its data cannot be read.
    """
    parts = data.split(",") if isinstance(data, str) else data
    values = {
        "data": tuple(part for part in parts if part),
        "seed": seed,
        "limit": limit,
        "keep_choices": keep_choices,
        "rows": rows,
    }
    options = parse_settings(DataOptions, values, "the task's arguments")
    return make_task(
        load_benchmark(find_benchmark(benchmark), options), seed=seed, system=system, template=template
    )


@solver
def ask(seed: int = 0, system: str = "") -> Solver:
    """Ask the question as it is, with a seed of its own, and note what is known of the reasoning."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        from inspect_ai.model import ChatMessageSystem, get_model

        text = state.user_prompt.text
        if hidden_problem(text) and not isinstance(get_model().api, SteinerAPI):
            raise InputError(
                "The questions of this benchmark must not get into logs, which other providers would write: "
                "use `steiner eval`."
            )
        if system:
            state.messages.insert(0, ChatMessageSystem(content=system))
        state = await generate(state, seed=draw_seed(seed, str(state.sample_id), state.epoch))
        state.metadata["thinking"] = thinking(state.output)
        return state

    return solve


def draw_seed(seed: int, question: str, epoch: int) -> int:
    """Return the seed of one repetition of one question: 31 bits, as endpoints take them."""
    text = f"{seed}:{question}:{epoch}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big") >> 1


def thinking(output: ModelOutput) -> dict[str, Any]:
    """Return what is recorded of the reasoning of one sample; None where it is not known."""
    known = (output.metadata or {}).get("steiner")
    usage = output.usage
    if isinstance(known, dict):
        facts = dict(known)
    else:
        reading = read_reply(output.completion, reasoning_of(output))
        facts = {
            "closed": reading.closed,
            "forced": False,
            "steps": reading.steps,
            "backtracks": reading.backtracks,
            "well_formed": None,
            "reasoning_tokens": usage.reasoning_tokens if usage else None,
            "cut": output.stop_reason in ("max_tokens", "model_length"),
        }
    facts["completion_tokens"] = usage.output_tokens if usage else None
    facts["seconds"] = output.time
    return facts


@scorer(metrics=[accuracy(), stderr()])
def graded() -> Scorer:
    """Grade what follows the reasoning by the problem's own rule."""

    async def score(state: TaskState, target: Target) -> Score:
        problem = _problem(state)
        reading = read_reply(state.output.completion, reasoning_of(state.output))
        # Computer algebra and other people's scorers wait for a child process.
        verdict = await asyncio.to_thread(grade, problem, reading.answer)
        reason = verdict.reason if reading.closed else "the reasoning never ended"
        value = CORRECT if verdict.right and reading.closed else INCORRECT
        return Score(value=value, answer=verdict.extracted, explanation=reason)

    return score


def _problem(state: TaskState) -> Problem:
    if "problem" in state.metadata:
        return Problem.model_validate(state.metadata["problem"])
    reference = str(state.metadata["reference"])
    problem = hidden_problem(reference)
    if problem is None:
        reveal(reference)  # says what to do
        raise AssertionError("unreachable: an unknown reference is refused")
    return problem


def reasoning_of(output: ModelOutput) -> str:
    """Return the reasoning that the provider told apart from the answer."""
    content = output.message.content if output.choices else ""
    if isinstance(content, str):
        return ""
    return "\n".join(part.reasoning for part in content if isinstance(part, ContentReasoning))


def _samples(loaded: Loaded, template: str) -> Iterator[Sample]:
    seen: Counter[str] = Counter()
    for problem, subset in zip(loaded.problems, loaded.subsets, strict=True):
        seen[problem.id] += 1
        # Some sets ask the same question twice; inspect-ai wants ids of their own.
        name = problem.id if seen[problem.id] == 1 else f"{problem.id}-{seen[problem.id]}"
        metadata: dict[str, Any] = {"problem_id": problem.id}
        if subset:
            metadata["subset"] = subset
        if is_hidden(problem):
            prompt = metadata["reference"] = hide(problem, loaded.benchmark.name)
        else:
            prompt = template.replace(PROMPT_MARK, problem.blind().prompt)
            metadata["problem"] = problem.model_dump(mode="json")
        yield Sample(input=prompt, target=problem.answer or "—", id=name, metadata=metadata)


def generation(
    *,
    temperature: float | None,
    max_tokens: int,
    top_p: float | None = None,
    limits: dict[str, Any] | None = None,
) -> GenerateConfig:
    """Return how completions are made; limits of thinking travel in the body, where our servers read them."""
    return GenerateConfig(
        temperature=temperature, max_tokens=max_tokens, top_p=top_p, extra_body=limits or None
    )
