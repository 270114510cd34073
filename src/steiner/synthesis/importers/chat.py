"""Chat logs and completions in JSON Lines, each response with a mark of being right or wrong.

A record is a question with one response, a list of sampled responses, or an object a model (GSM8K's
`example_model_solutions.jsonl`). Column names are guessed from those in use; `ChatSettings.columns` names
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from steiner.core import Grading, InputError, Problem, Provenance, Trace, Verdict
from steiner.problems.choice import reference_letter
from steiner.problems.layout import guess_grading
from steiner.synthesis.importers.attempts import Context, Row, file_source, in_a_row, is_right, is_text, row
from steiner.synthesis.importers.finals import (
    last_number,
    lines_apart,
    looks_chinese,
    reference_answer,
    separate_final,
    worded_answer,
)
from steiner.synthesis.importers.jsonfile import Place, read_objects, wrong_shape
from steiner.synthesis.importers.looks import LOOKS
from steiner.synthesis.importers.prose import split_prose
from steiner.synthesis.importers.settings import ChatColumn, ChatSettings
from steiner.synthesis.importers.wording import make_step

EXPECTED = (
    "a question (question, problem, prompt… or messages), a response (response, completion, "
    "generated_text…), a "
    "reference answer (ground_truth, reference, answer…) and, if there is one, a mark of being right "
    "(is_correct, "
    "correct, score…); name other columns with --column ROLE=NAME"
)
_GUESSES: dict[ChatColumn, tuple[str, ...]] = {
    ChatColumn.QUESTION: ("question", "problem", "prompt", "query", "input", "instruction"),
    ChatColumn.RESPONSE: (
        "response", "responses", "completion", "completions", "generated_text", "generated_texts",
        "generation", "generations", "model_output", "model_outputs", "model_response", "output", "outputs",
        "samples", "text",
    ),
    ChatColumn.REFERENCE: (
        "reference", "reference_answer", "ground_truth", "ground_truth_answer", "gold", "gold_answer", "gt",
        "target", "expected_answer", "final_answer", "answer", "solution",
    ),
    ChatColumn.CORRECT: (
        "is_correct", "correct", "correctness", "score", "scores", "label", "labels", "passed", "acc",
        "reward",
    ),
    ChatColumn.ANSWER: ("pred", "preds", "prediction", "predictions", "predicted_answer", "extracted_answer"),
    ChatColumn.MODEL: ("model", "model_name", "generator"),
    ChatColumn.CHOICES: ("choices", "options"),
    ChatColumn.LANGUAGE: ("language", "lang"),
}  # fmt: skip
"""Names in use, the surest first. `_MESSAGES` come after the columns for question and response."""
_MESSAGES = ("messages", "conversation", "conversations")
_INNER_RESPONSE = (*_GUESSES[ChatColumn.RESPONSE], "solution", "content")
"""Within an object of one model `solution` is the model's; elsewhere it is the reference."""
_YES = frozenset({"true", "correct", "right", "yes", "pass", "passed", "1"})
_NO = frozenset({"false", "incorrect", "wrong", "no", "fail", "failed", "0"})


def read_chats(path: Path, settings: ChatSettings) -> Iterator[Row]:
    """Yield the row of each record of a file.

    Raises:
        InputError: names the place, what was expected and the keys that were found.
    """
    for place, record in read_objects(path, EXPECTED):
        reader = _Reader(place, record, settings)
        problem = reader.problem(file_source("chat", path))
        yield row(place, problem, reader.attempts())


