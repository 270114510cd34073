import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from protocol_material import nasty, paths

from steiner.core import Move, ReasoningPath, Step
from steiner.core.sample import NO_STEP
from steiner.protocol import ControlIds, ControlToken, encode_path, encode_paths, parse, parse_ids, render
from steiner.protocol.events import ViolationKind

ONCE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
GOLDEN = (
    "<|reasoning_start|>"
    "<|reasoning_step_start|><|reasoning_step_name_start|>Add<|reasoning_step_name_end|>"
    "<|reasoning_step_thought_start|>3 + 5 = 8<|reasoning_step_thought_end|>"
    "<|reasoning_step_summary_start|>left 7 8<|reasoning_step_summary_end|>"
    "<|reasoning_step_reflection_start|>go on<|reasoning_step_reflection_end|><|reasoning_step_end|>"
    "<|reasoning_backtrack|>"
    "<|reasoning_step_start|><|reasoning_step_name_start|>Multiply<|reasoning_step_name_end|>"
    "<|reasoning_step_thought_start|>3 * 5 = 15<|reasoning_step_thought_end|>"
    "<|reasoning_step_summary_start|>left 7 15<|reasoning_step_summary_end|>"
    "<|reasoning_step_reflection_start|><|reasoning_step_reflection_end|><|reasoning_step_end|>"
    "<|reasoning_end|>(3 * 5) + 7"
)
PATH = ReasoningPath(
    steps=(
        Step(name="Add", thought="3 + 5 = 8", summary="left 7 8", reflection="go on"),
        Step(name="Multiply", thought="3 * 5 = 15", summary="left 7 15", reflection=""),
    ),
    moves=(Move.BACKTRACK,),
    answer="(3 * 5) + 7",
)


def same(path: ReasoningPath | None, other: ReasoningPath) -> bool:
    return path is not None and (path.steps, path.moves, path.answer) == (
        other.steps,
        other.moves,
        other.answer,
    )


def test_a_path_is_written_as_the_report_shows():
    assert render(PATH) == GOLDEN
    assert same(parse(GOLDEN).path, PATH)


@given(paths())
def test_parse_undoes_render(path):
    parsed = parse(render(path))
    assert same(parsed.path, path)
    kinds = {violation.kind for violation in parsed.violations}
    assert kinds == (set() if path.answer else {ViolationKind.EMPTY_ANSWER})


@ONCE
@given(path=paths())
def test_parse_ids_undoes_encode_path_on_bytes(tiny, path):
    parsed = parse_ids(tiny, encode_path(tiny, path).ids)
    assert same(parsed.path, path)
    assert parsed.complete == bool(path.answer)


@ONCE
@given(path=paths(nasty().map(lambda text: unicodedata.normalize("NFC", text))))
def test_parse_ids_undoes_encode_path_on_qwen(qwen, path):
    """Qwen's own normaliser is NFC: what it changes is lost before a path could be read back."""
    parsed = parse_ids(qwen, encode_path(qwen, path).ids)
    assert same(parsed.path, path)


@pytest.mark.parametrize("text", ["3 + 5 = 8", "left 7 8", "go", ""])
def test_parse_ids_undoes_encode_path_in_every_family(any_tokenizer, text):
    path = ReasoningPath(
        steps=(Step(name=text, thought=text, summary=text, reflection=text),) * 2,
        moves=(Move.PROCEED,),
        answer="7 + 8",
    )
    parsed = parse_ids(any_tokenizer, encode_path(any_tokenizer, path).ids)
    assert same(parsed.path, path)
    assert parsed.complete


@ONCE
@given(path=paths())
def test_no_text_becomes_a_control_or_special_token(tiny, path):
    ids = ControlIds.from_tokenizer(tiny)
    encoded = encode_path(tiny, path)
    control = [ids.token(number) for number in encoded.ids if ids.token(number)]
    assert len(control) == 2 + 10 * len(path.steps) + len(path.moves)
    assert [number for number in encoded.ids if number in ids.special] == [ids.eos]


@ONCE
@given(many=st.lists(paths(), max_size=4))
def test_encoding_many_equals_encoding_each(tiny, many):
    assert encode_paths(tiny, many) == [encode_path(tiny, path) for path in many]


def test_alignment_of_an_encoded_path(tiny):
    ids = ControlIds.from_tokenizer(tiny)
    encoded = encode_path(tiny, PATH)
    assert len(encoded.ids) == len(encoded.step_index)
    assert encoded.ids[encoded.reasoning_tokens - 1] == ids[ControlToken.END]
    assert encoded.ids[-1] == ids.eos
    for step, name in enumerate(("Add", "Multiply")):
        own = [number for number, index in zip(encoded.ids, encoded.step_index, strict=True) if index == step]
        assert own[0] == ids[ControlToken.STEP_START]
        assert own[-1] == ids[ControlToken.STEP_END]
        assert name in tiny.decode(own)
    outside = [n for n, index in zip(encoded.ids, encoded.step_index, strict=True) if index == NO_STEP]
    assert outside[:3] == [ids[ControlToken.START], ids[ControlToken.BACKTRACK], ids[ControlToken.END]]
    answer = encoded.ids[encoded.reasoning_tokens : -1]
    assert tiny.decode(answer) == PATH.answer


def test_golden_ids_on_qwen(qwen):
    encoded = encode_path(qwen, PATH)
    assert encoded.ids[:6] == (151665, 151669, 151671, 2212, 151672, 151673)
    assert encoded.ids == (*qwen.encode(GOLDEN, add_special_tokens=False), 151645)
