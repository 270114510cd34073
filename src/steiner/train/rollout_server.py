"""A vLLM server that writes completions: plain HTTP, so that its environment is its own affair.

The server runs in vLLM's development mode, which has the two calls that changing weights takes:
`/collective_rpc` with `reload_weights`, and `/reset_prefix_cache`.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from steiner.core import InputError
from steiner.protocol import CONTROL_TOKENS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from steiner.train.rollout_settings import RolloutSettings

MOST_AT_ONCE = 512
"""Most requests on their way, one thread each."""
CACHE_SECONDS = 30.0
"""Longest wait until the server holds no keys and values of old weights."""
START = "Start one with `steiner train rollout-server` (docs/training.md), then run the same command again."
_SAMPLE = "3 + 4 = 7, so " + "x".join(str(token) for token in CONTROL_TOKENS)
_NO_REPLY = (OSError, http.client.HTTPException, TimeoutError)


class Served(NamedTuple):
    """What a server says about itself."""

    name: str
    """Of its model."""
    max_model_len: int
    """Most tokens of a prompt and its completion together."""


class Asked(NamedTuple):
    """One completion that is to be written."""

    prompt_ids: tuple[int, ...]
    limits: Mapping[str, int | str]
    """Of step control, by their names in `StepRequest`."""
    max_tokens: int
    """Most tokens of the completion, end of text included."""
    seed: int


class Reply(NamedTuple):
    """What the server wrote."""

    completion_ids: tuple[int, ...]
    """Up to and including the end of text."""
    logprobs: tuple[float, ...]
    """Of each token, in nats, by the model alone: before temperature and step control."""


class _StatusError(Exception):
    """A reply with another status than 200."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"status {status}: {_short(body)}")
        self.status = status