class _Reader:
    """One record, with the columns that were named or guessed."""

    def __init__(self, place: Place, record: Mapping[str, Any], settings: ChatSettings) -> None:
        self.place = place
        self.record = record
        self.settings = settings
        self._by_name = {str(key).casefold(): key for key in reversed(list(record))}
        self.messages = self._messages()

    def _column(self, role: ChatColumn) -> str | None:
        """Return the key that plays a role; None if there is none."""
        named = self.settings.columns.get(role)
        if named is not None:
            if named not in self.record:
                raise self.error(f"There is no column '{named}' for {role}")
            return named
        for name in _GUESSES[role]:
            key = self._by_name.get(name)
            if key is not None and self.record[key] is not None and self._fits(role, key):
                return key
        return None

    def _fits(self, role: ChatColumn, key: str) -> bool:
        taken = [name for other, name in self.settings.columns.items() if other is not role]
        if key in taken:
            return False
        if role is ChatColumn.CORRECT:
            value = self.record[key]
            return all(_is_flag(item) for item in (value if isinstance(value, list) else [value]))
        return True

    def _value(self, role: ChatColumn) -> Any:
        key = self._column(role)
        return None if key is None else self.record[key]

    def _messages(self) -> list[Mapping[str, Any]]:
        """Return the messages of a conversation up to and with its last answer; empty if there are none."""
        for name in _MESSAGES:
            value = self.record.get(self._by_name.get(name, name))
            if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
                return value
        return []

    def problem(self, source: str) -> Problem:
        """Return the question with its reference answer."""
        question, raw = self._question(), self._value(ChatColumn.REFERENCE)
        if not question:
            raise self.error("It has no question")
        raw = raw[0] if isinstance(raw, list) and len(raw) == 1 else raw
        if isinstance(raw, bool) or not isinstance(raw, (str, int, float)) or not str(raw).strip():
            raise self.error("It has no reference answer")
        choices = self._choices()
        answer = reference_answer(str(raw))
        answer = chr(ord("A") + choices.index(answer)) if answer in choices else answer
        grading = self.settings.grading or guess_grading(answer, choices)
        language = self._value(ChatColumn.LANGUAGE)
        try:
            return Problem(
                question=question,
                answer=reference_letter(answer) if grading is Grading.CHOICE else answer,
                grading=grading,
                choices=choices,
                source=source,
                language=language if is_text(language) else "zh" if looks_chinese(question) else "en",
            )
        except ValidationError as error:
            raise self.error(str(error.errors()[0]["msg"]).removeprefix("Value error, ")) from error

    def _question(self) -> str:
        value = self._value(ChatColumn.QUESTION)
        if isinstance(value, list):
            return _conversation([item for item in value if isinstance(item, dict)])
        if value is None and self.messages:
            return _conversation(
                self.messages[:-1] if _role(self.messages[-1]) == "assistant" else self.messages
            )
        return str(value).strip() if isinstance(value, (str, int, float)) else ""

    def _choices(self) -> tuple[str, ...]:
        value = self._value(ChatColumn.CHOICES)
        texts = value.get("text") if isinstance(value, dict) else value
        if not isinstance(texts, list) or not all(isinstance(item, (str, int, float)) for item in texts):
            return ()  # OpenAI's `choices` are responses
        return tuple(str(item).strip() for item in texts)

    def attempts(self) -> list[dict[str, Any]]:
        """Return text, mark, answer and model of each response."""
        key = self._column(ChatColumn.RESPONSE)
        if key is None and self.messages and _role(self.messages[-1]) == "assistant":
            return self._samples([self.messages[-1]], self.record, self._model())
        if key is None and isinstance(self.record.get("choices"), list) and not self._choices():
            return self._samples(self.record["choices"], self.record, self._model())
        if key is not None:
            value = self.record[key]
            if isinstance(value, list) and value and all(_inner(item) for item in value):
                return [found for item in value for found in self._of_object(item, self._model())]
            return self._samples(value if isinstance(value, list) else [value], self.record, self._model())
        found = [
            attempt
            for name, value in self.record.items()
            if isinstance(value, dict) and _inner(value)
            for attempt in self._of_object(value, str(name))
        ]
        if not found:
            raise self.error("It has no response")
        return found

    def _model(self) -> str:
        value = self._value(ChatColumn.MODEL)
        return value.strip() if is_text(value) else ""

    def _of_object(self, item: Mapping[str, Any], model: str) -> list[dict[str, Any]]:
        """Read an object that holds one model's response and its mark."""
        name = _inner(item)
        value = item[name] if name else ""
        return self._samples(value if isinstance(value, list) else [value], item, model)

    def _samples(self, texts: Sequence[Any], owner: Mapping[str, Any], model: str) -> list[dict[str, Any]]:
        marks = self._parallel(ChatColumn.CORRECT, owner, len(texts))
        answers = self._parallel(ChatColumn.ANSWER, owner, len(texts))
        return [
            {
                "text": _text(text),
                "right": self._mark(mark),
                "answer": "" if answer is None else str(answer).strip(),
                "model": model,
            }
            for text, mark, answer in zip(texts, marks, answers, strict=True)
        ]

    def _parallel(self, role: ChatColumn, owner: Mapping[str, Any], count: int) -> list[Any]:
        """Return one value a response: a list's items, or the only value for all."""
        if owner is self.record:
            value, key = self._value(role), self._column(role)
        else:
            named = self.settings.columns.get(role)
            key = next((name for name in (named, *_GUESSES[role]) if name in owner), None)
            value = None if key is None else owner[key]
        if not isinstance(value, list):
            return [value] * count
        if len(value) != count:
            raise self.error(f"Its column '{key}' has {len(value)} values for {count} responses")
        return value

    def _mark(self, value: Any) -> bool | None:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            if value.strip().casefold() in _YES | _NO:
                return value.strip().casefold() in _YES
        elif isinstance(value, (int, float)):
            if self.settings.right_from is not None:
                return value >= self.settings.right_from
            if value in (0, 1, -1):
                return value == 1
            raise self.error(
                f"The score {value} is neither 0 nor 1: say from where on it is right (--right-from)"
            )
        raise self.error("Its mark of being right is neither yes or no nor a number")

    def error(self, detail: str) -> InputError:
        """Return the error for this record."""
        others = {name: test for name, test in LOOKS.items() if name != "chat"}
        return wrong_shape(self.place, self.record, EXPECTED, others, detail)


