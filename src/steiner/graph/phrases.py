"""Sentences that say why a search goes back, and how to tell content ones. None claims what is not known.

That no trace went on from a step to the right answer does not make the step wrong, so doubts stay doubts.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Phrases(NamedTuple):
    """What one language has to say."""

    doubts: tuple[str, ...]
    """At a step from which no trace reached the right answer."""
    detours: tuple[str, ...]
    """At a step from which the right answer can be reached: nothing speaks against it."""
    returns: tuple[str, ...]
    """Said after one of the above."""
    still: str
    """Opens a doubt after a sentence that sounded content; `{}` is the doubt."""
    going_on: str
    """What is left to say where a reflection said nothing but to go back."""
    gap: str
    """Between two sentences."""


PHRASES = {
    "en": Phrases(
        doubts=(
            "I am not convinced that this leads to the answer.",
            "I do not trust this line of thought.",
            "I cannot see how to get from here to an answer that I would stand by.",
            "I doubt that this is the way to go.",
            "I may have taken a wrong turn on the way here.",
            "I am uneasy about where this is going.",
        ),
        detours=(
            "I wonder whether there is a more direct way.",
            "I would like to look at another way before I go on with this one.",
            "I may be making this longer than it has to be.",
        ),
        returns=(
            "I go back to an earlier point and try another way.",
            "Let me return to where I had a choice and take a different one.",
            "I will step back and reconsider.",
            "Let me back up and try something else.",
            "So I go back before I build on it.",
        ),
        still="Still, {}",
        going_on="This will do for now; I go on from here.",
        gap=" ",
    ),
    "zh": Phrases(
        doubts=(
            "我不确信这样能得到答案。",
            "我对这个思路没有把握。",
            "我看不出从这里怎样得到答案。",
            "我怀疑这条路走不通。",
            "前面也许走错了一步。",
        ),
        detours=("也许有更直接的办法。", "先看看别的办法，再决定要不要这样做下去。", "这样做也许绕远了。"),
        returns=(
            "我退回到前面，换一条思路。",
            "先回到前面的步骤，重新考虑。",
            "让我回头另想办法。",
            "我先退一步，再作打算。",
        ),
        still="不过，{}",
        going_on="暂且如此，接着往下走。",
        gap="",
    ),
    "ja": Phrases(
        doubts=(
            "この考え方で答えに届くという確信が持てない。",
            "この進め方には自信がない。",
            "どこかで道を誤ったかもしれない。",
        ),
        detours=("もっと直接的な方法があるかもしれない。", "遠回りをしているかもしれない。"),
        returns=("前の段階に戻って、別の方法を試そう。", "いったん戻って考え直そう。"),
        still="とはいえ、{}",
        going_on="ひとまずこれで先へ進む。",
        gap="",
    ),
}

_CONTENT = {
    "en": re.compile(
        r"\b(correct(ly)?|right(?![- ](hand|side|triangle|angle))|good|fine|sound|makes? sense|holds?"
        r"|confident|(am|feel|quite|very|pretty) sure|convinc\w+|consistent|valid|plausible|reasonable"
        r"|agrees?|follows|nothing against|verified|no (problem|error|mistake|issue|contradiction)s?"
        r"|checks? out|okay|on track)\b",
        re.IGNORECASE,
    ),
    "zh": re.compile("没问题|没有问题|正确|对的|合理|可靠|成立|不错|没错|一致|放心|有把握|确信|顺利"),
    "ja": re.compile("正し|問題な|妥当|合って|良さそう|よさそう|確か|大丈夫|納得"),
}
_DOUBTFUL = {
    "en": re.compile(
        r"\b(not|never|cannot|hardly|wrong|doubt\w*|unsure|unlikely|uncertain|incorrect|invalid|inconsistent|but"
        r"|however|although|though|unless|mistaken?)\b|n['’]t\b",
        re.IGNORECASE,
    ),
    "zh": re.compile("不正确|不对|不合理|不成立|不一致|不可靠|怀疑|但是|不过|没有把握|错了|不确"),
    "ja": re.compile("正しくな|疑|しかし|が、|とはいえ|自信がな|確信が持てな|間違"),
}
_LEAVING = {
    "en": re.compile(
        r"\b(go(ing)? back|(should|will|must|let me|let us|i) (return|back up|step back)|backtrack\w*"
        r"|start(ing)? over|dead end|try(ing)? (something else|another|a different))\b",
        re.IGNORECASE,
    ),
    "zh": re.compile("退回|回到前|回头|换一条|换个思路|换一种|另想办法|行不通|走不通|重新考虑"),
    "ja": re.compile("戻って|戻ろう|やり直|考え直|行き止まり|別の方法"),
}
_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])\s*|\n+")


def language_of(text: str) -> str:
    """Return `zh`, `ja`, or `en` for every other language: which phrases fit a text."""
    letters = [c for c in text if c.isalpha()]
    kana = sum("\u3040" <= c <= "\u30ff" for c in letters)
    chinese = sum("\u4e00" <= c <= "\u9fff" for c in letters)
    if 4 * (chinese + kana) < len(letters) or not letters:
        return "en"
    return "ja" if 10 * kana >= len(letters) else "zh"


def sentences(text: str) -> list[str]:
    """Split a reflection; the dot of a decimal number ends nothing."""
    return [part.strip() for part in _END.split(text) if part.strip()]


def is_content(sentence: str, language: str) -> bool:
    """Return whether a sentence approves of what was found without a doubt."""
    return bool(_CONTENT[language].search(sentence)) and not _DOUBTFUL[language].search(sentence)


def is_leaving(sentence: str, language: str) -> bool:
    """Return whether a sentence says to go back or that the way ends here."""
    return bool(_LEAVING[language].search(sentence))
