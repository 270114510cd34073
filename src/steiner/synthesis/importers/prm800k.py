"""Step labels as PRM800K publishes them: one labelled solution a record.

Source: openai/prm800k (Lightman et al. 2023, arXiv 2305.20050). Each labelled step has one or more
completions with ratings (-1 wrong, 0 neutral, 1 good); one of them was chosen, or a human wrote a better one,
and the next step goes on from there. A record becomes

- the labelled search: at each step the completions rated -1, then what the solution goes on with; where
  nothing was chosen, the best-rated of the rest ends the search;
- a trace for each other completion that states an answer: another end of the same route;
- where labelling stopped at an error of a solution that a model had written in full: that solution to its
  end.

Completions that were neither rated -1 nor chosen lead nowhere though nothing is wrong with them. As steps
they would be dead ends, so they are kept as text in the provenance's `not_taken`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from steiner.core import Problem, Provenance, Trace, TraceStep, Verdict
from steiner.core.trace import FROM_QUESTION
from steiner.problems.answer_text import boxed
from steiner.problems.layout import guess_grading
from steiner.synthesis.importers.attempts import (
    Context,
    Row,
    file_source,
    given_up,
    is_right,
    is_text,
    row,
    step_of,
)
from steiner.synthesis.importers.finals import reference_answer, worded_answer
from steiner.synthesis.importers.jsonfile import Place, read_objects, wrong_shape
from steiner.synthesis.importers.looks import LOOKS

EXPECTED = (
    "a labelled solution of PRM800K: question.problem, question.ground_truth_answer, and label.steps, a "
    "list of "
    "objects with completions (each with text and rating), human_completion and chosen_completion"
)
_ANSWER_MARK = "# Answer"
WRONG = -1
"""The rating of a step that is wrong."""


class _Option(NamedTuple):
    """One way to go on."""

    text: str
    """Without the answer."""
    answer: str
    rating: int | None
    human: bool = False


class _Moment(NamedTuple):
    """The ways to go on from one place."""

    options: tuple[_Option, ...]
    taken: int | None
    """Index of the one that the solution goes on with."""


def read_labels(path: Path) -> Iterator[Row]:
    """Yield the row of each labelled solution.

    Raises:
        InputError: names the place, what was expected and the keys that were found.
    """
    for place, record in read_objects(path, EXPECTED):
        _check(place, record)
        yield row(place, _problem(record, file_source("prm800k", path)), [_attempt(record)])


def _check(place: Place, record: Mapping[str, Any]) -> None:
    question, label = record.get("question"), record.get("label")
    steps = label.get("steps") if isinstance(label, dict) else None
    detail = ""
    if not isinstance(question, dict) or not is_text(question.get("problem")):
        detail = "It has no question.problem"
    elif not isinstance(steps, list):
        detail = "It has no label.steps"
    else:
        bad = [number for number, step in enumerate(steps) if not _is_step(step)]
        detail = f"Step {bad[0]} of label.steps has no completions with text" if bad else ""
    if detail:
        others = {name: test for name, test in LOOKS.items() if name != "prm800k"}
        raise wrong_shape(place, record, EXPECTED, others, detail)


def _is_step(step: Any) -> bool:
    if not isinstance(step, dict) or not isinstance(step.get("completions", []), list | None):
        return False
    completions = [*(step.get("completions") or []), *filter(None, [step.get("human_completion")])]
    return all(isinstance(item, dict) and isinstance(item.get("text"), str) for item in completions)


def _problem(record: Mapping[str, Any], source: str) -> Problem | None:
    question, label = record["question"], record["label"]
    reference = question.get("ground_truth_answer")
    if not is_text(reference):
        solution = question.get("ground_truth_solution")
        reference = boxed(solution) if is_text(solution) else None
    if not is_text(reference) and label.get("finish_reason") == "solution":
        # Whoever labelled it saw that it solves the problem.
        last = next((m for m in reversed(_moments(label["steps"])) if m.taken is not None), None)
        reference = last.options[last.taken].answer if last and last.taken is not None else None
    if not is_text(reference):
        return None
    answer = reference_answer(str(reference))
    return Problem(
        question=question["problem"].strip(),
        answer=answer,
        grading=guess_grading(answer),
        source=source,
    )


def _attempt(record: Mapping[str, Any]) -> dict[str, Any]:
    question, label = record["question"], record["label"]
    return {
        "steps": [_needed(step) for step in label["steps"]],
        "finish": label.get("finish_reason") or "",
        "written": [text for text in question.get("pre_generated_steps") or [] if is_text(text)],
        "generation": record.get("generation"),
    }


def _needed(step: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is used of a labelled step."""
    human = step.get("human_completion")
    return {
        "completions": [_rated(item) for item in step.get("completions") or []],
        "human_completion": _rated(human) if human else None,
        "chosen_completion": step.get("chosen_completion"),
    }


def _rated(item: Mapping[str, Any]) -> dict[str, Any]:
    return {"text": item["text"], "rating": item.get("rating")}


