"""The bytes on the wire: requests out, replies and streams in. Pure; no I/O."""

from __future__ import annotations

import json
from typing import Any, Literal, NamedTuple

import orjson

from steiner.teacher.chat.faults import Fault, error_text, shorten
from steiner.teacher.chat.sse import SseParser
from steiner.teacher.chat.types import ChatRequest, Endpoint, FailureKind, Finish, Usage

Structured = Literal["json_schema", "json_object", "none"]

FINISHES = {
    "stop": Finish.STOP,
    "eos": Finish.STOP,
    "end_turn": Finish.STOP,
    "stop_sequence": Finish.STOP,
    "length": Finish.LENGTH,
    "max_tokens": Finish.LENGTH,
    "model_length": Finish.LENGTH,
    "content_filter": Finish.FILTER,
    "safety": Finish.FILTER,
    "recitation": Finish.FILTER,
    "sensitive": Finish.FILTER,
    "refusal": Finish.REFUSAL,
}
"""What endpoints say, in small letters. Anything else, also nothing at all, is OTHER."""


class Content(NamedTuple):
    """What a reply holds."""

    text: str
    reasoning: str
    finish: Finish
    usage: Usage | None
    """None where the endpoint did not say."""
    model: str


def request_body(endpoint: Endpoint, request: ChatRequest, structured: Structured) -> bytes:
    """Return the JSON body of a request; JSON is asked for in the way that `structured` says."""
    body: dict[str, Any] = {
        "model": endpoint.model,
        "messages": [{"role": item.role, "content": item.content} for item in request.messages],
        endpoint.max_tokens_name: request.max_tokens,
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.top_p is not None:
        body["top_p"] = request.top_p
    if request.seed is not None:
        body["seed"] = request.seed
    if request.response_schema is not None:
        if structured == "json_schema":
            schema = {
                "name": request.schema_name or "reply",
                "schema": request.response_schema,
                "strict": True,
            }
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif structured == "json_object":
            body["response_format"] = {"type": "json_object"}
    if endpoint.stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    if endpoint.extra_body:
        body.update(endpoint.extra_body)
    try:
        return orjson.dumps(body)
    except TypeError:  # half a surrogate pair: JSON can escape it, UTF-8 cannot hold it
        return json.dumps(body).encode()


def estimate_tokens(text: str) -> int:
    """Return about how many tokens `text` has, rather too many: one for 3 bytes of UTF-8.

    English has about 4 bytes a token, Chinese 3 to 5.
    """
    return (len(text.encode("utf-8", "surrogatepass")) + 2) // 3


def prompt_tokens(request: ChatRequest) -> int:
    """Return about how many tokens a prompt has, rather too many; the chat template counted in."""
    return sum(estimate_tokens(message.content) + 8 for message in request.messages)


def content_usage(request: ChatRequest, content: Content) -> Usage:
    """Return about what a reply took that does not say."""
    return estimated_usage(request, estimate_tokens(content.text + content.reasoning))


def estimated_usage(request: ChatRequest, completion_tokens: int) -> Usage:
    """Return about what a reply took, given about how many tokens were written."""
    return Usage(
        prompt_tokens=prompt_tokens(request),
        completion_tokens=completion_tokens,
        reasoning_tokens=0,
        cached_tokens=0,
        reported=False,
    )


def parse_reply(body: bytes) -> Content | Fault:
    """Read the body of a reply with HTTP status 200."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return bad_reply(f"not JSON but: {shorten(error_text(body)) or 'nothing'}")
    return read_reply(value)


def read_reply(value: Any) -> Content | Fault:
    """Read the parsed body of a reply."""
    if not isinstance(value, dict):
        return bad_reply("JSON, but no object")
    usage = read_usage(value.get("usage"))
    choices = value.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return _no_choice(value, usage)
    choice = choices[0]
    message = choice.get("message")
    if choice.get("error") or choice.get("finish_reason") == "error":
        return _broken_off(choice.get("error") or "finish_reason is error", usage)
    if not isinstance(message, dict):
        return bad_reply("the first choice has no message", usage)
    text, more_reasoning = read_content(message.get("content"))
    reasoning = _reasoning(message) + more_reasoning
    refusal = message.get("refusal")
    return make_content(
        text, reasoning, refusal, choice.get("finish_reason"), usage, _string(value.get("model"))
    )


def make_content(
    text: str | None, reasoning: str, refusal: Any, finish_reason: Any, usage: Usage | None, model: str
) -> Content | Fault:
    """Put together what a reply or a stream held.

    Args:
        text: None if there was none (which is not the same as an empty one).
        reasoning: what the endpoint told apart as reasoning.
        refusal: the endpoint's refusal, if it is a text that is not empty.
        finish_reason: the endpoint's word for why it stopped.
        usage: as reported.
        model: as reported.
    """
    finish = FINISHES.get(_string(finish_reason).lower(), Finish.OTHER)
    if isinstance(refusal, str) and refusal:
        return Content(text or refusal, reasoning, Finish.REFUSAL, usage, model)
    if text is None:
        if finish is Finish.STOP or not isinstance(finish_reason, str):
            return bad_reply("the message has no content", usage)
        return Content("", reasoning, finish, usage, model)
    thought, text = split_thinking(text)
    return Content(text, reasoning or thought, finish, usage, model)


def empty_reply(content: Content) -> Fault | None:
    """Return the fault of content that is nothing at all, although nothing stopped the endpoint; else None.

    Overloaded endpoints send it, and the same request is answered the next time. It is something else where
    there is reasoning: then the model was asked, and had nothing to say.
    """
    if content.text or content.reasoning or content.finish is not Finish.STOP:
        return None
    return bad_reply("the message is empty", content.usage)


def split_thinking(text: str) -> tuple[str, str]:
    """Return the reasoning and the rest of a text that begins with `<think>…</think>`.

    A block that is never closed is all reasoning: the limit of tokens came first. One that is closed but
    never opened (some chat templates open it in the prompt) ends where it is closed, unless the text is JSON.
    """
    if "think>" not in text:
        return "", text
    start = text.lstrip()
    if start.startswith("<think>"):
        thought, _, rest = start[7:].partition("</think>")
        return thought.strip(), rest.lstrip()
    before, closed, rest = start.partition("</think>")
    if closed and "<think>" not in before and start[0] not in "{[":
        return before.strip(), rest.lstrip()
    return "", text


def read_content(content: Any) -> tuple[str | None, str]:
    """Return the text (None: there is none) and the reasoning of a message's content, a text or a list."""
    if isinstance(content, str):
        return content, ""
    if not isinstance(content, list):
        return None, ""
    texts: list[str] = []
    thoughts: list[str] = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and part.get("type") in ("thinking", "reasoning"):
            inner = next((part[name] for name in ("thinking", "reasoning", "text") if part.get(name)), "")
            thoughts.append(inner if isinstance(inner, str) else read_content(inner)[0] or "")
        elif isinstance(part, dict):
            texts.append(_string(part.get("text")))
    return ("".join(texts) if texts else None), "".join(thoughts)


def read_usage(value: Any) -> Usage | None:
    """Return the usage that a reply reports, in OpenAI's names or Anthropic's; None if it is not whole."""
    if not isinstance(value, dict):
        return None
    prompt = _count(value.get("prompt_tokens", value.get("input_tokens")))
    completion = _count(value.get("completion_tokens", value.get("output_tokens")))
    total = _count(value.get("total_tokens"))
    if prompt is not None and total is not None:
        # Some endpoints leave the reasoning, or all, out of the completion; it is in the total, and paid.
        completion = max(completion or 0, total - prompt)
    if prompt is None or completion is None:
        return None
    cached = _detail(value, "prompt_tokens_details", "cached_tokens")
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        reasoning_tokens=_detail(value, "completion_tokens_details", "reasoning_tokens"),
        cached_tokens=cached or _count(value.get("prompt_cache_hit_tokens")) or 0,
        reported=True,
    )


