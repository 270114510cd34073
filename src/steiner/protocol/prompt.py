"""Chat prompts in which nothing that a user typed can become a delimiter.

The chat template is rendered with placeholders for the contents. Its own pieces are encoded with their
special tokens, the contents as plain text, and only then the ids are joined. So neither a typed `<|im_end|>`
nor halves of one that a template would bring together ever form a token.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from steiner.core import InputError, ReasoningPath
from steiner.protocol.encode import TextEncoder
from steiner.protocol.escape import escape
from steiner.protocol.render import encode_paths

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CHATML_TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""ChatML without a default system message."""
CHATML_TOKENS = ("<|im_start|>", "<|im_end|>")

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = ("system", "user", "assistant")


class Message(NamedTuple):
    """One turn of a conversation."""

    role: Role
    content: str
    reasoning: ReasoningPath | None = None
    """Of an assistant's turn that carries its reasoning with control tokens: written in place of `content`,
    as the model wrote it. See `steiner.protocol.history`."""


Prompt = str | tuple[Message, ...]
"""A question by itself, or a conversation whose last message is the user's."""


def ensure_chat_template(tokenizer: PreTrainedTokenizerBase) -> None:
    """Give a tokenizer without a chat template the ChatML one, if it has ChatML's two tokens.

    Raises:
        InputError: if it has neither.
    """
    if tokenizer.chat_template:
        return
    vocabulary = tokenizer.get_vocab()
    if not all(token in vocabulary for token in CHATML_TOKENS):
        raise InputError(
            f"the tokenizer '{tokenizer.name_or_path}' has no chat template and lacks the tokens of ChatML. "
            "Set tokenizer.chat_template, or add the special tokens <|im_start|> and <|im_end|>, and save it."
        )
    tokenizer.chat_template = CHATML_TEMPLATE


def encode_prompt(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], add_generation_prompt: bool = True
) -> list[int]:
    """Return the ids of one conversation; see `encode_prompts`."""
    return encode_prompts(tokenizer, [messages], add_generation_prompt)[0]


def encode_prompts(
    tokenizer: PreTrainedTokenizerBase,
    conversations: Sequence[Sequence[Message]],
    add_generation_prompt: bool = True,
) -> list[list[int]]:
    """Return the ids of conversations under the tokenizer's own chat template.

    Args:
        tokenizer: with a chat template, or with ChatML's tokens.
        conversations: each at least one message.
        add_generation_prompt: end with the beginning of the assistant's turn.

    Raises:
        InputError: for an empty conversation, an unknown role, a template that refuses or drops a message,
            and where there is no template.
    """
    ensure_chat_template(tokenizer)
    skeletons: dict[tuple[str, ...], list[list[int] | int]] = {}
    shapes = [tuple(message.role for message in messages) for messages in conversations]
    for shape in dict.fromkeys(shapes):
        skeletons[shape] = _skeleton(tokenizer, shape, add_generation_prompt)
    contents = iter(_encode_contents(tokenizer, [m for messages in conversations for m in messages]))
    prompts = []
    for shape in shapes:
        turn = [next(contents) for _ in shape]
        parts = (turn[part] if isinstance(part, int) else part for part in skeletons[shape])
        prompts.append([number for part in parts for number in part])
    return prompts


def _encode_contents(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[list[int]]:
    """Return the ids of each message's content; of one with reasoning, the completion without its end."""
    texts = ["" if m.reasoning is not None else escape(m.content) for m in messages]
    rows = TextEncoder(tokenizer).encode(texts)
    reasoned = [(row, m) for row, m in enumerate(messages) if m.reasoning is not None]
    if wrong := [m.role for _, m in reasoned if m.role != "assistant"]:
        raise InputError(f"only an assistant's message can carry reasoning, not one of role '{wrong[0]}'")
    paths = [m.reasoning for _, m in reasoned if m.reasoning is not None]
    for (row, _), encoded in zip(reasoned, encode_paths(tokenizer, paths) if paths else [], strict=True):
        # The template ends the turn in its own way; of what the model wrote, only the end token differs.
        rows[row] = list(encoded.ids[:-1])
    return rows


def _skeleton(
    tokenizer: PreTrainedTokenizerBase, roles: tuple[str, ...], add_generation_prompt: bool
) -> list[list[int] | int]:
    """Return the template's pieces as ids, with the index of a message wherever its content stands."""
    if not roles:
        raise InputError("a conversation needs at least one message")
    if unknown := [role for role in roles if role not in ROLES]:
        raise InputError(f"unknown role '{unknown[0]}'; known roles: {', '.join(ROLES)}")
    key = secrets.token_hex(16)
    conversation = [{"role": role, "content": f"{key}n{index}e"} for index, role in enumerate(roles)]
    try:
        text = tokenizer.apply_chat_template(
            conversation, tokenize=False, add_generation_prompt=add_generation_prompt
        )
    except Exception as error:  # jinja2.TemplateError, raised by the template's author
        raise InputError(
            f"the chat template of '{tokenizer.name_or_path}' refuses a conversation of "
            f"{', '.join(roles)}: {error}"
        ) from error
    pieces = re.split(f"{key}n([0-9]+)e", text)
    missing = set(range(len(roles))) - {int(index) for index in pieces[1::2]}
    if missing:
        raise InputError(
            f"the chat template of '{tokenizer.name_or_path}' drops the {roles[min(missing)]} message "
            f"at place {min(missing) + 1}; use a template that keeps it."
        )
    return [
        int(piece) if place % 2 else list(tokenizer.encode(piece, add_special_tokens=False))
        for place, piece in enumerate(pieces)
    ]
