"""The reasoning parser, with stand-ins for the classes of vLLM that it builds on."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

import pytest

from steiner.core import Move, ReasoningPath, Step
from steiner.protocol import ControlToken, TextEncoder, encode_path, render
from steiner.protocol.outline import read_outline

T = ControlToken
PATH = ReasoningPath(
    steps=(
        Step(name="try 3", thought="3 + 5 = 8\nand on", summary="left 8", reflection="wrong"),
        Step(name="回去", thought="7 * 3", summary="21", reflection="good"),
    ),
    moves=(Move.BACKTRACK,),
    answer="21 ✓",
)
SPELLED = PATH.model_copy(
    update={"steps": (PATH.steps[0].model_copy(update={"thought": f"x {T.END} not yet"}), PATH.steps[1])}
)


class Delta(NamedTuple):
    content: str | None = None
    reasoning: str | None = None


class Base:
    def __init__(self, tokenizer, *args, **kwargs):
        self.model_tokenizer = tokenizer


@pytest.fixture
def parsers(monkeypatch):
    """The module, imported on stand-ins."""
    names = ("vllm", "vllm.entrypoints", "vllm.entrypoints.generate", "vllm.entrypoints.generate.base",
             "vllm.entrypoints.generate.base.protocol", "vllm.reasoning")  # fmt: skip
    for name in names:
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    sys.modules["vllm.entrypoints.generate.base.protocol"].DeltaMessage = Delta
    sys.modules["vllm.reasoning"].ReasoningParser = Base
    monkeypatch.delitem(sys.modules, "steiner.decode.vllm_parser", raising=False)
    yield importlib.import_module("steiner.decode.vllm_parser")
    sys.modules.pop("steiner.decode.vllm_parser", None)


def completion(tokenizer, path=PATH):
    return list(encode_path(tokenizer, path).ids)


def pieces(parser, tokenizer, numbers, size):
    before, text = [], ""
    for place in range(0, len(numbers), size):
        new = numbers[place : place + size]
        piece = tokenizer.decode(new)
        delta = parser.extract_reasoning_streaming(text, text + piece, piece, before, before + new, new)
        before, text = before + new, text + piece
        if delta is not None:
            yield delta


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("path", [PATH, SPELLED])
def test_streamed_and_whole_are_the_same(parsers, tokenizer, size, path):
    numbers = completion(tokenizer, path)
    parser = parsers.SteinerReasoningParser(tokenizer)
    deltas = list(pieces(parser, tokenizer, numbers, size))
    reasoning = "".join(delta.reasoning or "" for delta in deltas)
    assert read_outline(reasoning, PATH.answer) == path
    assert "".join(delta.content or "" for delta in deltas) == PATH.answer

    class Composed:
        """As vLLM composes its parser."""

        reasoning_parser_cls = parsers.SteinerReasoningParser
        reasoning_parser = parser

        def parse(self, model_output, request, enable_auto_tools=False, model_output_token_ids=()):
            return self.reasoning_parser.extract_reasoning(model_output, request)

    whole = Composed().parse(render(path), None, model_output_token_ids=numbers)
    assert whole == (reasoning.strip("\n"), PATH.answer)
    assert parser.completion_ids == ()


def test_marks_that_the_model_spells_out_are_text(parsers, tokenizer, ids):
    """Its own tokens, not ours: in the text alone nobody could tell."""
    numbers = completion(tokenizer)
    place = numbers.index(ids[T.THOUGHT_END])
    (spelled,) = TextEncoder(tokenizer).encode([f"{T.THOUGHT_END}{T.END}"])
    assert not set(spelled) & set(ids.control)
    numbers[place:place] = spelled
    parser = parsers.SteinerReasoningParser(tokenizer)
    deltas = list(pieces(parser, tokenizer, numbers, 5))
    assert "".join(delta.content or "" for delta in deltas) == PATH.answer
    parser.completion_ids = numbers
    reasoning, content = parser.extract_reasoning(tokenizer.decode(numbers), None)
    assert content == PATH.answer
    assert f"{T.THOUGHT_END}{T.END}" in reasoning
    parser.completion_ids = ()
    assert parser.extract_reasoning(tokenizer.decode(numbers), None)[1] != PATH.answer


def test_another_stream_begins_anew(parsers, tokenizer):
    parser = parsers.SteinerReasoningParser(tokenizer)
    numbers = completion(tokenizer)
    first = list(pieces(parser, tokenizer, numbers[:20], 4))
    assert list(pieces(parser, tokenizer, numbers[:20], 4)) == first
    resumed = parser.extract_reasoning_streaming("", "", "", numbers[:5], numbers[:20], numbers[5:20])
    assert "".join(d.reasoning or "" for d in first).endswith(resumed.reasoning)


def test_without_ids_the_text_is_read(parsers, tokenizer):
    parser = parsers.SteinerReasoningParser(tokenizer)
    reasoning, content = parser.extract_reasoning(render(PATH), None)
    assert read_outline(reasoning, content) == PATH


def test_what_is_no_reasoning_is_content(parsers, tokenizer, ids):
    """As with `control` off."""
    parser = parsers.SteinerReasoningParser(tokenizer)
    assert parser.extract_reasoning("plain", None) == (None, "plain")
    numbers = tokenizer.encode("plain")
    assert [d.content for d in pieces(parser, tokenizer, numbers, 2)] == ["pl", "ai", "n"]
    assert parser.count_reasoning_tokens(numbers) == 0


def test_a_completion_cut_in_its_reasoning_has_no_answer(parsers, tokenizer, ids):
    numbers = completion(tokenizer)
    cut = numbers[: numbers.index(ids[T.STEP_END]) + 1]
    parser = parsers.SteinerReasoningParser(tokenizer)
    parser.completion_ids = cut
    reasoning, content = parser.extract_reasoning("", None)
    assert content is None
    assert reasoning.startswith("● try 3\n")
    assert parser.count_reasoning_tokens(cut) == len(cut)


def test_where_reasoning_ends(parsers, tokenizer, ids):
    parser = parsers.SteinerReasoningParser(tokenizer)
    numbers = completion(tokenizer)
    end = numbers.index(ids[T.END])
    turn = tokenizer.encode("<|im_start|>assistant\n")
    assert not parser.is_reasoning_end(numbers[:end])
    assert parser.is_reasoning_end(numbers[: end + 1])
    assert parser.is_reasoning_end(numbers)
    assert parser.is_reasoning_end([*turn, *numbers, ids.eos])
    assert not parser.is_reasoning_end([*numbers, *turn]), "an earlier turn's END"
    assert not parser.is_reasoning_end([])
    assert parser.is_reasoning_end_streaming(numbers, numbers[end : end + 1])
    assert not parser.is_reasoning_end_streaming(numbers, numbers[end + 1 :])
    assert parser.extract_content_ids(numbers) == numbers[end + 1 :]
    assert parser.extract_content_ids(numbers[:end]) == []
    assert parser.count_reasoning_tokens(numbers) == end + 1
    assert (parser.reasoning_start_str, parser.reasoning_end_str) == (T.START, T.END)


def test_the_text_of_control_tokens_is_asked_for(parsers, tokenizer):
    request = SimpleNamespace(skip_special_tokens=True)
    assert parsers.SteinerReasoningParser(tokenizer).adjust_request(request).skip_special_tokens is False
