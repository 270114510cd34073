r"""Step control as a custom logit processor of SGLang. Written after its interface and never run in SGLang.

    python -m sglang.launch_server --model-path MODEL \
        --enable-custom-logit-processor --disable-overlap-schedule

    extra_body={"custom_logit_processor": StepControlLogitProcessor().to_str(),
                "custom_params": custom_params(ids, StepRequest(min_steps=2, max_steps=8))}

The server unpickles the class by its name, so this package must be installed there too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from steiner.decode.columns import Columns
from steiner.decode.control import Rulebook
from steiner.decode.live import Asked, Live
from steiner.decode.request import StepRequest, read_request
from steiner.protocol import ControlIds, ControlToken

if TYPE_CHECKING:
    from torch import Tensor

try:
    from sglang.srt.sampling.custom_logit_processor import CustomLogitProcessor
except ImportError:  # importable without SGLang, for tests of the class itself
    CustomLogitProcessor = object

_IDS, _LIMITS, _REQUEST = "steiner_ids", "steiner", "__req__"
_KEY = "_steiner_live"


def custom_params(ids: ControlIds, request: StepRequest) -> dict[str, Any]:
    """Return what a request carries: the processor is made anew from text and knows no tokenizer."""
    return {
        _IDS: json.dumps([ids.control, ids.eos, ids.pad, sorted(ids.special), ids.size]),
        _LIMITS: request.model_dump(mode="json", exclude_defaults=True),
    }


class StepControlLogitProcessor(CustomLogitProcessor):  # type: ignore[misc]
    """Lets only allowed tokens through, each request by its own limits."""

    def __call__(
        self, logits: Tensor, custom_param_list: Sequence[Mapping[str, Any]] | None = None
    ) -> Tensor:
        """Change the logits in place and return them.

        Args:
            logits: shape (rows, vocabulary), of the requests that asked for this processor.
            custom_param_list: one mapping a row, with SGLang's own request under `__req__`.

        Raises:
            RuntimeError: if a token is drawn before the last one is known.
        """
        if not custom_param_list:
            return logits
        desk = _desk(custom_param_list[0][_IDS])
        batch = [_live(params, desk.book) for params in custom_param_list]
        verdict = Asked.of(batch).judge(batch, desk.book)
        columns = desk.columns_for(logits)
        columns.apply(logits, verdict.chosen)
        if verdict.biases is not None:
            columns.add(logits, verdict.biases)
        return logits


class _Desk:
    """What stays the same for a tokenizer."""

    def __init__(self, ids: ControlIds) -> None:
        self.book = Rulebook(ids)
        self._columns: Columns | None = None

    def columns_for(self, logits: Tensor) -> Columns:
        if self._columns is None or not self._columns.fits(logits):
            self._columns = Columns(self.book.ids, self.book.sets, logits)
        return self._columns


@lru_cache(maxsize=4)
def _desk(text: str) -> _Desk:
    control, eos, pad, special, size = json.loads(text)
    return _Desk(ControlIds(tuple(control), eos, pad, frozenset(special), size))


def _live(params: Mapping[str, Any], book: Rulebook) -> Live:
    """Return what is kept on SGLang's request, with its newest token."""
    request = params[_REQUEST]
    written: list[int] = request.output_ids
    live: Live | None = getattr(request, _KEY, None)
    if live is None:
        live = Live(read_request(params[_LIMITS], others=False))
        setattr(request, _KEY, live)
    elif live.history.length < len(written) == 2 and written == [book.ids[ControlToken.START]] * 2:
        raise RuntimeError(
            "SGLang draws a token before the last one is known; start it with --disable-overlap-schedule"
        )
    live.follow(written, book)
    return live
