"""Files of questions in, files of answers out; a killed run goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from steiner.core import InputError, Progress, Settings, StepBudget, digest

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from steiner.decode.engine import Thought
    from steiner.decode.generate import Completion
    from steiner.decode.watch import Watch

STAGE = "answers"


class Turn(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: str


class Asked(BaseModel):
    """One line of a file of questions: a `question` or `messages`, and limits of its own if it has any."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = ""
    """By default the number of the line among those that are not empty, from 1."""
    question: str = ""
    messages: tuple[Turn, ...] = ()
    limits: dict[str, Any] = {}
    """Fields of `StepBudget`, in place of those of the command."""

    @model_validator(mode="after")
    def _check(self) -> Asked:
        if bool(self.question.strip()) == bool(self.messages):
            raise ValueError("give either a question or messages")
        if self.messages and self.messages[-1].role != "user":
            raise ValueError("the last message must be the user's")
        return self

    @property
    def text(self) -> str:
        """The question, or the last message."""
        return self.question or self.messages[-1].content

    def budget(self, general: StepBudget) -> StepBudget:
        """Return the limits of this question.

        Raises:
            InputError: if they contradict each other or are unknown.
        """
        if not self.limits:
            return general
        try:
            return StepBudget.model_validate({**general.model_dump(), **self.limits})
        except ValidationError as error:
            raise InputError(f"the limits of question '{self.id}': {complaint(error)}") from error


class AnswerSettings(Settings):
    """All that decides what is written, beside the questions."""

    model: str
    """Digest of its files, or its name on a hub."""
    budget: StepBudget
    mode: str
    temperature: float
    seed: int
    system: str
    max_answer_tokens: int
    batch_size: int
    """Questions at once: neighbours in a batch share a stream of draws."""


def read_questions(given: Sequence[str], file: Path | None) -> list[Asked]:
    """Return the questions of the command line, then those of the file.

    A file whose name ends in .jsonl has one JSON object (see `Asked`) or string a line, any other file one
    question a line. Empty lines are skipped.

    Raises:
        InputError: if there is no question, the file cannot be read, or an id comes twice.
    """
    asked = [Asked(question=question) for question in given if question.strip()]
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"the questions in '{file}' cannot be read: {error}") from error
        as_json = file.suffix == ".jsonl"
        for number, line in enumerate(lines, 1):
            if line.strip():
                asked.append(_read_line(line, f"{file}, line {number}") if as_json else _plain(line))
    if not asked:
        raise InputError("there is no question; give one as an argument, or a file with one a line by --file")
    named = [item if item.id else item.model_copy(update={"id": str(n)}) for n, item in enumerate(asked, 1)]
    seen: set[str] = set()
    for item in named:
        if item.id in seen:
            raise InputError(f"the id '{item.id}' comes twice among the questions; give each its own")
        seen.add(item.id)
    return named


def _plain(line: str) -> Asked:
    return Asked(question=line.strip())


def _read_line(line: str, place: str) -> Asked:
    try:
        value = json.loads(line)
        return Asked.model_validate({"question": value} if isinstance(value, str) else value)
    except ValidationError as error:
        raise InputError(
            f"{place}: {complaint(error)}. A line is a JSON object with question or messages, and perhaps id "
            "and limits."
        ) from error
    except ValueError as error:
        raise InputError(f"{place} is no JSON: {error}") from error


def complaint(error: ValidationError) -> str:
    """Return the first thing that is wrong, with its place."""
    item = error.errors(include_url=False)[0]
    reason = item["msg"].removeprefix("Value error, ")
    return ": ".join([".".join(map(str, item["loc"])), reason] if item["loc"] else [reason])


