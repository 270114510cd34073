import re
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st
from protocol_material import nasty

from steiner.protocol import CONTROL_TOKENS, escape, unescape
from steiner.protocol.escape import Unescaper

JOINER = "\u2060"


@given(nasty())
@example(f"<{JOINER}{JOINER}|reasoning_end|>")
def test_unescape_restores_every_text(text):
    assert unescape(escape(text)) == text


@given(nasty())
def test_escaped_text_spells_no_control_token(text):
    assert not any(token in escape(text) for token in CONTROL_TOKENS)
    assert "<|reasoning_" not in escape(text)


@given(nasty(), nasty())
def test_different_texts_stay_different(one, other):
    assert (escape(one) == escape(other)) == (one == other)


def test_only_look_alikes_change():
    assert escape("a < b | reasoning <|im_end|>") == "a < b | reasoning <|im_end|>"
    assert escape("<|reasoning_end|>") == f"<{JOINER}|reasoning_end|>"
    assert escape(f"<{JOINER}|reasoning_x") == f"<{JOINER}{JOINER}|reasoning_x"


@given(nasty().map(escape), st.lists(st.integers(0, 200)))
def test_unescaping_in_pieces_equals_unescaping_at_once(text, cuts):
    bounds = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    unescaper = Unescaper()
    pieces = [unescaper.feed(text[a:b]) for a, b in pairwise(bounds)]
    assert "".join(pieces) + unescaper.flush() == unescape(text)


def test_only_a_possible_look_alike_is_held_back():
    unescaper = Unescaper()
    assert unescaper.feed("a <b") == "a <b"
    assert unescaper.feed("a <") == "a "
    assert unescaper.feed(" b") == "< b"
    assert unescaper.feed(f"<{JOINER}|reas") == ""
    assert unescaper.feed("on") == ""
    assert re.sub(JOINER, "J", unescaper.feed("s")) == "<J|reasons"
