"""Lines in, answers out, until the end of input."""

from __future__ import annotations

import importlib
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from steiner.cli.chat.exchange import Answerer, Exchange
from steiner.cli.chat.options import COMMANDS, ChatOptions, change, described
from steiner.cli.live import StepPrinter, print_note
from steiner.core import InputError, SteinerError

PROMPT = "> "
ACTIONS = {
    "settings": ("/settings", "what is set"),
    "reset": ("/reset", "begin a new conversation; settings stay"),
    "save": ("/save FILE", "write the conversation as JSON"),
    "help": ("/help", "this list"),
    "quit": ("/quit", "leave; so does Ctrl-D"),
}
"""Slash commands beside `COMMANDS`: usage and help."""


class Chat:
    """A conversation with its settings."""

    def __init__(self, answerer: Answerer, options: ChatOptions, console: Console) -> None:
        """Begin with nothing said."""
        self._answerer = answerer
        self._options = options
        self._console = console
        self._said: list[Exchange] = []
        self._saved: Path | None = None

    def run(self) -> None:
        """Read lines until the end of input or /quit. Ctrl-C stops an answer, not the program."""
        interactive = sys.stdin.isatty()
        if interactive:
            # Line editing and history for `input`; not there on every platform.
            with suppress(ImportError):
                importlib.import_module("readline")
            self._tell(f"{self._answerer.name}: {described(self._options)}. /help lists commands.")
        while True:
            try:
                line = input(PROMPT if interactive else "").strip()
                if line in ("/quit", "/exit"):
                    return
                if line:
                    self.take(line)
            except EOFError:
                if interactive:
                    self._console.print()
                return
            except KeyboardInterrupt:
                self._console.print()
                self._tell("Ctrl-D or /quit leaves.")

    def take(self, line: str) -> None:
        """Do what a line says; what cannot be done is told."""
        try:
            # `//` asks what begins with a slash.
            if line.startswith("/") and not line.startswith("//"):
                name, _, argument = line[1:].partition(" ")
                self._command(name, argument.strip())
            else:
                self._ask(line.removeprefix("/"))
        except SteinerError as error:
            self._console.print(Text(str(error), "red"))

    def _ask(self, question: str) -> None:
        printer = StepPrinter(self._console, frozenset(self._options.show))
        try:
            exchange = self._answerer.answer(self._said, question, self._options, printer.feed)
        except KeyboardInterrupt:
            printer.finish()
            self._tell("Stopped; the question is forgotten.")
            return
        except SteinerError:
            printer.finish()
            raise
        printer.finish()
        print_note(self._console, exchange.parsed, exchange.reasoning_tokens)
        self._said.append(exchange)

    def _command(self, name: str, argument: str) -> None:
        if name in COMMANDS:
            self._options = change(self._options, name, argument)
            self._tell(described(self._options))
        elif name == "settings":
            self._tell(described(self._options))
        elif name == "reset":
            self._said, self._saved = [], None
            self._tell("A new conversation.")
        elif name == "save":
            self._save(argument)
        elif name == "help":
            rows = [*((c.usage, c.help) for c in COMMANDS.values()), *ACTIONS.values()]
            for usage, text in rows:
                self._console.print(Text.assemble((f"{usage:<52}", "cyan"), text))
        else:
            raise InputError(f"there is no command /{name}; /help lists them. A question may begin with //.")

    def _save(self, argument: str) -> None:
        from steiner.store import atomic_write

        if not argument:
            raise InputError("where to? /save FILE")
        path = Path(argument).expanduser()
        if path.exists() and path != self._saved:
            raise InputError(f"{path} exists; choose another name")
        value = conversation(self._answerer.name, self._options, self._said)
        with atomic_write(path) as file:
            file.write(json.dumps(value, ensure_ascii=False, indent=2).encode() + b"\n")
        self._saved = path
        self._tell(f"Saved {len(self._said)} questions and answers to {path}.")

    def _tell(self, text: str) -> None:
        self._console.print(Text(text, "dim"))


def conversation(model: str, options: ChatOptions, said: list[Exchange]) -> dict[str, Any]:
    """Return a conversation as it is saved: messages as a chat API takes them, with their steps."""
    messages: list[dict[str, Any]] = []
    for exchange in said:
        parsed = exchange.parsed
        moves = [None, *parsed.moves]
        steps = [
            {"move": move, **step.model_dump(mode="json")}
            for move, step in zip(moves, parsed.steps, strict=False)
        ]
        messages.append({"role": "user", "content": exchange.question})
        messages.append({"role": "assistant", "content": parsed.answer, "steiner": {"steps": steps}})
    return {"model": model, "settings": options.model_dump(mode="json"), "messages": messages}
