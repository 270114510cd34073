"""What a model reads: messages with the reasoning that the history policy carries, as token ids."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from steiner.core import InputError, ReasoningPath
from steiner.protocol import Message, TextEncoder, encode_path, ensure_chat_template, escape
from steiner.protocol.history import HistoryPolicy, carry_history
from steiner.protocol.outline import read_outline
from steiner.protocol.prompt import _skeleton as prompt_skeleton
from steiner.serve.bodies import ChatMessage, InputItem, text_of
from steiner.serve.errors import bad
from steiner.serve.template import bounded, try_template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SHORT = 20_000
"""Characters that are encoded at once in the event loop, in about a millisecond; more go to a thread."""
MOST_SHAPES = 512
"""Sequences of roles whose rendering is kept."""


class Turn(NamedTuple):
    """A message and, of an assistant's one, what is known of its reasoning."""

    message: Message
    ids: tuple[int, ...] | None = None
    """The completion as the model wrote it, without its end; only from memory."""


def read_messages(messages: Sequence[ChatMessage]) -> list[Message]:
    """Return the messages of a chat request.

    `developer` is a system message, results of tools are the user's. Reasoning that a client sends back is
    read into steps if it is of our form, else ignored.
    """
    found = []
    for place, item in enumerate(messages):
        text = text_of(item.content, f"messages.{place}.content")
        if item.role == "assistant":
            sent = item.reasoning_content or item.reasoning
            found.append(Message("assistant", text, read_outline(sent, text) if sent else None))
        elif item.role in ("system", "developer"):
            found.append(Message("system", text))
        else:
            found.append(Message("user", text))
    return found


def read_items(items: str | Sequence[InputItem], instructions: str | None) -> list[Message]:
    """Return the messages of a Responses request; reasoning items belong to the message after them."""
    found = [Message("system", instructions)] if instructions else []
    if isinstance(items, str):
        return [*found, Message("user", items)]
    reasoning = ""
    for place, item in enumerate(items):
        if item.type == "reasoning":
            reasoning = text_of(item.content or item.summary, f"input.{place}")
            continue
        if item.role is None:
            raise bad(f"Missing required parameter: 'input.{place}.role'.", f"input.{place}.role")
        text = text_of(item.content, f"input.{place}.content")
        if item.role == "assistant":
            found.append(Message("assistant", text, read_outline(reasoning, text) if reasoning else None))
        else:
            found.append(Message("user" if item.role == "user" else "system", text))
        reasoning = ""
    if not found:
        raise bad("'input' must hold at least one message.", "input", "invalid_value")
    return found


class TurnMemory:
    """Completions of late, so that reasoning can be carried that a client does not send back.

    The key is the whole conversation up to and including the answer: who knows that may as well know what
    was thought in between.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[bytes, tuple[tuple[int, ...], ReasoningPath]] = OrderedDict()

    def remember(
        self, asked: Sequence[Message], answer: str, ids: tuple[int, ...], path: ReasoningPath
    ) -> None:
        """Keep a whole, well-formed completion; `ids` without the end of text."""
        if not self._size:
            return
        *_, key = _keys([*asked, Message("assistant", answer)])
        self._kept[key] = (ids, path)
        self._kept.move_to_end(key)
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)

    def recall(self, messages: Sequence[Message]) -> list[Turn]:
        """Return the messages, assistants' ones with what is remembered of them."""
        if not self._kept:
            return [Turn(message) for message in messages]
        turns = []
        for message, key in zip(messages, _keys(messages), strict=True):
            known = self._kept.get(key) if message.role == "assistant" else None
            if known is None:
                turns.append(Turn(message))
            else:
                self._kept.move_to_end(key)
                turns.append(Turn(message._replace(reasoning=known[1]), known[0]))
        return turns


def _keys(messages: Iterable[Message]) -> list[bytes]:
    """Return, for each message, the digest of the conversation up to it."""
    running = hashlib.sha256()
    keys = []
    for message in messages:
        content = message.content.encode("utf-8", "surrogatepass")
        running.update(f"{message.role} {len(content)} ".encode() + content)
        keys.append(running.digest())
    return keys


class PromptEncoder:
    """Encodes conversations under the model folder's chat template; nothing in a text becomes a delimiter.

    The template sees the roles only, so each sequence of roles is rendered once.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        """Prepare a tokenizer.

        Raises:
            InputError: if it has no chat template and lacks the tokens of ChatML.
        """
        ensure_chat_template(tokenizer)
        self._tokenizer = tokenizer
        self._encoder = TextEncoder(tokenizer)
        self._skeleton = lru_cache(maxsize=MOST_SHAPES)(self._render)
        self._rendered: set[tuple[str, ...]] = set()

    def _render(self, roles: tuple[str, ...]) -> list[list[int] | int]:
        return bounded(lambda: prompt_skeleton(self._tokenizer, roles, True))

    def try_template(self) -> None:
        """Make sure that the template ends, before anybody waits for it.

        Raises:
            InputError: if it does not.
        """
        tokens = {
            name: str(value)
            for name, value in self._tokenizer.special_tokens_map.items()
            if isinstance(value, str)
        }
        try_template(str(self._tokenizer.chat_template), tokens, self._tokenizer.name_or_path)

    async def encode(self, turns: Sequence[Turn], policy: HistoryPolicy) -> tuple[int, ...]:
        """Return the ids of a conversation that ends with the beginning of the assistant's turn.

        Raises:
            ApiError: if the template refuses the roles.
        """
        carried = carry_history([turn.message for turn in turns], policy)
        # New sequences of roles are rendered, which may take long.
        size = sum(len(message.content) for message in carried) + 100 * len(carried)
        roles = tuple(message.role for message in carried)
        try:
            if size > SHORT or roles not in self._rendered:
                return await asyncio.to_thread(self._join, roles, carried, turns, policy)
            return self._join(roles, carried, turns, policy)
        except InputError as error:
            raise bad(str(error), "messages", "invalid_value") from error

    async def encode_texts(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Return the ids of plain prompts."""
        if sum(map(len, texts)) > SHORT:
            rows = await asyncio.to_thread(self._encoder.encode, texts)
        else:
            rows = self._encoder.encode(texts)
        return [tuple(row) for row in rows]

    def _join(
        self, roles: tuple[str, ...], carried: Sequence[Message], turns: Sequence[Turn], policy: HistoryPolicy
    ) -> tuple[int, ...]:
        texts = ["" if message.reasoning else escape(message.content) for message in carried]
        rows = self._encoder.encode(texts)
        for place, (message, turn) in enumerate(zip(carried, turns, strict=True)):
            if message.reasoning is None:
                continue
            if turn.ids is not None and policy is HistoryPolicy.KEEP:
                rows[place] = list(turn.ids)
            else:
                rows[place] = list(encode_path(self._tokenizer, message.reasoning).ids[:-1])
        ids: list[int] = []
        skeleton = self._skeleton(roles)
        if len(self._rendered) > MOST_SHAPES:
            self._rendered.clear()
        self._rendered.add(roles)
        for part in skeleton:
            ids += rows[part] if isinstance(part, int) else part
        return tuple(ids)
