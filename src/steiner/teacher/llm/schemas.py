"""JSON schemas of the replies, within what strict structured outputs take.

Strict means: every object lists all its properties as required and takes no others; a value that may be
missing is null. The properties stand in the order in which a model should think: where a step starts from
before what it says, and the answer last.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from steiner.teacher.llm.templates import Call

FIELDS = ("name", "thought", "summary", "reflection")
"""Text fields of a step, in the order of writing."""

FEWEST_DRAFT_STEPS = 3
"""As the prompt asks for."""

_TEXT = {"type": "string"}
_NUMBER_OR_NULL = {"type": ["integer", "null"]}


@lru_cache(maxsize=256)
def response_schema(call: Call, max_steps: int) -> dict[str, Any]:
    """Return the schema of a call's reply with at most `max_steps` steps. Shared: do not change it."""
    properties: dict[str, Any] = {}
    if call == "resolve":
        properties |= {"wrong_step": _NUMBER_OR_NULL, "reflection": _TEXT}
    step = _closed({"back_to": _NUMBER_OR_NULL} | dict.fromkeys(FIELDS, _TEXT))
    # A draft of a single step has no place to be cut at, and small models write no more than they must.
    fewest = FEWEST_DRAFT_STEPS if call == "draft" else 1
    properties["steps"] = {"type": "array", "items": step, "minItems": fewest, "maxItems": max_steps}
    properties["answer"] = _TEXT
    return _closed(properties)


def schema_name(call: Call) -> str:
    """Return the name a schema is sent under."""
    return f"steiner_{call}"


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
