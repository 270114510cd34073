"""The prompts: files of this package, any of which a user may replace by a file of the same name."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from steiner.core import InputError, digest
from steiner.teacher.chat.types import Message
from steiner.teacher.llm.checks import sentences

Call = Literal["draft", "attempt", "resolve"]
"""The three calls of the method."""

CALLS: tuple[Call, ...] = ("draft", "attempt", "resolve")
SHARED = ("step.md", "shown.md", "again.md")
NAMES = (*(f"{call}.{part}.md" for call in CALLS for part in ("system", "user")), *SHARED)
"""Files of a set of prompts. The others include `step.md` (what a step is) and `shown.md` (how questions and
steps are shown); `again.md` is what is added when a reply could not be used."""

MAX_BYTES = 1 << 20
"""Size of a prompt file beyond which it cannot be meant."""


class ShownStep(NamedTuple):
    """A step as a prompt shows it."""

    number: int
    """From 1."""
    back_to: int | None
    """Number of the step it goes on from when that is not the one before it; 0 is the question."""
    name: str
    thought: str
    summary: str
    reflection: str


class _Sandbox(SandboxedEnvironment):
    """The sandbox, with a short way to what templates read most: finding that safe takes long."""

    def getattr(self, obj: Any, attribute: str) -> Any:
        if type(obj) is ShownStep and attribute in ShownStep._fields:
            return getattr(obj, attribute)
        return super().getattr(obj, attribute)


class Prompts:
    """A set of prompts.

    Args:
        texts: the text of each file of `NAMES`.
        origins: where each was read from, for error messages.
    """

    def __init__(self, texts: Mapping[str, str], origins: Mapping[str, str]) -> None:
        self._texts = dict(texts)
        self._origins = dict(origins)
        self._systems: dict[Call, Message] = {}
        self._sentences: dict[Call, tuple[str, ...]] = {}
        self._environment = _environment(self._texts, self._origins)

    @cached_property
    def digest(self) -> str:
        """Hash of all texts."""
        return digest(self._texts)

    def messages(self, call: Call, values: Mapping[str, Any], note: str = "") -> tuple[Message, Message]:
        """Render the system and the user message of a call.

        Args:
            call: which call.
            values: what the templates may use; a name that is not among them is an error.
            note: is appended to the user message.

        Raises:
            InputError: a template is wrong; the message names its file and line.
        """
        user = self.render(f"{call}.user.md", values)
        return self._system(call), Message(role="user", content=f"{user}\n\n{note}" if note else user)

    def instructions(self, call: Call) -> tuple[str, ...]:
        """Return the sentences of the system message, which no reply should repeat."""
        if call not in self._sentences:
            self._sentences[call] = sentences(self._system(call).content)
        return self._sentences[call]

    def _system(self, call: Call) -> Message:
        # The system message is given no values, so that it is the same for all questions: endpoints charge
        # less for the beginning of a prompt that they have seen before.
        if call not in self._systems:
            self._systems[call] = Message(role="system", content=self.render(f"{call}.system.md", {}))
        return self._systems[call]

    def render(self, name: str, values: Mapping[str, Any]) -> str:
        """Render one file.

        Raises:
            InputError: the template is wrong; the message names its file and line.
        """
        try:
            return self._environment.get_template(name).render(values).strip()
        # A template is a small program of the user's, and may fail in any way that programs fail.
        except Exception as error:
            raise InputError(self._complaint(name, error)) from error

    def _complaint(self, name: str, error: Exception) -> str:
        file, line = self._origins.get(name, name), 0
        if isinstance(error, jinja2.TemplateSyntaxError):
            file, line = error.filename or file, error.lineno
        else:
            known = set(self._origins.values())
            frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename in known]
            if frames:
                file, line = frames[-1].filename, frames[-1].lineno or 0
        place = f"{file}, line {line}" if line else file
        what = error.message if isinstance(error, jinja2.TemplateError) else str(error)
        return f"The prompt {place} cannot be used: {what or type(error).__name__}."


def load_prompts(override_dir: Path | None = None) -> Prompts:
    """Read the prompts of the package, those in `override_dir` taking the place of their namesakes.

    Every prompt is tried out on made-up values, so that a mistake shows before anything is sent.

    Raises:
        InputError: the directory cannot be read or holds a file that is no prompt, or a prompt is wrong.
    """
    folder = files(__package__) / "prompts"
    texts = {name: (folder / name).read_text(encoding="utf-8") for name in NAMES}
    origins = {name: str(folder / name) for name in NAMES}
    if override_dir is not None:
        for path in _overrides(override_dir):
            texts[path.name] = _read(path)
            origins[path.name] = str(path)
    prompts = Prompts(texts, origins)
    _try_out(prompts)
    return prompts


def _overrides(folder: Path) -> list[Path]:
    try:
        paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise InputError(f"The directory of prompts {folder} cannot be read: {error.strerror}.") from error
    for path in paths:
        if path.name not in NAMES:
            raise InputError(
                f"{path} is not a prompt. A directory of prompts may hold these files: {', '.join(NAMES)}."
            )
    return paths


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"The prompt {path} is larger than {MAX_BYTES:,} bytes.")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"The prompt {path} is not UTF-8 text: {error.reason}.") from error
    except OSError as error:
        raise InputError(f"The prompt {path} cannot be read: {error.strerror}.") from error


def _environment(texts: Mapping[str, str], origins: Mapping[str, str]) -> jinja2.Environment:
    def load(name: str) -> tuple[str, str, None] | None:
        return (texts[name], origins[name], None) if name in texts else None

    # Not HTML, so nothing is escaped. Sandboxed, because people pass prompts around.
    environment = _Sandbox(
        loader=jinja2.FunctionLoader(load),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
        auto_reload=False,
    )
    environment.filters["letter"] = option_letter
    return environment


def option_letter(index: int) -> str:
    """Return the letter of an option: A for 0."""
    return chr(ord("A") + index)


def _try_out(prompts: Prompts) -> None:
    """Render everything that calls can come to: with and without options, steps and answers."""
    question = "What is asked?"
    for choices in ((), ("one", "two")):
        for answer in ("", "two"):
            for steps in ((), _SAMPLE_STEPS):
                for call in CALLS:
                    values = sample_values(call, question, choices, answer, steps)
                    _check_question(prompts, call, prompts.messages(call, values), question)
    for call in CALLS:
        for reason in _REASONS:
            prompts.render("again.md", again_values(call, reason, "x", "English", 1))


def _check_question(prompts: Prompts, call: Call, messages: tuple[Message, Message], question: str) -> None:
    if question not in messages[1].content:
        name = f"{call}.user.md"
        raise InputError(
            f"The prompt {prompts._origins[name]} does not show the question: use {{{{ question }}}}."
        )


def sample_values(
    call: Call, question: str, choices: Sequence[str], answer: str, steps: Sequence[ShownStep]
) -> dict[str, Any]:
    """Return made-up values for a call's user message."""
    if call == "draft":
        return draft_values(question, choices, answer, 8, "English")
    if call == "attempt":
        return attempt_values(question, choices, steps, 4, "English")
    return resolve_values(question, choices, steps, answer, answer, 8, "English")