class RolloutServer:
    """Asks one vLLM server.

    Every method raises `InputError`, one paragraph, where the server does not do as asked. Nothing is tried
    again: a server that was restarted has other weights.
    """

    def __init__(self, settings: RolloutSettings) -> None:
        """Take the address; nothing is asked yet."""
        self._url = settings.base_url
        self._timeout = settings.timeout
        # What goes to a machine of one's own has no business at a proxy.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def check(self, tokenizer: PreTrainedTokenizerBase) -> Served:
        """Make sure that the server has the tokenizer, step control, and calls that change weights.

        Raises:
            InputError: names the first that is missing.
        """
        models = self._ask("GET", "/v1/models")
        try:
            first = models["data"][0]
            served = Served(str(first["id"]), int(first["max_model_len"]))
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise InputError(f"What answers at {self._url} is no vLLM server. {START}") from error
        self._check_tokenizer(served.name, tokenizer)
        self._check_control(served.name, tokenizer)
        try:
            self._call("POST", "/reset_prefix_cache")
        except _StatusError as error:
            raise InputError(
                f"The vLLM server at {self._url} does not let weights be changed ({error}): it must be "
                f"started with VLLM_SERVER_DEV_MODE=1 in its environment. {START}"
            ) from error
        return served

    def load(self, folder: Path) -> None:
        """Let the server read its weights from a folder, and forget what it has computed with others.

        Raises:
            InputError: if it cannot. Its weights are then of no use, and it should be started again.
        """
        call = {"method": "reload_weights", "kwargs": {"weights_path": str(folder.resolve())}}
        try:
            self._call("POST", "/collective_rpc", call)
        except _StatusError as error:
            raise InputError(
                f"The vLLM server at {self._url} could not read the weights in {folder} ({error}). It must "
                "see that folder under the same path (key 'weights' under [rollouts]) and serve a model of "
                f"the same shape; its log says more. {START}"
            ) from error
        end = time.monotonic() + CACHE_SECONDS
        while self._ask("POST", "/reset_prefix_cache").get("success") is not True:
            if time.monotonic() > end:
                raise InputError(
                    f"The vLLM server at {self._url} keeps keys and values of old weights, most likely "
                    "because somebody else uses it: a server that writes rollouts serves one training alone."
                )
            time.sleep(0.1)

    def complete(
        self, name: str, asked: Sequence[Asked], temperature: float, at_once: int | None
    ) -> list[Reply]:
        """Return one completion for each, in order.

        Args:
            name: of the model, as `check` returned it.
            asked: what is to be written.
            temperature: above 0.
            at_once: requests on their way together; None for as many as there may be.
        """
        if not asked:
            return []
        pool = ThreadPoolExecutor(min(at_once or MOST_AT_ONCE, MOST_AT_ONCE, len(asked)))
        try:
            return list(pool.map(lambda one: self._complete(name, one, temperature), asked))
        finally:
            pool.shutdown(cancel_futures=True)

    def _complete(self, name: str, one: Asked, temperature: float) -> Reply:
        body = {
            "model": name,
            "prompt": list(one.prompt_ids),
            "max_tokens": one.max_tokens,
            "seed": one.seed,
            "vllm_xargs": {"control": "strict", **one.limits},
            "logprobs": 0,
            "return_token_ids": True,
            # Otherwise tokens are drawn as the model's generation_config.json says.
            **{"temperature": temperature, "top_p": 1.0, "top_k": 0, "min_p": 0.0},
            **{"repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0},
        }
        reply = self._ask("POST", "/v1/completions", body)
        try:
            choice = reply["choices"][0]
            ids = tuple(int(number) for number in choice["token_ids"])
            logprobs = tuple(float(number) for number in choice["logprobs"]["token_logprobs"])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise InputError(
                f"The vLLM server at {self._url} gives no token ids with their log-probabilities: "
                f"{_short(json.dumps(reply))}. It must be vLLM 0.11 or newer; tested is 0.32."
            ) from error
        return Reply(ids, logprobs)

    def _check_tokenizer(self, name: str, tokenizer: PreTrainedTokenizerBase) -> None:
        body = {"model": name, "prompt": _SAMPLE, "add_special_tokens": False}
        own = tokenizer(_SAMPLE, add_special_tokens=False)["input_ids"]
        if self._ask("POST", "/tokenize", body).get("tokens") != list(own):
            raise InputError(
                f"The vLLM server at {self._url} serves '{name}', whose tokenizer is not that of the model "
                f"in training. {START}"
            )

    def _check_control(self, name: str, tokenizer: PreTrainedTokenizerBase) -> None:
        """Ask for what step control refuses and vLLM alone does not notice."""
        body = {
            "model": name,
            "prompt": [tokenizer.eos_token_id],
            "max_tokens": 1,
            "vllm_xargs": {"control": "strict", "min_steps": 2, "max_steps": 1},
        }
        try:
            self._call("POST", "/v1/completions", body)
        except _StatusError as error:
            if error.status == http.HTTPStatus.BAD_REQUEST:
                return
            raise self._refused("/v1/completions", error) from error
        raise InputError(
            f"The vLLM server at {self._url} has no step control: install this package beside vLLM "
            f"(`pip install --no-deps steiner` in its environment). {START}"
        )

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            return self._call(method, path, body)
        except _StatusError as error:
            raise self._refused(path, error) from error

    def _refused(self, path: str, error: _StatusError) -> InputError:
        return InputError(
            f"The vLLM server at {self._url} answered {path} with {error}. Its log says more; see "
            "docs/training.md for how it must be started."
        )

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return a reply's JSON object, {} if it has none.

        Raises:
            _StatusError: for another status than 200.
            InputError: if there is no reply.
        """
        request = urllib.request.Request(
            self._url + path,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        try:
            with self._opener.open(request, timeout=self._timeout) as reply:
                content = json.loads(reply.read() or b"{}")
        except urllib.error.HTTPError as error:
            with error:
                raise _StatusError(error.code, error.read().decode(errors="replace")) from error
        except ValueError as error:
            raise InputError(f"What answers at {self._url} is no vLLM server. {START}") from error
        except _NO_REPLY as error:
            reason = getattr(error, "reason", error)
            raise InputError(
                f"The vLLM server at {self._url} that writes the rollouts does not answer {path} "
                f"({_short(str(reason)) or type(error).__name__}). {START[:-1]}: a stage that had begun "
                "goes on from its last checkpoint."
            ) from error
        return content if isinstance(content, dict) else {}


def _short(text: str) -> str:
    """Return the message in an error's body, or its beginning, as one line."""
    try:
        found = json.loads(text)
        text = str(found["error"]["message"])
    except (ValueError, KeyError, TypeError):
        pass
    return " ".join(text.split())[:300].rstrip(".")
