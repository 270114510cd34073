"""What a server answers when nothing goes wrong."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Protocol

from pydantic import Field

from steiner.core import InputError, Settings

CHARACTERS_PER_TOKEN = 4
"""How tokens are estimated, here as in any `usage` that the server reports."""


class Completion(NamedTuple):
    """What a model wrote."""

    content: str
    reasoning: str = ""
    """What it thought before; `ServerSettings.reasoning` says where the server puts it."""


class Model(Protocol):
    """Somebody who answers. Must be a pure function of the request, so that asking again changes nothing."""

    def complete(self, body: Mapping[str, Any]) -> Completion:
        """Answer a parsed chat-completions request."""
        ...


class CannedModel(Settings):
    """Always the same reply: for benchmarks, where the server must cost as little as possible."""

    kind: Literal["canned"] = "canned"
    text: str = ""
    """What to answer; empty: text without meaning, of `characters`."""
    characters: int = Field(default=2_000, ge=1)
    """Length of the meaningless content. 2,000 characters make a reply of about 2.4 kB."""

    def complete(self, body: Mapping[str, Any]) -> Completion:
        """Return the one reply."""
        filler = "The quick brown fox jumps over the lazy dog. "
        return Completion(self.text or (filler * (self.characters // len(filler) + 1))[: self.characters])


class EchoModel(Settings):
    """Answers with the last message: for tests that must tell one request from another."""

    kind: Literal["echo"] = "echo"
    prefix: str = ""

    def complete(self, body: Mapping[str, Any]) -> Completion:
        """Return the content of the last message."""
        return Completion(self.prefix + texts(body)[-1][1] if texts(body) else self.prefix)


class ImportedModel(Settings):
    """A model of your own, by the name it is imported by: the way into a server in its own process."""

    kind: Literal["imported"] = "imported"
    name: str
    """`package.module:attribute`, where the attribute is a `Model`, or a class or function that makes one."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Given by name to the class or function."""

    def complete(self, body: Mapping[str, Any]) -> Completion:
        """Answer as the imported model does, loading it anew: use `load` to keep it."""
        return self.load().complete(body)

    def load(self) -> Model:
        """Import and make the model.

        Raises:
            InputError: there is no such module or attribute, or what it gives has no method `complete`.
        """
        module, _, attribute = self.name.partition(":")
        try:
            found = getattr(importlib.import_module(module), attribute)
            made = found(**self.arguments) if isinstance(found, type) or not _answers(found) else found
        except (ImportError, AttributeError, ValueError, TypeError) as error:
            raise InputError(
                f"the model '{self.name}' cannot be imported ({error}); "
                "write it as package.module:attribute, and see that the package is installed"
            ) from error
        if not _answers(made):
            raise InputError(f"the model '{self.name}' has no method complete(body)")
        model: Model = made
        return model


def _answers(found: object) -> bool:
    return callable(getattr(found, "complete", None))


def texts(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return role and text of each message; parts of text are joined, other parts left out."""
    return [(str(item.get("role", "")), _text(item.get("content"))) for item in body.get("messages", ())]


def schema_name(body: Mapping[str, Any]) -> str:
    """Return the name of the JSON schema that the reply must follow, empty if there is none."""
    wanted = body.get("response_format") or {}
    return str((wanted.get("json_schema") or {}).get("name", ""))


def schema(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON schema that the reply must follow, empty if there is none."""
    wanted = body.get("response_format") or {}
    found = (wanted.get("json_schema") or {}).get("schema")
    return found if isinstance(found, dict) else {}


def tokens(text: str) -> int:
    """Estimate how many tokens a text has."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def _text(content: object) -> str:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""