class Writer:
    """Answers batches of questions with one model."""

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        settings: AnswerSettings,
    ) -> None:
        """Wrap a loaded model."""
        self.settings = settings
        self._model = model
        self._tokenizer = tokenizer

    def batches(self, asked: Sequence[Asked]) -> list[Sequence[Asked]]:
        """Cut the questions, always at the same places."""
        size = self.settings.batch_size
        return [asked[begin : begin + size] for begin in range(0, len(asked), size)]

    def write(self, batch: Sequence[Asked], index: int, watch: Watch | None = None) -> list[Thought]:
        """Return what the model writes for a batch: a pure function of the batch, its index and the settings.

        `watch` is told the tokens of a single question as they are written.
        """
        from steiner.decode.control import Mode
        from steiner.decode.generate import generate
        from steiner.protocol import encode_prompts

        settings = self.settings
        completions = generate(
            self._model,
            self._tokenizer,
            encode_prompts(self._tokenizer, [messages_of(item, settings.system) for item in batch]),
            [item.budget(settings.budget) for item in batch],
            mode=Mode(settings.mode),
            temperature=settings.temperature,
            seed=settings.seed + index,
            max_answer_tokens=settings.max_answer_tokens,
            batch_size=settings.batch_size,
            watch=watch,
        )
        return [self._thought(completion) for completion in completions]

    def _thought(self, completion: Completion) -> Thought:
        from steiner.decode.engine import Thought
        from steiner.protocol import ControlIds, ControlToken

        end, ids = ControlIds.from_tokenizer(self._tokenizer)[ControlToken.END], completion.completion_ids
        tokens = ids.index(end) + 1 if end in ids else len(ids)
        return Thought(ids, completion.parsed, tokens)


def messages_of(item: Asked, system: str) -> list[Any]:
    """Return the conversation of a question; one that has a system message keeps its own."""
    from steiner.protocol import Message

    turns = [Message(turn.role, turn.content) for turn in item.messages]
    turns = turns or [Message("user", item.question)]
    if system and turns[0].role != "system":
        turns.insert(0, Message("system", system))
    return turns


def answer_line(item: Asked, thought: Thought) -> dict[str, Any]:
    """Return one line of the file of answers."""
    return {
        "id": item.id,
        **item.model_dump(include={"question", "messages"}, exclude_defaults=True),
        "reasoning_tokens": thought.reasoning_tokens,
        **thought.parsed.model_dump(mode="json"),
    }


def write_answers(
    asked: Sequence[Asked], writer: Writer, output: Path, force: bool, progress: Progress
) -> int:
    """Answer what is not answered yet, and write all answers to `output`, in the order of the questions.

    Whole batches are stored in a run directory beside the file as they are finished, so that a killed run
    loses one batch at most; the file appears when all are there.

    Returns:
        How many were answered now.

    Raises:
        ResumeError: if the answers that are there were made from other questions or with other settings.
        BusyError: if another process writes the same file.
    """
    from steiner.store import RunDir, Stage, StoredRecord, atomic_write

    with RunDir(run_folder(output)) as run:
        questions = digest([item.model_dump(mode="json") for item in asked])
        stage = Stage(run, STAGE, writer.settings, {"questions": questions}, force=force)
        done = run.journal.keys(STAGE)
        progress.start("Thinking", len(asked))
        progress.update(len(done))
        new = ordinal = 0
        try:
            for index, batch in enumerate(writer.batches(asked)):
                if not all(item.id in done for item in batch):
                    thoughts = writer.write(batch, index)
                    stage.put(
                        StoredRecord(item.id, ordinal + place, _line(item, thought))
                        for place, (item, thought) in enumerate(zip(batch, thoughts, strict=True))
                    )
                    new += len(batch)
                    progress.update(len(done) + new)
                ordinal += len(batch)
        finally:
            progress.finish()
        if not stage.is_complete:
            stage.finish({"answers": len(asked)})
        with atomic_write(output) as file:
            file.writelines(record.body + b"\n" for record in run.journal.records(STAGE))
    return new


def run_folder(output: Path) -> Path:
    """Return where the answers are kept while they are made, and after."""
    return output.with_name(output.name + ".run")


def _line(item: Asked, thought: Thought) -> bytes:
    return json.dumps(answer_line(item, thought), ensure_ascii=False).encode()
