"""Replies as models write them, read into steps."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.core import Step
from steiner.teacher.llm.loose_json import read_loose
from steiner.teacher.llm.parse import Parsed, clean, parse_reply
from steiner.teacher.llm.schemas import FIELDS, response_schema
from steiner.teacher.llm.templates import CALLS
from steiner.teacher.llm.types import Rejected, RejectReason


def written(number: int, back_to: int | None = None) -> dict:
    return {"back_to": back_to, **{field: f"{field} {number}" for field in FIELDS}}


REPLY = {"steps": [written(1), written(2), written(3, 1)], "answer": "18"}
RESOLVE = {"wrong_step": 2, "reflection": "no", **REPLY}
EXPECTED = Parsed(
    steps=tuple(
        (Step(**{field: f"{field} {n}" for field in FIELDS}), back)
        for n, back in ((1, None), (2, None), (3, 1))
    ),
    answer="18",
)
TEXT = json.dumps(REPLY)

LAYOUT = """Here is my solution.

## Step 1: name 1
**Thought:** thought 1
**Summary:** summary 1
**Reflection:** reflection 1

### Step 2 - name 2
- Thought: thought 2
- Summary: summary 2
- Reflection: reflection 2

**Step 3: name 3**
Back to: 1
thought 3
*Summary*: summary 3
Reflection: reflection 3

