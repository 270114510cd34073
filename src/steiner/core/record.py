"""Base of everything that is written to disk, and the hashes that identify it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1
"""Version of the stored records. A reader refuses a version that it does not know."""


class Record(BaseModel):
    """A frozen value. Unknown fields are refused, so that a misspelt field never disappears silently."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy, forgetting what was cached: an id or an index of the original need not be the copy's."""
        copy = super().model_copy(update=update, deep=deep)
        for name in copy.__dict__.keys() - type(copy).model_fields.keys():
            del copy.__dict__[name]
        return copy


def canonical_json(value: Any) -> str:
    """Return the one JSON text of `value`: sorted keys, no spaces, text kept as it is, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(value: Any, length: int = 16) -> str:
    """Return the first `length` hex digits of the SHA-256 of `canonical_json(value)`."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()[:length]
