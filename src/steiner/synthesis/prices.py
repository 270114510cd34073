"""What tokens cost."""

from __future__ import annotations

import tomllib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from steiner.core import InputError, Settings, parse_settings

if TYPE_CHECKING:
    from steiner.teacher.chat.types import Usage

DOLLAR = 10**12
"""Money is counted in whole 10^-12 US dollars, so that sums are exact in any order."""


class Prices(Settings):
    """US dollars per million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    """Reasoning included."""
    cached_input: float | None = Field(default=None, ge=0)
    """Tokens of the prompt that the endpoint has in its cache; None: the same as others."""

    def cost(self, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> int:
        """Return 10^-12 US dollars; `cached_tokens` are those of the prompt found in the cache."""
        read, cached, written = self._per_token
        found = min(cached_tokens, prompt_tokens)
        return (prompt_tokens - found) * read + found * cached + completion_tokens * written

    @cached_property
    def _per_token(self) -> tuple[int, int, int]:
        """10^-12 US dollars for a token of a prompt, one found in the cache, and one of a reply."""
        cached = self.input if self.cached_input is None else self.cached_input
        return round(self.input * 10**6), round(cached * 10**6), round(self.output * 10**6)

    def cost_of(self, usage: Usage) -> int:
        """Return what a call cost, in 10^-12 US dollars."""
        return self.cost(usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)


def find_prices(
    model: str,
    base_url: str,
    *,
    given_input: float | None = None,
    given_output: float | None = None,
    given_cached_input: float | None = None,
    table: Path | None = None,
) -> Prices | None:
    """Return the prices of a model: those given, else those of a file, else those that genai-prices knows.

    Args:
        model: its name at the endpoint.
        base_url: the endpoint. The same open model has a different price at each of them, so that
            genai-prices is only asked about endpoints it knows.
        given_input: US dollars per million tokens of a prompt; needs `given_output`.
        given_output: the same of replies.
        given_cached_input: the same of prompts found in a cache.
        table: a TOML file with a table per model, `["gpt-5-mini"]`, that holds `input`, `output` and perhaps
            `cached_input`.

    Returns:
        None where nobody knows.

    Raises:
        InputError: if only one of two prices is given, or the file is not as described.
    """
    if given_input is not None or given_output is not None:
        if given_input is None or given_output is None:
            raise InputError("Give both --price-input and --price-output, in US dollars per million tokens.")
        values = {"input": given_input, "output": given_output, "cached_input": given_cached_input}
        return parse_settings(Prices, values, "prices")
    if table is not None:
        return _of_table(table, model)
    return _known(model, base_url)


def require_prices(prices: Prices | None, model: str) -> Prices:
    """Return `prices`.

    Raises:
        InputError: if they are not known, so that a budget in dollars cannot be kept.
    """
    if prices is None:
        raise InputError(
            f"The price of '{model}' is not known, so --budget-usd cannot be kept: give --price-input and "
            "--price-output in US dollars per million tokens, or --prices FILE; or limit the run by "
            "--max-tokens-total instead."
        )
    return prices


def _of_table(path: Path, model: str) -> Prices | None:
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise InputError(f"The price file {path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"The price file {path} is no TOML: {error}.") from error
    entry = content.get(model)
    if entry is None:
        return None
    if not isinstance(entry, dict):
        raise InputError(
            f"The price file {path} must hold a table per model: "
            f'["{model}"], then lines such as input = 0.25 and output = 2.0.'
        )
    return parse_settings(Prices, entry, f"{path}, [{model}]")


def _known(model: str, base_url: str) -> Prices | None:
    """Ask genai-prices, if it is installed, for the price of requests of usual size."""
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        return None
    try:
        usual = calc_price(
            Usage(input_tokens=1000, output_tokens=1000), model_ref=model, provider_api_url=base_url
        )
        cached = calc_price(
            Usage(input_tokens=1000, cache_read_tokens=1000), model_ref=model, provider_api_url=base_url
        )
    except (LookupError, ValueError):
        return None
    thousandth = 1000.0
    return Prices(
        input=float(usual.input_price) * thousandth,
        output=float(usual.output_price) * thousandth,
        cached_input=float(cached.input_price) * thousandth,
    )
