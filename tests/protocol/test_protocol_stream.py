from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from protocol_material import nasty, paths
from test_protocol_roundtrip import PATH

from steiner.core import Move
from steiner.protocol import (
    CONTROL_TOKENS,
    AnswerStarted,
    AnswerText,
    ControlIds,
    ControlToken,
    FieldEnded,
    FieldText,
    Finished,
    MoveMade,
    StepEnded,
    StepStarted,
    StreamParser,
    TokenStreamParser,
    encode_path,
    parse,
    parse_ids,
    render,
)

LOOSE = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WRITTEN = st.one_of(
    paths().map(render),
    st.lists(st.one_of(st.sampled_from(CONTROL_TOKENS), nasty(2)), max_size=20).map("".join),
)
CUTS = st.lists(st.integers(0, 400), max_size=30)


def run(parser, whole, cuts):
    bounds = sorted({0, len(whole), *(min(cut, len(whole)) for cut in cuts)})
    events = [event for a, b in pairwise(bounds) for event in parser.feed(whole[a:b])]
    return merged([*events, *parser.finish()])


def merged(events):
    """Join neighbouring texts of the same field."""
    result = []
    for event in events:
        last = result[-1] if result else None
        if (
            isinstance(event, FieldText | AnswerText)
            and type(last) is type(event)
            and last[:-1] == event[:-1]
        ):
            result[-1] = event._replace(text=last.text + event.text)
        else:
            result.append(event)
    return result


@given(WRITTEN, CUTS)
def test_text_cut_anywhere_gives_the_events_and_the_parse_of_the_whole(text, cuts):
    parser = StreamParser()
    assert run(parser, text, cuts) == run(StreamParser(), text, [])
    assert parser.parsed == parse(text)


@given(WRITTEN)
def test_text_letter_by_letter(text):
    assert run(StreamParser(), text, range(len(text))) == run(StreamParser(), text, [])


@LOOSE
@given(path=paths(), cuts=CUTS)
def test_ids_cut_anywhere_give_the_events_and_the_parse_of_the_whole(tiny, path, cuts):
    ids = encode_path(tiny, path).ids
    parser = TokenStreamParser(tiny)
    assert run(parser, ids, cuts) == run(TokenStreamParser(tiny), ids, [])
    assert parser.parsed == parse_ids(tiny, ids)


@LOOSE
@given(data=st.data(), cuts=CUTS)
def test_broken_ids_cut_anywhere_too(tiny, data, cuts):
    known = ControlIds.from_tokenizer(tiny)
    number = st.one_of(st.sampled_from([*known.control, *known.special]), st.integers(3, 258))
    ids = data.draw(st.lists(number, max_size=40))
    assert run(TokenStreamParser(tiny), ids, cuts) == run(TokenStreamParser(tiny), ids, [])


def test_ids_one_by_one_keep_blanks_in_every_family(any_tokenizer):
    ids = encode_path(any_tokenizer, PATH).ids
    parser = TokenStreamParser(any_tokenizer)
    run(parser, ids, range(len(ids)))
    assert parser.parsed == parse_ids(any_tokenizer, ids)
    assert parser.parsed.complete
    assert parser.parsed.steps[0].thought == "3 + 5 = 8"


def test_the_events_of_a_path():
    events = run(StreamParser(), render(PATH), [])
    first = [
        StepStarted(0),
        FieldText(0, "name", "Add"), FieldEnded(0, "name"),
        FieldText(0, "thought", "3 + 5 = 8"), FieldEnded(0, "thought"),
        FieldText(0, "summary", "left 7 8"), FieldEnded(0, "summary"),
        FieldText(0, "reflection", "go on"), FieldEnded(0, "reflection"),
        StepEnded(0), MoveMade(Move.BACKTRACK), StepStarted(1),
    ]  # fmt: skip
    assert events[: len(first)] == first
    assert events[-4:] == [StepEnded(1), AnswerStarted(), AnswerText(PATH.answer), Finished(True)]


def test_text_comes_out_as_soon_as_it_is_certain(tiny):
    parser = StreamParser()
    parser.feed("".join((ControlToken.START, ControlToken.STEP_START, ControlToken.NAME_START)))
    assert parser.feed("Look ") == [FieldText(0, "name", "Look ")]
    assert parser.feed("<|rea") == []
    assert parser.feed("dy") == [FieldText(0, "name", "<|ready")]
    tokens = TokenStreamParser(tiny)
    ids = ControlIds.from_tokenizer(tiny)
    tokens.feed([ids[ControlToken.START], ids[ControlToken.STEP_START], ids[ControlToken.NAME_START]])
    *cut, last = tiny.encode("日", add_special_tokens=False)
    assert len(cut) == 2
    assert tokens.feed(cut) == []
    assert tokens.feed([last]) == [FieldText(0, "name", "日")]


def test_finishing_twice_says_it_once():
    parser = StreamParser()
    assert [type(event) for event in parser.finish()][-1] is Finished
    assert parser.finish() == []
