"""The handle on a server: in a process of its own, or in the running event loop."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import urllib.request
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from steiner.core import InputError, parse_settings
from steiner.testing.faults import Faults
from steiner.testing.settings import AnyModel, ServerSettings
from steiner.testing.stats import ServerStats

if TYPE_CHECKING:
    from steiner.testing.app import ChatServer

STOP_SECONDS = 5.0


class FaultyServer:
    """An OpenAI-compatible server, for as long as a `with` block lasts.

    `with FaultyServer(…) as server:` starts it in a process of its own, which ends with the block, and with
    this process however that ends. `async with FaultyServer(…) as server:` serves in the running event loop,
    for small tests.

    Args:
        model: what it answers, `ArithmeticModel()` unless told. A model of your own must be importable to
            get into the other process: `ImportedModel(name="package.module:Model")`.
        faults: what goes wrong, nothing unless told.
        seed: of the faults.
        others: any other field of `ServerSettings`.

    Raises:
        InputError: unknown or impossible settings.
    """

    def __init__(
        self, model: AnyModel | None = None, faults: Faults | None = None, seed: int = 0, **others: Any
    ) -> None:
        given: dict[str, Any] = {"seed": seed} | others
        if model is not None:
            given["model"] = model
        if faults is not None:
            given["faults"] = faults
        self.settings = parse_settings(ServerSettings, given, "FaultyServer")
        self.base_url = ""
        """Such as `http://127.0.0.1:41234/v1`; empty while it does not run."""
        self._process: subprocess.Popen[bytes] | None = None
        self._chat: ChatServer | None = None
        self._stack: contextlib.AsyncExitStack | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the server where it has a process of its own."""
        return self._process.pid if self._process else None

    def stats(self, by_body: bool = False) -> ServerStats:
        """Return what the server has counted; `by_body` with the deliveries of each body."""
        if self._chat is not None:
            return self._chat.stats(by_body)
        with urllib.request.urlopen(f"{self._root}/stats?by_body={int(by_body)}", timeout=60) as reply:
            return ServerStats.model_validate_json(reply.read())

    def reset(self) -> None:
        """Forget all counts, so that faults come as after the start."""
        if self._chat is not None:
            self._chat.reset()
            return
        request = urllib.request.Request(f"{self._root}/reset", data=b"", method="POST")
        with urllib.request.urlopen(request, timeout=60) as reply:
            reply.read()

    def start(self) -> Self:
        """Start it in a process of its own; `stop` must follow.

        Raises:
            InputError: the process ended instead; it has said why on the standard error stream.
        """
        # The settings go through a pipe, not the command line, where anybody could read the key. The pipe
        # stays open: when it closes, because this process has ended, the server ends.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "steiner.testing", "--settings-from-stdin"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(self.settings.model_dump_json().encode() + b"\n")
            self._process.stdin.flush()
        self.base_url = self._process.stdout.readline().decode().strip()
        if not self.base_url:
            code = self._process.wait()
            self.stop()
            raise InputError(f"the server ended at its start with exit code {code}; its message is above")
        return self

    def stop(self) -> None:
        """Stop the process and wait for its end."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        # Closes the pipes, too.
        self._process.communicate()
        self._process, self.base_url = None, ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        # Only a server in this process needs aiohttp here.
        from steiner.testing.run import running

        self._stack = contextlib.AsyncExitStack()
        self._chat, self.base_url = await self._stack.enter_async_context(running(self.settings))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stack is not None:
            await self._stack.aclose()
        self._chat, self._stack, self.base_url = None, None, ""

    @property
    def _root(self) -> str:
        if not self.base_url:
            raise InputError("the server does not run; use it inside its `with` block")
        return self.base_url.removesuffix("/v1")