class StreamReader:
    """Puts a streamed reply together from bytes cut anywhere."""

    def __init__(self) -> None:
        self.done = False
        """Whether the stream has said that it ends, so that nothing more is waited for."""
        self._parser = SseParser()
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._refusals: list[str] = []
        self._finish_reason: Any = None
        self._usage: Usage | None = None
        self._model = ""
        self._fault: Fault | None = None

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        for data in self._parser.feed(chunk):
            self._take(data)

    def written(self) -> str:
        """Return all the text received so far, reasoning included."""
        return "".join(self._thoughts) + "".join(self._texts)

    def usage(self) -> Usage | None:
        """Return what the endpoint has reported so far."""
        return self._usage

    def close(self) -> Content | Fault:
        """Return what the stream held, now that no more bytes come."""
        for data in self._parser.close():
            if data.strip() == b"[DONE]":
                self.done = True
        if self._fault is not None:
            return self._fault
        if not self.done and not isinstance(self._finish_reason, str):
            return Fault(FailureKind.CONNECTION, "The stream ended before the reply did.", self._usage)
        text = "".join(self._texts) if self._texts else None
        return make_content(
            text,
            "".join(self._thoughts),
            "".join(self._refusals),
            self._finish_reason,
            self._usage,
            self._model,
        )

    def _take(self, data: bytes) -> None:
        if self.done:
            return
        if data.strip() == b"[DONE]":
            self.done = True
            return
        try:
            value = orjson.loads(data)
        except orjson.JSONDecodeError:
            self._fail(bad_reply("an event of the stream is not JSON", self._usage))
            return
        if not isinstance(value, dict):
            self._fail(bad_reply("an event of the stream is no object", self._usage))
            return
        if value.get("error"):
            self._fail(_no_choice(value, self._usage))
            return
        self._usage = read_usage(value.get("usage")) or self._usage
        self._model = self._model or _string(value.get("model"))
        choices = value.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict) and choice.get("index", 0) in (0, None):
                self._take_choice(choice)

    def _take_choice(self, choice: dict[str, Any]) -> None:
        if choice.get("error") or choice.get("finish_reason") == "error":
            self._fail(_broken_off(choice.get("error") or "finish_reason is error", self._usage))
            return
        if choice.get("finish_reason") is not None:
            self._finish_reason = choice["finish_reason"]
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return
        text, thought = read_content(delta.get("content"))
        if text is not None:
            self._texts.append(text)
        thought = _reasoning(delta) + thought
        if thought:
            self._thoughts.append(thought)
        refusal = delta.get("refusal")
        if isinstance(refusal, str):
            self._refusals.append(refusal)

    def _fail(self, fault: Fault) -> None:
        self._fault = self._fault or fault
        self.done = True


def bad_reply(what: str, usage: Usage | None = None) -> Fault:
    """Return the fault of a reply with status 200 that is none."""
    return Fault(FailureKind.BAD_REPLY, f"The endpoint's reply cannot be used: {what}.", usage)


def _no_choice(value: dict[str, Any], usage: Usage | None) -> Fault:
    error = value.get("error")
    if error:
        return _broken_off(error, usage)
    return bad_reply("it has no choices", usage)


def _broken_off(error: Any, usage: Usage | None) -> Fault:
    """Return the fault of a reply that says in its body, after status 200, that something failed."""
    words = shorten(error_text(orjson.dumps({"error": error})))
    code = error.get("code") if isinstance(error, dict) else None
    kind = FailureKind.RATE_LIMIT if code in (429, "429", "rate_limit_exceeded") else FailureKind.SERVER
    return Fault(kind, f"The endpoint broke off. It said: {words}", usage)


def _reasoning(message: dict[str, Any]) -> str:
    return _string(message.get("reasoning_content")) or _string(message.get("reasoning"))


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _detail(usage: dict[str, Any], group: str, name: str) -> int:
    details = usage.get(group)
    return (_count(details.get(name)) or 0) if isinstance(details, dict) else 0
