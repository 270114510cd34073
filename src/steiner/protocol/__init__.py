"""How a reasoning path is written down: 14 control tokens, their grammar, the way from and to text and ids.

The only owner of the delimiters. Core and standard library only: a tokenizer of transformers is handed in.
See `docs/protocol.md`.
"""

from steiner.protocol.encode import TextEncoder
from steiner.protocol.escape import escape, unescape
from steiner.protocol.events import (
    AnswerStarted,
    AnswerText,
    Event,
    FieldEnded,
    FieldText,
    Finished,
    MoveMade,
    Parsed,
    StepEnded,
    StepStarted,
    Violation,
    ViolationFound,
    ViolationKind,
)
from steiner.protocol.history import HistoryPolicy, carry_history, render_history, render_summaries
from steiner.protocol.parse import parse, parse_ids
from steiner.protocol.prompt import (
    CHATML_TEMPLATE,
    Message,
    encode_prompt,
    encode_prompts,
    ensure_chat_template,
)
from steiner.protocol.render import EncodedPath, encode_path, encode_paths, render
from steiner.protocol.requests import EFFORTS, Effort, request_text, with_request
from steiner.protocol.stream import StreamParser, TokenStreamParser
from steiner.protocol.tokens import (
    CONTROL_TOKENS,
    ControlIds,
    ControlToken,
    add_control_tokens,
    check_vocabulary,
)

__all__ = [
    "CHATML_TEMPLATE",
    "CONTROL_TOKENS",
    "EFFORTS",
    "AnswerStarted",
    "AnswerText",
    "ControlIds",
    "ControlToken",
    "Effort",
    "EncodedPath",
    "Event",
    "FieldEnded",
    "FieldText",
    "Finished",
    "HistoryPolicy",
    "Message",
    "MoveMade",
    "Parsed",
    "StepEnded",
    "StepStarted",
    "StreamParser",
    "TextEncoder",
    "TokenStreamParser",
    "Violation",
    "ViolationFound",
    "ViolationKind",
    "add_control_tokens",
    "carry_history",
    "check_vocabulary",
    "encode_path",
    "encode_paths",
    "encode_prompt",
    "encode_prompts",
    "ensure_chat_template",
    "escape",
    "parse",
    "parse_ids",
    "render",
    "render_history",
    "render_summaries",
    "request_text",
    "unescape",
    "with_request",
]
