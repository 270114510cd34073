"""Languages: told apart, chosen, and checked."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steiner.core import InputError
from steiner.teacher.llm.language import choose_language, detect_language, is_in_language
from steiner.teacher.llm.languages import LANGUAGES, language_of

TEXTS = {
    "en": "Janet has 16 eggs and she eats three of them each day. How many eggs are left to sell?",
    "de": "Janet hat 16 Eier und isst jeden Tag drei davon. Wie viele Eier bleiben ihr für den Markt?",
    "es": "Janet tiene 16 huevos y se come tres de ellos cada día. ¿Cuántos huevos le quedan al final?",
    "fr": "Janet a 16 œufs et elle en mange trois chaque jour. Combien d'œufs lui reste-t-il ?",
    "it": "Janet ha 16 uova e ne mangia tre ogni giorno. Quante uova le restano da vendere?",
    "pt": "A Janet tem 16 ovos e come três deles todos os dias. Quantos ovos não são comidos?",
    "pl": "Janina ma 16 jajek i codziennie zjada trzy z nich. Ile jajek zostaje jej na sprzedaż na targu?",
    "zh": "珍妮特有16个鸡蛋，每天吃掉三个。她还剩多少个鸡蛋可以拿到市场上卖？",
    "ja": "ジャネットは卵を16個持っていて、毎日3個食べます。市場で売れる卵は何個残りますか？",
    "ko": "재닛은 달걀 16개를 가지고 있고 매일 세 개를 먹습니다. 시장에 팔 달걀은 몇 개 남습니까?",
    "ru": "У Жанет 16 яиц, и каждый день она съедает три. Сколько яиц остаётся для рынка?",
    "ar": "لدى جانيت ست عشرة بيضة وتأكل ثلاثا منها كل يوم. كم بيضة تبقى للسوق؟",
    "th": "เจเน็ตมีไข่ 16 ฟอง และกินวันละสามฟอง เหลือไข่ไปขายที่ตลาดกี่ฟอง",
}


@pytest.mark.parametrize("language", TEXTS)
@pytest.mark.parametrize("stated", ["en", "fr", "hi"])
def test_a_question_shows_its_language(language, stated):
    assert detect_language(TEXTS[language], stated) == language


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3 + 4 = ?",
        r"$\frac{1}{2} + \sqrt{x}$",
        "Compute 7.",
        r"\[x^2 + \text{sum of the first}\]",
        "x y z",
    ],
)
def test_short_and_mathematical_questions_keep_what_is_stated(text):
    assert detect_language(text, "de") == "de"
    assert detect_language(text, "zh") == "zh"


def test_a_script_of_several_languages_keeps_the_stated_one():
    assert detect_language(TEXTS["ru"], "uk") == "uk"
    assert detect_language(TEXTS["ar"], "fa") == "fa"


@pytest.mark.parametrize("text_language", TEXTS)
def test_reasoning_in_another_language_is_seen(text_language):
    for asked in TEXTS:
        assert is_in_language(TEXTS[text_language], asked) == (asked == text_language), asked


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "12 * 3 = 36, 36 / 4 = 9"),
        (
            "zh",
            r"所以 $\text{the number of eggs left over for the market}$ 等于 $16 - 3 = 13$，于是还剩13个。",
        ),
        ("zh", "代码如下：`for egg in eggs: total = total + price`，于是总价为26美元。"),
        ("zh", "根据 Bayes 定理，P(A|B) = 0.3，所以概率是三成。"),
        ("ja", "したがって残りは13個で、答えは26 dollars です。"),
        ("en", "The word 你好 means hello, so the translation of the sentence is the second of the options."),
        ("en", "Let x ≥ 3 — then 2x² ≈ 18° and the rest of the proof is as in the first step of the list."),
        (
            "de",
            r"Also gilt $x = 3$ und damit ist die Summe der beiden Zahlen genau \(12\), wie es sein soll.",
        ),
        ("sw", "12 + 4"),
        ("zh-Hant", "所以還剩下十三個雞蛋可以賣。"),
    ],
)
def test_formulas_code_and_names_do_not_matter(language, text):
    assert is_in_language(text, language)


def test_the_end_of_a_long_text_counts():
    assert not is_in_language(TEXTS["zh"] * 5 + TEXTS["en"] * 400, "zh")


def test_shares_are_kept_and_depend_on_the_question_alone():
    shares = {"zh": 0.1, "de": 0.05}
    chosen = {str(n): choose_language(str(n), "en", shares, seed=7) for n in range(20_000)}
    counts = Counter(chosen.values())
    assert counts["zh"] / 20_000 == pytest.approx(0.1, abs=0.01)
    assert counts["de"] / 20_000 == pytest.approx(0.05, abs=0.01)
    assert all(
        choose_language(key, "en", dict(reversed(shares.items())), 7) == chosen[key] for key in "123456789"
    )
    assert chosen != {key: choose_language(key, "en", shares, seed=8) for key in chosen}


def test_the_rest_is_in_the_questions_language_or_the_fixed_one():
    assert choose_language("a", "fr", {}) == "fr"
    assert choose_language("a", "fr", {}, fixed="ja") == "ja"
    assert choose_language("a", "fr", {"zh": 1.0}, fixed="ja") == "zh"


@pytest.mark.parametrize(
    "shares", [{"zh": 1.2}, {"zh": -0.1}, {"zh": 0.6, "de": 0.6}, {"xx": 0.1}, {"zh": float("nan")}]
)
def test_impossible_shares_are_refused(shares):
    with pytest.raises(InputError):
        choose_language("a", "en", shares)


def test_an_unknown_language_is_refused_with_those_known():
    with pytest.raises(InputError, match=r"'tlh'.*en, de"):
        language_of("tlh")


def test_words_in_common_belong_to_languages_in_latin_letters():
    assert all(item.script == "latin" for item in LANGUAGES.values() if item.common)


def test_the_classifier_is_not_loaded_without_need():
    code = (
        "import sys; from steiner.teacher.llm.language import is_in_language, detect_language;"
        f"assert is_in_language({TEXTS['en']!r}, 'en') and detect_language({TEXTS['zh']!r}) == 'zh';"
        "assert 'py3langid' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@given(st.text(), st.sampled_from(sorted(LANGUAGES)))
def test_no_text_breaks_it(text, language):
    assert is_in_language(text, language) in (True, False)
    assert detect_language(text, language) in LANGUAGES
