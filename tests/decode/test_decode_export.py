"""The exported grammars, run by the engines that are meant to read them."""

import json
import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from typer.testing import CliRunner

from steiner.cli.grammar import app
from steiner.core import InputError
from steiner.decode.export import GrammarForm, export_grammar
from steiner.protocol import CONTROL_TOKENS, ControlIds, ControlToken
from steiner.protocol.grammar import STEP_SYMBOLS, Other, accepts

T = ControlToken
FIRST = 256
"""Ids: 256 bytes, 14 control tokens, the end of text, one more special token."""
EOS, FIM = FIRST + len(CONTROL_TOKENS), FIRST + len(CONTROL_TOKENS) + 1
NAMES = [*map(str, CONTROL_TOKENS), "<|im_end|>", "<|fim_prefix|>"]
VOCABULARY = [bytes([number]) for number in range(256)] + [name.encode() for name in NAMES]
IDS = ControlIds(
    control=tuple(range(FIRST, EOS)), eos=EOS, pad=EOS, special=frozenset({EOS, FIM}), size=FIM + 1
)
ENGINES = ["llguidance", "xgrammar tokens", "xgrammar text"]
LIMITS = [(1, None), (1, 1), (1, 3), (2, 2), (2, 4), (3, None)]


class Bytes:
    """What llguidance asks of a tokenizer."""

    eos_token_id = EOS
    bos_token_id = None
    tokens = VOCABULARY
    special_token_ids = tuple(range(FIRST, FIM + 1))

    def __call__(self, text):
        return list(text if isinstance(text, bytes) else text.encode())


def llguidance_engine(limits):
    lib = pytest.importorskip("llguidance", reason="pip install llguidance to check the Lark form")
    tokenizer = lib.LLTokenizer(lib.TokenizerWrapper(Bytes()))
    grammar = lib.LLMatcher.grammar_from_lark(export_grammar(GrammarForm.LARK, *limits))

    def taken(numbers):
        matcher = lib.LLMatcher(tokenizer, grammar)
        assert not matcher.is_error(), matcher.get_error()
        return matcher.try_consume_tokens(list(numbers))

    return lambda numbers: taken(numbers) == len(numbers)


def xgrammar_engine(limits, form):
    lib = pytest.importorskip("xgrammar", reason="pip install xgrammar to check its forms")
    info = lib.TokenizerInfo(VOCABULARY, stop_token_ids=[EOS])
    compiler = lib.GrammarCompiler(info)
    if form is GrammarForm.STRUCTURAL:
        compiled = compiler.compile_structural_tag(export_grammar(form, *limits, IDS))
    else:
        compiled = compiler.compile_grammar(lib.Grammar.from_ebnf(export_grammar(form, *limits)))

    def whole(numbers):
        matcher = lib.GrammarMatcher(compiled)
        for number in numbers:
            if form is GrammarForm.STRUCTURAL or number == EOS:
                accepted = matcher.accept_token(number)
            else:
                accepted = matcher.accept_string(VOCABULARY[number])
            if not accepted:
                return False
        return True

    return whole


@pytest.fixture(scope="module")
def engine():
    made = {}

    def get(name, limits):
        if (name, limits) not in made:
            if name == "llguidance":
                made[name, limits] = llguidance_engine(limits)
            else:
                form = GrammarForm.STRUCTURAL if name.endswith("tokens") else GrammarForm.EBNF
                made[name, limits] = xgrammar_engine(limits, form)
        return made[name, limits]

    return get


@st.composite
def completions(draw, limits):
    """Symbols of a completion, whole or with up to three slips, with any number of steps."""
    rng = random.Random(draw(st.integers(0, 2**40)))
    symbols = [T.START]
    for number in range(rng.randint(1, 6)):
        symbols += [rng.choice([T.PROCEED, T.BACKTRACK])] * (number > 0)
        symbols += [s for s in STEP_SYMBOLS if s is not Other.TEXT or rng.random() < 0.7]
    symbols += [T.END, Other.TEXT, Other.EOS]
    for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
        place = rng.randrange(len(symbols))
        other = rng.choice([*CONTROL_TOKENS, Other.TEXT, Other.EOS])
        symbols[place : place + rng.randint(0, 1)] = [other] * rng.randint(0, 1)
    return symbols, rng