def _inner(item: Any) -> str | None:
    """Return the key of the response in an object that holds one with its mark; None if it holds none."""
    if not isinstance(item, dict) or not any(name in item for name in _GUESSES[ChatColumn.CORRECT]):
        return None
    return next((name for name in _INNER_RESPONSE if name in item), None)


def _is_flag(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().casefold() in _YES | _NO
    return value is None or isinstance(value, (bool, int, float))


def _role(message: Mapping[str, Any]) -> str:
    role = str(message.get("role") or message.get("from") or "").casefold()
    return {"gpt": "assistant", "model": "assistant", "bot": "assistant", "human": "user"}.get(role, role)


def _conversation(messages: Sequence[Mapping[str, Any]]) -> str:
    """Return what was asked: the one question, or all turns with their speakers; no system prompts."""
    turns = [(_role(item), _text(item)) for item in messages if _role(item) not in ("system", "developer")]
    if len(turns) == 1:
        return turns[0][1]
    return "\n\n".join(f"{role.capitalize()}: {text}" for role, text in turns)


def _text(value: Any) -> str:
    """Return the text of a string, a message, a choice or a whole completion; empty if it has none."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        return "\n".join(filter(None, map(_text, value)))
    if not isinstance(value, dict):
        return ""
    for name in ("message", "choices", "delta"):
        if value.get(name):
            found = value[name][:1] if name == "choices" else value[name]
            return _text(found)
    thoughts = value.get("reasoning_content") or value.get("reasoning") or ""
    said = next((value[name] for name in ("content", "text", "value") if value.get(name)), "")
    return "\n\n".join(filter(None, (_text(thoughts), _text(said))))


def chat_traces(attempt: Mapping[str, Any], context: Context) -> Iterator[Trace]:
    """Yield the trace of one response."""
    problem = context.problem
    found = separate_final(attempt["text"], problem)
    passages = split_prose(lines_apart(found.reasoning), context.prose)
    answer = found.answer or attempt["answer"]
    marked = attempt["right"]
    if marked is None:
        answer = answer or last_number(problem, found.reasoning)
        right = bool(answer) and is_right(problem, worded_answer(problem, answer))
    else:
        right = marked
        # Whoever marked it right found the reference in it.
        answer = answer or (problem.answer if right else "")
    verdict = Verdict.RIGHT if right else Verdict.WRONG if answer else Verdict.UNFINISHED
    yield Trace(
        problem_id=problem.id,
        steps=in_a_row([make_step(passage) for passage in passages]),
        answer=worded_answer(problem, answer) if answer else "",
        verdict=verdict,
        provenance=Provenance(
            teacher=attempt["model"] or context.source,
            method="import",
            details={"format": "chat", "judged_by": "grader" if marked is None else "file"},
        ),
    )
