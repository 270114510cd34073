"""Settings of a stage: one class per command, unknown keys refused with the nearest known one."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError

from steiner.core.errors import InputError
from steiner.core.record import digest


class Settings(BaseModel):
    """Base of all settings. What a stage did is identified by the digest of its settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def digest(self) -> str:
        """Return the hash of all values, defaults included."""
        return digest(self.model_dump(mode="json"))


SettingsT = TypeVar("SettingsT", bound=Settings)


def parse_settings(cls: type[SettingsT], values: Mapping[str, Any], source: str) -> SettingsT:
    """Validate `values` (for example a parsed TOML file) as `cls`.

    Args:
        cls: the settings class.
        values: nested mapping of plain values.
        source: where the values come from, for the error message.

    Raises:
        InputError: names each bad key, what is wrong with it, and the nearest known key where it is unknown.
    """
    try:
        return cls.model_validate(dict(values))
    except ValidationError as error:
        raise InputError(f"{source}: " + "; ".join(_complaints(cls, error))) from error


def _complaints(cls: type[BaseModel], error: ValidationError) -> Iterator[str]:
    for item in error.errors(include_url=False):
        place = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            owner = _model_at(cls, item["loc"][:-1])
            known = sorted(owner.model_fields) if owner else []
            near = difflib.get_close_matches(str(item["loc"][-1]), known, n=1, cutoff=0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
            yield f"unknown key '{place}' ({hint})"
        elif item["type"] == "missing":
            yield f"'{place}' is missing"
        else:
            message = item["msg"].removeprefix("Value error, ")
            yield f"'{place}': {message}" if place else message


def _model_at(cls: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """Follow a validation error's location down through nested models, lists of them and tagged unions."""
    models = [cls]
    for part in location:
        if isinstance(part, int):
            continue  # a place in a list
        owner = next((model for model in models if part in model.model_fields), None)
        if owner is not None:
            models = list(_models_in(owner.model_fields[part].annotation))
        else:
            models = [model for model in models if _has_tag(model, part)]
    return models[0] if models else None


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)


def _has_tag(model: type[BaseModel], tag: str) -> bool:
    """Whether a model is the one of a union that `tag` stands for: one of its fields can be nothing else."""
    return any(get_args(field.annotation) == (tag,) for field in model.model_fields.values())
