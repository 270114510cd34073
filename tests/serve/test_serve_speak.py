"""From tokens to text: nothing is lost or held back for long, however the tokens come."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steiner.core import Move, ReasoningPath, Step
from steiner.decode import Mode
from steiner.protocol import ControlIds, encode_path
from steiner.protocol.outline import read_outline
from steiner.serve.decoder import Decoder
from steiner.serve.engines.base import Finish, TokenChunk
from steiner.serve.settings import Display
from steiner.serve.speak import Speaker, StopFinder

WORDS = st.text(alphabet="ab 数π😀\n", max_size=12)
PLAIN = st.text(alphabet="ab 数π😀", max_size=12)
STEPS = st.lists(
    st.builds(Step, name=PLAIN, thought=PLAIN, summary=PLAIN, reflection=PLAIN), min_size=1, max_size=4
)


@st.composite
def paths(draw) -> ReasoningPath:
    steps = draw(STEPS)
    moves = draw(st.lists(st.sampled_from(Move), min_size=len(steps) - 1, max_size=len(steps) - 1))
    return ReasoningPath(steps=tuple(steps), moves=tuple(moves), answer="a" + draw(WORDS))


def cut(ids, seed: int) -> list[TokenChunk]:
    """Cut tokens into chunks by chance."""
    generator = random.Random(seed)
    chunks, rest = [], list(ids)
    while rest:
        size = generator.randint(1, 9)
        chunks.append(TokenChunk(tuple(rest[:size])))
        rest = rest[size:]
    chunks[-1] = chunks[-1]._replace(finish=Finish.STOP)
    return chunks


@settings(deadline=None, max_examples=50)
@given(paths(), st.integers(0, 1000))
def test_what_is_said_in_pieces_is_the_whole(tokenizer, ids, path, seed):
    encoded = encode_path(tokenizer, path)
    speaker = Speaker(Decoder(tokenizer), ids, Mode.STRICT, Display.FULL)
    deltas = [speaker.feed(chunk) for chunk in cut(encoded.ids, seed)] + [speaker.close()]
    spoken = speaker.whole()
    assert "".join(delta.content for delta in deltas) == spoken.content == path.answer
    assert "".join(delta.reasoning for delta in deltas) == spoken.reasoning
    assert spoken.reasoning_tokens == encoded.reasoning_tokens
    assert spoken.parsed.steps == path.steps
    assert spoken.parsed.moves == path.moves
    events = [event for delta in deltas for event in delta.events]
    starts = [event["move"] for event in events if event["type"] == "step"]
    assert starts == [None, *path.moves]
    for index, step in enumerate(path.steps):
        for field, text in step.model_dump().items():
            told = [
                e["text"] for e in events if e["type"] == "text" and (e["step"], e["field"]) == (index, field)
            ]
            assert "".join(told) == text
    assert events[-1] == {
        "type": "end",
        "complete": True,
        "steps": len(path.steps),
        "backtracks": sum(move is Move.BACKTRACK for move in path.moves),
        "reasoning_tokens": encoded.reasoning_tokens,
    }


@settings(deadline=None, max_examples=50)
@given(paths())
def test_what_is_shown_can_be_sent_back(tokenizer, ids, path):
    speaker = Speaker(Decoder(tokenizer), ids, Mode.STRICT, Display.FULL)
    speaker.feed(TokenChunk(encode_path(tokenizer, path).ids, finish=Finish.STOP))
    speaker.close()
    read = read_outline(speaker.whole().reasoning, path.answer)
    assert read is not None
    assert read.moves == path.moves
    for mine, theirs in zip(read.steps, path.steps, strict=True):
        assert mine.model_dump() == theirs.model_dump()


@pytest.mark.parametrize("display", [Display.SUMMARIES, Display.HIDDEN])
def test_what_is_not_shown_is_nowhere(tokenizer, ids, display):
    step = Step(name="visible", thought="SECRET", summary="short", reflection="SECRET")
    path = ReasoningPath(steps=(step, step), moves=(Move.PROCEED,), answer="yes")
    speaker = Speaker(Decoder(tokenizer), ids, Mode.STRICT, display)
    chunks = cut(encode_path(tokenizer, path).ids, 0)
    told = str([speaker.feed(chunk) for chunk in chunks] + [speaker.close()]) + speaker.whole().reasoning
    assert "SECRET" not in told
    assert ("short" in told) == (display is Display.SUMMARIES)


def test_a_completion_without_tokens_is_an_answer(tokenizer, ids):
    text = "Zażółć gęślą 😀"
    speaker = Speaker(Decoder(tokenizer), ids, Mode.OFF, Display.FULL)
    deltas = [speaker.feed(chunk) for chunk in cut([*tokenizer.encode(text), ids.eos], 3)] + [speaker.close()]
    assert "".join(delta.content for delta in deltas) == text
    assert speaker.whole().reasoning_tokens == 0


@given(
    st.text(alphabet="abc", max_size=30),
    st.lists(st.text(alphabet="abc", min_size=1, max_size=4), max_size=3),
)
def test_stop_strings_are_found_wherever_the_text_is_cut(text, stops):
    places = [text.find(stop) for stop in stops if stop in text]
    finder, said = StopFinder(stops), []
    for letter in text:
        said.append(finder.feed(letter))
        assert len("".join(said)) >= len(said) - max(map(len, stops), default=0) or finder.found
    if not finder.found:
        said.append(finder.flush())
    # Letter by letter the stop string that ends first is found, not the one that begins first.
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    wanted = text if not places else text[: min(ends)]
    whole = "".join(said)
    assert finder.found == bool(places)
    assert wanted.startswith(whole)
    assert not any(stop in whole for stop in stops)


@settings(deadline=None)
@given(st.lists(st.integers(0, 300), max_size=20))
def test_the_decoder_is_the_tokenizers(tokenizer, numbers):
    known = [number for number in numbers if number < len(tokenizer)]
    text = tokenizer.decode(known, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    assert Decoder(tokenizer).decode(known) == text


def test_ids_without_a_token_decode_to_nothing(tokenizer):
    ids = ControlIds.from_tokenizer(tokenizer)
    assert Decoder(tokenizer).decode([ids.size + 3]) == ""
