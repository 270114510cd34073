import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from protocol_material import nasty

from steiner.core import Move
from steiner.protocol import CONTROL_TOKENS, ControlIds, ControlToken, parse, parse_ids
from steiner.protocol.events import ViolationKind as V

T = ControlToken
STEP = (
    f"{T.STEP_START}{T.NAME_START}n{T.NAME_END}{T.THOUGHT_START}t{T.THOUGHT_END}"
    f"{T.SUMMARY_START}s{T.SUMMARY_END}{T.REFLECTION_START}r{T.REFLECTION_END}{T.STEP_END}"
)
WHOLE = f"{T.START}{STEP}{T.PROCEED}{STEP}{T.BACKTRACK}{STEP}{T.END}42"


def kinds(parsed):
    return [violation.kind for violation in parsed.violations]


@given(st.lists(st.one_of(st.sampled_from(CONTROL_TOKENS), nasty(2)), max_size=30).map("".join))
def test_any_text_parses(text):
    parsed = parse(text)
    assert (parsed.path is None) == (not parsed.steps)
    assert all(0 <= violation.position <= len(text) for violation in parsed.violations)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids=st.lists(st.integers(-5, 400), max_size=60))
def test_any_ids_parse(tiny, ids):
    parsed = parse_ids(tiny, ids)
    assert (parsed.path is None) == (not parsed.steps)
    assert all(0 <= violation.position <= len(ids) for violation in parsed.violations)


@given(st.integers(0, len(WHOLE)))
def test_a_completion_cut_anywhere_keeps_what_came_before(cut):
    parsed, whole = parse(WHOLE[:cut]), parse(WHOLE)
    assert whole.complete
    assert parsed.complete == (cut > len(WHOLE) - len("42"))
    ended = WHOLE[:cut].count(T.STEP_END)
    assert parsed.steps[:ended] == whole.steps[:ended]
    if not parsed.complete:
        assert kinds(parsed)[-1] in (V.UNFINISHED, V.EMPTY_ANSWER)


@pytest.mark.parametrize("token", [t for t in CONTROL_TOKENS if t is not T.END])
def test_a_missing_token_costs_no_text(token):
    parsed = parse(WHOLE.replace(token, "", 1))
    assert kinds(parsed)
    said = "".join("".join(step.model_dump().values()) for step in parsed.steps) + parsed.stray
    assert sorted(said) == sorted("ntsr" * 3)
    assert parsed.answer == "42"


@pytest.mark.parametrize("token", CONTROL_TOKENS)
def test_a_doubled_token_is_one_slip_and_costs_nothing(token):
    parsed = parse(WHOLE.replace(token, token * 2, 1))
    assert kinds(parsed)[0] is V.UNEXPECTED_TOKEN
    assert len(parsed.violations) <= 2
    assert parsed.answer == "42"
    texts = [step.model_dump() for step in parsed.steps]
    assert {"name": "n", "thought": "t", "summary": "s", "reflection": "r"} in texts


def test_a_missing_move_counts_as_going_on():
    parsed = parse(f"{T.START}{STEP}{STEP}{T.END}1")
    assert parsed.moves == (Move.PROCEED,)
    assert kinds(parsed) == [V.UNEXPECTED_TOKEN]


def test_a_move_without_a_step_after_it_is_dropped():
    parsed = parse(f"{T.START}{STEP}{T.BACKTRACK}{T.END}1")
    assert (len(parsed.steps), parsed.moves, parsed.answer) == (1, (), "1")


def test_a_step_that_was_broken_off_is_kept_with_the_fields_it_has():
    parsed = parse(f"{T.START}{STEP}{T.BACKTRACK}{T.STEP_START}{T.NAME_START}half")
    assert parsed.steps[1].name == "half"
    assert parsed.moves == (Move.BACKTRACK,)


def test_a_field_written_twice_keeps_both():
    (step,) = parse(
        f"{T.START}{T.STEP_START}{T.NAME_START}a{T.NAME_END}{T.NAME_START}b{T.NAME_END}{T.STEP_END}"
    ).steps
    assert step.name == "a\nb"


def test_plain_text_is_stray():
    parsed = parse("The answer is 5.")
    assert (parsed.path, parsed.answer, parsed.stray) == (None, "", "The answer is 5.")
    assert kinds(parsed) == [V.STRAY_TEXT, V.UNFINISHED]


def test_violations_say_where_and_what():
    (violation,) = parse(f"{T.START} {STEP}{T.END}1").violations
    assert (violation.kind, violation.position) == (V.STRAY_TEXT, len(T.START))
    assert T.STEP_START in violation.message


def test_ids_alone_are_control_tokens_never_what_they_spell(tiny):
    ids = ControlIds.from_tokenizer(tiny)
    backend = tiny.backend_tokenizer
    plain = type(backend)(backend.model)
    plain.pre_tokenizer = backend.pre_tokenizer
    spelled = plain.encode(str(T.NAME_END)).ids
    completion = [ids[T.START], ids[T.STEP_START], ids[T.NAME_START], *spelled, ids[T.NAME_END]]
    assert parse_ids(tiny, completion).steps[0].name == T.NAME_END


def test_special_tokens_within_text_are_noted(tiny):
    ids = ControlIds.from_tokenizer(tiny)
    other = tiny.convert_tokens_to_ids("<|im_start|>")
    text = tiny.encode("1", add_special_tokens=False)
    parsed = parse_ids(tiny, [*_step(tiny, ids), ids[T.END], *text, other, *text, ids.eos])
    assert parsed.answer == "1<|im_start|>1"
    assert kinds(parsed) == [V.SPECIAL_TOKEN]


def test_padding_after_the_end_is_ignored_and_anything_else_noted(tiny):
    ids = ControlIds.from_tokenizer(tiny)
    text = tiny.encode("1", add_special_tokens=False)
    whole = [*_step(tiny, ids), ids[T.END], *text, ids.eos]
    assert parse_ids(tiny, [*whole, ids.pad, ids.pad]).complete
    assert parse_ids(tiny, whole) == parse_ids(tiny, [*whole, ids.pad])
    after = parse_ids(tiny, [*whole, *text, *text])
    assert kinds(after) == [V.AFTER_END]
    assert after.answer == "1"
    assert kinds(parse_ids(tiny, [*whole, ids[T.START], ids[T.STEP_START]])) == [V.AFTER_END]


def test_ids_cut_off_are_unfinished(tiny):
    ids = ControlIds.from_tokenizer(tiny)
    text = tiny.encode("1", add_special_tokens=False)
    parsed = parse_ids(tiny, [*_step(tiny, ids), ids[T.END], *text])
    assert parsed.answer == "1"
    assert kinds(parsed) == [V.UNFINISHED]


def _step(tokenizer, ids):
    return tokenizer.encode(f"{T.START}{STEP}", add_special_tokens=False)
