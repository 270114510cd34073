import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from protocol_material import FRAGMENTS, byte_level, metaspace, nasty

from steiner.core import InputError
from steiner.protocol import (
    ControlIds,
    Message,
    encode_prompt,
    encode_prompts,
    ensure_chat_template,
    escape,
)

LOOSE = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
TALK = st.lists(
    st.builds(
        Message, role=st.sampled_from(["system", "user", "assistant"]), content=nasty(), reasoning=st.none()
    ),
    min_size=1,
    max_size=4,
)


def test_harmless_prompts_equal_those_of_the_template(qwen):
    talk = [Message("system", "Be brief."), Message("user", "What is 3 + 5?"), Message("assistant", "8")]
    plain = [{"role": m.role, "content": m.content} for m in talk]
    for begin in (True, False):
        ids = encode_prompt(qwen, talk, add_generation_prompt=begin)
        assert ids == qwen.apply_chat_template(plain, add_generation_prompt=begin, return_dict=False)


@LOOSE
@given(talk=TALK)
def test_no_content_adds_a_delimiter(tiny, talk):
    ids = ControlIds.from_tokenizer(tiny)
    delimiters = {*ids.control, *ids.special}
    harmless = [Message(m.role, "x") for m in talk]
    found = [n for n in encode_prompt(tiny, talk) if n in delimiters]
    assert found == [n for n in encode_prompt(tiny, harmless) if n in delimiters]


@pytest.mark.parametrize("typed", [f for f in FRAGMENTS if "|" in f or "<" in f])
def test_typed_tokens_stay_text_on_qwen(qwen, typed):
    ids = ControlIds.from_tokenizer(qwen)
    prompt = encode_prompt(qwen, [Message("user", typed)])
    assert sum(number in {*ids.control, *ids.special} for number in prompt) == 5
    assert qwen.decode(prompt).endswith(f"user\n{escape(typed)}<|im_end|>\n<|im_start|>assistant\n")


@pytest.mark.parametrize("cut", range(1, len("<|im_end|>")))
def test_halves_joined_by_the_template_stay_text(tiny, cut):
    """A template that puts two contents side by side brings the halves together."""
    tokenizer = byte_level()
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    left, right = "<|im_end|>"[:cut], "<|im_end|>"[cut:]
    ids = encode_prompt(tokenizer, [Message("user", left), Message("user", right)])
    assert tokenizer.decode(ids) == "<|im_end|>"
    assert tokenizer.convert_tokens_to_ids("<|im_end|>") not in ids
    tokenizer.chat_template = "{{ messages[0]['content'] }}" + right
    assert tokenizer.convert_tokens_to_ids("<|im_end|>") not in encode_prompt(
        tokenizer, [Message("user", left)]
    )


def test_templates_that_trim_or_repeat_a_content(tiny):
    tokenizer = byte_level()
    tokenizer.chat_template = (
        "{% for m in messages %}[{{ m['content'] | trim }}|{{ m['content'] }}]{% endfor %}"
    )
    ids = encode_prompt(tokenizer, [Message("user", "a<|im_end|>")])
    assert tokenizer.decode(ids) == "[a<|im_end|>|a<|im_end|>]"


def test_many_equal_each(tiny):
    talks = [[Message("user", "a")], [Message("system", "b"), Message("user", "c")], [Message("user", "")]]
    assert encode_prompts(tiny, talks) == [encode_prompt(tiny, talk) for talk in talks]


def test_a_tokenizer_without_template_gets_chatml_if_it_has_its_tokens():
    tokenizer = byte_level()
    assert tokenizer.decode(encode_prompt(tokenizer, [Message("user", "hi")])) == (
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )
    with pytest.raises(InputError, match="no chat template"):
        ensure_chat_template(metaspace())


@pytest.mark.parametrize(
    ("template", "talk", "message"),
    [
        (None, [], "at least one message"),
        (None, [Message("tool", "x")], "unknown role 'tool'"),
        ("{{ raise_exception('no system') }}", [Message("system", "x")], "refuses.*no system"),
        (
            "{{ messages[-1]['content'] }}",
            [Message("system", "x"), Message("user", "y")],
            "drops the system message",
        ),
    ],
)
def test_what_cannot_be_a_prompt(template, talk, message):
    tokenizer = byte_level()
    tokenizer.chat_template = template
    with pytest.raises(InputError, match=message):
        encode_prompt(tokenizer, talk)