Final answer: 18
"""


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        json.dumps(REPLY, indent=2),
        f"```json\n{TEXT}\n```",
        f"Sure! Here is the reasoning:\n\n{TEXT}\n\nI hope this helps {{really}}.",
        json.dumps(REPLY, indent=1).replace("}\n ]", "},\n ]").replace('"18"\n', '"18",\n'),
        TEXT.replace(": null", ": None"),
        TEXT[:-1],
        TEXT.replace('"back_to": 1', '"back_to": "Step 1"'),
        TEXT.replace('"answer": "18"', '"answer": 18'),
        TEXT.replace('"answer"', '"Final Answer"').replace('"thought"', '"Reasoning"'),
        json.dumps({"result": REPLY}),
        json.dumps(
            {**REPLY, "steps": {"1": REPLY["steps"][0], "2": REPLY["steps"][1], "3": REPLY["steps"][2]}}
        ),
        '{"steps": [{"back_to": null, "name": "…", "thought": "…", "summary": "…", "reflection": "…"}, …], '
        f'"answer": "…"}}\n{TEXT}',
        TEXT.replace('}, {"back_to": 1', '} {"back_to": 1'),
        LAYOUT,
        LAYOUT.replace("\n", "\r\n"),
    ],
    ids=[
        *(
            "plain",
            "indented",
            "fenced",
            "with prose",
            "trailing commas",
            "Python None",
            "last brace missing",
        ),
        *("back_to in words", "number as answer", "other keys", "nested", "steps as object", "form echoed"),
        *("missing comma", "layout", "layout CRLF"),
    ],
)
def test_one_reply_in_many_forms(text):
    assert parse_reply("draft", text) == EXPECTED


def test_a_resolve_in_labelled_text():
    text = "Wrong step: 2\nReflection: no\n\n" + LAYOUT.partition("\n\n")[2]
    assert parse_reply("resolve", text) == EXPECTED._replace(wrong_step=2, reflection="no")
    assert parse_reply("resolve", json.dumps(RESOLVE)) == EXPECTED._replace(wrong_step=2, reflection="no")


def test_chinese_labels():
    text = "第一步：数鸡蛋\n思考：16 - 3 = 13\n还剩13个\n总结：13个\n反思：对\n答案：13"
    parsed = parse_reply("draft", text)
    assert parsed.steps[0].step == Step(
        name="数鸡蛋", thought="16 - 3 = 13\n还剩13个", summary="13个", reflection="对"
    )
    assert parsed.answer == "13"


@pytest.mark.parametrize("cut", range(1, len(TEXT)))
def test_whole_steps_are_recovered_wherever_the_reply_is_cut(cut):
    result = parse_reply("draft", TEXT[:cut], cut=True)
    assert isinstance(result, Rejected)
    assert result.reason is RejectReason.LENGTH
    # A step is whole as soon as its last field, the reflection, is.
    ends = [TEXT.index(f'"reflection {number}"') + len('"reflection 1"') for number in (1, 2, 3)]
    assert len(result.steps) == sum(end <= cut for end in ends)


@pytest.mark.parametrize("cut", range(1, len(TEXT) - 1))
def test_a_reply_that_breaks_off_is_never_taken_for_whole(cut):
    result = parse_reply("draft", TEXT[:cut])
    assert isinstance(result, Rejected)
    assert result.reason in (RejectReason.UNPARSABLE, RejectReason.EMPTY)


@pytest.mark.parametrize(
    ("reply", "detail"),
    [
        ("", "it was empty"),
        ("I cannot help with that.", "no JSON object"),
        ('{"steps": [], "answer": "3"}', "no steps"),
        (json.dumps({**REPLY, "answer": ""}), "no answer"),
        (
            json.dumps({**REPLY, "steps": [written(1), {**written(2), "summary": "  "}]}),
            "step 2 has no summary",
        ),
        ("<html><body>502</body></html>", "no JSON object"),
    ],
)
def test_the_rejection_says_what_is_wrong(reply, detail):
    result = parse_reply("draft", reply)
    assert isinstance(result, Rejected)
    assert detail in result.detail


def test_an_attempt_may_be_unfinished_and_is_cut_at_its_limit():
    for nothing in ("", "null", "N/A", None):
        assert parse_reply("attempt", json.dumps({**REPLY, "answer": nothing})).answer == ""
    parsed = parse_reply("attempt", TEXT, max_steps=2)
    assert (len(parsed.steps), parsed.answer) == (2, "")
    assert parse_reply("attempt", TEXT, max_steps=3).answer == "18"


@pytest.mark.parametrize(
    ("shown", "back_to", "read"),
    [
        *((0, 0, None), (1, 0, 0), (4, 3, 3), (4, 4, None), (4, 5, None), (4, -1, None)),
        *((4, True, None), (4, 2.0, 2), (4, "none", None), (4, 10**30, None)),
    ],
)
def test_only_a_step_before_the_last_one_is_gone_back_to(shown, back_to, read):
    parsed = parse_reply("attempt", json.dumps({**REPLY, "steps": [written(1, back_to)]}), shown=shown)
    assert parsed.steps[0].back_to == read


def test_latex_with_single_backslashes():
    thought = r"\frac{1}{2} \times \sqrt{4} \neq \boxed{3} \text{m} \right) \alpha \underline{x}"
    text = TEXT.replace("thought 1", thought)
    assert parse_reply("draft", text).steps[0].step.thought == thought
    valid = r"\frac{1}{2} \times \neq \boxed{3} \text{m} \right)"
    assert parse_reply("draft", TEXT.replace("thought 1", valid)).steps[0].step.thought == valid
    spaced = TEXT.replace("thought 1", "a\\nb\\tc")
    assert parse_reply("draft", spaced).steps[0].step.thought == "a\nb\tc"


def test_quotation_marks_inside_strings():
    text = TEXT.replace("thought 1", 'He says "three" and "four, or five" here')
    assert parse_reply("draft", text).steps[0].step.thought == 'He says "three" and "four, or five" here'


def test_what_no_file_can_carry_is_dropped():
    text = TEXT.replace("thought 1", "a\\u0000b\\ud83dc")
    assert parse_reply("draft", text).steps[0].step.thought == "abc"
    text = TEXT.replace("thought 1", "\\ud83d\\ude00")
    assert parse_reply("draft", text).steps[0].step.thought == "\U0001f600"


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["steps", "answer", "thought", "wrong_step", *FIELDS]), inner, max_size=6
        )
    ),
    max_leaves=20,
)
FRAGMENTS = st.sampled_from(
    ['{"steps": [', '{"name": "', '"', "\\", "}", "]", ",", "Step 1:", "Thought:", "\n", "\ud800", "```"]
)
ANY_TEXT = st.one_of(
    st.text(),
    JSONISH.map(json.dumps),
    st.lists(st.one_of(FRAGMENTS, st.text(max_size=5)), max_size=30).map("".join),
    st.tuples(st.sampled_from([TEXT, LAYOUT]), st.integers(0, 600), st.text(max_size=3)).map(
        lambda t: t[0][: t[1]] + t[2] + t[0][t[1] :]
    ),
)


@given(ANY_TEXT, st.sampled_from(CALLS), st.integers(0, 5), st.booleans())
def test_no_text_breaks_it(text, call, shown, cut):
    result = parse_reply(call, text, shown=shown, max_steps=4, cut=cut)
    if isinstance(result, Rejected):
        assert result.model_validate_json(result.model_dump_json()) == result
        return
    assert not cut
    for number, item in enumerate(result.steps, shown + 1):
        assert all(getattr(item.step, field).strip() for field in FIELDS)
        assert item.back_to is None or 0 <= item.back_to < number - 1
        item.step.model_dump_json().encode()
    assert result.answer or call == "attempt"


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"a":' * 50_000, '{"' * 50_000, '"' * 100_000, "{" * 100_000, '{"a": "' + '" ' * 50_000],
)
def test_hostile_nesting_is_no_trouble(text):
    assert isinstance(parse_reply("draft", text), Rejected)


@given(st.text(max_size=40), st.text(max_size=20))
def test_the_patient_reader_agrees_with_json(key, value):
    data = {"k": key.replace("\\", "/"), "v": [value.replace("\\", "/"), 3, None, {"x": True}]}
    loose = read_loose(json.dumps(data, ensure_ascii=True).replace('\\"', "'"), 0)
    expected = json.loads(json.dumps(data).replace('\\"', "'"))
    assert (loose.value, loose.whole) == (expected, True)


@given(st.text())
def test_cleaned_text_can_be_written(text):
    clean(text).encode("utf-8")
    assert "\0" not in clean(text)


@pytest.mark.parametrize("call", CALLS)
def test_the_schemas_are_strict(call):
    def check(schema: dict) -> None:
        if schema["type"] == "object":
            assert schema["additionalProperties"] is False
            assert schema["required"] == list(schema["properties"])
            for inner in schema["properties"].values():
                check(inner)
        if schema["type"] == "array":
            assert (schema["minItems"], schema["maxItems"]) == (3 if call == "draft" else 1, 6)
            check(schema["items"])

    check(response_schema(call, 6))


@pytest.mark.parametrize(
    "dots", ["…", "...", " … ", "<your answer here>", "[Reflection]", "<insert thought>"]
)
def test_dots_copied_from_the_form_are_no_text(dots):
    whole = {"name": "n", "thought": "t", "summary": "s", "reflection": "r", "back_to": None}
    for field in ("name", "thought", "summary", "reflection"):
        result = parse_reply("draft", json.dumps({"steps": [whole | {field: dots}], "answer": "1"}))
        assert isinstance(result, Rejected)
        assert (result.reason, result.detail) == (RejectReason.EMPTY, f"step 1 has no {field}")
    resolve = {"wrong_step": 1, "reflection": dots, "steps": [whole], "answer": "1"}
    result = parse_reply("resolve", json.dumps(resolve), shown=1)
    assert isinstance(result, Rejected)
    assert result.reason is RejectReason.EMPTY