def ids_of(symbols, rng):
    """Replace TEXT by bytes of some characters."""
    numbers = []
    for symbol in symbols:
        if symbol is Other.TEXT:
            numbers += "".join(rng.choices(["a", "\n", "<", "é", "步", " ", "|a", ">"], k=3)).encode()
        else:
            numbers.append(EOS if symbol is Other.EOS else FIRST + CONTROL_TOKENS.index(symbol))
    return numbers


def should_pass(symbols, limits):
    least, most = limits
    return accepts(symbols) and least <= symbols.count(T.STEP_END) <= (most or 99)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), limits=st.sampled_from(LIMITS))
@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_takes_what_the_protocol_takes_and_nothing_else(engine, name, data, limits):
    symbols, rng = data.draw(completions(limits))
    numbers = ids_of(symbols, rng)
    if name == "xgrammar text" and b"<|" in bytes(n for n in numbers if n < FIRST):
        return  # text over characters may not hold what control tokens begin with
    # What an engine takes may be a beginning; a completion is whole when the engine lets it end.
    whole = numbers[-1:] == [EOS] and engine(name, limits)(numbers)
    assert whole == should_pass(symbols, limits)


@pytest.mark.parametrize("limits", LIMITS)
@pytest.mark.parametrize("name", ENGINES)
def test_too_few_and_too_many_steps_are_rejected(engine, name, limits):
    takes = engine(name, limits)
    taken = []
    for steps in range(7):
        symbols = [T.START]
        for number in range(steps):
            symbols += [T.PROCEED] * (number > 0) + [s for s in STEP_SYMBOLS if s is not Other.TEXT]
        if takes(ids_of([*symbols, T.END, Other.TEXT, Other.EOS], random.Random(0))):
            taken.append(steps)
    assert taken == [n for n in range(7) if limits[0] <= n <= (limits[1] or 99)]


@pytest.mark.parametrize("name", ["llguidance", "xgrammar tokens"])
def test_a_spelled_control_token_is_text_and_a_special_token_is_not(engine, name):
    takes = engine(name, (1, None))
    first = [FIRST + CONTROL_TOKENS.index(t) for t in (T.START, T.STEP_START, T.NAME_START)]
    spelled = list(b"<|reasoning_end|> <|reasoning_step_name_end|>")
    assert takes([*first, *spelled, FIRST + CONTROL_TOKENS.index(T.NAME_END)])
    assert not takes([*first, FIM])
    assert not takes([*first, EOS])
    assert not takes(spelled)


@pytest.mark.parametrize("limits", LIMITS)
def test_gbnf_by_name_is_the_form_over_characters_with_tokens_for_strings(limits):
    """No llama.cpp here: what differs from the form that xgrammar checks is only how tokens are named."""
    by_name = export_grammar(GrammarForm.GBNF, *limits)
    quoted = re.sub(r"<\|\w+\|>", lambda found: f'"{found.group()}"', by_name)
    assert quoted == export_grammar(GrammarForm.EBNF, *limits) != by_name
    assert set(re.findall(r"<\|\w+\|>", by_name)) == set(map(str, CONTROL_TOKENS))


def test_limits_that_contradict_each_other_are_refused():
    with pytest.raises(ValidationError, match="min_steps 3 is more than max_steps 2"):
        export_grammar(GrammarForm.LARK, 3, 2)


def test_the_command_prints_the_grammar(tokenizer, tmp_path):
    run = CliRunner().invoke
    result = run(app, ["--format", "gbnf", "--min-steps", "2", "--max-steps", "8"])
    assert result.stdout == export_grammar(GrammarForm.GBNF, 2, 8)
    tokenizer.save_pretrained(tmp_path)
    result = run(app, ["--format", "structural", "--model", str(tmp_path)])
    text = json.loads(result.stdout)["format"]["elements"][-1]
    assert tokenizer.convert_tokens_to_ids("<|im_start|>") in text["exclude_tokens"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "peg"], "unknown format 'peg'; choose from gbnf, ebnf, lark, structural"),
        (["--min-steps", "0"], "--min-steps: Input should be"),
        (["--min-steps", "3", "--max-steps", "2"], "min_steps 3 is more than max_steps 2"),
        (["--format", "structural"], "name the model with --model"),
        (["--format", "lark", "--model", "m"], "--model is for the structural format"),
        (["--format", "structural", "--model", "/nowhere"], "cannot be loaded"),
    ],
)
def test_the_command_says_what_is_wrong(arguments, message):
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)