def _moments(steps: Sequence[Mapping[str, Any]]) -> list[_Moment]:
    moments = []
    for step in steps:
        options = [_option(item) for item in step.get("completions") or []]
        chosen = step.get("chosen_completion")
        taken = chosen if isinstance(chosen, int) and 0 <= chosen < len(options) else None
        human = step.get("human_completion")
        if taken is None and human:
            taken = len(options)
            options.append(_option(human)._replace(human=True))
        if options:
            moments.append(_Moment(tuple(options), taken))
    return moments


def _option(item: Mapping[str, Any]) -> _Option:
    text, answer = _split(item["text"])
    rating = item.get("rating")
    return _Option(text, answer, rating if isinstance(rating, int) else None)


def _split(text: str) -> tuple[str, str]:
    """Separate the answer, which stands under a heading of its own, from the text of a step."""
    body, _, answer = text.partition(_ANSWER_MARK)
    return body.strip(), " ".join(answer.split())


class _Search:
    """A trace while it is being made."""

    def __init__(self) -> None:
        self.steps: list[TraceStep] = []
        self.ratings: list[int | str | None] = []
        self.end = FROM_QUESTION

    def add(self, option: _Option, *, goes_on: bool) -> None:
        """Write a step from where the search stands.

        A text that was nothing but the answer is no step, except after a dead end: there something must lead
        to the answer.
        """
        text = option.text
        if not text and goes_on and self.end != len(self.steps) - 1:
            text = f"So the answer is {option.answer}."
        if text:
            step = step_of(text) if goes_on else given_up(step_of(text))
            self.steps.append(TraceStep(step=step, parent=self.end))
            self.ratings.append("human" if option.human else option.rating)
            self.end = len(self.steps) - 1 if goes_on else self.end


def _straight(options: Sequence[_Option]) -> _Search:
    """Return the search that tries nothing else."""
    search = _Search()
    for option in options:
        search.add(option, goes_on=True)
    return search


def labelled_traces(attempt: Mapping[str, Any], context: Context) -> Iterator[Trace]:
    """Yield the traces of one labelled solution; see the module's text."""
    moments = _moments(attempt["steps"])
    search = _Search()
    not_taken: list[dict[str, Any]] = []
    route: list[_Option] = []
    for moment in moments:
        wrong = [o for i, o in enumerate(moment.options) if o.rating == WRONG and i != moment.taken]
        others = [o for i, o in enumerate(moment.options) if o.rating != WRONG and i != moment.taken]
        for option in others:
            if option.answer and moment.taken is not None:
                yield _trace(_straight([*route, option]), option.answer, "other end", attempt, context)
        for option in wrong:
            search.add(option, goes_on=False)
        taken = moment.options[moment.taken] if moment.taken is not None else _best(others)
        not_taken += [
            {"after": search.end, "text": option.text, "rating": option.rating}
            for option in others
            if option is not taken and not option.answer
        ]
        if moment.taken is None:
            yield from _written_out(attempt, route, moment, context)
        if taken is None:
            break
        search.add(taken, goes_on=True)
        route.append(taken)
        if moment.taken is None:
            break
    answer = route[-1].answer if route else ""
    yield _trace(search, answer, "search", attempt, context, {"not_taken": not_taken} if not_taken else {})


def _best(options: Sequence[_Option]) -> _Option | None:
    """Return the best-rated option, the first of equals."""
    return max(options, key=lambda option: option.rating or 0, default=None)


def _written_out(
    attempt: Mapping[str, Any], route: Sequence[_Option], moment: _Moment, context: Context
) -> Iterator[Trace]:
    """Yield the whole solution that labelling stopped in, if it is in the record and is the labelled one."""
    written = [_Option(*_split(text), rating=None) for text in attempt["written"]]
    at = len(route)
    if len(written) <= at or [option.text for option in written[:at]] != [option.text for option in route]:
        return
    if written[at].text not in [option.text for option in moment.options if option.rating == WRONG]:
        return
    answer = next((option.answer for option in reversed(written) if option.answer), "")
    yield _trace(_straight(written), answer, "as written", attempt, context, {"wrong_step": at})


def _trace(
    search: _Search,
    answer: str,
    kind: str,
    attempt: Mapping[str, Any],
    context: Context,
    more: Mapping[str, Any] | None = None,
) -> Trace:
    """Return the trace; a search that did not end where it stands now has no answer."""
    problem = context.problem
    ends_here = bool(search.steps) and search.end == len(search.steps) - 1
    said = worded_answer(problem, answer) if answer and ends_here else ""
    verdict = Verdict.UNFINISHED
    if said:
        verdict = Verdict.RIGHT if is_right(problem, said) else Verdict.WRONG
    details = {
        "format": "prm800k",
        "kind": kind,
        "finish_reason": attempt["finish"],
        "ratings": search.ratings,
        **({} if attempt["generation"] is None else {"generation": attempt["generation"]}),
        **(more or {}),
    }
    return Trace(
        problem_id=problem.id,
        steps=tuple(search.steps),
        answer=said,
        verdict=verdict,
        provenance=Provenance(teacher=context.source, method="import", details=details),
    )