def draft_values(
    question: str, choices: Sequence[str], answer: str, max_steps: int, language: str
) -> dict[str, Any]:
    """Return the values for `draft.user.md`. `answer` may be empty where the task grades by itself."""
    return {
        "question": question,
        "choices": choices,
        "answer": answer,
        "max_steps": max_steps,
        "language": language,
    }


def attempt_values(
    question: str, choices: Sequence[str], steps: Sequence[ShownStep], max_steps: int, language: str
) -> dict[str, Any]:
    """Return the values for `attempt.user.md`, none of which knows the answer."""
    return {
        "question": question,
        "choices": choices,
        "steps": steps,
        "max_steps": max_steps,
        "language": language,
    }


def resolve_values(
    question: str,
    choices: Sequence[str],
    steps: Sequence[ShownStep],
    attempt_answer: str,
    answer: str,
    max_steps: int,
    language: str,
) -> dict[str, Any]:
    """Return the values for `resolve.user.md`."""
    return attempt_values(question, choices, steps, max_steps, language) | {
        "attempt_answer": attempt_answer,
        "answer": answer,
    }


def again_values(call: Call, reason: str, detail: str, language: str, tries: int) -> dict[str, Any]:
    """Return the values for `again.md`: `reason` and `detail` of the last of `tries` replies."""
    return {"call": call, "reason": reason, "detail": detail, "language": language, "tries": tries}


_REASONS = (
    *("told", "echo", "unfounded", "language", "length", "no-backtrack", "empty", "refused", "unparsable"),
)
_SAMPLE_STEPS = (
    ShownStep(1, None, "name", "thought", "summary", "reflection"),
    ShownStep(2, 0, "name", "thought", "summary", "reflection"),
)
