"""The prompts as they are sent, and what a user may put in their place.

`UPDATE_GOLDEN=1 pytest tests/teacher/llm/test_prompts.py` writes the golden files anew.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from steiner.core import InputError
from steiner.teacher.llm.templates import (
    CALLS,
    NAMES,
    ShownStep,
    again_values,
    attempt_values,
    draft_values,
    load_prompts,
    resolve_values,
)

GOLDEN = Path(__file__).with_name("golden")
EGGS = (
    "Janet's ducks lay 16 eggs. She eats 3 and sells the rest for $2 each. What does she earn in <dollars>?"
)
STEPS = (
    ShownStep(1, None, "Count what is left", "16 - 3 = 12", "12 eggs are left.", "Fine, go on."),
    ShownStep(2, 0, "Count again", "16 - 3 = 13", "13 eggs are left.", "3 + 13 = 16, right."),
)
CASES = {
    "draft": ("draft", draft_values(EGGS, (), "26", 10, "English"), ""),
    "draft_options": ("draft", draft_values("Which?", ("one", "two"), "B. two", 10, "Chinese (中文)"), ""),
    "draft_no_answer": ("draft", draft_values(EGGS, (), "", 10, "English"), ""),
    "attempt": ("attempt", attempt_values(EGGS, (), STEPS, 4, "English"), ""),
    "attempt_bare": ("attempt", attempt_values("Which?", ("one", "two"), (), 1, "English"), ""),
    "resolve": ("resolve", resolve_values(EGGS, (), STEPS, "24", "26", 10, "English"), ""),
    "resolve_unfinished": ("resolve", resolve_values(EGGS, (), STEPS, "", "26", 10, "English"), ""),
    "resolve_again": ("resolve", resolve_values(EGGS, (), STEPS, "24", "26", 10, "English"), "told"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_messages_are_the_golden_ones(case):
    call, values, reason = CASES[case]
    prompts = load_prompts()
    note = (
        prompts.render("again.md", again_values(call, reason, "it says «x»", "English", 1)) if reason else ""
    )
    text = "".join(f"--- {m.role}\n{m.content}\n" for m in prompts.messages(call, values, note))
    file = GOLDEN / f"{case}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


def test_the_system_message_is_the_same_for_all_questions():
    prompts = load_prompts()
    for call in CALLS:
        systems = {prompts.messages(c, values)[0].content for c, values, _ in CASES.values() if c == call}
        assert len(systems) == 1


def test_any_file_may_be_replaced_and_changes_the_digest(tmp_path):
    plain = load_prompts()
    assert load_prompts(tmp_path).digest == plain.digest
    (tmp_path / "draft.system.md").write_text("Solve it.", encoding="utf-8-sig")
    (tmp_path / ".DS_Store").write_bytes(b"\xff")
    mine = load_prompts(tmp_path)
    assert mine.messages("draft", CASES["draft"][1])[0].content == "Solve it."
    assert mine.messages("attempt", CASES["attempt"][1]) == plain.messages("attempt", CASES["attempt"][1])
    assert mine.digest != plain.digest
    (tmp_path / "step.md").write_text("A step is a step.", encoding="utf-8")
    assert "A step is a step." in load_prompts(tmp_path).messages("attempt", CASES["attempt"][1])[0].content


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        (
            "draft.user.md",
            "{{ question }}\n{{ nothing }}",
            r"draft\.user\.md, line 2.*'nothing' is undefined",
        ),
        ("draft.user.md", "{{ question }}\n\n{% if %}", r"draft\.user\.md, line 3"),
        (
            "attempt.user.md",
            "{{ question }}\n{{ answer }}",
            r"attempt\.user\.md, line 2.*'answer' is undefined",
        ),
        ("attempt.user.md", "Solve it.", r"attempt\.user\.md does not show the question"),
        ("resolve.user.md", "{{ question.__class__.__mro__ }}", r"resolve\.user\.md, line 1.*unsafe"),
        ("step.md", "{% for x in range(10 ** 9) %}x{% endfor %}", r"step\.md, line 1"),
        ("again.md", "a\n{{ 1 / 0 }}", r"again\.md, line 2.*division"),
        ("step.md", '{% include "step.md" %}', r"recursion"),
        ("step.md", '{% include "/etc/passwd" %}', r"step\.md, line 1.*passwd"),
        ("mine.md", "x", r"mine\.md is not a prompt.*draft\.system\.md, .*again\.md"),
    ],
)
def test_a_bad_prompt_is_named_with_its_line(tmp_path, name, text, complaint):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=f"(?s){complaint}"):
        load_prompts(tmp_path)


def test_files_that_are_no_text(tmp_path):
    (tmp_path / "step.md").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        load_prompts(tmp_path)
    (tmp_path / "step.md").write_bytes(b"x" * (1 << 21))
    with pytest.raises(InputError, match="larger"):
        load_prompts(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        load_prompts(tmp_path / "missing")
    (tmp_path / "step.md").unlink()
    (tmp_path / "step.md").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        load_prompts(tmp_path)


def test_a_question_is_never_taken_for_a_template():
    values = draft_values("{{ 7 * 7 }} {% raw %}", (), "{{ answer }}", 10, "English")
    content = load_prompts().messages("draft", values)[1].content
    assert "{{ 7 * 7 }} {% raw %}" in content
    assert "{{ answer }}" in content


def test_the_package_holds_exactly_the_known_files():
    folder = Path(str(__import__("steiner.teacher.llm.templates", fromlist=["x"]).__file__)).with_name(
        "prompts"
    )
    assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)
